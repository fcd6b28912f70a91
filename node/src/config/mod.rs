//! How a node is configured: every parameter with its value and where the value comes from.
//!
//! ```text
//! file.rs   a TOML file, each value checked where it stands      show.rs   the whole of it, for people and programs
//! words.rs  the settings that are no numbers                     node.rs   what a node is started with
//! ```
//! The numbers and their ranges are the table in `params.rs`. There is one way in, [`Settings::set`], so a flag, a line
//! of a file and a default are checked by the same rule.

mod file;
mod node;
mod show;
mod words;

use std::fmt;

use crate::params::{PARAMETERS, Parameter, Place};
pub use file::{Problem, read};
pub use show::{document, markdown, settable, table};
pub use words::{WORDS, Word};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Flag => "flag",
        })
    }
}

/// What a file or a flag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Number(i128),
    Text(String),
    /// Something else, by its name.
    Other(&'static str),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Number(number) => write!(f, "{number}"),
            Given::Text(text) => write!(f, "\"{text}\""),
            Given::Other(kind) => write!(f, "{kind}"),
        }
    }
}

/// A value for each parameter that may be set, in the order of the tables.
#[derive(Clone, Debug)]
pub struct Settings {
    numbers: Vec<(u64, Origin)>,
    words: Vec<(String, Origin)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            numbers: PARAMETERS.iter().map(|row| (row.default, Origin::Default)).collect(),
            words: WORDS.iter().map(|word| (word.default.to_owned(), Origin::Default)).collect(),
        }
    }
}

impl Settings {
    /// Sets one parameter, or says what is wrong and what is allowed.
    pub fn set(&mut self, key: &str, given: &Given, origin: Origin) -> Result<(), String> {
        if let Some(at) = WORDS.iter().position(|word| word.key == key) {
            self.words[at] = (WORDS[at].accept(given)?, origin);
            return Ok(());
        }
        let at = PARAMETERS.iter().position(|row| row.place.is_some_and(|place| place.key == key));
        let at = at.ok_or_else(|| unknown(key))?;
        self.numbers[at] = (in_range(&PARAMETERS[at], given)?, origin);
        Ok(())
    }

    /// Two addresses that cannot be served at once: their keys, and what is wrong.
    pub fn clash(&self) -> Option<([&'static str; 2], String)> {
        let pairs = [["listen", "admin.listen"], ["listen", "peer_listen"], ["admin.listen", "peer_listen"]];
        let same = |[one, other]: &[&'static str; 2]| {
            let address = self.word(one);
            address == self.word(other) && !address.ends_with(":0")
        };
        let keys = pairs.into_iter().find(same)?;
        let [one, other] = keys;
        let what = format!("{one} and {other} are both {}: give each a port of its own", self.word(one));
        Some((keys, what))
    }

    /// # Panics
    /// When there is no such parameter.
    pub fn number(&self, key: &str) -> u64 {
        let mut rows = PARAMETERS.iter().zip(&self.numbers);
        let found = rows.find(|(row, _)| row.place.is_some_and(|place| place.key == key));
        found.unwrap_or_else(|| panic!("there is no number {key}")).1.0
    }

    /// # Panics
    /// When there is no such parameter.
    pub fn word(&self, key: &str) -> &str {
        let found = WORDS.iter().zip(&self.words).find(|(word, _)| word.key == key);
        &found.unwrap_or_else(|| panic!("there is no word {key}")).1.0
    }
}

fn in_range(row: &Parameter, given: &Given) -> Result<u64, String> {
    let Some(Place { key, least, most }) = row.place else { return Err(unknown(row.name)) };
    let unit = row.unit.name();
    let allowed = format!("{least} to {most} {unit}").trim_end().to_owned();
    match given {
        Given::Number(number) => match u64::try_from(*number) {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("{key} = {number} is out of range; allowed: {allowed}")),
        },
        other => Err(format!("{key} = {other} is no number; allowed: {allowed}")),
    }
}

/// There is nothing to set under this key: what was meant, perhaps.
fn unknown(key: &str) -> String {
    let fixed = |row: &&Parameter| row.place.is_none() && row.name.eq_ignore_ascii_case(key);
    if let Some(row) = PARAMETERS.iter().find(fixed) {
        return format!("{key} cannot be set: it is {} in every node of this version", row.default);
    }
    let apart = |known: &&str| if known.ends_with(&format!(".{key}")) { 1 } else { distance(known, key) };
    let near = keys().min_by_key(apart).filter(|known| apart(known) <= 3);
    let hint = near.map_or_else(
        || "`seawall config show` lists what there is".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    format!("there is no parameter {key}; {hint}")
}

/// Everything that may be set.
fn keys() -> impl Iterator<Item = &'static str> {
    let words = WORDS.iter().map(|word| word.key);
    words.chain(PARAMETERS.iter().filter_map(|row| row.place).map(|place| place.key))
}

/// How many letters must be added, removed or changed to come from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(key: &str, given: Given) -> String {
        Settings::default().set(key, &given, Origin::File).expect_err("it is wrong")
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        let said = refused("admin.connections", Given::Number(0));
        assert_eq!(said, "admin.connections = 0 is out of range; allowed: 1 to 4096");
        assert!(refused("admin.connections", Given::Number(4097)).contains("1 to 4096"));
        assert!(refused("admin.head_ms", Given::Number(-1)).contains("100 to 600000 ms"));
        assert!(refused("log.spares", Given::Text("three".into())).contains("\"three\" is no number"));
        assert!(refused("admin.conections", Given::Number(1)).contains("did you mean admin.connections?"));
        assert!(refused("spares", Given::Number(3)).contains("did you mean log.spares?"));
        assert!(refused("nothing.like_it", Given::Number(1)).contains("`seawall config show`"));
        assert!(refused("parked_commits", Given::Number(1)).contains("it is 1024 in every node"));
        assert!(refused("driver", Given::Text("rings".into())).contains("auto, ring or syscall"));
        assert!(refused("listen", Given::Text("here".into())).contains("127.0.0.1:7411"));
    }

    #[test]
    fn what_can_be_reached_from_outside_is_refused_by_name() {
        for key in ["listen", "admin.listen"] {
            for address in ["0.0.0.0:7411", "192.168.1.1:7411", "[::]:7411"] {
                let why = refused(key, Given::Text(address.into()));
                assert!(
                    why.starts_with(key) && why.contains("credentials") && why.contains("127.0.0.1:74"),
                    "{why}"
                );
            }
        }
    }

    #[test]
    fn a_value_that_is_in_range_is_taken_with_its_origin() {
        let mut settings = Settings::default();
        assert_eq!(settings.number("log.spares"), 3);
        for edge in [2, 64] {
            settings.set("log.spares", &Given::Number(edge), Origin::Flag).expect("it is in range");
            assert_eq!(i128::from(settings.number("log.spares")), edge);
        }
        settings.set("driver", &Given::Text("syscall".into()), Origin::File).expect("it is one");
        assert_eq!(settings.word("driver"), "syscall");
    }
}
