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
/// Checks of a COMMIT.
pub const COMMIT_CHECKS_MAX: usize = 128;
/// Literals of a STATE_IN.
pub const STATES_MAX: usize = 64;
/// Payload bytes of an EVENT.
pub const EVENT_MAX: usize = 64 << 10;
/// Bytes of a request key that the caller chose.
pub const REQUEST_KEY_MAX: usize = 64;
/// Commits of a COMMIT_MANY; together they are no longer than one COMMIT may be.
pub const COMMITS_MAX: usize = 1024;
/// Encoded bytes of the key of a stream: the sequence behind it needs room, too.
pub const STREAM_KEY_MAX: usize = KEY_MAX - 9;
/// Milliseconds that a row or a lease may live: ten years, so that the end of any is a time.
pub const TTL_MAX_MS: u64 = 10 * 366 * 24 * 3600 * 1000;
/// Rows of a MULTI_GET.
pub const READ_ROWS_MAX: usize = 128;
/// Rows of a page of a scan. A page that grows above [`PAGE_MAX`] ends early.
pub const SCAN_ROWS_MAX: usize = 1024;
/// Bytes of rows after which a page of a scan ends.
pub const PAGE_MAX: usize = 1 << 20;
/// Bytes of a scan's cursor: a key of an index and a key of a row.
pub const CURSOR_MAX: usize = 2 * KEY_MAX + 16;
/// Encoded bytes of a declaration.
pub const DECLARATION_MAX: usize = 32 << 10;
/// Fields of a declaration.
pub const TABLE_FIELDS_MAX: usize = 256;
/// Indexes of a declaration.
pub const TABLE_INDEXES_MAX: usize = 16;
/// Fields of an index.
pub const INDEX_FIELDS_MAX: usize = 8;
/// Fields of a declaration that have transitions.
pub const TRANSITION_FIELDS_MAX: usize = 8;
/// Transitions of a field.
pub const TRANSITIONS_MAX: usize = 256;
/// Sums of a declaration that must be zero.
pub const SUMS_MAX: usize = 8;
/// Bytes of the value of a fact in a STATUS, EXPLAIN or TRACE.
pub const FACT_MAX: usize = 4 << 10;
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
/// Bytes of a node's address, `host:port`.
pub const ADDRESS_MAX: usize = 256;
/// Labels of a member in the map.
pub const LABELS_MAX: usize = 16;
/// Bytes of a label.
pub const LABEL_MAX: usize = 128;
/// Members of a cluster.
pub const MEMBERS_MAX: usize = 256;
/// Members that keep a shard.
pub const REPLICAS_MAX: usize = 16;
/// Milliseconds that a required member may be silent before writes are refused.
pub const MEMBER_TIMEOUT_MAX_MS: u32 = 600_000;
/// Milliseconds of a lease promise: what a member that was started again waits out at most.
pub const LEASE_MAX_MS: u32 = 60_000;
/// Bytes of each text of an audited change: who, why, what.
pub const AUDIT_TEXT_MAX: usize = 1 << 10;
/// The log is made of blocks of this size, and so is what members ship of it.
pub const LOG_BLOCK: usize = 4 << 10;
/// Bytes of a log or of a checkpoint in one message between members: the largest batch fits.
pub const RUN_MAX: usize = 2 << 20;
/// Epochs of a table that members compare: the newest ones.
pub const EPOCHS_MAX: usize = 4 << 10;
/// Body bytes of the largest frame between members, once both have said R_LINK.
pub const PEER_BODY_MAX: usize = RUN_MAX + TAGS_MAX + 1024;
/// Bytes of one text of a refusal's reason.
pub const REASON_TEXT_MAX: usize = 1 << 10;
/// Bytes of a stored key: hash, namespace, partition, table, row key.
pub const STORED_KEY_MAX: usize = 8 + (NAME_MAX + 2) + KEY_MAX + (NAME_MAX + 2) + KEY_MAX;

const _: () =
    assert!(ROW_MAX + 2 * KEY_MAX + 2 * NAME_MAX < COMMIT_MAX, "the largest row fits into a commit");
const _: () =
    assert!(READ_ROWS_MAX * (ROW_MAX + 32) < FRAME_BODY_MAX, "the rows of a MULTI_GET fit into a frame");
const _: () = assert!(
    PAGE_MAX + ROW_MAX + 2 * CURSOR_MAX + 1024 < FRAME_BODY_MAX,
    "the largest page fits into a frame"
);
const _: () = assert!(REQUEST_BODY_MAX <= FRAME_BODY_MAX, "the largest request fits into a frame");
const _: () = assert!(PEER_BODY_MAX <= FRAME_BODY_MAX, "what members ship fits into a frame");
const _: () = assert!(RUN_MAX.is_multiple_of(LOG_BLOCK), "a full run is made of whole blocks");
const _: () = assert!(
    EPOCHS_MAX * 16 + TAGS_MAX + 1024 <= PEER_BODY_MAX,
    "the largest table of epochs fits into a frame between members"
);
const _: () = assert!(FRAME_BODY_MAX <= u32::MAX as usize, "a body's length is a u32");
const _: () =
    assert!(TAGS_MAX + 2 * HELLO_TEXT_MAX + 64 <= HANDSHAKE_BODY_MAX, "the largest HELLO is accepted");
const _: () = assert!(TAGS_MAX <= u16::MAX as usize, "a tag's length is a u16");
const _: () = assert!(COMMIT_OPS_MAX <= u16::MAX as usize, "the number of operations is a u16");
const _: () = assert!(SET_MEMBERS_MAX * 2 <= ROW_MAX, "a full set of small members fits into a row");
const _: () = assert!(STORED_KEY_MAX <= u16::MAX as usize, "the log keeps a key's length in a u16");
