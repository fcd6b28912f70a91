//! A start: what the checkpoint and the log hold becomes the state, by the same door as live commits.

use seawall_wal::checkpoint::Item;
use seawall_wal::{Done, Progress, Replay, Replayed};

use super::state::State;
use super::time::LeaderTime;
use super::{Life, Running, Shard, position, to_net};
use crate::seam::{Effect, Effects, Now};

impl Shard {
    /// One read of the recovery ended. When the last one did, the shard runs, or is halted.
    pub(super) fn recover(&mut self, now: Now, done: Done, effects: &mut Effects) {
        let Life::Recovering { recovery, last_time_us } = &mut self.life else { return };
        let state = &mut self.state;
        let progress = recovery.done(done, &mut self.ios, &mut |replay| match replay {
            Replay::Base(boundary) => {
                *state = State::default();
                *last_time_us = boundary.time_us;
            }
            Replay::Item(item) => load(state, &item),
            Replay::Record(replayed) => {
                *last_time_us = (*last_time_us).max(replayed.record.time_us);
                replay_record(state, &replayed);
            }
        });
        let last_time_us = *last_time_us;
        let report = match progress {
            Progress::Working => return,
            Progress::Halted(report) => {
                let report = Box::new(report);
                self.state = State::default();
                self.life = Life::Halted(report.clone());
                report
            }
            Progress::AtRest(..) => unreachable!("a start that is alone takes an epoch"),
            Progress::Recovered(mut log, report) => {
                // On a single replica everything durable is committed, and recovery made all of it durable.
                log.commit(log.durable());
                self.release.advance(log.durable());
                self.state.recovered();
                self.state.bury(to_net(log.durable()));
                let time = LeaderTime::start(now, last_time_us);
                let mut running = Running {
                    log: *log,
                    time,
                    epoch_start: None,
                    retry_prepare_us: 0,
                    retry_fold_us: 0,
                    appended_us: 0,
                    clock_doubt: None,
                };
                running.start_epoch(now, &mut self.state);
                self.life = Life::Running(Box::new(running));
                Box::new(report)
            }
        };
        effects.push(Effect::Recovered { shard: self.id, report });
    }
}

fn load(state: &mut State, item: &Item<'_>) {
    state.apply(item.space, item.key, Some(item.value), position(item.version.epoch, item.version.index));
}

fn replay_record(state: &mut State, replayed: &Replayed<'_>) {
    let version = position(replayed.epoch, replayed.index);
    for entry in replayed.record.entries() {
        state.apply(entry.space, entry.key, entry.value, version);
    }
}
