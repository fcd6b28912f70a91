//! Text to JSON, and no member twice in an object: of two that contradict each other, neither was meant for sure.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// One document; what is wrong with it is told with its line and column.
pub fn parse(bytes: &[u8]) -> Result<Json, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let document = Once.deserialize(&mut text)?;
    text.end()?;
    Ok(document)
}

/// A value, each of whose objects has each of its members once.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Json, E> {
        Ok(Json::Bool(yes))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Number::from_f64(number).map(Json::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Once)? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "the member {name:?} stands twice in one object; leave one of them"
                )));
            }
            object.insert(name, members.next_value_seed(Once)?);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_is_named_with_its_place() {
        for (text, name, place) in [
            (r#"{"a": 1, "a": 1}"#, "\"a\"", "line 1 column 12"),
            ("{\"a\": {\"b\": 1},\n \"c\": [0, {\"d\": 1, \"e\": 2, \"d\": 3}]}", "\"d\"", "line 2"),
            (r#"{"\u0061": 1, "a": 2}"#, "\"a\"", "line 1"),
            (r#"{"": null, "": null}"#, "\"\"", "line 1"),
        ] {
            let why = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(why.contains(&format!("the member {name} stands twice")), "{text}: {why}");
            assert!(why.contains(place), "{text}: {why}");
        }
    }

    #[test]
    fn whatever_else_is_read_as_before() {
        for text in [
            r#"{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}], "A": 1}"#,
            r#"[null, true, -1, 0, 18446744073709551615, -9223372036854775808, 1.5, 1e300, "", "\ud83d\ude00"]"#,
            " 7 ",
        ] {
            let read = parse(text.as_bytes()).unwrap();
            assert_eq!(read, serde_json::from_str::<Json>(text).unwrap(), "{text}");
        }
        for text in ["", "{", "{} {}", "1e999", "{\"a\":}", "[1,]", "\"\\ud83d\"", &"[".repeat(10_000)] {
            let both = (parse(text.as_bytes()), serde_json::from_str::<Json>(text));
            assert!(both.0.is_err() && both.1.is_err(), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }
}
