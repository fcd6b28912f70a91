//! What a leader ships: whole batches as they stand in its log, and the headers of segments before them (R9).

use seawall::limits::{LOG_BLOCK, RUN_MAX};
use seawall::position::Index;
use seawall::replication::{Append, encode_append};
use seawall_wal::Log;
use seawall_wal::format::{BatchHeader, SegmentHeader};

use super::lead::Stage;
use crate::params::REPLICA_WINDOW;
use crate::seam::Now;
use crate::shard::{Life, Shard, to_net, to_wal};

impl Shard {
    /// R9: what is durable at home goes out, verbatim, as far as each member's window allows.
    pub(in crate::shard) fn ship(&mut self, now: Now) {
        let (Life::Running(running), Some(membership)) = (&mut self.life, &mut self.membership) else {
            return;
        };
        let Some(lead) = &mut running.lead else { return };
        let stamp = lead.stamp(self.lineage);
        let committed = to_net(self.release.committed());
        let shard = self.id;
        for (member, sent) in &mut lead.members {
            while sent.stage == Stage::Streaming && sent.bytes < REPLICA_WINDOW {
                let Some(run) = next_run(&running.log, sent.next) else {
                    sent.goes(now, Stage::Behind, Some("it needs what is in memory no more".to_owned()));
                    break;
                };
                let Some((last, bytes)) = run.extent() else { break };
                let append =
                    Append { stamp, session: sent.session, sent_us: now.mono_us, committed, blocks: &[] };
                let mut frame = Vec::with_capacity(bytes + 256);
                encode_append(&mut frame, membership.generation(), shard, &append, run.parts());
                membership.said.push((*member, frame));
                sent.next = Index(last.0 + 1);
                if sent.under_way.is_empty() {
                    sent.moved_us = now.mono_us;
                }
                sent.under_way.push_back((last, bytes));
                sent.bytes += bytes;
            }
        }
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
        let opened = opened_by(log, header);
        let more = batch.len() + opened.len() * LOG_BLOCK;
        if run.bytes > 0 && run.bytes + more > RUN_MAX / 4 || more > RUN_MAX {
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
/// epoch came to nothing.
fn opened_by(log: &Log, first: &BatchHeader) -> Vec<Vec<u8>> {
    if first.offset != LOG_BLOCK as u64 {
        return Vec::new();
    }
    let here = |segment: &&SegmentHeader| {
        segment.first_index == first.first_index && segment.incarnation <= first.incarnation
    };
    let block = |segment: &SegmentHeader| {
        let mut block = vec![0; LOG_BLOCK];
        let bytes = bytemuck::bytes_of(segment);
        block[..bytes.len()].copy_from_slice(bytes);
        block
    };
    log.segment_headers().filter(here).map(block).collect()
}

impl Run<'_> {
    fn extent(&self) -> Option<(Index, usize)> {
        self.last.map(|last| (last, self.bytes))
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| match part {
            Part::Header(nth) => self.headers[*nth].as_slice(),
            Part::Batch(bytes) => bytes,
        })
    }
}
