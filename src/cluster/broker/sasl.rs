//! SASL: who we are, said as the mechanism asks for it (KIP-43, KIP-152).
//!
//! PLAIN and SCRAM-SHA-256/512 with the user name and password of `sasl.jaas.config`; OAUTHBEARER with a token of `kafka::tokens`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{MessageSent, SASLClient, SessionError, State};
use rsasl::property::{AuthId, OAuthBearerKV, OAuthBearerToken, Password};

use super::connection::{Connection, refused};
use super::invalid;
use super::security::get;
use crate::clock::Clock;
use crate::kafka::jaas::Jaas;
use crate::kafka::tokens::{Logins, OAUTHBEARER, Tokens};
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

enum Secret {
    Password { user: String, password: String },
    Tokens(Arc<Tokens>),
}

/// What the mechanism is given.
enum Answers {
    Password { user: String, password: String },
    Token { token: String, extensions: Vec<(String, String)> },
}

impl SessionCallback for Answers {
    fn callback(&self, _session: &SessionData, _context: &Context<'_>, request: &mut Request<'_>) -> Result<(), SessionError> {
        match self {
            Self::Password { user, password } => request.satisfy::<AuthId>(user)?.satisfy::<Password>(password.as_bytes())?,
            Self::Token { token, extensions } => {
                let pairs: Vec<(&str, &str)> = extensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                request.satisfy::<OAuthBearerKV>(&pairs)?.satisfy::<OAuthBearerToken>(token)?
            }
        };
        Ok(())
    }
}

impl Sasl {
    /// From `sasl.*`.
    pub(super) fn from_props(props: &Props, logins: &Logins, clock: Clock) -> Result<Self, KafkaError> {
        let given = get(props, "sasl.mechanism").unwrap_or("GSSAPI");
        let (mechanism, module) = match given.to_ascii_uppercase().as_str() {
            "PLAIN" => ("PLAIN", "PlainLoginModule"),
            "SCRAM-SHA-256" => ("SCRAM-SHA-256", "ScramLoginModule"),
            "SCRAM-SHA-512" => ("SCRAM-SHA-512", "ScramLoginModule"),
            OAUTHBEARER => (OAUTHBEARER, "OAuthBearerLoginModule"),
            _ => return Err(invalid("sasl.mechanism", given, "use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (GSSAPI is Java's default)")),
        };
        let wrong = |why: &str| KafkaError::new(KafkaErrorKind::Config, format!("property sasl.jaas.config: {why}"));
        let jaas = Jaas::parse(get(props, "sasl.jaas.config").ok_or_else(|| wrong("it is needed with security.protocol=SASL_*"))?).map_err(wrong)?;
        if jaas.module != module {
            return Err(wrong(&format!("sasl.mechanism={mechanism} needs {module}, not {}", jaas.module)));
        }
        let secret = match logins.tokens(props, clock)? {
            Some(tokens) => Secret::Tokens(tokens),
            None => {
                let (user, password) = jaas.credentials().map_err(wrong)?;
                Secret::Password { user: user.to_owned(), password: password.to_owned() }
            }
        };
        Ok(Self { mechanism, secret })
    }

    async fn answers(&self) -> Result<Answers, KafkaError> {
        Ok(match &self.secret {
            Secret::Password { user, password } => Answers::Password { user: user.clone(), password: password.clone() },
            Secret::Tokens(tokens) => Answers::Token { token: tokens.get().await?.text, extensions: tokens.extensions().to_vec() },
        })
    }

    /// The exchange with a broker. The connection knows afterwards how long it may be used.
    pub(super) async fn authenticate(&self, connection: &mut Connection) -> Result<(), KafkaError> {
        let to = format!("authenticating with {} at broker {}", self.mechanism, connection.peer());
        let offered = connection.ask(&SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(self.mechanism))).await?;
        if offered.error_code.err().is_some() {
            let names: Vec<_> = offered.mechanisms.iter().map(|name| name.as_str()).collect();
            let message = format!("{to}: it is not enabled there; set sasl.mechanism to one of {}", names.join(", "));
            return Err(KafkaError::new(KafkaErrorKind::Denied, message));
        }
        let denied = |why: &dyn fmt::Display| KafkaError::new(KafkaErrorKind::Denied, format!("{to}: {why}; check sasl.jaas.config"));
        let config = SASLConfig::builder().with_default_mechanisms().with_callback(self.answers().await?).map_err(|why| denied(&why))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sasl(pairs: &[(&str, &str)]) -> Result<Sasl, KafkaError> {
        let given = pairs.iter().chain(&[("security.protocol", "SASL_SSL")]);
        Sasl::from_props(&given.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), &Logins::default(), Clock::system())
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
}
