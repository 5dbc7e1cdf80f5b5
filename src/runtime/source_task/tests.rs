//! The task's loop with the real file source, against a producer and brokers that do as they are told: what is sent, in which order, and which offsets are kept.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::exact::Guard;
use super::*;
use crate::clock::Clock;
use crate::cluster::Record;
use crate::compute::Compute;
use crate::connect::Props;
use crate::connect::source::{Fields, OffsetError};
use crate::connectors::file_stream::FileStreamSource;
use crate::env::Env;
use crate::env::fakes::Folder;
use crate::kafka::{Consumer, Kafka, NewTopic, OutgoingRecord, Subscription};
use crate::runtime::connector_offsets::Transactional;
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
    /// What was done about transactions, in order.
    events: Mutex<Vec<String>>,
    /// What becomes of the next commits; the others work.
    commits: Mutex<VecDeque<KafkaErrorKind>>,
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
            events: Mutex::default(),
            commits: Mutex::default(),
        })
    }

    fn note(&self, event: impl Into<String>) {
        self.events.lock().unwrap().push(event.into());
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

    fn transactional_producer(&self, config: &Props, transactional_id: &str) -> Result<Box<dyn Producer>, KafkaError> {
        self.0.note(transactional_id);
        self.producer(config)
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

    async fn init_transactions(&mut self, _patience: Duration) -> Result<(), KafkaError> {
        self.0.note("init");
        Ok(())
    }

    fn begin_transaction(&mut self) -> Result<(), KafkaError> {
        self.0.note("begin");
        Ok(())
    }

    async fn commit_transaction(&mut self, _patience: Duration) -> Result<(), KafkaError> {
        if let Some(kind) = self.0.commits.lock().unwrap().pop_front() {
            return Err(KafkaError::new(kind, "the commit was not taken"));
        }
        let sent = self.0.sent.lock().unwrap().len();
        self.0.note(format!("commit {sent}"));
        Ok(())
    }

    async fn abort_transaction(&mut self, _patience: Duration) -> Result<(), KafkaError> {
        self.0.note("abort");
        Ok(())
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

/// Written by transactions: to the topic `offsets`, a value for each position.
#[async_trait]
impl Transactional for Kept {
    async fn partition(&self, _record: &Record) -> Result<i32, OffsetError> {
        Ok(0)
    }

    fn topic(&self) -> &str {
        "offsets"
    }

    async fn records(&self, _connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<Vec<Record>, OffsetError> {
        let value = |offset: &Option<Fields>| Some(format!("at {}", offset.as_ref().unwrap()["position"]).into_bytes());
        Ok(changes.iter().map(|(_, offset)| Record { key: b"k".to_vec(), value: value(offset) }).collect())
    }

    async fn before(&self, _records: &[Record]) -> Result<(), OffsetError> {
        Ok(())
    }

    async fn after(&self, _records: Vec<Record>) {}
}

/// A guard that has something against the task.
#[derive(Debug)]
struct Says(Arc<Brokers>, &'static str);

impl Says {
    fn say(&self, what: &str) -> Result<(), TaskError> {
        self.0.note(what);
        if self.1 == what { Err(TaskError::new(ErrorKind::BadRecord, format!("no {what}"))) } else { Ok(()) }
    }
}

#[async_trait]
impl Guard for Says {
    async fn fence(&self) -> Result<(), TaskError> {
        self.say("fence")
    }

    async fn verify(&self) -> Result<(), TaskError> {
        self.say("verify")
    }
}

/// A running task.
struct Running {
    brokers: Arc<Brokers>,
    kept: Arc<Kept>,
    live: Arc<Live>,
    paused: watch::Sender<bool>,
    stop: CancellationToken,
    task: JoinHandle<Result<Ended, TaskError>>,
}

/// Starts a task that reads that file, in batches of four lines, with more settings.
fn start(file: &Path, brokers: Arc<Brokers>, kept: Arc<Kept>, more: &[(&str, &str)]) -> Running {
    let store: Arc<dyn OffsetStore> = Arc::clone(&kept) as _;
    start_with(file, brokers, kept, Keeping::AtLeastOnce(store), more)
}

/// The same for a task that delivers exactly once. `refuses`: what its guard has against it, `fence` or `verify`.
fn start_exact(file: &Path, brokers: Arc<Brokers>, kept: Arc<Kept>, refuses: &'static str, more: &[(&str, &str)]) -> Running {
    let guard = Arc::new(Says(Arc::clone(&brokers), refuses));
    let exact = ExactlyOnce { offsets: Arc::clone(&kept) as _, transactional_id: "g-c-0".to_owned(), guard };
    start_with(file, brokers, kept, Keeping::ExactlyOnce(exact), more)
}

fn start_with(file: &Path, brokers: Arc<Brokers>, kept: Arc<Kept>, keeping: Keeping, more: &[(&str, &str)]) -> Running {
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
    let task = tokio::spawn(run(spec, keeping, control));
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
        let ended = self.task.await.unwrap().map(|ended| assert_eq!(ended, Ended::Stopped));
        (ended, self.kept, self.brokers, self.live)
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

#[tokio::test(start_paused = true)]
async fn a_task_that_is_paused_for_a_while_ends_with_its_offsets_kept() {
    for exact in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder);
        let (brokers, kept) = (Brokers::new(3, TAKES_ALL), Arc::default());
        let task = if exact { start_exact(&path, brokers, kept, "", &[]) } else { start(&path, brokers, kept, &[]) };
        task.until("sent", |task| task.brokers.values().contains(&"09".to_owned())).await;
        let paused_at = Instant::now();
        task.paused.send_replace(true);
        // Trouble that was told of something that is closed now.
        task.live.health.set("lost", Some("records are lost".to_owned()));
        let Running { task, kept, live, .. } = task;
        assert_eq!(task.await.unwrap().unwrap(), Ended::Rests);
        assert_eq!(live.health.trouble(), None);
        assert!((10..12).contains(&paused_at.elapsed().as_secs()), "{:?}", paused_at.elapsed());
        assert!(exact || kept.positions.lock().unwrap().last() == Some(&30));
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

fn events(brokers: &Brokers) -> Vec<String> {
    brokers.events.lock().unwrap().clone()
}

const BEGINNING: [&str; 4] = ["g-c-0", "fence", "init", "verify"];

#[tokio::test]
async fn each_batch_is_a_transaction_with_its_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let task = start_exact(&file(&folder), Brokers::new(100, TAKES_ALL), Arc::default(), "", &[]);
    task.until("committed", |task| events(&task.brokers).last().is_some_and(|last| last == "commit 13")).await;
    let (ended, kept, brokers, live) = task.end().await;
    ended.unwrap();
    let mut expected = numbers(0..10);
    for (at, offset) in [(4, "at 12"), (9, "at 24"), (12, "at 30")] {
        expected.insert(at, offset.to_owned());
    }
    assert_eq!(brokers.values(), expected);
    let transactions = ["begin", "commit 5", "begin", "commit 10", "begin", "commit 13"];
    assert_eq!(events(&brokers), [BEGINNING.as_slice(), &transactions].concat());
    assert!(kept.positions.lock().unwrap().is_empty(), "nothing is written beside the transactions");
    assert_eq!((live.figures().report.rows, live.figures().report.guarantee.as_str()), (10, "exactly-once"));
}

#[tokio::test]
async fn at_intervals_a_transaction_ends_in_time_when_it_is_paused_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let long = [("transaction.boundary", "interval"), ("transaction.boundary.interval.ms", "3600000")];
    let append =
        |line: &str| std::fs::File::options().append(true).open(&path).and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes())).unwrap();
    let task = start_exact(&path, Brokers::new(100, TAKES_ALL), Arc::default(), "", &long);
    task.until("sent", |task| task.brokers.values().len() == 10).await;
    task.paused.send_replace(true);
    task.until("committed", |task| events(&task.brokers).last().is_some_and(|last| last == "commit 11")).await;
    task.paused.send_replace(false);
    append("10\n");
    task.until("sent", |task| task.brokers.values().len() == 12).await;
    let (ended, _, brokers, _) = task.end().await;
    ended.unwrap();
    assert_eq!(brokers.values().last().map(String::as_str), Some("at 33"));
    assert_eq!(events(&brokers), [BEGINNING.as_slice(), &["begin", "commit 11", "begin", "commit 13"]].concat());

    let short = [("transaction.boundary", "interval"), ("transaction.boundary.interval.ms", "300")];
    let task = start_exact(&path, Brokers::new(100, TAKES_ALL), Arc::default(), "", &short);
    task.until("committed", |task| events(&task.brokers).last().is_some_and(|last| last.starts_with("commit"))).await;
    task.end().await.0.unwrap();
}

#[tokio::test]
async fn a_transaction_that_cannot_be_committed_ends_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let brokers = Brokers::new(100, TAKES_ALL);
    brokers.commits.lock().unwrap().extend([KafkaErrorKind::Transient, KafkaErrorKind::Fenced]);
    let task = start_exact(&file(&folder), brokers, Arc::default(), "", &[]);
    task.until("failed", |task| task.task.is_finished()).await;
    let (ended, _, brokers, _) = task.end().await;
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("the commit was not taken; records and offsets") && error.contains("another task of this number has taken over"), "{error}");
    assert_eq!(events(&brokers), [BEGINNING.as_slice(), &["begin", "abort"]].concat());

    // Also where bad records are tolerated, a transaction cannot go on without one of its records.
    let refuses_3: Verdict = |value| Some(if value == "03" { Err(KafkaError::new(KafkaErrorKind::Transient, "too large")) } else { Ok(()) });
    let task = start_exact(&file(&folder), Brokers::new(100, refuses_3), Arc::default(), "", &[("errors.tolerance", "all"), ("batch.size", "100")]);
    task.until("failed", |task| task.task.is_finished()).await;
    assert!(task.end().await.0.is_err());
}

#[tokio::test]
async fn records_that_are_left_out_pass_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let more = [("errors.tolerance", "all"), ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter")];
    let task = start_exact(&file(&folder), Brokers::new(100, TAKES_ALL), Arc::default(), "", &more);
    task.until("left out", |task| task.live.figures().rejected == 10).await;
    let (ended, _, brokers, _) = task.end().await;
    ended.unwrap();
    assert_eq!(events(&brokers), BEGINNING, "there is nothing to commit");
}

#[tokio::test]
async fn a_task_that_may_not_start_or_sends_to_its_offsets_topic_fails() {
    let folder = tempfile::tempdir().unwrap();
    for (refuses, more, says, expected) in [
        ("fence", &[][..], "no fence", &BEGINNING[..2]),
        ("verify", &[], "no verify", &BEGINNING),
        ("", &[("topic", "offsets")], "Source tasks may not produce to their own offsets topics when exactly-once support is enabled", &BEGINNING),
    ] {
        let task = start_exact(&file(&folder), Brokers::new(100, TAKES_ALL), Arc::default(), refuses, more);
        task.until("failed", |task| task.task.is_finished()).await;
        let (ended, _, brokers, _) = task.end().await;
        let error = ended.unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
        assert_eq!(events(&brokers), expected);
        assert!(brokers.values().is_empty());
    }
}
