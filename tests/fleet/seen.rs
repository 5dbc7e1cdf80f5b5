//! What workers said while they ran: tasks that started and ended, records that sources made and that sinks were given.
//!
//! A worker's log is JSON line by line, and so is what the verifiable connectors print among it. A line that was cut off, because its worker was killed, is none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

/// A task as it is called in upstream's logs: `orders-0`.
pub(crate) type Task = String;

/// What one worker said. Times are milliseconds of the wall clock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Tasks in the order in which they started here, and when each ended; `None`: never, in this process.
    pub(crate) runs: Vec<(Task, i64, Option<i64>)>,
    /// Tasks that failed, and why.
    pub(crate) failures: Vec<String>,
    /// When each source task made records.
    pub(crate) made: BTreeMap<Task, Vec<i64>>,
    /// How far Kafka has acknowledged them: the highest number.
    pub(crate) acknowledged: BTreeMap<Task, i64>,
    /// When records of each partition were given to a sink, by connector and partition: time and offset.
    pub(crate) given: BTreeMap<(String, i64), Vec<(i64, i64)>>,
    /// Commits that a coordinator refused.
    pub(crate) refused: usize,
    /// Lines that are none.
    pub(crate) cut: usize,
}

/// The members of all the lines that count here.
#[derive(Deserialize)]
struct Line {
    // Of the worker.
    timestamp: Option<String>,
    message: Option<String>,
    connector: Option<String>,
    // Of both.
    task: Option<Value>,
    // Of the verifiable connectors.
    time_ms: Option<i64>,
    name: Option<String>,
    seqno: Option<Value>,
    offset: Option<i64>,
    #[serde(default)]
    committed: bool,
    #[serde(default)]
    flushed: bool,
}

impl Said {
    /// Reads a log.
    pub(crate) fn in_file(path: &Path) -> Self {
        let log = File::open(path).expect("the worker's log");
        let mut said = Self::default();
        for line in BufReader::new(log).split(b'\n') {
            said.hear(&line.expect("a readable log"));
        }
        said
    }

    fn hear(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            self.cut += 1;
            return;
        };
        let at = line.timestamp.as_deref().map(|at| DateTime::parse_from_rfc3339(at).expect("a time").timestamp_millis());
        match (at, line.time_ms) {
            (Some(at), _) => self.happened(at, &line),
            (None, Some(at)) if !line.flushed => self.witnessed(at, &line),
            _ => {}
        }
    }

    /// The worker speaks.
    fn happened(&mut self, at: i64, line: &Line) {
        let message = line.message.as_deref().unwrap_or_default();
        if message.starts_with("offsets not committed") {
            self.refused += 1;
        }
        let (Some(connector), Some(number)) = (&line.connector, line.task.as_ref().and_then(Value::as_u64)) else { return };
        let task = format!("{connector}-{number}");
        if message == "task started" {
            return self.runs.push((task, at, None));
        }
        let has_failed = message.starts_with("task failed");
        if has_failed {
            self.failures.push(format!("{task}: {message}"));
        }
        if (has_failed || message == "task stopped")
            && let Some((_, _, end)) = self.runs.iter_mut().rev().find(|(other, _, end)| *other == task && end.is_none())
        {
            *end = Some(at);
        }
    }

    /// A verifiable connector speaks.
    fn witnessed(&mut self, at: i64, line: &Line) {
        let Some(name) = &line.name else { return };
        if let Some(offset) = line.offset {
            let partition = line.seqno.as_ref().and_then(|value| value["part"].as_i64()).unwrap_or(-1);
            return self.given.entry((name.clone(), partition)).or_default().push((at, offset));
        }
        let task = format!("{name}-{}", line.task.as_ref().unwrap_or(&Value::Null));
        if line.committed {
            let number = line.seqno.as_ref().and_then(Value::as_i64).unwrap_or(-1);
            let known = self.acknowledged.entry(task).or_insert(number);
            *known = number.max(*known);
        } else {
            self.made.entry(task).or_default().push(at);
        }
    }
}

/// Lines as workers write them, and what is read from them.
pub(crate) fn lines_of_a_log_are_read() {
    let lines = [
        r#"{"timestamp":"1970-01-01T00:00:01.500000Z","level":"INFO","message":"task started","connector":"a","task":0,"target":"t"}"#,
        r#"{"task":0,"seqno":7,"time_ms":1600,"name":"a","topic":"t"}"#,
        r#"{"committed":true,"task":0,"seqno":7,"time_ms":1700,"name":"a","topic":"t"}"#,
        r#"{"task":null,"seqno":{"part":2,"number":5},"offset":5,"time_ms":1800,"name":"b","topic":"t","sinkTask":1}"#,
        r#"{"task":null,"seqno":{"part":2,"number":5},"offset":5,"time_ms":1900,"name":"b","topic":"t","sinkTask":1,"flushed":true}"#,
        r#"{"timestamp":"1970-01-01T00:00:02Z","level":"WARN","message":"offsets not committed; the same is tried again","connector":"b"}"#,
        r#"{"timestamp":"1970-01-01T00:00:02Z","level":"INFO","message":"task stopped","connector":"a","task":0}"#,
        r#"{"timestamp":"1970-01-01T00:00:03Z","level":"INFO","message":"task started","connector":"a","task":0}"#,
        r#"{"timestamp":"1970-01-01T00:00:04Z","level":"ERROR","message":"task failed: why","connector":"a","task":0}"#,
        r#"{"timestamp":"1970-01-01T00:00:05Z","level":"INFO","message":"task started","connector":"a","task":0}"#,
        r#"{"task":0,"seq"#,
    ];
    let mut said = Said::default();
    lines.iter().for_each(|line| said.hear(line.as_bytes()));
    let task = || "a-0".to_owned();
    let expected = Said {
        runs: vec![(task(), 1500, Some(2000)), (task(), 3000, Some(4000)), (task(), 5000, None)],
        failures: vec!["a-0: task failed: why".to_owned()],
        made: BTreeMap::from([(task(), vec![1600])]),
        acknowledged: BTreeMap::from([(task(), 7)]),
        given: BTreeMap::from([(("b".to_owned(), 2), vec![(1800, 5)])]),
        refused: 1,
        cut: 1,
    };
    assert_eq!(said, expected);
}
