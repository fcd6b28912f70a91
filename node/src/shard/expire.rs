//! What ends, ends by a record: rows with a ttl, leases, and outcomes of request keys.
//!
//! Leader time decides, and the record says what was decided, so a replica or a replay never looks at a clock. It
//! happens at ticks, in bounded records. Until then a row is there, and an outcome is replayed.

use seawall_wal::{Index, NoRoom};

use super::admit::Stamp;
use super::{Life, Shard, position, spaces};
use crate::params::{EXPIRY_BATCH, EXPIRY_RECORDS, KEY_RETENTION_US};
use crate::seam::Now;

impl Shard {
    pub(super) fn expire(&mut self, now: Now) {
        // Who waits for room goes first; and while the clock is in doubt nothing ends by it.
        for _ in 0..EXPIRY_RECORDS {
            if self.refuse_all().is_some() || !self.parked.is_empty() {
                return;
            }
            let Ok(stamp) = self.stamp(now, None) else { return };
            if !self.draft_expiry(stamp) || !self.append_expiry(now, stamp) {
                return;
            }
        }
    }

    /// False if nothing has ended.
    fn draft_expiry(&mut self, stamp: Stamp) -> bool {
        let Life::Running(running) = &self.life else { return false };
        self.draft.clear();
        let mut room = running.log.largest_record() / 2;
        let mut takes = |len: usize| {
            let fits = len + 64 <= room;
            room = room.saturating_sub(len + 64);
            fits
        };
        let horizon = stamp.time_us.saturating_sub_unsigned(KEY_RETENTION_US);
        let known = self.state.horizon().map_or(i64::MIN, |(_, us)| us);
        let mut nth = 0;
        self.state.born_until(horizon.max(known), |key| {
            if nth == EXPIRY_BATCH || !takes(key.len()) {
                return false;
            }
            if nth == 0 && horizon > known {
                // In the record that forgets the first of them: who comes later is refused, and not done again.
                self.draft.push(spaces::HORIZON, &[], Some(&horizon.to_le_bytes()));
            }
            self.draft.push(spaces::OUTCOMES, key, None);
            nth += 1;
            true
        });
        let due = self.state.due();
        for ends in due.ended(stamp.time_us).take(EXPIRY_BATCH).take_while(|ends| takes(2 * ends.key.len())) {
            self.draft.push(ends.space, &ends.key, None);
            if ends.space == spaces::TTLS {
                self.draft.push(spaces::ROWS, &ends.key, None);
            }
        }
        self.draft.entries().next().is_some()
    }

    /// False if there is no room now: the next tick tries again.
    fn append_expiry(&mut self, now: Now, stamp: Stamp) -> bool {
        let appended: Result<Index, NoRoom> = self.append(now, stamp);
        assert!(!matches!(appended, Err(NoRoom::TooLarge)), "half of what fits");
        let Life::Running(running) = &self.life else { return false };
        appended.is_ok_and(|index| position(running.log.epoch(), index) == stamp.at)
    }
}
