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
use crate::kafka::{Acknowledge, Jump, Logs};
use crate::memory::Budget;
use crate::runtime::status::{Cause, Figures, Lost};

#[derive(Debug, Default, Clone)]
struct Seen {
    commits: Vec<Commits>,
    seeks: Vec<Offsets>,
    /// The task waits for more records.
    waits_for_more: bool,
    /// … and everything in the script has happened.
    is_idle: bool,
}

impl Seen {
    /// What the coordinator holds.
    fn held(&self) -> Commits {
        self.commits.iter().flatten().map(|(tp, commit)| (tp.clone(), commit.clone())).collect()
    }

    /// What the coordinator holds in the end; nothing is on its way.
    fn last(&self) -> Offsets {
        let held = self.held();
        assert!(held.values().all(|commit| commit.metadata.is_empty()), "{held:?}");
        held.into_iter().map(|(tp, commit)| (tp, commit.offset)).collect()
    }
}

/// What happens to the first seek.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Seek {
    #[default]
    Works,
    /// A rebalance comes first.
    Interrupted,
    /// The rebalance that did waits to be told of: until then no seek can be done.
    RebalanceIsDue,
    /// A broker does not answer.
    Unanswered,
}

/// When something happens: as soon as this is true of what was seen.
type When = fn(&mut Seen) -> bool;

const NOW: When = |_| true;
const ONCE_SOUGHT: When = |seen| !seen.seeks.is_empty();

type Event = (When, Polled);

#[derive(Default)]
struct Script {
    events: VecDeque<Event>,
    seen: Arc<Mutex<Seen>>,
    seek: Seek,
    /// What the coordinator answers to the first commits.
    refusals: Mutex<VecDeque<KafkaErrorKind>>,
    /// How often the coordinator does not say what is committed.
    silences: Mutex<usize>,
    /// When the task is told to stop.
    until: Option<Box<dyn Fn(&Seen) -> bool + Send + Sync>>,
    stop: CancellationToken,
    /// What the logs hold.
    logs: Logs,
    /// What they hold when they are asked again.
    later: Option<Logs>,
    /// Where bad records go.
    letters: Mutex<DeadLetters>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl Script {
    fn note(&self, what: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().unwrap();
        what(&mut seen);
        if self.until.as_ref().is_some_and(|until| until(&seen)) {
            self.stop.cancel();
        }
    }

    fn error(kind: KafkaErrorKind) -> KafkaError {
        KafkaError::new(kind, format!("{kind:?}"))
    }
}

#[async_trait]
impl Consumer for Script {
    async fn next(&mut self, wanted: Wanted) -> Polled {
        if self.seek == Seek::RebalanceIsDue {
            self.seek = Seek::Works;
            return Polled::Revoked { partitions: vec![tp(9)], lost: false, done: Acknowledge::pair().0 };
        }
        self.note(|seen| {
            seen.waits_for_more = wanted == Wanted::Everything;
            seen.is_idle = self.events.is_empty() && seen.waits_for_more;
        });
        let is_wanted = |event: &Polled| wanted == Wanted::Everything || !matches!(event, Polled::Records(_));
        loop {
            if let Some((_, event)) = self.events.pop_front_if(|(when, event)| is_wanted(event) && when(&mut self.seen.lock().unwrap())) {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn commit(&self, commits: &Commits) -> Result<(), KafkaError> {
        if let Some(refusal) = self.refusals.lock().unwrap().pop_front() {
            return Err(Self::error(refusal));
        }
        self.note(|seen| seen.commits.push(commits.clone()));
        Ok(())
    }

    async fn committed(&self, partitions: &[TopicPartition]) -> Result<Commits, KafkaError> {
        let mut left = self.silences.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(Self::error(KafkaErrorKind::Transient));
        }
        let mut held = self.seen.lock().unwrap().held();
        held.retain(|tp, _| partitions.contains(tp));
        Ok(held)
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<(), KafkaError> {
        match self.seek {
            Seek::Works => {
                self.note(|seen| seen.seeks.push(offsets.clone()));
                Ok(())
            }
            Seek::Interrupted | Seek::RebalanceIsDue => {
                self.seek = Seek::RebalanceIsDue;
                Err(Self::error(KafkaErrorKind::Interrupted))
            }
            Seek::Unanswered => {
                self.seek = Seek::Works;
                Err(Self::error(KafkaErrorKind::Transient))
            }
        }
    }

    async fn logs(&mut self, partitions: &[TopicPartition]) -> Result<Logs, KafkaError> {
        let mut held = self.logs.clone();
        held.retain(|tp, _| partitions.contains(tp));
        self.logs = self.later.take().unwrap_or_else(|| self.logs.clone());
        Ok(held)
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

/// The task is to stop when everything in the script has happened, and the coordinator holds this and no texts.
fn once_held(pairs: &[(i32, i64)]) -> impl Fn(&Seen) -> bool + Send + Sync + use<> {
    let wanted: Commits = pairs.iter().map(|(partition, offset)| (tp(*partition), Committed::at(*offset))).collect();
    move |seen| seen.is_idle && seen.held() == wanted
}

/// The task is to stop when everything in the script has happened.
fn once_idle(seen: &Seen) -> bool {
    seen.is_idle
}

/// Runs a task over the script until that is so, or the task fails.
async fn play(
    folder: &Path,
    settings: &[(&str, &str)],
    events: Vec<Event>,
    until: impl Fn(&Seen) -> bool + Send + Sync + 'static,
) -> (Result<(), TaskError>, Seen) {
    let (outcome, seen, _) = play_on(folder, settings, Script { events: events.into(), ..Script::default() }, until).await;
    (outcome, seen)
}

/// The same, with the task's figures in the end.
async fn play_on(
    folder: &Path,
    settings: &[(&str, &str)],
    mut script: Script,
    until: impl Fn(&Seen) -> bool + Send + Sync + 'static,
) -> (Result<(), TaskError>, Seen, Figures) {
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
    let (stage, chain) = stages(*class, &props, &Props::new()).unwrap();
    let core = Core { stage, chain, classes: Classes::of(&props, &Props::new()) };
    let mut sink = class.sink_task(&props, cx).unwrap();
    sink.start().await.unwrap();
    let overrides = settings.iter().filter_map(|(key, value)| Some((key.strip_prefix("consumer.override.")?.to_owned(), (*value).to_owned())));
    let consumer_props: Props = overrides.collect();
    let (seen, shown, letters) = (Arc::clone(&script.seen), Arc::clone(&live), std::mem::take(script.letters.get_mut().unwrap()));
    let stop = CancellationToken::new();
    let (_pause, paused) = watch::channel(false);
    let task = Task {
        incarnations: Incarnations::default(),
        sink,
        consumer: Box::new(Script { stop: stop.clone(), until: Some(Box::new(until)), ..script }),
        live,
        env,
        connector: "c".into(),
        paused,
        stop,
        stop_patience: Duration::from_secs(2),
        commit_every: Duration::from_millis(20),
        progress,
        name: TaskName { connector: "c".into(), task: 0 },
        policy: Policy::from_props(&props),
        letters,
        breaker: Breaker::new(Rule::from_props(&props)),
        owned: BTreeMap::new(),
        inbox: VecDeque::new(),
        departed: BTreeSet::new(),
        committed: Commits::new(),
        asked_at: None,
        commit_at: None,
        is_waiting: false,
        watch: lost::Watch::new(&props, &consumer_props),
        dues: BTreeMap::new(),
        ask_at: None,
        rests_at: None,
    };
    let outcome = tokio::time::timeout(Duration::from_secs(60), task.run(Box::new(core))).await.expect("the task ends");
    let outcome = outcome.map(|ended| assert_eq!(ended, Ended::Stopped));
    let seen = seen.lock().unwrap().clone();
    (outcome, seen, shown.figures())
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

fn assigned(partitions: &[i32]) -> Event {
    (NOW, Polled::Assigned(partitions.iter().map(|partition| tp(*partition)).collect()))
}

const BY_FIELD: [(&str, &str); 2] = [("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"), ("partition.field.name", "c")];
const BY_CLOCK: [(&str, &str); 2] = [("rotate.schedule.interval.ms", "3600000"), ("timezone", "UTC")];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_ends_the_task_and_what_came_before_it_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [&BY_FIELD[..], &[("flush.size", "1")]].concat();
    let batch = raw(0, 5, &[br#"{"c":1}"#, b"17", br#"{"c":2}"#]);
    let (outcome, seen) = play(folder.path(), &settings, vec![assigned(&[0]), (NOW, Polled::Records(vec![batch]))], |_| false).await;
    assert!(outcome.is_err_and(|error| error.to_string().contains("offset=6")));
    assert_eq!(seen.last(), offsets(&[(0, 6)]));
    assert_eq!(objects(folder.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_whose_names_are_taken_is_read_on_behind_them() {
    let folder = taken(0..6);
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let batches = (0..6).map(|partition| raw(partition, 0, &[b"{}", b"{}"])).collect();
    let events = vec![assigned(&[0, 1, 2, 3, 4, 5]), (NOW, Polled::Records(batches))];
    let (outcome, seen) = play(folder.path(), &settings, events, once_held(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)])).await;
    outcome.unwrap();
    let sought: Offsets = seen.seeks.iter().flatten().map(|(tp, offset)| (tp.clone(), *offset)).collect();
    assert_eq!(sought, (0..6).map(|partition| (tp(partition), 1)).collect());
    assert_eq!(seen.last(), (0..6).map(|partition| (tp(partition), 1)).collect(), "the plans are withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_told_to_stop_does_not_fail_over_what_is_to_be_read_again() {
    let folder = taken(0..1);
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 0, &[b"{}", b"{}"])]))];
    // The plan is committed, then the task is told to stop, then the name turns out to be taken.
    let (outcome, seen) = play(folder.path(), &settings, events, |seen| !seen.commits.is_empty()).await;
    outcome.unwrap();
    assert_eq!(seen.commits.last().map(|commits| commits[&tp(0)].offset), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_seek_is_made_up_for() {
    let folder = taken(0..2);
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let first = vec![raw(0, 0, &[b"{}", b"{}"]), raw(1, 0, &[b"{}", b"{}"])];
    let events = vec![assigned(&[0, 1, 9]), (NOW, Polled::Records(first))];
    let script = Script { events: events.into(), seek: Seek::Interrupted, ..Script::default() };
    let (outcome, seen, _) = play_on(folder.path(), &settings, script, once_held(&[(0, 1), (1, 1)])).await;
    outcome.unwrap();
    assert_eq!(seen.seeks.into_iter().flatten().collect::<Offsets>(), offsets(&[(0, 1), (1, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_wait_for_their_schema_outlive_the_trouble_of_others() {
    let schema = |id: i32| format!(r#"{{"type":"record","name":"R{id}","fields":[{{"name":"a","type":"int"}}]}}"#);
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let is_sought = {
        let seen = Arc::clone(&seen);
        move || !seen.lock().unwrap().seeks.is_empty()
    };
    let answer = move |axum::extract::Path(id): axum::extract::Path<i32>| async move {
        while id == 2 && !is_sought() {
            tokio::time::sleep(Duration::from_millis(5)).await;
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
        (NOW, Polled::Records(vec![raw(0, 0, &[&[0, 0, 0, 0, 1, 2]]), raw(1, 0, &[&[0, 0, 0, 0, 2, 4]])])),
        (NOW, Polled::Records(vec![raw(1, 1, &[&[0, 0, 0, 0, 2, 6]])])),
    ];
    let script = Script { events: events.into(), seen, ..Script::default() };
    let (outcome, seen, _) = play_on(folder.path(), &settings, script, once_held(&[(0, 1), (1, 2)])).await;
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
        let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 5, &[bad.as_bytes(), br#"{"c":1}"#])]))];
        let (outcome, seen) = play(folder.path(), &settings, events, once_held(&[(0, 7)])).await;
        outcome.unwrap();
        assert_eq!(seen.last(), offsets(&[(0, 7)]), "{value}");
        assert_eq!(objects(folder.path()), [("topics/t/c=1/t+0+0000000006.json".to_owned(), "{\"c\":1}\n".to_owned())]);
    }
}

/// A script for partition 0, with this committed, and a log that holds that.
fn stale(committed: Committed, log: (i64, i64), events: Vec<Event>) -> Script {
    let seen = Seen { commits: vec![Commits::from([(tp(0), committed)])], ..Seen::default() };
    let logs = Logs::from([(tp(0), OffsetRange { start: log.0, end: log.1 })]);
    Script { events: events.into(), seen: Arc::new(Mutex::new(seen)), logs, ..Script::default() }
}

fn lost(start: i64, end: i64, cause: Cause) -> Lost {
    Lost { partition: tp(0), range: OffsetRange { start, end }, cause }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_deleted_unread_are_named_and_reading_goes_on_behind_them_or_ends() {
    for (begins_late, halts) in [(false, false), (false, true), (true, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("flush.size", "1"), ("lakehead.lost.records", if halts { "halt" } else { "continue" })];
        // Seen when the partition is assigned, or, where the leader did not answer then, with the first record.
        let mut events = vec![assigned(&[0])];
        events.extend(begins_late.then(|| (NOW, Polled::Records(vec![raw(0, 20, &[b"{}"])]))));
        events.push((ONCE_SOUGHT, Polled::Records(vec![raw(0, 20, &[b"{}"])])));
        let mut script = stale(Committed::at(5), (20, 21), events);
        let held = script.logs.clone();
        if begins_late {
            script.logs = Logs::from([(tp(0), OffsetRange { start: 5, end: 21 })]);
            script.later = Some(held);
        }
        let (outcome, seen, figures) = play_on(folder.path(), &settings, script, once_held(&[(0, 21)])).await;
        assert_eq!((figures.lost_records, Vec::from(figures.lost)), (15, vec![lost(5, 20, Cause::Deleted)]));
        if halts {
            let error = outcome.unwrap_err();
            assert_eq!((error.kind, &seen.seeks[..], seen.last()), (ErrorKind::LostRecords, &[][..], offsets(&[(0, 5)])));
            assert!(error.to_string().contains("t-0 5..20 (at most 15 records)") && error.to_string().contains("lakehead.lost.records=continue"), "{error}");
        } else {
            outcome.unwrap();
            assert_eq!((&seen.seeks[..], seen.last()), (&[offsets(&[(0, 20)])][..], offsets(&[(0, 21)])));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_loss_is_written_before_the_task_ends() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("flush.size", "100"), ("lakehead.lost.records", "halt")];
    let jump = Jump { partition: tp(0), wanted: 7, log: OffsetRange { start: 20, end: 30 }, found: None };
    let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 5, &[b"{}", b"{}"])])), (NOW, Polled::Jumped(vec![jump]))];
    let (outcome, seen, figures) = play_on(folder.path(), &settings, stale(Committed::at(5), (0, 30), events), |_| false).await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::LostRecords);
    assert_eq!((seen.last(), figures.lost_records), (offsets(&[(0, 7)]), 13));
    assert_eq!(objects(folder.path()), [("topics/t/partition=0/t+0+0000000005.json".to_owned(), "{}\n{}\n".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_before_the_committed_offset_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let events = vec![assigned(&[0]), (ONCE_SOUGHT, Polled::Records(vec![raw(0, 0, &[b"{}"])]))];
    let (outcome, seen, figures) = play_on(folder.path(), &[("flush.size", "1")], stale(Committed::at(500), (0, 20), events), once_held(&[(0, 1)])).await;
    outcome.unwrap();
    assert_eq!(Vec::from(figures.lost), [lost(20, 500, Cause::Truncated)]);
    assert_eq!(seen.commits[1], Commits::from([(tp(0), Committed::at(0))]), "no owner could go on from 500");
    assert_eq!((seen.seeks.clone(), seen.last()), (vec![offsets(&[(0, 0)])], offsets(&[(0, 1)])));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_behind_an_open_transaction_is_not_taken_for_lost() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("flush.size", "1"), ("consumer.override.isolation.level", "read_committed")];
    // Committed while everything was read; then the connector is to read what is committed alone, and a transaction is open from 490 on.
    let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 500, &[b"{}"])]))];
    let (outcome, seen, figures) = play_on(folder.path(), &settings, stale(Committed::at(500), (0, 490), events), once_held(&[(0, 501)])).await;
    outcome.unwrap();
    assert_eq!((figures.lost.len(), seen.seeks.len(), seen.last()), (0, 0, offsets(&[(0, 501)])));
}

/// The topic was made again while the task held records of the former one: those are nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_of_a_former_log_is_written_before_the_new_one_is_read() {
    for halts in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("flush.size", "100"), ("lakehead.lost.records", if halts { "halt" } else { "continue" })];
        let jump = Jump { partition: tp(0), wanted: 7, log: OffsetRange { start: 0, end: 1 }, found: Some(0) };
        // No time between them: the records are not taken yet when the loss is told.
        let events = vec![
            assigned(&[0]),
            (NOW, Polled::Records(vec![raw(0, 5, &[b"{}", b"{}"])])),
            (NOW, Polled::Jumped(vec![jump])),
            (ONCE_SOUGHT, Polled::Records(vec![raw(0, 0, &[b"{}"])])),
        ];
        let (outcome, seen, figures) = play_on(folder.path(), &settings, stale(Committed::at(5), (0, 7), events), once_held(&[(0, 0)])).await;
        assert_eq!((outcome.is_err(), Vec::from(figures.lost)), (halts, vec![lost(1, 7, Cause::Truncated)]));
        assert_eq!(objects(folder.path()), [("topics/t/partition=0/t+0+0000000005.json".to_owned(), "{}\n{}\n".to_owned())]);
        let sought = if halts { vec![] } else { vec![offsets(&[(0, 0)])] };
        assert_eq!((seen.seeks.clone(), seen.last()), (sought, offsets(&[(0, if halts { 7 } else { 0 })])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_log_is_read_again_from_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let jump = Jump { partition: tp(0), wanted: 7, log: OffsetRange { start: 0, end: 9 }, found: Some(6) };
    let events = vec![
        assigned(&[0]),
        (NOW, Polled::Records(vec![raw(0, 5, &[b"{\"a\":1}", b"{\"a\":2}"])])),
        (NOW, Polled::Jumped(vec![jump])),
        (ONCE_SOUGHT, Polled::Records(vec![raw(0, 5, &[b"{\"a\":1}", b"{\"b\":2}", b"{\"b\":3}"])])),
    ];
    let settings = [("flush.size", "3")];
    let (outcome, seen, figures) = play_on(folder.path(), &settings, stale(Committed::at(5), (0, 9), events), once_held(&[(0, 8)])).await;
    outcome.unwrap();
    assert_eq!((seen.seeks.clone(), Vec::from(figures.lost)), (vec![offsets(&[(0, 5)])], vec![lost(6, 7, Cause::Truncated)]));
    let written: String = objects(folder.path()).into_iter().map(|(_, text)| text).collect();
    assert_eq!(written, "{\"a\":1}\n{\"b\":2}\n{\"b\":3}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_offset_that_went_back_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (done, given_up) = Acknowledge::pair();
    let as_a_broker_does_that_deletes_the_topic: When = |seen| {
        seen.commits.clear();
        true
    };
    let events = vec![
        assigned(&[0]),
        (|seen| seen.waits_for_more, Polled::Revoked { partitions: vec![tp(0)], lost: false, done }),
        (as_a_broker_does_that_deletes_the_topic, assigned(&[0]).1),
    ];
    let script = stale(Committed::at(500), (0, 600), events);
    let (outcome, _, figures) = play_on(folder.path(), &[("flush.size", "1")], script, once_idle).await;
    given_up.recv().unwrap();
    outcome.unwrap();
    assert_eq!(Vec::from(figures.lost), [lost(0, 500, Cause::WentBack)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_before_reading_goes_on_is_taken_first_whatever_else_waits() {
    let folder = tempfile::tempdir().unwrap();
    let first = vec![raw(0, 20, &[b"{}"]), raw(1, 0, &[b"{}"])];
    let events = vec![assigned(&[0, 1, 9]), (NOW, Polled::Records(first)), (ONCE_SOUGHT, Polled::Records(vec![raw(0, 20, &[b"{}"])]))];
    let mut script = stale(Committed::at(5), (5, 21), events);
    script.seek = Seek::Interrupted;
    script.later = Some(Logs::from([(tp(0), OffsetRange { start: 20, end: 21 })]));
    let (outcome, seen, figures) = play_on(folder.path(), &[("flush.size", "1")], script, once_held(&[(0, 21), (1, 1)])).await;
    outcome.unwrap();
    assert_eq!((seen.seeks, figures.lost_records), (vec![offsets(&[(0, 20)])], 15));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_is_asked_again() {
    for refused in [KafkaErrorKind::Fenced, KafkaErrorKind::Transient] {
        let folder = tempfile::tempdir().unwrap();
        let events = vec![assigned(&[0]), (ONCE_SOUGHT, Polled::Records(vec![raw(0, 0, &[b"{}"])]))];
        let script = stale(Committed::at(500), (0, 20), events);
        // The commit at the log's start, the coordinator's answer to what is committed, and the seek.
        let script = Script { refusals: Mutex::new([refused].into()), silences: Mutex::new(1), seek: Seek::Unanswered, ..script };
        let (outcome, seen, _) = play_on(folder.path(), &[("flush.size", "1")], script, once_held(&[(0, 1)])).await;
        outcome.unwrap();
        assert_eq!((seen.commits[1].clone(), seen.seeks), (Commits::from([(tp(0), Committed::at(0))]), vec![offsets(&[(0, 0)])]), "{refused:?}");
        assert_eq!(objects(folder.path()).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_go_away_are_not_waited_for() {
    // The coordinator never says what is committed; the leader never says what the log of a deleted topic holds.
    for (silences, begin) in [(usize::MAX, 0), (0, 20)] {
        let folder = tempfile::tempdir().unwrap();
        let (done, given_up) = Acknowledge::pair();
        let mut events = vec![assigned(&[0])];
        events.extend((silences == 0).then(|| (NOW, Polled::Records(vec![raw(0, begin, &[b"{}"])]))));
        events.push((NOW, Polled::Revoked { partitions: vec![tp(0)], lost: false, done }));
        let script = Script { silences: Mutex::new(silences), logs: Logs::new(), ..stale(Committed::at(5), (0, 0), events) };
        let (outcome, seen, figures) = play_on(folder.path(), &[("flush.size", "1")], script, once_idle).await;
        outcome.unwrap();
        given_up.recv().unwrap();
        assert_eq!((seen.last(), figures.lost_records), (offsets(&[(0, 5)]), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_passed_also_where_no_record_comes_and_named_once() {
    let folder = tempfile::tempdir().unwrap();
    for (committed, named) in [(5, 15), (20, 0)] {
        let script = stale(Committed::at(committed), (20, 20), vec![assigned(&[0])]);
        let (outcome, seen, figures) = play_on(folder.path(), &[("flush.size", "1")], script, once_held(&[(0, 20)])).await;
        outcome.unwrap();
        assert_eq!((seen.last(), figures.lost_records), (offsets(&[(0, 20)]), named));
    }
}

/// What the coordinator held while files were planned and not committed.
fn planned(seen: &Seen) -> Committed {
    seen.commits.iter().flatten().map(|(_, commit)| commit).find(|commit| !commit.metadata.is_empty()).unwrap().clone()
}

/// Files of two paths ended together, and began at different offsets, which the plan does not tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_file_is_known_again_though_its_path_has_lost_its_first_record() {
    let settings = [&BY_FIELD[..], &BY_CLOCK[..], &[("flush.size", "4")]].concat();
    let rows: Vec<String> = ["x", "y", "x", "y"].iter().zip(0..).map(|(c, a)| format!(r#"{{"c":"{c}","a":{a}}}"#)).collect();
    let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
    let folder = tempfile::tempdir().unwrap();
    let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 0, &rows)]))];
    let (outcome, seen) = play(folder.path(), &settings, events, once_held(&[(0, 4)])).await;
    outcome.unwrap();
    let written = objects(folder.path());
    assert_eq!(written.iter().map(|(_, text)| text.lines().count()).sum::<usize>(), 4);

    for first in [1, 2, 3] {
        let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, i64::from(first), &rows[first as usize..])]))];
        let (outcome, _, figures) = play_on(folder.path(), &settings, stale(planned(&seen), (i64::from(first), 4), events), once_held(&[(0, 4)])).await;
        outcome.unwrap();
        assert_eq!(figures.lost_records, u64::from(first as u32));
        assert_eq!(objects(folder.path()), written, "records from {first} on are left");
    }
}

/// As a transaction's marker is: the files of the plan begin behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_file_is_known_again_though_an_offset_before_it_has_no_record() {
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let folder = tempfile::tempdir().unwrap();
    let mut first = raw(0, 11, &[b"{\"a\":1}", b"{\"a\":2}"]);
    first.span.start = 10;
    let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![first]))];
    let (outcome, seen, _) = play_on(folder.path(), &settings, stale(Committed::at(10), (0, 13), events), once_held(&[(0, 13)])).await;
    outcome.unwrap();
    let written = objects(folder.path());
    assert_eq!(written, [("topics/t/partition=0/t+0+0000000011.json".to_owned(), "{\"a\":1}\n{\"a\":2}\n".to_owned())]);

    let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 12, &[b"{\"a\":2}"])]))];
    let (outcome, _, _) = play_on(folder.path(), &settings, stale(planned(&seen), (12, 13), events), once_held(&[(0, 13)])).await;
    outcome.unwrap();
    assert_eq!(objects(folder.path()), written);
}

/// A file was planned, perhaps made visible, and its first record was deleted before the next owner came.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_file_of_which_records_are_gone_replaces_and_doubles_nothing() {
    let settings = [&BY_CLOCK[..], &[("flush.size", "2")]].concat();
    let first = "topics/t/partition=0/t+0+0000000000.json".to_owned();
    for was_published in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 0, &[b"{\"a\":0}", b"{\"a\":1}"])]))];
        let (outcome, seen) = play(folder.path(), &settings, events, once_held(&[(0, 2)])).await;
        outcome.unwrap();
        let planned = planned(&seen);
        assert_eq!((planned.offset, objects(folder.path())), (0, vec![(first.clone(), "{\"a\":0}\n{\"a\":1}\n".to_owned())]));
        if !was_published {
            fs::remove_file(folder.path().join(&first)).unwrap();
        }
        let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 1, &[b"{\"a\":1}"])]))];
        let (outcome, seen, figures) = play_on(folder.path(), &settings, stale(planned, (1, 2), events), once_held(&[(0, 2)])).await;
        outcome.unwrap();
        assert_eq!((seen.last(), figures.lost_records), (offsets(&[(0, 2)]), 1));
        let left = if was_published {
            (first.clone(), "{\"a\":0}\n{\"a\":1}\n".to_owned())
        } else {
            ("topics/t/partition=0/t+0+0000000001.json".to_owned(), "{\"a\":1}\n".to_owned())
        };
        assert_eq!(objects(folder.path()), [left]);
    }
}

mod letters;
mod patience;
