//! Log writes with their flush, and reads. One `Io` gives exactly one `Done`, with its buffer.

use io_uring::{opcode, squeue, types};
use seawall::map::ShardId;
use seawall_wal::{Buffer, Done, FileId, Io, IoError, IoId, io::IoStep};

use super::Ring;
use super::ahead::Window;
use crate::driver::clock;
use crate::driver::probe::Durable;
use crate::driver::probe::watch::Clustered;
use crate::driver::table::{Key, Operation, Part, Write};
use crate::seam::Event;

/// A part of a registered file.
struct Range {
    file: types::Fixed,
    offset: u64,
    len: usize,
}

impl Ring {
    pub(super) fn disk(&mut self, shard: ShardId, io: Io) {
        match io {
            Io::Write { id, file, offset, buf, at, len } => {
                assert!(len > 0 && at + len <= buf.capacity(), "a write of {len} bytes at {at} of {buf:?}");
                self.forget_ahead(shard);
                match self.place(shard, file) {
                    Some(file) => self.write(shard, id, Range { file, offset, len }, buf, at),
                    None => self.not_open(shard, id, buf),
                }
            }
            Io::Read { id, file, offset, buf, len } => {
                assert!(len > 0 && len <= buf.capacity(), "a read of {len} bytes into {buf:?}");
                let window = Window { id, offset, len, buf };
                let Some(place) = self.place(shard, file) else {
                    return self.not_open(shard, id, window.buf);
                };
                if let Some(window) = self.read_through(shard, file, place, window) {
                    self.read_alone(shard, file, window);
                }
            }
            Io::Prepare { id, slot, bytes } => {
                self.forget_ahead(shard);
                self.prepare(shard, id, slot, bytes);
            }
            io => unreachable!("a thread beside the workers executes {io:?}"),
        }
    }

    fn place(&mut self, shard: ShardId, file: FileId) -> Option<types::Fixed> {
        self.files.shard(shard).place(file)
    }

    fn write(&mut self, shard: ShardId, id: IoId, range: Range, buf: Buffer, at: usize) {
        self.config.traffic.begun(range.len);
        let linked = self.config.durable == Durable::Link;
        let flags = if linked { 0 } else { libc::RWF_DSYNC };
        let number = self.files.registered(shard, &buf);
        let source = buf.bytes()[at..].as_ptr();
        let begun_us = if self.watch.is_some() { clock::stopwatch_us() } else { 0 };
        let write = Write { shard, id, buf, len: range.len, linked, begun_us };
        self.writes += 1;
        let key = self.table.insert(Operation::Write(write));
        let write = entry_for_write(&range, source, number, flags).user_data(key.user_data(Part::Main));
        if linked {
            let flush = opcode::Fsync::new(range.file).flags(types::FsyncFlags::DATASYNC).build();
            let flush = flush.user_data(key.user_data(Part::Flush));
            // SAFETY: `source` lies in the buffer that the table owns until the completion that ends the pair was
            // reaped, and `at + len` is within it.
            unsafe { self.queue.push_linked(write, flush) };
        } else {
            // SAFETY: as above.
            unsafe { self.queue.push(write) };
        }
    }

    pub(super) fn read_alone(&mut self, shard: ShardId, file: FileId, window: Window) {
        let Window { id, offset, len, buf } = window;
        match self.place(shard, file) {
            Some(file) => self.read(shard, id, Range { file, offset, len }, buf),
            None => self.not_open(shard, id, buf),
        }
    }

    fn read(&mut self, shard: ShardId, id: IoId, range: Range, mut buf: Buffer) {
        let number = self.files.registered(shard, &buf);
        let target = buf.bytes_mut().as_mut_ptr();
        let key = self.table.insert(Operation::Read { shard, id, buf });
        let (len, offset) = (range.len as u32, range.offset);
        let entry = match number {
            Some(number) => opcode::ReadFixed::new(range.file, target, len, number).offset(offset).build(),
            None => opcode::Read::new(range.file, target, len).offset(offset).build(),
        };
        // SAFETY: `target` is the front of the buffer that the table owns until the completion was reaped, and
        // `len` is within it.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    fn not_open(&mut self, shard: ShardId, id: IoId, buf: Buffer) {
        let result = Err(IoError { step: IoStep::Open, errno: libc::ENOENT });
        self.ready.push(Event::Disk { shard, done: Done { id, result, buf: Some(buf) } });
    }

    pub(super) fn write_completed(&mut self, key: Key, part: Part, result: i32, events: &mut Vec<Event>) {
        let Operation::Write(write) = self.table.get_mut(key) else { unreachable!("it was looked at") };
        let Some(result) = write.verdict(part, result) else { return };
        let Operation::Write(write) = self.table.remove(key) else { unreachable!("it was looked at") };
        self.writes -= 1;
        self.config.traffic.ended();
        if let (Some(watch), Ok(_)) = (&mut self.watch, result)
            && let Some(clustered) = watch.saw(clock::stopwatch_us().saturating_sub(write.begun_us))
        {
            self.give_up_dsync(clustered);
        }
        let done = Done { id: write.id, result, buf: Some(write.buf) };
        events.push(Event::Disk { shard: write.shard, done });
    }

    /// From the next write on. Those under way end as they began: each is durable by its own means.
    fn give_up_dsync(&mut self, why: Clustered) {
        self.config.durable = Durable::Link;
        self.watch = None;
        self.gave_up_dsync = Some(why);
    }

    pub(super) fn read_completed(&mut self, key: Key, result: i32, events: &mut Vec<Event>) {
        let Operation::Read { shard, id, buf } = self.table.remove(key) else {
            unreachable!("it was looked at")
        };
        let result = usize::try_from(result).map_err(|_| IoError { step: IoStep::Read, errno: -result });
        events.push(Event::Disk { shard, done: Done { id, result, buf: Some(buf) } });
    }
}

fn entry_for_write(range: &Range, source: *const u8, number: Option<u16>, flags: i32) -> squeue::Entry {
    let (file, len) = (range.file, range.len as u32);
    match number {
        Some(number) => {
            opcode::WriteFixed::new(file, source, len, number).offset(range.offset).rw_flags(flags).build()
        }
        None => opcode::Write::new(file, source, len).offset(range.offset).rw_flags(flags).build(),
    }
}
