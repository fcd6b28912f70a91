//! The commit token: where a commit or a read stood, as a text that a caller can keep, log and send back.

use std::fmt;
use std::str::FromStr;

use crate::map::ShardId;
use crate::position::{Epoch, Index, Position};
use crate::wire::{Malformed, Reader, put_varint};

/// The first byte of the bytes behind the text; another layout takes another number.
const LAYOUT: u8 = 1;

/// Crockford's alphabet: no I, L, O or U, so a token survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Opaque to callers: hand it back, compare it for equality, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Which history; see [`Lineage::tag`](crate::position::Lineage::tag).
    pub lineage_tag: u32,
    /// Whose log.
    pub shard: ShardId,
    /// Where in that log.
    pub position: Position,
}

impl Token {
    /// Appends the bytes that stand in requests.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lineage_tag.to_le_bytes());
        put_varint(out, u64::from(self.shard.0));
        put_varint(out, self.position.epoch.0);
        put_varint(out, self.position.index.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Token, Malformed> {
        let lineage_tag = reader.u32()?;
        let shard = reader.count("shard", u32::MAX as usize)? as u32;
        let position = Position { epoch: Epoch(reader.varint()?), index: Index(reader.varint()?) };
        Ok(Token { lineage_tag, shard: ShardId(shard), position })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![LAYOUT];
        self.encode(&mut bytes);
        let sum = crc32c::crc32c(&bytes); // all of it: one wrong letter or two swapped are always found
        bytes.extend_from_slice(&sum.to_le_bytes());
        f.pad(&to_base32(&bytes))
    }
}

/// The text is no token, or was mistyped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a commit token: copy it again, whole, from the answer that gave it")
    }
}

impl std::error::Error for NoToken {}

impl From<Malformed> for NoToken {
    fn from(_: Malformed) -> NoToken {
        NoToken
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Token, NoToken> {
        let bytes = from_base32(text).ok_or(NoToken)?;
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(NoToken)?;
        let mut reader = Reader::new(body);
        if u32::from_le_bytes(*sum) != crc32c::crc32c(body) || reader.u8()? != LAYOUT {
            return Err(NoToken);
        }
        let token = Token::read(&mut reader)?;
        reader.end()?;
        Ok(token)
    }
}

fn to_base32(bytes: &[u8]) -> String {
    let bit = |i: usize| bytes.get(i / 8).map_or(0, |byte| byte >> (7 - i % 8) & 1);
    let digit = |first: usize| (first..first + 5).fold(0, |digit, i| digit << 1 | bit(i));
    (0..bytes.len() * 8).step_by(5).map(|first| char::from(ALPHABET[usize::from(digit(first))])).collect()
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut window, mut bits) = (Vec::new(), 0u32, 0);
    for typed in text.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == typed.to_ascii_uppercase())?;
        window = window << 5 | digit as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((window >> bits) as u8);
            window &= (1 << bits) - 1;
        }
    }
    (bits < 5 && window == 0 && text.len() <= 64).then_some(bytes)
}
