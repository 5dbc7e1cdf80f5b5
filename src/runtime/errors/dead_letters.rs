//! Dead letters that were sent, and those of them that nobody has confirmed yet.
//!
//! Bound: when [`BOUND`] letters are not confirmed, the task takes no more records; what one batch more adds is one fetch. A letter's bytes are held by the batch that it
//! came with until the producer has taken it, or the line in a file's buffer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::TaskName;
use super::folder::Files;
use super::letter::Letters;
use super::topic::Queue;
use crate::batch::TopicPartition;
use crate::connect::letters::LetterFolder;
use crate::connect::{Connector, ErrorKind, Health, Props, TaskContext, TaskError};
use crate::kafka::TopicId;
use crate::memory::Budget;
use crate::settings::Settings;

/// Letters that may be unconfirmed when more records are taken.
pub const BOUND: usize = 10_000;

/// Where the dead letters of a task go.
#[derive(Debug, Default)]
pub struct DeadLetters {
    topic: Option<Queue>,
    files: Option<Files>,
    account: Account,
}

/// The letters that are not confirmed.
#[derive(Debug, Default)]
struct Account {
    next_token: usize,
    /// By the number under which a place confirms it.
    owed: BTreeMap<usize, (Arc<TopicPartition>, i64)>,
    /// Offset and number.
    of: BTreeMap<TopicPartition, BTreeSet<(i64, usize)>>,
}

impl Account {
    /// Takes letters down; returns the number of the first, which the others follow.
    fn owe(&mut self, letters: &Letters) -> usize {
        let first = self.next_token;
        let from = Arc::new(letters.from().clone());
        let of = self.of.entry(letters.from().clone()).or_default();
        for (token, letter) in (first..).zip(letters.iter()) {
            self.owed.insert(token, (Arc::clone(&from), letter.offset()));
            of.insert((letter.offset(), token));
            self.next_token = token + 1;
        }
        first
    }

    /// A letter is not waited for any more; `None` when it was not, because its partition went away.
    fn confirm(&mut self, token: usize) -> Option<(Arc<TopicPartition>, i64)> {
        let (from, offset) = self.owed.remove(&token)?;
        let of = self.of.get_mut(&*from)?;
        of.remove(&(offset, token));
        if of.is_empty() {
            self.of.remove(&*from);
        }
        Some((from, offset))
    }

    fn holds(&self, partition: &TopicPartition, offset: i64) -> bool {
        self.of.get(partition).and_then(BTreeSet::first).is_some_and(|(first, _)| *first < offset)
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        for (_, token) in partitions.iter().filter_map(|tp| self.of.remove(tp)).flatten() {
            self.owed.remove(&token);
        }
    }
}

impl DeadLetters {
    /// What a sink's configuration asks for: the topic is made, the folder is tried.
    ///
    /// # Errors
    /// [`TaskError`] that says what to do.
    pub async fn open((props, worker): (&Props, &Settings), class: &dyn Connector, cx: &TaskContext, stop: &CancellationToken) -> Result<Self, TaskError> {
        let task = TaskName { connector: Arc::clone(&cx.connector), task: cx.task };
        let topic = Queue::open((props, worker), cx.env.kafka.as_ref(), &task, &cx.health, stop).await?;
        let folder = match folder_url(props) {
            Some(url) => {
                let folder = class.letter_folder(props, url, cx)?;
                tokio::select! {
                    checked = folder.check() => checked?,
                    () = stop.cancelled() => {}
                }
                tracing::info!(connector = %cx.connector, %folder, "bad records go to files");
                Some(folder)
            }
            None => None,
        };
        Ok(Self::to(topic, folder, task, &cx.env.memory))
    }

    pub(in crate::runtime) fn to(topic: Option<Queue>, folder: Option<Arc<dyn LetterFolder>>, task: TaskName, memory: &Budget) -> Self {
        Self { topic, files: folder.map(|folder| Files::new(folder, task, memory.clone())), account: Account::default() }
    }

    /// True where they go anywhere.
    #[must_use]
    pub fn are_kept(&self) -> bool {
        self.topic.is_some() || self.files.is_some()
    }

    /// Sends letters on their way.
    ///
    /// # Errors
    /// [`TaskError`] where one will never be taken.
    pub fn post(&mut self, letters: Letters) -> Result<(), TaskError> {
        if let Some(files) = &mut self.files {
            files.post(&letters, self.account.owe(&letters))?;
        }
        if let Some(topic) = &mut self.topic {
            let first = self.account.owe(&letters);
            topic.post(letters, first);
        }
        self.send()
    }

    /// Sends on what waits, as far as there is room, and takes note of what was confirmed. Does not wait.
    ///
    /// # Errors
    /// [`TaskError`] where one will never be taken.
    pub fn attend(&mut self) -> Result<(), TaskError> {
        self.send()?;
        while !self.account.owed.is_empty() {
            match self.progress().now_or_never() {
                Some(progress) => progress?,
                None => break,
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), TaskError> {
        if self.is_full() {
            self.hurry(|_| true);
        }
        self.files.iter_mut().for_each(Files::send);
        self.topic.as_mut().map_or(Ok(()), Queue::send)
    }

    /// Waits until something is confirmed, for ever when nothing is on its way. Cancel-safe.
    ///
    /// # Errors
    /// [`TaskError`] where a letter will never be taken.
    pub async fn progress(&mut self) -> Result<(), TaskError> {
        let of_topic = async {
            match &mut self.topic {
                Some(topic) => topic.settled().await,
                None => std::future::pending().await,
            }
        };
        let of_files = async {
            match &mut self.files {
                Some(files) => files.settled().await,
                None => std::future::pending().await,
            }
        };
        let settled: Vec<(usize, Result<(), TaskError>)> = tokio::select! {
            settled = of_topic => settled,
            settled = of_files => settled,
        };
        let mut failure = None;
        for (token, outcome) in settled {
            let of = self.account.confirm(token);
            // A letter of a partition that went away is not ours to send any more. One that is read again comes again.
            if let (Some((from, offset)), Err(error)) = (of, outcome) {
                let error = error.with("partition", &from).with("offset", offset).back_to((*from).clone(), None);
                failure = Some(match failure {
                    Some(known) => worse(known, error),
                    None => error,
                });
            }
        }
        failure.map_or_else(|| self.send(), Err)
    }

    /// True while something is not confirmed.
    #[must_use]
    pub fn are_underway(&self) -> bool {
        !self.account.owed.is_empty()
    }

    /// True when no more records are to be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.account.owed.len() >= BOUND
    }

    /// True when a letter from below that offset is not confirmed: the offset may not be committed.
    #[must_use]
    pub fn holds(&self, partition: &TopicPartition, offset: i64) -> bool {
        self.account.holds(partition, offset)
    }

    /// True when a letter of one of these is not confirmed.
    #[must_use]
    pub fn owes(&self, partitions: &[TopicPartition]) -> bool {
        partitions.iter().any(|tp| self.account.of.contains_key(tp))
    }

    /// What there is is not to wait for more.
    pub fn hurry(&mut self, is_meant: impl Fn(&TopicPartition) -> bool) {
        self.files.iter_mut().for_each(|files| files.hurry(&is_meant));
    }

    /// These partitions go away: whoever owns them next sends their letters again.
    pub fn forget(&mut self, partitions: &[TopicPartition]) {
        self.account.forget(partitions);
        self.files.iter_mut().for_each(|files| files.forget(partitions));
    }

    /// Which topics the partitions are of, as far as that is told: their files are named by it.
    pub fn identify<'a>(&mut self, topics: impl Iterator<Item = (&'a TopicPartition, TopicId)>) {
        if let Some(files) = &mut self.files {
            topics.for_each(|(from, topic_id)| files.identify(from, topic_id));
        }
    }

    /// Says in `health` what is being waited for.
    pub fn tell(&self, health: &Health) {
        let trouble = || {
            let told = [self.topic.as_ref().and_then(Queue::trouble), self.files.as_ref().and_then(Files::trouble)];
            let told: Vec<String> = told.into_iter().flatten().collect();
            let waits = format!("{} dead letters are not confirmed: no more records are taken", self.account.owed.len());
            let told = if self.is_full() { [vec![waits], told].concat() } else { told };
            (!told.is_empty()).then(|| told.join("; "))
        };
        health.set("dead letters", if self.account.owed.is_empty() { None } else { trouble() });
    }

    /// Ends the producer. What was not confirmed is sent again by whoever goes on.
    pub async fn close(&mut self) {
        if let Some(topic) = &mut self.topic {
            topic.close().await;
        }
    }
}

/// Of two errors the one that ends the task, or both partitions read again.
fn worse(known: TaskError, other: TaskError) -> TaskError {
    match (known.kind, other.kind) {
        (ErrorKind::Rewind, ErrorKind::Rewind) => known.and_back_to(other),
        (ErrorKind::Rewind, _) => other,
        _ => known,
    }
}

/// The folder that dead letters go to.
pub(in crate::runtime) fn folder_url(props: &Props) -> Option<&str> {
    props.get("errors.deadletterqueue.url").map(|url| url.trim()).filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letters;
    use super::*;

    #[test]
    fn an_offset_is_held_by_letters_from_below_it_until_each_is_confirmed() {
        let mut account = Account::default();
        let tp = TopicPartition::new("orders", 3);
        let first = account.owe(&letters(&[(10, "x"), (15, "y")]));
        let second = account.owe(&letters(&[(10, "x")]));
        assert_eq!((first, second), (0, 2), "to two places, or sent again");
        let held = |account: &Account| [10, 11, 15, 16].map(|offset| account.holds(&tp, offset));
        assert_eq!(held(&account), [false, true, true, true]);
        account.confirm(0);
        assert_eq!(held(&account), [false, true, true, true], "the other place has it not");
        account.confirm(2);
        assert_eq!(held(&account), [false, false, false, true]);
        [1, 1, 77].into_iter().for_each(|token| drop(account.confirm(token)));
        assert!(account.of.is_empty() && account.owed.is_empty());
        assert!(!account.holds(&TopicPartition::new("orders", 4), 100));
    }

    #[test]
    fn what_goes_away_is_not_waited_for() {
        let mut account = Account::default();
        let tp = TopicPartition::new("orders", 3);
        account.owe(&letters(&[(10, "x"), (15, "y")]));
        account.forget(&[TopicPartition::new("orders", 0)]);
        assert!(account.holds(&tp, 11));
        account.forget(std::slice::from_ref(&tp));
        assert!(!account.holds(&tp, 11) && account.owed.is_empty());
        let again = account.owe(&letters(&[(10, "x")]));
        [0, 1].into_iter().for_each(|token| drop(account.confirm(token)));
        assert!(account.holds(&tp, 11), "what was confirmed was sent before it went away");
        account.confirm(again);
        assert!(!account.holds(&tp, 11));
    }
}
