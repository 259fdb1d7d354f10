//! A hash of JSON that does not depend on the order of keys.
//!
//! Owns no state. The result is stored on objects and compared by later builds: it must never change.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The first 128 bits, in hex, of SHA-256 over the canonical form: keys sorted by bytes, no blanks.
pub fn hash(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    let mut hex = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
    hex.truncate(32);
    hex
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for key in keys {
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write(map.get(key).unwrap_or(&Value::Null), text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_of_keys_does_not_count_and_order_of_items_does() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": {"x": [1, 2], "y": null}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b": {"y": null, "x": [1, 2]}, "a": 1}"#).unwrap();
        assert_eq!(hash(&one), hash(&other));
        assert_ne!(hash(&json!([1, 2])), hash(&json!([2, 1])));
        assert_ne!(hash(&json!({"a": "1"})), hash(&json!({"a": 1})));
        assert_ne!(hash(&json!({"a": null})), hash(&json!({})));
    }

    #[test]
    fn the_hash_is_stable() {
        assert_eq!(hash(&json!({"spec": {"type": "Scala"}})), "1d89627a8f4b4e4bd5296e8e8ac5c056");
    }
}
