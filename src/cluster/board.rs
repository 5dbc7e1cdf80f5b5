//! What a cluster has written down, as one worker sees it: configurations and statuses, read and written.
//!
//! A worker in a group follows two topics; a worker that is alone keeps the same records in its memory. To whoever runs connectors both are one [`Board`]:
//! it writes records, waits until they are read back, looks at the [`Snapshot`], and is told of every [`Change`] in the order of the records.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use super::Record;
use super::broker::Network;
use super::configs::records;
use super::configs::{Change, Replay, Snapshot};
use super::log::{Entry, Isolation, Log, Purpose, Topic};
use super::membership::{Configs, Configured, Standing};
use super::privilege::Privilege;
use super::statuses::{Statuses, Write};
use crate::clock::Clock;
use crate::kafka::{Kafka, KafkaError, KafkaErrorKind, Props};

/// How long what was written may take to be read back (upstream's `READ_WRITE_TOTAL_TIMEOUT_MS`).
const READ_BACK: Duration = Duration::from_secs(30);

/// How long reading a topic for the first time is waited for before that is said; it is tried again then.
const FIRST_READ: Duration = Duration::from_secs(30);

/// What is written down, and how more is.
#[derive(Debug)]
pub struct Board {
    state: Arc<State>,
    configs: Store,
    statuses: mpsc::UnboundedSender<Told>,
    /// Where only the leader may write configurations.
    privilege: OnceLock<Leading>,
    _writer: AbortOnDropHandle<()>,
}

/// The leader's right, and the standing that it follows.
#[derive(Debug)]
struct Leading {
    privilege: Arc<Privilege>,
    standing: watch::Receiver<Standing>,
    _follower: AbortOnDropHandle<()>,
}

/// A status to be written, or somebody who wants to know when those before it are.
enum Told {
    Status(Write),
    Records(Vec<Record>),
    Flush(oneshot::Sender<()>),
}

/// Where records go.
#[derive(Debug)]
enum Store {
    /// To where they are read, at once.
    Memory,
    /// To a topic, from which they come back.
    Topic(Box<Log>),
}

/// What was read.
struct State {
    configs: Mutex<Replay>,
    statuses: Mutex<Statuses>,
    /// `None` until the topics were read for the first time: what was before is not news.
    changes: Mutex<Option<mpsc::UnboundedSender<Change>>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("offset", &locked(&self.configs).snapshot().offset()).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn new() -> Arc<Self> {
        Arc::new(Self { configs: Mutex::default(), statuses: Mutex::default(), changes: Mutex::default() })
    }

    fn apply_config(&self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let change = locked(&self.configs).apply(offset, key, value);
        match change {
            Some(Change::Ignored(ignored)) => tracing::warn!("{ignored}"),
            // Nobody listens any more when the worker ends.
            Some(change) => drop(locked(&self.changes).as_ref().map(|changes| changes.send(change))),
            None => {}
        }
    }

    fn apply_status(&self, key: Option<&[u8]>, value: Option<&[u8]>) {
        if let Err(why) = locked(&self.statuses).apply(key, value) {
            tracing::warn!("{why}");
        }
    }

    /// From now on changes are told.
    fn listen(&self) -> mpsc::UnboundedReceiver<Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *locked(&self.changes) = Some(sender);
        receiver
    }
}

impl Board {
    /// A board in memory, for a worker that is alone; it is empty.
    #[must_use]
    pub fn alone() -> (Self, mpsc::UnboundedReceiver<Change>) {
        let state = State::new();
        let changes = state.listen();
        (Self::new(state, Store::Memory, Store::Memory), changes)
    }

    /// The board of a group: reads `config.storage.topic` and `status.storage.topic` to their ends, and creates them where they are not there. Changes from
    /// then on come out of the receiver. `isolation` is that of configurations: [`Isolation::Settled`] where they are [reserved](Self::reserve) for the leader, who
    /// writes transactions and waits until he has read them.
    ///
    /// # Errors
    /// What a person must mend; trouble with brokers is waited for.
    pub async fn join(props: &Props, isolation: Isolation, clock: Clock) -> Result<(Self, mpsc::UnboundedReceiver<Change>), KafkaError> {
        let network = |name: &str| {
            let group = props.get("group.id").map_or("", String::as_str);
            Network::new(props, &format!("{group}-{name}"), clock).map(Arc::new)
        };
        let state = State::new();
        let (of_configs, of_statuses) = (Arc::clone(&state), Arc::clone(&state));
        let apply_config = move |entry: Entry| of_configs.apply_config(entry.offset, entry.key.as_deref(), entry.value.as_deref());
        let apply_status = move |entry: Entry| of_statuses.apply_status(entry.key.as_deref(), entry.value.as_deref());
        let (configs, statuses) = tokio::try_join!(
            open(network("configs")?, Topic::from_props(props, Purpose::Configs)?, isolation, apply_config),
            open(network("statuses")?, Topic::from_props(props, Purpose::Statuses)?, Isolation::Committed, apply_status),
        )?;
        let changes = state.listen();
        Ok((Self::new(state, Store::Topic(Box::new(configs)), Store::Topic(Box::new(statuses))), changes))
    }

    fn new(state: Arc<State>, configs: Store, statuses: Store) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let writer = write_statuses(Arc::clone(&state), statuses, told);
        Self { state, configs, statuses: sender, privilege: OnceLock::new(), _writer: AbortOnDropHandle::new(tokio::spawn(writer)) }
    }

    /// From now on only the leader writes configurations, as that standing says who leads. `props` are those of the producer with which it does.
    pub fn reserve(&self, kafka: Arc<dyn Kafka>, props: Props, group: &str, topic: &str, standing: watch::Receiver<Standing>) {
        let privilege = Arc::new(Privilege::new(kafka, props, group, topic));
        let (following, followed) = (Arc::clone(&privilege), standing.clone());
        let follower = AbortOnDropHandle::new(tokio::spawn(async move { following.follow(followed).await }));
        // A second reservation changes nothing.
        drop(self.privilege.set(Leading { privilege, standing, _follower: follower }));
    }

    /// The configurations, as far as they were read.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        locked(&self.state.configs).snapshot()
    }

    /// Writes configurations, and returns when they are in the [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// [`KafkaErrorKind::Transient`] when that took longer than 30 s: they may be written or not. [`KafkaErrorKind::Fenced`] when they are not, because another
    /// worker writes as leader.
    pub async fn write(&self, records: &[Record]) -> Result<(), KafkaError> {
        match &self.configs {
            Store::Memory => {
                for record in records {
                    let offset = self.snapshot().offset().max(0);
                    self.state.apply_config(offset, Some(&record.key), record.value.as_deref());
                }
                Ok(())
            }
            Store::Topic(log) => {
                let written = async {
                    match self.privilege.get() {
                        Some(leading) if !records::are_anyones(records) => {
                            let generation = leading.standing.borrow().rebalances;
                            leading.privilege.write(records, generation, READ_BACK).await?;
                        }
                        _ => log.write(records).await?,
                    }
                    log.read_to_end(READ_BACK).await
                };
                let late = |_| KafkaError::new(KafkaErrorKind::Transient, format!("the config topic did not take a record in {} s", READ_BACK.as_secs()));
                tokio::time::timeout(READ_BACK, written).await.map_err(late)?
            }
        }
    }

    /// What is known of states. Nobody may hold it for long.
    pub fn statuses(&self) -> impl std::ops::DerefMut<Target = Statuses> + '_ {
        locked(&self.state.statuses)
    }

    /// Has a status written, after those before it; does not wait.
    pub fn tell(&self, status: Write) {
        self.send(Told::Status(status));
    }

    /// Has other records of the status topic written; does not wait.
    pub fn tell_records(&self, records: Vec<Record>) {
        self.send(Told::Records(records));
    }

    /// Waits until what was told before is written, or `patience` has passed.
    pub async fn flush(&self, patience: Duration) {
        let (done, flushed) = oneshot::channel();
        self.send(Told::Flush(done));
        if tokio::time::timeout(patience, flushed).await.is_err() {
            tracing::warn!("the status topic did not take the last states in {} ms", patience.as_millis());
        }
    }

    fn send(&self, told: Told) {
        // The writer lives as long as this does.
        drop(self.statuses.send(told));
    }
}

#[async_trait]
impl Configs for Board {
    fn configured(&self) -> Configured {
        let snapshot = self.snapshot();
        Configured { offset: snapshot.offset(), work: snapshot.work() }
    }

    async fn catch_up(&self, patience: Duration) -> Result<(), KafkaError> {
        match &self.configs {
            Store::Memory => Ok(()),
            Store::Topic(log) => log.read_to_end(patience).await,
        }
    }
}

/// Opens a log and reads it to its end.
async fn open(network: Arc<Network>, topic: Topic, isolation: Isolation, apply: impl FnMut(Entry) + Send + 'static) -> Result<Log, KafkaError> {
    let name = topic.name.clone();
    let log = Log::open(&network, topic, isolation, apply).await?;
    while let Err(error) = log.read_to_end(FIRST_READ).await {
        match error.kind {
            KafkaErrorKind::Transient => tracing::warn!(topic = name, %error, "the topic is being read"),
            _ => return Err(error),
        }
    }
    Ok(log)
}

async fn write_statuses(state: Arc<State>, store: Store, mut told: mpsc::UnboundedReceiver<Told>) {
    while let Some(next) = told.recv().await {
        let records = match next {
            Told::Status(write) if locked(&state.statuses).is_wanted(&write) => vec![write.record],
            Told::Status(_) => continue,
            Told::Records(records) => records,
            Told::Flush(done) => {
                done.send(()).unwrap_or_default();
                continue;
            }
        };
        match &store {
            Store::Memory => records.iter().for_each(|record| state.apply_status(Some(&record.key), record.value.as_deref())),
            Store::Topic(log) => {
                if let Err(error) = log.write(&records).await {
                    tracing::error!(%error, "a state could not be written to the status topic");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::configs::{TargetState, records};
    use crate::cluster::statuses::{Put, State as Running, Status};

    #[tokio::test]
    async fn whoever_is_alone_reads_back_what_he_writes_and_hears_of_it() {
        let (board, mut changes) = Board::alone();
        let config = BTreeMap::from([("a".to_owned(), Some("b".to_owned()))]);
        board.write(&records::connector("c", &config, Some(TargetState::Paused))).await.unwrap();
        let snapshot = board.snapshot();
        assert_eq!((snapshot.offset(), snapshot.target_state("c")), (2, Some(TargetState::Paused)));
        assert_eq!(**snapshot.config("c").unwrap(), config);
        assert_eq!(changes.try_recv().unwrap(), Change::ConnectorAdded("c".into()));
        assert_eq!(board.configured().work.connectors.len(), 1);
        assert!(changes.try_recv().is_err());
    }

    #[tokio::test]
    async fn states_are_written_in_their_order() {
        let (board, _changes) = Board::alone();
        for state in [Running::Running, Running::Paused] {
            let status = Status { state, trace: None, worker_id: "w:1".to_owned(), generation: 0, version: None };
            let write = board.statuses().put_connector("c", &status, Put::Always).unwrap();
            board.tell(write);
        }
        board.flush(Duration::from_secs(5)).await;
        assert_eq!(board.statuses().connector("c").map(|status| status.state), Some(Running::Paused));
    }
}
