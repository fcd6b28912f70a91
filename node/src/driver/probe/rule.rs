//! Which durable primitive: the rule, apart from what it is applied to.

use super::Durable;
use super::disk::WriteCache;
use super::measure::{Measured, Series};

/// Fewer writes each way prove nothing.
const ENOUGH: usize = 8;

/// The primitive, and why in words. `ordered` goes before everything; without figures, because there was no room for
/// a scratch file, the choice is the one that depends on nothing.
///
/// With FUA, or without a volatile cache, RWF_DSYNC is one command and small writes need not wait for each other; the
/// link must be clearly faster to be taken. On a flush-type cache RWF_DSYNC is fragile: it is taken when it measured no
/// slower and does not end at scheduler ticks, and a worker gives it up when it begins to. An unknown cache is treated
/// as the one that can lose most.
pub fn choose(
    ordered: Option<Durable>,
    cache: WriteCache,
    measured: Result<&Measured, &str>,
) -> (Durable, String) {
    if let Some(ordered) = ordered {
        return (ordered, format!("as --durable asks; {cache}"));
    }
    let measured = match measured {
        Ok(measured) => measured,
        Err(why_not) => {
            return (Durable::Link, format!("it works everywhere, and nothing was measured: {why_not}"));
        }
    };
    let Some(dsync) = measured.dsync else { return (Durable::Link, "RWF_DSYNC is refused here".into()) };
    let few = dsync.writes.min(measured.link.writes) < ENOUGH;
    let (durable, because) = match cache {
        WriteCache::None | WriteCache::Fua => command_type(few, &dsync, &measured.link),
        WriteCache::Volatile | WriteCache::Unknown => flush_type(few, &dsync, &measured.link),
    };
    (durable, format!("{cache}, and {because}"))
}

fn command_type(few: bool, dsync: &Series, link: &Series) -> (Durable, &'static str) {
    if few {
        (Durable::Dsync, "too few writes were measured to speak against it")
    } else if 5 * link.p50 <= 4 * dsync.p50 {
        (Durable::Link, "RWF_DSYNC measured clearly slower all the same")
    } else {
        (Durable::Dsync, "the other way did not measure clearly faster")
    }
}

fn flush_type(few: bool, dsync: &Series, link: &Series) -> (Durable, &'static str) {
    if few {
        (Durable::Link, "too few writes were measured to speak against it")
    } else if dsync.at_ticks {
        (Durable::Link, "RWF_DSYNC ended at scheduler ticks")
    } else if dsync.p50 <= link.p50 {
        (Durable::Dsync, "RWF_DSYNC did not measure slower; it is given up when it ends at scheduler ticks")
    } else {
        (Durable::Link, "RWF_DSYNC measured slower")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn series(p50_us: u64) -> Series {
        let p50 = Duration::from_micros(p50_us);
        Series { writes: 60, p50, p99: 2 * p50, at_ticks: false }
    }

    fn measured(dsync: Series, link: Series) -> Measured {
        Measured { through: "io_uring", dsync: Some(dsync), link }
    }

    #[test]
    fn the_table() {
        use Durable::{Dsync, Link};
        use WriteCache::{Fua, None, Unknown, Volatile};
        let ticking = |us| Series { at_ticks: true, ..series(us) };
        let few = |us| Series { writes: ENOUGH - 1, ..series(us) };
        // cache, RWF_DSYNC, link, the choice, a word of the reason
        let table = [
            (None, series(11), series(17), Dsync, "did not"),
            (None, series(100), series(81), Dsync, "did not"),
            (None, series(100), series(80), Link, "clearly slower"),
            (None, few(100), few(10), Dsync, "too few"),
            (Fua, series(100), series(100), Dsync, "did not"),
            (Fua, ticking(4000), series(150), Link, "clearly slower"),
            (Fua, ticking(4000), ticking(4000), Dsync, "did not"),
            (Volatile, series(122), series(167), Dsync, "given up"),
            (Volatile, series(4000), series(1700), Link, "slower"),
            (Volatile, series(160), series(160), Dsync, "given up"),
            (Volatile, series(161), series(160), Link, "slower"),
            (Volatile, ticking(80), series(160), Link, "ticks"),
            (Volatile, few(10), few(100), Link, "too few"),
            (Unknown, series(122), series(167), Dsync, "given up"),
            (Unknown, series(9), series(3), Link, "slower"),
        ];
        for (cache, dsync, link, expected, word) in table {
            let (durable, why) = choose(Option::None, cache, Ok(&measured(dsync, link)));
            assert_eq!(durable, expected, "{cache}, {dsync} against {link}: {why}");
            assert!(why.contains(word) && why.contains(&cache.to_string()), "{word:?} in {why:?}");
        }
    }

    #[test]
    fn an_order_goes_before_the_rule_and_nothing_is_chosen_that_is_refused() {
        let fast = measured(series(10), series(100));
        let order = Some(Durable::Link);
        assert_eq!(choose(order, WriteCache::Fua, Ok(&fast)).0, Durable::Link);
        assert_eq!(choose(Some(Durable::Dsync), WriteCache::Volatile, Err("full")).0, Durable::Dsync);
        let refused = Measured { dsync: None, ..fast };
        let (durable, why) = choose(None, WriteCache::Fua, Ok(&refused));
        assert!(durable == Durable::Link && why.contains("refused"), "{why}");
    }

    #[test]
    fn without_figures_it_is_the_link_and_the_reason_is_said() {
        for cache in [WriteCache::Fua, WriteCache::Volatile] {
            let (durable, why) = choose(None, cache, Err("no room"));
            assert!(durable == Durable::Link && why.contains("no room"), "{why}");
        }
    }
}
