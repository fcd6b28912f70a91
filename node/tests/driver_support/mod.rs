//! A driver without a worker: effects go in by hand, events come out.
#![allow(dead_code, unused_macros, reason = "each test file uses its part")]

pub mod seccomp;

use std::path::{Path, PathBuf};

use seawall::map::ShardId;
use seawall_node::driver::either::{Driver, DriverConfig};
use seawall_node::seam::{Effect, Event};
use seawall_wal::{Done, Io};

/// Runs each of these tests once for each driver: both keep one contract.
macro_rules! for_both_drivers {
    ($($test:ident),* $(,)?) => {
        mod ring {
            $(#[test] fn $test() { super::$test(seawall_node::driver::choice::Kind::Ring) })*
        }
        mod syscall {
            $(#[test] fn $test() { super::$test(seawall_node::driver::choice::Kind::Syscall) })*
        }
    };
}

/// A directory under the build's own, removed with this value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _left_by_a_killed_run = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

/// A driver and what it reported so far.
pub struct Bench {
    pub driver: Driver,
    events: Vec<Event>,
}

impl Bench {
    /// With a tick, so that waiting ends even when nothing happens.
    pub fn new(config: DriverConfig) -> Self {
        Self::of(Driver::new(config).expect("io_uring is needed by the tests of the ring"))
    }

    pub fn of(mut driver: Driver) -> Self {
        driver.start_ticking();
        Self { driver, events: Vec::new() }
    }

    pub fn execute(&mut self, effect: Effect) {
        assert!(self.driver.execute(effect).is_none(), "an effect for a driver");
    }

    /// A log operation, and how it ended.
    pub fn run(&mut self, shard: ShardId, io: Io) -> Done {
        let id = io.id();
        self.execute(Effect::Disk { shard, io });
        match self.next() {
            Event::Disk { shard: of, done } if of == shard && done.id == id => done,
            other => panic!("not the end of {id:?}: {other:?}"),
        }
    }

    /// The next event that is no tick.
    pub fn next(&mut self) -> Event {
        self.next_within(100).expect("an event within ten seconds")
    }

    /// `None` when `ticks` pass with nothing else.
    pub fn next_within(&mut self, ticks: u32) -> Option<Event> {
        let mut passed = 0;
        loop {
            while !self.events.is_empty() {
                match self.events.remove(0) {
                    Event::Tick => passed += 1,
                    other => return Some(other),
                }
            }
            if passed >= ticks {
                return None;
            }
            self.driver.wait();
            self.driver.reap(&mut self.events);
        }
    }
}
