//! Exactly once through SIGKILL: bookings under request keys, by clerks that remember every answer.

use std::sync::Arc;
use std::time::Duration;

use seawall::Client;

use crate::clerk::{Clerk, audit, come_back, impatient, put_to_work};
use crate::node::{Node, folder};

const CLERKS: usize = 4;
/// Rounds of SIGKILL; long campaigns set more by `SEAWALL_KILL_ROUNDS`.
const ROUNDS: usize = 20;

pub fn rounds() -> usize {
    std::env::var("SEAWALL_KILL_ROUNDS").ok().map_or(ROUNDS, |n| n.parse().expect("a number of rounds"))
}

/// The drivers take turns, each on what the other one left.
pub fn driver(round: usize) -> [&'static str; 2] {
    ["--driver", if round.is_multiple_of(2) { "auto" } else { "syscall" }]
}

#[test]
fn a_booking_counts_once_whatever_was_killed_retried_and_settled() {
    let folder = folder("once");
    let mut clerks: Vec<Clerk> = (0..CLERKS).map(Clerk::new).collect();
    let test = "a_booking_counts_once_whatever_was_killed_retried_and_settled";
    let mut node = Node::start(test, &folder);
    let mut booked = 0;
    for round in 0..rounds() {
        let threads = put_to_work(clerks, &node.address, &impatient(Duration::from_secs(3)), &Arc::default());
        std::thread::sleep(Duration::from_millis(120 + 97 * (round as u64 % 4)));
        node.kill();
        clerks = come_back(threads).into_iter().map(|(clerk, _)| clerk).collect();
        node = Node::start_with(&folder, &driver(round + 1));
        let mut client = Client::connect(node.address.as_str()).expect("the node serves");
        let before = std::mem::replace(&mut booked, audit(&mut clerks, &mut client));
        assert!(booked > before, "round {round}: nobody booked anything");
    }
    clerks.iter_mut().for_each(Clerk::forget_audits);
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    audit(&mut clerks, &mut client);
    println!("{booked} bookings over {} kills", rounds());
    assert!(node.terminate().success());
}
