//! Bugs that are planted on purpose. The product has no hooks for them: `planted` copies the sources, puts each of
//! these into the copy, switched on by an environment variable, and the simulator must find every one.

mod members;
mod scripted;

use crate::plan::Plan;
pub use scripted::SCRIPTED;

/// One bug: in `file`, `find`, which stands there exactly once, becomes `replace`. There, `PLANTED` is an expression
/// that is true when this bug is switched on.
pub struct Plant {
    pub name: &'static str,
    /// Each of these plans must find it.
    pub plans: &'static [Plan],
    /// What is said of it: what is found has these words in it.
    pub verdict: &'static str,
    pub file: &'static str,
    pub find: &'static str,
    pub replace: &'static str,
}

/// A bug that worlds come to too seldom, and the test that plays what it breaks by hand.
pub struct Scripted {
    pub plant: Plant,
    pub test: Test,
}

/// Which one, as cargo is told.
#[derive(Debug)]
pub struct Test {
    pub package: &'static str,
    pub target: &'static str,
    pub name: &'static str,
}

const SLICE: &[Plan] = &[Plan::Slice];
const SHARD: &[Plan] = &[Plan::Shard];
const LOG: &[Plan] = &[Plan::Log];
const BOTH: &[Plan] = &[Plan::Slice, Plan::Log];

/// Every one.
pub fn all() -> impl Iterator<Item = &'static Plant> {
    PLANTS.iter().chain(members::MEMBERS).chain(SCRIPTED.iter().map(|scripted| &scripted.plant))
}

const PLANTS: &[Plant] = &[
    Plant {
        name: "skip-the-flush",
        plans: BOTH,
        verdict: "",
        file: "tests/src/disk/mod.rs",
        find: r#"file.flush(flushing.expect("a good write is flushed"), own);"#,
        replace: r#"if !PLANTED { file.flush(flushing.expect("a good write is flushed"), own); }"#,
    },
    Plant {
        name: "acknowledge-the-newest-completion",
        plans: BOTH,
        verdict: "",
        file: "wal/src/log/mod.rs",
        find: "pub fn durable(&self) -> Index {",
        replace: "pub fn durable(&self) -> Index {
        if PLANTED && let Some(newest) = self.in_flight.iter().rfind(|f| f.landed) { return newest.last; }",
    },
    Plant {
        name: "take-a-short-write-for-a-whole-one",
        plans: BOTH,
        verdict: "",
        file: "wal/src/log/mod.rs",
        find: "Ok(moved) if moved == asked => Ok(()),",
        replace: "Ok(moved) if moved == asked || PLANTED => Ok(()),",
    },
    Plant {
        name: "take-an-error-for-a-success",
        plans: BOTH,
        verdict: "",
        file: "wal/src/log/mod.rs",
        find: "Err(error) => Err(Cause::Error(error)),\n    }",
        replace: "Err(_) if PLANTED => Ok(()),\n        Err(error) => Err(Cause::Error(error)),\n    }",
    },
    Plant {
        name: "release-an-uncommitted-row",
        plans: SLICE,
        verdict: "",
        file: "node/src/shard/read.rs",
        find: "self.answer_read(asked, until, Answer::Row { position, row: look.row });",
        replace: "let until = if PLANTED && look.row.is_some() { seawall_wal::Index(0) } else { until };
        self.answer_read(asked, until, Answer::Row { position, row: look.row });",
    },
    Plant {
        name: "release-an-uncommitted-deletion",
        plans: SLICE,
        verdict: "",
        file: "node/src/shard/read.rs",
        find: "let (until, position) = self.rests_on(look.changed);",
        replace: "let mut look = look;
        if PLANTED && look.row.is_none() { look.changed = None; }
        let (until, position) = self.rests_on(look.changed);",
    },
    Plant {
        name: "forget-deletions-before-they-are-committed",
        plans: SLICE,
        verdict: "",
        file: "node/src/shard/state/table.rs",
        find: "        if value.is_none() {
            self.entomb(key, version);
        }
        old",
        replace: "        match value {
            None if PLANTED => self.forget(key, version.index),
            None => self.entomb(key, version),
            Some(_) => {}
        }
        old",
    },
    Plant {
        name: "believe-what-can-be-read",
        plans: BOTH,
        verdict: "",
        file: "wal/src/recover/settle.rs",
        find: "if at < end {\n            let slot = walk.segment.slot;",
        replace: "if at < end && !PLANTED {\n            let slot = walk.segment.slot;",
    },
    Plant {
        name: "continue-the-epoch",
        plans: BOTH,
        verdict: "",
        file: "wal/src/recover/settle.rs",
        find: "let epoch = Epoch(self.meta.epoch.max(self.report.found_epoch).0 + 1);",
        replace: "let epoch = self.meta.epoch.max(self.report.found_epoch);
        let epoch = Epoch(epoch.0 + u64::from(epoch.0 == 0 || !PLANTED));",
    },
    Plant {
        name: "roll-while-writes-are-under-way",
        plans: BOTH,
        verdict: "",
        file: "wal/src/log/mod.rs",
        find: "_ if self.in_flight.is_empty() => self.roll(now_us, out),",
        replace: "_ if self.in_flight.is_empty() || PLANTED => self.roll(now_us, out),",
    },
    Plant {
        name: "acknowledge-at-the-append",
        plans: SLICE,
        verdict: "",
        file: "node/src/shard/admit.rs",
        find: "Ok(index) => self.release.answer_on(members, asked.to, index, answer),",
        replace: "Ok(index) => {
                let index = if PLANTED { Index(0) } else { index };
                self.release.answer_on(members, asked.to, index, answer);
            }",
    },
    Plant {
        name: "stop-before-the-others-left",
        plans: SLICE,
        verdict: "",
        file: "node/src/worker/route.rs",
        find: "self.left.iter().all(|left| *left)",
        replace: "self.left.iter().all(|left| *left) || (self.leaving && PLANTED)",
    },
    Plant {
        name: "flush-again-after-an-error",
        plans: LOG,
        verdict: "",
        file: "tests/src/disk/mod.rs",
        find: "Err(IoError { step: IoStep::Flush, errno: EIO })",
        replace: r#"if PLANTED {
            file.flush(flushing.expect("the flush began"), own);
            return Ok(len);
        }
        Err(IoError { step: IoStep::Flush, errno: EIO })"#,
    },
    Plant {
        name: "truncate-in-the-middle-of-the-log",
        plans: LOG,
        verdict: "",
        file: "wal/src/recover/segments.rs",
        find: "Step::Broken(broken) if !walk.is_last() =>",
        replace: "Step::Broken(broken) if !walk.is_last() && !PLANTED =>",
    },
    Plant {
        name: "cut-below-what-a-later-batch-proves",
        plans: LOG,
        verdict: "",
        file: "wal/src/recover/verdict.rs",
        find: "&& through >= at.next.0",
        replace: "&& through >= at.next.0 && !PLANTED",
    },
    Plant {
        name: "believe-that-nothing-follows-a-fence",
        plans: LOG,
        verdict: "",
        file: "wal/src/recover/walk.rs",
        find: "self.accept(&batch, report, sink);",
        replace: "self.accept(&batch, report, sink);
        if PLANTED && batch.records().any(|(_, record)| record.kind == crate::Kind::Fence) {
            self.end = batch.next().offset;
            return Step::End;
        }",
    },
    Plant {
        name: "reuse-an-incarnation",
        plans: LOG,
        verdict: "",
        file: "wal/src/recover/settle.rs",
        find: "let next = (newest + 1).max(self.report.epoch.0 * PER_EPOCH + 1);",
        replace: "let next = if PLANTED { newest.max(1) } else { (newest + 1).max(self.report.epoch.0 * PER_EPOCH + 1) };",
    },
    Plant {
        name: "take-a-read-error-for-the-end",
        plans: LOG,
        verdict: "",
        file: "wal/src/recover/mod.rs",
        find: "Some(why) => Err(self.failed(why)),",
        replace: "Some(_) if PLANTED && matches!(self.phase, Phase::Walk(..)) => {
            self.advance(&Buffer::new(0, self.asked), out, sink)
        }
        Some(why) => Err(self.failed(why)),",
    },
    Plant {
        name: "fold-what-is-not-committed",
        plans: LOG,
        verdict: "",
        file: "wal/src/log/keep.rs",
        find: "fn fold(&mut self, id: IoId, committed: Index) -> Option<Io> {",
        replace: "fn fold(&mut self, id: IoId, committed: Index) -> Option<Io> {
        let committed = if PLANTED { Index(u64::MAX) } else { committed };",
    },
    Plant {
        name: "trust-a-corrupt-checkpoint",
        plans: LOG,
        verdict: "",
        file: "wal/src/recover/load.rs",
        find: "Err(fault) => {\n                sink(Replay::Base(",
        replace: "Err(_) if PLANTED => {
                let boundary = candidate.stream.boundary();
                self.report.last = boundary.cut.index;
                self.base = Some(Checkpoint { boundary, bytes: candidate.bytes });
                self.link(out)
            }
            Err(fault) => {
                sink(Replay::Base(",
    },
    Plant {
        name: "keep-one-checkpoint-twice",
        plans: LOG,
        verdict: "",
        file: "wal/src/log/keep.rs",
        find: "if self.newest().is_some_and(|last| last.id() == newest.id()) {",
        replace: "if !PLANTED && self.newest().is_some_and(|last| last.id() == newest.id()) {",
    },
    Plant {
        name: "let-a-covered-slot-go-too-early",
        plans: LOG,
        verdict: "",
        file: "wal/src/segments.rs",
        find: "if oldest.incarnation > covered ||",
        replace: "if oldest.incarnation.0 > covered.0 + 4 * u64::from(PLANTED) ||",
    },
    Plant {
        name: "forget-the-stored-rejection",
        plans: SHARD,
        verdict: "",
        file: "node/src/shard/admit.rs",
        find: "if let (Err(why), None) = (&verdict, &scoped) {",
        replace: "if let (Err(why), None) = (&verdict, &scoped.filter(|_| !PLANTED)) {",
    },
    Plant {
        name: "look-at-the-request-key-after-the-checks",
        plans: SHARD,
        verdict: "",
        file: "node/src/shard/admit.rs",
        find: "            && self.replay(asked.to, scoped, fingerprint, members)",
        replace: "            && (!PLANTED || {
                let time_us = match &mut self.life {
                    Life::Running(running) => running.time.at(now),
                    _ => 0,
                };
                Evaluation {
                    state: &self.state,
                    namespace: asked.namespace,
                    commit,
                    time_us,
                    at: Position::default(),
                    draft: &mut self.draft,
                    key: &mut self.scratch,
                    partition,
                    last: None,
                    seen: None,
                }
                .run()
                .is_ok()
            })
            && self.replay(asked.to, scoped, fingerprint, members)",
    },
    Plant {
        name: "expire-by-a-local-clock",
        plans: SHARD,
        verdict: "",
        file: "node/src/shard/expire.rs",
        find: "if !self.draft_expiry(stamp) ||",
        replace: "let clock = if PLANTED { now.wall_us } else { stamp.time_us };
            if !self.draft_expiry(Stamp { time_us: clock, ..stamp }) ||",
    },
    Plant {
        name: "answer-key-reused-from-what-is-not-committed",
        plans: SHARD,
        verdict: "",
        file: "node/src/shard/admit.rs",
        find: "self.refuse(to, Refusal::key_reused(fingerprint, sent), Some(at));",
        replace: "let refusal = Refusal::key_reused(fingerprint, sent);
                        match PLANTED {
                            true => self.release.answer(to, Index(0), Answer::refused(refusal.at(at))),
                            false => self.refuse(to, refusal, Some(at)),
                        }",
    },
    Plant {
        name: "forget-the-horizon-at-a-restart",
        plans: SHARD,
        verdict: "",
        file: "node/src/shard/recover.rs",
        find: "    for entry in replayed.record.entries() {",
        replace: "    for entry in replayed.record.entries().filter(|e| e.space != super::spaces::HORIZON || !PLANTED) {",
    },
    Plant {
        name: "replay-in-another-order",
        plans: SHARD,
        verdict: "",
        file: "node/src/shard/recover.rs",
        find: "        state.apply(entry.space, entry.key, entry.value, version);
    }
}",
        replace: "        let late = entry.space == super::spaces::ROWS && state.look(entry.space, entry.key).row.is_some();
        if !(late && PLANTED) { state.apply(entry.space, entry.key, entry.value, version); }
    }
}",
    },
    Plant {
        name: "let-a-scan-see-half-a-commit",
        plans: SHARD,
        verdict: "I2, a page is the rows of its position",
        file: "node/src/shard/scan.rs",
        find: "let Some(row) = at.share() else { return true };",
        replace: "let Some(row) = at.share() else { return true };
        if PLANTED && page.rows.last().is_some_and(|last| last.version == at.version) { return true; }",
    },
    Plant {
        name: "skip-one-index-update",
        plans: SHARD,
        verdict: "a commit is decided as the protocol says",
        file: "node/src/shard/table/mod.rs",
        find: "if let Some(new) = new {",
        replace: "if let Some(new) = new.filter(|_| !PLANTED || !version.index.0.is_multiple_of(7)) {",
    },
    Plant {
        name: "replay-an-outcome-before-it-is-durable",
        plans: SHARD,
        verdict: "R20, nothing speculative leaks",
        file: "node/src/shard/admit.rs",
        find: "self.release.answer_on(members, to, Index(at.index.0), answer);",
        replace: "let until = if PLANTED { Index(0) } else { Index(at.index.0) };
                        self.release.answer_on(members, to, until, answer);",
    },
    Plant {
        name: "judge-a-lease-by-its-removal-only",
        plans: SHARD,
        verdict: "a commit is decided as the protocol says",
        file: "node/src/shard/lease.rs",
        find: "        time_us < self.expires_us\n",
        replace: "        time_us < self.expires_us || PLANTED\n",
    },
    Plant {
        name: "skip-a-row-when-out-of-credit",
        plans: SHARD,
        verdict: "a stream tells exactly what the log holds",
        file: "node/src/shard/watch/mod.rs",
        find: "            if watcher.under_way || !self.has_news(now, watcher)",
        replace: "            if PLANTED && watcher.credit == 0 && watcher.next < self.release.committed() {
                watcher.next = Index(watcher.next.0 + 1);
            }
            if watcher.under_way || !self.has_news(now, watcher)",
    },
    Plant {
        name: "look-for-a-unique-key-before-the-commit-only",
        plans: SHARD,
        verdict: "a commit is decided as the protocol says",
        file: "node/src/shard/table/check.rs",
        find: "taken.get(&key)",
        replace: "taken.get(&key).filter(|_| !PLANTED)",
    },
    Plant {
        name: "begin-a-stream-ahead-of-the-log",
        plans: SHARD,
        verdict: "a stream tells exactly what the log holds",
        file: "node/src/shard/watch/mod.rs",
        find: "Begin::Token(token) => self.in_this_history(&token).map_err(none)?,",
        replace: "Begin::Token(token) if PLANTED => token.position,
            Begin::Token(token) => self.in_this_history(&token).map_err(none)?,",
    },
    Plant {
        name: "take-a-lost-token-for-one-of-the-future",
        plans: SHARD,
        verdict: "R21, what is said of a token is so",
        file: "node/src/shard/freshness.rs",
        find: "Some((_, first)) if *first <= at.index.0 => {",
        replace: "Some((_, first)) if *first <= at.index.0 && !PLANTED => {",
    },
    Plant {
        name: "refuse-a-declaration-for-what-is-not-durable",
        plans: SHARD,
        verdict: "a reply is one that the protocol allows",
        file: "node/src/shard/table/declare.rs",
        find: "names_row(broken, &address), newest)",
        replace: "names_row(broken, &address), newest.filter(|_| !PLANTED))",
    },
];
