//! What happens to several partitions at once.

use std::path::Path;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, NullArray, StringArray, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Fields};
use lakehead_formats::column::Column;

use super::*;
use crate::clock::Clock;
use crate::compute::Compute;
use crate::connect::Props;
use crate::env::Env;
use crate::env::fakes::{Folder, NoKafka};
use crate::memory::Budget;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// Records with these values of the field `c`.
fn batch(partition: i32, values: Vec<String>) -> Batch {
    let count = values.len();
    let end = i64::try_from(count).unwrap();
    let fields = Fields::from(vec![Field::new("c", DataType::Utf8, true)]);
    let rows: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![Arc::new(StringArray::from(values))], None));
    Batch {
        from: tp(partition),
        span: OffsetRange { start: 0, end },
        topic: "t".into(),
        offsets: Int64Array::from_iter_values(0..end),
        timestamps: TimestampMillisecondArray::from_iter_values(0..end),
        key: Column::new(Arc::new(Field::new("key", DataType::Null, true)), Arc::new(NullArray::new(count))),
        value: Column::new(Arc::new(Field::new("value", DataType::Struct(fields), true)), rows),
        headers: None,
    }
}

/// A task that writes JSON by the field `c`, each path's files by themselves, below `folder`.
fn task(folder: &Path, memory: Budget, more: &[(&str, &str)]) -> Box<dyn SinkTask> {
    let usual = [
        ("s3.bucket.name", "b"),
        ("format.class", "json"),
        ("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"),
        ("partition.field.name", "c"),
        ("lakehead.rotation.scope", "path"),
    ];
    let props: Props = usual.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let stores = Arc::new(Folder { root: folder.to_owned(), buckets: false });
    let env = Env { clock: Clock::system(), kafka: Arc::new(NoKafka), compute: Compute::Inline, memory, stores };
    let cx = TaskContext { connector: "c".into(), task: 0, env, health: Default::default(), progress: Arc::default(), tolerates: false };
    let class = crate::plugins::CONNECTORS.iter().find(|class| class.class() == "io.confluent.connect.s3.S3SinkConnector").unwrap();
    class.sink_task(&props, cx).unwrap()
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// What a former owner has planned that was given these.
async fn planned(folder: &Path, settings: &[(&str, &str)], rows: Vec<String>) -> Commits {
    let mut former = task(folder, Budget::new(64 << 20), settings);
    former.open(&[tp(0)], &Commits::new()).await.unwrap();
    former.put(batch(0, rows)).await.unwrap();
    loop {
        match former.pre_commit().await.unwrap() {
            nothing if nothing.is_empty() => tokio::task::yield_now().await,
            planned => break planned,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_end_with_those_of_a_crowded_partition_are_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("flush.size", "3"), ("rotate.schedule.interval.ms", "60000"), ("timezone", "UTC")];
    let others = (0..300).map(|number| number.to_string());
    let planned = planned(folder.path(), &settings, texts(&["a", "a"]).into_iter().chain(others).chain(texts(&["a"])).collect()).await;
    let mut task = task(folder.path(), Budget::new(64 << 20), &settings);
    task.open(&[tp(0), tp(1)], &planned).await.unwrap();
    // A file whose end a former owner has planned, and more paths than a text can tell beside it.
    let paths = (0..200).map(|number| format!("{number:x<60}"));
    task.put(batch(0, texts(&["a"]).into_iter().chain(paths).collect())).await.unwrap();
    task.put(batch(1, texts(&["once"]))).await.unwrap();
    assert!(!task.finish(&[tp(1)]));
    tokio::time::advance(Duration::from_secs(60)).await;
    let error = task.tick().await.unwrap_err();
    assert_eq!((error.kind, error.back_to), (ErrorKind::Rewind, BTreeMap::from([(tp(0), None)])));
    assert!(task.finish(&[tp(1)]), "its file ended too, and is on its way");
}

#[tokio::test]
async fn what_memory_can_be_freed_without_more_records() {
    let folder = tempfile::tempdir().unwrap();
    let planned = planned(folder.path(), &[("flush.size", "3")], texts(&["a", "b", "a", "a"])).await;
    for (committed, rows, needs_records, early_closes) in [
        (&Commits::new(), &["a", "a"][..], false, 1),
        (&planned, &["a", "b", "a"], false, 1),
        // The file of `a` ends with the record at offset 3, as its former owner has planned.
        (&planned, &["a"], true, 0),
        (&planned, &[], false, 0),
    ] {
        let mut task = task(folder.path(), Budget::new(1 << 10), &[("flush.size", "3")]);
        task.open(&[tp(0)], committed).await.unwrap();
        if !rows.is_empty() {
            task.put(batch(0, texts(rows))).await.unwrap();
        }
        assert_eq!((task.relieve(), task.report().early_closes), (needs_records, early_closes), "{rows:?} after {committed:?}");
    }
}

/// What was read cannot be read again, so that nothing may be given up for lack of text.
#[tokio::test]
async fn files_that_end_because_records_are_lost_become_visible_however_many_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut task = task(folder.path(), Budget::new(64 << 20), &[("flush.size", "2")]);
    task.open(&[tp(0)], &Commits::new()).await.unwrap();
    let paths = (0..200).map(|number| format!("{number:x<60}"));
    task.put(batch(0, texts(&["twice", "twice", "twice"]).into_iter().chain(paths).collect())).await.unwrap();
    task.lost(&tp(0), OffsetRange { start: 203, end: 1000 });
    task.passed(&tp(0), 1000);
    let done = async {
        loop {
            task.tick().await.unwrap();
            let wanted = task.pre_commit().await.unwrap();
            task.committed(&wanted);
            if wanted.get(&tp(0)) == Some(&Committed::at(1000)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("progress");
    assert_eq!((task.report().rows, task.report().files, task.has_room()), (203, 202, true));
}
