//! Kafka Connect's own classes in one Java program (`Driver.java`): cases go in as lines of JSON, outcomes come out as such.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde_json::Value;

/// So many cases may be on their way.
pub(crate) const AHEAD: usize = 500;

#[derive(Debug)]
pub(crate) struct Java {
    process: Child,
    cases: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    answers: BufReader<ChildStdout>,
    _classes: tempfile::TempDir,
}

impl Java {
    /// Compiles the driver and starts it.
    pub(crate) fn start() -> Self {
        let jars = format!("{}/*", tools().join("connect").display());
        let classes = tempfile::tempdir().expect("a folder for classes");
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
        let mut javac = Command::new("javac");
        javac.args(["-proc:none", "-cp", &jars, "-d"]).arg(classes.path()).arg(here.join("Driver.java")).arg(here.join("Tagged.java"));
        let compiled = javac.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("javac does not run: {error}; `make differential` sets it up first"));
        assert!(compiled.status.success(), "javac: {}", String::from_utf8_lossy(&compiled.stderr));
        let mut java = Command::new("java");
        java.args(["-XX:+UseSerialGC", "-Xmx256m", "-Duser.timezone=UTC", "-Duser.language=en", "-Duser.country=US", "-Dlog4j2.level=OFF", "-cp"]);
        java.arg(format!("{}:{jars}", classes.path().display())).arg("Driver");
        let started = java.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("java does not start: {error}; `make differential` sets it up first"));
        let mut stdin: ChildStdin = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let (cases, lines) = sync_channel::<String>(AHEAD);
        #[expect(clippy::disallowed_methods, reason = "a test's: it only writes to a pipe")]
        let writer = std::thread::spawn(move || {
            for line in lines {
                // A driver that is gone is found when its answer is read.
                if writeln!(stdin, "{line}").is_err() {
                    return;
                }
            }
        });
        Self { process, cases: Some(cases), writer: Some(writer), answers, _classes: classes }
    }

    /// Sends a case. Answers come in the order of cases.
    pub(crate) fn send(&self, case: &Value) {
        self.cases.as_ref().expect("a driver that runs").send(case.to_string()).expect("the driver takes cases");
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the driver's answer is {line:?}: {error}"))
    }

    /// Sends a case and waits for its answer; none may be on its way.
    pub(crate) fn ask(&mut self, case: &Value) -> Value {
        self.send(case);
        self.answer()
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        self.cases = None; // its input ends, and so does it
        drop(self.process.kill());
        drop(self.process.wait());
        drop(self.writer.take().map(JoinHandle::join));
    }
}

/// What `setup.sh` installs.
fn tools() -> PathBuf {
    std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"), PathBuf::from)
}
