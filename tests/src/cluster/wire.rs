//! Messages between members.
//!
//! # Fault model
//! A message arrives once, late, or it is lost; or it arrives twice; and later ones may overtake it. A cut lets nothing
//! through from some members to others, in one direction or in both, until it is mended. Nothing is damaged: frames have
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
}

#[derive(Debug, Default)]
pub struct Wire {
    cuts: Vec<Cut>,
    pub healed: bool,
    /// When the newest message of each way arrives, for worlds in which none overtakes.
    pub last: std::collections::BTreeMap<(usize, usize), u64>,
}

impl Wire {
    pub fn cut(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// The oldest cut ends.
    pub fn mend(&mut self) {
        if self.healed {
            self.cuts.clear();
        } else if !self.cuts.is_empty() {
            self.cuts.remove(0);
        }
    }

    pub fn heal(&mut self) {
        self.healed = true;
        self.cuts.clear();
    }

    pub fn passes(&self, from: usize, to: usize) -> bool {
        self.cuts.iter().all(|cut| match cut {
            Cut::Alone(member) => from != *member && to != *member,
            Cut::Mute(member) => from != *member,
            Cut::Deaf(member) => to != *member,
            Cut::Way(a, b) => (from, to) != (*a, *b),
        })
    }
}
