//! Who asks: the clients of a world, and what they and the world write down to judge the node by.

use std::fmt::Debug;

use seawall::map::{Map, ShardId};
use seawall_wal::recover::Report;

use super::finish;
use crate::check::{Violation, violation};
use crate::client::{Client, Places, Workload};
use crate::cluster::Loss;
use crate::disk::Disk;
use crate::history::{Answer, History, marks};
use crate::net::LinkId;
use crate::random::Random;
use crate::run::Counts;

/// When something happens: virtual time, the wall clock, the moment (see [`crate::history`]), and whether the faults
/// are over.
#[derive(Clone, Copy, Debug)]
pub struct When {
    pub now: u64,
    pub wall_us: i64,
    pub moment: u64,
    pub healed: bool,
}

/// The clients of a world. The world carries their bytes, and tells what it sees of the disk.
pub trait Crowd: Debug {
    fn done(&self) -> bool;
    /// Of client `client`, its connection.
    fn link(&self, client: usize) -> Option<LinkId>;
    /// It waits, as it was told, until this virtual time.
    fn patient_until(&self, client: usize) -> u64;
    /// Connected to process `life`: what to send first.
    fn connected(&mut self, client: usize, link: LinkId, life: u32) -> Vec<u8>;
    fn half_closed(&mut self, client: usize);
    /// It needs a new connection, for its map is an older one than the node's.
    fn is_stale(&self, client: usize) -> bool {
        let _ = client;
        false
    }
    /// The connection is gone: what was under way on it is unknown.
    fn disconnected(&mut self, client: usize);
    /// What it asks now: the bytes, and the number of the last operation in them.
    fn think(&mut self, client: usize, when: When) -> Option<(usize, Vec<u8>)>;
    /// Bytes arrived at `now`; `moment` counts up with each reply in them.
    fn read(&mut self, client: usize, now: u64, bytes: &[u8], moment: &mut u64) -> Result<(), Violation>;
    /// What those who are not done wait for.
    fn waiting(&self) -> String;

    /// The node writes these bytes into a log; returned is what to call them.
    fn written(&mut self, shard: ShardId, bytes: &[u8]) -> Vec<u64>;
    /// It was told that they are durable.
    fn durable(&mut self, mark: u64, moment: u64, life: u32);
    /// It was told of an error of a log.
    fn failed(&mut self, shard: ShardId, moment: u64, life: u32);
    /// It read a log back, and made all of it durable.
    fn recovered(&mut self, shard: ShardId, report: &Report, moment: u64);

    /// The run is over, and the disk makes no more faults: holds every answer against what is left.
    fn judge(&mut self, left: Left<'_>) -> Result<(), Violation>;
}

/// What a run leaves.
pub struct Left<'a> {
    pub disk: &'a mut Disk,
    pub map: &'a Map,
    pub limits: seawall_wal::LogLimits,
    /// What operators accepted to be lost.
    pub losses: &'a [Loss],
    /// What stood in a log that was folded, from its first record on, where the world knows it.
    pub before: &'a [finish::Whole],
    pub counts: &'a mut Counts,
    /// A line for the trace.
    pub note: &'a mut dyn FnMut(std::fmt::Arguments<'_>),
}

/// Plan slice: commits that write rows whole, and reads, on logs that keep every record.
#[derive(Debug)]
pub struct Slice {
    workload: Workload,
    places: Places,
    clients: Vec<Client>,
    history: History,
}

impl Slice {
    pub fn new(workload: Workload, map: &Map, random: &mut Random) -> Self {
        let places = Places::new(&workload, map);
        let clients = (0..workload.clients).map(|n| Client::new(n, &workload, random.fork())).collect();
        Self { workload, places, clients, history: History::default() }
    }
}

impl Crowd for Slice {
    fn done(&self) -> bool {
        self.clients.iter().all(Client::done)
    }

    fn link(&self, client: usize) -> Option<LinkId> {
        self.clients[client].link
    }

    fn patient_until(&self, client: usize) -> u64 {
        self.clients[client].patient_until
    }

    fn connected(&mut self, client: usize, link: LinkId, life: u32) -> Vec<u8> {
        self.clients[client].connected(link, life)
    }

    fn half_closed(&mut self, client: usize) {
        self.clients[client].half_closed = true;
    }

    fn is_stale(&self, client: usize) -> bool {
        self.clients[client].stale
    }

    fn disconnected(&mut self, client: usize) {
        self.clients[client].disconnected(&mut self.history);
    }

    fn think(&mut self, client: usize, when: When) -> Option<(usize, Vec<u8>)> {
        let Self { workload, places, clients, history } = self;
        let out = clients[client].think(when, workload, places, history);
        (!out.is_empty()).then(|| (history.operations.len() - 1, out))
    }

    fn read(&mut self, client: usize, now: u64, bytes: &[u8], moment: &mut u64) -> Result<(), Violation> {
        self.clients[client].read(now, bytes, moment, &mut self.history)
    }

    fn waiting(&self) -> String {
        let waiting = self.clients.iter().filter(|client| !client.done()).map(Client::describe);
        waiting.collect::<Vec<_>>().join("; ")
    }

    fn written(&mut self, _: ShardId, bytes: &[u8]) -> Vec<u64> {
        marks(bytes)
    }

    fn durable(&mut self, mark: u64, moment: u64, life: u32) {
        self.history.durable.entry(mark).or_insert((moment, life));
    }

    fn failed(&mut self, shard: ShardId, moment: u64, life: u32) {
        self.history.failed.entry((shard, life)).or_insert(moment);
    }

    fn recovered(&mut self, _: ShardId, _: &Report, _: u64) {}

    fn judge(&mut self, left: Left<'_>) -> Result<(), Violation> {
        let Left { disk, map, limits, losses, before, counts, note } = left;
        let mut logs = crate::check::Logs::new();
        for range in map.ranges() {
            let read = finish::read_log(disk, range.shard, limits)?;
            let cut = read.base.as_ref().map_or(0, |(cut, _)| cut.index);
            let folded = before.iter().take_while(|record| record.at.index <= cut);
            if folded.clone().count() as u64 != cut {
                return violation("a log that is never folded has no checkpoint", format!("{}", range.shard));
            }
            let records: Vec<_> = folded.chain(&read.records).map(finish::rows_of).collect();
            counts.add("records", records.len() as u64);
            note(format_args!("shard {} holds {} records", range.shard, records.len()));
            logs.insert(range.shard, records);
        }
        let within = self.history.forgive(&logs, losses)?;
        if !losses.is_empty() {
            counts.add("answers within them", within);
        }
        for operation in &self.history.operations {
            match operation.answer {
                Answer::Committed(_) => counts.add("commits answered", 1),
                Answer::Read { .. } => counts.add("reads answered", 1),
                Answer::Unknown | Answer::Refused => {}
            }
        }
        crate::check::check(&self.history, &logs)
    }
}
