//! One row of the table on its way: a topic with its load, a bucket behind a proxy that fails on demand, a connector, and what is seen of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::broker::Topic;
use crate::bucket::{Bucket, files_below};
use crate::commits::Watched;
use crate::counted::{Counted, planted};
use crate::load::{Flow, Load};
use crate::proxy::Proxy;
use crate::rules::Rule;
use crate::servers::{Kafka, S3};
use crate::watch::Watch;
use crate::worker::{Connector, Worker, block_on};

/// The longest that a job may take from the last record to the last committed offset.
const END: Duration = Duration::from_secs(120);

/// What a row asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// When files end.
    pub(crate) rule: Rule,
    /// Partitions of the topic.
    pub(crate) partitions: i32,
    /// Records a second for each of them.
    pub(crate) rate: u64,
    /// Bytes of a record that no compression removes.
    pub(crate) ballast: usize,
    /// After this a silent member's partitions are given away.
    pub(crate) session: Duration,
}

impl Shape {
    /// Four partitions, 300 small records a second each, and a session of two seconds.
    pub(crate) fn of(rule: Rule) -> Self {
        Self { rule, partitions: 4, rate: 300, ballast: 40, session: Duration::from_secs(2) }
    }
}

/// How much a run does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Everything, or what `cargo test` has time for.
    pub(crate) is_full: bool,
    /// Random choices follow from it.
    pub(crate) seed: u64,
    /// Kills at random moments.
    pub(crate) kills: u32,
}

impl Effort {
    /// The one when there is time, the other when there is not.
    pub(crate) fn pick<T>(&self, full: T, short: T) -> T {
        if self.is_full { full } else { short }
    }
}

/// A row on its way.
pub(crate) struct Scene {
    /// Where the records are.
    pub(crate) topic: Topic,
    /// Where the files go.
    pub(crate) bucket: Bucket,
    /// Between the workers and the bucket.
    pub(crate) store: Proxy,
    /// The connector.
    pub(crate) sink: Connector,
    /// Random choices of the row.
    pub(crate) random: fastrand::Rng,
    /// What is seen of it.
    pub(crate) watch: Watch,
    shape: Shape,
    load: Option<Load>,
    bootstrap: String,
    ends: Vec<Instant>,
    remarks: Vec<String>,
    troubles: Vec<String>,
}

/// What came of a row.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Records sent.
    pub(crate) sent: u64,
    /// What the files hold.
    pub(crate) counted: Counted,
    /// Faults, and the time that the job took to go on after each, in order of length.
    pub(crate) faults: usize,
    /// See `faults`.
    pub(crate) recoveries: Vec<Duration>,
    /// How often a committed offset went back.
    pub(crate) backward: usize,
    /// What else was seen.
    pub(crate) remarks: Vec<String>,
    /// What is wrong beside the counts.
    pub(crate) troubles: Vec<String>,
}

impl Report {
    /// Nothing lost, nothing doubled, nothing else wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.counted.is_exact() && self.sent > 0 && self.counted.rows == self.sent && self.backward == 0 && self.troubles.is_empty()
    }
}

impl Scene {
    /// Begins a row on the shared broker, with the load running.
    pub(crate) fn start(name: &str, shape: Shape, effort: &Effort) -> Self {
        let watched = Watched::shared();
        Self::start_on(name, shape, effort, &watched.kafka, watched.bootstrap(), S3::shared())
    }

    /// The same with a broker, the way that workers reach it, and an S3 server.
    pub(crate) fn start_on(name: &str, shape: Shape, effort: &Effort, kafka: &Kafka, bootstrap: String, s3: &S3) -> Self {
        let random = fastrand::Rng::with_seed(name.bytes().fold(effort.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())));
        let topic = Topic::create_at(kafka, name, shape.partitions);
        let store = block_on(Proxy::start(s3.port()));
        let mut bucket = Bucket::create_at(s3);
        bucket.url = format!("http://127.0.0.1:{}", store.port());
        let sink = shape.rule.set(Connector::s3_sink(&topic, &bucket, "parquet").with("s3.part.size", "5242880"));
        let flow = Flow { rate: shape.rate, ballast: shape.ballast, multiple: shape.rule.multiple() };
        let load = Load::start(&kafka.bootstrap(), &topic.name, shape.partitions, flow, effort.seed);
        let watch = Watch::start(&kafka.bootstrap(), &format!("connect-{}", sink.name), &topic.name, shape.partitions);
        let (ends, remarks, troubles) = (Vec::new(), Vec::new(), Vec::new());
        Self { topic, bucket, store, sink, random, watch, shape, load: Some(load), bootstrap, ends, remarks, troubles }
    }

    /// Writes to a folder instead of the bucket.
    pub(crate) fn write_to(&mut self, folder: &Path) {
        self.sink = self.shape.rule.set(Connector::folder_sink(&self.topic, folder, "parquet"));
        self.bucket.folder = folder.to_owned();
    }

    /// Name of the consumer group.
    pub(crate) fn group(&self) -> String {
        format!("connect-{}", self.sink.name)
    }

    /// Starts a worker with the connector.
    pub(crate) fn worker(&self) -> Worker {
        self.worker_by(|binary| Command::new(binary))
    }

    /// The same by the command that `wrap` makes of the binary's path.
    pub(crate) fn worker_by(&self, wrap: impl FnOnce(&Path) -> Command) -> Worker {
        let session = self.shape.session.as_millis();
        let settings = [
            ("bootstrap.servers", self.bootstrap.clone()),
            ("consumer.session.timeout.ms", session.to_string()),
            ("consumer.heartbeat.interval.ms", (session / 4).to_string()),
        ];
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        Worker::start_with(&Watched::shared().kafka, &[&self.sink], &settings, wrap)
    }

    /// A random time below `most`.
    pub(crate) fn a_while(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.random.f64())
    }

    /// A fault has ended at this moment; from here on the job is to recover.
    pub(crate) fn fault_ended(&mut self) {
        self.ends.push(Instant::now());
    }

    /// Waits until every partition has a higher committed offset than now; says in what time, or that it did not come in `limit`.
    pub(crate) fn await_progress(&mut self, limit: Duration) -> Option<Duration> {
        let since = Instant::now();
        while since.elapsed() < limit {
            if let Some(took) = self.watch.timeline().recovery(since, since + limit, self.shape.partitions) {
                return Some(took);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let task = self.watch.committed();
        self.troubles.push(format!("no progress within {limit:?}: committed {task:?}"));
        None
    }

    /// Something that the table should say.
    pub(crate) fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// Something that must not be.
    pub(crate) fn trouble(&mut self, trouble: impl Into<String>) {
        self.troubles.push(trouble.into());
    }

    /// Ends the load, waits for the job's end, and counts what is in the bucket.
    pub(crate) fn finish(self, workers: Vec<Worker>) -> Report {
        let folder = self.bucket.folder.clone();
        self.finish_in(workers, &folder)
    }

    /// The same for files that are in that folder.
    pub(crate) fn finish_in(mut self, workers: Vec<Worker>, folder: &Path) -> Report {
        let sent = self.load.take().expect("a load that runs").stop();
        let end: BTreeMap<i32, i64> = sent.iter().map(|(partition, count)| (*partition, i64::try_from(*count).expect("a small number"))).collect();
        assert_eq!(self.topic.end_offsets(), end, "the producer numbers its records by their offsets");
        let deadline = Instant::now() + END;
        while self.watch.committed() != end && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        let committed = self.watch.committed();
        if committed != end {
            let states: Vec<String> = workers.iter().map(|worker| worker.status(&self.sink)["tasks"].to_string()).collect();
            self.trouble(format!("not at the end within {END:?}: committed {committed:?} of {end:?}; {}", states.join("; ")));
            for worker in &workers {
                let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{}.log", self.topic.name, worker.pid()));
                fs::write(&log, worker.whole_log()).expect("room for a log");
                self.trouble(format!("what the worker said is in {}", log.display()));
            }
        }
        let counted = Counted::below(folder, &sent);
        if counted.files > 1 {
            PLANTED.get_or_init(|| planted(folder, &sent));
        }
        workers.into_iter().for_each(Worker::terminate);
        let after = files_below(folder).len() as u64;
        if folder.try_exists().is_ok_and(|there| there) {
            if after != counted.files {
                self.trouble(format!("{} files at the end, {after} after the workers ended", counted.files));
            }
            self.verify(folder);
        }
        let timeline = self.watch.timeline();
        let untils = self.ends.iter().skip(1).copied().chain([Instant::now()]);
        let recovered = self.ends.iter().zip(untils).filter_map(|(since, until)| timeline.recovery(*since, until, self.shape.partitions));
        let mut recoveries: Vec<Duration> = recovered.collect();
        recoveries.sort();
        let report = Report {
            sent: sent.values().sum(),
            counted,
            faults: self.ends.len(),
            recoveries,
            backward: timeline.backward(),
            remarks: self.remarks,
            troubles: self.troubles,
        };
        if report.is_good() {
            drop(fs::remove_dir_all(folder)); // nobody looks at it any more; what is left goes away with the run
            self.topic.remove();
        }
        report
    }

    /// Asks the product as well: `lakehead verify` must come to the same from the files' own footers and the group's offsets.
    fn verify(&mut self, folder: &Path) {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_lakehead"));
        verify.arg("verify").arg(format!("file://{}/topics", folder.display())).arg("--group").arg(self.group());
        let output = verify.arg("--bootstrap-servers").arg(&self.bootstrap).output().expect("the binary runs");
        if !output.status.success() {
            let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
            self.trouble(format!("`lakehead verify` ended with {}: {said}", output.status));
        }
    }
}

/// What the count saw of what was planted into a copy of the first job's files.
pub(crate) static PLANTED: OnceLock<String> = OnceLock::new();

/// The file of a server or library that `tests/servers/setup.sh chaos` installs.
pub(crate) fn tool(path: &str) -> PathBuf {
    let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| crate::servers::repository().join(".tools"), PathBuf::from);
    let file = tools.join(path);
    assert!(file.try_exists().is_ok_and(|there| there), "{} is missing: run tests/servers/setup.sh chaos", file.display());
    file
}
