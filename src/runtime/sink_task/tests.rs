//! The task's loop against a consumer that plays a script, with the real S3 sink over a folder: what is committed, sought and written when records are
//! bad, names are taken and rebalances come at the wrong moment.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use arrow::array::{BinaryArray, Int64Array, TimestampMillisecondArray};
use async_trait::async_trait;
use axum::routing::get;

use super::*;
use crate::batch::OffsetRange;
use crate::clock::Clock;
use crate::compute::Compute;
use crate::env::fakes::{Folder, NoKafka};
use crate::kafka::Acknowledge;
use crate::memory::Budget;

#[derive(Debug, Default, Clone)]
struct Seen {
    commits: Vec<Commits>,
    seeks: Vec<Offsets>,
}

impl Seen {
    /// What the coordinator holds in the end; nothing is on its way.
    fn last(&self) -> Offsets {
        let held: Commits = self.commits.iter().flatten().map(|(tp, commit)| (tp.clone(), commit.clone())).collect();
        assert!(held.values().all(|commit| commit.metadata.is_empty()), "{held:?}");
        held.into_iter().map(|(tp, commit)| (tp, commit.offset)).collect()
    }
}

/// What happens to the first seek.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seek {
    Works,
    /// A rebalance comes first, after a while in which others get into trouble.
    Interrupted,
    /// The rebalance that did is to be told of.
    RebalanceIsDue,
}

#[derive(Debug)]
struct Script {
    /// Each after so many ms.
    events: VecDeque<(u64, Polled)>,
    seen: Arc<Mutex<Seen>>,
    seek: Seek,
    /// Rung by the first commit.
    stop: Option<CancellationToken>,
}

#[async_trait]
impl Consumer for Script {
    async fn next(&mut self, wanted: Wanted) -> Polled {
        if wanted == Wanted::Rebalances {
            if self.seek == Seek::RebalanceIsDue {
                self.seek = Seek::Works;
                return Polled::Revoked { partitions: vec![tp(9)], lost: false, done: Acknowledge::pair().0 };
            }
            return std::future::pending().await;
        }
        let Some((ms, _)) = self.events.front() else { return std::future::pending().await };
        tokio::time::sleep(Duration::from_millis(*ms)).await;
        self.events.pop_front().unwrap().1
    }

    async fn commit(&self, commits: &Commits) -> Result<(), KafkaError> {
        self.seen.lock().unwrap().commits.push(commits.clone());
        self.stop.iter().for_each(CancellationToken::cancel);
        Ok(())
    }

    async fn committed(&self, partitions: &[TopicPartition]) -> Result<Commits, KafkaError> {
        let mut held = Commits::new();
        held.extend(self.seen.lock().unwrap().commits.iter().flatten().map(|(tp, commit)| (tp.clone(), commit.clone())));
        held.retain(|tp, _| partitions.contains(tp));
        Ok(held)
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<(), KafkaError> {
        if self.seek == Seek::Interrupted {
            self.seek = Seek::RebalanceIsDue;
            tokio::time::sleep(Duration::from_millis(500)).await;
            return Err(KafkaError::new(KafkaErrorKind::Interrupted, "a rebalance came first".to_owned()));
        }
        self.seen.lock().unwrap().seeks.push(offsets.clone());
        Ok(())
    }

    async fn close(&mut self) {}

    fn end_offsets(&self) -> Offsets {
        Offsets::new()
    }
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn offsets(pairs: &[(i32, i64)]) -> Offsets {
    pairs.iter().map(|(partition, offset)| (tp(*partition), *offset)).collect()
}

fn raw(partition: i32, start: i64, values: &[&[u8]]) -> RawBatch {
    let end = start + i64::try_from(values.len()).unwrap();
    RawBatch {
        from: tp(partition),
        span: OffsetRange { start, end },
        offsets: Int64Array::from_iter_values(start..end),
        timestamps: TimestampMillisecondArray::from_iter_values(start..end),
        keys: BinaryArray::new_null(values.len()),
        values: BinaryArray::from_iter_values(values),
        headers: None,
    }
}

/// Instead of a while: until the first commit.
const TO_FIRST_COMMIT: u64 = 0;

/// Runs a task over the script for a while, and stops it.
async fn play(folder: &Path, settings: &[(&str, &str)], seek: Seek, events: Vec<(u64, Polled)>, for_ms: u64) -> (Result<(), TaskError>, Seen) {
    let given = [
        ("s3.bucket.name", "b"),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("format.class", "json"),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
    ];
    let props: Props = given.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let class = crate::plugins::CONNECTORS.iter().find(|class| class.class() == "io.confluent.connect.s3.S3SinkConnector").unwrap();
    assert_eq!(class.validate(&props).errors, []);
    let stores = Arc::new(Folder { root: folder.to_owned(), buckets: false });
    let env = Env { clock: Clock::system(), kafka: Arc::new(NoKafka), compute: Compute::pool(2), memory: Budget::new(64 << 20), stores };
    let live = Arc::new(Live::default());
    let progress: Arc<tokio::sync::Notify> = Arc::default();
    let tolerates = settings.contains(&("errors.tolerance", "all"));
    let cx = TaskContext { connector: "c".into(), task: 0, env: env.clone(), health: live.health.clone(), progress: Arc::clone(&progress), tolerates };
    let core = Core { stage: convert::build(&props, &Props::new(), class.want(&props)).unwrap(), chain: Chain::from_props(&props).unwrap() };
    let mut sink = class.sink_task(&props, cx).unwrap();
    sink.start().await.unwrap();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let stop = CancellationToken::new();
    let at_commit = (for_ms == TO_FIRST_COMMIT).then(|| stop.clone());
    let (_pause, paused) = watch::channel(false);
    let task = Task {
        sink,
        consumer: Box::new(Script { events: events.into(), seen: Arc::clone(&seen), seek, stop: at_commit.clone() }),
        live,
        env,
        connector: "c".into(),
        paused,
        stop: stop.clone(),
        stop_patience: Duration::from_secs(2),
        commit_every: Duration::from_millis(20),
        progress,
        tolerates,
        logs_rejects: false,
        owned: BTreeMap::new(),
        inbox: VecDeque::new(),
        departed: BTreeSet::new(),
        committed: Commits::new(),
        asked_at: None,
        commit_at: None,
        is_waiting: false,
    };
    if at_commit.is_none() {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(for_ms)).await;
            stop.cancel();
        });
    }
    let outcome = task.run(Box::new(core)).await;
    let seen = seen.lock().unwrap().clone();
    (outcome, seen)
}

/// Objects that somebody has written before, at offset 0 of these partitions.
fn taken(partitions: std::ops::Range<i32>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for partition in partitions {
        let path = folder.path().join(format!("topics/t/partition={partition}"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(format!("t+{partition}+0000000000.json")), "other").unwrap();
    }
    folder
}

/// Names and contents of all files.
fn objects(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
        if path.is_dir() {
            found.extend(objects(&path).into_iter().map(|(rest, text)| (format!("{name}/{rest}"), text)));
        } else {
            found.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn assigned(partitions: &[i32]) -> (u64, Polled) {
    (0, Polled::Assigned(partitions.iter().map(|partition| tp(*partition)).collect()))
}

const BY_FIELD: [(&str, &str); 2] = [("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"), ("partition.field.name", "c")];
const BY_CLOCK: [(&str, &str); 2] = [("rotate.schedule.interval.ms", "3600000"), ("timezone", "UTC")];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_ends_the_task_and_what_came_before_it_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [&BY_FIELD[..], &[("flush.size", "1")]].concat();
    let batch = raw(0, 5, &[br#"{"c":1}"#, b"17", br#"{"c":2}"#]);
    let (outcome, seen) = play(folder.path(), &settings, Seek::Works, vec![assigned(&[0]), (0, Polled::Records(vec![batch]))], 2000).await;
    assert!(outcome.is_err_and(|error| error.to_string().contains("offset=6")));
    assert_eq!(seen.last(), offsets(&[(0, 6)]));
    assert_eq!(objects(folder.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_whose_names_are_taken_is_read_on_behind_them() {
    let folder = taken(0..6);
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let batches = (0..6).map(|partition| raw(partition, 0, &[b"{}", b"{}"])).collect();
    let events = vec![assigned(&[0, 1, 2, 3, 4, 5]), (0, Polled::Records(batches))];
    let (outcome, seen) = play(folder.path(), &settings, Seek::Works, events, 1500).await;
    outcome.unwrap();
    let sought: Offsets = seen.seeks.iter().flatten().map(|(tp, offset)| (tp.clone(), *offset)).collect();
    assert_eq!(sought, (0..6).map(|partition| (tp(partition), 1)).collect());
    assert_eq!(seen.last(), (0..6).map(|partition| (tp(partition), 1)).collect(), "the plans are withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_told_to_stop_does_not_fail_over_what_is_to_be_read_again() {
    let folder = taken(0..1);
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let events = vec![assigned(&[0]), (0, Polled::Records(vec![raw(0, 0, &[b"{}", b"{}"])]))];
    // The plan is committed, then the task is told to stop, then the name turns out to be taken.
    let (outcome, seen) = play(folder.path(), &settings, Seek::Works, events, TO_FIRST_COMMIT).await;
    outcome.unwrap();
    assert_eq!(seen.commits.last().map(|commits| commits[&tp(0)].offset), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_seek_is_made_up_for() {
    let folder = taken(0..2);
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let first = vec![raw(0, 0, &[b"{}", b"{}"]), raw(1, 0, &[b"{}", b"{}"])];
    let events = vec![assigned(&[0, 1, 9]), (0, Polled::Records(first))];
    let (outcome, seen) = play(folder.path(), &settings, Seek::Interrupted, events, 2500).await;
    outcome.unwrap();
    assert_eq!(seen.seeks.into_iter().flatten().collect::<Offsets>(), offsets(&[(0, 1), (1, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_wait_for_their_schema_outlive_the_trouble_of_others() {
    let schema = |id: i32| format!(r#"{{"type":"record","name":"R{id}","fields":[{{"name":"a","type":"int"}}]}}"#);
    let answer = move |axum::extract::Path(id): axum::extract::Path<i32>| async move {
        if id == 2 {
            tokio::time::sleep(Duration::from_millis(1000)).await;
        }
        axum::Json(serde_json::json!({ "schema": schema(id) }))
    };
    let router = axum::Router::new().route("/schemas/ids/{id}", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let folder = taken(0..1);
    let avro = [("flush.size", "1"), ("value.converter", "io.confluent.connect.avro.AvroConverter"), ("value.converter.schema.registry.url", &url)];
    let settings = [&BY_CLOCK[..], &avro[..]].concat();
    let events = vec![
        assigned(&[0, 1]),
        (0, Polled::Records(vec![raw(0, 0, &[&[0, 0, 0, 0, 1, 2]]), raw(1, 0, &[&[0, 0, 0, 0, 2, 4]])])),
        (100, Polled::Records(vec![raw(1, 1, &[&[0, 0, 0, 0, 2, 6]])])),
    ];
    let (outcome, seen) = play(folder.path(), &settings, Seek::Works, events, 4000).await;
    outcome.unwrap();
    assert_eq!(seen.seeks, [offsets(&[(0, 1)])]);
    assert_eq!(seen.last(), offsets(&[(0, 1), (1, 2)]));
    let of_1: Vec<_> = objects(folder.path()).into_iter().filter(|(name, _)| name.contains("partition=1")).map(|(_, text)| text).collect();
    assert_eq!(of_1, ["{\"a\":2}\n", "{\"a\":3}\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_name_no_object_can_have_is_a_bad_record() {
    for value in ["a//b", "..", "x\\u0001y", "z/"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = [&BY_FIELD[..], &[("errors.tolerance", "all"), ("flush.size", "1")]].concat();
        let bad = format!(r#"{{"c":"a/{value}"}}"#);
        let events = vec![assigned(&[0]), (0, Polled::Records(vec![raw(0, 5, &[bad.as_bytes(), br#"{"c":1}"#])]))];
        let (outcome, seen) = play(folder.path(), &settings, Seek::Works, events, 800).await;
        outcome.unwrap();
        assert_eq!(seen.last(), offsets(&[(0, 7)]), "{value}");
        assert_eq!(objects(folder.path()), [("topics/t/c=1/t+0+0000000006.json".to_owned(), "{\"c\":1}\n".to_owned())]);
    }
}
