//! Each transform alone, and a chain of five: what one row costs.
//!
//! `cargo bench --bench transform`. The routers on 65,536 rows of one topic partition, the others on 10,000 orders, with a schema and as schemaless JSON
//! (which is read and written once for a chain); throughput is in rows, on one core.
#![expect(clippy::expect_used, reason = "a benchmark: what it sets up cannot fail")]

use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array, StringArray, TimestampMillisecondArray};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::transform::Chain;
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;
use lakehead_formats::wire::{self, Want};

const ROWS: i64 = 65_536;

/// A row each 10 s from 2025-06-01 on: a week.
fn batch() -> Batch {
    let value = Column::new(json_text("value"), Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{{\"n\":{row}}}")))));
    Batch {
        from: TopicPartition::new("orders", 0),
        span: OffsetRange { start: 0, end: ROWS },
        topic: Arc::from("orders"),
        offsets: Int64Array::from_iter_values(0..ROWS),
        timestamps: TimestampMillisecondArray::from_iter_values((0..ROWS).map(|row| 1_748_736_000_000 + row * 10_000)),
        key: value.clone(),
        value,
        headers: None,
    }
}

fn chain(settings: &[(&str, &str)]) -> Chain {
    let common = [("transforms", "a")];
    Chain::from_props(&common.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).expect("valid settings")
}

fn routers(c: &mut Criterion) {
    let mut group = c.benchmark_group("transform");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs()));
    for (name, settings) in [
        ("TimestampRouter by day", vec![("transforms.a.type", "TimestampRouter")]),
        ("TimestampRouter by month", vec![("transforms.a.type", "TimestampRouter"), ("transforms.a.timestamp.format", "yyyyMM")]),
        ("RegexRouter", vec![("transforms.a.type", "RegexRouter"), ("transforms.a.regex", "(.*)"), ("transforms.a.replacement", "lake-$1")]),
    ] {
        let (mut chain, batch) = (chain(&settings), batch());
        group.bench_function(name, |b| {
            let run = |batch: Batch| {
                let mut out = Vec::new();
                chain.apply(batch, &mut out);
                out
            };
            b.iter_batched(|| batch.clone(), run, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Orders: a customer in a struct, and a tombstone among a hundred.
const ORDERS: usize = 10_000;

fn texts() -> StringArray {
    let order = |row: usize| {
        let (id, country) = (row % 997, ["DE", "FR", "CA", "JP"][row % 4]);
        format!(
            "{{\"order_id\":\"o-{row:08}\",\"amount\":{}.5,\"paid\":{},\"customer\":{{\"id\":{id},\"country\":\"{country}\"}},\"ts\":{}}}",
            row % 500,
            row.is_multiple_of(2),
            1_748_736_000_000 + row
        )
    };
    (0..ORDERS).map(|row| (!row.is_multiple_of(100)).then(|| order(row))).collect()
}

fn orders(values: Column) -> Batch {
    let rows = i64::try_from(ORDERS).expect("few rows");
    Batch {
        span: OffsetRange { start: 0, end: rows },
        offsets: Int64Array::from_iter_values(0..rows),
        timestamps: TimestampMillisecondArray::from_iter_values((0..rows).map(|row| 1_748_736_000_000 + row)),
        key: values.clone(),
        value: values,
        ..batch()
    }
}

fn with_schema() -> Batch {
    let schema = r#"{"type":"struct","name":"order","fields":[{"field":"order_id","type":"string"},{"field":"amount","type":"double"},{"field":"paid","type":"boolean"},
        {"field":"customer","type":"struct","fields":[{"field":"id","type":"int64"},{"field":"country","type":"string"}]},{"field":"ts","type":"int64"}]}"#;
    let options = [("schemas.enable", "false"), ("schema.content", schema)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut converter = (wire::find("json").expect("a converter").build)(&options, false, Want::Any).expect("a schema");
    let payloads: BinaryArray = texts().iter().map(|text| text.map(str::as_bytes)).collect();
    orders(converter.decode("orders", &payloads).expect("orders").spans.remove(0).1)
}

fn structural(c: &mut Criterion) {
    let one = |class: &'static str, settings: &[(&'static str, &'static str)]| {
        let mut all = vec![("transforms", "a"), ("transforms.a.type", class)];
        all.extend(settings);
        all
    };
    let cases = [
        ("ExtractField", one("ExtractField$Value", &[("transforms.a.field", "customer.country"), ("transforms.a.field.syntax.version", "V2")])),
        ("HoistField", one("HoistField$Value", &[("transforms.a.field", "order")])),
        ("ReplaceField", one("ReplaceField$Value", &[("transforms.a.exclude", "paid"), ("transforms.a.renames", "ts:at")])),
        ("Flatten", one("Flatten$Value", &[])),
        (
            "InsertField",
            one("InsertField$Value", &[("transforms.a.topic.field", "t"), ("transforms.a.offset.field", "o!"), ("transforms.a.timestamp.field", "at")]),
        ),
        ("Filter of tombstones", one("Filter", &[("transforms.a.predicate", "p"), ("predicates", "p"), ("predicates.p.type", "RecordIsTombstone")])),
        ("Cast", one("Cast$Value", &[("transforms.a.spec", "amount:string,paid:string")])),
        ("MaskField", one("MaskField$Value", &[("transforms.a.fields", "amount,order_id")])),
        (
            "TimestampConverter",
            one(
                "TimestampConverter$Value",
                &[("transforms.a.field", "ts"), ("transforms.a.target.type", "string"), ("transforms.a.format", "yyyy-MM-dd'T'HH:mm:ss.SSS")],
            ),
        ),
        ("HeaderFrom", one("HeaderFrom$Value", &[("transforms.a.fields", "order_id"), ("transforms.a.headers", "id"), ("transforms.a.operation", "copy")])),
        ("InsertHeader", one("InsertHeader", &[("transforms.a.header", "by"), ("transforms.a.value.literal", "7")])),
        (
            "chain of kernels",
            vec![
                ("transforms", "topic,names,cast,time,mask"),
                ("predicates", "p"),
                ("predicates.p.type", "RecordIsTombstone"),
                ("transforms.topic.type", "InsertField$Value"),
                ("transforms.topic.topic.field", "topic"),
                ("transforms.names.type", "ReplaceField$Value"),
                ("transforms.names.exclude", "paid"),
                ("transforms.cast.type", "Cast$Value"),
                ("transforms.cast.spec", "amount:string"),
                ("transforms.time.type", "TimestampConverter$Value"),
                ("transforms.time.field", "ts"),
                ("transforms.time.target.type", "string"),
                ("transforms.time.format", "yyyy-MM-dd'T'HH:mm:ss"),
                ("transforms.mask.type", "MaskField$Value"),
                ("transforms.mask.fields", "order_id"),
                ("transforms.mask.predicate", "p"),
                ("transforms.mask.negate", "true"),
            ],
        ),
        (
            "chain of five",
            vec![
                ("transforms", "drop,flat,names,topic,route"),
                ("predicates", "p"),
                ("predicates.p.type", "RecordIsTombstone"),
                ("transforms.drop.type", "Filter"),
                ("transforms.drop.predicate", "p"),
                ("transforms.flat.type", "Flatten$Value"),
                ("transforms.names.type", "ReplaceField$Value"),
                ("transforms.names.exclude", "paid"),
                ("transforms.topic.type", "InsertField$Value"),
                ("transforms.topic.topic.field", "topic"),
                ("transforms.route.type", "RegexRouter"),
                ("transforms.route.regex", "(.*)"),
                ("transforms.route.replacement", "lake-$1"),
            ],
        ),
    ];
    let schemaless = orders(Column::new(json_text("value"), Arc::new(texts())));
    for (name, batch) in [("orders with a schema", with_schema()), ("orders without", schemaless)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(ORDERS as u64));
        for (name, settings) in &cases {
            let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let mut chain = Chain::from_props(&props).expect("valid settings");
            let mut run = |batch: Batch| {
                let mut out = Vec::new();
                assert!(chain.apply(batch, &mut out).is_empty());
                out
            };
            group.bench_function(*name, |b| b.iter_batched(|| batch.clone(), &mut run, BatchSize::SmallInput));
        }
        group.finish();
    }
}

criterion_group!(benches, routers, structural);
criterion_main!(benches);
