//! 7 store: objects that nobody sees until they are whole.
//!
//! [`ObjectSink`] is the commit protocol's view of a store: an [`Upload`] takes bytes in the background, [`seal`](Upload::seal) ends it with every byte
//! stored and nothing visible, and [`publish`](Upload::publish) makes it visible. The blob seam below is `object_store::ObjectStore`; there is no second one.
//! Transient errors are retried for ever with back-off and shown in the task's health; only what a person must mend comes back as an error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::connect::{Health, Props};
use crate::memory::Permit;

#[cfg(test)]
mod answering;
mod azure;
mod client;
mod credentials;
mod datalake;
pub mod errors;
#[cfg(test)]
mod failing;
pub mod folder;
mod gcs;
mod headers;
pub mod keys;
pub mod names;
mod object;
pub mod objects;
mod patience;
mod probe;
pub mod read;
pub mod retry;
mod s3;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
mod upload;
pub mod urls;

/// Bytes that wait for the store, with the memory that they hold.
#[derive(Debug)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Bytes,
    /// Given back when the store has them.
    pub permit: Permit,
}

/// A store, seen by the writer of files.
#[async_trait]
pub trait ObjectSink: fmt::Debug + fmt::Display + Send + Sync {
    /// Asks the store once whether it can be written to.
    ///
    /// # Errors
    /// [`StoreError`] that names the bucket or container and what to do.
    async fn check(&self) -> Result<(), StoreError>;

    /// Starts an object that no reader can see. Does not wait for the store. `attributes` is what is known of it now; where an object of many parts
    /// cannot be told more when it is whole (S3, Google Cloud Storage), this is all that it will say of itself.
    fn open(&self, key: String, content_type: &'static str, attributes: Vec<(&'static str, String)>) -> Box<dyn Upload>;

    /// True when a visible object of that name is there; false also when the store does not let us look (403).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn exists(&self, key: &str) -> Result<bool, StoreError>;

    /// Visible objects whose names are `first`, `last` or between them, as bytes compare, and what each says of where it came from.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreErrorKind::Denied`] when the store does not let us list.
    async fn between(&self, first: &str, last: &str) -> Result<Vec<(String, Origin)>, StoreError>;

    /// The names of all visible objects that begin so, in no order. `beginning` has a whole directory in it.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreErrorKind::Denied`] when the store does not let us list.
    async fn names(&self, beginning: &str) -> Result<Vec<String>, StoreError>;

    /// The bytes of a visible object, which is small; `None` when it is not there.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreErrorKind::Denied`] when the store does not let us read.
    async fn read(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Whether the store itself sees to [`Condition::IfAbsent`], also when several writers come at once. It is tried once, beside the objects, and what
    /// that makes is removed; later calls are answered at once. Where it does not, names are looked up before they are written from then on.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn honours_conditions(&self) -> Result<Conditions, StoreError> {
        Ok(Conditions { on_put: true, on_complete: true })
    }

    /// Removes what processes that ended left of uploads whose keys begin with `below`: those whose key `is_ours`, that were begun longer ago than
    /// `begun_ago` by the store's own clock (a second or two less where it tells no better), and that this sink is not running. Azure lists none, and
    /// drops them itself after a week. Never a reason to fail: what goes wrong is logged, and told in the answer.
    async fn sweep(&self, _below: &str, _is_ours: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync), _begun_ago: Duration) -> Swept {
        Swept::default()
    }
}

/// Where a store sees to [`Condition::IfAbsent`] by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// When an object is put at once.
    pub on_put: bool,
    /// When parts become an object.
    pub on_complete: bool,
}

/// What a sweep has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that were removed.
    pub uploads: u64,
    /// Their bytes, where the store tells them.
    pub bytes: Option<u64>,
    /// Why some may be left.
    pub incomplete: Option<String>,
}

/// Makes the sinks that connectors write to: part of the world, so that tests can put another store in its place.
pub trait Stores: fmt::Debug + Send + Sync {
    /// The sink that a valid configuration names; `health` is told under `store` what the sink is waiting for. Nothing is asked of a remote store.
    ///
    /// # Errors
    /// [`StoreError`] when the configuration is invalid or something that it names cannot be read.
    fn open(&self, kind: urls::StoreKind, props: &Props, health: Health) -> Result<Arc<dyn ObjectSink>, StoreError>;
}

/// What publishing does where an object of that name is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is replaced.
    Overwrite,
    /// It stays, and [`Published::Exists`] says so (`If-None-Match: *`).
    IfAbsent,
}

/// How publishing ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The object is visible.
    Visible,
    /// Another object of that name was there, and is still.
    Exists(Origin),
}

/// What an object's metadata says of where it came from; `None` where it says nothing, or nobody may look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `lakehead-connector`.
    pub connector: Option<String>,
    /// `lakehead-topic`.
    pub topic: Option<String>,
    /// `lakehead-partition`.
    pub partition: Option<String>,
    /// `lakehead-start`: the first offset. What an object of many parts says on S3 and Google Cloud Storage, whose end is not known when it begins.
    pub start: Option<String>,
    /// `lakehead-offsets`: first offset and end.
    pub offsets: Option<String>,
}

impl Origin {
    /// Reads an origin out of metadata.
    #[must_use]
    pub fn read(value: impl Fn(&'static str) -> Option<String>) -> Self {
        Self {
            connector: value("lakehead-connector"),
            topic: value("lakehead-topic"),
            partition: value("lakehead-partition"),
            start: value("lakehead-start"),
            offsets: value("lakehead-offsets"),
        }
    }

    /// True when both are told to be of the same records: one connector, one topic partition and the same offsets, none of them unknown.
    #[must_use]
    pub fn is_same_records(&self, other: &Self) -> bool {
        let all = |origin: &Self| Some([origin.connector.clone()?, origin.topic.clone()?, origin.partition.clone()?, origin.offsets.clone()?]);
        all(self).is_some_and(|own| all(other) == Some(own))
    }
}

/// One object on its way.
#[async_trait]
pub trait Upload: Send {
    /// Hands over the next bytes; waits only for room in the upload window.
    ///
    /// # Errors
    /// [`StoreError`]; only [`abort`](Self::abort) may follow.
    async fn write(&mut self, chunk: Chunk) -> Result<(), StoreError>;

    /// All bytes were handed over: waits until the store has them, still invisible (small objects wait in memory for their one PUT, but for a folder).
    /// `attributes` come beside those that it was opened with, and in place of those of the same name.
    ///
    /// # Errors
    /// [`StoreError`]; only [`abort`](Self::abort) may follow.
    async fn seal(&mut self, attributes: Vec<(&'static str, String)>) -> Result<(), StoreError>;

    /// Makes the sealed object visible. Idempotent: publishing the same name and bytes again is success, also when an answer was lost meanwhile, and with
    /// [`Condition::Overwrite`] also when another process has published the same records under the name.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreErrorKind::Vanished`] when what was uploaded is gone and no object of the same records is there.
    async fn publish(&mut self, condition: Condition) -> Result<Published, StoreError>;

    /// Sets the tags of the published object, in place of those that it has.
    ///
    /// # Errors
    /// [`StoreError`] also when the store knows no tags.
    async fn tag(&mut self, tags: &[(String, String)]) -> Result<(), StoreError>;

    /// Gives up, and removes what the store already has.
    async fn abort(&mut self);
}

/// What the caller can do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// A setting is wrong (bucket missing, bad endpoint, bad region).
    BadConfig,
    /// A permission or credential is missing.
    Denied,
    /// What was uploaded is gone (an expired multipart upload): the rows must be read again.
    Vanished,
}

/// A store refused for a reason that trying again does not heal.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What the caller can do.
    pub kind: StoreErrorKind,
    /// What happened, to which key in which bucket, and what to do.
    pub message: String,
}
