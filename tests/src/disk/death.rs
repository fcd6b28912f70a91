//! The end of a process, of its machine, or of the disk itself: what becomes of what was under way.

use seawall::map::ShardId;
use seawall_wal::{BLOCK, FileId};

use super::Disk;
use super::file::{File, SECTOR};
use super::operation::{Operation, Task};
use crate::fault::Fault;

impl Disk {
    /// The process ends: operations under way never report, and some of what they wrote still arrives.
    pub fn kill(&mut self) {
        for operation in std::mem::take(&mut self.operations).into_values() {
            self.abandon(operation);
        }
        self.offered.clear(); // a start removes what has no name
    }

    /// The machine loses its power.
    pub fn power_cut(&mut self) {
        self.kill();
        let survive = *self.random.pick(&[0, 100, 500, 900, 1000]);
        for file in self.files.values_mut() {
            for (kept, lost) in file.lose(survive, &mut self.random) {
                match (kept, lost) {
                    (0, 1..) => self.fired.add(Fault::LostWrite),
                    (1.., 1..) => self.fired.add(Fault::TornWrite),
                    _ => {}
                }
            }
        }
        self.bring_back();
    }

    /// The disk is another one: what was on it is gone.
    pub fn lose_all(&mut self, shard: ShardId) {
        self.kill();
        self.files.retain(|(of, _), _| *of != shard);
    }

    fn abandon(&mut self, mut operation: Operation) {
        match operation.task {
            Task::Write { ref mut pieces, .. } => {
                let mut pieces = std::mem::take(pieces);
                self.random.shuffle(&mut pieces);
                for piece in pieces.iter().filter(|piece| !piece.accepted) {
                    for from in (piece.from..piece.to).step_by(SECTOR) {
                        if self.random.chance(500) {
                            self.take_in(&operation, from, from + SECTOR);
                            self.fired.add(Fault::LateWrite);
                        }
                    }
                }
            }
            // A slot that stood there before keeps its place until the new one has its name.
            Task::Prepare { slot, .. } if self.files.contains_key(&(operation.shard, FileId::Slot(slot))) => {
            }
            Task::Prepare { slot, bytes, .. } => {
                let (fault, left) = match self.random.below(3) {
                    0 => (Fault::PrepareAbsent, None),
                    1 => (
                        Fault::PrepareHalf,
                        Some(BLOCK * self.random.between(2, (bytes / BLOCK - 1) as u64) as usize),
                    ),
                    _ => (Fault::PrepareUnreported, Some(bytes)),
                };
                self.fired.add(fault);
                if let Some(left) = left {
                    self.files.insert((operation.shard, FileId::Slot(slot)), File::new(vec![0; left]));
                }
            }
            Task::Read { .. } | Task::Kept | Task::Offered { .. } => {}
            Task::PutAside => self.put_aside(operation.shard, 500),
            Task::Adopt(job) => self.abandon_adoption(operation.shard, &job),
            Task::Fold(job) => self.abandon_fold(operation.shard, &job),
            Task::Remove(file) => {
                if self.random.chance(500) {
                    let _ = self.remove(operation.shard, file);
                }
            }
        }
    }
}
