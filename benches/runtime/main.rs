//! How soon workers start, take over from each other and know their connectors, and what idle ones hold: `make runtime`. Kafka Connect's own worker does the same
//! beside ours, with the same connectors on the same broker.
//!
//! `RUNTIME_CASES` chooses among `start`, `member`, `fetch`, `loss`, `replay` and `idle` (all), `RUNTIME_ROUNDS` says how often times are measured (10; Java's worker
//! a third as often), `RUNTIME_JAVA=no` leaves Java's out. It ends with a table, and with an error when one of our figures is beyond what `docs/runtime.md` promises.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark: what it sets up cannot fail, and it prints a table")]

use std::process::ExitCode;

mod figures;
mod idle;
#[path = "../../tests/chaos/load.rs"]
mod load;
mod loss;
mod peer;
mod replay;
#[path = "../../tests/fleet/seen.rs"]
#[allow(dead_code, reason = "more is read from logs than is measured here")]
mod seen;
mod start;
#[path = "../../tests/world/mod.rs"]
#[allow(dead_code, reason = "each program needs other parts of the world")]
mod world;

use idle::Idlers;
use peer::Kind;

fn setting(name: &str) -> Option<String> {
    Some(std::env::var_os(name)?.to_string_lossy().into_owned())
}

fn main() -> ExitCode {
    let cases = setting("RUNTIME_CASES");
    let is_chosen = |case: &str| cases.as_ref().is_none_or(|list| list.split(',').any(|name| name.trim() == case));
    let rounds: usize = setting("RUNTIME_ROUNDS").map_or(10, |rounds| rounds.parse().expect("RUNTIME_ROUNDS: a number"));
    let mut kinds = vec![(Kind::Lakehead, rounds)];
    kinds.extend((setting("RUNTIME_JAVA").as_deref() != Some("no")).then_some((Kind::Java, rounds.div_ceil(3))));
    let mut all = Vec::new();
    for (kind, rounds) in kinds {
        all.extend(is_chosen("start").then(|| start::answers(kind, rounds)));
        all.extend(is_chosen("member").then(|| start::is_member(kind, rounds)));
        all.extend(is_chosen("fetch").then(|| start::fetches(kind, rounds)));
        if is_chosen("loss") {
            all.extend(loss::of(kind, rounds.div_ceil(2)));
        }
        all.extend((is_chosen("replay") && kind == Kind::Lakehead).then(|| replay::of_the_library(rounds)));
        all.extend(is_chosen("replay").then(|| replay::of_a_worker(kind, rounds.div_ceil(3))));
        if is_chosen("idle") {
            all.extend([Idlers::Nobody, Idlers::Verifiable].map(|idlers| idle::resident(kind, idlers)));
            all.extend((kind == Kind::Lakehead).then(|| idle::resident(kind, Idlers::Lakes)));
        }
    }
    if figures::print(&all) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
