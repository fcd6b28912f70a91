//! R_HEARTBEAT and R_ACK: how far both are, and what proves to each that the other one still stands (R16, R22).

use super::{Incarnation, Positions, Session, Stamp, Standing};
use crate::position::{Epoch, Index};
use crate::wire::{Malformed, Reader, put_option, put_u64};

/// The answer to a follower's probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The follower's own time, as its R_ACK said it.
    pub probe_us: u64,
    /// What was committed after the probe had arrived.
    pub committed: Index,
    /// Whether the lease, or where nobody is required the authority, proved after it had arrived that nobody else led. If
    /// not, the echo proves nothing.
    pub lease_proven: bool,
}

/// The checksum of a segment that will not change any more: replicas hold the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedSegment {
    /// Which one.
    pub incarnation: Incarnation,
    /// CRC32C of all its bytes, up to its end.
    pub crc: u32,
}

/// A digest of the state as of an index: replicas hold the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateDigest {
    /// As of which index.
    pub index: Index,
    /// The digest.
    pub digest: u64,
}

/// An R_HEARTBEAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The leader's.
    pub stamp: Stamp,
    /// The session that it belongs to.
    pub session: Session,
    /// The leader's clock when it was sent.
    pub sent_us: u64,
    /// What the follower is to the leader by now.
    pub standing: Standing,
    /// The last index that is durable at the leader.
    pub last: Index,
    /// The highest that the leader knows to be committed.
    pub committed: Index,
    /// The answer to the last probe that arrived, if it was not given yet.
    pub echo: Option<Echo>,
    /// The last segment that was closed.
    pub closed: Option<ClosedSegment>,
    /// Of the leader's state.
    pub state: Option<StateDigest>,
}

impl Heartbeat {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        put_u64(out, self.sent_us);
        self.standing.encode(out);
        put_u64(out, self.last.0);
        put_u64(out, self.committed.0);
        put_option(out, self.echo, |out, echo| {
            put_u64(out, echo.probe_us);
            put_u64(out, echo.committed.0);
            out.push(u8::from(echo.lease_proven));
        });
        put_option(out, self.closed, |out, closed| {
            put_u64(out, closed.incarnation.0);
            out.extend_from_slice(&closed.crc.to_le_bytes());
        });
        put_option(out, self.state, |out, state| {
            put_u64(out, state.index.0);
            put_u64(out, state.digest);
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Heartbeat, Malformed> {
        let heartbeat = Heartbeat {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            sent_us: reader.u64()?,
            standing: Standing::read(reader)?,
            last: Index(reader.u64()?),
            committed: Index(reader.u64()?),
            echo: reader.option("echo", |reader| {
                Ok(Echo {
                    probe_us: reader.u64()?,
                    committed: Index(reader.u64()?),
                    lease_proven: reader.bool("proof of a lease")?,
                })
            })?,
            closed: reader.option("closed segment", |reader| {
                Ok(ClosedSegment { incarnation: Incarnation(reader.u64()?), crc: reader.u32()? })
            })?,
            state: reader.option("digest of the state", |reader| {
                Ok(StateDigest { index: Index(reader.u64()?), digest: reader.u64()? })
            })?,
        };
        match heartbeat.committed > heartbeat.last {
            true => Err(Malformed::Contradiction("committed <= last")),
            false => Ok(heartbeat),
        }
    }
}

/// An R_ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The leader's epoch, and the follower's start.
    pub stamp: Stamp,
    /// The session that the positions belong to.
    pub session: Session,
    /// `sent_us` of the last message of the session that arrived: a lease counts from there.
    pub echo_sent_us: u64,
    /// How far the follower is.
    pub positions: Positions,
    /// The epoch that it promised.
    pub promise: Epoch,
    /// How long it promises, from now on its own clock, not to adopt a higher epoch; 0: not at all.
    pub lease_us: u64,
    /// The follower's own time: the probe that the leader echoes.
    pub probe_us: u64,
    /// Bytes of the checkpoint on its way that are written here; 0 when none is.
    pub checkpoint: u64,
    /// Whether its disk has answered a probe since the last R_ACK (R24).
    pub disk_answered: bool,
}

impl Ack {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        put_u64(out, self.session.0);
        put_u64(out, self.echo_sent_us);
        self.positions.encode(out);
        put_u64(out, self.promise.0);
        put_u64(out, self.lease_us);
        put_u64(out, self.probe_us);
        put_u64(out, self.checkpoint);
        out.push(u8::from(self.disk_answered));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Ack, Malformed> {
        Ok(Ack {
            stamp: Stamp::read(reader)?,
            session: Session::read(reader)?,
            echo_sent_us: reader.u64()?,
            positions: Positions::read(reader)?,
            promise: Epoch(reader.u64()?),
            lease_us: reader.u64()?,
            probe_us: reader.u64()?,
            checkpoint: reader.u64()?,
            disk_answered: reader.bool("answer of a disk")?,
        })
    }
}
