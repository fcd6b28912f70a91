//! One connection between two members: what came over it in part, and what waits to be sent.

use std::collections::VecDeque;

use seawall::frame::Decoder;
use seawall::limits::HANDSHAKE_BODY_MAX;
use seawall::map::{Generation, MemberId, ShardId};
use seawall::replication::{Envelope, Message};

use crate::params::CONNECTION_INPUT;
use crate::seam::{ConnId, LinkEffect, Now};

/// One connection.
#[derive(Debug)]
pub struct Line {
    pub conn: ConnId,
    /// Who is to be at the other end, or says that it is.
    pub member: Option<MemberId>,
    /// R_LINK came.
    pub up: bool,
    pub closing: bool,
    /// What is owed is sent, and then it ends.
    pub last_words: bool,
    pub since_us: u64,
    pub decoder: Decoder,
    /// Where the next bytes go: for frames as they come, or for one large frame alone, which is handed on as it is.
    pub input: Vec<u8>,
    /// The other one, while a large frame comes.
    usual: Vec<u8>,
    pub filled: usize,
    pub receiving: bool,
    /// Frames, many small ones in one piece. The first piece was sent up to `sent_to`.
    output: VecDeque<Vec<u8>>,
    sent_to: usize,
    pub sending: bool,
}

impl Line {
    pub fn new(conn: ConnId, member: Option<MemberId>, now: Now) -> Self {
        Self {
            conn,
            member,
            up: false,
            closing: false,
            last_words: false,
            since_us: now.mono_us,
            decoder: Decoder::new(HANDSHAKE_BODY_MAX),
            input: vec![0; HANDSHAKE_BODY_MAX],
            usual: Vec::new(),
            filled: 0,
            receiving: false,
            output: VecDeque::new(),
            sent_to: 0,
            sending: false,
        }
    }

    /// A frame waits to be sent. Large ones are not copied.
    pub fn push(&mut self, frame: Vec<u8>) {
        match self.output.back_mut() {
            Some(last) if last.len() + frame.len() <= CONNECTION_INPUT => last.extend_from_slice(&frame),
            _ => self.output.push_back(frame),
        }
    }

    /// So many bytes more of a piece were sent; the rest goes first.
    pub fn sent(&mut self, piece: Vec<u8>, moved: usize) {
        self.sent_to += moved;
        match self.sent_to < piece.len() {
            true => self.output.push_front(piece),
            false => self.sent_to = 0,
        }
    }

    /// Bytes that are not on their way.
    pub fn waiting(&self) -> usize {
        self.output.iter().map(Vec::len).sum()
    }

    pub fn is_open(&self) -> bool {
        self.up && !self.closing && !self.last_words
    }

    pub fn say(&mut self, message: &Message<'_>, generation: Generation) {
        let mut frame = Vec::new();
        Envelope { generation, shard: ShardId::ANY, message: *message }.encode(&mut frame);
        self.push(frame);
    }

    /// `bytes[used..]` is the beginning of a frame that needs so many bytes. A stranger's is short. No bytes: they were a
    /// large frame, and went with it.
    pub fn give_back(&mut self, mut bytes: Vec<u8>, used: usize, need: usize) {
        let rest = used..self.filled;
        self.filled = rest.len();
        let usual = if self.up { CONNECTION_INPUT } else { HANDSHAKE_BODY_MAX };
        if need > usual {
            if bytes.len() != need {
                let mut alone = vec![0; need];
                alone[..rest.len()].copy_from_slice(&bytes[rest]);
                self.usual = std::mem::replace(&mut bytes, alone);
            }
            self.input = bytes;
            return;
        }
        if bytes.is_empty() {
            bytes = std::mem::take(&mut self.usual);
        } else {
            bytes.copy_within(rest, 0);
        }
        bytes.resize(usual, 0);
        self.input = bytes;
    }

    pub fn flush(&mut self, effects: &mut Vec<LinkEffect>) {
        let conn = self.conn;
        if self.closing {
            return;
        }
        if self.last_words && self.output.is_empty() && !self.sending {
            self.closing = true;
            return effects.push(LinkEffect::Close { conn });
        }
        if !self.sending
            && let Some(piece) = self.output.pop_front()
        {
            self.sending = true;
            effects.push(LinkEffect::Send { conn, buf: piece, from: self.sent_to });
        }
        if !self.receiving && !self.last_words {
            self.receiving = true;
            effects.push(LinkEffect::Receive {
                conn,
                buf: std::mem::take(&mut self.input),
                from: self.filled,
            });
        }
    }
}
