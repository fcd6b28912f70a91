//! The end of a run: the log is read back as a next process would read it, and every answer is held against it.

use seawall::map::ShardId;
use seawall_node::shard::spaces::ROWS;
use seawall_wal::{Kind, LogId, LogLimits, Progress, Recovery, Replay, Replayed};

use super::{LINEAGE, World};
use crate::check::{self, LogRecord, Logs, RecordKind, Violation, violation};
use crate::disk::Disk;
use crate::history::{Answer, At, Change};

impl World {
    /// One last crash, then the checks.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        if self.random.chance(500) {
            self.disk.power_cut()
        } else {
            self.disk.kill()
        }
        let mut logs = Logs::new();
        for range in self.map.clone().ranges() {
            let records = read_log(&mut self.disk, range.shard, self.shape.limits)?;
            self.counts.add("records", records.len() as u64);
            self.trace.note(self.now, format_args!("shard {} holds {} records", range.shard, records.len()));
            logs.insert(range.shard, records);
        }
        for operation in &self.history.operations {
            match operation.answer {
                Answer::Committed(_) => self.counts.add("commits answered", 1),
                Answer::Read { .. } => self.counts.add("reads answered", 1),
                Answer::Unknown | Answer::Refused => {}
            }
        }
        check::check(&self.history, &logs)
    }
}

/// Reads a log through recovery, on a disk that makes no more faults.
fn read_log(disk: &mut Disk, shard: ShardId, limits: LogLimits) -> Result<Vec<LogRecord>, Violation> {
    let id = LogId { lineage: LINEAGE, shard: shard.0 };
    let mut recovery = Recovery::new(id, limits, disk.found(shard), limits.buffers());
    let mut records = Vec::new();
    let mut asked = Vec::new();
    recovery.start(&mut asked);
    while let Some(io) = asked.pop() {
        let done = disk.execute(shard, io);
        match recovery.done(done, &mut asked, &mut |replay| {
            if let Replay::Record(replayed) = replay {
                records.push(log_record(&replayed));
            }
        }) {
            Progress::Working => {}
            Progress::Recovered(..) => return Ok(records),
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

fn log_record(replayed: &Replayed<'_>) -> LogRecord {
    let kind = match replayed.record.kind {
        Kind::Data => RecordKind::Data,
        Kind::EpochStart => RecordKind::EpochStart,
        Kind::Fence => RecordKind::Fence,
    };
    let change = |entry: seawall_wal::Entry<'_>| Change {
        key: entry.key.to_vec(),
        value: entry.value.map(<[u8]>::to_vec),
    };
    let rows = replayed.record.entries().filter(|entry| entry.space == ROWS);
    let changes = match kind {
        RecordKind::Data => rows.map(change).collect(),
        RecordKind::EpochStart | RecordKind::Fence => Vec::new(),
    };
    LogRecord { at: At { epoch: replayed.epoch.0, index: replayed.index.0 }, kind, changes }
}
