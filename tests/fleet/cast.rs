//! The connectors of the fleet with what they read and write, and a look at the end at what arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};
use serde_json::Value;

use crate::Effort;
use crate::broker::Topic;
use crate::counted::Counted;
use crate::load::{Flow, Load};
use crate::seen::Said;
use crate::servers::{Kafka, run_folder};
use crate::worker::Connector;

const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";

/// How many connectors of each kind there are, and how many tasks each has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    numbers: (usize, usize),
    made_up: (usize, usize),
    lines: usize,
    /// Topics that a producer fills, and their partitions.
    loads: (usize, i32),
    lakes: (usize, usize),
    witnesses: (usize, usize),
    copies: (usize, usize),
}

impl Numbers {
    /// Twenty connectors with a hundred tasks.
    pub(crate) const FULL: Self = Self { numbers: (6, 8), made_up: (2, 4), lines: 2, loads: (2, 6), lakes: (4, 6), witnesses: (2, 6), copies: (2, 2) };
    /// Nine with 24.
    pub(crate) const SHORT: Self = Self { numbers: (2, 4), made_up: (1, 2), lines: 1, loads: (1, 4), lakes: (1, 4), witnesses: (1, 4), copies: (1, 2) };
}

/// A source of lines: its file, its topic, and how many it was given.
struct Lines {
    file: PathBuf,
    topic: Topic,
    written: u64,
}

/// A sink's folder or file, and the topic that it is of, by its place.
struct Copy {
    connector: String,
    path: PathBuf,
    load: usize,
}

/// The connectors and what belongs to them.
pub(crate) struct Cast {
    /// The connectors.
    pub(crate) connectors: Vec<Connector>,
    /// Names of all instances and tasks.
    pub(crate) parts: BTreeSet<String>,
    numbers: Vec<(String, Topic)>,
    made_up: Vec<(String, Topic)>,
    lines: Vec<Lines>,
    loads: Vec<(Topic, Option<Load>)>,
    lakes: Vec<Copy>,
    copies: Vec<Copy>,
    /// Connectors that say what they are given, and their topics.
    witnesses: Vec<(String, usize)>,
}

/// `name-a`, `name-b`: tasks are told from connectors by the number at their end.
fn named(kind: &str, index: usize) -> String {
    format!("{kind}-{}", char::from(b'a' + u8::try_from(index).expect("a few")))
}

impl Cast {
    /// Makes the topics, and begins to fill those that sinks read.
    pub(crate) fn new(effort: &Effort) -> Self {
        let count = effort.numbers;
        let mut cast = Self {
            connectors: Vec::new(),
            parts: BTreeSet::new(),
            numbers: Vec::new(),
            made_up: Vec::new(),
            lines: Vec::new(),
            loads: Vec::new(),
            lakes: Vec::new(),
            copies: Vec::new(),
            witnesses: Vec::new(),
        };
        cast.add_sources(count);
        cast.add_sinks(count);
        let flow = Flow { rate: 10, ballast: 8, multiple: 1 };
        for (topic, load) in &mut cast.loads {
            *load = Some(Load::start(&Kafka::shared().bootstrap(), &topic.name, topic.partitions, flow, effort.seed));
        }
        cast
    }

    fn add(&mut self, connector: Connector, tasks: usize) {
        self.parts.insert(connector.name.clone());
        self.parts.extend((0..tasks).map(|task| format!("{}-{task}", connector.name)));
        self.connectors.push(connector.with("tasks.max", &tasks.to_string()));
    }

    fn add_sources(&mut self, count: Numbers) {
        for index in 0..count.numbers.0 {
            let (name, topic) = (named("numbers", index), Topic::create("numbers", 4));
            let source = Connector::of_class(&name, "org.apache.kafka.connect.tools.VerifiableSourceConnector");
            self.add(source.with("topic", &topic.name).with("throughput", "10").with("complete.record.data", "true"), count.numbers.1);
            self.numbers.push((name, topic));
        }
        for index in 0..count.made_up.0 {
            let (name, topic) = (named("made-up", index), Topic::create("made-up", 2));
            let source = Connector::of_class(&name, "io.confluent.kafka.connect.datagen.DatagenConnector");
            let quickstart = ["orders", "users"][index % 2];
            self.add(source.with("kafka.topic", &topic.name).with("quickstart", quickstart).with("max.interval", "200"), count.made_up.1);
            self.made_up.push((name, topic));
        }
        for index in 0..count.lines {
            let (name, topic, file) = (named("lines", index), Topic::create("lines", 1), run_folder().join(named("lines", index)));
            let source = Connector::of_class(&name, "org.apache.kafka.connect.file.FileStreamSourceConnector").with("value.converter", STRING);
            self.add(source.with("topic", &topic.name).with("file", &file.display().to_string()), 1);
            self.lines.push(Lines { file, topic, written: 0 });
        }
        self.add(Connector::of_class("mock-source", "org.apache.kafka.connect.tools.MockSourceConnector"), 1);
    }

    fn add_sinks(&mut self, count: Numbers) {
        self.loads.extend((0..count.loads.0).map(|_| (Topic::create("load", count.loads.1), None)));
        let path = |name: &str| run_folder().join("sinks").join(name);
        fs::create_dir_all(path("")).expect("a folder for the sinks");
        for index in 0..count.lakes.0 {
            let (name, load) = (named("lake", index), index % count.loads.0);
            let mut sink = Connector::folder_sink(&self.loads[load].0, &path(&name), "parquet");
            sink.name.clone_from(&name);
            self.add(sink.with("rotate.schedule.interval.ms", "2000").with("timezone", "UTC"), count.lakes.1);
            self.lakes.push(Copy { connector: name.clone(), path: path(&name), load });
        }
        for index in 0..count.witnesses.0 {
            let (name, load) = (named("witness", index), index % count.loads.0);
            let sink = Connector::of_class(&name, "org.apache.kafka.connect.tools.VerifiableSinkConnector");
            self.add(sink.with("topics", &self.loads[load].0.name), count.witnesses.1);
            self.witnesses.push((name, load));
        }
        for index in 0..count.copies.0 {
            let (name, load) = (named("copy", index), index % count.loads.0);
            let sink = Connector::of_class(&name, "org.apache.kafka.connect.file.FileStreamSinkConnector").with("value.converter", STRING);
            self.add(sink.with("topics", &self.loads[load].0.name).with("file", &path(&name).display().to_string()), count.copies.1);
            self.copies.push(Copy { connector: name.clone(), path: path(&name), load });
        }
        let mock = Connector::of_class("mock-sink", "org.apache.kafka.connect.tools.MockSinkConnector");
        self.add(mock.with("topics", &self.loads[0].0.name), 1);
    }

    /// Tasks that say on standard output what they do.
    pub(crate) fn is_verifiable(task: &str) -> bool {
        task.starts_with("numbers-")
    }

    /// Lets time pass, while lines are written to the files of their sources.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            for lines in &mut self.lines {
                let mut file = File::options().create(true).append(true).open(&lines.file).expect("a file of ours");
                writeln!(file, "line {}", lines.written).expect("room for a line");
                lines.written += 1;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    /// Ends the load, and waits until the sinks have committed all of it, and every line has been read.
    pub(crate) fn finish(&mut self, limit: Duration) -> Result<Vec<BTreeMap<i32, u64>>, String> {
        let sent: Vec<_> = self.loads.iter_mut().map(|(_, load)| load.take().expect("a load that runs").stop()).collect();
        let sinks = self.lakes.iter().chain(&self.copies).map(|copy| (&copy.connector, copy.load));
        let sinks: Vec<_> = sinks.chain(self.witnesses.iter().map(|(name, load)| (name, *load))).collect();
        let since = Instant::now();
        for (name, load) in sinks {
            let topic = &self.loads[load].0;
            let end = topic.end_offsets();
            while topic.committed_offsets(name) != end {
                if since.elapsed() > limit {
                    return Err(format!("{name} has committed {:?} of {end:?} after {limit:?}", topic.committed_offsets(name)));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        for Lines { topic, written, .. } in &self.lines {
            while topic.end_offsets()[&0].cast_unsigned() < *written {
                if since.elapsed() > limit {
                    return Err(format!("{} has {} of {written} lines after {limit:?}", topic.name, topic.end_offsets()[&0]));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(sent)
    }

    /// What is lost of sources' records: each was to arrive at least once. How many came more than once.
    pub(crate) fn look_at_sources(&self, said: &[&Said], troubles: &mut Vec<String>) -> (u64, u64) {
        let (mut all, mut doubled) = (0, 0);
        for (name, topic) in &self.numbers {
            let of = |message: &BorrowedMessage<'_>| {
                let value: Value = serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON");
                Some((value["task"].as_i64()?, value["seqno"].as_i64()?))
            };
            for (task, numbers) in arrived(topic, of) {
                let task = format!("{name}-{task}");
                let acknowledged = said.iter().filter_map(|said| said.acknowledged.get(&task)).max().copied().unwrap_or(-1);
                troubles.extend(missing(&numbers, acknowledged + 1).map(|what| format!("{task}: {what}")));
                (all, doubled) = (all + numbers.len() as u64, doubled + numbers.values().sum::<u64>() - numbers.len() as u64);
            }
        }
        for (name, topic) in &self.made_up {
            for (task, numbers) in arrived(topic, |message| Some((header(message, "task.id")?, header(message, "current.iteration")?))) {
                troubles.extend(missing(&numbers, 1).map(|what| format!("{name}-{task}: {what}")));
                (all, doubled) = (all + numbers.len() as u64, doubled + numbers.values().sum::<u64>() - numbers.len() as u64);
            }
        }
        for lines in &self.lines {
            let of = |message: &BorrowedMessage<'_>| Some((0, std::str::from_utf8(message.payload()?).ok()?.strip_prefix("line ")?.parse().ok()?));
            let numbers = arrived(&lines.topic, of).remove(&0).unwrap_or_default();
            let written = i64::try_from(lines.written).expect("a small number");
            troubles.extend(missing(&numbers, written).map(|what| format!("{}: {what}", lines.topic.name)));
            (all, doubled) = (all + numbers.len() as u64, doubled + numbers.values().sum::<u64>() - numbers.len() as u64);
        }
        (all, doubled)
    }

    /// What sinks have of what was sent: each record once in the files of a lake, at least once elsewhere. Records sent to sinks, and how many came more than
    /// once where that may be.
    pub(crate) fn look_at_sinks(&self, sent: &[BTreeMap<i32, u64>], said: &[&Said], troubles: &mut Vec<String>) -> (u64, u64) {
        let total = |load: usize| sent[load].values().sum::<u64>();
        let (mut all, mut doubled) = (0, 0);
        for lake in &self.lakes {
            let counted = Counted::below(&lake.path, &sent[lake.load]);
            if !counted.is_exact() || counted.rows != total(lake.load) {
                troubles.push(format!("{}: {counted:?} of {}", lake.connector, total(lake.load)));
            }
            let mut verify = Command::new(env!("CARGO_BIN_EXE_lakehead"));
            verify.arg("verify").arg(format!("file://{}/topics", lake.path.display())).args(["--group", &format!("connect-{}", lake.connector)]);
            let output = verify.args(["--bootstrap-servers", &Kafka::shared().bootstrap()]).output().expect("the binary runs");
            if !output.status.success() {
                troubles.push(format!("`lakehead verify` of {} ended with {}: {}", lake.connector, output.status, String::from_utf8_lossy(&output.stdout)));
            }
            all += counted.rows;
        }
        for (name, load) in &self.witnesses {
            for (partition, count) in &sent[*load] {
                let key = (name.clone(), i64::from(*partition));
                let given = said.iter().filter_map(|said| said.given.get(&key)).flatten();
                let numbers = counts(given.map(|(_, offset)| *offset));
                troubles.extend(missing(&numbers, i64::try_from(*count).expect("a small number")).map(|what| format!("{name}, partition {partition}: {what}")));
                (all, doubled) = (all + numbers.len() as u64, doubled + numbers.values().sum::<u64>() - numbers.len() as u64);
            }
        }
        for copy in &self.copies {
            let text = fs::read(&copy.path).unwrap_or_default();
            let mut lines: BTreeMap<&[u8], u64> = BTreeMap::new();
            text.split(|byte| *byte == b'\n').for_each(|line| *lines.entry(line).or_default() += 1);
            let mut lost = 0;
            self.loads[copy.load].0.each_record(|message| match lines.get(message.payload().unwrap_or_default()) {
                None => lost += 1,
                Some(times) => (all, doubled) = (all + 1, doubled + times - 1),
            });
            troubles.extend((lost > 0).then(|| format!("{}: {lost} records are not in the file", copy.connector)));
        }
        (all, doubled)
    }

    /// Connectors that say what they are given.
    pub(crate) fn witnesses(&self) -> impl Iterator<Item = (&str, i32)> {
        self.witnesses.iter().map(|(name, load)| (name.as_str(), self.loads[*load].0.partitions))
    }
}

/// How often each number is there.
fn counts(numbers: impl Iterator<Item = i64>) -> BTreeMap<i64, u64> {
    let mut counts = BTreeMap::new();
    numbers.for_each(|number| *counts.entry(number).or_default() += 1);
    counts
}

/// How often each number of each task is in a topic.
fn arrived(topic: &Topic, of: impl Fn(&BorrowedMessage<'_>) -> Option<(i64, i64)>) -> BTreeMap<i64, BTreeMap<i64, u64>> {
    let mut arrived: BTreeMap<i64, BTreeMap<i64, u64>> = BTreeMap::new();
    topic.each_record(|message| {
        let (task, number) = of(message).unwrap_or_else(|| panic!("{}: a record of somebody else: {:?}", topic.name, message.payload()));
        *arrived.entry(task).or_default().entry(number).or_default() += 1;
    });
    arrived
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<i64> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
}

/// What is missing of the numbers from 0 to the highest that is there, and to `count` at least.
fn missing(numbers: &BTreeMap<i64, u64>, count: i64) -> Option<String> {
    let end = numbers.keys().next_back().map_or(0, |last| last + 1).max(count);
    let missing: Vec<i64> = (0..end).filter(|number| !numbers.contains_key(number)).collect();
    let (first, last) = (missing.first()?, missing.last()?);
    Some(format!("{} of {end} records are lost, from {first} to {last}", missing.len()))
}

/// The count's own rules.
pub(crate) fn what_is_missing_is_seen() {
    for (numbers, count, expected) in [
        (vec![0, 1, 2], 3, None),
        (vec![2, 1, 0, 1], 2, None),
        (vec![], 0, None),
        (vec![0, 1], 3, Some("1 of 3 records are lost, from 2 to 2")),
        (vec![0, 3], 1, Some("2 of 4 records are lost, from 1 to 2")),
        (vec![], 1, Some("1 of 1 records are lost, from 0 to 0")),
    ] {
        assert_eq!(missing(&counts(numbers.iter().copied()), count).as_deref(), expected, "{numbers:?} of {count}");
    }
}
