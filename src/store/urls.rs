//! From a connector's configuration to an [`ObjectSink`].
//!
//! [`StoreKind`] says whose keys are read: upstream's for S3, GCS or Azure Blob Storage, or our `lakehead.store.url`. [`validate`] reports every problem
//! without a network; [`open`] builds the client, without a network too: [`ObjectSink::check`] is what asks the store.
//! No secret appears in an error, a log line or a `Debug` text of what is built here.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig, StaticCredentialProvider};
use url::Url;

use super::folder::FolderParts;
pub use super::keys::{AZURE_KEYS, GCS_KEYS, OPTION_PREFIX, S3_KEYS, URL_KEYS};
use super::objects::{Backoff, Flavor, Objects, Place, Tuning};
use super::{ObjectSink, StoreError, StoreErrorKind};
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
            Self::Url => URL_KEYS,
        }
    }

    /// True for keys of the kind that stand in no table: a store's options, and settings of a credential provider that is refused by its own key.
    #[must_use]
    pub fn is_known(self, name: &str) -> bool {
        match self {
            Self::S3 => name.starts_with("s3.credentials.provider."),
            Self::Gcs => name.starts_with("gcs.credentials.provider."),
            Self::AzureBlob => false,
            Self::Url => name.starts_with(OPTION_PREFIX),
        }
    }
}

/// Every problem of the store's keys in `props`; other keys are left alone. Pure: no network, no file system.
#[must_use]
pub fn validate(kind: StoreKind, props: &Props) -> Vec<ConfigError> {
    let mut errors = config::check(&[kind.keys()], props, |_| true).errors;
    let values = Values { tables: &[kind.keys()], props };
    match kind {
        StoreKind::S3 | StoreKind::Gcs | StoreKind::AzureBlob => {
            if let Err(why) = endpoint(values) {
                errors.push(ConfigError::new(
                    "store.url",
                    format!("Invalid value {} for configuration store.url: {why}", without_user_info(values.text("store.url"))),
                ));
            }
        }
        StoreKind::Url => {}
    }
    match kind {
        StoreKind::Gcs if values.non_blank("gcs.credentials.path").is_some() && values.non_blank("gcs.credentials.json").is_some() => {
            errors.push(ConfigError::new("gcs.credentials.json", "gcs.credentials.path and gcs.credentials.json are both set: keep one of them"));
        }
        StoreKind::Url => errors.extend(url_problems(props, values.text("lakehead.store.url"))),
        _ => {}
    }
    errors
}

fn url_problems(props: &Props, text: &str) -> Vec<ConfigError> {
    if text.is_empty() {
        return Vec::new(); // reported as missing
    }
    let target = match Target::parse(text) {
        Ok(target) => target,
        Err(why) => {
            return vec![ConfigError::new(
                "lakehead.store.url",
                format!("Invalid value {} for configuration lakehead.store.url: {why}", without_user_info(text)),
            )];
        }
    };
    let is_option = |name: &str| match &target {
        Target::Cloud(Flavor::S3, ..) => AmazonS3ConfigKey::from_str(name).is_ok(),
        Target::Cloud(Flavor::Gcs, ..) => GoogleConfigKey::from_str(name).is_ok(),
        Target::Cloud(..) => AzureConfigKey::from_str(name).is_ok(),
        Target::Folder(_) => false,
    };
    let unknown = options(props).filter(|(name, _)| !is_option(name));
    unknown
        .map(|(name, _)| ConfigError::new(format!("{OPTION_PREFIX}{name}"), format!("the store at {} has no option '{name}'", without_user_info(text))))
        .collect()
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
    let client = Client::new(kind, values, &tuning);
    let opened = match kind {
        StoreKind::S3 => open_s3(values, client)?,
        StoreKind::Gcs => open_gcs(values, client)?,
        StoreKind::AzureBlob => open_azure(values, client)?,
        StoreKind::Url => open_url(props, values.text("lakehead.store.url"), client, &tuning)?,
    };
    let Opened { objects, parts, place } = opened;
    let probe = probe(&place, props);
    Ok(Arc::new(Objects::new(objects, parts, place, &probe, tuning, health)))
}

struct Opened {
    objects: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    place: Place,
}

impl Opened {
    fn one<S: ObjectStore + MultipartStore>(store: S, place: Place) -> Self {
        let store = Arc::new(store);
        Self { objects: Arc::clone(&store) as _, parts: store, place }
    }
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
        StoreKind::Url => (given("lakehead.store.part.size"), None, None),
    };
    let defaults = Tuning::default();
    let part_size = part_size.and_then(|n| usize::try_from(n).ok()).unwrap_or(defaults.part_size);
    let most = most.map_or(defaults.backoff.most, Duration::from_millis);
    let first = first.map_or(defaults.backoff.first, Duration::from_millis).clamp(Duration::from_millis(10), most.max(Duration::from_millis(10)));
    // A number that differs between processes: the state of a new hasher is random.
    let seed = RandomState::new().build_hasher().finish();
    Tuning { part_size, backoff: Backoff { first, most, seed }, ..defaults }
}

/// How requests are made. The client itself gives up soon, so that trouble shows early: the sink goes on trying.
struct Client {
    options: ClientOptions,
    retry: RetryConfig,
}

impl Client {
    fn new(kind: StoreKind, values: Values<'_>, tuning: &Tuning) -> Self {
        // A part must get through at 512 KiB/s.
        let timeout = Duration::from_secs(30 + (tuning.part_size >> 19) as u64);
        let connect_timeout = match kind {
            StoreKind::AzureBlob if values.props.contains_key("azblob.connection.timeout.ms") => {
                values.long("azblob.connection.timeout.ms").and_then(|ms| u64::try_from(ms).ok()).map_or(Duration::from_secs(5), Duration::from_millis)
            }
            _ => Duration::from_secs(5),
        };
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 };
        Self {
            options: ClientOptions::new().with_timeout(timeout).with_connect_timeout(connect_timeout),
            retry: RetryConfig { backoff, max_retries: 2, retry_timeout: timeout },
        }
    }
}

/// `store.url` with its scheme and without a slash at its end.
fn endpoint(values: Values<'_>) -> Result<Option<String>, String> {
    let Some(text) = values.non_blank("store.url") else { return Ok(None) };
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&text).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("scheme '{}' is not http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("it has a user, a password or a query: credentials have their own keys".to_owned());
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

fn open_s3(values: Values<'_>, client: Client) -> Result<Opened, StoreError> {
    let (bucket, region) = (values.text("s3.bucket.name"), values.text("s3.region"));
    let is_path_style = values.boolean("s3.path.style.access.enabled");
    let given = endpoint(values).map_err(bad_config)?;
    let start = AmazonS3Builder::from_env();
    let from_environment = endpoint_of(&start);
    let endpoint = given.as_ref().or(from_environment.as_ref());
    let mut builder = start
        .with_client_options(client.options.with_allow_http(endpoint.is_some_and(|url| url.starts_with("http://"))))
        .with_retry(client.retry)
        .with_bucket_name(bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(!is_path_style);
    // Keys of the configuration never meet a session token of the environment.
    if let (Some(id), Some(secret)) = (values.non_blank("aws.access.key.id"), values.non_blank("aws.secret.access.key")) {
        let credential = AwsCredential { key_id: id.to_owned(), secret_key: secret.to_owned(), token: None };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    }
    match given.clone() {
        Some(url) => {
            let url = if is_path_style { url } else { with_bucket_in_host(&url, bucket).map_err(bad_config)? };
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, url);
        }
        None if from_environment.is_some() => {}
        None => builder = amazon(builder, bucket, region, is_path_style),
    }
    let store = builder.build().map_err(|error| invalid("s3", &error))?;
    let place = Place { flavor: Flavor::S3, root: bucket.to_owned(), prefix: String::new(), endpoint: given.or(from_environment) };
    Ok(Opened::one(store, place))
}

/// Amazon's own endpoints: over TLS the payload needs no SHA-256 in its signature, which would cost more CPU than all the rest of the request; a CRC-64
/// keeps the end-to-end check. Other stores may not know that checksum, and keep the signed payload.
fn amazon(builder: AmazonS3Builder, bucket: &str, region: &str, is_path_style: bool) -> AmazonS3Builder {
    let builder = builder.with_unsigned_payload(true).with_checksum_algorithm(Checksum::CRC64NVME);
    match (region.starts_with("cn-"), is_path_style) {
        (false, _) => builder,
        (true, true) => builder.with_endpoint(format!("https://s3.{region}.amazonaws.com.cn")),
        (true, false) => builder.with_endpoint(format!("https://{bucket}.s3.{region}.amazonaws.com.cn")),
    }
}

fn with_bucket_in_host(url: &str, bucket: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("'{url}' has no scheme"))?;
    Ok(format!("{scheme}://{bucket}.{rest}"))
}

fn open_gcs(values: Values<'_>, client: Client) -> Result<Opened, StoreError> {
    let bucket = values.text("gcs.bucket.name");
    let endpoint = endpoint(values).map_err(bad_config)?;
    let is_http = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let given = (values.non_blank("gcs.credentials.path"), values.non_blank("gcs.credentials.json"));
    // What is configured stands alone: the environment is read only where nothing is.
    let builder = match given {
        (Some(path), _) => GoogleCloudStorageBuilder::new().with_service_account_path(path),
        (_, Some(json)) => GoogleCloudStorageBuilder::new().with_service_account_key(json),
        _ => GoogleCloudStorageBuilder::from_env(),
    };
    let mut builder = builder.with_client_options(client.options.with_allow_http(is_http)).with_retry(client.retry).with_bucket_name(bucket);
    if let Some(url) = &endpoint {
        builder = builder.with_base_url(url);
    }
    let store = builder.build().map_err(|error| invalid("gcs", &error))?;
    Ok(Opened::one(store, Place { flavor: Flavor::Gcs, root: bucket.to_owned(), prefix: String::new(), endpoint }))
}

fn open_azure(values: Values<'_>, client: Client) -> Result<Opened, StoreError> {
    let container = values.text("azblob.container.name");
    let endpoint = endpoint(values).map_err(bad_config)?;
    let is_http = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let account = values.text("azblob.account.name");
    let base = || MicrosoftAzureBuilder::new();
    let builder = match (values.non_blank("azblob.account.key"), values.non_blank("azblob.sas.token")) {
        (Some(key), _) => base().with_access_key(key),
        (None, Some(token)) => base().with_config(AzureConfigKey::SasKey, token),
        (None, None) => MicrosoftAzureBuilder::from_env(),
    };
    let mut builder = builder
        .with_client_options(azure_options(client.options.with_allow_http(is_http)))
        .with_retry(client.retry)
        .with_account(account)
        .with_container_name(container);
    if let Some(url) = &endpoint {
        builder = builder.with_endpoint(url.clone());
    }
    let store = builder.build().map_err(|error| invalid("azblob", &error))?;
    Ok(Opened::one(store, Place { flavor: Flavor::AzureBlob, root: container.to_owned(), prefix: String::new(), endpoint }))
}

/// Blobs that are written in blocks get their content type by the end of their name: the client has no other way to tell.
fn azure_options(options: ClientOptions) -> ClientOptions {
    let types = [
        ("parquet", "application/vnd.apache.parquet"),
        ("avro", "application/vnd.apache.avro+binary"),
        ("json", "application/json"),
        ("gz", "application/gzip"),
    ];
    types.into_iter().fold(options, |options, (suffix, mime)| options.with_content_type_for_suffix(suffix, mime))
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

fn options(props: &Props) -> impl Iterator<Item = (String, &str)> {
    props.iter().filter_map(|(name, value)| Some((name.strip_prefix(OPTION_PREFIX)?.to_ascii_lowercase(), value.as_str())))
}

fn open_url(props: &Props, text: &str, client: Client, tuning: &Tuning) -> Result<Opened, StoreError> {
    let (flavor, url, prefix) = match Target::parse(text).map_err(bad_config)? {
        Target::Folder(path) => return open_folder(&path, tuning),
        Target::Cloud(flavor, url, prefix) => (flavor, url, prefix),
    };
    let endpoint = options(props).find(|(name, _)| name.contains("endpoint") || name.contains("base_url")).map(|(_, value)| value.to_owned());
    let is_http = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let client_options = client.options.with_allow_http(is_http);
    let root = if url.username().is_empty() { url.host_str().unwrap_or_default() } else { url.username() };
    let place = Place { flavor, root: root.to_owned(), prefix, endpoint: endpoint.clone() };
    match flavor {
        Flavor::S3 => {
            let start = AmazonS3Builder::from_env();
            let from_environment = endpoint_of(&start);
            let is_http = is_http || endpoint.is_none() && from_environment.as_ref().is_some_and(|url| url.starts_with("http://"));
            let place = Place { endpoint: endpoint.or(from_environment), ..place };
            let start = start.with_client_options(client_options.with_allow_http(is_http)).with_retry(client.retry).with_url(url);
            let parsed = options(props).filter_map(|(name, value)| Some((AmazonS3ConfigKey::from_str(&name).ok()?, value)));
            let store = parsed.fold(start, |builder, (key, value)| builder.with_config(key, value)).build();
            Ok(Opened::one(store.map_err(|error| invalid("s3", &error))?, place))
        }
        Flavor::Gcs => {
            let start = GoogleCloudStorageBuilder::from_env().with_client_options(client_options).with_retry(client.retry).with_url(url);
            let parsed = options(props).filter_map(|(name, value)| Some((GoogleConfigKey::from_str(&name).ok()?, value)));
            let store = parsed.fold(start, |builder, (key, value)| builder.with_config(key, value)).build();
            Ok(Opened::one(store.map_err(|error| invalid("gs", &error))?, place))
        }
        _ => {
            let start = MicrosoftAzureBuilder::from_env().with_client_options(azure_options(client_options)).with_retry(client.retry).with_url(url);
            let parsed = options(props).filter_map(|(name, value)| Some((AzureConfigKey::from_str(&name).ok()?, value)));
            let store = parsed.fold(start, |builder, (key, value)| builder.with_config(key, value)).build();
            Ok(Opened::one(store.map_err(|error| invalid("az", &error))?, place))
        }
    }
}

/// The endpoint that a builder has, from the environment for example: whoever gives one with `http://` means it.
fn endpoint_of(builder: &AmazonS3Builder) -> Option<String> {
    builder.get_config_value(&AmazonS3ConfigKey::Endpoint).or_else(|| builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint))
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
    let parts = FolderParts::new(store.clone(), tuning.part_size as u64);
    let place = Place { flavor: Flavor::Folder, root: root.display().to_string(), prefix: String::new(), endpoint: None };
    Ok(Opened { objects: Arc::new(store), parts: Arc::new(parts), place })
}

fn bad_config(message: String) -> StoreError {
    StoreError { kind: StoreErrorKind::BadConfig, message }
}

/// A client that could not be built. The client's texts name settings and files, never their contents.
fn invalid(what: &str, error: &object_store::Error) -> StoreError {
    bad_config(format!("the {what} store's settings are not usable: {error}"))
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
        let found = problems(
            StoreKind::S3,
            &[("s3.part.size", "5"), ("store.url", "ftp://x"), ("s3.ssea.name", "AES256"), ("s3.sse.customer.key", secret), ("s3.wan.mode", "true")],
        );
        let expected = [
            "s3.bucket.name: Missing required configuration \"s3.bucket.name\" which has no default value.",
            "s3.part.size: Invalid value 5 for configuration s3.part.size: Value must be at least 5242880",
            "s3.ssea.name: Invalid value AES256 for configuration s3.ssea.name: encryption headers are not sent yet",
            "s3.sse.customer.key: Invalid value [hidden] for configuration s3.sse.customer.key: encryption headers are not sent yet",
            "s3.wan.mode: Invalid value true for configuration s3.wan.mode: transfer acceleration is not there yet",
            "store.url: Invalid value ftp://x for configuration store.url: scheme 'ftp' is not http or https",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
            assert!(!found.contains(secret));
        }
    }

    #[test]
    fn upstream_defaults_written_out_are_valid() {
        for kind in [StoreKind::S3, StoreKind::Gcs, StoreKind::AzureBlob] {
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

    #[tokio::test]
    async fn sinks_say_where_they_write() {
        let s3 = [("s3.bucket.name", "lake"), ("aws.access.key.id", "id"), ("aws.secret.access.key", "secret")];
        assert_eq!(opened(StoreKind::S3, &s3).await, "s3://lake/");
        let json = r#"{"private_key":"k","private_key_id":"i","client_email":"e","disable_oauth":true}"#;
        assert_eq!(opened(StoreKind::Gcs, &[("gcs.bucket.name", "lake"), ("gcs.credentials.json", json)]).await, "gs://lake/");
        let azure = [("azblob.account.name", "account"), ("azblob.account.key", "c2VjcmV0")];
        assert_eq!(opened(StoreKind::AzureBlob, &azure).await, "az://default/");
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
        assert_eq!(with_bucket_in_host("http://localhost:9000", "lake").unwrap(), "http://lake.localhost:9000");
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
