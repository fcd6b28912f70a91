//! The fault model, held to its word.

use super::cache::{Cache, Content, Mood, SECTOR, Tally};
use super::order::{Answer, Order};
use crate::random::Random;

const OLD: u8 = 0;

fn sectors(byte: u8, count: usize) -> Vec<u8> {
    vec![byte; SECTOR * count]
}

fn at(sector: u64) -> u64 {
    sector * SECTOR as u64
}

/// What a disk of zeros holds after the cut, and the tally.
fn after(cache: &mut Cache, seed: u64, mood: Mood, count: usize) -> (Vec<Content>, Tally) {
    let mut disk = vec![[OLD; SECTOR]; count];
    let (survives, tally) = cache.cut(&mut Random::new(seed), mood, |_| [OLD; SECTOR]);
    for (sector, content) in survives {
        disk[usize::try_from(sector).unwrap()] = *content;
    }
    assert!(cache.is_empty(), "nothing is volatile after a cut");
    assert_eq!(tally.volatile, tally.lost() + tally.kept);
    (disk, tally)
}

fn whole(content: &Content) -> bool {
    content.iter().all(|byte| *byte == content[0])
}

#[test]
fn what_was_written_is_read_and_survives_nothing_but_a_flush() {
    let mut cache = Cache::default();
    cache.write(at(2), &sectors(1, 2));
    cache.write(at(3), &sectors(2, 1));
    let mut read = sectors(OLD, 4);
    cache.read(at(1), &mut read);
    assert_eq!(read, [sectors(OLD, 1), sectors(1, 1), sectors(2, 1), sectors(OLD, 1)].concat());
    let flushed = cache.flush();
    let contents: Vec<_> = flushed.iter().map(|(sector, content)| (*sector, content[0])).collect();
    assert_eq!(contents, [(2, 1), (3, 2)]);
    assert!(cache.is_empty());
    cache.write(at(2), &sectors(3, 1));
    let (disk, tally) = after(&mut cache, 1, Mood::Dropped, 4);
    assert_eq!((disk[2][0], tally.dropped), (OLD, 1));
}

#[test]
fn a_cut_is_drawn_from_its_seed_alone_and_every_fate_comes_up() {
    let mut all = Tally::default();
    let mut different = 0;
    for seed in 0..50 {
        let mut cache = Cache::default();
        cache.set_mine(vec![0..16, 16..32]);
        cache.write(0, &sectors(1, 64));
        cache.write(at(8), &sectors(2, 16));
        let (first, tally) = after(&mut cache.clone(), seed, Mood::Sectors, 64);
        assert_eq!((first.clone(), tally), after(&mut cache.clone(), seed, Mood::Sectors, 64));
        different += u32::from(first != after(&mut cache, seed + 1, Mood::Sectors, 64).0);
        assert!(first[32..].iter().all(whole), "only the node's sectors are torn inside");
        let torn = first[..32].iter().filter(|content| !whole(content)).count();
        assert_eq!(tally.torn, torn as u64);
        all.add(&tally);
    }
    assert!(different > 45, "seeds matter");
    assert_eq!((all.volatile, all.mine), (50 * 64, 50 * 32));
    assert!([all.dropped, all.older, all.torn, all.kept].iter().all(|count| *count > 20), "{all}");
}

#[test]
fn in_order_a_write_survives_only_behind_all_earlier_ones() {
    let (mut in_part, mut lost) = (0, 0);
    for seed in 0..200 {
        let mut cache = Cache::default();
        for nth in 0..4u8 {
            cache.write(at(u64::from(nth) * 8), &sectors(nth + 1, 8));
        }
        let (disk, tally) = after(&mut cache, seed, Mood::InOrder, 32);
        let kept = disk.iter().take_while(|content| content[0] != OLD).count();
        assert!(disk[kept..].iter().all(|content| content[0] == OLD), "a hole, seed {seed}");
        assert_eq!(tally.kept, kept as u64);
        in_part += u32::from(!kept.is_multiple_of(8));
        lost += tally.dropped;
    }
    assert!(in_part > 50 && lost > 0, "{in_part} writes were torn between sectors");
}

#[test]
fn a_block_is_whole_gone_or_torn_and_kept_keeps_all() {
    let (mut alike, mut torn) = (0, 0);
    for seed in 0..100 {
        let mut cache = Cache::default();
        cache.write(0, &sectors(1, 64));
        let (disk, _) = after(&mut cache.clone(), seed, Mood::Kept, 64);
        assert!(disk.iter().all(|content| content[0] == 1));
        let (disk, _) = after(&mut cache, seed, Mood::Blocks, 64);
        assert!(disk.iter().all(whole));
        for block in disk.chunks(8) {
            *if block.iter().all(|content| content == &block[0]) { &mut alike } else { &mut torn } += 1;
        }
    }
    assert!(alike > 500 && torn > 100, "{alike} blocks have one fate, {torn} are torn between sectors");
}

#[test]
fn a_flush_that_lies_leaves_the_nodes_sectors_volatile_and_one_that_fails_drops_them() {
    let mut cache = Cache::default();
    cache.set_mine(vec![20..30, 4..6]);
    assert_eq!(
        [3, 4, 5, 6, 19, 20, 29, 30].map(|sector| cache.is_mine(sector)),
        [false, true, true, false, false, true, true, false]
    );
    cache.write(at(3), &sectors(1, 4));
    let durable: Vec<u64> = cache.flush_others().into_iter().map(|(sector, _)| sector).collect();
    assert_eq!(durable, [3, 6]);
    let mut read = sectors(OLD, 2);
    cache.read(at(4), &mut read);
    assert_eq!(read, sectors(1, 2), "still read");
    cache.write(at(7), &sectors(2, 1));
    assert_eq!(cache.drop_mine(), 2);
    let left: Vec<u64> = cache.flush().into_iter().map(|(sector, _)| sector).collect();
    assert_eq!(left, [7]);
}

#[test]
fn orders_and_answers_are_read_as_they_were_said() {
    let cuts = Mood::ALL.map(|(mood, _)| Order::Cut { seed: u64::MAX, mood });
    let others = [
        Order::Freeze { writes: 3 },
        Order::Mine(vec![1..2, 5..9]),
        Order::Mine(Vec::new()),
        Order::FailWrites,
        Order::FailFlushes,
        Order::Heal,
        Order::Lie,
    ];
    for order in cuts.into_iter().chain(others) {
        assert_eq!(order.to_string().parse(), Ok(order));
    }
    let tally = Tally { volatile: 1, mine: 2, dropped: 3, older: 4, torn: 5, kept: 6 };
    for answer in [Answer::Done, Answer::Healed(7), Answer::Cut(tally), Answer::Failed("no room".into())] {
        assert_eq!(answer.to_string().parse(), Ok(answer));
    }
    assert!("cut 1 gently".parse::<Order>().is_err() && "".parse::<Order>().is_err());
}
