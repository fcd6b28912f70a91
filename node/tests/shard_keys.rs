//! Request keys (R19), STATUS_OF and RESOLVE: each test is an execution that a rule prevents.

mod support;

use seawall::message::Opcode;
use seawall::message::request_key::{KeyName, RequestKey};
use seawall::message::settle::SettleRequest;
use seawall::position::Position;
use seawall::refusal::{Code, Detail, Outcome, Refusal};
use seawall::{Commit, Key, RowRef, Token, Value, row};
use seawall_node::params::{KEY_AHEAD_US, KEY_RETENTION_US, SESSION_OUTCOMES};
use seawall_node::shard::Budget;
use seawall_wal::IoStep;
use support::{Bench, Got, LINEAGE, WALL_US};

const PARTITION: &str = "HP-2026-07-14";
const SESSION: [u8; 16] = [7; 16];

fn total() -> RowRef {
    row("total", "held")
}

/// One more is held, under a caller's key.
fn hold(key: &str) -> Commit {
    Commit::new(PARTITION).key(key).first_sent(WALL_US).add(&total(), "count", 1, ..)
}

fn in_session(sequence: u64) -> Commit {
    Commit::new(PARTITION).session_key(SESSION, sequence, WALL_US).add(&total(), "count", 1, ..)
}

/// Held only if it is free: rejected when it is held already.
fn hold_if_free(key: &str) -> Commit {
    let cabin = row("cabin", "C14");
    let free = Commit::new(PARTITION).key(key).first_sent(WALL_US).check(cabin.absent());
    free.put(&cabin, [("by", key)])
}

fn count(bench: &mut Bench) -> i128 {
    bench.get(PARTITION, &total());
    bench.settle();
    match bench.reply() {
        Got::Row(_, Some((_, row))) => match row.get("count") {
            Some(Value::Int(count)) => *count,
            other => panic!("{other:?}"),
        },
        Got::Row(_, None) => 0,
        other => panic!("{other:?}"),
    }
}

fn refusal(got: Got) -> Refusal {
    match got {
        Got::Refused(refusal) | Got::RefusedAgain(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn settle(bench: &mut Bench, opcode: Opcode, key: KeyName<'_>, born: i64, token: Option<Token>) {
    let partition = Key::from(PARTITION);
    let request_key = RequestKey { name: key, first_sent_us: born };
    let request = SettleRequest { partition: partition.as_bytes(), request_key, token };
    bench.ask(opcode, |out| request.encode(out));
}

fn status_of(bench: &mut Bench, key: &str) -> Got {
    settle(bench, Opcode::StatusOf, KeyName::Caller(key.as_bytes()), WALL_US, None);
    bench.settle();
    bench.reply()
}

fn resolve(bench: &mut Bench, key: &str) -> Got {
    settle(bench, Opcode::Resolve, KeyName::Caller(key.as_bytes()), WALL_US, None);
    bench.settle();
    bench.reply()
}

/// Commits until a checkpoint stands in for the beginning of the log.
fn fill_until_a_checkpoint(bench: &mut Bench) {
    for n in 0.. {
        assert!(n < 200, "no checkpoint was made");
        let filler = Commit::new("filler").put(&row("filler", n % 8), [("text", "x".repeat(3000))]);
        assert!(matches!(bench.commit_now(&filler), Got::Committed(..)));
        bench.step(seawall_node::seam::Event::StatusAsked { ticket: 0 });
        if bench.status.last().is_some_and(|status| status.shards[0].checkpoint > 100) {
            return;
        }
    }
}

/// The client does not hear the answer and asks again; without the stored outcome the cabin counts twice.
#[test]
fn a_key_that_is_sent_twice_happens_once_also_after_a_restart_and_from_a_checkpoint() {
    let mut bench = Bench::serving();
    assert_eq!(bench.commit_now(&hold("a")), Got::Committed(1, 2));
    assert_eq!(bench.commit_now(&hold("a")), Got::Replayed(1, 2));
    assert_eq!(bench.results[0], bench.results[1], "with the results of the first");
    let mut bench = bench.restart();
    assert_eq!(bench.commit_now(&hold("a")), Got::Replayed(1, 2), "from the record");
    fill_until_a_checkpoint(&mut bench);
    let mut bench = bench.restart();
    assert_eq!(bench.commit_now(&hold("a")), Got::Replayed(1, 2), "from the checkpoint");
    assert_eq!(count(&mut bench), 1);
}

/// A rejection is an outcome: the repetition that arrives when the cabin is free again must not hold it, because its
/// sender was told no, and has gone.
#[test]
fn a_rejection_is_remembered_whatever_has_changed_since() {
    let mut bench = Bench::serving();
    assert_eq!(bench.commit_now(&hold_if_free("first")), Got::Committed(1, 2));
    let no = bench.commit_now(&hold_if_free("second"));
    let Got::Refused(no) = no else { panic!("{no:?}") };
    assert_eq!((no.code, no.outcome), (Code::ConditionFailed, Outcome::Rejected));
    assert_eq!(no.position, Some(Position::new(1, 3)), "a record of its own");
    bench.commit_now(&Commit::new(PARTITION).delete(&row("cabin", "C14")));
    assert_eq!(bench.commit_now(&hold_if_free("second")), Got::RefusedAgain(no.clone()));
    let mut bench = bench.restart();
    assert_eq!(bench.commit_now(&hold_if_free("second")), Got::RefusedAgain(no));
    assert!(matches!(bench.commit_now(&hold_if_free("third")), Got::Committed(..)));
}

/// The key comes before the checks: the repetition of what was done meets the row that it made itself.
#[test]
fn the_key_is_looked_up_before_the_checks() {
    let mut bench = Bench::serving();
    assert_eq!(bench.commit_now(&hold_if_free("first")), Got::Committed(1, 2));
    assert_eq!(bench.commit_now(&hold_if_free("first")), Got::Replayed(1, 2));
}

/// R20. Neither the replay nor the refusal of a reused key may tell of a record that a crash can still undo.
#[test]
fn what_a_key_says_waits_for_its_record() {
    let mut bench = Bench::serving();
    bench.commit(&hold("a"));
    bench.commit(&hold("a")); // joins
    bench.commit(&hold("a").event("other", "content"));
    settle(&mut bench, Opcode::StatusOf, KeyName::Caller(b"a"), WALL_US, None);
    settle(&mut bench, Opcode::Resolve, KeyName::Caller(b"a"), WALL_US, None);
    assert_eq!(bench.replies(), [], "nothing is committed");
    bench.settle();
    let replies = bench.replies();
    assert_eq!(replies[..2], [Got::Committed(1, 2), Got::Replayed(1, 2)]);
    let reused = refusal(replies[2].clone());
    assert_eq!((reused.code, reused.outcome), (Code::KeyReused, Outcome::None));
    assert_eq!(reused.position, Some(Position::new(1, 2)));
    let status = Got::Status((1, 2), "COMMITTED", Some((1, 2)));
    assert_eq!(replies[3..], [status.clone(), status]);
    assert_eq!(count(&mut bench), 1);
}

/// R20 for a rejection without a key: it saw a row that may never have been.
#[test]
fn a_rejection_waits_for_what_it_saw_and_no_longer() {
    let mut bench = Bench::serving();
    bench.commit(&Commit::new(PARTITION).put(&row("cabin", "C14"), [("by", "x")]));
    let check = |row: &RowRef| Commit::new(PARTITION).check(row.absent()).put(row, [("by", "y")]);
    bench.commit(&check(&row("cabin", "C14")));
    bench.commit(&Commit::new(PARTITION).check(row("cabin", "C15").exists()).delete(&row("cabin", "C15")));
    let other = refusal(bench.reply());
    assert_eq!(other.position, Some(Position::new(1, 1)), "it saw nothing that is on its way");
    bench.settle();
    let replies = bench.replies();
    assert_eq!(replies[0], Got::Committed(1, 2));
    let seen = refusal(replies[1].clone());
    assert_eq!((seen.code, seen.position), (Code::ConditionFailed, Some(Position::new(1, 2))));
}

/// R4. Whoever waited for a keyed record, or joined it, is told what to resolve.
#[test]
fn a_failed_log_names_what_to_resolve() {
    let mut bench = Bench::serving();
    bench.commit_now(&hold_if_free("first"));
    bench.commit(&hold("a"));
    bench.commit(&hold("a"));
    bench.commit(&hold_if_free("second"));
    bench.commit(&hold("a").event("other", "content"));
    bench.execute(0, Some(IoStep::Flush));
    let replies: Vec<Refusal> = bench.replies().into_iter().map(refusal).collect();
    // In the order of their batches: the third is the reuse, which changed nothing.
    let keys = [Some("a"), Some("a"), None, Some("second")];
    assert_eq!(replies.len(), keys.len());
    for (refusal, key) in replies.iter().zip(keys) {
        assert_eq!(refusal.code, Code::LogFailed);
        assert_eq!(refusal.outcome, if key.is_some() { Outcome::Unknown } else { Outcome::None });
        let named = refusal.reason.detail.request_key().map(|key| key.name);
        assert_eq!(named, key.map(|key| KeyName::Caller(key.as_bytes())));
    }
}

/// The caller asked, heard UNSEEN, and gave up; then the delayed original arrives. RESOLVE closes that door.
#[test]
fn a_resolved_key_can_never_commit() {
    let mut bench = Bench::serving();
    assert_eq!(status_of(&mut bench, "late"), Got::Status((1, 1), "UNSEEN", None));
    assert_eq!(resolve(&mut bench, "late"), Got::Status((1, 2), "ABORTED", Some((1, 2))));
    assert_eq!(resolve(&mut bench, "late"), Got::Status((1, 2), "ABORTED", Some((1, 2))), "and stays so");
    let mut bench = bench.restart();
    let aborted = refusal(bench.commit_now(&hold("late")));
    assert_eq!((aborted.code, aborted.outcome), (Code::KeyAborted, Outcome::Rejected));
    assert_eq!(count(&mut bench), 0);
    assert_eq!(bench.commit_now(&hold("other")), Got::Committed(2, 4));
    assert_eq!(status_of(&mut bench, "other"), Got::Status((2, 4), "COMMITTED", Some((2, 4))));
    assert_eq!(resolve(&mut bench, "other"), Got::Status((2, 4), "COMMITTED", Some((2, 4))));
}

/// The outcome was forgotten; a repetition that comes later must not be done again, and a restart must not forget
/// that it was forgotten.
#[test]
fn a_key_beyond_the_horizon_is_refused_and_never_done_again() {
    let mut bench = Bench::serving();
    bench.commit_now(&hold("old"));
    bench.tick_after(KEY_RETENTION_US - 60_000_000);
    bench.settle();
    assert_eq!(bench.commit_now(&hold("old")), Got::Replayed(1, 2), "still remembered");
    let young = Commit::new(PARTITION).key("young").first_sent(bench.wall_us).add(&total(), "count", 1, ..);
    bench.commit_now(&young);
    bench.tick_after(120_000_000);
    // R20: the record of the horizon is on its way, and the refusal rests on it.
    bench.commit(&hold("old"));
    assert_eq!(bench.replies(), []);
    bench.settle();
    let expired = refusal(bench.reply());
    assert_eq!((expired.code, expired.outcome), (Code::KeyExpired, Outcome::Unknown));
    let named = expired.reason.detail.request_key().map(|key| key.name);
    assert_eq!(named, Some(KeyName::Caller(b"old")), "unknown names what to resolve");
    let mut bench = bench.restart();
    assert_eq!(refusal(bench.commit_now(&hold("old"))).code, Code::KeyExpired, "from the record");
    assert!(matches!(status_of(&mut bench, "old"), Got::Status(_, "EXPIRED", None)));
    assert!(matches!(resolve(&mut bench, "old"), Got::Status(_, "EXPIRED", None)));
    assert!(matches!(bench.commit_now(&young), Got::Replayed(..)), "the horizon has not passed it");
    fill_until_a_checkpoint(&mut bench);
    let mut bench = bench.restart();
    assert_eq!(refusal(bench.commit_now(&hold("old"))).code, Code::KeyExpired, "from the checkpoint");
    assert_eq!(count(&mut bench), 2);
}

/// A key from the future would be remembered for longer than anybody agreed to.
#[test]
fn a_key_of_the_future_is_refused() {
    let mut bench = Bench::serving();
    let born = |us: i64| Commit::new(PARTITION).key("k").first_sent(us).add(&total(), "count", 1, ..);
    let ahead = born(bench.wall_us + KEY_AHEAD_US as i64 + 1_000_000);
    let refused = refusal(bench.commit_now(&ahead));
    assert_eq!((refused.code, refused.outcome), (Code::BadFrame, Outcome::None));
    assert_eq!(refused.reason.rule, "request_key.first_sent");
    let near = born(bench.wall_us + KEY_AHEAD_US as i64 - 1_000_000);
    assert_eq!(bench.commit_now(&near), Got::Committed(1, 2));
}

/// A namespace that is full of keys is told so: to forget a live one would let its commit happen twice.
#[test]
fn a_full_memory_of_keys_refuses_new_ones_and_forgets_none() {
    let budget = Budget { request_keys: 3, ..Budget::default() };
    let mut bench = Bench::with_budget(budget);
    for key in ["a", "b", "c"] {
        assert!(matches!(bench.commit_now(&hold(key)), Got::Committed(..)));
    }
    let mut bench = bench.restart();
    let full = refusal(bench.commit_now(&hold("d")));
    assert_eq!((full.code, full.outcome), (Code::Quota, Outcome::None));
    let full = refusal({
        settle(&mut bench, Opcode::Resolve, KeyName::Caller(b"d"), WALL_US, None);
        bench.settle();
        bench.reply()
    });
    assert_eq!(full.code, Code::Quota);
    assert!(matches!(bench.commit_now(&hold("a")), Got::Replayed(..)));
    let unkeyed = Commit::new(PARTITION).add(&total(), "count", 1, ..);
    assert!(matches!(bench.commit_now(&unkeyed), Got::Committed(..)));
    bench.tick_after(KEY_RETENTION_US + 60_000_000);
    bench.settle();
    let fresh = Commit::new(PARTITION).key("e").first_sent(bench.wall_us).add(&total(), "count", 1, ..);
    assert!(matches!(bench.commit_now(&fresh), Got::Committed(..)), "the horizon made room");
}

/// Sessions: the last outcomes are replayed, older ones are refused and not done again, and the memory stays bounded.
#[test]
fn a_session_keeps_its_last_outcomes() {
    let mut bench = Bench::serving();
    let last = SESSION_OUTCOMES + 40;
    for sequence in 1..=last {
        bench.commit(&in_session(sequence));
        bench.settle();
    }
    let replies = bench.replies();
    assert!(replies.iter().all(|reply| matches!(reply, Got::Committed(..))));
    let oldest = last - SESSION_OUTCOMES + 1;
    for restarted in [false, true] {
        if restarted {
            bench = bench.restart();
        }
        for sequence in [oldest, last] {
            assert_eq!(bench.commit_now(&in_session(sequence)), Got::Replayed(1, sequence + 1));
        }
        for sequence in [1, oldest - 1] {
            let expired = refusal(bench.commit_now(&in_session(sequence)));
            assert_eq!((expired.code, expired.outcome), (Code::KeyExpired, Outcome::Unknown));
            assert_eq!(expired.reason.rule, "request_key.session");
        }
        bench.step(seawall_node::seam::Event::StatusAsked { ticket: 0 });
        let shard = &bench.status.last().unwrap().shards[0];
        assert_eq!(shard.outcomes as u64, SESSION_OUTCOMES);
        assert_eq!(count(&mut bench), i128::from(last));
    }
    // Far ahead: what lies behind is refused at once, and swept by those that follow.
    let far = last + 10 * SESSION_OUTCOMES;
    assert!(matches!(bench.commit_now(&in_session(far)), Got::Committed(..)));
    assert_eq!(refusal(bench.commit_now(&in_session(last))).code, Code::KeyExpired);
    for n in 1..=SESSION_OUTCOMES / 8 + 1 {
        bench.commit_now(&in_session(far + n));
    }
    bench.step(seawall_node::seam::Event::StatusAsked { ticket: 0 });
    assert_eq!(bench.status.last().unwrap().shards[0].outcomes as u64, SESSION_OUTCOMES / 8 + 2);
}

/// A client's clock was set back between two commits of a session: the newer one is forgotten first, and with it what
/// says that the older ones are behind. What they did must not be done again.
#[test]
fn a_session_forgets_nothing_that_it_would_take_again() {
    let mut bench = Bench::serving();
    let at = |sequence: u64, born: i64| {
        Commit::new(PARTITION).session_key(SESSION, sequence, born).add(&total(), "count", 1, ..)
    };
    let old = at(1, WALL_US);
    assert!(matches!(bench.commit_now(&old), Got::Committed(..)));
    let set_back = WALL_US - 3_600_000_000;
    assert!(matches!(bench.commit_now(&at(1 + SESSION_OUTCOMES, set_back)), Got::Committed(..)));
    assert_eq!(refusal(bench.commit_now(&old)).code, Code::KeyExpired);
    bench.tick_after(KEY_RETENTION_US - 1_800_000_000);
    bench.settle();
    let gone = refusal(bench.commit_now(&at(1 + SESSION_OUTCOMES, set_back)));
    assert_eq!(gone.reason.rule, "request_key.retention", "the newest was forgotten");
    assert!(matches!(bench.commit_now(&old), Got::Replayed(..)));
    assert_eq!(count(&mut bench), 2);
}

/// LOST is said only if the epoch table proves it.
#[test]
fn a_token_of_a_lost_history_is_called_lost() {
    let bench = Bench::serving();
    let mut bench = bench.restart(); // epoch 2 begins at index 2
    let token = |epoch, index| {
        let shard = seawall::map::ShardId(1);
        Token { lineage_tag: LINEAGE.tag(), shard, position: Position::new(epoch, index) }
    };
    let cases = [
        (token(1, 1), "UNSEEN"),
        (token(1, 2), "LOST"),
        (token(1, 9), "LOST"),
        (token(2, 9), "UNSEEN"),
        (token(3, 1), "UNSEEN"),
        (token(0, 1), "LOST"),
    ];
    for (token, expected) in cases {
        settle(&mut bench, Opcode::StatusOf, KeyName::Caller(b"k"), WALL_US, Some(token));
        let got = bench.reply();
        assert!(matches!(got, Got::Status(_, status, None) if status == expected), "{token:?}: {got:?}");
    }
    let foreign = Token { lineage_tag: 1, ..token(1, 1) };
    settle(&mut bench, Opcode::StatusOf, KeyName::Caller(b"k"), WALL_US, Some(foreign));
    assert_eq!(refusal(bench.reply()).reason.rule, "status_of.token");
}

/// A commit that waits for room in the log has arrived: it is not unseen, and RESOLVE waits behind it.
#[test]
fn a_commit_that_waits_for_room_is_in_flight() {
    let mut bench = Bench::serving();
    let big = |n: u32| Commit::new(PARTITION).put(&row("big", n), [("text", "x".repeat(7000))]);
    for n in 0..8 {
        bench.commit(&big(n));
    }
    bench.commit(&hold("a"));
    settle(&mut bench, Opcode::StatusOf, KeyName::Caller(b"a"), WALL_US, None);
    settle(&mut bench, Opcode::Resolve, KeyName::Caller(b"a"), WALL_US, None);
    let early = bench.replies();
    assert!(matches!(early[..], [Got::Status(_, "IN_FLIGHT", None)]), "{early:?}");
    bench.settle();
    let replies = bench.replies();
    let Some([Got::Committed(epoch, index), Got::Status(_, "COMMITTED", Some(at))]) = replies.last_chunk()
    else {
        panic!("{replies:?}")
    };
    assert_eq!((*epoch, *index), *at);
}

/// COMMIT_MANY: each of its commits has a life of its own.
#[test]
fn many_commits_are_decided_and_answered_each_by_itself() {
    let mut bench = Bench::serving();
    let elsewhere = Commit::new("another").put(&row("t", 1), [("a", 1)]);
    bench.commit_many(&[hold_if_free("a"), hold_if_free("b"), elsewhere, hold_if_free("a")]);
    assert_eq!(bench.replies(), []);
    bench.settle();
    let replies = bench.replies();
    assert_eq!(replies[0], Got::Committed(1, 2));
    assert_eq!(refusal(replies[1].clone()).code, Code::ConditionFailed);
    assert_eq!(replies[2..], [Got::Committed(1, 4), Got::Replayed(1, 2)]);
}

/// Hundreds of retries in one pipeline, before anything is durable: one effect, one outcome, and no answer before it
/// is committed. If the log fails under them, all of them say what to RESOLVE.
#[test]
fn a_deep_pipeline_under_one_key_happens_once() {
    let mut bench = Bench::serving();
    let born = bench.wall_us;
    let same = hold("BK-1").first_sent(born);
    for nth in 0..500 {
        bench.commit(&same);
        if nth % 100 == 99 {
            bench.commit(&same.clone().event("another", "content"));
        }
    }
    assert_eq!(bench.replies(), [], "nothing is durable");
    bench.settle();
    let replies = bench.replies();
    assert_eq!(replies.len(), 505);
    let Got::Committed(epoch, index) = replies[0] else { panic!("{:?}", replies[0]) };
    let again = replies.iter().filter(|got| **got == Got::Replayed(epoch, index)).count();
    let reused =
        replies.iter().filter(|got| matches!(got, Got::Refused(why) if why.code == Code::KeyReused)).count();
    assert_eq!((again, reused), (499, 5));
    assert_eq!(count(&mut bench), 1);
    for _ in 0..100 {
        bench.commit(&hold("BK-2").first_sent(born));
    }
    bench.execute(0, Some(seawall_wal::IoStep::Flush));
    let replies = bench.replies();
    assert_eq!(replies.len(), 100);
    for got in replies {
        let why = refusal(got);
        assert_eq!((why.code, why.outcome), (Code::LogFailed, Outcome::Unknown));
        assert!(matches!(why.reason.detail, Detail::Request { .. }), "{why:?}");
    }
}
