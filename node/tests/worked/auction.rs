//! An auction: accepted amounts strictly increase, none is accepted at or after the end, and whoever was refused is
//! refused again.

use seawall::{Commit, RowRef, Value, now, row};

use crate::fields;
use crate::history::{History, Moment, holds, int, text};
use crate::support::WALL_US;
use crate::world::{Crash, SECOND, World, every_crash, keyed, must_be_seen};

const AUCTION: &str = "auction-7";
const END_US: i64 = WALL_US + 60 * SECOND as i64;

fn state() -> RowRef {
    row("auction", "state")
}

#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    NoHighest,
    NoEnd,
    NoStatus,
}

fn bid(care: Care, key: &str, bidder: &str, amount: i64) -> Commit {
    let mut commit = keyed(AUCTION, key);
    if care != Care::NoStatus {
        commit = commit.check(state().field("status").eq("open"));
    }
    if care != Care::NoEnd {
        commit = commit.check(now().lt(state().field("end")));
    }
    if care != Care::NoHighest {
        commit = commit.check(state().field("highest").lt(amount));
    }
    commit
        .merge(&state(), fields!["highest" => amount, "winner" => bidder])
        .append(&row("bid", "accepted"), fields!["amount" => amount, "bidder" => bidder])
        .event("bid-accepted", bidder)
}

fn open() -> Commit {
    let end = Value::Time(END_US);
    keyed(AUCTION, "open").put(&state(), fields!["status" => "open", "highest" => 0, "end" => end])
}

fn script(world: &mut World, care: Care) {
    world.send(&open());
    world.send_all(&[
        bid(care, "bid-1", "ann", 10),
        bid(care, "bid-2", "bob", 12),
        bid(care, "bid-3", "eve", 11),
        bid(care, "bid-4", "ann", 12),
        bid(care, "bid-5", "bob", 15),
    ]);
    world.send(&bid(care, "bid-6", "eve", 15));
    world.send(&bid(care, "bid-2", "bob", 12)); // heard already, and asked again
    world.pass(61 * SECOND);
    world.send(&bid(care, "bid-7", "eve", 99));
    let close = keyed(AUCTION, "close").check(now().ge(state().field("end")));
    assert!(world.send(&close.merge(&state(), [("status", "closed")])).is_done());
    world.send(&bid(care, "bid-8", "ann", 100));
}

/// The accepted bids in their order.
fn accepted(moment: &Moment) -> Vec<(i128, String)> {
    let mut bids: Vec<_> = moment.table(AUCTION, "bid").iter().collect();
    bids.sort_by_key(|(key, _)| (key.len(), key.as_str()));
    bids.into_iter().map(|(_, row)| (int(row, "amount"), text(row, "bidder").to_owned())).collect()
}

fn check(history: &History) -> Result<(), String> {
    for (before, after) in history.changes() {
        let (old, new) = (accepted(before), accepted(after));
        holds(new.starts_with(&old), after, || "an accepted bid changed".into())?;
        let rise = new.is_sorted_by(|one, next| one.0 < next.0);
        holds(rise, after, || format!("accepted amounts do not increase: {new:?}"))?;
        if let Some((amount, bidder)) = new.last() {
            let state = after.row(AUCTION, "auction", "state").expect("it was opened");
            let shown = (int(state, "highest"), text(state, "winner"));
            holds(shown == (*amount, bidder), after, || format!("{shown:?} is shown, {new:?} are bids"))?;
        }
        if new.len() == old.len() {
            continue;
        }
        holds(new.len() == old.len() + 1, after, || "two bids at one index".into())?;
        holds(after.time_us < END_US, after, || "a bid was accepted after the end".into())?;
        let state = before.row(AUCTION, "auction", "state").expect("it was opened");
        holds(text(state, "status") == "open", after, || "a bid was accepted when closed".into())?;
        let told = after.events.iter().filter(|(topic, _)| topic == "bid-accepted").count();
        holds(told == 1, after, || format!("one bid was told {told} times"))?;
    }
    Ok(())
}

#[test]
fn accepted_amounts_increase_and_none_comes_after_the_end() {
    every_crash(&[AUCTION], |world| script(world, Care::Full), check);
    let mut world = World::new(&[AUCTION], Crash::Never);
    script(&mut world, Care::Full);
    let bids = accepted(world.history().last());
    assert_eq!(bids.iter().map(|(amount, _)| *amount).collect::<Vec<_>>(), [10, 12, 15]);
}

#[test]
fn the_checker_sees_an_auctioneer_who_is_careless() {
    let late = |world: &mut World, care: Care| {
        world.send(&open());
        world.send(&keyed(AUCTION, "close").merge(&state(), [("status", "closed")]));
        world.send(&bid(care, "bid-1", "ann", 1));
    };
    must_be_seen(&[AUCTION], |world| script(world, Care::NoHighest), check, "do not increase");
    must_be_seen(&[AUCTION], |world| script(world, Care::NoEnd), check, "after the end");
    must_be_seen(&[AUCTION], |world| late(world, Care::NoStatus), check, "when closed");
}

/// The last microsecond is the auction's, the next one is not: by the time that is in the record.
#[test]
fn a_bid_at_the_very_end_is_too_late() {
    for (early_us, accepts) in [(1, true), (0, false)] {
        let mut world = World::new(&[AUCTION], Crash::Never);
        world.send(&open());
        let bench = world.bench();
        // Each event takes a microsecond.
        bench.pass((END_US - bench.wall_us) as u64 - 1 - early_us);
        let answer = world.send(&bid(Care::Full, "bid-1", "ann", 10));
        assert_eq!(answer.is_done(), accepts);
        let history = world.history();
        let decided = history.0.iter().find(|moment| moment.time_us >= END_US - 1).expect("it has a record");
        assert_eq!(decided.time_us, END_US - early_us as i64);
    }
}

/// The refusal is what was decided, and not what would be decided now.
#[test]
fn a_rejected_bid_repeats_its_rejection_when_it_could_win() {
    let mut world = World::new(&[AUCTION], Crash::Never);
    world.send(&open());
    world.send(&bid(Care::Full, "bid-1", "ann", 10));
    let low = bid(Care::Full, "bid-2", "bob", 5);
    let refused = world.send(&low);
    assert_eq!(refused.outcome(), "check.compare");
    world.send(&keyed(AUCTION, "annul").merge(&state(), fields!["highest" => 0]));
    assert_eq!(world.send(&low), refused);
}
