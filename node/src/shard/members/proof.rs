//! How old a follower's state is at most, by its own clock alone (R22).
//!
//! Each R_ACK carries a probe, the follower's time. The leader repeats it with a commit index that it took afterwards,
//! while its lease was proven. Whoever has applied that index knows that nothing newer was acknowledged before the probe.

use std::collections::VecDeque;

use seawall::position::Index;
use seawall::replication::Echo;

use crate::params::PROOFS_PENDING;

#[derive(Debug, Default)]
pub(in crate::shard) struct Proof {
    /// The newest probe that is proven.
    at_us: Option<u64>,
    /// Echoes whose index is not applied yet, in the order of both.
    pending: VecDeque<(Index, u64)>,
}

impl Proof {
    pub fn echoed(&mut self, echo: &Echo) {
        let newest = self.pending.back().is_none_or(|(_, probe_us)| *probe_us < echo.probe_us);
        if echo.lease_proven && newest && self.pending.len() < PROOFS_PENDING {
            self.pending.push_back((echo.committed, echo.probe_us));
        }
    }

    /// The leader is another one: what the one before said of its own commit index is not awaited any more.
    pub fn hang_up(&mut self) {
        self.pending.clear();
    }

    pub fn applied(&mut self, applied: Index) {
        while let Some((_, probe_us)) = self.pending.pop_front_if(|(index, _)| *index <= applied) {
            self.at_us = self.at_us.max(Some(probe_us));
        }
    }

    /// `None`: nothing is proven since the start.
    pub fn age_us(&self, now_us: u64) -> Option<u64> {
        self.at_us.map(|at_us| now_us.saturating_sub(at_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(probe_us: u64, committed: u64, lease_proven: bool) -> Echo {
        Echo { probe_us, committed: Index(committed), lease_proven }
    }

    #[test]
    fn an_echo_proves_something_once_its_index_is_applied() {
        let mut proof = Proof::default();
        proof.echoed(&echo(100, 7, true));
        proof.applied(Index(6));
        assert_eq!(proof.age_us(150), None, "index 7 may have been acknowledged before the probe");
        proof.applied(Index(7));
        assert_eq!(proof.age_us(150), Some(50));
    }

    #[test]
    fn an_echo_without_a_lease_proves_nothing() {
        let mut proof = Proof::default();
        proof.echoed(&echo(100, 7, false));
        proof.applied(Index(9));
        assert_eq!(proof.age_us(150), None, "a deposed leader's commit index may be an old one");
    }

    #[test]
    fn an_echo_that_comes_late_makes_nothing_younger() {
        let mut proof = Proof::default();
        proof.echoed(&echo(100, 7, true));
        proof.applied(Index(7));
        proof.echoed(&echo(90, 7, true));
        proof.applied(Index(7));
        assert_eq!(proof.age_us(200), Some(100));
    }
}
