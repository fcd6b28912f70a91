//! What is said about a run.

use std::fmt::Write as _;

use serde_json::{Value, json};

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
    json!({
        "workload": options.workload.name(),
        "ops": tally.done,
        "rate": rate(options, tally).round(),
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": tally.latencies.max(),
        "errors": tally.errors,
        "serious_errors": tally.serious,
        "behind": tally.behind,
        "not_found": tally.not_found,
        "ops_ever": tally.done_ever,
        "config": {
            "connections": options.connections,
            "pipeline": options.pipeline,
            "many": options.many,
            "rate": options.rate,
            "threads": options.threads,
            "value_bytes": options.value_bytes,
            "keys": options.keys,
            "dist": options.dist.name(),
            "filled": options.fills(),
            "warmup": options.warmup.as_secs_f64(),
            "seconds": options.seconds.as_secs_f64(),
        },
        "kernel": about.kernel,
        "commit": about.commit,
        "node": {
            "driver": node.driver,
            "durable_primitive": node.durable_primitive,
            "direct_io": node.direct_io,
        },
    })
}

/// What was asked for, in one line.
pub fn asked(options: &Options) -> String {
    let Options { connections, pipeline, many, threads, value_bytes, keys, .. } = options;
    let mut text = format!("{}, {connections} connections x {pipeline} under way", options.workload.name());
    if *many > 1 {
        let _ = write!(text, " x {many} commits");
    }
    match options.rate {
        Some(rate) => _ = write!(text, ", open loop at {rate} /s"),
        None => text += ", closed loop",
    }
    let dist = options.dist.name();
    let _ = write!(text, ", {threads} threads, {value_bytes} B values, {keys} keys {dist}");
    text
}

/// Pairs of a name and what is to be said about it, for people.
pub fn lines(options: &Options, result: &Result, about: &About) -> Vec<(&'static str, String)> {
    let Result { tally, node } = result;
    let at = |quantile| tally.latencies.value_at_quantile(quantile);
    let io = if node.direct_io { "direct" } else { "buffered" };
    let (seconds, rate) = (options.seconds.as_secs_f64(), rate(options, tally));
    let mut lines = vec![
        ("load", asked(options)),
        ("node", format!("{} driver, {}, {io} I/O", node.driver, node.durable_primitive)),
        ("on", format!("Linux {}, {}", about.kernel, about.commit)),
        ("done", format!("{} in {seconds} s: {rate:.0} /s", tally.done)),
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
    if matches!(options.workload, Workload::Get | Workload::Scan | Workload::Mixed) {
        lines.push(("not found", tally.not_found.to_string()));
    }
    if tally.behind > 0 {
        let what = format!(
            "{} operations were due and not sent: the node does not take this rate, and the latencies hold what they \
             had waited at the end",
            tally.behind
        );
        lines.push(("BEHIND", what));
    }
    for (code, count) in &tally.errors {
        lines.push(("not done", format!("{code} {count}")));
    }
    lines.push(("errors", tally.error_count().to_string()));
    lines
}

/// The same as a table.
pub fn table(options: &Options, result: &Result, about: &About) -> String {
    let mut text = String::new();
    for (name, value) in lines(options, result, about) {
        let _ = writeln!(text, "{name:<11} {value}"); // a String takes everything
    }
    text.trim_end().to_owned()
}
