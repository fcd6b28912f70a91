//! The model of a disk's volatile write cache.
//!
//! The fault model: a write is accepted into the cache; a flush makes everything durable that was accepted before it.
//! What was not flushed when the power goes may be there, or not, or in part, in any order:
//! * a sector that was not flushed holds what was durable, or any of the contents that were written to it since;
//! * a sector is written whole, as file systems take for granted; but sectors that are said to be the node's own may
//!   also be torn inside: the node takes nothing for granted below its checksums.
//!
//! Pure: the durable bytes live elsewhere, and whoever holds them applies what is decided here.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::random::Random;

pub const SECTOR: usize = 512;
/// Sectors of a block of the log.
const BLOCK: u64 = 8;

pub type Content = [u8; SECTOR];

/// A sector to be made durable with this content.
pub type Durable = (u64, Box<Content>);

/// One content of a sector, and the write that it came with.
#[derive(Clone, Debug)]
struct Version {
    write: u64,
    content: Box<Content>,
}

#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// What was written since the last flush, for each sector in the order of arrival.
    sectors: BTreeMap<u64, Vec<Version>>,
    writes: u64,
    /// Sectors of the node's own files, ascending.
    mine: Vec<Range<u64>>,
}

/// How the sectors of one cut share their fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Nothing of the cache survives.
    Dropped,
    /// Writes survive up to a moment; the one of that moment in part.
    InOrder,
    /// Each block of the log has a fate of its own.
    Blocks,
    /// Each sector has a fate of its own.
    Sectors,
    /// Everything survives: what an injector that does not work would look like.
    Kept,
}

impl Mood {
    pub const ALL: [(Mood, &'static str); 5] = [
        (Mood::Dropped, "dropped"),
        (Mood::InOrder, "in-order"),
        (Mood::Blocks, "blocks"),
        (Mood::Sectors, "sectors"),
        (Mood::Kept, "kept"),
    ];

    /// One of the moods of a real cut.
    pub fn draw(random: &mut Random) -> Mood {
        *random.pick(&[Mood::Dropped, Mood::InOrder, Mood::InOrder, Mood::Blocks, Mood::Sectors])
    }
}

/// Sectors by their fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub volatile: u64,
    /// Those of them that belong to the node's files.
    pub mine: u64,
    /// Went back to what was durable.
    pub dropped: u64,
    /// Went back to a content that had been overwritten in the cache.
    pub older: u64,
    pub torn: u64,
    pub kept: u64,
}

impl Tally {
    /// Sectors that do not hold what the disk had accepted last.
    pub fn lost(&self) -> u64 {
        self.dropped + self.older + self.torn
    }

    pub fn add(&mut self, other: &Tally) {
        let pairs = [
            (&mut self.volatile, other.volatile),
            (&mut self.mine, other.mine),
            (&mut self.dropped, other.dropped),
            (&mut self.older, other.older),
            (&mut self.torn, other.torn),
            (&mut self.kept, other.kept),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { volatile, mine, dropped, older, torn, kept } = self;
        write!(
            f,
            "{volatile} volatile sectors ({mine} of the log): {dropped} dropped, {older} older, {torn} torn, {kept} kept"
        )
    }
}

/// What becomes of one sector.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Dropped,
    Kept,
    Older,
    Torn,
}

impl Cache {
    pub fn is_empty(&self) -> bool {
        self.sectors.is_empty()
    }

    /// The node's own sectors from now on.
    pub fn set_mine(&mut self, mut mine: Vec<Range<u64>>) {
        mine.sort_by_key(|range| range.start);
        self.mine = mine;
    }

    pub fn is_mine(&self, sector: u64) -> bool {
        let behind = self.mine.partition_point(|range| range.start <= sector);
        behind > 0 && self.mine[behind - 1].contains(&sector)
    }

    /// Whether all of `offset..offset + length` are whole sectors; a disk takes nothing else.
    pub fn whole_sectors(offset: u64, length: usize) -> bool {
        offset.is_multiple_of(SECTOR as u64) && length.is_multiple_of(SECTOR)
    }

    /// Accepts a write of whole sectors.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(Self::whole_sectors(offset, bytes.len()), "{} bytes at {offset}", bytes.len());
        let (contents, _) = bytes.as_chunks::<SECTOR>();
        for (sector, content) in (offset / SECTOR as u64..).zip(contents) {
            let version = Version { write: self.writes, content: Box::new(*content) };
            self.sectors.entry(sector).or_default().push(version);
        }
        self.writes += 1;
    }

    /// Puts what is in the cache over `bytes`, the durable ones of whole sectors.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) {
        let first = offset / SECTOR as u64;
        let (contents, _) = bytes.as_chunks_mut::<SECTOR>();
        for (sector, versions) in self.sectors.range(first..first + contents.len() as u64) {
            let place = usize::try_from(sector - first).expect("inside the bytes");
            contents[place] = *newest(versions);
        }
    }

    /// Everything in the cache, to be made durable; the cache is empty then.
    pub fn flush(&mut self) -> Vec<Durable> {
        let sectors = std::mem::take(&mut self.sectors);
        sectors.into_iter().map(|(sector, versions)| (sector, Box::new(*newest(&versions)))).collect()
    }

    /// A flush that forgets the node's sectors: they stay volatile.
    pub fn flush_others(&mut self) -> Vec<Durable> {
        let (mine, others) =
            std::mem::take(&mut self.sectors).into_iter().partition(|(sector, _)| self.is_mine(*sector));
        self.sectors = others;
        let durable = self.flush();
        self.sectors = mine;
        durable
    }

    /// Forgets the node's sectors, as after a flush that failed: they read as what was durable. Returns how many.
    pub fn drop_mine(&mut self) -> usize {
        let before = self.sectors.len();
        let mine = &self.mine;
        let is_mine = |sector: &u64| mine.iter().any(|range| range.contains(sector));
        self.sectors.retain(|sector, _| !is_mine(sector));
        before - self.sectors.len()
    }

    /// The power goes. Returns what is durable nevertheless; the cache is empty then. `durable` reads a sector.
    pub fn cut(
        &mut self,
        random: &mut Random,
        mood: Mood,
        mut durable: impl FnMut(u64) -> Content,
    ) -> (Vec<Durable>, Tally) {
        let sectors = std::mem::take(&mut self.sectors);
        let moment = Moment::draw(random, &sectors);
        let mut block = (u64::MAX, Fate::Dropped);
        let mut survives = Vec::new();
        let mut tally = Tally::default();
        for (sector, versions) in sectors {
            if block.0 != sector / BLOCK {
                block = (sector / BLOCK, fate(random));
            }
            let mine = self.is_mine(sector);
            tally.volatile += 1;
            tally.mine += u64::from(mine);
            let before = match mood {
                Mood::Dropped => 0,
                Mood::Kept => versions.len(),
                Mood::InOrder => moment.survivors(sector, &versions),
                Mood::Blocks => survivors(random, block.1, &versions),
                Mood::Sectors => match fate(random) {
                    Fate::Torn if mine => {
                        tally.torn += 1;
                        survives.push((sector, torn(random, durable(sector), newest(&versions))));
                        continue;
                    }
                    fate => survivors(random, fate, &versions),
                },
            };
            *match before {
                0 => &mut tally.dropped,
                all if all == versions.len() => &mut tally.kept,
                _ => &mut tally.older,
            } += 1;
            if let Some(version) = versions[..before].last() {
                survives.push((sector, version.content.clone()));
            }
        }
        (survives, tally)
    }
}

fn newest(versions: &[Version]) -> &Content {
    &versions.last().expect("a sector in the cache was written").content
}

fn fate(random: &mut Random) -> Fate {
    match random.below(10) {
        0..4 => Fate::Dropped,
        4..7 => Fate::Kept,
        7 => Fate::Older,
        _ => Fate::Torn,
    }
}

/// How many of a sector's versions arrived; a sector that cannot be torn has one whole version instead.
fn survivors(random: &mut Random, fate: Fate, versions: &[Version]) -> usize {
    match fate {
        Fate::Dropped => 0,
        Fate::Kept => versions.len(),
        Fate::Older | Fate::Torn => random.index(versions.len() + 1),
    }
}

/// The front of one content and the rest of the other.
fn torn(random: &mut Random, durable: Content, new: &Content) -> Box<Content> {
    let at = 1 + random.index(SECTOR - 1);
    let mut mixed = Box::new(durable);
    match random.chance(500) {
        true => mixed[..at].copy_from_slice(&new[..at]),
        false => mixed[at..].copy_from_slice(&new[at..]),
    }
    mixed
}

/// The write that was under way when the power went, and how far it had come.
struct Moment {
    write: u64,
    sector: u64,
}

impl Moment {
    fn draw(random: &mut Random, sectors: &BTreeMap<u64, Vec<Version>>) -> Moment {
        let mut writes: Vec<u64> = sectors.values().flatten().map(|version| version.write).collect();
        writes.sort_unstable();
        writes.dedup();
        if writes.is_empty() {
            return Moment { write: 0, sector: 0 };
        }
        let write = *random.pick(&writes);
        let is_of_it = |versions: &Vec<Version>| versions.iter().any(|version| version.write == write);
        let of_it: Vec<u64> =
            sectors.iter().filter(|(_, versions)| is_of_it(versions)).map(|(sector, _)| *sector).collect();
        Moment { write, sector: *random.pick(&of_it) }
    }

    fn survivors(&self, sector: u64, versions: &[Version]) -> usize {
        let arrived = |version: &Version| {
            version.write < self.write || (version.write == self.write && sector < self.sector)
        };
        versions.iter().take_while(|version| arrived(version)).count()
    }
}
