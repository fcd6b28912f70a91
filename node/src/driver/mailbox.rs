//! What threads of a node hand to each other: letters between workers, and control from the service plane.
//!
//! A worker sleeps in its driver. Whoever puts something into one of its queues wakes it, but only when it sleeps: a
//! wake-up is a system call and 70 us, a push is neither. How the two do not miss each other stands in `sleeper.rs`.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use seawall::map::ShardId;
use tokio::sync::oneshot;

use super::bell::Bell;
use super::sleeper::Sleeper;
use crate::params::{CONTROL_PLACES, MAILBOX_LETTERS};
use crate::seam::order::{Obeyed, Order};
use crate::seam::{Event, Letter, WorkerId, WorkerStatus};

/// From the service plane to one worker.
#[derive(Debug)]
pub enum Control {
    /// The keeper executed an effect.
    Kept(Box<Event>),
    StatusAsked {
        answer: oneshot::Sender<WorkerStatus>,
    },
    Ordered {
        shard: ShardId,
        order: Box<Order>,
        answer: oneshot::Sender<Obeyed>,
    },
    /// An operator accepts the wall clock as it is.
    ClockAccepted {
        shard: ShardId,
    },
    Stop,
}

/// All queues of a node. Each mailbox has one sender and one receiver; a control queue has many senders.
pub struct Post {
    boxes: Vec<Mailbox>,
    workers: usize,
}

/// What one worker receives.
struct Mailbox {
    /// One mailbox for each sender.
    letters: Vec<ArrayQueue<Letter>>,
    control: ArrayQueue<Control>,
    sleeper: Sleeper,
    bell: Bell,
}

impl Mailbox {
    fn wake(&self) {
        if self.sleeper.must_be_rung() {
            self.bell.ring();
        }
    }

    fn holds_something(&self) -> bool {
        !self.control.is_empty() || self.letters.iter().any(|letters| !letters.is_empty())
    }
}

impl Post {
    pub fn new(workers: u16) -> io::Result<Arc<Self>> {
        let workers = usize::from(workers);
        let mailbox = || {
            Ok(Mailbox {
                letters: (0..workers).map(|_| ArrayQueue::new(MAILBOX_LETTERS)).collect(),
                control: ArrayQueue::new(CONTROL_PLACES),
                sleeper: Sleeper::new(),
                bell: Bell::new()?,
            })
        };
        let boxes = (0..workers).map(|_| mailbox()).collect::<io::Result<_>>()?;
        Ok(Arc::new(Self { boxes, workers }))
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Puts a letter into the mailbox of `to`, and wakes nobody: see [`Post::wake`].
    pub fn send(&self, from: WorkerId, to: WorkerId, letter: Letter) {
        let full = self.boxes[usize::from(to.0)].letters[usize::from(from.0)].push(letter).is_err();
        assert!(!full, "worker {} sent more to worker {} than it may have under way", from.0, to.0);
    }

    /// After one or many letters: wakes the worker if it sleeps.
    pub fn wake(&self, to: WorkerId) {
        self.boxes[usize::from(to.0)].wake();
    }

    /// Asks or orders; gives `control` back when the worker has not looked at its queue for a long time.
    pub fn control(&self, to: WorkerId, control: Control) -> Result<(), Control> {
        let mailbox = &self.boxes[usize::from(to.0)];
        mailbox.control.push(control)?;
        mailbox.wake();
        Ok(())
    }

    pub fn inbox(self: &Arc<Self>, worker: WorkerId) -> Inbox {
        Inbox { post: self.clone(), worker }
    }
}

/// The receiving end of one worker.
pub struct Inbox {
    post: Arc<Post>,
    worker: WorkerId,
}

impl Inbox {
    fn own(&self) -> &Mailbox {
        &self.post.boxes[usize::from(self.worker.0)]
    }

    pub fn control(&self) -> Option<Control> {
        self.own().control.pop()
    }

    /// Takes what lies in the mailboxes now, and not what arrives meanwhile, so that a turn ends.
    pub fn letters(&self, events: &mut Vec<Event>) {
        for (from, mailbox) in (0u16..).map(WorkerId).zip(&self.own().letters) {
            for _ in 0..mailbox.len() {
                let Some(letter) = mailbox.pop() else { break };
                events.push(Event::Mail { from, letter });
            }
        }
    }

    /// Before sleeping: from now on senders wake. `false` when something has arrived already: do not sleep.
    pub fn may_sleep(&self) -> bool {
        let own = self.own();
        own.sleeper.may_sleep(|| own.holds_something())
    }

    /// After sleeping.
    pub fn awake(&self) {
        self.own().sleeper.awake();
    }

    /// The eventfd that a wake-up writes; the driver listens to it.
    pub fn bell(&self) -> RawFd {
        self.own().bell.as_raw_fd()
    }
}
