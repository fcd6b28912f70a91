//! What a log writes down of itself while it runs (R6), and what replicas compare of it (I7).

use super::Log;
use super::follow::Follower;
use super::keep::Keep;
use crate::Index;
use crate::format::Incarnation;
use crate::meta::Meta;

/// What two replicas of a log must have alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// The newest segment that ends for good, and the checksum at its end: one chain covers all that is in it.
    pub closed: Option<(Incarnation, u32)>,
    /// The newest checkpoint that was looked at: its last index, and the digest of its entries.
    pub state: Option<(Index, u128)>,
}

/// Where two replicas are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The last index of what differs.
    pub index: Index,
    pub offset: u64,
    pub expected: String,
    pub observed: String,
}

impl Keep {
    fn digests(&self) -> Digests {
        let mut headers = self.segments.headers().rev();
        let closed = headers.next().map(|next| (Incarnation(next.pred_incarnation), next.pred_chain));
        Digests {
            closed: closed.filter(|(incarnation, _)| *incarnation > Incarnation(0)),
            state: self.digest,
        }
    }

    /// Of what is kept here, too.
    fn differs(&self, theirs: &Digests) -> Option<Differs> {
        if let Some((closed, chain)) = theirs.closed
            && let Some(next) = self.segments.headers().find(|next| next.pred_incarnation == closed.0)
            && next.pred_chain != chain
        {
            let segment = format!("segment {}", closed.0);
            let expected = format!("I7: {segment} to end with chain {chain:08x}, as the leader's does");
            let observed = format!("chain {:08x}", next.pred_chain);
            let (index, offset) = (Index(next.first_index - 1), next.pred_end);
            return Some(Differs { index, offset, expected, observed });
        }
        let ((index, theirs), (here, ours)) = (theirs.state?, self.digest?);
        (index == here && theirs != ours).then(|| Differs {
            index,
            offset: 0,
            expected: format!(
                "I7: the state at index {} to have digest {theirs:032x}, as the leader's",
                index.0
            ),
            observed: format!("digest {ours:032x}"),
        })
    }
}

/// Everything up to here is durable and committed: what a start must find again.
fn mark(durable: Index, committed: Index, clean: bool) -> impl FnOnce(&mut Meta) {
    move |meta| {
        (meta.durable, meta.committed) = (durable.max(meta.durable), committed.max(meta.committed));
        meta.clean = if clean { durable } else { meta.clean };
    }
}

impl Log {
    /// Wishes for the marks of this moment, if they have moved; `clean`: nothing more is going to be written.
    pub fn mark(&mut self, committed: Index, clean: bool) {
        let (known, durable) = (*self.wanted(), self.durable);
        let clean = clean && self.is_idle() && known.clean < durable;
        if self.failed.is_none() && (clean || (known.durable, known.committed) != (durable, committed)) {
            self.wish(mark(durable, committed, clean));
        }
    }

    pub fn digests(&self) -> Digests {
        self.keep.digests()
    }
}

impl Follower {
    /// The same; a log whose end is being decided says nothing. `probe`: the disk is asked for something also where
    /// nothing has moved (R24).
    pub fn mark(&mut self, clean: bool, probe: bool) {
        let (known, durable, committed) = (*self.wanted(), self.validated(), self.committed());
        let clean = clean && self.nothing_waits() && known.clean < durable;
        let due = clean || probe || (known.durable, known.committed) != (durable, committed);
        if due && self.failed.is_none() && !self.cut && !self.adopting.closes() {
            self.wish(mark(durable, committed, clean));
        }
    }

    /// Whether a leader has something else where both have something.
    pub fn differs(&self, theirs: &Digests) -> Option<Differs> {
        self.keep.differs(theirs)
    }

    pub fn digests(&self) -> Digests {
        self.keep.digests()
    }
}
