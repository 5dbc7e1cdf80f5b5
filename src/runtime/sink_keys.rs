//! The framework's keys of connectors, and of sinks: `ConnectorConfig` and `SinkConnectorConfig` of Apache Kafka 4.3. Those of sources are in
//! [`source_keys`](super::source_keys).

use super::errors::breaker::share;
use crate::connect::config::{Check, ConfigKey, Importance, Type};

/// The one version of every plugin.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

const COMMON: &str = "Common";
const TRANSFORMS: &str = "Transforms";
const PREDICATES: &str = "Predicates";
const ERRORS: &str = "Error Handling";

pub(super) const fn key(name: &'static str, kind: Type, default: Option<&'static str>, check: Check, group: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Medium, group, doc, check }
}

const fn high(key: ConfigKey) -> ConfigKey {
    ConfigKey { importance: Importance::High, ..key }
}

pub(super) const fn low(key: ConfigKey) -> ConfigKey {
    ConfigKey { importance: Importance::Low, ..key }
}

/// Framework keys of every connector.
pub static CONNECTOR_KEYS: &[ConfigKey] = &[
    ConfigKey { required: true, ..high(key("name", Type::String, None, Check::Any, COMMON, "The connector's name, unique in the cluster.")) },
    ConfigKey {
        required: true,
        ..high(key(
            "connector.class",
            Type::String,
            None,
            Check::Any,
            COMMON,
            "Class name or alias of the connector: one of those that `GET /connector-plugins` lists.",
        ))
    },
    key(
        "connector.plugin.version",
        Type::String,
        None,
        Check::Only(&["", "latest", VERSION], "there is one version of every connector: the one that is built in"),
        COMMON,
        "Version of the connector.",
    ),
    high(key(
        "tasks.max",
        Type::Int,
        Some("1"),
        Check::Range(1, i32::MAX as i64),
        COMMON,
        "Most tasks that the connector may have; those of a sink share the partitions of its topics.",
    )),
    low(key("tasks.max.enforce", Type::Boolean, Some("true"), Check::Any, COMMON, "Whether more tasks than `tasks.max` are an error; there never are more.")),
    low(key(
        "key.converter",
        Type::Class,
        None,
        Check::Any,
        COMMON,
        "Converter of record keys; the worker's where absent. Its settings follow as `key.converter.*`.",
    )),
    low(key(
        "key.converter.plugin.version",
        Type::String,
        None,
        Check::Only(&["", "latest", VERSION], "there is one version of every converter"),
        COMMON,
        "Version of the key converter.",
    )),
    low(key(
        "value.converter",
        Type::Class,
        None,
        Check::Any,
        COMMON,
        "Converter of record values; the worker's where absent. Its settings follow as `value.converter.*`.",
    )),
    low(key(
        "value.converter.plugin.version",
        Type::String,
        None,
        Check::Only(&["", "latest", VERSION], "there is one version of every converter"),
        COMMON,
        "Version of the value converter.",
    )),
    low(key("header.converter", Type::Class, None, Check::Any, COMMON, "Converter of record headers; the worker's where absent.")),
    low(key(
        "header.converter.plugin.version",
        Type::String,
        None,
        Check::Only(&["", "latest", VERSION], "there is one version of every converter"),
        COMMON,
        "Version of the header converter.",
    )),
    low(key(
        "transforms",
        Type::List,
        Some(""),
        Check::Any,
        TRANSFORMS,
        "Aliases of the transforms, in the order in which they are applied: `transforms.<alias>.type`.",
    )),
    low(key("predicates", Type::List, Some(""), Check::Any, PREDICATES, "Aliases of predicates of transforms.")),
    low(key(
        "config.action.reload",
        Type::String,
        Some("restart"),
        Check::OneOfIgnoreCase(&["none", "restart"]),
        COMMON,
        "What to do when a config provider says that a value has expired; the built-in providers never say so.",
    )),
    key(
        "errors.retry.timeout",
        Type::Long,
        Some("0"),
        Check::Range(-1, i64::MAX),
        ERRORS,
        "Milliseconds to ask a schema registry that does not answer, -1 for ever. Then the records that need it are bad ones, for errors.tolerance. 0, the default, asks for ever too, and not once as upstream's. Stores and brokers are always waited for; both are shown in the status.",
    ),
    key(
        "errors.retry.delay.max.ms",
        Type::Long,
        Some("60000"),
        Check::Range(1, i64::MAX),
        ERRORS,
        "Most milliseconds between two times that a schema registry is asked; never more than 10 s.",
    ),
    key(
        "errors.tolerance",
        Type::String,
        Some("none"),
        Check::OneOf(&["none", "all"]),
        ERRORS,
        "`none`: a record that cannot be converted, transformed or written fails the task. `all`: it is left out, counted, and goes where dead letters go.",
    ),
    key("errors.log.enable", Type::Boolean, Some("false"), Check::Any, ERRORS, "Whether each record that fails is logged, with its stage, class and reason."),
    key(
        "errors.log.include.messages",
        Type::Boolean,
        Some("false"),
        Check::Any,
        ERRORS,
        "Whether these lines name the record: topic, partition, offset and timestamp; keys and values are never logged.",
    ),
];

/// Framework keys that only sinks have.
pub static SINK_KEYS: &[ConfigKey] = &[
    high(key("topics", Type::List, Some(""), Check::Any, COMMON, "Topics to read, comma separated; this or `topics.regex`.")),
    high(key("topics.regex", Type::String, Some(""), Check::Any, COMMON, "Regular expression for the whole names of topics to read; this or `topics`.")),
    low(key(
        "lakehead.lost.records",
        Type::String,
        Some("continue"),
        Check::OneOf(&["halt", "continue"]),
        ERRORS,
        "Ours. What is done when records that are next are not in their log any more (deleted before they were read, topic deleted and made again, log truncated): continue \
         (as upstream, where auto.offset.reset says; the range is named in the log and the status), or halt (the task fails and names the range).",
    )),
    low(key(
        "lakehead.errors.breaker.share",
        Type::String,
        Some(""),
        Check::Custom(|text| if text.is_empty() { Ok(()) } else { share(text).map(drop) }),
        ERRORS,
        "Ours. Share of bad records, as 0.5, at which a topic partition is not read on, with errors.tolerance=all; the task's other partitions are. The status says so, and why. It goes \
         on with PUT /connectors/(name)/resume, with a restart, or after `lakehead.errors.breaker.resume.ms`. Empty: never.",
    )),
    low(key(
        "lakehead.errors.breaker.records",
        Type::Long,
        Some("1000"),
        Check::Range(1, i64::MAX),
        ERRORS,
        "Ours. How many of a topic partition's last records are looked at for `lakehead.errors.breaker.share`, rounded up to whole fetches; fewer never stop it.",
    )),
    low(key(
        "lakehead.errors.breaker.window.ms",
        Type::Long,
        Some("60000"),
        Check::Range(1, i64::MAX),
        ERRORS,
        "Ours. Milliseconds after which a record is not looked at for `lakehead.errors.breaker.share` any more.",
    )),
    low(key(
        "lakehead.errors.breaker.resume.ms",
        Type::Long,
        Some("-1"),
        Check::Range(-1, i64::MAX),
        ERRORS,
        "Ours. Milliseconds after which a topic partition is tried again that `lakehead.errors.breaker.share` has stopped; -1: not by itself.",
    )),
    key(
        "errors.deadletterqueue.topic.name",
        Type::String,
        Some(""),
        Check::Any,
        ERRORS,
        "Topic for records that failed, with their original bytes, made with one partition unless it is there; empty = none.",
    ),
    key("errors.deadletterqueue.topic.replication.factor", Type::Short, Some("3"), Check::Any, ERRORS, "Replication factor of that topic, where it is made."),
    key(
        "errors.deadletterqueue.context.headers.enable",
        Type::Boolean,
        Some("false"),
        Check::Any,
        ERRORS,
        "Whether records there tell in their headers (`__connect.errors.*`) where they come from and why they failed.",
    ),
    low(key(
        "errors.deadletterqueue.url",
        Type::String,
        Some(""),
        Check::Any,
        ERRORS,
        "Ours. Folder for files of records that failed, as JSON lines with their original bytes: s3://bucket/folder, gs://, az://, abfss:// or a folder's path; empty = none. In a \
         store of the sink's own kind it is reached with the sink's endpoint and credentials, in another with the worker's environment. Beside the topic, or instead of it.",
    )),
];

/// Starts of keys that belong to transforms, converters and clients.
pub static PREFIXES: &[&str] =
    &["transforms.", "predicates.", "key.converter.", "value.converter.", "header.converter.", "consumer.override.", "producer.override.", "admin.override."];
