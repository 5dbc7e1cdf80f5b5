//! Columns → Parquet, on order events: our choice of encodings beside the writer's defaults. Records per second on one core, and the files' sizes.
//!
//! `cargo bench -p lakehead-formats --bench parquet`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark that cannot start may stop, and says what it measures")]

use std::hint::black_box;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::FieldRef;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakehead_formats::file::{self, FileFormat};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

mod orders;

/// Batches of a row group, and rows of a batch.
const BATCHES: i64 = 32;
const ROWS: i64 = 8_192;

fn ours(format: &dyn FileFormat, field: &FieldRef, batches: &[ArrayRef]) -> u64 {
    let mut encoder = format.encoder(field).expect("a struct");
    for rows in batches {
        encoder.write(rows).expect("rows");
    }
    encoder.flush().expect("a row group");
    black_box(encoder.take());
    encoder.finish(&[]).expect("a file").1.bytes
}

fn defaults(compression: Compression, batches: &[ArrayRef]) -> u64 {
    let first = RecordBatch::from(batches[0].as_struct());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), first.schema(), Some(properties)).expect("a schema");
    for rows in batches {
        writer.write(&RecordBatch::from(rows.as_struct())).expect("rows");
    }
    writer.into_inner().expect("a file").len() as u64
}

fn encoding(c: &mut Criterion) {
    let (field, batches) = orders::batches(BATCHES, ROWS);
    let mut group = c.benchmark_group("parquet encode");
    group.sample_size(10).throughput(Throughput::Elements((BATCHES * ROWS).cast_unsigned()));
    for (codec, compression) in [("snappy", Compression::SNAPPY), ("zstd", Compression::ZSTD(ZstdLevel::default())), ("none", Compression::UNCOMPRESSED)] {
        let options = file::Options::from([("parquet.codec".to_owned(), codec.to_owned())]);
        let format = (file::find("parquet").expect("registered").build)(&options).expect("a codec");
        println!("{codec}: {} bytes ours, {} bytes by defaults", ours(format.as_ref(), &field, &batches), defaults(compression, &batches));
        group.bench_function(format!("{codec}, ours"), |b| b.iter(|| ours(format.as_ref(), &field, &batches)));
        group.bench_function(format!("{codec}, the writer's defaults"), |b| b.iter(|| defaults(compression, &batches)));
    }
    group.finish();
}

criterion_group!(benches, encoding);
criterion_main!(benches);
