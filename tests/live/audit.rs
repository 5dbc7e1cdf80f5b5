//! `lakehead verify` and `lakehead locate` on what the sink itself has written.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::broker::{Encoding, Topic};
use crate::bucket::Bucket;
use crate::servers::{Kafka, S3_KEY, S3_SECRET};
use crate::worker::{Connector, JOB, SOON, Worker, await_some};

/// Runs a command of the binary; its exit code, and what it printed.
fn lakehead(command: &str, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lakehead")).arg(command).args(arguments).output().expect("the binary runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text")).concat();
    (output.status.code().expect("an exit code"), text)
}

#[track_caller]
fn assert_says(said: &(i32, String), code: i32, texts: &[&str]) {
    assert_eq!(said.0, code, "{}", said.1);
    for text in texts {
        assert!(said.1.contains(text), "'{text}' is not in:\n{}", said.1);
    }
}

/// The bucket's URL with its options in a file, as users keep their credentials.
fn options(bucket: &Bucket, folder: &Path) -> String {
    let file = folder.join(format!("{}.properties", bucket.name));
    let option = |name: &str, value: &str| format!("lakehead.store.option.{name}={value}\n");
    let text = option("aws_endpoint", &bucket.url) + &option("aws_access_key_id", S3_KEY) + &option("aws_secret_access_key", S3_SECRET);
    fs::write(&file, text + &option("aws_region", "us-east-1")).expect("a file");
    file.display().to_string()
}

#[test]
fn what_the_sink_wrote_is_proven_and_what_is_taken_away_is_missed() {
    let (topic, bucket) = (Topic::create("audit", 2), Bucket::create());
    topic.send_orders(0..4000, Encoding::Json);
    let sink = Connector::s3_sink(&topic, &bucket, "parquet").with("flush.size", "500");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();

    let (url, config) = (format!("s3://{}", bucket.name), options(&bucket, bucket.folder.parent().expect("beside the bucket")));
    let (group, servers) = (format!("connect-{}", sink.name), Kafka::shared().bootstrap());
    let place = [url.as_str(), "--store-config", &config];
    let with_group = [&place[..], &["--group", &group, "--bootstrap-servers", &servers]].concat();
    for arguments in [&place[..], &with_group] {
        assert_says(&lakehead("verify", arguments), 0, &[&sink.name, "proven", "4 files", "2,000 rows  0..2000", "2 of 2 topic partitions"]);
    }
    assert_says(&lakehead("verify", &with_group), 0, &["committed 2000"]);

    let record = format!("{}/1@1234", topic.name);
    let key = |offset: i64| format!("topics/{0}/partition=1/{0}+1+{offset:010}.snappy.parquet", topic.name);
    let located = lakehead("locate", &[&[record.as_str()], &place[..]].concat());
    assert_says(&located, 0, &[&format!("s3://{}/{}", bucket.name, key(1000)), "row 234: row 234 of row group 0; it has 500 rows"]);

    fs::remove_file(bucket.folder.join(key(1000))).expect("an object");
    let told = ["VIOLATED", "missing   500 offsets (1000..1500)", &key(500), &key(1500), "proven 1, violated 1"];
    assert_says(&lakehead("verify", &place), 1, &told);
    assert_says(&lakehead("verify", &with_group), 1, &[&told[..], &["the log has these records, and no file"]].concat());
    assert_says(&lakehead("locate", &[&[record.as_str()], &place[..]].concat()), 1, &["holds offset 1234 of"]);
}

#[test]
fn arguments_that_are_wrong_are_no_answer() {
    assert_says(&lakehead("verify", &[]), 3, &["Usage"]);
    assert_says(&lakehead("verify", &["/no/such/folder"]), 3, &["folder '/no/such/folder' is not there"]);
    assert_says(&lakehead("locate", &["orders", "/tmp"]), 3, &["TOPIC/PARTITION@OFFSET"]);
    assert_says(&lakehead("verify", &["--help"]), 0, &["Exit code: 0 proven; 1 violated; 2 not provable"]);
}

/// Files of a dozen paths, each for itself: their spans overlap, some are open at every moment, and what is visible lies past the committed offset.
#[test]
fn files_that_take_turns_are_proven_while_the_sink_writes_them() {
    let (topic, bucket) = (Topic::create("audit-turns", 1), Bucket::create());
    let sink = Connector::s3_sink(&topic, &bucket, "parquet")
        .with("flush.size", "100")
        .with("lakehead.rotation.scope", "path")
        .with("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner")
        .with("partition.field.name", "country");
    let (url, config) = (format!("s3://{}", bucket.name), options(&bucket, bucket.folder.parent().expect("beside the bucket")));
    let (group, servers) = (format!("connect-{}", sink.name), Kafka::shared().bootstrap());
    let place = [url.as_str(), "--store-config", &config];
    let with_group = [&place[..], &["--group", &group, "--bootstrap-servers", &servers]].concat();

    let worker = Worker::start(&[&sink]);
    for part in 0..4 {
        topic.send_orders(part * 3000..(part + 1) * 3000, Encoding::Json);
        let some = usize::try_from(20 * (part + 1)).expect("a small number");
        await_some(JOB, || (bucket.count() >= some && topic.committed_total(&sink.name) > 0).then_some(()), || worker.status(&sink).to_string());
        assert_says(&lakehead("verify", &with_group), 0, &[&sink.name, "proven", "1 of 1 topic partitions"]);
    }
    worker.terminate();
    assert_says(&lakehead("verify", &with_group), 0, &["proven", "1 of 1 topic partitions"]);

    // The file with the first record; whatever it has below the committed offset is missed.
    let first = bucket.keys().into_iter().find(|key| key.contains("+0+0000000000.")).expect("a file that begins at 0");
    let record = format!("{}/0@0", topic.name);
    assert_says(&lakehead("locate", &[&[record.as_str()], &place[..]].concat()), 0, &[&first, "row 0: row 0 of row group 0; it has 100 rows"]);
    let copy = format!("{first}.parquet");
    fs::copy(bucket.folder.join(&first), bucket.folder.join(&copy)).expect("a copy");
    assert_says(&lakehead("verify", &with_group), 1, &["VIOLATED", "doubled   100 offsets (0..1, ", &first, &copy]);
    fs::remove_file(bucket.folder.join(&copy)).expect("the copy");
    fs::remove_file(bucket.folder.join(&first)).expect("the file");
    assert_says(
        &lakehead("verify", &with_group),
        1,
        &["VIOLATED", "missing   1 offset (0..1)", "missing   99 offsets (", "the log has these records, and no file"],
    );
}
