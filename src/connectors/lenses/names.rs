//! What a statement asks for, and the names of its objects.
//!
//! With `PARTITIONBY` (or `NOPARTITION`): `prefix/<path>/topic(partition_offset)[suffix].ext`; without: `prefix/topic/partition/offset_first_last[suffix].ext`.
//! The offset is that of the file's last record, and `first` and `last` are the earliest and the latest time of its records: a name is known when its file ends.

use super::kcql::{PartitionBy, Statement};
use crate::connect::Props;
use crate::partition::{self, Partitioner};

/// `STOREAS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Avro,
    Parquet,
    Text,
    Csv,
    Bytes,
}

impl Format {
    fn parse(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        match upper.split_once('_').map_or((upper.as_str(), None), |(name, option)| (name, Some(option))) {
            ("JSON", _) => Ok(Self::Json),
            ("AVRO", _) => Ok(Self::Avro),
            ("PARQUET", _) => Ok(Self::Parquet),
            ("TEXT", _) => Ok(Self::Text),
            ("CSV", None | Some("WITHHEADERS")) => Ok(Self::Csv),
            ("BYTES", None) => Ok(Self::Bytes),
            _ => Err(format!("Unsupported format - {text}")),
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Parquet => "parquet",
            Self::Text => "text",
            Self::Csv => "csv",
            Self::Bytes => "bytes",
        }
    }

    fn has_envelope(self) -> bool {
        matches!(self, Self::Json | Self::Avro | Self::Parquet)
    }
}

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
pub struct Flush {
    /// Size of a file.
    pub bytes: u64,
    /// Since the file was begun.
    pub seconds: u64,
    /// `None` where `disable.flush.count` is set.
    pub records: Option<u64>,
}

/// A statement, checked.
#[derive(Debug)]
pub struct Sink {
    /// When files end.
    pub flush: Flush,
    prefix: Option<String>,
    /// Path of each record, without prefix.
    pub paths: Box<dyn Partitioner>,
    /// `topic(partition_offset)` rather than `offset_first_last`.
    has_topic: bool,
    offset: Option<Padding>,
    partition: Option<Padding>,
    suffix: String,
    extension: String,
}

/// What is known of a file when it ends.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Kafka partition.
    pub partition: i32,
    /// One of the paths of its records.
    pub path: &'a str,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Earliest time of its records.
    pub first_ms: i64,
    /// Latest time of its records.
    pub last_ms: i64,
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

impl Sink {
    /// Checks a statement. `padding` is the connector's own (type and length), `codec` the extension of a compressed JSON file.
    ///
    /// # Errors
    /// What cannot be honoured, in upstream's words where it has some.
    pub fn new(statement: &Statement, padding: Option<(&str, i64)>, codec: Option<&str>, is_count_disabled: bool) -> Result<Self, String> {
        let get = |name: &str| statement.properties.get(name).map(String::as_str);
        if let Some(unknown) = statement.properties.keys().find(|name| !PROPERTIES.contains(&name.as_str())) {
            return Err(format!("property '{unknown}' is not supported; supported: {}", PROPERTIES.join(", ")));
        }
        let format = Format::parse(&statement.format)?;
        let flush = flush(&get, is_count_disabled)?;
        if format == Format::Bytes && flush.records != Some(1) {
            return Err("flush.count > 1 is not allowed for BYTES: set 'flush.count'=1, or use AVRO or PARQUET for several records in a file".to_owned());
        }
        if boolean("store.envelope", get("store.envelope"), false)? && !format.has_envelope() {
            return Err(format!("Envelope is not supported for format {}.", format.extension().to_ascii_uppercase()));
        }
        let has_own_padding = statement.properties.keys().any(|name| name.starts_with("padding."));
        let (offset, partition) = match padding {
            Some(_) if has_own_padding => {
                return Err("padding is set both in the connector's padding.* keys and in the KCQL properties: keep one of them".to_owned());
            }
            Some((kind, length)) => (padding_of(kind, usize::try_from(length).unwrap_or(12), '0')?, None),
            None => paddings(&get)?,
        };
        let is_custom = statement.partition_by != PartitionBy::Default;
        let has_fields = matches!(statement.partition_by, PartitionBy::Fields(_));
        let has_names = boolean("partition.include.keys", get("partition.include.keys"), has_fields)?;
        let extension = codec.filter(|_| format == Format::Json).unwrap_or(format.extension()).to_owned();
        let template = template(&statement.partition_by, has_names)?;
        Ok(Self {
            flush,
            prefix: statement.prefix.clone(),
            paths: partitioner(&template)?,
            has_topic: is_custom,
            offset,
            partition,
            suffix: get("key.suffix").unwrap_or("").to_owned(),
            extension,
        })
    }

    /// The name of a file that has ended.
    #[must_use]
    pub fn name(&self, facts: Facts<'_>) -> String {
        let Facts { topic, partition, path, last_offset, first_ms, last_ms } = facts;
        let Self { suffix, extension, .. } = self;
        let number = Padding::pad(self.partition, &partition.to_string());
        let offset = Padding::pad(self.offset, &last_offset.to_string());
        let path = path.strip_prefix(NOTHING).unwrap_or(path).replace(PARTITION, &number);
        let prefix = self.prefix.as_deref().map_or(String::new(), |prefix| if prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") });
        let file = if self.has_topic { format!("{topic}({number}_{offset})") } else { format!("{offset}_{first_ms}_{last_ms}") };
        format!("{prefix}{path}/{file}{suffix}.{extension}")
    }
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
    match kind.to_ascii_lowercase().as_str() {
        "leftpad" => Ok(Some(Padding { is_left: true, length, filler })),
        "rightpad" => Ok(Some(Padding { is_left: false, length, filler })),
        "noop" => Ok(None),
        _ => Err(format!("padding '{kind}' is not one of LeftPad, RightPad, NoOp")),
    }
}

/// Of the offset and of the partition.
fn paddings<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<(Option<Padding>, Option<Padding>), String> {
    let kind = get("padding.type").unwrap_or("LeftPad");
    let mut filler = get("padding.char").unwrap_or("0").chars();
    let (Some(filler), None) = (filler.next(), filler.next()) else { return Err("property 'padding.char' must be one character".to_owned()) };
    let length = |field: &str| {
        let name = format!("padding.length.{field}");
        get(&name).map(|text| text.trim().parse::<usize>().map_err(|_| format!("property '{name}' must be a number, not '{text}'"))).transpose()
    };
    let (offset, partition) = (length("offset")?, length("partition")?);
    let of = |length: Option<usize>| length.map_or(Ok(None), |length| padding_of(kind, length, filler));
    // where no length is given, the offset has twelve digits
    Ok(if offset.is_none() && partition.is_none() { (padding_of(kind, 12, filler)?, None) } else { (of(offset)?, of(partition)?) })
}

/// Where the padded Kafka partition goes, and a path that is empty.
const PARTITION: char = '\u{1}';
const NOTHING: char = '\u{2}';

/// The paths of a statement as a template of `TemplatePartitioner`.
fn template(by: &PartitionBy, has_names: bool) -> Result<String, String> {
    let named = |name: &str, text: String| if has_names { format!("{}={text}", escaped(name)) } else { text };
    let fields = match by {
        PartitionBy::Nothing => return Ok(NOTHING.to_string()),
        PartitionBy::Default => return Ok(format!("{}/{}", named("topic", "{topic}".to_owned()), named("partition", PARTITION.to_string()))),
        PartitionBy::Fields(fields) => fields,
    };
    let levels = fields.iter().map(|field| level(field, &named)).collect::<Result<Vec<_>, _>>()?;
    Ok(levels.join("/"))
}

fn level(field: &[String], named: &impl Fn(&str, String) -> String) -> Result<String, String> {
    let (specifier, path) = match field.split_first() {
        Some((first, rest)) if ["_key", "_value", "_header", "_topic", "_partition", "_date"].contains(&first.as_str()) => (first.as_str(), rest),
        _ => ("_value", field),
    };
    if path.iter().any(|name| name.contains(['/', '\\', '{', '}', '.'])) && specifier != "_date" && specifier != "_header" {
        return Err(format!("PARTITIONBY {}: a name with a slash, a brace or a dot in it is not supported", field.join(".")));
    }
    let dotted = path.join(".");
    let wants = |what: &str| Err(format!("cannot partition by {specifier} partition field without {what}"));
    match (specifier, path) {
        ("_topic", []) => Ok(named("topic", "{topic}".to_owned())),
        ("_partition", []) => Ok(named("partition", PARTITION.to_string())),
        ("_topic" | "_partition", _) => Err(format!("partitioning by {} requires no path", &specifier[1..])),
        ("_key", []) => Ok(named("key", "{key}".to_owned())),
        ("_key", _) => Ok(named(&dotted, format!("{{key.{dotted}}}"))),
        ("_header", []) => wants("path"),
        ("_header", [name]) if !name.contains(['{', '}']) => Ok(named(name, format!("{{header.{name}}}"))),
        ("_header", _) => Err(format!("PARTITIONBY _header.{dotted}: fields inside of headers are not supported")),
        ("_date", []) => wants("format"),
        ("_date", [format]) if !format.contains(['{', '}']) => Ok(named("date", format!("{{time:{format}}}"))),
        ("_date", _) => Err("only one format should be provided for date".to_owned()),
        (_, []) => wants("path"),
        _ => Ok(named(&dotted, format!("{{value.{dotted}}}"))),
    }
}

fn escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

fn partitioner(template: &str) -> Result<Box<dyn Partitioner>, String> {
    let settings = [
        ("partitioner.class", "TemplatePartitioner"),
        ("lakehead.path.template", template),
        ("directory.delim", "\u{5}"),
        ("timezone", "UTC"),
        ("timestamp.extractor", "Record"),
        ("lakehead.partition.field.null", "text:[missing]"),
    ];
    let built = partition::from_props(&settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Props>());
    built.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
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
    use crate::batch::{Batch, OffsetRange, TopicPartition};

    fn sink(kcql: &str) -> Result<Sink, String> {
        Sink::new(&parse(kcql)?[0], None, None, false)
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
        assert!(paths.rejects.is_empty() && paths.distinct.len() == 1, "{paths:?}");
        let (first_ms, last_ms) = (rows[0].1, rows[rows.len() - 1].1);
        sink.name(Facts { topic, partition, path: &paths.distinct[0], last_offset: rows[rows.len() - 1].0, first_ms, last_ms })
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
            ("INSERT INTO b:pre SELECT * FROM t NOPARTITION", "t", 0, vec![(5, 0, "{}")], "pre//t(0_000000000005).json"),
            (
                "INSERT INTO b SELECT * FROM t PARTITIONBY _key.id, _date.`yyyy-MM`, _value.none, _header.h STOREAS `AVRO` PROPERTIES('partition.include.keys'=false,'padding.type'='NoOp')",
                "t",
                0,
                vec![(5, 1_748_779_200_000, "{}")],
                "7/2025-06/[missing]/[missing]/t(0_5).avro",
            ),
            (
                "INSERT INTO b SELECT * FROM t STOREAS `CSV_WITHHEADERS` PROPERTIES('padding.type'='RightPad','padding.char'='x','padding.length.offset'=3)",
                "t",
                0,
                vec![(5, 0, "{}")],
                "t/0/5xx_0_0.csv",
            ),
        ] {
            assert_eq!(name(kcql, topic, partition, &rows), wanted, "{kcql}");
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
            (with("PROPERTIES('store.file.namer'='com.acme.Namer')"), "property 'store.file.namer' is not supported"),
            (with("PROPERTIES('flush.count'=many)"), "property 'flush.count' must be a number, not 'many'"),
            (with("PROPERTIES('padding.char'='ab')"), "must be one character"),
            (with("PARTITIONBY _topic.x"), "partitioning by topic requires no path"),
            (with("PARTITIONBY _header"), "without path"),
            (with("PARTITIONBY _date"), "without format"),
            (with("PARTITIONBY _date.foo"), "Illegal pattern component: f"),
            (with("PARTITIONBY `a/b`"), "a name with a slash"),
        ] {
            let found = sink(&kcql).map(|sink| sink.extension);
            assert!(found.as_ref().is_err_and(|error| error.contains(part)), "{kcql}: {found:?}");
        }
        let both = parse(&with("PROPERTIES('padding.length.offset'=3)")).unwrap();
        assert!(Sink::new(&both[0], Some(("LeftPad", 5)), None, false).is_err_and(|error| error.contains("keep one of them")));
    }

    #[test]
    fn defaults_of_flushing() {
        let found = sink("INSERT INTO b SELECT * FROM t PROPERTIES('flush.size'=0,'flush.interval'=60)").unwrap().flush;
        assert_eq!(found, Flush { bytes: 500_000_000, seconds: 60, records: Some(50_000) });
        let statement = parse("INSERT INTO b SELECT * FROM t").unwrap();
        assert_eq!(Sink::new(&statement[0], None, Some("gz"), true).map(|sink| (sink.flush.records, sink.extension)), Ok((None, "gz".to_owned())));
    }
}
