//! Questions to the workers. A worker answers within its next turn; one that does not is reported as silent.

use std::sync::Arc;
use std::time::Duration;

use seawall::map::ShardId;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::driver::mailbox::{Control, Post};
use crate::seam::order::{Obeyed, Order};
use crate::seam::{WorkerId, WorkerStatus};
use crate::worker::home_of;

#[derive(Clone)]
pub(super) struct Workers {
    post: Arc<Post>,
    patience: Duration,
}

impl Workers {
    pub fn new(post: Arc<Post>, patience: Duration) -> Self {
        Self { post, patience }
    }

    /// By worker id; `None` for a worker that did not answer in time. All share one deadline.
    pub async fn ask_all(&self) -> Vec<Option<WorkerStatus>> {
        let deadline = tokio::time::Instant::now() + self.patience;
        let asked: Vec<_> = (0u16..).map(WorkerId).take(self.post.workers()).map(|w| self.ask(w)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.push(match answer {
                Some(answer) => timeout_at(deadline, answer).await.ok().and_then(Result::ok),
                None => None,
            });
        }
        answers
    }

    /// Tells every shard that an operator accepts the wall clock as it is (R18); returns those that were told.
    pub async fn accept_clock(&self) -> Vec<ShardId> {
        let mut told = Vec::new();
        for status in self.ask_all().await.into_iter().flatten() {
            for shard in status.shards.iter().map(|shard| shard.shard) {
                if self.post.control(status.worker, Control::ClockAccepted { shard }).is_ok() {
                    told.push(shard);
                }
            }
        }
        told
    }

    /// Gives an order to the worker of a shard; `None`: it is silent.
    pub fn order(&self, shard: ShardId, order: Order) -> Option<oneshot::Receiver<Obeyed>> {
        let workers = u16::try_from(self.post.workers()).expect("made from a number of workers");
        let (answer, obeyed) = oneshot::channel();
        let order = Control::Ordered { shard, order: Box::new(order), answer };
        self.post.control(home_of(shard, workers), order).is_ok().then_some(obeyed)
    }

    fn ask(&self, worker: WorkerId) -> Option<oneshot::Receiver<WorkerStatus>> {
        let (answer, receiver) = oneshot::channel();
        self.post.control(worker, Control::StatusAsked { answer }).is_ok().then_some(receiver)
    }
}
