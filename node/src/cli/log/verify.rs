//! `seawall log verify`: every checksum, and the verdict of the next start.

use seawall_wal::FileId;
use serde_json::{Value as Json, json};

use super::{Exit, Failed, Part, Place, document, judged, look};

pub(super) fn run(place: &Place) -> Result<Exit, Failed> {
    let (target, parts) = place.look()?;
    let line = |part: &Part| {
        let report = &part.looked.report;
        let verdict = if report.is_clean() { "clean: " } else { "" };
        let checkpoint = report.checkpoint.map_or(String::new(), |c| {
            format!("checkpoint at index {} with {} entries, ", c.cut.0, c.entries)
        });
        format!(
            "{}: {verdict}{checkpoint}{} records in {} batches; {}",
            part.shard.path.display(),
            report.records,
            report.batches,
            look::ending(&part.looked)
        )
    };
    let people = || parts.iter().map(line).collect::<Vec<_>>().join("\n");
    place.say(people, || document(place, &target, &parts, verdict));
    Ok(judged(&parts))
}

/// The verdict on one part, as every verb tells programs.
pub(super) fn verdict(part: &Part) -> Json {
    let report = &part.looked.report;
    let leftover = report.end.is_some_and(|end| end.leftover.is_some());
    json!({
        "path": part.shard.path.display().to_string(),
        "shard": report.shard,
        "checkpoint": report.checkpoint.map(|c| json!({
            "index": c.cut.0,
            "entries": c.entries,
            "bytes": c.bytes,
            "digest": format!("{:032x}", c.digest),
        })),
        "corrupt_checkpoints": report.corrupt.iter().map(|c| json!({
            "file": FileId::Checkpoint(c.id).to_string(),
            "offset": c.offset,
            "observed": c.why,
        })).collect::<Vec<_>>(),
        "bad_copy_of_metadata": report.bad_copy.map(|(offset, why)| json!({
            "offset": offset,
            "observed": why.to_string(),
        })),
        "segments": report.segments,
        "batches": report.batches,
        "records": report.records,
        "bytes": report.bytes,
        "last_index": report.last.0,
        "end": report.end.map(|end| json!({
            "slot": end.slot.0,
            "offset": end.offset,
            "tail": end.tail.to_string(),
            "leftover_at": end.leftover,
            "finished_cut": end.finished_cut,
        })),
        "may_be_under_way": leftover && part.looked.writer.is_some(),
        "damage": report.halt.as_ref().map(|halt| json!({
            "rule": halt.rule,
            "file": halt.file.to_string(),
            "offset": halt.offset,
            "expected": halt.expected,
            "observed": halt.observed,
        })),
    })
}
