//! kill -9: at random moments, and at each step of the way from the last row of a file to its committed offset.

use std::time::Duration;

use crate::proxy::Moment;
use crate::rules::Rule;
use crate::scene::{Effort, Report, Scene, Shape};
use crate::steps::{Action, Step, await_step};

/// The longest that a worker may take to come to a step, over and over, in a job that runs.
const REACHED: Duration = Duration::from_secs(60);

/// At random moments: some in the first second of a worker, before it has any partition, most while it writes.
pub(crate) fn at_random(rule: Rule, effort: &Effort) -> Report {
    let mut scene = Scene::start("kill-random", Shape::of(rule), effort);
    for _ in 0..effort.kills {
        let worker = scene.worker();
        let while_it_works = scene.a_while(Duration::from_secs(5));
        std::thread::sleep(while_it_works);
        worker.kill();
        scene.fault_ended();
    }
    let worker = scene.worker();
    scene.finish(vec![worker])
}

/// At every step, before it, between it and its answer, and behind it; files are single puts.
pub(crate) fn at_steps(rule: Rule, effort: &Effort) -> Report {
    let shape = Shape { partitions: 2, ..Shape::of(rule) };
    let steps = [Step::Plan, Step::Put, Step::Commit];
    at_each(Scene::start("kill-steps", shape, effort), &steps, effort)
}

/// The same for files of several parts.
pub(crate) fn at_steps_of_parts(rule: Rule, effort: &Effort) -> Report {
    let shape = Shape { partitions: 2, rate: 400, ballast: 4_000, ..Shape::of(rule) };
    let steps = [Step::Create, Step::Part, Step::Plan, Step::Complete, Step::Commit];
    at_each(Scene::start("kill-parts", shape, effort), &steps, effort)
}

fn at_each(mut scene: Scene, steps: &[Step], effort: &Effort) -> Report {
    let mut killed = Vec::new();
    for _ in 0..effort.pick(2, 1) {
        for step in steps {
            for moment in [Moment::Asked, Moment::Done, Moment::Answered] {
                let worker = scene.worker();
                let nth = scene.random.u32(1..=3);
                match await_step(&scene, *step, moment, nth, Action::Kill(worker.pid()), REACHED) {
                    Some(_) => killed.push(format!("{step:?} {moment:?}")),
                    None => scene.trouble(format!("no worker came to {step:?} {moment:?}: {}", worker.status(&scene.sink)["tasks"])),
                }
                worker.kill();
                scene.fault_ended();
            }
        }
    }
    killed.sort();
    killed.dedup();
    scene.remark(format!("{} points", killed.len()));
    let worker = scene.worker();
    scene.finish(vec![worker])
}
