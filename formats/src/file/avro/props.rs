//! What an Avro type says beside its form: `connect.*` properties, logical types, and default values.
//!
//! Source: `AvroData.fromConnectSchema` and `defaultValueFromConnect`. A default is read as the JSON of a Connect schema's `default` (bytes and decimals
//! in base64) and written as Avro's (bytes as the characters U+0000 to U+00FF).

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType, i256,
};
use serde_json::{Map, Number, Value, json};

use super::schema::{Rules, decimal_bytes, decimal_precision, is_union, parameter, symbols};
use crate::schema::avro::{DEFAULT_PRECISION, ENUM, FIELD_DEFAULT};
use crate::schema::{DATE, DECIMAL, DECIMAL_PRECISION, DEFAULT, DOC, NAME, PARAMETERS, TIME, TIMESTAMP, VERSION, is_optional_key};
use crate::wire::json::default_value;

/// Adds what the Connect schema says of itself.
pub(super) fn described(field: &Field, json: Value, connect_type: Option<&str>, rules: Rules) -> Value {
    let Value::Object(mut object) = json else { return json };
    let logical = logical(field);
    if let DataType::Decimal128(digits, scale) | DataType::Decimal256(digits, scale) = field.data_type() {
        let precision = match rules.of_columns {
            true => decimal_precision(field, *digits, *scale).into(),
            false => parameter(field, DECIMAL_PRECISION).and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PRECISION),
        };
        object.insert("scale".to_owned(), json!(scale));
        object.insert("precision".to_owned(), json!(precision));
    }
    if rules.metadata {
        connect(field, logical.map(|(name, _)| name), connect_type, rules, &mut object);
    }
    if let Some((_, logical)) = logical {
        object.insert("logicalType".to_owned(), json!(logical));
    }
    for (name, value) in parameters(field).into_iter().filter(|(name, _)| name.starts_with("avro")) {
        object.insert(name.to_owned(), json!(value));
    }
    Value::Object(object)
}

/// Connect's name of a logical type, and Avro's.
fn logical(field: &Field) -> Option<(&'static str, &'static str)> {
    Some(match field.data_type() {
        DataType::Decimal128(..) | DataType::Decimal256(..) => (DECIMAL, "decimal"),
        DataType::Date32 => (DATE, "date"),
        DataType::Time32(_) => (TIME, "time-millis"),
        DataType::Timestamp(..) => (TIMESTAMP, "timestamp-millis"),
        _ => return None,
    })
}

fn parameters(field: &Field) -> BTreeMap<&str, &str> {
    field.metadata().iter().filter_map(|(key, value)| Some((key.strip_prefix(PARAMETERS)?, value.as_str()))).collect()
}

/// The parameters that a schema's `connect.parameters` shows.
fn own_parameters(field: &Field) -> Map<String, Value> {
    parameters(field).into_iter().filter(|(name, _)| *name != FIELD_DEFAULT).map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// The properties that `connect.meta.data` turns on. A logical type that no converter named has the properties that Connect's own builder gives it.
fn connect(field: &Field, logical: Option<&str>, connect_type: Option<&str>, rules: Rules, object: &mut Map<String, Value>) {
    let metadata = field.metadata();
    let built = logical.filter(|_| !metadata.contains_key(NAME));
    if let Some(doc) = metadata.get(DOC) {
        object.insert("connect.doc".to_owned(), json!(doc));
    }
    if let Some(version) = metadata.get(VERSION).and_then(|text| text.parse::<i64>().ok()).or(built.map(|_| 1)) {
        object.insert("connect.version".to_owned(), json!(version));
    }
    let mut parameters = own_parameters(field);
    // Connect's own builder of decimals says this first.
    if let (DataType::Decimal128(..) | DataType::Decimal256(..), Some(scale)) = (field.data_type(), parameters.shift_remove("scale")) {
        parameters = [("scale".to_owned(), scale)].into_iter().chain(parameters).collect();
    }
    if let (Some(DECIMAL), DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)) = (built, field.data_type()) {
        parameters.insert("scale".to_owned(), json!(scale.to_string()));
    }
    if !parameters.is_empty() {
        object.insert("connect.parameters".to_owned(), Value::Object(parameters));
    }
    if parameter(field, FIELD_DEFAULT).is_none()
        && let Some(default) = default(field, rules)
    {
        object.insert("connect.default".to_owned(), default);
    }
    if let Some(name) = metadata.get(NAME).map(String::as_str).or(built) {
        object.insert("connect.name".to_owned(), json!(name));
    }
    if let Some(connect_type) = connect_type {
        object.insert("connect.type".to_owned(), json!(connect_type));
    }
}

/// Adds a field's own parameters to its JSON: it refers to a type that was defined with others.
pub(super) fn add_parameters(field: &Field, json: &mut Value) {
    let parameters = own_parameters(field);
    if let Value::Object(object) = json
        && !parameters.is_empty()
    {
        object.insert("connect.parameters".to_owned(), Value::Object(parameters));
    }
}

/// The default value of a field's schema as Avro's JSON; none when it has none, or one that is not of its type.
pub(super) fn default(field: &Field, rules: Rules) -> Option<Value> {
    field.metadata().get(DEFAULT)?;
    let array = default_value(&field.clone().into())?;
    value(field, array.as_ref(), 0, rules)
}

/// The default, if the Java library lets it stand at a record's field: a symbol that the enum has, nothing with pairs in it.
pub(super) fn valid(field: &Field, default: Option<Value>, rules: Rules) -> Option<Value> {
    let default = default?;
    let fits = match &default {
        Value::Null => true,
        Value::String(text) if parameter(field, ENUM).is_some() => symbols(field).contains(text),
        _ => !has_pairs(field, rules),
    };
    let misplaced = is_union(field) && default.is_null() != field.is_nullable();
    (fits && !misplaced).then_some(default)
}

/// True when a map within the field is an array of entries.
fn has_pairs(field: &Field, rules: Rules) -> bool {
    match field.data_type() {
        DataType::List(item) => has_pairs(item, rules),
        DataType::Struct(fields) => fields.iter().any(|field| has_pairs(field, rules)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) => entry.first().is_none_or(|key| !is_map_key(key, rules)) || entry.iter().any(|field| has_pairs(field, rules)),
            _ => true,
        },
        _ => false,
    }
}

/// True for the key of a map that is a map in Avro, too.
pub(in crate::file) fn is_map_key(key: &Field, rules: Rules) -> bool {
    key.data_type() == &DataType::Utf8 && (rules.optional_keys || !is_optional_key(key))
}

fn value(field: &Field, array: &dyn Array, row: usize, rules: Rules) -> Option<Value> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    Some(match field.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Date32 => json!(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(_) => json!(array.as_primitive::<Time32MillisecondType>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Timestamp(..) => json!(array.as_primitive::<TimestampMillisecondType>().value(row)),
        // By its own digits: 0.1 stays 0.1.
        DataType::Float32 => Value::Number(Number::from_f64(array.as_primitive::<Float32Type>().value(row).to_string().parse().ok()?)?),
        DataType::Float64 => Value::Number(Number::from_f64(array.as_primitive::<Float64Type>().value(row))?),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => characters(array.as_binary::<i32>().value(row)),
        DataType::Decimal128(digits, _) => unscaled(i256::from_i128(array.as_primitive::<Decimal128Type>().value(row)), *digits, rules),
        DataType::Decimal256(digits, _) => unscaled(array.as_primitive::<Decimal256Type>().value(row), *digits, rules),
        DataType::List(item) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|at| value(item, items.as_ref(), at, rules)).collect::<Option<_>>()?)
        }
        DataType::Map(entries, _) => map(entries, &array.as_map().value(row), rules)?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            if is_union(field) {
                let (first, column) = fields.first().zip(columns.first())?;
                return value(first, column, row, rules);
            }
            let member =
                |(field, column): (&arrow::datatypes::FieldRef, &arrow::array::ArrayRef)| Some((field.name().clone(), value(field, column, row, rules)?));
            Value::Object(fields.iter().zip(columns).map(member).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn map(entries: &Field, array: &dyn Array, rules: Rules) -> Option<Value> {
    let DataType::Struct(entry) = entries.data_type() else { return None };
    let ([key, of], [keys, values]) = (entry.as_ref(), array.as_struct_opt()?.columns()) else { return None };
    if is_map_key(key, rules) {
        let member = |at: usize| Some((keys.as_string::<i32>().value(at).to_owned(), value(of, values, at, rules)?));
        return Some(Value::Object((0..keys.len()).map(member).collect::<Option<_>>()?));
    }
    let pair = |at: usize| Some(json!([value(key, keys, at, rules)?, value(of, values, at, rules)?]));
    Some(Value::Array((0..keys.len()).map(pair).collect::<Option<_>>()?))
}

/// Bytes as the characters of ISO 8859-1.
fn characters(bytes: &[u8]) -> Value {
    Value::String(bytes.iter().map(|byte| char::from(*byte)).collect())
}

/// A decimal's bytes: as many as its column has, or as few as hold it.
fn unscaled(value: i256, digits: u8, rules: Rules) -> Value {
    let bytes = value.to_be_bytes();
    if rules.of_columns {
        let size = usize::try_from(decimal_bytes(digits)).unwrap_or(bytes.len());
        return characters(&bytes[bytes.len() - size..]);
    }
    let sign = if value.is_negative() { 0xff } else { 0 };
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[0] ^ pair[1]) & 0x80 == 0).count();
    characters(&bytes[spare..])
}
