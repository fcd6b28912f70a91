//! What recovery found, replayed, cut and why: for people as text, for programs as JSON. The same bytes on disk
//! give the same report.

use std::fmt;

use crate::checkpoint::Boundary;
use crate::format::{Incarnation, NotValid, SegmentHeader};
use crate::meta::Latch;
use crate::recover::cut::Abandoned;
use crate::recover::verdict::{Break, Tail};
use crate::{CheckpointId, Epoch, FileId, Index, SlotId};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub shard: u32,
    /// The checkpoint that the log continues.
    pub checkpoint: Option<Loaded>,
    /// Checkpoints that cannot be believed: an integrity failure, survived because the log reaches back far enough.
    pub corrupt: Vec<Corrupt>,
    /// The copy of the metadata that cannot be believed: the same, survived because the other one holds all that counts.
    pub bad_copy: Option<(u64, NotValid)>,
    /// Segments behind the checkpoint.
    pub segments: usize,
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
    /// Last index of the log as recovered; 0 for an empty log.
    pub last: Index,
    /// Highest index that batches of the log say was committed.
    pub committed: Index,
    /// Highest epoch found, and the one that this start takes; of a follower, the one that it promised.
    pub found_epoch: Epoch,
    pub epoch: Epoch,
    pub follows: bool,
    /// What was cut off for good; a copy of it is in the quarantine.
    pub abandoned: Vec<Abandoned>,
    /// Everything that was here is in the quarantine under this number, or on its way there.
    pub put_aside: Option<u64>,
    /// Where the log ends; `None` for an empty log.
    pub end: Option<End>,
    /// Bytes of the last in-flight window, written again and flushed before anything was reported.
    pub rewritten: u64,
    pub halt: Option<Halt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub cut: Index,
    pub entries: u64,
    pub bytes: u64,
    pub digest: u128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    pub id: CheckpointId,
    pub offset: u64,
    pub why: String,
    /// The device did not give its bytes: they may be whole.
    pub unread: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub slot: SlotId,
    pub incarnation: Incarnation,
    pub offset: u64,
    pub tail: Tail,
    /// First byte behind the end that nothing explains; it stays in its slot, outside the log.
    pub leftover: Option<u64>,
    /// A cut that an earlier recovery decided, finished by this one.
    pub finished_cut: bool,
}

/// Why the log cannot be served. Nothing was changed on disk but the metadata, which may latch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The rule of RELIABILITY that forbids to go on, `R2` say.
    pub rule: &'static str,
    pub file: FileId,
    pub offset: u64,
    pub expected: String,
    pub observed: String,
}

impl Halt {
    fn at(rule: &'static str, slot: SlotId, offset: u64, expected: String, observed: String) -> Self {
        Self { rule, file: FileId::Slot(slot), offset, expected, observed }
    }

    pub(super) fn metadata(copies: [NotValid; 2]) -> Self {
        let [a, b] = copies;
        Self {
            rule: "R6",
            file: FileId::Meta,
            offset: 0,
            expected: "at least one valid copy of the metadata".into(),
            observed: format!("first copy: {a}; second copy: {b}"),
        }
    }

    pub(super) fn one_copy(offset: u64, why: NotValid) -> Self {
        Self {
            rule: "R6",
            file: FileId::Meta,
            offset,
            expected: "two valid copies of the metadata".into(),
            observed: format!("{why} in this one; the other one is whole"),
        }
    }

    pub(super) fn rotten_checkpoint(corrupt: &Corrupt) -> Self {
        let Corrupt { id, offset, why, .. } = corrupt;
        Self {
            rule: "R8",
            file: FileId::Checkpoint(*id),
            offset: *offset,
            expected: "a whole checkpoint".into(),
            observed: format!("{why}; the log would reach back far enough to do without it"),
        }
    }

    /// The bytes are not what they were. That a log is not to be led says nothing of them.
    pub(super) fn is_damage(&self) -> bool {
        self.rule != "R10"
    }

    pub(super) fn latched(latch: &Latch) -> Self {
        Self {
            rule: latch.rule(),
            file: latch.file,
            offset: latch.offset,
            expected: latch.expected(),
            observed: format!(
                "{} (index {}; found before this start, and kept until an operator clears it)",
                latch.observed(),
                latch.index.0
            ),
        }
    }

    pub(super) fn not_to_lead(epoch: Epoch, observed: String) -> Self {
        let expected = format!("a log that may be led in epoch {}", epoch.0);
        Self { rule: "R10", file: FileId::Meta, offset: 0, expected, observed }
    }

    pub(super) fn below_mark(end: Option<&End>, last: Index, mark: Index) -> Self {
        let file = end.map_or(FileId::Meta, |end| FileId::Slot(end.slot));
        let expected = format!("index {}, which the metadata says was durable here", mark.0);
        let offset = end.map_or(0, |end| end.offset);
        Self { rule: "R2", file, offset, expected, observed: format!("a log that ends with {}", last.0) }
    }

    pub(super) fn cut_in_checkpoint(cut: Index, next: Index) -> Self {
        let file = FileId::Checkpoint(CheckpointId(cut.0));
        let expected = format!("no checkpoint of index {} or above, where the log was cut", next.0);
        Self { rule: "R12", file, offset: 0, expected, observed: format!("one up to index {}", cut.0) }
    }

    pub(super) fn inside_a_batch(slot: SlotId, offset: u64, next: Index, behind: Index) -> Self {
        let expected = format!("a batch that begins with index {}, where the log was cut", next.0);
        let observed = format!("one that holds it and ends before index {}", behind.0);
        Self::at("R12", slot, offset, expected, observed)
    }

    pub(super) fn beyond_the_window(at: &Break, place: u64, window: u64) -> Self {
        let expected = format!(
            "the batch that begins with index {}; the one at offset {place} was written when all but the last {window} bytes were durable",
            at.next.0
        );
        Self::at("R2", at.slot, at.offset, expected, at.why.to_string())
    }

    pub(super) fn unreadable(file: FileId, offset: u64, observed: String) -> Self {
        let expected =
            "every sector of the log to be readable: an unreadable one is never a torn tail".into();
        Self { rule: "R2", file, offset, expected, observed }
    }

    pub(super) fn unwritable(file: FileId, offset: u64, observed: String) -> Self {
        let expected =
            "the metadata and the last window to be written and flushed before the log is served".into();
        Self { rule: "R4", file, offset, expected, observed }
    }

    pub(super) fn slot_size(slot: SlotId, header: u64, file: u64) -> Self {
        Self::at(
            "R5",
            slot,
            0,
            format!("a file of {header} bytes, as its header says"),
            format!("{file} bytes"),
        )
    }

    pub(super) fn foreign(slot: SlotId, why: NotValid) -> Self {
        Self::at("R1", slot, 0, "a segment of this log".into(), format!("a whole segment header, but {why}"))
    }

    pub(super) fn broken_chain(slot: SlotId, named: Incarnation, found: Incarnation) -> Self {
        let expected = format!("segment {} before this one, as its header says", named.0);
        Self::at("R1", slot, 0, expected, format!("the one before it is segment {}", found.0))
    }

    pub(super) fn broken_end(slot: SlotId, end: u64, bytes: u64) -> Self {
        let expected = format!("an end inside the predecessor's {bytes} bytes");
        Self::at("R1", slot, 0, expected, format!("end {end}"))
    }

    pub(super) fn missing_start(slot: SlotId, named: Incarnation) -> Self {
        let expected = format!("segment {} before this one, as its header says", named.0);
        Self::at("R1", slot, 0, expected, "no older segment".into())
    }

    /// The chain does not hold together, and a header cannot be believed: the file to look at is that one.
    pub(super) fn by_header(self, slot: SlotId, why: NotValid) -> Self {
        let Self { rule, file, expected, observed, .. } = self;
        let observed = format!("{why}; without it, at {file}: expected {expected}, observed {observed}");
        Self::at(rule, slot, 0, "the header of a segment of this log".into(), observed)
    }

    pub(super) fn nothing_behind(base: &Boundary) -> Self {
        let file = FileId::Checkpoint(CheckpointId(base.cut.index.0));
        let expected =
            format!("a segment that continues the checkpoint, after segment {}", base.incarnation.0);
        Self { rule: "R8", file, offset: 0, expected, observed: "none".into() }
    }

    pub(super) fn other_base(slot: SlotId, base: &Boundary, header: &SegmentHeader) -> Self {
        let expected = format!(
            "a segment that continues the checkpoint: end {}, chain {:08x}, index {}",
            base.end,
            base.chain,
            base.cut.index.0 + 1
        );
        let SegmentHeader { pred_end, pred_chain, first_index, .. } = header;
        Self::at("R8", slot, 0, expected, format!("{pred_end}, {pred_chain:08x}, {first_index}"))
    }

    pub(super) fn loose(slot: SlotId, incarnation: Incarnation) -> Self {
        let expected = "a place in the chain for each segment that no checkpoint covers".into();
        Self::at("R1", slot, 0, expected, format!("segment {}, which no other one names", incarnation.0))
    }

    pub(super) fn corrupt_checkpoint(corrupt: &Corrupt) -> Self {
        let Corrupt { id, offset, why, .. } = corrupt;
        Self {
            rule: "R8",
            file: FileId::Checkpoint(*id),
            offset: *offset,
            expected: "a whole checkpoint, or the complete log behind an older one".into(),
            observed: why.clone(),
        }
    }

    pub(super) fn headless(slot: SlotId, header: Option<NotValid>, offset: u64) -> Self {
        let expected = "a segment header over the batches of this slot".into();
        let header = header.map_or("the header of an earlier segment".into(), |why| why.to_string());
        Self::at("R2", slot, 0, expected, format!("{header}, yet a valid batch stands at offset {offset}"))
    }

    pub(super) fn inside(at: &Break) -> Self {
        let expected =
            format!("the batch that begins with index {}; the next segment proves it was durable", at.next.0);
        Self::at("R2", at.slot, at.offset, expected, at.why.to_string())
    }

    pub(super) fn flushed_but_gone(at: &Break, through: u64, place: u64) -> Self {
        let expected = format!(
            "the batch that begins with index {}; the one at offset {place} proves that {through} was durable",
            at.next.0
        );
        Self::at("R2", at.slot, at.offset, expected, at.why.to_string())
    }

    pub(super) fn whole_again(at: &Break) -> Self {
        let expected = "the same bytes when they are read again, before anything behind them is cut".into();
        let observed = format!("at first that {}, and then the whole batch", at.why);
        Self::at("R2", at.slot, at.offset, expected, observed)
    }

    pub(super) fn reads_differently(slot: SlotId, offset: u64, why: NotValid) -> Self {
        let expected =
            "the last window to read as it did when it was checked, before it is written again".into();
        Self::at("R2", slot, offset, expected, why.to_string())
    }

    pub(super) fn seam(slot: SlotId, end: u64, expected: String, observed: String) -> Self {
        Self::at("R1", slot, end, expected, observed)
    }
}

impl Report {
    /// Nothing that should be whole is damaged.
    pub fn is_clean(&self) -> bool {
        self.halt.is_none() && self.corrupt.is_empty() && self.bad_copy.is_none()
    }

    /// One JSON object, on one line.
    pub fn json(&self) -> String {
        let end = self.end.map_or("null".into(), |e| {
            format!(
                r#"{{"slot":{},"incarnation":{},"offset":{},"tail":"{}","leftover_at":{},"finished_cut":{}}}"#,
                e.slot.0,
                e.incarnation.0,
                e.offset,
                e.tail,
                e.leftover.map_or("null".into(), |at| at.to_string()),
                e.finished_cut
            )
        });
        let halt = self.halt.as_ref().map_or("null".into(), |h| {
            format!(
                r#"{{"rule":"{}","file":"{}","offset":{},"expected":"{}","observed":"{}"}}"#,
                h.rule,
                h.file,
                h.offset,
                escaped(&h.expected),
                escaped(&h.observed)
            )
        });
        let checkpoint = self.checkpoint.map_or("null".into(), |c| {
            let Loaded { cut, entries, bytes, digest } = c;
            let cut = cut.0;
            format!(r#"{{"cut":{cut},"entries":{entries},"bytes":{bytes},"digest":"{digest:032x}"}}"#)
        });
        let corrupt = |c: &Corrupt| {
            let (file, offset, why) = (FileId::Checkpoint(c.id), c.offset, &c.why);
            format!(r#"{{"file":"{file}","offset":{offset},"observed":"{why}"}}"#)
        };
        let corrupt = self.corrupt.iter().map(corrupt).collect::<Vec<_>>().join(",");
        let range = |a: &Abandoned| {
            let Abandoned { slot, from, to } = a;
            format!(r#"{{"slot":{},"from":{from},"to":{to}}}"#, slot.0)
        };
        let abandoned = self.abandoned.iter().map(range).collect::<Vec<_>>().join(",");
        let put_aside = self.put_aside.map_or("null".into(), |number| number.to_string());
        let bad = |(offset, why): (u64, NotValid)| format!(r#"{{"offset":{offset},"observed":"{why}"}}"#);
        let bad_copy = self.bad_copy.map_or("null".into(), bad);
        format!(
            r#"{{"shard":{},"checkpoint":{checkpoint},"corrupt_checkpoints":[{corrupt}],"bad_copy_of_metadata":{bad_copy},"segments":{},"batches":{},"records":{},"bytes":{},"last_index":{},"found_epoch":{},"epoch":{},"follows":{},"abandoned":[{abandoned}],"put_aside":{put_aside},"end":{end},"rewritten_bytes":{},"halt":{halt}}}"#,
            self.shard,
            self.segments,
            self.batches,
            self.records,
            self.bytes,
            self.last.0,
            self.found_epoch.0,
            self.epoch.0,
            self.follows,
            self.rewritten,
        )
    }
}

/// Where a log goes that is put aside, from the directory of its shard.
pub fn aside(number: u64) -> String {
    format!("quarantine/reseed-{number:06}")
}

/// For a JSON string: a latch's text came from elsewhere.
fn escaped(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(clean).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}: ", self.shard)?;
        if let Some(halt) = &self.halt {
            return write!(f, "HALTED. {halt}");
        }
        if let Some(number) = self.put_aside {
            write!(f, "all that was here was put aside in {}; ", aside(number))?;
        }
        if let Some((offset, why)) = self.bad_copy {
            write!(f, "INTEGRITY FAILURE: {} at offset {offset} breaks R6: {why}. ", FileId::Meta)?;
            write!(
                f,
                "The other copy holds all that counts, and both were written again; look at the disk. "
            )?;
        }
        for Corrupt { id, offset, why, .. } in &self.corrupt {
            let file = FileId::Checkpoint(*id);
            write!(f, "INTEGRITY FAILURE: {file} at offset {offset} breaks R8: {why}. ")?;
            write!(f, "The log reaches back far enough to do without it; keep the file for a look. ")?;
        }
        if let Some(Loaded { cut, entries, .. }) = &self.checkpoint {
            write!(f, "{entries} entries from the checkpoint at index {}; ", cut.0)?;
        }
        let role = match self.follows {
            true => format!("it follows, and promised epoch {}", self.epoch.0),
            false => format!("this start takes epoch {}", self.epoch.0),
        };
        let Some(end) = &self.end else {
            return write!(f, "a new log; {role}");
        };
        let first = self.checkpoint.map_or(1, |checkpoint| checkpoint.cut.0 + 1);
        let replayed = match self.records {
            0 => String::new(),
            _ => format!(", index {first} to {},", self.last.0),
        };
        write!(
            f,
            "recovered {} records{replayed} in {} segments, last index {}",
            self.records, self.segments, self.last.0
        )?;
        write!(f, "; the log ends at {} offset {}, tail: {}", FileId::Slot(end.slot), end.offset, end.tail)?;
        let unproven =
            |at| format!("nothing proves that the bytes from offset {at} on were ever durable as a whole: ");
        let unproven = end.leftover.map(unproven).unwrap_or_default();
        if !self.abandoned.is_empty() {
            let bytes: u64 = self.abandoned.iter().map(|range| range.to - range.from).sum();
            write!(f, " ({unproven}{bytes} bytes behind it were copied to quarantine/ and taken away)")?;
        } else if end.leftover.is_some() {
            write!(f, " ({unproven}they are no part of the log and stay where they are)")?;
        } else if end.tail == Tail::Certain && !end.finished_cut {
            write!(f, " (nothing that is durable stands behind it)")?;
        }
        if end.finished_cut {
            write!(f, "; finished a cut that was decided before this start")?;
        }
        write!(f, "; {} bytes rewritten and flushed; {role}", self.rewritten)
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, file, offset, expected, observed } = self;
        write!(f, "{file} at offset {offset} breaks {rule}: expected {expected}; observed {observed}. ")?;
        write!(
            f,
            "Nothing of the log was changed. Copy the shard's directory aside before anything else, then restore it from a \
             copy"
        )
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tail::Certain => "certain",
            Tail::Uncertain => "uncertain",
        })
    }
}
