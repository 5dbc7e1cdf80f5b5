//! A reader of Avro object container files that shares nothing with the writer: header, codec, blocks → JSON values.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Map, Value, json};

/// A file, read.
pub(crate) struct File {
    pub(crate) schema: Value,
    pub(crate) rows: Vec<Value>,
}

/// Reads a whole file.
pub(crate) fn read(bytes: &[u8]) -> Result<File, String> {
    let mut input = Input(bytes.strip_prefix(b"Obj\x01").ok_or("no Avro file: it does not begin with Obj1")?);
    let mut header = BTreeMap::new();
    while let Some(count) = input.block()? {
        for _ in 0..count {
            let key = String::from_utf8_lossy(input.bytes()?).into_owned();
            header.insert(key, input.bytes()?.to_vec());
        }
    }
    let sync = input.take(16)?;
    let schema: Value = serde_json::from_slice(header.get("avro.schema").ok_or("the header has no avro.schema")?).map_err(|e| e.to_string())?;
    let codec = header.get("avro.codec").map_or("null".to_owned(), |codec| String::from_utf8_lossy(codec).into_owned());
    let mut names = BTreeMap::new();
    learn(&schema, "", &mut names);
    let mut rows = Vec::new();
    while !input.0.is_empty() {
        let count = input.long()?;
        let block = inflate(&codec, input.bytes()?)?;
        if input.take(16)? != sync {
            return Err("a block does not end with the sync marker".to_owned());
        }
        let mut block = Input(&block);
        for _ in 0..count {
            rows.push(value(&schema, "", &names, &mut block)?);
        }
        if !block.0.is_empty() {
            return Err("a block holds more than its rows".to_owned());
        }
    }
    Ok(File { schema, rows })
}

fn inflate(codec: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    match codec {
        "null" => plain.extend_from_slice(bytes),
        "deflate" => drop(flate2::read::DeflateDecoder::new(bytes).read_to_end(&mut plain).map_err(|e| e.to_string())?),
        "bzip2" => drop(bzip2::read::BzDecoder::new(bytes).read_to_end(&mut plain).map_err(|e| e.to_string())?),
        "snappy" => {
            let body = bytes.get(..bytes.len().saturating_sub(4)).unwrap_or_default();
            plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| e.to_string())?;
        }
        other => return Err(format!("codec {other:?} is not known")),
    }
    Ok(plain)
}

/// The full name of a named type or of a reference to one.
fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn own_name(schema: &Value, outer: &str) -> (String, String) {
    let namespace = schema["namespace"].as_str().unwrap_or(outer);
    let name = full_name(schema["name"].as_str().unwrap_or(""), namespace);
    let inner = name.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
    (name, inner)
}

fn learn(schema: &Value, space: &str, names: &mut BTreeMap<String, (Value, String)>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| learn(branch, space, names)),
        Value::Object(object) => {
            let (name, inner) = own_name(schema, space);
            if matches!(schema["type"].as_str(), Some("record" | "enum" | "fixed")) {
                names.insert(name, (schema.clone(), space.to_owned()));
            }
            for field in schema["fields"].as_array().into_iter().flatten() {
                learn(&field["type"], &inner, names);
            }
            for part in ["type", "items", "values"] {
                object.get(part).filter(|part| !part.is_string()).into_iter().for_each(|part| learn(part, space, names));
            }
        }
        _ => {}
    }
}

fn value(schema: &Value, space: &str, names: &BTreeMap<String, (Value, String)>, input: &mut Input<'_>) -> Result<Value, String> {
    let kind = match schema {
        Value::Array(branches) => {
            let branch = usize::try_from(input.long()?).ok().and_then(|at| branches.get(at)).ok_or("a union has no such branch")?;
            return value(branch, space, names, input);
        }
        Value::String(name) => name.as_str(),
        _ if !schema["type"].is_string() => return value(&schema["type"], space, names, input),
        _ => schema["type"].as_str().unwrap_or(""),
    };
    Ok(match kind {
        "null" => Value::Null,
        "boolean" => (input.take(1)? == [1]).into(),
        "int" | "long" => input.long()?.into(),
        "float" => f64::from(f32::from_le_bytes(input.take(4)?.try_into().unwrap_or_default())).into(),
        "double" => f64::from_le_bytes(input.take(8)?.try_into().unwrap_or_default()).into(),
        "bytes" | "string" => String::from_utf8_lossy(input.bytes()?).into(),
        "fixed" => String::from_utf8_lossy(input.take(usize::try_from(schema["size"].as_u64().unwrap_or(0)).unwrap_or(0))?).into(),
        "enum" => schema["symbols"].get(usize::try_from(input.long()?).unwrap_or(usize::MAX)).cloned().ok_or("an enum has no such symbol")?,
        "array" => {
            let mut items = Vec::new();
            while let Some(count) = input.block()? {
                for _ in 0..count {
                    items.push(value(&schema["items"], space, names, input)?);
                }
            }
            items.into()
        }
        "map" => {
            let mut members = Map::new();
            while let Some(count) = input.block()? {
                for _ in 0..count {
                    let key = String::from_utf8_lossy(input.bytes()?).into_owned();
                    members.insert(key, value(&schema["values"], space, names, input)?);
                }
            }
            members.into()
        }
        "record" => {
            let (_, inner) = own_name(schema, space);
            let mut members = Map::new();
            for field in schema["fields"].as_array().into_iter().flatten() {
                members.insert(field["name"].as_str().unwrap_or("").to_owned(), value(&field["type"], &inner, names, input)?);
            }
            members.into()
        }
        name => {
            let (known, outer) = names.get(&full_name(name, space)).or_else(|| names.get(name)).ok_or_else(|| format!("type {name:?} is not known"))?;
            value(known, outer, names, input)?
        }
    })
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(length).ok_or("the file ends too early")?;
        self.0 = rest;
        Ok(head)
    }

    fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.long()?).map_err(|e| e.to_string())?;
        self.take(length)
    }

    /// Number of items of the next block of an array or map; none at its end.
    fn block(&mut self) -> Result<Option<i64>, String> {
        match self.long()? {
            0 => Ok(None),
            count if count < 0 => self.long().map(|_| Some(-count)),
            count => Ok(Some(count)),
        }
    }
}

/// One way to write a schema: full names, no needless objects, no needless order.
pub(crate) fn normal(schema: &Value, space: &str) -> Value {
    match schema {
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => json!(name),
        Value::String(name) => json!(full_name(name, space)),
        Value::Array(branches) => branches.iter().map(|branch| normal(branch, space)).collect(),
        Value::Object(object) => {
            if object.len() == 1 && object.contains_key("type") {
                return normal(&schema["type"], space);
            }
            let is_named = matches!(schema["type"].as_str(), Some("record" | "enum" | "fixed"));
            let (name, inner) = own_name(schema, space);
            let space = if is_named { &inner } else { space };
            let mut made: BTreeMap<String, Value> = BTreeMap::new();
            for (key, part) in object {
                let part = match key.as_str() {
                    "namespace" if is_named => continue,
                    "name" if is_named => json!(name),
                    "type" if is_named => part.clone(),
                    "type" | "items" | "values" => normal(part, space),
                    "fields" => part.as_array().into_iter().flatten().map(|field| normal(field, space)).collect(),
                    _ => part.clone(),
                };
                made.insert(key.clone(), part);
            }
            json!(made)
        }
        other => other.clone(),
    }
}

const PRIMITIVES: &[&str] = &["null", "boolean", "int", "long", "float", "double", "bytes", "string", "array", "map", "record", "enum", "fixed"];

pub(crate) fn schemas_have_one_normal_form() {
    let written =
        json!({"type": "record", "name": "R", "namespace": "a.b", "fields": [{"name": "x", "type": {"type": "int"}}, {"name": "y", "type": ["null", "S"]}]});
    let normal_form = json!({"type": "record", "name": "a.b.R", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": ["null", "a.b.S"]}]});
    assert_eq!(normal(&written, ""), normal_form);
    assert_eq!(normal(&json!([{"type": "int", "connect.default": 5}, "null"]), ""), json!([{"type": "int", "connect.default": 5}, "null"]));
}
