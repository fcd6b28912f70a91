//! A batch: the records of one group commit and one aligned write.
//!
//! [`OpenBatch`] collects records in the buffer that will be written; [`OpenBatch::seal`] puts the header in front.
//! [`Batch::read`] is the way back: bytes -> header -> payload checksum -> records.

use crate::format::{BATCH_HEADER, BatchHeader, FIRST_BATCH, Incarnation, LogId, NotValid};
use crate::record::{self, Entry, Kind, Record};
use crate::{Buffer, Epoch, Index, buffer::whole_blocks};

/// Records that wait for the next write, already in the bytes that will be written.
#[derive(Debug)]
pub struct OpenBatch {
    buffer: Buffer,
    first: Index,
    records: u32,
    end: usize,
}

impl OpenBatch {
    /// `first` is the index that its first record will have.
    pub fn new(buffer: Buffer, first: Index) -> Self {
        Self { buffer, first, records: 0, end: BATCH_HEADER }
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the batch in the segment if it were sealed with `more` bytes of payload in addition.
    pub fn blocks_with(&self, more: usize) -> usize {
        whole_blocks(self.end + more)
    }

    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub fn push<'a>(&mut self, kind: Kind, time_us: i64, entries: impl Iterator<Item = Entry<'a>>) {
        self.end += record::encode(&mut self.buffer.bytes_mut()[self.end..], kind, time_us, entries);
        self.records += 1;
    }

    /// Gives the buffer up; what was in it is forgotten.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Puts the header in front and zeros behind. What is left to fill in, only the log knows.
    pub fn seal(mut self, seal: Seal<'_>) -> Sealed {
        assert!(self.records > 0, "an empty batch is never written");
        let len = whole_blocks(self.end);
        let bytes = &mut self.buffer.bytes_mut()[..len];
        bytes[self.end..].fill(0);
        let header = BatchHeader {
            lineage: seal.log.lineage,
            shard: seal.log.shard,
            incarnation: seal.incarnation.0,
            offset: seal.offset,
            epoch: seal.epoch.0,
            first_index: self.first.0,
            flushed_through: seal.flushed_through.0,
            committed_through: seal.committed_through.0,
            sealed_us: seal.now_us,
            records: self.records,
            length: u32::try_from(self.end - BATCH_HEADER).expect("a batch is smaller than 4 GiB"),
            chain: seal.chain,
            payload_crc: crc32c::crc32c(&bytes[BATCH_HEADER..self.end]),
            ..bytemuck::Zeroable::zeroed()
        }
        .seal();
        bytes[..BATCH_HEADER].copy_from_slice(bytemuck::bytes_of(&header));
        Sealed { header, buffer: self.buffer, len }
    }
}

/// What a batch gets with its header.
#[derive(Clone, Copy, Debug)]
pub struct Seal<'a> {
    pub log: &'a LogId,
    pub incarnation: Incarnation,
    pub offset: u64,
    pub epoch: Epoch,
    pub flushed_through: Index,
    pub committed_through: Index,
    pub chain: u32,
    pub now_us: i64,
}

/// Ready to be written: `buffer[..len]`.
#[derive(Debug)]
pub struct Sealed {
    pub header: BatchHeader,
    pub buffer: Buffer,
    pub len: usize,
}

/// Where a batch is expected to continue a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub incarnation: Incarnation,
    pub offset: u64,
    pub epoch: Epoch,
    pub next: Index,
    pub chain: u32,
}

/// A batch whose header continues the log and whose payload is whole.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub header: BatchHeader,
    payload: &'a [u8],
}

/// Why no batch of the log stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// A header that continues the log, but `0` bytes from its start are needed to see the batch whole.
    Incomplete(usize),
    Invalid(NotValid),
}

impl<'a> Batch<'a> {
    /// `bytes` begin where the batch should; `max` is the most that a batch may take in a segment.
    pub fn read(bytes: &'a [u8], log: &LogId, expected: &Expected, max: usize) -> Result<Self, BatchError> {
        let invalid = |why| BatchError::Invalid(why);
        let header = BatchHeader::read(bytes, log, expected.offset).map_err(invalid)?;
        let field = |name| Err(invalid(NotValid::Field(name)));
        if header.incarnation != expected.incarnation.0 {
            return field("segment incarnation");
        }
        if header.epoch != expected.epoch.0 {
            return field("epoch");
        }
        if header.first_index != expected.next.0 {
            return field("first index");
        }
        if header.chain != expected.chain {
            return field("chain");
        }
        if header.records == 0 || header.blocks() > max {
            return field("length");
        }
        // Whoever made its checksum right may have written anything: no sum below overflows.
        let behind = header.first_index.checked_add(u64::from(header.records));
        if behind.is_none() || header.offset.checked_add(header.blocks() as u64).is_none() {
            return field("place");
        }
        let Some(whole) = bytes.get(BATCH_HEADER..header.blocks()) else {
            return Err(BatchError::Incomplete(header.blocks()));
        };
        let (payload, padding) = whole.split_at(header.length as usize);
        if crc32c::crc32c(payload) != header.payload_crc {
            return Err(invalid(NotValid::Checksum));
        }
        // No checksum covers it, and replicas hold the same bytes.
        if padding.iter().any(|byte| *byte != 0) {
            return field("padding");
        }
        let batch = Self { header, payload };
        match batch.records_are_whole() {
            true => Ok(batch),
            false => field("payload"),
        }
    }

    /// The records with their indices.
    pub fn records(&self) -> impl Iterator<Item = (Index, Record<'a>)> + use<'a> {
        record::all(self.payload, self.header.first_index)
    }

    fn records_are_whole(&self) -> bool {
        let mut rest = self.payload;
        for _ in 0..self.header.records {
            let Some((_, behind)) = record::split(rest) else { return false };
            rest = behind;
        }
        rest.is_empty()
    }

    /// Where the next batch of the segment is expected.
    pub fn next(&self) -> Expected {
        let header = &self.header;
        Expected {
            incarnation: Incarnation(header.incarnation),
            offset: header.offset + header.blocks() as u64,
            epoch: Epoch(header.epoch),
            next: Index(header.first_index + u64::from(header.records)),
            chain: header.header_crc,
        }
    }
}

impl Expected {
    /// The first batch of a segment.
    pub fn first(header: &crate::format::SegmentHeader) -> Self {
        Self {
            incarnation: Incarnation(header.incarnation),
            offset: FIRST_BATCH,
            epoch: header.epoch(),
            next: header.first_index(),
            chain: header.header_crc,
        }
    }
}
