//! `seawall watch`: what happens in a partition, as it happens.

use std::io::Write;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Args;
use seawall::client::{Happened, Watch, Watching, What};
use seawall::{Client, Key, Token, Value};
use serde_json::{Value as Json, json};

use super::connect::Connect;
use super::{Exit, args};
use crate::driver::console;
use crate::json;

/// How long to wait at once for something to happen.
const TURN: Duration = Duration::from_secs(1);

/// Show changes of rows, and events, as they are committed. Ctrl-C ends it.
#[derive(Args)]
pub(super) struct WatchVerb {
    /// What to watch.
    #[arg(value_name = "PARTITION", value_parser = args::key)]
    partition: Key,
    /// Only the rows of this table, and no events.
    #[arg(value_name = "TABLE")]
    table: Option<String>,
    /// Only the events of this topic, and no rows.
    #[arg(long, value_name = "TOPIC", conflicts_with = "table")]
    topic: Option<String>,
    /// Where to begin: now, oldest (whatever is kept), or behind the token of a commit, a read or an earlier watch.
    #[arg(long, value_name = "TOKEN", default_value = "now")]
    from: From,
    /// End after this many changes.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// End after this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = args::duration)]
    patience: Option<Duration>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Now,
    Oldest,
    Token(Token),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "now" => Ok(From::Now),
            "oldest" => Ok(From::Oldest),
            token => token.parse().map(From::Token).map_err(|why| format!("{why}; or write now or oldest")),
        }
    }
}

impl WatchVerb {
    pub(super) fn run(self) -> Exit {
        self.connect.with(|client| self.watch(client))
    }

    fn watch(&self, client: &mut Client) -> seawall::Result<Exit> {
        let mut watch = Watch::partition(&self.partition);
        if let Some(table) = &self.table {
            watch = watch.table(table);
        }
        if let Some(topic) = &self.topic {
            watch = watch.topic(topic);
        }
        let mut watching = client.watch(&match self.from {
            From::Now => watch,
            From::Oldest => watch.from_oldest(),
            From::Token(token) => watch.behind(token),
        })?;
        console::complain(format_args!("watching {} from {}", self.partition, watching.token()));
        let end = self.follow(&mut watching);
        // What was shown behind this token may be shown again.
        console::complain(format_args!("go on with --from {}", watching.token()));
        end
    }

    fn follow(&self, watching: &mut Watching) -> seawall::Result<Exit> {
        let until = self.patience.map(|patience| Instant::now() + patience);
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let rest = until.map_or(TURN, |until| until.saturating_duration_since(Instant::now()).min(TURN));
            if rest.is_zero() {
                break;
            }
            let Some(happened) = watching.next_within(rest)? else { continue };
            left -= 1;
            let line = match self.connect.json {
                true => document(&happened).to_string(),
                false => line(&happened),
            };
            if writeln!(std::io::stdout(), "{line}").is_err() {
                break; // nobody reads any more
            }
        }
        Ok(Exit::Done)
    }
}

fn line(happened: &Happened) -> String {
    let what = match &happened.what {
        What::Put(at, row) => format!("put      {at} {row}"),
        What::Deleted(at) => format!("deleted  {at}"),
        What::Expired(at) => format!("expired  {at}"),
        What::Event(topic, payload) => match str::from_utf8(payload) {
            Ok(text) => format!("event    {topic} {text}"),
            Err(_) => format!("event    {topic} {}", Value::from(payload.as_slice())),
        },
    };
    format!("{}  {}  {what}", Value::Time(happened.time_us), happened.position)
}

fn document(happened: &Happened) -> Json {
    let mut document = json!({
        "position": happened.position.to_string(),
        "ordinal": happened.ordinal,
        "time": Value::Time(happened.time_us).to_string(),
        "partition": happened.partition.to_string(),
    });
    let mut set = |name: &str, value: Json| document[name] = value;
    match &happened.what {
        What::Put(at, row) => {
            set("what", json!("put"));
            set("at", json!(at.to_string()));
            set("row", json!(json::row(row)));
        }
        What::Deleted(at) => {
            set("what", json!("deleted"));
            set("at", json!(at.to_string()));
        }
        What::Expired(at) => {
            set("what", json!("expired"));
            set("at", json!(at.to_string()));
        }
        What::Event(topic, payload) => {
            set("what", json!("event"));
            set("topic", json!(topic));
            set("payload", json::text_or_bytes(payload));
        }
    }
    document
}
