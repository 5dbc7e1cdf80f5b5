//! The token endpoint of an identity provider, asked by client credentials (RFC 6749, section 4.4): upstream's `ClientCredentialsJwtRetriever`.
//!
//! TLS is as the login module's own options `ssl.*` say, not as the connections to brokers have it.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::{JAAS, URL, get, refused};
use crate::kafka::jaas::Jaas;
use crate::kafka::properties::Refusal;
use crate::kafka::{KafkaError, KafkaErrorKind, Props};
use crate::tls::{self, Fallback, Ssl};

/// How long connecting and answering may take, unless properties say otherwise. Java's clients wait for ever.
const PATIENCE_MS: u64 = 10_000;
/// An answer that is longer is none.
const LONGEST_ANSWER: usize = 1 << 20;

/// Who asks whom for what.
pub(super) struct Grant {
    url: Url,
    /// The header, a secret.
    authorization: HeaderValue,
    body: String,
    /// The login module's options; those of TLS are used.
    options: Props,
    backoff: Duration,
    backoff_max: Duration,
    connect_timeout: Duration,
    read_timeout: Duration,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("url", &self.name()).finish_non_exhaustive()
    }
}

fn millis(props: &Props, key: &str, default: u64) -> Result<Duration, Refusal> {
    let Some(text) = get(props, key) else { return Ok(Duration::from_millis(default)) };
    text.parse().map(Duration::from_millis).map_err(|_| refused(key, format!("{text:?} is not a number of milliseconds")))
}

/// A property, or the login module's option that was there before it (KIP-1139).
fn credential<'a>(props: &'a Props, key: &str, jaas: &'a Jaas, option: &str) -> Option<&'a str> {
    get(props, key).or_else(|| get(&jaas.options, option))
}

impl Grant {
    pub(super) fn from_props(url: &str, props: &Props, jaas: &Jaas) -> Result<Self, Refusal> {
        let parsed = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let parsed = parsed.ok_or_else(|| refused(URL, "it is no address; give https://host/path of the token endpoint, or file:/path/to/token"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(refused(URL, "it has a user or a password in it; give them as client id and secret"));
        }
        for unsupported in ["sasl.oauthbearer.assertion.file", "sasl.oauthbearer.assertion.claim.iss"] {
            if get(props, unsupported).is_some() {
                return Err(refused(unsupported, "assertions are not supported; give sasl.oauthbearer.client.credentials.client.id and .client.secret"));
            }
        }
        let of_client = |key: &str, option: &str| {
            let key = format!("sasl.oauthbearer.client.credentials.{key}");
            let value = credential(props, &key, jaas, option).map(str::to_owned);
            value.ok_or_else(|| refused(&key, format!("it is needed for {URL}={parsed}; it may also be the option {option} in {JAAS}")))
        };
        let (mut id, mut secret) = (of_client("client.id", "clientId")?, of_client("client.secret", "clientSecret")?);
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        if get(props, "sasl.oauthbearer.header.urlencode").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            (id, secret) = (encoded(&id), encoded(&secret));
        }
        // Base64 can stand in a header.
        let authorization = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
        let mut authorization = authorization.map_err(|_| refused(JAAS, "the client's id and secret cannot be sent"))?;
        authorization.set_sensitive(true);
        let scope = credential(props, "sasl.oauthbearer.scope", jaas, "scope").map(|scope| format!("&scope={}", encoded(scope)));
        Ok(Self {
            url: parsed,
            authorization,
            body: format!("grant_type=client_credentials{}", scope.unwrap_or_default()),
            options: jaas.options.clone(),
            backoff: millis(props, "sasl.login.retry.backoff.ms", 100)?,
            backoff_max: millis(props, "sasl.login.retry.backoff.max.ms", 10_000)?,
            connect_timeout: millis(props, "sasl.login.connect.timeout.ms", PATIENCE_MS)?,
            read_timeout: millis(props, "sasl.login.read.timeout.ms", PATIENCE_MS)?,
        })
    }

    /// The address as it may be shown.
    pub(super) fn name(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        let is_bare = url.set_username("").is_ok() && url.set_password(None).is_ok();
        if is_bare { url.to_string() } else { "(hidden)".to_owned() }
    }
}

/// Asks for tokens.
pub(super) struct Endpoint {
    http: Client,
    name: String,
    url: Url,
    authorization: HeaderValue,
    body: String,
    backoff: Duration,
    backoff_max: Duration,
}

/// Why there is no token, and whether asking again may help.
struct Failure {
    message: String,
    passes: bool,
}

/// Answers that stay the same however often one asks, as upstream has them.
fn is_final(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400..=407 | 409..=415 | 501 | 505)
}

impl Endpoint {
    /// Reads the files of certificates, where TLS is asked for.
    pub(super) fn new(grant: &Grant) -> Result<Self, Refusal> {
        // Like the JVM's client, it does not look at `HTTP_PROXY`.
        let mut builder = Client::builder().no_proxy().redirect(Policy::none()).connect_timeout(grant.connect_timeout).read_timeout(grant.read_timeout);
        if grant.url.scheme() == "https" {
            let mut config = tls::client(Ssl::new(&grant.options), Fallback::System).map_err(|error| refused(JAAS, format!("options for TLS: {error}")))?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            builder = builder.tls_backend_preconfigured(config);
        }
        let http = builder.build().map_err(|error| refused(URL, told(&error)))?;
        let Grant { url, authorization, body, backoff, backoff_max, .. } = grant;
        let (url, authorization, body) = (url.clone(), authorization.clone(), body.clone());
        Ok(Self { http, name: grant.name(), url, authorization, body, backoff: *backoff, backoff_max: *backoff_max })
    }

    /// A token's text. Trouble that may pass is met by asking again for `sasl.login.retry.backoff.max.ms`, waiting longer from try to try.
    pub(super) async fn ask(&self) -> Result<String, KafkaError> {
        let end = Instant::now() + self.backoff_max;
        let mut wait = self.backoff;
        loop {
            let Failure { message, passes } = match self.post().await {
                Ok(token) => return Ok(token),
                Err(failure) => failure,
            };
            let message = format!("asking for a token at {}: {message}", self.name);
            if !passes {
                return Err(KafkaError::new(KafkaErrorKind::Denied, message));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(KafkaError::new(KafkaErrorKind::Transient, message));
            }
            tracing::debug!("{message}; trying again");
            sleep(wait.min(left)).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn post(&self) -> Result<String, Failure> {
        let passing = |error: reqwest::Error| Failure { message: told(&error), passes: true };
        let request = self.http.post(self.url.clone()).header(ACCEPT, "application/json").header(CACHE_CONTROL, "no-cache");
        let request = request.header(AUTHORIZATION, self.authorization.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut answer = request.body(self.body.clone()).send().await.map_err(passing)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(passing)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Failure { message: format!("the answer has more than {LONGEST_ANSWER} bytes"), passes: true });
            }
            body.extend_from_slice(&chunk);
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status != StatusCode::OK && status != StatusCode::CREATED {
            let advice = if is_final(status) { "; check the client's id, secret and scope, and the address" } else { "" };
            return Err(Failure { message: format!("{status}{}{advice}", reason(&said)), passes: !is_final(status) });
        }
        let token = ["access_token", "id_token"].iter().filter_map(|name| said.get(name)?.as_str()).map(str::trim).find(|token| !token.is_empty());
        let missing = || Failure { message: "the answer has no access_token; is this the address of a token endpoint?".to_owned(), passes: false };
        token.map(str::to_owned).ok_or_else(missing)
    }
}

/// What an error's answer says (RFC 6749, section 5.2); anything else of it is not repeated.
fn reason(said: &Value) -> String {
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(|text| text.chars().take(300).filter(|c| !c.is_control()).collect::<String>());
    let pairs = [("error", "error_description"), ("errorCode", "errorSummary")];
    pairs.iter().find_map(|(error, detail)| Some((text(error)?, text(detail)))).map_or_else(String::new, |(error, detail)| match detail {
        Some(detail) => format!(" ({error}: {detail})"),
        None => format!(" ({error})"),
    })
}

/// An error with its causes, without the address.
fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time" } else { "no answer" }.to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_what_the_standard_has_and_nothing_else() {
        for (body, expected) in [
            (r#"{"error":"invalid_client","error_description":"unknown\u0000 client"}"#, " (invalid_client: unknown client)"),
            (r#"{"error":"invalid_scope"}"#, " (invalid_scope)"),
            (r#"{"errorCode":"E1","errorSummary":"no"}"#, " (E1: no)"),
            (r#"{"access_token":"secret"}"#, ""),
            ("null", ""),
        ] {
            assert_eq!(reason(&serde_json::from_str(body).unwrap()), expected, "{body}");
        }
    }

    #[test]
    fn only_some_answers_are_asked_for_again() {
        for (status, expected) in [(400, true), (401, true), (403, true), (404, true), (408, false), (429, false), (500, false), (501, true), (503, false)] {
            assert_eq!(is_final(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
}
