use std::collections::BTreeSet;

use seawall::map::{Generation, MemberId};
use seawall::position::{Epoch, Index};
use seawall_node::replica::candidacy::{NotElectable, Recorded};
use seawall_node::replica::{Candidacy, Kind, Loss, Own};

use crate::{A, B, C, table};

/// A leads epoch 3 with B; C follows.
fn map() -> Recorded {
    Recorded {
        generation: Generation(7),
        epoch: Epoch(3),
        leader: Some(A),
        sync: BTreeSet::from([B]),
        members: BTreeSet::from([A, B, C]),
        min_in_sync: 2,
        loss_open: false,
    }
}

fn own(begins: &[(u64, u64)], last: u64) -> Own {
    Own { epochs: table(begins), last: Index(last), reseeding: false, uncertain: false }
}

fn stand(me: MemberId, kind: Kind, last: u64) -> Result<Candidacy, NotElectable> {
    Candidacy::stand(me, kind, map(), Epoch(0), own(&[(1, 1), (3, 10)], last), 0)
}

#[test]
fn only_recorded_members_stand_without_accepting_a_loss() {
    assert!(stand(A, Kind::Recorded, 20).is_ok() && stand(B, Kind::Recorded, 20).is_ok());
    assert_eq!(stand(C, Kind::Recorded, 20).err(), Some(NotElectable::NotRecorded));
    assert!(stand(C, Kind::AcceptLoss, 20).is_ok());
}

#[test]
fn a_candidate_waits_out_its_own_promise_and_is_whole() {
    let stand = |reseeding, left| {
        let own = Own { reseeding, ..own(&[(1, 1)], 5) };
        Candidacy::stand(B, Kind::Recorded, map(), Epoch(0), own, left).err()
    };
    assert_eq!(stand(false, 400), Some(NotElectable::Granted { left_us: 400 }));
    assert_eq!(stand(true, 0), Some(NotElectable::Reseeding));
    // Who is not recorded is told that, whatever its disk was: an operator can do something about it.
    let own = Own { reseeding: true, ..own(&[(1, 1)], 5) };
    let stood = Candidacy::stand(C, Kind::Recorded, map(), Epoch(0), own, 0);
    assert_eq!(stood.err(), Some(NotElectable::NotRecorded));
}

/// R10: above the map, and above every promise that was met.
#[test]
fn the_new_epoch_is_above_everything() {
    let epoch = |promised| {
        let stood = Candidacy::stand(B, Kind::Recorded, map(), Epoch(promised), own(&[(1, 1)], 5), 0);
        stood.expect("electable").epoch()
    };
    assert_eq!((epoch(0), epoch(9)), (Epoch(4), Epoch(10)));
}

/// A recorded candidate has fenced itself, and publishes only who is proven to hold its whole log.
#[test]
fn only_proven_members_are_published() {
    let mut candidate = stand(B, Kind::Recorded, 20).expect("electable");
    assert_eq!(candidate.to_fence().collect::<Vec<_>>(), [A, C]);
    candidate.fenced(C, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(19), false);
    let claim = candidate.claim().expect("its own fence is enough");
    assert_eq!((claim.expected, claim.epoch, claim.leader), (Generation(7), Epoch(4), B));
    assert_eq!(claim.sync, BTreeSet::new(), "C lacks the last record, though nothing of it parts");
    assert_eq!((claim.loss, claim.loss_open, claim.old_leader_fenced), (Loss::Nothing, false, false));

    candidate.fenced(A, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(22), false);
    let claim = candidate.claim().expect("as before");
    assert_eq!(claim.sync, BTreeSet::from([A]), "what A holds beyond was never committed, and is cut");
    assert!(claim.old_leader_fenced);
}

/// Whoever was required stays so, and others come in only while too few are: the default is one sync member and one async.
#[test]
fn no_more_are_published_than_were_required_or_are_needed() {
    let sync = |read: Recorded| {
        let mut candidate =
            Candidacy::stand(A, Kind::Recorded, read, Epoch(0), own(&[(1, 1), (3, 10)], 20), 0).unwrap();
        for other in [B, C] {
            let epoch = candidate.epoch();
            candidate.fenced(other, epoch, &table(&[(1, 1), (3, 10)]).table(), Index(20), false);
        }
        candidate.claim().expect("all answered").sync
    };
    let first = Recorded { epoch: Epoch(0), sync: BTreeSet::new(), ..map() };
    assert_eq!(sync(first.clone()), BTreeSet::from([B]));
    assert_eq!(sync(Recorded { min_in_sync: 3, ..first.clone() }), BTreeSet::from([B, C]));
    assert_eq!(sync(Recorded { min_in_sync: 1, ..first }), BTreeSet::new());
    assert_eq!(
        sync(Recorded { sync: BTreeSet::from([C]), ..map() }),
        BTreeSet::from([C]),
        "who was required"
    );
    assert_eq!(sync(Recorded { sync: BTreeSet::from([B, C]), ..map() }), BTreeSet::from([B, C]));
}

/// What was fenced for another epoch, or heard too late, proves nothing.
#[test]
fn a_late_or_foreign_answer_proves_nothing() {
    let mut candidate = stand(B, Kind::Recorded, 20).expect("electable");
    candidate.fenced(C, Epoch(5), &table(&[(1, 1), (3, 10)]).table(), Index(20), false);
    candidate.asked();
    candidate.fenced(A, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(20), false);
    assert_eq!(candidate.claim().expect("nothing more is needed").sync, BTreeSet::new());
}

/// The old write set could commit on: one of it has to be fenced, and shows what is lost.
#[test]
fn an_accepted_loss_is_measured_at_a_fenced_member_of_the_write_set() {
    let mut candidate = stand(C, Kind::AcceptLoss, 15).expect("a loss is accepted");
    assert!(candidate.claim().expect_err("nobody is fenced")[0].contains("1, 2"));
    candidate.fenced(B, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(22), false);
    let claim = candidate.claim().expect("B is fenced");
    assert_eq!(claim.loss, Loss::Between(Index(15), Index(22)));
    assert!(claim.loss_open && !claim.old_leader_fenced);
    assert_eq!(claim.sync, BTreeSet::from([B]), "it holds all that C leads with; what it has more is cut");
}

/// The recorded leader was told to accept a loss before it had heard that it is the one, alone: nobody else can be fenced,
/// and nobody else could have committed anything.
#[test]
fn a_member_of_the_write_set_counts_itself_whatever_it_accepts() {
    let read = Recorded { sync: BTreeSet::new(), ..map() };
    let own = own(&[(1, 1), (3, 10)], 20);
    let candidate = Candidacy::stand(A, Kind::AcceptLoss, read, Epoch(0), own, 0).expect("electable");
    let claim = candidate.claim().expect("it is of the write set");
    assert_eq!((claim.loss, claim.loss_from), (Loss::Nothing, Some(Index(21))));
}

/// From where the *tables* part, which may be before the candidate's last index.
#[test]
fn a_loss_begins_where_the_tables_part() {
    let mut candidate = stand(C, Kind::AcceptLoss, 15).expect("a loss is accepted");
    candidate.fenced(A, Epoch(4), &table(&[(1, 1), (4, 8)]).table(), Index(22), false);
    assert_eq!(candidate.claim().expect("A is fenced").loss, Loss::Between(Index(7), Index(22)));
}

/// Who is not recorded and holds everything loses nothing. It was to be accepted all the same, so the map is told of a
/// loss: one of what follows its log.
#[test]
fn an_accepted_loss_may_be_one_of_nothing() {
    let mut candidate = stand(C, Kind::AcceptLoss, 22).expect("a loss is accepted");
    candidate.fenced(B, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(22), false);
    let claim = candidate.claim().expect("B is fenced");
    assert_eq!((claim.loss, claim.loss_from), (Loss::Nothing, Some(Index(23))));
    let lossy = stand(C, Kind::AcceptLoss, 15).map(|mut candidate| {
        candidate.fenced(B, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(22), false);
        candidate.claim().expect("B is fenced").loss_from
    });
    assert_eq!(lossy, Ok(Some(Index(16))), "what the map tells begins where this loss does");
}

/// 0006: a leader that never served may have published an empty set, and its predecessor still runs, unaware. So
/// everybody is named, not the write set alone.
#[test]
fn a_split_names_everybody() {
    let off = |members: &[MemberId]| Kind::AcceptSplit { off: members.iter().copied().collect() };
    let candidate = stand(C, off(&[B]), 15).expect("a loss is accepted");
    let missing = candidate.claim().expect_err("A is missing");
    assert_eq!(missing, ["member 1: neither fenced nor declared powered off"]);
    let claim = stand(C, off(&[A, B]), 15).expect("a loss is accepted").claim().expect("both are declared");
    assert_eq!((claim.loss, claim.loss_open), (Loss::Unknown, true));
}

/// 0006: the leader before died between its compare-and-swap and its `EpochStart`.
#[test]
fn an_open_loss_is_inherited() {
    let own = own(&[(1, 1), (3, 10)], 20);
    let read = Recorded { loss_open: true, ..map() };
    let candidate = Candidacy::stand(B, Kind::Recorded, read, Epoch(0), own, 0).expect("electable");
    assert!(candidate.claim().expect("recorded").loss_open);
}

/// R2: what stood behind an uncertain end is settled by somebody else of the write set before this one leads.
#[test]
fn an_uncertain_end_is_settled_by_another_one_of_the_write_set() {
    let stand = |kind, read| {
        let own = Own { uncertain: true, ..own(&[(1, 1), (3, 10)], 20) };
        Candidacy::stand(B, kind, read, Epoch(0), own, 0).expect("electable")
    };
    let hears = |mut candidate: Candidacy, from, last| {
        candidate.fenced(from, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(last), false);
        candidate
    };
    let candidate = stand(Kind::Recorded, map());
    assert!(
        candidate.claim().expect_err("nobody said what it was")[0]
            .starts_with("R2: an answer to R_FENCE from one of 1:")
    );
    let candidate = hears(candidate, C, 20);
    assert!(candidate.claim().is_err(), "C is not recorded: it may lack what was acknowledged");
    assert_eq!(hears(candidate.clone(), A, 20).claim().map(|claim| claim.loss), Ok(Loss::Nothing));
    for has in [A, C] {
        let told = hears(candidate.clone(), has, 21).claim().expect_err("it has what is lost here");
        assert!(
            told[0].starts_with(&format!("R2: member {has}, ")) && told[0].contains("21 and not 20"),
            "{told:?}"
        );
    }
    let accepts = stand(Kind::AcceptLoss, map());
    let claim = accepts.claim().expect("a loss is accepted");
    assert_eq!((claim.loss, claim.loss_from), (Loss::Unknown, Some(Index(21))));
    assert_eq!(
        hears(accepts, A, 23).claim().map(|claim| claim.loss),
        Ok(Loss::Between(Index(20), Index(23)))
    );
    let alone = Recorded { leader: Some(B), sync: BTreeSet::new(), ..map() };
    assert!(stand(Kind::Recorded, alone).claim().is_ok(), "nobody else was ever needed");
}

/// R2, R15: a member that may have had more than it has bounds no loss.
#[test]
fn an_uncertain_end_does_not_measure_a_loss() {
    let loss = |b_uncertain, a_answers: bool| {
        let mut candidate = stand(C, Kind::AcceptLoss, 15).expect("electable");
        let epochs = table(&[(1, 1), (3, 10)]);
        candidate.fenced(B, Epoch(4), &epochs.table(), Index(20), b_uncertain);
        if a_answers {
            candidate.fenced(A, Epoch(4), &epochs.table(), Index(22), false);
        }
        candidate.claim().expect("one of the write set is fenced").loss
    };
    assert_eq!(loss(false, false), Loss::Between(Index(15), Index(20)));
    assert_eq!(loss(true, false), Loss::Unknown, "it may have acknowledged more");
    assert_eq!(
        loss(true, true),
        Loss::Between(Index(15), Index(22)),
        "somebody who is certain has all of it"
    );
}

/// Whoever has what is lost here and may be promoted by itself is named before those who need a loss to be accepted.
#[test]
fn a_member_of_the_write_set_is_named_first() {
    let mut candidate = stand(A, Kind::Recorded, 20).expect("electable");
    let epochs = table(&[(1, 1), (3, 10)]);
    candidate.fenced(C, Epoch(4), &epochs.table(), Index(25), false);
    let said = candidate.claim().expect_err("C has more").remove(0);
    assert!(said.contains("member 3, which has more") && said.contains("--accept-loss, or"), "{said}");
    candidate.fenced(B, Epoch(4), &epochs.table(), Index(21), false);
    let said = candidate.claim().expect_err("B has more").remove(0);
    assert!(said.contains("member 2, which has more") && said.contains("promote that one, or"), "{said}");
}

/// R9: nobody has more of an epoch than its leader had, so a leader that comes back with less has lost it.
#[test]
fn a_leader_does_not_lead_again_with_less_of_its_epoch_than_others_have() {
    let mut candidate = stand(A, Kind::Recorded, 20).expect("electable");
    candidate.fenced(C, Epoch(4), &table(&[(1, 1), (2, 12)]).table(), Index(22), false);
    assert!(candidate.claim().is_ok(), "of another epoch");
    candidate.fenced(B, Epoch(4), &table(&[(1, 1), (3, 10)]).table(), Index(21), false);
    assert!(candidate.claim().expect_err("B has more")[0].starts_with("R2: member 2, "));
}

/// Whoever never was in the sync set may lead where a loss is accepted, if it has anything to lead with.
#[test]
fn a_member_that_began_empty_leads_only_where_a_loss_is_accepted() {
    let stand = |kind, last| {
        let own = Own { reseeding: true, ..own(&[(1, 1), (3, 10)], last) };
        Candidacy::stand(C, kind, map(), Epoch(0), own, 0)
    };
    let own = Own { reseeding: true, ..own(&[(1, 1), (3, 10)], 20) };
    let led = |loss_open| Recorded { leader: Some(C), loss_open, ..map() };
    let again =
        |loss_open| Candidacy::stand(C, Kind::Recorded, led(loss_open), Epoch(0), own.clone(), 0).err();
    assert_eq!(again(true), None, "it was accepted, and the process died before it led");
    assert_eq!(
        again(false),
        Some(NotElectable::Reseeding),
        "it has acknowledged something since, and lost it"
    );
    let off = BTreeSet::from([A, B]);
    assert_eq!(stand(Kind::Recorded, 20).err(), Some(NotElectable::NotRecorded));
    assert_eq!(stand(Kind::AcceptLoss, 0).err(), Some(NotElectable::Reseeding));
    let claim = stand(Kind::AcceptSplit { off }, 20).expect("electable").claim().expect("both are off");
    assert_eq!(claim.loss, Loss::Unknown);
}
