//! Avro payloads → columns → Avro files, on order events of ~180 bytes: records and bytes per second, on one core.
//!
//! `cargo bench -p lakehead-formats --bench avro`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark that cannot start may stop, and says what it measures")]

use std::hint::black_box;

use arrow::array::Array;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakehead_formats::file;

mod orders;

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("avro decode");
    for rows in [1_024, 8_192] {
        let payloads = orders::payloads(0, rows);
        let mut converter = orders::converter();
        println!("{} bytes a record", payloads.value_data().len() / payloads.len());
        group.throughput(Throughput::ElementsAndBytes { elements: rows.cast_unsigned(), bytes: payloads.value_data().len() as u64 });
        group.bench_function(format!("batches of {rows}"), |b| b.iter(|| converter.decode("orders", black_box(&payloads)).expect("no defect")));
    }
    group.finish();
}

fn encoding(c: &mut Criterion) {
    let (field, batches) = orders::batches(16, 8_192);
    let mut group = c.benchmark_group("avro encode");
    group.sample_size(20).throughput(Throughput::Elements(16 * 8_192));
    for codec in ["null", "snappy", "zstandard", "deflate"] {
        let options = file::Options::from([("avro.codec".to_owned(), codec.to_owned())]);
        let format = (file::find("avro").expect("registered").build)(&options).expect("a codec");
        group.bench_function(codec, |b| {
            b.iter(|| {
                let mut encoder = format.encoder(&field).expect("a struct");
                for rows in &batches {
                    encoder.write(rows).expect("rows");
                    black_box(encoder.take());
                }
                encoder.finish(&[]).expect("a file")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, encoding);
criterion_main!(benches);
