//! Faults that belong together. One by one they seldom meet in the same moment; what a rule prevents needs several.
//!
//! *A contest*: the leader is cut off, from the authority too, paused or dead, and another member is told to lead,
//! again and again.
//! *A stir*: the map has just changed, and at once something happens to those whom it names.
//! *A blink*: a member has just said something, and dies.

use seawall::map::MemberId;
use seawall_node::replica::Kind;
use seawall_node::seam::order::Errand;

use super::{Cluster, SHARD, What};
use crate::cluster::Cut;
use crate::fault::Fault;
use crate::plan::Crash;

/// Between two tries of an operator.
const URGE_US: u64 = 100_000;
/// Between two looks of an operator.
const CARE_US: u64 = 2_000_000;
/// What a candidate waits for its fences, and some time to open a log.
const TAKEOVER_US: u64 = 2_500_000;

/// How often each may still happen in this run.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    pub stirs: u64,
    pub blinks: u64,
}

impl Default for Left {
    fn default() -> Self {
        Self { stirs: 4, blinks: 4 }
    }
}

/// What an operator tells whoever leads.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    HandOver,
    Require,
    Release,
}

impl Cluster {
    pub(super) fn contest(&mut self) {
        let Some(leader) = self.leader().filter(|_| !self.healed) else { return };
        let Some(heir) = self.heir(leader) else { return };
        let lease_us = u64::from(self.shape.lease_ms) * 1000;
        // Promises run out first, the heir's own and those of whom it fences.
        let lasts = 2 * lease_us + self.random.below(2 * lease_us) + TAKEOVER_US;
        self.counts.add("contests", 1);
        self.trace.note(self.now, format_args!("a contest: {heir} for {leader}, {lasts} us"));
        self.hurry_until = self.now + lasts;
        if self.random.chance(700) {
            self.members[leader].unmapped_until = self.now + lasts;
        }
        match self.random.below(6) {
            0 => self.crash(heir, Crash::PowerCut),
            1 => self.crash(heir, Crash::Kill),
            _ => {}
        }
        match self.random.below(8) {
            0 => self.crash(leader, Crash::PowerCut),
            1 => self.pause(leader, lasts),
            2 => self.cut_for(Cut::Mute(leader), lasts),
            3 => self.cut_for(Cut::Deaf(leader), lasts),
            4 => self.cut_for(Cut::Way(leader, heir), lasts),
            5 => {
                let sides = self.sides(leader, heir);
                self.cut_for(Cut::Sides(sides), lasts);
            }
            _ => self.cut_for(Cut::Alone(leader), lasts),
        }
        let (heir, kind) = self.perhaps_with_loss(leader, heir);
        let first = self.random.below(lease_us);
        self.at(self.now + first, What::Urge(heir, self.now + first + lasts, kind));
    }

    /// The map has changed.
    pub(super) fn stir(&mut self) {
        if self.healed || self.left.stirs == 0 || !self.random.chance(self.shape.stirs) {
            return;
        }
        let Some(leader) = self.leader() else { return };
        self.left.stirs -= 1;
        let Some(heir) = self.heir(leader) else { return self.crash(leader, Crash::Kill) };
        match self.random.below(5) {
            0 => self.crash(leader, Crash::Kill),
            1 => self.crash(heir, Crash::PowerCut),
            2 => self.contest(),
            // Whoever is recorded hears nothing more of the leader, and is told to lead before long.
            _ => {
                let soon = self.random.below(200_000);
                self.cut_for(Cut::Way(leader, heir), TAKEOVER_US + soon);
                self.at(self.now + soon, What::Contest);
                self.at(self.now + soon, What::Urge(heir, self.now + soon + TAKEOVER_US, Kind::Recorded));
            }
        }
    }

    /// This member has just said something.
    pub(super) fn blink(&mut self, nth: usize) {
        if !self.healed && self.left.blinks > 0 && self.random.chance(self.shape.blinks) {
            self.left.blinks -= 1;
            self.counts.add("blinks", 1);
            let kind = if self.random.chance(700) { Crash::PowerCut } else { Crash::Kill };
            let soon = self.random.below(300);
            self.at(self.now + soon, What::Crash(nth, kind));
            if self.random.chance(500) {
                self.at(self.now + soon, What::Contest);
            }
        }
    }

    /// An operator who does not give up soon.
    pub(super) fn urge(&mut self, nth: usize, until: u64, kind: Kind) {
        if self.healed || self.now >= until || self.leader() == Some(nth) {
            return;
        }
        self.order(nth, Errand::Promote(kind.clone()));
        self.at(self.now + URGE_US, What::Urge(nth, until, kind));
    }

    /// Whoever is at hand leads, and a loss is accepted.
    fn perhaps_with_loss(&mut self, leader: usize, heir: usize) -> (usize, Kind) {
        if !self.random.chance(self.shape.accept_loss) {
            return (heir, Kind::Recorded);
        }
        let other = self.random.index(self.members.len());
        (if other == leader { heir } else { other }, Kind::AcceptLoss)
    }

    /// At most one copy is lost in a run: more than that is permitted to lose what was acknowledged.
    pub(super) fn disk_lost(&mut self, nth: usize) {
        let alone = self.map.replicas(SHARD).is_none_or(|entry| entry.sync.is_empty());
        if self.healed || alone && self.leader().is_none_or(|leader| leader == nth) {
            return;
        }
        self.crash(nth, Crash::PowerCut);
        self.trace.note(self.now, format_args!("the disk of member {nth} is lost"));
        self.fired.add(Fault::DiskLost);
        self.members[nth].new_disk();
        self.blank = Some(nth);
    }

    /// A member whose disk was lost does not stand, and nobody else does of its own accord.
    pub(super) fn care(&mut self) {
        let sync = self.map.replicas(SHARD).and_then(|entry| entry.sync.first().copied());
        if let (Some(blank), Some(sync)) = (self.blank, sync)
            && self.leader() == Some(blank)
        {
            self.order(sync.0 as usize - 1, Errand::Promote(Kind::Recorded));
        }
        self.at(self.now + CARE_US, What::Care);
    }

    pub(super) fn tell_leader(&mut self, told: Told) {
        let Some(leader) = self.leader().filter(|_| !self.healed) else { return };
        let Some(entry) = self.map.replicas(SHARD) else { return };
        let sync: Vec<MemberId> = entry.sync.iter().copied().collect();
        let others: Vec<MemberId> = entry.asyncs.iter().copied().collect();
        let errand = match told {
            Told::HandOver if !sync.is_empty() => Errand::HandOver(*self.random.pick(&sync)),
            Told::Release if !sync.is_empty() => Errand::Release(*self.random.pick(&sync)),
            Told::Require if !others.is_empty() => Errand::Require(*self.random.pick(&others)),
            _ => return,
        };
        self.order(leader, errand);
    }

    /// A recorded member, or now and then any other.
    fn heir(&mut self, leader: usize) -> Option<usize> {
        let entry = self.map.replicas(SHARD)?;
        let sync: Vec<usize> = entry.sync.iter().map(|member| member.0 as usize - 1).collect();
        if sync.is_empty() || self.random.chance(50) {
            let other = self.random.index(self.members.len());
            return Some(other).filter(|other| *other != leader);
        }
        Some(*self.random.pick(&sync))
    }

    /// The leader on one side, the heir on the other, everybody else anywhere.
    fn sides(&mut self, leader: usize, heir: usize) -> u8 {
        let drawn = self.random.below(1 << self.members.len());
        let drawn = u8::try_from(drawn).expect("five members at most");
        (drawn | 1 << leader) & !(1 << heir)
    }

    fn pause(&mut self, nth: usize, lasts: u64) {
        self.fired.add(Fault::WorkerPause);
        self.members[nth].paused_until = self.now + lasts;
    }

    fn cut_for(&mut self, cut: Cut, lasts: u64) {
        self.at(self.now, What::Cut(cut, self.now + lasts));
    }
}
