//! `lakehead quickstart`, whole: the broker inside the process, the worker, the sink, the files and the proof.

use lakehead::quickstart::{self, Arguments};

#[test]
fn it_ends_by_itself_and_proves_that_every_record_is_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = |records| {
        let arguments = Arguments { records, path: folder.path().join("lake"), bootstrap_servers: None, store: None, keep: false };
        let mut out = Vec::new();
        quickstart::run(&arguments, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let first = run(40_001);
    for expected in ["connector.class=io.lakehead.connect.CloudStorageSink", "year=2026/month=06/day=01/hour=00", "40,001", "duckdb -c"] {
        assert!(first.contains(expected), "{expected} is not in:\n{first}");
    }
    let rows = |partition: &str, rows: &str| first.lines().any(|line| line.split_whitespace().eq([partition, rows, rows, rows]));
    assert!(rows("0", "6,667") && rows("4", "6,667") && rows("5", "6,666"), "{first}");
    // The proof of the next run counts its own files.
    let second = run(600);
    assert!(
        second.starts_with("The files of an earlier run are removed.") && second.lines().any(|line| line.split_whitespace().eq(["5", "100", "100", "100"])),
        "{second}"
    );
}
