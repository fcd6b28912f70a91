//! Values, rows, keys, addresses and tokens against their definitions.

use std::borrow::Cow;
use std::cmp::Ordering;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use seawall::address::{self, Address, RowPath, partition_hash};
use seawall::key::{self, Part};
use seawall::limits::{KEY_MAX, NAME_MAX, ROW_FIELDS_MAX, ROW_MAX, SET_MEMBERS_MAX, STORED_KEY_MAX};
use seawall::map::{Generation, Map, MapError, Range, ShardId};
use seawall::position::Position;
use seawall::{Key, Malformed, Row, Token, Value, row};

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any_int().prop_map(Value::Int),
        (any_int(), 0..=38u8).prop_map(|(mantissa, scale)| Value::Decimal { mantissa, scale }),
        any::<i64>().prop_map(Value::Time),
        any::<String>().prop_map(Value::Text),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        btree_set(vec(any::<u8>(), 0..6), 0..6).prop_map(Value::Set),
    ]
}

/// Numbers of every width, not only wide ones.
fn any_int() -> impl Strategy<Value = i128> {
    (any::<i128>(), 0..128u32).prop_map(|(number, shift)| number >> shift)
}

fn any_row() -> impl Strategy<Value = Row> {
    btree_map("[a-z_.-]{1,8}", any_value(), 0..6).prop_map(|fields| fields.into_iter().collect())
}

fn any_part() -> impl Strategy<Value = Part<'static>> {
    prop_oneof![
        any_int().prop_map(Part::Int),
        (-3..3i128).prop_map(Part::Int),
        any::<i64>().prop_map(Part::Time),
        "[\0\x01\x02a%,/: é]{0,6}".prop_map(|text| Part::Text(Cow::Owned(text))),
        vec(0..3u8, 0..6).prop_map(|bytes| Part::Bytes(Cow::Owned(bytes))),
        vec(any::<u8>(), 0..6).prop_map(|bytes| Part::Bytes(Cow::Owned(bytes))),
    ]
}

fn encoded(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::new();
    row.encode(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_survives(row in any_row()) {
        let bytes = encoded(&row);
        prop_assert_eq!(seawall::row::check(&bytes), Ok(()));
        prop_assert_eq!(Row::decode(&bytes).unwrap(), row);
    }

    #[test]
    fn merged_bytes_are_those_of_the_merged_row(row in any_row(), changes in any_row()) {
        let mut bytes = Vec::new();
        let fields = seawall::row::merge(&encoded(&row), &encoded(&changes), &mut bytes);
        let merged = changes.into_iter().fold(row, |row, (name, value)| row.with(name, value));
        prop_assert_eq!(fields, Ok(merged.len()));
        prop_assert_eq!(bytes, encoded(&merged));
    }

    /// What is accepted is the one encoding of what it means, so the bytes in the log decide equality.
    #[test]
    fn a_row_that_is_accepted_is_canonical(row in any_row(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encoded(&row);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let checked = seawall::row::check(&bytes);
        match Row::decode(&bytes) {
            Ok(row) => prop_assert!(checked.is_ok() && encoded(&row) == bytes),
            Err(malformed) => prop_assert_eq!(checked, Err(malformed)),
        }
    }

    #[test]
    fn a_row_cut_short_is_refused(row in any_row(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&row);
        prop_assert!(seawall::row::check(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        let accepted = seawall::row::check(&bytes).is_ok();
        prop_assert_eq!(Row::decode(&bytes).is_ok(), accepted);
        let _ = Key::check(&bytes);
        prop_assert!(key::parts(&bytes).count() <= bytes.len());
    }

    /// The reason for the encoding: bytes sort as tuples do, also as the front of something longer.
    #[test]
    fn keys_sort_as_tuples(a in vec(any_part(), 1..4), b in vec(any_part(), 1..4), c: u8, d: u8) {
        let (key_a, key_b) = (Key::of(&a), Key::of(&b));
        prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
        if a != b {
            let follow = |key: &Key, next| [key.as_bytes(), &[next]].concat();
            prop_assert_eq!(follow(&key_a, c).cmp(&follow(&key_b, d)), a.cmp(&b));
        }
    }

    #[test]
    fn a_key_survives(parts in vec(any_part(), 1..4)) {
        let key = Key::of(&parts);
        prop_assert_eq!(Key::check(key.as_bytes()), Ok(()));
        prop_assert_eq!(key.parts().collect::<Vec<_>>(), parts);
        prop_assert_eq!(key.to_string().parse::<Key>().unwrap(), key.clone());
        prop_assert_eq!(key::display(key.as_bytes()).to_string(), key.to_string());
        prop_assert!(!key.to_string().contains(['/', ' ', '\0']));
    }

    #[test]
    fn a_key_that_is_accepted_is_canonical(bytes in vec(prop_oneof![0..3u8, 0x0f..0x62u8, any::<u8>()], 0..12)) {
        if let Ok(key) = Key::from_bytes(&bytes) {
            let parts: Vec<_> = key.parts().collect();
            prop_assert_eq!(Key::of(&parts), key.clone());
            prop_assert_eq!(key.as_bytes(), &bytes);
        }
    }

    #[test]
    fn a_token_survives_and_a_typo_does_not(tag: u32, shard: u32, epoch: u64, index: u64, at in any::<prop::sample::Index>()) {
        let token = Token { lineage_tag: tag, shard: ShardId(shard), position: Position::new(epoch, index) };
        let text = token.to_string();
        prop_assert_eq!(text.parse(), Ok(token));
        prop_assert_eq!(text.to_lowercase().parse(), Ok(token));
        let mut typo = text.clone().into_bytes();
        let at = at.index(typo.len() - 1);
        typo[at] = if typo[at] == b'7' { b'8' } else { b'7' };
        prop_assert!(String::from_utf8(typo).unwrap().parse::<Token>().is_err(), "one wrong letter is always found");
        prop_assert!(text[1..].parse::<Token>().is_err());
    }

    #[test]
    fn any_text_is_no_token(text in "[0-9A-Z]{0,60}") {
        prop_assert!(text.parse::<Token>().is_err());
    }

    #[test]
    fn a_path_survives(partition in vec(any_part(), 1..3), key in vec(any_part(), 1..3)) {
        let path = RowPath { partition: Key::of(&partition), row: row("cabin", Key::of(&key)) };
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn a_time_survives(us: i64, shift in 0..30u32) {
        let us = us >> shift;
        let text = Value::Time(us).to_string();
        prop_assert_eq!(Value::parse(Some("time"), &text), Ok(Value::Time(us)), "{}", text);
    }

    #[test]
    fn a_decimal_survives(mantissa in any_int(), scale in 0..=38u8) {
        let value = Value::Decimal { mantissa, scale };
        prop_assert_eq!(Value::parse(Some("decimal"), &value.to_string()), Ok(value));
    }

    #[test]
    fn each_hash_has_the_owner_whose_range_holds_it(shards in 1..200u32, hash: u64) {
        let map = Map::even(Generation(1), shards);
        let ranges = map.ranges();
        let owner = ranges.iter().rev().find(|range| range.first_hash <= hash).unwrap().shard;
        prop_assert_eq!(map.shard_of(hash), owner);
        prop_assert_eq!(map.shard_of(u64::MAX), ShardId(shards));
    }
}

#[test]
fn tuples_of_examples_sort() {
    let ascending = [
        Key::from(i128::MIN),
        Key::from(-256),
        Key::from(-255),
        Key::from(-1),
        Key::from(0),
        Key::from(1),
        Key::from(255),
        Key::from(256),
        Key::from(i128::MAX),
        Key::of(&[Part::Time(i64::MIN)]),
        Key::of(&[Part::Time(-1)]),
        Key::of(&[Part::Time(0)]),
        Key::from(""),
        Key::from("\0"),
        Key::from("\x01"),
        Key::from("a"),
        Key::from(("a", "")),
        Key::from(("a", "b")),
        Key::from("a\0"),
        Key::from("a\0b"),
        Key::from("ab"),
        Key::from(&b""[..]),
        Key::from(&b"\xff"[..]),
    ];
    assert!(ascending.is_sorted_by(|a, b| a.cmp(b) == Ordering::Less));
    assert!(ascending.iter().all(|key| Key::from_bytes(key.as_bytes()).as_ref() == Ok(key)));
}

#[test]
fn keys_that_are_not_canonical_are_refused() {
    let refused: [&[u8]; 11] = [
        b"",
        b"\x00",                                                                     // no part
        b"\x50a\x00",                                                                // no end of the tuple
        b"\x50a",                                                                    // no end of the text
        b"\x50\xff\x00\x00",                                                         // no UTF-8
        b"\x50\x01\x00\x00",                                                         // half an escape
        b"\x60\x01\x03\x00\x00",                                                     // an escape that is none
        b"\x21\x00\x00",                                                             // zero in one byte
        b"\x1f\xff\x00",                                                             // minus zero
        b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", // above i128
        b"\x70\x00",                                                                 // no kind
    ];
    refused.iter().for_each(|bytes| assert!(Key::check(bytes).is_err(), "{bytes:02x?}"));
    let text = |len: usize| Key::from("k".repeat(len));
    assert_eq!(Key::check(text(KEY_MAX - 3).as_bytes()), Ok(()));
    assert!(matches!(Key::check(text(KEY_MAX - 2).as_bytes()), Err(Malformed::TooLong { .. })));
}

/// Keys are read several bytes at a time: whatever is special is found at every place, and nothing else is.
#[test]
fn what_a_text_in_a_key_holds_is_seen_at_every_place() {
    for (front, behind) in (0..20).flat_map(|front| (0..10).map(move |behind| (front, behind))) {
        let (plain, rest) = ("a".repeat(front), "\x7f".repeat(behind));
        for special in ["", "\0", "\x01", "\x02", "\u{80}", "\u{fe}", "\u{10ffff}", "\0\u{82}\x01"] {
            let text = format!("{plain}{special}{rest}");
            let key = Key::of(&[Part::from(text.clone()), Part::from(7)]);
            assert_eq!(Key::check(key.as_bytes()), Ok(()), "{text:?}");
            let parts: Vec<_> = key.parts().collect();
            assert_eq!(parts, [Part::from(text), Part::from(7)]);
        }
        let with = |special: &[u8]| [b"\x50", plain.as_bytes(), special, rest.as_bytes(), b"\0\0"].concat();
        assert_eq!(Key::check(&with(b"\x80")), Err(Malformed::Utf8), "{front} {behind}");
        assert_eq!(Key::check(&with(b"\xff")), Err(Malformed::Utf8), "{front} {behind}");
        let escape = Err(Malformed::Unknown { what: "escape in a key", got: 0 });
        assert_eq!(Key::check(&with(b"\x01\x03")), escape, "{front} {behind}");
        let whole = with(b"");
        assert_eq!(Key::check(&whole[..whole.len() - 2]), Err(Malformed::Truncated), "{front} {behind}");
    }
}

#[test]
fn the_rest_of_a_stored_key_is_known_again() {
    let keys = ["", "a", "b", "ab"].map(Key::from);
    let rows: Vec<_> =
        ["a", "ab", "b"].iter().flat_map(|table| keys.iter().map(move |key| (*table, key))).collect();
    for (table, key) in &rows {
        let mut suffix = Vec::new();
        address::row_suffix(table, key.as_bytes(), &mut suffix);
        for other in &rows {
            let same = address::is_row_suffix(&suffix, other.0, other.1.as_bytes());
            assert_eq!(same, *other == (*table, *key), "{table}/{key} and {}/{}", other.0, other.1);
        }
        assert!(!address::is_row_suffix(&suffix[1..], table, key.as_bytes()));
    }
}

#[test]
fn the_limits_of_a_row_hold() {
    let too_long = |row: Row| matches!(seawall::row::check(&encoded(&row)), Err(Malformed::TooLong { .. }));
    let fits = |row: Row| seawall::row::check(&encoded(&row)) == Ok(());
    let overhead = 2 + 2 + 1 + 3;
    assert!(fits(Row::new().with("f", vec![0; ROW_MAX - overhead])));
    assert!(too_long(Row::new().with("f", vec![0; ROW_MAX - overhead + 1])));
    let set = |n: usize| Value::Set((0..n).map(|i| i.to_be_bytes().to_vec()).collect());
    assert!(fits(Row::new().with("f", set(SET_MEMBERS_MAX))));
    assert!(too_long(Row::new().with("f", set(SET_MEMBERS_MAX + 1))));
    let fields = |n: usize| (0..n).map(|i| (i.to_string(), true)).collect::<Row>();
    assert!(fits(fields(ROW_FIELDS_MAX)));
    assert!(too_long(fields(ROW_FIELDS_MAX + 1)));
    assert!(too_long(Row::new().with("f", Value::Decimal { mantissa: 1, scale: 39 })));
    assert!(fits(Row::new().with("n".repeat(NAME_MAX), true)));
    assert!(too_long(Row::new().with("n".repeat(NAME_MAX + 1), true)));
    assert_eq!(seawall::row::check(&encoded(&Row::new().with("", true))), Err(Malformed::Name));
    assert_eq!(seawall::row::check(&encoded(&Row::new().with("a b", true))), Err(Malformed::Name));
}

#[test]
fn a_row_has_no_second_encoding() {
    let refused: [(&[u8], Malformed); 7] = [
        (b"\x00\x02\x01b\x01\x01\x01a\x01\x01", Malformed::Order),
        (b"\x00\x02\x01a\x01\x01\x01a\x01\x01", Malformed::Order),
        (b"\x00\x80\x00", Malformed::Varint),
        (b"\x00\x00\x00", Malformed::Trailing),
        (b"\x00\x01\x01a\x01\x01\x00", Malformed::Trailing),
        (b"\x01\x00", Malformed::Unknown { what: "shape of a row", got: 1 }),
        (b"\x00\x01\x01a\x08", Malformed::Unknown { what: "kind of value", got: 8 }),
    ];
    for (bytes, malformed) in refused {
        assert_eq!(seawall::row::check(bytes), Err(malformed), "{bytes:02x?}");
    }
}

#[test]
fn typed_values() {
    let typed = |name, text| Value::parse(Some(name), text);
    let decimal = |mantissa, scale| Ok(Value::Decimal { mantissa, scale });
    assert_eq!(Value::parse(None, "true"), Ok(Value::Bool(true)));
    assert_eq!(Value::parse(None, "-12"), Ok(Value::Int(-12)));
    assert_eq!(Value::parse(None, "1.5"), Ok(Value::from("1.5")));
    assert_eq!(typed("text", "12"), Ok(Value::from("12")));
    assert_eq!(typed("decimal", "420.00"), decimal(42000, 2));
    assert_eq!(typed("decimal", "-0.05"), decimal(-5, 2));
    assert_eq!(typed("decimal", "420").unwrap().to_string(), "420");
    assert_eq!(typed("bytes", "00fF"), Ok(Value::from(&[0, 255][..])));
    assert_eq!(typed("time", "1970-01-01T00:00:01.5Z"), Ok(Value::Time(1_500_000)));
    assert_eq!(typed("time", "2024-02-29T23:59:59Z").unwrap().to_string(), "2024-02-29T23:59:59Z");
    assert_eq!(typed("time", "-1").unwrap().to_string(), "1969-12-31T23:59:59.999999Z");
    let refused = [
        ("decimal", "."),
        ("decimal", "1.+5"),
        ("decimal", "-.5"),
        ("decimal", ""),
        ("bytes", "0"),
        ("bytes", "é0"),
        ("time", "2023-02-29T00:00:00Z"),
        ("time", "2023-01-01T00:00:00"),
        ("time", "2023-13-01T00:00:00Z"),
        ("time", "0000-00-00T00:00:00Z"),
        ("time", "2023-01-01T24:00:00Z"),
        ("int", "x"),
        ("float", "1.0"),
    ];
    refused.iter().for_each(|(name, text)| assert!(typed(name, text).is_err(), "{name} {text}"));
}

#[test]
fn stored_keys_lie_where_the_hash_says() {
    let (long, name) = (Key::from("p".repeat(KEY_MAX - 3)), "n".repeat(NAME_MAX));
    let address =
        Address { namespace: &name, partition: long.as_bytes(), table: &name, row: long.as_bytes() };
    let mut stored = vec![7];
    address.stored_key(&mut stored);
    assert_eq!(stored.len(), 1 + STORED_KEY_MAX);
    assert_eq!(stored[1..9], partition_hash(&name, long.as_bytes()).to_be_bytes());
    assert_eq!(Address::of_stored_key(&stored[1..]), Some(address), "and can be read back");
    assert_eq!(Address::of_stored_key(&stored[1..9]), None);
    let part = Key::of(&["a\0b\x01".into(), Part::Int(-7), Part::Bytes((&[0, 1][..]).into())]);
    let (partition, row) = (part.as_bytes(), part.as_bytes());
    let address = Address { namespace: "main", partition, table: "t", row };
    let mut stored = Vec::new();
    address.stored_key(&mut stored);
    assert_eq!(Address::of_stored_key(&stored), Some(address));
}

#[test]
fn paths_that_are_none() {
    for path in ["", "a/b", "a/b/c/d", "a b/c/d", "a/x:1/c", "a/b/%", "a/b/%zz", "a/b/int:", "a/b/%ff"] {
        assert!(path.parse::<RowPath>().is_err(), "{path}");
    }
    let path: RowPath = "cabin/HP-2026-07-14,int:-3/C%2F14".parse().unwrap();
    assert_eq!(path, RowPath { partition: Key::from(("HP-2026-07-14", -3)), row: row("cabin", "C/14") });
}

#[test]
fn maps_that_are_none() {
    let map = |ranges: &[(u64, u32)]| {
        let ranges = ranges.iter().map(|&(first_hash, shard)| Range { first_hash, shard: ShardId(shard) });
        Map::new(Generation(1), ranges.collect()).map(drop)
    };
    assert_eq!(map(&[]), Err(MapError::NotFromZero));
    assert_eq!(map(&[(1, 1)]), Err(MapError::NotFromZero));
    assert_eq!(map(&[(0, 1), (0, 2)]), Err(MapError::Order));
    assert_eq!(map(&[(0, 0)]), Err(MapError::Shard(ShardId(0))));
    assert_eq!(map(&[(0, 1), (5, 1)]), Err(MapError::Shard(ShardId(1))));
    assert_eq!(map(&[(0, 2), (5, 1)]), Ok(()));
    assert_eq!(Map::new(Generation(0), vec![]), Err(MapError::Generation));
}
