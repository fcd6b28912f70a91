//! The checkpoint that the log continues: the newest one, or, loudly, an older one that the log still reaches back to
//! (R8). Nothing of it counts before its digest was checked.

use super::{Halt, Phase, Recovery, Replay, Sink};
use crate::buffer::BLOCK;
use crate::checkpoint::{Boundary, Fault, Stream};
use crate::recover::report::{Corrupt, Loaded};
use crate::{Checkpoint, CheckpointId, FileId, Io};

/// A checkpoint file whose header is whole.
#[derive(Debug)]
pub struct Candidate {
    pub id: CheckpointId,
    pub bytes: u64,
    pub stream: Stream,
}

impl Recovery {
    /// Where the log begins that is to be replayed.
    pub(super) fn boundary(&self) -> Boundary {
        self.base.map_or(Boundary::start(self.id), |base| base.boundary)
    }

    /// Reads the first block of `checkpoints[n]`.
    pub(super) fn next_cut(&mut self, n: usize, out: &mut Vec<Io>) -> Result<(), Halt> {
        let Some((id, bytes)) = self.checkpoints.get(n).copied() else {
            return self.next_candidate(out);
        };
        if bytes < 2 * BLOCK as u64 {
            self.corrupt(id, 0, format!("{bytes} bytes are too few for a checkpoint"));
            return self.next_cut(n + 1, out);
        }
        self.phase = Phase::Cuts(n);
        self.read(FileId::Checkpoint(id), 0, BLOCK, out);
        Ok(())
    }

    pub(super) fn cut(&mut self, n: usize, block: &[u8], out: &mut Vec<Io>) -> Result<(), Halt> {
        let (id, bytes) = self.checkpoints[n];
        match Stream::open(block, bytes, &self.id) {
            Ok(stream) if stream.boundary().cut.index.0 != id.0 => {
                let cut = stream.boundary().cut.index.0;
                self.corrupt(id, 0, format!("its name and its header disagree: the cut in it is {cut}"));
            }
            Ok(stream) => self.candidates.push(Candidate { id, bytes, stream }),
            Err(fault) => self.fault(id, &fault),
        }
        self.next_cut(n + 1, out)
    }

    /// The newest of those that are left; without one, the log begins with its first segment.
    fn next_candidate(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        match self.candidates.pop() {
            None => self.link(out),
            Some(candidate) => {
                self.phase = Phase::Load { candidate, begun: false };
                self.load_on(out)
            }
        }
    }

    fn load_on(&mut self, out: &mut Vec<Io>) -> Result<(), Halt> {
        let Phase::Load { candidate, .. } = &self.phase else { unreachable!("a checkpoint is being read") };
        let Candidate { id, bytes, stream } = candidate;
        let (id, boundary, bytes) = (*id, stream.boundary(), *bytes);
        match stream.wants(self.limits.buffer_bytes) {
            Ok(Some(range)) => {
                let len = usize::try_from(range.end - range.start).expect("no more than a buffer");
                self.read(FileId::Checkpoint(id), range.start, len, out);
                Ok(())
            }
            Ok(None) => {
                let finished = stream.finished().expect("its footer was read first");
                let (cut, entries) = (boundary.cut.index, finished.entries);
                self.report.checkpoint = Some(Loaded { cut, entries, bytes, digest: finished.digest });
                self.report.last = boundary.cut.index;
                self.base = Some(Checkpoint { boundary, bytes });
                self.link(out)
            }
            Err(fault) => {
                self.fault(id, &fault);
                self.next_candidate(out)
            }
        }
    }

    pub(super) fn load(
        &mut self,
        mut candidate: Candidate,
        begun: bool,
        bytes: &[u8],
        out: &mut Vec<Io>,
        sink: Sink<'_>,
    ) -> Result<(), Halt> {
        if !begun {
            sink(Replay::Base(&candidate.stream.boundary()));
        }
        match candidate.stream.take(bytes, &mut |item| sink(Replay::Item(item))) {
            Ok(()) => {
                self.phase = Phase::Load { candidate, begun: true };
                self.load_on(out)
            }
            Err(fault) => {
                sink(Replay::Base(&Boundary::start(self.id)));
                self.fault(candidate.id, &fault);
                self.next_candidate(out)
            }
        }
    }

    /// A sector of a checkpoint that cannot be read is as good as rotten: older ones are tried.
    pub(super) fn checkpoint_unreadable(
        &mut self,
        why: String,
        out: &mut Vec<Io>,
        sink: Sink<'_>,
    ) -> Result<(), Halt> {
        let offset = self.at.1;
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Cuts(n) => {
                self.unread(self.checkpoints[n].0, offset, why);
                self.next_cut(n + 1, out)
            }
            Phase::Load { candidate, .. } => {
                self.unread(candidate.id, offset, why);
                sink(Replay::Base(&Boundary::start(self.id)));
                self.next_candidate(out)
            }
            _ => unreachable!("a checkpoint was being read"),
        }
    }

    fn fault(&mut self, id: CheckpointId, fault: &Fault) {
        self.corrupt(id, fault.offset, format!("expected {}, observed {}", fault.expected, fault.observed));
    }

    fn corrupt(&mut self, id: CheckpointId, offset: u64, why: String) {
        self.report.corrupt.push(Corrupt { id, offset, why, unread: false });
    }

    fn unread(&mut self, id: CheckpointId, offset: u64, why: String) {
        self.report.corrupt.push(Corrupt { id, offset, why, unread: true });
    }
}
