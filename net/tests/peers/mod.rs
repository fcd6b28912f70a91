//! One message of each kind that members send, and more where there are forms of it.

use std::sync::LazyLock;

use seawall::limits::LOG_BLOCK;
use seawall::map::{Generation, MemberId, ShardId};
use seawall::position::{Epoch, Index, Lineage, Position};
use seawall::replication::*;

const LINEAGE: Lineage = Lineage(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
pub const STAMP: Stamp = Stamp { lineage: LINEAGE, epoch: Epoch(5), start: Start(12) };
const SESSION: Session = Session(3);
const SENT_US: u64 = 1_000_000;
const CUT: Position = Position::new(2, 41);
pub const POSITIONS: Positions =
    Positions { received: Index(50), persisted: Index(49), validated: Index(48), applied: Index(47) };
pub const STANDING: Standing = Standing { required: true, recorded: true };

/// Two blocks of a log.
pub static BLOCKS: [u8; 2 * LOG_BLOCK] = [0x5e; 2 * LOG_BLOCK];

/// Epoch 2 from index 1, epoch 5 from index 42.
static LOSSES: LazyLock<Epochs> = LazyLock::new(|| {
    let mut losses = Epochs::default();
    losses.push(EpochBegin { epoch: Epoch(3), first: Index(42) });
    losses
});

static EPOCHS: LazyLock<Epochs> = LazyLock::new(|| {
    let mut epochs = Epochs::default();
    epochs.push(EpochBegin { epoch: Epoch(2), first: Index(1) });
    epochs.push(EpochBegin { epoch: Epoch(5), first: Index(42) });
    epochs
});

pub fn link() -> Link {
    Link { version: VERSION, cluster: LINEAGE, member: MemberId(2), start: Start(9), features: 0 }
}

pub fn hello() -> Hello<'static> {
    Hello {
        stamp: STAMP,
        session: SESSION,
        sent_us: SENT_US,
        standing: STANDING,
        last: Index(50),
        committed: Index(47),
        memory_from: Index(44),
        segments_from: Index(20),
        losses: LOSSES.table(),
        epochs: EPOCHS.table(),
    }
}

pub fn welcome() -> Welcome<'static> {
    Welcome {
        stamp: STAMP,
        session: SESSION,
        echo_sent_us: SENT_US,
        promise: Epoch(5),
        positions: POSITIONS,
        state: FollowerState::CatchingUp,
        reseeding: false,
        lease_us: 2_000_000,
        epochs: EPOCHS.table(),
    }
}

pub fn append() -> Append<'static> {
    Append { stamp: STAMP, session: SESSION, sent_us: SENT_US, committed: Index(47), blocks: &BLOCKS }
}

pub fn checkpoint() -> Checkpoint<'static> {
    let cut = Cut { at: CUT, time_us: 1_234_567, incarnation: Incarnation(6), end: 8192, chain: 0x1122_3344 };
    let (bytes, offset) = (4 * LOG_BLOCK as u64, 2 * LOG_BLOCK as u64);
    Checkpoint { stamp: STAMP, session: SESSION, sent_us: SENT_US, cut, bytes, offset, blocks: &BLOCKS }
}

pub fn heartbeat() -> Heartbeat {
    Heartbeat {
        stamp: STAMP,
        session: SESSION,
        sent_us: SENT_US,
        standing: STANDING,
        last: Index(50),
        committed: Index(47),
        echo: Some(Echo { probe_us: 77, committed: Index(46), lease_proven: true }),
        closed: Some(ClosedSegment { incarnation: Incarnation(7), crc: 0x1122_3344 }),
        state: Some(StateDigest { index: Index(40), digest: 0x55 }),
    }
}

pub fn ack() -> Ack {
    Ack {
        stamp: STAMP,
        session: SESSION,
        echo_sent_us: SENT_US,
        positions: POSITIONS,
        promise: Epoch(5),
        lease_us: 2_000_000,
        probe_us: 77,
        checkpoint: 12_288,
        disk_answered: true,
    }
}

pub fn fenced(verdict: Verdict) -> Fenced<'static> {
    Fenced { stamp: STAMP, verdict, promise: Epoch(5), positions: POSITIONS, epochs: EPOCHS.table() }
}

/// Every reason, under the name that the document has for it.
pub const WHYS: &[(&str, Why)] = &[
    ("R_REFUSED, FENCED_EPOCH", Why::FencedEpoch { promise: Epoch(6) }),
    ("R_REFUSED, LEASE_PROMISE", Why::LeasePromise { remaining_us: 1_500_000 }),
    ("R_REFUSED, LINEAGE", Why::Lineage),
    ("R_REFUSED, HALTED", Why::Halted),
    ("R_REFUSED, DIVERGENCE", Why::Divergence { agree_until: Index(41), committed: Index(45) }),
    ("R_REFUSED, EQUAL_EPOCH", Why::EqualEpoch { leader: MemberId(1), start: Start(4) }),
    ("R_REFUSED, RESEEDING", Why::Reseeding),
    ("R_REFUSED, NO_SESSION", Why::NoSession),
    ("R_REFUSED, NOT_READY", Why::NotReady { retry_after_ms: 50 }),
    ("R_REFUSED, NOT_IN_MAP", Why::NotInMap),
    ("R_REFUSED, VERSION", Why::Version { newest: 1 }),
];

/// Under the names that the document has for them.
pub fn messages() -> Vec<(&'static str, Message<'static>)> {
    let bare =
        Heartbeat { standing: Standing::default(), echo: None, closed: None, state: None, ..heartbeat() };
    let refused = WHYS.iter().map(|(name, why)| {
        (*name, Message::Refused(Refused { stamp: STAMP, session: SESSION, why: *why, text: "go on" }))
    });
    let others = vec![
        ("R_LINK", Message::Link(link())),
        ("R_HELLO", Message::Hello(hello())),
        ("R_WELCOME", Message::Welcome(welcome())),
        ("R_APPEND", Message::Append(append())),
        ("R_CHECKPOINT", Message::Checkpoint(checkpoint())),
        ("R_HEARTBEAT", Message::Heartbeat(heartbeat())),
        ("R_HEARTBEAT, the least", Message::Heartbeat(bare)),
        ("R_ACK", Message::Ack(ack())),
        ("R_FENCE", Message::Fence(Fence { stamp: STAMP, candidate: MemberId(2) })),
        ("R_FENCED", Message::Fenced(fenced(Verdict::Fenced))),
        ("R_FENCED, PROMISED", Message::Fenced(fenced(Verdict::Promised))),
        ("R_FENCED, LEASE_RUNS", Message::Fenced(fenced(Verdict::LeaseRuns { remaining_us: 1_500_000 }))),
        ("R_FENCED, RESEEDING", Message::Fenced(fenced(Verdict::Reseeding))),
        ("R_FENCED, UNCERTAIN", Message::Fenced(fenced(Verdict::Uncertain))),
    ];
    others.into_iter().chain(refused).collect()
}

/// In a frame of shard 1, or of none.
pub fn framed(message: Message<'_>) -> Vec<u8> {
    let shard = if matches!(message, Message::Link(_)) { ShardId::ANY } else { ShardId(1) };
    let mut out = Vec::new();
    Envelope { generation: Generation(8), shard, message }.encode(&mut out);
    out
}
