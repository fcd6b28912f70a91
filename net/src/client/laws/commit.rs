//! The way of a commit: the key that it is sent under, the doubts on the way, and how it ends.

use super::answer::{Committed, Doubt, Error, Failure, Outcome, Unknown, committed};
use super::ask::Request;
use super::retry::Repeat;
use super::settle::{Numbers, SentKey};
use crate::message::{Commit, Opcode};
use crate::refusal::{self, Code, Refusal};
use crate::reply::Reply;
use crate::session::ClientSession;
use crate::token::Token;

/// A commit under way.
pub(crate) struct Sending<'a> {
    commit: &'a Commit,
    key: Option<SentKey>,
    /// The first attempt that may have done something: none that comes after it can prove that it did nothing.
    doubt: Option<Doubt>,
}

impl<'a> Sending<'a> {
    /// One that a node would read, under its own key, or under a number, if there are any.
    pub(crate) fn new(commit: &'a Commit, numbers: Option<&mut Numbers>) -> Result<Sending<'a>, Error> {
        commit.validate().map_err(|refusal| Error::Refused(Box::new(refusal)))?;
        let key = SentKey::of(commit).or_else(|| numbers.map(Numbers::next));
        Ok(Sending { commit, key, doubt: None })
    }
}

impl Request for Sending<'_> {
    type Answer = Committed;
    type End = Outcome;

    fn repeat(&self) -> Repeat {
        if self.key.is_some() { Repeat::UnderItsKey } else { Repeat::IfNotDone }
    }

    fn write(
        &mut self,
        session: &mut ClientSession,
        out: &mut Vec<u8>,
        deadline_ms: u32,
        now_us: i64,
    ) -> Result<u64, Refusal> {
        let key = self.key.as_mut().map(|key| key.first_sent_at(now_us));
        let commit = self.commit;
        session.ask(out, Opcode::Commit, deadline_ms, |payload| commit.encode_under(key.as_ref(), payload))
    }

    fn read(&self, reply: &Reply<'_>) -> Result<Committed, Failure> {
        committed(reply)
    }

    fn failed(&mut self, failure: Failure) -> Failure {
        let failure = failure.after_sending();
        self.doubt = self.doubt.take().or_else(|| failure.doubt());
        failure
    }

    fn token(&self, done: &Committed) -> Option<Token> {
        Some(done.token)
    }

    fn end(&mut self, answered: Result<Committed, Failure>, address: &str) -> Result<Outcome, Error> {
        let failure = match answered {
            Ok(done) => return Ok(Outcome::Committed(done)),
            Err(failure) => failure,
        };
        match (failure, self.doubt.take()) {
            (Failure::Refused(refusal), _) if refusal.outcome == refusal::Outcome::Rejected => {
                Ok(Outcome::Rejected(*refusal))
            }
            (_, Some(why)) => {
                let (partition, key) = (self.commit.partition().clone(), self.key.take());
                Ok(Outcome::Unknown(Unknown { partition, key, why }))
            }
            (failure, None) => Err(failure.into_error(address)),
        }
    }
}

/// Deciding again while somebody else is faster. A rejection is remembered under its key, so each try has a key of its
/// own.
pub(crate) struct Tries {
    nth: u32,
    most: u32,
}

impl Tries {
    pub(crate) fn new(most: u32) -> Tries {
        Tries { nth: 1, most }
    }

    /// The commit of this try.
    pub(crate) fn name(&self, commit: Commit) -> Commit {
        commit.attempt(self.nth)
    }

    /// How it ends; `None`: with another try.
    pub(crate) fn end(&mut self, outcome: Outcome) -> Option<Outcome> {
        match outcome {
            Outcome::Rejected(why) if why.code == Code::ConditionFailed && self.nth < self.most => {
                self.nth += 1;
                None
            }
            outcome => Some(outcome),
        }
    }
}
