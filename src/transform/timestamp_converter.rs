//! `TimestampConverter`: a field, or the whole key or value, from one form of timestamps to another.
//!
//! Upstream: `org.apache.kafka.connect.transforms.TimestampConverter`. Every form becomes milliseconds since the epoch first, and these the other form:
//!
//! | form | values |
//! |---|---|
//! | `string` | text by a pattern of `SimpleDateFormat`, in UTC; read leniently ([`lakehead_formats::dates`]) |
//! | `unix` | int64 in `unix.precision`, cut towards 0 |
//! | `Date` | the day |
//! | `Time` | the time of day |
//! | `Timestamp` | the instant |
//!
//! Texts are read and printed row by row, all else is a kernel for a column. Differences: instants of which the day does not fit into 32 bits are rejects where
//! a `Date` is wanted; texts of days before 1582-10-15 are printed by the Gregorian calendar; and the default of a struct with such a field is not kept.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringBuilder, new_null_array};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMillisecondType};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::dates::DateFormat;
use lakehead_formats::schema::{DATE, NAME, TIME, TIMESTAMP, VERSION};
use lakehead_formats::schemaless::{Dynamic, Kind};
use lakehead_formats::value::Made;

use super::cast::{optional_as, without_rejected};
use super::fields::{REPLACE_NULL_WITH_DEFAULT, as_struct, masked, rebuilt, with_default};
use super::schemaless_kinds::{get, joined, put, rejected};
use super::side::{Refusal, Rewrite, Rewritten, Sided, excerpt, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::calendar::pattern::Pattern;
use crate::calendar::{DAY_MS, Zone};
use crate::clock::Clock;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

const PURPOSE: &str = "converting timestamp formats";

const fn key(name: &'static str, default: Option<&'static str>, importance: Importance, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind: Type::String, default, required: default.is_none(), importance, group: "Transforms", doc, check }
}

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    key("field", Some(""), Importance::High, Check::Any, "The field with the timestamp; empty when the whole is one."),
    key(
        "target.type",
        None,
        Importance::High,
        Check::OneOf(&["string", "unix", "Date", "Time", "Timestamp"]),
        "What it becomes: string, unix, Date, Time or Timestamp.",
    ),
    key("format", Some(""), Importance::Medium, Check::Any, "A pattern of java.text.SimpleDateFormat for timestamps that are strings, in UTC."),
    key(
        "unix.precision",
        Some("milliseconds"),
        Importance::Low,
        Check::OneOf(&["nanoseconds", "microseconds", "milliseconds", "seconds"]),
        "The unit of timestamps that are int64.",
    ),
    REPLACE_NULL_WITH_DEFAULT,
];

/// A form of timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    String,
    Unix,
    Date,
    Time,
    Timestamp,
}

/// A pattern that prints, and reads where there are no weeks in it.
#[derive(Debug)]
struct Format {
    text: String,
    prints: Pattern,
    reads: Option<DateFormat>,
}

#[derive(Debug)]
struct TimestampConverter {
    /// Empty for the whole.
    field: Arc<str>,
    target: Form,
    format: Option<Format>,
    unit: Unit,
    replaces_nulls: bool,
}

/// A unit is so many ms, or a ms is so many of it.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Longer(i64),
    Shorter(i64),
}

impl Unit {
    fn to_ms(self, value: i64) -> i64 {
        match self {
            Self::Longer(ms) => value.saturating_mul(ms),
            Self::Shorter(of_ms) => value / of_ms,
        }
    }

    fn of_ms(self, ms: i64) -> i64 {
        match self {
            Self::Longer(of_unit) => ms / of_unit,
            Self::Shorter(of_ms) => ms.saturating_mul(of_ms),
        }
    }
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let target = match values.text("target.type") {
        "string" => Form::String,
        "unix" => Form::Unix,
        "Date" => Form::Date,
        "Time" => Form::Time,
        _ => Form::Timestamp,
    };
    let unit = match values.text("unix.precision") {
        "seconds" => Unit::Longer(1000),
        "microseconds" => Unit::Shorter(1000),
        "nanoseconds" => Unit::Shorter(1_000_000),
        _ => Unit::Shorter(1),
    };
    let format = format(values.text("format"), target).map_err(|message| vec![ConfigError::new("format", message)])?;
    let replaces_nulls = values.boolean("replace.null.with.default");
    Ok(Sided::boxed(side, TimestampConverter { field: Arc::from(values.text("field")), target, format, unit, replaces_nulls }))
}

fn format(pattern: &str, target: Form) -> Result<Option<Format>, String> {
    match pattern.trim() {
        "" if target == Form::String => Err("TimestampConverter requires format option to be specified when using string timestamps".to_owned()),
        "" => Ok(None),
        _ => {
            let wrong = |what: String| {
                let requires = "TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps";
                format!("Invalid value java.lang.IllegalArgumentException: {what} for configuration {requires}: {pattern}")
            };
            let prints = Pattern::java(pattern).map_err(wrong)?;
            // Years of two digits are near to now.
            let reads = DateFormat::compile(pattern, Clock::system().now().timestamp_millis()).map_err(wrong)?;
            Ok(Some(Format { text: pattern.to_owned(), prints, reads }))
        }
    }
}

impl Rewrite for TimestampConverter {
    const PASSES_NULLS: bool = false;
    const KEEPS_NULLS: bool = true;

    fn schemaless(&mut self, _: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        if self.field.is_empty() {
            return self.convert_dynamic(values);
        }
        let mut rejects = not_maps(values, PURPOSE, false);
        let done = self.convert_dynamic(&get(values, &self.field))?;
        rejects.extend(done.rejects);
        Ok(Rewritten { values: put(values, vec![(Arc::clone(&self.field), done.values)])?, rejects })
    }

    fn with_schema(&mut self, _: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        if self.field.is_empty() {
            let Made { array, rejects } = self.convert(&column.array, &column.field)?;
            let field = self.field_of(column.field.name(), column.field.is_nullable());
            return Ok(Rewritten { values: Column::new(Arc::new(field), array), rejects });
        }
        let rows = as_struct(column).ok_or_else(|| struct_required(PURPOSE, column))?;
        let (mut fields, mut columns, mut rejects): (Vec<FieldRef>, Vec<ArrayRef>, Vec<Reject>) = Default::default();
        for (old, values) in rows.fields().iter().zip(rows.columns()) {
            let values = if self.replaces_nulls { with_default(old, values)? } else { Arc::clone(values) };
            if **old.name() != *self.field {
                fields.push(Arc::clone(old));
                columns.push(values);
                continue;
            }
            let made = self.convert(&masked(&values, rows.nulls())?, old)?;
            fields.push(Arc::new(self.field_of(old.name(), old.is_nullable())));
            columns.push(made.array);
            rejects.extend(made.rejects);
        }
        let nulls = without_rejected(rows.nulls(), &rejects, rows.len());
        let values = rebuilt(&column.field, fields, columns, nulls.as_ref(), rows.len())?;
        Ok(Rewritten { values: optional_as(&column.field, values), rejects })
    }
}

impl TimestampConverter {
    /// The schema of what comes out: only whether it is optional is the old one's.
    fn field_of(&self, name: &str, optional: bool) -> Field {
        let (data_type, logical) = match self.target {
            Form::String => (DataType::Utf8, None),
            Form::Unix => (DataType::Int64, None),
            Form::Date => (DataType::Date32, Some(DATE)),
            Form::Time => (DataType::Time32(TimeUnit::Millisecond), Some(TIME)),
            Form::Timestamp => (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), Some(TIMESTAMP)),
        };
        let metadata = logical.into_iter().flat_map(|name| [(NAME.to_owned(), name.to_owned()), (VERSION.to_owned(), "1".to_owned())]);
        Field::new(name, data_type, optional).with_metadata(metadata.collect::<HashMap<String, String>>())
    }

    fn convert(&self, array: &ArrayRef, field: &Field) -> Result<Made, Refusal> {
        let from = match field.data_type() {
            DataType::Timestamp(..) => Form::Timestamp,
            DataType::Date32 => Form::Date,
            DataType::Time32(_) => Form::Time,
            DataType::Utf8 => Form::String,
            DataType::Int64 => Form::Unix,
            other => return Err(Refusal(format!("Schema {} does not correspond to a known timestamp type format", schema_of(field, other)))),
        };
        if from == self.target && matches!(from, Form::Timestamp | Form::Date | Form::Time) {
            return Ok(Made { array: Arc::clone(array), rejects: Vec::new() });
        }
        let (ms, mut rejects) = self.to_ms(array, from);
        let (array, more) = self.of_ms(&ms);
        rejects.extend(more);
        Ok(Made { array, rejects })
    }

    /// Instants of a form. A row that is none is null.
    fn to_ms(&self, array: &ArrayRef, from: Form) -> (Int64Array, Vec<Reject>) {
        match from {
            Form::Unix => (array.as_primitive::<Int64Type>().unary(|value| self.unit.to_ms(value)), Vec::new()),
            Form::Date => (array.as_primitive::<Date32Type>().unary(|day| i64::from(day) * DAY_MS), Vec::new()),
            Form::Time => (array.as_primitive::<Time32MillisecondType>().unary(i64::from), Vec::new()),
            Form::Timestamp => (array.as_primitive::<TimestampMillisecondType>().unary(|ms| ms), Vec::new()),
            Form::String => {
                let (mut instants, mut rejects) = (Int64Array::builder(array.len()), Vec::new());
                for (row, text) in array.as_string::<i32>().iter().enumerate() {
                    let read = text.map(|text| self.read(text));
                    instants.append_option(read.as_ref().and_then(|read| read.as_ref().ok()).copied());
                    rejects.extend(read.and_then(Result::err).map(|reason| Reject { row, reason }));
                }
                (instants.finish(), rejects)
            }
        }
    }

    fn read(&self, text: &str) -> Result<i64, String> {
        let Some(format) = &self.format else {
            return Err(format!(
                "Could not parse timestamp: value ({}) is a string, and TimestampConverter has no format; set format to its pattern",
                excerpt(text)
            ));
        };
        let Some(reads) = &format.reads else {
            return Err(format!(
                "Could not parse timestamp: value ({}): pattern ({}) has weeks, which are printed only; write it with months",
                excerpt(text),
                format.text
            ));
        };
        reads.parse(text).ok_or_else(|| format!("Could not parse timestamp: value ({}) does not match pattern ({})", excerpt(text), format.text))
    }

    /// The form that is wanted, of instants.
    fn of_ms(&self, ms: &Int64Array) -> (ArrayRef, Vec<Reject>) {
        match (self.target, &self.format) {
            (Form::Unix, _) => (Arc::new(ms.unary::<_, Int64Type>(|ms| self.unit.of_ms(ms))), Vec::new()),
            (Form::Time, _) => {
                let times = ms.unary::<_, Int32Type>(|ms| i32::try_from(ms.rem_euclid(DAY_MS)).unwrap_or_default());
                (Arc::new(times.reinterpret_cast::<Time32MillisecondType>()), Vec::new())
            }
            (Form::Timestamp, _) => (Arc::new(ms.reinterpret_cast::<TimestampMillisecondType>().with_timezone("UTC")), Vec::new()),
            (Form::Date, _) => {
                let days = ms.unary_opt::<_, Date32Type>(|ms| i32::try_from(ms.div_euclid(DAY_MS)).ok());
                let out_of_range = |row: &usize| days.is_null(*row) && ms.is_valid(*row);
                let reason = |row: usize| format!("timestamp {} ms is out of range for a Date", ms.value(row));
                let rejects = (0..ms.len()).filter(out_of_range).map(|row| Reject { row, reason: reason(row) }).collect();
                (Arc::new(days), rejects)
            }
            (Form::String, Some(format)) => {
                let (mut texts, mut text, mut rejects) = (StringBuilder::with_capacity(ms.len(), ms.len() * format.text.len()), String::new(), Vec::new());
                for (row, instant) in ms.iter().enumerate() {
                    text.clear();
                    let printed = instant.map(|instant| format.prints.push(instant, Zone::UTC, &mut text).ok_or(instant));
                    texts.append_option(matches!(printed, Some(Ok(()))).then_some(&text));
                    rejects.extend(printed.and_then(Result::err).map(|ms| Reject { row, reason: format!("timestamp {ms} ms is out of range") }));
                }
                (Arc::new(texts.finish()), rejects)
            }
            (Form::String, None) => (new_null_array(&DataType::Utf8, ms.len()), Vec::new()), // refused when it was built
        }
    }

    fn convert_dynamic(&self, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let mut rejects = rejected(values, |kind| match kind {
            Kind::Date | Kind::Int64 | Kind::String => None,
            _ => Some(format!("TimestampConverter does not support class {} objects as timestamps", kind.class_name())),
        });
        let forms = [(Kind::Date, Form::Timestamp), (Kind::Int64, Form::Unix), (Kind::String, Form::String)];
        let instants = forms.into_iter().filter_map(|(kind, form)| {
            let (ms, rejects) = self.to_ms(values.lane(kind)?, form);
            Some(Made { array: Arc::new(ms), rejects })
        });
        let ms = joined(instants, &DataType::Int64, values.len())?;
        let (array, more) = self.of_ms(ms.array.as_primitive());
        rejects.extend(ms.rejects.into_iter().chain(more));
        let (kind, lane): (_, ArrayRef) = match self.target {
            Form::String => (Kind::String, array),
            Form::Unix => (Kind::Int64, array),
            // All of them are one class of Java's: an instant.
            Form::Date => (Kind::Date, instants_of(&array.as_primitive::<Date32Type>().unary(|day| i64::from(day) * DAY_MS))),
            Form::Time => (Kind::Date, instants_of(&array.as_primitive::<Time32MillisecondType>().unary(i64::from))),
            Form::Timestamp => (Kind::Date, array),
        };
        let done = Dynamic::scalar(kind, lane).ok_or_else(|| Refusal("values of another type came out of a conversion".to_owned()))?;
        Ok(Rewritten { values: done, rejects })
    }
}

fn instants_of(ms: &Int64Array) -> ArrayRef {
    Arc::new(ms.reinterpret_cast::<TimestampMillisecondType>().with_timezone("UTC"))
}

/// `ConnectSchema.toString`.
fn schema_of(field: &Field, data_type: &DataType) -> String {
    let kind = match data_type {
        DataType::Binary | DataType::Decimal128(..) | DataType::Decimal256(..) => "BYTES".to_owned(),
        DataType::List(_) => "ARRAY".to_owned(),
        DataType::Map(..) => "MAP".to_owned(),
        DataType::Struct(_) => "STRUCT".to_owned(),
        other => other.to_string().to_uppercase(),
    };
    match field.metadata().get(NAME) {
        Some(name) => format!("Schema{{{name}:{kind}}}"),
        None => format!("Schema{{{kind}}}"),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Int32Array, StringArray, Time32MillisecondArray, TimestampMillisecondArray};

    use super::super::rows::tests::batch;
    use super::super::{Transform, configure};
    use super::*;

    fn transform(settings: &[(&str, &str)]) -> Result<Box<dyn Transform>, String> {
        let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        configure("TimestampConverter$Value", &props).map_err(|errors| errors[0].message.clone())
    }

    /// What becomes of a column, as Arrow prints it, or why it is left out.
    fn column(settings: &[(&str, &str)], array: ArrayRef) -> Vec<String> {
        let rows: Vec<(i64, Option<i64>)> = (0..array.len()).map(|row| (11 + row as i64, None)).collect();
        let mut given = batch(&rows);
        given.value = Column::new(Arc::new(Field::new("value", array.data_type().clone(), true)), array);
        let mut out = Vec::new();
        let rejects = transform(settings).unwrap().apply(given, &mut out);
        let value = &out[0].value;
        let left = (0..value.len()).map(|row| arrow::util::display::array_value_to_string(&value.array, row).unwrap());
        left.chain(rejects.into_iter().map(|reject| reject.reason)).collect()
    }

    fn instants(ms: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from(ms).with_timezone("UTC"))
    }

    #[test]
    fn every_form_becomes_every_other() {
        let at = Some(86_401_234);
        for (settings, array, expected) in [
            (vec![("target.type", "unix")], instants(vec![at, None]), vec!["86401234", ""]),
            (vec![("target.type", "unix"), ("unix.precision", "seconds")], instants(vec![Some(-1999)]), vec!["-1"]),
            (
                vec![("target.type", "unix"), ("unix.precision", "nanoseconds")],
                instants(vec![at, Some(i64::MAX)]),
                vec!["86401234000000", "9223372036854775807"],
            ),
            (vec![("target.type", "Date")], instants(vec![at, Some(-1)]), vec!["1970-01-02", "1969-12-31"]),
            (vec![("target.type", "Time")], instants(vec![at, Some(-1)]), vec!["00:00:01.234", "23:59:59.999"]),
            (vec![("target.type", "Timestamp")], Arc::new(Date32Array::from(vec![1])), vec!["1970-01-02T00:00:00Z"]),
            (vec![("target.type", "Timestamp")], Arc::new(Time32MillisecondArray::from(vec![1234])), vec!["1970-01-01T00:00:01.234Z"]),
            (
                vec![("target.type", "Timestamp"), ("unix.precision", "microseconds")],
                Arc::new(Int64Array::from(vec![86_401_234_123])),
                vec!["1970-01-02T00:00:01.234Z"],
            ),
            (vec![("target.type", "string"), ("format", "yyyy MM dd HH mm ss SSS z")], instants(vec![at, None]), vec!["1970 01 02 00 00 01 234 UTC", ""]),
            (
                vec![("target.type", "unix"), ("format", "yyyy-MM-dd")],
                Arc::new(StringArray::from(vec!["1970-01-02", "x"])),
                vec!["86400000", "Could not parse timestamp: value (x) does not match pattern (yyyy-MM-dd)"],
            ),
            (vec![("target.type", "Date")], instants(vec![Some(i64::MAX)]), vec!["timestamp 9223372036854775807 ms is out of range for a Date"]),
            (
                vec![("target.type", "unix")],
                Arc::new(Int32Array::from(vec![5])),
                vec!["Schema Schema{INT32} does not correspond to a known timestamp type format"],
            ),
        ] {
            assert_eq!(column(&settings, array), expected, "{settings:?}");
        }
    }

    #[test]
    fn schemaless_values_are_told_by_what_they_are() {
        let texts = ["{\"ts\":86401234}", "{\"ts\":\"1970-01-02\",\"a\":1}", "{\"ts\":1.5}", "{}", "{\"ts\":null}", "null"];
        let mut given = batch(&[11, 12, 13, 14, 15, 16].map(|offset| (offset, None)));
        given.value = Column::new(lakehead_formats::schema::json_text("value"), Arc::new(StringArray::from(texts.to_vec())));
        let mut out = Vec::new();
        let rejects = transform(&[("target.type", "string"), ("format", "yyyy-MM-dd"), ("field", "ts")]).unwrap().apply(given, &mut out);
        let json = Dynamic::of_column(&out[0].value).unwrap().json().unwrap();
        assert_eq!(
            json.iter().collect::<Vec<_>>(),
            [Some("{\"ts\":\"1970-01-02\"}"), Some("{\"ts\":\"1970-01-02\",\"a\":1}"), Some("{\"ts\":null}"), Some("{\"ts\":null}"), None]
        );
        assert_eq!(rejects, [Reject { row: 2, reason: "TimestampConverter does not support class java.lang.Double objects as timestamps".to_owned() }]);
    }

    #[test]
    fn settings_are_refused_in_upstreams_words() {
        for (settings, message) in [
            (vec![], "Missing required configuration \"target.type\" which has no default value."),
            (
                vec![("target.type", "invalid")],
                "Invalid value invalid for configuration target.type: String must be one of: string, unix, Date, Time, Timestamp",
            ),
            (vec![("target.type", "string")], "TimestampConverter requires format option to be specified when using string timestamps"),
            (
                vec![("target.type", "string"), ("format", "bad-format")],
                "Invalid value java.lang.IllegalArgumentException: Illegal pattern character 'b' for configuration TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps: bad-format",
            ),
        ] {
            assert_eq!(transform(&settings).err().as_deref(), Some(message), "{settings:?}");
        }
    }
}
