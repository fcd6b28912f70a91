//! The whole configuration: as a table for people, as JSON for programs, and as the section of docs/operations.md.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{Origin, Settings};
use crate::params::{PARAMETERS, Parameter, Place};

/// One line of what is shown.
struct Line<'a> {
    key: &'a str,
    value: Value,
    default: Value,
    /// As text, with its unit.
    range: String,
    unit: &'static str,
    effect: String,
    origin: Origin,
}

fn lines(settings: &Settings) -> impl Iterator<Item = Line<'_>> {
    let words = super::WORDS.iter().zip(&settings.words).map(|(word, (value, origin))| Line {
        key: word.key,
        value: json!(value),
        default: json!(word.default),
        range: word.allowed.to_owned(),
        unit: "",
        effect: word.effect.to_owned(),
        origin: *origin,
    });
    let numbers = PARAMETERS.iter().zip(&settings.numbers).filter_map(|(row, (value, origin))| {
        let Place { key, least, most } = row.place?;
        Some(Line {
            key,
            value: json!(value),
            default: json!(row.default),
            range: format!("{least} to {most}"),
            unit: row.unit.name(),
            effect: effect(row),
            origin: *origin,
        })
    });
    words.chain(numbers)
}

fn fixed() -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS.iter().filter(|row| row.place.is_none())
}

/// The lines of a document's comment as one line.
fn effect(row: &Parameter) -> String {
    row.effect.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// For people.
pub fn table(settings: &Settings) -> String {
    let mut text = String::new();
    for Line { key, value, default, range, unit, effect, origin } in lines(settings) {
        let value = format!("{} {unit}", plain(&value));
        let from = match origin {
            Origin::Default => String::new(),
            origin => format!(", from the {origin}; default {}", plain(&default)),
        };
        let _to_memory =
            writeln!(text, "{key} = {}{from}\n    {effect}\n    allowed: {range}", value.trim_end());
    }
    text + "The numbers that are fixed in this version: `seawall config show --json`."
}

/// For programs.
pub fn document(settings: &Settings) -> Value {
    let parameters: Vec<Value> = lines(settings)
        .map(|Line { key, value, default, range, unit, effect, origin }| {
            json!({
                "key": key, "value": value, "default": default, "allowed": range, "unit": unit, "effect": effect,
                "origin": origin.to_string(),
            })
        })
        .collect();
    let fixed: Vec<Value> = fixed()
        .map(|row| {
            let name = row.name.to_lowercase();
            json!({ "name": name, "value": row.default, "unit": row.unit.name(), "effect": effect(row) })
        })
        .collect();
    json!({ "parameters": parameters, "fixed": fixed })
}

/// What was configured, shortly: for the status.
pub fn settable(settings: &Settings) -> Value {
    let pairs = lines(settings)
        .map(|line| (line.key.to_owned(), json!({ "value": line.value, "origin": line.origin.to_string() })));
    Value::Object(pairs.collect::<Map<String, Value>>())
}

/// The section of docs/operations.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "| key | default | allowed | what it is, and what moving it does |\n|---|---|---|---|\n",
    );
    for Line { key, default, range, unit, effect, .. } in lines(&Settings::default()) {
        let range = format!("{range} {unit}");
        let _to_memory =
            writeln!(text, "| `{key}` | {} | {} | {effect} |", plain(&default), range.trim_end());
    }
    text += "\nFixed in this version:\n\n| number | value | what it is |\n|---|---|---|\n";
    for row in fixed() {
        let (name, value) = (row.name.to_lowercase(), format!("{} {}", row.default, row.unit.name()));
        let _to_memory = writeln!(text, "| `{name}` | {} | {} |", value.trim_end(), effect(row));
    }
    text
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Given;

    #[test]
    fn what_was_set_is_shown_with_its_origin() {
        let mut settings = Settings::default();
        settings.set("log.spares", &Given::Number(5), Origin::File).expect("it is in range");
        let text = table(&settings);
        assert!(text.contains("log.spares = 5, from the file; default 3\n"), "{text}");
        assert!(text.contains("admin.head_ms = 5000 ms\n"), "{text}");
        let document = document(&settings);
        let shown = document["parameters"].as_array().expect("a list");
        let spares = shown.iter().find(|line| line["key"] == "log.spares").expect("it is there");
        assert_eq!(
            (&spares["value"], &spares["origin"], &spares["allowed"]),
            (&json!(5), &json!("file"), &json!("2 to 64"))
        );
        assert!(
            document["fixed"]
                .as_array()
                .is_some_and(|fixed| fixed.iter().any(|row| row["name"] == "tick_ms"))
        );
        assert_eq!(settable(&settings)["log.spares"], json!({ "value": 5, "origin": "file" }));
    }

    /// The section stands between two marks; `seawall config show --markdown` prints it.
    #[test]
    fn the_operations_manual_shows_this_table() {
        let manual = include_str!("../../../docs/operations.md");
        let section = manual.split("<!-- parameters -->\n").nth(1).unwrap_or_default();
        assert!(
            section == markdown(),
            "put the output of `seawall config show --markdown` between the marks"
        );
    }
}
