//! Damage: what the device does to data without a word, and what a test may ask about it.

use seawall::map::ShardId;
use seawall_wal::{BLOCK, FileId, IoError, IoStep};

use super::operation::Fate;
use super::{Disk, EIO, ENOENT, SECTOR};
use crate::fault::Fault;

impl Disk {
    /// Some bits of one sector turn, somewhere between `from` and `to`.
    pub fn rot(&mut self, shard: ShardId, file: FileId, from: usize, to: usize) {
        let Some(content) = self.files.get_mut(&(shard, file)) else { return };
        let to = to.min(content.image().len());
        if from >= to {
            return;
        }
        let sector = (from + self.random.index(to - from)) / SECTOR * SECTOR;
        if !content.lies_still(sector) {
            return;
        }
        for _ in 0..self.random.between(1, 3) {
            let bit = u8::try_from(self.random.below(8)).expect("a bit of a byte");
            content.rot(sector + self.random.index(SECTOR), bit);
        }
        self.fired.add(Fault::BitRot);
    }

    /// This bit turns, unless a write to its sector is under way.
    pub fn flip(&mut self, shard: ShardId, file: FileId, at: usize, bit: u8) -> bool {
        let content = self.files.get_mut(&(shard, file));
        let Some(content) = content.filter(|content| content.lies_still(at / SECTOR * SECTOR)) else {
            return false;
        };
        content.rot(at, bit);
        self.fired.add(Fault::BitTurned);
        true
    }

    /// What a file holds, flushed or not.
    pub fn bytes(&self, shard: ShardId, file: FileId) -> Option<&[u8]> {
        self.files.get(&(shard, file)).map(super::File::image)
    }

    /// How many operations ended with an error.
    pub fn errors(&self) -> u64 {
        let errors =
            [Fault::WriteError, Fault::FlushError, Fault::ShortWrite, Fault::ReadError, Fault::ShortRead];
        errors.iter().map(|fault| self.fired.count(*fault)).sum()
    }

    /// Whether a range of a file is not what was meant to be there.
    pub fn damaged(&self, shard: ShardId, file: FileId, offset: usize, len: usize) -> bool {
        self.files.get(&(shard, file)).is_some_and(|file| file.damaged(offset, len))
    }

    /// Whether something that was meant to be in this range is there: a sector that is not zeros.
    pub fn holds_any_of(&self, shard: ShardId, file: FileId, offset: usize, len: usize) -> bool {
        let holds =
            |file: &super::File| (offset..offset + len).step_by(SECTOR).any(|at| file.holds_sector(at));
        self.files.get(&(shard, file)).is_some_and(holds)
    }

    /// Whether a range holds these bytes, or was meant to.
    pub fn holds(&self, shard: ShardId, file: FileId, offset: usize, bytes: &[u8]) -> bool {
        self.files.get(&(shard, file)).is_some_and(|file| file.holds(offset, bytes))
    }

    /// The files that hold damage, or held some that was [adopted](Self::adopt) unseen.
    pub fn damage(&self) -> Vec<FileId> {
        let hurt = self.files.iter().filter(|(_, file)| file.scarred || file.damaged(0, file.image().len()));
        hurt.map(|((_, name), _)| *name).collect()
    }

    /// Somebody puts back what was meant to be there. What was adopted stays.
    pub fn repair(&mut self) {
        self.files.values_mut().for_each(super::File::repair);
    }

    /// From now on, what is held in a file is what is meant: a log was recovered from it. Where that looked at wrong
    /// bytes, it may have overlooked damage: `unseen`.
    pub fn adopt(&mut self, shard: ShardId, file: FileId, unseen: bool) {
        if let Some(file) = self.files.get_mut(&(shard, file)) {
            file.adopt(unseen);
        }
    }

    /// How often it damaged data or brought wrong bytes, so far.
    pub fn wrongs(&self) -> u64 {
        let wrongs = [
            Fault::BitRot,
            Fault::MisdirectedWrite,
            Fault::MisdirectedRead,
            Fault::StaleRead,
            Fault::FoldDamaged,
        ];
        wrongs.iter().map(|fault| self.fired.count(*fault)).sum()
    }

    pub(super) fn read(
        &mut self,
        shard: ShardId,
        file: FileId,
        offset: usize,
        out: &mut [u8],
    ) -> Result<usize, IoError> {
        let Some(content) = self.files.get(&(shard, file)) else {
            return Err(IoError { step: IoStep::Open, errno: ENOENT });
        };
        if self.random.chance(self.shape.read_error) {
            self.fired.add(Fault::ReadError);
            return Err(IoError { step: IoStep::Read, errno: EIO });
        }
        let count = content.read(offset, out);
        if self.random.chance(self.shape.short_read) {
            self.fired.add(Fault::ShortRead);
            return Ok(self.random.index(count / SECTOR) * SECTOR);
        }
        if file == FileId::Meta {
            return Ok(count);
        }
        let right = out.to_vec();
        let mut fault = Fault::StaleRead;
        if self.random.chance(self.shape.stale_read) {
            content.read_stale(offset, out);
        } else if self.random.chance(self.shape.misdirected_read) {
            fault = Fault::MisdirectedRead;
            if let Some((other, at)) = self.elsewhere(shard, file, offset, out.len()) {
                self.files[&(shard, other)].read(at, out);
            }
        }
        if right != out {
            self.fired.add(fault);
        }
        Ok(count)
    }

    pub(super) fn draw_astray(
        &mut self,
        shard: ShardId,
        (file, offset): (FileId, usize),
        len: usize,
        fate: Fate,
    ) -> Option<(FileId, usize)> {
        let strays = self.random.chance(self.shape.misdirected_write);
        let strays = strays && fate == Fate::Good && file != FileId::Meta;
        strays.then(|| self.elsewhere(shard, file, offset, len)).flatten()
    }

    /// A place of so many bytes in some slot: in half of the cases this one.
    fn elsewhere(
        &mut self,
        shard: ShardId,
        file: FileId,
        offset: usize,
        len: usize,
    ) -> Option<(FileId, usize)> {
        let same = self.random.chance(500);
        let fits = |(of, name): &(ShardId, FileId), bytes: usize| {
            *of == shard && matches!(name, FileId::Slot(_)) && bytes >= len && (!same || *name == file)
        };
        let slots: Vec<_> = self
            .files
            .iter()
            .filter(|(name, content)| fits(name, content.image().len()))
            .map(|((_, name), content)| (*name, content.image().len()))
            .collect();
        if slots.is_empty() {
            return None;
        }
        let (name, bytes) = *self.random.pick(&slots);
        let at = self.random.index((bytes - len) / BLOCK + 1) * BLOCK;
        ((name, at) != (file, offset)).then_some((name, at))
    }
}
