//! Every limit of the wire and of the data, each once. HELLO announces those that a client must obey.
//!
//! Raising one is easy, lowering one is not: what was written under the old limit stays.

/// Encoded bytes of a partition or of a row key.
pub const KEY_MAX: usize = 512;
/// Bytes of a name: of a namespace, a table or a field.
pub const NAME_MAX: usize = 64;
/// Encoded bytes of a row.
pub const ROW_MAX: usize = 64 << 10;
/// Fields of a row.
pub const ROW_FIELDS_MAX: usize = 1024;
/// Members of a set.
pub const SET_MEMBERS_MAX: usize = 1024;
/// Digits behind the point of a decimal: the most that an `i128` mantissa can fill.
pub const DECIMAL_SCALE_MAX: u8 = 38;
/// Payload bytes of a COMMIT.
pub const COMMIT_MAX: usize = 1 << 20;
/// Operations of a COMMIT.
pub const COMMIT_OPS_MAX: usize = 128;
/// Body bytes of any frame.
pub const FRAME_BODY_MAX: usize = 16 << 20;
/// Body bytes of a frame before HELLO is accepted: a stranger may not make a node allocate more.
pub const HANDSHAKE_BODY_MAX: usize = 4 << 10;
/// Bytes of the tagged fields of a frame.
pub const TAGS_MAX: usize = 2 << 10;
/// Body bytes of the largest request: what a node sets aside for a client's frame.
pub const REQUEST_BODY_MAX: usize = COMMIT_MAX + TAGS_MAX;
/// Bytes of the client name and of the identity in HELLO.
pub const HELLO_TEXT_MAX: usize = 256;
/// Bytes of one text of a refusal's reason.
pub const REASON_TEXT_MAX: usize = 1 << 10;
/// Bytes of a stored key: hash, namespace, partition, table, row key.
pub const STORED_KEY_MAX: usize = 8 + (NAME_MAX + 2) + KEY_MAX + (NAME_MAX + 2) + KEY_MAX;

const _: () =
    assert!(ROW_MAX + 2 * KEY_MAX + 2 * NAME_MAX < COMMIT_MAX, "the largest row fits into a commit");
const _: () = assert!(REQUEST_BODY_MAX <= FRAME_BODY_MAX, "the largest request fits into a frame");
const _: () = assert!(FRAME_BODY_MAX <= u32::MAX as usize, "a body's length is a u32");
const _: () =
    assert!(TAGS_MAX + 2 * HELLO_TEXT_MAX + 64 <= HANDSHAKE_BODY_MAX, "the largest HELLO is accepted");
const _: () = assert!(TAGS_MAX <= u16::MAX as usize, "a tag's length is a u16");
const _: () = assert!(COMMIT_OPS_MAX <= u16::MAX as usize, "the number of operations is a u16");
const _: () = assert!(SET_MEMBERS_MAX * 2 <= ROW_MAX, "a full set of small members fits into a row");
const _: () = assert!(STORED_KEY_MAX <= u16::MAX as usize, "the log keeps a key's length in a u16");
