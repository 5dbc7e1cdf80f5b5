//! From a connector's configuration to an [`ObjectSink`].
//!
//! [`StoreKind`] says whose keys are read: upstream's for S3, GCS or Azure Blob Storage, or our `lakehead.store.url`. [`validate`] reports every problem
//! without a network; [`open`] builds the client, without a network too: [`ObjectSink::check`] is what asks the store.
//! No secret appears in an error, a log line or a `Debug` text of what is built here.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreScheme;
use object_store::local::LocalFileSystem;
use url::Url;

use super::client::{Client, Opened, bad_config, endpoint, options};
use super::datalake::{self, BelowFileSystem};
use super::folder::FolderParts;
pub use super::keys::azure::{AZURE_KEYS, DATA_LAKE_KEYS};
pub use super::keys::s3::S3_KEYS;
pub use super::keys::{GCS_KEYS, OPTION_PREFIX, URL_KEYS};
use super::objects::{Backoff, Extras, Flavor, Objects, Place, Tuning};
use super::read::{ObjectReader, PATIENCE};
use super::{ObjectSink, StoreError, StoreErrorKind, azure, gcs, s3};
use crate::connect::config::{self, ConfigError, ConfigKey, Values, without_user_info};
use crate::connect::{Health, Props};

/// Whose keys name the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// `s3.*` and `aws.*` of `io.confluent.connect.s3.S3SinkConnector`.
    S3,
    /// `gcs.*` of `io.confluent.connect.gcs.GcsSinkConnector`.
    Gcs,
    /// `azblob.*` of `io.confluent.connect.azure.blob.AzureBlobStorageSinkConnector`.
    AzureBlob,
    /// `azure.datalake.gen2.*` of `io.confluent.connect.azure.datalake.gen2.AzureDataLakeGen2SinkConnector`.
    AzureDataLake,
    /// `lakehead.store.url`.
    Url,
}

impl StoreKind {
    /// The kind's keys.
    #[must_use]
    pub fn keys(self) -> &'static [ConfigKey] {
        match self {
            Self::S3 => S3_KEYS,
            Self::Gcs => GCS_KEYS,
            Self::AzureBlob => AZURE_KEYS,
            Self::AzureDataLake => DATA_LAKE_KEYS,
            Self::Url => URL_KEYS,
        }
    }

    /// True for keys of the kind that stand in no table: options of the store's client, and settings of a credential provider.
    #[must_use]
    pub fn is_known(self, name: &str) -> bool {
        let of_a_provider = match self {
            Self::S3 => name.starts_with("s3.credentials.provider."),
            Self::Gcs => name.starts_with("gcs.credentials.provider."),
            Self::AzureBlob | Self::AzureDataLake | Self::Url => false,
        };
        of_a_provider || name.starts_with(OPTION_PREFIX)
    }
}

/// Every problem of the store's keys in `props`; other keys are left alone. Pure: no network, no file system.
#[must_use]
pub fn validate(kind: StoreKind, props: &Props) -> Vec<ConfigError> {
    let mut errors = config::check(&[kind.keys()], props, |_| true).errors;
    let values = Values { tables: &[kind.keys()], props };
    if kind != StoreKind::Url
        && let Err(why) = endpoint(values)
    {
        let shown = without_user_info(values.text("store.url"));
        errors.push(ConfigError::new("store.url", format!("Invalid value {shown} for configuration store.url: {why}")));
    }
    match kind {
        StoreKind::S3 => errors.extend(s3::cross_checks(values)),
        StoreKind::Gcs if values.non_blank("gcs.credentials.path").is_some() && values.non_blank("gcs.credentials.json").is_some() => {
            errors.push(ConfigError::new("gcs.credentials.json", "gcs.credentials.path and gcs.credentials.json are both set: keep one of them"));
        }
        StoreKind::Gcs => {}
        StoreKind::AzureBlob => errors.extend(azure::cross_checks(values, "azblob.account.name")),
        StoreKind::AzureDataLake => {
            errors.extend(azure::cross_checks(values, "azure.datalake.gen2.account.name"));
            errors.extend(datalake::file_system(props).err());
        }
        StoreKind::Url => errors.extend(url_problem(values.text("lakehead.store.url"))),
    }
    errors.extend(option_problems(kind, values));
    errors
}

fn url_problem(text: &str) -> Option<ConfigError> {
    let why = Target::parse(text).err().filter(|_| !text.is_empty())?; // reported as missing
    let shown = without_user_info(text);
    Some(ConfigError::new("lakehead.store.url", format!("Invalid value {shown} for configuration lakehead.store.url: {why}")))
}

fn option_problems(kind: StoreKind, values: Values<'_>) -> Vec<ConfigError> {
    let (is_option, store): (fn(&str) -> bool, String) = match kind {
        StoreKind::S3 => (s3::is_option, "S3".to_owned()),
        StoreKind::Gcs => (gcs::is_option, "GCS".to_owned()),
        StoreKind::AzureBlob | StoreKind::AzureDataLake => (azure::is_option, "Azure".to_owned()),
        StoreKind::Url => {
            let text = values.text("lakehead.store.url");
            let is_option = match Target::parse(text) {
                Err(_) => return Vec::new(),
                Ok(Target::Folder(_)) => |_: &str| false,
                Ok(Target::Cloud(Flavor::S3, ..)) => s3::is_option,
                Ok(Target::Cloud(Flavor::Gcs, ..)) => gcs::is_option,
                Ok(Target::Cloud(..)) => azure::is_url_option,
            };
            (is_option, without_user_info(text).into_owned())
        }
    };
    let problem = |name: String| {
        let why = match s3::key_instead_of(&name).filter(|_| kind == StoreKind::S3) {
            Some(key) => format!("the S3 sink does not read option '{name}': set {key}"),
            None if !is_option(&name) => format!("the store at {store} has no option '{name}'"),
            None => return None,
        };
        Some(ConfigError::new(format!("{OPTION_PREFIX}{name}"), why))
    };
    options(values.props).filter_map(|(name, _)| problem(name)).collect()
}

/// The stores that URLs and upstream's keys name.
#[derive(Debug, Clone, Copy)]
pub struct Urls;

impl super::Stores for Urls {
    fn open(&self, kind: StoreKind, props: &Props, health: Health) -> Result<Arc<dyn ObjectSink>, StoreError> {
        open(kind, props, health)
    }
}

/// Builds the sink that a valid configuration names. Nothing is asked of a remote store; a folder is made when it is missing.
///
/// `health` is told under `store` what the sink is waiting for. Call from within a tokio runtime.
///
/// # Errors
/// [`StoreError`] when the configuration is invalid, a credential file cannot be read, or a folder cannot be made.
pub fn open(kind: StoreKind, props: &Props, health: Health) -> Result<Arc<dyn ObjectSink>, StoreError> {
    if let Some(error) = validate(kind, props).into_iter().next() {
        return Err(bad_config(error.message));
    }
    let values = Values { tables: &[kind.keys()], props };
    let tuning = tuning(kind, values);
    let client = client(kind, values, &tuning);
    let file_system = match kind {
        StoreKind::AzureDataLake => Some(datalake::file_system(props).map_err(|error| bad_config(error.message))?),
        _ => None,
    };
    let opened = match kind {
        StoreKind::S3 => s3::open(values, &client)?,
        StoreKind::Gcs => gcs::open(values, &client)?,
        StoreKind::AzureBlob => azure::open(values, &client)?,
        StoreKind::AzureDataLake => azure::open_data_lake(values, file_system.as_deref().unwrap_or_default(), &client)?,
        StoreKind::Url => open_url(props, values.text("lakehead.store.url"), &client, &tuning)?,
    };
    let Opened { objects, parts, place, extras } = opened;
    let mut probe = probe(&place, props);
    if let Some(below) = file_system.as_deref().and_then(|name| probe.strip_prefix(name)?.strip_prefix('/')) {
        probe = below.to_owned();
    }
    let sink = Arc::new(Objects::with_extras(objects, parts, place, &probe, tuning, health, extras));
    let Some(file_system) = file_system else { return Ok(sink) };
    let delimiter = props.get("directory.delim").map_or("/", String::as_str).to_owned();
    Ok(Arc::new(BelowFileSystem { sink, file_system, delimiter }))
}

/// Opens the store at `lakehead.store.url` for reading. Nothing is asked of a remote store; a folder must be there.
///
/// # Errors
/// [`StoreError`] when the URL or an option is invalid, a credential file cannot be read, or the folder is missing.
pub fn reader(props: &Props) -> Result<Arc<dyn ObjectReader>, StoreError> {
    const KIND: StoreKind = StoreKind::Url;
    if let Some(error) = validate(KIND, props).into_iter().next() {
        return Err(bad_config(error.message));
    }
    let values = Values { tables: &[KIND.keys()], props };
    let url = values.text("lakehead.store.url");
    if let Ok(Target::Folder(path)) = Target::parse(url)
        && !path.is_dir()
    {
        return Err(bad_config(format!("folder '{}' is not there", path.display())));
    }
    let tuning = tuning(KIND, values);
    let mut client = client(KIND, values, &tuning);
    (client.retry.max_retries, client.retry.retry_timeout) = (10, PATIENCE);
    let Opened { objects, parts, place, extras } = open_url(props, url, &client, &tuning)?;
    Ok(Arc::new(Objects::with_extras(objects, parts, place, "", tuning, Health::default(), extras)))
}

fn client(kind: StoreKind, values: Values<'_>, tuning: &Tuning) -> Client {
    let (proxy, timeout) = match kind {
        StoreKind::S3 => (Some("s3.proxy"), None),
        StoreKind::Gcs => (Some("gcs.proxy"), None),
        StoreKind::AzureBlob => (Some("azblob.proxy"), values.props.get("azblob.connection.timeout.ms")),
        StoreKind::AzureDataLake | StoreKind::Url => (None, None),
    };
    let connect_timeout = timeout.and_then(|text| text.trim().parse().ok()).map_or(Duration::from_secs(5), Duration::from_millis);
    Client::new(values, tuning, connect_timeout, proxy)
}

/// Where `check` tries: beside the objects of the first topic, so that policies for a prefix are met.
fn probe(place: &Place, props: &Props) -> String {
    if place.flavor == Flavor::Folder {
        return ".lakehead-check".to_owned();
    }
    let directory = props.get("topics.dir").map_or("topics", |text| text.trim()).trim_matches('/');
    let topic = props.get("topics").and_then(|topics| topics.split(',').map(str::trim).find(|topic| !topic.is_empty())).unwrap_or("");
    [directory, topic, ".lakehead-check"].into_iter().filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/")
}

fn tuning(kind: StoreKind, values: Values<'_>) -> Tuning {
    let given = |name: &str| if values.props.contains_key(name) { values.long(name).and_then(|n| u64::try_from(n).ok()) } else { None };
    let (part_size, first, most) = match kind {
        StoreKind::S3 => (given("s3.part.size"), given("s3.retry.backoff.ms"), None),
        StoreKind::Gcs => (given("gcs.part.size"), given("gcs.retry.backoff.ms"), None),
        StoreKind::AzureBlob if values.text("azblob.retry.type").eq_ignore_ascii_case("FIXED") => {
            let wait = given("azblob.retry.backoff.ms").or(Some(4000));
            (given("azblob.block.size"), wait, wait)
        }
        StoreKind::AzureBlob => (given("azblob.block.size"), given("azblob.retry.backoff.ms"), given("azblob.retry.max.backoff.ms")),
        StoreKind::AzureDataLake | StoreKind::Url => (given("lakehead.store.part.size"), None, None),
    };
    let defaults = Tuning::default();
    let part_size = part_size.and_then(|n| usize::try_from(n).ok()).unwrap_or(defaults.part_size);
    let least = Duration::from_millis(10);
    let first = first.map_or(defaults.backoff.first, Duration::from_millis).max(least);
    let most = most.map_or(defaults.backoff.most.max(first), Duration::from_millis).clamp(least, Backoff::LONGEST);
    let first = first.min(most);
    // A number that differs between processes: the state of a new hasher is random.
    let seed = RandomState::new().build_hasher().finish();
    Tuning { part_size, backoff: Backoff { first, most, seed }, ..defaults }
}

/// What a `lakehead.store.url` names.
enum Target {
    Cloud(Flavor, Url, String),
    Folder(PathBuf),
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::Folder(PathBuf::from(text.strip_prefix("file:").unwrap_or(text)))) };
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if scheme.eq_ignore_ascii_case("file") {
            return url.to_file_path().map(Self::Folder).map_err(|()| format!("'{rest}' is not an absolute path on this machine: write file:///folder"));
        }
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("it has a password, query or fragment: give such things as {OPTION_PREFIX}<name>"));
        }
        let (scheme, path) = match url.scheme() {
            "http" | "https" | "memory" => Err(format!("scheme '{}' is not one of s3, gs, az, abfss and file", url.scheme())),
            _ => ObjectStoreScheme::parse(&url)
                .map_err(|_| format!("scheme '{}' is not one of s3, gs, az, abfss and file, or the bucket is missing", url.scheme())),
        }?;
        let flavor = match scheme {
            ObjectStoreScheme::AmazonS3 => Flavor::S3,
            ObjectStoreScheme::GoogleCloudStorage => Flavor::Gcs,
            ObjectStoreScheme::MicrosoftAzure => Flavor::AzureBlob,
            _ => return Err(format!("scheme '{}' is not one of s3, gs, az, abfss and file", url.scheme())),
        };
        Ok(Self::Cloud(flavor, url, if path.is_root() { String::new() } else { format!("{path}/") }))
    }
}

fn open_url(props: &Props, text: &str, client: &Client, tuning: &Tuning) -> Result<Opened, StoreError> {
    let (flavor, url, prefix) = match Target::parse(text).map_err(bad_config)? {
        Target::Folder(path) => return open_folder(&path, tuning),
        Target::Cloud(flavor, url, prefix) => (flavor, url, prefix),
    };
    let is_endpoint =
        |name: &str| (name.contains("endpoint") || name.contains("base_url")) && !name.contains("sts") && !name.contains("metadata") && !name.contains("msi");
    let endpoint = options(props).find(|(name, _)| is_endpoint(name)).map(|(_, value)| value.to_owned());
    let root = if url.username().is_empty() { url.host_str().unwrap_or_default() } else { url.username() };
    let place = Place { flavor, root: root.to_owned(), prefix, endpoint };
    match flavor {
        Flavor::S3 => s3::open_url(props, &url, place, client),
        Flavor::Gcs => gcs::open_url(props, &url, place, client),
        _ => azure::open_url(props, &url, place, client),
    }
}

fn open_folder(path: &FilePath, tuning: &Tuning) -> Result<Opened, StoreError> {
    let failed = |error: &dyn std::fmt::Display| {
        let message =
            format!("folder '{}' cannot be made or entered: {error}; correct lakehead.store.url, or give the worker's user the permission", path.display());
        StoreError { kind: StoreErrorKind::BadConfig, message }
    };
    std::fs::create_dir_all(path).map_err(|error| failed(&error))?;
    let root = std::path::absolute(path).map_err(|error| failed(&error))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?.with_fsync(true);
    let parts = Arc::new(FolderParts::new(store.clone(), tuning.part_size as u64));
    let place = Place { flavor: Flavor::Folder, root: root.display().to_string(), prefix: String::new(), endpoint: None };
    let extras = Extras { unfinished: Some(Arc::clone(&parts) as _), ..Extras::default() };
    Ok(Opened { objects: Arc::new(store), parts, place, extras })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn problems(kind: StoreKind, pairs: &[(&str, &str)]) -> Vec<String> {
        validate(kind, &props(pairs)).into_iter().map(|error| format!("{}: {}", error.key, error.message)).collect()
    }

    async fn opened(kind: StoreKind, pairs: &[(&str, &str)]) -> String {
        open(kind, &props(pairs), Health::default()).unwrap().to_string()
    }

    #[test]
    fn every_problem_is_reported_with_its_key() {
        let secret = "wJalrXUtnFEMI";
        let given = [
            ("s3.part.size", "5"),
            ("s3.region", "eu central"),
            ("store.url", "ftp://x"),
            ("s3.ssea.name", "AES128"),
            ("s3.sse.customer.key", secret),
            ("s3.acl.canned", "owner"),
            ("s3.object.tagging.key.value.pairs", "team:lake,owner"),
            ("s3.part.retries", "-1"),
            ("s3.credentials.provider.class", "com.example.Provider"),
            ("s3.proxy.url", "proxy:3128"),
            ("lakehead.store.option.aws_regoin", "x"),
        ];
        let expected = [
            "s3.bucket.name: Missing required configuration \"s3.bucket.name\" which has no default value.",
            "s3.object.tagging.key.value.pairs: Invalid value team:lake,owner for configuration s3.object.tagging.key.value.pairs: 'owner' is not key:value",
            "s3.region: Invalid value eu central for configuration s3.region: a region has letters, digits and hyphens, as eu-central-1",
            "s3.part.size: Invalid value 5 for configuration s3.part.size: Part size must be at least: 5242880 bytes (5MB)",
            "s3.credentials.provider.class: Invalid value com.example.Provider for configuration s3.credentials.provider.class: Java classes cannot be loaded",
            "s3.ssea.name: Invalid value AES128 for configuration s3.ssea.name: String must be one of: , AES256, aws:fsx, aws:kms, aws:kms:dsse",
            "s3.sse.customer.key: Invalid value [hidden] for configuration s3.sse.customer.key: the key is not 32 bytes in base64",
            "s3.acl.canned: Invalid value owner for configuration s3.acl.canned: Value must be one of: [private, public-read, public-read-write, \
             authenticated-read, aws-exec-read, bucket-owner-read, bucket-owner-full-control]",
            "s3.part.retries: Invalid value -1 for configuration s3.part.retries: Value must be at least 0",
            "s3.proxy.url: Invalid value proxy:3128 for configuration s3.proxy.url: not the URL of a proxy: write http://host:port",
            "store.url: Invalid value ftp://x for configuration store.url: scheme 'ftp' is not http or https",
            "s3.sse.customer.key: s3.sse.customer.key encrypts with s3.ssea.name=AES256 only: set that, or leave the key out",
            "lakehead.store.option.aws_regoin: the store at S3 has no option 'aws_regoin'",
        ];
        let found = problems(StoreKind::S3, &given);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
            assert!(!found.contains(secret));
        }
    }

    #[test]
    fn keys_that_contradict_each_other_are_told() {
        let role = "io.confluent.connect.s3.auth.AwsAssumeRoleCredentialsProvider";
        let cases: [(StoreKind, &[(&str, &str)], &[&str]); 8] = [
            (
                StoreKind::S3,
                &[("s3.wan.mode", "true")],
                &["s3.wan.mode: Both accelerate mode and path", "s3.path.style.access.enabled: Both accelerate mode and path"],
            ),
            (StoreKind::S3, &[("s3.wan.mode", "true"), ("s3.path.style.access.enabled", "false")], &[]),
            (StoreKind::S3, &[("s3.sse.kms.key.id", "alias/x")], &["s3.sse.kms.key.id: s3.sse.kms.key.id encrypts with s3.ssea.name=aws:kms only"]),
            (
                StoreKind::S3,
                &[("s3.credentials.provider.class", role)],
                &["s3.credentials.provider.sts.role.arn: Missing required", "s3.credentials.provider.sts.role.session.name: Missing required"],
            ),
            (StoreKind::S3, &[("lakehead.s3.sts.endpoint", "http://sts")], &["lakehead.s3.sts.endpoint: lakehead.s3.sts.endpoint is asked by"]),
            (
                StoreKind::AzureBlob,
                &[("lakehead.azure.connection.string", "AccountName=other;AccountKey=aw==")],
                &["lakehead.azure.connection.string: it is of account 'other'"],
            ),
            (
                StoreKind::AzureDataLake,
                &[("azure.datalake.gen2.client.id", "app")],
                &[
                    "azure.datalake.gen2.client.key: azure.datalake.gen2.client.key is missing",
                    "azure.datalake.gen2.token.endpoint: azure.datalake.gen2.token.endpoint is missing",
                ],
            ),
            (
                StoreKind::AzureDataLake,
                &[("topics.dir", "No/x")],
                &["topics.dir: Invalid value No/x for configuration topics.dir: its first level is the file system"],
            ),
        ];
        for (kind, given, expected) in cases {
            let required = kind.keys().iter().filter(|key| key.required).map(|key| (key.name, "thing"));
            let found = problems(kind, &given.iter().copied().chain(required).collect::<Vec<_>>());
            assert_eq!(found.len(), expected.len(), "{found:#?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}\n{expected}");
            }
        }
    }

    #[test]
    fn upstream_defaults_written_out_are_valid() {
        for kind in [StoreKind::S3, StoreKind::Gcs, StoreKind::AzureBlob, StoreKind::AzureDataLake] {
            let mut written: Vec<(&str, &str)> = kind.keys().iter().filter_map(|key| Some((key.name, key.default?))).collect();
            let required = kind.keys().iter().filter(|key| key.required).map(|key| (key.name, "thing"));
            written.extend(required);
            assert_eq!(problems(kind, &written), Vec::<String>::new());
        }
    }

    #[test]
    fn store_urls() {
        let cases = [
            ("s3://lake", None),
            ("s3://lake/raw/events", None),
            ("gs://lake", None),
            ("az://container/raw", None),
            ("abfs://container/raw", None),
            ("s3a://lake/raw", None),
            ("abfss://container@account.dfs.core.windows.net/raw", None),
            ("file:///var/lake", None),
            ("/var/lake", None),
            ("lake", None),
            ("https://lake.example/x", Some("scheme 'https' is not one of s3, gs, az, abfss and file")),
            ("hdfs://n/x", Some("scheme 'hdfs' is not one of s3, gs, az, abfss and file, or the bucket is missing")),
            ("s3://key:secret@lake", Some("it has a password, query or fragment: give such things as lakehead.store.option.<name>")),
            ("file://host/x", Some("'host/x' is not an absolute path on this machine: write file:///folder")),
        ];
        for (url, why) in cases {
            let expected: Vec<_> = why
                .iter()
                .map(|why| format!("lakehead.store.url: Invalid value {} for configuration lakehead.store.url: {why}", without_user_info(url)))
                .collect();
            assert_eq!(problems(StoreKind::Url, &[("lakehead.store.url", url)]), expected);
        }
    }

    #[test]
    fn options_are_the_clients_own() {
        let s3 = |option| problems(StoreKind::Url, &[("lakehead.store.url", "s3://lake"), (option, "x")]);
        assert_eq!(s3("lakehead.store.option.aws_region"), Vec::<String>::new());
        assert_eq!(s3("lakehead.store.option.regoin"), ["lakehead.store.option.regoin: the store at s3://lake has no option 'regoin'"]);
    }

    #[test]
    fn options_that_would_not_be_heard_are_refused() {
        let s3 = |option: &str| problems(StoreKind::S3, &[("s3.bucket.name", "lake"), (option, "x")]);
        for option in ["aws_access_key_id", "proxy_url", "timeout", "aws_server_side_encryption", "aws_profile", "aws_endpoint"] {
            assert_eq!(s3(&format!("lakehead.store.option.{option}")), Vec::<String>::new());
        }
        for (option, key) in [("aws_role_arn", "s3.credentials.provider.class"), ("region", "s3.region"), ("aws_canned_acl", "s3.acl.canned")] {
            let found = s3(&format!("lakehead.store.option.{option}"));
            let expected = format!("lakehead.store.option.{option}: the S3 sink does not read option '{option}': set {key}");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        }
        let option = "lakehead.store.option.azure_storage_connection_string";
        assert_eq!(problems(StoreKind::AzureBlob, &[("azblob.account.name", "account"), (option, "x")]).len(), 1);
        assert_eq!(problems(StoreKind::Url, &[("lakehead.store.url", "az://c"), (option, "x")]), Vec::<String>::new());
    }

    #[tokio::test]
    async fn sinks_say_where_they_write() {
        let s3 = [("s3.bucket.name", "lake"), ("aws.access.key.id", "id"), ("aws.secret.access.key", "secret")];
        assert_eq!(opened(StoreKind::S3, &s3).await, "s3://lake/");
        let json = r#"{"private_key":"k","private_key_id":"i","client_email":"e","disable_oauth":true}"#;
        assert_eq!(opened(StoreKind::Gcs, &[("gcs.bucket.name", "lake"), ("gcs.credentials.json", json)]).await, "gs://lake/");
        let azure = [("azblob.account.name", "account"), ("azblob.account.key", "c2VjcmV0")];
        assert_eq!(opened(StoreKind::AzureBlob, &azure).await, "az://default/");
        let lake = [("azure.datalake.gen2.account.name", "account"), ("azure.datalake.gen2.access.key", "c2VjcmV0"), ("topics.dir", "lake/raw")];
        assert_eq!(opened(StoreKind::AzureDataLake, &lake).await, "az://lake/");
        let url = [("lakehead.store.url", "abfss://raw@account.dfs.core.windows.net/a/b"), ("lakehead.store.option.azure_storage_account_key", "c2VjcmV0")];
        assert_eq!(opened(StoreKind::Url, &url).await, "az://raw/a/b/");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/lake").display().to_string();
        assert_eq!(opened(StoreKind::Url, &[("lakehead.store.url", &path)]).await, format!("{path}/"));
    }

    #[tokio::test]
    async fn what_cannot_be_opened_says_why_without_secrets() {
        let taken = tempfile::NamedTempFile::new().unwrap();
        let folder = taken.path().join("lake").display().to_string();
        let error = open(StoreKind::Url, &props(&[("lakehead.store.url", &folder)]), Health::default()).unwrap_err();
        assert!(error.message.starts_with(&format!("folder '{folder}' cannot be made or entered: ")), "{error}");
        let error = open(StoreKind::Gcs, &props(&[("gcs.bucket.name", "b"), ("gcs.credentials.path", "/no/such.json")]), Health::default()).unwrap_err();
        assert!(error.message.contains("/no/such.json"), "{error}");
        let secret = "{\"private_key\": \"hunter2\"";
        let error = open(StoreKind::Gcs, &props(&[("gcs.bucket.name", "b"), ("gcs.credentials.json", secret)]), Health::default()).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
    }

    #[test]
    fn buckets_move_into_the_host_and_probes_beside_the_first_topic() {
        assert_eq!(s3::with_bucket_in_host("http://localhost:9000", "lake").unwrap(), "http://lake.localhost:9000");
        let place = Place { flavor: Flavor::S3, root: "b".to_owned(), prefix: String::new(), endpoint: None };
        let cases: [(&[(&str, &str)], &str); 4] = [
            (&[], "topics/.lakehead-check"),
            (&[("topics", " orders, x"), ("topics.dir", "raw/in")], "raw/in/orders/.lakehead-check"),
            (&[("topics.dir", "")], ".lakehead-check"),
            (&[("topics.regex", ".*"), ("topics.dir", " /a/ ")], "a/.lakehead-check"),
        ];
        for (given, expected) in cases {
            assert_eq!(probe(&place, &props(given)), expected);
        }
    }
}
