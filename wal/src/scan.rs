//! A look at a log that changes nothing: recovery itself, ended where it would write for the first time. What a scan
//! says of a log is therefore what the next start will say, and not a second opinion.
//!
//! Call [`Scan::wants`] for the next read, give its end to [`Scan::done`], and go on until there is none.

use crate::format::LogId;
use crate::meta::Meta;
use crate::recover::{Files, Found, Halt, Progress, Recovery, Replay, Report, Segment, Start};
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
    /// Fit to become a segment; anything else recovery leaves alone.
    pub spare: bool,
}

impl Scan {
    /// Of a whole log.
    pub fn new(id: LogId, limits: LogLimits, files: Files) -> Self {
        let mut recovery = Recovery::new(id, limits, files, limits.buffers(), Start::Alone);
        let mut ios = Vec::new();
        recovery.start(&mut ios);
        Self { recovery, ios, only: None, halt: None }
    }

    /// Of one segment. Without its successor it is judged as the last one of a log; `meta` knows of a cut.
    pub fn of_segment(limits: LogLimits, segment: Segment, successor: Option<Segment>, meta: Meta) -> Self {
        let files = Files { slots: vec![(segment.slot, segment.header.bytes)], ..Files::default() };
        let mut recovery = Recovery::new(segment.header.log(), limits, files, limits.buffers(), Start::Alone);
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
            _ => false,
        })
    }

    /// Records go to `sink` as they are met; they are the log's only if the scan ends without a halt.
    pub fn done(&mut self, done: Done, sink: &mut dyn FnMut(Replay<'_>)) {
        match self.recovery.done(done, &mut self.ios, sink) {
            Progress::Working => {}
            Progress::Halted(report) => self.halt = report.halt,
            Progress::Recovered(..) | Progress::AtRest(..) => {
                unreachable!("a scan ends before recovery settles")
            }
        }
    }

    /// What recovery would report, but for what it writes. Without an end and without a halt there is no batch, or
    /// the one segment goes on in its successor.
    pub fn report(&self) -> Report {
        Report { halt: self.halt.clone(), ..self.recovery.report().clone() }
    }

    /// The segments behind the checkpoint, oldest first.
    pub fn segments(&self) -> &[Segment] {
        self.recovery.segments()
    }

    /// Segments that are kept although the checkpoint covers them.
    pub fn kept(&self) -> &[Segment] {
        self.recovery.kept()
    }

    /// The slots of no segment.
    pub fn free(&self) -> Vec<Free> {
        let chain = || self.recovery.kept().iter().chain(self.recovery.segments());
        let spares = self.recovery.spares();
        let free =
            |f: &Found| Free { slot: f.slot, bytes: f.bytes, spare: spares.iter().any(|s| s.slot == f.slot) };
        let found = self.recovery.found().iter();
        found.filter(|f| chain().all(|segment| segment.slot != f.slot)).map(free).collect()
    }
}
