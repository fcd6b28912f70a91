//! What operators tell members of a real cluster, and what they are answered: a handover, the sync set, and a
//! promotion that accepts a loss.

use std::thread;
use std::time::Duration;

use seawall::client::Error;
use seawall::refusal::Code;
use seawall::{Client, Commit, Outcome, Value, row};

use crate::cast::Cast;
use crate::members::{Cluster, MEMBER_TIMEOUT_MS, leads};
use crate::witness::Writers;

fn put(client: &mut Client, n: i64) {
    let commit = Commit::new("p").key(format!("k{n}")).put(&row("t", n), [("n", Value::from(n))]);
    let ended = client.commit(&commit);
    assert!(matches!(ended, Ok(Outcome::Committed(_))), "{n}: {ended:?}");
}

fn is_there(client: &mut Client, n: i64) -> bool {
    client.get("p", &row("t", n)).expect("somebody leads").row.is_some()
}

#[test]
fn a_handover_loses_nothing_and_its_answer_names_the_next_leader_and_its_epoch() {
    let cluster = Cluster::start("orders-hand-over", &[]);
    cluster.wait(0, "leading", leads);
    cluster.require(0, 1);
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(700));
    // Under load it is level only now and then: the order waits for that.
    cluster.require(0, 2);
    let refused = cluster.order(0, &["hand-over", "1", "--to", "9"]).expect_err("there is no such member");
    assert!(refused.contains("member 9 is not in the sync set"), "{refused}");
    let refused = cluster.order(1, &["hand-over", "1", "--to", "2"]).expect_err("it does not lead");
    assert!(refused.contains("does not lead the shard: tell the leader"), "{refused}");
    // Both at once: whose compare-and-swap loses tries again.
    let hand_over = |shard: &'static str| {
        let order = ["hand-over", shard, "--to", "2", "--actor", "ada", "--reason", "a disk is slow"];
        let said = cluster.order(0, &order).expect("it is level, and in the sync set");
        assert!(said.contains("member 1: member 2 takes over from epoch "), "{said}");
    };
    thread::scope(|scope| ["1", "2"].map(|shard| scope.spawn(move || hand_over(shard))).map(drop));
    cluster.wait(1, "leading", leads);
    cluster.wait(0, "following", |shard| shard["state"] == "streaming");
    writers.verify_enough(&mut cluster.client(), "both shards are handed over");
    // They go on where the new leader is.
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(500));
    writers.verify_enough(&mut cluster.client(), "the new leader");
    cluster.wait_until_level(1, 0);
}

#[test]
fn a_member_leaves_the_sync_set_and_enters_it_by_order() {
    let mut cluster = Cluster::start_with("orders-sync-set", 1, &[]);
    cluster.wait(0, "leading", leads);
    let mut client = cluster.client();
    put(&mut client, 1);
    cluster.require(0, 1);
    cluster.wait_until_level(0, 2);
    cluster.require(0, 2);
    assert!(cluster.map().contains("in sync 2, 3; async nobody"), "{}", cluster.map());

    // Commits wait for whoever is required, and not for whoever was released.
    cluster.kill(2);
    thread::sleep(Duration::from_millis(MEMBER_TIMEOUT_MS + 500));
    let refused = cluster.client_of(0).commit(&Commit::new("p").put(&row("t", 2), [("n", 2)]));
    let Err(Error::Refused(refused)) = refused else { panic!("member 3 does not answer: {refused:?}") };
    assert_eq!(refused.code, Code::DurabilityUnavailable, "{refused}");
    assert!(refused.reason.observed.contains("member 3"), "{refused}");
    let order = ["sync-set", "release", "1", "3", "--actor", "ada", "--reason", "it burns"];
    let said = cluster.order(0, &order).expect("another one is in the set");
    assert!(said.contains("recorded in the map of generation "), "{said}");
    assert!(cluster.map().contains("by ada: it burns"), "{}", cluster.map());
    put(&mut client, 3);

    let refused = cluster.order(0, &["sync-set", "require", "1", "3"]).expect_err("it does not run");
    assert!(refused.contains("R14: member 3 has validated up to "), "{refused}");
    cluster.revive(2);
    cluster.wait_until_level(0, 2);
    cluster.require(0, 2);
    assert!(cluster.map().contains("in sync 2, 3; async nobody"), "{}", cluster.map());
    put(&mut client, 4);
    assert!((1..=4).all(|n| n == 2 || is_there(&mut client, n)));
}

/// The leader is gone, and whoever is promoted stood aside while it wrote: what it lacks is said, stands in the map, and
/// is in the quarantine of the others.
#[test]
fn a_promotion_that_accepts_a_loss_says_how_much_and_whether_the_old_leader_is_fenced() {
    let mut cluster = Cluster::start_with("orders-loss", 1, &[]);
    cluster.wait(0, "leading", leads);
    let mut client = cluster.client();
    cluster.require(0, 1);
    put(&mut client, 1);
    cluster.wait_until_level(0, 2);
    // It was there from the beginning, or came when the shard had been led, and counts once it was recorded.
    cluster.require(0, 2);
    cluster.order(0, &["sync-set", "release", "1", "3"]).expect("another one is in the set");
    cluster.terminate(2);
    (2..12).for_each(|n| put(&mut client, n));
    let told = cluster.shards(0)[0]["replication"]["committed"].as_u64().expect("a number");
    cluster.kill(0);
    cluster.revive(2);

    let refused = cluster.order(2, &["promote", "1"]).expect_err("it is not recorded");
    assert!(refused.contains("R15: member 3 is not recorded in the sync set"), "{refused}");
    let order = ["promote", "1", "--accept-loss", "--actor", "ada", "--reason", "the harbour waits"];
    // While the last one of the sync set does not answer either, it could commit: so long the order waits, and
    // is asked after again and again.
    cluster.pause(1);
    let said = thread::scope(|scope| {
        let promoted = scope.spawn(|| cluster.order(2, &order));
        thread::sleep(Duration::from_millis(3500));
        assert!(!promoted.is_finished(), "nobody of the sync set was fenced");
        cluster.resume(1);
        promoted.join().expect("no panic")
    });
    let said = said.expect("one of the sync set is fenced");
    assert!(said.contains("what was acknowledged from index "), "{said}");
    let until = said.split("up to ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::parse::<u64>);
    assert!(matches!(until, Some(Ok(until)) if until >= told), "it had committed up to {told}: {said}");
    assert!(said.contains("the leader of before has not heard of it"), "{said}");
    cluster.wait(2, "leading", leads);
    let mut client = cluster.client();
    assert!(is_there(&mut client, 1) && !is_there(&mut client, 2), "the loss is what was said, and no more");
    put(&mut client, 100);

    let generations = std::fs::read_dir(cluster.folder.join("map")).expect("the map's directory");
    let kept: Vec<String> = generations
        .flatten()
        .map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default())
        .collect();
    let tells =
        |map: &&String| map.contains("ada") && map.contains("the harbour waits") && map.contains("loss");
    assert!(kept.iter().any(|map| tells(&map)), "{kept:#?}");

    // Whoever has the suffix that is gone puts it aside, and follows.
    cluster.revive(0);
    cluster.wait_until_level(2, 0);
    cluster.wait_until_level(2, 1);
    for nth in [0, 1] {
        let aside = cluster.data(nth).join("shard-0001/quarantine");
        let files = std::fs::read_dir(&aside).map(Iterator::count).unwrap_or(0);
        assert!(files > 0, "member {} put nothing aside: {}", nth + 1, aside.display());
    }
    put(&mut client, 101);
    assert!(is_there(&mut client, 100) && !is_there(&mut client, 2));
}

/// Nobody of those who have what was acknowledged is there any more. Whoever is left knows neither how much that was, nor
/// whether they are really gone: both stand in the answer, and each one that is not there has to be named.
#[test]
fn a_promotion_without_anybody_of_the_write_set_says_that_the_loss_is_unknown() {
    let mut cluster = Cluster::start_with("orders-split", 1, &[]);
    Cast::FIRST.settle(&cluster);
    let mut client = cluster.client();
    put(&mut client, 1);
    cluster.wait_until_level(0, 2);
    cluster.terminate(2);
    (2..12).for_each(|n| put(&mut client, n));
    cluster.kill(0);
    cluster.kill(1);
    cluster.revive(2);

    let refused = cluster.order(2, &["promote", "1"]).expect_err("it is not recorded");
    assert!(refused.contains("R15: member 3 is not recorded in the sync set"), "{refused}");
    // A loss is accepted, and cannot be measured; one of the two could still commit: it waits for them.
    for order in [&["promote", "1", "--accept-loss"][..], &["promote", "1", "--accept-split", "--off", "1"]] {
        let refused = cluster.order_within(2, &[order, &["--timeout", "3s"]].concat());
        let refused = refused.expect_err("somebody is neither fenced nor named");
        assert!(refused.contains("it is at work, and not done yet"), "{refused}");
        cluster.kill(2);
        cluster.revive(2);
    }
    // It leads from then on, and as it is alone it commits nothing before the policy says that this is enough.
    let both = ["promote", "1", "--accept-split", "--off", "1,2", "--actor", "ada", "--reason", "a fire"];
    let said = thread::scope(|scope| {
        let promoted = scope.spawn(|| cluster.order(2, &both));
        cluster.wait_for_map("led by member 3");
        assert!(cluster.map().contains("by ada: a fire"), "{}", cluster.map());
        let policy = ["policy", "1", "--min-in-sync", "1"];
        cluster.propose(&policy, "nobody else is left");
        promoted.join().expect("no panic")
    });
    let said = said.expect("both are declared powered off");
    assert!(said.contains("what is lost is unknown"), "{said}");
    assert!(said.contains("the leader of before has not heard of it"), "{said}");
    cluster.wait(2, "leading", leads);
    // The map changes once more, when the loss is closed: whoever asks once may hear that its map is older.
    put(&mut cluster.client(), 50);

    // What was lost is put aside by whoever has it, and is not there any more.
    cluster.revive(0);
    cluster.revive(1);
    for nth in [0, 1] {
        cluster.wait_until_level(2, nth);
        let aside = cluster.data(nth).join("shard-0001/quarantine");
        assert!(std::fs::read_dir(&aside).is_ok_and(|files| files.count() > 0), "{}", aside.display());
    }
    let back = ["policy", "1", "--min-in-sync", "2"];
    cluster.require(2, 0);
    cluster.propose(&back, "they are back");
    let mut client = cluster.client();
    put(&mut client, 100);
    let there = [1, 2, 50, 100].map(|n| is_there(&mut client, n));
    assert_eq!(there, [true, false, true, true], "what was lost is gone, and nothing else");
}
