//! What the converter makes of payloads, as tables.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

/// Settings as `key=value`.
fn converter(settings: &[(&str, &str)], want: Want) -> JsonConverter {
    let options = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    JsonConverter::new(&options, false, want).expect("valid settings")
}

fn schemaless(want: Want) -> JsonConverter {
    converter(&[("schemas.enable", "false")], want)
}

fn declared(schema: &str) -> JsonConverter {
    converter(&[("schemas.enable", "false"), ("value.schema", schema)], Want::Columns)
}

fn payloads<'a>(rows: impl IntoIterator<Item = &'a str>) -> BinaryArray {
    rows.into_iter().map(|row| Some(row.as_bytes())).collect()
}

fn decode<'a>(converter: &mut JsonConverter, rows: impl IntoIterator<Item = &'a str>) -> Decoded {
    let payloads = payloads(rows);
    let decoded = converter.decode("orders", &payloads).expect("no defect");
    let mut next = 0;
    for (span, column) in &decoded.spans {
        assert_eq!((span.start, span.len()), (next, column.len()));
        assert_eq!(column.array.data_type(), column.field.data_type());
        column.array.to_data().validate_full().expect("valid arrow");
        next = span.end;
    }
    assert_eq!(next, payloads.len());
    for reject in &decoded.rejects {
        let (span, column) = decoded.spans.iter().find(|(span, _)| span.contains(&reject.row)).expect("a span");
        assert!(column.array.is_null(reject.row - span.start), "a rejected row is null");
    }
    decoded
}

fn show(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::new().with_null("null");
    ArrayFormatter::try_new(array.as_ref(), &options).expect("a formatter").value(row).to_string()
}

/// Each row as text, or its reject's reason.
fn shown<'a>(converter: &mut JsonConverter, rows: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let decoded = decode(converter, rows);
    let mut lines = Vec::new();
    for (span, column) in &decoded.spans {
        for row in span.clone() {
            let reject = decoded.rejects.iter().find(|reject| reject.row == row);
            lines.push(reject.map_or_else(|| show(&column.array, row - span.start), |reject| format!("! {}", reject.reason)));
        }
    }
    lines
}

#[test]
fn schemaless_text_is_checked_and_kept_byte_for_byte() {
    let rows = ["{ \"b\" : 1.0, \"a\":[ ] }", "null", " null\n", "\"x\"", "{\"a\":1", "", "  ", "1 2", "{\"a\":1,\"a\":2}"];
    let decoded = decode(&mut schemaless(Want::Any), rows);
    let column = &decoded.spans[0].1;
    assert!(schema::is_json_text(&column.field));
    let kept: Vec<_> = column.array.as_string::<i32>().iter().collect();
    assert_eq!(kept, [Some(rows[0]), None, None, Some("\"x\""), None, None, None, None, Some(rows[8])]);
    let rejects: Vec<_> = decoded.rejects.iter().map(|r| (r.row, r.reason.as_str())).collect();
    let expected = [
        (4, "Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 6: the text ends too early"),
        (7, "Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 2: there is more after the value"),
    ];
    assert_eq!(rejects, expected);
}

#[test]
fn schemaless_text_shares_the_memory_of_the_payloads() {
    let payloads = payloads(["{\"a\":1}", "[2]"]);
    let decoded = schemaless(Want::Any).decode("t", &payloads).expect("no defect");
    assert_eq!(decoded.spans[0].1.array.to_data().buffers()[1].as_ptr(), payloads.values().as_ptr());
}

#[test]
fn bytes_that_are_no_utf_8_reject_their_row_alone() {
    // The halves of one character, each in its own row: the buffer as a whole is UTF-8.
    let payloads = BinaryArray::from(vec![Some(&b"\"\xc3"[..]), Some(b"\xa9\""), Some(b"\"\xc3\xa9\""), Some(b"\xff"), None]);
    for want in [Want::Any, Want::Columns] {
        let decoded = schemaless(want).decode("t", &payloads).expect("no defect");
        let rejects: Vec<_> = decoded.rejects.iter().map(|r| r.row).filter(|row| *row != 2).collect();
        assert_eq!(rejects, [0, 1, 3], "{want:?}");
        assert_eq!(
            decoded.rejects[0].reason,
            "Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 1: it is no valid utf-8"
        );
    }
    assert_eq!(schemaless(Want::Any).decode("t", &payloads).expect("no defect").spans[0].1.array.as_string::<i32>().value(2), "\"é\"");
}

#[test]
fn declared_columns_take_their_values_and_nothing_else() {
    let mut converter = declared(
        r#"{"type":"struct","fields":[
            {"field":"i8","type":"int8","optional":true},{"field":"i64","type":"int64","optional":true},
            {"field":"f32","type":"float","optional":true},{"field":"f64","type":"double","optional":true},
            {"field":"b","type":"boolean","optional":true},{"field":"s","type":"string","optional":true},
            {"field":"bytes","type":"bytes","optional":true},
            {"field":"dec","type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},
            {"field":"date","type":"int32","optional":true,"name":"org.apache.kafka.connect.data.Date"},
            {"field":"time","type":"int32","optional":true,"name":"org.apache.kafka.connect.data.Time"},
            {"field":"ts","type":"int64","optional":true,"name":"org.apache.kafka.connect.data.Timestamp"},
            {"field":"list","type":"array","optional":true,"items":{"type":"int32"}},
            {"field":"map","type":"map","optional":true,"keys":{"type":"string"},"values":{"type":"int32","optional":true}},
            {"field":"pairs","type":"map","optional":true,"keys":{"type":"int32"},"values":{"type":"string"}}]}"#,
    );
    for (row, expected) in [
        (r#"{"i8":-128,"i64":-9223372036854775808}"#, "i8: -128, i64: -9223372036854775808"),
        (r#"{"i8":1e2,"i64":5.0}"#, "i8: 100, i64: 5"),
        (r#"{"i8":128}"#, "! field \"i8\": 128 does not fit int8"),
        (r#"{"i64":9223372036854775808}"#, "! field \"i64\": 9223372036854775808 does not fit int64"),
        (r#"{"i64":1.5}"#, "! field \"i64\": 1.5 does not fit int64"),
        (r#"{"i64":"7"}"#, "! field \"i64\": \"7\" is a string, not int64"),
        (r#"{"i64":{"x":[1]}}"#, "! field \"i64\": {\"x\":[1]} is an object, not int64"),
        (r#"{"f32":0.1,"f64":0.1}"#, "f32: 0.1, f64: 0.1"),
        (r#"{"f32":"NaN","f64":"-Infinity"}"#, "f32: NaN, f64: -inf"),
        (r#"{"f64":1e999}"#, "! field \"f64\": 1e999 does not fit float64"),
        (r#"{"f32":1e39}"#, "! field \"f32\": 1e39 does not fit float32"),
        (r#"{"f64":"1.5"}"#, "! field \"f64\": \"1.5\" is a string, not float64"),
        (r#"{"b":true}"#, "b: true"),
        (r#"{"b":"true"}"#, "! field \"b\": \"true\" is a string, not boolean"),
        (r#"{"s":"a\"\u00e9\ud83d\ude00"}"#, "s: a\"é😀"),
        (r#"{"s":7}"#, "! field \"s\": 7 is a number, not string"),
        (r#"{"s":"\ud83d"}"#, "! field \"s\": \"\\ud83d\" holds half of a surrogate pair, which is no character"),
        (r#"{"bytes":"AQL/"}"#, "bytes: 0102ff"),
        (r#"{"bytes":"AQ I=\n"}"#, "bytes: 0102"),
        (r#"{"bytes":"A"}"#, "! field \"bytes\": \"A\" is no base64"),
        (r#"{"dec":"AJY="}"#, "dec: 1.50"),
        (r#"{"dec":-0.5}"#, "dec: -0.50"),
        (r#"{"dec":"//8="}"#, "dec: -0.01"),
        (r#"{"dec":0.125}"#, "! field \"dec\": 0.125 does not fit a decimal of 38 digits, 2 of them after the point"),
        (
            r#"{"dec":"f/////////////////////8="}"#,
            "! field \"dec\": \"f/////////////////////8=\" does not fit a decimal of 38 digits, 2 of them after the point",
        ),
        (r#"{"date":1,"time":1000,"ts":1000}"#, "date: 1970-01-02, time: 00:00:01, ts: 1970-01-01T00:00:01Z"),
        (r#"{"time":86400001}"#, "! field \"time\": 86400001 is no time: milliseconds since midnight are 0 to 86400000"),
        (r#"{"list":[1,2,3]}"#, "list: [1, 2, 3]"),
        (r#"{"list":[]}"#, "list: []"),
        (r#"{"list":[1,"x"]}"#, "! field \"list[1]\": \"x\" is a string, not int32"),
        (r#"{"list":[1,null]}"#, "! field \"list[1]\": a required int32 without default is null"),
        (r#"{"map":{"x":1,"y":null}}"#, "map: {x: 1, y: null}"),
        (r#"{"map":{"a":1,"b":2,"a":3}}"#, "map: {a: 3, b: 2}"),
        (r#"{"map":[["a",1]]}"#, "! field \"map\": [[\"a\",1]] is an array, not map, which is an object where keys are strings"),
        (r#"{"pairs":[[1,"x"],[ 2 , "y" ]]}"#, "pairs: {1: x, 2: y}"),
        (r#"{"pairs":[[1]]}"#, "! field \"pairs\": [1] is no map entry, which is an array of key and value"),
        (r#"{"pairs":[[]]}"#, "! field \"pairs\": [] is no map entry, which is an array of key and value"),
        (r#"{"pairs":[[1,"x",2]]}"#, "! field \"pairs\": [1,\"x\",2] is no map entry, which is an array of key and value"),
        (r#"{"unknown":{"deep":[1]},"i8":1,"other":null}"#, "i8: 1"),
        (r#"{"i8":1,"i8":2}"#, "i8: 2"),
        (r#"{"i8":"x","i8":2}"#, "i8: 2"),
        (r#"{"i8":1,"i8":null}"#, ""),
        (r#" { "i8" : 1 , "s" : "x" } "#, "i8: 1, s: x"),
        (r#"{"\u0069\u0038":1}"#, "i8: 1"),
        ("null", "null"),
        ("[1]", "! [1] is an array, not struct"),
        (
            r#"{"i8":1}}"#,
            "! Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 8: there is more after the value",
        ),
        (
            r#"{"i8":tru}"#,
            "! Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 6: only true, false and null may stand without quotes",
        ),
        (r#"{"i8":"x""#, "! Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 9: the text ends too early"),
    ] {
        // Among neighbours, to see that a rejected row leaves nothing behind.
        let lines = shown(&mut converter, [r#"{"i64":7,"list":[9]}"#, row, r#"{"i64":8,"s":"z"}"#]);
        let fields = |line: &str| {
            let inner = line.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
            inner.map_or_else(
                || line.to_owned(),
                |inner| {
                    let all = ["i8", "i64", "f32", "f64", "b", "s", "bytes", "dec", "date", "time", "ts", "list", "map", "pairs"];
                    let mut kept = format!(", {inner}");
                    all.iter().for_each(|name| kept = kept.replace(&format!(", {name}: null"), ""));
                    kept.trim_start_matches(", ").to_owned()
                },
            )
        };
        assert_eq!(fields(&lines[1]), expected, "{row}");
        assert_eq!((fields(&lines[0]), fields(&lines[2])), ("i64: 7, list: [9]".to_owned(), "i64: 8, s: z".to_owned()), "{row}");
    }
}

#[test]
fn a_missing_value_is_its_default_or_null_or_a_reject() {
    let schema = r#"{"type":"struct","fields":[{"field":"required","type":"int32"},{"field":"optional","type":"int32","optional":true},
        {"field":"default","type":"string","default":"d\"x"},{"field":"both","type":"array","items":{"type":"int32"},"optional":true,"default":[1,2]}]}"#;
    let rows = [r#"{"required":1}"#, r#"{"required":1,"default":null,"both":null}"#, r#"{"required":null}"#, "{}", r#"{"required":2,"both":[]}"#];
    let expected = [
        "{required: 1, optional: null, default: d\"x, both: [1, 2]}",
        "{required: 1, optional: null, default: d\"x, both: [1, 2]}",
        "! field \"required\": a required int32 without default is null",
        "! field \"required\": a required int32 without default is missing",
        "{required: 2, optional: null, default: d\"x, both: []}",
    ];
    assert_eq!(shown(&mut declared(schema), rows), expected);

    let settings = [("schemas.enable", "false"), ("value.schema", schema), ("replace.null.with.default", "false")];
    let lines = shown(&mut converter(&settings, Want::Columns), [r#"{"required":1,"default":"x"}"#, r#"{"required":1}"#]);
    assert_eq!(lines, ["{required: 1, optional: null, default: x, both: null}", "! field \"default\": a required string without default is missing"]);
}

#[test]
fn no_null_stands_in_a_child_that_is_not_nullable() {
    let schema = r#"{"type":"struct","optional":true,"fields":[{"field":"a","type":"int32"},
        {"field":"s","type":"struct","fields":[{"field":"t","type":"string"},{"field":"l","type":"array","items":{"type":"int32"}}]}]}"#;
    let decoded = decode(&mut declared(schema), [r#"{"a":1,"s":{"t":"x","l":[1]}}"#, "null", r#"{"a":1}"#]);
    let column = decoded.spans[0].1.array.as_struct();
    assert_eq!((column.null_count(), column.column(0).null_count(), column.column(1).null_count()), (2, 0, 0));
    assert_eq!(column.column(1).as_struct().column(0).null_count(), 0);
}

#[test]
fn schema_content_is_a_schema_for_payloads_without_envelope() {
    let schema = r#"{"type":"struct","fields":[{"field":"a","type":"int32"}]}"#;
    for enable in ["true", "false"] {
        let mut converter = converter(&[("schemas.enable", enable), ("schema.content", schema)], Want::Any);
        assert_eq!(shown(&mut converter, [r#"{"a":1,"b":2}"#]), ["{a: 1}"]);
        let line = &shown(&mut converter, ["null"])[0];
        assert_eq!(line, if enable == "true" { "! a required struct without default is null" } else { "null" });
    }
    assert_eq!(shown(&mut converter(&[("schema.content", r#"{"type":"int64"}"#)], Want::Any), ["7", "x"])[0], "7");
}

#[test]
fn inferred_columns_are_those_of_the_records_so_far() {
    let mut converter = schemaless(Want::Columns);
    for (rows, columns, expected) in [
        (vec!["null", "{}", r#"{"x":null,"y":[],"z":{"w":[null]}}"#], "", vec!["null", "{}", "{}"]),
        (vec![r#"{"b":1,"a":"x"}"#, r#"{"a":"y"}"#], "b a", vec!["{b: 1, a: x}", "{b: null, a: y}"]),
        (
            vec![r#"{"b":2}"#, r#"{"b":2.5,"c":[true]}"#, r#"{"b":3,"c":[]}"#, r#"{"c":null}"#],
            "b a c",
            vec!["{b: 2.0, a: null, c: null}", "{b: 2.5, a: null, c: [true]}", "{b: 3.0, a: null, c: []}", "{b: null, a: null, c: null}"],
        ),
        (
            vec![r#"{"a":7}"#, r#"{"a":{"n":1}}"#, r#"{"a":"ok","b":{},"c":[[]]}"#, "[1]", "7", r#"{"b":1e999}"#, r#"{"new":1,"a":false}"#],
            "b a c",
            vec![
                "! field \"a\": 7 is a number, not string",
                "! field \"a\": {\"n\":1} is an object, not string",
                "{b: null, a: ok, c: [null]}",
                "! [1] is no object, and columns are made of objects",
                "! 7 is no object, and columns are made of objects",
                "! field \"b\": 1e999 does not fit float64",
                "! field \"a\": is boolean, but the records before it have string",
            ],
        ),
        (
            vec![r#"{"d":[1,"x"]}"#, r#"{"d":9223372036854775808}"#, r#"{"d":{"e":[{"f":1}]}}"#, r#"{"d":{"e":[{"g":"x"},{}]}}"#],
            "b a c d",
            vec![
                "! field \"d[1]\": \"x\" is string, but the items before it are int64",
                "! field \"d\": 9223372036854775808 does not fit int64",
                "{b: null, a: null, c: null, d: {e: [{f: 1, g: null}]}}",
                "{b: null, a: null, c: null, d: {e: [{f: null, g: x}, {f: null, g: null}]}}",
            ],
        ),
    ] {
        assert_eq!(shown(&mut converter, rows.iter().copied()), expected);
        let column = &decode(&mut converter, ["{}"]).spans[0].1;
        let DataType::Struct(fields) = column.field.data_type() else { panic!("columns") };
        assert_eq!(fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(" "), columns);
        assert!(schema::is_inferred(&column.field) && fields.iter().all(|f| f.is_nullable()));
    }
}

#[test]
fn topics_do_not_share_what_is_inferred() {
    let mut converter = schemaless(Want::Columns);
    converter.decode("a", &payloads([r#"{"x":1}"#])).expect("no defect");
    let decoded = converter.decode("b", &payloads([r#"{"x":"s"}"#])).expect("no defect");
    assert_eq!((show(&decoded.spans[0].1.array, 0), decoded.rejects.len()), ("{x: s}".to_owned(), 0));
}

#[test]
fn a_schema_that_grows_late_in_a_batch_still_covers_all_of_it() {
    let rows: Vec<String> = (0..1000).map(|i| format!("{{\"id\":{i},\"k{}\":{}}}", i / 100, if i > 500 { "1.5" } else { "1" })).collect();
    let decoded = decode(&mut schemaless(Want::Columns), rows.iter().map(String::as_str));
    let column = &decoded.spans[0].1;
    assert_eq!((decoded.rejects.len(), column.len(), column.array.as_struct().num_columns()), (0, 1000, 11));
    let nulls: usize = column.array.as_struct().columns().iter().map(|c| c.null_count()).sum();
    assert_eq!(nulls, 9 * 1000);
}

#[test]
fn keys_without_end_do_not_become_columns_without_end() {
    let rows: Vec<String> = (0..3000).map(|i| format!("{{\"k{i}\":1}}")).collect();
    let decoded = decode(&mut schemaless(Want::Columns), rows.iter().map(String::as_str));
    assert_eq!((decoded.spans[0].1.array.as_struct().num_columns(), decoded.rejects.len()), (2000, 1000));
    assert!(decoded.rejects[0].reason.contains("declare a schema in value.schema"), "{}", decoded.rejects[0].reason);
}

#[test]
fn rows_under_one_envelope_schema_form_a_span() {
    let envelope = |schema: &str, payload: &str| format!("{{\"schema\":{schema},\"payload\":{payload}}}");
    let a = r#"{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"}],"optional":false,"name":"order"}"#;
    let a_spaced = r#"{ "type":"struct", "name":"order", "fields":[{"type":"int64","optional":false,"field":"id"}] }"#;
    let b = r#"{"type":"string","optional":true}"#;
    let rows = [
        envelope(a, r#"{"id":1}"#),
        envelope("null", "null"),
        envelope(a_spaced, r#"{"id":2}"#),
        envelope(b, "\"x\""),
        envelope(b, "null"),
        envelope("null", r#"{"free":[1, 2]}"#),
        envelope(a, r#"{"id":3}"#),
        r#"{"id":4}"#.to_owned(),
        envelope(a, r#"{"id":"x"}"#),
        envelope(a, "null"),
        envelope(r#"{"type":"huge"}"#, "1"),
        format!("{{\"schema\":{a},\"payload\":{{\"id\":5}},\"payload\":{{\"id\":6}}}}"),
        format!(" {{\"payload\":{{\"id\":7}},\"schema\":{a}}}\n"),
    ];
    let no_envelope = "! JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not contain additional fields. \
        If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.";
    let huge = "! the envelope's schema cannot be used: Unknown schema type: huge; known are boolean, int8, int16, int32, int64, float, double, \
                string, bytes, array, map, struct";
    for (want, free) in [(Want::Any, "{\"free\":[1, 2]}"), (Want::Columns, "{free: [1, 2]}")] {
        let mut converter = converter(&[], want);
        let lines = shown(&mut converter, rows.iter().map(String::as_str));
        let expected = [
            "{id: 1}",
            "null",
            "{id: 2}",
            "x",
            "null",
            free,
            "{id: 3}",
            no_envelope,
            "! field \"id\": \"x\" is a string, not int64",
            "! a required struct without default is null",
            huge,
            "{id: 6}",
            "{id: 7}",
        ];
        assert_eq!(lines, expected);
        let decoded = decode(&mut converter, rows.iter().map(String::as_str));
        let spans: Vec<_> = decoded.spans.iter().map(|(span, _)| span.clone()).collect();
        assert_eq!(spans, [0..3, 3..5, 5..6, 6..13]);
        assert_eq!(decoded.spans[0].1.field.metadata().get(schema::NAME).map(String::as_str), Some("order"));
        assert_eq!(schema::is_json_text(&decoded.spans[2].1.field), want == Want::Any);
        assert_eq!(schema::is_inferred(&decoded.spans[2].1.field), want == Want::Columns);
    }
}

#[test]
fn an_envelope_with_bytes_that_are_no_utf_8_is_rejected_wherever_they_are() {
    let good: &[u8] = br#"{"schema":{"type":"string"},"payload":"x"}"#;
    let rows = [good, b"{\"schema\":{\"type\":\"string\"},\"payload\":\"\xff\"}", b"{\"schema\":{\"type\":\"\xff\"},\"payload\":\"x\"}", good];
    let payloads: BinaryArray = rows.iter().map(Some).collect();
    let decoded = converter(&[], Want::Any).decode("t", &payloads).expect("no defect");
    let rejects: Vec<_> = decoded.rejects.iter().map(|r| (r.row, r.reason.as_str())).collect();
    assert_eq!(
        rejects,
        [
            (1, "Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 39: it is no valid utf-8"),
            (2, "Converting byte[] to Kafka Connect data failed due to serialization error: malformed json at byte 19: it is no valid utf-8")
        ]
    );
}

#[test]
fn a_batch_of_tombstones_goes_under_the_last_schema() {
    let tombstones = BinaryArray::from(vec![None::<&[u8]>, None]);
    let mut converter = converter(&[], Want::Columns);
    let decoded = converter.decode("t", &tombstones).expect("no defect");
    assert_eq!((decoded.spans.len(), decoded.spans[0].1.array.null_count()), (1, 2));
    converter.decode("t", &payloads([r#"{"schema":{"type":"int32"},"payload":1}"#])).expect("no defect");
    let decoded = converter.decode("t", &tombstones).expect("no defect");
    assert_eq!(decoded.spans[0].1.field.data_type(), &DataType::Int32);
}

#[test]
fn settings_are_checked_with_their_names() {
    let struct_schema = r#"{"type":"struct","fields":[]}"#;
    for (settings, message) in [
        (vec![("schemas.enable", "yes")], "schemas.enable: \"yes\" is neither \"true\" nor \"false\""),
        (vec![("decimal.format", "HEX")], "decimal.format: \"HEX\" is not one of BASE64, NUMERIC"),
        (
            vec![("schema.content", "{}")],
            "schema.content: Failed to parse schema in converter config due to serialization error: Schema must contain 'type' field",
        ),
        (
            vec![("schema.content", r#"{"type":"int8","default":300}"#)],
            "schema.content: field \"value\": the default is not of its type: 300 does not fit int8",
        ),
        (
            vec![("value.schema", struct_schema)],
            "value.schema: it declares the schema of json without envelopes: set schemas.enable=false in the converter's configuration",
        ),
        (
            vec![("schemas.enable", "false"), ("value.schema", struct_schema), ("schema.content", struct_schema)],
            "value.schema: schema.content declares the schema as well; keep one of the two",
        ),
    ] {
        let options = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(JsonConverter::new(&options, false, Want::Any).expect_err(message).to_string(), message);
    }
}

#[test]
fn a_row_nested_without_end_is_rejected_and_its_stack_holds() {
    let deep = format!("{{\"a\":{}{}}}", "[{\"b\":".repeat(100_000), "}]".repeat(100_000));
    let fits = format!("{{\"a\":{}1{}}}", "[".repeat(999), "]".repeat(999));
    let schema = r#"{"type":"struct","fields":[{"field":"a","type":"array","items":{"type":"array","items":{"type":"int64"}}}]}"#;
    let wraps = format!("{{\"schema\":{schema},\"payload\":{fits}}}");
    for mut converter in [schemaless(Want::Any), schemaless(Want::Columns), declared(schema), converter(&[], Want::Any)] {
        assert!(shown(&mut converter, [deep.as_str()])[0].starts_with("! "));
        shown(&mut converter, [fits.as_str(), wraps.as_str()]);
    }
    assert!(!shown(&mut schemaless(Want::Any), [fits.as_str()])[0].starts_with("! "));
}
