//! The bytes on disk, as `docs/log-format.md` prints them. A build that writes other bytes cannot read old logs: a
//! change here needs a new format version.

mod support;

use bytemuck::Zeroable;
use seawall_wal::batch::{OpenBatch, Seal};
use seawall_wal::format::{Incarnation, LogId, SegmentHeader};
use seawall_wal::meta::{Cut, Meta};
use seawall_wal::{Buffer, Entry, Epoch, Index, Kind, Space};

const LOG: LogId = LogId { lineage: *b"0123456789abcdef", shard: 7 };

fn segment() -> Vec<u8> {
    let header = SegmentHeader {
        lineage: LOG.lineage,
        shard: LOG.shard,
        incarnation: 3,
        bytes: 4 << 20,
        epoch: 2,
        first_index: 42,
        pred_incarnation: 2,
        pred_end: 8192,
        pred_chain: 0x1122_3344,
        opened_us: 1_700_000_000_000_000,
        ..SegmentHeader::zeroed()
    };
    bytemuck::bytes_of(&header.seal()).to_vec()
}

fn batch() -> Vec<u8> {
    let mut open = OpenBatch::new(Buffer::new(0, 8192), Index(42));
    let epoch = Entry { space: Space(2), key: &2u64.to_be_bytes(), value: Some(&42u64.to_le_bytes()) };
    open.push(Kind::EpochStart, 1_700_000_000_000_001, [epoch].into_iter());
    let row = Entry { space: Space(1), key: b"key", value: Some(b"row") };
    let gone = Entry { space: Space(1), key: b"gone", value: None };
    open.push(Kind::Data, 1_700_000_000_000_002, [row, gone].into_iter());
    let sealed = open.seal(Seal {
        log: &LOG,
        incarnation: Incarnation(3),
        offset: 4096,
        epoch: Epoch(2),
        flushed_through: Index(41),
        committed_through: Index(40),
        chain: 0x5566_7788,
        now_us: 1_700_000_000_000_003,
    });
    assert_eq!(sealed.len, 4096);
    let end = 128 + sealed.header.length as usize;
    assert!(sealed.buffer.bytes()[end..sealed.len].iter().all(|b| *b == 0));
    sealed.buffer.bytes()[..end].to_vec()
}

fn metadata() -> Vec<u8> {
    let cut = Cut { incarnation: Incarnation(3), offset: 12288, next: Index(50), uncertain: true };
    let meta = Meta {
        sequence: 9,
        epoch: Epoch(2),
        leader: 0,
        start: 2,
        lease_us: 0,
        durable: Index(0),
        cut: Some(cut),
    };
    meta.encode(&LOG)[..256].to_vec()
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_segment_header() {
    assert_eq!(hex(&segment()), documented("segment header"));
}

#[test]
fn a_batch_of_two_records() {
    assert_eq!(hex(&batch()), documented("batch"));
}

#[test]
fn a_copy_of_the_metadata() {
    assert_eq!(hex(&metadata()), documented("metadata"));
    let again = Meta::decode(&metadata(), &LOG).unwrap();
    assert_eq!(hex(&again.encode(&LOG)[..256]), hex(&metadata()));
}
