//! The entries of a table in the order of their keys: a tree of sorted runs, wide and shallow.
//!
//! It holds numbers of entries, which stand in [`Slots`]. A single key is looked for beside it, in
//! [`Points`](super::points::Points); here is what keys have an order for. Which runs there are follows from what was
//! done to the table alone, so it is the same on every replica and in every run of a simulation.

use std::hint::black_box;

use super::run::{Keyed, Run, head};
use super::slots::{Id, Slot, Slots};

/// The most that one run holds. Wider: fewer levels; more to move at each insertion. For a moment it holds one more,
/// and then its memory is full.
const WIDTH: usize = 63;
/// Neighbours that together hold no more become one, so that what was deleted gives its room back.
const MERGED: usize = 48;
/// What a run holds of a tree that is made at once: there is room for more.
const MADE: usize = 48;

#[derive(Debug)]
pub struct Tree {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Leaf(Run<Id>),
    /// At least two at the root, at least one below; never an empty one, but for a root that is a leaf.
    Inner(Run<Child>),
}

/// Everything from `low` up to the next child's.
#[derive(Debug)]
struct Child {
    low: Low,
    node: Box<Node>,
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
const _: () = assert!(size_of::<Child>() == 64);

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

impl Keyed for Id {
    fn key<'a>(&'a self, slots: &'a Slots) -> &'a [u8] {
        slots.at(*self).key()
    }
}

impl Keyed for Child {
    fn key<'a>(&'a self, _: &'a Slots) -> &'a [u8] {
        match &self.low {
            Low::Here { len, bytes } => &bytes[..usize::from(*len)],
            Low::Apart(key) => key,
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: Node::Leaf(Run::default()) }
    }
}

impl Tree {
    /// Of all entries, in the order of their keys.
    pub fn of(ids: &[Id], slots: &Slots) -> Self {
        let leaves = ids.chunks(MADE).map(|some| Node::Leaf(Run::of(with_room(some.iter().copied()), slots)));
        let mut level: Vec<Node> = leaves.collect();
        while level.len() > 1 {
            let mut below = level.into_iter().map(|node| node.child(slots)).peekable();
            level = Vec::new();
            while below.peek().is_some() {
                level.push(Node::Inner(Run::of(with_room(below.by_ref().take(MADE)), slots)));
            }
        }
        level.pop().map_or_else(Self::default, |root| Self { root })
    }

    pub fn find(&self, key: &[u8], slots: &Slots) -> Option<Id> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(children) => node = &children.things()[child_of(children, key, slots)].node,
                Node::Leaf(leaf) => return leaf.seek(key, slots).ok().map(|at| leaf.things()[at]),
            }
        }
    }

    /// Takes in an entry whose key is not there.
    pub fn insert(&mut self, id: Id, slots: &Slots) {
        if let Some(right) = self.root.insert(id, slots.at(id).key(), slots) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Run::default()));
            let left = Child { low: left.low(slots).into(), node: Box::new(left) };
            self.root = Node::Inner(Run::of(vec![left, right], slots));
        }
    }

    pub fn remove(&mut self, key: &[u8], slots: &Slots) {
        self.root.remove(key, slots);
        while let Node::Inner(children) = &mut self.root
            && children.len() == 1
        {
            self.root = *children.remove(0).node;
        }
    }

    /// The entry at `key` is about to stand at `id`.
    pub fn renumber(&mut self, key: &[u8], id: Id, slots: &Slots) {
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Inner(children) => {
                    let at = child_of(children, key, slots);
                    node = &mut children.thing_mut(at).node;
                }
                Node::Leaf(leaf) => {
                    let at = leaf.seek(key, slots).expect("every entry is in the tree");
                    *leaf.thing_mut(at) = id;
                    return;
                }
            }
        }
    }

    /// From `low` on, up to `high`, which is not included.
    pub fn range<'a>(&'a self, low: &[u8], high: &[u8], slots: &'a Slots) -> Range<'a> {
        let spots = self.root.first(low, false, slots).zip(self.root.last(high, slots));
        let ends = spots.filter(|(first, last)| first.slot(slots).key() <= last.slot(slots).key());
        Range { tree: self, slots, spots: ends }
    }

    /// The first at or behind `low`.
    pub fn first_from<'a>(&self, low: &[u8], slots: &'a Slots) -> Option<&'a Slot> {
        self.root.first(low, false, slots).map(|spot| spot.slot(slots))
    }
}

fn with_room<T>(things: impl Iterator<Item = T>) -> Vec<T> {
    let mut made = Vec::with_capacity(WIDTH + 1);
    made.extend(things);
    made
}

/// Puts entries into the order of their keys. Far memory is read once for each, and again only where keys begin alike.
pub fn sort(ids: &mut [Id], slots: &Slots) {
    sort_behind(0, ids, slots);
}

/// Of entries whose keys share their first `known` bytes.
fn sort_behind(known: usize, ids: &mut [Id], slots: &Slots) {
    const FEW: usize = 8;
    const NEAR: usize = 256;
    let key = |id: &Id| slots.at(*id).key();
    let Some(first) = ids.first().map(key) else { return };
    // Reads that do not wait for each other bring near what is needed next.
    black_box(ids.iter().take(NEAR).fold(0, |all, id| all ^ key(id).len()));
    let mut front = first;
    for key in ids.iter().map(key) {
        if !key.starts_with(front) {
            front = &front[..front.iter().zip(key).take_while(|(a, b)| a == b).count()];
        }
    }
    let shared = front.len();
    if ids.len() <= FEW || shared < known {
        return ids.sort_unstable_by_key(key);
    }
    let mut heads: Vec<(u64, Id)> = ids.iter().map(|id| (head(&key(id)[shared..]), *id)).collect();
    heads.sort_by_key(|(head, _)| *head);
    for (id, (_, sorted)) in ids.iter_mut().zip(&heads) {
        *id = *sorted;
    }
    let mut rest = ids;
    for alike in heads.chunk_by(|(a, _), (b, _)| a == b) {
        let (some, behind) = rest.split_at_mut(alike.len());
        if some.len() > 1 {
            sort_behind(shared + size_of::<u64>(), some, slots);
        }
        rest = behind;
    }
}

impl Node {
    fn insert(&mut self, id: Id, key: &[u8], slots: &Slots) -> Option<Child> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.seek(key, slots).unwrap_or_else(|at| at);
                leaf.insert(at, id, slots);
                if leaf.len() <= WIDTH {
                    return None;
                }
                Some(Node::Leaf(leaf.split_off(cut(at, leaf.len()), slots)).child(slots))
            }
            Node::Inner(children) => {
                let at = match children.seek(key, slots) {
                    Ok(at) => at,
                    Err(0) => {
                        // Below all: from now on the first child begins here, so that its parts stay in order.
                        let first = children.remove(0);
                        children.insert(0, Child { low: key.into(), ..first }, slots);
                        0
                    }
                    Err(behind) => behind - 1,
                };
                let right = children.thing_mut(at).node.insert(id, key, slots)?;
                children.insert(at + 1, right, slots);
                if children.len() <= WIDTH {
                    return None;
                }
                Some(Node::Inner(children.split_off(cut(at + 1, children.len()), slots)).child(slots))
            }
        }
    }

    fn remove(&mut self, key: &[u8], slots: &Slots) {
        match self {
            Node::Leaf(leaf) => {
                if let Ok(at) = leaf.seek(key, slots) {
                    leaf.remove(at);
                }
            }
            Node::Inner(children) => {
                let at = child_of(children, key, slots);
                children.thing_mut(at).node.remove(key, slots);
                let len = |at: usize| children.things().get(at).map_or(WIDTH, |child| child.node.len());
                let small = |left: &usize| len(*left) + len(left + 1) <= MERGED;
                let pair = [at.saturating_sub(1), at].into_iter().find(small);
                if len(at) == 0 {
                    children.remove(at);
                } else if let Some(left) = pair {
                    let right = children.remove(left + 1);
                    children.thing_mut(left).node.append(*right.node, slots);
                }
            }
        }
    }

    fn child(self, slots: &Slots) -> Child {
        Child { low: self.low(slots).into(), node: Box::new(self) }
    }

    /// Both are of one level.
    fn append(&mut self, behind: Self, slots: &Slots) {
        match (self, behind) {
            (Node::Leaf(leaf), Node::Leaf(behind)) => leaf.append(behind, slots),
            (Node::Inner(children), Node::Inner(behind)) => children.append(behind, slots),
            _ => unreachable!("all leaves are equally deep"),
        }
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn low<'a>(&'a self, slots: &'a Slots) -> &'a [u8] {
        match self {
            Node::Leaf(leaf) => leaf.things().first().map_or(&[], |id| id.key(slots)),
            Node::Inner(children) => children.things().first().map_or(&[], |child| child.key(slots)),
        }
    }

    /// The first item at or behind `low`, or only behind it.
    fn first(&self, low: &[u8], behind: bool, slots: &Slots) -> Option<Spot<'_>> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.seek(low, slots).map_or_else(|at| at, |at| at + usize::from(behind));
                (at < leaf.len()).then_some(Spot { leaf, at })
            }
            Node::Inner(children) => {
                let at = child_of(children, low, slots);
                let next = || children.things().get(at + 1)?.node.first(&[], false, slots);
                children.things()[at].node.first(low, behind, slots).or_else(next)
            }
        }
    }

    /// The last item in front of `high`.
    fn last(&self, high: &[u8], slots: &Slots) -> Option<Spot<'_>> {
        match self {
            Node::Leaf(leaf) => {
                let end = leaf.seek(high, slots).unwrap_or_else(|at| at);
                end.checked_sub(1).map(|at| Spot { leaf, at })
            }
            Node::Inner(children) => {
                let at = child_of(children, high, slots);
                let before = || Some(children.things()[at.checked_sub(1)?].node.end());
                children.things()[at].node.last(high, slots).or_else(before)
            }
        }
    }

    /// The last item of all.
    fn end(&self) -> Spot<'_> {
        match self {
            Node::Leaf(leaf) => Spot { leaf, at: leaf.len() - 1 },
            Node::Inner(children) => children.things()[children.len() - 1].node.end(),
        }
    }
}

/// Where a run of `len` is cut that grew too long at `at`. What grows at its end goes on there, so keys that come in
/// their order leave full runs behind.
fn cut(at: usize, len: usize) -> usize {
    if at + 1 == len { at } else { len / 2 }
}

fn child_of(children: &Run<Child>, key: &[u8], slots: &Slots) -> usize {
    children.seek(key, slots).unwrap_or_else(|at| at.saturating_sub(1))
}

/// Entries in the order of their keys, from both ends.
#[derive(Debug)]
pub struct Range<'a> {
    tree: &'a Tree,
    slots: &'a Slots,
    /// The first and the last one that are left.
    spots: Option<(Spot<'a>, Spot<'a>)>,
}

#[derive(Clone, Copy, Debug)]
struct Spot<'a> {
    leaf: &'a Run<Id>,
    at: usize,
}

impl Spot<'_> {
    fn slot(self, slots: &Slots) -> &Slot {
        slots.at(self.leaf.things()[self.at])
    }

    fn is(self, other: Self) -> bool {
        std::ptr::eq(self.leaf, other.leaf) && self.at == other.at
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a Slot;

    fn next(&mut self) -> Option<&'a Slot> {
        let (first, last) = self.spots?;
        let slot = first.slot(self.slots);
        self.spots = match first.at + 1 {
            _ if first.is(last) => None,
            at if at < first.leaf.len() => Some((Spot { at, ..first }, last)),
            _ => self.tree.root.first(slot.key(), true, self.slots).map(|next| (next, last)),
        };
        Some(slot)
    }
}

impl<'a> DoubleEndedIterator for Range<'a> {
    fn next_back(&mut self) -> Option<&'a Slot> {
        let (first, last) = self.spots?;
        let slot = last.slot(self.slots);
        self.spots = match last.at.checked_sub(1) {
            _ if first.is(last) => None,
            Some(at) => Some((first, Spot { at, ..last })),
            None => self.tree.root.last(slot.key(), self.slots).map(|before| (first, before)),
        };
        Some(slot)
    }
}
