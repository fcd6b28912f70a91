//! Refusals: one closed list of codes, and one constructor for each that can be reached, so that no reason is put
//! together where it happens and every hint says what to do next.

mod code;
mod decision;
mod detail;
mod route;
mod service;

use std::borrow::Cow;
use std::fmt;

pub use code::{Code, Outcome, Retry};
pub use detail::{Detail, Seen};

use crate::key::Key;
use crate::limits::REASON_TEXT_MAX;
use crate::message::read::Found;
use crate::message::request_key::RequestKey;
use crate::position::Position;
use crate::wire::{Malformed, Reader, put_sized};

/// A text of a reason: most are fixed, some were computed, some came over the wire.
pub type Text = Cow<'static, str>;

/// Why, in four texts for people. Programs decide by [`Code`] and [`Detail`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The rule that was broken, by its short name.
    pub rule: Text,
    /// What the rule wants.
    pub expected: Text,
    /// What was there.
    pub observed: Text,
    /// What to do next.
    pub hint: Text,
    /// What programs want to know beyond the code.
    pub detail: Detail,
}

/// A request was not done: refused, rejected, or its end is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub code: Code,
    /// What became of the request: [`Code::outcome`], but for a LOG_FAILED that met no appended record.
    pub outcome: Outcome,
    /// How long to wait before the next attempt, where one is allowed.
    pub retry_after_ms: u32,
    /// The position that the refusal rests on, if it looked at state.
    pub position: Option<Position>,
    /// Why; boxed, so that a `Result` with a refusal stays small.
    pub reason: Box<Reason>,
}

impl Refusal {
    /// What a client may do next.
    pub fn retry(&self) -> Retry {
        self.code.retry()
    }

    /// This refusal, resting on `position`.
    pub fn at(mut self, position: Position) -> Refusal {
        self.position = Some(position);
        self
    }

    fn new(
        code: Code,
        rule: &'static str,
        expected: impl Into<Text>,
        observed: impl Into<Text>,
        hint: impl Into<Text>,
    ) -> Refusal {
        let (expected, observed, hint) = (expected.into(), observed.into(), hint.into());
        let reason = Box::new(Reason { rule: rule.into(), expected, observed, hint, detail: Detail::None });
        Refusal { code, outcome: code.outcome(), retry_after_ms: 0, position: None, reason }
    }

    fn after(mut self, retry_after_ms: u32) -> Refusal {
        self.retry_after_ms = retry_after_ms;
        self
    }
}

/// On the wire and in stored outcomes.
impl Refusal {
    /// This refusal with the row that it is about, for a caller who asked to see it.
    pub fn showing(mut self, found: Option<Found<'_>>) -> Refusal {
        if let Detail::Check { row, .. } | Detail::Operation { row, .. } = &mut self.reason.detail {
            *row = found.map(Seen::from);
        }
        self
    }

    /// This refusal, naming what to RESOLVE if its outcome is unknown. `partition` are the bytes of a key that was
    /// checked.
    pub fn naming(self, partition: &[u8], request_key: Option<&RequestKey<'_>>) -> Refusal {
        match (Key::from_bytes(partition), request_key) {
            (Ok(partition), Some(request_key)) if self.outcome == Outcome::Unknown => {
                let mut key = Vec::new();
                RequestKey::encode(Some(request_key), &mut key);
                self.with(Detail::Request { partition, key })
            }
            _ => self,
        }
    }

    fn with(mut self, detail: Detail) -> Refusal {
        self.reason.detail = detail;
        self
    }

    pub(crate) fn encode_reason(&self, out: &mut Vec<u8>) {
        let Reason { rule, expected, observed, hint, detail } = &*self.reason;
        [rule, expected, observed, hint]
            .into_iter()
            .for_each(|text| put_sized(out, shorten(text).as_bytes()));
        detail.encode(out);
    }

    pub(crate) fn read_reason(reader: &mut Reader<'_>) -> Result<Box<Reason>, Malformed> {
        let mut text = || reader.text("reason", REASON_TEXT_MAX).map(|text| text.to_owned().into());
        let (rule, expected, observed, hint) = (text()?, text()?, text()?, text()?);
        Ok(Box::new(Reason { rule, expected, observed, hint, detail: Detail::read(reader)? }))
    }

    /// Appends a rejection as it is kept: its code and its reason.
    ///
    /// # Panics
    /// When it is no rejection: nothing else decides a request.
    pub(crate) fn encode_decision(&self, out: &mut Vec<u8>) {
        assert_eq!(self.outcome, Outcome::Rejected, "{self} decides nothing");
        out.extend_from_slice(&(self.code as u16).to_le_bytes());
        self.encode_reason(out);
    }

    /// The inverse of [`encode_decision`](Self::encode_decision).
    pub(crate) fn read_decision(reader: &mut Reader<'_>) -> Result<Refusal, Malformed> {
        let number = reader.u16()?;
        let code = Code::from_u16(number).filter(|code| code.outcome() == Outcome::Rejected);
        let code = code.ok_or(Malformed::Unknown { what: "code of a rejection", got: u64::from(number) })?;
        let reason = Refusal::read_reason(reader)?;
        Ok(Refusal { code, outcome: Outcome::Rejected, retry_after_ms: 0, position: None, reason })
    }
}

/// A reason is for people: what is too long for them is cut.
fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON_TEXT_MAX)).unwrap_or_default()
}

/// One line for a person: the code, what was wrong, what became of the request, what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { rule, expected, observed, hint, .. } = &*self.reason;
        write!(f, "{} ({rule}): expected {expected}, observed {observed}", self.code)?;
        if let Some(position) = self.position {
            write!(f, " at {position}")?;
        }
        match self.outcome {
            Outcome::None => write!(f, "; nothing was done")?,
            Outcome::Committed | Outcome::Rejected => {}
            Outcome::Unknown => write!(f, "; whether it was done is unknown")?,
        }
        // An expired key cannot be settled any more.
        if let (Detail::Request { partition, .. }, Some(key)) =
            (&self.reason.detail, self.reason.detail.request_key())
            && self.code != Code::KeyExpired
        {
            write!(f, "; RESOLVE key {} of partition {partition}", key.name)?;
        }
        if self.retry_after_ms > 0 {
            write!(f, "; retry after {} ms", self.retry_after_ms)?;
        }
        write!(f, "; {hint}")
    }
}

impl std::error::Error for Refusal {}
