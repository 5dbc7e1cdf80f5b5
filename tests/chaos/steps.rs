//! The steps of a file from its first part to its committed offset, as they are seen between a worker and its servers, and what is done to a worker there.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::commits::Watched;
use crate::proxy::{Fault, Gate, Moment};
use crate::scene::Scene;
use crate::worker::signal;

/// A request on the way of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A multipart upload is started.
    Create,
    /// A part is uploaded.
    Part,
    /// The plan is committed to the group: which files end where.
    Plan,
    /// A file of one part is put, and so visible.
    Put,
    /// A file of several parts is completed, and so visible.
    Complete,
    /// Offsets are committed to the group after files were made visible.
    Commit,
}

impl Step {
    /// The step that a request to the store is.
    pub(crate) fn of_request(line: &str) -> Option<Self> {
        match (line.split(' ').next()?, line) {
            ("POST", line) if line.contains("?uploads") => Some(Self::Create),
            ("POST", line) if line.contains("uploadId=") => Some(Self::Complete),
            ("PUT", line) if line.contains("partNumber=") => Some(Self::Part),
            ("PUT", _) => Some(Self::Put),
            _ => None,
        }
    }

    /// Whether a request to the store, or a commit to the group, is this step. A commit can be two.
    fn is(self, line: &str) -> bool {
        match self {
            Self::Plan => line.starts_with("commit") && line.contains(" plan"),
            Self::Commit => line.starts_with("commit") && line.contains(" advance"),
            _ => Self::of_request(line) == Some(self),
        }
    }
}

/// What is done to a worker at a step.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// kill -9 of that process; what it asked for last is not carried out when it was killed before.
    Kill(u32),
    /// The process is stopped, and its request waits before the gate.
    Stop(u32, Gate),
}

/// Does `action` when a worker comes to that moment of the step for the `nth` time; returns when it was done, or `None` when that takes longer than
/// `limit`.
pub(crate) fn await_step(scene: &Scene, step: Step, moment: Moment, nth: u32, action: Action, limit: Duration) -> Option<Instant> {
    let (done, is_done) = channel();
    let judge = move || {
        let (mut left, action, done) = (nth, action.clone(), done.clone());
        move |at: Moment, line: &str| {
            if at != moment || left == 0 || !step.is(line) {
                return None;
            }
            left -= 1;
            if left > 0 {
                return None;
            }
            let fault = match &action {
                Action::Kill(pid) => {
                    signal(&pid.to_string(), "KILL");
                    Fault::Cut
                }
                Action::Stop(pid, gate) => {
                    signal(&pid.to_string(), "STOP");
                    Fault::Hold(gate.clone())
                }
            };
            done.send(Instant::now()).ok(); // nobody waits any more when it came too late
            Some(fault)
        }
    };
    scene.store.judge(judge());
    Watched::shared().judge(&scene.group(), judge());
    let reached = is_done.recv_timeout(limit).ok();
    scene.store.heal();
    Watched::shared().heal(&scene.group());
    reached
}

/// The steps' own rules: they must not be wrong themselves.
pub(crate) fn requests_are_told_apart() {
    for (line, step) in [
        ("POST /b/k?uploads= HTTP/1.1", Some(Step::Create)),
        ("POST /b/k?uploadId=1 HTTP/1.1", Some(Step::Complete)),
        ("PUT /b/k?partNumber=1&uploadId=1 HTTP/1.1", Some(Step::Part)),
        ("PUT /b/k HTTP/1.1", Some(Step::Put)),
        ("HEAD /b/k HTTP/1.1", None),
        ("DELETE /b/k?uploadId=1 HTTP/1.1", None),
    ] {
        assert_eq!(Step::of_request(line), step, "{line}");
    }
}
