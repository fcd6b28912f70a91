//! A record: metadata plus entries `(space, key) -> bytes | tombstone`. It is encoded once, into the buffer that
//! will be written, and read in place.

use bytemuck::{Pod, Zeroable};

use crate::Index;

/// What a record is to the log. What it means, its entries say to those who know their spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Data,
    /// First record of an epoch.
    EpochStart,
    /// Written when the log was idle; proves what comes before it, never that nothing followed.
    Fence,
}

/// A family of keys, like a table of the log; numbered by those who write records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Space(pub u8);

/// One change: `None` is a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub space: Space,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// A record read in place from a checked batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub kind: Kind,
    /// Leader time.
    pub time_us: i64,
    whole: &'a [u8],
}

pub const MAX_KEY: usize = u16::MAX as usize;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RecordHeader {
    /// Of the whole record, header included.
    length: u32,
    kind: u8,
    flags: u8,
    entries: u16,
    time_us: i64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct EntryHeader {
    space: u8,
    flags: u8,
    key_len: u16,
    value_len: u32,
}

const RECORD_HEADER: usize = size_of::<RecordHeader>();
const ENTRY_HEADER: usize = size_of::<EntryHeader>();
const _: () = assert!(RECORD_HEADER == 16 && ENTRY_HEADER == 8);

const TOMBSTONE: u8 = 1;

/// Bytes that a record with these entries takes.
pub fn encoded_len<'a>(entries: impl Iterator<Item = Entry<'a>>) -> usize {
    entries.fold(RECORD_HEADER, |sum, e| sum + ENTRY_HEADER + e.key.len() + e.value.map_or(0, <[u8]>::len))
}

/// Writes a record to the front of `out`, which has room for [`encoded_len`] bytes; returns how many it took.
pub fn encode<'a>(
    out: &mut [u8],
    kind: Kind,
    time_us: i64,
    entries: impl Iterator<Item = Entry<'a>>,
) -> usize {
    let mut at = RECORD_HEADER;
    let mut count = 0u16;
    for entry in entries {
        let value = entry.value.unwrap_or_default();
        let header = EntryHeader {
            space: entry.space.0,
            flags: if entry.value.is_none() { TOMBSTONE } else { 0 },
            key_len: u16::try_from(entry.key.len()).expect("the writer of a record limits its keys"),
            value_len: u32::try_from(value.len()).expect("a value is smaller than a batch"),
        };
        for part in [bytemuck::bytes_of(&header), entry.key, value] {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        count += 1;
    }
    let length = u32::try_from(at).expect("a record is smaller than a batch");
    let header = RecordHeader { length, kind: kind.to_byte(), flags: 0, entries: count, time_us };
    out[..RECORD_HEADER].copy_from_slice(bytemuck::bytes_of(&header));
    at
}

/// Reads the record at the front of `bytes`, and checks every length in it; returns it with the rest.
pub fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let header: RecordHeader = bytemuck::pod_read_unaligned(bytes.get(..RECORD_HEADER)?);
    let (whole, rest) = bytes.split_at_checked(header.length as usize)?;
    let body = whole.get(RECORD_HEADER..)?;
    let record = Record { kind: Kind::from_byte(header.kind)?, time_us: header.time_us, whole };
    let whole = Entries { body, broken: false };
    let mut count = 0;
    let mut entries = whole;
    for _ in entries.by_ref() {
        count += 1;
    }
    (!entries.broken && count == usize::from(header.entries) && header.flags == 0).then_some((record, rest))
}

/// Records that stand one behind the other, the first one at `index`.
pub fn all(mut bytes: &[u8], mut index: u64) -> impl Iterator<Item = (Index, Record<'_>)> {
    std::iter::from_fn(move || {
        let (record, behind) = split(bytes)?;
        let at = Index(index);
        (bytes, index) = (behind, index + 1);
        Some((at, record))
    })
}

/// The newest time of records that were looked at before: nothing but their lengths is read.
pub fn newest_us(mut bytes: &[u8]) -> Option<i64> {
    let mut newest = None;
    while let Some(header) = bytes.get(..RECORD_HEADER) {
        let header: RecordHeader = bytemuck::pod_read_unaligned(header);
        newest = newest.max(Some(header.time_us));
        bytes = bytes.get(header.length as usize..).unwrap_or_default();
    }
    newest
}

impl<'a> Record<'a> {
    /// All of it, as it stands in its batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.whole
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + Clone + use<'a> {
        Entries { body: &self.whole[RECORD_HEADER..], broken: false }
    }
}

#[derive(Clone)]
struct Entries<'a> {
    body: &'a [u8],
    broken: bool,
}

impl<'a> Entries<'a> {
    fn take(&mut self) -> Option<Entry<'a>> {
        let (header, rest) = self.body.split_at_checked(ENTRY_HEADER)?;
        let header: EntryHeader = bytemuck::pod_read_unaligned(header);
        let (key, rest) = rest.split_at_checked(usize::from(header.key_len))?;
        let (value, rest) = rest.split_at_checked(header.value_len as usize)?;
        let value = match header.flags {
            0 => Some(value),
            TOMBSTONE if value.is_empty() => None,
            _ => return None,
        };
        self.body = rest;
        Some(Entry { space: Space(header.space), key, value })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.body.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_none() {
            (self.broken, self.body) = (true, &[]);
        }
        entry
    }
}

impl Kind {
    fn to_byte(self) -> u8 {
        match self {
            Kind::Data => 1,
            Kind::EpochStart => 2,
            Kind::Fence => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Kind::Data),
            2 => Some(Kind::EpochStart),
            3 => Some(Kind::Fence),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entries({} bytes left)", self.body.len())
    }
}
