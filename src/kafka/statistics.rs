//! What is read of librdkafka's statistics: whether a broker can be reached, and how far the logs of the assigned partitions reach.
//!
//! They come every second for each consumer, some ten kilobytes of JSON. All else in them is passed over without being kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::batch::TopicPartition;

/// What counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statistics {
    /// A broker, and not just an address to begin with, can be reached.
    pub(super) is_up: bool,
    /// Where the logs of the partitions end that are fetched.
    pub(super) ends: Vec<(TopicPartition, i64)>,
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow, default)]
    brokers: BTreeMap<Cow<'a, str>, Broker<'a>>,
    #[serde(borrow, default)]
    topics: BTreeMap<Cow<'a, str>, Topic<'a>>,
}

#[derive(Deserialize)]
struct Broker<'a> {
    nodeid: i32,
    #[serde(borrow)]
    state: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Topic<'a> {
    #[serde(borrow, default)]
    partitions: BTreeMap<Cow<'a, str>, Partition<'a>>,
}

#[derive(Deserialize)]
struct Partition<'a> {
    partition: i32,
    #[serde(borrow)]
    fetch_state: Cow<'a, str>,
    hi_offset: i64,
}

impl Statistics {
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let whole: Whole<'_> = serde_json::from_slice(json)?;
        let is_up = whole.brokers.values().any(|broker| broker.state == "UP" && broker.nodeid >= 0);
        let partitions = whole.topics.iter().flat_map(|(name, topic)| topic.partitions.values().map(move |partition| (name, partition)));
        // Partition -1 stands for those that are not known yet.
        let known = partitions.filter(|(_, of)| of.partition >= 0 && of.hi_offset >= 0 && of.fetch_state != "none");
        Ok(Self { is_up, ends: known.map(|(name, of)| (TopicPartition::new(&**name, of.partition), of.hi_offset)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn brokers_that_are_up_and_ends_of_logs_that_are_fetched() {
        let broker = |node: i32, state: &str| {
            format!(r#""b{node}/{state}":{{"name":"b","nodeid":{node},"state":"{state}","rtt":{{"min":1,"p99":2}},"req":{{"Fetch":3}}}}"#)
        };
        let partition = |number: i32, state: &str, end: i64| {
            format!(r#""{number}":{{"partition":{number},"broker":1,"fetch_state":"{state}","hi_offset":{end},"lo_offset":-1001,"consumer_lag":-1}}"#)
        };
        let whole = |brokers: &[String], partitions: &[String]| {
            let topics = format!(r#""o\"rders":{{"topic":"o","age":1,"batchsize":{{"min":0}},"partitions":{{{}}}}}"#, partitions.join(","));
            format!(r#"{{"name":"c","ts":1,"replyq":0,"brokers":{{{}}},"topics":{{{topics}}},"cgrp":{{"state":"up"}}}}"#, brokers.join(","))
        };
        let end = |number, end| (TopicPartition::new("o\"rders", number), end);
        for (brokers, partitions, is_up, ends) in [
            (vec![broker(1, "UP")], vec![partition(0, "active", 5), partition(1, "active", 0)], true, vec![end(0, 5), end(1, 0)]),
            (vec![broker(-1, "UP"), broker(1, "DOWN")], vec![partition(0, "none", 5), partition(1, "active", -1001)], false, vec![]),
            (vec![broker(-1, "UP"), broker(2, "UP")], vec![partition(-1, "active", 7), partition(3, "stopped", 7)], true, vec![end(3, 7)]),
            (vec![], vec![], false, vec![]),
        ] {
            let json = whole(&brokers, &partitions);
            assert_eq!(Statistics::parse(json.as_bytes()).unwrap(), Statistics { is_up, ends }, "{json}");
        }
        assert_eq!(Statistics::parse(b"{}").unwrap(), Statistics { is_up: false, ends: Vec::new() });
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "\\PC{0,64}") {
            prop_assert_eq!(Statistics::parse(&bytes).is_ok(), serde_json::from_slice::<Whole<'_>>(&bytes).is_ok());
            drop(Statistics::parse(text.as_bytes()));
        }
    }
}
