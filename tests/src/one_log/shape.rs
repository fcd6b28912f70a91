//! What a seed makes of the world of one log.

use seawall_wal::{BLOCK, LogLimits};

use crate::disk::DiskShape;
use crate::random::Random;

/// Which faults a world has. Most worlds keep to one kind, so that they get deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Crashes alone: nothing explains a halt.
    Crashes,
    /// And errors that the device reports.
    Errors,
    /// And damage that it does not report.
    Damage,
}

#[derive(Clone, Debug)]
pub struct Shape {
    pub limits: LogLimits,
    pub disk: DiskShape,
    /// The faults end after so many events.
    pub events: u64,
    /// One event in so many is followed by a crash, and in a recovery one in so many; 0 is never.
    pub crash_every: u64,
    pub crash_in_recovery_every: u64,
    pub rot_every: u64,
    /// The share of power cuts among the crashes, in thousandths.
    pub power: u64,
    pub think_us: (u64, u64),
    pub burst: u64,
    pub keys: u64,
    pub value_bytes: &'static [u64],
}

/// Values have at most so many bytes: one of these for each.
const VALUE_BYTES: [&[u64]; 3] = [&[0, 10, 300], &[100, 3_000, 5_000], &[0, 40, 900, 4_000, 12_000]];

pub fn draw(random: &mut Random) -> Shape {
    let mix = *random.pick(&[Mix::Crashes, Mix::Crashes, Mix::Errors, Mix::Damage]);
    let errors = mix == Mix::Errors || (mix == Mix::Damage && random.chance(300));
    Shape {
        limits: LogLimits::test_min(),
        disk: disk(random, errors, mix == Mix::Damage),
        events: *random.pick(&[500, 1_200, 1_700]),
        crash_every: *random.pick(&[60, 150, 300]),
        crash_in_recovery_every: *random.pick(&[0, 20, 60]),
        rot_every: if mix == Mix::Damage { *random.pick(&[0, 100, 400]) } else { 0 },
        power: *random.pick(&[500, 500, 900, 100]),
        think_us: *random.pick(&[(1, 60), (20, 400), (200, 3_000)]),
        burst: *random.pick(&[1, 3, 8]),
        keys: *random.pick(&[3, 12, 60]),
        value_bytes: VALUE_BYTES[random.index(VALUE_BYTES.len())],
    }
}

fn disk(random: &mut Random, errors: bool, damage: bool) -> DiskShape {
    let mut rate = |on: bool, rates: &[u64]| if on && random.chance(400) { *random.pick(rates) } else { 0 };
    let (write_error, flush_error, short_write) =
        (rate(errors, &[5, 30]), rate(errors, &[5, 30]), rate(errors, &[5, 30]));
    let (read_error, short_read) = (rate(errors, &[2, 20]), rate(errors, &[2, 20]));
    let (misdirected_write, misdirected_read, stale_read) =
        (rate(damage, &[5, 20]), rate(damage, &[2, 20]), rate(damage, &[10, 60]));
    let (stall, prepare_error, full) =
        (rate(true, &[10, 60]), rate(true, &[50, 300]), rate(errors, &[1]) == 1);
    DiskShape {
        write_us: *random.pick(&[(5, 30), (20, 400)]),
        flush_us: *random.pick(&[(5, 50), (50, 1_000)]),
        read_us: (5, 50),
        prepare_us: *random.pick(&[(20, 200), (500, 5_000)]),
        dsync: random.chance(500),
        stall,
        stall_us: 20_000,
        write_error,
        flush_error,
        short_write,
        prepare_error,
        read_error,
        short_read,
        offered_damage: 0,
        misdirected_write,
        misdirected_read,
        stale_read,
        capacity: if full { random.between(40, 200) * BLOCK as u64 } else { u64::MAX },
    }
}
