//! How fast a follower gets on, for `status`: records in the last second or so.

use seawall::position::Index;

use crate::seam::Now;
use crate::shard::{Life, Shard, to_net};

/// Shorter windows would show single batches.
const WINDOW_US: u64 = 1_000_000;

/// Of one position that only grows, but for a log that begins anew.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Rate {
    since_us: u64,
    from: u64,
    per_second: u64,
}

impl Rate {
    pub fn note(&mut self, now: Now, at: Index) {
        let passed_us = now.mono_us.saturating_sub(self.since_us);
        if passed_us >= WINDOW_US {
            let grown = u128::from(at.0.saturating_sub(self.from));
            self.per_second = u64::try_from(grown * 1_000_000 / u128::from(passed_us)).unwrap_or(u64::MAX);
            (self.since_us, self.from) = (now.mono_us, at.0);
        }
    }

    pub fn per_second(&self) -> u64 {
        self.per_second
    }
}

impl Shard {
    /// Of each member, at its leader; of itself, at a follower.
    pub(in crate::shard) fn rate_tick(&mut self, now: Now) {
        match &mut self.life {
            Life::Running(running) => {
                let members = running.lead.iter_mut().flat_map(|lead| lead.members.values_mut());
                members.for_each(|sent| sent.rate.note(now, sent.acknowledged()));
            }
            Life::Following(following) => {
                let validated = to_net(following.log.validated());
                following.rate.note(now, validated);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_a_window_brought_by_its_length() {
        let mut rate = Rate::default();
        let at = |mono_us| Now { mono_us, wall_us: 0 };
        rate.note(at(5_000_000), Index(700));
        rate.note(at(5_900_000), Index(900));
        assert_eq!(rate.per_second(), 140, "since the beginning; the window is not over");
        rate.note(at(7_000_000), Index(1000));
        assert_eq!(rate.per_second(), 150);
        rate.note(at(8_000_000), Index(1000));
        assert_eq!(rate.per_second(), 0);
        rate.note(at(9_000_000), Index(0));
        assert_eq!(rate.per_second(), 0, "a log that begins anew");
        rate.note(at(11_000_000), Index(40));
        assert_eq!(rate.per_second(), 20);
    }
}
