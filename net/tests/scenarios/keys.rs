//! Request keys, doubts, other addresses, scans and streams.

use std::thread::spawn;
use std::time::Duration;

use seawall::client::{Doubt, Options, Scan, SentKey, Settled, Watch, What};
use seawall::message::read::Found;
use seawall::message::scan::PageRow;
use seawall::message::settle::KeyStatus;
use seawall::message::watch::{Begin, Change, What as Told};
use seawall::message::{Opcode, Request};
use seawall::position::Position;
use seawall::refusal;
use seawall::reply::{self, Body, ReplyMeta};
use seawall::{Commit, Error, Key, List, Outcome, Refusal, Row, row};

use super::scripted::{
    AT, Act, Deed, SERVER_TIME, Seen, act, answer, bytes, commits, hangs_up, hold, listen, node, options,
    play, refuses,
};
use super::{Client, Pipeline};

fn connect(address: &str, session_keys: bool) -> Client {
    Client::connect_with(address, Options { session_keys, ..options() }).unwrap()
}

fn keys(seen: Vec<Seen>) -> Vec<(i64, String)> {
    seen.into_iter().filter_map(|seen| seen.key).collect()
}

/// One commit, and the keys under which it arrived.
fn outcome(commit: &Commit, script: Vec<Act>) -> (seawall::Result<Outcome>, Vec<(i64, String)>) {
    let (address, node) = node(script);
    let outcome = connect(&address, false).commit(commit);
    (outcome, keys(node.join().unwrap()))
}

#[test]
fn under_a_key_a_lost_commit_is_sent_again_with_the_same_first_time() {
    let script = vec![hangs_up(), refuses(Refusal::durability_timeout(5, "b")), commits()];
    let (outcome, keys) = outcome(&hold(), script);
    assert!(matches!(outcome, Ok(Outcome::Committed(_))), "{outcome:?}");
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0] && key.1 == "hold-1"), "{keys:?}");
    assert!((SERVER_TIME..SERVER_TIME + 5_000_000).contains(&keys[0].0), "the node's time, not the client's");
    let (_, keys) = self::outcome(&hold().first_sent(5), vec![commits()]);
    assert_eq!(keys, [(5, "hold-1".to_owned())], "the caller's word holds");
}

/// "Nothing was done" is said only if every attempt said so.
#[test]
fn a_doubt_outlives_the_attempts_after_it() {
    let expired = || Refusal::key_reused(Default::default(), Default::default());
    let (lost, _) = outcome(&hold(), vec![hangs_up(), refuses(expired())]);
    let Ok(Outcome::Unknown(unknown)) = lost else { panic!("{lost:?}") };
    assert!(matches!(unknown.why, Doubt::Connection(_)));
    assert_eq!(unknown.key.as_ref().unwrap().to_string(), "hold-1");
    assert!(unknown.to_string().contains("RESOLVE key hold-1 of partition p"), "{unknown}");
    let (none, _) = outcome(&hold(), vec![refuses(Refusal::throttled("batch", 1, 1)), refuses(expired())]);
    assert!(matches!(none, Err(Error::Refused(_))), "{none:?}");
    let (rejected, _) = outcome(&hold(), vec![hangs_up(), refuses(Refusal::key_aborted(AT))]);
    assert!(matches!(rejected, Ok(Outcome::Rejected(_))), "a decision ends every doubt: {rejected:?}");
    let (unknown, _) = outcome(&hold(), vec![refuses(Refusal::log_failed_after_append("EIO"))]);
    assert!(matches!(unknown, Ok(Outcome::Unknown(_))), "{unknown:?}");
}

#[test]
fn commits_without_a_key_are_numbered_if_asked_for() {
    let plain = Commit::new("p").delete(&row("t", 1));
    let (address, node) = node(vec![commits(), hangs_up(), commits()]);
    let mut db = connect(&address, true);
    for _ in 0..2 {
        assert!(matches!(db.commit(&plain), Ok(Outcome::Committed(_))));
    }
    drop(db);
    let keys: Vec<String> = keys(node.join().unwrap()).into_iter().map(|(_, name)| name).collect();
    let number = |name: &String| name.rsplit(':').next().unwrap().to_owned();
    assert_eq!(keys.iter().map(number).collect::<Vec<_>>(), ["1", "2", "2"], "{keys:?}");
    let (_, keys) = outcome(&plain, vec![commits()]);
    assert_eq!(keys, []);
}

#[test]
fn a_doubt_is_resolved() {
    let resolved = act(|meta, request| {
        let Request::Resolve(settle) = request else { panic!("{request:?}") };
        assert_eq!((settle.partition, settle.request_key.first_sent_us), (Key::from("p").as_bytes(), 5));
        let status = KeyStatus::Committed { at: Position::new(1, 3), results: List::EMPTY };
        Deed::Say(bytes(|out| reply::encode_key_status(out, meta, 77, &status)))
    });
    let unseen = answer(|out, meta| reply::encode_key_status(out, meta, 77, &KeyStatus::Unseen));
    let (address, node) = node(vec![refuses(Refusal::log_failed_after_append("EIO")), resolved, unseen]);
    let mut db = connect(&address, false);
    let Ok(Outcome::Unknown(unknown)) = db.commit(&hold().first_sent(5)) else { panic!() };
    let Ok(Settled::Committed(done)) = db.resolve("p", unknown) else { panic!() };
    assert_eq!((done.version, done.replayed), (Position::new(1, 3), true));
    let status = db.status_of("p", SentKey::caller("hold-1", 5), Some(done.token));
    assert!(matches!(status, Ok(Settled::Unseen(token)) if token.position == AT), "{status:?}");
    assert!(matches!(db.resolve("p", None), Err(Error::Refused(_))), "there is nothing to ask for");
    drop(db);
    node.join().unwrap();
}

/// A rejection is remembered, so another attempt has another name; what is no failed condition is not tried again.
#[test]
fn each_attempt_has_a_key_of_its_own() {
    let faster = || {
        let seat = row("t", 1);
        let exists = seawall::message::Check::Exists((&seat).into());
        refuses(Refusal::condition_failed(0, &exists, "a", "b"))
    };
    let attempt = |attempts, script| {
        let (address, node) = node(script);
        let outcome = connect(&address, false).attempt(attempts, |_| Ok(hold()));
        let names: Vec<String> = keys(node.join().unwrap()).into_iter().map(|(_, name)| name).collect();
        (outcome.unwrap(), names)
    };
    let (outcome, names) = attempt(5, vec![faster(), faster(), commits()]);
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    assert_eq!(names, ["hold-1", "hold-1/2", "hold-1/3"]);
    let (outcome, names) = attempt(2, vec![faster(), faster()]);
    assert!(matches!(outcome, Outcome::Rejected(_)) && names.len() == 2, "{outcome:?}");
    let (outcome, _) = attempt(2, vec![refuses(Refusal::key_aborted(AT))]);
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
}

#[test]
fn the_leader_is_followed() {
    let (leader, led) = node(vec![commits()]);
    let (address, node) = node(vec![refuses(Refusal::not_leader(Some(&leader)))]);
    let mut db = connect(&address, false);
    assert!(matches!(db.commit(&hold()), Ok(Outcome::Committed(_))));
    drop(db);
    assert_eq!((node.join().unwrap().len(), led.join().unwrap().len()), (1, 1));
}

#[test]
fn a_pipeline_says_when_a_key_was_first_sent() {
    let (address, node) = node(vec![commits()]);
    let mut pipeline = Pipeline::connect(address, Options::default()).unwrap();
    pipeline.send_commit(&hold()).unwrap();
    pipeline.flush().unwrap();
    assert!(matches!(pipeline.recv().unwrap().1.body, Body::Committed { .. }));
    drop(pipeline);
    assert!(keys(node.join().unwrap())[0].0 >= SERVER_TIME);
}

fn page(keys: &'static [i32], cursor: &'static [u8]) -> Act {
    act(move |meta, request| {
        let Request::Scan(scan) = request else { panic!("{request:?}") };
        let first = keys.first() == Some(&1);
        assert_eq!((scan.table, scan.cursor, scan.limit), ("t", if first { &b""[..] } else { b"x" }, 2));
        let row = bytes(|out| Row::new().with("a", 1).encode(out));
        let keys: Vec<Key> = keys.iter().map(|key| Key::from(*key)).collect();
        let found = Found { version: AT, row: &row };
        let rows = keys.iter().map(|key| PageRow { key: key.as_bytes(), found });
        Deed::Say(bytes(|out| reply::encode_page(out, meta, 77, rows, || cursor)))
    })
}

#[test]
fn a_scan_goes_from_page_to_page() {
    let (address, node) = node(vec![page(&[1, 2], b"x"), hangs_up(), page(&[3], b"")]);
    let mut db = connect(&address, false);
    let rows: seawall::Result<Vec<_>> = db.rows(Scan::new("p", "t").limit(2)).collect();
    let keys: Vec<Key> = rows.unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(keys, [Key::from(1), Key::from(2), Key::from(3)]);
    drop(db);
    node.join().unwrap();
}

/// A connection for calls that are none, then one that plays `script`.
fn watched(script: Vec<Act>) -> (Client, std::thread::JoinHandle<[(); 2]>) {
    watched_with(options(), script)
}

fn watched_with(options: Options, script: Vec<Act>) -> (Client, std::thread::JoinHandle<[(); 2]>) {
    let (address, listener) = listen();
    let accept = move |script: Vec<Act>| {
        let (stream, _) = listener.accept().unwrap();
        spawn(move || play(stream, &mut script.into_iter(), &mut Vec::new()))
    };
    let node = spawn(move || [accept(vec![]), accept(script)].map(|played| played.join().unwrap()));
    (Client::connect_with(address, options).unwrap(), node)
}

/// What a node says of something that happened.
fn event<'a>(partition: &'a Key, ordinal: usize, payload: &'a [u8]) -> Change<'a> {
    event_at(AT, partition, ordinal, payload)
}

fn event_at<'a>(position: Position, partition: &'a Key, ordinal: usize, payload: &'a [u8]) -> Change<'a> {
    let what = Told::Event { topic: "e", payload };
    Change { position, ordinal, time_us: 5, partition: partition.as_bytes(), what }
}

/// Whoever stops in the middle of a frame goes on behind the last record that was handed out whole.
#[test]
fn a_watch_names_the_last_record_that_was_handed_out_whole() {
    let at = |index| Position::new(1, index);
    let stream = act(move |meta, _| {
        let partition = Key::from("p");
        let mut out = Vec::new();
        reply::encode_subscribed(&mut out, meta, 77);
        let meta = ReplyMeta { opcode: Opcode::Subscribe as u16, position: Some(at(12)), ..*meta };
        let events = [(9, 0), (9, 1), (10, 0), (11, 2)];
        let changes = events.map(|(index, ordinal)| event_at(at(index), &partition, ordinal, b"x"));
        reply::encode_changes(&mut out, &meta, 77, changes);
        Deed::Say(out)
    });
    let (mut db, node) = watched(vec![stream]);
    let mut watching = db.watch(&Watch::partition("p").from_oldest()).unwrap();
    let begin = watching.token().position;
    for reached in [begin, at(9), at(10), at(11)] {
        watching.next().unwrap().unwrap();
        assert_eq!(watching.token().position, reached);
    }
    assert!(matches!(watching.next_within(Duration::from_millis(1)), Ok(None) | Err(_)));
    assert_eq!(watching.token().position, at(12), "what was looked at and not wanted counts, too");
    drop((watching, db));
    node.join().unwrap();
}

#[test]
fn a_watch_tells_what_happens_until_it_ends() {
    let stream = act(|meta, request| {
        let Request::Subscribe(subscribe) = request else { panic!("{request:?}") };
        assert_eq!((subscribe.from, subscribe.topic), (Begin::Oldest, Some("e")));
        let partition = Key::from("p");
        let mut out = Vec::new();
        reply::encode_subscribed(&mut out, meta, 77);
        let later =
            ReplyMeta { opcode: Opcode::Subscribe as u16, position: Some(Position::new(1, 9)), ..*meta };
        reply::encode_changes(&mut out, &later, 77, [0, 1].map(|nth| event(&partition, nth, b"x")));
        reply::encode_progress(&mut out, &ReplyMeta { position: Some(Position::new(1, 12)), ..later }, 77);
        reply::encode_stream_end(&mut out, &later, &Refusal::compacted("1:12", Position::new(2, 1)));
        Deed::Say(out)
    });
    let (mut db, node) = watched(vec![stream]);
    let mut watching = db.watch(&Watch::partition("p").from_oldest().topic("e")).unwrap();
    assert_eq!(watching.token().position, AT, "where it began");
    for ordinal in 0..2 {
        let happened = watching.next().unwrap().unwrap();
        assert_eq!((happened.ordinal, happened.what), (ordinal, What::Event("e".to_owned(), b"x".to_vec())));
        assert_eq!(watching.token().position, AT, "not beyond what was handed out");
    }
    let ended = watching.next().unwrap();
    assert!(
        matches!(&ended, Err(Error::Refused(refusal)) if refusal.code == seawall::Code::Compacted),
        "{ended:?}"
    );
    assert_eq!(watching.token().position, Position::new(1, 12));
    assert!(watching.next().is_none());
    drop((watching, db));
    node.join().unwrap();
}

/// Whoever has taken in half of what may be on its way gives it back, and the stream goes on.
#[test]
fn a_watch_gives_credit_for_what_it_has_read() {
    let (subscribed, subscription) = std::sync::mpsc::channel();
    let much = act(move |meta, _| {
        let (partition, payload) = (Key::from("p"), vec![7; 60 << 10]);
        let mut out = Vec::new();
        reply::encode_subscribed(&mut out, meta, 77);
        let stream = ReplyMeta { opcode: Opcode::Subscribe as u16, ..*meta };
        reply::encode_changes(&mut out, &stream, 77, (0..36).map(|nth| event(&partition, nth, &payload)));
        subscribed.send(stream).unwrap();
        Deed::Say(out)
    });
    let credited = act(move |meta, request| {
        let Request::Credit(credit) = request else { panic!("{request:?}") };
        let stream = subscription.recv().unwrap();
        assert_eq!(credit.subscription, stream.correlation);
        assert!(credit.bytes > 2 << 20, "{}", credit.bytes);
        let mut out = Vec::new();
        reply::encode_done(&mut out, meta, refusal::Outcome::None);
        reply::encode_changes(&mut out, &stream, 77, [event(&Key::from("p"), 36, b"x")]);
        Deed::Say(out)
    });
    let (mut db, node) = watched(vec![much, credited]);
    let mut watching = db.watch(&Watch::partition("p")).unwrap();
    for ordinal in 0..37 {
        assert_eq!(watching.next().unwrap().unwrap().ordinal, ordinal);
    }
    drop((watching, db));
    node.join().unwrap();
}

/// A node with nothing to tell says so. One that says nothing at all is lost, and one that is slow is not.
#[test]
fn a_watch_over_which_nothing_comes_any_more_ends() {
    let subscribed = act(|meta, _| {
        let mut out = Vec::new();
        reply::encode_subscribed(&mut out, meta, 77);
        let stream = ReplyMeta { opcode: Opcode::Subscribe as u16, ..*meta };
        reply::encode_changes(&mut out, &stream, 77, [event(&Key::from("p"), 0, &[7; 600])]);
        Deed::SayInPieces(out, 1) // for longer than may be silent
    });
    let silence = std::time::Duration::from_millis(300);
    let (mut db, node) = watched_with(Options { silence, ..options() }, vec![subscribed]);
    let mut watching = db.watch(&Watch::partition("p")).unwrap();
    assert_eq!(watching.next().unwrap().unwrap().ordinal, 0);
    let a_moment = silence / 10;
    let mut looks = std::iter::repeat_with(|| watching.next_within(a_moment)).take(100);
    let ended = looks.find_map(Result::err).expect("it is noticed");
    drop(looks);
    assert!(matches!(ended, Error::NoAnswer { .. }), "{ended:?}");
    let said = ended.to_string();
    assert!(said.contains("nothing was heard for 3"), "{said}");
    assert!(watching.next().is_none(), "an error is told once");
    drop((watching, db));
    node.join().unwrap();
}
