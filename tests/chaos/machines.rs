//! Brokers that restart, clocks that jump, disks that are full.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::rules::Rule;
use crate::scene::{Effort, Report, Scene, Shape, tool};
use crate::servers::{Kafka, S3, run_folder};

/// The longest that a job may take to go on.
const PROGRESS: Duration = Duration::from_secs(60);

/// In seconds.
const HOUR: i64 = 3600;

/// The broker ends, in order and by kill -9, and is there again seconds later.
pub(crate) fn broker_restarts(rule: Rule, effort: &Effort) -> Report {
    let kafka = Kafka::start("kafka-restart");
    let mut scene = Scene::start_on("broker-restart", Shape::of(rule), effort, &kafka, kafka.bootstrap(), S3::shared());
    let worker = scene.worker();
    for turn in 0..effort.pick(4, 2) {
        scene.await_progress(PROGRESS);
        let wait = scene.a_while(Duration::from_secs(2));
        std::thread::sleep(wait);
        if turn % 2 == 0 {
            kafka.stop();
        } else {
            kafka.kill();
        }
        let wait = scene.a_while(Duration::from_secs(3));
        std::thread::sleep(wait);
        kafka.resume();
        scene.fault_ended();
    }
    scene.await_progress(PROGRESS);
    scene.remark("every other time by kill -9");
    let report = scene.finish(vec![worker]);
    kafka.stop();
    report
}

/// The clock of the machine jumps while the program runs, and is another one when it is started again after kill -9.
pub(crate) fn clock_jumps(rule: Rule, effort: &Effort) -> Report {
    let mut scene = Scene::start("clock", Shape::of(rule), effort);
    let folder = run_folder().join(&scene.topic.name);
    fs::create_dir_all(&folder).expect("a folder");
    scene.write_to(&folder.join("lake"));
    fs::create_dir_all(folder.join("lake")).expect("a folder");
    let (offset, library) = (folder.join("offset"), tool("bin/clock.so"));
    let set = |seconds: i64| {
        fs::write(folder.join("next"), seconds.to_string()).expect("a file for the clock's shift");
        fs::rename(folder.join("next"), &offset).expect("the same file"); // never seen half-written
    };
    let faked = |binary: &Path| {
        let mut command = Command::new(binary);
        command.env("LD_PRELOAD", &library).env("CLOCK_SHIFT_FILE", &offset);
        command
    };
    let mut shifts = Vec::new();
    for (at_start, later) in [(0, 2 * HOUR), (-24 * HOUR, 0), (720 * HOUR, -720 * HOUR), (-300, 300)] {
        set(at_start);
        let worker = scene.worker_by(faked);
        scene.await_progress(PROGRESS);
        set(later);
        scene.fault_ended();
        scene.await_progress(PROGRESS);
        worker.kill();
        scene.fault_ended();
        shifts.push(format!("{at_start:+} s, then {later:+} s"));
        if !effort.is_full && shifts.len() == 2 {
            break;
        }
    }
    set(0);
    let worker = scene.worker_by(faked);
    scene.remark(shifts.join(", "));
    scene.finish(vec![worker])
}

/// A file system of 24 MiB that only the worker sees is filled to the brim while it works, and emptied again.
pub(crate) fn full_disk(rule: Rule, effort: &Effort) -> Report {
    let mut scene = Scene::start("disk-full", Shape::of(rule), effort);
    let folder = run_folder().join("full");
    fs::create_dir_all(&folder).expect("a folder");
    scene.write_to(&folder);
    let mount_and_run = r#"mount -t tmpfs -o size=24m lake "$1" && { shift; exec "$@"; }"#;
    let worker = scene.worker_by(|binary| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", mount_and_run, "sh"]).arg(&folder).arg(binary);
        command
    });
    let inside = PathBuf::from(format!("/proc/{}/root", worker.pid())).join(folder.strip_prefix("/").expect("an absolute path"));
    for _ in 0..effort.pick(3, 1) {
        scene.await_progress(PROGRESS);
        fill(&inside);
        worker.await_trouble(&scene.sink, "space");
        fs::remove_file(inside.join(".ballast")).expect("the ballast");
        scene.fault_ended();
    }
    scene.await_progress(PROGRESS);
    scene.finish_in(vec![worker], &inside)
}

/// Writes until there is no room.
fn fill(folder: &Path) {
    let mut file = File::create(folder.join(".ballast")).expect("a file");
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    let mut last = OpenOptions::new().append(true).open(folder.join(".ballast")).expect("the file");
    while last.write_all(&[0]).is_ok() {}
}
