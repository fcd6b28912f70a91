//! R25, R14: a latch that is taken away, and a log that is put aside, with a death at each step of that.

#[path = "support/deaths.rs"]
mod deaths;
#[path = "support/follow.rs"]
mod following;
mod support;
#[path = "support/volatile.rs"]
mod volatile;

use deaths::{crashes, drive, feed, recover};
use following::{Item, items, leader};
use seawall_wal::meta::{self, Bound, Latch, Meta};
use seawall_wal::recover::{Intention, Report};
use seawall_wal::{
    Act, BLOCK, Buffer, Epoch, FileId, Follower, Index, Io, IoId, LogLimits, Ordered, Progress, Recovery,
    Scan, SlotId, Start,
};
use support::{Disk, LOG, limits};
use volatile::{Crash, Volatile};

const WHY: &str = "an operator: because";

fn ordered(act: Act) -> Ordered {
    Ordered { act, audit: WHY.to_owned() }
}

enum Ended {
    Halted(String),
    AtRest(Box<Follower>, Box<Report>),
}

/// A recovery that goes on until it ends; `at` sees the disk before and after each operation that changes it, and the
/// operation before that.
fn run(disk: &mut Volatile, order: Option<Ordered>, at: &mut dyn FnMut(&Volatile, &Io)) -> Ended {
    let limits = limits();
    let mut recovery =
        Recovery::new(LOG, limits, disk.found(), limits.buffers(), Start::Follow).ordered(order);
    let mut ios = Vec::new();
    recovery.start(&mut ios);
    loop {
        let io = ios.pop().expect("recovery works until it ends");
        disk.accept(&io);
        if !matches!(io, Io::Read { .. }) {
            at(disk, &io);
        }
        match recovery.done(disk.finish(io), &mut ios, &mut |_| {}) {
            Progress::Working => {}
            Progress::Halted(report) => return Ended::Halted(report.halt.expect("it halted").to_string()),
            Progress::AtRest(log, report) => return Ended::AtRest(log, Box::new(report)),
            Progress::Recovered(..) => panic!("it follows"),
        }
    }
}

fn quietly(disk: &mut Volatile, order: Option<Ordered>) -> Ended {
    run(disk, order, &mut |_, _| {})
}

fn at_rest(ended: Ended) -> (Follower, Report) {
    match ended {
        Ended::AtRest(log, report) => (*log, *report),
        Ended::Halted(why) => panic!("{why}"),
    }
}

fn halted(ended: Ended) -> String {
    match ended {
        Ended::Halted(why) => why,
        Ended::AtRest(_, report) => panic!("{report}"),
    }
}

/// A follower with what a leader wrote, promises, and a latch if it is to have one.
fn follower(items: &[Item], latched: bool) -> Volatile {
    let mut disk = Volatile::new();
    let limits: LogLimits = limits();
    let (_, mut log, _) = recover(&mut disk, limits, &mut |_, _| {});
    feed(&mut disk, &mut log, items, 3, &mut |_, _| {});
    log.wish(|meta| {
        (meta.epoch, meta.bound) = (Epoch(8), Some(Bound { leader: 2, start: 5 }));
        (meta.lease_us, meta.issued) = (400, Epoch(1));
        (meta.durable, meta.committed) = (log_end(items), log_end(items));
        let latch = Latch::new("R12", FileId::Slot(SlotId(0)), 8192, Index(3), "one log", "two logs");
        meta.latch = latched.then_some(latch);
    });
    drive(&mut disk, &mut log, &mut |_, _| {});
    disk
}

fn log_end(items: &[Item]) -> Index {
    items.last().expect("some items").last
}

fn meta_of(disk: &Volatile) -> Meta {
    meta::read(&disk.read().files[&FileId::Meta], &LOG).expect("it is whole")
}

fn names(disk: &Volatile) -> Vec<FileId> {
    disk.read().files.into_keys().collect()
}

fn shipped() -> Vec<Item> {
    items(&leader(3, 2, 4, limits()))
}

#[test]
fn a_latch_halts_every_start_until_it_is_cleared_and_its_audit_is_durable_before() {
    let shipped = shipped();
    let mut disk = follower(&shipped, true);
    for _ in 0..3 {
        let why = halted(quietly(&mut disk, None));
        assert!(why.contains("one log") && why.contains("R12"), "{why}");
    }
    let before = meta_of(&disk);
    let mut audited = Vec::new();
    let cleared = run(&mut disk, Some(ordered(Act::Clear)), &mut |disk, io| {
        audited.push((matches!(io, Io::Audit { .. }), disk.audit.len()));
        assert!(meta_of(disk).latch.is_some() || disk.audit == [WHY], "it is written down first");
    });
    let (log, _) = at_rest(cleared);
    assert_eq!(log.validated(), log_end(&shipped), "nothing else has changed");
    assert_eq!(audited[0], (true, 0), "the audit is the first of all");
    let after = meta_of(&disk);
    assert_eq!(
        Meta { latch: before.latch, sequence: 0, start: 0, ..after },
        Meta { sequence: 0, start: 0, ..before }
    );
    at_rest(quietly(&mut disk, None)); // the next start does not halt either
}

#[test]
fn a_cleared_halt_comes_back_in_the_same_words_if_its_cause_is_still_there() {
    let mut disk = follower(&shipped(), false);
    disk.rot(FileId::Slot(SlotId(0)), BLOCK + 300, 1);
    let first = halted(quietly(&mut disk, None));
    let log = |disk: &Volatile| {
        Vec::from_iter(disk.read().files.into_iter().filter(|(file, _)| *file != FileId::Meta))
    };
    let files = log(&disk);
    for _ in 0..2 {
        assert_eq!(halted(quietly(&mut disk, Some(ordered(Act::Clear)))), first);
        assert!(log(&disk) == files, "it mends nothing");
    }
    assert_eq!(disk.audit, [WHY, WHY]);
}

/// Wherever the process or the machine dies, the next start ends with an empty log or with the whole old one.
#[test]
fn a_log_is_put_aside_whole_whatever_dies_at_each_step() {
    let shipped = shipped();
    for latched in [false, true] {
        let mut disk = follower(&shipped, latched);
        let (old, old_meta) = (names(&disk), meta_of(&disk));
        let mut places = 0;
        let mut check = |mut disk: Volatile| {
            places += 1;
            let intended = meta_of(&disk).aside != 0 || meta_of(&disk).reseeding;
            let ended = quietly(&mut disk, None);
            match intended {
                true => is_empty(&disk, &old, at_rest(ended), &old_meta),
                false if latched => drop(halted(ended)),
                false => assert_eq!(at_rest(ended).0.validated(), log_end(&shipped)),
            }
        };
        let done = run(&mut disk, Some(ordered(Act::Reseed)), &mut |disk, io| {
            crashes(disk).iter().for_each(|crash| check(disk.after(crash)));
            if let Io::PutAside { number, .. } = io {
                for most in 0..=old.len() {
                    let mut half = disk.clone();
                    half.put_aside(*number, most);
                    check(half.after(&Crash::Process));
                }
            }
        });
        is_empty(&disk, &old, at_rest(done), &old_meta);
        check(disk.after(&Crash::Process));
        assert!(places > 8, "{places}");
    }
}

/// The member is stopped: its metadata is written by whoever gives the order, and the start after that goes on.
fn intends(disk: &mut Volatile, act: Act, at: &mut dyn FnMut(&Volatile)) -> Intention {
    let intention = Intention::of(act, &LOG, &disk.read().files[&FileId::Meta]);
    if let Some((offset, block)) = intention.write {
        let mut buf = Buffer::new(0, BLOCK);
        buf.bytes_mut().copy_from_slice(&block);
        let io = Io::Write { id: IoId(1), file: FileId::Meta, offset, buf, at: 0, len: BLOCK };
        disk.accept(&io);
        at(disk);
        disk.finish(io);
        at(disk);
    }
    intention
}

#[test]
fn what_is_ordered_while_nobody_has_the_log_open_is_done_by_the_next_start_or_was_not_ordered() {
    let shipped = shipped();
    for latched in [false, true] {
        let mut disk = follower(&shipped, latched);
        let (old, old_meta) = (names(&disk), meta_of(&disk));
        let mut ends = [0, 0];
        let intention = intends(&mut disk, Act::Reseed, &mut |disk| {
            for crash in crashes(disk) {
                let mut disk = disk.after(&crash);
                let intended = meta_of(&disk).aside != 0;
                ends[usize::from(intended)] += 1;
                match (intended, quietly(&mut disk, None)) {
                    (true, ended) => is_empty(&disk, &old, at_rest(ended), &old_meta),
                    (false, ended) if latched => drop(halted(ended)),
                    (false, ended) => assert_eq!(at_rest(ended).0.validated(), log_end(&shipped)),
                }
            }
        });
        assert!(ends.iter().all(|times| *times > 0), "{ends:?}");
        assert_eq!((intention.halt.is_some(), intention.led), (latched, Some(false)));
        // Once more is the same order: it has its number, and nothing is written.
        let again = intends(&mut disk, Act::Reseed, &mut |_| panic!("nothing is to be done"));
        assert_eq!((again.aside, again.write), (intention.aside, None));
        let (log, report) = at_rest(quietly(&mut disk, None));
        assert_eq!(report.put_aside, Some(intention.aside));
        is_empty(&disk, &old, (log, report), &old_meta);
    }
}

#[test]
fn a_latch_that_is_cleared_while_nobody_has_the_log_open_does_not_come_back() {
    let shipped = shipped();
    let mut disk = follower(&shipped, true);
    let before = meta_of(&disk);
    let intention = intends(&mut disk, Act::Clear, &mut |disk| {
        for crash in crashes(disk) {
            let mut disk = disk.after(&crash);
            match meta_of(&disk).latch {
                Some(_) => drop(halted(quietly(&mut disk, None))),
                None => assert_eq!(at_rest(quietly(&mut disk, None)).0.validated(), log_end(&shipped)),
            }
        }
    });
    assert!(intention.halt.is_some_and(|halt| halt.contains("R12") && halt.contains("one log")));
    let cleared = meta_of(&disk);
    assert_eq!(Meta { latch: before.latch, sequence: before.sequence, cleared: false, ..cleared }, before);
    assert_eq!(intends(&mut disk, Act::Clear, &mut |_| panic!("there is no latch")).write, None);
    assert_eq!(at_rest(quietly(&mut disk, None)).0.validated(), log_end(&shipped));
}

#[test]
fn who_leads_is_known_from_metadata_that_can_be_read_and_from_no_other() {
    let mut disk = follower(&shipped(), false);
    let led = |disk: &Volatile, act| Intention::of(act, &LOG, &disk.read().files[&FileId::Meta]).led;
    assert_eq!(led(&disk, Act::Reseed), Some(false), "epoch 1 was led here, and epoch 8 was promised");
    let leads = Meta { issued: Epoch(8), ..meta_of(&disk) }.encode(&LOG);
    assert_eq!(Intention::of(Act::Reseed, &LOG, &leads).led, Some(true));
    for copy in [0, BLOCK] {
        disk.rot(FileId::Meta, copy + 30, 1);
    }
    let cleared = intends(&mut disk, Act::Clear, &mut |_| panic!("there is nothing to clear"));
    assert!(cleared.halt.is_some() && cleared.led.is_none());
    assert!(intends(&mut disk, Act::Reseed, &mut |_| {}).halt.is_some());
    assert_eq!(at_rest(quietly(&mut disk, None)).0.validated(), Index(0));
    assert!(meta_of(&disk).reseeding);
}

fn is_empty(disk: &Volatile, old: &[FileId], (log, _): (Follower, Report), was: &Meta) {
    assert_eq!((log.received(), log.validated(), log.committed()), (Index(0), Index(0), Index(0)));
    assert_eq!(names(disk), [FileId::Meta], "nothing of it is left");
    let aside: Vec<FileId> =
        disk.aside.keys().map(|(_, file)| *file).filter(|f| *f != FileId::Meta).collect();
    let was_there: Vec<FileId> = old.iter().filter(|file| **file != FileId::Meta).copied().collect();
    assert_eq!(aside, was_there, "all of it is in one place");
    let meta = meta_of(disk);
    assert!(meta.reseeding && meta.aside == 0 && meta.latch.is_none());
    // Promises and leases were made to others, and bind all the same.
    let kept = |meta: &Meta| (meta.epoch, meta.bound, meta.lease_us, meta.issued);
    assert_eq!(kept(&meta), kept(was));
    assert_eq!((meta.durable, meta.clean, meta.committed, meta.cut), Default::default());
}

#[test]
fn what_was_put_aside_comes_again_from_the_leader_byte_for_byte() {
    let source = leader(3, 2, 4, limits());
    let shipped = items(&source);
    let mut disk = follower(&shipped, false);
    let (mut log, report) = at_rest(quietly(&mut disk, Some(ordered(Act::Reseed))));
    assert!(report.to_string().contains("put aside in quarantine/reseed-"), "{report}");
    feed(&mut disk, &mut log, &shipped, 3, &mut |_, _| {});
    following::same_segments(&source, &disk.read());
    let (log, report) = at_rest(quietly(&mut disk, None));
    assert_eq!((log.validated(), report.put_aside), (log_end(&shipped), None), "and it stays");
}

/// F-RC2: nothing else helps against metadata that cannot be read.
#[test]
fn metadata_that_is_lost_is_no_reason_to_keep_a_log() {
    let mut disk = follower(&shipped(), false);
    for copy in [0, BLOCK] {
        disk.rot(FileId::Meta, copy + 30, 1);
    }
    let why = halted(quietly(&mut disk, None));
    assert_eq!(halted(quietly(&mut disk, Some(ordered(Act::Clear)))), why);
    let (log, _) = at_rest(quietly(&mut disk, Some(ordered(Act::Reseed))));
    assert_eq!(log.validated(), Index(0));
    assert!(meta_of(&disk).reseeding, "it may have promised anything, so it counts for nothing");
}

/// Whoever only looks changes nothing, also when a log is about to be put aside.
#[test]
fn a_scan_does_not_go_on_with_what_was_intended() {
    let mut disk = follower(&shipped(), false);
    let mut intended = None;
    run(&mut disk, Some(ordered(Act::Reseed)), &mut |disk, io| {
        if let Io::PutAside { .. } = io {
            intended = Some(disk.read());
        }
    });
    let mut disk: Disk = intended.expect("it was intended");
    let files = disk.files.clone();
    let mut scan = Scan::new(LOG, limits(), disk.found());
    while let Some(io) = scan.wants() {
        scan.done(disk.execute(io), &mut |_| {});
    }
    assert!(disk.files == files && scan.report().put_aside.is_some());
}
