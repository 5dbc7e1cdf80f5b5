//! Connections to brokers, for what librdkafka does not say: requests and answers of Kafka's binary protocol, over TCP or TLS, authenticated.
//!
//! A [`Network`] knows how to reach brokers and makes [`Connection`]s; a [`Lane`] is one user's own connection, opened when it is
//! needed and again after an error. A lane has one request on its way at a time, because a broker answers a connection's requests in turn: who must not
//! wait for somebody else's long request has a lane of its own. [`security`] is TLS and SASL, from the properties that Java's clients have.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::kafka::tokens::Logins;
use crate::kafka::{KafkaError, KafkaErrorKind, Props};

pub mod connection;
mod sasl;
pub mod security;

use connection::{Asked, Connection};
use security::Security;

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Address {
    /// Reads one address of `bootstrap.servers`: `host:port`, `[::1]:port`, with or without `protocol://` before it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest).trim();
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty() && !host.contains(['[', ']', '/', ' '])).then_some(())?;
        Some(Self { host: host.to_owned(), port: port.parse().ok().filter(|port| *port != 0)? })
    }

    /// The one of an answer; `None` if it says that there is none.
    pub(super) fn told(host: &str, port: i32) -> Option<Self> {
        let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// How brokers are reached.
pub struct Network {
    bootstrap: Vec<Address>,
    security: Security,
    client_id: String,
    clock: Clock,
    setup_timeout: Duration,
    /// `connections.max.idle.ms`: a connection that was idle for longer is not used again, since the broker may have closed it.
    idle: Duration,
    /// `request.timeout.ms`: how long an answer is waited for that does not wait for others itself.
    pub request_timeout: Duration,
    /// Between tries.
    pub backoff: Backoff,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("bootstrap", &self.bootstrap).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Network {
    /// From a worker's properties. Reads the files of certificates; nothing is asked of brokers yet.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] names the property and says what to do.
    pub fn new(props: &Props, client_id: &str, clock: Clock) -> Result<Self, KafkaError> {
        Self::sharing(props, client_id, clock, &Logins::default())
    }

    /// The same for one of several clients that log in as one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sharing(props: &Props, client_id: &str, clock: Clock, logins: &Logins) -> Result<Self, KafkaError> {
        let servers = props.get("bootstrap.servers").map(String::as_str).unwrap_or_default();
        let parse = |server: &str| Address::parse(server).ok_or_else(|| invalid("bootstrap.servers", server, "give host:port, separated by commas"));
        let bootstrap = servers.split(',').map(str::trim).filter(|server| !server.is_empty()).map(parse).collect::<Result<Vec<_>, _>>()?;
        if bootstrap.is_empty() {
            return Err(invalid("bootstrap.servers", servers, "give host:port of some brokers, separated by commas"));
        }
        // As in Java, a negative number is no bound.
        let is_unbounded = props.get("connections.max.idle.ms").is_some_and(|value| value.trim().starts_with('-'));
        let idle = if is_unbounded { Duration::MAX } else { millis(props, "connections.max.idle.ms", 540_000)? };
        Ok(Self {
            bootstrap,
            security: Security::from_props(props, logins, clock)?,
            client_id: client_id.to_owned(),
            clock,
            idle,
            setup_timeout: millis(props, "socket.connection.setup.timeout.ms", 10_000)?,
            request_timeout: millis(props, "request.timeout.ms", 40_000)?,
            backoff: Backoff { first: millis(props, "retry.backoff.ms", 100)?, most: millis(props, "retry.backoff.max.ms", 1_000)? },
        })
    }

    /// The clock by which records and tokens are stamped.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Connects and authenticates.
    async fn connect(&self, to: &Address) -> Result<Connection, KafkaError> {
        let opening = async {
            let stream = self.security.open(to).await?;
            let mut connection = Connection::open(stream, to.clone(), &self.client_id).await?;
            self.security.authenticate(&mut connection).await?;
            Ok(connection)
        };
        let late = |_| transient(format!("connecting to broker {to}: no answer in {} ms", self.setup_timeout.as_millis()));
        timeout(self.setup_timeout, opening).await.map_err(late)?
    }
}

/// How long to wait before another try: longer from try to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first.
    pub first: Duration,
    /// At most.
    pub most: Duration,
}

impl Backoff {
    /// Before try number `tries`, from 0.
    #[must_use]
    pub fn before(&self, tries: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(tries)).min(self.most.max(self.first))
    }
}

/// One user's own connection.
pub struct Lane {
    network: Arc<Network>,
    open: Mutex<Option<(Connection, Instant)>>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("network", &self.network).finish_non_exhaustive()
    }
}

impl Lane {
    /// Not connected yet.
    #[must_use]
    pub fn new(network: &Arc<Network>) -> Self {
        Self { network: Arc::clone(network), open: Mutex::new(None) }
    }

    /// Asks that broker and waits for its answer for `patience`, not counting the time that a connection takes. When this is dropped, the connection is
    /// closed, and whether the broker did what was asked is not known.
    ///
    /// # Errors
    /// [`KafkaError`]: what happened on the way. What the broker says is in its answer.
    pub async fn ask<R: Asked>(&self, to: &Address, request: &R, patience: Duration) -> Result<R::Response, KafkaError> {
        let mut open = self.open.lock().await;
        let usable = open.take().filter(|(connection, used)| connection.peer() == to && used.elapsed() < self.network.idle && !connection.is_over());
        let mut connection = match usable {
            Some((connection, _)) => connection,
            None => self.network.connect(to).await?,
        };
        let late = |_| transient(format!("{} to broker {to}: no answer in {} ms", R::NAME, patience.as_millis()));
        let answer = timeout(patience, connection.ask(request)).await.map_err(late)??;
        *open = Some((connection, Instant::now()));
        Ok(answer)
    }

    /// How long an answer is waited for that does not wait for others itself.
    pub(super) fn patience(&self) -> Duration {
        self.network.request_timeout
    }

    /// Asks any broker: the one that this lane is connected to, or the first of `bootstrap.servers` that answers.
    ///
    /// # Errors
    /// [`KafkaError`] of the last one that was tried.
    pub async fn ask_any<R: Asked>(&self, request: &R) -> Result<R::Response, KafkaError> {
        let connected = self.open.lock().await.as_ref().map(|(connection, _)| connection.peer().clone());
        let mut last = None;
        for to in connected.iter().chain(&self.network.bootstrap) {
            match self.ask(to, request, self.network.request_timeout).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind != KafkaErrorKind::Transient => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| transient("no broker is known".to_owned())))
    }

    /// The id of the cluster that the brokers are of (KIP-78); `None` where they have none.
    ///
    /// # Errors
    /// [`KafkaError`] when no broker answers.
    pub async fn cluster_id(&self) -> Result<Option<String>, KafkaError> {
        let answer = self.ask_any(&MetadataRequest::default().with_topics(Some(Vec::new()))).await?;
        Ok(answer.cluster_id.map(|id| id.to_string()))
    }
}

/// A property's number of milliseconds.
pub(super) fn millis(props: &Props, key: &str, default: u64) -> Result<Duration, KafkaError> {
    let Some(value) = props.get(key) else { return Ok(Duration::from_millis(default)) };
    value.trim().parse().map(Duration::from_millis).map_err(|_| invalid(key, value, "give a number of milliseconds"))
}

/// A property that a person must correct.
pub(super) fn invalid(key: &str, value: &str, advice: &str) -> KafkaError {
    KafkaError::new(KafkaErrorKind::Config, format!("property {key}={value:?}: {advice}"))
}

/// Trouble that may be over at the next try.
pub(super) fn transient(message: String) -> KafkaError {
    KafkaError::new(KafkaErrorKind::Transient, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_in_bootstrap_servers() {
        for (text, expected) in [
            ("b:9092", Some(("b", 9092))),
            (" kafka-1.example.com:9093 ", Some(("kafka-1.example.com", 9093))),
            ("[::1]:9092", Some(("::1", 9092))),
            ("SASL_SSL://b:9094", Some(("b", 9094))),
            ("b", None),
            (":9092", None),
            ("b:0", None),
            ("b:70000", None),
            ("a b:1", None),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.as_ref().map(|address| (address.host.as_str(), address.port)), expected, "{text}");
            if let Some(address) = address {
                assert_eq!(Address::parse(&address.to_string()).as_ref(), Some(&address), "{text}");
            }
        }
    }

    #[test]
    fn tries_wait_longer_and_longer_up_to_a_bound() {
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };
        let waits: Vec<_> = [0, 1, 2, 3, 4, 100].into_iter().map(|tries| backoff.before(tries).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn properties_are_refused_by_name() {
        let of = |pairs: &[(&str, &str)]| {
            let props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Network::new(&props, "me", Clock::system()).map(|_| ()).map_err(|error| error.message)
        };
        assert_eq!(of(&[("bootstrap.servers", "a:1, b:2")]), Ok(()));
        for (pairs, says) in [
            (vec![], "bootstrap.servers"),
            (vec![("bootstrap.servers", "a:x")], "\"a:x\""),
            (vec![("bootstrap.servers", "a:1"), ("request.timeout.ms", "soon")], "request.timeout.ms=\"soon\""),
            (vec![("bootstrap.servers", "a:1"), ("connections.max.idle.ms", "x")], "connections.max.idle.ms=\"x\""),
        ] {
            let message = of(&pairs).expect_err("refused");
            assert!(message.contains(says), "{message}");
        }
    }
}
