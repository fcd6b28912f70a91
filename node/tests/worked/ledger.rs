//! A ledger of double entry: every transaction balances, a balance is the sum of its lines, what was written is never
//! changed, and a mistake is undone by another transaction, once.

use std::collections::BTreeMap;

use seawall::{Commit, RowRef, row};

use crate::fields;
use crate::history::{History, Moment, holds, int, text};
use crate::world::{Crash, World, every_crash, keyed, must_be_seen};

const LEDGER: &str = "ledger-eu";

/// Accounts and amounts in cents; what comes in is positive.
type Lines<'a> = &'a [(&'a str, i64)];

#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    /// A reference is posted again under another request key.
    NoReference,
    /// What was reversed is reversed again.
    NoReversed,
    /// One line is forgotten.
    NoBalance,
}

fn account(name: &str) -> RowRef {
    row("account", name)
}

/// The reference of a transaction is a row: it is known for as long as the ledger is.
fn post(care: Care, key: &str, reference: &str, lines: Lines<'_>) -> Commit {
    let transaction = row("transaction", reference);
    let lines = if care == Care::NoBalance { &lines[1..] } else { lines };
    let mut commit = keyed(LEDGER, key);
    if care != Care::NoReference {
        commit = commit.check(transaction.absent());
    }
    commit = commit.put(&transaction, fields!["lines" => lines.len() as i64]).event("posted", reference);
    for (nth, (name, amount)) in lines.iter().enumerate() {
        // Customers owe nothing; what they may not spend stops the whole transaction.
        let floor = if name.starts_with("customer") { Some(0) } else { None };
        let line = row("line", (reference, nth as i64));
        commit =
            commit.put(&line, fields!["transaction" => reference, "account" => *name, "amount" => *amount]);
        commit = match floor {
            Some(floor) => commit.add(&account(name), "balance", *amount, floor..),
            None => commit.add(&account(name), "balance", *amount, ..),
        };
    }
    commit
}

fn reverse(care: Care, key: &str, reference: &str, of: &str, lines: Lines<'_>) -> Commit {
    let opposite: Vec<(&str, i64)> = lines.iter().map(|(name, amount)| (*name, -amount)).collect();
    let reversal = row("reversal", of);
    let mut commit = post(care, key, reference, &opposite).check(row("transaction", of).exists());
    if care != Care::NoReversed {
        commit = commit.check(reversal.absent());
    }
    commit.put(&reversal, fields!["by" => reference])
}

fn script(world: &mut World, care: Care) {
    let paid_in: Lines<'_> = &[("bank", -500), ("customer-ann", 500)];
    let fare: Lines<'_> = &[("customer-ann", -120), ("fares", 100), ("tax", 20)];
    world.send_all(&[
        post(care, "post-1", "IN-1", paid_in),
        post(care, "post-2", "FARE-1", fare),
        post(care, "post-3", "FARE-1", &[("customer-ann", -99), ("fares", 99)]),
        post(care, "post-4", "FARE-2", &[("customer-ann", -400), ("fares", 400)]),
    ]);
    world.send_all(&[
        reverse(care, "reverse-1", "REV-1", "FARE-1", fare),
        reverse(care, "reverse-2", "REV-2", "FARE-1", fare),
        reverse(care, "reverse-3", "REV-3", "FARE-9", fare),
    ]);
    world.send(&post(care, "post-5", "FARE-3", &[("customer-ann", -400), ("fares", 400)]));
    world.send(&post(care, "post-5", "FARE-3", &[("customer-ann", -400), ("fares", 400)]));
}

fn check(history: &History) -> Result<(), String> {
    for (before, after) in history.changes() {
        for table in ["transaction", "line", "reversal"] {
            for (key, row) in before.table(LEDGER, table) {
                let same = after.row(LEDGER, table, key) == Some(row);
                holds(same, after, || format!("{table} {key} was changed"))?;
            }
        }
        balances(after)?;
        reversals(after)?;
    }
    Ok(())
}

fn balances(moment: &Moment) -> Result<(), String> {
    let (mut by_transaction, mut by_account) = (BTreeMap::new(), BTreeMap::new());
    for line in moment.table(LEDGER, "line").values() {
        let sum: &mut (i128, i128) = by_transaction.entry(text(line, "transaction")).or_default();
        *sum = (sum.0 + int(line, "amount"), sum.1 + 1);
        *by_account.entry(text(line, "account")).or_insert(0) += int(line, "amount");
    }
    let transactions = moment.table(LEDGER, "transaction");
    holds(by_transaction.len() == transactions.len(), moment, || "lines without a transaction".into())?;
    for (reference, transaction) in transactions {
        let (sum, count) = by_transaction.get(reference.as_str()).copied().unwrap_or_default();
        holds(sum == 0, moment, || format!("{reference} does not balance: {sum}"))?;
        holds(count == int(transaction, "lines"), moment, || format!("{reference} lost a line"))?;
    }
    for (name, account) in moment.table(LEDGER, "account") {
        let (balance, lines) = (int(account, "balance"), by_account.get(name.as_str()).copied().unwrap_or(0));
        holds(balance == lines, moment, || format!("{name} has {balance}, its lines {lines}"))?;
        holds(balance >= 0 || !name.starts_with("customer"), moment, || format!("{name} owes {balance}"))?;
    }
    Ok(())
}

/// What reverses a transaction is its mirror, and there is one of it.
fn reversals(moment: &Moment) -> Result<(), String> {
    let lines = |reference: &str| -> BTreeMap<&str, i128> {
        let lines = moment.table(LEDGER, "line").values();
        let ours = lines.filter(|line| text(line, "transaction") == reference);
        ours.map(|line| (text(line, "account"), int(line, "amount"))).collect()
    };
    let mirrors = moment.table(LEDGER, "transaction").keys().filter(|key| key.starts_with("REV")).count();
    let reversals = moment.table(LEDGER, "reversal");
    holds(mirrors == reversals.len(), moment, || "a transaction was reversed twice".into())?;
    for (of, reversal) in reversals {
        let mirror: BTreeMap<&str, i128> =
            lines(text(reversal, "by")).into_iter().map(|(name, amount)| (name, -amount)).collect();
        holds(mirror == lines(of), moment, || format!("the reversal of {of} is not its mirror"))?;
    }
    Ok(())
}

#[test]
fn every_transaction_balances_at_every_index() {
    every_crash(&[LEDGER], |world| script(world, Care::Full), check);
    let mut world = World::new(&[LEDGER], Crash::Never);
    script(&mut world, Care::Full);
    let refused: Vec<(String, String)> =
        world.outcomes().into_iter().filter(|(_, outcome)| outcome != "done").collect();
    let no = |key: &str, rule: &str| (key.to_owned(), rule.to_owned());
    let expected = [
        no("post-3", "check.absent"),
        no("post-4", "add.floor"),
        no("reverse-2", "check.absent"),
        no("reverse-3", "check.exists"),
    ];
    assert_eq!(refused, expected);
    assert_eq!(int(&world.read(LEDGER, &account("customer-ann")).unwrap(), "balance"), 100);
}

#[test]
fn the_checker_sees_a_bookkeeper_who_is_careless() {
    let bugs = [
        (Care::NoReference, "was changed"),
        (Care::NoReversed, "reversal FARE-1 was changed"),
        (Care::NoBalance, "does not balance"),
    ];
    for (care, what) in bugs {
        must_be_seen(&[LEDGER], |world| script(world, care), check, what);
    }
}
