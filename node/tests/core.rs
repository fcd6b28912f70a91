//! The core, event by event: each test is an execution that a rule prevents.

mod support;

use seawall::message::HelloRequest;
use seawall::refusal::{Code, Outcome};
use seawall::session::ClientSession;
use seawall::{Commit, Row, RowRef, row};
use seawall_node::params::{
    CONNECTION_INPUT, CONNECTION_REQUESTS, FENCE_IDLE_US, FRAME_US, IDLE_US, PREPARE_RETRY_US, STALL_US,
    STRANGERS,
};
use seawall_node::seam::{ConnId, Event, SocketError, WorkerId};
use seawall_wal::{Io, IoStep};
use support::{Bench, CONN, Got};

const PARTITION: &str = "HP-2026-07-14";

fn cabin() -> RowRef {
    row("cabin", "C14")
}

fn put(state: &str) -> Commit {
    Commit::new(PARTITION).put(&cabin(), [("state", state)])
}

fn holding(state: &str) -> Row {
    [("state", state)].into_iter().collect()
}

#[test]
fn a_commit_is_answered_when_it_is_durable_and_not_before() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    assert_eq!(bench.replies(), []);
    bench.settle();
    assert_eq!(bench.replies(), [Got::Committed(1, 2)]);
    bench.get(PARTITION, &cabin());
    assert_eq!(bench.replies(), [Got::Row((1, 2), Some(((1, 2), holding("held"))))]);
}

/// R20. The reader would tell somebody that the cabin is held; then the power fails, and it never was.
#[test]
fn a_read_of_an_uncommitted_row_waits_for_it() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.get(PARTITION, &cabin());
    assert_eq!(bench.replies(), [], "the row is not committed");
    bench.settle();
    assert_eq!(bench.replies(), [Got::Committed(1, 2), Got::Row((1, 2), Some(((1, 2), holding("held"))))]);
}

/// R20, for absence: the reader would be told that the row is gone, while a crash can still bring it back.
#[test]
fn a_read_of_a_deleted_row_waits_for_the_deletion() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.settle();
    bench.replies();
    bench.commit(&Commit::new(PARTITION).delete(&cabin()));
    bench.get(PARTITION, &cabin());
    assert_eq!(bench.replies(), [], "the deletion is not committed");
    bench.settle();
    assert_eq!(bench.replies(), [Got::Committed(1, 3), Got::Row((1, 3), None)]);
    bench.get(PARTITION, &cabin());
    assert_eq!(bench.replies(), [Got::Row((1, 3), None)], "once committed, it leaves at once");
}

/// R20. What a read did not look at does not delay it, and its position is never the speculative tip.
#[test]
fn a_read_of_another_row_does_not_wait() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.get(PARTITION, &row("cabin", "C15"));
    assert_eq!(bench.replies(), [Got::Row((1, 1), None)]);
}

/// A read in the middle waits for its batch, not for the newest one.
#[test]
fn a_read_waits_for_the_batch_that_it_saw_and_no_longer() {
    let mut bench = Bench::serving();
    bench.commit(&put("held")); // sealed at once: nothing was in flight
    bench.commit(&Commit::new(PARTITION).put(&row("cabin", "C15"), [("state", "free")])); // the open batch
    bench.get(PARTITION, &cabin());
    bench.execute(0, None);
    let first = [Got::Committed(1, 2), Got::Row((1, 2), Some(((1, 2), holding("held"))))];
    assert_eq!(bench.replies(), first);
    bench.settle();
    assert_eq!(bench.replies(), [Got::Committed(1, 3)]);
}

/// R4 and R20. After an error nothing is acknowledged; an appended commit is unknown, a read was refused.
#[test]
fn a_failed_log_acknowledges_nothing_more() {
    for step in [IoStep::Write, IoStep::Flush] {
        let mut bench = Bench::serving();
        bench.commit(&put("held"));
        bench.get(PARTITION, &cabin());
        bench.execute(0, Some(step));
        assert!(bench.log_failed.as_ref().is_some_and(|why| why.contains("slot-000000.seg")));
        let outcomes = |got: Vec<Got>| -> Vec<(Code, Outcome)> {
            let refusal = |got| match got {
                Got::Refused(refusal) => (refusal.code, refusal.outcome),
                other => panic!("{other:?} after an I/O error"),
            };
            got.into_iter().map(refusal).collect()
        };
        let (unknown, none) = ((Code::LogFailed, Outcome::Unknown), (Code::LogFailed, Outcome::None));
        assert_eq!(outcomes(bench.replies()), [unknown, none]);
        bench.commit(&put("again"));
        bench.get(PARTITION, &cabin());
        bench.settle();
        assert_eq!(outcomes(bench.replies()), [none, none]);
    }
}

/// R10: the new epoch's first record must be committed before anything is served.
#[test]
fn nothing_is_served_before_the_epoch_has_begun() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.settle();
    let mut bench = bench.restart();
    bench.replies();
    bench.get(PARTITION, &cabin());
    let Got::Row(position, found) = bench.replies().remove(0) else { panic!("a row") };
    assert_eq!(position, (2, 3), "epoch 2 began with index 3");
    assert_eq!(found, Some(((1, 2), holding("held"))), "the version is the old writer's");
}

#[test]
fn while_recovering_every_request_is_told_to_come_back() {
    let mut bench = Bench::booting(0, 1);
    bench.commit(&put("early"));
    bench.get(PARTITION, &cabin());
    for got in bench.replies() {
        assert!(matches!(got, Got::Refused(r) if r.code == Code::NotReady && r.retry_after_ms > 0));
    }
    bench.settle();
    bench.get(PARTITION, &cabin());
    assert_eq!(bench.replies(), [Got::Row((1, 1), None)], "the early commit was never appended");
}

/// What is under way is finished and answered, then the worker says so.
#[test]
fn a_stop_answers_what_is_under_way() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.step(Event::Stop);
    assert!(!bench.closed && !bench.stopped);
    bench.settle();
    assert_eq!(bench.replies(), [Got::Committed(1, 2)]);
    assert!(bench.closed && bench.stopped);
}

/// An idle log gets one fence, and stays quiet after it.
#[test]
fn an_idle_log_is_fenced_once() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.settle();
    bench.step(Event::Tick);
    assert!(bench.disk.is_empty(), "it has not been idle for long");
    bench.pass(FENCE_IDLE_US);
    bench.step(Event::Tick);
    assert_eq!(bench.disk.len(), 1, "the fence");
    bench.settle();
    for _ in 0..3 {
        bench.pass(FENCE_IDLE_US);
        bench.step(Event::Tick);
    }
    assert!(bench.disk.is_empty());
    bench.replies();
    bench.get(PARTITION, &cabin());
    assert!(matches!(bench.replies()[..], [Got::Row((1, 3), Some(((1, 2), _)))]), "the fence has index 3");
}

/// A full disk refuses with outcome none, and service goes on when space is back.
#[test]
fn a_full_disk_refuses_commits_and_serves_reads() {
    let mut bench = Bench::serving();
    let big = "x".repeat(3000);
    let mut refused = None;
    for _ in 0..40 {
        bench.commit(&put(&big));
        while let Some(n) =
            bench.disk.iter().position(|io| matches!(io, Io::Write { .. } | Io::Prepare { .. }))
        {
            let error = matches!(bench.disk[n], Io::Prepare { .. }).then_some(IoStep::Prepare);
            bench.execute(n, error);
        }
        refused = bench.replies().into_iter().find_map(|got| match got {
            Got::Refused(refusal) => Some(refusal),
            _ => None,
        });
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("the pool runs dry");
    assert_eq!((refused.code, refused.outcome), (Code::DiskFull, Outcome::None));
    bench.get(PARTITION, &cabin());
    assert!(matches!(bench.replies()[..], [Got::Row(_, Some(_))]), "reads go on");
    bench.step(Event::Tick);
    bench.step(Event::Tick);
    bench.settle();
    bench.commit(&put("again"));
    bench.settle();
    assert!(matches!(bench.replies()[..], [Got::Committed(..)]), "the next attempt to make room went well");
}

/// A start needs a segment of its own. If commits could take the last one, a node on a full disk would come up and
/// serve nothing, not even what it has.
#[test]
fn a_node_on_a_full_disk_starts_and_serves_reads() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.settle();
    bench.disk_full = true;
    let big = "x".repeat(3000);
    while bench.no_space.is_none() || !bench.replies().iter().any(|got| matches!(got, Got::Refused(_))) {
        bench.commit(&Commit::new(PARTITION).put(&row("cabin", "C15"), [("state", big.as_str())]));
        bench.settle();
    }
    let mut bench = bench.restart_on_a_full_disk();
    bench.get(PARTITION, &cabin());
    assert!(matches!(bench.replies()[..], [Got::Row(_, Some(((1, 2), _)))]), "what it has is served");
    bench.commit(&put("again"));
    let [Got::Refused(refusal)] = &bench.replies()[..] else { panic!("no room for a commit") };
    assert_eq!((refusal.code, refusal.outcome), (Code::DiskFull, Outcome::None));
    // Once more, with the reserve used up: it cannot begin an epoch, and says why.
    let mut bench = bench.restart_on_a_full_disk();
    bench.get(PARTITION, &cabin());
    assert!(matches!(&bench.replies()[..], [Got::Refused(r)] if r.code == Code::DiskFull));
    bench.disk_full = false;
    bench.pass(PREPARE_RETRY_US);
    bench.step(Event::Tick);
    bench.settle();
    bench.get(PARTITION, &cabin());
    assert!(matches!(bench.replies()[..], [Got::Row(_, Some(((1, 2), _)))]), "space came back");
}

/// A client that asks without end stops itself, and loses nothing.
#[test]
fn a_pipeline_without_end_is_paused_and_resumed() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    let mut asked = 0;
    while bench.is_receiving() {
        bench.get(PARTITION, &cabin()); // waits for the commit
        asked += 1;
        assert!(asked < CONNECTION_REQUESTS + 100, "the node stops reading");
    }
    bench.settle();
    assert!(bench.is_receiving(), "and reads again when replies left");
    assert_eq!(bench.replies().len(), asked + 1);
}

#[test]
fn a_connection_that_breaks_is_closed_and_its_late_replies_are_dropped() {
    let mut bench = Bench::serving();
    bench.commit(&put("held"));
    bench.step(Event::Received { conn: CONN, buf: vec![0; 8192], result: Err(SocketError(104)) });
    assert!(bench.closed);
    bench.settle();
    assert_eq!(bench.replies(), []);
}

#[test]
fn hello_names_the_way_of_writing_that_is_in_force() {
    let mut bench = Bench::serving();
    let answer = |bench: &mut Bench| {
        let mut hello = Vec::new();
        ClientSession::new().hello(&mut hello, &HelloRequest::new("test", ""), 0);
        bench.receive(&hello);
        String::from_utf8_lossy(&std::mem::take(&mut bench.received)).into_owned()
    };
    assert!(!answer(&mut bench).contains("another way"));
    bench.step(Event::DurableBy("another way"));
    assert!(answer(&mut bench).ends_with("another way"));
}

#[test]
fn a_stranger_without_hello_is_refused_and_a_silent_one_closed() {
    let mut bench = Bench::serving();
    let mut garbage = vec![0xa5; 64];
    garbage[..4].copy_from_slice(b"SWL1");
    bench.receive(&garbage);
    assert!(matches!(&bench.replies()[..], [Got::Refused(r)] if r.code == Code::UnsupportedVersion));
    assert!(bench.closed, "bytes that cannot be followed end the connection, after the answer");
}

/// Ten thousand sockets that only lie there would keep everybody else out.
#[test]
fn a_crowd_of_strangers_gives_way_to_who_comes_after() {
    let mut bench = Bench::serving();
    let mut accept = |nth: usize| {
        bench.step(Event::Accepted { conn: ConnId { slot: nth as u32, serial: 7 } });
        bench.step(Event::StatusAsked { ticket: 1 });
        (bench.closed, bench.status.pop().unwrap().connections)
    };
    for nth in 1..=STRANGERS {
        assert_eq!(accept(nth), (false, nth + 1));
    }
    for nth in 1..=100 {
        assert_eq!(accept(STRANGERS + nth), (true, STRANGERS + 1), "the oldest is gone");
    }
}

/// Clients that said HELLO and ask for nothing would keep everybody else out, too.
#[test]
fn in_a_crowd_whoever_asks_for_nothing_gives_way() {
    const PLACES: u32 = 8;
    let crowded = |bench: &mut Bench| {
        for slot in 1..PLACES {
            bench.step(Event::Accepted { conn: ConnId { slot, serial: 7 } });
        }
    };
    let mut bench = Bench::with_places(PLACES);
    bench.tick_after(2 * IDLE_US);
    assert!(!bench.closed, "there is room for others");
    bench.get(PARTITION, &cabin());
    bench.replies();
    crowded(&mut bench);
    assert!(!bench.closed, "it has just asked for something");
    let mut bench = Bench::with_places(PLACES);
    bench.tick_after(2 * IDLE_US);
    crowded(&mut bench);
    assert!(bench.closed);
    let mut bench = Bench::with_places(PLACES);
    bench.commit(&put("held"));
    bench.tick_after(2 * IDLE_US);
    crowded(&mut bench);
    assert!(!bench.closed, "it waits for an answer");
    let mut bench = Bench::with_places(PLACES);
    bench.tick_after(2 * IDLE_US);
    bench.receive(b"SWL1");
    crowded(&mut bench);
    assert!(!bench.closed, "it has just begun with a request");
}

/// A frame that comes byte by byte would keep its place for ever, and its buffer, which is no larger than what came.
#[test]
fn a_frame_that_does_not_arrive_ends_its_connection() {
    let mut bench = Bench::serving();
    let mut frame = Vec::new();
    let mut session = seawall::session::ClientSession::new();
    let large = Commit::new(PARTITION).put(&cabin(), [("state", "x".repeat(60_000))]);
    session.commit(&mut frame, &large, 0).unwrap();
    bench.receive(&frame[..100]);
    assert!(bench.input_bytes() <= CONNECTION_INPUT, "a header's promise is not believed");
    bench.receive(&frame[100..40_000]);
    assert!(bench.input_bytes() < 2 * frame.len());
    for byte in &frame[40_000..40_000 + (FRAME_US / 1_000_000) as usize] {
        assert!(!bench.closed);
        bench.tick_after(1_000_000);
        bench.receive(std::slice::from_ref(byte));
    }
    bench.tick_after(1_000_000);
    assert!(bench.closed);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let mut bench = Bench::serving();
    bench.reads_nothing = true;
    bench.get(PARTITION, &cabin());
    bench.tick_after(STALL_US - 1_000_000);
    assert!(!bench.closed);
    bench.tick_after(2_000_000);
    assert!(bench.closed);
}

/// Placement never changes an answer: a request that arrives at the wrong worker is carried to the right one.
#[test]
fn a_request_for_another_workers_shard_goes_there_and_back() {
    let (mut first, mut second) = (Bench::start(0, 2), Bench::start(1, 2));
    first.replies();
    // One of these partitions belongs to the other worker.
    for partition in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        first.commit(&Commit::new(partition).put(&cabin(), [("state", "held")]));
    }
    first.settle();
    let here = first.replies().len();
    assert!(here > 0 && !first.mail.is_empty(), "both workers own some of the partitions");
    for (to, letter) in std::mem::take(&mut first.mail) {
        assert_eq!(to, WorkerId(1));
        second.step(Event::Mail { from: WorkerId(0), letter });
    }
    second.settle();
    for (to, letter) in std::mem::take(&mut second.mail) {
        assert_eq!(to, WorkerId(0));
        first.step(Event::Mail { from: WorkerId(1), letter });
    }
    let there = first.replies();
    assert_eq!(here + there.len(), 8);
    assert!(there.iter().all(|got| matches!(got, Got::Committed(..))));
}

#[test]
fn equal_events_give_equal_answers() {
    let run = || {
        let mut bench = Bench::serving();
        for n in 0..50 {
            bench.commit(&put(&format!("state {n}")));
            bench.get(PARTITION, &cabin());
            if n % 7 == 0 {
                bench.settle();
            }
        }
        bench.settle();
        bench.step(Event::StatusAsked { ticket: 1 });
        (bench.replies(), bench.status)
    };
    assert_eq!(run(), run());
}

/// Folds happen beside the commits; what a start finds in the checkpoint and in the log behind it is what was there.
#[test]
fn a_start_from_a_checkpoint_finds_every_row_with_its_version() {
    let mut bench = Bench::serving();
    let place = |n: usize| row("cabin", format!("C{}", n % 40));
    for n in 0..200 {
        let put = Commit::new(PARTITION).put(&place(n), [("state", "x".repeat(600 + n))]);
        bench.commit(&if n % 7 == 6 { Commit::new(PARTITION).delete(&place(n)) } else { put });
        bench.settle();
    }
    assert!(bench.replies().iter().all(|reply| matches!(reply, Got::Committed(..))), "all are committed");
    let read_all = |bench: &mut Bench| -> Vec<_> {
        (0..40).for_each(|n| bench.get(PARTITION, &place(n)));
        bench.settle();
        let row = |reply| if let Got::Row(_, row) = reply { row } else { panic!("{reply:?}") };
        bench.replies().into_iter().map(row).collect()
    };
    let before = read_all(&mut bench);
    assert!(before.iter().flatten().count() > 20 && before.contains(&None));
    let bench = bench.restart();
    let checkpoint = |bench: &mut Bench| {
        bench.step(Event::StatusAsked { ticket: 1 });
        bench.status.pop().expect("it answers").shards[0].checkpoint
    };
    let mut bench = bench.restart();
    assert!(checkpoint(&mut bench) > 100, "most of it came from a checkpoint");
    assert_eq!(read_all(&mut bench), before);
}
