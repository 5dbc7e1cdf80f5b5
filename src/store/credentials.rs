//! Where S3 credentials come from: the sources that Amazon's SDKs know, by the names of the provider classes that configurations hold.
//!
//! [`Source`] is a place to look, [`Role`] one to assume with what is found there. [`Credentials`] asks only when a request needs a credential, keeps it
//! until shortly before it expires, and goes on with the old one while a new one cannot be had.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials as Found;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use chrono::{DateTime, TimeDelta, Utc};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tracing::warn;

use super::errors::{Class, NoCredential};
use crate::clock::Clock;

/// A place where credentials are looked for.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Environment, web identity, profile, container, instance: the first that has something.
    Chain,
    /// `AWS_ACCESS_KEY_ID` and its siblings.
    Environment,
    /// A profile of `~/.aws/config` and `~/.aws/credentials`; without a name `AWS_PROFILE`, or `default`.
    Profile(Option<String>),
    /// A token file and a role (`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`), as EKS gives them to service accounts.
    WebIdentity,
    /// The container's credentials endpoint: ECS, or EKS Pod Identity.
    Container,
    /// The instance's metadata service, version 2.
    Instance,
    /// The container's endpoint where there is one, else the instance.
    ContainerOrInstance,
    /// Keys of the configuration.
    Static(Arc<AwsCredential>),
    /// Requests are not signed.
    Anonymous,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "Chain",
            Self::Environment => "Environment",
            Self::Profile(_) => "Profile",
            Self::WebIdentity => "WebIdentity",
            Self::Container => "Container",
            Self::Instance => "Instance",
            Self::ContainerOrInstance => "ContainerOrInstance",
            Self::Static(_) => "Static",
            Self::Anonymous => "Anonymous",
        })
    }
}

/// Upstream's provider that assumes a role.
pub(super) const ASSUME_ROLE_CLASS: &str = "io.confluent.connect.s3.auth.AwsAssumeRoleCredentialsProvider";

const V1: &str = "com.amazonaws.auth.";
const V2: &str = "software.amazon.awssdk.auth.credentials.";

/// The source that a provider class of either SDK stands for; other classes cannot be loaded here.
///
/// # Errors
/// Why the class is not taken.
pub(super) fn source_of(class: &str) -> Result<Source, String> {
    let class = class.trim();
    if class.is_empty() || class == "io.confluent.connect.s3.auth.DefaultCredentialsProvider" {
        return Ok(Source::Chain);
    }
    let name = class.strip_prefix(V2).or_else(|| class.strip_prefix(V1)).unwrap_or("");
    Ok(match name {
        "DefaultCredentialsProvider" | "DefaultAWSCredentialsProviderChain" => Source::Chain,
        "EnvironmentVariableCredentialsProvider" => Source::Environment,
        "ProfileCredentialsProvider" | "profile.ProfileCredentialsProvider" => Source::Profile(None),
        "WebIdentityTokenFileCredentialsProvider" | "WebIdentityTokenCredentialsProvider" => Source::WebIdentity,
        "ContainerCredentialsProvider" => Source::Container,
        "InstanceProfileCredentialsProvider" => Source::Instance,
        "EC2ContainerCredentialsProviderWrapper" => Source::ContainerOrInstance,
        "AnonymousCredentialsProvider" => Source::Anonymous,
        "SystemPropertyCredentialsProvider" | "SystemPropertiesCredentialsProvider" => {
            return Err(
                "there are no Java system properties here: give the keys as aws.access.key.id and aws.secret.access.key, or in the environment".to_owned()
            );
        }
        _ => {
            return Err(format!(
                "Java classes cannot be loaded here; known: {ASSUME_ROLE_CLASS}, and of {V2}* Default, EnvironmentVariable, Profile, WebIdentityTokenFile, \
                 Container, InstanceProfile and Anonymous CredentialsProvider, also under their names of the first SDK ({V1}*)"
            ));
        }
    })
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
    /// STS elsewhere than at Amazon's address for the region.
    pub(super) endpoint: Option<String>,
    /// How long a session lasts; `None` = STS' default, an hour.
    pub(super) session: Option<Duration>,
}

/// A credential provider for one store. Clones share what they hold.
#[derive(Debug, Clone)]
pub(super) struct Credentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    role: Option<Role>,
    /// Where STS is asked.
    region: String,
    clock: Clock,
    held: Mutex<Option<Held>>,
    /// Taken by whoever asks: others wait for the answer, or go on with what they have.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Held {
    credential: Arc<AwsCredential>,
    expires: Option<DateTime<Utc>>,
    renew: Option<DateTime<Utc>>,
}

impl Credentials {
    /// Asks nobody yet.
    pub(super) fn new(source: Source, role: Option<Role>, region: &str) -> Self {
        let (held, asking) = (Mutex::default(), Arc::default());
        Self(Arc::new(Inner { source, role, region: region.to_owned(), clock: Clock::system(), held, asking }))
    }

    /// Drops what is held, so that the next request asks for another; false where there is no other.
    pub(super) fn forget(&self) -> bool {
        let has_another = self.0.role.is_some() || !matches!(self.0.source, Source::Static(_) | Source::Anonymous);
        has_another && self.0.held().take().is_some()
    }

    /// Renews what is held while it is still good. There is one such task at a time.
    fn renew_beside(&self) {
        let Ok(turn) = Arc::clone(&self.0.asking).try_lock_owned() else { return };
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _turn = turn;
            let now = inner.clock.now();
            match inner.ask(now).await {
                Ok(new) => *inner.held() = Some(new),
                Err(error) => {
                    if let Some(old) = inner.held().as_mut() {
                        warn!(%error, expires = ?old.expires, "the S3 credential cannot be renewed yet");
                        old.renew = Some(now + RETRY);
                    }
                }
            }
        });
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to ask. Made anew each time: providers keep what they have read of a file, which somebody may have changed since.
    async fn provider(&self) -> SharedCredentialsProvider {
        let base = self.base();
        let Some(role) = &self.role else { return base };
        let limits = TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).operation_attempt_timeout(ATTEMPT_LIMIT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(self.region.clone())).credentials_provider(base);
        loader = loader.timeout_config(limits);
        if let Some(endpoint) = &role.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let mut assume = AssumeRoleProvider::builder(&role.arn).configure(&loader.load().await);
        if let Some(name) = &role.session_name {
            assume = assume.session_name(name);
        }
        if let Some(id) = &role.external_id {
            assume = assume.external_id(id);
        }
        if let Some(length) = role.session {
            assume = assume.session_length(length);
        }
        SharedCredentialsProvider::new(assume.build().await)
    }

    fn base(&self) -> SharedCredentialsProvider {
        let config = || ProviderConfig::without_region().with_region(Some(Region::new(self.region.clone())));
        let profile = |name: &Option<String>| {
            let builder = ProfileFileCredentialsProvider::builder().configure(&config());
            match name {
                Some(name) => builder.profile_name(name).build(),
                None => builder.build(),
            }
        };
        let web = || WebIdentityTokenCredentialsProvider::builder().configure(&config()).build();
        let container = || EcsCredentialsProvider::builder().configure(&config()).build();
        let instance = || ImdsCredentialsProvider::builder().configure(&config()).build();
        match &self.source {
            Source::Chain => {
                let chain = CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new()).or_else("web identity", web());
                let chain = chain.or_else("profile", profile(&None)).or_else("container", container()).or_else("instance", instance());
                SharedCredentialsProvider::new(chain)
            }
            Source::Environment => SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()),
            Source::Profile(name) => SharedCredentialsProvider::new(profile(name)),
            Source::WebIdentity => SharedCredentialsProvider::new(web()),
            Source::Container => SharedCredentialsProvider::new(container()),
            Source::Instance => SharedCredentialsProvider::new(instance()),
            Source::ContainerOrInstance => {
                SharedCredentialsProvider::new(CredentialsProviderChain::first_try("container", container()).or_else("instance", instance()))
            }
            Source::Static(keys) => SharedCredentialsProvider::new(Found::new(&keys.key_id, &keys.secret_key, keys.token.clone(), None, "configuration")),
            Source::Anonymous => SharedCredentialsProvider::new(Found::new("anonymous", "", None, None, "nobody")), // never signs anything
        }
    }

    /// What is held and has not expired, and whether it is time for another.
    fn good(&self) -> Option<(Arc<AwsCredential>, bool)> {
        let now = self.clock.now();
        let held = self.held();
        let held = held.as_ref().filter(|held| held.expires.is_none_or(|end| now < end))?;
        Some((Arc::clone(&held.credential), held.renew.is_some_and(|renew| renew <= now)))
    }

    async fn ask(&self, now: DateTime<Utc>) -> Result<Held, NoCredential> {
        let answer = tokio::time::timeout(ASK_LIMIT, async { self.provider().await.provide_credentials().await });
        let answer = answer.await.map_err(|_| NoCredential { class: Class::Transient, text: self.silent() })?;
        let found = answer.map_err(|error| self.judge(&error))?;
        Ok(self.hold(found, now))
    }

    fn hold(&self, found: Found, now: DateTime<Utc>) -> Held {
        let expires = found.expiry().map(DateTime::<Utc>::from);
        // Five minutes before the end, or earlier in a short life. A file does not say when its keys change: it is read again every five minutes.
        let is_file = self.role.is_none() && matches!(self.source, Source::Profile(_) | Source::Chain);
        let again = is_file.then(|| now + TimeDelta::minutes(5));
        let renew = expires.map(|end| end - TimeDelta::minutes(5).min((end - now) / 4)).or(again);
        let credential = AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        };
        Held { credential: Arc::new(credential), expires, renew }
    }

    fn silent(&self) -> String {
        let whom = match &self.role {
            Some(role) => format!("role '{}' could not be assumed: STS", role.arn),
            None => format!("the provider of credentials ({:?})", self.source),
        };
        format!("{whom} did not answer within {} s", ASK_LIMIT.as_secs())
    }

    fn judge(&self, error: &CredentialsError) -> NoCredential {
        let text = causes(error);
        let class = match error {
            CredentialsError::CredentialsNotLoaded(_) => Class::NoCredentials,
            CredentialsError::InvalidConfiguration(_) => Class::BadCredentials,
            _ if REFUSALS.iter().any(|code| text.contains(code)) => Class::BadCredentials,
            _ => Class::Transient,
        };
        let text = match &self.role {
            Some(role) => format!("role '{}' could not be assumed: {text}", role.arn),
            None => text,
        };
        NoCredential { class, text }
    }
}

/// Answers of STS that trying again does not change.
const REFUSALS: &[&str] = &[
    "AccessDenied",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "IDPRejectedClaim",
    "ExpiredToken",
    "SignatureDoesNotMatch",
    "ValidationError",
    "RegionDisabled",
    "NoSuchEntity",
];

/// An error with what led to it, each text once. Neither holds a secret: the SDK hides them in its texts.
fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !texts.iter().any(|seen| seen.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    texts.join(": ")
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let inner = &self.0;
        if let (Source::Static(keys), None) = (&inner.source, &inner.role) {
            return Ok(Arc::clone(keys));
        }
        if let Some((credential, is_due)) = inner.good() {
            if is_due {
                self.renew_beside();
            }
            return Ok(credential);
        }
        let _turn = inner.asking.lock().await;
        if let Some((credential, _)) = inner.good() {
            return Ok(credential); // whoever came while one was asking gets the same answer
        }
        let asked = inner.ask(inner.clock.now()).await;
        let new = asked.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })?;
        let credential = Arc::clone(&new.credential);
        *inner.held() = Some(new);
        Ok(credential)
    }
}

/// How long whoever gives credentials may take in all, to be connected to, and for one attempt of several.
const ASK_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// How long a credential that could not be renewed goes on before it is tried again.
const RETRY: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn provider_classes_of_both_sdks() {
        let keys = [
            ("", Source::Chain),
            ("software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider", Source::Chain),
            ("com.amazonaws.auth.DefaultAWSCredentialsProviderChain", Source::Chain),
            ("software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider", Source::Environment),
            ("com.amazonaws.auth.EnvironmentVariableCredentialsProvider", Source::Environment),
            ("software.amazon.awssdk.auth.credentials.ProfileCredentialsProvider", Source::Profile(None)),
            ("com.amazonaws.auth.profile.ProfileCredentialsProvider", Source::Profile(None)),
            ("software.amazon.awssdk.auth.credentials.WebIdentityTokenFileCredentialsProvider", Source::WebIdentity),
            ("com.amazonaws.auth.WebIdentityTokenCredentialsProvider", Source::WebIdentity),
            ("software.amazon.awssdk.auth.credentials.ContainerCredentialsProvider", Source::Container),
            ("com.amazonaws.auth.EC2ContainerCredentialsProviderWrapper", Source::ContainerOrInstance),
            ("com.amazonaws.auth.InstanceProfileCredentialsProvider", Source::Instance),
            ("software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider", Source::Anonymous),
        ];
        for (class, source) in keys {
            assert_eq!(source_of(class), Ok(source), "{class}");
        }
        for (class, why) in [
            ("com.example.OurProvider", "Java classes cannot be loaded here"),
            ("DefaultCredentialsProvider", "Java classes cannot be loaded here"),
            ("software.amazon.awssdk.auth.credentials.SystemPropertyCredentialsProvider", "there are no Java system properties here"),
        ] {
            assert!(source_of(class).unwrap_err().starts_with(why), "{class}");
        }
    }

    /// An STS that answers one request; comes back with its address and what it was asked.
    async fn sts() -> (String, tokio::task::JoinHandle<String>) {
        const ANSWER: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
                              <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
                              </AssumeRoleResult></AssumeRoleResponse>";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answered = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut asked, mut buffer) = (String::new(), [0; 4096]);
            while !asked.contains("RoleArn=") || !asked.contains("Version=") {
                let n = stream.read(&mut buffer).await.unwrap();
                assert_ne!(n, 0, "the request ended early: {asked}");
                asked.push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", ANSWER.len());
            stream.write_all(format!("{head}{ANSWER}").as_bytes()).await.unwrap();
            asked
        });
        (address, answered)
    }

    #[tokio::test]
    async fn a_session_lasts_as_long_as_is_asked() {
        for (session, wanted) in [(None, None), (Some(900), Some("DurationSeconds=900")), (Some(43_200), Some("DurationSeconds=43200"))] {
            let (endpoint, answered) = sts().await;
            let role = Role {
                arn: "arn:aws:iam::123456789012:role/r".to_owned(),
                session_name: Some("s".to_owned()),
                external_id: None,
                endpoint: Some(endpoint),
                session: session.map(Duration::from_secs),
            };
            let keys = AwsCredential { key_id: "id".to_owned(), secret_key: "secret".to_owned(), token: None };
            let credentials = Credentials::new(Source::Static(Arc::new(keys)), Some(role), "us-east-1");
            assert_eq!(credentials.get_credential().await.unwrap().key_id, "ASIA");
            let asked = answered.await.unwrap();
            assert_eq!(asked.split(['&', '\n']).find(|part| part.starts_with("DurationSeconds=")), wanted, "{asked}");
        }
    }

    #[tokio::test]
    async fn keys_of_the_configuration_are_used_as_they_are_and_never_shown() {
        let keys = AwsCredential { key_id: "id".to_owned(), secret_key: "hunter2".to_owned(), token: None };
        let credentials = Credentials::new(Source::Static(Arc::new(keys)), None, "us-east-1");
        assert_eq!(credentials.get_credential().await.unwrap().key_id, "id");
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    fn role(endpoint: String) -> Role {
        Role { arn: "arn:aws:iam::1:role/x".to_owned(), session_name: Some("s".to_owned()), external_id: None, endpoint: Some(endpoint), session: None }
    }

    #[tokio::test]
    async fn while_a_credential_is_good_a_silent_sts_holds_nobody_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keys = Arc::new(AwsCredential { key_id: "id".to_owned(), secret_key: "s".to_owned(), token: None });
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let credentials = Credentials::new(Source::Static(Arc::clone(&keys)), Some(role(endpoint)), "us-east-1");
        let now = credentials.0.clock.now();
        *credentials.0.held() = Some(Held { credential: keys, expires: Some(now + TimeDelta::minutes(1)), renew: Some(now) });
        for _ in 0..2 {
            let soon = tokio::time::timeout(Duration::from_secs(5), credentials.get_credential());
            assert_eq!(soon.await.unwrap().unwrap().key_id, "id");
        }
        tokio::time::timeout(Duration::from_secs(5), silent.accept()).await.unwrap().unwrap(); // it is being asked beside
        assert!(credentials.forget() && !credentials.forget());
    }

    #[test]
    fn a_profile_is_read_again_after_five_minutes() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        for (source, is_read_again) in [(Source::Profile(None), true), (Source::Chain, true), (Source::Environment, false)] {
            // In place of the machine's own file: what was found does not say when it ends.
            let found = Found::new("id", "s", None, None, "test");
            let held = Credentials::new(source.clone(), None, "us-east-1").0.hold(found, now);
            assert_eq!((held.expires, held.renew.is_some()), (None, is_read_again), "{source:?}");
        }
    }
}
