//! `seawall log verify`: every checksum, and the verdict of the next start.

use serde_json::{Value as Json, json};

use super::{Exit, Failed, Part, Place, document, judged, look};

pub(super) fn run(place: &Place) -> Result<Exit, Failed> {
    let (target, parts) = place.look()?;
    let line = |part: &Part| {
        let report = &part.looked.report;
        let verdict = if report.halt.is_some() { "" } else { "clean: " };
        format!(
            "{}: {verdict}{} records in {} batches; {}",
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
            "file": halt.file,
            "offset": halt.offset,
            "expected": halt.expected,
            "observed": halt.observed,
        })),
    })
}
