//! `seawall commit`: checks and operations on one partition, all of them or none.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use seawall::address::RowRef;
use seawall::message::check::Compare;
use seawall::message::condition::{Condition, Edge, Side};
use seawall::position::Position;
use seawall::{Commit, Key, Row, Value};

use super::args::{self, FieldPath};
use super::connect::Connect;
use super::put::Once;
use super::{Exit, ended, file};
use crate::driver::console;
use crate::json::commit as document;

/// Check and change rows of one partition: all of it happens, or nothing.
///
/// Fields are TABLE/ROW.FIELD, with :TYPE behind it where the value's type cannot be guessed. Operations are done in
/// this order: sets, additions, deletions, events. For everything else that a commit can do, write it as JSON
/// (docs/json.md) and use -f; --show prints the JSON of what was typed.
#[derive(Args)]
#[command(
    after_help = "Example:\n  seawall commit HP-2026-07-14 --key hold-BK-88421 --check cabin/C14.state = free \\\n    \
                        --set cabin/C14.state=held --add total/held.count=1,max=@total/held.limit --event cabin-held=C14"
)]
pub(super) struct CommitVerb {
    /// The scope of what must hold together.
    #[arg(value_name = "PARTITION", required_unless_present = "file", conflicts_with = "file", value_parser = args::key)]
    partition: Option<Key>,
    /// The whole commit as a JSON document; - reads standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["check", "exists", "absent", "unchanged", "set", "add", "delete", "event"])]
    file: Option<PathBuf>,
    /// A field compares so: OP is =, !=, <, <=, >, >= or in (values separated by commas). VALUE may be @now or
    /// @TABLE/ROW.FIELD.
    #[arg(long, num_args = 3, value_names = ["TABLE/ROW.FIELD[:TYPE]", "OP", "VALUE"], allow_hyphen_values = true)]
    check: Vec<String>,
    /// There is such a row.
    #[arg(long, value_name = "TABLE/ROW", value_parser = args::row)]
    exists: Vec<RowRef>,
    /// There is no such row.
    #[arg(long, value_name = "TABLE/ROW", value_parser = args::row)]
    absent: Vec<RowRef>,
    /// The row still has the version that `get` showed.
    #[arg(long, value_name = "TABLE/ROW=VERSION", value_parser = unchanged)]
    unchanged: Vec<(RowRef, Position)>,
    /// Set a field; the others of the row stay.
    #[arg(long, value_name = "TABLE/ROW.FIELD[:TYPE]=VALUE", value_parser = set)]
    set: Vec<(FieldPath, Value)>,
    /// Add to a number, which must stay between min and max: numbers, or @TABLE/ROW.FIELD.
    #[arg(long, value_name = "TABLE/ROW.FIELD=DELTA[,min=…][,max=…]")]
    add: Vec<Add>,
    /// Delete a row.
    #[arg(long, value_name = "TABLE/ROW", value_parser = args::row)]
    delete: Vec<RowRef>,
    /// Tell whoever watches.
    #[arg(long, value_name = "TOPIC=PAYLOAD", value_parser = event)]
    event: Vec<(String, String)>,
    /// So many members must have it, the leader included, where the shard's policy asks for fewer.
    #[arg(long, value_name = "MEMBERS")]
    durable_on: Option<u8>,
    /// Print the commit as JSON, and do nothing.
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    connect: Connect,
}

impl CommitVerb {
    pub(super) fn run(self) -> Exit {
        let read = match &self.file {
            Some(path) => file::json(path)
                .and_then(|json| document::read(&json).map_err(|why| format!("{}: {why}", path.display()))),
            None => self.typed(),
        };
        let wide = |commit: Commit| match self.durable_on {
            Some(members) => commit.durable_on(members),
            None => commit,
        };
        let commit = match read.map(wide).and_then(|commit| self.once.apply(commit)) {
            Ok(commit) => commit,
            Err(why) => return Exit::Usage(why),
        };
        if self.show {
            return match document::write(&commit) {
                Ok(json) => {
                    console::say(format_args!("{json:#}"));
                    Exit::Done
                }
                Err(why) => Exit::Usage(why.to_string()),
            };
        }
        let what = format!("in partition {}", commit.partition());
        self.connect.with(|client| ended::send(client, &self.connect, &commit, &what))
    }

    /// The commit of the arguments.
    fn typed(&self) -> Result<Commit, String> {
        let partition = self.partition.as_ref().ok_or("a commit needs a PARTITION, or -f FILE")?;
        let mut commit = Commit::new(partition);
        // A check may have swallowed what should be done.
        for words in self.check.chunks_exact(3) {
            commit = commit.check(check(&words[0], &words[1], &words[2])?);
        }
        if self.set.is_empty() && self.add.is_empty() && self.delete.is_empty() && self.event.is_empty() {
            return Err("the commit does nothing: add --set, --add, --delete or --event".into());
        }
        commit = self.exists.iter().fold(commit, |commit, row| commit.check(row.exists()));
        commit = self.absent.iter().fold(commit, |commit, row| commit.check(row.absent()));
        for (row, version) in &self.unchanged {
            commit = commit.check(row.version().eq(*version));
        }
        for (row, fields) in self.sets()? {
            commit = commit.merge(row, fields);
        }
        commit = self.add.iter().fold(commit, |commit, add| add.to(commit));
        commit = self.delete.iter().fold(commit, Commit::delete);
        Ok(self.event.iter().fold(commit, |commit, (topic, payload)| commit.event(topic, payload)))
    }

    /// What is set, row by row, in the order in which the rows come first.
    fn sets(&self) -> Result<Vec<(&RowRef, Row)>, String> {
        let mut rows: Vec<(&RowRef, Row)> = Vec::new();
        for (path, value) in &self.set {
            let row = match rows.iter_mut().find(|(row, _)| **row == path.row) {
                Some((_, row)) => row,
                None => &mut rows.push_mut((&path.row, Row::new())).1,
            };
            if row.insert(path.field.clone(), value.clone()).is_some() {
                return Err(format!("{}.{} is set twice", path.row, path.field));
            }
        }
        Ok(rows)
    }
}

/// `TABLE/ROW.FIELD[:TYPE]`, a comparison, and a value, `@now` or `@TABLE/ROW.FIELD`.
fn check(left: &str, op: &str, right: &str) -> Result<Condition, String> {
    let wrong = |why: String| format!("--check {left} {op} {right}: {why}");
    if op.starts_with("--") {
        let form =
            "a check is three words, FIELD OP VALUE, with spaces between: --check cabin/C14.state = free";
        return Err(wrong(form.to_owned()));
    }
    let path: FieldPath = left.parse().map_err(wrong)?;
    let type_name = path.type_name.as_deref();
    if op == "in" {
        return Ok(path.to_ref().is_in(args::values(type_name, right).map_err(wrong)?));
    }
    let compare: Compare = document::compare_of(op).ok_or_else(|| {
        wrong(format!("'{op}' is no comparison: write '=', '!=', '<', '<=', '>', '>=' or in"))
    })?;
    let right = match right.strip_prefix('@') {
        Some("now") => seawall::now(),
        Some(field) => Side::from(FieldPath::from_str(field).map_err(wrong)?.to_ref()),
        None => Side::from(args::value(type_name, right).map_err(wrong)?),
    };
    Ok(document::condition(path.to_ref().into(), compare, right))
}

fn unchanged(text: &str) -> Result<(RowRef, Position), String> {
    let (row, version) = text
        .split_once('=')
        .ok_or("write TABLE/ROW=VERSION, cabin/C14=3:142 for example, with the version that `get` showed")?;
    Ok((args::row(row)?, version.parse().map_err(|why| format!("'{version}' is {why}"))?))
}

fn set(text: &str) -> Result<(FieldPath, Value), String> {
    let (path, value) =
        text.split_once('=').ok_or("write TABLE/ROW.FIELD=VALUE, cabin/C14.state=held for example")?;
    let path: FieldPath = path.parse()?;
    let value = args::value(path.type_name.as_deref(), value)?;
    Ok((path, value))
}

fn event(text: &str) -> Result<(String, String), String> {
    let (topic, payload) = text.split_once('=').ok_or("write TOPIC=PAYLOAD, cabin-held=C14 for example")?;
    seawall::check_name(topic).map_err(|why| format!("'{topic}' is no topic: {why}"))?;
    Ok((topic.to_owned(), payload.to_owned()))
}

/// `TABLE/ROW.FIELD[:TYPE]=DELTA[,min=BOUND][,max=BOUND]`.
#[derive(Clone, Debug)]
struct Add {
    field: FieldPath,
    delta: Value,
    min: Option<Edge>,
    max: Option<Edge>,
}

impl Add {
    fn to(&self, commit: Commit) -> Commit {
        let Self { field, delta, min, max } = self;
        commit.add(&field.row, &field.field, delta.clone(), document::within(min.clone(), max.clone()))
    }
}

impl FromStr for Add {
    type Err = String;

    fn from_str(text: &str) -> Result<Add, String> {
        let form = "write TABLE/ROW.FIELD=DELTA, total/held.count=1,max=100 for example";
        let (path, rest) = text.split_once('=').ok_or(form)?;
        let field: FieldPath = path.parse()?;
        let type_name = field.type_name.as_deref();
        let (mut rest, mut min, mut max) = (rest, None, None);
        // From the end: what a bound names may have commas of its own, in a row's key.
        while let Some((before, mark, behind)) = last_bound(rest) {
            let slot = if mark == MIN { &mut min } else { &mut max };
            if slot.replace(bound(type_name, behind)?).is_some() {
                return Err(format!("'{mark}' is given twice; {form}"));
            }
            rest = before;
        }
        let delta = args::number(type_name, rest).map_err(|why| format!("{why}; {form}"))?;
        Ok(Add { field, delta, min, max })
    }
}

const MIN: &str = ",min=";
const MAX: &str = ",max=";

fn last_bound(text: &str) -> Option<(&str, &'static str, &str)> {
    let (at, mark) = [MIN, MAX].into_iter().filter_map(|mark| Some((text.rfind(mark)?, mark))).max()?;
    Some((&text[..at], mark, &text[at + mark.len()..]))
}

fn bound(type_name: Option<&str>, text: &str) -> Result<Edge, String> {
    match text.strip_prefix('@') {
        Some(field) => Ok(Edge::from(FieldPath::from_str(field)?.to_ref())),
        None => args::number(type_name, text)
            .map(Edge::from)
            .map_err(|why| format!("a bound is a number or @TABLE/ROW.FIELD: {why}")),
    }
}

/// The commits that these words can be, each with one check or operation made of them; a check takes a line for each
/// of its words.
pub(super) fn typed_words(text: &str) -> Vec<Commit> {
    let commit = || Commit::new("p");
    let something = || commit().event("t", "");
    let mut found = Vec::new();
    if let [left, op, right] = text.splitn(3, '\n').collect::<Vec<_>>()[..] {
        found.extend(check(left, op, right).map(|check| something().check(check)));
    }
    found.extend(unchanged(text).map(|(row, version)| something().check(row.version().eq(version))));
    found.extend(set(text).map(|(path, value)| commit().merge(&path.row, [(path.field, value)])));
    found.extend(event(text).map(|(topic, payload)| commit().event(&topic, payload)));
    found.extend(text.parse().map(|add: Add| add.to(commit())));
    found
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
