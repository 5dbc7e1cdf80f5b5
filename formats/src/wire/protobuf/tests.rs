//! The Protobuf converter, read as a specification: schemas and messages in, columns and rejects out.

use arrow::array::{Array, BinaryArray};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};

use super::super::Decoded;
use super::*;
use crate::schema::{NAME, PARAMETERS};

fn converter(settings: &[(&str, &str)], text: &str) -> Box<dyn Converter> {
    let options = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut converter = build(&options, false, Want::Any).unwrap();
    converter.learn(1, Ok(&RegisteredSchema::new(SchemaKind::Protobuf, text))).unwrap();
    converter
}

/// A payload of the file's first message.
fn framed(body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 1, 0], body].concat()
}

fn decode(converter: &mut Box<dyn Converter>, rows: &[Option<Vec<u8>>]) -> Decoded {
    converter.decode("t", &rows.iter().map(Option::as_deref).collect::<BinaryArray>()).unwrap()
}

fn reasons(decoded: &Decoded) -> Vec<(usize, &str)> {
    decoded.rejects.iter().map(|reject| (reject.row, reject.reason.as_str())).collect()
}

fn proto3(body: &str) -> String {
    let imports =
        ["google/protobuf/timestamp", "google/protobuf/wrappers", "google/type/date", "google/type/timeofday", "confluent/meta", "confluent/type/decimal"];
    let imports: String = imports.iter().map(|name| format!("import \"{name}.proto\";")).collect();
    format!("syntax = \"proto3\"; package shop; {imports} {body}")
}

/// What a field of the message `M` becomes.
fn field_of(settings: &[(&str, &str)], body: &str) -> Result<Field, String> {
    let decoded = decode(&mut converter(settings, body), &[Some(framed(&[])), None]);
    match decoded.spans[0].1.field.data_type() {
        DataType::Struct(fields) => Ok(fields[0].as_ref().clone()),
        DataType::Null => Err(decoded.rejects[0].reason.clone()),
        _ => Ok(decoded.spans[0].1.field.as_ref().clone()),
    }
}

#[test]
fn types_and_their_columns() {
    let table = [
        ("int32 x = 1;", "Int32", true),
        ("sint64 x = 1;", "Int64", true),
        ("uint32 x = 1;", "Int64", true),
        ("int32 x = 1 [(confluent.field_meta) = { params: [{key: \"connect.type\", value: \"int8\"}] }];", "Int8", true),
        ("float x = 1;", "Float32", true),
        ("double x = 1;", "Float64", true),
        ("bool x = 1;", "Boolean", true),
        ("string x = 1;", "Utf8", true),
        ("bytes x = 1;", "Binary", true),
        ("enum E { A = 0; } E x = 1;", "Utf8", true),
        ("repeated string x = 1;", "List(Utf8)", true),
        ("google.protobuf.Timestamp x = 1;", "Timestamp(ms, \"UTC\")", true),
        ("google.type.Date x = 1;", "Date32", true),
        ("google.type.TimeOfDay x = 1;", "Time32(ms)", true),
        ("confluent.type.Decimal x = 1;", "Decimal128(38, 0)", true),
        (
            "confluent.type.Decimal x = 1 [(confluent.field_meta) = { params: [{key: \"precision\", value: \"9\"}, {key: \"scale\", value: \"2\"}] }];",
            "Decimal128(9, 2)",
            true,
        ),
        ("message PriceEntry { string key = 1; int32 value = 2; } repeated PriceEntry x = 1;", "Map", true),
        ("message PriceEntry { string key = 1; repeated int32 value = 2; } repeated PriceEntry x = 1;", "List", true),
        ("message Price { string key = 1; int32 value = 2; } repeated Price x = 1;", "List", true),
        ("google.protobuf.StringValue x = 1;", "Utf8", true),
        ("google.protobuf.UInt32Value x = 1;", "Int64", true),
    ];
    for (field, want, nullable) in table {
        let field_is = field_of(&[], &proto3(&format!("message M {{ {field} }}"))).unwrap();
        assert!(field_is.data_type().to_string().starts_with(want.trim_end_matches(')')), "{field}: {}", field_is.data_type());
        assert_eq!(field_is.is_nullable(), nullable, "{field}");
        assert_eq!(field_is.metadata().get(&format!("{PARAMETERS}io.confluent.connect.protobuf.Tag")).map(String::as_str), Some("1"), "{field}");
    }
}

#[test]
fn names_and_parameters_ride_on_the_fields() {
    let text = proto3(
        "message M { oneof pick { int32 a = 4; string b = 5; } sint32 s = 1; enum E { NONE = 0; SOME = 7; } E e = 2; map<string, int32> price_list = 3; }",
    );
    let decoded = decode(&mut converter(&[], &text), &[Some(framed(&[]))]);
    let field = &decoded.spans[0].1.field;
    let DataType::Struct(fields) = field.data_type() else { panic!() };
    let get = |field: &Field, key: &str| field.metadata().get(key).cloned().unwrap_or_default();
    let parameter = |field: &Field, key: &str| get(field, &format!("{PARAMETERS}io.confluent.connect.protobuf.{key}"));
    assert_eq!(fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["pick_0", "s", "e", "price_list"]);
    assert_eq!(get(field, NAME), "M");
    assert_eq!(get(&fields[0], NAME), "io.confluent.connect.protobuf.Union.pick");
    assert_eq!((parameter(&fields[1], "Type"), parameter(&fields[1], "Tag")), ("sint32".to_owned(), "1".to_owned()));
    assert_eq!((get(&fields[2], NAME), parameter(&fields[2], "Enum"), parameter(&fields[2], "Enum.SOME")), ("E".to_owned(), "E".to_owned(), "7".to_owned()));
    assert_eq!(get(&fields[3], NAME), "price_list");
    let settings = [("enhanced.protobuf.schema.support", "true"), ("generalized.sum.type.support", "true"), ("generate.index.for.unions", "false")];
    let decoded = decode(&mut converter(&settings, &text), &[Some(framed(&[]))]);
    let field = &decoded.spans[0].1.field;
    let DataType::Struct(fields) = field.data_type() else { panic!() };
    assert_eq!((get(field, NAME), fields[0].name().as_str(), get(&fields[0], NAME)), ("shop.M".to_owned(), "pick", "pick".to_owned()));
    assert_eq!((get(&fields[2], NAME), get(&fields[3], NAME)), ("shop.M.E".to_owned(), "shop.M.price_list".to_owned()));
    assert_eq!(get(&fields[2], "connect.parameters.org.apache.kafka.connect.data.Enum.SOME"), "7");
}

/// Body in, row out.
#[test]
fn values_and_their_rows() {
    const NONE: &[(&str, &str)] = &[];
    let table: [(&[(&str, &str)], &str, &[u8], &str); 30] = [
        (NONE, "int32 x = 1; string y = 2; repeated int32 z = 3;", &[], "{x: 0, y: , z: []}"),
        (NONE, "optional int32 x = 1; optional string y = 2;", &[0x08, 0], "{x: 0, y: }"),
        (NONE, "optional int32 x = 1;", &[], "{x: }"),
        (NONE, "int32 x = 1;", &[0x08, 1, 0x08, 2], "{x: 2}"),
        (NONE, "string x = 1;", &[0x0a, 2, b'a', b'b', 0x0a, 1, b'c'], "{x: c}"),
        (NONE, "int32 x = 1;", &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "{x: -1}"),
        (NONE, "uint32 x = 1;", &[0x08, 0xff, 0xff, 0xff, 0xff, 0x0f], "{x: 4294967295}"),
        (NONE, "uint64 x = 1;", &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "{x: -1}"),
        (NONE, "sint32 x = 1; sfixed32 y = 2;", &[0x08, 3, 0x15, 0xfe, 0xff, 0xff, 0xff], "{x: -2, y: -2}"),
        (NONE, "repeated int32 x = 1;", &[0x0a, 2, 1, 2, 0x08, 3, 0x0a, 1, 4], "{x: [1, 2, 3, 4]}"),
        (NONE, "repeated int32 x = 1; int32 y = 2;", &[0x08, 1, 0x10, 9, 0x08, 2], "{x: [1, 2], y: 9}"),
        (NONE, "int32 x = 1;", &[0x0a, 1, 7, 0x50, 1, 0x9b, 0x06, 0x08, 1, 0x9c, 0x06], "{x: 0}"),
        (
            NONE,
            "message N { int32 a = 1; int32 b = 2; repeated int32 c = 3; } N x = 1;",
            &[0x0a, 4, 0x08, 1, 0x18, 5, 0x0a, 6, 0x10, 2, 0x08, 3, 0x18, 6],
            "{x: {a: 3, b: 2, c: [5, 6]}}",
        ),
        (NONE, "message N { int32 a = 1; } N x = 1; repeated N y = 2;", &[0x12, 0, 0x12, 2, 0x08, 1], "{x: , y: [{a: 0}, {a: 1}]}"),
        (&[("generate.struct.for.nulls", "true")], "message N { int32 a = 1; } N x = 1; optional int32 y = 2;", &[], "{x: {a: 0}, y: 0}"),
        (NONE, "oneof u { int32 a = 1; string b = 2; }", &[0x08, 1, 0x12, 1, b'z'], "{u_0: {a: , b: z}}"),
        (NONE, "oneof u { int32 a = 1; string b = 2; }", &[], "{u_0: }"),
        (
            NONE,
            "message N { int32 a = 1; int32 b = 2; } oneof u { N n = 1; int32 o = 2; }",
            &[0x0a, 2, 0x08, 1, 0x10, 0, 0x0a, 2, 0x10, 2],
            "{u_0: {n: {a: 0, b: 2}, o: }}",
        ),
        (&[("flatten.unions", "true")], "oneof u { int32 a = 1; string b = 2; } int32 c = 3;", &[0x12, 1, b'z', 0x08, 1], "{a: 1, b: , c: 0}"),
        (NONE, "map<string, int32> x = 1;", &[0x0a, 5, 0x0a, 1, b'k', 0x10, 1, 0x0a, 3, 0x0a, 1, b'l', 0x0a, 5, 0x0a, 1, b'k', 0x10, 2], "{x: {l: 0, k: 2}}"),
        (NONE, "message N { int32 a = 1; } map<int32, N> x = 1;", &[0x0a, 2, 0x08, 3], "{x: {3: {a: 0}}}"),
        (NONE, "enum E { A = 0; B = 1; } E x = 1; repeated E y = 2;", &[0x08, 1, 0x12, 2, 0, 9], "{x: B, y: [A, UNKNOWN_ENUM_VALUE_E_9]}"),
        (&[("int.for.enums", "true")], "enum E { A = 0; B = 1; } E x = 1;", &[0x08, 9], "{x: 9}"),
        (NONE, "google.protobuf.Timestamp x = 1;", &[0x0a, 2, 0x08, 1, 0x0a, 6, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01], "{x: 1970-01-01T00:00:01.500Z}"),
        (NONE, "google.type.Date x = 1;", &[0x0a, 7, 0x08, 0xe8, 0x0f, 0x10, 2, 0x18, 29], "{x: 2024-02-29}"),
        (NONE, "google.type.TimeOfDay x = 1; repeated google.type.TimeOfDay y = 2;", &[0x0a, 2, 0x08, 23, 0x12, 2, 0x10, 1], "{x: 23:00:00, y: [00:01:00]}"),
        (NONE, "google.protobuf.Int32Value x = 1; google.protobuf.StringValue y = 2;", &[0x0a, 0], "{x: 0, y: }"),
        (
            &[("wrapper.for.raw.primitives", "false")],
            "google.protobuf.Int32Value x = 1; google.protobuf.Int32Value y = 2;",
            &[0x0a, 2, 0x08, 5],
            "{x: {value: 5}, y: }",
        ),
        (&[("wrapper.for.nullables", "true")], "google.protobuf.Int32Value x = 1; int32 y = 2;", &[], "{x: , y: 0}"),
        (&[("optional.for.nullables", "true")], "optional int32 x = 1; int32 y = 2;", &[0x10, 1], "{x: , y: 1}"),
    ];
    for (settings, fields, body, want) in table {
        let mut converter = converter(settings, &proto3(&format!("message M {{ {fields} }}")));
        let decoded = decode(&mut converter, &[Some(framed(body)), None, Some(framed(body))]);
        assert_eq!(reasons(&decoded), [], "{fields}");
        let array = &decoded.spans[0].1.array;
        for row in [0, 2] {
            assert_eq!(array_value_to_string(array, row).unwrap(), want, "{fields}");
        }
        assert!(array.is_null(1), "{fields}");
    }
}

#[test]
fn proto2_has_groups_defaults_and_required_fields() {
    let text = "syntax = \"proto2\"; message M {
        required int32 id = 1; optional int32 size = 2 [default = 5]; repeated group Line = 3 { optional string sku = 4; required bool ok = 6; }
        enum E { A = 1; B = 2; } optional E e = 5; repeated E many = 7; extensions 100 to 200; }";
    let table: [(&[(&str, &str)], &[u8], Result<&str, &str>); 6] = [
        (&[], &[0x08, 1, 0x1b, 0x22, 1, b'x', 0x30, 1, 0x1c, 0xa0, 0x06, 1], Ok("{id: 1, size: , line: [{sku: x, ok: true}], e: , many: []}")),
        (&[("optional.for.proto2", "false")], &[0x08, 1], Ok("{id: 1, size: 5, line: [], e: A, many: []}")),
        (&[], &[0x08, 1, 0x28, 2, 0x28, 9, 0x38, 1, 0x38, 9], Ok("{id: 1, size: , line: [], e: B, many: [A]}")),
        (&[], &[], Err("field \"id\": a required field is missing")),
        (&[], &[0x08, 1, 0x1b, 0x1c], Err("field \"line.ok\": a required field is missing")),
        (&[], &[0x08, 1, 0x1b, 0x30, 1], Err("field \"line\": a group has no beginning or no end")),
    ];
    for (settings, body, want) in table {
        let decoded = decode(&mut converter(settings, text), &[Some(framed(body))]);
        match want {
            Ok(row) => assert_eq!((reasons(&decoded), array_value_to_string(&decoded.spans[0].1.array, 0).unwrap()), (vec![], row.to_owned())),
            Err(reason) => assert_eq!(reasons(&decoded), [(0, format!("schema id \"1\": {reason}").as_str())]),
        }
    }
}

#[test]
fn a_poison_record_does_not_fail_its_neighbours() {
    let text = proto3(
        "message M { message N { string s = 1; repeated int32 r = 2; } N n = 1; repeated N many = 2; google.type.Date d = 3; map<string, N> m = 4; oneof u { N un = 5; int32 ui = 6; } }",
    );
    let good = || Some(framed(&[0x0a, 5, 0x0a, 1, b'a', 0x10, 1, 0x12, 2, 0x10, 2, 0x22, 7, 0x0a, 1, b'k', 0x12, 2, 0x10, 3, 0x2a, 2, 0x10, 4]));
    let bad: [(&[u8], &str); 7] = [
        (&[0x0a, 5, 0x0a], "field \"n\": the payload ends inside a value"),
        (&[0x12, 3, 0x0a, 1, 0xff], "field \"many.s\": a string is not UTF-8"),
        (&[0x1a, 2, 0x08, 1], "field \"d\": year \"1\", month \"0\", day \"0\" are no date"),
        (&[0x22, 4, 0x0a, 1, b'k', 0x12], "field \"m.value\": the payload ends inside a value"),
        (&[0x2a, 3, 0x12, 1, 0x80], "field \"un.r\": the payload ends inside a value"),
        (&[0x0c], "a group has no beginning or no end"),
        (&[0x0a, 2, 0x10, 1, 0x07], "\"7\" is no tag of a field"),
    ];
    let mut rows = vec![good()];
    for (body, _) in bad {
        rows.extend([Some(framed(body)), good()]);
    }
    rows.extend([Some(vec![0, 0, 0, 0, 1]), Some(vec![0, 0, 0, 0, 1, 2]), Some(vec![0, 0, 0, 0, 1, 2, 8]), Some(vec![0, 0, 0, 0, 1, 1]), good()]);
    let decoded = decode(&mut converter(&[], &text), &rows);
    assert_eq!(decoded.spans.len(), 1);
    let mut want: Vec<_> = bad.iter().enumerate().map(|(i, (_, reason))| (2 * i + 1, format!("schema id \"1\": {reason}"))).collect();
    let paths = [
        "the payload ends inside the path of its message",
        "the payload ends inside the path of its message",
        "the schema has no message at the path [4]",
        "the path of the payload's message has \"-1\" steps, it must have 1 to 100",
    ];
    want.extend(paths.iter().enumerate().map(|(i, reason)| (15 + i, format!("schema id \"1\": {reason}"))));
    assert_eq!(reasons(&decoded), want.iter().map(|(row, reason)| (*row, reason.as_str())).collect::<Vec<_>>());
    let array = &decoded.spans[0].1.array;
    for row in (0..rows.len()).filter(|row| decoded.rejects.iter().all(|reject| reject.row != *row)) {
        let shown = array_value_to_string(array, row).unwrap();
        assert_eq!(shown, "{u_0: {un: {s: , r: [4]}, ui: }, n: {s: a, r: [1]}, many: [{s: , r: [2]}], d: , m: {k: {s: , r: [3]}}}", "row {row}");
    }
}

#[test]
fn each_message_of_a_file_is_a_span_of_its_own() {
    let text = "syntax = \"proto3\"; message A { int32 a = 1; message B { map<string, string> m = 1; message C { string c = 1; } } } message D { bool d = 1; }";
    let payload = |path: &[u8], body: &[u8]| Some([&[0, 0, 0, 0, 1], path, body].concat());
    let rows = [payload(&[0], &[0x08, 1]), payload(&[2, 0], &[0x08, 2]), payload(&[2, 2], &[0x08, 1]), payload(&[6, 0, 0, 0], &[0x0a, 1, b'c']), None];
    let decoded = decode(&mut converter(&[], text), &rows);
    let shown: Vec<_> = decoded.spans.iter().map(|(rows, column)| (rows.clone(), array_value_to_string(&column.array, 0).unwrap())).collect();
    assert_eq!(shown, [(0..2, "{a: 1}".to_owned()), (2..3, "{d: true}".to_owned()), (3..5, "{c: c}".to_owned())]);
}

#[test]
fn what_columns_cannot_hold_is_refused() {
    let reason = |text: &str| {
        let decoded = decode(&mut converter(&[], text), &[Some(framed(&[]))]);
        decoded.rejects[0].reason.clone()
    };
    let recursive = reason("syntax = \"proto3\"; message M { N n = 1; } message N { repeated M ms = 2; }");
    assert_eq!(recursive, "schema id \"1\": field \"n.ms\": message \"M\" contains itself, which columns cannot hold");
    let value = reason("syntax = \"proto3\"; import \"google/protobuf/struct.proto\"; message M { google.protobuf.Struct s = 1; }");
    assert!(value.contains("contains itself"), "{value}");
    let mut other = build(&Options::new(), false, Want::Any).unwrap();
    let error = other.learn(1, Ok(&RegisteredSchema::new(SchemaKind::Avro, "\"int\""))).unwrap_err();
    assert_eq!(error.to_string(), "schema 1: it is a schema of type \"AVRO\", not PROTOBUF: use the converter for that type");
    let error = build(&Options::from([("schema.backup.enabled".to_owned(), "true".to_owned())]), false, Want::Any).unwrap_err();
    assert!(error.to_string().starts_with("schema.backup.enabled: true is not supported"), "{error}");
}

const EVERYTHING: &str = "syntax = \"proto3\"; import \"google/protobuf/wrappers.proto\"; message M {
    int32 a = 1; sint64 b = 2; fixed32 c = 3; sfixed64 d = 4; double e = 5; float f = 6; bool g = 7; string h = 8; bytes i = 9;
    repeated int32 j = 10; repeated string k = 11; map<int32, string> l = 12; N m = 13; repeated N n = 14;
    oneof o { int32 p = 15; N q = 16; string r = 17; } optional int64 s = 18; E t = 19; google.protobuf.Int64Value u = 1000; map<string, N> v = 2000; }
    message N { uint32 x = 1; repeated sint32 y = 2; optional string z = 3; } enum E { ZERO = 0; ONE = 1; TWO = 2; }";

fn descriptor() -> MessageDescriptor {
    files::compile(&RegisteredSchema::new(SchemaKind::Protobuf, EVERYTHING)).unwrap().messages().next().unwrap()
}

fn nested() -> impl Strategy<Value = Value> {
    (any::<u32>(), prop::collection::vec(any::<i32>(), 0..3), prop::option::of("[a-z]{0,3}")).prop_map(|(x, y, z)| {
        let mut message = DynamicMessage::new(descriptor().parent_file().messages().nth(1).unwrap());
        message.set_field_by_name("x", Value::U32(x));
        message.set_field_by_name("y", Value::List(y.into_iter().map(Value::I32).collect()));
        z.into_iter().for_each(|z| message.set_field_by_name("z", Value::String(z)));
        Value::Message(message)
    })
}

fn message() -> impl Strategy<Value = DynamicMessage> {
    let numbers = (any::<i32>(), any::<i64>(), any::<u32>(), any::<i64>(), -1e9..1e9_f64, any::<bool>());
    let texts = (".{0,4}", prop::collection::vec(any::<u8>(), 0..4), prop::collection::vec(".{0,3}", 0..3));
    let lists =
        (prop::collection::vec(any::<i32>(), 0..4), prop::collection::btree_map(any::<i32>(), "[a-z]{0,2}", 0..4), prop::collection::vec(nested(), 0..3));
    let rest =
        (prop::option::of(nested()), 0..4_u8, nested(), prop::option::of(any::<i64>()), 0..3_i32, prop::collection::btree_map("[a-z]{0,2}", nested(), 0..3));
    (numbers, texts, lists, rest).prop_map(|((a, b, c, d, e, g), (h, i, k), (j, l, n), (m, pick, q, s, t, v))| {
        let mut message = DynamicMessage::new(descriptor());
        let mut set = |name: &str, value: Value| message.set_field_by_name(name, value);
        set("a", Value::I32(a));
        set("b", Value::I64(b));
        set("c", Value::U32(c));
        set("d", Value::I64(d));
        set("e", Value::F64(e));
        set("f", Value::F32(1.5));
        set("g", Value::Bool(g));
        set("h", Value::String(h));
        set("i", Value::Bytes(i.into()));
        set("j", Value::List(j.into_iter().map(Value::I32).collect()));
        set("k", Value::List(k.into_iter().map(Value::String).collect()));
        set("l", Value::Map(l.into_iter().map(|(key, value)| (MapKey::I32(key), Value::String(value))).collect()));
        set("n", Value::List(n));
        m.into_iter().for_each(|m| set("m", m));
        match pick {
            1 => set("p", Value::I32(a)),
            2 => set("q", q),
            3 => set("r", Value::String("r".to_owned())),
            _ => {}
        }
        s.into_iter().for_each(|s| set("s", Value::I64(s)));
        set("t", Value::EnumNumber(t));
        set("v", Value::Map(v.into_iter().map(|(key, value)| (MapKey::String(key), value)).collect()));
        message
    })
}

/// A message as a row is shown, by the other reader.
fn shown(message: &DynamicMessage) -> String {
    let descriptor = message.descriptor();
    let mut parts: Vec<String> = Vec::new();
    for oneof in descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        let set = oneof.fields().any(|field| message.has_field(&field));
        let members: Vec<_> = oneof
            .fields()
            .map(|field| format!("{}: {}", field.name(), if message.has_field(&field) { show(message, &field) } else { String::new() }))
            .collect();
        parts.push(format!("{}_0: {}", oneof.name(), if set { format!("{{{}}}", members.join(", ")) } else { String::new() }));
    }
    for field in descriptor.fields().filter(|field| field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic())) {
        let absent = field.supports_presence() && !message.has_field(&field);
        parts.push(format!("{}: {}", field.name(), if absent { String::new() } else { show(message, &field) }));
    }
    format!("{{{}}}", parts.join(", "))
}

fn show(message: &DynamicMessage, field: &prost_reflect::FieldDescriptor) -> String {
    fn one(field: &prost_reflect::FieldDescriptor, value: &Value) -> String {
        match value {
            Value::Message(message) if message.descriptor().full_name() == "google.protobuf.Int64Value" => {
                message.get_field_by_name("value").unwrap().as_i64().unwrap().to_string()
            }
            Value::Message(message) => shown(message),
            Value::EnumNumber(number) => field.kind().as_enum().unwrap().get_value(*number).unwrap().name().to_owned(),
            Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Value::String(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::I32(value) => value.to_string(),
            Value::I64(value) => value.to_string(),
            Value::U32(value) => value.to_string(),
            Value::F32(value) => arrow::array::Float32Array::from(vec![*value])
                .iter()
                .map(|_| array_value_to_string(&arrow::array::Float32Array::from(vec![*value]), 0).unwrap())
                .collect(),
            Value::F64(value) => array_value_to_string(&arrow::array::Float64Array::from(vec![*value]), 0).unwrap(),
            other => format!("{other:?}"),
        }
    }
    match message.get_field(field).as_ref() {
        Value::List(items) => format!("[{}]", items.iter().map(|item| one(field, item)).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let value = field.kind().as_message().unwrap().map_entry_value_field();
            let mut shown: Vec<_> = entries
                .iter()
                .map(|(key, entry)| format!("{}: {}", key.as_str().map_or_else(|| key.as_i32().unwrap().to_string(), str::to_owned), one(&value, entry)))
                .collect();
            shown.sort();
            format!("{{{}}}", shown.join(", "))
        }
        value => one(field, value),
    }
}

/// Maps have no order: each `{…}` of entries sorted, by showing the row through the same maps again.
fn sorted(array: &dyn Array, row: usize, message: &DynamicMessage) -> (String, String) {
    // The same encoder wrote the entries in the order in which `encode` iterates; a copy that is decoded keeps the values, so only the texts are compared as bags.
    let bag = |text: String| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters.into_iter().collect::<String>()
    };
    (bag(array_value_to_string(array, row).unwrap()), bag(shown(message)))
}

#[test]
fn messages_that_multiply_are_refused() {
    let mut text = "syntax = \"proto3\";".to_owned();
    for level in 0..60 {
        text += &format!("message M{level} {{ M{next} a = 1; M{next} b = 2; }}", next = level + 1);
    }
    let error = field_of(&[], &(text + "message M60 { int32 x = 1; }")).unwrap_err();
    assert!(error.ends_with(": the message has more than 20000 types once the messages in it are written out"), "{error}");
}

#[test]
fn messages_nest_as_deep_as_columns_may_and_no_deeper() {
    let chain = |levels: usize| {
        let levels: String =
            (1..levels).map(|level| format!("message M{level} {{ M{} a = 1; }}", level + 1)).collect::<String>() + &format!("message M{levels} {{}}");
        field_of(&[], &format!("syntax = \"proto3\"; {levels}"))
    };
    assert!(chain(100).is_ok());
    assert!(chain(101).is_err_and(|error| error.ends_with(": messages nest deeper than 100 levels")));
}

#[test]
fn paths_that_lead_nowhere_are_not_remembered() {
    let mapping = Mapping {
        enhanced: false,
        sum_types: false,
        int_for_enums: false,
        optional_for_nullables: false,
        optional_for_proto2: true,
        wrapper_for_nullables: false,
        wrapper_for_raw_primitives: true,
        struct_for_nulls: false,
        index_for_unions: true,
        flatten_unions: false,
    };
    let text = "syntax = \"proto3\"; message A { int32 x = 1; } message B { B b = 1; }";
    let mut messages = Protobuf { mapping }.schema("value", &RegisteredSchema::new(SchemaKind::Protobuf, text)).unwrap();
    let table: [(&[u8], Result<usize, &str>, usize); 5] = [
        (&[0], Ok(0), 1),
        (&[2, 0], Ok(0), 1),
        (&[2, 4], Err("the schema has no message at the path [2]"), 1),
        (&[4, 0, 6], Err("the schema has no message at the path [0, 3]"), 1),
        (&[2, 2], Err("field \"b\": message \"B\" contains itself, which columns cannot hold"), 2),
    ];
    for (body, want, remembered) in table {
        let number = framed::Schema::split(&mut messages, body).map(|(number, _)| number);
        assert_eq!((number, messages.numbers.len()), (want.map_err(str::to_owned), remembered), "{body:?}");
    }
}

proptest! {
    /// Whatever another encoder writes, the columns say the same.
    #[test]
    fn columns_are_what_another_reader_sees(messages in prop::collection::vec(message(), 1..6)) {
        let rows: Vec<_> = messages.iter().map(|message| Some(framed(&message.encode_to_vec()))).collect();
        let decoded = decode(&mut converter(&[], EVERYTHING), &rows);
        prop_assert_eq!(reasons(&decoded), vec![]);
        for (row, message) in messages.iter().enumerate() {
            let (ours, theirs) = sorted(&decoded.spans[0].1.array, row, message);
            prop_assert_eq!(ours, theirs);
        }
    }

    /// A message in two halves is the two merged, as every reader of the format must have it.
    #[test]
    fn halves_merge(first in message(), second in message()) {
        let bytes = [first.encode_to_vec(), second.encode_to_vec()].concat();
        let merged = DynamicMessage::decode(descriptor(), bytes.as_slice()).unwrap();
        let decoded = decode(&mut converter(&[], EVERYTHING), &[Some(framed(&bytes))]);
        prop_assert_eq!(reasons(&decoded), vec![]);
        let (ours, theirs) = sorted(&decoded.spans[0].1.array, 0, &merged);
        prop_assert_eq!(ours, theirs);
    }

    /// Whatever the bytes are, each row is decoded or rejected, and good rows are not touched.
    #[test]
    fn any_bytes_are_rows_or_rejects(good in message(), bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 1..20), cut in 0..400_usize, flip in 0..400_usize) {
        let whole = good.encode_to_vec();
        let mut rows = vec![Some(framed(&whole))];
        let mut flipped = whole.clone();
        if let Some(byte) = flipped.get_mut(flip) { *byte ^= 0x15; }
        let cut = whole[..cut.min(whole.len())].to_vec();
        for body in bodies.iter().chain([&flipped, &cut]) {
            rows.push(Some(framed(body)));
            rows.push(Some(framed(&whole)));
        }
        let decoded = decode(&mut converter(&[], EVERYTHING), &rows);
        let column = &decoded.spans[0].1;
        prop_assert_eq!(column.len(), rows.len());
        let want = array_value_to_string(&column.array, 0).unwrap();
        for row in (0..rows.len()).step_by(2) {
            prop_assert_eq!(array_value_to_string(&column.array, row).unwrap(), want.as_str());
        }
        for reject in &decoded.rejects {
            prop_assert!(reject.row % 2 == 1 && column.array.is_null(reject.row));
        }
    }
}
