//! What makes a source task deliver exactly once: its records and its offsets in one transaction (KIP-618, upstream's `ExactlyOnceWorkerSourceTask`).
//!
//! ```text
//!   fence the others ─► take over the transactional.id ─► is the task still ours? ─► read offsets ─► poll, send, commit, poll, …
//! ```
//! A transaction begins with a record and ends as `transaction.boundary` says: with each batch that was polled, or when an interval is over; sooner when the task
//! is paused or stopped, or when records on their way have used up the memory budget. A transaction that cannot be committed ends the task: what
//! it has read is read again, from the offsets that Kafka has, and nobody sees what it has sent.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outbox::{self, Held, Origin, Ready};
use super::{ASK_AGAIN, refused};
use crate::connect::{ErrorKind, Health, Props, SourceTask, TaskError};
use crate::kafka::{KafkaErrorKind, NotQueued, OutgoingRecord, Producer};
use crate::runtime::connector_offsets::Transactional;

/// How long one try to begin or end a transaction may take; then it is said what is waited for.
const TRY: Duration = Duration::from_secs(10);
/// The same for taking over an id, which a task that is to stop waits for.
const FIRST_TRY: Duration = Duration::from_secs(3);
/// How long a copy of offsets may take that nothing depends on.
const COPY: Duration = Duration::from_secs(5);

/// Looks after a task's right to be.
#[async_trait]
pub trait Guard: std::fmt::Debug + Send + Sync {
    /// Before the task takes over its `transactional.id`: no task of an older configuration may write any more.
    ///
    /// # Errors
    /// Why the task may not start.
    async fn fence(&self) -> Result<(), TaskError>;

    /// After that: the task is still this worker's, and configured as it was.
    ///
    /// # Errors
    /// Why the task may not start.
    async fn verify(&self) -> Result<(), TaskError>;
}

/// How a task delivers.
#[derive(Debug, Clone)]
pub struct ExactlyOnce {
    /// Where its offsets are.
    pub offsets: Arc<dyn Transactional>,
    /// Whose producer it has.
    pub transactional_id: String,
    /// Who looks after it.
    pub guard: Arc<dyn Guard>,
}

/// When transactions end: upstream's `TransactionBoundary`. No connector here says so itself (`connector`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundary {
    /// With each batch.
    Poll,
    /// After so much time.
    Interval(Duration),
}

impl Boundary {
    /// As a valid configuration says; `default` is the interval unless it does.
    pub(super) fn from_props(props: &Props, default: Duration) -> Self {
        let text = |key: &str| props.get(key).map_or("", |text| text.trim());
        if text("transaction.boundary").eq_ignore_ascii_case("interval") {
            Self::Interval(text("transaction.boundary.interval.ms").parse().map_or(default, Duration::from_millis))
        } else {
            Self::Poll
        }
    }
}

/// Makes the `transactional.id` this task's, and sees to it that the task is still to run; false when it is to stop instead. A try that has begun is waited for: it
/// could take the id from the task's next owner.
pub(super) async fn take_over(producer: &mut dyn Producer, guard: &dyn Guard, health: &Health, stop: &CancellationToken) -> Result<bool, TaskError> {
    let Some(fenced) = stop.run_until_cancelled(guard.fence()).await else { return Ok(false) };
    fenced?;
    while !stop.is_cancelled() {
        match producer.init_transactions(FIRST_TRY).await {
            Ok(()) => {
                health.set("kafka", None);
                let Some(verified) = stop.run_until_cancelled(guard.verify()).await else { return Ok(false) };
                return verified.map(|()| true);
            }
            Err(error) if error.kind == KafkaErrorKind::Transient => {
                tracing::warn!(%error, "waiting for transactions");
                health.set("kafka", Some(error.message));
                stop.run_until_cancelled(tokio::time::sleep(ASK_AGAIN)).await;
            }
            Err(error) => return Err(refused(&error)),
        }
    }
    Ok(false)
}

/// The transactions of a task.
pub(super) struct Transactions {
    offsets: Arc<dyn Transactional>,
    boundary: Boundary,
    is_open: bool,
    /// When the last one ended.
    last: Instant,
    /// Where to go on after what was sent since.
    ready: Ready,
    /// Records that the connector is told of when they are committed.
    passed: Vec<(Arc<Held>, usize)>,
}

impl Transactions {
    pub(super) fn new(offsets: Arc<dyn Transactional>, boundary: Boundary) -> Self {
        Self { offsets, boundary, is_open: false, last: Instant::now(), ready: Ready::new(), passed: Vec::new() }
    }

    /// A record is about to be sent to that topic.
    pub(super) fn before(&mut self, producer: &mut dyn Producer, topic: &str) -> Result<(), TaskError> {
        if topic == self.offsets.topic() {
            // The task would wait for its own transaction when it reads its offsets.
            let message = "Source tasks may not produce to their own offsets topics when exactly-once support is enabled";
            return Err(TaskError::new(ErrorKind::BadConfig, message).with("topic", topic));
        }
        self.begin(producer)
    }

    fn begin(&mut self, producer: &mut dyn Producer) -> Result<(), TaskError> {
        if !self.is_open {
            producer.begin_transaction().map_err(|error| refused(&error))?;
            self.is_open = true;
        }
        Ok(())
    }

    /// A record was sent.
    pub(super) fn sent(&mut self, origin: &Origin) {
        if let Some(partition) = origin.held.partition() {
            self.ready.insert(Arc::clone(partition), origin.clone());
        }
    }

    /// Kafka has a record in the transaction, or it was left out.
    pub(super) fn passed(&mut self, held: &Arc<Held>, row: usize) {
        self.passed.push((Arc::clone(held), row));
    }

    /// True while something is sent that is not committed.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// True when what was sent is to be committed now. `hurries`: whatever the boundary says.
    pub(super) fn is_due(&self, batch_ended: bool, hurries: bool) -> bool {
        let is_over = match self.boundary {
            Boundary::Poll => batch_ended,
            Boundary::Interval(interval) => self.last.elapsed() >= interval,
        };
        self.is_open && (is_over || hurries)
    }

    /// Commits what was sent, with its offsets. The caller then takes what has settled, and calls [`committed`](Self::committed).
    pub(super) async fn commit(&mut self, producer: &mut dyn Producer, connector: &str, health: &Health) -> Result<(), TaskError> {
        let failed = |error: crate::connect::source::OffsetError| TaskError::new(ErrorKind::BadRecord, error.0).with("connector", connector);
        let changes = outbox::changes(&self.ready);
        let records = self.offsets.records(connector, &changes).await.map_err(failed)?;
        self.begin(producer)?;
        let topic = self.offsets.topic().to_owned();
        for (at, record) in records.iter().enumerate() {
            let partition = Some(self.offsets.partition(record).await.map_err(failed)?);
            let out = OutgoingRecord { topic: &topic, partition, timestamp: None, key: Some(&record.key), value: record.value.as_deref(), headers: &[] };
            // No record of the task's has such a number.
            while let Err(error) = producer.send(usize::MAX - at, out) {
                match error {
                    // What is full is the queue; it empties by itself.
                    NotQueued::Full => tokio::time::sleep(Duration::from_millis(5)).await,
                    NotQueued::Refused(error) => return Err(refused(&error)),
                }
            }
        }
        while let Err(error) = producer.commit_transaction(TRY).await {
            if error.kind != KafkaErrorKind::Transient {
                return Err(not_committed(error.kind, &error.message));
            }
            tracing::warn!(connector, %error, "committing again");
            health.set("kafka", Some(error.message));
        }
        health.set("kafka", None);
        (self.is_open, self.last) = (false, Instant::now());
        self.ready.clear();
        if tokio::time::timeout(COPY, self.offsets.after(records)).await.is_err() {
            tracing::warn!(connector, "the worker's offsets topic took no copy of the connector's offsets in {} s", COPY.as_secs());
        }
        Ok(())
    }

    /// Tells the connector what is committed.
    pub(super) fn committed(&mut self, source: &mut dyn SourceTask) {
        for (held, row) in self.passed.drain(..) {
            source.delivered(&held.batch, row);
        }
    }

    /// Gives up what is open, so that nobody waits for its end.
    pub(super) async fn give_up(&mut self, producer: &mut dyn Producer, patience: Duration) {
        if std::mem::take(&mut self.is_open)
            && let Err(error) = producer.abort_transaction(patience).await
        {
            tracing::debug!(%error, "the transaction of a task that failed is left to the brokers");
        }
    }
}

/// As upstream, who loses his `transactional.id` is told what it may be.
fn not_committed(kind: KafkaErrorKind, message: &str) -> TaskError {
    let hint = if kind == KafkaErrorKind::Fenced {
        ": another task of this number has taken over, or the transaction was open for longer than producer.override.transaction.timeout.ms (then raise that, or end \
         transactions sooner: transaction.boundary=poll, or a shorter transaction.boundary.interval.ms)"
    } else {
        ""
    };
    TaskError::new(
        ErrorKind::BadRecord,
        format!("{message}; records and offsets of the transaction were not committed, and are read again after a restart{hint}"),
    )
}
