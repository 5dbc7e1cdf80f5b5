//! What a statement asks for, and the names of its objects.
//!
//! With `PARTITIONBY`: `prefix/<path>/topic(partition_offset)[suffix].ext`; with `NOPARTITION` the same without a path; without: `prefix/topic/partition/offset_first_last[suffix].ext`.
//! The offset is that of the file's last record, and `first` and `last` are the earliest and the latest time of its records: a name is known when its file ends.

use super::format::Format;
use super::kcql::{PartitionBy, Statement};
use super::paths::{NOTHING, PARTITION, Rows};
use crate::batch::TopicPartition;
use crate::connectors::cloud_storage::naming::{Extent, FileName, Grown, Naming};
use crate::store::objects::key_problem;

/// How a number is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Padding {
    is_left: bool,
    length: usize,
    filler: char,
}

impl Padding {
    fn pad(padding: Option<Self>, text: &str) -> String {
        let Some(Self { is_left, length, filler }) = padding else { return text.to_owned() };
        let fill: String = std::iter::repeat_n(filler, length.saturating_sub(text.chars().count())).collect();
        if is_left { fill + text } else { text.to_owned() + &fill }
    }
}

/// When files end: any of these ends every file of the topic partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flush {
    /// Size of a file.
    pub(super) bytes: u64,
    /// Since the file was begun.
    pub(super) seconds: u64,
    /// `None` where `disable.flush.count` is set.
    pub(super) records: Option<u64>,
}

/// A statement, checked.
#[derive(Debug)]
pub(super) struct Sink {
    /// When files end.
    pub(super) flush: Flush,
    /// Path of each record, without prefix.
    pub(super) paths: Rows,
    /// What files are made of.
    pub(super) format: Format,
    /// What files are called.
    pub(super) names: Names,
}

/// The names of a statement's files.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: Option<String>,
    /// `topic(partition_offset)` rather than `offset_first_last`.
    has_topic: bool,
    offset: Option<Padding>,
    partition: Option<Padding>,
    suffix: String,
    extension: String,
}

/// What the connector's own keys say of every statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common<'a> {
    /// The connectors' prefix.
    pub(super) prefix: &'a str,
    /// `padding.strategy` and `padding.length`.
    pub(super) padding: Option<(&'a str, i64)>,
    /// The extension of a compressed JSON file.
    pub(super) codec: Option<&'a str>,
    /// `disable.flush.count`.
    pub(super) is_count_disabled: bool,
}

const PROPERTIES: &[&str] = &[
    "flush.count",
    "flush.size",
    "flush.interval",
    "key.suffix",
    "padding.type",
    "padding.char",
    "padding.length.offset",
    "padding.length.partition",
    "partition.include.keys",
    "store.envelope",
    "store.envelope.fields.key",
    "store.envelope.fields.headers",
    "store.envelope.fields.value",
    "store.envelope.fields.metadata",
];
/// Properties that need Java, or are of the sources.
const REFUSED: &[(&str, &str)] = &[
    ("store.file.namer", "Java classes cannot be loaded: files have upstream's own names"),
    ("store.file.namer.param", "Java classes cannot be loaded: files have upstream's own names"),
];

impl Sink {
    /// Checks a statement.
    ///
    /// # Errors
    /// What cannot be honoured, in upstream's words where it has some.
    pub(super) fn new(statement: &Statement, common: Common<'_>) -> Result<Self, String> {
        let get = |name: &str| statement.properties.get(name).map(String::as_str);
        if let Some((name, why)) = REFUSED.iter().find(|(name, _)| statement.properties.contains_key(*name)) {
            return Err(format!("property '{name}' is not supported: {why}"));
        }
        if let Some(unknown) = statement.properties.keys().find(|name| !PROPERTIES.contains(&name.as_str())) {
            return Err(format!("property '{unknown}' is not supported; supported: {}", PROPERTIES.join(", ")));
        }
        let format = Format::parse(&statement.format)?;
        let flush = flush(&get, common.is_count_disabled)?;
        if format == Format::Bytes && flush.records != Some(1) {
            return Err("flush.count > 1 is not allowed for BYTES: set 'flush.count'=1, or use AVRO or PARQUET for several records in a file".to_owned());
        }
        envelope(&get, format)?;
        let has_own_padding = statement.properties.keys().any(|name| name.starts_with("padding."));
        let (offset, partition) = match common.padding {
            Some(_) if has_own_padding => {
                return Err("padding is set both in the connector's padding.* keys and in the KCQL properties: keep one of them".to_owned());
            }
            Some((kind, length)) => (padding_of(kind, usize::try_from(length).unwrap_or(12), '0')?, None),
            None => paddings(&get)?,
        };
        if let Some((prefix, why)) = statement.prefix.as_deref().and_then(|prefix| Some((prefix, key_problem(prefix.strip_suffix('/').unwrap_or(prefix))?))) {
            return Err(format!("no object can be below the prefix '{prefix}': {why}"));
        }
        let has_fields = matches!(statement.partition_by, PartitionBy::Fields(_));
        let has_names = boolean("partition.include.keys", get("partition.include.keys"), has_fields)?;
        let names = Names {
            prefix: statement.prefix.clone(),
            has_topic: statement.partition_by != PartitionBy::Default,
            offset,
            partition,
            suffix: get("key.suffix").unwrap_or("").to_owned(),
            extension: common.codec.filter(|_| format == Format::Json).unwrap_or(format.extension()).to_owned(),
        };
        let skip = format!("{}.skip.null.values", common.prefix);
        Ok(Self { flush, paths: Rows::new(&statement.partition_by, has_names, format, skip)?, format, names })
    }
}

impl Names {
    /// What every name begins with: the prefix, and a slash.
    fn directory(&self) -> String {
        self.prefix.as_deref().map_or(String::new(), |prefix| if prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") })
    }

    /// What stands before and after the times in a file's name, where it has any.
    fn around_times(&self, name: &FileName, extent: &Extent) -> (String, String) {
        let Self { prefix: _, has_topic, offset, partition, suffix, extension } = self;
        let number = Padding::pad(*partition, &name.from.partition.to_string());
        let offset = Padding::pad(*offset, &extent.end.saturating_sub(1).to_string());
        let path = name.path.strip_prefix(NOTHING).unwrap_or(&name.path).replace(PARTITION, &number);
        // upstream writes a second slash where there is no path: an object cannot be read by most tools then, nor written here
        let path = if path.is_empty() { path } else { path + "/" };
        let directory = self.directory() + &path;
        // where a transform has renamed the topic, the source's name keeps files of several sources apart
        let is_renamed = *name.topic != *name.from.topic;
        match (has_topic, is_renamed) {
            (true, _) => (format!("{directory}{}({number}_{offset})", name.from.topic), format!("{suffix}.{extension}")),
            (false, false) => (format!("{directory}{offset}_"), format!("{suffix}.{extension}")),
            (false, true) => (format!("{directory}{offset}_"), format!("_{}{suffix}.{extension}", name.from.topic)),
        }
    }
}

impl Naming for Names {
    fn at_start(&self, name: &FileName, start: i64, extension: &str) -> String {
        self.whole(name, &Extent { start, end: start.saturating_add(1), first_ms: None, last_ms: None }, extension)
    }

    fn whole(&self, name: &FileName, extent: &Extent, _extension: &str) -> String {
        // as upstream, -1 is the time of records without one
        let (first_ms, last_ms) = (extent.first_ms.unwrap_or(-1), extent.last_ms.unwrap_or(-1));
        let (before, after) = self.around_times(name, extent);
        if self.has_topic { before + &after } else { format!("{before}{first_ms}_{last_ms}{after}") }
    }

    fn grown(&self, name: &FileName, extent: &Extent, _from: i64, _extension: &str) -> Grown {
        let (prefix, suffix) = self.around_times(name, extent);
        let range = if self.has_topic { (prefix.clone() + &suffix, prefix.clone() + &suffix) } else { (prefix.clone(), prefix.clone() + "~") };
        Grown { ranges: vec![range], prefix, suffix, starts: None }
    }

    fn is_late(&self) -> bool {
        true
    }

    fn below(&self) -> Option<String> {
        Some(self.directory())
    }

    fn is_of(&self, key: &str, from: &TopicPartition, _extension: &str) -> bool {
        let number = Padding::pad(self.partition, &from.partition.to_string());
        let Some(rest) = key.strip_suffix(&format!("{}.{}", self.suffix, self.extension)).and_then(|key| key.strip_prefix(&self.directory())) else {
            return false;
        };
        match self.has_topic {
            true => rest.rsplit('/').next().is_some_and(|file| file.starts_with(&format!("{}({number}_", from.topic))),
            false => rest.starts_with(&format!("{}/{number}/", from.topic)),
        }
    }
}

/// Whether records keep their keys, headers and places around them.
fn envelope<'a>(get: &impl Fn(&str) -> Option<&'a str>, format: Format) -> Result<(), String> {
    for field in ["key", "headers", "value", "metadata"] {
        let name = format!("store.envelope.fields.{field}");
        boolean(&name, get(&name), true)?;
    }
    if !boolean("store.envelope", get("store.envelope"), false)? {
        return Ok(());
    }
    if !format.has_envelope() {
        return Err(format!("Envelope is not supported for format {}.", format.extension().to_ascii_uppercase()));
    }
    Err("property 'store.envelope'=true is not supported yet: have a transform put what you need of the key and the headers into the value".to_owned())
}

fn number(name: &str, value: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = value else { return Ok(None) };
    let found = text.trim().parse::<i64>().map_err(|_| format!("property '{name}' must be a number, not '{text}'"))?;
    // as upstream, nothing and less is the default
    Ok(u64::try_from(found).ok().filter(|n| *n > 0))
}

fn boolean(name: &str, value: Option<&str>, default: bool) -> Result<bool, String> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(format!("property '{name}' must be true or false, not '{other}'")),
    }
}

fn flush<'a>(get: &impl Fn(&str) -> Option<&'a str>, is_count_disabled: bool) -> Result<Flush, String> {
    let records = number("flush.count", get("flush.count"))?.unwrap_or(50_000);
    Ok(Flush {
        bytes: number("flush.size", get("flush.size"))?.unwrap_or(500_000_000),
        seconds: number("flush.interval", get("flush.interval"))?.unwrap_or(3600),
        records: (!is_count_disabled).then_some(records),
    })
}

fn padding_of(kind: &str, length: usize, filler: char) -> Result<Option<Padding>, String> {
    let is_left = match kind.to_ascii_lowercase().as_str() {
        "leftpad" => true,
        "rightpad" => false,
        "noop" => return Ok(None),
        _ => return Err(format!("padding '{kind}' is not one of LeftPad, RightPad, NoOp")),
    };
    if filler.is_ascii_digit() && !(is_left && filler == '0') {
        return Err(format!("{kind} with '{filler}' gives several offsets one name, so that files replace each other: use LeftPad with '0', or no digit"));
    }
    if filler == '/' || filler.is_control() {
        return Err(format!("padding with '{}' gives names that cannot be written: use '0'", filler.escape_debug()));
    }
    Ok(Some(Padding { is_left, length, filler }))
}

/// The longest padding: names end at 1024 bytes.
const MOST_DIGITS: usize = 255;

/// Of the offset and of the partition.
fn paddings<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<(Option<Padding>, Option<Padding>), String> {
    let kind = get("padding.type").unwrap_or("LeftPad");
    let mut filler = get("padding.char").unwrap_or("0").chars();
    let (Some(filler), None) = (filler.next(), filler.next()) else { return Err("property 'padding.char' must be one character".to_owned()) };
    let length = |field: &str| {
        let name = format!("padding.length.{field}");
        get(&name)
            .map(|text| {
                text.trim()
                    .parse::<usize>()
                    .ok()
                    .filter(|length| *length <= MOST_DIGITS)
                    .ok_or_else(|| format!("property '{name}' must be a number up to {MOST_DIGITS}, not '{text}'"))
            })
            .transpose()
    };
    let (offset, partition) = (length("offset")?, length("partition")?);
    let of = |length: Option<usize>| length.map_or(Ok(None), |length| padding_of(kind, length, filler));
    // where no length is given, the offset has twelve digits
    Ok(if offset.is_none() && partition.is_none() { (padding_of(kind, 12, filler)?, None) } else { (of(offset)?, of(partition)?) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, TimestampMillisecondArray};
    use chrono::DateTime;
    use lakehead_formats::column::Column;
    use lakehead_formats::schema::json_text;

    use super::super::kcql::parse;
    use super::*;
    use crate::batch::{Batch, OffsetRange};
    use crate::partition::Partitioner;

    const COMMON: Common<'static> = Common { prefix: "connect.s3", padding: None, codec: None, is_count_disabled: false };

    fn sink(kcql: &str) -> Result<Sink, String> {
        Sink::new(&parse(kcql)?[0], COMMON)
    }

    /// The name of a file with these records: offset, ms, value.
    fn name(kcql: &str, topic: &str, partition: i32, rows: &[(i64, i64, &str)]) -> String {
        let sink = sink(kcql).unwrap();
        let column = |name, texts: Vec<Option<&str>>| Column::new(json_text(name), Arc::new(StringArray::from(texts)));
        let batch = Batch {
            from: TopicPartition::new(topic, partition),
            span: OffsetRange { start: rows[0].0, end: rows[rows.len() - 1].0 + 1 },
            topic: topic.into(),
            offsets: Int64Array::from_iter_values(rows.iter().map(|row| row.0)),
            timestamps: TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1)),
            key: column("key", vec![Some(r#"{"id":7}"#); rows.len()]),
            value: column("value", rows.iter().map(|row| Some(row.2)).collect()),
            headers: None,
        };
        let paths = sink.paths.paths(&batch, DateTime::UNIX_EPOCH);
        assert_eq!(paths.distinct.len(), 1, "{paths:?}");
        let name = FileName { topic: topic.into(), from: batch.from, path: Arc::clone(&paths.distinct[0]) };
        let extent = Extent { start: rows[0].0, end: batch.span.end, first_ms: Some(rows[0].1), last_ms: Some(rows[rows.len() - 1].1) };
        sink.names.whole(&name, &extent, "")
    }

    #[test]
    fn names_as_upstream() {
        let es = r#"{"country":"es"}"#;
        for (kcql, topic, partition, rows, wanted) in [
            (
                "INSERT INTO b:pre SELECT * FROM t PARTITIONBY country STOREAS `PARQUET` PROPERTIES('flush.count'=2)",
                "t",
                1,
                vec![(10, 0, es), (11, 0, es)],
                "pre/country=es/t(1_000000000011).parquet",
            ),
            (
                "INSERT INTO b:pre SELECT * FROM t STOREAS `JSON` PROPERTIES('flush.count'=2)",
                "t",
                1,
                vec![(10, 100, "{}"), (11, 200, "{}")],
                "pre/t/1/000000000011_100_200.json",
            ),
            (
                "INSERT INTO my-bucket:prefix SELECT * FROM my-topic STOREAS `JSON` PROPERTIES('padding.type'='LeftPad','padding.char'='0','padding.length.offset'=3,'padding.length.partition'=3)",
                "my-topic",
                9,
                vec![(81, 101, "{}")],
                "prefix/my-topic/009/081_101_101.json",
            ),
            ("INSERT INTO my-bucket SELECT * FROM my-topic STOREAS `JSON`", "my-topic", 9, vec![(81, 0, "{}")], "my-topic/9/000000000081_0_0.json"),
            (
                "INSERT INTO b:pre SELECT * FROM t PARTITIONBY _topic,_partition STOREAS `JSON` PROPERTIES('flush.count'=1,'key.suffix'='-x')",
                "t",
                0,
                vec![(5, 0, "{}")],
                "pre/topic=t/partition=0/t(0_000000000005)-x.json",
            ),
            ("INSERT INTO b:pre SELECT * FROM t NOPARTITION", "t", 0, vec![(5, 0, "{}")], "pre/t(0_000000000005).json"),
            (
                "INSERT INTO b SELECT * FROM t PARTITIONBY _key.id, _date.`yyyy-MM`, _value.none STOREAS `AVRO` PROPERTIES('partition.include.keys'=false,'padding.type'='NoOp')",
                "t",
                0,
                vec![(5, 1_748_779_200_000, "{}")],
                "7/2025-06/[missing]/t(0_5).avro",
            ),
            (
                "INSERT INTO b SELECT * FROM t STOREAS `TEXT` PROPERTIES('padding.type'='RightPad','padding.char'='x','padding.length.offset'=3)",
                "t",
                0,
                vec![(5, 0, "{}")],
                "t/0/5xx_0_0.text",
            ),
        ] {
            assert_eq!(name(kcql, topic, partition, &rows), wanted, "{kcql}");
            let names = sink(kcql).unwrap().names;
            assert!(wanted.starts_with(&names.below().unwrap()), "{kcql}");
            let is_of = |topic: &str, partition| names.is_of(wanted, &TopicPartition::new(topic, partition), "");
            assert_eq!([is_of(topic, partition), is_of(topic, partition + 1), is_of("other", partition)], [true, false, false], "{kcql}");
            assert!(!names.is_of(&format!("{wanted}.other"), &TopicPartition::new(topic, partition), ""), "{kcql}");
        }
    }

    #[test]
    fn statements_that_cannot_be_honoured() {
        let with = |rest: &str| format!("INSERT INTO b SELECT * FROM t {rest}");
        for (kcql, part) in [
            (with("STOREAS `BYTES` PROPERTIES('flush.count'=2)"), "flush.count > 1 is not allowed for BYTES"),
            (with("STOREAS `BYTES`"), "flush.count > 1 is not allowed for BYTES"),
            (with("STOREAS `BYTES_KeyOnly`"), "Unsupported format - BYTES_KeyOnly"),
            (with("STOREAS `ORC`"), "Unsupported format - ORC"),
            (with("STOREAS `TEXT` PROPERTIES('store.envelope'=true)"), "Envelope is not supported for format TEXT."),
            (with("PROPERTIES('store.envelope'=true)"), "property 'store.envelope'=true is not supported yet"),
            (with("PROPERTIES('store.file.namer'='com.acme.Namer')"), "property 'store.file.namer' is not supported: Java classes"),
            (with("PROPERTIES('read.text.mode'='regex')"), "property 'read.text.mode' is not supported; supported: flush.count"),
            (with("PROPERTIES('flush.count'=many)"), "property 'flush.count' must be a number, not 'many'"),
            (with("PROPERTIES('padding.char'='ab')"), "must be one character"),
            (with("PROPERTIES('padding.type'='RightPad')"), "gives several offsets one name"),
            (with("PROPERTIES('padding.char'='1')"), "LeftPad with '1' gives several offsets one name"),
            (with("PROPERTIES('padding.char'='/')"), "gives names that cannot be written"),
            (with("PARTITIONBY _topic.x"), "partitioning by topic requires no path"),
            ("INSERT INTO b:/p SELECT * FROM t".to_owned(), "no object can be below the prefix '/p'"),
            (with("PARTITIONBY _header"), "without path"),
            (with("PARTITIONBY _date"), "without format"),
            (with("PARTITIONBY _date.foo"), "the letter 'f' is not supported in a pattern"),
            (with("PARTITIONBY `a/b`"), "a name with a slash"),
        ] {
            let found = sink(&kcql).map(|sink| sink.names.extension);
            assert!(found.as_ref().is_err_and(|error| error.contains(part)), "{kcql}: {found:?}");
        }
        let both = parse(&with("PROPERTIES('padding.length.offset'=3)")).unwrap();
        assert!(Sink::new(&both[0], Common { padding: Some(("LeftPad", 5)), ..COMMON }).is_err_and(|error| error.contains("keep one of them")));
    }

    #[test]
    fn defaults_of_flushing() {
        let found = sink("INSERT INTO b SELECT * FROM t PROPERTIES('flush.size'=0,'flush.interval'=60)").unwrap().flush;
        assert_eq!(found, Flush { bytes: 500_000_000, seconds: 60, records: Some(50_000) });
        let statement = parse("INSERT INTO b SELECT * FROM t").unwrap();
        let found = Sink::new(&statement[0], Common { codec: Some("gz"), is_count_disabled: true, ..COMMON }).unwrap();
        assert_eq!((found.flush.records, found.names.extension.as_str()), (None, "gz"));
    }
}
