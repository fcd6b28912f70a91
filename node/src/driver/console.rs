//! Saying things to whoever watches, if anybody does. A node does not die because a terminal or a pipe was closed,
//! as it would with `println!`; a command whose answer could not be written says so when it ends.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why something that was said could not be written, the first time.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

static HAS_SAID: AtomicBool = AtomicBool::new(false);

/// Whether anything was said on standard output.
pub fn has_said() -> bool {
    HAS_SAID.load(Ordering::Relaxed)
}

/// A line on standard output.
pub fn say(line: impl fmt::Display) {
    let _whoever_asks_sees_it_at_the_end = try_to_say(line);
}

/// The same; `false`: nobody gets it.
pub fn try_to_say(line: impl fmt::Display) -> bool {
    HAS_SAID.store(true, Ordering::Relaxed);
    written(writeln!(io::stdout(), "{line}"))
}

/// A line on standard error.
pub fn complain(line: impl fmt::Display) {
    let _nobody_reads = writeln!(io::stderr(), "{line}");
}

/// What became of a write to standard output. Who closed a pipe has read enough; whatever else went wrong is kept.
pub fn written(result: io::Result<()>) -> bool {
    if let Err(why) = &result
        && why.kind() != io::ErrorKind::BrokenPipe
    {
        UNWRITTEN.get_or_init(|| why.to_string());
    }
    result.is_ok()
}

/// Why a part of what was said is lost.
pub fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}
