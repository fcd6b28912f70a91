//! Faults that belong together. One by one they seldom meet in the same moment; what a rule prevents needs several.
//!
//! *A contest*: the leader is cut off, from the authority too, paused or dead, and another member is told to lead,
//! again and again.
//! *A stir*: the map has just changed, and at once something happens to those whom it names.
//! *A blink*: a member has just said something, and dies.

use seawall::map::MemberId;
use seawall_node::replica::Kind;
use seawall_node::seam::order::Errand;
use seawall_node::shard::ReadProof;

use super::{Cluster, SHARD, What};
use crate::cluster::Cut;
use crate::fault::Fault;
use crate::plan::{Crash, Mood};

/// Between two tries of an operator.
const URGE_US: u64 = 100_000;
/// Between two looks of an operator.
const CARE_US: u64 = 2_000_000;
/// What a candidate waits for its fences, and some time to open a log.
const TAKEOVER_US: u64 = 2_500_000;

/// A leader does not yet give up on whom it hears so late.
const LATE_US: u64 = 1_400_000;

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
        match self.shape.mood {
            Mood::Divided => return self.divide(),
            Mood::Usurped => return self.usurp(),
            Mood::Reborn => return self.be_born_again(),
            Mood::Any | Mood::Behind => {}
        }
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

    /// One member of the sync set stays with the leader, another one leads with everybody else.
    fn divide(&mut self) {
        let Some(leader) = self.leader().filter(|_| !self.healed) else { return };
        let mut sync = self.in_sync();
        self.random.shuffle(&mut sync);
        let &[heir, stays, ..] = &sync[..] else { return };
        let lasts = self.begin_contest(leader, heir);
        self.cut_for(Cut::Sides(1 << leader | 1 << stays), lasts);
        self.at(self.now, What::Urge(heir, self.now + lasts, Kind::Recorded));
    }

    /// A member that is not recorded, and that may have heard nothing for a while, leads.
    fn usurp(&mut self) {
        let Some(leader) = self.leader().filter(|_| !self.healed) else { return };
        let sync = self.in_sync();
        let others = (0..self.members.len()).filter(|nth| *nth != leader && !sync.contains(nth));
        let others: Vec<usize> = others.collect();
        if others.is_empty() {
            return;
        }
        let heir = *self.random.pick(&others);
        let lasts = self.begin_contest(leader, heir);
        let behind = if self.random.chance(600) { self.random.below(700_000) } else { 0 };
        if behind > 0 {
            self.cut_for(Cut::Way(leader, heir), behind + lasts);
        }
        let from = self.now + behind;
        self.at(from, What::Cut(Cut::Alone(leader), from + lasts));
        self.at(from, What::Urge(heir, from + lasts, Kind::AcceptLoss));
    }

    /// The one member that is required leads, and its promise to the leader of before would still run, if it knew of it; or
    /// the leader of before hears of that promise when it is over.
    fn be_born_again(&mut self) {
        let Some(leader) = self.leader().filter(|_| !self.healed) else { return };
        let &[heir] = &self.in_sync()[..] else { return };
        let lasts = self.begin_contest(leader, heir);
        self.readers_at = Some(leader);
        let leased = self.shape.read_proof == ReadProof::Lease;
        if leased && self.random.chance(500) {
            self.cut_for(Cut::Alone(leader), lasts);
            self.crash(heir, Crash::Kill);
            self.at(self.now, What::Urge(heir, self.now + lasts, Kind::Recorded));
        } else {
            let lease_us = u64::from(self.shape.lease_ms) * 1000;
            let late_us = if leased { lease_us / 2 } else { LATE_US };
            self.cut_for(Cut::Late(heir, leader, late_us), lasts);
            let soon = self.now + self.random.below(late_us);
            self.at(soon, What::Cut(Cut::Mute(leader), soon + lasts));
            self.at(soon, What::Urge(heir, soon + lasts, Kind::Recorded));
        }
    }

    /// The leader hears nothing of the authority. Returned is for how long.
    fn begin_contest(&mut self, leader: usize, heir: usize) -> u64 {
        let lease_us = u64::from(self.shape.lease_ms) * 1000;
        let lasts = 2 * lease_us + self.random.below(lease_us) + TAKEOVER_US;
        self.counts.add("contests", 1);
        self.trace.note(self.now, format_args!("a contest: {heir} for {leader}, {lasts} us"));
        self.hurry_until = self.now + lasts;
        self.members[leader].unmapped_until = self.now + lasts;
        lasts
    }

    pub(super) fn in_sync(&self) -> Vec<usize> {
        let sync = self.map.replicas(SHARD).into_iter().flat_map(|entry| &entry.sync);
        sync.map(|member| member.0 as usize - 1).collect()
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
        if !self.may_lose(nth) {
            return;
        }
        // An operator may as well have it put its log aside. Nothing is halted here that could be cleared.
        if self.random.chance(500) {
            self.blank = Some(nth);
            self.order(nth, Errand::Clear);
            return self.order(nth, Errand::Reseed);
        }
        self.crash(nth, Crash::PowerCut);
        self.trace.note(self.now, format_args!("the disk of member {nth} is lost"));
        self.fired.add(Fault::DiskLost);
        self.members[nth].new_disk();
        self.blank = Some(nth);
    }

    /// Others hold all that this member has acknowledged, and go on without it.
    pub(super) fn may_lose(&self, nth: usize) -> bool {
        let alone = self.map.replicas(SHARD).is_none_or(|entry| entry.sync.is_empty());
        let about_to_lead = self.queue.values().any(|what| {
            let map = if let What::Proposed(map) = what { Some(map) } else { None };
            map.and_then(|map| map.replicas(SHARD)?.leader) == Some(self.members[nth].id)
        });
        let only_one = alone && self.leader().is_none_or(|leader| leader == nth);
        !self.healed && !about_to_lead && !only_one
    }

    pub(super) fn begin_care(&mut self) {
        if !self.cares {
            self.cares = true;
            self.at(self.now, What::Care);
        }
    }

    /// Whoever lost its disk, or is halted, does not stand, and nobody else does of its own accord. A halted member is
    /// silent: nothing is committed until it is required no more.
    pub(super) fn care(&mut self) {
        let sync = self.in_sync();
        let lost = [self.blank, self.harm.halted()];
        let others = || sync.iter().find(|nth| !lost.contains(&Some(**nth)));
        if let (Some(rotten), Some(heir)) = (self.scrubs.rotten, others())
            && self.leader() == Some(rotten)
        {
            self.order(rotten, Errand::HandOver(self.members[*heir].id));
        }
        let led_by_nobody = lost.iter().flatten().any(|nth| self.leader() == Some(*nth));
        let whole = (0..self.members.len()).find(|nth| !lost.contains(&Some(*nth)));
        if let (true, Some(heir)) = (led_by_nobody, others()) {
            self.order(*heir, Errand::Promote(Kind::Recorded));
        } else if let (true, true, Some(heir)) = (led_by_nobody, self.healed, whole) {
            // It led alone, and its disk is rotten: what nobody else has is lost.
            let off = lost.iter().flatten().map(|nth| self.members[*nth].id).collect();
            self.order(heir, Errand::Promote(Kind::AcceptSplit { off }));
        } else if let (Some(leader), Some(halted)) = (self.leader(), self.harm.halted())
            && sync.contains(&halted)
        {
            self.order(leader, Errand::Release(self.members[halted].id));
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
