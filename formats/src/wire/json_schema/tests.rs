//! The JSON Schema converter, read as a specification: schemas and payloads in, columns and rejects out.

use arrow::array::{Array, BinaryArray};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use super::super::{Decoded, Reference};
use super::*;
use crate::schema::{DEFAULT, DOC, NAME, PARAMETERS, VERSION};

fn registered(text: &str) -> RegisteredSchema {
    RegisteredSchema::new(SchemaKind::JsonSchema, text)
}

fn converter(settings: &[(&str, &str)], schema: &RegisteredSchema) -> Result<Box<dyn Converter>, String> {
    let options = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut converter = build(&options, false, Want::Any).map_err(|error| error.to_string())?;
    converter.learn(1, Ok(schema)).map_err(|error| error.to_string())?;
    Ok(converter)
}

fn decode(converter: &mut Box<dyn Converter>, rows: &[Option<&[u8]>]) -> Decoded {
    let framed: Vec<_> = rows.iter().map(|row| row.map(|row| [&[0, 0, 0, 0, 1], row].concat())).collect();
    converter.decode("t", &framed.iter().map(Option::as_deref).collect::<BinaryArray>()).unwrap()
}

fn field(settings: &[(&str, &str)], text: &str) -> Result<Field, String> {
    let mut converter = converter(settings, &registered(text))?;
    Ok(decode(&mut converter, &[Some(b"\x00")]).spans[0].1.field.as_ref().clone())
}

/// Types with the names of fields, `?` after what is nullable.
fn shape(field: &Field) -> String {
    let optional = if field.is_nullable() { "?" } else { "" };
    let inner = match field.data_type() {
        DataType::Struct(fields) => format!("{{{}}}", fields.iter().map(|field| format!("{}: {}", field.name(), shape(field))).collect::<Vec<_>>().join(", ")),
        DataType::List(item) => format!("[{}]", shape(item)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) => format!("<{}, {}>", shape(&entry[0]), shape(&entry[1])),
            other => other.to_string(),
        },
        other => other.to_string(),
    };
    inner + optional
}

/// A row, or why it was rejected.
fn row(converter: &mut Box<dyn Converter>, payload: &str) -> String {
    let decoded = decode(converter, &[Some(payload.as_bytes())]);
    if let Some(reject) = decoded.rejects.first() {
        return format!("! {}", reject.reason.trim_start_matches("schema id \"1\": "));
    }
    let options = FormatOptions::new().with_null("null");
    ArrayFormatter::try_new(decoded.spans[0].1.array.as_ref(), &options).unwrap().value(0).to_string()
}

#[test]
fn schemas_and_their_columns() {
    let table = [
        (r#"{"type":"boolean"}"#, "Boolean"),
        (r#"{"type":"integer"}"#, "Int64"),
        (r#"{"type":"integer","connect.type":"int8"}"#, "Int8"),
        (r#"{"type":"number"}"#, "Float64"),
        (r#"{"type":"number","connect.type":"float32"}"#, "Float32"),
        (r#"{"type":"string"}"#, "Utf8"),
        (r#"{"type":"string","connect.type":"bytes"}"#, "Binary"),
        (r#"{"type":["string","null"]}"#, "Utf8?"),
        (r#"{"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int32"}]}"#, "Int32?"),
        // What is said of a type array is said of the whole, not of the types.
        (r#"{"type":["integer","null"],"connect.type":"int32"}"#, "Int64?"),
        (r#"{"enum":["a","b"]}"#, "Utf8"),
        (r#"{"type":"string","enum":["a"]}"#, "Utf8"),
        (r#"{"type":"integer","enum":[1]}"#, "Int64"),
        (r#"{"const":"a"}"#, "Utf8"),
        (r#"{"type":"integer","format":"int64"}"#, "Int64"),
        (r#"{"type":"array","items":{"type":"integer"}}"#, "[Int64]"),
        (r#"{"type":"object","connect.type":"map","additionalProperties":{"type":"integer"}}"#, "<Utf8, Int64>"),
        (r#"{"type":"object","additionalProperties":{"type":["string","null"]}}"#, "<Utf8, Utf8?>"),
        (
            r#"{"type":"array","connect.type":"map","items":{"type":"object","properties":{"key":{"type":"integer"},"value":{"type":"string"}}}}"#,
            "<Int64, Utf8>",
        ),
        (r#"{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"integer"}}}"#, "{a: Int64, b: Utf8}"),
        (r#"{"type":"object","properties":{"b":{"type":"string","connect.index":0},"a":{"type":"integer","connect.index":1}}}"#, "{b: Utf8, a: Int64}"),
        (
            r#"{"oneOf":[{"type":"integer"},{"type":"null"},{"type":"string"}]}"#,
            "{io.confluent.connect.json.OneOf.field.0: Int64?, io.confluent.connect.json.OneOf.field.1: Utf8?}?",
        ),
        (r#"{"anyOf":[{"type":"integer"}]}"#, "Int64"),
        (
            r##"{"allOf":[{"$ref":"#/definitions/x"},{"type":"object","properties":{"b":{"type":"string"}}}],"definitions":{"x":{"type":"object","properties":{"a":{"type":"boolean"}}}}}"##,
            "{a: Boolean, b: Utf8}",
        ),
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/definitions/x"},"b":{"$ref":"#/definitions/x"}},"definitions":{"x":{"type":"object","properties":{"y":{"type":"integer"}}}}}"##,
            "{a: {y: Int64}, b: {y: Int64}}",
        ),
        (r#"{"properties":{"a":{"type":"string"}}}"#, "{a: Utf8}"),
        (r#"{"type":"integer","connect.type":"int32","title":"org.apache.kafka.connect.data.Date"}"#, "Date32"),
        (r#"{"type":"integer","connect.type":"int32","title":"org.apache.kafka.connect.data.Time"}"#, "Time32(ms)"),
        (r#"{"type":"integer","connect.type":"int64","title":"org.apache.kafka.connect.data.Timestamp"}"#, "Timestamp(ms, \"UTC\")"),
        (
            r#"{"type":"number","connect.type":"bytes","title":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"2","connect.decimal.precision":"9"}}"#,
            "Decimal128(9, 2)",
        ),
        (
            r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/x","properties":{"b":{"type":"string"}},"$defs":{"x":{"type":"object","properties":{"a":{"type":"integer","format":"int32","connect.type":"int32"}}}}}"##,
            "{a: Int32, b: Utf8}",
        ),
    ];
    for (text, want) in table {
        assert_eq!(field(&[], text).map(|field| shape(&field)), Ok(want.to_owned()), "{text}");
    }
}

#[test]
fn settings_and_what_they_change() {
    let order = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["a"]}"#;
    let union = r#"{"type":"object","properties":{"u":{"oneOf":[{"type":"string"},{"type":"integer"}]},"v":{"anyOf":[{"type":"string"}]}}}"#;
    assert_eq!(shape(&field(&[("use.optional.for.nonrequired", "true")], order).unwrap()), "{a: Utf8, b: Utf8?}");
    let sums = field(&[("generalized.sum.type.support", "true"), ("flatten.singleton.unions", "false")], union).unwrap();
    assert_eq!(shape(&sums), "{u: {connect_union_field_0: Utf8?, connect_union_field_1: Int64?}, v: {connect_union_field_0: Utf8?}}");
    let DataType::Struct(fields) = sums.data_type() else { panic!() };
    assert_eq!(fields[1].metadata().get(NAME).map(String::as_str), Some("connect_union_1"));
    let modern = r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/x","properties":{"b":{"type":"string"}},"$defs":{"x":{"type":"object","properties":{"a":{"type":"string"}}}}}"##;
    assert_eq!(shape(&field(&[("ignore.modern.dialects", "true")], modern).unwrap()), "{a: Utf8}");
    let refusals = [
        ("preserve.additional.properties", "true", "preserve.additional.properties: true is not supported: "),
        ("json.fail.invalid.schema", "true", "json.fail.invalid.schema: true is not supported: "),
        ("decimal.format", "hex", "decimal.format: \"hex\" is not one of BASE64, NUMERIC"),
        ("use.optional.for.nonrequired", "maybe", "use.optional.for.nonrequired: \"maybe\" is not a boolean; values taken: true, false"),
        ("schemas.cache.config", "many", "schemas.cache.config: \"many\" is not a number"),
    ];
    for (key, value, want) in refusals {
        let error = converter(&[(key, value)], &registered(order)).unwrap_err();
        assert!(error.starts_with(want), "{error}");
    }
    assert!(converter(&[("decimal.format", "numeric"), ("object.additional.properties", "false"), ("schemas.cache.config", "10")], &registered(order)).is_ok());
}

#[test]
fn what_columns_cannot_hold_is_refused_with_its_path() {
    let table = [
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        ("7", "a schema is an object, true or false, not 7"),
        ("{}", "the schema allows values of every type, which no column holds: say the type"),
        (r#"{"type":"null"}"#, "type null alone holds no value"),
        (r#"{"type":"text"}"#, "type \"text\" is unknown; known are string, integer, number, boolean, null, array, object"),
        (r#"{"not":{"type":"string"}}"#, "\"not\" says no type: say it beside"),
        (r#"{"type":"object","properties":{"a":{"type":"array"}}}"#, "field \"a\": an array has no schema for all of its \"items\""),
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/x"}}}"##,
            "field \"a\": \"$ref\": \"#/x\" leads nowhere: neither into the schema nor to one of its references",
        ),
        (
            r##"{"title":"Node","type":"object","properties":{"next":{"$ref":"#"}}}"##,
            "field \"next\": the schema \"Node\" contains itself, which columns cannot hold",
        ),
        (r##"{"allOf":[{"$ref":"#"},{"type":"object"}]}"##, "the parts of an \"allOf\" contain themselves, which columns cannot hold"),
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/definitions/x"}},"definitions":{"x":{"allOf":[{"type":"object","properties":{"y":{"$ref":"#/definitions/x"}}}]}}}"##,
            "field \"a.y\": the schema contains itself, which columns cannot hold",
        ),
        (r#"{"allOf":[{"type":"integer"},{"minimum":3}]}"#, "the parts of an \"allOf\", or rules that stand side by side, agree on no type"),
        (r#"{"type":"integer","connect.type":"int128"}"#, "\"connect.type\" of a number is \"int128\", it must be int8 to int64, float32, float64 or bytes"),
        (r#"{"type":"string","title":"org.apache.kafka.connect.data.Date"}"#, "title \"org.apache.kafka.connect.data.Date\" does not belong to string"),
        (r#"{"type":"number","connect.type":"bytes","title":"org.apache.kafka.connect.data.Decimal"}"#, "a decimal has no \"scale\" in \"connect.parameters\""),
    ];
    for (text, want) in table {
        assert_eq!(field(&[], text).map(|field| shape(&field)), Err(format!("schema 1: {want}")), "{text}");
    }
}

#[test]
fn names_docs_versions_parameters_and_defaults_ride_on_the_fields() {
    let text = r#"{"type":"object","title":"shop.Order","description":"an order","connect.version":3,"properties":{
        "state":{"type":"string","title":"State","default":"new","connect.parameters":{"unit":"x"}},"kind":{"enum":["a",1,null]}}}"#;
    let order = field(&[], text).unwrap();
    let get = |field: &Field, key: &str| field.metadata().get(key).cloned().unwrap_or_default();
    assert_eq!([NAME, DOC, VERSION].map(|key| get(&order, key)), ["shop.Order", "an order", "3"]);
    let DataType::Struct(fields) = order.data_type() else { panic!() };
    let find = |name: &str| fields.iter().find(|field| field.name() == name).unwrap();
    assert_eq!([NAME, DEFAULT, &format!("{PARAMETERS}unit")].map(|key| get(find("state"), key)), ["State", "\"new\"", "x"]);
    let symbol = |name: &str| get(find("kind"), &format!("{PARAMETERS}io.confluent.connect.json.Enum.{name}"));
    assert_eq!(["a", "1", "<NULL>"].map(symbol), ["a", "1", "<NULL>"]);
}

#[test]
fn a_schema_has_the_version_of_its_topics_subject() {
    let mut schema = registered(r#"{"type":"integer"}"#);
    schema.versions = [("orders-value".to_owned(), 7), ("other-value".to_owned(), 2)].into();
    let mut converter = converter(&[], &schema).unwrap();
    for (topic, want) in [("orders", Some("7")), ("other", Some("2")), ("third", None), ("orders", Some("7"))] {
        let payload: &[u8] = &[0, 0, 0, 0, 1, b'5'];
        let decoded = converter.decode(topic, &BinaryArray::from(vec![payload])).unwrap();
        assert_eq!(decoded.spans[0].1.field.metadata().get(VERSION).map(String::as_str), want, "{topic}");
    }
}

#[test]
fn payloads_and_their_rows() {
    let union = r#"{"oneOf":[{"type":"integer"},{"type":"string"},{"type":"array","items":{"type":"integer"}},
        {"type":"object","properties":{"a":{"type":"integer"},"x":{"type":"object","properties":{"p":{"type":"integer"},"q":{"type":"integer"}}}}},
        {"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}},{"type":"number"}]}"#;
    let short = |shown: String| shown.replace("io.confluent.connect.json.OneOf.field.", "");
    let decimal = r#"{"type":"number","connect.type":"bytes","title":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"2"}}"#;
    let date = r#"{"type":"integer","connect.type":"int32","title":"org.apache.kafka.connect.data.Date"}"#;
    let entries = r#"{"type":"array","connect.type":"map","items":{"type":"object","properties":{"key":{"type":"integer"},"value":{"type":"string"}}}}"#;
    let order = r#"{"type":"object","properties":{"id":{"type":"integer"},"note":{"type":["string","null"]},"size":{"type":"integer","default":5}}}"#;
    let table = [
        (order, r#"{"id":1,"note":"x","size":2,"more":{"z":[]}}"#, "{note: x, id: 1, size: 2}"),
        (order, r#"{"id":1}"#, "{note: null, id: 1, size: 5}"),
        (order, r#"{"id":1,"note":null,"size":null}"#, "{note: null, id: 1, size: 5}"),
        (
            order,
            r#"{"note":"x"}"#,
            "! field \"id\": a required int64 without default is missing; set use.optional.for.nonrequired=true where the schema does not require it",
        ),
        (order, r#"{"id":null}"#, "! field \"id\": a required int64 without default is null"),
        (order, r#"{"id":"1"}"#, "! field \"id\": \"1\" is a string, not int64"),
        (order, "null", "! a required struct without default is null"),
        (order, "{", "! malformed json at byte 1: the text ends too early"),
        (order, "", "! malformed json at byte 0: the text ends too early"),
        (decimal, "12.5", "12.50"),
        (decimal, "\"AQA=\"", "2.56"),
        (decimal, "1.234", "! 1.234 does not fit a decimal of 38 digits, 2 of them after the point"),
        (date, "19782", "2024-02-29"),
        (entries, r#"[{"key":1,"value":"a"},{"value":"b","key":2}]"#, "{1: a, 2: b}"),
        (entries, r#"[{"key":1}]"#, "! {\"key\":1} is no map entry, which is an object of key and value"),
        (entries, r#"{"1":"a"}"#, "! {\"1\":\"a\"} is an object, not map, which is an array of pairs where keys are no strings"),
        (r#"{"type":"string","connect.type":"bytes"}"#, "\"AQI=\"", "0102"),
        (union, "7", "{0: 7, 1: null, 2: null, 3: null, 4: null, 5: null}"),
        (union, "7.5", "{0: null, 1: null, 2: null, 3: null, 4: null, 5: 7.5}"),
        (union, "\"s\"", "{0: null, 1: s, 2: null, 3: null, 4: null, 5: null}"),
        (union, "[1]", "{0: null, 1: null, 2: [1], 3: null, 4: null, 5: null}"),
        (union, r#"{"a":1,"b":2}"#, "{0: null, 1: null, 2: null, 3: null, 4: {a: 1, b: 2}, 5: null}"),
        (union, r#"{"a":1,"b":2,"x":{"p":1,"q":2}}"#, "{0: null, 1: null, 2: null, 3: {x: {p: 1, q: 2}, a: 1}, 4: null, 5: null}"),
        (union, "true", "! true fits no member of the schema's union"),
        (union, r#"{"c":1}"#, "! {\"c\":1} fits no member of the schema's union"),
    ];
    for (schema, payload, want) in table {
        let mut converter = converter(&[], &registered(schema)).unwrap();
        assert_eq!(short(row(&mut converter, payload)), want, "{schema} {payload}");
    }
}

#[test]
fn references_are_found_by_the_names_that_the_registry_gives() {
    let mut schema = registered(r#"{"type":"object","properties":{"net":{"$ref":"money.json"},"tax":{"$ref":"http://shop.example/money.json"}}}"#);
    let money = r#"{"$id":"http://shop.example/money.json","type":"object","properties":{"unit":{"$ref":"unit.json#/definitions/code"}}}"#;
    let unit = r#"{"definitions":{"code":{"type":"string"}}}"#;
    for (name, text) in [("unit.json", unit), ("money.json", money)] {
        schema.references.push(Reference { name: name.to_owned(), text: text.to_owned() });
    }
    let mut converter = converter(&[], &schema).unwrap();
    assert_eq!(row(&mut converter, r#"{"net":{"unit":"EUR"},"tax":{"unit":"USD"}}"#), "{net: {unit: EUR}, tax: {unit: USD}}");
}

#[test]
fn a_schema_of_another_language_is_refused() {
    let mut converter = build(&Options::new(), true, Want::Any).unwrap();
    let error = converter.learn(1, Ok(&RegisteredSchema::new(SchemaKind::Avro, "\"int\""))).unwrap_err();
    assert_eq!(error.to_string(), "schema 1: it is a schema of type \"AVRO\", not JSON: use the converter for that type");
    let decoded = decode(&mut converter, &[Some(b"7")]);
    assert_eq!(decoded.rejects[0].reason, "schema id \"1\": it is a schema of type \"AVRO\", not JSON: use the converter for that type");
}

/// Schema-like JSON with references into itself.
fn schemas() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::json;
    let leaf = prop_oneof![
        Just(json!({"type": "integer"})),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"$ref": "#/definitions/d"})),
        Just(json!({"$ref": "#"})),
        Just(json!({"enum": ["a", 1]})),
        Just(json!(true)),
        Just(json!({"type": "number", "title": "org.apache.kafka.connect.data.Decimal", "connect.parameters": {"scale": "1"}, "default": 2})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            (parts.clone(), prop::sample::select(vec!["oneOf", "anyOf", "allOf"])).prop_map(|(parts, keyword)| json!({keyword: parts})),
            parts.prop_map(|parts| json!({"type": "object", "properties": parts.into_iter().enumerate().map(|(i, part)| (format!("p{i}"), part)).collect::<serde_json::Map<_, _>>()})),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.prop_map(|values| json!({"type": "object", "additionalProperties": values, "connect.type": "map"})),
        ]
    })
}

#[test]
fn parts_that_multiply_are_refused() {
    let refused = "it has more than 20000 types once its references are written out";
    let multiplied = |levels: usize, times: usize, last: &str| {
        let level = |level: usize| {
            let part = format!(r##"{{"$ref":"#/definitions/d{}"}}"##, level + 1);
            format!(r#""d{level}":{{"allOf":[{}]}}"#, vec![part; times].join(","))
        };
        let levels: String = (0..levels).map(|number| level(number) + ",").collect::<String>() + &format!(r#""d{levels}":{last}"#);
        format!(r##"{{"allOf":[{{"$ref":"#/definitions/d0"}},{{"type":"object"}}],"definitions":{{{levels}}}}}"##)
    };
    let narrow = r#"{"type":"object","properties":{"x":{"type":"string"}}}"#;
    let properties: Vec<_> = (0..500).map(|number| format!(r#""p{number}":{{"type":"string"}}"#)).collect();
    let wide = format!(r#"{{"type":"object","properties":{{{}}}}}"#, properties.join(","));
    assert_eq!(field(&[], &multiplied(3, 2, narrow)).map(|field| shape(&field)), Ok("{x: Utf8}".to_owned()));
    for text in [multiplied(40, 2, narrow), multiplied(40, 8, narrow), multiplied(2, 8, &wide)] {
        let error = field(&[], &text).unwrap_err();
        assert!(error.ends_with(refused), "{error}");
    }
}

#[test]
fn a_property_that_finds_no_number_is_refused() {
    let text = r#"{"type":"object","properties":{"a":{"type":"string","connect.index":9223372036854775807},"b":{"type":"string","connect.index":9223372036854775807}}}"#;
    let error = field(&[], text).unwrap_err();
    assert!(error.contains("\"connect.index\" of property \"b\" is \"9223372036854775807\""), "{error}");
}

proptest! {
    /// Any schema is columns or a refusal, and any payload under it a row or a reject.
    #[test]
    fn nothing_panics(mut schema in schemas(), definition in schemas(), payloads in prop::collection::vec("[\\[\\]{}:,\"p0-9a-c.]{0,16}", 0..8)) {
        if let Some(object) = schema.as_object_mut() {
            object.insert("definitions".to_owned(), serde_json::json!({"d": definition}));
        }
        if let Ok(mut converter) = converter(&[], &registered(&schema.to_string())) {
            let rows: Vec<_> = payloads.iter().map(|payload| Some(payload.as_bytes())).chain([None, Some(&b"\xff"[..])]).collect();
            let decoded = decode(&mut converter, &rows);
            let column = &decoded.spans[0].1;
            prop_assert_eq!(column.len(), rows.len());
            column.array.to_data().validate_full().unwrap();
            for reject in &decoded.rejects {
                prop_assert!(column.array.is_null(reject.row));
            }
        }
    }
}
