//! The doors of what people type and of the files that they name; `crate::fuzz` lists them.

use seawall::address::{RowPath, RowRef};
use seawall::limits::ROW_MAX;
use seawall::{Commit, Key, Row, Value};

use super::args::{self, RequestName};
use super::{commit, file, scan};
use crate::fuzz::{is_declared_again, is_written_and_read_back};
use crate::json;
use crate::json::read::{Place, parse_row};

const TYPES: [Option<&str>; 9] = [
    None,
    Some("text"),
    Some("int"),
    Some("bool"),
    Some("decimal"),
    Some("time"),
    Some("bytes"),
    Some("set"),
    Some("float"),
];

/// A declaration in TOML, as the file of `seawall declare -f`.
pub(crate) fn declaration_file(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(document) = file::toml(text) {
        is_declared_again(&document);
    }
}

/// Whatever can stand on a command line: each form reads the whole of it, and a check takes three lines.
pub(crate) fn typed(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for type_name in TYPES {
        let values = args::value(type_name, text).into_iter().chain(args::number(type_name, text));
        values
            .chain(args::values(type_name, text).into_iter().flatten())
            .for_each(|value| is_a_value(&value));
    }
    if let Ok((name, value)) = args::field(text) {
        seawall::check_name(&name).expect("a field's name");
        is_a_value(&value);
    }
    if let Ok(path) = text.parse::<RowPath>() {
        assert_eq!(path.to_string().parse(), Ok(path));
    }
    if let Ok(key) = args::key(text) {
        assert_eq!(key.to_string().parse::<Key>(), Ok(key));
    }
    if let Ok(row) = args::row(text) {
        is_a_row(&row);
    }
    if let Ok(name) = text.parse::<RequestName>() {
        is_a_request_name(&name);
    }
    let _ = (args::duration(text), args::ttl(text), scan::cursor(text));
    if let Ok(us) = args::time(text) {
        is_a_value(&Value::Time(us));
    }
    commit::typed_words(text).into_iter().for_each(|typed| {
        is_written_and_read_back(&typed);
        let mut payload = Vec::new();
        typed.encode(&mut payload);
    });
}

fn is_a_value(value: &Value) {
    if matches!(value, Value::Text(text) if text.len() > ROW_MAX) {
        return; // it fits into no row; a node says so
    }
    let written = json::typed(value);
    let read = json::read_value(&Place::root("value"), &written);
    assert_eq!(read.as_ref(), Ok(value), "{written}");
    let row = Row::new().with("value", value.clone());
    is_written_and_read_back(&Commit::new("p").put(&seawall::row("t", "r"), row));
}

fn is_a_row(row: &RowRef) {
    assert_eq!(parse_row(&row.to_string()).as_ref(), Ok(row));
}

fn is_a_request_name(name: &RequestName) {
    if let RequestName::Caller(bytes) = name {
        assert!((1..=64).contains(&bytes.len()), "no node takes a key of {} bytes", bytes.len());
        assert_eq!(RequestName::typed(bytes).parse().as_ref(), Ok(name));
    }
}
