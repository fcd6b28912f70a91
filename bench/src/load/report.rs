//! What is said about a run.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::options::{Options, Workload};
use super::{Result, Tally};
use crate::about::About;

/// Done a second, over the measured window.
pub fn rate(options: &Options, tally: &Tally) -> f64 {
    let seconds = options.seconds.as_secs_f64();
    if seconds > 0.0 { tally.done as f64 / seconds } else { 0.0 }
}

/// One object, in this order.
pub fn json(options: &Options, result: &Result, about: &About) -> Value {
    let Result { tally, node } = result;
    let at = |quantile| tally.latencies.value_at_quantile(quantile);
    let refusals: Map<String, Value> =
        tally.refusals.iter().map(|(code, count)| (code.name().to_owned(), json!(count))).collect();
    json!({
        "workload": options.workload.name(),
        "connections": options.connections,
        "pipeline": options.pipeline,
        "threads": options.threads,
        "value_bytes": options.value_bytes,
        "keys": options.keys,
        "warmup": options.warmup.as_secs_f64(),
        "seconds": options.seconds.as_secs_f64(),
        "ops": tally.done,
        "ops_ever": tally.done_ever,
        "not_found": tally.not_found,
        "rate": rate(options, tally).round(),
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": tally.latencies.max(),
        "errors": tally.errors,
        "refusals": refusals,
        "kernel": about.kernel,
        "commit": about.commit,
        "node": {
            "driver": node.driver,
            "durable_primitive": node.durable_primitive,
            "direct_io": node.direct_io,
        },
    })
}

/// The same for people.
pub fn table(options: &Options, result: &Result, about: &About) -> String {
    let Result { tally, node } = result;
    let at = |quantile| tally.latencies.value_at_quantile(quantile);
    let mut lines = vec![
        (
            "load",
            format!(
                "{}, {} connections x {} under way, {} threads, {} B values, {} keys",
                options.workload.name(),
                options.connections,
                options.pipeline,
                options.threads,
                options.value_bytes,
                options.keys
            ),
        ),
        (
            "node",
            format!(
                "{} driver, {}, {} I/O",
                node.driver,
                node.durable_primitive,
                if node.direct_io { "direct" } else { "buffered" }
            ),
        ),
        ("on", format!("Linux {}, {}", about.kernel, about.commit)),
        (
            "done",
            format!("{} in {} s: {:.0} /s", tally.done, options.seconds.as_secs_f64(), rate(options, tally)),
        ),
        (
            "latency us",
            format!(
                "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                tally.latencies.max()
            ),
        ),
    ];
    if options.workload == Workload::Get {
        lines.push(("not found", tally.not_found.to_string()));
    }
    for (code, count) in &tally.refusals {
        lines.push(("refused", format!("{code} {count}")));
    }
    lines.push(("errors", tally.errors.to_string()));
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<11} {value}"); // a String takes everything
    }
    text.trim_end().to_owned()
}
