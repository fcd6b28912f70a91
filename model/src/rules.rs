//! The rules R10 to R16, clause by clause, each with a switch.

/// One clause of a rule. All are on in the protocol; a check without one shows what it is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Clause {
    NewEpochAtStart,
    EpochByCas,
    ServeAfterEpochStart,
    FenceBindsNobody,
    RefuseLower,
    RefuseDuringPromise,
    PersistBeforeReply,
    ByEpochTable,
    AtEachEpoch,
    HardStop,
    LossInherited,
    DurableAtHome,
    Validated,
    WholeSet,
    MinInSync,
    NoSilentShrink,
    UnknownAfterAppend,
    RequireBeforeRecord,
    CaughtUp,
    OldAndNewTogether,
    LeavesBeforeData,
    ReaddedBeforeElectable,
    PublishProven,
    OnlyRecorded,
    CandidateStops,
    PersistBeforeCas,
    CasOnGeneration,
    FenceOfOldWriteSet,
    SplitNamesEverybody,
    FencedIsWhole,
    LossMeasuredAtFence,
    WaitOutOwnPromise,
    AllPromises,
    PendingPromisesToo,
    FromSendTime,
    DriftMargin,
    CheckedAtReply,
    AfterStartAsGranted,
    EmptySetByCas,
}

impl Clause {
    pub const ALL: &'static [Clause] = &[
        Clause::NewEpochAtStart,
        Clause::EpochByCas,
        Clause::ServeAfterEpochStart,
        Clause::FenceBindsNobody,
        Clause::RefuseLower,
        Clause::RefuseDuringPromise,
        Clause::PersistBeforeReply,
        Clause::ByEpochTable,
        Clause::AtEachEpoch,
        Clause::HardStop,
        Clause::LossInherited,
        Clause::DurableAtHome,
        Clause::Validated,
        Clause::WholeSet,
        Clause::MinInSync,
        Clause::NoSilentShrink,
        Clause::UnknownAfterAppend,
        Clause::RequireBeforeRecord,
        Clause::CaughtUp,
        Clause::OldAndNewTogether,
        Clause::LeavesBeforeData,
        Clause::ReaddedBeforeElectable,
        Clause::PublishProven,
        Clause::OnlyRecorded,
        Clause::CandidateStops,
        Clause::PersistBeforeCas,
        Clause::CasOnGeneration,
        Clause::FenceOfOldWriteSet,
        Clause::SplitNamesEverybody,
        Clause::FencedIsWhole,
        Clause::LossMeasuredAtFence,
        Clause::WaitOutOwnPromise,
        Clause::AllPromises,
        Clause::PendingPromisesToo,
        Clause::FromSendTime,
        Clause::DriftMargin,
        Clause::CheckedAtReply,
        Clause::AfterStartAsGranted,
        Clause::EmptySetByCas,
    ];

    fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// Which clauses hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules(u64);

impl Rules {
    pub fn all() -> Rules {
        Rules(Clause::ALL.iter().fold(0, |bits, clause| bits | clause.bit()))
    }

    #[must_use]
    pub fn without(self, clause: Clause) -> Rules {
        Rules(self.0 & !clause.bit())
    }

    pub fn has(self, clause: Clause) -> bool {
        self.0 & clause.bit() != 0
    }
}
