//! Who is in the cluster, and what this worker has to do in it.
//!
//! A worker that is alone and one in a group are the same to what runs connectors: it takes [`Event`]s and does what they say. [`Solo`] has everything at
//! once; [`Group`](super::group::Group) is a member of a Connect group. A member says of itself how far it has read the config topic, and the leader
//! what is configured: both come from [`Configs`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot, watch};

use super::assignor::Shares;
use super::protocol::Protocol;
use super::{TaskId, Work};
use crate::kafka::KafkaError;

/// Membership in a cluster of one or more workers.
#[async_trait]
pub trait Membership: fmt::Debug + Send {
    /// What is to be done next. Cancel-safe. `None` once the worker has [left](Self::leave), or after [`Event::Failed`].
    async fn next(&mut self) -> Option<Event>;

    /// Asks that work be shared out anew: because connectors came or went, or have other tasks. Does not wait.
    fn rejoin(&self, reason: &str);

    /// What is known of the cluster now; changes can be waited for.
    fn standing(&self) -> watch::Receiver<Standing>;

    /// Leaves the cluster, so that others take over at once. Everything that runs has been stopped before. Does nothing the second time.
    async fn leave(&mut self);
}

/// What a worker knows of the configurations. In a group: of the config topic.
#[async_trait]
pub trait Configs: fmt::Debug + Send + Sync {
    /// What it knows now.
    fn configured(&self) -> Configured;

    /// Reads on to the end of what there is now.
    ///
    /// # Errors
    /// [`KafkaError`] if that takes longer than `patience`, or cannot be done.
    async fn catch_up(&self, patience: Duration) -> Result<(), KafkaError>;
}

/// All that is to be run in a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// How far the config topic was read: [`super::configs::Snapshot::offset`].
    pub offset: i64,
    /// All of it.
    pub work: Work,
}

/// What a worker is to do.
#[derive(Debug)]
pub enum Event {
    /// End these.
    Revoked {
        /// What is to end.
        work: Work,
        /// True when this worker is not known to be a member any more: others may start these soon, or have.
        lost: bool,
        /// Drop it when they have ended: others wait for that.
        done: Acknowledge,
    },
    /// Run all of this; what runs already goes on.
    Assigned {
        /// Everything that this worker has.
        work: Work,
        /// The generation of the assignment, for statuses.
        generation: i32,
        /// Drop it when that is under way.
        done: Acknowledge,
    },
    /// The worker cannot be a member until a person has mended something. Everything is revoked.
    Failed(KafkaError),
}

/// An obligation: the membership waits until this is dropped.
#[derive(Debug)]
#[must_use = "the membership waits until this is dropped"]
pub struct Acknowledge(#[expect(dead_code, reason = "dropping it is the message")] oneshot::Sender<()>);

impl Acknowledge {
    /// The obligation, and the end that waits for it: it resolves (to an error) when the obligation is dropped.
    pub(super) fn pair() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }
}

/// What is known of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// This worker's id in the group; empty when it is none.
    pub member: String,
    /// The last generation that it was part of, -1 before the first.
    pub generation: i32,
    /// How the group agrees; `None` before the first assignment, and alone.
    pub protocol: Option<Protocol>,
    /// The leader's member id.
    pub leader: String,
    /// Where the leader's REST API is.
    pub leader_url: String,
    /// `Some` while this worker leads and no rebalance is under way.
    pub leadership: Option<Arc<Leadership>>,
    /// True while there is no agreement on who does what.
    pub rebalancing: bool,
    /// Assignments so far.
    pub rebalances: u64,
    /// Why this worker is not a member at the moment, if it is not for the rebalance.
    pub trouble: Option<Arc<KafkaError>>,
}

/// What only the leader knows: who has what, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// Where each member's REST API is.
    pub urls: BTreeMap<String, String>,
    /// Who has what.
    pub shares: Shares,
}

impl Leadership {
    /// The REST API of the worker that runs a connector's instance.
    #[must_use]
    pub fn url_of_connector(&self, connector: &str) -> Option<&str> {
        self.shares.owner_of_connector(connector).and_then(|member| self.urls.get(member)).map(String::as_str)
    }

    /// The REST API of the worker that runs a task.
    #[must_use]
    pub fn url_of_task(&self, task: &TaskId) -> Option<&str> {
        self.shares.owner_of_task(task).and_then(|member| self.urls.get(member)).map(String::as_str)
    }
}

/// A worker that is alone: all that is configured is its own.
#[derive(Debug)]
pub struct Solo {
    configs: Arc<dyn Configs>,
    wanted: Notify,
    has: Work,
    queue: VecDeque<Event>,
    standing: watch::Sender<Standing>,
    left: bool,
}

impl Solo {
    /// Its first event is the assignment of everything.
    #[must_use]
    pub fn new(configs: Arc<dyn Configs>) -> Self {
        let wanted = Notify::new();
        wanted.notify_one();
        Self { configs, wanted, has: Work::default(), queue: VecDeque::new(), standing: watch::Sender::new(Standing::default()), left: false }
    }

    /// What has changed since the last time, as events.
    fn look(&mut self) {
        let work = self.configs.configured().work;
        let gone = self.has.without(&[&work]);
        self.has.clone_from(&work);
        if !gone.is_empty() {
            self.queue.push_back(Event::Revoked { work: gone, lost: false, done: Acknowledge::pair().0 });
        }
        self.queue.push_back(Event::Assigned { work, generation: 0, done: Acknowledge::pair().0 });
        self.standing.send_modify(|standing| standing.rebalances += 1);
    }
}

#[async_trait]
impl Membership for Solo {
    async fn next(&mut self) -> Option<Event> {
        if self.left {
            return None;
        }
        if let Some(event) = self.queue.pop_front() {
            return Some(event);
        }
        self.wanted.notified().await;
        self.look();
        self.queue.pop_front()
    }

    fn rejoin(&self, reason: &str) {
        tracing::debug!(reason, "work is shared out anew");
        self.wanted.notify_one();
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    async fn leave(&mut self) {
        self.left = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Fixed(Mutex<Work>);

    #[async_trait]
    impl Configs for Fixed {
        fn configured(&self) -> Configured {
            Configured { offset: 0, work: self.0.lock().expect("no test panics in here").clone() }
        }

        async fn catch_up(&self, _patience: Duration) -> Result<(), KafkaError> {
            Ok(())
        }
    }

    async fn events(solo: &mut Solo, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..count {
            seen.push(match solo.next().await.expect("an event") {
                Event::Revoked { work, lost, .. } => format!("revoked {:?} {lost}", work.connectors),
                Event::Assigned { work, generation, .. } => format!("assigned {:?} {generation}", work.connectors),
                Event::Failed(error) => panic!("{error}"),
            });
        }
        seen
    }

    #[tokio::test]
    async fn whoever_is_alone_has_everything_and_keeps_up_with_changes() {
        let configs = Arc::new(Fixed::default());
        *configs.0.lock().expect("free") = Work::of("a b");
        let mut solo = Solo::new(Arc::clone(&configs) as Arc<dyn Configs>);
        assert_eq!(events(&mut solo, 1).await, [r#"assigned {"a", "b"} 0"#]);
        *configs.0.lock().expect("free") = Work::of("b c");
        solo.rejoin("a is gone");
        solo.rejoin("c is new");
        assert_eq!(events(&mut solo, 2).await, [r#"revoked {"a"} false"#, r#"assigned {"b", "c"} 0"#]);
        tokio::time::timeout(Duration::from_millis(10), solo.next()).await.expect_err("nothing more to do");
        solo.leave().await;
        assert!(solo.next().await.is_none());
        assert_eq!(solo.standing().borrow().rebalances, 2);
    }
}
