//! Events and effects as lines of the trace: enough to follow a run, and every byte that moves by its checksum.

use std::fmt::{Display, Formatter, Result};

use seawall::frame::{self, Decoder};
use seawall::limits::PEER_BODY_MAX;
use seawall::replication::{Envelope, Message};
use seawall_node::seam::{Effect, Event, Letter};
use seawall_wal::Io;

use crate::net::Step;
use crate::trace::Bytes;

pub struct NetStep<'a>(pub &'a Step);
pub struct Heard<'a>(pub &'a Event);
pub struct Asked<'a>(pub &'a Effect);

impl Display for NetStep<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Step::Up(link, bytes) => write!(f, "up {link:?} {}", Bytes(bytes)),
            Step::Down(link, bytes) => write!(f, "down {link:?} {}", Bytes(bytes)),
            Step::UpEnds(_) | Step::DownEnds(_) | Step::NodeLearns(_) | Step::Closed(_) => {
                write!(f, "{:?}", self.0)
            }
        }
    }
}

impl Display for Heard<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Event::Boot { shard, found } => write!(f, "boot of shard {shard} from {:?}", found.files.slots),
            Event::MapChanged(map) => write!(f, "map of generation {}", map.generation()),
            Event::NewestMap { round, generation, .. } => write!(f, "round {round}: generation {generation}"),
            Event::Received { conn, result, .. } => {
                write!(f, "received {}.{} {result:?}", conn.slot, conn.serial)
            }
            Event::Sent { conn, result, .. } => write!(f, "sent {}.{} {result:?}", conn.slot, conn.serial),
            Event::Disk { shard, done } => write!(f, "shard {shard} {:?} done {:?}", done.id, done.result),
            Event::Heard { from, frame, .. } => write!(f, "heard {} from member {from}", Said(frame)),
            Event::Mail { from, letter } => write!(f, "mail from {from:?} {}", Post(letter)),
            Event::Accepted { .. }
            | Event::Closed { .. }
            | Event::Folded { .. }
            | Event::Scrubbed { .. }
            | Event::StatusAsked { .. }
            | Event::ClockAccepted { .. }
            | Event::DurableBy(_)
            | Event::Ordered { .. }
            | Event::Tick
            | Event::Stop
            | Event::EndOfTurn => write!(f, "{:?}", self.0),
        }
    }
}

impl Display for Asked<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Effect::Receive { conn, buf, from } => {
                write!(f, "receive {}.{} room {}", conn.slot, conn.serial, buf.len() - from)
            }
            Effect::Send { conn, buf, from } => {
                write!(f, "send {}.{} {}", conn.slot, conn.serial, Bytes(&buf[*from..]))
            }
            Effect::Disk { shard, io } => match io {
                Io::Write { id, file, offset, buf, at, len } => {
                    write!(
                        f,
                        "shard {shard} {id:?} writes {file:?} at {offset} {}",
                        Bytes(&buf.bytes()[*at..at + len])
                    )
                }
                Io::Read { id, file, offset, len, .. } | Io::ReadBack { id, file, offset, len, .. } => {
                    write!(f, "shard {shard} {id:?} reads {file:?} at {offset} {len}B")
                }
                Io::Prepare { id, slot, bytes } => {
                    write!(f, "shard {shard} {id:?} prepares {slot:?} {bytes}B")
                }
                Io::WriteOffered { id, offset, bytes } => {
                    write!(f, "shard {shard} {id:?} writes a checkpoint at {offset} {}", Bytes(bytes))
                }
                Io::Adopt(job) => write!(f, "shard {shard} {job:?}"),
                Io::Fold(job) => write!(f, "shard {shard} {job:?}"),
                Io::Quarantine { id, slot, from, to, .. } => {
                    write!(f, "shard {shard} {id:?} copies {from}..{to} of {slot:?} to the quarantine")
                }
                Io::Audit { id, line } => write!(f, "shard {shard} {id:?} audits: {line}"),
                Io::PutAside { id, number } => {
                    write!(f, "shard {shard} {id:?} puts the log aside as {number}")
                }
                Io::Remove { id, file } => write!(f, "shard {shard} {id:?} removes {file}"),
            },
            Effect::Say { to, frame } => write!(f, "says {} to member {to}", Said(frame)),
            Effect::Propose { map } => write!(f, "proposes generation {}", map.generation()),
            Effect::AskMap { round, .. } => write!(f, "round {round}: asks for the newest map"),
            Effect::Mail { to, letter } => write!(f, "mail to {to:?} {}", Post(letter)),
            Effect::Close { .. }
            | Effect::Reopen { .. }
            | Effect::Status { .. }
            | Effect::Recovered { .. }
            | Effect::NoSpace { .. }
            | Effect::FoldFailed { .. }
            | Effect::LogFailed { .. }
            | Effect::Obeyed { .. }
            | Effect::ReplicaHalted { .. }
            | Effect::CommitsRefused { .. }
            | Effect::ReplicaTroubled { .. }
            | Effect::Unproven { .. }
            | Effect::ReplicaReseeds { .. }
            | Effect::Scrub { .. }
            | Effect::Rotten { .. }
            | Effect::Stopped => write!(f, "{:?}", self.0),
        }
    }
}

/// A message between members.
struct Said<'a>(&'a [u8]);

impl Display for Said<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let read = Decoder::new(PEER_BODY_MAX).next(self.0);
        let message = match &read {
            Ok(frame::Step::Frame(frame, _)) => Envelope::decode(frame).ok().map(|envelope| envelope.message),
            _ => None,
        };
        match message {
            Some(Message::Append(append)) => {
                let (epoch, committed) = (append.stamp.epoch.0, append.committed.0);
                write!(f, "R_APPEND e{epoch} committed {committed} {}", Bytes(append.blocks))
            }
            Some(message) => write!(f, "{message:?}"),
            None => write!(f, "{}", Bytes(self.0)),
        }
    }
}

struct Post<'a>(&'a Letter);

impl Display for Post<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Letter::Request { conn, frame, .. } => {
                write!(f, "request of {}.{} {}", conn.slot, conn.serial, Bytes(frame))
            }
            Letter::Leaving => write!(f, "leaving"),
            Letter::Stream { conn, frame, .. } => {
                write!(f, "stream to {}.{} {}", conn.slot, conn.serial, Bytes(frame))
            }
            Letter::StreamTaken { conn, subscription } => {
                write!(f, "taken by {}.{} of {subscription}", conn.slot, conn.serial)
            }
            Letter::Reply { conn, frame, .. } => {
                write!(f, "reply to {}.{} {}", conn.slot, conn.serial, Bytes(frame))
            }
        }
    }
}
