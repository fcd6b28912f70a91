//! What a leader ships: whole batches as they stand in its log, and the headers of segments before them (R9).

use seawall::limits::{LOG_BLOCK, RUN_MAX};
use seawall::map::{Generation, MemberId, ShardId};
use seawall::position::Index;
use seawall::replication::{Append, Envelope, Message, Stamp, encode_append};
use seawall_wal::Log;
use seawall_wal::format::{BatchHeader, SegmentHeader};

use super::lead::{Sent, Stage};
use crate::params::REPLICA_WINDOW;
use crate::seam::Now;
use crate::shard::{Life, Shard, to_net, to_wal};

/// Writes R_APPENDs to members.
pub(super) struct Shipping<'a> {
    pub now: Now,
    pub said: &'a mut Vec<(MemberId, Vec<u8>)>,
    pub generation: Generation,
    pub shard: ShardId,
    pub stamp: Stamp,
    pub committed: Index,
}

impl Shard {
    /// R9: what is durable at home goes out, verbatim, as far as each member's window allows.
    pub(in crate::shard) fn ship(&mut self, now: Now) {
        let (Life::Running(running), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        let Some(lead) = &mut running.lead else { return };
        let stamp = lead.stamp(self.lineage);
        let (generation, committed) = (membership.generation(), to_net(self.release.committed()));
        let said = &mut membership.said;
        let mut shipping = Shipping { now, said, generation, shard: self.id, stamp, committed };
        for (member, sent) in &mut lead.members {
            while sent.stage == Stage::Streaming && sent.bytes < REPLICA_WINDOW {
                let Some(run) = next_run(&running.log, sent.next) else {
                    sent.falls_behind(now, to_net(running.log.durable()));
                    break;
                };
                let Some(last) = run.last else { break };
                shipping.send(*member, sent, run.parts(), last);
            }
        }
    }
}

impl Shipping<'_> {
    /// Blocks up to the index `last`, in as few messages as have room for them.
    pub fn send<'b>(
        &mut self,
        to: MemberId,
        sent: &mut Sent,
        parts: impl Iterator<Item = &'b [u8]>,
        last: Index,
    ) {
        let (mut waiting, mut waits, mut bytes): (Vec<&[u8]>, usize, usize) = (Vec::new(), 0, 0);
        for part in parts {
            if waits + part.len() > RUN_MAX {
                self.say(to, sent, waiting.drain(..), waits);
                waits = 0;
            }
            waiting.push(part);
            (waits, bytes) = (waits + part.len(), bytes + part.len());
        }
        self.say(to, sent, waiting.drain(..), waits);
        sent.next = Index(last.0 + 1);
        if sent.under_way.is_empty() {
            sent.moved_us = self.now.mono_us;
        }
        sent.under_way.push_back((last, bytes));
        sent.bytes += bytes;
    }

    pub fn tell(&mut self, to: MemberId, message: Message<'_>) {
        let mut frame = Vec::new();
        Envelope { generation: self.generation, shard: self.shard, message }.encode(&mut frame);
        self.said.push((to, frame));
    }

    fn say<'b>(&mut self, to: MemberId, sent: &Sent, parts: impl Iterator<Item = &'b [u8]>, bytes: usize) {
        let Self { now, generation, shard, stamp, committed, .. } = *self;
        let append = Append { stamp, session: sent.session, sent_us: now.mono_us, committed, blocks: &[] };
        let mut frame = Vec::with_capacity(bytes + 256);
        encode_append(&mut frame, generation, shard, &append, parts);
        self.said.push((to, frame));
    }
}

/// What goes into one R_APPEND.
struct Run<'a> {
    headers: Vec<Vec<u8>>,
    parts: Vec<Part<'a>>,
    last: Option<Index>,
    bytes: usize,
}

enum Part<'a> {
    Header(usize),
    Batch(&'a [u8]),
}

/// From `next` on; `None` if that is in memory no more. Nothing, if it is not durable yet.
fn next_run(log: &Log, next: Index) -> Option<Run<'_>> {
    let mut run = Run { headers: Vec::new(), parts: Vec::new(), last: None, bytes: 0 };
    if next.0 > log.durable().0 {
        return Some(run);
    }
    for (header, batch) in log.recent(to_wal(next))? {
        if header.first_index < next.0 && run.last.is_none() {
            return None; // positions are ends of batches: it holds a part of another one
        }
        let Some(opened) = opened_by(log, header) else {
            return Some(run).filter(|run| run.last.is_some());
        };
        let more = batch.len() + opened.len() * LOG_BLOCK;
        if run.bytes > 0 && run.bytes + more > RUN_MAX / 4 {
            break;
        }
        for block in opened {
            run.parts.push(Part::Header(run.headers.len()));
            run.headers.push(block);
        }
        run.parts.push(Part::Batch(batch));
        run.bytes += more;
        run.last = Some(to_net(header.last_index()));
    }
    Some(run)
}

/// The header blocks that stand before a segment's first batch: its own, and before it those of segments in which an
/// epoch came to nothing. `None`: the segment was used again, although its batches are in memory.
pub(super) fn opened_by(log: &Log, first: &BatchHeader) -> Option<Vec<Vec<u8>>> {
    if first.offset != LOG_BLOCK as u64 {
        return Some(Vec::new());
    }
    log.segment_headers().find(|segment| segment.incarnation == first.incarnation)?;
    let here = |segment: &&SegmentHeader| {
        segment.first_index == first.first_index && segment.incarnation <= first.incarnation
    };
    let block = |segment: &SegmentHeader| {
        let mut block = vec![0; LOG_BLOCK];
        let bytes = bytemuck::bytes_of(segment);
        block[..bytes.len()].copy_from_slice(bytes);
        block
    };
    Some(log.segment_headers().filter(here).map(block).collect())
}

impl Run<'_> {
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| match part {
            Part::Header(nth) => self.headers[*nth].as_slice(),
            Part::Batch(bytes) => bytes,
        })
    }
}
