//! A page about a run that stands for itself: numbers as text, charts as inline SVG, nothing from a network.

use std::fmt::Write as _;
use std::path::Path;

use super::options::Options;
use super::report::lines;
use super::window::{Nanos, STEP, nanos};
use super::{Result, Tally};
use crate::about::About;

/// Of a chart, in units of its SVG; axes and labels stand in the margins.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 15.0;
const RIGHT: f64 = 20.0;
/// Points of the throughput; a longer run gets wider steps.
const POINTS: usize = 240;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:2em auto;padding:0 1em;color:#222}\
    td{padding:0 1em 0 0;vertical-align:top}td:first-child{color:#666;white-space:nowrap}\
    svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#555}\
    .grid{stroke:#ddd}.line{fill:none;stroke:#06c;stroke-width:1.5}.warm{fill:#f3f3f3}";

/// Writes the page. The error is for the person who asked for it.
pub fn write(
    path: &Path,
    options: &Options,
    result: &Result,
    about: &About,
) -> std::result::Result<(), String> {
    let page = page(options, result, about);
    std::fs::write(path, page).map_err(|error| {
        format!(
            "the report could not be written to {}: {error}; name a file in a directory that exists",
            path.display()
        )
    })
}

fn page(options: &Options, result: &Result, about: &About) -> String {
    let mut rows = String::new();
    for (name, value) in lines(options, result, about) {
        let _ = writeln!(rows, "<tr><td>{name}</td><td>{}</td></tr>", escaped(&value)); // a String takes everything
    }
    let title = format!("seawall-bench load: {}", options.workload.name());
    let latency = latency(&result.tally).svg("Latency by percentile, in microseconds");
    let throughput =
        throughput(options, &result.tally).svg("Operations done a second, over the time in seconds");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<table>\n{rows}</table>\n\
         <h2>Latency</h2>\n{latency}\n<h2>Throughput</h2>\n{throughput}\n</body></html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A line over two axes that both begin at 0.
#[derive(Debug)]
struct Chart {
    points: Vec<(f64, f64)>,
    x_end: f64,
    y_end: f64,
    x_labels: Vec<(f64, String)>,
    /// Up to here the background is grey.
    grey_until: f64,
}

/// Nines: each unit to the right is one tenth of the operations that are left.
fn latency(tally: &Tally) -> Chart {
    let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
    let count = tally.latencies.len().max(1) as f64;
    // As far as there are operations to be told apart.
    let x_end = count.log10().clamp(1.0, (names.len() - 1) as f64);
    let steps = 200;
    let points: Vec<_> = (0..=steps)
        .map(|step| {
            let nines = x_end * f64::from(step) / f64::from(steps);
            (nines, tally.latencies.value_at_quantile(1.0 - 10_f64.powf(-nines)) as f64)
        })
        .collect();
    let x_labels = names.iter().enumerate().map(|(n, name)| (n as f64, (*name).to_owned())).collect();
    Chart { y_end: highest(&points), points, x_end, x_labels, grey_until: 0.0 }
}

fn throughput(options: &Options, tally: &Tally) -> Chart {
    let seconds = |steps: f64| steps * STEP as f64 / 1e9;
    let end: Nanos = nanos(options.warmup) + nanos(options.seconds);
    // What was done after the end is no throughput, and a step that the end cuts would be too low.
    let whole = ((end / STEP) as usize).max(1);
    let mut steps = tally.steps.clone();
    steps.resize(whole, 0);
    let wide = whole.div_ceil(POINTS);
    let points: Vec<_> = steps
        .chunks(wide)
        .enumerate()
        .map(|(n, chunk)| {
            let middle = (n * wide) as f64 + chunk.len() as f64 / 2.0;
            (seconds(middle), chunk.iter().sum::<u64>() as f64 / seconds(chunk.len() as f64))
        })
        .collect();
    let x_end = seconds(whole as f64);
    let x_labels = (0..=5).map(|n| x_end * f64::from(n) / 5.0).map(|x| (x, format!("{x:.1}"))).collect();
    Chart {
        y_end: highest(&points),
        points,
        x_end,
        x_labels,
        grey_until: options.warmup.as_secs_f64().min(x_end),
    }
}

/// The end of an axis that holds all points: 1, 2 or 5 and zeros.
fn highest(points: &[(f64, f64)]) -> f64 {
    let highest = points.iter().map(|(_, y)| *y).fold(1.0, f64::max);
    let unit = 10_f64.powf(highest.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|n| n * unit).into_iter().find(|end| *end >= highest).unwrap_or(highest)
}

impl Chart {
    fn x(&self, x: f64) -> f64 {
        LEFT + x / self.x_end * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - y / self.y_end * (HEIGHT - BOTTOM - TOP)
    }

    fn svg(&self, title: &str) -> String {
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{title}</title>\n");
        let (left, bottom) = (self.x(0.0), self.y(0.0));
        // A String takes everything.
        if self.grey_until > 0.0 {
            let (width, height) = (self.x(self.grey_until) - left, bottom - TOP);
            let _ = writeln!(
                svg,
                "<rect class=\"warm\" x=\"{left}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">warm-up</text>",
                left + 4.0,
                TOP + 14.0
            );
        }
        for n in 0..=4 {
            let value = self.y_end * f64::from(n) / 4.0;
            let (y, right) = (self.y(value), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                left - 6.0,
                y + 4.0
            );
        }
        for (x, name) in self.x_labels.iter().filter(|(x, _)| *x <= self.x_end) {
            let (x, below) = (self.x(*x), bottom + 18.0);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{name}</text>"
            );
        }
        let points: Vec<_> =
            self.points.iter().map(|(x, y)| format!("{:.1},{:.1}", self.x(*x), self.y(*y))).collect();
        let _ = writeln!(svg, "<polyline class=\"line\" points=\"{}\"/>\n</svg>", points.join(" "));
        svg
    }
}
