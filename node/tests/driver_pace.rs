//! A slot that is filled keeps out of the way of the log's own writes, with both drivers on a real disk.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

#[macro_use]
mod driver_support;

use std::time::Instant;

use driver_support::{Bench, Scratch};
use seawall::map::ShardId;
use seawall_node::driver::choice::Kind;
use seawall_node::driver::directory::Directory;
use seawall_node::driver::either::DriverConfig;
use seawall_node::driver::probe::Durable;
use seawall_node::params::{PACE_BYTES_PER_SECOND, PACE_CREDIT_BYTES, ZERO_FILL_BYTES, ZERO_FILL_FACTOR};
use seawall_node::seam::{Effect, Event};
use seawall_wal::{BLOCK, Buffer, Done, FileId, Io, IoId, LogLimits, SlotId};

const SHARD: ShardId = ShardId(1);
const SLOT_BYTES: u64 = 8 << 20;
const PREPARE: IoId = IoId(1_000_000);

for_both_drivers! {
    beside_writes_a_slot_is_filled_hardly_faster_than_the_log_grows,
}

struct Log {
    bench: Bench,
    _directory: Directory,
}

impl Log {
    fn open(kind: Kind, scratch: &Scratch) -> Self {
        let directory = Directory::open(&scratch.path().join("data"), None, 1).unwrap();
        let mut bench = Bench::new(DriverConfig::new(kind, 1, Durable::Dsync, true));
        let files = directory.shard(SHARD).unwrap();
        bench.driver.open_logs(vec![(files, LogLimits::test_min().buffers())]).unwrap();
        Self { bench, _directory: directory }
    }

    fn prepare(slot: u32) -> Io {
        Io::Prepare { id: PREPARE, slot: SlotId(slot), bytes: SLOT_BYTES }
    }

    fn begin(&mut self, io: Io) {
        self.bench.execute(Effect::Disk { shard: SHARD, io });
    }

    fn write(&mut self, nth: u64, buf: Buffer) {
        let offset = nth * BLOCK as u64 % SLOT_BYTES;
        let file = FileId::Slot(SlotId(0));
        self.begin(Io::Write { id: IoId(nth), file, offset, buf, at: 0, len: BLOCK });
    }

    fn ended(&mut self) -> Done {
        let Event::Disk { done, .. } = self.bench.next() else { panic!("an operation of the log") };
        assert!(done.result.is_ok(), "{done:?}");
        done
    }
}

/// An upper bound only: a slow disk may fill it as slowly as it likes.
fn beside_writes_a_slot_is_filled_hardly_faster_than_the_log_grows(kind: Kind) {
    let scratch = Scratch::new(&format!("pace-{kind:?}"));
    let mut log = Log::open(kind, &scratch);
    // The first two slots of a size are needed soon.
    for slot in 0..2 {
        let done = log.bench.run(SHARD, Log::prepare(slot));
        assert_eq!(done.result, Ok(SLOT_BYTES as usize));
    }
    let (mut written, mut buf) = (0, Some(Buffer::new(9, BLOCK)));
    // One write before, and from then on always one under way.
    log.write(0, buf.take().unwrap());
    buf = log.ended().buf;
    let begin = Instant::now();
    log.write(1, buf.take().unwrap());
    log.begin(Log::prepare(2));
    loop {
        let done = log.ended();
        if done.id == PREPARE {
            break;
        }
        written += 1;
        log.write(written + 1, done.buf.unwrap());
    }
    let by_itself = PACE_BYTES_PER_SECOND as f64 * begin.elapsed().as_secs_f64();
    let for_writes = ZERO_FILL_FACTOR * (written + 2) * BLOCK as u64;
    let allowed = by_itself as u64 + for_writes + PACE_CREDIT_BYTES + ZERO_FILL_BYTES as u64;
    assert!(SLOT_BYTES <= allowed, "filled beside {written} writes within {:?}", begin.elapsed());
    log.ended();
    assert!(log.bench.driver.finish());
}
