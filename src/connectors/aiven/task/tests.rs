//! The sinks as wholes: configuration and records in, objects of a folder out.

use std::path::Path;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, ListBuilder, NullArray, StringArray, StringBuilder, StructBuilder, TimestampMillisecondArray};
use arrow::array::{ArrayBuilder, BinaryBuilder};
use arrow::datatypes::{DataType, Field};
use lakehead_formats::schema::json_text;

use super::*;
use crate::batch::OffsetRange;
use crate::clock::Clock;
use crate::compute::Compute;
use crate::connect::{Connector, Health, Props};
use crate::connectors::aiven::S3;
use crate::env::Env;
use crate::env::fakes::{Folder, NoKafka};

fn task(folder: &Path, settings: &[(&str, &str)], tolerates: bool) -> Box<dyn SinkTask> {
    let base = [("aws.s3.bucket.name", "b"), ("offset.flush.interval.ms", "10")];
    let props: Props = base.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    assert_eq!(S3.validate(&props).errors, [], "{settings:?}");
    let env = Env {
        clock: Clock::starting_at(DateTime::from_timestamp_millis(5 * 3_600_000).unwrap()),
        kafka: Arc::new(NoKafka),
        compute: Compute::pool(2),
        memory: Budget::new(64 << 20),
        stores: Arc::new(Folder { root: folder.to_owned(), buckets: false }),
    };
    let cx = TaskContext { connector: "c".into(), task: 0, env, health: Health::default(), progress: Arc::default(), tolerates };
    S3.sink_task(&props, cx).unwrap()
}

/// Offset, time, key, value.
type Row<'a> = (i64, i64, Option<&'a str>, &'a str);

fn batch(rows: &[Row<'_>], is_json: bool) -> Batch {
    let column = |name: &str, array: ArrayRef| Column::new(Arc::new(Field::new(name, array.data_type().clone(), true)), array);
    let value = if is_json {
        Column::new(json_text("value"), Arc::new(rows.iter().map(|row| Some(row.3)).collect::<StringArray>()))
    } else {
        column("value", Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| row.3))))
    };
    Batch {
        from: TopicPartition::new("t", 0),
        span: OffsetRange { start: rows[0].0, end: rows[rows.len() - 1].0 + 1 },
        topic: "t".into(),
        offsets: Int64Array::from_iter_values(rows.iter().map(|row| row.0)),
        timestamps: TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1)),
        key: column("key", Arc::new(rows.iter().map(|row| row.2).collect::<StringArray>())),
        value,
        headers: None,
    }
}

/// Every object below a folder: name and text.
fn objects(folder: &Path, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path() {
            path if path.is_dir() => found.extend(objects(&path, &format!("{name}/"))),
            path => found.push((name, String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())),
        }
    }
    found.sort();
    found
}

/// Puts batches, waits until they are durable, and shows what is there.
async fn written(settings: &[(&str, &str)], batches: &[Batch]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut task = task(folder.path(), settings, false);
    let from = TopicPartition::new("t", 0);
    task.open(std::slice::from_ref(&from), &Commits::new()).await.unwrap();
    for batch in batches {
        assert_eq!(task.put(batch.clone()).await.unwrap(), []);
    }
    assert_eq!(task.pre_commit().await.unwrap().get(&from), None, "nothing is durable before it is written");
    let end = batches.last().unwrap().span.end;
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        task.tick().await.unwrap();
        if task.pre_commit().await.unwrap().get(&from) == Some(&Committed::at(end)) {
            let rows: usize = batches.iter().map(Batch::len).sum();
            assert!(task.report().rows <= rows as u64 && task.report().open_rows == 0);
            return objects(folder.path(), "");
        }
    }
    panic!("not durable after five seconds");
}

#[tokio::test]
async fn objects_as_upstream() {
    let plain = ("file.compression.type", "none");
    let two = [(1, 1000, Some("k"), "v"), (2, 1001, Some("k"), "w")];
    for (settings, wanted) in [
        (vec![plain, ("format.output.fields", "key,value,offset,timestamp")], vec![("t-0-1", "aw==,dg==,1,1000\naw==,dw==,2,1001")]),
        (vec![plain, ("format.output.fields.value.encoding", "none")], vec![("t-0-1", "v\nw")]),
        (vec![plain, ("file.max.records", "1")], vec![("t-0-1", "dg=="), ("t-0-2", "dw==")]),
        (vec![plain, ("file.name.template", "{{key}}")], vec![("k", "dw==")]),
        (vec![plain, ("aws.s3.prefix", "p/{{utc_date}}/")], vec![("p/1970-01-01/t-0-00000000000000000001", "dg==\ndw==")]),
        (vec![plain, ("format.output.fields", "headers,offset")], vec![("t-0-1", ",1\n,2")]),
    ] {
        let found = written(&settings, &[batch(&two, false)]).await;
        assert_eq!(found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>(), wanted, "{settings:?}");
    }
}

#[tokio::test]
async fn json_objects_as_upstream() {
    let plain = ("file.compression.type", "none");
    let rows = [(1, 1000, Some("k"), r#"{"a":1}"#), (2, 1001, None, r#"{"a":2}"#)];
    for (settings, wanted) in [
        (vec![plain, ("format.output.type", "jsonl")], "{\"value\":{\"a\":1}}\n{\"value\":{\"a\":2}}"),
        (vec![plain, ("format.output.type", "json")], "[\n{\"value\":{\"a\":1}},\n{\"value\":{\"a\":2}}\n]"),
        (vec![plain, ("format.output.type", "jsonl"), ("format.output.fields", "value"), ("format.output.envelope", "false")], "{\"a\":1}\n{\"a\":2}"),
        (
            vec![plain, ("format.output.type", "jsonl"), ("format.output.fields", "key,value,offset,timestamp,headers")],
            "{\"headers\":[],\"offset\":1,\"value\":{\"a\":1},\"key\":\"k\",\"timestamp\":\"1970-01-01T00:00:01Z\"}\n\
             {\"headers\":[],\"offset\":2,\"value\":{\"a\":2},\"key\":null,\"timestamp\":\"1970-01-01T00:00:01.001Z\"}",
        ),
    ] {
        // two batches: a file goes on where the first one ended
        let batches = [batch(&rows[..1], true), batch(&rows[1..], true)];
        assert_eq!(written(&settings, &batches).await, [("t-0-1".to_owned(), wanted.to_owned())], "{settings:?}");
    }
}

#[tokio::test]
async fn headers_are_written() {
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
    let builders: Vec<Box<dyn ArrayBuilder>> = vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())];
    let mut list = ListBuilder::new(StructBuilder::new(fields, builders));
    list.values().field_builder::<StringBuilder>(0).unwrap().append_value("h");
    list.values().field_builder::<BinaryBuilder>(1).unwrap().append_value(b"v");
    list.values().append(true);
    list.append(true);
    let with_headers = Batch { headers: Some(list.finish()), ..batch(&[(1, 0, None, "{}")], true) };
    let plain = ("file.compression.type", "none");
    let csv = written(&[plain, ("format.output.fields", "headers")], std::slice::from_ref(&with_headers)).await;
    assert_eq!(csv[0].1, "aA==:dg==;");
    let json = written(&[plain, ("format.output.fields", "headers"), ("format.output.type", "jsonl")], &[with_headers]).await;
    assert_eq!(json[0].1, r#"{"headers":[{"key":"h","value":"v"}]}"#);
}

/// What is to be committed once what waits was written.
async fn finished(task: &mut Box<dyn SinkTask>, from: &TopicPartition) -> Option<Committed> {
    while task.finish(std::slice::from_ref(from)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        task.pre_commit().await.unwrap();
    }
    task.pre_commit().await.unwrap().remove(from)
}

#[tokio::test]
async fn records_that_csv_cannot_show_are_bad_records() {
    let folder = tempfile::tempdir().unwrap();
    let from = TopicPartition::new("t", 0);
    let mut strict = task(folder.path(), &[], false);
    strict.open(std::slice::from_ref(&from), &Commits::new()).await.unwrap();
    let error = strict.put(batch(&[(7, 0, None, "{}")], true)).await.unwrap_err();
    assert!(error.kind == ErrorKind::BadRecord && error.to_string().contains("type must be BYTES") && error.to_string().contains("offset=7"), "{error}");
    let mut tolerant = task(folder.path(), &[], true);
    tolerant.open(std::slice::from_ref(&from), &Commits::new()).await.unwrap();
    assert_eq!(tolerant.put(batch(&[(7, 0, None, "{}")], true)).await.unwrap().len(), 1);
    assert_eq!(tolerant.pre_commit().await.unwrap().get(&from), Some(&Committed::at(8)), "what was left out passes");
}

#[tokio::test]
async fn keys_that_name_no_object_are_bad_records() {
    let from = TopicPartition::new("t", 0);
    let settings = [("file.compression.type", "none"), ("file.name.template", "{{key}}")];
    for key in ["a//b", "a/", "", "a\u{1}", "..", &"x".repeat(1025)] {
        let rows = batch(&[(7, 0, Some("ok"), "v"), (8, 0, Some(key), "w")], false);
        let folder = tempfile::tempdir().unwrap();
        let mut strict = task(folder.path(), &settings, false);
        strict.open(std::slice::from_ref(&from), &Commits::new()).await.unwrap();
        let error = strict.put(rows.clone()).await.unwrap_err();
        let text = error.to_string();
        assert!(error.kind == ErrorKind::BadRecord && text.contains("cannot be written: it") && text.contains("offset=8"), "{key:?}: {text}");
        let mut tolerant = task(folder.path(), &settings, true);
        tolerant.open(std::slice::from_ref(&from), &Commits::new()).await.unwrap();
        let rejects = tolerant.put(rows).await.unwrap();
        assert!(rejects.len() == 1 && rejects[0].row == 1 && rejects[0].reason.contains("change the record's key"), "{key:?}: {rejects:?}");
        assert_eq!(finished(&mut tolerant, &from).await, Some(Committed::at(9)), "{key:?}");
        assert_eq!(objects(folder.path(), ""), [("ok".to_owned(), "dg==".to_owned())], "{key:?}");
    }
}

#[tokio::test]
async fn tombstones_are_records_like_others() {
    let nulls = |n: usize| Column::new(Arc::new(Field::new("value", DataType::Null, true)), Arc::new(NullArray::new(n)));
    let tombstones = Batch { value: nulls(1), ..batch(&[(1, 0, Some("k"), "")], false) };
    let found = written(&[("file.compression.type", "none"), ("format.output.fields", "key,value")], &[tombstones]).await;
    assert_eq!(found, [("t-0-1".to_owned(), "aw==,".to_owned())]);
}

#[tokio::test]
async fn what_waits_is_written_when_a_partition_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let from = TopicPartition::new("t", 0);
    let mut task = task(folder.path(), &[("offset.flush.interval.ms", "3600000")], false);
    task.open(std::slice::from_ref(&from), &Commits::new()).await.unwrap();
    task.put(batch(&[(1, 0, None, "v")], false)).await.unwrap();
    assert_eq!(finished(&mut task, &from).await, Some(Committed::at(2)));
    assert_eq!(objects(folder.path(), "").len(), 1);
}

#[tokio::test]
async fn a_renamed_topic_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut task = task(folder.path(), &[], true);
    task.open(&[TopicPartition::new("t", 0)], &Commits::new()).await.unwrap();
    let error = task.put(Batch { topic: "other".into(), ..batch(&[(1, 0, None, "v")], false) }).await.unwrap_err();
    assert!(error.kind == ErrorKind::BadConfig && error.to_string().contains("renames the topic to 'other'"), "{error}");
}
