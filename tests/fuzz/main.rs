//! Every fuzz target on its seeds, and on some changes of each: what `make fuzz` runs for longer cannot break unseen.
//!
//! Changes are made with a fixed seed, so that a failure comes again; it prints the input, which `fuzz/seeds` may keep. FUZZ_CHANGES makes more of them, others each time that it is
//! another number.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what cannot be read, or breaks a law, fails the test")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fastrand::Rng;

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

/// Changed inputs for each target.
const CHANGES: usize = 1500;
/// Bytes of the longest.
const MOST: usize = 4096;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The seeds of a target, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("seeds").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}: every target has seeds", folder.display()));
    let mut found: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{}: every target has seeds", folder.display());
    found
}

/// What stands in a seed is changed in a few places, or parts of two are put together.
fn changed(seeds: &[(String, Vec<u8>)], rng: &mut Rng) -> Vec<u8> {
    let pick = |rng: &mut Rng| seeds[rng.usize(..seeds.len())].1.clone();
    let mut input = pick(rng);
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=input.len());
        let end = (at + rng.usize(..9)).min(input.len());
        match rng.u8(..7) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            1 if at < input.len() => input[at] = rng.choice([0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b'.', b'\'', b'9', b'\\']).unwrap(),
            2 => drop(input.drain(at..end)),
            3 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            4 => {
                let other = pick(rng);
                let from = rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => input.insert(at, rng.u8(..)),
            _ => input.truncate(at),
        }
    }
    input.truncate(MOST);
    input
}

/// What a target has against an input.
fn problem(target: &bodies::Target, what: &str, input: &[u8]) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).err()?;
    let why = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    Some(format!("{} fails for {what}: {why}\nb\"{}\"", target.name, input.escape_ascii()))
}

/// The first problem of a target.
fn play(target: &bodies::Target) -> Option<String> {
    let seeds = seeds(target.name);
    let of_seed = seeds.iter().find_map(|(name, input)| problem(target, name, input));
    let changes = std::env::var_os("FUZZ_CHANGES").and_then(|number| number.to_str()?.parse().ok()).unwrap_or(CHANGES);
    let mut rng = Rng::with_seed(changes as u64);
    of_seed.or_else(|| (0..changes).find_map(|number| problem(target, &format!("change {number}"), &changed(&seeds, &mut rng))))
}

#[test]
fn targets_keep_their_laws_on_their_seeds_and_on_changes_of_them() {
    let half = |half: usize| bodies::TARGETS.iter().skip(half).step_by(2).filter_map(play).collect::<Vec<_>>();
    let problems = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        [half(0), other.join().expect("its problems")].concat()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn seeds_are_small_and_of_targets() {
    let names: Vec<&str> = bodies::TARGETS.iter().map(|target| target.name).collect();
    for entry in fs::read_dir(root().join("seeds")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(names.contains(&name.as_str()), "{} is no target's", path.display());
        let bytes: usize = seeds(&name).iter().map(|(_, input)| input.len()).sum();
        assert!(bytes <= 16 << 10, "{}: {bytes} bytes", path.display());
    }
}
