//! What each type looks like on its line, and what settings do.

use std::io::Read;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, StringArray, StructArray,
    Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};

use super::*;
use crate::column::Column;
use crate::schema;
use crate::wire::{Want, find as find_wire};

fn format(settings: &[(&str, &str)]) -> Result<JsonFormat, FormatError> {
    JsonFormat::new(&settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

fn written(format: &JsonFormat, column: &Column) -> Vec<u8> {
    let mut encoder = format.encoder(&column.field).expect("a supported type");
    encoder.write(&column.array).expect("rows");
    encoder.flush().expect("rows");
    let mut bytes: Vec<u8> = encoder.take().concat();
    assert_eq!(encoder.encoded_bytes(), bytes.len() as u64);
    let (rest, stats) = encoder.finish(&[]).expect("the end");
    bytes.extend(rest.concat());
    assert_eq!((stats.rows, stats.bytes), (column.len() as u64, bytes.len() as u64));
    bytes
}

fn lines(settings: &[(&str, &str)], field: Field, array: impl Array + 'static) -> Vec<String> {
    let bytes = written(&format(settings).expect("valid"), &Column::new(Arc::new(field), Arc::new(array)));
    let text = String::from_utf8(bytes).expect("utf-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

fn top(array: impl Array + 'static) -> Vec<String> {
    lines(&[], Field::new("value", array.data_type().clone(), true), array)
}

fn in_struct(settings: &[(&str, &str)], array: impl Array + 'static) -> Vec<String> {
    let field = Arc::new(Field::new("f", array.data_type().clone(), true));
    let rows = StructArray::new(vec![field].into(), vec![Arc::new(array)], None);
    lines(settings, Field::new("value", rows.data_type().clone(), true), rows)
}

/// What the JSON converter reads under that schema, written again.
fn through(settings: &[(&str, &str)], schema: &str, rows: &[&str]) -> Vec<String> {
    let options = [("schemas.enable", "false"), ("value.schema", schema), ("replace.null.with.default", "false")];
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut converter = (find_wire("json").expect("registered").build)(&options, false, Want::Columns).expect("valid");
    let payloads: BinaryArray = rows.iter().map(|row| Some(row.as_bytes())).collect();
    let decoded = converter.decode("t", &payloads).expect("no defect");
    assert_eq!(decoded.rejects, []);
    let bytes = written(&format(settings).expect("valid"), &decoded.spans[0].1);
    String::from_utf8(bytes).expect("utf-8").lines().map(str::to_owned).collect()
}

#[test]
fn values_outside_of_structs_are_as_jackson_writes_them() {
    assert_eq!(top(Int8Array::from(vec![Some(-1), None])), ["-1", "null"]);
    assert_eq!(top(Int64Array::from(vec![i64::MIN])), ["-9223372036854775808"]);
    assert_eq!(top(BooleanArray::from(vec![true, false])), ["true", "false"]);
    assert_eq!(top(Float64Array::from(vec![1.0, 1e21, f64::NAN])), ["1.0", "1.0E21", "\"NaN\""]);
    assert_eq!(top(Float32Array::from(vec![0.1])), ["0.1"]);
    assert_eq!(top(StringArray::from(vec!["{\"a\":1}", "é\t\u{1}\u{7f}/\\"])), ["\"{\\\"a\\\":1}\"", "\"é\\t\\u0001\u{7f}/\\\\\""]);
    assert_eq!(top(BinaryArray::from(vec![&b"\x01\x02\xff"[..], b"\x01", b""])), ["\"AQL/\"", "\"AQ==\"", "\"\""]);
    assert_eq!(top(Date32Array::from(vec![2])), ["172800000"]);
    assert_eq!(top(Time32MillisecondArray::from(vec![5])), ["5"]);
    assert_eq!(top(TimestampMillisecondArray::from(vec![5]).with_timezone("UTC")), ["5"]);
    assert_eq!(top(Decimal128Array::from(vec![150]).with_precision_and_scale(38, 2).expect("a decimal")), ["1.50"]);
    assert_eq!(top(arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None])), ["[1,null]", "null"]);
}

#[test]
fn values_in_structs_are_as_connect_writes_them() {
    let decimal = || Decimal128Array::from(vec![Some(150), Some(-1), None]).with_precision_and_scale(38, 2).expect("a decimal");
    assert_eq!(in_struct(&[], decimal()), ["{\"f\":\"AJY=\"}", "{\"f\":\"/w==\"}", "{\"f\":null}"]);
    assert_eq!(in_struct(&[("json.decimal.format", "numeric")], decimal()), ["{\"f\":1.50}", "{\"f\":-0.01}", "{\"f\":null}"]);
    assert_eq!(in_struct(&[], Date32Array::from(vec![2])), ["{\"f\":2}"]);
    assert_eq!(in_struct(&[], Int32Array::from(vec![Some(1), None])), ["{\"f\":1}", "{\"f\":null}"]);
}

#[test]
fn structs_keep_the_order_of_the_schema_and_print_nulls() {
    let schema = r#"{"type":"struct","optional":true,"fields":[
        {"field":"b\"","type":"double","optional":true},{"field":"a","type":"struct","optional":true,"fields":[{"field":"x","type":"string","optional":true}]},
        {"field":"list","type":"array","optional":true,"items":{"type":"struct","fields":[]}},
        {"field":"map","type":"map","optional":true,"keys":{"type":"string"},"values":{"type":"int32"}},
        {"field":"pairs","type":"map","optional":true,"keys":{"type":"int32"},"values":{"type":"string","optional":true}},
        {"field":"d","type":"string","optional":true,"default":"x\ny"}]}"#;
    let rows = [
        r#"{"a":{"x":"s"},"b\"":1,"list":[{},{}],"map":{"k\n":1,"j":2},"pairs":[[1,"a"],[2,null]],"d":"set"}"#,
        r#"{"a":null,"b\"":0.001}"#,
        "null",
        r#"{"a":{},"list":[],"map":{},"pairs":[]}"#,
    ];
    let expected = [
        r#"{"b\"":1.0,"a":{"x":"s"},"list":[{},{}],"map":{"k\n":1,"j":2},"pairs":[[1,"a"],[2,null]],"d":"set"}"#,
        r#"{"b\"":0.001,"a":null,"list":null,"map":null,"pairs":null,"d":"x\ny"}"#,
        "null",
        r#"{"b\"":null,"a":{"x":null},"list":[],"map":{},"pairs":[],"d":"x\ny"}"#,
    ];
    assert_eq!(through(&[], schema, &rows), expected);
}

#[test]
fn a_map_outside_of_structs_is_an_object_whatever_its_keys() {
    let schema = r#"{"type":"map","keys":{"type":"int32"},"values":{"type":"boolean"}}"#;
    assert_eq!(through(&[], schema, &["[[1,true],[2,false]]"]), [r#"{"1":true,"2":false}"#]);
    let schema = r#"{"type":"map","keys":{"type":"bytes"},"values":{"type":"boolean"}}"#;
    assert_eq!(through(&[], schema, &[r#"[["AQ==",true]]"#]), [r#"{"AQ==":true}"#]);
    let optional = r#"{"type":"map","keys":{"type":"string","optional":true},"values":{"type":"int32"}"#;
    assert_eq!(through(&[], &format!("{optional}}}"), &[r#"{"a":1}"#]), [r#"{"a":1}"#]);
    let in_struct = format!(r#"{{"type":"struct","fields":[{optional},"field":"m"}}]}}"#);
    assert_eq!(through(&[], &in_struct, &[r#"{"m":{"a":1}}"#]), [r#"{"m":{"a":1}}"#]);
}

#[test]
fn json_text_is_written_as_it_was_read_but_on_one_line() {
    let rows = [Some(r#"{ "b" : 1.0, "a":[ ] }"#), None, Some("{\r\n  \"a b\" : \"x \\\" \\\\\" ,\n\t\"c\": [ 1 ]\n}"), Some("\"text\"")];
    let expected = [r#"{ "b" : 1.0, "a":[ ] }"#, "null", r#"{"a b":"x \" \\","c":[1]}"#, "\"text\""];
    assert_eq!(lines(&[], schema::json_text("value").as_ref().clone(), StringArray::from(rows.to_vec())), expected);
}

#[test]
fn a_slice_prints_its_own_rows() {
    let schema = r#"{"type":"struct","fields":[{"field":"l","type":"array","items":{"type":"int64"}},{"field":"s","type":"string","optional":true}]}"#;
    let options = [("schemas.enable", "false"), ("value.schema", schema)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut converter = (find_wire("json").expect("registered").build)(&options, false, Want::Columns).expect("valid");
    let payloads: BinaryArray = (0..9).map(|i| Some(format!("{{\"l\":[{i},{i}],\"s\":{}}}", if i % 2 == 0 { "null" } else { "\"x\"" }).into_bytes())).collect();
    let column = converter.decode("t", &payloads).expect("no defect").spans[0].1.slice(5, 2);
    let bytes = written(&format(&[]).expect("valid"), &column);
    assert_eq!(String::from_utf8(bytes).expect("utf-8"), "{\"l\":[5,5],\"s\":\"x\"}\n{\"l\":[6,6],\"s\":null}\n");
}

#[test]
fn gzip_holds_the_same_lines() {
    for (settings, extension, gzipped) in [
        (vec![], ".json", false),
        (vec![("s3.compression.type", "none"), ("s3.compression.level", "9")], ".json", false),
        (vec![("s3.compression.type", "gzip")], ".json.gz", true),
        (vec![("gcs.compression.type", "gzip"), ("gcs.compression.level", "-1")], ".json.gz", true),
        (vec![("az.compression.type", "gzip"), ("az.compression.level", "1")], ".json.gz", true),
    ] {
        let format = format(&settings).expect("valid");
        assert_eq!(format.extension(), extension);
        let array: ArrayRef = Arc::new(Int64Array::from_iter_values(0..200_000));
        let field = Arc::new(Field::new("value", DataType::Int64, false));
        let mut encoder = format.encoder(&field).expect("supported");
        let mut bytes = Vec::new();
        for _ in 0..3 {
            encoder.write(&array).expect("rows");
            bytes.extend(encoder.take().concat());
        }
        let (rest, stats) = encoder.finish(&[]).expect("the end");
        bytes.extend(rest.concat());
        assert_eq!(stats, FileStats { rows: 600_000, bytes: bytes.len() as u64, row_groups: 1 });
        let mut text = String::new();
        if gzipped {
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip");
        } else {
            text = String::from_utf8(bytes).expect("utf-8");
        }
        assert_eq!((text.lines().count(), text.lines().last()), (600_000, Some("199999")));
    }
}

#[test]
fn a_file_without_rows_is_empty_and_a_gzip_of_nothing_is_whole() {
    let field = Arc::new(Field::new("value", DataType::Int64, false));
    let (bytes, stats) = format(&[]).expect("valid").encoder(&field).expect("supported").finish(&[]).expect("the end");
    assert_eq!((bytes.len(), stats.bytes), (0, 0));
    let gzip = format(&[("s3.compression.type", "gzip")]).expect("valid");
    let (bytes, _) = gzip.encoder(&field).expect("supported").finish(&[]).expect("the end");
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.concat().as_slice()).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, "");
}

#[test]
fn settings_are_checked_with_their_names() {
    for (setting, message) in [
        (("s3.compression.type", "zstd"), "s3.compression.type: Value must be one of: [none, gzip]"),
        (("gcs.compression.level", "10"), "gcs.compression.level: Value must be no more than 9"),
        (("s3.compression.level", "-2"), "s3.compression.level: Value must be at least -1"),
        (("az.compression.level", "best"), "az.compression.level: Not a number of type INT"),
        (("json.decimal.format", "hex"), "json.decimal.format: String must be one of (case insensitive): BASE64, NUMERIC"),
    ] {
        assert_eq!(format(&[setting]).expect_err(message).to_string(), message);
    }
}

#[test]
fn a_type_without_a_json_form_is_refused_by_its_path() {
    let inner = Field::new("n", DataType::UInt64, true);
    let field = Arc::new(Field::new("value", DataType::Struct(vec![inner].into()), true));
    let error = format(&[]).expect("valid").encoder(&field).err().expect("no form");
    assert!(error.to_string().starts_with("json cannot hold value.n of type UInt64: "), "{error}");
}
