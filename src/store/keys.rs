//! The store's configuration keys: upstream's for the S3, GCS and Azure Blob sinks, and ours.
//!
//! Names, types, defaults and groups are those of `io.confluent.connect.s3.S3SinkConnectorConfig` and its siblings. A key whose behaviour is not there is
//! refused by name when it asks for something ([`Check::Only`]), and taken silently when it asks for nothing.

use crate::connect::config::{Check, ConfigKey, Importance, Type};

/// Prefix of the options that go to the store's client as they are: `lakehead.store.option.aws_region=…`.
pub const OPTION_PREFIX: &str = "lakehead.store.option.";

const fn key(name: &'static str, kind: Type, default: &'static str, importance: Importance, group: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default: Some(default), required: false, importance, group, doc, check: Check::Any }
}

const fn required(key: ConfigKey) -> ConfigKey {
    ConfigKey { default: None, required: true, check: Check::NotBlank, ..key }
}

const fn no_default(key: ConfigKey) -> ConfigKey {
    ConfigKey { default: None, ..key }
}

const fn takes(key: ConfigKey, check: Check) -> ConfigKey {
    ConfigKey { check, ..key }
}

const NO_SSE: &str = "encryption headers are not sent yet: set the bucket's default encryption instead";
const NO_PROXY: &str = "this sink does not use its own HTTP proxy yet: set HTTPS_PROXY in the worker's environment instead";
const NO_TAGS: &str = "objects are not tagged yet";
const NO_PROVIDER: &str = "Java credential providers cannot be loaded: give keys, or let the environment or the machine's role provide them";

/// Endpoint override, as in upstream's `StorageCommonConfig`; the same key for every cloud.
const STORE_URL: ConfigKey = no_default(key(
    "store.url",
    Type::String,
    "",
    Importance::High,
    "Storage",
    "Endpoint of the store, for stores other than the cloud's own. A missing scheme means https. Default: the cloud's endpoint for the region or account.",
));

/// Keys of the S3 sink.
pub static S3_KEYS: &[ConfigKey] = &[
    required(key("s3.bucket.name", Type::String, "", Importance::High, "S3", "Bucket that files are written to. It must exist.")),
    key("s3.region", Type::String, "us-west-2", Importance::Medium, "S3", "Region of the bucket."),
    takes(
        key(
            "s3.part.size",
            Type::Int,
            "26214400",
            Importance::High,
            "S3",
            "Bytes of each part of a multipart upload. When it is not given, parts have 8 MiB: a part waits in memory until it is whole.",
        ),
        Check::Range(5_242_880, 2_147_483_647),
    ),
    takes(
        key(
            "s3.credentials.provider.class",
            Type::Class,
            "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
            Importance::Low,
            "S3",
            "Upstream's credential provider. Without keys, credentials come from the environment, a web identity token, the container or the machine's role.",
        ),
        Check::Only(
            &[
                "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
                "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
                "io.confluent.connect.s3.auth.DefaultCredentialsProvider",
                "",
            ],
            NO_PROVIDER,
        ),
    ),
    key(
        "aws.access.key.id",
        Type::String,
        "",
        Importance::High,
        "S3",
        "Access key; used when the secret key is given too. Default: the environment's or the machine's.",
    ),
    no_default(key("aws.secret.access.key", Type::Password, "", Importance::High, "S3", "Secret of the access key.")),
    takes(key("s3.ssea.name", Type::String, "", Importance::Low, "S3", "Server-side encryption algorithm."), Check::Only(&[""], NO_SSE)),
    takes(no_default(key("s3.sse.customer.key", Type::Password, "", Importance::Low, "S3", "Customer key of SSE-C.")), Check::Only(&[""], NO_SSE)),
    takes(key("s3.sse.kms.key.id", Type::String, "", Importance::Low, "S3", "Key of SSE-KMS."), Check::Only(&[""], NO_SSE)),
    takes(
        no_default(key("s3.acl.canned", Type::String, "", Importance::Low, "S3", "Canned ACL of each object.")),
        Check::Only(&["", "bucket-owner-full-control", "private"], "ACL headers are not sent: objects belong to the bucket's owner (S3 Object Ownership)"),
    ),
    takes(
        key("s3.wan.mode", Type::Boolean, "false", Importance::Medium, "S3", "S3 Transfer Acceleration."),
        Check::Only(&["false"], "transfer acceleration is not there yet: set store.url to the accelerated endpoint and s3.path.style.access.enabled to false"),
    ),
    key("s3.path.style.access.enabled", Type::Boolean, "true", Importance::Low, "S3", "True: the bucket is in the URL's path; false: in its host name."),
    takes(
        key(
            "s3.part.retries",
            Type::Int,
            "3",
            Importance::Medium,
            "S3",
            "Taken for upstream's sake: transient errors are retried for as long as they last, and shown in the task's status meanwhile.",
        ),
        Check::Range(0, 2_147_483_647),
    ),
    takes(
        key(
            "s3.retry.backoff.ms",
            Type::Long,
            "200",
            Importance::Low,
            "S3",
            "Milliseconds to wait before the first retry; doubling up to 10 s, with jitter. When it is not given: 100.",
        ),
        Check::Range(0, i64::MAX),
    ),
    key(
        "s3.send.digest",
        Type::Boolean,
        "false",
        Importance::Low,
        "S3",
        "Taken for upstream's sake: every request's body is covered by SHA-256 or a CRC in any case.",
    ),
    key(
        "s3.http.send.expect.continue",
        Type::Boolean,
        "true",
        Importance::Low,
        "S3",
        "Taken for upstream's sake: requests are sent without waiting for 100-continue.",
    ),
    takes(key("s3.proxy.url", Type::String, "", Importance::Low, "S3", "HTTP proxy."), Check::Only(&[""], NO_PROXY)),
    takes(no_default(key("s3.proxy.user", Type::String, "", Importance::Low, "S3", "The proxy's user.")), Check::Only(&[""], NO_PROXY)),
    takes(no_default(key("s3.proxy.password", Type::Password, "", Importance::Low, "S3", "The proxy's password.")), Check::Only(&["", "[hidden]"], NO_PROXY)),
    takes(key("s3.object.tagging", Type::Boolean, "false", Importance::Low, "S3", "Tags on each object."), Check::Only(&["false"], NO_TAGS)),
    takes(key("s3.object.tagging.key.value.pairs", Type::List, "", Importance::Low, "S3", "More tags."), Check::Only(&[""], NO_TAGS)),
    takes(
        key("s3.object.behavior.on.tagging.error", Type::String, "ignore", Importance::Low, "S3", "Without tagging, without effect."),
        Check::OneOfIgnoreCase(&["ignore", "fail"]),
    ),
    key("s3.elastic.buffer.enable", Type::Boolean, "false", Importance::Low, "S3", "Taken for upstream's sake: no buffer is larger than the bytes in it."),
    takes(key("s3.elastic.buffer.init.capacity", Type::Int, "131072", Importance::Low, "S3", "Taken for upstream's sake."), Check::Range(4096, 2_147_483_647)),
    STORE_URL,
];

/// Keys of the GCS sink.
pub static GCS_KEYS: &[ConfigKey] = &[
    required(key("gcs.bucket.name", Type::String, "", Importance::High, "GCS", "Bucket that files are written to. It must exist.")),
    key(
        "gcs.credentials.path",
        Type::String,
        "",
        Importance::Medium,
        "GCS",
        "File with a service account's key. Default: GOOGLE_APPLICATION_CREDENTIALS, or the machine's account.",
    ),
    no_default(key("gcs.credentials.json", Type::Password, "", Importance::Medium, "GCS", "A service account's key as JSON text, instead of a file.")),
    takes(
        no_default(key("gcs.credentials.provider.class", Type::Class, "", Importance::Low, "GCS", "Upstream's credential provider.")),
        Check::Only(&[""], NO_PROVIDER),
    ),
    takes(
        key(
            "gcs.part.size",
            Type::Int,
            "26214400",
            Importance::High,
            "GCS",
            "Bytes of each part of a multipart upload. When it is not given, parts have 8 MiB.",
        ),
        Check::Range(5_242_880, 2_147_483_647),
    ),
    takes(
        key("gcs.part.retries", Type::Int, "3", Importance::Medium, "GCS", "Taken for upstream's sake: transient errors are retried for as long as they last."),
        Check::Range(0, 2_147_483_647),
    ),
    takes(
        key(
            "gcs.retry.backoff.ms",
            Type::Long,
            "200",
            Importance::Low,
            "GCS",
            "Milliseconds before the first retry; doubling up to 10 s, with jitter. When it is not given: 100.",
        ),
        Check::Range(0, i64::MAX),
    ),
    takes(key("gcs.proxy.url", Type::String, "", Importance::Low, "GCS", "HTTP proxy."), Check::Only(&[""], NO_PROXY)),
    takes(no_default(key("gcs.proxy.user", Type::String, "", Importance::Low, "GCS", "The proxy's user.")), Check::Only(&[""], NO_PROXY)),
    takes(no_default(key("gcs.proxy.password", Type::Password, "", Importance::Low, "GCS", "The proxy's password.")), Check::Only(&["", "[hidden]"], NO_PROXY)),
    STORE_URL,
];

/// Keys of the Azure Blob Storage sink.
pub static AZURE_KEYS: &[ConfigKey] = &[
    required(key("azblob.account.name", Type::String, "", Importance::High, "Azure", "Storage account.")),
    takes(
        key("azblob.container.name", Type::String, "default", Importance::High, "Azure", "Container that files are written to. It must exist."),
        Check::NotBlank,
    ),
    no_default(key(
        "azblob.account.key",
        Type::Password,
        "",
        Importance::High,
        "Azure",
        "The account's key. Default: azblob.sas.token, AZURE_* in the environment, or the machine's identity.",
    )),
    no_default(key("azblob.sas.token", Type::Password, "", Importance::High, "Azure", "A shared access signature, instead of the key.")),
    takes(
        key(
            "azblob.block.size",
            Type::Int,
            "26214400",
            Importance::High,
            "Azure",
            "Bytes of each block of an upload. When it is not given, blocks have 8 MiB.",
        ),
        Check::Range(5_242_880, 104_857_600),
    ),
    takes(
        key("azblob.retry.type", Type::String, "EXPONENTIAL", Importance::Low, "Azure", "Waits between retries: EXPONENTIAL doubles them, FIXED does not."),
        Check::OneOfIgnoreCase(&["EXPONENTIAL", "FIXED"]),
    ),
    takes(
        key(
            "azblob.retry.retries",
            Type::Int,
            "3",
            Importance::Low,
            "Azure",
            "Taken for upstream's sake: transient errors are retried for as long as they last.",
        ),
        Check::Range(0, 2_147_483_647),
    ),
    takes(
        key("azblob.retry.backoff.ms", Type::Long, "4000", Importance::Low, "Azure", "Milliseconds before the first retry. When it is not given: 100."),
        Check::Range(0, i64::MAX),
    ),
    takes(
        key("azblob.retry.max.backoff.ms", Type::Long, "120000", Importance::Low, "Azure", "Longest wait in milliseconds. When it is not given: 10000."),
        Check::Range(1, i64::MAX),
    ),
    takes(
        no_default(key("azblob.retry.secondary.host", Type::String, "", Importance::Low, "Azure", "Secondary host for reads.")),
        Check::Only(&[""], "a sink does not read from a secondary host"),
    ),
    takes(
        key(
            "azblob.connection.timeout.ms",
            Type::Long,
            "30000",
            Importance::Medium,
            "Azure",
            "Milliseconds within which a connection must stand. When it is not given: 5000.",
        ),
        Check::Range(1, 2_147_483_647),
    ),
    takes(key("azblob.proxy.url", Type::String, "", Importance::Low, "Azure", "HTTP proxy."), Check::Only(&[""], NO_PROXY)),
    takes(no_default(key("azblob.proxy.user", Type::String, "", Importance::Low, "Azure", "The proxy's user.")), Check::Only(&[""], NO_PROXY)),
    takes(
        no_default(key("azblob.proxy.password", Type::Password, "", Importance::Low, "Azure", "The proxy's password.")),
        Check::Only(&["", "[hidden]"], NO_PROXY),
    ),
    STORE_URL,
];

/// Our own keys: one URL instead of a cloud's keys. Keys that begin with [`OPTION_PREFIX`] belong to them.
pub static URL_KEYS: &[ConfigKey] = &[
    required(key(
        "lakehead.store.url",
        Type::String,
        "",
        Importance::High,
        "Storage",
        "Where files go: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, abfss://container@account.dfs.core.windows.net/prefix, file:///folder \
         or the path of a folder, which is made when it is missing.",
    )),
    takes(
        key(
            "lakehead.store.part.size",
            Type::Int,
            "8388608",
            Importance::Low,
            "Storage",
            "Bytes of each part of a multipart upload; a part waits in memory until it is whole.",
        ),
        Check::Range(5_242_880, 2_147_483_647),
    ),
];
