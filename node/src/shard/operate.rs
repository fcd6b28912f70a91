//! The operations of a commit: each turns what is there into a full row image, a lease, a sequence or an event.

use std::borrow::Cow;
use std::collections::BTreeSet;

use seawall::limits::{ROW_FIELDS_MAX, ROW_MAX, SET_MEMBERS_MAX};
use seawall::message::assigned::Result as Assigned;
use seawall::message::op::Op;
use seawall::message::term::{Bound, RowAt, Ttl};
use seawall::number::{self, NoSum};
use seawall::position::Position;
use seawall::refusal::Refusal;
use seawall::value::{Members, ValueRef};
use seawall::{Value, key, row};

use super::evaluate::{Evaluation, borrowed, name, text};
use super::lease::Lease;
use super::spaces;

/// A rule of an operation that would be broken.
pub(super) struct Broken {
    rule: &'static str,
    expected: String,
    observed: String,
}

fn broken<T>(
    rule: &'static str,
    expected: impl Into<String>,
    observed: impl Into<String>,
) -> Result<T, Broken> {
    Err(Broken { rule, expected: expected.into(), observed: observed.into() })
}

/// A row that has none.
const NO_FIELDS: [u8; 2] = [0, 0];

fn one_field(name: &str, value: impl Into<Value>) -> Cow<'static, [u8]> {
    let mut bytes = Vec::with_capacity(name.len() + 32);
    row::encode_one(name, &value.into(), &mut bytes);
    Cow::Owned(bytes)
}

impl Evaluation<'_> {
    pub(super) fn operate(&mut self, nth: usize, op: &Op<'_>) -> Result<(), Refusal> {
        let done = match *op {
            Op::Put { at, row, ttl } => {
                let default = || self.state.tables().default_ttl(self.namespace, at.table);
                self.whole(at, Some(row), ttl.or_else(default));
                Ok(())
            }
            Op::Delete { at } => {
                self.whole(at, None, None);
                Ok(())
            }
            Op::Merge { at, fields } => self.change(at, |_| Ok(Cow::Borrowed(fields))),
            Op::Add { at, field, delta, floor, ceiling } => self.add(nth, at, field, &delta, floor, ceiling),
            Op::Max { at, field, value } => self.extreme(nth, at, field, value, std::cmp::Ordering::Less),
            Op::Min { at, field, value } => self.extreme(nth, at, field, value, std::cmp::Ordering::Greater),
            Op::SetAdd { at, field, members } => self.members(at, field, members, true),
            Op::SetRemove { at, field, members } => self.members(at, field, members, false),
            Op::Append { stream, row } => self.append(nth, stream, row),
            Op::LeaseAcquire { at, ttl } => return self.acquire(nth, at, ttl),
            Op::LeaseRenew { at, token, ttl } => return self.renew(nth, at, token, Some(ttl)),
            Op::LeaseRelease { at, token } => return self.renew(nth, at, token, None),
            Op::Event { topic, payload } => {
                self.event(nth, topic, payload);
                Ok(())
            }
        };
        done.map_err(|Broken { rule, expected, observed }| {
            let refusal = Refusal::constraint(nth, rule, expected, observed);
            match op {
                Op::Append { stream: at, .. } => self.showing(refusal, *at),
                _ => op.touches().map_or(refusal.clone(), |(at, _)| self.showing(refusal, at)),
            }
        })
    }

    /// Nothing else in the commit touches the row, so nothing of it is in the draft. A row put without a ttl lives
    /// for ever, whatever it was before.
    fn whole(&mut self, at: RowAt<'_>, row: Option<&[u8]>, ttl: Option<Ttl>) {
        self.address(at);
        self.draft.push(spaces::ROWS, self.key, row);
        match ttl {
            Some(ttl) => {
                let end = self.end(ttl).to_le_bytes();
                self.draft.push(spaces::TTLS, self.key, Some(&end));
            }
            None if self.state.at(spaces::TTLS, self.key).is_some_and(|at| at.bytes.is_some()) => {
                self.draft.push(spaces::TTLS, self.key, None);
            }
            None => {}
        }
    }

    fn end(&self, ttl: Ttl) -> i64 {
        let us = i64::try_from(ttl.ms()).unwrap_or(i64::MAX).saturating_mul(1000);
        self.time_us.saturating_add(us)
    }

    /// Sets fields of a row, which is made if it is not there. They come as an encoded row.
    fn change<'f>(
        &mut self,
        at: RowAt<'_>,
        fields: impl FnOnce(Option<&[u8]>) -> Result<Cow<'f, [u8]>, Broken>,
    ) -> Result<(), Broken> {
        let image = self.current(spaces::ROWS, at);
        let changes = fields(image.as_deref())?;
        self.draft.set_made(spaces::ROWS, self.key, |bytes| {
            let before = bytes.len();
            let fields = row::merge(image.as_deref().unwrap_or(&NO_FIELDS), &changes, bytes);
            let fields = fields.expect("checked when it came");
            if fields > ROW_FIELDS_MAX {
                return broken("row.fields", format!("at most {ROW_FIELDS_MAX}"), fields.to_string());
            }
            let size = bytes.len() - before;
            if size > ROW_MAX {
                return broken("row.size", format!("at most {ROW_MAX} bytes"), size.to_string());
            }
            Ok(())
        })
    }

    fn add(
        &mut self,
        nth: usize,
        at: RowAt<'_>,
        name: &str,
        delta: &ValueRef<'_>,
        floor: Option<Bound<'_>>,
        ceiling: Option<Bound<'_>>,
    ) -> Result<(), Broken> {
        let floor = floor.map(|bound| self.bound("add.floor", &bound)).transpose()?;
        let ceiling = ceiling.map(|bound| self.bound("add.ceiling", &bound)).transpose()?;
        let mut sum = None;
        self.change(at, |row| {
            let zero = match delta {
                ValueRef::Decimal { scale, .. } => ValueRef::Decimal { mantissa: 0, scale: *scale },
                _ => ValueRef::Int(0),
            };
            let number = row.and_then(|row| row::field(row, name)).unwrap_or(zero);
            let added = number::add(&number, delta).or_else(|why| {
                let rule = match why {
                    NoSum::Overflow => "add.overflow",
                    NoSum::Kind => "add.kind",
                };
                broken(rule, why_expected(why), format!("{} + {}", text(&number), text(delta)))
            })?;
            for (rule, bound, wrong) in [
                ("add.floor", &floor, std::cmp::Ordering::Less),
                ("add.ceiling", &ceiling, std::cmp::Ordering::Greater),
            ] {
                let Some(bound) = bound else { continue };
                match number::compare(&borrowed(&added), &borrowed(bound)) {
                    Some(order) if order != wrong => {}
                    _ => {
                        let side = if rule == "add.floor" { "at least" } else { "at most" };
                        return broken(
                            rule,
                            format!("{name} {side} {bound}"),
                            format!("{} + {} = {added}", text(&number), text(delta)),
                        );
                    }
                }
            }
            sum = Some(added.clone());
            Ok(one_field(name, added))
        })?;
        self.result(nth, sum.as_ref());
        Ok(())
    }

    /// A bound that is a field holds what the operations so far left there.
    fn bound(&mut self, rule: &'static str, bound: &Bound<'_>) -> Result<Value, Broken> {
        let at = match bound {
            Bound::Literal(value) => return Ok(value.to_value()),
            Bound::Field(at) => at,
        };
        let row = self.current(spaces::ROWS, at.row);
        let expected = || format!("a number in {}.{}", name(at.row), at.name);
        match row.as_deref().map(|row| row::field(row, at.name)) {
            Some(Some(value @ (ValueRef::Int(_) | ValueRef::Decimal { .. }))) => Ok(value.to_value()),
            Some(Some(value)) => broken(rule, expected(), text(&value)),
            Some(None) => broken(rule, expected(), "no such field"),
            None => broken(rule, expected(), "no such row"),
        }
    }

    /// MAX and MIN: what is there gives way if it stands so to the new value.
    fn extreme(
        &mut self,
        nth: usize,
        at: RowAt<'_>,
        name: &str,
        new: ValueRef<'_>,
        gives_way: std::cmp::Ordering,
    ) -> Result<(), Broken> {
        let mut holds = None;
        self.change(at, |row| {
            let old = row.and_then(|row| row::field(row, name));
            let value = match old.map(|old| (old, number::compare(&old, &new))) {
                Some((old, None)) => {
                    let rule = if gives_way.is_lt() { "max.kind" } else { "min.kind" };
                    return broken(
                        rule,
                        "two values that compare",
                        format!("{} and {}", text(&old), text(&new)),
                    );
                }
                Some((old, Some(order))) if order != gives_way => old,
                Some(_) | None => new,
            };
            holds = Some(value.to_value());
            Ok(one_field(name, value.to_value()))
        })?;
        self.result(nth, holds.as_ref());
        Ok(())
    }

    fn result(&mut self, nth: usize, value: Option<&Value>) {
        if let Some(value) = value {
            self.draft.results.push(nth, Assigned::Value(borrowed(value)));
        }
    }

    /// SET_ADD and SET_REMOVE. A field that is absent stays so if nothing is added.
    fn members(&mut self, at: RowAt<'_>, name: &str, members: Members<'_>, add: bool) -> Result<(), Broken> {
        self.change(at, |row| {
            let mut set: BTreeSet<Vec<u8>> = match row.and_then(|row| row::field(row, name)) {
                Some(ValueRef::Set(members)) => members.map(<[u8]>::to_owned).collect(),
                Some(other) => return broken("set.kind", format!("a set in {name}"), text(&other)),
                None if !add => return Ok(Cow::Borrowed(&NO_FIELDS)),
                None => BTreeSet::new(),
            };
            for member in members {
                if add {
                    set.insert(member.to_owned());
                } else {
                    set.remove(member);
                }
            }
            if set.len() > SET_MEMBERS_MAX {
                let expected = format!("at most {SET_MEMBERS_MAX} in {name}");
                return broken("set.members", expected, set.len().to_string());
            }
            Ok(one_field(name, set))
        })
    }

    fn append(&mut self, nth: usize, stream: RowAt<'_>, row: &[u8]) -> Result<(), Broken> {
        let last = self.current(spaces::STREAMS, stream);
        let last = last.map_or(0, |last| u64::from_le_bytes(last.as_ref().try_into().expect("eight bytes")));
        let Some(next) = last.checked_add(1) else {
            return broken("stream.next", "a sequence of 64 bits", "the stream is full");
        };
        self.draft.set(spaces::STREAMS, self.key, Some(&next.to_le_bytes()));
        let mut behind = Vec::new();
        key::sequence_key(stream.key, next, &mut behind);
        let at = RowAt { table: stream.table, key: &behind };
        if self.current(spaces::ROWS, at).is_some() {
            return broken("stream.next", format!("no row {}", name(at)), "somebody put one there");
        }
        self.draft.set(spaces::ROWS, self.key, Some(row));
        self.draft.results.push(nth, Assigned::Sequence(next));
        Ok(())
    }

    fn acquire(&mut self, nth: usize, at: RowAt<'_>, ttl: Ttl) -> Result<(), Refusal> {
        if let Some(lease) = self.lease(at).filter(|lease| lease.is_held(self.time_us)) {
            let refusal = Refusal::lease_taken(nth, lease.token, lease.left_ms(self.time_us));
            return Err(self.showing(refusal, at));
        }
        self.grant(nth, Lease { token: self.at, expires_us: self.end(ttl) });
        Ok(())
    }

    /// Without a ttl it is given back.
    fn renew(&mut self, nth: usize, at: RowAt<'_>, token: Position, ttl: Option<Ttl>) -> Result<(), Refusal> {
        let lease = Lease::held(self.lease(at), token, self.time_us).map_err(|observed| {
            let refusal = Refusal::lease_lost_in_operation(nth, token, observed);
            self.showing(refusal, at)
        })?;
        match ttl {
            Some(ttl) => self.grant(nth, Lease { expires_us: self.end(ttl), ..lease }),
            None => self.draft.push(spaces::LEASES, self.key, None),
        }
        Ok(())
    }

    /// [`Evaluation::key`] is the row's.
    fn grant(&mut self, nth: usize, lease: Lease) {
        self.draft.push(spaces::LEASES, self.key, Some(&lease.encode()));
        let Lease { token, expires_us } = lease;
        self.draft.results.push(nth, Assigned::Lease { token, expires_us });
    }

    /// `u16` length and the bytes of hash, namespace and partition as stored keys begin with them; `u8` length and
    /// the topic; the payload.
    fn event(&mut self, nth: usize, topic: &str, payload: &[u8]) {
        self.key.truncate(self.partition);
        let partition = u16::try_from(self.key.len()).expect("a name and a key are short").to_le_bytes();
        let name = u8::try_from(topic.len()).expect("a name is short");
        let value = [&partition, &self.key[..], &[name], topic.as_bytes(), payload].concat();
        let ordinal = u16::try_from(nth).expect("few operations").to_be_bytes();
        self.draft.push(spaces::EVENTS, &ordinal, Some(&value));
    }
}

fn why_expected(why: NoSum) -> &'static str {
    match why {
        NoSum::Overflow => "a sum that fits into 128 bits",
        NoSum::Kind => "an int and an int, or a decimal and a number",
    }
}
