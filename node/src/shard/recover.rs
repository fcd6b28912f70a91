//! A start: what the checkpoint and the log hold becomes the state, by the same door as live commits.

use seawall_wal::checkpoint::Item;
use seawall_wal::{Done, Index, Progress, Replay, Replayed, Start};

use super::state::State;
use super::time::LeaderTime;
use super::{Following, Lead, Life, Running, Shard, position, to_net};
use crate::seam::{Effect, Effects, Now};

impl Shard {
    /// One read of the recovery ended. When the last one did, the shard runs, or is halted.
    pub(super) fn recover(&mut self, now: Now, done: Done, effects: &mut Effects) {
        let Life::Recovering { recovery, start, held } = &mut self.life else { return };
        let follows = *start == Start::Follow;
        let state = &mut self.state;
        let progress = recovery.done(done, &mut self.ios, &mut |replay| match replay {
            Replay::Base(boundary) => {
                *state = State::default();
                held.begin(boundary.cut.index, boundary.time_us);
            }
            Replay::Item(item) => load(state, &item),
            // R8: what is not known to be committed waits.
            Replay::Record(Replayed { epoch, index, record, batch, .. }) if follows => {
                held.apply(Index(batch.committed_through), state);
                held.push(epoch, index, &record);
            }
            Replay::Record(replayed) => {
                held.saw(replayed.index, replayed.record.time_us);
                replay_record(state, &replayed);
            }
        });
        let report = match progress {
            Progress::Working => return,
            Progress::Halted(report) => {
                let report = Box::new(report);
                self.state = State::default();
                self.life = Life::Halted(report.clone());
                report
            }
            Progress::AtRest(log, report) => {
                let mut held = std::mem::take(held);
                let committed = log.committed();
                held.apply(committed, &mut self.state);
                self.state.recovered();
                self.release.advance(committed);
                self.life = Life::Following(Box::new(Following::new(*log, held, now)));
                self.reseeds_after(now, &report);
                self.follower_sees_map(now);
                Box::new(report)
            }
            Progress::Recovered(mut log, report) => {
                let time = LeaderTime::start(now, held.last_time_us());
                // Alone, everything durable is committed, and recovery made all of it durable. Among members, the
                // first record of the epoch will say so (R10).
                let known = match start {
                    Start::Alone => log.durable(),
                    Start::Lead { .. } | Start::Follow => report.committed.max(log.meta().committed),
                };
                log.commit(known.min(log.durable()));
                self.release.advance(known.min(log.durable()));
                self.state.recovered();
                self.state.bury(to_net(known));
                let mut running = Running {
                    log: *log,
                    lead: None,
                    time,
                    epoch_start: None,
                    retry_prepare_us: 0,
                    retry_fold_us: 0,
                    appended_us: 0,
                    clock_doubt: None,
                };
                running.start_epoch(now, &mut self.state, self.membership.as_ref());
                self.life = Life::Running(Box::new(running));
                self.begin_to_lead(now);
                Box::new(report)
            }
        };
        effects.push(Effect::Recovered { shard: self.id, report });
    }
}

impl Shard {
    /// Once its `EpochStart` has an index, a member that leads begins to count; alone there is nobody to count.
    pub(super) fn begin_to_lead(&mut self, now: Now) {
        let (Life::Running(running), Some(membership)) = (&mut self.life, &self.membership) else { return };
        if let (Some(start), None) = (running.epoch_start, &running.lead) {
            let committed = to_net(self.release.committed());
            let lead = Lead::begin(now, membership, &running.log, to_net(start), committed);
            running.lead = Some(Box::new(lead));
            self.leader_sees_map(now);
        }
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
