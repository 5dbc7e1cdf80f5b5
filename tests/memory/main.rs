//! The memory limit, held by a whole sink task in a process of its own: `make memory` runs the large cases.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test: what it sets up cannot fail")]

#[expect(dead_code, reason = "the table of the bench has more columns")]
#[path = "../../benches/memory/rig.rs"]
mod rig;

use rig::{Case, Shape};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MIB: u64 = 1 << 20;

/// More than twice the rows that the budget has room for, in a thousand files of forty columns that are open until the end.
#[test]
fn a_thousand_open_files_stay_below_the_limit_and_every_record_is_written_once() {
    let root = tempfile::tempdir().expect("a folder");
    let case = Case { shape: Shape::Forty, files: 1000, rows: 250_000, limit_bytes: 96 * MIB, spills: true };
    let outcome = case.run(root.path(), &["--ignored", "--exact", "child", "--nocapture"]);
    assert_eq!((outcome.rows_out, outcome.lost, outcome.doubled, outcome.early_closes), (case.rows, 0, 0, 0), "{outcome:?}");
    assert_eq!(outcome.objects, case.files, "each path has one file: {outcome:?}");
    assert!(outcome.spilled_bytes > 10 * MIB, "the case is too small to ask for the disk: {outcome:?}");
    // Held in memory alone the rows take 110 MiB; as they are held, 73 to 80. The program's own pages are those of a build for debugging, and larger than the limit.
    let peak = outcome.peak_bytes - outcome.program_bytes;
    assert!(peak < case.limit_bytes, "peak of {} MiB: {outcome:?}", peak / MIB);
}

/// Not a test of its own: what is measured, in the process that the test above starts.
#[test]
#[ignore = "started by the test above"]
fn child() {
    rig::child();
}
