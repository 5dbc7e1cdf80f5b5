//! Parts that are down, full, or not ours: what the status says meanwhile, and that the job ends well once they are back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lakehead::quickstart::orders;

use crate::broker::{Encoding, Topic};
use crate::bucket::{Bucket, assert_orders, files_below};
use crate::servers::{Door, Kafka, Registry, S3, S3_SECRET, run_folder};
use crate::worker::{Connector, JOB, SOON, Worker, await_some};

const ORDERS: u64 = 20_000;

fn by_size(connector: Connector) -> Connector {
    connector.with("flush.size", "2000")
}

#[test]
fn a_missing_bucket_fails_the_task_and_is_named() {
    let topic = Topic::create("no-bucket", 1);
    topic.send_orders(0..2_000, Encoding::Json);
    let bucket = Bucket::absent(S3::shared());
    let sink = by_size(Connector::s3_sink(&topic, &bucket, "parquet"));
    let worker = Worker::start(&[&sink]);
    let trace = worker.await_failure(&sink);
    assert!(trace.contains(&bucket.name) && trace.contains("does not exist"), "{trace}");

    fs::create_dir_all(&bucket.folder).expect("a new bucket");
    let (status, body) = worker.rest("POST", &format!("/connectors/{}/tasks/0/restart", sink.name), None);
    assert_eq!(status, 204, "{body}");
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&bucket.folder, "parquet", 0..2_000);
}

#[test]
fn a_refused_credential_fails_the_task_without_showing_it() {
    let (topic, bucket) = (Topic::create("denied", 1), Bucket::create());
    topic.send_orders(0..2_000, Encoding::Json);
    let sink = by_size(Connector::s3_sink(&topic, &bucket, "parquet"));
    let wrong = sink.clone().with("aws.secret.access.key", "not-the-secret");
    let worker = Worker::start(&[&wrong]);
    let trace = worker.await_failure(&wrong);
    assert!(trace.contains(&bucket.name) && trace.contains("credential"), "{trace}");
    assert!(!trace.contains("not-the-secret") && !worker.log().contains("not-the-secret"), "the secret is shown");
    worker.terminate();

    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    assert!(!worker.log().contains(S3_SECRET), "the secret is in the log");
    assert_orders(&bucket.folder, "parquet", 0..2_000);
}

#[test]
fn a_registry_that_is_down_is_waited_for() {
    let (topic, bucket, registry) = (Topic::create("registry-down", 2), Bucket::create(), Registry::shared());
    let id = registry.register(&topic.name, orders::AVRO_SCHEMA);
    topic.send_orders(0..ORDERS, Encoding::Avro(id));
    let door = Door::shut(registry.address());
    let sink = by_size(Connector::s3_sink(&topic, &bucket, "parquet")).with_registry(&Registry::url_at(door.port));
    let worker = Worker::start(&[&sink]);
    worker.await_trouble(&sink, "registry");
    assert_eq!(bucket.count(), 0);
    door.open();
    worker.await_end(&sink, &topic, SOON);
    assert_eq!(worker.task(&sink), ("RUNNING".to_owned(), String::new()), "the trouble is over");
    assert_orders(&bucket.folder, "parquet", 0..ORDERS);
}

#[test]
fn a_store_that_is_down_is_waited_for() {
    let s3 = S3::start("s3-down");
    let (topic, bucket) = (Topic::create("store-down", 2), Bucket::create_at(&s3));
    topic.send_orders(0..ORDERS, Encoding::Json);
    let sink = by_size(Connector::s3_sink(&topic, &bucket, "parquet"));
    let worker = Worker::start(&[&sink]);
    await_some(SOON, || (bucket.count() > 0).then_some(()), || worker.status(&sink).to_string());
    s3.stop();
    topic.send_orders(ORDERS..2 * ORDERS, Encoding::Json);
    worker.await_trouble(&sink, &bucket.name);
    s3.resume();
    worker.await_end(&sink, &topic, JOB);
    assert_orders(&bucket.folder, "parquet", 0..2 * ORDERS);
}

#[test]
fn a_broker_that_is_down_is_waited_for() {
    let kafka = Kafka::start("kafka-down");
    let (topic, bucket) = (Topic::create_at(&kafka, "broker-down", 2), Bucket::create());
    topic.send_orders(0..ORDERS, Encoding::Json);
    let sink = by_size(Connector::s3_sink(&topic, &bucket, "parquet"));
    let worker = Worker::start_with(&kafka, &[&sink], &[], |binary| Command::new(binary));
    worker.await_end(&sink, &topic, JOB);
    kafka.stop();
    worker.await_trouble(&sink, "broker");
    kafka.resume();
    topic.send_orders(ORDERS..2 * ORDERS, Encoding::Json);
    worker.await_end(&sink, &topic, JOB);
    assert_orders(&bucket.folder, "parquet", 0..2 * ORDERS);
}

/// A file system of 8 MiB that only the worker sees, full to the brim, until something on it is removed.
#[test]
fn a_full_disk_is_waited_for() {
    let folder = run_folder().join("full");
    fs::create_dir_all(&folder).expect("a folder");
    let can_mount = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "lake"]).arg(&folder).output();
    assert!(
        can_mount.as_ref().is_ok_and(|output| output.status.success()),
        "this test mounts a small file system in a mount namespace of its own (unshare -rm), which this machine does not allow: {can_mount:?}"
    );
    let topic = Topic::create("disk-full", 1);
    topic.send_orders(0..ORDERS, Encoding::Json);
    let sink = by_size(Connector::folder_sink(&topic, &folder, "parquet"));
    let fill_and_run = r#"mount -t tmpfs -o size=8m lake "$1" && { head -c 16m /dev/zero >"$1/.ballast"; shift; exec "$@"; }"#;
    let worker = Worker::start_with(Kafka::shared(), &[&sink], &[], |binary| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", fill_and_run, "sh"]).arg(&folder).arg(binary);
        command
    });
    let inside = seen_by(&worker, &folder);
    worker.await_trouble(&sink, "space");
    // What is staged has a name that no reader asks for: its object's, with a number behind '#'.
    let visible: Vec<String> = files_below(&inside).into_iter().filter(|name| !name.contains(".parquet#")).collect();
    assert_eq!(visible, Vec::<String>::new(), "nothing unfinished is visible");
    fs::remove_file(inside.join(".ballast")).expect("the ballast");
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&inside, "parquet", 0..ORDERS);
}

/// The folder as the worker's process sees it.
fn seen_by(worker: &Worker, folder: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", worker.pid()));
    root.join(folder.strip_prefix("/").expect("an absolute path"))
}
