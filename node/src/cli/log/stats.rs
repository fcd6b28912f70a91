//! `seawall log stats`: totals.

use serde_json::{Value as Json, json};

use super::tally::{Sum, spread};
use super::{Exit, Failed, Part, Place, document, judged, verify};

pub(super) fn run(place: &Place) -> Result<Exit, Failed> {
    let (target, parts) = place.look()?;
    let people = || parts.iter().map(text).collect::<Vec<_>>().join("\n");
    place.say(people, || document(place, &target, &parts, object));
    Ok(judged(&parts))
}

fn text(part: &Part) -> String {
    let (report, sum) = (&part.looked.report, part.tally.all);
    let mut text = format!(
        "{}\n  segments {}\n  batches  {}\n  records  {}",
        part.shard.path.display(),
        report.segments,
        sum.batches,
        sum.records
    );
    if let Some((min, median, max)) = spread(&part.tally.sizes) {
        text += &format!("\n  records per batch: least {min}, median {median}, most {max}");
    }
    text += &format!("\n  payload  {} bytes\n  padding  {} bytes", sum.payload, sum.padding());
    for (epoch, sum) in &part.tally.epochs {
        text += &format!("\n  epoch {epoch}: {} records, {} bytes", sum.records, sum.bytes);
    }
    text
}

fn object(part: &Part) -> Json {
    let sum = part.tally.all;
    let spread = spread(&part.tally.sizes);
    let mut object = verify::verdict(part);
    object["payload_bytes"] = json!(sum.payload);
    object["padding_bytes"] = json!(sum.padding());
    object["records_per_batch"] =
        json!(spread.map(|(min, median, max)| json!({ "min": min, "median": median, "max": max })));
    let epoch = |(epoch, sum): (&u64, &Sum)| {
        let Sum { batches, records, bytes, .. } = sum;
        json!({ "epoch": epoch, "batches": batches, "records": records, "bytes": bytes })
    };
    object["epochs"] = part.tally.epochs.iter().map(epoch).collect();
    object
}
