//! What a leader gives to whom: the members' metadata and the cluster's connectors in, an assignment for each member out.
//!
//! - [`eager`]: everything anew, dealt out in a circle.
//! - [`incremental`]: members keep what they have; what is new goes to whom has least, what is too much is taken back first and given out in the next round, and
//!   what a lost member had waits for it.
//!
//! All members compute nothing and take what the leader says, so that a leader need not come to the same result as upstream's; it must only be consistent. The
//! state that an assignor keeps from round to round is the leader's alone, and may be lost with it.

use std::collections::BTreeMap;

use super::protocol::{Assignment, CONFIG_MISMATCH, Metadata, NO_ERROR, Protocol};
use super::{TaskId, Work};

mod eager;
mod incremental;
#[cfg(test)]
mod tests;

pub use incremental::Incremental;

/// A rebalance, as the leader sees it.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// What the coordinator has chosen.
    pub protocol: Protocol,
    /// The leader's member id.
    pub leader: &'a str,
    /// Metadata by member id, the leader's among them.
    pub members: &'a BTreeMap<String, Metadata>,
    /// All that is to be shared out: [`super::configs::Snapshot::work`].
    pub configured: &'a Work,
    /// The offset of that snapshot.
    pub config_offset: i64,
    /// The generation of the last rebalance that this leader completed, -1 if none.
    pub last_completed_generation: i32,
    /// This rebalance's generation.
    pub generation: i32,
    /// The time, in ms.
    pub now_ms: i64,
}

impl Round<'_> {
    /// How much of the config topic somebody has read. A leader whose snapshot is behind takes another one before it assigns.
    #[must_use]
    pub fn furthest_offset(&self) -> i64 {
        self.members.values().map(|member| member.config_offset).max().unwrap_or(-1).max(self.config_offset)
    }
}

/// A rebalance's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// What each member is told.
    pub assignments: BTreeMap<String, Assignment>,
    /// What each member has once it has done that: who runs what, for requests that must be forwarded.
    pub owned: BTreeMap<String, Work>,
}

impl Shares {
    /// The member that runs a connector's instance.
    #[must_use]
    pub fn owner_of_connector(&self, connector: &str) -> Option<&str> {
        self.owned.iter().find(|(_, work)| work.connectors.contains(connector)).map(|(member, _)| member.as_str())
    }

    /// The member that runs a task.
    #[must_use]
    pub fn owner_of_task(&self, task: &TaskId) -> Option<&str> {
        self.owned.iter().find(|(_, work)| work.tasks.contains(task)).map(|(member, _)| member.as_str())
    }
}

/// Assigns, in either protocol.
#[derive(Debug)]
pub struct Assignor {
    incremental: Incremental,
}

impl Assignor {
    /// For `scheduled.rebalance.max.delay.ms`.
    #[must_use]
    pub fn new(max_delay_ms: u32) -> Self {
        Self { incremental: Incremental::new(max_delay_ms) }
    }

    /// One rebalance. Where the leader has read less of the config topic than a member, all are sent to read it: [`CONFIG_MISMATCH`].
    pub fn assign(&mut self, round: &Round<'_>) -> Shares {
        let offset = round.furthest_offset();
        if round.config_offset < offset {
            let told = |member: &String| (member.clone(), envelope(round, CONFIG_MISMATCH, offset));
            return Shares { assignments: round.members.keys().map(told).collect(), owned: BTreeMap::new() };
        }
        if round.protocol == Protocol::Eager {
            let owned = eager::assign(round.members.keys(), round.configured);
            let told = |(member, work): (&String, &Work)| (member.clone(), Assignment { assigned: work.clone(), ..envelope(round, NO_ERROR, offset) });
            return Shares { assignments: owned.iter().map(told).collect(), owned };
        }
        let held = |member: &Metadata| member.allocation.as_ref().map(|allocation| allocation.assigned.clone()).unwrap_or_default();
        let held: BTreeMap<String, Work> = round.members.iter().map(|(member, metadata)| (member.clone(), held(metadata))).collect();
        let moves = self.incremental.assign(&held, round.configured, round.last_completed_generation, round.generation, round.now_ms);
        let told = |(member, moves): (&String, &incremental::Moves)| {
            let (assigned, revoked, delay_ms) = (moves.assigned.clone(), moves.revoked.clone(), self.incremental.delay_ms());
            (member.clone(), Assignment { assigned, revoked, delay_ms, ..envelope(round, NO_ERROR, offset) })
        };
        Shares { assignments: moves.iter().map(told).collect(), owned: moves.iter().map(|(member, moves)| (member.clone(), moves.owned.clone())).collect() }
    }
}

/// What every member is told.
fn envelope(round: &Round<'_>, error: i16, config_offset: i64) -> Assignment {
    let leader_url = round.members.get(round.leader).map(|leader| leader.url.clone()).unwrap_or_default();
    Assignment { error, leader: round.leader.to_owned(), leader_url, config_offset, ..Assignment::default() }
}
