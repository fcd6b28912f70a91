//! STATUS, EXPLAIN and TRACE: what this shard knows of itself, each fact known or unknown with the reason.
//!
//! What only the newest, uncommitted records would make true is not told as a fact (R20).

use seawall::message::Request;
use seawall::message::outcome::{Decision, StoredOutcome};
use seawall::message::report::Subject;
use seawall::message::request_key::RequestKey;
use seawall::position::Position;
use seawall_wal::{Follower, Index, Log, LogStats};

use super::freshness::epoch_of;
use super::keys::{Known, Scoped};
use super::release::{Answer, Fact};
use super::{Asked, Life, Shard, to_wal, watch};
use crate::seam::{Now, ScrubRound, ScrubStatus, ShardStatus};

impl Shard {
    /// The record at which the state of this replica stands, and what it holds, as one number (I7); `None` while it has
    /// no state that stands for a log.
    pub fn held(&self) -> Option<(Position, u64)> {
        let at = match &self.life {
            Life::Running(running) if running.epoch_start.is_some() => running.log.appended(),
            Life::Following(following) if following.halted.is_none() => following.held.applied(),
            _ => return None,
        };
        Some((epoch_of(self.state.epochs(), at), self.state.digest()))
    }

    pub fn status(&self) -> ShardStatus {
        let (state, reason, log) = match &self.life {
            Life::Recovering { .. } | Life::Deposed { .. } | Life::Reopening { .. } => {
                ("recovering", None, None)
            }
            Life::Following(following) => (self.state_of(following), following.reason(), None),
            Life::Running(running) => {
                let serves = running.serves(self.release.committed());
                let state = if serves { "serving" } else { "recovering" };
                (state, running.trouble(), Some(&running.log))
            }
            Life::Halted(report) => ("halted", Some(report.to_string()), None),
            Life::Failed { why, log } => ("failed", Some(why.clone()), Some(&**log)),
        };
        let stats = log.map_or_else(LogStats::default, Log::stats);
        let follower = match &self.life {
            Life::Following(following) => Some(&following.log),
            _ => None,
        };
        let checkpoint = follower.map_or_else(|| log.and_then(Log::checkpoint), Follower::checkpoint);
        ShardStatus {
            shard: self.id,
            state,
            reason,
            open: self.is_open(),
            full: log.is_some_and(|log| log.prepare_error().is_some()),
            epoch: log.map_or_else(|| self.recorded_epoch(), |log| log.epoch().0),
            durable: follower.map_or_else(|| log.map_or(0, |log| log.durable().0), |log| log.persisted().0),
            appended: follower.map_or_else(|| log.map_or(0, |log| log.appended().0), |log| log.received().0),
            rows: self.state.rows(),
            outcomes: self.state.outcomes().live(),
            commits: self.latency.seen(),
            memory: self.state.memory(),
            memory_limit: self.budget.memory_bytes,
            log_writes: stats.batches,
            log_bytes: stats.batch_bytes,
            checkpoint: checkpoint.map_or(0, |checkpoint| checkpoint.id().0),
            checkpoint_bytes: checkpoint.map_or(0, |checkpoint| checkpoint.bytes),
            scrub: self.scrub.status(self.budget.scrub_bytes_per_second),
            replication: self.replication(),
        }
    }

    /// Answers at once, also while the shard does not serve: nothing of it rests on an uncommitted record, but for
    /// the outcome of a request, which is waited for.
    pub(super) fn report(&mut self, now: Now, asked: &Asked<'_>) {
        let mut facts = self.status_facts(now);
        let mut until = Index(0);
        match asked.request {
            Request::Explain(_) => facts.extend(self.reasons(now)),
            Request::Trace(Subject::Request { partition, request_key }) => {
                let (mut traced, seen) = self.trace(asked, partition, request_key);
                // What was asked for comes first.
                std::mem::swap(&mut facts, &mut traced);
                facts.append(&mut traced);
                until = seen.map_or(until, |seen| to_wal(seen.index));
            }
            _ => {}
        }
        self.release.answer(asked.to, until, Answer::Report { facts });
    }

    fn status_facts(&self, now: Now) -> Vec<Fact> {
        let status = self.status();
        let known = |value: u64| Ok(value.to_string());
        let log = match &self.life {
            Life::Running(running) => Some(&running.log),
            Life::Failed { log, .. } => Some(&**log),
            _ => None,
        };
        let is_open = self.is_open();
        let of_log = |value: u64| if is_open { known(value) } else { Err(NOT_OPEN.into()) };
        let committed = self.release.committed().0;
        let rows = match status.state {
            "serving" if committed == status.appended => known(status.rows as u64),
            "serving" => Err(format!("records behind {committed} are not committed yet")),
            other => Err(format!("the shard is {other}")),
        };
        let staleness = self.staleness_ms(now).map(|ms| ms.to_string());
        vec![
            ("shard.id", Ok(self.id.to_string())),
            ("shard.state", Ok(status.state.to_owned())),
            ("shard.role", self.role()),
            ("shard.replicas", self.replicas()),
            ("shard.epoch", of_log(status.epoch)),
            ("shard.staleness_ms", staleness.ok_or_else(|| "it serves no reads".to_owned())),
            ("log.durable_index", of_log(status.durable)),
            ("log.committed_index", of_log(committed)),
            ("log.appended_index", of_log(status.appended)),
            (
                "log.oldest_in_memory",
                log.and_then(seawall_wal::Log::oldest_recent).map(|oldest| oldest.0.to_string()).ok_or_else(
                    || match log {
                        Some(_) => "nothing is in memory".to_owned(),
                        None => "only whoever leads counts it".to_owned(),
                    },
                ),
            ),
            ("checkpoint.index", of_log(status.checkpoint)),
            ("checkpoint.bytes", of_log(status.checkpoint_bytes)),
            ("scrub.state", Ok(scrub_state(&status.scrub))),
            ("scrub.rounds", known(status.scrub.rounds)),
            ("scrub.last", Ok(scrub_last(now, &status.scrub))),
            ("scrub.found", Ok(status.scrub.found.clone().unwrap_or_else(|| "nothing".to_owned()))),
            ("state.rows", rows),
            ("memory.limit_bytes", known(status.memory_limit)),
            ("memory.rows_bytes", known(status.memory.rows as u64)),
            ("memory.ttls_bytes", known(status.memory.ttls as u64)),
            ("memory.leases_bytes", known(status.memory.leases as u64)),
            ("memory.streams_bytes", known(status.memory.streams as u64)),
            ("memory.cursors_bytes", known(status.memory.cursors as u64)),
            ("memory.outcomes_bytes", known(status.memory.outcomes as u64)),
            ("memory.indexes_bytes", known(status.memory.indexes as u64)),
            ("watch.subscriptions", Ok(self.watchers.len().to_string())),
            ("watch.cursors", self.cursors_told()),
            ("reads.waiting", Ok(self.waiting.len().to_string())),
        ]
    }

    fn role(&self) -> Result<String, String> {
        match &self.life {
            Life::Running(_) => Ok("leader".to_owned()),
            Life::Following(_) => Ok("follower".to_owned()),
            _ => Err("it has none now".to_owned()),
        }
    }

    /// Of a leader, each member with how it stands: since when, how often it was greeted, how far it is, and why.
    fn replicas(&self) -> Result<String, String> {
        let running = match &self.life {
            Life::Running(running) => running,
            Life::Following(_) => return Ok(self.follows()),
            _ => return Err("the leader knows".to_owned()),
        };
        let Some(lead) = &running.lead else { return Ok("1".to_owned()) };
        let member = |(id, sent): (seawall::map::MemberId, &super::members::Sent)| {
            let required = if lead.leadership.set().requires(id) { "sync" } else { "async" };
            let (stage, attempts, at) = (sent.stage.name(), sent.attempts, sent.acknowledged().0);
            let behind = sent.told();
            let reason = sent.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
            format!(
                "member {id}: {required}, {stage} since {} us, greeted {attempts} times, at {at}{behind}{reason}",
                sent.since_us
            )
        };
        Ok(lead.members().map(member).collect::<Vec<_>>().join("; "))
    }

    /// Why it is as it is.
    fn reasons(&self, now: Now) -> Vec<Fact> {
        let status = self.status();
        let why = match (&self.life, status.state) {
            (_, "serving") => "the first record of its epoch is committed (R10)".to_owned(),
            (Life::Recovering { .. }, _) => "its log is being read".to_owned(),
            (Life::Running(_), _) => "the first record of its epoch is not committed yet (R10)".to_owned(),
            (Life::Halted(report), _) => {
                let rule = report.halt.as_ref().map_or("no rule was named", |halt| halt.rule);
                format!("recovery refused the log ({rule})")
            }
            (Life::Following(following), _) => {
                following.reason().unwrap_or_else(|| "it follows: ask the leader".to_owned())
            }
            (Life::Deposed { .. } | Life::Reopening { .. }, _) => {
                "it is taking another role (R10)".to_owned()
            }
            (Life::Failed { .. }, _) => "a write or flush failed, and only recovery goes on (R4)".to_owned(),
        };
        let trouble = status.reason.unwrap_or_else(|| "none".to_owned());
        let epochs = self.state.epochs().iter().map(|(epoch, first)| format!("{epoch} from {first}"));
        let epochs: Vec<String> = epochs.collect();
        vec![
            ("shard.why", Ok(why)),
            ("shard.trouble", Ok(trouble)),
            ("shard.staleness_proof", self.staleness_proof(now)),
            ("shard.epochs", if self.is_open() { Ok(epochs.join(", ")) } else { Err(NOT_OPEN.to_owned()) }),
            ("shard.proposals_parked", Ok(if self.parked.is_empty() { "no" } else { "yes" }.to_owned())),
        ]
    }

    /// What `shard.staleness_ms` rests on.
    fn staleness_proof(&self, now: Now) -> Result<String, String> {
        match (&self.life, self.staleness_ms(now)) {
            (Life::Running(running), Some(_)) if running.lead.is_none() => {
                Ok("one replica: nobody else can have committed anything".to_owned())
            }
            (Life::Running(_), Some(_)) => Ok("the lease promises of all who are required (R16)".to_owned()),
            (Life::Following(_), Some(_)) => Ok("the leader's echo of a probe (R22)".to_owned()),
            (Life::Following(following), None) if following.halted.is_none() => {
                Err("nothing was proven since the start".to_owned())
            }
            _ => Err("it serves no reads".to_owned()),
        }
    }

    /// Whether anything is known of what the log holds.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.life, Life::Running(_) | Life::Failed { .. } | Life::Following(_))
    }

    /// What became of one request, as far as its key is remembered, and the record that this rests on.
    fn trace(
        &mut self,
        asked: &Asked<'_>,
        partition: &[u8],
        key: RequestKey<'_>,
    ) -> (Vec<Fact>, Option<Position>) {
        if self.refuse_all().is_some() {
            let why = "the shard does not serve: what it remembers may not be committed";
            return (vec![("request.outcome", Err(why.to_owned()))], None);
        }
        let scoped = Scoped::new(asked.namespace, partition, key, &mut self.scratch);
        let (outcome, seen) = match scoped.look_up(&self.state, &mut self.scratch) {
            Known::Decided { at, stored } => {
                let outcome = StoredOutcome::decode(&stored).expect("an outcome that this node stored");
                let outcome = match outcome.decision {
                    Decision::Committed { .. } => "committed".to_owned(),
                    Decision::Rejected { why, .. } => format!("rejected: {why}"),
                    Decision::Aborted => "aborted by a RESOLVE".to_owned(),
                };
                (Ok((outcome, at)), Some(at))
            }
            Known::Expired { why, rests_on } => (Err(why.to_string()), Some(rests_on)),
            Known::Unseen { changed } => {
                (Err("the key was never seen here, and may yet arrive".to_owned()), changed)
            }
        };
        let facts = match outcome {
            Ok((outcome, at)) => {
                let mut facts =
                    vec![("request.outcome", Ok(outcome)), ("request.position", Ok(at.to_string()))];
                facts.extend(self.done_at(asked.namespace, partition, at));
                facts
            }
            Err(why) => TRACED.iter().map(|name| (*name, Err(why.clone()))).collect(),
        };
        (facts, seen)
    }

    /// When the record at `at` was made, and what it did to the rows of a partition and told of them.
    fn done_at(&self, namespace: &str, partition: &[u8], at: Position) -> [Fact; 3] {
        let told = match &self.life {
            Life::Running(running) => watch::told(&running.log, namespace, partition, to_wal(at.index)),
            _ => None,
        };
        let told = told.ok_or_else(|| {
            format!(
                "record {} is not in memory: `seawall log dump` shows it if its segment is kept",
                at.index.0
            )
        });
        let list = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        [
            ("request.time", told.as_ref().map(|told| told.time.clone()).map_err(Clone::clone)),
            ("request.rows", told.as_ref().map(|told| list(&told.rows)).map_err(Clone::clone)),
            ("request.events", told.as_ref().map(|told| list(&told.events)).map_err(Clone::clone)),
        ]
    }
}

const NOT_OPEN: &str = "the log is not open";

/// What a trace tells of a request.
const TRACED: [&str; 5] =
    ["request.outcome", "request.position", "request.time", "request.rows", "request.events"];

fn scrub_state(scrub: &ScrubStatus) -> String {
    match (&scrub.reading, &scrub.round) {
        _ if scrub.bytes_per_second == 0 => "it is off".to_owned(),
        (Some(file), Some(round)) => {
            format!("reads {file}, behind {} files, {} bytes", round.files, round.bytes)
        }
        (Some(file), None) => format!("reads {file}"),
        (None, Some(round)) => format!("is behind {} files, {} bytes", round.files, round.bytes),
        (None, None) => "waits for its next round".to_owned(),
    }
}

fn scrub_last(now: Now, scrub: &ScrubStatus) -> String {
    // That there was none is known, too.
    let Some(last) = &scrub.last else { return "no round has come to its end since the start".to_owned() };
    let ScrubRound { ended_us, files, bytes, rotten, unread, .. } = last;
    let seconds = now.mono_us.saturating_sub(*ended_us) / 1_000_000;
    format!("{files} files, {bytes} bytes, {rotten} rotten, {unread} unread, {seconds} s ago")
}
