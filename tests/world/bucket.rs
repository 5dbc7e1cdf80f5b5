//! What was written: the objects of a bucket or the files of a folder, and their check by other people's readers.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lakehead::quickstart::orders;
use serde_json::Value;

use super::broker::Topic;
use super::servers::{S3, repository, run_folder};

/// A bucket of one test.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Its name, unlike any other test's.
    pub(crate) name: String,
    /// The server's address.
    pub(crate) url: String,
    /// Where the server keeps its objects.
    pub(crate) folder: PathBuf,
}

impl Bucket {
    /// Creates a bucket on the shared server.
    pub(crate) fn create() -> Self {
        Self::create_at(S3::shared())
    }

    /// Creates a bucket on that server, for which a bucket is a folder.
    pub(crate) fn create_at(s3: &S3) -> Self {
        let bucket = Self::absent(s3);
        fs::create_dir_all(&bucket.folder).expect("a folder for the bucket");
        bucket
    }

    /// A bucket that the server does not have.
    pub(crate) fn absent(s3: &S3) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("lake-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { folder: s3.buckets().join(&name), name, url: s3.url() }
    }

    /// Keys of all visible objects, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        files_below(&self.folder)
    }

    /// How many objects are visible.
    pub(crate) fn count(&self) -> usize {
        self.keys().len()
    }
}

/// Paths of the files below `folder`, relative to it, in order; what begins with a dot (a server's own, or unfinished) is left out.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The keys that a topic's files have with the default partitioner when each holds `rows` records and every record is in one.
pub(crate) fn keys_by_size(topic: &Topic, rows: i64, extension: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (partition, end) in topic.end_offsets() {
        let starts = (0..end).step_by(usize::try_from(rows).expect("a positive number"));
        keys.extend(starts.map(|start| format!("topics/{0}/partition={partition}/{0}+{partition}+{start:010}{extension}", topic.name)));
    }
    keys.sort();
    keys
}

/// Checks that the files of that format below `folder` hold exactly these orders, each once, with every value as it was sent.
#[track_caller]
pub(crate) fn assert_orders(folder: &Path, format: &str, orders: Range<u64>) {
    let doubled = assert_no_order_lost(folder, format, orders);
    assert_eq!(doubled, 0, "orders are in more than one file");
}

/// The same for orders that may be there more than once; returns how many more.
#[track_caller]
pub(crate) fn assert_no_order_lost(folder: &Path, format: &str, orders: Range<u64>) -> u64 {
    let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| repository().join(".tools"), PathBuf::from);
    let mut verify = Command::new(tools.join("venv/bin/python"));
    verify.arg(repository().join("tests/readers/verify.py")).args(["--format", format]);
    verify.arg("--folder").arg(folder).arg("--expected").arg(orders_file(orders));
    let output = verify.output().unwrap_or_else(|error| panic!("the readers cannot be run; `make test` installs them: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the files do not hold the orders\n{said}{}", String::from_utf8_lossy(&output.stderr));
    let reports: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("a report")).collect();
    assert!(!reports.is_empty());
    reports.iter().map(|report| report["doubled"].as_u64().expect("a count")).max().unwrap_or(0)
}

/// A file with these orders as JSON lines, written once.
fn orders_file(orders: Range<u64>) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = run_folder().join(format!("orders-{}-{}.jsonl", orders.start, orders.end));
    if path.try_exists().expect("a readable folder") {
        return path;
    }
    let mut file = BufWriter::new(File::create(&path).expect("a file for the orders"));
    let mut line = Vec::new();
    for i in orders {
        line.clear();
        orders::write_json(&mut line, i);
        line.push(b'\n');
        file.write_all(&line).expect("room for the orders");
    }
    file.flush().expect("room for the orders");
    path
}
