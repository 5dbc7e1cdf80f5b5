//! A literal as text, and as JSON with its schema.
//!
//! The text is that of `Values.convertToString`: strings are themselves, inside arrays and maps they are quoted.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{Literal, Type};
use crate::file::json::push_f64;
use crate::instant;
use crate::schema::{DATE, DECIMAL, TIME, TIMESTAMP};

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            other => other.embedded(f),
        }
    }
}

impl Literal {
    fn embedded(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Int8(value) => write!(f, "{value}"),
            Self::Int16(value) => write!(f, "{value}"),
            Self::Int32(value) => write!(f, "{value}"),
            Self::Int64(value) => write!(f, "{value}"),
            Self::Float32(value) => printed(f, |out| crate::file::json::push_f32(*value, out)),
            Self::Float64(value) => printed(f, |out| push_f64(*value, out)),
            Self::Decimal(value) => write!(f, "{value}"),
            Self::String(text) => write!(f, "\"{}\"", escaped(text)),
            Self::Date(ms) | Self::Time(ms) | Self::Timestamp(ms) => printed(f, |out| instant::push(*ms, out)),
            Self::Array(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at > 0 { "," } else { "" })?;
                    item.embedded(f)?;
                }
                f.write_char(']')
            }
            Self::Map(entries) => {
                f.write_char('{')?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    f.write_str(if at > 0 { "," } else { "" })?;
                    key.embedded(f)?;
                    f.write_char(':')?;
                    value.embedded(f)?;
                }
                f.write_char('}')
            }
        }
    }

    /// As `JsonConverter` writes it.
    pub(in crate::headers) fn json(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Int8(value) => value.to_string(),
            Self::Int16(value) => value.to_string(),
            Self::Int32(value) => value.to_string(),
            Self::Int64(value) | Self::Time(value) | Self::Timestamp(value) => value.to_string(),
            // The shortest text of 32 bits is another number in 64.
            Self::Float32(value) => json!(value.to_string().parse::<f64>().ok()).to_string(),
            Self::Float64(value) => json!(value).to_string(),
            Self::Decimal(value) => value.to_string(), // all its digits
            Self::String(text) => json!(text).to_string(),
            Self::Date(ms) => ms.div_euclid(86_400_000).to_string(),
            Self::Array(items) => format!("[{}]", joined(items.iter().map(Self::json).collect())),
            Self::Map(entries) if entries.iter().all(|(key, _)| matches!(key, Self::String(_))) => {
                format!("{{{}}}", joined(entries.iter().map(|(key, value)| format!("{}:{}", key.json(), value.json())).collect()))
            }
            Self::Map(entries) => format!("[{}]", joined(entries.iter().map(|(key, value)| format!("[{},{}]", key.json(), value.json())).collect())),
        }
    }
}

impl Type {
    /// As `JsonConverter` writes it; none where a part has no schema.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        let plain = |name: &str| json!({"type": name, "optional": false});
        let logical = |kind: &str, name: &str| json!({"type": kind, "optional": false, "name": name, "version": 1});
        Some(match self {
            Self::Boolean => plain("boolean"),
            Self::Int8 => plain("int8"),
            Self::Int16 => plain("int16"),
            Self::Int32 => plain("int32"),
            Self::Int64 => plain("int64"),
            Self::Float32 => plain("float"),
            Self::Float64 => plain("double"),
            Self::String => plain("string"),
            Self::Decimal(scale) => {
                json!({"type": "bytes", "optional": false, "name": DECIMAL, "version": 1, "parameters": {"scale": scale.to_string()}})
            }
            Self::Date => logical("int32", DATE),
            Self::Time => logical("int32", TIME),
            Self::Timestamp => logical("int64", TIMESTAMP),
            Self::Array(item) => json!({"type": "array", "items": item.as_ref()?.json()?, "optional": false}),
            Self::Map(key, value) => json!({"type": "map", "keys": key.as_ref()?.json()?, "values": value.as_ref()?.json()?, "optional": false}),
        })
    }
}

fn printed(f: &mut fmt::Formatter<'_>, print: impl FnOnce(&mut Vec<u8>)) -> fmt::Result {
    let mut out = Vec::new();
    print(&mut out);
    f.write_str(&String::from_utf8_lossy(&out))
}

/// Backslashes and quotes are all that upstream escapes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
