//! The threads beside the workers, for what may take long and must not stop a core.
//!
//! ```text
//! hand.rs      such a thread: one order after the other
//! keeper.rs    files: read back for followers, copied before they are cut, moved, removed
//! folder.rs    checkpoints: folds, which read whole segments, and those that a leader sent
//! scrubber.rs  what no start reads, read again
//! ```

mod folder;
mod hand;
mod keeper;
mod scrubber;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use seawall::map::ShardId;
use seawall_wal::Io;

use self::folder::Folder;
use self::hand::{Hand, Stop};
use self::keeper::Keeper;
pub(super) use self::keeper::append_line;
pub use self::scrubber::Scrub;
use self::scrubber::Scrubber;
use super::directory::{Directory, ShardDirectory};
use super::mailbox::Post;
use super::node::NodeError;
use super::pace::Traffic;
use crate::seam::WorkerId;

/// What the worker of a shard wants done. A log has one fold and one removal under way, so few orders wait.
#[derive(Debug)]
pub struct Order {
    pub worker: WorkerId,
    pub shard: ShardId,
    pub io: Io,
}

pub struct Beside {
    keeper: Hand<Order>,
    folder: Hand<Order>,
    scrubber: Hand<Scrub>,
}

#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Whether files can be read past the page cache.
    pub direct: bool,
    pub traffic: Arc<Traffic>,
    /// CPUs without a worker; the threads run there, if there are any.
    pub cpus: Vec<usize>,
}

/// Gives orders from a worker's thread.
#[derive(Clone)]
pub struct Orders {
    keeper: Sender<Order>,
    folder: Sender<Order>,
    scrubber: Sender<Scrub>,
}

impl Beside {
    pub fn start(
        directory: &Directory,
        post: &Arc<Post>,
        surroundings: &Surroundings,
    ) -> Result<Self, NodeError> {
        let Surroundings { direct, ref traffic, ref cpus } = *surroundings;
        let shards = || (1..=directory.shards()).map(ShardId);
        let logs = || shards().map(|shard| directory.shard(shard)).collect::<Result<_, _>>().map(Logs);
        let (folds, scrubs) = (Stop::default(), Stop::default());
        let mut keeper = Keeper { logs: logs()?, direct };
        let mut folder = Folder { logs: logs()?, direct, traffic: traffic.clone(), stop: folds.clone() };
        let mut scrubber = Scrubber { logs: logs()?, direct, stop: scrubs.clone() };
        let keeper = Hand::start("seawall-keeper", cpus.clone(), post.clone(), Stop::default(), move |o| {
            keeper.execute(o)
        });
        let folder =
            Hand::start("seawall-folder", cpus.clone(), post.clone(), folds, move |o| folder.execute(o));
        let scrubber =
            Hand::start("seawall-scrub", cpus.clone(), post.clone(), scrubs, move |o| scrubber.execute(o));
        Ok(Self {
            keeper: keeper.map_err(NodeError::Start)?,
            folder: folder.map_err(NodeError::Start)?,
            scrubber: scrubber.map_err(NodeError::Start)?,
        })
    }

    pub fn orders(&self) -> Orders {
        Orders {
            keeper: self.keeper.orders(),
            folder: self.folder.orders(),
            scrubber: self.scrubber.orders(),
        }
    }
}

impl Orders {
    /// A fold takes seconds, and neither a follower that is behind nor a slot that goes may wait for it.
    pub fn give(&self, order: Order) {
        let hand = if matches!(order.io, Io::Fold(_) | Io::Adopt(_)) { &self.folder } else { &self.keeper };
        // It ends after the workers, or with the process.
        let _it_is_gone = hand.send(order);
    }

    pub fn scrub(&self, order: Scrub) {
        let _it_is_gone = self.scrubber.send(order);
    }
}

/// Left to itself the kernel fetches megabytes at once, and a commit that comes just then waits for them.
fn no_read_ahead(file: &File) {
    // SAFETY: it takes numbers only. What it answers is about a hint.
    let _hint = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
}

/// The logs of this node.
struct Logs(Vec<ShardDirectory>);

impl Logs {
    fn of(&self, shard: ShardId) -> &ShardDirectory {
        self.0.iter().find(|log| log.shard == shard).expect("a shard of this node")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use seawall_wal::checkpoint::FoldLimits;
    use seawall_wal::{CheckpointId, FileId, FoldJob, Index, IoId, LogId};

    use super::*;
    use crate::seam::Event;

    fn remove() -> Io {
        Io::Remove { id: IoId(1), file: FileId::Checkpoint(CheckpointId(1)) }
    }

    fn fold() -> Io {
        let limits = FoldLimits { committed: Index(0), changes: 1 };
        let log = LogId { lineage: [7; 16], shard: 1 };
        Io::Fold(FoldJob { id: IoId(2), log, previous: None, segments: Vec::new(), limits })
    }

    #[test]
    fn nothing_waits_behind_a_fold() {
        let ((keeper, kept), (folder, folds), (scrubber, _scrubs)) =
            (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let orders = Orders { keeper, folder, scrubber };
        for io in [fold(), remove()] {
            orders.give(Order { worker: WorkerId(0), shard: ShardId(1), io });
        }
        assert!(matches!(folds.try_iter().collect::<Vec<_>>()[..], [Order { io: Io::Fold(_), .. }]));
        assert!(matches!(kept.try_iter().collect::<Vec<_>>()[..], [Order { io: Io::Remove { .. }, .. }]));
    }

    #[test]
    fn a_hand_stays_away_from_the_workers() {
        let cpus = core_affinity::get_core_ids().unwrap();
        let only = cpus.last().unwrap().id;
        let (sender, seen) = mpsc::channel();
        let hand = Hand::start("hand", vec![only], Post::new(1).unwrap(), Stop::default(), move |(): ()| {
            let allowed = core_affinity::get_core_ids().unwrap();
            sender.send(allowed.iter().map(|core| core.id).collect::<Vec<_>>()).unwrap();
            (WorkerId(0), Event::Tick)
        });
        let hand = hand.unwrap();
        hand.orders().send(()).unwrap();
        assert_eq!(seen.recv().unwrap(), [only]);
    }
}
