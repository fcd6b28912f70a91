//! One round: the node is started on what the last round left, its promises are compared, it is loaded, and then the
//! power goes, or an operation of the disk fails.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use seawall_tests::powercut::cache::{Mood, Tally};
use seawall_tests::powercut::order::Order;
use seawall_tests::powercut::promise::{Kept, Promises};
use seawall_tests::random::Random;
use serde_json::{Value, json};

use crate::load::{self, Load};
use crate::node::{Durable, Node, keep_reports};
use crate::stack::{FileSystem, Stack};

/// How long an error of the disk lasts: every log writes in it.
const FAILING: Duration = Duration::from_millis(300);
/// One start in so many that recover from a cut loses its power too.
const EARLY: u64 = 4;
/// A start that is interrupted has so long at most.
const EARLY_MS: u64 = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cut(Mood),
    /// A cut before the node serves.
    EarlyCut(Mood),
    /// A cut of a disk that acknowledges flushes of the log without doing them.
    LyingCut(Mood),
    FailedWrites,
    FailedFlushes,
    /// An error of which the node is not told, as a node would see it that does not look.
    UntoldError,
}

impl Kind {
    pub fn is_cut(self) -> bool {
        matches!(self, Kind::Cut(_) | Kind::EarlyCut(_) | Kind::LyingCut(_))
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Cut(_) => "cut",
            Kind::EarlyCut(_) => "early cut",
            Kind::LyingCut(_) => "cut of a lying disk",
            Kind::FailedWrites => "EIO on write",
            Kind::FailedFlushes => "EIO on flush",
            Kind::UntoldError => "an error that is not told",
        }
    }
}

/// What a round did and found.
#[derive(Clone, Debug)]
pub struct Round {
    pub kind: Kind,
    pub durable: Durable,
    pub name: String,
    /// Starts that lost their power before they served.
    pub early: u64,
    pub acknowledged: usize,
    pub refused: usize,
    pub tally: Tally,
    /// Operations that the disk ended with EIO, and what the node answered after it.
    pub errors: u64,
    pub last_word: String,
    pub kept: Kept,
    pub tails: Vec<String>,
    pub back: Duration,
    pub violations: Vec<String>,
}

impl Round {
    pub fn line(&self) -> String {
        let what = match self.kind {
            kind if kind.is_cut() && self.tally.volatile == 0 => "nothing was volatile".to_owned(),
            kind if kind.is_cut() => self.tally.to_string(),
            _ => format!("{} errors, then: {}", self.errors, shortened(&self.last_word)),
        };
        let early = match self.early {
            0 => String::new(),
            count => format!(", {count} before it served"),
        };
        let Kept { rows, doubts, happened } = self.kept;
        format!(
            "{} ({}, {}{early}): {} acknowledged, {} refused; {what}; back in {} ms, tails {}; {rows} rows \
             compared, {happened} of {doubts} in doubt had happened{}",
            self.name,
            self.kind.name(),
            self.durable.name(),
            self.acknowledged,
            self.refused,
            self.back.as_millis(),
            if self.tails.is_empty() { "unknown".to_owned() } else { self.tails.join("+") },
            if self.violations.is_empty() { "" } else { "; VIOLATED" },
        )
    }

    pub fn json(&self) -> Value {
        let Tally { volatile, mine, dropped, older, torn, kept } = self.tally;
        json!({
            "name": self.name, "kind": self.kind.name(), "durable": self.durable.name(), "early": self.early,
            "acknowledged": self.acknowledged, "refused": self.refused, "errors": self.errors,
            "sectors": {"volatile": volatile, "of_the_log": mine, "dropped": dropped, "older": older, "torn": torn,
                        "kept": kept},
            "back_ms": u64::try_from(self.back.as_millis()).unwrap_or(u64::MAX), "tails": self.tails,
            "rows_compared": self.kept.rows, "in_doubt": self.kept.doubts, "happened": self.kept.happened,
            "violations": self.violations,
        })
    }
}

/// The first clause is enough for a line of progress.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// One disk with one node's data on it, and all that was promised.
pub struct Life {
    folder: PathBuf,
    binary: PathBuf,
    /// The node that the last comparison left. It ends before what it stands on is taken away.
    node: Option<Node>,
    stack: Stack,
    writers: Vec<Promises>,
}

impl Life {
    pub fn new(
        folder: &Path,
        binary: &Path,
        file_system: FileSystem,
        connections: usize,
    ) -> Result<Life, String> {
        let stack = Stack::new(folder, file_system)?;
        let writers = (0..connections).map(Promises::new).collect();
        Ok(Life { folder: folder.to_owned(), binary: binary.to_owned(), node: None, stack, writers })
    }

    /// An error is one of the rig or of the file system; what the node broke is in the round.
    pub fn round(
        &mut self,
        name: String,
        kind: Kind,
        durable: Durable,
        random: &mut Random,
    ) -> Result<Round, String> {
        let mut round = Round {
            kind,
            durable,
            name,
            early: 0,
            acknowledged: 0,
            refused: 0,
            tally: Tally::default(),
            errors: 0,
            last_word: String::new(),
            kept: Kept::default(),
            tails: Vec::new(),
            back: Duration::ZERO,
            violations: Vec::new(),
        };
        match kind {
            Kind::EarlyCut(mood) => self.interrupt_start(&mut round, mood, random)?,
            Kind::Cut(mood) => {
                self.cut(&mut round, mood, random)?;
                if random.below(EARLY) == 0 {
                    self.interrupt_start(&mut round, mood, random)?;
                }
            }
            Kind::LyingCut(mood) => self.cut(&mut round, mood, random)?,
            Kind::FailedWrites => self.fail(&mut round, &Order::FailWrites, random)?,
            Kind::FailedFlushes => self.fail(&mut round, &Order::FailFlushes, random)?,
            Kind::UntoldError => self.fail(&mut round, &Order::Lie, random)?,
        }
        self.judge(&mut round, random)?;
        Ok(round)
    }

    /// The bytes of the disk are not needed any more.
    pub fn end(self) {
        let image = self.folder.join("image");
        drop(self);
        if let Err(e) = std::fs::remove_file(&image) {
            crate::say(&format!("LEFT BEHIND: {}: {e}", image.display()));
        }
    }

    fn spawn(&self, durable: Durable) -> Result<Node, String> {
        Node::spawn(&self.binary, &self.stack.data(), durable, &self.folder.join("stderr.txt"))
    }

    /// A node with this durable primitive, in the place of the one that the last comparison left.
    fn serving(&mut self, durable: Durable) -> Result<(Node, String), String> {
        self.node = None;
        let mut node = self.spawn(durable)?;
        let address =
            node.serves().map_err(|why| format!("{why}; see {}/stderr.txt", self.folder.display()))?;
        Ok((node, address))
    }

    fn cut(&mut self, round: &mut Round, mood: Mood, random: &mut Random) -> Result<(), String> {
        let (node, address) = self.serving(round.durable)?;
        if matches!(round.kind, Kind::LyingCut(_)) {
            self.stack.name_mine()?;
            self.stack.order(&Order::Lie)?;
        }
        let load = Load::start(std::mem::take(&mut self.writers), &address);
        std::thread::sleep(Duration::from_millis(random.between(50, 700)));
        self.freeze(random)?;
        node.kill();
        self.end_load(load, round);
        self.lose_power(round, mood, random)
    }

    /// The power goes while a node makes its directory, reads its log or writes the last window again.
    fn interrupt_start(&mut self, round: &mut Round, mood: Mood, random: &mut Random) -> Result<(), String> {
        self.node = None;
        let node = self.spawn(round.durable)?;
        std::thread::sleep(Duration::from_millis(random.below(EARLY_MS)));
        self.freeze(random)?;
        node.kill();
        round.early += 1;
        self.lose_power(round, mood, random)
    }

    /// The disk is frozen and the node is dead.
    fn lose_power(&mut self, round: &mut Round, mood: Mood, random: &mut Random) -> Result<(), String> {
        self.stack.down()?;
        round.tally.add(&self.stack.cut(random.draw(), mood)?);
        self.come_back()
    }

    fn come_back(&mut self) -> Result<(), String> {
        self.stack.up().map_err(|why| format!("the file system did not come back: {why}"))
    }

    /// At once, or behind a write that is not flushed yet.
    fn freeze(&mut self, random: &mut Random) -> Result<(), String> {
        self.stack.name_mine()?;
        let writes = random.below(6);
        self.stack.order(&Order::Freeze { writes }).map(drop)
    }

    fn end_load(&mut self, load: Load, round: &mut Round) {
        let (writers, saw) = load.end();
        self.writers = writers;
        round.acknowledged = saw.acknowledged;
        round.refused = saw.refused;
        round.last_word = saw.last_word;
    }

    fn fail(&mut self, round: &mut Round, order: &Order, random: &mut Random) -> Result<(), String> {
        let (node, address) = self.serving(round.durable)?;
        let load = Load::start(std::mem::take(&mut self.writers), &address);
        std::thread::sleep(Duration::from_millis(random.between(50, 400)));
        self.stack.name_mine()?;
        self.stack.order(order)?;
        std::thread::sleep(FAILING);
        round.errors = self.stack.heal()?;
        self.end_load(load, round);
        if round.errors == 0 && round.kind != Kind::UntoldError {
            return Err(format!("{}: the disk failed no operation in {FAILING:?} of load", round.name));
        }
        // The disk works again; the logs must not.
        match load::try_once(&mut self.writers, &address) {
            Ok((0, refusal)) => round.last_word = refusal,
            Ok((count, _)) => {
                round.violations.push(format!("{count} commits were acknowledged after the log had failed"));
            }
            Err(why) => round.violations.push(format!("after the error nothing is answered: {why}")),
        }
        node.kill();
        self.stack.down()?;
        self.come_back()
    }

    /// A node is started on what is durable, and must keep every promise.
    fn judge(&mut self, round: &mut Round, random: &mut Random) -> Result<(), String> {
        let begin = Instant::now();
        let mut node = self.spawn(*random.pick(&Durable::BOTH))?;
        let served = node.serves();
        round.back = begin.elapsed();
        round.tails = keep_reports(&self.stack.data(), &self.folder, &round.name.replace([' ', '/'], "-"))?;
        let address = match served {
            Ok(address) => address,
            Err(why) => {
                round.violations.push(why);
                return Ok(());
            }
        };
        match load::judge(&mut self.writers, &address, random) {
            Ok((kept, wrong)) => {
                round.kept = kept;
                round.violations.extend(wrong);
            }
            Err(why) => round.violations.push(why),
        }
        self.node = Some(node);
        Ok(())
    }
}
