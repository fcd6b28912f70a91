//! One simulated file: its durable image, and the device's cache over it.

use crate::random::Random;

/// What a device writes wholly or not at all.
pub const SECTOR: usize = 512;

#[derive(Debug)]
pub struct File {
    durable: Vec<u8>,
    /// The durable image under the cache: what a read sees.
    image: Vec<u8>,
    /// Oldest first.
    cache: Vec<Accepted>,
}

/// Sectors that the device accepted and did not make durable.
#[derive(Debug)]
struct Accepted {
    sequence: u64,
    offset: usize,
    bytes: Vec<u8>,
    /// A failed flush forgot it: readable, and no later flush makes it durable.
    forgotten: bool,
}

impl File {
    /// A file with these bytes, durably.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { image: bytes.clone(), durable: bytes, cache: Vec::new() }
    }

    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// Fills `out` from `offset`; returns how many bytes the file has there.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> usize {
        let from = self.image.get(offset..).unwrap_or_default();
        let count = from.len().min(out.len());
        out[..count].copy_from_slice(&from[..count]);
        count
    }

    /// The device accepts whole sectors. A write past the end would change the file's metadata, which nothing on
    /// the commit path may do (R5).
    pub fn accept(&mut self, sequence: u64, offset: usize, bytes: &[u8]) {
        assert!(
            offset.is_multiple_of(SECTOR) && bytes.len().is_multiple_of(SECTOR),
            "a device writes sectors"
        );
        assert!(offset + bytes.len() <= self.image.len(), "a write past the end of a prepared file");
        lay(&mut self.image, offset, bytes);
        self.cache.push(Accepted { sequence, offset, bytes: bytes.to_vec(), forgotten: false });
    }

    /// A flush that began when `through` was the newest accepted write succeeds. `own` limits it to a range, and
    /// to what lies under that range.
    pub fn flush(&mut self, through: u64, own: Option<(usize, usize)>) {
        let (durable, mut kept) = (&mut self.durable, Vec::new());
        for accepted in self.cache.drain(..) {
            if accepted.covered(through, own) && !accepted.forgotten {
                lay(durable, accepted.offset, &accepted.bytes);
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
            lay(&mut self.image, accepted.offset, &accepted.bytes);
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
                    lay(&mut self.durable, sector.offset, &sector.bytes);
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
    fn covered(&self, through: u64, own: Option<(usize, usize)>) -> bool {
        self.sequence <= through && own.is_none_or(|(offset, len)| self.overlaps(offset, len))
    }

    fn overlaps(&self, offset: usize, len: usize) -> bool {
        self.offset < offset + len && offset < self.offset + self.bytes.len()
    }

    fn sectors(&self) -> impl Iterator<Item = Accepted> + '_ {
        let Self { sequence, offset, forgotten, .. } = *self;
        self.bytes.chunks(SECTOR).enumerate().map(move |(nth, bytes)| Accepted {
            sequence,
            offset: offset + nth * SECTOR,
            bytes: bytes.to_vec(),
            forgotten,
        })
    }
}

fn lay(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}
