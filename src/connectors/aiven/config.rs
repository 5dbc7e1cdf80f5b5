//! The keys of Aiven's sinks, their checks, and what they mean.
//!
//! Names, defaults and messages are those of `io.aiven.kafka.connect.common.config` and the three connectors' own. What cannot be honoured is refused by name.

use lakehead_formats::file::{RecordCompression, RecordLayout};

use super::Cloud;
use super::groups::Names;
use super::store;
use super::template::{self, Grouper, Piece};
use crate::calendar::Zone;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Report, Type, Values, check, without_user_info};
use crate::store::objects::key_problem;
use crate::store::urls;

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, group: &'static str, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Medium, group, doc, check }
}

const FILE: &str = "File";
const FORMAT: &str = "Format";
const NO_COLUMNS: &str = "avro and parquet files of records' parts are not written yet; Confluent's S3SinkConnector writes values as both";

/// Keys of all three.
pub(super) static KEYS: &[ConfigKey] = &[
    key(
        "file.name.template",
        Type::String,
        None,
        FILE,
        Check::Any,
        "Name of an object, with {{topic}}, {{partition}}, {{start_offset}} (first record since the last flush), {{key}} and {{timestamp:unit=yyyy|MM|dd|HH}}. \
         {{key}} without {{start_offset}} keeps the last record of each key.",
    ),
    key("file.max.records", Type::Int, Some("0"), FILE, Check::Range(0, i32::MAX as i64), "Records of a file at which the next one begins; 0 = no limit."),
    key("file.name.timestamp.timezone", Type::String, Some("Z"), FILE, Check::Any, "Time zone of {{timestamp}}."),
    key(
        "file.name.timestamp.source",
        Type::String,
        Some("WALLCLOCK"),
        FILE,
        Check::Any,
        "Where {{timestamp}} comes from: WALLCLOCK, or EVENT (the record's Kafka timestamp).",
    ),
    key(
        "format.output.type",
        Type::String,
        Some("csv"),
        FORMAT,
        Check::Any,
        "csv, json (an array) or jsonl. avro and parquet are refused: use Confluent's sinks for them.",
    ),
    key(
        "format.output.fields.value.encoding",
        Type::String,
        Some("base64"),
        FORMAT,
        Check::Any,
        "How csv shows values: base64, or none (the bytes themselves).",
    ),
    key("format.output.envelope", Type::Boolean, Some("true"), FORMAT, Check::Any, "False writes a single field without its name around it."),
    key(
        "kafka.retry.backoff.ms",
        Type::Long,
        None,
        "Kafka",
        Check::Range(0, 86_400_000),
        "Taken for upstream's sake: retries back off by themselves and stop nothing else.",
    ),
    key(
        "offset.flush.interval.ms",
        Type::Long,
        Some("60000"),
        FILE,
        Check::Range(1, i64::MAX),
        "Milliseconds after which files end and are written. Upstream flushes at the worker's offset.flush.interval.ms; here the connector has its own.",
    ),
];

/// Keys that have another default on S3.
static NOT_S3_KEYS: &[ConfigKey] = &[
    key("file.name.prefix", Type::String, Some(""), FILE, Check::Any, "What object names begin with, up to 1024 characters."),
    key("file.compression.type", Type::String, Some("none"), FILE, Check::Any, "RecordCompression of files: none, gzip, snappy or zstd."),
    key(
        "format.output.fields",
        Type::List,
        Some("value"),
        FORMAT,
        Check::Any,
        "What of a record is written, in order: key, value, offset, timestamp, headers.",
    ),
];

static S3_KEYS: &[ConfigKey] = &[
    key("file.compression.type", Type::String, None, FILE, Check::Any, "RecordCompression of files: none, gzip, snappy or zstd; gzip when nothing is said."),
    key("format.output.fields", Type::List, None, FORMAT, Check::Any, "What of a record is written, in order: key, value, offset, timestamp, headers."),
    key(
        "file.prefix.template",
        Type::String,
        None,
        FILE,
        Check::Only(&[""], "upstream's sink does not use it: put the prefix into file.name.template"),
        "Has no effect on upstream's sink.",
    ),
    key("output_compression", Type::String, None, FILE, Check::Any, "Old name of file.compression.type."),
    key("output_fields", Type::List, None, FORMAT, Check::Any, "Old name of format.output.fields."),
    key("timestamp.timezone", Type::String, Some("Z"), FILE, Check::Any, "Time zone of {{timestamp}} in aws.s3.prefix."),
    key("timestamp.source", Type::String, Some("WALLCLOCK"), FILE, Check::Any, "Where {{timestamp}} in aws.s3.prefix comes from: WALLCLOCK or EVENT."),
    key(
        "aws.s3.prefix",
        Type::String,
        None,
        "AWS",
        Check::Any,
        "What object names begin with; file.name.template is then ignored, and names end with topic-partition-offset. Takes {{utc_date}}, {{local_date}}, {{topic}}, \
         {{partition}}, {{start_offset}} and {{timestamp:unit=…}}.",
    ),
    key("aws_s3_prefix", Type::String, None, "AWS", Check::Any, "Old name of aws.s3.prefix."),
];

/// The tables of a cloud's connector.
pub(super) fn tables(cloud: Cloud) -> [&'static [ConfigKey]; 3] {
    [KEYS, if cloud == Cloud::S3 { S3_KEYS } else { NOT_S3_KEYS }, store::keys(cloud)]
}

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
    Offset,
    Timestamp,
    Headers,
}

impl Part {
    /// Every part by its name, in the order in which JSON objects of upstream have them.
    pub(super) const NAMES: [(&'static str, Self); 5] =
        [("headers", Self::Headers), ("offset", Self::Offset), ("value", Self::Value), ("key", Self::Key), ("timestamp", Self::Timestamp)];

    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, part)| *part == self).map_or("", |(name, _)| name)
    }
}

/// A configuration, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) names: Names,
    pub(super) parts: Vec<Part>,
    pub(super) has_envelope: bool,
    pub(super) layout: RecordLayout,
    pub(super) compression: RecordCompression,
    pub(super) flush_ms: i64,
}

/// Collects problems.
struct Reader<'a> {
    values: Values<'a>,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn invalid(&mut self, key: &str, message: &str) {
        let value = without_user_info(self.values.props.get(key).map_or("", String::as_str));
        self.errors.push(ConfigError::new(key, format!("Invalid value {value} for configuration {key}: {message}")));
    }

    /// The first of these keys that is there.
    fn first<'k>(&self, keys: &[&'k str]) -> Option<(&'k str, String)> {
        keys.iter().find_map(|key| self.values.props.get(*key).map(|value| (*key, value.trim().to_owned())))
    }

    fn compression(&mut self, cloud: Cloud) -> RecordCompression {
        let given = self.first(if cloud == Cloud::S3 { &["file.compression.type", "output_compression"] } else { &["file.compression.type"] });
        let Some((key, name)) = given else { return if cloud == Cloud::S3 { RecordCompression::Gzip } else { RecordCompression::None } };
        let found = RecordCompression::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        found.map_or_else(
            || {
                self.invalid(key, "supported values are: 'none', 'gzip', 'snappy', 'zstd'");
                RecordCompression::None
            },
            |(_, compression)| *compression,
        )
    }

    fn parts(&mut self, cloud: Cloud) -> Vec<Part> {
        let given = self.first(if cloud == Cloud::S3 { &["format.output.fields", "output_fields"] } else { &["format.output.fields"] });
        let is_explicit = given.is_some();
        let (key, list) = given.unwrap_or(("format.output.fields", "value".to_owned()));
        if list.is_empty() {
            self.invalid(key, "cannot be empty");
        }
        let mut parts = Vec::new();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match Part::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, part)) if parts.contains(part) => self.invalid(key, &format!("'{name}' is there twice")),
                Some((_, part)) => parts.push(*part),
                None => self.invalid(key, "supported values are: 'key', 'value', 'offset', 'timestamp', 'headers'"),
            }
        }
        // as upstream, S3's unwritten default is not a field that was given
        let is_single = parts.len() == 1 && (is_explicit || cloud != Cloud::S3);
        if !self.values.boolean("format.output.envelope") && !is_single {
            let message = "When format.output.envelope is false, format.output.fields must contain only one field";
            self.errors.push(ConfigError::new("format.output.envelope", message));
        }
        parts
    }

    fn layout(&mut self) -> RecordLayout {
        let encoding = self.values.text("format.output.fields.value.encoding").to_ascii_lowercase();
        if !["base64", "none"].contains(&encoding.as_str()) {
            self.invalid("format.output.fields.value.encoding", "supported values are: 'none', 'base64'");
        }
        let csv = RecordLayout::Csv { is_value_base64: encoding != "none" };
        match self.values.text("format.output.type").to_ascii_lowercase().as_str() {
            "csv" => csv,
            "json" => RecordLayout::JsonArray,
            "jsonl" => RecordLayout::JsonLines,
            "avro" | "parquet" => {
                self.invalid("format.output.type", NO_COLUMNS);
                csv
            }
            _ => {
                self.invalid("format.output.type", "supported values are: 'avro', 'csv', 'json', 'jsonl', 'parquet'");
                csv
            }
        }
    }

    /// The zone and the source of timestamps.
    fn time(&mut self, zone_key: &str, source_key: &str) -> (String, String) {
        let zone = self.values.text(zone_key);
        let zone = if zone == "Z" { "UTC" } else { zone }.to_owned();
        if let Err(message) = Zone::parse(&zone) {
            self.invalid(zone_key, &message);
        }
        let source = self.values.text(source_key).to_owned();
        if !["WALLCLOCK", "EVENT"].iter().any(|known| known.eq_ignore_ascii_case(&source)) {
            self.invalid(source_key, &format!("Unknown timestamp source: {source}"));
        }
        (zone, source)
    }

    fn names(&mut self, cloud: Cloud, compression: RecordCompression) -> Option<Names> {
        let most = self.values.long("file.max.records").and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        if let Some((key, prefix)) = self.first(&["aws.s3.prefix", "aws_s3_prefix"]).filter(|_| cloud == Cloud::S3) {
            return self.names_by_prefix(key, &prefix, compression, most);
        }
        let (zone, source) = self.time("file.name.timestamp.timezone", "file.name.timestamp.source");
        // as upstream, the default name on S3 is made before its compression is known
        let is_told = cloud != Cloud::S3 || self.values.props.contains_key("file.compression.type");
        let default = format!("{{{{topic}}}}-{{{{partition}}}}-{{{{start_offset}}}}{}", if is_told { compression.extension() } else { "" });
        let text = self.values.non_blank("file.name.template").map_or(default, str::to_owned);
        let prefix = if cloud == Cloud::S3 { "" } else { self.values.raw("file.name.prefix").unwrap_or("") };
        if prefix.chars().count() > 1024 {
            self.invalid("file.name.prefix", "cannot be longer than 1024 characters");
        }
        if let Some(key) =
            [("file.name.template", text.as_str()), ("file.name.prefix", prefix)].iter().find(|(_, text)| text.starts_with(".well-known/acme-challenge"))
        {
            self.invalid(key.0, "cannot start with '.well-known/acme-challenge'");
        }
        let parsed = template::parse(&text).and_then(|pieces| template::grouper(&text, &pieces).map(|grouper| (pieces, grouper)));
        let (mut pieces, grouper) = parsed.map_err(|message| self.invalid("file.name.template", &message)).ok()?;
        if grouper.keeps_last() && most > 1 {
            let message = format!("When file.name.template is {text}, file.max.records must be either 1 or not set");
            self.errors.push(ConfigError::new("file.max.records", message));
        }
        if !prefix.is_empty() {
            pieces.insert(0, Piece::Text(prefix.to_owned()));
        }
        // a prefix may well end with a slash
        let is_prefix_bad = !prefix.is_empty() && key_problem(prefix.strip_suffix('/').unwrap_or(prefix)).is_some();
        let blamed = if is_prefix_bad { "file.name.prefix" } else { "file.name.template" };
        self.built(blamed, Names::new(&pieces, grouper, &zone, &source, most))
    }

    /// The old names: prefix, then topic, partition and the first record's offset.
    fn names_by_prefix(&mut self, key: &str, prefix: &str, compression: RecordCompression, most: u64) -> Option<Names> {
        let (zone, source) = self.time("timestamp.timezone", "timestamp.source");
        // upstream took YYYY for yyyy once
        let prefix = prefix.replace("unit=YYYY", "unit=yyyy");
        let text = format!("{prefix}{{{{topic}}}}-{{{{partition}}}}-{{{{start_offset:padding=true}}}}{}", compression.extension());
        let known = ["topic", "partition", "start_offset", "timestamp", "utc_date", "local_date"];
        let is_known = |piece: &Piece| matches!(piece, Piece::Text(_)) || matches!(piece, Piece::Variable(name, _) if known.contains(&name.as_str()));
        let parsed = template::parse(&text).and_then(|pieces| template::parameters(&pieces).map(|()| pieces));
        let pieces = parsed.map_err(|message| self.invalid(key, &message)).ok()?;
        if !pieces.iter().all(is_known) {
            self.invalid(key, &format!("supported variables are: {}", known.join(",")));
            return None;
        }
        let names = Names::new(&pieces, Grouper::TopicPartition, &zone, &source, most);
        self.built(key, names).map(Names::fixed_by_first)
    }

    fn built(&mut self, key: &str, names: Result<Names, Vec<ConfigError>>) -> Option<Names> {
        // what the partitioner would say about the zone has been said in the words of this connector
        let errors = match names {
            Ok(names) => match names.problem() {
                None => return Some(names),
                Some(message) => vec![ConfigError::new(key, message)],
            },
            Err(errors) => errors,
        };
        errors.iter().filter(|error| error.key != "timezone").for_each(|error| self.invalid(key, &error.message));
        None
    }
}

impl Settings {
    /// Everything that the configuration says, or every problem with it.
    pub(super) fn from_props(cloud: Cloud, props: &Props) -> Result<Self, Vec<ConfigError>> {
        let tables = tables(cloud);
        let mut reader = Reader { values: Values { tables: &tables, props }, errors: Vec::new() };
        let compression = reader.compression(cloud);
        let parts = reader.parts(cloud);
        let layout = reader.layout();
        let names = reader.names(cloud, compression);
        let has_envelope = reader.values.boolean("format.output.envelope");
        let flush_ms = reader.values.long("offset.flush.interval.ms").unwrap_or(60_000).max(1);
        match names {
            Some(names) if reader.errors.is_empty() => Ok(Self { names, parts, has_envelope, layout, compression, flush_ms }),
            _ => Err(reader.errors),
        }
    }
}

/// Every problem of a configuration.
pub(super) fn validate(cloud: Cloud, props: &Props) -> Report {
    let mut report = check(&tables(cloud), props, |_| false);
    let (kind, translated) = store::translated(cloud, props);
    let of_store = urls::validate(kind, &translated).into_iter().map(|error| store::untranslated(cloud, props, error));
    let across = Settings::from_props(cloud, props).err().unwrap_or_default().into_iter().chain(store::problems(cloud, props)).chain(of_store);
    report.add(across);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(cloud: Cloud, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let target = match cloud {
            Cloud::S3 => vec![("aws.s3.bucket.name", "b")],
            Cloud::Gcs => vec![("gcs.bucket.name", "b")],
            Cloud::Azure => vec![("azure.storage.container.name", "box"), ("azure.storage.connection.string", "AccountName=acme;AccountKey=a2V5")],
        };
        let props = target.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        validate(cloud, &props).errors.into_iter().map(|error| (error.key, error.message)).collect()
    }

    #[test]
    fn configurations_that_are_taken() {
        for cloud in [Cloud::S3, Cloud::Gcs, Cloud::Azure] {
            for settings in [
                &[][..],
                &[("format.output.type", "jsonl"), ("format.output.fields", "key,value,offset,timestamp,headers")],
                &[("format.output.type", "json"), ("format.output.fields", "value"), ("format.output.envelope", "false")],
                &[("file.name.template", "{{key}}"), ("file.max.records", "1"), ("file.compression.type", "zstd")],
                &[("file.name.timestamp.timezone", "Europe/Berlin"), ("file.name.timestamp.source", "event")],
            ] {
                assert_eq!(errors(cloud, settings), [], "{cloud:?} {settings:?}");
            }
        }
        let role = [
            ("aws.sts.role.arn", "arn:aws:iam::123456789012:role/r"),
            ("aws.sts.role.session.name", "s"),
            ("aws.sts.role.external.id", "e"),
            ("aws.sts.role.session.duration", "43200"),
        ];
        assert_eq!(errors(Cloud::S3, &role), []);
        assert_eq!(errors(Cloud::S3, &[("aws.s3.prefix", "{{utc_date}}/{{timestamp:unit=YYYY}}/"), ("output_compression", "none")]), []);
    }

    #[test]
    fn what_a_connection_string_holds_is_never_shown() {
        for (text, part) in [
            ("BlobEndpoint=ftp://hunter2.example/;AccountName=acme;AccountKey=hunter2", "the endpoint in it"),
            ("BlobEndpoint=https://me:hunter2@acme.example;AccountName=acme;AccountKey=hunter2", "the endpoint in it"),
            ("BlobEndpoint=https://acme.example/?sig=hunter2;AccountName=acme;AccountKey=hunter2", "the endpoint in it"),
            ("BlobEndpoint=ht tp://hunter2;AccountName=acme;AccountKey=hunter2", "the endpoint in it"),
            ("DefaultEndpointsProtocol=hunter2;EndpointSuffix=x;AccountName=acme;AccountKey=k", "the endpoint in it"),
            ("AccountName=HUNTER2==;AccountKey=hunter2", "the account in it"),
            ("BlobEndpoint=https://me:hunter2@x.y;SharedAccessSignature=hunter2", "the account in it"),
            ("AccountKey=hunter2", "no AccountName"),
        ] {
            let found = errors(Cloud::Azure, &[("azure.storage.connection.string", text)]);
            let is_hidden = |text: &str| !text.to_lowercase().contains("hunter2") && text.contains("Invalid value [hidden] for configuration");
            assert!(found.iter().all(|(key, message)| key == "azure.storage.connection.string" && is_hidden(message)), "{text}: {found:?}");
            assert!(found.len() == 1 && found[0].1.contains(part), "{text}: {found:?}");
        }
    }

    #[test]
    fn configurations_that_are_refused_by_name() {
        for (cloud, settings, key, part) in [
            (
                Cloud::S3,
                &[("file.name.template", "{{key}}"), ("file.max.records", "2")][..],
                "file.max.records",
                "file.max.records must be either 1 or not set",
            ),
            (
                Cloud::S3,
                &[("format.output.type", "jsonl"), ("format.output.fields", "key,value"), ("format.output.envelope", "false")],
                "format.output.envelope",
                "format.output.fields must contain only one field",
            ),
            (Cloud::S3, &[("file.name.template", "{{topic}}")], "file.name.template", "unsupported set of template variables"),
            (Cloud::Gcs, &[("format.output.fields", "what")], "format.output.fields", "supported values are: 'key', 'value'"),
            (Cloud::Gcs, &[("file.compression.type", "bzip2")], "file.compression.type", "supported values are: 'none', 'gzip'"),
            (Cloud::Gcs, &[("file.name.timestamp.source", "RECORD")], "file.name.timestamp.source", "Unknown timestamp source: RECORD"),
            (Cloud::Azure, &[("file.name.timestamp.timezone", "Mars")], "file.name.timestamp.timezone", "'Mars' is not recognised"),
            (Cloud::S3, &[("aws.sts.role.session.duration", "899")], "aws.sts.role.session.duration", "Value must be at least 900"),
            (Cloud::Gcs, &[("gcs.credentials.default", "false")], "gcs.credentials.default", "leave it out to ask the environment"),
            (Cloud::Azure, &[("format.output.type", "parquet")], "format.output.type", "not written yet"),
            (Cloud::Azure, &[("kafka.retry.backoff.ms", "86400001")], "kafka.retry.backoff.ms", "no more than 86400000"),
            (Cloud::S3, &[("aws.s3.prefix", "{{key}}/")], "aws.s3.prefix", "supported variables are: topic"),
            (Cloud::S3, &[("aws.s3.prefix", "/x/")], "aws.s3.prefix", "an object cannot have such a name as '/x/topic-0-"),
            (Cloud::S3, &[("file.name.template", "{{key}}/")], "file.name.template", "such a name as 'key/': it has an empty segment between slashes"),
            (Cloud::Gcs, &[("file.name.prefix", "a/"), ("file.name.template", "/{{key}}")], "file.name.template", "such a name as 'a//key'"),
            (Cloud::Gcs, &[("file.name.prefix", "/a/")], "file.name.prefix", "such a name as '/a/topic-0-0'"),
        ] {
            let found = errors(cloud, settings);
            assert!(found.len() == 1 && found[0].0 == key && found[0].1.contains(part), "{settings:?}: {found:?}");
        }
    }
}
