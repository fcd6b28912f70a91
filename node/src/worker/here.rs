//! What is answered at the connection, without asking a shard: GET_MAP, and STATUS and EXPLAIN of the node.

use seawall::message::route::{self, Owned};
use seawall::message::{Request, RequestMeta};
use seawall::position::Epoch;
use seawall::reply::{self, ReplyMeta};

use super::Worker;
use super::answer::encode_facts;
use super::route::home_of;
use crate::seam::ConnId;
use crate::shard::release::Fact;

impl Worker {
    pub(super) fn answer_here(&mut self, conn: ConnId, request: &RequestMeta, asked: &Request<'_>) {
        let meta = ReplyMeta { generation: self.generation(), ..ReplyMeta::to(request) };
        let mut bytes = Vec::new();
        match asked {
            Request::GetMap(get) if get.known == self.generation() => {
                reply::encode_map(&mut bytes, &meta, [])
            }
            Request::GetMap(_) => self.encode_map(&mut bytes, &meta),
            _ => encode_facts(&mut bytes, &meta, &self.node_facts()),
        }
        if let Some(out) = self.connections.output(conn) {
            out.extend_from_slice(&bytes);
        }
    }

    fn encode_map(&self, out: &mut Vec<u8>, meta: &ReplyMeta) {
        let told = self.map.as_ref().map(|map| route::told(map)).unwrap_or_default();
        let parts = told.iter().map(|(part, labels)| {
            // Without replicas the map says nothing of epochs; those of other workers' shards are not known here.
            let here = self.shards.iter().find(|shard| shard.id() == part.shard);
            let own = Epoch(here.map_or(0, |shard| shard.status().epoch));
            let epoch = if part.epoch == Epoch(0) { own } else { part.epoch };
            (Owned { epoch, ..*part }, &labels[..])
        });
        reply::encode_map(out, meta, parts);
    }

    fn node_facts(&self) -> Vec<Fact> {
        let capabilities = &self.config.capabilities;
        let told = |text: &str, what: &str| match text {
            "" => Err(format!("whoever started the node did not say {what}")),
            text => Ok(text.to_owned()),
        };
        let mut facts: Vec<Fact> = vec![
            ("node.lineage", Ok(self.config.lineage.to_string())),
            ("node.generation", Ok(self.generation().to_string())),
            ("node.workers", Ok(self.config.workers.to_string())),
            ("node.driver", told(&capabilities.driver, "which driver it runs")),
            ("node.durable_primitive", told(&capabilities.durable_primitive, "how writes become durable")),
            ("node.direct_io", Ok(capabilities.direct_io.to_string())),
            ("node.dev_mode", Ok(capabilities.dev.to_string())),
            ("node.stopping", Ok(self.stop.is_some().to_string())),
        ];
        let ranges = self.map.as_ref().map(|map| map.ranges()).unwrap_or_default();
        for range in ranges {
            let state = match self.shards.iter().find(|shard| shard.id() == range.shard) {
                Some(shard) => Ok(format!("{}: {}", range.shard, shard.status().state)),
                None => {
                    let home = home_of(range.shard, self.config.workers).0;
                    Err(format!("shard {} is worker {home}'s: ask for the STATUS of the shard", range.shard))
                }
            };
            facts.push(("node.shard", state));
        }
        facts
    }
}
