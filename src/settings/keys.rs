//! The worker's keys as a table: `WorkerConfig` and `StandaloneConfig` of Apache Kafka 4.3, and our own `lakehead.*`. Those of a group's workers are in
//! [`distributed_keys`](super::distributed_keys), those of the security of connections in [`security_keys`](super::security_keys).
//!
//! Every key either acts, or is taken because nothing depends on it here (its doc says so), or is refused by name unless its value asks for nothing.

use crate::connect::config::{Check, ConfigKey, Importance, Type};
use crate::settings::{rest, users};

const COMMON: &str = "Common";
const REST: &str = "REST";
const OURS: &str = "Lakehead";

/// An optional key of medium importance; the table below states the differences.
pub(super) const fn key(name: &'static str, kind: Type, default: Option<&'static str>, check: Check, group: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Medium, group, doc, check }
}

pub(super) const fn required(name: &'static str, kind: Type, doc: &'static str) -> ConfigKey {
    ConfigKey { required: true, importance: Importance::High, ..key(name, kind, None, Check::NotBlank, COMMON, doc) }
}

/// Every key of both kinds of workers.
pub static WORKER_KEYS: &[ConfigKey] = &[
    required("bootstrap.servers", Type::List, "Brokers to start from, `host:port`, comma separated."),
    required("key.converter", Type::Class, "Converter of record keys for connectors that name none; its settings follow as `key.converter.*`."),
    required("value.converter", Type::Class, "Converter of record values for connectors that name none; its settings follow as `value.converter.*`."),
    key(
        "header.converter",
        Type::Class,
        Some("org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        Check::Any,
        COMMON,
        "Converter of record headers for connectors that name none. Sinks take headers as texts, whatever it is.",
    ),
    key(
        "key.converter.plugin.version",
        Type::String,
        None,
        Check::Only(&["", "latest"], "there is one version of every converter"),
        COMMON,
        "Version of the key converter.",
    ),
    key(
        "value.converter.plugin.version",
        Type::String,
        None,
        Check::Only(&["", "latest"], "there is one version of every converter"),
        COMMON,
        "Version of the value converter.",
    ),
    key(
        "header.converter.plugin.version",
        Type::String,
        None,
        Check::Only(&["", "latest"], "there is one version of every converter"),
        COMMON,
        "Version of the header converter.",
    ),
    key(
        "client.dns.lookup",
        Type::String,
        Some("use_all_dns_ips"),
        Check::OneOf(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]),
        COMMON,
        "How clients use the addresses of a broker's name. Distributed workers try all of them, and refuse the other value.",
    ),
    key(
        "task.shutdown.graceful.timeout.ms",
        Type::Long,
        Some("5000"),
        Check::Range(0, i64::MAX),
        COMMON,
        "Milliseconds that tasks are given to end what they are publishing before they are dropped. Dropped tasks lose nothing: their records are read again.",
    ),
    key(
        "offset.flush.interval.ms",
        Type::Long,
        Some("60000"),
        Check::Range(0, i64::MAX),
        COMMON,
        "Milliseconds between commits of source offsets. Sinks commit what is published once a second, or more often where this is less.",
    ),
    key(
        "offset.flush.timeout.ms",
        Type::Long,
        Some("5000"),
        Check::Range(0, i64::MAX),
        COMMON,
        "Milliseconds that a commit of source offsets may take before it is left to the next one. Sinks wait for theirs as long as brokers may answer.",
    ),
    key(
        "offset.storage.file.filename",
        Type::String,
        None,
        Check::Any,
        COMMON,
        "File for the offsets of source connectors, in the format of Java's worker; source connectors need it. Sinks keep theirs in Kafka.",
    ),
    key("plugin.path", Type::List, None, Check::Any, COMMON, "Folders of Java plugins; taken, and not read: every plugin is built in."),
    key(
        "plugin.discovery",
        Type::String,
        Some("hybrid_warn"),
        Check::OneOfIgnoreCase(&["only_scan", "service_load", "hybrid_warn", "hybrid_fail"]),
        COMMON,
        "How Java plugins are looked for; taken, and not used: every plugin is built in.",
    ),
    key(
        "config.providers",
        Type::List,
        Some(""),
        Check::Any,
        COMMON,
        "Aliases of config providers: `config.providers.<alias>.class`, `config.providers.<alias>.param.*`.",
    ),
    key(
        "connector.client.config.override.policy",
        Type::Class,
        Some("All"),
        Check::OneOf(&[
            "All",
            "None",
            "Principal",
            "Allowlist",
            "org.apache.kafka.connect.connector.policy.AllConnectorClientConfigOverridePolicy",
            "org.apache.kafka.connect.connector.policy.NoneConnectorClientConfigOverridePolicy",
            "org.apache.kafka.connect.connector.policy.PrincipalConnectorClientConfigOverridePolicy",
            "org.apache.kafka.connect.connector.policy.AllowlistConnectorClientConfigOverridePolicy",
        ]),
        COMMON,
        "Which `consumer.override.*`, `producer.override.*` and `admin.override.*` connectors may use: all, none, those of the login (`sasl.jaas.config`, `sasl.mechanism`, `security.protocol`), or those of `connector.client.config.override.allowlist`.",
    ),
    key(
        "connector.client.config.override.allowlist",
        Type::List,
        Some(""),
        Check::Any,
        COMMON,
        "Clients' properties that connectors may override, without `consumer.override.` and the like; acts with the policy Allowlist.",
    ),
    key(
        "topic.creation.enable",
        Type::Boolean,
        Some("true"),
        Check::Any,
        COMMON,
        "Whether source connectors make topics, where their configuration has `topic.creation.*`.",
    ),
    key(
        "topic.tracking.enable",
        Type::Boolean,
        Some("true"),
        Check::Any,
        COMMON,
        "Whether `/connectors/{name}/topics` tells which topics a connector has taken records from.",
    ),
    key("topic.tracking.allow.reset", Type::Boolean, Some("true"), Check::Any, COMMON, "Whether `/connectors/{name}/topics/reset` forgets them."),
    key(
        "metrics.sample.window.ms",
        Type::Long,
        Some("30000"),
        Check::Range(0, i64::MAX),
        COMMON,
        "Window of JMX metrics; taken, and not used: there is no JMX.",
    ),
    key("metrics.num.samples", Type::Int, Some("2"), Check::Range(1, i32::MAX as i64), COMMON, "Samples of JMX metrics; taken, and not used: there is no JMX."),
    key(
        "metrics.recording.level",
        Type::String,
        Some("INFO"),
        Check::OneOf(&["INFO", "DEBUG", "TRACE"]),
        COMMON,
        "Level of JMX metrics; taken, and not used: there is no JMX.",
    ),
    key("metric.reporters", Type::List, None, Check::Any, COMMON, "Java classes that report metrics; taken, and not loaded: there is no JMX."),
    key("auto.include.jmx.reporter", Type::Boolean, Some("true"), Check::Any, COMMON, "Taken, and not used: there is no JMX."),
    key(
        "listeners",
        Type::List,
        Some("http://:8083"),
        Check::Any,
        REST,
        "Addresses of the REST API, `http://host:port` or `https://host:port`, comma separated; an empty host means every interface. HTTPS needs a keystore: `listeners.https.ssl.*`, or where there is none of these `ssl.*`.",
    ),
    key("rest.host.name", Type::String, None, Check::Any, REST, "Host of the REST API where `listeners` is absent (key of Kafka before 3.0)."),
    key("rest.port", Type::Int, None, Check::Range(0, 65_535), REST, "Port of the REST API where `listeners` is absent (key of Kafka before 3.0)."),
    key(
        "rest.advertised.host.name",
        Type::String,
        None,
        Check::Any,
        REST,
        "Host by which other workers reach this one, and that is in its id. Default: that of the first listener with the advertised protocol, else the machine's name.",
    ),
    key(
        "rest.advertised.port",
        Type::Int,
        None,
        Check::Range(0, 65_535),
        REST,
        "Port by which other workers reach this one, and that is in its id. Default: that of the first listener with the advertised protocol.",
    ),
    key(
        "rest.advertised.listener",
        Type::String,
        None,
        Check::Custom(rest::advertised),
        REST,
        "Protocol by which other workers reach this one, `http` or `https`. Default: http if a listener has it, else https.",
    ),
    key(
        "rest.extension.classes",
        Type::List,
        Some(""),
        Check::Custom(users::extensions),
        REST,
        "`org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension` asks for a user and password, which are in the file that the `PropertyFileLoginModule` of the JAAS entry `KafkaConnect` names; the JAAS file is named by `-Djava.security.auth.login.config=` in the environment variable `KAFKA_OPTS`, or by `lakehead.jaas.config.file`. Others are refused: Java classes cannot be loaded.",
    ),
    key(
        "access.control.allow.origin",
        Type::String,
        Some(""),
        Check::Any,
        REST,
        "Origins that browsers may send requests from: regular expressions, comma separated, or `*`.",
    ),
    key(
        "access.control.allow.methods",
        Type::String,
        Some(""),
        Check::Any,
        REST,
        "Methods that browsers may use from other origins (GET, POST and HEAD unless given); without effect while `access.control.allow.origin` is empty.",
    ),
    key(
        "response.http.headers.config",
        Type::String,
        Some(""),
        Check::Any,
        REST,
        "Headers of every answer: `action name: value`, comma separated; the action is set, add, setDate or addDate, a date is given as milliseconds from now.",
    ),
    key(
        "admin.listeners",
        Type::List,
        None,
        Check::Any,
        REST,
        "Addresses of `/admin/loggers`, as in `listeners` (HTTPS by `admin.listeners.https.ssl.*`, or where there is none of these `ssl.*`); without this key it is served there, and an empty list serves it nowhere.",
    ),
    key(
        "ssl.client.auth",
        Type::String,
        Some("none"),
        Check::OneOf(&["none", "requested", "required"]),
        REST,
        "Client certificates at HTTPS listeners: not asked for, checked where a client has one, or required; the truststore (else the keystore) says who is trusted.",
    ),
    key(
        "lakehead.memory.limit",
        Type::String,
        None,
        Check::Any,
        OURS,
        "Memory that the process may have, as a number or with a unit (`512MiB`); half of it is for records and files under way. Default: 256 MiB, or half of the container's limit where that is less.",
    ),
    key(
        "lakehead.spill.dir",
        Type::String,
        None,
        Check::Any,
        OURS,
        "Folder for rows that wait for their file while memory is short; not one that is kept in memory (tmpfs). Each process makes one of its own in it, and removes what dead ones left. Default: `lakehead` below the folder for temporary files. `none`: nothing is spilled, and files end early instead.",
    ),
    key(
        "lakehead.cpu.threads",
        Type::Int,
        None,
        Check::Range(1, 1024),
        OURS,
        "Threads for decoding and encoding. Default: the cores that the process may use.",
    ),
    key(
        "lakehead.jaas.config.file",
        Type::String,
        None,
        Check::Any,
        OURS,
        "JAAS file of the users of the REST API (`rest.extension.classes`). Default: that of `-Djava.security.auth.login.config=` in the environment variable `KAFKA_OPTS`.",
    ),
    key("lakehead.log.format", Type::String, Some("text"), Check::OneOfIgnoreCase(&["text", "json"]), OURS, "Form of the log on standard error."),
];

/// Starts of keys that belong to clients, converters, providers and topics.
pub static PREFIXES: &[&str] = &[
    "consumer.",
    "producer.",
    "admin.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "config.providers.",
    "metrics.context.",
    "config.storage.",
    "offset.storage.",
    "status.storage.",
    "sasl.oauthbearer.",
];

/// Starts of keys that are `ssl.*` for listeners.
pub static TLS_PREFIXES: &[&str] = &["listeners.https.", "admin.listeners.https."];
