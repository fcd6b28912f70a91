//! Which slots are the log: the chain of segments, found by their headers.

use crate::format::{FIRST_BATCH, Incarnation, LogId, NotValid, SegmentHeader};
use crate::recover::report::Halt;
use crate::{BLOCK, SlotId};

/// A slot's file, and what its first block says.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub slot: SlotId,
    pub bytes: u64,
    pub header: Result<SegmentHeader, NotValid>,
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
            // Intact, but not ours to read: never mistaken for an empty slot.
            Err(why @ (NotValid::Version(_) | NotValid::OtherLog)) => Err(Halt::foreign(slot, why)),
            _ => Ok(Self { slot, bytes, header }),
        }
    }
}

/// An end that cannot be the older one's, in the newer one's header.
pub fn bad_end(older: &Segment, newer: &Segment) -> Option<Halt> {
    let end = newer.header.predecessor().end;
    let bad = !(FIRST_BATCH..=older.header.bytes).contains(&end) || !end.is_multiple_of(BLOCK as u64);
    bad.then(|| Halt::broken_end(newer.slot, end, older.header.bytes))
}

/// Oldest segment first, then the slots that belong to no segment. The newest header leads; each names the one
/// before it; the first names none.
pub fn link(found: &[Found]) -> Result<(Vec<Segment>, Vec<Found>), Halt> {
    let segment = |f: &Found| f.header.ok().map(|header| Segment { slot: f.slot, header });
    let mut segments: Vec<Segment> = found.iter().filter_map(segment).collect();
    segments.sort_by_key(|s| s.header.incarnation);
    for pair in segments.windows(2) {
        let [older, newer] = pair else { unreachable!("windows of two") };
        let named = newer.header.predecessor();
        if named.incarnation != Incarnation(older.header.incarnation) {
            return Err(Halt::broken_chain(
                newer.slot,
                named.incarnation,
                Incarnation(older.header.incarnation),
            ));
        }
        if let Some(halt) = bad_end(older, newer) {
            return Err(halt);
        }
    }
    if let Some(first) = segments.first()
        && (first.header.pred_incarnation != 0 || first.header.first_index != 1)
    {
        return Err(Halt::missing_start(first.slot, first.header.predecessor().incarnation));
    }
    let rest = found.iter().filter(|f| f.header.is_err()).copied().collect();
    Ok((segments, rest))
}
