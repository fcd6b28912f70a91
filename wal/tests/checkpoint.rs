//! Checkpoints: what is written is what is read, and whatever is not what was written is found.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seawall_wal::checkpoint::{
    BLOCK_TARGET, Boundary, Fault, Finished, FoldPolicy, Item, Place, Reader, Version, Writer,
};
use seawall_wal::format::{Incarnation, LogId};
use seawall_wal::{BLOCK, Epoch, Index, Space};

const LOG: LogId = LogId { lineage: *b"0123456789abcdef", shard: 7 };
const BOUNDARY: Boundary = Boundary {
    log: LOG,
    cut: Version { epoch: Epoch(2), index: Index(43) },
    time_us: 1_700_000_000_000_002,
    incarnation: Incarnation(3),
    end: 8192,
    chain: 0x5566_7788,
};

type Model = BTreeMap<(u8, Vec<u8>), (Version, Vec<u8>)>;

fn write(model: &Model) -> (Vec<u8>, Finished) {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&BOUNDARY, |chunk: &[u8]| {
        assert!(!chunk.is_empty() && chunk.len().is_multiple_of(BLOCK), "whole blocks");
        bytes.extend_from_slice(chunk);
    });
    for ((space, key), (version, value)) in model {
        writer.push(&Item { space: Space(*space), key, version: *version, value });
    }
    let finished = writer.finish();
    assert_eq!((finished.bytes, finished.entries), (bytes.len() as u64, model.len() as u64));
    (bytes, finished)
}

fn version(index: u64) -> Version {
    Version { epoch: Epoch(1 + index / 40), index: Index(index) }
}

/// `count` rows with keys of eight digits.
fn rows(count: u64, value: usize) -> Model {
    let row =
        |n: u64| ((1, format!("{n:08}").into_bytes()), (version(n % 40), vec![n.to_le_bytes()[0]; value]));
    (0..count).map(row).collect()
}

fn owned(item: Item<'_>) -> ((u8, Vec<u8>), (Version, Vec<u8>)) {
    ((item.space.0, item.key.to_vec()), (item.version, item.value.to_vec()))
}

fn models() -> impl Strategy<Value = Model> {
    let key = (0..4u8, prop::collection::vec(0..4u8, 0..6));
    let length = prop_oneof![8 => 0..60usize, 3 => 0..5000usize, 1 => 10_000..70_000usize];
    let value = (0..43u64, length, any::<u8>()).prop_map(|(at, len, byte)| (version(at), vec![byte; len]));
    prop::collection::btree_map(key, value, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(model in models(), probe in prop::collection::vec(0..4u8, 0..6),
                                to in prop::collection::vec(0..4u8, 0..6)) {
        let (bytes, finished) = write(&model);
        prop_assert_eq!(&write(&model).0, &bytes);
        let reader = Reader::open(&bytes, &LOG).unwrap();
        prop_assert_eq!(*reader.boundary(), BOUNDARY);
        prop_assert_eq!(reader.verify().unwrap(), finished);
        let all: Model = reader.iter().map(|item| owned(item.unwrap())).collect();
        prop_assert_eq!(&all, &model);
        for ((space, key), (version, value)) in &model {
            let item = reader.get(Space(*space), key).unwrap().expect("it was written");
            prop_assert_eq!((item.version, item.value), (*version, value.as_slice()));
        }
        for space in 0..4 {
            let at = (space, probe.clone());
            prop_assert_eq!(reader.get(Space(space), &probe).unwrap().map(owned),
                model.get_key_value(&at).map(|(k, v)| (k.clone(), v.clone())));
            let keys: Vec<_> = reader.range(Space(space), probe.as_slice()..to.as_slice())
                .map(|item| item.unwrap().key.to_vec()).collect();
            let expected: Vec<_> = model.keys()
                .filter(|(s, key)| *s == space && *key >= probe && *key < to)
                .map(|(_, key)| key.clone()).collect();
            prop_assert_eq!(keys, expected);
            let whole = reader.range(Space(space), ..).map(|item| item.unwrap().space.0).collect::<Vec<_>>();
            prop_assert_eq!(whole.len(), model.keys().filter(|(s, _)| *s == space).count());
            prop_assert!(whole.iter().all(|s| *s == space));
        }
    }

    #[test]
    fn hostile_bytes_do_not_panic(model in models(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
                                  cut in any::<prop::sample::Index>(), truncate in any::<bool>()) {
        let (mut bytes, _) = write(&model);
        let before = bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert_eq!(read_all(&bytes).is_ok(), bytes == before);
    }

    /// Checksums that a stranger made fit: only the structure is left to defend itself.
    #[test]
    fn hostile_bytes_with_right_checksums_do_not_panic(
        model in models(), changes in prop::collection::vec((0..4usize, any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (mut bytes, _) = write(&model);
        for (part, at, byte) in changes {
            hostile(&mut bytes, part, at, byte);
        }
        let _ = read_all(&bytes);
    }
}

/// Everything that a reader can do.
fn read_all(bytes: &[u8]) -> Result<(), Fault> {
    let reader = Reader::open(bytes, &LOG)?;
    for item in reader.iter() {
        let item = item?;
        reader.get(item.space, item.key)?;
        reader.range(item.space, item.key..).nth(1).transpose()?;
    }
    reader.verify().map(|_| ())
}

/// Changes a byte of the header (0), the first block (1), the index (2) or the footer (3), then mends the checksums.
fn hostile(bytes: &mut [u8], part: usize, at: prop::sample::Index, byte: u8) {
    let size = bytes.len();
    let number = |bytes: &[u8], at: usize| {
        usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap_or(usize::MAX)
    };
    let footer = size - BLOCK;
    let (offset, length) = (number(bytes, footer + 16), number(bytes, footer + 24));
    let whole = offset <= footer && length <= footer - offset;
    match part {
        0 => bytes[24 + at.index(100)] = byte,
        1 if whole && offset > BLOCK => bytes[BLOCK + at.index(offset - BLOCK)] = byte,
        2 if whole && length > 0 => bytes[offset + at.index(length)] = byte,
        _ => bytes[footer + 8 + at.index(56)] = byte,
    }
    let crc = |bytes: &[u8]| crc32c::crc32c(bytes).to_le_bytes();
    if whole && length >= 24 && part < 2 {
        let block = u32::from_le_bytes(bytes[offset + 8..offset + 12].try_into().unwrap()) as usize;
        let crc = crc(&bytes[BLOCK..(BLOCK + block).min(offset)]);
        bytes[offset + 12..offset + 16].copy_from_slice(&crc);
    }
    let header = crc(&bytes[..124]);
    bytes[124..128].copy_from_slice(&header);
    bytes[footer + 64..footer + 68].copy_from_slice(&header);
    if whole {
        let index = crc(&bytes[offset..offset + length]);
        bytes[footer + 68..footer + 72].copy_from_slice(&index);
    }
    let own = crc(&bytes[footer..footer + 124]);
    bytes[footer + 124..footer + 128].copy_from_slice(&own);
}

#[test]
fn an_empty_one() {
    let (bytes, finished) = write(&Model::new());
    assert_eq!(bytes.len(), 2 * BLOCK);
    let reader = Reader::open(&bytes, &LOG).unwrap();
    assert_eq!(reader.verify().unwrap(), finished);
    assert_eq!(reader.get(Space(1), b"key").unwrap(), None);
    assert_eq!(reader.range(Space(1), ..).count(), 0);
}

#[test]
fn a_huge_value_and_the_longest_key() {
    let mut model = rows(3, 10);
    model.insert((1, b"00000001x".to_vec()), (version(1), vec![7; 5 << 20]));
    model.insert((1, vec![b'9'; usize::from(u16::MAX)]), (version(2), Vec::new()));
    let (bytes, finished) = write(&model);
    let reader = Reader::open(&bytes, &LOG).unwrap();
    assert_eq!(reader.verify().unwrap(), finished);
    assert_eq!(reader.get(Space(1), b"00000001x").unwrap().unwrap().value.len(), 5 << 20);
    assert!(reader.get(Space(1), &[b'9'; u16::MAX as usize]).unwrap().is_some());
    assert_eq!(reader.get(Space(1), b"00000002").unwrap().unwrap().value, [2; 10]);
}

#[test]
fn get_and_verify_name_the_corrupt_block() {
    let (mut bytes, _) = write(&rows(200, 300));
    let second = BLOCK + BLOCK_TARGET;
    bytes[second + 100] ^= 1;
    let reader = Reader::open(&bytes, &LOG).unwrap();
    let fault = reader.verify().unwrap_err();
    assert_eq!((fault.rule, fault.place, fault.offset), ("R8", Place::Checkpoint, second as u64));
    assert!(fault.expected.contains("checksum") && fault.expected != fault.observed, "{fault}");
    let results: Vec<_> = rows(200, 300).keys().map(|(_, key)| reader.get(Space(1), key)).collect();
    let faults: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(!faults.is_empty() && faults.iter().all(|other| **other == fault));
    assert!(results.len() > faults.len(), "other blocks are still read");
    assert!(reader.range(Space(1), ..).any(|item| item.is_err()));
}

#[test]
fn every_flip_of_a_bit_is_found() {
    let (mut bytes, _) = write(&rows(70, 200));
    assert!(bytes.len() <= 8 * BLOCK, "small enough to flip every bit");
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let found = Reader::open(&bytes, &LOG).and_then(|reader| reader.verify());
            assert!(found.is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
    assert!(read_all(&bytes).is_ok());
}

#[test]
fn every_truncation_is_found() {
    let (bytes, _) = write(&rows(70, 200));
    for len in (0..bytes.len()).step_by(64).chain([bytes.len() - 1]) {
        assert!(Reader::open(&bytes[..len], &LOG).is_err(), "{len} bytes");
    }
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let (bytes, _) = write(&rows(1, 1));
    let fault = Reader::open(&bytes, &LogId { shard: 8, ..LOG }).unwrap_err();
    assert!(fault.to_string().contains("another lineage or shard"), "{fault}");
}

#[test]
#[should_panic(expected = "ascending")]
fn the_writer_insists_on_the_order() {
    let mut writer = Writer::new(&BOUNDARY, |_: &[u8]| ());
    let item = Item { space: Space(1), key: b"b", version: version(1), value: b"" };
    writer.push(&item);
    writer.push(&item);
}

#[test]
fn a_fold_waits_for_as_much_log_as_the_last_checkpoint_was_large() {
    let policy = FoldPolicy { least_bytes: 100, most_segments: 9 };
    assert!(
        !policy.should_fold(99, 1, 0) && policy.should_fold(100, 1, 0) && policy.should_fold(100, 1, 100)
    );
    assert!(!policy.should_fold(100, 1, 101) && policy.should_fold(101, 1, 101));
    assert!(policy.should_fold(0, 9, 101) && !policy.should_fold(0, 8, 101), "many small segments");
    assert_eq!(FoldPolicy::default().least_bytes, 256 << 20);
}

/// The hex digits of the document's block that is headed `name`.
fn documented(name: &str) -> String {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/log-format.md");
    #[allow(clippy::disallowed_methods, reason = "the test compares the code with the document")]
    let text = std::fs::read_to_string(document).expect("the format's document");
    let block = text.split(&format!("golden: {name}\n")).nth(1).expect("a golden block of this name");
    let block = block.split("```").next().expect("an end of the block");
    block.chars().filter(char::is_ascii_hexdigit).collect()
}

/// A build that writes other bytes cannot read old checkpoints: a change here needs a new format version.
#[test]
fn golden_bytes() {
    let mut model = Model::new();
    let epoch = (Version { epoch: Epoch(2), index: Index(42) }, 42u64.to_le_bytes().to_vec());
    model.insert((2, 2u64.to_be_bytes().to_vec()), epoch);
    model.insert((1, b"key".to_vec()), (Version { epoch: Epoch(2), index: Index(43) }, b"row".to_vec()));
    let (bytes, _) = write(&model);
    assert_eq!(bytes.len(), 4 * BLOCK);
    let parts = [
        ("checkpoint header", 0, 128),
        ("checkpoint entries", BLOCK, 30 + 40),
        ("checkpoint end of a block", 2 * BLOCK - 12, 12),
        ("checkpoint index", 2 * BLOCK, 24 + 3),
        ("checkpoint footer", 3 * BLOCK, 128),
    ];
    let mut rest = bytes.clone();
    for (name, at, len) in parts {
        let hex: String = bytes[at..at + len].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, documented(name), "{name}");
        rest[at..at + len].fill(0);
    }
    assert!(rest.iter().all(|byte| *byte == 0), "the document prints every byte that is not zero");
}
