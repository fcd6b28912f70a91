//! The small metadata of a log that runs (R6): whoever runs it wishes for changes, one write is under way at a time,
//! and the newest wish wins. A wish is granted when both copies hold it: until then, one bit that turns would take back
//! a promise.

use crate::format::LogId;
use crate::meta::Meta;
use crate::{BLOCK, Buffer, FileId, Io, IoId};

/// The number of a change. Wishes are granted in order, many with one write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish(pub u64);

#[derive(Debug)]
pub(super) struct Memory {
    id: LogId,
    /// Both copies hold it, or something newer.
    durable: Meta,
    /// What was written last, and the wishes that are in it.
    newest: Meta,
    once: Wish,
    wanted: Meta,
    /// How many wishes there were, and how many of them are durable.
    wishes: Wish,
    granted: Wish,
    writing: Option<Writing>,
    /// A write failed: what is on disk is not known any more.
    failed: bool,
}

#[derive(Debug)]
struct Writing {
    io: IoId,
    meta: Meta,
    grants: Wish,
}

impl Memory {
    /// `meta` is what recovery left on disk, in both copies.
    pub fn new(id: LogId, meta: Meta) -> Self {
        let none = Wish(0);
        let (durable, newest, wanted) = (meta, meta, meta);
        Self {
            id,
            durable,
            newest,
            once: none,
            wanted,
            wishes: none,
            granted: none,
            writing: None,
            failed: false,
        }
    }

    pub fn durable(&self) -> &Meta {
        &self.durable
    }

    pub fn wanted(&self) -> &Meta {
        &self.wanted
    }

    pub fn remembered(&self) -> Wish {
        self.granted
    }

    pub fn wish(&mut self, change: impl FnOnce(&mut Meta)) -> Wish {
        change(&mut self.wanted);
        self.wishes = Wish(self.wishes.0 + 1);
        self.wishes
    }

    pub fn wants_to_write(&self) -> bool {
        self.writing.is_none() && !self.failed && self.wishes > self.granted
    }

    pub fn outstanding(&self) -> bool {
        self.writing.is_some()
    }

    /// The write of the newest wish, over the older copy.
    pub fn write(&mut self, io: IoId, mut buf: Buffer) -> Io {
        assert!(self.writing.is_none(), "one copy stays whole while the other one is written");
        let meta = Meta { sequence: self.newest.sequence + 1, ..self.wanted };
        self.writing = Some(Writing { io, meta, grants: self.wishes });
        buf.bytes_mut()[..BLOCK].copy_from_slice(&meta.encode(&self.id));
        Io::Write { id: io, file: FileId::Meta, offset: meta.offset(), buf, at: 0, len: BLOCK }
    }

    /// Takes back its own write; `None` if it is another operation's end. An error leaves open what is on disk: it
    /// ends the log.
    pub fn ended(&mut self, id: IoId, whole: bool) -> Option<()> {
        let Writing { meta, grants, .. } = self.writing.take_if(|writing| writing.io == id)?;
        if whole {
            (self.durable, self.granted) = (self.newest, self.once);
            (self.newest, self.once) = (meta, grants);
        }
        self.failed |= !whole;
        Some(())
    }
}
