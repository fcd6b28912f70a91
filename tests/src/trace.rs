//! What happened, in order, as one number: two runs of a seed are equal when their trace hashes are.
//!
//! What is hashed is exactly what `--trace` prints, so that a difference between two runs can be looked at.

use std::fmt::{self, Write};

/// Shows one line of the trace: virtual time in microseconds, and what happened.
pub type Sink = fn(u64, fmt::Arguments<'_>);

/// FNV-1a over the lines of the trace.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    sink: Option<Sink>,
}

impl Trace {
    pub fn new(sink: Option<Sink>) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: 0, sink }
    }

    pub fn note(&mut self, at: u64, what: fmt::Arguments<'_>) {
        self.lines += 1;
        self.absorb(&at.to_le_bytes());
        self.write_fmt(what).expect("absorbing cannot fail");
        if let Some(sink) = self.sink {
            sink(at, what);
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    fn absorb(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.absorb(text.as_bytes());
        Ok(())
    }
}

/// Bytes in a line of the trace: how many, and a checksum of what they are.
pub struct Bytes<'a>(pub &'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B#{:08x}", self.0.len(), crc32c::crc32c(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;

    fn hash(lines: &[(u64, &str)]) -> u64 {
        let mut trace = Trace::new(None);
        lines.iter().for_each(|(at, line)| trace.note(*at, format_args!("{line}")));
        trace.hash()
    }

    #[test]
    fn the_hash_depends_on_what_when_and_in_which_order() {
        let plain = hash(&[(1, "a"), (2, "b")]);
        assert_eq!(plain, hash(&[(1, "a"), (2, "b")]));
        assert_ne!(plain, hash(&[(1, "a"), (3, "b")]));
        assert_ne!(plain, hash(&[(1, "b"), (2, "a")]));
    }
}
