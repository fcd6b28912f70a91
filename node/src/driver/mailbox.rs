//! What threads of a node hand to each other: letters between workers, and control from the service plane.
//!
//! A worker sleeps in its driver. Whoever puts something into one of its queues wakes it, but only when it sleeps: a
//! wake-up is a system call and 70 us, a push is neither. How the two do not miss each other stands in `sleeper.rs`.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use seawall::map::{MemberId, ShardId};
use tokio::sync::oneshot;

use super::bell::Bell;
use super::sleeper::Sleeper;
use crate::params::{CONTROL_PLACES, MAILBOX_FRAMES, MAILBOX_LETTERS};
use crate::seam::order::{Obeyed, Order};
use crate::seam::{Event, Letter, WorkerId, WorkerStatus};

/// From the service plane to one worker.
#[derive(Debug)]
pub enum Control {
    /// A thread beside the workers executed an effect, or the authority has a newer map.
    Told(Box<Event>),
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
    /// A connection at the address for members.
    PeerAccepted(TcpStream),
    /// How an attempt to connect to a member ended.
    Dialled {
        to: MemberId,
        result: Result<TcpStream, String>,
    },
    Stop,
}

/// A frame of or for another member, on its way between the worker that has the links and the worker of its shard. It may
/// be lost here as on any other part of its way.
#[derive(Debug)]
pub enum PeerFrame {
    Heard { from: MemberId, shard: ShardId, frame: Vec<u8> },
    Say { to: MemberId, frame: Vec<u8> },
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
    /// One for each sender, with places of their own, so that letters always find theirs.
    frames: Vec<ArrayQueue<PeerFrame>>,
    lost: AtomicU64,
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
        !self.control.is_empty()
            || self.letters.iter().any(|letters| !letters.is_empty())
            || self.frames.iter().any(|frames| !frames.is_empty())
    }
}

impl Post {
    pub fn new(workers: u16) -> io::Result<Arc<Self>> {
        let workers = usize::from(workers);
        let mailbox = || {
            Ok(Mailbox {
                letters: (0..workers).map(|_| ArrayQueue::new(MAILBOX_LETTERS)).collect(),
                frames: (0..workers).map(|_| ArrayQueue::new(MAILBOX_FRAMES)).collect(),
                lost: AtomicU64::new(0),
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

    /// The same for a frame of members, which is lost and counted when there is no room.
    pub fn pass(&self, from: WorkerId, to: WorkerId, frame: PeerFrame) {
        let mailbox = &self.boxes[usize::from(to.0)];
        if mailbox.frames[usize::from(from.0)].push(frame).is_err() {
            mailbox.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frames of members that were lost on their way to this worker, for want of room.
    pub fn lost(&self, to: WorkerId) -> u64 {
        self.boxes[usize::from(to.0)].lost.load(Ordering::Relaxed)
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

    /// The same for frames of members.
    pub fn frames(&self, frames: &mut Vec<PeerFrame>) {
        for mailbox in &self.own().frames {
            frames.extend((0..mailbox.len()).map_while(|_| mailbox.pop()));
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
