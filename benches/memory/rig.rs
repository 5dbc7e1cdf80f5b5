//! A sink task under a memory limit, in a process of its own: `runtime::sink_task` with the cloud storage sink over a folder, and a consumer that makes up its records.
//!
//! The process that measures starts itself again as the one that is measured ([`Case::run`]); that one ([`child`]) prints one line of figures. What is in the
//! files is then checked from outside: every record once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, BinaryBuilder, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use lakehead::batch::{Commits, OffsetRange, Offsets, RawBatch, TopicPartition};
use lakehead::clock::Clock;
use lakehead::compute::Compute;
use lakehead::connect::Props;
use lakehead::env::Env;
use lakehead::kafka::{Consumer, Kafka, KafkaError, Logs, Polled, Subscription, Wanted};
use lakehead::memory::Budget;
use lakehead::runtime::sink_task::{self, TaskControl, TaskSpec};
use lakehead::runtime::status::Live;
use lakehead::settings::{Host, Settings};
use lakehead::spill::Spill;
use lakehead::store::urls::Urls;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The variable that tells a child what it is to do.
pub(crate) const CASE: &str = "LAKEHEAD_MEMORY_CASE";

/// What records look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Forty columns: numbers, texts, times; about 600 bytes of JSON.
    Forty,
    /// Four hundred columns of text, of which most are absent and a few are fat: 181 KB a record.
    Skewed,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) shape: Shape,
    /// Paths that have an open file at once.
    pub(crate) files: u64,
    pub(crate) rows: u64,
    /// `lakehead.memory.limit`.
    pub(crate) limit_bytes: u64,
    /// Whether there is a `lakehead.spill.dir`.
    pub(crate) spills: bool,
}

/// What became of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// VmHWM of the process.
    pub(crate) peak_bytes: u64,
    /// What of it are pages of the program file, at the end: many in a build for debugging.
    pub(crate) program_bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) early_closes: u64,
    pub(crate) spilled_bytes: u64,
    /// The most that was counted by the budget.
    pub(crate) counted_bytes: u64,
    pub(crate) objects: u64,
    pub(crate) rows_out: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Case {
    fn encode(&self, folder: &Path) -> String {
        let Self { shape, files, rows, limit_bytes, spills } = self;
        format!("{shape:?},{files},{rows},{limit_bytes},{spills},{}", folder.display())
    }

    fn decode(text: &str) -> Option<(Self, PathBuf)> {
        let mut parts = text.splitn(6, ',');
        let shape = if parts.next()? == "Skewed" { Shape::Skewed } else { Shape::Forty };
        let mut number = || parts.next()?.parse().ok();
        let (files, rows, limit_bytes) = (number()?, number()?, number()?);
        let spills = parts.next()? == "true";
        Some((Self { shape, files, rows, limit_bytes, spills }, PathBuf::from(parts.next()?)))
    }

    /// Runs the case in another process, this program called with `arguments`, and looks at what it wrote below `root`.
    pub(crate) fn run(&self, root: &Path, arguments: &[&str]) -> Outcome {
        let folder = root.join(format!("{:?}-{}-{}", self.shape, self.files, self.limit_bytes >> 20));
        let program = std::env::current_exe().expect("this program");
        let output = Command::new(program).args(arguments).env(CASE, self.encode(&folder)).output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("figures:"));
        let Some(line) = line.filter(|_| output.status.success()) else {
            panic!("{self:?}: {}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        };
        let figures: BTreeMap<&str, f64> =
            line.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k, v.parse().expect("a number"))).collect();
        let figure = |name: &str| figures.get(name).copied().unwrap_or_default() as u64;
        let (objects, rows_out, lost, doubled) = self.found(&folder.join("lake"));
        fs::remove_dir_all(&folder).expect("a folder");
        Outcome {
            peak_bytes: figure("peak"),
            program_bytes: figure("program"),
            seconds: figures.get("seconds").copied().unwrap_or_default(),
            early_closes: figure("early_closes"),
            spilled_bytes: figure("spilled"),
            counted_bytes: figure("counted"),
            objects,
            rows_out,
            lost,
            doubled,
        }
    }

    /// Objects, rows, rows that are missing, rows that are there more than once.
    fn found(&self, lake: &Path) -> (u64, u64, u64, u64) {
        let mut times = vec![0_u32; usize::try_from(self.rows).expect("few rows")];
        let (mut objects, mut rows) = (0, 0);
        let mut folders = vec![lake.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                objects += 1;
                let file = fs::File::open(&path).expect("an object");
                let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
                let only = parquet::arrow::ProjectionMask::columns(builder.parquet_schema(), ["id"]);
                for batch in builder.with_projection(only).build().expect("a reader") {
                    let batch = batch.expect("rows");
                    rows += batch.num_rows() as u64;
                    for id in batch.column(0).as_primitive::<Int64Type>().values() {
                        times[usize::try_from(*id).expect("an id")] += 1;
                    }
                }
            }
        }
        let (lost, doubled) = (times.iter().filter(|n| **n == 0).count(), times.iter().filter(|n| **n > 1).count());
        (objects, rows, lost as u64, doubled as u64)
    }
}

/// Does what [`CASE`] says, if it says anything, and prints the figures.
pub(crate) fn child() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how a parent tells its child")]
    let Some((case, folder)) = std::env::var(CASE).ok().and_then(|text| Case::decode(&text)) else { return false };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    lakehead::standalone::block_on(cores, async {
        measure(case, folder, cores).await;
        Ok(())
    })
    .expect("threads");
    true
}

async fn measure(case: Case, folder: PathBuf, cores: usize) {
    fs::create_dir_all(folder.join("lake")).expect("a folder");
    let spill = if case.spills { Spill::below(folder.join("spill")) } else { Spill::off() };
    let memory = Budget::of_process(case.limit_bytes).spilling_to(spill);
    let env =
        Env { clock: Clock::system(), kafka: Arc::new(Made(case.clone())), compute: Compute::pool(cores), memory: memory.clone(), stores: Arc::new(Urls) };
    let worker: Props = pairs(&[("bootstrap.servers", "nowhere:9092"), ("key.converter", STRINGS), ("value.converter", JSON)]);
    let class = lakehead::plugins::CONNECTORS.iter().find(|class| class.class() == "io.lakehead.connect.CloudStorageSink").expect("the sink");
    let spec = TaskSpec {
        connector: "memory".into(),
        task: 0,
        class: *class,
        props: props(&case, &folder.join("lake")),
        worker: Arc::new(Settings::from_props(&worker, &Host::default()).expect("settings")),
        env,
    };
    let (live, stop) = (Arc::new(Live::default()), CancellationToken::new());
    let (_pause, paused) = watch::channel(false);
    let begun = Instant::now();
    let task = tokio::spawn(sink_task::run(spec, TaskControl { paused, stop: stop.clone(), live: Arc::clone(&live) }));
    let end = i64::try_from(case.rows).expect("few rows");
    while live.figures().committed.values().next() != Some(&end) && !task.is_finished() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    stop.cancel();
    task.await.expect("no panic").expect("no failure");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).map_or(0, |kib| kib << 10)
    };
    let report = live.figures().report;
    #[expect(clippy::print_stdout, reason = "how a child tells its parent")]
    {
        println!();
        println!(
            "figures: peak={} program={} seconds={seconds} early_closes={} spilled={} counted={}",
            of("VmHWM:"),
            of("RssFile:"),
            report.early_closes,
            memory.spill().written_bytes(),
            memory.peak()
        );
    }
}

const STRINGS: &str = "org.apache.kafka.connect.storage.StringConverter";
const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

fn pairs(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// All files end at once, with the last record, unless memory makes them end before.
fn props(case: &Case, lake: &Path) -> Props {
    let mut props = pairs(&[
        ("topics", "events"),
        ("format.class", "parquet"),
        ("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"),
        ("partition.field.name", "path"),
        ("key.converter", STRINGS),
        ("value.converter", JSON),
        ("value.converter.schemas.enable", "false"),
    ]);
    props.insert("flush.size".to_owned(), case.rows.to_string());
    if !case.spills {
        // Files that end early begin the count anew: the last ones end by the clock.
        props.insert("rotate.schedule.interval.ms".to_owned(), "20000".to_owned());
        props.insert("timezone".to_owned(), "UTC".to_owned());
    }
    props.insert("lakehead.store.url".to_owned(), lake.display().to_string());
    let fields: Vec<String> = columns(case.shape).iter().map(|(name, kind)| format!(r#"{{"field":"{name}","type":"{kind}","optional":true}}"#)).collect();
    props.insert("value.schema".to_owned(), format!(r#"{{"type":"struct","optional":false,"fields":[{}]}}"#, fields.join(",")));
    props
}

/// Names and Connect types.
fn columns(shape: Shape) -> Vec<(String, &'static str)> {
    let mut columns = vec![("id".to_owned(), "int64"), ("path".to_owned(), "string")];
    match shape {
        Shape::Forty => columns.extend((2..40).map(|n| (format!("c{n:02}"), ["int64", "double", "string", "boolean", "int32"][n % 5]))),
        Shape::Skewed => columns.extend((2..400).map(|n| (format!("c{n:03}"), "string"))),
    }
    columns
}

/// A Kafka whose one topic partition has the case's records.
#[derive(Debug)]
struct Made(Case);

impl Kafka for Made {
    fn consumer(&self, _: &lakehead::kafka::Props, _: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
        let noise = (0..1_u64 << 20).map(|n| b'a' + u8::try_from(mix(n) % 26).expect("a letter")).collect();
        Ok(Box::new(Maker { case: self.0.clone(), next: None, noise: String::from_utf8(noise).expect("letters"), committed: Mutex::default() }))
    }
}

#[derive(Debug)]
struct Maker {
    case: Case,
    /// The next record; `None` before the assignment.
    next: Option<u64>,
    noise: String,
    committed: Mutex<Commits>,
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

fn tp() -> TopicPartition {
    TopicPartition::new("events", 0)
}

impl Maker {
    fn word(&self, seed: u64, length: usize) -> &str {
        let start = usize::try_from(mix(seed)).unwrap_or(0) % (self.noise.len() - length);
        &self.noise[start..start + length]
    }

    fn record(&self, id: u64, text: &mut String) {
        use std::fmt::Write as _;
        text.clear();
        let path = mix(id) % self.case.files;
        write!(text, r#"{{"id":{id},"path":"p{path:05}""#).expect("a text");
        match self.case.shape {
            Shape::Forty => {
                for n in 2..40_u64 {
                    let seed = mix(id * 64 + n);
                    match n % 5 {
                        0 => write!(text, r#","c{n:02}":{}"#, seed >> 20),
                        1 => write!(text, r#","c{n:02}":{}.25"#, seed % 100_000),
                        2 => write!(text, r#","c{n:02}":"{}""#, self.word(seed % 5000, 4 + (n % 9) as usize)),
                        3 => write!(text, r#","c{n:02}":{}"#, seed.is_multiple_of(3)),
                        _ => write!(text, r#","c{n:02}":{}"#, seed % 1000),
                    }
                    .expect("a text");
                }
            }
            Shape::Skewed => {
                for n in 2..400_u64 {
                    let length = match n {
                        100 => 90_000,
                        200 => 60_000,
                        300 => 30_000,
                        n if mix(id * 512 + n).is_multiple_of(20) => 40,
                        _ => continue,
                    };
                    write!(text, r#","c{n:03}":"{}""#, self.word(id * 512 + n, length)).expect("a text");
                }
            }
        }
        text.push('}');
    }

    /// As many records as librdkafka's poll makes a batch of.
    fn batch(&self, start: u64) -> RawBatch {
        let (mut values, mut text, mut end) = (BinaryBuilder::new(), String::new(), start);
        while end < self.case.rows && end - start < 8192 && values.values_slice().len() < 4 << 20 {
            self.record(end, &mut text);
            values.append_value(&text);
            end += 1;
        }
        let (first, last) = (i64::try_from(start).expect("an offset"), i64::try_from(end).expect("an offset"));
        let values = values.finish();
        RawBatch {
            from: tp(),
            span: OffsetRange { start: first, end: last },
            offsets: Int64Array::from_iter_values(first..last),
            timestamps: TimestampMillisecondArray::from_iter_values(first..last),
            keys: arrow::array::BinaryArray::new_null((end - start) as usize),
            values,
            headers: None,
        }
    }
}

#[async_trait]
impl Consumer for Maker {
    async fn next(&mut self, wanted: Wanted) -> Polled {
        match self.next {
            None => {
                self.next = Some(0);
                Polled::Assigned(vec![tp()])
            }
            Some(start) if wanted == Wanted::Everything && start < self.case.rows => {
                let batch = self.batch(start);
                self.next = u64::try_from(batch.span.end).ok();
                Polled::Records(vec![batch])
            }
            Some(_) => std::future::pending().await,
        }
    }

    async fn commit(&self, commits: &Commits) -> Result<(), KafkaError> {
        self.committed.lock().expect("no panic").extend(commits.clone());
        Ok(())
    }

    async fn committed(&self, _: &[TopicPartition]) -> Result<Commits, KafkaError> {
        Ok(self.committed.lock().expect("no panic").clone())
    }

    async fn logs(&mut self, _: &[TopicPartition]) -> Result<Logs, KafkaError> {
        Ok(Logs::from([(tp(), OffsetRange { start: 0, end: i64::try_from(self.case.rows).expect("an offset") })]))
    }

    async fn seek(&mut self, to: &Offsets) -> Result<(), KafkaError> {
        if let Some(offset) = to.get(&tp()) {
            self.next = u64::try_from(*offset).ok();
        }
        Ok(())
    }

    async fn close(&mut self) {}

    fn end_offsets(&self) -> Offsets {
        Offsets::from([(tp(), i64::try_from(self.case.rows).expect("an offset"))])
    }
}
