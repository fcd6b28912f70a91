//! Where a driver keeps the open files of one log in a table: the metadata first, then the slots by their numbers, then
//! the checkpoints that a start may read.

use std::io;

use seawall_wal::recover::Files;
use seawall_wal::{CheckpointId, FileId, SlotId};

/// A start reads one checkpoint, and looks at the headers of those that a crash may have left beside it.
const CHECKPOINTS: usize = 8;

pub(super) struct Places {
    slots: usize,
    checkpoints: Vec<CheckpointId>,
}

impl Places {
    /// The size of a table with room for so many slots.
    pub fn size(slots: u32) -> usize {
        1 + slots as usize + CHECKPOINTS
    }

    /// For what was found in the directory of a log. Of the checkpoints the newest are the ones that count; others
    /// are left out of `found`.
    pub fn new(slots: u32, found: &mut Files) -> Self {
        let superfluous = found.checkpoints.len().saturating_sub(CHECKPOINTS);
        found.checkpoints.drain(..superfluous);
        let checkpoints = found.checkpoints.iter().map(|(id, _)| *id).collect();
        Self { slots: slots as usize, checkpoints }
    }

    /// The files to open at a start.
    pub fn names(&self, found: &Files) -> Vec<FileId> {
        let slots = found.slots.iter().map(|(slot, _)| FileId::Slot(*slot));
        let checkpoints = self.checkpoints.iter().map(|id| FileId::Checkpoint(*id));
        std::iter::once(FileId::Meta).chain(slots).chain(checkpoints).collect()
    }

    /// The place of a file; without one there are too many slots.
    pub fn of(&self, file: FileId) -> io::Result<usize> {
        let place = match file {
            FileId::Meta => Some(0),
            FileId::Slot(SlotId(slot)) => Some(1 + slot as usize).filter(|place| *place <= self.slots),
            FileId::Checkpoint(id) => {
                self.checkpoints.iter().position(|known| *known == id).map(|nth| 1 + self.slots + nth)
            }
        };
        place.ok_or_else(|| io::Error::from_raw_os_error(libc::ENFILE))
    }
}
