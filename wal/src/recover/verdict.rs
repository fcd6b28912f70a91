//! The verdict table R2.
//!
//! | evidence behind the first invalid batch (its first index is `n`)                    | verdict          |
//! |-------------------------------------------------------------------------------------|------------------|
//! | a read error                                                                        | halt (`Recovery`) |
//! | the segment has a successor: its header was issued when all before it was durable   | halt             |
//! | issued here: a whole header of the same incarnation with `flushed_through >= n`     | halt             |
//! | followed: a self-valid later batch further behind than what may be under way        | halt             |
//! | the log would end below the durable mark in its metadata                            | halt (`conclude`) |
//! | a slot without a header holds a self-valid batch that the chain lacks               | halt (`Recovery`) |
//! | a self-valid batch of a later incarnation: the slot was used again, and its header is gone | halt        |
//! | only zeros, or batches of earlier incarnations                                      | cut, certain     |
//! | anything else                                                                       | cut, uncertain   |

use crate::recover::evidence::Evidence;
use crate::recover::report::Halt;
use crate::{Index, SlotId, format::NotValid};

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing was ever written behind the end.
    Certain,
    /// Torn, reordered or rotten: it cannot be told apart.
    Uncertain,
}

/// The first place at which the log does not continue.
#[derive(Clone, Copy, Debug)]
pub struct Break {
    pub slot: SlotId,
    pub offset: u64,
    /// The index that was expected there.
    pub next: Index,
    pub why: NotValid,
}

/// `evidence` was collected from the break to the end of the segment; there is no successor. Of an epoch that was
/// followed, `window` is the most that was under way at once: what was durable at its issuer proves nothing here.
pub fn verdict(at: &Break, evidence: &Evidence, window: Option<u64>) -> Result<Tail, Halt> {
    if let (Some(window), Some(place)) = (window, evidence.last_at)
        && place - at.offset > window
    {
        return Err(Halt::beyond_the_window(at, place, window));
    }
    if let (None, Some((through, place))) = (window, evidence.flushed)
        && through >= at.next.0
    {
        return Err(Halt::flushed_but_gone(at, through, place));
    }
    if let Some(offset) = evidence.newer_at {
        return Err(Halt::headless(at.slot, None, offset));
    }
    Ok(if evidence.unexplained().is_none() { Tail::Certain } else { Tail::Uncertain })
}
