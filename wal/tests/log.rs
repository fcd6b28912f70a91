//! The running log: group commit, the contiguous durable prefix, poison, rolls and spares.

mod support;

use seawall_wal::{BLOCK, Done, Entry, Index, Io, IoError, IoStep, Kind, NoRoom, Space};
use support::{Disk, append, batches};

/// Writes only; a spare slot being prepared is not of interest here.
fn pump(log: &mut seawall_wal::Log) -> Vec<Io> {
    let mut ios = Vec::new();
    log.pump(0, &mut ios);
    ios.retain(|io| matches!(io, Io::Write { .. }));
    ios
}

fn finish(io: Io, result: impl Fn(usize) -> Result<usize, IoError>) -> Done {
    match io {
        Io::Write { id, buf, len, .. } => Done { id, result: result(len), buf: Some(buf) },
        other => panic!("not a write: {other:?}"),
    }
}

/// A log with its first segment open and nothing under way.
fn ready() -> (Disk, seawall_wal::Log) {
    let mut disk = Disk::new();
    let mut log = disk.open();
    disk.commit(&mut log, b"first");
    (disk, log)
}

/// Two writes under way: the second flies once the open batch is full.
fn two_in_flight(log: &mut seawall_wal::Log) -> (Io, Io) {
    append(log, b"a").unwrap();
    let mut ios = pump(log);
    while ios.len() < 2 {
        append(log, &[1; 2000]).unwrap();
        ios.extend(pump(log));
    }
    (ios.remove(0), ios.remove(0))
}

#[test]
fn records_that_arrive_while_a_write_is_under_way_share_the_next_one() {
    let (mut disk, mut log) = ready();
    append(&mut log, b"a").unwrap();
    let first = pump(&mut log).pop().unwrap();
    for value in [b"b", b"c", b"d"] {
        append(&mut log, value).unwrap();
        assert!(pump(&mut log).is_empty(), "one write in flight, and the open batch is not full");
    }
    log.done(disk.execute(first)).unwrap();
    assert_eq!((log.durable(), log.appended()), (Index(2), Index(5)));
    let second = pump(&mut log).pop().unwrap();
    log.done(disk.execute(second)).unwrap();
    assert_eq!(log.durable(), Index(5));
    assert_eq!(batches(disk.slot(0)).len(), 3);
}

/// Two writes in flight, the second completes first. To acknowledge it would promise what a crash can still lose.
#[test]
fn only_the_contiguous_prefix_is_durable() {
    let (mut disk, mut log) = ready();
    let (first, second) = two_in_flight(&mut log);
    log.done(disk.execute(second)).unwrap();
    assert_eq!(log.durable(), Index(1), "the first of the two is still under way");
    log.done(disk.execute(first)).unwrap();
    assert_eq!(log.durable(), log.appended());
}

/// R4: after an error nothing is acknowledged any more, not even what completes well afterwards.
#[test]
fn an_error_or_a_short_result_poisons_the_log_for_good() {
    let errors: [fn(usize) -> Result<usize, IoError>; 3] = [
        |_| Err(IoError { step: IoStep::Write, errno: 5 }),
        |_| Err(IoError { step: IoStep::Flush, errno: 5 }),
        |len| Ok(len - 512),
    ];
    for error in errors {
        let (mut disk, mut log) = ready();
        let (first, second) = two_in_flight(&mut log);
        log.done(finish(first, error)).unwrap_err();
        log.done(disk.execute(second)).unwrap();
        assert_eq!(log.durable(), Index(1));
        assert_eq!(append(&mut log, b"b"), Err(NoRoom::Failed));
        assert!(pump(&mut log).is_empty() && !log.outstanding());
    }
}

#[test]
fn a_record_is_refused_only_when_it_can_never_fit_or_must_wait() {
    let (mut disk, mut log) = ready();
    let too_large = vec![0; support::limits().buffer_bytes];
    assert_eq!(append(&mut log, &too_large), Err(NoRoom::TooLarge));
    let mut waiting = Vec::new();
    loop {
        match append(&mut log, &[3; 3000]) {
            Ok(_) => waiting.extend(pump(&mut log)),
            Err(why) => {
                assert_eq!(why, NoRoom::Busy);
                break;
            }
        }
    }
    assert_eq!(waiting.len(), support::limits().writes_in_flight);
    for io in waiting {
        log.done(disk.execute(io)).unwrap();
    }
    disk.settle(&mut log); // the full batch flies, which makes room
    append(&mut log, &[3; 3000]).unwrap();
    disk.settle(&mut log);
    assert_eq!(log.durable(), log.appended());
}

/// A full disk: what was accepted still has its place, then writes are refused, then they go on.
#[test]
fn a_dry_pool_refuses_before_the_log_is_in_danger() {
    let (mut disk, mut log) = ready();
    let mut no_space = false;
    let mut last = Index(0);
    for _ in 0..200 {
        match append(&mut log, &[9; 3000]) {
            Ok(index) => last = index,
            Err(why) => {
                no_space = matches!(why, NoRoom::DiskFull(e) if e.errno == 28);
                break;
            }
        }
        let mut ios = Vec::new();
        log.pump(0, &mut ios);
        for io in ios {
            let done = match io {
                Io::Prepare { id, .. } => {
                    Done { id, result: Err(IoError { step: IoStep::Prepare, errno: 28 }), buf: None }
                }
                write => disk.execute(write),
            };
            log.done(done).unwrap();
        }
    }
    assert!(no_space && log.failure().is_none());
    disk.settle(&mut log);
    assert_eq!(log.durable(), last, "all that was accepted was written");
    log.retry_prepare();
    disk.settle(&mut log);
    append(&mut log, &[9; 3000]).unwrap();
}

#[test]
fn equal_records_give_equal_bytes_whatever_the_buffer_held() {
    let run = |noise: &[u8]| {
        let (mut disk, mut log) = ready();
        disk.commit(&mut log, noise);
        disk.commit(&mut log, b"short");
        disk.commit(&mut log, b"short");
        let (at, ..) = batches(disk.slot(0))[3];
        disk.slot(0)[at + 160..at + BLOCK].to_vec()
    };
    assert_eq!(run(&[0xaa; 3500]), run(&[0x55; 3500]), "the padding is zeros");
}

#[test]
fn entries_come_back_as_they_went_in() {
    let (mut disk, mut log) = ready();
    let entries = [
        Entry { space: Space(1), key: b"k", value: Some(b"v") },
        Entry { space: Space(2), key: b"", value: Some(b"") },
        Entry { space: Space(255), key: b"gone", value: None },
    ];
    log.append(Kind::EpochStart, -5, entries.into_iter()).unwrap();
    disk.settle(&mut log);
    let (offset, ..) = *batches(disk.slot(0)).last().unwrap();
    let (record, rest) = seawall_wal::record::split(&disk.slot(0)[offset + 128..]).unwrap();
    assert_eq!((record.kind, record.time_us), (Kind::EpochStart, -5));
    assert_eq!(record.entries().collect::<Vec<_>>(), entries);
    assert!(rest.iter().all(|b| *b == 0));
}
