//! GET_MAP: who owns which part of the hash space, and where its leader is.

use crate::limits::{ADDRESS_MAX, LABEL_MAX, LABELS_MAX};
use crate::list::{List, Piece};
use crate::map::{Generation, Map, ShardId};
use crate::position::Epoch;
use crate::refusal::Refusal;
use crate::wire::{Malformed, Reader, put_sized, put_varint};

/// A GET_MAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// The generation that the client has; [`Generation::ANY`]: none. It is told nothing if there is no other.
    pub known: Generation,
}

impl MapRequest {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.known.0.to_le_bytes());
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<MapRequest, Refusal> {
        let read = || {
            let mut reader = Reader::new(payload);
            let known = Generation(reader.u64()?);
            reader.end()?;
            Ok(MapRequest { known })
        };
        read().map_err(|malformed| Refusal::malformed("get_map", malformed))
    }
}

/// A label of a shard's leader: `region=eu` for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a>(pub &'a str);

impl<'a> Piece<'a> for Label<'a> {
    const WHAT: &'static str = "labels";

    fn read(reader: &mut Reader<'a>) -> Result<Label<'a>, Malformed> {
        reader.text("label", LABEL_MAX).map(Label)
    }
}

/// A part of the hash space: from its first hash up to the first hash of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned<'a> {
    /// The lowest hash.
    pub first_hash: u64,
    /// Its owner.
    pub shard: ShardId,
    /// The epoch of the shard's leader.
    pub epoch: Epoch,
    /// `host:port` of the leader; empty: nobody leads, or it is not known here.
    pub leader: &'a str,
    /// What is said about the leader.
    pub labels: List<'a, Label<'a>>,
}

/// The parts of a map as GET_MAP tells them, each with its labels. The epoch is 0, and nothing is said of a leader,
/// where the map names none.
pub fn told(map: &Map) -> Vec<(Owned<'_>, Vec<&str>)> {
    let told = map.ranges().iter().zip(&map.parts().replicas).map(|(range, replicas)| {
        let leader = map.leader(range.shard);
        let part = Owned {
            first_hash: range.first_hash,
            shard: range.shard,
            epoch: replicas.epoch,
            leader: leader.map_or("", |leader| &leader.address),
            labels: List::EMPTY,
        };
        let labels = leader.map(|leader| &leader.labels[..]).unwrap_or_default();
        (part, labels.iter().map(String::as_str).collect())
    });
    told.collect()
}

/// What stands in front of each part; 0 ends them.
const PART: u8 = 1;

impl<'a> Piece<'a> for Owned<'a> {
    const WHAT: &'static str = "parts of the map";

    fn read(reader: &mut Reader<'a>) -> Result<Owned<'a>, Malformed> {
        match reader.u8()? {
            PART => Ok(Owned {
                first_hash: reader.u64()?,
                shard: ShardId(reader.u32()?),
                epoch: Epoch(reader.u64()?),
                leader: reader.text("address", ADDRESS_MAX)?,
                labels: List::read_counted(reader, LABELS_MAX)?,
            }),
            got => Err(Malformed::Unknown { what: "part of a map", got: u64::from(got) }),
        }
    }
}

/// Appends one part with its labels.
fn encode_part(out: &mut Vec<u8>, part: &Owned<'_>, labels: &[&str]) {
    out.push(PART);
    out.extend_from_slice(&part.first_hash.to_le_bytes());
    out.extend_from_slice(&part.shard.0.to_le_bytes());
    out.extend_from_slice(&part.epoch.0.to_le_bytes());
    put_sized(out, part.leader.as_bytes());
    put_varint(out, labels.len() as u64);
    labels.iter().for_each(|label| put_sized(out, label.as_bytes()));
}

/// Appends parts as they come, each with its labels; those in the part itself are not looked at.
pub(crate) fn encode<'p>(out: &mut Vec<u8>, parts: impl IntoIterator<Item = (Owned<'p>, &'p [&'p str])>) {
    parts.into_iter().for_each(|(part, labels)| encode_part(out, &part, labels));
    out.push(0);
}

/// The inverse of [`encode`]: whole maps begin at hash 0 and ascend; none at all says that nothing is new.
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> Result<List<'a, Owned<'a>>, Malformed> {
    let parts: List<'a, Owned<'a>> = List::read_ended(reader)?;
    let ascend = parts.iter().map(|part| part.first_hash).is_sorted_by(|a, b| a < b);
    let whole = parts.iter().next().is_none_or(|part| part.first_hash == 0);
    if ascend && whole { Ok(parts) } else { Err(Malformed::Order) }
}
