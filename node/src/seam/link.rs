//! The seam of the links to other members: what can happen to them, and what they ask for. Plain data, as the rest of the
//! seam; a simulated world may carry frames between members without any link.

use std::sync::Arc;

use seawall::map::{Map, MemberId, ShardId};

use super::{ConnId, SocketError};

#[derive(Debug)]
pub enum LinkEvent {
    /// At the start and whenever it changes.
    MapChanged(Arc<Map>),
    /// Somebody connected to the address for members.
    Accepted {
        conn: ConnId,
    },
    /// Ends one `LinkEffect::Dial`; otherwise why not, in words.
    Dialled {
        to: MemberId,
        result: Result<ConnId, String>,
    },
    /// As of a client's connection.
    Received {
        conn: ConnId,
        buf: Vec<u8>,
        result: Result<usize, SocketError>,
    },
    Sent {
        conn: ConnId,
        buf: Vec<u8>,
        result: Result<usize, SocketError>,
    },
    Closed {
        conn: ConnId,
    },
    /// A shard of this node has something to say to another member.
    Say {
        to: MemberId,
        frame: Vec<u8>,
    },
    Tick,
    /// What was said leaves here, so that one send carries everything that came together.
    EndOfTurn,
}

#[derive(Debug, PartialEq, Eq)]
pub enum LinkEffect {
    /// As for a client's connection.
    Receive {
        conn: ConnId,
        buf: Vec<u8>,
        from: usize,
    },
    Send {
        conn: ConnId,
        buf: Vec<u8>,
        from: usize,
    },
    Close {
        conn: ConnId,
    },
    /// Connect to a member, once. Ends with `LinkEvent::Dialled`.
    Dial {
        to: MemberId,
        address: String,
    },
    /// A whole frame, checked, for the worker of its shard.
    Heard {
        from: MemberId,
        shard: ShardId,
        frame: Vec<u8>,
    },
    /// For the console. No event follows.
    Told {
        said: String,
        /// There is no link any more.
        lost: bool,
    },
}

/// How a link is, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    pub member: MemberId,
    /// `up`, `greeting`, `dialling`, or `down`.
    pub state: &'static str,
    /// Why it is not up, or was not when it was last lost.
    pub reason: Option<String>,
    /// How often it came up.
    pub times: u64,
    /// Frames that were said to the member, those that were lost for want of a link among them.
    pub said: u64,
    pub lost: u64,
    pub heard: u64,
    /// Bytes that wait to be sent.
    pub waiting: usize,
}
