//! What of a log is copied: the newest checkpoint and the segments behind it, up to the last batch that a later one
//! proves durable. What is only readable may be lost again by the node that is writing it.

use std::collections::VecDeque;

use seawall_wal::format::{FIRST_BATCH, SegmentHeader};
use seawall_wal::meta::Meta;
use seawall_wal::recover::Report;
use seawall_wal::{CheckpointId, FileId, Replayed, SlotId};

use crate::cli::log::{Failed, Progress, Shard, Visitor, ending, look};
use crate::driver::console;

pub struct Plan {
    pub shard: u32,
    /// Oldest first.
    pub segments: Vec<Piece>,
    /// Records behind the checkpoint.
    pub records: u64,
    /// Records that are not proven to be durable yet.
    pub left_out: u64,
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
    pub fn of(shard: &Shard, progress: &mut Progress) -> Result<Self, Failed> {
        let before = shard.writer();
        let mut ends = Ends::default();
        let looked = look(shard, progress, &mut ends)?;
        if looked.report.halt.is_some() {
            let (path, ending) = (shard.path.display(), ending(&looked));
            return Err(Failed::Damaged(format!("{path}: {ending}; a backup of it would be damaged, too")));
        }
        for corrupt in &looked.report.corrupt {
            let (path, file) = (shard.path.display(), FileId::Checkpoint(corrupt.id));
            console::complain(format_args!("{path}/{file} is damaged: {}; copied without it", corrupt.why));
        }
        // A log that nobody writes ends where the next start would say that it ends.
        let live = before.or(looked.writer).is_some();
        let mut segments: Vec<Piece> = Vec::new();
        let successors = looked.segments.iter().skip(1).map(|(_, next)| Some(next.pred_end)).chain([None]);
        for (&(slot, header), end) in looked.segments.iter().zip(successors) {
            let end = end.unwrap_or_else(|| ends.last_of(header.incarnation, live));
            segments.push(Piece { slot, header, end });
        }
        let open = segments.last().is_some_and(|last| last.header.incarnation == ends.segment);
        let left_out = if live && open { ends.unproven.iter().map(|batch| batch.records).sum() } else { 0 };
        let records = looked.report.records - left_out;
        Ok(Self {
            shard: shard.id.shard,
            segments,
            records,
            left_out,
            report: looked.report,
            meta: shard.meta(),
        })
    }

    pub fn checkpoint(&self) -> Option<CheckpointId> {
        self.report.checkpoint.map(|loaded| CheckpointId(loaded.cut.0))
    }
}

/// Where batches end, and which of them are proven.
#[derive(Default)]
struct Ends {
    /// The segment that was met last, and where its last proven batch ends.
    segment: u64,
    proven: u64,
    unproven: VecDeque<Batch>,
    last: Option<(u64, u64)>,
}

struct Batch {
    end: u64,
    last: u64,
    records: u64,
}

impl Ends {
    fn last_of(&self, incarnation: u64, live: bool) -> u64 {
        if self.segment != incarnation {
            return FIRST_BATCH; // it holds no batch yet
        }
        match self.unproven.back() {
            Some(batch) if !live => batch.end,
            _ => self.proven,
        }
    }
}

impl Visitor for Ends {
    fn begin(&mut self) {
        *self = Ends::default();
    }

    fn record(&mut self, replayed: &Replayed<'_>) {
        let header = &replayed.batch;
        let place = (header.incarnation, header.offset);
        if self.last.replace(place) == Some(place) {
            return;
        }
        if self.segment != header.incarnation {
            // The header of a segment is issued when all before it is durable.
            *self = Ends {
                segment: header.incarnation,
                proven: FIRST_BATCH,
                last: Some(place),
                ..Ends::default()
            };
        }
        let end = header.offset + header.blocks() as u64;
        let batch = Batch { end, last: header.last_index().0, records: u64::from(header.records) };
        self.unproven.push_back(batch);
        while let Some(batch) = self.unproven.pop_front_if(|batch| batch.last <= header.flushed_through) {
            self.proven = batch.end;
        }
    }
}
