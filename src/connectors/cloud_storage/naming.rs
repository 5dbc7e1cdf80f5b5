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

/// Names that one file can have, as records before it are gone or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::connectors) struct Grown {
    /// First and last names between which all of them are; the last of all is the file's own, where names tell first offsets.
    pub(in crate::connectors) ranges: Vec<(String, String)>,
    /// What each begins with.
    pub(in crate::connectors) prefix: String,
    /// What each ends with.
    pub(in crate::connectors) suffix: String,
    /// The first and the last offset that can stand between; `None` where times stand there.
    pub(in crate::connectors) starts: Option<(i64, i64)>,
}

impl Grown {
    /// True for one of the names.
    pub(in crate::connectors) fn has(&self, key: &str) -> bool {
        let Some(between) = key.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&*self.suffix)) else { return false };
        match self.starts {
            Some((first, last)) => between.bytes().all(|byte| byte.is_ascii_digit()) && between.parse().is_ok_and(|start| (first..=last).contains(&start)),
            None => between.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'_')),
        }
    }
}

/// A scheme of names.
pub(in crate::connectors) trait Naming: fmt::Debug + Send + Sync {
    /// The name of a file that begins at `start`. For a scheme that asks for more, any name that no other file has.
    fn at_start(&self, name: &FileName, start: i64, extension: &str) -> String;

    /// The name of a whole file.
    fn whole(&self, name: &FileName, extent: &Extent, extension: &str) -> String {
        self.at_start(name, extent.start, extension)
    }

    /// The names that a file with these rows, and perhaps more before them from offset `from` on, can have.
    fn grown(&self, name: &FileName, extent: &Extent, from: i64, extension: &str) -> Grown {
        let at = |start: i64| self.at_start(name, start, extension);
        let (least, most) = (at(0), at(i64::MAX));
        let common = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| -> usize {
            a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
        };
        let before = common(&mut least.chars(), &mut most.chars());
        let after = common(&mut least.chars().rev(), &mut most.chars().rev()).min(least.len() - before);
        let (prefix, suffix) = (least.get(..before).unwrap_or_default().to_owned(), least.get(least.len() - after..).unwrap_or_default().to_owned());
        // Names of offsets with as many digits sort as these do.
        let mut ranges = Vec::new();
        let mut low = from.max(0);
        while low <= extent.start {
            let high = 10_i64.checked_pow(low.checked_ilog10().unwrap_or(0) + 1).map_or(i64::MAX, |next| next - 1).min(extent.start);
            ranges.push((at(low), at(high)));
            low = high.saturating_add(1);
        }
        Grown { ranges, prefix, suffix, starts: Some((from, extent.start)) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Props;

    #[test]
    fn names_of_files_that_began_earlier() {
        let name = FileName { topic: "renamed".into(), from: TopicPartition::new("t", 0), path: "c=9/x".into() };
        for (width, template, key, range) in [
            ("10", "", "topics/renamed/c=9/x/t+0+0000000007.json", ("topics/renamed/c=9/x/t+0+0000000005.json", "topics/renamed/c=9/x/t+0+0000000009.json")),
            ("0", "", "topics/renamed/c=9/x/t+0+7.json", ("topics/renamed/c=9/x/t+0+5.json", "topics/renamed/c=9/x/t+0+9.json")),
            (
                "30",
                "{source}/{partition}/{offset}/v1{path}",
                "t/0/000000000000000000000000000007/v1c=9/x.json",
                ("t/0/000000000000000000000000000005/v1c=9/x.json", "t/0/000000000000000000000000000009/v1c=9/x.json"),
            ),
        ] {
            let props = [("filename.offset.zero.pad.width", width), ("lakehead.key.template", template)];
            let layout = Layout::from_props(&props.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Props>());
            let grown = |start| layout.grown(&name, &Extent { start, end: 2000, first_ms: None, last_ms: None }, 5, ".json");
            assert_eq!(grown(9).ranges, [(range.0.to_owned(), range.1.to_owned())]);
            let has = |text: &str| grown(9).has(&key.replace("7", text));
            assert_eq!(["5", "7", "9", "4", "10", "x", ""].map(has), [true, true, true, false, false, false, false], "{key}");
            assert!(!grown(9).has(&key.replace("c=9", "c=8")) && !grown(9).has(&key.replace(".json", ".keys.json")));
            // Unpadded names sort as offsets do only where these have as many digits.
            let crossing: Vec<_> =
                [(5, 9), (10, 99), (100, 123)].map(|(low, high)| (layout.at_start(&name, low, ".json"), layout.at_start(&name, high, ".json"))).into();
            assert_eq!(grown(123).ranges, crossing);
            assert!(grown(123).has(&layout.at_start(&name, 101, ".json")));
        }
    }
}
