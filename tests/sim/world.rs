//! One run: workers over the simulated cluster and store, the faults at their times, and the verdict.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use fastrand::Rng;
use futures::FutureExt as _;
use lakehead::batch::TopicPartition;
use lakehead::clock::Clock;
use lakehead::compute::Compute;
use lakehead::connect::{Connector, Props, TaskError};
use lakehead::env::Env;
use lakehead::memory::{Budget, Permit};
use lakehead::runtime::sink_task::{self, TaskControl, TaskSpec};
use lakehead::runtime::status::Live;
use lakehead::runtime::worker::Ended;
use lakehead::settings::{Host, Settings};
use lakehead::spill::Spill;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::broker::Broker;
use super::member::Cluster;
use super::oracle::{Balance, Oracle, identity};
use super::process::Process;
use super::scenario::{Content, Fault, Planned, Plant, Scenario};
use super::store::Store;
use super::trace::{Rarity, Trace};

/// After the last fault, some record becomes visible at least this often, until all are where they belong.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a worker that is told to stop may take: its own patience, and what a coordinator that does not answer costs.
const STOPPING: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) fingerprint: u64,
    pub(crate) rarities: BTreeSet<Rarity>,
    /// Virtual time that went by.
    pub(crate) lasted: Duration,
    pub(crate) trace: String,
}

/// Plays a scenario, on a thread of its own where time goes on by itself when there is nothing to do.
pub(crate) fn play(scenario: &Scenario) -> Outcome {
    let built = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = built.expect("a runtime without I/O needs nothing of the machine");
    runtime.block_on(async {
        let (began, trace) = (Instant::now(), Trace::start());
        let _logged = tracing::subscriber::set_default(trace.subscriber());
        let oracle = Oracle::default();
        let world = World::new(scenario, &oracle, &trace);
        // Nothing that comes after a crime is worth looking at.
        let played = AssertUnwindSafe(async {
            tokio::select! {
                biased;
                () = oracle.guilty() => {}
                () = world.play() => {}
            }
        });
        let played = played.catch_unwind().await;
        if let Err(panic) = played {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            oracle.accuse(format_args!("panic: {}", text.unwrap_or("?")));
        }
        let lasted = began.elapsed();
        Outcome { violations: oracle.violations(), rarities: trace.rarities(), lasted, fingerprint: trace.fingerprint(), trace: trace.tail() }
    })
}

struct World<'a> {
    scenario: &'a Scenario,
    oracle: Oracle,
    trace: Trace,
    broker: Broker,
    store: Store,
    disk: TempDir,
    class: &'static dyn Connector,
    settings: Arc<Settings>,
    workers: Vec<Option<Worker>>,
    /// Processes that were started so far.
    started: usize,
    began: Instant,
    /// What is due later because of faults that came before.
    due: Vec<(Instant, Due)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Start(usize),
    /// The process that has this number.
    Wake(usize),
}

/// A process with its tasks.
struct Worker {
    number: usize,
    process: Process,
    memory: Budget,
    stop: CancellationToken,
    tasks: Vec<(Arc<Live>, AbortOnDropHandle<Result<Ended, TaskError>>)>,
    _hoard: Option<Permit>,
    _pause: watch::Sender<bool>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, oracle: &Oracle, trace: &Trace) -> Self {
        let mut rng = Rng::with_seed(!scenario.seed);
        let class = scenario.connector.get("connector.class").map_or("", String::as_str);
        let class = lakehead::plugins::CONNECTORS.iter().copied().find(|known| known.class() == class).expect("a connector that is there");
        assert_eq!(class.validate(&scenario.connector).errors, [], "{:?}", scenario.connector);
        let worker = [
            ("bootstrap.servers", "nowhere:9092"),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("offset.storage.file.filename", "none"),
        ];
        let worker: Props = worker.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let settings = Settings::from_props(&worker, &Host::default()).expect("a valid worker");
        Self {
            scenario,
            oracle: oracle.clone(),
            trace: trace.clone(),
            broker: Broker::new(&scenario.partitions, scenario.group.clone(), rng.fork(), oracle.clone(), trace.clone()),
            store: Store::new(scenario.store.clone(), scenario.planted, rng.fork(), oracle.clone(), trace.clone()),
            disk: tempfile::tempdir().expect("a folder for temporary files"),
            class,
            settings: Arc::new(settings),
            workers: (0..scenario.workers).map(|_| None).collect(),
            started: 0,
            began: Instant::now(),
            due: Vec::new(),
        }
    }

    async fn play(mut self) {
        let _coordinator = AbortOnDropHandle::new(tokio::spawn(self.broker.clone().coordinate()));
        let producing = Producing { broker: self.broker.clone(), oracle: self.oracle.clone(), epoch_ms: self.scenario.epoch_ms, began: self.began };
        let producer = AbortOnDropHandle::new(tokio::spawn(producing.run(self.scenario.records.clone())));
        (0..self.workers.len()).for_each(|slot| self.start(slot));
        for (at, fault) in self.scenario.faults.clone() {
            self.pass_until(self.began + at).await;
            self.strike(fault).await;
        }
        self.pass_until(self.began + self.scenario.lasts).await;
        self.heal().await;
        producer.await.expect("the producer ends");
        self.recover("after the last fault").await;
        // All processes end in good order, and one goes on alone.
        for slot in 0..self.workers.len() {
            self.stop(slot).await;
        }
        self.start(0);
        self.recover("after all workers were restarted").await;
        self.stop(0).await;
    }

    /// Lets time pass, and does what is due on the way.
    async fn pass_until(&mut self, until: Instant) {
        loop {
            let next = self.due.iter().map(|(at, _)| *at).min().filter(|at| *at <= until);
            tokio::time::sleep_until(next.unwrap_or(until)).await;
            let Some(next) = next else { return };
            let (now, later): (Vec<_>, Vec<_>) = self.due.drain(..).partition(|(at, _)| *at <= next);
            self.due = later;
            for (_, due) in now {
                self.fulfil(due);
            }
            self.judge_tasks().await;
        }
    }

    fn fulfil(&mut self, due: Due) {
        match due {
            Due::Start(slot) if self.workers[slot].is_none() => self.start(slot),
            Due::Start(_) => {}
            Due::Wake(number) => {
                if let Some(worker) = self.workers.iter().flatten().find(|worker| worker.number == number) {
                    self.trace.note(&worker.process, "wakes up");
                    worker.process.wake();
                }
            }
        }
    }

    async fn strike(&mut self, fault: Fault) {
        self.trace.note("fault", format_args!("{fault:?}"));
        match fault {
            Fault::Kill { worker, back_after } => {
                self.kill(worker).await;
                self.due.push((Instant::now() + back_after, Due::Start(worker)));
            }
            Fault::Stop { worker, back_after } => {
                if self.workers[worker].as_ref().is_some_and(|worker| worker.process.is_running()) {
                    self.stop(worker).await;
                    self.due.push((Instant::now() + back_after, Due::Start(worker)));
                }
            }
            Fault::Freeze { worker, lasts } => {
                if let Some(worker) = &self.workers[worker] {
                    worker.process.freeze();
                    self.due.push((Instant::now() + lasts, Due::Wake(worker.number)));
                }
            }
            Fault::Rebalance => self.broker.rebalance("it is told to"),
            Fault::CoordinatorDown { lasts } => self.broker.go_down(lasts),
            Fault::StoreDown { lasts } => self.store.go_down(lasts),
            Fault::StoreSlow { lasts } => self.store.go_slow(lasts),
            Fault::UploadsExpire => self.store.expire(),
        }
        self.judge_tasks().await;
    }

    /// From now on nothing fails, and every worker is up.
    async fn heal(&mut self) {
        self.trace.note("world", "faults are over");
        self.broker.calm();
        self.store.calm();
        self.due.clear();
        for slot in 0..self.workers.len() {
            match &self.workers[slot] {
                Some(worker) => worker.process.wake(),
                None => self.start(slot),
            }
        }
        self.judge_tasks().await;
    }

    fn start(&mut self, slot: usize) {
        self.started += 1;
        let number = self.started;
        let process = Process::start(format!("w{slot}.{number}"));
        self.trace.note(&process, "starts");
        let skew = TimeDelta::milliseconds(self.scenario.clock_skew_ms.get(slot).copied().unwrap_or(0));
        let now = DateTime::from_timestamp_millis(self.scenario.epoch_ms).unwrap_or_default() + self.began.elapsed() + skew;
        let env = Env {
            clock: Clock::starting_at(now),
            kafka: Arc::new(Cluster { broker: self.broker.clone(), process: process.clone() }),
            compute: Compute::Inline,
            memory: Budget::new(self.scenario.memory_bytes).spilling_to(if self.scenario.spills { Spill::below(self.disk.path()) } else { Spill::off() }),
            stores: self.store.seen_by(&process),
        };
        let (pause, paused) = watch::channel(false);
        let stop = CancellationToken::new();
        let task = |task: u32| {
            let live = Arc::new(Live::default());
            let control = TaskControl { paused: paused.clone(), stop: stop.clone(), live: Arc::clone(&live) };
            let spec = TaskSpec {
                connector: "sim".into(),
                task: slot as u32 * self.scenario.tasks + task,
                class: self.class,
                props: self.scenario.connector.clone(),
                worker: Arc::clone(&self.settings),
                env: env.clone(),
            };
            let span = tracing::info_span!("", %process);
            let work = process.run(sink_task::run(spec, control).instrument(span));
            (live, AbortOnDropHandle::new(tokio::spawn(work)))
        };
        let tasks = (0..self.scenario.tasks).map(task).collect();
        let memory = env.memory.clone();
        let hoard = (self.scenario.planted == Some(Plant::Hoarded)).then(|| {
            self.trace.reached(Rarity::Planted);
            memory.take(self.scenario.most_memory() + 1)
        });
        self.workers[slot] = Some(Worker { number, process, memory, stop, tasks, _hoard: hoard, _pause: pause });
    }

    async fn kill(&mut self, slot: usize) {
        if let Some(worker) = self.workers[slot].take() {
            self.trace.note(&worker.process, "is killed");
            worker.process.kill();
            self.judge_memory(&worker);
            drop(worker);
            tokio::task::yield_now().await;
        }
    }

    async fn stop(&mut self, slot: usize) {
        let Some(worker) = self.workers[slot].take() else { return };
        self.trace.note(&worker.process, "is told to stop");
        worker.stop.cancel();
        self.judge_memory(&worker);
        let deadline = Instant::now() + STOPPING;
        for (_, task) in worker.tasks {
            match tokio::time::timeout_at(deadline, task).await {
                Ok(Ok(Ok(Ended::Stopped))) => {}
                Ok(ended) => self.oracle.accuse(format_args!("{}: a task failed: {}", worker.process, failure(ended))),
                Err(_) => self.oracle.accuse(format_args!("{} has not stopped after {STOPPING:?}", worker.process)),
            }
        }
        if worker.memory.used() != 0 {
            self.oracle.accuse(format_args!("{} has stopped, and holds {} bytes", worker.process, worker.memory.used()));
        }
    }

    /// No task fails by itself: nothing of what is done here is a fault of the configuration.
    async fn judge_tasks(&mut self) {
        for slot in 0..self.workers.len() {
            let has_ended = self.workers[slot].as_ref().is_some_and(|worker| worker.tasks.iter().any(|(_, task)| task.is_finished()));
            let Some(worker) = self.workers[slot].take_if(|_| has_ended) else { continue };
            for (_, task) in worker.tasks {
                if task.is_finished() {
                    self.oracle.accuse(format_args!("{}: a task failed: {}", worker.process, failure(task.await)));
                }
            }
        }
    }

    fn judge_memory(&self, worker: &Worker) {
        if worker.memory.peak() >= worker.memory.limit() {
            self.trace.reached(Rarity::Short);
        }
        if worker.memory.spill().written_bytes() > 0 {
            self.trace.reached(Rarity::Spilled);
        }
        let most = self.scenario.most_memory();
        if worker.memory.peak() > most {
            self.oracle.accuse(format_args!("{} held {} bytes of memory; its limit allows {most}", worker.process, worker.memory.peak()));
        }
    }

    /// Waits until every record is where it belongs, as long as that goes on.
    async fn recover(&mut self, when: &str) {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.judge_tasks().await;
            let balance = self.oracle.balance();
            let open: u64 = self.workers.iter().flatten().flat_map(|worker| &worker.tasks).map(|(live, _)| live.figures().report.open_rows).sum();
            if balance.visible + open == balance.produced && (open == 0 || !self.scenario.ends_by_clock) {
                self.trace.note("world", format_args!("{when}: {balance:?}, {open} open"));
                return;
            }
            if balance.visible > before {
                (before, since) = (balance.visible, Instant::now());
            } else if since.elapsed() > PATIENCE {
                let Balance { produced, visible, .. } = balance;
                let missing = self.oracle.missing();
                self.oracle.accuse(format_args!("{when}, nothing happens: {produced} records, {visible} visible, {open} open; {missing}"));
                return;
            }
        }
    }
}

fn failure(ended: Result<Result<Ended, TaskError>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(_)) => "it ended, and nobody has told it to".to_owned(),
        Ok(Err(error)) => format!("{:?}: {error}", error.kind),
        Err(error) => error.to_string(),
    }
}

/// Whoever writes the records.
struct Producing {
    broker: Broker,
    oracle: Oracle,
    epoch_ms: i64,
    began: Instant,
}

impl Producing {
    async fn run(self, records: Vec<Planned>) {
        for Planned { at, to, gap, skew_ms, content } in records {
            tokio::time::sleep_until(self.began + at).await;
            let timestamp = self.epoch_ms + i64::try_from(at.as_millis()).unwrap_or(0) + skew_ms;
            let offset = self.broker.append(&to, gap, timestamp, |offset| value(&to, offset, &content));
            if matches!(content, Content::Good { .. }) {
                self.oracle.produced(&to, offset);
            }
        }
    }
}

fn value(to: &TopicPartition, offset: i64, content: &Content) -> Option<Vec<u8>> {
    match content {
        Content::Good { field, padding } => {
            let id = identity(to, offset);
            Some(format!(r#"{{"id":"{id}","c":"{field}","padding":"{}"}}"#, "x".repeat(*padding)).into_bytes())
        }
        Content::Bad => Some(b"{\"id\":".to_vec()),
        Content::Null => None,
    }
}
