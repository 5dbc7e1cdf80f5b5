//! An internal topic on a real broker: created as it must be, written, read to its end and followed, transactions included.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakehead::clock::Clock;
use lakehead::cluster::Record;
use lakehead::cluster::broker::Network;
use lakehead::cluster::log::{Entry, Isolation, Log, Networks, Purpose, Topic};
use lakehead::kafka::{KafkaErrorKind, Props};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::time::{Instant, timeout};

use super::{broker, servers};

const PATIENCE: Duration = Duration::from_secs(60);

fn topic(purpose: Purpose, name: &str) -> Topic {
    let prefix = match purpose {
        Purpose::Configs => "config",
        Purpose::Offsets => "offset",
        Purpose::Statuses => "status",
    };
    let props = Props::from([(format!("{prefix}.storage.topic"), name.to_owned()), (format!("{prefix}.storage.replication.factor"), "1".to_owned())]);
    Topic::from_props(&props, purpose).expect("a topic")
}

/// What has been applied.
#[derive(Default, Clone)]
struct Seen(Arc<Mutex<Vec<Entry>>>);

impl Seen {
    fn apply(&self) -> impl FnMut(Entry) + Send + use<> {
        let seen = Arc::clone(&self.0);
        move |entry| seen.lock().expect("free").push(entry)
    }

    fn keys(&self) -> Vec<String> {
        self.0.lock().expect("free").iter().map(|entry| String::from_utf8_lossy(entry.key.as_deref().unwrap_or_default()).into_owned()).collect()
    }
}

fn record(key: &str, value: Option<&str>) -> Record {
    Record { key: key.as_bytes().to_vec(), value: value.map(|value| value.as_bytes().to_vec()) }
}

/// A record in a transaction that is open.
fn transaction(topic: &str, key: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers::Kafka::shared().bootstrap()).set("transactional.id", format!("{topic}-{key}"));
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("a transactional producer");
    producer.begin_transaction().expect("a transaction");
    producer.send(BaseRecord::<str, str>::to(topic).partition(0).key(key).payload("{}")).map_err(|(error, _)| error).expect("room");
    producer.flush(PATIENCE).expect("the broker takes it");
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_writes_all_have_after_reading_to_the_end() {
    let (network, one, other) = (super::network(), Seen::default(), Seen::default());
    let made = topic(Purpose::Statuses, "log-statuses");
    let writer = Log::open(&network, made.clone(), Isolation::Uncommitted, one.apply()).await.expect("a log");
    let reader = Log::open(&network, made, Isolation::Uncommitted, other.apply()).await.expect("the same log");
    assert_eq!(writer.partitions(), 5);
    writer.read_to_end(PATIENCE).await.expect("an empty log is read at once");
    let records: Vec<_> = (0..200).map(|number| record(&format!("status-task-c-{number}"), Some("{}"))).chain([record("status-task-c-7", None)]).collect();
    let started = Instant::now();
    writer.write(&records).await.expect("written");
    reader.read_to_end(PATIENCE).await.expect("read");
    println!("200 records written and read by another in {:?}", started.elapsed());
    assert_eq!(other.keys().len(), records.len());
    let last: BTreeMap<_, _> = other.0.lock().expect("free").iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    assert_eq!(last.len(), 200);
    assert_eq!(last.values().filter(|value| value.is_none()).count(), 1, "the tombstone came after the record");
    // It is followed: what is written later arrives by itself, and one's own records as well.
    writer.write(&[record("late", None)]).await.expect("written");
    for log in [&writer, &reader] {
        let started = Instant::now();
        log.read_to_end(PATIENCE).await.expect("read");
        println!("one record more is read in {:?}", started.elapsed());
    }
    // Partitions come in any order, so it need not be the last.
    assert!([one, other].iter().all(|seen| seen.keys().len() == records.len() + 1 && seen.keys().contains(&"late".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_ends_where_a_transaction_is_open_if_only_what_is_committed_counts() {
    let made = topic(Purpose::Configs, "log-configs");
    let (all, committed) = (Seen::default(), Seen::default());
    let network = super::network();
    let log = Log::open(&network, made.clone(), Isolation::Uncommitted, all.apply()).await.expect("a log");
    let reader = Log::open(&network, made, Isolation::Committed, committed.apply()).await.expect("the same");
    log.write(&[record("before", None)]).await.expect("written");
    let producer = transaction("log-configs", "aborted");
    log.write(&[record("after", None)]).await.expect("written");
    log.read_to_end(PATIENCE).await.expect("read");
    reader.read_to_end(PATIENCE).await.expect("read to where the transaction is open");
    assert_eq!(all.keys(), ["before", "aborted", "after"]);
    assert_eq!(committed.keys(), ["before"]);
    producer.abort_transaction(PATIENCE).expect("aborted");
    transaction("log-configs", "kept").commit_transaction(PATIENCE).expect("committed");
    reader.read_to_end(PATIENCE).await.expect("read");
    log.read_to_end(PATIENCE).await.expect("its end is a marker, which nobody reads");
    assert_eq!(committed.keys(), ["before", "after", "kept"]);
    assert_eq!(all.keys(), ["before", "aborted", "after", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_would_lose_records_or_their_order_is_refused() {
    let made = || (broker::Topic::create("log-deleting", 5), broker::Topic::create("log-several", 2));
    let (deleting, several) = tokio::task::block_in_place(made);
    for (purpose, name, says) in
        [(Purpose::Offsets, &deleting.name, "cleanup.policy=delete"), (Purpose::Configs, &several.name, "has 2 partitions and must have one")]
    {
        let error = Log::open(&super::network(), topic(purpose, name), Isolation::Uncommitted, drop).await.expect_err("refused");
        assert!(error.kind == KafkaErrorKind::Config && error.message.contains(says) && error.message.contains(name), "{error}");
    }
    let error = Log::open(&super::network(), Topic { replication_factor: 3, ..topic(Purpose::Offsets, "log-too-many") }, Isolation::Uncommitted, drop).await;
    let error = error.expect_err("one broker cannot hold three replicas");
    assert!(error.kind == KafkaErrorKind::Config && error.message.contains("replication.factor"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_writes_and_creates_does_it_by_properties_of_its_own() {
    const A_WHILE: Duration = Duration::from_millis(700);
    let nowhere = Props::from([("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())]);
    let nowhere = Arc::new(Network::new(&nowhere, "lost", Clock::system()).expect("a network"));
    let made = topic(Purpose::Offsets, "log-networks");
    let all = Networks::from(&super::network());
    let lost = Arc::clone(&nowhere);
    let creating = Log::open(Networks { creates: lost, ..all.clone() }, made.clone(), Isolation::Settled, drop);
    assert!(timeout(A_WHILE, creating).await.is_err(), "a topic is created where nobody can be reached");
    let records = [record("key", Some("{}"))];
    let log = Log::open(Networks { writes: Arc::clone(&nowhere), ..all.clone() }, made.clone(), Isolation::Settled, drop).await.expect("a log");
    assert!(timeout(A_WHILE, log.write(&records)).await.is_err(), "written where nobody can be reached");
    log.read_to_end(PATIENCE).await.expect("read");
    let log = Log::open(Networks { reads: nowhere, ..all }, made, Isolation::Settled, drop).await.expect("a log");
    log.write(&records).await.expect("written");
    log.read_to_end(A_WHILE).await.expect_err("read where nobody can be reached");
}
