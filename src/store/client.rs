//! What the clients of all clouds have in common: time limits, proxy, endpoint and the options that go to them as they are.

use std::sync::Arc;
use std::time::Duration;

use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::keys::OPTION_PREFIX;
use super::objects::{Extras, Place, Tuning};
use super::patience::Patience;
use super::{StoreError, StoreErrorKind};
use crate::connect::Props;
use crate::connect::config::Values;

/// A store that was built, and where it writes.
pub(super) struct Opened {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    pub(super) place: Place,
    pub(super) extras: Extras,
}

impl Opened {
    pub(super) fn one<S: ObjectStore + MultipartStore>(store: S, place: Place) -> Self {
        let store = Arc::new(store);
        Self { objects: Arc::clone(&store) as _, parts: store, place, extras: Extras::default() }
    }
}

/// How requests are made. The client itself gives up soon, so that trouble shows early: the sink goes on trying.
pub(super) struct Client {
    pub(super) options: ClientOptions,
    pub(super) retry: RetryConfig,
}

/// Addresses of the machine itself that give credentials: no proxy reaches them.
const NO_PROXY: &str = "169.254.169.254,169.254.170.2,169.254.170.23,metadata.google.internal";

impl Client {
    /// `proxy` is `s3.proxy` for the keys `s3.proxy.url`, `.user` and `.password`.
    pub(super) fn new(values: Values<'_>, tuning: &Tuning, connect_timeout: Duration, proxy: Option<&str>) -> Self {
        // Requests end with the store's patience; this is for an object that is read, and whoever does not go through it.
        let timeout = Patience::longest(tuning.part_size as u64) + Duration::from_secs(60);
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 };
        let mut options = ClientOptions::new().with_timeout(timeout).with_connect_timeout(connect_timeout);
        if let Some(url) = proxy.and_then(|prefix| proxy_url(values, prefix)) {
            options = options.with_proxy_url(url).with_proxy_excludes(NO_PROXY);
        }
        Self { options, retry: RetryConfig { backoff, max_retries: 2, retry_timeout: timeout } }
    }

    /// Whoever writes `http://` means it.
    pub(super) fn options_for(&self, endpoint: Option<&str>) -> ClientOptions {
        self.options.clone().with_allow_http(endpoint.is_some_and(is_plain))
    }
}

/// True for a URL whose requests are not encrypted.
pub(super) fn is_plain(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http"))
}

/// The proxy with its user and password; those of their own keys win over those in the URL, each for itself, as upstream.
fn proxy_url(values: Values<'_>, prefix: &str) -> Option<String> {
    let get = |name: &str| values.non_blank(&format!("{prefix}.{name}"));
    let mut url = Url::parse(get("url")?).ok()?;
    // Neither call fails for a URL with a host, which validation has seen to.
    if let Some(user) = get("user") {
        url.set_username(user).ok()?;
    }
    if let Some(password) = get("password") {
        url.set_password(Some(password)).ok()?;
    }
    Some(url.into())
}

/// `store.url` with its scheme and without a slash at its end.
pub(super) fn endpoint(values: Values<'_>) -> Result<Option<String>, String> {
    let Some(text) = values.non_blank("store.url") else { return Ok(None) };
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&text).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("scheme '{}' is not http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("it has a user, a password or a query: credentials have their own keys".to_owned());
    }
    let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    Ok(Some(format!("{}://{}", url.scheme(), rest.trim_end_matches('/')))) // the scheme in lower case: clients compare it
}

/// The client's own options in a configuration, without their prefix and in lower case.
pub(super) fn options(props: &Props) -> impl Iterator<Item = (String, &str)> {
    props.iter().filter_map(|(name, value)| Some((name.strip_prefix(OPTION_PREFIX)?.to_ascii_lowercase(), value.as_str())))
}

/// One of them, under any of its names.
pub(super) fn option<'a>(props: &'a Props, names: &[&str]) -> Option<&'a str> {
    options(props).find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

pub(super) fn bad_config(message: String) -> StoreError {
    StoreError { kind: StoreErrorKind::BadConfig, message }
}

/// A client that could not be built. The client's texts name settings and files; of contents only JSON's, which are left out.
pub(super) fn invalid(what: &str, error: &object_store::Error) -> StoreError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<serde_json::Error>() {
            return bad_config(format!("the {what} store's settings are not usable: a field of its JSON credentials is missing, or of another type"));
        }
        cause = error.source();
    }
    bad_config(format!("the {what} store's settings are not usable: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::s3::S3_KEYS;

    #[test]
    fn endpoints() {
        for (given, expected) in [("minio:9000/", "https://minio:9000"), ("HTTP://Minio:9000", "http://Minio:9000"), ("https://h/x/", "https://h/x")] {
            let props = [("store.url".to_owned(), given.to_owned())].into();
            assert_eq!(endpoint(Values { tables: &[S3_KEYS], props: &props }).unwrap().as_deref(), Some(expected));
        }
        for (url, plain) in [("http://h", true), ("HTTP://h", true), ("https://h", false), ("h", false)] {
            assert_eq!(is_plain(url), plain, "{url}");
        }
    }

    #[test]
    fn proxies() {
        let cases: [(&[(&str, &str)], Option<&str>); 5] = [
            (&[], None),
            (&[("s3.proxy.url", "http://proxy:3128")], Some("http://proxy:3128/")),
            (&[("s3.proxy.url", "http://a:b@proxy:3128")], Some("http://a:b@proxy:3128/")),
            (&[("s3.proxy.url", "http://a:b@proxy:3128"), ("s3.proxy.password", "p@ss:w")], Some("http://a:p%40ss%3Aw@proxy:3128/")),
            (&[("s3.proxy.url", "https://proxy"), ("s3.proxy.user", "me"), ("s3.proxy.password", "x")], Some("https://me:x@proxy/")),
        ];
        for (given, expected) in cases {
            let props = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(proxy_url(Values { tables: &[S3_KEYS], props: &props }, "s3.proxy").as_deref(), expected);
        }
    }
}
