//! Request keys: what makes a commit that is sent twice happen once.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use crate::address::partition_prefix;
use crate::key::{encode_bytes, split, split_name, write_label};
use crate::limits::REQUEST_KEY_MAX;
use crate::value::write_hex;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// The number of each form in a payload; 0: no key.
mod form {
    pub(super) const NONE: u8 = 0;
    pub(super) const CALLER: u8 = 1;
    pub(super) const SESSION: u8 = 2;
}

/// What a request is called, within its namespace and partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyName<'a> {
    /// Chosen by the caller: 1 to 64 bytes.
    Caller(&'a [u8]),
    /// Chosen by the client for a caller that did not care.
    Session {
        /// Random.
        session: [u8; 16],
        /// The first of a session is 1.
        sequence: u64,
    },
}

/// A request key as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey<'a> {
    /// What the request is called.
    pub name: KeyName<'a>,
    /// When it was sent for the first time: microseconds since 1970 UTC on the node's clock, as HELLO told it. Kept
    /// over all repetitions: it decides how long the outcome is remembered.
    pub first_sent_us: i64,
}

impl<'a> RequestKey<'a> {
    /// Appends a key, or that there is none.
    pub fn encode(key: Option<&RequestKey<'_>>, out: &mut Vec<u8>) {
        let Some(RequestKey { name, first_sent_us }) = key else {
            return out.push(form::NONE);
        };
        match name {
            KeyName::Caller(name) => {
                out.push(form::CALLER);
                out.extend_from_slice(&first_sent_us.to_le_bytes());
                put_sized(out, name);
            }
            KeyName::Session { session, sequence } => {
                out.push(form::SESSION);
                out.extend_from_slice(&first_sent_us.to_le_bytes());
                out.extend_from_slice(session);
                put_varint(out, *sequence);
            }
        }
    }

    /// The inverse of [`encode`](Self::encode).
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Option<RequestKey<'a>>, Malformed> {
        let form = reader.u8()?;
        if form == form::NONE {
            return Ok(None);
        }
        let first_sent_us = reader.i64()?;
        let name = match form {
            form::CALLER => match reader.sized("request key", REQUEST_KEY_MAX)? {
                [] => return Err(Malformed::Empty),
                name => KeyName::Caller(name),
            },
            form::SESSION => {
                let (session, sequence) = (reader.array()?, reader.varint()?);
                if sequence == 0 {
                    return Err(Malformed::Empty);
                }
                KeyName::Session { session, sequence }
            }
            got => return Err(Malformed::Unknown { what: "form of request key", got: u64::from(got) }),
        };
        Ok(Some(RequestKey { name, first_sent_us }))
    }

    /// Reads a key that must be there.
    pub(crate) fn read_some(reader: &mut Reader<'a>) -> Result<RequestKey<'a>, Malformed> {
        RequestKey::read(reader)?.ok_or(Malformed::Empty)
    }
}

impl KeyName<'_> {
    /// Appends the key that the outcome is stored under: hash, namespace and partition as for a row, then the form and
    /// the name. So a partition's outcomes lie together, and those of a session in the order of their sequence.
    pub fn stored_key(&self, namespace: &str, partition: &[u8], out: &mut Vec<u8>) {
        partition_prefix(namespace, partition, out);
        self.stored_suffix(out);
    }

    /// Appends what follows the partition in that key.
    pub fn stored_suffix(&self, out: &mut Vec<u8>) {
        match self {
            KeyName::Caller(name) => {
                out.push(form::CALLER);
                encode_bytes(out, name);
            }
            KeyName::Session { session, sequence } => {
                out.push(form::SESSION);
                out.extend_from_slice(session);
                out.extend_from_slice(&sequence.to_be_bytes());
            }
        }
    }
}

/// The parts of a key that an outcome is stored under, as whoever keeps outcomes needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredName<'a> {
    /// The tenant.
    pub namespace: &'a str,
    /// What it shares with the others of its session and with nobody else; of a caller's key all of it.
    pub holder: &'a [u8],
    /// Of a caller's key 0, which no session has.
    pub sequence: u64,
}

impl<'a> StoredName<'a> {
    /// Takes apart what [`KeyName::stored_key`] wrote; `None` for bytes that it never wrote.
    pub fn of(stored: &'a [u8]) -> Option<StoredName<'a>> {
        let (_hash, rest) = stored.split_first_chunk::<8>()?;
        let (namespace, rest) = split_name(rest)?;
        let (_partition, name) = split(rest)?;
        match *name.first()? {
            form::CALLER => Some(StoredName { namespace, holder: stored, sequence: 0 }),
            form::SESSION if name.len() == 1 + 16 + 8 => {
                let (holder, sequence) = stored.split_last_chunk()?;
                Some(StoredName { namespace, holder, sequence: u64::from_be_bytes(*sequence) })
            }
            _ => None,
        }
    }
}

/// A caller's key as text if it is one, else as hex; a session's as `session:HEX:SEQUENCE`.
impl fmt::Display for KeyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyName::Caller(name) => write_label(f, name),
            KeyName::Session { session, sequence } => {
                write!(f, "session:")?;
                write_hex(f, session)?;
                write!(f, ":{sequence}")
            }
        }
    }
}

/// What was asked under a request key, in 16 bytes: XXH3-128 with seed 0 over the content of the commit, big-endian.
///
/// The content is the payload from the partition on: everything but the durability, the key and its first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    pub(crate) fn of(content: &[u8]) -> Fingerprint {
        Fingerprint(xxh3_128(content).to_be_bytes())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}
