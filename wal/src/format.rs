//! The headers on disk: little-endian, fixed size, cast and not parsed. `docs/log-format.md` draws them.

use bytemuck::{Pod, Zeroable};

use crate::{BLOCK, Epoch, Index};

pub const VERSION: u16 = 1;
pub const SEGMENT_MAGIC: [u8; 4] = *b"SWSG";
pub const BATCH_MAGIC: [u8; 4] = *b"SWBA";

/// A record of a segment's header block; the rest of the block is zeros.
pub const SEGMENT_HEADER: usize = size_of::<SegmentHeader>();
pub const BATCH_HEADER: usize = size_of::<BatchHeader>();
/// The first batch of a segment stands behind the header block.
pub const FIRST_BATCH: u64 = BLOCK as u64;

/// Whose log this is. Bytes of another log are never ours, however valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId {
    pub lineage: [u8; 16],
    pub shard: u32,
}

/// Number of one use of a slot; counts up over the whole life of a log, so it also orders the segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// Where one segment ends and the next continues. The successor's header holds it, so recovery never walks past
/// a recorded end, and a successor's existence proves that everything before that end was durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Predecessor {
    /// 0: there is none, the log begins here.
    pub incarnation: Incarnation,
    pub end: u64,
    pub chain: u32,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable, PartialEq, Eq)]
#[repr(C)]
pub struct SegmentHeader {
    pub magic: [u8; 4],
    pub version: u16,
    pub flags: u16,
    pub lineage: [u8; 16],
    pub incarnation: u64,
    /// Size of the slot's file.
    pub bytes: u64,
    pub epoch: u64,
    pub first_index: u64,
    pub pred_incarnation: u64,
    pub pred_end: u64,
    pub opened_us: i64,
    pub shard: u32,
    pub pred_chain: u32,
    pub reserved: [u8; 36],
    pub header_crc: u32,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable, PartialEq, Eq)]
#[repr(C)]
pub struct BatchHeader {
    pub magic: [u8; 4],
    pub version: u16,
    pub flags: u16,
    pub lineage: [u8; 16],
    pub incarnation: u64,
    /// Its own place in the segment: a misdirected write shows.
    pub offset: u64,
    pub epoch: u64,
    pub first_index: u64,
    /// Highest index that was durable at the issuer when this batch was issued: damage at or below it is
    /// corruption, never a torn tail.
    pub flushed_through: u64,
    pub committed_through: u64,
    /// Leader time when the batch was sealed.
    pub sealed_us: i64,
    pub shard: u32,
    pub records: u32,
    /// Bytes of the payload, which follows the header at once; zeros fill the last block.
    pub length: u32,
    /// Checksum of the header before this one: the previous batch's, or the segment's.
    pub chain: u32,
    pub payload_crc: u32,
    pub reserved: [u8; 24],
    pub header_crc: u32,
}

const _: () = {
    assert!(size_of::<SegmentHeader>() == 128 && size_of::<BatchHeader>() == 128);
    assert!(std::mem::offset_of!(SegmentHeader, incarnation) == 24);
    assert!(std::mem::offset_of!(SegmentHeader, shard) == 80);
    assert!(std::mem::offset_of!(SegmentHeader, header_crc) == 124);
    assert!(std::mem::offset_of!(BatchHeader, offset) == 32);
    assert!(std::mem::offset_of!(BatchHeader, shard) == 80);
    assert!(std::mem::offset_of!(BatchHeader, header_crc) == 124);
    assert!(cfg!(target_endian = "little"), "the formats are little-endian and are cast, not converted");
};

/// Why bytes are not a header of this log. Ordered from "nothing here" to "somebody else's".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotValid {
    /// Fewer bytes than a header.
    Short,
    Magic,
    Checksum,
    Version(u16),
    OtherLog,
    /// A field contradicts where the bytes were found or what came before.
    Field(&'static str),
}

impl SegmentHeader {
    pub fn seal(mut self) -> Self {
        (self.magic, self.version) = (SEGMENT_MAGIC, VERSION);
        self.header_crc = checksum(&self);
        self
    }

    pub fn read(bytes: &[u8], log: &LogId) -> Result<Self, NotValid> {
        let header = Self::peek(bytes)?;
        if header.lineage != log.lineage || header.shard != log.shard {
            return Err(NotValid::OtherLog);
        }
        Ok(header)
    }

    /// An intact header, whoever's it is; [`SegmentHeader::log`] says whose. Of `bytes`, the header block is looked
    /// at.
    pub fn peek(bytes: &[u8]) -> Result<Self, NotValid> {
        let header: Self = cast(bytes)?;
        check(header.magic == SEGMENT_MAGIC, checksum(&header) == header.header_crc, header.version)?;
        let block = bytes.get(..BLOCK).unwrap_or(bytes);
        // No checksum covers it, and replicas hold the same bytes.
        if block.iter().skip(SEGMENT_HEADER).any(|byte| *byte != 0) {
            return Err(NotValid::Field("rest of the header block"));
        }
        Ok(header)
    }

    pub fn log(&self) -> LogId {
        LogId { lineage: self.lineage, shard: self.shard }
    }

    pub fn predecessor(&self) -> Predecessor {
        let incarnation = Incarnation(self.pred_incarnation);
        Predecessor { incarnation, end: self.pred_end, chain: self.pred_chain }
    }

    pub fn first_index(&self) -> Index {
        Index(self.first_index)
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

impl BatchHeader {
    pub fn seal(mut self) -> Self {
        (self.magic, self.version) = (BATCH_MAGIC, VERSION);
        self.header_crc = checksum(&self);
        self
    }

    /// Valid by itself: of this log, whole, and standing where it says. Its payload is not looked at.
    pub fn read(bytes: &[u8], log: &LogId, offset: u64) -> Result<Self, NotValid> {
        let header = Self::read_anywhere(bytes, log)?;
        if header.offset != offset {
            return Err(NotValid::Field("own offset"));
        }
        Ok(header)
    }

    /// Of this log and whole, wherever it was found.
    pub fn read_anywhere(bytes: &[u8], log: &LogId) -> Result<Self, NotValid> {
        let header: Self = cast(bytes)?;
        check(header.magic == BATCH_MAGIC, checksum(&header) == header.header_crc, header.version)?;
        if header.lineage != log.lineage || header.shard != log.shard {
            return Err(NotValid::OtherLog);
        }
        Ok(header)
    }

    /// Bytes of the batch in the segment, its padding included.
    pub fn blocks(&self) -> usize {
        crate::buffer::whole_blocks(BATCH_HEADER + self.length as usize)
    }

    pub fn last_index(&self) -> Index {
        Index(self.first_index + u64::from(self.records) - 1)
    }
}

/// CRC32C of a header without its last field, which holds it.
pub(crate) fn checksum<T: Pod>(header: &T) -> u32 {
    let bytes = bytemuck::bytes_of(header);
    crc32c::crc32c(&bytes[..bytes.len() - 4])
}

pub(crate) fn cast<T: Pod>(bytes: &[u8]) -> Result<T, NotValid> {
    bytes.get(..size_of::<T>()).map(bytemuck::pod_read_unaligned).ok_or(NotValid::Short)
}

/// The checksum is checked before the version: only an intact header of another version is *named* as such.
pub(crate) fn check(magic: bool, intact: bool, version: u16) -> Result<(), NotValid> {
    match (magic, intact) {
        (false, _) => Err(NotValid::Magic),
        (true, false) => Err(NotValid::Checksum),
        (true, true) if version != VERSION => Err(NotValid::Version(version)),
        (true, true) => Ok(()),
    }
}

impl std::fmt::Display for NotValid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotValid::Short => write!(f, "too few bytes"),
            NotValid::Magic => write!(f, "no magic number"),
            NotValid::Checksum => write!(f, "its checksum does not match"),
            NotValid::Version(v) => write!(f, "format version {v}; this build reads {VERSION}"),
            NotValid::OtherLog => write!(f, "it belongs to another lineage or shard"),
            NotValid::Field(name) => write!(f, "its {name} contradicts its place"),
        }
    }
}
