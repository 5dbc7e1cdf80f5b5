//! Heartbeats: a task that tells the coordinator that a member is alive, whatever else the member waits for, and notes what it is told.
//!
//! While the members of a group join, a coordinator answers heartbeats of those who have not yet joined with "join, too". That counts as being alive, so that
//! a member knows even then whether it still is one. [`Beat::seen`] is when the last heartbeat was *sent* that the coordinator took: the coordinator forgets
//! the member no earlier than the session timeout after it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::broker::Backoff;
use super::coordinator::{Coordinator, Member, Refusal};
use crate::kafka::KafkaError;

/// What the last heartbeat brought.
#[derive(Debug, Clone)]
pub(super) struct Beat {
    /// Whose it was; an answer to an older generation says nothing about the present one.
    pub(super) member: Option<Member>,
    /// When the last one was sent that was taken.
    pub(super) seen: Instant,
    /// What the coordinator said.
    pub(super) verdict: Verdict,
}

/// What a coordinator says of a member.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It is one.
    Alive,
    /// It is one, and is to join the next generation.
    Join,
    /// It is one, of another generation.
    OtherGeneration,
    /// It is none.
    Unknown,
    /// No answer.
    Silent(KafkaError),
    /// A person must mend something.
    Refused(KafkaError),
}

/// The task's other end.
#[derive(Debug)]
pub(super) struct Pulse {
    member: watch::Sender<Option<Member>>,
    beats: watch::Sender<Beat>,
    pub(super) changes: watch::Receiver<Beat>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Pulse {
    /// Nobody is a member yet.
    pub(super) fn start(coordinator: Arc<dyn Coordinator>, interval: Duration, patience: Duration, backoff: Backoff) -> Self {
        let (beats, changes) = watch::channel(Beat { member: None, seen: Instant::now(), verdict: Verdict::Alive });
        let (member, members) = watch::channel(None);
        let task = tokio::spawn(run(coordinator, members, beats.clone(), interval, patience, backoff));
        Self { member, beats, changes, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    /// From now on this one is alive; `None` = nobody.
    pub(super) fn of(&self, member: Option<Member>) {
        self.member.send_replace(member);
    }

    /// The coordinator took another request of this member that was sent then.
    pub(super) fn seen(&self, member: &Member, sent: Instant) {
        self.beats.send_modify(|beat| *beat = Beat { member: Some(member.clone()), seen: beat.seen.max(sent), verdict: Verdict::Alive });
    }
}

async fn run(
    coordinator: Arc<dyn Coordinator>,
    mut members: watch::Receiver<Option<Member>>,
    beats: watch::Sender<Beat>,
    interval: Duration,
    patience: Duration,
    backoff: Backoff,
) {
    let (mut next, mut tries) = (Instant::now() + interval, 0);
    loop {
        let Some(member) = members.borrow_and_update().clone() else {
            if members.changed().await.is_err() {
                return;
            }
            next = Instant::now() + interval;
            continue;
        };
        tokio::select! {
            changed = members.changed() => if changed.is_err() { return } else { continue },
            () = sleep_until(next) => {}
        }
        let sent = Instant::now();
        let verdict = match coordinator.heartbeat(&member, patience).await {
            Ok(()) => Verdict::Alive,
            Err(Refusal::Rebalancing) => Verdict::Join,
            Err(Refusal::IllegalGeneration) => Verdict::OtherGeneration,
            Err(Refusal::UnknownMember | Refusal::NeedsId(_)) => Verdict::Unknown,
            Err(Refusal::Unavailable(error)) => Verdict::Silent(error),
            Err(Refusal::Refused(error)) => Verdict::Refused(error),
        };
        let is_answered = !matches!(verdict, Verdict::Silent(_));
        let is_member = matches!(verdict, Verdict::Alive | Verdict::Join);
        (next, tries) = if is_answered { (sent + interval, 0) } else { (Instant::now() + backoff.before(tries), tries + 1) };
        beats.send_modify(|beat| *beat = Beat { member: Some(member), seen: if is_member { sent } else { beat.seen }, verdict });
    }
}
