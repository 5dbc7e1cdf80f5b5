//! The task's loop with the real file source, against a producer and brokers that do as they are told: what is sent, in which order, and which offsets are kept.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::Clock;
use crate::compute::Compute;
use crate::connect::Props;
use crate::connect::source::{Fields, OffsetError};
use crate::connectors::file_stream::FileStreamSource;
use crate::env::Env;
use crate::env::fakes::Folder;
use crate::kafka::{Consumer, Kafka, NewTopic, OutgoingRecord, Subscription};
use crate::settings::{Host, Settings};

/// What the brokers do with a record, by its value.
type Verdict = fn(&str) -> Option<Result<(), KafkaError>>;

/// Brokers, and what they have seen.
#[derive(Debug)]
struct Brokers {
    /// Topic and value of each record, in order.
    sent: Mutex<Vec<(String, Option<String>)>>,
    settled: Mutex<Vec<Settled>>,
    rung: Notify,
    /// Records that may be on their way at once.
    room: usize,
    underway: AtomicUsize,
    verdict: Verdict,
    topics: Mutex<Vec<NewTopic>>,
    /// How often making a topic fails before it works.
    deaf: AtomicUsize,
}

impl Brokers {
    fn new(room: usize, verdict: Verdict) -> Arc<Self> {
        Arc::new(Self {
            sent: Mutex::default(),
            settled: Mutex::default(),
            rung: Notify::new(),
            room,
            underway: AtomicUsize::new(0),
            verdict,
            topics: Mutex::default(),
            deaf: AtomicUsize::new(0),
        })
    }

    fn values(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().map(|(_, value)| value.clone().unwrap_or_default()).collect()
    }
}

#[derive(Debug)]
struct Client(Arc<Brokers>);

impl Kafka for Client {
    fn consumer(&self, _config: &Props, _subscription: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
        unreachable!("a source consumes nothing")
    }

    fn producer(&self, _config: &Props) -> Result<Box<dyn Producer>, KafkaError> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }

    fn topics(&self, _config: &Props) -> Result<Arc<dyn Topics>, KafkaError> {
        Ok(Arc::new(Self(Arc::clone(&self.0))))
    }
}

#[async_trait]
impl Producer for Client {
    fn send(&mut self, token: usize, record: OutgoingRecord<'_>) -> Result<(), NotQueued> {
        let brokers = &self.0;
        if brokers.underway.load(Ordering::Relaxed) >= brokers.room {
            return Err(NotQueued::Full);
        }
        brokers.underway.fetch_add(1, Ordering::Relaxed);
        let value = record.value.map(|value| String::from_utf8(value.to_vec()).unwrap());
        if let Some(outcome) = (brokers.verdict)(value.as_deref().unwrap_or_default()) {
            brokers.settled.lock().unwrap().push(Settled { token, outcome });
            brokers.rung.notify_one();
        }
        brokers.sent.lock().unwrap().push((record.topic.to_owned(), value));
        Ok(())
    }

    async fn settled(&mut self) -> Vec<Settled> {
        loop {
            let settled = std::mem::take(&mut *self.0.settled.lock().unwrap());
            if !settled.is_empty() {
                self.0.underway.fetch_sub(settled.len(), Ordering::Relaxed);
                return settled;
            }
            self.0.rung.notified().await;
        }
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    async fn close(&mut self) {}
}

#[async_trait]
impl Topics for Client {
    async fn has(&self, topic: &str) -> Result<bool, KafkaError> {
        Ok(self.0.topics.lock().unwrap().iter().any(|made| &*made.name == topic))
    }

    async fn make(&self, topic: &NewTopic) -> Result<bool, KafkaError> {
        if topic.replicas > 1 {
            return Err(KafkaError::new(KafkaErrorKind::Config, "the replication factor is larger than the cluster"));
        }
        if self.0.deaf.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(KafkaError::new(KafkaErrorKind::Transient, "no answer"));
        }
        assert!(self.0.sent.lock().unwrap().iter().all(|(sent, _)| *sent != *topic.name), "a topic is made before it is sent to");
        self.0.topics.lock().unwrap().push(topic.clone());
        Ok(true)
    }
}

/// Offsets in memory.
#[derive(Debug, Default)]
struct Kept {
    positions: Mutex<Vec<i64>>,
    /// How often keeping fails before it works.
    broken: AtomicUsize,
}

#[async_trait]
impl OffsetStore for Kept {
    async fn list(&self, _connector: &str) -> Result<Vec<(Fields, Fields)>, OffsetError> {
        Ok(Vec::new())
    }

    async fn get(&self, _connector: &str, _partition: &Fields) -> Result<Option<Fields>, OffsetError> {
        Ok(None)
    }

    async fn set(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<(), OffsetError> {
        assert_eq!(connector, "c");
        if self.broken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(OffsetError("disk full".to_owned()));
        }
        let position = |(_, offset): &(Fields, Option<Fields>)| offset.as_ref().unwrap()["position"].as_i64().unwrap();
        self.positions.lock().unwrap().extend(changes.iter().map(position));
        Ok(())
    }
}

/// A running task.
struct Running {
    brokers: Arc<Brokers>,
    kept: Arc<Kept>,
    live: Arc<Live>,
    paused: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), TaskError>>,
}

/// Starts a task that reads that file, in batches of four lines, with more settings.
fn start(file: &Path, brokers: Arc<Brokers>, kept: Arc<Kept>, more: &[(&str, &str)]) -> Running {
    let pairs = |pairs: &[(&str, &str)]| -> Props { pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect() };
    let string = "org.apache.kafka.connect.storage.StringConverter";
    let worker = pairs(&[
        ("bootstrap.servers", "b:1"),
        ("key.converter", string),
        ("value.converter", string),
        ("offset.flush.interval.ms", "50"),
        ("offset.flush.timeout.ms", "1000"),
    ]);
    let mut props = pairs(&[("name", "c"), ("topic", "t"), ("batch.size", "4"), ("file", &file.display().to_string())]);
    props.extend(pairs(more));
    let env = Env {
        clock: Clock::system(),
        kafka: Arc::new(Client(Arc::clone(&brokers))),
        compute: Compute::Inline,
        memory: Budget::new(1 << 24),
        stores: Arc::new(Folder { root: "/nonexistent".into(), buckets: false }),
    };
    let worker = Arc::new(Settings::from_props(&worker, &Host::default()).unwrap());
    let spec = TaskSpec { connector: "c".into(), task: 0, class: &FileStreamSource, props, worker, env };
    let (paused, paused_rx) = watch::channel(false);
    let (stop, live) = (CancellationToken::new(), Arc::new(Live::default()));
    let control = TaskControl { paused: paused_rx, stop: stop.clone(), live: Arc::clone(&live) };
    let store: Arc<dyn OffsetStore> = Arc::clone(&kept) as _;
    let task = tokio::spawn(run(spec, store, control));
    Running { brokers, kept, live, paused, stop, task }
}

impl Running {
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: {:?} {:?}", self.brokers.values(), self.live.trace());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn last_kept(&self) -> Option<i64> {
        self.kept.positions.lock().unwrap().last().copied()
    }

    async fn end(self) -> (Result<(), TaskError>, Arc<Kept>, Arc<Brokers>, Arc<Live>) {
        self.stop.cancel();
        (self.task.await.unwrap(), self.kept, self.brokers, self.live)
    }
}

/// Ten lines of two bytes and their end: `00`, `01`, …
fn file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = folder.path().join("in.txt");
    std::fs::write(&path, (0..10).map(|n| format!("{n:02}\n")).collect::<String>()).unwrap();
    path
}

fn numbers(range: std::ops::Range<i32>) -> Vec<String> {
    range.map(|n| format!("{n:02}")).collect()
}

const TAKES_ALL: Verdict = |_| Some(Ok(()));

#[tokio::test]
async fn lines_are_sent_in_order_and_their_offsets_kept_while_it_runs_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    // Three fit at once: the rest waits for room.
    let task = start(&path, Brokers::new(3, TAKES_ALL), Arc::default(), &[]);
    task.until("kept", |task| task.last_kept() == Some(30)).await;
    std::fs::File::options().append(true).open(&path).and_then(|mut file| std::io::Write::write_all(&mut file, b"10\n")).unwrap();
    task.until("sent", |task| task.brokers.values().len() == 11).await;
    let (ended, kept, brokers, live) = task.end().await;
    ended.unwrap();
    assert_eq!(brokers.values(), numbers(0..11));
    assert_eq!(kept.positions.lock().unwrap().last(), Some(&33), "the last one at the end");
    assert_eq!((live.figures().report.rows, live.figures().report.bytes), (11, 22));
    assert_eq!(live.topics.list(), ["t".into()]);
}

#[tokio::test]
async fn no_offset_passes_a_record_that_kafka_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let silent_about_5: Verdict = |value| (value != "05").then_some(Ok(()));
    let task = start(&file(&folder), Brokers::new(100, silent_about_5), Arc::default(), &[]);
    task.until("kept", |task| task.last_kept() == Some(15) && task.brokers.values().len() == 10).await;
    let (ended, kept, ..) = task.end().await;
    ended.unwrap();
    assert_eq!(kept.positions.lock().unwrap().iter().max(), Some(&15), "it waited for the record in vain");
}

#[tokio::test]
async fn a_record_that_kafka_refuses_fails_the_task_or_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let refuses_3: Verdict = |value| Some(if value == "03" { Err(KafkaError::new(KafkaErrorKind::Transient, "too large")) } else { Ok(()) });
    let task = start(&path, Brokers::new(100, refuses_3), Arc::default(), &[]);
    task.until("failed", |task| task.task.is_finished()).await;
    let (ended, kept, ..) = task.end().await;
    assert_eq!(ended.unwrap_err().to_string(), "too large (connector=c)");
    assert_eq!(kept.positions.lock().unwrap().last(), Some(&9), "what came before it is kept");

    let task = start(&path, Brokers::new(100, refuses_3), Arc::default(), &[("errors.tolerance", "all")]);
    task.until("kept", |task| task.last_kept() == Some(30)).await;
    let (ended, _, _, live) = task.end().await;
    ended.unwrap();
    assert_eq!((live.figures().rejected, live.figures().report.rows), (1, 9));
}

#[tokio::test]
async fn a_record_that_cannot_be_converted_fails_the_task_or_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let bytes = ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter");
    let task = start(&path, Brokers::new(100, TAKES_ALL), Arc::default(), &[bytes]);
    task.until("failed", |task| task.task.is_finished()).await;
    let (ended, _, brokers, _) = task.end().await;
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("value: ByteArrayConverter writes bytes only") && error.contains("source offset={\"position\":3}"), "{error}");
    assert!(brokers.values().is_empty());

    let task = start(&path, Brokers::new(100, TAKES_ALL), Arc::default(), &[bytes, ("errors.tolerance", "all")]);
    task.until("left out", |task| task.live.figures().rejected == 10).await;
    let (ended, kept, ..) = task.end().await;
    ended.unwrap();
    assert!(kept.positions.lock().unwrap().is_empty(), "records that were never sent move no offset");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn records_that_are_left_out_are_logged_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    for (asked, lines) in [("false", 0), ("true", 10)] {
        let log = Log::default();
        let (writer, seen) = (log.clone(), || String::from_utf8_lossy(&log.0.lock().unwrap()).matches("ByteArrayConverter writes bytes only").count());
        let _guard = tracing::subscriber::set_default(tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish());
        let bytes = ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter");
        let more = [bytes, ("errors.tolerance", "all"), ("errors.log.enable", asked)];
        let task = start(&path, Brokers::new(100, TAKES_ALL), Arc::default(), &more);
        task.until("left out", |task| task.live.figures().rejected == 10).await;
        task.end().await.0.unwrap();
        assert_eq!(seen(), lines, "errors.log.enable={asked}");
    }
}

#[tokio::test]
async fn a_paused_task_sends_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.txt");
    let task = start(&path, Brokers::new(100, TAKES_ALL), Arc::default(), &[]);
    task.paused.send_replace(true);
    tokio::time::sleep(IDLE * 2).await; // until a poll that was under way is over
    file(&folder);
    tokio::time::sleep(IDLE * 3).await;
    assert!(task.brokers.values().is_empty());
    task.paused.send_replace(false);
    task.until("sent", |task| task.brokers.values() == numbers(0..10)).await;
    task.end().await.0.unwrap();
}

#[tokio::test]
async fn offsets_that_cannot_be_kept_are_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Arc::new(Kept { broken: AtomicUsize::new(3), ..Kept::default() });
    let task = start(&file(&folder), Brokers::new(100, TAKES_ALL), kept, &[]);
    task.until("told", |task| task.live.trace().as_deref() == Some("disk full")).await;
    task.until("kept", |task| task.last_kept() == Some(30) && task.live.trace().is_none()).await;
    task.end().await.0.unwrap();
}

#[tokio::test]
async fn topics_are_made_under_the_names_that_transforms_give_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let creation = [
        ("topic.creation.default.partitions", "3"),
        ("topic.creation.default.replication.factor", "1"),
        ("topic.creation.default.cleanup.policy", "compact"),
        ("transforms", "r"),
        ("transforms.r.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.r.regex", "(.*)"),
        ("transforms.r.replacement", "my-$1"),
    ];
    let brokers = Brokers::new(100, TAKES_ALL);
    brokers.deaf.store(1, Ordering::Relaxed);
    let task = start(&path, brokers, Arc::default(), &creation);
    task.until("told", |task| task.live.trace().as_deref() == Some("no answer")).await;
    task.until("sent", |task| task.brokers.values() == numbers(0..10)).await;
    let (ended, _, brokers, live) = task.end().await;
    ended.unwrap();
    let config = [("cleanup.policy".to_owned(), "compact".to_owned())].into();
    assert_eq!(*brokers.topics.lock().unwrap(), [NewTopic { name: "my-t".into(), partitions: 3, replicas: 1, config }]);
    assert_eq!(live.topics.list(), ["my-t".into()]);

    let mut too_many = creation.to_vec();
    too_many[1].1 = "3";
    let task = start(&path, Brokers::new(100, TAKES_ALL), Arc::default(), &too_many);
    task.until("failed", |task| task.task.is_finished()).await;
    let (ended, _, brokers, _) = task.end().await;
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("the task failed to create topic my-t: the replication factor is larger") && brokers.values().is_empty(), "{error}");
}
