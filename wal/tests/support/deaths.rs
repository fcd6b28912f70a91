//! A follower on a disk with a volatile cache, which may die at each of its operations.
#![allow(dead_code, reason = "each test binary uses its part")]

use seawall_wal::recover::Report;
use seawall_wal::{Done, Follower, Index, Io, LogLimits, Progress, Recovery, Start};

use crate::following::{Item, missing};
use crate::support::{LOG, Seen, see};
use crate::volatile::{Crash, Left, Volatile};

const PATTERNS: [Left; 4] = [Left::Nothing, Left::All, Left::Even, Left::FirstHalf];

/// Every crash that makes a difference: each write under way by each pattern on its own.
pub fn crashes(disk: &Volatile) -> Vec<Crash> {
    let mut powers = vec![Vec::new()];
    for _ in 0..disk.at_risk().min(2) {
        let longer = |p: &Vec<Left>| -> Vec<Vec<Left>> {
            PATTERNS.iter().map(|left| [p.as_slice(), &[*left]].concat()).collect()
        };
        powers = powers.iter().flat_map(longer).collect();
    }
    match disk.at_risk() {
        0 => vec![Crash::Process],
        _ => powers.into_iter().map(Crash::Power).chain([Crash::Process]).collect(),
    }
}

/// What a test does at each place to crash at: with the disk as it is there, and what the follower has said.
pub type At<'a> = &'a mut dyn FnMut(&Volatile, Index);

pub fn recover(disk: &mut Volatile, limits: LogLimits, at: At<'_>) -> (Vec<Seen>, Follower, Report) {
    let mut recovery = Recovery::new(LOG, limits, disk.found(), limits.buffers(), Start::Follow);
    let (mut ios, mut seen) = (Vec::new(), Vec::new());
    recovery.start(&mut ios);
    loop {
        let io = ios.pop().expect("recovery works until it ends");
        let changes = !matches!(io, Io::Read { .. });
        disk.accept(&io);
        if changes {
            at(disk, Index(0));
        }
        let done: Done = disk.finish(io);
        if changes {
            at(disk, Index(0));
        }
        match recovery.done(done, &mut ios, &mut |replay| see(replay, &mut seen)) {
            Progress::Working => {}
            Progress::Halted(report) => panic!("a crash is no damage: {report}"),
            Progress::Recovered(_, report) => panic!("it follows: {report}"),
            Progress::AtRest(log, report) => return (seen, *log, report),
        }
    }
}

/// Lets everything end that the follower asks for, in turns the oldest and the newest first.
pub fn drive(disk: &mut Volatile, follower: &mut Follower, at: At<'_>) {
    let mut under_way: Vec<Io> = Vec::new();
    for turn in 0.. {
        let mut ios = Vec::new();
        follower.pump(&mut ios);
        for io in ios {
            disk.accept(&io);
            at(disk, follower.validated());
            under_way.push(io);
        }
        if under_way.is_empty() {
            return;
        }
        let io = under_way.remove(if turn % 2 == 0 { under_way.len() - 1 } else { 0 });
        if let Io::Fold(job) = io {
            follower.folded(disk.fold(&job)).expect("it is a fold");
            at(disk, follower.validated());
            continue;
        }
        let done = disk.finish(io);
        at(disk, follower.validated()); // durable, and nobody knows
        follower.done(done).unwrap();
        follower.fresh().for_each(drop);
        at(disk, follower.validated());
    }
}

/// Gives the items that the follower lacks, `group` at a time. Now and then it remembers how far it is.
pub fn feed(disk: &mut Volatile, follower: &mut Follower, items: &[Item], group: usize, at: At<'_>) {
    loop {
        let rest = missing(items, follower);
        if rest.is_empty() {
            return;
        }
        let bytes: Vec<u8> = rest.iter().take(group).flat_map(|item| item.bytes.clone()).collect();
        follower.take(&bytes).unwrap_or_else(|rejected| panic!("{rejected}"));
        if rest.len().is_multiple_of(2) {
            let validated = follower.validated();
            follower.wish(|meta| meta.durable = validated);
        }
        drive(disk, follower, at);
    }
}
