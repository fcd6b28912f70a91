//! What a recovery will ask for next is read while it looks at what it has. It goes through a file from front to back, in
//! windows that overlap by what was not whole at the end of the one before.
//!
//! Parts of the file are read in a row, and windows are copied out of them, so each byte comes from the disk once. A part
//! counts for nothing but speed: what it does not hold is read by itself, and that result is what is reported (R4).

use std::collections::VecDeque;

use io_uring::{opcode, types};
use seawall::map::ShardId;
use seawall_wal::{Buffer, Done, FileId, IoId};

use super::Ring;
use crate::driver::table::{Key, Operation, Part};
use crate::params::{READ_AHEAD_PART, READ_AHEAD_PARTS};
use crate::seam::Event;

/// At most one trail for each shard, while that is recovered.
#[derive(Default)]
pub(super) struct Ahead {
    trails: Vec<Trail>,
    spare: Vec<Buffer>,
}

/// The parts of a file that were read or are being read, in a row.
struct Trail {
    shard: ShardId,
    file: FileId,
    parts: VecDeque<ReadPart>,
    waits: Option<Window>,
}

struct ReadPart {
    offset: u64,
    state: State,
}

enum State {
    UnderWay(Key),
    /// So many bytes of it; none, if it could not be read.
    Ended(Buffer, usize),
}

/// What the core asked for.
pub(super) struct Window {
    pub id: IoId,
    pub offset: u64,
    pub len: usize,
    pub buf: Buffer,
}

impl Window {
    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }
}

impl ReadPart {
    fn end(&self) -> u64 {
        self.offset + READ_AHEAD_PART as u64
    }

    /// Where the bytes end that it has.
    fn whole_to(&self) -> Option<u64> {
        match &self.state {
            State::UnderWay(_) => None,
            State::Ended(_, got) => Some(self.offset + *got as u64),
        }
    }
}

impl Ahead {
    /// A write, or another file under the same name: what was read of this shard may have changed since.
    fn take(&mut self, shard: ShardId) -> Option<Trail> {
        let nth = self.trails.iter().position(|trail| trail.shard == shard)?;
        let trail = self.trails.swap_remove(nth);
        if self.trails.is_empty() {
            self.spare.clear();
        }
        Some(trail)
    }
}

impl Trail {
    fn continues_at(&self, file: FileId, offset: u64) -> bool {
        let begin = self.parts.front().map_or(offset, |part| part.offset);
        self.file == file && (begin..=self.end(offset)).contains(&offset)
    }

    fn end(&self, otherwise: u64) -> u64 {
        self.parts.back().map_or(otherwise, ReadPart::end)
    }

    /// The window out of the parts: `None` while they are under way, `Some(false)` if they do not hold it.
    fn fill(&self, window: &mut Window) -> Option<bool> {
        let (begin, end) = (window.offset, window.end());
        let mut at = begin;
        for part in self.parts.iter().filter(|part| part.end() > begin && part.offset < end) {
            let State::Ended(buffer, got) = &part.state else { return None };
            let from = usize::try_from(at - part.offset).expect("parts are in a row");
            let to = usize::try_from(end - part.offset).map_or(*got, |to| to.min(*got));
            let Some(bytes) = buffer.bytes().get(from..to) else { return Some(false) };
            let done = usize::try_from(at - begin).expect("within the window");
            window.buf.bytes_mut()[done..done + bytes.len()].copy_from_slice(bytes);
            at += bytes.len() as u64;
            if at < part.end().min(end) {
                return Some(false);
            }
        }
        Some(at == end)
    }
}

impl Ring {
    /// Takes a window of which parts are read ahead, or that is worth it; gives it back if it is neither.
    pub(super) fn read_through(
        &mut self,
        shard: ShardId,
        file: FileId,
        place: types::Fixed,
        window: Window,
    ) -> Option<Window> {
        let continues = |trail: &Trail| trail.shard == shard && trail.continues_at(file, window.offset);
        if !self.ahead.trails.iter().any(continues) {
            if window.len < READ_AHEAD_PART {
                return Some(window);
            }
            self.forget_ahead(shard);
            self.ahead.trails.push(Trail { shard, file, parts: VecDeque::new(), waits: None });
        }
        let nth = self.ahead.trails.iter().position(|trail| trail.shard == shard).expect("made above");
        let trail = &mut self.ahead.trails[nth];
        assert!(trail.waits.is_none(), "one read of a recovery is under way at a time");
        while let Some(part) = trail.parts.pop_front_if(|part| part.end() <= window.offset) {
            if let State::Ended(buffer, _) = part.state {
                self.ahead.spare.push(buffer);
            }
        }
        let enough = window.end() + (READ_AHEAD_PARTS * READ_AHEAD_PART) as u64;
        let mut at = trail.end(window.offset);
        trail.waits = Some(window);
        // Nothing stands behind a part that is not whole.
        let ends = |part: &ReadPart| part.whole_to().is_some_and(|to| to < part.end());
        while at < enough && !self.ahead.trails[nth].parts.back().is_some_and(ends) {
            let state = State::UnderWay(self.read_part(place, at));
            self.ahead.trails[nth].parts.push_back(ReadPart { offset: at, state });
            at += READ_AHEAD_PART as u64;
        }
        self.serve(shard);
        None
    }

    fn read_part(&mut self, place: types::Fixed, offset: u64) -> Key {
        let mut buf = self.ahead.spare.pop().unwrap_or_else(|| Buffer::new(u16::MAX, READ_AHEAD_PART));
        let (target, len) = (buf.bytes_mut().as_mut_ptr(), buf.capacity() as u32);
        let key = self.table.insert(Operation::ReadAhead { buf });
        let entry = opcode::Read::new(place, target, len).offset(offset).build();
        // SAFETY: `target` is the front of the buffer that the table owns until the completion was reaped, and `len` is
        // all of it.
        unsafe { self.queue.push(entry.user_data(key.user_data(Part::Main))) };
        key
    }

    /// Of a trail that is gone, nobody wants it any more.
    pub(super) fn part_read(&mut self, key: Key, result: i32) {
        let Operation::ReadAhead { buf } = self.table.remove(key) else { unreachable!("it was looked at") };
        let mut parts = self.ahead.trails.iter_mut().flat_map(|trail| {
            let shard = trail.shard;
            trail.parts.iter_mut().map(move |part| (shard, part))
        });
        let found = parts.find(|(_, part)| matches!(part.state, State::UnderWay(of) if of == key));
        if let Some((shard, part)) = found {
            part.state = State::Ended(buf, usize::try_from(result).unwrap_or(0));
            self.serve(shard);
        }
    }

    /// Answers the window that waits, if it can be by now.
    fn serve(&mut self, shard: ShardId) {
        let Some(trail) = self.ahead.trails.iter_mut().find(|trail| trail.shard == shard) else { return };
        let Some(mut window) = trail.waits.take() else { return };
        match trail.fill(&mut window) {
            None => trail.waits = Some(window),
            Some(true) => {
                let done = Done { id: window.id, result: Ok(window.len), buf: Some(window.buf) };
                self.ready.push(Event::Disk { shard, done });
            }
            Some(false) => {
                trail.waits = Some(window);
                self.forget_ahead(shard);
            }
        }
    }

    /// What was read ahead of this shard's files counts no more: they may change, or have. A window that waits for it is
    /// read by itself.
    pub(in crate::driver) fn forget_ahead(&mut self, shard: ShardId) {
        if let Some(Trail { file, waits: Some(window), .. }) = self.ahead.take(shard) {
            self.read_alone(shard, file, window);
        }
    }
}
