//! Which slots are the log: the chain of segments, found by their headers.

use crate::checkpoint::Boundary;
use crate::format::{FIRST_BATCH, Incarnation, LogId, NotValid, SegmentHeader};
use crate::recover::report::Halt;
use crate::{BLOCK, SlotId};

/// A slot's file, and what its first block says.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub slot: SlotId,
    pub bytes: u64,
    pub header: Result<SegmentHeader, NotValid>,
    /// Nothing was ever written there.
    pub blank: bool,
}

/// One segment of the chain.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub slot: SlotId,
    pub header: SegmentHeader,
}

impl Found {
    pub fn read(slot: SlotId, bytes: u64, block: &[u8], log: &LogId) -> Result<Self, Halt> {
        let header = SegmentHeader::read(block, log);
        match header {
            Ok(header) if header.bytes != bytes => Err(Halt::slot_size(slot, header.bytes, bytes)),
            // Intact, but not ours to read, or with rot behind it: never mistaken for an empty slot.
            Err(why @ (NotValid::Version(_) | NotValid::OtherLog | NotValid::Field(_))) => {
                Err(Halt::foreign(slot, why))
            }
            _ => Ok(Self { slot, bytes, header, blank: block.iter().all(|byte| *byte == 0) }),
        }
    }
}

/// An end that cannot be the older one's, in the newer one's header.
pub fn bad_end(older: &Segment, newer: &Segment) -> Option<Halt> {
    let end = newer.header.predecessor().end;
    let bad = !(FIRST_BATCH..=older.header.bytes).contains(&end) || !end.is_multiple_of(BLOCK as u64);
    bad.then(|| Halt::broken_end(newer.slot, end, older.header.bytes))
}

/// The slots of a log, sorted out.
#[derive(Debug, Default)]
pub struct Chain {
    /// Covered by the checkpoint, and kept; oldest first.
    pub kept: Vec<Segment>,
    /// To be walked; oldest first.
    pub segments: Vec<Segment>,
    /// With the header of a segment that a checkpoint covers.
    pub free: Vec<Found>,
    /// Without a header.
    pub strays: Vec<Found>,
}

/// The newest header leads; each names the one before it; the walk begins where the checkpoint ends, or with the
/// first segment of all. With `bare`, nothing needs to continue the checkpoint. Up to `gone` nothing is this log's: a
/// checkpoint that came from elsewhere took its place, and of the segment in which that ends only a part may be here.
pub fn link(found: &[Found], base: &Boundary, bare: bool, gone: Incarnation) -> Result<Chain, Halt> {
    let segment = |f: &Found| f.header.ok().map(|header| Segment { slot: f.slot, header });
    let mut all: Vec<Segment> = found.iter().filter_map(segment).collect();
    all.sort_by_key(|s| s.header.incarnation);
    let first = first_of_chain(&all)?;
    let mut kept = all.split_off(first);
    let elsewhere = kept.partition_point(|s| s.header.incarnation <= gone.0.min(base.incarnation.0));
    all.extend(kept.drain(..elsewhere));
    let behind = kept.partition_point(|s| s.header.incarnation <= base.incarnation.0);
    let segments = kept.split_off(behind);
    match segments.first() {
        Some(first) => continues(first, base, all.last())?,
        None if *base != Boundary::start(base.log) && !bare => return Err(Halt::nothing_behind(base)),
        // A checkpoint that came from elsewhere: what ends before it is none of this log's any more.
        None if kept.last().is_some_and(|s| s.header.incarnation != base.incarnation.0) => {
            all.append(&mut kept)
        }
        None => {}
    }
    if let Some(newer) = all.last().filter(|s| s.header.incarnation > base.incarnation.0) {
        return Err(Halt::loose(newer.slot, Incarnation(newer.header.incarnation)));
    }
    let is = |f: &&Found, segments: &[Segment]| segments.iter().any(|s| s.slot == f.slot);
    let free = found.iter().filter(|f| is(f, &all)).copied().collect();
    let strays = found.iter().filter(|f| f.header.is_err()).copied().collect();
    Ok(Chain { kept, segments, free, strays })
}

/// From the newest one back, as long as each names the one before it.
fn first_of_chain(all: &[Segment]) -> Result<usize, Halt> {
    let mut first = all.len().saturating_sub(1);
    while let Some(before) = first.checked_sub(1) {
        let (older, newer) = (&all[before], &all[first]);
        if newer.header.pred_incarnation != older.header.incarnation {
            break;
        }
        if let Some(halt) = bad_end(older, newer) {
            return Err(halt);
        }
        first = before;
    }
    Ok(first)
}

/// Does the first segment to be walked begin where the base ends? `older` is the newest one outside of the chain.
fn continues(first: &Segment, base: &Boundary, older: Option<&Segment>) -> Result<(), Halt> {
    let (header, named) = (&first.header, first.header.predecessor());
    if named.incarnation != base.incarnation {
        return Err(match older {
            Some(older) if older.header.incarnation > base.incarnation.0 => {
                Halt::broken_chain(first.slot, named.incarnation, Incarnation(older.header.incarnation))
            }
            _ => Halt::missing_start(first.slot, named.incarnation),
        });
    }
    let next = base.cut.index.0 + 1;
    let same = (named.end, named.chain, header.first_index) == (base.end, base.chain, next);
    if same || *base == Boundary::start(base.log) && header.first_index == 1 {
        return Ok(());
    }
    Err(Halt::other_base(first.slot, base, header))
}
