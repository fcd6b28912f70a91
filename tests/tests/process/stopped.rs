//! Orders to the replica of a member that is stopped: they need its directory, and its next start carries them out.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use seawall::{Client, Commit, Outcome, row};
use seawall_wal::meta::{self, Latch, Meta};
use seawall_wal::{FileId, Index, SlotId};

use crate::cast::Cast;
use crate::members::Cluster;
use crate::node::BINARY;

const WHY: &str = "the cable was bad";

fn put(client: &mut Client, n: i64) {
    let commit = Commit::new("p").key(format!("k{n}")).put(&row("t", n % 10), [("n", n)]);
    assert!(matches!(client.commit(&commit), Ok(Outcome::Committed(_))), "{n}");
}

fn order(cluster: &Cluster, nth: usize, verb: &str, more: &[&str]) -> Result<String, String> {
    let mut command = Command::new(BINARY);
    command.args(["replica", verb, "1", "--reason", WHY, "--actor", "ada", "--data"]).arg(cluster.data(nth));
    let done = command.args(more).output().expect("the command runs");
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

/// As a process leaves its directory that met a fork.
fn latch(data: &Path) {
    let path = data.join("shard-0001/meta");
    let bytes = std::fs::read(&path).expect("the metadata");
    let id = meta::peek(&bytes[..seawall_wal::BLOCK]).expect("it says whose it is");
    let meta = meta::read(&bytes, &id).expect("it is whole");
    let latch = Latch::new("R12", FileId::Slot(SlotId(0)), 8192, Index(3), "one log", "two logs");
    let meta = Meta { sequence: meta.sequence + 1, latch: Some(latch), ..meta };
    let file = File::options().write(true).open(&path).expect("the metadata");
    file.write_all_at(&meta.encode(&id), meta.offset()).expect("a copy of it");
}

#[test]
fn a_halt_is_cleared_and_a_log_is_put_aside_while_the_member_is_stopped() {
    let mut cluster = Cluster::start_with("stopped", 1, &[]);
    Cast::FIRST.settle(&cluster);
    let mut client = cluster.client();
    (0..20).for_each(|n| put(&mut client, n));
    cluster.wait_until_level(0, 2);
    let refused = order(&cluster, 2, "reseed", &[]).expect_err("it runs");
    assert!(refused.contains("in use by process"), "{refused}");

    cluster.terminate(2);
    let refused = order(&cluster, 2, "clear", &[]).expect_err("it is well");
    assert!(refused.contains("R25: nothing latches shard 1"), "{refused}");
    latch(&cluster.data(2));
    cluster.revive(2);
    cluster.wait(2, "halted", |shard| shard["state"] == "halted");
    cluster.kill(2);
    let said = order(&cluster, 2, "clear", &[]).expect("there is a latch");
    assert!(said.contains("member 3: the latch is taken away"), "{said}");
    cluster.revive(2);
    put(&mut client, 20);
    cluster.wait_until_level(0, 2);

    cluster.kill(2);
    let said = order(&cluster, 2, "reseed", &["--json"]).expect("it follows");
    assert!(said.contains("quarantine/reseed-") && said.contains("\"done\":true"), "{said}");
    // Once more is the same order.
    assert_eq!(order(&cluster, 2, "reseed", &["--json"]).expect("it was ordered"), said);
    cluster.revive(2);
    cluster.wait_until_level(0, 2);
    cluster.require(0, 2);
    put(&mut client, 21);
    assert!(cluster.data(2).join("shard-0001/quarantine").read_dir().expect("it is there").count() == 1);
    let audit = cluster.order(2, &["replica", "audit"]).expect("it is kept");
    let lines: Vec<&str> = audit.lines().collect();
    let [clear, reseed] = lines[..] else { panic!("{audit}") };
    assert!(clear.contains("clear by ada (the cable was bad); it was halted") && clear.contains("two logs"));
    assert!(reseed.contains("reseed by ada (the cable was bad)"), "{reseed}");
    stopped_leader(&mut cluster);
}

/// What others take their log from is put aside only once another one leads.
fn stopped_leader(cluster: &mut Cluster) {
    let map = cluster.folder.join("map").display().to_string();
    cluster.terminate(0);
    let refused = order(cluster, 0, "reseed", &[]).expect_err("it led");
    assert!(
        refused.contains("R14: as far as this directory knows") && refused.contains("--map DIR"),
        "{refused}"
    );
    let refused = order(cluster, 0, "reseed", &["--map", &map]).expect_err("the map says that it leads");
    assert!(refused.contains("R14: this member leads shard 1 by the map"), "{refused}");
    cluster.promote(1);
    order(cluster, 0, "reseed", &["--map", &map]).expect("another one leads");
    cluster.revive(0);
    cluster.wait_until_level(1, 0);
    let mut client = cluster.client();
    put(&mut client, 22);
    cluster.wait_until_level(1, 0);
}
