//! A disk in memory that executes one operation at a time, and helpers to run a log on it.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;

use seawall_wal::checkpoint::{FoldPolicy, Folded};
use seawall_wal::recover::{Files, Report};
use seawall_wal::{
    AdoptJob, BLOCK, Buffer, Done, Entry, Epoch, FileId, FoldDone, FoldError, FoldJob, Index, Io, IoError,
    IoStep, Kind, Log, LogId, LogLimits, Progress, Recovery, Replay, SlotId, Space, meta,
};

pub const LOG: LogId = LogId { lineage: *b"a lineage for it", shard: 1 };

#[derive(Clone)]
pub struct Disk {
    pub files: BTreeMap<FileId, Vec<u8>>,
    /// A read that touches this place fails.
    pub bad_sector: Option<(FileId, u64)>,
    /// The first read of this place gives another byte.
    pub misread: Option<(FileId, u64)>,
    /// Every write and flush fails from now on.
    pub dead: bool,
    pub writes: Vec<(FileId, u64, usize)>,
    /// What was cut off, by the number of the cut and its place.
    pub quarantine: BTreeMap<(u64, SlotId, u64), Vec<u8>>,
    /// What was put aside, by its number.
    pub aside: BTreeMap<(u64, FileId), Vec<u8>>,
    pub audit: Vec<String>,
    /// A checkpoint of another log's, without a name.
    pub offered: Vec<u8>,
}

/// A record as a test sees it: its first entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub epoch: Epoch,
    pub index: Index,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// Small, and never folded: what a recovery gives are all the records.
pub fn limits() -> LogLimits {
    LogLimits { fold: NEVER, ..LogLimits::test_min() }
}

pub const NEVER: FoldPolicy = FoldPolicy::NEVER;

impl Disk {
    pub fn new() -> Self {
        let files = BTreeMap::from([(FileId::Meta, meta::format(&LOG))]);
        Self {
            files,
            bad_sector: None,
            misread: None,
            dead: false,
            writes: Vec::new(),
            quarantine: BTreeMap::new(),
            aside: BTreeMap::new(),
            audit: Vec::new(),
            offered: Vec::new(),
        }
    }

    pub fn found(&self) -> Files {
        found(self.files.iter().map(|(file, bytes)| (*file, bytes.len())))
    }

    pub fn slot(&mut self, n: u32) -> &mut Vec<u8> {
        self.files.get_mut(&FileId::Slot(SlotId(n))).expect("a slot of the test")
    }

    /// Everything but a fold.
    pub fn execute(&mut self, io: Io) -> Done {
        let eio = |step| Err(IoError { step, errno: 5 });
        match io {
            Io::Write { id, buf, .. } if self.dead => Done { id, result: eio(IoStep::Write), buf: Some(buf) },
            Io::Write { id, file, offset, buf, at, len } => {
                let start = usize::try_from(offset).unwrap();
                let target = self.files.get_mut(&file).expect("the file exists before it is written");
                target[start..start + len].copy_from_slice(&buf.bytes()[at..at + len]);
                self.writes.push((file, offset, len));
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            Io::Read { id, file, offset, mut buf, len }
            | Io::ReadBack { id, file, offset, mut buf, len, .. } => {
                let start = usize::try_from(offset).unwrap();
                if self
                    .bad_sector
                    .is_some_and(|(f, at)| f == file && (offset..offset + len as u64).contains(&at))
                {
                    return Done { id, result: eio(IoStep::Read), buf: Some(buf) };
                }
                buf.bytes_mut()[..len].copy_from_slice(&self.files[&file][start..start + len]);
                let there =
                    |(f, at): &mut (FileId, u64)| *f == file && (offset..offset + len as u64).contains(at);
                if let Some((_, at)) = self.misread.take_if(there) {
                    buf.bytes_mut()[usize::try_from(at - offset).unwrap()] ^= 1;
                }
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            Io::Prepare { id, .. } if self.dead => Done { id, result: eio(IoStep::Prepare), buf: None },
            Io::Prepare { id, slot, bytes } => {
                let zeros = vec![0; usize::try_from(bytes).unwrap()];
                self.files.insert(FileId::Slot(slot), zeros);
                Done { id, result: Ok(0), buf: None }
            }
            Io::Remove { id, file } => {
                self.files.remove(&file).expect("a file is removed once");
                Done { id, result: Ok(0), buf: None }
            }
            Io::Quarantine { id, cut, slot, from, to } => {
                let bytes = &self.files[&FileId::Slot(slot)];
                let bytes = bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec();
                self.quarantine.insert((cut, slot, from), bytes);
                Done { id, result: Ok(0), buf: None }
            }
            Io::Audit { id, line } => {
                self.audit.push(line);
                Done { id, result: Ok(0), buf: None }
            }
            Io::PutAside { id, number } => {
                let files = std::mem::take(&mut self.files);
                for (file, bytes) in files {
                    if file == FileId::Meta {
                        self.files.insert(file, bytes.clone());
                    }
                    self.aside.insert((number, file), bytes);
                }
                Done { id, result: Ok(0), buf: None }
            }
            Io::WriteOffered { id, offset, bytes } => {
                self.offered.truncate(usize::try_from(offset).unwrap());
                self.offered.extend_from_slice(&bytes);
                Done { id, result: Ok(bytes.len()), buf: None }
            }
            Io::Fold(_) | Io::Adopt(_) => unreachable!("a fold has a door of its own"),
        }
    }

    pub fn fold(&mut self, job: &FoldJob) -> FoldDone {
        let made = run(job, |file| self.files[&file].as_slice());
        let result = made.map(|(folded, bytes)| {
            self.files.insert(FileId::Checkpoint(folded.checkpoint()), bytes);
            folded
        });
        FoldDone { id: job.id, result }
    }

    /// Judges what came from elsewhere as every executor has to, and names it.
    pub fn adopt(&mut self, job: &AdoptJob) -> FoldDone {
        let bytes = std::mem::take(&mut self.offered);
        let result = job.verify(&mut Buffer::new(0, 4 * BLOCK), |at, target| {
            let at = usize::try_from(at).unwrap();
            target.copy_from_slice(&bytes[at..at + target.len()]);
            Ok(())
        });
        if result.is_ok() {
            self.files.insert(FileId::Checkpoint(job.checkpoint()), bytes);
        }
        FoldDone { id: job.id, result }
    }

    /// Executes one operation of a running log.
    pub fn serve(&mut self, log: &mut Log, io: Io) {
        match io {
            Io::Fold(job) => {
                let _ = log.folded(self.fold(&job));
            }
            io => {
                let _ = log.done(self.execute(io));
                log.commit(log.durable());
            }
        }
    }

    /// Runs recovery to its end; what it replayed, and the log unless it halted.
    pub fn recover(&mut self) -> (Vec<Seen>, Option<Log>, Report) {
        self.recover_with(limits())
    }

    pub fn recover_with(&mut self, limits: LogLimits) -> (Vec<Seen>, Option<Log>, Report) {
        let mut recovery =
            Recovery::new(LOG, limits, self.found(), limits.buffers(), seawall_wal::Start::Alone);
        let (mut ios, mut seen) = (Vec::new(), Vec::new());
        recovery.start(&mut ios);
        loop {
            let io = ios.pop().expect("recovery works until it ends");
            let done = self.execute(io);
            let progress = recovery.done(done, &mut ios, &mut |replay| see(replay, &mut seen));
            match progress {
                Progress::Working => assert_eq!(ios.len(), 1, "one operation is under way at a time"),
                Progress::Halted(report) => return (seen, None, report),
                Progress::AtRest(..) => panic!("a start that is alone leads"),
                Progress::Recovered(log, report) => return (seen, Some(*log), report),
            }
        }
    }

    pub fn open(&mut self) -> Log {
        self.open_with(limits())
    }

    pub fn open_with(&mut self, limits: LogLimits) -> Log {
        let (_, log, report) = self.recover_with(limits);
        let mut log = log.unwrap_or_else(|| panic!("{report}"));
        self.settle(&mut log);
        log
    }

    /// Executes whatever the log asks for until it asks for nothing.
    pub fn settle(&mut self, log: &mut Log) {
        let mut ios = Vec::new();
        loop {
            log.pump(0, &mut ios);
            if ios.is_empty() {
                return;
            }
            for io in std::mem::take(&mut ios) {
                self.serve(log, io);
            }
        }
    }

    /// One record, in a batch of its own, durable.
    pub fn commit(&mut self, log: &mut Log, value: &[u8]) -> Index {
        let index = append(log, value).expect("room");
        self.settle(log);
        assert_eq!(log.durable(), index);
        index
    }
}

/// The records of the log, and nothing of a checkpoint.
pub fn see(replay: Replay<'_>, seen: &mut Vec<Seen>) {
    match replay {
        Replay::Record(r) => {
            let entry = r.record.entries().next();
            let key = entry.map_or(Vec::new(), |e| e.key.to_vec());
            let value = entry.and_then(|e| e.value).map(<[u8]>::to_vec);
            seen.push(Seen { epoch: r.epoch, index: r.index, key, value });
        }
        Replay::Base(_) => seen.clear(),
        Replay::Item(_) => {}
    }
}

/// The files that a start finds.
pub fn found(files: impl Iterator<Item = (FileId, usize)>) -> Files {
    let mut found = Files::default();
    for (file, bytes) in files {
        match file {
            FileId::Slot(slot) => found.slots.push((slot, bytes as u64)),
            FileId::Checkpoint(id) => found.checkpoints.push((id, bytes as u64)),
            FileId::Meta => {}
        }
    }
    found
}

/// Makes a checkpoint as every executor has to.
pub fn run<'d>(job: &FoldJob, file: impl Fn(FileId) -> &'d [u8]) -> Result<(Folded, Vec<u8>), FoldError> {
    let previous = job.previous.map(|id| file(FileId::Checkpoint(id)));
    let segments: Vec<&[u8]> = job.segments.iter().map(|(slot, _)| file(FileId::Slot(*slot))).collect();
    let mut bytes = Vec::new();
    let folded = job.run(previous, &segments, |part| bytes.extend_from_slice(part))?;
    job.verify(&folded, &mut Buffer::new(0, 4 * BLOCK), |at, target| {
        let at = usize::try_from(at).unwrap();
        target.copy_from_slice(&bytes[at..at + target.len()]);
        Ok(())
    })?;
    Ok((folded, bytes))
}

pub fn append(log: &mut Log, value: &[u8]) -> Result<Index, seawall_wal::NoRoom> {
    let entry = Entry { space: Space(1), key: b"key", value: Some(value) };
    log.append(Kind::Data, 7, std::iter::once(entry))
}

/// The first block of each batch in a slot: `(offset, flushed_through, first index)`.
pub fn batches(bytes: &[u8]) -> Vec<(usize, u64, u64)> {
    let at = |n: usize| n * BLOCK;
    let header =
        |n| seawall_wal::format::BatchHeader::read(&bytes[at(n)..], &LOG, at(n) as u64).ok().map(|h| (n, h));
    (1..bytes.len() / BLOCK)
        .filter_map(header)
        .map(|(n, h)| (at(n), h.flushed_through, h.first_index))
        .collect()
}
