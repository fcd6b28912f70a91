//! Reading a document: each step knows its place, so that what is wrong is found again.

use std::fmt;
use std::str::FromStr;

use seawall::address::RowRef;
use seawall::message::term::Ttl;
use seawall::position::Position;
use seawall::{Key, check_name, row};
use serde_json::{Map, Value as Json};

/// Why a document is not what it should be: where, and what should stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    place: String,
    why: String,
    over: Option<(usize, usize)>,
}

impl Wrong {
    /// Of what is too long: the limit, and what there is.
    pub fn over(&self) -> Option<(usize, usize)> {
        self.over
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for Wrong {}

/// Where in a document: `operations[0].row`. Nothing is written down until something is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    outer: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

impl<'a> Place<'a> {
    /// The document itself, by what it is.
    pub fn root(name: &'a str) -> Place<'a> {
        Place { outer: None, step: Step::Member(name) }
    }

    pub fn member(&'a self, name: &'a str) -> Place<'a> {
        Place { outer: Some(self), step: Step::Member(name) }
    }

    pub fn item(&'a self, nth: usize) -> Place<'a> {
        Place { outer: Some(self), step: Step::Item(nth) }
    }

    /// What this is a part of.
    pub fn outer(&self) -> &Place<'a> {
        self.outer.unwrap_or(self)
    }

    /// What is here is wrong.
    pub fn wrong(&self, why: impl Into<String>) -> Wrong {
        Wrong { place: self.to_string(), why: why.into(), over: None }
    }

    /// What is here has more bytes than it may.
    pub fn too_long(&self, limit: usize, len: usize) -> Wrong {
        let why = format!("{len} bytes are over the limit of {limit}");
        Wrong { over: Some((limit, len)), ..self.wrong(why) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            outer.fmt(f)?;
        }
        match self.step {
            Step::Member(name) => write!(f, "{}{name}", if self.outer.is_some() { "." } else { "" }),
            Step::Item(nth) => write!(f, "[{nth}]"),
        }
    }
}

/// An object whose members are taken by their names.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    pub place: &'a Place<'a>,
    members: &'a Map<String, Json>,
}

impl<'a> Object<'a> {
    pub fn of(place: &'a Place<'a>, json: &'a Json) -> Result<Object<'a>, Wrong> {
        match json {
            Json::Object(members) => Ok(Object { place, members }),
            other => Err(place.wrong(format!("expected an object {{…}}, found {other}"))),
        }
    }

    /// Whether it has no other members: a member that is misspelt must not be passed over.
    pub fn knows(&self, names: &[&str]) -> Result<(), Wrong> {
        match self.members.keys().find(|name| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                Err(self.place.wrong(format!("'{name}' is unknown here; known are {}", names.join(", "))))
            }
        }
    }

    /// Its only member.
    pub fn only(&self) -> Option<(&'a str, &'a Json)> {
        match self.members.len() {
            1 => self.members.iter().next().map(|(name, value)| (name.as_str(), value)),
            _ => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Json)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub fn get(&self, name: &str) -> Option<&'a Json> {
        self.members.get(name)
    }

    pub fn need(&self, name: &str) -> Result<&'a Json, Wrong> {
        self.get(name).ok_or_else(|| self.place.wrong(format!("'{name}' is missing")))
    }

    /// A member that is there, as `read` understands it.
    pub fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Place<'_>, &Json) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        read(&self.place.member(name), self.need(name)?)
    }

    /// The same, of one that may be left out.
    pub fn read_option<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Place<'_>, &Json) -> Result<T, Wrong>,
    ) -> Result<Option<T>, Wrong> {
        self.get(name).map(|json| read(&self.place.member(name), json)).transpose()
    }

    /// Whether a flag is set; one that is left out is not.
    pub fn flag(&self, name: &str) -> Result<bool, Wrong> {
        let read = |place: &Place<'_>, json: &Json| {
            json.as_bool().ok_or_else(|| place.wrong(format!("expected true or false, found {json}")))
        };
        Ok(self.read_option(name, read)?.unwrap_or(false))
    }

    /// The items of a list, each as `read` understands it; a list that is left out is empty.
    pub fn list<T>(
        &self,
        name: &str,
        read: impl Fn(&Place<'_>, &Json) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let items = |place: &Place<'_>, json: &Json| list(place, json, &read);
        Ok(self.read_option(name, items)?.unwrap_or_default())
    }

    pub fn text(&self, name: &str) -> Result<&'a str, Wrong> {
        text(&self.place.member(name), self.need(name)?)
    }

    /// A name: of a table, a field, a topic.
    pub fn name(&self, name: &str) -> Result<&'a str, Wrong> {
        let text = self.text(name)?;
        check_name(text).map_err(|why| self.place.member(name).wrong(format!("{text:?}: {why}")))?;
        Ok(text)
    }
}

pub fn list<T>(
    place: &Place<'_>,
    json: &Json,
    read: &impl Fn(&Place<'_>, &Json) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    match json {
        Json::Array(items) => {
            items.iter().enumerate().map(|(nth, item)| read(&place.item(nth), item)).collect()
        }
        other => Err(place.wrong(format!("expected a list […], found {other}"))),
    }
}

pub fn text<'a>(place: &Place<'_>, json: &'a Json) -> Result<&'a str, Wrong> {
    json.as_str().ok_or_else(|| place.wrong(format!("expected a text, found {json}")))
}

pub fn count(place: &Place<'_>, json: &Json) -> Result<u64, Wrong> {
    json.as_u64().ok_or_else(|| place.wrong(format!("expected a whole number of 0 or more, found {json}")))
}

/// A text that is something.
pub fn parse<T: FromStr<Err: fmt::Display>>(place: &Place<'_>, json: &Json) -> Result<T, Wrong> {
    text(place, json)?.parse().map_err(|why: T::Err| place.wrong(why.to_string()))
}

pub fn key(place: &Place<'_>, json: &Json) -> Result<Key, Wrong> {
    parse(place, json)
}

pub fn position(place: &Place<'_>, json: &Json) -> Result<Position, Wrong> {
    parse(place, json)
}

/// `TABLE/ROW`.
pub fn row_ref(place: &Place<'_>, json: &Json) -> Result<RowRef, Wrong> {
    parse_row(text(place, json)?).map_err(|why| place.wrong(why))
}

/// The inverse of a [`RowRef`]'s `Display`.
pub fn parse_row(text: &str) -> Result<RowRef, String> {
    let form = "write TABLE/ROW, cabin/C14 for example, and '/' inside of a part as %2F";
    match text.split('/').collect::<Vec<_>>()[..] {
        [table, key] => {
            check_name(table).map_err(|why| format!("{text:?}: {why} as a table's is; {form}"))?;
            let key: Key = key.parse().map_err(|why| format!("{why}"))?;
            Ok(row(table, key))
        }
        _ => Err(format!("{text:?} is no row of the partition: {form}")),
    }
}

pub fn ttl(place: &Place<'_>, json: &Json) -> Result<Ttl, Wrong> {
    let ms = count(place, json)?;
    Ttl::from_ms(ms).ok_or_else(|| place.wrong(format!("{ms} ms is no ttl: write 1 ms to ten years")))
}
