//! The cloud storage sinks' keys beyond those of the partitioners, the rolling and the stores, and the checks across keys.

use std::sync::Arc;

use lakehead_formats::file::{self, FileFormat};

use super::file::Ratio;
use super::task::{EXACTLY_ONCE, OnNull};
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Report, Type, Values, check};
use crate::partition::{self, Partitioner};
use crate::roll::{self, Policy};
use crate::store::names::{self, Layout};
use crate::store::urls::{self, StoreKind};

const CONNECTOR: &str = "Connector";
const NOT_YET: &str = "this behaviour is not supported yet";

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, importance: Importance, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance, group: CONNECTOR, doc, check }
}

const BOOLEANS: Check = Check::Any;

/// Keys of the connector itself, for every store.
pub static KEYS: &[ConfigKey] = &[
    ConfigKey {
        required: true,
        ..key(
            "format.class",
            Type::Class,
            None,
            Importance::High,
            Check::NotBlank,
            "File format of the values: upstream's ParquetFormat, JsonFormat or AvroFormat class, or parquet, json, avro.",
        )
    },
    key("storage.class", Type::Class, None, Importance::High, Check::Any, "Upstream's class of the store; implied by connector.class."),
    key("avro.codec", Type::String, Some("null"), Importance::Low, Check::Any, "Codec of Avro files: null, deflate, snappy, bzip2, zstd."),
    key("parquet.codec", Type::String, Some("snappy"), Importance::Low, Check::Any, "Codec of Parquet files: snappy, zstd, gzip, none."),
    key("json.decimal.format", Type::String, Some("BASE64"), Importance::Low, Check::OneOfIgnoreCase(&["BASE64", "NUMERIC"]), "How JSON files show decimals."),
    key("s3.compression.type", Type::String, Some("none"), Importance::Low, Check::OneOf(&["none", "gzip"]), "Compression of JSON files on S3."),
    key("s3.compression.level", Type::Int, Some("-1"), Importance::Low, Check::Range(-1, 9), "gzip level; -1 is the library's default."),
    key("gcs.compression.type", Type::String, Some("none"), Importance::Low, Check::OneOf(&["none", "gzip"]), "Compression of JSON files on GCS."),
    key("az.compression.type", Type::String, Some("none"), Importance::Low, Check::OneOf(&["none", "gzip"]), "Compression of JSON files on Azure."),
    key(
        "behavior.on.null.values",
        Type::String,
        Some("fail"),
        Importance::Low,
        Check::OneOfIgnoreCase(&["fail", "ignore"]),
        "What a null value (tombstone) does: fail the task, or be left out and counted. Upstream's write is not supported yet.",
    ),
    key(
        "value.schema",
        Type::String,
        None,
        Importance::Medium,
        Check::Any,
        "Ours. Connect schema (the JSON form of JsonConverter's envelopes) of schemaless JSON values; without it the schema is inferred from the records.",
    ),
    key(
        "lakehead.row.group.bytes",
        Type::Long,
        Some("67108864"),
        Importance::Low,
        Check::Range(1 << 20, 1 << 30),
        "Ours. Bytes of waiting rows (in memory, as Arrow) at which a file's row group is encoded.",
    ),
    key(
        "schema.compatibility",
        Type::String,
        Some("NONE"),
        Importance::High,
        Check::Only(&["NONE"], NOT_YET),
        "How records of another schema go into an open file.",
    ),
    key("store.kafka.keys", Type::Boolean, Some("false"), Importance::Low, Check::Only(&["false"], NOT_YET), "Files with the records' keys."),
    key("store.kafka.headers", Type::Boolean, Some("false"), Importance::Low, Check::Only(&["false"], NOT_YET), "Files with the records' headers."),
    key("keys.format.class", Type::Class, None, Importance::Low, Check::Any, "Format of key files; acts with store.kafka.keys only."),
    key("headers.format.class", Type::Class, None, Importance::Low, Check::Any, "Format of header files; acts with store.kafka.headers only."),
    key("s3.schema.partition.affix.type", Type::String, Some("NONE"), Importance::Low, Check::Only(&["NONE"], NOT_YET), "Directory for the schema's name."),
    key(
        "partitioner.max.open.files",
        Type::Int,
        Some("-1"),
        Importance::Low,
        Check::Only(&["-1"], NOT_YET),
        "Limit of open files; memory is limited as a whole here.",
    ),
    key("allow.optional.map.keys", Type::Boolean, Some("false"), Importance::Low, Check::Only(&["false"], NOT_YET), "Avro maps with optional keys."),
    key(
        "enhanced.avro.schema.support",
        Type::Boolean,
        Some("true"),
        Importance::Low,
        Check::Only(&["true"], NOT_YET),
        "Enum symbols and package names are always kept.",
    ),
    key("connect.meta.data", Type::Boolean, Some("true"), Importance::Low, Check::Only(&["true"], NOT_YET), "Avro files carry Connect's metadata."),
    key(
        "schemas.cache.config",
        Type::Int,
        Some("1000"),
        Importance::Low,
        Check::Any,
        "Upstream's schema cache; schemas are cached without a limit that users need to know.",
    ),
    key("schema.cache.size", Type::Int, Some("1000"), Importance::Low, Check::Any, "Upstream's documented name of schemas.cache.config."),
    key(
        "retry.backoff.ms",
        Type::Long,
        Some("5000"),
        Importance::Low,
        Check::Any,
        "Upstream's pause after a retriable error; retries here back off by themselves and stop nothing else.",
    ),
    key("max.write.duration.ms", Type::Long, None, Importance::Low, Check::Any, "Upstream's limit of one put(); writing here never holds up the consumer."),
    key("report.null.values.to.dlq", Type::Boolean, Some("true"), Importance::Low, BOOLEANS, "Acts with a dead-letter queue only."),
    key("tombstone.encoded.partition", Type::String, Some("tombstone"), Importance::Low, Check::Any, "Acts with behavior.on.null.values=write only."),
    key(
        "enable.conditional.writes",
        Type::Boolean,
        Some("true"),
        Importance::Low,
        BOOLEANS,
        "Upstream's guard for scheduled rotation; see the status' guarantee.",
    ),
    key("max.files.scan.limit", Type::Int, Some("100"), Importance::Low, Check::Any, "Acts with upstream's conditional writes only."),
];

/// A configuration, checked and built.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) format: Arc<dyn FileFormat>,
    pub(super) partitioner: Box<dyn Partitioner>,
    pub(super) policy: Policy,
    pub(super) layout: Layout,
    pub(super) on_null: OnNull,
    pub(super) row_group_bytes: u64,
}

impl Settings {
    /// Everything that the configuration says, or every problem with it.
    pub(super) fn from_props(props: &Props) -> Result<Self, Vec<ConfigError>> {
        let values = Values { tables: &[KEYS], props };
        let mut errors = Vec::new();
        let format = format(props).map_err(|e| errors.push(e)).ok();
        let partitioner = partition::from_props(props).map_err(|e| errors.extend(e)).ok();
        let is_time_based = partitioner.as_ref().is_some_and(|p| p.is_time_based());
        let policy = Policy::from_props(props, is_time_based).map_err(|e| errors.extend(e)).ok();
        let (Some(format), Some(partitioner), Some(policy)) = (format, partitioner, policy) else { return Err(errors) };
        if !errors.is_empty() {
            return Err(errors);
        }
        let ignores = values.text("behavior.on.null.values").eq_ignore_ascii_case("ignore");
        let typed_bytes = values.long("lakehead.row.group.bytes").and_then(|n| u64::try_from(n).ok()).unwrap_or(64 << 20);
        Ok(Self {
            on_null: if ignores { OnNull::Ignore } else { OnNull::Fail },
            // Rows of formats without a schema gain nothing by waiting.
            row_group_bytes: if format.needs_columns() { typed_bytes } else { typed_bytes.min(4 << 20) },
            format,
            partitioner,
            policy,
            layout: Layout::from_props(props),
        })
    }

    /// What holds when the process dies at any moment.
    pub(super) fn guarantee(&self) -> String {
        match roll::is_deterministic(&self.policy, self.partitioner.is_deterministic()) {
            Ok(()) => EXACTLY_ONCE.to_owned(),
            Err(why) => format!("at-least-once: {why}"),
        }
    }

    /// The first guess of encoded bytes per byte of waiting rows.
    pub(super) fn expected_ratio(&self) -> Ratio {
        if self.format.needs_columns() || self.format.extension().ends_with(".gz") { Ratio::new(4 << 20, 1 << 20) } else { Ratio::new(1 << 20, 1 << 20) }
    }
}

/// The format that the configuration names.
pub(super) fn format(props: &Props) -> Result<Arc<dyn FileFormat>, ConfigError> {
    let class = props.get("format.class").map_or("", |c| c.trim());
    let Some(entry) = file::find(class) else {
        let names: Vec<&str> = file::FILES.iter().map(|f| f.name).collect();
        let known = names.join(", ");
        return Err(ConfigError::new(
            "format.class",
            format!("Invalid value {class} for configuration format.class: unknown format; known: {known}, and upstream's classes"),
        ));
    };
    let built = (entry.build)(props).map_err(|error| match error {
        file::FormatError::Config { key, message } => {
            let value = props.get(&key).map_or("", String::as_str);
            let message = format!("Invalid value {value} for configuration {key}: {message}");
            ConfigError::new(key, message)
        }
        other => ConfigError::new("format.class", other.to_string()),
    })?;
    Ok(Arc::from(built))
}

/// Every problem of a configuration, key by key and across keys.
pub(super) fn validate(store: StoreKind, props: &Props) -> Report {
    let tables: &[&[ConfigKey]] = &[KEYS, roll::KEYS, partition::KEYS, names::KEYS, store.keys()];
    let is_known = |name: &str| name.starts_with("confluent.") || store.is_known(name);
    let mut report = check(tables, props, is_known);
    let across = Settings::from_props(props).err().unwrap_or_default().into_iter().chain(urls::validate(store, props)).chain(compression(props));
    for error in across {
        if !report.errors.iter().any(|e| e.key == error.key) {
            report.errors.push(error);
        }
    }
    report
}

/// gzip goes with JSON only: the other formats have codecs of their own.
fn compression(props: &Props) -> Option<ConfigError> {
    let is_text = format(props).is_ok_and(|f| !f.needs_columns());
    let key = ["s3.compression.type", "gcs.compression.type", "az.compression.type"].into_iter().find(|k| props.get(*k).is_some_and(|v| v.trim() == "gzip"))?;
    (!is_text).then(|| {
        ConfigError::new(
            key,
            format!("Invalid value gzip for configuration {key}: it compresses JSON files; Parquet and Avro have parquet.codec and avro.codec"),
        )
    })
}
