//! Log files and log buffers that the ring knows by number, so that an operation needs no reference counting.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::types::Fixed;
use seawall::map::ShardId;
use seawall_wal::recover::Files;
use seawall_wal::{BLOCK, Buffer, FileId};

use super::{Queue, Ring};
use crate::driver::console;
use crate::driver::directory::ShardDirectory;
use crate::driver::pace::Filling;
use crate::driver::places::Places;
use crate::seam::LogFound;

/// The files of each shard stand at a place that follows from their name: metadata first, then the slots.
pub(super) struct LogFiles {
    shards: Vec<ShardFiles>,
    slots_per_shard: u32,
    places: u32,
    /// Address and length of each registered buffer, all shards' pools in a row.
    buffers: Vec<(usize, usize)>,
}

pub(super) struct ShardFiles {
    pub directory: ShardDirectory,
    pub filling: Filling,
    first_place: u32,
    places: Places,
    /// By place: whether the ring holds the file.
    open: Vec<bool>,
    first_buffer: usize,
}

impl LogFiles {
    pub fn new(queue: &Queue, shards: u32, slots_per_shard: u32) -> io::Result<Self> {
        let places = shards * Places::size(slots_per_shard) as u32;
        if places > 0 {
            queue.register_files(places)?;
        }
        Ok(Self { shards: Vec::new(), slots_per_shard, places, buffers: Vec::new() })
    }

    pub fn shard(&mut self, shard: ShardId) -> &mut ShardFiles {
        let found = self.shards.iter_mut().find(|s| s.directory.shard == shard);
        found.expect("a worker asks only for logs that it was given")
    }

    /// The number under which `buf`, of the pool of `shard`, is registered. The kernel would write to the
    /// registered address whatever buffer we hold, so the address is compared and not assumed.
    pub fn registered(&self, shard: ShardId, buf: &Buffer) -> Option<u16> {
        let files = self.shards.iter().find(|s| s.directory.shard == shard)?;
        let number = files.first_buffer + usize::from(buf.id());
        let range = (buf.bytes().as_ptr().addr(), buf.capacity());
        (self.buffers.get(number) == Some(&range)).then(|| u16::try_from(number).ok())?
    }
}

impl ShardFiles {
    /// The registered file, if it is open.
    pub fn place(&self, file: FileId) -> Option<Fixed> {
        let place = self.places.of(file).ok()?;
        self.open[place].then(|| Fixed(self.first_place + place as u32))
    }

    /// Hands an open file to the ring.
    pub fn register(&mut self, queue: &Queue, file: FileId, fd: i32) -> io::Result<()> {
        let place = self.places.of(file)?;
        queue.register_file(self.first_place + place as u32, fd)?;
        self.open[place] = true;
        Ok(())
    }

    /// Opens everything that stands in the directory.
    fn open_all(&mut self, queue: &Queue, slots: u32, direct: bool) -> io::Result<Files> {
        let mut found = self.directory.files()?;
        self.places = Places::new(slots, &mut found);
        for name in self.places.names(&found) {
            let file = self.directory.open_file(name, direct)?;
            self.register(queue, name, file.as_raw_fd()).map_err(|e| {
                let path = self.directory.path(name);
                io::Error::new(
                    e.kind(),
                    format!("{} cannot be registered with io_uring: {e}", path.display()),
                )
            })?;
        }
        Ok(found)
    }

    fn forget_all(&mut self, queue: &Queue) {
        for (place, open) in (0u32..).zip(&mut self.open) {
            if !std::mem::take(open) {
                continue;
            }
            if let Err(e) = queue.register_file(self.first_place + place, -1) {
                console::complain(format_args!("io_uring keeps a file open: {e}"));
            }
        }
    }

    /// The ring lets the file go, so that its room is free once its name is gone.
    pub fn forget(&mut self, queue: &Queue, file: FileId) {
        let Ok(place) = self.places.of(file) else { return };
        if !std::mem::take(&mut self.open[place]) {
            return;
        }
        if let Err(e) = queue.register_file(self.first_place + place as u32, -1) {
            console::complain(format_args!("{file}: io_uring keeps it open: {e}"));
        }
    }
}

impl Ring {
    /// Opens and registers what stands in the directories, and registers the pools. Once, before anything else.
    pub fn open_logs(
        &mut self,
        logs: Vec<(ShardDirectory, Vec<Buffer>)>,
    ) -> io::Result<Vec<(ShardId, LogFound)>> {
        assert!(self.files.shards.is_empty(), "the logs of a ring are opened once");
        let mut found = Vec::new();
        let mut ranges = Vec::new();
        for (directory, buffers) in logs {
            let (shard, first_buffer) = (directory.shard, ranges.len());
            ranges.extend(buffers.iter().map(|b| (b.bytes().as_ptr().addr(), b.capacity())));
            let files = self.open_log(directory, first_buffer)?;
            found.push((shard, LogFound { files, buffers }));
        }
        self.register_pools(&found, ranges);
        Ok(found)
    }

    fn open_log(&mut self, directory: ShardDirectory, first_buffer: usize) -> io::Result<Files> {
        let size = Places::size(self.files.slots_per_shard);
        let first_place = (self.files.shards.len() * size) as u32;
        assert!(first_place < self.files.places, "more logs than this ring was built for");
        let places = Places::new(self.files.slots_per_shard, &mut Files::default());
        let mut files = ShardFiles {
            directory,
            filling: Filling::default(),
            first_place,
            places,
            open: vec![false; size],
            first_buffer,
        };
        let found = files.open_all(&self.queue, self.files.slots_per_shard, self.config.direct)?;
        self.files.shards.push(files);
        Ok(found)
    }

    /// Looks for the files of a log again, of which nothing is under way. The pool of before is gone, and the kernel
    /// must not take its pages for those of the new one, which may lie at the same addresses.
    pub fn reopen_log(&mut self, shard: ShardId, buffers: Vec<Buffer>) -> io::Result<LogFound> {
        self.forget_ahead(shard);
        let slots = self.files.slots_per_shard;
        let files = self.files.shard(shard);
        files.forget_all(&self.queue);
        let found = files.open_all(&self.queue, slots, self.config.direct)?;
        if !std::mem::take(&mut self.files.buffers).is_empty() {
            self.queue.unregister_buffers()?;
        }
        let found = (shard, LogFound { files: found, buffers });
        // The pools of other logs are with their logs by now, and are used without a number from here on.
        if self.files.shards.len() == 1 {
            let ranges = found.1.buffers.iter().map(|b| (b.bytes().as_ptr().addr(), b.capacity())).collect();
            self.register_pools(std::slice::from_ref(&found), ranges);
        }
        Ok(found.1)
    }

    /// Registering saves the kernel the pinning of pages for each operation. Where memory may not be locked the
    /// log works all the same, with plain reads and writes.
    fn register_pools(&mut self, found: &[(ShardId, LogFound)], ranges: Vec<(usize, usize)>) {
        let buffers = found.iter().flat_map(|(_, log)| &log.buffers);
        let iovecs: Vec<libc::iovec> = buffers
            .map(|b| libc::iovec { iov_base: b.bytes().as_ptr().cast_mut().cast(), iov_len: b.capacity() })
            .collect();
        debug_assert!(ranges.iter().all(|(at, len)| at % BLOCK == 0 && len % BLOCK == 0));
        if iovecs.is_empty() {
            return;
        }
        // SAFETY: the ranges are buffers that live in `found`; an operation names one only while the table owns it.
        match unsafe { self.queue.register_buffers(&iovecs) } {
            Ok(()) => self.files.buffers = ranges,
            Err(e) => console::complain(format_args!(
                "log buffers are not registered ({e}): raise RLIMIT_MEMLOCK to save some CPU"
            )),
        }
    }
}
