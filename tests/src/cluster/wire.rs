//! Messages between members.
//!
//! # Fault model
//! A message arrives once, late, or it is lost; or it arrives twice; and later ones may overtake it. A cut lets nothing
//! through from some members to others, in one direction or in both, until it is mended; a way can be slow for a while. Nothing is damaged: frames have
//! checksums, and whoever carries them drops what does not match.

/// Which ways are closed.
#[derive(Clone, Debug)]
pub enum Cut {
    /// Nobody hears this member, and it hears nobody.
    Alone(usize),
    /// Nobody hears it.
    Mute(usize),
    /// It hears nobody.
    Deaf(usize),
    /// One way between two.
    Way(usize, usize),
    /// Members whose bit is set, and the others: nothing passes between them.
    Sides(u8),
    /// What one says to the other is late by so much.
    Late(usize, usize, u64),
}

#[derive(Debug, Default)]
pub struct Wire {
    /// Until when each holds.
    cuts: Vec<(u64, Cut)>,
    pub healed: bool,
    /// When the newest message of each way arrives, for worlds in which none overtakes.
    pub last: std::collections::BTreeMap<(usize, usize), u64>,
}

impl Wire {
    pub fn cut(&mut self, cut: Cut, until: u64) {
        self.cuts.push((until, cut));
    }

    pub fn heal(&mut self) {
        self.healed = true;
        self.cuts.clear();
    }

    /// How late what is said now is, beside all else.
    pub fn late_us(&self, now: u64, from: usize, to: usize) -> u64 {
        let late = |(until, cut): &(u64, Cut)| match cut {
            Cut::Late(a, b, late_us) if (from, to) == (*a, *b) && now < *until => Some(*late_us),
            _ => None,
        };
        self.cuts.iter().filter_map(late).max().unwrap_or(0)
    }

    pub fn passes(&mut self, now: u64, from: usize, to: usize) -> bool {
        self.cuts.retain(|(until, _)| now < *until);
        self.cuts.iter().all(|(_, cut)| match cut {
            Cut::Alone(member) => from != *member && to != *member,
            Cut::Mute(member) => from != *member,
            Cut::Deaf(member) => to != *member,
            Cut::Way(a, b) => (from, to) != (*a, *b),
            Cut::Late(..) => true,
            Cut::Sides(one) => (one >> from) & 1 == (one >> to) & 1,
        })
    }
}
