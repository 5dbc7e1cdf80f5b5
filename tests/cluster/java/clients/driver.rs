//! Drivers of the real clients: small programs in the client's own language (`Sourcelab.java`, `forks.py`, `npm.mjs`) that take calls as lines of JSON and answer
//! with lines of JSON. They stay for as long as the client works, so that no call pays for the start of a language.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{Client, Member};
use crate::world::servers::{repository, run_folder};

/// A driver's process.
struct Driver {
    name: String,
    process: Child,
    calls: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Driver {
    fn start(name: &str, member: &Member, command: &mut Command) -> Self {
        let log = File::create(member.folder.join(format!("{name}.log"))).expect("a log");
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{command:?} does not start: {error}; `make test` sets the clients up first"));
        let calls = process.stdin.take().expect("a pipe");
        let outcomes = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { name: member.folder.join(format!("{name}.log")).display().to_string(), process, calls, outcomes }
    }
}

impl Client for Driver {
    fn call(&mut self, call: &str, arguments: &[Value]) -> Value {
        writeln!(self.calls, "{}", json!({"call": call, "arguments": arguments})).expect("the driver takes calls");
        let mut line = String::new();
        self.outcomes.read_line(&mut line).expect("a line");
        let said = || fs::read_to_string(&self.name).unwrap_or_default();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the driver's outcome of {call} is \"{line}\": {error}\n{}", said()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What `setup.sh` installs.
pub(super) fn tools() -> PathBuf {
    std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| repository().join(".tools"), PathBuf::from)
}

/// A file beside this one.
pub(super) fn source(name: &str) -> PathBuf {
    repository().join("tests/cluster/java/clients").join(name)
}

fn java_client() -> String {
    format!("{}/*", tools().join("java-client").display())
}

fn classes() -> PathBuf {
    run_folder().join("java-client-driver")
}

/// Compiles the driver of the Java client.
pub(super) fn compile() {
    let mut javac = Command::new("javac");
    javac.args(["-d", &classes().display().to_string(), "-cp", &java_client()]).arg(source("Sourcelab.java")).stdin(Stdio::null());
    let compiled = javac.output().unwrap_or_else(|error| panic!("javac does not run: {error}; `make test` sets it up first"));
    assert!(compiled.status.success(), "javac: {}", String::from_utf8_lossy(&compiled.stderr));
}

/// Java's `KafkaConnectClient`: calls are its methods.
pub(super) fn sourcelab(member: &Member) -> Box<dyn Client> {
    let class_path = format!("{}:{}", classes().display(), java_client());
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m", "-cp", &class_path, "Sourcelab", &member.url]);
    Box::new(Driver::start("sourcelab", member, &mut java))
}

/// `kc`: calls are its commands.
pub(super) fn kc(member: &Member) -> Box<dyn Client> {
    let mut python = Command::new(tools().join("connect-clients/kc/bin/python"));
    Box::new(Driver::start("kc", member, python.arg(source("forks.py")).arg("kc").env("KAFKA_CONNECT_URL", &member.url)))
}

/// `kafka_connect`: calls are its commands.
pub(super) fn kafka_connect(member: &Member) -> Box<dyn Client> {
    let mut python = Command::new(tools().join("connect-clients/kafka_connect/bin/python"));
    Box::new(Driver::start("kafka_connect", member, python.arg(source("forks.py")).arg("kafka_connect").env("KAFKA_CONNECT_URL", &member.url)))
}

/// The client for Node: calls are its methods.
pub(super) fn npm(member: &Member) -> Box<dyn Client> {
    let mut node = Command::new("node");
    Box::new(Driver::start("npm", member, node.arg(source("npm.mjs")).arg(tools().join("connect-clients/npm")).arg(&member.url)))
}
