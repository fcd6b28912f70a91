//! Where single keys are found: by a sum of each, in a bucket that a look reads whole.
//!
//! It is an aid beside the tree and need not know every key: a bucket that is full turns keys away, remembers that it
//! did, and for those a look goes down the tree. So keys that somebody chose to have one sum cost no more than that.
//! The sum has no secret, and nothing ever goes over the buckets in their order but to make them anew.

use super::slots::Id;

/// What a bucket holds.
const FULL: usize = 15;
/// Keys of a bucket from which on, on average, there are twice as many buckets, and half as many.
const MOST: usize = 8;
const LEAST: usize = 3;
/// Each part grows alone, so that no commit waits for all of it.
const PARTS: usize = 32;

#[derive(Debug, Default)]
pub struct Points {
    /// None, or [`PARTS`].
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Default)]
struct Part {
    buckets: Vec<Bucket>,
    len: usize,
}

/// Two cache lines next to each other; a look often needs only the first.
#[derive(Clone, Debug, Default)]
#[repr(C, align(128))]
struct Bucket {
    /// As many are in use as `len` says, from the first on.
    entries: [Entry; FULL],
    len: u16,
    /// Some keys may be elsewhere.
    full: bool,
}

const _: () = assert!(size_of::<Bucket>() == 128);

/// A key's sum, and below it its number and one more: 0 is no entry.
#[derive(Clone, Copy, Debug, Default)]
struct Entry(u64);

impl Entry {
    fn of(sum: u32, id: Id) -> Self {
        Self(u64::from(sum) << 32 | (u64::from(id) + 1))
    }

    fn sum(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn id(self) -> Option<Id> {
        (self.0 as u32).checked_sub(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    At(Id),
    Nowhere,
    /// Only the tree knows.
    Unsure,
}

/// A sum that every bit of every word goes through.
pub fn sum(key: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| {
        let product = (sum ^ word).wrapping_mul(ODD);
        product ^ (product >> 32)
    };
    let (words, rest) = key.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let sum = words.iter().fold(key.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    (mix(sum, u64::from_le_bytes(last)).wrapping_mul(ODD) >> 32) as u32
}

impl Points {
    pub fn find(&self, sum: u32, is_it: impl Fn(Id) -> bool) -> Found {
        match self.parts.get(part_of(sum)) {
            Some(part) if !part.buckets.is_empty() => part.buckets[part.place(sum)].find(sum, is_it),
            _ => Found::Nowhere,
        }
    }

    /// Of a key that is not there.
    pub fn add(&mut self, sum: u32, id: Id) {
        self.parts.resize(PARTS, Part::default());
        let part = &mut self.parts[part_of(sum)];
        if part.len >= MOST * part.buckets.len() {
            part.rebuild((2 * part.buckets.len()).max(1));
        }
        part.add(Entry::of(sum, id));
    }

    pub fn remove(&mut self, sum: u32, id: Id) {
        let part = &mut self.parts[part_of(sum)];
        let place = part.place(sum);
        part.len -= usize::from(part.buckets[place].remove(id));
        if part.buckets.len() > 1 && part.len < LEAST * part.buckets.len() {
            part.rebuild(part.buckets.len() / 2);
        }
    }

    pub fn renumber(&mut self, sum: u32, from: Id, to: Id) {
        let part = &mut self.parts[part_of(sum)];
        let place = part.place(sum);
        let bucket = &mut part.buckets[place];
        if let Some(at) = bucket.position(from) {
            bucket.entries[at] = Entry::of(sum, to);
        }
    }
}

/// By its highest bits; a bucket is chosen by those below.
fn part_of(sum: u32) -> usize {
    (sum >> (u32::BITS - PARTS.ilog2())) as usize
}

impl Part {
    fn place(&self, sum: u32) -> usize {
        ((u64::from(sum << PARTS.ilog2()) * self.buckets.len() as u64) >> u32::BITS) as usize
    }

    fn add(&mut self, entry: Entry) {
        let place = self.place(entry.sum());
        self.len += usize::from(self.buckets[place].add(entry));
    }

    /// Twice or half as many buckets. A key that was turned away may belong to any that a full one becomes.
    fn rebuild(&mut self, buckets: usize) {
        let old = std::mem::replace(&mut self.buckets, vec![Bucket::default(); buckets]);
        self.len = 0;
        for (nth, bucket) in old.iter().enumerate() {
            for entry in &bucket.entries[..usize::from(bucket.len)] {
                self.add(*entry);
            }
            if bucket.full {
                let first = nth * buckets / old.len();
                let last = ((nth + 1) * buckets / old.len()).max(first + 1);
                self.buckets[first..last].iter_mut().for_each(|bucket| bucket.full = true);
            }
        }
    }
}

impl Bucket {
    fn find(&self, sum: u32, is_it: impl Fn(Id) -> bool) -> Found {
        let (line, next) = self.entries.split_at(8);
        for some in [line, next] {
            // All of them at once, which a processor does without a branch.
            if !some.iter().fold(false, |any, entry| any | (entry.sum() == sum)) {
                continue;
            }
            let mut alike = some.iter().filter(|entry| entry.sum() == sum).filter_map(|entry| entry.id());
            if let Some(id) = alike.find(|id| is_it(*id)) {
                return Found::At(id);
            }
        }
        if self.full { Found::Unsure } else { Found::Nowhere }
    }

    fn position(&self, id: Id) -> Option<usize> {
        self.entries.iter().position(|entry| entry.id() == Some(id))
    }

    /// False if there is no room.
    fn add(&mut self, entry: Entry) -> bool {
        let at = usize::from(self.len);
        self.full |= at == FULL;
        if at < FULL {
            self.entries[at] = entry;
            self.len += 1;
        }
        at < FULL
    }

    /// False if it is not here.
    fn remove(&mut self, id: Id) -> bool {
        let Some(at) = self.position(id) else { return false };
        self.len -= 1;
        let last = std::mem::take(&mut self.entries[usize::from(self.len)]);
        if at < usize::from(self.len) {
            self.entries[at] = last;
        }
        true
    }
}
