//! The `lakehead` binary as a child process, and its REST API.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::broker::Topic;
use super::bucket::Bucket;
use super::servers::{Kafka, S3_KEY, S3_SECRET, free_port, run_folder};

/// The longest that anything may take that should take no time.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The longest that a job of up to a million records may take, on a busy machine and without optimisation.
pub(crate) const JOB: Duration = Duration::from_secs(240);

/// Drives a future of the harness's clients.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("a runtime")).block_on(future)
}

/// Waits until `seen` returns something; fails with what `explain` says when it does not within `limit`.
#[track_caller]
pub(crate) fn await_some<T>(limit: Duration, mut seen: impl FnMut() -> Option<T>, explain: impl FnOnce() -> String) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = seen() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {}", explain());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends one request; status 0 when nobody answers. A body that is not JSON comes back as text.
pub(crate) fn request(method: &str, url: &str, body: Option<&Value>) -> (u16, Value) {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| reqwest::Client::builder().timeout(SOON).build().expect("an HTTP client"));
    let mut request = client.request(method.parse().expect("a method"), url);
    if let Some(body) = body {
        request = request.json(body);
    }
    block_on(async {
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let text = answer.text().await.unwrap_or_default();
                (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
            }
            Err(error) => (0, Value::String(error.to_string())),
        }
    })
}

/// A connector's configuration.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    /// Its name.
    pub(crate) name: String,
    config: BTreeMap<String, String>,
}

impl Connector {
    /// Confluent's S3 sink: `topic` as files of that format (`parquet`, `json` or `avro`) in `bucket`, 1,000 records each.
    pub(crate) fn s3_sink(topic: &Topic, bucket: &Bucket, format: &str) -> Self {
        let class = match format {
            "parquet" => "io.confluent.connect.s3.format.parquet.ParquetFormat",
            "json" => "io.confluent.connect.s3.format.json.JsonFormat",
            "avro" => "io.confluent.connect.s3.format.avro.AvroFormat",
            _ => panic!("no format {format}"),
        };
        let connector = Self { name: format!("sink-{}", topic.name), config: BTreeMap::new() };
        connector
            .with("connector.class", "io.confluent.connect.s3.S3SinkConnector")
            .with("tasks.max", "1")
            .with("topics", &topic.name)
            .with("s3.bucket.name", &bucket.name)
            .with("s3.region", "us-east-1")
            .with("store.url", &bucket.url)
            .with("aws.access.key.id", S3_KEY)
            .with("aws.secret.access.key", S3_SECRET)
            .with("storage.class", "io.confluent.connect.s3.storage.S3Storage")
            .with("format.class", class)
            .with("flush.size", "1000")
    }

    /// Our sink to a folder.
    pub(crate) fn folder_sink(topic: &Topic, folder: &Path, format: &str) -> Self {
        let bucket = Bucket { name: String::new(), url: String::new(), folder: folder.to_owned() };
        let mut connector = Self::s3_sink(topic, &bucket, format);
        let of_s3 = |key: &str| key.starts_with("s3.") || key.starts_with("aws.") || ["store.url", "storage.class"].contains(&key);
        connector.config.retain(|key, _| !of_s3(key));
        connector.with("connector.class", "io.lakehead.connect.CloudStorageSink").with("lakehead.store.url", &format!("file://{}", folder.display()))
    }

    /// A connector of that class, and nothing more.
    pub(crate) fn of_class(name: &str, class: &str) -> Self {
        Self { name: name.to_owned(), config: BTreeMap::new() }.with("connector.class", class).with("tasks.max", "1")
    }

    /// The same with `key` set.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same with Avro values from that registry.
    pub(crate) fn with_registry(self, url: &str) -> Self {
        self.with("value.converter", "io.confluent.connect.avro.AvroConverter").with("value.converter.schema.registry.url", url)
    }

    /// As `POST /connectors` takes it, and as a connector file holds it.
    fn body(&self) -> Value {
        json!({ "name": self.name, "config": self.config })
    }
}

/// Sends a signal (`KILL`, `STOP`, `CONT`, `TERM`) to a process of ours.
pub(crate) fn signal(pid: &str, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), pid]).status().expect("kill runs");
    assert!(sent.success(), "process {pid} had ended before {signal}");
}

/// A worker's process.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Child,
    folder: PathBuf,
    url: String,
}

impl Worker {
    /// Starts a standalone worker against the shared broker, with these connectors on its command line, and waits until its REST API answers.
    pub(crate) fn start(connectors: &[&Connector]) -> Self {
        Self::start_with(Kafka::shared(), connectors, &[], |binary| Command::new(binary))
    }

    /// The same against that broker, with more worker settings, started by the command that `wrap` makes of the binary's path.
    pub(crate) fn start_with(kafka: &Kafka, connectors: &[&Connector], settings: &[(&str, &str)], wrap: impl FnOnce(&Path) -> Command) -> Self {
        Self::spawn(kafka, "standalone", connectors, settings, wrap)
    }

    /// Starts a worker of that group against the shared broker, and waits until it is a member of it.
    pub(crate) fn join(group: &str, settings: &[(&str, &str)]) -> Self {
        let topics =
            ["config", "offset", "status"].map(|of| (format!("{of}.storage.topic"), format!("{group}-{of}"), format!("{of}.storage.replication.factor")));
        let topics = topics.iter().flat_map(|(topic, name, factor)| [(topic.as_str(), name.as_str()), (factor.as_str(), "1")]);
        let session = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500"), ("scheduled.rebalance.max.delay.ms", "0")];
        let settings: Vec<_> = [("group.id", group)].into_iter().chain(topics).chain(session).chain(settings.iter().copied()).collect();
        let worker = Self::spawn(Kafka::shared(), "distributed", &[], &settings, |binary| Command::new(binary));
        await_some(SOON, || (worker.rest("GET", "/health", None).0 == 200).then_some(()), || worker.log());
        worker
    }

    fn spawn(kafka: &Kafka, mode: &str, connectors: &[&Connector], settings: &[(&str, &str)], wrap: impl FnOnce(&Path) -> Command) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = run_folder().join(format!("worker-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder).expect("a folder for the worker");
        let url = format!("http://127.0.0.1:{}", free_port());
        let mut properties = vec![
            ("bootstrap.servers", kafka.bootstrap()),
            ("listeners", url.clone()),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter".to_owned()),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter".to_owned()),
            ("value.converter.schemas.enable", "false".to_owned()),
            ("offset.storage.file.filename", folder.join("offsets").display().to_string()),
            ("offset.flush.interval.ms", "500".to_owned()),
            ("consumer.session.timeout.ms", "6000".to_owned()), // a killed member's partitions are given away after this
        ];
        properties.extend(settings.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let properties: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        fs::write(folder.join("worker.properties"), properties).expect("a worker file");

        let mut command = wrap(Path::new(env!("CARGO_BIN_EXE_lakehead")));
        command.arg(mode).arg(folder.join("worker.properties"));
        for connector in connectors {
            let file = folder.join(format!("{}.json", connector.name));
            fs::write(&file, connector.body().to_string()).expect("a connector file");
            command.arg(file);
        }
        let log = File::create(folder.join("worker.log")).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the same file twice")).stderr(log);
        let process = command.spawn().expect("the worker starts");
        fs::write(folder.join("worker.pid"), process.id().to_string()).expect("a pid file");
        let mut worker = Self { process, folder, url };
        let answers = || {
            let ended = worker.process.try_wait().expect("the process's state");
            assert!(ended.is_none(), "the worker ended while it was starting: {ended:?}\n{}", log_of(&worker.folder));
            (request("GET", &format!("{}/", worker.url), None).0 == 200).then_some(())
        };
        await_some(SOON, answers, || "the REST API does not answer".to_owned());
        worker
    }

    /// Where its REST API is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The file that its standard output and error go to.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("worker.log")
    }

    /// What it wrote to its standard output and error.
    pub(crate) fn log(&self) -> String {
        log_of(&self.folder)
    }

    /// All of that.
    pub(crate) fn whole_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("worker.log")).unwrap_or_default()).into_owned()
    }

    /// kill -9, also of one that is ended already.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("the worker is ours");
        self.process.wait().expect("it ends");
    }

    /// SIGTERM: it ends by itself, in order.
    pub(crate) fn terminate(mut self) {
        signal(&self.pid().to_string(), "TERM");
        let ended = || self.process.try_wait().expect("the process's state");
        let status = await_some(SOON, ended, || "the worker goes on after SIGTERM".to_owned());
        assert!(status.success(), "after SIGTERM the worker ended with {status}\n{}", log_of(&self.folder));
    }

    /// Sends a request to the REST API.
    pub(crate) fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        request(method, &format!("{}{path}", self.url), body)
    }

    /// `POST /connectors`: the answer's status and body.
    pub(crate) fn create(&self, connector: &Connector) -> (u16, Value) {
        self.rest("POST", "/connectors", Some(&connector.body()))
    }

    /// `POST /connectors`, which succeeds.
    pub(crate) fn run(&self, connector: &Connector) {
        let (status, body) = self.create(connector);
        assert_eq!(status, 201, "{body}");
    }

    /// The connector's status.
    pub(crate) fn status(&self, connector: &Connector) -> Value {
        self.rest("GET", &format!("/connectors/{}/status", connector.name), None).1
    }

    /// State and trace of the connector's first task.
    pub(crate) fn task(&self, connector: &Connector) -> (String, String) {
        let status = self.status(connector);
        let text = |key: &str| status["tasks"][0][key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("trace"))
    }

    /// Waits until the first task is FAILED; returns its trace.
    #[track_caller]
    pub(crate) fn await_failure(&self, connector: &Connector) -> String {
        let failed = || Some(self.task(connector)).filter(|(state, _)| state == "FAILED").map(|(_, trace)| trace);
        await_some(SOON, failed, || format!("the task does not fail: {}", self.status(connector)))
    }

    /// Waits until the first task, RUNNING, says that it waits for something, in words that contain `word`; returns its trace.
    #[track_caller]
    pub(crate) fn await_trouble(&self, connector: &Connector, word: &str) -> String {
        let waits = || Some(self.task(connector)).filter(|(state, trace)| state == "RUNNING" && trace.contains(word)).map(|(_, trace)| trace);
        await_some(SOON, waits, || format!("the task does not say that it waits for \"{word}\": {}", self.status(connector)))
    }

    /// Waits until the group has committed the end of every partition.
    #[track_caller]
    pub(crate) fn await_end(&self, connector: &Connector, topic: &Topic, limit: Duration) {
        let end = topic.end_offsets();
        let explain = || format!("committed {:?} of {end:?}; {}", topic.committed_offsets(&connector.name), self.status(connector));
        await_some(limit, || (topic.committed_offsets(&connector.name) == end).then_some(()), explain);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the worker at {}\n{}", self.url, log_of(&self.folder));
        }
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_file(self.folder.join("worker.pid"))); // its number may soon be another process's
    }
}

/// The end of a worker's log.
fn log_of(folder: &Path) -> String {
    let log = fs::read(folder.join("worker.log")).unwrap_or_default();
    String::from_utf8_lossy(&log[log.len().saturating_sub(16 * 1024)..]).into_owned()
}
