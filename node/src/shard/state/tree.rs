//! An ordered map from keys to what stands there: a tree of sorted runs, wide and shallow.
//!
//! A look for one key compares no keys in the leaf that it comes to: it finds the key by its *tag*, a small sum of it,
//! and compares only what it found: memory that is far away is what a look costs. Which runs there are follows from what was done to the map alone, so it is the
//! same on every replica and in every run of a simulation.

use super::run::{Keyed, Run};

/// The most that one run holds. Wider: fewer levels; more to move at each insertion. For a moment it holds one more,
/// and then its memory is full.
const WIDTH: usize = 63;
const _: () = assert!((WIDTH + 1).is_multiple_of(8));
/// Neighbours that together hold no more become one, so that what was deleted gives its room back.
const MERGED: usize = 48;

#[derive(Debug)]
pub struct Tree<V> {
    root: Node<V>,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a leaf's tags lie where a look comes to anyway; nearly all are leaves"
)]
enum Node<V> {
    Leaf(Leaf<V>),
    /// At least two at the root, at least one below; never an empty one, but for a root that is a leaf.
    Inner(Run<Child<V>>),
}

#[derive(Debug)]
struct Leaf<V> {
    /// As many are in use as there are items.
    tags: [u32; WIDTH + 1],
    items: Run<Item<V>>,
}

#[derive(Debug)]
struct Item<V> {
    key: Box<[u8]>,
    value: V,
}

/// Everything from `low` up to the next child's.
#[derive(Debug)]
struct Child<V> {
    low: Low,
    node: Box<Node<V>>,
}

/// A key that lies in its run if it is short: those of a run are compared with each other's neighbours, and memory
/// apart is far away.
#[derive(Debug)]
enum Low {
    Here { len: u8, bytes: [u8; SHORT] },
    Apart(Box<[u8]>),
}

/// Makes a child one cache line.
const SHORT: usize = 54;
const _: () = assert!(size_of::<Child<u64>>() == 64);

impl From<&[u8]> for Low {
    fn from(key: &[u8]) -> Self {
        match u8::try_from(key.len()) {
            Ok(len) if key.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..key.len()].copy_from_slice(key);
                Low::Here { len, bytes }
            }
            _ => Low::Apart(key.into()),
        }
    }
}

impl<V> Keyed for Item<V> {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

impl<V> Keyed for Child<V> {
    fn key(&self) -> &[u8] {
        match &self.low {
            Low::Here { len, bytes } => &bytes[..usize::from(*len)],
            Low::Apart(key) => key,
        }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self { root: Node::Leaf(Leaf { tags: [0; WIDTH + 1], items: Run::default() }) }
    }
}

impl<V> Tree<V> {
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(children) => node = &children.things()[child_of(children, key)].node,
                Node::Leaf(leaf) => return leaf.find(key, tag(key)).map(|at| &leaf.items.things()[at].value),
            }
        }
    }

    /// What stood there is returned.
    pub fn set(&mut self, key: &[u8], value: V) -> Option<V> {
        let (old, split) = self.root.set(key, tag(key), value);
        if let Some(right) = split {
            let left = std::mem::replace(&mut self.root, Node::Inner(Run::default()));
            let left = Child { low: left.low().into(), node: Box::new(left) };
            self.root = Node::Inner(Run::of(vec![left, right]));
        }
        old
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let old = self.root.remove(key, tag(key))?;
        while let Node::Inner(children) = &mut self.root
            && children.len() == 1
        {
            self.root = *children.remove(0).node;
        }
        Some(old)
    }

    /// From `low` on, up to `high`, which is included or not.
    pub fn range(&self, low: &[u8], high: &[u8], including: bool) -> Range<'_, V> {
        let spots = self.root.first(low, false).zip(self.root.last(high, including));
        Range { tree: self, spots: spots.filter(|(first, last)| first.item().key <= last.item().key) }
    }

    /// The first at or behind `low`.
    pub fn first_from(&self, low: &[u8]) -> Option<(&[u8], &V)> {
        self.root.first(low, false).map(Spot::shown)
    }
}

impl<V> Node<V> {
    fn set(&mut self, key: &[u8], tag: u32, value: V) -> (Option<V>, Option<Child<V>>) {
        match self {
            Node::Leaf(leaf) => match leaf.find(key, tag) {
                Some(at) => (Some(std::mem::replace(&mut leaf.items.thing_mut(at).value, value)), None),
                None => (None, leaf.insert(Item { key: key.into(), value }, tag)),
            },
            Node::Inner(children) => {
                let at = match children.seek(key) {
                    Ok(at) => at,
                    Err(0) => {
                        // Below all: from now on the first child begins here, so that its parts stay in order.
                        let first = children.remove(0);
                        children.insert(0, Child { low: key.into(), ..first });
                        0
                    }
                    Err(behind) => behind - 1,
                };
                let (old, split) = children.thing_mut(at).node.set(key, tag, value);
                let Some(right) = split else { return (old, None) };
                children.insert(at + 1, right);
                if children.len() <= WIDTH {
                    return (old, None);
                }
                let right = Node::Inner(children.split_off(cut(at + 1, children.len())));
                (old, Some(Child { low: right.low().into(), node: Box::new(right) }))
            }
        }
    }

    fn remove(&mut self, key: &[u8], tag: u32) -> Option<V> {
        match self {
            Node::Leaf(leaf) => leaf.find(key, tag).map(|at| leaf.remove(at)),
            Node::Inner(children) => {
                let at = child_of(children, key);
                let old = children.thing_mut(at).node.remove(key, tag)?;
                let len = |at: usize| children.things().get(at).map_or(WIDTH, |child| child.node.len());
                let small = |left: &usize| len(*left) + len(left + 1) <= MERGED;
                let pair = [at.saturating_sub(1), at].into_iter().find(small);
                if len(at) == 0 {
                    children.remove(at);
                } else if let Some(left) = pair {
                    let right = children.remove(left + 1);
                    children.thing_mut(left).node.append(*right.node);
                }
                Some(old)
            }
        }
    }

    /// Both are of one level.
    fn append(&mut self, behind: Self) {
        match (self, behind) {
            (Node::Leaf(leaf), Node::Leaf(behind)) => {
                let (len, more) = (leaf.items.len(), behind.items.len());
                leaf.tags[len..len + more].copy_from_slice(&behind.tags[..more]);
                leaf.items.append(behind.items);
            }
            (Node::Inner(children), Node::Inner(behind)) => children.append(behind),
            _ => unreachable!("all leaves are equally deep"),
        }
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.items.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn low(&self) -> &[u8] {
        match self {
            Node::Leaf(leaf) => leaf.items.things().first().map_or(&[], Item::key),
            Node::Inner(children) => children.things().first().map_or(&[], Child::key),
        }
    }

    /// The first item at or behind `low`, or only behind it.
    fn first(&self, low: &[u8], behind: bool) -> Option<Spot<'_, V>> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.items.seek(low).map_or_else(|at| at, |at| at + usize::from(behind));
                (at < leaf.items.len()).then_some(Spot { leaf, at })
            }
            Node::Inner(children) => {
                let at = child_of(children, low);
                let next = || children.things().get(at + 1)?.node.first(&[], false);
                children.things()[at].node.first(low, behind).or_else(next)
            }
        }
    }

    /// The last item in front of `high`, or at it.
    fn last(&self, high: &[u8], including: bool) -> Option<Spot<'_, V>> {
        match self {
            Node::Leaf(leaf) => {
                let end = leaf.items.seek(high).map_or_else(|at| at, |at| at + usize::from(including));
                end.checked_sub(1).map(|at| Spot { leaf, at })
            }
            Node::Inner(children) => {
                let at = child_of(children, high);
                let before = || Some(children.things()[at.checked_sub(1)?].node.end());
                children.things()[at].node.last(high, including).or_else(before)
            }
        }
    }

    /// The last item of all.
    fn end(&self) -> Spot<'_, V> {
        match self {
            Node::Leaf(leaf) => Spot { leaf, at: leaf.items.len() - 1 },
            Node::Inner(children) => children.things()[children.len() - 1].node.end(),
        }
    }
}

impl<V> Leaf<V> {
    fn find(&self, key: &[u8], tag: u32) -> Option<usize> {
        let items = self.items.things();
        let (eights, []) = self.tags.as_chunks::<8>() else { unreachable!("a multiple of eight") };
        for (nth, eight) in eights[..items.len().div_ceil(8)].iter().enumerate() {
            // All of them at once, which a processor does without a branch.
            if !eight.iter().fold(false, |any, other| any | (*other == tag)) {
                continue;
            }
            let is_it =
                |at: &usize| self.tags[*at] == tag && items.get(*at).is_some_and(|item| *item.key == *key);
            if let Some(at) = (8 * nth..8 * nth + 8).find(is_it) {
                return Some(at);
            }
        }
        None
    }

    /// Too many become two; the right one is returned.
    fn insert(&mut self, item: Item<V>, tag: u32) -> Option<Child<V>> {
        let at = self.items.seek(&item.key).unwrap_or_else(|at| at);
        self.tags.copy_within(at..self.items.len(), at + 1);
        self.tags[at] = tag;
        self.items.insert(at, item);
        if self.items.len() <= WIDTH {
            return None;
        }
        let cut = cut(at, self.items.len());
        let mut tags = [0; WIDTH + 1];
        tags[..=WIDTH - cut].copy_from_slice(&self.tags[cut..]);
        let right = Node::Leaf(Leaf { tags, items: self.items.split_off(cut) });
        Some(Child { low: right.low().into(), node: Box::new(right) })
    }

    fn remove(&mut self, at: usize) -> V {
        self.tags.copy_within(at + 1.., at);
        self.items.remove(at).value
    }
}

/// Where a run of `len` is cut that grew too long at `at`. What grows at its end goes on there, so keys that come in
/// their order leave full runs behind.
fn cut(at: usize, len: usize) -> usize {
    if at + 1 == len { at } else { len / 2 }
}

fn child_of<V>(children: &Run<Child<V>>, key: &[u8]) -> usize {
    children.seek(key).unwrap_or_else(|at| at.saturating_sub(1))
}

/// Tells keys of a leaf apart, most of the time: a sum that every bit of every word goes through.
fn tag(key: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = key.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mix = |sum: u64, word: &[u8; 8]| {
        let product = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        product ^ (product >> 32)
    };
    mix(words.iter().fold(key.len() as u64, mix), &last) as u32
}

/// Items of a map in order, from both ends.
#[derive(Debug)]
pub struct Range<'a, V> {
    tree: &'a Tree<V>,
    /// The first and the last one that are left.
    spots: Option<(Spot<'a, V>, Spot<'a, V>)>,
}

#[derive(Debug)]
struct Spot<'a, V> {
    leaf: &'a Leaf<V>,
    at: usize,
}

impl<V> Clone for Spot<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Spot<'_, V> {}

impl<'a, V> Spot<'a, V> {
    fn item(self) -> &'a Item<V> {
        &self.leaf.items.things()[self.at]
    }

    fn shown(self) -> (&'a [u8], &'a V) {
        (&self.item().key, &self.item().value)
    }

    fn is(self, other: Self) -> bool {
        std::ptr::eq(self.leaf, other.leaf) && self.at == other.at
    }
}

impl<'a, V> Iterator for Range<'a, V> {
    type Item = (&'a [u8], &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let (first, last) = self.spots?;
        self.spots = match first.at + 1 {
            _ if first.is(last) => None,
            at if at < first.leaf.items.len() => Some((Spot { at, ..first }, last)),
            _ => self.tree.root.first(&first.item().key, true).map(|next| (next, last)),
        };
        Some(first.shown())
    }
}

impl<V> DoubleEndedIterator for Range<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (first, last) = self.spots?;
        self.spots = match last.at.checked_sub(1) {
            _ if first.is(last) => None,
            Some(at) => Some((first, Spot { at, ..last })),
            None => self.tree.root.last(&last.item().key, false).map(|before| (first, before)),
        };
        Some(last.shown())
    }
}
