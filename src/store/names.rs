//! Names of objects: `topics/<topic>/<encoded partition>/<topic>+<partition>+<start offset><extension>`.
//!
//! A name is a function of the configuration, the topic partition, the path and the first record's offset, and of nothing else: writing the same
//! records again meets the same name. Upstream: `TopicPartitionWriter.fileKeyToCommit` and `Partitioner.generatePartitionedPath`. Nothing is
//! escaped, as there: a field value with a slash in it makes a directory.

use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

/// The keys that shape names.
pub static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "topics.dir",
        kind: Type::String,
        default: Some("topics"),
        required: false,
        importance: Importance::High,
        group: "Storage",
        doc: "Top level directory of everything that the connector writes, used verbatim; blank leaves the level out.",
        check: Check::Any,
    },
    ConfigKey {
        name: "directory.delim",
        kind: Type::String,
        default: Some("/"),
        required: false,
        importance: Importance::Medium,
        group: "Storage",
        doc: "What stands between the directories of an object's name.",
        check: Check::Any,
    },
    ConfigKey {
        name: "file.delim",
        kind: Type::String,
        default: Some("+"),
        required: false,
        importance: Importance::Medium,
        group: "Storage",
        doc: "What stands between topic, partition and start offset in a file's name.",
        check: Check::Any,
    },
    ConfigKey {
        name: "filename.offset.zero.pad.width",
        kind: Type::Int,
        default: Some("10"),
        required: false,
        importance: Importance::Low,
        group: "Connector",
        doc: "Least number of digits of the start offset in a file's name, filled up with zeros so that names sort as offsets do; longer offsets are never \
              cut. 0 does not pad.",
        check: Check::Range(0, i32::MAX as i64),
    },
];

/// How names are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Top level directory; empty = none.
    pub topics_dir: String,
    /// Between directories.
    pub directory_delim: String,
    /// Between the parts of a file's name.
    pub file_delim: String,
    /// Least digits of the start offset.
    pub zero_pad_width: usize,
}

impl Layout {
    /// The layout that a configuration (already checked against [`KEYS`]) asks for.
    #[must_use]
    pub fn from_props(props: &Props) -> Self {
        let values = Values { tables: &[KEYS], props };
        Self {
            topics_dir: values.text("topics.dir").to_owned(),
            directory_delim: values.text("directory.delim").to_owned(),
            file_delim: values.text("file.delim").to_owned(),
            zero_pad_width: values.long("filename.offset.zero.pad.width").and_then(|width| usize::try_from(width).ok()).unwrap_or(0),
        }
    }

    /// Key of the file that starts at `start_offset`. `path` is the encoded partition; `extension` begins with a dot.
    #[must_use]
    pub fn key(&self, topic: &str, path: &str, partition: i32, start_offset: i64, extension: &str) -> String {
        self.key_of_renamed(topic, topic, path, partition, start_offset, extension)
    }

    /// Key of a file whose records come from `source` and go to `topic` after a transform has renamed it: the directory is the new topic's, the file's name
    /// keeps the source's. Partition and offset are the source's, so that two sources that become one topic never write the same key.
    #[must_use]
    pub fn key_of_renamed(&self, topic: &str, source: &str, path: &str, partition: i32, start_offset: i64, extension: &str) -> String {
        let Self { topics_dir, directory_delim: dir, file_delim: file, zero_pad_width: width } = self;
        let root = if topics_dir.is_empty() { "" } else { dir };
        format!("{topics_dir}{root}{topic}{dir}{path}{dir}{source}{file}{partition}{file}{start_offset:0width$}{extension}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_upstream() {
        let cases: &[(&[(&str, &str)], &str, &str, i32, i64, &str, &str)] = &[
            (&[], "t", "partition=0", 0, 0, ".avro", "topics/t/partition=0/t+0+0000000000.avro"),
            (&[], "t", "year=2025/month=06", 3, 12_345_678_901, ".snappy.parquet", "topics/t/year=2025/month=06/t+3+12345678901.snappy.parquet"),
            (&[("topics.dir", "")], "t", "partition=0", 0, 1, ".json", "t/partition=0/t+0+0000000001.json"),
            (&[("topics.dir", "  ")], "t", "partition=0", 0, 1, ".json", "t/partition=0/t+0+0000000001.json"),
            (&[("topics.dir", "a/b")], "t", "partition=0", 0, 5, ".avro", "a/b/t/partition=0/t+0+0000000005.avro"),
            (
                &[("directory.delim", "_"), ("file.delim", "#"), ("filename.offset.zero.pad.width", "2")],
                "test-topic",
                "partition=12",
                12,
                6,
                ".avro",
                "topics_test-topic_partition=12_test-topic#12#06.avro",
            ),
            (&[("filename.offset.zero.pad.width", "3")], "t", "partition=0", 0, 12_345, ".avro", "topics/t/partition=0/t+0+12345.avro"),
            (&[("filename.offset.zero.pad.width", "0")], "t", "partition=0", 0, 7, ".avro", "topics/t/partition=0/t+0+7.avro"),
            (&[], "t", "f=a/b c", 0, 0, ".avro", "topics/t/f=a/b c/t+0+0000000000.avro"),
        ];
        for (props, topic, path, partition, offset, extension, key) in cases {
            let props = props.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(Layout::from_props(&props).key(topic, path, *partition, *offset, extension), *key);
        }
    }
}
