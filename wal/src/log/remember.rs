//! The small metadata of a log that runs (R6): whoever runs it wishes for changes, one write is under way at a time,
//! and the newest wish wins.

use crate::format::LogId;
use crate::meta::Meta;
use crate::{BLOCK, Buffer, FileId, Io, IoId};

/// The number of a change. Wishes are granted in order, many with one write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish(pub u64);

#[derive(Debug)]
pub(super) struct Memory {
    id: LogId,
    durable: Meta,
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
    /// `meta` is what recovery left on disk.
    pub fn new(id: LogId, meta: Meta) -> Self {
        let (wishes, granted) = (Wish(0), Wish(0));
        Self { id, durable: meta, wanted: meta, wishes, granted, writing: None, failed: false }
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
        let meta = Meta { sequence: self.durable.sequence + 1, ..self.wanted };
        self.writing = Some(Writing { io, meta, grants: self.wishes });
        buf.bytes_mut()[..BLOCK].copy_from_slice(&meta.encode(&self.id));
        Io::Write { id: io, file: FileId::Meta, offset: meta.offset(), buf, at: 0, len: BLOCK }
    }

    /// Takes back its own write; `None` if it is another operation's end. An error leaves open what is on disk: it
    /// ends the log.
    pub fn ended(&mut self, id: IoId, whole: bool) -> Option<()> {
        let Writing { meta, grants, .. } = self.writing.take_if(|writing| writing.io == id)?;
        if whole {
            (self.durable, self.granted) = (meta, grants);
        }
        self.failed |= !whole;
        Some(())
    }
}
