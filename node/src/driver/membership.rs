//! What makes a node a member: its number, the authority that keeps the map, and the address for the other members.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use seawall::map::{Map, MemberId, ShardId};
use seawall::position::Lineage;

use super::directory::Owner;
use super::incidents::Incidents;
use super::linking::{Door, Linking};
use super::listener;
use super::mailbox::Post;
use super::node::{NodeConfig, NodeError};
use crate::authority::watch::{Known, Proposals, Watch};
use crate::authority::{Authority, Embedded};
use crate::driver::{clock, console};
use crate::worker::links::Links;

pub(super) struct Membership {
    pub member: MemberId,
    pub known: Known,
    /// As it was when the node started.
    map: Arc<Map>,
    lineage: Lineage,
    shards: u32,
    place: String,
    authority: Option<Authority>,
    listener: Option<TcpListener>,
    address: SocketAddr,
    /// Which start of the node: no process before it has this number.
    start: u64,
}

/// The threads of a member.
pub(super) struct Running {
    watch: Watch,
    _door: Door,
}

impl Running {
    pub fn proposals(&self) -> Proposals {
        self.watch.proposals()
    }
}

impl Membership {
    /// `None`: the node is alone. What of the map does not fit is refused by name.
    pub fn prepare(config: &NodeConfig) -> Result<Option<Self>, NodeError> {
        let Some(member) = config.member else { return Ok(None) };
        let refuse = |why: String| Err(NodeError::Member(member, why));
        let Some(path) = &config.map else {
            return refuse("a member needs the map; name its directory with --map".into());
        };
        let embedded = Embedded::open(path).map_err(|e| NodeError::Member(member, e.to_string()))?;
        let authority = Authority::Embedded(embedded);
        let newest = authority.newest().map_err(|e| NodeError::Member(member, e.to_string()))?;
        let map = Arc::new(newest.map.clone());
        let place = path.display().to_string();
        let Some(own) = map.member(member) else {
            return refuse(format!(
                "the map in {place} has no such member; see `seawall map show --dir {place}`, and add it with `seawall map propose`"
            ));
        };
        let shards = u32::try_from(map.ranges().len()).expect("shards have numbers of 32 bits");
        if !(1..=shards).all(|shard| map.replicas(ShardId(shard)).is_some()) {
            return refuse(format!("the map in {place} has {shards} shards that are not numbered from 1 on"));
        }
        if let Some(workers) = config.workers.map(u32::from).filter(|workers| *workers != shards) {
            return refuse(format!(
                "the map in {place} has {shards} shards, and --workers is {workers}; leave it out or give {shards}"
            ));
        }
        let listen = config.peer_listen;
        if own.peer.parse::<SocketAddr>().is_ok_and(|peer| peer != listen) {
            let peer = &own.peer;
            return refuse(format!(
                "the map tells other members to find it at {peer}, and it would listen at {listen}; give --peer-listen {peer}"
            ));
        }
        if own.address.parse::<SocketAddr>().is_ok_and(|address| address != config.listen) {
            console::complain(format_args!(
                "the map sends clients to {}, and this member listens at {}",
                own.address, config.listen
            ));
        }
        let bound = listener::patiently(listen, || TcpListener::bind(listen));
        let listener = bound.map_err(|e| NodeError::Address("--peer-listen", e))?;
        let address = listener.local_addr().map_err(|e| NodeError::Address("--peer-listen", e))?;
        let start = u64::try_from(clock::now().wall_us).unwrap_or(0);
        Ok(Some(Self {
            member,
            known: Known::new(newest.clone()),
            map,
            lineage: newest.lineage,
            shards,
            place,
            authority: Some(authority),
            listener: Some(listener),
            address,
            start,
        }))
    }

    /// Whose the data directory is to be.
    pub fn owner(&self) -> Owner {
        Owner::Member { member: self.member, lineage: self.lineage, shards: self.shards }
    }

    pub fn map(&self) -> Arc<Map> {
        self.map.clone()
    }

    /// For the worker that has them.
    pub fn linking(&self, post: &Arc<Post>) -> Linking {
        Linking::new(Links::new(self.member, self.lineage, self.start), post.clone(), self.address)
    }

    /// From here on the map is watched, and members are let in.
    pub fn start(&mut self, post: &Arc<Post>, incidents: &Incidents) -> Result<Running, NodeError> {
        let (authority, listener) = (self.authority.take(), self.listener.take());
        let (authority, listener) = authority.zip(listener).expect("a node is started once");
        let watch = Watch::start(authority, self.known.clone(), post.clone(), incidents.clone());
        let watch = watch.map_err(NodeError::Start)?;
        let _door = Door::open(listener, post.clone()).map_err(NodeError::Start)?;
        Ok(Running { watch, _door })
    }
}

/// A line of what a start shows.
impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, place, address, map, .. } = self;
        write!(
            f,
            "member      {member}, map {place} at generation {}, members connect to {address}",
            map.generation()
        )
    }
}
