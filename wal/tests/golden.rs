//! The bytes on disk, as `docs/log-format.md` prints them. A build that writes other bytes cannot read old logs: a
//! change here needs a new format version.

mod support;

use bytemuck::Zeroable;
use seawall_wal::batch::{OpenBatch, Seal};
use seawall_wal::format::{Incarnation, LogId, SegmentHeader};
use seawall_wal::meta::{Bound, Cut, CutKind, LATCH_TEXT, Latch, Meta};
use seawall_wal::{Buffer, Entry, Epoch, FileId, Index, Kind, SlotId, Space};

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
    // As it was written before there were followers: what is new is zeros.
    let why = CutKind::Uncertain;
    let cut = Cut { incarnation: Incarnation(3), offset: 12288, next: Index(50), why };
    let meta = Meta { sequence: 9, epoch: Epoch(2), start: 2, cut: Some(cut), ..Meta::default() };
    meta.encode(&LOG)[..256].to_vec()
}

fn member() -> Meta {
    let why = CutKind::Abandoned;
    Meta {
        sequence: 10,
        epoch: Epoch(6),
        bound: Some(Bound { leader: 2, start: 9 }),
        start: 3,
        lease_us: 10_000_000,
        durable: Index(49),
        clean: Index(40),
        committed: Index(45),
        followed: true,
        issued: Epoch(5),
        own: (Epoch(2), Epoch(4)),
        reseeding: true,
        uncertain: true,
        cleared: true,
        bare: Incarnation(3),
        bare_before: Incarnation(2),
        aside: 7,
        cut: Some(Cut { incarnation: Incarnation(3), offset: 12288, next: Index(50), why }),
        latch: Some(Latch::new(
            "R12",
            FileId::Slot(SlotId(17)),
            12288,
            Index(50),
            "one log up to index 49",
            "epochs 4 and 5 at index 48",
        )),
    }
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
    assert!(again.bound.is_none() && again.latch.is_none() && !again.followed && again.issued_here(Epoch(2)));
}

#[test]
fn a_copy_of_a_members_metadata() {
    let bytes = &member().encode(&LOG)[..256 + LATCH_TEXT];
    assert_eq!(hex(bytes), documented("metadata of a member"));
    assert_eq!(Meta::decode(bytes, &LOG), Ok(member()));
    let latch = member().latch.unwrap();
    assert_eq!((latch.rule(), latch.expected().as_str()), ("R12", "one log up to index 49"));
    assert_eq!(latch.observed(), "epochs 4 and 5 at index 48");
}

/// Half of a latch is none, and then the copy is none: the other one is older, and whole.
#[test]
fn every_flipped_bit_of_metadata_is_found() {
    let whole = &member().encode(&LOG)[..256 + LATCH_TEXT];
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Meta::decode(&bytes, &LOG).is_err(), "bit {bit}");
    }
}

/// Texts of any length and any rule go in, and come out as far as they fit.
#[test]
fn a_latch_keeps_what_fits() {
    let latch = |rule, expected: &str, observed: &str| {
        Latch::new(rule, FileId::Meta, 0, Index(1), expected, observed)
    };
    let long = "ä".repeat(200);
    let kept = latch("R2", &long, &long);
    assert!(long.starts_with(&kept.expected()) && kept.expected().len() == LATCH_TEXT / 2);
    assert!(long.starts_with(&kept.observed()) && kept.observed().len() > LATCH_TEXT / 3);
    let broken = latch("no rule", "a\nb", "");
    assert_eq!((broken.rule(), broken.expected().as_str(), broken.observed().as_str()), ("R25", "a", ""));
}
