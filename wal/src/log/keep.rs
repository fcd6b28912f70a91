//! What a log keeps on disk, and for how long: spares are prepared, closed segments become a checkpoint, and their
//! slots return to the pool. All of it beside the commit path: nothing here endangers what was appended.

use std::collections::VecDeque;

use super::Log;
use super::follow::Follower;
use super::remember::Wish;
use crate::checkpoint::{Boundary, FoldLimits, Folded};
use crate::format::{Incarnation, LogId, SegmentHeader};
use crate::io::{FoldDone, FoldError, FoldJob};
use crate::meta::Meta;
use crate::scrub::{ScrubJob, Scrubbed, What};
use crate::segments::{Closed, Pool, Recycled, Segments};
use crate::{CheckpointId, Epoch, FileId, Index, Io, IoError, IoId, IoStep, LogLimits, SlotId};

/// A checkpoint that was flushed and read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub boundary: Boundary,
    pub bytes: u64,
}

impl Checkpoint {
    pub fn id(&self) -> CheckpointId {
        CheckpointId(self.boundary.cut.index.0)
    }
}

impl Folded {
    /// The name of the new checkpoint.
    pub fn checkpoint(&self) -> CheckpointId {
        CheckpointId(self.boundary.cut.index.0)
    }
}

/// The files of a log but for the segment being written.
#[derive(Debug)]
pub(super) struct Keep {
    id: LogId,
    limits: LogLimits,
    pub segments: Segments,
    /// Oldest first.
    checkpoints: VecDeque<Checkpoint>,
    /// Of the newest one's entries: 64 bits of it, as members tell each other.
    pub digest: Option<(Index, u128)>,
    /// A fold goes on, in rounds, until it covers this segment.
    goal: Incarnation,
    folding: Option<IoId>,
    fold_error: Option<FoldError>,
    /// Readers need the records from here on.
    floor: Index,
    preparing: Option<IoId>,
    prepare_error: Option<IoError>,
    /// An error stands until an attempt goes well; another one is due.
    retrying: bool,
    retry_fold: bool,
    /// Checkpoints that cannot be believed; evidence until a newer one is made.
    corrupt: Vec<CheckpointId>,
    /// Read again since they were made, and not whole, for as long as their files are here.
    rotten: Vec<CheckpointId>,
    /// Checkpoints that somebody reads: they are not removed.
    pub held: Vec<CheckpointId>,
    /// No fold begins any more.
    pub still: bool,
    outdated: VecDeque<FileId>,
    removing: Option<(IoId, FileId)>,
}

impl Keep {
    pub fn new(
        id: LogId,
        limits: LogLimits,
        pool: Pool,
        checkpoints: Vec<Checkpoint>,
        corrupt: Vec<CheckpointId>,
    ) -> Self {
        let mut keep = Self {
            id,
            limits,
            segments: Segments::new(limits, pool),
            checkpoints: checkpoints.into(),
            digest: None,
            goal: Incarnation(0),
            folding: None,
            fold_error: None,
            floor: Index(u64::MAX),
            preparing: None,
            prepare_error: None,
            retrying: false,
            retry_fold: false,
            corrupt,
            rotten: Vec::new(),
            held: Vec::new(),
            still: false,
            outdated: VecDeque::new(),
            removing: None,
        };
        keep.let_go();
        keep
    }

    pub fn newest(&self) -> Option<&Checkpoint> {
        self.checkpoints.back()
    }

    fn checkpoint_bytes(&self) -> u64 {
        self.newest().map_or(0, |newest| newest.bytes)
    }

    /// The next slot to make, if spares run low.
    fn prepare(&mut self, id: IoId) -> Option<Io> {
        if self.prepare_error.is_some() && !self.retrying {
            return None;
        }
        let spare = self.segments.prepare(self.checkpoint_bytes())?;
        self.retrying = false;
        self.preparing = Some(id);
        Some(Io::Prepare { id, slot: spare.slot, bytes: spare.bytes })
    }

    /// The next round of a fold, if enough log has closed since the last one. Only wholly committed segments (R8), and a
    /// record behind them is committed, too: where a segment ends is settled by what follows it. A leader that came to
    /// nothing may have closed it sooner than the log that everybody has now.
    fn fold(&mut self, id: IoId, committed: Index) -> Option<Io> {
        if self.still
            || self.folding.is_some()
            || self.removing.is_some()
            || (self.fold_error.is_some() && !self.retry_fold)
        {
            return None;
        }
        let done = self.newest().map_or(Incarnation(0), |newest| newest.boundary.incarnation);
        let foldable = || self.segments.closed_after(done).take_while(|c| c.last < committed);
        if self.goal <= done {
            // The first segment with which it is worth it, however many more are closed by now: so replicas fold at
            // the same boundaries, also where one of them catches up.
            let (mut bytes, size) = (0, self.checkpoint_bytes());
            let worth_it = foldable().zip(1..).find(|(closed, count)| {
                bytes += closed.end;
                // A checkpoint of nothing would only bind an empty log to segments of epochs that came to nothing.
                closed.last > Index(0) && self.limits.fold.should_fold(bytes, *count, size)
            });
            self.goal = worth_it?.0.incarnation;
        }
        let segments: Vec<_> =
            foldable().take_while(|c| c.incarnation <= self.goal).map(|c| (c.slot, c.end)).collect();
        if segments.is_empty() {
            return None; // the next segment is just beginning
        }
        let limits = FoldLimits { committed, changes: self.limits.fold_changes };
        let previous = self.newest().map(Checkpoint::id);
        (self.folding, self.retry_fold) = (Some(id), false);
        Some(Io::Fold(FoldJob { id, log: self.id, previous, segments, limits }))
    }

    fn remove(&mut self, id: IoId) -> Option<Io> {
        // A fold may be making the very name that is to go: one of the two is under way, never both.
        if self.removing.is_some() || self.folding.is_some() {
            return None;
        }
        let held = |file: &FileId| matches!(file, FileId::Checkpoint(id) if self.held.contains(id));
        let nth = self.outdated.iter().position(|file| !held(file))?;
        let file = self.outdated.remove(nth)?;
        self.rotten.retain(|id| file != FileId::Checkpoint(*id));
        self.removing = Some((id, file));
        Some(Io::Remove { id, file })
    }

    fn folded(&mut self, folded: &Folded) {
        let boundary = folded.boundary;
        // The next segment may be beginning just now: what was given to the fold is closed all the same.
        let end = self.segments.closed(boundary.incarnation);
        let end = end.map(|c| (c.end, c.last));
        assert_eq!(end, Some((boundary.end, boundary.cut.index)), "a fold ends where a closed segment ends");
        let newest = Checkpoint { boundary, bytes: folded.finished.bytes };
        let others = self.corrupt.drain(..).filter(|id| *id != newest.id());
        self.outdated.extend(others.map(FileId::Checkpoint));
        // Segments without a record move the end and not the cut: the file was replaced, and is still one.
        if self.newest().is_some_and(|last| last.id() == newest.id()) {
            self.checkpoints.pop_back();
        }
        self.outdated.retain(|file| *file != FileId::Checkpoint(newest.id()));
        self.rotten.retain(|id| *id != newest.id());
        self.checkpoints.push_back(newest);
        self.digest = Some((newest.boundary.cut.index, folded.finished.digest & u128::from(u64::MAX)));
        self.fold_error = None;
        self.let_go();
    }

    /// A checkpoint was read again, and is not whole: the next one is made of what lies before it, if all of that is here.
    /// It has the same bytes where it ends at the same place. Whether it can be made.
    fn distrust(&mut self, id: CheckpointId) -> bool {
        let Some(nth) = self.checkpoints.iter().position(|kept| kept.id() == id) else { return false };
        self.rotten.push(id);
        let from_the_beginning = self.segments.headers().next().is_some_and(|header| header.first_index == 1);
        if self.checkpoints.len() == 1 && !from_the_beginning {
            return false; // it came from another member: nothing before it was ever here
        }
        self.checkpoints.remove(nth);
        self.corrupt.push(id);
        true
    }

    fn held_bytes(&self) -> u64 {
        let enough = self.checkpoints.len() >= self.limits.checkpoints;
        let oldest = self.checkpoints.front().filter(|_| enough);
        oldest.map_or(0, |oldest| self.segments.held_bytes(oldest.boundary.incarnation))
    }

    /// What the checkpoints that are kept make superfluous. With fewer than are to be kept, the log back to its
    /// beginning is what stands in for the missing one.
    pub fn let_go(&mut self) {
        while self.checkpoints.len() > self.limits.checkpoints {
            self.outdated.extend(self.checkpoints.pop_front().map(|c| FileId::Checkpoint(c.id())));
        }
        if self.checkpoints.len() < self.limits.checkpoints {
            return;
        }
        let Some(oldest) = self.checkpoints.front() else { return };
        let (covered, bytes) = (oldest.boundary.incarnation, self.checkpoint_bytes());
        while let Some(recycled) = self.segments.recycle(covered, self.floor, bytes) {
            if let Recycled::Outgrown(slot) = recycled {
                self.outdated.push_back(FileId::Slot(slot));
            }
        }
    }
}

impl Keep {
    /// Emits what keeps the pool filled and the log short. `next_io` is the number of the last operation.
    pub fn pump(&mut self, next_io: &mut u64, committed: Index, out: &mut Vec<Io>) {
        let mut emit = |io: Option<Io>| {
            *next_io += u64::from(io.is_some());
            out.extend(io);
            IoId(*next_io + 1)
        };
        let id = emit(None);
        let io = self.prepare(id);
        let id = emit(io);
        let io = self.fold(id, committed);
        let id = emit(io);
        let io = self.remove(id);
        emit(io);
    }

    /// Takes back a fold; whether it went well.
    pub fn fold_ended(&mut self, done: FoldDone) -> bool {
        assert_eq!(self.folding.take(), Some(done.id), "one fold is under way at a time");
        match done.result {
            Ok(folded) => {
                self.folded(&folded);
                true
            }
            Err(error) => {
                self.fold_error = Some(error);
                false
            }
        }
    }

    /// Takes back an operation that is none of the commit path's.
    pub fn ended(&mut self, id: IoId, result: Result<usize, IoError>) -> bool {
        if self.preparing == Some(id) {
            self.preparing = None;
            self.prepare_ended(result);
            return true;
        }
        if let Some((_, file)) = self.removing.take_if(|(removing, _)| *removing == id) {
            // The next start finds the file, and tries again.
            if let Err(error) = result {
                let error = IoError { step: IoStep::Remove, ..error };
                self.fold_error = Some(FoldError::Io { file: file.to_string(), error });
            }
            return true;
        }
        false
    }

    pub fn outstanding(&self) -> bool {
        self.preparing.is_some() || self.removing.is_some()
    }

    /// A slot that cannot be made does not endanger the log: what was appended has its place already.
    fn prepare_ended(&mut self, result: Result<usize, IoError>) {
        match result {
            Ok(_) => {
                self.segments.prepared();
                self.prepare_error = None;
            }
            Err(error) => {
                self.segments.prepare_failed();
                self.prepare_error = Some(error);
            }
        }
    }
}

/// What a running log and a follower's say and take alike of what they keep.
macro_rules! keeps {
    ($log:ty) => {
        impl $log {
            /// Why the log could not grow when it last tried to.
            pub fn prepare_error(&self) -> Option<IoError> {
                self.keep.prepare_error
            }

            /// Why there is no newer checkpoint. The log stays as long as it is.
            pub fn fold_error(&self) -> Option<&FoldError> {
                self.keep.fold_error.as_ref()
            }

            /// After a failed preparation (no space, say): the next `pump` tries again.
            pub fn retry_prepare(&mut self) {
                let keep = &mut self.keep;
                keep.retrying = keep.prepare_error.is_some() && keep.preparing.is_none();
            }

            /// The same for a fold, unless it met bytes that are not whole any more.
            pub fn retry_fold(&mut self) {
                self.keep.retry_fold = matches!(self.keep.fold_error, Some(FoldError::Io { .. }));
            }

            /// The newest checkpoint.
            pub fn checkpoint(&self) -> Option<&Checkpoint> {
                self.keep.newest()
            }

            /// Somebody (a follower, the archive, a cursor) still reads the records from `floor` on; `None`: nobody
            /// does.
            pub fn set_floor(&mut self, floor: Option<Index>) {
                self.keep.floor = floor.unwrap_or(Index(u64::MAX));
                self.keep.let_go();
            }

            /// Bytes of slots that are kept for the floor alone.
            pub fn held_bytes(&self) -> u64 {
                self.keep.held_bytes()
            }

            /// Is a fold under way? It is the one operation that `outstanding` does not count: whoever stops may
            /// break it off.
            pub fn folding(&self) -> bool {
                self.keep.folding.is_some()
            }

            /// Each epoch that begins in the segments that are kept, and its first index. What lies before them, the
            /// checkpoint knows.
            pub fn epochs(&self) -> impl Iterator<Item = (Epoch, Index)> + use<'_> {
                self.keep.segments.epochs()
            }

            /// The headers of the segments that are kept, oldest first.
            pub fn segment_headers(&self) -> impl DoubleEndedIterator<Item = &SegmentHeader> {
                self.keep.segments.headers()
            }

            /// The segments that take no batch any more and whose ends are recorded for good, oldest first.
            pub fn closed_segments(&self) -> impl Iterator<Item = &Closed> {
                self.keep.segments.closed_after(Incarnation(0))
            }

            /// What a round of reading everything again reads next; `None`: it is at its end.
            pub fn scrub(&self, done: Scrubbed) -> Option<ScrubJob> {
                let Keep { id, limits, checkpoints, segments, .. } = &self.keep;
                let job = |what| ScrubJob::new(*id, what, limits.buffer_bytes);
                let mut from_newest = checkpoints.iter().rev();
                let (checkpoint, after) = match done {
                    Scrubbed::Nothing => (from_newest.next(), Incarnation(0)),
                    Scrubbed::DownTo(id) => (from_newest.find(|older| older.id() < id), Incarnation(0)),
                    Scrubbed::Through(incarnation) => (None, incarnation),
                };
                let next = || segments.closed_after(after).next();
                checkpoint
                    .map(|checkpoint| job(What::Checkpoint(*checkpoint)))
                    .or_else(|| Some(job(What::Segment(*next()?))))
            }

            /// Whether what was read again is still what the log keeps: a slot may have been used again meanwhile.
            pub fn keeps(&self, job: &ScrubJob) -> bool {
                match job.what() {
                    What::Checkpoint(checkpoint) => self.keep.checkpoints.contains(checkpoint),
                    What::Segment(closed) => self.keep.segments.closed(closed.incarnation) == Some(closed),
                }
            }

            /// A fold, or an adoption, may have put another file in the place of this checkpoint, and nothing was heard of it
            /// yet: segments without a record move its end, and leave it its name.
            pub fn may_have_replaced(&self, job: &ScrubJob) -> bool {
                let Keep { folding, still, .. } = &self.keep;
                matches!(job.what(), What::Checkpoint(_)) && (folding.is_some() || *still)
            }

            /// Whether it was read again, and is not whole. Such a one goes to nobody.
            pub fn is_rotten(&self, checkpoint: CheckpointId) -> bool {
                self.keep.rotten.contains(&checkpoint)
            }

            /// The segment that may take further batches, and its slot. Its durable end is where the batch with the
            /// last durable index ends.
            pub fn open_segment(&self) -> Option<(SlotId, &SegmentHeader)> {
                let current = self.keep.segments.current.as_ref().filter(|current| current.header_durable);
                current.map(|current| (current.slot, &current.header))
            }

            /// The closed segment that holds `index`.
            pub fn segment_holding(&self, index: Index) -> Option<&Closed> {
                self.keep.segments.holding(index)
            }

            /// Changes the small metadata (R6). It is durable when `remembered` has reached the number of the wish.
            pub fn wish(&mut self, change: impl FnOnce(&mut Meta)) -> Wish {
                self.memory.wish(change)
            }

            /// The last wish that is durable, with all before it.
            pub fn remembered(&self) -> Wish {
                self.memory.remembered()
            }

            /// The metadata as it is on disk.
            pub fn meta(&self) -> &Meta {
                self.memory.durable()
            }

            /// With every wish, durable or not.
            pub fn wanted(&self) -> &Meta {
                self.memory.wanted()
            }
        }
    };
}

impl Log {
    /// Takes back a fold. Whether the checkpoint that it began with is not whole, and the next one is made without it.
    pub fn folded(&mut self, done: FoldDone) -> bool {
        let rotten = match done.result {
            Err(FoldError::Fault { file: FileId::Checkpoint(id), .. }) => Some(id),
            _ => None,
        };
        self.stats.folds += u64::from(self.keep.fold_ended(done));
        let mends = rotten.is_some_and(|id| self.keep.distrust(id));
        self.keep.fold_error.take_if(|_| mends);
        mends
    }

    /// What was read again is not whole. Whether what is rotten is a checkpoint that is made again.
    pub fn found_rotten(&mut self, job: &ScrubJob) -> bool {
        match job.what() {
            What::Checkpoint(checkpoint) => self.keep.distrust(checkpoint.id()),
            What::Segment(_) => false,
        }
    }
}

keeps!(Log);
keeps!(Follower);
