//! A leader's log as the items that it ships, and a follower that takes them.
#![allow(dead_code, reason = "each test binary uses its part")]

use seawall_wal::format::{BatchHeader, SegmentHeader};
use seawall_wal::recover::Report;
use seawall_wal::{
    BLOCK, Epoch, FileId, Follower, Index, Io, Log, LogLimits, Progress, Recovery, Start, Validated,
};

use crate::support::{self, Disk, LOG, Seen, see};

/// One item: a header block or a batch, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub incarnation: u64,
    pub offset: u64,
    /// The last index in it, or before a segment.
    pub last: Index,
    pub bytes: Vec<u8>,
}

/// All that a log holds, in order; of slots that were not used twice.
pub fn items(disk: &Disk) -> Vec<Item> {
    let slot = |file: &FileId| matches!(file, FileId::Slot(_));
    let slots = disk.files.iter().filter(|(file, _)| slot(file)).map(|(_, bytes)| bytes);
    let mut segments: Vec<(SegmentHeader, &Vec<u8>)> =
        slots.filter_map(|bytes| Some((SegmentHeader::read(bytes, &LOG).ok()?, bytes))).collect();
    segments.sort_by_key(|(header, _)| header.incarnation);
    let mut items = Vec::new();
    for (n, (header, bytes)) in segments.iter().enumerate() {
        let end = segments.get(n + 1).map_or(header.bytes, |(next, _)| next.pred_end);
        let (incarnation, last) = (header.incarnation, Index(header.first_index - 1));
        items.push(Item { incarnation, offset: 0, last, bytes: bytes[..BLOCK].to_vec() });
        let mut at = BLOCK;
        while (at as u64) < end
            && let Ok(batch) = BatchHeader::read(&bytes[at..], &LOG, at as u64)
            && batch.incarnation == incarnation
        {
            let (offset, last) = (at as u64, batch.last_index());
            items.push(Item { incarnation, offset, last, bytes: bytes[at..at + batch.blocks()].to_vec() });
            at += batch.blocks();
        }
    }
    items
}

/// Those that the follower does not have.
pub fn missing(items: &[Item], follower: &Follower) -> Vec<Item> {
    let next = follower.expected();
    let behind = |item: &&Item| (item.incarnation, item.offset) >= (next.incarnation.0, next.offset);
    items.iter().filter(behind).cloned().collect()
}

pub enum Opened {
    Leader(Box<Log>),
    Follower(Box<Follower>),
    Halted,
}

pub fn open_as(disk: &mut Disk, limits: LogLimits, role: Start) -> (Vec<Seen>, Opened, Report) {
    let mut recovery = Recovery::new(LOG, limits, disk.found(), limits.buffers(), role);
    let (mut ios, mut seen) = (Vec::new(), Vec::new());
    recovery.start(&mut ios);
    loop {
        let io = ios.pop().expect("recovery works until it ends");
        let done = disk.execute(io);
        match recovery.done(done, &mut ios, &mut |replay| see(replay, &mut seen)) {
            Progress::Working => assert_eq!(ios.len(), 1, "one operation is under way at a time"),
            Progress::Halted(report) => return (seen, Opened::Halted, report),
            Progress::Recovered(log, report) => return (seen, Opened::Leader(log), report),
            Progress::AtRest(log, report) => return (seen, Opened::Follower(log), report),
        }
    }
}

pub fn follow(disk: &mut Disk, limits: LogLimits) -> Follower {
    match open_as(disk, limits, Start::Follow) {
        (_, Opened::Follower(log), _) => *log,
        (.., report) => panic!("{report}"),
    }
}

pub fn lead(disk: &mut Disk, limits: LogLimits, epoch: u64) -> Log {
    match open_as(disk, limits, Start::Lead { epoch: Epoch(epoch) }) {
        (_, Opened::Leader(mut log), _) => {
            disk.settle(&mut log);
            *log
        }
        (.., report) => panic!("{report}"),
    }
}

/// Executes whatever the follower asks for until it asks for nothing; what became validated.
pub fn settle(disk: &mut Disk, follower: &mut Follower) -> Vec<Validated> {
    let (mut ios, mut fresh) = (Vec::new(), Vec::new());
    loop {
        follower.pump(&mut ios);
        if ios.is_empty() {
            return fresh;
        }
        for io in std::mem::take(&mut ios) {
            match io {
                Io::Fold(job) => follower.folded(disk.fold(&job)).expect("it is a fold"),
                io => {
                    let _ = follower.done(disk.execute(io));
                }
            }
        }
        fresh.extend(follower.fresh());
    }
}

/// Gives everything, as it finds room, and lets it land.
pub fn feed(disk: &mut Disk, follower: &mut Follower, items: &[Item]) -> Vec<Validated> {
    let bytes: Vec<u8> = items.iter().flat_map(|item| item.bytes.clone()).collect();
    let (mut at, mut fresh) = (0, Vec::new());
    while at < bytes.len() {
        let taken = follower.take(&bytes[at..]).unwrap_or_else(|rejected| panic!("{rejected}"));
        at += taken;
        fresh.extend(settle(disk, follower));
        assert!(taken > 0 || follower.failure().is_none(), "{:?}", follower.failure());
    }
    fresh
}

/// Every item of the leader stands in the follower's segments, byte for byte.
pub fn same_segments(leader: &Disk, follower: &Disk) {
    let (a, b) = (items(leader), items(follower));
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!(a == b, "segment {} at {}", a.incarnation, a.offset);
    }
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// A leader of `starts` epochs, each with some commits of many sizes, alone and together.
pub fn leader(seed: u64, starts: usize, commits: usize, limits: LogLimits) -> Disk {
    let (mut disk, mut random) = (Disk::new(), Random(seed));
    for _ in 0..starts {
        let mut log = disk.open_with(limits);
        for n in 0..commits {
            for _ in 0..=random.below(3) {
                let _ = support::append(&mut log, &vec![n as u8; 1 + random.below(6000)]);
            }
            disk.settle(&mut log);
        }
    }
    disk
}
