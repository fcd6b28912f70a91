//! A checkpoint of the leader's on its way to a follower that is behind everything else (R23).
//!
//! [`Follower::offer`] takes the pieces in order; they are written beside the log. When all are, the metadata says that
//! the log may begin there, then the file is flushed, read back whole, and given its name, in one operation. From then
//! on the follower takes nothing until it is opened again: recovery finds a checkpoint that nothing continues yet, and
//! gives up what stood before it.
//!
//! A death before the name leaves the log as it was (F-S1); what is not whole never gets a name (F-S2).

use super::follow::Follower;
use super::remember::Wish;
use crate::checkpoint::{Boundary, Folded};
use crate::io::{AdoptJob, FoldDone};
use crate::{Done, Io, IoId};

#[derive(Debug, Default)]
pub(super) struct Adopting {
    incoming: Option<Incoming>,
    writing: Option<IoId>,
    naming: Option<IoId>,
    /// It has its name: the log is another one from the next start on.
    pub adopted: bool,
}

#[derive(Debug)]
struct Incoming {
    boundary: Boundary,
    bytes: u64,
    /// So many of them are written.
    got: u64,
    /// The next ones.
    next: Option<Vec<u8>>,
    wish: Option<Wish>,
}

/// Why a checkpoint is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// R23: the log has as much itself.
    Behind { here: crate::Index },
    /// The log is closing, or busy with what it took before: again later.
    Busy,
    /// F-S2: what was sent, or written, is not the checkpoint that it should be. All of it is thrown away.
    NotWhole(String),
}

impl Adopting {
    pub fn outstanding(&self) -> bool {
        self.writing.is_some() || self.naming.is_some()
    }

    /// From now on no batch is taken: the checkpoint is about to be named.
    pub fn closes(&self) -> bool {
        self.adopted || self.naming.is_some() || self.incoming.as_ref().is_some_and(|i| i.wish.is_some())
    }

    /// Takes back its own write.
    pub fn ended(&mut self, done: &Done) -> bool {
        if self.writing != Some(done.id) {
            return false;
        }
        self.writing = None;
        // What was dropped meanwhile is another attempt's.
        if let Some(incoming) = &mut self.incoming
            && let Some(bytes) = incoming.next.take()
        {
            match done.result {
                Ok(moved) if moved == bytes.len() => incoming.got += bytes.len() as u64,
                _ => self.incoming = None,
            }
        }
        true
    }
}

impl Follower {
    /// Bytes of it that are written; 0: none is on its way.
    pub fn offered(&self) -> u64 {
        self.adopting.incoming.as_ref().map_or(0, |incoming| incoming.got)
    }

    /// Whether a checkpoint is on its way.
    pub fn is_adopting(&self) -> bool {
        self.adopting.incoming.is_some() || self.adopting.closes()
    }

    /// A checkpoint was adopted: the log is to be opened again.
    pub fn adopted(&self) -> bool {
        self.adopting.adopted
    }

    /// Takes the piece at `offset` of a checkpoint of `bytes` bytes. One that stands elsewhere than behind those that
    /// were taken, or comes too soon, is passed over.
    pub fn offer(
        &mut self,
        boundary: Boundary,
        bytes: u64,
        offset: u64,
        piece: &[u8],
    ) -> Result<(), NotTaken> {
        if self.failed.is_some() || self.cut || self.adopting.closes() || self.adopting.outstanding() {
            return Err(NotTaken::Busy);
        }
        // Of two that end with the same record the one that has further segments is ahead.
        let tip = self.expected();
        let ahead = (boundary.cut.index, boundary.incarnation) > (self.received(), tip.incarnation);
        if !ahead || boundary.cut.epoch < tip.epoch {
            return Err(NotTaken::Behind { here: self.received() });
        }
        let other = |i: &Incoming| (i.boundary, i.bytes) != (boundary, bytes);
        if self.adopting.incoming.as_ref().is_none_or(other) {
            self.adopting.incoming = Some(Incoming { boundary, bytes, got: 0, next: None, wish: None });
        }
        if let Some(incoming) = &mut self.adopting.incoming
            && incoming.got == offset
            && incoming.next.is_none()
        {
            incoming.next = Some(piece.to_vec());
        }
        Ok(())
    }

    /// Nothing of it is wanted any more. What was begun to be named is named all the same, or not.
    pub fn drop_offer(&mut self) {
        if self.adopting.naming.is_none() {
            self.adopting.incoming = None;
            self.keep.still = false;
        }
    }

    pub(super) fn pump_adopting(&mut self, out: &mut Vec<Io>) {
        if self.adopting.outstanding() {
            return;
        }
        let remembered = self.memory.remembered();
        let Some(incoming) = &self.adopting.incoming else { return };
        let (boundary, bytes, offset) = (incoming.boundary, incoming.bytes, incoming.got);
        if let Some(next) = &incoming.next {
            let bytes = next.clone();
            let id = self.issue();
            self.adopting.writing = Some(id);
            out.push(Io::WriteOffered { id, offset, bytes });
        } else if offset == bytes && incoming.wish.is_none() && self.nothing_waits() {
            // Before the name: a death behind it must find that nothing has to continue the checkpoint.
            let wish = self.wish(|meta| (meta.bare_before, meta.bare) = (meta.bare, boundary.incarnation));
            self.keep.still = true;
            if let Some(incoming) = &mut self.adopting.incoming {
                incoming.wish = Some(wish);
            }
        } else if incoming.wish.is_some_and(|wish| remembered >= wish) && !self.folding() {
            let id = self.issue();
            self.adopting.naming = Some(id);
            out.push(Io::Adopt(AdoptJob { id, log: self.id, boundary, bytes }));
        }
    }

    /// Takes back a fold, or an adoption. `Err`: F-S2.
    pub fn folded(&mut self, done: FoldDone) -> Result<(), NotTaken> {
        if self.adopting.naming != Some(done.id) {
            self.stats.folds += u64::from(self.keep.fold_ended(done));
            return Ok(());
        }
        (self.adopting.naming, self.adopting.incoming) = (None, None);
        match done.result {
            Ok(Folded { .. }) => {
                (self.adopting.adopted, self.cut) = (true, true);
                self.discard();
                Ok(())
            }
            Err(why) => {
                self.keep.still = false;
                self.wish(|meta| (meta.bare, meta.bare_before) = (meta.bare_before, Default::default()));
                Err(NotTaken::NotWhole(why.to_string()))
            }
        }
    }
}
