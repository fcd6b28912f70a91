//! What a node is started with.

use std::path::PathBuf;

use seawall::map::MemberId;
use seawall_wal::LogLimits;
use seawall_wal::checkpoint::FoldPolicy;

use super::{Settings, settable};
use crate::driver::choice::{Kind, Receive};
use crate::driver::node::NodeConfig;
use crate::driver::probe::Durable;
use crate::params::{
    CHECKPOINT_SEGMENTS, CHECKPOINTS, LOG_BUFFER_BYTES, LOG_SEGMENT_BYTES, LOG_SMALL_SEGMENT_BYTES,
    LOG_WRITES, RECEIVE_BUFFERS,
};
use crate::service::Limits;
use crate::shard::{Budget, ReadProof};

impl Settings {
    /// A node with these settings.
    pub fn node(&self, dev: bool) -> NodeConfig {
        let address = |key| self.word(key).parse().expect("checked when it was set");
        NodeConfig {
            data: self.word("data").into(),
            listen: address("listen"),
            admin: address("admin.listen"),
            member: u32::try_from(self.number("member")).ok().filter(|member| *member > 0).map(MemberId),
            map: Some(self.word("map")).filter(|map| !map.is_empty()).map(PathBuf::from),
            peer_listen: address("peer_listen"),
            workers: u16::try_from(self.number("workers")).ok().filter(|workers| *workers > 0),
            driver: match self.word("driver") {
                "ring" => Some(Kind::Ring),
                "syscall" => Some(Kind::Syscall),
                _ => None,
            },
            durable: match self.word("durable") {
                "link" => Some(Durable::Link),
                "dsync" => Some(Durable::Dsync),
                _ => None,
            },
            receive: match self.word("receive") {
                "multishot" => Some(Receive::Multishot { buffers: RECEIVE_BUFFERS }),
                "one-shot" => Some(Receive::OneShot),
                _ => None,
            },
            log: self.log(),
            budget: Budget {
                memory_bytes: self.number("shard.memory_bytes"),
                request_keys: self.number("shard.request_keys"),
                scrub_bytes_per_second: self.number("scrub.bytes_per_second"),
                ..Budget::default()
            },
            read_proof: match self.word("read_proof") {
                "round_trip" => ReadProof::RoundTrip,
                _ => ReadProof::Lease,
            },
            connections: u32::try_from(self.number("connections.per_worker")).expect("its range is small"),
            service: Limits::of(self),
            shown: settable(self),
            dev,
        }
    }

    fn log(&self) -> LogLimits {
        let size = |key| usize::try_from(self.number(key)).expect("this machine has 64 bits");
        LogLimits {
            buffer_bytes: LOG_BUFFER_BYTES,
            batch_bytes: size("log.batch_bytes"),
            writes_in_flight: LOG_WRITES,
            small_slot_bytes: LOG_SMALL_SEGMENT_BYTES,
            slot_bytes: LOG_SEGMENT_BYTES,
            spares: size("log.spares"),
            fold: FoldPolicy {
                least_bytes: self.number("checkpoint.after_bytes"),
                most_segments: CHECKPOINT_SEGMENTS,
            },
            fold_changes: size("checkpoint.changes"),
            checkpoints: CHECKPOINTS,
            tail_bytes: size("log.tail_bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, Origin};
    use crate::params::PARAMETERS;

    #[test]
    fn by_default_everything_is_as_the_parts_have_it_and_on_loopback() {
        let node = Settings::default().node(true);
        assert_eq!((node.log, node.budget), (LogLimits::default(), Budget::default()));
        assert_eq!((node.workers, node.driver, node.durable), (None, None, None));
        assert!(node.listen.ip().is_loopback() && node.admin.ip().is_loopback());
    }

    /// The log asserts relations among its numbers; no setting in range may break them.
    #[test]
    fn the_edges_of_every_range_make_a_log() {
        for row in PARAMETERS {
            let Some(place) = row.place else { continue };
            for edge in [place.least, place.most] {
                let mut settings = Settings::default();
                settings
                    .set(place.key, &Given::Number(i128::from(edge)), Origin::File)
                    .expect("an edge is in range");
                let node = settings.node(false);
                assert!(!node.log.buffers().is_empty(), "{}", place.key);
            }
        }
    }
}
