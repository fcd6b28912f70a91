//! `seawall log inspect`: what is there, for people first.

use seawall_wal::format::{NotValid, SegmentHeader};
use seawall_wal::meta::Meta;
use seawall_wal::{CheckpointId, FileId, SlotId};
use serde_json::{Value as Json, json};

use super::target::Target;
use super::{Exit, Failed, Part, Place, document, judged, look, verify};

pub(super) fn run(place: &Place) -> Result<Exit, Failed> {
    let (target, parts) = place.look()?;
    let people = || {
        let texts: Vec<String> = parts.iter().map(text).collect();
        head(&target) + &texts.join("\n")
    };
    place.say(people, || document(place, &target, &parts, object));
    Ok(judged(&parts))
}

fn head(target: &Target) -> String {
    let mut head = String::new();
    if let Some(superblock) = target.superblock {
        head += &format!("lineage {}, {} shards\n", superblock.lineage, superblock.shards);
    }
    if let Some(pid) = target.writer {
        head += &format!("process {pid} is writing it: its tail may be half-written\n");
    }
    head
}

fn text(part: &Part) -> String {
    let looked = &part.looked;
    let mut text = format!("shard {} in {}", looked.report.shard, part.shard.path.display());
    for (n, copy) in part.shard.metadata().iter().enumerate() {
        text += &match copy {
            Ok(Meta { sequence, epoch, start, cut, .. }) => {
                let cut = cut.map_or(String::new(), |cut| {
                    format!(", cut segment {} at offset {}", cut.incarnation.0, cut.offset)
                });
                format!(
                    "\n  metadata copy {n}: write {sequence}, epoch {} promised by start {start}{cut}",
                    epoch.0
                )
            }
            Err(why) => format!("\n  metadata copy {n}: BAD: {why}"),
        };
    }
    if let Some(checkpoint) = looked.report.checkpoint {
        let (cut, entries, bytes) = (checkpoint.cut.0, checkpoint.entries, checkpoint.bytes);
        text += &format!("\n  {}  ", FileId::Checkpoint(CheckpointId(cut)));
        text += &format!("{entries} entries, {bytes} bytes, digest {:032x}", checkpoint.digest);
    }
    for (slot, header) in &looked.kept {
        let (segment, first) = (header.incarnation, header.first_index);
        text += &format!("\n  {}  segment {segment} from index {first}, ", FileId::Slot(*slot));
        text += "covered by the checkpoint and kept";
    }
    for (slot, header) in &looked.segments {
        let sum = part.tally.slots.get(slot).copied().unwrap_or_default();
        let indices = match sum.records {
            0 => "no records".into(),
            _ => format!("indices {} to {}", header.first_index, sum.last),
        };
        text += &format!(
            "\n  {}  segment {}, epoch {}, {indices}, {} batches, {} of {} bytes used",
            FileId::Slot(*slot),
            header.incarnation,
            header.epoch,
            sum.batches,
            used(&sum),
            header.bytes
        );
    }
    for free in &looked.free {
        let what =
            if free.spare { "spare" } else { "no segment, and bytes that nothing explains: left alone" };
        text += &format!("\n  {}  {what}, {} bytes", FileId::Slot(free.slot), free.bytes);
    }
    text + "\n  " + &look::ending(looked)
}

fn used(sum: &super::tally::Sum) -> u64 {
    seawall_wal::format::FIRST_BATCH + sum.bytes
}

fn object(part: &Part) -> Json {
    let segment = |(slot, header): &(SlotId, SegmentHeader)| {
        let sum = part.tally.slots.get(slot).copied().unwrap_or_default();
        json!({
            "slot": slot.0,
            "incarnation": header.incarnation,
            "epoch": header.epoch,
            "first_index": header.first_index,
            "last_index": (sum.records > 0).then_some(sum.last),
            "batches": sum.batches,
            "used_bytes": used(&sum),
            "bytes": header.bytes,
        })
    };
    let copies = part.shard.metadata();
    let copy = |copy: &Result<Meta, NotValid>| match copy {
        Ok(meta) => json!({ "sequence": meta.sequence, "epoch": meta.epoch.0, "start": meta.start }),
        Err(why) => json!({ "bad": format!("{why}") }),
    };
    let free = |f: &seawall_wal::scan::Free| json!({ "slot": f.slot.0, "bytes": f.bytes, "spare": f.spare });
    let mut object = verify::verdict(part);
    object["metadata"] = copies.iter().map(copy).collect();
    object["chain"] = part.looked.segments.iter().map(segment).collect();
    let kept = |(slot, header): &(SlotId, SegmentHeader)| json!({ "slot": slot.0, "incarnation": header.incarnation, "first_index": header.first_index });
    object["kept"] = part.looked.kept.iter().map(kept).collect();
    object["free"] = part.looked.free.iter().map(free).collect();
    object
}
