//! R_HELLO and R_WELCOME: the leader of an epoch opens a session with a follower, and hears how far it is.

use super::{EpochTable, Positions, Session, Stamp};
use crate::position::{Epoch, Index};
use crate::wire::{Malformed, Reader, put_u64};

/// What a follower is to its leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The leader commits nothing without it: its lease promises count, and it takes no data while it reseeds.
    pub required: bool,
    /// It is recorded in the map: electable, and whole again if it had reseeded.
    pub recorded: bool,
}

/// Bits of a standing.
const REQUIRED: u8 = 1;
const RECORDED: u8 = 2;

impl Standing {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.push((u8::from(self.required) * REQUIRED) | (u8::from(self.recorded) * RECORDED));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Standing, Malformed> {
        let bits = reader.u8()?;
        if bits & !(REQUIRED | RECORDED) != 0 {
            return Err(Malformed::Unknown { what: "standing", got: u64::from(bits) });
        }
        let standing = Standing { required: bits & REQUIRED != 0, recorded: bits & RECORDED != 0 };
        match standing {
            Standing { required: false, recorded: true } => {
                Err(Malformed::Contradiction("who is recorded is required")) // R14
            }
            _ => Ok(standing),
        }
    }
}

/// An R_HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The epoch that is led, and the leader's start: what a promise is bound to.
    pub stamp: Stamp,
    /// The session that begins.
    pub session: Session,
    /// The leader's clock when it was sent: an answer repeats it, and nobody else looks into it.
    pub sent_us: u64,
    /// What the follower is to the leader.
    pub standing: Standing,
    /// The last index of the leader's log that is durable there.
    pub last: Index,
    /// The highest that the leader knows to be committed.
    pub committed: Index,
    /// The oldest index that the leader can ship out of its memory.
    pub memory_from: Index,
    /// The oldest that stands in its segments; what is older comes in a checkpoint.
    pub segments_from: Index,
    /// Accepted losses that the leader's log tells: the epoch, and from which index on something may be lost.
    pub losses: EpochTable<'a>,
    /// Of the leader's log.
    pub epochs: EpochTable<'a>,
}

impl<'a> Hello<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        put_u64(out, self.sent_us);
        self.standing.encode(out);
        [self.last, self.committed, self.memory_from, self.segments_from]
            .into_iter()
            .for_each(|at| put_u64(out, at.0));
        self.losses.encode(out);
        self.epochs.encode(out);
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Hello<'a>, Malformed> {
        let hello = Hello {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            sent_us: reader.u64()?,
            standing: Standing::read(reader)?,
            last: Index(reader.u64()?),
            committed: Index(reader.u64()?),
            memory_from: Index(reader.u64()?),
            segments_from: Index(reader.u64()?),
            losses: EpochTable::read(reader)?,
            epochs: EpochTable::read(reader)?,
        };
        let next = Index(hello.last.0.saturating_add(1));
        if hello.committed > hello.last {
            return Err(Malformed::Contradiction("committed <= last"));
        }
        if hello.segments_from > hello.memory_from || hello.memory_from > next {
            return Err(Malformed::Contradiction("segments_from <= memory_from <= last + 1"));
        }
        Ok(hello)
    }
}

/// The named states of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FollowerState {
    /// It has nothing that it may build on.
    Uninitialised = 1,
    /// A checkpoint is on its way.
    Bootstrapping = 2,
    /// It takes segments, and is behind.
    CatchingUp = 3,
    /// It takes what is written, as it is written.
    Streaming = 4,
    /// An integrity failure: only a person makes it go on.
    Halted = 5,
    /// It promised a higher epoch, and follows nobody yet.
    Fenced = 6,
}

impl FollowerState {
    /// All of them, by number.
    pub const ALL: [FollowerState; 6] = [
        FollowerState::Uninitialised,
        FollowerState::Bootstrapping,
        FollowerState::CatchingUp,
        FollowerState::Streaming,
        FollowerState::Halted,
        FollowerState::Fenced,
    ];

    /// As documents and people write it.
    pub fn name(self) -> &'static str {
        match self {
            FollowerState::Uninitialised => "uninitialised",
            FollowerState::Bootstrapping => "bootstrapping",
            FollowerState::CatchingUp => "catching up",
            FollowerState::Streaming => "streaming",
            FollowerState::Halted => "halted",
            FollowerState::Fenced => "fenced",
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<FollowerState, Malformed> {
        let number = reader.u8()?;
        let found = FollowerState::ALL.into_iter().find(|state| *state as u8 == number);
        found.ok_or(Malformed::Unknown { what: "state of a follower", got: u64::from(number) })
    }
}

/// An R_WELCOME: the session stands, and the leader's epoch is promised durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The leader's epoch, and the follower's start.
    pub stamp: Stamp,
    /// The session that it accepts.
    pub session: Session,
    /// `sent_us` of the R_HELLO.
    pub echo_sent_us: u64,
    /// The epoch that it promised.
    pub promise: Epoch,
    /// How far it is, with nothing under way.
    pub positions: Positions,
    /// What it is doing.
    pub state: FollowerState,
    /// It lost what it may have acknowledged, and is not whole yet.
    pub reseeding: bool,
    /// How long it promises, from now on its own clock, not to adopt a higher epoch; 0: not at all.
    pub lease_us: u64,
    /// Of the follower's log.
    pub epochs: EpochTable<'a>,
}

impl<'a> Welcome<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        put_u64(out, self.echo_sent_us);
        put_u64(out, self.promise.0);
        self.positions.encode(out);
        out.extend_from_slice(&[self.state as u8, u8::from(self.reseeding)]);
        put_u64(out, self.lease_us);
        self.epochs.encode(out);
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Welcome<'a>, Malformed> {
        Ok(Welcome {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            echo_sent_us: reader.u64()?,
            promise: Epoch(reader.u64()?),
            positions: Positions::read(reader)?,
            state: FollowerState::read(reader)?,
            reseeding: reader.bool("reseeding")?,
            lease_us: reader.u64()?,
            epochs: EpochTable::read(reader)?,
        })
    }
}
