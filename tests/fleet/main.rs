//! The life of a fleet: three workers of one group with twenty connectors and a hundred tasks, one of whom is killed, stopped or restarted all the time; and
//! what came of it.
//!
//! `make fleet` does that for `FLEET_MINUTES` (10) with an optimised build; `cargo test` has a short form, in which each fault happens once. Random choices follow
//! from a seed, which is printed; `FLEET_SEED` sets it. `--full` is what `make fleet` adds.
//!
//! Parts: [`cast`] (the connectors with their topics and files, and what arrived), [`crew`] (the workers, and what is done to them), [`seen`] (what workers said),
//! [`lives`] (who ran which task when), [`verdict`] (whether that was right, and how long it took). The producer and the count of files are those of `tests/chaos`.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "whatever goes wrong in a harness fails the test, which is a report")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod cast;
#[path = "../chaos/counted.rs"]
#[allow(dead_code, reason = "what is planted is that test's")]
mod counted;
mod crew;
mod lives;
#[path = "../chaos/load.rs"]
mod load;
mod seen;
mod verdict;
#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "each test program needs other parts of the world")]
mod world;

use cast::{Cast, Numbers};
use crew::{Crew, Fault};
use lives::Lives;
use seen::Said;
use verdict::{Story, Times};
use world::{broker, bucket, servers, worker};

/// The longest that everything may take to run after it was created, and sinks to come to their ends.
const SETTLED: Duration = Duration::from_secs(60);

/// How much a run does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    is_full: bool,
    /// Random choices follow from it.
    pub(crate) seed: u64,
    minutes: u64,
    /// After this a silent member is none any more.
    session: Duration,
    /// The connectors.
    pub(crate) numbers: Numbers,
}

/// What this test's own parts check: it must not be wrong itself.
const CHECKS: &[(&str, fn())] =
    &[("logs", seen::lines_of_a_log_are_read), ("lives", lives::tasks_that_run_twice_are_seen), ("counts", cast::what_is_missing_is_seen)];

fn main() -> ExitCode {
    // This is one program, not a harness: it lists no tests.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_meant = arguments.iter().filter(|argument| !argument.starts_with('-')).all(|name| "fleet".contains(name.as_str()));
    if arguments.iter().any(|argument| argument == "--list") || !is_meant {
        return ExitCode::SUCCESS;
    }
    for (name, check) in CHECKS {
        check();
        println!("checked: {name}");
    }
    let (is_full, seed) = (arguments.iter().any(|argument| argument == "--full"), number("FLEET_SEED").unwrap_or_else(|| fastrand::u64(..)));
    let (numbers, session) = if is_full { (Numbers::FULL, 6) } else { (Numbers::SHORT, 3) };
    let effort = Effort { is_full, seed, minutes: number("FLEET_MINUTES").unwrap_or(10), session: Duration::from_secs(session), numbers };
    println!("FLEET_SEED={seed}");
    let (began, mut troubles) = (Instant::now(), Vec::new());
    let rows = live(&effort, &mut troubles);
    println!("\n| | times | median | longest | at most |\n|---|---:|---:|---:|---:|");
    rows.iter().for_each(|times| println!("{}", times.row()));
    // A build without optimisation, beside other tests, is held to everything but the seconds.
    let late = rows.iter().filter(|times| !times.is_good() && effort.is_full).map(|times| format!("too late: {}", times.what));
    troubles.extend(late);
    println!("\n{} troubles in {} s, FLEET_SEED={seed}", troubles.len(), began.elapsed().as_secs());
    troubles.iter().take(30).for_each(|trouble| println!("    {trouble}"));
    if troubles.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    Some(text.to_string_lossy().parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

/// From the first worker's start to the last one's end, and what is to say about it.
fn live(effort: &Effort, troubles: &mut Vec<String>) -> Vec<Times> {
    let mut crew = Crew::new("fleet", effort.session);
    crew.fill();
    let mut cast = Cast::new(effort);
    cast.pass(Duration::ZERO); // a file that a source waits for is no trouble, but a line in the log
    cast.connectors.iter().for_each(|connector| crew.create(connector));
    let settled = crew.await_balance(&cast.parts, SETTLED);
    println!("{} connectors, {} tasks: {}", cast.connectors.len(), cast.parts.len() - cast.connectors.len(), said_of(&settled));
    troubles.extend(settled.err());
    cast.pass(Duration::from_secs(1));

    let (began, mut random) = (crew.now(), fastrand::Rng::with_seed(effort.seed));
    if effort.is_full {
        let until = Instant::now() + Duration::from_secs(effort.minutes * 60);
        while Instant::now() < until {
            strike(&mut crew, &mut cast, effort, &mut random);
        }
    } else {
        let mut faults = [Fault::Kill, Fault::Sleep, Fault::Nap, Fault::Restart];
        random.shuffle(&mut faults);
        for fault in faults {
            strike_with(fault, &mut crew, &mut cast, effort, &mut random);
            cast.pass(Duration::from_millis(500));
        }
    }

    // Everything is as it was in the beginning, and every worker says so.
    crew.fill();
    let settled = crew.await_balance(&cast.parts, SETTLED);
    println!("{} workers have lived; in the end: {}", crew.lives.len(), said_of(&settled));
    troubles.extend(settled.as_ref().err().cloned());
    cast.pass(Duration::from_secs(1));
    let sent = cast.finish(SETTLED).map_err(|why| troubles.push(why)).unwrap_or_default();
    let ended = crew.now();
    crew.dismiss();

    let said: Vec<_> = crew.lives.iter().map(|life| (Said::in_file(&life.log), life.fate.clone())).collect();
    if let Ok((owners, _)) = &settled {
        let lives = Lives::of(&said);
        for (task, id) in owners.iter().filter(|(part, _)| lives.runs.contains_key(*part)) {
            let runs: Vec<&str> = lives.who(task, ended).into_iter().map(|worker| crew.lives[worker].id.as_str()).collect();
            troubles.extend((runs != [id.as_str()]).then(|| format!("{task} is on {id} as the REST API says, and runs on {runs:?}")));
        }
    }
    judge(&crew, &cast, &said, (began, ended), effort, &sent, troubles)
}

fn said_of(settled: &Result<(crew::Owners, Duration), String>) -> String {
    settled.as_ref().map_or_else(Clone::clone, |(_, took)| format!("all run, shared out evenly, after {:.1} s", took.as_secs_f64()))
}

/// One fault at random, on a random worker, for a random time; some on top of another.
fn strike(crew: &mut Crew, cast: &mut Cast, effort: &Effort, random: &mut fastrand::Rng) {
    let fault = [Fault::Kill, Fault::Kill, Fault::Sleep, Fault::Nap, Fault::Restart][random.usize(0..5)];
    strike_with(fault, crew, cast, effort, random);
    let calm = effort.session + Duration::from_secs(3);
    cast.pass(calm.mul_f64(random.f64() * 1.3));
}

fn strike_with(fault: Fault, crew: &mut Crew, cast: &mut Cast, effort: &Effort, random: &mut fastrand::Rng) {
    let index = random.usize(0..crew.len());
    let lasting = effort.session + Duration::from_millis(2_500);
    match fault {
        Fault::Kill => {
            crew.kill(index);
            // Every other time the one that comes back comes before anybody has missed it.
            let away = if random.bool() || !effort.is_full { lasting } else { effort.session.mul_f64(random.f64()) };
            cast.pass(away);
            crew.fill();
        }
        Fault::Sleep => {
            let another = effort.is_full && random.u8(0..3) == 0;
            crew.freeze(index, fault, |crew| {
                cast.pass(lasting + Duration::from_secs(1).mul_f64(random.f64()));
                if another {
                    crew.kill(random.usize(0..crew.len()));
                    cast.pass(effort.session.mul_f64(random.f64()));
                }
            });
            cast.pass(Duration::from_millis(500));
            crew.fill();
        }
        Fault::Nap => crew.freeze(index, fault, |_| cast.pass(effort.session.mul_f64(0.1 + 0.7 * random.f64()))),
        Fault::Restart => {
            crew.end(index);
            cast.pass(Duration::from_secs(2).mul_f64(random.f64()));
            crew.fill();
        }
    }
}

/// Whether everything ran once, in time, and arrived.
fn judge(
    crew: &Crew,
    cast: &Cast,
    workers: &[(Said, lives::Fate)],
    (began, ended): (i64, i64),
    effort: &Effort,
    sent: &[std::collections::BTreeMap<i32, u64>],
    troubles: &mut Vec<String>,
) -> Vec<Times> {
    let said: Vec<&Said> = workers.iter().map(|(said, _)| said).collect();
    let instances: BTreeSet<&str> = cast.connectors.iter().map(|connector| connector.name.as_str()).collect();
    let tasks = cast.parts.iter().map(String::as_str).filter(|part| !instances.contains(part)).collect();
    let session = i64::try_from(effort.session.as_millis()).expect("a few seconds");
    let story = Story { said: said.clone(), lives: Lives::of(workers), events: &crew.events, began, ended, session, tasks, is_strict: effort.is_full };
    troubles.extend(said.iter().flat_map(|said| said.failures.iter().cloned()));
    let zombies = story.zombies(troubles);
    let looked = story.look_at_quiet_moments(troubles);
    let count = |fault| crew.events.iter().filter(|event| event.lost.is_some_and(|(_, of)| of == fault)).count();
    let runs: usize = story.lives.runs.values().map(Vec::len).sum();
    let cut: usize = said.iter().map(|said| said.cut).sum();
    println!(
        "{} events: {} workers killed, {} stopped beyond their session; {runs} runs of tasks; every task ran once at {looked} moments; {} commits refused",
        crew.events.len(),
        count(Fault::Kill),
        count(Fault::Sleep),
        said.iter().map(|said| said.refused).sum::<usize>(),
    );
    // A killed worker's last line may be cut off.
    troubles.extend((cut > count(Fault::Kill)).then(|| format!("{cut} lines of logs cannot be read")));
    let (all, doubled) = cast.look_at_sources(&said, troubles);
    println!("sources: {all} records arrived, {doubled} of them again");
    if !sent.is_empty() {
        let (all, doubled) = cast.look_at_sinks(sent, &said, troubles);
        println!("sinks: {all} records arrived, {doubled} of them again where that may be; in the files of the lakes each once");
    }
    let [one, two, three] = story.recoveries(cast, Fault::Kill);
    let [four, five, six] = story.recoveries(cast, Fault::Sleep);
    vec![one, two, three, four, five, six, zombies]
}
