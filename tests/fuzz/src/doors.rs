//! libFuzzer at one of the doors: `SEAWALL_DOOR` names it. Without a door, all of them are listed, one a line.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

type Door = fn(&[u8]);

static DOOR: OnceLock<Door> = OnceLock::new();

fn doors() -> impl Iterator<Item = (String, Door)> {
    let named = |package: &str, (name, door): &(&str, Door)| (format!("{package}-{name}"), *door);
    let wal = seawall_wal::fuzz::DOORS.iter().map(move |door| named("wal", door));
    let net = seawall::fuzz::DOORS.iter().map(move |door| named("net", door));
    wal.chain(net).chain(seawall_node::fuzz::DOORS.iter().map(move |door| named("node", door)))
}

fn choose() {
    let wanted = std::env::var("SEAWALL_DOOR").unwrap_or_default();
    match doors().find(|(name, _)| *name == wanted) {
        Some((_, door)) => drop(DOOR.set(door)),
        None => {
            doors().for_each(|(name, _)| println!("{name}"));
            std::process::exit(if wanted.is_empty() { 0 } else { 2 });
        }
    }
}

fuzz_target!(
    init: choose(),
    |bytes: &[u8]| {
        DOOR.get().expect("chosen at the start")(bytes);
    }
);
