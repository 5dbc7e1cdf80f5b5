//! What is due before more records are taken: what is committed for a partition, what its log holds, where it goes on.
//!
//! Each is asked for once at a time, between events: rebalances are served meanwhile, and a partition that goes away takes along what was due of it. Whoever does not
//! answer, or says that the member's generation is over, is asked again while the partition is ours: a generation may end while its partitions stay.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ASK_AGAIN, Task, kafka_error, list};
use crate::batch::{Commits, Committed, Offsets, TopicPartition};
use crate::connect::TaskError;
use crate::kafka::{Jump, KafkaError, KafkaErrorKind};

/// The next thing that a partition needs before records of it are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// This is committed, whatever was: no owner could go on from that. Then it begins again there.
    Commit(i64),
    /// The sink opens it with what is committed.
    Open(Begin),
    /// Its log is looked up, because it may not hold what is next.
    Look {
        /// The offset that is next.
        wanted: i64,
        /// The offset that came instead; `None` while nothing has come.
        found: Option<i64>,
    },
    /// Reading goes on there.
    Seek(i64),
}

/// How a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// It was assigned: the consumer reads from the committed offset.
    Assigned,
    /// What was held of it is dropped: at this offset, or else where it began or was committed.
    Again(Option<i64>),
}

impl Task {
    /// Does what is due, as far as it is answered.
    pub(super) async fn attend_to_dues(&mut self) -> Result<(), TaskError> {
        if self.dues.is_empty() || self.ask_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        self.ask_at = None;
        self.commit_anew().await?;
        self.open().await?;
        self.look().await?;
        self.seek().await
    }

    /// These partitions begin again: what is held of them is dropped, and this is due.
    pub(super) async fn begin_again(&mut self, dues: BTreeMap<TopicPartition, Due>) {
        let named: Vec<TopicPartition> = dues.keys().cloned().collect();
        self.inbox.retain(|raw| !dues.contains_key(&raw.from));
        self.departed.extend(named.iter().cloned());
        self.sink.close(&named).await;
        self.watch.forget(&named);
        self.forget_share(&named);
        self.dues.extend(dues);
    }

    /// What was due of partitions that went away is not any more.
    pub(super) fn forget_dues(&mut self, partitions: &[TopicPartition]) {
        self.dues.retain(|tp, _| !partitions.contains(tp));
        if self.dues.is_empty() {
            self.ask_at = None;
            ["coordinator", "leader"].iter().for_each(|who| self.live.health.set(who, None));
        }
    }

    fn due<T>(&self, pick: impl Fn(Due) -> Option<T>) -> BTreeMap<TopicPartition, T> {
        self.dues.iter().filter_map(|(tp, due)| Some((tp.clone(), pick(*due)?))).collect()
    }

    /// An answer; `None` when there is none, and it is asked for again.
    fn answered<T>(&mut self, who: &'static str, answer: Option<Result<T, KafkaError>>) -> Result<Option<T>, TaskError> {
        match answer {
            Some(Ok(answer)) => {
                self.live.health.set(who, None);
                Ok(Some(answer))
            }
            Some(Err(error)) if error.kind.passes() => {
                self.ask_again(who, error.to_string());
                Ok(None)
            }
            // The event that came between is the next.
            Some(Err(error)) if error.kind == KafkaErrorKind::Interrupted => Ok(None),
            Some(Err(error)) => Err(kafka_error(&error)),
            None => Ok(None),
        }
    }

    fn ask_again(&mut self, who: &'static str, why: String) {
        self.live.health.set(who, Some(why));
        self.ask_at = Some(Instant::now() + ASK_AGAIN);
    }

    /// Takes back what is committed, which no owner could go on from.
    async fn commit_anew(&mut self) -> Result<(), TaskError> {
        let anew: Commits = self.due(|due| if let Due::Commit(at) = due { Some(Committed::at(at)) } else { None });
        if anew.is_empty() {
            return Ok(());
        }
        if !self.may_commit(&anew.iter().map(|(tp, commit)| (tp.clone(), commit.offset)).collect()) {
            self.ask_at = Some(Instant::now() + ASK_AGAIN);
            return Ok(()); // dead letters from below are on their way
        }
        let answer = unless_stopped(&self.stop, self.consumer.commit(&anew)).await;
        if self.answered("coordinator", answer)?.is_some() {
            self.watch.reached(&anew);
            self.dues.extend(anew.into_iter().map(|(tp, commit)| (tp, Due::Open(Begin::Again(Some(commit.offset))))));
        }
        Ok(())
    }

    /// Opens partitions with what the coordinator holds for them, or where they are to begin instead.
    async fn open(&mut self) -> Result<(), TaskError> {
        let begins = self.due(|due| if let Due::Open(begin) = due { Some(begin) } else { None });
        if begins.is_empty() {
            return Ok(());
        }
        let partitions: Vec<TopicPartition> = begins.keys().cloned().collect();
        let answer = unless_stopped(&self.stop, self.consumer.committed(&partitions)).await;
        let Some(mut committed) = self.answered("coordinator", answer)? else { return Ok(()) };
        self.committed.retain(|tp, _| !begins.contains_key(tp));
        self.committed.extend(committed.clone());
        for (tp, begin) in &begins {
            if let Begin::Again(Some(offset)) = begin {
                committed.insert(tp.clone(), Committed::at(*offset));
            }
        }
        self.owned.extend(committed.iter().map(|(tp, commit)| (tp.clone(), Some(commit.offset))));
        self.sink.open(&partitions, &committed).await?;
        for (tp, begin) in &begins {
            let next = match begin {
                Begin::Assigned => committed.get(tp).map(|commit| Due::Look { wanted: commit.offset, found: None }),
                Begin::Again(_) => self.owned.get(tp).copied().flatten().map(Due::Seek),
            };
            match next {
                Some(due) => self.dues.insert(tp.clone(), due),
                None => self.dues.remove(tp),
            };
        }
        self.compare(begins.iter().filter(|(_, begin)| **begin == Begin::Assigned).map(|(tp, _)| tp))
    }

    /// Finds out whether logs hold what is next of them.
    async fn look(&mut self) -> Result<(), TaskError> {
        let looks = self.due(|due| if let Due::Look { wanted, found } = due { Some((wanted, found)) } else { None });
        if looks.is_empty() {
            return Ok(());
        }
        let asked: Vec<TopicPartition> = looks.keys().cloned().collect();
        let mut answer = unless_stopped(&self.stop, self.consumer.logs(&asked)).await;
        if let Some(Err(error)) = answer.take_if(|answer| answer.is_err() && looks.values().all(|(_, found)| found.is_none())) {
            tracing::debug!(connector = %self.connector, %error, "the logs are compared with the first records");
        }
        let logs = self.answered("leader", answer)?.unwrap_or_default();
        if self.stop.is_cancelled() {
            return Ok(());
        }
        tracing::debug!(connector = %self.connector, asked = %list(&asked), ?logs, "what the logs hold");
        let (mut jumps, mut silent) = (Vec::new(), Vec::new());
        for (partition, (wanted, found)) in looks {
            match (logs.get(&partition), found) {
                (None, Some(_)) => {
                    silent.push(partition);
                    continue;
                }
                (None, None) => {} // the first record tells
                (Some(log), _) => {
                    let is_past = |found: Option<i64>| found.map_or(wanted > log.end && !self.watch.reads_committed, |found| found < wanted);
                    if wanted < log.start || is_past(found) {
                        jumps.push(Jump { partition: partition.clone(), wanted, log: *log, found });
                    }
                }
            }
            self.dues.remove(&partition);
        }
        if !silent.is_empty() && self.ask_at.is_none() {
            self.ask_again("leader", format!("what the logs of {} hold is not told by their leaders; asking again", list(&silent)));
        }
        self.jumped(jumps).await
    }

    async fn seek(&mut self) -> Result<(), TaskError> {
        let to: Offsets = self.due(|due| if let Due::Seek(at) = due { Some(at) } else { None });
        if to.is_empty() {
            return Ok(());
        }
        let answer = unless_stopped(&self.stop, self.consumer.seek(&to)).await;
        if self.answered("leader", answer)?.is_some() {
            self.dues.retain(|tp, _| !to.contains_key(tp));
        }
        Ok(())
    }
}

/// The answer; `None` when the task is to stop.
async fn unless_stopped<T>(stop: &CancellationToken, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        answer = answer => Some(answer),
    }
}
