//! Peak resident memory of a sink task with many open files: `make memory`.
//!
//! Each case runs in a process of its own. `MEMORY_CASES` chooses among them by their numbers (`0,3,ways`), `MEMORY_ROWS` says how many records they have,
//! `MEMORY_FOLDER` where files and spilled rows go (a folder for temporary files unless it is set).
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark: what it sets up cannot fail")]

use std::io::Write as _;
use std::path::PathBuf;

mod rig;
mod ways;

use rig::{Case, Shape};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MIB: u64 = 1 << 20;

fn cases() -> Vec<Case> {
    let forty = |files, rows, limit: u64, spills| Case { shape: Shape::Forty, files, rows, limit_bytes: limit * MIB, spills };
    vec![
        forty(1, 2_000_000, 512, true),
        forty(200, 2_000_000, 512, true),
        forty(2_000, 2_000_000, 512, true),
        forty(10_000, 2_000_000, 768, true),
        Case { shape: Shape::Skewed, files: 50, rows: 10_000, limit_bytes: 512 * MIB, spills: true },
        forty(2_000, 2_000_000, 512, false),
    ]
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program of its own, which prints a table")]
fn main() {
    if rig::child() || ways::child() {
        return;
    }
    let chosen = std::env::var("MEMORY_CASES").ok();
    let rows: Option<u64> = std::env::var("MEMORY_ROWS").ok().and_then(|rows| rows.parse().ok());
    let is_chosen = |index: usize| chosen.as_ref().is_none_or(|list: &String| list.split(',').any(|number| number.trim() == index.to_string()));
    let root =
        tempfile::Builder::new().prefix("lakehead-memory-").tempdir_in(std::env::var("MEMORY_FOLDER").map_or_else(|_| std::env::temp_dir(), PathBuf::from));
    let root = root.expect("a folder");
    println!(
        "| case | limit MiB | peak RSS MiB | of it program MiB | counted MiB | rows in | rows out | lost | doubled | objects | early closes | spilled MiB | rows/s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut is_held = true;
    for (index, mut case) in cases().into_iter().enumerate().filter(|(index, _)| is_chosen(*index)) {
        case.rows = rows.unwrap_or(case.rows);
        let columns = if case.shape == Shape::Forty { "40 columns" } else { "400 skewed columns, 181 KB rows" };
        let outcome = case.run(root.path(), &[]);
        println!(
            "| {index}: {} open files, {columns}{} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} |",
            case.files,
            if case.spills { "" } else { ", no disk" },
            case.limit_bytes / MIB,
            outcome.peak_bytes / MIB,
            outcome.program_bytes / MIB,
            outcome.counted_bytes / MIB,
            case.rows,
            outcome.rows_out,
            outcome.lost,
            outcome.doubled,
            outcome.objects,
            outcome.early_closes,
            outcome.spilled_bytes / MIB,
            case.rows as f64 / outcome.seconds
        );
        std::io::stdout().flush().expect("a terminal");
        is_held &= outcome.peak_bytes < case.limit_bytes && (outcome.lost, outcome.doubled) == (0, 0);
    }
    if chosen.is_none_or(|list| list.contains("ways")) {
        print_ways(rows);
    }
    assert!(is_held, "a case has lost or doubled records, or passed its limit");
}

#[expect(clippy::print_stdout, reason = "a table")]
fn print_ways(rows: Option<u64>) {
    println!();
    println!("| way to keep the rows of open Parquet files | files | rows | peak RSS MiB | CPU s | rows per CPU second | MiB of files |");
    println!("|---|---|---|---|---|---|---|");
    for (files, most) in [(10, 2_000_000), (200, 2_000_000), (2_000, 1_000_000)] {
        for way in ways::WAYS {
            let rows = rows.unwrap_or(most);
            let [peak, cpu, _, bytes] = ways::run(way, files, rows);
            println!("| {way} | {files} | {rows} | {:.0} | {cpu:.1} | {:.0} | {:.0} |", peak / MIB as f64, rows as f64 / cpu, bytes / MIB as f64);
            std::io::stdout().flush().expect("a terminal");
        }
    }
}
