//! Opening a bucket of S3, or of a store that speaks it.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum};
use url::Url;

use super::StoreError;
use super::client::{Client, Opened, bad_config, endpoint, invalid, is_plain, option, options};
use super::credentials::{ASSUME_ROLE_CLASS, Credentials, Role, Source, source_of};
use super::headers::{Always, Dress, Signer};
use super::keys::s3::STS_KEYS;
use super::objects::{Extras, Flavor, Place};
use super::sweep::{Bucket, BucketUploads};
use super::tags::Tagger;
use crate::connect::Props;
use crate::connect::config::{self, ConfigError, Values};

/// Options of ours beside the client's own.
const OWN_OPTIONS: &[&str] = &["aws_profile", "aws_external_id", "aws_canned_acl", "aws_storage_class"];

/// Options that say how credentials are found, which the client then does by itself.
const CREDENTIAL_OPTIONS: &[&str] = &[
    "aws_web_identity_token_file",
    "web_identity_token_file",
    "aws_container_credentials_relative_uri",
    "container_credentials_relative_uri",
    "aws_container_credentials_full_uri",
    "container_credentials_full_uri",
    "aws_metadata_endpoint",
    "metadata_endpoint",
];

/// True for names that may follow the prefix of options.
pub(super) fn is_option(name: &str) -> bool {
    OWN_OPTIONS.contains(&name) || AmazonS3ConfigKey::from_str(name).is_ok()
}

/// The key of the S3 sink that is meant where an option says the same, and would not be heard.
pub(super) fn key_instead_of(option: &str) -> Option<&'static str> {
    use AmazonS3ConfigKey as Key;
    Some(match AmazonS3ConfigKey::from_str(option) {
        Ok(Key::Bucket) => "s3.bucket.name",
        Ok(Key::Region | Key::DefaultRegion) => "s3.region",
        Ok(Key::VirtualHostedStyleRequest) => "s3.path.style.access.enabled",
        Ok(Key::RoleArn | Key::RoleSessionName) => "s3.credentials.provider.class with its s3.credentials.provider.sts.* keys",
        Ok(Key::StsEndpoint) => "lakehead.s3.sts.endpoint",
        Ok(Key::ContainerAuthorizationTokenFile | Key::ImdsV1Fallback) => "s3.credentials.provider.class",
        _ if CREDENTIAL_OPTIONS.contains(&option) => "s3.credentials.provider.class",
        _ => match option {
            "aws_external_id" => "s3.credentials.provider.sts.role.external.id",
            "aws_canned_acl" => "s3.acl.canned",
            "aws_storage_class" => "lakehead.s3.storage.class",
            _ => return None,
        },
    })
}

/// What the keys of the S3 sink say of each other.
pub(super) fn cross_checks(values: Values<'_>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let (wan, path_style) = ("s3.wan.mode", "s3.path.style.access.enabled");
    if values.boolean(wan) && values.boolean(path_style) {
        // Word for word what upstream answers: clients look for it.
        let text = "Both accelerate mode and path style access are being enabled. These options are mutually exclusive and cannot be enabled together. \
                    Please disable one of them";
        errors.extend([wan, path_style].map(|key| ConfigError::new(key, text)));
    } else if values.boolean(wan) && values.non_blank("store.url").is_some() {
        errors.push(ConfigError::new(wan, "s3.wan.mode is Amazon's accelerated endpoint, and store.url another one: keep one of them"));
    } else if values.boolean(wan) && values.text("s3.bucket.name").contains('.') {
        errors.push(ConfigError::new(wan, "a bucket with a dot in its name cannot be accelerated: Amazon's certificates do not hold for its host name"));
    }
    let encryption = values.text("s3.ssea.name");
    if values.non_blank("s3.sse.customer.key").is_some() && encryption != "AES256" {
        errors.push(ConfigError::new("s3.sse.customer.key", "s3.sse.customer.key encrypts with s3.ssea.name=AES256 only: set that, or leave the key out"));
    }
    if values.non_blank("s3.sse.kms.key.id").is_some() && !encryption.starts_with("aws:kms") {
        errors.push(ConfigError::new("s3.sse.kms.key.id", "s3.sse.kms.key.id encrypts with s3.ssea.name=aws:kms only: set that, or leave the key out"));
    }
    if values.text("s3.credentials.provider.class") == ASSUME_ROLE_CLASS {
        let sts = Values { tables: &[STS_KEYS], props: values.props };
        errors.extend(config::check(&[STS_KEYS], values.props, |_| true).errors);
        for key in ["s3.credentials.provider.sts.role.arn", "s3.credentials.provider.sts.role.session.name"] {
            if sts.non_blank(key).is_none() {
                errors.push(ConfigError::new(key, format!("Missing required configuration \"{key}\" which has no default value.")));
            }
        }
    } else if values.non_blank("lakehead.s3.sts.endpoint").is_some() {
        let text = format!("lakehead.s3.sts.endpoint is asked by {ASSUME_ROLE_CLASS} only: elsewhere set AWS_ENDPOINT_URL_STS in the worker's environment");
        errors.push(ConfigError::new("lakehead.s3.sts.endpoint", text));
    }
    errors
}

/// A bucket named by the keys of the S3 sink.
pub(super) fn open(values: Values<'_>, client: &Client) -> Result<Opened, StoreError> {
    let (bucket, region) = (values.text("s3.bucket.name"), values.text("s3.region"));
    let is_path_style = values.boolean("s3.path.style.access.enabled");
    let start = with_options(at_endpoint_of_environment(), values.props);
    let endpoint = endpoint(values).map_err(bad_config)?.or_else(|| endpoint_of(&start));
    let http = props_client_options(client.options_for(endpoint.as_deref()), values.props);
    let builder = start.with_client_options(http).with_retry(client.retry.clone()).with_bucket_name(bucket).with_region(region);
    let mut builder = with_encryption(builder.with_virtual_hosted_style_request(!is_path_style), values);
    match &endpoint {
        Some(url) if is_path_style || is_at_address(url) => {
            builder = builder.with_virtual_hosted_style_request(false).with_config(AmazonS3ConfigKey::S3Endpoint, url);
        }
        Some(url) => builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, with_bucket_in_host(url, bucket).map_err(bad_config)?),
        None if values.boolean("s3.wan.mode") => {
            builder = amazon(builder).with_config(AmazonS3ConfigKey::S3Endpoint, format!("https://{bucket}.s3-accelerate.amazonaws.com"));
        }
        None => builder = at_region(amazon(builder), bucket, region, is_path_style),
    }
    let place = Place { flavor: Flavor::S3, root: bucket.to_owned(), prefix: String::new(), endpoint };
    let credentials = credentials(values, region).map_err(bad_config)?;
    let plan = Plan {
        region: region.to_owned(),
        credentials: Some(credentials),
        acl: values.non_blank("s3.acl.canned").map(str::to_owned),
        attempts: values.long("s3.part.retries").and_then(|n| u32::try_from(n).ok()).unwrap_or(3).max(1),
        storage_class: values.non_blank("lakehead.s3.storage.class").map(str::to_owned),
        sends_md5: values.boolean("s3.send.digest"),
        place,
    };
    plan.build(builder)
}

/// A bucket named by `s3://`.
pub(super) fn open_url(props: &Props, url: &Url, place: Place, client: &Client) -> Result<Opened, StoreError> {
    let builder = with_options(AmazonS3Builder::from_env(), props);
    let place = Place { endpoint: endpoint_of(&builder), ..place };
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
    let builder = builder.with_retry(client.retry.clone()).with_url(url.as_str());
    // The client's own network options come last: they were given by name.
    let http = props_client_options(client.options_for(place.endpoint.as_deref()), props);
    let plan = Plan {
        credentials: url_credentials(props, &builder, &region),
        region,
        acl: option(props, &["aws_canned_acl"]).map(str::to_owned),
        attempts: 3,
        storage_class: option(props, &["aws_storage_class"]).map(str::to_owned),
        sends_md5: false,
        place,
    };
    plan.build(builder.with_client_options(http))
}

/// Options of the connection (`proxy_url`, `timeout`, …) in a configuration.
fn props_client_options(start: object_store::ClientOptions, props: &Props) -> object_store::ClientOptions {
    options(props).fold(start, |start, (name, value)| match AmazonS3ConfigKey::from_str(&name) {
        Ok(AmazonS3ConfigKey::Client(key)) => start.with_config(key, value),
        _ => start,
    })
}

fn with_options(start: AmazonS3Builder, props: &Props) -> AmazonS3Builder {
    let known = options(props).filter_map(|(name, value)| Some((AmazonS3ConfigKey::from_str(&name).ok()?, value)));
    known.fold(start, |builder, (key, value)| builder.with_config(key, value))
}

/// A builder that knows the environment's endpoint, and nothing else of it: the sink's keys and the credential providers say the rest.
fn at_endpoint_of_environment() -> AmazonS3Builder {
    match endpoint_of(&AmazonS3Builder::from_env()) {
        Some(url) => AmazonS3Builder::new().with_config(AmazonS3ConfigKey::Endpoint, url),
        None => AmazonS3Builder::new(),
    }
}

/// True for an endpoint whose host is an IP address, before which no bucket can stand.
fn is_at_address(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_))))
}

/// True for an endpoint that a customer's key would travel to in the open.
fn is_overheard(url: &str) -> bool {
    let is_loopback = |host: url::Host<&str>| match host {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    is_plain(url) && !Url::parse(url).is_ok_and(|url| url.host().is_some_and(is_loopback))
}

/// The endpoint that a builder has, from the environment or an option.
fn endpoint_of(builder: &AmazonS3Builder) -> Option<String> {
    builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint).or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
}

/// Amazon's own endpoints: over TLS the payload needs no SHA-256 in its signature, which would cost more CPU than all the rest of the request; a CRC-64
/// keeps the end-to-end check. Other stores may not know that checksum, and keep the signed payload.
fn amazon(builder: AmazonS3Builder) -> AmazonS3Builder {
    builder.with_unsigned_payload(true).with_checksum_algorithm(Checksum::CRC64NVME)
}

fn at_region(builder: AmazonS3Builder, bucket: &str, region: &str, is_path_style: bool) -> AmazonS3Builder {
    match (region.starts_with("cn-"), is_path_style) {
        (false, _) => builder,
        (true, true) => builder.with_endpoint(format!("https://s3.{region}.amazonaws.com.cn")),
        (true, false) => builder.with_endpoint(format!("https://{bucket}.s3.{region}.amazonaws.com.cn")),
    }
}

pub(super) fn with_bucket_in_host(url: &str, bucket: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("'{url}' has no scheme"))?;
    Ok(format!("{scheme}://{bucket}.{rest}"))
}

/// Server-side encryption. `aws:kms` without a key asks for nothing, as upstream: the bucket's own encryption holds. The option
/// `aws_server_side_encryption` does ask for it by name.
fn with_encryption(builder: AmazonS3Builder, values: Values<'_>) -> AmazonS3Builder {
    let named = |builder: AmazonS3Builder, name: &str| match AmazonS3ConfigKey::from_str("aws_server_side_encryption") {
        Ok(key) => builder.with_config(key, name),
        Err(_) => builder,
    };
    match (values.text("s3.ssea.name"), values.non_blank("s3.sse.customer.key"), values.non_blank("s3.sse.kms.key.id")) {
        ("AES256", Some(key), _) => builder.with_ssec_encryption(key),
        ("AES256", None, _) => named(builder, "AES256"),
        ("aws:kms", _, Some(key)) => builder.with_sse_kms_encryption(key),
        ("aws:kms:dsse", _, Some(key)) => builder.with_dsse_kms_encryption(key),
        ("aws:kms:dsse", _, None) => named(builder, "aws:kms:dsse"),
        _ => builder,
    }
}

/// Where the keys of the S3 sink say that credentials come from. Keys of the configuration never meet a session token of the environment.
fn credentials(values: Values<'_>, region: &str) -> Result<(Source, Option<Role>, String), String> {
    let class = values.text("s3.credentials.provider.class");
    let or_option = |key: &str, names: &[&str]| values.non_blank(key).or_else(|| option(values.props, names));
    let id = or_option("aws.access.key.id", &["aws_access_key_id", "access_key_id"]);
    let keys = match (id, or_option("aws.secret.access.key", &["aws_secret_access_key", "secret_access_key"])) {
        (Some(id), Some(secret)) => {
            let token = option(values.props, &["aws_session_token", "aws_token", "session_token", "token"]).map(str::to_owned);
            Some(Source::Static(Arc::new(AwsCredential { key_id: id.to_owned(), secret_key: secret.to_owned(), token })))
        }
        _ => option(values.props, &["aws_profile"]).map(|name| Source::Profile(Some(name.to_owned()))),
    };
    if class != ASSUME_ROLE_CLASS {
        let source = source_of(class)?;
        return Ok((keys.unwrap_or(source), None, region.to_owned()));
    }
    let sts = Values { tables: &[STS_KEYS], props: values.props };
    let text = |name: &str| sts.non_blank(&format!("s3.credentials.provider.sts.{name}")).map(str::to_owned);
    let role = Role {
        arn: text("role.arn").unwrap_or_default(),
        session_name: text("role.session.name"),
        external_id: text("role.external.id"),
        endpoint: values.non_blank("lakehead.s3.sts.endpoint").map(str::to_owned),
        session: sts.long("s3.credentials.provider.sts.role.session.duration").and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs),
    };
    Ok((keys.unwrap_or(Source::Chain), Some(role), text("region").unwrap_or_else(|| region.to_owned())))
}

/// The same for a URL: its options, else the environment and the machine. `None` where the client finds them by itself.
fn url_credentials(props: &Props, builder: &AmazonS3Builder, region: &str) -> Option<(Source, Option<Role>, String)> {
    let has = |name: &str| option(props, &[name]).is_some();
    if CREDENTIAL_OPTIONS.iter().any(|name| has(name)) {
        return None;
    }
    let value = |key: AmazonS3ConfigKey| builder.get_config_value(&key).filter(|text| !text.is_empty());
    let is_given = ["aws_access_key_id", "access_key_id"].iter().any(|name| has(name));
    let source = match (value(AmazonS3ConfigKey::AccessKeyId), value(AmazonS3ConfigKey::SecretAccessKey)) {
        (Some(id), Some(secret)) if is_given => {
            let token = option(props, &["aws_session_token", "aws_token", "session_token", "token"]).map(str::to_owned);
            Source::Static(Arc::new(AwsCredential { key_id: id, secret_key: secret, token }))
        }
        _ if has("aws_profile") => Source::Profile(option(props, &["aws_profile"]).map(str::to_owned)),
        _ => Source::Chain,
    };
    let role = option(props, &["aws_role_arn", "role_arn"]).map(|arn| Role {
        arn: arn.to_owned(),
        session_name: option(props, &["aws_role_session_name", "role_session_name"]).map(str::to_owned),
        external_id: option(props, &["aws_external_id"]).map(str::to_owned),
        endpoint: option(props, &["aws_endpoint_url_sts", "endpoint_url_sts"]).map(str::to_owned),
        session: None,
    });
    Some((source, role, region.to_owned()))
}

/// What is left to do once the client's settings are known.
struct Plan {
    region: String,
    credentials: Option<(Source, Option<Role>, String)>,
    acl: Option<String>,
    attempts: u32,
    storage_class: Option<String>,
    sends_md5: bool,
    place: Place,
}

impl Plan {
    fn build(self, mut builder: AmazonS3Builder) -> Result<Opened, StoreError> {
        let mut is_signed = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).is_none_or(|text| text != "true");
        let mut credentials = None;
        if let Some((source, role, sts_region)) = self.credentials {
            is_signed &= source != Source::Anonymous;
            let given = credentials.insert(Credentials::new(source, role, &sts_region));
            builder = builder.with_credentials(Arc::new(given.clone()));
        }
        let customer_key = customer_key_headers(&builder);
        if let Some(endpoint) = self.place.endpoint.as_deref().filter(|url| !customer_key.is_empty() && is_overheard(url)) {
            return Err(bad_config(format!("the customer's encryption key (SSE-C) would travel in the open to '{endpoint}': give an endpoint with https")));
        }
        let always = Always { on_create: self.acl.map(|acl| ("x-amz-acl", acl)).into_iter().collect(), on_complete: customer_key };
        let dress = Dress::new(always);
        let store = builder.with_skip_signature(!is_signed).with_http_connector(dress.clone()).build().map_err(|error| invalid("s3", &error))?;
        dress.signed_by(if is_signed { Signer::S3(Arc::clone(store.credentials()), self.region) } else { Signer::Nobody });
        let bucket = Arc::new(store.clone());
        let unfinished = BucketUploads { bucket: Bucket::S3(Arc::clone(&bucket)), dress: dress.clone() };
        let tagger = Tagger { store: bucket, dress, attempts: self.attempts };
        let extras =
            Extras { tagger: Some(tagger), storage_class: self.storage_class, credentials, sends_md5: self.sends_md5, unfinished: Some(Arc::new(unfinished)) };
        Ok(Opened { extras, ..Opened::one(store, self.place) })
    }
}

/// SSE-C on the completion of an upload: S3 wants the key there when the parts have checksums.
fn customer_key_headers(builder: &AmazonS3Builder) -> Vec<(&'static str, String)> {
    let key = AmazonS3ConfigKey::from_str("aws_sse_customer_key_base64").ok().and_then(|key| builder.get_config_value(&key));
    let Some((key, bytes)) = key.and_then(|key| BASE64_STANDARD.decode(&key).ok().map(|bytes| (key, bytes))) else { return Vec::new() };
    vec![
        ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
        ("x-amz-server-side-encryption-customer-key", key),
        ("x-amz-server-side-encryption-customer-key-md5", BASE64_STANDARD.encode(Md5::digest(bytes))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Health;
    use crate::store::answering::{Server, answer, refusal};
    use crate::store::urls::{self, StoreKind};

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// The head of the first request that a sink makes.
    async fn asked(server: &Server, more: &[(&str, &str)]) -> String {
        let mut given = props(&[("s3.bucket.name", "lake"), ("s3.region", "eu-west-1")]);
        given.extend(props(more));
        urls::open(StoreKind::S3, &given, Health::default()).unwrap().check().await.unwrap_err();
        server.heads().remove(0)
    }

    #[tokio::test]
    async fn options_are_heard() {
        let keys = [("lakehead.store.option.aws_access_key_id", "AKIAOPTION"), ("lakehead.store.option.aws_secret_access_key", "s")];
        let denied = |_: &str| refusal("403 Forbidden", "AccessDenied");
        let server = Server::start(denied).await;
        let head = asked(&server, &[keys[0], keys[1], ("store.url", &server.url), ("lakehead.store.option.aws_server_side_encryption", "aws:kms")]).await;
        assert!(head.contains("Credential=AKIAOPTION/") && head.contains("/eu-west-1/s3/"), "{head}");
        assert!(head.contains("x-amz-server-side-encryption: aws:kms\r\n"), "{head}");
        let proxy = Server::start(denied).await;
        let head = asked(&proxy, &[keys[0], keys[1], ("store.url", "http://store.invalid"), ("lakehead.store.option.proxy_url", &proxy.url)]).await;
        assert!(head.starts_with("POST http://store.invalid/lake/"), "{head}");
    }

    #[tokio::test]
    async fn the_bucket_stands_in_the_host_or_before_the_key_also_at_an_endpoint_that_is_an_option() {
        let server = Server::start(|_| refusal("403 Forbidden", "AccessDenied")).await;
        let keys = [("aws.access.key.id", "id"), ("aws.secret.access.key", "s"), ("s3.path.style.access.enabled", "false")];
        let head = asked(&server, &[keys[0], keys[1], keys[2], ("lakehead.store.option.aws_endpoint", &server.url)]).await;
        assert!(head.starts_with("POST /lake/"), "{head}");
        let port = server.url.rsplit_once(':').unwrap().1;
        let proxy = Server::start(|_| refusal("403 Forbidden", "AccessDenied")).await;
        let by_name = format!("http://store.invalid:{port}");
        let through = ("lakehead.store.option.proxy_url", proxy.url.as_str());
        let head = asked(&proxy, &[keys[0], keys[1], keys[2], ("lakehead.store.option.aws_endpoint", &by_name), through]).await;
        assert!(head.starts_with(&format!("POST http://lake.store.invalid:{port}/topics/")), "{head}");
    }

    #[tokio::test]
    async fn a_customers_key_does_not_travel_in_the_open() {
        let key = BASE64_STANDARD.encode([7; 32]);
        for (url, is_taken) in
            [("http://store:9000", false), ("HTTP://10.0.0.1", false), ("https://store", true), ("http://localhost:9000", true), ("http://127.0.0.1", true)]
        {
            let given = props(&[("s3.bucket.name", "b"), ("s3.ssea.name", "AES256"), ("s3.sse.customer.key", &key), ("store.url", url)]);
            let opened = urls::open(StoreKind::S3, &given, Health::default());
            assert_eq!(opened.is_ok(), is_taken, "{url} {:?}", opened.err());
        }
    }

    #[tokio::test]
    async fn a_token_that_expired_is_replaced_once() {
        let sts = Server::start(|_| {
            let keys = "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>";
            let found = format!("<Credentials>{keys}<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>");
            let user = "<AssumedRoleUser><AssumedRoleId>i</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/x/s</Arn></AssumedRoleUser>";
            answer("200 OK", &format!("<AssumeRoleResponse><AssumeRoleResult>{found}{user}</AssumeRoleResult></AssumeRoleResponse>"))
        })
        .await;
        let server = Server::start(|_| refusal("400 Bad Request", "ExpiredToken")).await;
        let keys = [("aws.access.key.id", "id"), ("aws.secret.access.key", "s"), ("s3.credentials.provider.class", ASSUME_ROLE_CLASS)];
        let role = [
            ("s3.credentials.provider.sts.role.arn", "arn:aws:iam::123456789012:role/x"),
            ("s3.credentials.provider.sts.role.session.name", "session"),
            ("lakehead.s3.sts.endpoint", sts.url.as_str()),
            ("store.url", server.url.as_str()),
        ];
        asked(&server, &[&keys[..], &role[..]].concat()).await;
        assert_eq!((sts.heads().len(), server.heads().len()), (2, 2));
    }
}
