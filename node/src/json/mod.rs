//! The JSON that people and programs read and write, whichever way it arrives: commits, declarations, answers.
//! docs/json.md describes it.
//!
//! ```text
//! commit.rs  commits, both ways              table.rs   declarations, both ways
//! answer.rs  outcomes, refusals, rows        read.rs    documents, and what is wrong with them
//! parse.rs   text to JSON
//! ```

pub mod answer;
pub mod commit;
pub mod parse;
pub mod read;
pub mod table;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seawall::limits::ROW_MAX;
use seawall::{Row, Value};
use serde_json::{Map, Value as Json, json};

use read::{Object, Place, Wrong};

/// The largest integer up to which every integer is a number of its own in any reader of JSON.
const EXACT: i128 = 1 << 53;

/// As answers show it: integers beyond 2^53 and decimals are text, bytes are `{"b64": …}`, times are RFC 3339.
pub fn value(value: &Value) -> Json {
    match value {
        Value::Bool(yes) => json!(yes),
        Value::Int(number) => match i64::try_from(*number) {
            Ok(small) if (-EXACT..=EXACT).contains(number) => json!(small),
            _ => json!(number.to_string()),
        },
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => self::bytes(bytes),
        Value::Set(members) => members.iter().map(|member| self::bytes(member)).collect(),
        Value::Decimal { .. } | Value::Time(_) => json!(value.to_string()),
    }
}

/// The fields of a row, as answers show them.
pub fn row(row: &Row) -> Map<String, Json> {
    row.iter().map(|(name, value)| (name.to_owned(), self::value(value))).collect()
}

/// As requests write it: nothing of its kind is lost, and [`read_value`] reads it back.
pub fn typed(value: &Value) -> Json {
    match value {
        Value::Int(number) if !(-EXACT..=EXACT).contains(number) => json!({ "int": number.to_string() }),
        Value::Decimal { .. } => json!({ "decimal": value.to_string() }),
        Value::Time(_) => json!({ "time": value.to_string() }),
        Value::Set(members) => {
            json!({ "set": members.iter().map(|member| text_or_bytes(member)).collect::<Vec<_>>() })
        }
        Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Bytes(_) => self::value(value),
    }
}

/// The inverse of [`typed`].
pub fn read_value(place: &Place<'_>, json: &Json) -> Result<Value, Wrong> {
    const FORMS: &str = "write true, a whole number, a text, {\"int\": \"9007199254740993\"}, {\"decimal\": \"4.50\"}, \
                         {\"time\": \"2026-07-14T18:30:00Z\"}, {\"b64\": \"AP8=\"} or {\"set\": [\"a\", \"b\"]}";
    let value = match json {
        Json::Bool(yes) => Value::Bool(*yes),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => return Err(place.wrong(format!("{number} is no whole number; {FORMS}"))),
        },
        Json::Object(_) => read_tagged(place, json, FORMS)?,
        Json::Null => return Err(place.wrong(format!("there is no null: leave the field out, or {FORMS}"))),
        Json::Array(_) => return Err(place.wrong(format!("a list is no value; {FORMS}"))),
    };
    match &value {
        Value::Text(text) if text.len() > ROW_MAX => Err(place.too_long(ROW_MAX, text.len())),
        Value::Bytes(bytes) if bytes.len() > ROW_MAX => Err(place.too_long(ROW_MAX, bytes.len())),
        _ => Ok(value),
    }
}

/// An object with one member that names the kind.
fn read_tagged(place: &Place<'_>, json: &Json, forms: &str) -> Result<Value, Wrong> {
    let object = Object::of(place, json)?;
    let Some((kind, content)) = object.only() else {
        return Err(place.wrong(format!("{json} is no value; {forms}")));
    };
    let place = place.member(kind);
    match (kind, content) {
        ("int" | "decimal" | "time", Json::String(text)) => {
            Value::parse(Some(kind), text).map_err(|why| place.wrong(why.to_string()))
        }
        ("b64", _) => read_bytes(place.outer(), json).map(Value::Bytes),
        ("set", Json::Array(members)) => {
            let members = members.iter().enumerate();
            let members = members.map(|(nth, member)| read_bytes(&place.item(nth), member));
            members.collect::<Result<_, _>>().map(Value::Set)
        }
        _ => Err(place.outer().wrong(format!("{json} is no value; {forms}"))),
    }
}

/// Bytes: a text stands for its UTF-8.
pub fn read_bytes(place: &Place<'_>, json: &Json) -> Result<Vec<u8>, Wrong> {
    let decoded = match json {
        Json::String(text) => Some(text.as_bytes().to_owned()),
        Json::Object(map) if map.len() == 1 => {
            map.get("b64").and_then(Json::as_str).and_then(|text| STANDARD.decode(text).ok())
        }
        _ => None,
    };
    decoded.ok_or_else(|| place.wrong("write a text, or {\"b64\": \"AP8=\"} for any bytes"))
}

/// The inverse of [`read_bytes`].
pub fn text_or_bytes(bytes: &[u8]) -> Json {
    match str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => self::bytes(bytes),
    }
}

/// Bytes as base64 in an object that says so.
pub fn bytes(bytes: &[u8]) -> Json {
    json!({ "b64": base64(bytes) })
}

/// With padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The inverse of [`base64()`].
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        assert_eq!(value(&Value::Int(1 << 53)), json!(1i64 << 53));
        assert_eq!(value(&Value::Int((1 << 53) + 1)), json!("9007199254740993"));
        assert_eq!(value(&Value::Int(i128::MIN)), json!(i128::MIN.to_string()));
        assert_eq!(value(&Value::Decimal { mantissa: 42000, scale: 2 }), json!("420.00"));
        assert_eq!(value(&Value::Bytes(vec![0, 255])), json!({ "b64": "AP8=" }));
    }

    #[test]
    fn what_requests_write_is_read_back_as_it_was() {
        let values = [
            Value::Bool(true),
            Value::Int(-(1 << 53)),
            Value::Int((1 << 53) + 1),
            Value::Int(i128::MIN),
            Value::Decimal { mantissa: 42000, scale: 2 },
            Value::Time(1_784_053_800_000_000),
            Value::from("007"),
            Value::Bytes(vec![0, 255]),
            Value::Set([b"a".to_vec(), vec![255]].into()),
        ];
        for value in values {
            assert_eq!(read_value(&Place::root("value"), &typed(&value)), Ok(value));
        }
    }

    #[test]
    fn what_is_no_value_is_told_the_forms() {
        let wrong = [
            json!(4.5),
            json!(null),
            json!([1]),
            json!({}),
            json!({ "decimal": "4,5" }),
            json!({ "decimal": 4.5 }),
            json!({ "b64": "=" }),
            json!({ "money": "1" }),
            json!({ "set": [1] }),
            json!("x".repeat(ROW_MAX + 1)),
        ];
        for wrong in wrong {
            let why = read_value(&Place::root("row.price"), &wrong).expect_err("no value").to_string();
            assert!(why.starts_with("row.price"), "{why}");
        }
        let why = read_value(&Place::root("row.price"), &json!(4.5)).expect_err("no value").to_string();
        assert!(why.contains("4.5 is no whole number") && why.contains("{\"decimal\": \"4.50\"}"), "{why}");
    }
}
