//! The effects of one commit while it is decided on: entries of its record, in memory that is used again.
//!
//! Each key stands here once, with what the operations so far made of it. Nothing of it is in the state before the
//! record has its index.

use std::ops::Range;

use seawall::message::assigned::Results;
use seawall_wal::{Entry, Space};

#[derive(Debug, Default)]
pub struct Draft {
    bytes: Vec<u8>,
    effects: Vec<Effect>,
    /// What the operations came to.
    pub results: Results,
}

#[derive(Clone, Debug)]
struct Effect {
    space: Space,
    key: Range<usize>,
    /// `None` deletes.
    value: Option<Range<usize>>,
}

impl Draft {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.effects.clear();
        self.results.clear();
    }

    /// What the draft makes of a key; `None`: it does not touch it.
    pub fn find(&self, space: Space, key: &[u8]) -> Option<Option<&[u8]>> {
        let effect = self.effects.iter().find(|effect| self.is(effect, space, key))?;
        Some(effect.value.clone().map(|value| &self.bytes[value]))
    }

    /// Sets or deletes what stands at a key, whatever the draft made of it before.
    pub fn set(&mut self, space: Space, key: &[u8], value: Option<&[u8]>) {
        match self.effects.iter().position(|effect| self.is(effect, space, key)) {
            Some(at) => {
                let value = value.map(|value| self.keep(value));
                self.effects[at].value = value;
            }
            None => self.push(space, key, value),
        }
    }

    /// The same for a key that is not in the draft.
    pub fn push(&mut self, space: Space, key: &[u8], value: Option<&[u8]>) {
        let (key, value) = (self.keep(key), value.map(|value| self.keep(value)));
        self.effects.push(Effect { space, key, value });
    }

    /// The same with a value that `make` appends.
    pub fn push_made(&mut self, space: Space, key: &[u8], make: impl FnOnce(&mut Vec<u8>)) {
        let key = self.keep(key);
        let start = self.bytes.len();
        make(&mut self.bytes);
        self.effects.push(Effect { space, key, value: Some(start..self.bytes.len()) });
    }

    /// Sets what stands at a key to what `make` appends; if it refuses, the draft is as it was.
    pub fn set_made<E>(
        &mut self,
        space: Space,
        key: &[u8],
        make: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(refused) = make(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(refused);
        }
        let value = Some(start..self.bytes.len());
        match self.effects.iter().position(|effect| self.is(effect, space, key)) {
            Some(at) => self.effects[at].value = value,
            None => {
                let key = self.keep(key);
                self.effects.push(Effect { space, key, value });
            }
        }
        Ok(())
    }

    /// In the order in which the keys were first touched.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> + Clone {
        self.effects.iter().map(|effect| Entry {
            space: effect.space,
            key: &self.bytes[effect.key.clone()],
            value: effect.value.clone().map(|value| &self.bytes[value]),
        })
    }

    fn is(&self, effect: &Effect, space: Space, key: &[u8]) -> bool {
        effect.space == space && self.bytes[effect.key.clone()] == *key
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}
