//! Three real processes that are one cluster: what was acknowledged survives its leader, whatever became of that.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use seawall::client::Options;
use seawall::{Client, Commit, Outcome, Value, row};

use crate::members::{Cluster, LEASE_MS, at, get, leads};
use crate::node::{BINARY, folder};
use crate::witness::Writers;

/// A leader is killed under load, the next one is promoted, and the first one comes back as its follower.
fn works_as_a_cluster(test: &str, options: &[&str]) {
    let mut cluster = Cluster::start(test, options);
    cluster.wait(0, "leading", leads);
    cluster.require(0, 1);
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(1500));

    cluster.kill(0);
    cluster.promote(1);
    thread::sleep(Duration::from_millis(700));
    let mut client = cluster.client();
    writers.verify_enough(&mut client, "the first leader");

    // The old leader comes back, follows, and may lead again once it was let in.
    let writers = Writers::begin(&cluster.addresses());
    cluster.revive(0);
    cluster.wait(0, "following", |shard| shard["state"] == "streaming");
    thread::sleep(Duration::from_millis(500));
    // Under load, and while every commit waits for it.
    cluster.terminate(2);
    cluster.revive(2);
    cluster.wait(2, "following", |shard| shard["state"] == "streaming");
    thread::sleep(Duration::from_millis(500));
    writers.verify_enough(&mut client, "the next leader");
    cluster.wait_until_level(1, 0);
    assert!(get(cluster.ports[0][1], "/readyz").contains("\"ready\": true"), "a follower is ready as one");
    let followed = get(cluster.ports[1][1], "/metrics");
    assert!(followed.contains("seawall_member_acknowledged_index{shard=\"1\",member=\"1\"}"), "{followed}");
    for node in cluster.nodes.into_iter().flatten() {
        assert!(node.terminate().success());
    }
}

#[test]
fn what_was_acknowledged_survives_the_leader_and_that_one_follows() {
    works_as_a_cluster("cluster-kill", &[]);
}

#[test]
fn what_was_acknowledged_survives_the_leader_on_the_syscall_driver() {
    works_as_a_cluster("cluster-kill-syscall", &["--driver", "syscall"]);
}

/// It stands still for longer than its lease, another one leads meanwhile, and it wakes up believing that it does.
#[test]
fn a_leader_that_stood_still_steps_down_and_answers_nothing_stale() {
    let cluster = Cluster::start("cluster-stop", &[]);
    cluster.wait(0, "leading", leads);
    cluster.require(0, 1);
    let mut client = cluster.client();
    let set = |client: &mut Client, n: i64| {
        let commit = Commit::new("p").key(format!("k{n}")).put(&row("t", 1), [("n", Value::from(n))]);
        assert!(matches!(client.commit(&commit), Ok(Outcome::Committed(_))), "{n}");
    };
    set(&mut client, 1);
    let writers = Writers::begin(&cluster.addresses());
    thread::sleep(Duration::from_millis(300));
    cluster.pause(0);
    thread::sleep(Duration::from_millis(2 * LEASE_MS));
    cluster.promote(1);
    set(&mut cluster.client(), 2);

    // Asked before it can have heard of anybody else: it must refuse, or ask elsewhere.
    let own = at(cluster.ports[0][0]);
    let asked = thread::spawn(move || {
        let options = Options { deadline: Duration::from_secs(10), attempts: 1, ..Options::default() };
        let mut client = Client::connect_with(own, options)?;
        client.get("p", &row("t", 1))
    });
    thread::sleep(Duration::from_millis(200));
    cluster.resume(0);
    if let Ok(got) = asked.join().expect("no panic") {
        let value = got.row.as_ref().and_then(|row| row.get("n")).cloned();
        assert_eq!(value, Some(Value::from(2)), "a stale answer");
    }
    cluster.wait(0, "following", |shard| shard["state"] == "streaming");
    writers.verify_enough(&mut cluster.client(), "the leader that stood still is back");
    cluster.wait_until_level(1, 0);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let mut cluster = Cluster::start("cluster-refused", &[]);
    cluster.nodes.clear();
    let map = cluster.folder.join("map");
    let data = |nth: usize| cluster.folder.join(format!("member-{nth}/data"));
    let refused = |data: &Path, options: &[&str]| {
        let mut command = crate::node::dev(data, "127.0.0.1:0");
        let ended = command.args(options).output().expect("it ends");
        assert!(!ended.status.success());
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let peers = cluster.peers(1);
    let (map, elsewhere) = (map.display().to_string(), cluster.folder.join("other").display().to_string());
    let as_second = |map: &str| -> Vec<String> {
        ["--member", "2", "--map", map, "--peer-listen", &peers].map(str::to_owned).to_vec()
    };
    let words = |options: &[String], data: &Path| {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        refused(data, &options)
    };
    let said = words(&as_second(&map), &data(1));
    assert!(said.contains("that of member 1") && said.contains("cannot be that of member 2"), "{said}");
    let said = words(&[], &data(1));
    assert!(said.contains("that of member 1 of cluster"), "{said}");
    let said = words(&as_second(&elsewhere), &data(2));
    assert!(said.contains("seawall map init"), "{said}");
    let mut init = Command::new(BINARY);
    init.args(["map", "init", "--shards", "2", "--dir", &elsewhere, "--member"]);
    let made = init.arg(format!("2=127.0.0.1:1,peer={peers}")).output().expect("another cluster");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let said = words(&as_second(&elsewhere), &data(2));
    assert!(said.contains("belongs to cluster"), "{said}");
    let said = words(&["--member".to_owned(), "9".to_owned(), "--map".to_owned(), map], &data(9));
    assert!(said.contains("has no such member"), "{said}");
}

#[test]
fn operators_change_the_map_and_it_says_who_and_why() {
    let map = folder("cluster-map").join("map").display().to_string();
    let run = |arguments: &[&str]| {
        let output = Command::new(BINARY).arg("map").args(arguments).output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let one =
        ["--member", "1=127.0.0.1:1,peer=127.0.0.1:2,zone=a", "--member", "2=127.0.0.1:3,peer=127.0.0.1:4"];
    let (code, said) = run(&[&["init", "--dir", &map][..], &one].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&[&["init", "--dir", &map][..], &one].concat());
    assert!(code == Some(1) && said.contains("generation 1 already"), "{said}");
    let (code, said) = run(&["init", "--dir", &map, "--member", "1=127.0.0.1:1"]);
    assert!(code == Some(2) && said.contains("NUMBER=HOST:PORT,peer=HOST:PORT"), "{said}");

    let propose = |change: &[&str]| {
        let by = ["propose", "--dir", &map, "--actor", "ada", "--reason", "a disk is slow"];
        run(&[&by[..], change].concat())
    };
    let (code, said) = propose(&["policy", "1", "--min-in-sync", "1", "--lease-ms", "500"]);
    assert!(code == Some(0) && said.starts_with("generation 2: shard 1, epoch 0: min_in_sync 1, "), "{said}");
    let (code, said) = propose(&["policy", "1", "--min-in-sync", "3"]);
    assert!(code == Some(1) && said.contains("write 1 to 2"), "{said}");
    assert_eq!(propose(&["remove-replica", "1", "2"]).0, Some(0));
    let (code, said) = propose(&["remove-replica", "1", "2"]);
    assert!(code == Some(1) && said.contains("no replica of the shard"), "{said}");
    assert_eq!(propose(&["add-member", "3=127.0.0.1:5,peer=127.0.0.1:6"]).0, Some(0));
    assert_eq!(propose(&["add-replica", "1", "3"]).0, Some(0));
    let (_, shown) = run(&["show", "--dir", &map]);
    for words in [
        "generation 5",
        "member 1  clients 127.0.0.1:1, members 127.0.0.1:2, zone=a",
        "async 1, 3; min_in_sync 1",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(
        shown.ends_with("last change: shard 1, epoch 0: member 3 begins to follow; by ada: a disk is slow\n"),
        "{shown}"
    );
    let (_, document) = run(&["show", "--dir", &map, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((&document["generation"], &document["shards"][0]["lease_ms"]), (&5.into(), &500.into()));
}
