//! Names of objects: `topics/<topic>/<encoded partition>/<topic>+<partition>+<start offset><extension>`.
//!
//! A name is a function of the configuration, the topic partition, the path and the first record's offset, and of nothing else: writing the same
//! records again meets the same name. Upstream: `TopicPartitionWriter.fileKeyToCommit` and `Partitioner.generatePartitionedPath`. Nothing is
//! escaped, as there: a field value with a slash in it makes a directory. `lakehead.key.template` is our way to another order of the same parts.

use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

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
    ConfigKey {
        name: "lakehead.key.template",
        kind: Type::String,
        default: Some(""),
        required: false,
        importance: Importance::Low,
        group: "Storage",
        doc: "Ours. Name of an object without its extension: text with {topics.dir}, {topic}, {path} (what the partitioner says), {partition}, {offset} (first \
              record, padded) and {source} (the topic before transforms). Empty is upstream's name.",
        check: Check::Any,
    },
];

/// A piece of `lakehead.key.template`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    TopicsDir,
    Topic,
    Source,
    Path,
    Partition,
    Offset,
}

/// A name of one's own: text with placeholders; the file's extension always follows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Piece>);

impl Template {
    /// Reads a template. Names are unique only with the source topic (several may become one topic), the Kafka partition and the offset in them.
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("'{{{after}' has no closing brace"))?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(match name {
                "topics.dir" => Piece::TopicsDir,
                "topic" => Piece::Topic,
                "source" => Piece::Source,
                "path" => Piece::Path,
                "partition" => Piece::Partition,
                "offset" => Piece::Offset,
                _ => return Err(format!("{{{name}}} is unknown; placeholders: topics.dir, topic, source, path, partition, offset")),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        let has = |piece: &Piece| pieces.contains(piece);
        if !has(&Piece::Source) || !has(&Piece::Partition) || !has(&Piece::Offset) {
            return Err("{source} (the topic before transforms), {partition} and {offset} must be in it: no two files may have the same name".to_owned());
        }
        if text.starts_with('/') || text.contains("//") {
            return Err("a name must not begin with '/' and have no empty directory".to_owned());
        }
        Ok(Self(pieces))
    }
}

/// Checks what [`KEYS`] cannot say: the template of names.
#[must_use]
pub fn validate(props: &Props) -> Option<ConfigError> {
    const KEY: &str = "lakehead.key.template";
    let text = props.get(KEY).map(|text| text.trim()).filter(|text| !text.is_empty())?;
    let message = Template::parse(text).err()?;
    Some(ConfigError::new(KEY, format!("Invalid value {text} for configuration {KEY}: {message}")))
}

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
    /// A name of one's own; `None` = upstream's.
    template: Option<Template>,
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
            template: values.non_blank("lakehead.key.template").and_then(|text| Template::parse(text).ok()),
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
        let Self { topics_dir, directory_delim: dir, file_delim: file, zero_pad_width: width, template } = self;
        if let Some(Template(pieces)) = template {
            let text = |piece: &Piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::TopicsDir => topics_dir.clone(),
                Piece::Topic => topic.to_owned(),
                Piece::Source => source.to_owned(),
                Piece::Path => path.to_owned(),
                Piece::Partition => partition.to_string(),
                Piece::Offset => format!("{start_offset:0width$}"),
            };
            return pieces.iter().map(text).chain([extension.to_owned()]).collect();
        }
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

    #[test]
    fn names_of_ones_own() {
        let layout = |template: &str| Layout::from_props(&Props::from([("lakehead.key.template".to_owned(), template.to_owned())]));
        for (template, key) in [
            ("", "topics/new/y=2025/old+3+0000000042.json"),
            ("{topics.dir}/{topic}/{path}/{source}+{partition}+{offset}", "topics/new/y=2025/old+3+0000000042.json"),
            ("{path}/{source}-{partition}-{offset}", "y=2025/old-3-0000000042.json"),
            ("lake/{source}/p{partition}.{offset}", "lake/old/p3.0000000042.json"),
        ] {
            assert_eq!(layout(template).key_of_renamed("new", "old", "y=2025", 3, 42, ".json"), key, "{template}");
        }
    }

    #[test]
    fn names_that_are_refused() {
        for (template, part) in [
            ("{source}/{path}/{offset}", "{partition} and {offset} must be in it"),
            ("{topic}/{partition}/{offset}", "{source} (the topic before transforms)"),
            ("{source}{partition}{offset", "has no closing brace"),
            ("{source}{partition}{offset}{key}", "{key} is unknown"),
            ("/{source}{partition}{offset}", "must not begin with '/'"),
        ] {
            let error = validate(&Props::from([("lakehead.key.template".to_owned(), template.to_owned())])).unwrap();
            assert!(error.key == "lakehead.key.template" && error.message.contains(part), "{template}: {error}");
        }
        assert_eq!(validate(&Props::new()), None);
    }
}
