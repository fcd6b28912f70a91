//! Bugs that are planted on purpose. The product has no hooks for them: `planted` copies the sources, puts each of
//! these into the copy, switched on by an environment variable, and the simulator must find every one.

use crate::plan::Plan;

/// One bug: in `file`, `find`, which stands there exactly once, becomes `replace`. There, `PLANTED` is an expression
/// that is true when this bug is switched on.
pub struct Plant {
    pub name: &'static str,
    /// Each of these plans must find it.
    pub plans: &'static [Plan],
    pub file: &'static str,
    pub find: &'static str,
    pub replace: &'static str,
}

const SLICE: &[Plan] = &[Plan::Slice];
const SHARD: &[Plan] = &[Plan::Shard];
const LOG: &[Plan] = &[Plan::Log];
const BOTH: &[Plan] = &[Plan::Slice, Plan::Log];

pub const PLANTS: &[Plant] = &[
    Plant {
        name: "skip-the-flush",
        plans: BOTH,
        file: "tests/src/disk/mod.rs",
        find: r#"file.flush(flushing.expect("a good write is flushed"), own);"#,
        replace: r#"if !PLANTED { file.flush(flushing.expect("a good write is flushed"), own); }"#,
    },
    Plant {
        name: "acknowledge-the-newest-completion",
        plans: BOTH,
        file: "wal/src/log/mod.rs",
        find: "pub fn durable(&self) -> Index {",
        replace: "pub fn durable(&self) -> Index {
        if PLANTED && let Some(newest) = self.in_flight.iter().rfind(|f| f.landed) { return newest.last; }",
    },
    Plant {
        name: "take-a-short-write-for-a-whole-one",
        plans: BOTH,
        file: "wal/src/log/mod.rs",
        find: "Ok(moved) if moved == asked => Ok(()),",
        replace: "Ok(moved) if moved == asked || PLANTED => Ok(()),",
    },
    Plant {
        name: "take-an-error-for-a-success",
        plans: BOTH,
        file: "wal/src/log/mod.rs",
        find: "Err(error) => Err(Cause::Error(error)),\n    }",
        replace: "Err(_) if PLANTED => Ok(()),\n        Err(error) => Err(Cause::Error(error)),\n    }",
    },
    Plant {
        name: "release-an-uncommitted-row",
        plans: SLICE,
        file: "node/src/shard/read.rs",
        find: "self.release.answer(asked.to, until, Answer::Row { position: rests_on, row: look.row });",
        replace: "let until = if PLANTED && look.row.is_some() { Index(0) } else { until };
        self.release.answer(asked.to, until, Answer::Row { position: rests_on, row: look.row });",
    },
    Plant {
        name: "release-an-uncommitted-deletion",
        plans: SLICE,
        file: "node/src/shard/read.rs",
        find: "let committed = self.release.committed();",
        replace: "let committed = self.release.committed();
        let mut look = look;
        if PLANTED && look.row.is_none() { look.changed = None; }",
    },
    Plant {
        name: "forget-deletions-before-they-are-committed",
        plans: SLICE,
        file: "node/src/shard/state/table.rs",
        find: "self.tombstones.push_back((version.index, Arc::from(key)));",
        replace: "if PLANTED { self.entries.remove(key); } else {
            self.tombstones.push_back((version.index, Arc::from(key)));
            }",
    },
    Plant {
        name: "believe-what-can-be-read",
        plans: BOTH,
        file: "wal/src/recover/settle.rs",
        find: "if at < end {\n            let slot = walk.segment.slot;",
        replace: "if at < end && !PLANTED {\n            let slot = walk.segment.slot;",
    },
    Plant {
        name: "continue-the-epoch",
        plans: BOTH,
        file: "wal/src/recover/settle.rs",
        find: "let epoch = Epoch(self.meta.epoch.max(self.report.found_epoch).0 + 1);",
        replace: "let epoch = self.meta.epoch.max(self.report.found_epoch);
        let epoch = Epoch(epoch.0 + u64::from(epoch.0 == 0 || !PLANTED));",
    },
    Plant {
        name: "roll-while-writes-are-under-way",
        plans: BOTH,
        file: "wal/src/log/mod.rs",
        find: "_ if self.in_flight.is_empty() => self.roll(now_us, out),",
        replace: "_ if self.in_flight.is_empty() || PLANTED => self.roll(now_us, out),",
    },
    Plant {
        name: "acknowledge-at-the-append",
        plans: SLICE,
        file: "node/src/shard/admit.rs",
        find: "Ok(index) => self.release.answer(asked.to, index, answer),",
        replace: "Ok(index) => {
                let index = if PLANTED { Index(0) } else { index };
                self.release.answer(asked.to, index, answer);
            }",
    },
    Plant {
        name: "stop-before-the-others-left",
        plans: SLICE,
        file: "node/src/worker/route.rs",
        find: "self.left.iter().all(|left| *left)",
        replace: "self.left.iter().all(|left| *left) || (self.leaving && PLANTED)",
    },
    Plant {
        name: "flush-again-after-an-error",
        plans: LOG,
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
        file: "wal/src/recover/segments.rs",
        find: "Step::Broken(broken) if !walk.is_last() =>",
        replace: "Step::Broken(broken) if !walk.is_last() && !PLANTED =>",
    },
    Plant {
        name: "cut-below-what-a-later-batch-proves",
        plans: LOG,
        file: "wal/src/recover/verdict.rs",
        find: "&& through >= at.next.0",
        replace: "&& through >= at.next.0 && !PLANTED",
    },
    Plant {
        name: "believe-that-nothing-follows-a-fence",
        plans: LOG,
        file: "wal/src/recover/walk.rs",
        find: "self.accept(&batch, report, sink);",
        replace: "self.accept(&batch, report, sink);
        if PLANTED && batch.records().any(|(_, record)| record.kind == crate::Kind::Fence) {
            self.end = batch.next().offset;
            return Step::End;
        }",
    },
    Plant {
        name: "forget-a-recorded-cut",
        plans: LOG,
        file: "wal/src/recover/segments.rs",
        find: "(None, Some(cut)) if cut.incarnation == incarnation => cut.offset,",
        replace: "(None, Some(cut)) if cut.incarnation == incarnation && !PLANTED => cut.offset,",
    },
    Plant {
        name: "reuse-an-incarnation",
        plans: LOG,
        file: "wal/src/recover/settle.rs",
        find: "let next = (newest + 1).max(self.report.epoch.0 * PER_EPOCH + 1);",
        replace: "let next = if PLANTED { newest.max(1) } else { (newest + 1).max(self.report.epoch.0 * PER_EPOCH + 1) };",
    },
    Plant {
        name: "take-a-read-error-for-the-end",
        plans: LOG,
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
        file: "wal/src/log/keep.rs",
        find: "fn fold(&mut self, id: IoId, committed: Index) -> Option<Io> {",
        replace: "fn fold(&mut self, id: IoId, committed: Index) -> Option<Io> {
        let committed = if PLANTED { Index(u64::MAX) } else { committed };",
    },
    Plant {
        name: "trust-a-corrupt-checkpoint",
        plans: LOG,
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
        file: "wal/src/log/keep.rs",
        find: "if self.newest().is_some_and(|last| last.id() == newest.id()) {",
        replace: "if !PLANTED && self.newest().is_some_and(|last| last.id() == newest.id()) {",
    },
    Plant {
        name: "let-a-covered-slot-go-too-early",
        plans: LOG,
        file: "wal/src/segments.rs",
        find: "if oldest.incarnation > covered || oldest.last >= floor {",
        replace: "if oldest.incarnation.0 > covered.0 + 4 * u64::from(PLANTED) || oldest.last >= floor {",
    },
    Plant {
        name: "forget-the-stored-rejection",
        plans: SHARD,
        file: "node/src/shard/admit.rs",
        find: "if let (Err(why), None) = (&verdict, &scoped) {",
        replace: "if let (Err(why), None) = (&verdict, &scoped.filter(|_| !PLANTED)) {",
    },
    Plant {
        name: "look-at-the-request-key-after-the-checks",
        plans: SHARD,
        file: "node/src/shard/admit.rs",
        find: "            && self.replay(asked.to, scoped, commit.fingerprint())",
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
                    seen: None,
                }
                .run()
                .is_ok()
            })
            && self.replay(asked.to, scoped, commit.fingerprint())",
    },
    Plant {
        name: "expire-by-a-local-clock",
        plans: SHARD,
        file: "node/src/shard/expire.rs",
        find: "if !self.draft_expiry(stamp) ||",
        replace: "let clock = if PLANTED { now.wall_us } else { stamp.time_us };
            if !self.draft_expiry(Stamp { time_us: clock, ..stamp }) ||",
    },
    Plant {
        name: "answer-key-reused-from-what-is-not-committed",
        plans: SHARD,
        file: "node/src/shard/admit.rs",
        find: "self.refuse(to, Refusal::key_reused(fingerprint, sent), Some(at));",
        replace: "let refusal = Refusal::key_reused(fingerprint, sent);
                        match PLANTED {
                            true => self.release.answer(to, Index(0), Answer::Refused(refusal.at(at))),
                            false => self.refuse(to, refusal, Some(at)),
                        }",
    },
    Plant {
        name: "forget-the-horizon-at-a-restart",
        plans: SHARD,
        file: "node/src/shard/mod.rs",
        find: "    for entry in replayed.record.entries() {",
        replace: "    for entry in replayed.record.entries().filter(|e| e.space != spaces::HORIZON || !PLANTED) {",
    },
    Plant {
        name: "replay-in-another-order",
        plans: SHARD,
        file: "node/src/shard/mod.rs",
        find: "        state.apply(entry.space, entry.key, entry.value, version);
    }
}",
        replace: "        let late = entry.space == spaces::ROWS && state.look(entry.space, entry.key).row.is_some();
        if !(late && PLANTED) { state.apply(entry.space, entry.key, entry.value, version); }
    }
}",
    },
];
