//! A producer over librdkafka: its own thread polls, and what became of records waits here until the task asks.
//!
//! Bound: what waits is as many numbers as records fit into librdkafka's queue (`queue.buffering.max.kbytes`).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Message as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::login::Login;
use super::tokens::Logins;
use super::{KafkaError, KafkaErrorKind, NotQueued, OutgoingRecord, Producer, Props, Settled, errors, properties};

/// A producer.
pub(super) struct Sender {
    shared: Arc<Shared>,
    /// Taken by `close`.
    client: Option<Arc<ThreadedProducer<Context>>>,
    /// Not before then is it told what became of records: what one answer settles comes record by record, and who asks has more to do than to hear of each.
    tells_at: Instant,
}

/// What settles meanwhile is told in one.
const GATHER: Duration = Duration::from_millis(2);

/// What the client's thread tells.
struct Shared {
    doing: String,
    /// How the client logs in.
    login: Login,
    settled: Mutex<Vec<Settled>>,
    trouble: Mutex<Option<String>>,
    rung: Notify,
}

struct Context(Arc<Shared>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("doing", &self.shared.doing).finish_non_exhaustive()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.login.token()
    }

    fn error(&self, error: RdError, reason: &str) {
        let explained = self.0.login.explain(&error, &self.0.doing, reason);
        tracing::warn!(error = %explained, "kafka client");
        *locked(&self.0.trouble) = Some(explained.message);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let outcome = match result {
            Ok(_) => {
                *locked(&self.0.trouble) = None;
                Ok(())
            }
            Err((error, record)) => Err(explain(error, &format!("{} to topic {}", self.0.doing, record.topic()))),
        };
        locked(&self.0.settled).push(Settled { token, outcome });
        self.0.rung.notify_one();
    }
}

/// An error with the advice that belongs to who produces.
fn explain(error: &RdError, doing: &str) -> KafkaError {
    let explained = errors::explain(error, doing, "");
    let advice = match error.rdkafka_error_code() {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            "create the topic, or let the connector do so with topic.creation.default.partitions and topic.creation.default.replication.factor"
        }
        Some(Code::TopicAuthorizationFailed) => "the principal needs WRITE and DESCRIBE on the topic",
        Some(Code::MessageSizeTooLarge) => "raise max.request.size (producer.override.max.request.size) and the topic's max.message.bytes",
        _ => return explained,
    };
    let what = error.rdkafka_error_code().map_or_else(String::new, |code| code.to_string());
    KafkaError::new(explained.kind, format!("{doing}: {what}; {advice}"))
}

impl Sender {
    pub(super) fn new(java: &Props, logins: &Logins, level: RDKafkaLogLevel) -> Result<Self, KafkaError> {
        let doing = format!("producing as {}", java.get("client.id").map_or("", String::as_str));
        Self::of(properties::producer(java)?, Login::new(java, logins)?, doing, level)
    }

    pub(super) fn transactional(java: &Props, id: &str, logins: &Logins, level: RDKafkaLogLevel) -> Result<Self, KafkaError> {
        Self::of(properties::transactional_producer(java, id)?, Login::new(java, logins)?, format!("producing under the transactional.id {id}"), level)
    }

    fn of(props: Props, login: Login, doing: String, level: RDKafkaLogLevel) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config.set_log_level(level);
        for (key, value) in props {
            config.set(key, value);
        }
        let shared = Arc::new(Shared { doing, login, settled: Mutex::default(), trouble: Mutex::default(), rung: Notify::new() });
        let client: ThreadedProducer<Context> =
            config.create_with_context(Context(Arc::clone(&shared))).map_err(|error| errors::explain(&error, &shared.doing, ""))?;
        Ok(Self { shared, client: Some(Arc::new(client)), tells_at: Instant::now() })
    }

    /// Has the client do what waits for brokers, beside the async threads. It goes on when this is dropped.
    #[expect(clippy::disallowed_methods, reason = "librdkafka's transactions block; they wait for the network, not for a CPU")]
    async fn block(&self, what: &str, work: impl FnOnce(&ThreadedProducer<Context>) -> Result<(), RdError> + Send + 'static) -> Result<(), KafkaError> {
        let client = self.client.clone().ok_or_else(|| self.closed())?;
        match tokio::task::spawn_blocking(move || work(&client)).await {
            Ok(done) => done.map_err(|error| self.of_transaction(&error, what)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn closed(&self) -> KafkaError {
        KafkaError::new(KafkaErrorKind::Fatal, format!("{}: the client was closed", self.shared.doing))
    }

    /// What the caller can do about an error of a transaction.
    fn of_transaction(&self, error: &RdError, what: &str) -> KafkaError {
        let explained = errors::explain(error, &format!("{}: {what}", self.shared.doing), "");
        let (code, is_retriable) = match error {
            RdError::Transaction(inner) => (Some(inner.code()), inner.is_retriable()),
            other => (other.rdkafka_error_code(), false),
        };
        let kind = match code {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => KafkaErrorKind::Fenced,
            _ if is_retriable => KafkaErrorKind::Transient,
            _ if explained.kind == KafkaErrorKind::Denied => KafkaErrorKind::Denied,
            _ => KafkaErrorKind::Fatal,
        };
        let reason = match error {
            RdError::Transaction(inner) => format!(" ({inner})"),
            _ => String::new(),
        };
        let advice = match (kind, code) {
            (KafkaErrorKind::Fenced, _) => "; another producer has this transactional.id now, or the transaction took longer than transaction.timeout.ms",
            (_, Some(Code::TransactionalIdAuthorizationFailed)) => "; the principal needs WRITE and DESCRIBE on the transactional.id",
            _ => "",
        };
        KafkaError::new(kind, format!("{}{reason}{advice}", explained.message))
    }
}

impl Drop for Sender {
    /// Ending the client waits for its thread: not on an async one.
    fn drop(&mut self) {
        self.shared.login.close();
        if let (Some(client), Ok(runtime)) = (self.client.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(client));
        }
    }
}

#[async_trait]
impl Producer for Sender {
    fn send(&mut self, token: usize, record: OutgoingRecord<'_>) -> Result<(), NotQueued> {
        let Some(client) = &self.client else {
            return Err(NotQueued::Refused(self.closed()));
        };
        let mut out = BaseRecord::<[u8], [u8], usize>::with_opaque_to(record.topic, token);
        (out.partition, out.timestamp) = (record.partition, record.timestamp);
        (out.key, out.payload) = (record.key, record.value);
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            out.headers = Some(record.headers.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: *value })));
        }
        match client.send(out) {
            Ok(()) => Ok(()),
            Err((RdError::MessageProduction(Code::QueueFull), _)) => Err(NotQueued::Full),
            Err((error, _)) => Err(NotQueued::Refused(explain(&error, &format!("{} to topic {}", self.shared.doing, record.topic)))),
        }
    }

    async fn settled(&mut self) -> Vec<Settled> {
        loop {
            tokio::time::sleep_until(self.tells_at).await;
            let settled = std::mem::take(&mut *locked(&self.shared.settled));
            if !settled.is_empty() {
                self.tells_at = Instant::now() + GATHER;
                return settled;
            }
            self.shared.rung.notified().await;
        }
    }

    fn trouble(&self) -> Option<String> {
        locked(&self.shared.trouble).clone()
    }

    async fn init_transactions(&mut self, patience: Duration) -> Result<(), KafkaError> {
        self.block("taking over the transactional.id", move |client| client.init_transactions(patience)).await
    }

    fn begin_transaction(&mut self) -> Result<(), KafkaError> {
        let client = self.client.as_ref().ok_or_else(|| self.closed())?;
        client.begin_transaction().map_err(|error| self.of_transaction(&error, "beginning a transaction"))
    }

    async fn commit_transaction(&mut self, patience: Duration) -> Result<(), KafkaError> {
        self.block("committing a transaction", move |client| client.commit_transaction(patience)).await
    }

    async fn abort_transaction(&mut self, patience: Duration) -> Result<(), KafkaError> {
        self.block("aborting a transaction", move |client| client.abort_transaction(patience)).await
    }

    #[expect(clippy::disallowed_methods, reason = "ending the client waits for the network and its thread, not for a CPU")]
    async fn close(&mut self) {
        self.shared.login.close();
        let client = self.client.take();
        tokio::task::spawn_blocking(move || drop(client)).await.ok();
    }
}
