//! The objects of a group become visible: side by side, or one by one where no object may be replaced; then they are tagged.
//!
//! Upstream: `TopicPartitionWriter.commitFiles`, `findNextAvailableFile` and `tagFile`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::delivery::{Ready, store_error};
use super::ledger::Gate;
use super::naming::Grown;
use crate::batch::{OffsetRange, TopicPartition};
use crate::connect::{ErrorKind, TaskError};
use crate::roll::Reason;
use crate::store::{Condition, ObjectSink, Origin, Published, StoreErrorKind};

/// Objects of one group that are made visible at once.
const PUBLISH_AT_ONCE: usize = 8;

/// Figures that publishing adds to.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Objects.
    pub(super) files: AtomicU64,
    /// Records; those with several objects count once.
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// What is asked of every object of a connector.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// Objects that are there already are not replaced (`enable.conditional.writes`): so many names are tried for one that is free
    /// (`max.files.scan.limit`).
    pub(super) scan_limit: Option<usize>,
    /// Tags, when objects are tagged.
    pub(super) tags: Option<Tags>,
}

/// `s3.object.tagging`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tags {
    /// `s3.object.tagging.key.value.pairs`.
    pub(super) extra: Vec<(String, String)>,
    /// `s3.object.behavior.on.tagging.error=fail`.
    pub(super) must_succeed: bool,
}

/// One object on its way.
pub(super) struct Object {
    pub(super) offsets: OffsetRange,
    /// Whether it stands for its records: one of a record's objects does.
    pub(super) leads: bool,
    /// The names that it can have at the former owner that planned it, when records of it are gone since.
    pub(super) grown: Option<Grown>,
    pub(super) delivery: AbortOnDropHandle<Result<Ready, TaskError>>,
}

/// A group of objects of one topic partition.
pub(super) struct Publishing {
    pub(super) connector: Arc<str>,
    pub(super) from: TopicPartition,
    pub(super) reason: Reason,
    /// Whether a former owner has planned it: what is there already under its names is the same.
    pub(super) is_again: bool,
    /// Offset and would-be name of the group's first records; ascending.
    pub(super) names: Vec<(i64, String)>,
    pub(super) rules: Rules,
    pub(super) store: Arc<dyn ObjectSink>,
    pub(super) figures: Arc<Figures>,
}

/// An object that is whole and not visible.
struct Whole {
    offsets: OffsetRange,
    leads: bool,
    grown: Option<Grown>,
    ready: Ready,
}

impl Publishing {
    /// Waits until every object of the group is whole and the gate opens, then makes them visible.
    ///
    /// # Errors
    /// Of the first object that failed. [`ErrorKind::Rewind`] with the offset to go on from when a name was taken.
    pub(super) async fn run(self, objects: Vec<Object>, gate: Gate) -> Result<(), TaskError> {
        let mut whole = Vec::with_capacity(objects.len());
        for Object { offsets, leads, grown, delivery } in objects {
            let ready = delivery.await.unwrap_or_else(|e| Err(TaskError::new(ErrorKind::Bug, format!("encoding a file ended early: {e}"))))?;
            whole.push(Whole { offsets, leads, grown, ready });
        }
        if !gate.pass().await {
            return Err(TaskError::new(ErrorKind::Fenced, "the files were given up").with("partition", &self.from));
        }
        let whole = self.without_published(whole).await?;
        if self.rules.scan_limit.is_some() { self.one_by_one(whole).await } else { self.side_by_side(whole).await }
    }

    /// Leaves out objects of which records are gone since a former owner planned them, where that owner has published them whole: what is there is more than what can be
    /// written now, and another name would double the rest.
    async fn without_published(&self, whole: Vec<Whole>) -> Result<Vec<Whole>, TaskError> {
        let mut left = Vec::with_capacity(whole.len());
        for mut object in whole {
            let there = match &object.grown {
                Some(grown) => self.published_before(grown, object.offsets).await?,
                None => None,
            };
            if let Some(key) = there {
                let (connector, offsets) = (&self.connector, object.offsets);
                tracing::warn!(%connector, partition = %self.from, %offsets, %key, "published by a former owner, when it had more records: left as it is");
                object.ready.upload.abort().await;
            } else {
                left.push(object);
            }
        }
        Ok(left)
    }

    /// The object of a former owner that has these records, and perhaps more before them: which of several paths' records came first, nobody knows any more.
    async fn published_before(&self, grown: &Grown, offsets: OffsetRange) -> Result<Option<String>, TaskError> {
        for (first, last) in &grown.ranges {
            match self.store.between(first, last).await {
                Ok(found) => {
                    let there = found.into_iter().find(|(key, origin)| grown.has(key) && self.is_of(origin, offsets));
                    if let Some((key, _)) = there {
                        return Ok(Some(key));
                    }
                }
                // It may let us look for the names that are known.
                Err(error) if error.kind == StoreErrorKind::Denied => {
                    for key in [first, last] {
                        if self.store.exists(key).await.map_err(store_error)? {
                            return Ok(Some(key.clone()));
                        }
                    }
                }
                Err(error) => return Err(store_error(error)),
            }
        }
        Ok(None)
    }

    /// Whether an object can have these records, as far as it says where it came from.
    fn is_of(&self, origin: &Origin, offsets: OffsetRange) -> bool {
        let Origin { connector, topic, partition, start: _, offsets: told } = origin;
        let is = |told: &Option<String>, own: &str| told.as_deref().is_none_or(|told| told == own);
        let end = told.as_deref().and_then(|told| told.split_once("..")).and_then(|(_, end)| end.parse::<i64>().ok());
        is(connector, &self.connector)
            && is(topic, &self.from.topic)
            && is(partition, &self.from.partition.to_string())
            && end.is_none_or(|end| end > offsets.start)
    }

    async fn side_by_side(&self, whole: Vec<Whole>) -> Result<(), TaskError> {
        let publish = |mut object: Whole| async move {
            object.ready.upload.publish(Condition::Overwrite).await.map_err(store_error)?;
            self.published(&mut object).await
        };
        stream::iter(whole).map(publish).buffer_unordered(PUBLISH_AT_ONCE).try_collect().await
    }

    /// In order, and only under names that are free. Where one is taken, some of its records were delivered before: reading goes on from the first record
    /// that is not known to begin an object. What lies between may be read again, and nothing is left out.
    async fn one_by_one(&self, whole: Vec<Whole>) -> Result<(), TaskError> {
        let mut rest = whole.into_iter();
        while let Some(mut object) = rest.next() {
            if object.ready.upload.publish(Condition::IfAbsent).await.map_err(store_error)? == Published::Visible {
                self.published(&mut object).await?;
                continue;
            }
            if self.is_again {
                tracing::info!(connector = %self.connector, key = %object.ready.key, "published already by a former owner of the partition");
                object.ready.upload.abort().await;
                continue;
            }
            let next = self.next_free(object.offsets.start).await?;
            let back = rest.map(|later| later.offsets.start).fold(next, i64::min);
            let message = "the object is there already and is not replaced (enable.conditional.writes): reading goes on behind it";
            let error = TaskError::new(ErrorKind::Rewind, message).with("key", &object.ready.key).with("partition", &self.from).with("offset", back);
            object.ready.upload.abort().await;
            return Err(error.back_to(self.from.clone(), Some(back)));
        }
        Ok(())
    }

    /// The first offset after `start` at which no object is known to begin: its name is free, or was not remembered.
    async fn next_free(&self, start: i64) -> Result<i64, TaskError> {
        let limit = self.rules.scan_limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(0);
        let end = start.saturating_add(1).saturating_add(limit);
        for offset in start + 1..end {
            let Ok(at) = self.names.binary_search_by_key(&offset, |(known, _)| *known) else { return Ok(offset) };
            let Some((_, key)) = self.names.get(at) else { return Ok(offset) };
            if !self.store.exists(key).await.map_err(store_error)? {
                return Ok(offset);
            }
        }
        Ok(end)
    }

    async fn published(&self, object: &mut Whole) -> Result<(), TaskError> {
        let Whole { offsets, leads, ready, .. } = object;
        self.figures.files.fetch_add(1, Ordering::Relaxed);
        self.figures.bytes.fetch_add(ready.stats.bytes, Ordering::Relaxed);
        if *leads {
            self.figures.rows.fetch_add(ready.stats.rows, Ordering::Relaxed);
        }
        let (connector, rows, bytes, reason) = (&self.connector, ready.stats.rows, ready.stats.bytes, self.reason.as_str());
        tracing::info!(%connector, key = %ready.key, %offsets, rows, bytes, reason, "published");
        let Some(tags) = &self.rules.tags else { return Ok(()) };
        let own = [("startOffset", offsets.start), ("endOffset", offsets.end - 1), ("recordCount", i64::try_from(rows).unwrap_or(i64::MAX))];
        let all: Vec<(String, String)> = own.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).chain(tags.extra.iter().cloned()).collect();
        match ready.upload.tag(&all).await {
            Err(error) if tags.must_succeed => {
                Err(TaskError::new(ErrorKind::Denied, format!("Unable to tag S3 object {}: {error}", ready.key)).with("partition", &self.from))
            }
            Err(error) => {
                tracing::warn!(%connector, key = %ready.key, %error, "the object could not be tagged (s3.object.behavior.on.tagging.error=ignore)");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::store::{StoreError, Upload};

    /// Objects that can be listed, or only be looked up.
    #[derive(Debug, Clone)]
    struct There {
        objects: Vec<(&'static str, Origin)>,
        is_listed: bool,
    }

    impl fmt::Display for There {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("memory://")
        }
    }

    #[async_trait]
    impl ObjectSink for There {
        async fn check(&self) -> Result<(), StoreError> {
            Ok(())
        }
        fn open(&self, _: String, _: &'static str, _: Vec<(&'static str, String)>) -> Box<dyn Upload> {
            unreachable!("nothing is written here")
        }
        async fn exists(&self, key: &str) -> Result<bool, StoreError> {
            Ok(self.objects.iter().any(|(known, _)| *known == key))
        }
        async fn between(&self, first: &str, last: &str) -> Result<Vec<(String, Origin)>, StoreError> {
            if !self.is_listed {
                return Err(StoreError { kind: StoreErrorKind::Denied, message: "s3:ListBucket".to_owned() });
            }
            let found = self.objects.iter().filter(|(key, _)| (first..=last).contains(key));
            Ok(found.map(|(key, origin)| ((*key).to_owned(), origin.clone())).collect())
        }
        async fn names(&self, _: &str) -> Result<Vec<String>, StoreError> {
            unreachable!("only dead letters are listed")
        }
        async fn read(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
            unreachable!("only dead letters are read")
        }
    }

    #[tokio::test]
    async fn the_object_of_a_former_owner_is_found_by_its_name_and_by_what_it_says() {
        let told = |connector: &str, offsets: &str| Origin { connector: Some(connector.to_owned()), offsets: Some(offsets.to_owned()), ..Origin::default() };
        for (key, origin, is_listed, is_found) in [
            ("p/5.json", Origin::default(), true, true),
            ("p/3.json", told("c", "3..12"), true, true),
            ("p/9.json", told("c", "9..12"), true, true),
            // Another path's, another kind's, one from outside the plan, and those of somebody else or of a former log, which end before the records that are left.
            ("q/5.json", Origin::default(), true, false),
            ("p/5.keys.json", Origin::default(), true, false),
            ("p/2.json", Origin::default(), true, false),
            ("p/5.json", told("another", "5..12"), true, false),
            ("p/5.json", told("c", "5..9"), true, false),
            // Where nobody may list, the names that are known are looked up.
            ("p/3.json", Origin::default(), false, true),
            ("p/9.json", Origin::default(), false, true),
            ("p/5.json", Origin::default(), false, false),
        ] {
            let publishing = Publishing {
                connector: "c".into(),
                from: TopicPartition::new("t", 0),
                reason: Reason::Planned,
                is_again: true,
                names: Vec::new(),
                rules: Rules::default(),
                store: Arc::new(There { objects: vec![(key, origin.clone())], is_listed }),
                figures: Arc::default(),
            };
            let name = |start: &str| format!("p/{start}.json");
            let grown = Grown { ranges: vec![(name("3"), name("9"))], prefix: "p/".to_owned(), suffix: ".json".to_owned(), starts: Some((3, 9)) };
            let found = publishing.published_before(&grown, OffsetRange { start: 9, end: 12 }).await.unwrap();
            assert_eq!(found, is_found.then(|| key.to_owned()), "{key} {origin:?}");
        }
    }
}
