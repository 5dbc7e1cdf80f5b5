//! A vector's records through the real converters and the real task, on a clock that is set, into the recording store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use lakehead::batch::{Commits, Committed, TopicPartition};
use lakehead::clock::Clock;
use lakehead::compute::Compute;
use lakehead::connect::{Connector, ErrorKind, Health, Props, SinkTask, TaskContext, TaskError};
use lakehead::convert::{self, Stage};
use lakehead::env::Env;
use lakehead::kafka::{Consumer, Kafka, KafkaError, KafkaErrorKind, Subscription};
use lakehead::memory::Budget;
use lakehead::plugins::CONNECTORS;
use lakehead_formats::wire::Want;

use super::records::{Record, Wire, raw_batch};
use super::store::Recorder;

/// The connector of that class.
pub(crate) fn connector(props: &Props) -> Result<&'static dyn Connector, String> {
    let class = props.get("connector.class").map_or("", String::as_str);
    let found = CONNECTORS.iter().copied().find(|connector| connector.class() == class || connector.aliases().contains(&class));
    found.ok_or_else(|| format!("class not known: {class}"))
}

/// Runs on a thread of its own where time stands still unless it is moved.
pub(crate) fn still<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().map_err(|e| e.to_string())?;
    // Time that stands still goes on by itself when there is nothing left to do: so nothing is waited for in vain.
    runtime.block_on(async { tokio::time::timeout(FOREVER, work).await }).map_err(|_| "it waits for ever".to_owned())
}

/// Longer than anything that a vector plays.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is played.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) props: Props,
    pub(crate) open_at_ms: i64,
    pub(crate) assignment: Vec<TopicPartition>,
    pub(crate) tolerates: bool,
    /// The wall clock and the records of each `put`.
    pub(crate) steps: Vec<(i64, Vec<Record>)>,
}

/// An error that came out of the task.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) step: usize,
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// Where the error asks to read again, by partition.
    pub(crate) rewind: BTreeMap<String, i64>,
    /// The partition and the offset that it names.
    pub(crate) place: Option<(String, i64)>,
}

/// What came of it, besides what is in the store.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// News of [`SinkTask::durable`] after each step.
    pub(crate) commits: Vec<BTreeMap<String, i64>>,
    pub(crate) rejected: Vec<i64>,
    pub(crate) error: Option<Seen>,
    /// How often partitions were read again because the task asked for it.
    pub(crate) rewinds: usize,
}

/// A Kafka that nothing asks for anything.
#[derive(Debug)]
struct NoKafka;

impl Kafka for NoKafka {
    fn consumer(&self, _: &lakehead::kafka::Props, _: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
        Err(KafkaError::new(KafkaErrorKind::Fatal, "there is no Kafka"))
    }
}

/// The world at that moment.
pub(crate) fn world(at_ms: i64, stores: Arc<dyn lakehead::store::Stores>) -> Env {
    Env {
        clock: Clock::starting_at(DateTime::from_timestamp_millis(at_ms).unwrap_or_default()),
        kafka: Arc::new(NoKafka),
        compute: Compute::Inline,
        memory: Budget::new(1 << 30),
        stores,
    }
}

/// A task of the connector that the configuration names, not started.
pub(crate) fn task(props: &Props, env: Env, tolerates: bool) -> Result<Box<dyn SinkTask>, TaskError> {
    let connector = connector(props).map_err(|message| TaskError::new(ErrorKind::BadConfig, message))?;
    let problems = connector.validate(props).errors;
    if !problems.is_empty() {
        let all: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect();
        return Err(TaskError::new(ErrorKind::BadConfig, format!("refused: {}", all.join("; "))));
    }
    let progress = Arc::new(tokio::sync::Notify::new());
    let cx = TaskContext { connector: "vector".into(), task: 0, env, health: Health::default(), progress, tolerates };
    connector.sink_task(props, cx)
}

struct Player<'a> {
    script: &'a Script,
    store: &'a Recorder,
    env: Env,
    task: Box<dyn SinkTask>,
    want: Want,
    stages: BTreeMap<(Wire, Wire), Stage>,
    known: BTreeMap<TopicPartition, i64>,
    /// What the coordinator holds.
    held: Commits,
    played: Played,
}

/// Plays a script. An error ends it, except one that asks to read again when `again`: then the records are given once more, from where they were durable.
pub(crate) async fn play(script: &Script, store: &Recorder, again: bool) -> Played {
    let env = world(script.open_at_ms, Arc::new(store.clone()));
    let want = connector(&script.props).map_or(Want::Any, |connector| connector.want(&script.props));
    let task = match task(&script.props, env.clone(), script.tolerates) {
        Ok(task) => task,
        Err(error) => return Played { error: Some(seen(&error, 0)), ..Played::default() },
    };
    let mut player =
        Player { script, store, env, task, want, stages: BTreeMap::new(), known: BTreeMap::new(), held: Commits::new(), played: Played::default() };
    let mut outcome = player.open().await.map_err(|error| seen(&error, 0));
    for (number, (now_ms, records)) in script.steps.iter().enumerate() {
        if outcome.is_ok() {
            outcome = player.step(*now_ms, records).await.map_err(|error| seen(&error, number));
        }
        if again && outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::Rewind) {
            let back = outcome.err().map(|error| error.rewind).unwrap_or_default();
            outcome = player.read_again(number, &back).await.map_err(|error| seen(&error, number));
        }
    }
    // A bad record ends the task in good order: what ended before it is published, and nothing from it on counts.
    let bad = outcome.as_ref().err().filter(|error| error.kind == ErrorKind::BadRecord).and_then(|error| error.place.clone());
    if let Some((from, offset)) = bad {
        while player.task.finish(&script.assignment) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            player.commit().await.ok();
        }
        let passed = player.held.iter().find(|(tp, held)| tp.to_string() == from && held.offset > offset);
        assert!(passed.is_none(), "the bad record at {from}, offset {offset} was passed: {passed:?}");
    }
    // What is open is dropped, as at the end of any assignment.
    player.task.close(&script.assignment).await;
    player.played.error = outcome.err();
    player.played
}

fn seen(error: &TaskError, step: usize) -> Seen {
    let rewind = error.back_to.iter().filter_map(|(tp, offset)| Some((tp.to_string(), (*offset)?))).collect();
    Seen { step, kind: error.kind, message: error.to_string(), rewind, place: place(error) }
}

/// The partition and the offset that an error names.
fn place(error: &TaskError) -> Option<(String, i64)> {
    let said = |name: &str| error.context.iter().find(|(key, _)| *key == name).map(|(_, text)| text.clone());
    said("partition").zip(said("offset").and_then(|offset| offset.parse().ok()))
}

impl Player<'_> {
    async fn open(&mut self) -> Result<(), TaskError> {
        self.task.start().await?;
        self.task.open(&self.script.assignment, &Commits::new()).await
    }

    async fn step(&mut self, now_ms: i64, records: &[Record]) -> Result<(), TaskError> {
        let ahead = now_ms - self.env.clock.now().timestamp_millis();
        let ahead = u64::try_from(ahead).map_err(|_| TaskError::new(ErrorKind::Bug, format!("the vector's clock goes back to {now_ms}")))?;
        tokio::time::advance(Duration::from_millis(ahead)).await;
        self.put(records).await?;
        self.task.tick().await?;
        self.settle().await;
        self.commit().await
    }

    /// Commits what there is to commit, until nothing more is: files are planned, then published, then passed. Offsets alone are taken down, as far as they are news.
    async fn commit(&mut self) -> Result<(), TaskError> {
        let mut news = BTreeMap::new();
        loop {
            let mut wanted = self.task.pre_commit().await?;
            wanted.retain(|from, commit| self.held.get(from) != Some(commit));
            let calls = self.store.calls();
            self.settle().await;
            if wanted.is_empty() && self.store.calls() == calls {
                break;
            }
            self.task.committed(&wanted);
            for (from, Committed { offset, metadata }) in &wanted {
                if metadata.is_empty() && self.known.insert(from.clone(), *offset) != Some(*offset) {
                    news.insert(from.to_string(), *offset);
                }
            }
            self.held.extend(wanted);
            self.settle().await;
        }
        self.played.commits.push(news);
        Ok(())
    }

    async fn put(&mut self, records: &[Record]) -> Result<(), TaskError> {
        for run in runs(records) {
            let wires = run.iter().fold((None, None), |(key, value), record| (record.key.wire.or(key), record.value.wire.or(value)));
            let wires = (wires.0.unwrap_or(Wire::Json), wires.1.unwrap_or(Wire::Json));
            let Some(mut raw) = raw_batch(&run) else { continue };
            let renamed = self.renames(&mut raw.from);
            let (batches, rejects) = self.stage(wires)?.decode(&raw)?;
            for reject in rejects {
                self.reject(raw.offsets.value(reject.row), reject.reason)?;
            }
            for mut batch in batches {
                if let Some(topic) = &renamed {
                    batch.topic = Arc::clone(topic);
                }
                let offsets = batch.offsets.clone();
                for reject in self.task.put(batch).await? {
                    self.reject(offsets.value(reject.row), reject.reason)?;
                }
                self.settle().await;
            }
        }
        Ok(())
    }

    /// A record of a topic that is not assigned came under another name: a transform renamed it.
    fn renames(&self, from: &mut TopicPartition) -> Option<Arc<str>> {
        let assigned = &self.script.assignment;
        let source = assigned.iter().find(|tp| tp.partition == from.partition).filter(|_| !assigned.contains(from))?;
        Some(std::mem::replace(&mut from.topic, Arc::clone(&source.topic)))
    }

    fn stage(&mut self, wires: (Wire, Wire)) -> Result<&mut Stage, TaskError> {
        if !self.stages.contains_key(&wires) {
            let mut props = self.script.props.clone();
            props.insert("key.converter".to_owned(), wires.0.class().to_owned());
            props.insert("value.converter".to_owned(), wires.1.class().to_owned());
            let built = convert::build(&props, &Props::new(), self.want).map_err(|errors| TaskError::new(ErrorKind::BadConfig, format!("{errors:?}")))?;
            self.stages.insert(wires, built);
        }
        self.stages.get_mut(&wires).ok_or_else(|| TaskError::new(ErrorKind::Bug, "no converter"))
    }

    fn reject(&mut self, offset: i64, reason: String) -> Result<(), TaskError> {
        if self.script.tolerates {
            self.played.rejected.push(offset);
            return Ok(());
        }
        Err(TaskError::new(ErrorKind::BadRecord, reason).with("offset", offset))
    }

    /// Lets the work beside the task go on until nothing more happens: time stands still, so what is left then waits for it.
    async fn settle(&self) {
        let (mut calls, mut quiet) = (self.store.calls(), 0);
        while quiet < 100 {
            tokio::task::yield_now().await;
            let now = self.store.calls();
            quiet = if now == calls { quiet + 1 } else { 0 };
            calls = now;
        }
    }

    /// As the runtime does: drops what is open and reads again from what was committed.
    /// Gives the records again from where the error says, or from where they were durable.
    async fn read_again(&mut self, step: usize, back: &BTreeMap<String, i64>) -> Result<(), TaskError> {
        self.played.rewinds += 1;
        self.task.close(&self.script.assignment).await;
        let mut held = self.held.clone();
        let sought = self.script.assignment.iter().filter_map(|tp| Some((tp.clone(), Committed::at(*back.get(&tp.to_string())?))));
        held.extend(sought);
        self.task.open(&self.script.assignment, &held).await?;
        let so_far = self.script.steps.iter().take(step + 1).flat_map(|(_, records)| records);
        let from = |tp: &TopicPartition| back.get(&tp.to_string()).or_else(|| self.known.get(tp)).copied();
        let open: Vec<Record> = so_far.filter(|record| from(&record.from).is_none_or(|start| record.offset >= start)).cloned().collect();
        self.put(&open).await?;
        self.task.tick().await?;
        self.settle().await;
        self.commit().await
    }
}

/// Consecutive records of one topic partition that one pair of converters takes.
fn runs(records: &[Record]) -> Vec<Vec<&Record>> {
    let mut runs: Vec<Vec<&Record>> = Vec::new();
    let mut wires = (None, None);
    for record in records {
        let fits = |known: Option<Wire>, next: Option<Wire>| known.is_none() || next.is_none() || known == next;
        match runs.last_mut() {
            Some(run) if run[0].from == record.from && fits(wires.0, record.key.wire) && fits(wires.1, record.value.wire) => run.push(record),
            _ => {
                wires = (None, None);
                runs.push(vec![record]);
            }
        }
        wires = (record.key.wire.or(wires.0), record.value.wire.or(wires.1));
    }
    runs
}
