//! 4 partition: one path per row.
//!
//! A [`Partitioner`] stands for Confluent's `io.confluent.connect.storage.partitioner.Partitioner`, over a batch: it says which directory
//! each row belongs to, dictionary-coded. Splitting the batch is shared code, not the partitioner's. Time is a value that is passed in.
//!
//! Parts: the partitioners ([`default`](self), field, time, template), what they share (source, coded), where times come from (extractor), how fields are found in values (value, json_path), what
//! upstream's S3 sink wraps around partitioners ([`Affix`], [`with_tombstones`]), and [`split_rows`], which a writer uses. A new partitioner is one file
//! here and one line in [`PARTITIONERS`].

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakehead_formats::column::Reject;

use crate::batch::Batch;
use crate::calendar::Zone;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

mod coded;
mod default;
mod extractor;
mod field;
mod json_path;
mod source;
mod split;
mod template;
mod time;
mod value;
mod wrap;

pub use split::{Rows, split_rows};
pub use wrap::{Affix, with_tombstones};

/// Row → directory.
pub trait Partitioner: fmt::Debug + Send + Sync {
    /// The directory of each row. `now` is the wall clock, read once per batch.
    fn paths(&self, batch: &Batch, now: DateTime<Utc>) -> Paths;

    /// True when the same records always get the same paths, whenever they are read (false for wall-clock time).
    fn is_deterministic(&self) -> bool;

    /// True for the time-based partitioners: `rotate.interval.ms` is active only with them.
    fn is_time_based(&self) -> bool;
}

/// One directory per row, dictionary-coded.
#[derive(Debug, Default)]
pub struct Paths {
    /// n codes, each an index into `distinct`, or [`Paths::REJECTED`].
    pub codes: Vec<u32>,
    /// The k encoded partitions (`year=2025/month=06/…`, `country=DE`, `partition=0`), without leading or trailing delimiter; no two are equal, but for the
    /// tombstones'.
    pub distinct: Vec<Arc<str>>,
    /// n timestamps in ms since the epoch, as the timestamp extractor saw them ([`Paths::NO_TIME`] where it found none); empty when the partitioner has no
    /// notion of time.
    pub timestamps: Vec<i64>,
    /// Rows that have no path, ascending.
    pub rejects: Vec<Reject>,
    /// The code of the tombstones' directory, when rows were sent there for being null.
    pub tombstones: Option<u32>,
}

impl Paths {
    /// The code of a row that has no path.
    pub const REJECTED: u32 = u32::MAX;
    /// The time of a row that has none.
    pub const NO_TIME: i64 = i64::MIN;
}

/// One line of the partitioners' table.
#[derive(Debug)]
pub struct Plugin {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations.
    pub aliases: &'static [&'static str],
    /// One sentence for the reference docs.
    pub doc: &'static str,
    /// Checks the settings and builds the partitioner; reports every problem.
    pub build: fn(&Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>>,
}

/// Every partitioner.
pub static PARTITIONERS: &[Plugin] = &[
    Plugin {
        name: "DefaultPartitioner",
        aliases: &["io.confluent.connect.storage.partitioner.DefaultPartitioner"],
        doc: "One directory for each Kafka partition.",
        build: default::build,
    },
    Plugin {
        name: "FieldPartitioner",
        aliases: &["io.confluent.connect.storage.partitioner.FieldPartitioner"],
        doc: "Directories by the values of the record's fields.",
        build: field::build,
    },
    Plugin {
        name: "TimeBasedPartitioner",
        aliases: &["io.confluent.connect.storage.partitioner.TimeBasedPartitioner"],
        doc: "Directories by time, with a duration and a pattern of your own.",
        build: time::build_time_based,
    },
    Plugin {
        name: "HourlyPartitioner",
        aliases: &["io.confluent.connect.storage.partitioner.HourlyPartitioner"],
        doc: "Directories by hour: year=2025/month=06/day=01/hour=12.",
        build: time::build_hourly,
    },
    Plugin {
        name: "DailyPartitioner",
        aliases: &["io.confluent.connect.storage.partitioner.DailyPartitioner"],
        doc: "Directories by day: year=2025/month=06/day=01.",
        build: time::build_daily,
    },
    Plugin {
        name: "TemplatePartitioner",
        aliases: &["io.lakehead.connect.partitioner.TemplatePartitioner"],
        doc: "Directories by a template of values, keys, headers and time: country={value.country}/day={time:yyyy-MM-dd}.",
        build: template::build,
    },
];

/// The partitioner of that name, short or a class name; `None` when there is none.
#[must_use]
pub fn find(class: &str) -> Option<&'static Plugin> {
    PARTITIONERS.iter().find(|plugin| plugin.name == class || plugin.aliases.contains(&class))
}

/// Builds the partitioner that `partitioner.class` asks for.
///
/// # Errors
/// Every problem with the keys in [`KEYS`], at most one for each key (upstream finds most of them only when the task starts).
pub fn from_props(props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let class = values(props).text("partitioner.class");
    let mut errors = check(props);
    let built = match find(class) {
        Some(plugin) => (plugin.build)(props),
        None => {
            let names: Vec<_> = PARTITIONERS.iter().map(|plugin| plugin.name).collect();
            let message = format!("Class {class} could not be found; partitioners: {} (classes of your own cannot be loaded)", names.join(", "));
            Err(vec![invalid("partitioner.class", class, &message)])
        }
    };
    match built {
        Ok(partitioner) if errors.is_empty() => Ok(partitioner),
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more.into_iter().filter(|error| errors.iter().all(|known| known.key != error.key)).collect::<Vec<_>>());
            Err(errors)
        }
    }
}

/// What upstream's validators check whatever the partitioner is: the zone's id and the names of fields.
fn check(props: &Props) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let timezone = values(props).text("timezone");
    if !timezone.is_empty()
        && let Err(message) = Zone::parse(timezone)
    {
        errors.push(invalid("timezone", timezone, &message));
    }
    for name in field_names(props) {
        let message = if name.is_empty() {
            "Field name cannot be null or empty"
        } else if name.trim_end_matches('.').split('.').any(|segment| segment.trim().is_empty()) {
            "Field name cannot contain an empty or whitespace-only path segment"
        } else {
            continue;
        };
        errors.push(invalid("partition.field.name", name, message));
        break;
    }
    errors
}

/// The settings, with the defaults of [`KEYS`].
fn values(props: &Props) -> Values<'_> {
    static TABLES: &[&[ConfigKey]] = &[KEYS];
    Values { tables: TABLES, props }
}

/// The elements of `partition.field.name`.
fn field_names(props: &Props) -> Vec<&str> {
    values(props).list("partition.field.name")
}

/// What stands between directory levels: `directory.delim`, which names of objects use as well.
fn directory_delim(props: &Props) -> &str {
    props.get("directory.delim").map_or("/", |delim| delim.trim())
}

/// A problem in the words of Kafka's `ConfigException`.
fn invalid(key: &str, value: impl fmt::Display, message: &str) -> ConfigError {
    ConfigError::new(key, format!("Invalid value {value} for configuration {key}: {message}"))
}

/// A key of the group.
const fn key(name: &'static str, kind: Type, default: &'static str, importance: Importance, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default: Some(default), required: false, importance, group: "Partitioner", doc, check: Check::Any }
}

/// The keys that partitioners understand, for every connector that has partitioners.
pub static KEYS: &[ConfigKey] = &[
    key(
        "partitioner.class",
        Type::Class,
        "io.confluent.connect.storage.partitioner.DefaultPartitioner",
        Importance::High,
        "What decides on the directory of a record: DefaultPartitioner (Kafka partition), FieldPartitioner (values of fields), TimeBasedPartitioner, \
         HourlyPartitioner or DailyPartitioner (time); ours is TemplatePartitioner (lakehead.path.template).",
    ),
    key(
        "partition.field.name",
        Type::List,
        "",
        Importance::Medium,
        "Fields whose values name the directories, for FieldPartitioner: comma separated, a.b for a field in a struct. Integers, strings and booleans are \
         taken; a null gives field=null.",
    ),
    key(
        "lakehead.path.template",
        Type::String,
        "",
        Importance::Medium,
        "Ours. Path of a record, for TemplatePartitioner: text with {value.a.b}, {key}, {key.a}, {header.name}, {topic}, {partition} and {time:PATTERN} (Joda, \
         under timestamp.extractor, timezone and locale); {{ and }} are braces.",
    ),
    key(
        "lakehead.partition.field.null",
        Type::String,
        "default",
        Importance::Low,
        "Ours. What a null field names, for FieldPartitioner and TemplatePartitioner: default (its schema's default value where there is one, else null), \
         null, reject (the record has no path: errors.tolerance decides), or text:<own text>, such as text:__HIVE_DEFAULT_PARTITION__.",
    ),
    key(
        "partition.duration.ms",
        Type::Long,
        "-1",
        Importance::Medium,
        "Length of a bucket of time in ms, for TimeBasedPartitioner; the bucket's start is what path.format prints.",
    ),
    key(
        "path.format",
        Type::String,
        "",
        Importance::Medium,
        "Directories of a bucket as a Joda-Time pattern, for TimeBasedPartitioner: 'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH.",
    ),
    key(
        "locale",
        Type::String,
        "",
        Importance::Medium,
        "Language of the names of months and days in path.format, for the time partitioners; en is known, and any when path.format prints numbers only.",
    ),
    key(
        "timezone",
        Type::String,
        "",
        Importance::Medium,
        "Time zone of the time partitioners and of rotate.schedule.interval.ms: a long name (America/Los_Angeles), UTC, or an offset [+-]hh:mm.",
    ),
    key(
        "timestamp.extractor",
        Type::String,
        "Wallclock",
        Importance::Medium,
        "Time of a record, for the time partitioners: Wallclock (when it is written), Record (its Kafka timestamp) or RecordField (timestamp.field). With \
         Wallclock the same records may go elsewhere when they are read again.",
    ),
    key(
        "timestamp.field",
        Type::String,
        "timestamp",
        Importance::Medium,
        "Field that holds the time, for the RecordField extractor; a.b for a field in a struct. Timestamps, milliseconds (int32, int64, digits) and ISO \
         date-times (UTC where they have no offset) are taken.",
    ),
];

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, Int64Array, StringArray, StructArray, TimestampMillisecondArray};
    use arrow::datatypes::{Field, Fields};
    use lakehead_formats::column::Column;
    use lakehead_formats::schema::json_text;

    use super::*;
    use crate::batch::{OffsetRange, TopicPartition};

    /// A batch of partition 3 of `t`.
    pub(super) fn batch_of(value: &Column, timestamps: &[Option<i64>]) -> Batch {
        let rows = i64::try_from(timestamps.len()).unwrap();
        assert_eq!(value.len(), timestamps.len());
        Batch {
            from: TopicPartition::new("t", 3),
            span: OffsetRange { start: 0, end: rows },
            topic: Arc::from("t"),
            offsets: Int64Array::from_iter_values(0..rows),
            timestamps: TimestampMillisecondArray::from(timestamps.to_vec()),
            key: json_column(&vec![None; timestamps.len()]),
            value: value.clone(),
            headers: None,
        }
    }

    pub(super) fn json_column(rows: &[Option<&str>]) -> Column {
        Column::new(json_text("value"), Arc::new(StringArray::from(rows.to_vec())))
    }

    pub(super) fn struct_column(columns: &[(&str, ArrayRef)]) -> Column {
        let fields: Fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let array = StructArray::new(fields, columns.iter().map(|(_, array)| Arc::clone(array)).collect(), None);
        Column::new(Arc::new(Field::new("value", array.data_type().clone(), true)), Arc::new(array))
    }

    /// Each row's path, or why it has none.
    pub(super) fn path_of_rows(paths: &Paths) -> Vec<Result<String, String>> {
        let mut rows: Vec<_> = paths.codes.iter().map(|code| Ok(paths.distinct.get(*code as usize).map(|path| path.to_string()).unwrap_or_default())).collect();
        for reject in &paths.rejects {
            assert_eq!(paths.codes[reject.row], Paths::REJECTED);
            rows[reject.row] = Err(reject.reason.clone());
        }
        assert!(paths.rejects.is_sorted_by(|a, b| a.row < b.row));
        assert_eq!(paths.codes.iter().filter(|code| **code == Paths::REJECTED).count(), paths.rejects.len());
        rows
    }

    fn errors(settings: &[(&str, &str)]) -> Vec<ConfigError> {
        from_props(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).err().unwrap_or_default()
    }

    #[test]
    fn names_are_unique_and_resolve() {
        for plugin in PARTITIONERS {
            assert!(std::ptr::eq(find(plugin.name).unwrap(), plugin) && plugin.aliases.iter().all(|alias| std::ptr::eq(find(alias).unwrap(), plugin)));
        }
        assert!(find("NoPartitioner").is_none());
    }

    #[test]
    fn the_default_is_the_kafka_partition() {
        assert!(errors(&[]).is_empty());
        let delim = crate::store::names::KEYS.iter().find(|key| key.name == "directory.delim").and_then(|key| key.default);
        assert_eq!(delim, Some(directory_delim(&Props::new())), "one default for directories everywhere");
    }

    #[test]
    fn unknown_classes_and_zones_are_quoted() {
        let found = errors(&[("partitioner.class", "com.acme.Mine"), ("timezone", "Nowhere")]);
        assert_eq!(found.iter().map(|error| error.key.as_str()).collect::<Vec<_>>(), ["timezone", "partitioner.class"]);
        assert!(found[1].message.contains("com.acme.Mine") && found[1].message.contains("HourlyPartitioner"), "{found:?}");
        assert!(errors(&[("timezone", "+05:30")]).is_empty());
    }
}
