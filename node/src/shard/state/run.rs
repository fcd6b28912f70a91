//! A sorted run of keyed things, searched without following a pointer for each comparison.
//!
//! Keys that lie together begin alike: stored keys with hash, namespace, partition and table. So beside the things
//! stand eight bytes of each key from behind what all of them share, its *head*, as a number. Only where heads are
//! equal are keys themselves compared.

use super::slots::Slots;

pub trait Keyed {
    /// Where keys are entries', they stand in `slots`.
    fn key<'a>(&'a self, slots: &'a Slots) -> &'a [u8];
}

#[derive(Debug)]
pub struct Run<T> {
    /// All keys begin with it. It stands here so that a search need not follow a pointer to any of them.
    front: Box<[u8]>,
    heads: Vec<u64>,
    things: Vec<T>,
}

impl<T> Default for Run<T> {
    fn default() -> Self {
        Self { front: Box::default(), heads: Vec::new(), things: Vec::new() }
    }
}

impl<T: Keyed> Run<T> {
    /// Of things in the order of their keys.
    pub fn of(things: Vec<T>, slots: &Slots) -> Self {
        let mut run = Self { front: Box::default(), heads: Vec::with_capacity(things.capacity()), things };
        run.heads.resize(run.things.len(), 0);
        run.behead(slots);
        run
    }

    pub fn things(&self) -> &[T] {
        &self.things
    }

    /// Whoever changes a thing leaves its key alone.
    pub fn thing_mut(&mut self, at: usize) -> &mut T {
        &mut self.things[at]
    }

    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Where the key is, or where it would be.
    pub fn seek(&self, key: &[u8], slots: &Slots) -> Result<usize, usize> {
        let Some(rest) = key.strip_prefix(&*self.front) else {
            // In front of all, or behind.
            return Err(if *key < *self.front { 0 } else { self.len() });
        };
        let head = head(rest);
        let low = self.heads.partition_point(|other| *other < head);
        let alike = self.heads[low..].iter().take_while(|other| **other == head).count();
        let found = self.things[low..low + alike].binary_search_by(|thing| thing.key(slots).cmp(key));
        found.map(|at| low + at).map_err(|at| low + at)
    }

    pub fn insert(&mut self, at: usize, thing: T, slots: &Slots) {
        self.things.insert(at, thing);
        self.heads.insert(at, 0);
        match self.things[at].key(slots).strip_prefix(&*self.front) {
            Some(rest) if self.len() > 1 => self.heads[at] = head(rest),
            _ => self.behead(slots),
        }
    }

    pub fn remove(&mut self, at: usize) -> T {
        self.heads.remove(at);
        let thing = self.things.remove(at);
        if self.things.is_empty() {
            self.front = Box::default(); // who comes next need not begin as this one did
        } // others still begin alike
        thing
    }

    /// What lies behind `at` becomes a run of its own.
    pub fn split_off(&mut self, at: usize, slots: &Slots) -> Self {
        let (heads, things) = (self.heads.split_off(at), self.things.split_off(at));
        let mut behind = Self { front: self.front.clone(), heads, things };
        for run in [&mut *self, &mut behind] {
            // Usually a part shares no more than the whole did, and no key needs to be read.
            if run.common(slots) != run.front.len() {
                run.behead(slots);
            }
        }
        behind
    }

    /// All of `behind` comes behind what is here.
    pub fn append(&mut self, mut behind: Self, slots: &Slots) {
        self.things.append(&mut behind.things);
        self.heads.resize(self.things.len(), 0);
        self.behead(slots);
    }

    /// Makes front and heads anew.
    fn behead(&mut self, slots: &Slots) {
        let front = self.common(slots);
        self.front = self.things.first().map_or(&[][..], |first| &first.key(slots)[..front]).into();
        for (slot, thing) in self.heads.iter_mut().zip(&self.things) {
            *slot = head(&thing.key(slots)[front..]);
        }
    }

    /// What the first and the last key share, all between them do.
    fn common(&self, slots: &Slots) -> usize {
        match (self.things.first(), self.things.last()) {
            (Some(first), Some(last)) => {
                let both = first.key(slots).iter().zip(last.key(slots));
                both.take_while(|(a, b)| a == b).count()
            }
            _ => 0,
        }
    }
}

/// The first eight bytes behind the front, as a number with the same order. A key that ends sooner counts as if zeros
/// followed, which at worst makes it look equal to one behind it.
pub fn head(rest: &[u8]) -> u64 {
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(bytes)
}
