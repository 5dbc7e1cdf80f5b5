//! The leader's right to write the config topic, where sources are exactly once: upstream's fencible producer (KIP-618).
//!
//! Whoever leads takes over one `transactional.id` of the whole group, so that a worker that led before, and does not know yet that it does no more, can write
//! nothing: brokers refuse it. A worker that was refused in this way takes the id back only when it has become the leader of a new generation.
//!
//! [`follow`](Privilege::follow) claims and gives up as the standing says; [`write`](Privilege::write) is one transaction.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{sleep, timeout};

use super::Record;
use super::membership::Standing;
use crate::kafka::{Kafka, KafkaError, KafkaErrorKind, NotQueued, OutgoingRecord, Producer, Props};

/// How long one try of a claim or a commit may take.
const TRY: Duration = Duration::from_secs(10);
/// Between tries of a claim.
const AGAIN: Duration = Duration::from_millis(500);

/// The right, and whether this worker has it.
#[derive(Debug)]
pub(super) struct Privilege {
    kafka: Arc<dyn Kafka>,
    /// Of the producer.
    props: Props,
    transactional_id: String,
    topic: String,
    producer: Mutex<Held>,
    claimed: Notify,
    lost: Notify,
}

/// What this worker has of it.
#[derive(Debug)]
enum Held {
    /// Nothing; the leader claims it.
    No,
    /// The right.
    Producer(Box<dyn Producer>),
    /// It was taken away: whether this worker leads is to be seen at the next generation.
    Fenced { at: u64 },
}

impl Privilege {
    /// Nothing is claimed yet.
    pub(super) fn new(kafka: Arc<dyn Kafka>, mut props: Props, group: &str, topic: &str) -> Self {
        for (key, value) in [("acks", "all".to_owned()), ("client.id", format!("{group}-configs-leader"))] {
            props.insert(key.to_owned(), value);
        }
        let transactional_id = format!("connect-cluster-{group}");
        Self { kafka, props, transactional_id, topic: topic.to_owned(), producer: Mutex::new(Held::No), claimed: Notify::new(), lost: Notify::new() }
    }

    /// Claims the right whenever this worker leads, and gives it up when another one does. Ends when the membership does.
    pub(super) async fn follow(&self, mut standing: watch::Receiver<Standing>) {
        loop {
            let (leads, settled, generation) = {
                let now = standing.borrow_and_update();
                (now.leadership.is_some(), !now.rebalancing, now.rebalances)
            };
            if leads {
                self.claim(generation).await;
            } else if settled {
                self.give_up().await;
            }
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return },
                () = self.lost.notified() => {}
            }
        }
    }

    async fn give_up(&self) {
        if let Held::Producer(mut producer) = std::mem::replace(&mut *self.producer.lock().await, Held::No) {
            producer.close().await;
        }
    }

    /// Claims it for a generation, unless it was taken away in that one. What does not work now is tried at the next change, or soon.
    async fn claim(&self, generation: u64) {
        let mut held = self.producer.lock().await;
        match &*held {
            Held::Producer(_) => return,
            Held::Fenced { at } if *at >= generation => return,
            Held::Fenced { .. } | Held::No => {}
        }
        let claimed = async {
            let mut producer = self.kafka.transactional_producer(&self.props, &self.transactional_id)?;
            producer.init_transactions(TRY).await?;
            Ok::<_, KafkaError>(producer)
        };
        match claimed.await {
            Ok(producer) => {
                tracing::debug!(id = self.transactional_id, "this worker alone may write the config topic as leader");
                *held = Held::Producer(producer);
                drop(held);
                self.claimed.notify_waiters();
            }
            Err(error) => {
                drop(held);
                tracing::warn!(%error, "the right to write the config topic as leader could not be claimed; that is tried again");
                sleep(AGAIN).await;
                self.lost.notify_one();
            }
        }
    }

    /// Writes records in one transaction; waits for the right to do so, which the leader is about to have. `generation` is that of the writer's standing.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Fenced`] when another worker has written as leader: become a member again, and see. [`KafkaErrorKind::Transient`] after `patience`.
    pub(super) async fn write(&self, records: &[Record], generation: u64, patience: Duration) -> Result<(), KafkaError> {
        let late = |_| KafkaError::new(KafkaErrorKind::Transient, format!("topic {} took no transaction in {} s", self.topic, patience.as_secs()));
        timeout(patience, self.write_when_claimed(records, generation)).await.map_err(late)?
    }

    async fn write_when_claimed(&self, records: &[Record], generation: u64) -> Result<(), KafkaError> {
        let (mut held, mut producer) = loop {
            let claimed = self.claimed.notified();
            let mut held = self.producer.lock().await;
            match std::mem::replace(&mut *held, Held::No) {
                Held::Producer(producer) => break (held, producer),
                Held::No => drop(held),
                Held::Fenced { at } => {
                    *held = Held::Fenced { at };
                    // Who was elected since is about to have the right again.
                    if at >= generation {
                        return Err(self.fenced());
                    }
                    drop(held);
                }
            }
            claimed.await;
        };
        // From here on nothing is held: whoever is dropped in the middle leaves a transaction that the next claim aborts.
        let claims_again = Claim(&self.lost);
        let written = self.transaction(producer.as_mut(), records).await;
        match written {
            Ok(()) => {
                *held = Held::Producer(producer);
                std::mem::forget(claims_again);
                Ok(())
            }
            Err(error) => {
                if error.kind == KafkaErrorKind::Fenced {
                    *held = Held::Fenced { at: generation };
                    tracing::warn!(%error, "another worker has written the config topic as leader; this one joins the group again, and sees who leads");
                }
                drop(held);
                producer.close().await;
                Err(if error.kind == KafkaErrorKind::Fenced { self.fenced() } else { error })
            }
        }
    }

    fn fenced(&self) -> KafkaError {
        let message = format!(
            "another worker has taken over the transactional.id {} and writes topic {}; this may be due to a transient error, and the request can be safely retried",
            self.transactional_id, self.topic
        );
        KafkaError::new(KafkaErrorKind::Fenced, message)
    }

    async fn transaction(&self, producer: &mut dyn Producer, records: &[Record]) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        for (token, record) in records.iter().enumerate() {
            let out = OutgoingRecord {
                topic: &self.topic,
                partition: Some(0),
                timestamp: None,
                key: Some(&record.key),
                value: record.value.as_deref(),
                headers: &[],
            };
            while let Err(refused) = producer.send(token, out) {
                match refused {
                    NotQueued::Full => drop(producer.settled().await),
                    NotQueued::Refused(error) => return Err(error),
                }
            }
        }
        loop {
            match producer.commit_transaction(TRY).await {
                Err(error) if error.kind == KafkaErrorKind::Transient => tracing::warn!(%error, topic = self.topic, "committing again"),
                done => {
                    // What has settled is of no use, and is not to pile up.
                    drop(producer.settled().now_or_never());
                    return done;
                }
            }
        }
    }
}

/// Rings when it is dropped: the right is to be claimed again.
struct Claim<'a>(&'a Notify);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
