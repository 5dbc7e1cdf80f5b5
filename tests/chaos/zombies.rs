//! Processes that are stopped for longer than their session, replaced, and woken: they must change nothing any more.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::bucket::files_below;
use crate::proxy::{Gate, Moment};
use crate::rules::Rule;
use crate::scene::{Effort, Report, Scene, Shape};
use crate::steps::{Action, Step, await_step};
use crate::worker::signal;

/// The longest that a worker may take to come to a step.
const REACHED: Duration = Duration::from_secs(60);

/// The longest that the others may take to go on with what a stopped worker had.
const REPLACED: Duration = Duration::from_secs(60);

/// A woken process has this long to do harm.
const AWAKE: Duration = Duration::from_secs(4);

/// Stopped at a random moment.
pub(crate) fn at_random(rule: Rule, effort: &Effort) -> Report {
    let moments = vec![None; effort.pick(4, 1)];
    stopped(Scene::start("stop-random", shape(rule, effort), effort), &moments)
}

/// Stopped just before a file becomes visible, before its plan, and before its offsets: what was asked for reaches the servers only when another has done
/// the same work.
pub(crate) fn at_steps(rule: Rule, effort: &Effort) -> Report {
    let steps = effort.pick(&[Step::Put, Step::Plan, Step::Commit, Step::Put][..], &[Step::Put][..]);
    stopped(Scene::start("stop-steps", shape(rule, effort), effort), &steps.iter().copied().map(Some).collect::<Vec<_>>())
}

/// The same before the completion of a file of several parts.
pub(crate) fn at_completion(rule: Rule, effort: &Effort) -> Report {
    let shape = Shape { partitions: 2, rate: 400, ballast: 4_000, ..shape(rule, effort) };
    stopped(Scene::start("stop-parts", shape, effort), &vec![Some(Step::Complete); effort.pick(2, 1)])
}

fn shape(rule: Rule, effort: &Effort) -> Shape {
    Shape { session: Duration::from_secs(effort.pick(6, 3)), ..Shape::of(rule) }
}

/// For each moment: a worker is stopped there, another takes over, then what the first had asked for last reaches the servers, and then it wakes.
fn stopped(mut scene: Scene, moments: &[Option<Step>]) -> Report {
    let (mut rewritten, mut late) = (0, 0);
    let mut victim = scene.worker();
    for moment in moments {
        scene.await_progress(REPLACED);
        let gate = Gate::shut();
        match moment {
            None => {
                let wait = scene.a_while(Duration::from_secs(2));
                std::thread::sleep(wait);
                signal(&victim.pid().to_string(), "STOP");
            }
            Some(step) => {
                if await_step(&scene, *step, Moment::Asked, 2, Action::Stop(victim.pid(), gate.clone()), REACHED).is_none() {
                    scene.trouble(format!("no worker came to {step:?}"));
                    signal(&victim.pid().to_string(), "STOP");
                }
                late += 1;
            }
        }
        scene.fault_ended();
        let successor = scene.worker();
        scene.await_progress(REPLACED);
        let before = Seen::below(&scene.bucket.folder);
        gate.open();
        std::thread::sleep(AWAKE / 4);
        signal(&victim.pid().to_string(), "CONT");
        std::thread::sleep(AWAKE);
        let after = Seen::below(&scene.bucket.folder);
        for key in before.changed(&after) {
            scene.trouble(format!("{key} was changed by a process that had been replaced"));
        }
        rewritten += before.rewritten(&after);
        victim.terminate();
        victim = successor;
    }
    let late = if late > 0 { format!(", {late} requests let through late") } else { String::new() };
    scene.remark(format!("no object changed by {} woken processes{late}; {rewritten} put again with the same bytes", moments.len()));
    scene.finish(vec![victim])
}

/// The objects of a bucket: hash of the content, and the number of the file that has it, which is another one when it was put again.
struct Seen(BTreeMap<String, (u64, u64)>);

impl Seen {
    fn below(folder: &Path) -> Self {
        let see = |key: String| {
            let path = folder.join(&key);
            let (content, number) = (fs::read(&path).ok()?, fs::metadata(&path).ok()?.ino());
            let mut hash = DefaultHasher::new();
            content.hash(&mut hash);
            Some((key, (hash.finish(), number)))
        };
        Self(files_below(folder).into_iter().filter_map(see).collect())
    }

    /// Objects that are gone, or have another content.
    fn changed<'a>(&'a self, after: &'a Self) -> impl Iterator<Item = &'a String> {
        self.0.iter().filter(|(key, (hash, _))| after.0.get(*key).is_none_or(|(now, _)| now != hash)).map(|(key, _)| key)
    }

    /// How many have the same content in another file.
    fn rewritten(&self, after: &Self) -> usize {
        self.0.iter().filter(|(key, (hash, number))| after.0.get(*key).is_some_and(|(now, file)| now == hash && file != number)).count()
    }
}
