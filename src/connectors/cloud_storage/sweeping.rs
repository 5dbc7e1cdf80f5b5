//! Uploads that former owners of our topic partitions left unfinished are removed: after each assignment, and once an hour.
//!
//! Their parts cost money and show in no listing of objects. Only what was begun before a partition became ours is touched: what was begun later is ours, or of
//! an owner that came after us.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::writer::Plan;
use crate::batch::TopicPartition;
use crate::store::ObjectSink;

/// How long an assignment has to last before the store is asked: a group that is being rebalanced asks nothing.
const SETTLED: Duration = Duration::from_secs(5);

/// How long after that it is asked again, for what it could not list or remove, or what was still being written.
const SOON: Duration = Duration::from_secs(60);

/// How often it is asked later on.
const AGAIN: Duration = Duration::from_secs(3600);

/// The removal of unfinished uploads, beside the task; dropped, it ends.
#[derive(Debug, Default)]
pub(super) struct Sweeping {
    /// When each partition became ours.
    since: BTreeMap<TopicPartition, Instant>,
    work: Option<AbortOnDropHandle<()>>,
}

impl Sweeping {
    /// These partitions became ours now.
    pub(super) fn open(&mut self, partitions: &[TopicPartition], plan: &Arc<Plan>, store: &Arc<dyn ObjectSink>) {
        let now = Instant::now();
        self.since.extend(partitions.iter().map(|tp| (tp.clone(), now)));
        let Some(below) = plan.naming.below() else { return };
        let work = sweep(below, self.since.clone(), Arc::clone(plan), Arc::clone(store));
        self.work = Some(AbortOnDropHandle::new(tokio::spawn(work)));
    }

    /// These partitions are ours no longer. What goes on ends, and is begun again with the next assignment.
    pub(super) fn close(&mut self, partitions: &[TopicPartition]) {
        self.since.retain(|tp, _| !partitions.contains(tp));
        self.work = None;
    }
}

async fn sweep(below: String, since: BTreeMap<TopicPartition, Instant>, plan: Arc<Plan>, store: Arc<dyn ObjectSink>) {
    sleep(SETTLED).await;
    let assignments: BTreeSet<Instant> = since.values().copied().collect();
    for wait in std::iter::once(SOON).chain(std::iter::repeat(AGAIN)) {
        for assigned in &assignments {
            let of_then = || since.iter().filter(|(_, since)| *since == assigned).map(|(tp, _)| tp);
            let is_ours = |key: &str| plan.shapes.iter().any(|shape| of_then().any(|tp| plan.naming.is_of(key, tp, &shape.extension)));
            store.sweep(&below, &is_ours, assigned.elapsed()).await;
        }
        sleep(wait).await;
    }
}
