//! Percent-encoding, so that a key is one piece of a path, of a URL and of a command line.

use std::fmt;

/// Writes `text` so that it has none of `/ , : %`, no space and nothing outside of ASCII.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(f, "{}", char::from(byte))?
            }
            other => write!(f, "%{other:02X}")?,
        }
    }
    Ok(())
}

/// The inverse of [`write()`]; what needs no escape may stand as it is.
pub(crate) fn parse(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' { digit(bytes.next()?)? << 4 | digit(bytes.next()?)? } else { byte });
    }
    String::from_utf8(plain).ok()
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).map(|digit| digit as u8)
}
