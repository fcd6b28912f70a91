//! Values of options, the same for each verb.

use std::time::Duration;

pub fn count<const MIN: usize, const MAX: usize>(text: &str) -> Result<usize, String> {
    let in_range = text.parse().ok().filter(|n| (MIN..=MAX).contains(n));
    in_range.ok_or_else(|| format!("write a whole number from {MIN} to {MAX}"))
}

pub fn seconds(text: &str) -> Result<Duration, String> {
    let sensible = text.parse::<f64>().ok().filter(|s| (0.0..=86_400.0).contains(s));
    sensible.map(Duration::from_secs_f64).ok_or_else(|| "write seconds, from 0 to 86400".to_owned())
}

/// A window of no length measures nothing.
pub fn some_seconds(text: &str) -> Result<Duration, String> {
    let some = seconds(text).ok().filter(|seconds| !seconds.is_zero());
    some.ok_or_else(|| "write seconds above 0, up to 86400".to_owned())
}

pub fn positive(text: &str) -> Result<f64, String> {
    let sensible = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 1e9);
    sensible.ok_or_else(|| "write a number above 0, up to 1000000000".to_owned())
}
