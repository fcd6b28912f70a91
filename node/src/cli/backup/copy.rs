//! The copy of one shard, and whether it is what was planned.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use seawall_wal::meta::{META_BYTES, Meta};
use seawall_wal::recover::Report;
use seawall_wal::{BLOCK, FileId};

use super::plan::Plan;
use crate::cli::Exit;
use crate::cli::log::{Progress, Shard, Target, Visitor, ending, look};
use crate::driver::directory::META;
use crate::driver::mark::LastEnd;

const WINDOW: usize = 1 << 20;

pub struct Copied {
    /// What a start on the copy will find.
    pub report: Report,
    pub bytes: u64,
}

/// Copies and verifies. `Ok(Err(why))`: what was read is not what was planned, because the log went on meanwhile.
pub fn copy(
    shard: &Shard,
    plan: &Plan,
    into: &Path,
    progress: &mut Progress,
) -> Result<Result<Copied, String>, Exit> {
    let mut bytes = 0;
    let segments =
        plan.segments.iter().map(|piece| (FileId::Slot(piece.slot), Some((piece.end, piece.header.bytes))));
    for (file, ends) in plan.checkpoint().map(|id| (FileId::Checkpoint(id), None)).into_iter().chain(segments)
    {
        let from = match File::open(shard.file(file)) {
            Ok(from) => from,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Err(format!("{file} is gone"))),
            Err(e) => return Err(super::cannot(&shard.file(file), &e)),
        };
        let to = into.join(file.to_string());
        bytes += copy_file(&from, &to, ends, progress).map_err(|e| super::cannot(&to, &e))?;
    }
    let finish = || -> io::Result<()> {
        put_new(&into.join(META), &metadata(shard, plan))?;
        LastEnd::leave_backup(into, plan.epoch, covered(plan))
    };
    finish().map_err(|e| super::cannot(into, &e))?;
    let report = verify(into, progress)?;
    Ok(match differs(plan, &report) {
        Some(why) => Err(why),
        None => Ok(Copied { report, bytes }),
    })
}

/// The last index of the copy.
fn covered(plan: &Plan) -> u64 {
    plan.report.last.0 - plan.left_out
}

/// Both copies alike. Nothing is to be cut behind the end: zeros stand there.
fn metadata(shard: &Shard, plan: &Plan) -> Vec<u8> {
    let epoch = plan.meta.epoch.max(plan.report.found_epoch);
    let mut bytes = vec![0; META_BYTES];
    for sequence in plan.meta.sequence + 1..=plan.meta.sequence + 2 {
        // What a member owes to others, its copy does not.
        let Meta { start, followed, issued, .. } = plan.meta;
        let meta = Meta { sequence, epoch, start, followed, issued, ..Meta::default() };
        let at = if meta.offset() == 0 { 0 } else { BLOCK };
        bytes[at..][..BLOCK].copy_from_slice(&meta.encode(&shard.id));
    }
    bytes
}

/// A file up to its end, and zeros behind that up to its size: what a slot held before is no part of the log.
fn copy_file(from: &File, to: &Path, ends: Option<(u64, u64)>, progress: &mut Progress) -> io::Result<u64> {
    let (end, size) = match ends {
        Some(ends) => ends,
        None => from.metadata().map(|found| (found.len(), found.len()))?,
    };
    let mut file = create(to)?;
    let mut window = vec![0; WINDOW];
    let mut at = 0;
    while at < size {
        let len = usize::try_from(size - at).map_or(WINDOW, |left| left.min(WINDOW));
        let part = &mut window[..len];
        part.fill(0);
        let wanted = usize::try_from(end.saturating_sub(at)).map_or(len, |left| left.min(len));
        match from.read_exact_at(&mut part[..wanted], at) {
            // Shorter than it was: the verification says so.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
            read => read?,
        }
        file.write_all(part)?;
        at += len as u64;
        progress.advance(len);
    }
    file.sync_all()?;
    Ok(size)
}

fn create(to: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)
}

fn put_new(to: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(to)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What `seawall log verify` and the next start say of it.
fn verify(into: &Path, progress: &mut Progress) -> Result<Report, Exit> {
    struct Nobody;
    impl Visitor for Nobody {
        fn record(&mut self, _: &seawall_wal::Replayed<'_>) {}
    }
    let target = Target::find(into)?;
    let Some(shard) = target.shards.first() else { unreachable!("a shard's directory is one shard") };
    let looked = look(shard, progress, &mut Nobody)?;
    let mut report = looked.report.clone();
    if let Some(halt) = &mut report.halt {
        halt.observed = ending(&looked);
    }
    File::open(into).and_then(|directory| directory.sync_all()).map_err(|e| super::cannot(into, &e))?;
    Ok(report)
}

/// Why the copy is not what was planned.
fn differs(plan: &Plan, found: &Report) -> Option<String> {
    if let Some(halt) = &found.halt {
        return Some(halt.observed.clone());
    }
    let planned = (plan.report.checkpoint, plan.segments.len(), plan.records, plan.epoch);
    let copied = (found.checkpoint, found.segments, found.records, found.found_epoch.0);
    let same = planned == copied && found.last.0 == covered(plan) && found.is_clean();
    (!same).then(|| {
        format!("planned {planned:?} up to {}, copied {copied:?} up to {}", covered(plan), found.last.0)
    })
}
