//! One simulated file: its durable image, and the device's cache over it.

use crate::random::Random;

/// What a device writes wholly or not at all.
pub const SECTOR: usize = 512;

/// What a device holds, and what it was meant to hold. They differ where it damaged its data.
#[derive(Clone, Debug)]
struct Content {
    held: Vec<u8>,
    meant: Vec<u8>,
}

#[derive(Debug)]
pub struct File {
    durable: Content,
    /// The durable content under the cache: what a read sees.
    image: Content,
    /// Oldest first.
    cache: Vec<Accepted>,
    /// What stood where the newest write went: a stale read still sees it.
    before: Option<(usize, Vec<u8>)>,
    /// It held damage that nobody saw, and that counts as its content now.
    pub scarred: bool,
}

/// Sectors that the device accepted and did not make durable.
#[derive(Debug)]
struct Accepted {
    sequence: u64,
    offset: usize,
    bytes: Vec<u8>,
    /// A failed flush forgot it: readable, and no later flush makes it durable.
    forgotten: bool,
    /// The device put it elsewhere: this place never holds it.
    astray: bool,
}

impl File {
    /// A file with these bytes, durably.
    pub fn new(bytes: Vec<u8>) -> Self {
        let content = Content { held: bytes.clone(), meant: bytes };
        Self { image: content.clone(), durable: content, cache: Vec::new(), before: None, scarred: false }
    }

    pub fn image(&self) -> &[u8] {
        &self.image.held
    }

    /// Fills `out` from `offset`; returns how many bytes the file has there.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> usize {
        let from = self.image.held.get(offset..).unwrap_or_default();
        let count = from.len().min(out.len());
        out[..count].copy_from_slice(&from[..count]);
        count
    }

    /// Such a read, as it was before the newest write.
    pub fn read_stale(&self, offset: usize, out: &mut [u8]) -> usize {
        let count = self.read(offset, out);
        if let Some((at, bytes)) = &self.before {
            for (place, byte) in (*at..).zip(bytes) {
                if (offset..offset + count).contains(&place) {
                    out[place - offset] = *byte;
                }
            }
        }
        count
    }

    /// The device accepts whole sectors. A write past the end would change the file's metadata, which nothing on
    /// the commit path may do (R5).
    pub fn accept(&mut self, sequence: u64, offset: usize, bytes: &[u8], astray: bool) {
        assert!(
            offset.is_multiple_of(SECTOR) && bytes.len().is_multiple_of(SECTOR),
            "a device writes sectors"
        );
        assert!(offset + bytes.len() <= self.image.held.len(), "a write past the end of a prepared file");
        self.before = Some((offset, self.image.held[offset..offset + bytes.len()].to_vec()));
        let accepted = Accepted { sequence, offset, bytes: bytes.to_vec(), forgotten: false, astray };
        accepted.lay(&mut self.image);
        self.cache.push(accepted);
    }

    /// Sectors that were meant for another place arrive here, durably.
    pub fn intrude(&mut self, offset: usize, bytes: &[u8]) {
        for content in [&mut self.durable, &mut self.image] {
            content.held[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// No write to this sector is still in the cache.
    pub fn lies_still(&self, sector: usize) -> bool {
        !self.cache.iter().any(|accepted| accepted.overlaps(sector, SECTOR))
    }

    /// One bit of what lies still turns.
    pub fn rot(&mut self, offset: usize, bit: u8) {
        let rotten = self.image.held[offset] ^ (1 << bit);
        self.intrude(offset, &[rotten]);
    }

    /// Whether what is held in this range is not what was meant to be there.
    pub fn damaged(&self, offset: usize, len: usize) -> bool {
        let range = offset.min(self.image.held.len())..(offset + len).min(self.image.held.len());
        self.image.held[range.clone()] != self.image.meant[range]
    }

    /// Whether these bytes stand here, or should.
    pub fn holds(&self, offset: usize, bytes: &[u8]) -> bool {
        let range = offset..offset + bytes.len();
        [&self.image.held, &self.image.meant].iter().any(|content| content.get(range.clone()) == Some(bytes))
    }

    /// Whether a sector that is meant to hold something holds it.
    pub fn holds_sector(&self, offset: usize) -> bool {
        let sector = |content: &[u8]| content.get(offset..offset + SECTOR).map(<[u8]>::to_vec);
        let meant = sector(&self.image.meant);
        meant == sector(&self.image.held) && meant.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    }

    /// Somebody puts back what was meant to be there.
    pub fn repair(&mut self) {
        for content in [&mut self.durable, &mut self.image] {
            content.held.clone_from(&content.meant);
        }
    }

    /// From now on, what is held is what is meant; `unseen` damage leaves a scar.
    pub fn adopt(&mut self, unseen: bool) {
        self.scarred |= unseen && self.damaged(0, self.image.held.len());
        for content in [&mut self.durable, &mut self.image] {
            content.meant.clone_from(&content.held);
        }
        self.cache.retain(|accepted| !accepted.astray);
    }

    /// A flush that began when `through` was the newest accepted write succeeds. `own` limits it to a range, and
    /// to what lies under that range.
    pub fn flush(&mut self, through: u64, own: Option<(usize, usize)>) {
        let (durable, mut kept) = (&mut self.durable, Vec::new());
        for accepted in self.cache.drain(..) {
            if accepted.covered(through, own) && !accepted.forgotten {
                accepted.lay(durable);
                // What was forgotten under it can never come back over it.
                kept.retain(|older: &Accepted| !older.overlaps(accepted.offset, accepted.bytes.len()));
            } else {
                kept.push(accepted);
            }
        }
        self.cache = kept;
    }

    /// Such a flush fails. Returns whether something that could be read cannot be read any more.
    pub fn fail_flush(&mut self, through: u64, own: Option<(usize, usize)>, random: &mut Random) -> bool {
        let mut dropped = false;
        let mut kept = Vec::new();
        for accepted in std::mem::take(&mut self.cache) {
            if !accepted.covered(through, own) {
                kept.push(accepted);
                continue;
            }
            for mut sector in accepted.sectors() {
                match random.below(3) {
                    0 => dropped = true,
                    1 => {
                        sector.forgotten = true;
                        kept.push(sector);
                    }
                    _ => kept.push(sector),
                }
            }
        }
        self.cache = kept;
        self.image.clone_from(&self.durable);
        for accepted in &self.cache {
            accepted.lay(&mut self.image);
        }
        dropped
    }

    /// The power goes: each unflushed sector survives with probability `permille`. Says for each unflushed write
    /// how many sectors of it survived and how many did not.
    pub fn lose(&mut self, permille: u64, random: &mut Random) -> Vec<(usize, usize)> {
        let mut counts = Vec::new();
        for accepted in std::mem::take(&mut self.cache) {
            let (mut kept, mut lost) = (0, 0);
            for sector in accepted.sectors() {
                if random.chance(permille) {
                    sector.lay(&mut self.durable);
                    kept += 1;
                } else {
                    lost += 1;
                }
            }
            counts.push((kept, lost));
        }
        self.image.clone_from(&self.durable);
        counts
    }
}

impl Accepted {
    fn lay(&self, content: &mut Content) {
        let range = self.offset..self.offset + self.bytes.len();
        content.meant[range.clone()].copy_from_slice(&self.bytes);
        if !self.astray {
            content.held[range].copy_from_slice(&self.bytes);
        }
    }

    fn covered(&self, through: u64, own: Option<(usize, usize)>) -> bool {
        self.sequence <= through && own.is_none_or(|(offset, len)| self.overlaps(offset, len))
    }

    fn overlaps(&self, offset: usize, len: usize) -> bool {
        self.offset < offset + len && offset < self.offset + self.bytes.len()
    }

    fn sectors(&self) -> impl Iterator<Item = Accepted> + '_ {
        let Self { sequence, offset, forgotten, astray, .. } = *self;
        self.bytes.chunks(SECTOR).enumerate().map(move |(nth, bytes)| Accepted {
            sequence,
            offset: offset + nth * SECTOR,
            bytes: bytes.to_vec(),
            forgotten,
            astray,
        })
    }
}
