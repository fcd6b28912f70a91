//! Plan shard: clients that use everything that a shard decides, and a judge that replays the log on a model.
//!
//! ```text
//! draw -> client -> (the world, the node) -> history + kept
//!                                   kept, read back -> judge (model) <- answers <- history
//! ```

mod answers;
mod client;
mod draw;
mod history;
mod image;
mod judge;
mod kept;
mod looks;
mod met;
mod model;
mod order;
mod places;
mod reply;
mod streams;
mod tables;
mod value;

use std::collections::BTreeMap;

use seawall::map::{Map, ShardId};
use seawall_wal::recover::Report;

use crate::check::{Logs, Violation, order::log_is_well_formed};
use crate::client::Workload;
use crate::history::At;
use crate::net::LinkId;
use crate::random::Random;
use crate::run::Counts;
use crate::world::{Crowd, Left, When, finish};
use client::Shopper;
use draw::Learnt;
use history::{Answer, Ask, Book};
use judge::Judge;
use kept::Kept;
use met::Met;
use places::Places;

pub use met::{By, by};

/// The clients of plan shard.
#[derive(Debug)]
pub struct Shoppers {
    of: Workload,
    shoppers: Vec<Shopper>,
    shared: Shared,
    kept: Kept,
}

/// What all clients know.
#[derive(Debug)]
pub struct Shared {
    places: Places,
    learnt: Learnt,
    book: Book,
    met: Met,
}

impl Shoppers {
    pub fn new(of: &Workload, map: &Map, random: &mut Random) -> Self {
        let shoppers = (0..of.clients).map(|n| Shopper::new(n, of, random.fork())).collect();
        let (learnt, book) = Default::default();
        let shared = Shared { places: Places::new(of, map), learnt, book, met: Met(Met::names()) };
        Self { of: of.clone(), shoppers, shared, kept: Kept::default() }
    }

    /// What a run of many seeds must come past.
    pub fn counts() -> Counts {
        Met::names()
    }

    /// By shard and index, the attempts whose answers rest there.
    fn resting(&self) -> BTreeMap<ShardId, BTreeMap<u64, Vec<usize>>> {
        let mut resting: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
        for (number, attempt) in self.shared.book.attempts.iter().enumerate() {
            if let Some(at) = attempt.position() {
                resting.entry(attempt.shard).or_default().entry(at.index).or_default().push(number);
            }
        }
        resting
    }
}

impl Crowd for Shoppers {
    fn done(&self) -> bool {
        self.shoppers.iter().all(Shopper::done)
    }

    fn link(&self, client: usize) -> Option<LinkId> {
        self.shoppers[client].link
    }

    fn patient_until(&self, client: usize) -> u64 {
        self.shoppers[client].patient_until
    }

    fn connected(&mut self, client: usize, link: LinkId, life: u32) -> Vec<u8> {
        self.shoppers[client].connected(link, life, &self.shared)
    }

    fn half_closed(&mut self, client: usize) {
        self.shoppers[client].half_closed = true;
    }

    fn disconnected(&mut self, client: usize) {
        self.shoppers[client].disconnected(&mut self.shared.book);
    }

    fn think(&mut self, client: usize, when: When) -> Option<(usize, Vec<u8>)> {
        let out = self.shoppers[client].think(when, &self.of, &mut self.shared);
        (!out.is_empty()).then(|| (self.shared.book.attempts.len() - 1, out))
    }

    fn read(&mut self, client: usize, now: u64, bytes: &[u8], moment: &mut u64) -> Result<(), Violation> {
        self.shoppers[client].read(now, bytes, moment, &mut self.shared)
    }

    fn waiting(&self) -> String {
        let waiting = self.shoppers.iter().filter(|shopper| !shopper.done()).map(Shopper::describe);
        waiting.collect::<Vec<_>>().join("; ")
    }

    fn written(&mut self, shard: ShardId, bytes: &[u8]) -> Vec<u64> {
        self.kept.written(shard, bytes)
    }

    fn durable(&mut self, mark: u64, moment: u64, life: u32) {
        self.kept.durable(mark, moment, life);
    }

    fn failed(&mut self, shard: ShardId, moment: u64, life: u32) {
        self.kept.failed(shard, moment, life);
    }

    fn recovered(&mut self, shard: ShardId, report: &Report, moment: u64) {
        self.kept.recovered(shard, report, moment);
    }

    fn judge(&mut self, left: Left<'_>) -> Result<(), Violation> {
        let Left { disk, map, limits, counts, note, .. } = left;
        for attempt in &self.shared.book.attempts {
            match (&attempt.ask, &attempt.answer) {
                (Ask::Commit(_), Answer::Committed { .. }) => counts.add("commits answered", 1),
                (Ask::Get(..), Answer::Row { .. }) => counts.add("reads answered", 1),
                _ => {}
            }
        }
        let resting = self.resting();
        let none = BTreeMap::new();
        let mut logs = Logs::new();
        for range in map.ranges() {
            let shard = range.shard;
            let read = finish::read_log(disk, shard, limits)?;
            let log = self.kept.finish(shard, &read)?;
            counts.add("records", log.len() as u64);
            note(format_args!("shard {shard} holds {} records", log.len()));
            logs.insert(shard, log.iter().map(|last| finish::rows_of(last.record)).collect());
            log_is_well_formed(&logs)?;
            let resting = resting.get(&shard).unwrap_or(&none);
            order::answers_rest_on_what_is_durable(&self.shared.book, shard, &log, resting, &self.kept)?;
            let Shared { book, met, .. } = &mut self.shared;
            let mut judge = Judge::new(book, met);
            judge.replay(&log, &read, resting)?;
            looks::facts(&mut judge, &log, shard)?;
            streams::tell_the_log(&mut judge, shard, &log)?;
            let decided = judge.decided;
            order::commits_stand_where_they_were_answered(book, shard, &decided)?;
            order::keys_are_linearizable(book, shard, &logs[&shard], &decided)?;
        }
        order::real_time_is_kept(&self.shared.book)?;
        counts.merge(&self.shared.met.0);
        Ok(())
    }
}

fn show(at: Option<At>) -> String {
    at.map_or("nothing".to_owned(), |at| at.to_string())
}
