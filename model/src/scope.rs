//! How far a check goes.

use crate::state::Set;

/// Everything here is finite, so the states are. Crashes, restarts, lost, late and repeated messages have no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The recorded sync set in the beginning; A leads, and everybody else is async.
    pub sync: Set,
    pub min_in_sync: u8,
    /// Client writes, over all leaders.
    pub writes: u8,
    /// The highest epoch.
    pub epochs: u8,
    /// The highest generation of the map.
    pub generations: u8,
    /// Members that lose their disk.
    pub damages: u8,
    /// Promotions with `--accept-loss` (at most one changes the map).
    pub accept_loss: bool,
    /// Lease promises and linearizable reads.
    pub leases: bool,
    /// `--accept-split` names members that are not powered off.
    pub false_declarations: bool,
    /// Requests too may wait in the network, and outlive their sender. Replies always may.
    pub late_requests: bool,
}

impl Scope {
    /// A leads, B is recorded, C is async: the default of three members.
    pub const SMALL: Scope = Scope {
        sync: Set::of_bits(0b010),
        min_in_sync: 2,
        writes: 1,
        epochs: 2,
        generations: 2,
        damages: 0,
        accept_loss: false,
        leases: false,
        false_declarations: false,
        late_requests: false,
    };

    /// Both followers are recorded.
    pub const BOTH: Set = Set::of_bits(0b110);
}
