//! The look itself: plain reads for a [`Scan`], and patience with a log that is being written.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use seawall_wal::format::SegmentHeader;
use seawall_wal::io::IoStep;
use seawall_wal::recover::{Report, Tail};
use seawall_wal::scan::Free;
use seawall_wal::{Done, FileId, Io, IoError, LogLimits, Replay, Replayed, Scan, SlotId};

use super::Failed;
use super::target::Shard;

/// Read at once; a batch may be larger, and is read in several.
const WINDOW: usize = 1 << 20;
/// Looks at a log that changes under the look, before it is called unsettled.
const LOOKS: usize = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// Who hears of the records.
pub(in crate::cli) trait Visitor {
    /// The look begins, perhaps once more.
    fn begin(&mut self) {}
    fn record(&mut self, replayed: &Replayed<'_>);
    fn enough(&self) -> bool {
        false
    }
}

pub(in crate::cli) struct Looked {
    pub report: Report,
    pub segments: Vec<(SlotId, SegmentHeader)>,
    /// Segments that the checkpoint covers, and that are kept all the same.
    pub kept: Vec<(SlotId, SegmentHeader)>,
    pub free: Vec<Free>,
    pub writer: Option<u32>,
}

/// A node that writes may be met in the middle of a write, or of a roll, and both look like damage. Damage stays:
/// on a live log it counts only when a second look finds it in the same place.
pub(in crate::cli) fn look(
    shard: &Shard,
    progress: &mut Progress,
    visitor: &mut dyn Visitor,
) -> Result<Looked, Failed> {
    let mut before = None;
    for _ in 0..LOOKS {
        let writer_before = shard.writer();
        let hold = shard.hold();
        let looked = once(shard, progress, visitor)?;
        drop(hold);
        let found = flaw(&looked.report);
        let live = writer_before.or(looked.writer).is_some();
        if found.is_none() || found == before || !live {
            return Ok(looked);
        }
        before = found;
        thread::sleep(PAUSE);
    }
    Err(Failed::Unreadable(format!(
        "{}: it changes faster than it can be read, and nothing is known of it; look again (the last look found: {})",
        shard.path.display(),
        before.map_or_else(String::new, |(rule, file, offset)| format!(
            "{file} at offset {offset} breaks {rule}"
        ))
    )))
}

fn once(shard: &Shard, progress: &mut Progress, visitor: &mut dyn Visitor) -> Result<Looked, Failed> {
    let limits = LogLimits::default();
    let mut scan = match shard.only {
        Some((segment, successor)) => Scan::of_segment(limits, segment, successor, shard.meta()),
        None => Scan::new(shard.id, limits, shard.files()?),
    };
    let mut open: Option<(FileId, File)> = None;
    visitor.begin();
    while let Some(io) = scan.wants() {
        if visitor.enough() {
            break;
        }
        let done = execute(io, shard, &mut open, progress)?;
        scan.done(done, &mut |replay| {
            if let Replay::Record(replayed) = replay {
                visitor.record(&replayed);
            }
        });
    }
    let mine = |slot: SlotId| shard.only.is_none_or(|(only, _)| only.slot == slot);
    let segments = scan.segments().iter().filter(|s| mine(s.slot)).map(|s| (s.slot, s.header)).collect();
    let kept = scan.kept().iter().map(|s| (s.slot, s.header)).collect();
    Ok(Looked { report: scan.report(), segments, kept, free: scan.free(), writer: shard.writer() })
}

/// An unreadable sector is the scan's to judge; a file that may not be opened is nobody's damage.
fn execute(
    io: Io,
    shard: &Shard,
    open: &mut Option<(FileId, File)>,
    progress: &mut Progress,
) -> Result<Done, Failed> {
    let Io::Read { id, file, offset, mut buf, len } = io else { unreachable!("a scan only reads") };
    let error = |step, e: &std::io::Error| IoError { step, errno: e.raw_os_error().unwrap_or(0) };
    if open.as_ref().is_none_or(|(opened, _)| *opened != file) {
        let path = shard.file(file);
        match File::open(&path) {
            Ok(handle) => *open = Some((file, handle)),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Failed::Unreadable(format!("{}: {e}", path.display())));
            }
            Err(e) => return Ok(Done { id, result: Err(error(IoStep::Open, &e)), buf: Some(buf) }),
        }
    }
    let mut moved = 0;
    let mut result = Ok(());
    if let Some((_, handle)) = open {
        let wanted = buf.bytes_mut().get_mut(..len).unwrap_or_default();
        for window in wanted.chunks_mut(WINDOW) {
            match handle.read_at(window, offset + moved as u64) {
                Ok(got) => moved += got,
                Err(e) => result = Err(error(IoStep::Read, &e)),
            }
            progress.advance(window.len());
            if result.is_err() || !moved.is_multiple_of(WINDOW) {
                break;
            }
        }
    }
    Ok(Done { id, result: result.map(|()| moved), buf: Some(buf) })
}

/// How far a long look came, on a terminal.
pub(in crate::cli) struct Progress {
    total: u64,
    done: u64,
    shown: u64,
    on: bool,
}

impl Progress {
    const WORTH: u64 = 256 << 20;

    pub fn new(total: u64) -> Self {
        let on = total >= Self::WORTH && std::io::stderr().is_terminal();
        Self { total, done: 0, shown: u64::MAX, on }
    }

    pub fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        let percent = (self.done * 100 / self.total.max(1)).min(100);
        if self.on && percent != self.shown {
            self.shown = percent;
            let bar = "#".repeat(usize::try_from(percent / 4).unwrap_or(0));
            let _nobody_reads =
                write!(std::io::stderr(), "\r[{bar:25}] {percent:3} % of {} MiB", self.total >> 20);
        }
    }

    pub fn end(&self) {
        if self.on {
            let _nobody_reads = write!(std::io::stderr(), "\r{:60}\r", "");
        }
    }
}

/// What a live log may show in the middle of a write, and damage goes on to show.
fn flaw(report: &Report) -> Option<(&'static str, FileId, u64)> {
    let halt = report.halt.as_ref().map(|halt| (halt.rule, halt.file, halt.offset));
    halt.or(report.bad_copy.map(|(offset, _)| ("R6", FileId::Meta, offset)))
}

/// Where a log ends and why, in words.
pub(in crate::cli) fn ending(looked: &Looked) -> String {
    let report = &looked.report;
    if let Some(halt) = &report.halt {
        return format!("DAMAGED: {halt}");
    }
    if let Some((offset, why)) = report.bad_copy {
        let file = FileId::Meta;
        return format!("DAMAGED: {file} at offset {offset} breaks R6: {why}; the other copy is whole");
    }
    if let Some(corrupt) = report.corrupt.last() {
        let (file, offset, why) = (FileId::Checkpoint(corrupt.id), corrupt.offset, &corrupt.why);
        return format!("DAMAGED: {file} at offset {offset} breaks R8: {why}; the log does without it");
    }
    let Some(end) = report.end else {
        return match looked.segments.is_empty() {
            true => "an empty log".into(),
            false => "whole; the next segment continues it".into(),
        };
    };
    let place =
        format!("ends at {} offset {}, last index {}", FileId::Slot(end.slot), end.offset, report.last.0);
    let why = match (end.leftover, end.tail) {
        (_, _) if end.finished_cut => "an earlier start cut it here".into(),
        (None, _) => "nothing was written behind it".into(),
        (Some(at), _) if looked.writer.is_some() => {
            format!("bytes at offset {at} may be a write that is under way")
        }
        (Some(at), Tail::Uncertain) => {
            format!("bytes from offset {at} on are torn, reordered or rotten; the next start cuts them")
        }
        (Some(at), Tail::Certain) => format!("bytes from offset {at} on are older"),
    };
    format!("{place}, tail: {}; {why}", end.tail)
}
