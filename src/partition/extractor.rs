//! Timestamp extractors: the time of each row, in ms since the epoch.
//!
//! `Wallclock` (the batch's `now`), `Record` (Kafka's timestamp) and `RecordField` (`timestamp.field`, dotted): Connect Timestamps, int32 and int64
//! milliseconds, texts of up to 19 digits (milliseconds), and ISO date-times ([`iso`]). In schemaless JSON any number is taken, as upstream: a fraction
//! is cut off. Everything else is a reject with its reason, never a guess.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMillisecondType};
use lakehead_formats::column::Reject;

use super::json_path::{Path, Token};
use super::value::{Found, Leaf, find, reject_all};
use crate::batch::Batch;
use crate::calendar::iso;
use crate::connect::config::ConfigError;

/// Where the time of a row comes from.
#[derive(Debug)]
pub(super) enum Extractor {
    /// The clock.
    Wallclock,
    /// Kafka's record timestamp.
    Record,
    /// A field of the value: its name as configured, and where it is.
    RecordField(String, Path),
}

/// The time of each row.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// n instants; that of a rejected row means nothing.
    pub(super) values: Vec<i64>,
    /// Rows without a time, ascending.
    pub(super) rejects: Vec<Reject>,
}

impl Extractor {
    /// Reads `timestamp.extractor`, by short name or upstream's class name.
    pub(super) fn new(name: &str, field: &str) -> Result<Self, ConfigError> {
        let class = name.strip_prefix("io.confluent.connect.storage.partitioner.TimeBasedPartitioner$");
        match class.and_then(|class| class.strip_suffix("TimestampExtractor")).unwrap_or(name) {
            "Wallclock" => Ok(Self::Wallclock),
            "Record" => Ok(Self::Record),
            "RecordField" if field.is_empty() => Err(ConfigError::new("timestamp.field", "The field to extract cannot be null or empty.")),
            "RecordField" => Ok(Self::RecordField(field.to_owned(), Path::new(field))),
            _ => {
                let message = format!("Invalid timestamp extractor: {name}; use Wallclock, Record or RecordField (classes of your own cannot be loaded)");
                Err(ConfigError::new("timestamp.extractor", message))
            }
        }
    }

    /// True when it depends on the clock.
    pub(super) fn is_wallclock(&self) -> bool {
        matches!(self, Self::Wallclock)
    }

    /// The time of each row of a batch that is looked at at `now_ms`.
    pub(super) fn extract(&self, batch: &Batch, now_ms: i64) -> Times {
        match self {
            Self::Wallclock => Times { values: vec![now_ms; batch.len()], rejects: Vec::new() },
            Self::Record => record_times(batch),
            Self::RecordField(name, path) => match find(&batch.value, path) {
                Found::Leaf(leaf) => leaf_times(name, &leaf).unwrap_or_else(|reason| reject_batch(batch, &reason)),
                Found::Text(texts) => text_times(name, path, texts),
                Found::NoField => reject_batch(batch, &format!("{}: the field does not exist in the value's schema", failed(name))),
                Found::NoStruct => reject_batch(batch, &format!("{}: value is of type {}, it has no fields", failed(name), batch.value.field.data_type())),
            },
        }
    }
}

fn failed(name: &str) -> String {
    format!("Error extracting timestamp from record field: {name}")
}

fn reject_batch(batch: &Batch, reason: &str) -> Times {
    Times { values: vec![0; batch.len()], rejects: reject_all(batch.len(), reason) }
}

fn record_times(batch: &Batch) -> Times {
    let values = batch.timestamps.values().to_vec();
    let is_null = |row: &usize| batch.timestamps.is_null(*row);
    let reason = "Unable to determine timestamp using timestamp.extractor Record: the record has no timestamp";
    let rows = if batch.timestamps.null_count() == 0 { 0..0 } else { 0..batch.len() };
    Times { values, rejects: rows.filter(is_null).map(|row| Reject { row, reason: reason.to_owned() }).collect() }
}

/// Times in a struct's field, or why no row has one.
fn leaf_times(name: &str, leaf: &Leaf) -> Result<Times, String> {
    let refused = || format!("{}: it is of type {}; Timestamp, int32, int64 and string hold timestamps", failed(name), leaf.field.data_type());
    let mut times = Times { values: Vec::new(), rejects: Vec::new() };
    match leaf.array.data_type() {
        DataType::Timestamp(..) | DataType::Int32 | DataType::Int64 => times.values = milliseconds(&leaf.array).ok_or_else(refused)?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => {
            let texts = cast(&leaf.array, &DataType::Utf8).map_err(|_| refused())?;
            let texts = texts.as_string_opt::<i32>().ok_or_else(refused)?;
            let mut reader = Reader::default();
            for row in 0..texts.len() {
                let is_valid = texts.is_valid(row) && leaf.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                times.push(row, if is_valid { reader.text(name, texts.value(row)) } else { Ok(0) });
            }
        }
        DataType::Null => times.values = vec![0; leaf.array.len()],
        _ => return Err(refused()),
    }
    let rows = leaf.array.len();
    let is_null = |row: &usize| leaf.array.data_type() == &DataType::Null || leaf.nulls.as_ref().is_some_and(|nulls| nulls.is_null(*row));
    times.rejects.extend((0..rows).filter(is_null).map(|row| Reject { row, reason: format!("{}: it is null", failed(name)) }));
    times.rejects.sort_by_key(|reject| reject.row);
    Ok(times)
}

/// Integers as they are, timestamps of any unit in ms.
fn milliseconds(array: &ArrayRef) -> Option<Vec<i64>> {
    if let DataType::Timestamp(_, zone) = array.data_type() {
        let ms = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone())).ok()?;
        return ms.as_primitive_opt::<TimestampMillisecondType>().map(|ms| ms.values().to_vec());
    }
    let longs = cast(array, &DataType::Int64).ok()?;
    longs.as_primitive_opt::<Int64Type>().map(|longs| longs.values().to_vec())
}

/// Times in a field of JSON texts.
fn text_times(name: &str, path: &Path, texts: &StringArray) -> Times {
    let mut times = Times { values: Vec::with_capacity(texts.len()), rejects: Vec::new() };
    let mut reader = Reader::default();
    for (row, text) in texts.iter().enumerate() {
        let time = match text.map(|text| path.find(text)) {
            None => Err(format!("{}: value is null", failed(name))),
            Some(None) => Err(format!("{}: value is not a JSON object", failed(name))),
            Some(Some(Token::Number(number))) => json_number(number).ok_or_else(|| format!("{}: {number} is out of range", failed(name))),
            Some(Some(Token::String(text))) => reader.text(name, &text),
            Some(Some(Token::Missing)) => Err(format!("{}: the field does not exist", failed(name))),
            Some(Some(Token::Null)) => Err(format!("{}: it is null", failed(name))),
            Some(Some(Token::Boolean(_) | Token::Composite)) => Err(format!("{}: it is neither a number nor a text", failed(name))),
        };
        times.push(row, time);
    }
    times
}

impl Times {
    fn push(&mut self, row: usize, time: Result<i64, String>) {
        match time {
            Ok(time) => self.values.push(time),
            Err(reason) => {
                self.values.push(0);
                self.rejects.push(Reject { row, reason });
            }
        }
    }
}

/// Reads texts; one that equals its predecessor is not read again.
#[derive(Default)]
struct Reader {
    last: String,
    time: Option<i64>,
}

impl Reader {
    fn text(&mut self, name: &str, text: &str) -> Result<i64, String> {
        if self.time.is_none() || self.last != text {
            self.time = text_time(text);
            text.clone_into(&mut self.last);
        }
        self.time.ok_or_else(|| format!("{}: \"{text}\" is neither milliseconds nor an ISO date-time such as 2025-06-01T12:00:00Z", failed(name)))
    }
}

/// `-?[0-9]{1,19}` is milliseconds, anything else a date-time.
fn text_time(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = (1..=19).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().or_else(|| iso::parse_date_time(text))
}

/// A JSON number as Java's `Number.longValue()`; integers beyond 64 bits are refused.
fn json_number(number: &str) -> Option<i64> {
    number.parse().ok().or_else(|| {
        let is_float = number.contains(['.', 'e', 'E']);
        #[expect(clippy::cast_possible_truncation, reason = "Java's conversion: the fraction is cut off, what is too large becomes the largest")]
        number.parse::<f64>().ok().filter(|_| is_float).map(|float| float as i64)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StructArray;
    use arrow::array::{Date32Array, Float64Array, Int16Array, Int32Array, Int64Array, TimestampMicrosecondArray, TimestampMillisecondArray};
    use arrow::datatypes::Field;

    use super::super::tests::{batch_of, json_column, struct_column};
    use super::*;

    fn extract(field: &str, batch: &Batch) -> Vec<Result<i64, String>> {
        let times = Extractor::new("RecordField", field).unwrap().extract(batch, 5);
        let mut rows: Vec<_> = times.values.into_iter().map(Ok).collect();
        times.rejects.into_iter().for_each(|reject| rows[reject.row] = Err(reject.reason));
        rows
    }

    #[test]
    fn extractors_by_name() {
        for (name, is_wallclock) in [
            ("Wallclock", true),
            ("Record", false),
            ("RecordField", false),
            ("io.confluent.connect.storage.partitioner.TimeBasedPartitioner$WallclockTimestampExtractor", true),
            ("io.confluent.connect.storage.partitioner.TimeBasedPartitioner$RecordTimestampExtractor", false),
        ] {
            assert_eq!(Extractor::new(name, "ts").unwrap().is_wallclock(), is_wallclock, "{name}");
        }
        let error = Extractor::new("Future", "ts").unwrap_err();
        assert!(error.key == "timestamp.extractor" && error.message.starts_with("Invalid timestamp extractor: Future"));
        assert_eq!(Extractor::new("RecordField", "").unwrap_err().key, "timestamp.field");
    }

    #[test]
    fn wallclock_is_the_time_of_the_batch() {
        let batch = batch_of(&json_column(&[None, Some("{}")]), &[None, Some(7)]);
        assert_eq!(Extractor::Wallclock.extract(&batch, 5).values, [5, 5]);
    }

    #[test]
    fn records_without_a_timestamp_are_rejected() {
        let batch = batch_of(&json_column(&[Some("{}"); 3]), &[Some(1), None, Some(-3)]);
        let times = Extractor::Record.extract(&batch, 5);
        assert_eq!((times.values[0], times.values[2], times.rejects.len(), times.rejects[0].row), (1, -3, 1, 1));
        assert!(times.rejects[0].reason.starts_with("Unable to determine timestamp using timestamp.extractor"));
    }

    #[test]
    fn fields_of_structs() {
        let inner = vec![Field::new("at", DataType::Int64, true)];
        let inner = StructArray::new(inner.into(), vec![Arc::new(Int64Array::from(vec![Some(1), Some(2)]))], Some(vec![false, true].into()));
        let value = struct_column(&[
            ("ts", Arc::new(TimestampMillisecondArray::from(vec![1, -1]).with_timezone("UTC")) as ArrayRef),
            ("us", Arc::new(TimestampMicrosecondArray::from(vec![1500, 2000]))),
            ("int", Arc::new(Int32Array::from(vec![Some(1), None]))),
            ("long", Arc::new(Int64Array::from(vec![1_748_779_200_000, 2]))),
            ("text", Arc::new(StringArray::from(vec!["1748779200000", "2015-04-02T01:00:00Z"]))),
            ("bad", Arc::new(StringArray::from(vec!["soon", "99999999999999999999"]))),
            ("in", Arc::new(inner)),
            ("float", Arc::new(Float64Array::from(vec![1.0, 2.0]))),
            ("short", Arc::new(Int16Array::from(vec![1, 2]))),
            ("day", Arc::new(Date32Array::from(vec![1, 2]))),
        ]);
        let batch = batch_of(&value, &[None, None]);
        for (field, wanted) in [
            ("ts", [Ok(1), Ok(-1)]),
            ("us", [Ok(1), Ok(2)]),
            ("int", [Ok(1), Err("int: it is null")]),
            ("long", [Ok(1_748_779_200_000), Ok(2)]),
            ("text", [Ok(1_748_779_200_000), Ok(1_427_936_400_000)]),
            ("bad", [Err("bad: \"soon\" is neither"), Err("bad: \"99999999999999999999\" is neither")]),
            ("in.at", [Err("in.at: it is null"), Ok(2)]),
            ("float", [Err("float: it is of type Float64"); 2]),
            ("short", [Err("short: it is of type Int16"); 2]),
            ("day", [Err("day: it is of type Date32"); 2]),
            ("none", [Err("none: the field does not exist"); 2]),
        ] {
            for (found, wanted) in extract(field, &batch).into_iter().zip(wanted) {
                match wanted {
                    Ok(wanted) => assert_eq!(found, Ok(wanted), "{field}"),
                    Err(part) => assert!(found.as_ref().is_err_and(|reason| reason.contains(part)), "{field}: {found:?}"),
                }
            }
        }
    }

    #[test]
    fn fields_of_json_texts() {
        for (text, wanted) in [
            (r#"{"a":{"ts":1748779200000}}"#, Ok(1_748_779_200_000)),
            (r#"{"a":{"ts":1.5e3}}"#, Ok(1500)),
            (r#"{"a":{"ts":-1.9}}"#, Ok(-1)),
            (r#"{"a":{"ts":"-5"}}"#, Ok(-5)),
            (r#"{"a":{"ts":"2015-04-02T01:00:00Z"}}"#, Ok(1_427_936_400_000)),
            (r#"{"a":{"ts":99999999999999999999}}"#, Err("out of range")),
            (r#"{"a":{"ts":"soon"}}"#, Err("\"soon\" is neither")),
            (r#"{"a":{"ts":true}}"#, Err("neither a number nor a text")),
            (r#"{"a":{"ts":null}}"#, Err("it is null")),
            (r#"{"a":1}"#, Err("does not exist")),
            ("[]", Err("not a JSON object")),
        ] {
            let found = extract("a.ts", &batch_of(&json_column(&[Some(text)]), &[None])).remove(0);
            match wanted {
                Ok(wanted) => assert_eq!(found, Ok(wanted), "{text}"),
                Err(part) => assert!(found.as_ref().is_err_and(|reason| reason.contains(part)), "{text}: {found:?}"),
            }
        }
        assert!(extract("a", &batch_of(&json_column(&[None]), &[None]))[0].as_ref().is_err_and(|reason| reason.contains("value is null")));
    }
}
