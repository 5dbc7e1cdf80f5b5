//! Order events: the sample records of the quickstart, the benchmarks and the tests.
//!
//! Order `i` is a pure function of `i`, in every encoding, so that whoever reads files back can say which records they must hold and what must be in
//! them. By convention order `i` goes to partition `i % partitions`.
//!
//! Parts: [`Order`] (the values), [`write_json`], [`write_envelope`] and [`write_avro`] (the encodings), and the schemas that belong to them.

/// `ts` of order 0, in ms since the epoch: 2026-06-01T00:00:00Z.
pub const FIRST_TS_MS: u64 = 1_780_272_000_000;

/// Ms between an order and the next: a million orders span a little less than two hours.
pub const STEP_MS: u64 = 7;

/// The Avro schema of an order, as a registry takes it.
pub const AVRO_SCHEMA: &str = concat!(
    r#"{"type":"record","name":"order","namespace":"shop","fields":["#,
    r#"{"name":"id","type":"long"},{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},"#,
    r#"{"name":"customer","type":"string"},{"name":"country","type":"string"},{"name":"amount","type":"double"},"#,
    r#"{"name":"currency","type":"string"},{"name":"status","type":"string"},{"name":"sku","type":"string"},"#,
    r#"{"name":"qty","type":"int"},{"name":"gift","type":"boolean"},"#,
    r#"{"name":"address","type":{"type":"record","name":"address","fields":["#,
    r#"{"name":"street","type":"string"},{"name":"city","type":"string"},{"name":"zip","type":"string"},{"name":"country","type":"string"}]}},"#,
    r#"{"name":"tags","type":["null",{"type":"array","items":"string"}],"default":null}]}"#
);

/// The Connect schema of an order, as `JsonConverter` writes it with `schemas.enable=true`.
pub const CONNECT_SCHEMA: &str = concat!(
    r#"{"type":"struct","fields":["#,
    r#"{"type":"int64","optional":false,"field":"id"},"#,
    r#"{"type":"int64","optional":false,"name":"org.apache.kafka.connect.data.Timestamp","version":1,"field":"ts"},"#,
    r#"{"type":"string","optional":false,"field":"customer"},{"type":"string","optional":false,"field":"country"},"#,
    r#"{"type":"double","optional":false,"field":"amount"},{"type":"string","optional":false,"field":"currency"},"#,
    r#"{"type":"string","optional":false,"field":"status"},{"type":"string","optional":false,"field":"sku"},"#,
    r#"{"type":"int32","optional":false,"field":"qty"},{"type":"boolean","optional":false,"field":"gift"},"#,
    r#"{"type":"struct","fields":["#,
    r#"{"type":"string","optional":false,"field":"street"},{"type":"string","optional":false,"field":"city"},"#,
    r#"{"type":"string","optional":false,"field":"zip"},{"type":"string","optional":false,"field":"country"}],"#,
    r#""optional":false,"name":"shop.address","field":"address"},"#,
    r#"{"type":"array","items":{"type":"string","optional":false},"optional":true,"field":"tags"}],"#,
    r#""optional":false,"name":"shop.order"}"#
);

const COUNTRIES: [&str; 8] = ["DE", "FR", "NL", "PL", "SE", "GB", "US", "BR"];
const CURRENCIES: [&str; 8] = ["EUR", "EUR", "EUR", "PLN", "SEK", "GBP", "USD", "BRL"];
const STATUSES: [&str; 6] = ["PLACED", "PAID", "PICKED", "SHIPPED", "DELIVERED", "RETURNED"];
const STREETS: [&str; 8] = [
    "Unter den Kastanien",
    "Rue du Faubourg Saint-Honoré",
    "Oude Gracht aan de Werf",
    "Aleja Niepodległości",
    "Västra Järnvägsgatan",
    "Kingsland High Street",
    "Martin Luther King Boulevard",
    "Avenida Brigadeiro Faria Lima",
];
const CITIES: [&str; 8] = ["Leipzig", "Montpellier", "Utrecht", "Łódź", "Göteborg", "Manchester", "Minneapolis", "São Paulo"];
const TAGS: [&str; 6] = ["gift-wrapped", "express-delivery", "loyalty", "first-order", "fragile", "backorder"];
const BUILDINGS: [&str; 4] = ["A", "B", "C", "D"];
const SIZES: [&str; 4] = ["S", "M", "L", "XL"];

/// The values of one order.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Its number, also its identity.
    pub id: u64,
    /// When it was placed, ms since the epoch.
    pub ts_ms: u64,
    /// Number of the customer, below 1,000,000.
    pub customer: u64,
    /// `amount` in hundredths, below 1,000,000.
    pub amount_cents: u64,
    /// Number of the article, below 100,000.
    pub article: u64,
    /// Number of the warehouse, 1 to 40.
    pub warehouse: u64,
    /// Pieces, 1 to 9.
    pub quantity: u64,
    /// Number of the house, 1 to 250.
    pub house: u64,
    /// Floor, 0 to 11.
    pub floor: u64,
    /// Postal code, 10,000 to 99,999.
    pub zip: u64,
    /// ISO 3166 code.
    pub country: &'static str,
    /// ISO 4217 code.
    pub currency: &'static str,
    /// Where the order is in its life.
    pub status: &'static str,
    /// The article's size.
    pub size: &'static str,
    /// The building's letter.
    pub building: &'static str,
    /// Name of the street.
    pub street: &'static str,
    /// Name of the city.
    pub city: &'static str,
    /// Wrapped as a gift.
    pub gift: bool,
    /// The first [`tag_count`](Self::tag_count) are its tags.
    pub tags: [&'static str; 3],
    /// 0 to 3; an order without tags has null for a list.
    pub tag_count: usize,
}

impl Order {
    /// Order number `id`.
    #[must_use]
    pub fn at(id: u64) -> Self {
        let mut random = Draw(id);
        let place = random.below(8);
        Self {
            id,
            ts_ms: FIRST_TS_MS + STEP_MS * id,
            customer: random.below(1_000_000),
            amount_cents: random.below(1_000_000),
            article: random.below(100_000),
            warehouse: 1 + random.below(40),
            quantity: 1 + random.below(9),
            house: 1 + random.below(250),
            floor: random.below(12),
            zip: 10_000 + random.below(90_000),
            country: pick(&COUNTRIES, place),
            currency: pick(&CURRENCIES, place),
            status: pick(&STATUSES, random.below(6)),
            size: pick(&SIZES, random.below(4)),
            building: pick(&BUILDINGS, random.below(4)),
            street: pick(&STREETS, place),
            city: pick(&CITIES, place),
            gift: random.below(2) == 1,
            tags: [pick(&TAGS, random.below(6)), pick(&TAGS, random.below(6)), pick(&TAGS, random.below(6))],
            tag_count: usize::try_from(random.below(4)).unwrap_or(0),
        }
    }

    /// Its tags; empty stands for null.
    #[must_use]
    pub fn tags(&self) -> &[&'static str] {
        self.tags.get(..self.tag_count).unwrap_or(&[])
    }
}

/// A sequence of numbers that an order's number determines.
struct Draw(u64);

impl Draw {
    /// The next number, in `0..bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // An odd additive constant visits all 2^64 states; multiplying and folding the high half down spreads neighbours apart.
        self.0 = self.0.wrapping_add(0xA076_1D64_78BD_642F);
        let wide = u128::from(self.0) * u128::from(self.0 ^ 0xE703_7ED1_A0B4_28DB);
        let [low, high] = [wide, wide >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        (low ^ high) % bound
    }
}

fn pick<const N: usize>(of: &[&'static str; N], index: u64) -> &'static str {
    usize::try_from(index).ok().and_then(|i| of.get(i)).copied().unwrap_or("")
}

/// Appends order `i` as JSON text: about 345 bytes, compact, fields in the schema's order.
pub fn write_json(out: &mut Vec<u8>, i: u64) {
    let order = Order::at(i);
    for (name, number) in [(r#"{"id":"#, order.id), (r#","ts":"#, order.ts_ms)] {
        out.extend_from_slice(name.as_bytes());
        push_number(out, number, 1);
    }
    out.extend_from_slice(br#","customer":""#);
    push_customer(out, &order);
    push_text(out, r#"","country":""#, order.country);
    out.extend_from_slice(br#"","amount":"#);
    push_number(out, order.amount_cents / 100, 1);
    out.push(b'.');
    push_number(out, order.amount_cents % 100, 2);
    push_text(out, r#","currency":""#, order.currency);
    push_text(out, r#"","status":""#, order.status);
    out.extend_from_slice(br#"","sku":""#);
    push_sku(out, &order);
    out.extend_from_slice(br#"","qty":"#);
    push_number(out, order.quantity, 1);
    push_text(out, r#","gift":"#, if order.gift { "true" } else { "false" });
    out.extend_from_slice(br#","address":{"street":""#);
    push_street(out, &order);
    push_text(out, r#"","city":""#, order.city);
    out.extend_from_slice(br#"","zip":""#);
    push_number(out, order.zip, 5);
    push_text(out, r#"","country":""#, order.country);
    match order.tags() {
        [] => out.extend_from_slice(br#""},"tags":null}"#),
        tags => {
            for (n, tag) in tags.iter().enumerate() {
                push_text(out, if n == 0 { r#""},"tags":[""# } else { r#"",""# }, tag);
            }
            out.extend_from_slice(br#""]}"#);
        }
    }
}

/// Appends order `i` in `JsonConverter`'s envelope, as with `schemas.enable=true`.
pub fn write_envelope(out: &mut Vec<u8>, i: u64) {
    push_text(out, r#"{"schema":"#, CONNECT_SCHEMA);
    out.extend_from_slice(br#","payload":"#);
    write_json(out, i);
    out.push(b'}');
}

/// Appends order `i` in Avro's binary encoding under [`AVRO_SCHEMA`], with no framing: about 200 bytes.
pub fn write_avro(out: &mut Vec<u8>, i: u64) {
    let order = Order::at(i);
    push_long(out, order.id);
    push_long(out, order.ts_ms);
    push_string(out, |out| push_customer(out, &order));
    push_string(out, |out| out.extend_from_slice(order.country.as_bytes()));
    out.extend_from_slice(&amount(&order).to_le_bytes());
    push_string(out, |out| out.extend_from_slice(order.currency.as_bytes()));
    push_string(out, |out| out.extend_from_slice(order.status.as_bytes()));
    push_string(out, |out| push_sku(out, &order));
    push_long(out, order.quantity);
    out.push(u8::from(order.gift));
    push_string(out, |out| push_street(out, &order));
    push_string(out, |out| out.extend_from_slice(order.city.as_bytes()));
    push_string(out, |out| push_number(out, order.zip, 5));
    push_string(out, |out| out.extend_from_slice(order.country.as_bytes()));
    match order.tags() {
        [] => push_long(out, 0), // the union's null branch
        tags => {
            push_long(out, 1);
            push_long(out, u64::try_from(tags.len()).unwrap_or(0));
            for tag in tags {
                push_string(out, |out| out.extend_from_slice(tag.as_bytes()));
            }
            push_long(out, 0); // no further block of items
        }
    }
}

/// Appends order `i` as Confluent's serializers frame it: a zero byte, the schema's id (4 bytes, big endian), the Avro encoding.
pub fn write_framed_avro(out: &mut Vec<u8>, schema_id: u32, i: u64) {
    out.push(0);
    out.extend_from_slice(&schema_id.to_be_bytes());
    write_avro(out, i);
}

/// The double that the JSON text of the amount denotes.
fn amount(order: &Order) -> f64 {
    // Both numbers are exact, so the quotient is the double nearest to the decimal fraction, which is also what a parser returns.
    f64::from(u32::try_from(order.amount_cents).unwrap_or(0)) / 100.0
}

fn push_customer(out: &mut Vec<u8>, order: &Order) {
    out.extend_from_slice(b"customer-");
    push_number(out, order.customer, 6);
    out.extend_from_slice(b"@shop.example.com");
}

fn push_sku(out: &mut Vec<u8>, order: &Order) {
    out.extend_from_slice(b"SKU-");
    push_number(out, order.article, 5);
    out.push(b'-');
    push_text(out, order.size, "-WAREHOUSE-");
    push_number(out, order.warehouse, 2);
}

fn push_street(out: &mut Vec<u8>, order: &Order) {
    out.extend_from_slice(order.street.as_bytes());
    out.push(b' ');
    push_number(out, order.house, 1);
    push_text(out, ", Building ", order.building);
    out.extend_from_slice(b", Floor ");
    push_number(out, order.floor, 1);
}

fn push_text(out: &mut Vec<u8>, before: &str, text: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Decimal digits, with zeros in front up to `width`.
fn push_number(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let start = out.len();
    loop {
        out.push(b'0' + u8::try_from(number % 10).unwrap_or(0));
        number /= 10;
        if number == 0 && out.len() - start >= width {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Avro's long: zig-zag (here of a number that is never negative), seven bits a byte, low first.
fn push_long(out: &mut Vec<u8>, number: u64) {
    let mut rest = number << 1;
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7F).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}

/// Avro's string: its length in bytes, then its bytes. No text of an order is longer than 63 bytes, so that the length takes one byte.
fn push_string(out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    text(out);
    let length = u8::try_from(out.len() - at - 1).unwrap_or(0);
    debug_assert!(length < 64, "an order's text needs a longer length");
    if let Some(place) = out.get_mut(at) {
        *place = length << 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn json_of(i: u64) -> Value {
        let mut text = Vec::new();
        write_json(&mut text, i);
        serde_json::from_slice(&text).unwrap()
    }

    /// Reads what `write_avro` wrote, by the schema's own rules.
    struct Avro<'a>(&'a [u8]);

    impl Avro<'_> {
        fn long(&mut self) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = self.0[0];
                self.0 = &self.0[1..];
                value |= u64::from(byte & 0x7F) << shift;
                shift += 7;
                if byte < 0x80 {
                    assert_eq!(value & 1, 0, "no number of an order is negative");
                    return value >> 1;
                }
            }
        }

        fn string(&mut self) -> Value {
            let length = usize::try_from(self.long()).unwrap();
            let (text, rest) = self.0.split_at(length);
            self.0 = rest;
            json!(std::str::from_utf8(text).unwrap())
        }

        fn double(&mut self) -> f64 {
            let (bytes, rest) = self.0.split_at(8);
            self.0 = rest;
            f64::from_le_bytes(bytes.try_into().unwrap())
        }

        fn boolean(&mut self) -> bool {
            let byte = self.0[0];
            self.0 = &self.0[1..];
            byte == 1
        }

        fn tags(&mut self) -> Value {
            if self.long() == 0 {
                return Value::Null;
            }
            let tags = (0..self.long()).map(|_| self.string()).collect();
            assert_eq!(self.long(), 0, "one block of items");
            tags
        }

        fn order(&mut self) -> Value {
            json!({
                "id": self.long(), "ts": self.long(), "customer": self.string(), "country": self.string(), "amount": self.double(),
                "currency": self.string(), "status": self.string(), "sku": self.string(), "qty": self.long(), "gift": self.boolean(),
                "address": {"street": self.string(), "city": self.string(), "zip": self.string(), "country": self.string()},
                "tags": self.tags(),
            })
        }
    }

    #[test]
    fn every_encoding_holds_the_same_values() {
        for i in (0..2_000).chain([999_999, u64::from(u32::MAX)]) {
            let order = json_of(i);

            let mut envelope = Vec::new();
            write_envelope(&mut envelope, i);
            let envelope: Value = serde_json::from_slice(&envelope).unwrap();
            assert_eq!(envelope, json!({"schema": serde_json::from_str::<Value>(CONNECT_SCHEMA).unwrap(), "payload": order}));

            let mut framed = Vec::new();
            write_framed_avro(&mut framed, 258, i);
            assert_eq!(framed[..5], [0, 0, 0, 1, 2]);
            let mut avro = Avro(&framed[5..]);
            assert_eq!(avro.order(), order);
            assert_eq!(avro.0.len(), 0, "nothing follows the order");
        }
    }

    #[test]
    fn the_schemas_name_the_fields_in_the_order_of_the_json_text() {
        let order = json_of(1);
        let names: Vec<_> = order.as_object().unwrap().keys().map(String::as_str).collect();
        for (schema, key) in [(AVRO_SCHEMA, "name"), (CONNECT_SCHEMA, "field")] {
            let schema: Value = serde_json::from_str(schema).unwrap();
            let fields: Vec<_> = schema["fields"].as_array().unwrap().iter().map(|field| field[key].as_str().unwrap()).collect();
            assert_eq!(fields, names);
        }
    }

    #[test]
    fn the_number_determines_the_order() {
        assert_eq!(json_of(0)["ts"], json!(FIRST_TS_MS));
        assert_eq!(json_of(10)["ts"], json!(FIRST_TS_MS + 70));
        assert_eq!(json_of(7), json_of(7));
        assert_ne!(json_of(7)["customer"], json_of(8)["customer"]);
    }

    #[test]
    fn orders_are_as_long_and_as_varied_as_real_ones() {
        let mut json = Vec::new();
        let mut distinct = std::collections::BTreeMap::<&str, std::collections::BTreeSet<String>>::new();
        for i in 0..5_000 {
            write_json(&mut json, i);
            let order = json_of(i);
            for field in ["customer", "country", "amount", "status", "qty", "gift", "tags"] {
                distinct.entry(field).or_default().insert(order[field].to_string());
            }
        }
        assert!((335..=355).contains(&(json.len() / 5_000)), "{} bytes an order", json.len() / 5_000);
        let counts: Vec<_> = ["country", "status", "qty", "gift"].map(|field| distinct[field].len()).to_vec();
        assert_eq!(counts, [8, 6, 9, 2]);
        assert!(distinct["customer"].len() > 4_900 && distinct["amount"].len() > 4_900);
        assert!(distinct["tags"].len() > 240, "null, and nearly all of the 258 lists of up to three tags");
    }
}
