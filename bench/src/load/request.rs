//! The bytes of requests: a template for each kind, in which keys, values and numbers are patched in place.
//!
//! `ClientSession` builds, encodes and decodes each request to check it. Here the templates are made by it, so they
//! were checked once; after that a request is a few stores, a copy into the output and the frame's two checksums. So a
//! frame is written with `frame::write`, and sessions serve for HELLO and for reading replies.

use std::time::SystemTime;

use seawall::frame::{self, FrameMeta, HEADER_LEN, Kind};
use seawall::map::{Generation, ShardId};
use seawall::message::scan::{ScanRequest, Span};
use seawall::message::{Commit, Opcode};
use seawall::session::ClientSession;
use seawall::{Key, row};

use super::check::Asked;
use super::options::{Options, Workload};
use super::random::{Choice, Random};
use super::rows::{self, FIELD, GROUP, GROUP_DIGITS, NUMBER, PARTITION_DIGITS, ROW_DIGITS, TABLE, digits};
use super::window::Nanos;

/// What stands in a template where something is patched in. Texts are as wide as the digits that replace them.
const PARTITION_MARK: &str = "ppp";
const GROUP_MARK: &str = "gggg";
const ROW_MARK: &str = "rrrrrrrr";
const NUMBER_MARK: [u8; NUMBER] = [0xe1; NUMBER];
const SESSION_MARK: [u8; 16] = [0xe2; 16];
const TIME_MARK: i64 = i64::from_le_bytes([0xe3; 8]);
const _: () = assert!(PARTITION_MARK.len() == PARTITION_DIGITS && GROUP_MARK.len() == GROUP_DIGITS);
const _: () = assert!(ROW_MARK.len() == ROW_DIGITS);

/// Sequences are varints, and from here on they all have five bytes: enough for 2^35.
const FIRST_SEQUENCE: u64 = 1 << 28;
const SEQUENCE_BYTES: usize = 5;

/// A ceiling that no load reaches.
const CEILING: i64 = 1 << 60;

/// Whose request keys they are: one for each connection.
#[derive(Clone, Debug)]
pub struct Session {
    id: [u8; 16],
    next: u64,
    /// The node's time when the run began.
    born_us: i64,
}

impl Session {
    /// No two runs have the same, nor two connections of a run.
    pub fn new(connection: u64, born_us: i64) -> Session {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&run_number().to_le_bytes());
        id[8..].copy_from_slice(&connection.to_le_bytes());
        Session { id, next: FIRST_SEQUENCE, born_us }
    }
}

/// Another one for each run: the time, and the process for runs that begin together.
pub fn run_number() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since_1970.as_nanos() as u64) ^ u64::from(std::process::id()).rotate_right(16)
}

/// Writes requests, each for a row chosen by chance.
#[derive(Debug)]
pub struct Requests {
    workload: Workload,
    templates: Vec<Template>,
    choice: Choice,
    random: Random,
}

impl Requests {
    /// Each stream draws other rows; `run` names the row of hot-add.
    pub fn new(options: &Options, run: u64, stream: u64) -> Requests {
        let mut random = Random::stream(stream);
        let kinds = match options.workload {
            // The shares of each in `kind`.
            Workload::Mixed => vec![Workload::Get, Workload::Conditional, Workload::Put, Workload::Scan],
            other => vec![other],
        };
        let templates =
            kinds.into_iter().map(|kind| Template::new(kind, options, run, &mut random)).collect();
        Requests {
            workload: options.workload,
            templates,
            choice: Choice::new(options.dist, options.keys),
            random,
        }
    }

    /// Which template is next.
    fn kind(&mut self) -> usize {
        if self.workload != Workload::Mixed {
            return 0;
        }
        match self.random.below(10) {
            0..5 => 0,
            5..8 => 1,
            8 => 2,
            _ => 3,
        }
    }

    /// Appends one request.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        correlation: u64,
        generation: Generation,
        session: &mut Session,
        now: Nanos,
    ) -> Asked {
        let kind = self.kind();
        let template = &mut self.templates[kind];
        let mut number = 0;
        for nth in 0..template.commits {
            number = self.choice.draw(&mut self.random);
            template.patch(nth, number, session, now);
        }
        let meta = FrameMeta {
            kind: Kind::Request,
            opcode: template.opcode as u16,
            correlation,
            generation,
            shard: ShardId::ANY,
            ..FrameMeta::default()
        };
        frame::write(out, &meta, |out| out.extend_from_slice(&template.payload));
        match template.kind {
            Workload::Get => Asked::Row(number),
            Workload::Scan => Asked::Group(number),
            Workload::HotAdd => Asked::Add,
            Workload::Put | Workload::Conditional | Workload::Mixed => Asked::Change,
        }
    }
}

/// One request, and where in it something changes.
#[derive(Debug)]
struct Template {
    kind: Workload,
    opcode: Opcode,
    payload: Vec<u8>,
    /// 1, but for COMMIT_MANY.
    commits: usize,
    partition: Places,
    group: Places,
    row: Places,
    number: Places,
    session: Places,
    time: Places,
    /// Where a value counts up, from its number on, so that no two values are the same; `None`: there is no room.
    count_at: Option<usize>,
    count: u64,
}

/// Where something stands, the same number of times in each commit.
#[derive(Debug)]
struct Places {
    at: Vec<usize>,
    in_each: usize,
}

impl Places {
    fn find(payload: &[u8], mark: &[u8], commits: usize) -> Places {
        let at: Vec<usize> = payload
            .windows(mark.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == mark)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(at.len() % commits, 0, "each commit of a template is the same");
        Places { in_each: at.len() / commits, at }
    }

    fn of(&self, commit: usize) -> &[usize] {
        &self.at[commit * self.in_each..][..self.in_each]
    }

    fn patch(&self, payload: &mut [u8], commit: usize, bytes: &[u8]) {
        for at in self.of(commit) {
            payload[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

impl Template {
    fn new(kind: Workload, options: &Options, run: u64, random: &mut Random) -> Template {
        let (opcode, mut payload) = encoded(kind, options, run);
        let commits = options.many;
        let find = |mark: &[u8]| Places::find(&payload, mark, commits);
        let (partition, group) = (find(PARTITION_MARK.as_bytes()), find(GROUP_MARK.as_bytes()));
        let (row, number) = (find(ROW_MARK.as_bytes()), find(&NUMBER_MARK));
        let (session, time) = (find(&SESSION_MARK), find(&TIME_MARK.to_le_bytes()));
        let writes = matches!(kind, Workload::Put | Workload::Conditional);
        if writes {
            for commit in 0..commits {
                // The value is the last that begins with the number.
                let value = number.of(commit).last().expect("a value carries its number");
                payload[value + NUMBER..value + options.value_bytes].fill_with(|| random.next() as u8);
            }
        }
        let count_at = (writes && options.value_bytes >= NUMBER + 8).then(|| options.value_bytes - 8);
        Template {
            kind,
            opcode,
            payload,
            commits,
            partition,
            group,
            row,
            number,
            session,
            time,
            count_at,
            count: 0,
        }
    }

    /// Makes commit `nth` one about row `number`.
    fn patch(&mut self, nth: usize, number: usize, session: &mut Session, now: Nanos) {
        let payload = &mut self.payload;
        self.partition.patch(payload, nth, &digits::<PARTITION_DIGITS>(rows::partition(number)));
        self.group.patch(payload, nth, &digits::<GROUP_DIGITS>(rows::group(number)));
        self.row.patch(payload, nth, &digits::<ROW_DIGITS>(number));
        self.number.patch(payload, nth, &(number as u64).to_be_bytes());
        if let (Some(count_at), Some(value)) = (self.count_at, self.number.of(nth).last()) {
            self.count += 1;
            payload[value + count_at..][..8].copy_from_slice(&self.count.to_le_bytes());
        }
        if let Some(at) = self.session.of(nth).first() {
            let first_sent_us = session.born_us + (now / 1000) as i64;
            self.time.patch(payload, nth, &first_sent_us.to_le_bytes());
            payload[*at..*at + 16].copy_from_slice(&session.id);
            payload[at + 16..][..SEQUENCE_BYTES].copy_from_slice(&varint(session.next));
            session.next += 1;
        }
    }
}

/// A number from [`FIRST_SEQUENCE`] on: seven bits a byte, low bits first, the high bit says that more follow.
fn varint(number: u64) -> [u8; SEQUENCE_BYTES] {
    std::array::from_fn(|n| {
        let more = if n + 1 < SEQUENCE_BYTES { 0x80 } else { 0 };
        (number >> (7 * n)) as u8 & 0x7f | more
    })
}

/// The payload of a request, with marks; a node would read it.
fn encoded(kind: Workload, options: &Options, run: u64) -> (Opcode, Vec<u8>) {
    let (mut session, mut out) = (ClientSession::new(), Vec::new());
    let (partition, at) = (Key::from(PARTITION_MARK), rows::row_of(GROUP_MARK, ROW_MARK));
    let mut value = vec![0; options.value_bytes];
    value[..NUMBER].copy_from_slice(&NUMBER_MARK);
    let commit = Commit::new(&partition);
    let commit = match kind {
        Workload::Put => commit.put(&at, [(FIELD, value)]),
        Workload::Conditional => commit
            .session_key(SESSION_MARK, FIRST_SEQUENCE, TIME_MARK)
            // A value begins with its number, so this holds for every row that is there.
            .check(at.field(FIELD).ge(NUMBER_MARK.to_vec()))
            .merge(&at, [(FIELD, value)]),
        Workload::HotAdd => {
            Commit::new("hot").add(&row("bench-hot", format!("{run:016x}").as_str()), "sum", 1, ..=CEILING)
        }
        Workload::Get | Workload::Scan => commit, // they have none
        Workload::Mixed => unreachable!("a mix is made of the others"),
    };
    let (opcode, written) = match kind {
        Workload::Get => (Opcode::Get, session.get(&mut out, &partition, &at, 0)),
        Workload::Scan => {
            let group = Key::from(GROUP_MARK);
            let span = Span::Prefix(group.as_bytes());
            let scan = ScanRequest { span, limit: GROUP, ..ScanRequest::new(&partition, TABLE) };
            (Opcode::Scan, session.ask(&mut out, Opcode::Scan, 0, |payload| scan.encode(payload)))
        }
        _ if options.many > 1 => {
            (Opcode::CommitMany, session.commit_many(&mut out, &vec![commit; options.many], 0))
        }
        _ => (Opcode::Commit, session.commit(&mut out, &commit, 0)),
    };
    written.expect("the options keep a request within the limits");
    (opcode, out.split_off(HEADER_LEN))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use seawall::frame::{Decoder, Step};
    use seawall::message::request_key::KeyName;
    use seawall::message::term::{Bound, RowAt, Term};
    use seawall::message::{Check, CommitRequest, Op, Request};
    use seawall::row::Row;
    use seawall::value::{Value, ValueRef};

    use super::super::options::tests::parsed;
    use super::*;

    /// Hands each of `count` requests, as a node reads it, to `look`.
    fn each(line: &str, count: u64, mut look: impl FnMut(Asked, Request<'_>)) {
        let options = parsed(&format!("--seconds 1 {line}")).unwrap();
        let (mut requests, mut session) = (Requests::new(&options, 5, 0), Session::new(9, 1000));
        for n in 0..count {
            let mut out = Vec::new();
            let asked = requests.write(&mut out, n, Generation(7), &mut session, n * 2000);
            let frame = match Decoder::new(1 << 20).next(&out) {
                Ok(Step::Frame(frame, used)) if used == out.len() => frame,
                other => panic!("{other:?}"),
            };
            assert_eq!((frame.header.correlation, frame.header.generation), (n, 7));
            look(asked, Request::decode(&frame).unwrap());
        }
    }

    /// The row that stands in `at` and in the partition, by its digits; they must agree.
    fn number_at(partition: &[u8], at: RowAt<'_>) -> usize {
        let texts = |key| Key::from_bytes(key).unwrap().to_string();
        let row = texts(at.key);
        let digits: Vec<_> =
            row.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).collect();
        let [group, number] = digits[..] else { panic!("{row}") };
        let number: usize = number.parse().unwrap();
        assert_eq!(group.parse(), Ok(rows::group(number)));
        assert_eq!(texts(partition).trim_matches('"').parse(), Ok(rows::partition(number)));
        assert_eq!(at.table, TABLE);
        number
    }

    fn value_of(row: &[u8]) -> Vec<u8> {
        match Row::decode(row).unwrap().get(FIELD) {
            Some(Value::Bytes(value)) => value.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn puts_are_what_a_node_reads_and_cover_rows_and_partitions() {
        let (mut numbers, mut values) = (BTreeSet::new(), BTreeSet::new());
        each("--workload put --keys 600", 20_000, |asked, request| {
            let Request::Commit(CommitRequest { partition, ops, request_key: None, .. }) = request else {
                panic!("{request:?}")
            };
            let ops: Vec<Op<'_>> = ops.iter().collect();
            let [Op::Put { at, row, ttl: None }] = ops[..] else { panic!("{ops:?}") };
            let number = number_at(partition, at);
            assert_eq!((asked, rows::number_in(row)), (Asked::Change, Ok(number)));
            let value = value_of(row);
            assert_eq!(value.len(), 128);
            numbers.insert(number);
            values.insert(value);
        });
        assert_eq!((numbers.len(), values.len()), (600, 20_000));
        assert_eq!(numbers.into_iter().map(rows::partition).collect::<BTreeSet<_>>().len(), rows::PARTITIONS);
    }

    #[test]
    fn a_conditional_checks_the_row_that_it_changes_under_a_key_of_its_own() {
        let mut keys = BTreeSet::new();
        each("--workload conditional --keys 600 --value-bytes 100", 2000, |_, request| {
            let Request::Commit(CommitRequest { partition, checks, ops, request_key, .. }) = request else {
                panic!("{request:?}")
            };
            let ops: Vec<Op<'_>> = ops.iter().collect();
            let [Op::Merge { at, fields }] = ops[..] else { panic!("{ops:?}") };
            let number = number_at(partition, at);
            assert_eq!((rows::number_in(fields), value_of(fields).len()), (Ok(number), 100));
            let checks: Vec<Check<'_>> = checks.iter().collect();
            let [Check::Compare { left: Term::Field(field), right: Term::Literal(literal), .. }] = checks[..]
            else {
                panic!("{checks:?}")
            };
            assert_eq!((field.row, field.name), (at, FIELD));
            assert_eq!(literal, ValueRef::Bytes(&(number as u64).to_be_bytes()));
            let key = request_key.unwrap();
            let KeyName::Session { sequence, .. } = key.name else { panic!("{key:?}") };
            assert_eq!(key.first_sent_us, 1000 + 2 * (sequence - FIRST_SEQUENCE) as i64);
            keys.insert(key.name.to_string());
        });
        assert_eq!(keys.len(), 2000);
    }

    #[test]
    fn each_commit_of_a_commit_many_is_about_its_own_row() {
        let (mut rows_seen, mut keys) = (BTreeSet::new(), BTreeSet::new());
        each("--workload conditional --many 300 --keys 100000", 2, |asked, request| {
            let Request::CommitMany(commits) = request else { panic!("{request:?}") };
            assert_eq!((asked, commits.len()), (Asked::Change, 300));
            for (_, commit) in commits.iter() {
                let Some(Op::Merge { at, fields }) = commit.ops.iter().next() else { panic!("{commit:?}") };
                let number = number_at(commit.partition, at);
                assert_eq!(rows::number_in(fields), Ok(number));
                rows_seen.insert(number);
                keys.insert(commit.request_key.unwrap().name.to_string());
            }
        });
        assert!(rows_seen.len() > 500, "{}", rows_seen.len());
        assert_eq!(keys.len(), 600);
    }

    #[test]
    fn hot_adds_are_to_one_row_of_their_run_with_a_ceiling() {
        let mut rows_seen = BTreeSet::new();
        each("--workload hot-add --many 2", 10, |asked, request| {
            let Request::CommitMany(commits) = request else { panic!("{request:?}") };
            for (_, commit) in commits.iter() {
                let Some(Op::Add { at, delta, floor: None, ceiling: Some(ceiling), .. }) =
                    commit.ops.iter().next()
                else {
                    panic!("{commit:?}")
                };
                assert_eq!((asked, delta), (Asked::Add, ValueRef::Int(1)));
                assert_eq!(ceiling, Bound::Literal(ValueRef::Int(i128::from(CEILING))));
                rows_seen.insert((commit.partition.to_vec(), at.key.to_vec()));
            }
        });
        let expected =
            (Key::from("hot").as_bytes().to_vec(), Key::from("0000000000000005").as_bytes().to_vec());
        assert_eq!(rows_seen, [expected].into());
    }

    #[test]
    fn a_mix_has_its_shares_and_reads_the_rows_that_it_writes() {
        let mut counts = [0; 4];
        each("--workload mixed --keys 300", 10_000, |asked, request| match request {
            Request::Get(get) => {
                assert_eq!(asked, Asked::Row(number_at(get.partition, get.at)));
                counts[0] += 1;
            }
            Request::Commit(commit) => counts[if commit.checks.is_empty() { 2 } else { 1 }] += 1,
            Request::Scan(scan) => {
                let Asked::Group(number) = asked else { panic!("{asked:?}") };
                let group = Key::from(format!("{:04}", rows::group(number)));
                assert_eq!((scan.span, scan.limit), (Span::Prefix(group.as_bytes()), GROUP));
                let partition = Key::from(format!("{:03}", rows::partition(number)));
                assert_eq!((scan.partition, scan.table), (partition.as_bytes(), TABLE));
                counts[3] += 1;
            }
            other => panic!("{other:?}"),
        });
        // The draws are the same in every run; the margins are more than four standard deviations.
        for (count, share) in counts.into_iter().zip([5000, 3000, 1000, 1000_u64]) {
            assert!(share.abs_diff(count) < 200, "{counts:?}");
        }
    }

    #[test]
    fn sequences_are_the_varints_of_the_protocol() {
        for number in [FIRST_SEQUENCE, FIRST_SEQUENCE + 1, 0x1234_5678, (1 << 35) - 1] {
            let bytes = varint(number);
            let read = bytes.iter().rev().fold(0, |read, byte| read << 7 | u64::from(byte & 0x7f));
            let more: Vec<bool> = bytes.iter().map(|byte| byte & 0x80 != 0).collect();
            assert_eq!((read, &more[..]), (number, &[true, true, true, true, false][..]));
            assert_ne!(bytes[4], 0, "it must be minimal");
        }
    }
}
