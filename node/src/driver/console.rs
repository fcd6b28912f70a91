//! Saying things to whoever watches, if anybody does. A node does not die because a terminal or a pipe was closed,
//! as it would with `println!`.

use std::fmt;
use std::io::Write;

/// A line on standard output.
pub fn say(line: impl fmt::Display) {
    let _nobody_reads = writeln!(std::io::stdout(), "{line}");
}

/// A line on standard error.
pub fn complain(line: impl fmt::Display) {
    let _nobody_reads = writeln!(std::io::stderr(), "{line}");
}
