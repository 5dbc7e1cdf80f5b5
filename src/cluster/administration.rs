//! What is asked of brokers now and then, for connectors: topics seen and made, and a consumer group from outside. Upstream's `TopicAdmin` and `Admin`, as far as
//! Connect needs them.
//!
//! Each asker has a connection of its own, opened when it is needed. What may pass is tried again for [`PATIENCE`]; what brokers refuse comes back by what can
//! be done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kafka_protocol::ResponseError;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteGroupsRequest, FindCoordinatorRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use super::broker::connection::{Asked, refused};
use super::broker::{Address, Lane, Network, transient};
use crate::batch::{Commits, Committed, TopicPartition};
use crate::clock::Clock;
use crate::kafka::librdkafka::Administration;
use crate::kafka::tokens::Logins;
use crate::kafka::{Group, KafkaError, KafkaErrorKind, NewTopic, OffsetChanges, Props, TopicId, TopicIds, Topics};

/// How long brokers may take for what is asked of them.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for creating a topic, as brokers are told.
const CREATION_MS: i32 = 30_000;

/// For librdkafka's clients, which do without its own administration.
pub const ADMINISTRATION: Administration = Administration {
    topics: |props, logins| Ok(Arc::new(Brokers::new(props, logins)?)),
    topic_ids: |props, logins| Ok(Arc::new(Brokers::new(props, logins)?)),
    group: |props, logins| {
        let group = props.get("group.id").cloned().unwrap_or_default();
        Ok(Box::new(Outsider { group, brokers: Brokers::new(props, logins)? }))
    },
};

/// Brokers, and a connection to one of them.
#[derive(Debug)]
struct Brokers {
    network: Arc<Network>,
    lane: Lane,
}

impl Brokers {
    fn new(props: &Props, logins: &Logins) -> Result<Self, KafkaError> {
        let client_id = props.get("client.id").map_or("lakehead", String::as_str);
        let network = Arc::new(Network::sharing(props, client_id, Clock::system(), logins)?);
        Ok(Self { lane: Lane::new(&network), network })
    }

    /// What brokers know of these topics. Makes none.
    async fn described(&self, topics: impl Iterator<Item = &str>) -> Result<MetadataResponse, KafkaError> {
        let named = topics.map(|topic| MetadataRequestTopic::default().with_name(Some(text(topic).into()))).collect();
        self.lane.ask_any(&MetadataRequest::default().with_topics(Some(named)).with_allow_auto_topic_creation(false)).await
    }

    /// Tries again, longer and longer apart, while what happens may pass.
    async fn patiently<T, F: Future<Output = Result<T, KafkaError>>>(&self, attempt: impl Fn() -> F) -> Result<T, KafkaError> {
        let end = Instant::now() + PATIENCE;
        let mut tries = 0;
        loop {
            match attempt().await {
                Err(error) if error.kind == KafkaErrorKind::Transient && Instant::now() < end => {
                    tracing::debug!(%error, "trying again");
                    sleep(self.network.backoff.before(tries)).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from(text.to_owned())
}

/// Where brokers are, by their numbers.
pub(super) fn brokers(answer: &MetadataResponse) -> BTreeMap<i32, Address> {
    answer.brokers.iter().filter_map(|broker| Some((broker.node_id.0, Address::told(&broker.host, broker.port)?))).collect()
}

/// Has a topic created. What is wrong with it is in the answer.
pub(super) async fn create<'a>(
    lane: &Lane,
    name: &str,
    partitions: i32,
    replicas: i16,
    configs: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<CreatableTopicResult, KafkaError> {
    let config = |(name, value): (&String, &String)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)));
    let topic = CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(configs.map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(CREATION_MS);
    // Older clusters want the controller to be asked; newer ones name any broker as it.
    let cluster = lane.ask_any(&MetadataRequest::default().with_topics(Some(Vec::new()))).await?;
    let answer = match brokers(&cluster).get(&cluster.controller_id.0) {
        Some(controller) => lane.ask(controller, &request, lane.patience()).await?,
        None => lane.ask_any(&request).await?,
    };
    answer.topics.into_iter().next().ok_or_else(|| transient(format!("creating topic {name}: the answer is empty")))
}

#[async_trait]
impl Topics for Brokers {
    async fn has(&self, topic: &str) -> Result<bool, KafkaError> {
        self.patiently(|| async {
            let answer = self.described([topic].into_iter()).await?;
            match answer.topics.first().and_then(|topic| topic.error_code.err()) {
                // It is there, and its partitions are about to have leaders.
                None | Some(ResponseError::LeaderNotAvailable) => Ok(!answer.topics.is_empty()),
                // Whether it may be made, and why not, is said to who tries to.
                Some(ResponseError::UnknownTopicOrPartition | ResponseError::TopicAuthorizationFailed | ResponseError::InvalidTopicException) => Ok(false),
                Some(error) => Err(refused(error, &format!("looking for topic {topic}"))),
            }
        })
        .await
    }

    async fn make(&self, topic: &NewTopic) -> Result<bool, KafkaError> {
        let NewTopic { name, partitions, replicas, config } = topic;
        self.patiently(|| async {
            let made = create(&self.lane, name, *partitions, *replicas, config.iter()).await?;
            let detail = made.error_message.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
            let doing = format!("creating topic {name} with {partitions} partitions and replication factor {replicas}{detail}");
            match made.error_code.err() {
                None => Ok(true),
                Some(ResponseError::TopicAlreadyExists) => Ok(false),
                Some(error @ ResponseError::InvalidTopicException) => Err(KafkaError::new(KafkaErrorKind::Config, refused(error, &doing).message)),
                Some(error) => Err(refused(error, &doing)),
            }
        })
        .await
    }
}

#[async_trait]
impl TopicIds for Brokers {
    async fn of(&self, topics: &BTreeSet<String>) -> Result<BTreeMap<String, TopicId>, KafkaError> {
        let answer = self.described(topics.iter().map(String::as_str)).await?;
        let known = answer.topics.into_iter().filter(|topic| topic.error_code == 0 && !topic.topic_id.is_nil());
        Ok(known.filter_map(|topic| Some((topic.name?.0.to_string(), topic.topic_id.into_bytes()))).collect())
    }
}

/// Somebody who is no member of a group.
struct Outsider {
    group: String,
    brokers: Brokers,
}

impl fmt::Debug for Outsider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outsider").field("group", &self.group).finish_non_exhaustive()
    }
}

/// What to do about a refusal, when whoever meets it is no member.
fn explain(error: ResponseError, doing: &str) -> KafkaError {
    let explained = refused(error, doing);
    let (kind, advice) = match error {
        ResponseError::NonEmptyGroup
        | ResponseError::UnknownMemberId
        | ResponseError::IllegalGeneration
        | ResponseError::RebalanceInProgress
        | ResponseError::StaleMemberEpoch
        | ResponseError::GroupSubscribedToTopic => (KafkaErrorKind::Active, "the group has members: stop them, and try again"),
        ResponseError::GroupAuthorizationFailed => (KafkaErrorKind::Denied, "the principal needs READ, DESCRIBE and DELETE on the group"),
        ResponseError::UnknownTopicOrPartition | ResponseError::GroupIdNotFound => (KafkaErrorKind::Fatal, "it is not there any more"),
        ResponseError::OffsetMetadataTooLarge => (KafkaErrorKind::TooLarge, "offset.metadata.max.bytes of the brokers bounds it"),
        _ => return explained,
    };
    KafkaError::new(kind, format!("{doing}: {error}; {advice}"))
}

/// By topic, as requests have partitions.
fn by_topic<'a, T>(partitions: impl Iterator<Item = (&'a TopicPartition, T)>) -> BTreeMap<&'a str, Vec<(i32, T)>> {
    let mut all = BTreeMap::<&str, Vec<(i32, T)>>::new();
    for (tp, what) in partitions {
        all.entry(&tp.topic).or_default().push((tp.partition, what));
    }
    all
}

impl Outsider {
    fn doing(&self, what: &str) -> String {
        format!("{what} group {}", self.group)
    }

    /// Asks the group's coordinator.
    async fn ask<R: Asked>(&self, request: &R, doing: &str) -> Result<R::Response, KafkaError> {
        let Brokers { lane, .. } = &self.brokers;
        let found = lane.ask_any(&FindCoordinatorRequest::default().with_key(text(&self.group))).await?;
        check(found.error_code, doing)?;
        let no_coordinator = || transient(format!("{doing}: group {} has no coordinator at the moment", self.group));
        lane.ask(&Address::told(&found.host, found.port).ok_or_else(no_coordinator)?, request, lane.patience()).await
    }

    async fn held(&self) -> Result<Commits, KafkaError> {
        let doing = self.doing("reading the committed offsets of");
        let answer = self.ask(&OffsetFetchRequest::default().with_group_id(text(&self.group).into()).with_topics(None), &doing).await?;
        check(answer.error_code, &doing)?;
        let mut held = Commits::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                check(partition.error_code, &doing)?;
                if partition.committed_offset >= 0 {
                    let metadata = partition.metadata.as_ref().map(ToString::to_string).unwrap_or_default();
                    held.insert(
                        TopicPartition::new(topic.name.as_str(), partition.partition_index),
                        Committed { offset: partition.committed_offset, metadata },
                    );
                }
            }
        }
        Ok(held)
    }

    async fn commit(&self, offsets: &BTreeMap<&TopicPartition, i64>) -> Result<(), KafkaError> {
        let doing = self.doing("committing offsets for");
        let partition = |(partition, offset): (i32, i64)| {
            let partition = OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
            partition.with_committed_metadata(Some(StrBytes::default()))
        };
        let topics = by_topic(offsets.iter().map(|(tp, offset)| (*tp, *offset))).into_iter().map(|(name, partitions)| {
            OffsetCommitRequestTopic::default().with_name(text(name).into()).with_partitions(partitions.into_iter().map(partition).collect())
        });
        // As nobody's member.
        let request = OffsetCommitRequest::default().with_group_id(text(&self.group).into()).with_generation_id_or_member_epoch(-1);
        let answer = self.ask(&request.with_topics(topics.collect()), &doing).await?;
        let told =
            answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (&topic.name, partition.partition_index, partition.error_code)));
        each(told.map(|(name, partition, code)| (name.as_str(), partition, code)), &doing)
    }

    async fn forget(&self, partitions: &BTreeSet<&TopicPartition>) -> Result<(), KafkaError> {
        let doing = self.doing("deleting offsets of");
        let topics = by_topic(partitions.iter().map(|tp| (*tp, ()))).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, ())| OffsetDeleteRequestPartition::default().with_partition_index(partition));
            OffsetDeleteRequestTopic::default().with_name(text(name).into()).with_partitions(partitions.collect())
        });
        let request = OffsetDeleteRequest::default().with_group_id(text(&self.group).into()).with_topics(topics.collect());
        let answer = self.ask(&request, &doing).await?;
        check(answer.error_code, &doing)?;
        let told =
            answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (&topic.name, partition.partition_index, partition.error_code)));
        each(told.map(|(name, partition, code)| (name.as_str(), partition, code)), &doing)
    }

    /// The first of these partitions that there is not.
    async fn missing(&self, changes: &OffsetChanges) -> Result<Option<TopicPartition>, KafkaError> {
        let topics: BTreeSet<&str> = changes.keys().map(|tp| &*tp.topic).collect();
        let answer = self.brokers.described(topics.into_iter()).await?;
        let has = |tp: &TopicPartition| {
            let mut named = answer.topics.iter().filter(|topic| topic.name.as_ref().is_some_and(|name| name.as_str() == &*tp.topic));
            named.any(|topic| topic.partitions.iter().any(|partition| partition.partition_index == tp.partition))
        };
        Ok(changes.keys().find(|tp| !has(tp)).cloned())
    }
}

/// A code of an answer.
fn check(code: i16, doing: &str) -> Result<(), KafkaError> {
    code.err().map_or(Ok(()), |error| Err(explain(error, doing)))
}

/// The codes of an answer's partitions.
fn each<'a>(told: impl Iterator<Item = (&'a str, i32, i16)>, doing: &str) -> Result<(), KafkaError> {
    let mut told = told;
    told.try_for_each(|(topic, partition, code)| check(code, &format!("{doing} ({topic}-{partition})")))
}

#[async_trait]
impl Group for Outsider {
    async fn committed(&self) -> Result<Commits, KafkaError> {
        self.brokers.patiently(|| self.held()).await
    }

    async fn alter(&self, changes: &OffsetChanges) -> Result<(), KafkaError> {
        if let Some(tp) = self.brokers.patiently(|| self.missing(changes)).await? {
            let message = format!("{}: there is no partition {tp}", self.doing("changing offsets of"));
            return Err(KafkaError::new(KafkaErrorKind::Fatal, message));
        }
        let offsets: BTreeMap<&TopicPartition, i64> = changes.iter().filter_map(|(tp, offset)| Some((tp, (*offset)?))).collect();
        if !offsets.is_empty() {
            self.brokers.patiently(|| self.commit(&offsets)).await?;
        }
        let held = self.committed().await?;
        let gone: BTreeSet<&TopicPartition> = changes.iter().filter(|(tp, offset)| offset.is_none() && held.contains_key(tp)).map(|(tp, _)| tp).collect();
        if gone.is_empty() { Ok(()) } else { self.brokers.patiently(|| self.forget(&gone)).await }
    }

    async fn delete(&self) -> Result<(), KafkaError> {
        let doing = self.doing("deleting");
        let request = DeleteGroupsRequest::default().with_groups_names(vec![text(&self.group).into()]);
        self.brokers
            .patiently(|| async {
                let answer = self.ask(&request, &doing).await?;
                match answer.results.first().and_then(|result| result.error_code.err()) {
                    None | Some(ResponseError::GroupIdNotFound) => Ok(()),
                    Some(error) => Err(explain(error, &doing)),
                }
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_with_members_is_told_from_other_trouble() {
        for (error, kind) in [
            (ResponseError::NonEmptyGroup, KafkaErrorKind::Active),
            (ResponseError::UnknownMemberId, KafkaErrorKind::Active),
            (ResponseError::GroupSubscribedToTopic, KafkaErrorKind::Active),
            (ResponseError::NotCoordinator, KafkaErrorKind::Transient),
            (ResponseError::CoordinatorLoadInProgress, KafkaErrorKind::Transient),
            (ResponseError::UnknownTopicOrPartition, KafkaErrorKind::Fatal),
            (ResponseError::GroupAuthorizationFailed, KafkaErrorKind::Denied),
        ] {
            let explained = explain(error, "deleting group g");
            assert!(explained.kind == kind && explained.message.starts_with("deleting group g: "), "{explained}");
        }
    }
}
