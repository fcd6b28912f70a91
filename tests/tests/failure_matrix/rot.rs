//! A bit that turned where no start looks: in a segment behind the checkpoint, or in a leader's own files (R2, R8, R25).

use std::collections::BTreeSet;

use seawall_node::seam::order::Errand;
use seawall_wal::{BLOCK, FileId, LogLimits};

use crate::client::{RELAXED, refusal, row_of};
use crate::duo::{Duo, FOLLOWER, LEADER};
use crate::snapshot::folding;
use crate::volatile::Crash;
use seawall::message::Consistency;

const SECOND: u64 = 1_000_000;
const COMMITS: u64 = 40;

/// With two checkpoints that are to be kept, the log goes back to the older one.
const KEPT: usize = 2;

/// Both have written all commits.
fn written(scrub: u64, checkpoints: usize) -> Duo {
    let mut duo = Duo::new(LogLimits { checkpoints, ..folding() }, 2);
    duo.scrub = scrub;
    duo.start(LEADER);
    duo.start(FOLLOWER);
    duo.pass(4 * SECOND);
    for n in 1..=COMMITS {
        duo.commit(LEADER, n);
        duo.settle();
    }
    duo
}

/// Both have checkpoints, and closed segments behind them that no start looks into, and one member's disk loses a bit
/// there, or in a checkpoint. It was not read again yet.
fn rotten(scrub: u64, whose: usize, pick: fn(&FileId) -> bool) -> (Duo, FileId) {
    nth_rotten(scrub, KEPT, whose, pick, 0)
}

/// The same in the file that is read so many after the first of its kind.
fn nth_rotten(scrub: u64, kept: usize, whose: usize, pick: fn(&FileId) -> bool, nth: usize) -> (Duo, FileId) {
    let mut duo = written(scrub, kept);
    duo.pass(SECOND);
    assert!(duo.status(whose).checkpoint > 0 && duo.scrubbed.is_empty());
    // What is kept, in the order in which it is read.
    let mut seen = duo_scrubs(scrub, kept);
    let file = seen.drain(..).filter(pick).nth(nth).expect("such a file is kept");
    duo.members[whose].disk.rot(file, BLOCK + 300, 1);
    (duo, file)
}

/// Which files a member of this world reads again in its first round, in the same moment of the same world.
fn duo_scrubs(scrub: u64, kept: usize) -> Vec<FileId> {
    let mut duo = written(scrub.max(1), kept);
    duo.pass(20 * SECOND);
    duo.scrubbed.iter().filter(|(nth, _)| *nth == FOLLOWER).map(|(_, file)| *file).collect()
}

fn bytes_of(duo: &Duo, nth: usize, file: FileId) -> Vec<u8> {
    duo.members[nth].disk.read().files[&file].clone()
}

fn is_segment(file: &FileId) -> bool {
    matches!(file, FileId::Slot(_))
}

fn is_checkpoint(file: &FileId) -> bool {
    matches!(file, FileId::Checkpoint(_))
}

#[test]
fn a_round_reads_each_checkpoint_and_each_closed_segment_once() {
    let files = duo_scrubs(1, KEPT);
    assert!(files[..2].iter().all(is_checkpoint) && files[0] > files[1], "{files:?}");
    assert!(files.len() > 2 && files[2..].iter().all(is_segment), "{files:?}");
    assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len(), "{files:?}");
}

/// `status` says how far it is, when a round has ended, and what it found.
#[test]
fn a_round_is_told_of() {
    let mut duo = written(1, KEPT);
    let own = duo.status(FOLLOWER).scrub;
    assert_eq!((own.rounds, own.last, own.found), (0, None, None));
    duo.pass(20 * SECOND);
    let own = duo.status(FOLLOWER).scrub;
    let files = duo.scrubbed.iter().filter(|(nth, _)| *nth == FOLLOWER).count() as u64;
    let last = own.last.expect("it has ended");
    assert_eq!((own.rounds, last.files, last.rotten, last.unread), (1, files, 0, 0));
    assert!(last.began_us < last.ended_us && last.bytes >= files * BLOCK as u64 && own.round.is_none());
    let (mut duo, file) = rotten(1, LEADER, is_segment);
    duo.pass(20 * SECOND);
    let own = duo.status(LEADER).scrub;
    assert_eq!(own.last.map(|last| last.rotten), Some(1));
    assert!(own.found.is_some_and(|found| found.starts_with(&format!("R2: {file}"))));
    let mut told = |name| crate::client::fact(&duo.explain(LEADER), name).clone().expect("it is known");
    assert!(told("scrub.last").contains(" 1 rotten, 0 unread, "), "{}", told("scrub.last"));
    assert!(told("scrub.found").contains(&file.to_string()));
    assert_eq!(told("scrub.state"), "waits for its next round");
}

#[test]
fn a_follower_that_finds_a_bit_turned_behind_its_checkpoint_halts_and_says_where() {
    for (pick, nth) in [(is_segment as fn(&FileId) -> bool, 0), (is_checkpoint, 0), (is_checkpoint, 1)] {
        let (mut duo, file) = nth_rotten(1, KEPT, FOLLOWER, pick, nth);
        assert_eq!(duo.members[FOLLOWER].loud, Vec::<String>::new());
        duo.pass(10 * SECOND);
        let loud = duo.members[FOLLOWER].loud.clone();
        let [halted] = &loud[..] else { panic!("{file}: {loud:?}") };
        let rule = if is_segment(&file) { "R2" } else { "R8" };
        for word in [format!("halted: {rule}: {file}, offset "), "expected ".into(), "observed ".into()] {
            assert!(halted.contains(&word), "{word}: {halted}");
        }
        assert!(refusal(duo.read(FOLLOWER, RELAXED)).to_string().contains(&file.to_string()));
        // It is latched, and found again after it was cleared: nothing was mended.
        duo.crash_and_start(FOLLOWER, &Crash::Process);
        duo.pass(SECOND);
        assert_eq!(duo.status(FOLLOWER).state, "halted");
        duo.order(FOLLOWER, Errand::Reseed);
        duo.pass(20 * SECOND);
        assert_eq!(duo.status(FOLLOWER).state, "streaming", "{:?}", duo.members[FOLLOWER].loud);
    }
}

#[test]
fn a_leader_that_finds_a_bit_turned_says_so_and_goes_on() {
    let (mut duo, file) = rotten(1, LEADER, is_segment);
    duo.pass(10 * SECOND);
    let loud = duo.members[LEADER].loud.clone();
    let [rotten] = &loud[..] else { panic!("{loud:?}") };
    assert!(rotten.contains(&format!("rotten: R2: {file}, offset {BLOCK}")), "{rotten}");
    duo.commit_now(COMMITS + 1);
    assert_eq!(duo.read(LEADER, Consistency::Linearizable), row_of(COMMITS + 1));
    duo.pass(60 * SECOND);
    assert_eq!(duo.members[LEADER].loud.len(), 1, "once in a round");
}

/// Its log goes back to the checkpoint before: the rotten one is made again, byte for byte, and whoever needs it gets it.
#[test]
fn a_leader_makes_a_rotten_checkpoint_again() {
    for nth in [0, 1] {
        let (mut duo, file) = nth_rotten(1, KEPT, LEADER, is_checkpoint, nth);
        let whole = bytes_of(&duo, FOLLOWER, file);
        assert_ne!(bytes_of(&duo, LEADER, file), whole);
        duo.pass(20 * SECOND);
        let loud = duo.members[LEADER].loud.clone();
        let [rotten] = &loud[..] else { panic!("{loud:?}") };
        assert!(rotten.contains(&format!("rotten: R8: {file}, offset ")), "{rotten}");
        assert!(rotten.ends_with("the next one is made of the log and of what came before it"), "{rotten}");
        if nth == 0 {
            assert_eq!(bytes_of(&duo, LEADER, file), whole);
        }
        let before = duo.status(LEADER).checkpoint;
        for n in COMMITS + 1..=3 * COMMITS {
            duo.commit_now(n);
        }
        duo.pass(SECOND);
        assert!(duo.status(LEADER).checkpoint > before && duo.status(LEADER).reason.is_none());
        duo.order(FOLLOWER, Errand::Reseed);
        duo.pass(60 * SECOND);
        assert_eq!(duo.status(FOLLOWER).state, "streaming", "{:?}", duo.members[FOLLOWER].loud);
        let loud = &duo.members[LEADER].loud;
        assert_eq!(loud.iter().filter(|said| said.contains("rotten")).count(), 1, "{loud:?}");
    }
}

/// Who needs a checkpoint gets none that its leader knows to be rotten, and cannot make again.
#[test]
fn a_leader_never_sends_a_checkpoint_that_it_found_rotten() {
    let (mut duo, file) = nth_rotten(1, 1, LEADER, is_checkpoint, 0);
    duo.order(LEADER, Errand::Release(seawall::map::MemberId(2)));
    duo.pass(10 * SECOND);
    assert!(duo.members[LEADER].loud.iter().any(|said| said.contains(&format!("rotten: R8: {file}"))));
    duo.order(FOLLOWER, Errand::Reseed);
    for _ in 0..2000 {
        duo.go_on();
        assert_eq!(crate::forgery::next_piece(&duo), None, "a piece of it is sent");
    }
    assert_eq!(duo.following().validated, 0);
    let told = crate::client::fact(&duo.explain(LEADER), "shard.replicas").clone().expect("it is known");
    assert!(told.contains("rotten"), "{told}");
}

#[test]
fn without_a_rate_nothing_is_read_again() {
    let (mut duo, _) = rotten(0, FOLLOWER, is_segment);
    duo.pass(60 * SECOND);
    assert!(duo.scrubbed.is_empty() && duo.members[FOLLOWER].loud.is_empty());
    duo.crash_and_start(FOLLOWER, &Crash::Process);
    duo.pass(5 * SECOND);
    assert_eq!(duo.status(FOLLOWER).state, "streaming", "no start looks there");
}
