//! Whose validation a commit needs (R13), also while that changes (R14).
//!
//! ```text
//! in:   the member is level -> required -> asked -> recorded
//! out:                         required    asked -> released
//! ```
//! Between "asked" and the answer nobody knows which set is recorded, so both are required.

use std::collections::BTreeSet;

use seawall::map::MemberId;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncSet {
    recorded: BTreeSet<MemberId>,
    change: Option<Change>,
}

/// One member on its way in or out; the next one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub member: MemberId,
    pub way: Way,
    /// The authority was asked, and has not answered.
    pub asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

/// Why the set does not begin to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoChange {
    /// Another change is under way.
    Busy(Change),
    /// It is so already.
    AlreadySo,
}

/// Somebody else changed what is recorded: only a leader of another epoch does that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposed;

impl SyncSet {
    pub fn new(recorded: impl IntoIterator<Item = MemberId>) -> Self {
        Self { recorded: recorded.into_iter().collect(), change: None }
    }

    /// As far as this leader knows.
    pub fn recorded(&self) -> &BTreeSet<MemberId> {
        &self.recorded
    }

    pub fn change(&self) -> Option<Change> {
        self.change
    }

    /// The old and the new set together.
    pub fn required(&self) -> impl Iterator<Item = MemberId> + '_ {
        let entering = self.change.filter(|change| change.way == Way::In).map(|change| change.member);
        self.recorded.iter().copied().chain(entering)
    }

    pub fn requires(&self, member: MemberId) -> bool {
        self.required().any(|required| required == member)
    }

    /// From here on the member is required, or about to be released. That it is level is the caller's to see.
    pub fn begin(&mut self, member: MemberId, way: Way) -> Result<(), NoChange> {
        if let Some(change) = self.change {
            return Err(NoChange::Busy(change));
        }
        if self.recorded.contains(&member) == (way == Way::In) {
            return Err(NoChange::AlreadySo);
        }
        self.change = Some(Change { member, way, asked: false });
        Ok(())
    }

    /// The set to ask for, once: from now on the answer decides.
    pub fn ask(&mut self) -> Option<BTreeSet<MemberId>> {
        let change = self.change.as_mut().filter(|change| !change.asked)?;
        change.asked = true;
        let mut asked = self.recorded.clone();
        match change.way {
            Way::In => asked.insert(change.member),
            Way::Out => asked.remove(&change.member),
        };
        Some(asked)
    }

    /// The authority was not reached at all, and never will be with this request: it may be asked anew. "Unknown" is
    /// not this.
    pub fn not_sent(&mut self) {
        if let Some(change) = &mut self.change {
            change.asked = false;
        }
    }

    /// The authority's answer.
    pub fn answered(&mut self, won: bool) -> Result<(), Deposed> {
        let change = self.change.take().filter(|change| change.asked).ok_or(Deposed)?;
        match (won, change.way) {
            (false, _) => return Err(Deposed),
            (true, Way::In) => self.recorded.insert(change.member),
            (true, Way::Out) => self.recorded.remove(&change.member),
        };
        Ok(())
    }
}
