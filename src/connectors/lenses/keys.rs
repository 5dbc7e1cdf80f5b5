//! The connectors' keys: the same under three prefixes, and those of each store.
//!
//! Keys that ask for what is not done here are refused by name where they ask for something; keys of machinery that is not needed here are taken.

use crate::connect::config::{Check, ConfigKey, Importance, Type};

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Low, group: "Lenses", doc, check }
}

const fn store(name: &'static str, kind: Type, default: &'static str, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { importance: Importance::High, group: "Store", ..key(name, kind, Some(default), check, doc) }
}

const CODECS: &[&str] = &["UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "BZIP2", "ZSTD", "DEFLATE", "XZ"];
const NATURAL: Check = Check::Range(0, i64::MAX);
const COUNT: Check = Check::Range(1, i32::MAX as i64);

const RETRIES: &str = "Taken for upstream's sake: transient errors are retried for as long as they last.";
const HTTP: &str = "Taken for upstream's sake: connections are pooled and time out by themselves.";
const LOCKS: &str = "Taken for upstream's sake: no lock objects are written, so none are cleaned up.";
const EXACTLY_ONCE: &str =
    "Taken for upstream's sake: exactly once either way, without lock objects. Files are planned in what is committed to the consumer group.";
const NO_SWALLOWING: &str =
    "records are never swallowed: a failed task keeps its place, and errors.tolerance=all with a dead letter queue keeps bad records apart";
const DETECTORS: &str = "any change of the schema ends the open files, as with the default detector";

/// The keys of every connector, and those of a store.
macro_rules! keys {
    ($prefix:literal, $($of_the_store:expr),+ $(,)?) => {
        &[
            ConfigKey {
                required: true,
                importance: Importance::High,
                ..key(concat!($prefix, ".kcql"), Type::String, None, Check::NotBlank, "What goes where: INSERT INTO bucket:prefix SELECT * FROM topic … .")
            },
            key(concat!($prefix, ".compression.codec"), Type::String, Some("UNCOMPRESSED"), Check::OneOfIgnoreCase(CODECS), "Codec of JSON, AVRO and PARQUET files."),
            key(concat!($prefix, ".compression.level"), Type::Int, Some("-1"), Check::Range(-1, 22), "Level of codecs that have some; -1 is the codec's own."),
            key(concat!($prefix, ".disable.flush.count"), Type::Boolean, Some("false"), Check::Any, "True: the number of records ends no file."),
            key(
                concat!($prefix, ".padding.strategy"),
                Type::String,
                Some(""),
                Check::Custom(padding),
                "How offsets are filled up: LeftPad (with zeros) or NoOp. Default: the padding properties of each statement.",
            ),
            key(concat!($prefix, ".padding.length"), Type::Int, Some("-1"), Check::Range(-1, 255), "Least digits of offsets, with padding.strategy; -1 means 12."),
            key(concat!($prefix, ".skip.null.values"), Type::Boolean, Some("false"), Check::Any, "True: records without a value are left out, and counted."),
            key(
                concat!($prefix, ".schema.change.detector"),
                Type::String,
                Some("default"),
                Check::Only(&["default", ""], DETECTORS),
                "Which change of the schema ends the open files.",
            ),
            key(
                concat!($prefix, ".latest.schema.optimization.enabled"),
                Type::Boolean,
                Some("false"),
                Check::Only(&["false"], "records are written under the schema that they have"),
                "Whether records are made to fit the latest schema.",
            ),
            key(
                concat!($prefix, ".error.policy"),
                Type::String,
                Some("THROW"),
                Check::Only(&["THROW", "RETRY"], NO_SWALLOWING),
                "What an error does: transient ones are retried for as long as they last, others fail the task.",
            ),
            key(concat!($prefix, ".max.retries"), Type::Int, Some("20"), NATURAL, RETRIES),
            key(concat!($prefix, ".retry.interval"), Type::Long, Some("60000"), NATURAL, RETRIES),
            key(concat!($prefix, ".exactly.once.enable"), Type::Boolean, Some("true"), Check::Any, EXACTLY_ONCE),
            key(concat!($prefix, ".indexes.name"), Type::String, Some(".indexes"), Check::Any, LOCKS),
            key(concat!($prefix, ".seek.max.files"), Type::Int, Some("5"), Check::Any, LOCKS),
            key(concat!($prefix, ".indexes.gc.interval.seconds"), Type::Int, Some("300"), COUNT, LOCKS),
            key(concat!($prefix, ".indexes.gc.batch.size"), Type::Int, Some("1000"), COUNT, LOCKS),
            key(concat!($prefix, ".indexes.gc.sweep.enabled"), Type::Boolean, Some("true"), Check::Any, LOCKS),
            key(concat!($prefix, ".indexes.gc.sweep.interval.seconds"), Type::Int, Some("86400"), COUNT, LOCKS),
            key(concat!($prefix, ".indexes.gc.sweep.min.age.seconds"), Type::Int, Some("86400"), COUNT, LOCKS),
            key(concat!($prefix, ".indexes.gc.sweep.max.reads"), Type::Int, Some("1000"), COUNT, LOCKS),
            key(concat!($prefix, ".local.tmp.directory"), Type::String, Some(""), Check::Any, "Taken for upstream's sake: files are not staged on a disk."),
            key(concat!($prefix, ".log.metrics"), Type::Boolean, Some("false"), Check::Any, "Taken for upstream's sake: metrics are served at all times."),
            $($of_the_store),+
        ]
    };
}

/// Keys of the S3 sink.
pub(super) static S3: &[ConfigKey] = keys!(
    "connect.s3",
    store(
        "connect.s3.aws.auth.mode",
        Type::String,
        "Default",
        Check::OneOfIgnoreCase(&["Credentials", "Default"]),
        "Where credentials come from: the two keys, or the environment or the machine's role."
    ),
    store("connect.s3.aws.access.key", Type::Password, "", Check::Any, "Access key, with aws.auth.mode=Credentials."),
    store("connect.s3.aws.secret.key", Type::Password, "", Check::Any, "Secret of the access key."),
    store("connect.s3.aws.region", Type::String, "", Check::Any, "Region of the bucket. Default: us-east-1."),
    store("connect.s3.custom.endpoint", Type::String, "", Check::Any, "Endpoint, for stores other than Amazon's."),
    store("connect.s3.vhost.bucket", Type::Boolean, "false", Check::Any, "As upstream, and in spite of its name: true puts the bucket into the path."),
    store(
        "connect.s3.path.style.access",
        Type::String,
        "",
        Check::Custom(boolean_or_blank),
        "Whether the bucket is in the path (true) or in the host's name (false). Default: vhost.bucket."
    ),
    key("connect.s3.http.max.retries", Type::Int, Some("5"), NATURAL, RETRIES),
    key("connect.s3.http.retry.interval", Type::Long, Some("50"), NATURAL, "Milliseconds before the first retry; then they double, with jitter."),
    key("connect.s3.http.socket.timeout", Type::Long, Some("60000"), NATURAL, HTTP),
    key("connect.s3.http.connection.timeout", Type::Int, Some("60000"), NATURAL, HTTP),
    key("connect.s3.pool.max.connections", Type::Int, Some("-1"), Check::Any, HTTP),
    key("connect.s3.delete.mode", Type::String, Some("BatchDelete"), Check::Any, "Taken for upstream's sake: no object is deleted."),
);

/// Keys of the Google Cloud Storage sink.
pub(super) static GCS: &[ConfigKey] = keys!(
    "connect.gcpstorage",
    store(
        "connect.gcpstorage.gcp.auth.mode",
        Type::String,
        "DEFAULT",
        Check::OneOfIgnoreCase(&["CREDENTIALS", "FILE", "DEFAULT", "NONE"]),
        "Where credentials come from: the key's text, a file, the environment or the machine's account, or nowhere."
    ),
    store("connect.gcpstorage.gcp.credentials", Type::Password, "", Check::Any, "A service account's key as JSON text, with gcp.auth.mode=CREDENTIALS."),
    store("connect.gcpstorage.gcp.file", Type::String, "", Check::Any, "File with a service account's key, with gcp.auth.mode=FILE."),
    store("connect.gcpstorage.gcp.project.id", Type::String, "", Check::Any, "Taken for upstream's sake: a bucket's name says which project it is in."),
    store(
        "connect.gcpstorage.gcp.quota.project.id",
        Type::String,
        "",
        Check::Only(&[""], "requests are billed to the project of the credentials"),
        "Project that requests are billed to.",
    ),
    store("connect.gcpstorage.endpoint", Type::String, "", Check::Any, "Endpoint, for stores other than Google's."),
    key("connect.gcpstorage.http.max.retries", Type::Int, Some("36"), NATURAL, RETRIES),
    key("connect.gcpstorage.http.retry.interval", Type::Long, Some("500"), NATURAL, "Milliseconds before the first retry; then they double, with jitter."),
    key("connect.gcpstorage.http.retry.timeout.multiplier", Type::String, Some("3.0"), Check::Any, RETRIES),
    key("connect.gcpstorage.http.socket.timeout", Type::Int, None, NATURAL, HTTP),
    key("connect.gcpstorage.http.connection.timeout", Type::Int, None, NATURAL, HTTP),
    key(
        "connect.gcpstorage.avoid.resumable.upload",
        Type::Boolean,
        Some("false"),
        Check::Any,
        "Taken for upstream's sake: small objects are one request, and large ones go in parts that are retried."
    ),
);

/// Keys of the Data Lake Storage Gen2 sink.
pub(super) static DATA_LAKE: &[ConfigKey] = keys!(
    "connect.datalake",
    store(
        "connect.datalake.azure.auth.mode",
        Type::String,
        "Default",
        Check::OneOfIgnoreCase(&["Credentials", "ConnectionString", "Default"]),
        "Where credentials come from: the account's key, a connection string, or the environment or the machine's identity.",
    ),
    store("connect.datalake.azure.account.name", Type::String, "", Check::Any, "The account. Default: the first name in endpoint."),
    store("connect.datalake.azure.account.key", Type::Password, "", Check::Any, "Its key, with azure.auth.mode=Credentials."),
    store(
        "connect.datalake.azure.connection.string",
        Type::Password,
        "",
        Check::Any,
        "With azure.auth.mode=ConnectionString: AccountName with AccountKey or SharedAccessSignature."
    ),
    store(
        "connect.datalake.endpoint",
        Type::String,
        "",
        Check::Any,
        "Endpoint of the account. Its dfs host is written to as the blob host, which shows the same files."
    ),
    key("connect.datalake.http.max.retries", Type::Int, Some("5"), NATURAL, RETRIES),
    key("connect.datalake.http.retry.interval", Type::Long, Some("50"), NATURAL, "Milliseconds before the first retry; then they double, with jitter."),
    key("connect.datalake.http.socket.timeout", Type::Long, Some("60000"), NATURAL, HTTP),
    key("connect.datalake.http.connection.timeout", Type::Int, Some("60000"), NATURAL, HTTP),
    key("connect.datalake.pool.max.connections", Type::Int, Some("-1"), Check::Any, HTTP),
);

/// What fills offsets up with zeros and keeps them apart.
pub(super) fn padding(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "leftpad" | "noop" => Ok(()),
        "rightpad" => Err("zeros on the right give several offsets one name, so that files replace each other: use LeftPad".to_owned()),
        _ => Err("String must be one of (case insensitive): LeftPad, NoOp".to_owned()),
    }
}

fn boolean_or_blank(text: &str) -> Result<(), String> {
    if ["", "true", "false"].contains(&text.to_ascii_lowercase().as_str()) { Ok(()) } else { Err("Expected value to be either true or false".to_owned()) }
}
