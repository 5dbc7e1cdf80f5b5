//! Each transform alone, and a chain of five: what one row costs.
//!
//! `cargo bench --bench transform`. The routers on 65,536 rows of one topic partition, the others on 10,000 orders, with a schema and as schemaless JSON
//! (which is read and written once for a chain); throughput is in rows, on one core.
#![expect(clippy::expect_used, reason = "a benchmark: what it sets up cannot fail")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakehead::batch::Batch;

use orders::{ORDERS, ROWS, batch, cases, chain, schemaless, with_schema};

mod orders;

fn routers(c: &mut Criterion) {
    let mut group = c.benchmark_group("transform");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs()));
    for (name, settings) in [
        ("TimestampRouter by day", vec![("transforms", "a"), ("transforms.a.type", "TimestampRouter")]),
        ("TimestampRouter by month", vec![("transforms", "a"), ("transforms.a.type", "TimestampRouter"), ("transforms.a.timestamp.format", "yyyyMM")]),
        (
            "RegexRouter",
            vec![("transforms", "a"), ("transforms.a.type", "RegexRouter"), ("transforms.a.regex", "(.*)"), ("transforms.a.replacement", "lake-$1")],
        ),
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

fn structural(c: &mut Criterion) {
    for (name, batch) in [("orders with a schema", with_schema()), ("orders without", schemaless())] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(ORDERS as u64));
        for (name, settings) in cases() {
            let mut chain = chain(&settings);
            let mut run = |batch: Batch| {
                let mut out = Vec::new();
                assert!(chain.apply(batch, &mut out).is_empty());
                out
            };
            group.bench_function(name, |b| b.iter_batched(|| batch.clone(), &mut run, BatchSize::SmallInput));
        }
        group.finish();
    }
}

criterion_group!(benches, routers, structural);
criterion_main!(benches);
