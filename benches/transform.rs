//! The routers: what one row costs.
//!
//! `cargo bench --bench transform`. 65,536 rows of one topic partition; throughput is in rows.
#![expect(clippy::expect_used, reason = "a benchmark: what it sets up cannot fail")]

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray, TimestampMillisecondArray};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::transform::Chain;
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;

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

criterion_group!(benches, routers);
criterion_main!(benches);
