//! The ids of topics (KIP-516), which librdkafka does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::protocol::StrBytes;

use super::broker::{Lane, Network};
use crate::clock::Clock;
use crate::kafka::{KafkaError, Props, TopicId, TopicIds};

/// Asks the brokers that a client with these properties asks, over a connection of its own.
///
/// # Errors
/// [`crate::kafka::KafkaErrorKind::Config`] names the property that cannot be used.
pub fn open(props: &Props) -> Result<Arc<dyn TopicIds>, KafkaError> {
    let client_id = props.get("client.id").map_or("lakehead", String::as_str);
    Ok(Arc::new(Asker(Lane::new(&Arc::new(Network::new(props, client_id, Clock::system())?)))))
}

#[derive(Debug)]
struct Asker(Lane);

#[async_trait]
impl TopicIds for Asker {
    async fn of(&self, topics: &BTreeSet<String>) -> Result<BTreeMap<String, TopicId>, KafkaError> {
        let named = topics.iter().map(|topic| MetadataRequestTopic::default().with_name(Some(StrBytes::from(topic.clone()).into()))).collect();
        let answer = self.0.ask_any(&MetadataRequest::default().with_topics(Some(named)).with_allow_auto_topic_creation(false)).await?;
        let known = answer.topics.into_iter().filter(|topic| topic.error_code == 0 && !topic.topic_id.is_nil());
        Ok(known.filter_map(|topic| Some((topic.name?.0.to_string(), topic.topic_id.into_bytes()))).collect())
    }
}
