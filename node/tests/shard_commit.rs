//! Commits: what a rejection says, what is bounded, and what ends by itself. Each test is an execution that a rule
//! prevents.

mod support;

use seawall::frame::{self, FrameMeta, Kind};
use seawall::limits::{ROW_FIELDS_MAX, SET_MEMBERS_MAX};
use seawall::map::{Generation, ShardId};
use seawall::message::term::Ttl;
use seawall::message::{Opcode, assigned};
use seawall::position::Position;
use seawall::refusal::{Code, Detail, Outcome, Refusal};
use seawall::{Commit, Row, RowRef, Value, now, row};
use seawall_node::params::{CLOCK_GAP_US, EXPIRY_SPREAD_US};
use seawall_node::seam::{Event, ShardStatus};
use seawall_node::shard::Budget;
use seawall_wal::Io;
use support::{Bench, Got};

const PARTITION: &str = "HP-2026-07-14";
const SECOND: u64 = 1_000_000;

fn cabin() -> RowRef {
    row("cabin", "C14")
}

fn commit() -> Commit {
    Commit::new(PARTITION)
}

fn ttl(seconds: u64) -> Ttl {
    Ttl::from_ms(seconds * 1000).unwrap()
}

fn refusal(got: Got) -> Refusal {
    match got {
        Got::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn read(bench: &mut Bench, row: &RowRef) -> Option<((u64, u64), Row)> {
    bench.get(PARTITION, row);
    bench.settle();
    match bench.reply() {
        Got::Row(_, found) => found,
        other => panic!("{other:?}"),
    }
}

fn status(bench: &mut Bench) -> ShardStatus {
    bench.step(Event::StatusAsked { ticket: 0 });
    bench.status.pop().unwrap().shards.remove(0)
}

/// Two clerks hold the same cabin. One of them is told why not, and by whom it was taken.
#[test]
fn a_rejection_names_ordinal_expected_observed_position_and_row() {
    let mut bench = Bench::serving();
    bench.commit_now(&commit().put(&cabin(), [("state", "held"), ("by", "Ann")]));
    let total = row("total", "held");
    let hold = || {
        commit()
            .check(total.absent())
            .check(cabin().field("state").eq("free"))
            .merge(&cabin(), [("state", "held"), ("by", "Bob")])
    };
    let why = refusal(bench.commit_now(&hold().returning_rows()));
    assert_eq!((why.code, why.outcome), (Code::ConditionFailed, Outcome::Rejected));
    assert_eq!(why.reason.rule, "check.compare");
    assert_eq!(why.reason.expected, "cabin/C14.state = free");
    assert_eq!(why.reason.observed, "held");
    assert_eq!(why.position, Some(Position::new(1, 2)));
    let Detail::Check { ordinal: 1, row: Some(seen) } = &why.reason.detail else { panic!("{why:?}") };
    assert_eq!(seen.version, Position::new(1, 2));
    assert_eq!(Row::decode(&seen.row).unwrap().get("by"), Some(&Value::from("Ann")));
    let why = refusal(bench.commit_now(&hold()));
    assert_eq!(why.reason.detail, Detail::Check { ordinal: 1, row: None }, "not asked for");
    let add = commit().event("t", "p").add(&total, "count", 3, ..=2).returning_rows();
    let why = refusal(bench.commit_now(&add));
    assert_eq!((why.code, &*why.reason.rule), (Code::Constraint, "add.ceiling"));
    assert_eq!((&*why.reason.expected, &*why.reason.observed), ("count at most 2", "0 + 3 = 3"));
    assert_eq!(why.reason.detail, Detail::Operation { ordinal: 1, row: None }, "there is no row to show");
    assert_eq!(read(&mut bench, &total), None, "nothing was done");
}

/// The last seats go to whoever comes first, however many come at once: each commit sees those before it, on the disk
/// or not.
#[test]
fn a_counter_never_passes_its_ceiling_in_a_batch() {
    let mut bench = Bench::serving();
    let total = row("total", "held");
    bench.commit_now(&commit().put(&total, [("limit", 7), ("count", 0)]));
    for _ in 0..20 {
        bench.commit(&commit().add(&total, "count", 1, ..=total.field("limit")));
    }
    bench.settle();
    let held = bench.replies().iter().filter(|got| matches!(got, Got::Committed(..))).count();
    assert_eq!(held, 7);
    assert_eq!(read(&mut bench, &total).unwrap().1.get("count"), Some(&Value::Int(7)));
}

#[test]
fn rows_and_sets_stay_within_their_limits() {
    let mut bench = Bench::serving();
    let tags = row("tags", 1);
    let member = |n: usize| format!("{n:04}");
    bench.commit_now(&commit().set_add(&tags, "all", (0..SET_MEMBERS_MAX).map(member)));
    let one = |n: usize| commit().set_add(&tags, "all", [member(n)]);
    assert!(matches!(bench.commit_now(&one(3)), Got::Committed(..)), "it is in already");
    let why = refusal(bench.commit_now(&one(SET_MEMBERS_MAX)));
    assert_eq!((why.code, &*why.reason.rule), (Code::Constraint, "set.members"));
    bench.commit_now(&commit().set_remove(&tags, "all", [member(3)]));
    assert!(matches!(bench.commit_now(&one(SET_MEMBERS_MAX)), Got::Committed(..)));
    let wide = row("wide", 1);
    let fields = |from: usize, to: usize| (from..to).map(|n| (format!("f{n}"), 1));
    bench.commit_now(&commit().put(&wide, fields(0, ROW_FIELDS_MAX)));
    let why = refusal(bench.commit_now(&commit().merge(&wide, fields(ROW_FIELDS_MAX, ROW_FIELDS_MAX + 1))));
    assert_eq!((why.code, &*why.reason.rule), (Code::Constraint, "row.fields"));
}

/// A commit that is small on the wire may have a record that is not: full images of large rows. It is refused before
/// anything is appended.
#[test]
fn a_record_that_fits_into_no_batch_is_refused() {
    let mut bench = Bench::serving();
    let rows: Vec<RowRef> = (0..3).map(|n| row("big", n)).collect();
    for row in &rows {
        bench.commit_now(&commit().put(row, [("text", "x".repeat(6000))]));
    }
    let add = rows.iter().fold(commit(), |commit, row| commit.add(row, "n", 1, ..));
    let why = refusal(bench.commit_now(&add.key("k").first_sent(bench.wall_us)));
    assert_eq!((why.code, why.outcome), (Code::TooLarge, Outcome::None));
    assert_eq!(read(&mut bench, &rows[0]).unwrap().1.get("n"), None);
}

/// Somebody put a row where the stream goes next: to append over it would lose it.
#[test]
fn an_append_never_covers_a_row() {
    let mut bench = Bench::serving();
    let (stream, second) = (row("bid", "A1"), row("bid", ("A1", 2)));
    bench.commit_now(&commit().append(&stream, [("amount", 1)]));
    bench.commit_now(&commit().put(&second, [("amount", 99)]));
    let why = refusal(bench.commit_now(&commit().append(&stream, [("amount", 2)])));
    assert_eq!((why.code, &*why.reason.rule), (Code::Constraint, "stream.next"));
    bench.commit_now(&commit().delete(&second));
    bench.results.clear();
    let two = commit().append(&stream, [("amount", 2)]).append(&stream, [("amount", 3)]);
    assert!(matches!(bench.commit_now(&two), Got::Committed(..)));
    let sequences: Vec<_> = bench.results[0].list().iter().map(|assigned| assigned.result).collect();
    assert_eq!(sequences, [assigned::Result::Sequence(2), assigned::Result::Sequence(3)]);
    let mut bench = bench.restart();
    bench.commit_now(&commit().append(&stream, [("amount", 4)]));
    assert!(read(&mut bench, &row("bid", ("A1", 4))).is_some(), "the sequence goes on after a restart");
}

/// R21. The old holder wakes up after its lease ended and somebody else acquired it: what it does under its token is
/// rejected, and the end is by leader time, whether the removal was logged or not.
#[test]
fn a_lease_fences_its_former_holder() {
    let mut bench = Bench::serving();
    let Got::Committed(epoch, index) = bench.commit_now(&commit().lease_acquire(&cabin(), ttl(10))) else {
        panic!("nobody held it")
    };
    let old = Position::new(epoch, index);
    let write = |token| commit().check(cabin().lease_held(token)).put(&cabin(), [("state", "mine")]);
    assert!(matches!(bench.commit_now(&write(old)), Got::Committed(..)));
    let why = refusal(bench.commit_now(&commit().lease_acquire(&cabin(), ttl(10))));
    assert_eq!((why.code, &*why.reason.rule), (Code::ConditionFailed, "lease.free"));
    bench.pass(10 * SECOND);
    let why = refusal(bench.commit_now(&write(old)));
    assert_eq!((why.code, why.outcome), (Code::LeaseLost, Outcome::Rejected));
    let Got::Committed(epoch, index) = bench.commit_now(&commit().lease_acquire(&cabin(), ttl(10))) else {
        panic!("it has ended")
    };
    let new = Position::new(epoch, index);
    for late in
        [write(old), commit().lease_renew(&cabin(), old, ttl(10)), commit().lease_release(&cabin(), old)]
    {
        let why = refusal(bench.commit_now(&late));
        assert_eq!(why.code, Code::LeaseLost);
        assert_eq!(why.reason.observed, format!("held under token {new}"));
    }
    assert!(matches!(bench.commit_now(&write(new)), Got::Committed(..)));
}

/// R18. A row ends by a record of the leader and never by a clock that somebody reads: until that record is committed
/// it is there, for a restart too.
#[test]
fn a_row_with_a_ttl_ends_by_a_record() {
    let mut bench = Bench::serving();
    let kept = row("cabin", "kept");
    bench.commit_now(&commit().put_for(&cabin(), [("state", "held")], ttl(5)));
    bench.commit_now(&commit().put_for(&kept, [("state", "held")], ttl(5)));
    bench.commit_now(&commit().put(&kept, [("state", "sold")])); // without an end from now on
    bench.commit_now(&commit().merge(&cabin(), [("by", "Ann")])); // the end stays
    bench.tick_after(4 * SECOND);
    assert!(read(&mut bench, &cabin()).is_some());
    bench.pass(10 * SECOND);
    assert!(read(&mut bench, &cabin()).is_some(), "no record says that it ended");
    let mut bench = bench.restart();
    assert!(read(&mut bench, &cabin()).is_some(), "nor after a restart");
    let before = status(&mut bench).appended;
    bench.tick_after(1);
    assert_eq!(status(&mut bench).appended, before + 1, "one record ends all that has ended");
    bench.get(PARTITION, &cabin());
    assert_eq!(bench.replies(), [], "R20: a crash can still bring it back");
    bench.settle();
    assert!(matches!(bench.reply(), Got::Row(at, None) if at.1 == before + 1));
    assert!(read(&mut bench, &kept).is_some());
    let mut bench = bench.restart();
    assert_eq!(read(&mut bench, &cabin()), None);
    bench.tick_after(10 * SECOND);
    assert!(!bench.disk.iter().any(|io| matches!(io, Io::Write { .. })), "nothing is left to end");
}

/// Many rows that end together: bounded records, spread over a time that follows from their keys.
#[test]
fn what_ends_together_is_removed_in_bounded_records() {
    let mut bench = Bench::serving();
    let rows: Vec<RowRef> = (0..200).map(|n| row("cabin", n)).collect();
    for chunk in rows.chunks(50) {
        let put = |commit: Commit, row: &RowRef| commit.put_for(row, [("state", "held")], ttl(5));
        bench.commit_now(&chunk.iter().fold(commit(), put));
    }
    bench.tick_after(5 * SECOND + EXPIRY_SPREAD_US / 2);
    bench.settle();
    let left = status(&mut bench).rows;
    assert!((50..150).contains(&left), "about half of them: {left}");
    for _ in 0..40 {
        bench.tick_after(SECOND);
        bench.settle();
    }
    let ended = status(&mut bench);
    assert_eq!(ended.rows, 0);
    assert_eq!(ended.memory.total(), 0, "nothing is left of them: {:?}", ended.memory);
}

/// R18. The wall clock jumped by a day: whatever is decided by it would end leases and forget keys.
#[test]
fn a_clock_that_jumped_decides_nothing_until_it_is_accepted() {
    let put = || commit().put_for(&cabin(), [("state", "held")], ttl(5));
    let day = 24 * 3600 * SECOND as i64;
    for jump in [day, -day] {
        let mut bench = Bench::serving();
        bench.commit_now(&put());
        bench.wall_us += jump;
        let why = refusal(bench.commit_now(&put()));
        assert_eq!((why.code, why.outcome), (Code::ClockUntrusted, Outcome::None));
        bench.tick_after(SECOND);
        bench.settle();
        assert!(read(&mut bench, &cabin()).is_some(), "reads go on, and nothing ends");
        assert!(status(&mut bench).reason.is_some_and(|reason| reason.contains("clock")));
        bench.step(Event::ClockAccepted { shard: seawall::map::ShardId(1) });
        assert!(matches!(bench.commit_now(&put()), Got::Committed(..)));
        bench.wall_us -= CLOCK_GAP_US as i64 / 2;
        assert!(matches!(bench.commit_now(&put()), Got::Committed(..)), "a small one is borne");
    }
}

/// `now` is the leader's time, and the same one that the record has.
#[test]
fn now_is_leader_time() {
    let mut bench = Bench::serving();
    let before = |us: i64| commit().check(now().lt(Value::Time(us))).put(&cabin(), [("a", 1)]);
    let soon = bench.wall_us + SECOND as i64;
    assert!(matches!(bench.commit_now(&before(soon)), Got::Committed(..)));
    bench.pass(SECOND);
    assert_eq!(refusal(bench.commit_now(&before(soon))).reason.rule, "check.compare");
}

/// More members than there are: refused before anything is appended, and never silently less.
#[test]
fn more_durability_than_there_is_is_refused() {
    let mut bench = Bench::serving();
    let put = |members| commit().durable_on(members).put(&cabin(), [("a", 1)]);
    let why = refusal(bench.commit_now(&put(2)));
    assert_eq!((why.code, why.outcome), (Code::DurabilityUnavailable, Outcome::None));
    assert!(matches!(bench.commit_now(&put(1)), Got::Committed(..)));
}

/// All rows are resident: without a bound the machine would run out of memory, and take every shard with it.
#[test]
fn above_its_memory_a_shard_refuses_what_grows_and_lets_it_shrink() {
    let budget = Budget { memory_bytes: 20_000, ..Budget::default() };
    let mut bench = Bench::with_budget(budget);
    let put = |n: i64| commit().put(&row("big", n), [("text", "x".repeat(3000))]);
    let mut held = 0;
    let why = loop {
        match bench.commit_now(&put(held)) {
            Got::Committed(..) => held += 1,
            other => break refusal(other),
        }
    };
    assert!((4..7).contains(&held));
    assert_eq!((why.code, why.outcome), (Code::Quota, Outcome::None));
    let mut bench = bench.restart();
    assert_eq!(refusal(bench.commit_now(&put(held))).code, Code::Quota, "after a restart, too");
    let shard = status(&mut bench);
    assert_eq!((shard.rows as i64, shard.memory_limit), (held, 20_000));
    assert!(shard.memory.rows > 12_000 && shard.memory.total() < 20_000, "{:?}", shard.memory);
    assert!(matches!(bench.commit_now(&put(0)), Got::Committed(..)), "no larger than before");
    let delete = commit().key("k").first_sent(bench.wall_us).delete(&row("big", 0));
    assert!(matches!(bench.commit_now(&delete), Got::Committed(..)));
    assert!(matches!(bench.commit_now(&put(held)), Got::Committed(..)), "and there is room again");
}

/// One shard holds both, and yet: a guarantee that held by luck of placement would end with the first move.
#[test]
fn two_partitions_in_one_commit_are_refused_even_in_one_shard() {
    let mut bench = Bench::serving();
    let both = commit().key("k").first_sent(bench.wall_us).put(&cabin(), [("a", 1)]);
    let across = both.clone().within("another sailing");
    assert!(across.validate().is_err(), "a client of ours does not even send it");
    let head = FrameMeta {
        kind: Kind::Request,
        opcode: Opcode::Commit as u16,
        correlation: 1_000,
        generation: Generation::ANY,
        shard: ShardId::ANY,
        deadline_ms: 0,
        tags: &[],
    };
    let mut sent = Vec::new();
    frame::write(&mut sent, &head, |out| across.encode(out));
    bench.receive(&sent);
    let why = refusal(bench.reply());
    assert_eq!((why.code, why.outcome), (Code::CrossPartition, Outcome::None));
    assert_eq!(read(&mut bench, &cabin()), None);
    assert!(matches!(bench.commit_now(&both), Got::Committed(..)), "nothing was stored under its key");
}

/// R20 of absence: a row that is gone only in memory may be back after a crash.
#[test]
fn a_rejection_that_saw_an_absence_waits_for_the_deletion() {
    let mut bench = Bench::serving();
    bench.commit_now(&commit().put(&cabin(), [("a", 1)]));
    bench.commit(&commit().delete(&cabin()));
    bench.commit(&commit().check(cabin().exists()).put(&row("cabin", "C15"), [("a", 1)]));
    bench.commit(&commit().check(cabin().field("a").eq(1)).put(&row("cabin", "C15"), [("a", 1)]));
    assert_eq!(bench.replies(), [], "that it is absent is not durable");
    bench.settle();
    let replies = bench.replies();
    assert!(matches!(replies[0], Got::Committed(1, 3)));
    for got in replies.into_iter().skip(1) {
        let why = refusal(got);
        assert_eq!((why.code, why.position), (Code::ConditionFailed, Some(Position::new(1, 3))));
    }
}
