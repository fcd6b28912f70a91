//! How the process before this one ended: a mark in the directory of each log, made when the log was closed in order,
//! and taken away, durably, before the log is opened again. So a mark that is found proves what its log must hold.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use seawall_wal::LogId;
use seawall_wal::recover::Report;
use serde_json::{Value, json};

use super::directory::put_file;
use super::restore;
use crate::seam::ShardStatus;

const MARK: &str = "closed.json";

/// How a log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEnd {
    /// It was never opened before.
    New,
    /// In order, with this as its last record.
    Closed { epoch: u64, index: u64 },
    /// It is a backup that nothing was started on yet, and this is its last record.
    Backup { epoch: u64, index: u64 },
    /// In order, while it followed: where it ends, its leader says.
    Followed,
    /// Without a mark: by a signal, a crash or a power cut, or by a log that failed.
    Killed,
}

impl LastEnd {
    /// Reads the mark in `directory` and takes it away.
    pub fn take(directory: &Path, log: &LogId, new: bool) -> io::Result<Self> {
        if new {
            return Ok(LastEnd::New);
        }
        let path = directory.join(MARK);
        let end = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(LastEnd::Killed),
            bytes => LastEnd::read(&bytes?),
        };
        if let LastEnd::Backup { .. } = end {
            restore::promise(directory, log)?; // before the mark goes: a crash between the two does it again
        }
        fs::remove_file(&path)?;
        File::open(directory)?.sync_all()?;
        Ok(end)
    }

    /// What a mark says. One that cannot be understood is as good as none.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mark: Value = serde_json::from_slice(bytes).unwrap_or_default();
        match (mark["epoch"].as_u64(), mark["index"].as_u64()) {
            (Some(epoch), Some(index)) if mark["backup"] == true => LastEnd::Backup { epoch, index },
            (Some(epoch), Some(index)) => LastEnd::Closed { epoch, index },
            _ if mark["followed"] == true => LastEnd::Followed,
            _ => LastEnd::Killed,
        }
    }

    /// The mark that says so, if there is one.
    pub(crate) fn mark(&self) -> Option<String> {
        let mark = match self {
            LastEnd::Closed { epoch, index } => json!({ "epoch": epoch, "index": index }),
            LastEnd::Backup { epoch, index } => json!({ "epoch": epoch, "index": index, "backup": true }),
            LastEnd::Followed => json!({ "followed": true }),
            LastEnd::New | LastEnd::Killed => return None,
        };
        Some(format!("{mark}\n"))
    }

    /// Marks a copy of a log, which ends here, as a backup.
    pub fn leave_backup(directory: &Path, epoch: u64, index: u64) -> io::Result<()> {
        LastEnd::Backup { epoch, index }.put(directory)
    }

    /// Leaves a mark, if the log ends where it should: everything that was given an index is durable.
    pub fn leave(directory: &Path, shard: &ShardStatus) -> io::Result<()> {
        if shard.durable != shard.appended {
            return Ok(());
        }
        let following = shard.replication.as_ref().and_then(|replication| replication.following.as_ref());
        if following.is_some() && shard.state != "halted" {
            return LastEnd::Followed.put(directory);
        }
        if shard.state != "serving" {
            return Ok(());
        }
        LastEnd::Closed { epoch: shard.epoch, index: shard.durable }.put(directory)
    }

    fn put(self, directory: &Path) -> io::Result<()> {
        match self.mark() {
            Some(mark) => put_file(directory, MARK, mark.as_bytes()),
            None => Ok(()),
        }
    }

    /// What recovery should have found and did not. What the mark names was durable, and is gone.
    pub fn contradicts(self, report: &Report) -> Option<String> {
        let (LastEnd::Closed { epoch, index } | LastEnd::Backup { epoch, index }) = self else { return None };
        let found = (report.found_epoch.0, report.last.0);
        (report.halt.is_none() && found != (epoch, index)).then(|| {
            format!(
                "it was closed at {epoch}:{index} and ends at {}:{} now; the files were changed or lost since: stop \
                 the node, and compare its directory with a copy",
                found.0, found.1
            )
        })
    }

    pub fn json(self) -> Value {
        match self {
            LastEnd::New => json!({ "ended": "never" }),
            LastEnd::Closed { epoch, index } => {
                json!({ "ended": "closed cleanly", "position": format!("{epoch}:{index}") })
            }
            LastEnd::Backup { epoch, index } => {
                json!({ "ended": "backup", "position": format!("{epoch}:{index}") })
            }
            LastEnd::Followed => json!({ "ended": "closed cleanly", "as": "follower" }),
            LastEnd::Killed => json!({ "ended": "was killed" }),
        }
    }
}

impl fmt::Display for LastEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LastEnd::New => f.write_str("new"),
            LastEnd::Closed { epoch, index } => write!(f, "closed cleanly at {epoch}:{index}"),
            LastEnd::Backup { epoch, index } => {
                write!(
                    f,
                    "a backup that ends at {epoch}:{index}; what came later is not here, and its tokens are refused"
                )
            }
            LastEnd::Followed => f.write_str("closed cleanly, as a follower"),
            LastEnd::Killed => f.write_str("was killed, or its log had failed: the start recovers it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_wal::{Epoch, Index};

    #[test]
    fn a_mark_is_read_as_it_was_written_and_garbage_is_none() {
        let closed = LastEnd::Closed { epoch: 3, index: 41 };
        for end in [closed, LastEnd::Backup { epoch: u64::MAX, index: 0 }, LastEnd::Followed] {
            assert_eq!(LastEnd::read(end.mark().unwrap().as_bytes()), end);
        }
        for garbage in
            [&b""[..], b"{}", b"\xff\xfe", br#"{"epoch":-1,"index":2}"#, br#"{"epoch":1.5,"index":2}"#]
        {
            assert_eq!(LastEnd::read(garbage), LastEnd::Killed, "{garbage:?}");
        }
    }

    #[test]
    fn a_log_that_lost_what_was_durable_contradicts_its_mark() {
        let report =
            |epoch, last| Report { found_epoch: Epoch(epoch), last: Index(last), ..Report::default() };
        let closed = LastEnd::Closed { epoch: 3, index: 41 };
        assert_eq!(closed.contradicts(&report(3, 41)), None);
        assert!(
            closed
                .contradicts(&report(3, 40))
                .is_some_and(|why| why.contains("3:41") && why.contains("3:40"))
        );
        assert!(closed.contradicts(&report(2, 41)).is_some());
        let backup = LastEnd::Backup { epoch: 3, index: 41 };
        assert!(backup.contradicts(&report(3, 40)).is_some() && backup.contradicts(&report(3, 41)).is_none());
        assert_eq!(LastEnd::Killed.contradicts(&report(3, 40)), None);
    }
}
