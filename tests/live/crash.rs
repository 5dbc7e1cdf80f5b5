//! Workers that die, join and leave in the middle of a job.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::broker::{Encoding, Topic};
use crate::bucket::{Bucket, assert_orders, keys_by_size};
use crate::worker::{Connector, JOB, Worker, await_some};

const ORDERS: u64 = 480_000;
const PARTITIONS: i32 = 6;

/// Divides the 80,000 orders of each partition.
const ROWS_PER_FILE: i64 = 10_000;

/// Half a job that was killed before.
const PROGRESS: Duration = JOB;

struct Job {
    topic: Topic,
    bucket: Bucket,
}

impl Job {
    fn start(name: &str) -> Self {
        let job = Self { topic: Topic::create(name, PARTITIONS), bucket: Bucket::create() };
        job.topic.send_orders(0..ORDERS, Encoding::Json);
        job
    }

    fn sink(&self) -> Connector {
        Connector::s3_sink(&self.topic, &self.bucket, "parquet").with("flush.size", &ROWS_PER_FILE.to_string())
    }

    /// Waits until at least `count` objects are visible.
    #[track_caller]
    fn await_objects(&self, count: usize) {
        let explain = || format!("{} objects instead of {count}: {:?}", self.bucket.count(), self.bucket.keys());
        await_some(PROGRESS, || (self.bucket.count() >= count).then_some(()), explain);
    }

    #[track_caller]
    fn assert_exactly_once(&self) {
        assert_eq!(self.bucket.keys(), keys_by_size(&self.topic, ROWS_PER_FILE, ".snappy.parquet"));
        assert_orders(&self.bucket.folder, "parquet", 0..ORDERS);
    }
}

/// Killed three times, at a quarter, half and three quarters of the 48 files, while others are open and on their way.
#[test]
fn three_kills_lose_nothing_and_double_nothing_where_files_end_by_size() {
    let job = Job::start("kill");
    let sink = job.sink();
    for quarter in 1..=3 {
        let worker = Worker::start(&[&sink]);
        job.await_objects(12 * quarter);
        worker.kill();
    }
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &job.topic, JOB);
    worker.terminate();
    job.assert_exactly_once();
}

/// What the clock ends is cut elsewhere each time; it was planned before it was published.
#[test]
fn three_kills_lose_nothing_and_double_nothing_where_files_end_by_the_clock() {
    let job = Job::start("kill-clock");
    let sink = job.sink().with("flush.size", "1000000").with("rotate.schedule.interval.ms", "1000").with("timezone", "UTC");
    for quarter in 1..=3 {
        let worker = Worker::start(&[&sink]);
        let enough = i64::try_from(ORDERS).expect("a small number") * quarter / 5;
        await_some(PROGRESS, || (job.topic.committed_total(&sink.name) >= enough).then_some(()), || worker.status(&sink).to_string());
        worker.kill();
    }
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &job.topic, JOB);
    worker.terminate();
    assert_orders(&job.bucket.folder, "parquet", 0..ORDERS);
}

/// The parts of a file that a killed worker was uploading are removed by whoever owns its partition next: here another group, which has it at once, before the
/// killed worker's session ends.
#[test]
fn uploads_of_a_killed_worker_are_removed() {
    let (topic, bucket) = (Topic::create("orphans", 1), Bucket::create());
    topic.send_orders(0..100_000, Encoding::Json);
    let sink =
        Connector::s3_sink(&topic, &bucket, "json").with("flush.size", "100000").with("s3.part.size", "5242880").with("lakehead.row.group.bytes", "1048576");
    let uploads = || {
        let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
        below(&bucket.folder.join(".sgwtmp/multipart")).iter().flat_map(|key| below(key)).filter(|path| path.is_dir()).collect::<BTreeSet<_>>()
    };
    let held = sink.clone().with("flush.size", "1000000");
    let worker = Worker::start(&[&held]);
    let orphans = await_some(PROGRESS, || Some(uploads()).filter(|some| !some.is_empty()), || worker.status(&held).to_string());
    worker.kill();
    assert!(uploads().is_superset(&orphans), "nobody has removed them yet");

    let mut next = sink;
    next.name.push_str("-next");
    let worker = Worker::start(&[&next]);
    worker.await_end(&next, &topic, JOB);
    await_some(JOB, || uploads().is_disjoint(&orphans).then_some(()), || worker.log());
    assert!(worker.whole_log().contains("removed an unfinished upload of a process that ended"), "{}", worker.log());
    worker.terminate();
    assert_orders(&bucket.folder, "json", 0..100_000);
}

/// The same connector on two workers is one consumer group: the second takes half of the partitions, and gives them back.
#[test]
fn a_second_worker_joins_and_leaves() {
    let job = Job::start("join");
    let sink = job.sink();
    let first = Worker::start(&[&sink]);
    job.await_objects(6);
    let second = Worker::start(&[&sink]);
    job.await_objects(24);
    second.terminate();
    first.await_end(&sink, &job.topic, JOB);
    first.terminate();
    job.assert_exactly_once();
}

/// SIGTERM in the middle: what was published is committed, the rest is read again.
#[test]
fn a_worker_that_is_asked_to_stop_leaves_a_job_that_can_go_on() {
    let job = Job::start("stop");
    let sink = job.sink();
    let worker = Worker::start(&[&sink]);
    job.await_objects(12);
    worker.terminate();
    let published = i64::try_from(job.bucket.count()).expect("a small number") * ROWS_PER_FILE;
    assert_eq!(job.topic.committed_total(&sink.name), published, "a drained worker has committed what it has published");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &job.topic, JOB);
    worker.terminate();
    job.assert_exactly_once();
}
