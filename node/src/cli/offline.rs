//! `seawall replica clear` and `reseed` for a member that is stopped: `--data DIR` in the place of `--admin ADDR`.

use std::path::Path;

use seawall::map::ShardId;
use seawall_wal::Act;
use seawall_wal::recover::{Intention, aside};

use super::Exit;
use crate::authority::Embedded;
use crate::driver::directory::{Directory, DirectoryError};
use crate::driver::offline;

/// What becomes of a log whose member is stopped.
pub(super) struct Stopped<'a> {
    pub data: &'a Path,
    /// Where the members keep the map.
    pub map: Option<&'a Path>,
    pub shard: ShardId,
    pub act: Act,
    pub actor: &'a str,
    pub reason: &'a str,
}

/// What was done, and by which member's directory.
pub(super) struct Recorded {
    pub member: u32,
    pub what: String,
}

impl Stopped<'_> {
    pub(super) fn order(&self) -> Result<Recorded, Exit> {
        let refused = |e: DirectoryError| Exit::Refused(e.to_string());
        let directory = Directory::of_stopped(self.data).map_err(refused)?;
        let data = self.data.display();
        let Some(member) = directory.member() else {
            let why = format!(
                "{data}: it is that of a node that is alone: nobody has what it would take from a leader"
            );
            return Err(Exit::Refused(why));
        };
        if !(1..=directory.shards()).contains(&self.shard.0) {
            let why =
                format!("{data}: it has the shards 1 to {}, and no shard {}", directory.shards(), self.shard);
            return Err(Exit::Usage(why));
        }
        let intention = offline::intention(&directory, self.shard, self.act).map_err(refused)?;
        match self.act {
            Act::Clear => self.may_clear(&intention)?,
            Act::Reseed => self.may_reseed(&directory, &intention)?,
        }
        let by = (self.actor, self.reason);
        offline::record(&directory, self.shard, self.act, by, &intention).map_err(refused)?;
        let what = match self.act {
            Act::Clear => {
                "the latch is taken away: the next start opens the log again, and halts again if the cause \
                           is still there"
                    .to_owned()
            }
            Act::Reseed => format!(
                "it reseeds: the next start puts its log aside, in {}, and takes all of it from the leader",
                aside(intention.aside)
            ),
        };
        Ok(Recorded { member: member.0, what })
    }

    fn may_clear(&self, intention: &Intention) -> Result<(), Exit> {
        let shard = self.shard;
        match (&intention.write, &intention.halt) {
            (Some(_), _) => Ok(()),
            (None, Some(halt)) if intention.aside == 0 => Err(Exit::Refused(format!(
                "{halt}; there is no latch to take away: only `replica reseed` helps"
            ))),
            (None, _) if intention.aside != 0 => Err(Exit::Refused(format!(
                "R25: shard {shard} of this member reseeds with the next start, which takes the latch with the log"
            ))),
            (None, _) => Err(Exit::Refused(format!(
                "R25: nothing latches shard {shard} of this member: what halts it is looked at anew with each start"
            ))),
        }
    }

    /// R14: others take their log from whoever leads. The map knows it; the metadata only that nobody else did before this
    /// member was stopped.
    fn may_reseed(&self, directory: &Directory, intention: &Intention) -> Result<(), Exit> {
        let (shard, refuse) = (self.shard, |why: String| Err(Exit::Refused(why)));
        let Some(map) = self.map else {
            return match intention.led {
                Some(false) => Ok(()),
                Some(true) => refuse(format!(
                    "R14: as far as this directory knows, its member leads shard {shard}, and others take their log from \
                     it; promote another one, and name the map that says so with --map DIR"
                )),
                None => refuse(format!(
                    "R14: its metadata cannot be read, and may be that of the leader of shard {shard}; name the map with \
                     --map DIR"
                )),
            };
        };
        let newest =
            Embedded::open(map).and_then(|map| map.newest()).map_err(|e| Exit::Refused(e.to_string()))?;
        if newest.lineage != directory.lineage() {
            let (ours, theirs) = (directory.lineage(), newest.lineage);
            return refuse(format!(
                "the directory belongs to cluster {ours}, and the map is that of cluster {theirs}"
            ));
        }
        let leader = newest.map.replicas(shard).and_then(|entry| entry.leader);
        match leader {
            Some(leader) if Some(leader) == directory.member() => refuse(format!(
                "R14: this member leads shard {shard} by the map: promote another one first, `seawall promote {shard}` \
                 there"
            )),
            Some(_) => Ok(()),
            None => refuse(format!(
                "R23: nobody has led shard {shard}: there is no log that could take the place of this one"
            )),
        }
    }
}
