//! Each transform, and two chains of five, beside the same ones of Kafka Connect in Java, on the same orders in one run: `make bench-transform`.
//!
//! A row a line: rows a second on one core, ours and Java's, and how many times as many ours are. Both have run for some time before they are measured. Java is
//! given structs and maps, which its converter made before; of JSON without a schema we are given the text, so that what it costs to read it and to write it again is ours.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark: what it sets up cannot fail, and it prints a table")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lakehead::batch::Batch;
use serde_json::{Map, Value, json};

use orders::{ORDERS, SCHEMA, cases, chain, schemaless, texts, with_schema};

mod orders;

const WARM: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(1);

fn main() {
    let java = rates_of_java();
    println!("| orders | transform | ours, rows/s | Java, rows/s | factor |\n|---|---|---|---|---|");
    let mut rates = java.into_iter();
    for (orders, batch) in [("with a schema", with_schema()), ("JSON", schemaless())] {
        for (name, settings) in cases() {
            let mut chain = chain(&settings);
            let mut rate = |time: Duration| {
                let (start, mut rows) = (Instant::now(), 0);
                while start.elapsed() < time {
                    let mut out: Vec<Batch> = Vec::new();
                    chain.apply(std::hint::black_box(batch.clone()), &mut out);
                    std::hint::black_box(out);
                    rows += ORDERS;
                }
                rows as f64 / start.elapsed().as_secs_f64()
            };
            rate(WARM);
            let (ours, java) = (rate(MEASURED), rates.next().expect("a rate for each"));
            println!("| {orders} | {name} | {ours:.0} | {java:.0} | {:.1} |", ours / java);
        }
    }
}

/// Rows a second of each case, with a schema and without.
fn rates_of_java() -> Vec<f64> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| here.join(".tools"), PathBuf::from);
    let jars = format!("{}/*", tools.join("connect").display());
    let classes = tempfile::tempdir().expect("a folder for classes");
    let mut javac = Command::new("javac");
    javac.args(["-proc:none", "-cp", &jars, "-d"]).arg(classes.path()).arg(here.join("benches/transform/Bench.java"));
    javac.args(["Driver.java", "Tagged.java"].map(|name| here.join("tests/differential").join(name)));
    assert!(javac.status().expect("javac runs").success(), "javac refused the sources");
    let mut java = Command::new("java");
    java.args(["-Xmx1g", "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-Dlog4j2.level=OFF", "-cp", &format!("{}:{jars}", classes.path().display()), "Bench"]);
    let mut process = java.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("java starts");
    let (mut given, mut answers) = (process.stdin.take().expect("a pipe"), BufReader::new(process.stdout.take().expect("a pipe")).lines());
    let orders: Vec<Option<String>> = texts().iter().map(|text| text.map(str::to_owned)).collect();
    let mut rates = Vec::new();
    for schema in [Value::from(SCHEMA), Value::Null] {
        writeln!(given, "{}", json!({"orders": orders, "schema": schema})).expect("Java takes orders");
        for (name, settings) in cases() {
            let settings: Map<String, Value> = settings.iter().map(|(key, value)| ((*key).to_owned(), of_java(key, value).into())).collect();
            writeln!(given, "{}", Value::Object(settings)).expect("Java takes settings");
            let answer = answers.next().unwrap_or_else(|| panic!("{name}: Java ended")).expect("a line");
            rates.push(answer.parse().unwrap_or_else(|_| panic!("{name}: Java says {answer}")));
        }
    }
    drop(given);
    process.wait().expect("Java ends");
    rates
}

/// Java knows classes by their whole names.
fn of_java(key: &str, value: &str) -> String {
    match key.split('.').collect::<Vec<_>>()[..] {
        ["predicates", _, "type"] => format!("org.apache.kafka.connect.transforms.predicates.{value}"),
        [_, _, "type"] => format!("org.apache.kafka.connect.transforms.{value}"),
        _ => value.to_owned(),
    }
}
