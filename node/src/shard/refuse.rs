//! Why a shard does not serve at all.

use seawall::refusal::Refusal;

use super::members::Membership;
use super::{Life, Shard};
use crate::params::{RETRY_RECOVERY_MS, RETRY_SPACE_MS};

impl Shard {
    /// While the shard does not serve, nothing is looked at.
    pub(super) fn refuse_all(&self) -> Option<Refusal> {
        let recovering = || Refusal::not_ready("recovering", RETRY_RECOVERY_MS);
        match &self.life {
            Life::Running(running) if running.serves(self.release.committed()) => None,
            Life::Running(running) => Some(match running.log.prepare_error() {
                Some(error) => Refusal::disk_full(error.to_string(), RETRY_SPACE_MS),
                None => recovering(),
            }),
            Life::Following(following) => Some(match &following.halted {
                Some(why) => Refusal::replica_unsafe("R25", why.clone()),
                None => Refusal::not_leader(self.membership.as_ref().and_then(Membership::leader_address)),
            }),
            Life::Recovering { .. } | Life::Deposed { .. } | Life::Reopening { .. } => Some(recovering()),
            // F-RS1: another member of the cluster may be asked instead.
            Life::Halted(report) if self.membership.is_some() => {
                let (rule, why) = report.halt.as_ref().map_or(("R25", "halted".to_owned()), |halt| {
                    (halt.rule, format!("halted: {} at offset {}", halt.file, halt.offset))
                });
                Some(Refusal::replica_unsafe(rule, why))
            }
            Life::Halted(_) => Some(Refusal::not_ready("halted: its log cannot be believed", 0)),
            Life::Failed { why, .. } => Some(Refusal::log_failed(why.clone())),
        }
    }
}
