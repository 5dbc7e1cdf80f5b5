//! Every interleaving of a small world, over the very state machine that production runs: nothing is lost, nothing is visible twice, everything can be finished.
//!
//! `docs/exactly-once.md` has the protocol in words. Each world is small enough to be looked at whole; `make model` takes larger ones (`MODEL_RECORDS`). The last test leaves
//! out one step of the protocol at a time, and has to find what goes wrong without it.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that reports what it looked at, as far as it was told to look"
)]

mod laws;
mod owner;
mod world;

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};
use world::{Fault, World};

/// As many records as the largest worlds have.
fn bound() -> usize {
    std::env::var("MODEL_RECORDS").map_or(3, |count| count.parse().expect("MODEL_RECORDS is a number"))
}

/// As many records, with these paths over and over.
fn records(paths: &str) -> String {
    paths.chars().cycle().take(bound()).collect()
}

/// One record less, for worlds in which more than records happens.
fn fewer_records(paths: &str) -> String {
    paths.chars().cycle().take(bound() - 1).collect()
}

/// Looks at every state of a world.
fn check(name: &str, world: World) {
    let started = Instant::now();
    let checker = world.checker().threads(2).spawn_bfs().join();
    let seconds = started.elapsed().as_secs_f64();
    println!("{name}: {} states, none further than {} steps, {seconds:.1} s", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn files_that_end_together() {
    for paths in ["ab", "a-b"] {
        check(paths, World { is_together: true, ..World::new(&records(paths)) });
    }
}

#[test]
fn files_of_each_path_by_themselves() {
    for paths in ["aba", "ab-"] {
        check(paths, World::new(&records(paths)));
    }
}

#[test]
fn paths_made_by_the_clock() {
    for is_together in [true, false] {
        check(
            if is_together { "together" } else { "apart" },
            World { is_together, is_clocked: true, ticks: 1, ..World::new(&if is_together { records("a") } else { fewer_records("a") }) },
        );
    }
}

/// From room for one path to room for nearly all.
#[test]
fn texts_of_any_length() {
    for limit in (64 + 34..=64 + 44).step_by(2) {
        check(&format!("{limit} bytes"), World { limit, groups: 2, ..World::new(&records("aba")) });
    }
    for limit in [64 + 38, 64 + 44] {
        check(&format!("{limit} bytes, three paths"), World { limit, groups: 2, ..World::new(&records("abc")) });
    }
}

/// Its owners learn that when it refuses one.
#[test]
fn a_coordinator_that_takes_less_text_than_others() {
    let lanes = || ["a", "b", "c"].map(|letter| format!("/{}", letter.repeat(34)).into()).to_vec();
    for takes in [130, 142] {
        check(&format!("{takes} bytes"), World { takes, lanes: lanes(), ..World::new(&records("abc")) });
    }
}

#[test]
fn another_configuration_comes_and_goes() {
    check("two changes", World { changes: 2, ..World::new(&fewer_records("aba")) });
}

#[test]
fn an_operator_sets_the_offset() {
    check("to any offset", World { resets: 1, ..World::new(&fewer_records("aba")) });
}

/// Former owners do nothing at once here: each of their steps, and each file that appears late, is one of its own. That takes many more states than records do.
#[test]
fn two_and_three_owners_step_by_step() {
    for (formers, paths) in [(1, fewer_records("aba")), (2, "ab".to_owned())] {
        for is_together in [true, false] {
            check(
                &format!("{} owners, {paths}, {}", formers + 1, if is_together { "together" } else { "apart" }),
                World { formers, is_together, ..World::new(&paths) },
            );
        }
    }
}

#[test]
fn every_step_of_the_protocol_is_needed() {
    let world = |paths: &str| World::new(paths);
    let cases = [
        (Fault::NeverPlanned, laws::ONCE, world("aa")),
        (Fault::PlannedLate, laws::ONCE, world("aa")),
        (Fault::PassedEarly, laws::KEPT, world("a")),
        (Fault::AheadIgnored, laws::ONCE, world("aba")),
        (Fault::EndsForgotten, laws::ONCE, world("aa")),
        (Fault::OwnClock, laws::ONCE, World { is_clocked: true, ticks: 1, ..world("a") }),
        (Fault::AnyConfiguration, laws::ONCE, World { changes: 1, ..world("a") }),
        (Fault::Unfenced, laws::ONCE, World { formers: 1, ..world("aa") }),
        (Fault::ParksOpen, laws::ONCE, World { limit: 64 + 38, ..world("abca") }),
    ];
    for (fault, law, world) in cases {
        let world = World { fault: Some(fault), ..world };
        let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyOf(BTreeSet::from([law]))).spawn_bfs().join();
        let path = checker.discovery(law);
        println!("without {fault:?}: {law}: {:?}", path.as_ref().map(|path| path.clone().into_actions()));
        assert!(path.is_some(), "{law}: holds all the same with {fault:?}, in {} states", checker.unique_state_count());
    }
}
