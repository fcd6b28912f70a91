//! Values as JSON, so that nothing is lost on the way: what JSON has no number for is text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seawall::Value;
use serde_json::{Value as Json, json};

/// Integers beyond 2^53 and decimals are text, bytes are `{"b64": …}`, times are RFC 3339.
pub fn value(value: &Value) -> Json {
    const EXACT: i128 = 1 << 53;
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

fn bytes(bytes: &[u8]) -> Json {
    json!({ "b64": STANDARD.encode(bytes) })
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
}
