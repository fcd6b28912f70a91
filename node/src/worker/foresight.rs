//! Looking ahead: see `shard/state/near.rs` for what it is good for. The shard that will be asked does not change, nor
//! does any answer.

use std::sync::Arc;

use seawall::address::DEFAULT_NAMESPACE;
use seawall::frame::Frame;
use seawall::glance::{self, Glance};
use seawall::map::{Map, ShardId};

use super::Worker;
use crate::seam::{Event, Letter};
use crate::shard::{Coming, Shard, TOGETHER};

#[derive(Debug, Default)]
pub(super) struct Foresight {
    /// So many of the requests that come next were looked at.
    left: usize,
    coming: Vec<(ShardId, Coming)>,
    key: Vec<u8>,
}

impl Worker {
    /// What the first of these events, and those behind it, will ask for. To be called before each of them is stepped.
    pub fn foresee(&mut self, events: &[Event]) {
        let asks = |event: &Event| matches!(event, Event::Received { .. } | Event::Mail { .. });
        if self.foresight.left > 0 || !events.first().is_some_and(asks) {
            return;
        }
        let Self { foresight, connections, map, shards, .. } = self;
        // Of a crowd of halves of requests, too, only so many are looked at.
        let bytes = events.iter().take(TOGETHER).filter_map(|event| match event {
            Event::Received { conn, buf, result: Ok(moved) } => connections.untaken(*conn, buf, *moved),
            Event::Mail { letter: Letter::Request { frame, .. }, .. } => Some(frame),
            _ => None,
        });
        foresight.look_at_frames(bytes.flat_map(glance::frames), map.as_ref(), shards);
    }

    /// The requests at the front of these bytes come next.
    pub(super) fn foresee_frames(&mut self, bytes: &[u8]) {
        if self.foresight.left == 0 {
            self.foresight.look_at_frames(glance::frames(bytes), self.map.as_ref(), &self.shards);
        }
    }

    /// The commits with these payloads come next.
    pub(super) fn foresee_commits<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) {
        self.foresight.look_at(payloads.filter_map(glance::of_commit), self.map.as_ref(), &self.shards);
    }
}

impl Foresight {
    /// One of the requests that were looked at is taken.
    pub(super) fn took(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// One request alone waits as long as it would without.
    fn look_at_frames<'a>(
        &mut self,
        frames: impl Iterator<Item = Frame<'a>> + Clone,
        map: Option<&Arc<Map>>,
        shards: &[Shard],
    ) {
        let frames = frames.take(TOGETHER);
        self.left = frames.clone().count();
        if self.left > 1 {
            self.look_at(frames.filter_map(|frame| glance::of_request(&frame)), map, shards);
        }
    }

    fn look_at<'a>(
        &mut self,
        glances: impl Iterator<Item = Glance<'a>>,
        map: Option<&Arc<Map>>,
        shards: &[Shard],
    ) {
        let Some(map) = map else { return };
        let Self { coming, key, .. } = self;
        coming.clear();
        coming.extend(glances.map(|glance| {
            let (hash, coming) = Coming::of(DEFAULT_NAMESPACE, &glance, key);
            (map.shard_of(hash), coming)
        }));
        for shard in shards {
            shard.bring_near(coming.iter().filter(|(of, _)| *of == shard.id()).map(|(_, coming)| coming));
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall::map::Generation;
    use seawall::session::ClientSession;
    use seawall::{Commit, Key, row};

    use super::*;

    /// So many COMMITs, one behind the other, each of a partition of its own.
    fn commits(n: usize) -> Vec<u8> {
        let (mut session, mut bytes) = (ClientSession::new(), Vec::new());
        for nth in 0..n {
            let commit = Commit::new(format!("p{nth}").as_str()).put(&row("t", "r"), [("f", 1)]);
            session.commit(&mut bytes, &commit, 0).expect("a good commit");
        }
        bytes
    }

    fn seen(bytes: &[u8], map: Option<&Arc<Map>>) -> Foresight {
        let mut foresight = Foresight::default();
        foresight.look_at_frames(glance::frames(bytes), map, &[]);
        foresight
    }

    #[test]
    fn it_sees_what_is_there_and_whose_it_is() {
        let map = Arc::new(Map::even(Generation(1), 4));
        let bytes = commits(5);
        let foresight = seen(&bytes[..bytes.len() - 1], Some(&map));
        assert_eq!((foresight.left, foresight.coming.len()), (4, 4), "half a request is none");
        for (nth, (of, _)) in foresight.coming.iter().enumerate() {
            let partition = Key::from(format!("p{nth}").as_str());
            let hash = seawall::address::partition_hash(DEFAULT_NAMESPACE, partition.as_bytes());
            assert_eq!(*of, map.shard_of(hash));
        }
    }

    #[test]
    fn it_looks_at_some_and_not_at_one_alone() {
        let map = Arc::new(Map::even(Generation(1), 1));
        let far = seen(&commits(TOGETHER + 3), Some(&map));
        assert_eq!((far.left, far.coming.len()), (TOGETHER, TOGETHER));
        let alone = seen(&commits(1), Some(&map));
        assert_eq!((alone.left, alone.coming.len()), (1, 0), "it would not be any faster");
        let without_a_map = seen(&commits(3), None);
        assert_eq!((without_a_map.left, without_a_map.coming.len()), (3, 0));
    }
}
