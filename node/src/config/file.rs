//! A configuration file: TOML, with each mistake named by its line.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{Given, Origin, Settings};

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// Counted from 1; `None`: it is about the whole file.
    pub line: Option<usize>,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.what),
            None => write!(f, "{}: {}", self.file.display(), self.what),
        }
    }
}

/// Larger than any file that sets everything.
const FILE_BYTES: usize = 1 << 20;

/// Sets what `text` says, or returns everything that is wrong with it.
pub fn read(settings: &mut Settings, path: &Path, text: &str) -> Result<(), Vec<Problem>> {
    let problem = |line, what| Problem { file: path.to_owned(), line, what };
    if text.len() > FILE_BYTES {
        let what = format!("{} bytes are no configuration file; allowed: {FILE_BYTES}", text.len());
        return Err(vec![problem(None, what)]);
    }
    let line = |offset: usize| Some(1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count());
    let root = DeTable::parse(text)
        .map_err(|e| vec![problem(e.span().and_then(|span| line(span.start)), e.message().to_owned())])?;
    let mut said = Vec::new();
    flatten("", root.get_ref(), &mut said);
    let set = |(offset, key, given): (usize, String, Given)| {
        let wrong = settings.set(&key, &given, Origin::File).err()?;
        Some(problem(line(offset), wrong))
    };
    let places: Vec<(usize, String)> = said.iter().map(|(offset, key, _)| (*offset, key.clone())).collect();
    let mut problems: Vec<Problem> = said.into_iter().filter_map(set).collect();
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty()
        && let Some((keys, what)) = settings.clash()
    {
        let last =
            places.iter().filter(|(_, key)| keys.contains(&key.as_str())).map(|(offset, _)| *offset).max();
        problems.push(problem(last.and_then(line), what));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Every value with its whole key, and where the key stands.
fn flatten(prefix: &str, table: &DeTable<'_>, said: &mut Vec<(usize, String, Given)>) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(&format!("{key}."), inner, said),
            value => said.push((name.span().start, key, given(value))),
        }
    }
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(digits) => match i128::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Given::Number(number),
            Err(_) => Given::Other("a number of too many digits"),
        },
        DeValue::Float(_) => Given::Other("a number with a fraction"),
        DeValue::Boolean(_) => Given::Other("true or false"),
        DeValue::Datetime(_) => Given::Other("a time"),
        DeValue::Array(_) => Given::Other("a list"),
        DeValue::Table(_) => Given::Other("a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let read = read(&mut Settings::default(), Path::new("n.toml"), text);
        read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_mistake_is_named_by_its_line() {
        for (text, at, word) in [
            ("listen = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:1\"\n", "n.toml:2: ", "duplicate"),
            ("# a comment\n[admin]\nconnections = 0\n", "n.toml:3: ", "1 to 4096"),
            ("[admin]\nconections = 1\n", "n.toml:2: ", "did you mean admin.connections?"),
            ("[log]\n\nspares = 2.5\n", "n.toml:3: ", "a number with a fraction"),
            ("[log]\nspares = 99999999999999999999999999999999999999999\n", "n.toml:2: ", "too many digits"),
            ("driver = true\n", "n.toml:1: ", "auto, ring or syscall"),
            ("[driver]\n", "n.toml:1: ", "a table"),
            ("log.spares = [3]\n", "n.toml:1: ", "a list"),
            ("workers = 2\nnot toml at all\n", "n.toml:2: ", ""),
        ] {
            let said = problems(text);
            assert_eq!(said.len(), 1, "{text:?}: {said:?}");
            assert!(said[0].starts_with(at) && said[0].contains(word), "{text:?}: {said:?}");
        }
    }

    #[test]
    fn all_mistakes_are_named_at_once_in_their_order() {
        let said = problems("workers = 257\n[log]\nspares = 1\n[admin]\nask_ms = \"soon\"\n");
        let lines: Vec<&str> = said.iter().map(|said| said.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(lines, ["n.toml:1", "n.toml:3", "n.toml:5"], "{said:?}");
    }

    #[test]
    fn what_is_right_is_taken() {
        let mut settings = Settings::default();
        let text =
            "data = '/srv/seawall'\nworkers = 0x2\n[admin]\nlisten = \"127.0.0.1:0\"\nbody_bytes = 1_024\n";
        read(&mut settings, Path::new("n.toml"), text).expect("it is right");
        assert_eq!((settings.number("workers"), settings.number("admin.body_bytes")), (2, 1024));
        assert_eq!((settings.word("data"), settings.word("admin.listen")), ("/srv/seawall", "127.0.0.1:0"));
        assert_eq!(problems(""), [""; 0]);
    }
}
