//! One door for each decoder, for bytes that anybody may have written: it returns, whatever they are. A fuzzer walks
//! through these, and the tests do so with bytes made from golden ones.

mod mend;

use crate::batch::{Batch, Expected};
use crate::checkpoint::Reader;
use crate::format::{BATCH_HEADER, BatchHeader, Incarnation, LogId, SEGMENT_HEADER, SegmentHeader, checksum};
use crate::log::Resume;
use crate::log::follow::{Follower, Tip};
use crate::log::tail::MemoryTail;
use crate::{Done, Epoch, Index, Io, LogLimits, Space, meta, record};

/// A decoder's door.
pub type Door = fn(&[u8]);

/// All of them, by name.
pub const DOORS: &[(&str, Door)] = &[
    ("segment", segment),
    ("batch", batch),
    ("record", record),
    ("metadata", metadata),
    ("checkpoint", checkpoint),
    ("follower", follower),
];

/// Whose log the bytes are said to be: the golden bytes' one.
pub const LOG: LogId = LogId { lineage: *b"0123456789abcdef", shard: 7 };

/// The header of a segment; as it stands, and with its checksum made right, so that the rest is reached too.
pub fn segment(bytes: &[u8]) {
    let _ = SegmentHeader::read(bytes, &LOG);
    let Some(front) = bytes.get(..SEGMENT_HEADER) else { return };
    let header = bytemuck::pod_read_unaligned::<SegmentHeader>(front).seal();
    if let Ok(header) = SegmentHeader::read(bytemuck::bytes_of(&header), &LOG) {
        let _ = (Expected::first(&header), header.predecessor());
    }
}

/// A batch where it says that it stands, with all its records; as it is, and with its checksums made right.
pub fn batch(bytes: &[u8]) {
    walk(bytes);
    let Some(front) = bytes.get(..BATCH_HEADER) else { return };
    let mut header: BatchHeader = bytemuck::pod_read_unaligned(front);
    (header.lineage, header.shard) = (LOG.lineage, LOG.shard);
    let end = BATCH_HEADER.saturating_add(header.length as usize).min(bytes.len());
    header.length = u32::try_from(end - BATCH_HEADER).unwrap_or(0);
    header.payload_crc = crc32c::crc32c(&bytes[BATCH_HEADER..end]);
    let header = header.seal();
    let mut sealed = bytes.to_vec();
    sealed[..BATCH_HEADER].copy_from_slice(bytemuck::bytes_of(&header));
    debug_assert_eq!(checksum(&header), header.header_crc);
    walk(&sealed);
}

fn walk(bytes: &[u8]) {
    let Ok(header) = BatchHeader::read_anywhere(bytes, &LOG) else { return };
    let expected = Expected {
        incarnation: Incarnation(header.incarnation),
        offset: header.offset,
        epoch: Epoch(header.epoch),
        next: Index(header.first_index),
        chain: header.chain,
    };
    if let Ok(batch) = Batch::read(bytes, &LOG, &expected, usize::MAX) {
        let _ = batch.records().fold(0, |sum, (_, record)| sum + record.entries().count());
        let _ = (batch.next(), batch.header.last_index());
    }
}

/// Records one after the other.
pub fn record(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((record, behind)) = record::split(rest) {
        let _ = record.entries().count();
        rest = behind;
    }
}

/// Both copies of the metadata.
pub fn metadata(bytes: &[u8]) {
    let _ = meta::read(bytes, &LOG);
    let _ = meta::Meta::decode(bytes, &LOG).map(|meta| meta.encode(&LOG));
}

/// A whole checkpoint: as it stands, with its checksums made right, and as the block and the index of one that is whole
/// in everything else.
pub fn checkpoint(bytes: &[u8]) {
    look_into(bytes);
    if let Some(mended) = mend::checkpoint(bytes) {
        look_into(&mended);
    }
    look_into(&mend::forge_checkpoint(bytes));
}

/// What [`Reader::verify`] vouches for can be read, found and counted.
fn look_into(bytes: &[u8]) {
    let Ok(reader) = Reader::open(bytes, &LOG) else { return };
    let whole = reader.verify();
    let read = reader.iter().filter_map(Result::ok);
    let mut count = 0;
    for item in read.take(LOOKUPS) {
        let found = reader.get(item.space, item.key);
        assert!(whole.is_err() || found == Ok(Some(item)), "what a walk shows, a lookup finds");
        count += 1;
    }
    if let Ok(finished) = whole {
        assert_eq!(count, usize::try_from(finished.entries).unwrap_or(usize::MAX).min(LOOKUPS));
    }
    let key = bytes.get(..4).unwrap_or_default();
    let _ = (reader.get(Space(0), key), reader.range(Space(1), key..).count(), reader.boundary());
}

/// A leader's items: as they stand, and with places and checksums made right. A follower says which of them it has,
/// and never more than it validated.
pub fn follower(bytes: &[u8]) {
    let limits = LogLimits::test_min();
    for items in [bytes.to_vec(), mend::items(bytes, &limits)] {
        let next = Expected::default();
        let tip = Tip { next: Expected { next: Index(1), ..next }, segment: None, committed: Index(0) };
        let (tail, resume) = (MemoryTail::new(&limits), Resume::default());
        let mut follower = Follower::resume(LOG, limits, limits.buffers(), tail, resume, tip);
        let mut at = 0;
        for _ in 0..ROUNDS {
            let Ok(taken) = follower.take(&items[at..]) else { break };
            at += taken;
            land(&mut follower);
            assert!(
                follower.received() >= follower.persisted() && follower.persisted() >= follower.validated()
            );
            let records = follower.fresh().fold(0, |sum, batch| sum + u64::from(batch.header.records));
            assert!(records <= follower.validated().0);
        }
        let _ = (follower.epochs().count(), follower.expected(), follower.cut_to(follower.validated()));
    }
}

/// More rounds than a few segments need.
const ROUNDS: usize = 8;

/// Whatever the follower asks for goes well.
fn land(follower: &mut Follower) {
    for _ in 0..ROUNDS {
        let mut ios = Vec::new();
        follower.pump(&mut ios);
        for io in ios {
            let (id, moved, buf) = match io {
                Io::Write { id, buf, len, .. } => (id, len, Some(buf)),
                other => (other.id(), 0, None),
            };
            let _ = follower.done(Done { id, result: Ok(moved), buf });
        }
    }
}

/// More entries than that say nothing new.
const LOOKUPS: usize = 200;
