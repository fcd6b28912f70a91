//! Two people and a match: made once, and only if both swiped right, whoever came first. The pair is the partition,
//! under one name for both orders.

use seawall::{Commit, RowRef, row};

use crate::fields;
use crate::history::{History, holds, text};
use crate::world::{Answer, Crash, World, every_crash, keyed, must_be_seen};

#[derive(Clone, Copy, PartialEq)]
enum Care {
    Full,
    /// Whoever comes takes himself for the first.
    NoOther,
    /// A match is made without a look at what the other decided.
    NoMutual,
}

/// The same for either order of two people.
fn pair(one: &str, other: &str) -> String {
    format!("{}+{}", one.min(other), one.max(other))
}

fn swipe_of(who: &str) -> RowRef {
    row("swipe", who)
}

fn swipes(who: &str, other: &str, way: &str, what: &str) -> Commit {
    let mine = swipe_of(who);
    keyed(&pair(who, other), &format!("swipe-{who}-{what}"))
        .check(mine.absent())
        .put(&mine, fields!["way" => way])
}

fn matched(commit: Commit, who: &str) -> Commit {
    let pair = row("match", "pair");
    commit.check(pair.absent()).put(&pair, fields!["by" => who]).event("match", who)
}

/// Decides as the first of the two; if there is another one, with a look at what was decided. A swipe never changes,
/// so the second look is the last.
fn swipe(world: &mut World, care: Care, who: &str, other: &str, way: &str) {
    let first = swipes(who, other, way, "first");
    let first = if care == Care::NoOther { first } else { first.check(swipe_of(other).absent()) };
    let answer = world.send(&first);
    second_look(world, care, &answer, who, other, way);
}

fn second_look(world: &mut World, care: Care, first: &Answer, who: &str, other: &str, way: &str) {
    if first.is_done() {
        return;
    }
    let second = swipes(who, other, way, "second");
    if way == "right" {
        let mutual = match care {
            Care::NoMutual => second,
            _ => second.check(swipe_of(other).field("way").eq("right")),
        };
        if world.send(&matched(mutual, who)).is_done() {
            return;
        }
    }
    world.send(&swipes(who, other, way, "alone").check(swipe_of(other).exists()));
}

/// Both at once: neither knows of the other.
fn at_once(world: &mut World, one: &str, other: &str) {
    let first = |who: &str, other: &str| swipes(who, other, "right", "first").check(swipe_of(other).absent());
    let answers = world.send_all(&[first(one, other), first(other, one)]);
    second_look(world, Care::Full, &answers[0], one, other, "right");
    second_look(world, Care::Full, &answers[1], other, one, "right");
}

fn check_pair(history: &History, one: &str, other: &str) -> Result<(), String> {
    let pair = pair(one, other);
    let mut told = 0;
    for (before, after) in history.changes() {
        let right =
            |who: &str| after.row(&pair, "swipe", who).is_some_and(|swipe| text(swipe, "way") == "right");
        let mutual = right(one) && right(other);
        let [was, is] = [before, after].map(|moment| moment.row(&pair, "match", "pair"));
        holds(is.is_none() || mutual, after, || "a match that is not mutual".into())?;
        holds(is.is_some() || !mutual, after, || "both swiped right, and there is no match".into())?;
        holds(was.is_none() || was == is, after, || "a match was made again".into())?;
        for (who, swipe) in before.table(&pair, "swipe") {
            let same = after.row(&pair, "swipe", who) == Some(swipe);
            holds(same, after, || format!("{who} changed a swipe"))?;
        }
        told += after.events.iter().filter(|(topic, _)| topic == "match").count();
        holds(told == usize::from(is.is_some()), after, || format!("the match was told {told} times"))?;
    }
    Ok(())
}

fn check(history: &History) -> Result<(), String> {
    check_pair(history, "ann", "bob")
}

const PAIR: &str = "ann+bob";

#[test]
fn a_match_is_made_once_and_only_if_it_is_mutual() {
    assert_eq!(pair("ann", "bob"), pair("bob", "ann"));
    for (one, other) in [("ann", "bob"), ("bob", "ann")] {
        for (ways, matches) in [(["right"; 2], 1), (["right", "left"], 0), (["left", "right"], 0)] {
            let script = |world: &mut World| {
                swipe(world, Care::Full, one, other, ways[0]);
                swipe(world, Care::Full, other, one, ways[1]);
                swipe(world, Care::Full, one, other, ways[0]); // asked again
            };
            every_crash(&[PAIR], script, check);
            let mut world = World::new(&[PAIR], Crash::Never);
            script(&mut world);
            let history = world.history();
            assert_eq!(history.last().table(PAIR, "match").len(), matches, "{one} {ways:?}");
            assert_eq!(history.last().table(PAIR, "swipe").len(), 2, "{one} {ways:?}");
        }
        every_crash(&[PAIR], |world| at_once(world, one, other), check);
    }
}

#[test]
fn the_checker_sees_a_match_too_many_or_too_few() {
    let script = |world: &mut World, care: Care, ways: [&str; 2]| {
        swipe(world, care, "ann", "bob", ways[0]);
        swipe(world, care, "bob", "ann", ways[1]);
    };
    let few = "there is no match";
    must_be_seen(&[PAIR], |world| script(world, Care::NoOther, ["right"; 2]), check, few);
    let many = "not mutual";
    must_be_seen(&[PAIR], |world| script(world, Care::NoMutual, ["left", "right"]), check, many);
}
