//! Open log files. An operation takes a share of its file along to the thread that executes it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use seawall::map::ShardId;
use seawall_wal::recover::Files;
use seawall_wal::{Buffer, FileId, SlotId};

use super::Syscall;
use crate::driver::directory::ShardDirectory;
use crate::driver::pace::Filling;
use crate::driver::places::Places;
use crate::seam::LogFound;

#[derive(Default)]
pub(super) struct LogFiles {
    shards: Vec<ShardFiles>,
}

pub(super) struct ShardFiles {
    pub directory: Arc<ShardDirectory>,
    pub filling: Filling,
    places: Places,
    open: Vec<Option<Arc<File>>>,
}

impl LogFiles {
    pub fn shard(&mut self, shard: ShardId) -> &mut ShardFiles {
        let found = self.shards.iter_mut().find(|s| s.directory.shard == shard);
        found.expect("a worker asks only for logs that it was given")
    }
}

impl ShardFiles {
    pub fn open(&self, file: FileId) -> Option<Arc<File>> {
        self.open[self.places.of(file).ok()?].clone()
    }

    pub fn has_place(&self, slot: SlotId) -> bool {
        self.places.of(FileId::Slot(slot)).is_ok()
    }

    pub fn put(&mut self, file: FileId, opened: File) -> io::Result<()> {
        self.open[self.places.of(file)?] = Some(Arc::new(opened));
        Ok(())
    }

    /// Opens everything that stands in the directory, and nothing else stays open.
    fn open_all(&mut self, slots: u32, direct: bool) -> io::Result<Files> {
        let mut found = self.directory.files()?;
        self.places = Places::new(slots, &mut found);
        self.open = vec![None; Places::size(slots)];
        for name in self.places.names(&found) {
            let file = self.directory.open_file(name, direct)?;
            self.put(name, file).map_err(|e| {
                let path = self.directory.path(name);
                let room = "the process may open too few files: raise RLIMIT_NOFILE";
                io::Error::new(e.kind(), format!("{}: {room} ({e})", path.display()))
            })?;
        }
        Ok(found)
    }

    /// The file is closed with its last operation, so that its room is free once its name is gone.
    pub fn forget(&mut self, file: FileId) {
        if let Ok(place) = self.places.of(file) {
            self.open[place] = None;
        }
    }
}

impl Syscall {
    pub fn open_logs(
        &mut self,
        logs: Vec<(ShardDirectory, Vec<Buffer>)>,
    ) -> io::Result<Vec<(ShardId, LogFound)>> {
        assert!(self.files.shards.is_empty(), "the logs of a worker are opened once");
        assert!(logs.len() <= self.config.shards as usize, "more logs than this driver was built for");
        let slots = self.config.slots_per_shard;
        let mut logs_found = Vec::new();
        for (directory, buffers) in logs {
            let shard = directory.shard;
            let (places, open) = (Places::new(slots, &mut Files::default()), Vec::new());
            let (directory, filling) = (Arc::new(directory), Filling::default());
            let mut files = ShardFiles { directory, filling, places, open };
            let found = files.open_all(slots, self.config.direct)?;
            self.files.shards.push(files);
            logs_found.push((shard, LogFound { files: found, buffers }));
        }
        Ok(logs_found)
    }

    /// Looks for the files of a log again, of which nothing is under way.
    pub fn reopen_log(&mut self, shard: ShardId, buffers: Vec<Buffer>) -> io::Result<LogFound> {
        let (slots, direct) = (self.config.slots_per_shard, self.config.direct);
        let files = self.files.shard(shard).open_all(slots, direct)?;
        Ok(LogFound { files, buffers })
    }
}
