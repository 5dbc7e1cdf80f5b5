//! The Avro schema of a field that did not come from Avro, as Confluent's `AvroData.fromConnectSchema` writes it.
//!
//! | Arrow | Avro |
//! |---|---|
//! | Boolean, Int32, Int64, Float32, Float64, Utf8, Binary | boolean, int, long, float, double, string, bytes |
//! | Int8, Int16 | int with `connect.type` |
//! | Decimal128, Decimal256 | bytes decimal; the declared precision, else 64 as upstream |
//! | Date32, Time32(Millisecond), Timestamp(Millisecond) | int date, int time-millis, long timestamp-millis |
//! | Utf8 with enum parameters | enum |
//! | Struct | record by its Connect name, else `io.confluent.connect.avro.ConnectDefault`, `ConnectDefault2`, … |
//! | Struct called `io.confluent.connect.avro.Union` | union of its members |
//! | List | array |
//! | Map with Utf8 keys; other keys | map; array of `io.confluent.connect.avro.MapEntry` |
//! | nullable | union of null and the type, default null; the type first where there is another default |
//!
//! Connect's name, version, documentation and parameters ride along as `connect.*` properties.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use serde_json::{Map, Value, json};

use super::FORMAT;
use crate::file::FormatError;
use crate::schema::avro::{CONNECT_DEFAULT, DEFAULT_PRECISION, ENUM, UNION, short_name};
use crate::schema::{DECIMAL_PRECISION, DEFAULT, DOC, NAME, PARAMETERS, VERSION, is_json_text};

/// The record that stands for an entry of a map whose keys are not strings.
const MAP_ENTRY: &str = "io.confluent.connect.avro.MapEntry";

/// The schema of a file's rows; the field's own nullability is left out, since no row is null.
///
/// # Errors
/// [`FormatError::Unsupported`] with the path of the field that Avro cannot hold.
pub(super) fn derive(field: &FieldRef) -> Result<Value, FormatError> {
    Names::default().of(field, &mut Vec::new())
}

/// The named types so far: by full name, the type that each stands for.
#[derive(Default)]
struct Names(BTreeMap<String, DataType>);

/// What a type's name is to the text.
enum Named {
    /// Its definition goes here.
    New(String),
    /// It was defined before: the name is enough.
    Known(String),
}

fn unsupported(path: &[&str], what: &str, hint: &str) -> FormatError {
    let place = if path.is_empty() { "values".to_owned() } else { format!("field \"{}\"", path.join(".")) };
    FormatError::Unsupported { format: FORMAT, what: format!("{place} {what}"), hint: hint.to_owned() }
}

fn parameter<'a>(field: &'a Field, name: &str) -> Option<&'a String> {
    field.metadata().get(&format!("{PARAMETERS}{name}"))
}

/// True for what the specification takes as a name or as a part of one.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_') && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Names {
    /// The type of a field, without its nullability.
    fn of<'a>(&mut self, field: &'a Field, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let metadata = field.metadata();
        Ok(match field.data_type() {
            DataType::Boolean => described(field, json!({"type": "boolean"})),
            DataType::Int8 => described(field, json!({"type": "int", "connect.type": "int8"})),
            DataType::Int16 => described(field, json!({"type": "int", "connect.type": "int16"})),
            DataType::Int32 => described(field, json!({"type": "int"})),
            DataType::Int64 => described(field, json!({"type": "long"})),
            DataType::Float32 => described(field, json!({"type": "float"})),
            DataType::Float64 => described(field, json!({"type": "double"})),
            DataType::Utf8 if is_json_text(field) => {
                let hint = "avro needs typed values: declare a schema in value.schema, or use a converter with schemas";
                return Err(unsupported(path, "of JSON without a schema", hint));
            }
            DataType::Utf8 if parameter(field, ENUM).is_some() => self.enumeration(field, path)?,
            DataType::Utf8 => described(field, json!({"type": "string"})),
            DataType::Binary => described(field, json!({"type": "bytes"})),
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
                let precision = parameter(field, DECIMAL_PRECISION).and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PRECISION);
                described(field, json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}))
            }
            DataType::Date32 => described(field, json!({"type": "int", "logicalType": "date"})),
            DataType::Time32(TimeUnit::Millisecond) => described(field, json!({"type": "int", "logicalType": "time-millis"})),
            DataType::Timestamp(TimeUnit::Millisecond, _) => described(field, json!({"type": "long", "logicalType": "timestamp-millis"})),
            DataType::List(item) => json!({"type": "array", "items": self.optional(item, path)?.0}),
            DataType::Map(entries, _) => self.map(entries, path)?,
            DataType::Struct(members) if metadata.get(NAME).is_some_and(|name| name == UNION) => self.union(field, members, path)?,
            DataType::Struct(fields) => self.record(field, fields, path)?,
            other => return Err(unsupported(path, &format!("of type {other}"), "convert it with a transform, or drop it")),
        })
    }

    /// The type of a field with its nullability, and the default that goes with it.
    fn optional<'a>(&mut self, field: &'a Field, path: &mut Vec<&'a str>) -> Result<(Value, Option<Value>), FormatError> {
        let inner = self.of(field, path)?;
        let default = default(field);
        Ok(match (field.is_nullable(), inner, default) {
            // A union cannot hold a union: this one has null among its branches.
            (true, Value::Array(branches), _) => (Value::Array(branches), None),
            (true, inner, None) => (json!(["null", inner]), Some(Value::Null)),
            (true, inner, default) => (json!([inner, "null"]), default),
            (false, inner, default) => (inner, default),
        })
    }

    fn map<'a>(&mut self, entries: &'a Field, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let DataType::Struct(fields) = entries.data_type() else { return Err(unsupported(path, "of an unknown kind of map", "drop it with a transform")) };
        let [key, value] = fields.as_ref() else { return Err(unsupported(path, "of an unknown kind of map", "drop it with a transform")) };
        let values = self.optional(value, path)?.0;
        if key.data_type() == &DataType::Utf8 {
            return Ok(json!({"type": "map", "values": values}));
        }
        let items = match self.name(MAP_ENTRY, entries.data_type()) {
            Named::Known(name) => json!(name),
            Named::New(name) => {
                let key = self.of(key, path)?;
                let fields = json!([{"name": "key", "type": key}, {"name": "value", "type": values}]);
                definition(&name, json!({"type": "record", "fields": fields, "connect.internal.type": "MapEntry"}))
            }
        };
        Ok(json!({"type": "array", "items": items}))
    }

    fn record<'a>(&mut self, field: &'a Field, fields: &'a Fields, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let own = field.metadata().get(NAME).map(String::as_str);
        if let Some(name) = own.filter(|name| !name.split('.').all(is_name)) {
            let hint = "names in avro are letters, digits and \"_\", with \".\" between: set another with the transform SetSchemaMetadata";
            return Err(unsupported(path, &format!("of a schema called \"{name}\""), hint));
        }
        let name = match self.name(own.unwrap_or(CONNECT_DEFAULT), field.data_type()) {
            Named::Known(name) => return Ok(json!(name)),
            Named::New(name) => name,
        };
        let mut list = Vec::with_capacity(fields.len());
        for child in fields {
            path.push(child.name());
            if !is_name(child.name()) {
                return Err(unsupported(path, "because of its name", "names in avro are letters, digits and \"_\": rename it with the transform ReplaceField"));
            }
            let (data_type, default) = self.optional(child, path)?;
            path.pop();
            let mut json = json!({"name": child.name(), "type": data_type});
            if let (Some(default), Some(object)) = (default, json.as_object_mut()) {
                object.insert("default".to_owned(), default);
            }
            list.push(json);
        }
        Ok(definition(&name, described(field, json!({"type": "record", "fields": list}))))
    }

    /// A name for a type: the one that is wanted, with a number after it where that name is another type's.
    fn name(&mut self, wanted: &str, data_type: &DataType) -> Named {
        let mut n = 1_u32;
        loop {
            let full = if n == 1 { wanted.to_owned() } else { format!("{wanted}{n}") };
            match self.0.get(&full) {
                Some(known) if known == data_type => return Named::Known(full),
                Some(_) => n += 1,
                None => {
                    self.0.insert(full.clone(), data_type.clone());
                    return Named::New(full);
                }
            }
        }
    }

    fn enumeration(&mut self, field: &Field, path: &[&str]) -> Result<Value, FormatError> {
        let prefix = format!("{PARAMETERS}{ENUM}.");
        let symbols: BTreeSet<&str> = field.metadata().keys().filter_map(|key| key.strip_prefix(&prefix)).collect();
        let name = parameter(field, ENUM).map_or("", String::as_str);
        match name.split('.').chain(symbols.iter().copied()).find(|part| !is_name(part)) {
            Some(part) => Err(unsupported(path, &format!("of an enum with \"{part}\" in it"), "names in avro are letters, digits and \"_\"")),
            // An enum is told from another by its symbols, which its column's type does not say.
            None => Ok(match self.name(name, &DataType::Struct(symbols.iter().map(|symbol| Field::new(*symbol, DataType::Null, true)).collect())) {
                Named::Known(name) => json!(name),
                Named::New(name) => definition(&name, described(field, json!({"type": "enum", "symbols": symbols}))),
            }),
        }
    }

    fn union<'a>(&mut self, field: &'a Field, members: &'a Fields, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let mut branches: Vec<Value> = Vec::with_capacity(members.len() + 1);
        if field.is_nullable() {
            branches.push(json!("null"));
        }
        for member in members {
            path.push(member.name());
            branches.push(self.of(member, path)?);
            path.pop();
        }
        Ok(Value::Array(branches))
    }
}

/// A named type's JSON, its name first.
fn definition(full: &str, rest: Value) -> Value {
    let mut whole = Map::new();
    whole.insert("name".to_owned(), json!(short_name(full)));
    if let Some((space, _)) = full.rsplit_once('.') {
        whole.insert("namespace".to_owned(), json!(space));
    }
    if let Value::Object(rest) = rest {
        whole.extend(rest);
    }
    Value::Object(whole)
}

/// Adds what the Connect schema says of itself.
fn described(field: &Field, mut json: Value) -> Value {
    let metadata = field.metadata();
    let Value::Object(object) = &mut json else { return json };
    if let Some(version) = metadata.get(VERSION).and_then(|text| text.parse::<i64>().ok()) {
        object.insert("connect.version".to_owned(), json!(version));
    }
    if let Some(doc) = metadata.get(DOC) {
        object.insert("connect.doc".to_owned(), json!(doc));
    }
    let parameters: BTreeMap<&str, &str> = metadata.iter().filter_map(|(key, value)| key.strip_prefix(PARAMETERS).map(|key| (key, value.as_str()))).collect();
    if !parameters.is_empty() {
        object.insert("connect.parameters".to_owned(), json!(parameters));
    }
    if let Some(name) = metadata.get(NAME) {
        object.insert("connect.name".to_owned(), json!(name));
    }
    json
}

/// The default value, where JSON's form of it is Avro's too.
fn default(field: &Field) -> Option<Value> {
    let value: Value = serde_json::from_str(field.metadata().get(DEFAULT)?).ok()?;
    let fits = match field.data_type() {
        DataType::Boolean => value.is_boolean(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        DataType::Int64 | DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..) => value.is_i64(),
        DataType::Float32 | DataType::Float64 => value.is_number(),
        DataType::Utf8 => value.as_str().is_some_and(|text| parameter(field, ENUM).is_none() || parameter(field, &format!("{ENUM}.{text}")).is_some()),
        _ => false,
    };
    fits.then_some(value)
}
