//! The map as this node knows it, and orders to it as a member.

use std::time::Duration;

use hyper::{Request, StatusCode};
use seawall::map::{MemberId, Place, ShardId};
use serde_json::{Value, json};

use super::admin::{Answer, Door, json_response, response};
use super::query;
use crate::authority::document;
use crate::driver::console;
use crate::replica::{Kind, Loss};
use crate::seam::order::{Done, Errand, Order};
use crate::seam::{FollowerStatus, LinkStatus, MemberStatus, Replication, ReseedStatus};

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
    let Replication { role, generation, epoch, leader, committed, refuses_commits, members, following } =
        replication;
    json!({
        "role": role,
        "generation": generation,
        "epoch": epoch,
        "leader": leader.map(|leader| leader.0),
        "committed": committed,
        "refuses_commits": refuses_commits,
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
        "records_per_second": status.records_per_second,
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
        "records_per_second": status.records_per_second,
        "reseeding": status.reseeding,
        "reseed": status.reseed.as_ref().map(reseed),
        "unproven": status.unproven,
        "reason": status.reason,
    })
}

/// From nothing to the target of the follower.
fn reseed(status: &ReseedStatus) -> Value {
    json!({
        "since_us": status.since_us,
        "start": 0,
        "bytes": status.bytes,
        "bytes_per_second": status.bytes_per_second,
        "attempts": status.attempts,
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

/// So long an order is waited for; whoever asks, asks again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells this member what to do with a shard, and says what became of it: 200 done, 202 at work, 409 not done and why.
pub(super) async fn order<B>(request: &Request<B>, door: &Door) -> Answer {
    let Some((me, known)) = &door.facts.member else { return alone() };
    let asked = match Asked::read(request.uri().query()) {
        Ok(asked) => asked,
        Err(why) => return wrong(why),
    };
    let Asked { shard, errand, .. } = &asked;
    let map = known.get().map;
    let Some(entry) = map.replicas(*shard) else { return wrong(format!("the map has no shard {shard}")) };
    let is_so = match errand {
        Errand::Promote(_) => entry.leader == Some(*me),
        Errand::HandOver(to) => entry.leader == Some(*to),
        Errand::Require(member) => entry.sync.contains(member),
        Errand::Release(member) => entry.place_of(*member) == Some(Place::Async),
        Errand::Clear | Errand::Reseed => false,
    };
    let said = |code: StatusCode, key: &str, what: String| {
        json_response(code, &json!({ "done": code == StatusCode::OK, "member": me.0, key: what }))
    };
    let what = format!("it is so in the map of generation {}, epoch {}", map.generation(), entry.epoch.0);
    let Asked { shard, errand, actor, reason, again } = asked;
    // The shard knows more of an order that it had before: what a promotion costs, above all.
    if is_so && !again {
        return said(StatusCode::OK, "what", what);
    }
    if !again {
        console::complain(format_args!("{actor} orders for shard {shard}: {errand:?} ({reason})"));
    }
    let Some(obeyed) = door.workers.order(shard, Order { errand, actor, reason, again }) else {
        return said(StatusCode::SERVICE_UNAVAILABLE, "error", "the shard's worker is silent".to_owned());
    };
    match tokio::time::timeout(PATIENCE, obeyed).await {
        Ok(Ok(Ok(done))) => said(StatusCode::OK, "what", words(&done)),
        Ok(Ok(Err(why))) if why.starts_with("another order is at work") => {
            said(StatusCode::ACCEPTED, "why", why)
        }
        Ok(Ok(Err(_))) if is_so => said(StatusCode::OK, "what", what),
        Ok(Ok(Err(why))) => said(StatusCode::CONFLICT, "error", why),
        Ok(Err(_)) | Err(_) => {
            said(StatusCode::ACCEPTED, "why", "it is at work, and not done yet".to_owned())
        }
    }
}

fn words(done: &Done) -> String {
    match done {
        Done::Leads { epoch, start, in_sync, loss, old_leader_fenced } => {
            let loss = match loss {
                Loss::Nothing => "nothing that was acknowledged is lost".to_owned(),
                Loss::Between(after, last) => {
                    format!("what was acknowledged from index {} up to {} may be lost", after.0 + 1, last.0)
                }
                Loss::Unknown => "what is lost is unknown".to_owned(),
            };
            let fenced = match old_leader_fenced {
                true => "the leader of before is fenced",
                false => "the leader of before has not heard of it",
            };
            let in_sync = in_sync.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!(
                "it leads epoch {} from index {}, in sync with [{in_sync}]; {loss}; {fenced}",
                epoch.0, start.0
            )
        }
        Done::HandedOver { to, epoch } => format!("member {to} takes over from epoch {} on", epoch.0),
        Done::Recorded { generation } => format!("recorded in the map of generation {generation}"),
        Done::Cleared => "the halt is cleared: its log was opened again, and it follows".to_owned(),
        Done::Reseeds { aside } => {
            let place = seawall_wal::recover::aside(*aside);
            format!(
                "it reseeds: its log of before is in {place} of the shard's directory; see `seawall status`"
            )
        }
    }
}

/// An order as it stands behind the question mark.
struct Asked {
    shard: ShardId,
    errand: Errand,
    actor: String,
    reason: String,
    /// The same as a moment ago.
    again: bool,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, String> {
        let known = ["shard", "errand", "member", "off", "actor", "reason", "again"];
        let [shard, errand, member, off, actor, reason, again] = query::read(query, known)?;
        let number = |name: &str, text: Option<String>| -> Result<u32, String> {
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| format!("name the {name} by its number: {name}=1"))
        };
        let text = |text: Option<String>, default: &str| -> Result<String, String> {
            let text = text.as_deref().map_or(Some(default.into()), query::decode);
            text.and_then(|text| String::from_utf8(text).ok())
                .ok_or_else(|| "actor and reason are texts".to_owned())
        };
        let off = off.unwrap_or_default();
        let off = off.split(',').filter(|one| !one.is_empty());
        let off =
            off.map(|one| number("off", Some(one.to_owned())).map(MemberId)).collect::<Result<_, _>>()?;
        let errand = match errand.as_deref() {
            Some("promote") => Errand::Promote(Kind::Recorded),
            Some("promote-accept-loss") => Errand::Promote(Kind::AcceptLoss),
            Some("promote-accept-split") => Errand::Promote(Kind::AcceptSplit { off }),
            Some("hand-over") => Errand::HandOver(MemberId(number("member", member)?)),
            Some("require") => Errand::Require(MemberId(number("member", member)?)),
            Some("release") => Errand::Release(MemberId(number("member", member)?)),
            Some("clear") => Errand::Clear,
            Some("reseed") => Errand::Reseed,
            _ => {
                return Err(
                    "errand is promote, promote-accept-loss, promote-accept-split, hand-over, require, release, \
                     clear or reseed"
                        .to_owned(),
                );
            }
        };
        let shard = ShardId(number("shard", shard)?);
        if reason.is_none() && matches!(errand, Errand::Clear | Errand::Reseed) {
            return Err("say why, for the audit: reason=...".to_owned());
        }
        let (actor, reason) = (text(actor, "an operator")?, text(reason, "none was given")?);
        Ok(Self { shard, errand, actor, reason, again: again.is_some() })
    }
}
