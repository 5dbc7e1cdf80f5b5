//! What Kafka holds, for whoever compares it with something else: a group's committed offsets with their metadata, and the offsets of a partition's records.
//!
//! A [`LogReader`] is no member of the group and commits nothing. Its calls wait for the broker, so they belong on a thread that may wait.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as RdError;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::login::{Login, LoginContext};
use super::tokens::Logins;
use super::{KafkaError, KafkaErrorKind, Props, errors, properties};
use crate::batch::{Commits, Committed, OffsetRange, TopicPartition};
use crate::offsets::OffsetSet;

/// How long a request, or the next record, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records that are read and dropped rather than asking the broker anew.
const MOST_SKIPPED: i64 = 50_000;

/// A group's offsets and its topics' records, read from outside.
pub struct LogReader {
    consumer: BaseConsumer<LoginContext>,
    group: String,
    cursor: Mutex<Option<Cursor>>,
}

/// Where a reader stands in a partition.
struct Cursor {
    tp: TopicPartition,
    /// Everything below was taken.
    next: i64,
    /// The next record, when it was taken already: offset, and whether it has no value.
    ahead: Option<(i64, bool)>,
}

impl Cursor {
    /// True where reading on is the shorter way to an offset.
    fn leads_to(&self, tp: &TopicPartition, offset: i64) -> bool {
        self.tp == *tp && (self.next..=self.next.saturating_add(MOST_SKIPPED)).contains(&offset)
    }
}

/// Records of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// Their offsets.
    pub offsets: OffsetSet,
    /// How many of them have no value.
    pub tombstones: u64,
    /// True when there may be more of them than were read.
    pub has_more: bool,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("group", &self.group).finish_non_exhaustive()
    }
}

impl LogReader {
    /// A reader with a consumer's properties in Java's spelling, for that group. Nothing is asked of the broker yet.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] names the property.
    pub fn new(java: &Props, group: &str) -> Result<Self, KafkaError> {
        let mut client = ClientConfig::new();
        for (key, value) in properties::consumer(java)? {
            client.set(key, value);
        }
        client.set("group.id", group).set("enable.partition.eof", "true").set("auto.offset.reset", "error").set("allow.auto.create.topics", "false");
        let consumer = client
            .create_with_context(LoginContext(Login::new(java, &Logins::default())?))
            .map_err(|error| errors::explain(&error, &format!("reading group {group}"), ""))?;
        Ok(Self { consumer, group: group.to_owned(), cursor: Mutex::new(None) })
    }

    /// Has the client log in, if that is what it waits for: it asks for tokens where it is polled.
    fn serve(&self) {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        if self.consumer.poll(Duration::ZERO).is_some() {
            *cursor = None; // it may have been the record that is next
        }
    }

    fn explain(&self, error: &RdError, doing: &str) -> KafkaError {
        self.consumer.context().0.explain(error, &format!("{doing} (group {})", self.group), "")
    }

    /// The partitions of every topic but Kafka's own.
    ///
    /// # Errors
    /// [`KafkaError`] when the broker does not answer.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, KafkaError> {
        self.serve();
        let found = self.consumer.fetch_metadata(None, PATIENCE).map_err(|error| self.explain(&error, "asking for the topics"))?;
        let topics = found.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        Ok(topics.flat_map(|topic| topic.partitions().iter().map(|partition| TopicPartition::new(topic.name(), partition.id()))).collect())
    }

    /// What the group has committed for these partitions: those without a commit are left out.
    ///
    /// # Errors
    /// [`KafkaError`] when the coordinator does not answer or refuses.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Commits, KafkaError> {
        self.serve();
        let mut wanted = TopicPartitionList::new();
        for tp in partitions {
            wanted.add_partition(&tp.topic, tp.partition);
        }
        let doing = format!("reading the committed offsets of group {}", self.group);
        let told = self.consumer.committed_offsets(wanted, PATIENCE).map_err(|error| self.explain(&error, &doing))?;
        let mut committed = Commits::new();
        for element in told.elements() {
            element.error().map_err(|error| self.explain(&error, &doing))?;
            if let Offset::Offset(offset) = element.offset() {
                committed.insert(TopicPartition::new(element.topic(), element.partition()), Committed { offset, metadata: element.metadata().to_owned() });
            }
        }
        Ok(committed)
    }

    /// The offsets that the log spans: its first one, and the one that the next record will have.
    ///
    /// # Errors
    /// [`KafkaError`] when the broker does not answer.
    pub fn bounds(&self, tp: &TopicPartition) -> Result<OffsetRange, KafkaError> {
        self.serve();
        let (start, end) = self
            .consumer
            .fetch_watermarks(&tp.topic, tp.partition, PATIENCE)
            .map_err(|error| self.explain(&error, &format!("asking for the bounds of {tp}")))?;
        Ok(OffsetRange { start, end })
    }

    /// The records that the log has in a range that lies within its bounds: all of them, or about `most`. Ranges that ascend are read without going back.
    ///
    /// # Errors
    /// [`KafkaError`] when they cannot be read.
    pub fn records(&self, tp: &TopicPartition, range: OffsetRange, most: u64) -> Result<Records, KafkaError> {
        let doing = format!("reading {tp} at {range}");
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        if !cursor.as_ref().is_some_and(|cursor| cursor.leads_to(tp, range.start)) {
            *cursor = None;
            let mut assignment = TopicPartitionList::new();
            let placed = assignment.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(range.start));
            placed.and_then(|()| self.consumer.assign(&assignment)).map_err(|error| self.explain(&error, &doing))?;
            *cursor = Some(Cursor { tp: tp.clone(), next: range.start, ahead: None });
        }
        let mut records = Records::default();
        let Some(at) = cursor.as_mut() else { return Ok(records) };
        let read = self.read(at, range, most, &mut records, &doing);
        if !matches!(read, Ok(true)) {
            *cursor = None; // at the log's end, or in trouble: begin anew
        }
        read.map(|_| records)
    }

    /// Takes the records of a range; false when the log ended.
    fn read(&self, cursor: &mut Cursor, range: OffsetRange, most: u64, records: &mut Records, doing: &str) -> Result<bool, KafkaError> {
        let mut last_progress = Instant::now();
        let mut trouble = None;
        while last_progress.elapsed() < PATIENCE {
            if cursor.next >= range.end {
                return Ok(true);
            }
            if records.offsets.count() >= most {
                records.has_more = true;
                return Ok(true);
            }
            let (offset, is_tombstone) = match cursor.ahead.take() {
                Some(ahead) => ahead,
                None => match self.consumer.poll(Duration::from_millis(200)) {
                    None => continue,
                    Some(Ok(message)) => (message.offset(), message.payload().is_none()),
                    Some(Err(RdError::PartitionEOF(_))) => return Ok(false),
                    Some(Err(error)) => {
                        let explained = self.explain(&error, doing);
                        if explained.kind != KafkaErrorKind::Transient {
                            return Err(explained);
                        }
                        trouble = Some(explained);
                        continue;
                    }
                },
            };
            last_progress = Instant::now();
            if offset >= range.end {
                (cursor.next, cursor.ahead) = (range.end, Some((offset, is_tombstone)));
                return Ok(true);
            }
            cursor.next = offset + 1;
            if offset >= range.start {
                records.offsets.extend(&[offset]);
                records.tombstones += u64::from(is_tombstone);
            }
        }
        let silent = || KafkaError::new(KafkaErrorKind::Transient, format!("{doing}: no record came for {} s", PATIENCE.as_secs()));
        Err(trouble.unwrap_or_else(silent))
    }
}
