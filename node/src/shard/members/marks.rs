//! What a member writes down of its log while it runs (R6), and the digests that it compares (I7).

use seawall::position::Index;
use seawall::replication::{ClosedSegment, Incarnation, StateDigest};
use seawall_wal::{Digests, FileId};

use super::follow::Following;
use crate::params::MARK_US;
use crate::seam::Now;
use crate::shard::{Life, Shard, to_net, to_wal};

impl Shard {
    /// Among members, the durable mark and what is known to be committed, now and then: a disk that lost either later
    /// is noticed when it is read again.
    pub(in crate::shard) fn mark(&mut self, now: Now) {
        if self.membership.is_none() || now.mono_us < self.marked_us + MARK_US {
            return;
        }
        self.marked_us = now.mono_us;
        self.write_marks(false);
    }

    /// A stop in good order: nothing more is going to be written. A node that is alone has its mark beside the log.
    pub fn mark_clean(&mut self) {
        if self.membership.is_some() {
            self.write_marks(true);
        }
    }

    fn write_marks(&mut self, clean: bool) {
        let committed = self.release.committed();
        match &mut self.life {
            Life::Running(running) => running.log.mark(committed.min(running.log.durable()), clean),
            Life::Following(following) if following.halted.is_none() && following.leaving.is_none() => {
                let probe = !clean && following.promises(); // whoever stops is not asked for ever
                following.log.mark(clean, probe);
            }
            _ => {}
        }
    }
}

impl Following {
    /// R25: replicas that differ where both are done are an integrity failure.
    pub(super) fn compare(&mut self, closed: Option<ClosedSegment>, state: Option<StateDigest>) {
        let theirs = Digests {
            closed: closed.map(|c| (seawall_wal::format::Incarnation(c.incarnation.0), c.crc)),
            state: state.map(|s| (to_wal(s.index), u128::from(s.digest))),
        };
        let Some(differs) = self.log.differs(&theirs) else { return };
        let file = match self.log.checkpoint() {
            Some(checkpoint) if checkpoint.boundary.cut.index == differs.index => {
                FileId::Checkpoint(checkpoint.id())
            }
            _ => FileId::Meta,
        };
        let at = (differs.offset, to_net(differs.index));
        self.latch("R25", file, at, &differs.expected, &differs.observed);
    }
}

/// As R_HEARTBEAT says them.
pub(super) fn told(digests: Digests) -> (Option<ClosedSegment>, Option<StateDigest>) {
    let closed =
        digests.closed.map(|(segment, crc)| ClosedSegment { incarnation: Incarnation(segment.0), crc });
    let digest = |digest: u128| (digest & u128::from(u64::MAX)) as u64;
    let state = digests.state.map(|(at, of)| StateDigest { index: Index(at.0), digest: digest(of) });
    (closed, state)
}
