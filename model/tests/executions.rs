//! Without a clause: the execution that it prevents is found, and stands in `docs/replication.md` as it was found.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "it reads the document")]

use seawall_model::cases::CASES;
use seawall_model::check::counterexample;
use seawall_model::document;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/replication.md");

#[track_caller]
fn prevented_by(rule: &str) {
    let text = std::fs::read_to_string(DOCUMENT).expect("docs/replication.md is there");
    let mut wrong = Vec::new();
    for case in CASES.iter().filter(|case| case.rule == rule) {
        let Some(execution) = counterexample(case) else {
            wrong.push(format!("{:?}: nothing breaks {}", case.clause, case.breaks));
            continue;
        };
        assert!(execution.broken.contains(&case.breaks), "{execution:#?}");
        if document::written(&text, case) != Some(document::block(case, &execution).as_str()) {
            wrong.push(format!("{:?}: docs/replication.md says something else", case.clause));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\nscripts/model document writes what is found now");
}

#[test]
fn r10() {
    prevented_by("R10");
}

#[test]
fn r11() {
    prevented_by("R11");
}

#[test]
fn r12() {
    prevented_by("R12");
}

#[test]
fn r13() {
    prevented_by("R13");
}

#[test]
fn r14() {
    prevented_by("R14");
}

#[test]
fn r15() {
    prevented_by("R15");
}

#[test]
fn r16() {
    prevented_by("R16");
}
