//! The authority: who keeps the partition map. What it keeps is a document for people and programs.
//!
//! It compares and swaps the generation, elects nobody, and knows no time. Nothing rests on its reads being fresh: whoever
//! acts on a map that is old finds that out by compare-and-swap (R10, R14).

pub mod document;
pub mod embedded;
pub mod watch;

use std::fmt;

use document::Document;
pub use embedded::Embedded;

/// One of the places where a map may be kept.
#[derive(Debug)]
pub enum Authority {
    /// In a directory that all members on this machine share (R26).
    Embedded(Embedded),
}

/// What became of a proposal, as far as it is known at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    Won,
    /// Another map has taken this generation, or a later one.
    Lost,
}

/// Why the authority did not answer.
#[derive(Debug)]
pub struct Trouble(pub String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl Authority {
    /// The newest map.
    pub fn newest(&self) -> Result<Document, Trouble> {
        match self {
            Authority::Embedded(embedded) => embedded.newest(),
        }
    }

    /// Makes this the map, if the one before it is the newest.
    pub fn swap(&self, document: &Document) -> Result<Swap, Trouble> {
        match self {
            Authority::Embedded(embedded) => embedded.swap(document),
        }
    }

    /// Whether there may be a newer map than that of `generation`. Cheap: it is asked many times a second.
    pub fn moved_past(&self, generation: seawall::map::Generation) -> bool {
        match self {
            Authority::Embedded(embedded) => embedded.moved_past(generation),
        }
    }
}
