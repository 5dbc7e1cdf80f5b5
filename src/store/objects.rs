//! [`ObjectSink`] over `object_store`: a bucket, container or folder, its rules for names, and its requests.
//!
//! [`Objects`] is the sink; the uploads that it opens are in `upload`. Every request goes through one place, which limits how many are under way and
//! repeats each until it succeeds or fails for a reason that a person must mend (`retry`, `errors`).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, MultipartId, ObjectStore, ObjectStoreExt as _, PutMultipartOptions};
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::credentials::Credentials;
use super::errors::{Action, Class, Failure};
pub use super::errors::{Flavor, Place};
use super::patience::counted;
use super::probe;
use super::read::metadata;
pub use super::retry::Backoff;
use super::retry::{Failed, Retry};
use super::sweep::{ListUnfinished, Running};
use super::tags::Tagger;
use super::upload::ObjectUpload;
use super::{Conditions, ObjectSink, Origin, StoreError, StoreErrorKind, Swept, Upload};
use crate::connect::Health;

/// Numbers of one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Bytes of every part but an object's last; objects below it are one PUT. At least 5 MiB for S3 and GCS.
    pub part_size: usize,
    /// Parts of one object under way at once.
    pub parts_in_flight: usize,
    /// Requests of the whole sink under way at once.
    pub requests: usize,
    /// Waits between attempts.
    pub backoff: Backoff,
}

impl Default for Tuning {
    /// Parts of 8 MiB, 4 at once per object; 16 requests per sink.
    fn default() -> Self {
        Self { part_size: 8 << 20, parts_in_flight: 4, requests: 16, backoff: Backoff::default() }
    }
}

/// How often an unwanted multipart upload is tried to be removed.
const ABORT_ATTEMPTS: u32 = 4;

/// A bucket, container or folder as an [`ObjectSink`].
pub struct Objects(Arc<Inner>);

pub(super) struct Inner {
    pub(super) place: Place,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    pub(super) tuning: Tuning,
    pub(super) extras: Extras,
    /// Set when the store turns out to know no conditional writes.
    pub(super) looks_first: AtomicBool,
    /// The same for what makes parts an object.
    pub(super) completes_after_look: AtomicBool,
    /// The uploads that are none of those that a process left behind.
    pub(super) running: Running,
    /// Why a sweep was not complete, as it was told last.
    pub(super) told: Mutex<Option<String>>,
    conditions: OnceCell<Conditions>,
    requests: Semaphore,
    retry: Retry,
    pub(super) probe: String,
}

/// What some stores do beside keeping objects.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Sets tags.
    pub(super) tagger: Option<Tagger>,
    /// Storage class of every object.
    pub(super) storage_class: Option<String>,
    /// Who gives S3 credentials, unless the client finds them by itself.
    pub(super) credentials: Option<Credentials>,
    /// Every body goes with its MD5.
    pub(super) sends_md5: bool,
    /// Lists uploads that are not finished, where the store does.
    pub(super) unfinished: Option<Arc<dyn ListUnfinished>>,
}

impl Objects {
    /// A sink on `objects`, whose multipart uploads go through `parts`: the same store, or for a folder a [`FolderParts`](super::folder::FolderParts).
    /// `probe` is the key, below the prefix, at which [`check`](ObjectSink::check) starts and aborts an upload: one for which the permissions of the
    /// real objects hold.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, parts: Arc<dyn MultipartStore>, place: Place, probe: &str, tuning: Tuning, health: Health) -> Self {
        Self::with_extras(objects, parts, place, probe, tuning, health, Extras::default())
    }

    pub(super) fn with_extras(
        objects: Arc<dyn ObjectStore>,
        parts: Arc<dyn MultipartStore>,
        place: Place,
        probe: &str,
        tuning: Tuning,
        health: Health,
        extras: Extras,
    ) -> Self {
        let probe = format!("{}{probe}", place.prefix);
        let (requests, retry) = (Semaphore::new(tuning.requests), Retry::new(tuning.backoff, health));
        Self(Arc::new(Inner {
            place,
            objects,
            parts,
            tuning,
            extras,
            looks_first: AtomicBool::new(false),
            completes_after_look: AtomicBool::new(false),
            running: Running::default(),
            told: Mutex::default(),
            conditions: OnceCell::new(),
            requests,
            retry,
            probe,
        }))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.place, f)
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("place", &self.0.place).field("tuning", &self.0.tuning).finish_non_exhaustive()
    }
}

#[async_trait]
impl ObjectSink for Objects {
    async fn check(&self) -> Result<(), StoreError> {
        let path = parse_key(&self.0.place, &self.0.probe)?;
        let never = CancellationToken::new();
        if self.0.place.flavor == Flavor::AzureBlob {
            return self.0.request(Action::Check, &self.0.probe, &never, || self.0.list_probe(&path)).await;
        }
        // With what every object has: a storage class that the bucket does not take is found at the start.
        let class = self.0.extras.storage_class.clone().map(|class| (Attribute::StorageClass, class));
        let options = PutMultipartOptions { attributes: class.into_iter().collect(), ..PutMultipartOptions::default() };
        let start = || self.0.parts.create_multipart_opts(&path, options.clone());
        let id = self.0.request(Action::Check, &self.0.probe, &never, start).await?;
        self.0.remove(&path, &id).await;
        Ok(())
    }

    fn open(&self, key: String, content_type: &'static str, attributes: Vec<(&'static str, String)>) -> Box<dyn Upload> {
        let key = format!("{}{key}", self.0.place.prefix);
        let path = parse_key(&self.0.place, &key);
        Box::new(ObjectUpload::new(Arc::clone(&self.0), key, path, content_type, attributes))
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        let key = format!("{}{key}", self.0.place.prefix);
        let path = parse_key(&self.0.place, &key)?;
        let look = || async {
            match self.0.objects.head(&path).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. } | object_store::Error::PermissionDenied { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.0.request(Action::Head, &key, &CancellationToken::new(), look).await
    }

    async fn between(&self, first: &str, last: &str) -> Result<Vec<(String, Origin)>, StoreError> {
        let prefix = &self.0.place.prefix;
        let (first, last) = (format!("{prefix}{first}"), format!("{prefix}{last}"));
        let found = self.0.request(Action::List, &first, &CancellationToken::new(), || self.0.between(&first, &last)).await?;
        Ok(found.into_iter().map(|(key, origin)| (key.strip_prefix(prefix.as_str()).unwrap_or(&key).to_owned(), origin)).collect())
    }

    async fn names(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        let prefix = &self.0.place.prefix;
        let (first, last) = (format!("{prefix}{beginning}"), format!("{prefix}{beginning}\u{10ffff}"));
        let found = self.0.request(Action::List, &first, &CancellationToken::new(), || self.0.listed(&first, &last)).await?;
        Ok(found.into_iter().map(String::from).map(|key| key.strip_prefix(prefix.as_str()).map(str::to_owned).unwrap_or(key)).collect())
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let key = format!("{}{key}", self.0.place.prefix);
        let path = parse_key(&self.0.place, &key)?;
        let read = || async {
            match self.0.objects.get(&path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.0.request(Action::Read, &key, &CancellationToken::new(), read).await
    }

    async fn honours_conditions(&self) -> Result<Conditions, StoreError> {
        self.0.conditions.get_or_try_init(|| probe::conditions(&self.0)).await.copied()
    }

    async fn sweep(&self, below: &str, is_ours: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync), begun_ago: Duration) -> Swept {
        self.0.sweep(below, is_ours, begun_ago).await
    }
}

/// Why `key` cannot be the name of an object, if so: `object_store` writes keys verbatim, except those that it would change or refuse.
#[must_use]
pub fn key_problem(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("it is empty")
    } else if key.starts_with('/') || key.ends_with('/') || key.contains("//") {
        Some("it has an empty segment between slashes")
    } else if key.split('/').any(|segment| segment == "." || segment == "..") {
        Some("it has a segment '.' or '..'")
    } else if key.bytes().any(|byte| byte.is_ascii_control()) {
        Some("it has a control character")
    } else if key.len() > 1024 {
        Some("it is longer than 1024 bytes")
    } else {
        None
    }
}

pub(super) fn parse_key(place: &Place, key: &str) -> Result<Path, StoreError> {
    let refused = |why: &str| {
        let message =
            format!("object name '{}' in {place} cannot be written: {why}; change topics.dir, directory.delim or the partitioner", key.escape_debug());
        StoreError { kind: StoreErrorKind::BadConfig, message }
    };
    if let Some(why) = key_problem(key) {
        return Err(refused(why));
    }
    let name = key.rsplit('/').next().unwrap_or(key);
    let ends_like_a_staged_file = name.split_once('#').is_some_and(|(_, tail)| !tail.is_empty() && tail.bytes().all(|byte| byte.is_ascii_digit()));
    if place.flavor == Flavor::Folder && ends_like_a_staged_file {
        return Err(refused("in a folder, names that end in '#' and digits are kept for files that are not whole yet"));
    }
    Path::parse(key).map_err(|error| refused(&error.to_string()))
}

/// What was judged already, as another action than the one that it was part of.
fn judged(error: &object_store::Error) -> Option<StoreError> {
    std::error::Error::source(error)?.downcast_ref().cloned()
}

impl Inner {
    /// Objects from `first` to `last`, and where they came from.
    async fn between(&self, first: &str, last: &str) -> object_store::Result<Vec<(String, Origin)>> {
        let mut found = Vec::new();
        for location in self.listed(first, last).await? {
            let seen = self.objects.get_opts(&location, GetOptions::new().with_head(true)).await?;
            let told = metadata(self.place.flavor, &seen.attributes);
            found.push((location.into(), Origin::read(|wanted| told.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone()))));
        }
        Ok(found)
    }

    /// Names of objects from `first` to `last`.
    async fn listed(&self, first: &str, last: &str) -> object_store::Result<Vec<Path>> {
        let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        let directory = first.get(..common).and_then(|common| common.rsplit_once('/')).map(|(directory, _)| Path::parse(directory)).transpose()?;
        // A listing begins behind a name: one that is shorter comes before.
        let mut before = first.to_owned();
        before.pop();
        let mut listed = self.objects.list_with_offset(directory.as_ref(), &Path::parse(before)?);
        let mut found = Vec::new();
        while let Some(object) = listed.next().await {
            let location = match object {
                Ok(object) => object.location,
                Err(object_store::Error::NotFound { .. }) => break,
                Err(error) => return Err(error),
            };
            if location.as_ref() > last && self.place.flavor != Flavor::Folder {
                break; // a folder lists in any order
            }
            if (first..=last).contains(&location.as_ref()) {
                found.push(location);
            }
        }
        Ok(found)
    }

    /// One request, repeated until it is answered; the sink's request slots are held while it is under way, not between attempts.
    pub(super) async fn request<T, F>(&self, action: Action, key: &str, given_up: &CancellationToken, mut request: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let what = format!("{action} of {}", self.place.object(key));
        let is_renewed = AtomicBool::new(false);
        let is_renewed = &is_renewed;
        let hung = Arc::new(AtomicU32::new(0));
        let attempt = |number| {
            let request = counted(Arc::clone(&hung), request());
            async move {
                let _slot = self.slot().await;
                if given_up.is_cancelled() {
                    return Err(Failed::ForNow("given up".to_owned())); // while it waited for its turn; the loop ends
                }
                request.await.map_err(|error| match judged(&error) {
                    Some(judged) => Failed::ForGood(judged),
                    None => {
                        let failure = Failure::of(self.place.flavor, &error);
                        // Once: whoever gives credentials may have a new one before the old one's time.
                        if failure.has_expired && !is_renewed.swap(true, Ordering::Relaxed) && self.extras.credentials.as_ref().is_some_and(Credentials::forget)
                        {
                            return Failed::ForNow(failure.text);
                        }
                        self.place.judge(action, key, number, failure)
                    }
                })
            }
        };
        self.retry.run(what, given_up, attempt).await
    }

    /// One of the sink's request slots, until it is dropped.
    pub(super) async fn slot(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.requests.acquire().await.ok() // never closed
    }

    /// Asks for the objects whose names begin with the probe's: none, and one small answer. A credential that may write but not list passes.
    async fn list_probe(&self, path: &Path) -> object_store::Result<()> {
        match futures::StreamExt::next(&mut self.objects.list(Some(path))).await {
            Some(Err(error)) if !error.to_string().contains("AuthorizationPermissionMismatch") => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes a multipart upload, a few times over when the store does not answer. False when it may still be there.
    pub(super) async fn remove(&self, path: &Path, id: &MultipartId) -> bool {
        for attempt in 1..=ABORT_ATTEMPTS {
            let aborted = {
                let _slot = self.slot().await;
                self.parts.abort_multipart(path, id).await
            };
            match aborted {
                Ok(()) => return true,
                Err(error) => match Failure::of(self.place.flavor, &error) {
                    Failure { class: Class::NotFound, .. } => return true,
                    Failure { text, .. } if attempt == ABORT_ATTEMPTS => {
                        let object = self.place.object(path.as_ref());
                        warn!(%object, upload = %id, error = %text, "an unfinished upload stays behind; the bucket's lifecycle rule should remove it");
                    }
                    Failure { text, .. } => debug!(upload = %id, error = %text, "an unfinished upload could not be removed yet"),
                },
            }
            tokio::time::sleep(self.tuning.backoff.wait(0, attempt)).await;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_verbatim_or_refused() {
        let place = Place { flavor: Flavor::S3, root: "b".to_owned(), prefix: String::new(), endpoint: None };
        for key in ["t/y=2024/t+0+0000000000.json", "a b/ü/%2F/:/?&#=/x", "a/...", "-", "a/#1", "\u{a0}", "a\\b", "'\"<>{}|^`~*"] {
            assert_eq!(parse_key(&place, key).unwrap().as_ref(), key);
        }
        let long = "x".repeat(1025);
        let refused = [
            ("", "it is empty"),
            ("/a", "it has an empty segment between slashes"),
            ("a/", "it has an empty segment between slashes"),
            ("a//b", "it has an empty segment between slashes"),
            ("a/./b", "it has a segment '.' or '..'"),
            ("../b", "it has a segment '.' or '..'"),
            ("a/b\nc", "it has a control character"),
            (&long, "it is longer than 1024 bytes"),
        ];
        for (key, why) in refused {
            let error = parse_key(&place, key).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::BadConfig);
            let shown = key.escape_debug();
            assert_eq!(
                error.message,
                format!("object name '{shown}' in s3://b/ cannot be written: {why}; change topics.dir, directory.delim or the partitioner")
            );
        }
        let folder = Place { flavor: Flavor::Folder, ..place };
        assert!(parse_key(&folder, "a/x.parquet#12").unwrap_err().message.contains("kept for files that are not whole yet"));
        assert!(parse_key(&folder, "a#1/x#1y").is_ok());
    }
}
