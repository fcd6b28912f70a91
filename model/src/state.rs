//! What there is: three members, the authority, and the messages between them.

use crate::log::{LOG_MAX, Log};

pub const MEMBERS: usize = 3;

/// A member of the shard: 0 is A, 1 is B, 2 is C.
pub type Member = usize;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Set(u8);

impl Set {
    pub fn of(members: &[Member]) -> Set {
        Set(members.iter().fold(0, |bits, member| bits | 1 << member))
    }

    pub const fn of_bits(bits: u8) -> Set {
        Set(bits)
    }

    pub fn has(self, member: Member) -> bool {
        self.0 & (1 << member) != 0
    }

    pub fn with(self, member: Member) -> Set {
        Set(self.0 | 1 << member)
    }

    pub fn without(self, member: Member) -> Set {
        Set(self.0 & !(1 << member))
    }

    pub fn and(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }

    pub fn or(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    pub fn less(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn count(self) -> u8 {
        u8::try_from(self.0.count_ones()).expect("three bits")
    }

    pub fn members(self) -> impl Iterator<Item = Member> {
        (0..MEMBERS).filter(move |member| self.has(*member))
    }
}

/// The epoch promise of R6 and R10. A promise made to R_FENCE has no leader yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Promise {
    pub epoch: u8,
    pub leader: Option<Member>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Replica {
    /// What was received. The first `durable` records are persisted and validated.
    pub log: Log,
    pub durable: u8,
    /// The durable commit index: the highest `committed_through` in its own log.
    pub known_committed: u8,
    pub promise: Promise,
    pub promise_on_disk: Promise,
    /// It lost its metadata or its data, and was not recorded again since: not electable.
    pub reseeding: bool,
    /// A lease promise of it runs: it adopts no higher epoch.
    pub lease_promised: bool,
    pub role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    Down,
    /// It streams from the leader of the epoch `of`; 0: no R_HELLO was exchanged since its start.
    Follower {
        of: u8,
    },
    Candidate(Candidate),
    Leader(Leader),
    /// An integrity failure has latched.
    Halted,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Candidate {
    /// The map that it read, and on whose generation it will compare.
    pub map: Map,
    pub epoch: u8,
    pub kind: Promotion,
    /// Who persisted the new epoch.
    pub fenced: Set,
    /// Who is proven to hold its log.
    pub proven: Set,
    /// What a fenced member of the old write set holds and the candidate does not.
    pub loss: Loss,
    /// The sync set that it asked the authority to record with its leadership.
    pub asked: Option<Set>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Promotion {
    /// Of a recorded sync member, or of the recorded leader after a restart.
    Recorded,
    /// `--accept-loss`: of an async member.
    AcceptLoss,
    /// `--accept-loss --accept-split`: nobody of the old write set can be fenced, all were declared powered off.
    AcceptSplit,
}

/// What a promotion says about its loss.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Loss {
    Unknown,
    /// Nothing beyond `until`, nothing up to `after`.
    Indexes {
        after: u8,
        until: u8,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Leader {
    pub epoch: u8,
    /// The index of its `EpochStart`.
    pub start: u8,
    pub generation: u8,
    /// The sync set as it knows it to be recorded.
    pub recorded: Set,
    /// What it asked to be recorded, while the result is unknown.
    pub pending: Option<Set>,
    /// The validated position of each follower, as acknowledged in this epoch.
    pub matched: [u8; MEMBERS],
    pub committed: u8,
    /// Whose lease promises it counts as running.
    pub leases: Set,
    /// Only without R16's check at the reply: a proof that was found once.
    pub kept_proof: bool,
}

/// The partition map's entry for the shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Map {
    pub generation: u8,
    pub epoch: u8,
    pub leader: Member,
    pub sync: Set,
    /// A loss was accepted, and no `EpochStart` that says so is committed yet.
    pub loss_open: bool,
}

impl Map {
    /// Whose acknowledgement every commit of this generation needs, with the leader itself.
    pub fn write_set(&self) -> Set {
        self.sync.with(self.leader)
    }
}

/// A compare-and-swap on its way to the authority, or its answer on its way back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cas {
    Asked { expected: u8, new: Map, promotion: Option<Promoted> },
    Won,
    Lost,
}

/// What the ghosts need to know of a promotion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Promoted {
    pub kind: Promotion,
    pub loss: Loss,
    pub log: Log,
}

/// R_HELLO and R_APPEND in one: a follower that does not stream yet uses the epoch table, one that does the records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Append {
    pub epoch: u8,
    pub log: Log,
    pub committed: u8,
    /// Whether the leader requires this member's acknowledgement, and knows it to be recorded.
    pub required: bool,
    pub recorded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    Append(Append),
    Fence { epoch: u8 },
}

/// R_ACK: the validated position, and a lease promise that still runs by the leader's count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ack {
    pub epoch: u8,
    pub validated: u8,
    pub lease: bool,
}

/// What nobody in the system can see: the truth that the invariants are held against.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ghost {
    /// Every record that was ever committed, but for what an accepted loss covers.
    pub committed: Log,
    /// The highest epoch that committed anything.
    pub epoch: u8,
    /// The last index that leaders of each epoch committed.
    pub committed_by: [u8; LOG_MAX],
    /// The history before an accepted loss, and what the promotion stated.
    pub lost: Option<Lost>,
    /// Writes that a deposed leader answered with `none`.
    pub answered_none: u8,
    pub forked: bool,
    pub understated: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lost {
    pub history: Log,
    /// How much of it the promoted member had.
    pub kept: u8,
    pub epoch: u8,
    pub stated: Loss,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub replicas: [Replica; MEMBERS],
    pub map: Map,
    pub cas: [Option<Cas>; MEMBERS],
    /// One slot for each direction of each pair: what is sent later overtakes by replacing, as a lost message would.
    pub requests: [[Option<Request>; MEMBERS]; MEMBERS],
    pub acks: [[Option<Ack>; MEMBERS]; MEMBERS],
    pub writes: u8,
    pub damages: u8,
    pub ghost: Ghost,
}

impl State {
    pub fn leader(&self, member: Member) -> Option<&Leader> {
        match &self.replicas[member].role {
            Role::Leader(leader) => Some(leader),
            Role::Down | Role::Follower { .. } | Role::Candidate(_) | Role::Halted => None,
        }
    }

    pub fn leader_mut(&mut self, member: Member) -> Option<&mut Leader> {
        match &mut self.replicas[member].role {
            Role::Leader(leader) => Some(leader),
            Role::Down | Role::Follower { .. } | Role::Candidate(_) | Role::Halted => None,
        }
    }

    pub fn is_down(&self, member: Member) -> bool {
        self.replicas[member].role == Role::Down
    }
}
