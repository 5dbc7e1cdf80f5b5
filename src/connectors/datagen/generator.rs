//! Random records as columns.
//!
//! Numbers come from `java.util.Random`, whose whole state is a seed that fits into a source offset, so that whoever goes on makes the records that would have
//! come next. (Which records a seed makes is not upstream's.)

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use lakehead_formats::column::Column;
use lakehead_formats::schema::NAME;

use super::quickstarts::{Quickstart, Shape};

/// `java.util.Random`.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

const MASK: u64 = (1 << 48) - 1;

impl Random {
    pub(super) fn new(seed: i64) -> Self {
        Self((seed.cast_unsigned() ^ 0x5_deec_e66d) & MASK)
    }

    /// The next so many bits, at most 32.
    fn bits(&mut self, count: u32) -> u64 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & MASK;
        self.0 >> (48 - count)
    }

    /// `nextLong`.
    pub(super) fn long(&mut self) -> i64 {
        let signed = |bits: u64| (bits << 32).cast_signed() >> 32;
        let high = signed(self.bits(32)) << 32;
        high.wrapping_add(signed(self.bits(32)))
    }

    /// `nextDouble`: from 0 to below 1.
    pub(super) fn double(&mut self) -> f64 {
        let bits = (self.bits(26) << 27) + self.bits(27);
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let whole = bits as f64;
        whole / 2_f64.powi(53)
    }

    /// A number below that one.
    fn below(&mut self, end: u64) -> u64 {
        self.long().cast_unsigned() % end.max(1)
    }

    fn between(&mut self, first: i64, last: i64) -> i64 {
        let span = last.saturating_sub(first).unsigned_abs().saturating_add(1);
        first.saturating_add_unsigned(self.below(span))
    }
}

/// Records with these numbers, and the seed that the next one begins with, after each.
pub(super) fn records(quickstart: &Quickstart, random: &mut Random, numbers: std::ops::Range<i64>) -> (StructArray, Vec<i64>) {
    let rows: Vec<i64> = numbers.collect();
    let mut seeds = Vec::with_capacity(rows.len());
    let mut cells = Vec::with_capacity(rows.len());
    for number in &rows {
        // Row by row: each begins with a seed of its own.
        cells.push(quickstart.fields.iter().map(|(_, shape)| cell(*shape, random, *number)).collect::<Vec<_>>());
        let seed = random.long();
        *random = Random::new(seed);
        seeds.push(seed);
    }
    let columns: Vec<ArrayRef> =
        quickstart.fields.iter().enumerate().map(|(at, (_, shape))| column(*shape, &cells.iter().filter_map(|row| row.get(at)).collect::<Vec<_>>())).collect();
    (StructArray::new(fields(quickstart.fields), columns, None), seeds)
}

/// A record's value under its schema.
pub(super) fn value(quickstart: &Quickstart, records: StructArray) -> Column {
    let metadata = [(NAME.to_owned(), quickstart.record.to_owned())];
    let field = Field::new("value", records.data_type().clone(), false).with_metadata(metadata);
    Column::new(Arc::new(field), Arc::new(records))
}

/// One value.
#[derive(Debug)]
enum Cell {
    Int(i32),
    Long(i64),
    Double(f64),
    Text(String),
    Struct(Vec<Self>),
}

fn cell(shape: Shape, random: &mut Random, number: i64) -> Cell {
    let int = |value: i64| Cell::Int(i32::try_from(value & i64::from(i32::MAX)).unwrap_or(0));
    match shape {
        Shape::Int(first, last) => Cell::Int(i32::try_from(random.between(first.into(), last.into())).unwrap_or(first)),
        Shape::Long(first, last) => Cell::Long(random.between(first, last)),
        Shape::Double(least, most) => Cell::Double(least + random.double() * (most - least)),
        Shape::IntSteps(start, step) => int(i64::from(start).wrapping_add(number.wrapping_mul(step.into()))),
        Shape::LongSteps(start, step) => Cell::Long(start.wrapping_add(number.wrapping_mul(step))),
        Shape::OneOf(texts) => {
            let chosen = usize::try_from(random.below(texts.len() as u64)).ok().and_then(|at| texts.get(at));
            Cell::Text((*chosen.unwrap_or(&"")).to_owned())
        }
        Shape::Pattern(pattern) => Cell::Text(text(pattern, random)),
        Shape::Struct(_, fields) => Cell::Struct(fields.iter().map(|(_, shape)| cell(*shape, random, number)).collect()),
    }
}

/// A text of a pattern.
fn text(pattern: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let class = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let Some((class, after)) = class else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let counted = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let bounds = counted.and_then(|(bounds, after)| Some((bounds.split_once(',')?, after)));
        let (count, after) = match bounds {
            Some(((least, most), after)) => (random.between(least.parse().unwrap_or(1), most.parse().unwrap_or(1)), after),
            None => (1, after),
        };
        let ends: Vec<u32> = class.chars().filter(|c| *c != '-').map(u32::from).collect();
        for _ in 0..count {
            let chosen = random.between(ends.first().copied().unwrap_or(0).into(), ends.last().copied().unwrap_or(0).into());
            out.extend(u32::try_from(chosen).ok().and_then(char::from_u32));
        }
        rest = after;
    }
    out
}

fn fields(shapes: &[(&'static str, Shape)]) -> Fields {
    shapes.iter().map(|(name, shape)| field(name, *shape)).collect()
}

fn field(name: &str, shape: Shape) -> Field {
    match shape {
        Shape::Int(..) | Shape::IntSteps(..) => Field::new(name, DataType::Int32, false),
        Shape::Long(..) | Shape::LongSteps(..) => Field::new(name, DataType::Int64, false),
        Shape::Double(..) => Field::new(name, DataType::Float64, false),
        Shape::OneOf(_) | Shape::Pattern(_) => Field::new(name, DataType::Utf8, false),
        Shape::Struct(full_name, inner) => Field::new(name, DataType::Struct(fields(inner)), false).with_metadata([(NAME.to_owned(), full_name.to_owned())]),
    }
}

fn column(shape: Shape, cells: &[&Cell]) -> ArrayRef {
    match shape {
        Shape::Int(..) | Shape::IntSteps(..) => {
            Arc::new(cells.iter().map(|cell| if let Cell::Int(value) = cell { *value } else { 0 }).collect::<Vec<_>>().into_iter().collect::<Int32Array>())
        }
        Shape::Long(..) | Shape::LongSteps(..) => {
            Arc::new(cells.iter().map(|cell| if let Cell::Long(value) = cell { *value } else { 0 }).collect::<Vec<_>>().into_iter().collect::<Int64Array>())
        }
        Shape::Double(..) => {
            Arc::new(Float64Array::from(cells.iter().map(|cell| if let Cell::Double(value) = cell { *value } else { 0.0 }).collect::<Vec<_>>()))
        }
        Shape::OneOf(_) | Shape::Pattern(_) => {
            Arc::new(StringArray::from(cells.iter().map(|cell| if let Cell::Text(text) = cell { text.as_str() } else { "" }).collect::<Vec<_>>()))
        }
        Shape::Struct(_, inner) => {
            let of = |at: usize| cells.iter().filter_map(|cell| if let Cell::Struct(inner) = cell { inner.get(at) } else { None }).collect::<Vec<_>>();
            let columns = inner.iter().enumerate().map(|(at, (_, shape))| column(*shape, &of(at))).collect();
            Arc::new(StructArray::new(fields(inner), columns, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use lakehead_formats::payload;
    use regex::Regex;

    use super::super::quickstarts::{QUICKSTARTS, find};
    use super::*;

    /// As Java gives them for these seeds.
    #[test]
    fn numbers_are_those_of_java() {
        let mut random = Random::new(42);
        assert_eq!((random.long(), random.long()), (-5_025_562_857_975_149_833, -5_843_495_416_241_995_736));
        let mut random = Random::new(0);
        assert_eq!((random.double(), random.long()), (0.730_967_787_376_657, 4_437_113_781_045_784_766));
    }

    fn json(quickstart: &Quickstart, seed: i64, numbers: std::ops::Range<i64>) -> (Vec<serde_json::Value>, Vec<i64>) {
        let (records, seeds) = records(quickstart, &mut Random::new(seed), numbers);
        let settings = [("schemas.enable".to_owned(), "false".to_owned())].into();
        let written = (payload::find("json").unwrap().build)(&settings).unwrap().write(&value(quickstart, records));
        assert!(written.rejects.is_empty());
        (written.payloads.iter().map(|payload| serde_json::from_slice(payload.unwrap()).unwrap()).collect(), seeds)
    }

    #[test]
    fn a_seed_makes_the_same_records_in_whatever_pieces() {
        for quickstart in QUICKSTARTS {
            let (whole, seeds) = json(quickstart, 7, 0..5);
            let (mut pieces, first) = json(quickstart, 7, 0..2);
            pieces.extend(json(quickstart, first[1], 2..5).0);
            assert_eq!((pieces, &first[..]), (whole, &seeds[..2]), "{}", quickstart.name);
        }
    }

    #[test]
    fn records_are_of_their_shape() {
        let (orders, _) = json(find("ORDERS").unwrap(), 1, 0..50);
        let (item, city) = (Regex::new("^Item_[1-9][0-9]{0,2}$").unwrap(), Regex::new("^City_[1-9]{0,2}$").unwrap());
        for (number, order) in orders.iter().enumerate() {
            assert_eq!(order["orderid"], number);
            assert!(item.is_match(order["itemid"].as_str().unwrap()) && city.is_match(order["address"]["city"].as_str().unwrap()), "{order}");
            assert!((0.1..10.0).contains(&order["orderunits"].as_f64().unwrap()) && (10_000..=99_999).contains(&order["address"]["zipcode"].as_i64().unwrap()));
        }
        let (views, _) = json(find("pageviews").unwrap(), 1, 3..5);
        assert_eq!((&views[0]["viewtime"], &views[1]["viewtime"]), (&31.into(), &41.into()));
        assert!(QUICKSTARTS.iter().all(|quickstart| quickstart.fields.iter().any(|(name, _)| *name == quickstart.key)));
    }
}
