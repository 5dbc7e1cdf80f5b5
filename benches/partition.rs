//! Paths of a batch: what one row costs each partitioner.
//!
//! `cargo bench --bench partition`. 65,536 rows of one topic partition; throughput is in rows.
#![expect(clippy::expect_used, reason = "a benchmark: what it sets up cannot fail")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{Field, FieldRef, Fields};
use chrono::DateTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::partition::{Partitioner, from_props, split_rows};
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;

const ROWS: i64 = 65_536;
const COUNTRIES: [&str; 12] = ["DE", "FR", "ES", "IT", "PL", "SE", "FI", "EE", "LV", "LT", "NL", "PT"];

/// 2025-06-01T12:00:00Z, and a row each 100 ms; every third row comes an hour late when they are mixed.
fn time_of(row: i64, is_mixed: bool) -> i64 {
    1_748_779_200_000 + row * 100 - if is_mixed && row % 3 == 0 { 3_600_000 } else { 0 }
}

fn country_of(row: i64) -> &'static str {
    let at = usize::try_from(row.wrapping_mul(2_654_435_761) >> 8).unwrap_or(0);
    COUNTRIES[at % COUNTRIES.len()]
}

fn batch(value: Column, is_mixed: bool) -> Batch {
    Batch {
        from: TopicPartition::new("orders", 0),
        span: OffsetRange { start: 0, end: ROWS },
        topic: Arc::from("orders"),
        offsets: Int64Array::from_iter_values(0..ROWS),
        timestamps: TimestampMillisecondArray::from_iter_values((0..ROWS).map(|row| time_of(row, is_mixed))),
        key: value.clone(),
        value,
        headers: None,
    }
}

/// Order events of about 345 bytes, as schemaless JSON.
fn texts() -> Column {
    let text = |row: i64| {
        let filler = "x".repeat(180);
        format!(
            "{{\"order_id\":{row},\"customer\":{{\"id\":{},\"name\":\"{filler}\"}},\"country\":\"{}\",\"amount\":\"{}.50\",\"items\":[1,2,3],\"ts\":{}}}",
            row % 997,
            country_of(row),
            row % 500,
            time_of(row, false)
        )
    };
    Column::new(json_text("value"), Arc::new(StringArray::from_iter_values((0..ROWS).map(text))))
}

fn structs() -> Column {
    let countries: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(country_of)));
    let amounts: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row % 500)));
    let iso = |row| DateTime::from_timestamp_millis(time_of(row, false)).map(|at| at.to_rfc3339()).unwrap_or_default();
    let times: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(iso)));
    let columns = [("country", countries), ("amount", amounts), ("at", times)];
    let fields: Fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let array: ArrayRef = Arc::new(StructArray::new(fields, columns.into_iter().map(|(_, array)| array).collect(), None));
    let field: FieldRef = Arc::new(Field::new("value", array.data_type().clone(), true));
    Column::new(field, array)
}

fn partitioner(settings: &[(&str, &str)]) -> Box<dyn Partitioner> {
    let common = [("locale", "en"), ("timezone", "Europe/Berlin")];
    from_props(&common.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).expect("valid settings")
}

fn paths(c: &mut Criterion) {
    let hourly = ("partitioner.class", "HourlyPartitioner");
    let by_field = ("partitioner.class", "FieldPartitioner");
    let record_field = [hourly, ("timestamp.extractor", "RecordField")];
    let (structs, texts) = (structs(), texts());
    let mut group = c.benchmark_group("paths");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs()));
    for (name, settings, value, is_mixed) in [
        ("hourly, record timestamp", vec![hourly, ("timestamp.extractor", "Record")], &structs, false),
        ("hourly, record timestamp, late rows between", vec![hourly, ("timestamp.extractor", "Record")], &structs, true),
        ("hourly, ISO text field", [record_field.to_vec(), vec![("timestamp.field", "at")]].concat(), &structs, false),
        ("hourly, number in JSON text", [record_field.to_vec(), vec![("timestamp.field", "ts")]].concat(), &texts, false),
        ("field, string column", vec![by_field, ("partition.field.name", "country")], &structs, false),
        ("field, string and int columns", vec![by_field, ("partition.field.name", "country,amount")], &structs, false),
        ("field, string in JSON text", vec![by_field, ("partition.field.name", "country")], &texts, false),
    ] {
        let (partitioner, batch) = (partitioner(&settings), batch(value.clone(), is_mixed));
        group.bench_function(name, |b| b.iter(|| partitioner.paths(black_box(&batch), DateTime::UNIX_EPOCH)));
    }
    group.finish();
}

fn split(c: &mut Criterion) {
    let batch = batch(structs(), false);
    let found = partitioner(&[("partitioner.class", "FieldPartitioner"), ("partition.field.name", "country")]).paths(&batch, DateTime::UNIX_EPOCH);
    let one = vec![0; found.codes.len()];
    let mut group = c.benchmark_group("split_rows");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs()));
    group.bench_function("12 paths, mixed", |b| b.iter(|| split_rows(black_box(&found.codes), 0..found.codes.len(), found.distinct.len())));
    group.bench_function("one path", |b| b.iter(|| split_rows(black_box(&one), 0..one.len(), 1)));
    group.finish();
}

criterion_group!(benches, paths, split);
criterion_main!(benches);
