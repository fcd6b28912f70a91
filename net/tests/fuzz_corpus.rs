//! The fuzzer's doors, with bytes made from the golden ones: no decoder panics, whatever it reads.

mod literals;
mod peers;

use literals::GOLDEN;
use std::collections::BTreeSet;

use seawall::frame::HEADER_LEN;
use seawall::fuzz::{DOORS, Door};
use seawall::map::ShardId;
use seawall::message::Opcode;
use seawall::position::Position;
use seawall::replication::PeerOpcode;
use seawall::{Key, Row, Token};

const RUNS: usize = 4_000;

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

/// The golden bytes whose name begins with `kind`.
fn golden(kind: &str) -> Vec<Vec<u8>> {
    let of_kind = GOLDEN.iter().filter(|(name, _)| name.starts_with(kind));
    let bytes = of_kind.map(|(_, hex)| {
        let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    });
    let found: Vec<Vec<u8>> = bytes.collect();
    assert!(!found.is_empty(), "no golden {kind}");
    found
}

/// Some bytes changed, to anything or to an extreme; now and then a piece is cut out, doubled or cut off.
fn mutate(seeds: &[Vec<u8>], door: Door) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for seed in seeds {
        door(seed);
        for _ in 0..RUNS {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(5) {
                let at = random.below(bytes.len());
                match random.below(8) {
                    0 => bytes.truncate(at + 1),
                    1 => bytes.extend_from_within(at..),
                    2 => drop(bytes.drain(at / 2..at)),
                    3 | 4 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    _ => bytes[at] = random.next() as u8,
                }
            }
            door(&bytes);
        }
    }
}

/// The payloads of golden frames, behind the place of their operation among the known ones.
fn payloads(kind: &str) -> Vec<Vec<u8>> {
    let behind = |frame: Vec<u8>| {
        let opcode = u16::from_le_bytes([frame[6], frame[7]]);
        let nth = Opcode::ALL.iter().position(|known| *known as u16 == opcode).expect("a known operation");
        [&[nth as u8], &frame[HEADER_LEN..]].concat()
    };
    // Others are pieces of payloads: a request key, say.
    golden(kind).into_iter().filter(|bytes| bytes.starts_with(b"SWL1")).map(behind).collect()
}

/// Golden payloads that stand without a frame, behind the place of the operation that their name begins with.
fn bare(kind: &str) -> Vec<Vec<u8>> {
    let named = |(name, _): &&(&str, &str)| {
        let rest = name.strip_prefix(kind)?.trim_start();
        Opcode::ALL.iter().position(|opcode| rest.split([',', ' ']).next() == Some(opcode.name()))
    };
    let found = GOLDEN.iter().filter_map(|line| Some((named(&line)?, golden(line.0).remove(0))));
    found.map(|(nth, payload)| [&[nth as u8], &payload[..]].concat()).collect()
}

/// What members say, behind the place of its number among the known ones.
fn peers() -> Vec<Vec<u8>> {
    let behind = |frame: Vec<u8>| {
        let opcode = u16::from_le_bytes([frame[6], frame[7]]);
        let nth = PeerOpcode::ALL.iter().position(|known| *known as u16 == opcode).expect("a known message");
        [&[nth as u8], &frame[HEADER_LEN..]].concat()
    };
    peers::messages().into_iter().map(|(_, message)| behind(peers::framed(message))).collect()
}

/// A value alone in a row, under the name `v`.
fn rows() -> Vec<Vec<u8>> {
    let in_row = |value: Vec<u8>| [&[0, 1, 1, b'v'], value.as_slice()].concat();
    golden("value").into_iter().map(in_row).chain(golden("row")).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn seeds(door: &str) -> Vec<Vec<u8>> {
    match door {
        "frame" => ["frame", "request", "reply"].into_iter().flat_map(golden).collect(),
        "request" => [payloads("request"), bare("payload")].concat(),
        "reply" => [payloads("reply"), bare("content")].concat(),
        "peer" => peers(),
        "value" => rows(),
        "key" => golden("key"),
        "text" => texts(&["cabin/sailing/C14,int:7", "420.00", "2026-07-14T18:30:00Z", "bytes:00ff", "-1"]),
        "map" => vec![MAP.to_vec()],
        "token" => vec![TOKEN.to_string().into_bytes()],
        other => panic!("{other} has no seeds"),
    }
}

/// Two ranges: from hash 0, shard 1, and from the middle, shard 2.
const MAP: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];

const TOKEN: Token = Token { lineage_tag: 7, shard: ShardId(3), position: Position::new(2, 300) };

#[test]
fn every_door_takes_whatever_comes() {
    for (name, door) in DOORS {
        mutate(&seeds(name), *door);
    }
}

/// Otherwise the seeds would stay in front of the doors.
#[test]
fn the_seeds_are_what_the_doors_decode() {
    assert!(seeds("value").iter().all(|bytes| Row::decode(bytes).is_ok()));
    assert!(seeds("key").iter().all(|bytes| Key::from_bytes(bytes).is_ok()));
    for (door, least) in [("request", 16), ("reply", 8), ("peer", 10)] {
        let operations: BTreeSet<u8> = seeds(door).iter().map(|bytes| bytes[0]).collect();
        assert!(operations.len() >= least, "{door}s of {operations:?}");
    }
}
