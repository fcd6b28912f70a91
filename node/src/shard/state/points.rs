//! Where single keys are found: by a sum of each, in a bucket that a look reads whole.
//!
//! A bucket shares the entries themselves, so that a look goes from it to the entry and has no other far access. When
//! it is full, the next few take in what belongs to it. It is an aid beside the tree and need not know every key: one
//! that finds no room there is turned away, which its bucket remembers, and for those a look goes down the tree. So
//! keys that somebody chose to have one sum cost no more than that. The sum has no secret, and nothing ever goes over
//! the buckets in their order but to make them anew.

use super::slots::{Id, Slot};

/// What a bucket holds.
const FULL: usize = 5;
/// Buckets that a key may be in: its own and those behind.
const REACH: usize = 4;
/// Keys of a bucket from which on, on average, there are twice as many buckets, and half as many.
const MOST: usize = 3;
const LEAST: usize = 1;
/// Each part grows alone, so that no commit waits for all of it.
const PARTS: usize = 32;

#[derive(Debug, Default)]
pub struct Points {
    /// None, or [`PARTS`].
    parts: Vec<Part>,
    /// Of each part, what [`Points::add_all`] adds.
    later: Vec<Vec<Entry>>,
}

#[derive(Debug, Default)]
struct Part {
    buckets: Vec<Bucket>,
    len: usize,
}

/// Two cache lines next to each other, which a look reads at the same time.
#[derive(Debug, Default)]
#[repr(C, align(128))]
struct Bucket {
    /// As many are in use as `len` says, from the first on.
    sums: [u32; FULL],
    ids: [Id; FULL],
    len: u8,
    /// The next bucket may hold what belongs to this one, or to one in front.
    spilled: bool,
    /// Some keys that belong here may be nowhere in reach.
    lost: bool,
    slots: [Option<Slot>; FULL],
}

const _: () = assert!(size_of::<Bucket>() == 128);

#[derive(Debug)]
struct Entry {
    sum: u32,
    id: Id,
    slot: Slot,
}

#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    At(Id, &'a Slot),
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
    pub fn find(&self, sum: u32, key: &[u8]) -> Found<'_> {
        let reach = self.reach(sum);
        for bucket in reach {
            if let Some((id, slot)) = bucket.find(sum, key) {
                return Found::At(id, slot);
            }
            if !bucket.spilled {
                break;
            }
        }
        if reach.first().is_some_and(|own| own.lost) { Found::Unsure } else { Found::Nowhere }
    }

    /// Of a key that is not there. False if it is turned away.
    pub fn add(&mut self, sum: u32, id: Id, slot: Slot) -> bool {
        self.parts.resize_with(PARTS, Part::default);
        let part = &mut self.parts[part_of(sum)];
        part.make_room(1);
        part.add(Entry { sum, id, slot })
    }

    /// Of a key that is not there, and for which nobody looks until [`Points::add_all`].
    pub fn add_later(&mut self, sum: u32, id: Id, slot: Slot) {
        self.later.resize_with(PARTS, Vec::new);
        self.later[part_of(sum)].push(Entry { sum, id, slot });
    }

    /// Part by part, so that each is near while it is filled, and has its size before. Says who is turned away.
    pub fn add_all(&mut self, mut away: impl FnMut(Id)) {
        if self.later.is_empty() {
            return;
        }
        self.parts.resize_with(PARTS, Part::default);
        for (part, later) in self.parts.iter_mut().zip(std::mem::take(&mut self.later)) {
            part.make_room(later.len());
            for entry in later {
                let id = entry.id;
                if !part.add(entry) {
                    away(id);
                }
            }
        }
    }

    /// Reads a bit of where `sum` would be.
    pub fn touch(&self, sum: u32) -> usize {
        self.reach(sum)
            .first()
            .map_or(0, |own| usize::from(own.len) + usize::from(own.slots[FULL - 1].is_some()))
    }

    /// An entry with the same sum, most often the one.
    pub fn like(&self, sum: u32) -> Option<(Id, &Slot)> {
        let own = self.reach(sum).first()?;
        let at = own.sums.iter().position(|other| *other == sum)?;
        own.slots[at].as_ref().map(|slot| (own.ids[at], slot))
    }

    /// Something else stands at a key that is there.
    pub fn replace(&mut self, sum: u32, id: Id, slot: Slot) {
        if let Some((bucket, at)) = self.holder(sum, id) {
            bucket.slots[at] = Some(slot);
        }
    }

    /// Fewer keys take fewer buckets, where some may find no room: those are returned.
    pub fn remove(&mut self, sum: u32, id: Id) -> Vec<Id> {
        let Some((bucket, at)) = self.holder(sum, id) else { return Vec::new() };
        bucket.remove(at);
        let part = &mut self.parts[part_of(sum)];
        part.len -= 1;
        if part.buckets.len() > 1 && part.len < LEAST * part.buckets.len() {
            return part.rebuild(part.buckets.len() / 2);
        }
        Vec::new()
    }

    pub fn renumber(&mut self, sum: u32, from: Id, to: Id) {
        if let Some((bucket, at)) = self.holder(sum, from) {
            bucket.ids[at] = to;
        }
    }

    /// The buckets where `sum` may be: its own and those behind.
    fn reach(&self, sum: u32) -> &[Bucket] {
        self.parts.get(part_of(sum)).map_or(&[], |part| {
            let own = part.place(sum);
            &part.buckets[own..part.buckets.len().min(own + REACH)]
        })
    }

    fn holder(&mut self, sum: u32, id: Id) -> Option<(&mut Bucket, usize)> {
        let part = self.parts.get_mut(part_of(sum))?;
        let own = part.place(sum);
        let mut reach = part.buckets[own..].iter_mut().take(REACH);
        reach.find_map(|bucket| bucket.position(id).map(|at| (bucket, at)))
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

    /// For so many more. Nobody is turned away by that: what lay in a bucket comes, at the latest, to the last of those
    /// that it becomes, so whatever lies in the reach of a key lay no further from it before, and there was room.
    fn make_room(&mut self, more: usize) {
        let mut buckets = self.buckets.len().max(usize::from(more > 0));
        while self.len + more > MOST * buckets {
            buckets *= 2;
        }
        if buckets != self.buckets.len() {
            let away = self.rebuild(buckets);
            assert!(away.is_empty(), "more buckets hold what fewer held");
        }
    }

    fn add(&mut self, entry: Entry) -> bool {
        let own = self.place(entry.sum);
        for bucket in self.buckets[own..].iter_mut().take(REACH) {
            if usize::from(bucket.len) < FULL {
                bucket.add(entry);
                self.len += 1;
                return true;
            }
            bucket.spilled = true;
        }
        self.buckets[own].lost = true;
        false
    }

    /// More or fewer buckets. A key that was turned away may belong to any that its own one becomes; of fewer, some may
    /// be turned away now.
    fn rebuild(&mut self, buckets: usize) -> Vec<Id> {
        let mut away = Vec::new();
        let new = std::iter::repeat_with(Bucket::default).take(buckets).collect();
        let old = std::mem::replace(&mut self.buckets, new);
        let before = old.len();
        self.len = 0;
        for (nth, bucket) in old.into_iter().enumerate() {
            if bucket.lost {
                let first = nth * buckets / before;
                let last = ((nth + 1) * buckets / before).max(first + 1);
                self.buckets[first..last].iter_mut().for_each(|bucket| bucket.lost = true);
            }
            let entries = bucket.sums.into_iter().zip(bucket.ids).zip(bucket.slots);
            for ((sum, id), slot) in entries {
                let lost = slot.is_some_and(|slot| !self.add(Entry { sum, id, slot }));
                away.extend(lost.then_some(id));
            }
        }
        away
    }
}

impl Bucket {
    fn find(&self, sum: u32, key: &[u8]) -> Option<(Id, &Slot)> {
        // All of them at once, which a processor does without a branch and without waiting for one line, then the next.
        let is_like = |nth: &usize| (self.sums[*nth] == sum) & self.slots[*nth].is_some();
        if !(0..FULL).fold(false, |any, nth| any | is_like(&nth)) {
            return None;
        }
        let mut alike =
            (0..FULL).filter(is_like).filter_map(|nth| Some((self.ids[nth], self.slots[nth].as_ref()?)));
        alike.find(|(_, slot)| slot.key() == key)
    }

    fn position(&self, id: Id) -> Option<usize> {
        self.ids[..usize::from(self.len)].iter().position(|other| *other == id)
    }

    fn add(&mut self, entry: Entry) {
        let at = usize::from(self.len);
        (self.sums[at], self.ids[at], self.slots[at]) = (entry.sum, entry.id, Some(entry.slot));
        self.len += 1;
    }

    /// The last one takes its place.
    fn remove(&mut self, at: usize) {
        self.len -= 1;
        let last = usize::from(self.len);
        (self.sums[at], self.ids[at]) = (self.sums[last], self.ids[last]);
        self.slots.swap(at, last);
        self.slots[last] = None;
    }
}
