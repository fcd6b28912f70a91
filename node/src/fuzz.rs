//! One door for each decoder of the node, for bytes that anybody may have sent, typed or written to a file: it returns,
//! whatever they are. A fuzzer walks through these, and the tests do so with bytes made from examples. Where what was
//! read can be written again, the door does so and compares.

use std::path::Path;

use serde_json::Value as Json;

use crate::authority::document;
use crate::cli::fuzz::{declaration_file, typed};
use crate::config::{self, Settings};
use crate::driver::mark::LastEnd;
use crate::driver::superblock::Superblock;
use crate::json;
use crate::service::fuzz::{query, row_path};

/// A decoder's door.
pub type Door = fn(&[u8]);

/// All of them, by name.
pub const DOORS: &[(&str, Door)] = &[
    ("commit", commit),
    ("declaration", declaration),
    ("declaration_file", declaration_file),
    ("row_path", row_path),
    ("query", query),
    ("typed", typed),
    ("config", config),
    ("superblock", superblock),
    ("mark", mark),
    ("map", map),
];

/// A commit as a document: the body of `POST /v1/commit`, and the file of `seawall commit -f`.
pub fn commit(bytes: &[u8]) {
    let Ok(document) = json::parse::parse(bytes) else { return };
    match json::commit::read(&document) {
        Ok(commit) => is_written_and_read_back(&commit),
        Err(wrong) => assert!(wrong.to_string().starts_with("commit"), "{wrong}"),
    }
}

/// A commit that was read or typed has one document, if a node would read it at all.
pub(crate) fn is_written_and_read_back(commit: &seawall::Commit) {
    let Ok(document) = json::commit::write(commit) else { return };
    let text = document.to_string();
    let again: Json = serde_json::from_str(&text).expect("what is written as JSON is JSON");
    assert_eq!(json::commit::read(&again).as_ref(), Ok(commit), "{text}");
}

/// A declaration as a JSON document.
pub fn declaration(bytes: &[u8]) {
    if let Ok(document) = json::parse::parse(bytes) {
        is_declared_again(&document);
    }
}

pub(crate) fn is_declared_again(document: &Json) {
    match json::table::read(document) {
        Ok(declared) => {
            let written = json::table::write(&declared);
            assert_eq!(json::table::read(&written).as_ref(), Ok(&declared), "{written}");
        }
        Err(wrong) => assert!(wrong.to_string().starts_with("declaration"), "{wrong}"),
    }
}

/// A configuration file. A file that is refused names what is wrong with it.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut settings = Settings::default();
    match config::read(&mut settings, Path::new("n.toml"), text) {
        Ok(()) => drop((config::document(&settings), config::table(&settings))),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines = text.lines().count() + 1;
            assert!(
                problems.iter().all(|problem| problem.line.is_none_or(|line| (1..=lines).contains(&line)))
            );
            problems.iter().for_each(|problem| drop(problem.to_string()));
        }
    }
}

/// The block of a data directory's identity: as it stands, and with its checksum made right.
pub fn superblock(bytes: &[u8]) {
    is_encoded_again(bytes);
    let mut sealed = bytes.to_vec();
    if Superblock::seal(&mut sealed) {
        is_encoded_again(&sealed);
    }
}

/// The partition map as an authority keeps it.
pub fn map(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match document::read(text) {
        Ok(map) => {
            let written = document::write(&map);
            assert_eq!(document::read(&written).as_ref(), Ok(&map), "{written}");
        }
        Err(wrong) => assert!(wrong.to_string().starts_with("map"), "{wrong}"),
    }
}

fn is_encoded_again(bytes: &[u8]) {
    if let Ok(superblock) = Superblock::decode(bytes) {
        assert_eq!(Superblock::decode(&superblock.encode()), Ok(superblock));
    }
}

/// The mark of how a log was left. What is no mark counts as a kill, after which recovery looks at everything.
pub fn mark(bytes: &[u8]) {
    let end = LastEnd::read(bytes);
    match end.mark() {
        Some(mark) => assert_eq!(LastEnd::read(mark.as_bytes()), end),
        None => assert_eq!(end, LastEnd::Killed, "only a log without files is new"),
    }
}
