//! Orders to the replica of a member that is stopped (R25): who and why, and then what the next start is to begin with.
//!
//! The same two steps that the recovery of an ordered start takes first, in the same order, each durable before the next;
//! what is decided is `wal/src/recover/ordered.rs`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use seawall::map::ShardId;
use seawall_wal::recover::Intention;
use seawall_wal::{Act, FileId, LogId};

use super::beside::append_line;
use super::clock;
use super::directory::{Directory, DirectoryError};
use crate::shard::audit_line;

/// What the metadata of this shard's log says, and what it would say.
pub fn intention(directory: &Directory, shard: ShardId, act: Act) -> Result<Intention, DirectoryError> {
    let path = directory.shard(shard)?.path(FileId::Meta);
    let bytes = fs::read(&path).map_err(|e| {
        let way_out = "without it a member does not start: begin with an empty directory";
        DirectoryError::new(&path, format!("cannot be read: {e}"), way_out)
    })?;
    let id = LogId { lineage: directory.lineage().0, shard: shard.0 };
    Ok(Intention::of(act, &id, &bytes))
}

/// A crash in between leaves a line of an order that was not carried out, or the order.
pub fn record(
    directory: &Directory,
    shard: ShardId,
    act: Act,
    by: (&str, &str),
    intention: &Intention,
) -> Result<(), DirectoryError> {
    let Some((offset, block)) = &intention.write else { return Ok(()) };
    let log = directory.shard(shard)?;
    let (audit, meta) = (log.audit(), log.path(FileId::Meta));
    let cannot = |path, e| {
        DirectoryError::new(
            path,
            format!("cannot be written: {e}"),
            "nothing was ordered; mend that, and try again",
        )
    };
    let line = audit_line(clock::now().wall_us, shard, act, by, intention.halt.clone());
    append_line(&audit, &line).map_err(|e| cannot(&audit, e))?;
    let written = File::options().write(true).open(&meta).and_then(|file| {
        file.write_all_at(block, *offset)?;
        file.sync_all()
    });
    written.map_err(|e| cannot(&meta, e))
}
