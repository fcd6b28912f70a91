//! The fold: a checkpoint and the segments behind it are what a replay of the whole log gives.

use std::collections::BTreeMap;

use bytemuck::Zeroable;
use proptest::prelude::*;
use seawall_wal::batch::{OpenBatch, Seal};
use seawall_wal::checkpoint::{Fault, FoldLimits, Folded, Place, Reader, Version, fold};
use seawall_wal::format::{BATCH_HEADER, Incarnation, LogId, SegmentHeader};
use seawall_wal::record::encoded_len;
use seawall_wal::{BLOCK, Buffer, Entry, Epoch, Index, Kind, Space};

const LOG: LogId = LogId { lineage: *b"0123456789abcdef", shard: 7 };
const ALL: FoldLimits = FoldLimits { committed: Index(u64::MAX), changes: usize::MAX };

/// `None` is a tombstone.
type Change = (u8, Vec<u8>, Option<Vec<u8>>);
type Records = Vec<Vec<Change>>;
type Model = BTreeMap<(u8, Vec<u8>), (Version, Vec<u8>)>;

fn entries(record: &[Change]) -> impl Iterator<Item = Entry<'_>> {
    record.iter().map(|(space, key, value)| Entry { space: Space(*space), key, value: value.as_deref() })
}

/// A log that is written segment by segment; epochs change only between them.
struct Log {
    segments: Vec<Vec<u8>>,
    next: Index,
    epoch: Epoch,
    chain: u32,
}

impl Log {
    fn new() -> Self {
        Self { segments: Vec::new(), next: Index(1), epoch: Epoch(1), chain: 0 }
    }

    fn segment(&mut self, records: &[Vec<Change>], batch: usize) {
        let incarnation = Incarnation(self.segments.len() as u64 + 1);
        let header = SegmentHeader {
            lineage: LOG.lineage,
            shard: LOG.shard,
            incarnation: incarnation.0,
            bytes: 64 << 20,
            epoch: self.epoch.0,
            first_index: self.next.0,
            pred_incarnation: incarnation.0 - 1,
            pred_end: self.segments.last().map_or(0, |bytes| bytes.len() as u64),
            pred_chain: self.chain,
            ..SegmentHeader::zeroed()
        }
        .seal();
        let mut bytes = vec![0; BLOCK];
        bytes[..128].copy_from_slice(bytemuck::bytes_of(&header));
        self.chain = header.header_crc;
        for records in records.chunks(batch) {
            let size: usize = records.iter().map(|record| encoded_len(entries(record))).sum();
            let size = (BATCH_HEADER + size).next_multiple_of(BLOCK);
            let mut open = OpenBatch::new(Buffer::new(0, size), self.next);
            for record in records {
                open.push(Kind::Data, self.next.0 as i64 * 10, entries(record));
                self.next.0 += 1;
            }
            let sealed = open.seal(Seal {
                log: &LOG,
                incarnation,
                offset: bytes.len() as u64,
                epoch: self.epoch,
                flushed_through: Index(0),
                committed_through: Index(0),
                chain: self.chain,
                now_us: 0,
            });
            self.chain = sealed.header.header_crc;
            bytes.extend_from_slice(&sealed.buffer.bytes()[..sealed.len]);
        }
        self.segments.push(bytes);
    }

    /// A log of one epoch whose segments hold so many records each, over and over.
    fn cut(records: &Records, sizes: &[usize], batch: usize) -> Self {
        let (mut log, mut rest) = (Self::new(), records.as_slice());
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            log.segment(now, batch);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        log
    }

    fn bytes(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        self.segments[from..].iter().map(Vec::as_slice)
    }
}

fn replay(records: &Records) -> Model {
    let mut model = Model::new();
    for (nth, record) in records.iter().enumerate() {
        let version = Version { epoch: Epoch(1), index: Index(nth as u64 + 1) };
        for (space, key, value) in record {
            let at = (*space, key.clone());
            match value {
                Some(value) => drop(model.insert(at, (version, value.clone()))),
                None => drop(model.remove(&at)),
            }
        }
    }
    model
}

fn run<'s>(
    previous: Option<&[u8]>,
    segments: impl Iterator<Item = &'s [u8]>,
    limits: FoldLimits,
) -> Result<(Vec<u8>, Folded), Fault> {
    let reader = previous.map(|bytes| Reader::open(bytes, &LOG)).transpose()?;
    let mut bytes = Vec::new();
    let folded = fold(&LOG, reader.as_ref(), segments, limits, |chunk| bytes.extend_from_slice(chunk))?;
    Ok((bytes, folded))
}

fn contents(bytes: &[u8]) -> Model {
    let reader = Reader::open(bytes, &LOG).unwrap();
    reader.verify().unwrap();
    let owned = |item: seawall_wal::checkpoint::Item<'_>| {
        ((item.space.0, item.key.to_vec()), (item.version, item.value.to_vec()))
    };
    reader.iter().map(|item| owned(item.unwrap())).collect()
}

fn put(key: &str, value: &str) -> Change {
    (1, key.into(), Some(value.into()))
}

fn gone(key: &str) -> Change {
    (1, key.into(), None)
}

fn histories() -> impl Strategy<Value = Records> {
    let value = prop_oneof![
        2 => Just(None),
        5 => (0..40usize, any::<u8>()).prop_map(|(len, byte)| Some(vec![byte; len])),
        1 => (3000..20_000usize, any::<u8>()).prop_map(|(len, byte)| Some(vec![byte; len])),
    ];
    let change = (1..3u8, prop::collection::vec(0..3u8, 0..4), value);
    prop::collection::vec(prop::collection::vec(change, 0..5), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_fold_is_a_replay(records in histories(), sizes in prop::collection::vec(1..15usize, 1..4),
                          batch in 1..5usize, at in any::<prop::sample::Index>(), changes in 0..40usize) {
        let log = Log::cut(&records, &sizes, batch);
        let (whole, folded) = run(None, log.bytes(0), ALL).unwrap();
        prop_assert_eq!(contents(&whole), replay(&records));
        prop_assert_eq!(folded.segments, log.segments.len());
        let last = Index(records.len() as u64);
        prop_assert_eq!(folded.boundary.cut, Version { epoch: Epoch(1), index: last });
        prop_assert_eq!(folded.boundary.time_us, last.0 as i64 * 10);

        // The checkpoint of the first segments, folded with the others, has the same bytes.
        let cut = at.index(log.segments.len() + 1);
        let (first, _) = run(None, log.bytes(0).take(cut), ALL).unwrap();
        let (again, refolded) = run(Some(&first), log.bytes(cut), ALL).unwrap();
        prop_assert_eq!(&again, &whole);
        prop_assert_eq!(refolded.finished, folded.finished);

        // So has a fold in rounds that are bounded.
        let (mut bytes, mut done) = (None::<Vec<u8>>, 0);
        while done < log.segments.len() {
            let round = run(bytes.as_deref(), log.bytes(done), FoldLimits { changes, ..ALL }).unwrap();
            prop_assert!(round.1.segments > 0);
            (bytes, done) = (Some(round.0), done + round.1.segments);
        }
        prop_assert_eq!(&bytes.unwrap(), &whole);
    }

    #[test]
    fn the_digest_does_not_depend_on_the_segments(
        records in histories(), a in 1..15usize, b in 1..15usize, batch in 1..5usize,
    ) {
        let one = run(None, Log::cut(&records, &[a], batch).bytes(0), ALL).unwrap().1;
        let other = run(None, Log::cut(&records, &[b, a], 1).bytes(0), ALL).unwrap().1;
        prop_assert_eq!(one.finished, other.finished);
        prop_assert_eq!((one.boundary.cut, one.boundary.time_us), (other.boundary.cut, other.boundary.time_us));
    }

    #[test]
    fn hostile_segments_do_not_panic(
        records in histories(), at in any::<prop::sample::Index>(), byte in 1..=255u8, short in any::<bool>(),
    ) {
        let mut log = Log::cut(&records, &[7], 2);
        let nth = at.index(log.segments.len());
        let segment = &mut log.segments[nth];
        let place = at.index(segment.len());
        if short {
            segment.truncate(place);
        } else {
            segment[place] ^= byte;
        }
        // A flip in padding changes nothing that is folded.
        match run(None, log.bytes(0), ALL) {
            Ok((bytes, _)) => {
                let earlier = replay(&records);
                prop_assert!(contents(&bytes) == earlier || (short && nth + 1 == log.segments.len()));
            }
            Err(fault) => prop_assert!(matches!(fault.place, Place::Segment(found) if found >= nth)),
        }
    }
}

#[test]
fn the_last_writer_wins_and_tombstones_drop_out() {
    let mut log = Log::new();
    log.segment(&[vec![put("a", "1"), put("b", "1"), put("a", "2")], vec![put("c", "1"), gone("b")]], 1);
    let (first, folded) = run(None, log.bytes(0), ALL).unwrap();
    assert_eq!(folded.finished.entries, 2);
    assert_eq!(contents(&first), replay(&vec![vec![put("a", "2")], vec![put("c", "1")]]));
    log.segment(&[vec![gone("a"), gone("never")], vec![put("b", "3")], vec![gone("c"), put("c", "4")]], 2);
    let (second, _) = run(Some(&first), log.bytes(1), ALL).unwrap();
    let reader = Reader::open(&second, &LOG).unwrap();
    assert_eq!(reader.finished().entries, 2);
    assert_eq!(reader.get(Space(1), b"a").unwrap(), None);
    let b = reader.get(Space(1), b"b").unwrap().unwrap();
    assert_eq!((b.value, b.version.index), (&b"3"[..], Index(4)));
    assert_eq!(reader.get(Space(1), b"c").unwrap().unwrap().value, b"4");
}

#[test]
fn a_later_epoch_shows_in_the_versions() {
    let mut log = Log::new();
    log.segment(&[vec![put("a", "1")], vec![put("b", "1")]], 1);
    log.epoch = Epoch(4);
    log.segment(&[vec![put("b", "2")]], 1);
    let (bytes, folded) = run(None, log.bytes(0), ALL).unwrap();
    let of = |epoch, index| Version { epoch: Epoch(epoch), index: Index(index) };
    assert_eq!(folded.boundary.cut, of(4, 3));
    let versions: Vec<_> = contents(&bytes).into_values().map(|(version, _)| version).collect();
    assert_eq!(versions, [of(1, 1), of(4, 3)]);
}

#[test]
fn nothing_and_empty_segments() {
    let (bytes, folded) = run(None, [].into_iter(), ALL).unwrap();
    assert_eq!((bytes.len(), folded.segments), (2 * BLOCK, 0));
    let mut log = Log::new();
    log.segment(&[], 1);
    log.segment(&[vec![put("a", "1")]], 1);
    log.segment(&[], 1);
    let (last, folded) = run(Some(&bytes), log.bytes(0), ALL).unwrap();
    assert_eq!((folded.segments, folded.boundary.incarnation), (3, Incarnation(3)));
    assert_eq!((folded.boundary.cut.index, folded.boundary.end), (Index(1), BLOCK as u64));
    assert_eq!(contents(&last).len(), 1);
}

#[test]
fn one_huge_value() {
    let mut log = Log::new();
    log.segment(&[vec![put("a", "1")], vec![(1, b"b".to_vec(), Some(vec![9; 6 << 20]))]], 1);
    let (bytes, _) = run(None, log.bytes(0), ALL).unwrap();
    let (again, _) = run(Some(&bytes), [].into_iter(), ALL).unwrap();
    assert_eq!(bytes, again);
    assert_eq!(
        Reader::open(&bytes, &LOG).unwrap().get(Space(1), b"b").unwrap().unwrap().value.len(),
        6 << 20
    );
}

/// R8: what is not committed may still be abandoned, and a checkpoint cannot take it back.
#[test]
fn a_segment_that_is_not_wholly_committed_is_refused() {
    let mut log = Log::new();
    log.segment(&[vec![put("a", "1")], vec![put("b", "1")]], 1);
    log.segment(&[vec![put("c", "1")], vec![put("d", "1")]], 1);
    let at = |committed| FoldLimits { committed: Index(committed), ..ALL };
    let mut touched = false;
    let fault = fold(&LOG, None, log.bytes(0), at(3), |_| touched = true).unwrap_err();
    assert!(!touched, "nothing is written before the segments are checked");
    assert_eq!((fault.rule, fault.place, fault.offset), ("R8", Place::Segment(1), 2 * BLOCK as u64));
    assert_eq!(
        (fault.expected.as_str(), fault.observed.as_str()),
        ("records that are committed, up to 3", "record 4")
    );
    assert_eq!(run(None, log.bytes(0).take(1), at(2)).unwrap().1.boundary.cut.index, Index(2));
    assert!(run(None, log.bytes(0), at(4)).is_ok());
}

#[test]
fn a_segment_that_does_not_continue_is_refused() {
    let mut log = Log::new();
    for nth in 0..4 {
        log.segment(&[vec![put("a", &nth.to_string())]], 1);
    }
    let (first, _) = run(None, log.bytes(0).take(2), ALL).unwrap();
    let refused = |previous: Option<&[u8]>, from: usize, observed: &str| {
        let fault = run(previous, log.bytes(from), ALL).unwrap_err();
        assert_eq!((fault.place, fault.offset), (Place::Segment(0), 0), "{fault}");
        assert!(fault.expected.contains("incarnation") && fault.observed == observed, "{fault}");
    };
    refused(None, 1, "1");
    refused(Some(&first), 1, "1");
    refused(Some(&first), 3, "3");
    let mut other = Log::new();
    other.segment(&[vec![put("x", "1")]], 1);
    other.segment(&[vec![put("y", "1")]], 1);
    other.segment(&[vec![put("z", "1")]], 1);
    let fault = run(Some(&first), other.bytes(2), ALL).unwrap_err();
    assert!(fault.expected.contains("chain"), "{fault}");
}

#[test]
fn a_segment_that_ends_too_early_is_found_by_its_successor() {
    let mut log = Log::new();
    log.segment(&[vec![put("a", "1")], vec![put("b", "1")]], 1);
    log.segment(&[vec![put("c", "1")]], 1);
    log.segments[0].truncate(2 * BLOCK);
    let fault = run(None, log.bytes(0), ALL).unwrap_err();
    assert_eq!((fault.place, fault.offset), (Place::Segment(1), 0));
    assert!(fault.expected.contains("predecessor's end 8192"), "{fault}");
}

#[test]
fn a_corrupt_checkpoint_is_not_folded_on() {
    let mut log = Log::new();
    log.segment(&[vec![put("a", "1")]], 1);
    log.segment(&[vec![put("b", "1")]], 1);
    let (mut first, _) = run(None, log.bytes(0).take(1), ALL).unwrap();
    first[BLOCK + 3] ^= 8;
    let fault = run(Some(&first), log.bytes(1), ALL).unwrap_err();
    assert_eq!((fault.place, fault.offset), (Place::Checkpoint, BLOCK as u64));
}
