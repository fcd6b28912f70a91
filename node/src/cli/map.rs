//! `seawall map`: the partition map of a cluster, made, shown and changed.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use seawall::map::{By, Change, InEpoch, Map, Member, MemberId, Parts, Policy, Range, Replicas, ShardId};
use serde_json::json;

use super::admin::Admin;
use super::{Exit, columns};
use crate::authority::document::{self, Document};
use crate::authority::{Authority, Embedded, Swap, Trouble};
use crate::driver::console;
use crate::driver::directory::random_lineage;

/// The partition map of a cluster: who keeps which shard, and who leads it.
#[derive(Args)]
pub(super) struct MapVerb {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Init(Init),
    Show(Show),
    Propose(Propose),
}

/// Begin a cluster: make its first map. Every member keeps every shard, and nobody leads yet.
#[derive(Args)]
struct Init {
    /// Where the members keep the map; made when it does not exist.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A member: NUMBER=HOST:PORT,peer=HOST:PORT, and labels behind that. Clients are told the first address, members
    /// the second one.
    #[arg(long = "member", value_name = "MEMBER", value_parser = member, required = true)]
    members: Vec<Member>,
    /// Shards; each member serves one with each of its workers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    shards: u32,
    #[command(flatten)]
    policy: PolicyFlags,
    /// Answer with one JSON object on one line.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct PolicyFlags {
    /// How many members must have a record before it is committed, the leader included.
    #[arg(long, value_name = "N")]
    min_in_sync: Option<u8>,
    /// How long a follower promises not to adopt another leader.
    #[arg(long, value_name = "MS")]
    lease_ms: Option<u32>,
    /// After so long without a word from a required member writes are refused.
    #[arg(long, value_name = "MS")]
    member_timeout_ms: Option<u32>,
}

/// Show the newest map, of a directory or as a member knows it.
#[derive(Args)]
struct Show {
    /// Where the members keep the map. Without it a member is asked.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["address", "timeout"])]
    dir: Option<PathBuf>,
    #[command(flatten)]
    admin: Admin,
    /// The document as it is kept, instead of a table.
    #[arg(long)]
    json: bool,
}

/// Change the map, if nobody else does meanwhile; then it is tried again on the newer one.
#[derive(Args)]
struct Propose {
    /// Where the members keep the map.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Who changes it; kept with the change.
    #[arg(long, value_name = "NAME")]
    actor: String,
    /// Why; kept with the change.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Answer with one JSON object on one line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    change: What,
}

#[derive(Subcommand)]
enum What {
    /// Another policy of a shard; what is left out stays.
    Policy {
        #[arg(value_name = "SHARD")]
        shard: u32,
        #[command(flatten)]
        policy: PolicyFlags,
    },
    /// A node joins the cluster: NUMBER=HOST:PORT,peer=HOST:PORT, and labels behind that. It keeps no shard yet.
    AddMember {
        #[arg(value_name = "MEMBER", value_parser = member)]
        member: Member,
    },
    /// A member begins to follow a shard, as async.
    AddReplica {
        #[arg(value_name = "SHARD")]
        shard: u32,
        #[arg(value_name = "NUMBER")]
        member: u32,
    },
    /// An async member follows a shard no more.
    RemoveReplica {
        #[arg(value_name = "SHARD")]
        shard: u32,
        #[arg(value_name = "NUMBER")]
        member: u32,
    },
}

impl MapVerb {
    pub(super) fn run(self) -> Exit {
        let ended = match self.verb {
            Verb::Init(init) => init.run(),
            Verb::Show(show) => show.run(),
            Verb::Propose(propose) => propose.run(),
        };
        ended.map_or_else(|exit| exit, |()| Exit::Done)
    }
}

impl Init {
    fn run(mut self) -> Result<(), Exit> {
        self.members.sort_by_key(|member| member.id);
        let policy =
            self.policy.over(Policy { min_in_sync: 2.min(count(&self.members)), ..Policy::default() });
        let map = first(self.members, self.shards, policy).map_err(Exit::Usage)?;
        let document = Document { lineage: random_lineage(), map };
        Embedded::init(&self.dir, &document).map_err(refused)?;
        let dir = self.dir.display();
        if self.json {
            let lineage = document.lineage.to_string();
            console::say(json!({
                "done": true,
                "lineage": lineage,
                "generation": document.map.generation().0,
                "map": dir.to_string(),
            }));
            return Ok(());
        }
        console::say(format_args!("cluster {} begins; its map is in {dir}", document.lineage));
        for Member { id, address, peer, .. } in &document.map.parts().members {
            console::say(format_args!(
                "member {id}: seawall server --member {id} --map {dir} --listen {address} --peer-listen {peer} --data …"
            ));
        }
        Ok(())
    }
}

fn count(members: &[Member]) -> u8 {
    u8::try_from(members.len()).unwrap_or(u8::MAX)
}

/// Everybody keeps every shard, and nobody leads: the member with the lowest number stands first.
fn first(members: Vec<Member>, shards: u32, policy: Policy) -> Result<Map, String> {
    let even = Map::even(seawall::map::Generation(1), shards);
    let asyncs: std::collections::BTreeSet<MemberId> = members.iter().map(|member| member.id).collect();
    let of = |range: &Range| Replicas {
        asyncs: asyncs.clone(),
        policy,
        ..Replicas::alone(range.shard, seawall::map::Generation(1))
    };
    let replicas = even.ranges().iter().map(of).collect();
    Map::of(Parts { members, replicas, ..even.parts().clone() }).map_err(|fault| fault.to_string())
}

impl PolicyFlags {
    fn over(&self, policy: Policy) -> Policy {
        Policy {
            min_in_sync: self.min_in_sync.unwrap_or(policy.min_in_sync),
            member_timeout_ms: self.member_timeout_ms.unwrap_or(policy.member_timeout_ms),
            lease_ms: self.lease_ms.unwrap_or(policy.lease_ms),
        }
    }
}

impl Show {
    fn run(self) -> Result<(), Exit> {
        let text = match &self.dir {
            Some(dir) => document::write(&open(dir)?.newest().map_err(refused)?),
            None => self.admin.get("/v1/map")?,
        };
        if self.json {
            console::say(text.trim_end());
            return Ok(());
        }
        let document = document::read(&text).map_err(|wrong| Exit::Refused(wrong.to_string()))?;
        console::say(columns::plain_lines(table(&document).trim_end()));
        Ok(())
    }
}

fn table(Document { lineage, map }: &Document) -> String {
    let mut text = format!("cluster {lineage}, generation {}\n", map.generation());
    for Member { id, address, peer, labels } in &map.parts().members {
        let labels = labels.iter().map(|label| format!(", {label}")).collect::<String>();
        text += &format!("member {id}  clients {address}, members {peer}{labels}\n");
    }
    let numbers = |set: &std::collections::BTreeSet<MemberId>| match &set
        .iter()
        .map(MemberId::to_string)
        .collect::<Vec<_>>()[..]
    {
        [] => "nobody".to_owned(),
        numbers => numbers.join(", "),
    };
    for entry in &map.parts().replicas {
        let leader = entry.leader.map_or("nobody".to_owned(), |leader| format!("member {leader}"));
        let Policy { min_in_sync, member_timeout_ms, lease_ms } = entry.policy;
        text += &format!(
            "shard {}  epoch {}, led by {leader}; in sync {}; async {}; min_in_sync {min_in_sync}, lease_ms {lease_ms}, \
             member_timeout_ms {member_timeout_ms}\n",
            entry.shard,
            entry.epoch.0,
            numbers(&entry.sync),
            numbers(&entry.asyncs)
        );
        if let Some(loss) = entry.open_loss {
            text += &format!("  A LOSS IS OPEN: of epoch {}, from index {} on\n", loss.epoch.0, loss.from.0);
        }
    }
    if let Some(audit) = &map.parts().audit {
        text += &format!("last change: {}; by {}: {}\n", audit.change, audit.actor, audit.reason);
    }
    text
}

/// Others change the map, too; not as often as that.
const ATTEMPTS: usize = 20;

impl Propose {
    fn run(self) -> Result<(), Exit> {
        let authority = open(&self.dir)?;
        let by = By { actor: &self.actor, reason: &self.reason };
        for _ in 0..ATTEMPTS {
            let Document { lineage, map } = authority.newest().map_err(refused)?;
            let change = self.change.on(&map).map_err(Exit::Refused)?;
            let map = map.next(by, &change).map_err(|why| Exit::Refused(why.to_string()))?;
            let generation = map.generation();
            if authority.swap(&Document { lineage, map }).map_err(refused)? == Swap::Won {
                let what = change.to_string();
                match self.json {
                    true => {
                        console::say(json!({ "done": true, "generation": generation.0, "what": what }));
                    }
                    false => console::say(format_args!("generation {generation}: {what}")),
                }
                return Ok(());
            }
        }
        Err(Exit::Refused(format!("the map was changed by others {ATTEMPTS} times meanwhile; try again")))
    }
}

impl What {
    fn on(&self, map: &Map) -> Result<Change, String> {
        let in_epoch = |shard: u32, change: &dyn Fn(&Replicas) -> InEpoch| {
            let entry =
                map.replicas(ShardId(shard)).ok_or_else(|| format!("the map has no shard {shard}"))?;
            Ok(Change::In { shard: ShardId(shard), epoch: entry.epoch, change: change(entry) })
        };
        match self {
            What::AddMember { member } => Ok(Change::AddMember(member.clone())),
            What::Policy { shard, policy } => {
                in_epoch(*shard, &|entry| InEpoch::SetPolicy(policy.over(entry.policy)))
            }
            What::AddReplica { shard, member } => {
                in_epoch(*shard, &|_| InEpoch::AddReplica(MemberId(*member)))
            }
            What::RemoveReplica { shard, member } => {
                in_epoch(*shard, &|_| InEpoch::RemoveReplica(MemberId(*member)))
            }
        }
    }
}

fn open(dir: &Path) -> Result<Authority, Exit> {
    Embedded::open(dir).map(Authority::Embedded).map_err(refused)
}

fn refused(trouble: Trouble) -> Exit {
    Exit::Refused(trouble.to_string())
}

fn member(text: &str) -> Result<Member, String> {
    let example = "write NUMBER=HOST:PORT,peer=HOST:PORT, and labels behind that, such as 1=127.0.0.1:7411,peer=127.0.0.1:7413,zone=a";
    let (id, rest) = text.split_once('=').ok_or(example)?;
    let id = id.parse().map_err(|_| example)?;
    let mut parts = rest.split(',');
    let address = parts.next().unwrap_or_default().to_owned();
    let peer = parts.next().and_then(|part| part.strip_prefix("peer=")).ok_or(example)?.to_owned();
    Ok(Member { id: MemberId(id), address, peer, labels: parts.map(str::to_owned).collect() })
}
