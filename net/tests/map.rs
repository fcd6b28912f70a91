//! Maps: what makes none, and how one becomes the next.

use std::collections::BTreeSet;

use proptest::prelude::*;
use seawall::limits::*;
use seawall::map::*;
use seawall::message::route;
use seawall::position::{Epoch, Index};

const ONE: ShardId = ShardId(1);
const TWO: ShardId = ShardId(2);

fn id(number: u32) -> MemberId {
    MemberId(number)
}

fn ids(numbers: &[u32]) -> BTreeSet<MemberId> {
    numbers.iter().copied().map(MemberId).collect()
}

fn member(number: u32) -> Member {
    let labels = vec![format!("zone={number}"), "disk=nvme".to_owned()];
    Member {
        id: id(number),
        address: format!("10.0.0.{number}:7411"),
        peer: format!("10.0.0.{number}:7413"),
        labels,
    }
}

/// Four members; shard 1 is led by 1 in epoch 5, with 2 in sync and 3 async; shard 2 never was.
fn parts() -> Parts {
    let range = |first_hash, shard| Range { first_hash, shard };
    let policy = Policy { min_in_sync: 2, ..Policy::default() };
    let one = Replicas {
        epoch: Epoch(5),
        leader: Some(id(1)),
        sync: ids(&[2]),
        asyncs: ids(&[3]),
        policy,
        ..Replicas::alone(ONE, Generation(7))
    };
    let two = Replicas { sync: ids(&[2]), asyncs: ids(&[3]), ..Replicas::alone(TWO, Generation(4)) };
    Parts {
        generation: Generation(9),
        members: (1..=4).map(member).collect(),
        ranges: vec![range(0, ONE), range(1 << 63, TWO)],
        replicas: vec![one, two],
        audit: None,
    }
}

fn map() -> Map {
    Map::of(parts()).expect("a map")
}

const BY: By<'_> = By { actor: "ada", reason: "the rack is moved" };

fn change(map: &Map, change: Change) -> Result<Map, NotChanged> {
    map.next(BY, &change)
}

fn within(map: &Map, epoch: u64, in_epoch: InEpoch) -> Result<Map, NotChanged> {
    change(map, Change::In { shard: ONE, epoch: Epoch(epoch), change: in_epoch })
}

fn lead(map: &Map, member: u32, epoch: u64, sync: &[u32], loss: Option<u64>) -> Result<Map, NotChanged> {
    let (member, epoch, sync) = (id(member), Epoch(epoch), ids(sync));
    change(map, Change::Lead { shard: ONE, member, epoch, sync, loss_from: loss.map(Index) })
}

fn one(map: &Map) -> &Replicas {
    map.replicas(ONE).expect("shard 1")
}

/// What is wrong once the parts are changed so; and that a person is told.
fn fault(change: impl FnOnce(&mut Parts)) -> MapError {
    let mut parts = parts();
    change(&mut parts);
    let fault = Map::of(parts).expect_err("no map");
    assert!(fault.to_string().len() > 20, "{fault}");
    fault
}

#[test]
fn members_are_known_once_and_can_be_reached() {
    assert_eq!(fault(|map| map.members[0].id = id(0)), MapError::Member(id(0)));
    assert_eq!(fault(|map| map.members[1].id = id(1)), MapError::Member(id(1)));
    assert_eq!(fault(|map| map.members.swap(0, 1)), MapError::Member(id(1)));
    let long = format!("{}:1", "a".repeat(ADDRESS_MAX - 1));
    for address in ["", "host", "host:", ":1", "host:0", "host:65536", "host:+1", "a b:1", "ü:1", &long] {
        assert_eq!(
            fault(|map| map.members[2].address = address.to_owned()),
            MapError::Address(id(3)),
            "{address}"
        );
    }
    for address in ["h:1", "[::1]:65535", &long[1..]] {
        let mut parts = parts();
        parts.members[2].address = address.to_owned();
        assert!(Map::of(parts).is_ok(), "{address}");
    }
    let twice = |map: &mut Parts| map.members[2].address = map.members[0].address.clone();
    assert_eq!(fault(twice), MapError::AddressTwice(id(3)));
    for labels in [vec!["x".to_owned(); LABELS_MAX + 1], vec![String::new()], vec!["x".repeat(LABEL_MAX + 1)]]
    {
        assert_eq!(fault(|map| map.members[3].labels = labels), MapError::Labels(id(4)));
    }
    let many = |map: &mut Parts, count: usize| map.members = (1..=count as u32).map(at_port).collect();
    assert_eq!(fault(|map| many(map, MEMBERS_MAX + 1)), MapError::Members(MEMBERS_MAX + 1));
    let mut most = parts();
    many(&mut most, MEMBERS_MAX);
    assert!(Map::of(most).is_ok());
}

fn at_port(number: u32) -> Member {
    Member { address: format!("h:{number}"), ..member(number) }
}

#[test]
fn replicas_are_members_in_one_place_each() {
    let stranger = MapError::NoMember { shard: ONE, member: id(9) };
    assert_eq!(fault(|map| map.replicas[0].leader = Some(id(9))), stranger);
    assert_eq!(fault(|map| assert!(map.replicas[0].sync.insert(id(9)))), stranger);
    assert_eq!(fault(|map| assert!(map.replicas[0].asyncs.insert(id(9)))), stranger);
    let twice = |member| MapError::Twice { shard: ONE, member: id(member) };
    assert_eq!(fault(|map| assert!(map.replicas[0].sync.insert(id(1)))), twice(1));
    assert_eq!(fault(|map| assert!(map.replicas[0].asyncs.insert(id(1)))), twice(1));
    assert_eq!(fault(|map| assert!(map.replicas[0].asyncs.insert(id(2)))), twice(2));
    let many = |map: &mut Parts, count: usize| {
        map.members = (1..=count as u32).map(at_port).collect();
        map.replicas[0].asyncs = (3..=count as u32).map(MemberId).collect();
    };
    let there = REPLICAS_MAX + 1;
    assert_eq!(fault(|map| many(map, there)), MapError::Replicas { shard: ONE, there });
    let mut most = parts();
    many(&mut most, REPLICAS_MAX);
    assert!(Map::of(most).is_ok());
}

#[test]
fn a_policy_can_be_kept() {
    let min = |min_in_sync| MapError::MinInSync { shard: ONE, min_in_sync, there: 3 };
    assert_eq!(fault(|map| map.replicas[0].policy.min_in_sync = 0), min(0));
    assert_eq!(fault(|map| map.replicas[0].policy.min_in_sync = 4), min(4));
    let mut most = parts();
    most.replicas[0].policy.min_in_sync = 3;
    assert!(Map::of(most).is_ok());
    let alone = |map: &mut Parts| {
        map.replicas[1] = Replicas::alone(TWO, Generation(1));
        map.replicas[1].policy.min_in_sync = 2;
    };
    assert_eq!(fault(alone), MapError::MinInSync { shard: TWO, min_in_sync: 2, there: 1 });
    for ms in [0, MEMBER_TIMEOUT_MAX_MS + 1] {
        let timeout = fault(|map| map.replicas[0].policy.member_timeout_ms = ms);
        assert_eq!(timeout, MapError::MemberTimeout { shard: ONE, ms });
    }
    for ms in [0, LEASE_MAX_MS + 1] {
        assert_eq!(fault(|map| map.replicas[0].policy.lease_ms = ms), MapError::Lease { shard: ONE, ms });
    }
}

#[test]
fn numbers_of_a_map_belong_together() {
    assert_eq!(fault(|map| map.generation = Generation(0)), MapError::Generation);
    assert_eq!(fault(|map| map.generation = Generation(u64::MAX)), MapError::Generation);
    assert_eq!(fault(|map| drop(map.replicas.pop())), MapError::Entries);
    assert_eq!(fault(|map| map.replicas.swap(0, 1)), MapError::Entries);
    assert_eq!(fault(|map| map.replicas[0].epoch = Epoch(0)), MapError::LeaderWithoutEpoch(ONE));
    for (epoch, from) in [(0, 1), (6, 1), (5, 0)] {
        let loss = Some(OpenLoss { epoch: Epoch(epoch), from: Index(from) });
        assert_eq!(fault(|map| map.replicas[0].open_loss = loss), MapError::OpenLoss(ONE), "{loss:?}");
    }
    for changed in [Generation(0), Generation(10)] {
        assert_eq!(fault(|map| map.replicas[1].changed = changed), MapError::Changed { shard: TWO, changed });
    }
}

#[test]
fn a_change_is_audited() {
    let next = within(&map(), 5, InEpoch::Require(id(3))).unwrap();
    let audit = next.parts().audit.as_ref().unwrap();
    let change = "shard 1, epoch 5: member 3 comes into the sync set";
    assert_eq!((&*audit.actor, &*audit.reason, &*audit.change), ("ada", "the rack is moved", change));
    let long = "x".repeat(AUDIT_TEXT_MAX + 1);
    for (actor, reason) in [("", "r"), ("a", ""), (&long, "r"), ("a", &long)] {
        let refused = map().next(By { actor, reason }, &Change::AddMember(member(5)));
        assert_eq!(refused, Err(NotChanged::Invalid(MapError::Audit)));
    }
    let unsaid = Audit { actor: "a".to_owned(), reason: "r".to_owned(), change: String::new() };
    assert_eq!(fault(|map| map.audit = Some(unsaid)), MapError::Audit);
}

#[test]
fn the_leader_of_the_epoch_changes_the_set() {
    let map = map();
    let sets = |map: &Map| (one(map).sync.clone(), one(map).asyncs.clone());
    let next = within(&map, 5, InEpoch::Require(id(3))).unwrap();
    assert_eq!(sets(&next), (ids(&[2, 3]), ids(&[])));
    assert_eq!((next.generation(), one(&next).changed), (Generation(10), Generation(10)));
    assert_eq!(next.replicas(TWO), map.replicas(TWO), "another shard's entry is as it was");
    let next = within(&next, 5, InEpoch::Release(id(2))).unwrap();
    assert_eq!(sets(&next), (ids(&[3]), ids(&[2])));
    let next = within(&next, 5, InEpoch::AddReplica(id(4))).unwrap();
    assert_eq!(sets(&next), (ids(&[3]), ids(&[2, 4])));
    let next = within(&next, 5, InEpoch::RemoveReplica(id(2))).unwrap();
    assert_eq!(sets(&next), (ids(&[3]), ids(&[4])));
    let policy = Policy { min_in_sync: 3, member_timeout_ms: 9, lease_ms: 8 };
    let next = within(&next, 5, InEpoch::SetPolicy(policy)).unwrap();
    assert_eq!((one(&next).policy, next.generation()), (policy, Generation(14)));
    let too_few = within(&next, 5, InEpoch::RemoveReplica(id(4)));
    let min = MapError::MinInSync { shard: ONE, min_in_sync: 3, there: 2 };
    assert_eq!(too_few, Err(NotChanged::Invalid(min)));
}

#[test]
fn whoever_is_deposed_changes_nothing() {
    let all = [
        InEpoch::Require(id(3)),
        InEpoch::Release(id(2)),
        InEpoch::LossTold,
        InEpoch::SetPolicy(Policy::default()),
        InEpoch::AddReplica(id(4)),
        InEpoch::RemoveReplica(id(3)),
    ];
    for (change, decided_in) in all.into_iter().flat_map(|change| [(change, Epoch(4)), (change, Epoch(6))]) {
        let other = NotChanged::OtherEpoch { current: Epoch(5), decided_in };
        assert_eq!(within(&map(), decided_in.0, change), Err(other), "{change:?}");
    }
    let no_shard = Change::In { shard: ShardId(3), epoch: Epoch(5), change: InEpoch::LossTold };
    assert_eq!(change(&map(), no_shard), Err(NotChanged::NoShard(ShardId(3))));
    for answering in [InEpoch::Require(id(3)), InEpoch::Release(id(2)), InEpoch::LossTold] {
        let led_by_nobody = Change::In { shard: TWO, epoch: Epoch(0), change: answering };
        assert_eq!(change(&map(), led_by_nobody), Err(NotChanged::NoLeader(TWO)));
    }
}

#[test]
fn a_member_is_moved_from_where_it_is() {
    let wrong = |change, member, is, needs| {
        let place = NotChanged::Place { member: id(member), is, needs };
        assert_eq!(within(&map(), 5, change), Err(place));
    };
    let (leader, sync, asyn) = (Some(Place::Leader), Some(Place::Sync), Some(Place::Async));
    for (member, is) in [(1, leader), (2, sync), (4, None)] {
        wrong(InEpoch::Require(id(member)), member, is, asyn);
        wrong(InEpoch::RemoveReplica(id(member)), member, is, asyn);
    }
    for (member, is) in [(1, leader), (3, asyn), (4, None)] {
        wrong(InEpoch::Release(id(member)), member, is, sync);
    }
    for (member, is) in [(1, leader), (2, sync), (3, asyn)] {
        wrong(InEpoch::AddReplica(id(member)), member, is, None);
    }
    let stranger = NotChanged::Invalid(MapError::NoMember { shard: ONE, member: id(9) });
    assert_eq!(within(&map(), 5, InEpoch::AddReplica(id(9))), Err(stranger));
}

#[test]
fn epochs_only_grow() {
    let map = map();
    for epoch in [0, 4, 5] {
        let asked = Epoch(epoch);
        assert_eq!(lead(&map, 2, epoch, &[], None), Err(NotChanged::NotAbove { current: Epoch(5), asked }));
    }
    let next = lead(&map, 2, 8, &[1], None).unwrap();
    let entry = one(&next);
    assert_eq!((entry.epoch, entry.leader), (Epoch(8), Some(id(2))));
    assert_eq!((entry.sync.clone(), entry.asyncs.clone()), (ids(&[1]), ids(&[3])));
    assert_eq!((next.generation(), entry.changed), (Generation(10), Generation(10)));
    let deposed = lead(&map, 2, 8, &[], None).unwrap();
    assert_eq!(one(&deposed).asyncs, ids(&[1, 3]), "the leader before follows");
    let next = lead(&next, 2, 9, &[], None).unwrap();
    assert_eq!(
        (one(&next).sync.clone(), one(&next).asyncs.clone()),
        (ids(&[]), ids(&[1, 3])),
        "nobody was proven"
    );
}

#[test]
fn only_recorded_members_are_elected() {
    let map = map();
    assert_eq!(lead(&map, 3, 6, &[], None), Err(NotChanged::NotElectable(id(3))));
    let accepted = lead(&map, 3, 6, &[], Some(41)).unwrap();
    assert_eq!(one(&accepted).open_loss, Some(OpenLoss { epoch: Epoch(6), from: Index(41) }));
    assert_eq!(lead(&map, 4, 6, &[], Some(41)), Err(NotChanged::NoReplica(id(4))));
    assert_eq!(lead(&map, 2, 6, &[4], None), Err(NotChanged::NoReplica(id(4))));
    let twice = MapError::Twice { shard: ONE, member: id(2) };
    assert_eq!(lead(&map, 2, 6, &[2], None), Err(NotChanged::Invalid(twice)));
    // Nothing can be lost before the first epoch.
    let first = Change::Lead { shard: TWO, member: id(3), epoch: Epoch(1), sync: ids(&[]), loss_from: None };
    assert!(change(&map, first).is_ok());
}

#[test]
fn an_open_loss_is_inherited_until_it_is_told() {
    let told = |map: &Map, epoch| within(map, epoch, InEpoch::LossTold);
    assert_eq!(told(&map(), 5), Err(NotChanged::NoOpenLoss(ONE)));
    let lost = lead(&map(), 3, 6, &[2], Some(41)).unwrap();
    let next = lead(&lost, 2, 7, &[], None).unwrap();
    assert_eq!(one(&next).open_loss, one(&lost).open_loss, "whoever leads next tells it");
    for (from, least) in [(30, 30), (50, 41)] {
        let more = lead(&next, 1, 8, &[], Some(from)).unwrap();
        assert_eq!(one(&more).open_loss, Some(OpenLoss { epoch: Epoch(8), from: Index(least) }));
    }
    assert_eq!(one(&told(&next, 7).unwrap()).open_loss, None);
}

#[test]
fn members_join_in_order() {
    let join = |member| change(&map(), Change::AddMember(member));
    let next = join(member(9)).unwrap();
    assert_eq!(next.member(id(9)), Some(&member(9)));
    assert_eq!(next.parts().replicas, map().parts().replicas);
    let same = Member { address: "h:1".to_owned(), ..member(2) };
    assert_eq!(join(same), Err(NotChanged::Invalid(MapError::Member(id(2)))));
    let elsewhere = Member { id: id(9), ..member(2) };
    assert_eq!(join(elsewhere), Err(NotChanged::Invalid(MapError::AddressTwice(id(9)))));
}

#[test]
fn a_node_alone_grows_into_a_cluster() {
    let mut map = Map::even(Generation(1), 2);
    for number in 1..=3 {
        map = change(&map, Change::AddMember(member(number))).unwrap();
        map = within(&map, 0, InEpoch::AddReplica(id(number))).unwrap();
    }
    let map = lead(&map, 1, 4, &[], None).unwrap();
    let map = within(&map, 4, InEpoch::Require(id(2))).unwrap();
    assert_eq!(one(&map).write_set().collect::<Vec<_>>(), [id(1), id(2)]);
    assert_eq!(one(&map).all().collect::<Vec<_>>(), [id(1), id(2), id(3)]);
    assert_eq!((one(&map).place_of(id(3)), one(&map).place_of(id(4))), (Some(Place::Async), None));
}

#[test]
fn get_map_tells_the_leader() {
    let map = map();
    let told = route::told(&map);
    let of: Vec<_> =
        told.iter().map(|(part, _)| (part.first_hash, part.shard, part.epoch.0, part.leader)).collect();
    assert_eq!(of, [(0, ONE, 5, "10.0.0.1:7411"), (1 << 63, TWO, 0, "")]);
    let labels: Vec<_> = told.iter().map(|(_, labels)| labels.clone()).collect();
    assert_eq!(labels, [vec!["zone=1", "disk=nvme"], vec![]]);
}

#[test]
fn a_refused_change_says_what_to_do() {
    let refused = [
        (lead(&map(), 2, 5, &[], None), "take one above it"),
        (lead(&map(), 3, 6, &[], None), "accept a loss"),
        (lead(&map(), 4, 6, &[], None), "add it as a replica"),
        (within(&map(), 4, InEpoch::LossTold), "ask whoever leads"),
        (within(&map(), 5, InEpoch::LossTold), "no accepted loss"),
        (within(&map(), 5, InEpoch::Require(id(2))), "is in the sync set; this can be done if it is async"),
    ];
    for (refused, words) in refused {
        let said = refused.expect_err("refused").to_string();
        assert!(said.contains(words), "{said}");
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let shard = (1..=2u32).prop_map(ShardId);
    let any_id = (1..=5u32).prop_map(MemberId);
    let in_epoch = prop_oneof![
        any_id.clone().prop_map(InEpoch::Require),
        any_id.clone().prop_map(InEpoch::Release),
        any_id.clone().prop_map(InEpoch::AddReplica),
        any_id.clone().prop_map(InEpoch::RemoveReplica),
        (0..5u8).prop_map(|min_in_sync| InEpoch::SetPolicy(Policy { min_in_sync, ..Policy::default() })),
        Just(InEpoch::LossTold),
    ];
    let lead = (shard.clone(), any_id.clone(), 0..12u64, prop::collection::btree_set(any_id, 0..3), 0..4u64);
    prop_oneof![
        lead.prop_map(|(shard, member, epoch, sync, loss)| {
            let loss_from = (loss > 0).then_some(Index(loss));
            Change::Lead { shard, member, epoch: Epoch(epoch), sync, loss_from }
        }),
        (shard, 0..12u64, in_epoch)
            .prop_map(|(shard, epoch, change)| { Change::In { shard, epoch: Epoch(epoch), change } }),
        (4..=6u32).prop_map(|number| Change::AddMember(member(number))),
    ]
}

proptest! {
    /// Whatever is asked for: a map comes out or nothing does, and an entry that was not changed looks so.
    #[test]
    fn a_map_becomes_a_map(changes in prop::collection::vec(any_change(), 0..40)) {
        let mut map = map();
        for asked in changes {
            let Ok(next) = map.next(BY, &asked) else { continue };
            prop_assert_eq!(next.generation().0, map.generation().0 + 1);
            prop_assert_eq!(Map::of(next.parts().clone()), Ok(next.clone()));
            for (before, after) in map.parts().replicas.iter().zip(&next.parts().replicas) {
                let named = match &asked {
                    Change::Lead { shard, .. } | Change::In { shard, .. } => *shard == before.shard,
                    Change::AddMember(_) => false,
                };
                prop_assert_eq!(after.changed, if named { next.generation() } else { before.changed });
                prop_assert_eq!(named || before == after, true);
                prop_assert!(after.epoch >= before.epoch);
                let led = matches!(asked, Change::Lead { .. }) && named;
                prop_assert_eq!(after.epoch > before.epoch, led);
                prop_assert_eq!(after.leader == before.leader || led, true);
            }
            map = next;
        }
    }
}
