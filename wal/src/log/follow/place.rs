//! Where a leader's items belong: each names its place, and the next one has exactly one.

use super::Follower;
use crate::batch::Expected;
use crate::format::{
    BatchHeader, FIRST_BATCH, Incarnation, NotValid, Predecessor, SEGMENT_MAGIC, SegmentHeader,
};
use crate::{BLOCK, Epoch, Index};

/// Behind everything received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub next: Expected,
    /// The segment in which that is; `None`: only a segment's header can follow.
    pub segment: Option<SegmentHeader>,
}

#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives for one call")]
pub(super) enum Item {
    Segment(SegmentHeader),
    Batch(BatchHeader),
    /// So many bytes that are here already.
    Repeat(usize),
}

/// What was sent does not continue this log. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub rule: &'static str,
    /// The index that is expected next, and where.
    pub index: Index,
    pub offset: u64,
    pub expected: String,
    pub observed: String,
    /// F-S3: it claims to be the log behind the checkpoint that this one begins with, and is not.
    pub forks: bool,
    /// It goes on in the segment that a checkpoint here ends, as if that had never been closed there.
    pub goes_on: bool,
    /// F-V1: it is not whole, although the frame around it is: it was not damaged on its way.
    pub damaged: bool,
}

impl Item {
    pub fn len(&self) -> usize {
        match self {
            Item::Segment(_) => BLOCK,
            Item::Batch(header) => header.blocks(),
            Item::Repeat(len) => *len,
        }
    }
}

impl Place {
    pub fn behind(&self, item: &Item) -> Self {
        match item {
            Item::Repeat(_) => *self,
            Item::Segment(header) => Self { next: Expected::first(header), segment: Some(*header) },
            Item::Batch(header) => Self { next: behind(header), segment: self.segment },
        }
    }

    /// The place that a rejection names is this one.
    pub fn of(&self, rejected: Rejected) -> Rejected {
        Rejected { index: self.next.next, offset: self.next.offset, ..rejected }
    }

    fn predecessor(&self) -> Predecessor {
        let Expected { incarnation, offset, chain, .. } = self.next;
        Predecessor { incarnation, end: offset, chain }
    }
}

fn behind(header: &BatchHeader) -> Expected {
    Expected {
        incarnation: Incarnation(header.incarnation),
        offset: header.offset + header.blocks() as u64,
        epoch: Epoch(header.epoch),
        next: Index(header.last_index().0 + 1),
        chain: header.header_crc,
    }
}

impl Follower {
    /// What the front of `bytes` is, at this place of the log. Only the header is looked at, for it says where the
    /// item belongs; its payload is looked at when it is durable.
    pub(super) fn judge(&self, place: &Place, bytes: &[u8]) -> Result<Item, Rejected> {
        let Some(block) = bytes.get(..BLOCK) else {
            return Err(place.rejected("R1", "whole blocks", format!("{} bytes", bytes.len())));
        };
        match block.starts_with(&SEGMENT_MAGIC) {
            true => self.judge_segment(place, block),
            false => self.judge_batch(place, bytes),
        }
    }

    fn judge_segment(&self, place: &Place, block: &[u8]) -> Result<Item, Rejected> {
        let header =
            SegmentHeader::read(block, &self.id).map_err(|why| place.not_valid("segment header", why))?;
        let known = self.keep.segments.headers().chain(&place.segment);
        if let Some(known) = known.into_iter().find(|known| known.incarnation == header.incarnation) {
            let conflict =
                || place.rejected("R1", format!("{known:?}, as it is here"), format!("{header:?}"));
            return if *known == header { Ok(Item::Repeat(BLOCK)) } else { Err(conflict()) };
        }
        if header.epoch() < place.next.epoch {
            return Err(place.older_epoch(header.epoch));
        }
        // Behind a checkpoint: what ends ahead of it is in it.
        if place.segment.is_none() && header.incarnation <= place.next.incarnation.0 {
            return Ok(Item::Repeat(BLOCK));
        }
        let (named, first) = (header.predecessor(), header.first_index());
        if (named, first) != (place.predecessor(), place.next.next)
            || header.incarnation <= place.next.incarnation.0
        {
            let expected = format!("the segment after {}, from index {}", here(place), place.next.next.0);
            let Predecessor { incarnation, end, chain } = named;
            let after = format!("offset {end} of segment {} (chain {chain:08x})", incarnation.0);
            let observed = format!("segment {} after {after}, from index {}", header.incarnation, first.0);
            let forks = place.forks(&header);
            return Err(Rejected { forks, ..place.rejected("R1", expected, observed) });
        }
        let least = self.limits.buffer_bytes as u64 + FIRST_BATCH;
        let sizes = least..=self.limits.slot_bytes;
        if !sizes.contains(&header.bytes) || !header.bytes.is_multiple_of(BLOCK as u64) {
            let expected = format!("a segment of {least} to {} bytes", self.limits.slot_bytes);
            return Err(place.rejected("R5", expected, format!("{} bytes", header.bytes)));
        }
        Ok(Item::Segment(header))
    }

    fn judge_batch(&self, place: &Place, bytes: &[u8]) -> Result<Item, Rejected> {
        let header =
            BatchHeader::read_anywhere(bytes, &self.id).map_err(|why| place.not_valid("batch", why))?;
        // Whoever made its checksum right may have written anything: no sum below overflows.
        let sums = header.first_index.checked_add(header.records.into()).is_some()
            && header.offset.checked_add(header.blocks() as u64).is_some();
        let most = self.limits.buffer_bytes.min(bytes.len());
        if header.records == 0 || header.blocks() > most || !sums {
            let expected = format!("a whole batch of at most {} bytes", self.limits.buffer_bytes);
            let observed =
                format!("{} of {} bytes, {} records", bytes.len(), header.blocks(), header.records);
            return Err(place.rejected("R1", expected, observed));
        }
        let named = Expected {
            incarnation: Incarnation(header.incarnation),
            offset: header.offset,
            epoch: Epoch(header.epoch),
            next: Index(header.first_index),
            chain: header.chain,
        };
        let fits = |segment: SegmentHeader| behind(&header).offset <= segment.bytes;
        if named == place.next && place.segment.is_some_and(fits) {
            return Ok(Item::Batch(header));
        }
        let known = self.tail.from(named.next, self.received()).and_then(|mut kept| kept.next());
        if known.is_some_and(|(known, _)| *known == header) {
            return Ok(Item::Repeat(header.blocks()));
        }
        if named.epoch < place.next.epoch {
            return Err(place.older_epoch(header.epoch));
        }
        let goes_on = place.segment.is_none() && named == place.next;
        let expected = match &place.segment {
            Some(_) => format!("a batch from index {} at {}", place.next.next.0, here(place)),
            None => format!("a segment from index {} behind {}", place.next.next.0, here(place)),
        };
        let Expected { incarnation, offset, epoch, next, chain } = named;
        let at = format!("offset {offset} of segment {} (chain {chain:08x})", incarnation.0);
        let observed = format!("one from index {} at {at} in epoch {}", next.0, epoch.0);
        Err(Rejected { goes_on, ..place.rejected("R1", expected, observed) })
    }
}

fn here(place: &Place) -> String {
    let Expected { incarnation, offset, epoch, chain, .. } = place.next;
    format!("offset {offset} of segment {} (chain {chain:08x}) in epoch {}", incarnation.0, epoch.0)
}

impl Place {
    fn rejected(&self, rule: &'static str, expected: impl Into<String>, observed: String) -> Rejected {
        let (index, offset) = (self.next.next, self.next.offset);
        let (forks, goes_on, damaged) = (false, false, false);
        Rejected { rule, index, offset, expected: expected.into(), observed, forks, goes_on, damaged }
    }

    /// Whether a segment that does not continue a checkpoint says that it does, or begins behind the cut in a log that
    /// parted before it. A segment may be missing between the two only if it is newer than the checkpoint.
    fn forks(&self, header: &SegmentHeader) -> bool {
        let (here, named) = (self.next.incarnation, header.predecessor().incarnation);
        let behind = named == here || named < here && header.first_index() == self.next.next;
        self.segment.is_none() && here > Incarnation(0) && behind
    }

    fn not_valid(&self, what: &str, why: NotValid) -> Rejected {
        let rule = if why == NotValid::OtherLog { "R11" } else { "R1" };
        let damaged = !matches!(why, NotValid::OtherLog | NotValid::Version(_));
        Rejected { damaged, ..self.rejected(rule, format!("a {what} of this log"), why.to_string()) }
    }

    fn older_epoch(&self, epoch: u64) -> Rejected {
        let expected = format!("epoch {} or a later one", self.next.epoch.0);
        self.rejected("R11", expected, format!("epoch {epoch}"))
    }
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, index, offset, expected, observed, .. } = self;
        write!(f, "what was sent for index {} at offset {offset} breaks {rule}: ", index.0)?;
        write!(f, "expected {expected}; observed {observed}. Nothing was changed: ask for the log from there")
    }
}

impl std::error::Error for Rejected {}
