//! Names of objects, and when they are known.

use std::fmt;
use std::sync::Arc;

use crate::batch::TopicPartition;
use crate::store::names::Layout;

/// What a file's name is made of, before its first row.
#[derive(Debug, Clone)]
pub(super) struct FileName {
    /// Where the records go: the topic's name after transforms.
    pub(super) topic: Arc<str>,
    /// Where they come from.
    pub(super) from: TopicPartition,
    /// The encoded partition.
    pub(super) path: Arc<str>,
}

/// The rows of a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Offset of the first row.
    pub(super) start: i64,
    /// Offset of the last row, plus one.
    pub(super) end: i64,
    /// Kafka timestamp of the first row, in ms.
    pub(super) first_ms: Option<i64>,
    /// Kafka timestamp of the last row, in ms.
    pub(super) last_ms: Option<i64>,
}

/// A scheme of names.
pub(super) trait Naming: fmt::Debug + Send + Sync {
    /// The name of a file that begins at `start`. For a scheme that asks for more, any name that no other file has.
    fn at_start(&self, name: &FileName, start: i64, extension: &str) -> String;

    /// The name of a whole file.
    fn whole(&self, name: &FileName, extent: &Extent, extension: &str) -> String {
        self.at_start(name, extent.start, extension)
    }

    /// True when a name is known only when the file ends: its rows then wait until then.
    fn is_late(&self) -> bool {
        false
    }
}

impl Naming for Layout {
    fn at_start(&self, name: &FileName, start: i64, extension: &str) -> String {
        self.key_of_renamed(&name.topic, &name.from.topic, &name.path, name.from.partition, start, extension)
    }
}
