//! Files that come and go: checkpoints are made, what they make superfluous is removed.

use seawall::map::ShardId;
use seawall_wal::checkpoint::Folded;
use seawall_wal::{AdoptJob, BLOCK, Buffer, FileId, FoldError, FoldJob, IoError, IoStep};

use super::file::File;
use super::{Disk, EIO, ENOSPC};
use crate::fault::Fault;

impl Disk {
    /// A file gets its name, and the directory is flushed.
    pub(super) fn name(&mut self, shard: ShardId, name: FileId, file: File) {
        self.files.insert((shard, name), file);
        self.removed.clear();
    }

    /// Makes a checkpoint as every executor has to: read, run, write, read back, and only then the name.
    pub(super) fn fold(&mut self, shard: ShardId, job: &FoldJob) -> Result<Folded, FoldError> {
        let previous = job.previous.map(|id| self.read_for(shard, FileId::Checkpoint(id), usize::MAX));
        let previous = previous.transpose()?;
        let mut segments = Vec::new();
        for (slot, end) in &job.segments {
            let end = usize::try_from(*end).expect("simulated files are small");
            segments.push(self.read_for(shard, FileId::Slot(*slot), end)?);
        }
        let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
        let mut written = Vec::new();
        let folded = job.run(previous.as_deref(), &segments, |part| written.extend_from_slice(part))?;
        let name = FileId::Checkpoint(folded.checkpoint());
        if self.used() + written.len() as u64 > self.shape.capacity {
            self.fired.add(Fault::DiskFull);
            return Err(failed(name, IoStep::Fold, ENOSPC));
        }
        if self.random.chance(self.shape.flush_error) {
            self.fired.add(Fault::FlushError);
            return Err(failed(name, IoStep::Fold, EIO));
        }
        if self.random.chance(4 * self.shape.misdirected_write) {
            self.fired.add(Fault::FoldDamaged);
            let block = self.random.index(written.len() / BLOCK) * BLOCK;
            written[block..block + BLOCK].fill(0);
        }
        let mut buffer = Buffer::new(0, 4 * BLOCK);
        job.verify(&folded, &mut buffer, |offset, out| {
            let from = usize::try_from(offset).expect("simulated files are small");
            out.copy_from_slice(&written[from..from + out.len()]);
            Ok(())
        })?;
        self.name(shard, name, File::new(written));
        Ok(folded)
    }

    /// A piece of another member's checkpoint.
    pub(super) fn take_offered(&mut self, shard: ShardId, offset: usize, bytes: &[u8]) -> usize {
        let file = self.offered.entry(shard).or_default();
        file.truncate(offset);
        assert_eq!(file.len(), offset, "pieces are written one behind the other");
        file.extend_from_slice(bytes);
        bytes.len()
    }

    /// Judges it as every executor has to, and names it.
    pub(super) fn take_over(&mut self, shard: ShardId, job: &AdoptJob) -> Result<Folded, FoldError> {
        let mut written = self.offered.remove(&shard).unwrap_or_default();
        if self.random.chance(self.shape.offered_damage) {
            self.fired.add(Fault::OfferDamaged);
            let at = self.random.index(written.len());
            written[at] ^= 1;
        }
        let mut buffer = Buffer::new(0, 4 * BLOCK);
        let name = FileId::Checkpoint(job.checkpoint());
        let folded = job.verify(&mut buffer, |offset, out| {
            let from = usize::try_from(offset).expect("simulated files are small");
            let bytes = written.get(from..from + out.len()).ok_or(failed(name, IoStep::Read, EIO))?;
            out.copy_from_slice(bytes);
            Ok(())
        })?;
        self.name(shard, name, File::new(written));
        Ok(folded)
    }

    pub(super) fn abandon_adoption(&mut self, shard: ShardId, job: &AdoptJob) {
        let made = self.random.chance(500) && self.take_over(shard, job).is_ok();
        self.fired.add(if made { Fault::OfferUnreported } else { Fault::OfferAbsent });
    }

    pub(super) fn abandon_fold(&mut self, shard: ShardId, job: &FoldJob) {
        let made = self.random.chance(500) && self.fold(shard, job).is_ok();
        self.fired.add(if made { Fault::FoldUnreported } else { Fault::FoldAbsent });
    }

    pub(super) fn remove(&mut self, shard: ShardId, file: FileId) -> Result<usize, IoError> {
        if self.random.chance(self.shape.prepare_error) {
            self.fired.add(Fault::RemoveError);
            return Err(IoError { step: IoStep::Remove, errno: EIO });
        }
        let content = self.files.remove(&(shard, file)).expect("a file is removed once");
        self.removed.insert((shard, file), content);
        Ok(0)
    }

    /// The files of a log leave it, so many of a thousand of them.
    pub(super) fn put_aside(&mut self, shard: ShardId, share: u64) {
        self.removed.clear(); // the directory is flushed
        let Self { files, random, .. } = self;
        files.retain(|(of, file), _| *of != shard || *file == FileId::Meta || !random.chance(share));
    }

    /// The power went before the directory was flushed.
    pub(super) fn bring_back(&mut self) {
        for (name, content) in std::mem::take(&mut self.removed) {
            if !self.files.contains_key(&name) && self.random.chance(500) {
                self.fired.add(Fault::RemovedReturned);
                self.files.insert(name, content);
            }
        }
    }

    /// The first bytes of a file, read in pieces.
    fn read_for(&mut self, shard: ShardId, name: FileId, most: usize) -> Result<Vec<u8>, FoldError> {
        let bytes = self.files.get(&(shard, name)).map_or(0, |file| file.image().len());
        let mut read = vec![0; most.min(bytes)];
        let mut at = 0;
        for piece in read.chunks_mut(4 * BLOCK) {
            match self.read(shard, name, at, piece) {
                Ok(moved) if moved == piece.len() => at += moved,
                Ok(_) => return Err(failed(name, IoStep::Read, EIO)),
                Err(error) => return Err(FoldError::Io { file: name.to_string(), error }),
            }
        }
        Ok(read)
    }
}

fn failed(name: FileId, step: IoStep, errno: i32) -> FoldError {
    FoldError::Io { file: name.to_string(), error: IoError { step, errno } }
}
