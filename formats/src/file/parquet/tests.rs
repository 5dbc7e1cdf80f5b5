//! The Parquet format, read as a specification.

use std::collections::HashMap;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    ListArray, MapArray, NullArray, StringArray, Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, Fields, Int32Type, TimeUnit, i256};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::avro::UNION;

fn format_of(options: &[(&str, &str)]) -> Result<Box<dyn FileFormat>, String> {
    build(&options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).map_err(|error| error.to_string())
}

fn format(codec: &str) -> Result<Box<dyn FileFormat>, String> {
    format_of(&[("parquet.codec", codec)])
}

fn field(rows: &StructArray) -> FieldRef {
    let metadata = HashMap::from([(NAME.to_owned(), "shop.Order".to_owned())]);
    FieldRef::new(Field::new("value", rows.data_type().clone(), true).with_metadata(metadata))
}

/// A file of these row groups, each given in one batch, and what it is said to hold.
fn file(codec: &str, groups: &[StructArray]) -> (Bytes, FileStats) {
    file_of(&[("parquet.codec", codec)], groups)
}

fn file_of(options: &[(&str, &str)], groups: &[StructArray]) -> (Bytes, FileStats) {
    let mut encoder = format_of(options).unwrap().encoder(&field(&groups[0])).unwrap();
    let mut bytes = Vec::new();
    for rows in groups {
        encoder.write(&(Arc::new(rows.clone()) as ArrayRef)).unwrap();
        encoder.flush().unwrap();
        bytes.extend(encoder.take().concat());
        assert_eq!(encoder.encoded_bytes(), count(bytes.len()));
    }
    let (rest, stats) = encoder.finish(&[("lakehead.offsets".to_owned(), "0-9".to_owned())]).unwrap();
    bytes.extend(rest.concat());
    assert_eq!(stats.bytes, count(bytes.len()));
    (bytes.into(), stats)
}

fn reader(bytes: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap()
}

/// The rows of a file, in the types of `like`: a file has no int8, calls the members of a union by number, and has maps with other keys than strings as lists.
fn read(bytes: &Bytes, like: &StructArray) -> StructArray {
    let reader = reader(bytes).with_batch_size(1 << 20).build().unwrap();
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let rows: StructArray = arrow::compute::concat_batches(&schema, &batches).unwrap().into();
    alike(&(Arc::new(rows) as ArrayRef), like.data_type(), None).as_struct().clone()
}

/// `array` in another type of the same form; `mask` has the nulls of the structs that it is in, which the reader does not repeat for a required struct.
fn alike(array: &ArrayRef, data_type: &DataType, mask: Option<&NullBuffer>) -> ArrayRef {
    match data_type {
        DataType::Struct(fields) => {
            let nulls = NullBuffer::union(array.nulls(), mask);
            let columns = array.as_struct().columns().iter().zip(fields).map(|(column, field)| alike(column, field.data_type(), nulls.as_ref())).collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls))
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            Arc::new(ListArray::new(Arc::clone(item), list.offsets().clone(), alike(list.values(), item.data_type(), None), list.nulls().cloned()))
        }
        DataType::Map(entries, sorted) => {
            let (offsets, values) = match array.as_map_opt() {
                Some(map) => (map.offsets().clone(), Arc::new(map.entries().clone()) as ArrayRef),
                None => (array.as_list::<i32>().offsets().clone(), Arc::clone(array.as_list::<i32>().values())),
            };
            let values = alike(&values, entries.data_type(), None).as_struct().clone();
            Arc::new(MapArray::new(Arc::clone(entries), offsets, values, array.nulls().cloned(), *sorted))
        }
        _ => arrow::compute::cast(array, data_type).unwrap(),
    }
}

fn records(columns: Vec<(&str, ArrayRef, bool)>) -> StructArray {
    let fields: Fields = columns.iter().map(|(name, array, nullable)| Field::new(*name, array.data_type().clone(), *nullable)).collect();
    StructArray::new(fields, columns.into_iter().map(|(_, array, _)| array).collect(), None)
}

/// Two rows with every type of the schema table, the second null where it may be.
fn every_type() -> StructArray {
    let item = Field::new("item", DataType::Int32, true).into();
    let list = ListArray::new(item, OffsetBuffer::new(vec![0, 2, 2].into()), Arc::new(Int32Array::from(vec![Some(1), None])), Some(vec![true, false].into()));
    let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
    let entries = StructArray::new(entry.clone(), vec![Arc::new(StringArray::from(vec!["k"])), Arc::new(Int64Array::from(vec![7]))], None);
    let map = MapArray::new(Field::new("entries", DataType::Struct(entry), false).into(), OffsetBuffer::new(vec![0, 1, 1].into()), entries, None, false);
    let entry = Fields::from(vec![Field::new("key", DataType::Int32, false), Field::new("value", DataType::Utf8, true)]);
    let entries = StructArray::new(entry.clone(), vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))], None);
    let others = MapArray::new(
        Field::new("entries", DataType::Struct(entry), false).into(),
        OffsetBuffer::new(vec![0, 2, 2].into()),
        entries,
        Some(vec![true, false].into()),
        false,
    );
    let union =
        records(vec![("int", Arc::new(Int32Array::from(vec![Some(1), None])), true), ("string", Arc::new(StringArray::from(vec![None, Some("b")])), true)]);
    let inner = records(vec![("a", Arc::new(Int32Array::from(vec![Some(1), None])), true)]);
    records(vec![
        ("int8", Arc::new(Int8Array::from(vec![-1, 1])), false),
        ("int16", Arc::new(Int16Array::from(vec![Some(-1), None])), true),
        ("int32", Arc::new(Int32Array::from(vec![1, 2])), false),
        ("int64", Arc::new(Int64Array::from(vec![Some(1), None])), true),
        ("float32", Arc::new(Float32Array::from(vec![1.5, f32::NAN])), false),
        ("float64", Arc::new(Float64Array::from(vec![Some(-0.0), None])), true),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), None])), true),
        ("string", Arc::new(StringArray::from(vec![Some("ä"), None])), true),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\xff"[..], b""])), false),
        ("list", Arc::new(list), true),
        ("map", Arc::new(map), false),
        ("others", Arc::new(others), true),
        ("union", Arc::new(union), false),
        ("struct", Arc::new(inner), false),
        ("decimal", Arc::new(Decimal128Array::from(vec![Some(-123), None]).with_precision_and_scale(38, 2).unwrap()), true),
        ("wide", Arc::new(Decimal256Array::from(vec![i256::MINUS_ONE, i256::ONE]).with_precision_and_scale(50, 2).unwrap()), false),
        ("date", Arc::new(Date32Array::from(vec![Some(19_000), None])), true),
        ("time", Arc::new(Time32MillisecondArray::from(vec![Some(1), None])), true),
        ("timestamp", Arc::new(TimestampMillisecondArray::from(vec![Some(1), None]).with_timezone("UTC")), true),
    ])
}

#[test]
fn every_codec_and_both_versions_of_pages_give_back_what_was_written() {
    let rows = every_type();
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd", "lz4_raw"] {
        for (version, lists) in [("1", "upstream"), ("2", "three-level")] {
            let options = [("parquet.codec", codec), ("lakehead.parquet.writer.version", version), ("lakehead.parquet.lists", lists)];
            assert_eq!(read(&file_of(&options, std::slice::from_ref(&rows)).0, &rows), rows, "{options:?}");
        }
    }
}

#[test]
fn a_row_group_ends_at_a_flush_and_the_footer_holds_what_was_given() {
    let rows = every_type();
    let (bytes, stats) = file("snappy", &[rows.clone(), rows.clone(), rows]);
    assert_eq!((stats.rows, stats.row_groups), (6, 3));
    let reader = reader(&bytes);
    let metadata = reader.metadata().file_metadata();
    assert_eq!(metadata.schema().name(), "shop.Order");
    let pairs: Vec<_> = metadata.key_value_metadata().unwrap().iter().map(|pair| (pair.key.as_str(), pair.value.as_deref())).collect();
    let [(AVRO_SCHEMA, Some(avro)), ("writer.model.name", Some("avro")), ("lakehead.offsets", Some("0-9"))] = pairs.as_slice() else { panic!("{pairs:?}") };
    assert!(avro.starts_with(r#"{"type":"record","name":"Order","namespace":"shop""#), "{avro}");
}

#[test]
fn a_struct_without_a_name_is_upstreams_default_and_names_that_avro_has_not_leave_its_schema_out() {
    let footer = |rows: StructArray| {
        let encoder = format("none").unwrap().encoder(&FieldRef::new(Field::new("value", rows.data_type().clone(), true))).unwrap();
        let reader = reader(&encoder.finish(&[]).unwrap().0.concat().into());
        let metadata = reader.metadata().file_metadata();
        (metadata.schema().name().to_owned(), metadata.key_value_metadata().unwrap().iter().map(|pair| pair.key.clone()).collect::<Vec<_>>())
    };
    let name = "io.confluent.connect.avro.ConnectDefault".to_owned();
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let one = |name| records(vec![(name, Arc::new(Int32Array::from(vec![1])) as ArrayRef, false)]);
    assert_eq!(footer(one("a")), (name.clone(), keys(&[AVRO_SCHEMA, "writer.model.name"])));
    assert_eq!(footer(one("user-id")), (name, keys(&["writer.model.name"])));
}

#[test]
fn the_footers_avro_schema_has_the_columns_types() {
    let decimal = |scale: u8, more: &str| format!(r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}"{more}}}"#);
    let cases = [
        (decimal(2, ""), json!({"type": "fixed", "size": 16, "precision": 38, "scale": 2, "logicalType": "decimal"}), None),
        (decimal(0, r#","connect.decimal.precision":"9""#), json!({"type": "fixed", "size": 16, "precision": 9, "scale": 0, "logicalType": "decimal"}), None),
        (decimal(2, r#","connect.decimal.precision":"50""#), json!({"type": "fixed", "size": 32, "precision": 50, "scale": 2, "logicalType": "decimal"}), None),
        (decimal(2, "") + r#","default":"/w==""#, json!({"type": "fixed", "size": 16}), Some(json!("\u{ff}".repeat(16)))),
        (decimal(2, "") + r#","default":"AZA=""#, json!({"type": "fixed", "size": 16}), Some(json!("\0".repeat(14) + "\u{1}\u{90}"))),
        (r#""type":"bytes","name":"s.F","parameters":{"connect.fixed.size":"3"}"#.to_owned(), json!({"type": "bytes", "connect.name": "s.F"}), None),
    ];
    for (schema, expected, default) in cases {
        let schema = format!(r#"{{"type":"struct","fields":[{{"field":"f",{schema}}},{{"field":"g",{schema}}}]}}"#);
        let field = FieldRef::new(crate::schema::from_connect_json("value", schema.as_bytes()).unwrap());
        let bytes = format("none").unwrap().encoder(&field).unwrap().finish(&[]).unwrap().0.concat();
        let reader = reader(&bytes.into());
        let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let avro: Value = serde_json::from_str(pairs[0].value.as_deref().unwrap()).unwrap();
        let own = &avro["fields"][0];
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&own["type"][key], value, "{key} of {avro}");
        }
        assert_eq!(own.get("default"), default.as_ref(), "{avro}");
        assert_eq!(avro["fields"][1]["type"] == "lakehead.Decimal", own["type"]["type"] == "fixed", "defined once: {avro}");
    }
}

#[test]
fn a_file_without_rows_is_a_file() {
    let rows = every_type();
    let (bytes, stats) = {
        let mut encoder = format("snappy").unwrap().encoder(&field(&rows)).unwrap();
        encoder.flush().unwrap();
        let (bytes, stats) = encoder.finish(&[]).unwrap();
        (Bytes::from(bytes.concat()), stats)
    };
    assert_eq!((stats.rows, stats.row_groups), (0, 0));
    assert_eq!(read(&bytes, &rows).len(), 0);
}

#[test]
fn types_without_a_column_are_refused_with_their_path() {
    let refused = |data_type: DataType| {
        let field = FieldRef::new(Field::new("value", data_type, true));
        format("none").unwrap().encoder(&field).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let deep = |data_type: DataType| {
        let list = DataType::List(Field::new("item", DataType::Struct(vec![Field::new("b", data_type, true)].into()), true).into());
        refused(DataType::Struct(vec![Field::new("a", list, true)].into()))
    };
    let list_of = |data_type: DataType| DataType::List(Field::new("item", data_type, true).into());
    let members = DataType::Struct(vec![Field::new("int", DataType::Int32, true)].into());
    let union = Field::new("value", members, true).with_metadata(HashMap::from([(NAME.to_owned(), UNION.to_owned())]));
    let union = format("none").unwrap().encoder(&union.into()).err().unwrap().to_string();
    let table = [
        (refused(DataType::Utf8), "parquet cannot hold values of type Utf8: Avro schema must be a record. Use a converter that gives structs"),
        (refused(list_of(DataType::Int32)), "parquet cannot hold values of type List(Int32): Avro schema must be a record. Use a converter"),
        (union, "parquet cannot hold values of type Struct(\"int\": Int32): Avro schema must be a record. Use a converter"),
        (refused(DataType::Struct(Fields::empty())), "parquet cannot hold records without a field: a group needs a column"),
        (deep(DataType::Struct(Fields::empty())), "parquet cannot hold field \"a.b\" without a field: a group needs a column"),
        (deep(DataType::Null), "parquet cannot hold field \"a.b\" of type null: a column needs a type"),
        (deep(DataType::Decimal128(38, -1)), "parquet cannot hold field \"a.b\" of type decimal with precision 38 and scale -1: the scale must be"),
    ];
    for (error, want) in table {
        assert!(error.starts_with(want), "{error}");
    }
}

#[test]
fn rows_that_do_not_belong_are_refused() {
    let rows = every_type();
    let mut encoder = format("none").unwrap().encoder(&field(&rows)).unwrap();
    let null: ArrayRef = Arc::new(StructArray::new_null(rows.fields().clone(), 1));
    assert_eq!(encoder.write(&null).unwrap_err().to_string(), "parquet: row \"0\" is null, a file holds records only; set behavior.on.null.values");
    let other: ArrayRef = Arc::new(NullArray::new(0));
    assert!(encoder.write(&other).unwrap_err().to_string().starts_with("parquet: rows of type Null in a file of "));
}

#[test]
fn encodings_follow_the_data() {
    let n = 20_000_i64;
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values((0..n).map(|i| 1_760_000_000_000 + i * 7)).with_timezone("UTC"));
    let countries: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(|i| ["DE", "FR", "US"][usize::try_from(i % 3).unwrap()])));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("customer-{i}@shop.example.com"))));
    let flags: ArrayRef = Arc::new(BooleanArray::from_iter((0..n).map(|i| Some(i % 2 == 0))));
    let (bytes, _) = file(
        "snappy",
        &[records(vec![("id", ids, false), ("time", times, false), ("country", countries, false), ("name", names, false), ("flag", flags, false)])],
    );
    let reader = reader(&bytes);
    let encodings: Vec<Vec<Encoding>> = reader.metadata().row_group(0).columns().iter().map(|column| column.encodings().collect()).collect();
    let has = |column: usize, encoding: Encoding| encodings[column].contains(&encoding);
    assert!(has(0, Encoding::DELTA_BINARY_PACKED) && has(1, Encoding::DELTA_BINARY_PACKED), "{encodings:?}");
    assert!(has(2, Encoding::RLE_DICTIONARY), "{encodings:?}");
    assert!(!has(3, Encoding::RLE_DICTIONARY) && has(3, Encoding::PLAIN), "{encodings:?}");
}

#[test]
fn sliced_rows_are_sampled_and_written_as_they_are() {
    let lists: ListArray = ListArray::from_iter_primitive::<Int32Type, _, _>((0..40_000).map(|i| (i % 4 > 0).then(|| (0..i % 4).map(Some))));
    let rows = records(vec![("list", Arc::new(lists), true), ("n", Arc::new(Int32Array::from_iter_values(0..40_000)), false)]);
    let slice = rows.slice(777, 30_001);
    assert_eq!(read(&file("zstd", std::slice::from_ref(&slice)).0, &slice), slice);
}

#[test]
fn settings_show_in_the_file() {
    let n = 5_000_i64;
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("word {}", i % 50))));
    let tags: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..n).map(|_| Some([Some(1)]))));
    let flags: ArrayRef = Arc::new(BooleanArray::from_iter((0..n).map(|i| Some(i % 2 == 0))));
    let rows = records(vec![("id", ids, false), ("word", words, false), ("tags", tags, true), ("flag", flags, false)]);
    let metadata = |options: &[(&str, &str)]| {
        let bytes = file_of(options, std::slice::from_ref(&rows)).0;
        assert_eq!(read(&bytes, &rows), rows, "{options:?}");
        let policy = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        Arc::clone(ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, policy).unwrap().metadata())
    };
    let dictionaries = |metadata: &ParquetMetaData| metadata.row_group(0).columns().iter().map(|c| c.dictionary_page_offset().is_some()).collect::<Vec<_>>();
    let pages = |metadata: &ParquetMetaData| metadata.page_index_for_row_group(0).offset_index(0).unwrap().page_locations().len();

    let default = metadata(&[]);
    assert_eq!((default.num_row_groups(), pages(&default), dictionaries(&default)), (1, 1, vec![false, true, false, false]));
    assert!(default.row_group(0).column(0).column_index_offset().is_some() && default.row_group(0).column(0).statistics().is_some());
    assert!(default.row_group(0).columns().iter().all(|column| column.bloom_filter_offset().is_none()));

    assert_eq!(dictionaries(&metadata(&[("lakehead.parquet.dictionary", "always")])), [true, true, true, false]);
    assert_eq!(dictionaries(&metadata(&[("lakehead.parquet.dictionary", "never")])), [false; 4]);
    assert_eq!(pages(&metadata(&[("lakehead.parquet.page.rows", "1000")])), 5);
    assert!(pages(&metadata(&[("lakehead.parquet.page.bytes", "1024"), ("lakehead.parquet.dictionary", "always")])) > 3);
    assert_eq!(
        metadata(&[("lakehead.parquet.row.group.rows", "2000")]).row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>(),
        [2000, 2000, 1000]
    );
    let chunk = metadata(&[("lakehead.parquet.statistics", "chunk")]);
    assert!(chunk.row_group(0).column(0).column_index_offset().is_none());
    assert!(chunk.row_group(0).column(0).statistics().is_some());
    assert!(metadata(&[("lakehead.parquet.statistics", "none")]).row_group(0).column(0).statistics().is_none());
    assert_eq!(metadata(&[("lakehead.parquet.writer.version", "2")]).file_metadata().version(), 2);
    let small = metadata(&[("lakehead.parquet.dictionary.page.bytes", "1024"), ("lakehead.parquet.dictionary", "always")]);
    assert!(small.row_group(0).column(0).encodings().any(|encoding| encoding == Encoding::PLAIN), "a dictionary that grew too large is given up");
    let bloom = metadata(&[("lakehead.parquet.bloom.filter.columns", "word, tags, flag, other"), ("lakehead.parquet.bloom.filter.fpp", "0.001")]);
    assert_eq!(bloom.row_group(0).columns().iter().map(|c| c.bloom_filter_offset().is_some()).collect::<Vec<_>>(), [false, true, true, false]);
}

#[test]
fn row_groups_that_end_by_their_rows_can_be_uploaded_before_a_flush() {
    let rows = records(vec![("id", Arc::new(Int64Array::from_iter_values(0..50_000)), false)]);
    let mut encoder = format_of(&[("lakehead.parquet.row.group.rows", "20000")]).unwrap().encoder(&field(&rows)).unwrap();
    encoder.write(&(Arc::new(rows.clone()) as ArrayRef)).unwrap();
    let mut bytes = encoder.take().concat();
    assert!(!bytes.is_empty());
    assert_eq!(encoder.encoded_bytes(), count(bytes.len()));
    let (rest, stats) = encoder.finish(&[]).unwrap();
    bytes.extend(rest.concat());
    assert_eq!((stats.rows, stats.row_groups, stats.bytes), (50_000, 3, count(bytes.len())));
    assert_eq!(read(&bytes.into(), &rows), rows);
}

#[test]
fn a_bloom_filter_knows_the_values_of_its_column() {
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..5_000).map(|i| format!("word {i}"))));
    let bytes = file_of(&[("lakehead.parquet.bloom.filter.columns", "word")], &[records(vec![("word", words, false)])]).0;
    let filter = reader(&bytes).get_row_group_column_bloom_filter(0, 0).unwrap().unwrap();
    assert!((0..5_000).all(|i| filter.check(format!("word {i}").as_str())));
    assert!((5_000..10_000).filter(|i| filter.check(format!("word {i}").as_str())).count() < 150);
}

mod laws;
