//! Subscriptions, event by event: each test is an execution that a rule prevents.

mod support;

use seawall::map::ShardId;
use seawall::message::Opcode;
use seawall::message::watch::{Begin, CancelRequest, CreditRequest, Scope};
use seawall::position::Position;
use seawall::refusal::Code;
use seawall::{Commit, Key, Token, row};
use seawall_node::params::{
    CONNECTION_OUTPUT, EXPIRY_SPREAD_US, PROGRESS_US, STREAM_FRAME_BYTES, SUBSCRIPTIONS_PER_CONNECTION,
};
use seawall_node::seam::{Event, Letter, WorkerId};
use seawall_wal::LogLimits;
use support::heard::{Heard, Thing};
use support::{Bench, CONN, LINEAGE};

const PARTITION: &str = "HP-2026-07-14";
const PLENTY: u64 = 1 << 20;

fn put(cabin: &str) -> Commit {
    Commit::new(PARTITION).put(&row("cabin", cabin), [("state", "held")])
}

fn all() -> Scope<'static> {
    Scope::Shard(ShardId(1))
}

fn token(epoch: u64, index: u64) -> Token {
    Token { lineage_tag: LINEAGE.tag(), shard: ShardId(1), position: Position::new(epoch, index) }
}

fn changes(heard: &[Heard], subscription: u64) -> Vec<(u64, usize, String)> {
    let of_it = heard.iter().filter(|heard| heard.correlation == subscription);
    let told = of_it.flat_map(|heard| match &heard.what {
        Thing::Changes(changes) => changes.clone(),
        _ => Vec::new(),
    });
    told.collect()
}

fn refused(heard: &Heard) -> Code {
    match &heard.what {
        Thing::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

/// R20. The watcher would act on a record that a crash takes back.
#[test]
fn an_uncommitted_record_is_not_told() {
    let mut bench = Bench::serving();
    let watch = bench.subscribe(all(), Begin::Now, PLENTY);
    let begun = bench.hear();
    assert_eq!((begun.what, begun.at), (Thing::Subscribed, Some((1, 1))));
    bench.commit(&put("C14"));
    bench.commit(&put("C15"));
    bench.tick_after(1);
    assert_eq!(bench.heard(), [], "nothing of it is durable");
    bench.execute(0, None); // the first batch
    let heard = bench.heard();
    assert_eq!(changes(&heard, watch), [(2, 0, "put cabin/C14".to_owned())], "and not one more");
    bench.settle();
    let heard = bench.heard();
    assert_eq!(changes(&heard, watch), [(3, 0, "put cabin/C15".to_owned())]);
    assert_eq!(heard.last().and_then(|heard| heard.at), Some((1, 3)), "told up to here");
}

/// Rows, deletions, expiries and events arrive in the order of the log with their ids; filters keep the ordinals.
#[test]
fn everything_that_happens_is_told_once_in_order() {
    let mut bench = Bench::serving();
    let watch = bench.subscribe(Scope::Partition(Key::from(PARTITION).as_bytes()), Begin::Now, PLENTY);
    bench.heard();
    bench.commit(&put("C14").event("held", "C14"));
    bench.settle();
    let both = [(2, 0, "put cabin/C14".to_owned()), (2, 1, "event held C14".to_owned())];
    assert_eq!(changes(&bench.heard(), watch), both);
    let ms = seawall::message::term::Ttl::from_ms(50).unwrap();
    let short = Commit::new(PARTITION).put_for(&row("cabin", "C9"), [("state", "held")], ms);
    let elsewhere = Commit::new("another").put(&row("cabin", "C1"), [("state", "held")]);
    let gone = Commit::new(PARTITION).delete(&row("cabin", "C14"));
    [&short, &elsewhere, &gone].into_iter().for_each(|commit| bench.commit(commit));
    bench.settle();
    let heard = bench.heard();
    let wanted = [(3, 0, "put cabin/C9"), (5, 0, "deleted cabin/C14")];
    assert_eq!(changes(&heard, watch), wanted.map(|(index, n, what)| (index, n, what.to_owned())));
    bench.tick_after(EXPIRY_SPREAD_US + 200_000);
    bench.settle();
    let heard = bench.heard();
    let told: Vec<String> = changes(&heard, watch).into_iter().map(|(_, _, what)| what).collect();
    assert_eq!(told, ["expired cabin/C9"]);
}

/// Without credit nothing is sent, nobody else waits, and what was missed comes out of the log when credit comes.
#[test]
fn a_watcher_without_credit_holds_up_nobody_and_misses_nothing() {
    let mut bench = Bench::serving();
    let slow = bench.subscribe(all(), Begin::Now, 1);
    let fast = bench.subscribe(all(), Begin::Now, PLENTY);
    bench.heard();
    let (mut slow_got, mut fast_got) = (Vec::new(), Vec::new());
    for n in 0..5 {
        bench.commit(&put(&format!("C{n}")));
        bench.settle();
        let heard = bench.heard();
        assert!(heard.iter().any(|heard| heard.what == Thing::Committed), "the shard is not held up");
        slow_got.extend(changes(&heard, slow));
        fast_got.extend(changes(&heard, fast));
    }
    assert_eq!((slow_got.len(), fast_got.len()), (1, 5), "the frame that uses the credit up goes out whole");
    bench.ask(Opcode::Credit, |out| CreditRequest { subscription: slow, bytes: PLENTY }.encode(out));
    let heard = bench.heard();
    assert_eq!(heard[0].what, Thing::Done);
    slow_got.extend(changes(&heard, slow));
    assert_eq!(slow_got, fast_got);
}

/// The records left the memory of the log while the watcher had no credit: it is told so, and not a stream with a hole.
#[test]
fn what_left_the_tail_is_compacted_and_not_skipped() {
    let mut bench = Bench::serving();
    let slow = bench.subscribe(all(), Begin::Now, 1);
    bench.heard();
    let big = Commit::new(PARTITION).put(&row("cabin", "C1"), [("state", "x".repeat(8000))]);
    for _ in 0..60 {
        bench.commit(&big);
        bench.settle();
    }
    let told = changes(&bench.heard(), slow).len();
    assert_eq!(told, 1);
    bench.ask(Opcode::Credit, |out| CreditRequest { subscription: slow, bytes: PLENTY }.encode(out));
    let heard = bench.heard();
    assert_eq!(refused(heard.last().unwrap()), Code::Compacted);
    bench.ask(Opcode::Credit, |out| CreditRequest { subscription: slow, bytes: 1 }.encode(out));
    assert_eq!(refused(&bench.hear()), Code::BadFrame, "it has ended");
    bench.subscribe(all(), Begin::Token(token(1, 2)), PLENTY);
    assert_eq!(refused(&bench.hear()), Code::Compacted);
    let oldest = bench.subscribe(all(), Begin::Oldest, PLENTY);
    let heard = bench.heard();
    let kept = changes(&heard, oldest);
    assert!(kept.len() > 1 && kept.last().is_some_and(|(index, ..)| *index == 61), "{kept:?}");
}

/// A watcher that was level goes on over a restart, and learns of the new epoch; a token of what was lost is proven so.
#[test]
fn a_stream_goes_on_over_a_restart() {
    let mut bench = Bench::serving();
    bench.done(&put("C14"));
    let mut bench = bench.restart();
    let behind = bench.subscribe(all(), Begin::Token(token(1, 1)), PLENTY);
    let heard = bench.heard();
    assert_eq!(changes(&heard, behind), [(2, 0, "put cabin/C14".to_owned())], "it is in memory again");
    bench.tick_after(1);
    let mut all_heard = heard.into_iter().chain(bench.heard());
    assert!(all_heard.any(|heard| heard.what == Thing::EpochChanged(1, 2)));
    bench.ask(Opcode::Cancel, |out| CancelRequest { subscription: behind }.encode(out));
    bench.heard();
    let watch = bench.subscribe(all(), Begin::Token(token(1, 2)), PLENTY);
    bench.heard();
    bench.commit(&put("C15"));
    bench.settle();
    let heard = bench.heard();
    assert_eq!(changes(&heard, watch), [(4, 0, "put cabin/C15".to_owned())]);
    bench.subscribe(all(), Begin::Token(token(1, 9)), PLENTY);
    assert_eq!(refused(&bench.hear()), Code::TokenLostHistory);
    bench.subscribe(all(), Begin::Token(token(2, 9)), PLENTY);
    assert_eq!(refused(&bench.hear()), Code::NotCaughtUp);
    let mut bench = bench.restart();
    bench.subscribe(all(), Begin::Token(token(2, 4)), PLENTY);
    let heard = bench.heard();
    assert_eq!(heard[0].what, Thing::Subscribed);
    assert_eq!((heard[1].what.clone(), heard[1].at), (Thing::EpochChanged(2, 4), Some((2, 4))));
}

/// Silence says nothing; progress does, and it ends with CANCEL.
#[test]
fn an_idle_stream_says_how_far_it_is_until_it_is_cancelled() {
    let mut bench = Bench::serving();
    let watch = bench.subscribe(Scope::Partition(Key::from("quiet").as_bytes()), Begin::Now, PLENTY);
    bench.heard();
    bench.done(&put("C14")); // nothing that it wants
    bench.tick_after(PROGRESS_US);
    bench.settle();
    let heard = bench.hear();
    assert_eq!((heard.what, heard.correlation, heard.at), (Thing::Progress, watch, Some((1, 2))));
    bench.ask(Opcode::Cancel, |out| CancelRequest { subscription: watch }.encode(out));
    assert_eq!(bench.hear().what, Thing::Done);
    bench.tick_after(2 * PROGRESS_US);
    bench.settle();
    assert_eq!(bench.heard(), [], "nothing more");
}

/// The log fails: the stream ends with the reason, and does not just fall silent.
#[test]
fn a_failed_log_ends_its_streams() {
    let mut bench = Bench::serving();
    bench.subscribe(all(), Begin::Now, 0);
    bench.heard();
    bench.commit(&put("C14"));
    bench.execute(0, Some(seawall_wal::IoStep::Flush));
    let heard = bench.heard();
    assert_eq!(heard.len(), 2, "the commit is unknown, the stream ends: {heard:?}");
    assert!(heard.iter().all(|heard| refused(heard) == Code::LogFailed));
}

/// More than a frame holds was missed: it comes in several, none too large, nothing twice.
#[test]
fn a_backlog_is_told_in_frames_of_bounded_size() {
    let mut bench = Bench::with_limits(LogLimits { tail_bytes: 1 << 20, ..LogLimits::test_min() });
    let slow = bench.subscribe(all(), Begin::Now, 0);
    let size = STREAM_FRAME_BYTES / 10;
    let big = |n: i64| Commit::new(PARTITION).put(&row("cabin", n), [("state", "x".repeat(size))]);
    bench.heard();
    for n in 0..25 {
        bench.commit(&big(n));
        bench.settle();
    }
    assert_eq!(changes(&bench.heard(), slow), []);
    bench.ask(Opcode::Credit, |out| CreditRequest { subscription: slow, bytes: u64::MAX }.encode(out));
    let heard = bench.heard();
    let frames: Vec<_> = heard.iter().map(|one| changes(std::slice::from_ref(one), slow)).collect();
    let frames: Vec<_> = frames.into_iter().filter(|frame| !frame.is_empty()).collect();
    assert!(frames.len() >= 3 && frames.iter().all(|frame| frame.len() <= 11), "{frames:?}");
    let told = frames.concat();
    assert!(told.iter().map(|(index, ..)| *index).eq(2..27), "{told:?}");
}

/// One client cannot take all places, and does not get one more by asking again.
#[test]
fn subscriptions_of_a_connection_are_bounded() {
    let mut bench = Bench::serving();
    let first = bench.subscribe(all(), Begin::Now, 0);
    for _ in 1..SUBSCRIPTIONS_PER_CONNECTION {
        bench.subscribe(all(), Begin::Now, 0);
    }
    assert!(bench.heard().iter().all(|heard| heard.what == Thing::Subscribed));
    for _ in 0..2 {
        bench.subscribe(all(), Begin::Now, 0);
        assert_eq!(refused(&bench.hear()), Code::Throttled);
    }
    bench.ask(Opcode::Cancel, |out| CancelRequest { subscription: first }.encode(out));
    assert_eq!(bench.hear().what, Thing::Done);
    bench.subscribe(all(), Begin::Now, 0);
    assert_eq!(bench.hear().what, Thing::Subscribed);
}

/// The connection is another worker's: frames travel as letters, one at a time until it says that it has room.
#[test]
fn a_watcher_at_another_worker_is_told_one_frame_at_a_time() {
    let mut bench = Bench::start(0, 2);
    let frame = {
        let mut session = seawall::session::ClientSession::new();
        let mut out = Vec::new();
        let request = seawall::message::watch::SubscribeRequest {
            scope: all(),
            from: Begin::Now,
            rows: true,
            events: false,
            table: None,
            topic: None,
            credit: PLENTY,
        };
        session.ask(&mut out, Opcode::Subscribe, 0, |out| request.encode(out)).unwrap();
        out
    };
    let letter = Letter::Request { conn: CONN, shard: ShardId(1), frame };
    bench.step(Event::Mail { from: WorkerId(1), letter });
    let partition = (0..).map(|n| format!("p{n}")).find(|partition| {
        let hash = seawall::address::partition_hash("main", Key::from(partition).as_bytes());
        hash < 1 << 63 // shard 1 has the lower half
    });
    let partition = partition.unwrap();
    for n in 0..3 {
        bench.commit(&Commit::new(partition.as_str()).put(&row("cabin", n), [("state", "held")]));
        bench.settle();
    }
    let streams = |bench: &mut Bench| {
        let mail = std::mem::take(&mut bench.mail);
        let of_stream = mail.into_iter().filter_map(|(to, letter)| match letter {
            Letter::Stream { conn, subscription, .. } => Some((to, conn, subscription)),
            _ => None,
        });
        of_stream.collect::<Vec<_>>()
    };
    assert_eq!(streams(&mut bench), [(WorkerId(1), CONN, 1)], "the second waits until the first was taken");
    bench
        .step(Event::Mail { from: WorkerId(1), letter: Letter::StreamTaken { conn: CONN, subscription: 1 } });
    assert_eq!(streams(&mut bench), [(WorkerId(1), CONN, 1)], "one frame with all that was missed");
}

/// The oldest record that is kept is the first of its epoch: the place before it belongs to the epoch before, and a
/// token of any other place would name a record that never was.
#[test]
fn a_stream_of_all_that_is_kept_begins_behind_a_record_that_there_is() {
    let mut bench = Bench::serving();
    bench.done(&put("C14"));
    let mut bench = bench.restart();
    let watch = bench.subscribe(all(), Begin::Oldest, PLENTY);
    let heard = bench.heard();
    assert_eq!((&heard[0].what, heard[0].at), (&Thing::Subscribed, Some((1, 0))), "all of it is kept");
    assert_eq!(changes(&heard, watch), [(2, 0, "put cabin/C14".to_owned())]);
    bench.ask(Opcode::Cancel, |out| CancelRequest { subscription: watch }.encode(out));
    bench.heard();
    // What pushes the first epoch out of memory, and no more.
    bench.done(&Commit::new(PARTITION).put(&row("cabin", "C1"), [("state", "x".repeat(15_000))]));
    for cabin in ["C15", "C16", "C17"] {
        bench.done(&put(cabin));
    }
    bench.subscribe(all(), Begin::Oldest, PLENTY);
    let heard = bench.heard();
    assert_eq!((&heard[0].what, heard[0].at), (&Thing::Subscribed, Some((1, 2))));
    bench.tick_after(1);
    let heard: Vec<_> = heard.into_iter().chain(bench.heard()).collect();
    assert_eq!((&heard[1].what, heard[1].at), (&Thing::EpochChanged(1, 2), Some((1, 2))));
}

/// Each of many subscriptions found that there was room, and all of them took it in the same turn.
#[test]
fn many_subscriptions_of_a_deaf_client_have_the_room_of_one() {
    let mut bench = Bench::with_limits(LogLimits::default());
    for _ in 0..SUBSCRIPTIONS_PER_CONNECTION {
        bench.subscribe(all(), Begin::Now, 1 << 40);
    }
    bench.received.clear();
    bench.reads_nothing = true;
    let note = "x".repeat(30_000);
    let put = |n: u64| Commit::new(PARTITION).put(&row("cabin", n), [("note", note.as_str())]);
    bench.commit_many(&(0..30).map(put).collect::<Vec<_>>());
    bench.settle();
    bench.tick_after(1);
    bench.step(Event::StatusAsked { ticket: 1 });
    let waits = bench.status.pop().expect("an answer").output_bytes;
    assert!(waits > CONNECTION_OUTPUT / 2, "nothing was told: {waits}");
    // What waits and what is on its way, each with a frame more, in vectors that grow by doubling.
    assert!(waits <= 2 * 2 * (CONNECTION_OUTPUT + STREAM_FRAME_BYTES), "{waits} bytes wait for one client");
}

/// A deaf client of another worker could have a frame of each of its subscriptions under way there, and take all places.
#[test]
fn a_connection_at_another_worker_has_one_frame_under_way() {
    let mut bench = Bench::start(0, 2);
    let mut session = seawall::session::ClientSession::new();
    for _ in 0..5 {
        let request = seawall::message::watch::SubscribeRequest {
            scope: all(),
            from: Begin::Oldest,
            rows: true,
            events: false,
            table: None,
            topic: None,
            credit: PLENTY,
        };
        let mut frame = Vec::new();
        session.ask(&mut frame, Opcode::Subscribe, 0, |out| request.encode(out)).unwrap();
        let letter = Letter::Request { conn: CONN, shard: ShardId(1), frame };
        bench.step(Event::Mail { from: WorkerId(1), letter });
    }
    let partition = (0..).map(|n| format!("p{n}")).find(|partition| {
        let hash = seawall::address::partition_hash("main", Key::from(partition).as_bytes());
        hash < 1 << 63 // shard 1 has the lower half
    });
    bench.commit(&Commit::new(partition.unwrap().as_str()).put(&row("cabin", 1), [("state", "held")]));
    bench.settle();
    let mut told = Vec::new();
    for _ in 0..5 {
        bench.tick_after(1);
        let mail = std::mem::take(&mut bench.mail);
        let under_way: Vec<u64> = mail
            .into_iter()
            .filter_map(|(_, letter)| match letter {
                Letter::Stream { subscription, .. } => Some(subscription),
                _ => None,
            })
            .collect();
        let [subscription] = under_way[..] else { panic!("{under_way:?} at once") };
        told.push(subscription);
        let letter = Letter::StreamTaken { conn: CONN, subscription };
        bench.step(Event::Mail { from: WorkerId(1), letter });
    }
    told.sort_unstable();
    assert_eq!(told, [1, 2, 3, 4, 5], "each has its turn");
}
