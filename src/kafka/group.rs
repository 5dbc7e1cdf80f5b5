//! A consumer group from outside, over librdkafka. Each request makes a client of its own: they are rare.
//!
//! The client can delete a group, and commit for one without members, but not delete what it has committed for one partition. Where others have to stay, the
//! group is deleted and they are committed anew; what they were is in the log before that, for the case that the process ends in between.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode as Code};

use super::log::LogReader;
use super::poll::commit_list;
use super::{Group, KafkaError, KafkaErrorKind, OffsetChanges, Props, errors, properties};
use crate::batch::{Commits, Committed};

/// How long the coordinator may take to delete a group.
const DELETE_WAIT: Duration = Duration::from_secs(30);

/// How often commits are tried that must not be left out.
const ATTEMPTS: u32 = 5;

/// Somebody who is no member of a group.
#[derive(Clone)]
pub(super) struct Outsider {
    group: String,
    java: Props,
}

impl fmt::Debug for Outsider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outsider").field("group", &self.group).finish_non_exhaustive()
    }
}

/// What to do about an error, when whoever meets it is no member.
fn explain(error: &RdError, doing: &str) -> KafkaError {
    let explained = errors::explain(error, doing, "");
    match errors::code(error) {
        Some(Code::NonEmptyGroup | Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress | Code::GroupSubscribedToTopic) => {
            KafkaError::new(KafkaErrorKind::Active, format!("{}; the group has members: stop them, and try again", explained.message))
        }
        _ => explained,
    }
}

/// What a group is to hold instead of `held`, and whether it has to be deleted for that.
fn plan(held: &Commits, changes: &OffsetChanges) -> (bool, Commits) {
    let is_deleted = changes.iter().any(|(tp, offset)| offset.is_none() && held.contains_key(tp));
    let mut commits: Commits = changes.iter().filter_map(|(tp, offset)| Some((tp.clone(), Committed::at((*offset)?)))).collect();
    if is_deleted {
        commits.extend(held.iter().filter(|(tp, _)| !changes.contains_key(tp)).map(|(tp, committed)| (tp.clone(), committed.clone())));
    }
    (is_deleted, commits)
}

impl Outsider {
    pub(super) fn new(java: &Props) -> Result<Self, KafkaError> {
        let outsider = Self { group: java.get("group.id").cloned().unwrap_or_default(), java: java.clone() };
        outsider.client().map(|_| outsider)
    }

    fn client(&self) -> Result<ClientConfig, KafkaError> {
        let mut client = ClientConfig::new();
        for (key, value) in properties::consumer(&self.java)? {
            client.set(key, value);
        }
        client.set("group.id", &self.group).set("allow.auto.create.topics", "false").set("statistics.interval.ms", "0");
        Ok(client)
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} group {}", self.group)
    }

    /// Commits as nobody's member, and makes sure that it was taken: the client calls a commit that failed for some partitions a success.
    fn commit(&self, reader: &LogReader, commits: &Commits) -> Result<(), KafkaError> {
        if commits.is_empty() {
            return Ok(());
        }
        let doing = self.doing("committing offsets for");
        let consumer: BaseConsumer = self.client()?.create().map_err(|error| explain(&error, &doing))?;
        let list = commit_list(commits).map_err(|error| explain(&error, &doing))?;
        consumer.commit(&list, CommitMode::Sync).map_err(|error| explain(&error, &doing))?;
        let held = reader.committed(&commits.keys().cloned().collect::<Vec<_>>())?;
        match commits.iter().find(|(tp, wanted)| held.get(tp) != Some(wanted)) {
            Some((tp, wanted)) => {
                let found = held.get(tp).map_or_else(|| "none".to_owned(), |committed| committed.offset.to_string());
                Err(KafkaError::new(KafkaErrorKind::Fatal, format!("{doing}: {tp} is at {found} and not at {}, the broker did not take it", wanted.offset)))
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Group for Outsider {
    #[expect(clippy::disallowed_methods, reason = "librdkafka's requests block; they wait for the network, not for a CPU")]
    async fn committed(&self) -> Result<Commits, KafkaError> {
        let outsider = self.clone();
        let read = move || {
            let reader = LogReader::new(&outsider.java, &outsider.group)?;
            let partitions = reader.partitions()?;
            if partitions.is_empty() { Ok(Commits::new()) } else { reader.committed(&partitions) }
        };
        finished(tokio::task::spawn_blocking(read).await)
    }

    #[expect(clippy::disallowed_methods, reason = "librdkafka's requests block; they wait for the network, not for a CPU")]
    async fn alter(&self, changes: &OffsetChanges) -> Result<(), KafkaError> {
        let (outsider, changes) = (self.clone(), changes.clone());
        let read = {
            let (outsider, changes) = (outsider.clone(), changes.clone());
            move || {
                let reader = LogReader::new(&outsider.java, &outsider.group)?;
                let partitions = reader.partitions()?;
                if let Some(tp) = changes.keys().find(|tp| !partitions.contains(tp)) {
                    let message = format!("{}: there is no partition {tp}", outsider.doing("changing offsets of"));
                    return Err(KafkaError::new(KafkaErrorKind::Fatal, message));
                }
                let held = reader.committed(&partitions)?;
                Ok((reader, held))
            }
        };
        let (reader, held) = finished(tokio::task::spawn_blocking(read).await)?;
        let (is_deleted, commits) = plan(&held, &changes);
        if is_deleted {
            let list = held.iter().map(|(tp, committed)| format!("{tp}={}", committed.offset)).collect::<Vec<_>>().join(",");
            tracing::info!(group = self.group, "the group is deleted to forget offsets of some partitions, the others are committed anew; it held {list}");
            self.delete().await?;
        }
        let write = move || {
            let mut attempt = 1;
            loop {
                match outsider.commit(&reader, &commits) {
                    Err(error) if is_deleted && error.kind != KafkaErrorKind::Active && attempt < ATTEMPTS => {
                        tracing::warn!(group = outsider.group, %error, attempt, "offsets not committed anew; trying again");
                        attempt += 1;
                    }
                    done => return done,
                }
            }
        };
        finished(tokio::task::spawn_blocking(write).await)
    }

    async fn delete(&self) -> Result<(), KafkaError> {
        let doing = self.doing("deleting");
        let explain = |error: RdError| explain(&error, &doing);
        let mut client = self.client()?;
        client.remove("group.id"); // the client is a producer inside, which says so of each of these
        let admin: AdminClient<DefaultClientContext> = client.create().map_err(explain)?;
        let options = AdminOptions::new().request_timeout(Some(DELETE_WAIT));
        for deleted in admin.delete_groups(&[&self.group], &options).await.map_err(explain)? {
            match deleted {
                Ok(_) | Err((_, Code::GroupIdNotFound)) => {}
                Err((_, code)) => return Err(explain(RdError::AdminOp(code))),
            }
        }
        Ok(())
    }
}

/// What a thread brought that waited.
fn finished<T>(done: Result<Result<T, KafkaError>, tokio::task::JoinError>) -> Result<T, KafkaError> {
    done.unwrap_or_else(|_| {
        // The client panics over a text that is not UTF-8.
        let message = "somebody committed an offset with a text that is not UTF-8; commit the offsets again without it";
        Err(KafkaError::new(KafkaErrorKind::Fatal, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::TopicPartition;

    #[test]
    fn other_partitions_keep_their_offsets_and_texts() {
        let tp = |partition| TopicPartition::new("t", partition);
        let held = Commits::from([(tp(0), Committed { offset: 5, metadata: "plan".to_owned() }), (tp(1), Committed::at(7))]);
        for (changes, is_deleted, commits) in [
            (vec![(0, Some(1))], false, vec![(0, Committed::at(1))]),
            (vec![(1, None)], true, vec![(0, Committed { offset: 5, metadata: "plan".to_owned() })]),
            (vec![(0, Some(2)), (1, None)], true, vec![(0, Committed::at(2))]),
            (vec![(0, None), (1, None)], true, vec![]),
            (vec![(9, None)], false, vec![]),
        ] {
            let changes: OffsetChanges = changes.into_iter().map(|(partition, offset)| (tp(partition), offset)).collect();
            let commits: Commits = commits.into_iter().map(|(partition, committed)| (tp(partition), committed)).collect();
            assert_eq!(plan(&held, &changes), (is_deleted, commits), "{changes:?}");
        }
    }

    #[test]
    fn a_group_with_members_is_told_from_other_trouble() {
        for (code, kind) in [
            (Code::NonEmptyGroup, KafkaErrorKind::Active),
            (Code::UnknownMemberId, KafkaErrorKind::Active),
            (Code::AllBrokersDown, KafkaErrorKind::Transient),
            (Code::GroupAuthorizationFailed, KafkaErrorKind::Denied),
        ] {
            assert_eq!(explain(&RdError::AdminOp(code), "deleting group g").kind, kind, "{code:?}");
        }
    }
}
