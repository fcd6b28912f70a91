//! Bugs of members: each breaks one rule of R8 to R16.

use super::Plant;
use crate::plan::Plan;

const CLUSTER: &[Plan] = &[Plan::Cluster];

pub const MEMBERS: &[Plant] = &[
    Plant {
        name: "ship-before-the-flush",
        plans: CLUSTER,
        verdict: "",
        file: "wal/src/log/mod.rs",
        find: "self.tail.from(from, self.durable)",
        replace: "self.tail.from(from, if PLANTED { self.sealed } else { self.durable })",
    },
    Plant {
        name: "commit-without-the-whole-set",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/replica/leadership.rs",
        find: "let last = positions.fold(durable, Index::min);",
        replace: "let last = if PLANTED { positions.fold(Index(0), Index::max).min(durable) } else {
            positions.fold(durable, Index::min)
        };",
    },
    Plant {
        name: "adopt-an-epoch-without-persisting-it",
        plans: CLUSTER,
        verdict: "",
        file: "wal/src/log/remember.rs",
        find: "        self.wishes = Wish(self.wishes.0 + 1);",
        replace: "        self.wishes = Wish(self.wishes.0 + 1);
        if PLANTED {
            self.durable = Meta { sequence: self.durable.sequence, ..self.wanted };
            self.granted = self.wishes;
        }",
    },
    Plant {
        name: "publish-members-that-are-not-proven",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/replica/candidacy.rs",
        find: "filter(|(_, fenced)| fenced.agrees == self.own.last)",
        replace: "filter(|(_, fenced)| PLANTED || fenced.agrees == self.own.last)",
    },
    Plant {
        name: "lease-from-one-member",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/replica/leadership.rs",
        find: "let promised = self.members.get(&member).map_or(0, |known| known.promised_until_us);",
        replace: "let promised = self.members.get(&member).map_or(0, |known| known.promised_until_us);
            if PLANTED && promised <= now_us { continue; }",
    },
    Plant {
        name: "serve-after-the-lease-ran-out",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/replica/leadership.rs",
        find: "if promised <= now_us {",
        replace: "if promised <= now_us && !PLANTED {",
    },
    Plant {
        name: "let-a-member-in-before-it-is-level",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/replica/leadership.rs",
        find: "self.validated(member) >= last",
        replace: "PLANTED || self.validated(member) >= last",
    },
    Plant {
        name: "apply-above-the-committed-index",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/shard/members/follow.rs",
        find: "following.held.apply(committed, &mut self.state);",
        replace: "following.held.apply(if PLANTED { following.log.validated() } else { committed }, &mut self.state);",
    },
    Plant {
        name: "answer-none-after-the-append",
        plans: CLUSTER,
        verdict: "a refusal with outcome none leaves nothing",
        file: "node/src/shard/members/lead.rs",
        find: "self.release.lose(|| Refusal::leadership_lost(ours, newer), elsewhere);",
        replace: "if PLANTED { self.release.lose(elsewhere, elsewhere); } else {
            self.release.lose(|| Refusal::leadership_lost(ours, newer), elsewhere);
        }",
    },
    Plant {
        name: "accept-a-lower-epoch",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/replica/promise.rs",
        find: "(std::cmp::Ordering::Less, _) => Heard::Fenced { promised: self.epoch },\n            (std::cmp::Ordering::Equal, Some(bound)) if",
        replace: "(std::cmp::Ordering::Less, _) if PLANTED => Heard::Known,
            (std::cmp::Ordering::Less, _) => Heard::Fenced { promised: self.epoch },
            (std::cmp::Ordering::Equal, Some(bound)) if",
    },
    Plant {
        name: "honour-a-token-by-its-index-alone",
        plans: CLUSTER,
        verdict: "R21",
        file: "node/src/shard/freshness.rs",
        find: "        _ if at == Position::default() => Verdict::Applied,",
        replace: "        _ if at == Position::default() || PLANTED && at.index <= committed.index => Verdict::Applied,",
    },
    Plant {
        name: "condemn-the-token-of-a-lagging-follower",
        plans: CLUSTER,
        verdict: "R21",
        file: "node/src/shard/freshness.rs",
        find: "        None => Verdict::Ahead,",
        replace: "        None if PLANTED => Verdict::Lost { fork: committed },
        None => Verdict::Ahead,",
    },
    Plant {
        name: "echo-before-the-first-commit",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/shard/members/prove.rs",
        find: "proven: leased && lead.leadership.serves(),",
        replace: "proven: leased && (PLANTED || lead.leadership.serves()),",
    },
    Plant {
        name: "take-an-echo-for-a-proof-before-its-index-is-applied",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/shard/members/proof.rs",
        find: "self.pending.pop_front_if(|(index, _)| *index <= applied)",
        replace: "self.pending.pop_front_if(|(index, _)| PLANTED || *index <= applied)",
    },
    Plant {
        name: "cut-to-the-commit-index",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/shard/members/greet.rs",
        find: "match following.log.cut_to(to_wal(agree_until)) {",
        replace: "match following.log.cut_to(if PLANTED { committed } else { to_wal(agree_until) }) {",
    },
    Plant {
        name: "read-only-the-checkpoint-again",
        plans: CLUSTER,
        verdict: "R2, what is kept is read again",
        file: "wal/src/log/keep.rs",
        find: ".or_else(|| Some(job(What::Segment(*next()?))))",
        replace: ".or_else(|| if PLANTED { None } else { Some(job(What::Segment(*next()?))) })",
    },
    Plant {
        name: "believe-a-map-that-is-told-late",
        plans: CLUSTER,
        verdict: "",
        file: "node/src/worker/mod.rs",
        find: "Event::MapChanged(map) if map.generation() <= self.generation() => {}",
        replace: "Event::MapChanged(map) if map.generation() <= self.generation() && !PLANTED => {}",
    },
    Plant {
        name: "forget-the-promise-at-a-restart",
        plans: CLUSTER,
        verdict: "",
        file: "wal/src/recover/role.rs",
        find: "let was = Meta { sequence, start, cleared, ..self.meta };",
        replace: "let was = Meta { sequence, start, cleared, ..self.meta };
        let was = if PLANTED { Meta { epoch: self.report.found_epoch, bound: None, ..was } } else { was };",
    },
    Plant {
        name: "reset-a-halt-at-a-restart",
        plans: CLUSTER,
        verdict: "R25",
        file: "wal/src/recover/ordered.rs",
        find: "match &self.meta.latch {",
        replace: "match self.meta.latch.as_ref().filter(|_| !PLANTED) {",
    },
    Plant {
        name: "convict-a-follower-by-what-its-leader-flushed",
        plans: CLUSTER,
        verdict: "I4",
        file: "wal/src/recover/verdict.rs",
        find: "if let (None, Some((through, place))) = (window, evidence.flushed)",
        replace: "if let (None, Some((through, place))) = (window.filter(|_| !PLANTED), evidence.flushed)",
    },
];
