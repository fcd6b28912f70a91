//! Making a slot (R5): zeros really written, flushed, named, the name flushed. Data and flushes go through the ring,
//! one at a time, so that the log's own writes pass between them, at the pace that they leave.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, squeue, types};
use seawall::map::ShardId;
use seawall_wal::{Done, FileId, IoError, IoId, SlotId, io::IoStep};

use super::Ring;
use crate::driver::pace::Step;
use crate::driver::table::{Key, Operation, Part, Prepare, Stage};
use crate::seam::Event;

impl Ring {
    pub(super) fn prepare(&mut self, shard: ShardId, id: IoId, slot: SlotId, bytes: u64) {
        assert!(bytes > 0, "a slot has room for something");
        let files = self.files.shard(shard);
        match files.directory.begin_slot(slot, self.config.direct) {
            Ok(file) => {
                let pace = files.filling.begin(self.config.traffic.clone(), bytes);
                let stage = Stage::Zeros(0);
                let prepare = Prepare { shard, id, slot, bytes, file, stage, pace, pause: None };
                let key = self.table.insert(Operation::Prepare(prepare));
                self.continue_prepare(key);
            }
            Err(e) => {
                let done = Done { id, result: Err(error(&e)), buf: None };
                self.ready.push(Event::Disk { shard, done });
            }
        }
    }

    /// Submits the one operation that the stage asks for.
    fn continue_prepare(&mut self, key: Key) {
        let Operation::Prepare(prepare) = self.table.get_mut(key) else {
            unreachable!("it was inserted as one")
        };
        let file = types::Fd(prepare.file.as_raw_fd());
        let entry: squeue::Entry = match prepare.stage {
            Stage::Zeros(offset) => match prepare.pace.step() {
                Step::Take(bytes) => {
                    let len = (prepare.bytes - offset).min(bytes as u64) as u32;
                    opcode::Write::new(file, self.zeros.bytes().as_ptr(), len).offset(offset).build()
                }
                Step::Pause(time) => {
                    let time = prepare.pause.insert(Box::new(types::Timespec::from(time)));
                    opcode::Timeout::new(&raw const **time).build()
                }
            },
            Stage::Flush => opcode::Fsync::new(file).build(),
            Stage::FlushName => {
                let directory = self.files.shard(prepare.shard).directory.handle();
                opcode::Fsync::new(types::Fd(directory.as_raw_fd())).build()
            }
        };
        // SAFETY: the kernel only reads the zeros, which live as long as the ring (leaked with the table when
        // something is still under way at its end); `len` is within them, since a portion is. The table keeps the file
        // open, and the time of a pause until that ended.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
    }

    pub(super) fn prepare_completed(&mut self, key: Key, result: i32, events: &mut Vec<Event>) {
        match self.next_stage(key, result) {
            Ok(true) => self.continue_prepare(key),
            Ok(false) => self.prepared(key, None, events),
            Err(e) => self.prepared(key, Some(e), events),
        }
    }

    /// Moves on after a completion; `false` when the slot is usable.
    fn next_stage(&mut self, key: Key, result: i32) -> io::Result<bool> {
        let Operation::Prepare(prepare) = self.table.get_mut(key) else { unreachable!("it was looked at") };
        if prepare.pause.take().is_some() {
            return Ok(true); // a timeout ends in ETIME
        }
        let moved = u64::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))?;
        let files = self.files.shard(prepare.shard);
        prepare.stage = match prepare.stage {
            // A full disk first writes short, then not at all. A remainder that is not whole blocks ends in EINVAL.
            Stage::Zeros(_) if moved == 0 => return Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            Stage::Zeros(offset) => {
                prepare.pace.took(result as usize);
                let filled = offset + moved;
                if filled < prepare.bytes { Stage::Zeros(filled) } else { Stage::Flush }
            }
            Stage::Flush => {
                files.directory.name_slot(prepare.slot)?;
                Stage::FlushName
            }
            Stage::FlushName => {
                files.register(&self.queue, FileId::Slot(prepare.slot), prepare.file.as_raw_fd())?;
                return Ok(false);
            }
        };
        Ok(true)
    }

    fn prepared(&mut self, key: Key, failure: Option<io::Error>, events: &mut Vec<Event>) {
        let Operation::Prepare(prepare) = self.table.remove(key) else { unreachable!("it was looked at") };
        let result = match failure {
            None => Ok(usize::try_from(prepare.bytes).expect("a slot is smaller than the address space")),
            Some(e) => {
                self.files.shard(prepare.shard).directory.abandon_slot(prepare.slot);
                Err(error(&e))
            }
        };
        let done = Done { id: prepare.id, result, buf: None };
        events.push(Event::Disk { shard: prepare.shard, done });
    }
}

fn error(e: &io::Error) -> IoError {
    IoError { step: IoStep::Prepare, errno: e.raw_os_error().unwrap_or(libc::EIO) }
}
