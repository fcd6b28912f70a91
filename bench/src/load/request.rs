//! The bytes of requests: one template, in which key and value are patched in place.
//!
//! `ClientSession::commit` builds, encodes and decodes each commit to check it. Here the template is checked once by
//! that very check; after that a request is a few stores, a copy into the output and the frame's two checksums. So a
//! frame is written with `frame::write`, and sessions serve for HELLO and for reading replies.

use seawall::frame::{self, FrameMeta, Kind};
use seawall::map::{Generation, ShardId};
use seawall::message::{Commit, GetRequest, Opcode};
use seawall::{Key, row};

use super::options::{Options, Workload};
use super::random::Random;

/// Row `n` lives in partition `n % PARTITIONS`: enough of them to reach every shard of a node.
pub const PARTITIONS: usize = 256;

const TABLE: &str = "bench";
const FIELD: &str = "v";
/// What stands in the template where a partition's and a row's digits go.
const PARTITION_MARK: &str = "ppp";
const ROW_MARK: &str = "rrrrrrrr";

/// Writes requests, each for a row chosen by chance.
#[derive(Debug)]
pub struct Requests {
    opcode: Opcode,
    payload: Vec<u8>,
    partition_at: usize,
    row_at: usize,
    /// Where a put counts up, so that no two values are the same; `None` if there is no room.
    count_at: Option<usize>,
    count: u64,
    keys: usize,
    random: Random,
}

impl Requests {
    /// Each stream draws other rows.
    pub fn new(options: &Options, stream: u64) -> Requests {
        let mut random = Random::stream(stream);
        let (partition, row) = (Key::from(PARTITION_MARK), row(TABLE, ROW_MARK));
        let mut payload = Vec::new();
        let (opcode, checked) = match options.workload {
            Workload::Put => {
                let value: Vec<u8> = (0..options.value_bytes).map(|_| random.next() as u8).collect();
                let commit = Commit::new(partition).put(&row, [(FIELD, value)]);
                commit.encode(&mut payload);
                (Opcode::Commit, commit.validate())
            }
            Workload::Get => {
                let get = GetRequest::new(&partition, &row);
                get.encode(&mut payload);
                (Opcode::Get, get.check())
            }
        };
        checked.expect("the options keep a value below the limit of a row");
        let find = |mark: &str| payload.windows(mark.len()).position(|bytes| bytes == mark.as_bytes());
        let partition_at = find(PARTITION_MARK).expect("the partition stands in every request");
        let row_at = find(ROW_MARK).expect("the row key stands in every request, before any value");
        let counts = options.workload == Workload::Put && options.value_bytes >= 8;
        let count_at = counts.then(|| payload.len() - 8);
        Requests { opcode, payload, partition_at, row_at, count_at, count: 0, keys: options.keys, random }
    }

    /// Appends one request.
    pub fn write(&mut self, out: &mut Vec<u8>, correlation: u64, generation: Generation) {
        let key = self.random.below(self.keys);
        digits(&mut self.payload[self.partition_at..][..PARTITION_MARK.len()], key % PARTITIONS);
        digits(&mut self.payload[self.row_at..][..ROW_MARK.len()], key);
        if let Some(at) = self.count_at {
            self.count += 1;
            self.payload[at..at + 8].copy_from_slice(&self.count.to_le_bytes());
        }
        let meta = FrameMeta {
            kind: Kind::Request,
            opcode: self.opcode as u16,
            correlation,
            generation,
            shard: ShardId::ANY,
            ..FrameMeta::default()
        };
        frame::write(out, &meta, |out| out.extend_from_slice(&self.payload));
    }
}

/// Writes `number` in decimal, with leading zeros.
fn digits(place: &mut [u8], mut number: usize) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use seawall::frame::{Decoder, Step};
    use seawall::message::term::RowAt;
    use seawall::message::{Op, Request};
    use seawall::row::Row;
    use seawall::value::Value;

    use super::*;

    fn options(workload: Workload, value_bytes: usize, keys: usize) -> Options {
        let connect = String::new();
        let (seconds, warmup) = (Duration::ZERO, Duration::ZERO);
        let (connections, pipeline, threads, json) = (1, 1, 1, false);
        Options {
            connect,
            workload,
            connections,
            pipeline,
            threads,
            seconds,
            warmup,
            value_bytes,
            keys,
            json,
        }
    }

    fn frame(bytes: &[u8]) -> frame::Frame<'_> {
        match Decoder::new(1 << 20).next(bytes) {
            Ok(Step::Frame(frame, used)) if used == bytes.len() => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn puts_are_what_a_node_reads_and_cover_rows_and_partitions() {
        let mut requests = Requests::new(&options(Workload::Put, 128, 600), 0);
        let (mut rows, mut partitions, mut values) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for n in 0..20_000 {
            let mut out = Vec::new();
            requests.write(&mut out, n, Generation(7));
            let frame = frame(&out);
            assert_eq!((frame.header.correlation, frame.header.generation), (n, 7));
            let Ok(Request::Commit(commit)) = Request::decode(&frame) else { panic!("no commit") };
            let ops: Vec<Op<'_>> = commit.ops.iter().collect();
            let [Op::Put { at: RowAt { table: TABLE, key: row_key }, row, ttl: None }] = ops[..] else {
                panic!("{ops:?}")
            };
            match Row::decode(row).unwrap().get(FIELD) {
                Some(Value::Bytes(value)) if value.len() == 128 => values.insert(value.clone()),
                other => panic!("{other:?}"),
            };
            rows.insert((commit.partition.to_vec(), row_key.to_vec()));
            partitions.insert(commit.partition.to_vec());
        }
        assert_eq!((rows.len(), partitions.len(), values.len()), (600, PARTITIONS, 20_000));
    }

    #[test]
    fn gets_ask_for_the_rows_that_puts_write() {
        let rows = |workload| {
            let mut requests = Requests::new(&options(workload, 0, 40), 3);
            let mut rows = BTreeSet::new();
            for _ in 0..2000 {
                let mut out = Vec::new();
                requests.write(&mut out, 1, Generation::ANY);
                rows.insert(match Request::decode(&frame(&out)).unwrap() {
                    Request::Get(get) => (get.partition.to_vec(), get.at.key.to_vec()),
                    Request::Commit(commit) => {
                        let (at, _) = commit.ops.iter().next().unwrap().touches().unwrap();
                        (commit.partition.to_vec(), at.key.to_vec())
                    }
                    other => unreachable!("{other:?}"),
                });
            }
            rows
        };
        assert_eq!(rows(Workload::Get), rows(Workload::Put));
    }
}
