//! A fixed amount of work for `scripts/instructions`, which counts what it executes under callgrind. What is counted
//! is what runs inside of [`counted`].
//!
//! ```text
//! instructions CASE       one of CASES
//! ```
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "the case comes from the command line")]

mod support;

use std::hint::black_box;

use seawall::Key;
use support::rows::{PIPELINE, Rows, pipelines};
use support::world::{World, count_committed, count_found};

const CASES: [&str; 4] = ["commit", "commit-keyed", "commit-session", "get"];
const ROWS: u64 = 20_000;
/// Divides what was counted.
const REQUESTS: u64 = 4096;

fn main() {
    let case = std::env::args().skip(1).find(|arg| !arg.starts_with('-')); // cargo bench says --bench
    for case in case.as_deref().map_or(CASES.to_vec(), |case| vec![case]) {
        run(case);
        println!("{case}: {REQUESTS} requests");
    }
}

fn run(case: &str) {
    let rows = Rows { rows: ROWS, partitions: 100 };
    let mut world = World::new();
    let puts = pipelines(ROWS, |client, bytes, n| {
        client.commit(bytes, &rows.put(rows.scattered(n)), 0).expect("a good commit");
    });
    puts.iter().for_each(|pipeline| world.send(pipeline));
    let requests = pipelines(REQUESTS, |client, bytes, nth| {
        let n = rows.scattered(nth * 7);
        let commit = || if nth % 2 == 0 { rows.merge(n) } else { rows.add(n) };
        let asked = match case {
            "commit" => client.commit(bytes, &commit(), 0),
            "commit-keyed" => client.commit(bytes, &commit().key(nth.to_le_bytes()).first_sent(1), 0),
            // In each partition a commit comes long after the one before, so its session forgets about one outcome each.
            "commit-session" => client.commit(bytes, &commit().session_key([7; 16], nth * 4 + 1, 1), 0),
            "get" => client.get(bytes, &Key::from(rows.partition(n)), &rows.row(n), 0),
            _ => panic!("{case} is none of {CASES:?}"),
        };
        asked.expect("a good request");
    });
    counted(&mut world, &requests);
    let good = if case == "get" { count_found } else { count_committed };
    assert_eq!(good(&world.replies), PIPELINE);
}

/// Its name is what the script tells callgrind.
#[inline(never)]
fn counted(world: &mut World, requests: &[Vec<u8>]) {
    for pipeline in requests {
        black_box(&mut *world).send(pipeline);
    }
}
