//! What the files hold, counted by a reader that we did not write, and the proof that the count sees what it is there to see.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::bucket::files_below;
use crate::servers::{repository, run_folder};

/// What `count.py` says of a folder.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Counted {
    /// Files read.
    pub(crate) files: u64,
    /// Records in them.
    pub(crate) rows: u64,
    /// Records that were sent and are in no file.
    pub(crate) lost: u64,
    /// Records beyond the first of each.
    pub(crate) doubled: u64,
    /// Records that were never sent.
    pub(crate) strange: u64,
    /// Records that follow, in a file, a later record of their partition.
    pub(crate) disorder: u64,
    /// Files whose name says another first offset than they have.
    pub(crate) misnamed: u64,
    /// Some of what is wrong.
    pub(crate) examples: Vec<String>,
}

impl Counted {
    /// Reads every file below `folder`, of which each partition was sent so many records.
    pub(crate) fn below(folder: &Path, sent: &BTreeMap<i32, u64>) -> Self {
        let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| repository().join(".tools"), PathBuf::from);
        let mut count = Command::new(tools.join("venv/bin/python"));
        let sent: Vec<String> = sent.iter().map(|(partition, count)| format!("{partition}:{count}")).collect();
        count.arg(repository().join("tests/chaos/count.py")).arg("--folder").arg(folder).arg("--sent").arg(sent.join(","));
        let output = count.output().unwrap_or_else(|error| panic!("the reader cannot be run; `tests/servers/setup.sh python` installs it: {error}"));
        assert!(output.status.success(), "the files cannot be read\n{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a report")
    }

    /// Everything there, once, in order and under the right names.
    pub(crate) fn is_exact(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.strange == 0 && self.disorder == 0 && self.misnamed == 0
    }
}

/// Plants a loss (a file is left out), a doubling (a file is there twice) and an overwriting (a file stands in another's place) into copies of what a
/// job has written; says what the count saw of them, or fails where it saw nothing.
pub(crate) fn planted(folder: &Path, sent: &BTreeMap<i32, u64>) -> String {
    let keys = files_below(folder);
    let (first, last) = (keys.first().expect("a file"), keys.last().expect("a file"));
    assert_ne!(first, last, "two files are needed");
    let put_over = |from: PathBuf, to: PathBuf| {
        fs::copy(from, to).expect("a copy");
    };
    let counted = |name: &str, plant: &dyn Fn(&Path)| {
        let copy = run_folder().join("planted").join(name);
        for key in &keys {
            let to = copy.join(key);
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(folder.join(key), to).expect("a copy");
        }
        plant(&copy);
        Counted::below(&copy, sent)
    };
    let clean = counted("clean", &|_| {});
    let less = counted("less", &|copy| fs::remove_file(copy.join(first)).expect("the file"));
    let more = counted("more", &|copy| put_over(copy.join(last), copy.join(last).with_extension("again.parquet")));
    let over = counted("over", &|copy| put_over(copy.join(last), copy.join(first)));
    assert!(less.lost > clean.lost, "a file was left out, and none lost: {less:?} after {clean:?}");
    assert!(more.doubled > clean.doubled, "a file is there twice, and none doubled: {more:?} after {clean:?}");
    assert!(over.lost > clean.lost && over.doubled > clean.doubled && over.misnamed > clean.misnamed, "{over:?} after {clean:?}");
    let more_lost = |counted: &Counted| counted.lost - clean.lost;
    let more_doubled = |counted: &Counted| counted.doubled - clean.doubled;
    format!(
        "planted: a file left out: {} lost; a file twice: {} doubled; a file in another's place: {} lost, {} doubled",
        more_lost(&less),
        more_doubled(&more),
        more_lost(&over),
        more_doubled(&over)
    )
}
