//! The topic of a log: what the worker's properties ask for, creating it, and what it must be.

use std::collections::BTreeMap;
use std::fmt;

use kafka_protocol::ResponseError;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{DescribeConfigsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::sleep;

use crate::cluster::administration::{self, brokers};
use crate::cluster::broker::connection::refused;
use crate::cluster::broker::{Address, Lane, Network, invalid, transient};
use crate::kafka::{KafkaError, KafkaErrorKind, Props};

const CLEANUP_POLICY: &str = "cleanup.policy";
/// A topic, among the kinds of things that have configurations.
const TOPIC: i8 = 2;

/// Which of the three topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `config.storage.*`: one partition, so that its records have one order.
    Configs,
    /// `offset.storage.*`.
    Offsets,
    /// `status.storage.*`.
    Statuses,
}

impl Purpose {
    /// The start of its properties, and the number of its partitions unless they say otherwise.
    fn defaults(self) -> (&'static str, i32) {
        match self {
            Self::Configs => ("config.storage.", 1),
            Self::Offsets => ("offset.storage.", 25),
            Self::Statuses => ("status.storage.", 5),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configs => "configurations",
            Self::Offsets => "source offsets",
            Self::Statuses => "statuses",
        })
    }
}

/// A topic that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// What for.
    pub purpose: Purpose,
    /// Its name.
    pub name: String,
    /// How many partitions it is created with; -1 = as the brokers think fit.
    pub partitions: i32,
    /// How many brokers hold it; likewise.
    pub replication_factor: i16,
    /// What else it is created with.
    pub configs: BTreeMap<String, String>,
}

impl Topic {
    /// From a worker's properties. What upstream ignores with a warning is ignored with a warning.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] names the property.
    pub fn from_props(props: &Props, purpose: Purpose) -> Result<Self, KafkaError> {
        let (prefix, partitions) = purpose.defaults();
        let mut topic = Self { purpose, name: String::new(), partitions, replication_factor: 3, configs: BTreeMap::new() };
        for (key, value) in props.iter().map(|(key, value)| (key, value.trim())) {
            match key.strip_prefix(prefix) {
                // The second is a standalone worker's, and no setting of a topic.
                None | Some("" | "file.filename") => {}
                Some("topic") => value.clone_into(&mut topic.name),
                Some("replication.factor") => topic.replication_factor = count(key, value)?,
                Some("partitions") if purpose == Purpose::Configs => tracing::warn!("{key} is ignored: the topic has one partition"),
                Some("partitions") => topic.partitions = count(key, value)?,
                Some(CLEANUP_POLICY) => tracing::warn!("{key} is ignored: the topic is compacted"),
                Some(config) => drop(topic.configs.insert(config.to_owned(), value.to_owned())),
            }
        }
        if topic.name.is_empty() {
            return Err(invalid(&format!("{prefix}topic"), "", "give the name of a topic"));
        }
        topic.configs.insert(CLEANUP_POLICY.to_owned(), "compact".to_owned());
        Ok(topic)
    }

    /// Creates it if it is not there, waits until it can be used, and checks that it is what it must be. Returns the number of its partitions.
    pub(super) async fn ensure(&self, network: &Network, lane: &Lane) -> Result<u32, KafkaError> {
        let mut tries = 0;
        let layout = loop {
            let trouble = match self.layout(lane).await {
                Ok(Some(layout)) if layout.values().all(Option::is_some) => break layout,
                Ok(Some(_)) => transient(format!("topic {}: not all partitions have a leader", self.name)),
                Ok(None) => match self.create(lane).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if trouble.kind != KafkaErrorKind::Transient {
                return Err(trouble);
            }
            tracing::info!(error = %trouble, "waiting for the topic of {}", self.purpose);
            sleep(network.backoff.before(tries)).await;
            tries += 1;
        };
        self.check(lane, layout.len()).await?;
        u32::try_from(layout.len()).map_err(|_| transient(format!("topic {}: {} partitions", self.name, layout.len())))
    }

    /// The leader of each partition; `None` if there is no such topic.
    pub(super) async fn layout(&self, lane: &Lane) -> Result<Option<Layout>, KafkaError> {
        let topic = MetadataRequestTopic::default().with_name(Some(StrBytes::from(self.name.clone()).into()));
        let answer = lane.ask_any(&MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)).await?;
        let brokers = brokers(&answer);
        let Some(topic) = answer.topics.first() else { return Ok(None) };
        match topic.error_code.err() {
            None => Ok(Some(topic.partitions.iter().map(|partition| (partition.partition_index, brokers.get(&partition.leader_id.0).cloned())).collect())),
            Some(ResponseError::UnknownTopicOrPartition) => Ok(None),
            Some(error) => Err(refused(error, &format!("looking for topic {} ({})", self.name, self.purpose))),
        }
    }

    async fn create(&self, lane: &Lane) -> Result<(), KafkaError> {
        let topic = administration::create(lane, &self.name, self.partitions, self.replication_factor, self.configs.iter()).await?;
        let detail = topic.error_message.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        match topic.error_code.err() {
            None => tracing::info!(
                topic = self.name,
                partitions = self.partitions,
                replication_factor = self.replication_factor,
                "created the topic of {}",
                self.purpose
            ),
            Some(ResponseError::TopicAlreadyExists) => {}
            Some(error) => return Err(refused(error, &format!("creating topic {} ({}){detail}", self.name, self.purpose))),
        }
        Ok(())
    }

    /// A topic of which records go away by age or size would lose what it is for; several partitions have no order among them.
    async fn check(&self, lane: &Lane, partitions: usize) -> Result<(), KafkaError> {
        let (prefix, _) = self.purpose.defaults();
        let wrong = |what: String| Err(KafkaError::new(KafkaErrorKind::Config, format!("topic {} ({prefix}topic) {what}", self.name)));
        if self.purpose == Purpose::Configs && partitions != 1 {
            return wrong(format!("has {partitions} partitions and must have one, for its records have one order: create another"));
        }
        let keys = Some(vec![StrBytes::from_static_str(CLEANUP_POLICY)]);
        let resource =
            DescribeConfigsResource::default().with_resource_type(TOPIC).with_resource_name(StrBytes::from(self.name.clone())).with_configuration_keys(keys);
        let answer = lane.ask_any(&DescribeConfigsRequest::default().with_resources(vec![resource])).await?;
        for result in &answer.results {
            match result.error_code.err() {
                None => {}
                Some(ResponseError::TopicAuthorizationFailed | ResponseError::ClusterAuthorizationFailed) => {
                    tracing::warn!(topic = self.name, "{CLEANUP_POLICY} cannot be checked without DESCRIBE_CONFIGS on the topic; it must be compact");
                }
                Some(error) => return Err(refused(error, &format!("reading the configuration of topic {}", self.name))),
            }
            for config in result.configs.iter().filter(|config| config.name.as_str() == CLEANUP_POLICY) {
                let policy = config.value.as_ref().map(|value| value.as_str()).unwrap_or_default();
                if policy != "compact" {
                    return wrong(format!("has {CLEANUP_POLICY}={policy} and must have compact, or {} will be lost: change it", self.purpose));
                }
            }
        }
        Ok(())
    }
}

/// The leader of each partition, where there is one.
pub(super) type Layout = BTreeMap<i32, Option<Address>>;

/// A number of partitions or replicas: at least 1, or -1.
fn count<T: TryFrom<i64>>(key: &str, value: &str) -> Result<T, KafkaError> {
    let number = value.parse::<i64>().ok().filter(|number| *number == -1 || *number >= 1).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| invalid(key, value, "give a number from 1, or -1 for the brokers' default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(purpose: Purpose, pairs: &[(&str, &str)]) -> Result<Topic, KafkaError> {
        Topic::from_props(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), purpose)
    }

    #[test]
    fn a_topic_is_created_as_the_properties_say() {
        for (purpose, pairs, expected) in [
            (Purpose::Configs, vec![("config.storage.topic", "c"), ("config.storage.partitions", "3")], ("c", 1, 3, "cleanup.policy=compact")),
            (Purpose::Offsets, vec![("offset.storage.topic", "o")], ("o", 25, 3, "cleanup.policy=compact")),
            (
                Purpose::Statuses,
                vec![
                    ("status.storage.topic", "s"),
                    ("status.storage.partitions", "-1"),
                    ("status.storage.replication.factor", "1"),
                    ("status.storage.cleanup.policy", "delete"),
                    ("status.storage.segment.bytes", "1048576"),
                    ("offset.storage.segment.bytes", "7"),
                ],
                ("s", -1, 1, "cleanup.policy=compact segment.bytes=1048576"),
            ),
        ] {
            let topic = topic(purpose, &pairs).expect("a topic");
            let configs: Vec<_> = topic.configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!((topic.name.as_str(), topic.partitions, topic.replication_factor, configs.join(" ").as_str()), expected);
        }
    }

    #[test]
    fn properties_are_refused_by_name() {
        for (pairs, says) in [
            (vec![], "offset.storage.topic="),
            (vec![("offset.storage.topic", "o"), ("offset.storage.partitions", "0")], "offset.storage.partitions=\"0\""),
            (vec![("offset.storage.topic", "o"), ("offset.storage.replication.factor", "99999")], "offset.storage.replication.factor=\"99999\""),
        ] {
            let error = topic(Purpose::Offsets, &pairs).expect_err("refused");
            assert!(error.kind == KafkaErrorKind::Config && error.message.contains(says), "{error}");
        }
    }
}
