//! A disk whose writes are accepted first and durable only after their own flush.
//!
//! The fault model: a crash of the *process* leaves everything visible, and what was not flushed stays volatile. A
//! crash of the *power* keeps what was flushed; of each write that was not, sectors of 512 bytes survive by a
//! pattern. A flush makes its own write durable and no other one. A slot has its name when its preparation ended.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::rc::Rc;

use seawall_wal::recover::Files;
use seawall_wal::{AdoptJob, BLOCK, Buffer, Done, FileId, FoldDone, FoldJob, Io, SlotId, meta};

use crate::support::{Disk, LOG, found, run};

const SECTOR: usize = 512;

/// Cheap to clone: files are copied when they change.
#[derive(Clone)]
pub struct Volatile {
    files: BTreeMap<FileId, File>,
    pending: Vec<Pending>,
    /// Names that were taken away, which nothing has made durable.
    removed: BTreeMap<FileId, File>,
    /// What was cut off, by the number of the cut and its place.
    pub quarantine: BTreeMap<(u64, SlotId, u64), Rc<Vec<u8>>>,
    /// What was put aside, by its number.
    pub aside: BTreeMap<(u64, FileId), Rc<Vec<u8>>>,
    pub audit: Vec<String>,
    /// A checkpoint of another log's, without a name: a start removes it.
    pub offered: Vec<u8>,
}

#[derive(Clone)]
struct File {
    durable: Rc<Vec<u8>>,
    visible: Rc<Vec<u8>>,
}

#[derive(Clone)]
struct Pending {
    file: FileId,
    offset: usize,
    bytes: Rc<Vec<u8>>,
}

/// What is left of one write that was not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    All,
    FirstHalf,
    SecondHalf,
    Even,
    Odd,
}

#[derive(Clone, Debug)]
pub enum Crash {
    Process,
    /// One pattern for each write under way, in the order of their acceptance; repeated when it is too short.
    Power(Vec<Left>),
}

impl Left {
    fn keeps(self, sector: usize, of: usize) -> bool {
        match self {
            Left::Nothing => false,
            Left::All => true,
            Left::FirstHalf => sector < of / 2,
            Left::SecondHalf => sector >= of / 2,
            Left::Even => sector.is_multiple_of(2),
            Left::Odd => !sector.is_multiple_of(2),
        }
    }
}

impl Volatile {
    pub fn new() -> Self {
        let bytes = Rc::new(meta::format(&LOG));
        let meta = File { durable: Rc::clone(&bytes), visible: bytes };
        let files = BTreeMap::from([(FileId::Meta, meta)]);
        Self {
            files,
            pending: Vec::new(),
            removed: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            aside: BTreeMap::new(),
            audit: Vec::new(),
            offered: Vec::new(),
        }
    }

    /// A bit rots, where nobody looks.
    pub fn rot(&mut self, file: FileId, byte: usize, bit: u8) {
        let rotten = self.files.get_mut(&file).expect("a file of the test");
        Rc::make_mut(&mut rotten.durable)[byte] ^= 1 << bit;
        Rc::make_mut(&mut rotten.visible)[byte] ^= 1 << bit;
    }

    /// As a reader finds it, on a disk that is always durable.
    pub fn read(&self) -> Disk {
        let mut disk = Disk::new();
        disk.files = self.files.iter().map(|(file, content)| (*file, content.visible.to_vec())).collect();
        disk
    }

    pub fn found(&self) -> Files {
        found(self.files.iter().map(|(file, content)| (*file, content.visible.len())))
    }

    /// Writes that a power cut could still take away.
    pub fn at_risk(&self) -> usize {
        self.pending.len() + usize::from(!self.removed.is_empty())
    }

    pub fn accept(&mut self, io: &Io) {
        let Io::Write { file, offset, buf, at, len, .. } = io else { return };
        let (bytes, offset) = (buf.bytes()[*at..*at + *len].to_vec(), usize::try_from(*offset).unwrap());
        let target = self.files.get_mut(file).expect("the file exists before it is written");
        Rc::make_mut(&mut target.visible)[offset..offset + len].copy_from_slice(&bytes);
        self.pending.push(Pending { file: *file, offset, bytes: Rc::new(bytes) });
    }

    /// Ends an operation: a write is durable, a slot is there, a read has its bytes.
    pub fn finish(&mut self, io: Io) -> Done {
        match io {
            Io::Write { id, file, offset, buf, len, .. } => {
                let offset = usize::try_from(offset).unwrap();
                let own = |p: &Pending| p.file == file && p.offset == offset && p.bytes.len() == len;
                let nth = self.pending.iter().rposition(own).expect("it was accepted");
                let done = self.pending.remove(nth);
                // Older writes of the same place are overwritten in the cache, and cannot come after this one.
                let inside = |p: &Pending| {
                    p.file == file && p.offset >= offset && p.offset + p.bytes.len() <= offset + len
                };
                let mut seen = 0;
                self.pending.retain(|p| {
                    seen += 1;
                    seen > nth || !inside(p)
                });
                let target = self.files.get_mut(&file).unwrap();
                Rc::make_mut(&mut target.durable)[offset..offset + len].copy_from_slice(&done.bytes);
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            Io::Read { id, file, offset, mut buf, len }
            | Io::ReadBack { id, file, offset, mut buf, len, .. } => {
                let at = usize::try_from(offset).unwrap();
                buf.bytes_mut()[..len].copy_from_slice(&self.files[&file].visible[at..at + len]);
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            Io::Prepare { id, slot, bytes } => {
                let zeros = Rc::new(vec![0; usize::try_from(bytes).unwrap()]);
                self.create(FileId::Slot(slot), zeros);
                Done { id, result: Ok(0), buf: None }
            }
            Io::Remove { id, file } => {
                let content = self.files.remove(&file).expect("a file is removed once");
                self.removed.insert(file, content);
                Done { id, result: Ok(0), buf: None }
            }
            Io::Quarantine { id, cut, slot, from, to } => {
                let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
                let bytes = self.files[&FileId::Slot(slot)].visible[range].to_vec();
                self.quarantine.insert((cut, slot, from), Rc::new(bytes));
                Done { id, result: Ok(0), buf: None }
            }
            Io::Audit { id, line } => {
                self.audit.push(line);
                Done { id, result: Ok(0), buf: None }
            }
            Io::PutAside { id, number } => {
                self.put_aside(number, usize::MAX);
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

    /// Moves so many files to the quarantine: a crash may come between two of them.
    pub fn put_aside(&mut self, number: u64, most: usize) {
        self.removed.clear(); // the directory is flushed
        let names: Vec<FileId> =
            self.files.keys().filter(|file| **file != FileId::Meta).take(most).copied().collect();
        for name in names {
            let file = self.files.remove(&name).unwrap();
            self.aside.insert((number, name), file.visible);
        }
    }

    /// A checkpoint has its name when everything in it is durable.
    pub fn fold(&mut self, job: &FoldJob) -> FoldDone {
        let made = run(job, |file| self.files[&file].visible.as_slice());
        let result = made.map(|(folded, bytes)| {
            self.create(FileId::Checkpoint(folded.checkpoint()), Rc::new(bytes));
            folded
        });
        FoldDone { id: job.id, result }
    }

    /// What came from elsewhere has its name when it was judged.
    pub fn adopt(&mut self, job: &AdoptJob) -> FoldDone {
        let bytes = std::mem::take(&mut self.offered);
        let result = job.verify(&mut Buffer::new(0, 4 * BLOCK), |at, target| {
            let at = usize::try_from(at).unwrap();
            target.copy_from_slice(&bytes[at..at + target.len()]);
            Ok(())
        });
        if result.is_ok() {
            self.create(FileId::Checkpoint(job.checkpoint()), Rc::new(bytes));
        }
        FoldDone { id: job.id, result }
    }

    fn create(&mut self, file: FileId, content: Rc<Vec<u8>>) {
        self.removed.remove(&file);
        self.files.insert(file, File { durable: Rc::clone(&content), visible: content });
    }

    /// The disk as the next start finds it.
    pub fn after(&self, crash: &Crash) -> Self {
        let mut disk = self.clone();
        disk.offered.clear();
        let removed = std::mem::take(&mut disk.removed);
        let Crash::Power(patterns) = crash else { return disk };
        if matches!(patterns[0], Left::Nothing | Left::Even) {
            disk.files.extend(removed);
        }
        for (n, write) in std::mem::take(&mut disk.pending).into_iter().enumerate() {
            let pattern = patterns[n % patterns.len()];
            let target = disk.files.get_mut(&write.file).unwrap();
            let sectors = write.bytes.len() / SECTOR;
            for sector in (0..sectors).filter(|s| pattern.keeps(*s, sectors)) {
                let (from, to) = (sector * SECTOR, write.offset + sector * SECTOR);
                Rc::make_mut(&mut target.durable)[to..to + SECTOR]
                    .copy_from_slice(&write.bytes[from..from + SECTOR]);
            }
        }
        for file in disk.files.values_mut() {
            file.visible = Rc::clone(&file.durable);
        }
        disk
    }
}
