//! The stores' keys, and what they are called by the keys that open a store here.

use super::Cloud;
use crate::connect::Props;
use crate::connect::config::{ConfigError, Values};
use crate::store::urls::{OPTION_PREFIX, StoreKind};

/// A store's key, what it is called here, and the mode of authentication in which it acts (in lower case; empty = in every mode).
const NAMES: &[(&str, &str, &str)] = &[
    ("connect.s3.aws.access.key", "aws.access.key.id", "credentials"),
    ("connect.s3.aws.secret.key", "aws.secret.access.key", "credentials"),
    ("connect.s3.aws.region", "s3.region", ""),
    ("connect.s3.custom.endpoint", "store.url", ""),
    ("connect.s3.http.retry.interval", "s3.retry.backoff.ms", ""),
    ("connect.gcpstorage.gcp.credentials", "gcs.credentials.json", "credentials"),
    ("connect.gcpstorage.gcp.file", "gcs.credentials.path", "file"),
    ("connect.gcpstorage.endpoint", "store.url", ""),
    ("connect.gcpstorage.http.retry.interval", "gcs.retry.backoff.ms", ""),
    ("connect.datalake.azure.account.name", "azblob.account.name", ""),
    ("connect.datalake.azure.account.key", "azblob.account.key", "credentials"),
    ("connect.datalake.azure.connection.string", "lakehead.azure.connection.string", "connectionstring"),
    ("connect.datalake.endpoint", "store.url", ""),
    ("connect.datalake.http.retry.interval", "azblob.retry.backoff.ms", ""),
];

/// Upstream's default.
const REGION: &str = "us-east-1";

impl Cloud {
    fn mode_key(self) -> &'static str {
        match self {
            Self::S3 => "connect.s3.aws.auth.mode",
            Self::Gcs => "connect.gcpstorage.gcp.auth.mode",
            Self::DataLake => "connect.datalake.azure.auth.mode",
        }
    }
}

fn text<'a>(props: &'a Props, name: &str) -> Option<&'a str> {
    props.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn mode(cloud: Cloud, props: &Props) -> String {
    text(props, cloud.mode_key()).unwrap_or("default").to_ascii_lowercase()
}

/// The configuration in the words of the store's own keys, for the bucket and the prefix of a statement.
pub(super) fn translated(cloud: Cloud, props: &Props, bucket: &str, prefix: &str) -> (StoreKind, Props) {
    let mode = mode(cloud, props);
    let acts = |from: &str, only: &str| from.starts_with(cloud.prefix()) && (only.is_empty() || only == mode);
    let given = NAMES.iter().filter(|(from, _, only)| acts(from, only)).filter_map(|(from, to, _)| Some(((*to).to_owned(), text(props, from)?.to_owned())));
    let mut found: Props = given.collect();
    let mut set = |key: &str, value: String| found.insert(key.to_owned(), value);
    // where the check before the first record goes
    set("topics.dir", prefix.trim_matches('/').to_owned());
    let kind = match cloud {
        Cloud::S3 => {
            set("s3.bucket.name", bucket.to_owned());
            set("s3.path.style.access.enabled", is_path_style(props, bucket).to_string());
            if text(props, "connect.s3.aws.region").is_none() {
                set("s3.region", REGION.to_owned());
            }
            StoreKind::S3
        }
        Cloud::Gcs => {
            set("gcs.bucket.name", bucket.to_owned());
            if mode == "none" {
                set(&format!("{OPTION_PREFIX}google_skip_signature"), "true".to_owned());
            }
            StoreKind::Gcs
        }
        Cloud::DataLake => {
            set("azblob.container.name", bucket.to_owned());
            if let Some(endpoint) = text(props, "connect.datalake.endpoint") {
                set("store.url", endpoint.replace(".dfs.", ".blob."));
            }
            if let Some(account) = account(props, &mode) {
                set("azblob.account.name", account);
            }
            StoreKind::AzureBlob
        }
    };
    (kind, found)
}

/// As upstream; the SDK also puts a bucket into the path where it cannot be part of a host's name.
fn is_path_style(props: &Props, bucket: &str) -> bool {
    let is_true = |name: &str| text(props, name).map(|value| value.eq_ignore_ascii_case("true"));
    let endpoint = text(props, "connect.s3.custom.endpoint").unwrap_or("");
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest).split('/').next().unwrap_or("");
    let is_address = host.starts_with('[') || host.split(':').next().is_some_and(|name| name.parse::<std::net::Ipv4Addr>().is_ok());
    is_true("connect.s3.path.style.access").or_else(|| is_true("connect.s3.vhost.bucket")).unwrap_or(false) || is_address || bucket.contains('.')
}

/// The account: its key, or what the connection string or the endpoint says.
fn account(props: &Props, mode: &str) -> Option<String> {
    let named = text(props, "connect.datalake.azure.account.name");
    let first_of_host = |url: &str| Some(url.split_once("://")?.1.split(['.', ':', '/']).next()?.to_owned()).filter(|name| !name.is_empty());
    let connection = text(props, "connect.datalake.azure.connection.string").filter(|_| mode == "connectionstring").unwrap_or("");
    let part = |wanted: &str| connection.split(';').filter_map(|part| part.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
    let in_connection = part("AccountName").map(|(_, value)| value.trim().to_owned()).or_else(|| first_of_host(part("BlobEndpoint")?.1.trim()));
    in_connection.or_else(|| named.map(str::to_owned)).or_else(|| first_of_host(text(props, "connect.datalake.endpoint")?))
}

/// A problem of the store's keys, under the key that the user wrote.
pub(super) fn untranslated(cloud: Cloud, error: ConfigError) -> ConfigError {
    let known = NAMES.iter().find(|(from, to, _)| from.starts_with(cloud.prefix()) && *to == error.key).map(|(from, ..)| (*from).to_owned());
    let is_bucket = ["s3.bucket.name", "gcs.bucket.name", "azblob.container.name"].contains(&error.key.as_str());
    match known.or_else(|| is_bucket.then(|| format!("{}.kcql", cloud.prefix()))) {
        Some(name) => ConfigError::new(name.clone(), error.message.replace(&error.key, &name)),
        None => error,
    }
}

/// What a mode of authentication needs and does not have.
pub(super) fn problems(cloud: Cloud, values: Values<'_>) -> Vec<ConfigError> {
    let missing = |name: &str| values.non_blank(name).is_none();
    let absent = |name: &str| ConfigError::new(name, format!("No `{name}` specified in configuration; {} asks for it", cloud.mode_key()));
    let needed: &[&str] = match (cloud, mode(cloud, values.props).as_str()) {
        (Cloud::S3, "credentials") => &["connect.s3.aws.access.key", "connect.s3.aws.secret.key"],
        (Cloud::Gcs, "credentials") => &["connect.gcpstorage.gcp.credentials"],
        (Cloud::Gcs, "file") => &["connect.gcpstorage.gcp.file"],
        (Cloud::DataLake, "credentials") => &["connect.datalake.azure.account.name", "connect.datalake.azure.account.key"],
        (Cloud::DataLake, "connectionstring") => &["connect.datalake.azure.connection.string"],
        (Cloud::DataLake, _) if missing("connect.datalake.endpoint") => &["connect.datalake.azure.account.name"],
        _ => &[],
    };
    let mut errors: Vec<ConfigError> = needed.iter().filter(|name| missing(name)).map(|name| absent(name)).collect();
    if cloud == Cloud::S3 {
        errors.extend(DEPRECATED.iter().filter(|(old, _)| values.props.contains_key(*old)).map(|(old, new)| {
            let message = format!(
                "The following properties have been deprecated: `{old}`. Please change to using the keys prefixed by `connect.s3`. Change `{old}` to `{new}`."
            );
            ConfigError::new(*old, message)
        }));
    }
    errors
}

/// Keys that upstream refuses, and what they are called now.
const DEPRECATED: &[(&str, &str)] = &[
    ("aws.auth.mode", "connect.s3.aws.auth.mode"),
    ("aws.access.key", "connect.s3.aws.access.key"),
    ("aws.secret.key", "connect.s3.aws.secret.key"),
    ("aws.vhost.bucket", "connect.s3.vhost.bucket"),
    ("aws.custom.endpoint", "connect.s3.custom.endpoint"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn props(settings: &[(&str, &str)]) -> Props {
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn stores_in_their_own_words() {
        let connection = "AccountName=acme;AccountKey=a2V5";
        for (cloud, settings, kind, wanted) in [
            (
                Cloud::S3,
                &[("connect.s3.aws.auth.mode", "credentials"), ("connect.s3.aws.access.key", "AK"), ("connect.s3.aws.secret.key", "SK")][..],
                StoreKind::S3,
                &[
                    ("aws.access.key.id", "AK"),
                    ("aws.secret.access.key", "SK"),
                    ("s3.bucket.name", "box"),
                    ("s3.path.style.access.enabled", "false"),
                    ("s3.region", "us-east-1"),
                ][..],
            ),
            (
                Cloud::S3,
                &[
                    ("connect.s3.aws.access.key", "AK"),
                    ("connect.s3.aws.region", "eu-west-1"),
                    ("connect.s3.custom.endpoint", "http://minio:9000"),
                    ("connect.s3.vhost.bucket", "true"),
                ],
                StoreKind::S3,
                &[("s3.bucket.name", "box"), ("s3.path.style.access.enabled", "true"), ("s3.region", "eu-west-1"), ("store.url", "http://minio:9000")],
            ),
            (
                Cloud::S3,
                &[("connect.s3.custom.endpoint", "http://127.0.0.1:9000"), ("connect.s3.vhost.bucket", "false")],
                StoreKind::S3,
                &[("s3.bucket.name", "box"), ("s3.path.style.access.enabled", "true"), ("s3.region", "us-east-1"), ("store.url", "http://127.0.0.1:9000")],
            ),
            (
                Cloud::Gcs,
                &[("connect.gcpstorage.gcp.auth.mode", "File"), ("connect.gcpstorage.gcp.file", "/k.json"), ("connect.gcpstorage.gcp.credentials", "{}")],
                StoreKind::Gcs,
                &[("gcs.bucket.name", "box"), ("gcs.credentials.path", "/k.json")],
            ),
            (
                Cloud::Gcs,
                &[("connect.gcpstorage.gcp.auth.mode", "none"), ("connect.gcpstorage.endpoint", "http://fake:4443")],
                StoreKind::Gcs,
                &[("gcs.bucket.name", "box"), ("lakehead.store.option.google_skip_signature", "true"), ("store.url", "http://fake:4443")],
            ),
            (
                Cloud::DataLake,
                &[("connect.datalake.endpoint", "https://acme.dfs.core.windows.net")],
                StoreKind::AzureBlob,
                &[("azblob.account.name", "acme"), ("azblob.container.name", "box"), ("store.url", "https://acme.blob.core.windows.net")],
            ),
            (
                Cloud::DataLake,
                &[("connect.datalake.azure.auth.mode", "ConnectionString"), ("connect.datalake.azure.connection.string", connection)],
                StoreKind::AzureBlob,
                &[("azblob.account.name", "acme"), ("azblob.container.name", "box"), ("lakehead.azure.connection.string", connection)],
            ),
        ] {
            let (found_kind, mut found) = translated(cloud, &props(settings), "box", "p/q/");
            assert_eq!((found_kind, found.remove("topics.dir").as_deref()), (kind, Some("p/q")));
            assert_eq!(found, props(wanted), "{settings:?}");
            assert_eq!(crate::store::urls::validate(kind, &found), [], "{settings:?}");
        }
    }
}
