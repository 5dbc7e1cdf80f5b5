//! Avro schemas as Arrow fields, as Confluent's `AvroData.toConnectSchema` sees them.
//!
//! | Avro | Arrow | Connect metadata |
//! |---|---|---|
//! | boolean, float, double, string | Boolean, Float32, Float64, Utf8 | |
//! | int, `connect.type` int8 or int16 | Int32, Int8, Int16 | |
//! | int date, int time-millis | Date32, Time32(Millisecond) | Date, Time |
//! | long, long timestamp-millis | Int64, Timestamp(Millisecond, "UTC") | Timestamp |
//! | bytes, fixed | Binary | a fixed's name, `connect.fixed.size` |
//! | bytes or fixed decimal(p, s) | Decimal128(p, s), Decimal256 from p = 39; p = 64 is upstream's "not declared": 38 | Decimal, `connect.decimal.precision` |
//! | enum | Utf8 | name, parameters `io.confluent.connect.avro.Enum`, `….Enum.<symbol>` |
//! | array; of `MapEntry` records | List; Map | |
//! | map | Map with Utf8 keys | |
//! | record | Struct | name; its documentation and its fields' as parameters `io.confluent.connect.avro.record.doc`, `….field.doc.<field>` |
//! | union of null and one type | that type, nullable | |
//! | other unions | Struct with a nullable field for each branch | name `io.confluent.connect.avro.Union` |
//!
//! A default is kept as Connect's JSON has it: bytes and decimals in base64.
//!
//! Every other logical type is left out, as upstream: micros are integers, a uuid is a string.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::parse::{Kind, RecordField, Schema, short_name};
use crate::schema::{DATE, DECIMAL, DECIMAL_PRECISION, DEFAULT, DOC, NAME, PARAMETERS, TIME, TIMESTAMP, VERSION, decimal_type};

/// Namespace of the names that Confluent's converter gives.
const CONFLUENT: &str = "io.confluent.connect.avro";
/// The record name that stands for a struct without a name (`AvroData.DEFAULT_SCHEMA_FULL_NAME`).
pub(crate) const CONNECT_DEFAULT: &str = "io.confluent.connect.avro.ConnectDefault";
/// The struct name that stands for a union of more than one type.
pub(crate) const UNION: &str = "io.confluent.connect.avro.Union";
/// The parameter that holds an enum's name; with a dot and a symbol after it, that symbol.
pub(crate) const ENUM: &str = "io.confluent.connect.avro.Enum";
/// The same for the other way to write a union (`ConnectUnion.LOGICAL_PARAMETER`): the parameter that the struct has.
pub(crate) const CONNECT_UNION: &str = "org.apache.kafka.connect.data.Union";
/// Metadata key: an enum's symbols in their order, as a JSON array.
pub(crate) const SYMBOLS: &str = "avro.enum.symbols";
/// The parameter of a struct that holds its record's documentation.
pub(crate) const RECORD_DOC: &str = "io.confluent.connect.avro.record.doc";
/// The same for a field's: the field's name follows.
pub(crate) const FIELD_DOC: &str = "io.confluent.connect.avro.field.doc.";
/// The same for an enum's: the enum's short name follows.
pub(crate) const ENUM_DOC: &str = "io.confluent.connect.avro.enum.doc.";
/// The parameter that holds an enum's default symbol: the enum's short name follows.
pub(crate) const ENUM_DEFAULT: &str = "io.confluent.connect.avro.enum.default.";
/// The parameter that says that a default value was a record field's.
pub(crate) const FIELD_DEFAULT: &str = "io.confluent.connect.avro.field.default";
/// The parameter that holds the length of a fixed.
pub(crate) const FIXED_SIZE: &str = "connect.fixed.size";
/// Upstream's precision where none was declared (`AvroData.CONNECT_AVRO_DECIMAL_PRECISION_DEFAULT`).
pub(crate) const DEFAULT_PRECISION: i64 = 64;

/// The converter's settings that change what a schema becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// `enhanced.avro.schema.support`: members of a union are called by full names.
    pub(crate) enhanced: bool,
    /// `connect.meta.data`: documentation and `connect.parameters` are kept.
    pub(crate) metadata: bool,
}

impl Default for Mapping {
    /// Upstream's defaults.
    fn default() -> Self {
        Self { enhanced: false, metadata: true }
    }
}

/// The field of a schema.
///
/// # Errors
/// The path and the type that columns cannot hold, for a person.
pub(crate) fn field(schema: &Schema, name: &str, mapping: Mapping) -> Result<Field, String> {
    convert(schema, name, mapping, Place::default()).map_err(|fault| match fault.path.is_empty() {
        true => fault.what,
        false => format!("field \"{}\": {}", fault.path.iter().rev().map(String::as_str).collect::<Vec<_>>().join("."), fault.what),
    })
}

/// What the place of a type adds to it.
#[derive(Default, Clone, Copy)]
struct Place<'a> {
    optional: bool,
    default: Option<&'a Value>,
}

struct Fault {
    path: Vec<String>,
    what: String,
}

impl Fault {
    fn new(what: impl Into<String>) -> Self {
        Self { path: Vec::new(), what: what.into() }
    }

    fn below(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }
}

type Metadata = HashMap<String, String>;

fn parameter(metadata: &mut Metadata, name: &str, value: impl Into<String>) {
    metadata.insert(format!("{PARAMETERS}{name}"), value.into());
}

fn convert(schema: &Schema, name: &str, mapping: Mapping, place: Place<'_>) -> Result<Field, Fault> {
    if let Some((inner, _)) = schema.optional() {
        // Upstream drops the default of such a field.
        return convert(inner, name, mapping, Place { optional: true, default: None });
    }
    let mut metadata = Metadata::new();
    let data_type = data_type(schema, mapping, &mut metadata)?;
    describe(schema, mapping, &mut metadata);
    defaults(schema, mapping, place, &data_type, &mut metadata);
    let optional = place.optional || matches!(&schema.kind, Kind::Union(branches) if branches.iter().any(|branch| branch.kind == Kind::Null));
    Ok(Field::new(name, data_type, optional).with_metadata(metadata))
}

fn data_type(schema: &Schema, mapping: Mapping, metadata: &mut Metadata) -> Result<DataType, Fault> {
    Ok(match &schema.kind {
        Kind::Null => return Err(Fault::new("type null alone holds no value")),
        Kind::Boolean => DataType::Boolean,
        Kind::Int => int(schema, metadata)?,
        Kind::Long if is_logical(schema, "timestamp-millis") => {
            name_logical(metadata, TIMESTAMP);
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
        }
        Kind::Long => DataType::Int64,
        Kind::Float => DataType::Float32,
        Kind::Double => DataType::Float64,
        Kind::Bytes | Kind::Fixed { .. } => {
            if let Kind::Fixed { size, .. } = &schema.kind {
                parameter(metadata, FIXED_SIZE, size.to_string());
            }
            if is_logical(schema, "decimal") { decimal(schema, metadata)? } else { DataType::Binary }
        }
        Kind::String => DataType::Utf8,
        Kind::Enum { name, symbols, doc, default } => {
            for (prefix, text) in [(ENUM_DOC, doc), (ENUM_DEFAULT, default)].into_iter().filter(|_| mapping.metadata) {
                if let Some(text) = text {
                    parameter(metadata, &format!("{prefix}{}", short_name(name)), text);
                }
            }
            metadata.insert(SYMBOLS.to_owned(), Value::from(symbols.clone()).to_string());
            parameter(metadata, ENUM, name);
            symbols.iter().for_each(|symbol| parameter(metadata, &format!("{ENUM}.{symbol}"), symbol));
            DataType::Utf8
        }
        Kind::Array(items) => match map_entry(items) {
            Some((key, value)) => map(convert(&key.schema, "key", mapping, Place::default())?, convert(&value.schema, "value", mapping, Place::default())?),
            None => DataType::List(convert(items, "item", mapping, Place::default())?.into()),
        },
        Kind::Map(values) => map(Field::new("key", DataType::Utf8, false), convert(values, "value", mapping, Place::default())?),
        Kind::Record { fields, doc, .. } => {
            if mapping.metadata {
                let docs = fields.iter().filter_map(|field| Some((format!("{FIELD_DOC}{}", field.name), field.doc.as_ref()?)));
                docs.chain(doc.as_ref().map(|doc| (RECORD_DOC.to_owned(), doc))).for_each(|(name, doc)| parameter(metadata, &name, doc));
            }
            DataType::Struct(record(fields, mapping)?)
        }
        Kind::Union(branches) => {
            metadata.insert(NAME.to_owned(), UNION.to_owned());
            DataType::Struct(union(branches, mapping)?)
        }
    })
}

/// True for that logical type, in any case, as upstream compares.
pub(crate) fn is_logical(schema: &Schema, name: &str) -> bool {
    schema.logical().is_some_and(|logical| logical.eq_ignore_ascii_case(name))
}

fn name_logical(metadata: &mut Metadata, name: &str) {
    metadata.insert(NAME.to_owned(), name.to_owned());
    metadata.insert(VERSION.to_owned(), "1".to_owned());
}

fn int(schema: &Schema, metadata: &mut Metadata) -> Result<DataType, Fault> {
    if is_logical(schema, "date") {
        name_logical(metadata, DATE);
        return Ok(DataType::Date32);
    }
    if is_logical(schema, "time-millis") {
        name_logical(metadata, TIME);
        return Ok(DataType::Time32(TimeUnit::Millisecond));
    }
    match schema.text("connect.type") {
        _ if schema.logical().is_some() => Ok(DataType::Int32),
        None => Ok(DataType::Int32),
        Some("int8") => Ok(DataType::Int8),
        Some("int16") => Ok(DataType::Int16),
        Some(other) => Err(Fault::new(format!("\"connect.type\" of an int is \"{other}\", it must be int8 or int16"))),
    }
}

fn decimal(schema: &Schema, metadata: &mut Metadata) -> Result<DataType, Fault> {
    let scale = schema.integer("scale").unwrap_or(0);
    let declared = schema.integer("precision").filter(|precision| *precision != DEFAULT_PRECISION);
    name_logical(metadata, DECIMAL);
    parameter(metadata, "scale", scale.to_string());
    if let Some(precision) = declared {
        parameter(metadata, DECIMAL_PRECISION, precision.to_string());
    }
    decimal_type(declared, scale).map_err(Fault::new)
}

/// The fields of the records that stand for the entries of a map whose keys are not strings (`AvroData.isMapEntry`); none when their form is another or
/// the key may be null, which Arrow's maps cannot hold.
pub(crate) fn map_entry(items: &Schema) -> Option<(&RecordField, &RecordField)> {
    match &items.kind {
        Kind::Record { name, fields, .. }
            if short_name(name) == "MapEntry" && name.starts_with(CONFLUENT) || items.text("connect.internal.type") == Some("MapEntry") =>
        {
            match fields.as_slice() {
                [key, value] if key.name == "key" && value.name == "value" && key.schema.optional().is_none() => Some((key, value)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn map(key: Field, value: Field) -> DataType {
    DataType::Map(Field::new("entries", DataType::Struct(vec![key, value].into()), false).into(), false)
}

fn record(fields: &[RecordField], mapping: Mapping) -> Result<Fields, Fault> {
    fields
        .iter()
        .map(|field| {
            let place = Place { optional: false, default: field.default.as_ref() };
            convert(&field.schema, &field.name, mapping, place).map_err(|fault| fault.below(&field.name))
        })
        .collect()
}

fn union(branches: &[Schema], mapping: Mapping) -> Result<Fields, Fault> {
    let mut fields: Vec<Field> = Vec::with_capacity(branches.len());
    for branch in branches.iter().filter(|branch| branch.kind != Kind::Null) {
        let name = member_name(branch, mapping);
        if fields.iter().any(|field| field.name() == name) {
            return Err(Fault::new(format!("a union has two branches called \"{name}\"; set enhanced.avro.schema.support=true to tell them apart")));
        }
        fields.push(convert(branch, name, mapping, Place { optional: true, ..Place::default() }).map_err(|fault| fault.below(name))?);
    }
    if fields.is_empty() { Err(Fault::new("a union without any type but null holds no value")) } else { Ok(fields.into()) }
}

/// What the struct that stands for a union calls a branch (`AvroData.unionMemberFieldName`).
fn member_name(branch: &Schema, mapping: Mapping) -> &str {
    match &branch.kind {
        Kind::Record { name, .. } | Kind::Enum { name, .. } => {
            if mapping.enhanced {
                name
            } else {
                short_name(name)
            }
        }
        _ => branch.type_name(),
    }
}

/// Adds what a schema says of itself: name, version, documentation, parameters.
fn describe(schema: &Schema, mapping: Mapping, metadata: &mut Metadata) {
    if mapping.metadata
        && let Some(doc) = schema.text("connect.doc")
    {
        metadata.insert(DOC.to_owned(), doc.to_owned());
    }
    if let Some(name) = schema.text("connect.name").or(match &schema.kind {
        Kind::Record { name, .. } | Kind::Enum { name, .. } => Some(name),
        // The name of a fixed that is a decimal is upstream's to ignore.
        Kind::Fixed { name, .. } if !metadata.contains_key(NAME) => Some(name),
        _ => None,
    }) && !name.starts_with(CONNECT_DEFAULT)
    {
        metadata.entry(NAME.to_owned()).or_insert_with(|| name.to_owned());
    }
    if let Some(version) = schema.integer("connect.version") {
        metadata.entry(VERSION.to_owned()).or_insert_with(|| version.to_string());
    }
    if mapping.metadata
        && let Some(Value::Object(parameters)) = schema.props.get("connect.parameters")
    {
        parameters.iter().filter_map(|(name, value)| value.as_str().map(|value| (name, value))).for_each(|(name, value)| parameter(metadata, name, value));
    }
    for (name, value) in schema.props.iter().filter(|(name, _)| name.starts_with("avro")) {
        parameter(metadata, name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
}

/// Adds the default value: a record field's, else the schema's own.
fn defaults(schema: &Schema, mapping: Mapping, place: Place<'_>, data_type: &DataType, metadata: &mut Metadata) {
    let own = schema.props.get("connect.default");
    if mapping.metadata && place.default.is_some() && own.is_none() {
        parameter(metadata, FIELD_DEFAULT, "true");
    }
    let default = place.default.or(own).and_then(|default| connect_value(schema, data_type, default));
    if let Some(default) = default.filter(|default| !default.is_null()) {
        metadata.insert(DEFAULT.to_owned(), default.to_string());
    }
}

/// A default value in the JSON of Connect's schemas, given in Avro's; none when it is not of that type.
fn connect_value(schema: &Schema, data_type: &DataType, value: &Value) -> Option<Value> {
    Some(match (&schema.kind, data_type, value) {
        (Kind::Bytes | Kind::Fixed { .. }, _, Value::String(text)) => {
            let bytes: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
            Value::String(STANDARD.encode(bytes?))
        }
        (Kind::Array(items), DataType::List(item), Value::Array(values)) => {
            Value::Array(values.iter().map(|value| connect_value(items, item.data_type(), value)).collect::<Option<_>>()?)
        }
        (Kind::Map(values), DataType::Map(entries, _), Value::Object(members)) => {
            let DataType::Struct(entry) = entries.data_type() else { return None };
            let of = entry.get(1)?.data_type();
            Value::Object(members.iter().map(|(name, value)| Some((name.clone(), connect_value(values, of, value)?))).collect::<Option<_>>()?)
        }
        (Kind::Record { fields, .. }, DataType::Struct(columns), Value::Object(members)) => {
            let member = |(field, column): (&RecordField, &FieldRef)| {
                let value = members.get(&field.name).or(field.default.as_ref()).unwrap_or(&Value::Null);
                Some((field.name.clone(), connect_value(&field.schema, column.data_type(), value)?))
            };
            Value::Object(fields.iter().zip(columns).map(member).collect::<Option<_>>()?)
        }
        (Kind::Union(branches), _, value) => match (schema.optional(), value) {
            (_, Value::Null) => Value::Null,
            (Some((inner, _)), value) => connect_value(inner, data_type, value)?,
            // A default is of the first branch.
            (None, value) => {
                let (DataType::Struct(members), Some(first)) = (data_type, branches.first().filter(|first| first.kind != Kind::Null)) else { return None };
                let member = members.first()?;
                Value::Object([(member.name().clone(), connect_value(first, member.data_type(), value)?)].into_iter().collect())
            }
        },
        (Kind::Array(_), DataType::Map(..), _) => return None,
        (_, _, value) => value.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Field, String> {
        Schema::parse(text).and_then(|schema| field(&schema, "v", Mapping::default()))
    }

    #[test]
    fn avro_types_and_their_columns() {
        let ms = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let table = [
            (r#""boolean""#, DataType::Boolean, false),
            (r#"["null","long"]"#, DataType::Int64, true),
            (r#"["long","null"]"#, DataType::Int64, true),
            (r#"{"type":"int","connect.type":"int8"}"#, DataType::Int8, false),
            (r#"{"type":"int","connect.type":"int16"}"#, DataType::Int16, false),
            (r#"{"type":"int","logicalType":"date"}"#, DataType::Date32, false),
            (r#"{"type":"int","logicalType":"time-millis"}"#, DataType::Time32(TimeUnit::Millisecond), false),
            (r#"{"type":"long","logicalType":"timestamp-millis"}"#, ms(), false),
            (r#"{"type":"long","logicalType":"timestamp-micros"}"#, DataType::Int64, false),
            (r#"{"type":"long","logicalType":"local-timestamp-millis"}"#, DataType::Int64, false),
            (r#"{"type":"string","logicalType":"uuid"}"#, DataType::Utf8, false),
            (r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, DataType::Decimal128(9, 2), false),
            (r#"{"type":"bytes","logicalType":"decimal","precision":64,"scale":2}"#, DataType::Decimal128(38, 2), false),
            (r#"{"type":"bytes","logicalType":"decimal","precision":50,"scale":2}"#, DataType::Decimal256(50, 2), false),
            (r#"{"type":"fixed","name":"F","size":8,"logicalType":"decimal","precision":18}"#, DataType::Decimal128(18, 0), false),
            (r#"{"type":"fixed","name":"F","size":8}"#, DataType::Binary, false),
            (r#"{"type":"enum","name":"n.E","symbols":["A"]}"#, DataType::Utf8, false),
            (r#"{"type":"array","items":["null","int"]}"#, DataType::List(Field::new("item", DataType::Int32, true).into()), false),
            (r#"{"type":"map","values":"int"}"#, map(Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, false)), false),
            (
                r#"{"type":"array","items":{"type":"record","name":"MapEntry","namespace":"io.confluent.connect.avro","fields":[{"name":"key","type":"int"},{"name":"value","type":"int"}]}}"#,
                map(Field::new("key", DataType::Int32, false), Field::new("value", DataType::Int32, false)),
                false,
            ),
            (
                r#"["null","int","string"]"#,
                DataType::Struct(vec![Field::new("int", DataType::Int32, true), Field::new("string", DataType::Utf8, true)].into()),
                true,
            ),
        ];
        for (text, data_type, nullable) in table {
            let field = of(text).unwrap();
            assert_eq!((field.data_type(), field.is_nullable()), (&data_type, nullable), "{text}");
        }
    }

    #[test]
    fn what_columns_cannot_hold_is_refused_with_its_path() {
        let table = [
            (r#""null""#, "type null alone holds no value"),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"record","name":"S","fields":[{"name":"b","type":"null"}]}}]}"#,
                "field \"a.b\": type null alone holds no value",
            ),
            (
                r#"["int",{"type":"array","items":"int"},{"type":"array","items":"long"}]"#,
                "a union has two branches called \"array\"; set enhanced.avro.schema.support=true to tell them apart",
            ),
            (r#"{"type":"bytes","logicalType":"decimal","precision":100,"scale":2}"#, "decimal with precision 100 and scale 2, columns hold up to 76 digits"),
        ];
        for (text, want) in table {
            assert_eq!(of(text).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn connect_metadata_rides_on_the_field() {
        let text = r#"{"type":"record","name":"Order","namespace":"shop","connect.version":3,"doc":"an order","connect.doc":"a schema","fields":[
            {"name":"state","type":{"type":"enum","name":"State","symbols":["PAID","NEW"],"doc":"states","default":"NEW"},"default":"NEW","doc":"where it is"},
            {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2},"default":"\u00ff"},
            {"name":"key","type":{"type":"fixed","name":"Key","size":2,"avro.java.string":"String"}}]}"#;
        let order = of(text).unwrap();
        let get = |field: &Field, key: &str| field.metadata().get(key).cloned().unwrap_or_default();
        assert_eq!([NAME, VERSION, DOC].map(|key| get(&order, key)), ["shop.Order", "3", "a schema"]);
        let parameter = |field: &Field, name: &str| get(field, &format!("{PARAMETERS}{name}"));
        assert_eq!([RECORD_DOC, "io.confluent.connect.avro.field.doc.state"].map(|name| parameter(&order, name)), ["an order", "where it is"]);
        let DataType::Struct(fields) = order.data_type() else { panic!() };
        assert_eq!([NAME, DEFAULT, SYMBOLS].map(|key| get(&fields[0], key)), ["shop.State", "\"NEW\"", r#"["PAID","NEW"]"#]);
        let names = [ENUM, "io.confluent.connect.avro.Enum.NEW", "io.confluent.connect.avro.enum.doc.State", "io.confluent.connect.avro.enum.default.State"];
        assert_eq!(names.map(|name| parameter(&fields[0], name)), ["shop.State", "NEW", "states", "NEW"]);
        assert_eq!(parameter(&fields[0], FIELD_DEFAULT), "true");
        assert_eq!([NAME, DEFAULT].map(|key| get(&fields[1], key)), [DECIMAL, "\"/w==\""]);
        assert_eq!(parameter(&fields[1], "connect.decimal.precision"), "9");
        assert_eq!([get(&fields[2], NAME), parameter(&fields[2], FIXED_SIZE), parameter(&fields[2], "avro.java.string")], ["shop.Key", "2", "String"]);
    }
}
