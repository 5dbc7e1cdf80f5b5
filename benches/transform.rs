//! Each transform alone, and a chain of five: what one row costs.
//!
//! `cargo bench --bench transform`. What is applied is in `benches/transforms.json`; each of it to batches of 10,000 order events of the quickstart, once with a
//! schema and once as schemaless JSON (which is read and written once for a chain); where there is a predicate, one in a hundred is a tombstone. Throughput is in rows,
//! on one core.
#![expect(clippy::expect_used, reason = "a benchmark: what it sets up cannot fail")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::quickstart::orders::{CONNECT_SCHEMA, FIRST_TS_MS, Order, STEP_MS, write_json};
use lakehead::transform::Chain;
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;
use lakehead_formats::wire::{self, Want};

const ROWS: u64 = 10_000;

/// Orders as JSON, all or but for a tombstone among a hundred.
fn texts(has_tombstones: bool) -> impl Iterator<Item = Option<Vec<u8>>> {
    (0..ROWS).map(move |row| {
        (!has_tombstones || !row.is_multiple_of(100)).then(|| {
            let mut text = Vec::new();
            write_json(&mut text, row);
            text
        })
    })
}

fn orders(value: Column) -> Batch {
    let rows = i64::try_from(ROWS).expect("few rows");
    let customers = (0..ROWS).map(|row| format!("c-{}", Order::at(row).customer));
    let at = |row: u64| i64::try_from(FIRST_TS_MS + STEP_MS * row).expect("a time");
    Batch {
        from: TopicPartition::new("orders", 0),
        span: OffsetRange { start: 0, end: rows },
        topic: Arc::from("orders"),
        offsets: Int64Array::from_iter_values(0..rows),
        timestamps: TimestampMillisecondArray::from_iter_values((0..ROWS).map(at)),
        key: Column::new(Arc::new(Field::new("key", DataType::Utf8, true)), Arc::new(StringArray::from_iter_values(customers))),
        value,
        headers: None,
    }
}

fn with_schema(has_tombstones: bool) -> Batch {
    let options = [("schemas.enable", "false"), ("schema.content", CONNECT_SCHEMA)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut converter = (wire::find("json").expect("a converter").build)(&options, false, Want::Any).expect("a schema");
    let payloads: BinaryArray = texts(has_tombstones).collect();
    orders(converter.decode("orders", &payloads).expect("orders").spans.remove(0).1)
}

fn without(has_tombstones: bool) -> Batch {
    let texts: StringArray = texts(has_tombstones).map(|text| text.map(|text| String::from_utf8(text).expect("a text"))).collect();
    orders(Column::new(json_text("value"), Arc::new(texts)))
}

fn transforms(c: &mut Criterion) {
    let cases: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(include_str!("transforms.json")).expect("settings");
    for (name, orders) in [("orders with a schema", [false, true].map(with_schema)), ("orders without", [false, true].map(without))] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(ROWS));
        for (name, settings) in &cases {
            let batch = &orders[usize::from(settings.contains_key("predicates"))];
            let mut chain = Chain::from_props(&settings.clone().into_iter().collect()).expect("valid settings");
            let mut run = |batch: Batch| {
                let mut out = Vec::new();
                let refused = chain.apply(batch, &mut out);
                assert!(refused.is_empty(), "{name}: {:?}", refused.first());
                out
            };
            assert_eq!(run(batch.clone()).last().expect("rows").span.end, batch.span.end);
            group.bench_function(name, |b| b.iter_batched(|| batch.clone(), &mut run, BatchSize::SmallInput));
        }
        group.finish();
    }
}

criterion_group!(benches, transforms);
criterion_main!(benches);
