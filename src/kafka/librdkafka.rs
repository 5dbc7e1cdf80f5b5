//! The implementation of the seam that speaks to brokers: librdkafka, through `rdkafka`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::login::Login;
use super::poll::{Command, Context, Poller, Records, Shared, commit_list, logs};
use super::producer::Sender;
use super::tokens::Logins;
use super::{
    Consumer, EVENTS_BOUND, Group, Kafka, KafkaError, KafkaErrorKind, Logs, Polled, Producer, Props, Subscription, TopicIds, Topics, Wanted, errors, properties,
};
use crate::batch::{Commits, Committed, Offsets, TopicPartition};

/// Payload bytes in batches that are being built at which all of them are handed over.
pub const PENDING_BYTES: usize = 4 << 20;

/// How long the coordinator may take to say what is committed.
const COMMITTED_WAIT: Duration = Duration::from_secs(10);

/// Makes librdkafka clients.
#[derive(Debug, Clone, Default)]
pub struct Librdkafka {
    /// The logins that these clients share.
    pub logins: Logins,
    /// What asks for what librdkafka's clients are not asked for.
    pub administration: Option<Administration>,
}

/// Makes who asks a client with these properties, and these logins.
type Ask<T> = fn(&Props, &Logins) -> Result<T, KafkaError>;

/// What asks brokers beside librdkafka: it does not tell the ids of topics, deletes a group but no single offset, and its client for administration cannot log in
/// with tokens.
#[derive(Debug, Clone, Copy)]
pub struct Administration {
    /// For [`Kafka::topics`].
    pub topics: Ask<Arc<dyn Topics>>,
    /// For [`Kafka::topic_ids`].
    pub topic_ids: Ask<Arc<dyn TopicIds>>,
    /// For [`Kafka::group`].
    pub group: Ask<Box<dyn Group>>,
}

impl Librdkafka {
    fn administration(&self, doing: &str) -> Result<Administration, KafkaError> {
        self.administration.ok_or_else(|| KafkaError::new(KafkaErrorKind::Config, format!("{doing}: these clients have nothing that asks for it")))
    }
}

impl Kafka for Librdkafka {
    fn consumer(&self, config: &Props, subscription: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
        let doing = format!("consuming {subscription} in group {}", config.get("group.id").map_or("", String::as_str));
        let mut client = ClientConfig::new();
        client.set_log_level(log_level());
        for (key, value) in properties::consumer(config)? {
            client.set(key, value);
        }
        if let (Subscription::Pattern(_), Some(topics)) = (subscription, properties::left_out_of_patterns(config)) {
            client.set("topic.blacklist", topics);
        }
        let (control, control_receiver) = mpsc::channel(16);
        let shared = Arc::new(Shared::new(doing, control, Login::new(config, &self.logins)?));
        let explain = |error| errors::explain(&error, &shared.doing, "");
        let inner: BaseConsumer<Context> = client.create_with_context(Context(Arc::clone(&shared))).map_err(explain)?;
        let pattern;
        let topics: Vec<&str> = match subscription {
            Subscription::Topics(topics) => topics.iter().map(String::as_str).collect(),
            Subscription::Pattern(java) => {
                pattern = posix_pattern(java)?;
                vec![&pattern]
            }
        };
        inner.subscribe(&topics).map_err(explain)?;
        let inner = Arc::new(inner);
        let (records, records_receiver) = mpsc::channel(EVENTS_BOUND);
        let (commands, commands_receiver) = std::sync::mpsc::channel();
        let poller = Poller {
            consumer: Arc::clone(&inner),
            shared: Arc::clone(&shared),
            records,
            commands: commands_receiver,
            lookup: RefCell::new(None),
            ask_at: Cell::new(None),
            reads_committed: client.get("isolation.level") == Some("read_committed"),
            compared: Cell::new(0),
            unwanted: RefCell::default(),
        };
        let thread = std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poller.run())
            .map_err(|e| KafkaError::new(KafkaErrorKind::Fatal, format!("{}: cannot start a thread: {e}", shared.doing)))?;
        Ok(Box::new(Member {
            poll_thread: thread.thread().clone(),
            thread: Some(thread),
            inner: Some(inner),
            shared,
            control: control_receiver,
            aside: VecDeque::new(),
            records: records_receiver,
            commands,
            wanted_from: BTreeMap::new(),
        }))
    }

    fn group(&self, config: &Props) -> Result<Box<dyn Group>, KafkaError> {
        properties::consumer(config)?; // what clients cannot use is refused here, too
        (self.administration("a consumer group from outside")?.group)(config, &self.logins)
    }

    fn producer(&self, config: &Props) -> Result<Box<dyn Producer>, KafkaError> {
        Ok(Box::new(Sender::new(config, &self.logins, log_level())?))
    }

    fn transactional_producer(&self, config: &Props, transactional_id: &str) -> Result<Box<dyn Producer>, KafkaError> {
        Ok(Box::new(Sender::transactional(config, transactional_id, &self.logins, log_level())?))
    }

    fn topics(&self, config: &Props) -> Result<Arc<dyn Topics>, KafkaError> {
        properties::admin(config)?;
        (self.administration("topics")?.topics)(config, &self.logins)
    }

    fn topic_ids(&self, config: &Props) -> Result<Option<Arc<dyn TopicIds>>, KafkaError> {
        self.administration.map(|ask| (ask.topic_ids)(config, &self.logins)).transpose()
    }
}

/// What the client is to say: what the logger `librdkafka` lets pass when the client is made, and at least warnings, which say when it goes on elsewhere than
/// where it was.
fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", tracing::Level::TRACE) {
        RDKafkaLogLevel::Debug
    } else if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        RDKafkaLogLevel::Info
    } else {
        RDKafkaLogLevel::Warning
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topics(topics) => write!(f, "topics {}", topics.join(",")),
            Self::Pattern(pattern) => write!(f, "topics matching {pattern}"),
        }
    }
}

/// A Java regular expression that has to match a topic's whole name → the POSIX extended expression that librdkafka takes.
fn posix_pattern(java: &str) -> Result<String, KafkaError> {
    let posix = java.replace("(?:", "(").replace("\\d", "[0-9]").replace("\\D", "[^0-9]");
    if posix.contains("(?") || posix.contains("\\p{") || posix.contains("\\Q") {
        let message =
            format!("topics.regex: {java:?} uses a construct (look-around, flags, classes) that is not supported; write it with plain groups and classes");
        return Err(KafkaError::new(KafkaErrorKind::Config, message));
    }
    Ok(format!("^({posix})$"))
}

/// One member of a group.
struct Member {
    /// Taken by `close`.
    inner: Option<Arc<BaseConsumer<Context>>>,
    shared: Arc<Shared>,
    control: mpsc::Receiver<(u64, Polled)>,
    /// Events that came while a seek was waited for, or with records.
    aside: VecDeque<(u64, Polled)>,
    records: mpsc::Receiver<Records>,
    commands: std::sync::mpsc::Sender<Command>,
    thread: Option<JoinHandle<()>>,
    poll_thread: Thread,
    /// Records of an older generation than this are not wanted: the partition was revoked or sought since.
    wanted_from: BTreeMap<TopicPartition, u64>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("doing", &self.shared.doing).finish_non_exhaustive()
    }
}

impl Member {
    fn want_from(&mut self, generation: u64, partitions: &[TopicPartition]) {
        for tp in partitions {
            self.wanted_from.insert(tp.clone(), generation);
        }
    }

    /// Records of partitions that an event takes away are not wanted any more.
    fn noted(&mut self, generation: u64, event: Polled) -> Polled {
        if let Polled::Revoked { partitions, .. } = &event {
            self.want_from(generation, partitions);
        }
        event
    }

    fn interrupted(&self) -> KafkaError {
        KafkaError::new(KafkaErrorKind::Interrupted, format!("{}: a rebalance came first", self.shared.doing))
    }

    fn ended(&self) -> KafkaError {
        KafkaError::new(KafkaErrorKind::Fatal, format!("{}: the client was closed", self.shared.doing))
    }
}

#[async_trait]
impl Consumer for Member {
    async fn next(&mut self, wanted: Wanted) -> Polled {
        loop {
            if let Some(error) = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Polled::Failed(error);
            }
            if let Some((generation, event)) = self.aside.pop_front() {
                return self.noted(generation, event);
            }
            tokio::select! {
                biased;
                Some((generation, event)) = self.control.recv() => return self.noted(generation, event),
                Some(mut records) = self.records.recv(), if wanted == Wanted::Everything => {
                    self.poll_thread.unpark();
                    let Records { generation, batches, jumps } = &mut records;
                    let is_wanted = |tp: &TopicPartition| self.wanted_from.get(tp).is_none_or(|from| *generation >= *from);
                    batches.retain(|batch| is_wanted(&batch.from));
                    jumps.retain(|jump| is_wanted(&jump.partition));
                    if !jumps.is_empty() {
                        self.aside.push_back((*generation, Polled::Jumped(std::mem::take(jumps))));
                    }
                    if !records.batches.is_empty() {
                        return Polled::Records(records.batches);
                    }
                }
                else => return Polled::Failed(self.ended()),
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "librdkafka's commit blocks; it waits for the network, not for a CPU")]
    async fn commit(&self, commits: &Commits) -> Result<(), KafkaError> {
        let Some(inner) = self.inner.clone() else { return Err(self.ended()) };
        let shared = Arc::clone(&self.shared);
        let explain = move |error| errors::explain(&error, &shared.doing, "committing offsets");
        let list = commit_list(commits).map_err(&explain)?;
        let done = tokio::task::spawn_blocking(move || inner.commit(&list, CommitMode::Sync)).await;
        match done {
            Ok(result) => result.map_err(explain),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "librdkafka's request blocks; it waits for the network, not for a CPU")]
    async fn committed(&self, partitions: &[TopicPartition]) -> Result<Commits, KafkaError> {
        let Some(inner) = self.inner.clone() else { return Err(self.ended()) };
        let doing = self.shared.doing.clone();
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for tp in partitions {
            list.add_partition(&tp.topic, tp.partition);
        }
        let explain = move |error| errors::explain(&error, &doing, "asking for committed offsets");
        let ask = move || {
            let held = inner.committed_offsets(list, COMMITTED_WAIT)?;
            let mut commits = Commits::new();
            for element in held.elements() {
                element.error()?;
                if let Offset::Offset(offset) = element.offset() {
                    let committed = Committed { offset, metadata: element.metadata().to_owned() };
                    commits.insert(TopicPartition::new(element.topic(), element.partition()), committed);
                }
            }
            Ok(commits)
        };
        match tokio::task::spawn_blocking(ask).await {
            Ok(result) => result.map_err(explain),
            // The client panics over a text that is not UTF-8.
            Err(_) => Err(KafkaError::new(
                KafkaErrorKind::Fatal,
                format!("{}: somebody committed an offset with a text that is not UTF-8; commit the offsets again without it", self.shared.doing),
            )),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "librdkafka's request blocks; it waits for the network, not for a CPU")]
    async fn logs(&mut self, partitions: &[TopicPartition]) -> Result<Logs, KafkaError> {
        let Some(inner) = self.inner.clone() else { return Err(self.ended()) };
        let doing = self.shared.doing.clone();
        let partitions = partitions.to_vec();
        match tokio::task::spawn_blocking(move || logs(&inner, &partitions)).await {
            Ok(told) => told.map_err(|error| errors::explain(&error, &doing, "asking what the logs hold")),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn seek(&mut self, to: &Offsets) -> Result<(), KafkaError> {
        if self.aside.iter().any(|(_, event)| matches!(event, Polled::Assigned(_) | Polled::Revoked { .. })) {
            return Err(self.interrupted()); // the poll thread waits for it still
        }
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Seek(to.clone(), answer)).map_err(|_| self.ended())?;
        self.poll_thread.unpark();
        let generation = tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| self.ended())??,
            // The poll thread may be waiting for this rebalance, and would never come to the seek.
            Some(event) = self.control.recv() => {
                self.aside.push_back(event);
                return Err(self.interrupted());
            }
        };
        self.want_from(generation, &to.keys().cloned().collect::<Vec<_>>());
        for (_, event) in &mut self.aside {
            if let Polled::Jumped(jumps) = event {
                jumps.retain(|jump| !to.contains_key(&jump.partition));
            }
        }
        Ok(())
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) {
        // Nobody is there to be told any more when the client was closed.
        self.commands.send(Command::SetPaused(partitions.to_vec(), is_paused)).ok();
        self.poll_thread.unpark();
    }

    #[expect(clippy::disallowed_methods, reason = "leaving the group waits for the network, not for a CPU")]
    async fn close(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.login.close();
        // A rebalance that nobody asked for any more must not hold the thread: its acknowledgement is dropped with the event.
        self.control.close();
        self.aside.clear();
        while self.control.try_recv().is_ok() {}
        self.poll_thread.unpark();
        let (thread, inner) = (self.thread.take(), self.inner.take());
        let left = tokio::task::spawn_blocking(move || {
            // A poll thread that panicked has nothing more to say; dropping the last handle leaves the group.
            thread.map(JoinHandle::join);
            drop(inner);
        });
        left.await.ok();
    }

    fn end_offsets(&self) -> Offsets {
        self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.login.close();
        self.poll_thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_patterns_match_whole_names() {
        for (java, posix) in [("orders.*", "^(orders.*)$"), ("a|b", "^(a|b)$"), ("t-\\d+", "^(t-[0-9]+)$"), ("(?:x|y)z", "^((x|y)z)$")] {
            assert_eq!(posix_pattern(java).unwrap(), posix);
        }
        for java in ["(?!internal).*", "(?i)orders", "\\p{Alpha}+"] {
            assert!(posix_pattern(java).unwrap_err().message.contains("topics.regex"), "{java}");
        }
    }

    #[tokio::test]
    async fn no_seek_is_done_before_a_rebalance_that_came_first_is_taken() {
        let (control, control_receiver) = mpsc::channel(16);
        let shared = Arc::new(Shared::new("testing".to_owned(), control, Login::none()));
        let (_records, records_receiver) = mpsc::channel(1);
        let (commands, asked) = std::sync::mpsc::channel();
        let mut member = Member {
            poll_thread: std::thread::current(),
            thread: None,
            inner: None,
            shared: Arc::clone(&shared),
            control: control_receiver,
            aside: VecDeque::new(),
            records: records_receiver,
            commands,
            wanted_from: BTreeMap::new(),
        };
        // The poll thread tells of it, and waits: it comes to no command until then.
        let (done, acknowledged) = super::super::Acknowledge::pair();
        shared.control.send((1, Polled::Revoked { partitions: vec![TopicPartition::new("t", 1)], lost: false, done })).await.unwrap();
        let to = Offsets::from([(TopicPartition::new("t", 0), 5)]);
        for _ in 0..2 {
            assert_eq!(member.seek(&to).await.unwrap_err().kind, KafkaErrorKind::Interrupted);
        }
        let Command::Seek(_, answer) = asked.try_recv().unwrap() else { unreachable!("nothing else was asked for") };
        assert!(answer.is_closed() && asked.try_recv().is_err(), "what was asked for is not wanted any more, and nothing else was asked for");
        assert!(matches!(member.next(Wanted::Rebalances).await, Polled::Revoked { .. }));
        assert!(acknowledged.try_recv().is_ok());
    }
}
