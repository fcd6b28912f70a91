//! The partition map as a document: what is written is read back, and what is not understood is refused.

use std::collections::BTreeSet;

use seawall::map::*;
use seawall::position::{Epoch, Index, Lineage};
use seawall_node::authority::document::{Document, read};
use serde_json::{Value as Json, json};

const PAGE: &str = include_str!("../../docs/replication.md");

/// Three members, two shards; one has an accepted loss that is open, the other was never led.
fn map() -> Map {
    let ids = |ids: &[u32]| ids.iter().copied().map(MemberId).collect::<BTreeSet<_>>();
    let member = |id: u32, zone: &str| Member {
        id: MemberId(id),
        address: format!("10.0.0.{id}:7411"),
        peer: format!("10.0.0.{id}:7413"),
        labels: vec![format!("zone={zone}")],
    };
    let (one, two) = (ShardId(1), ShardId(2));
    let policy = Policy { min_in_sync: 2, ..Policy::default() };
    let replicas = |shard| Replicas {
        sync: ids(&[1, 2]),
        asyncs: ids(&[3]),
        policy,
        ..Replicas::alone(shard, Generation(1))
    };
    let parts = Parts {
        generation: Generation(1),
        members: vec![member(1, "a"), member(2, "b"), member(3, "c")],
        ranges: vec![Range { first_hash: 0, shard: one }, Range { first_hash: 1 << 63, shard: two }],
        replicas: vec![replicas(one), replicas(two)],
        audit: None,
    };
    let by = By { actor: "ada", reason: "zone a burnt down" };
    let lead = |member, epoch, sync: &[u32], loss_from| Change::Lead {
        shard: one,
        member: MemberId(member),
        epoch: Epoch(epoch),
        sync: ids(sync),
        loss_from,
    };
    let map = Map::of(parts).expect("a map");
    let map = map.next(by, &lead(1, 1, &[2], None)).expect("the first leader");
    map.next(by, &lead(3, 3, &[2], Some(Index(120)))).expect("the next one")
}

const LINEAGE: Lineage = Lineage(*b"a lineage of all");

fn write(map: &Map) -> String {
    seawall_node::authority::document::write(&Document { lineage: LINEAGE, map: map.clone() })
}

#[test]
fn what_is_written_is_read_back() {
    for map in [map(), Map::even(Generation(1), 3), Map::even(Generation(u64::MAX - 1), 1)] {
        let text = write(&map);
        let again = read(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
        assert_eq!((again.lineage, &again.map, write(&again.map)), (LINEAGE, &map, text));
    }
}

#[test]
fn the_page_shows_a_document() {
    let document = write(&map());
    assert!(PAGE.contains(&format!("```json\n{document}```")), "docs/replication.md lacks\n{document}");
}

/// The document with something else in it.
fn refused(change: impl FnOnce(&mut Json)) -> String {
    let mut document: Json = serde_json::from_str(&write(&map())).expect("JSON");
    change(&mut document);
    read(&document.to_string()).expect_err("refused").to_string()
}

#[test]
fn what_is_not_known_is_refused() {
    let unknown = [
        ("", "map: 'x' is unknown"),
        ("/members/0", "map.members[0]: 'x' is unknown"),
        ("/shards/1", "map.shards[1]: 'x' is unknown"),
        ("/shards/0/open_loss", "map.shards[0].open_loss: 'x' is unknown"),
        ("/last_change", "map.last_change: 'x' is unknown"),
    ];
    for (place, words) in unknown {
        let said = refused(|map| map.pointer_mut(place).expect("a place")["x"] = json!(1));
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let may_lack = ["leader", "open_loss", "last_change", "labels"];
    for place in ["", "/members/0", "/shards/0", "/shards/0/open_loss", "/last_change"] {
        let document: Json = serde_json::from_str(&write(&map())).expect("JSON");
        let object = document.pointer(place).and_then(Json::as_object).expect("an object").clone();
        for name in object.keys().filter(|name| !may_lack.contains(&name.as_str())) {
            let said = refused(|map| {
                let object = map.pointer_mut(place).and_then(Json::as_object_mut).expect("an object");
                object.remove(name);
            });
            assert!(said.contains(&format!("'{name}' is missing")), "{said}");
        }
    }
}

#[test]
fn what_is_wrong_is_found_again() {
    let wrong = [
        ("/format", json!(2), "map.format: 2; this build reads 1"),
        ("/lineage", json!("61"), "map.lineage: \"61\" is no lineage"),
        ("/lineage", json!("+1206c696e65616765206f6620616c6c0"), "map.lineage"),
        ("/generation", json!("7"), "map.generation: expected a whole number"),
        ("/generation", json!(-1), "map.generation: expected a whole number"),
        ("/members/1/member", json!(1u64 << 32), "map.members[1].member: 4294967296 is too large"),
        ("/members/1/address", json!(7), "map.members[1].address: expected a text"),
        ("/members/1/labels/0", json!(7), "map.members[1].labels[0]: expected a text"),
        ("/shards/0/first_hash", json!("0"), "map.shards[0].first_hash: \"0\" is no hash"),
        ("/shards/0/first_hash", json!("+000000000000000"), "map.shards[0].first_hash"),
        ("/shards/1/first_hash", json!("800000000000000A"), "map.shards[1].first_hash"),
        ("/shards/1/sync", json!([2, 1]), "map.shards[1].sync: members ascend"),
        ("/shards/1/sync", json!([1, 1]), "map.shards[1].sync: members ascend"),
        ("/shards/1/min_in_sync", json!(256), "map.shards[1].min_in_sync: 256 is too large"),
        ("/shards", json!({}), "map.shards: expected a list"),
        ("/shards/0/leader", json!(null), "map.shards[0].leader: expected a whole number"),
        // And what the map itself does not allow.
        ("/shards/0/leader", json!(9), "map: shard 1: 9 is no member"),
        ("/generation", json!(0), "map: a map's generation"),
    ];
    for (place, json, words) in wrong {
        let said = refused(|map| *map.pointer_mut(place).expect("a place") = json);
        assert!(said.starts_with(words), "{said}");
    }
    let said = read("{\"format\": 1").expect_err("no JSON").to_string();
    assert!(said.starts_with("map: this is no JSON"), "{said}");
    let said = read(&" ".repeat((16 << 20) + 1)).expect_err("too long").to_string();
    assert!(said.contains("at most 16777216"), "{said}");
}
