//! The Parquet format, read as a specification.

use std::collections::HashMap;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    ListArray, MapArray, NullArray, StringArray, Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Fields, Int32Type, TimeUnit, i256};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use proptest::prelude::*;

use super::*;

fn format(codec: &str) -> Result<Box<dyn FileFormat>, String> {
    build(&Options::from([(CODEC.to_owned(), codec.to_owned())])).map_err(|error| error.to_string())
}

fn field(rows: &StructArray) -> FieldRef {
    let metadata = HashMap::from([(NAME.to_owned(), "shop.Order".to_owned())]);
    FieldRef::new(Field::new("value", rows.data_type().clone(), true).with_metadata(metadata))
}

/// A file of these row groups, each given in one batch, and what it is said to hold.
fn file(codec: &str, groups: &[StructArray]) -> (Bytes, FileStats) {
    let mut encoder = format(codec).unwrap().encoder(&field(&groups[0])).unwrap();
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

/// The rows of a file, under the names of `like`: a reader calls list items `element`, as the file does.
fn read(bytes: &Bytes, like: &StructArray) -> StructArray {
    let reader = reader(bytes).with_batch_size(1 << 20).build().unwrap();
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let rows: StructArray = arrow::compute::concat_batches(&schema, &batches).unwrap().into();
    arrow::compute::cast(&rows, like.data_type()).unwrap().as_struct().clone()
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
        ("struct", Arc::new(inner), false),
        ("decimal", Arc::new(Decimal128Array::from(vec![Some(-123), None]).with_precision_and_scale(38, 2).unwrap()), true),
        ("wide", Arc::new(Decimal256Array::from(vec![i256::MINUS_ONE, i256::ONE]).with_precision_and_scale(50, 2).unwrap()), false),
        ("date", Arc::new(Date32Array::from(vec![Some(19_000), None])), true),
        ("time", Arc::new(Time32MillisecondArray::from(vec![Some(1), None])), true),
        ("timestamp", Arc::new(TimestampMillisecondArray::from(vec![Some(1), None]).with_timezone("UTC")), true),
    ])
}

#[test]
fn codecs_and_their_extensions() {
    let table = [("none", ".parquet"), ("snappy", ".snappy.parquet"), ("gzip", ".gz.parquet"), ("zstd", ".zstd.parquet")];
    for (codec, extension) in table {
        assert_eq!(format(codec).unwrap().extension(), extension);
        let rows = every_type();
        assert_eq!(read(&file(codec, std::slice::from_ref(&rows)).0, &rows), rows);
    }
    assert_eq!(build(&Options::new()).unwrap().extension(), ".snappy.parquet");
    assert_eq!(format("lz4").unwrap_err(), "parquet.codec: \"lz4\" is not supported yet; values taken: none, snappy, gzip, zstd");
    assert_eq!(format("SNAPPY").unwrap_err(), "parquet.codec: \"SNAPPY\" is not a codec; values taken: none, snappy, gzip, zstd (lower case)");
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
    assert!(matches!(pairs.as_slice(), [("ARROW:schema", Some(_)), ("lakehead.offsets", Some("0-9"))]), "{pairs:?}");
}

#[test]
fn lists_and_maps_have_the_names_of_the_format_specification() {
    let (bytes, _) = file("none", &[every_type()]);
    let reader = reader(&bytes);
    let paths: Vec<String> = reader.parquet_schema().columns().iter().map(|column| column.path().string()).collect();
    for path in ["list.list.element", "map.key_value.key", "map.key_value.value", "struct.a"] {
        assert!(paths.iter().any(|have| have == path), "{path} in {paths:?}");
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
    let table = [
        (refused(DataType::Utf8), "parquet cannot hold values of type Utf8: parquet needs records with fields: use a converter that gives structs"),
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
fn a_reader_that_does_not_know_arrow_sees_utc_milliseconds() {
    let (bytes, _) = file("none", &[every_type()]);
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap();
    let schema = reader.schema();
    assert_eq!(schema.field_with_name("timestamp").unwrap().data_type(), &DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    assert_eq!(schema.field_with_name("int8").unwrap().data_type(), &DataType::Int8);
}

proptest! {
    /// What is written is read, whatever encodings the values lead to.
    #[test]
    fn rows_survive(
        numbers in prop::collection::vec((any::<i64>(), prop::option::of(any::<i32>()), prop::option::of(".{0,12}"), any::<f64>()), 1..60),
        repeat in 1..20_usize,
    ) {
        let all = || numbers.iter().cycle().take(numbers.len() * repeat);
        let rows = records(vec![
            ("a", Arc::new(all().map(|row| Some(row.0)).collect::<Int64Array>()), false),
            ("b", Arc::new(all().map(|row| row.1).collect::<Int32Array>()), true),
            ("c", Arc::new(all().map(|row| row.2.as_deref()).collect::<StringArray>()), true),
            ("d", Arc::new(all().map(|row| Some(row.3)).collect::<Float64Array>()), false),
        ]);
        prop_assert_eq!(read(&file("snappy", std::slice::from_ref(&rows)).0, &rows), rows);
    }
}
