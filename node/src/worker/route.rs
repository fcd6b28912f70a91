//! Which shard and which worker a request belongs to.
//!
//! The order of refusals: generation, then the shard named by the client. Then the request goes to its shard, or as
//! a letter to the worker that has it.

use seawall::address::{DEFAULT_NAMESPACE, partition_hash};
use seawall::map::{Generation, ShardId};
use seawall::message::report::Subject;
use seawall::message::watch::{AckRequest, CancelRequest, CreditRequest, Scope, SubscribeRequest};
use seawall::message::{CommitManyRequest, Opcode, Request, RequestMeta};
use seawall::refusal::Refusal;

use super::{ReplyTo, Worker};
use crate::params::{MAILBOX, RETRY_QUEUE_MS, RETRY_RECOVERY_MS};
use crate::seam::{ConnId, Effect, Effects, Letter, Now, WorkerId};
use crate::shard::{self, Asked, Sent, TOGETHER};

/// Shard `n` of a node lives on worker `n - 1`: one shard per worker, for as long as the map is fixed.
pub fn home_of(shard: ShardId, workers: u16) -> WorkerId {
    let n = (shard.0 - 1) % u32::from(workers);
    WorkerId(u16::try_from(n).expect("smaller than the number of workers"))
}

impl Worker {
    pub(super) fn route(
        &mut self,
        now: Now,
        conn: ConnId,
        meta: RequestMeta,
        request: Request<'_>,
        sent: Sent<'_>,
    ) {
        if let Request::CommitMany(many) = request {
            return self.route_each(now, conn, meta, &many);
        }
        let shard = match self.target(conn, &meta, &request) {
            Ok(Target::Shard(shard)) => shard,
            Ok(Target::Here) => return self.answer_here(conn, &meta, &request),
            Err(refusal) => return self.refuse(conn, &meta, &refusal),
        };
        let noted = match request {
            Request::Subscribe(_) => self.connections.subscribed(conn, meta.correlation, shard),
            Request::Cancel(cancel) => {
                self.connections.unsubscribed(conn, cancel.subscription);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(refusal) = noted {
            return self.refuse(conn, &meta, &refusal);
        }
        let (here, home) = (self.config.id, home_of(shard, self.config.workers));
        if home == here {
            let to = ReplyTo::here(here, conn, meta);
            self.connections.asked(conn);
            return self.ask(now, shard, to, request, sent);
        }
        match self.peers.request(home, Letter::Request { conn, shard, frame: sent.to_frame(&meta) }) {
            Ok(()) => self.connections.asked(conn),
            Err(refusal) => {
                if let Request::Subscribe(_) = request {
                    self.connections.unsubscribed(conn, meta.correlation);
                }
                self.refuse(conn, &meta, &refusal);
            }
        }
    }

    /// COMMIT_MANY: each of its commits as if it had come in a frame of its own.
    fn route_each(&mut self, now: Now, conn: ConnId, meta: RequestMeta, many: &CommitManyRequest<'_>) {
        let mut ahead = many.payloads();
        for (nth, (payload, commit)) in (0u64..).zip(many.iter()) {
            if nth % TOGETHER as u64 == 0 {
                self.foresee_commits(ahead.by_ref().take(TOGETHER));
            }
            let correlation = meta.correlation.wrapping_add(nth);
            let meta = RequestMeta { correlation, opcode: Opcode::Commit as u16, ..meta };
            self.route(now, conn, meta, Request::Commit(commit), Sent::Among(payload));
        }
    }

    fn target(&self, conn: ConnId, meta: &RequestMeta, request: &Request<'_>) -> Result<Target, Refusal> {
        if self.stop.is_some() {
            return Err(Refusal::not_ready("stopping", RETRY_RECOVERY_MS));
        }
        let map = self.map.as_ref().ok_or_else(|| Refusal::not_ready("without a map", RETRY_RECOVERY_MS))?;
        let (ours, theirs) = (map.generation(), meta.generation);
        if theirs != Generation::ANY && theirs < ours {
            return Err(Refusal::stale_generation(ours, theirs));
        }
        if theirs > ours {
            return Err(Refusal::generation_ahead(ours, theirs, RETRY_RECOVERY_MS));
        }
        let named = |shard: ShardId| {
            let known = map.ranges().iter().any(|range| range.shard == shard);
            let all = || map.ranges().iter().map(|range| range.shard.0);
            let wrong = || Refusal::no_shard(all().min().unwrap_or(0), all().max().unwrap_or(0), shard.0);
            known.then_some(Target::Shard(shard)).ok_or_else(wrong)
        };
        let shard = match request {
            Request::GetMap(_) | Request::Status(Subject::Node) | Request::Explain(Subject::Node) => {
                return Ok(Target::Here);
            }
            Request::Status(Subject::Shard(shard)) | Request::Explain(Subject::Shard(shard)) => {
                return named(*shard);
            }
            // Whose rows are declared is said by the frame: each shard keeps the declarations of its own log.
            Request::Declare(_) | Request::Describe(_) => match (meta.shard, map.ranges()) {
                (ShardId::ANY, [all]) => return named(all.shard),
                (shard, _) => return named(shard),
            },
            Request::Subscribe(SubscribeRequest { scope: Scope::Shard(shard), .. })
            | Request::AckCursor(AckRequest { scope: Scope::Shard(shard), .. }) => return named(*shard),
            Request::Credit(CreditRequest { subscription, .. })
            | Request::Cancel(CancelRequest { subscription }) => {
                let shard = self.connections.shard_of(conn, *subscription).map(Target::Shard);
                return shard.ok_or_else(|| shard::unknown_subscription(*subscription));
            }
            _ => match request.partition() {
                Some(partition) => match map.ranges() {
                    [all] => all.shard,
                    _ => map.shard_of(partition_hash(DEFAULT_NAMESPACE, partition)),
                },
                None => return Err(not_built(meta.opcode)),
            },
        };
        if meta.shard != ShardId::ANY && meta.shard != shard {
            let expected = format!("shard {}, which owns the partition", shard.0);
            return Err(Refusal::bad_frame("route.shard", expected, format!("shard {}", meta.shard.0)));
        }
        Ok(Target::Shard(shard))
    }

    pub(super) fn ask(
        &mut self,
        now: Now,
        shard: ShardId,
        to: ReplyTo,
        request: Request<'_>,
        sent: Sent<'_>,
    ) {
        let asked = Asked { to, namespace: DEFAULT_NAMESPACE, request, sent };
        self.shard(shard).request(now, asked);
    }

    /// Another worker forwards a request of its connection, or answers one of ours.
    pub(super) fn mail(&mut self, now: Now, from: WorkerId, letter: Letter) {
        match letter {
            Letter::Request { conn, shard, frame } => {
                self.foresight.took();
                let (meta, request) = shard::decode(&frame);
                let to = ReplyTo { worker: from, conn, request: meta };
                self.ask(now, shard, to, request, Sent::Frame(&frame));
            }
            Letter::Stream { conn, subscription, frame, last } => {
                self.streamed(from, conn, subscription, &frame, last);
            }
            Letter::StreamTaken { conn, subscription } => self.stream_taken(from, conn, subscription),
            Letter::Reply { conn, frame, ended } => {
                self.peers.answered(from);
                ended.into_iter().for_each(|ended| self.connections.unsubscribed(conn, ended));
                if let Some(out) = self.connections.reply(conn) {
                    out.extend_from_slice(&frame);
                }
            }
            Letter::Leaving => self.peers.left(from),
        }
    }
}

/// Where a request is answered.
enum Target {
    Shard(ShardId),
    /// At the connection: no shard has to be asked.
    Here,
}

/// What the node cannot do yet is refused before anything is looked at.
fn not_built(opcode: u16) -> Refusal {
    Refusal::unsupported("node.operation", "kind of request", u64::from(opcode))
}

/// The other workers: what is under way at each, and letters that leave at the end of the turn.
#[derive(Debug)]
pub(super) struct Peers {
    under_way: Vec<usize>,
    letters: Vec<(WorkerId, Letter)>,
    me: WorkerId,
    leaving: bool,
    /// Who said that it leaves, oneself included.
    left: Vec<bool>,
}

impl Peers {
    pub(super) fn new(me: WorkerId, workers: u16) -> Self {
        let n = usize::from(workers);
        Self { under_way: vec![0; n], letters: Vec::new(), me, leaving: false, left: vec![false; n] }
    }

    pub(super) fn request(&mut self, to: WorkerId, letter: Letter) -> Result<(), Refusal> {
        let under_way = &mut self.under_way[usize::from(to.0)];
        if *under_way >= MAILBOX {
            return Err(Refusal::throttled("the mailbox of the shard's worker", MAILBOX, RETRY_QUEUE_MS));
        }
        *under_way += 1;
        self.letters.push((to, letter));
        Ok(())
    }

    fn answered(&mut self, by: WorkerId) {
        self.under_way[usize::from(by.0)] -= 1;
    }

    pub(super) fn reply(&mut self, to: WorkerId, letter: Letter) {
        self.letters.push((to, letter));
    }

    pub(super) fn post(&mut self, effects: &mut Effects) {
        effects.extend(self.letters.drain(..).map(|(to, letter)| Effect::Mail { to, letter }));
    }

    /// Says once to every other worker that nothing more comes, as soon as nothing is under way there.
    pub(super) fn leave(&mut self) {
        if self.leaving || self.under_way.iter().any(|n| *n > 0) {
            return;
        }
        self.leaving = true;
        self.left(self.me);
        let workers = (0u16..).map(WorkerId).take(self.left.len());
        let others = workers.filter(|worker| *worker != self.me);
        self.letters.extend(others.map(|worker| (worker, Letter::Leaving)));
    }

    fn left(&mut self, worker: WorkerId) {
        self.left[usize::from(worker.0)] = true;
    }

    /// Nobody will ask anybody for anything any more.
    pub(super) fn all_left(&self) -> bool {
        self.left.iter().all(|left| *left)
    }
}
