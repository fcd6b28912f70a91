//! The small metadata of a log (R6): two checksummed copies, written alternately, so that a torn write of one
//! leaves the other. What counts is in both. Both bad means: refuse to start (F-RC2); of one that is bad, the reader is
//! told.

use bytemuck::{Pod, Zeroable};

use crate::format::{self, Incarnation, LogId, NotValid, VERSION};
use crate::{BLOCK, CheckpointId, Epoch, FileId, Index, SlotId};

pub const MAGIC: [u8; 4] = *b"SWMD";
/// Size of the file: two copies of one block each.
pub const META_BYTES: usize = 2 * BLOCK;

/// What a log must remember outside its segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Counts the writes; the copy with the higher one is the current one.
    pub sequence: u64,
    /// Highest epoch ever promised here.
    pub epoch: Epoch,
    /// Whose epoch it is. A fence promises an epoch to nobody; the first leader that shows up in it binds the promise.
    pub bound: Option<Bound>,
    /// Counts the starts of the process.
    pub start: u64,
    /// Longest lease ever granted.
    pub lease_us: u64,
    /// Everything up to here was durable and whole here when this was written.
    pub durable: Index,
    /// The same, written by a stop in good order. It says nothing of what may have followed.
    pub clean: Index,
    /// Highest index that was known to be committed.
    pub committed: Index,
    /// Was this log ever a follower's? If not, every epoch in it was issued here.
    pub followed: bool,
    /// Highest epoch that was led here.
    pub issued: Epoch,
    /// Of the epochs at the end of this log, those that were issued here, with no followed one between them: from,
    /// through.
    pub own: (Epoch, Epoch),
    /// The log lost something that it had acknowledged, and takes data without counting until it is recorded again.
    pub reseeding: bool,
    /// A follower's tail was torn, reordered or rotten when it was cut, and nobody has settled what it lacks.
    pub uncertain: bool,
    /// A cut that was decided and may not have been finished (R3).
    pub cut: Option<Cut>,
    /// The checkpoint that ends with this segment may be where the log ends: nothing has to continue it.
    pub bare: Incarnation,
    /// While another one is adopted: the one that this was true of before, and still is if that comes to nothing.
    pub bare_before: Incarnation,
    /// Not 0: all files of this log but this one go to the quarantine, under this number, and nothing else is done before.
    pub aside: u64,
    /// An integrity failure, until somebody clears it (R25).
    pub latch: Option<Latch>,
    /// Somebody cleared one: recovery may do with what is left of what was there twice (R8), until it finds all whole.
    pub cleared: bool,
}

/// A leader's process: an equal epoch from another one is an integrity failure (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub leader: u64,
    pub start: u64,
}

/// The log ends before `next`, which is expected at `offset` of segment `incarnation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub incarnation: Incarnation,
    /// 0: where `next` begins, the next recovery finds out.
    pub offset: u64,
    pub next: Index,
    pub why: CutKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// Nothing was ever written behind the end.
    Certain,
    /// The tail was torn, reordered or rotten, and it cannot be told which.
    Uncertain,
    /// What lies behind is taken away, with all later segments: a follower goes on in the same place, perhaps with
    /// other bytes. Once the offset is known, it was copied to the quarantine.
    Abandoned,
}

/// Why this log is halted, over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latch {
    /// The number of the rule.
    pub rule: u32,
    pub file: FileId,
    pub offset: u64,
    pub index: Index,
    /// What was expected, a line feed, what was observed; zeros behind.
    text: [u8; LATCH_TEXT],
}

/// Bytes of text that a latch keeps.
pub const LATCH_TEXT: usize = 192;

const RULES: [&str; 27] = [
    "R25", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
    "R16", "R17", "R18", "R19", "R20", "R21", "R22", "R23", "R24", "R25", "R26",
];

impl Latch {
    /// `rule` is its name, `R12` say. What does not fit of the texts is left out.
    pub fn new(rule: &str, file: FileId, offset: u64, index: Index, expected: &str, observed: &str) -> Self {
        let rule = RULES.iter().rposition(|known| *known == rule).unwrap_or(0);
        let mut text = [0; LATCH_TEXT];
        let mut at = 0;
        for part in [front(expected, LATCH_TEXT / 2), "\n", front(observed, LATCH_TEXT / 2 - 1)] {
            text[at..at + part.len()].copy_from_slice(part.as_bytes());
            at += part.len();
        }
        Self { rule: u32::try_from(rule).unwrap_or(0), file, offset, index, text }
    }

    pub fn rule(&self) -> &'static str {
        usize::try_from(self.rule).ok().and_then(|rule| RULES.get(rule)).copied().unwrap_or(RULES[0])
    }

    pub fn expected(&self) -> String {
        self.part(0)
    }

    pub fn observed(&self) -> String {
        self.part(1)
    }

    fn part(&self, nth: usize) -> String {
        let end = self.text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut parts = self.text[..end].splitn(2, |byte| *byte == b'\n');
        String::from_utf8_lossy(parts.nth(nth).unwrap_or_default()).into_owned()
    }
}

/// As many whole characters as fit.
fn front(text: &str, most: usize) -> &str {
    let text = text.split('\n').next().unwrap_or_default();
    let fits = |at: &usize| *at <= most && text.is_char_boundary(*at);
    &text[..(0..=text.len()).rev().find(fits).unwrap_or(0)]
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Block {
    magic: [u8; 4],
    version: u16,
    flags: u16,
    lineage: [u8; 16],
    sequence: u64,
    epoch: u64,
    leader: u64,
    start: u64,
    lease_us: u64,
    durable: u64,
    cut_incarnation: u64,
    cut_offset: u64,
    cut_next: u64,
    shard: u32,
    /// 0 none, 1 certain, 2 uncertain, 3 abandoned.
    cut_kind: u32,
    leader_start: u64,
    issued: u64,
    own_from: u64,
    own_through: u64,
    clean: u64,
    committed: u64,
    latch_index: u64,
    latch_offset: u64,
    latch_number: u64,
    /// 0 none, 1 metadata, 2 a slot, 3 a checkpoint.
    latch_file: u32,
    latch_rule: u32,
    /// Of the text behind this.
    latch_crc: u32,
    marks: u32,
    bare: u64,
    bare_before: u64,
    aside: u64,
    reserved: [u8; 36],
    crc: u32,
}

/// The leader to whom the epoch is promised is known.
const BOUND: u32 = 1;
const FOLLOWED: u32 = 2;
const RESEEDING: u32 = 4;
const UNCERTAIN: u32 = 8;
const CLEARED: u32 = 16;

const _: () = assert!(size_of::<Block>() == 256 && std::mem::offset_of!(Block, crc) == 252);
const _: () = assert!(size_of::<Block>() + LATCH_TEXT <= 512, "one sector");

/// The first contents of a log's metadata file: both copies valid, nothing promised.
pub fn format(log: &LogId) -> Vec<u8> {
    let mut bytes = vec![0; META_BYTES];
    for copy in 0..2 {
        let meta = Meta { sequence: copy as u64, ..Meta::default() };
        bytes[copy * BLOCK..][..BLOCK].copy_from_slice(&meta.encode(log));
    }
    bytes
}

/// The newer valid copy, and where the other one is not valid. All that a copy holds lies in one sector, which is
/// written or not: no crash leaves a bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    pub newest: Meta,
    pub bad: Option<(u64, NotValid)>,
}

/// `Err` says what is wrong with each.
pub fn read_both(bytes: &[u8], log: &LogId) -> Result<Copies, [NotValid; 2]> {
    let copy = |at: usize| Meta::decode(bytes.get(at..at + BLOCK).unwrap_or_default(), log);
    match (copy(0), copy(BLOCK)) {
        (Ok(a), Ok(b)) => Ok(Copies { newest: if a.sequence > b.sequence { a } else { b }, bad: None }),
        (Ok(newest), Err(why)) => Ok(Copies { newest, bad: Some((BLOCK as u64, why)) }),
        (Err(why), Ok(newest)) => Ok(Copies { newest, bad: Some((0, why)) }),
        (Err(a), Err(b)) => Err([a, b]),
    }
}

/// The newer valid copy, whatever the other one is.
pub fn read(bytes: &[u8], log: &LogId) -> Result<Meta, [NotValid; 2]> {
    read_both(bytes, log).map(|copies| copies.newest)
}

/// Whose log one copy says it is.
pub fn peek(copy: &[u8]) -> Result<LogId, NotValid> {
    let block: Block = format::cast(copy)?;
    format::check(block.magic == MAGIC, format::checksum(&block) == block.crc, block.version)?;
    Ok(LogId { lineage: block.lineage, shard: block.shard })
}

impl Meta {
    /// Where the copy with this sequence number belongs: never over the current one.
    pub fn offset(&self) -> u64 {
        (self.sequence % 2) * BLOCK as u64
    }

    /// Was this epoch, if it is the one in which the log ends, issued here?
    pub fn issued_here(&self, epoch: Epoch) -> bool {
        let (from, through) = self.own;
        !self.followed || (epoch > Epoch(0) && (from..=through).contains(&epoch))
    }

    pub fn encode(&self, log: &LogId) -> [u8; BLOCK] {
        let (cut, latch) = (self.cut, self.latch);
        let mark = |set: bool, mark: u32| if set { mark } else { 0 };
        let mut block = Block {
            magic: MAGIC,
            version: VERSION,
            lineage: log.lineage,
            shard: log.shard,
            sequence: self.sequence,
            epoch: self.epoch.0,
            leader: self.bound.map_or(0, |bound| bound.leader),
            leader_start: self.bound.map_or(0, |bound| bound.start),
            start: self.start,
            lease_us: self.lease_us,
            durable: self.durable.0,
            clean: self.clean.0,
            committed: self.committed.0,
            issued: self.issued.0,
            own_from: self.own.0.0,
            own_through: self.own.1.0,
            bare: self.bare.0,
            bare_before: self.bare_before.0,
            aside: self.aside,
            cut_incarnation: cut.map_or(0, |c| c.incarnation.0),
            cut_offset: cut.map_or(0, |c| c.offset),
            cut_next: cut.map_or(0, |c| c.next.0),
            cut_kind: cut.map_or(0, |c| c.why.number()),
            marks: mark(self.bound.is_some(), BOUND)
                | mark(self.followed, FOLLOWED)
                | mark(self.reseeding, RESEEDING)
                | mark(self.uncertain, UNCERTAIN)
                | mark(self.cleared, CLEARED),
            ..Zeroable::zeroed()
        };
        if let Some(latch) = latch {
            (block.latch_file, block.latch_number) = match latch.file {
                FileId::Meta => (1, 0),
                FileId::Slot(slot) => (2, slot.0.into()),
                FileId::Checkpoint(id) => (3, id.0),
            };
            (block.latch_rule, block.latch_offset) = (latch.rule, latch.offset);
            (block.latch_index, block.latch_crc) = (latch.index.0, crc32c::crc32c(&latch.text));
        }
        block.crc = format::checksum(&block);
        let mut bytes = [0; BLOCK];
        bytes[..size_of::<Block>()].copy_from_slice(bytemuck::bytes_of(&block));
        if let Some(latch) = latch {
            bytes[size_of::<Block>()..][..LATCH_TEXT].copy_from_slice(&latch.text);
        }
        bytes
    }

    pub fn decode(bytes: &[u8], log: &LogId) -> Result<Self, NotValid> {
        let block: Block = format::cast(bytes)?;
        format::check(block.magic == MAGIC, format::checksum(&block) == block.crc, block.version)?;
        if block.lineage != log.lineage || block.shard != log.shard {
            return Err(NotValid::OtherLog);
        }
        let used = size_of::<Block>() + if block.latch_file == 0 { 0 } else { LATCH_TEXT };
        if bytes.iter().take(BLOCK).skip(used).any(|byte| *byte != 0) {
            return Err(NotValid::Field("zeros behind it"));
        }
        let marked = |mark: u32| block.marks & mark != 0;
        Ok(Self {
            sequence: block.sequence,
            epoch: Epoch(block.epoch),
            bound: marked(BOUND).then_some(Bound { leader: block.leader, start: block.leader_start }),
            start: block.start,
            lease_us: block.lease_us,
            durable: Index(block.durable),
            clean: Index(block.clean),
            committed: Index(block.committed),
            followed: marked(FOLLOWED),
            issued: Epoch(block.issued),
            own: (Epoch(block.own_from), Epoch(block.own_through)),
            reseeding: marked(RESEEDING),
            uncertain: marked(UNCERTAIN),
            cleared: marked(CLEARED),
            bare: Incarnation(block.bare),
            bare_before: Incarnation(block.bare_before),
            aside: block.aside,
            cut: block.cut()?,
            latch: block.latch(bytes)?,
        })
    }
}

impl Block {
    fn cut(&self) -> Result<Option<Cut>, NotValid> {
        let why = match self.cut_kind {
            0 => return Ok(None),
            1 => CutKind::Certain,
            2 => CutKind::Uncertain,
            3 => CutKind::Abandoned,
            _ => return Err(NotValid::Field("cut")),
        };
        let (incarnation, next) = (Incarnation(self.cut_incarnation), Index(self.cut_next));
        Ok(Some(Cut { incarnation, offset: self.cut_offset, next, why }))
    }

    fn latch(&self, bytes: &[u8]) -> Result<Option<Latch>, NotValid> {
        let file = match self.latch_file {
            0 => return Ok(None),
            1 => FileId::Meta,
            2 => u32::try_from(self.latch_number)
                .map(|slot| FileId::Slot(SlotId(slot)))
                .map_err(|_| NotValid::Field("latch"))?,
            3 => FileId::Checkpoint(CheckpointId(self.latch_number)),
            _ => return Err(NotValid::Field("latch")),
        };
        // A copy whose text was torn is no copy: the other one is older, and whole.
        let text = bytes.get(size_of::<Block>()..).unwrap_or_default();
        let text: [u8; LATCH_TEXT] = format::cast(text)?;
        if crc32c::crc32c(&text) != self.latch_crc {
            return Err(NotValid::Checksum);
        }
        let (offset, index) = (self.latch_offset, Index(self.latch_index));
        Ok(Some(Latch { rule: self.latch_rule, file, offset, index, text }))
    }
}

impl CutKind {
    fn number(self) -> u32 {
        match self {
            CutKind::Certain => 1,
            CutKind::Uncertain => 2,
            CutKind::Abandoned => 3,
        }
    }
}
