//! The simulated network between clients and one node: a byte stream each way per connection.
//!
//! # Fault model
//!
//! * A stream keeps its order and loses nothing while its connection lives. It arrives in chunks of any size, down
//!   to one byte, each after a delay.
//! * A connection may break. What is on its way is lost in both directions; each side learns of it later, at its
//!   own time, and the node may send into it until then.
//! * A client may end its own direction and keep reading (half-close).
//! * The way to a client holds a bounded number of bytes: a send takes a part, or waits until the client, which may
//!   be slow, has read.
//! * When the process dies, what is on its way to a client arrives or is lost, as one.

use std::collections::{BTreeMap, VecDeque};

use seawall_node::seam::{ConnId, Event, SocketError, WorkerId};

use crate::fault::{Fault, Fired};
use crate::random::Random;

const EPIPE: SocketError = SocketError(32);
const ECONNRESET: SocketError = SocketError(104);
const ECANCELED: SocketError = SocketError(125);

/// How one world's network behaves: times in microseconds, probabilities in thousandths.
#[derive(Clone, Debug)]
pub struct NetShape {
    pub delay_us: (u64, u64),
    /// Time until a side learns that its connection broke.
    pub notice_us: u64,
    /// Bytes on their way to one client.
    pub room: (u64, u64),
    /// A message begins with single bytes.
    pub single_bytes: u64,
    /// A send takes less than there is room for.
    pub partial_send: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(u64);

/// What happens to a connection at a time.
#[derive(Debug)]
pub enum Step {
    Up(LinkId, Vec<u8>),
    UpEnds(LinkId),
    Down(LinkId, Vec<u8>),
    DownEnds(LinkId),
    NodeLearns(LinkId),
    Closed(LinkId),
}

/// What a connection has to say to one of its sides.
#[derive(Debug)]
pub enum News {
    Node(WorkerId, Event),
    Bytes(LinkId, Vec<u8>),
    /// Nothing more comes to this client.
    Ended(LinkId),
}

#[derive(Debug)]
struct Link {
    worker: WorkerId,
    conn: ConnId,
    room: usize,
    /// Arrived at the node and not received.
    arrived: VecDeque<u8>,
    up_ended: bool,
    /// The last chunk each way arrives then: later ones do not overtake.
    up_last: u64,
    down_last: u64,
    /// On their way.
    up_moving: usize,
    down_moving: usize,
    receive: Option<(Vec<u8>, usize)>,
    send: Option<(Vec<u8>, usize)>,
    broken: bool,
    node_knows: bool,
    node_closed: bool,
    node_gone: bool,
    client_gone: bool,
}

#[derive(Debug)]
pub struct Net {
    shape: NetShape,
    random: Random,
    links: BTreeMap<LinkId, Link>,
    names: BTreeMap<(WorkerId, ConnId), LinkId>,
    next: u64,
    serial: u32,
    pub fired: Fired,
    /// What is to happen, and when; for the world's queue.
    pub plan: Vec<(u64, Step)>,
    pub news: Vec<News>,
}

impl Net {
    pub fn new(shape: NetShape, random: Random) -> Self {
        let (links, names, fired) = (BTreeMap::new(), BTreeMap::new(), Fired::default());
        Self { shape, random, links, names, next: 0, serial: 0, fired, plan: Vec::new(), news: Vec::new() }
    }

    pub fn heal(&mut self) {
        (self.shape.single_bytes, self.shape.partial_send) = (0, 0);
    }

    /// A client's connection is accepted by `worker`.
    pub fn connect(&mut self, now: u64, worker: WorkerId) -> LinkId {
        self.next += 1;
        let id = LinkId(self.next);
        self.serial += 1;
        let taken = |slot: &u32| {
            self.links.values().any(|l| l.worker == worker && l.conn.slot == *slot && !l.node_gone)
        };
        let slot = (0..).find(|slot| !taken(slot)).expect("there are fewer connections than numbers");
        let conn = ConnId { slot, serial: self.serial };
        let room = self.random.between(self.shape.room.0, self.shape.room.1);
        let link = Link {
            worker,
            conn,
            room: usize::try_from(room).expect("room is small"),
            arrived: VecDeque::new(),
            up_ended: false,
            up_last: now,
            down_last: now,
            up_moving: 0,
            down_moving: 0,
            receive: None,
            send: None,
            broken: false,
            node_knows: false,
            node_closed: false,
            node_gone: false,
            client_gone: false,
        };
        self.links.insert(id, link);
        self.names.insert((worker, conn), id);
        self.news.push(News::Node(worker, Event::Accepted { conn }));
        id
    }

    /// The node asks for bytes.
    pub fn receive(&mut self, worker: WorkerId, conn: ConnId, buf: Vec<u8>, from: usize) {
        let (id, link) = self.of_node(worker, conn);
        assert!(link.receive.is_none(), "two receives under way on {conn:?}");
        assert!(from < buf.len(), "a receive without room on {conn:?}");
        link.receive = Some((buf, from));
        self.pump_receive(id);
    }

    /// The node sends bytes.
    pub fn send(&mut self, now: u64, worker: WorkerId, conn: ConnId, buf: Vec<u8>, from: usize) {
        let (id, link) = self.of_node(worker, conn);
        assert!(link.send.is_none(), "two sends under way on {conn:?}");
        assert!(from < buf.len(), "a send of nothing on {conn:?}");
        link.send = Some((buf, from));
        if link.down_moving >= link.room {
            self.fired.add(Fault::SendStall);
        }
        self.pump_send(now, id);
    }

    /// The node closes: what it has under way ends first.
    pub fn close(&mut self, now: u64, worker: WorkerId, conn: ConnId) {
        let (id, link) = self.of_node(worker, conn);
        assert!(!link.node_closed, "{conn:?} is closed twice");
        link.node_closed = true;
        let down_last = link.down_last;
        let end_of_receive = if self.random.chance(500) { Ok(0) } else { Err(ECANCELED) };
        self.end_operations(id, end_of_receive, EPIPE);
        let closed = now + self.random.between(1, 50);
        self.plan.push((closed, Step::Closed(id)));
        let ended = self.after(now, down_last);
        self.plan.push((ended, Step::DownEnds(id)));
    }

    pub fn client_sends(&mut self, now: u64, id: LinkId, bytes: Vec<u8>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.broken || link.client_gone {
            return;
        }
        link.up_moving += bytes.len();
        let mut last = link.up_last;
        for chunk in self.chunks(bytes) {
            last = self.after(now, last);
            self.plan.push((last, Step::Up(id, chunk)));
        }
        self.links.get_mut(&id).expect("it was there").up_last = last;
    }

    /// The client sends nothing more, and keeps reading.
    pub fn client_ends(&mut self, now: u64, id: LinkId) {
        let Some(last) = self.links.get(&id).map(|link| link.up_last) else { return };
        self.fired.add(Fault::HalfClose);
        let at = self.after(now, last);
        self.plan.push((at, Step::UpEnds(id)));
    }

    /// The client goes away.
    pub fn client_closes(&mut self, now: u64, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        (link.client_gone, link.broken) = (true, true);
        let at = now + self.random.between(1, self.shape.notice_us);
        self.plan.push((at, Step::NodeLearns(id)));
        self.forget(id);
    }

    /// The connection breaks, between the two sides.
    pub fn break_link(&mut self, now: u64, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.broken || link.client_gone || link.node_gone {
            return;
        }
        link.broken = true;
        self.fired.add(Fault::ConnectionBroken);
        if link.up_moving + link.down_moving > 0 {
            self.fired.add(Fault::BytesLost);
        }
        for step in [Step::NodeLearns(id), Step::DownEnds(id)] {
            let at = now + self.random.between(1, self.shape.notice_us);
            self.plan.push((at, step));
        }
    }

    /// Connections that both sides believe in.
    pub fn whole(&self) -> Vec<LinkId> {
        let whole = |link: &Link| !(link.broken || link.client_gone || link.node_gone);
        self.links.iter().filter(|(_, link)| whole(link)).map(|(id, _)| *id).collect()
    }

    /// The process died, and every connection with it.
    pub fn node_dies(&mut self, now: u64) {
        self.names.clear();
        self.news.retain(|news| !matches!(news, News::Node(..)));
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            let arrives = self.random.chance(500);
            let link = self.links.get_mut(&id).expect("it is one of them");
            if !link.node_gone {
                link.node_gone = true;
                link.broken |= !arrives;
                let (broken, down_last) = (link.broken, link.down_last);
                let last = if broken { now } else { down_last };
                let at = self.after(now, last);
                self.plan.push((at, Step::DownEnds(id)));
            }
            self.forget(id);
        }
    }

    pub fn step(&mut self, now: u64, step: Step) {
        match step {
            Step::Up(id, bytes) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.up_moving -= bytes.len();
                if !link.broken && !link.node_gone {
                    link.arrived.extend(bytes);
                    self.pump_receive(id);
                }
            }
            Step::UpEnds(id) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.up_ended |= !link.broken;
                self.pump_receive(id);
            }
            Step::Down(id, bytes) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.down_moving -= bytes.len();
                if !link.broken && !link.client_gone {
                    self.news.push(News::Bytes(id, bytes));
                }
                self.pump_send(now, id);
            }
            Step::DownEnds(id) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                if !link.client_gone {
                    link.client_gone = true;
                    self.news.push(News::Ended(id));
                }
                self.forget(id);
            }
            Step::NodeLearns(id) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                (link.broken, link.node_knows) = (true, true);
                self.pump_receive(id);
                self.pump_send(now, id);
            }
            Step::Closed(id) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                if !link.node_gone {
                    link.node_gone = true;
                    let (worker, conn) = (link.worker, link.conn);
                    self.names.remove(&(worker, conn));
                    self.news.push(News::Node(worker, Event::Closed { conn }));
                }
                self.forget(id);
            }
        }
    }

    fn of_node(&mut self, worker: WorkerId, conn: ConnId) -> (LinkId, &mut Link) {
        let id = *self.names.get(&(worker, conn)).unwrap_or_else(|| panic!("{conn:?} of {worker:?} is dead"));
        let link = self.links.get_mut(&id).expect("a named link exists");
        assert!(!link.node_closed, "{conn:?} is used after its close");
        (id, link)
    }

    fn pump_receive(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let ready = link.node_knows || link.up_ended || !link.arrived.is_empty();
        if !ready || link.node_gone {
            return;
        }
        let Some((mut buf, from)) = link.receive.take() else { return };
        let result = if link.node_knows {
            Err(ECONNRESET)
        } else {
            let most = link.arrived.len().min(buf.len() - from);
            let count = if self.random.chance(100) { most.min(1) } else { most };
            for (byte, arrived) in buf[from..].iter_mut().zip(link.arrived.drain(..count)) {
                *byte = arrived;
            }
            Ok(count)
        };
        self.news.push(News::Node(link.worker, Event::Received { conn: link.conn, buf, result }));
    }

    fn pump_send(&mut self, now: u64, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let room = link.room.saturating_sub(link.down_moving);
        if link.node_gone || (room == 0 && !link.node_knows) {
            return;
        }
        let Some((buf, from)) = link.send.take() else { return };
        let (worker, conn, mut last) = (link.worker, link.conn, link.down_last);
        if link.node_knows {
            self.news.push(News::Node(worker, Event::Sent { conn, buf, result: Err(EPIPE) }));
            return;
        }
        let mut count = room.min(buf.len() - from);
        if self.random.chance(self.shape.partial_send) {
            count = 1 + self.random.index(count);
        }
        if count < buf.len() - from {
            self.fired.add(Fault::PartialSend);
        }
        link.down_moving += count;
        for chunk in self.chunks(buf[from..from + count].to_vec()) {
            last = self.after(now, last);
            self.plan.push((last, Step::Down(id, chunk)));
        }
        self.links.get_mut(&id).expect("it was there").down_last = last;
        self.news.push(News::Node(worker, Event::Sent { conn, buf, result: Ok(count) }));
    }

    fn end_operations(&mut self, id: LinkId, receive: Result<usize, SocketError>, send: SocketError) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (worker, conn) = (link.worker, link.conn);
        if let Some((buf, _)) = link.receive.take() {
            self.news.push(News::Node(worker, Event::Received { conn, buf, result: receive }));
        }
        if let Some((buf, _)) = link.send.take() {
            self.news.push(News::Node(worker, Event::Sent { conn, buf, result: Err(send) }));
        }
    }

    fn chunks(&mut self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut singles = 0;
        if self.random.chance(self.shape.single_bytes) {
            singles = self.random.between(1, 12);
            self.fired.add(Fault::SingleBytes);
        }
        let mut rest = bytes;
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let size = match singles {
                0 if self.random.chance(600) => rest.len(),
                0 => 1 + self.random.index(rest.len()),
                _ => 1,
            };
            singles = singles.saturating_sub(1);
            let later = rest.split_off(size);
            chunks.push(std::mem::replace(&mut rest, later));
        }
        chunks
    }

    fn after(&mut self, now: u64, last: u64) -> u64 {
        last.max(now + self.random.between(self.shape.delay_us.0, self.shape.delay_us.1))
    }

    fn forget(&mut self, id: LinkId) {
        if self.links.get(&id).is_some_and(|link| link.node_gone && link.client_gone) {
            self.links.remove(&id);
        }
    }
}
