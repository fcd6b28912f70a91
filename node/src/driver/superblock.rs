//! One block that says whose a data directory is, and what can never be changed in it.

use bytemuck::{Pod, Zeroable};
use seawall::position::Lineage;
use seawall_wal::BLOCK;

const MAGIC: [u8; 8] = *b"SEAWALL\0";
pub const VERSION: u32 = 1;

/// Names of the choices that are hard to reverse, padded with zeros. Another name is another format.
const HASH: [u8; 16] = *b"xxh3-64 seed 0\0\0";
const KEYS: [u8; 16] = *b"tuple keys 1\0\0\0\0";
const ROWS: [u8; 16] = *b"named fields 1\0\0";
const LOG: [u8; 16] = *b"blocks 4096 1\0\0\0";

/// What a superblock says that differs between directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    pub lineage: Lineage,
    pub shards: u32,
    /// The number of the node in the map of its cluster; 0: it is alone.
    pub member: u32,
    /// When the directory was made, in microseconds since 1970; for people.
    pub made_us: i64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Image {
    magic: [u8; 8],
    version: u32,
    shards: u32,
    lineage: [u8; 16],
    made_us: i64,
    hash: [u8; 16],
    keys: [u8; 16],
    rows: [u8; 16],
    log: [u8; 16],
    member: u32,
    reserved: [u8; 144],
    /// CRC32C of everything before it.
    crc: u32,
}

const CRC_AT: usize = std::mem::offset_of!(Image, crc);
const _: () = assert!(size_of::<Image>() == 256 && align_of::<Image>() == 8 && CRC_AT == 252);
const _: () = assert!(std::mem::offset_of!(Image, lineage) == 16 && std::mem::offset_of!(Image, hash) == 40);
const _: () = assert!(std::mem::offset_of!(Image, member) == 104);

impl Superblock {
    pub fn encode(&self) -> Vec<u8> {
        let mut image = Image {
            magic: MAGIC,
            version: VERSION,
            shards: self.shards,
            lineage: self.lineage.0,
            made_us: self.made_us,
            member: self.member,
            hash: HASH,
            keys: KEYS,
            rows: ROWS,
            log: LOG,
            ..Zeroable::zeroed()
        };
        image.crc = crc32c::crc32c(&bytemuck::bytes_of(&image)[..CRC_AT]);
        let mut bytes = bytemuck::bytes_of(&image).to_vec();
        bytes.resize(BLOCK, 0);
        bytes
    }

    /// Makes the checksum right, where there is room for one: a fuzzer comes behind it so.
    pub(crate) fn seal(bytes: &mut [u8]) -> bool {
        let Some((front, crc)) = bytes.split_at_mut_checked(CRC_AT) else { return false };
        let Some(crc) = crc.first_chunk_mut() else { return false };
        *crc = crc32c::crc32c(front).to_le_bytes();
        true
    }

    /// `Err` says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let image =
            bytes.get(..size_of::<Image>()).ok_or_else(|| format!("it has only {} bytes", bytes.len()))?;
        let image: Image = bytemuck::pod_read_unaligned(image);
        if image.magic != MAGIC {
            return Err("it is not a Seawall superblock".into());
        }
        let crc = crc32c::crc32c(&bytemuck::bytes_of(&image)[..CRC_AT]);
        if crc != image.crc {
            return Err(format!("its checksum is {:08x}, its contents give {crc:08x}", image.crc));
        }
        if image.version != VERSION {
            return Err(format!("it has version {}, this program knows {VERSION}", image.version));
        }
        let names = [("hash", image.hash, HASH), ("keys", image.keys, KEYS), ("rows", image.rows, ROWS)];
        for (what, found, known) in names.into_iter().chain([("log", image.log, LOG)]) {
            if found != known {
                return Err(format!(
                    "its {what} are {:?}, this program has {:?}",
                    text(&found),
                    text(&known)
                ));
            }
        }
        if image.shards == 0 {
            return Err("it names no shards".into());
        }
        let Image { lineage, shards, made_us, member, .. } = image;
        Ok(Self { lineage: Lineage(lineage), shards, member, made_us })
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Superblock {
        Superblock {
            lineage: Lineage(*b"0123456789abcdef"),
            shards: 3,
            member: 2,
            made_us: 1_700_000_000_000_000,
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = example().encode();
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[..16], b"SEAWALL\0\x01\0\0\0\x03\0\0\0");
        assert_eq!(&bytes[16..32], b"0123456789abcdef");
        assert_eq!(bytes[32..40], 1_700_000_000_000_000i64.to_le_bytes());
        assert_eq!(
            &bytes[40..104],
            b"xxh3-64 seed 0\0\0tuple keys 1\0\0\0\0named fields 1\0\0blocks 4096 1\0\0\0"
        );
        assert_eq!(bytes[104..108], 2u32.to_le_bytes());
        assert_eq!(Superblock::decode(&bytes), Ok(example()));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = example().encode();
        for bit in 0..size_of::<Image>() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&damaged).is_err(), "bit {bit}");
        }
        assert!(Superblock::decode(&bytes[..100]).is_err());
    }
}
