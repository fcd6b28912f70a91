//! What of a log is copied: the newest checkpoint and the segments behind it, up to the last batch that is proven. In a
//! node that is alone a batch is proven when a later one says that it is durable: what is only readable may be lost again
//! by the node that is writing it. In a member of a cluster it is proven when it is known to be committed: the others may
//! yet agree to abandon what is only durable here.

use std::collections::VecDeque;

use seawall_wal::format::{FIRST_BATCH, SegmentHeader};
use seawall_wal::meta::Meta;
use seawall_wal::recover::Report;
use seawall_wal::{CheckpointId, FileId, Index, Replayed, SlotId};

use crate::cli::log::{Failed, Progress, Shard, Visitor, ending, look};
use crate::driver::console;

pub struct Plan {
    pub shard: u32,
    /// Oldest first.
    pub segments: Vec<Piece>,
    /// Records behind the checkpoint.
    pub records: u64,
    /// Records that are not proven yet.
    pub left_out: u64,
    /// Of the last of what is copied.
    pub epoch: u64,
    /// Of the whole log.
    pub report: Report,
    pub meta: Meta,
}

/// One segment, and where the log leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub slot: SlotId,
    pub header: SegmentHeader,
    pub end: u64,
}

impl Plan {
    pub fn of(shard: &Shard, of_member: bool, progress: &mut Progress) -> Result<Self, Failed> {
        let before = shard.writer();
        let proof = if of_member { Proof::Committed } else { Proof::Durable };
        let mut ends = Ends::new(proof);
        let looked = look(shard, progress, &mut ends)?;
        if looked.report.halt.is_some() {
            let (path, ending) = (shard.path.display(), ending(&looked));
            return Err(Failed::Damaged(format!("{path}: {ending}; a backup of it would be damaged, too")));
        }
        for corrupt in &looked.report.corrupt {
            let (path, file) = (shard.path.display(), FileId::Checkpoint(corrupt.id));
            console::complain(format_args!("{path}/{file} is damaged: {}; copied without it", corrupt.why));
        }
        let meta = shard.meta();
        let live = before.or(looked.writer).is_some();
        let last_header = looked.segments.last().map(|(_, header)| header.incarnation);
        match proof {
            Proof::Committed => ends.prove(meta.committed),
            // A log that nobody writes ends where the next start would say that it ends. And the header of a segment
            // is issued when all before it is durable.
            Proof::Durable if !live || last_header != ends.last.map(|(segment, _)| segment) => {
                ends.prove(looked.report.last);
            }
            Proof::Durable => {}
        }
        let segments = ends.pieces(&looked.segments);
        let left_out = ends.unproven.iter().map(|batch| batch.records).sum();
        Ok(Self {
            shard: shard.id.shard,
            epoch: segments.last().map_or(looked.report.found_epoch.0, |last| last.header.epoch),
            segments,
            records: looked.report.records - left_out,
            left_out,
            report: looked.report,
            meta,
        })
    }

    pub fn checkpoint(&self) -> Option<CheckpointId> {
        self.report.checkpoint.map(|loaded| CheckpointId(loaded.cut.0))
    }
}

/// What a later batch has to say of one.
#[derive(Clone, Copy)]
enum Proof {
    Durable,
    Committed,
}

/// Where batches end, and which of them are proven.
struct Ends {
    proof: Proof,
    unproven: VecDeque<Batch>,
    /// The segment of the batch that was met last, and where in it that batch ends.
    last: Option<(u64, u64)>,
    met: Option<(u64, u64)>,
}

struct Batch {
    segment: u64,
    begin: u64,
    last: Index,
    records: u64,
}

impl Ends {
    fn new(proof: Proof) -> Self {
        Self { proof, unproven: VecDeque::new(), last: None, met: None }
    }

    fn prove(&mut self, through: Index) {
        while self.unproven.pop_front_if(|batch| batch.last <= through).is_some() {}
    }

    /// The segments up to the first batch that is not proven, and where each of them ends.
    fn pieces(&self, all: &[(SlotId, SegmentHeader)]) -> Vec<Piece> {
        let cut = self.unproven.front().map(|batch| (batch.segment, batch.begin));
        let successors = all.iter().skip(1).map(|(_, next)| Some(next.pred_end)).chain([None]);
        let mut pieces = Vec::new();
        for (&(slot, header), end) in all.iter().zip(successors) {
            let is_in = |place: &(u64, u64)| place.0 == header.incarnation;
            if let Some((_, end)) = cut.filter(is_in) {
                // A segment of which nothing is proven may itself be abandoned; without any there is no log.
                if end > FIRST_BATCH || pieces.is_empty() {
                    pieces.push(Piece { slot, header, end });
                }
                break;
            }
            // The last one may hold no batch yet.
            let end = end.or(self.last.filter(is_in).map(|(_, end)| end)).unwrap_or(FIRST_BATCH);
            pieces.push(Piece { slot, header, end });
        }
        pieces
    }
}

impl Visitor for Ends {
    fn begin(&mut self) {
        *self = Self::new(self.proof);
    }

    fn record(&mut self, replayed: &Replayed<'_>) {
        let header = &replayed.batch;
        let place = (header.incarnation, header.offset);
        if self.met.replace(place) == Some(place) {
            return;
        }
        self.prove(match self.proof {
            Proof::Durable => Index(header.flushed_through),
            Proof::Committed => Index(header.committed_through),
        });
        self.unproven.push_back(Batch {
            segment: header.incarnation,
            begin: header.offset,
            last: header.last_index(),
            records: u64::from(header.records),
        });
        self.last = Some((header.incarnation, header.offset + header.blocks() as u64));
    }
}
