//! How forms show keys: upstream's display names, widths, groups and order, and which keys belong together.
//!
//! The table is beside the keys' own tables because it changes nothing that a key does. A key that is not in it shows its name, in the group that it
//! states, after the keys that are.

use super::ConfigKey;

/// Width of a form's field, as `ConfigDef.Width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Not told.
    None,
    /// A few characters.
    Short,
    /// A name.
    Medium,
    /// A line.
    Long,
}

impl Width {
    /// As the REST API prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Short => "SHORT",
            Self::Medium => "MEDIUM",
            Self::Long => "LONG",
        }
    }
}

/// One row: key, place in its group, width, display name.
#[derive(Debug, Clone, Copy)]
pub struct Row(pub &'static str, pub i32, pub Width, pub &'static str);

use Width::{Long, Medium, None as Any, Short};

/// The groups in upstream's order, each with its keys in order.
static GROUPS: &[(&str, &[Row])] = &[
    (
        "Common",
        &[
            Row("name", 1, Medium, "Connector name"),
            Row("connector.class", 2, Long, "Connector class"),
            Row("connector.plugin.version", 3, Medium, "Connector version"),
            Row("tasks.max", 4, Short, "Tasks max"),
            Row("topics", 4, Long, "Topics"),
            Row("topics.regex", 4, Long, "Topics regex"),
            Row("tasks.max.enforce", 5, Short, "Enforce tasks max"),
            Row("key.converter", 6, Short, "Key converter class"),
            Row("key.converter.plugin.version", 7, Short, "Key converter version"),
            Row("value.converter", 8, Short, "Value converter class"),
            Row("value.converter.plugin.version", 9, Short, "Value converter version"),
            Row("header.converter", 10, Short, "Header converter class"),
            Row("header.converter.plugin.version", 11, Short, "Header converter version"),
            Row("config.action.reload", 14, Medium, "Reload Action"),
        ],
    ),
    ("Transforms", &[Row("transforms", 12, Long, "Transforms")]),
    ("Predicates", &[Row("predicates", 13, Long, "Predicates")]),
    (
        "Error Handling",
        &[
            Row("errors.retry.timeout", 1, Medium, "Retry Timeout for Errors"),
            Row("errors.retry.delay.max.ms", 2, Medium, "Maximum Delay Between Retries for Errors"),
            Row("errors.tolerance", 3, Short, "Error Tolerance"),
            Row("errors.log.enable", 4, Short, "Log Errors"),
            Row("errors.log.include.messages", 5, Short, "Log Error Details"),
            Row("errors.deadletterqueue.topic.name", 6, Medium, "Dead Letter Queue Topic Name"),
            Row("errors.deadletterqueue.topic.replication.factor", 7, Medium, "Dead Letter Queue Topic Replication Factor"),
            Row("errors.deadletterqueue.context.headers.enable", 8, Medium, "Enable Error Context Headers"),
        ],
    ),
    ("Topic Creation", &[Row("topic.creation.groups", 1, Long, "Topic Creation Groups")]),
    (
        "Exactly Once Support",
        &[
            Row("exactly.once.support", 2, Short, "Exactly once support"),
            Row("transaction.boundary", 3, Short, "Transaction Boundary"),
            Row("transaction.boundary.interval.ms", 4, Short, "Transaction boundary interval"),
        ],
    ),
    ("offsets.topic", &[Row("offsets.storage.topic", 1, Long, "Offsets topic")]),
    (
        "Connector",
        &[
            Row("format.class", 1, Any, "Format class"),
            Row("flush.size", 2, Long, "Flush Size"),
            Row("rotate.interval.ms", 3, Medium, "Rotate Interval (ms)"),
            Row("rotate.schedule.interval.ms", 4, Medium, "Rotate Schedule Interval (ms)"),
            Row("schemas.cache.config", 5, Long, "Schema Cache Size"),
            Row("enhanced.avro.schema.support", 6, Short, "Enhanced Avro Support"),
            Row("connect.meta.data", 7, Short, "Connect Metadata"),
            Row("retry.backoff.ms", 8, Medium, "Retry Backoff (ms)"),
            Row("filename.offset.zero.pad.width", 10, Long, "Filename Offset Zero Pad Width"),
            Row("avro.codec", 11, Medium, "Avro Compression Codec"),
            Row("allow.optional.map.keys", 12, Short, "Allow Optional Map Keys"),
            Row("parquet.codec", 13, Medium, "Parquet Compression Codec"),
        ],
    ),
    ("Schema", &[Row("schema.compatibility", 1, Short, "Schema Compatibility")]),
    (
        S3,
        &[
            Row("s3.bucket.name", 1, Long, "S3 Bucket"),
            Row("s3.object.tagging", 2, Long, "S3 Object Tagging"),
            Row("s3.object.tagging.key.value.pairs", 3, Long, "S3 Object Tagging Extra Key Value pairs"),
            Row("s3.object.behavior.on.tagging.error", 4, Short, "Behavior for S3 object tagging error"),
            Row("s3.region", 5, Long, "AWS region"),
            Row("s3.part.size", 6, Long, "S3 Part Size"),
            Row("s3.credentials.provider.class", 7, Long, "AWS Credentials Provider Class"),
            Row("aws.access.key.id", 8, Long, "AWS Access Key ID"),
            Row("aws.secret.access.key", 9, Long, "AWS Secret Access Key"),
            Row("s3.ssea.name", 10, Long, "S3 Server Side Encryption Algorithm"),
            Row("s3.sse.customer.key", 11, Long, "S3 Server Side Encryption Customer-Provided Key (SSE-C)"),
            Row("s3.sse.kms.key.id", 12, Long, "S3 Server Side Encryption Key"),
            Row("s3.acl.canned", 13, Long, "S3 Canned ACL"),
            Row("s3.wan.mode", 14, Long, "S3 accelerated endpoint enabled"),
            Row("s3.compression.type", 15, Long, "Compression type"),
            Row("s3.compression.level", 16, Long, "Compression Level"),
            Row("json.decimal.format", 17, Medium, "Decimal Format"),
            Row("s3.part.retries", 18, Long, "S3 Part Upload Retries"),
            Row("s3.retry.backoff.ms", 19, Short, "Retry Backoff (ms)"),
            Row("format.bytearray.extension", 20, Long, "Output file extension for ByteArrayFormat"),
            Row("format.bytearray.separator", 21, Long, "Line separator ByteArrayFormat"),
            Row("s3.proxy.url", 22, Long, "S3 Proxy Settings"),
            Row("s3.proxy.user", 23, Long, "S3 Proxy User"),
            Row("s3.proxy.password", 24, Long, "S3 Proxy Password"),
            Row("s3.http.send.expect.continue", 25, Short, "S3 HTTP Send Uses Expect Continue"),
            Row("behavior.on.null.values", 26, Short, "Behavior for null-valued records"),
            Row("report.null.values.to.dlq", 27, Short, "Report null value to dlq"),
            Row("max.write.duration.ms", 28, Short, "Maximum write duration"),
            Row("rotate.file.on.partition.change", 29, Short, "Rotate files on partition change"),
            Row("tombstone.encoded.partition", 30, Short, "Tombstone Encoded Partition"),
            Row("s3.schema.partition.affix.type", 31, Long, "Schema Partition Affix Type"),
            Row("s3.send.digest", 32, Short, "S3 Send Upload Message Digest"),
            Row("enable.conditional.writes", 33, Short, "Enable conditional writes during multipart upload"),
        ],
    ),
    // Upstream calls these internal: they are in no group.
    ("", &[Row("max.files.scan.limit", -1, Any, "max.files.scan.limit"), Row("partitioner.max.open.files", -1, Any, "partitioner.max.open.files")]),
    (
        "Keys and Headers",
        &[
            Row("store.kafka.keys", 1, Short, "Store kafka keys"),
            Row("store.kafka.headers", 2, Short, "Store kafka headers"),
            Row("keys.format.class", 3, Any, "Keys format class"),
            Row("headers.format.class", 4, Any, "Headers format class"),
            Row("s3.path.style.access.enabled", 5, Short, "Enable Path Style Access to S3"),
            Row("s3.elastic.buffer.enable", 6, Long, "Enable elastic buffer to staging s3-part"),
            Row("s3.elastic.buffer.init.capacity", 7, Long, "Elastic buffer initial capacity"),
        ],
    ),
    (
        "Storage",
        &[
            Row("storage.class", 1, Any, "Storage Class"),
            Row("topics.dir", 2, Any, "Topics directory"),
            Row("store.url", 3, Any, "Store URL"),
            Row("directory.delim", 4, Long, "Directory Delimiter"),
            Row("file.delim", 5, Long, "File Delimiter"),
        ],
    ),
    (
        "Partitioner",
        &[
            Row("partitioner.class", 1, Long, "Partitioner Class"),
            Row("partition.field.name", 2, Any, "Partition Field Name"),
            Row("partition.duration.ms", 3, Long, "Partition Duration (ms)"),
            Row("path.format", 4, Long, "Path Format"),
            Row("locale", 5, Long, "Locale"),
            Row("timezone", 6, Long, "Timezone"),
            Row("timestamp.extractor", 7, Long, "Timestamp Extractor"),
            Row("timestamp.field", 8, Long, "Record Field for Timestamp Extractor"),
        ],
    ),
];

/// The group of what only the S3 sink calls so.
const S3: &str = "S3";
const S3_CLASSES: &str = "io.confluent.connect.s3.";

/// Where a group stands among the groups; those that upstream does not have come last.
#[must_use]
pub fn rank(group: &str) -> usize {
    GROUPS.iter().position(|(known, _)| *known == group).unwrap_or(GROUPS.len())
}

/// The group and the row of a key of the connector `class`; the row is absent where upstream shows no such key.
#[must_use]
pub fn find(key: &ConfigKey, class: &str) -> (&'static str, Option<Row>) {
    let known = GROUPS.iter().find_map(|(group, rows)| Some((*group, *rows.iter().find(|row| row.0 == key.name)?)));
    match known {
        // The other stores' sinks have these keys too, and groups of their own.
        Some((S3, Row(name, _, width, display))) if !class.starts_with(S3_CLASSES) => (key.group, Some(Row(name, 0, width, display))),
        Some((group, row)) => (group, Some(row)),
        None => (key.group, None),
    }
}

/// Keys that a form shows anew when this one changes.
#[must_use]
pub fn dependents(name: &str) -> &'static [&'static str] {
    match name {
        "partitioner.class" => &["partition.field.name", "partition.duration.ms", "path.format", "locale", "timezone"],
        "store.kafka.keys" => &["keys.format.class"],
        "store.kafka.headers" => &["headers.format.class"],
        _ => &[],
    }
}

/// Values that a form offers for a key of the connector `class`. Others may be taken too.
#[must_use]
pub fn recommended(name: &str, class: &str) -> &'static [&'static str] {
    const FORMATS: &[&str] = &[
        "io.confluent.connect.s3.format.avro.AvroFormat",
        "io.confluent.connect.s3.format.json.JsonFormat",
        "io.confluent.connect.s3.format.bytearray.ByteArrayFormat",
        "io.confluent.connect.s3.format.parquet.ParquetFormat",
    ];
    const HEADER_FORMATS: &[&str] = &[
        "io.confluent.connect.s3.format.avro.AvroFormat",
        "io.confluent.connect.s3.format.json.JsonFormat",
        "io.confluent.connect.s3.format.parquet.ParquetFormat",
    ];
    let is_s3 = class.starts_with(S3_CLASSES);
    match name {
        "format.class" | "keys.format.class" if is_s3 => FORMATS,
        "headers.format.class" if is_s3 => HEADER_FORMATS,
        "storage.class" if is_s3 => &["io.confluent.connect.s3.storage.S3Storage"],
        "partitioner.class" => &[
            "io.confluent.connect.storage.partitioner.DefaultPartitioner",
            "io.confluent.connect.storage.partitioner.HourlyPartitioner",
            "io.confluent.connect.storage.partitioner.DailyPartitioner",
            "io.confluent.connect.storage.partitioner.TimeBasedPartitioner",
            "io.confluent.connect.storage.partitioner.FieldPartitioner",
        ],
        "avro.codec" => &["null", "deflate", "snappy", "bzip2"],
        "parquet.codec" => &["none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw"],
        "schema.compatibility" => &["NONE", "BACKWARD", "FORWARD", "FULL"],
        "s3.schema.partition.affix.type" => &["SUFFIX", "PREFIX", "NONE"],
        "s3.ssea.name" => &["AES256", "aws:kms", "aws:kms:dsse"],
        "s3.compression.level" => &["-1", "0", "1", "2", "3", "4", "5", "6", "7", "8"],
        _ => &[],
    }
}

/// True when a form shows the key beside these values: what acts only with another key's value hides with it. `value` looks up the text of a key.
#[must_use]
pub fn is_visible<'a>(name: &str, value: impl Fn(&str) -> Option<&'a str>) -> bool {
    let class = |key: &str| value(key).map_or("", |class| class.rsplit('.').next().unwrap_or(class));
    match name {
        "avro.codec" => class("format.class") == "AvroFormat",
        "parquet.codec" => class("format.class") == "ParquetFormat",
        "keys.format.class" => value("store.kafka.keys") == Some("true"),
        "headers.format.class" => value("store.kafka.headers") == Some("true"),
        "s3.sse.kms.key.id" => value("s3.ssea.name").is_some_and(|name| name.eq_ignore_ascii_case("aws:kms")),
        "partition.field.name" => {
            !matches!(class("partitioner.class"), "DefaultPartitioner" | "TimeBasedPartitioner" | "DailyPartitioner" | "HourlyPartitioner")
        }
        "partition.duration.ms" | "path.format" => {
            !matches!(class("partitioner.class"), "DefaultPartitioner" | "FieldPartitioner" | "DailyPartitioner" | "HourlyPartitioner")
        }
        "locale" | "timezone" => !matches!(class("partitioner.class"), "DefaultPartitioner" | "FieldPartitioner"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_row() {
        let mut names: Vec<&str> = GROUPS.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.0)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn keys_of_a_choice_show_with_the_choice() {
        for (name, key, value, visible) in [
            ("avro.codec", "format.class", "io.confluent.connect.s3.format.avro.AvroFormat", true),
            ("avro.codec", "format.class", "io.confluent.connect.s3.format.json.JsonFormat", false),
            ("parquet.codec", "format.class", "io.confluent.connect.s3.format.parquet.ParquetFormat", true),
            ("keys.format.class", "store.kafka.keys", "true", true),
            ("keys.format.class", "store.kafka.keys", "false", false),
            ("partition.field.name", "partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner", true),
            ("path.format", "partitioner.class", "io.confluent.connect.storage.partitioner.HourlyPartitioner", false),
            ("timezone", "partitioner.class", "io.confluent.connect.storage.partitioner.HourlyPartitioner", true),
            ("path.format", "partitioner.class", "com.example.MyPartitioner", true),
            ("flush.size", "format.class", "anything", true),
        ] {
            assert_eq!(is_visible(name, |asked| (asked == key).then_some(value)), visible, "{name} with {key}={value}");
        }
    }
}
