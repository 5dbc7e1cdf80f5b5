//! SASL: who we are, said as the mechanism asks for it (KIP-43, KIP-152).
//!
//! PLAIN and SCRAM-SHA-256/512 with the user name and password of `sasl.jaas.config`; OAUTHBEARER with a token from a file
//! (`sasl.oauthbearer.token.endpoint.url=file:…`) or an unsecured one for tests, whose claims are options of the login module.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{MessageSent, SASLClient, SessionError, State};
use rsasl::property::{AuthId, OAuthBearerToken, Password};
use serde_json::json;

use super::connection::{Connection, refused};
use super::security::get;
use super::{invalid, transient};
use crate::kafka::jaas::Jaas;
use crate::kafka::{KafkaError, KafkaErrorKind, Props};

/// A mechanism, and what it needs.
pub(super) struct Sasl {
    mechanism: &'static str,
    secret: Secret,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Secret {
    Password {
        user: String,
        password: String,
    },
    /// A file with a token, read for each connection.
    TokenFile(String),
    /// A token that nobody has signed.
    Unsecured {
        claims: serde_json::Map<String, serde_json::Value>,
        lifetime_s: i64,
    },
}

/// What the mechanism is given.
enum Answers {
    Password { user: String, password: String },
    Token(String),
}

impl SessionCallback for Answers {
    fn callback(&self, _session: &SessionData, _context: &Context<'_>, request: &mut Request<'_>) -> Result<(), SessionError> {
        match self {
            Self::Password { user, password } => request.satisfy::<AuthId>(user)?.satisfy::<Password>(password.as_bytes())?,
            Self::Token(token) => request.satisfy::<OAuthBearerToken>(token)?,
        };
        Ok(())
    }
}

impl Sasl {
    /// From `sasl.*`.
    pub(super) fn from_props(props: &Props) -> Result<Self, KafkaError> {
        let given = get(props, "sasl.mechanism").unwrap_or("GSSAPI");
        let (mechanism, module) = match given.to_ascii_uppercase().as_str() {
            "PLAIN" => ("PLAIN", "PlainLoginModule"),
            "SCRAM-SHA-256" => ("SCRAM-SHA-256", "ScramLoginModule"),
            "SCRAM-SHA-512" => ("SCRAM-SHA-512", "ScramLoginModule"),
            "OAUTHBEARER" => ("OAUTHBEARER", "OAuthBearerLoginModule"),
            _ => return Err(invalid("sasl.mechanism", given, "use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (GSSAPI is Java's default)")),
        };
        let wrong = |why: &str| KafkaError::new(KafkaErrorKind::Config, format!("property sasl.jaas.config: {why}"));
        let jaas = Jaas::parse(get(props, "sasl.jaas.config").ok_or_else(|| wrong("it is needed with security.protocol=SASL_*"))?).map_err(wrong)?;
        if jaas.module != module {
            return Err(wrong(&format!("sasl.mechanism={mechanism} needs {module}, not {}", jaas.module)));
        }
        let secret = if mechanism == "OAUTHBEARER" {
            token(props, &jaas)?
        } else {
            let (user, password) = jaas.credentials().map_err(wrong)?;
            Secret::Password { user: user.to_owned(), password: password.to_owned() }
        };
        Ok(Self { mechanism, secret })
    }

    fn answers(&self, now: DateTime<Utc>) -> Result<Answers, KafkaError> {
        Ok(match &self.secret {
            Secret::Password { user, password } => Answers::Password { user: user.clone(), password: password.clone() },
            Secret::TokenFile(path) => {
                let token = fs::read_to_string(path).map_err(|why| transient(format!("the token file {path:?} cannot be read: {why}")))?;
                Answers::Token(token.trim().to_owned())
            }
            Secret::Unsecured { claims, lifetime_s } => Answers::Token(unsecured(claims, now.timestamp(), *lifetime_s)),
        })
    }

    /// The exchange with a broker. The connection knows afterwards how long it may be used.
    pub(super) async fn authenticate(&self, connection: &mut Connection, now: DateTime<Utc>) -> Result<(), KafkaError> {
        let to = format!("authenticating with {} at broker {}", self.mechanism, connection.peer());
        let offered = connection.ask(&SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(self.mechanism))).await?;
        if offered.error_code.err().is_some() {
            let names: Vec<_> = offered.mechanisms.iter().map(|name| name.as_str()).collect();
            let message = format!("{to}: it is not enabled there; set sasl.mechanism to one of {}", names.join(", "));
            return Err(KafkaError::new(KafkaErrorKind::Denied, message));
        }
        let denied = |why: &dyn fmt::Display| KafkaError::new(KafkaErrorKind::Denied, format!("{to}: {why}; check sasl.jaas.config"));
        let config = SASLConfig::builder().with_default_mechanisms().with_callback(self.answers(now)?).map_err(|why| denied(&why))?;
        let name = Mechname::parse(self.mechanism.as_bytes()).map_err(|why| denied(&why))?;
        let mut session = SASLClient::new(Arc::clone(&config)).start_suggested([name].iter()).map_err(|why| denied(&why))?;
        let mut challenge: Option<bytes::Bytes> = None;
        loop {
            let mut said = Vec::new();
            let state = session.step(challenge.as_deref(), &mut said).map_err(|why| denied(&why))?;
            if matches!(state, State::Finished(MessageSent::No)) {
                return Ok(());
            }
            let answer = connection.ask(&SaslAuthenticateRequest::default().with_auth_bytes(said.into())).await?;
            if let Some(error) = answer.error_code.err() {
                let detail = answer.error_message.as_ref().map(|text| text.as_str()).unwrap_or_default();
                return Err(refused(error, &format!("{to} ({detail})")));
            }
            if let Ok(lifetime @ 1..) = u64::try_from(answer.session_lifetime_ms) {
                connection.expires_in(Duration::from_millis(lifetime / 100 * 85)); // Java's clients authenticate again after 85 to 95 percent
            }
            if matches!(state, State::Finished(MessageSent::Yes)) {
                return Ok(());
            }
            challenge = Some(answer.auth_bytes);
        }
    }
}

/// Where an OAUTHBEARER token comes from.
fn token(props: &Props, jaas: &Jaas) -> Result<Secret, KafkaError> {
    const URL: &str = "sasl.oauthbearer.token.endpoint.url";
    if let Some(url) = get(props, URL) {
        let path = url.strip_prefix("file:").map(|path| path.strip_prefix("//").unwrap_or(path));
        let path = path.ok_or_else(|| {
            invalid(URL, url, "tokens are read from a file that somebody keeps fresh (file:/path/to/token); asking for them is not supported yet")
        })?;
        return Ok(Secret::TokenFile(path.to_owned()));
    }
    let mut claims = serde_json::Map::new();
    for (option, value) in &jaas.options {
        if let Some(claim) = option.strip_prefix("unsecuredLoginStringClaim_") {
            claims.insert(claim.to_owned(), json!(value));
        } else if let Some(claim) = option.strip_prefix("unsecuredLoginNumberClaim_") {
            claims.insert(claim.to_owned(), json!(value.parse::<f64>().unwrap_or_default()));
        } else if let Some(claim) = option.strip_prefix("unsecuredLoginListClaim_") {
            let separator = value.chars().next().unwrap_or(',');
            claims.insert(claim.to_owned(), json!(value.split(separator).skip(1).collect::<Vec<_>>()));
        }
    }
    if claims.is_empty() {
        let message = format!(
            "sasl.mechanism=OAUTHBEARER: give {URL}=file:/path/to/token, or an unsecured token's claims in sasl.jaas.config (unsecuredLoginStringClaim_sub)"
        );
        return Err(KafkaError::new(KafkaErrorKind::Config, message));
    }
    let lifetime_s = jaas.options.get("unsecuredLoginLifetimeSeconds").and_then(|text| text.parse().ok()).unwrap_or(3600);
    Ok(Secret::Unsecured { claims, lifetime_s })
}

/// A token with these claims, signed by nobody.
fn unsecured(claims: &serde_json::Map<String, serde_json::Value>, now_s: i64, lifetime_s: i64) -> String {
    let mut claims = claims.clone();
    claims.insert("iat".to_owned(), json!(now_s));
    claims.insert("exp".to_owned(), json!(now_s + lifetime_s));
    let claims = serde_json::Value::Object(claims);
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sasl(pairs: &[(&str, &str)]) -> Result<Sasl, KafkaError> {
        Sasl::from_props(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn mechanisms_and_their_modules() {
        for (mechanism, jaas, expected) in [
            ("PLAIN", "x.PlainLoginModule required username=u password=secret;", Ok("PLAIN")),
            ("scram-sha-512", "x.ScramLoginModule required username=u password=secret;", Ok("SCRAM-SHA-512")),
            ("OAUTHBEARER", "x.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=u;", Ok("OAUTHBEARER")),
            ("OAUTHBEARER", "x.OAuthBearerLoginModule required clientSecret=secret;", Err("sasl.oauthbearer.token.endpoint.url")),
            ("PLAIN", "x.ScramLoginModule required username=u password=secret;", Err("needs PlainLoginModule, not ScramLoginModule")),
            ("PLAIN", "x.PlainLoginModule required username=secret;", Err("username and password are needed")),
            ("PLAIN", "", Err("sasl.jaas.config: it is needed")),
            ("GSSAPI", "x.Krb5LoginModule required password=secret;", Err("sasl.mechanism=\"GSSAPI\"")),
        ] {
            match (sasl(&[("sasl.mechanism", mechanism), ("sasl.jaas.config", jaas)]), expected) {
                (Ok(sasl), Ok(expected)) => assert_eq!(sasl.mechanism, expected),
                (Err(error), Err(says)) => {
                    assert!(error.kind == KafkaErrorKind::Config && error.message.contains(says) && !error.message.contains("secret"), "{error}");
                }
                (sasl, expected) => panic!("{mechanism} {jaas}: {sasl:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn an_unsecured_token_has_its_claims_and_times() {
        let claims = serde_json::Map::from_iter([("sub".to_owned(), json!("alice"))]);
        let token = unsecured(&claims, 1_000, 3_600);
        let parts: Vec<_> = token.split('.').map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("text")).collect();
        assert_eq!(parts, [r#"{"alg":"none"}"#, r#"{"sub":"alice","iat":1000,"exp":4600}"#, ""]);
    }
}
