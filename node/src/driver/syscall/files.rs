//! Open log files. An operation takes a share of its file along to the thread that executes it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use seawall::map::ShardId;
use seawall_wal::{Buffer, FileId, SlotId};

use super::Syscall;
use crate::driver::directory::ShardDirectory;
use crate::driver::places::Places;
use crate::seam::LogFound;

#[derive(Default)]
pub(super) struct LogFiles {
    shards: Vec<ShardFiles>,
}

pub(super) struct ShardFiles {
    pub directory: Arc<ShardDirectory>,
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
            let (shard, mut found) = (directory.shard, directory.files()?);
            let places = Places::new(slots, &mut found);
            let names = places.names(&found);
            let open = vec![None; Places::size(slots)];
            let mut files = ShardFiles { directory: Arc::new(directory), places, open };
            for name in names {
                let file = files.directory.open_file(name, self.config.direct)?;
                files.put(name, file).map_err(|e| {
                    let path = files.directory.path(name);
                    let room = "the process may open too few files: raise RLIMIT_NOFILE";
                    io::Error::new(e.kind(), format!("{}: {room} ({e})", path.display()))
                })?;
            }
            self.files.shards.push(files);
            logs_found.push((shard, LogFound { files: found, buffers }));
        }
        Ok(logs_found)
    }
}
