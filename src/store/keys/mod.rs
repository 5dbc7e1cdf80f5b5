//! The store's configuration keys: upstream's for the S3, GCS and Azure Blob sinks, and ours.
//!
//! Names, types, defaults and groups are those of `io.confluent.connect.s3.S3SinkConnectorConfig` and its siblings. A key whose behaviour is not there is
//! refused by name when it asks for something ([`Check::Only`], [`Check::Custom`]), and taken silently when it asks for nothing.

use crate::connect::config::{Check, ConfigKey, Importance, Type};

pub(super) mod azure;
pub(super) mod s3;

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

const NO_PROVIDER: &str = "Java credential providers cannot be loaded: give keys, or let the environment or the machine's account provide them";
const PROXY_DOC: &str = "HTTP proxy that the store is reached by, as http://host:port; a user and password may stand in it. Default: HTTPS_PROXY and NO_PROXY \
                         in the environment.";

/// A proxy is an `http` or `https` URL with a host.
fn check_proxy(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => Ok(()),
        _ => Err("not the URL of a proxy: write http://host:port".to_owned()),
    }
}

/// Endpoint override, as in upstream's `StorageCommonConfig`; the same key for every cloud.
const STORE_URL: ConfigKey = no_default(key(
    "store.url",
    Type::String,
    "",
    Importance::High,
    "Storage",
    "Endpoint of the store, for stores other than the cloud's own. A missing scheme means https. Default: the cloud's endpoint for the region or account.",
));

/// Keys of the GCS sink.
pub static GCS_KEYS: &[ConfigKey] = &[
    required(key("gcs.bucket.name", Type::String, "", Importance::High, "GCS", "Bucket that files are written to. It must exist.")),
    key(
        "gcs.credentials.path",
        Type::String,
        "",
        Importance::Medium,
        "GCS",
        "File with credentials: a service account's key, or a user's (gcloud auth application-default login). Default: \
         GOOGLE_APPLICATION_CREDENTIALS, gcloud's own file, or the machine's account.",
    ),
    no_default(key("gcs.credentials.json", Type::Password, "", Importance::Medium, "GCS", "The same as JSON text, instead of a file.")),
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
        Check::Range(0, i32::MAX as i64),
    ),
    takes(
        key(
            "gcs.retry.backoff.ms",
            Type::Long,
            "200",
            Importance::Low,
            "GCS",
            "Milliseconds before the first retry; doubling up to 5 s (8 s when more is given), with jitter. When it is not given: 100.",
        ),
        Check::Range(0, i64::MAX),
    ),
    takes(key("gcs.proxy.url", Type::String, "", Importance::Low, "GCS", PROXY_DOC), Check::Custom(check_proxy)),
    no_default(key("gcs.proxy.user", Type::String, "", Importance::Low, "GCS", "The proxy's user, instead of one in the URL.")),
    no_default(key("gcs.proxy.password", Type::Password, "", Importance::Low, "GCS", "The proxy's password, instead of one in the URL.")),
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
