//! Tokens for OAUTHBEARER: where they come from, and when the next one is wanted (KIP-255, KIP-768, KIP-1139).
//!
//! [`Tokens`] are one login: a file that somebody keeps fresh, claims that nobody signs, or an [`endpoint`] that is asked for a token by client credentials.
//! [`Logins`] shares a login among the clients that have the same settings, as Java's clients do. A token is asked for anew before it expires, beside the clients
//! that use the one that is there; only who has none waits. What a token says is read, never verified: that is the broker's part.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use self::endpoint::Endpoint;
use self::refresh::Refresh;
use super::jaas::Jaas;
use super::properties::Refusal;
use super::{KafkaError, KafkaErrorKind, Props};
use crate::clock::Clock;

mod endpoint;
mod refresh;

/// The mechanism.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const JAAS: &str = "sasl.jaas.config";
const HANDLER: &str = "sasl.login.callback.handler.class";
const SUB_CLAIM: &str = "sasl.oauthbearer.sub.claim.name";
/// After a failure, as Java's clients.
const AGAIN_MS: i64 = 10_000;
/// The least between two looks at a login.
const LEAST_MS: i64 = 1_000;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself, a secret.
    pub text: String,
    /// Whose it is.
    pub principal: String,
    /// When it expires, in milliseconds since the epoch.
    pub expires_ms: i64,
    /// When to ask for the next one.
    pub next_ms: i64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, principal, expires_ms, next_ms } = self;
        f.debug_struct("Token").field("principal", principal).field("expires_ms", expires_ms).field("next_ms", next_ms).finish_non_exhaustive()
    }
}

/// A login, as the properties describe it.
struct Plan {
    source: Source,
    /// The claim with the principal.
    sub_claim: String,
    refresh: Refresh,
    /// SASL extensions that go with the token.
    extensions: Vec<(String, String)>,
}

enum Source {
    /// A file with a token.
    File(PathBuf),
    /// Claims of a token that nobody signs, and how long it is good for.
    Unsecured { claims: Map<String, Value>, lifetime_s: i64 },
    /// Asks for tokens.
    Endpoint(endpoint::Grant),
}

/// A property that is not empty.
fn get<'a>(props: &'a Props, key: &str) -> Option<&'a str> {
    props.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn refused(key: &str, why: impl Into<String>) -> Refusal {
    Refusal { key: key.to_owned(), why: why.into() }
}

/// Whether these properties ask for a login with tokens.
fn is_asked_for(props: &Props) -> bool {
    let has_sasl = get(props, "security.protocol").is_some_and(|protocol| protocol.to_ascii_uppercase().starts_with("SASL_"));
    let mechanism = get(props, "sasl.mechanism").or_else(|| get(props, "sasl.mechanisms"));
    has_sasl && mechanism.is_some_and(|mechanism| mechanism.eq_ignore_ascii_case(OAUTHBEARER))
}

/// Checks the properties of a login with tokens, without reading files; tells the names of the SASL extensions that go with its tokens.
///
/// # Errors
/// The property that cannot be used, and why; never a secret.
pub(super) fn check(props: &Props) -> Result<Vec<String>, Refusal> {
    Plan::from_props(props).map(|plan| plan.extensions.into_iter().map(|(name, _)| name).collect())
}

impl Plan {
    fn from_props(props: &Props) -> Result<Self, Refusal> {
        let line = get(props, JAAS).ok_or_else(|| refused(JAAS, "it is needed with security.protocol=SASL_*: OAuthBearerLoginModule required;"))?;
        let jaas = Jaas::parse(line).map_err(|why| refused(JAAS, why))?;
        if jaas.module != "OAuthBearerLoginModule" {
            return Err(refused(JAAS, format!("sasl.mechanism={OAUTHBEARER} needs OAuthBearerLoginModule, not {}", jaas.module)));
        }
        let refresh = Refresh::from_props(props)?;
        let has_claims = jaas.options.keys().any(|option| option.starts_with("unsecuredLogin"));
        let is_unsecured = has_claims && get(props, HANDLER).is_none();
        let extension_prefix = if is_unsecured { "unsecuredLoginExtension_" } else { "extension_" };
        let extensions: Vec<_> =
            jaas.options.iter().filter_map(|(option, value)| Some((option.strip_prefix(extension_prefix)?.to_owned(), value.clone()))).collect();
        // The rules of upstream's `OAuthBearerClientInitialResponse`.
        let is_fine = |(name, value): &(String, String)| {
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()) && name != "auth";
            is_name && !value.is_empty() && value.chars().all(|c| ('\x21'..='\x7e').contains(&c) || " \t\r\n".contains(c))
        };
        if let Some((name, _)) = extensions.iter().find(|extension| !is_fine(extension)) {
            return Err(refused(
                JAAS,
                format!("option {extension_prefix}{name}: a SASL extension has a name of letters, not auth, and a value that can be printed"),
            ));
        }
        let sub_claim = get(props, SUB_CLAIM).unwrap_or("sub").to_owned();
        if is_unsecured {
            let sub_claim = jaas.options.get("unsecuredLoginPrincipalClaimName").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            let (source, sub_claim) = (unsecured(&jaas)?, sub_claim.unwrap_or_else(|| "sub".to_owned()));
            return Ok(Self { source, sub_claim, refresh, extensions });
        }
        let Some(url) = get(props, URL) else {
            let advice = "give https://… of the token endpoint, or file:/path/to/token; or an unsecured token's claims in sasl.jaas.config \
                          (unsecuredLoginStringClaim_sub), without sasl.login.callback.handler.class";
            return Err(refused(URL, format!("it is needed with sasl.mechanism={OAUTHBEARER}: {advice}")));
        };
        let source = match url.strip_prefix("file:") {
            Some(path) => Source::File(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
            None => Source::Endpoint(endpoint::Grant::from_props(url, props, &jaas)?),
        };
        Ok(Self { source, sub_claim, refresh, extensions })
    }
}

/// The claims of an unsecured token: options of the login module.
fn unsecured(jaas: &Jaas) -> Result<Source, Refusal> {
    let mut claims = Map::new();
    for (option, value) in &jaas.options {
        let (claim, value) = if let Some(claim) = option.strip_prefix("unsecuredLoginStringClaim_") {
            (claim, json!(value))
        } else if let Some(claim) = option.strip_prefix("unsecuredLoginNumberClaim_") {
            let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            (claim, json!(number.ok_or_else(|| refused(JAAS, format!("option {option} is not a number")))?))
        } else if let Some(claim) = option.strip_prefix("unsecuredLoginListClaim_") {
            let mut separated = value.chars();
            let separator = separated.next();
            let items: Vec<&str> = separator.filter(|_| value.chars().nth(1).is_some()).map(|at| separated.as_str().split(at).collect()).unwrap_or_default();
            (claim, json!(items))
        } else {
            continue;
        };
        if ["iat", "exp"].contains(&claim) {
            return Err(refused(JAAS, format!("option {option}: the claim {claim} is reckoned from the time; leave it out")));
        }
        claims.insert(claim.to_owned(), value);
    }
    let lifetime = jaas.options.get("unsecuredLoginLifetimeSeconds").map(|text| text.trim());
    let lifetime_s = lifetime.map_or(Some(3600), |text| text.parse().ok().filter(|seconds| (1..=i64::from(i32::MAX)).contains(seconds)));
    let lifetime_s = lifetime_s.ok_or_else(|| refused(JAAS, "option unsecuredLoginLifetimeSeconds is not a number of seconds"))?;
    Ok(Source::Unsecured { claims, lifetime_s })
}

/// A token with these claims, signed by nobody.
fn sign_by_nobody(claims: &Map<String, Value>, now_s: i64, lifetime_s: i64) -> String {
    let mut claims = claims.clone();
    claims.insert("iat".to_owned(), json!(now_s));
    claims.insert("exp".to_owned(), json!(now_s.saturating_add(lifetime_s)));
    let claims = Value::Object(claims);
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// What a token says of itself: whose it is, when it was issued and when it expires, in milliseconds.
fn read(text: &str, sub_claim: &str) -> Result<(String, Option<i64>, i64), String> {
    let mut parts = text.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err("it is no JWT: it has not three parts".to_owned());
    };
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).map_err(|_| "its claims are not in base64url".to_owned())?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).map_err(|_| "its claims are no JSON object".to_owned())?;
    let time = |claim: &str| {
        let seconds = claims.get(claim)?;
        let whole = seconds.as_i64().map(|seconds| seconds.saturating_mul(1000));
        #[expect(clippy::cast_possible_truncation, clippy::as_conversions, reason = "what is beyond the range becomes its end")]
        whole.or_else(|| seconds.as_f64().map(|seconds| (seconds * 1000.0) as i64))
    };
    let expires = time("exp").ok_or_else(|| "it has no claim exp with the time of its end".to_owned())?;
    let principal = claims.get(sub_claim).and_then(Value::as_str).map(str::trim).filter(|principal| !principal.is_empty());
    let principal = principal.ok_or_else(|| format!("it has no claim {sub_claim} with a principal's name ({SUB_CLAIM})"))?;
    Ok((principal.to_owned(), time("iat"), expires))
}

/// What is known of an endpoint's tokens.
#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// Why the last try brought none.
    trouble: Option<KafkaError>,
}

/// A login.
pub struct Tokens {
    plan: Plan,
    endpoint: Option<Endpoint>,
    clock: Clock,
    held: Mutex<Held>,
    /// One asks for all who wait.
    asking: tokio::sync::Mutex<()>,
    /// The next token is being asked for while there is one.
    renewing: AtomicBool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("from", &self.from()).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the files of certificates, if the endpoint's properties name some; asks for nothing yet.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] names the property and says what to do.
    pub fn new(props: &Props, clock: Clock) -> Result<Self, KafkaError> {
        let config = |refusal: Refusal| KafkaError::new(KafkaErrorKind::Config, format!("property {}: {}", refusal.key, refusal.why));
        let plan = Plan::from_props(props).map_err(config)?;
        let endpoint = match &plan.source {
            Source::Endpoint(grant) => Some(Endpoint::new(grant).map_err(config)?),
            Source::File(_) | Source::Unsecured { .. } => None,
        };
        Ok(Self { plan, endpoint, clock, held: Mutex::default(), asking: tokio::sync::Mutex::default(), renewing: AtomicBool::new(false) })
    }

    /// SASL extensions that go with the tokens.
    #[must_use]
    pub fn extensions(&self) -> &[(String, String)] {
        &self.plan.extensions
    }

    /// Where the tokens come from.
    fn from(&self) -> String {
        match &self.plan.source {
            Source::File(path) => format!("the token file {path:?}"),
            Source::Unsecured { .. } => "the claims in sasl.jaas.config".to_owned(),
            Source::Endpoint(grant) => format!("the token endpoint {}", grant.name()),
        }
    }

    /// The wall clock, in milliseconds since the epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// Why the last try brought no token, if it brought none.
    pub(super) fn trouble(&self) -> Option<KafkaError> {
        self.held().trouble.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn valid(&self) -> Option<Token> {
        let now = self.now_ms();
        self.held().token.clone().filter(|token| token.expires_ms > now)
    }

    /// A token that has not expired. While there is one, the next is asked for beside; who calls waits only when there is none.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Transient`] when it may be had later, [`KafkaErrorKind::Denied`] when a person must mend something. Never with a secret.
    pub async fn get(self: &Arc<Self>) -> Result<Token, KafkaError> {
        if self.endpoint.is_none() {
            return self.renew().await;
        }
        if let Some(token) = self.valid() {
            return Ok(self.renewed_beside(token));
        }
        let _one = self.asking.lock().await;
        match self.valid() {
            Some(token) => Ok(token),
            None => self.renew().await,
        }
    }

    /// Has the next token asked for, where it is time; the one that is there is looked at again soon.
    fn renewed_beside(self: &Arc<Self>, mut token: Token) -> Token {
        let now = self.now_ms();
        if token.next_ms <= now {
            if !self.renewing.swap(true, Ordering::AcqRel) {
                let tokens = Arc::clone(self);
                tokio::spawn(async move {
                    tokens.renew().await.ok();
                    tokens.renewing.store(false, Ordering::Release);
                });
            }
            token.next_ms = now + LEAST_MS;
        }
        token
    }

    /// Gets the next token, and remembers what came of it.
    async fn renew(&self) -> Result<Token, KafkaError> {
        let outcome = match self.bring().await {
            Ok(text) => self.understood(text),
            Err(error) => Err(error),
        };
        let mut held = self.held();
        match &outcome {
            Ok(token) => {
                if held.trouble.take().is_some() {
                    tracing::info!(principal = token.principal, "there is a token again from {}", self.from());
                }
                held.token = Some(token.clone());
            }
            Err(error) => {
                tracing::warn!(%error, "no token; trying again");
                let again = self.now_ms() + AGAIN_MS;
                if let Some(token) = &mut held.token {
                    token.next_ms = again;
                }
                held.trouble = Some(error.clone());
            }
        }
        outcome
    }

    /// The text of the next token.
    async fn bring(&self) -> Result<String, KafkaError> {
        match &self.plan.source {
            Source::File(path) => {
                let unreadable = |why: std::io::Error| KafkaError::new(KafkaErrorKind::Transient, format!("{} cannot be read: {why}", self.from()));
                Ok(tokio::fs::read_to_string(path).await.map_err(unreadable)?.trim().to_owned())
            }
            Source::Unsecured { claims, lifetime_s } => Ok(sign_by_nobody(claims, self.clock.now().timestamp(), *lifetime_s)),
            Source::Endpoint(_) => match &self.endpoint {
                Some(endpoint) => endpoint.ask().await,
                None => Err(KafkaError::new(KafkaErrorKind::Fatal, "there is no token endpoint")),
            },
        }
    }

    /// What the text says.
    fn understood(&self, text: String) -> Result<Token, KafkaError> {
        // A file may be about to be written.
        let kind = if matches!(self.plan.source, Source::File(_)) { KafkaErrorKind::Transient } else { KafkaErrorKind::Denied };
        let (principal, issued, expires_ms) =
            read(&text, &self.plan.sub_claim).map_err(|why| KafkaError::new(kind, format!("the token of {} cannot be used: {why}", self.from())))?;
        let now = self.now_ms();
        if expires_ms <= now {
            let since = (now - expires_ms) / 1000;
            let message = format!("the token of {} has expired {since} s ago; is it renewed, and are the clocks right?", self.from());
            return Err(KafkaError::new(KafkaErrorKind::Transient, message));
        }
        let next_ms = self.plan.refresh.next(now, issued, expires_ms, refresh::random()).max(now + LEAST_MS);
        Ok(Token { text, principal, expires_ms, next_ms })
    }
}

/// The logins of clients, one for those with the same settings.
#[derive(Debug, Clone, Default)]
pub struct Logins(Arc<Mutex<BTreeMap<Settings, Weak<Tokens>>>>);

/// What tells logins apart; it holds secrets.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Settings(Props);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Logins {
    /// The login of a client with these properties; `None` where they ask for none with tokens.
    ///
    /// # Errors
    /// As [`Tokens::new`].
    pub fn tokens(&self, props: &Props, clock: Clock) -> Result<Option<Arc<Tokens>>, KafkaError> {
        if !is_asked_for(props) {
            return Ok(None);
        }
        let settings = Settings(props.iter().filter(|(key, _)| key.starts_with("sasl.")).map(|(key, value)| (key.clone(), value.clone())).collect());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = all.get(&settings).and_then(Weak::upgrade) {
            return Ok(Some(tokens));
        }
        let tokens = Arc::new(Tokens::new(props, clock)?);
        all.retain(|_, tokens| tokens.strong_count() > 0);
        all.insert(settings, Arc::downgrade(&tokens));
        Ok(Some(tokens))
    }
}

#[cfg(test)]
mod tests;
