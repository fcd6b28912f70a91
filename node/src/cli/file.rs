//! Documents from files, or from standard input.

use std::io::Read;
use std::path::Path;

use serde_json::Value as Json;

use crate::json::parse::parse;

/// A JSON document; `-` is standard input.
pub(super) fn json(path: &Path) -> Result<Json, String> {
    let text = read(path)?;
    parse(text.as_bytes()).map_err(|why| format!("{} is no JSON document: {why}", path.display()))
}

/// A TOML document if the name ends so, else a JSON document.
pub(super) fn json_or_toml(path: &Path) -> Result<Json, String> {
    if path.extension().is_none_or(|extension| extension != "toml") {
        return json(path);
    }
    toml(&read(path)?).map_err(|why| format!("{} is no TOML: {why}", path.display()))
}

pub(super) fn toml(text: &str) -> Result<Json, String> {
    toml::from_str(text).map_err(|why| why.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|why| format!("{} cannot be read: {why}", path.display()))
}
