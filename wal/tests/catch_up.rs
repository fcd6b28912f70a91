//! A log that is read back for a follower that is behind, and a checkpoint that takes the place of what it lacks.

#[path = "support/follow.rs"]
mod following;
mod support;

use following::{Item, feed, follow, items, lead, missing};
use seawall_wal::checkpoint::{Boundary, FoldPolicy};
use seawall_wal::format::NotValid;
use seawall_wal::{
    BLOCK, Buffer, Checkpoint, Cursor, FileId, Follower, Gone, Index, Io, Log, LogLimits, NotTaken, Portion,
    Scrubbed, Start,
};
use support::{Disk, append, limits};

/// As much as there is room for, and at once.
const ALL: Portion = Portion { bytes: usize::MAX, pause_us: 0 };

/// Hardly anything in memory, and checkpoints soon.
fn folding() -> LogLimits {
    let fold = FoldPolicy { least_bytes: 8 * BLOCK as u64, most_segments: 2 };
    LogLimits { fold, checkpoints: 1, ..limits() }
}

fn read_once(disk: &mut Disk, log: &mut Log, cursor: &mut Cursor) -> Option<(Vec<u8>, Index)> {
    read_portion(disk, log, cursor, ALL)
}

fn read_portion(
    disk: &mut Disk,
    log: &mut Log,
    cursor: &mut Cursor,
    portion: Portion,
) -> Option<(Vec<u8>, Index)> {
    let mut ios = Vec::new();
    let asked = log.read_back(cursor, portion, &mut ios).expect("it is kept")?;
    let Some(Io::ReadBack { pause_us, .. }) = ios.first() else { panic!("{ios:?}") };
    assert_eq!(*pause_us, portion.pause_us);
    let done = disk.execute(ios.pop().expect("a read"));
    log.done(done).expect("no error");
    let [(id, Ok(buffer))] = &log.came_back()[..] else { panic!("one read came back") };
    assert_eq!(*id, asked);
    let stretch = log.stretch(cursor, buffer.bytes()).expect("it is whole");
    Some((buffer.bytes()[stretch.range].to_vec(), stretch.last))
}

fn batches(items: &[Item], from: Index) -> Vec<u8> {
    let wanted = items.iter().filter(|item| item.offset > 0 && item.last >= from);
    wanted.flat_map(|item| item.bytes.clone()).collect()
}

#[test]
fn a_log_is_read_back_from_any_index_over_all_segments_and_the_open_one() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    for n in 0..60u8 {
        disk.commit(&mut log, &vec![n; 100 + 150 * usize::from(n)]);
    }
    let all = items(&disk);
    assert!(all.iter().filter(|item| item.offset == 0).count() > 5);
    for from in 1..=log.durable().0 {
        let mut cursor = log.cursor(Index(from)).expect("nothing was folded");
        let mut read = Vec::new();
        while let Some((bytes, last)) = read_once(&mut disk, &mut log, &mut cursor) {
            assert!(last <= log.durable());
            read.extend(bytes);
        }
        assert!(read == batches(&all, Index(from)), "from index {from}");
        assert_eq!(cursor.next(), Index(log.durable().0 + 1));
    }
}

#[test]
fn a_batch_that_is_larger_than_the_portion_is_read_in_a_second_try() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    for n in 0..20u8 {
        disk.commit(&mut log, &vec![n; 100 + 500 * usize::from(n)]);
    }
    let mut cursor = log.cursor(Index(1)).expect("nothing was folded");
    let (mut read, mut reads) = (Vec::new(), 0);
    let block = Portion { bytes: BLOCK, pause_us: 7 };
    while let Some((bytes, _)) = read_portion(&mut disk, &mut log, &mut cursor, block) {
        reads += 1;
        read.extend(bytes);
    }
    assert!(read == batches(&items(&disk), Index(1)));
    assert!(reads > 20, "some batches are larger than a block: {reads} reads");
}

/// What stands behind a batch says how long it is, and may be wrong.
#[test]
fn a_batch_that_ends_nowhere_is_found_out() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    disk.commit(&mut log, &vec![7; 3 * BLOCK]);
    let mut cursor = log.cursor(Index(1)).expect("kept");
    let mut ios = Vec::new();
    log.read_back(&mut cursor, ALL, &mut ios).expect("kept").expect("something");
    log.done(disk.execute(ios.remove(0))).expect("no error");
    let came = log.came_back();
    let part = &came[0].1.as_ref().expect("read").bytes()[..BLOCK];
    let stretch = log.stretch(&mut cursor, part).expect("more of it may be there");
    assert!(stretch.first.is_none() && cursor.least() > 3 * BLOCK);
    assert_eq!(log.stretch(&mut cursor, part).unwrap_err(), NotValid::Short);
}

#[test]
fn what_is_not_durable_yet_is_not_read_back() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    let known = disk.commit(&mut log, b"known");
    append(&mut log, b"under way").expect("room");
    let mut ios = Vec::new();
    log.pump(0, &mut ios);
    let writes: Vec<Io> = ios.into_iter().filter(|io| matches!(io, Io::Write { .. })).collect();
    assert_eq!(writes.len(), 1, "its write has not ended");
    let mut cursor = log.cursor(known).expect("kept");
    let (bytes, last) = read_once(&mut disk, &mut log, &mut cursor).expect("something");
    assert_eq!((bytes, last), (batches(&items(&disk), known), known));
}

/// A slot that was used again, or is read wrongly, is noticed when the bytes are there; and a floor keeps it.
#[test]
fn a_slot_that_was_used_again_is_no_part_of_the_log() {
    let mut disk = Disk::new();
    let mut log = disk.open_with(folding());
    disk.commit(&mut log, b"the first");
    let mut cursor = log.cursor(Index(1)).expect("all is kept");
    for n in 0..200u8 {
        disk.commit(&mut log, &vec![n; 3000]);
    }
    assert!(log.cursor(Index(1)).is_none() && log.oldest_stored() > Some(Index(1)));
    assert_eq!(log.read_back(&mut cursor, ALL, &mut Vec::new()), Err(Gone));
    let from = log.oldest_stored().expect("some is");
    log.set_floor(Some(from));
    for n in 0..200u8 {
        disk.commit(&mut log, &vec![n; 3000]);
    }
    assert!(log.cursor(from).is_some() && log.held_bytes() > 0, "somebody needs it");
    let mut cursor = log.cursor(from).expect("kept");
    let mut ios = Vec::new();
    log.read_back(&mut cursor, ALL, &mut ios).expect("kept").expect("something");
    let Some(Io::ReadBack { file, .. }) = ios.first() else { panic!("{ios:?}") };
    let file = *file;
    disk.files.get_mut(&file).expect("a slot")[BLOCK + 200] ^= 1;
    log.done(disk.execute(ios.remove(0))).expect("no error");
    let came = log.came_back();
    assert!(log.stretch(&mut cursor, came[0].1.as_ref().expect("read").bytes()).is_err());
    log.set_floor(None);
    assert!(log.held_bytes() == 0 && log.cursor(from).is_none(), "nobody does any more");
}

/// A leader that folded what a follower needs, and that follower: empty, or with the front of the log.
struct Behind {
    leader: Disk,
    checkpoint: Checkpoint,
    file: Vec<u8>,
    disk: Disk,
    follower: Follower,
}

fn behind(has: usize) -> Behind {
    let mut leader = Disk::new();
    let mut log = leader.open_with(folding());
    log.set_floor(Some(Index(1)));
    let (mut disk, mut follower) = (Disk::new(), None);
    for n in 0..90u8 {
        leader.commit(&mut log, &vec![n; 3000]);
        if usize::from(n) == has {
            let copy = follower.insert(follow(&mut disk, folding()));
            feed(&mut disk, copy, &items(&leader));
        }
        if n == 50.max(u8::try_from(has).unwrap_or(0)) {
            log.set_floor(None);
        }
    }
    let follower = follower.unwrap_or_else(|| follow(&mut disk, folding()));
    let checkpoint = *log.checkpoint().expect("it folded");
    let file = leader.files[&FileId::Checkpoint(checkpoint.id())].clone();
    Behind { leader, checkpoint, file, disk, follower }
}

impl Behind {
    /// Sends the checkpoint in pieces, for as many operations; the last thing that was said of it.
    fn transfer(&mut self, operations: usize, file: &[u8]) -> Result<(), NotTaken> {
        let (boundary, bytes) = (self.checkpoint.boundary, file.len() as u64);
        let (mut executed, mut ios) = (0, Vec::new());
        loop {
            if !self.follower.adopted() {
                let at = self.follower.offered();
                let from = usize::try_from(at).unwrap();
                if let Some(piece) = file.get(from..file.len().min(from + BLOCK)).filter(|p| !p.is_empty()) {
                    self.follower.offer(boundary, bytes, at, piece).or_else(|why| match why {
                        NotTaken::Busy => Ok(()),
                        why => Err(why),
                    })?;
                }
            }
            self.follower.pump(&mut ios);
            let Some(io) = ios.pop() else { return Ok(()) };
            if executed == operations {
                return Ok(());
            }
            executed += 1;
            match io {
                Io::Adopt(job) => self.follower.folded(self.disk.adopt(&job))?,
                Io::Fold(job) => self.follower.folded(self.disk.fold(&job))?,
                io => self.follower.done(self.disk.execute(io)).expect("no error"),
            }
        }
    }

    /// A start removes what has no name.
    fn start_again(&mut self) {
        self.disk.offered.clear();
        self.follower = follow(&mut self.disk, folding());
    }
}

#[test]
fn a_checkpoint_takes_the_place_of_the_log_and_the_log_goes_on_behind_it() {
    for has in [usize::MAX, 2, 9, 20] {
        let mut it = behind(has);
        it.transfer(usize::MAX, &it.file.clone()).expect("it is whole");
        assert!(it.follower.adopted());
        for _ in 0..2 {
            it.start_again(); // also when nothing came behind it yet
            assert_eq!(it.follower.validated(), it.checkpoint.boundary.cut.index);
        }
        let rest = missing(&items(&it.leader), &it.follower);
        feed(&mut it.disk, &mut it.follower, &rest);
        assert_eq!(it.follower.validated(), Index(90));
        it.start_again();
        let log = lead(&mut it.disk, folding(), 9);
        assert_eq!(log.checkpoint(), Some(&it.checkpoint));
    }
}

/// F-S1: a death at any operation of the transfer leaves what was there before, or the whole checkpoint.
#[test]
fn f_s1_a_death_during_the_transfer_leaves_the_log_as_it_was() {
    for has in [usize::MAX, 9] {
        let (mut as_before, mut adopted) = (0, 0);
        for deaths_after in 0.. {
            let mut it = behind(has);
            let before = it.follower.validated();
            it.transfer(deaths_after, &it.file.clone()).expect("it is whole");
            let ended = it.follower.adopted();
            it.start_again();
            let cut = it.checkpoint.boundary.cut.index;
            assert_eq!(
                it.follower.validated(),
                if ended { cut } else { before },
                "died after {deaths_after}"
            );
            assert_eq!(it.follower.offered(), 0, "nothing of it counts any more");
            as_before += usize::from(!ended);
            adopted += usize::from(ended);
            it.transfer(usize::MAX, &it.file.clone()).unwrap_or_else(|why| assert!(ended, "{why:?}"));
            it.start_again();
            assert_eq!(it.follower.validated(), cut, "the second attempt, from its beginning");
            if ended {
                break;
            }
        }
        assert!(as_before > it_has_pieces() && adopted == 1);
    }
}

fn it_has_pieces() -> usize {
    behind(usize::MAX).file.len() / BLOCK
}

/// F-S2: whatever bit is wrong, nothing gets a name, and it is said where; then it is begun again.
#[test]
fn f_s2_what_is_not_whole_is_thrown_away_and_begun_again() {
    let size = behind(9).file.len();
    for bit in (0..8 * size).step_by(8 * 61 + 3) {
        let mut it = behind(9);
        let before = it.follower.validated();
        let mut damaged = it.file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Err(NotTaken::NotWhole(why)) = it.transfer(usize::MAX, &damaged) else {
            panic!("bit {bit} was not noticed")
        };
        let name = it.checkpoint.id().0;
        assert!(why.contains(&format!("checkpoint-{name:012}.ckp")), "{why}");
        assert!(why.contains("expected") && why.contains("observed"), "{why}");
        assert!(!it.disk.files.contains_key(&FileId::Checkpoint(it.checkpoint.id())));
        assert!(!it.follower.adopted() && it.follower.validated() == before && it.follower.offered() == 0);
        it.transfer(usize::MAX, &it.file.clone()).expect("whole");
        it.start_again();
        assert_eq!(it.follower.validated(), it.checkpoint.boundary.cut.index);
    }
}

/// F-S2: another checkpoint than the one that the leader named is none.
#[test]
fn f_s2_another_checkpoint_than_the_named_one_is_not_taken() {
    let mut it = behind(9);
    it.checkpoint.boundary = Boundary { chain: 1, ..it.checkpoint.boundary };
    let Err(NotTaken::NotWhole(why)) = it.transfer(usize::MAX, &it.file.clone()) else { panic!("taken") };
    assert!(why.contains("expected the checkpoint at Boundary") && why.contains("chain: 1"), "{why}");
}

/// F-S3: a log that says to go on at the cut, and does not, is a hard failure; one that begins further on is not.
#[test]
fn f_s3_a_log_that_does_not_continue_at_the_cut_is_a_hard_failure() {
    let mut it = behind(9);
    it.transfer(usize::MAX, &it.file.clone()).expect("it is whole");
    it.start_again();
    let rest = missing(&items(&it.leader), &it.follower);
    let header = seawall_wal::format::SegmentHeader::read(&rest[0].bytes, &support::LOG).expect("a header");
    let forked = |change: &dyn Fn(&mut seawall_wal::format::SegmentHeader)| {
        let mut header = header;
        change(&mut header);
        let mut block = vec![0; BLOCK];
        block[..size_of_val(&header)].copy_from_slice(bytemuck::bytes_of(&header.seal()));
        block
    };
    let chain = it.follower.take(&forked(&|header| header.pred_chain ^= 1)).expect_err("another chain");
    assert!(chain.forks && chain.rule == "R1", "{chain}");
    assert!(chain.expected.contains(&format!("from index {}", it.checkpoint.boundary.cut.index.0 + 1)));
    assert!(chain.observed.contains("chain"), "{chain}");
    let end = it.follower.take(&forked(&|header| header.pred_end += BLOCK as u64)).expect_err("another end");
    assert!(end.forks);
    let before =
        it.follower.take(&forked(&|header| header.pred_incarnation -= 1)).expect_err("parted before");
    assert!(before.forks);
    let gap = it.follower.take(&forked(&|header| {
        (header.incarnation, header.pred_incarnation) = (header.incarnation + 2, header.incarnation + 1);
    }));
    let gap = gap.expect_err("a segment is missing");
    assert!(!gap.forks, "what was lost on the way comes again: {gap}");
    feed(&mut it.disk, &mut it.follower, &rest);
}

/// A checkpoint ends in a segment that the follower has a part of. What is kept of it is not all of it: it is none of the log
/// any more, now and after the next starts, or whoever reads it again takes it for rotten.
#[test]
fn a_part_of_the_segment_in_which_a_checkpoint_ends_is_not_kept() {
    // With one to be kept it would be used again at once.
    let limits = LogLimits { checkpoints: 2, ..folding() };
    let mut parts = 0;
    for has in 60..90 {
        let mut it = behind(has);
        let Boundary { incarnation, end, cut, .. } = it.checkpoint.boundary;
        let tip = it.follower.expected();
        if it.follower.received() >= cut.index {
            break;
        }
        parts += u64::from(tip.incarnation == incarnation && tip.offset < end);
        it.transfer(usize::MAX, &it.file.clone()).expect("it is whole");
        it.follower = follow(&mut it.disk, limits);
        all_is_whole(&it.disk, &it.follower);
        let rest = missing(&items(&it.leader), &it.follower);
        feed(&mut it.disk, &mut it.follower, &rest);
        for _ in 0..2 {
            all_is_whole(&it.disk, &it.follower);
            it.follower = follow(&mut it.disk, limits);
        }
    }
    assert!(parts > 0, "none had a part of it");
}

fn all_is_whole(disk: &Disk, follower: &Follower) {
    let mut done = Scrubbed::Nothing;
    while let Some(job) = follower.scrub(done) {
        let mut buffer = Buffer::new(0, job.buffer_bytes());
        let read = job.run(&mut buffer, &mut |offset, bytes| {
            let from = usize::try_from(offset).unwrap();
            bytes.copy_from_slice(&disk.files[&job.file()][from..][..bytes.len()]);
            Ok(())
        });
        assert_eq!(read, Ok(()));
        done = job.behind();
    }
}

/// R23: a log is never replaced by a checkpoint that ends before it does.
#[test]
fn r23_an_older_checkpoint_replaces_nothing() {
    let mut it = behind(9);
    let rest_of_nothing = Boundary { cut: Default::default(), ..it.checkpoint.boundary };
    let here = it.follower.received();
    assert!(here > Index(1));
    for index in [0, 1, here.0] {
        let mut boundary = Boundary { incarnation: seawall_wal::format::Incarnation(1), ..rest_of_nothing };
        boundary.cut.index = Index(index);
        boundary.cut.epoch = it.follower.epoch();
        let taken = it.follower.offer(boundary, it.file.len() as u64, 0, &it.file[..BLOCK]);
        assert_eq!(taken, Err(NotTaken::Behind { here }));
    }
    let mut ios = Vec::new();
    it.follower.pump(&mut ios);
    assert!(!ios.iter().any(|io| matches!(io, Io::WriteOffered { .. })), "{ios:?}");
}

/// A follower that gives up everything behind its checkpoint starts again, also before anything came.
#[test]
fn a_log_that_was_cut_back_to_its_checkpoint_starts() {
    let mut it = behind(40);
    it.follower.commit(Index(u64::MAX));
    following::settle(&mut it.disk, &mut it.follower);
    let cut = it.follower.checkpoint().expect("it folded").boundary.cut.index;
    assert!(it.follower.validated() > cut);
    it.follower.cut_to(cut).expect("nothing folds");
    following::settle(&mut it.disk, &mut it.follower);
    for _ in 0..3 {
        let (_, opened, report) = following::open_as(&mut it.disk, folding(), Start::Follow);
        assert!(matches!(opened, following::Opened::Follower(_)), "{report}");
        assert_eq!(report.last, cut);
    }
}

/// I7: replicas that differ where both are done are named, segment or state; what only one has proves nothing.
#[test]
fn i7_digests_of_closed_segments_and_checkpoints_are_compared() {
    let mut leader = Disk::new();
    let mut log = leader.open_with(folding());
    log.set_floor(Some(Index(1)));
    let (mut disk, mut follower) = (Disk::new(), None);
    for n in 0..30u8 {
        leader.commit(&mut log, &vec![n; 3000]);
    }
    let copy = follower.insert(follow(&mut disk, folding()));
    assert_eq!(copy.differs(&log.digests()), None, "it has nothing yet");
    feed(&mut disk, copy, &items(&leader));
    copy.commit(log.durable());
    following::settle(&mut disk, copy);
    let digests = log.digests();
    assert!(digests.closed.is_some() && digests.state.is_some());
    assert_eq!((copy.differs(&digests), copy.digests()), (None, digests));
    let again = follow(&mut disk, folding());
    assert_eq!((again.differs(&digests), again.digests().state), (None, digests.state));
    let other = |mut digests: seawall_wal::Digests| {
        digests.closed = digests.closed.map(|(segment, chain)| (segment, chain ^ 1));
        digests
    };
    let closed = copy.differs(&other(digests)).expect("another chain");
    assert!(
        closed.expected.contains("I7: segment 1000000") && closed.observed.contains("chain"),
        "{closed:?}"
    );
    let state = digests.state.map(|(index, digest)| (index, digest ^ 1));
    let state = copy.differs(&seawall_wal::Digests { state, ..digests }).expect("another state");
    let index = digests.state.expect("checked above").0;
    assert_eq!(state.index, index);
    assert!(state.expected.starts_with(&format!("I7: the state at index {} to have digest", index.0)));
}

/// R6: what was marked is missed when it is gone; a log that is cut back on purpose misses nothing.
#[test]
fn r6_marks_are_written_while_the_log_runs_and_hold_at_the_next_start() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    for n in 0..5u8 {
        disk.commit(&mut log, &[n]);
    }
    log.mark(Index(4), false);
    disk.settle(&mut log);
    assert_eq!((log.meta().durable, log.meta().committed, log.meta().clean), (Index(5), Index(4), Index(0)));
    let writes = disk.writes.len();
    log.mark(Index(4), false);
    disk.settle(&mut log);
    assert_eq!(disk.writes.len(), writes, "nothing has moved");
    log.mark(Index(5), true);
    disk.settle(&mut log);
    assert_eq!((log.meta().committed, log.meta().clean), (Index(5), Index(5)));
    let file = disk.files.iter().find(|(_, bytes)| !support::batches(bytes).is_empty());
    let file = *file.expect("a segment").0;
    let last = support::batches(&disk.files[&file]).last().expect("five").0;
    disk.files.get_mut(&file).expect("a segment")[last..last + BLOCK].fill(0);
    let (_, none, report) = disk.recover();
    let halt = report.halt.expect("it halts");
    assert!(
        none.is_none() && halt.expected.contains("index 5, which the metadata says was durable"),
        "{halt:?}"
    );
}
