//! The partition map as a document: what an authority keeps, and what an operator reads in it. docs/replication.md shows
//! one.
//!
//! A line for each member and each shard, in a fixed order, so that two generations compare by their lines. Whatever is
//! not known here is refused: a map that was only half understood must not be acted upon.

use std::collections::BTreeSet;

use seawall::map::{
    Audit, Generation, Map, Member, MemberId, OpenLoss, Parts, Policy, Range, Replicas, ShardId,
};
use seawall::position::{Epoch, Index, Lineage};
use serde_json::{Map as Members, Value as Json, json};

use crate::json::read::{self, Object, Place, Wrong};

/// The layout; another one takes another number.
const FORMAT: u64 = 1;
/// Far above what the largest map takes.
const BYTES_MAX: usize = 16 << 20;

/// A map, and the cluster that it is the map of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The history that all members share. It is made with the first map, and every later one repeats it.
    pub lineage: Lineage,
    pub map: Map,
}

/// The document of a map.
pub fn write(document: &Document) -> String {
    let Document { lineage, map } = document;
    let Parts { generation, members, ranges, replicas, audit } = map.parts();
    let shards = ranges.iter().zip(replicas).map(|(range, replicas)| write_shard(range, replicas));
    let mut lines = vec![
        format!("  \"format\": {FORMAT}"),
        format!("  \"lineage\": \"{lineage}\""),
        format!("  \"generation\": {generation}"),
        format!("  \"members\": {}", a_line_each(members.iter().map(write_member))),
        format!("  \"shards\": {}", a_line_each(shards)),
    ];
    if let Some(Audit { actor, reason, change }) = audit {
        let audit = json!({ "actor": actor, "reason": reason, "change": change });
        lines.push(format!("  \"last_change\": {audit}"));
    }
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn a_line_each(items: impl Iterator<Item = Json>) -> String {
    match &items.map(|item| format!("    {item}")).collect::<Vec<_>>()[..] {
        [] => "[]".to_owned(),
        lines => format!("[\n{}\n  ]", lines.join(",\n")),
    }
}

fn write_member(member: &Member) -> Json {
    json!({ "member": member.id.0, "address": member.address, "peer": member.peer, "labels": member.labels })
}

fn write_shard(range: &Range, replicas: &Replicas) -> Json {
    let Replicas { shard, epoch, leader, sync, asyncs, policy, open_loss, changed } = replicas;
    let ids = |set: &BTreeSet<MemberId>| set.iter().map(|id| json!(id.0)).collect::<Json>();
    let mut line = Members::new();
    let mut set = |name: &str, value: Json| drop(line.insert(name.to_owned(), value));
    set("shard", json!(shard.0));
    // As text: it uses all 64 bits, and many readers of JSON keep 53 of a number.
    set("first_hash", json!(format!("{:016x}", range.first_hash)));
    set("epoch", json!(epoch.0));
    if let Some(leader) = leader {
        set("leader", json!(leader.0));
    }
    set("sync", ids(sync));
    set("async", ids(asyncs));
    set("min_in_sync", json!(policy.min_in_sync));
    set("member_timeout_ms", json!(policy.member_timeout_ms));
    set("lease_ms", json!(policy.lease_ms));
    if let Some(OpenLoss { epoch, from }) = open_loss {
        set("open_loss", json!({ "epoch": epoch.0, "from": from.0 }));
    }
    set("changed", json!(changed.0));
    Json::Object(line)
}

/// The map that a document describes; nothing of it is passed over.
pub fn read(text: &str) -> Result<Document, Wrong> {
    let place = Place::root("map");
    if text.len() > BYTES_MAX {
        return Err(place.wrong(format!("{} bytes; a map has at most {BYTES_MAX}", text.len())));
    }
    let document: Json =
        serde_json::from_str(text).map_err(|why| place.wrong(format!("this is no JSON: {why}")))?;
    let object = Object::of(&place, &document)?;
    // Before the rest: another format may have other members.
    match object.read("format", read::count)? {
        FORMAT => {}
        other => {
            let why =
                format!("{other}; this build reads {FORMAT}: use the build that wrote it, or a newer one");
            return Err(place.member("format").wrong(why));
        }
    }
    object.knows(&["format", "lineage", "generation", "members", "shards", "last_change"])?;
    let lineage = object.read("lineage", read_lineage)?;
    let shards = object.read("shards", |place, json| read::list(place, json, &read_shard))?;
    let (ranges, replicas) = shards.into_iter().unzip();
    let parts = Parts {
        generation: Generation(object.read("generation", read::count)?),
        members: object.read("members", |place, json| read::list(place, json, &read_member))?,
        ranges,
        replicas,
        audit: object.read_option("last_change", read_audit)?,
    };
    let map = Map::of(parts).map_err(|fault| place.wrong(fault.to_string()))?;
    Ok(Document { lineage, map })
}

fn read_member(place: &Place<'_>, json: &Json) -> Result<Member, Wrong> {
    let member = Object::of(place, json)?;
    member.knows(&["member", "address", "peer", "labels"])?;
    Ok(Member {
        id: member.read("member", read_id)?,
        address: member.text("address")?.to_owned(),
        peer: member.text("peer")?.to_owned(),
        labels: member.list("labels", |place, json| read::text(place, json).map(str::to_owned))?,
    })
}

const SHARD: &[&str] = &[
    "shard",
    "first_hash",
    "epoch",
    "leader",
    "sync",
    "async",
    "min_in_sync",
    "member_timeout_ms",
    "lease_ms",
    "open_loss",
    "changed",
];

fn read_shard(place: &Place<'_>, json: &Json) -> Result<(Range, Replicas), Wrong> {
    let object = Object::of(place, json)?;
    object.knows(SHARD)?;
    let shard = ShardId(object.read("shard", number)?);
    let policy = Policy {
        min_in_sync: object.read("min_in_sync", number)?,
        member_timeout_ms: object.read("member_timeout_ms", number)?,
        lease_ms: object.read("lease_ms", number)?,
    };
    let replicas = Replicas {
        shard,
        epoch: Epoch(object.read("epoch", read::count)?),
        leader: object.read_option("leader", read_id)?,
        sync: object.read("sync", read_ids)?,
        asyncs: object.read("async", read_ids)?,
        policy,
        open_loss: object.read_option("open_loss", read_loss)?,
        changed: Generation(object.read("changed", read::count)?),
    };
    Ok((Range { first_hash: object.read("first_hash", read_hash)?, shard }, replicas))
}

fn read_loss(place: &Place<'_>, json: &Json) -> Result<OpenLoss, Wrong> {
    let loss = Object::of(place, json)?;
    loss.knows(&["epoch", "from"])?;
    Ok(OpenLoss {
        epoch: Epoch(loss.read("epoch", read::count)?),
        from: Index(loss.read("from", read::count)?),
    })
}

fn read_audit(place: &Place<'_>, json: &Json) -> Result<Audit, Wrong> {
    let audit = Object::of(place, json)?;
    audit.knows(&["actor", "reason", "change"])?;
    let text = |name| audit.text(name).map(str::to_owned);
    Ok(Audit { actor: text("actor")?, reason: text("reason")?, change: text("change")? })
}

fn read_hash(place: &Place<'_>, json: &Json) -> Result<u64, Wrong> {
    let text = read::text(place, json)?;
    let hash = u64::from_str_radix(text, 16).ok().filter(|_| are_digits(text, 16));
    hash.ok_or_else(|| place.wrong(format!("{text:?} is no hash: write 16 digits of 0-9 and a-f")))
}

fn read_lineage(place: &Place<'_>, json: &Json) -> Result<Lineage, Wrong> {
    let text = read::text(place, json)?;
    let bytes = u128::from_str_radix(text, 16).ok().filter(|_| are_digits(text, 32)).map(u128::to_be_bytes);
    bytes
        .map(Lineage)
        .ok_or_else(|| place.wrong(format!("{text:?} is no lineage: write 32 digits of 0-9 and a-f")))
}

fn are_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A set is written in order, and each of it once: another order would be another document of the same map.
fn read_ids(place: &Place<'_>, json: &Json) -> Result<BTreeSet<MemberId>, Wrong> {
    let ids = read::list(place, json, &read_id)?;
    match ids.is_sorted_by(|a, b| a < b) {
        true => Ok(ids.into_iter().collect()),
        false => Err(place.wrong("members ascend, and each stands there once")),
    }
}

fn read_id(place: &Place<'_>, json: &Json) -> Result<MemberId, Wrong> {
    number(place, json).map(MemberId)
}

fn number<T: TryFrom<u64>>(place: &Place<'_>, json: &Json) -> Result<T, Wrong> {
    let number = read::count(place, json)?;
    T::try_from(number).map_err(|_| place.wrong(format!("{number} is too large a number here")))
}
