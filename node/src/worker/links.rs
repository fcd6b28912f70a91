//! Links to the other members: one connection for each pair of nodes. The member with the lower number dials; both begin
//! with R_LINK, and frames of all shards follow, each with its shard in the header.
//!
//! ```text
//! down -> dialling -> greeting -> up           a link that is accepted begins with greeting
//!   ^________|___________|________|            each way back has its reason
//! ```
//! A frame may be lost with its link, and nothing says so: whoever misses an answer says it again. What a shard hears was
//! checked here; what makes no sense ends the link. No I/O, no clock: as the rest of the core.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use seawall::frame::{Frame, Step};
use seawall::limits::PEER_BODY_MAX;
use seawall::map::{Generation, Map, MemberId, ShardId};
use seawall::position::{Epoch, Lineage};
use seawall::replication::{Envelope, Link, Message, Refused, Session, Stamp, Start, VERSION, Why};

use crate::params::{LINK_GREETING_US, LINK_OUTPUT, LINK_RETRY_US, LINK_STRANGERS};
use crate::seam::{ConnId, LinkEffect, LinkEvent, LinkStatus, Now, SocketError};

mod line;

use line::Line;

/// All links of a node; one of its workers has them.
#[derive(Debug)]
pub struct Links {
    me: MemberId,
    cluster: Lineage,
    start: Start,
    map: Option<Arc<Map>>,
    peers: BTreeMap<MemberId, Peer>,
    /// Few: one for each member, and those that have not said who they are, in the order in which they came.
    lines: VecDeque<Line>,
    next_word_us: u64,
}

/// Another member, with or without a link.
#[derive(Debug, Default)]
struct Peer {
    dialling: bool,
    next_dial_us: u64,
    reason: Option<String>,
    /// Since when it was tried in vain, and whether that was told as a failure: whoever is just starting is none.
    vain_since_us: Option<u64>,
    told: bool,
    times: u64,
    said: u64,
    lost: u64,
    heard: u64,
}

impl Links {
    /// `start` differs from that of every process before this one.
    pub fn new(me: MemberId, cluster: Lineage, start: u64) -> Self {
        let (peers, lines) = (BTreeMap::new(), VecDeque::new());
        Self { me, cluster, start: Start(start), map: None, peers, lines, next_word_us: 0 }
    }

    /// Whether what happens to a connection is to be told here.
    pub fn owns(&self, conn: ConnId) -> bool {
        self.lines.iter().any(|line| line.conn == conn)
    }

    /// Nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn step(&mut self, now: Now, event: LinkEvent, effects: &mut Vec<LinkEffect>) {
        match event {
            LinkEvent::MapChanged(map) => {
                let others = map.parts().members.iter().filter(|member| member.id != self.me);
                for member in others {
                    self.peers.entry(member.id).or_default();
                }
                self.map = Some(map);
                self.dial(now, effects);
            }
            LinkEvent::Accepted { conn } => self.accepted(now, conn, effects),
            LinkEvent::Dialled { to, result } => self.dialled(now, to, result, effects),
            LinkEvent::Received { conn, buf, result } => self.received(now, conn, buf, result, effects),
            LinkEvent::Sent { conn, buf, result } => self.sent(now, conn, buf, result, effects),
            LinkEvent::Closed { conn } => self.lines.retain(|line| line.conn != conn),
            LinkEvent::Say { to, frame } => self.say(now, to, frame, effects),
            LinkEvent::Tick => self.tick(now, effects),
            LinkEvent::EndOfTurn => self.lines.iter_mut().for_each(|line| line.flush(effects)),
        }
    }

    pub fn status(&self) -> Vec<LinkStatus> {
        let one = |(member, peer): (&MemberId, &Peer)| {
            let line = self.lines.iter().find(|line| line.member == Some(*member) && !line.closing);
            let state = match line {
                Some(line) if line.up => "up",
                Some(_) => "greeting",
                None if peer.dialling => "dialling",
                None => "down",
            };
            let waiting = line.map_or(0, Line::waiting);
            let Peer { times, said, lost, heard, .. } = *peer;
            let reason = peer.reason.clone();
            LinkStatus { member: *member, state, reason, times, said, lost, heard, waiting }
        };
        self.peers.iter().map(one).collect()
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<LinkEffect>) {
        let late =
            |line: &&Line| !line.up && !line.closing && now.mono_us >= line.since_us + LINK_GREETING_US;
        let late: Vec<ConnId> = self.lines.iter().filter(late).map(|line| line.conn).collect();
        late.into_iter().for_each(|conn| self.end(now, conn, "it did not say who it is in time", effects));
        self.dial(now, effects);
    }

    /// Connects to whoever has a higher number and no link.
    fn dial(&mut self, now: Now, effects: &mut Vec<LinkEffect>) {
        let Self { me, map: Some(map), peers, lines, .. } = self else { return };
        for (member, peer) in peers.range_mut(MemberId(me.0 + 1)..) {
            let linked = lines.iter().any(|line| line.member == Some(*member) && !line.closing);
            if linked || peer.dialling || now.mono_us < peer.next_dial_us {
                continue;
            }
            let Some(there) = map.member(*member) else { continue };
            peer.dialling = true;
            effects.push(LinkEffect::Dial { to: *member, address: there.peer.clone() });
        }
    }

    fn dialled(
        &mut self,
        now: Now,
        to: MemberId,
        result: Result<ConnId, String>,
        effects: &mut Vec<LinkEffect>,
    ) {
        let peer = self.peers.entry(to).or_default();
        (peer.dialling, peer.next_dial_us) = (false, now.mono_us + LINK_RETRY_US);
        let conn = match result {
            Ok(conn) => conn,
            Err(why) => return self.lost(now, to, why, effects),
        };
        let mut line = Line::new(conn, Some(to), now);
        line.say(&self.greeting(), Generation::ANY);
        self.lines.push_back(line);
    }

    fn accepted(&mut self, now: Now, conn: ConnId, effects: &mut Vec<LinkEffect>) {
        self.lines.push_back(Line::new(conn, None, now));
        let strangers = || self.lines.iter().filter(|line| line.member.is_none() && !line.closing);
        if strangers().count() > LINK_STRANGERS
            && let Some(oldest) = strangers().next().map(|line| line.conn)
        {
            self.end(now, oldest, "too many connect and do not say who they are", effects);
        }
    }

    fn greeting(&self) -> Message<'static> {
        let Self { me, cluster, start, .. } = *self;
        Message::Link(Link { version: VERSION, cluster, member: me, start, features: 0 })
    }

    fn say(&mut self, now: Now, to: MemberId, frame: Vec<u8>, effects: &mut Vec<LinkEffect>) {
        let peer = self.peers.entry(to).or_default();
        peer.said += 1;
        let Some(line) = self.lines.iter_mut().find(|line| line.member == Some(to) && line.is_open()) else {
            peer.lost += 1;
            return;
        };
        line.push(frame);
        if line.waiting() > LINK_OUTPUT {
            let (conn, why) = (line.conn, format!("it takes nothing, and {LINK_OUTPUT} bytes wait for it"));
            self.end(now, conn, &why, effects);
        }
    }

    fn received(
        &mut self,
        now: Now,
        conn: ConnId,
        buf: Vec<u8>,
        result: Result<usize, SocketError>,
        effects: &mut Vec<LinkEffect>,
    ) {
        let Some(line) = self.line(conn) else { return };
        (line.input, line.receiving) = (buf, false);
        if line.closing {
            return;
        }
        match result {
            Ok(0) => return self.end(now, conn, "the other end closed it", effects),
            Err(SocketError(errno)) => {
                let why = std::io::Error::from_raw_os_error(errno).to_string();
                return self.end(now, conn, &why, effects);
            }
            Ok(moved) => line.filled += moved,
        }
        let mut bytes = std::mem::take(&mut line.input);
        let (mut used, filled) = (0, line.filled);
        let need = loop {
            let Some(line) = self.line(conn).filter(|line| !line.closing && !line.last_words) else { return };
            let mut decoder = line.decoder.clone();
            let rest = bytes.get(used..filled).unwrap_or_default();
            let taken = match decoder.next(rest) {
                Ok(Step::Need(need)) => {
                    line.decoder = decoder;
                    break need;
                }
                Ok(Step::Frame(frame, taken)) => {
                    line.decoder = decoder;
                    self.take(now, conn, &frame, effects).map(|heard| (taken, heard))
                }
                Err(refusal) => Err(refusal.to_string()),
            };
            let (taken, heard) = match taken {
                Ok(taken) => taken,
                Err(why) => return self.end(now, conn, &why, effects),
            };
            if let Some((from, shard)) = heard {
                let whole = taken == bytes.len(); // a large one, in memory of its own
                let frame =
                    if whole { std::mem::take(&mut bytes) } else { bytes[used..used + taken].to_vec() };
                effects.push(LinkEffect::Heard { from, shard, frame });
            }
            used += taken;
        };
        if let Some(line) = self.line(conn) {
            line.give_back(bytes, used, need);
        }
    }

    /// One whole frame: whose it is, if it is a shard's; `Err` ends the link.
    fn take(
        &mut self,
        now: Now,
        conn: ConnId,
        frame: &Frame<'_>,
        effects: &mut Vec<LinkEffect>,
    ) -> Result<Option<(MemberId, ShardId)>, String> {
        let envelope = Envelope::decode(frame).map_err(|refusal| refusal.to_string())?;
        let line = self.line(conn).expect("its bytes are being read");
        match (line.member, line.up, envelope.message) {
            (_, false, Message::Link(link)) => {
                self.greeted(now, conn, link, effects);
                Ok(None)
            }
            (_, false, Message::Refused(refused)) => Err(format!("it refused: {}", refused.text)),
            (_, false, other) => Err(format!("it began with {}, and not with R_LINK", other.opcode().name())),
            (_, true, Message::Link(_)) => Err("it said R_LINK twice".to_owned()),
            (Some(_), true, Message::Refused(refused)) if envelope.shard == ShardId::ANY => {
                Err(format!("it refused: {}", refused.text))
            }
            (Some(from), true, _) => {
                self.peers.entry(from).or_default().heard += 1;
                let known = |map: &Arc<Map>| map.replicas(envelope.shard).is_some();
                // A shard that is not known here is of a map that is newer than this one.
                Ok(self.map.as_ref().is_some_and(known).then_some((from, envelope.shard)))
            }
            (None, true, _) => unreachable!("whoever greeted has a number"),
        }
    }

    fn greeted(&mut self, now: Now, conn: ConnId, link: Link, effects: &mut Vec<LinkEffect>) {
        if let Err((why, text)) = self.judge(conn, &link) {
            self.refuse(conn, why, &text);
            self.note(now, conn, &text, effects);
            return;
        }
        let member = link.member;
        let older = self.lines.iter().find(|line| line.member == Some(member) && line.conn != conn);
        if let Some(older) = older.filter(|line| !line.closing).map(|line| line.conn) {
            self.end(now, older, "a newer link takes its place", effects);
        }
        let greeting = self.greeting();
        let line = self.line(conn).expect("its bytes are being read");
        if line.member.is_none() {
            line.say(&greeting, Generation::ANY);
        }
        (line.member, line.up) = (Some(member), true);
        line.decoder.set_limit(PEER_BODY_MAX);
        let peer = self.peers.entry(member).or_default();
        (peer.times, peer.reason, peer.vain_since_us, peer.told) = (peer.times + 1, None, None, false);
        effects.push(LinkEffect::Told { said: format!("member {member} is linked"), lost: false });
    }

    /// Whether whoever says this may be at the other end.
    fn judge(&self, conn: ConnId, link: &Link) -> Result<(), (Why, String)> {
        let Link { version, cluster, member, .. } = *link;
        if version < VERSION {
            let text = format!("it speaks version {version} of what members say, and {VERSION} is needed");
            return Err((Why::Version { newest: VERSION }, text));
        }
        if cluster != self.cluster {
            let text = format!("it is of cluster {cluster}, and this member of cluster {}", self.cluster);
            return Err((Why::Lineage, text));
        }
        let known = self.map.as_ref().is_some_and(|map| map.member(member).is_some());
        let expected = self.lines.iter().find(|line| line.conn == conn).and_then(|line| line.member);
        match expected {
            Some(expected) if expected != member => Err((
                Why::NotInMap,
                format!("it is member {member}, and the map has member {expected} there"),
            )),
            Some(_) => Ok(()),
            None if !known => Err((Why::NotInMap, format!("member {member} is not in the map here"))),
            None if member >= self.me => {
                Err((Why::NotInMap, format!("member {member} does not dial: member {} does", self.me)))
            }
            None => Ok(()),
        }
    }

    fn refuse(&mut self, conn: ConnId, why: Why, text: &str) {
        let stamp = Stamp { lineage: self.cluster, epoch: Epoch(0), start: self.start };
        let generation = self.map.as_ref().map_or(Generation::ANY, |map| map.generation());
        let Some(line) = self.line(conn) else { return };
        line.say(&Message::Refused(Refused { stamp, session: Session(0), why, text }), generation);
        line.last_words = true;
    }

    fn sent(
        &mut self,
        now: Now,
        conn: ConnId,
        buf: Vec<u8>,
        result: Result<usize, SocketError>,
        effects: &mut Vec<LinkEffect>,
    ) {
        let Some(line) = self.line(conn) else { return };
        line.sending = false;
        if line.closing {
            return;
        }
        match result {
            Ok(moved) => line.sent(buf, moved),
            Err(SocketError(errno)) => {
                let why = std::io::Error::from_raw_os_error(errno).to_string();
                self.end(now, conn, &why, effects);
            }
        }
    }

    /// The connection ends, and why is shown.
    fn end(&mut self, now: Now, conn: ConnId, why: &str, effects: &mut Vec<LinkEffect>) {
        if let Some(line) = self.line(conn)
            && !line.closing
        {
            line.closing = true;
            effects.push(LinkEffect::Close { conn });
            self.note(now, conn, why, effects);
        }
    }

    fn note(&mut self, now: Now, conn: ConnId, why: &str, effects: &mut Vec<LinkEffect>) {
        let Some(member) = self.line(conn).map(|line| line.member) else { return };
        match member {
            Some(member) => {
                self.peers.entry(member).or_default().next_dial_us = now.mono_us + LINK_RETRY_US;
                self.lost(now, member, why.to_owned(), effects);
            }
            // Strangers must not fill the console.
            None if now.mono_us >= self.next_word_us => {
                self.next_word_us = now.mono_us + LINK_GREETING_US;
                effects.push(LinkEffect::Told { said: format!("a link was closed: {why}"), lost: false });
            }
            None => {}
        }
    }

    /// Said when it is news: the same reason, attempt after attempt, is none. A link that never was is a failure once it
    /// has not come up for as long as commits would wait for a member that is silent.
    fn lost(&mut self, now: Now, member: MemberId, why: String, effects: &mut Vec<LinkEffect>) {
        let patience_us = self.patience_us();
        let peer = self.peers.entry(member).or_default();
        let since_us = *peer.vain_since_us.get_or_insert(now.mono_us);
        let lost = peer.times > 0 || now.mono_us >= since_us.saturating_add(patience_us);
        if peer.reason.as_ref() != Some(&why) || (lost && !peer.told) {
            let said = format!("no link to member {member}: {why}");
            effects.push(LinkEffect::Told { said, lost });
            (peer.reason, peer.told) = (Some(why), lost);
        }
    }

    fn patience_us(&self) -> u64 {
        let shards = self.map.iter().flat_map(|map| &map.parts().replicas);
        let longest = shards.map(|entry| entry.policy.member_timeout_ms).max();
        longest.map_or(LINK_GREETING_US, |ms| u64::from(ms) * 1000)
    }

    fn line(&mut self, conn: ConnId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.conn == conn)
    }
}
