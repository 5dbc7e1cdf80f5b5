//! Connect's types and the Parquet types they become, read as a specification.

use parquet::schema::printer::print_schema;

use super::*;
use crate::schema::from_connect_json;

const RULES: Rules = Rules { metadata: true, enhanced: true, optional_keys: false, of_columns: false, scrub: false };
const UPSTREAM: Form = Form { lists: Lists::Upstream, rules: RULES };
const THREE_LEVEL: Form = Form { lists: Lists::ThreeLevel, rules: RULES };

fn message(fields: &str, form: Form) -> Message {
    let text = format!(r#"{{"type":"struct","fields":[{fields}]}}"#);
    let field = from_connect_json("value", text.as_bytes()).unwrap();
    let DataType::Struct(fields) = field.data_type() else { panic!("{field}") };
    Message::new("r", fields, form).unwrap()
}

/// The message as the library prints it, on one line and without what is around the fields.
fn printed(message: &Message) -> String {
    let mut text = Vec::new();
    print_schema(&mut text, message.schema.root_schema());
    let text = String::from_utf8(text).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    text.strip_prefix("message r { ").and_then(|text| text.strip_suffix(" }")).unwrap().to_owned()
}

const ENUM_PARAMETERS: &str =
    r#""parameters":{"io.confluent.connect.avro.Enum":"s.E","io.confluent.connect.avro.Enum.A":"A","io.confluent.connect.avro.Enum.B":"B"}"#;

#[test]
fn connect_types_and_their_columns() {
    let logical = |of: &str, name: &str, more: &str| format!(r#"{{"field":"a","type":"{of}","name":"org.apache.kafka.connect.data.{name}"{more}}}"#);
    for (field, want) in [
        (r#"{"field":"a","type":"boolean"}"#.to_owned(), "REQUIRED BOOLEAN a;"),
        (r#"{"field":"a","type":"int8"}"#.to_owned(), "REQUIRED INT32 a;"),
        (r#"{"field":"a","type":"int16","optional":true}"#.to_owned(), "OPTIONAL INT32 a;"),
        (r#"{"field":"a","type":"int32"}"#.to_owned(), "REQUIRED INT32 a;"),
        (r#"{"field":"a","type":"int64"}"#.to_owned(), "REQUIRED INT64 a;"),
        (r#"{"field":"a","type":"float"}"#.to_owned(), "REQUIRED FLOAT a;"),
        (r#"{"field":"a","type":"double","optional":true}"#.to_owned(), "OPTIONAL DOUBLE a;"),
        (r#"{"field":"a","type":"string","optional":true}"#.to_owned(), "OPTIONAL BYTE_ARRAY a (STRING);"),
        (format!(r#"{{"field":"a","type":"string",{ENUM_PARAMETERS}}}"#), "REQUIRED BYTE_ARRAY a (ENUM);"),
        (r#"{"field":"a","type":"bytes"}"#.to_owned(), "REQUIRED BYTE_ARRAY a;"),
        (logical("int32", "Date", ""), "REQUIRED INT32 a (DATE);"),
        (logical("int32", "Time", ""), "REQUIRED INT32 a (TIME(MILLIS,true));"),
        (logical("int64", "Timestamp", r#","optional":true"#), "OPTIONAL INT64 a (TIMESTAMP(MILLIS,true));"),
        // upstream says DECIMAL(64,2) where no precision is declared: more digits than most readers hold
        (logical("bytes", "Decimal", r#","parameters":{"scale":"2"}"#), "REQUIRED FIXED_LEN_BYTE_ARRAY (16) a (DECIMAL(38,2));"),
        (logical("bytes", "Decimal", r#","parameters":{"scale":"2","connect.decimal.precision":"9"}"#), "REQUIRED FIXED_LEN_BYTE_ARRAY (16) a (DECIMAL(9,2));"),
        (
            logical("bytes", "Decimal", r#","parameters":{"scale":"2","connect.decimal.precision":"50"}"#),
            "REQUIRED FIXED_LEN_BYTE_ARRAY (32) a (DECIMAL(50,2));",
        ),
        (
            r#"{"field":"a","type":"struct","optional":true,"fields":[{"field":"b","type":"int32"},{"field":"c","type":"string","optional":true}]}"#.to_owned(),
            "OPTIONAL group a { REQUIRED INT32 b; OPTIONAL BYTE_ARRAY c (STRING); }",
        ),
        (
            r#"{"field":"a","type":"struct","optional":true,"name":"io.confluent.connect.avro.Union","fields":[
                {"field":"int","type":"int32","optional":true},{"field":"string","type":"string","optional":true}]}"#
                .to_owned(),
            "OPTIONAL group a { OPTIONAL INT32 member0; OPTIONAL BYTE_ARRAY member1 (STRING); }",
        ),
        (
            r#"{"field":"a","type":"map","keys":{"type":"string"},"values":{"type":"int32","optional":true}}"#.to_owned(),
            "REQUIRED group a (MAP) { REPEATED group key_value (MAP_KEY_VALUE) { REQUIRED BYTE_ARRAY key (STRING); OPTIONAL INT32 value; } }",
        ),
        (
            format!(r#"{{"field":"a","type":"map","keys":{{"type":"string",{ENUM_PARAMETERS}}},"values":{{"type":"string",{ENUM_PARAMETERS}}}}}"#),
            "REQUIRED group a (MAP) { REPEATED group key_value (MAP_KEY_VALUE) { REQUIRED BYTE_ARRAY key (STRING); REQUIRED BYTE_ARRAY value (ENUM); } }",
        ),
        (
            r#"{"field":"a","type":"map","optional":true,"keys":{"type":"int32"},"values":{"type":"string"}}"#.to_owned(),
            "OPTIONAL group a (LIST) { REPEATED group array { REQUIRED INT32 key; REQUIRED BYTE_ARRAY value (STRING); } }",
        ),
    ] {
        assert_eq!(printed(&message(&field, UPSTREAM)), want, "{field}");
    }
}

#[test]
fn lists_have_two_levels_until_one_of_them_cannot() {
    let list = |name: &str, items: &str| format!(r#"{{"field":"{name}","type":"array","items":{items}}}"#);
    let (int, optional) = (r#"{"type":"int32"}"#, r#"{"type":"int32","optional":true}"#);
    let pair = r#"{"type":"struct","fields":[{"field":"x","type":"int32"},{"field":"y","type":"int32","optional":true}]}"#;
    let map = r#"{"type":"map","keys":{"type":"string"},"values":{"type":"int32"}}"#;
    for (fields, upstream, three_level) in [
        (list("a", int), "REQUIRED group a (LIST) { REPEATED INT32 array; }", "REQUIRED group a (LIST) { REPEATED group list { REQUIRED INT32 element; } }"),
        (
            list("a", optional),
            "REQUIRED group a (LIST) { REPEATED group list { OPTIONAL INT32 element; } }",
            "REQUIRED group a (LIST) { REPEATED group list { OPTIONAL INT32 element; } }",
        ),
        (
            list("a", pair),
            "REQUIRED group a (LIST) { REPEATED group array { REQUIRED INT32 x; OPTIONAL INT32 y; } }",
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED group element { REQUIRED INT32 x; OPTIONAL INT32 y; } } }",
        ),
        (
            list("a", &format!(r#"{{"type":"array","items":{int}}}"#)),
            "REQUIRED group a (LIST) { REPEATED group array (LIST) { REPEATED INT32 array; } }",
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED group element (LIST) { REPEATED group list { REQUIRED INT32 element; } } } }",
        ),
        (
            list("a", map),
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED group element (MAP) { REPEATED group key_value (MAP_KEY_VALUE) { REQUIRED BYTE_ARRAY key (STRING); REQUIRED INT32 value; } } } }",
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED group element (MAP) { REPEATED group key_value (MAP_KEY_VALUE) { REQUIRED BYTE_ARRAY key (STRING); REQUIRED INT32 value; } } } }",
        ),
        (
            list("a", &format!(r#"{{"type":"array","items":{{"type":"array","items":{int}}}}}"#)),
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED group element (LIST) { REPEATED group list { \
             REQUIRED group element (LIST) { REPEATED group list { REQUIRED INT32 element; } } } } } }",
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED group element (LIST) { REPEATED group list { \
             REQUIRED group element (LIST) { REPEATED group list { REQUIRED INT32 element; } } } } } }",
        ),
        // one list, wherever it is, decides for all
        (
            format!(
                r#"{},{{"field":"m","type":"map","keys":{{"type":"string"}},"values":{{"type":"struct","optional":true,"fields":[{}]}}}}"#,
                list("a", int),
                list("b", optional)
            ),
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED INT32 element; } } \
             REQUIRED group m (MAP) { REPEATED group key_value (MAP_KEY_VALUE) { REQUIRED BYTE_ARRAY key (STRING); \
             OPTIONAL group value { REQUIRED group b (LIST) { REPEATED group list { OPTIONAL INT32 element; } } } } }",
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED INT32 element; } } \
             REQUIRED group m (MAP) { REPEATED group key_value (MAP_KEY_VALUE) { REQUIRED BYTE_ARRAY key (STRING); \
             OPTIONAL group value { REQUIRED group b (LIST) { REPEATED group list { OPTIONAL INT32 element; } } } } }",
        ),
        (
            r#"{"field":"a","type":"map","keys":{"type":"int32"},"values":{"type":"int32"}}"#.to_owned(),
            "REQUIRED group a (LIST) { REPEATED group array { REQUIRED INT32 key; REQUIRED INT32 value; } }",
            "REQUIRED group a (LIST) { REPEATED group list { REQUIRED group element { REQUIRED INT32 key; REQUIRED INT32 value; } } }",
        ),
    ] {
        assert_eq!(printed(&message(&fields, UPSTREAM)), upstream, "{fields}");
        assert_eq!(printed(&message(&fields, THREE_LEVEL)), three_level, "{fields}");
    }
}

#[test]
fn without_enhanced_support_an_enum_is_a_string() {
    let field = format!(r#"{{"field":"a","type":"string",{ENUM_PARAMETERS}}}"#);
    assert_eq!(printed(&message(&field, Form { rules: Rules { enhanced: false, ..RULES }, ..UPSTREAM })), "REQUIRED BYTE_ARRAY a (STRING);");
}

#[test]
fn a_map_with_optional_keys_is_a_list_unless_that_is_allowed() {
    let field = r#"{"field":"a","type":"map","keys":{"type":"string","optional":true},"values":{"type":"int32"}}"#;
    let allowed = Form { rules: Rules { optional_keys: true, ..RULES }, ..UPSTREAM };
    for (form, want) in [
        (UPSTREAM, "REQUIRED group a (LIST) { REPEATED group array { REQUIRED BYTE_ARRAY key (STRING); REQUIRED INT32 value; } }"),
        (allowed, "REQUIRED group a (MAP) { REPEATED group key_value (MAP_KEY_VALUE) { REQUIRED BYTE_ARRAY key (STRING); REQUIRED INT32 value; } }"),
    ] {
        assert_eq!(printed(&message(field, form)), want);
    }
}

#[test]
fn columns_are_called_by_the_fields_of_the_record() {
    let fields = r#"{"field":"id","type":"int64"},
        {"field":"tags","type":"array","items":{"type":"string"}},
        {"field":"lines","type":"array","items":{"type":"struct","fields":[{"field":"sku","type":"string"},{"field":"sizes","type":"array","items":{"type":"int32"}}]}},
        {"field":"m","type":"map","keys":{"type":"string"},"values":{"type":"struct","fields":[{"field":"x","type":"int32"}]}},
        {"field":"n","type":"map","keys":{"type":"int32"},"values":{"type":"int32"}}"#;
    for form in [UPSTREAM, THREE_LEVEL] {
        let message = message(fields, form);
        assert_eq!(message.names, ["id", "tags", "lines.sku", "lines.sizes", "m.key", "m.value.x", "n.key", "n.value"]);
        assert_eq!(message.names.len(), message.schema.num_columns());
    }
}

#[test]
fn types_that_connect_does_not_have_are_written_as_the_library_does() {
    let one = |data_type: DataType| Message::new("r", &Fields::from(vec![Field::new("a", data_type, false)]), UPSTREAM);
    for (data_type, want) in [
        (DataType::UInt16, "REQUIRED INT32 a (INTEGER(16,false));"),
        (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "REQUIRED INT64 a (TIMESTAMP(MICROS,true));"),
        (DataType::Timestamp(TimeUnit::Millisecond, None), "REQUIRED INT64 a (TIMESTAMP(MILLIS,false));"),
        (DataType::List(Field::new("item", DataType::UInt64, false).into()), "REQUIRED group a (LIST) { REPEATED INT64 array (INTEGER(64,false)); }"),
    ] {
        assert_eq!(printed(&one(data_type).unwrap()), want);
    }
}

#[test]
fn a_decimals_bytes_are_the_least_that_hold_it() {
    for (digits, bytes) in [(1, 1), (2, 1), (3, 2), (9, 4), (10, 5), (18, 8), (19, 9), (38, 16), (39, 17), (76, 32)] {
        assert_eq!(decimal_bytes(digits), bytes, "{digits}");
    }
}
