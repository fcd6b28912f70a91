//! When requests are due.
//!
//! A closed loop sends when something is answered, so it waits for a node that stalls, and asks it once where users
//! would have asked it a thousand times. An open loop has a timetable that no answer moves: a request that is sent
//! late, because the connection was full or this tool slow, is as late as it is, and its latency counts from the
//! moment when it was due. So a stall shows in the latencies of all requests that fell into it.

use super::window::{Nanos, Tally, Window};

/// The timetable of one connection.
#[derive(Clone, Debug)]
pub struct Timetable {
    /// Of all connections together, in nanoseconds; a fraction counts, or a high rate would drift.
    interval: f64,
    /// Connections take turns: this one has place `place` of `places`.
    place: u64,
    places: u64,
    /// How many of this connection's turns are over.
    taken: u64,
    /// Nothing is due from here on.
    until: Nanos,
}

impl Timetable {
    /// `requests_per_s` are due of all connections together, evenly, from 0 on.
    pub fn new(requests_per_s: f64, place: u64, places: u64, until: Nanos) -> Timetable {
        assert!(requests_per_s > 0.0 && place < places, "the options see to it");
        Timetable { interval: 1e9 / requests_per_s, place, places, taken: 0, until }
    }

    /// When the next request is due; `None`: none is any more.
    pub fn next(&self) -> Option<Nanos> {
        let turn = self.taken * self.places + self.place;
        let at = (turn as f64 * self.interval) as Nanos;
        (at < self.until).then_some(at)
    }

    /// Takes a request that is due by `now`, and says when it was.
    pub fn take(&mut self, now: Nanos) -> Option<Nanos> {
        let due = self.next().filter(|due| *due <= now)?;
        self.taken += 1;
        Some(due)
    }

    /// Takes all that were due and never sent: each of their `operations` has waited at least until the end. Leaving
    /// them out would make a node look the better the less it answers.
    pub fn give_up(&mut self, window: Window, operations: u64, tally: &mut Tally) {
        while let Some(due) = self.take(self.until) {
            tally.never_sent(window, due, self.until, operations);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::Ended;
    use super::*;

    const MS: Nanos = 1_000_000;
    const SECOND: Nanos = 1000 * MS;

    #[test]
    fn connections_take_turns_and_together_keep_the_rate() {
        let mut due: Vec<Nanos> = Vec::new();
        for place in 0..3 {
            let mut timetable = Timetable::new(1000.0, place, 3, SECOND);
            assert_eq!(timetable.next(), Some(place * MS));
            assert_eq!(timetable.take(place * MS), Some(place * MS));
            assert_eq!(timetable.take((place + 3) * MS - 1), None, "a request is not sent before it is due");
            due.push(place * MS);
            due.extend(std::iter::from_fn(|| timetable.take(2 * SECOND)));
            assert_eq!(timetable.next(), None, "nothing is due after the end");
        }
        due.sort_unstable();
        let expected: Vec<Nanos> = (0..1000).map(|n| n * MS).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn a_rate_that_no_whole_number_of_nanoseconds_gives_does_not_drift() {
        let mut timetable = Timetable::new(3_000_000.0, 0, 1, 10 * SECOND);
        let due = std::iter::from_fn(|| timetable.take(10 * SECOND)).count();
        assert_eq!(due, 30_000_000);
    }

    /// A node that answers one request after the other in `service`, but nothing while it stalls.
    struct Scripted {
        service: Nanos,
        stall: std::ops::Range<Nanos>,
    }

    impl Scripted {
        fn answers(&self, sent: Nanos) -> Nanos {
            let done = sent + self.service;
            if self.stall.contains(&sent) || self.stall.contains(&done) {
                self.stall.end + self.service
            } else {
                done
            }
        }
    }

    const WINDOW: Window = Window { from: 0, until: 10 * SECOND };

    /// One connection with one request under way, 1000 due a second, in a time of its own.
    fn open_loop(node: &Scripted) -> Tally {
        let mut timetable = Timetable::new(1000.0, 0, 1, WINDOW.until);
        let (mut tally, mut now) = (Tally::default(), 0);
        while let Some(next) = timetable.next().filter(|_| now < WINDOW.until) {
            now = now.max(next);
            let due = timetable.take(now).unwrap();
            now = node.answers(now);
            tally.ended(WINDOW.holds(due), due, now, Ended::Done);
        }
        timetable.give_up(WINDOW, 1, &mut tally);
        tally
    }

    #[test]
    fn a_stall_shows_in_the_latency_of_every_request_that_fell_into_it() {
        let tally = open_loop(&Scripted { service: MS / 10, stall: 4 * SECOND..5 * SECOND });
        assert_eq!((tally.done, tally.behind), (10_000, 0));
        let (mut slow, mut quick) = (0, 0);
        for step in tally.latencies.iter_recorded() {
            if step.value_iterated_to() > 500_000 {
                slow += step.count_at_value();
            } else if step.value_iterated_to() <= 200 {
                quick += step.count_at_value();
            }
        }
        // Half of the 1000 that fell into the stall waited for more than half of it, then the backlog of 1 s shrank
        // by 9 requests in 10 ms: another 55 were answered more than 500 ms late.
        assert!((550..=560).contains(&slow), "{slow}");
        // 1000 in the stall, and 111 that became due while the backlog was worked off.
        assert!((8880..=8900).contains(&quick), "{quick}");
        assert!(tally.latencies.value_at_quantile(0.99) > 900_000 / 2);
        assert!(tally.latencies.max() >= 1_000_000);
    }

    #[test]
    fn requests_that_a_stall_at_the_end_kept_from_being_sent_count_with_what_they_had_waited() {
        let tally = open_loop(&Scripted { service: MS / 10, stall: 8 * SECOND..20 * SECOND });
        // 8 s of answers and the one under way; nobody waited for the other 1999.
        assert_eq!((tally.done, tally.behind), (8001, 1999));
        assert_eq!(tally.latencies.len(), 10_000);
        // Those due at 8.000 to 9.000 s had waited for a second and more at 10 s.
        let above = tally.latencies.count_between(999_000, u64::MAX);
        assert!((1000..=1004).contains(&above), "{above}");
    }
}
