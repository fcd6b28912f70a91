//! What a leader's messages would be if its disk or its memory were rotten: frames that are whole, around blocks that are
//! not what they should be.

use seawall::frame::{Decoder, Step};
use seawall::limits::PEER_BODY_MAX;
use seawall::replication::{Append, Envelope, Message};
use seawall_wal::BLOCK;
use seawall_wal::format::{BatchHeader, SEGMENT_MAGIC, SegmentHeader};

use crate::duo::{Duo, FOLLOWER, LEADER, Letter};

fn look<T>(frame: &[u8], look: impl FnOnce(Envelope<'_>) -> T) -> T {
    match Decoder::new(PEER_BODY_MAX).next(frame) {
        Ok(Step::Frame(frame, _)) => look(Envelope::decode(&frame).expect("members speak the protocol")),
        other => panic!("members send whole frames: {other:?}"),
    }
}

fn next_letter<T>(duo: &Duo, wanted: impl FnOnce(Message<'_>) -> Option<T>) -> Option<T> {
    match duo.wire.front() {
        Some(Letter::Frame { to: FOLLOWER, frame, .. }) => look(frame, |envelope| wanted(envelope.message)),
        _ => None,
    }
}

/// The blocks of the letter that arrives next, if it is an R_APPEND to the follower.
pub fn next_blocks(duo: &Duo) -> Option<Vec<u8>> {
    next_letter(duo, |message| match message {
        Message::Append(append) if !append.blocks.is_empty() => Some(append.blocks.to_vec()),
        _ => None,
    })
}

/// The place of the piece of a checkpoint that arrives next.
pub fn next_piece(duo: &Duo) -> Option<u64> {
    next_letter(duo, |message| match message {
        Message::Checkpoint(piece) => Some(piece.offset),
        _ => None,
    })
}

/// Until such a letter is the next one.
pub fn until<T>(duo: &mut Duo, mut there: impl FnMut(&Duo) -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(found) = there(duo) {
            return found;
        }
        duo.go_on();
    }
    panic!("it never comes")
}

/// Other blocks in the letter that arrives next.
pub fn bend(duo: &mut Duo, blocks: &[u8]) {
    let Some(Letter::Frame { from, to, frame }) = duo.wire.pop_front() else { panic!("an R_APPEND is next") };
    let frame = look(&frame, |Envelope { generation, shard, message }| {
        let Message::Append(append) = message else { panic!("an R_APPEND is next") };
        let mut out = Vec::new();
        Envelope { generation, shard, message: Message::Append(Append { blocks, ..append }) }
            .encode(&mut out);
        out
    });
    duo.wire.push_front(Letter::Frame { from, to, frame });
}

/// The first batch in these blocks with another header, whose checksum is right.
pub fn other_batch(blocks: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let at = if blocks.starts_with(&SEGMENT_MAGIC) { BLOCK } else { 0 };
    let mut blocks = blocks.to_vec();
    let header = &mut blocks[at..at + size_of::<BatchHeader>()];
    let mut other: BatchHeader = bytemuck::pod_read_unaligned(header);
    change(&mut other);
    header.copy_from_slice(bytemuck::bytes_of(&other.seal()));
    blocks
}

/// The segment header that these blocks begin with, with another content and a right checksum.
pub fn other_segment(blocks: &[u8], change: impl FnOnce(&mut SegmentHeader)) -> Vec<u8> {
    let mut blocks = blocks.to_vec();
    let header = &mut blocks[..size_of::<SegmentHeader>()];
    let mut other: SegmentHeader = bytemuck::pod_read_unaligned(header);
    change(&mut other);
    header.copy_from_slice(bytemuck::bytes_of(&other.seal()));
    blocks
}

/// What the letter that arrives next at the follower says to be committed, if it is an R_HEARTBEAT.
pub fn next_beat(duo: &Duo) -> Option<u64> {
    next_letter(duo, |message| match message {
        Message::Heartbeat(beat) => Some(beat.committed.0),
        _ => None,
    })
}

/// How far the follower has validated, by the letter that arrives next, if it is an R_ACK.
pub fn next_ack(duo: &Duo) -> Option<u64> {
    match duo.wire.front() {
        Some(Letter::Frame { to: LEADER, frame, .. }) => look(frame, |envelope| match envelope.message {
            Message::Ack(ack) => Some(ack.positions.validated.0),
            _ => None,
        }),
        _ => None,
    }
}

/// Whether the follower is greeted next.
pub fn next_hello(duo: &Duo) -> bool {
    next_letter(duo, |message| matches!(message, Message::Hello(_)).then_some(())).is_some()
}

/// Whether a member's answer to R_HELLO arrives next at the leader.
pub fn next_welcome(duo: &Duo) -> Option<()> {
    match duo.wire.front() {
        Some(Letter::Frame { to: LEADER, frame, .. }) => {
            look(frame, |envelope| matches!(envelope.message, Message::Welcome(_)).then_some(()))
        }
        _ => None,
    }
}
