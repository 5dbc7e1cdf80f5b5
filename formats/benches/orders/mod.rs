//! Order events as Avro payloads (~180 bytes, twelve fields, a nested address, an array that may be null), the same on every run, and their columns.

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::FieldRef;
use lakehead_formats::wire::{self, Converter, Want};

/// The events' schema.
const SCHEMA: &str = r#"{"type":"record","name":"order","namespace":"shop","fields":[{"name":"id","type":"long"},
{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"customer","type":"string"},{"name":"country","type":"string"},
{"name":"amount","type":"double"},{"name":"currency","type":"string"},{"name":"status","type":"string"},{"name":"sku","type":"string"},
{"name":"qty","type":"int"},{"name":"gift","type":"boolean"},{"name":"address","type":{"type":"record","name":"address","fields":[
{"name":"street","type":"string"},{"name":"city","type":"string"},{"name":"zip","type":"string"},{"name":"country","type":"string"}]}},
{"name":"tags","type":["null",{"type":"array","items":"string"}],"default":null}]}"#;

const COUNTRIES: [&str; 12] = ["DE", "FR", "US", "GB", "NL", "ES", "IT", "PL", "SE", "NO", "BR", "JP"];
const CURRENCIES: [&str; 6] = ["EUR", "USD", "GBP", "PLN", "SEK", "JPY"];
const STATES: [&str; 7] = ["NEW", "PAID", "PACKED", "SHIPPED", "DELIVERED", "RETURNED", "CANCELLED"];
const STREETS: [&str; 4] = ["Long Meadow Street", "Kurfuerstendamm Allee", "Great Portland Street", "Via Alessandro Manzoni"];
const CITIES: [&str; 8] = ["Frankfurt am Main", "Paris", "New York City", "London", "Amsterdam", "Barcelona", "Milano", "Oslo"];
const TAGS: [&str; 7] = ["new-customer", "promo-2026", "express", "b2b", "fragile", "loyalty-gold", "backorder"];

/// A step of splitmix64: bits that look random.
fn mixed(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.push(bits.to_le_bytes()[0] | 0x80);
        bits >>= 7;
    }
    out.push(bits.to_le_bytes()[0]);
}

fn text(value: &str, out: &mut Vec<u8>) {
    long(i64::try_from(value.len()).expect("short"), out);
    out.extend_from_slice(value.as_bytes());
}

/// One of `all`, by some bits of `random`.
fn pick<'a>(all: &[&'a str], random: u64, shift: u32) -> &'a str {
    all[below(random, shift, all.len())]
}

fn below(random: u64, shift: u32, limit: usize) -> usize {
    usize::try_from((random >> shift) & 0xffff).expect("16 bits") % limit
}

fn payload(number: i64) -> Vec<u8> {
    let (r, q) = (mixed(number.cast_unsigned()), mixed(mixed(number.cast_unsigned())));
    let country = pick(&COUNTRIES, r, 0);
    let mut out = vec![0, 0, 0, 0, 1];
    long(number, &mut out);
    long(1_760_000_000_000 + number * 7, &mut out);
    text(&format!("customer-{:09}@shop.example.com", (q >> 20) % 250_000), &mut out);
    text(country, &mut out);
    let cents = u32::try_from((q >> 12) % 1_000_000).expect("below a million");
    out.extend_from_slice(&(f64::from(cents) / 100.0).to_le_bytes());
    text(pick(&CURRENCIES, r, 8), &mut out);
    text(pick(&STATES, r, 16), &mut out);
    text(&format!("SKU-{}-{}-WAREHOUSE-{}", 100_000 + (q >> 33) % 20_000, ["S", "M", "L", "XL"][below(q, 3, 4)], 10 + (q >> 5) % 40), &mut out);
    long(1 + i64::try_from(below(r, 32, 9)).expect("small"), &mut out);
    out.push(u8::from(r & 1 == 1));
    text(&format!("{} {}, Building {}, Floor {}", below(r, 36, 300), pick(&STREETS, r, 20), below(r, 40, 16), below(r, 28, 12)), &mut out);
    text(pick(&CITIES, r, 24), &mut out);
    text(&(10_000 + below(q, 40, 65_536)).to_string(), &mut out);
    text(country, &mut out);
    let tags = below(r, 44, 4);
    long(i64::from(tags > 0), &mut out);
    if tags > 0 {
        long(i64::try_from(tags).expect("small"), &mut out);
        (0..tags).for_each(|tag| text(pick(&TAGS, q, 7 * u32::try_from(tag).expect("small")), &mut out));
        long(0, &mut out);
    }
    out
}

/// The payloads of events `from .. from + count`.
pub(crate) fn payloads(from: i64, count: i64) -> BinaryArray {
    (from..from + count).map(|number| Some(payload(number))).collect()
}

/// A converter that knows the events' schema.
pub(crate) fn converter() -> Box<dyn Converter> {
    let mut converter = (wire::find("avro").expect("registered").build)(&wire::Options::new(), false, Want::Columns).expect("no settings");
    converter.learn(1, Ok(&wire::RegisteredSchema::new(wire::SchemaKind::Avro, SCHEMA))).expect("a schema");
    converter
}

/// Batches of so many rows each, with their field.
pub(crate) fn batches(count: i64, rows: i64) -> (FieldRef, Vec<ArrayRef>) {
    let mut converter = converter();
    let mut columns: Vec<_> = (0..count).map(|n| converter.decode("orders", &payloads(n * rows, rows)).expect("no defect").spans.remove(0).1).collect();
    (FieldRef::clone(&columns[0].field), columns.drain(..).map(|column| column.array).collect())
}
