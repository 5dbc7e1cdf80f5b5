//! The storage sinks', the transforms' and the converters' conformance vectors, played through the real code.
//!
//! `cargo test --test conformance` plays every vector of this folder; `LAKEHEAD_CONFORMANCE_DIR` names another folder of the same form, whose JSON files
//! are played instead. The last lines are `conformance <file> <kind>: passed N, differs N, failed N`. A vector passes when everything is as it expects;
//! it differs when all that is not is predicted by a row of `docs/compatibility.md` ([`rules`]); otherwise it fails, also when it is not understood.
//!
//! Parts: [`vectors`] (what a vector is), [`shorthand`] and [`records`] (schemas and records), [`store`] and [`bucket`] (what is written to), [`play`] (the real
//! converters and tasks on a set clock), [`files`] and [`avro`] (what was written), then the kinds: [`writer`], [`settings`], [`row_format`], [`others`],
//! [`transforms`] and [`converters`] (with [`shared`], which the differential test has too, and [`tagged`], values with their classes).
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test that is a report: what cannot be read fails it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use vectors::{Outcome, Vector};

mod avro;
mod bucket;
mod converters;
mod files;
mod others;
mod play;
mod records;
mod row_format;
mod rules;
mod settings;
mod shared;
mod shorthand;
mod store;
mod tagged;
mod transforms;
mod vectors;
mod writer;

/// Every kind, and who plays it.
const KINDS: &[(&str, fn(&Vector) -> Outcome)] = &[
    ("writer", writer::writer),
    ("fault", writer::fault),
    ("config", settings::config),
    ("next_scheduled_rotation", settings::next_scheduled_rotation),
    ("row_format", row_format::row_format),
    ("aiven", others::aiven),
    ("lenses", others::lenses),
    ("smt", transforms::smt),
    ("predicate", transforms::predicate),
    ("path", transforms::path),
    ("to_connect", converters::to_connect),
    ("from_connect", converters::from_connect),
    ("to_header", converters::to_header),
    ("from_header", converters::from_header),
];

/// What the tests of this test check: it must not be wrong itself.
const CHECKS: &[(&str, fn())] = &[
    ("shorthand", shorthand::shorthand_becomes_the_converters_json),
    ("schemas as objects", shorthand::objects_may_use_shorthand_in_their_parts),
    ("decimals", records::decimals_are_unscaled_big_endian_bytes),
    ("marks", records::marks_come_back_out_of_any_text),
    ("faults", store::faults_are_read_from_their_words),
    ("avro schemas", avro::schemas_have_one_normal_form),
    ("parquet schemas", files::schemas_are_printed_as_parquet_java_does),
    ("expectations", row_format::schemas_are_compared_by_what_is_expected),
];

#[derive(Debug, Default)]
struct Count {
    passed: usize,
    differs: usize,
    failed: usize,
}

fn main() -> ExitCode {
    // This is one program, not a harness: it lists no tests, and a filter that is not its name is for others.
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| argument.parse::<u64>().is_err()).collect();
    let is_meant = |filter: &String| "conformance".contains(filter.as_str());
    let names: Vec<&String> = filters.iter().filter(|argument| !argument.starts_with('-')).collect();
    if filters.iter().any(|argument| argument == "--list") || !(names.is_empty() || names.iter().any(|name| is_meant(name))) {
        return ExitCode::SUCCESS;
    }
    for (name, check) in CHECKS {
        check();
        println!("checked: {name}");
    }
    for row in rules::unlisted() {
        println!("not listed in docs/compatibility.md, so it explains nothing: {row}");
    }
    let elsewhere = std::env::var_os("LAKEHEAD_CONFORMANCE_DIR").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut lines = Vec::new();
    let mut failed = false;
    for path in json_files(elsewhere.as_deref().unwrap_or(&own)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let counts = play_file(&path).unwrap_or_else(|why| {
            println!("failed: {}: {why}", path.display());
            failed = true;
            Vec::new()
        });
        for (kind, count) in counts {
            let Count { passed, differs, failed: bad } = count;
            lines.push(format!("conformance {name} {kind}: passed {passed}, differs {differs}, failed {bad}"));
            failed |= bad > 0;
        }
    }
    println!();
    lines.iter().for_each(|line| println!("{line}"));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "{} has no JSON file", folder.display());
    files
}

/// Plays the vectors of a file, and says what came of those that did not pass.
fn play_file(path: &Path) -> Result<Vec<(String, Count)>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let file: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let vectors = Vector::all(&file)?;
    let mut counts: Vec<(String, Count)> = Vec::new();
    let mut strange: BTreeMap<&str, usize> = BTreeMap::new();
    for vector in &vectors {
        let Some((kind, play)) = KINDS.iter().find(|(kind, _)| *kind == vector.kind) else {
            *strange.entry(&vector.kind).or_default() += 1;
            continue;
        };
        let at = counts.iter().position(|(known, _)| known == kind).unwrap_or_else(|| {
            counts.push(((*kind).to_owned(), Count::default()));
            counts.len() - 1
        });
        judge(vector, *play, &mut counts[at].1);
    }
    for (kind, count) in strange {
        println!("not of this test: {count} of kind {kind} in {}", path.display());
    }
    Ok(counts)
}

fn judge(vector: &Vector, play: fn(&Vector) -> Outcome, count: &mut Count) {
    let Vector { id, kind, form, .. } = vector;
    let name = form["name"].as_str().unwrap_or("");
    // A panic of the code under test is a failure of this vector, and the others are played.
    let outcome = std::panic::catch_unwind(|| play(vector)).unwrap_or_else(|_| Err("panicked".to_owned()));
    match outcome {
        Ok(mismatches) if mismatches.is_empty() => count.passed += 1,
        Ok(mismatches) => {
            if let Some(reason) = transforms::on_purpose(id) {
                count.differs += 1;
                println!("differs: {id} {kind}: {reason}");
                return;
            }
            let rules: Vec<_> = mismatches.iter().map(|mismatch| rules::explain(vector, mismatch)).collect();
            if let Some(known) = rules.iter().copied().collect::<Option<Vec<_>>>() {
                count.differs += 1;
                let mut rows: Vec<&str> = known.iter().map(|rule| rule.row).collect();
                rows.dedup();
                println!("differs: {id} {kind}: {name}: {}", rows.join("; "));
                return;
            }
            if let Some(reason) = converters::difference(vector) {
                count.differs += 1;
                println!("differs: {id} {kind}: {reason}");
                return;
            }
            count.failed += 1;
            println!("failed: {id} {kind}: {name}");
            for (mismatch, _) in mismatches.iter().zip(&rules).filter(|(_, rule)| rule.is_none()) {
                println!("    {mismatch}");
            }
        }
        Err(why) => {
            count.failed += 1;
            println!("failed: {id} {kind}: {name}\n    not played: {why}");
        }
    }
}
