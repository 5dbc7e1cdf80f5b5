//! A field's Connect schema as the JSON that goes into envelopes: the inverse of [`crate::schema::from_connect_json`].
//!
//! Members are in the order in which `JsonConverter#asJsonSchema` puts them: `type`, what is inside, `optional`, `name`, `version`, `doc`, `parameters`,
//! `default`, and in a struct `field`.

use arrow::datatypes::{DataType, Field};

use crate::file::json::push_string;
use crate::schema::{DATE, DECIMAL, DEFAULT, DOC, NAME, PARAMETERS, TIME, TIMESTAMP, VERSION, is_optional_key};

/// Appends the schema; `member` is its name in the struct that it is in.
pub(super) fn push_schema(field: &Field, member: Option<&str>, out: &mut Vec<u8>) {
    let (name, logical) = type_name(field.data_type());
    out.extend_from_slice(b"{\"type\":");
    push_string(name.as_bytes(), out);
    match field.data_type() {
        DataType::List(item) => {
            out.extend_from_slice(b",\"items\":");
            push_schema(item, None, out);
        }
        DataType::Map(entries, _) => {
            if let DataType::Struct(entry) = entries.data_type()
                && let [key, value] = entry.as_ref()
            {
                out.extend_from_slice(b",\"keys\":");
                push_schema(&key.as_ref().clone().with_nullable(is_optional_key(key)), None, out);
                out.extend_from_slice(b",\"values\":");
                push_schema(value, None, out);
            }
        }
        DataType::Struct(fields) => {
            out.extend_from_slice(b",\"fields\":[");
            for (at, field) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_schema(field, Some(field.name()), out);
            }
            out.push(b']');
        }
        _ => {}
    }
    out.extend_from_slice(if field.is_nullable() { b",\"optional\":true" } else { b",\"optional\":false" });
    push_metadata(field, logical, out);
    if let Some(member) = member {
        push_member("field", member, out);
    }
    out.push(b'}');
}

fn push_member(name: &str, text: &str, out: &mut Vec<u8>) {
    out.push(b',');
    push_string(name.as_bytes(), out);
    out.push(b':');
    push_string(text.as_bytes(), out);
}

/// Name, version, doc, parameters, default.
fn push_metadata(field: &Field, logical: Option<&str>, out: &mut Vec<u8>) {
    let metadata = field.metadata();
    let text = |key: &str| metadata.get(key).map(String::as_str);
    if let Some(name) = text(NAME).or(logical) {
        push_member("name", name, out);
    }
    if let Some(version) = text(VERSION).or(logical.filter(|_| text(NAME).is_none()).map(|_| "1")) {
        out.extend_from_slice(b",\"version\":");
        out.extend_from_slice(version.as_bytes());
    }
    if let Some(doc) = text(DOC) {
        push_member("doc", doc, out);
    }
    let mut parameters: Vec<(&str, &str)> = metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(PARAMETERS)?, value.as_str()))).collect();
    let scale = match field.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Some(scale.to_string()),
        _ => None,
    };
    if let Some(scale) = scale.as_deref().filter(|_| parameters.iter().all(|(key, _)| *key != "scale")) {
        parameters.push(("scale", scale));
    }
    parameters.sort_unstable();
    for (at, (key, value)) in parameters.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"parameters\":{" } else { b"," });
        push_string(key.as_bytes(), out);
        out.push(b':');
        push_string(value.as_bytes(), out);
    }
    if !parameters.is_empty() {
        out.push(b'}');
    }
    if let Some(default) = text(DEFAULT) {
        out.extend_from_slice(b",\"default\":");
        out.extend_from_slice(default.as_bytes());
    }
}

/// Connect's type, and the name of the logical type that the column stands for.
fn type_name(data_type: &DataType) -> (&'static str, Option<&'static str>) {
    match data_type {
        DataType::Boolean => ("boolean", None),
        DataType::Int8 => ("int8", None),
        DataType::Int16 => ("int16", None),
        DataType::Int32 => ("int32", None),
        DataType::Int64 => ("int64", None),
        DataType::Float32 => ("float", None),
        DataType::Float64 => ("double", None),
        DataType::Binary => ("bytes", None),
        DataType::Decimal128(..) | DataType::Decimal256(..) => ("bytes", Some(DECIMAL)),
        DataType::Date32 => ("int32", Some(DATE)),
        DataType::Time32(_) => ("int32", Some(TIME)),
        DataType::Timestamp(..) => ("int64", Some(TIMESTAMP)),
        DataType::List(_) => ("array", None),
        DataType::Map(..) => ("map", None),
        DataType::Struct(_) => ("struct", None),
        _ => ("string", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::from_connect_json;

    #[test]
    fn a_schema_is_written_as_it_was_read() {
        for schema in [
            r#"{"type":"string","optional":false}"#,
            r#"{"type":"double","optional":true,"default":1.5}"#,
            r#"{"type":"int64","optional":true,"name":"a \"b\"","version":3,"doc":"é","parameters":{"a":"1","b":""}}"#,
            r#"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}}"#,
            r#"{"type":"int64","optional":false,"name":"org.apache.kafka.connect.data.Timestamp","version":1}"#,
            r#"{"type":"array","items":{"type":"float","optional":true},"optional":false}"#,
            r#"{"type":"map","keys":{"type":"string","optional":true},"values":{"type":"boolean","optional":false},"optional":true}"#,
            r#"{"type":"struct","fields":[{"type":"int8","optional":false,"field":"a"},{"type":"struct","fields":[],"optional":true,"field":"b"}],"optional":false,"name":"r","version":1}"#,
        ] {
            let field = from_connect_json("value", schema.as_bytes()).expect(schema);
            let mut out = Vec::new();
            push_schema(&field, None, &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), schema);
        }
    }

    #[test]
    fn a_logical_type_has_its_name_even_where_the_column_does_not_say_it() {
        let mut out = Vec::new();
        push_schema(&Field::new("v", DataType::Decimal128(38, 2), false), None, &mut out);
        let expected = r#"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}}"#;
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
