//! Many connections that commit without pause; what they were promised outlives the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use seawall::client::Options;
use seawall::{Client, Error, Outcome};
use seawall_tests::powercut::promise::{Kept, Promises};
use seawall_tests::random::Random;

/// A node that refuses for want of room or time is asked again.
const REST: Duration = Duration::from_millis(5);
/// Rows are compared by so many threads.
const READERS: usize = 4;

fn connect(address: &str) -> Result<Client, Error> {
    // One attempt: a second one could hide what became of the first.
    let options = Options { deadline: Duration::from_secs(3), attempts: 1, ..Options::default() };
    Client::connect_with(address, options)
}

/// What one connection saw.
#[derive(Clone, Debug, Default)]
pub struct Saw {
    pub acknowledged: usize,
    pub refused: usize,
    /// The answer that ended it.
    pub last_word: String,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<(Promises, Saw)>>,
}

impl Load {
    pub fn start(writers: Vec<Promises>, address: &str) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let run = |mut promises: Promises| {
            let (stop, address) = (Arc::clone(&stop), address.to_owned());
            std::thread::spawn(move || {
                let saw = write(&mut promises, &address, &stop);
                (promises, saw)
            })
        };
        let writers = writers.into_iter().map(run).collect();
        Load { stop, writers }
    }

    /// Waits for the writers; a dead node has ended them already.
    pub fn end(self) -> (Vec<Promises>, Saw) {
        self.stop.store(true, Ordering::Relaxed);
        let mut writers = Vec::new();
        let mut all = Saw::default();
        for writer in self.writers {
            let (promises, saw) = writer.join().expect("a writer only counts");
            all.acknowledged += saw.acknowledged;
            all.refused += saw.refused;
            all.last_word = saw.last_word;
            writers.push(promises);
        }
        (writers, all)
    }
}

/// Commits until something other than a promise or a passing refusal is the answer.
fn write(promises: &mut Promises, address: &str, stop: &AtomicBool) -> Saw {
    let mut saw = Saw::default();
    let mut client = match connect(address) {
        Ok(client) => client,
        Err(e) => return Saw { last_word: e.to_string(), ..saw },
    };
    while !stop.load(Ordering::Relaxed) {
        match attempt(promises, &mut client) {
            Ok(()) => saw.acknowledged += 1,
            Err((true, why)) => {
                saw.refused += 1;
                saw.last_word = why;
                std::thread::sleep(REST);
            }
            Err((false, why)) => return Saw { last_word: why, ..saw },
        }
    }
    saw
}

/// One commit. An error says whether nothing was done for certain, and why.
fn attempt(promises: &mut Promises, client: &mut Client) -> Result<(), (bool, String)> {
    let commit = promises.commit();
    match client.commit(&commit) {
        Ok(Outcome::Committed(committed)) => {
            promises.acknowledged(committed.version);
            Ok(())
        }
        Ok(Outcome::Rejected(why)) => {
            promises.refused();
            Err((true, why.to_string()))
        }
        Ok(Outcome::Unknown(unknown)) => Err((false, unknown.to_string())),
        Err(refused @ (Error::Refused(_) | Error::Unreachable { .. })) => {
            promises.refused();
            let passing = matches!(refused, Error::Refused(_));
            Err((passing, refused.to_string()))
        }
        Err(other) => Err((false, other.to_string())),
    }
}

/// Every writer tries once more: how many were acknowledged, and one of the refusals.
pub fn try_once(writers: &mut [Promises], address: &str) -> Result<(usize, String), String> {
    let mut client = connect(address).map_err(|e| format!("a new connection: {e}"))?;
    let mut refusal = String::new();
    let mut acknowledged = 0;
    for promises in writers {
        match attempt(promises, &mut client) {
            Ok(()) => acknowledged += 1,
            Err((_, why)) => refusal = why,
        }
    }
    Ok((acknowledged, refusal))
}

/// Compares everything that was promised with what the node shows. An error: the node could not be read.
pub fn judge(
    writers: &mut [Promises],
    address: &str,
    random: &mut Random,
) -> Result<(Kept, Vec<String>), String> {
    let share = writers.len().div_ceil(READERS).max(1);
    let parts: Vec<_> = writers.chunks_mut(share).map(|part| (part, random.fork())).collect();
    let judged = std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .into_iter()
            .map(|(part, random)| scope.spawn(move || judge_some(part, address, random)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a reader only compares")).collect::<Vec<_>>()
    });
    let (mut kept, mut wrong) = (Kept::default(), Vec::new());
    for part in judged {
        let (found, words) = part?;
        kept.rows += found.rows;
        kept.doubts += found.doubts;
        kept.happened += found.happened;
        wrong.extend(words);
    }
    Ok((kept, wrong))
}

fn judge_some(
    writers: &mut [Promises],
    address: &str,
    mut random: Random,
) -> Result<(Kept, Vec<String>), String> {
    let mut client = connect(address).map_err(|e| e.to_string())?;
    let (mut kept, mut wrong) = (Kept::default(), Vec::new());
    for promises in writers {
        let partition = promises.partition();
        let judged = promises.judge(&mut random, |row| {
            let got = client.get(&partition, row)?;
            Ok(got.row.zip(got.version))
        });
        let (found, words) = judged.map_err(|e: Error| format!("a read was not answered: {e}"))?;
        kept.rows += found.rows;
        kept.doubts += found.doubts;
        kept.happened += found.happened;
        wrong.extend(words);
    }
    Ok((kept, wrong))
}
