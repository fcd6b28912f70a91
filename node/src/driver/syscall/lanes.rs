//! The threads that work for one worker. A lane does one job after another, in order, and what it ended waits in a
//! queue for the worker, which a bell wakes.
//!
//! The log's reads and writes have a lane of their own: they never wait behind a slot that is being filled.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::disk::{Ended, Job};
use crate::driver::bell::Bell;
use crate::driver::reactor::AbortOnPanic;
use crate::params::LOG_OPERATIONS_PER_SHARD;

pub(super) struct Lanes {
    log: Option<Lane>,
    chores: Option<Lane>,
    ended: Receiver<Ended>,
    bell: Arc<Bell>,
    under_way: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// What a commit waits for.
    Log,
    /// What may take long, and nobody waits for.
    Chores,
}

struct Lane {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

impl Lanes {
    /// Each queue has room for everything that may be under way, so nobody ever waits to put something into one.
    pub fn start(shards: u32) -> io::Result<Self> {
        let most = (LOG_OPERATIONS_PER_SHARD * shards) as usize;
        let bell = Arc::new(Bell::new()?);
        let (sender, ended) = sync_channel(most);
        let lane = |name| (shards > 0).then(|| Lane::start(name, most, &sender, &bell)).transpose();
        let (log, chores) = (lane("log")?, lane("slot")?);
        Ok(Self { log, chores, ended, bell, under_way: 0, most })
    }

    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    pub fn under_way(&self) -> usize {
        self.under_way
    }

    pub fn give(&mut self, job: Job) {
        assert!(self.under_way < self.most, "the logs have more under way than they may");
        self.under_way += 1;
        let lane = match job.lane() {
            Which::Log => &self.log,
            Which::Chores => &self.chores,
        };
        let lane = lane.as_ref().expect("a driver with logs that has not ended has lanes");
        lane.jobs.try_send(job).unwrap_or_else(|e| panic!("a lane that runs has room: {e}"));
    }

    pub fn take(&mut self) -> Option<Ended> {
        let ended = self.ended.try_recv().ok()?;
        self.under_way -= 1;
        Some(ended)
    }

    /// Nothing is under way any more: the threads end.
    pub fn end(&mut self) {
        for Lane { jobs, thread } in [self.log.take(), self.chores.take()].into_iter().flatten() {
            drop(jobs);
            thread.join().expect("a lane that panics takes the process with it");
        }
    }
}

impl Lane {
    fn start(name: &str, room: usize, ended: &SyncSender<Ended>, bell: &Arc<Bell>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(room);
        let (ended, bell) = (ended.clone(), bell.clone());
        let worker = thread::current().name().unwrap_or("seawall").to_owned();
        let thread = thread::Builder::new().name(format!("{worker}-{name}")).spawn(move || {
            let _aborts = AbortOnPanic;
            for job in queue {
                if ended.send(job.run()).is_err() {
                    return; // the worker gave this operation up
                }
                bell.ring();
            }
        })?;
        Ok(Self { jobs, thread })
    }
}
