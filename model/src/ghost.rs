//! The truth beside the system, and the invariants that are held against it.

use crate::log::{Kind, Log, Verdict};
use crate::protocol::Protocol;
use crate::state::{Ghost, Leader, Loss, Lost, MEMBERS, Member, Promoted, Role, State};

impl Ghost {
    /// A leader of `epoch` calls all of `log` committed, and answers.
    pub(crate) fn commit(&mut self, epoch: u8, log: &Log) {
        let by = &mut self.committed_by[epoch as usize];
        *by = log.len().max(*by);
        if let Some(lost) = self.lost.as_mut().filter(|lost| epoch < lost.epoch) {
            // Deposed by an accepted loss: what it still acknowledges must be part of what was stated.
            let stated = matches!(lost.stated, Loss::Indexes { until, .. } if log.len() <= until);
            self.understated |= !stated;
            if log.len() > lost.history.len() {
                lost.history = *log;
            }
            return;
        }
        let same = self.committed.same_until(log);
        self.forked |= same < self.committed.len().min(log.len());
        if log.starts_with(&self.committed) {
            self.committed = *log;
        }
        self.epoch = self.epoch.max(epoch);
    }

    /// How much of a log was committed, lost or not, by leaders below an epoch: more than any of their followers knows.
    pub(crate) fn known_below(&self, epoch: u8, log: &Log) -> u8 {
        let below = self.committed_by.iter().take(epoch as usize).max().copied().unwrap_or_default();
        let lost = self.lost.map_or(0, |lost| lost.history.same_until(log));
        lost.max(self.committed.same_until(log)).min(below)
    }

    /// An accepted loss is recorded in the map.
    pub(crate) fn lose(&mut self, epoch: u8, promoted: &Promoted) {
        let kept = self.committed.same_until(&promoted.log);
        let covered = match promoted.loss {
            Loss::Unknown => true,
            Loss::Indexes { after, until } => {
                self.committed.len() == kept || (after <= kept && self.committed.len() <= until)
            }
        };
        self.understated |= !covered;
        self.lost = Some(Lost { history: self.committed, kept, epoch, stated: promoted.loss });
        self.committed.cut(kept);
    }
}

impl Protocol {
    fn leaders(state: &State) -> impl Iterator<Item = (Member, &Leader)> {
        (0..MEMBERS).filter_map(|member| Some((member, state.leader(member)?)))
    }

    /// I1: a leader that serves, of an epoch in which or before which a record was committed, has it; some disk has it;
    /// and an accepted loss is as large as was stated, or smaller.
    pub fn keeps_acknowledged(&self, state: &State) -> bool {
        let committed = &state.ghost.committed;
        let served = Protocol::leaders(state)
            .filter(|(_, leader)| leader.epoch >= state.ghost.epoch && leader.committed >= leader.start)
            .all(|(member, _)| state.replicas[member].log.starts_with(committed));
        let stored = (1u8..).zip(committed.records()).all(|(index, record)| {
            let holds = |it: &crate::state::Replica| it.durable >= index && it.log.at(index) == Some(*record);
            state.replicas.iter().any(holds)
        });
        served && stored && !state.ghost.understated
    }

    /// I2, as far as this model sees it: whoever would answer a linearizable read has everything that was committed.
    pub fn reads_are_fresh(&self, state: &State) -> bool {
        let proven = Protocol::leaders(state).filter(|(member, _)| self.proves_lease(state, *member));
        proven.into_iter().all(|(member, leader)| {
            state.replicas[member].log.prefix(leader.committed).starts_with(&state.ghost.committed)
        })
    }

    /// I6: at most one epoch commits at an index.
    pub fn one_epoch_commits(&self, state: &State) -> bool {
        !state.ghost.forked
    }

    /// API.md: after the append only success, rejection or a 4xx may answer; `none` is final.
    pub fn none_means_none(&self, state: &State) -> bool {
        let refused =
            |kind| matches!(kind, Kind::Write(write) if state.ghost.answered_none & (1 << write) != 0);
        !state.ghost.committed.records().iter().any(|record| refused(record.kind))
    }

    /// R21: the epoch table of a member never gives a wrong verdict on the token of a committed write.
    pub fn tokens_are_judged_rightly(&self, state: &State) -> bool {
        let lost = state.ghost.lost.map(|lost| lost.history).unwrap_or_default();
        let right = |log: &Log, leads: bool, history: &Log, alive: bool| {
            (1u8..).zip(history.records()).all(|(index, record)| {
                let here = log.at(index) == Some(*record);
                match log.judge(record.epoch, index) {
                    Verdict::Served => here,
                    Verdict::LostHistory => !here && !alive,
                    Verdict::NotCaughtUp => !here && !leads,
                }
            })
        };
        (0..MEMBERS).all(|member| {
            let replica = &state.replicas[member];
            let log = replica.log.prefix(replica.known_committed);
            let newest = state.ghost.lost.map_or(0, |lost| lost.epoch).max(state.ghost.epoch);
            let leads = matches!(replica.role, Role::Leader(leader)
                if leader.epoch >= newest && leader.committed >= leader.start);
            right(&log, leads, &state.ghost.committed, true) && right(&log, leads, &lost, false)
        })
    }

    /// An integrity halt needs a person, so nothing that this model permits may lead to one.
    pub fn nobody_halts(&self, state: &State) -> bool {
        state.replicas.iter().all(|replica| replica.role != Role::Halted)
    }
}
