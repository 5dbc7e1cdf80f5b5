//! Names of objects, and when they are known.

use std::fmt;
use std::sync::Arc;

use crate::batch::TopicPartition;
use crate::store::names::Layout;

/// What a file's name is made of, before its first row.
#[derive(Debug, Clone)]
pub(in crate::connectors) struct FileName {
    /// Where the records go: the topic's name after transforms.
    pub(in crate::connectors) topic: Arc<str>,
    /// Where they come from.
    pub(in crate::connectors) from: TopicPartition,
    /// The encoded partition.
    pub(in crate::connectors) path: Arc<str>,
}

/// The rows of a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connectors) struct Extent {
    /// Offset of the first row.
    pub(in crate::connectors) start: i64,
    /// Offset of the last row, plus one.
    pub(in crate::connectors) end: i64,
    /// Earliest Kafka timestamp of its rows, in ms; known to [late](Naming::is_late) schemes only.
    pub(in crate::connectors) first_ms: Option<i64>,
    /// Latest Kafka timestamp of its rows, in ms; known to [late](Naming::is_late) schemes only.
    pub(in crate::connectors) last_ms: Option<i64>,
}

/// A scheme of names.
pub(in crate::connectors) trait Naming: fmt::Debug + Send + Sync {
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

    /// What all names begin with, where [`is_of`](Self::is_of) can tell them; otherwise nobody's unfinished uploads are looked for.
    fn below(&self) -> Option<String> {
        None
    }

    /// True for a name that this scheme gives to files of `from`, whatever their path, first offset and topic after transforms.
    fn is_of(&self, key: &str, from: &TopicPartition, extension: &str) -> bool {
        let _ = (key, from, extension);
        false
    }
}

impl Naming for Layout {
    fn at_start(&self, name: &FileName, start: i64, extension: &str) -> String {
        self.key_of_renamed(&name.topic, &name.from.topic, &name.path, name.from.partition, start, extension)
    }

    fn below(&self) -> Option<String> {
        Some(self.root())
    }

    fn is_of(&self, key: &str, from: &TopicPartition, extension: &str) -> bool {
        self.is_key_of(key, &from.topic, from.partition, extension)
    }
}
