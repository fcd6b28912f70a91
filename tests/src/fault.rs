//! The faults that the world can inject, and the count of those that fired. A configured fault that never fires
//! in a long run fails it: a test that cannot fail proves nothing.

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[doc = $doc])* $name,)* }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Fault::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// The process ends; the machine stays.
    Kill = "process killed",
    /// The machine loses its power.
    PowerCut = "power cut",
    /// A crash before every log had recovered.
    CrashInRecovery = "crash during recovery",
    /// The process was asked to stop, and did.
    Stop = "orderly stop",
    /// A write that the device had not wholly taken at the kill, and that arrived whole or in part.
    LateWrite = "write arriving after the kill",
    /// A power cut kept some sectors of an unflushed write and lost others.
    TornWrite = "torn write",
    /// A power cut lost an unflushed write wholly.
    LostWrite = "lost write",
    /// An operation on a log completed before an earlier one.
    OutOfOrder = "completion out of order",
    DiskStall = "disk stall",
    WriteError = "write error",
    FlushError = "flush error",
    /// A failed flush threw away what it should have kept.
    FlushDropped = "data dropped by a failed flush",
    ShortWrite = "short write",
    PrepareError = "prepare error",
    PrepareAbsent = "prepared slot absent",
    PrepareHalf = "prepared slot half-written",
    PrepareUnreported = "prepared slot complete but unreported",
    DiskFull = "disk full",
    RemoveError = "remove error",
    /// A power cut brought back a file that was removed.
    RemovedReturned = "removed file returned",
    FoldAbsent = "checkpoint absent after a crash",
    FoldUnreported = "checkpoint complete but unreported",
    /// What was written for a checkpoint is not what is read back.
    FoldDamaged = "checkpoint damaged while it was written",
    OfferAbsent = "another member's checkpoint absent after a crash",
    OfferUnreported = "another member's checkpoint complete but unreported",
    /// What was written of it is not what is read back.
    OfferDamaged = "another member's checkpoint damaged on its way",
    ReadError = "read error",
    ShortRead = "short read",
    BitRot = "bit rot",
    /// A bit turned while its member ran, where only reading everything again finds it.
    BitTurned = "bit turned beside a running member",
    MisdirectedWrite = "misdirected write",
    MisdirectedRead = "misdirected read",
    StaleRead = "stale read",
    ConnectionBroken = "connection broken",
    /// A connection broke with bytes on their way.
    BytesLost = "bytes in flight lost",
    HalfClose = "connection half-closed by the client",
    SingleBytes = "stream cut into single bytes",
    PartialSend = "send took a part",
    SendStall = "send found no room",
    WallJump = "wall clock jumped",
    WorkerPause = "worker paused",
    MessageLost = "message between members lost",
    MessageTwice = "message between members delivered twice",
    MessageOvertook = "message between members overtook another",
    Partition = "way between members closed",
    /// A member came back with an empty disk.
    DiskLost = "disk lost",
    /// What a leader said of its state arrived as something else: as if the two had come apart.
    DigestBent = "digest of a leader bent on its way",
    /// What a leader ships is not whole, and the frame around it is: as if its memory had turned.
    BlocksBent = "blocks of a leader bent in a whole frame",
}

impl Fault {
    /// A log detects these and stands still until somebody helps: a world of clients would only wait.
    pub fn of_the_log_alone(self) -> bool {
        use Fault::*;
        matches!(
            self,
            DiskFull
                | ReadError
                | ShortRead
                | BitRot
                | MisdirectedWrite
                | MisdirectedRead
                | StaleRead
                | RemoveError
                | RemovedReturned
                | FoldAbsent
                | FoldUnreported
                | FoldDamaged
        )
    }

    /// Nobody speaks to a node that is alone.
    pub fn of_members_alone(self) -> bool {
        use Fault::*;
        self.of_members_rarely()
            || matches!(
                self,
                MessageLost
                    | MessageTwice
                    | MessageOvertook
                    | Partition
                    | DiskLost
                    | DigestBent
                    | BlocksBent
                    | BitTurned
            )
    }

    /// So seldom that a run of some thousand seeds may be without: a crash within the one operation that gives another
    /// member's checkpoint its name. Tests with these names hold that.
    pub fn of_members_rarely(self) -> bool {
        use Fault::*;
        matches!(self, OfferAbsent | OfferUnreported | OfferDamaged)
    }

    /// What the world of members injects besides.
    pub fn of_members_too(self) -> bool {
        use Fault::*;
        matches!(self, Kill | PowerCut | TornWrite | DiskStall | WallJump | WorkerPause)
            || matches!(self, WriteError | FlushError | ShortWrite | ReadError | BitRot)
    }

    /// A log has no clients, no clock and no orderly end.
    pub fn of_the_node_alone(self) -> bool {
        use Fault::*;
        matches!(
            self,
            Stop | ConnectionBroken
                | BytesLost
                | HalfClose
                | SingleBytes
                | PartialSend
                | SendStall
                | WallJump
                | WorkerPause
        )
    }
}

#[derive(Clone, Debug)]
pub struct Fired([u64; Fault::ALL.len()]);

impl Default for Fired {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Fired {
    pub fn add(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub fn count(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub fn merge(&mut self, other: &Fired) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}
