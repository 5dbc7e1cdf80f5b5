//! Names of objects: `topics/<topic>/<encoded partition>/<topic>+<partition>+<start offset><extension>`.
//!
//! A name is a function of the configuration, the topic partition, the path and the first record's offset, and of nothing else: writing the same
//! records again meets the same name. Upstream: `TopicPartitionWriter.fileKeyToCommit` and `Partitioner.generatePartitionedPath`. Nothing is
//! escaped, as there: a field value with a slash in it makes a directory. `lakehead.key.template` is our way to another order of the same parts.

use regex::Regex;

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
              record, padded) and {source} (the topic before transforms). Source, partition and offset must be in it, and something that they cannot hold (as \
              '/' or '+') between them, so that no two files have the same name. Empty is upstream's name.",
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

impl Piece {
    /// The placeholder.
    fn name(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::TopicsDir => "topics.dir",
            Self::Topic => "topic",
            Self::Source => "source",
            Self::Path => "path",
            Self::Partition => "partition",
            Self::Offset => "offset",
        }
    }

    /// Whether a value of it can hold such a character: topics have letters, digits, dots, hyphens and underscores.
    fn holds(&self, c: char) -> bool {
        match self {
            Self::Partition | Self::Offset => c.is_ascii_digit(),
            Self::Topic | Self::Source => c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'),
            Self::Literal(_) | Self::TopicsDir | Self::Path => true,
        }
    }
}

/// A name of one's own: text with placeholders; the file's extension always follows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Piece>);

impl Template {
    /// Reads a template. Names are unique only when the source topic (several may become one topic), the Kafka partition and the offset can be read from them.
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
        let template = Self(pieces);
        let told = [template.told_from_the_left(), template.told_from_the_right()].concat();
        match [Piece::Source, Piece::Partition, Piece::Offset].iter().find(|piece| !told.contains(piece)) {
            Some(piece) => Err(format!(
                "{{{}}} cannot be told from what stands beside it, so that two files could have the same name: put text between the placeholders that their \
                 values cannot hold, as '/' or '+' after {{source}} and '-' between {{partition}} and {{offset}}",
                piece.name()
            )),
            None => Ok(template),
        }
    }

    /// Placeholders whose values anybody can read from a name, beginning at its left end. A value ends where text follows that it cannot hold all of;
    /// a path may hold anything, and what is behind it is found from the right end only.
    fn told_from_the_left(&self) -> Vec<Piece> {
        let mut told = Vec::new();
        let mut rest = self.0.as_slice();
        while let Some((piece, after)) = rest.split_first() {
            rest = after;
            match piece {
                Piece::Literal(_) | Piece::TopicsDir => continue,
                known if told.contains(known) => continue,
                Piece::Path => break,
                _ => {}
            }
            let is_over = match after.first() {
                Some(Piece::Literal(text)) => text.chars().any(|c| !piece.holds(c)),
                Some(_) => false,
                None => !piece.holds('.'), // the extension
            };
            if !is_over {
                break;
            }
            told.push(piece.clone());
        }
        told
    }

    /// The same from the right end, where the extension has been taken off.
    fn told_from_the_right(&self) -> Vec<Piece> {
        let mut told = Vec::new();
        let mut rest = self.0.as_slice();
        // a topic beside the extension could hold a part of it
        if rest.last().is_some_and(|piece| matches!(piece, Piece::Source | Piece::Topic)) {
            return told;
        }
        while let Some((piece, before)) = rest.split_last() {
            rest = before;
            match piece {
                Piece::Literal(_) | Piece::TopicsDir => continue,
                known if told.contains(known) => continue,
                Piece::Path => break,
                _ => {}
            }
            let is_over = match before.last() {
                Some(Piece::Literal(text)) => text.chars().any(|c| !piece.holds(c)),
                Some(_) => false,
                None => true, // the name's beginning
            };
            if !is_over {
                break;
            }
            told.push(piece.clone());
        }
        told
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
        let root = self.root();
        format!("{root}{topic}{dir}{path}{dir}{source}{file}{partition}{file}{start_offset:0width$}{extension}")
    }

    /// What every key begins with.
    #[must_use]
    pub fn root(&self) -> String {
        let known = |piece: &Piece| match piece {
            Piece::Literal(text) => Some(text.clone()),
            Piece::TopicsDir => Some(self.topics_dir.clone()),
            _ => None,
        };
        match &self.template {
            Some(Template(pieces)) => pieces.iter().map_while(known).collect(),
            None if self.topics_dir.is_empty() => String::new(),
            None => format!("{}{}", self.topics_dir, self.directory_delim),
        }
    }

    /// True for keys that [`key_of_renamed`](Self::key_of_renamed) makes for a source, a partition and an extension, of whatever topic, path and offset.
    #[must_use]
    pub fn is_key_of(&self, key: &str, source: &str, partition: i32, extension: &str) -> bool {
        let Some(name) = key.strip_suffix(extension) else { return false };
        if let Some(Template(pieces)) = &self.template {
            let pattern = |piece: &Piece| match piece {
                Piece::Literal(text) => regex::escape(text),
                Piece::TopicsDir => regex::escape(&self.topics_dir),
                Piece::Topic => "[A-Za-z0-9._-]+".to_owned(),
                Piece::Source => regex::escape(source),
                Piece::Path => ".*".to_owned(),
                Piece::Partition => partition.to_string(),
                Piece::Offset => "[0-9]+".to_owned(),
            };
            let whole: String = ["(?s)^".to_owned()].into_iter().chain(pieces.iter().map(pattern)).chain(["$".to_owned()]).collect();
            return Regex::new(&whole).is_ok_and(|whole| whole.is_match(name));
        }
        let (dir, file) = (&self.directory_delim, &self.file_delim);
        let before = name.trim_end_matches(|c: char| c.is_ascii_digit());
        before.len() < name.len() && name.starts_with(&self.root()) && before.ends_with(&format!("{dir}{source}{file}{partition}{file}"))
    }
}

/// What the name of a file says, where it is upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// The topic that its records come from.
    pub source: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Offset of the first row.
    pub start: i64,
    /// With its dot.
    pub extension: &'a str,
}

/// Reads `…/<topic><delimiter><partition><delimiter><start offset><extension>` back; `None` for other names.
#[must_use]
pub fn parse<'a>(key: &'a str, file_delim: &str) -> Option<Named<'a>> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let (head, tail) = name.rsplit_once(file_delim).filter(|_| !file_delim.is_empty())?;
    let (source, partition) = head.rsplit_once(file_delim)?;
    let (start, extension) = tail.split_at(tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len()));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if source.is_empty() || !is_number(partition) || !is_number(start) || !(extension.is_empty() || extension.starts_with('.')) {
        return None;
    }
    Some(Named { source, partition: partition.parse().ok()?, start: start.parse().ok()?, extension })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_tell_whose_they_are() {
        let layout = |props: &[(&str, &str)]| Layout::from_props(&props.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let template = "{topics.dir}/{topic}/{path}/{source}-{partition}/{offset}";
        for (props, root) in [
            (&[][..], "topics/"),
            (&[("topics.dir", "")], ""),
            (&[("topics.dir", "a/b"), ("directory.delim", "_"), ("file.delim", "#")], "a/b_"),
            (&[("lakehead.key.template", template)], "topics/"),
            (&[("lakehead.key.template", "x.{source}/{partition}/{path}/{offset}")], "x."),
        ] {
            let layout = layout(props);
            assert_eq!(layout.root(), root);
            let key = |source: &str, partition: i32| layout.key_of_renamed("renamed", source, "a=1/b=2", partition, 42, ".json");
            assert!(key("t", 1).starts_with(root));
            let found =
                [("t", 1), ("t", 11), ("t", 0), ("t.t", 1), ("tt", 1)].map(|(source, partition)| layout.is_key_of(&key(source, partition), "t", 1, ".json"));
            assert_eq!(found, [true, false, false, false, false], "{root}");
            let whole = key("t", 1);
            let others = [whole.replace(".json", ".avro"), whole.replace("42", "x"), whole.replace(".json", ".json.json"), format!("other/{whole}")];
            // without a directory of its own anything may be above
            assert_eq!(others.map(|key| layout.is_key_of(&key, "t", 1, ".json")), [false, false, false, root.is_empty()], "{root}");
        }
    }

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
    fn names_are_read_back() {
        let named = |source, partition, start, extension| Some(Named { source, partition, start, extension });
        for (key, delimiter, expected) in [
            ("topics/t/partition=0/t+0+0000000042.snappy.parquet", "+", named("t", 0, 42, ".snappy.parquet")),
            ("my.topic-x+12+7.keys.avro", "+", named("my.topic-x", 12, 7, ".keys.avro")),
            ("a/b/t#1#00", "#", named("t", 1, 0, "")),
            ("a/b/x-y-1-00.json", "-", named("x-y", 1, 0, ".json")),
            ("t+0+0000000042.json", "-", None),
            ("t+0.json", "+", None),
            ("+0+1.json", "+", None),
            ("t+a+1.json", "+", None),
            ("t+0+.json", "+", None),
            ("t+0+12x.json", "+", None),
            ("t+0+99999999999999999999.json", "+", None),
            ("t+0+1.json", "", None),
        ] {
            assert_eq!(parse(key, delimiter), expected, "{key}");
        }
        for (topic, partition, start) in [("orders", 3, 0), ("a.b", 12, 12_345_678_901)] {
            let key = Layout::from_props(&Props::new()).key(topic, "year=2025/x", partition, start, ".json");
            assert_eq!(parse(&key, "+"), named(topic, partition, start, ".json"));
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
            ("{source}-{partition}-{offset}", "old-3-0000000042.json"),
            ("{offset}_{partition}_{source}/{path}", "0000000042_3_old/y=2025.json"),
            ("{source}/{path}/{source}+{partition}-{offset}", "old/y=2025/old+3-0000000042.json"),
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
            ("{source}{partition}-{offset}", "{source} cannot be told from what stands beside it"),
            ("{source}/{partition}{offset}", "{partition} cannot be told"),
            ("{source}/{partition}0{offset}", "{partition} cannot be told"),
            ("{offset}.{partition}.{source}", "{source} cannot be told"),
            ("{path}{source}/{partition}/{offset}", "{source} cannot be told"),
            ("{topic}{source}/{path}/{partition}/{offset}", "{source} cannot be told"),
            ("{source}/{path}{partition}/{offset}", "{partition} cannot be told"),
            ("{source}/{path}/{partition}/{path}/{offset}", "{partition} cannot be told"),
        ] {
            let error = validate(&Props::from([("lakehead.key.template".to_owned(), template.to_owned())])).unwrap();
            assert!(error.key == "lakehead.key.template" && error.message.contains(part), "{template}: {error}");
        }
        assert_eq!(validate(&Props::new()), None);
    }

    /// Templates that are taken, with literals that values may hold, so that names meet wherever they can.
    fn templates() -> impl Strategy<Value = String> {
        let placeholders = Just(["{source}", "{partition}", "{offset}", "{path}", "{topic}", "{topics.dir}"]).prop_shuffle();
        let text = || prop::sample::select(vec!["/", "/", "+", "+", "-", "-1", "1+", ".", "1", ""]);
        let any = (placeholders, prop::collection::vec((any::<bool>(), text()), 6), text()).prop_map(|(placeholders, parts, last)| {
            let is_in = |placeholder: &str, wanted| wanted || ["{source}", "{partition}", "{offset}"].contains(&placeholder);
            let pieces = placeholders.iter().zip(&parts).filter(|(placeholder, part)| is_in(placeholder, part.0));
            pieces.map(|(placeholder, (_, text))| format!("{text}{placeholder}")).chain([last.to_owned()]).collect::<String>()
        });
        any.prop_filter("it is taken", |text| Template::parse(text).is_ok())
    }

    proptest! {
        #[test]
        fn no_two_files_have_the_same_name(
            template in templates(),
            topics_dir in "[/1]{0,1}",
            width in 0_usize..4,
            files in prop::collection::vec(("[t1.-]{1,3}", "[t1.-]{1,2}", "[t1/+.-]{0,3}", 0_i32..12, 0_i64..120), 64),
        ) {
            let props = [("lakehead.key.template", template.clone()), ("topics.dir", topics_dir), ("filename.offset.zero.pad.width", width.to_string())];
            let layout = Layout::from_props(&props.map(|(key, value)| (key.to_owned(), value)).into_iter().collect());
            let mut seen = HashMap::new();
            for (source, topic, path, partition, offset) in &files {
                let name = layout.key_of_renamed(topic, source, path, *partition, *offset, ".json");
                let file = (source, partition, offset);
                let first = *seen.entry(name.clone()).or_insert(file);
                prop_assert_eq!(first, file, "both are '{}' by {}", name, template);
            }
        }
    }
}
