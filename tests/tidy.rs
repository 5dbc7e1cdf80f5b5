//! The architecture, checked: which module may use which, and how files look.
//!
//! [`MODULES`] is the diagram in `ARCHITECTURE.md` as a table, in the order in which a record meets the modules. A `use` that is not in it fails here:
//! either the code belongs elsewhere, or the architecture changes, and then the table, `ARCHITECTURE.md` and the review say so. Code under `#[cfg(test)]`
//! and in `tests.rs` is free.
#![expect(clippy::expect_used, reason = "a repository that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src/lib.rs`, in its order, with the modules that it may use. `*` stands for all.
const MODULES: &[(&str, &[&str])] = &[
    ("batch", &[]),
    ("offsets", &[]),
    ("calendar", &[]),
    ("kafka", &["batch", "clock", "offsets", "tls"]),
    ("convert", &["batch", "clock", "connect", "tls"]),
    ("transform", &["batch", "calendar", "clock", "connect"]),
    ("partition", &["batch", "calendar", "connect"]),
    ("roll", &["calendar", "connect", "partition"]),
    ("commit", &["batch"]),
    ("store", &["clock", "connect", "memory"]),
    ("connect", &["batch", "env"]),
    ("connectors", &["batch", "calendar", "clock", "commit", "compute", "connect", "env", "memory", "offsets", "partition", "roll", "spill", "store"]),
    ("plugins", &["connect", "connectors", "convert", "partition", "transform"]),
    ("cluster", &["batch", "clock", "kafka", "tls"]),
    ("tls", &[]),
    ("runtime", &["batch", "clock", "cluster", "compute", "connect", "convert", "env", "kafka", "memory", "settings", "tls", "transform"]),
    ("rest", &["cluster", "connect", "runtime", "settings", "telemetry", "tls"]),
    ("settings", &["connect", "kafka"]),
    ("env", &["clock", "compute", "kafka", "memory", "store"]),
    ("compute", &[]),
    ("memory", &["spill"]),
    ("spill", &[]),
    ("clock", &[]),
    ("telemetry", &["settings"]),
    ("audit", &["batch", "commit", "compute", "connect", "kafka", "offsets", "settings", "standalone", "store"]),
    ("dlq", &["audit", "batch", "compute", "kafka", "runtime", "settings", "standalone", "store"]),
    ("standalone", &["*"]),
    ("distributed", &["*"]),
    ("quickstart", &["*"]),
];

/// The same for `formats/src/lib.rs`.
const FORMATS_MODULES: &[(&str, &[&str])] = &[
    ("column", &[]),
    ("weight", &[]),
    ("schema", &["column"]),
    ("instant", &[]),
    ("dates", &[]),
    ("wire", &["column", "schema"]),
    ("file", &["column", "schema", "wire"]),
    ("schemaless", &["column", "file", "schema", "wire"]),
    ("payload", &["column", "file", "instant", "schema", "schemaless", "wire"]),
    ("value", &["column", "file", "instant", "payload", "schema", "wire"]),
    ("headers", &["column", "dates", "file", "instant", "payload", "schema", "value", "wire"]),
];

/// What `formats` may depend on: nothing that waits, opens, connects or tells the time.
const FORMATS_DEPENDENCIES: &[&str] = &[
    "arrow",
    "base64",
    "bytes",
    "bzip2",
    "chrono",
    "chrono-tz",
    "flate2",
    "indexmap",
    "itoa",
    "memchr",
    "parquet",
    "prost-reflect",
    "protox",
    "ryu",
    "serde",
    "serde_json",
    "simdutf8",
    "snap",
    "thiserror",
    "zstd",
];

/// A file has one story; a longer one has two.
const LONGEST_FILE_LINES: usize = 700;

/// Texts that say that something is not finished.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "FIXME", "//! Placeholder"];

/// A source file: where it is, and what it says.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// All Rust files below `folder` (relative to the repository), in order.
    fn below(folder: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.map(|entry| entry.expect("a readable folder").path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).expect("a readable file");
                    found.push(Self { path: path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("below the repository").to_owned(), text });
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// The module that the file is: `src/kafka/poll.rs` → `kafka`, `poll`; empty for the crate's root.
    fn module(&self) -> Vec<String> {
        let mut names: Vec<_> = self.path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        names.drain(..=names.iter().position(|name| name == "src").expect("a file below src"));
        if names.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            names.pop();
        }
        names
    }

    /// The code that ships: without comments and without what follows `#[cfg(test)]`; empty for a file of tests.
    fn shipped(&self) -> String {
        if self.path.ends_with("tests.rs") {
            return String::new();
        }
        let lines = self.text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
        lines.filter(|line| !line.trim_start().starts_with("//")).map(|line| line.split(" // ").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    /// The crate's modules that this file's shipped code uses, its own left out.
    fn uses(&self) -> BTreeSet<String> {
        let module = self.module();
        let mut used = uses_in(&self.shipped(), &module);
        used.remove(module.first().map_or("", String::as_str));
        used
    }
}

/// Top-level modules in `crate::a`, `crate::{a, b::c}`, and in `super::…` where it reaches the crate's root from `module`.
fn uses_in(code: &str, module: &[String]) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::").filter(|(at, _)| starts_path(code, *at)) {
        used.extend(heads(&code[at + "crate::".len()..]));
    }
    for (at, _) in code.match_indices("super::").filter(|(at, _)| starts_path(code, *at)) {
        let mut rest = &code[at..];
        let mut depth = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            rest = next;
            depth += 1;
        }
        if depth == module.len() {
            used.extend(heads(rest));
        }
    }
    used
}

/// False in the middle of a longer path or word (`$crate::`, `super::super::`).
fn starts_path(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:$".contains(before))
}

/// The first names of `a::b` or `{a, b::{c, d}}`; types and functions of the root (capitals, macros) are no modules and never in the table.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut start, mut names) = (0_u32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The names of `pub mod x;`, in the file's order.
fn declared_modules(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect()
}

fn check_edges(folder: &str, table: &[(&str, &[&str])]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in Source::below(folder) {
        let Some(module) = source.module().first().cloned() else { continue };
        let Some((_, allowed)) = table.iter().find(|(name, _)| *name == module) else {
            problems.push(format!("{}: module `{module}` is not in the table of tests/tidy.rs", source.path.display()));
            continue;
        };
        for used in source.uses().iter().filter(|used| table.iter().any(|(name, _)| name == used)) {
            if !allowed.contains(&"*") && !allowed.contains(&used.as_str()) {
                problems.push(format!("{}: `{module}` may not use `{used}` (it may use: {})", source.path.display(), allowed.join(", ")));
            }
        }
    }
    problems
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn modules_use_only_what_the_table_allows() {
    assert_none(&check_edges("src", MODULES));
    assert_none(&check_edges("formats/src", FORMATS_MODULES));
}

#[test]
fn lib_rs_lists_the_modules_in_the_order_of_the_table() {
    for (lib, table) in [("src/lib.rs", MODULES), ("formats/src/lib.rs", FORMATS_MODULES)] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(lib)).expect(lib);
        let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        assert_eq!(declared_modules(&text), names, "{lib}");
    }
}

#[test]
fn formats_depends_on_nothing_that_could_block() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/Cargo.toml")).expect("formats/Cargo.toml");
    let dependencies = manifest.split("[dependencies]").nth(1).expect("a table of dependencies").split("\n[").next().unwrap_or_default();
    let names = dependencies.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
    let unknown: Vec<_> = names.filter(|name| !FORMATS_DEPENDENCIES.contains(name)).collect();
    assert!(unknown.is_empty(), "formats may not depend on {unknown:?}: it is pure and synchronous; a pure crate is added to the list in tests/tidy.rs");
}

#[test]
fn every_file_begins_with_what_it_is_for_and_has_one_story() {
    let mut problems = Vec::new();
    for folder in ["src", "formats", "tests", "examples", "benches"] {
        for source in Source::below(folder) {
            let lines = source.text.lines().count();
            if !source.text.starts_with("//! ") {
                problems.push(format!("{}: the first line is not a `//!` sentence about its purpose", source.path.display()));
            }
            if lines > LONGEST_FILE_LINES {
                problems.push(format!("{}: {lines} lines, more than {LONGEST_FILE_LINES}: split it by story", source.path.display()));
            }
            if source.path.file_name().is_some_and(|name| name == "utils.rs" || name == "helpers.rs" || name == "common.rs") {
                problems.push(format!("{}: the name says nothing about what is in it", source.path.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut problems = Vec::new();
    for folder in ["src", "formats", "examples", "benches"] {
        for source in Source::below(folder) {
            for (number, line) in source.text.lines().enumerate() {
                if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
                    problems.push(format!("{}:{}: {word}", source.path.display(), number + 1));
                }
            }
        }
    }
    assert_none(&problems);
}

/// Where a figure or a table was to be put in later: `@` around capitals.
fn gaps(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    text.lines()
        .flat_map(move |line| {
            // What stands before the first sign and after the last is not between two.
            let words: Vec<&str> = line.split('@').collect();
            words.get(1..words.len() - 1).unwrap_or_default().to_vec()
        })
        .filter(is_name)
}

#[test]
fn no_page_has_a_gap_that_was_to_be_filled_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = Vec::new();
    for page in ["", "docs", "benches", "formats", "examples", "terraform"].iter().flat_map(|folder| fs::read_dir(root.join(folder)).expect("a folder")) {
        let page = page.expect("an entry").path();
        if page.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&page).expect("a readable page");
            problems.extend(gaps(&text).map(|name| format!("{}: @{name}@", page.display())));
        }
    }
    assert_none(&problems);
}

#[test]
fn every_plugin_file_is_in_its_table() {
    for (table, entry) in [("formats/src/wire/mod.rs", "WIRE"), ("formats/src/file/mod.rs", "FILE")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(table);
        let text = fs::read_to_string(&path).expect(table);
        for module in declared_modules(&text) {
            let registered = text.contains(&format!("{module}::{entry}"));
            assert!(registered, "{table}: module `{module}` has no line `{module}::{entry}` in the table");
        }
    }
}

/// The rules' own rules.
mod rules {
    use super::*;

    #[track_caller]
    fn assert_uses(module: &[&str], code: &str, expected: &[&str]) {
        let module: Vec<_> = module.iter().map(ToString::to_string).collect();
        assert_eq!(uses_in(code, &module).into_iter().collect::<Vec<_>>(), expected, "{code}");
    }

    #[test]
    fn every_form_of_a_path_is_seen() {
        assert_uses(&["roll"], "use crate::kafka::Consumer;", &["kafka"]);
        assert_uses(&["roll"], "use crate::{batch::{Batch, Offsets}, store, kafka::Polled};", &["batch", "kafka", "store"]);
        assert_uses(&["roll"], "fn f(b: &crate::batch::Batch) {}", &["batch"]);
        assert_uses(&["roll"], "use super::store::Upload;", &["store"]);
        assert_uses(&["kafka", "poll"], "use super::store; use super::super::batch;", &["batch"]);
        assert_uses(&["roll"], "$crate::store::x(); mycrate::store::x();", &[]);
    }

    #[test]
    fn comments_and_tests_are_free() {
        let text = "//! [`crate::store`]\nuse crate::batch; // not crate::kafka\n#[cfg(test)]\nmod tests { use crate::plugins; }\n";
        let source = Source { path: "src/roll.rs".into(), text: text.to_owned() };
        assert_eq!(source.uses(), BTreeSet::from(["batch".to_owned()]));
    }

    #[test]
    fn capitals_between_two_signs_are_a_gap_and_addresses_are_not() {
        for (text, expected) in [("@TABLE@", vec!["TABLE"]), ("a @A_B@ b @C@", vec!["A_B", "C"]), ("me@EXAMPLE.org @NAME", vec![]), ("@@ @a@ @\nB@", vec![])] {
            assert_eq!(gaps(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn a_file_is_the_module_that_its_path_says() {
        for (path, module) in [("src/roll.rs", "roll"), ("src/kafka/mod.rs", "kafka"), ("src/kafka/poll.rs", "kafka/poll"), ("src/lib.rs", "")] {
            let source = Source { path: path.into(), text: String::new() };
            assert_eq!(source.module().join("/"), module);
        }
    }
}
