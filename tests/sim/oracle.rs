//! What must hold at every moment, whatever fails: checked when an object becomes visible and when an offset is committed, and once more at the end.
//!
//! - No record is in two objects, and records of an object are in order, of one topic partition.
//! - No object is replaced by one with other bytes; its name says where its first record is.
//! - A committed offset never goes back, and everything below it that belongs into an object is in a visible one.
//! - When faults are over, every record is in a visible object, or in a file that a live task says it has open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lakehead::batch::TopicPartition;
use serde::Deserialize;
use tokio::sync::Notify;

/// The judge of a run; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Oracle(Arc<Court>);

#[derive(Debug, Default)]
struct Court {
    known: Mutex<Known>,
    guilty: Notify,
}

#[derive(Debug, Default)]
struct Known {
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Bytes of each visible object.
    objects: BTreeMap<String, Bytes>,
    committed: BTreeMap<TopicPartition, i64>,
    violations: Vec<String>,
}

#[derive(Debug, Default)]
struct Partition {
    /// Offsets of records that have to be in an object and are in none.
    missing: BTreeSet<i64>,
    /// In which object each record is.
    visible: BTreeMap<i64, Arc<str>>,
}

/// A record in a file.
#[derive(Deserialize)]
struct Row {
    /// `topic:partition:offset`.
    id: String,
}

/// Where a record is in Kafka, as its value says.
pub(crate) fn identity(from: &TopicPartition, offset: i64) -> String {
    format!("{}:{}:{offset}", from.topic, from.partition)
}

fn parse_identity(id: &str) -> Option<(TopicPartition, i64)> {
    let mut parts = id.rsplitn(3, ':');
    let (offset, partition, topic) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    Some((TopicPartition::new(topic, partition), offset))
}

/// How much of what was produced is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Balance {
    /// Records that have to be in an object.
    pub(crate) produced: u64,
    pub(crate) visible: u64,
    pub(crate) objects: u64,
}

impl Oracle {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record that has to get into an object is in the log.
    pub(crate) fn produced(&self, from: &TopicPartition, offset: i64) {
        self.known().partitions.entry(from.clone()).or_default().missing.insert(offset);
    }

    /// Something is wrong.
    pub(crate) fn accuse(&self, what: impl fmt::Display) {
        self.known().violations.push(what.to_string());
        self.0.guilty.notify_one();
    }

    /// Waits until something is wrong.
    pub(crate) async fn guilty(&self) {
        self.0.guilty.notified().await;
    }

    /// An object has become visible, or was replaced.
    pub(crate) fn appeared(&self, key: &str, bytes: &Bytes) {
        let mut known = self.known();
        let problem = match known.objects.get(key) {
            Some(there) if there == bytes => None,
            Some(there) => Some(format!("{key} was replaced: it had {}, and has {} now", summary(there), summary(bytes))),
            None => {
                known.objects.insert(key.to_owned(), bytes.clone());
                known.count(key, bytes).err().map(|problem| format!("{key}: {problem}"))
            }
        };
        drop(known);
        if let Some(problem) = problem {
            self.accuse(problem);
        }
    }

    /// The coordinator took an offset.
    pub(crate) fn committed(&self, by: impl fmt::Display, from: &TopicPartition, offset: i64) {
        let mut known = self.known();
        let before = known.committed.insert(from.clone(), offset).unwrap_or(0);
        let first = known.partitions.get(from).and_then(|partition| partition.missing.first().copied());
        drop(known);
        if offset < before {
            self.accuse(format_args!("{by} took the committed offset of {from} back from {before} to {offset}"));
        }
        if let Some(first) = first.filter(|first| *first < offset) {
            self.accuse(format_args!("{by} committed {from} at {offset}, and record {first} is in no visible object"));
        }
    }

    /// How things stand.
    pub(crate) fn balance(&self) -> Balance {
        let known = self.known();
        let count = |of: fn(&Partition) -> usize| known.partitions.values().map(of).sum::<usize>() as u64;
        let visible = count(|partition| partition.visible.len());
        Balance { produced: visible + count(|partition| partition.missing.len()), visible, objects: known.objects.len() as u64 }
    }

    /// What was found to be wrong so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.known().violations.clone()
    }

    /// First records of each topic partition that are in no object, for a message.
    pub(crate) fn missing(&self) -> String {
        let known = self.known();
        let of = |(from, partition): (&TopicPartition, &Partition)| {
            let first = partition.missing.first()?;
            let at = known.committed.get(from).copied().unwrap_or(0);
            Some(format!("{} of {from} from {first} on (committed: {at})", partition.missing.len()))
        };
        known.partitions.iter().filter_map(of).collect::<Vec<_>>().join(", ")
    }
}

impl Known {
    fn count(&mut self, key: &str, bytes: &Bytes) -> Result<(), String> {
        let rows = rows(bytes)?;
        let Some((from, first)) = rows.first().cloned() else { return Err("the object has no record".to_owned()) };
        let named = format!("{}+{}+{first:010}.json", from.topic, from.partition);
        if key.rsplit('/').next() != Some(&named) {
            return Err(format!("its first record is {first} of {from}, so that it should be called {named}"));
        }
        let key: Arc<str> = key.into();
        let partition = self.partitions.entry(from.clone()).or_default();
        let mut last = None;
        for (of, offset) in rows {
            if of != from {
                return Err(format!("it has records of {from} and of {of}"));
            }
            if last.is_some_and(|last| last >= offset) {
                return Err(format!("record {offset} of {from} comes after {last:?}"));
            }
            last = Some(offset);
            if !partition.missing.remove(&offset) {
                return Err(match partition.visible.get(&offset) {
                    Some(other) => format!("record {offset} of {from} is in {other} too"),
                    None => format!("record {offset} of {from} has no place in an object"),
                });
            }
            partition.visible.insert(offset, Arc::clone(&key));
        }
        Ok(())
    }
}

fn rows(bytes: &[u8]) -> Result<Vec<(TopicPartition, i64)>, String> {
    let row = |line: &[u8]| {
        let row: Row = serde_json::from_slice(line).map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(line)))?;
        parse_identity(&row.id).ok_or(format!("no record has the id {:?}", row.id))
    };
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(row).collect()
}

fn summary(bytes: &[u8]) -> String {
    match rows(bytes) {
        Ok(rows) => match (rows.first(), rows.last()) {
            (Some((_, first)), Some((_, last))) => format!("{} records, {first} to {last}", rows.len()),
            _ => "no record".to_owned(),
        },
        Err(problem) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four records, and what happens to them.
    fn judged(deeds: impl FnOnce(&Oracle, &TopicPartition)) -> String {
        let (oracle, from) = (Oracle::default(), TopicPartition::new("t", 3));
        (0..4).for_each(|offset| oracle.produced(&from, offset));
        deeds(&oracle, &from);
        oracle.violations().join("; ")
    }

    fn object(oracle: &Oracle, path: &str, offsets: &[i64]) {
        let from = TopicPartition::new("t", 3);
        let lines: String = offsets.iter().map(|offset| format!("{{\"id\":\"{}\"}}\n", identity(&from, *offset))).collect();
        oracle.appeared(&format!("{path}/t+3+{:010}.json", offsets[0]), &lines.into());
    }

    #[test]
    fn what_is_right_is_not_accused() {
        let found = judged(|oracle, from| {
            object(oracle, "a", &[0, 2]);
            object(oracle, "b", &[1]);
            oracle.committed("p", from, 3);
            object(oracle, "a", &[0, 2]);
            oracle.committed("p", from, 3);
            assert_eq!(oracle.balance(), Balance { produced: 4, visible: 3, objects: 2 });
            assert_eq!(oracle.missing(), "1 of t-3 from 3 on (committed: 3)");
        });
        assert_eq!(found, "");
    }

    #[test]
    fn every_crime_is_seen() {
        let crimes: [(&str, fn(&Oracle, &TopicPartition)); 8] = [
            ("b/t+3+0000000001.json: record 1 of t-3 is in a/t+3+0000000000.json too", |oracle, _| {
                object(oracle, "a", &[0, 1]);
                object(oracle, "b", &[1, 2]);
            }),
            ("a/t+3+0000000000.json was replaced: it had 2 records, 0 to 1, and has 1 records, 0 to 0 now", |oracle, _| {
                object(oracle, "a", &[0, 1]);
                object(oracle, "a", &[0]);
            }),
            ("a/t+3+0000000001.json: record 0 of t-3 comes after Some(1)", |oracle, _| object(oracle, "a", &[1, 0])),
            ("a/t+3+0000000007.json: record 7 of t-3 has no place in an object", |oracle, _| object(oracle, "a", &[7])),
            ("p committed t-3 at 2, and record 1 is in no visible object", |oracle, from| {
                object(oracle, "a", &[0]);
                oracle.committed("p", from, 2);
            }),
            ("p took the committed offset of t-3 back from 2 to 1", |oracle, from| {
                object(oracle, "a", &[0, 1]);
                oracle.committed("p", from, 2);
                oracle.committed("p", from, 1);
            }),
            ("x: the object has no record", |oracle, _| oracle.appeared("x", &Bytes::new())),
            ("x: its first record is 0 of t-3, so that it should be called t+3+0000000000.json", |oracle, _| {
                oracle.appeared("x", &Bytes::from_static(b"{\"id\":\"t:3:0\"}\n"));
            }),
        ];
        for (found, crime) in crimes {
            assert_eq!(judged(crime), found);
        }
    }
}
