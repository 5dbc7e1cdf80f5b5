//! Writes order events to the topic, as fast as the sink takes them.
//!
//! Order `i` goes to partition `i % PARTITIONS` with the order's own time as its timestamp. Where the broker forgets, the generator never has more
//! records under way than a single partition keeps: however unevenly the sink reads, none is dropped before it was read.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use crate::compute::Compute;
use crate::quickstart::broker::{Broker, PARTITIONS};
use crate::quickstart::job::CONNECTOR;
use crate::quickstart::orders::{self, Order};
use crate::quickstart::progress::Look;
use crate::runtime::HerderHandle;
use crate::standalone::ExitError;

/// Records that are made at once, at most.
const CHUNK: u64 = 2_000;

/// Largest message set, so that little goes when the broker drops its oldest one.
const BATCH_BYTES: &str = "131072";

/// Bytes of a record at the broker besides its value, at most.
const OVERHEAD_BYTES: u64 = 80;

/// How long to wait when the sink is behind.
const PAUSE: Duration = Duration::from_millis(1);

/// How often a rate is kept.
const BEAT: Duration = Duration::from_millis(100);

/// How long the broker may take to acknowledge the last records.
const FLUSH: Duration = Duration::from_secs(60);

/// Writes order events.
pub struct Generator {
    writer: Arc<Writer>,
    compute: Compute,
    retained_bytes: Option<u64>,
    taken: AtomicU64,
}

/// The producer, and where its records go.
struct Writer {
    producer: ThreadedProducer<Refusals>,
    topic: String,
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").field("topic", &self.writer.topic).finish_non_exhaustive()
    }
}

/// Remembers the first record that the broker refused.
#[derive(Default)]
struct Refusals(Mutex<Option<KafkaError>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

fn failed(error: &KafkaError) -> ExitError {
    ExitError::failure(format!("the generator cannot write to Kafka: {error}"))
}

impl Generator {
    /// A generator for that topic. Records are made on `compute`.
    ///
    /// # Errors
    /// [`ExitError`] when there can be no producer.
    pub fn new(broker: &Broker, topic: &str, compute: Compute) -> Result<Self, ExitError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap_servers()).set("enable.idempotence", "true");
        config.set("linger.ms", "5").set("batch.size", BATCH_BYTES).set("queue.buffering.max.messages", "50000");
        let producer = config.create_with_context(Refusals::default()).map_err(|error| failed(&error))?;
        let writer = Arc::new(Writer { producer, topic: topic.to_owned() });
        Ok(Self { writer, compute, retained_bytes: broker.retained_bytes(), taken: AtomicU64::new(0) })
    }

    /// Writes these orders, at most `rate` a second when there is one, and waits until the broker has them.
    ///
    /// # Errors
    /// [`ExitError`] when the broker refuses a record, or the connector is gone.
    pub async fn run(&self, orders: Range<u64>, herder: &HerderHandle, rate: Option<u64>) -> Result<(), ExitError> {
        let (mut next, mut largest) = (orders.start, 0);
        while next < orders.end {
            let under_way = next.saturating_sub(self.taken(herder).await?);
            let window = self.retained_bytes.map_or(u64::MAX, |bytes| if largest == 0 { CHUNK } else { bytes / (largest + OVERHEAD_BYTES) });
            let beat = rate.map_or(CHUNK, |rate| (rate * u64::try_from(BEAT.as_millis()).unwrap_or(1) / 1_000).max(1));
            let chunk = beat.min(orders.end - next).min(window.saturating_sub(under_way));
            if chunk == 0 {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let writer = Arc::clone(&self.writer);
            let range = next..next + chunk;
            largest = largest.max(self.compute.run(move || writer.write(range)).await.map_err(|error| failed(&error))?);
            next += chunk;
            if rate.is_some() {
                tokio::time::sleep(BEAT).await;
            }
        }
        let writer = Arc::clone(&self.writer);
        self.compute.run(move || writer.finish()).await.map_err(|error| failed(&error))
    }

    /// Orders that the sink has taken, from order 0 on. A task that was restarted counts anew and takes again what was not committed: then the commits
    /// tell, and what was taken once stays taken here.
    async fn taken(&self, herder: &HerderHandle) -> Result<u64, ExitError> {
        let tasks = herder.live(CONNECTOR).await.map_err(ExitError::failure)?;
        let look = Look::of(tasks.iter().map(|task| task.figures()));
        let taken = look.consumed.max(look.committed_records());
        Ok(self.taken.fetch_max(taken, Ordering::Relaxed).max(taken))
    }
}

impl Writer {
    /// Hands these orders to the producer, and returns the length of the longest. Blocks while the producer is full.
    fn write(&self, orders: Range<u64>) -> Result<u64, KafkaError> {
        let mut value = Vec::with_capacity(512);
        let mut longest = 0;
        for i in orders {
            value.clear();
            orders::write_json(&mut value, i);
            longest = longest.max(value.len());
            self.send(i, &value)?;
        }
        Ok(longest as u64)
    }

    fn send(&self, i: u64, value: &[u8]) -> Result<(), KafkaError> {
        let timestamp = i64::try_from(Order::at(i).ts_ms).unwrap_or(i64::MAX);
        let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.topic).partition(partition(i)).payload(value).timestamp(timestamp);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(PAUSE);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until the broker has everything.
    fn finish(&self) -> Result<(), KafkaError> {
        self.producer.flush(FLUSH)?;
        let refusals = &self.producer.context().0;
        refusals.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// The partition of order `i`.
fn partition(i: u64) -> i32 {
    i32::try_from(i % u64::from(PARTITIONS.unsigned_abs())).unwrap_or(0)
}

/// How many of the first `records` orders are in each partition.
#[must_use]
pub fn records_by_partition(records: u64) -> Vec<u64> {
    let partitions = u64::from(PARTITIONS.unsigned_abs());
    (0..partitions).map(|p| records / partitions + u64::from(p < records % partitions)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_dealt_out() {
        for records in [0, 1, 6, 7, 1_000] {
            let mut counted = vec![0; PARTITIONS.unsigned_abs() as usize];
            for i in 0..records {
                counted[partition(i) as usize] += 1;
            }
            assert_eq!(records_by_partition(records), counted);
        }
    }
}
