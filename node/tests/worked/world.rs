//! One node, its client, and the moment at which one of them dies.

use std::collections::BTreeMap;

use seawall::message::Opcode;
use seawall::message::request_key::{KeyName, RequestKey};
use seawall::message::settle::SettleRequest;
use seawall::message::term::Ttl;
use seawall::position::Position;
use seawall::refusal::{Code, Outcome, Refusal};
use seawall::{Commit, Key, Row, RowRef, row};
use seawall_node::seam::Event;

use crate::history::{History, Tables};
use crate::support::{Bench, Got, WALL_US};

pub const SECOND: u64 = 1_000_000;

/// What dies, and at which operation of the node's disk since the script began.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    Never,
    /// The node, before the operation: what is not durable is gone.
    Before(usize),
    /// The node, when the operation is durable and before anybody hears of it.
    After(usize),
    /// Nobody, but the client's connection: what it would have heard from there on is lost.
    Unheard(usize),
}

/// What a client heard of its commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done(Position),
    No(Refusal),
}

impl Answer {
    pub fn is_done(&self) -> bool {
        matches!(self, Answer::Done(_))
    }

    /// Where it was done.
    pub fn at(&self) -> Position {
        match self {
            Answer::Done(at) => *at,
            Answer::No(why) => panic!("{why}"),
        }
    }

    /// The same answer, to the letter. A tombstone names where it stands, and each refusal by it is as of its own
    /// index.
    fn is_as(&self, other: &Answer) -> bool {
        match (self, other) {
            (Answer::No(one), Answer::No(other)) if one.code == Code::KeyAborted => {
                one.code == other.code && one.reason == other.reason
            }
            _ => self == other,
        }
    }

    /// "done", or the rule that forbids it.
    pub fn outcome(&self) -> String {
        match self {
            Answer::Done(_) => "done".to_owned(),
            Answer::No(why) => why.reason.rule.to_string(),
        }
    }
}

/// Nobody heard what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unheard;

pub struct World {
    bench: Option<Bench>,
    partitions: Vec<&'static str>,
    crash: Crash,
    executed: usize,
    pub crashed: bool,
    /// What was answered, by partition and request key.
    heard: BTreeMap<(Key, String), (Commit, Answer)>,
}

/// A commit under a request key: whoever does not hear of it sends it again.
pub fn keyed(partition: &str, key: &str) -> Commit {
    Commit::new(partition).key(key).first_sent(WALL_US)
}

pub fn ttl(seconds: u64) -> Ttl {
    Ttl::from_ms(seconds * 1000).unwrap()
}

impl World {
    pub fn new(partitions: &[&'static str], crash: Crash) -> World {
        let bench = Some(Bench::serving());
        let partitions = partitions.to_vec();
        World { bench, partitions, crash, executed: 0, crashed: false, heard: BTreeMap::new() }
    }

    pub fn bench(&mut self) -> &mut Bench {
        self.bench.as_mut().expect("there is always a node")
    }

    pub fn history(&self) -> History {
        History::of(self.bench.as_ref().expect("there is always a node"), &self.partitions)
    }

    fn restart(&mut self) {
        self.bench = self.bench.take().map(Bench::restart);
    }

    /// Executes one operation of the disk, unless somebody dies of it.
    fn execute(&mut self) -> Result<(), Unheard> {
        let nth = self.executed;
        self.executed += 1;
        match self.crash {
            Crash::Before(at) if at == nth => self.restart(),
            Crash::After(at) if at == nth => {
                self.bench().execute(0, None);
                self.restart();
            }
            Crash::Unheard(at) if at == nth => {
                self.bench().settle();
                self.bench().replies();
            }
            _ => {
                self.bench().execute(0, None);
                return Ok(());
            }
        }
        self.crashed = true;
        Err(Unheard)
    }

    /// Sends these at once, as many clients would, and returns the answers that were heard: of the first ones.
    /// Their keys are new, or it is one alone: so the answers come in the order of the commits.
    fn offer(&mut self, commits: &[Commit]) -> Vec<Answer> {
        commits.iter().for_each(|commit| self.bench().commit(commit));
        let mut got = self.bench().replies();
        while !self.bench().disk.is_empty() && self.execute().is_ok() {
            got.extend(self.bench().replies());
        }
        let answers: Vec<Answer> = got.into_iter().map(answer).collect();
        for (commit, answer) in commits.iter().zip(&answers) {
            self.remember(commit, answer);
        }
        answers
    }

    fn remember(&mut self, commit: &Commit, answer: &Answer) {
        let key = commit.request_key().expect("each has a key").name;
        let KeyName::Caller(name) = key else { panic!("{key:?}") };
        let name = (commit.partition().clone(), String::from_utf8_lossy(name).into_owned());
        let before = self.heard.insert(name, (commit.clone(), answer.clone()));
        assert!(before.is_none_or(|before| before.1.is_as(answer)), "another answer to the same request");
    }

    /// Sends a commit once.
    pub fn try_send(&mut self, commit: &Commit) -> Result<Answer, Unheard> {
        self.offer(std::slice::from_ref(commit)).pop().ok_or(Unheard)
    }

    /// Sends a commit until it is answered.
    pub fn send(&mut self, commit: &Commit) -> Answer {
        loop {
            if let Ok(answer) = self.try_send(commit) {
                return answer;
            }
        }
    }

    /// Sends new commits at once; those that are not answered are sent again, one by one.
    pub fn send_all(&mut self, commits: &[Commit]) -> Vec<Answer> {
        let mut answers = self.offer(commits);
        for commit in &commits[answers.len()..] {
            answers.push(self.send(commit));
        }
        answers
    }

    /// Makes the outcome of a commit final without sending it: its status.
    pub fn resolve(&mut self, partition: &str, key: &str) -> Result<&'static str, Unheard> {
        let partition = Key::from(partition);
        let name = KeyName::Caller(key.as_bytes());
        let request_key = RequestKey { name, first_sent_us: WALL_US };
        let request = SettleRequest { partition: partition.as_bytes(), request_key, token: None };
        self.bench().ask(Opcode::Resolve, |out| request.encode(out));
        while !self.bench().disk.is_empty() {
            self.execute()?;
        }
        match self.bench().reply() {
            Got::Status(_, status, _) => Ok(status),
            other => panic!("{other:?}"),
        }
    }

    /// Time passes, and the node notices.
    pub fn pass(&mut self, us: u64) {
        self.bench().tick_after(us);
        while !self.bench().disk.is_empty() {
            if self.execute().is_err() {
                self.bench().step(Event::Tick);
            }
        }
    }

    /// Reads a row as it is now.
    pub fn read(&mut self, partition: &str, row: &RowRef) -> Option<Row> {
        self.bench().get(partition, row);
        self.bench().settle();
        match self.bench().reply() {
            Got::Row(_, found) => found.map(|(_, row)| row),
            other => panic!("{other:?}"),
        }
    }

    /// What became of each request key.
    pub fn outcomes(&self) -> BTreeMap<String, String> {
        self.heard.iter().map(|((_, key), (_, answer))| (key.clone(), answer.outcome())).collect()
    }

    /// Whatever was answered is in the log, and is answered again, now and by the next process.
    fn audit(&mut self) {
        let history = self.history();
        for (commit, answer) in self.heard.values() {
            if let Answer::Done(at) = answer {
                let found = history.0.iter().find(|moment| moment.at == *at);
                assert!(found.is_some(), "{commit:?} was answered with {at}, which is not in the log");
            }
        }
        self.ask_again();
        assert_eq!(self.history().last().tables, history.last().tables, "nothing is done twice");
        self.restart();
        self.ask_again();
        assert_eq!(self.history().last().tables, history.last().tables, "nothing is done by a restart");
        self.read_all(&history.last().tables);
    }

    /// The node shows the rows that its records make, all of them.
    fn read_all(&mut self, tables: &Tables) {
        for ((partition, table), rows) in tables {
            for (key, expected) in rows {
                let key: Key = key.parse().expect("a key as it is written");
                let found = self.read(partition, &row(table, key));
                assert_eq!(found.as_ref(), Some(expected), "{partition} {table}");
            }
        }
    }

    fn ask_again(&mut self) {
        for (commit, before) in self.heard.clone().into_values() {
            let got = self.bench().commit_now(&commit);
            // What a RESOLVE aborted was never decided under its own content, so there is nothing to replay.
            let again = matches!(got, Got::Replayed(..) | Got::RefusedAgain(_))
                || matches!(&got, Got::Refused(why) if why.code == Code::KeyAborted);
            assert!(again, "{before:?} is decided again: {got:?}");
            let now = answer(got);
            assert!(now.is_as(&before), "{before:?} is now {now:?}");
        }
    }

    /// A checkpoint takes the place of the records; outcomes and rows are the same.
    fn fold(&mut self) {
        let tables = self.history().last().tables.clone();
        for n in 0..200 {
            let filler = Commit::new("filler").put(&row("filler", n % 8), [("text", "x".repeat(3000))]);
            assert!(matches!(self.bench().commit_now(&filler), Got::Committed(..)));
        }
        self.bench().step(Event::StatusAsked { ticket: 0 });
        let folded = self.bench().status.pop().is_some_and(|status| status.shards[0].checkpoint > 100);
        assert!(folded, "no checkpoint was made");
        self.restart();
        self.ask_again();
        self.read_all(&tables);
    }
}

fn answer(got: Got) -> Answer {
    match got {
        Got::Committed(epoch, index) | Got::Replayed(epoch, index) => {
            Answer::Done(Position::new(epoch, index))
        }
        Got::Refused(why) | Got::RefusedAgain(why) => {
            assert_eq!(why.outcome, Outcome::Rejected, "nothing stands in the way but rules: {why}");
            Answer::No(why)
        }
        other => panic!("{other:?}"),
    }
}

/// Runs the script once for each operation of the disk and each way to die of it. Each time the checker must find
/// nothing, nor the audit, and what became of each request and what stands there at the end is what it is when nobody
/// dies.
pub fn every_crash(
    partitions: &[&'static str],
    script: impl Fn(&mut World),
    check: impl Fn(&History) -> Result<(), String>,
) {
    let mut world = World::new(partitions, Crash::Never);
    script(&mut world);
    check(&world.history()).unwrap();
    world.audit();
    let (expected, operations) = (world.outcomes(), world.executed);
    let tables = world.history().last().tables.clone();
    world.fold();
    assert!(operations > 1, "a script that writes nothing proves nothing");
    for die in [Crash::Before, Crash::After, Crash::Unheard] {
        for nth in 0..operations {
            let mut world = World::new(partitions, die(nth));
            script(&mut world);
            assert!(world.crashed, "{:?} comes", world.crash);
            check(&world.history()).unwrap_or_else(|broken| panic!("{:?}: {broken}", world.crash));
            world.audit();
            // A coordinator that died may never have heard what its successor finds done.
            for (key, outcome) in world.outcomes() {
                assert_eq!(outcome, expected[&key], "{key}, {:?}", world.crash);
            }
            assert_eq!(world.history().last().tables, tables, "{:?}", world.crash);
        }
    }
}

/// The checker must see what a script breaks, when nobody dies.
pub fn must_be_seen(
    partitions: &[&'static str],
    script: impl FnOnce(&mut World),
    check: impl FnOnce(&History) -> Result<(), String>,
    what: &str,
) {
    let mut world = World::new(partitions, Crash::Never);
    script(&mut world);
    let broken = check(&world.history()).expect_err("the checker sees nothing of the bug");
    assert!(broken.contains(what), "it saw something else: {broken}");
}
