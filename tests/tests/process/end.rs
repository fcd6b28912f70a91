//! SIGTERM under load, again and again, with clients that try again: they see one node that is slow for a moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall::Client;
use seawall::client::Options;

use crate::clerk::{Clerk, Ended, audit, come_back, impatient, put_to_work};
use crate::node::{Node, folder};
use crate::once::driver;

const ROUNDS: usize = 4;

#[test]
fn clients_that_try_again_see_no_wrong_answer_through_restarts_in_order() {
    let folder = folder("restarts");
    let mut node = Node::start_with(&folder, &driver(0));
    let stop = Arc::default();
    let patient = Options { attempts: 1000, deadline: Duration::from_secs(20), ..Options::default() };
    let patient = put_to_work((0..3).map(Clerk::new).collect(), &node.address, &patient, &stop);
    let mut impatiently: Vec<Clerk> = (3..5).map(Clerk::new).collect();
    for round in 0..ROUNDS {
        let once = impatient(Duration::from_secs(3));
        let threads = put_to_work(impatiently, &node.address, &once, &Arc::default());
        std::thread::sleep(Duration::from_millis(250));
        let address = node.address.clone();
        assert_eq!(node.terminate().code(), Some(0), "round {round}");
        // They had their answers before it went, or were told that nothing was done.
        impatiently = come_back(threads).into_iter().map(|(clerk, _)| clerk).collect();
        node = Node::start_at(&folder, &address, &driver(round + 1));
        let clean = format!("last end    shard 1: closed cleanly at {}:", round + 1);
        assert!(node.said().contains(&clean), "round {round}: no {clean:?} in {}", node.said());
        let mut client = Client::connect(node.address.as_str()).expect("the node serves");
        impatiently.iter_mut().for_each(|clerk| clerk.settle(&mut client));
    }
    std::thread::sleep(Duration::from_millis(250));
    stop.store(true, Ordering::Relaxed);
    let mut clerks = impatiently;
    for (clerk, ended) in come_back(patient) {
        assert!(matches!(ended, Ended::Told), "a client with {ended:?} after retries");
        let epochs = clerk
            .booked
            .first()
            .zip(clerk.booked.last())
            .map(|(a, b)| (a.version.epoch.0, b.version.epoch.0));
        assert_eq!(epochs, Some((1, ROUNDS as u64 + 1)), "it worked through all of them");
        clerks.push(clerk);
    }
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    audit(&mut clerks, &mut client);
    assert!(node.terminate().success());
}
