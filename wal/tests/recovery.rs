//! One test for each line of the verdict table, each written from the execution that the line prevents.

mod support;

use seawall_wal::format::Incarnation;
use seawall_wal::format::{SEGMENT_HEADER, SegmentHeader};
use seawall_wal::meta::{self, Cut, CutKind, Meta};
use seawall_wal::recover::Tail;
use seawall_wal::{BLOCK, Epoch, FileId, Index, Io, Progress, Recovery, SlotId};
use support::{Disk, append, batches};

/// Five records in five batches, all durable.
fn five() -> Disk {
    let mut disk = Disk::new();
    let mut log = disk.open();
    for n in 1..=5 {
        assert_eq!(disk.commit(&mut log, &[n]), Index(n.into()));
    }
    disk
}

#[test]
fn a_new_log_is_empty_and_takes_epoch_one() {
    let (seen, log, report) = Disk::new().recover();
    assert!(seen.is_empty() && report.end.is_none());
    assert_eq!(log.unwrap().epoch(), Epoch(1));
}

#[test]
fn what_was_acknowledged_is_there_and_each_start_takes_a_new_epoch_and_segment() {
    let mut disk = five();
    for start in 2..6 {
        let (seen, log, report) = disk.recover();
        let mut log = log.unwrap();
        assert_eq!(seen.len() as u64, 5 + (start - 2));
        assert_eq!((log.epoch(), report.epoch), (Epoch(start), Epoch(start)));
        assert_eq!(disk.commit(&mut log, b"one more").0, seen.len() as u64 + 1);
        // A look takes an epoch: at a copy, so that they stay countable.
        let (seen, _, report) = disk.clone().recover();
        assert_eq!(seen.last().unwrap().epoch, Epoch(start));
        assert_eq!(report.segments as u64, start, "an epoch never shares a segment");
        assert_eq!(report.epoch, Epoch(start + 1));
    }
}

#[test]
fn segments_roll_and_the_log_goes_on() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    let values: Vec<Vec<u8>> = (0..60u8).map(|n| vec![n; 3000]).collect();
    for value in &values {
        disk.commit(&mut log, value);
    }
    let (seen, log, report) = disk.recover();
    assert!(log.is_some() && report.segments > 3, "{report}");
    assert_eq!(seen.iter().map(|s| s.value.clone().unwrap()).collect::<Vec<_>>(), values);
}

/// R2 line 1. A drive that cannot read a sector of the last batch must not shorten the log.
#[test]
fn a_read_error_halts_and_is_never_a_torn_tail() {
    let mut disk = five();
    let (last, ..) = *batches(disk.slot(0)).last().unwrap();
    disk.bad_sector = Some((FileId::Slot(SlotId(0)), last as u64 + 100));
    let (_, log, report) = disk.recover();
    assert!(log.is_none());
    assert_eq!(report.halt.unwrap().rule, "R2");
}

/// A disk that once reads other bytes than it holds must not have the log cut there: what it holds was acknowledged.
#[test]
fn a_batch_that_is_whole_when_it_is_read_again_halts() {
    let mut disk = five();
    let (last, ..) = *batches(disk.slot(0)).last().unwrap();
    for at in [0, 40, 130, 4000] {
        disk.misread = Some((FileId::Slot(SlotId(0)), last as u64 + at));
        let before = disk.files.clone();
        let (_, log, report) = disk.recover();
        let halt = report.halt.expect("the disk lies");
        assert!(log.is_none() && halt.rule == "R2" && halt.observed.contains("the whole batch"), "{halt}");
        assert!(disk.files == before, "nothing was changed");
        assert_eq!(disk.clone().recover().0.len(), 5);
    }
}

/// R2 line 2. Rot in an acknowledged batch: the next batch was issued when this one was durable, so to cut here
/// would lose acknowledged commits in silence.
#[test]
fn damage_that_a_later_batch_proves_was_durable_halts() {
    let mut disk = five();
    let before = disk.files.clone();
    for (offset, ..) in batches(&before[&FileId::Slot(SlotId(0))]).into_iter().take(4) {
        for at in [offset, offset + 60, offset + 130] {
            disk.files = before.clone();
            disk.slot(0)[at] ^= 0x10;
            let damaged = disk.files.clone();
            let (_, log, report) = disk.recover();
            assert!(log.is_none(), "a flip at {at} was accepted: {report}");
            assert_eq!(report.halt.unwrap().offset, offset as u64);
            assert!(disk.files == damaged, "a halt changes nothing");
        }
    }
}

/// R2 line 4. The header of the only segment is lost over live batches: an empty log would be a lie.
#[test]
fn a_lost_segment_header_over_batches_halts() {
    for damage in [0u8, 0xff] {
        let mut disk = five();
        disk.slot(0)[..SEGMENT_HEADER].fill(damage);
        let (_, log, report) = disk.recover();
        assert!(log.is_none(), "{report}");
        assert_eq!(report.halt.unwrap().rule, "R2");
    }
}

/// The header of a new segment was written to another slot, and the batches after it to their own: the chain looks
/// whole, and ends with an empty segment.
#[test]
fn a_misdirected_segment_header_does_not_hide_the_batches_it_belongs_to() {
    let mut disk = five();
    let mut log = disk.open();
    for n in 6..9 {
        disk.commit(&mut log, &[n]);
    }
    let current =
        disk.found().slots.iter().map(|(slot, _)| slot.0).filter(|n| disk.clone().slot(*n)[0] != 0).max();
    let current = current.unwrap();
    let elsewhere = disk.found().slots.last().unwrap().0.0;
    assert!(current != elsewhere && !batches(disk.slot(current)).is_empty());
    let header = disk.slot(current)[..BLOCK].to_vec();
    disk.slot(elsewhere)[..BLOCK].copy_from_slice(&header);
    disk.slot(current)[..BLOCK].fill(0);
    let (_, log, report) = disk.recover();
    assert!(log.is_none(), "{report}");
    assert_eq!(report.halt.unwrap().rule, "R2");
}

/// R2 line 5. Nothing was ever written behind the end.
#[test]
fn zeros_behind_the_end_make_a_certain_tail() {
    let (seen, _, report) = five().recover();
    let end = report.end.unwrap();
    assert_eq!((seen.len(), end.tail, end.leftover), (5, Tail::Certain, None));
}

/// R2 line 6. The last batch is damaged and nothing behind it proves that it was durable: torn or rotten, it
/// cannot be told apart, and the report says so. On one replica the log goes on without it.
#[test]
fn a_damaged_last_batch_is_cut_as_uncertain() {
    let mut disk = five();
    let (last, ..) = *batches(disk.slot(0)).last().unwrap();
    disk.slot(0)[last + 140] ^= 1;
    let (seen, log, report) = disk.recover();
    let end = report.end.unwrap();
    assert_eq!((seen.len(), end.tail, end.leftover), (4, Tail::Uncertain, Some(last as u64)));
    assert_eq!(log.unwrap().durable(), Index(4));
}

/// The log was idle, and a fence was written behind the last commit. Rot in that commit is corruption then: without
/// the fence it would have been taken for a torn write, and an acknowledged commit cut.
#[test]
fn a_fence_proves_what_comes_before_it() {
    let mut disk = five();
    let mut log = disk.open();
    disk.commit(&mut log, b"the last commit");
    assert!(log.wants_fence());
    log.append(seawall_wal::Kind::Fence, 8, std::iter::empty()).unwrap();
    disk.settle(&mut log);
    assert!(!log.wants_fence(), "one is enough");
    let written = batches(disk.slot(1));
    let &[(commit, ..), (fence, ..)] = &written[..] else { panic!("{written:?}") };
    let whole = disk.files.clone();
    disk.slot(1)[commit + 140] ^= 1;
    assert_eq!(disk.recover().2.halt.unwrap().offset, commit as u64);
    // It says nothing of what follows: damage to the fence itself cannot be told from a torn write.
    disk.files = whole;
    disk.slot(1)[fence + 8] ^= 1;
    let (seen, log, report) = disk.recover();
    assert_eq!(
        (seen.last().unwrap().value.clone().unwrap(), report.end.unwrap().tail),
        (b"the last commit".to_vec(), Tail::Uncertain)
    );
    assert!(log.is_some());
}

/// Two writes were in flight; the second arrived whole, the first is torn. The second proves nothing about the
/// first (its `flushed_through` lies before it), so both go: neither was acknowledged.
#[test]
fn a_batch_behind_a_torn_one_is_cut_with_it() {
    let mut disk = five();
    let mut log = disk.open();
    let mut ios = Vec::new();
    append(&mut log, &[6; 3000]).unwrap();
    disk.settle(&mut log);
    for n in 7..12 {
        append(&mut log, &[n; 3000]).unwrap();
        log.pump(0, &mut ios);
        if ios.len() == 2 {
            break;
        }
    }
    assert_eq!(ios.len(), 2, "the second write flies when the open batch is full");
    let second = ios.pop().unwrap();
    disk.execute(second);
    let (seen, recovered, report) = disk.recover();
    assert_eq!(seen.last().unwrap().index, Index(6), "{report}");
    assert_eq!(report.end.unwrap().tail, Tail::Uncertain);
    assert_eq!(recovered.unwrap().durable(), Index(6));
}

/// R3. A cut was decided, the process died at once, and at the next start the torn batch reads whole again (a
/// drive's cache, a marginal sector): it must not come back under other records with the same indices.
#[test]
fn a_cut_is_recorded_first_and_what_it_removed_stays_removed() {
    let mut disk = five();
    let whole = disk.slot(0).clone();
    let (last, ..) = *batches(&whole).last().unwrap();
    disk.slot(0)[last + 140] ^= 1;
    let (_, log, _) = disk.recover();
    drop(log); // dies before it wrote a segment of the new epoch
    *disk.slot(0) = whole;
    let (seen, _, report) = disk.recover();
    assert_eq!(seen.len(), 4, "{report}");
    assert!(report.end.unwrap().finished_cut);
}

/// R3, twice. A cut, then a segment whose header is visible but not yet durable when the process dies. The recovery
/// that sees the header dies too, with the power, before it wrote the header again: the cut must still be known.
#[test]
fn a_cut_is_remembered_until_the_segment_that_names_it_is_durable() {
    let mut disk = five();
    let whole = disk.slot(0).clone();
    let (last, ..) = *batches(&whole).last().unwrap();
    disk.slot(0)[last + 140] ^= 1;
    let (_, log, _) = disk.recover();
    let (mut log, mut ios) = (log.unwrap(), Vec::new());
    append(&mut log, b"never durable").unwrap();
    log.pump(0, &mut ios);
    let place = ios.iter().find_map(|io| match io {
        seawall_wal::Io::Write { file, offset: 0, .. } => Some(*file),
        _ => None,
    });
    let place = place.expect("the header of the new segment");
    for io in ios {
        disk.execute(io);
    }
    disk.recover(); // writes its metadata, sees the header
    disk.files.get_mut(&place).unwrap().fill(0); // which the power cut takes away
    *disk.slot(0) = whole;
    let (seen, _, report) = disk.recover();
    assert_eq!(seen.len(), 4, "{report}");
}

/// Readable is not durable: the last batch may stand in a volatile cache only, so it is written again before any
/// position is reported. Batches that a later one proves durable are left alone.
#[test]
fn the_last_window_is_rewritten_before_the_log_is_reported() {
    let mut disk = five();
    let (last, ..) = *batches(disk.slot(0)).last().unwrap();
    let before = disk.files[&FileId::Slot(SlotId(0))].clone();
    disk.writes.clear();
    let (_, _, report) = disk.recover();
    let files: Vec<FileId> = disk.writes.iter().map(|(file, ..)| *file).collect();
    let window = FileId::Slot(SlotId(0));
    assert_eq!(
        files,
        [FileId::Meta, window, FileId::Meta],
        "the metadata first and, in its other copy, last"
    );
    assert_eq!(disk.writes[1], (window, last as u64, BLOCK));
    assert_eq!(report.rewritten, BLOCK as u64);
    assert!(*disk.slot(0) == before, "byte for byte");
}

#[test]
fn a_log_whose_window_cannot_be_rewritten_stays_halted() {
    let mut disk = five();
    disk.dead = true;
    let (_, log, report) = disk.recover();
    assert!(log.is_none());
    assert_eq!(report.halt.unwrap().rule, "R4");
}

/// F-RC2.
#[test]
fn metadata_with_both_copies_bad_refuses_and_one_is_enough() {
    let mut disk = five();
    let meta = disk.files[&FileId::Meta].clone();
    for copy in [0, BLOCK] {
        disk.files.insert(FileId::Meta, meta.clone());
        disk.files.get_mut(&FileId::Meta).unwrap()[copy + 8] ^= 1;
        assert!(disk.clone().recover().1.is_some());
    }
    disk.files.get_mut(&FileId::Meta).unwrap()[8] ^= 1;
    let (_, log, report) = disk.recover();
    assert!(log.is_none());
    assert_eq!(report.halt.unwrap().rule, "R6");
}

#[test]
fn bytes_of_another_log_or_version_are_named_and_never_an_empty_slot() {
    use seawall_wal::format::SegmentHeader;
    let stranger = |change: fn(&mut SegmentHeader)| {
        let mut disk = five();
        let mut header: SegmentHeader = bytemuck::pod_read_unaligned(&disk.slot(0)[..SEGMENT_HEADER]);
        change(&mut header);
        let mut sealed = header.seal();
        if header.version != 1 {
            sealed.version = header.version;
            let crc = crc32c::crc32c(&bytemuck::bytes_of(&sealed)[..SEGMENT_HEADER - 4]);
            sealed.header_crc = crc;
        }
        disk.slot(0)[..SEGMENT_HEADER].copy_from_slice(bytemuck::bytes_of(&sealed));
        let (_, log, report) = disk.recover();
        assert!(log.is_none());
        report.halt.unwrap().observed
    };
    assert!(stranger(|h| h.lineage[0] ^= 1).contains("another lineage"));
    assert!(stranger(|h| h.version = 9).contains("format version 9"));
}

/// A whole header may still say nonsense: an end before the first batch once made the walk count below zero.
#[test]
fn a_recorded_end_outside_the_batches_of_a_segment_halts() {
    use seawall_wal::format::SegmentHeader;
    for end in [0, BLOCK as u64 - 1, 5000, u64::MAX] {
        let mut disk = five();
        let mut log = disk.open();
        disk.commit(&mut log, b"six");
        let newest = disk.found().slots.into_iter().map(|(slot, _)| slot.0);
        let newest = newest.filter(|n| disk.clone().slot(*n)[0] != 0).max().unwrap();
        let mut header: SegmentHeader = bytemuck::pod_read_unaligned(&disk.slot(newest)[..SEGMENT_HEADER]);
        header.pred_end = end;
        disk.slot(newest)[..SEGMENT_HEADER].copy_from_slice(bytemuck::bytes_of(&header.seal()));
        let (_, log, report) = disk.recover();
        assert!(log.is_none());
        assert_eq!(report.halt.unwrap().rule, "R1");
    }
}

/// A missing segment file in the middle of the chain.
#[test]
fn a_gap_in_the_chain_halts() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    for n in 0..40u8 {
        disk.commit(&mut log, &[n; 3000]);
    }
    disk.files.remove(&FileId::Slot(SlotId(1)));
    let (_, log, report) = disk.recover();
    assert!(log.is_none());
    assert_eq!(report.halt.unwrap().rule, "R1");
}

#[test]
fn the_same_bytes_give_the_same_report() {
    let disk = five();
    let (a, b) = (disk.clone().recover().2, disk.clone().recover().2);
    assert_eq!((a.json(), a.to_string()), (b.json(), b.to_string()));
}

/// What was read a second time is checked a second time: a read that goes wrong is not written over good bytes.
#[test]
fn a_last_window_that_reads_differently_is_not_written_again() {
    let mut disk = five();
    let limits = support::limits();
    let mut recovery =
        Recovery::new(support::LOG, limits, disk.found(), limits.buffers(), seawall_wal::Start::Alone);
    let (mut ios, mut settled) = (Vec::new(), false);
    recovery.start(&mut ios);
    let report = loop {
        let io = ios.pop().expect("recovery works until it ends");
        assert!(!matches!(io, Io::Write { file: FileId::Slot(_), .. }), "wrong bytes are not written");
        let reads = matches!(io, Io::Read { .. });
        let mut done = disk.execute(io);
        if settled && reads {
            done.buf.as_mut().unwrap().bytes_mut()[130] ^= 1;
        }
        settled |= !reads;
        match recovery.done(done, &mut ios, &mut |_| {}) {
            Progress::Working => {}
            Progress::Halted(report) => break report,
            Progress::Recovered(_, report) | Progress::AtRest(_, report) => panic!("{report}"),
        }
    };
    assert!(settled && report.halt.as_ref().is_some_and(|halt| halt.rule == "R2"), "{report}");
    assert_eq!(disk.recover().0.len(), 5, "the next read is right");
}

/// A cut was recorded, and then the header of its segment was lost: the next segment gets another number.
#[test]
fn a_recorded_cut_never_meets_a_later_segment() {
    let mut disk = five();
    let file = disk.files.get_mut(&FileId::Meta).unwrap();
    let newest = meta::read(file, &support::LOG).unwrap();
    let (incarnation, why) = (Incarnation(2), CutKind::Uncertain);
    let cut = Cut { incarnation, offset: BLOCK as u64, next: Index(6), why };
    let newer = Meta { sequence: newest.sequence + 1, cut: Some(cut), ..newest };
    let at = usize::try_from(newer.offset()).unwrap();
    file[at..at + BLOCK].copy_from_slice(&newer.encode(&support::LOG));
    let mut log = disk.open();
    disk.commit(&mut log, b"acknowledged");
    let (seen, _, report) = disk.recover();
    assert_eq!(seen.len(), 6, "{report}");
}

/// No checksum covers the rest of a header block. Rot there must not turn a header into none, and its batches into
/// nobody's.
#[test]
fn rot_behind_a_whole_segment_header_halts() {
    for at in [SEGMENT_HEADER, 1000, BLOCK - 1] {
        let mut disk = five();
        disk.slot(0)[at] = 1;
        let (_, log, report) = disk.recover();
        let halt = report.halt.expect("rot");
        assert!(log.is_none() && halt.rule == "R1" && halt.observed.contains("header block"), "{halt}");
    }
}

/// A disk that gives back the header of an earlier use for the one that was acknowledged: the batches under the new
/// one are newer than it, and no torn tail.
#[test]
fn a_newer_batch_behind_an_older_header_of_the_last_segment_halts() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    disk.commit(&mut log, b"one batch, which no later one proves");
    let mut older = SegmentHeader::read(disk.slot(0), &support::LOG).unwrap();
    older.incarnation -= 1;
    let older = older.seal();
    disk.slot(0)[..SEGMENT_HEADER].copy_from_slice(bytemuck::bytes_of(&older));
    let (_, log, report) = disk.recover();
    let halt = report.halt.expect("acknowledged batches are not cut");
    assert!(log.is_none() && halt.rule == "R2" && halt.observed.contains("earlier segment"), "{halt}");
}

/// No number is given twice, also where the next start cannot see that it was given.
#[test]
fn a_start_whose_header_was_lost_is_followed_by_higher_incarnations() {
    let mut disk = Disk::new();
    let mut log = disk.open();
    disk.commit(&mut log, b"one");
    let first = SegmentHeader::read(disk.slot(0), &support::LOG).unwrap().incarnation;
    disk.slot(0).fill(0); // the power took all of it
    let mut log = disk.open();
    disk.commit(&mut log, b"two");
    let slots = disk.found().slots;
    let headers =
        slots.iter().filter_map(|(slot, _)| SegmentHeader::read(disk.slot(slot.0), &support::LOG).ok());
    assert!(headers.map(|header| header.incarnation).min() > Some(first));
}
