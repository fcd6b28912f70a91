//! A look at a log that changes nothing: recovery itself, ended where it would write for the first time. What a scan
//! says of a log is therefore what the next start will say, and not a second opinion.
//!
//! Call [`Scan::wants`] for the next read, give its end to [`Scan::done`], and go on until there is none.

use crate::format::LogId;
use crate::meta::Meta;
use crate::recover::{Found, Halt, Progress, Recovery, Replayed, Report, Segment};
use crate::{Done, FileId, Io, LogLimits, SlotId};

#[derive(Debug)]
pub struct Scan {
    recovery: Recovery,
    ios: Vec<Io>,
    /// One segment alone: the scan ends where another file would be read.
    only: Option<SlotId>,
    /// The halt, in a report that is otherwise what was found before it.
    halt: Option<Halt>,
}

/// What a slot of no segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    pub slot: SlotId,
    pub bytes: u64,
    /// Zeros, fit to become a segment; anything else recovery leaves alone.
    pub spare: bool,
}

impl Scan {
    /// Of a whole log. `slots` are the files found, in any order.
    pub fn new(id: LogId, limits: LogLimits, slots: Vec<(SlotId, u64)>) -> Self {
        let mut recovery = Recovery::new(id, limits, slots, limits.buffers());
        let mut ios = Vec::new();
        recovery.start(&mut ios);
        Self { recovery, ios, only: None, halt: None }
    }

    /// Of one segment. Without its successor it is judged as the last one of a log; `meta` knows of a cut.
    pub fn of_segment(limits: LogLimits, segment: Segment, successor: Option<Segment>, meta: Meta) -> Self {
        let slots = vec![(segment.slot, segment.header.bytes)];
        let mut recovery = Recovery::new(segment.header.log(), limits, slots, limits.buffers());
        let mut ios = Vec::new();
        let segments = std::iter::once(segment).chain(successor).collect();
        let halt = recovery.start_at(segments, meta, &mut ios).err();
        Self { recovery, ios, only: Some(segment.slot), halt }
    }

    /// The next read; `None` when the log was judged.
    pub fn wants(&mut self) -> Option<Io> {
        if self.halt.is_some() {
            return None;
        }
        self.ios.pop().filter(|io| match io {
            Io::Read { file, .. } => self.only.is_none_or(|slot| *file == FileId::Slot(slot)),
            Io::Write { .. } | Io::Prepare { .. } => false,
        })
    }

    /// Records go to `sink` as they are met; they are the log's only if the scan ends without a halt.
    pub fn done(&mut self, done: Done, sink: &mut dyn FnMut(Replayed<'_>)) {
        match self.recovery.done(done, &mut self.ios, sink) {
            Progress::Working => {}
            Progress::Halted(report) => self.halt = report.halt,
            Progress::Recovered(..) => unreachable!("a scan ends before recovery settles"),
        }
    }

    /// What recovery would report, but for what it writes. Without an end and without a halt there is no batch, or
    /// the one segment goes on in its successor.
    pub fn report(&self) -> Report {
        Report { halt: self.halt.clone(), ..self.recovery.report().clone() }
    }

    /// The chain, oldest segment first.
    pub fn segments(&self) -> &[Segment] {
        self.recovery.segments()
    }

    /// The slots of no segment.
    pub fn free(&self) -> Vec<Free> {
        let spares = self.recovery.spares();
        let free =
            |f: &Found| Free { slot: f.slot, bytes: f.bytes, spare: spares.iter().any(|s| s.slot == f.slot) };
        self.recovery.found().iter().filter(|f| f.header.is_err()).map(free).collect()
    }
}
