//! The first start on a backup: it begins an epoch that no other history of this lineage has.
//!
//! A backup ends somewhere in an epoch, and what was copied went on from there: with that epoch, and with the next ones
//! at its next starts. A copy that simply took the next epoch would give the same positions to other records, and would
//! answer tokens of the lost records as if they were its own. So it takes the seconds since 2026, when it starts: no
//! log comes there by starts alone, and each restore gets another number. Every epoch between is one that never began
//! here, and its tokens are refused as lost.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use seawall_wal::meta::{self, Meta};
use seawall_wal::{Epoch, LogId};

use super::clock;

/// 2026-01-01.
const BEGIN_S: i64 = 1_767_225_600;

/// Promises the epoch in the metadata of a shard's directory; the start goes on above it. Durable when this returns.
pub(super) fn promise(directory: &Path, log: &LogId) -> io::Result<()> {
    let path = directory.join("meta");
    // Metadata that cannot be believed is recovery's to judge.
    let Ok(was) = meta::read(&std::fs::read(&path)?, log) else { return Ok(()) };
    let since = clock::now().wall_us / 1_000_000 - BEGIN_S;
    let (sequence, epoch) = (was.sequence + 1, epoch(was.epoch, since));
    let meta = Meta { sequence, epoch, bound: None, ..was };
    let file = OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(&meta.encode(log), meta.offset())?;
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

fn epoch(was: Epoch, since_s: i64) -> Epoch {
    Epoch(was.0 + 1).max(Epoch(u64::try_from(since_s).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_new_whatever_the_clock_says() {
        assert_eq!(epoch(Epoch(3), 28_000_000), Epoch(28_000_000));
        assert_eq!(epoch(Epoch(28_000_007), 28_000_000), Epoch(28_000_008));
        assert_eq!(epoch(Epoch(3), -5), Epoch(4));
    }
}
