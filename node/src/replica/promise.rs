//! A member's word about epochs (R10, R11). It is persisted before anything is said that rests on it.

use seawall::map::MemberId;
use seawall::position::Epoch;

/// One start of one member: what it said before a crash binds nobody to what it says after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation {
    pub member: MemberId,
    pub start: u64,
}

/// Nothing of a lower epoch is accepted any more. R_FENCE, and a candidate's own word, bind it to nobody (0006): two
/// candidates may choose the same epoch, and only the winner's R_HELLO tells whose it became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    pub epoch: Epoch,
    pub leader: Option<Incarnation>,
}

/// What a message means to a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is the promised epoch, and its leader.
    Known,
    /// Nothing speaks against it: this is persisted first, then the message counts.
    Adopt(Promise),
    /// R11: refused, with what was promised.
    Fenced { promised: Epoch },
    /// R11: a lease promise runs for so long; until then no higher epoch is adopted.
    Granted { left_us: u64 },
    /// R10: two leaders in one epoch. The authority makes it impossible, so something is badly wrong: halt.
    TwoLeaders { bound: Incarnation },
}

impl Promise {
    /// Of a leader: R_HELLO, and everything behind it.
    pub fn meets(&self, epoch: Epoch, leader: Incarnation, lease_left_us: u64) -> Heard {
        let adopted = Promise { epoch, leader: Some(leader) };
        match (epoch.cmp(&self.epoch), self.leader) {
            (std::cmp::Ordering::Less, _) => Heard::Fenced { promised: self.epoch },
            (std::cmp::Ordering::Equal, Some(bound)) if bound == leader => Heard::Known,
            (std::cmp::Ordering::Equal, Some(bound)) => Heard::TwoLeaders { bound },
            (std::cmp::Ordering::Equal, None) => Heard::Adopt(adopted),
            (std::cmp::Ordering::Greater, _) if lease_left_us > 0 => {
                Heard::Granted { left_us: lease_left_us }
            }
            (std::cmp::Ordering::Greater, _) => Heard::Adopt(adopted),
        }
    }

    /// R_FENCE. The same again, when the answer was lost, is answered again: as long as nobody leads the epoch, the log
    /// is what it was.
    pub fn fenced_by(&self, epoch: Epoch, lease_left_us: u64) -> Heard {
        match (epoch.cmp(&self.epoch), self.leader) {
            (std::cmp::Ordering::Equal, None) => Heard::Known,
            (std::cmp::Ordering::Less | std::cmp::Ordering::Equal, _) => {
                Heard::Fenced { promised: self.epoch }
            }
            (std::cmp::Ordering::Greater, _) if lease_left_us > 0 => {
                Heard::Granted { left_us: lease_left_us }
            }
            (std::cmp::Ordering::Greater, _) => Heard::Adopt(Promise { epoch, leader: None }),
        }
    }
}
