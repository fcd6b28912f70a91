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
    /// Of each part, what [`Points::add_all`] adds.
    later: Vec<Vec<Entry>>,
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
        self.bucket(sum).map_or(Found::Nowhere, |bucket| bucket.find(sum, is_it))
    }

    /// Of a key that is not there. False if its bucket is full.
    pub fn add(&mut self, sum: u32, id: Id) -> bool {
        self.parts.resize(PARTS, Part::default());
        let part = &mut self.parts[part_of(sum)];
        part.make_room(1);
        part.add(Entry::of(sum, id))
    }

    /// Of a key that is not there, and for which nobody looks until [`Points::add_all`].
    pub fn add_later(&mut self, sum: u32, id: Id) {
        self.later.resize_with(PARTS, Vec::new);
        self.later[part_of(sum)].push(Entry::of(sum, id));
    }

    /// Part by part, so that each is near while it is filled, and has its size before. Says which find no room.
    pub fn add_all(&mut self, mut away: impl FnMut(Id)) {
        if self.later.is_empty() {
            return;
        }
        self.parts.resize(PARTS, Part::default());
        for (part, later) in self.parts.iter_mut().zip(std::mem::take(&mut self.later)) {
            part.make_room(later.len());
            for entry in later {
                if !part.add(entry) {
                    entry.id().into_iter().for_each(&mut away);
                }
            }
        }
    }

    /// Reads a bit of where `sum` would be.
    pub fn touch(&self, sum: u32) -> u16 {
        self.bucket(sum).map_or(0, |bucket| bucket.len)
    }

    /// A key with the same sum, most often the one.
    pub fn like(&self, sum: u32) -> Option<Id> {
        self.bucket(sum)?.entries.iter().find(|entry| entry.sum() == sum)?.id()
    }

    fn bucket(&self, sum: u32) -> Option<&Bucket> {
        self.parts.get(part_of(sum)).and_then(|part| part.buckets.get(part.place(sum)))
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

    /// For so many more.
    fn make_room(&mut self, more: usize) {
        let mut buckets = self.buckets.len().max(usize::from(more > 0));
        while self.len + more > MOST * buckets {
            buckets *= 2;
        }
        if buckets != self.buckets.len() {
            self.rebuild(buckets);
        }
    }

    fn add(&mut self, entry: Entry) -> bool {
        let place = self.place(entry.sum());
        let added = self.buckets[place].add(entry);
        self.len += usize::from(added);
        added
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
