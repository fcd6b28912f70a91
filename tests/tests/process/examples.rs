//! The client's examples, run as they stand there.

use std::process::Command;

use super::node::{BINARY, Node, folder};

/// What a program that ends well prints.
fn says(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn the_first_program_of_the_documentation_runs() {
    let test = "the_first_program_of_the_documentation_runs";
    runs(env!("CARGO_BIN_EXE_first-program"), Node::start(test, &folder("first")));
}

#[test]
fn the_first_program_runs_on_tokio() {
    let test = "the_first_program_runs_on_tokio";
    runs(env!("CARGO_BIN_EXE_async-first-program"), Node::start(test, &folder("first-tokio")));
}

/// The first program holds the cabin, and again when it is started again.
fn runs(program: &str, node: Node) {
    let first = || says(program, &[&node.address]);
    let line = readme().lines().find(|line| line.contains("-- commit ")).expect("the README makes the rows");
    let (_, words) = line.split_once("-- ").expect("arguments");
    let words: Vec<&str> = words.split_whitespace().chain(["--connect", &node.address]).collect();
    says(BINARY, &words);
    let said = first();
    assert!(said.starts_with("held, ") && said.contains("replayed=false\nSome(Row"), "{said}");
    let said = first();
    assert!(said.starts_with("held, ") && said.contains("replayed=true\nSome(Row"), "{said}");
    assert!(node.terminate().success());
}

fn readme() -> &'static str {
    include_str!("../../../README.md")
}

/// The program on tokio, as it would be if nothing had to be waited for.
fn without_waits(text: &str) -> String {
    text.replace("async fn main()", "fn main()").replace(".await", "")
}

/// The program without what is said about it, line by line; where the node is, is the example's own.
fn program(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim_start_matches("//! ").trim_end());
    let body = lines.skip_while(|line| !line.starts_with("fn main()"));
    let end = |line: &&str| *line != "}";
    let of_address = |line: &&str| !line.contains("address") && !line.contains("Client::connect");
    body.take_while(end).filter(of_address).map(str::to_owned).collect()
}

#[test]
fn the_first_program_is_the_same_everywhere() {
    let first = program(include_str!("../../../net/examples/first.rs"));
    assert!(first.len() > 15, "{first:?}");
    let block = |text: &str, opened: &str| text.split(opened).nth(1).expect("a block").to_owned();
    assert_eq!(program(&block(readme(), "```rust")), first, "README.md");
    let door = include_str!("../../../net/src/lib.rs");
    assert_eq!(program(&block(door, "```no_run")), first, "net/src/lib.rs");
    let waits = include_str!("../../../net/examples/async_first.rs");
    assert_eq!(program(&without_waits(waits)), first, "net/examples/async_first.rs");
    let shown =
        readme().split("```rust").nth(2).expect("a second block").split("```").next().expect("its end");
    let missing: Vec<&str> = shown.lines().filter(|line| !waits.contains(line)).collect();
    assert_eq!(missing, [] as [&str; 0], "README.md shows what is not in net/examples/async_first.rs");
}

#[test]
fn no_place_is_sold_twice_however_often_it_is_asked_for() {
    let test = "no_place_is_sold_twice_however_often_it_is_asked_for";
    let node = Node::start(test, &folder("reservations"));
    for _ in 0..2 {
        let said = says(env!("CARGO_BIN_EXE_reservations"), &[&node.address]);
        assert!(said.starts_with("sold 10 of 20; {limit: 10, taken: 10} as of "), "{said}");
    }
    assert!(node.terminate().success());
}

#[test]
fn the_last_cabin_has_one_guest() {
    let test = "the_last_cabin_has_one_guest";
    let node = Node::start(test, &folder("last-cabin"));
    let mut winner = None;
    for _ in 0..2 {
        let said = says(env!("CARGO_BIN_EXE_last-cabin"), &[&node.address]);
        let booked: Vec<&str> = said.lines().filter(|line| line.contains(" booked C14 at ")).collect();
        assert_eq!(booked.len(), 1, "{said}");
        let guest = booked[0].split(' ').next().expect("a name").to_owned();
        assert!(said.contains(&format!("the booking: {{guest: {guest}}}")), "{said}");
        assert!(said.contains(" was told: CONDITION_FAILED (check.absent)"), "{said}");
        assert_eq!(*winner.get_or_insert(guest.clone()), guest, "asked again, the answers are the same");
    }
    assert!(node.terminate().success());
}
