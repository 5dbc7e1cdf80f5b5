//! Kafka Connect's own worker and ours on the same topics: one after the other, and side by side in one group.
//!
//! Both sides are processes of their own on the shared broker. What is compared are answers of the REST API and the records of the internal topics.

mod answers;
mod clients;
mod exact;
mod foreign;
mod mixed;
mod takeover;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::world::servers::{self, free_port, repository, run_folder};
use super::world::worker::{await_some, request, signal};

/// The longest that a worker may take to start, or work to be where it belongs: a JVM on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Whose worker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Java,
    Lakehead,
}

/// A Connect group with topics of its own, or a worker that has no group.
#[derive(Debug)]
struct Group {
    name: &'static str,
    is_alone: bool,
    /// Its sources deliver exactly once.
    is_exact: bool,
    workers: AtomicU32,
}

impl Group {
    fn new(name: &'static str) -> Self {
        Self { name, is_alone: false, is_exact: false, workers: AtomicU32::new(0) }
    }

    /// Of standalone workers.
    fn alone(name: &'static str) -> Self {
        Self { is_alone: true, ..Self::new(name) }
    }

    /// Of workers whose sources deliver exactly once.
    fn exact(name: &'static str) -> Self {
        Self { is_exact: true, ..Self::new(name) }
    }

    /// The topic of that purpose: `configs`, `offsets` or `statuses`.
    fn topic(&self, purpose: &str) -> String {
        format!("{}-{purpose}", self.name)
    }

    fn properties(&self, kind: Kind, port: u16, folder: &Path) -> String {
        let (name, bootstrap) = (self.name, servers::Kafka::shared().bootstrap());
        let strings = "org.apache.kafka.connect.storage.StringConverter";
        let mut lines = vec![
            format!("bootstrap.servers={bootstrap}\nlisteners=http://127.0.0.1:{port}\noffset.flush.interval.ms=500"),
            format!("key.converter={strings}\nvalue.converter={strings}"),
            "consumer.session.timeout.ms=4000\nconsumer.heartbeat.interval.ms=1000".to_owned(),
        ];
        if self.is_alone {
            lines.push(format!("offset.storage.file.filename={}", folder.join("offsets").display()));
        } else {
            lines.push(format!("group.id={name}\nsession.timeout.ms=4000\nheartbeat.interval.ms=1000\nscheduled.rebalance.max.delay.ms=0"));
            lines.push("offset.storage.partitions=3\nstatus.storage.partitions=2".to_owned());
            for (key, purpose) in [("config", "configs"), ("offset", "offsets"), ("status", "statuses")] {
                lines.push(format!("{key}.storage.topic={}\n{key}.storage.replication.factor=1", self.topic(purpose)));
            }
        }
        if self.is_exact {
            lines.push("exactly.once.source.support=enabled".to_owned());
        }
        if kind == Kind::Java {
            lines.push("plugin.discovery=service_load".to_owned()); // starts sooner
        }
        lines.join("\n") + "\n"
    }

    /// Starts a worker and waits until it is a healthy member.
    fn start(&self, kind: Kind) -> Member {
        let member = self.spawn(kind);
        member.await_health();
        member
    }

    /// Starts a worker.
    fn spawn(&self, kind: Kind) -> Member {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        let (folder, port) = (run_folder().join(format!("{}-{number}", self.name)), free_port());
        fs::create_dir_all(&folder).expect("a folder for the worker");
        let file = folder.join("worker.properties");
        fs::write(&file, self.properties(kind, port, &folder)).expect("a worker file");
        let process = match kind {
            Kind::Java => {
                connect_sh("start", &file, &folder);
                None
            }
            Kind::Lakehead => {
                let log = File::create(folder.join("connect.log")).expect("a log");
                let mut command = Command::new(env!("CARGO_BIN_EXE_lakehead"));
                command
                    .arg(if self.is_alone { "standalone" } else { "distributed" })
                    .arg(&file)
                    .stdin(Stdio::null())
                    .stdout(log.try_clone().expect("the same file twice"))
                    .stderr(log);
                let process = command.spawn().expect("the worker starts");
                fs::write(folder.join("connect.pid"), process.id().to_string()).expect("a pid file");
                Some(process)
            }
        };
        Member { kind, url: format!("http://127.0.0.1:{port}"), id: format!("127.0.0.1:{port}"), folder, process }
    }

    /// Two workers of a kind; the first one leads.
    fn pair(&self, kind: Kind) -> [Member; 2] {
        let first = self.start(kind);
        [first, self.start(kind)]
    }

    /// The records of a topic as they were written, partition by partition: keys and values.
    fn records(&self, purpose: &str) -> Vec<(String, Option<String>)> {
        let topic = self.topic(purpose);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers::Kafka::shared().bootstrap()).set("group.id", "nobody").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().expect("a client");
        let metadata = consumer.fetch_metadata(Some(&topic), LONG).expect("the topic");
        let count = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (mut records, mut ends) = (Vec::new(), 0);
        while ends < count {
            match consumer.poll(LONG).expect("an answer of the broker") {
                Ok(message) => records.push((message.key().map(text).unwrap_or_default(), message.payload().map(text))),
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => ends += 1,
                Err(error) => panic!("{topic} cannot be read: {error}"),
            }
        }
        records
    }
}

fn connect_sh(command: &str, file: &Path, folder: &Path) {
    let out = File::create(folder.join(format!("{command}.log"))).expect("a file for messages");
    let mut script = Command::new(repository().join("tests/servers/connect.sh"));
    script.arg(command).arg(file).arg(folder).stdin(Stdio::null()).stdout(out.try_clone().expect("the same file twice")).stderr(out);
    let status = script.status().expect("connect.sh runs");
    let said = fs::read_to_string(folder.join(format!("{command}.log"))).unwrap_or_default();
    assert!(status.success(), "connect.sh {command} failed; `make test` sets the servers up first\n{said}");
}

/// A worker.
#[derive(Debug)]
struct Member {
    kind: Kind,
    url: String,
    /// As it is called in states.
    id: String,
    folder: PathBuf,
    /// Of ours; Java's is not our child.
    process: Option<Child>,
}

impl Member {
    fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        request(method, &format!("{}{path}", self.url), body)
    }

    fn get(&self, path: &str) -> Value {
        self.rest("GET", path, None).1
    }

    /// Sends a request again while it comes too early, and checks the status of the last answer.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Option<&Value>, expected: u16) -> Value {
        let mut last = (0, Value::Null);
        let asked = || {
            last = self.rest(method, path, body);
            (!is_too_early(last.0, &last.1)).then(|| last.clone())
        };
        let (status, answer) = await_some(LONG, asked, || format!("{method} {path} at {:?} comes too early", self.kind));
        assert_eq!(status, expected, "{method} {path} at {:?} {}: {answer}", self.kind, self.id);
        answer
    }

    fn create(&self, name: &str, config: &[(&str, &str)], state: Option<&str>) {
        let config: BTreeMap<&str, &str> = config.iter().copied().collect();
        let mut body = json!({"name": name, "config": config});
        if let Some(state) = state {
            body["initial_state"] = state.into();
        }
        self.ask("POST", "/connectors", Some(&body), 201);
    }

    fn await_health(&self) {
        let healthy = || (self.rest("GET", "/health", None).0 == 200).then_some(());
        await_some(LONG, healthy, || format!("the worker of {:?} does not get healthy\n{}", self.kind, self.log()));
    }

    /// True for the one who writes configurations: others refuse what was sent on for the last time.
    fn leads(&self) -> bool {
        self.rest("DELETE", "/connectors/there-is-none?forward=false", None).0 == 404
    }

    /// A connector's state, and those of its tasks.
    fn states(&self, name: &str) -> (String, Vec<String>) {
        let status = self.get(&format!("/connectors/{name}/status"));
        let text = |value: &Value| value["state"].as_str().unwrap_or_default().to_owned();
        (text(&status["connector"]), status["tasks"].as_array().into_iter().flatten().map(text).collect())
    }

    #[track_caller]
    fn await_states(&self, name: &str, connector: &str, tasks: &[&str]) {
        let there = || {
            let (state, states) = self.states(name);
            (state == connector && states == tasks).then_some(())
        };
        let status = || self.get(&format!("/connectors/{name}/status"));
        await_some(LONG, there, || format!("{name} is not {connector} with {tasks:?} at {:?} {}: {}\n{}", self.kind, self.id, status(), self.log()));
    }

    /// Who runs each connector and task, by name; nothing while one of them does not run.
    fn owners(&self) -> Option<BTreeMap<String, String>> {
        let all = self.get("/connectors?expand=status");
        let mut owners = BTreeMap::new();
        for (name, of) in all.as_object()? {
            let parts = std::iter::once((name.clone(), &of["status"]["connector"]));
            let tasks = of["status"]["tasks"].as_array().into_iter().flatten().map(|task| (format!("{name}-{}", task["id"]), task));
            for (name, part) in parts.chain(tasks) {
                if part["state"] != "RUNNING" {
                    return None;
                }
                owners.insert(name, part["worker_id"].as_str()?.to_owned());
            }
        }
        Some(owners)
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.folder.join("connect.pid")).expect("the worker's pid file").trim().to_owned()
    }

    /// The end of what it logged.
    fn log(&self) -> String {
        let log = fs::read(self.folder.join("connect.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(12 * 1024)..]).into_owned()
    }

    /// kill -9.
    fn kill(mut self) {
        signal(&self.pid(), "KILL");
        if let Some(process) = &mut self.process {
            process.wait().expect("it ends");
        }
        fs::remove_file(self.folder.join("connect.pid")).expect("the pid file"); // its number is nobody's now
    }

    /// SIGTERM: it ends by itself, in order.
    fn stop(mut self) {
        match &mut self.process {
            None => connect_sh("stop", &self.folder.join("worker.properties"), &self.folder),
            Some(process) => {
                signal(&process.id().to_string(), "TERM");
                let status = await_some(LONG, || process.try_wait().expect("the process's state"), || "the worker goes on after SIGTERM".to_owned());
                assert!(status.success(), "after SIGTERM the worker ended with {status}\n{}", self.log());
                fs::remove_file(self.folder.join("connect.pid")).expect("the pid file");
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the worker of {:?} at {}\n{}", self.kind, self.url, self.log());
        }
        let Ok(pid) = fs::read_to_string(self.folder.join("connect.pid")) else { return };
        match &mut self.process {
            Some(process) => drop(process.kill().and_then(|()| process.wait())),
            None => drop(Command::new("kill").args(["-KILL", pid.trim()]).status()),
        }
        drop(fs::remove_file(self.folder.join("connect.pid")));
    }
}

/// True where an answer says that the group is being shared out, or that tasks are still about to end.
fn is_too_early(status: u16, body: &Value) -> bool {
    let says = |part| body["message"].as_str().is_some_and(|text| text.contains(part));
    // Java's workers refuse to read, too, while a rebalance is due.
    (status == 409 && says("rebalance")) || (status == 500 && (says("a rebalance is expected") || says("tasks haven't stopped completely yet")))
}

/// A sink of `topic` whose tasks append to `file`.
fn file_sink<'a>(topic: &'a str, file: &'a str, tasks: &'a str) -> [(&'a str, &'a str); 4] {
    [("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"), ("topics", topic), ("file", file), ("tasks.max", tasks)]
}

/// A source that sends the lines of `file` to `topic`.
fn file_source<'a>(topic: &'a str, file: &'a str) -> [(&'a str, &'a str); 3] {
    [("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector"), ("topic", topic), ("file", file)]
}

/// A sink of `topic` that does nothing.
fn mock_sink(topic: &str) -> [(&str, &str); 2] {
    [("connector.class", "org.apache.kafka.connect.tools.MockSinkConnector"), ("topics", topic)]
}

/// A path below the run's folder.
fn path(name: &str) -> String {
    run_folder().join(name).display().to_string()
}

/// Lines of a file that may not be there.
fn lines(file: &str) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
