//! The end of a run: the log is read back as a next process would read it, and every answer is held against it.

use seawall::map::ShardId;
use seawall_node::shard::spaces::ROWS;
use seawall_wal::checkpoint::Version;
use seawall_wal::{Kind, LogId, LogLimits, Progress, Recovery, Replay, Space};

use super::crowd::Left;
use super::{LINEAGE, World};
use crate::check::{LogRecord, RecordKind, Violation, violation};
use crate::disk::Disk;
use crate::history::{At, Change};

impl World {
    /// One last crash, then the checks.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        if self.random.chance(500) {
            self.disk.power_cut()
        } else {
            self.disk.kill()
        }
        let Self { disk, map, shape, counts, trace, crowd, now, .. } = self;
        let note = &mut |line: std::fmt::Arguments<'_>| trace.note(*now, line);
        crowd.judge(Left { disk, map, limits: shape.limits, losses: &[], before: &[], counts, note })
    }
}

/// One record with all that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub at: At,
    pub kind: RecordKind,
    pub time_us: i64,
    pub entries: Vec<(Space, Vec<u8>, Option<Vec<u8>>)>,
}

/// A log as recovery gives it back.
#[derive(Debug, Default)]
pub struct ReadBack {
    /// What the checkpoint holds, and its cut.
    pub base: Option<(At, Vec<Held>)>,
    /// What follows.
    pub records: Vec<Whole>,
}

/// An entry of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub space: Space,
    pub key: Vec<u8>,
    pub at: At,
    pub value: Vec<u8>,
}

impl Whole {
    pub fn new(at: At, record: &seawall_wal::Record<'_>) -> Self {
        let kind = match record.kind {
            Kind::Data => RecordKind::Data,
            Kind::EpochStart => RecordKind::EpochStart,
            Kind::Fence => RecordKind::Fence,
        };
        let entry = |e: seawall_wal::Entry<'_>| (e.space, e.key.to_vec(), e.value.map(<[u8]>::to_vec));
        Self { at, kind, time_us: record.time_us, entries: record.entries().map(entry).collect() }
    }
}

/// Reads a log through recovery, on a disk that makes no more faults.
pub fn read_log(disk: &mut Disk, shard: ShardId, limits: LogLimits) -> Result<ReadBack, Violation> {
    let id = LogId { lineage: LINEAGE, shard: shard.0 };
    let mut recovery =
        Recovery::new(id, limits, disk.found(shard), limits.buffers(), seawall_wal::Start::Alone);
    let mut read = ReadBack::default();
    let mut asked = Vec::new();
    recovery.start(&mut asked);
    while let Some(io) = asked.pop() {
        let done = disk.execute(shard, io);
        match recovery.done(done, &mut asked, &mut |replay| match replay {
            Replay::Base(boundary) => {
                read = ReadBack { base: Some((at(boundary.cut), Vec::new())), records: Vec::new() };
            }
            Replay::Item(item) => {
                let (key, value) = (item.key.to_vec(), item.value.to_vec());
                let held = Held { space: item.space, key, at: at(item.version), value };
                read.base.as_mut().expect("a checkpoint begins with its base").1.push(held);
            }
            Replay::Record(replayed) => {
                let at = At { epoch: replayed.epoch.0, index: replayed.index.0 };
                read.records.push(Whole::new(at, &replayed.record));
            }
        }) {
            Progress::Working => {}
            Progress::Recovered(..) | Progress::AtRest(..) => {
                read.base = read.base.filter(|(cut, _)| cut.index > 0);
                return Ok(read);
            }
            Progress::Halted(report) => {
                return violation(
                    "I4, a log without damage is recovered",
                    format!("at the end of the run: {report:?}"),
                );
            }
        }
    }
    violation("a recovery ends", format!("that of shard {shard} asks for nothing and says nothing"))
}

fn at(version: Version) -> At {
    At { epoch: version.epoch.0, index: version.index.0 }
}

/// What a record does to rows.
pub fn rows_of(record: &Whole) -> LogRecord {
    let rows = record.entries.iter().filter(|(space, ..)| *space == ROWS);
    let change = |(_, key, value): &(Space, Vec<u8>, Option<Vec<u8>>)| Change {
        key: key.clone(),
        value: value.clone(),
    };
    let changes = match record.kind {
        RecordKind::Data => rows.map(change).collect(),
        RecordKind::EpochStart | RecordKind::Fence => Vec::new(),
    };
    LogRecord { at: record.at, kind: record.kind, changes }
}
