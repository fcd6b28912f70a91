//! A socket alone: how many bytes a second one thread hands to another over loopback, which only takes them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::about::About;
use crate::parse::{count, seconds};

/// Before the window, so that both threads have found their CPUs and the socket's buffers their size.
const WARMUP: Duration = Duration::from_millis(200);

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Bytes that are written, and read, at once.
    #[arg(long, value_name = "B", default_value = "65536", value_parser = count::<1, 16_777_216>)]
    pub bytes: usize,
    /// Length of the measured window.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub seconds: Duration,
    /// One JSON object instead of a line.
    #[arg(long)]
    pub json: bool,
}

/// What arrived within the window, and how long that was.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    pub bytes: u64,
    pub took: Duration,
}

impl Copied {
    fn mb_per_s(&self) -> f64 {
        (self.bytes as f64 / self.took.as_secs_f64() / 1e5).round() / 1e1
    }
}

pub fn run(options: &Options) -> std::io::Result<Copied> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    let bytes = options.bytes;
    let sender = thread::spawn(move || send(near, bytes));
    let mut buffer = vec![0; bytes];
    let copied =
        take(&mut far, &mut buffer, WARMUP).and_then(|_| take(&mut far, &mut buffer, options.seconds));
    drop(far);
    sender.join().expect("the other end does not panic");
    copied
}

/// Until the other end hangs up, which is an error of one kind or another.
fn send(mut socket: TcpStream, bytes: usize) {
    let message = vec![7; bytes];
    while socket.write_all(&message).is_ok() {}
}

fn take(socket: &mut TcpStream, buffer: &mut [u8], window: Duration) -> std::io::Result<Copied> {
    let begin = Instant::now();
    let mut bytes = 0;
    while begin.elapsed() < window {
        socket.read_exact(buffer)?;
        bytes += buffer.len() as u64;
    }
    Ok(Copied { bytes, took: begin.elapsed() })
}

/// One object, in this order.
pub fn json(options: &Options, copied: &Copied, about: &About) -> Value {
    json!({
        "mode": "copy",
        "bytes": options.bytes,
        "seconds": copied.took.as_secs_f64(),
        "copied": copied.bytes,
        "mb_per_s": copied.mb_per_s(),
        "kernel": about.kernel,
        "commit": about.commit,
    })
}

/// The same for people.
pub fn line(options: &Options, copied: &Copied) -> String {
    format!("{} MB/s over loopback in pieces of {} bytes", copied.mb_per_s(), options.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_counted() {
        for bytes in [1, 4096, 1 << 20] {
            let options = Options { bytes, seconds: Duration::from_millis(20), json: true };
            let copied = run(&options).unwrap();
            assert!(copied.bytes >= bytes as u64 && copied.took >= options.seconds, "{copied:?}");
            let told = json(&options, &copied, &About::this_machine());
            assert_eq!((&told["copied"], &told["bytes"]), (&copied.bytes.into(), &bytes.into()));
        }
    }
}
