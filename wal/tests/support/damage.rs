//! A log whose bytes a test damages in place, many times: nothing is copied, and what recovery writes is only
//! compared with what should stand there, so that the next damage meets the same log.
#![allow(dead_code, reason = "each test binary uses its part")]

use seawall_wal::format::BatchHeader;
use seawall_wal::recover::{Files, Report, Tail};
use seawall_wal::{
    BLOCK, Done, Entry, FileId, Index, Io, Kind, Log, LogLimits, Progress, Recovery, Replay, SlotId, Space,
};

use crate::support::{self, Disk, LOG, Seen};

/// The slot that is damaged: 64 KiB, header and fifteen blocks.
pub const SEGMENT: usize = 16 * BLOCK;

/// A segment of 64 KiB; all others are as small as they can be.
pub fn limits(small_slot_bytes: usize) -> LogLimits {
    LogLimits {
        buffer_bytes: 4 * BLOCK,
        batch_bytes: 2 * BLOCK,
        writes_in_flight: 2,
        small_slot_bytes: small_slot_bytes as u64,
        slot_bytes: 1 << 20,
        fold: support::NEVER,
        ..LogLimits::test_min()
    }
}

pub const SMALL: usize = 5 * BLOCK;

pub struct Subject {
    meta: Vec<u8>,
    pub slots: Vec<(SlotId, Vec<u8>)>,
    /// Which of `slots` is damaged.
    pub target: usize,
    pub expected: Vec<Seen>,
    /// Records that the log itself proves durable: a recovery that loses one of them in a cut is wrong.
    pub proven: usize,
    /// Records before the last batch.
    pub before_last: usize,
}

/// What a recovery came to: it halted, or it ended with so many records, all equal to the expected ones.
#[derive(Debug)]
pub enum Outcome {
    Halted(Report),
    Recovered(usize, Report),
}

impl Subject {
    /// `disk` holds a whole log; its segment in slot `target` is the one that will be damaged.
    pub fn new(mut disk: Disk, target: u32) -> Self {
        let slots: Vec<_> =
            disk.found().slots.iter().map(|(slot, _)| (*slot, disk.slot(slot.0).clone())).collect();
        let meta = disk.files[&FileId::Meta].clone();
        let (expected, log, report) = disk.recover();
        assert!(log.is_some() && !expected.is_empty(), "{report}");
        let last = report.end.expect("not empty").slot;
        let batches = crate::support::batches(disk.slot(last.0));
        let (_, through, first) = *batches.last().expect("the last segment has batches");
        let target = slots.iter().position(|(slot, _)| slot.0 == target).expect("a slot of the log");
        let (proven, before_last) = (usize::try_from(through).unwrap(), usize::try_from(first - 1).unwrap());
        Self { meta, slots, target, expected, proven, before_last }
    }

    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.slots[self.target].1
    }

    /// Runs recovery to its end. Panics when it replays what the log does not hold.
    pub fn recover(&self) -> Outcome {
        let limits = limits(SMALL);
        let slots = self.slots.iter().map(|(slot, bytes)| (*slot, bytes.len() as u64)).collect();
        let files = Files { slots, ..Files::default() };
        let mut recovery = Recovery::new(LOG, limits, files, limits.buffers(), seawall_wal::Start::Alone);
        let (mut ios, mut seen) = (Vec::with_capacity(1), 0);
        recovery.start(&mut ios);
        loop {
            let done = self.execute(ios.pop().expect("recovery works until it ends"));
            let progress = recovery.done(done, &mut ios, &mut |replay| {
                let Replay::Record(r) = replay else { panic!("there is no checkpoint") };
                let want =
                    self.expected.get(seen).unwrap_or_else(|| panic!("record {} was made up", r.index.0));
                let value = r.record.entries().next().and_then(|e| e.value);
                assert!(
                    want.index == r.index && want.epoch == r.epoch && want.value.as_deref() == value,
                    "record {} is another one",
                    r.index.0
                );
                seen += 1;
            });
            match progress {
                Progress::Working => {}
                Progress::Halted(report) => return Outcome::Halted(report),
                Progress::AtRest(..) => panic!("a start that is alone leads"),
                Progress::Recovered(log, report) => {
                    assert_eq!((log.durable(), report.last), (Index(seen as u64), Index(seen as u64)));
                    return Outcome::Recovered(seen, report);
                }
            }
        }
    }

    fn file(&self, file: FileId) -> &[u8] {
        match file {
            FileId::Meta => &self.meta,
            FileId::Slot(slot) => &self.slots.iter().find(|(s, _)| *s == slot).expect("a slot").1,
            FileId::Checkpoint(_) => unreachable!("there is none"),
        }
    }

    fn execute(&self, io: Io) -> Done {
        match io {
            Io::Read { id, file, offset, mut buf, len } => {
                let at = usize::try_from(offset).unwrap();
                let bytes = self.file(file).get(at..).unwrap_or_default();
                let moved = len.min(bytes.len());
                buf.bytes_mut()[..moved].copy_from_slice(&bytes[..moved]);
                Done { id, result: Ok(moved), buf: Some(buf) }
            }
            Io::Write { id, file, offset, buf, at, len } => {
                let place = usize::try_from(offset).unwrap();
                let same = || self.file(file)[place..place + len] == buf.bytes()[at..at + len];
                assert!(file == FileId::Meta || same(), "recovery changed the log at {offset}");
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            _ => panic!("recovery only reads and writes"),
        }
    }

    /// The law: the exact log, or a halt, or a cut that calls itself uncertain and loses nothing that is proven.
    /// With `lost_write`, the damage is what the disk would hold if the last batch had never been written, and a
    /// certain cut of just that batch is what R2 asks for: no byte tells that there was more.
    pub fn judge(&self, lost_write: bool, what: &dyn Fn() -> String) -> bool {
        match self.recover() {
            Outcome::Halted(report) => {
                assert!(report.halt.is_some());
                true
            }
            Outcome::Recovered(all, _) if all == self.expected.len() => false,
            Outcome::Recovered(some, report) => {
                let end = report.end.unwrap_or_else(|| panic!("{}: an empty log: {report}", what()));
                let named = end.tail == Tail::Uncertain && end.leftover.is_some();
                let unwritten = lost_write && some == self.before_last;
                assert!(named || unwritten, "{}: shorter in silence: {report}", what());
                assert!(some >= self.proven, "{}: proven records are gone: {report}", what());
                true
            }
        }
    }
}

/// Offset and size in bytes of each batch in a slot.
pub fn extents(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), BLOCK);
    while let Some(header) = bytes.get(at..).and_then(|b| BatchHeader::read(b, &LOG, at as u64).ok()) {
        found.push((at, header.blocks()));
        at += header.blocks();
    }
    found
}

pub fn record(log: &mut Log, kind: Kind, value: &[u8]) -> Index {
    let entry = Entry { space: Space(1), key: b"key", value: Some(value) };
    log.append(kind, 7, std::iter::once(entry)).expect("room")
}
