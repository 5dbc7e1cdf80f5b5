//! What Parquet and Avro files hold, read by programs that others wrote and compared value by value.
//!
//! Every Connect type and logical type, in every place where a schema can have it, is written by the real formats, in each form of lists, each version of
//! pages and each codec. `values.py` reads the files with pyarrow, DuckDB, Polars, fastavro and Java's parquet-cli, and prints a table of readers and
//! types; what a reader cannot do is listed there with the reason, and fails when it is not so any more.
//!
//! `cargo test --test readers` needs what `tests/servers/setup.sh python java-readers` installs. Parts: [`samples`], the types and values.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test that is a report: what cannot be written fails it")]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, FieldRef, Fields};
use lakehead_formats::file::{self, Options};
use serde_json::{Value, json};

use samples::Sample;

mod samples;

/// The sample that is written in every codec.
const IN_EVERY_CODEC: &str = "required";
const PARQUET_CODECS: [&str; 7] = ["none", "snappy", "gzip", "brotli", "lz4", "zstd", "lz4_raw"];
/// Rows of a row group or block.
const GROUP_ROWS: usize = 700;
/// The folder of the Avro files that have one column each, for readers that give a file up for one of its columns.
const BY_COLUMN: &str = "by-column";
const AVRO_CODECS: [&str; 4] = ["null", "deflate", "snappy", "bzip2"];

fn main() -> ExitCode {
    // This is one program, not a harness: it lists no tests, and a filter that is not its name is for others.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list") || !(names.is_empty() || names.iter().any(|name| "readers".contains(name.as_str()))) {
        return ExitCode::SUCCESS;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join(BY_COLUMN)).expect("a folder");
    for sample in samples::samples() {
        let (field, array) = samples::rows(&sample);
        write(folder.path(), &sample, &field, &array);
    }
    let (sample, field, array) = samples::registered();
    write(folder.path(), &sample, &field, &array);
    if read(folder.path()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes a sample in every form that a file can have, and what readers must find beside it.
fn write(folder: &Path, sample: &Sample, field: &FieldRef, array: &ArrayRef) {
    let name = sample.name;
    let columns: Vec<Value> = sample.columns.iter().map(|column| json!({"name": column.name, "schema": column.schema, "values": column.expected})).collect();
    fs::write(folder.join(format!("{name}.json")), Value::Array(columns).to_string()).expect("written");
    for (lists, codec, version) in
        ["upstream", "three-level"].iter().flat_map(|lists| PARQUET_CODECS.iter().flat_map(move |codec| [(lists, codec, "1"), (lists, codec, "2")]))
    {
        if *codec == "snappy" || name == IN_EVERY_CODEC && *lists == "upstream" {
            let options = [("parquet.codec", *codec), ("lakehead.parquet.lists", *lists), ("lakehead.parquet.writer.version", version)];
            fs::write(folder.join(format!("{name}.{lists}.{codec}.v{version}.parquet")), encode("parquet", &options, field, array)).expect("written");
        }
    }
    for codec in AVRO_CODECS.iter().filter(|codec| **codec == "null" || name == IN_EVERY_CODEC) {
        fs::write(folder.join(format!("{name}.{codec}.avro")), encode("avro", &[("avro.codec", codec)], field, array)).expect("written");
        for column in &sample.columns {
            let (field, array) = alone(&column.name, field, array);
            let path = folder.join(BY_COLUMN).join(format!("{name}.{codec}.{}.avro", column.name));
            fs::write(path, encode("avro", &[("avro.codec", codec)], &field, &array)).expect("written");
        }
    }
}

/// The rows with one of their columns.
fn alone(column: &str, field: &FieldRef, array: &ArrayRef) -> (FieldRef, ArrayRef) {
    let rows = array.as_struct();
    let (at, own) = rows.fields().find(column).expect("the sample's column");
    let fields = Fields::from(vec![Arc::clone(own)]);
    let one = StructArray::new(fields.clone(), vec![Arc::clone(rows.column(at))], None);
    (FieldRef::new(field.as_ref().clone().with_data_type(DataType::Struct(fields))), Arc::new(one))
}

/// A file of that format.
fn encode(format: &str, options: &[(&str, &str)], field: &FieldRef, array: &ArrayRef) -> Vec<u8> {
    let options: Options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let format = (file::find(format).expect("registered").build)(&options).expect("settings");
    let mut encoder = format.encoder(field).expect("a type that files hold");
    for start in (0..array.len()).step_by(GROUP_ROWS) {
        encoder.write(&array.slice(start, GROUP_ROWS.min(array.len() - start))).expect("rows");
        encoder.flush().expect("rows");
    }
    encoder.finish(&[]).expect("a file").0.concat()
}

/// Has every reader read every file; false when something is not as it must be.
fn read(folder: &Path) -> bool {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| repository.join(".tools"), Into::into);
    let python = tools.join("venv/bin/python");
    let mut values = Command::new(&python);
    // Polars panics at what it cannot read, and says so on standard error: that is shown only when something else failed, too.
    values.env("RUST_BACKTRACE", "0").arg(repository.join("tests/readers/values.py")).arg(folder).arg(tools.join("java-readers"));
    match values.output() {
        Ok(output) => {
            println!("{}", String::from_utf8_lossy(&output.stdout));
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let lines: Vec<&str> = said.lines().collect();
                println!("{}", lines[lines.len().saturating_sub(20)..].join("\n"));
                println!("`tests/servers/setup.sh python java-readers` installs the readers, where one is missing");
            }
            output.status.success()
        }
        Err(error) => {
            println!("{} cannot be run: {error}; `tests/servers/setup.sh python java-readers` installs the readers", python.display());
            false
        }
    }
}
