//! The dead letter queue: upstream's `DeadLetterQueueReporter`, with an account of what the brokers have.
//!
//! Records are produced as they came: key, value, headers and timestamp, and where that is asked for the headers that say why they failed. What the producer has no
//! room for waits, with the batch that it is part of.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::TaskName;
use super::letter::{CONTEXT_HEADERS, Headers, Letter, Letters};
use crate::connect::{ErrorKind, Health, Props, TaskError};
use crate::kafka::{Kafka, KafkaError, KafkaErrorKind, NewTopic, NotQueued, OutgoingRecord, Producer, Settled};
use crate::settings::{self, Settings};
use tokio_util::sync::CancellationToken;

/// How long to wait before brokers that did not answer are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Letters on their way to a topic.
pub struct Queue {
    producer: Box<dyn Producer>,
    name: Arc<str>,
    task: TaskName,
    with_context: bool,
    /// What the producer has not taken yet, with the number of the first and of the next.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    letters: Letters,
    next: usize,
    /// The number under which the first is sent; the others follow.
    first_token: usize,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.name).field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Queue {
    /// Makes the topic unless it is there, and a producer; `None` where no topic is named, or the task is to stop. Waits for brokers that do not answer, and says so.
    ///
    /// # Errors
    /// [`TaskError`] where the topic cannot be made, or a client's settings are refused.
    pub async fn open(
        (props, worker): (&Props, &Settings),
        kafka: &dyn Kafka,
        task: &TaskName,
        health: &Health,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, TaskError> {
        let Some(name) = topic_name(props) else { return Ok(None) };
        let (connector, number) = (&task.connector, task.task);
        let refused = |error: &KafkaError| {
            let kind = if error.kind == KafkaErrorKind::Denied { ErrorKind::Denied } else { ErrorKind::BadConfig };
            TaskError::new(kind, format!("Could not initialize dead letter queue with topic={name}: {error}"))
        };
        let topics = kafka.topics(&settings::dlq_admin_props(&worker.props, connector, props, number)).map_err(|error| refused(&error))?;
        let factor = props.get("errors.deadletterqueue.topic.replication.factor").and_then(|text| text.trim().parse().ok()).unwrap_or(3);
        let new = NewTopic { name: name.into(), partitions: 1, replicas: factor, config: Props::new() };
        let made = async {
            loop {
                let made = match topics.has(name).await {
                    Ok(true) => Ok(false),
                    Ok(false) => topics.make(&new).await,
                    Err(error) => Err(error),
                };
                match made {
                    Err(error) if error.kind == KafkaErrorKind::Transient => health.set("dead letters", Some(error.message)),
                    made => return made,
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        let is_new = tokio::select! {
            made = made => made.map_err(|error| refused(&error))?,
            () = stop.cancelled() => return Ok(None),
        };
        health.set("dead letters", None);
        tracing::info!(connector = %connector, topic = name, is_new, "bad records go to a topic");
        let producer = kafka.producer(&settings::dlq_producer_props(&worker.props, connector, props, number)).map_err(|error| refused(&error))?;
        let with_context = props.get("errors.deadletterqueue.context.headers.enable").is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        Ok(Some(Self { producer, name: name.into(), task: task.clone(), with_context, waiting: VecDeque::new() }))
    }

    /// Takes letters, which are confirmed under the numbers from `first_token` on.
    pub fn post(&mut self, letters: Letters, first_token: usize) {
        self.waiting.push_back(Waiting { letters, next: 0, first_token });
    }

    /// Hands the producer what it has room for.
    ///
    /// # Errors
    /// [`TaskError`] for a letter that no broker will take.
    pub fn send(&mut self) -> Result<(), TaskError> {
        while let Some(Waiting { letters, next, first_token }) = self.waiting.front_mut() {
            while let Some(letter) = letters.get(*next) {
                let context = if self.with_context { letter.context(&self.task) } else { Default::default() };
                let headers = headers(&letter, self.with_context.then_some(&context));
                let record = OutgoingRecord {
                    topic: &self.name,
                    partition: None,
                    timestamp: letter.timestamp(),
                    key: letter.key(),
                    value: letter.value(),
                    headers: &headers,
                };
                match self.producer.send(*first_token + *next, record) {
                    Ok(()) => *next += 1,
                    Err(NotQueued::Full) => return Ok(()),
                    Err(NotQueued::Refused(error)) => return Err(undelivered(&error).with("partition", letters.from()).with("offset", letter.offset())),
                }
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// What became of letters, by their numbers; waits until there are some. Cancel-safe.
    pub async fn settled(&mut self) -> Vec<(usize, Result<(), TaskError>)> {
        let settled = self.producer.settled().await;
        settled.into_iter().map(|Settled { token, outcome }| (token, outcome.map_err(|error| undelivered(&error)))).collect()
    }

    /// What is being waited for.
    pub fn trouble(&self) -> Option<String> {
        self.producer.trouble()
    }

    /// Ends the producer.
    pub async fn close(&mut self) {
        self.producer.close().await;
    }
}

/// The topic that dead letters go to.
pub(in crate::runtime) fn topic_name(props: &Props) -> Option<&str> {
    props.get("errors.deadletterqueue.topic.name").map(|name| name.trim()).filter(|name| !name.is_empty())
}

/// A letter's own headers, and those that say why it failed, unless it has them already.
fn headers<'a>(letter: &Letter<'a>, context: Option<&'a [String; 10]>) -> Headers<'a> {
    let own = letter.headers();
    let mut all = own.clone();
    for (name, value) in CONTEXT_HEADERS.iter().zip(context.into_iter().flatten()) {
        if own.iter().all(|(known, _)| known != name) {
            all.push((name, Some(value.as_bytes())));
        }
    }
    all
}

/// Nothing is lost: its offset is not committed. What may pass is read and sent again.
fn undelivered(error: &KafkaError) -> TaskError {
    let kind = match error.kind {
        KafkaErrorKind::Transient | KafkaErrorKind::Interrupted => ErrorKind::Rewind,
        KafkaErrorKind::Denied => ErrorKind::Denied,
        KafkaErrorKind::Config | KafkaErrorKind::TooLarge | KafkaErrorKind::Fenced | KafkaErrorKind::Active | KafkaErrorKind::Fatal => ErrorKind::BadConfig,
    };
    TaskError::new(kind, format!("Could not produce message to dead letter queue: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letters;
    use super::*;

    #[test]
    fn headers_are_added_to_the_records_own_but_none_twice() {
        let letters = letters(&[(10, "x"), (15, "y")]);
        let task = TaskName { connector: "c".into(), task: 0 };
        let (first, second) = (letters.get(0).unwrap(), letters.get(1).unwrap());
        assert_eq!(headers(&first, None), []);
        assert_eq!(headers(&second, None), second.headers());
        let context = first.context(&task);
        let names: Vec<&str> = headers(&first, Some(&context)).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, CONTEXT_HEADERS);
        let context = second.context(&task);
        let found = headers(&second, Some(&context));
        assert_eq!(found.len(), 2 + 9, "it has a stage already, from where it failed before");
        assert_eq!(found[1], ("__connect.errors.stage", None));
    }

    #[test]
    fn no_topic_is_named_by_a_blank_one() {
        for (given, expected) in [(None, None), (Some(" "), None), (Some(" dlq "), Some("dlq"))] {
            let props: Props = given.map(|name: &str| ("errors.deadletterqueue.topic.name".to_owned(), name.to_owned())).into_iter().collect();
            assert_eq!(topic_name(&props), expected);
        }
    }
}
