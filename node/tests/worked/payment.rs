//! A payment is captured once for each trip. The charge is made by somebody else and outside of every commit: what
//! is intended is written before it, under the name that the provider charges by, and what came of it after it.

use std::collections::{BTreeMap, BTreeSet};

use seawall::{Commit, RowRef, row};

use crate::fields;
use crate::history::{History, Moment, holds, int, text};
use crate::world::{Crash, Unheard, World, every_crash, keyed, must_be_seen};

const PAYMENTS: &str = "payments-eu";
const FARE: i64 = 1200;

/// Charges a card once for each name, as providers do; the first attempt of each trip is declined.
#[derive(Default)]
struct Provider {
    charges: BTreeMap<String, Option<String>>,
}

impl Provider {
    /// The authorisation, unless the card is declined.
    fn charge(&mut self, trip: &str, attempt: u32) -> Option<String> {
        let name = format!("{trip}:{attempt}");
        let answer = (attempt > 1).then(|| format!("auth_{trip}_{attempt}"));
        self.charges.entry(name).or_insert(answer).clone()
    }

    fn charged(&self, trip: &str) -> usize {
        let of_trip = |name: &str| name.split(':').next() == Some(trip);
        self.charges.iter().filter(|(name, auth)| of_trip(name) && auth.is_some()).count()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    /// What was captured is captured again: by the client, and by the provider's own message.
    NoState,
    /// An authorisation is taken unseen.
    NoAuth,
}

fn payment(trip: &str) -> RowRef {
    row("payment", trip)
}

/// The first attempt of a trip makes its row, the next one follows on one that failed.
fn intend(trip: &str, attempt: u32) -> Commit {
    let commit = keyed(PAYMENTS, &format!("intend:{trip}:{attempt}"));
    let commit = match attempt {
        1 => commit.check(payment(trip).absent()),
        _ => commit
            .check(payment(trip).field("state").eq("failed"))
            .check(payment(trip).field("attempt").eq(attempt - 1)),
    };
    commit.put(&payment(trip), fields!["state" => "intended", "attempt" => attempt])
}

fn fail(trip: &str, attempt: u32) -> Commit {
    keyed(PAYMENTS, &format!("fail:{trip}:{attempt}"))
        .check(payment(trip).field("state").eq("intended"))
        .check(payment(trip).field("attempt").eq(attempt))
        .merge(&payment(trip), [("state", "failed")])
}

/// `by` is who says so: the client that charged, or the provider's own message.
fn capture(care: Care, by: &str, trip: &str, attempt: u32, auth: &str) -> Commit {
    let consumed = row("consumed", auth);
    let mut commit = keyed(PAYMENTS, &format!("capture:{trip}:{attempt}:{by}"));
    if care != Care::NoState {
        commit = commit
            .check(payment(trip).field("state").eq("intended"))
            .check(payment(trip).field("attempt").eq(attempt));
    }
    if care == Care::Full {
        commit = commit.check(consumed.absent());
    }
    commit
        .merge(&payment(trip), fields!["state" => "captured", "auth" => auth, "amount" => FARE])
        .put(&consumed, fields!["by" => trip])
        .add(&row("account", "fares"), "balance", FARE, 0..)
        .event("captured", trip)
}

/// Pays for a trip, from the beginning. Whoever does it may die where an answer is not heard, and then it is done
/// from the beginning by somebody else, who knows nothing.
fn pay(world: &mut World, provider: &mut Provider, care: Care, trip: &str) -> Result<(), Unheard> {
    for attempt in 1..=3 {
        if !world.try_send(&intend(trip, attempt))?.is_done() {
            return Ok(());
        }
        match provider.charge(trip, attempt) {
            None => {
                world.try_send(&fail(trip, attempt))?;
            }
            Some(auth) => {
                world.try_send(&capture(care, "client", trip, attempt, &auth))?;
                world.try_send(&capture(care, "provider", trip, attempt, &auth))?;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn script(world: &mut World, care: Care) {
    let mut provider = Provider::default();
    for trip in ["T1", "T2", "T1"] {
        while pay(world, &mut provider, care, trip).is_err() {}
    }
    // Somebody presents the authorisation of T1 for a trip that is not paid.
    world.send(&intend("T3", 1));
    world.send(&capture(care, "client", "T3", 1, "auth_T1_2"));
    let history = world.history();
    for trip in ["T1", "T2"] {
        assert_eq!(provider.charged(trip), 1, "the card is charged once for {trip}");
        let paid = history.last().row(PAYMENTS, "payment", trip).expect("it was intended");
        assert_eq!(text(paid, "state"), "captured", "{trip} was charged, and nobody knows");
    }
}

fn check(history: &History) -> Result<(), String> {
    for (before, after) in history.changes() {
        for (trip, now) in after.table(PAYMENTS, "payment") {
            let was = before.row(PAYMENTS, "payment", trip).map(state).unwrap_or_default();
            let is = state(now);
            let allowed = match (was.0, is.0) {
                ("", "intended") => is.1 == 1,
                ("intended", "failed" | "captured") => is.1 == was.1,
                ("failed", "intended") => is.1 == was.1 + 1,
                _ => was == is,
            };
            holds(allowed, after, || format!("{trip} went from {was:?} to {is:?}"))?;
        }
        captured(after)?;
    }
    Ok(())
}

fn state(payment: &seawall::Row) -> (&str, i128) {
    (text(payment, "state"), int(payment, "attempt"))
}

/// Each capture has an authorisation of its own, and the account has what was captured.
fn captured(moment: &Moment) -> Result<(), String> {
    let payments = moment.table(PAYMENTS, "payment").values();
    let captured: Vec<_> = payments.filter(|payment| text(payment, "state") == "captured").collect();
    let auths: BTreeSet<&str> = captured.iter().map(|payment| text(payment, "auth")).collect();
    holds(auths.len() == captured.len(), moment, || "an authorisation pays for two trips".into())?;
    let consumed = moment.table(PAYMENTS, "consumed").len();
    holds(consumed == auths.len(), moment, || format!("{consumed} are consumed for {auths:?}"))?;
    let sum: i128 = captured.iter().map(|payment| int(payment, "amount")).sum();
    let balance = moment.row(PAYMENTS, "account", "fares").map_or(0, |account| int(account, "balance"));
    holds(sum == balance, moment, || format!("{sum} was captured, the account has {balance}"))
}

#[test]
fn a_trip_is_charged_and_captured_once() {
    every_crash(&[PAYMENTS], |world| script(world, Care::Full), check);
    let mut world = World::new(&[PAYMENTS], Crash::Never);
    script(&mut world, Care::Full);
    let outcomes = world.outcomes();
    assert_eq!(outcomes["capture:T1:2:client"], "done");
    assert_eq!(outcomes["capture:T1:2:provider"], "check.compare");
    assert_eq!(outcomes["capture:T3:1:client"], "check.absent");
    let fares = world.read(PAYMENTS, &row("account", "fares")).unwrap();
    assert_eq!(int(&fares, "balance"), 2 * i128::from(FARE));
}

#[test]
fn the_checker_sees_a_cashier_who_is_careless() {
    let twice = "the account has";
    must_be_seen(&[PAYMENTS], |world| script(world, Care::NoState), check, twice);
    let shared = "pays for two trips";
    must_be_seen(&[PAYMENTS], |world| script(world, Care::NoAuth), check, shared);
}
