//! Errors at the task's border: kinds by what is done next.

use std::collections::BTreeMap;
use std::fmt;

use super::config::ConfigError;
use crate::batch::TopicPartition;

/// What the runtime does about a [`TaskError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A record cannot be taken: tolerated or FAILED, as `errors.tolerance` says.
    BadRecord,
    /// A setting is wrong: FAILED, the user acts.
    BadConfig,
    /// A permission is missing: FAILED, the user acts.
    Denied,
    /// The assignment is over: what was open is dropped and read again by whoever owns it.
    Fenced,
    /// What had been read is gone from memory, or was delivered before: partitions are read again, from [`TaskError::back_to`].
    Rewind,
    /// Records are not in the log any more, and the task is to end then: FAILED when what came before them is written; the user acts.
    LostRecords,
    /// A defect of ours, or a condition that nobody foresaw: FAILED, with the trace.
    Bug,
}

/// A task cannot go on. `Display` is one line: the message and where it happened.
#[derive(Debug)]
pub struct TaskError {
    /// What the runtime does about it.
    pub kind: ErrorKind,
    /// What happened and what to do: lower case, no full stop.
    pub message: String,
    /// Where: connector, topic, partition, offset, key, object.
    pub context: Vec<(&'static str, String)>,
    /// For [`ErrorKind::Rewind`]: the partitions that are read again, and from where (`None` = from what is committed); empty = all of the task's.
    pub back_to: BTreeMap<TopicPartition, Option<i64>>,
}

impl TaskError {
    /// An error of that kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), context: Vec::new(), back_to: BTreeMap::new() }
    }

    /// A configuration with these problems.
    #[must_use]
    pub fn bad_config(problems: &[ConfigError]) -> Self {
        Self::new(ErrorKind::BadConfig, problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// Of two errors that ask to read again, the one that asks for both.
    #[must_use]
    pub fn and_back_to(mut self, other: Self) -> Self {
        if self.back_to.is_empty() || other.back_to.is_empty() {
            self.back_to.clear(); // everything
        } else {
            self.back_to.extend(other.back_to);
        }
        self
    }

    /// Says that a partition is read again, and from where, when that is not what is committed.
    #[must_use]
    pub fn back_to(mut self, partition: TopicPartition, offset: Option<i64>) -> Self {
        self.back_to.insert(partition, offset);
        self
    }

    /// Adds where it happened.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((key, value.to_string()));
        self
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (i, (key, value)) in self.context.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { " (" } else { ", " })?;
        }
        if self.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl std::error::Error for TaskError {}
