//! A checkpoint for a member that needs what is in no segment any more (R23), as its leader sees it.
//!
//! It is sent piece by piece: the next one is read when the member has written the one before, so one is under way, and
//! a lost one is sent again. From the cut on the log is pinned until the member streams, or is given up.

use seawall::map::MemberId;
use seawall::position::{Index, Position};
use seawall::replication::{Checkpoint as Piece, Cut, Incarnation, Message};
use seawall_wal::{BLOCK, Buffer, Checkpoint, CheckpointId, Io, IoError, IoId, Log};

use super::lead::{Sent, Stage};
use super::pace::Pace;
use super::ship::Shipping;
use crate::params::{CATCH_UP_PATIENCE_US, REPLICA_RETRY_US};
use crate::seam::Now;

/// A checkpoint on its way to a member.
#[derive(Debug)]
pub(super) struct Bootstrap {
    checkpoint: Checkpoint,
    /// So many bytes are written there.
    got: u64,
    reading: Option<IoId>,
    under_way: Option<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    until: u64,
    sent_us: u64,
}

impl Bootstrap {
    pub fn checkpoint(&self) -> CheckpointId {
        self.checkpoint.id()
    }

    pub fn reads(&self, id: IoId) -> bool {
        self.reading == Some(id)
    }

    /// For `status`.
    pub fn told(&self) -> String {
        format!("checkpoint {}, {} of {} bytes", self.checkpoint().0, self.got, self.checkpoint.bytes)
    }
}

impl Sent {
    /// It needs what is in no segment: the newest checkpoint, if that is ahead of it.
    pub(super) fn begin_bootstrap(&mut self, now: Now, log: &Log) {
        let ahead = |c: &&Checkpoint| c.boundary.cut.index.0 + 1 >= self.next.0;
        if log.checkpoint().is_some_and(|newest| log.is_rotten(newest.id())) {
            return self.stumbled(
                now,
                "R8: the checkpoint that it needs is rotten: it waits for the next one".to_owned(),
            );
        }
        let Some(checkpoint) = log.checkpoint().filter(ahead).copied() else {
            return self.stumbled(now, "what it needs is in no segment and in no checkpoint".to_owned());
        };
        self.goes_on(now, Stage::Bootstrapping);
        (self.catch_ups, self.rejected) = (self.catch_ups + 1, 0);
        let from = Index(checkpoint.boundary.cut.index.0 + 1);
        self.pin = Some((from, now.mono_us + CATCH_UP_PATIENCE_US));
        self.boot = Some(Bootstrap { checkpoint, got: 0, reading: None, under_way: None });
    }

    /// Asks for the next piece, if the one before is written.
    pub(super) fn read_piece(
        &mut self,
        now: Now,
        log: &mut Log,
        most: usize,
        pace: &mut Pace,
        ios: &mut Vec<Io>,
    ) {
        if self.pin.is_none() {
            return self.loses_pin(now);
        }
        let Some(boot) = &mut self.boot else { return };
        // A fold that moved its end has replaced the file.
        let replaced = log.checkpoint().filter(|newest| newest.id() == boot.checkpoint());
        if log.is_rotten(boot.checkpoint()) || replaced.is_some_and(|newest| *newest != boot.checkpoint) {
            return self.loses_pin(now);
        }
        let left = boot.checkpoint.bytes - boot.got;
        if boot.reading.is_some() || boot.under_way.is_some() || left == 0 {
            return;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(most).next_multiple_of(BLOCK);
        let portion = pace.portion(now, 0, most);
        boot.reading = Some(log.read_checkpoint(boot.checkpoint(), boot.got, portion, ios));
    }

    /// R23: a lost pin restarts the bootstrap.
    fn loses_pin(&mut self, now: Now) {
        self.boot = None;
        self.goes_on(now, Stage::CatchingUp);
        self.stumbled(now, "R23: the log behind its checkpoint was not kept: it begins again".to_owned());
    }

    pub(super) fn take_piece(&mut self, to: MemberId, read: Result<Buffer, IoError>, out: &mut Shipping<'_>) {
        let now = out.now;
        let Some(boot) = &mut self.boot else { return };
        boot.reading = None;
        let buffer = match read {
            Ok(buffer) => buffer,
            Err(error) => {
                self.boot = None;
                self.goes_on(now, Stage::CatchingUp);
                return self.stumbled(now, format!("its checkpoint cannot be read: {error}"));
            }
        };
        let Checkpoint { boundary, bytes } = boot.checkpoint;
        let cut = Cut {
            at: Position::new(boundary.cut.epoch.0, boundary.cut.index.0),
            time_us: boundary.time_us,
            incarnation: Incarnation(boundary.incarnation.0),
            end: boundary.end,
            chain: boundary.chain,
        };
        let until = boot.got + buffer.capacity() as u64;
        boot.under_way = Some(UnderWay { until, sent_us: now.mono_us });
        if let Some(behind) = &mut self.behind {
            behind.sends(now, buffer.capacity());
        }
        let (stamp, session, offset) = (out.stamp, self.session, boot.got);
        let (sent_us, blocks) = (now.mono_us, buffer.bytes());
        out.tell(to, Message::Checkpoint(Piece { stamp, session, sent_us, cut, bytes, offset, blocks }));
    }

    /// R_ACK: so much is written there. What was not, although a later message was heard, is sent again before long. More than
    /// was sent is there if an earlier session was lost in the middle of the same checkpoint: it goes on behind that. Should it
    /// be of another one that was not heard of yet, the next R_ACK says so.
    pub(super) fn wrote(&mut self, now: Now, bytes: u64, echo_us: u64) {
        let Some(boot) = &mut self.boot else { return };
        let Some(under_way) = boot.under_way else { return };
        let heard = echo_us >= under_way.sent_us && bytes <= boot.checkpoint.bytes;
        if bytes == under_way.until || bytes > under_way.until && heard {
            (boot.got, boot.under_way) = (bytes, None);
            self.moved_us = now.mono_us;
        } else if echo_us > under_way.sent_us && now.mono_us >= under_way.sent_us + REPLICA_RETRY_US {
            (boot.got, boot.under_way) = (bytes.min(boot.got), None);
        }
    }
}

/// What the log has to hold for it.
pub(super) fn held<'a>(members: impl Iterator<Item = &'a Sent>) -> Vec<CheckpointId> {
    members.filter_map(|sent| sent.boot.as_ref().map(Bootstrap::checkpoint)).collect()
}
