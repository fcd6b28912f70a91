//! R26: compare-and-swap by `link(2)`, in a directory that many share.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "files and threads are what is tested"
)]

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::{fs, thread};

use seawall::map::{By, Change, Generation, Map, Member, MemberId};
use seawall::position::Lineage;
use seawall_node::authority::document::{Document, write};
use seawall_node::authority::{Embedded, Swap};

fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("authority-{test}"));
    let _of_an_earlier_run = fs::remove_dir_all(&folder);
    folder
}

fn first() -> Document {
    Document { lineage: Lineage([7; 16]), map: Map::even(Generation(1), 1) }
}

/// The next map, told apart by who joins.
fn next(after: &Document, id: u32) -> Document {
    let (address, peer) = (format!("h:{id}"), format!("p:{id}"));
    let change = Change::AddMember(Member { id: MemberId(id), address, peer, labels: Vec::new() });
    let by = By { actor: "a test", reason: "to see who wins" };
    Document { map: after.map.next(by, &change).expect("a map"), ..*after }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_map_is_begun_once_and_changed_only_from_the_newest() {
    let folder = folder("once");
    assert!(Embedded::open(&folder).is_err(), "nothing is there");
    let authority = Embedded::init(&folder, &first()).expect("the first map");
    let said = Embedded::init(&folder, &first()).expect_err("there is one").to_string();
    assert!(said.contains("generation 1 already"), "{said}");

    let second = next(&first(), 1);
    assert!(!authority.moved_past(Generation(1)));
    assert_eq!(authority.swap(&second).expect("an answer"), Swap::Won);
    assert!(authority.moved_past(Generation(1)) && !authority.moved_past(Generation(2)));
    assert_eq!(authority.swap(&next(&first(), 2)).expect("an answer"), Swap::Lost, "the generation is taken");
    assert_eq!(authority.newest().expect("an answer"), second);
    let ahead = next(&next(&second, 5), 6);
    assert_eq!(authority.swap(&ahead).expect("an answer"), Swap::Lost, "the one before it is not there");
    let files = ["map-00000000000000000001", "map-00000000000000000002"];
    assert_eq!(names(&folder), files, "and no proposal is left");
}

#[test]
fn of_many_who_propose_one_generation_one_wins() {
    let folder = folder("many");
    Embedded::init(&folder, &first()).expect("the first map");
    const MANY: u32 = 8;
    const ROUNDS: u64 = 30;
    let together = Barrier::new(MANY as usize);
    let race = |who: u32| {
        let authority = Embedded::open(&folder).expect("it is there");
        let mut won = Vec::new();
        for round in 0..ROUNDS {
            together.wait();
            let seen = authority.newest().expect("a map");
            together.wait();
            let proposal = next(&seen, 1 + who + MANY * u32::try_from(round).expect("few"));
            if authority.swap(&proposal).expect("an answer") == Swap::Won {
                won.push(proposal);
            }
            together.wait();
            assert_eq!(authority.newest().expect("a map").map.generation(), Generation(round + 2));
        }
        won
    };
    let mut won: Vec<Document> = thread::scope(|scope| {
        let race = &race;
        let threads: Vec<_> = (0..MANY).map(|who| scope.spawn(move || race(who))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    won.sort_by_key(|document| document.map.generation());
    let generations: Vec<u64> = won.iter().map(|document| document.map.generation().0).collect();
    assert_eq!(generations, (2..ROUNDS + 2).collect::<Vec<_>>(), "each generation has one winner");
    for document in won {
        let path = folder.join(format!("map-{:020}", document.map.generation().0));
        assert_eq!(fs::read_to_string(path).expect("its file"), write(&document), "and it is what was kept");
    }
}

#[test]
fn what_is_half_there_is_no_map_and_what_was_renamed_is_refused() {
    let folder = folder("half");
    let authority = Embedded::init(&folder, &first()).expect("the first map");
    let cut = write(&first())[..40].to_owned();
    fs::write(folder.join("proposal-1-0-0000000000000000.tmp"), &cut).expect("what a killed process leaves");
    fs::write(folder.join("map-2"), &cut).expect("no name of a map");
    assert_eq!(authority.newest().expect("a map"), first());
    fs::copy(folder.join("map-00000000000000000001"), folder.join("map-00000000000000000009"))
        .expect("a copy");
    let said = authority.newest().expect_err("it says otherwise").to_string();
    assert!(said.contains("it says that it is generation 1"), "{said}");
}

#[test]
fn old_maps_go_and_the_newest_stays() {
    let folder = folder("old");
    let authority = Embedded::init(&folder, &first()).expect("the first map");
    // A map in which members join without end would be too large: the first one, again and again.
    let at = |generation| Document { map: Map::even(Generation(generation), 1), ..first() };
    for generation in 2..=1_010 {
        assert_eq!(authority.swap(&at(generation)).expect("an answer"), Swap::Won);
    }
    let names = names(&folder);
    assert_eq!((names.len(), names[0].as_str()), (1_000, "map-00000000000000000011"));
    assert_eq!(authority.newest().expect("a map"), at(1_010));
    // Whoever stood still since then does not win a name that was given and taken away.
    assert_eq!(authority.swap(&at(5)).expect("an answer"), Swap::Lost);
    assert!(authority.moved_past(Generation(4)));
}
