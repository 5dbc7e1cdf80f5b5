//! The JSON form of a Connect schema → an Arrow field.
//!
//! This is the object that `JsonConverter` writes under `schema` in its envelope and takes in `schema.content` (KIP-1054): `type`, `optional`,
//! `name`, `version`, `doc`, `default`, `parameters`, and, by type, `fields[].field`, `items`, `keys`, `values`. The rules are those of
//! `org.apache.kafka.connect.json.JsonConverter#asConnectSchema`: members of the wrong JSON type are ignored where it ignores them, and
//! unknown members are ignored.
//!
//! Guarantee: no input panics or overflows the stack (nesting ends at [`MAX_DEPTH`]).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Fields, TimeUnit};
use serde_json::Value;

use super::avro::{ENUM, SYMBOLS};
use super::{DATE, DECIMAL, DECIMAL_PRECISION, DEFAULT, DOC, NAME, OPTIONAL_KEY, PARAMETERS, TIME, TIMESTAMP, VERSION};

/// Schemas nested deeper than this are refused: every reader of a schema is recursive, Parquet's included.
pub const MAX_DEPTH: usize = 100;

/// Why a text is not a Connect schema that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaError {
    /// Where in the schema, and what is wrong; lower case.
    pub message: String,
}

impl SchemaError {
    fn new(path: &str, what: impl std::fmt::Display) -> Self {
        Self { message: if path.is_empty() { what.to_string() } else { format!("field \"{path}\": {what}") } }
    }
}

/// Reads the JSON text of a Connect schema into a field of that name.
///
/// # Errors
/// [`SchemaError`] when the text is not JSON, not a schema, or a type that has no Arrow form.
pub fn from_connect_json(name: &str, text: &[u8]) -> Result<Field, SchemaError> {
    let value: Value = serde_json::from_slice(text).map_err(|e| SchemaError::new("", format_args!("the schema is not json: {e}")))?;
    field(name, &value, "", 0)
}

fn field(name: &str, schema: &Value, path: &str, depth: usize) -> Result<Field, SchemaError> {
    if depth >= MAX_DEPTH {
        return Err(SchemaError::new(path, format_args!("nested deeper than {MAX_DEPTH} levels")));
    }
    if !schema.is_object() {
        return Err(SchemaError::new(path, "a schema is a json object with the member \"type\""));
    }
    let type_name = schema.get("type").and_then(Value::as_str).ok_or_else(|| SchemaError::new(path, "Schema must contain 'type' field"))?;
    let metadata = metadata(schema, path)?;
    let data_type = data_type(type_name, schema, &metadata, path, depth)?;
    let optional = schema.get("optional").and_then(Value::as_bool).unwrap_or(false);
    Ok(Field::new(name, data_type, optional).with_metadata(metadata))
}

/// Name, version, doc, parameters and default, as metadata.
fn metadata(schema: &Value, path: &str) -> Result<HashMap<String, String>, SchemaError> {
    let mut metadata = HashMap::new();
    for (member, key) in [("name", NAME), ("doc", DOC)] {
        if let Some(text) = schema.get(member).and_then(Value::as_str) {
            metadata.insert(key.to_owned(), text.to_owned());
        }
    }
    if let Some(version) = schema.get("version").and_then(Value::as_i64) {
        metadata.insert(VERSION.to_owned(), version.to_string());
    }
    if let Some(parameters) = schema.get("parameters").and_then(Value::as_object) {
        for (parameter, value) in parameters {
            let value = value.as_str().ok_or_else(|| SchemaError::new(path, format_args!("parameter {parameter:?} is {value}, not a string")))?;
            metadata.insert(format!("{PARAMETERS}{parameter}"), value.to_owned());
        }
        if parameters.contains_key(ENUM) {
            // Metadata has no order, an enum's symbols have.
            let symbols: Vec<&str> = parameters.keys().filter_map(|name| name.strip_prefix(ENUM)?.strip_prefix('.')).collect();
            metadata.insert(SYMBOLS.to_owned(), Value::from(symbols).to_string());
        }
    }
    if let Some(default) = schema.get("default").filter(|d| !d.is_null()) {
        metadata.insert(DEFAULT.to_owned(), default.to_string());
    }
    Ok(metadata)
}

fn data_type(type_name: &str, schema: &Value, metadata: &HashMap<String, String>, path: &str, depth: usize) -> Result<DataType, SchemaError> {
    let logical = metadata.get(NAME).map_or("", String::as_str);
    let expected = match logical {
        DECIMAL => "bytes",
        DATE | TIME => "int32",
        TIMESTAMP => "int64",
        _ => type_name,
    };
    if expected != type_name {
        return Err(SchemaError::new(path, format_args!("logical type {logical} is made of {expected}, not {type_name:?}")));
    }
    Ok(match (type_name, logical) {
        ("bytes", DECIMAL) => decimal(metadata, path)?,
        ("int32", DATE) => DataType::Date32,
        ("int32", TIME) => DataType::Time32(TimeUnit::Millisecond),
        ("int64", TIMESTAMP) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        ("boolean", _) => DataType::Boolean,
        ("int8", _) => DataType::Int8,
        ("int16", _) => DataType::Int16,
        ("int32", _) => DataType::Int32,
        ("int64", _) => DataType::Int64,
        ("float", _) => DataType::Float32,
        ("double", _) => DataType::Float64,
        ("string", _) => DataType::Utf8,
        ("bytes", _) => DataType::Binary,
        ("array", _) => DataType::List(Arc::new(child("item", "items", schema, path, depth)?)),
        ("map", _) => {
            let mut key = child("key", "keys", schema, path, depth)?;
            if key.is_nullable() {
                key.metadata_mut().insert(OPTIONAL_KEY.to_owned(), "true".to_owned());
                key.set_nullable(false);
            }
            let value = child("value", "values", schema, path, depth)?;
            let entries = DataType::Struct(Fields::from(vec![key, value]));
            DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
        }
        ("struct", _) => DataType::Struct(struct_fields(schema, path, depth)?),
        (other, _) => {
            let known = "boolean, int8, int16, int32, int64, float, double, string, bytes, array, map, struct";
            return Err(SchemaError::new(path, format_args!("Unknown schema type: {other}; known are {known}")));
        }
    })
}

fn child(name: &str, member: &str, schema: &Value, path: &str, depth: usize) -> Result<Field, SchemaError> {
    match schema.get(member) {
        None | Some(Value::Null) => Err(SchemaError::new(
            path,
            match member {
                "items" => "Array schema did not specify the element type",
                "keys" => "Map schema did not specify the key type",
                _ => "Map schema did not specify the value type",
            },
        )),
        Some(inner) => field(name, inner, &join(path, name), depth + 1),
    }
}

fn struct_fields(schema: &Value, path: &str, depth: usize) -> Result<Fields, SchemaError> {
    let declared =
        schema.get("fields").and_then(Value::as_array).ok_or_else(|| SchemaError::new(path, "Struct schema's \"fields\" argument is not an array."))?;
    let mut fields: Vec<Field> = Vec::with_capacity(declared.len());
    let mut names = std::collections::BTreeSet::new();
    for schema in declared {
        let name = schema.get("field").and_then(Value::as_str).ok_or_else(|| SchemaError::new(path, "a struct's field has no name in \"field\""))?;
        if !names.insert(name) {
            return Err(SchemaError::new(path, format_args!("the struct has two fields named {name:?}")));
        }
        fields.push(field(name, schema, &join(path, name), depth + 1)?);
    }
    Ok(fields.into())
}

/// Decimal128 with all its digits, unless the declared precision or the scale needs Decimal256.
fn decimal(metadata: &HashMap<String, String>, path: &str) -> Result<DataType, SchemaError> {
    let parameter = |name: &str| metadata.get(&format!("{PARAMETERS}{name}"));
    let scale = parameter("scale").ok_or_else(|| SchemaError::new(path, "the decimal has no parameter \"scale\""))?;
    let digits: i32 = scale.parse().map_err(|_| SchemaError::new(path, format_args!("the decimal's scale {scale:?} is not a number")))?;
    let precision = match parameter(DECIMAL_PRECISION) {
        None => 1,
        Some(text) => text.parse().map_err(|_| SchemaError::new(path, format_args!("the decimal's {DECIMAL_PRECISION} {text:?} is not a number")))?,
    };
    let refused = || SchemaError::new(path, format_args!("a decimal of scale {digits} does not fit: the scale is -{0} to {0}", DECIMAL256_MAX_PRECISION));
    let scale = i8::try_from(digits).map_err(|_| refused())?;
    let needed = precision.max(scale.unsigned_abs());
    match needed {
        0..=DECIMAL128_MAX_PRECISION => Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale)),
        _ if scale.unsigned_abs() <= DECIMAL256_MAX_PRECISION => Ok(DataType::Decimal256(DECIMAL256_MAX_PRECISION, scale)),
        _ => Err(refused()),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Field {
        from_connect_json("value", text.as_bytes()).expect("a schema")
    }

    #[test]
    fn every_type_has_its_arrow_type() {
        let utc = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        for (schema, expected) in [
            (r#"{"type":"boolean"}"#.to_owned(), DataType::Boolean),
            (r#"{"type":"int8"}"#.to_owned(), DataType::Int8),
            (r#"{"type":"int16"}"#.to_owned(), DataType::Int16),
            (r#"{"type":"int32"}"#.to_owned(), DataType::Int32),
            (r#"{"type":"int64"}"#.to_owned(), DataType::Int64),
            (r#"{"type":"float"}"#.to_owned(), DataType::Float32),
            (r#"{"type":"double"}"#.to_owned(), DataType::Float64),
            (r#"{"type":"string"}"#.to_owned(), DataType::Utf8),
            (r#"{"type":"bytes"}"#.to_owned(), DataType::Binary),
            (format!(r#"{{"type":"int32","name":"{DATE}"}}"#), DataType::Date32),
            (format!(r#"{{"type":"int32","name":"{TIME}"}}"#), DataType::Time32(TimeUnit::Millisecond)),
            (format!(r#"{{"type":"int64","name":"{TIMESTAMP}"}}"#), utc()),
            (format!(r#"{{"type":"bytes","name":"{DECIMAL}","parameters":{{"scale":"2"}}}}"#), DataType::Decimal128(38, 2)),
            (format!(r#"{{"type":"bytes","name":"{DECIMAL}","parameters":{{"scale":"2","connect.decimal.precision":"64"}}}}"#), DataType::Decimal256(76, 2)),
        ] {
            assert_eq!(read(&schema).data_type(), &expected, "{schema}");
        }
    }

    #[test]
    fn nested_types_carry_their_children() {
        let field = read(
            r#"{"type":"struct","optional":false,"fields":[
                {"type":"array","items":{"type":"int64","optional":true},"field":"list"},
                {"type":"map","keys":{"type":"string","optional":true},"values":{"type":"double"},"field":"map"}]}"#,
        );
        let list = Field::new("list", DataType::List(Arc::new(Field::new("item", DataType::Int64, true))), false);
        let key = Field::new("key", DataType::Utf8, false).with_metadata([(OPTIONAL_KEY, "true")]);
        let entries = DataType::Struct(vec![key, Field::new("value", DataType::Float64, false)].into());
        let map = Field::new("map", DataType::Map(Arc::new(Field::new("entries", entries, false)), false), false);
        assert_eq!(field, Field::new("value", DataType::Struct(vec![list, map].into()), false));
    }

    #[test]
    fn what_arrow_cannot_say_rides_in_the_metadata() {
        let field =
            read(r#"{"type":"int32","optional":true,"name":"a.b.C","version":7,"doc":"what it is","default":42,"parameters":{"unit":"ms"},"unknown":[1]}"#);
        let expected = [(NAME, "a.b.C"), (VERSION, "7"), (DOC, "what it is"), (DEFAULT, "42"), ("connect.parameters.unit", "ms")];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert!(field.is_nullable());
        assert_eq!(field.metadata(), &HashMap::from(expected));
    }

    #[test]
    fn a_text_that_is_no_schema_is_refused_with_its_place() {
        for (schema, reason) in [
            ("", "the schema is not json: EOF while parsing a value at line 1 column 0"),
            ("7", "a schema is a json object with the member \"type\""),
            ("{}", "Schema must contain 'type' field"),
            (r#"{"type":"array"}"#, "Array schema did not specify the element type"),
            (r#"{"type":"map","keys":{"type":"string"}}"#, "Map schema did not specify the value type"),
            (r#"{"type":"struct"}"#, "Struct schema's \"fields\" argument is not an array."),
            (r#"{"type":"struct","fields":[{"type":"int32"}]}"#, "a struct's field has no name in \"field\""),
            (r#"{"type":"struct","fields":[{"type":"int32","field":"a"},{"type":"int32","field":"a"}]}"#, "the struct has two fields named \"a\""),
            (r#"{"type":"int32","parameters":{"a":1}}"#, "parameter \"a\" is 1, not a string"),
            (
                r#"{"type":"int64","name":"org.apache.kafka.connect.data.Date"}"#,
                "logical type org.apache.kafka.connect.data.Date is made of int32, not \"int64\"",
            ),
            (r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal"}"#, "the decimal has no parameter \"scale\""),
        ] {
            assert_eq!(from_connect_json("value", schema.as_bytes()).expect_err(schema).message, reason, "{schema}");
        }
        let nested = r#"{"type":"struct","fields":[{"field":"a","type":"struct","fields":[{"field":"b","type":"text"}]}]}"#;
        assert!(from_connect_json("value", nested.as_bytes()).expect_err("unknown type").message.starts_with("field \"a.b\": Unknown schema type: text"));
    }

    #[test]
    fn nesting_ends_before_the_stack_does() {
        let deep = format!("{}{{\"type\":\"int32\"}}{}", r#"{"type":"array","items":"#.repeat(110), "}".repeat(110));
        assert!(from_connect_json("value", deep.as_bytes()).is_err());
        let deep = format!("{}{{\"type\":\"int32\"}}{}", r#"{"type":"array","items":"#.repeat(5_000), "}".repeat(5_000));
        assert!(from_connect_json("value", deep.as_bytes()).is_err());
    }
}
