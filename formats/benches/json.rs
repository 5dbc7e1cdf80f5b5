//! JSON payloads ⇄ columns, on order events of ~345 bytes: records and bytes of payload per second, on one core.
//!
//! `cargo bench -p lakehead-formats --bench json`

#![expect(clippy::expect_used, reason = "a benchmark that cannot start may stop")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::BinaryArray;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakehead_formats::column::Column;
use lakehead_formats::wire::{Converter, Want};
use lakehead_formats::{file, wire};

/// Rows of a batch.
const ROWS: usize = 8_192;

const SCHEMA: &str = r#"{"type":"struct","optional":false,"name":"order","fields":[
{"field":"id","type":"int64","optional":false},{"field":"ts","type":"int64","optional":false,"name":"org.apache.kafka.connect.data.Timestamp","version":1},
{"field":"customer","type":"string","optional":false},{"field":"country","type":"string","optional":false},
{"field":"amount","type":"double","optional":false},{"field":"currency","type":"string","optional":false},
{"field":"status","type":"string","optional":false},{"field":"sku","type":"string","optional":false},
{"field":"qty","type":"int32","optional":false},{"field":"gift","type":"boolean","optional":false},
{"field":"address","type":"struct","optional":true,"fields":[{"field":"street","type":"string","optional":false},
{"field":"city","type":"string","optional":false},{"field":"zip","type":"string","optional":false},{"field":"country","type":"string","optional":false}]},
{"field":"tags","type":"array","optional":true,"items":{"type":"string","optional":true}}]}"#;

/// The event of that number; a small generator of its own, so that every run sees the same bytes.
fn order(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03;
    let mut below = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let country = ["DE", "FR", "US", "GB", "NL", "JP"][below(6) as usize];
    let currency = ["EUR", "USD", "GBP", "JPY"][below(4) as usize];
    let status = ["created", "paid", "shipped", "delivered", "returned"][below(5) as usize];
    let tags = match below(4) {
        0 => "null".to_owned(),
        1 => "[\"new\"]".to_owned(),
        2 => "[\"sale\",\"gift\"]".to_owned(),
        _ => format!("[\"priority\",\"returning\",\"campaign-{}\"]", below(40)),
    };
    format!(
        "{{\"id\":{number},\"ts\":{},\"customer\":\"customer-{:09}@shop.example.com\",\"country\":\"{country}\",\"amount\":{}.{:02},\"currency\":\"{currency}\",\
         \"status\":\"{status}\",\"sku\":\"SKU-{:06}-{:03}\",\"qty\":{},\"gift\":{},\"address\":{{\"street\":\"{} Long Winding Road of the Northern Hills\",\"city\":\"New Springfield-upon-{}\",\
         \"zip\":\"{:05}\",\"country\":\"{country}\"}},\"tags\":{tags}}}",
        1_760_000_000_000 + number * 37,
        below(2_000_000),
        below(5_000),
        below(100),
        below(200_000),
        below(1_000),
        1 + below(9),
        below(10) == 0,
        1 + below(999),
        below(400),
        below(100_000),
    )
}

fn converter(settings: &[(&str, &str)], want: Want) -> Box<dyn Converter> {
    let options = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    (wire::find("json").expect("registered").build)(&options, false, want).expect("valid settings")
}

fn decode(converter: &mut dyn Converter, payloads: &BinaryArray) -> Column {
    let mut decoded = converter.decode("orders", payloads).expect("no defect");
    assert!(decoded.rejects.is_empty() && decoded.spans.len() == 1);
    decoded.spans.remove(0).1
}

fn decoding(c: &mut Criterion) {
    let orders: BinaryArray = (0..ROWS as u64).map(|i| Some(order(i).into_bytes())).collect();
    let envelopes: BinaryArray = (0..ROWS as u64).map(|i| Some(format!("{{\"schema\":{SCHEMA},\"payload\":{}}}", order(i)).into_bytes())).collect();
    let spaced: BinaryArray = (0..ROWS as u64).map(|i| Some(order(i).replace(':', ": ").replace(',', ", ").into_bytes())).collect();

    let mut group = c.benchmark_group("json decode");
    group.throughput(Throughput::Elements(ROWS as u64));
    let declared = [("schemas.enable", "false"), ("value.schema", SCHEMA)];
    for (name, settings, want, payloads) in [
        ("declared", &declared[..], Want::Columns, &orders),
        ("declared, spaced", &declared[..], Want::Columns, &spaced),
        ("inferred", &declared[..1], Want::Columns, &orders),
        ("text", &declared[..1], Want::Any, &orders),
        ("envelope", &[][..], Want::Any, &envelopes),
    ] {
        let mut converter = converter(settings, want);
        group.bench_function(name, |b| b.iter(|| decode(converter.as_mut(), black_box(payloads))));
    }
    group.finish();
}

fn encoding(c: &mut Criterion) {
    let orders: BinaryArray = (0..ROWS as u64).map(|i| Some(order(i).into_bytes())).collect();
    let declared = [("schemas.enable", "false"), ("value.schema", SCHEMA)];
    let columns = decode(converter(&declared, Want::Columns).as_mut(), &orders);
    let text = decode(converter(&declared[..1], Want::Any).as_mut(), &orders);

    let mut group = c.benchmark_group("json encode");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, settings, column) in [
        ("columns", &[][..], &columns),
        ("text", &[][..], &text),
        ("columns, gzip 1", &[("s3.compression.type", "gzip"), ("s3.compression.level", "1")][..], &columns),
        ("columns, gzip 6", &[("s3.compression.type", "gzip")][..], &columns),
    ] {
        let options = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let format = (file::find("json").expect("registered").build)(&options).expect("valid settings");
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut encoder = format.encoder(&Arc::clone(&column.field)).expect("supported");
                encoder.write(black_box(&column.array)).expect("rows");
                encoder.finish(&[]).expect("the end")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, encoding);
criterion_main!(benches);
