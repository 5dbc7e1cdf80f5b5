//! Stores that answer with errors, lose answers, forget uploads, are slow, or do not answer at all.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::commits::Watched;
use crate::proxy::{Fault, Moment};
use crate::rules::Rule;
use crate::scene::{Effort, Report, Scene, Shape, tool};
use crate::servers::{S3, S3_KEY, S3_SECRET, repository};
use crate::steps::Step;
use crate::worker::Worker;

/// A store that is back must be seen to be back within this.
const BACK: Duration = Duration::from_secs(10);

/// How long a row with faults all along runs.
fn running(effort: &Effort) -> Duration {
    effort.pick(Duration::from_secs(30), Duration::from_secs(12))
}

/// Runs with a fault that strikes that share of the moments of requests for which `is_hit` says so.
fn with_fault(
    mut scene: Scene,
    effort: &Effort,
    share: f64,
    fault: impl Fn(&mut fastrand::Rng) -> Fault + Send + 'static,
    is_hit: fn(Moment, Step) -> bool,
) -> Report {
    let worker = scene.worker();
    scene.await_progress(BACK * 3);
    let mut random = scene.random.fork();
    scene.store.judge(move |moment, line| {
        let is_meant = Step::of_request(line).is_some_and(|step| is_hit(moment, step));
        (is_meant && random.f64() < share).then(|| fault(&mut random))
    });
    std::thread::sleep(running(effort));
    let struck = scene.store.heal();
    scene.fault_ended();
    if struck == 0 {
        scene.trouble("the fault never struck");
    }
    scene.remark(format!("struck {struck} requests"));
    scene.finish(vec![worker])
}

/// One of the errors that a store gives when it has too much to do.
fn refusal(random: &mut fastrand::Rng) -> Fault {
    if random.bool() { Fault::Answer(503, "SlowDown") } else { Fault::Answer(500, "InternalError") }
}

/// 500 and 503 for one request in a hundred.
pub(crate) fn errors_1(rule: Rule, effort: &Effort) -> Report {
    with_fault(Scene::start("errors-1", Shape::of(rule), effort), effort, 0.01, refusal, |moment, _| moment == Moment::Asked)
}

/// For one in ten.
pub(crate) fn errors_10(rule: Rule, effort: &Effort) -> Report {
    with_fault(Scene::start("errors-10", Shape::of(rule), effort), effort, 0.1, refusal, |moment, _| moment == Moment::Asked)
}

/// For every other one, many of them after it was carried out.
pub(crate) fn errors_50(rule: Rule, effort: &Effort) -> Report {
    let shape = Shape::of(rule);
    let share = 1.0 - 0.5_f64.sqrt(); // of each of the two moments
    with_fault(Scene::start("errors-50", shape, effort), effort, share, refusal, |moment, _| moment != Moment::Answered)
}

fn parts(rule: Rule) -> Shape {
    Shape { partitions: 2, rate: 400, ballast: 4_000, ..Shape::of(rule) }
}

/// 200, and an error in the body, to every other completion; nothing was completed.
pub(crate) fn error_under_200(rule: Rule, effort: &Effort) -> Report {
    let error = |_: &mut fastrand::Rng| Fault::Answer(200, "InternalError");
    with_fault(Scene::start("under-200", parts(rule), effort), effort, 0.5, error, |moment, step| moment == Moment::Asked && step == Step::Complete)
}

/// The same after it was completed.
pub(crate) fn error_under_200_when_done(rule: Rule, effort: &Effort) -> Report {
    let error = |_: &mut fastrand::Rng| Fault::Answer(200, "InternalError");
    with_fault(Scene::start("under-200-done", parts(rule), effort), effort, 0.5, error, |moment, step| moment == Moment::Done && step == Step::Complete)
}

/// Every other completion is carried out, and its answer lost.
pub(crate) fn lost_completion(rule: Rule, effort: &Effort) -> Report {
    let lost = |_: &mut fastrand::Rng| Fault::LoseAnswer;
    with_fault(Scene::start("lost-complete", parts(rule), effort), effort, 0.5, lost, |moment, step| moment == Moment::Asked && step == Step::Complete)
}

/// Every other single put is carried out, and its answer lost.
pub(crate) fn lost_put(rule: Rule, effort: &Effort) -> Report {
    let lost = |_: &mut fastrand::Rng| Fault::LoseAnswer;
    with_fault(Scene::start("lost-put", Shape::of(rule), effort), effort, 0.5, lost, |moment, step| moment == Moment::Asked && step == Step::Put)
}

/// Nobody answers for a minute.
pub(crate) fn store_down(rule: Rule, effort: &Effort) -> Report {
    let s3 = S3::start("s3-down");
    let watched = Watched::shared();
    let mut scene = Scene::start_on("store-down", Shape::of(rule), effort, &watched.kafka, watched.bootstrap(), &s3);
    let worker = scene.worker();
    scene.await_progress(BACK * 3);
    let before = assignments(&worker);
    s3.stop();
    std::thread::sleep(effort.pick(Duration::from_secs(60), Duration::from_secs(10)));
    s3.resume();
    scene.fault_ended();
    if scene.await_progress(BACK).is_some() {
        scene.remark("went on within 10 s");
    }
    undisturbed(&mut scene, &worker, before);
    scene.finish(vec![worker])
}

/// Every request takes several times as long as a session.
pub(crate) fn store_slow(rule: Rule, effort: &Effort) -> Report {
    let mut scene = Scene::start("store-slow", Shape::of(rule), effort);
    let worker = scene.worker();
    scene.await_progress(BACK * 3);
    let before = assignments(&worker);
    let wait = effort.pick(Duration::from_secs(30), Duration::from_secs(8));
    scene.store.judge(move |moment, line| (moment == Moment::Asked && Step::of_request(line).is_some()).then_some(Fault::Late(wait)));
    let began = Instant::now();
    let limit = wait * 3;
    if scene.await_progress(limit).is_some() {
        scene.remark(format!("went on while each request took {} s", wait.as_secs()));
    }
    std::thread::sleep(limit.saturating_sub(began.elapsed()));
    let struck = scene.store.heal();
    scene.remark(format!("{struck} requests"));
    scene.fault_ended();
    undisturbed(&mut scene, &worker, before);
    scene.finish(vec![worker])
}

/// How often the worker was given partitions.
fn assignments(worker: &Worker) -> usize {
    worker.whole_log().matches("assigned").count()
}

/// Neither a rebalance nor a failure, by the worker's log and status.
fn undisturbed(scene: &mut Scene, worker: &Worker, before: usize) {
    let after = assignments(worker);
    if after != before {
        scene.trouble(format!("{} rebalances while the store was away", after - before));
    }
    let (state, trace) = worker.task(&scene.sink);
    if state != "RUNNING" {
        scene.trouble(format!("the task is {state}: {trace}"));
    }
    scene.remark("no rebalance");
}

/// All uploads under way are removed through the store's own API, by somebody else, several times.
pub(crate) fn removed_uploads(rule: Rule, effort: &Effort) -> Report {
    let mut scene = Scene::start("removed-uploads", parts(rule), effort);
    let worker = scene.worker();
    scene.await_progress(BACK * 3);
    // Completions wait, so that there is something to be removed.
    scene
        .store
        .judge(|moment, line| (moment == Moment::Asked && Step::of_request(line) == Some(Step::Complete)).then_some(Fault::Late(Duration::from_secs(3))));
    let mut removed = 0;
    for _ in 0..effort.pick(6, 2) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut now = 0;
        while now == 0 && Instant::now() < deadline {
            now = remove_uploads(&scene);
            std::thread::sleep(Duration::from_millis(100));
        }
        removed += now;
        scene.fault_ended();
        let wait = scene.a_while(Duration::from_secs(4));
        std::thread::sleep(wait);
    }
    scene.store.heal();
    if removed == 0 {
        scene.trouble("there was no upload to remove");
    }
    scene.remark(format!("{removed} uploads removed"));
    scene.finish(vec![worker])
}

fn remove_uploads(scene: &Scene) -> u64 {
    let mut remove = Command::new(tool("moto/bin/python"));
    remove.arg(repository().join("tests/chaos/remove_uploads.py")).args([S3::shared().url(), scene.bucket.name.clone()]);
    let output = remove.env("AWS_ACCESS_KEY_ID", S3_KEY).env("AWS_SECRET_ACCESS_KEY", S3_SECRET).output().expect("boto3 can be run");
    assert!(output.status.success(), "uploads cannot be removed\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}
