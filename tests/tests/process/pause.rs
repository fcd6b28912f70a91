//! A process that stands still under load (SIGSTOP), as one does on a host that swaps or is moved, and goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall::client::Got;
use seawall::message::assigned::Result as Assigned;
use seawall::message::term::Ttl;
use seawall::position::Position;
use seawall::{Client, Commit, Outcome, RowRef, row};

use crate::clerk::{Clerk, Ended, audit, come_back, impatient, put_to_work};
use crate::node::{Node, folder};
use crate::once::driver;

const CLERKS: usize = 4;
/// Longer than the leases and the rows that end meanwhile, and than a clerk waits.
const STILL: Duration = Duration::from_millis(1800);
const DEADLINE: Duration = Duration::from_millis(600);
const TTL_MS: u64 = 700;

#[test]
fn a_node_that_stood_still_goes_on_with_all_it_acknowledged() {
    let folder = folder("pause");
    for round in 0..2 {
        let node = Node::start_with(&folder, &driver(round));
        stand_still(&node);
        assert!(node.terminate().success());
        std::fs::remove_dir_all(folder.join("data")).expect("the next driver begins anew");
    }
}

fn stand_still(node: &Node) {
    let mut clerks: Vec<Clerk> = (0..CLERKS).map(Clerk::new).collect();
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    let (gate, guest) = (row("gate", 1), row("guest", 1));
    let lease = acquire(&mut client, &gate);
    let put = Commit::new("port").put_for(&guest, [("state", "here")], ttl());
    assert!(matches!(client.commit(&put), Ok(Outcome::Committed(_))));
    assert!(holds(&mut client, &gate, lease), "a lease that was just given is held");

    let threads = put_to_work(clerks, &node.address, &impatient(DEADLINE), &Arc::default());
    std::thread::sleep(Duration::from_millis(200));
    node.signal("STOP");
    node.wait_until_still();
    let stopped = Instant::now();
    let mut late = Client::connect_with(node.address.as_str(), impatient(DEADLINE));
    assert!(
        late.as_mut().map_or(true, |late| late.get("port", &guest).is_err()),
        "a process that stands still answers nothing"
    );
    let ended = come_back(threads);
    assert!(
        ended.iter().all(|(_, ended)| matches!(ended, Ended::Unknown | Ended::Error(_))),
        "a clerk waits as long as its deadline says"
    );
    assert!(ended.iter().any(|(_, ended)| matches!(ended, Ended::Unknown)), "nothing was under way");
    clerks = ended.into_iter().map(|(clerk, _)| clerk).collect();
    std::thread::sleep(STILL.saturating_sub(stopped.elapsed()));
    node.signal("CONT");

    // The first thing asked of it: it must not decide by the time at which it fell asleep.
    assert!(!holds(&mut client, &gate, lease), "a lease of {TTL_MS} ms is held after {STILL:?}");
    let next = acquire(&mut client, &gate);
    assert!(next > lease, "fencing token {next} after {lease}");
    assert!(audit(&mut clerks, &mut client) > 0, "nobody booked anything");
    gone_for_good(&mut client, &guest);
    assert!(!holds(&mut client, &gate, lease), "the first holder came back");
    let stop = Arc::default();
    let threads = put_to_work(clerks, &node.address, &impatient(Duration::from_secs(5)), &stop);
    std::thread::sleep(Duration::from_millis(200));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let ended = come_back(threads);
    assert!(ended.iter().all(|(_, ended)| matches!(ended, Ended::Told)), "the node serves as before");
    let mut clerks: Vec<Clerk> = ended.into_iter().map(|(clerk, _)| clerk).collect();
    audit(&mut clerks, &mut client);
}

fn ttl() -> Ttl {
    Ttl::from_ms(TTL_MS).expect("it is in range")
}

fn acquire(client: &mut Client, gate: &RowRef) -> Position {
    match client.commit(&Commit::new("port").lease_acquire(gate, ttl())).expect("the node serves") {
        Outcome::Committed(committed) => match committed.results.list().iter().next().map(|one| one.result) {
            Some(Assigned::Lease { token, .. }) => token,
            other => panic!("a lease was asked for, and came to {other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn holds(client: &mut Client, gate: &RowRef, lease: Position) -> bool {
    let passes = Commit::new("port").check(gate.lease_held(lease)).put(&row("passed", 1), [("by", "it")]);
    matches!(client.commit(&passes).expect("the node serves"), Outcome::Committed(_))
}

/// A row whose time is over goes with a record, soon, and never comes back.
fn gone_for_good(client: &mut Client, guest: &RowRef) {
    let mut look = || -> Got { client.get("port", guest).expect("the node serves") };
    let until = Instant::now() + Duration::from_secs(5);
    while look().row.is_some() {
        assert!(Instant::now() < until, "a row of {TTL_MS} ms is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!((0..20).all(|_| look().row.is_none()), "a row that was gone is there again");
}
