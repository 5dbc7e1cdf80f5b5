//! Names of files of dead letters: which connector's, of which topic partition, from which offset to which, and of which of the topics that have had that name.
//!
//! `orders/partition=3/lake+orders+3+0000000010+0000000015+pvVZ8yGRQWq2qzuKKEBrhg.jsonl`: the last part is the topic's id, where brokers tell it (Kafka 2.8); a topic that is
//! deleted and made again has another. Behind it stands a number, from 2 on, where a file of other letters has the name. Older versions left out both.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::batch::TopicPartition;
use crate::kafka::TopicId;

/// How names end.
pub const EXTENSION: &str = ".jsonl";

/// What a file's name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// The connector, as far as it can be part of a name.
    pub connector: String,
    /// Where the letters come from.
    pub from: TopicPartition,
    /// Offset of the first letter.
    pub first: i64,
    /// Offset of the last one.
    pub last: i64,
    /// Which of the topics of that name; `None` where nobody has told.
    pub topic_id: Option<TopicId>,
    /// Which of the files of that name, from 1.
    pub number: u32,
}

impl FileName {
    /// The first file of these letters. A connector's name may have anything in it: what no name can have becomes `_`.
    #[must_use]
    pub fn new(connector: &str, from: TopicPartition, (first, last): (i64, i64), topic_id: Option<TopicId>) -> Self {
        let connector = connector.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        Self { connector, from, first, last, topic_id, number: 1 }
    }

    /// Reads a name, with whatever directories before it.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let mut parts = key.rsplit('/').next()?.strip_suffix(EXTENSION)?.split('+');
        let (connector, topic) = (parts.next()?.to_owned(), parts.next()?);
        let from = TopicPartition::new(topic, parts.next()?.parse().ok()?);
        let (first, last) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let mut rest = parts.next();
        let topic_id = rest.and_then(id);
        if topic_id.is_some() {
            rest = parts.next();
        }
        let number = rest.map_or(Some(1), |number| number.parse().ok().filter(|number| *number > 1))?;
        parts.next().is_none().then_some(Self { connector, from, first, last, topic_id, number })
    }

    /// How the names of all files of the connector's letters from that topic partition begin.
    #[must_use]
    pub fn beginning(&self) -> String {
        let TopicPartition { topic, partition } = &self.from;
        format!("{topic}/partition={partition}/{}+{topic}+{partition}+", self.connector)
    }

    /// True when a file may have letters of the same topic, as far as their names tell, from that offset on.
    #[must_use]
    pub fn may_overlap(&self, other: &Self) -> bool {
        let is_one = |(one, other): (TopicId, TopicId)| one == other;
        self.topic_id.zip(other.topic_id).is_none_or(is_one) && self.first <= other.last && other.first <= self.last
    }
}

/// An id as Kafka's tools write it.
fn id(text: &str) -> Option<TopicId> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, topic_id, number, .. } = self;
        write!(f, "{}{first:010}+{last:010}", self.beginning())?;
        if let Some(id) = topic_id {
            write!(f, "+{}", URL_SAFE_NO_PAD.encode(id))?;
        }
        if *number > 1 {
            write!(f, "+{number}")?;
        }
        f.write_str(EXTENSION)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_this_version_and_of_older_ones() {
        let of = |topic_id, number| FileName { number, ..FileName::new("my sink", TopicPartition::new("orders", 3), (10, 15), topic_id) };
        let start = "orders/partition=3/my_sink+orders+3+0000000010+0000000015";
        for (name, expected) in [
            (of(None, 1), ".jsonl"),
            (of(None, 2), "+2.jsonl"),
            (of(Some([0xa6; 16]), 1), "+pqampqampqampqampqampg.jsonl"),
            (of(Some([0xa6; 16]), 3), "+pqampqampqampqampqampg+3.jsonl"),
        ] {
            assert_eq!(name.to_string(), format!("{start}{expected}"));
            assert_eq!(FileName::parse(&format!("letters/of/{name}")), Some(name));
        }
        for other in ["orders+3+0000000010.json", "a+b+c+1+2.jsonl", "a+b+0+1+2+x.jsonl", "a+b+0+1+2+1.jsonl", "a+b+0+1+2+pqampqampqampqampqampg+3+4.jsonl", ""]
        {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn files_overlap_where_offsets_do_and_topics_may_be_one() {
        let of = |first, last, id: Option<u8>| FileName::new("c", TopicPartition::new("t", 0), (first, last), id.map(|id| [id; 16]));
        for (other, expected) in [
            (of(20, 30, Some(1)), true),
            (of(20, 40, None), true),
            (of(30, 40, None), false),
            (of(0, 10, Some(1)), true),
            (of(21, 30, Some(1)), false),
            (of(0, 9, None), false),
            (of(10, 20, Some(2)), false),
        ] {
            assert_eq!((of(10, 20, Some(1)).may_overlap(&other), other.may_overlap(&of(10, 20, Some(1)))), (expected, expected), "{other}");
            assert!(of(0, 50, None).may_overlap(&other), "it may be of any topic of that name: {other}");
        }
    }

    proptest! {
        #[test]
        fn a_name_reads_as_it_was_written(
            connector in "[a-zA-Z0-9._-]{0,8}", topic in "[a-zA-Z0-9._-]{1,8}", partition in 0..i32::MAX,
            first in any::<i64>(), last in any::<i64>(), id in prop::option::of(any::<TopicId>()), number in 1..u32::MAX,
        ) {
            let name = FileName { number, ..FileName::new(&connector, TopicPartition::new(topic, partition), (first, last), id) };
            prop_assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn every_name_has_an_answer(name in "[a-zA-Z0-9+/._-]{0,60}(.jsonl)?") {
            if let Some(read) = FileName::parse(&name) {
                prop_assert_eq!(FileName::parse(&read.to_string()), Some(read));
            }
        }
    }
}
