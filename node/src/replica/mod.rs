//! What the members of a shard agree on, and who may lead it: R10 to R16 without bytes, rows or I/O. Time arrives as
//! microseconds of the member's own clock; what is to be persisted or said is returned.
//!
//! ```text
//! promise.rs     a member's word about epochs: what it meets, and what it must persist      R10, R11
//! grant.rs       a member's lease promise, on its own clock                                 R11, R16
//! sync_set.rs    whose validation a commit needs, also while that changes                   R13, R14
//! leadership.rs  a leader's account of its members: commit, lease, silence                  R13, R16, R24
//! candidacy.rs   the way to the leadership, step by step                                    R15
//! ```
//! `docs/replication.md` explains the protocol, and `model/` checks it. The names are the same in all three.

pub mod candidacy;
pub mod grant;
pub mod leadership;
pub mod promise;
pub mod sync_set;

pub use candidacy::{Candidacy, Kind, Loss, Own};
pub use grant::Grant;
pub use leadership::{Ack, Leadership};
pub use promise::{Heard, Incarnation, Promise};
pub use sync_set::SyncSet;
