//! A member that is behind what is in memory, as its leader sees it (R25): which state it is in, since when, from where
//! to where, how fast, and how often that was begun.
//!
//! ```text
//! streaming -> catching up (segments) -> streaming
//!                   |    ^ the log behind it was not kept
//!                   v    |
//!              bootstrapping (bootstrap.rs) -> it opens its log anew -> away -> catching up
//! ```
//! One read is under way for each member, and no more than its window; nobody waits for another one. What is read back
//! goes out like what is in memory, so a follower has one way in.

use seawall::map::MemberId;
use seawall::position::Index;
use seawall_wal::format::BatchHeader;
use seawall_wal::{Buffer, Cursor, Io, IoError, IoId, Log};

use super::bootstrap::held;
use super::lead::{Lead, Sent, Stage};
use super::pace::Pace;
use super::ship::{Shipping, opened_by};
use crate::params::{
    CATCH_UP_LOG_BYTES, CATCH_UP_PATIENCE_US, CATCH_UP_SETTLE_US, REPLICA_RETRY_US, REPLICA_WINDOW,
};
use crate::seam::Now;
use crate::shard::{Life, Shard, to_net, to_wal};

/// How far a member that is behind has come.
#[derive(Debug)]
pub(in crate::shard) struct Behind {
    from: Index,
    /// The last index when it began.
    target: Index,
    begun_us: u64,
    /// What was sent since, and when the last of it was.
    bytes: u64,
    sent_us: u64,
    cursor: Option<Cursor>,
    reading: Option<IoId>,
    /// Not before.
    next_us: u64,
}

impl Sent {
    /// For `status`: start, target, rate and attempts of a member that is behind.
    pub(in crate::shard) fn told(&self) -> String {
        let boot = self.boot.as_ref().map(|boot| format!(", {}", boot.told())).unwrap_or_default();
        let behind = self.behind.as_ref().map(Behind::told).unwrap_or_default();
        let times =
            if self.catch_ups > 0 { format!(", behind {} times", self.catch_ups) } else { String::new() };
        format!("{behind}{boot}{times}")
    }
}

impl Behind {
    pub(super) fn sends(&mut self, now: Now, bytes: usize) {
        self.bytes += bytes as u64;
        self.sent_us = now.mono_us;
    }

    /// For `status`: start, target and rate.
    fn told(&self) -> String {
        let us = self.sent_us.saturating_sub(self.begun_us).max(1);
        let rate = self.bytes.saturating_mul(1_000_000) / us;
        format!(" ({} to {}, {} bytes at {rate} a second)", self.from.0, self.target.0, self.bytes)
    }
}

impl Sent {
    pub(super) fn falls_behind(&mut self, now: Now, target: Index) {
        self.goes_on(now, Stage::CatchingUp);
        self.begin_behind(now, target);
    }

    fn begin_behind(&mut self, now: Now, target: Index) {
        self.catch_ups += 1;
        self.behind = Some(Behind {
            from: self.next,
            target,
            begun_us: now.mono_us,
            bytes: 0,
            sent_us: now.mono_us,
            cursor: None,
            reading: None,
            next_us: 0,
        });
    }

    /// It has to be begun again, but not at once.
    pub(super) fn stumbled(&mut self, now: Now, why: String) {
        self.reason = Some(why);
        self.catch_ups += 1;
        if let Some(behind) = &mut self.behind {
            (behind.cursor, behind.reading) = (None, None);
            behind.next_us = now.mono_us + REPLICA_RETRY_US;
        }
    }

    /// Asks for the next bytes that it needs, if it may have more.
    fn read_on(&mut self, now: Now, log: &mut Log, most: usize, pace: &mut Pace, ios: &mut Vec<Io>) {
        if level(log, self.next) {
            return self.goes_on(now, Stage::Streaming);
        }
        let Some(behind) = self.behind.as_mut().filter(|b| b.reading.is_none() && b.next_us <= now.mono_us)
        else {
            return;
        };
        if self.bytes >= REPLICA_WINDOW {
            return;
        }
        let Some(mut cursor) = behind.cursor.or_else(|| log.cursor(to_wal(self.next))) else {
            return self.begin_bootstrap(now, log);
        };
        let portion = pace.portion(now, cursor.least(), most);
        match log.read_back(&mut cursor, portion, ios) {
            Ok(reading) => (behind.cursor, behind.reading) = (Some(cursor), reading),
            Err(_gone) => self.stumbled(now, "the segment that it needs was used again".to_owned()),
        }
    }

    /// What was read is sent, as far as it is whole and durable.
    fn take_read(&mut self, to: MemberId, log: &Log, read: Result<Buffer, IoError>, out: &mut Shipping<'_>) {
        let now = out.now;
        let Some(Behind { cursor: Some(cursor), reading, .. }) = &mut self.behind else { return };
        *reading = None;
        let buffer = match read {
            Ok(buffer) => buffer,
            Err(error) => return self.stumbled(now, format!("a segment cannot be read: {error}")),
        };
        let stretch = match log.stretch(cursor, buffer.bytes()) {
            Ok(stretch) => stretch,
            Err(why) => return self.stumbled(now, format!("R1: a segment reads differently: {why}")),
        };
        let Some(first) = stretch.first else { return };
        if first.first_index != self.next.0 {
            let why = format!("R1: index {} stands in the middle of a batch", self.next.0);
            return self.stumbled(now, why);
        }
        let Some(opened) = opened_by(log, &first) else {
            return self.stumbled(now, "the segment that it needs was used again".to_owned());
        };
        let blocks = &buffer.bytes()[stretch.range];
        let parts = opened.iter().map(Vec::as_slice).chain([blocks]);
        out.send(to, self, parts, to_net(stretch.last));
        if let Some(behind) = &mut self.behind {
            behind.sends(now, blocks.len());
        }
    }

    /// From where on the log is kept for it.
    fn needs(&mut self, now: Now) -> Option<Index> {
        match self.stage {
            Stage::CatchingUp => {
                let from = Index(self.acknowledged().0 + 1);
                self.pin = Some((from, now.mono_us + CATCH_UP_PATIENCE_US));
            }
            Stage::Bootstrapping => {
                let until_us = now.mono_us + CATCH_UP_PATIENCE_US;
                self.pin = self.pin.map(|(from, _)| (from, until_us)); // a lost one stays lost
            }
            Stage::Streaming => self.pin = None,
            Stage::Away => self.pin = self.pin.filter(|(_, until_us)| now.mono_us < *until_us),
        }
        self.pin.map(|(from, _)| from)
    }
}

/// Whether what it needs next is in memory, or is not durable yet.
pub(super) fn level(log: &Log, next: Index) -> bool {
    let recent = log.recent(to_wal(next)).and_then(|mut batches| batches.next());
    let whole = |header: &BatchHeader| header.first_index == next.0 && opened_by(log, header).is_some();
    next.0 > log.durable().0 || recent.is_some_and(|(header, _)| whole(header))
}

impl Shard {
    /// Whoever is behind gets the next bytes that it may have.
    pub(in crate::shard) fn catch_up(&mut self, now: Now) {
        let (Life::Running(running), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        let Some(lead) = &mut running.lead else { return };
        let (log, ios, stamp) = (&mut running.log, &mut self.ios, lead.stamp(self.lineage));
        let (generation, committed) = (membership.generation(), to_net(self.release.committed()));
        let said = &mut membership.said;
        let mut out = Shipping { now, said, generation, shard: self.id, stamp, committed };
        for (id, read) in log.came_back() {
            let asked = |sent: &Sent| sent.behind.as_ref().is_some_and(|b| b.reading == Some(id));
            // Whoever asked may have gone meanwhile.
            let piece = |sent: &Sent| sent.boot.as_ref().is_some_and(|boot| boot.reads(id));
            if let Some((member, sent)) = lead.members.iter_mut().find(|(_, sent)| asked(sent) || piece(sent))
            {
                match sent.stage {
                    Stage::Bootstrapping => sent.take_piece(*member, read, &mut out),
                    _ => sent.take_read(*member, log, read, &mut out),
                }
            }
        }
        let pace = &mut lead.pace;
        let behind = |sent: &Sent| matches!(sent.stage, Stage::CatchingUp | Stage::Bootstrapping);
        let quiet = self.latency.is_quiet(now.mono_us, CATCH_UP_SETTLE_US);
        pace.turn(now, lead.members.values().any(behind), quiet, self.latency.usual());
        for sent in lead.members.values_mut() {
            match sent.stage {
                Stage::CatchingUp => sent.read_on(now, log, self.limits.buffer_bytes, pace, ios),
                Stage::Bootstrapping => sent.read_piece(now, log, self.limits.batch_bytes, pace, ios),
                Stage::Away | Stage::Streaming => {}
            }
        }
        lead.pin(now, log);
    }
}

impl Lead {
    /// Segments are kept for who is behind, within bounds: the log of everybody comes first.
    fn pin(&mut self, now: Now, log: &mut Log) {
        let full = log.held_bytes() > CATCH_UP_LOG_BYTES || log.prepare_error().is_some();
        let floor = self.members.values_mut().filter_map(|sent| sent.needs(now)).min();
        if full && let Some(floor) = floor {
            for sent in
                self.members.values_mut().filter(|sent| sent.pin.is_some_and(|(from, _)| from == floor))
            {
                sent.pin = None;
                sent.reason = Some("R23: the log cannot be kept for it any longer".to_owned());
            }
        }
        let floor = if full { None } else { floor };
        if floor != self.floor {
            self.floor = floor;
            log.set_floor(floor.map(to_wal));
        }
        log.hold(held(self.members.values()));
    }
}
