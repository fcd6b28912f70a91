//! A log on its driver, without a node: what it reports durable is what the next start finds.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the room with the I/O")]

mod driver_support;

use driver_support::Scratch;
use seawall_node::driver::choice::Kind as Driver;
use seawall_node::driver::engine::{Engine, EngineConfig, EngineError};
use seawall_node::driver::probe;
use seawall_wal::{BLOCK, Entry, Index, Kind, LogLimits, Space};

/// Segments of a few batches, so that the log rolls and prepares as well.
fn config(scratch: &Scratch, driver: Driver) -> EngineConfig {
    let probe = probe::probe(scratch.path(), None).unwrap();
    EngineConfig { limits: LogLimits::test_min(), driver, probe, slots: 64 }
}

fn append(engine: &mut Engine, value: &[u8]) -> Index {
    let entry = Entry { space: Space(1), key: b"key", value: Some(value) };
    loop {
        engine.pump(0);
        if let Ok(index) = engine.log().append(Kind::Data, 0, std::iter::once(entry)) {
            return index;
        }
        engine.wait().unwrap();
    }
}

fn settle(engine: &mut Engine) {
    engine.pump(0);
    while engine.log().outstanding() {
        engine.wait().unwrap();
        engine.pump(0);
    }
}

#[test]
fn what_was_durable_is_found_again() {
    for driver in [Driver::Ring, Driver::Syscall] {
        durable_is_found(driver);
    }
}

fn durable_is_found(driver: Driver) {
    let scratch = Scratch::new("engine");
    let mut engine = Engine::open(scratch.path(), &config(&scratch, driver)).unwrap();
    assert_eq!(engine.recovered().report.records, 0);
    for n in 0..40u8 {
        append(&mut engine, &[n; BLOCK]);
    }
    settle(&mut engine);
    assert_eq!(engine.log().durable(), Index(40));
    let stats = engine.log().stats();
    assert!(stats.rolls > 1 && engine.prepares() > stats.rolls, "{stats:?}");
    assert!(engine.enters() > stats.batches);
    engine.close().unwrap();

    let mut engine = Engine::open(scratch.path(), &config(&scratch, driver)).unwrap();
    let report = &engine.recovered().report;
    assert_eq!((report.records, report.last, report.batches), (40, Index(40), stats.batches));
    assert_eq!(append(&mut engine, b"and on it goes"), Index(41));
    engine.close().unwrap();
}

#[test]
fn a_directory_that_another_has_open_is_refused() {
    let (scratch, driver) = (Scratch::new("engine-twice"), Driver::Ring);
    let engine = Engine::open(scratch.path(), &config(&scratch, driver)).unwrap();
    match Engine::open(scratch.path(), &config(&scratch, driver)) {
        Err(EngineError::Directory(why)) => assert!(!why.way_out.is_empty(), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two logs in one directory"),
    }
    engine.close().unwrap();
}
