//! The named numbers of a node: one table. What each row says is in the constant's documents, `config show` and docs/.
//! `[fixed]` is the same in every node of this version; `["KEY", LEAST..=MOST]` may be set, and the constant is its default.

macro_rules! place {
    (fixed) => {
        None
    };
    ($key:literal, $least:literal ..= $most:expr) => {
        Some(Place { key: $key, least: $least, most: $most })
    };
}

macro_rules! parameters {
    ($($(#[doc = $text:literal])+ $name:ident: $type:ty = $value:expr, $unit:ident, [$($place:tt)*];)*) => {
        $($(#[doc = $text])+ pub const $name: $type = $value;)*

        /// The whole table.
        pub const PARAMETERS: &[Parameter] = &[$(Parameter {
            name: stringify!($name),
            default: $name as u64,
            unit: Unit::$unit,
            place: place!($($place)*),
            effect: concat!($($text),+),
        },)*];
    };
}

parameters! {
    /// Workers, each with one shard of a new data directory; 0: one less than there are CPUs. More use more cores.
    /// A data directory keeps the number that it was made with.
    WORKERS: u16 = 0, Count, ["workers", 0..=256];

    /// The number of this node in the partition map of a cluster; 0: it is alone. A data directory keeps the number that it
    /// was made with.
    MEMBER: u32 = 0, Count, ["member", 0..=4_294_967_295];

    /// Closed log after which the next checkpoint is made, if the last one is not larger. Less: a faster start and a
    /// shorter log, and more is written for each commit.
    CHECKPOINT_AFTER_BYTES: u64 = 256 << 20, Bytes, ["checkpoint.after_bytes", 1_048_576..=1 << 40];

    /// Changes that one checkpoint takes in at once, 84 bytes of memory each. Fewer: less memory beside the state,
    /// and more checkpoints until the log is short.
    CHECKPOINT_CHANGES: usize = 1 << 20, Count, ["checkpoint.changes", 4096..=1 << 28];

    /// Closed segments after which a checkpoint is made, however little they hold: each start begins a segment.
    CHECKPOINT_SEGMENTS: usize = 64, Count, [fixed];

    /// Checkpoints kept, and the log behind the oldest of them: with two, a start survives the loss of the newest.
    CHECKPOINTS: usize = 2, Count, [fixed];

    /// A batch of this size counts as full and a second write may fly. Smaller: less throughput when many commit at
    /// once; larger: those that come next wait longer for it.
    LOG_BATCH_BYTES: usize = 1 << 20, Bytes, ["log.batch_bytes", 65_536..=LOG_BUFFER_BYTES as u64];

    /// The most that one batch takes, so also the largest record.
    LOG_BUFFER_BYTES: usize = 2 << 20, Bytes, [fixed];

    /// Writes of one log that may be under way at once.
    LOG_WRITES: usize = 2, Count, [fixed];

    /// Size of a segment while the log is small, so that a new shard is cheap.
    LOG_SMALL_SEGMENT_BYTES: u64 = 4 << 20, Bytes, [fixed];

    /// Size of a segment of a log that has grown.
    LOG_SEGMENT_BYTES: u64 = 64 << 20, Bytes, [fixed];

    /// Segments kept ready; one of them is the next start's. More: longer bursts before a slow disk must have made
    /// another one; each takes the disk space of a segment.
    LOG_SPARES: usize = 3, Count, ["log.spares", 2..=64];

    /// Memory of each shard for its newest batches, from which subscribers that are almost level are fed. More: they
    /// may fall further behind before what they miss is gone.
    LOG_TAIL_BYTES: usize = 8 << 20, Bytes, ["log.tail_bytes", 2_097_152..=1 << 34];

    /// How fast each worker's kept log and checkpoints are read again, to find bits that turned where no start looks; 0:
    /// never. Faster: rot is found sooner, and the disk has more to do beside commits.
    SCRUB_BYTES_PER_SECOND: u64 = 4 << 20, Bytes, ["scrub.bytes_per_second", 0..=1 << 34];

    /// How long after a start, or a change of role, that begins.
    SCRUB_AFTER_US: u64 = 10_000_000, Microseconds, [fixed];

    /// From the end of one round of it to the next one.
    SCRUB_AGAIN_US: u64 = 86_400_000_000, Microseconds, [fixed];

    /// Bytes of one read of it. Larger: fewer pauses, and a commit may wait longer behind one.
    SCRUB_PIECE_BYTES: usize = 128 << 10, Bytes, [fixed];

    /// For how long a turn of a worker goes on with what clients sent before it gives its disk and its followers what it
    /// has. Longer: larger batches; shorter: those wait less.
    TURN_US: u64 = 500, Microseconds, [fixed];

    /// Requests of one connection that may wait for their replies; beyond it the node stops reading from it. More lets
    /// a deeper pipeline fill a batch, at the price of memory per connection.
    CONNECTION_REQUESTS: usize = 4096, Count, [fixed];

    /// Bytes of replies, and of changes that it watches, that may wait for a connection whose client does not read, and
    /// as many again on their way; beyond it the node reads nothing more from it, and tells it nothing more.
    CONNECTION_OUTPUT: usize = 1 << 20, Bytes, [fixed];

    /// Bytes of a connection's receive buffer once it said HELLO. A larger frame grows it for as long as it lasts.
    CONNECTION_INPUT: usize = 32 << 10, Bytes, [fixed];

    /// Buffers of a worker for multishot receives. More: more connections may be late before some receive one by one.
    RECEIVE_BUFFERS: u16 = 256, Count, [fixed];

    /// Bytes of each of them.
    RECEIVE_BUFFER_BYTES: usize = 16 << 10, Bytes, [fixed];

    /// How many of them one connection may fill unasked before it is not read from any more.
    RECEIVE_HELD: usize = 4, Count, [fixed];

    /// Time to say HELLO.
    HANDSHAKE_US: u64 = 10_000_000, Microseconds, [fixed];

    /// Connections of a worker that may be without HELLO at once; one more, and the oldest of them gives way, so sockets
    /// that only lie there keep nobody out. More bears larger storms of clients that come back at once.
    STRANGERS: usize = 1024, Count, [fixed];

    /// Time for a frame to arrive whole once its front is there. Longer: worse networks are borne.
    FRAME_US: u64 = 60_000_000, Microseconds, [fixed];

    /// How long a client must have asked for nothing before it gives way to others, when nearly all places are taken.
    IDLE_US: u64 = 10_000_000, Microseconds, [fixed];

    /// Nearly all places are taken when so many are left, or a quarter of few. More: fewer idle clients can stay.
    CROWD_RESERVE: u32 = 64, Count, [fixed];

    /// How long a client may take nothing at all of what it is owed.
    STALL_US: u64 = 60_000_000, Microseconds, [fixed];

    /// Bytes of receive buffers that a worker may have beyond the first of each connection: large frames that are still
    /// arriving. Beyond it a large frame is read on when others have arrived.
    LARGE_INPUT: usize = 256 << 20, Bytes, [fixed];

    /// Bytes of replies of one connection that count against nothing but its own bound.
    OUTPUT_SHARE: usize = 32 << 10, Bytes, [fixed];

    /// Bytes of replies that a worker may keep for its clients beyond the share of each. From half of it on a connection
    /// gets no more than its share, or one reply, before its client has taken that, and the deafest are hung up on; beyond
    /// all of it replies wait.
    LARGE_OUTPUT: usize = 256 << 20, Bytes, [fixed];

    /// How long a client must have taken nothing of what it is owed before it is hung up on for the room of others.
    DEAF_US: u64 = 10_000_000, Microseconds, [fixed];

    /// How long after its last reply a connection keeps the memory that its replies took. Shorter: it is asked for again.
    REST_US: u64 = 1_000_000, Microseconds, [fixed];

    /// Time to take the last replies when the node stops.
    STOP_US: u64 = 5_000_000, Microseconds, [fixed];

    /// Commits that may wait while every buffer of the log is being written; beyond it they are THROTTLED.
    PARKED_COMMITS: usize = 1024, Count, [fixed];

    /// The same in bytes.
    PARKED_BYTES: usize = 8 << 20, Bytes, [fixed];

    /// Requests that a worker may have under way at one other worker.
    MAILBOX: usize = 1024, Count, [fixed];

    /// What a refused client is told to wait for a queue.
    RETRY_QUEUE_MS: u32 = 10, Milliseconds, [fixed];

    /// What a refused client is told to wait for recovery.
    RETRY_RECOVERY_MS: u32 = 100, Milliseconds, [fixed];

    /// What a refused client is told to wait for disk space.
    RETRY_SPACE_MS: u32 = 1000, Milliseconds, [fixed];

    /// What a refused client is told to wait for members that are missing.
    RETRY_MEMBERS_MS: u32 = 1000, Milliseconds, [fixed];

    /// What a refused client is told to wait for a quota.
    RETRY_QUOTA_MS: u32 = 1000, Milliseconds, [fixed];

    /// Bytes of state that a shard may hold. More holds more rows; together the shards of a node must fit into its
    /// memory, since all rows are resident.
    SHARD_MEMORY_BYTES: u64 = 4 << 30, Bytes, ["shard.memory_bytes", 1_048_576..=1 << 42];

    /// Outcomes under request keys that a namespace may have in one shard, about 400 bytes of memory each. Fewer bound
    /// the rate of keyed commits: this many in the time that keys are remembered, but for sessions, which forget their
    /// oldest.
    NAMESPACE_KEYS: u64 = 4_000_000, Count, ["shard.request_keys", 1024..=1 << 32];

    /// How long an outcome is remembered after its key was first sent. Longer: later retries are safe, more memory.
    KEY_RETENTION_US: u64 = 24 * 3600 * 1_000_000, Microseconds, [fixed];

    /// How far ahead of the leader's time a key may be born. Less refuses clients that learnt the time from a node whose
    /// clock is a little ahead; more keeps outcomes of wrong clocks longer than asked for.
    KEY_AHEAD_US: u64 = 60_000_000, Microseconds, [fixed];

    /// Outcomes of a session that are kept; see docs/protocol.md.
    SESSION_OUTCOMES: u64 = 1024, Count, [fixed];

    /// Outcomes of a session that one of its commits removes at most, of those that fell behind.
    SESSION_SWEEP: usize = 8, Count, [fixed];

    /// Removals in one record of expiry. More end faster what ended together, and delay the commits of that moment.
    EXPIRY_BATCH: usize = 256, Count, [fixed];

    /// Records of expiry at one tick.
    EXPIRY_RECORDS: usize = 16, Count, [fixed];

    /// Rows that end together are removed over this time. Longer: smaller bursts, rows that outlive their ttl longer.
    EXPIRY_SPREAD_US: u64 = 1_000_000, Microseconds, [fixed];

    /// How far the wall clock may be from the log's time before nothing is decided by it any more. A larger gap bears
    /// worse clocks; ttls and first times of keys are wrong by as much.
    CLOCK_GAP_US: u64 = 10_000_000, Microseconds, [fixed];

    /// How fast the log's time nears the wall clock.
    CLOCK_SLEW_PPM: u64 = 500, PartsPerMillion, [fixed];

    /// How often it does.
    CLOCK_SLEW_STEP_US: u64 = 10_000, Microseconds, [fixed];

    /// How long a log is idle before a fence proves its last batch durable. Shorter: a smaller window in which damage
    /// to the last commits cannot be told from a torn write; more fences when commits are rare.
    FENCE_IDLE_US: u64 = 100_000, Microseconds, [fixed];

    /// Between two heartbeats of a leader to each member. Shorter: leases and silence are told apart sooner, and more is
    /// said when nothing happens.
    HEARTBEAT_US: u64 = 100_000, Microseconds, [fixed];

    /// After this time what another member or the authority did not answer is asked again.
    REPLICA_RETRY_US: u64 = 300_000, Microseconds, [fixed];

    /// A member that says nothing for so long is greeted anew. Shorter: a lost message costs less time, and a pause of a
    /// healthy member looks like a loss.
    REPLICA_SILENCE_US: u64 = 1_500_000, Microseconds, [fixed];

    /// Bytes of the log that may be under way to one follower of a shard. More: longer distances stay busy; each
    /// follower may have to keep twice as much in memory.
    REPLICA_WINDOW: usize = 4 << 20, Bytes, [fixed];

    /// How often a member writes down how far its log is durable and committed: if that moved, or if a leader's lease rests
    /// on it. Shorter: a disk that lost what it had, or stands still, is noticed sooner; each costs a write.
    MARK_US: u64 = 1_000_000, Microseconds, [fixed];

    /// Bytes a second that a leader reads back at most for followers of a shard that are behind what is in memory.
    CATCH_UP_BYTES: u64 = 1 << 30, Bytes, [fixed];

    /// Bytes a second that it reads back for them even if commits take longer for it. Less: commits keep their time; so
    /// little that the log grows faster, and the followers are never level.
    CATCH_UP_LEAST_BYTES: u64 = 32 << 20, Bytes, [fixed];

    /// Bytes that are read back and sent at once; a batch that is larger is read whole. More: fewer reads, and commits that
    /// come meanwhile wait longer for their turn.
    CATCH_UP_PORTION: usize = 256 << 10, Bytes, [fixed];

    /// Bytes of one such read while nobody commits, with no pause between two of them.
    CATCH_UP_QUIET_PORTION: usize = 1 << 20, Bytes, [fixed];

    /// Time between two looks at what commits take, after each of which the reading for followers becomes faster by an
    /// eighth, or half as fast.
    CATCH_UP_STEP_US: u64 = 20_000, Microseconds, [fixed];

    /// How long it stays half as fast, unless a hundred commits prove sooner that they are not disturbed; and after how
    /// long without a commit it goes as fast as it can.
    CATCH_UP_SETTLE_US: u64 = 1_000_000, Microseconds, [fixed];

    /// Slots that a leader keeps for followers that are behind, and for nobody else, in bytes. Beyond it, or when the
    /// disk has no room for another slot, whoever needs the oldest of them begins again with a checkpoint.
    CATCH_UP_LOG_BYTES: u64 = 16 << 30, Bytes, [fixed];

    /// How long the log is kept for a follower that stopped answering while it was behind.
    CATCH_UP_PATIENCE_US: u64 = 600_000_000, Microseconds, [fixed];

    /// Bytes that a leader appends beyond what is committed; further commits are refused until followers have caught up.
    UNCOMMITTED_BYTES: u64 = 16 << 20, Bytes, [fixed];

    /// A follower whose state was not proven to be younger than this serves no read of any kind: a fork could go on
    /// answering for ever. Longer: followers serve through longer absences of a leader.
    MAX_UNPROVEN_US: u64 = 10_000_000, Microseconds, [fixed];

    /// How long an answer waits at most for what it rests on, where the request names no deadline: that a record is
    /// committed, that more members have it, that a read is proven. Then it is DURABILITY_TIMEOUT, or refused.
    COMMIT_PATIENCE_US: u64 = 10_000_000, Microseconds, [fixed];

    /// Echoes of probes that a follower keeps until it has applied what they speak of.
    PROOFS_PENDING: usize = 16, Count, [fixed];

    /// How long an order of an operator may take before it is given up. Longer than the longest lease promise, which a
    /// candidate waits out.
    ORDER_PATIENCE_US: u64 = 30_000_000, Microseconds, [fixed];

    /// How long a candidate waits for more members to be fenced once it has as many as commits need.
    FENCE_LINGER_US: u64 = 200_000, Microseconds, [fixed];

    /// How long it waits for all of them before it asks for the leadership with those that are.
    FENCE_WAIT_US: u64 = 1_000_000, Microseconds, [fixed];

    /// A disk that owes an answer for so long counts as a failed one: its member promises nothing (R24).
    DISK_PATIENCE_US: u64 = 1_000_000, Microseconds, [fixed];

    /// By how much two clocks may differ in speed: a leader counts a lease promise by so much shorter than it was made.
    /// Less than what clocks really do, and a deposed leader could answer a read that is stale.
    LEASE_MARGIN_PPM: u64 = 500, PartsPerMillion, [fixed];

    /// What is taken from each lease promise besides: clocks are read in steps.
    LEASE_MARGIN_US: u64 = 1000, Microseconds, [fixed];

    /// Time between two attempts to prepare a segment after one failed.
    PREPARE_RETRY_US: u64 = 1_000_000, Microseconds, [fixed];

    /// Time between two attempts to make a checkpoint after one failed: each reads whole segments before it can fail.
    FOLD_RETRY_US: u64 = 60_000_000, Microseconds, [fixed];

    /// How long a fold waits for whoever holds the log as it is, to copy it. Longer: a slow backup is less often begun
    /// again, and the log grows meanwhile.
    FOLD_PATIENCE_US: u64 = 10_000_000, Microseconds, [fixed];

    /// Bytes that a fold reads or writes at once. Larger: fewer pauses, and a commit may wait longer behind one.
    FOLD_BUFFER_BYTES: usize = 128 << 10, Bytes, [fixed];

    /// Bytes of a fold for each byte that logs grow by. It has up to six for each that it takes in: fewer, and logs grow.
    FOLD_FACTOR: u64 = 4, Count, [fixed];

    /// Bytes that a fold writes between two flushes. Larger: fewer flushes, and a commit that comes just then waits
    /// longer.
    FOLD_FLUSH_BYTES: usize = 1 << 21, Bytes, [fixed];

    /// Rows that a DECLARE may look at before it is accepted. It does so at once, so more would hold the shard up:
    /// about a tenth of a second.
    DECLARE_ROWS: usize = 100_000, Count, [fixed];

    /// Reads that may wait for what their token names; beyond it they are THROTTLED.
    WAITING_READS: usize = 1024, Count, [fixed];

    /// The same in bytes.
    WAITING_READS_BYTES: usize = 4 << 20, Bytes, [fixed];

    /// Subscriptions of one connection; beyond it they are THROTTLED. Each costs some hundred bytes: what it has not
    /// been told stays in the log's memory and is read from there when credit comes.
    SUBSCRIPTIONS_PER_CONNECTION: usize = 64, Count, [fixed];

    /// Subscriptions of one shard.
    SUBSCRIPTIONS_PER_SHARD: usize = 4096, Count, [fixed];

    /// Named cursors of one shard; one more is refused with QUOTA.
    CURSORS_PER_SHARD: usize = 1024, Count, [fixed];

    /// Bytes of changes after which a stream frame ends; the changes of its last record are never cut in two.
    STREAM_FRAME_BYTES: usize = 64 << 10, Bytes, [fixed];

    /// Records that one subscription may look at in one turn. More: fewer turns to catch up, and longer ones.
    STREAM_RECORDS: usize = 4096, Count, [fixed];

    /// How long a stream with credit is silent before it says how far it is.
    PROGRESS_US: u64 = 1_000_000, Microseconds, [fixed];

    /// Stream frames that a worker may have under way to connections of one other worker.
    STREAM_LETTERS: usize = 64, Count, [fixed];

    /// Time between two ticks of a worker. Smaller: timeouts are noticed sooner, an idle node wakes more often.
    TICK_MS: u64 = 100, Milliseconds, [fixed];

    /// Connections that one worker serves at once; accepting pauses beyond it. Fewer: less memory that many idle
    /// clients can take. The most is what the completion queue has room for.
    CONNECTIONS_PER_WORKER: u32 = 4096, Count, ["connections.per_worker", 16..=4096];

    /// Entries of a worker's submission queue. A turn that needs more pays one more enter for each time it fills.
    SUBMISSION_ENTRIES: u32 = 1024, Count, [fixed];

    /// Log operations that one shard may have under way; bounds its share of the completion queue, or of the queues to
    /// and from the threads of the syscall driver.
    LOG_OPERATIONS_PER_SHARD: u32 = 64, Count, [fixed];

    /// Slots of a shard's pool that can be open at once: 256 GiB of log at 64 MiB a slot. A higher number costs eight
    /// bytes a slot in the ring's file table.
    SLOTS_PER_SHARD: u32 = 4096, Count, [fixed];

    /// Bytes of one write while a slot is filled with zeros, at most. Larger: commits wait longer for it.
    ZERO_FILL_BYTES: usize = 1 << 20, Bytes, [fixed];

    /// The same, at least: beside commits.
    ZERO_FILL_LEAST: usize = 64 << 10, Bytes, [fixed];

    /// Bytes of a slot for each byte that logs grow by. More: it is there sooner, and commits wait longer for it.
    ZERO_FILL_FACTOR: u64 = 2, Count, [fixed];

    /// The same of a slot that is larger than those before it, behind which few bytes are left.
    ZERO_FILL_LARGER_FACTOR: u64 = 16, Count, [fixed];

    /// Without a write of a log for so long a slot is filled without pauses. Longer: a log that is out of slots waits as
    /// much longer for the next one.
    ZERO_FILL_QUIET_US: u64 = 2_000, Microseconds, [fixed];

    /// A second, of a fold or a slot beside few commits. More: it ends sooner, and those who commit wait longer.
    PACE_BYTES_PER_SECOND: u64 = 16 << 20, Bytes, [fixed];

    /// By how much a fold or a slot may lag behind its pace. More: a burst of the log is followed by one of it.
    PACE_CREDIT_BYTES: u64 = 1 << 20, Bytes, [fixed];

    /// How long it pauses when it is ahead of its pace. Shorter: more wake-ups.
    PACE_PAUSE_US: u64 = 1_000, Microseconds, [fixed];

    /// Without a write of a log for so long nobody commits, and a fold does not pause.
    PACE_QUIET_US: u64 = 20_000, Microseconds, [fixed];

    /// Bytes of one read while a start, with io_uring, reads what it will look at next. Larger: fewer reads, and more memory
    /// until it ends.
    READ_AHEAD_PART: usize = 1 << 20, Bytes, [fixed];

    /// So many of them beyond what is looked at. More: a slow disk keeps up with a fast processor, for more memory.
    READ_AHEAD_PARTS: usize = 2, Count, [fixed];

    /// Places in the mailbox of one ordered pair of workers: its requests one way, its replies to the other's, its
    /// stream frames, what it took of the other's, and its good-bye.
    MAILBOX_LETTERS: usize = 2 * MAILBOX + 2 * STREAM_LETTERS + 1, Count, [fixed];

    /// Messages of other members that may lie in the mailbox of one ordered pair of workers; one more is lost, and said
    /// again by whoever misses its answer.
    MAILBOX_FRAMES: usize = 1024, Count, [fixed];

    /// Between two looks for a newer map. Shorter: a change is known sooner everywhere, at the price of a system call.
    MAP_LOOK_MS: u64 = 20, Milliseconds, [fixed];

    /// Between two attempts to connect to a member.
    LINK_RETRY_US: u64 = 300_000, Microseconds, [fixed];

    /// How long an attempt to connect to a member may take, and the first message of a link.
    LINK_GREETING_US: u64 = 2_000_000, Microseconds, [fixed];

    /// After this time a link on which nothing of what was sent arrives is given up.
    LINK_SILENCE_MS: u32 = 5_000, Milliseconds, [fixed];

    /// Bytes that may wait for a member that takes none; beyond it the link is closed, loudly. What is under way to
    /// followers is bounded already; this bounds what nobody acknowledges.
    LINK_OUTPUT: usize = 64 << 20, Bytes, [fixed];

    /// Connections at the address for members that have not said who they are; one more, and the oldest gives way.
    LINK_STRANGERS: usize = 16, Count, [fixed];

    /// Questions and orders from the service plane that may wait for one worker.
    CONTROL_PLACES: usize = 64, Count, [fixed];

    /// How long a start waits for the port and the lock of a process that is just going away.
    START_PATIENCE_MS: u64 = 2_000, Milliseconds, [fixed];

    /// Ticks that a worker waits, after its last shard stopped, for the kernel to give its operations back.
    DRAIN_TICKS: u32 = 50, Count, [fixed];

    /// Clients that may wait in the kernel for their turn to be accepted.
    BACKLOG: i32 = 1024, Count, [fixed];

    /// Connections of the admin port at once; others wait in the kernel until one ends. Fewer: less memory that
    /// strangers can take.
    ADMIN_CONNECTIONS: usize = 64, Count, ["admin.connections", 1..=4096];

    /// How long an admin client may take to send the head of its request, and how long a connection may be idle.
    /// Shorter: slow clients hold a place for less time; longer: clients may pause between requests.
    ADMIN_HEAD_MS: u64 = 5_000, Milliseconds, ["admin.head_ms", 100..=600_000];

    /// How long each step of an admin request may take: its body to arrive, its turn to come, its answer. Longer: slower
    /// clients and busier nodes are waited for. A commit that is not answered by then is answered as unknown.
    ADMIN_REQUEST_MS: u64 = 5_000, Milliseconds, ["admin.request_ms", 100..=600_000];

    /// How long one connection of the admin port may last, in whatever state; after the request that is under way it
    /// ends. Longer: fewer connections are made by clients that come often.
    ADMIN_CONNECTION_MS: u64 = 300_000, Milliseconds, ["admin.connection_ms", 1000..=86_400_000];

    /// Bytes of the body of an admin request. JSON takes more room than a frame: a commit of the largest size may need
    /// more.
    ADMIN_BODY_BYTES: usize = 2 << 20, Bytes, ["admin.body_bytes", 1024..=67_108_864];

    /// Rows and commits by HTTP that are under way at once; others wait for their turn within their time. More: more
    /// threads, and more of the workers' time for HTTP.
    ADMIN_CALLS: usize = 8, Count, ["admin.calls", 1..=256];

    /// How long the admin port waits for a worker's answer before it calls it silent. Shorter: a silent worker is
    /// noticed sooner, and a busy one may be called silent.
    ADMIN_ASK_MS: u64 = 1_000, Milliseconds, ["admin.ask_ms", 10..=60_000];

    /// How long requests to the admin port may go on when the node stops. Longer: slower clients get their answer.
    ADMIN_DRAIN_MS: u64 = 1_000, Milliseconds, ["admin.drain_ms", 0..=60_000];
}

mod laws;
mod parameter;
pub use self::laws::completion_entries;
pub use self::parameter::{Parameter, Place, Unit};
#[cfg(test)]
mod tests;
