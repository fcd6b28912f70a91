//! Small runs on the disk under the target directory: nothing here depends on how long something takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::about::About;

/// A directory of its own, removed with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("seawall-bench-{name}-{}", std::process::id());
        // Where the test's binary lies, the build has its disk.
        let binary = std::env::current_exe().expect("a test has a binary");
        let path = binary.parent().expect("in a folder").join(name);
        let _left_by_a_killed_run = fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}

/// Segments so small that a few batches fill one.
fn options(dir: &Path, batch: usize, depth: usize) -> Options {
    Options {
        dir: dir.to_owned(),
        batch: vec![batch],
        seconds: Duration::from_secs(60),
        driver: Driver::Ring,
        durable: Durable::Auto,
        depth,
        segment: 4,
        pool: 256,
        recover: true,
        json: true,
    }
}

fn started(options: &Options) -> Run<'_> {
    fs::create_dir_all(&options.dir).unwrap();
    Run { options, probe: probe::probe(&options.dir, options.durable.wanted()).unwrap() }
}

#[test]
fn every_batch_has_the_size_that_was_asked_for_and_is_counted_once() {
    let runs = [(Driver::Ring, 4096, 1), (Driver::Ring, 262_144, 2), (Driver::Syscall, 16_384, 2)];
    for (driver, batch, depth) in runs {
        let scratch = Scratch::new("writer");
        let path = scratch.0.join("log");
        let options = Options { driver, ..options(&scratch.0, batch, depth) };
        let limits = limits(&options, batch);
        let (mut engine, until) = prepared(&started(&options), &path, &limits, 9, options.seconds).unwrap();
        assert_eq!(until.rolls, 3, "what is prepared, less what the log keeps ready, less three");
        // The prepared segments bound the window, and the time does not.
        let tally = Writer::new(batch, depth).run(&mut engine, until).unwrap();
        let counts = tally.counts;
        assert_eq!((counts.rolls, counts.prepares), (3, 0), "rolled within the window, prepared before it");
        assert_eq!(counts.batch_bytes, counts.batches * batch as u64, "whole batches only");
        assert!(tally.commits > 0 && counts.batches - tally.commits <= depth as u64, "{tally:?}");
        assert_eq!(tally.latencies.len(), tally.commits);
        let durable = engine.log().durable().0;
        assert_eq!(durable % writer::records_in(batch), 0);
        let recovery = recover(&started(&options), &path, &limits, engine).unwrap();
        assert_eq!(recovery.records, durable);
        assert!(recovery.bytes >= durable * writer::RECORD as u64 && recovery.us > 0, "{recovery:?}");
    }
}

#[test]
fn the_depth_is_kept() {
    let scratch = Scratch::new("depth");
    let (options, path) = (options(&scratch.0, 4096, 2), scratch.0.join("log"));
    let limits = limits(&options, 4096);
    let (mut engine, _) = prepared(&started(&options), &path, &limits, 8, options.seconds).unwrap();
    let mut writer = Writer::new(4096, 2);
    // The segment's header goes first, and alone.
    while writer.under_way() == 0 {
        while writer.hand_over(&mut engine) {}
        if writer.under_way() == 0 {
            engine.wait().unwrap();
        }
    }
    assert_eq!(writer.under_way(), 2, "a second batch flies, and a third waits in the open batch");
    assert_eq!(engine.log().appended().0, 3 * writer::records_in(4096));
    engine.close().unwrap();
}

#[test]
fn a_commit_counts_when_the_log_calls_it_durable_and_not_before() {
    let scratch = Scratch::new("landed");
    let path = scratch.0.join("log");
    // The write and its flush end one after the other, and each of them ends a sleep.
    let options = Options { durable: Durable::Link, ..options(&scratch.0, 4096, 2) };
    let (mut engine, until) =
        prepared(&started(&options), &path, &limits(&options, 4096), 8, options.seconds).unwrap();
    let mut writer = Writer::new(4096, 2);
    let mut tally = writer.run(&mut engine, Until { time: Duration::ZERO, ..until }).unwrap();
    while tally.commits < 50 {
        while writer.hand_over(&mut engine) {}
        engine.wait().unwrap();
        writer.landed(&mut engine, &mut tally);
        assert_eq!(tally.commits * writer::records_in(4096), engine.log().durable().0);
    }
    engine.close().unwrap();
}

#[test]
fn a_run_reports_each_batch_size_and_leaves_nothing() {
    let scratch = Scratch::new("run");
    let mut options = options(&scratch.0, 65_536, 1);
    options.seconds = Duration::from_millis(50);
    let about = About { kernel: "6.1".to_owned(), commit: "abc".to_owned() };
    let mut objects = Vec::new();
    run(&options, |outcome| {
        objects.push(report::json(&options, outcome, &about));
        assert!(!report::row(outcome).is_empty());
    })
    .unwrap();
    let [object] = &objects[..] else { panic!("{objects:?}") };
    let names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "mode commit_is batch_bytes records_per_commit record_bytes depth seconds pool_used_up commits \
                    commits_per_s records_per_s mb_per_s p50_us p99_us p999_us max_us batches \
                    batch_bytes_written device_per_byte rolls prepares enters enters_per_commit cpu_us_per_commit \
                    workqueue_per_commit workqueue_not_counted recovery_mb_per_s recovery_records_per_s driver \
                    durable_primitive direct_io kernel commit";
    assert_eq!(names.join(" "), expected);
    assert!(object["commits"].as_u64().unwrap() > 0);
    assert!(object["workqueue_per_commit"].is_null() != object["workqueue_not_counted"].is_null());
    let device = object["device_per_byte"].as_f64();
    assert!(device.is_none_or(|bytes| bytes > 0.0), "what is durable was written: {object}");
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

#[test]
fn a_directory_with_something_in_it_is_refused_and_not_touched() {
    let scratch = Scratch::new("foreign");
    fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("precious");
    fs::write(&file, "data").unwrap();
    let Stopped(why) = run(&options(&scratch.0, 4096, 1), |_| panic!("nothing is measured")).unwrap_err();
    assert!(why.contains("--dir"), "{why}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "data");
}
