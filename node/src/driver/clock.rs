//! The one place where the node looks at a clock for its core (R17).

use crate::seam::Now;

/// Samples both clocks. Called after completions were reaped and before the first of them is stepped.
pub fn now() -> Now {
    let (mono_us, wall_us) = (micros(libc::CLOCK_BOOTTIME), micros(libc::CLOCK_REALTIME));
    Now { mono_us: mono_us.try_into().expect("CLOCK_BOOTTIME counts up from 0"), wall_us }
}

/// For how long something took. It stands still while the machine is suspended.
pub fn stopwatch_us() -> u64 {
    micros(libc::CLOCK_MONOTONIC).try_into().expect("CLOCK_MONOTONIC counts up from 0")
}

/// The time between two scheduler ticks (CONFIG_HZ): the coarse clock moves once a tick.
pub fn tick_us() -> u64 {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `tick` is valid for writes.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut tick) };
    assert_eq!(result, 0, "clock_getres cannot fail");
    u64::try_from(tick.tv_sec * 1_000_000 + tick.tv_nsec / 1_000)
        .expect("a tick is longer than nothing")
        .max(1)
}

/// CPU time that this process has used, its kernel time and the kernel's workers for its rings included.
pub fn process_cpu_us() -> u64 {
    micros(libc::CLOCK_PROCESS_CPUTIME_ID).try_into().expect("CPU time counts up from 0")
}

fn micros(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes, and these clocks exist on every Linux that has io_uring.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "clock_gettime({clock}) cannot fail");
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_passes_forward_and_is_this_century() {
        let (first, second) = (super::now(), super::now());
        assert!(first.mono_us <= second.mono_us && first.mono_us > 0);
        let (first_us, second_us) = (super::stopwatch_us(), super::stopwatch_us());
        assert!(first_us <= second_us && first_us > 0);
        assert!((500..=50_000).contains(&super::tick_us()), "between 20 and 2000 Hz");
        assert!(first.wall_us > 1_700_000_000_000_000);
    }
}
