//! What is said about a run.

use serde_json::{Value, json};

use super::writer::{RECORD, records_in};
use super::{Options, Outcome, Recovery};
use crate::about::About;

/// One object for one batch size, in this order.
pub fn json(options: &Options, outcome: &Outcome, about: &About) -> Value {
    let Outcome { batch_bytes, tally, .. } = outcome;
    let counts = &tally.counts;
    let records = records_in(*batch_bytes);
    json!({
        "mode": "log",
        "commit_is": "one durable batch",
        "batch_bytes": batch_bytes,
        "records_per_commit": records,
        "record_bytes": RECORD,
        "depth": options.depth,
        "seconds": digits(tally.elapsed.as_secs_f64()),
        "pool_used_up": outcome.pool_used_up,
        "commits": tally.commits,
        "commits_per_s": digits(tally.commits_per_s()),
        "records_per_s": (tally.commits_per_s() * records as f64).round(),
        "mb_per_s": digits(mb_per_s(outcome)),
        "p50_us": us(outcome, 0.5),
        "p99_us": us(outcome, 0.99),
        "p999_us": us(outcome, 0.999),
        "max_us": us(outcome, 1.0),
        "batches": counts.batches,
        "batch_bytes_written": counts.batch_bytes,
        "device_per_byte": device_per_byte(outcome),
        "rolls": counts.rolls,
        "prepares": counts.prepares,
        "enters": counts.enters,
        "enters_per_commit": digits(tally.per_commit(counts.enters)),
        "cpu_us_per_commit": digits(tally.per_commit(counts.cpu_us)),
        "workqueue_per_commit": outcome.workqueue.as_ref().ok().map(|n| digits(*n)),
        "workqueue_not_counted": outcome.workqueue.as_ref().err(),
        "recovery_mb_per_s": outcome.recovery.map(|r| digits(r.mb_per_s())),
        "recovery_records_per_s": outcome.recovery.map(|r| r.records_per_s().round()),
        "driver": options.driver.kind().name(),
        "durable_primitive": outcome.durable,
        "direct_io": outcome.direct,
        "kernel": about.kernel,
        "commit": about.commit,
    })
}

/// The head of the table for people; [`row`] follows for each batch size.
pub fn head(options: &Options, about: &About) -> String {
    format!(
        "log on the {} driver, {} under way, Linux {}, {}; a commit is one durable batch\n{}",
        options.driver.kind().name(),
        options.depth,
        about.kernel,
        about.commit,
        columns([
            "batch KiB",
            "commits/s",
            "records/s",
            "MB/s",
            "p50 us",
            "p99 us",
            "rolls",
            "enters",
            "CPU us",
            "wq",
            "recover MB/s"
        ])
    )
}

/// Counts are for each commit.
pub fn row(outcome: &Outcome) -> String {
    let Outcome { batch_bytes, tally, .. } = outcome;
    let rate = tally.commits_per_s();
    let or_dash = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    columns([
        &(batch_bytes >> 10).to_string(),
        &format!("{rate:.0}"),
        &format!("{:.0}", rate * records_in(*batch_bytes) as f64),
        &format!("{:.1}", mb_per_s(outcome)),
        &format!("{:.1}", us(outcome, 0.5)),
        &format!("{:.1}", us(outcome, 0.99)),
        &tally.counts.rolls.to_string(),
        &format!("{:.2}", tally.per_commit(tally.counts.enters)),
        &format!("{:.1}", tally.per_commit(tally.counts.cpu_us)),
        &or_dash(outcome.workqueue.as_ref().ok().copied()),
        &or_dash(outcome.recovery.map(|r| r.mb_per_s())),
    ])
}

/// What a reader of the figures must not overlook.
pub fn caveats(outcome: &Outcome) -> Vec<String> {
    let batch = format!("{} KiB", outcome.batch_bytes >> 10);
    let mut caveats = Vec::new();
    if outcome.pool_used_up {
        let seconds = outcome.tally.elapsed.as_secs_f64();
        caveats.push(format!(
            "{batch}: THE POOL WAS USED UP after {seconds:.1} s, and the window ended there; raise --pool"
        ));
    }
    if outcome.tally.counts.prepares > 0 {
        caveats.push(format!(
            "{batch}: {} segments were made WITHIN the window, at the cost of its figures",
            outcome.tally.counts.prepares
        ));
    }
    if let Err(why) = &outcome.workqueue {
        caveats.push(format!("{batch}: WORKQUEUE EVENTS NOT COUNTED: {why}"));
    }
    caveats
}

fn columns<const N: usize>(texts: [&str; N]) -> String {
    texts.map(|text| format!("{text:>10}")).join(" ")
}

fn mb_per_s(outcome: &Outcome) -> f64 {
    outcome.tally.commits_per_s() * outcome.batch_bytes as f64 / 1e6
}

/// What the disk wrote for each byte of a batch.
fn device_per_byte(outcome: &Outcome) -> Option<f64> {
    let batches = outcome.tally.counts.batch_bytes;
    let written = outcome.device_bytes.filter(|_| batches > 0)?;
    Some(digits(written as f64 / batches as f64))
}

fn us(outcome: &Outcome, quantile: f64) -> f64 {
    digits(outcome.tally.latencies.value_at_quantile(quantile) as f64 / 1e3)
}

/// More than three digits behind the point would be a pretence.
fn digits(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl Recovery {
    pub fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / self.us.max(1) as f64
    }

    pub fn records_per_s(&self) -> f64 {
        self.records as f64 * 1e6 / self.us.max(1) as f64
    }
}
