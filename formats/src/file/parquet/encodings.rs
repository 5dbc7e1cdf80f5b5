//! Which encoding suits a column: estimated from a sample of its values.
//!
//! A dictionary pays where values repeat, and costs time and bytes where they do not; numbers that grow by steps (ids, times) pack best as
//! differences. The writer's defaults try a dictionary for every column. Choosing is worth a third of the encoder's time at the same size of file.
//! Only encodings that every common reader knows are chosen: PLAIN, RLE_DICTIONARY, DELTA_BINARY_PACKED. (In data pages of version 2, which must be asked for,
//! the writer takes its delta encodings of strings where PLAIN is meant.)
//!
//! Guarantee: the choice changes bytes and time, never values.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use parquet::basic::{Encoding, Type as Physical};
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::SchemaDescriptor;

use super::settings::{Dictionary, Settings};

/// Neighbouring rows that are looked at together, so that differences are seen.
const WINDOW_ROWS: usize = 1024;
/// Windows, spread over the rows at hand.
const WINDOWS: usize = 4;
/// Rows that a row group is taken to have when its end is not known yet.
const GROUP_ROWS: f64 = 131_072.0;
/// A dictionary larger than this share of what the writer gives up at is not tried.
const MOST_OF_DICTIONARY: f64 = 0.75;
/// What a dictionary must save to be worth its hashing: against plain values, which the codec also shrinks, and against differences.
const BEST_PLAIN_SHARE: f64 = 0.5;
const BEST_DELTA_SHARE: f64 = 0.9;

/// Sets encodings for the columns of `schema`, judged by the first rows. `whole` says that they are the whole row group.
pub(super) fn choose(
    mut properties: WriterPropertiesBuilder,
    schema: &SchemaDescriptor,
    rows: &[StructArray],
    whole: bool,
    settings: &Settings,
) -> WriterPropertiesBuilder {
    let most_dictionary_bytes = match settings.dictionary {
        Dictionary::Always => return properties.set_dictionary_enabled(true),
        Dictionary::Auto => float(settings.dictionary_bytes) * MOST_OF_DICTIONARY,
        Dictionary::Never => 0.0,
    };
    properties = properties.set_dictionary_enabled(settings.dictionary != Dictionary::Never);
    let mut leaves: Vec<Leaf> = Vec::with_capacity(schema.num_columns());
    let mut sampled = 0;
    for window in windows(rows) {
        sampled += window.len();
        let mut next = 0;
        window.columns().iter().for_each(|column| visit(column, &mut leaves, &mut next));
    }
    let total: usize = rows.iter().map(Array::len).sum();
    let group = if whole { float(total) } else { GROUP_ROWS.max(float(total)) };
    // A nested type that the walk does not know would shift the leaves: then the writer's defaults stand.
    if leaves.len() != schema.num_columns() {
        return properties;
    }
    for (leaf, column) in leaves.iter().zip(schema.columns()) {
        let values = float(leaf.count) / float(sampled.max(1)) * group;
        properties = match leaf.encoding(column.physical_type(), values, most_dictionary_bytes) {
            Choice::Default => properties,
            Choice::Dictionary => properties.set_column_dictionary_enabled(column.path().clone(), true),
            Choice::Plain => properties.set_column_dictionary_enabled(column.path().clone(), false),
            Choice::Delta => {
                properties.set_column_dictionary_enabled(column.path().clone(), false).set_column_encoding(column.path().clone(), Encoding::DELTA_BINARY_PACKED)
            }
        };
    }
    properties
}

/// Runs of neighbouring rows, spread evenly.
fn windows(rows: &[StructArray]) -> Vec<StructArray> {
    let total: usize = rows.iter().map(Array::len).sum();
    if total <= WINDOW_ROWS * WINDOWS {
        return rows.to_vec();
    }
    let mut windows = Vec::with_capacity(WINDOWS);
    for start in (0..WINDOWS).map(|n| total / WINDOWS * n) {
        let mut skip = start;
        for batch in rows {
            if skip < batch.len() {
                windows.push(batch.slice(skip, WINDOW_ROWS.min(batch.len() - skip)));
                break;
            }
            skip -= batch.len();
        }
    }
    windows
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// Visits the leaves of a column in the order of Parquet's columns.
fn visit(array: &ArrayRef, leaves: &mut Vec<Leaf>, next: &mut usize) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|child| visit(child, leaves, next)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            visit(&inside(list.values(), list.value_offsets()), leaves, next);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            [map.keys(), map.values()].into_iter().for_each(|child| visit(&inside(child, map.value_offsets()), leaves, next));
        }
        _ => {
            if leaves.len() == *next {
                leaves.push(Leaf::default());
            }
            if let Some(leaf) = leaves.get_mut(*next) {
                leaf.add(array);
            }
            *next += 1;
        }
    }
}

/// The items that a slice of lists refers to.
fn inside(values: &ArrayRef, offsets: &[i32]) -> ArrayRef {
    let at = |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    let (start, end) = (at(offsets.first()), at(offsets.last()));
    values.slice(start, end - start)
}

enum Choice {
    Default,
    Dictionary,
    Plain,
    Delta,
}

/// What was seen of a column.
#[derive(Default)]
struct Leaf {
    /// Values that are not null.
    count: usize,
    /// How often each value was seen, by its hash.
    seen: HashMap<u64, u32, BuildHasherDefault<Mixed>>,
    /// Bytes of values of variable length.
    bytes: usize,
    /// Smallest and largest difference between neighbours.
    steps: Option<(i64, i64)>,
}

impl Leaf {
    fn add(&mut self, array: &ArrayRef) {
        match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().iter().flatten().for_each(|text| self.text(text.as_bytes())),
            DataType::Binary => array.as_binary::<i32>().iter().flatten().for_each(|bytes| self.text(bytes)),
            DataType::Float32 => array.as_primitive::<Float32Type>().iter().flatten().for_each(|value| self.word(u64::from(value.to_bits()))),
            DataType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().for_each(|value| self.word(value.to_bits())),
            DataType::Int8 => self.numbers(array.as_primitive::<Int8Type>().iter().flatten().map(i64::from)),
            DataType::Int16 => self.numbers(array.as_primitive::<Int16Type>().iter().flatten().map(i64::from)),
            DataType::Int32 => self.numbers(array.as_primitive::<Int32Type>().iter().flatten().map(i64::from)),
            DataType::Int64 => self.numbers(array.as_primitive::<Int64Type>().iter().flatten()),
            DataType::UInt8 => self.numbers(array.as_primitive::<UInt8Type>().iter().flatten().map(i64::from)),
            DataType::UInt16 => self.numbers(array.as_primitive::<UInt16Type>().iter().flatten().map(i64::from)),
            DataType::UInt32 => self.numbers(array.as_primitive::<UInt32Type>().iter().flatten().map(i64::from)),
            DataType::UInt64 => self.numbers(array.as_primitive::<UInt64Type>().iter().flatten().map(u64::cast_signed)),
            // The low half of a decimal is what differs.
            DataType::Decimal128(..) => self.numbers(array.as_primitive::<Decimal128Type>().iter().flatten().map(|value| i64::from_le_bytes(low_half(value)))),
            DataType::Date32 | DataType::Time32(_) => self.cast(array, &DataType::Int32),
            DataType::Time64(_) | DataType::Timestamp(..) | DataType::Date64 | DataType::Duration(_) => self.cast(array, &DataType::Int64),
            // Nothing is known of the others: the writer's defaults stand.
            _ => {}
        }
    }

    /// Looks at times as the numbers that they are.
    fn cast(&mut self, array: &ArrayRef, to: &DataType) {
        if let Ok(numbers) = arrow::compute::cast(array, to) {
            self.add(&numbers);
        }
    }

    fn text(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        let mut hash = 0x9e37_79b9_7f4a_7c15 ^ u64::try_from(bytes.len()).unwrap_or(0);
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain(std::iter::once(&last)) {
            hash = mix(hash ^ u64::from_le_bytes(*word));
        }
        self.hash(hash);
    }

    fn word(&mut self, value: u64) {
        self.hash(mix(value));
    }

    fn hash(&mut self, hash: u64) {
        self.count += 1;
        *self.seen.entry(hash).or_default() += 1;
    }

    fn numbers(&mut self, values: impl Iterator<Item = i64>) {
        let mut previous = None;
        for value in values {
            self.word(value.cast_unsigned());
            if let Some(step) = previous.map(|previous| value.wrapping_sub(previous)) {
                let (least, most) = self.steps.unwrap_or((step, step));
                self.steps = Some((least.min(step), most.max(step)));
            }
            previous = Some(value);
        }
    }

    /// The encoding that takes least, with a bias to the cheaper one, for so many values.
    fn encoding(&self, physical: Physical, values: f64, most_dictionary_bytes: f64) -> Choice {
        if self.count == 0 {
            return Choice::Default;
        }
        let width = match physical {
            Physical::BOOLEAN => return Choice::Default,
            Physical::INT32 | Physical::FLOAT => 4.0,
            Physical::INT64 | Physical::DOUBLE => 8.0,
            Physical::INT96 | Physical::FIXED_LEN_BYTE_ARRAY => 16.0,
            Physical::BYTE_ARRAY => 4.0 + float(self.bytes) / float(self.count),
        };
        let times = |n: u32| float(self.seen.values().filter(|count| **count == n).count());
        let distinct = distinct(float(self.count), float(self.seen.len()), times(1), times(2), values);
        let dictionary_bytes = distinct * width;
        let dictionary = dictionary_bytes + values * distinct.log2().ceil().max(1.0) / 8.0;
        let fits = dictionary_bytes <= most_dictionary_bytes;
        match (physical, self.steps) {
            (Physical::INT32 | Physical::INT64, Some((least, most))) => {
                let bits = 64 - most.wrapping_sub(least).cast_unsigned().leading_zeros();
                let delta = values * f64::from(bits + 1) / 8.0;
                if fits && dictionary < BEST_DELTA_SHARE * delta { Choice::Dictionary } else { Choice::Delta }
            }
            _ if fits && dictionary < BEST_PLAIN_SHARE * values * width => Choice::Dictionary,
            _ => Choice::Plain,
        }
    }
}

/// How many distinct values `rows` values have, when of a sample of `count` values `seen` were distinct, `once` seen once and `twice` seen twice.
///
/// Values that turned up often tell nothing of those that did not, so the rest is judged by the rare ones (Chao's estimator): if they are
/// drawn evenly, `once`²⁄2`twice` more exist, of which the rows to come show their share.
fn distinct(count: f64, seen: f64, once: f64, twice: f64, rows: f64) -> f64 {
    let more = (rows - count).max(0.0) / count;
    if once == 0.0 {
        return seen;
    }
    let rate = 2.0 * twice / once;
    let unseen = if rate == 0.0 { once * more } else { once / rate * (1.0 - (-rate * more).exp()) };
    (seen + unseen).min(rows.max(seen))
}

fn low_half(value: i128) -> [u8; 8] {
    let mut low = [0; 8];
    low.copy_from_slice(&value.to_le_bytes()[..8]);
    low
}

/// Spreads a word over all bits (the finaliser of splitmix64).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Takes a word that is mixed already as its own hash.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_values_are_estimated_from_a_sample() {
        let table = [
            // Twelve countries; ids; half zeros, half ids; ten thousand customers drawn evenly; a row group that was seen whole.
            (4096.0, 12.0, 0.0, 0.0, 131_072.0, 12.0),
            (4096.0, 4096.0, 4096.0, 0.0, 131_072.0, 131_072.0),
            (4096.0, 2049.0, 2048.0, 0.0, 131_072.0, 65_537.0),
            (4096.0, 3360.0, 2720.0, 557.0, 131_072.0, 10_001.3),
            (10.0, 10.0, 10.0, 0.0, 10.0, 10.0),
        ];
        for (count, seen, once, twice, rows, want) in table {
            let estimate = distinct(count, seen, once, twice, rows);
            assert!((estimate - want).abs() < 0.1, "{seen} of {count}: {estimate}, not {want}");
        }
    }
}
