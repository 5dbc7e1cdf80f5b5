//! The stores' keys of Aiven's sinks, and what they are called by the keys that open a store here.

use super::Cloud;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type};
use crate::store::urls::StoreKind;

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Medium, group: "Store", doc, check }
}

const fn required(key: ConfigKey) -> ConfigKey {
    ConfigKey { required: true, importance: Importance::High, check: Check::NotBlank, ..key }
}

const OLD: &str = "Old name of the key with dots.";
const RETRIES: &str = "Taken for upstream's sake: transient errors are retried for as long as they last.";
const AGENT: &str = "Taken for upstream's sake: requests carry this program's own user agent.";

static S3_KEYS: &[ConfigKey] = &[
    key("aws.access.key.id", Type::Password, None, Check::Any, "Access key; without one the environment or the machine's role is asked."),
    key("aws.secret.access.key", Type::Password, None, Check::Any, "Secret of the access key."),
    key("aws.credentials.provider", Type::Class, None, Check::Any, "Upstream's credential provider; the default chain is taken."),
    key("aws.s3.bucket.name", Type::String, None, Check::Any, "Bucket that files are written to. It must exist."),
    key("aws.s3.region", Type::String, Some("us-east-1"), Check::Any, "Region of the bucket."),
    key("aws.s3.endpoint", Type::String, None, Check::Any, "Endpoint, for stores other than Amazon's."),
    key("aws.s3.part.size.bytes", Type::Int, Some("5242880"), Check::Range(1, 2_000_000_000), "Bytes of a part of an upload; at least 5 MiB are sent at once."),
    key("aws.s3.sse.algorithm", Type::String, None, Check::Any, "Server-side encryption algorithm."),
    key("aws.sts.role.arn", Type::String, None, Check::Any, "Role to assume."),
    key("aws.sts.role.external.id", Type::String, None, Check::Any, "External id of the role."),
    key("aws.sts.role.session.name", Type::String, None, Check::Any, "Name of the session."),
    key("aws.sts.role.session.duration", Type::Int, Some("3600"), Check::Range(900, 43_200), "Seconds of a role's session; it is renewed before its end."),
    key("aws.sts.config.endpoint", Type::String, Some(GLOBAL_STS), Check::Any, "Endpoint that roles are asked of; the default asks the region's own."),
    key("aws.s3.backoff.delay.ms", Type::Long, Some("100"), Check::Range(1, i64::MAX), "Milliseconds before the first retry."),
    key("aws.s3.backoff.max.delay.ms", Type::Long, Some("20000"), Check::Range(1, i64::MAX), RETRIES),
    key("aws.s3.backoff.max.retries", Type::Int, Some("3"), Check::Range(1, 30), RETRIES),
    key("aws_access_key_id", Type::Password, None, Check::Any, OLD),
    key("aws_secret_access_key", Type::Password, None, Check::Any, OLD),
    key("aws_s3_bucket", Type::String, None, Check::Any, OLD),
    key("aws_s3_endpoint", Type::String, None, Check::Any, OLD),
    key("aws_s3_region", Type::String, None, Check::Any, OLD),
];

static GCS_KEYS: &[ConfigKey] = &[
    required(key("gcs.bucket.name", Type::String, None, Check::Any, "Bucket that files are written to. It must exist.")),
    key("gcs.credentials.path", Type::String, None, Check::Any, "File with a service account's key."),
    key("gcs.credentials.json", Type::Password, None, Check::Any, "A service account's key as JSON text."),
    key(
        "gcs.credentials.default",
        Type::Boolean,
        None,
        Check::Any,
        "True asks the environment for credentials, as happens when nothing is given. False needs gcs.credentials.path or gcs.credentials.json.",
    ),
    key("gcs.endpoint", Type::String, None, Check::Any, "Endpoint, for stores other than Google's."),
    key("gcs.object.content.encoding", Type::String, None, Check::Only(&[""], "objects carry no Content-Encoding yet"), "Content-Encoding of objects."),
    key("gcs.user.agent", Type::String, None, Check::Any, AGENT),
    key(
        "file.max.bytes",
        Type::Long,
        Some("0"),
        Check::Only(&["0"], "files end by time and by file.max.records; memory is limited as a whole"),
        "Bytes of a file.",
    ),
    key("gcs.retry.backoff.initial.delay.ms", Type::Long, Some("1000"), Check::Range(0, i64::MAX), "Milliseconds before the first retry."),
    key("gcs.retry.backoff.max.delay.ms", Type::Long, Some("32000"), Check::Range(0, i64::MAX), RETRIES),
    key("gcs.retry.backoff.delay.multiplier", Type::String, Some("2.0"), Check::Any, RETRIES),
    key("gcs.retry.backoff.max.attempts", Type::Int, Some("6"), Check::Range(0, i32::MAX as i64), RETRIES),
    key("gcs.retry.backoff.total.timeout.ms", Type::Long, Some("50000"), Check::Range(0, 86_400_000), RETRIES),
];

static AZURE_KEYS: &[ConfigKey] = &[
    required(key(
        "azure.storage.connection.string",
        Type::Password,
        None,
        Check::Any,
        "Connection string: AccountName with AccountKey or SharedAccessSignature.",
    )),
    required(key("azure.storage.container.name", Type::String, None, Check::Any, "Container that files are written to. It must exist.")),
    key("azure.user.agent", Type::String, None, Check::Any, AGENT),
    key("azure.retry.backoff.initial.delay.ms", Type::Long, Some("1000"), Check::Range(0, i64::MAX), "Milliseconds before the first retry."),
    key("azure.retry.backoff.max.delay.ms", Type::Long, Some("32000"), Check::Range(0, i64::MAX), "Longest wait in milliseconds."),
    key("azure.retry.backoff.max.attempts", Type::Int, Some("6"), Check::Range(0, i32::MAX as i64), RETRIES),
];

/// The keys of a cloud.
pub(super) fn keys(cloud: Cloud) -> &'static [ConfigKey] {
    match cloud {
        Cloud::S3 => S3_KEYS,
        Cloud::Gcs => GCS_KEYS,
        Cloud::Azure => AZURE_KEYS,
    }
}

/// Aiven's key (the preferred name first) and the store's.
const NAMES: &[(&str, &str)] = &[
    ("aws.access.key.id", "aws.access.key.id"),
    ("aws_access_key_id", "aws.access.key.id"),
    ("aws.secret.access.key", "aws.secret.access.key"),
    ("aws_secret_access_key", "aws.secret.access.key"),
    ("aws.s3.bucket.name", "s3.bucket.name"),
    ("aws_s3_bucket", "s3.bucket.name"),
    ("aws.s3.region", "s3.region"),
    ("aws_s3_region", "s3.region"),
    ("aws.s3.endpoint", "store.url"),
    ("aws_s3_endpoint", "store.url"),
    ("aws.s3.sse.algorithm", "s3.ssea.name"),
    ("aws.s3.backoff.delay.ms", "s3.retry.backoff.ms"),
    ("aws.sts.role.arn", "s3.credentials.provider.sts.role.arn"),
    ("aws.sts.role.external.id", "s3.credentials.provider.sts.role.external.id"),
    ("aws.sts.role.session.name", "s3.credentials.provider.sts.role.session.name"),
    ("aws.sts.role.session.duration", "s3.credentials.provider.sts.role.session.duration"),
    ("aws.sts.config.endpoint", "lakehead.s3.sts.endpoint"),
    ("aws.credentials.provider", "s3.credentials.provider.class"),
    ("aws.s3.part.size.bytes", "s3.part.size"),
    ("gcs.bucket.name", "gcs.bucket.name"),
    ("gcs.credentials.path", "gcs.credentials.path"),
    ("gcs.credentials.json", "gcs.credentials.json"),
    ("gcs.endpoint", "store.url"),
    ("gcs.retry.backoff.initial.delay.ms", "gcs.retry.backoff.ms"),
    ("azure.storage.container.name", "azblob.container.name"),
    ("azure.retry.backoff.initial.delay.ms", "azblob.retry.backoff.ms"),
    ("azure.retry.backoff.max.delay.ms", "azblob.retry.max.backoff.ms"),
];

const CONNECTION_STRING: &str = "azure.storage.connection.string";

/// The option that sends the header whatever else is set; Confluent's key sends none without a key's id.
const KMS_BY_NAME: &str = "lakehead.store.option.aws_server_side_encryption";

/// Upstream's default: the region's own endpoint does the same.
const GLOBAL_STS: &str = "https://sts.amazonaws.com";
const ASSUME_ROLE: &str = "io.confluent.connect.s3.auth.AwsAssumeRoleCredentialsProvider";

/// The configuration in the words of the store's own keys.
pub(super) fn translated(cloud: Cloud, props: &Props) -> (StoreKind, Props) {
    let is_default_chain = |class: &str| class.ends_with("DefaultCredentialsProvider") || class.ends_with("DefaultAWSCredentialsProviderChain");
    let mut found = Props::new();
    for (from, to) in NAMES.iter().filter(|(from, _)| keys(cloud).iter().any(|key| key.name == *from)) {
        let Some(value) = props.get(*from).map(|value| value.trim()).filter(|value| !value.is_empty()) else { continue };
        let value = match *from {
            "aws.credentials.provider" if is_default_chain(value) => continue,
            "aws.sts.config.endpoint" if value == GLOBAL_STS => continue,
            // upstream names the algorithm on each object, also without a key's id
            "aws.s3.sse.algorithm" if value == "aws:kms" => {
                found.insert(KMS_BY_NAME.to_owned(), value.to_owned());
                continue;
            }
            // an upload's parts have at least 5 MiB: what is smaller is sent at once
            "aws.s3.part.size.bytes" => value.parse::<i64>().map_or(value.to_owned(), |bytes| bytes.max(5_242_880).to_string()),
            _ => value.to_owned(),
        };
        found.entry((*to).to_owned()).or_insert(value);
    }
    // where the check before the first record goes
    found.insert("topics.dir".to_owned(), String::new());
    found.extend(props.get("topics").map(|topics| ("topics".to_owned(), topics.clone())));
    match cloud {
        Cloud::S3 => {
            found.entry("s3.region".to_owned()).or_insert_with(|| "us-east-1".to_owned());
            if found.contains_key("s3.credentials.provider.sts.role.arn") {
                found.insert("s3.credentials.provider.class".to_owned(), ASSUME_ROLE.to_owned());
            }
            (StoreKind::S3, found)
        }
        Cloud::Gcs => (StoreKind::Gcs, found),
        Cloud::Azure => {
            found.extend(connection_string(props.get("azure.storage.connection.string").map_or("", String::as_str)).unwrap_or_default());
            (StoreKind::AzureBlob, found)
        }
    }
}

/// A problem of the store's keys, under the key that the user wrote. What a connection string holds is never quoted: all of it is a secret.
pub(super) fn untranslated(cloud: Cloud, props: &Props, error: ConfigError) -> ConfigError {
    if cloud == Cloud::Azure {
        let message = match error.key.as_str() {
            "store.url" => Some("the endpoint in it (BlobEndpoint, or DefaultEndpointsProtocol and EndpointSuffix) is not the http or https URL of a store"),
            "azblob.account.name" => {
                Some("the account in it (AccountName, or the first part of BlobEndpoint's host) needs 3 to 24 lower-case letters and digits")
            }
            "azblob.account.key" | "azblob.sas.token" => Some("the AccountKey or SharedAccessSignature in it cannot be used"),
            _ => None,
        };
        if let Some(message) = message {
            return ConfigError::new(CONNECTION_STRING, format!("Invalid value [hidden] for configuration {CONNECTION_STRING}: {message}"));
        }
    }
    let mut names = NAMES.iter().filter(|(from, to)| *to == error.key && keys(cloud).iter().any(|key| key.name == *from)).map(|(from, _)| *from);
    let first = names.clone().next();
    let Some(name) = names.find(|name| props.contains_key(*name)).or(first) else {
        return if error.key.starts_with("s3.credentials.") { ConfigError::new("aws.sts.role.arn", error.message) } else { error };
    };
    ConfigError::new(name, error.message.replace(&error.key, name))
}

/// What no key can say alone.
pub(super) fn problems(cloud: Cloud, props: &Props) -> Vec<ConfigError> {
    let is_set = |name: &str| props.get(name).is_some_and(|value| !value.trim().is_empty());
    match cloud {
        Cloud::S3 if !is_set("aws.s3.bucket.name") && !is_set("aws_s3_bucket") => {
            vec![ConfigError::new("aws.s3.bucket.name", "Neither aws.s3.bucket.name nor aws_s3_bucket properties have been set")]
        }
        Cloud::Gcs
            if props.get("gcs.credentials.default").is_some_and(|text| text.trim().eq_ignore_ascii_case("false"))
                && !is_set("gcs.credentials.path")
                && !is_set("gcs.credentials.json") =>
        {
            let message = "gcs.credentials.default=false leaves no credentials: give gcs.credentials.path or gcs.credentials.json, or leave it out to ask the environment";
            vec![ConfigError::new("gcs.credentials.default", message)]
        }
        Cloud::Gcs
            if ["gcs.credentials.default", "gcs.credentials.json", "gcs.credentials.path"].iter().filter(|name| props.contains_key(**name)).count() > 1 =>
        {
            let message = "Only one of gcs.credentials.default, gcs.credentials.json, and gcs.credentials.path can be non-null.";
            vec![ConfigError::new("gcs.credentials.json", message)]
        }
        Cloud::Azure if is_set("azure.storage.connection.string") => {
            let parsed = connection_string(props.get("azure.storage.connection.string").map_or("", String::as_str));
            parsed.err().map(|message| ConfigError::new("azure.storage.connection.string", message)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A connection string's account, secret and endpoint. The error never quotes it: it is a secret.
fn connection_string(text: &str) -> Result<Props, String> {
    let parts: Props = text.split(';').filter_map(|part| part.split_once('=')).map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
    let get = |name: &str| parts.get(name).filter(|value| !value.is_empty());
    let invalid = |message: &str| Err(format!("Invalid value [hidden] for configuration azure.storage.connection.string: {message}"));
    let mut found = Props::new();
    let endpoint = get("BlobEndpoint").cloned();
    let account = get("AccountName").cloned().or_else(|| Some(endpoint.as_ref()?.split_once("://")?.1.split('.').next()?.to_owned()));
    let Some(account) = account else { return invalid("it has no AccountName") };
    match (get("AccountKey"), get("SharedAccessSignature")) {
        (Some(key), _) => found.insert("azblob.account.key".to_owned(), key.clone()),
        (None, Some(token)) => found.insert("azblob.sas.token".to_owned(), token.clone()),
        (None, None) => return invalid("it has neither AccountKey nor SharedAccessSignature"),
    };
    let own_cloud = get("EndpointSuffix").filter(|suffix| *suffix != "core.windows.net");
    let protocol = get("DefaultEndpointsProtocol").map_or("https", String::as_str);
    let endpoint = endpoint.or_else(|| own_cloud.map(|suffix| format!("{protocol}://{account}.blob.{suffix}")));
    found.extend(endpoint.map(|url| ("store.url".to_owned(), url)));
    found.insert("azblob.account.name".to_owned(), account);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn keys_by_the_stores_names() {
        for (cloud, given, kind, wanted) in [
            (
                Cloud::S3,
                &[("aws.s3.bucket.name", "b"), ("aws_s3_bucket", "old"), ("aws.s3.endpoint", "http://x"), ("aws.s3.part.size.bytes", "1000")][..],
                StoreKind::S3,
                &[("s3.bucket.name", "b"), ("s3.part.size", "5242880"), ("s3.region", "us-east-1"), ("store.url", "http://x")][..],
            ),
            (Cloud::S3, &[("aws_s3_bucket", "old"), ("aws.s3.region", "eu-west-1")], StoreKind::S3, &[("s3.bucket.name", "old"), ("s3.region", "eu-west-1")]),
            (
                Cloud::S3,
                &[("aws.sts.role.arn", "arn"), ("aws.sts.role.session.duration", "900")],
                StoreKind::S3,
                &[
                    ("s3.credentials.provider.class", ASSUME_ROLE),
                    ("s3.credentials.provider.sts.role.arn", "arn"),
                    ("s3.credentials.provider.sts.role.session.duration", "900"),
                    ("s3.region", "us-east-1"),
                ],
            ),
            (Cloud::S3, &[("aws.s3.sse.algorithm", "aws:kms")], StoreKind::S3, &[(KMS_BY_NAME, "aws:kms"), ("s3.region", "us-east-1")]),
            (Cloud::S3, &[("aws.s3.sse.algorithm", "AES256")], StoreKind::S3, &[("s3.region", "us-east-1"), ("s3.ssea.name", "AES256")]),
            (Cloud::Gcs, &[("gcs.bucket.name", "b"), ("gcs.endpoint", "http://x")], StoreKind::Gcs, &[("gcs.bucket.name", "b"), ("store.url", "http://x")]),
            (
                Cloud::Azure,
                &[
                    ("azure.storage.container.name", "c"),
                    ("azure.storage.connection.string", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5==;EndpointSuffix=core.windows.net"),
                ],
                StoreKind::AzureBlob,
                &[("azblob.account.key", "a2V5=="), ("azblob.account.name", "a"), ("azblob.container.name", "c")],
            ),
        ] {
            let (found_kind, mut found) = translated(cloud, &props(given));
            found.remove("topics.dir");
            assert_eq!((found_kind, found), (kind, props(wanted)), "{given:?}");
        }
    }

    #[test]
    fn problems_have_the_users_names_and_no_secret() {
        let found = problems(Cloud::Azure, &props(&[("azure.storage.connection.string", "AccountKey=hunter2")]));
        assert!(found[0].message.contains("no AccountName") && !found[0].message.contains("hunter2"), "{found:?}");
        let found = untranslated(
            Cloud::S3,
            &props(&[("aws_s3_endpoint", "ftp://x")]),
            ConfigError::new("store.url", "Invalid value ftp://x for configuration store.url: no"),
        );
        assert_eq!((found.key.as_str(), found.message.as_str()), ("aws_s3_endpoint", "Invalid value ftp://x for configuration aws_s3_endpoint: no"));
        assert_eq!(problems(Cloud::S3, &props(&[]))[0].message, "Neither aws.s3.bucket.name nor aws_s3_bucket properties have been set");
        let found = problems(Cloud::Gcs, &props(&[("gcs.credentials.default", "False")]));
        assert!(found.len() == 1 && found[0].message.starts_with("gcs.credentials.default=false leaves no credentials"), "{found:?}");
        assert_eq!(problems(Cloud::Gcs, &props(&[("gcs.credentials.default", "true")])), []);
        let both = props(&[("gcs.credentials.path", "a"), ("gcs.credentials.default", "true")]);
        assert!(problems(Cloud::Gcs, &both)[0].message.starts_with("Only one of gcs.credentials.default"));
    }
}
