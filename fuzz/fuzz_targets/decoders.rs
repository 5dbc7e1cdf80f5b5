//! The target that LAKEHEAD_FUZZ_TARGET names, under libFuzzer: `make fuzz` runs one after the other.

#![no_main]

use std::sync::OnceLock;

#[path = "../bodies/mod.rs"]
mod bodies;

static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

fn named() -> fn(&[u8]) {
    let name = std::env::var("LAKEHEAD_FUZZ_TARGET").unwrap_or_default();
    let found = bodies::TARGETS.iter().find(|target| target.name == name);
    let known: Vec<&str> = bodies::TARGETS.iter().map(|target| target.name).collect();
    found.unwrap_or_else(|| panic!("LAKEHEAD_FUZZ_TARGET is \"{name}\", which is none of {}", known.join(", "))).run
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| (RUN.get_or_init(named))(data));
