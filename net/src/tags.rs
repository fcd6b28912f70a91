//! Tagged fields: what was added to a message after its layout was fixed.

use crate::limits::TAGS_MAX;
use crate::refusal::Refusal;
use crate::wire::{Malformed, Reader};

/// This bit of a tag's number says: refuse me rather than skip me when you do not know me.
pub const MANDATORY: u16 = 0x8000;

/// One tagged field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// What it is.
    pub id: u16,
    /// What it says.
    pub bytes: &'a [u8],
}

impl Tag<'_> {
    /// Appends number, length and bytes.
    ///
    /// # Panics
    /// When the bytes are over [`TAGS_MAX`].
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.bytes.len() <= TAGS_MAX, "a tagged field is small");
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&(self.bytes.len() as u16).to_le_bytes());
        out.extend_from_slice(self.bytes);
    }
}

/// The tagged fields of a frame, in the order in which they stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags<'a> {
    bytes: &'a [u8],
}

impl<'a> Tags<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Tags<'a> {
        Tags { bytes }
    }

    /// Whether all of them can be read, and those that must be understood are among `known`.
    pub fn check(&self, known: &[u16]) -> Result<(), Refusal> {
        if self.bytes.len() > TAGS_MAX {
            return Err(Refusal::too_large("frame.tags_len", TAGS_MAX, self.bytes.len() as u64));
        }
        for tag in self.read() {
            let tag = tag.map_err(|malformed| Refusal::malformed("frame.tags", malformed))?;
            if tag.id & MANDATORY != 0 && !known.contains(&tag.id) {
                return Err(Refusal::unsupported("frame.tags", "mandatory tag", u64::from(tag.id)));
            }
        }
        Ok(())
    }

    /// The first field of this number.
    pub fn find(&self, id: u16) -> Option<&'a [u8]> {
        self.read().flatten().find(|tag| tag.id == id).map(|tag| tag.bytes)
    }

    fn read(self) -> impl Iterator<Item = Result<Tag<'a>, Malformed>> {
        let mut reader = Reader::new(self.bytes);
        let mut broken = false;
        std::iter::from_fn(move || {
            if broken || reader.is_empty() {
                return None;
            }
            let tag = read_one(&mut reader);
            broken = tag.is_err();
            Some(tag)
        })
    }
}

fn read_one<'a>(reader: &mut Reader<'a>) -> Result<Tag<'a>, Malformed> {
    let (id, len) = (reader.u16()?, reader.u16()?);
    Ok(Tag { id, bytes: reader.take(usize::from(len))? })
}
