//! `seawall promote`, `hand-over` and `sync-set`: orders to a member, at its admin address.

use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::admin::Admin;
use super::{Exit, columns};
use crate::driver::console;

/// What every order says.
#[derive(Args)]
struct By {
    /// Who gives the order; kept in the map.
    #[arg(long, value_name = "NAME", default_value = "an operator")]
    actor: String,
    /// Why; kept in the map.
    #[arg(long, value_name = "TEXT", default_value = "none was given")]
    reason: String,
    #[command(flatten)]
    admin: Admin,
    /// Answer with one JSON object on one line.
    #[arg(long)]
    json: bool,
}

/// Tell a member to lead a shard: by itself only one of the sync set, so that nothing that was acknowledged is lost.
#[derive(Args)]
pub(super) struct Promote {
    #[arg(value_name = "SHARD")]
    shard: u32,
    /// Also one that is not in the sync set: what it lacks may be lost, and the answer says how much.
    #[arg(long)]
    accept_loss: bool,
    /// Also when nobody of the sync set can be reached: what is lost is unknown. Every member that cannot be reached
    /// must be named with --off.
    #[arg(long)]
    accept_split: bool,
    /// Members that are powered off, and stay so.
    #[arg(long, value_name = "N,...", requires = "accept_split", default_value = "")]
    off: String,
    #[command(flatten)]
    by: By,
}

/// Tell the leader of a shard to hand over to a member of its sync set, without a loss.
#[derive(Args)]
pub(super) struct HandOver {
    #[arg(value_name = "SHARD")]
    shard: u32,
    /// Who is to lead.
    #[arg(long, value_name = "N")]
    to: u32,
    #[command(flatten)]
    by: By,
}

/// Tell the leader of a shard who is in its sync set.
#[derive(Args)]
pub(super) struct SyncSet {
    #[command(subcommand)]
    verb: InOrOut,
}

#[derive(Subcommand)]
enum InOrOut {
    /// Every commit waits for the member from now on; it must be level.
    Require(Who),
    /// No commit waits for the member any more.
    Release(Who),
}

#[derive(Args)]
struct Who {
    #[arg(value_name = "SHARD")]
    shard: u32,
    #[arg(value_name = "N")]
    member: u32,
    #[command(flatten)]
    by: By,
}

impl Promote {
    pub(super) fn run(self) -> Exit {
        let errand = match (self.accept_split, self.accept_loss) {
            (true, _) => "promote-accept-split",
            (false, true) => "promote-accept-loss",
            (false, false) => "promote",
        };
        self.by.order(&format!("shard={}&errand={errand}&off={}", self.shard, self.off))
    }
}

impl HandOver {
    pub(super) fn run(self) -> Exit {
        self.by.order(&format!("shard={}&errand=hand-over&member={}", self.shard, self.to))
    }
}

impl SyncSet {
    pub(super) fn run(self) -> Exit {
        let (errand, Who { shard, member, by }) = match self.verb {
            InOrOut::Require(who) => ("require", who),
            InOrOut::Release(who) => ("release", who),
        };
        by.order(&format!("shard={shard}&errand={errand}&member={member}"))
    }
}

impl By {
    fn order(&self, what: &str) -> Exit {
        match give(&self.admin, what, &self.actor, &self.reason) {
            Ok(said) => told(&said, self.json),
            Err(exit) => exit,
        }
    }
}

/// What was done.
pub(super) fn told(said: &Json, json: bool) -> Exit {
    let what = said["what"].as_str().unwrap_or("done");
    match json {
        true => console::say(said),
        false => console::say(columns::plain(&format!("member {}: {what}", said["member"]))),
    }
    Exit::Done
}

/// Gives an order, and asks until it is done, or known not to be.
pub(super) fn give(admin: &Admin, what: &str, actor: &str, reason: &str) -> Result<Json, Exit> {
    let until = Instant::now() + admin.timeout;
    let (actor, reason) = (encoded(actor), encoded(reason));
    let mut path = format!("/v1/order?{what}&actor={actor}&reason={reason}");
    loop {
        let said = admin.post(&path)?;
        if said["done"] == Json::Bool(true) {
            return Ok(said);
        }
        if Instant::now() >= until {
            let why = said["why"].as_str().unwrap_or("it is not done yet");
            let help = "see `seawall map show`, or ask again with a longer --timeout";
            return Err(Exit::Refused(format!("{why}; {help}")));
        }
        thread::sleep(Duration::from_millis(100));
        if !path.ends_with("&again") {
            path += "&again";
        }
    }
}

/// Percent-encoded but for what needs it nowhere.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
