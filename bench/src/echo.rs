//! A round trip over loopback: what a request and its answer cost before anything is done with them.
//!
//! Two threads that block, one connection, and one message at a time goes there and back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::about::About;
use crate::parse::{count, seconds};

/// Round trips before the window, so that both threads have found their CPUs.
const WARMUP: usize = 1_000;
const LONGEST_NS: u64 = 60_000_000_000;

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Bytes of a message.
    #[arg(long, value_name = "B", default_value = "64", value_parser = count::<1, 65_536>)]
    pub bytes: usize,
    /// Length of the measured window.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub seconds: Duration,
    /// One JSON object instead of a line.
    #[arg(long)]
    pub json: bool,
}

/// In nanoseconds.
pub fn run(options: &Options) -> std::io::Result<Histogram<u64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let bytes = options.bytes;
    let echo = thread::spawn(move || send_back(far, bytes));
    let measured = measure(&mut near, options);
    drop(near);
    let echoed = echo.join().expect("the other end does not panic");
    measured.and_then(|latencies| echoed.map(|()| latencies))
}

/// Until the other end hangs up.
fn send_back(mut socket: TcpStream, bytes: usize) -> std::io::Result<()> {
    let mut message = vec![0; bytes];
    loop {
        match socket.read_exact(&mut message) {
            Ok(()) => socket.write_all(&message)?,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn measure(socket: &mut TcpStream, options: &Options) -> std::io::Result<Histogram<u64>> {
    let (sent, mut received) = (vec![7; options.bytes], vec![0; options.bytes]);
    let mut round_trip = || {
        let begin = Instant::now();
        socket.write_all(&sent)?;
        socket.read_exact(&mut received)?;
        Ok::<_, std::io::Error>(begin.elapsed())
    };
    for _ in 0..WARMUP {
        round_trip()?;
    }
    let mut latencies = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("sensible bounds");
    let begin = Instant::now();
    while begin.elapsed() < options.seconds {
        let took = u64::try_from(round_trip()?.as_nanos()).unwrap_or(LONGEST_NS);
        latencies.saturating_record(took);
    }
    Ok(latencies)
}

/// One object, in this order.
pub fn json(options: &Options, latencies: &Histogram<u64>, about: &About) -> Value {
    json!({
        "mode": "echo",
        "bytes": options.bytes,
        "round_trips": latencies.len(),
        "p50_us": us(latencies, 0.5),
        "p99_us": us(latencies, 0.99),
        "kernel": about.kernel,
        "commit": about.commit,
    })
}

/// The same for people.
pub fn line(options: &Options, latencies: &Histogram<u64>) -> String {
    format!(
        "{} round trips of {} bytes over loopback: p50 {} us, p99 {} us",
        latencies.len(),
        options.bytes,
        us(latencies, 0.5),
        us(latencies, 0.99)
    )
}

fn us(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    (latencies.value_at_quantile(quantile) as f64 / 1e2).round() / 1e1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_comes_back_and_is_counted_once() {
        for bytes in [1, 64, 65_536] {
            let options = Options { bytes, seconds: Duration::from_millis(20), json: true };
            let latencies = run(&options).unwrap();
            assert!(!latencies.is_empty() && latencies.min() > 0, "{bytes}");
            let told = json(&options, &latencies, &About::this_machine());
            assert_eq!((&told["round_trips"], &told["bytes"]), (&latencies.len().into(), &bytes.into()));
            assert!(told["p50_us"].as_f64().unwrap() <= told["p99_us"].as_f64().unwrap(), "{told}");
        }
    }
}
