//! Each transform alone, and a chain of five, beside the same ones of Kafka Connect in Java, on the same orders in one run: `make bench-transform`.
//!
//! What is applied is in `cases.json`; each of it to batches of 10,000 order events of the quickstart, with a schema and as schemaless JSON; where there is a predicate,
//! one in a hundred is a tombstone. A line says rows a second on one core, and how many times as many ours are; both have run for two seconds before. Java is
//! given structs and maps, which its converter made before; of JSON without a schema we are given the text, so that reading it and writing it again, once for a
//! chain, is part of ours alone. Where upstream refuses a transform for values without a schema there is no line. `BENCH_JAVA=no` leaves Java's out.
#![expect(clippy::expect_used, clippy::print_stdout, clippy::panic, reason = "a benchmark: what it sets up cannot fail, and it prints a table")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{BinaryArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::quickstart::orders::{CONNECT_SCHEMA, FIRST_TS_MS, Order, STEP_MS, write_json};
use lakehead::transform::Chain;
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;
use lakehead_formats::wire::{self, Want};
use serde_json::{Value, json};

const ROWS: u64 = 10_000;
const WARM: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(1);

fn main() {
    let cases: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(include_str!("cases.json")).expect("settings");
    let mut java = std::env::var_os("BENCH_JAVA").is_none_or(|wanted| wanted != "no").then(Java::start);
    println!("| orders | transform | Lakehead, million rows/s | Kafka Connect, million rows/s | factor |\n|---|---|---:|---:|---:|");
    for (orders, has_schema) in [("with a schema", true), ("JSON", false)] {
        for (name, settings) in &cases {
            let has_tombstones = settings.contains_key("predicates");
            let Some(ours) = rate(settings, &batch(has_schema, has_tombstones)) else { continue };
            let theirs = java.as_mut().map(|java| java.rate(settings, has_schema, has_tombstones));
            let millions = |rate: f64| format!("{:.2}", rate / 1e6);
            let (theirs, factor) = theirs.map_or_else(Default::default, |theirs| (millions(theirs), format!("{:.1}", ours / theirs)));
            println!("| {orders} | {name} | {} | {theirs} | {factor} |", millions(ours));
        }
    }
}

/// Rows a second; nothing where the records are refused.
fn rate(settings: &BTreeMap<String, String>, batch: &Batch) -> Option<f64> {
    let mut chain = Chain::from_props(&settings.clone().into_iter().collect()).expect("valid settings");
    let mut apply = |batch: Batch| {
        let mut out = Vec::new();
        let refused = chain.apply(batch, &mut out);
        black_box(out);
        refused.is_empty()
    };
    if !apply(batch.clone()) {
        return None;
    }
    let mut rate = |time: Duration| {
        let (start, mut batches) = (Instant::now(), 0_u32);
        while start.elapsed() < time {
            // Many in a row, since some take less than looking at the clock.
            (0..16).for_each(|_| assert!(black_box(apply(black_box(batch.clone())))));
            batches += 16;
        }
        f64::from(batches) * 10_000.0 / start.elapsed().as_secs_f64()
    };
    rate(WARM);
    Some(rate(MEASURED))
}

/// Orders as JSON, all or but for a tombstone among a hundred.
fn texts(has_tombstones: bool) -> impl Iterator<Item = Option<String>> {
    (0..ROWS).map(move |row| {
        (!has_tombstones || !row.is_multiple_of(100)).then(|| {
            let mut text = Vec::new();
            write_json(&mut text, row);
            String::from_utf8(text).expect("a text")
        })
    })
}

fn batch(has_schema: bool, has_tombstones: bool) -> Batch {
    let rows = i64::try_from(ROWS).expect("few rows");
    let customers = (0..ROWS).map(|row| format!("c-{}", Order::at(row).customer));
    let at = |row: u64| i64::try_from(FIRST_TS_MS + STEP_MS * row).expect("a time");
    let value = if has_schema {
        let options = [("schemas.enable", "false"), ("schema.content", CONNECT_SCHEMA)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut converter = (wire::find("json").expect("a converter").build)(&options, false, Want::Any).expect("a schema");
        let payloads: BinaryArray = texts(has_tombstones).map(|text| text.map(String::into_bytes)).collect();
        converter.decode("orders", &payloads).expect("orders").spans.remove(0).1
    } else {
        Column::new(json_text("value"), Arc::new(texts(has_tombstones).collect::<StringArray>()))
    };
    Batch {
        from: TopicPartition::new("orders", 0),
        span: OffsetRange { start: 0, end: rows },
        topic: Arc::from("orders"),
        offsets: Int64Array::from_iter_values(0..rows),
        timestamps: TimestampMillisecondArray::from_iter_values((0..ROWS).map(at)),
        key: Column::new(Arc::new(Field::new("key", DataType::Utf8, true)), Arc::new(StringArray::from_iter_values(customers))),
        value,
        headers: None,
    }
}

/// Kafka Connect's own classes in a Java program, `Bench.java`.
struct Java {
    process: Child,
    given: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _classes: tempfile::TempDir,
}

impl Java {
    fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| here.join(".tools"), PathBuf::from);
        let jars = format!("{}/*", tools.join("connect").display());
        let classes = tempfile::tempdir().expect("a folder for classes");
        let mut javac = Command::new("javac");
        javac.args(["-proc:none", "-cp", &jars, "-d"]).arg(classes.path()).arg(here.join("benches/transform/Bench.java"));
        javac.args(["Driver.java", "Tagged.java"].map(|name| here.join("tests/differential").join(name)));
        assert!(javac.status().expect("javac runs: `make bench-transform` sets it up").success(), "javac refused the sources");
        let mut java = Command::new("java");
        java.args(["-Xmx1g", "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-Dlog4j2.level=OFF", "-cp", &format!("{}:{jars}", classes.path().display()), "Bench"]);
        let mut process = java.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("java starts");
        let (given, answers) = (process.stdin.take().expect("a pipe"), process.stdout.take().expect("a pipe"));
        Self { process, given, answers: BufReader::new(answers).lines(), _classes: classes }
    }

    fn rate(&mut self, settings: &BTreeMap<String, String>, has_schema: bool, has_tombstones: bool) -> f64 {
        let schema = if has_schema { Value::from(CONNECT_SCHEMA) } else { Value::Null };
        let orders: Vec<Option<String>> = texts(has_tombstones).collect();
        writeln!(self.given, "{}", json!({"orders": orders, "schema": schema, "settings": settings})).expect("Java takes orders");
        let answer = self.answers.next().expect("Java answers").expect("a line");
        answer.parse().unwrap_or_else(|_| panic!("Java says {answer}"))
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
