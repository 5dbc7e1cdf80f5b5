//! An internal topic as a log that everyone reads from the beginning and follows, and may write to: upstream's `KafkaBasedLog`.
//!
//! A [`Log`] applies every record in the order of its partition, from the first one on, and knows when it has applied all that were there at some moment:
//! [`Log::read_to_end`]. Trouble with brokers is waited for; whoever cannot wait that long says so with a timeout.
//!
//! One task follows: a fetching task for each broker that leads partitions sends it what came, at most [`FETCHED_BOUND`] answers ahead.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Record;
use super::broker::connection::refused;
use super::broker::{Address, Lane, Network, transient};
use super::source_offsets::topic_partition;
use crate::kafka::{KafkaError, KafkaErrorKind};

pub mod batches;
mod topic;

use topic::Layout;
pub use topic::{Purpose, Topic};

/// Answers of brokers that may wait to be applied.
const FETCHED_BOUND: usize = 4;
/// Calls of [`Log::read_to_end`] that may wait to be looked at.
const READS_BOUND: usize = 16;
/// How long a broker may wait for new records before it answers.
const FETCH_WAIT_MS: i32 = 500;
/// Bytes of records that a broker may send at once, of all partitions and of one.
const FETCH_BYTES: (i32, i32) = (8 << 20, 1 << 20);
/// How long the replicas may take to have what is written.
const REPLICATION_MS: i32 = 30_000;
/// Where a log begins, and where it ends, among the timestamps that brokers are asked for offsets by.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` deletes the key.
    pub value: Option<Bytes>,
}

/// What of transactions counts (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything.
    Uncommitted,
    /// What was committed; the log ends where a transaction is open.
    Committed,
    /// What was committed; the log ends at its last record, so that its end is reached when transactions that are open now have ended.
    Settled,
}

/// By which properties brokers are reached, for what is done with a log.
#[derive(Debug, Clone)]
pub struct Networks {
    /// Whoever reads it: a consumer's.
    pub reads: Arc<Network>,
    /// Whoever writes it: a producer's.
    pub writes: Arc<Network>,
    /// Whoever creates its topic, and looks at how it is configured: an admin client's.
    pub creates: Arc<Network>,
}

impl From<&Arc<Network>> for Networks {
    /// The same for all.
    fn from(network: &Arc<Network>) -> Self {
        Self { reads: Arc::clone(network), writes: Arc::clone(network), creates: Arc::clone(network) }
    }
}

/// A log that is followed.
#[derive(Debug)]
pub struct Log {
    writer: Mutex<Writer>,
    reads: mpsc::Sender<oneshot::Sender<()>>,
    partitions: u32,
    _task: AbortOnDropHandle<()>,
}

impl Log {
    /// Creates the topic if it is not there, checks it, and begins to apply its records. They are applied in a task of their own, one after the other.
    ///
    /// # Errors
    /// What a person must mend; trouble with brokers is waited for.
    pub async fn open(
        networks: impl Into<Networks>,
        topic: Topic,
        isolation: Isolation,
        apply: impl FnMut(Entry) + Send + 'static,
    ) -> Result<Self, KafkaError> {
        let Networks { reads: network, writes, creates } = networks.into();
        let partitions = topic.ensure(&creates, &Lane::new(&creates)).await?;
        let topic = Arc::new(topic);
        let (reads, asked) = mpsc::channel(READS_BOUND);
        let follower = Follower {
            finder: Lane::new(&network),
            source: Source { network, topic: Arc::clone(&topic), isolation },
            positions: (0..partitions).map(|partition| (partition.cast_signed(), 0)).collect(),
            apply,
            asked,
            unanswered: Vec::new(),
            waiting: Vec::new(),
        };
        let writer = Writer { finder: Lane::new(&writes), network: writes, topic, partitions, lanes: BTreeMap::new(), layout: None };
        Ok(Self { writer: Mutex::new(writer), reads, partitions, _task: AbortOnDropHandle::new(tokio::spawn(follower.run())) })
    }

    /// How many partitions the topic has.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Returns when everything is applied that is in the log now.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Transient`] after `patience`.
    pub async fn read_to_end(&self, patience: Duration) -> Result<(), KafkaError> {
        let (done, read) = oneshot::channel();
        let reading = async {
            self.reads.send(done).await.ok()?;
            read.await.ok()
        };
        match timeout(patience, reading).await {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(KafkaError::new(KafkaErrorKind::Fatal, "the log is not followed any more")),
            Err(_) => Err(transient(format!("the topic was not read to its end in {} ms; are its brokers reachable?", patience.as_millis()))),
        }
    }

    /// Writes records, in this order in each partition, and waits until all replicas in sync have them. Trouble with brokers is waited for, so that a record
    /// may be written twice; when this is dropped, whether they are written is not known.
    ///
    /// # Errors
    /// What trying again does not heal.
    pub async fn write(&self, records: &[Record]) -> Result<(), KafkaError> {
        if records.is_empty() {
            return Ok(());
        }
        self.writer.lock().await.write(records).await
    }
}

/// Writes, one call at a time, so that nothing is overtaken.
#[derive(Debug)]
struct Writer {
    network: Arc<Network>,
    topic: Arc<Topic>,
    partitions: u32,
    finder: Lane,
    lanes: BTreeMap<Address, Lane>,
    layout: Option<Layout>,
}

impl Writer {
    async fn write(&mut self, records: &[Record]) -> Result<(), KafkaError> {
        let mut left: BTreeMap<i32, Vec<&Record>> = BTreeMap::new();
        for record in records {
            left.entry(topic_partition(&record.key, self.partitions).cast_signed()).or_default().push(record);
        }
        let mut tries = 0;
        while let Some((&partition, records)) = left.first_key_value() {
            match self.send(partition, records).await {
                Ok(()) => drop(left.remove(&partition)),
                Err(error) if error.kind == KafkaErrorKind::Transient => {
                    tracing::warn!(%error, topic = self.topic.name, "writing again");
                    self.layout = None;
                    sleep(self.network.backoff.before(tries)).await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One batch to the leader of its partition.
    async fn send(&mut self, partition: i32, records: &[&Record]) -> Result<(), KafkaError> {
        let doing = format!("writing to partition {partition} of topic {}", self.topic.name);
        if self.layout.is_none() {
            self.layout = self.topic.layout(&self.finder).await?;
        }
        let leader = self.layout.as_ref().and_then(|layout| layout.get(&partition)).and_then(Option::clone);
        let leader = leader.ok_or_else(|| transient(format!("{doing}: it has no leader at the moment")))?;
        let batch = batches::write(records.iter().copied(), self.network.clock().now().timestamp_millis());
        let batch = batch.map_err(|why| KafkaError::new(KafkaErrorKind::Fatal, format!("{doing}: {why}")))?;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
        let topic = TopicProduceData::default().with_name(StrBytes::from(self.topic.name.clone()).into()).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(REPLICATION_MS).with_topic_data(vec![topic]);
        let network = &self.network;
        let lane = self.lanes.entry(leader.clone()).or_insert_with(|| Lane::new(network));
        let answer = lane.ask(&leader, &request, network.request_timeout).await?;
        let results = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        results.filter_map(|result| result.error_code.err()).next().map_or(Ok(()), |error| Err(refused(error, &doing)))
    }
}

/// What is read, from where.
#[derive(Debug, Clone)]
struct Source {
    network: Arc<Network>,
    topic: Arc<Topic>,
    isolation: Isolation,
}

impl Source {
    fn name(&self) -> TopicName {
        StrBytes::from(self.topic.name.clone()).into()
    }

    /// The level at which records are fetched, and that at which the log's end is asked for.
    fn isolation_levels(&self) -> (i8, i8) {
        match self.isolation {
            Isolation::Uncommitted => (0, 0),
            Isolation::Committed => (1, 1),
            Isolation::Settled => (1, 0),
        }
    }

    /// Where partitions begin or end, as their leader says.
    async fn offsets(&self, lane: &Lane, leader: &Address, partitions: &[i32], which: i64) -> Result<Vec<(i32, i64)>, KafkaError> {
        let asked = partitions.iter().map(|partition| ListOffsetsPartition::default().with_partition_index(*partition).with_timestamp(which));
        let topic = ListOffsetsTopic::default().with_name(self.name()).with_partitions(asked.collect());
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_isolation_level(self.isolation_levels().1).with_topics(vec![topic]);
        let answer = lane.ask(leader, &request, self.network.request_timeout).await?;
        let results = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let offset = |result: kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse| match result.error_code.err() {
            None => Ok((result.partition_index, result.offset)),
            Some(error) => Err(refused(error, &format!("asking for the offsets of topic {}", self.topic.name))),
        };
        results.map(offset).collect()
    }

    /// Fetches from one broker until something is wrong.
    async fn fetch(self, leader: Address, mut from: BTreeMap<i32, i64>, fetched: mpsc::Sender<Result<Fetched, KafkaError>>) {
        let lane = Lane::new(&self.network);
        loop {
            let result = self.fetch_once(&lane, &leader, &mut from).await;
            let is_over = result.is_err();
            if fetched.send(result).await.is_err() || is_over {
                return;
            }
        }
    }

    async fn fetch_once(&self, lane: &Lane, leader: &Address, from: &mut BTreeMap<i32, i64>) -> Result<Fetched, KafkaError> {
        let asked = from
            .iter()
            .map(|(partition, offset)| FetchPartition::default().with_partition(*partition).with_fetch_offset(*offset).with_partition_max_bytes(FETCH_BYTES.1));
        let topic = FetchTopic::default().with_topic(self.name()).with_partitions(asked.collect());
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(FETCH_WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES.0)
            .with_isolation_level(self.isolation_levels().0)
            .with_session_epoch(-1) // every request says everything
            .with_topics(vec![topic]);
        let answer = lane.ask(leader, &request, self.network.request_timeout).await?;
        let doing = format!("reading topic {}", self.topic.name);
        answer.error_code.err().map_or(Ok(()), |error| Err(refused(error, &doing)))?;
        let mut fetched = Fetched::default();
        for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            let index = partition.partition_index;
            let Some(next) = from.get_mut(&index) else { continue };
            match partition.error_code.err() {
                None => {
                    let aborted = (self.isolation != Isolation::Uncommitted).then(|| partition.aborted_transactions.unwrap_or_default());
                    let read = batches::read(partition.records.unwrap_or_default(), index.cast_unsigned(), *next, aborted.as_deref());
                    let read = read.map_err(|why| transient(format!("{doing}, partition {index}: {why}")))?;
                    *next = read.next;
                    fetched.entries.extend(read.entries);
                }
                Some(ResponseError::OffsetOutOfRange) => {
                    let begins = self.offsets(lane, leader, &[index], EARLIEST).await?.first().map_or(0, |(_, offset)| *offset);
                    tracing::warn!(
                        topic = self.topic.name,
                        partition = index,
                        wanted = *next,
                        begins,
                        "the log does not hold what was next; reading from its beginning"
                    );
                    *next = begins;
                }
                Some(error) => return Err(refused(error, &format!("{doing}, partition {index}"))),
            }
            fetched.positions.insert(index, *next);
        }
        Ok(fetched)
    }
}

/// What one fetch brought.
#[derive(Debug, Default)]
struct Fetched {
    entries: Vec<Entry>,
    positions: BTreeMap<i32, i64>,
}

/// Follows a log.
struct Follower<F> {
    source: Source,
    finder: Lane,
    /// What is applied, by partition: everything below.
    positions: BTreeMap<i32, i64>,
    apply: F,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    /// Who wants to know of an end that has not been looked up.
    unanswered: Vec<oneshot::Sender<()>>,
    /// Who waits for these positions.
    waiting: Vec<(BTreeMap<i32, i64>, Vec<oneshot::Sender<()>>)>,
}

impl<F> fmt::Debug for Follower<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("source", &self.source).field("positions", &self.positions).finish_non_exhaustive()
    }
}

impl<F: FnMut(Entry) + Send> Follower<F> {
    async fn run(mut self) {
        let mut tries = 0;
        loop {
            let before: i64 = self.positions.values().sum();
            match self.follow().await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, topic = self.source.topic.name, "following the topic again"),
            }
            tries = if self.positions.values().sum::<i64>() == before { tries + 1 } else { 0 };
            sleep(self.source.network.backoff.before(tries)).await;
        }
    }

    /// Until something is wrong, or nobody wants it any more.
    async fn follow(&mut self) -> Result<(), KafkaError> {
        let missing = || transient(format!("topic {} is gone", self.source.topic.name));
        let layout = self.source.topic.layout(&self.finder).await?.ok_or_else(missing)?;
        let mut leaders: BTreeMap<Address, BTreeMap<i32, i64>> = BTreeMap::new();
        for (partition, leader) in layout {
            let leader = leader.ok_or_else(|| transient(format!("partition {partition} of topic {} has no leader", self.source.topic.name)))?;
            leaders.entry(leader).or_default().insert(partition, self.positions.get(&partition).copied().unwrap_or(0));
        }
        let (sender, mut fetched) = mpsc::channel(FETCHED_BOUND);
        let mut fetchers = JoinSet::new();
        for (leader, from) in &leaders {
            fetchers.spawn(self.source.clone().fetch(leader.clone(), from.clone(), sender.clone()));
        }
        drop(sender);
        let asking: BTreeMap<Address, (Lane, Vec<i32>)> =
            leaders.into_iter().map(|(leader, from)| (leader, (Lane::new(&self.source.network), from.into_keys().collect()))).collect();
        loop {
            if !self.unanswered.is_empty() {
                self.look_up(&asking).await?;
            }
            tokio::select! {
                biased;
                asked = self.asked.recv() => match asked {
                    Some(done) => self.unanswered.push(done),
                    None => return Ok(()),
                },
                came = fetched.recv() => match came {
                    Some(came) => self.take(came?),
                    None => return Err(transient(format!("topic {} is not fetched any more", self.source.topic.name))),
                },
            }
        }
    }

    /// Where the log ends now, for whoever wants to know.
    async fn look_up(&mut self, leaders: &BTreeMap<Address, (Lane, Vec<i32>)>) -> Result<(), KafkaError> {
        let mut ends = BTreeMap::new();
        for (leader, (lane, partitions)) in leaders {
            ends.extend(self.source.offsets(lane, leader, partitions, LATEST).await?);
        }
        self.waiting.push((ends, std::mem::take(&mut self.unanswered)));
        self.settle();
        Ok(())
    }

    fn take(&mut self, fetched: Fetched) {
        fetched.entries.into_iter().for_each(&mut self.apply);
        self.positions.extend(fetched.positions);
        self.settle();
    }

    /// Tells those whose end is reached; those who do not wait any more do not mind.
    fn settle(&mut self) {
        let positions = &self.positions;
        let is_reached = |ends: &BTreeMap<i32, i64>| ends.iter().all(|(partition, end)| positions.get(partition).is_some_and(|position| position >= end));
        for (_, done) in self.waiting.extract_if(.., |(ends, _)| is_reached(ends)) {
            done.into_iter().for_each(|done| done.send(()).unwrap_or_default());
        }
    }
}
