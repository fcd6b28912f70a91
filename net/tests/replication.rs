//! What members say to each other: each message whole, cut and bent, and every rule that one may break.

mod peers;

use proptest::prelude::*;
use seawall::frame::{self, Decoder, FrameMeta, HEADER_LEN, Kind, Step};
use seawall::limits::*;
use seawall::map::{Generation, MemberId, ShardId};
use seawall::message::Opcode;
use seawall::position::{Epoch, Index};
use seawall::replication::*;
use seawall::tags::{MANDATORY, Tag};
use seawall::{Code, Refusal};

use peers::*;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// What a frame says, written again: so that it does not borrow.
fn read_frame(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Step::Frame(frame, used) = Decoder::new(FRAME_BODY_MAX).next(bytes)? else { panic!("{bytes:02x?}") };
    assert_eq!(used, bytes.len());
    let envelope = Envelope::decode(&frame)?;
    Ok(written(|out| envelope.encode(out)))
}

fn frame_of(meta: &FrameMeta<'_>, payload: &[u8]) -> Vec<u8> {
    written(|out| frame::write(out, meta, |body| body.extend_from_slice(payload)))
}

fn meta(opcode: PeerOpcode) -> FrameMeta<'static> {
    let shard = ShardId(u32::from(opcode != PeerOpcode::Link));
    FrameMeta { kind: Kind::Control, opcode: opcode as u16, shard, ..FrameMeta::default() }
}

/// The code of the refusal of a payload, and what it says was there; `None`: it is read, and written the same again.
fn refused(opcode: PeerOpcode, payload: &[u8]) -> Option<(Code, String)> {
    let frame = frame_of(&meta(opcode), payload);
    match read_frame(&frame) {
        Ok(again) => {
            assert_eq!(again, frame, "{} has one encoding", opcode.name());
            None
        }
        Err(refusal) => Some((refusal.code, refusal.reason.observed.into_owned())),
    }
}

/// The same of a message that can be written.
fn refused_message(message: Message<'_>) -> Option<(Code, String)> {
    refused(message.opcode(), &payload(message))
}

fn payload(message: Message<'_>) -> Vec<u8> {
    framed(message).split_off(HEADER_LEN)
}

/// A payload with other bytes at one place.
fn bent(message: Message<'_>, at: usize, bytes: &[u8]) -> Option<(Code, String)> {
    let mut bent = payload(message);
    bent[at..at + bytes.len()].copy_from_slice(bytes);
    refused(message.opcode(), &bent)
}

fn says(refused: Option<(Code, String)>, words: &str) {
    let (code, observed) = refused.unwrap_or_else(|| panic!("read, though {words}"));
    assert!(observed.contains(words), "{observed}");
    assert_eq!(code, Code::BadFrame, "{words}");
}

fn is_too_long(refused: Option<(Code, String)>) {
    assert_eq!(refused.map(|(code, _)| code), Some(Code::TooLarge));
}

#[test]
fn every_message_arrives_as_it_was_sent() {
    for (name, message) in messages() {
        let bytes = framed(message);
        let Ok(Step::Frame(frame, _)) = Decoder::new(PEER_BODY_MAX).next(&bytes) else { panic!("{name}") };
        let shard = ShardId(u32::from(message.opcode() != PeerOpcode::Link));
        let sent = Envelope { generation: Generation(8), shard, message };
        assert_eq!(Envelope::decode(&frame), Ok(sent), "{name}");
        assert_eq!(message.stamp().unwrap_or(STAMP), STAMP, "{name}");
        assert!(name.starts_with(message.opcode().name()), "{name}");
    }
    let met: Vec<PeerOpcode> = messages().iter().map(|(_, message)| message.opcode()).collect();
    assert!(PeerOpcode::ALL.iter().all(|opcode| met.contains(opcode)));
    assert!(PeerOpcode::ALL.iter().all(|opcode| Opcode::from_u16(*opcode as u16).is_none()));
}

/// Bytes of a log or a checkpoint end with the frame, so some shorter ones are messages, too.
fn run(message: &Message<'_>) -> Option<(usize, usize)> {
    match message {
        Message::Append(append) => Some((append.blocks.len(), LOG_BLOCK)),
        Message::Checkpoint(checkpoint) => Some((checkpoint.blocks.len(), LOG_BLOCK)),
        _ => None,
    }
}

#[test]
fn every_message_is_read_whole_or_refused() {
    for (name, message) in messages() {
        let (opcode, whole) = (message.opcode(), payload(message));
        let is_run = |len: usize| {
            run(&message).is_some_and(|(run, unit)| {
                let head = whole.len() - run;
                len > head && (len - head).is_multiple_of(unit)
            })
        };
        for len in 0..whole.len() {
            assert_eq!(refused(opcode, &whole[..len]).is_none(), is_run(len), "{name} cut at {len}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(refused(opcode, &longer).is_none(), is_run(longer.len()), "{name} with a byte more");
        let head = whole.len() - run(&message).map_or(0, |(run, _)| run);
        for bit in 0..head * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            refused(opcode, &changed); // which asserts that what is read is written the same again
        }
    }
}

#[test]
fn only_members_speak_like_this() {
    let ack = payload(Message::Ack(ack()));
    let meta = meta(PeerOpcode::Ack);
    let code = |meta: FrameMeta<'_>| read_frame(&frame_of(&meta, &ack)).err().map(|refusal| refusal.code);
    assert_eq!(code(meta), None);
    for kind in [Kind::Request, Kind::Reply, Kind::Stream] {
        assert_eq!(code(FrameMeta { kind, ..meta }), Some(Code::BadFrame), "{kind:?}");
    }
    for opcode in [0, Opcode::Commit as u16, 95, 107, u16::MAX] {
        assert_eq!(code(FrameMeta { opcode, ..meta }), Some(Code::UnsupportedVersion), "{opcode}");
    }
    let (known, unknown) = (Tag { id: 5, bytes: b"x" }, Tag { id: MANDATORY | 5, bytes: b"x" });
    assert_eq!(code(FrameMeta { tags: &[unknown], ..meta }), Some(Code::UnsupportedVersion));
    let frame = frame_of(&FrameMeta { tags: &[known], ..meta }, &ack);
    assert!(read_frame(&frame).is_ok(), "what was added later is skipped");
}

#[test]
fn every_message_but_a_link_is_of_a_shard() {
    for (name, message) in messages() {
        let opcode = message.opcode();
        let code = |shard| {
            let meta = FrameMeta { shard: ShardId(shard), ..meta(opcode) };
            read_frame(&frame_of(&meta, &payload(message))).err().map(|refusal| refusal.code)
        };
        let (of_none, of_one) = match opcode {
            PeerOpcode::Link => (None, Some(Code::BadFrame)),
            PeerOpcode::Refused => (None, None),
            _ => (Some(Code::BadFrame), None),
        };
        assert_eq!((code(0), code(1)), (of_none, of_one), "{name}");
    }
}

/// Bytes of a stamp, and of the session behind it.
const STAMP_LEN: usize = 32;
const HEAD: usize = STAMP_LEN + 8;

#[test]
fn positions_never_run_ahead_of_each_other() {
    let order = "received >= persisted >= validated >= applied";
    let messages = [
        (Message::Welcome(welcome()), HEAD + 16),
        (Message::Ack(ack()), HEAD + 8),
        (Message::Fenced(fenced(Verdict::Fenced)), STAMP_LEN + 9),
    ];
    for (message, at) in messages {
        for nth in 1..4 {
            let before = 50 - (nth as u64 - 1); // the position that it may not pass
            assert_eq!(bent(message, at + nth * 8, &before.to_le_bytes()), None);
            says(bent(message, at + nth * 8, &(before + 1).to_le_bytes()), order);
        }
    }
}

#[test]
#[should_panic(expected = "received >= persisted")]
fn and_nobody_says_so() {
    let positions = Positions { applied: Index(49), ..POSITIONS };
    framed(Message::Ack(Ack { positions, ..ack() }));
}

#[test]
fn a_leader_does_not_contradict_itself() {
    let hello = |change: &dyn Fn(&mut Hello<'static>)| {
        let mut hello = hello();
        change(&mut hello);
        refused_message(Message::Hello(hello))
    };
    assert_eq!(hello(&|hello| hello.committed = hello.last), None);
    says(hello(&|hello| hello.committed = Index(51)), "committed <= last");
    assert_eq!(hello(&|hello| (hello.segments_from, hello.memory_from) = (Index(51), Index(51))), None);
    says(hello(&|hello| hello.memory_from = Index(52)), "memory_from <= last + 1");
    says(hello(&|hello| hello.segments_from = Index(45)), "segments_from <= memory_from");
    assert_eq!(hello(&|hello| (hello.last, hello.memory_from) = (Index(u64::MAX), Index(u64::MAX))), None);
    let beat = |committed| refused_message(Message::Heartbeat(Heartbeat { committed, ..heartbeat() }));
    assert_eq!(beat(Index(50)), None);
    says(beat(Index(51)), "committed <= last");
    let fenced = |verdict, promise| {
        refused_message(Message::Fenced(Fenced { promise: Epoch(promise), ..fenced(verdict) }))
    };
    says(fenced(Verdict::Fenced, 4), "has promised that epoch");
    says(fenced(Verdict::Fenced, 6), "has promised that epoch");
    says(fenced(Verdict::Uncertain, 6), "has promised that epoch");
    assert_eq!(fenced(Verdict::Promised, 6), None);
    says(fenced(Verdict::Promised, 4), "refuses no epoch above it");
    let standing = |required, recorded| {
        let standing = Standing { required, recorded };
        refused_message(Message::Heartbeat(Heartbeat { standing, ..heartbeat() }))
    };
    assert_eq!((standing(true, false), standing(false, false)), (None, None));
    says(standing(false, true), "recorded is required");
}

#[test]
fn unknown_numbers_are_refused() {
    says(bent(Message::Hello(hello()), HEAD + 8, &[4]), "standing 4");
    // A loss that no epoch tells.
    says(bent(Message::Hello(hello()), HEAD + 8 + 1 + 32 + 1, &[0; 8]), "epoch or index 0");
    says(bent(Message::Welcome(welcome()), HEAD + 16 + 32, &[0]), "state of a follower 0");
    says(bent(Message::Welcome(welcome()), HEAD + 16 + 32, &[7]), "state of a follower 7");
    says(bent(Message::Welcome(welcome()), HEAD + 16 + 33, &[2]), "reseeding 2");
    let refused = messages().into_iter().find(|(_, message)| message.opcode() == PeerOpcode::Refused);
    says(bent(refused.unwrap().1, HEAD, &[12]), "reason of a refusal 12");
    says(bent(refused.unwrap().1, HEAD, &[0]), "reason of a refusal 0");
    says(bent(Message::Fenced(fenced(Verdict::Fenced)), STAMP_LEN, &[6]), "answer to a fence 6");
    let proven = HEAD + 8 + 1 + 16 + 1 + 16;
    says(bent(Message::Heartbeat(heartbeat()), proven, &[2]), "proof of a lease 2");
    let last = payload(Message::Ack(ack())).len() - 1;
    says(bent(Message::Ack(ack()), last, &[2]), "answer of a disk 2");
    says(bent(Message::Link(link()), 17, &[0; 4]), "member 0");
    let fence = Message::Fence(Fence { stamp: STAMP, candidate: MemberId(1) });
    says(bent(fence, STAMP_LEN, &[0; 4]), "member 0");
}

/// A message with this many bytes behind its head.
fn with_run(message: Message<'_>, len: usize) -> Option<(Code, String)> {
    let whole = payload(message);
    let head = whole.len() - run(&message).unwrap().0;
    assert!(head + RUN_MAX + TAGS_MAX <= PEER_BODY_MAX, "the largest message is taken");
    refused(message.opcode(), &[&whole[..head], &vec![1; len]].concat())
}

#[test]
fn runs_are_blocks_and_bounded() {
    let checkpoint = Checkpoint { bytes: 1 << 40, offset: 0, ..checkpoint() };
    for message in [Message::Append(append()), Message::Checkpoint(checkpoint)] {
        assert_eq!((with_run(message, LOG_BLOCK), with_run(message, RUN_MAX)), (None, None));
        is_too_long(with_run(message, RUN_MAX + LOG_BLOCK));
        says(with_run(message, LOG_BLOCK + 1), "whole blocks");
        says(with_run(message, 0), "nothing stands");
    }
}

#[test]
fn a_piece_lies_within_its_checkpoint() {
    let checkpoint = Message::Checkpoint(checkpoint()); // two blocks at the third of four
    let bytes = HEAD + 8 + 16 + 8 + 8 + 8 + 4;
    let offset = bytes + 8;
    let blocks = |blocks: u64| (blocks * LOG_BLOCK as u64).to_le_bytes();
    says(bent(checkpoint, offset, &blocks(3)), "within its checkpoint");
    says(bent(checkpoint, bytes, &blocks(3)), "within its checkpoint");
    says(bent(checkpoint, offset, &(u64::MAX - 4095).to_le_bytes()), "within its checkpoint");
    says(bent(checkpoint, offset, &1u64.to_le_bytes()), "whole blocks");
    says(bent(checkpoint, bytes, &(4 * 4096u64 + 1).to_le_bytes()), "whole blocks");
}

#[test]
#[should_panic(expected = "a leader ships whole blocks")]
fn a_leader_ships_whole_blocks() {
    framed(Message::Append(Append { blocks: &BLOCKS[1..], ..append() }));
}

#[test]
fn blocks_from_several_places_make_one_append() {
    let pieces = [&BLOCKS[..LOG_BLOCK], &BLOCKS[LOG_BLOCK..]];
    let head = Append { blocks: &[], ..append() };
    let bytes = written(|out| encode_append(out, Generation(8), ShardId(1), &head, pieces));
    assert_eq!(bytes, framed(Message::Append(append())));
}

#[test]
fn what_is_said_first_fits_before_anybody_is_known() {
    assert!(framed(Message::Link(link())).len() - HEADER_LEN <= HANDSHAKE_BODY_MAX);
    let why = Why::Version { newest: 1 };
    let text = "é".repeat(REASON_TEXT_MAX);
    let refused = Refused { stamp: STAMP, session: Session(0), why, text: &text };
    let bytes = framed(Message::Refused(refused));
    assert!(bytes.len() - HEADER_LEN <= HANDSHAKE_BODY_MAX, "{}", bytes.len());
    let Ok(Step::Frame(frame, _)) = Decoder::new(HANDSHAKE_BODY_MAX).next(&bytes) else { panic!() };
    let Ok(Envelope { message: Message::Refused(cut), .. }) = Envelope::decode(&frame) else { panic!() };
    assert_eq!(cut.text.len(), REASON_TEXT_MAX, "a text for people is cut");
}

fn epochs(begins: &[(u64, u64)]) -> Epochs {
    let mut epochs = Epochs::default();
    begins.iter().for_each(|(epoch, first)| {
        epochs.push(EpochBegin { epoch: Epoch(*epoch), first: Index(*first) });
    });
    epochs
}

/// A table as nobody would write it.
fn with_table(lines: &[(u64, u64)]) -> Option<(Code, String)> {
    let mut bytes = payload(Message::Hello(Hello { epochs: EpochTable::EMPTY, ..hello() }));
    assert_eq!(bytes.pop(), Some(0));
    let mut count = lines.len();
    while count >= 0x80 {
        bytes.push(count as u8 | 0x80);
        count >>= 7;
    }
    bytes.push(count as u8);
    for (epoch, first) in lines {
        bytes.extend_from_slice(&epoch.to_le_bytes());
        bytes.extend_from_slice(&first.to_le_bytes());
    }
    refused(PeerOpcode::Hello, &bytes)
}

#[test]
fn a_table_of_epochs_ascends_and_is_bounded() {
    assert_eq!((with_table(&[]), with_table(&[(1, 1), (5, 2)])), (None, None));
    says(with_table(&[(5, 1), (5, 2)]), "out of order");
    says(with_table(&[(5, 1), (4, 2)]), "out of order");
    says(with_table(&[(5, 2), (6, 2)]), "out of order");
    says(with_table(&[(5, 3), (6, 2)]), "out of order");
    says(with_table(&[(0, 1)]), "epoch or index 0");
    says(with_table(&[(1, 0)]), "epoch or index 0");
    let many: Vec<(u64, u64)> = (1..=EPOCHS_MAX as u64 + 1).map(|n| (n, n)).collect();
    assert_eq!(with_table(&many[..EPOCHS_MAX]), None);
    let full = epochs(&many);
    let longest = framed(Message::Hello(Hello { epochs: full.table(), ..hello() })).len();
    assert!(longest + TAGS_MAX <= PEER_BODY_MAX);
    is_too_long(with_table(&many));
    let kept = epochs(&many);
    let (oldest, len) = (kept.table().iter().next(), kept.table().iter().len());
    assert_eq!((oldest, len), (Some(EpochBegin { epoch: Epoch(2), first: Index(2) }), EPOCHS_MAX));
}

#[test]
fn a_table_follows_its_log() {
    let mut kept = epochs(&[(1, 1), (3, 10), (4, 20)]);
    kept.push(EpochBegin { epoch: Epoch(6), first: Index(20) });
    assert_eq!(kept, epochs(&[(1, 1), (3, 10), (6, 20)]), "epoch 4 came to no record");
    kept.cut(Index(11));
    assert_eq!(kept, epochs(&[(1, 1), (3, 10)]));
    let of = |index| kept.table().epoch_of(Index(index)).map(|epoch| epoch.0);
    assert_eq!([of(0), of(1), of(9), of(10), of(99)], [None, Some(1), Some(1), Some(3), Some(3)]);
    kept.cut(Index(10));
    assert_eq!(kept, epochs(&[(1, 1)]));
}

#[test]
fn tables_that_share_nothing_prove_nothing() {
    let agreement = |ours: &[(u64, u64)], last, theirs: &[(u64, u64)], other_last| {
        let (ours, theirs) = (epochs(ours), epochs(theirs));
        ours.table().agreement(Index(last), &theirs.table(), Index(other_last))
    };
    let until = |index| Agreement::Until(Index(index));
    assert_eq!(agreement(&[(1, 1)], 9, &[(2, 1)], 9), until(0), "both reach back to the beginning");
    assert_eq!(agreement(&[(1, 1)], 9, &[(7, 50)], 60), Agreement::Unknown);
    assert_eq!(agreement(&[(7, 50)], 60, &[(1, 1)], 9), Agreement::Unknown);
    assert_eq!(agreement(&[], 9, &[], 9), Agreement::Unknown, "records, and no table of them");
    assert_eq!((agreement(&[], 0, &[(7, 50)], 60), agreement(&[(7, 50)], 60, &[], 0)), (until(0), until(0)));
    assert_eq!(agreement(&[(5, 40), (7, 50)], 60, &[(1, 1), (5, 40), (6, 45)], 48), until(44));
    let twice = Agreement::Impossible { epoch: Epoch(7), ours: Index(50), theirs: Index(51) };
    assert_eq!(agreement(&[(1, 1), (7, 50)], 60, &[(1, 1), (7, 51)], 60), twice);
}

/// The epoch of each record of a log: one that others followed up to somewhere, and went on from.
fn log() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0..3u64, 0..40).prop_map(|steps| {
        let mut epoch = 1;
        steps
            .into_iter()
            .map(|step| {
                epoch += step / 2;
                epoch
            })
            .collect()
    })
}

fn table(log: &[u64]) -> Epochs {
    let begins = log.iter().zip(1..).filter(|(epoch, nth)| *nth == 1 || log[*nth - 2] != **epoch);
    epochs(&begins.map(|(epoch, nth)| (*epoch, nth as u64)).collect::<Vec<_>>())
}

proptest! {
    /// Against the definition: the first place where two logs differ.
    #[test]
    fn tables_find_where_logs_part(common in log(), a in log(), b in log(), odd: bool) {
        // From where they part on, no epoch is in both: each is of one leader.
        let above = common.last().copied().unwrap_or(0) + 1;
        let fork = |tail: &[u64], side: u64| {
            let own = tail.iter().map(|epoch| above + 2 * epoch + side);
            common.iter().copied().chain(own).collect::<Vec<u64>>()
        };
        let (mut a, b) = (fork(&a, u64::from(odd)), fork(&b, u64::from(!odd)));
        if odd { a.truncate(common.len() / 2); }
        let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count() as u64;
        let (last, other) = (Index(a.len() as u64), Index(b.len() as u64));
        let (ours, theirs) = (table(&a), table(&b));
        prop_assert_eq!(ours.table().agreement(last, &theirs.table(), other), Agreement::Until(Index(same)));
        prop_assert_eq!(theirs.table().agreement(other, &ours.table(), last), Agreement::Until(Index(same)));
    }
}
