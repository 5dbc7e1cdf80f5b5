//! A worker's process, ours or Kafka Connect's in Java: started with the same file, asked over the same API, read by what the verifiable connectors print.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lakehead::clock::Clock;
use serde_json::{Value, json};

use crate::world::servers::{Kafka, free_port, repository, run_folder};
use crate::world::worker::{await_some, request, signal};

/// The longest that anything may take: a JVM on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(180);

/// Whose worker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lakehead,
    Java,
}

/// How it runs.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// Alone, with connectors from these files.
    Standalone(Vec<PathBuf>),
    /// In that group.
    Distributed(String),
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    /// `host:port`.
    pub(crate) id: String,
    folder: PathBuf,
    /// When it was started, in ms of the wall clock and by itself.
    pub(crate) started: (i64, Instant),
    /// Of ours; Java's is not our child.
    process: Option<Child>,
}

/// Milliseconds of the wall clock.
pub(crate) fn now() -> i64 {
    Clock::system().now().timestamp_millis()
}

impl Peer {
    /// Starts a worker; `settings` are added to its file.
    pub(crate) fn start(kind: Kind, mode: &Mode, settings: &str, heap: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = run_folder().join(format!("peer-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder).expect("a folder for the worker");
        let id = format!("127.0.0.1:{}", free_port());
        let mut properties = format!(
            "bootstrap.servers={}\nlisteners=http://{id}\nkey.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n\
             offset.flush.interval.ms=1000\nconsumer.heartbeat.interval.ms=1000\n{settings}\n",
            Kafka::shared().bootstrap()
        );
        let (name, files) = match mode {
            Mode::Standalone(files) => {
                properties += &format!("offset.storage.file.filename={}\n", folder.join("offsets").display());
                ("standalone", files.clone())
            }
            Mode::Distributed(group) => {
                for of in ["config", "offset", "status"] {
                    properties += &format!("{of}.storage.topic={group}-{of}\n{of}.storage.replication.factor=1\n");
                }
                properties += &format!("group.id={group}\nscheduled.rebalance.max.delay.ms=0\n");
                ("distributed", Vec::new())
            }
        };
        if kind == Kind::Java {
            properties += "plugin.discovery=service_load\n"; // starts sooner
        }
        let file = folder.join("worker.properties");
        fs::write(&file, properties).expect("a worker file");
        let started = (now(), Instant::now());
        let process = match kind {
            Kind::Lakehead => {
                let log = File::create(folder.join("connect.log")).expect("a log");
                let mut command = Command::new(env!("CARGO_BIN_EXE_lakehead"));
                command.arg(name).arg(&file).args(&files).stdin(Stdio::null()).stdout(log.try_clone().expect("the same file twice")).stderr(log);
                let process = command.spawn().expect("the worker starts");
                fs::write(folder.join("connect.pid"), process.id().to_string()).expect("a pid file");
                Some(process)
            }
            Kind::Java => {
                let out = File::create(folder.join("start.log")).expect("a file for messages");
                let mut script = Command::new(repository().join("tests/servers/connect.sh"));
                script.arg("start").arg(&file).arg(&folder).args(&files).env("CONNECT_HEAP", heap);
                let status = script.stdin(Stdio::null()).stdout(out.try_clone().expect("the same file twice")).stderr(out).status();
                assert!(status.expect("connect.sh runs").success(), "{}", fs::read_to_string(folder.join("start.log")).unwrap_or_default());
                None
            }
        };
        Self { kind, id, folder, started, process }
    }

    /// How long after its start a path was first answered with 200: asked every millisecond.
    pub(crate) fn await_answer(&self, path: &str) -> Duration {
        loop {
            if self.answers(path).unwrap_or(false) {
                return self.started.1.elapsed();
            }
            assert!(self.started.1.elapsed() < LONG, "{path} is not answered: {}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn answers(&self, path: &str) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(&self.id)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.id)?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head == *b"HTTP/1.1 200")
    }

    /// Sends a request again while it comes too early.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let mut last = (0, Value::Null);
        let taken = || {
            last = request(method, &format!("http://{}{path}", self.id), body);
            (200..300).contains(&last.0).then_some(())
        };
        await_some(LONG, taken, || format!("{method} {path} at {:?}", self.kind));
        last.1
    }

    pub(crate) fn create(&self, name: &str, config: &[(&str, &str)]) {
        let config: std::collections::BTreeMap<&str, &str> = config.iter().copied().collect();
        self.ask("POST", "/connectors", Some(&json!({"name": name, "config": config})));
    }

    /// The workers that tasks are on, when there are so many and all of them are in that state.
    pub(crate) fn owners(&self, tasks: usize, state: &str) -> Option<Vec<String>> {
        let all = self.ask("GET", "/connectors?expand=status", None);
        let of = |connector: &Value| connector["status"]["tasks"].as_array().cloned().unwrap_or_default();
        let all: Vec<Value> = all.as_object()?.values().flat_map(of).collect();
        let is_so = all.len() == tasks && all.iter().all(|task| task["state"] == state);
        is_so.then(|| all.iter().map(|task| task["worker_id"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// True for the one who writes configurations: others refuse what was sent on for the last time.
    pub(crate) fn leads(&self) -> bool {
        request("DELETE", &format!("http://{}/connectors/there-is-none?forward=false", self.id), None).0 == 404
    }

    /// What it wrote to standard output and error.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("connect.log")
    }

    /// The end of that.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4096)..]).into_owned()
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.folder.join("connect.pid")).expect("the worker's pid file").trim().to_owned()
    }

    /// A line of `/proc/<pid>/status`: `VmRSS` (KiB), `Threads`.
    pub(crate) fn proc(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("such a line");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// kill -9; when that was.
    pub(crate) fn kill(mut self) -> i64 {
        let at = now();
        self.end();
        at
    }

    fn end(&mut self) {
        let Ok(pid) = fs::read_to_string(self.folder.join("connect.pid")) else { return };
        match &mut self.process {
            Some(process) => drop(process.kill().and_then(|()| process.wait())),
            None => {
                signal(pid.trim(), "KILL");
                let gone = || (!fs::exists(format!("/proc/{}", pid.trim())).unwrap_or(true)).then_some(());
                await_some(LONG, gone, || "it does not end".to_owned());
            }
        }
        drop(fs::remove_file(self.folder.join("connect.pid"))); // its number is nobody's now
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}
