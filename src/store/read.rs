//! A store, seen by whoever checks what is in it: every object below a place, what it says about itself, and its bytes.
//!
//! The reader changes nothing. Its requests are repeated by the store's client for as long as [`PATIENCE`], and then it gives up: whoever checks wants an
//! answer. Directories are listed side by side, so that a bucket of a million objects is listed in seconds where the store allows it.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, GetOptions, GetRange, GetResult, ListResult, ObjectMeta, ObjectStoreExt as _};
use percent_encoding::percent_decode_str;

use super::errors::{Action, Failure, Flavor};
use super::objects::Objects;
use super::retry::Failed;
use super::{StoreError, StoreErrorKind};

/// How long a request is repeated.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Directories that are listed at once.
const LISTINGS: usize = 16;

/// A level with more directories than this is listed as one: a request for each would take longer.
const MOST_DIRECTORIES: usize = 256;

/// Objects that are looked at to see whether a directory has any below it.
const FIRST: usize = 1000;

/// Levels that are looked at for directories to list side by side.
const LEVELS: usize = 8;

/// A visible object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its whole name in the bucket, container or folder.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
}

/// What an object says about itself, and some of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Its length in bytes.
    pub size: u64,
    /// Its metadata: names as they were given when it was written, and values. A folder has none.
    pub metadata: Vec<(String, String)>,
    /// The bytes that were asked for.
    pub bytes: Bytes,
}

/// A store, for reading. Keys are whole names, as [`Listed::key`].
#[async_trait]
pub trait ObjectReader: fmt::Debug + fmt::Display + Send + Sync {
    /// Every visible object below the place that the URL names, in no order.
    fn list(&self) -> BoxStream<'_, Result<Listed, StoreError>>;

    /// What an object says about itself; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self, key: &str) -> Result<Option<Seen>, StoreError>;

    /// The same with some of its bytes; `None` when it is gone. The range must lie in the object.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Option<Seen>, StoreError>;

    /// All its bytes, piece by piece; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`], also in the stream.
    async fn stream(&self, key: &str) -> Result<Option<BoxStream<'_, Result<Bytes, StoreError>>>, StoreError>;

    /// True where objects have metadata of their own; a folder's have none.
    fn keeps_metadata(&self) -> bool;

    /// An object's name with the store and the bucket before it.
    fn name(&self, key: &str) -> String;
}

impl Objects {
    fn failed(&self, action: Action, key: &str, error: &Error) -> StoreError {
        // The client has repeated it already: what is missing stays so.
        const LAST_ATTEMPT: u32 = 3;
        let place = &self.inner().place;
        match place.judge(action, key, LAST_ATTEMPT, Failure::of(place.flavor, error)) {
            Failed::ForGood(error) => error,
            Failed::ForNow(text) => {
                let message = format!("{action} of {}: {text}; given up (a request is repeated for {} s at most)", place.object(key), PATIENCE.as_secs());
                StoreError { kind: StoreErrorKind::BadConfig, message }
            }
        }
    }

    /// What a request brought; `None` for an object that is gone.
    fn found<T>(&self, action: Action, key: &str, answer: object_store::Result<T>) -> Result<Option<T>, StoreError> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(action, key, &error)),
        }
    }

    fn path(&self, key: &str) -> Result<Path, StoreError> {
        let refused = |error: object_store::path::Error| StoreError {
            kind: StoreErrorKind::BadConfig,
            message: format!("object name '{}' in {} cannot be read: {error}", key.escape_debug(), self.inner().place),
        };
        Path::parse(key).map_err(refused)
    }

    async fn get(&self, action: Action, key: &str, options: GetOptions) -> Result<Option<GetResult>, StoreError> {
        let path = self.path(key)?;
        self.found(action, key, self.inner().objects.get_opts(&path, options).await)
    }

    /// Directories to list side by side, and the objects that were met on the way to them.
    async fn directories(&self, root: Option<Path>) -> Result<(Vec<Option<Path>>, Vec<ObjectMeta>), StoreError> {
        let (mut open, mut whole, mut met) = (vec![root], Vec::new(), Vec::new());
        for _ in 0..LEVELS {
            if open.is_empty() || open.len() + whole.len() >= LISTINGS {
                break;
            }
            let level = stream::iter(std::mem::take(&mut open)).map(|directory| async move {
                let below = self.below(directory.as_ref()).await;
                (directory, below)
            });
            let mut level = level.buffer_unordered(LISTINGS);
            while let Some((directory, below)) = level.next().await {
                let key = directory.as_ref().map_or("", Path::as_ref);
                match below.map_err(|error| self.failed(Action::List, key, &error))? {
                    Some(below) if below.common_prefixes.len() <= MOST_DIRECTORIES => {
                        met.extend(below.objects);
                        open.extend(below.common_prefixes.into_iter().map(Some));
                    }
                    _ => whole.push(directory),
                }
            }
        }
        whole.extend(open);
        Ok((whole, met))
    }

    /// What is directly in a directory, where most of its objects seem to be further below: the answer holds all of it.
    async fn below(&self, directory: Option<&Path>) -> object_store::Result<Option<ListResult>> {
        let depth = directory.map_or(0, |directory| directory.parts_count()) + 1;
        let mut first = self.inner().objects.list(directory).take(FIRST);
        let (mut seen, mut is_deeper) = (0, false);
        while let Some(object) = first.next().await {
            is_deeper |= object?.location.parts_count() > depth;
            seen += 1;
        }
        if seen < FIRST || !is_deeper {
            return Ok(None);
        }
        self.inner().objects.list_with_delimiter(directory).await.map(Some)
    }

    fn list_below(&self, directory: Option<Path>) -> BoxStream<'_, Result<Listed, StoreError>> {
        let key = directory.as_ref().map_or_else(String::new, Path::to_string);
        let found = self.inner().objects.list(directory.as_ref());
        found.map(move |object| object.map(listed).map_err(|error| self.failed(Action::List, &key, &error))).boxed()
    }
}

fn listed(object: ObjectMeta) -> Listed {
    Listed { key: object.location.into(), size: object.size }
}

/// Metadata with the names that it was given; on Azure names are identifiers.
pub(super) fn metadata(flavor: Flavor, attributes: &Attributes) -> Vec<(String, String)> {
    let own = attributes.iter().filter_map(|(name, value)| match name {
        Attribute::Metadata(name) if flavor == Flavor::AzureBlob => Some((name.replace('_', "-"), value)),
        Attribute::Metadata(name) => Some((name.to_ascii_lowercase(), value)),
        _ => None,
    });
    own.map(|(name, value)| (name, percent_decode_str(value.as_ref()).decode_utf8_lossy().into_owned())).collect()
}

#[async_trait]
impl ObjectReader for Objects {
    fn list(&self) -> BoxStream<'_, Result<Listed, StoreError>> {
        let prefix = self.inner().place.prefix.trim_end_matches('/');
        let all = async move {
            let root = if prefix.is_empty() { None } else { Some(self.path(prefix)?) };
            let (directories, met) = self.directories(root).await?;
            let met = stream::iter(met.into_iter().map(|object| Ok(listed(object))));
            let below = stream::iter(directories).flat_map_unordered(LISTINGS, |directory| self.list_below(directory));
            Ok::<_, StoreError>(met.chain(below))
        };
        futures::TryFutureExt::try_flatten_stream(all).boxed()
    }

    async fn head(&self, key: &str) -> Result<Option<Seen>, StoreError> {
        let found = self.get(Action::Head, key, GetOptions::new().with_head(true)).await?;
        Ok(found.map(|found| Seen { size: found.meta.size, metadata: metadata(self.inner().place.flavor, &found.attributes), bytes: Bytes::new() }))
    }

    async fn read(&self, key: &str, range: Range<u64>) -> Result<Option<Seen>, StoreError> {
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        let Some(found) = self.get(Action::Read, key, options).await? else { return Ok(None) };
        let (size, metadata) = (found.meta.size, metadata(self.inner().place.flavor, &found.attributes));
        let bytes = self.found(Action::Read, key, found.bytes().await)?;
        Ok(bytes.map(|bytes| Seen { size, metadata, bytes }))
    }

    async fn stream(&self, key: &str) -> Result<Option<BoxStream<'_, Result<Bytes, StoreError>>>, StoreError> {
        let path = self.path(key)?;
        let Some(found) = self.found(Action::Read, key, self.inner().objects.get(&path).await)? else { return Ok(None) };
        let key = key.to_owned();
        Ok(Some(found.into_stream().map(move |bytes| bytes.map_err(|error| self.failed(Action::Read, &key, &error))).boxed()))
    }

    fn keeps_metadata(&self) -> bool {
        self.inner().place.flavor != Flavor::Folder
    }

    fn name(&self, key: &str) -> String {
        self.inner().place.object(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::super::objects::{Place, Tuning};
    use super::*;
    use crate::connect::Health;

    async fn reader(prefix: &str, keys: &[String]) -> Objects {
        let store = Arc::new(InMemory::new());
        for key in keys {
            store.put(&Path::parse(key).unwrap(), key.clone().into()).await.unwrap();
        }
        let place = Place { flavor: Flavor::Memory, root: String::new(), prefix: prefix.to_owned(), endpoint: None };
        Objects::new(Arc::clone(&store) as _, store, place, "x", Tuning::default(), Health::default())
    }

    async fn keys(reader: &Objects) -> Vec<String> {
        let listed: Vec<_> = reader.list().collect().await;
        let mut keys: Vec<_> = listed.into_iter().map(|listed| listed.unwrap().key).collect();
        keys.sort();
        keys
    }

    #[tokio::test]
    async fn every_object_is_listed_once_whatever_the_directories() {
        let deep = |i: usize| format!("topics/t/year={}/month={}/day={}/hour={}/t+0+{i}", i % 2, i % 3, i % 5, i % 7);
        let wide = |i: usize| format!("topics/t/user={}/t+0+{i}", i % 400);
        let flat = |i: usize| format!("t+0+{i}");
        let shapes: [&dyn Fn(usize) -> String; 3] = [&deep, &wide, &flat];
        for shape in shapes {
            let mut given: Vec<String> = (0..5000).map(shape).collect();
            given.extend(["topics/marker".to_owned(), "other".to_owned()]);
            given.sort();
            assert_eq!(keys(&reader("", &given).await).await, given);
            let below: Vec<String> = given.iter().filter(|key| key.starts_with("topics/t/")).cloned().collect();
            assert_eq!(keys(&reader("topics/t/", &given).await).await, below);
        }
        assert_eq!(keys(&reader("", &[]).await).await, [""; 0]);
    }

    #[tokio::test]
    async fn objects_are_read_in_ranges_and_whole_and_may_be_gone() {
        let reader = reader("", &["abcdef".to_owned()]).await;
        let seen = reader.read("abcdef", 2..4).await.unwrap().unwrap();
        assert_eq!((seen.size, seen.bytes.as_ref()), (6, &b"cd"[..]));
        assert_eq!(reader.head("abcdef").await.unwrap().unwrap().size, 6);
        let pieces: Vec<_> = reader.stream("abcdef").await.unwrap().unwrap().collect().await;
        assert_eq!(pieces.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat(), b"abcdef");
        assert_eq!((reader.head("gone").await.unwrap(), reader.read("gone", 0..1).await.unwrap()), (None, None));
        assert!(reader.stream("gone").await.unwrap().is_none());
    }

    #[test]
    fn metadata_reads_as_it_was_given() {
        let given: Attributes = [("lakehead_topic", "gr%C3%B6%C3%9Fe 100%25"), ("Lakehead-Rows", "7")]
            .into_iter()
            .map(|(name, value)| (Attribute::Metadata(name.into()), value))
            .chain([(Attribute::ContentType, "x")])
            .collect();
        let read = |flavor| metadata(flavor, &given).into_iter().collect::<BTreeSet<_>>();
        assert!(read(Flavor::AzureBlob).contains(&("lakehead-topic".to_owned(), "größe 100%".to_owned())));
        assert!(read(Flavor::S3).contains(&("lakehead-rows".to_owned(), "7".to_owned())));
        assert_eq!(read(Flavor::S3).len(), 2);
    }
}
