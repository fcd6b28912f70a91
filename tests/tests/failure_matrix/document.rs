//! `docs/failure-matrix.md`, from what the tests did and were told.
#![allow(clippy::disallowed_methods, reason = "it reads and writes the document")]

use std::fmt::Write;

use crate::{ROWS, Row, Seen};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/failure-matrix.md");
/// Set to write the document anew.
const WRITE: &str = "SEAWALL_WRITE_DOCUMENTS";

const HEAD: &str = "# The failure matrix of replication

What becomes of each failure, as the tests saw it. This page is written by them, from what they did and were told:
`SEAWALL_WRITE_DOCUMENTS=1 cargo test -p seawall-tests --test failure_matrix`. A leader and a follower, the workers of the
node on disks with a volatile write cache, are stopped between any two steps: an operation becomes durable, its end is heard,
a message arrives, time passes. *Points* are the places at which a process ended or something was bent, each with each thing
that the disk may keep. Explanations stand here word by word, one of each kind.

Over all rows: nothing goes on that cannot be proven (F-1), no part of anything is visible (F-2), and the same disk is
recovered in the same way, twice (F-3). No retry is silent, no catching up is without a name, no read is stale without proof,
no failure is forgotten by itself, and no wrong checksum or place is passed over. `tests/tests/failure_matrix/` has a test of
each. In the log by itself: `wal/tests/`.

| row | failure | points |
|---|---|---|
";

fn document() -> String {
    let mut text = HEAD.to_owned();
    for Row { name, title, seen } in ROWS {
        writeln!(text, "| [{name}](#{}) | {title} | {} |", name.to_lowercase(), seen().points)
            .expect("memory");
    }
    for Row { name, title, seen } in ROWS {
        let Seen { condition, points, outcome, explanations } = seen();
        write!(text, "\n## {name}\n**{title}**, at {points} points\n\n").expect("memory");
        write!(text, "* *Condition:* {condition}.\n* *Outcome:* {outcome}.\n").expect("memory");
        for (by, said) in explanations {
            write!(text, "\n{by}:\n```text\n{said}\n```\n").expect("memory");
        }
    }
    text
}

#[test]
fn the_document_says_what_the_tests_saw() {
    let seen = document();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(DOCUMENT, &seen).expect("docs/ can be written");
    }
    let written = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    let line = seen.lines().zip(written.lines().chain(std::iter::repeat(""))).position(|(a, b)| a != b);
    assert!(
        seen == written,
        "docs/failure-matrix.md is not what the tests saw, from line {:?} on; {WRITE}=1 writes it anew: look at what changed",
        line.map(|line| line + 1)
    );
}
