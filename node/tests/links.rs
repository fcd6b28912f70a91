//! Links to other members, event by event: whoever does not belong is told why, and what makes no sense ends the link.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall::frame::{Decoder, Step};
use seawall::limits::{LOG_BLOCK, PEER_BODY_MAX};
use seawall::map::{Generation, Map, Member, MemberId, Parts, ShardId};
use seawall::position::{Epoch, Index, Lineage};
use seawall::replication::{Append, Envelope, Fence, Link, Message, Session, Stamp, Start, VERSION};
use seawall_node::params::{CONNECTION_INPUT, LINK_GREETING_US, LINK_OUTPUT, LINK_RETRY_US, LINK_STRANGERS};
use seawall_node::seam::{ConnId, LinkEffect, LinkEvent, Now};
use seawall_node::worker::links::Links;

const CLUSTER: Lineage = Lineage([9; 16]);
const SHARD: ShardId = ShardId(1);

fn map() -> Arc<Map> {
    let members = (1..=3).map(|id| Member {
        id: MemberId(id),
        address: format!("h{id}:1"),
        peer: format!("h{id}:2"),
        labels: Vec::new(),
    });
    let parts = Parts { members: members.collect(), ..Map::even(Generation(1), 1).parts().clone() };
    Arc::new(Map::of(parts).expect("a map"))
}

fn link(version: u8, cluster: Lineage, member: u32) -> Vec<u8> {
    let (member, start) = (MemberId(member), Start(1));
    encoded(ShardId::ANY, Message::Link(Link { version, cluster, member, start, features: 0 }))
}

fn fence(shard: ShardId) -> Vec<u8> {
    let stamp = Stamp { lineage: CLUSTER, epoch: Epoch(4), start: Start(1) };
    encoded(shard, Message::Fence(Fence { stamp, candidate: MemberId(1) }))
}

fn encoded(shard: ShardId, message: Message<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    Envelope { generation: Generation(1), shard, message }.encode(&mut frame);
    frame
}

/// Member 2 of three, and a driver that the test holds in its hand.
struct World {
    links: Links,
    now_us: u64,
    receiving: BTreeMap<u32, (Vec<u8>, usize)>,
    sent: BTreeMap<u32, Vec<u8>>,
    sending: BTreeMap<u32, Vec<u8>>,
    heard: Vec<(MemberId, ShardId, Vec<u8>)>,
    dialled: Vec<MemberId>,
    told: Vec<String>,
    /// Those that are failures.
    failures: usize,
    closed: Vec<u32>,
}

fn conn(slot: u32) -> ConnId {
    ConnId { slot, serial: 0 }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            links: Links::new(MemberId(2), CLUSTER, 77),
            now_us: 1_000_000,
            receiving: BTreeMap::new(),
            sent: BTreeMap::new(),
            sending: BTreeMap::new(),
            heard: Vec::new(),
            dialled: Vec::new(),
            told: Vec::new(),
            failures: 0,
            closed: Vec::new(),
        };
        world.step(LinkEvent::MapChanged(map()));
        world
    }

    fn step(&mut self, event: LinkEvent) {
        let now = Now { mono_us: self.now_us, wall_us: 0 };
        let mut effects = Vec::new();
        self.links.step(now, event, &mut effects);
        self.links.step(now, LinkEvent::EndOfTurn, &mut effects);
        for effect in effects {
            match effect {
                LinkEffect::Receive { conn, buf, from } => {
                    assert!(from < buf.len(), "a receive has room");
                    assert!(self.receiving.insert(conn.slot, (buf, from)).is_none(), "one at a time");
                }
                LinkEffect::Send { conn, buf, from } => {
                    self.sent.entry(conn.slot).or_default().extend_from_slice(&buf[from..]);
                    assert!(self.sending.insert(conn.slot, buf).is_none(), "one at a time");
                }
                LinkEffect::Close { conn } => self.closed.push(conn.slot),
                LinkEffect::Dial { to, .. } => self.dialled.push(to),
                LinkEffect::Heard { from, shard, frame } => self.heard.push((from, shard, frame)),
                LinkEffect::Told { said, lost } => {
                    self.failures += usize::from(lost);
                    self.told.push(said);
                }
            }
        }
    }

    /// The other end says this, in pieces of so many bytes.
    fn hears(&mut self, slot: u32, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                let Some((mut buf, from)) = self.receiving.remove(&slot) else { return };
                let moved = rest.len().min(buf.len() - from);
                buf[from..from + moved].copy_from_slice(&rest[..moved]);
                rest = &rest[moved..];
                self.step(LinkEvent::Received { conn: conn(slot), buf, result: Ok(moved) });
            }
        }
    }

    /// What is under way to the other end arrives.
    fn arrives(&mut self, slot: u32) {
        if let Some(buf) = self.sending.remove(&slot) {
            let result = Ok(buf.len());
            self.step(LinkEvent::Sent { conn: conn(slot), buf, result });
        }
    }

    fn tick(&mut self, later_us: u64) {
        self.now_us += later_us;
        self.step(LinkEvent::Tick);
    }

    /// The names of what was sent.
    fn said(&self, slot: u32) -> Vec<&'static str> {
        let mut bytes = self.sent.get(&slot).map_or(&[][..], |sent| sent);
        let mut names = Vec::new();
        while let Ok(Step::Frame(frame, used)) = Decoder::new(PEER_BODY_MAX).next(bytes) {
            names.push(Envelope::decode(&frame).expect("it makes sense").message.opcode().name());
            bytes = &bytes[used..];
        }
        names
    }

    fn accepted(&mut self, slot: u32) {
        self.step(LinkEvent::Accepted { conn: conn(slot) });
    }

    fn state(&self, member: u32) -> &'static str {
        let status = self.links.status();
        status.iter().find(|link| link.member == MemberId(member)).expect("a member").state
    }
}

#[test]
fn the_lower_number_dials_and_both_say_who_they_are() {
    let mut world = World::new();
    assert_eq!(world.dialled, [MemberId(3)], "member 1 dials by itself");
    world.step(LinkEvent::Dialled { to: MemberId(3), result: Ok(conn(0)) });
    assert_eq!((world.said(0), world.state(3)), (vec!["R_LINK"], "greeting"));
    world.step(LinkEvent::Say { to: MemberId(3), frame: fence(SHARD) });
    assert_eq!(world.links.status()[1].lost, 1, "nothing goes to whoever has not said who it is");
    world.arrives(0);
    world.hears(0, &link(VERSION, CLUSTER, 3), 7);
    assert_eq!(world.state(3), "up");

    world.accepted(1);
    assert_eq!(world.said(1), [""; 0], "whoever is called waits");
    world.hears(1, &link(VERSION, CLUSTER, 1), 1000);
    assert_eq!((world.said(1), world.state(1)), (vec!["R_LINK"], "up"));
    world.arrives(1);
    for member in [1, 3] {
        world.step(LinkEvent::Say { to: MemberId(member), frame: fence(SHARD) });
    }
    assert_eq!((world.said(0), world.said(1)), (vec!["R_LINK", "R_FENCE"], vec!["R_LINK", "R_FENCE"]));
}

#[test]
fn frames_come_whole_however_they_are_cut() {
    for piece in [1, 13, 64, 100_000] {
        let mut world = World::new();
        world.accepted(0);
        let frames = [link(VERSION, CLUSTER, 1), fence(SHARD), fence(SHARD), fence(ShardId(9)), fence(SHARD)];
        world.hears(0, &frames.concat(), piece);
        let one = (MemberId(1), SHARD, fence(SHARD));
        assert_eq!(
            world.heard,
            [one.clone(), one.clone(), one],
            "and none of a shard that is not in the map"
        );
    }
}

/// A run of the log has memory of its own, of its size, and leaves none behind.
#[test]
fn large_frames_come_whole_between_small_ones() {
    let blocks = |count: usize| -> Vec<u8> { (0..count * LOG_BLOCK).map(|at| (at / 7) as u8).collect() };
    let run = |shard, count: usize| {
        let stamp = Stamp { lineage: CLUSTER, epoch: Epoch(4), start: Start(1) };
        let (session, blocks) = (Session(3), blocks(count));
        encoded(
            shard,
            Message::Append(Append { stamp, session, sent_us: 5, committed: Index(1), blocks: &blocks }),
        )
    };
    let frames = [
        fence(SHARD),
        run(SHARD, 1),
        run(SHARD, 30),
        run(SHARD, 512),
        run(SHARD, 512),
        fence(SHARD),
        run(ShardId(9), 40), // of a shard that is not in the map
        run(SHARD, 8),
        fence(SHARD),
    ];
    let all = [&link(VERSION, CLUSTER, 1)[..], &frames.concat()].concat();
    for piece in [1_000, 4_096, 40_000, all.len()] {
        let mut world = World::new();
        world.accepted(0);
        world.hears(0, &all, piece);
        let expected: Vec<&Vec<u8>> =
            frames.iter().enumerate().filter(|(nth, _)| *nth != 6).map(|(_, f)| f).collect();
        assert_eq!(world.heard.iter().map(|(_, _, frame)| frame).collect::<Vec<_>>(), expected, "{piece}");
        assert!(world.heard.iter().all(|(_, _, frame)| frame.capacity() <= frame.len() + 64), "{piece}");
        assert_eq!(world.receiving[&0].0.len(), CONNECTION_INPUT, "{piece}");
    }
}

#[test]
fn whoever_does_not_belong_is_told_why() {
    let other = Lineage([1; 16]);
    let cases: [(Vec<u8>, &str); 5] = [
        (link(VERSION, other, 1), "it is of cluster 01010101"),
        (link(VERSION - 1, CLUSTER, 1), "it speaks version 0"),
        (link(VERSION, CLUSTER, 9), "member 9 is not in the map"),
        (link(VERSION, CLUSTER, 2), "member 2 does not dial"),
        (link(VERSION, CLUSTER, 3), "member 3 does not dial"),
    ];
    for (greeting, why) in cases {
        let mut world = World::new();
        world.accepted(0);
        world.hears(0, &[greeting, fence(SHARD)].concat(), 1000);
        assert_eq!(world.said(0), ["R_REFUSED"], "{why}");
        assert!(world.told.iter().any(|said| said.contains(why)), "{why}: {:?}", world.told);
        assert_eq!(world.closed, [0; 0], "it is to hear that");
        world.arrives(0);
        assert_eq!((&world.closed[..], &world.heard[..]), (&[0][..], &[][..]), "{why}");
    }
    // And the one that was dialled is another one.
    let mut world = World::new();
    world.step(LinkEvent::Dialled { to: MemberId(3), result: Ok(conn(0)) });
    world.arrives(0);
    world.hears(0, &link(VERSION, CLUSTER, 1), 1000);
    world.arrives(0);
    assert_eq!((&world.closed[..], world.state(3)), (&[0][..], "down"));
    let reason = world.links.status()[1].reason.clone();
    assert!(reason.is_some_and(|why| why.contains("it is member 1, and the map has member 3 there")));
}

#[test]
fn what_makes_no_sense_ends_the_link_with_its_reason() {
    let mut damaged = fence(SHARD);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let greeting = || link(VERSION, CLUSTER, 1);
    let cases: [(Vec<u8>, &str); 4] = [
        ([greeting(), damaged].concat(), "body_crc"),
        ([greeting(), greeting()].concat(), "R_LINK twice"),
        (fence(SHARD), "it began with R_FENCE"),
        (vec![b'x'; 200], "frame"),
    ];
    for (bytes, why) in cases {
        let mut world = World::new();
        world.accepted(0);
        world.hears(0, &bytes, 10_000);
        assert_eq!((&world.closed[..], &world.heard[..]), (&[0][..], &[][..]), "{why}");
        assert!(world.told.iter().any(|said| said.contains(why)), "{why}: {:?}", world.told);
        world.step(LinkEvent::Closed { conn: conn(0) });
        assert!(!world.links.owns(conn(0)));
    }
}

#[test]
fn a_lost_link_is_dialled_again_and_a_newer_one_takes_its_place() {
    let mut world = World::new();
    world.step(LinkEvent::Dialled { to: MemberId(3), result: Err("refused".to_owned()) });
    world.tick(LINK_RETRY_US - 1);
    assert_eq!(world.dialled.len(), 1, "not at once");
    world.tick(1);
    assert_eq!(world.dialled.len(), 2);
    world.step(LinkEvent::Dialled { to: MemberId(3), result: Err("refused".to_owned()) });
    assert_eq!(world.told, ["no link to member 3: refused"], "the same again is no news");
    world.tick(LINK_RETRY_US);
    world.step(LinkEvent::Dialled { to: MemberId(3), result: Ok(conn(0)) });
    world.tick(LINK_GREETING_US);
    assert_eq!((&world.closed[..], world.state(3)), (&[0][..], "down"), "it said nothing");

    world.accepted(1);
    world.hears(1, &link(VERSION, CLUSTER, 1), 1000);
    world.accepted(2);
    world.hears(2, &link(VERSION, CLUSTER, 1), 1000);
    assert_eq!((&world.closed[..], world.state(1)), (&[0, 1][..], "up"), "the member was started again");
    world.step(LinkEvent::Say { to: MemberId(1), frame: fence(SHARD) });
    world.arrives(2);
    assert_eq!((world.said(1), world.said(2)), (vec!["R_LINK"], vec!["R_LINK", "R_FENCE"]));
    let buf = world.receiving.remove(&2).expect("it is read").0;
    world.step(LinkEvent::Received { conn: conn(2), buf, result: Ok(0) });
    assert_eq!((&world.closed[..], world.state(1)), (&[0, 1, 2][..], "down"));
}

/// Members that are started one after the other find nobody at first. A link that was there and is gone is a failure at
/// once, and one that never comes is one after a while.
#[test]
fn a_link_that_never_was_is_a_failure_only_after_a_while() {
    let mut world = World::new();
    let refused = || LinkEvent::Dialled { to: MemberId(3), result: Err("refused".to_owned()) };
    world.step(refused());
    world.tick(LINK_RETRY_US);
    world.step(refused());
    assert_eq!((&world.told[..], world.failures), (&["no link to member 3: refused".to_owned()][..], 0));
    for _ in 0..2 {
        world.tick(5_000_000); // as long as commits would wait for it
        world.step(refused());
    }
    assert_eq!((world.told.len(), world.failures), (2, 1), "once");

    world.tick(LINK_RETRY_US);
    world.step(LinkEvent::Dialled { to: MemberId(3), result: Ok(conn(0)) });
    world.hears(0, &link(VERSION, CLUSTER, 3), 1000);
    assert_eq!(world.state(3), "up");
    let buf = world.receiving.remove(&0).expect("it is read").0;
    world.step(LinkEvent::Received { conn: conn(0), buf, result: Ok(0) });
    assert_eq!(world.failures, 2, "it was up: {:?}", world.told);
}

#[test]
fn what_nobody_takes_is_bounded() {
    let mut world = World::new();
    world.accepted(0);
    world.hears(0, &link(VERSION, CLUSTER, 1), 1000);
    let frame = vec![0; 1 << 20];
    for _ in 0..=LINK_OUTPUT >> 20 {
        assert_eq!(world.closed, [0; 0]);
        world.step(LinkEvent::Say { to: MemberId(1), frame: frame.clone() });
    }
    assert_eq!(world.closed, [0]);
    assert!(world.told.last().is_some_and(|said| said.contains("it takes nothing")), "{:?}", world.told);

    let mut world = World::new();
    for slot in 0..=u32::try_from(LINK_STRANGERS).expect("few") {
        assert_eq!(world.closed, [0; 0]);
        world.accepted(slot);
    }
    assert_eq!(world.closed, [0], "the oldest stranger gives way");
}

#[test]
fn a_part_that_was_sent_is_not_sent_twice() {
    let mut world = World::new();
    world.accepted(0);
    world.hears(0, &link(VERSION, CLUSTER, 1), 1000);
    let buf = world.sending.remove(&0).expect("R_LINK is under way");
    world.step(LinkEvent::Say { to: MemberId(1), frame: fence(SHARD) });
    world.sent.insert(0, buf[..10].to_vec());
    let rest = buf.len() - 10;
    world.step(LinkEvent::Sent { conn: conn(0), buf, result: Ok(10) });
    assert_eq!(world.said(0), ["R_LINK"], "and nothing before its rest");
    let buf = world.sending.remove(&0).expect("the rest is under way");
    world.step(LinkEvent::Sent { conn: conn(0), buf, result: Ok(rest) });
    assert_eq!(world.said(0), ["R_LINK", "R_FENCE"]);
}
