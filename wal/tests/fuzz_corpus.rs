//! The fuzzer's doors, with bytes made from the golden ones: no decoder panics, whatever it reads.

use seawall_wal::checkpoint::{BLOCK_TARGET, Boundary, Item, Version, Writer};
use seawall_wal::{Epoch, Index, Space, fuzz};

/// The golden bytes of the format's document.
fn golden(name: &str) -> Vec<u8> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/log-format.md");
    #[allow(clippy::disallowed_methods, reason = "the seeds are in the document")]
    let text = std::fs::read_to_string(document).expect("the format's document");
    let block = text.split(&format!("golden: {name}\n")).nth(1).expect("a golden block of this name");
    let block = block.split("```").next().expect("an end of the block");
    let digits: Vec<u8> = block.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

const RUNS: usize = 100_000;

/// A few bytes changed, to anything or to an extreme; now and then a piece is cut out, doubled or cut off.
fn mutate(seed: &[u8], door: fn(&[u8])) {
    mutate_often(seed, door, RUNS);
}

fn mutate_often(seed: &[u8], door: fn(&[u8]), runs: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::new();
    // Padding says little: every second change is made where the seed says something.
    let telling: Vec<usize> = (0..seed.len()).filter(|at| seed[*at] != 0).collect();
    door(seed);
    for _ in 0..runs {
        bytes.clear();
        bytes.extend_from_slice(seed);
        for _ in 0..=random.below(6) {
            let at = match random.below(2) {
                0 => random.below(bytes.len()),
                _ => telling[random.below(telling.len())].min(bytes.len() - 1),
            };
            match random.below(8) {
                0 => bytes.truncate(at + 1),
                1 => bytes.extend_from_within(at..),
                2 => drop(bytes.drain(at / 2..at)),
                3 | 4 => {
                    let byte = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
                    let end = bytes.len().min(at + 1 + random.below(8));
                    bytes[at..end].fill(byte);
                }
                _ => bytes[at] = random.next() as u8,
            }
        }
        door(&bytes);
    }
}

#[test]
fn segment_headers() {
    mutate(&golden("segment header"), fuzz::segment);
}

#[test]
fn batches() {
    mutate(&golden("batch"), fuzz::batch);
}

#[test]
fn records() {
    mutate(&golden("batch")[128..], fuzz::record);
}

#[test]
fn metadata() {
    mutate(&golden("metadata"), fuzz::metadata);
}

/// The highest index there can be, and records behind it.
#[test]
fn a_batch_whose_indices_overflow() {
    let mut bytes = golden("batch");
    bytes[48..56].fill(0xff);
    fuzz::batch(&bytes);
    bytes[32..40].fill(0xff);
    fuzz::batch(&bytes);
}

/// A checkpoint of `entries`; the eighth is so large that it has a block of its own.
fn whole_checkpoint(entries: u8) -> Vec<u8> {
    let boundary = Boundary::start(fuzz::LOG);
    let boundary = Boundary { cut: Version { epoch: Epoch(2), index: Index(43) }, ..boundary };
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&boundary, |chunk: &[u8]| bytes.extend_from_slice(chunk));
    for nth in 0..entries {
        let value = vec![nth; if nth == 7 { BLOCK_TARGET } else { 30 }];
        let version = Version { epoch: Epoch(1), index: Index(u64::from(nth)) };
        writer.push(&Item { space: Space(1), key: &[nth / 16, nth], version, value: &value });
    }
    writer.finish();
    bytes
}

/// The golden entries, as a fuzzer hands them in.
fn golden_entries() -> Vec<u8> {
    let slots = [[0; 4].to_vec(), golden("checkpoint end of a block")].concat();
    [golden("checkpoint entries"), slots].concat()
}

#[test]
fn checkpoints() {
    // Each takes as long as its bytes; a file is larger than a header.
    mutate_often(&whole_checkpoint(3), fuzz::checkpoint, RUNS / 10);
    mutate_often(&whole_checkpoint(40), fuzz::checkpoint, RUNS / 50);
    mutate_often(&golden_entries(), fuzz::checkpoint, RUNS / 10);
}

#[test]
fn items_of_a_leader() {
    let block = |mut bytes: Vec<u8>| {
        bytes.resize(4096, 0);
        bytes
    };
    let items = [block(golden("segment header")), block(golden("batch")), block(golden("batch"))].concat();
    mutate_often(&items, fuzz::follower, RUNS / 20);
    mutate_often(&items[4096..], fuzz::follower, RUNS / 20);
}

#[test]
fn every_door_has_a_name() {
    let names: Vec<&str> = fuzz::DOORS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["segment", "batch", "record", "metadata", "checkpoint", "follower"]);
}
