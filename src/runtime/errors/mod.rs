//! What becomes of records that fail: tolerance, log, dead letters, circuit breaker.
//!
//! Stands for Kafka Connect's `runtime.errors`: a record that cannot be converted, transformed or written fails the task (`errors.tolerance=none`), or is left out,
//! alone, and its neighbours go on (`all`). Either way it is logged where that is asked for, and goes as it came to where dead letters go. Parts: [`Policy`] (what
//! the keys say), [`Failure`] (what failed where), [`letter`] (failed records with their original bytes), [`dead_letters`] (which of them nobody has confirmed yet),
//! [`topic`] and [`folder`] (where they go; [`mod@line`] is a letter in a file), [`breaker`] (when a topic partition has too many).
//!
//! Guarantee: no offset behind a record that failed is committed before every place that its dead letter goes to has it. A task that dies in between sends it again;
//! none is lost. While a place does not answer, a bounded number of letters waits, no more records are taken, and the task's membership goes on.

use std::fmt;
use std::sync::Arc;

use lakehead_formats::{payload, wire};

use crate::connect::Props;

pub mod breaker;
pub mod dead_letters;
pub mod folder;
pub mod letter;
pub mod line;
pub mod topic;

/// The class of what a converter or a transform throws.
pub(super) const DATA_EXCEPTION: &str = "org.apache.kafka.connect.errors.DataException";
/// The class that upstream names for what a sink reports of records that it was given.
pub(super) const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";
/// The class that upstream names for what a source's producer does not send.
pub(super) const WORKER_SOURCE_TASK: &str = "org.apache.kafka.connect.runtime.WorkerSourceTask";

/// Where a record failed: upstream's `Stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A transform.
    Transformation,
    /// The key's converter.
    KeyConverter,
    /// The value's converter.
    ValueConverter,
    /// The headers' converter.
    HeaderConverter,
    /// The sink: the path, the schema, the format.
    TaskPut,
    /// Sending to Kafka.
    KafkaProduce,
}

impl Stage {
    /// As upstream's headers and logs name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transformation => "TRANSFORMATION",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::TaskPut => "TASK_PUT",
            Self::KafkaProduce => "KAFKA_PRODUCE",
        }
    }

    /// What stands before a reason, for a person.
    #[must_use]
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::KeyConverter => "key: ",
            Self::ValueConverter => "value: ",
            Self::HeaderConverter => "header: ",
            Self::Transformation | Self::TaskPut | Self::KafkaProduce => "",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one record failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// The class that was at work.
    pub class: Arc<str>,
    /// What is wrong, for a person.
    pub reason: String,
}

impl Failure {
    /// The reason with what of the record it is about.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{}{}", self.stage.prefix(), self.reason)
    }
}

/// What the keys of a connector say about records that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `errors.tolerance=all`.
    pub tolerates: bool,
    /// `errors.log.enable`.
    pub logs: bool,
    /// `errors.log.include.messages`.
    pub names_record: bool,
}

impl Policy {
    /// Reads it from a valid configuration.
    #[must_use]
    pub fn from_props(props: &Props) -> Self {
        let is = |key: &str, wanted: &str| props.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted));
        Self { tolerates: is("errors.tolerance", "all"), logs: is("errors.log.enable", "true"), names_record: is("errors.log.include.messages", "true") }
    }

    /// Logs a failure where that is asked for, in upstream's words: `record` says which one it was, `at` the same in short.
    pub fn log(self, task: &TaskName, failure: &Failure, at: &dyn fmt::Display, record: &dyn Fn() -> String) {
        if !self.logs {
            return;
        }
        let record = if self.names_record { record() } else { String::new() };
        let Failure { stage, class, reason } = failure;
        tracing::error!(%at, reason, "Error encountered in task {task}. Executing stage '{stage}' with class '{class}'{record}.");
    }
}

/// A task's name, as upstream writes it: `orders-sink-0`.
#[derive(Debug, Clone)]
pub struct TaskName {
    /// The connector's name.
    pub connector: Arc<str>,
    /// The task's number.
    pub task: u32,
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// The classes of a connector's converters.
#[derive(Debug, Clone)]
pub struct Classes {
    /// Of keys.
    pub key: Arc<str>,
    /// Of values.
    pub value: Arc<str>,
    /// Of headers.
    pub header: Arc<str>,
}

impl Classes {
    /// Those that a connector's configuration names, or the worker's: upstream's names where short ones were given.
    #[must_use]
    pub fn of(props: &Props, worker: &Props) -> Self {
        let named = |key: &str| props.get(key).or_else(|| worker.get(key)).map_or("", |name| name.trim());
        let of_wire = |name: &str| wire::find(name).and_then(|wire| wire.aliases.first().copied());
        let of_writer = |name: &str| payload::find_for_headers(name).and_then(|writer| writer.aliases.first().copied());
        let class = |name: &str| -> Arc<str> {
            let full = if name.contains('.') { None } else { of_wire(name).or_else(|| of_writer(name)) };
            full.unwrap_or(name).into()
        };
        let header = match named("header.converter") {
            "" => "SimpleHeaderConverter",
            given => given,
        };
        Self { key: class(named("key.converter")), value: class(named("value.converter")), header: class(header) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_the_keys_say() {
        let none = Policy { tolerates: false, logs: false, names_record: false };
        for (given, expected) in [
            (&[][..], none),
            (&[("errors.tolerance", "none"), ("errors.log.enable", "false")], none),
            (&[("errors.tolerance", "all")], Policy { tolerates: true, ..none }),
            (&[("errors.log.enable", " TRUE ")], Policy { logs: true, ..none }),
            (&[("errors.log.include.messages", "true")], Policy { names_record: true, ..none }),
        ] {
            assert_eq!(Policy::from_props(&props(given)), expected, "{given:?}");
        }
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Upstream's `LogReporter`, but for the timestamp's type, which a batch does not have; keys and values are in no line.
    #[test]
    fn lines_are_upstreams_and_name_the_record_where_that_is_asked_for() {
        let letters = letter::tests::letters(&[(15, "unexpected end")]);
        let (letter, task) = (letters.get(0).unwrap(), TaskName { connector: "orders-sink".into(), task: 2 });
        let start = "ERROR lakehead::runtime::errors: Error encountered in task orders-sink-2. Executing stage 'VALUE_CONVERTER' with class \
                     'org.apache.kafka.connect.json.JsonConverter'";
        let record = ", where consumed record is {topic='orders', partition=3, offset=15, timestamp=9}";
        for (policy, expected) in [
            (Policy { logs: false, names_record: true, tolerates: true }, String::new()),
            (Policy { logs: true, names_record: false, tolerates: true }, format!("{start}. at=orders-3@15 reason=\"unexpected end\"\n")),
            (Policy { logs: true, names_record: true, tolerates: false }, format!("{start}{record}. at=orders-3@15 reason=\"unexpected end\"\n")),
        ] {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone()).finish();
            tracing::subscriber::with_default(subscriber, || policy.log(&task, letter.failure, &"orders-3@15", &|| letter.told()));
            assert_eq!(String::from_utf8_lossy(&log.0.lock().unwrap()).trim_start(), expected, "{policy:?}");
        }
    }

    #[test]
    fn converters_are_named_as_upstream_names_them() {
        let worker = props(&[("key.converter", "org.apache.kafka.connect.storage.StringConverter"), ("value.converter", "json")]);
        let classes = Classes::of(&props(&[("value.converter", "avro")]), &worker);
        assert_eq!(
            [&*classes.key, &*classes.value, &*classes.header],
            [
                "org.apache.kafka.connect.storage.StringConverter",
                "io.confluent.connect.avro.AvroConverter",
                "org.apache.kafka.connect.storage.SimpleHeaderConverter"
            ]
        );
        assert_eq!(&*Classes::of(&props(&[("value.converter", "com.acme.Mine")]), &worker).value, "com.acme.Mine");
    }
}
