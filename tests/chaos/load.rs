//! The load: a producer that numbers the records of each partition and does not stop until it is told to.
//!
//! Record `number` of a partition has that number as its offset, because the producer is idempotent and the only one, and the topic has no gaps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// Records a second for each partition.
    pub(crate) rate: u64,
    /// Bytes of a record that no compression removes.
    pub(crate) ballast: usize,
    /// The number of records of each partition is a multiple of this in the end, so that files which end by size leave nothing open.
    pub(crate) multiple: u64,
}

/// A producer at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<i32, u64>>,
}

impl Load {
    /// Begins to write to the topic's partitions.
    #[expect(clippy::disallowed_methods, reason = "a harness without a runtime of its own; the thread ends with the load")]
    pub(crate) fn start(bootstrap: &str, topic: &str, partitions: i32, flow: Flow, seed: u64) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").set("linger.ms", "10").set("message.timeout.ms", "0");
        let producer: BaseProducer = config.create().expect("a producer");
        let stop = Arc::new(AtomicBool::new(false));
        let (is_over, topic) = (Arc::clone(&stop), topic.to_owned());
        let thread = std::thread::spawn(move || produce(&producer, &topic, partitions, flow, seed, &is_over));
        Self { stop, thread }
    }

    /// Ends it; how many records each partition has been given.
    pub(crate) fn stop(self) -> BTreeMap<i32, u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer does not fail")
    }
}

fn produce(producer: &BaseProducer, topic: &str, partitions: i32, flow: Flow, seed: u64, is_over: &AtomicBool) -> BTreeMap<i32, u64> {
    let began = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut value = String::new();
    let mut sent = 0;
    loop {
        let is_last = is_over.load(Ordering::Relaxed);
        let due = u64::try_from(began.elapsed().as_millis()).expect("a test of this century") * flow.rate / 1000;
        let due = if is_last { due.next_multiple_of(flow.multiple) } else { due };
        for number in sent..due {
            for partition in 0..partitions {
                write_record(&mut value, partition, number, flow.ballast, &mut random);
                send(producer, topic, partition, value.as_bytes());
            }
        }
        sent = sent.max(due);
        producer.poll(Duration::ZERO);
        if is_last {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    producer.flush(Duration::from_secs(120)).expect("the broker takes the records");
    (0..partitions).map(|partition| (partition, sent)).collect()
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value);
    while let Err((error, again)) = producer.send(record) {
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
        producer.poll(Duration::from_millis(20));
        record = again;
    }
}

/// `shard` is one of four, the first as frequent as the others together; `at` is a time that moves on by ten seconds a record, and every seventh record is
/// an hour late.
fn write_record(value: &mut String, partition: i32, number: u64, ballast: usize, random: &mut fastrand::Rng) {
    const FIRST_MS: u64 = 1_780_272_000_000;
    let shard = [0, 1, 0, 2, 0, 3][usize::try_from(number % 6).expect("a small number")];
    let late = if number % 7 == 6 { 3_600_000 } else { 0 };
    let at = FIRST_MS + 3_600_000 + number * 10_000 - late;
    value.clear();
    write!(value, r#"{{"part":{partition},"number":{number},"shard":"s{shard}","at":{at},"ballast":""#).expect("room");
    value.extend((0..ballast).map(|_| random.alphanumeric()));
    value.push_str("\"}");
}
