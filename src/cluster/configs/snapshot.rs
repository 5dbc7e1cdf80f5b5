//! What is known from the config topic at one offset: upstream's `ClusterConfigState`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{RawConfig, TargetState};
use crate::cluster::session::SessionKey;
use crate::cluster::{TaskId, Work};

/// All that is known of a connector's name. It can outlive its connector, and come before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) config: Option<Arc<RawConfig>>,
    pub(super) target: Option<TargetState>,
    /// As committed last.
    tasks: Option<u32>,
    /// What the last commits have left, also beyond the number of tasks.
    task_configs: BTreeMap<u32, Arc<RawConfig>>,
    /// The connector's configuration at the last commit that was applied.
    applied: Option<Arc<RawConfig>>,
    generation: Option<u32>,
    inconsistent: bool,
    pub(super) task_count_record: Option<u32>,
    pub(super) pending_fencing: bool,
}

impl Entry {
    /// True if there was one. What fencing needs stays, in case that a connector of the same name follows.
    pub(super) fn remove_configs(&mut self) -> bool {
        self.tasks = None;
        self.task_configs.clear();
        self.applied = None;
        self.config.take().is_some()
    }

    /// A commit of so many tasks. `configs` is `None` where no task record came before, or not all.
    pub(super) fn commit(&mut self, count: u32, configs: Option<BTreeMap<u32, Arc<RawConfig>>>, complete: bool) {
        if let Some(configs) = configs {
            self.task_configs.extend(configs);
            self.generation = Some(self.generation.map_or(0, |generation| generation.saturating_add(1)));
        }
        if complete {
            self.applied = self.config.clone();
        }
        self.inconsistent = !complete;
        self.tasks = Some(count);
        self.pending_fencing = true;
    }
}

/// What is known at one offset. Cloning it copies a pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(Arc<State>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    offset: i64,
    session_key: Option<SessionKey>,
    connectors: BTreeMap<Arc<str>, Arc<Entry>>,
}

impl Default for State {
    fn default() -> Self {
        Self { offset: -1, session_key: None, connectors: BTreeMap::new() }
    }
}

/// A snapshot that goes on: it is copied only where somebody holds the one before.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<State>);

impl Shared {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(Arc::clone(&self.0))
    }

    pub(super) fn set_offset(&mut self, offset: i64) {
        Arc::make_mut(&mut self.0).offset = offset;
    }

    pub(super) fn set_session_key(&mut self, key: SessionKey) {
        Arc::make_mut(&mut self.0).session_key = Some(key);
    }

    pub(super) fn contains(&self, connector: &str) -> bool {
        self.0.connectors.get(connector).is_some_and(|entry| entry.config.is_some())
    }

    /// Changes what is known of a name; names of which nothing is known are not kept.
    pub(super) fn update<T>(&mut self, connector: &str, change: impl FnOnce(&mut Entry) -> T) -> T {
        let connectors = &mut Arc::make_mut(&mut self.0).connectors;
        if let Some(entry) = connectors.get_mut(connector) {
            let entry = Arc::make_mut(entry);
            let result = change(entry);
            if *entry == Entry::default() {
                connectors.remove(connector);
            }
            return result;
        }
        let mut entry = Entry::default();
        let result = change(&mut entry);
        if entry != Entry::default() {
            connectors.insert(connector.into(), Arc::new(entry));
        }
        result
    }
}

impl Snapshot {
    /// The offset after the last record that could be read, -1 before the first: what members tell each other.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    /// The key that signs requests between workers.
    #[must_use]
    pub fn session_key(&self) -> Option<&SessionKey> {
        self.0.session_key.as_ref()
    }

    fn entry(&self, connector: &str) -> Option<&Entry> {
        self.0.connectors.get(connector).map(Arc::as_ref)
    }

    /// The connectors that exist, by name.
    pub fn connectors(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.connectors.iter().filter(|(_, entry)| entry.config.is_some()).map(|(name, _)| name)
    }

    /// True if there is such a connector.
    #[must_use]
    pub fn contains(&self, connector: &str) -> bool {
        self.config(connector).is_some()
    }

    /// A connector's configuration.
    #[must_use]
    pub fn config(&self, connector: &str) -> Option<&Arc<RawConfig>> {
        self.entry(connector)?.config.as_ref()
    }

    /// The connector's configuration that its tasks come from.
    #[must_use]
    pub fn applied_config(&self, connector: &str) -> Option<&Arc<RawConfig>> {
        self.entry(connector)?.applied.as_ref()
    }

    /// True if its tasks are known, and come from the configuration that it has now.
    #[must_use]
    pub fn is_applied(&self, connector: &str) -> bool {
        self.task_count(connector) > 0 && self.applied_config(connector) == self.config(connector) && !self.is_inconsistent(connector)
    }

    /// What a connector shall do; also of one that does not exist yet.
    #[must_use]
    pub fn target_state(&self, connector: &str) -> Option<TargetState> {
        self.entry(connector)?.target
    }

    /// How many tasks were committed, whether they are known or not.
    #[must_use]
    pub fn task_count(&self, connector: &str) -> u32 {
        self.entry(connector).and_then(|entry| entry.tasks).unwrap_or(0)
    }

    /// A connector's tasks; none while it is [inconsistent](Self::is_inconsistent).
    pub fn tasks(&self, connector: &str) -> impl Iterator<Item = TaskId> + use<> {
        let known = self.0.connectors.get_key_value(connector).filter(|(_, entry)| !entry.inconsistent);
        let (name, count) = known.map_or_else(|| (Arc::from(""), 0), |(name, entry)| (Arc::clone(name), entry.tasks.unwrap_or(0)));
        (0..count).map(move |task| TaskId { connector: Arc::clone(&name), task })
    }

    /// A task's configuration.
    #[must_use]
    pub fn task_config(&self, id: &TaskId) -> Option<&Arc<RawConfig>> {
        self.entry(&id.connector)?.task_configs.get(&id.task)
    }

    /// True if the configurations of its tasks were not complete at the last commit, and must be published again.
    #[must_use]
    pub fn is_inconsistent(&self, connector: &str) -> bool {
        self.entry(connector).is_some_and(|entry| entry.inconsistent)
    }

    /// How many commits have brought configurations of tasks, less one; `None` before the first.
    #[must_use]
    pub fn task_generation(&self, connector: &str) -> Option<u32> {
        self.entry(connector)?.generation
    }

    /// How many tasks there were when zombies were fenced last.
    #[must_use]
    pub fn task_count_record(&self, connector: &str) -> Option<u32> {
        self.entry(connector)?.task_count_record
    }

    /// True if zombies must be fenced before tasks of an exactly-once source may start.
    #[must_use]
    pub fn pending_fencing(&self, connector: &str) -> bool {
        self.entry(connector).is_some_and(|entry| entry.pending_fencing)
    }

    /// All that is to be shared out.
    #[must_use]
    pub fn work(&self) -> Work {
        Work { connectors: self.connectors().cloned().collect(), tasks: self.connectors().flat_map(|connector| self.tasks(connector)).collect() }
    }

    /// True if these configurations of a connector's tasks must be published: there are more or fewer, one is another, they come from another configuration of
    /// the connector, or what was published is not complete. Publishing costs a rebalance and a restart of the tasks.
    #[must_use]
    pub fn must_publish(&self, connector: &str, tasks: &[RawConfig]) -> bool {
        let same = u32::try_from(tasks.len()).ok() == Some(self.task_count(connector))
            && (0..).zip(tasks).all(|(task, config)| self.task_config(&TaskId::new(connector, task)).is_some_and(|known| **known == *config))
            && self.applied_config(connector) == self.config(connector)
            && !self.is_inconsistent(connector);
        !same
    }
}
