//! The fold: the previous checkpoint and the closed segments behind it become the next checkpoint.

use super::format::MAX_VALUE;
use super::read::Reader;
use super::sort;
use super::stream::Stream;
use super::write::{Finished, Writer};
use super::{Boundary, Fault, Item, Place, Version};
use crate::batch::{Batch, BatchError, Expected};
use crate::format::{FIRST_BATCH, LogId, SegmentHeader};
use crate::io::{AdoptJob, FoldError, FoldJob};
use crate::{BLOCK, Buffer, CheckpointId, Entry, FileId, Index, Space};

/// What bounds a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldLimits {
    /// The highest index that is known to be committed. A segment with a record above it is refused (R8).
    pub committed: Index,
    /// A round takes no further segment that would bring it above this many changes. It always takes one segment,
    /// since a checkpoint stands at the end of a segment. A change takes 56 bytes, and 28 more while they are sorted.
    pub changes: usize,
}

/// One round of a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    pub finished: Finished,
    /// Where the new checkpoint stands.
    pub boundary: Boundary,
    /// How many of the segments are in it. Those behind them are for the next round, which begins with this
    /// checkpoint; the bytes at the end do not depend on the number of rounds.
    pub segments: usize,
}

/// One change, and where it is in the bytes of its segment: nothing is copied before it is written.
#[derive(Clone, Copy)]
struct Change<'s> {
    /// Its space, and how its key begins: what tells of its partition.
    rank: u64,
    key: &'s [u8],
    version: Version,
    value: Option<&'s [u8]>,
}

// `FoldLimits::changes` tells what a change costs.
const _: () = assert!(size_of::<Change<'_>>() == 56);

impl FoldJob {
    /// `previous` and `segments` are the bytes of the files that the job names; of a segment, as many as stand in
    /// front of its end. What goes into `sink` is the new checkpoint, unless an error follows.
    pub fn run(
        &self,
        previous: Option<&[u8]>,
        segments: &[&[u8]],
        sink: impl FnMut(&[u8]),
    ) -> Result<Folded, FoldError> {
        assert!(previous.is_some() == self.previous.is_some() && segments.len() == self.segments.len());
        let cut = segments.iter().zip(&self.segments);
        let cut = cut.map(|(bytes, (_, end))| bytes.get(..usize::try_from(*end).ok()?).or(Some(bytes)));
        let reader = previous.map(|bytes| Reader::open(bytes, &self.log)).transpose();
        let folded =
            reader.and_then(|reader| fold(&self.log, reader.as_ref(), cut.flatten(), self.limits, sink));
        folded.map_err(|fault| FoldError::Fault { file: self.file(fault.place), fault })
    }

    /// Reads back what was written and flushed, a buffer at a time: is it what was made? `read` fills its slice with
    /// the bytes at an offset, from the disk and not from a cache where that is possible.
    pub fn verify(
        &self,
        folded: &Folded,
        buffer: &mut Buffer,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), FoldError>,
    ) -> Result<(), FoldError> {
        let file = FileId::Checkpoint(folded.checkpoint());
        let (boundary, finished) = whole(file, &self.log, folded.finished.bytes, buffer, &mut read)?;
        let same = boundary == folded.boundary && finished == folded.finished;
        let other = || Fault::new(Place::Checkpoint, 0, format!("{folded:?}"), "another checkpoint");
        same.then_some(()).ok_or_else(|| FoldError::Fault { file, fault: other() })
    }

    fn file(&self, place: Place) -> FileId {
        match (place, self.previous) {
            (Place::Segment(nth), _) => FileId::Slot(self.segments[nth].0),
            (Place::Checkpoint, Some(previous)) => FileId::Checkpoint(previous),
            (Place::Checkpoint, None) => unreachable!("without a checkpoint it is not at fault"),
        }
    }
}

impl AdoptJob {
    /// Where the file is to stand.
    pub fn checkpoint(&self) -> CheckpointId {
        CheckpointId(self.boundary.cut.index.0)
    }

    /// As [`FoldJob::verify`]: is what was flushed the whole checkpoint that the leader named?
    pub fn verify(
        &self,
        buffer: &mut Buffer,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), FoldError>,
    ) -> Result<Folded, FoldError> {
        let file = FileId::Checkpoint(self.checkpoint());
        let (boundary, finished) = whole(file, &self.log, self.bytes, buffer, &mut read)?;
        if boundary != self.boundary {
            let expected = format!("the checkpoint at {:?}", self.boundary);
            let fault = Fault::new(Place::Checkpoint, 0, expected, format!("the one at {boundary:?}"));
            return Err(FoldError::Fault { file, fault });
        }
        Ok(Folded { finished, boundary, segments: 0 })
    }
}

/// Fills a slice with the bytes at an offset.
type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), FoldError> + 'a;

/// Reads a checkpoint of `bytes` bytes, a buffer at a time, with all its checksums.
fn whole(
    file: FileId,
    log: &LogId,
    bytes: u64,
    buffer: &mut Buffer,
    read: &mut ReadAt<'_>,
) -> Result<(Boundary, Finished), FoldError> {
    let fault = |fault| FoldError::Fault { file, fault };
    let most = buffer.capacity();
    let mut get = |range: std::ops::Range<u64>, buffer: &mut Buffer| {
        let len = usize::try_from(range.end - range.start).expect("no more than the buffer");
        read(range.start, &mut buffer.bytes_mut()[..len]).map(|()| len)
    };
    get(0..BLOCK as u64, buffer)?;
    let mut stream = Stream::open(&buffer.bytes()[..BLOCK], bytes, log).map_err(fault)?;
    while let Some(range) = stream.wants(most).map_err(fault)? {
        let len = get(range, buffer)?;
        stream.take(&buffer.bytes()[..len], &mut |_| ()).map_err(fault)?;
    }
    let finished = stream.finished().expect("nothing is wanted any more");
    Ok((stream.boundary(), finished))
}

/// Merges `previous` (none: the log begins with these segments) and closed segments, each of which ends at its
/// recorded end, into the next checkpoint. The last writer of a key wins, and tombstones drop out.
///
/// Where a segment ends, its successor's header records, so it is for the caller to cut the last one there. One that
/// was cut too early between two batches shows at the next fold, which its successor does not continue.
///
/// Nothing goes into the sink before the segments of the round are checked. The previous checkpoint is checked while
/// it is read, so after an error what went into the sink is worthless.
pub fn fold<'s>(
    log: &LogId,
    previous: Option<&Reader<'_>>,
    segments: impl IntoIterator<Item = &'s [u8]>,
    limits: FoldLimits,
    sink: impl FnMut(&[u8]),
) -> Result<Folded, Fault> {
    let mut boundary = match previous {
        Some(reader) if reader.boundary().log != *log => {
            return Err(Fault::new(Place::Checkpoint, 0, "a checkpoint of this log", "one of another log"));
        }
        Some(reader) => *reader.boundary(),
        None => Boundary::start(*log),
    };
    let (mut changes, mut folded) = (Vec::new(), 0);
    for (nth, bytes) in segments.into_iter().enumerate() {
        let before = changes.len();
        let walk = Walk { log, place: Place::Segment(nth), bytes, committed: limits.committed };
        let end = walk.collect(&boundary, &mut changes)?;
        if folded > 0 && changes.len() > limits.changes {
            changes.truncate(before);
            break;
        }
        (boundary, folded) = (end, nth + 1);
    }
    sort(&mut changes);
    let mut writer = Writer::new(&boundary, sink);
    merge(previous, &changes, &mut writer)?;
    Ok(Folded { finished: writer.finish(), boundary, segments: folded })
}

/// By their places. Changes of one key stay in the order of the log.
fn sort(changes: &mut [Change<'_>]) {
    changes.sort_by_key(|change| change.rank);
    changes
        .chunk_by_mut(|a, b| a.rank == b.rank)
        .for_each(|alike| sort::by_bytes(alike, &|change| change.key));
}

/// A checkpoint's entries and sorted changes, both ascending.
fn merge<S: FnMut(&[u8])>(
    previous: Option<&Reader<'_>>,
    changes: &[Change<'_>],
    writer: &mut Writer<S>,
) -> Result<(), Fault> {
    let mut changes = changes.chunk_by(|a, b| a.place() == b.place()).filter_map(<[_]>::last).peekable();
    if let Some(reader) = previous {
        let mut cursor = reader.iter().digested();
        for item in cursor.by_ref() {
            let item = item?;
            let place = (item.space, item.key);
            while let Some(change) = changes.next_if(|change| (change.space(), change.key) < place) {
                change.write(writer);
            }
            match changes.next_if(|change| (change.space(), change.key) == place) {
                Some(newer) => newer.write(writer),
                None => writer.push(&item),
            }
        }
        cursor.check_digest()?;
    }
    changes.for_each(|change| change.write(writer));
    Ok(())
}

/// Sorts as the space does and then the key.
fn place(space: Space, key: &[u8]) -> (u64, &[u8]) {
    let begin = key.first_chunk().copied().unwrap_or_else(|| {
        let mut begin = [0; 8];
        begin.iter_mut().zip(key).for_each(|(to, byte)| *to = *byte);
        begin
    });
    (u64::from(space.0) << 56 | u64::from_be_bytes(begin) >> 8, key)
}

impl<'s> Change<'s> {
    fn new(version: Version, entry: &Entry<'s>) -> Self {
        let (rank, key) = place(entry.space, entry.key);
        Self { rank, key, version, value: entry.value }
    }

    fn place(&self) -> (u64, &'s [u8]) {
        (self.rank, self.key)
    }

    fn space(&self) -> Space {
        Space((self.rank >> 56) as u8)
    }

    fn write<S: FnMut(&[u8])>(&self, writer: &mut Writer<S>) {
        let Self { key, version, value, .. } = *self;
        if let Some(value) = value {
            writer.push(&Item { space: self.space(), key, version, value });
        }
    }
}

/// The walk over one closed segment.
struct Walk<'a, 's> {
    log: &'a LogId,
    place: Place,
    bytes: &'s [u8],
    committed: Index,
}

impl<'s> Walk<'_, 's> {
    fn fault(&self, offset: u64, expected: impl Into<String>, observed: impl Into<String>) -> Fault {
        Fault::new(self.place, offset, expected, observed)
    }

    /// Adds the segment's changes; returns where it ends.
    fn collect(&self, start: &Boundary, changes: &mut Vec<Change<'s>>) -> Result<Boundary, Fault> {
        let header = self.header(start)?;
        let mut expected = Expected::first(&header);
        let mut boundary = Boundary { incarnation: expected.incarnation, ..*start };
        let mut rest = self.bytes.get(FIRST_BATCH as usize..).unwrap_or_default();
        while !rest.is_empty() {
            let batch = Batch::read(rest, self.log, &expected, rest.len()).map_err(|why| {
                let observed = match why {
                    BatchError::Incomplete(needed) => format!("{} of its {needed} bytes", rest.len()),
                    BatchError::Invalid(why) => why.to_string(),
                };
                let wanted = format!("the batch with index {} up to the recorded end", expected.next.0);
                self.fault(expected.offset, wanted, observed)
            })?;
            let last = batch.header.last_index();
            if last > self.committed {
                let wanted = format!("records that are committed, up to {}", self.committed.0);
                return Err(self.fault(expected.offset, wanted, format!("record {}", last.0)));
            }
            for (index, record) in batch.records() {
                let version = Version { epoch: expected.epoch, index };
                (boundary.cut, boundary.time_us) = (version, record.time_us);
                for entry in record.entries() {
                    let size = entry.value.map_or(0, <[u8]>::len);
                    if size > MAX_VALUE {
                        let wanted = format!("values of at most {MAX_VALUE} bytes");
                        return Err(self.fault(expected.offset, wanted, format!("{size} bytes")));
                    }
                    changes.push(Change::new(version, &entry));
                }
            }
            rest = rest.get(batch.header.blocks()..).unwrap_or_default();
            expected = batch.next();
        }
        (boundary.end, boundary.chain) = (expected.offset, expected.chain);
        Ok(boundary)
    }

    /// The segment's header, which must name the boundary as its predecessor.
    fn header(&self, start: &Boundary) -> Result<SegmentHeader, Fault> {
        let header = SegmentHeader::read(self.bytes, self.log)
            .map_err(|why| self.fault(0, "the header of a segment of this log", why.to_string()))?;
        if (self.bytes.len() as u64) < FIRST_BATCH || self.bytes.len() as u64 > header.bytes {
            let wanted = format!("a header block and no more than {} bytes", header.bytes);
            return Err(self.fault(0, wanted, format!("{} bytes", self.bytes.len())));
        }
        let predecessor = header.predecessor();
        let next = start.cut.index.0 + 1;
        for (name, wanted, found) in [
            ("predecessor's incarnation", start.incarnation.0, predecessor.incarnation.0),
            ("predecessor's end", start.end, predecessor.end),
            ("predecessor's chain", start.chain.into(), predecessor.chain.into()),
            ("first index", next, header.first_index),
        ] {
            if wanted != found {
                return Err(self.fault(0, format!("the {name} {wanted}"), found.to_string()));
            }
        }
        if header.incarnation <= start.incarnation.0 || header.epoch < start.cut.epoch.0 {
            let wanted =
                format!("more than {:?} in an epoch from {:?} on", start.incarnation, start.cut.epoch);
            return Err(self.fault(0, wanted, format!("{} in {}", header.incarnation, header.epoch)));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    #[test]
    fn a_place_sorts_as_space_and_key_do() {
        let keys: [&[u8]; 9] = [
            b"",
            b"\0",
            b"a",
            b"a\0",
            b"abcdefg",
            b"abcdefg\0",
            b"abcdefgh",
            b"abcdefh",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        let all = || [0, 1, 255].into_iter().flat_map(|space| keys.map(|key| (Space(space), key)));
        for one in all() {
            let change = Entry { space: one.0, key: one.1, value: None };
            let version = Version { epoch: Epoch(1), index: Index(1) };
            assert_eq!(Change::new(version, &change).space(), one.0);
            for other in all() {
                assert_eq!(
                    place(one.0, one.1).cmp(&place(other.0, other.1)),
                    one.cmp(&other),
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
