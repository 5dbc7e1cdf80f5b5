//! Topics seen and made, over librdkafka's admin client: upstream's `TopicAdmin`, as far as source tasks need it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode as Code};

use super::{KafkaError, KafkaErrorKind, NewTopic, Props, Topics, errors, properties};

/// How long brokers may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An admin client.
pub(super) struct Admin {
    client: Arc<AdminClient<DefaultClientContext>>,
    id: String,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Admin {
    pub(super) fn new(java: &Props, level: RDKafkaLogLevel) -> Result<Self, KafkaError> {
        let id = java.get("client.id").cloned().unwrap_or_default();
        let mut config = ClientConfig::new();
        config.set_log_level(level);
        for (key, value) in properties::admin(java)? {
            config.set(key, value);
        }
        let client = config.create().map_err(|error| errors::explain(&error, &format!("administrating as {id}"), ""))?;
        Ok(Self { client: Arc::new(client), id })
    }
}

#[async_trait]
impl Topics for Admin {
    /// Asks for all topics: asking for one would have the broker make it, where `auto.create.topics.enable` is set.
    #[expect(clippy::disallowed_methods, reason = "librdkafka's request blocks; it waits for the network, not for a CPU")]
    async fn has(&self, topic: &str) -> Result<bool, KafkaError> {
        let client = Arc::clone(&self.client);
        let asked = tokio::task::spawn_blocking(move || {
            let found = client.inner().fetch_metadata(None, PATIENCE)?;
            Ok::<_, RdError>(found.topics().iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>())
        });
        match asked.await {
            Ok(Ok(names)) => Ok(names.iter().any(|name| name == topic)),
            Ok(Err(error)) => Err(errors::explain(&error, "asking for the topics", "")),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn make(&self, topic: &NewTopic) -> Result<bool, KafkaError> {
        let doing = format!("creating topic {} with {} partitions and replication factor {}", topic.name, topic.partitions, topic.replicas);
        let mut new = rdkafka::admin::NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replicas.into()));
        for (key, value) in &topic.config {
            new = new.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let made = self.client.create_topics([&new], &options).await.map_err(|error| errors::explain(&error, &doing, ""))?;
        match made.into_iter().next() {
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => {
                let explained = errors::explain(&RdError::AdminOp(code), &doing, "");
                let is_verdict = matches!(code, Code::PolicyViolation | Code::InvalidReplicationFactor | Code::InvalidPartitions | Code::InvalidTopic);
                Err(if is_verdict { KafkaError::new(KafkaErrorKind::Config, explained.message) } else { explained })
            }
            Some(Ok(_)) | None => Ok(true),
        }
    }
}
