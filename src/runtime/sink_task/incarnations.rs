//! Topics that are deleted and made again while they are read: the same name, and other records at the same offsets.
//!
//! A consumer notices only where the new log ends below the offset that is next. Where it has grown past that already, its first records would never be read. So brokers are
//! asked from time to time which topics there are by now, beside everything else that the task does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::Task;
use super::due::Due;
use crate::batch::TopicPartition;
use crate::kafka::{KafkaError, TopicId, TopicIds};

/// How often brokers are asked.
const EVERY: Duration = Duration::from_secs(5);

type Answer = Result<BTreeMap<String, TopicId>, KafkaError>;

/// Which topics the records come from.
#[derive(Default)]
pub(super) struct Incarnations {
    /// `None` where nobody can tell.
    ids: Option<Arc<dyn TopicIds>>,
    /// By partition that is ours: its topic's id; `None` until it is told.
    known: BTreeMap<TopicPartition, Option<TopicId>>,
    ask_at: Option<Instant>,
    asking: Option<BoxFuture<'static, Answer>>,
}

impl fmt::Debug for Incarnations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incarnations").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Incarnations {
    /// Of no partitions yet.
    pub(super) fn told_by(ids: Option<Arc<dyn TopicIds>>) -> Self {
        Self { ids, ..Self::default() }
    }

    /// Of these partitions, whatever is the topic's id from now on is right.
    pub(super) fn begin<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        self.known.extend(partitions.into_iter().map(|tp| (tp.clone(), None)));
        // What was asked before may be answered with what was before.
        (self.asking, self.ask_at) = (None, None);
    }

    /// These partitions are ours no more.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.known.retain(|tp, _| !partitions.contains(tp));
    }

    /// The ids of the topics that partitions are of, as far as they are told.
    pub(super) fn known(&self) -> impl Iterator<Item = (&TopicPartition, TopicId)> {
        self.known.iter().filter_map(|(tp, id)| Some((tp, (*id)?)))
    }

    /// Waits until partitions are of another topic than they were; for ever, while that cannot be known. Cancel-safe.
    pub(super) async fn changed(&mut self) -> Vec<TopicPartition> {
        let Some(ids) = self.ids.clone().filter(|_| !self.known.is_empty()) else { return std::future::pending().await };
        loop {
            let asking = match &mut self.asking {
                Some(asking) => asking,
                None => {
                    sleep_until(self.ask_at.unwrap_or_else(Instant::now)).await;
                    let (ids, topics) = (Arc::clone(&ids), self.known.keys().map(|tp| tp.topic.to_string()).collect::<BTreeSet<_>>());
                    self.asking.insert(Box::pin(async move { ids.of(&topics).await }))
                }
            };
            let answer = asking.await;
            (self.asking, self.ask_at) = (None, Some(Instant::now() + EVERY));
            match answer {
                Ok(told) => {
                    tracing::debug!(topics = ?told.keys(), "which topics there are");
                    let others = self.compare(&told);
                    if !others.is_empty() {
                        return others;
                    }
                }
                Err(error) => tracing::debug!(%error, "whether topics were made again is not told; asking again"),
            }
        }
    }

    /// Partitions whose topics have other ids than before.
    fn compare(&mut self, told: &BTreeMap<String, TopicId>) -> Vec<TopicPartition> {
        let mut others = Vec::new();
        for (tp, known) in &mut self.known {
            if let Some(id) = told.get(&*tp.topic)
                && known.get_or_insert(*id) != id
            {
                others.push(tp.clone());
            }
        }
        others
    }
}

impl Task {
    /// What was read of these partitions was of topics that are not there any more: what their logs hold now is looked up.
    pub(super) fn made_again(&mut self, partitions: Vec<TopicPartition>) {
        for tp in partitions {
            if self.dues.contains_key(&tp) {
                continue; // said again with the next answer
            }
            self.incarnations.begin([&tp]);
            if let Some(wanted) = self.owned.get(&tp).copied().flatten().filter(|wanted| *wanted > 0) {
                tracing::warn!(connector = %self.connector, partition = %tp, "the topic was deleted and made again");
                self.dues.insert(tp, Due::Look { wanted, found: Some(0) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_of_another_topic_once_its_id_has_changed() {
        let tp = |topic: &str, partition| TopicPartition::new(topic, partition);
        let told = |ids: &[(&str, u8)]| ids.iter().map(|(topic, id)| ((*topic).to_owned(), [*id; 16])).collect();
        let mut incarnations = Incarnations::default();
        incarnations.begin(&[tp("a", 0), tp("a", 1), tp("b", 0)]);
        for (ids, expected) in [
            (&[("a", 1)][..], vec![]),
            (&[("a", 1), ("b", 2)], vec![]),
            (&[("b", 2)], vec![]), // deleted
            (&[("a", 3), ("b", 2)], vec![tp("a", 0), tp("a", 1)]),
            (&[("a", 3), ("b", 2), ("c", 4)], vec![tp("a", 0), tp("a", 1)]), // until it is seen to
        ] {
            assert_eq!(incarnations.compare(&told(ids)), expected, "{ids:?}");
        }
        incarnations.begin([&tp("a", 0)]);
        assert_eq!(incarnations.compare(&told(&[("a", 3)])), [tp("a", 1)]);
        let ids: Vec<_> = incarnations.known().map(|(tp, id)| (tp.to_string(), id[0])).collect();
        assert_eq!(ids, [("a-0".to_owned(), 3), ("a-1".to_owned(), 1), ("b-0".to_owned(), 2)]);
        incarnations.forget(&[tp("a", 1)]);
        assert_eq!(incarnations.compare(&told(&[("a", 5)])), [tp("a", 0)]);
    }
}
