//! Many files: what is right about a few is right about all, and what it costs is printed.
//!
//! `LAKEHEAD_AUDIT_FILES=100000 cargo test --release --test audit many_files -- --nocapture --test-threads=1` measures.

use std::time::Instant;

use futures::stream::{self, StreamExt as _};

use crate::world::{World, file};

/// Rows of each file.
const ROWS: i64 = 50;

/// Partitions of the topic.
const PARTITIONS: i32 = 10;

/// Directories of each partition.
const HOURS: i64 = 24;

async fn many_files(world: &World, extension: &str, what: &str) {
    let files: i64 = std::env::var_os("LAKEHEAD_AUDIT_FILES").map_or(1000, |files| files.to_str().unwrap().parse().unwrap());
    let each = files / i64::from(PARTITIONS);
    let specs = (0..PARTITIONS).flat_map(|partition| {
        let spec = move |index: i64| file(&format!("day=23/hour={:02}", index % HOURS), partition, index * ROWS..(index + 1) * ROWS, extension);
        (0..each).map(spec)
    });
    stream::iter(specs).for_each_concurrent(16, |spec| async move { world.put(&[spec]).await }).await;
    let (began, before) = (Instant::now(), resident_bytes());
    let said = world.verify(&[]).await;
    let (took, grew) = (began.elapsed(), resident_bytes().saturating_sub(before));
    said.assert(0, &["10 of 10 topic partitions hold each offset exactly once"]);
    let per_file = grew / u64::try_from(files).unwrap();
    eprintln!("{what}: {files} files verified in {:.2} s; resident memory grew by {per_file} bytes a file", took.as_secs_f64());
    let lost = file("day=23/hour=01", 3, ROWS..2 * ROWS, extension);
    world.remove(&lost).await;
    world.verify(&[]).await.assert(1, &["t-3", "VIOLATED", "missing   50 offsets (50..100)", "proven 9, violated 1"]);
}

/// Memory of this process, as the system counts it.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_of_a_folder() {
    many_files(&World::folder(), ".parquet", "folder, Parquet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_of_a_bucket() {
    many_files(&World::s3(), ".json", "S3 server, JSON").await;
}
