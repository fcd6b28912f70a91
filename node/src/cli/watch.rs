//! `seawall watch`: what happens in a partition, as it happens.

use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Args;
use seawall::client::{Error, Happened, Options, Watch, Watching, What};
use seawall::position::Position;
use seawall::refusal::{Code, Detail, Retry};
use seawall::{Client, Key, Refusal, Token, Value};
use serde_json::{Value as Json, json};

use super::connect::{Connect, explained};
use super::cursor::Acks;
use super::{Exit, args, columns};
use crate::driver::{console, signals};
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
    /// Go on behind what was acknowledged under this name, and acknowledge what was printed, about once a second and at the
    /// end. Where nothing was acknowledged under it, begin at --from. What was printed and not acknowledged is printed again.
    #[arg(long, value_name = "NAME")]
    cursor: Option<String>,
    /// End after this many changes, and what else the commit of the last one changed.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// End after this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = args::duration)]
    patience: Option<Duration>,
    /// How long to look for the node after the connection is lost, before it ends with exit code 3.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = args::duration)]
    reconnect: Duration,
    /// How long to hear nothing, not even that there is nothing to tell, before the connection counts as lost. A node
    /// says so every second.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = silence)]
    silence: Duration,
    #[command(flatten)]
    connect: Connect,
}

/// Less would take every node that has nothing to tell for lost.
const SILENCE_LEAST: Duration = Duration::from_secs(2);

/// As a shell says it of SIGINT.
const ENDED_BY_A_SIGNAL: i32 = 130;

fn silence(text: &str) -> Result<Duration, String> {
    let silence = args::duration(text)?;
    let enough = silence >= SILENCE_LEAST;
    enough
        .then_some(silence)
        .ok_or_else(|| format!("{text} is too short: write {} s or more", SILENCE_LEAST.as_secs()))
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
        let silence = self.silence;
        self.connect.with_options(|options| Options { silence, ..options }, |client| self.watch(client))
    }

    fn watch(&self, client: &mut Client) -> seawall::Result<Exit> {
        let watch = self.scope();
        let (mut watching, mut acks) = self.begin(client, &watch)?;
        let reached = Arc::new(Mutex::new(watching.token()));
        at_a_signal(&reached);
        console::complain(format_args!("watching {} from {}", self.partition, watching.token()));
        let until = self.patience.map(|patience| Instant::now() + patience);
        let mut shown = Shown { left: self.limit.unwrap_or(u64::MAX), last: None, reached };
        let end = loop {
            let lost = match self.follow(client, &mut watching, &mut shown, &mut acks, until) {
                Err(lost) if may_come_back(&lost) => lost,
                end => break end,
            };
            let token = watching.token();
            match self.again(client, &watch.clone().behind(token), &lost) {
                Ok(Some(begun)) => watching = begun,
                Ok(None) => break Ok(Exit::Unreachable(format!("{lost}; and then there was no node"))),
                Err(error) => break Err(error),
            }
        };
        let token = watching.token();
        console::complain(go_on(token));
        if let Some(acks) = &acks {
            console::complain(acks.said());
        }
        match end {
            Err(Error::Refused(why)) if why.code == Code::Compacted => {
                self.connect.say_json(|| json::answer::refused(&why));
                Ok(Exit::Refused(missed(token.position, &why)))
            }
            end => end,
        }
    }

    /// Behind its cursor, if it has one that somebody acknowledged under.
    fn begin(&self, client: &mut Client, watch: &Watch) -> seawall::Result<(Watching, Option<Acks>)> {
        let from = match self.from {
            From::Now => watch.clone(),
            From::Oldest => watch.clone().from_oldest(),
            From::Token(token) => watch.clone().behind(token),
        };
        let Some(name) = &self.cursor else { return Ok((client.watch(&from)?, None)) };
        let acks = |watching: &Watching| Acks::behind(watch.clone(), name.clone(), watching.token());
        match client.watch(&watch.clone().cursor(name)) {
            Err(Error::Refused(why)) if why.code == Code::CursorUnknown => {
                console::complain(format_args!("nothing was acknowledged under {name} yet: it begins here"));
                let watching = client.watch(&from)?;
                let mut acks = acks(&watching);
                acks.begin(client)?;
                Ok((watching, Some(acks)))
            }
            watching => watching.map(|watching| {
                let acks = acks(&watching);
                (watching, Some(acks))
            }),
        }
    }

    fn scope(&self) -> Watch {
        let mut watch = Watch::partition(&self.partition);
        if let Some(table) = &self.table {
            watch = watch.table(table);
        }
        if let Some(topic) = &self.topic {
            watch = watch.topic(topic);
        }
        watch
    }

    /// Over a new connection; `None`: there was no node in time.
    fn again(&self, client: &mut Client, watch: &Watch, lost: &Error) -> seawall::Result<Option<Watching>> {
        let until = Instant::now() + self.reconnect;
        let lost = columns::plain(&lost.to_string());
        console::complain(format_args!("{lost}; looking for the node for {} s", self.reconnect.as_secs()));
        let mut pause = Duration::from_millis(100);
        while Instant::now() < until {
            match client.watch(watch) {
                Ok(watching) => {
                    console::complain(format_args!("watching again from {}", watching.token()));
                    return Ok(Some(watching));
                }
                Err(error) if may_come_back(&error) => {}
                Err(error) => return Err(error),
            }
            std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
            pause = (pause * 2).min(Duration::from_secs(2));
        }
        Ok(None)
    }

    fn follow(
        &self,
        client: &mut Client,
        watching: &mut Watching,
        shown: &mut Shown,
        acks: &mut Option<Acks>,
        until: Option<Instant>,
    ) -> seawall::Result<Exit> {
        while shown.wants_more(watching.token()) {
            let rest = until.map_or(TURN, |until| until.saturating_duration_since(Instant::now()).min(TURN));
            if rest.is_zero() {
                break;
            }
            let Some(happened) = watching.next_within(rest)? else {
                if let Some(acks) = acks {
                    acks.quiet(client, watching.token())?;
                }
                continue;
            };
            if !shown.is_new(&happened) {
                continue;
            }
            let token = watching.token();
            let line = match self.connect.json {
                true => document(&happened, token).to_string(),
                false => line(&happened),
            };
            if !console::try_to_say(line) {
                break; // nobody reads any more
            }
            shown.reached(token);
            if let Some(acks) = acks {
                acks.printed(client, token)?;
            }
        }
        if let Some(acks) = acks {
            acks.settle(client)?;
        }
        Ok(Exit::Done)
    }
}

/// What of the stream was shown; a new connection may tell some of it again.
struct Shown {
    left: u64,
    last: Option<(Position, usize)>,
    /// Where to go on, for whoever ends the program.
    reached: Arc<Mutex<Token>>,
}

impl Shown {
    /// What one commit changed is shown whole, since one can go on only behind it.
    fn wants_more(&self, reached: Token) -> bool {
        self.left > 0 || self.last.is_some_and(|(position, _)| reached.position < position)
    }

    fn reached(&self, token: Token) {
        *self.reached.lock().expect("nobody panics with it") = token;
    }

    fn is_new(&mut self, happened: &Happened) -> bool {
        let id = Some((happened.position, happened.ordinal));
        let new = self.last < id;
        if new {
            self.last = id;
            self.left = self.left.saturating_sub(1);
        }
        new
    }
}

/// What was shown behind this token may be shown again.
fn go_on(token: Token) -> String {
    format!("go on with --from {token}")
}

/// Who ends the program is told where to go on, also while it waits for a node or for whoever reads.
fn at_a_signal(reached: &Arc<Mutex<Token>>) {
    let reached = reached.clone();
    let listening = signals::listen(move || {
        console::complain(go_on(*reached.lock().expect("nobody panics with it")));
        std::process::exit(ENDED_BY_A_SIGNAL);
    });
    if let Err(why) = listening {
        console::complain(format_args!("where to go on will not be said at a signal: {why}"));
    }
}

fn may_come_back(error: &Error) -> bool {
    match error {
        Error::Refused(why) => why.retry() != Retry::Never,
        Error::Unreachable { .. } | Error::NoAnswer { .. } | Error::Broken { .. } => true,
        Error::Protocol(_) => false,
    }
}

/// The node kept less than what was not shown yet.
fn missed(seen: Position, why: &Refusal) -> String {
    let oldest = match why.reason.detail {
        Detail::Position(oldest) => format!(" and before {oldest}"),
        _ => String::new(),
    };
    format!("what happened behind {seen}{oldest} was missed: it is not kept any more\n{}", explained(why))
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
    columns::plain(&format!("{}  {}  {what}", Value::Time(happened.time_us), happened.position))
}

/// `token` goes on behind what was shown whole with this line.
fn document(happened: &Happened, token: Token) -> Json {
    let mut document = json!({
        "position": happened.position.to_string(),
        "ordinal": happened.ordinal,
        "time": Value::Time(happened.time_us).to_string(),
        "partition": happened.partition.to_string(),
        "token": token.to_string(),
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
