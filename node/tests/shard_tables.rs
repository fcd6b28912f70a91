//! Declared tables and their indexes: each test is an execution that a rule prevents.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use seawall::message::Opcode;
use seawall::message::declare::{Declaration, Field, Index, Kind, SumZero, Transitions};
use seawall::message::scan::{Order, Span};
use seawall::refusal::{Code, Detail, Refusal};
use seawall::{Commit, Key, Row, Value, row};
use seawall_node::params::{DECLARE_ROWS, EXPIRY_SPREAD_US};
use seawall_node::shard::Budget;
use support::Bench;
use support::heard::{Heard, Scan, Thing};

const PARTITION: &str = "HP-2026-07-14";

fn on(n: u64, row: Row) -> Commit {
    Commit::new(PARTITION).put(&seawall::row("t", n), row)
}

fn by(fields: &[&str], unique: bool) -> Index {
    Index { fields: fields.iter().map(|f| (*f).to_owned()).collect(), unique, only: None }
}

fn indexed(indexes: &[(&str, Index)]) -> Declaration {
    let indexes = indexes.iter().map(|(name, index)| ((*name).to_owned(), index.clone())).collect();
    Declaration { indexes, ..Declaration::default() }
}

fn declared(bench: &mut Bench, version: u64, declaration: &Declaration) -> Heard {
    bench.declare("t", version, declaration);
    bench.settle();
    bench.hear()
}

fn refusal(heard: &Heard) -> &Refusal {
    match &heard.what {
        Thing::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn rule(heard: &Heard) -> (Code, String) {
    (refusal(heard).code, refusal(heard).reason.rule.to_string())
}

/// The row numbers of an index in its order.
fn by_index(bench: &mut Bench, index: &str, span: Span<'_>, order: Order, limit: usize) -> Vec<Key> {
    let (mut found, mut behind) = (Vec::new(), Vec::new());
    loop {
        let scan = Scan { index: Some(index), span, order, limit, cursor: &behind, ..Scan::default() };
        bench.scan(&Key::from(PARTITION), &scan);
        bench.settle();
        let Thing::Page { rows, cursor } = bench.hear().what else { panic!("a page") };
        found.extend(rows.into_iter().map(|(key, _)| key));
        if cursor.is_empty() {
            return found;
        }
        behind = cursor;
    }
}

/// Two holders of one seat: each saw no other, because the first was not durable yet.
#[test]
fn a_unique_key_is_taken_as_soon_as_it_is_appended() {
    let mut bench = Bench::serving();
    declared(&mut bench, 1, &indexed(&[("seat", by(&["seat"], true))]));
    let seat = |seat: &str| Row::new().with("seat", seat);
    bench.commit(&on(1, seat("12A")));
    bench.commit(&on(2, seat("12A")));
    assert_eq!(bench.heard(), [], "the refusal rests on a record that is not durable (R20)");
    bench.settle();
    let heard = bench.heard();
    assert_eq!(heard[0].what, Thing::Committed);
    assert_eq!(rule(&heard[1]), (Code::Constraint, "table.unique".to_owned()));
    assert_eq!(heard[1].at, Some((1, 3)));
    // It names the row that has the seat, and shows it to whoever asks.
    assert_eq!(refusal(&heard[1]).reason.observed, "12A twice: t/int:1 has it");
    let heard = bench.done(&on(2, seat("12A")).returning_rows());
    let Detail::Operation { row: Some(shown), .. } = &refusal(&heard).reason.detail else {
        panic!("{heard:?}")
    };
    assert_eq!(Row::decode(&shown.row), Ok(seat("12A")));
    // In one commit: twice is refused, handing over is not.
    let twice = on(3, seat("1B")).put(&row("t", 4), seat("1B"));
    assert_eq!(rule(&bench.done(&twice)).0, Code::Constraint);
    let swap = on(1, seat("9F")).put(&row("t", 2), seat("12A"));
    assert_eq!(bench.done(&swap).what, Thing::Committed);
    // Another partition has seats of its own, and a deleted row holds none.
    let elsewhere = Commit::new("another").put(&row("t", 1), seat("12A"));
    assert_eq!(bench.done(&elsewhere).what, Thing::Committed);
    assert_eq!(bench.done(&Commit::new(PARTITION).delete(&row("t", 2))).what, Thing::Committed);
    assert_eq!(bench.done(&on(7, seat("12A"))).what, Thing::Committed);
    let mut bench = bench.restart();
    assert_eq!(rule(&bench.done(&on(8, seat("12A")))).0, Code::Constraint, "after a restart too");
}

/// R20 over an index: the page would show, or not show, what a crash takes back.
#[test]
fn a_page_of_an_index_waits_for_what_moved_in_it() {
    let mut bench = Bench::serving();
    declared(&mut bench, 1, &indexed(&[("state", by(&["state"], false))]));
    let state = |state: &str| Row::new().with("state", state);
    bench.done(&on(1, state("free")));
    bench.commit(&on(1, state("held")));
    let free = Key::from("free");
    let scan = Scan { index: Some("state"), span: Span::Prefix(free.as_bytes()), ..Scan::default() };
    bench.scan(&Key::from(PARTITION), &scan);
    assert_eq!(bench.heard(), [], "that it is free no more is not durable");
    bench.settle();
    let heard = bench.heard();
    let Thing::Page { rows, .. } = &heard[1].what else { panic!("{heard:?}") };
    assert_eq!((rows.len(), heard[1].at), (0, Some((1, 4))));
    bench.scan(&Key::from(PARTITION), &Scan { index: Some("none"), ..Scan::default() });
    assert_eq!(refusal(&bench.hear()).code, Code::BadFrame);
}

/// Indexes, partial and of several fields, agree with a model over changes, deletions, restarts and checkpoints.
#[test]
fn indexes_agree_with_a_model() {
    let mut bench = Bench::serving();
    let partial = Index { only: Some(("s".into(), vec![Value::from("on")])), ..by(&["b"], false) };
    let declaration = indexed(&[("ab", by(&["a", "b"], false)), ("on", partial)]);
    let mut model: BTreeMap<u64, Row> = BTreeMap::new();
    let mut chance = 11u64;
    let mut next = |below: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % below
    };
    for round in 0..8u64 {
        if round == 1 {
            assert_eq!(declared(&mut bench, 1, &declaration).what, Thing::Done, "over rows that are there");
        }
        for _ in 0..40 {
            let n = next(50);
            if next(5) == 0 {
                bench.commit(&Commit::new(PARTITION).delete(&row("t", n)));
                model.remove(&n);
            } else {
                let mut image = Row::new().with("a", next(4)).with("p", "x".repeat(next(800) as usize));
                if next(4) > 0 {
                    image.insert("b", format!("b{}", next(5)));
                }
                image.insert("s", if next(2) == 0 { "on" } else { "off" });
                bench.commit(&on(n, image.clone()));
                model.insert(n, image);
            }
        }
        bench.settle();
        if round % 3 == 2 {
            bench = bench.restart();
        }
        bench.heard();
        if round == 0 {
            continue;
        }
        let key = |row: &Row, fields: &[&str]| -> Option<Vec<Value>> {
            fields.iter().map(|field| row.get(field).cloned()).collect()
        };
        let text = |value: &Value| value.to_string(); // one digit or two letters: sorts as the values do
        let sorted = |fields: &[&str], all: bool| {
            let wanted = model.iter().filter(|(_, row)| all || row.get("s") == Some(&Value::from("on")));
            let keyed: BTreeSet<(Vec<String>, u64)> = wanted
                .filter_map(|(n, row)| Some((key(row, fields)?.iter().map(text).collect(), *n)))
                .collect();
            keyed.into_iter().map(|(_, n)| Key::from(n)).collect::<Vec<_>>()
        };
        let limit = 1 + next(20) as usize;
        let mut wanted = sorted(&["a", "b"], true);
        assert_eq!(by_index(&mut bench, "ab", Span::All, Order::Ascending, limit), wanted);
        wanted.reverse();
        assert_eq!(by_index(&mut bench, "ab", Span::All, Order::Descending, limit), wanted);
        assert_eq!(by_index(&mut bench, "on", Span::All, Order::Ascending, limit), sorted(&["b"], false));
    }
}

/// What a table promises of one row, of its states, of what is never changed, and of sums.
#[test]
fn promises_are_kept_by_every_commit() {
    let mut bench = Bench::serving();
    let text = |required| Field { kind: Kind::Text, required };
    let states = Transitions {
        initial: vec!["free".into()],
        allowed: vec![("free".into(), "held".into()), ("held".into(), "free".into())],
    };
    let declaration = Declaration {
        strict: true,
        fields: [("state".to_owned(), text(true)), ("note".to_owned(), text(false))].into(),
        transitions: [("state".to_owned(), states)].into(),
        ..Declaration::default()
    };
    declared(&mut bench, 1, &declaration);
    let state = |state: &str| Row::new().with("state", state);
    let broken = |bench: &mut Bench, commit: &Commit| rule(&bench.done(commit)).1;
    assert_eq!(broken(&mut bench, &on(1, state("free").with("other", 1))), "table.strict");
    assert_eq!(broken(&mut bench, &on(1, Row::new().with("state", 7))), "table.kind");
    assert_eq!(broken(&mut bench, &on(1, Row::new().with("note", "x"))), "table.required");
    assert_eq!(rule(&bench.done(&on(1, state("held")))).0, Code::InvalidTransition, "no beginning");
    assert_eq!(bench.done(&on(1, state("free"))).what, Thing::Committed);
    assert_eq!(bench.done(&on(1, state("held").with("note", "x"))).what, Thing::Committed);
    let merge = Commit::new(PARTITION).merge(&row("t", 1), [("state", "sold")]);
    let heard = bench.done(&merge);
    assert_eq!(rule(&heard).0, Code::InvalidTransition, "a MERGE is held to it as well");
    assert!(refusal(&heard).reason.expected.contains("free"), "{heard:?}");
    let never = Declaration { append_only: true, ..Declaration::default() };
    assert_eq!(declared(&mut bench, 2, &never).what, Thing::Done);
    assert_eq!(broken(&mut bench, &on(1, state("free"))), "table.append_only");
    assert_eq!(broken(&mut bench, &Commit::new(PARTITION).delete(&row("t", 1))), "table.append_only");
    let per = Some("cur".to_owned());
    let sums = [SumZero { field: "amount".into(), per }].into();
    assert_eq!(declared(&mut bench, 3, &Declaration { sums, ..Declaration::default() }).what, Thing::Done);
    let entry = |amount: i32, cur: &str| Row::new().with("amount", amount).with("cur", cur);
    let unlike = on(5, entry(5, "EUR")).put(&row("t", 6), entry(-5, "USD"));
    assert_eq!(broken(&mut bench, &unlike), "table.sum_zero");
    let balanced = on(5, entry(5, "EUR")).put(&row("t", 6), entry(-5, "EUR"));
    assert_eq!(bench.done(&balanced).what, Thing::Committed);
}

/// A declaration that rows break is refused with the first of them; versions follow each other; a restart knows it.
#[test]
fn declarations_are_versioned_and_true_of_the_rows_that_are_there() {
    let mut bench = Bench::serving();
    bench.done(&on(3, Row::new().with("seat", "1A")));
    bench.done(&on(4, Row::new().with("seat", "1A")));
    let unique = indexed(&[("seat", by(&["seat"], true))]);
    let heard = declared(&mut bench, 1, &unique);
    assert_eq!(rule(&heard), (Code::Constraint, "table.unique".to_owned()));
    let Detail::Row { row: offender, .. } = &refusal(&heard).reason.detail else { panic!("{heard:?}") };
    assert_eq!(*offender, row("t", 4));
    bench.ask(Opcode::Describe, |out| out.extend_from_slice(b"\x01t"));
    assert_eq!(bench.hear().what, Thing::Declared(None), "nothing was declared");
    bench.done(&Commit::new(PARTITION).delete(&row("t", 4)));
    assert_eq!(refusal(&declared(&mut bench, 2, &unique)).code, Code::CasFailed);
    bench.declare("t", 1, &unique);
    assert_eq!(bench.heard(), [], "not durable");
    bench.ask(Opcode::Describe, |out| out.extend_from_slice(b"\x01t"));
    assert_eq!(bench.heard(), [], "nor may it be shown (R20)");
    bench.settle();
    let told: Vec<Thing> = bench.heard().into_iter().map(|heard| heard.what).collect();
    assert_eq!(told, [Thing::Done, Thing::Declared(Some(1))]);
    assert_eq!(declared(&mut bench, 1, &unique).what, Thing::Done, "the same again is fine");
    assert_eq!(refusal(&declared(&mut bench, 1, &indexed(&[]))).code, Code::CasFailed);
    let mut bench = bench.restart();
    bench.ask(Opcode::Describe, |out| out.extend_from_slice(b"\x01t"));
    assert_eq!(bench.hear().what, Thing::Declared(Some(1)));
    assert_eq!(by_index(&mut bench, "seat", Span::All, Order::Ascending, 9), [Key::from(3)]);
}

/// A row without a ttl of its own lives as long as its table says, and its index entry goes with it.
#[test]
fn rows_of_a_table_with_a_ttl_end_with_their_entries() {
    let mut bench = Bench::serving();
    let ttl = seawall::message::term::Ttl::from_ms(50);
    let declaration = Declaration { default_ttl: ttl, ..indexed(&[("seat", by(&["seat"], true))]) };
    declared(&mut bench, 1, &declaration);
    bench.done(&on(1, Row::new().with("seat", "1A")));
    assert_eq!(by_index(&mut bench, "seat", Span::All, Order::Ascending, 9), [Key::from(1)]);
    bench.tick_after(EXPIRY_SPREAD_US + 300_000);
    bench.settle();
    assert_eq!(by_index(&mut bench, "seat", Span::All, Order::Ascending, 9), []);
    assert_eq!(bench.done(&on(2, Row::new().with("seat", "1A"))).what, Thing::Committed);
}

/// What would hold up the shard for long is refused, and says so; what just fits is not.
#[test]
fn a_declaration_that_would_look_at_too_many_rows_is_refused() {
    let mut bench = Bench::serving();
    let (each, unique) = (128, indexed(&[("n", by(&["n"], true))]));
    let mut put = 0;
    while put + each < DECLARE_ROWS as u64 {
        let rows = put..put + each;
        let commit =
            rows.fold(Commit::new(PARTITION), |commit, n| commit.put(&row("t", n), [("n", n as i64)]));
        assert_eq!(bench.done(&commit).what, Thing::Committed);
        put += each;
    }
    // One is for the look from partition to partition.
    let last = (put..DECLARE_ROWS as u64 - 1)
        .fold(Commit::new(PARTITION), |commit, n| commit.put(&row("t", n), [("n", n as i64)]));
    bench.done(&last);
    assert_eq!(declared(&mut bench, 1, &unique).what, Thing::Done);
    for n in 0..2 {
        bench.done(&on(1_000_000 + n, Row::new().with("n", -1 - n as i64)));
    }
    let heard = declared(&mut bench, 2, &unique);
    assert_eq!(rule(&heard), (Code::TooLarge, "declare.rows_to_scan".to_owned()));
    let status = shard_status(&mut bench);
    assert!(status.memory.indexes > DECLARE_ROWS * 32, "an index takes memory, too: {:?}", status.memory);
}

/// An index counts against the memory of its shard.
#[test]
fn indexes_count_against_the_memory() {
    let budget = Budget { memory_bytes: 40_000, ..Budget::default() };
    let rows = |declaration: &Declaration| {
        let mut bench = Bench::with_budget(budget);
        declared(&mut bench, 1, declaration);
        (0..).find(|n| bench.done(&on(*n, Row::new().with("n", *n as i64))).what != Thing::Committed).unwrap()
    };
    let (plain, twice) = (rows(&indexed(&[])), rows(&indexed(&[("n", by(&["n"], false))])));
    assert!(twice * 3 < plain * 2 && twice > 20, "{plain} rows, or {twice} with an index");
}

fn shard_status(bench: &mut Bench) -> seawall_node::seam::ShardStatus {
    bench.step(seawall_node::seam::Event::StatusAsked { ticket: 1 });
    bench.status.pop().unwrap().shards.remove(0)
}

/// An index was there only once a row was in it: a scan of an empty table was refused as a mistake of the client.
#[test]
fn an_index_of_no_rows_has_an_empty_page() {
    let mut bench = Bench::serving();
    declared(&mut bench, 1, &indexed(&[("seat", by(&["seat"], true))]));
    assert_eq!(by_index(&mut bench, "seat", Span::All, Order::Ascending, 9), []);
    let mut bench = bench.restart();
    assert_eq!(by_index(&mut bench, "seat", Span::All, Order::Ascending, 9), [], "after a restart, too");
}

/// Who is refused wants to know by whom.
#[test]
fn a_key_that_is_taken_is_refused_with_the_row_that_has_it() {
    let mut bench = Bench::serving();
    declared(&mut bench, 1, &indexed(&[("seat", by(&["seat"], true))]));
    let seat = |seat: &str| Row::new().with("seat", seat);
    bench.done(&on(1, seat("12A")));
    let observed = |heard: Heard| refusal(&heard).reason.observed.to_string();
    assert_eq!(observed(bench.done(&on(2, seat("12A")))), "12A twice: t/int:1 has it");
    let twice = on(3, seat("1B")).put(&row("t", 4), seat("1B"));
    assert_eq!(observed(bench.done(&twice)), "1B twice: t/int:3 has it", "in one commit, too");
}

/// R20. A row is gone, but not durably: that it may not begin as it does rests on its deletion.
#[test]
fn a_refusal_for_a_state_waits_for_the_deletion_that_it_saw() {
    let mut bench = Bench::serving();
    let states = Transitions { initial: vec!["free".into()], allowed: vec![("free".into(), "held".into())] };
    let transitions = [("state".to_owned(), states)].into();
    declared(&mut bench, 1, &Declaration { transitions, ..Declaration::default() });
    bench.done(&on(1, Row::new().with("state", "free")));
    bench.commit(&Commit::new(PARTITION).delete(&row("t", 1)));
    bench.commit(&on(1, Row::new().with("state", "held")));
    assert_eq!(bench.heard(), [], "a crash takes the deletion back, and with it the refusal");
    bench.settle();
    let heard = bench.heard();
    assert_eq!((rule(&heard[1]).0, heard[1].at), (Code::InvalidTransition, heard[0].at));
}

/// R20. The first of two keys of a commit is free since a moment ago, the second one is taken since long.
#[test]
fn a_refusal_for_a_key_waits_for_the_keys_before_it() {
    let mut bench = Bench::serving();
    declared(&mut bench, 1, &indexed(&[("seat", by(&["seat"], true))]));
    let seat = |seat: &str| Row::new().with("seat", seat);
    bench.done(&on(1, seat("1A")));
    bench.done(&on(2, seat("2B")));
    bench.commit(&Commit::new(PARTITION).delete(&row("t", 1)));
    bench.commit(&on(3, seat("1A")).put(&row("t", 4), seat("2B")));
    assert_eq!(bench.heard(), [], "without the deletion it is the first key that is taken");
    bench.settle();
    let heard = bench.heard();
    assert_eq!((rule(&heard[1]).0, heard[1].at), (Code::Constraint, heard[0].at));
}

/// R20. A declaration is refused for two rows with one key, and the first of them is not durable.
#[test]
fn a_refused_declaration_waits_for_all_rows_that_it_saw() {
    let mut bench = Bench::serving();
    let seat = |seat: &str| Row::new().with("seat", seat);
    bench.done(&on(2, seat("1A")));
    bench.commit(&on(1, seat("1A")));
    bench.declare("t", 1, &indexed(&[("seat", by(&["seat"], true))]));
    assert_eq!(bench.heard(), [], "a crash takes the other row back");
    bench.settle();
    let heard = bench.heard();
    assert_eq!((rule(&heard[1]).0, heard[1].at), (Code::Constraint, heard[0].at));
}

/// R20. Without the version before it the declaration would have been refused for its version, and not for a row.
#[test]
fn a_refused_declaration_waits_for_the_version_before_it() {
    let mut bench = Bench::serving();
    bench.done(&on(1, Row::new().with("note", "x")));
    let field = Field { kind: Kind::Int, required: true };
    let needs = Declaration { fields: [("n".to_owned(), field)].into(), ..Declaration::default() };
    bench.declare("t", 1, &Declaration::default());
    bench.declare("t", 2, &needs);
    assert_eq!(bench.heard(), [], "a crash takes the first version back");
    bench.settle();
    let heard = bench.heard();
    assert_eq!((rule(&heard[1]).1, heard[1].at), ("table.required".to_owned(), heard[0].at));
}
