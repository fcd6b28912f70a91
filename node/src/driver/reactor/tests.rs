//! A worker's thread with its driver, and a client: they end.

use std::sync::mpsc;
use std::thread;

use seawall::map::{Generation, ShardId};
use seawall::{Client, Commit};
use seawall_wal::LogLimits;

use super::*;
use crate::driver::beside::{Beside, Surroundings};
use crate::driver::choice::Kind;
use crate::driver::directory::Directory;
use crate::shard::{Budget, ReadProof};
use crate::worker::Capabilities;

/// With a tick of a microsecond every write takes whole ticks, so the ring gives RWF_DSYNC up.
fn seat(directory: &Directory, post: &Arc<Post>, beside: &Beside, notices: Sender<Notice>) -> Seat {
    let durable = Durable::Dsync;
    let mut driver = DriverConfig::new(Kind::Ring, 1, durable, true);
    driver.tick_us = 1;
    let capabilities = Capabilities { durable_primitive: durable.name().into(), ..Capabilities::default() };
    let worker = WorkerConfig {
        id: WorkerId(0),
        workers: 1,
        member: None,
        lineage: directory.lineage(),
        limits: LogLimits::default(),
        budget: Budget::default(),
        read_proof: ReadProof::default(),
        capabilities,
    };
    Seat {
        worker,
        driver,
        logs: vec![directory.shard(ShardId(1)).unwrap()],
        map: Arc::new(Map::even(Generation(1), 1)),
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        cpu: None,
        post: post.clone(),
        notices,
        orders: beside.orders(),
        proposals: None,
        linking: None,
    }
}

#[test]
fn clients_are_told_how_writes_become_durable_after_a_switch() {
    let beside_the_test = std::env::current_exe().unwrap();
    let path = beside_the_test.with_file_name(format!("seawall-reactor-{}", std::process::id()));
    let _left_by_a_killed_run = std::fs::remove_dir_all(&path);
    let directory = Directory::open(&path, Some(1), 1).unwrap();
    let post = Post::new(1).unwrap();
    let beside = Beside::start(&directory, &post, &Surroundings::default()).unwrap();
    let (sender, notices) = mpsc::channel();
    let seat = seat(&directory, &post, &beside, sender);
    let address = seat.listener.local_addr().unwrap().to_string();
    let worker = thread::spawn(move || run(seat));
    let told = || Client::connect(address.clone()).unwrap().node().unwrap().durable_primitive.clone();

    let before = told();
    let mut client = Client::connect(address.clone()).unwrap();
    let commit = Commit::new("p").event("t", "x");
    let gave_up = |notice| matches!(notice, Notice::GaveUpDsync { worker: WorkerId(0), .. });
    let mut commits = 0..1000;
    let switched = commits.any(|_| {
        drop(client.commit(&commit).unwrap());
        notices.try_iter().any(gave_up)
    });
    let after = told();

    post.control(WorkerId(0), Control::Stop).unwrap();
    worker.join().unwrap();
    drop((beside, directory));
    std::fs::remove_dir_all(&path).unwrap();
    assert!(switched, "a thousand writes that took whole ticks");
    assert_eq!(before, Durable::Dsync.name(), "what the start chose");
    assert_eq!(after, Durable::Link.name(), "what is so from then on");
}

/// Whoever sends much does not keep the disk waiting: what is left over is the next turn's, and nothing is lost or
/// overtaken.
#[test]
fn a_turn_that_is_over_leaves_what_clients_sent_to_the_next_one() {
    let beside_the_test = std::env::current_exe().unwrap();
    let path = beside_the_test.with_file_name(format!("seawall-turns-{}", std::process::id()));
    let _left_by_a_killed_run = std::fs::remove_dir_all(&path);
    let directory = Directory::open(&path, Some(1), 1).unwrap();
    let post = Post::new(1).unwrap();
    let beside = Beside::start(&directory, &post, &Surroundings::default()).unwrap();
    let (sender, _notices) = mpsc::channel();
    let (mut reactor, _listener) = Reactor::new(seat(&directory, &post, &beside, sender)).unwrap();
    reactor.turn();
    reactor.turn_us = 0;
    reactor.events = vec![Event::Tick, Event::StatusAsked { ticket: 7 }, Event::Tick];
    let left: Vec<usize> = std::iter::repeat_with(|| {
        reactor.turn();
        reactor.events.len()
    })
    .take(3)
    .collect();
    assert_eq!(left, [2, 1, 0], "one at least, and those in the order in which they came");
    assert!(reactor.driver.finish());
    drop((reactor, beside, directory));
    std::fs::remove_dir_all(&path).unwrap();
}
