//! The small metadata of a log (R6): two checksummed copies, written alternately, so that a torn write of one
//! leaves the other. Both bad means: refuse to start (F-RC2).

use bytemuck::{Pod, Zeroable};

use crate::format::{self, Incarnation, LogId, NotValid, VERSION};
use crate::{BLOCK, Epoch, Index};

pub const MAGIC: [u8; 4] = *b"SWMD";
/// Size of the file: two copies of one block each.
pub const META_BYTES: usize = 2 * BLOCK;

/// What a log must remember outside its segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Counts the writes; the copy with the higher one is the current one.
    pub sequence: u64,
    /// Highest epoch ever promised here, and to whom.
    pub epoch: Epoch,
    pub leader: u64,
    /// Counts the starts of the process: an equal epoch from another start is an integrity failure.
    pub start: u64,
    /// Longest lease ever granted.
    pub lease_us: u64,
    /// A follower's durable mark.
    pub durable: Index,
    /// A cut that was decided and may not have been finished (R3).
    pub cut: Option<Cut>,
}

/// Everything at or behind `offset` of segment `incarnation` is not part of the log; the log ends before `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub incarnation: Incarnation,
    pub offset: u64,
    pub next: Index,
    /// The tail was torn, reordered or rotten, and it cannot be told which.
    pub uncertain: bool,
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
    /// 0 none, 1 certain, 2 uncertain.
    cut_kind: u32,
    /// Clean mark and halt latch will stand here.
    reserved: [u8; 148],
    crc: u32,
}

const _: () = assert!(size_of::<Block>() == 256 && std::mem::offset_of!(Block, crc) == 252);

/// The first contents of a log's metadata file: both copies valid, nothing promised.
pub fn format(log: &LogId) -> Vec<u8> {
    let mut bytes = vec![0; META_BYTES];
    for copy in 0..2 {
        let meta = Meta { sequence: copy as u64, ..Meta::default() };
        bytes[copy * BLOCK..][..BLOCK].copy_from_slice(&meta.encode(log));
    }
    bytes
}

/// The newer valid copy. `Err` says what is wrong with each.
pub fn read(bytes: &[u8], log: &LogId) -> Result<Meta, [NotValid; 2]> {
    let copy = |at: usize| Meta::decode(bytes.get(at..at + BLOCK).unwrap_or_default(), log);
    match (copy(0), copy(BLOCK)) {
        (Ok(a), Ok(b)) => Ok(if a.sequence > b.sequence { a } else { b }),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(a), Err(b)) => Err([a, b]),
    }
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

    pub fn encode(&self, log: &LogId) -> [u8; BLOCK] {
        let cut = self.cut;
        let mut block = Block {
            magic: MAGIC,
            version: VERSION,
            lineage: log.lineage,
            shard: log.shard,
            sequence: self.sequence,
            epoch: self.epoch.0,
            leader: self.leader,
            start: self.start,
            lease_us: self.lease_us,
            durable: self.durable.0,
            cut_incarnation: cut.map_or(0, |c| c.incarnation.0),
            cut_offset: cut.map_or(0, |c| c.offset),
            cut_next: cut.map_or(0, |c| c.next.0),
            cut_kind: cut.map_or(0, |c| if c.uncertain { 2 } else { 1 }),
            ..Zeroable::zeroed()
        };
        block.crc = format::checksum(&block);
        let mut bytes = [0; BLOCK];
        bytes[..size_of::<Block>()].copy_from_slice(bytemuck::bytes_of(&block));
        bytes
    }

    pub fn decode(bytes: &[u8], log: &LogId) -> Result<Self, NotValid> {
        let block: Block = format::cast(bytes)?;
        format::check(block.magic == MAGIC, format::checksum(&block) == block.crc, block.version)?;
        if block.lineage != log.lineage || block.shard != log.shard {
            return Err(NotValid::OtherLog);
        }
        let cut = |uncertain| Cut {
            incarnation: Incarnation(block.cut_incarnation),
            offset: block.cut_offset,
            next: Index(block.cut_next),
            uncertain,
        };
        Ok(Self {
            sequence: block.sequence,
            epoch: Epoch(block.epoch),
            leader: block.leader,
            start: block.start,
            lease_us: block.lease_us,
            durable: Index(block.durable),
            cut: match block.cut_kind {
                0 => None,
                1 => Some(cut(false)),
                2 => Some(cut(true)),
                _ => return Err(NotValid::Field("cut")),
            },
        })
    }
}
