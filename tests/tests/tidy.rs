//! The shape of the sources, as a test.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it reads the sources and asks the scripts"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seawall_tests::plants;
use seawall_tests::skip::skip;

const PACKAGES: &[&str] = &["wal", "net", "node", "bench", "tests", "model"];
const LINES_MAX: usize = 500;
const CODE_MAP: &str = "docs/ARCHITECTURE.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust source with its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = PACKAGES.iter().map(|package| root().join(package)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                let built = path.file_name().is_some_and(|name| name == "target");
                folders.extend((!built).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root())
                    .expect("below the root")
                    .to_str()
                    .expect("a plain name")
                    .to_owned();
                found.push((name, fs::read_to_string(&path).expect("a source is text")));
            }
        }
    }
    found.sort();
    assert!(found.len() > 40, "only {} sources were found", found.len());
    found
}

/// The code of a line, without its comment and without what stands in quotes.
fn code(line: &str) -> String {
    let quoteless: String = line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    quoteless.split("//").next().unwrap_or_default().to_owned()
}

fn complain(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_file_fits_into_a_head() {
    let lines = |(name, text): (String, String)| (name, text.lines().count());
    let long =
        |(name, lines): (String, usize)| (lines >= LINES_MAX).then(|| format!("{name}: {lines} lines"));
    complain(&sources().into_iter().map(lines).filter_map(long).collect::<Vec<_>>());
}

#[test]
fn unsafe_code_is_in_the_driver_alone() {
    let is_unsafe = |line: &str| {
        code(line).split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe")
    };
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let allowed = name.starts_with("node/src/driver/") || name.starts_with("node/tests/driver");
        for (nth, _) in text.lines().enumerate().filter(|(_, line)| !allowed && is_unsafe(line)) {
            wrong.push(format!("{name}:{}: unsafe", nth + 1));
        }
    }
    complain(&wrong);
}

/// A door is a function of a `fuzz` file that takes any bytes and that others can call.
#[test]
fn every_door_for_hostile_bytes_is_in_a_list() {
    let sources = sources();
    let lists: String =
        sources.iter().filter(|(name, _)| name.ends_with("src/fuzz.rs")).map(|(_, text)| &text[..]).collect();
    let (mut doors, mut wrong) = (0, Vec::new());
    for (name, text) in
        sources.iter().filter(|(name, _)| name.ends_with("/fuzz.rs") && name.contains("/src/"))
    {
        for line in text.lines().filter(|line| line.starts_with("pub") && line.ends_with("(bytes: &[u8]) {"))
        {
            let door =
                line.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).expect("a function's name");
            doors += 1;
            if !lists.contains(&format!("\", {door}),")) {
                wrong.push(format!("{name}: {door} is not in DOORS"));
            }
        }
    }
    assert!(doors >= 20, "only {doors} doors were found");
    complain(&wrong);
}

#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for (nth, line) in text.lines().enumerate() {
            wrong.extend(
                words.iter().filter(|w| code(line).contains(*w)).map(|w| format!("{name}:{}: {w}", nth + 1)),
            );
        }
    }
    complain(&wrong);
}

#[test]
fn every_planted_bug_still_has_its_place() {
    let mut wrong = Vec::new();
    for plant in plants::all() {
        let text = fs::read_to_string(root().join(plant.file)).unwrap_or_default();
        match text.matches(plant.find).count() {
            1 => {}
            count => wrong.push(format!("{}: {} has its text {count} times", plant.name, plant.file)),
        }
    }
    complain(&wrong);
}

/// A line of the map begins with the path of a source in backticks.
#[test]
fn the_code_map_names_what_there_is() {
    let Ok(map) = fs::read_to_string(root().join(CODE_MAP)) else {
        return skip("the_code_map_names_what_there_is", &format!("{CODE_MAP} is not written yet"));
    };
    let path = |line: &str| {
        let path = line.trim_start().trim_start_matches("- ").strip_prefix('`')?.split('`').next()?;
        path.ends_with(".rs").then(|| path.to_owned())
    };
    let named: Vec<String> = map.lines().filter_map(path).collect();
    let exist: Vec<String> = sources().into_iter().map(|(name, _)| name).collect();
    let mut wrong: Vec<String> = Vec::new();
    wrong.extend(
        named.iter().filter(|name| !exist.contains(name)).map(|name| format!("{name}: only in the map")),
    );
    wrong.extend(
        exist.iter().filter(|name| !named.contains(name)).map(|name| format!("{name}: not in the map")),
    );
    complain(&wrong);
}

/// Each script says what it is for before it does anything.
#[test]
fn each_script_answers_help() {
    let scripts = fs::read_dir(root().join("scripts")).expect("the scripts");
    let scripts = scripts.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let help = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let text = fs::read_to_string(&path).expect("a script is text");
        // Whoever does not look for it would begin to work.
        if !text.contains("-h | --help") {
            return Some(format!("scripts/{name} does not know --help"));
        }
        let said = Command::new(&path).arg("--help").output().expect("it runs");
        let tells = String::from_utf8_lossy(&said.stdout).contains(&format!("scripts/{name}"));
        (!said.status.success() || !tells).then(|| format!("scripts/{name} --help: {said:?}"))
    };
    complain(&scripts.filter_map(help).collect::<Vec<_>>());
}
