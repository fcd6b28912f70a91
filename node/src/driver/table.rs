//! The operations that the kernel is busy with. The table *owns* the memory of each until its last completion was
//! reaped, so nobody else can read, write or free what the kernel may touch.

use seawall::map::ShardId;
use seawall_wal::{Buffer, IoError, IoId, SlotId, io::IoStep};

use super::pace::Pace;
use crate::seam::ConnId;

/// One operation. It may take several completions; [`Table`] keeps it until the last.
#[derive(Debug)]
pub(super) enum Operation {
    Write(Write),
    Read {
        shard: ShardId,
        id: IoId,
        buf: Buffer,
    },
    /// Of what may be asked for.
    ReadAhead {
        buf: Buffer,
    },
    Prepare(Prepare),
    Receive {
        conn: ConnId,
        buf: Vec<u8>,
        from: usize,
    },
    /// Into provided buffers, until it is cancelled or fails.
    ReceiveMany {
        conn: ConnId,
    },
    Send {
        conn: ConnId,
        buf: Vec<u8>,
        from: usize,
        /// Success is not reported.
        silent: bool,
    },
    Accept {
        multishot: bool,
    },
    /// A read of the wake-up eventfd into its counter.
    Bell(#[expect(dead_code, reason = "the kernel writes it")] Box<u64>),
    /// The kernel copies the time while it takes the submission; it stays here all the same.
    Tick(#[expect(dead_code, reason = "the kernel reads it")] Box<io_uring::types::Timespec>),
}

/// A durable write.
#[derive(Debug)]
pub(super) struct Write {
    pub shard: ShardId,
    pub id: IoId,
    pub buf: Buffer,
    pub len: usize,
    /// A flush is linked behind it.
    pub linked: bool,
    /// When it was begun, by the stopwatch, if anybody watches how long writes take.
    pub begun_us: u64,
}

impl Write {
    /// What a completion means. A linked write that succeeded wholly is silent and its flush speaks for both; one
    /// that failed or fell short severs the link and silences the flush, and is never durable.
    pub fn verdict(&self, part: Part, result: i32) -> Option<Result<usize, IoError>> {
        let error = |step| Err(IoError { step, errno: -result });
        match (part, usize::try_from(result)) {
            (Part::Main, Err(_)) => Some(error(IoStep::Write)),
            (Part::Main, Ok(bytes)) if bytes == self.len && self.linked => None,
            (Part::Main, Ok(bytes)) => Some(Ok(bytes)),
            (Part::Flush, Err(_)) => Some(error(IoStep::Flush)),
            (Part::Flush, Ok(_)) => Some(Ok(self.len)),
        }
    }
}

/// A slot on its way to being usable: zeros, flush, name, flush of the name (R5).
#[derive(Debug)]
pub(super) struct Prepare {
    pub shard: ShardId,
    pub id: IoId,
    pub slot: SlotId,
    pub bytes: u64,
    pub file: std::fs::File,
    pub stage: Stage,
    pub pace: Pace,
    /// While it keeps out of the way. The kernel copies the time while it takes the submission; it stays here all the same.
    pub pause: Option<Box<io_uring::types::Timespec>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Zeros up to here are written.
    Zeros(u64),
    Flush,
    FlushName,
}

/// The place of an operation in the table; it travels through the kernel as `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

/// Which of an operation's completions this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main = 0,
    Flush = 1,
}

/// The completion of a cancellation: it names no operation, and what it cancelled reports for itself.
pub(super) const CANCELLATION: u64 = u64::MAX;

impl Key {
    pub fn user_data(self, part: Part) -> u64 {
        (part as u64) << 32 | u64::from(self.0)
    }

    pub fn parse(user_data: u64) -> (Key, Part) {
        let part = match user_data >> 32 {
            0 => Part::Main,
            1 => Part::Flush,
            other => panic!("the kernel reported part {other} of an operation; there is none"),
        };
        (Key(user_data as u32), part)
    }
}

/// Slots are given again only after the last completion of their operation, so a key names one operation. The
/// table grows to the most that was ever under way and then allocates no more.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Option<Operation>>,
    free: Vec<u32>,
}

impl Table {
    pub fn insert(&mut self, operation: Operation) -> Key {
        if let Some(slot) = self.free.pop() {
            let before = self.slots[slot as usize].replace(operation);
            assert!(before.is_none(), "a free slot holds an operation");
            return Key(slot);
        }
        let slot = u32::try_from(self.slots.len()).expect("operations are bounded");
        self.slots.push(Some(operation));
        Key(slot)
    }

    pub fn get_mut(&mut self, key: Key) -> &mut Operation {
        self.slots[key.0 as usize].as_mut().expect("the kernel reports only what is under way")
    }

    /// The last completion was reaped: the operation and its memory are ours again.
    pub fn remove(&mut self, key: Key) -> Operation {
        let operation = self.slots[key.0 as usize].take().expect("the kernel reports only what is under way");
        self.free.push(key.0);
        operation
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives the memory of everything under way to the kernel for ever: the ring goes away and nobody will learn
    /// when the last operation ends.
    pub fn leak(&mut self) {
        std::mem::forget(std::mem::take(self));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(linked: bool, part: Part, result: i32) -> Option<Result<usize, IoError>> {
        let (shard, id, buf) = (ShardId(1), IoId(7), Buffer::new(0, 8192));
        Write { shard, id, buf, len: 8192, linked, begun_us: 0 }.verdict(part, result)
    }

    #[test]
    fn only_a_whole_flushed_write_is_durable() {
        assert_eq!(verdict(true, Part::Flush, 0), Some(Ok(8192)));
        assert_eq!(verdict(false, Part::Main, 8192), Some(Ok(8192)));
        assert_eq!(verdict(true, Part::Main, 8192), None, "its flush has not spoken");
        let failed = |step| Some(Err(IoError { step, errno: libc::EIO }));
        assert_eq!(verdict(true, Part::Flush, -libc::EIO), failed(IoStep::Flush));
        assert_eq!(verdict(true, Part::Main, -libc::EIO), failed(IoStep::Write));
        assert_eq!(verdict(false, Part::Main, -libc::EIO), failed(IoStep::Write));
    }

    #[test]
    fn a_short_write_is_short() {
        assert_eq!(verdict(true, Part::Main, 4096), Some(Ok(4096)));
        assert_eq!(verdict(false, Part::Main, 4096), Some(Ok(4096)));
    }

    #[test]
    fn keys_travel_and_slots_come_back() {
        let mut table = Table::default();
        let a = table.insert(Operation::Accept { multishot: true });
        let b = table.insert(Operation::Accept { multishot: false });
        assert_eq!(Key::parse(b.user_data(Part::Flush)), (b, Part::Flush));
        assert_eq!(table.len(), 2);
        table.remove(a);
        assert_eq!(table.len(), 1);
        assert_eq!(table.insert(Operation::Accept { multishot: true }), a);
    }
}
