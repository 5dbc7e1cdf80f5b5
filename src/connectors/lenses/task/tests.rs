//! The sinks as wholes: configuration and records in, objects of a folder out; and the account of what is durable, as a table.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, Int64Array, ListBuilder, NullArray, StringArray, StringBuilder, StructArray, StructBuilder,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields};
use chrono::DateTime;
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;
use lakehead_formats::wire::Want;
use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::compute::Compute;
use crate::connect::{Connector, Health, Props, TaskContext};
use crate::connectors::lenses::S3;
use crate::env::Env;
use crate::env::fakes::{Folder, NoKafka};
use crate::memory::Budget;

fn props(kcql: &str, settings: &[(&str, &str)]) -> Props {
    [("connect.s3.kcql", kcql)].iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn task(folder: &Path, props: &Props, memory: Budget, tolerates: bool) -> Box<dyn SinkTask> {
    assert_eq!(S3.validate(props).errors, [], "{props:?}");
    let env = Env {
        clock: Clock::starting_at(DateTime::from_timestamp_millis(5 * 3_600_000).unwrap()),
        kafka: Arc::new(NoKafka),
        compute: Compute::Inline,
        memory,
        stores: Arc::new(Folder { root: folder.to_owned(), buckets: true }),
    };
    let cx = TaskContext { connector: "c".into(), task: 0, env, health: Health::default(), progress: Arc::default(), tolerates };
    S3.sink_task(props, cx).unwrap()
}

fn column(name: &str, array: ArrayRef) -> Column {
    Column::new(Arc::new(Field::new(name, array.data_type().clone(), true)), array)
}

/// Records of `topic` in partition 0 of `t`: offset, ms, value.
fn batch(topic: &str, rows: &[(i64, i64)], value: Column) -> Batch {
    Batch {
        from: TopicPartition::new("t", 0),
        span: OffsetRange { start: rows[0].0, end: rows[rows.len() - 1].0 + 1 },
        topic: topic.into(),
        offsets: Int64Array::from_iter_values(rows.iter().map(|row| row.0)),
        timestamps: TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1)),
        key: column("key", Arc::new(NullArray::new(rows.len()))),
        value,
        headers: None,
    }
}

fn json(rows: &[(i64, i64, &str)]) -> Batch {
    let value = Column::new(json_text("value"), Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>()));
    batch("t", &rows.iter().map(|row| (row.0, row.1)).collect::<Vec<_>>(), value)
}

fn texts(start: i64, values: &[&str]) -> Batch {
    let rows: Vec<_> = (start..).take(values.len()).map(|offset| (offset, offset)).collect();
    batch("t", &rows, column("value", Arc::new(StringArray::from(values.to_vec()))))
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

/// Waits until everything below an offset is durable, as time passes.
async fn settled(task: &mut Box<dyn SinkTask>, end: i64) {
    for _ in 0..2000 {
        task.tick().await.unwrap();
        let commits = task.pre_commit().await.unwrap();
        task.committed(&commits);
        if commits.get(&TopicPartition::new("t", 0)) == Some(&Committed::at(end)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{end} is not durable after ten seconds: {:?}", task.report());
}

/// Puts batches, waits until they are durable, and shows what is there.
async fn written(kcql: &str, settings: &[(&str, &str)], batches: &[Batch]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut task = task(folder.path(), &props(kcql, settings), Budget::new(64 << 20), false);
    task.start().await.unwrap();
    task.open(&[TopicPartition::new("t", 0)], &Commits::new()).await.unwrap();
    for batch in batches {
        assert_eq!(task.put(batch.clone()).await.unwrap(), []);
    }
    settled(&mut task, batches.last().unwrap().span.end).await;
    let report = task.report();
    assert!(report.guarantee == "exactly-once" && report.open_rows == 0, "{report:?}");
    objects(folder.path(), "")
}

#[tokio::test]
async fn objects_as_upstream() {
    let (es, uk) = (r#"{"c":"es"}"#, r#"{"c":"uk"}"#);
    for (kcql, settings, batches, wanted) in [
        // the last offset, and the earliest and the latest time, whatever their order; two batches, one file
        (
            "INSERT INTO b:pre SELECT * FROM t PROPERTIES('flush.count'=3)",
            &[][..],
            vec![json(&[(10, 200, es), (11, 100, es)]), json(&[(12, 150, uk)])],
            vec![("b/pre/t/0/000000000012_100_200.json", format!("{es}\n{es}\n{uk}\n"))],
        ),
        // what ends one file ends all of the topic partition
        (
            "INSERT INTO b SELECT * FROM t PARTITIONBY c PROPERTIES('flush.count'=2)",
            &[],
            vec![json(&[(1, 0, es), (2, 0, uk), (3, 0, es)])],
            vec![("b/c=es/t(0_000000000003).json", format!("{es}\n{es}\n")), ("b/c=uk/t(0_000000000002).json", format!("{uk}\n"))],
        ),
        // time ends what neither count nor size does
        (
            "INSERT INTO b:p SELECT * FROM t NOPARTITION STOREAS `TEXT` PROPERTIES('flush.interval'=1,'key.suffix'='-s')",
            &[("connect.s3.disable.flush.count", "true")],
            vec![texts(7, &["a", "b"])],
            vec![("b/p/t(0_000000000008)-s.text", "a\nb\n".to_owned())],
        ),
        (
            "INSERT INTO b SELECT * FROM t STOREAS `BYTES` PROPERTIES('flush.count'=1)",
            &[],
            vec![batch("t", &[(1, 5), (2, 6)], column("value", Arc::new(BinaryArray::from(vec![Some(&b"x"[..]), None]))))],
            vec![("b/t/0/000000000001_5_5.bytes", "x".to_owned()), ("b/t/0/000000000002_6_6.bytes", String::new())],
        ),
        // null values are left out where that is asked for
        (
            "INSERT INTO b SELECT * FROM t STOREAS `TEXT` PROPERTIES('flush.count'=1)",
            &[("connect.s3.skip.null.values", "TRUE")],
            vec![batch("t", &[(1, 5), (2, 6)], column("value", Arc::new(StringArray::from(vec![Some("x"), None]))))],
            vec![("b/t/0/000000000001_5_5.text", "x\n".to_owned())],
        ),
        (
            "INSERT INTO b SELECT * FROM u NOPARTITION STOREAS `TEXT` PROPERTIES('flush.count'=1)",
            &[],
            vec![Batch { topic: "u".into(), ..texts(2, &["b"]) }],
            vec![("b/t(0_000000000002).text", "b\n".to_owned())],
        ),
        // the first statement of a topic's name takes its records, whatever transforms called it
        (
            "INSERT INTO b SELECT * FROM u STOREAS `TEXT` PROPERTIES('flush.count'=1); INSERT INTO c:p SELECT * FROM * STOREAS `TEXT` PROPERTIES('flush.count'=2)",
            &[],
            vec![
                Batch { topic: "v".into(), ..texts(1, &["a"]) },
                Batch { topic: "u".into(), ..texts(2, &["b"]) },
                Batch { topic: "v".into(), ..texts(3, &["c"]) },
            ],
            vec![("b/u/0/000000000002_2_2_t.text", "b\n".to_owned()), ("c/p/v/0/000000000003_1_3_t.text", "a\nc\n".to_owned())],
        ),
    ] {
        let found = written(kcql, settings, &batches).await;
        let wanted: Vec<_> = wanted.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        assert_eq!(found, wanted, "{kcql}");
    }
}

#[tokio::test]
async fn a_change_of_schema_ends_columnar_files() {
    let structs = |start: i64, names: &[&str]| {
        let fields: Fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let columns = names.iter().map(|_| Arc::new(StringArray::from(vec!["x"])) as ArrayRef).collect();
        batch("t", &[(start, start)], column("value", Arc::new(StructArray::new(fields, columns, None))))
    };
    let found = written(
        "INSERT INTO b SELECT * FROM t STOREAS `PARQUET` PROPERTIES('flush.count'=2,'padding.length.offset'=1)",
        &[("connect.s3.compression.codec", "ZSTD")],
        &[structs(1, &["a"]), structs(2, &["a", "b"]), structs(3, &["a", "b"])],
    )
    .await;
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b/t/0/1_1_1.parquet", "b/t/0/3_2_3.parquet"]);
    assert!(found.iter().all(|(_, text)| text.starts_with("PAR1") && text.ends_with("PAR1")));
}

#[tokio::test]
async fn records_without_what_is_asked_of_them_are_refused() {
    let header = |name: &str, value: Option<&[u8]>| {
        let fields: Fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into();
        let mut list = ListBuilder::new(StructBuilder::new(fields, vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]));
        list.values().field_builder::<StringBuilder>(0).unwrap().append_value(name);
        list.values().field_builder::<BinaryBuilder>(1).unwrap().append_option(value);
        list.values().append(true);
        list.append(true);
        Batch { headers: Some(list.finish()), ..texts(1, &["a"]) }
    };
    let null = batch("t", &[(1, 1)], column("value", Arc::new(StringArray::from(vec![None::<&str>]))));
    for (rest, batch, problem) in [
        ("PARTITIONBY _key.id", texts(1, &["a"]), Some("Key is null.")),
        ("PARTITIONBY _header.h", texts(1, &["a"]), Some("Header 'h' not found in message")),
        ("PARTITIONBY _header.h", header("g", Some(b"x")), Some("Header 'h' not found in message")),
        ("PARTITIONBY _header.h", header("h", None), Some("Header 'h' is null.")),
        ("PARTITIONBY _header.h", header("h", Some(b"x")), None),
        ("PARTITIONBY a, b", json(&[(1, 1, r#"{"a":"x/"}"#)]), Some("object name 'a=x//b=[missing]/t(0_000000000001).json' cannot be written")),
        ("STOREAS `TEXT`", null, Some("Value is null: set connect.s3.skip.null.values=true")),
        ("STOREAS `TEXT`", json(&[(1, 1, "{}")]), Some("text cannot hold schemaless JSON")),
        ("STOREAS `AVRO`; INSERT INTO c SELECT * FROM u", json(&[(1, 1, "{}")]), Some("Schema-less data is not supported")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut task = task(folder.path(), &props(&format!("INSERT INTO b SELECT * FROM t {rest}"), &[]), Budget::new(64 << 20), true);
        task.open(&[TopicPartition::new("t", 0)], &Commits::new()).await.unwrap();
        let rejects = task.put(batch).await.unwrap();
        let found = rejects.first().map(|reject| reject.reason.clone());
        assert_eq!(found.is_some(), problem.is_some(), "{rest}: {found:?}");
        assert!(problem.is_none_or(|part| found.as_ref().is_some_and(|reason| reason.contains(part))), "{rest}: {found:?}");
    }
}

#[tokio::test]
async fn a_topic_that_no_statement_names_fails_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let mut task = task(folder.path(), &props("INSERT INTO b SELECT * FROM u", &[]), Budget::new(64 << 20), false);
    task.open(&[TopicPartition::new("t", 0)], &Commits::new()).await.unwrap();
    let error = task.put(texts(1, &["a"])).await.unwrap_err();
    assert!(error.kind == ErrorKind::BadConfig && error.to_string().contains("Can't find the KCQL for source topic [t]"), "{error}");
}

#[tokio::test]
async fn files_end_early_when_memory_is_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut task = task(folder.path(), &props("INSERT INTO b SELECT * FROM t STOREAS `TEXT`", &[]), Budget::new(1 << 20), false);
    task.open(&[TopicPartition::new("t", 0)], &Commits::new()).await.unwrap();
    let long = "x".repeat(1 << 19);
    task.put(texts(1, &[&long, &long, &long])).await.unwrap();
    assert!(!task.relieve(), "no record is needed for that");
    settled(&mut task, 4).await;
    assert_eq!((task.report().early_closes, objects(folder.path(), "").len()), (1, 1));
}

#[test]
fn schemaless_json_becomes_columns_where_every_statement_has_some() {
    for (kcql, wanted) in [
        ("INSERT INTO b SELECT * FROM t STOREAS `PARQUET`", Want::Columns),
        ("INSERT INTO b SELECT * FROM t STOREAS `AVRO`; INSERT INTO b SELECT * FROM u STOREAS `PARQUET`", Want::Columns),
        ("INSERT INTO b SELECT * FROM t STOREAS `AVRO`; INSERT INTO b SELECT * FROM u", Want::Any),
        ("INSERT INTO b SELECT * FROM t", Want::Any),
        ("nonsense", Want::Any),
    ] {
        assert_eq!(S3.want(&props(kcql, &[])), wanted, "{kcql}");
    }
}

#[test]
fn a_partition_is_durable_as_far_as_all_routes_are() {
    enum Step {
        Give(usize, i64, i64),
        Settle(usize, i64),
    }
    use Step::{Give, Settle};
    let mut home = Home::default();
    for (step, news) in [
        (Give(0, 5, 10), None),
        (Settle(0, 7), Some(7)),
        (Give(1, 10, 20), Some(7)),
        (Settle(1, 20), Some(7)),
        (Settle(0, 10), Some(20)),
        // the first has nothing to do with what came between
        (Give(0, 20, 30), Some(20)),
        (Give(1, 30, 40), Some(20)),
        (Settle(1, 40), Some(20)),
        (Settle(0, 25), Some(25)),
        (Settle(0, 30), Some(40)),
    ] {
        match step {
            Give(route, start, end) => home.give(route, OffsetRange { start, end }),
            Settle(route, durable) => home.settle(route, durable),
        }
        assert_eq!(home.news(), news);
    }
}

proptest! {
    /// Whatever is reported as durable is: of every route, and never less than before; and in the end all of it is reported.
    #[test]
    fn nothing_is_reported_that_a_route_still_owes(steps in prop::collection::vec((0_usize..3, any::<bool>(), 1_i64..5), 1..40)) {
        let (mut home, mut at, mut given, mut durable, mut known) = (Home::default(), 100, Vec::new(), [0; 3], 100);
        let mut ends = [100; 3];
        for (route, settles, step) in steps {
            if settles && ends[route] > 100 {
                durable[route] = (durable[route].max(100) + step).min(ends[route]);
                home.settle(route, durable[route]);
            } else {
                home.give(route, OffsetRange { start: at, end: at + step });
                given.push((route, at, at + step));
                at += step;
                ends[route] = at;
            }
            if let Some(offset) = home.news() {
                prop_assert!(offset >= known);
                known = offset;
                for (route, start, end) in &given {
                    prop_assert!(*start >= offset || durable[*route] >= offset.min(*end), "{offset} is not durable of route {route}");
                }
            }
        }
        for (route, end) in ends.into_iter().enumerate() {
            home.settle(route, end);
        }
        let last = home.news().unwrap_or(known);
        prop_assert_eq!(last, at);
    }
}
