//! The map as this node knows it, and orders to it as a member.

use hyper::{Request, StatusCode};
use seawall::map::{Place, ShardId};
use serde_json::{Value, json};

use super::admin::{Answer, Door, json_response, response};
use super::query;
use crate::authority::document;
use crate::driver::console;
use crate::seam::{FollowerStatus, LinkStatus, MemberStatus, Replication};

pub(super) fn map(door: &Door) -> Answer {
    match &door.facts.member {
        Some((_, known)) => response(StatusCode::OK, "application/json", document::write(&known.get())),
        None => alone(),
    }
}

fn alone() -> Answer {
    json_response(
        StatusCode::NOT_FOUND,
        &json!({ "error": "this node is alone, and no member of a cluster" }),
    )
}

fn wrong(why: impl Into<String>) -> Answer {
    json_response(StatusCode::BAD_REQUEST, &json!({ "error": why.into() }))
}

/// How a shard stands among members.
pub(super) fn replication(replication: &Replication) -> Value {
    let Replication { role, generation, epoch, leader, committed, members, following } = replication;
    json!({
        "role": role,
        "generation": generation,
        "epoch": epoch,
        "leader": leader.map(|leader| leader.0),
        "committed": committed,
        "members": members.iter().map(member).collect::<Vec<_>>(),
        "following": following.as_ref().map(follower),
    })
}

fn member(status: &MemberStatus) -> Value {
    json!({
        "member": status.member.0,
        "required": status.required,
        "recorded": status.recorded,
        "state": status.state,
        "since_us": status.since_us,
        "target": status.target,
        "acknowledged": status.acknowledged,
        "under_way_bytes": status.under_way_bytes,
        "attempts": status.attempts,
        "reason": status.reason,
    })
}

fn follower(status: &FollowerStatus) -> Value {
    let place = status.place.map(|place| match place {
        Place::Leader => "leader",
        Place::Sync => "sync",
        Place::Async => "async",
    });
    json!({
        "state": status.state,
        "leader": status.leader.map(|leader| leader.0),
        "recorded_as": place,
        "target": status.target,
        "promise": status.promise,
        "received": status.received,
        "persisted": status.persisted,
        "validated": status.validated,
        "applied": status.applied,
        "reseeding": status.reseeding,
        "reason": status.reason,
    })
}

pub(super) fn link(status: &LinkStatus) -> Value {
    json!({
        "member": status.member.0,
        "state": status.state,
        "reason": status.reason,
        "times": status.times,
        "said": status.said,
        "lost": status.lost,
        "heard": status.heard,
        "waiting_bytes": status.waiting,
    })
}

/// Tells this member to stand, and says whether it leads. It takes the time of a lease: whoever asks, asks again.
pub(super) async fn promote<B>(request: &Request<B>, door: &Door) -> Answer {
    let Some((me, known)) = &door.facts.member else { return alone() };
    let (shard, again) = match query::read(request.uri().query(), ["shard", "again"]) {
        Ok([shard, again]) => (shard.and_then(|shard| shard.parse().ok()), again.is_some()),
        Err(why) => return wrong(why),
    };
    let Some(shard) = shard.map(ShardId) else { return wrong("name the shard by its number: ?shard=1") };
    let map = known.get().map;
    let Some(entry) = map.replicas(shard) else { return wrong(format!("the map has no shard {shard}")) };
    let (epoch, place) = (entry.epoch.0, entry.place_of(*me));
    let why = match place {
        Some(Place::Leader) => {
            return json_response(StatusCode::OK, &json!({ "leads": true, "member": me.0, "epoch": epoch }));
        }
        Some(Place::Sync) => {
            let leader = entry.leader.map_or("its leader".to_owned(), |leader| format!("member {leader}"));
            format!(
                "it does not lead yet: its lease promise to {leader} has to run out, and a leader that lives renews it, \
                 so that one is to be stopped first"
            )
        }
        _ => {
            let why = format!(
                "member {me} is not recorded in the sync set of shard {shard}, so it may lack what was acknowledged; \
                 promote one that is"
            );
            return json_response(StatusCode::CONFLICT, &json!({ "error": why }));
        }
    };
    if !door.workers.promote(shard) {
        return json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "error": "the shard's worker is silent" }),
        );
    }
    if !again {
        console::complain(format_args!("an operator told this member to lead shard {shard}"));
    }
    json_response(
        StatusCode::ACCEPTED,
        &json!({ "leads": false, "member": me.0, "epoch": epoch, "why": why }),
    )
}
