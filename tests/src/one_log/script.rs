//! What is done to the log: records of many sizes, fences, pauses; and rot at rest.

use seawall_wal::format::FIRST_BATCH;
use seawall_wal::{BLOCK, FileId, Index, Kind, NoRoom, Space};

use super::life::Phase;
use super::model::{Change, Written};
use super::{SHARD, What, World};
use crate::check::{Violation, violation};

impl World {
    pub(super) fn turn(&mut self) -> Result<(), Violation> {
        let Phase::Running(_) = self.life.phase else { return Ok(()) };
        let (low, high) = self.shape.think_us;
        let next = self.now + self.random.between(low, high);
        self.at(next, What::Turn { life: self.lives });
        if !self.life.begun {
            self.tick();
            self.life.begun = self.append(Kind::EpochStart)?;
            return self.pump();
        }
        match self.random.below(10) {
            _ if self.healed => self.last_record(),
            0..=5 => {
                self.burst()?;
                self.pump()
            }
            6 => self.burst(),
            7 if self.random.chance(200) => {
                self.set_floor();
                Ok(())
            }
            7 => self.pump(),
            _ => {
                self.tick();
                let Phase::Running(log) = &self.life.phase else { return Ok(()) };
                if log.wants_fence() {
                    self.append(Kind::Fence)?;
                }
                self.pump()
            }
        }
    }

    /// The faults have ended: nothing keeps a record from being taken, and from becoming durable.
    fn last_record(&mut self) -> Result<(), Violation> {
        self.tick();
        if self.last.is_none() && self.append(Kind::Data)? {
            self.last = Some(Index(self.model.records.len() as u64));
        }
        self.pump()
    }

    /// Time passes: what failed for want of room is tried again.
    fn tick(&mut self) {
        if let Phase::Running(log) = &mut self.life.phase {
            log.retry_prepare();
            log.retry_fold();
        }
    }

    /// A reader that is behind keeps the log, for a while.
    fn set_floor(&mut self) {
        let floor = Index(self.random.below(2 * self.model.acknowledged.0 + 2));
        let floor = (floor <= self.model.acknowledged).then_some(floor);
        self.trace.note(self.now, format_args!("floor {floor:?}"));
        if let Phase::Running(log) = &mut self.life.phase {
            log.set_floor(floor);
        }
    }

    fn burst(&mut self) -> Result<(), Violation> {
        for _ in 0..self.random.between(1, self.shape.burst) {
            if !self.append(Kind::Data)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the log took a record.
    fn append(&mut self, kind: Kind) -> Result<bool, Violation> {
        let written = self.draw_record(kind);
        let Phase::Running(log) = &mut self.life.phase else { return Ok(false) };
        let written = Written { epoch: log.epoch(), ..written };
        let said = log.append(kind, written.time_us, written.entries());
        self.trace.note(self.now, format_args!("append {kind:?}: {said:?}"));
        let next = Index(self.model.records.len() as u64 + 1);
        match said {
            Ok(_) if self.life.frozen.is_some() => {
                violation("R4, a failed log takes nothing", format!("{said:?}"))
            }
            Ok(index) if index == next => {
                self.model.records.push(written);
                self.counts.add("records", 1);
                Ok(true)
            }
            Ok(index) => violation("indices are contiguous", format!("{index:?} instead of {next:?}")),
            Err(NoRoom::Failed) if self.life.frozen.is_some() => Ok(false),
            Err(NoRoom::DiskFull(_)) if log.prepare_error().is_some() => Ok(false),
            Err(NoRoom::Busy) if !log.is_idle() || log.outstanding() || !self.life.begun => Ok(false),
            Err(NoRoom::Busy) => Ok(false),
            Err(why) => violation("a record that fits is taken", format!("{why:?} for {written:?}")),
        }
    }

    fn draw_record(&mut self, kind: Kind) -> Written {
        let mut changes = Vec::new();
        let count = if kind == Kind::Data { self.random.between(1, 3) } else { 0 };
        for _ in 0..count {
            let bytes = self.random.below(1 + *self.random.clone().pick(self.shape.value_bytes)) / count;
            let fill = u8::try_from(self.random.below(256)).expect("a byte");
            let mut value = vec![fill; usize::try_from(bytes).expect("small")];
            let stamp = (self.model.records.len() as u64).to_le_bytes();
            value.iter_mut().zip(stamp).for_each(|(byte, stamp)| *byte = stamp);
            changes.push(Change {
                space: Space(u8::try_from(self.random.between(1, 2)).expect("small")),
                key: format!("key-{}", self.random.below(self.shape.keys)).into_bytes(),
                value: (!self.random.chance(150)).then_some(value),
            });
        }
        let time_us = i64::try_from(self.now).expect("a short life");
        Written { epoch: self.model.epoch, kind, time_us, changes }
    }

    /// Bits rot, in a slot or in the metadata.
    pub(super) fn draw_rot(&mut self) {
        let every = self.shape.rot_every;
        if every == 0 || self.random.below(every) != 0 {
            return;
        }
        let files = self.disk.names(SHARD);
        if self.random.chance(150) {
            self.rot_metadata();
        } else if let (Some((id, bytes)), true) = (files.checkpoints.first(), self.random.chance(200)) {
            self.trace.note(self.now, format_args!("{id:?} rots"));
            let end = usize::try_from(*bytes).expect("a small checkpoint");
            self.disk.rot(SHARD, FileId::Checkpoint(*id), 0, end);
        } else if let Some((slot, _)) = files.slots.first() {
            let file = FileId::Slot(*slot);
            let end = self.writes.end_of(*slot).unwrap_or(FIRST_BATCH);
            self.trace.note(self.now, format_args!("{slot:?} rots before {end}"));
            let end = usize::try_from(end).expect("a small slot");
            self.disk.rot(SHARD, file, 0, end + if self.random.chance(100) { BLOCK } else { 0 });
        }
    }

    /// One copy, or both. The newer one rots only while a segment says the same as it: nothing else knows its epoch
    /// and its cut, and two copies are one where only one of them was told.
    fn rot_metadata(&mut self) {
        let settled = matches!(&self.life.phase, Phase::Running(log) if self.life.begun && self.model.is_acknowledged(log.epoch()));
        if !settled {
            return;
        }
        const COPIES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];
        let copies = *self.random.pick(&COPIES);
        self.trace.note(self.now, format_args!("the metadata rots: {copies:?}"));
        for copy in copies {
            self.disk.rot(SHARD, FileId::Meta, copy * BLOCK, copy * BLOCK + 256);
        }
    }
}
