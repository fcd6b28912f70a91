//! One call, from its first attempt to what its caller is told.

use std::time::Duration;

use super::Instant;
use super::answer::{Failure, Result, unexpected};
use super::ask::Request;
use super::line::Line;
use super::retry::{Attempts, Repeat};
use super::state::State;
use crate::message::HelloRequest;
use crate::reply::Body;

/// A node that is there answers HELLO at once.
const GREETING: Duration = Duration::from_secs(1);

/// What a call wants of the world next. Whoever drives it does that, tells how it went, and asks again.
pub(crate) enum Want<'a, S, T> {
    /// Whether the node has not hung up, as far as can be seen without asking it: [`Call::probed`]. A commit that is
    /// sent into a connection that ended long ago would be unknown for no reason.
    Probe(&'a S),
    /// A socket that is connected to this address, before the deadline: [`Call::dialled`].
    Dial(&'a str),
    /// What is in the line sent, and one reply received, before the deadline: [`Call::exchanged`].
    Exchange(&'a mut Line<S>),
    /// That it is later than this: [`Call::rested`].
    Rest(Instant),
    /// Nothing: this is the end.
    End(Result<T>),
}

/// A call under way: it tries until it is done, or may not be repeated, or time or attempts run out; what it ends with
/// is the end of the last attempt.
///
/// The connection is in the call while something is under way over it. So a call that is given up halfway takes its
/// connection along, and with it an answer that comes too late: no other call can take that for its own.
pub(crate) struct Call<'c, S, R: Request> {
    client: &'c mut State<S>,
    request: R,
    attempts: Attempts,
    phase: Phase<S, R::Answer>,
}

enum Phase<S, A> {
    Probe(Line<S>),
    Dial,
    Hello(Line<S>, u64),
    Ask(Line<S>, u64),
    Rest(Instant),
    Ended(std::result::Result<A, Failure>),
}

impl<'c, S, R: Request> Call<'c, S, R> {
    pub(crate) fn begin(client: &'c mut State<S>, request: R, now: Instant) -> Call<'c, S, R> {
        let attempts = Attempts::begin(&client.options, now);
        let phase = Phase::begin(client);
        Call { client, request, attempts, phase }
    }

    /// How long to wait for what it wants now. A client that knows several nodes leaves one that says nothing while
    /// there is time for the others, unless that would leave unknown what it may not repeat.
    pub(crate) fn until(&self, now: Instant) -> Instant {
        let deadline = self.deadline();
        let Some(share) = self.client.share() else { return deadline };
        match &self.phase {
            Phase::Dial | Phase::Hello(..) => deadline.min(now + share.min(GREETING)),
            Phase::Ask(..) if !matches!(self.request.repeat(), Repeat::IfNotDone) => {
                deadline.min(now + share)
            }
            Phase::Ask(..) | Phase::Probe(_) | Phase::Rest(_) | Phase::Ended(_) => deadline,
        }
    }

    /// When it ends, however it stands then.
    fn deadline(&self) -> Instant {
        self.attempts.deadline()
    }

    pub(crate) fn want(&mut self) -> Want<'_, S, R::End> {
        match self.take() {
            Phase::Ended(answered) => return Want::End(self.end(answered)),
            phase => self.phase = phase,
        }
        match &mut self.phase {
            Phase::Probe(line) => Want::Probe(line.socket()),
            Phase::Dial | Phase::Ended(_) => Want::Dial(&self.client.address),
            Phase::Hello(line, _) | Phase::Ask(line, _) => Want::Exchange(line),
            Phase::Rest(until) => Want::Rest(*until),
        }
    }

    fn end(&mut self, answered: std::result::Result<R::Answer, Failure>) -> Result<R::End> {
        if let Some(token) = answered.as_ref().ok().and_then(|answer| self.request.token(answer)) {
            self.client.saw(token);
        }
        self.request.end(answered, &self.client.address)
    }

    pub(crate) fn probed(&mut self, alive: bool, now: Instant) {
        if let Phase::Probe(line) = self.take()
            && alive
        {
            self.ask(line, now);
        }
    }

    pub(crate) fn dialled(&mut self, dialled: std::io::Result<S>, now: Instant) {
        let mut line = match dialled {
            Ok(socket) => Line::new(socket, now),
            Err(error) => return self.failed(None, Failure::NotSent(error.to_string()), now),
        };
        let (options, ms) = (&self.client.options, self.left_ms(now));
        let hello = HelloRequest::new(&options.client_name, &options.identity);
        match line.push(|session, out| Ok(session.hello(out, &hello, ms))) {
            Ok(asked) => self.phase = Phase::Hello(line, asked),
            Err(failure) => self.failed(Some(line), failure, now),
        }
    }

    /// `exchanged` is false when no reply came in time.
    pub(crate) fn exchanged(&mut self, exchanged: std::result::Result<bool, Failure>, now: Instant) {
        let in_time = exchanged.and_then(|came| match came {
            true => Ok(()),
            false => Err(Failure::Lost("the deadline passed".to_owned())),
        });
        match self.take() {
            Phase::Hello(line, asked) => self.greeted(line, asked, in_time, now),
            Phase::Ask(line, asked) => self.answered(line, asked, in_time, now),
            phase => self.phase = phase,
        }
    }

    pub(crate) fn rested(&mut self) {
        self.phase = Phase::begin(self.client);
    }

    fn greeted(
        &mut self,
        mut line: Line<S>,
        asked: u64,
        in_time: std::result::Result<(), Failure>,
        now: Instant,
    ) {
        let welcome = in_time.and_then(|()| {
            let reply = line.reply_to(asked)?;
            if matches!(reply.body, Body::Hello(_)) { Ok(()) } else { Err(unexpected(&reply)) }
        });
        match welcome {
            Ok(()) => {
                line.greeted(now);
                self.ask(line, now);
            }
            // HELLO changes nothing: whatever goes wrong here, the request proper was not sent.
            Err(Failure::Lost(why)) => self.failed(Some(line), Failure::NotSent(why), now),
            Err(failure) => self.failed(Some(line), failure, now),
        }
    }

    fn ask(&mut self, mut line: Line<S>, now: Instant) {
        if let Some(answer) = self.request.greeted() {
            return self.answer(line, answer);
        }
        let (ms, now_us, request) = (self.left_ms(now), line.server_time_us(now), &mut self.request);
        match line.push(|session, out| request.write(session, out, ms, now_us)) {
            Ok(asked) => self.phase = Phase::Ask(line, asked),
            Err(failure) => self.failed(Some(line), failure, now),
        }
    }

    fn answered(
        &mut self,
        mut line: Line<S>,
        asked: u64,
        in_time: std::result::Result<(), Failure>,
        now: Instant,
    ) {
        let read = in_time.and_then(|()| line.reply_to(asked)).and_then(|reply| self.request.read(&reply));
        match read {
            Ok(answer) => self.answer(line, answer),
            Err(failure) => {
                let failure = self.request.failed(failure);
                self.failed(Some(line), failure, now);
            }
        }
    }

    fn answer(&mut self, line: Line<S>, answer: R::Answer) {
        self.client.line = Some(line);
        self.phase = Phase::Ended(Ok(answer));
    }

    /// The end of an attempt, and of the call unless it may try again.
    fn failed(&mut self, line: Option<Line<S>>, failure: Failure, now: Instant) {
        self.client.line = line.filter(|_| failure.leaves_connection());
        if let Some(leader) = failure.leader() {
            self.client.address = leader.to_owned();
            self.client.line = None;
        } else if failure.asks_another() && self.client.turn() {
            self.client.line = None;
        }
        let next = self.request.repeat().after(&failure, self.client.knows_others());
        let next = next.and_then(|at_least| self.attempts.next(now, at_least, &mut self.client.jitter));
        self.phase = next.map_or(Phase::Ended(Err(failure)), Phase::Rest);
    }

    /// The phase that ends here. Without another one it begins from the front, with a new connection.
    fn take(&mut self) -> Phase<S, R::Answer> {
        std::mem::replace(&mut self.phase, Phase::Dial)
    }

    fn left_ms(&self, now: Instant) -> u32 {
        ms(self.deadline().saturating_duration_since(now)).max(1)
    }
}

impl<S, A> Phase<S, A> {
    fn begin(client: &mut State<S>) -> Phase<S, A> {
        client.line.take().map_or(Phase::Dial, Phase::Probe)
    }
}

/// As requests say it.
pub(crate) fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
