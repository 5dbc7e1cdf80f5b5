//! Where the records go: a broker inside the process, or the user's.

use std::fmt;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::kafka::{NewTopic, Props};
use crate::standalone::{self, ExitError};

/// Partitions of the topic.
pub const PARTITIONS: i32 = 6;

/// A broker with the topic for this run.
pub enum Broker {
    /// librdkafka's mock cluster: real protocol, real groups and offsets, in memory. It keeps 5 MiB of each partition and forgets older records,
    /// whether or not they were consumed: the generator must not be further ahead.
    Embedded(MockCluster<'static, DefaultProducerContext>),
    /// Somebody else's.
    Given(String),
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broker").field(&self.bootstrap_servers()).finish()
    }
}

impl Broker {
    /// Starts a broker, or uses the given one, and makes the topic.
    ///
    /// # Errors
    /// [`ExitError`] that names the brokers and says why the topic cannot be made.
    pub async fn start(given: Option<&str>, topic: &str) -> Result<Self, ExitError> {
        let Some(servers) = given else {
            let cluster = MockCluster::new(1).map_err(|error| ExitError::start(format!("the broker inside the process cannot start: {error}")))?;
            let made = cluster.create_topic(topic, PARTITIONS, 1);
            made.map_err(|error| ExitError::start(format!("topic {topic} cannot be made on the broker inside the process: {error}")))?;
            return Ok(Self::Embedded(cluster));
        };
        let failed = |error: &dyn fmt::Display| ExitError::start(format!("topic {topic} cannot be made at --bootstrap-servers {servers}: {error}"));
        let props = Props::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
        // Replicas as many as the broker gives by default.
        let new = NewTopic { name: topic.into(), partitions: PARTITIONS, replicas: -1, config: Props::new() };
        let topics = standalone::kafka().topics(&props).map_err(|e| failed(&e))?;
        if !topics.make(&new).await.map_err(|e| failed(&e))? {
            return Err(failed(&"there is one already"));
        }
        Ok(Self::Given(servers.to_owned()))
    }

    /// `host:port` of the brokers.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        match self {
            Self::Embedded(cluster) => cluster.bootstrap_servers(),
            Self::Given(servers) => servers.clone(),
        }
    }

    /// Bytes of a partition that are sure to be kept; `None` = all.
    #[must_use]
    pub fn retained_bytes(&self) -> Option<u64> {
        match self {
            // The cluster drops whole message sets, so a little less than its 5 MiB.
            Self::Embedded(_) => Some(9 << 19),
            Self::Given(_) => None,
        }
    }
}
