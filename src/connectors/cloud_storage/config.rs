//! The cloud storage sinks' keys beyond those of the partitioners, the rolling and the stores, and the checks across keys.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lakehead_formats::file::{self, FileFormat};
use lakehead_formats::schema::compatibility::Compatibility;
use md5::{Digest as _, Md5};

use super::file::{Evolution, Ratio};
use super::format_keys;
use super::intake::OnNull;
use super::publish::{Rules, Tags};
use super::shape::{self, Shape, View};
use super::task::OnFormer;
use super::writer::{Plan, Scope};
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Report, Type, Values, check};
use crate::memory::Budget;
use crate::partition::{self, Affix, Partitioner};
use crate::roll::{self, Policy};
use crate::store::names::{self, Layout};
use crate::store::objects::key_problem;
use crate::store::urls::{self, StoreKind};

const CONNECTOR: &str = "Connector";

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, importance: Importance, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance, group: CONNECTOR, doc, check }
}

/// Upstream's default for keys and headers.
const AVRO: &str = "io.confluent.connect.s3.format.avro.AvroFormat";

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
            "File format of the values: upstream's ParquetFormat, JsonFormat, AvroFormat or ByteArrayFormat class, or parquet, json, avro, bytes.",
        )
    },
    key("storage.class", Type::Class, None, Importance::High, Check::Any, "Class of the store: upstream's, which connector.class implies."),
    key(
        "behavior.on.null.values",
        Type::String,
        Some("fail"),
        Importance::Low,
        Check::OneOfIgnoreCase(&["ignore", "fail", "write"]),
        "What a null value (tombstone) does: fail the task, be left out and counted (ignore), or have its key written below tombstone.encoded.partition (write; \
         asks for store.kafka.keys).",
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
        Check::Any,
        "How records of another schema go into open files: NONE ends the files at any change; BACKWARD and FULL write older records under the file's newer schema; \
         FORWARD writes newer ones under its older schema. As upstream, any other text is NONE.",
    ),
    key(
        "lakehead.schema.merge",
        Type::Boolean,
        Some("false"),
        Importance::Medium,
        Check::Any,
        "Ours. Whether files take the records of every version of a schema, in any order: their schema is the union of those that came, in which numbers are wide enough, and \
         fields that a version lacks have their default or are null. Only what has no such union (docs/schemas.md) ends the files, as does, in Parquet and Avro, a wider schema that \
         comes once rows were encoded (lakehead.row.group.bytes). Not together with schema.compatibility=BACKWARD, FORWARD or FULL.",
    ),
    key(
        "store.kafka.keys",
        Type::Boolean,
        Some("false"),
        Importance::Low,
        Check::Any,
        "Whether the records' keys are written too, to objects of their own (.keys).",
    ),
    key(
        "store.kafka.headers",
        Type::Boolean,
        Some("false"),
        Importance::Low,
        Check::Any,
        "Whether the records' headers are written too, to objects of their own (.headers).",
    ),
    key("keys.format.class", Type::Class, Some(AVRO), Importance::Low, Check::NotBlank, "Format of the key objects; acts with store.kafka.keys."),
    key("headers.format.class", Type::Class, Some(AVRO), Importance::Low, Check::NotBlank, "Format of the header objects; acts with store.kafka.headers."),
    key(
        "s3.schema.partition.affix.type",
        Type::String,
        Some("NONE"),
        Importance::Low,
        Check::OneOf(Affix::NAMES),
        "Whether a directory schema_name=<name of the value's schema> stands before (PREFIX) or after (SUFFIX) the encoded partition.",
    ),
    key(
        "partitioner.max.open.files",
        Type::Int,
        Some("-1"),
        Importance::Low,
        Check::Range(-1, i32::MAX as i64),
        "Directories of a topic partition that may have open files: one more ends them all. -1 = no limit (memory is limited as a whole).",
    ),
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
    key(
        "max.write.duration.ms",
        Type::Long,
        Some("9223372036854775807"),
        Importance::Low,
        Check::Any,
        "Upstream's limit of one put(); writing here never holds up the consumer.",
    ),
    key(
        "report.null.values.to.dlq",
        Type::Boolean,
        Some("true"),
        Importance::Low,
        Check::Any,
        "Whether values that behavior.on.null.values=ignore leaves out are reported as bad records, where errors are tolerated.",
    ),
    key(
        "tombstone.encoded.partition",
        Type::String,
        Some("tombstone"),
        Importance::Low,
        Check::Any,
        "Directory of tombstones; acts with behavior.on.null.values=write.",
    ),
    key(
        "enable.conditional.writes",
        Type::Boolean,
        Some("true"),
        Importance::Low,
        Check::Any,
        "Whether an object that is there already is left alone: reading then goes on behind it. Acts with rotate.schedule.interval.ms, and when neither keys nor \
         headers are stored.",
    ),
    key(
        "max.files.scan.limit",
        Type::Int,
        Some("100"),
        Importance::Low,
        Check::Range(1, 10_000),
        "Names that are tried for one that is free, with enable.conditional.writes.",
    ),
    key(
        "lakehead.rotation.scope",
        Type::String,
        None,
        Importance::Medium,
        Check::OneOf(&["topic-partition", "path"]),
        "Ours. Which files end together: all of a topic partition (topic-partition, as upstream), or each by itself (path): then the limits of size, rows and time hold \
         for each file, late records close no other file, and what lies between is told in the committed offset's metadata. Default: topic-partition for \
         upstream's classes, path for CloudStorageSink.",
    ),
];

/// Keys of every sink that plans its files.
pub static PLAN_KEYS: &[ConfigKey] = &[key(
    "lakehead.former.plan",
    Type::String,
    Some("halt"),
    Importance::Low,
    Check::OneOf(&["halt", "continue"]),
    "Ours. What is done when a task died while its files were becoming visible, and its successor has another configuration, which cannot finish them: halt (the task \
         fails and says so; started once with the former configuration it finishes them), or continue (their records may be in two files).",
)];

/// A configuration, checked and built.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) shapes: Vec<Shape>,
    pub(super) partitioner: Box<dyn Partitioner>,
    pub(super) policy: Policy,
    pub(super) layout: Layout,
    pub(super) on_null: OnNull,
    pub(super) affix: Affix,
    pub(super) tombstones: String,
    pub(super) evolution: Evolution,
    pub(super) max_open: Option<NonZeroUsize>,
    pub(super) rules: Rules,
    pub(super) row_group_bytes: u64,
    pub(super) scope: Scope,
    pub(super) on_former: OnFormer,
}

impl Settings {
    /// Everything that the configuration says, or every problem with it.
    pub(super) fn from_props(props: &Props) -> Result<Self, Vec<ConfigError>> {
        let values = Values { tables: &[KEYS], props };
        let mut errors = Vec::new();
        let shapes = shapes(props).map_err(|e| errors.extend(e)).ok();
        let partitioner = partition::from_props(props).map_err(|e| errors.extend(e)).ok();
        let is_time_based = partitioner.as_ref().is_some_and(|p| p.is_time_based());
        let policy = Policy::from_props(props, is_time_based).map_err(|e| errors.extend(e)).ok();
        let tags = tags(props).map_err(|e| errors.push(e)).ok();
        let on_null = on_null(values).map_err(|e| errors.extend(e)).ok();
        let evolution = evolution(values).map_err(|e| errors.push(e)).ok();
        let (Some(shapes), Some(partitioner), Some(policy), Some(tags), Some(on_null), Some(evolution)) =
            (shapes, partitioner, policy, tags, on_null, evolution)
        else {
            return Err(errors);
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let natural = |key| values.long(key).and_then(|n| usize::try_from(n).ok());
        // As upstream: with keys or headers one record has several objects, which cannot be conditional together.
        let scope = scope(props);
        let is_conditional = values.boolean("enable.conditional.writes") && policy.schedule.is_some() && shapes.len() == 1 && scope == Scope::TopicPartition;
        let typed_bytes = values.long("lakehead.row.group.bytes").and_then(|n| u64::try_from(n).ok()).unwrap_or(64 << 20);
        let is_columnar = shapes.first().is_some_and(|shape| shape.format.needs_columns());
        Ok(Self {
            // Rows of formats without a schema gain nothing by waiting.
            row_group_bytes: if is_columnar { typed_bytes } else { typed_bytes.min(4 << 20) },
            shapes,
            partitioner,
            policy,
            layout: Layout::from_props(props),
            on_null,
            affix: Affix::parse(values.text("s3.schema.partition.affix.type")).unwrap_or_default(),
            tombstones: values.text("tombstone.encoded.partition").to_owned(),
            evolution,
            max_open: natural("partitioner.max.open.files").and_then(NonZeroUsize::new),
            scope,
            on_former: on_former(props),
            rules: Rules { scan_limit: natural("max.files.scan.limit").filter(|_| is_conditional), tags },
        })
    }

    /// Settings that do nothing, or something else than it seems, in words for a log.
    pub(super) fn warnings(&self, props: &Props) -> Vec<String> {
        let values = Values { tables: &[KEYS], props };
        let mode = values.text("schema.compatibility");
        roll::ignored_setting(props, self.partitioner.is_time_based()).into_iter().chain(Compatibility::parse(mode).1).collect()
    }

    /// How records become files.
    pub(super) fn into_plan(self, memory: Budget, ratio: Arc<Ratio>) -> Plan {
        Plan {
            partitioner: self.partitioner,
            policy: self.policy,
            scope: self.scope,
            delim: self.layout.directory_delim.clone(),
            naming: Arc::new(self.layout),
            shapes: self.shapes,
            on_null: self.on_null,
            affix: self.affix,
            tombstones: self.tombstones,
            evolution: self.evolution,
            max_open: self.max_open,
            scan_limit: self.rules.scan_limit.unwrap_or(0),
            memory,
            ratio,
        }
    }

    /// The first guess of encoded bytes per byte of waiting rows.
    pub(super) fn expected_ratio(&self) -> Ratio {
        let shrinks = self.shapes.first().is_some_and(|shape| shape.format.needs_columns() || shape.extension.ends_with(".gz"));
        if shrinks { Ratio::new(4 << 20, 1 << 20) } else { Ratio::new(1 << 20, 1 << 20) }
    }
}

/// `lakehead.rotation.scope`: whoever names upstream's class relies on upstream's files.
fn scope(props: &Props) -> Scope {
    let is_ours = || {
        let class = props.get("connector.class").map_or("", |class| class.trim());
        class == super::ANY_URL.class || super::ANY_URL.aliases.contains(&class)
    };
    match (Values { tables: &[KEYS], props }).text("lakehead.rotation.scope") {
        "path" => Scope::Path,
        "" if is_ours() => Scope::Path,
        _ => Scope::TopicPartition,
    }
}

/// `lakehead.former.plan`.
pub(in crate::connectors) fn on_former(props: &Props) -> OnFormer {
    if (Values { tables: &[PLAN_KEYS], props }).text("lakehead.former.plan") == "continue" { OnFormer::Continue } else { OnFormer::Halt }
}

/// Stands for whatever decides on rows, paths and names: all settings but those that do not, such as limits, credentials and what is said of errors.
pub(in crate::connectors) fn fingerprint(props: &Props) -> u64 {
    const WITHOUT: [&str; 10] = [
        "name",
        "connector.class",
        "tasks.max",
        "topics",
        "topics.regex",
        "flush.size",
        "s3.part.size",
        "lakehead.row.group.bytes",
        "lakehead.former.plan",
        "lakehead.lost.records",
    ];
    const BEGINNINGS: [&str; 11] = [
        "rotate.",
        "errors.",
        "lakehead.errors.",
        "consumer.override.",
        "producer.override.",
        "admin.override.",
        "confluent.",
        "aws.",
        "retry.",
        "s3.retry.",
        "s3.proxy.",
    ];
    const PARTS: [&str; 7] = ["secret", "password", "token", "credential", "account.key", "sasl", "ssl."];
    // Aliases are the user's own words: a transform may be called what it does to passwords.
    const NAMED_BY_USERS: [&str; 2] = ["transforms.", "predicates."];
    let is_of_users = |key: &str| NAMED_BY_USERS.iter().any(|part| key.starts_with(part));
    let is_secret = |key: &str| !is_of_users(key) && PARTS.iter().any(|part| key.contains(part));
    let decides = |key: &str| !WITHOUT.contains(&key) && !BEGINNINGS.iter().any(|part| key.starts_with(part)) && !is_secret(key);
    let mut digest = Md5::new();
    for (key, value) in props.iter().filter(|(key, _)| decides(key)) {
        digest.update(format!("{key}\u{0}{}\u{0}", value.trim()));
    }
    u64::from_le_bytes(*digest.finalize().first_chunk().unwrap_or(&[0; 8]))
}

/// The objects that a record becomes.
fn shapes(props: &Props) -> Result<Vec<Shape>, Vec<ConfigError>> {
    let values = Values { tables: &[KEYS], props };
    let mut wanted = vec![(View::Value, "format.class")];
    wanted.extend(values.boolean("store.kafka.keys").then_some((View::Keys, "keys.format.class")));
    wanted.extend(values.boolean("store.kafka.headers").then_some((View::Headers, "headers.format.class")));
    let mut shapes = Vec::with_capacity(wanted.len());
    let mut errors = Vec::new();
    for (view, key) in wanted {
        match format(props, key) {
            Ok(format) if view == View::Headers && !shape::can_hold_headers(format.as_ref()) => {
                let class = values.text(key);
                errors
                    .push(ConfigError::new(key, format!("Invalid value {class} for configuration {key}: headers are texts with names, which it cannot hold")));
            }
            Ok(format) => shapes.push(Shape::new(view, format)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(shapes) } else { Err(errors) }
}

fn on_null(values: Values<'_>) -> Result<OnNull, Vec<ConfigError>> {
    let text = values.text("behavior.on.null.values").to_ascii_lowercase();
    match text.as_str() {
        "ignore" => Ok(OnNull::Ignore { report: values.boolean("report.null.values.to.dlq") }),
        "write" if values.boolean("store.kafka.keys") => Ok(OnNull::Write),
        "write" => {
            let message = "Writing Kafka record keys to storage is mandatory when tombstone writing is enabled.";
            Err(["store.kafka.keys", "behavior.on.null.values"].map(|key| ConfigError::new(key, message)).into())
        }
        _ => Ok(OnNull::Fail),
    }
}

/// `schema.compatibility` and `lakehead.schema.merge`, of which only one can say what becomes of other schemas.
fn evolution(values: Values<'_>) -> Result<Evolution, ConfigError> {
    const MERGE: &str = "lakehead.schema.merge";
    let (mode, _) = Compatibility::parse(values.text("schema.compatibility"));
    match (values.boolean(MERGE), mode) {
        (false, mode) => Ok(Evolution::Modes(mode)),
        (true, Compatibility::None) => Ok(Evolution::Merge),
        (true, mode) => {
            let hint = "one of the two says what becomes of records of another schema: leave schema.compatibility out, or set it to NONE";
            Err(ConfigError::new(MERGE, format!("Invalid value true for configuration {MERGE}: schema.compatibility is {mode}; {hint}")))
        }
    }
}

/// `s3.object.tagging` and what belongs to it.
fn tags(props: &Props) -> Result<Option<Tags>, ConfigError> {
    const PAIRS: &str = "s3.object.tagging.key.value.pairs";
    let text = |key: &str| props.get(key).map_or("", |value| value.trim());
    if !text("s3.object.tagging").eq_ignore_ascii_case("true") {
        return Ok(None);
    }
    let pair = |pair: &str| {
        let refused = || ConfigError::new(PAIRS, format!("Invalid value {pair} for configuration {PAIRS}: a tag is written key:value"));
        pair.split_once(':').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).filter(|(key, _)| !key.is_empty()).ok_or_else(refused)
    };
    let extra = text(PAIRS).split(',').map(str::trim).filter(|one| !one.is_empty()).map(pair).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Tags { extra, must_succeed: text("s3.object.behavior.on.tagging.error").eq_ignore_ascii_case("fail") }))
}

/// The format that a key names.
pub(super) fn format(props: &Props, key: &str) -> Result<Arc<dyn FileFormat>, ConfigError> {
    let values = Values { tables: &[KEYS], props };
    let class = values.text(key);
    let Some(entry) = file::find(class) else {
        let names: Vec<&str> = file::FILES.iter().map(|f| f.name).collect();
        let known = names.join(", ");
        return Err(ConfigError::new(key, format!("Invalid value {class} for configuration {key}: unknown format; known: {known}, and upstream's classes")));
    };
    let built = (entry.build)(props).map_err(|error| match error {
        file::FormatError::Config { key, message } => {
            let value = props.get(&key).map_or("", String::as_str);
            let message = format!("Invalid value {value} for configuration {key}: {message}");
            ConfigError::new(key, message)
        }
        other => ConfigError::new(key, other.to_string()),
    })?;
    Ok(Arc::from(built))
}

/// Every table of keys that a sink for that store understands.
pub(super) fn tables(store: StoreKind) -> [&'static [ConfigKey]; 7] {
    [KEYS, PLAN_KEYS, format_keys::KEYS, roll::KEYS, partition::KEYS, names::KEYS, store.keys()]
}

/// Every problem of a configuration, key by key and across keys.
pub(super) fn validate(store: StoreKind, props: &Props) -> Report {
    let is_known = |name: &str| name.starts_with("confluent.") || store.is_known(name);
    let mut report = check(&tables(store), props, is_known);
    let across = Settings::from_props(props)
        .err()
        .unwrap_or_default()
        .into_iter()
        .chain(urls::validate(store, props))
        .chain(compression(props))
        .chain(storage_class(store, props))
        .chain(names::validate(props))
        .chain(constant_names(props));
    report.add(across);
    report
}

/// What all names have in common must be fit for a name: a mistake there would make every record a bad one.
fn constant_names(props: &Props) -> Option<ConfigError> {
    const KEYS: [&str; 4] = ["topics.dir", "directory.delim", "filename.offset.zero.pad.width", "tombstone.encoded.partition"];
    let problem = |props: &Props| {
        let layout = Layout::from_props(props);
        let tombstones = props.get("tombstone.encoded.partition").map_or("tombstone", |path| path.trim());
        let name = |path: &str| layout.key_of_renamed("topic", "topic", path, 0, 0, ".x");
        key_problem(&name("path")).or_else(|| key_problem(&name(tombstones)))
    };
    let why = problem(props)?;
    let is_at_fault = |key: &&str| {
        let mut without = props.clone();
        without.remove(*key).is_some() && problem(&without).is_none()
    };
    let key = KEYS.into_iter().find(is_at_fault).unwrap_or("topics.dir");
    let value = props.get(key).map_or("", String::as_str);
    Some(ConfigError::new(key, format!("Invalid value {value} for configuration {key}: with it no object can be named: {why}")))
}

/// `storage.class` says what `connector.class` has said already: it must be there where upstream asks for it, and it cannot say something else.
fn storage_class(store: StoreKind, props: &Props) -> Option<ConfigError> {
    const KEY: &str = "storage.class";
    let (class, is_required) = match store {
        StoreKind::S3 => ("io.confluent.connect.s3.storage.S3Storage", true),
        StoreKind::Gcs => ("io.confluent.connect.gcs.storage.GcsStorage", true),
        StoreKind::AzureBlob => ("io.confluent.connect.azure.blob.storage.AzureBlobStorage", false),
        _ => return None,
    };
    match props.get(KEY).map(|given| given.trim()) {
        None if is_required => Some(ConfigError::new(KEY, format!("Missing required configuration \"{KEY}\" which has no default value."))),
        Some(given) if given != class => {
            Some(ConfigError::new(KEY, format!("Invalid value {given} for configuration {KEY}: Class {given} could not be found; this connector's is {class}")))
        }
        _ => None,
    }
}

/// gzip goes with JSON and bytes only: the other formats have codecs of their own. An error on each key that is part of it, as upstream.
fn compression(props: &Props) -> Vec<ConfigError> {
    let is_gzip = |key: &&str| props.get(*key).is_some_and(|v| v.trim() == "gzip");
    let Some(compression) = ["s3.compression.type", "gcs.compression.type", "az.compression.type"].into_iter().find(is_gzip) else { return Vec::new() };
    let values = Values { tables: &[KEYS], props };
    let mut errors = Vec::new();
    for (what, switch, class) in [
        ("data", None, "format.class"),
        ("keys", Some("store.kafka.keys"), "keys.format.class"),
        ("headers", Some("store.kafka.headers"), "headers.format.class"),
    ] {
        let is_asked = switch.is_none_or(|switch| values.boolean(switch));
        if !is_asked || !format(props, class).is_ok_and(|format| !format.gzips()) {
            continue;
        }
        let message = format!("Compression Type gzip not valid for {what} format class: ( {} ).", values.text(class));
        errors.extend(switch.into_iter().chain([class, compression]).map(|key| ConfigError::new(key, message.clone())));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_every_name_unusable_are_refused_under_their_key() {
        let cases: [(&[(&str, &str)], Option<&str>); 9] = [
            (&[], None),
            (&[("topics.dir", "a/b")], None),
            (&[("topics.dir", "")], None),
            (&[("topics.dir", "data/")], Some("topics.dir")),
            (&[("topics.dir", "/data")], Some("topics.dir")),
            (&[("topics.dir", "../x")], Some("topics.dir")),
            (&[("directory.delim", "//")], Some("directory.delim")),
            (&[("filename.offset.zero.pad.width", "2000")], Some("filename.offset.zero.pad.width")),
            (&[("tombstone.encoded.partition", "/x")], Some("tombstone.encoded.partition")),
        ];
        for (settings, key) in cases {
            let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(constant_names(&props).map(|error| error.key).as_deref(), key, "{settings:?}");
        }
    }
    #[test]
    fn what_transforms_do_counts_whatever_they_are_called_and_secrets_do_not() {
        let plan = |settings: &[(&str, &str)]| fingerprint(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
        for (key, counts) in [
            ("transforms.maskPassword.fields", true),
            ("transforms.token.field", true),
            ("predicates.is_secret.name", true),
            ("format.class", true),
            ("aws.secret.access.key", false),
            ("azblob.account.key", false),
            ("value.converter.basic.auth.password", false),
            ("errors.tolerance", false),
        ] {
            assert_eq!(plan(&[(key, "a")]) != plan(&[(key, "b")]), counts, "{key}");
        }
    }
}
