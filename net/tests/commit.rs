//! Commits, outcomes and numbers: what is accepted is whole and canonical, and one above each limit is refused.

use std::cmp::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;
use seawall::key::Part;
use seawall::limits::*;
use seawall::message::assigned::{Result as Came, Results};
use seawall::message::check::Compare;
use seawall::message::commit::decode_commit;
use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::request_key::{KeyName, StoredName};
use seawall::message::term::Ttl;
use seawall::message::{CommitRequest, Fingerprint, RequestKey};
use seawall::number::{self, NoSum};
use seawall::position::Position;
use seawall::refusal::{Detail, Refusal};
use seawall::value::ValueRef;
use seawall::{Code, Commit, Key, Value, now, row};

const AT: Position = Position::new(1, 7);

fn ttl() -> Ttl {
    Ttl::from_ms(5).unwrap()
}

/// One commit with every check and every operation, or with some of them.
fn commit_of(pieces: &[u8]) -> Commit {
    let (a, b, c) = (row("t", 1), row("t", "b"), row("stream", ("x", 3)));
    pieces.iter().fold(Commit::new(("p", 7)).key("k").first_sent(9), |commit, piece| match piece % 18 {
        0 => commit.check(a.exists()),
        1 => commit.check(b.absent()),
        2 => commit.check(a.field("n").ge(Value::Decimal { mantissa: -5, scale: 2 })),
        3 => commit.check(a.version().ne(AT)),
        4 => commit.check(now().lt(b.field("ends"))),
        5 => commit.check(a.field("state").is_in(["x", "y"])),
        6 => commit.check(a.lease_held(AT)),
        7 => commit.merge(&a, [("s", "é")]),
        8 => commit.add(&a, "n", 1, ..),
        9 => commit.add(&a, "n", -1, (0, b.field("limit"))),
        10 => commit.max(&a, "m", Value::Time(-1)),
        11 => commit.min(&a, "m", "text"),
        12 => commit.set_add(&a, "set", ["x", "y"]),
        13 => commit.set_remove(&a, "set", [[0u8, 255]]),
        14 => commit.append(&c, [("v", vec![1u8, 2])]),
        15 => commit.event("topic", [0u8; 3]),
        16 => commit.returning_rows().durable_on(2),
        _ => commit.session_key([7; 16], 300, -1),
    })
}

fn whole() -> Commit {
    commit_of(&(0..18).collect::<Vec<u8>>())
        .put_for(&row("t", 2), [("a", true)], ttl())
        .delete(&row("t", 3))
        .lease_acquire(&row("t", 1), ttl())
        .lease_renew(&row("t", 2), AT, ttl())
        .lease_release(&row("t", 3), AT)
}

fn payload(commit: &Commit) -> Vec<u8> {
    let mut out = Vec::new();
    commit.encode(&mut out);
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Written again from what was read.
fn again(commit: &CommitRequest<'_>) -> Vec<u8> {
    let mut out = vec![commit.min_durability];
    RequestKey::encode(commit.request_key.as_ref(), &mut out);
    put_varint(&mut out, commit.partition.len());
    out.extend_from_slice(commit.partition);
    out.push(u8::from(commit.return_rows));
    put_varint(&mut out, commit.checks.len());
    put_varint(&mut out, commit.ops.len());
    commit.checks.iter().for_each(|check| check.encode(&mut out));
    commit.ops.iter().for_each(|op| op.encode(&mut out));
    out
}

#[test]
fn every_piece_survives() {
    let bytes = payload(&whole());
    let commit = decode_commit(&bytes).unwrap();
    assert_eq!((commit.checks.len(), commit.ops.len()), (7, 14));
    assert_eq!((commit.return_rows, commit.min_durability), (true, 2));
    assert_eq!(again(&commit), bytes);
    assert_eq!(commit.request_key.unwrap().first_sent_us, -1);
}

#[test]
fn a_commit_that_ends_early_or_late_is_refused() {
    let mut bytes = payload(&whole());
    for len in 0..bytes.len() {
        assert!(decode_commit(&bytes[..len]).is_err(), "cut at {len}");
    }
    bytes.push(0);
    assert_eq!(decode_commit(&bytes).map_err(|refusal| refusal.code), Err(Code::BadFrame));
}

/// Each bit of every piece. What is accepted has one encoding: the fingerprint rests on it.
#[test]
fn a_changed_commit_is_canonical_or_refused() {
    let bytes = payload(&whole());
    let mut accepted = 0;
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(commit) = decode_commit(&changed) {
            assert_eq!(again(&commit), changed, "bit {bit}");
            accepted += 1;
        }
    }
    assert!(accepted > 0);
}

#[test]
fn the_fingerprint_is_of_the_content_alone() {
    let fingerprint = |commit: Commit| decode_commit(&payload(&commit)).unwrap().fingerprint();
    let plain = || Commit::new("p").delete(&row("t", 1));
    let of = fingerprint(plain());
    assert_eq!(fingerprint(plain().key("k").first_sent(1).durable_on(3)), of);
    assert_eq!(fingerprint(plain().session_key([1; 16], 2, 3)), of);
    assert_ne!(fingerprint(plain().returning_rows()), of);
    assert_ne!(fingerprint(plain().check(row("t", 1).exists())), of);
    assert_ne!(fingerprint(Commit::new("q").delete(&row("t", 1))), of);
}

#[test]
fn one_above_each_limit_of_a_commit() {
    let code = |commit: Commit| commit.validate().map_err(|refusal| refusal.code);
    let (a, c) = (row("t", 1), || Commit::new("p"));
    let too_large = Err(Code::TooLarge);
    let checks = |n| (0..n).fold(c().delete(&a), |commit, _| commit.check(a.exists()));
    assert_eq!((code(checks(COMMIT_CHECKS_MAX)), code(checks(COMMIT_CHECKS_MAX + 1))), (Ok(()), too_large));
    let adds = |n| (0..n).fold(c(), |commit, _| commit.add(&a, "n", 1, ..));
    assert_eq!((code(adds(COMMIT_OPS_MAX)), code(adds(COMMIT_OPS_MAX + 1))), (Ok(()), too_large));
    let key = |n| code(c().delete(&a).key(vec![1; n]));
    assert_eq!(
        (key(REQUEST_KEY_MAX), key(REQUEST_KEY_MAX + 1), key(0)),
        (Ok(()), too_large, Err(Code::BadFrame))
    );
    let states = |n: usize| code(c().delete(&a).check(a.field("s").is_in(0..n as u64)));
    assert_eq!(
        (states(STATES_MAX), states(STATES_MAX + 1), states(0)),
        (Ok(()), too_large, Err(Code::BadFrame))
    );
    let event = |n| code(c().event("e", vec![0; n]));
    assert_eq!((event(EVENT_MAX), event(EVENT_MAX + 1)), (Ok(()), too_large));
    let members = |n: usize| code(c().set_add(&a, "s", (0..n).map(|n| n.to_be_bytes())));
    assert_eq!((members(SET_MEMBERS_MAX), members(0)), (Ok(()), Err(Code::BadFrame)));
    assert!(members(SET_MEMBERS_MAX + 1).is_err());
    let stream = |n: usize| code(c().append(&row("t", "k".repeat(n - 3)), [("a", 1)]));
    assert_eq!((stream(STREAM_KEY_MAX), stream(STREAM_KEY_MAX + 1)), (Ok(()), too_large));
    assert!(Ttl::from_ms(TTL_MAX_MS).is_some() && Ttl::from_ms(TTL_MAX_MS + 1).is_none());
    assert!(Ttl::from_ms(0).is_none(), "nothing is held for no time");
    assert_eq!(code(c().session_key([0; 16], 0, 0).delete(&a)), Err(Code::BadFrame));
    assert_eq!(code(c().merge(&a, [("a", 1)].into_iter().take(0))), Err(Code::BadFrame));
    assert_eq!(code(c().add(&a, "n", "text", ..)), Err(Code::BadFrame));
    assert_eq!(code(c().add(&a, "n", 1, ..="text")), Err(Code::BadFrame));
    assert_eq!(code(c().max(&a, "n", std::collections::BTreeSet::new())), Err(Code::BadFrame));
}

/// A literal over a limit once became another one, without a word.
#[test]
fn a_literal_that_is_too_long_is_refused_wherever_it_stands() {
    let (a, long) = (row("t", 1), "x".repeat(ROW_MAX + 1));
    let code = |commit: Commit| commit.validate().map_err(|refusal| refusal.code);
    let c = || Commit::new("p").delete(&row("t", 2));
    assert_eq!(code(c().check(a.field("s").eq(long.as_str()))), Err(Code::TooLarge));
    assert_eq!(code(c().check(a.field("s").is_in([long.as_str()]))), Err(Code::TooLarge));
    assert_eq!(code(c().max(&a, "s", long.as_str())), Err(Code::TooLarge));
    let scale = Value::Decimal { mantissa: 1, scale: 99 };
    assert!(code(c().check(a.field("n").eq(scale.clone()))).is_err());
    assert!(code(c().add(&a, "n", scale.clone(), ..)).is_err());
    assert!(code(c().add(&a, "n", 1, ..=scale)).is_err());
}

/// Wherever the two lie: what works with one shard works with a hundred.
#[test]
fn a_commit_has_one_partition() {
    let commit = |one: &str, other: &str| Commit::new(one).within(other).delete(&row("t", 1)).within(one);
    assert!(commit("a", "a").validate().is_ok());
    assert_eq!(payload(&commit("a", "a")), payload(&Commit::new("a").delete(&row("t", 1))));
    let refusal = commit("a", "b").validate().unwrap_err();
    assert_eq!((refusal.code, refusal.reason.rule.as_ref()), (Code::CrossPartition, "commit.partition"));
    let (expected, observed) = (refusal.reason.expected.as_ref(), refusal.reason.observed.as_ref());
    assert_eq!((expected, observed), ("a", "b"));
    let mut same = payload(&commit("a", "b"));
    let at = same.iter().position(|byte| *byte == b'b').unwrap();
    same[at] = b'a';
    assert_eq!(decode_commit(&same).map_err(|refusal| refusal.code), Err(Code::BadFrame), "one encoding");
}

/// A row is used in one way, its lease beside it.
#[test]
fn a_row_is_not_used_in_two_ways() {
    let code = |commit: Commit| commit.validate().map_err(|refusal| refusal.code);
    let (a, c) = (row("t", 1), || Commit::new("p"));
    let twice = Err(Code::BadFrame);
    let fields = || c().add(&a, "n", 1, ..).merge(&a, [("s", "x")]).add(&a, "n", 1, ..);
    assert_eq!(code(fields()), Ok(()));
    assert_eq!(code(fields().lease_acquire(&a, ttl())), Ok(()));
    assert_eq!(code(c().lease_release(&a, AT).delete(&a)), Ok(()));
    assert_eq!(code(fields().put(&a, [("s", "x")])), twice);
    assert_eq!(code(c().delete(&a).delete(&a)), twice);
    assert_eq!(code(c().lease_acquire(&a, ttl()).lease_release(&a, AT)), twice);
    assert_eq!(
        code(c().append(&a, [("s", "x")]).append(&a, [("s", "y")]).event("e", "").event("e", "")),
        Ok(())
    );
}

fn number() -> impl Strategy<Value = Value> {
    let mantissa = (any::<i128>(), 0..128u32).prop_map(|(number, shift)| number >> shift);
    prop_oneof![
        mantissa.clone().prop_map(Value::Int),
        (mantissa, 0..=38u8).prop_map(|(mantissa, scale)| Value::Decimal { mantissa, scale }),
        (-200..200i128, 0..3u8).prop_map(|(mantissa, scale)| Value::Decimal { mantissa, scale }),
    ]
}

fn borrowed(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Int(number) => ValueRef::Int(*number),
        Value::Decimal { mantissa, scale } => ValueRef::Decimal { mantissa: *mantissa, scale: *scale },
        Value::Text(text) => ValueRef::Text(text),
        other => panic!("{other:?} is not made here"),
    }
}

/// Digits before and behind the point, sign first: another way to the order of two numbers.
fn by_digits(value: &Value) -> (bool, u128, u128) {
    let (mantissa, scale) = match value {
        Value::Int(number) => (*number, 0),
        Value::Decimal { mantissa, scale } => (*mantissa, u32::from(*scale)),
        other => panic!("{other:?} is no number"),
    };
    let (magnitude, one) = (mantissa.unsigned_abs(), 10u128.pow(scale));
    (mantissa < 0, magnitude / one, magnitude % one * 10u128.pow(38 - scale))
}

fn reference(left: &Value, right: &Value) -> Ordering {
    let ((l_below, l_whole, l_rest), (r_below, r_whole, r_rest)) = (by_digits(left), by_digits(right));
    match (l_below, r_below) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => (l_whole, l_rest).cmp(&(r_whole, r_rest)),
        (true, true) => (r_whole, r_rest).cmp(&(l_whole, l_rest)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn some_pieces_survive(pieces in vec(any::<u8>(), 0..40)) {
        let bytes = payload(&commit_of(&pieces));
        match decode_commit(&bytes) {
            Ok(commit) => prop_assert_eq!(again(&commit), bytes),
            Err(refusal) => prop_assert!(pieces.iter().all(|piece| ![7, 8, 9, 10, 11, 12, 13, 14, 15].contains(&(piece % 18))), "{}", refusal),
        }
    }

    #[test]
    fn numbers_stand_in_one_order(left in number(), right in number()) {
        let order = number::compare(&borrowed(&left), &borrowed(&right));
        prop_assert_eq!(order, Some(reference(&left, &right)), "{} and {}", left, right);
        for compare in Compare::ALL {
            let holds = compare.holds_between(&borrowed(&left), &borrowed(&right));
            prop_assert_eq!(holds, order.map(|order| compare.holds(order)));
        }
    }

    /// A sum is exact or there is none: what was added can be taken away again.
    #[test]
    fn sums_are_exact(number in number(), delta in number()) {
        match number::add(&borrowed(&number), &borrowed(&delta)) {
            Ok(sum) => {
                let back = match delta {
                    Value::Int(delta) => delta.checked_neg().map(Value::Int),
                    Value::Decimal { mantissa, scale } => mantissa.checked_neg().map(|mantissa| Value::Decimal { mantissa, scale }),
                    _ => None,
                };
                if let Some(Ok(back)) = back.map(|back| number::add(&borrowed(&sum), &borrowed(&back))) {
                    prop_assert_eq!(number::compare(&borrowed(&back), &borrowed(&number)), Some(Ordering::Equal));
                }
            }
            Err(NoSum::Kind) => {
                let kinds = matches!((&number, &delta), (Value::Int(_), Value::Decimal { .. }));
                prop_assert!(kinds, "{} and {}", number, delta);
            }
            Err(NoSum::Overflow) => {}
        }
    }

    #[test]
    fn a_changed_outcome_is_read_whole_or_refused(at in any::<prop::sample::Index>(), to: u8, cut in any::<prop::sample::Index>()) {
        for outcome in outcomes() {
            let mut bytes = outcome.clone();
            prop_assert!(StoredOutcome::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(read) = StoredOutcome::decode(&bytes) {
                let mut again = Vec::new();
                read.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}

fn outcomes() -> Vec<Vec<u8>> {
    let mut results = Results::default();
    results.push(0, Came::Value(ValueRef::Int(-3)));
    results.push(4, Came::Sequence(u64::MAX));
    results.push(127, Came::Lease { token: AT, expires_us: -1 });
    let fingerprint = Fingerprint([9; 16]);
    let decisions = [
        Decision::Committed { fingerprint, results: results.list() },
        Decision::Rejected { fingerprint, why: Refusal::constraint(3, "add.ceiling", "at most 7", "8") },
        Decision::Aborted,
    ];
    let stored = |decision| {
        let (outcome, mut bytes) = (StoredOutcome { first_sent_us: 5, decision }, Vec::new());
        outcome.encode(&mut bytes);
        assert_eq!(StoredOutcome::decode(&bytes), Ok(outcome));
        bytes
    };
    decisions.into_iter().map(stored).collect()
}

#[test]
fn sums_that_overflow_and_kinds_that_do_not_add() {
    let int = |number| ValueRef::Int(number);
    let decimal = |mantissa, scale| ValueRef::Decimal { mantissa, scale };
    assert_eq!(number::add(&int(i128::MAX), &int(1)), Err(NoSum::Overflow));
    assert_eq!(number::add(&int(i128::MIN), &int(-1)), Err(NoSum::Overflow));
    assert_eq!(number::add(&int(i128::MAX), &int(0)), Ok(Value::Int(i128::MAX)));
    assert_eq!(number::add(&decimal(i128::MAX, 0), &decimal(1, 1)), Err(NoSum::Overflow), "the larger scale");
    assert_eq!(number::add(&decimal(42000, 2), &int(1)), Ok(Value::Decimal { mantissa: 42100, scale: 2 }));
    assert_eq!(number::add(&int(1), &decimal(1, 1)), Err(NoSum::Kind));
    assert_eq!(number::add(&ValueRef::Text("1"), &int(1)), Err(NoSum::Kind));
    assert_eq!(number::compare(&ValueRef::Text("1"), &int(1)), None);
    assert_eq!(number::compare(&ValueRef::Time(1), &int(1)), None);
    assert_eq!(number::compare(&decimal(42000, 2), &int(420)), Some(Ordering::Equal));
    assert_eq!(Compare::Ne.holds_between(&ValueRef::Text("1"), &int(1)), None, "not even unequal");
}

/// An index stands in the order that checks see.
#[test]
fn values_that_stand_in_keys_sort_as_they_compare() {
    let values = [ValueRef::Int(-1), ValueRef::Int(300), ValueRef::Time(-1), ValueRef::Time(2)];
    let more = [ValueRef::Text("a"), ValueRef::Text("b"), ValueRef::Bytes(b""), ValueRef::Bytes(b"a")];
    let values: Vec<_> = values.into_iter().chain(more).collect();
    for (left, right) in values.iter().flat_map(|left| values.iter().map(move |right| (left, right))) {
        let key = |value| Key::of(&[Part::of(value).unwrap()]);
        let compared = number::compare(left, right);
        assert!(compared.is_none_or(|order| order == key(left).cmp(&key(right))), "{left:?} {right:?}");
    }
    assert_eq!(Part::of(&ValueRef::Decimal { mantissa: 1, scale: 1 }), None);
}

/// What an appended row is called sorts behind the one before, and is a key.
#[test]
fn sequences_ascend() {
    let stream = Key::from(("bids", 7));
    let key = |sequence| {
        let mut bytes = Vec::new();
        seawall::key::sequence_key(stream.as_bytes(), sequence, &mut bytes);
        Key::from_bytes(&bytes).unwrap()
    };
    assert_eq!(key(3), Key::from(("bids", 7, 3)));
    let keys: Vec<Key> = [1, 2, 255, 256, u64::MAX].map(key).to_vec();
    assert!(keys.is_sorted_by(|a, b| a < b));
    assert!(keys.iter().all(|key| key.as_bytes().starts_with(seawall::key::prefix(stream.as_bytes()))));
}

/// The place of a failure and the row arrive where they were asked for, and nowhere else.
#[test]
fn a_rejection_shows_its_row() {
    let refusal = Refusal::lease_lost_in_operation(2, AT, "expired").showing(None);
    assert_eq!(refusal.reason.detail, Detail::Operation { ordinal: 2, row: None });
    assert_eq!(Refusal::key_aborted(AT).showing(None).reason.detail, Detail::None);
}

proptest! {
    /// Whatever stands in a partition and in a caller's key: the stored key comes apart into what it was made of.
    #[test]
    fn the_stored_key_of_an_outcome_comes_apart(
        caller in vec(any::<u8>(), 1..REQUEST_KEY_MAX), partition in vec(any::<u8>(), 0..40),
        session in any::<[u8; 16]>(), sequence in 1..u64::MAX,
    ) {
        let partition = Key::of(&[Part::from(&partition[..]), Part::from(7)]);
        let stored = |name: KeyName<'_>| {
            let mut stored = Vec::new();
            name.stored_key("tenant", partition.as_bytes(), &mut stored);
            stored
        };
        let of_caller = stored(KeyName::Caller(&caller));
        let apart = StoredName { namespace: "tenant", holder: &of_caller, sequence: 0 };
        prop_assert_eq!(StoredName::of(&of_caller), Some(apart));
        let of_session = stored(KeyName::Session { session, sequence });
        let holder = &of_session[..of_session.len() - 8];
        prop_assert_eq!(StoredName::of(&of_session), Some(StoredName { namespace: "tenant", holder, sequence }));
        prop_assert_eq!(StoredName::of(holder), None);
    }
}
