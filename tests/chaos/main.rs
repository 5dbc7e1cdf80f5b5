//! Everything that can go wrong, done to the real binary with a real broker and a real store while records come in, and counted.
//!
//! A producer numbers the records of each partition; at the end every file is read back by a reader that we did not write, and each record must be there
//! once. `make chaos` runs every row in an optimised build and prints the table of `docs/reliability.md`; `cargo test` runs a part of them, shortened.
//! Random choices follow from a seed, which is printed: `CHAOS_SEED` sets it, `CHAOS_KILLS` the number of kills at random moments, `CHAOS_JOBS` how many
//! rows run at once. Arguments are parts of rows' names: only those rows run. `--full` is what `make chaos` adds.
//!
//! Parts: [`scene`] (a row on its way), [`load`] (the producer), [`watch`] (the committed offsets), [`counted`] (what the files hold), [`rules`] (when files
//! end), [`commits`] (a proxy before the broker) and [`steps`] (a file's way, and what is done to a worker on it); then the rows: [`kills`], [`zombies`],
//! [`members`], [`network`], [`answers`], [`machines`].
#![expect(clippy::expect_used, clippy::print_stdout, reason = "whatever goes wrong in a harness fails the test, which is a report")]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rules::Rule;
use scene::{Effort, PLANTED, Report};

mod answers;
mod commits;
mod counted;
mod kills;
mod load;
mod machines;
mod members;
mod network;
mod rules;
mod scene;
mod steps;
mod watch;
#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "each test program needs other parts of the world")]
mod world;
mod zombies;

use world::{broker, bucket, proxy, servers, worker};

/// A row of the table.
struct Row {
    fault: &'static str,
    rule: Rule,
    run: fn(Rule, &Effort) -> Report,
    /// Whether `cargo test` runs it too.
    is_quick: bool,
}

impl Row {
    /// What happens, and when files end.
    fn name(&self) -> String {
        format!("{} ({})", self.fault, self.rule.text())
    }
}

const fn row(fault: &'static str, rule: Rule, run: fn(Rule, &Effort) -> Report) -> Row {
    Row { fault, rule, run, is_quick: false }
}

const fn quick(fault: &'static str, rule: Rule, run: fn(Rule, &Effort) -> Report) -> Row {
    Row { fault, rule, run, is_quick: true }
}

/// The longest first, so that the last to end are short.
const ROWS: &[Row] = &[
    quick("kill -9 at random moments", Rule::Apart, kills::at_random),
    row("kill -9 at random moments", Rule::SchedulePaths, kills::at_random),
    row("kill -9 at random moments", Rule::Schedule, kills::at_random),
    row("kill -9 at random moments", Rule::LateApart, kills::at_random),
    row("kill -9 at random moments", Rule::Processing, kills::at_random),
    row("kill -9 at random moments", Rule::SizePaths, kills::at_random),
    quick("kill -9 before, in and after each step", Rule::Apart, kills::at_steps),
    row("kill -9 before, in and after each step", Rule::Size, kills::at_steps),
    row("kill -9 before, in and after each step, of several parts", Rule::SlowSchedule, kills::at_steps_of_parts),
    row("stopped beyond its session, at random moments", Rule::Apart, zombies::at_random),
    quick("stopped before a publish, a plan, a commit; let through late", Rule::Apart, zombies::at_steps),
    row("stopped before a completion; let through late", Rule::SlowSchedule, zombies::at_completion),
    row("a member joins or leaves every second", Rule::Apart, members::every_second),
    row("network to the store: toxiproxy", Rule::Apart, network::to_the_store),
    row("network to the broker: toxiproxy", Rule::Apart, network::to_the_broker),
    row("store: 500 and 503 for 1 %", Rule::Apart, answers::errors_1),
    quick("store: 500 and 503 for 10 %", Rule::Apart, answers::errors_10),
    row("store: 500 and 503 for 50 %", Rule::Apart, answers::errors_50),
    row("store: 200 with an error for 50 % of completions", Rule::SlowSchedule, answers::error_under_200),
    row("store: the same, when they were done", Rule::SlowSchedule, answers::error_under_200_when_done),
    row("store: answer lost for 50 % of completions", Rule::SlowSchedule, answers::lost_completion),
    quick("store: answer lost for 50 % of puts", Rule::Apart, answers::lost_put),
    row("store: uploads removed by somebody else", Rule::SlowSchedule, answers::removed_uploads),
    row("store down for 60 s", Rule::Schedule, answers::store_down),
    row("store slow: 30 s a request", Rule::Schedule, answers::store_slow),
    row("broker restarts", Rule::Apart, machines::broker_restarts),
    row("clock jumps, and restarts at another time", Rule::Schedule, machines::clock_jumps),
    row("clock jumps, and restarts at another time", Rule::Processing, machines::clock_jumps),
    row("disk full", Rule::Schedule, machines::full_disk),
];

/// What this test's own parts check: it must not be wrong itself.
const CHECKS: &[(&str, fn())] = &[
    ("commits", commits::commits_are_read_from_their_frames),
    ("requests", steps::requests_are_told_apart),
    ("timeline", watch::the_timeline_sees_what_goes_back_and_how_long_it_took),
];

fn main() -> ExitCode {
    // This is one program, not a harness: it lists no tests.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_full = arguments.iter().any(|argument| argument == "--full");
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_meant = |row: &Row| names.is_empty() || names.iter().any(|name| "chaos" == name.as_str() || row.name().contains(name.as_str()));
    let rows: Vec<&Row> = ROWS.iter().filter(|row| (is_full || row.is_quick || !names.is_empty()) && is_meant(row)).collect();
    if rows.is_empty() {
        return ExitCode::SUCCESS; // the name is another test's
    }
    for (name, check) in CHECKS {
        check();
        println!("checked: {name}");
    }
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = number("CHAOS_KILLS").map_or(if is_full { 40 } else { 5 }, |kills| u32::try_from(kills).expect("CHAOS_KILLS: a smaller number"));
    let effort = Effort { is_full, seed, kills };
    println!("CHAOS_SEED={seed}");
    let began = Instant::now();
    let lines = run_all(&rows, &effort, usize::try_from(number("CHAOS_JOBS").unwrap_or(3)).expect("CHAOS_JOBS: a smaller number"));
    println!("\n{HEAD}");
    lines.iter().for_each(|(line, _)| println!("{line}"));
    let is_good = lines.iter().all(|(_, is_good)| *is_good);
    let planted = PLANTED.get();
    println!("\n{}", planted.map_or("nothing was planted: no row wrote two files", String::as_str));
    println!("{} rows in {} s, CHAOS_SEED={seed}", rows.len(), began.elapsed().as_secs());
    if is_good && planted.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const HEAD: &str = "| what happens | files end | faults | records in | rows out | lost | doubled | out of order | recovery, median and longest | also |\n\
                    |---|---|---:|---:|---:|---:|---:|---:|---:|---|";

fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    Some(text.to_string_lossy().parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

/// Runs the rows, so many at once; their lines, in the rows' order, and whether each is good.
fn run_all(rows: &[&Row], effort: &Effort, jobs: usize) -> Vec<(String, bool)> {
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..rows.len()).collect());
    let done: Mutex<Vec<Option<(String, bool)>>> = Mutex::new(vec![None; rows.len()]);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(index) = { waiting.lock().expect("no row panics here").pop_front() } {
                    let line = run(rows[index], effort);
                    done.lock().expect("no row panics here")[index] = Some(line);
                }
            });
        }
    });
    done.into_inner().expect("no row panics here").into_iter().flatten().collect()
}

fn run(row: &Row, effort: &Effort) -> (String, bool) {
    let (fault, rule) = (row.fault, row.rule.text());
    match catch_unwind(AssertUnwindSafe(|| (row.run)(row.rule, effort))) {
        Err(panic) => {
            let why = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            println!("BAD: {fault} ({rule}): ended with {why}");
            (format!("| {fault} | {rule} | | | | | | | | **broken**: {} |", why.lines().next().unwrap_or_default()), false)
        }
        Ok(report) => {
            let is_good = report.is_good();
            let Report { sent, counted, faults, recoveries, backward, remarks, troubles } = report;
            let seconds = |time: Option<&Duration>| time.map_or("–".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
            let recovery = format!("{}, {}", seconds(recoveries.get(recoveries.len() / 2)), seconds(recoveries.last()));
            let mut also = remarks;
            also.extend((backward > 0).then(|| format!("**committed offsets went back {backward} times**")));
            also.extend((counted.strange + counted.misnamed > 0).then(|| format!("**{} never sent, {} files misnamed**", counted.strange, counted.misnamed)));
            also.extend((!troubles.is_empty()).then(|| format!("**{} troubles**", troubles.len())));
            println!("{}: {fault} ({rule}): {} of {sent} in {} files", if is_good { "good" } else { "BAD" }, counted.rows, counted.files);
            troubles.iter().chain(&counted.examples).for_each(|trouble| println!("    {trouble}"));
            let (rows, lost, doubled, disorder) = (counted.rows, counted.lost, counted.doubled, counted.disorder);
            let numbers = format!("{faults} | {sent} | {rows} | {lost} | {doubled} | {disorder} | {recovery}");
            (format!("| {fault} | {rule} | {numbers} | {} |", also.join("; ")), is_good)
        }
    }
}
