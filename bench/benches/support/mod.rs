//! A disk in memory whose operations end at once: what is left is the cost of the code itself.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod rows;
pub mod world;

use std::collections::BTreeMap;

use seawall_wal::recover::Files;
use seawall_wal::{Done, FileId, FoldDone, FoldJob, Io, LogId, meta};

/// Keeps what is written, or forgets it.
#[derive(Debug)]
pub struct Memory {
    files: BTreeMap<FileId, Vec<u8>>,
    keeps: bool,
}

impl Memory {
    /// An empty log, whose segments are kept if `keeps`; its metadata always is.
    pub fn new(log: &LogId, keeps: bool) -> Memory {
        Memory { files: BTreeMap::from([(FileId::Meta, meta::format(log))]), keeps }
    }

    /// Slots and checkpoints, as a start finds them.
    pub fn found(&self) -> Files {
        let mut found = Files::default();
        for (file, bytes) in &self.files {
            match file {
                FileId::Slot(slot) => found.slots.push((*slot, bytes.len() as u64)),
                FileId::Checkpoint(checkpoint) => found.checkpoints.push((*checkpoint, bytes.len() as u64)),
                FileId::Meta => {}
            }
        }
        found
    }

    pub fn fold(&mut self, job: &FoldJob) -> FoldDone {
        let previous = job.previous.map(|checkpoint| &self.files[&FileId::Checkpoint(checkpoint)][..]);
        let segments = job.segments.iter().map(|(slot, _)| &self.files[&FileId::Slot(*slot)][..]);
        let mut made = Vec::new();
        let segments: Vec<&[u8]> = segments.collect();
        let result = job.run(previous, &segments, |chunk| made.extend_from_slice(chunk));
        if let Ok(folded) = &result {
            self.files.insert(FileId::Checkpoint(folded.checkpoint()), made);
        }
        FoldDone { id: job.id, result }
    }

    pub fn execute(&mut self, io: Io) -> Done {
        let place = |offset: u64, len: usize| {
            let start = usize::try_from(offset).expect("a slot fits into memory");
            start..start + len
        };
        match io {
            Io::Write { id, file, offset, buf, at, len } => {
                if let Some(bytes) = self.files.get_mut(&file) {
                    bytes[place(offset, len)].copy_from_slice(&buf.bytes()[at..at + len]);
                }
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            Io::Read { id, file, offset, mut buf, len }
            | Io::ReadBack { id, file, offset, mut buf, len, .. } => {
                buf.bytes_mut()[..len].copy_from_slice(&self.files[&file][place(offset, len)]);
                Done { id, result: Ok(len), buf: Some(buf) }
            }
            Io::Prepare { id, slot, bytes } => {
                if self.keeps {
                    let zeros = vec![0; usize::try_from(bytes).expect("a slot fits into memory")];
                    self.files.insert(FileId::Slot(slot), zeros);
                }
                Done { id, result: Ok(0), buf: None }
            }
            Io::Remove { id, file } => {
                self.files.remove(&file);
                Done { id, result: Ok(0), buf: None }
            }
            Io::Quarantine { .. }
            | Io::Audit { .. }
            | Io::PutAside { .. }
            | Io::WriteOffered { .. }
            | Io::Adopt(_) => {
                unreachable!("nobody is followed")
            }
            Io::Fold(_) => unreachable!("a fold has a door of its own"),
        }
    }
}
