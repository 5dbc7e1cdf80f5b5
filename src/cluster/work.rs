//! What is shared out among the members of a group: instances of connectors, and tasks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// One task of one connector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The connector's name.
    pub connector: Arc<str>,
    /// The task's number, from 0.
    pub task: u32,
}

impl TaskId {
    /// The task of this number.
    #[must_use]
    pub fn new(connector: &str, task: u32) -> Self {
        Self { connector: Arc::from(connector), task }
    }
}

impl fmt::Display for TaskId {
    /// As upstream: `orders-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// Some connectors and some tasks: upstream's `ConnectorsAndTasks`. A connector's instance and its tasks may be with different members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Connectors whose instance is meant; this one says how many tasks there are and with which configurations.
    pub connectors: BTreeSet<Arc<str>>,
    /// Tasks.
    pub tasks: BTreeSet<TaskId>,
}

impl Work {
    /// True without connectors and tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connectors.is_empty() && self.tasks.is_empty()
    }

    /// True where one of them is in the other, too.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        !self.connectors.is_disjoint(&other.connectors) || !self.tasks.is_disjoint(&other.tasks)
    }

    /// Adds what is in the other.
    pub fn add(&mut self, other: &Self) {
        self.connectors.extend(other.connectors.iter().cloned());
        self.tasks.extend(other.tasks.iter().cloned());
    }

    /// Takes out what is in the other.
    pub fn remove(&mut self, other: &Self) {
        self.connectors.retain(|connector| !other.connectors.contains(connector));
        self.tasks.retain(|task| !other.tasks.contains(task));
    }

    /// What is here and not in any of the others.
    #[must_use]
    pub fn without(&self, others: &[&Self]) -> Self {
        let mut rest = self.clone();
        others.iter().for_each(|other| rest.remove(other));
        rest
    }

    /// What is in both.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Self {
        Self { connectors: self.connectors.intersection(&other.connectors).cloned().collect(), tasks: self.tasks.intersection(&other.tasks).cloned().collect() }
    }
}

impl<'a> FromIterator<&'a Self> for Work {
    /// What is in any of them.
    fn from_iter<T: IntoIterator<Item = &'a Self>>(all: T) -> Self {
        let mut union = Self::default();
        all.into_iter().for_each(|work| union.add(work));
        union
    }
}

#[cfg(test)]
impl Work {
    /// `"a b a-0 b-1"`: names are connectors, names with a number are tasks.
    pub(crate) fn of(text: &str) -> Self {
        let mut work = Self::default();
        for word in text.split_whitespace() {
            match word.rsplit_once('-') {
                Some((connector, task)) => drop(work.tasks.insert(TaskId::new(connector, task.parse().expect("a number")))),
                None => drop(work.connectors.insert(Arc::from(word))),
            }
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_connectors_and_tasks() {
        let (some, other) = (Work::of("a b a-0 a-1"), Work::of("b c a-1 b-0"));
        assert_eq!(some.without(&[&other]), Work::of("a a-0"));
        assert_eq!(some.without(&[&other, &Work::of("a")]), Work::of("a-0"));
        assert_eq!(some.shared_with(&other), Work::of("b a-1"));
        assert_eq!([&some, &other].into_iter().collect::<Work>(), Work::of("a b c a-0 a-1 b-0"));
        assert!(some.intersects(&other) && !some.intersects(&Work::of("c b-0")), "a connector's instance and its tasks are different things");
        assert!(Work::default().is_empty() && !Work::of("a").is_empty() && !Work::of("a-0").is_empty());
        assert_eq!(TaskId::new("a-b", 3).to_string(), "a-b-3");
    }
}
