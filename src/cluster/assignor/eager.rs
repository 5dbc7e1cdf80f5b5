//! Everything anew: upstream's `EagerAssignor`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::Work;

/// Deals out the connectors and then the tasks, in a circle of the members.
pub(super) fn assign<'a>(members: impl Iterator<Item = &'a String>, configured: &Work) -> BTreeMap<String, Work> {
    let mut shares: Vec<(String, Work)> = members.map(|member| (member.clone(), Work::default())).collect();
    let count = shares.len().max(1);
    for (at, connector) in configured.connectors.iter().enumerate() {
        if let Some((_, work)) = shares.get_mut(at % count) {
            work.connectors.insert(Arc::clone(connector));
        }
    }
    for (at, task) in configured.tasks.iter().enumerate() {
        if let Some((_, work)) = shares.get_mut((configured.connectors.len() + at) % count) {
            work.tasks.insert(task.clone());
        }
    }
    shares.into_iter().collect()
}
