//! A member whose messages vanish, all of them or those of one direction: nobody is told, nothing is refused, it is only
//! silent. Clients, and the map, are still reached.

use std::thread;
use std::time::{Duration, Instant};

use seawall::client::Error;
use seawall::refusal::Code;
use seawall::{Commit, row};

use crate::cast::{Cast, Role};
use crate::isolated::{Way, heal, isolated, part};
use crate::members::{Cluster, LEASE_MS, MEMBER_TIMEOUT_MS, PATIENCE};
use crate::witness::Writers;

const WAYS: [Way; 3] = [Way::Both, Way::Out, Way::In];

/// Packets vanished, all come together again, and everything that was answered holds.
fn come_together(cluster: &Cluster, cast: Cast, writers: Writers, what: &str) {
    let vanished = heal();
    assert!(vanished > 0, "{what}: nothing was dropped");
    wait_until_it_goes_on(&writers, what);
    let acknowledged = writers.verify_enough(&mut cluster.client(), what);
    cast.settle(cluster);
    println!("{what}: {vanished} packets vanished, {acknowledged} acknowledged, all there");
}

/// Some booking is acknowledged that is newer than the newest now.
fn wait_until_it_goes_on(writers: &Writers, what: &str) {
    let (before, until) = (writers.newest(), Instant::now() + PATIENCE);
    while writers.newest() == before {
        assert!(Instant::now() < until, "{what}: nobody is told anything any more");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_answers_nothing_stale() {
    isolated("silence::a_leader_that_is_cut_off_is_replaced_and_answers_nothing_stale", || {
        let cluster = Cluster::start("silence-leader", &[]);
        let mut cast = Cast::FIRST;
        cast.settle(&cluster);
        for way in WAYS {
            let writers = Writers::begin(&cluster.addresses());
            thread::sleep(Duration::from_millis(300));
            part(cast.leader, way);
            thread::sleep(Duration::from_millis(2 * LEASE_MS));
            cluster.promote(cast.sync);
            cast = cast.next();
            wait_until_it_goes_on(&writers, "the next leader");
            thread::sleep(Duration::from_millis(500));
            come_together(&cluster, cast, writers, &format!("{:?}, {way:?}", Role::Leader));
        }
    });
}

#[test]
fn commits_wait_for_a_sync_follower_that_is_cut_off_and_for_no_other() {
    isolated("silence::commits_wait_for_a_sync_follower_that_is_cut_off_and_for_no_other", || {
        let cluster = Cluster::start("silence-followers", &[]);
        let cast = Cast::FIRST;
        cast.settle(&cluster);
        for way in WAYS {
            let writers = Writers::begin(&cluster.addresses());
            thread::sleep(Duration::from_millis(300));
            part(cast.sync, way);
            thread::sleep(Duration::from_millis(MEMBER_TIMEOUT_MS + 500));
            // What was under way when it fell silent is answered by now, or never; the rest is refused by name.
            let before = writers.newest();
            let refused =
                cluster.client_of(cast.leader).commit(&Commit::new("p").put(&row("t", 1), [("n", 1)]));
            let Err(Error::Refused(refused)) = refused else {
                panic!("{way:?}: committed alone: {refused:?}")
            };
            assert_eq!(refused.code, Code::DurabilityUnavailable, "{refused}");
            assert_eq!(writers.newest(), before, "{way:?}: acknowledged without the member that is required");
            come_together(&cluster, cast, writers, &format!("{:?}, {way:?}", Role::Sync));
        }
        for way in WAYS {
            let writers = Writers::begin(&cluster.addresses());
            thread::sleep(Duration::from_millis(300));
            part(cast.other, way);
            thread::sleep(Duration::from_millis(MEMBER_TIMEOUT_MS + 500));
            wait_until_it_goes_on(&writers, "nobody waits for an async member");
            come_together(&cluster, cast, writers, &format!("{:?}, {way:?}", Role::Async));
        }
    });
}
