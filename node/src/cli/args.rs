//! What people type: fields, values, durations, request keys. Each error shows the right form.

use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::Duration;

use seawall::address::RowRef;
use seawall::client::SentKey;
use seawall::key::NoKey;
use seawall::message::condition::FieldRef;
use seawall::message::term::Ttl;
use seawall::{Key, Value};

use crate::json::from_base64;
use crate::json::read::parse_row;

/// `FIELD=VALUE` or `FIELD:TYPE=VALUE`.
pub(super) fn field(text: &str) -> Result<(String, Value), String> {
    let (name, text) =
        text.split_once('=').ok_or("write FIELD=VALUE or FIELD:TYPE=VALUE, state=held for example")?;
    let (name, type_name) = split_type(name);
    let name = field_name(name)?;
    Ok((name, value(type_name, text)?))
}

fn split_type(name: &str) -> (&str, Option<&str>) {
    match name.split_once(':') {
        Some((name, type_name)) => (name, Some(type_name)),
        None => (name, None),
    }
}

/// A '.' in a field's name is written %2E where the name stands behind a row.
fn field_name(text: &str) -> Result<String, String> {
    let name = text.replace("%2E", ".");
    match seawall::check_name(&name) {
        Ok(()) => Ok(name),
        Err(why) => Err(format!("'{text}' is no field's name: {why}")),
    }
}

/// A value of this type; without one, `true` and `false` are bools, whole numbers are ints, and all else is text.
/// Bytes are hex, or base64 behind `b64:`; the members of a set are separated by commas.
pub(super) fn value(type_name: Option<&str>, text: &str) -> Result<Value, String> {
    let value = match (type_name, text.strip_prefix("b64:")) {
        (Some("bytes"), Some(base64)) => from_base64(base64).map(Value::Bytes),
        (Some("set"), _) => {
            Some(Value::Set(members(text).map(|member| member.as_bytes().to_owned()).collect()))
        }
        (Some("bool" | "int" | "decimal" | "time" | "text" | "bytes") | None, _) => {
            Value::parse(type_name, text).ok()
        }
        (Some(other), _) => {
            return Err(format!(
                "'{other}' is no type: use text, int, bool, decimal, time, bytes or set, price:decimal=420.00 for example"
            ));
        }
    };
    value.ok_or_else(|| {
        let form = match type_name {
            Some("int") => "a whole number, -7",
            Some("bool") => "true or false",
            Some("decimal") => "420.00",
            Some("time") => "2026-07-14T18:30:00Z, or microseconds since 1970",
            _ => "hex, 00ff, or base64, b64:AP8=",
        };
        format!("'{text}' is no {}: write {form}", type_name.unwrap_or("text"))
    })
}

fn members(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|member| !member.is_empty())
}

/// Values of one type, separated by commas.
pub(super) fn values(type_name: Option<&str>, text: &str) -> Result<Vec<Value>, String> {
    members(text).map(|member| value(type_name, member)).collect()
}

/// An int or a decimal, whichever it is.
pub(super) fn number(type_name: Option<&str>, text: &str) -> Result<Value, String> {
    match type_name {
        Some("int" | "decimal") => value(type_name, text),
        Some(other) => Err(format!("'{other}' is no type of a number: use int or decimal")),
        None => value(Some("int"), text)
            .or_else(|_| value(Some("decimal"), text))
            .map_err(|_| format!("'{text}' is no number: write a whole number, -7, or a decimal, 4.50")),
    }
}

/// `TABLE/ROW.FIELD` or `TABLE/ROW.FIELD:TYPE`: the last '.' stands before the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath {
    pub row: RowRef,
    pub field: String,
    pub type_name: Option<String>,
}

impl FieldPath {
    pub(super) fn to_ref(&self) -> FieldRef {
        self.row.field(self.field.clone())
    }
}

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<FieldPath, String> {
        let form = || format!("'{text}' is no field: write TABLE/ROW.FIELD, cabin/C14.state for example");
        let (row, field) = text.rsplit_once('.').ok_or_else(form)?;
        let (field, type_name) = split_type(field);
        let row = parse_row(row).map_err(|why| format!("{}; {why}", form()))?;
        Ok(FieldPath { row, field: field_name(field)?, type_name: type_name.map(str::to_owned) })
    }
}

/// A key in the form in which it is shown. Said to clap by name: left to choose, it takes the whole text for one part.
pub(super) fn key(text: &str) -> Result<Key, String> {
    text.parse().map_err(|why: NoKey| why.to_string())
}

/// `TABLE/ROW`.
pub(super) fn row(text: &str) -> Result<RowRef, String> {
    parse_row(text)
}

/// `500ms`, `30s`, `15m`, `24h`, `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let form = || format!("'{text}' is no duration: write 500ms, 30s, 15m, 24h or 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        _ => return Err(form()),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).ok_or_else(form)?;
    Ok(Duration::from_millis(ms))
}

/// Where a node is: the name or the number of a host, and a port.
pub(super) fn address(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = match bare {
        Some(number) => number.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(|c: char| ":[]/@".contains(c) || c.is_whitespace()),
    };
    match port.parse::<u16>() {
        Ok(1..) if named => Ok(text.to_owned()),
        _ => Err(format!("'{text}' is no address: write HOST:PORT, 127.0.0.1:7411 for example")),
    }
}

/// One address, or several with commas between.
pub(super) fn addresses(text: &str) -> Result<String, String> {
    text.split(',').try_for_each(|one| address(one.trim()).map(drop))?;
    Ok(text.to_owned())
}

/// A duration that a row can live.
pub(super) fn ttl(text: &str) -> Result<Ttl, String> {
    let ms = u64::try_from(duration(text)?.as_millis()).unwrap_or(u64::MAX);
    Ttl::from_ms(ms).ok_or_else(|| format!("'{text}' is no ttl: write 1ms to ten years, 30s for example"))
}

/// A time, in microseconds.
pub(super) fn time(text: &str) -> Result<i64, String> {
    match value(Some("time"), text)? {
        Value::Time(us) => Ok(us),
        other => Err(format!("{other} is no time")),
    }
}

/// A request key: text, `bytes:HEX` for any bytes, or `session:HEX:N` as an unknown outcome names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestName {
    Caller(Vec<u8>),
    Session([u8; 16], u64),
}

impl RequestName {
    pub(super) fn sent(&self, first_sent_us: i64) -> SentKey {
        match self {
            RequestName::Caller(name) => SentKey::caller(name, first_sent_us),
            RequestName::Session(session, sequence) => SentKey::session(*session, *sequence, first_sent_us),
        }
    }

    /// As it is typed.
    pub(super) fn typed(name: &[u8]) -> String {
        match str::from_utf8(name) {
            Ok(text) if is_plain(text) => text.to_owned(),
            _ => format!("bytes:{}", Value::from(name)),
        }
    }
}

/// Whether a key that is text can be typed as it is.
fn is_plain(text: &str) -> bool {
    !text.contains(char::is_control) && !text.starts_with("bytes:") && !text.starts_with("session:")
}

impl FromStr for RequestName {
    type Err = String;

    fn from_str(text: &str) -> Result<RequestName, String> {
        let hex = |digits: &str| match Value::parse(Some("bytes"), digits) {
            Ok(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        };
        let wrong =
            |form: &str| format!("'{text}' is no request key: write text of 1 to 64 bytes, or {form}");
        if let Some(digits) = text.strip_prefix("bytes:") {
            let name = hex(digits).filter(|name| (1..=64).contains(&name.len()));
            return name.map(RequestName::Caller).ok_or_else(|| wrong("bytes:00ff for any 1 to 64 bytes"));
        }
        if let Some(session) = text.strip_prefix("session:") {
            let read = || {
                let (session, sequence) = session.split_once(':')?;
                Some(RequestName::Session(hex(session)?.try_into().ok()?, sequence.parse().ok()?))
            };
            return read().ok_or_else(|| wrong("session:HEX:N as an unknown outcome names it"));
        }
        match text.len() {
            1..=64 => Ok(RequestName::Caller(text.as_bytes().to_owned())),
            _ => Err(wrong("bytes:00ff")),
        }
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,%=@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
