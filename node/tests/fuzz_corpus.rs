//! The fuzzer's doors, with bytes made from the examples of the documents: no decoder panics, whatever it reads, and what
//! is read and written again means the same.
#![allow(clippy::print_stdout, reason = "what broke a door is shown")]

use seawall::Token;
use seawall::map::{Generation, Map, ShardId};
use seawall::position::{Lineage, Position};
use seawall_node::authority::document;
use seawall_node::driver::superblock::Superblock;
use seawall_node::fuzz::{DOORS, Door};
use serde_json::{Value as Json, json};

const RUNS: usize = 2_000;

/// Pieces that mean something to one of the decoders, or are just beyond what one can hold.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "=",
    "/",
    ".",
    "@",
    "%",
    "%2F",
    "%00",
    "%ff",
    "&",
    "?",
    "-",
    "0",
    "\n",
    "null",
    "true",
    "1e999",
    "9007199254740993",
    "-170141183460469231731687303715884105728",
    "18446744073709551616",
    "{\"b64\":\"AP8=\"}",
    "{\"int\":\"9\"}",
    "{\"decimal\":\"-0.00\"}",
    "{\"time\":\"9999-12-31T23:59:59.999999Z\"}",
    "{\"set\":[\"a\",\"a\"]}",
    "bytes:",
    "session:",
    "int:",
    "time:",
    "b64:",
    ",min=",
    ",max=",
    "\\u0000",
    "ü",
    "\u{10ffff}",
    "[[a]]",
    "a.b.c",
    "0x",
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    /// A part of `bytes`, a short one more often than a long one.
    fn part(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let from = self.below(bytes.len());
        let most = if self.below(4) == 0 { bytes.len() } else { 12 };
        from..(from + self.below(most)).min(bytes.len())
    }
}

/// Says what broke a door.
struct Input<'a>(&'a str, &'a [u8]);

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} does not take {}", self.0, self.1.escape_ascii());
        }
    }
}

fn knock(name: &str, door: Door, bytes: &[u8]) {
    let _says = Input(name, bytes);
    door(bytes);
}

/// Longer ones take long and say nothing new.
const LONGEST: usize = 20_000;

/// Pieces put in, parts cut out, doubled and brought from another seed, letters changed.
fn mutate(name: &str, door: Door) {
    let seeds = seeds(name);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for seed in &seeds {
        knock(name, door, seed);
        for _ in 0..RUNS {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(4) {
                let part = random.part(&bytes);
                let other = &seeds[random.below(seeds.len())];
                let brought = match random.below(8) {
                    0 => Vec::new(),
                    1 => bytes[part.clone()].repeat(2),
                    2 => bytes[part.clone()].repeat(70),
                    3 => other[random.part(other)].to_vec(),
                    4 => vec![random.next() as u8],
                    _ => PIECES[random.below(PIECES.len())].as_bytes().to_vec(),
                };
                bytes.splice(part, brought);
            }
            bytes.truncate(LONGEST);
            knock(name, door, &bytes);
        }
    }
}

/// The blocks of a document in this language, and each line of them that stands for itself.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let opened = format!("```{language}\n");
    let found: Vec<String> = document
        .split(&opened)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect();
    assert!(!found.is_empty(), "no block of {language}");
    found
}

const JSON_PAGE: &str = include_str!("../../docs/json.md");
const REPLICATION_PAGE: &str = include_str!("../../docs/replication.md");
const OPERATIONS_PAGE: &str = include_str!("../../docs/operations.md");

/// The documented commit, and one around each documented check and operation.
fn commits() -> Vec<Vec<u8>> {
    let blocks = blocks(JSON_PAGE, "json");
    let lines = blocks.iter().flat_map(|block| block.lines());
    let parts: Vec<Json> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let around = |part: &Json| match (part.get("check"), part.get("op")) {
        (Some(_), _) => {
            let operations = json!([{ "op": "event", "topic": "t", "payload": { "b64": "AP8=" } }]);
            Some(
                json!({ "partition": "p,int:7", "return_rows": true, "checks": [part], "operations": operations }),
            )
        }
        (_, Some(_)) => {
            let first_sent = "2026-07-14T18:30:00Z";
            Some(
                json!({ "partition": "p", "key": "k", "first_sent": first_sent, "durable_on": 2, "operations": [part] }),
            )
        }
        _ => None,
    };
    let mut found: Vec<Vec<u8>> =
        parts.iter().filter_map(around).map(|document| document.to_string().into_bytes()).collect();
    assert!(found.len() >= 18, "only {} checks and operations", found.len());
    found.push(blocks[0].clone().into_bytes());
    found
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn declarations() -> Vec<Vec<u8>> {
    let tables = blocks(JSON_PAGE, "toml");
    tables.into_iter().map(String::into_bytes).collect()
}

fn seeds(door: &str) -> Vec<Vec<u8>> {
    let as_json = |toml: Vec<u8>| {
        let document: Json =
            toml::from_str(str::from_utf8(&toml).unwrap()).expect("a documented declaration");
        document.to_string().into_bytes()
    };
    match door {
        "commit" => commits(),
        "declaration_file" => declarations(),
        "declaration" => declarations().into_iter().map(as_json).collect(),
        "row_path" => texts(&[
            "cabin/sailing/C14,int:7",
            &format!("cabin/HP%2026/C14?token={TOKEN}"),
            "cabin/time:2026-07-14T18:30:00Z/bytes:00ff?max_staleness_ms=50",
        ]),
        "query" => texts(&[
            "shard=2",
            "partition=HP-2026-07-14&key=hold%2FBK-88421",
            "partition=p,int:7&key=%00%ff&first_sent=2026-07-14T18:30:00Z",
        ]),
        "typed" => typed_words(),
        "config" => {
            let documented = blocks(OPERATIONS_PAGE, "toml").into_iter().map(String::into_bytes);
            documented
                .chain([include_bytes!("../../packaging/seawall.toml").to_vec()])
                .chain(texts(CONFIGS))
                .collect()
        }
        "superblock" => {
            let block =
                Superblock { lineage: Lineage(*b"0123456789abcdef"), shards: 3, member: 0, made_us: 1 };
            vec![block.encode()[..256].to_vec()]
        }
        "mark" => texts(&["{\"epoch\":3,\"index\":41}\n", "{\"epoch\":1,\"index\":2061,\"backup\":true}\n"]),
        "map" => {
            let documented = blocks(REPLICATION_PAGE, "json").into_iter().map(String::into_bytes);
            let even = document::Document { lineage: Lineage([3; 16]), map: Map::even(Generation(3), 2) };
            documented.chain([document::write(&even).into_bytes()]).collect()
        }
        other => panic!("{other} has no seeds"),
    }
}

const TOKEN: Token = Token { lineage_tag: 7, shard: ShardId(3), position: Position::new(2, 300) };

const CONFIGS: &[&str] = &[
    "workers = 0x2\ndriver = 'ring'\ndurable = \"auto\"\nreceive = \"multishot\"\nhuge_pages = \"off\"\n",
    "[log]\nspares = 1_0\n[admin]\nbody_bytes = 1_024\nask_ms = 100\nlisten = \"[::1]:0\"\n",
];

fn typed_words() -> Vec<Vec<u8>> {
    texts(&[
        "name:text=007",
        "price:decimal=420.00",
        "raw:bytes=b64:AP8=",
        "tags:set=b,a",
        "born:time=2026-07-14T18:30:00.000001Z",
        "cabin/C%2E14,int:7.state",
        "cabin/sailing/C14",
        "cabin/C14=3:142",
        "cabin/C14.state:text=held",
        "total/held.count=-1,min=@total/C,min.floor,max=4.50",
        "cabin/C14.price:decimal\n<=\n420.00",
        "cabin/C14.state\nin\nfree,held",
        "cabin/C14.until\n>\n@now",
        "cabin/C14.n\n!=\n@total/held.limit",
        "cabin-held=C14",
        "bytes:00ff",
        "session:000102030405060708090a0b0c0d0e0f:7",
        "24h",
        "AP8=",
        "time:2026-07-14T18:30:00Z,bytes:00ff,int:-7",
    ])
}

#[test]
fn every_door_takes_whatever_comes() {
    for (name, door) in DOORS {
        mutate(name, *door);
    }
}

/// What no mutation of an example comes to: as deep as the file may be long.
#[test]
fn depth_is_no_danger() {
    for (opened, closed) in
        [("a.", "a = 1"), ("[", ""), ("{\"a\":", ""), ("a = [", ""), ("a = {", ""), ("a = {a.", "a = 1")]
    {
        for depth in [100, 10_000, 500_000] {
            let text = opened.repeat(depth) + closed;
            DOORS
                .iter()
                .for_each(|(name, door)| knock(name, *door, &text.as_bytes()[..text.len().min(1 << 20)]));
        }
    }
    let in_lists = "[".repeat(5_000) + &"]".repeat(5_000);
    DOORS.iter().for_each(|(name, door)| knock(name, *door, in_lists.as_bytes()));
    let header = format!("[{}a]\nb = 1\n", "a.".repeat(200_000));
    DOORS.iter().for_each(|(name, door)| knock(name, *door, header.as_bytes()));
}

/// A time of zero is a time, and not the absence of one.
#[test]
fn the_first_moment_is_kept() {
    let document = json!({ "partition": "p", "key": "k", "first_sent": 0, "operations": [{ "op": "event", "topic": "t", "payload": "" }] });
    knock("commit", seawall_node::fuzz::commit, document.to_string().as_bytes());
}
