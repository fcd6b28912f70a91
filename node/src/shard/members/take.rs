//! What a leader sends goes into a follower's log: blocks verbatim, a checkpoint piece by piece. What does not fit says
//! why, and whether that is a reason to halt.

use seawall::position::Epoch;
use seawall::replication::{Checkpoint, Cut};
use seawall_wal::checkpoint::{Boundary, Version};
use seawall_wal::format::Incarnation;
use seawall_wal::{FileId, FoldDone, LogId, NotTaken, Rejected, Start};

use super::follow::Following;
use super::greet::Pending;
use crate::params::REPLICA_WINDOW;
use crate::shard::{to_net, to_wal};

impl Following {
    /// Everything that was taken and is whole waits; what is committed is applied.
    pub(super) fn take_fresh(&mut self) {
        let Self { log, held, .. } = self;
        log.fresh().for_each(|batch| held.push_batch(batch));
    }

    /// Blocks that came now. They are copied only if they have to wait.
    pub(super) fn take_next_blocks(&mut self, blocks: &[u8]) {
        let waits = !self.blocks.is_empty();
        let taken = match if waits { Ok(0) } else { self.log.take(blocks) } {
            Ok(taken) => taken,
            Err(why) => return self.not_taken(&why),
        };
        let rest = &blocks[taken..];
        if !rest.is_empty() && self.bytes + rest.len() <= 2 * REPLICA_WINDOW {
            self.bytes += rest.len();
            self.blocks.push_back((rest.to_vec(), 0));
        }
        if waits {
            self.take_blocks();
        }
    }

    pub(super) fn take_blocks(&mut self) {
        while let Some((blocks, at)) = self.blocks.front_mut() {
            match self.log.take(&blocks[*at..]) {
                Ok(taken) if *at + taken < blocks.len() => {
                    *at += taken;
                    return;
                }
                Ok(_) => {
                    self.bytes -= blocks.len();
                    self.blocks.pop_front();
                }
                Err(why) => return self.not_taken(&why),
            }
        }
    }

    fn not_taken(&mut self, why: &Rejected) {
        let at = (why.offset, to_net(why.index));
        match self.loss() {
            // R12: what closed the segment is lost, and with it where the checkpoint ends.
            Some(epoch) if why.forks || why.goes_on => {
                self.given_up = Some(format!(
                    "R12: epoch {} began with a loss that was accepted, and the checkpoint here ends where no log \
                     does now: expected {}, observed {}",
                    epoch.0, why.expected, why.observed
                ));
                self.hang_up();
            }
            _ if why.forks => {
                let expected = format!("F-S3: {}", why.expected);
                let file = self.log.checkpoint().map_or(FileId::Meta, |c| FileId::Checkpoint(c.id()));
                self.latch("R23", file, at, &expected, &why.observed);
            }
            // F-V1: the leader's bytes are rotten, and it would send them again.
            _ if why.damaged => {
                let file = self.log.open_segment().map_or(FileId::Meta, |(slot, _)| FileId::Slot(slot));
                self.latch(why.rule, file, at, &why.expected, &why.observed);
            }
            _ => {
                // Nothing was changed. The leader greets again, and both see where they stand.
                self.troubled(format!(
                    "F-V2: {} at index {}: expected {}, observed {}",
                    why.rule, why.index.0, why.expected, why.observed
                ));
                self.hang_up();
                self.drop_empty_segment();
            }
        }
    }

    fn loss(&self) -> Option<Epoch> {
        self.session.and_then(|session| session.loss)
    }

    /// R23: a piece of a checkpoint. It takes the place of a log that the leader's log holds whole, and ends later: that is
    /// what the session began with.
    pub(super) fn take_piece(&mut self, piece: &Checkpoint<'_>, lineage: [u8; 16], shard: u32) {
        let Cut { at, time_us, incarnation, end, chain } = piece.cut;
        let cut = Version { epoch: seawall_wal::Epoch(at.epoch.0), index: to_wal(at.index) };
        let log = LogId { lineage, shard };
        let boundary = Boundary { log, cut, time_us, incarnation: Incarnation(incarnation.0), end, chain };
        match self.log.offer(boundary, piece.bytes, piece.offset, piece.blocks) {
            Ok(()) | Err(NotTaken::Busy | NotTaken::NotWhole(_)) => {}
            Err(NotTaken::Behind { here }) => {
                self.troubled(format!(
                    "R23: expected a checkpoint that ends behind {}, observed one at {}",
                    here.0, cut.index.0
                ));
                self.hang_up();
                self.drop_empty_segment();
            }
        }
    }

    /// A fold or an adoption ended.
    pub fn folded(&mut self, done: FoldDone) {
        match self.log.folded(done) {
            Ok(()) if self.log.adopted() => {
                self.hang_up();
                (self.pending, self.standing) = (None, None);
                self.leaving = Some(Start::Follow);
            }
            Ok(()) => {}
            Err(why) => {
                let why = match why {
                    NotTaken::NotWhole(what) => what,
                    NotTaken::Busy | NotTaken::Behind { .. } => format!("{why:?}"),
                };
                self.troubled(format!("F-S2: {why}: all of it is thrown away"));
                self.hang_up();
            }
        }
    }

    /// A segment that was begun here, in an epoch that came to nothing: the leader's log may go on without it.
    fn drop_empty_segment(&mut self) {
        let tip = self.log.expected();
        let empty = self.log.open_segment().is_some_and(|(_, header)| header.first_index == tip.next.0);
        if empty
            && self.log.received() == self.log.validated()
            && let Ok(wish) = self.log.cut_to(self.log.validated())
        {
            self.pending = Some(Pending::Cut { wish });
        }
    }
}
