//! How librdkafka's clients log in with tokens: it asks for one where the client is polled, and whoever polls waits for it.
//!
//! librdkafka wants the next token when four fifths of the life of the last one are over. It is told of a life that makes this the time at which the
//! [`Tokens`] are renewed.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::tokens::{Logins, Tokens};
use super::{KafkaError, KafkaErrorKind, Props, errors};
use crate::clock::Clock;

/// One client's login.
pub(super) struct Login {
    tokens: Option<(Arc<Tokens>, Handle)>,
    /// True when nobody waits for the client any more.
    closed: watch::Sender<bool>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("tokens", &self.tokens.as_ref().map(|(tokens, _)| tokens)).finish_non_exhaustive()
    }
}

impl Login {
    /// Of a client with these properties. To be made where there is an async runtime, which then asks for tokens.
    pub(super) fn new(java: &Props, logins: &Logins) -> Result<Self, KafkaError> {
        let no_runtime = |_| KafkaError::new(KafkaErrorKind::Fatal, "sasl.mechanism=OAUTHBEARER: there is nothing here that could ask for tokens");
        let tokens = logins.tokens(java, Clock::system())?;
        let tokens = tokens.map(|tokens| Ok((tokens, Handle::try_current().map_err(no_runtime)?))).transpose()?;
        Ok(Self { tokens, closed: watch::Sender::new(false) })
    }

    /// No login.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { tokens: None, closed: watch::Sender::new(false) }
    }

    /// Ends the wait for a token.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// A token for the client, on a thread that may wait.
    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let Some((tokens, runtime)) = &self.tokens else { return Err("the client has no login with tokens".into()) };
        let mut closed = self.closed.subscribe();
        let token = runtime.block_on(async {
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => None,
                token = tokens.get() => Some(token),
            }
        });
        let token = token.ok_or("the client is closed")??;
        let lifetime_ms = told_life(tokens.now_ms(), token.next_ms);
        Ok(OAuthToken { token: token.text, principal_name: token.principal, lifetime_ms })
    }

    /// What is really the matter when the client says that it cannot log in.
    pub(super) fn explain(&self, error: &RdError, doing: &str, detail: &str) -> KafkaError {
        // A client without a token waits; who asks it for something hears that there was no time.
        let may_be_login = matches!(error.rdkafka_error_code(), Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::OperationTimedOut));
        let trouble = self.tokens.as_ref().filter(|_| may_be_login).and_then(|(tokens, _)| tokens.trouble());
        match trouble {
            Some(trouble) => KafkaError::new(trouble.kind, format!("{doing}: {trouble}")),
            None => errors::explain(error, doing, detail),
        }
    }
}

/// The end of a life of which four fifths are over at `next`.
fn told_life(now: i64, next: i64) -> i64 {
    let until_next = next.saturating_sub(now).max(1);
    now.saturating_add(until_next).saturating_add((until_next + 3) / 4)
}

/// The callbacks of a client that nobody polls but for tokens.
#[derive(Debug)]
pub(super) struct LoginContext(pub(super) Login);

impl ClientContext for LoginContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.0.token()
    }
}

impl ConsumerContext for LoginContext {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_asks_again_when_the_next_token_is_wanted() {
        for (now, next) in [(1_000_000, 1_001_000), (0, 5), (7, 7), (1_000, 3_601_000)] {
            let life = told_life(now, next) - now;
            assert!(life > 0 && life * 4 / 5 >= next - now && life * 4 / 5 <= next - now + 4, "{now} {next} {life}");
        }
    }
}
