//! The authority's thread: it hands every newer map to all workers, and proposes what they ask for.
//!
//! Like a driver it executes and reports, and decides nothing: a proposal that is lost, or cannot be made, is repeated by
//! whoever made it, if it still wants to.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the authority is waited for on a thread of its own"
)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use seawall::map::{Map, ShardId};

use super::document::Document;
use super::{Authority, Swap, Trouble};
use crate::driver::console;
use crate::driver::incidents::{Incident, Incidents};
use crate::driver::mailbox::{Control, Post};
use crate::params::MAP_LOOK_MS;
use crate::seam::{Event, WorkerId};

/// The newest map that this node has seen, for whoever asks.
#[derive(Clone, Debug)]
pub struct Known(Arc<Mutex<Document>>);

impl Known {
    pub fn new(document: Document) -> Self {
        Self(Arc::new(Mutex::new(document)))
    }

    pub fn get(&self) -> Document {
        self.0.lock().expect("nobody panics while the map is copied").clone()
    }

    fn put(&self, document: Document) {
        *self.0.lock().expect("nobody panics while the map is copied") = document;
    }
}

/// What workers want of the authority.
enum Wish {
    Propose(Box<Map>),
    Newest(Question),
}

/// A shard's question which map is the newest.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub worker: WorkerId,
    pub shard: ShardId,
    pub round: u64,
}

/// Where workers leave their proposals and questions.
#[derive(Clone, Debug)]
pub struct Proposals(Sender<Wish>);

impl Proposals {
    pub fn give(&self, map: Box<Map>) {
        // Nobody takes it any more only when the node ends.
        let _node_ends = self.0.send(Wish::Propose(map));
    }

    pub fn ask(&self, question: Question) {
        let _node_ends = self.0.send(Wish::Newest(question));
    }
}

pub struct Watch {
    proposals: Option<Sender<Wish>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn start(
        authority: Authority,
        known: Known,
        post: Arc<Post>,
        incidents: Incidents,
    ) -> io::Result<Self> {
        let (sender, proposals) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("seawall-map".into()).spawn(move || {
            Watching { authority, known, post, incidents, stopped, said: None }.run(&proposals);
        })?;
        Ok(Self { proposals: Some(sender), stop, thread: Some(thread) })
    }

    pub fn proposals(&self) -> Proposals {
        Proposals(self.proposals.clone().expect("it runs"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.proposals = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the authority's thread does not panic");
        }
    }
}

struct Watching {
    authority: Authority,
    known: Known,
    post: Arc<Post>,
    incidents: Incidents,
    stopped: Arc<AtomicBool>,
    /// The trouble that was told last: it is said once.
    said: Option<String>,
}

impl Watching {
    fn run(mut self, wishes: &Receiver<Wish>) {
        while !self.stopped.load(Ordering::Relaxed) {
            let looked = match wishes.recv_timeout(Duration::from_millis(MAP_LOOK_MS)) {
                Ok(Wish::Propose(map)) => self.propose(*map).and_then(|()| self.look()),
                Ok(Wish::Newest(question)) => self.look().map(|()| self.answer(question)),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let trouble = looked.err().map(|trouble| trouble.to_string());
            if trouble != self.said {
                match &trouble {
                    Some(why) => {
                        let said = format!("THE MAP CANNOT BE READ OR CHANGED: {why}");
                        self.incidents.note(Incident::MapUnreachable, None, &said);
                    }
                    None => console::complain("the map can be read and changed again"),
                }
                self.said = trouble;
            }
        }
    }

    fn propose(&self, map: Map) -> Result<(), Trouble> {
        let document = Document { lineage: self.known.get().lineage, map };
        match self.authority.swap(&document)? {
            Swap::Won | Swap::Lost => Ok(()), // the newest map says which
        }
    }

    fn look(&self) -> Result<(), Trouble> {
        let known = self.known.get();
        if !self.authority.moved_past(known.map.generation()) {
            return Ok(());
        }
        let newest = self.authority.newest()?;
        if newest.lineage != known.lineage {
            return Err(Trouble(format!(
                "it is the map of cluster {} now, and this node is of cluster {}",
                newest.lineage, known.lineage
            )));
        }
        if newest.map.generation() > known.map.generation() {
            let map = Arc::new(newest.map.clone());
            self.known.put(newest);
            self.tell(&map);
        }
        Ok(())
    }

    fn tell(&self, map: &Arc<Map>) {
        for worker in (0u16..).map(WorkerId).take(self.post.workers()) {
            self.say(worker, Event::MapChanged(map.clone()));
        }
    }

    /// It was looked for after the question came: the newest that is known was the newest then, or is newer.
    fn answer(&self, Question { worker, shard, round }: Question) {
        let generation = self.known.get().map.generation();
        self.say(worker, Event::NewestMap { shard, round, generation });
    }

    /// There is no room only when the worker does not take anything.
    fn say(&self, worker: WorkerId, event: Event) {
        let mut news = Control::Told(Box::new(event));
        while let Err(back) = self.post.control(worker, news) {
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            news = back;
            thread::sleep(Duration::from_millis(1));
        }
    }
}
