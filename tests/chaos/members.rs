//! Members that come and go all the time.

use std::time::Duration;

use crate::rules::Rule;
use crate::scene::{Effort, Report, Scene, Shape};
use crate::worker::Worker;

/// Most members at once.
const MOST: usize = 3;

/// A member joins or leaves, in order or by kill -9, every second.
pub(crate) fn every_second(rule: Rule, effort: &Effort) -> Report {
    let mut scene = Scene::start("rebalance", Shape::of(rule), effort);
    let mut workers = vec![scene.worker()];
    let mut leaving = Vec::new();
    let turns = effort.pick(40, 8);
    for _ in 0..turns {
        std::thread::sleep(Duration::from_secs(1));
        if workers.len() < MOST && (workers.len() == 1 || scene.random.bool()) {
            workers.push(scene.worker());
        } else {
            let worker = workers.remove(scene.random.usize(0..workers.len()));
            if scene.random.u8(0..4) == 0 {
                worker.kill();
            } else {
                leaving.push(in_background(worker)); // it takes its time while others join
            }
        }
    }
    scene.fault_ended();
    for thread in leaving {
        thread.join().expect("a worker ends in order");
    }
    let assignments: usize = workers.iter().map(|worker| worker.whole_log().matches("assigned").count()).sum();
    scene.remark(format!("{turns} members joined or left; those that stayed were given partitions {assignments} times"));
    scene.finish(workers)
}

#[expect(clippy::disallowed_methods, reason = "a harness without a runtime of its own; the thread is joined")]
fn in_background(worker: Worker) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || worker.terminate())
}
