//! Open log files. An operation takes a share of its file along to the thread that executes it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use seawall::map::ShardId;
use seawall_wal::{Buffer, FileId, SlotId};

use super::Syscall;
use crate::driver::directory::{self, ShardDirectory};
use crate::seam::LogFound;

#[derive(Default)]
pub(super) struct LogFiles {
    shards: Vec<ShardFiles>,
}

pub(super) struct ShardFiles {
    pub directory: Arc<ShardDirectory>,
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
        self.open.get(directory::place(file))?.clone()
    }

    pub fn has_place(&self, slot: SlotId) -> bool {
        directory::place(FileId::Slot(slot)) < self.open.len()
    }

    pub fn put(&mut self, file: FileId, opened: File) -> io::Result<()> {
        let place = self.open.get_mut(directory::place(file));
        *place.ok_or_else(|| io::Error::from_raw_os_error(libc::ENFILE))? = Some(Arc::new(opened));
        Ok(())
    }
}

impl Syscall {
    pub fn open_logs(
        &mut self,
        logs: Vec<(ShardDirectory, Vec<Buffer>)>,
    ) -> io::Result<Vec<(ShardId, LogFound)>> {
        assert!(self.files.shards.is_empty(), "the logs of a worker are opened once");
        assert!(logs.len() <= self.config.shards as usize, "more logs than this driver was built for");
        let places = 1 + self.config.slots_per_shard as usize;
        let mut found = Vec::new();
        for (directory, buffers) in logs {
            let (shard, slots) = (directory.shard, directory.slots()?);
            let mut files = ShardFiles { directory: Arc::new(directory), open: vec![None; places] };
            let names =
                std::iter::once(FileId::Meta).chain(slots.iter().map(|(slot, _)| FileId::Slot(*slot)));
            for name in names {
                let file = files.directory.open_file(name, self.config.direct)?;
                files.put(name, file).map_err(|e| {
                    let path = files.directory.path(name);
                    let room = "the process may open too few files: raise RLIMIT_NOFILE";
                    io::Error::new(e.kind(), format!("{}: {room} ({e})", path.display()))
                })?;
            }
            self.files.shards.push(files);
            found.push((shard, LogFound { slots, buffers }));
        }
        Ok(found)
    }
}
