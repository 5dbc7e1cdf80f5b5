//! The differential test: random configurations and random records through Java's transforms, predicates and converters, and through ours, in one run.
//!
//! `cargo test --test differential` plays a set of cases that is always the same; `DIFFERENTIAL_SEED` and `DIFFERENTIAL_CASES` name others (`make differential`
//! plays 100,000 that nobody has played before). Every difference has a reason in [`explain`], or the test fails and prints the case, made smaller.
//!
//! Parts: [`cases`] (what is played), of [`values`] and [`settings`]; [`java`] (Kafka Connect's classes in `Driver.java`), [`play`] (our real code), [`judge`] (what is
//! not the same), [`explain`] (why), [`shrink`]; and of the conformance test [`shared`] and [`tagged`], records as batches.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test that is a report: what cannot be played fails it")]

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};

use java::Java;
use judge::Difference;

mod cases;
mod explain;
mod java;
mod judge;
mod play;
mod settings;
#[path = "../conformance/shared.rs"]
mod shared;
mod shrink;
#[expect(dead_code, reason = "the conformance test's, which uses the rest")]
#[path = "../conformance/tagged.rs"]
mod tagged;
mod values;

/// What `cargo test` plays.
const SEED: u64 = 1;
const CASES: usize = 10_000;
/// So many cases are enough for every reason to be used.
const ALL: usize = 1_000_000;
/// So many cases are printed that differ without a reason.
const PRINTED: usize = 20;

/// What came of the cases of one class.
#[derive(Debug, Default)]
struct Count {
    cases: usize,
    refused: usize,
    outcomes: usize,
    failures: usize,
}

#[derive(Debug, Default)]
struct Report {
    counts: BTreeMap<String, Count>,
    reasons: BTreeMap<usize, usize>,
    unexplained: Vec<(Value, Difference)>,
    unexplained_cases: usize,
}

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_meant = filters.is_empty() || filters.iter().any(|filter| "differential".contains(filter.as_str()));
    if std::env::args().any(|argument| argument == "--list") || !is_meant {
        return ExitCode::SUCCESS;
    }
    let (seed, count) =
        (number("DIFFERENTIAL_SEED").unwrap_or(SEED), number("DIFFERENTIAL_CASES").map_or(CASES, |count| usize::try_from(count).unwrap_or(CASES)));
    println!("DIFFERENTIAL_SEED={seed} DIFFERENTIAL_CASES={count}");
    std::panic::set_hook(Box::new(|_| {})); // a panic is an outcome
    let (start, mut java) = (Instant::now(), Java::start());
    let report = run(&mut java, &mut Rng::with_seed(seed), count);
    show(&report, &mut java);
    println!("{count} cases in {:.1?}", start.elapsed());
    let unused: Vec<_> = explain::REASONS.iter().enumerate().filter(|(at, _)| !report.reasons.contains_key(at)).map(|(_, reason)| reason.text).collect();
    let is_stale = count >= ALL && !unused.is_empty();
    if is_stale {
        unused.iter().for_each(|reason| println!("a reason that explains nothing: {reason}"));
    }
    if report.unexplained_cases > 0 || is_stale { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?.to_string_lossy().into_owned();
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Java works at some cases ahead of us.
fn run(java: &mut Java, rng: &mut Rng, count: usize) -> Report {
    let (mut report, mut waiting) = (Report::default(), VecDeque::new());
    for _ in 0..count {
        let case = cases::case(rng);
        java.send(&case);
        waiting.push_back(case);
        if waiting.len() >= java::AHEAD
            && let Some(case) = waiting.pop_front()
        {
            let answer = java.answer();
            settle(&mut report, case, &answer);
        }
    }
    for case in waiting {
        let answer = java.answer();
        settle(&mut report, case, &answer);
    }
    report
}

fn ours(case: &Value) -> Value {
    match catch_unwind(AssertUnwindSafe(|| play::play(case))) {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => json!({"unplayable": why}),
        Err(panic) => json!({"panicked": panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))}),
    }
}

fn unexplained(case: &Value, java: &Value, reasons: &mut BTreeMap<usize, usize>) -> Vec<Difference> {
    let mut left = Vec::new();
    for difference in judge::differences(case, java, &ours(case)) {
        match explain::reason_of(case, &difference) {
            Some(reason) => *reasons.entry(reason).or_default() += 1,
            None => left.push(difference),
        }
    }
    left
}

fn settle(report: &mut Report, case: Value, java: &Value) {
    let kinds: Vec<String> = match case["props"].as_object() {
        Some(props) => props
            .iter()
            .filter(|(key, _)| key.ends_with(".type") && key.split('.').count() == 3)
            .map(|(_, class)| class.as_str().unwrap_or_default().to_owned())
            .collect(),
        None => vec![format!("{} {}", case["kind"].as_str().unwrap_or_default(), case["class"].as_str().unwrap_or_default())],
    };
    let outcomes = java["outcomes"].as_array().map_or(&[][..], Vec::as_slice);
    let failures = outcomes.iter().filter(|outcome| outcome.get("error").is_some()).count();
    for kind in kinds {
        let count = report.counts.entry(kind.replace("org.apache.kafka.connect.", "")).or_default();
        count.cases += 1;
        count.refused += usize::from(java.get("refused").is_some());
        count.outcomes += outcomes.len();
        count.failures += failures;
    }
    let left = unexplained(&case, java, &mut report.reasons);
    if let Some(first) = left.into_iter().next() {
        report.unexplained_cases += 1;
        let is_new = |(_, known): &(Value, Difference)| known.what != first.what;
        // Different differences first: many cases show the same one.
        if report.unexplained.len() < PRINTED || report.unexplained.iter().all(is_new) {
            report.unexplained.push((case, first));
        }
    }
}

fn show(report: &Report, java: &mut Java) {
    for (case, first) in &report.unexplained {
        let differs = |candidate: &Value| {
            let answer = java.ask(candidate);
            let left = unexplained(candidate, &answer, &mut BTreeMap::new());
            answer.get("unplayable").is_none() && left.iter().any(|difference| difference.what == first.what)
        };
        let small = shrink::shrink(case, differs);
        let answer = java.ask(&small);
        println!("\ndiffers: {small}");
        for Difference { at, what, java, ours } in unexplained(&small, &answer, &mut BTreeMap::new()) {
            println!("    {at}: {what}\n      java {java}\n      ours {ours}");
        }
    }
    println!("\n{:<58} {:>8} {:>8} {:>9} {:>8}", "class", "cases", "refused", "records", "fail");
    for (class, Count { cases, refused, outcomes, failures }) in &report.counts {
        println!("{class:<58} {cases:>8} {refused:>8} {outcomes:>9} {failures:>8}");
    }
    println!("\n{:>8}  differences for this reason", "number");
    for (reason, count) in &report.reasons {
        println!("{count:>8}  {}", explain::REASONS[*reason].text);
    }
    println!("{:>8}  cases differ without a reason", report.unexplained_cases);
}
