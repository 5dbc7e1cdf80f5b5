//! Folders for dead letters (`errors.deadletterqueue.url`), for every connector that has a store.
//!
//! In a store of the connector's own kind, the connector's keys say how it is reached, and the URL which bucket and folder; in any other, its client finds the credentials
//! in the environment.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::connect::letters::{LetterFolder, Placed};
use crate::connect::{Health, Props, TaskContext, TaskError};
use crate::connectors::cloud_storage::store_error;
use crate::memory::Budget;
use crate::store::urls::{OPTION_PREFIX, StoreKind, validate};
use crate::store::{Chunk, Condition, ObjectSink, Published};

/// A folder in a store.
#[derive(Debug)]
struct Folder {
    store: Arc<dyn ObjectSink>,
    /// Before every name.
    prefix: String,
    health: Health,
    memory: Budget,
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.store, self.prefix)
    }
}

#[async_trait]
impl LetterFolder for Folder {
    async fn check(&self) -> Result<(), TaskError> {
        self.store.check().await.map_err(|error| of_letters(store_error(error)))
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<Placed, TaskError> {
        let key = self.key(name);
        // Also where the store knows no conditional writes, and does not say so.
        if self.store.exists(&key).await.map_err(|error| of_letters(store_error(error)))? {
            return Ok(Placed::Taken);
        }
        let mut upload = self.store.open(key, "application/x-ndjson", Vec::new());
        let written = async {
            upload.write(Chunk { bytes, permit: self.memory.take(0) }).await?;
            upload.seal(Vec::new()).await?;
            upload.publish(Condition::IfAbsent).await
        };
        match written.await {
            Ok(Published::Visible) => Ok(Placed::New),
            Ok(Published::Exists(_)) => {
                upload.abort().await;
                Ok(Placed::Taken)
            }
            Err(error) => {
                upload.abort().await;
                Err(of_letters(store_error(error)))
            }
        }
    }

    async fn names(&self, beginning: &str) -> Result<Vec<String>, TaskError> {
        let listed = self.store.names(&self.key(beginning)).await.map_err(|error| of_letters(store_error(error)))?;
        Ok(listed.into_iter().filter_map(|key| key.strip_prefix(&self.prefix).map(str::to_owned)).collect())
    }

    async fn read(&self, name: &str) -> Result<Option<Bytes>, TaskError> {
        self.store.read(&self.key(name)).await.map_err(|error| of_letters(store_error(error)))
    }

    fn trouble(&self) -> Option<String> {
        self.health.trouble()
    }
}

impl Folder {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn of_letters(error: TaskError) -> TaskError {
    TaskError { message: format!("errors.deadletterqueue.url: {}", error.message), ..error }
}

/// A store, how it is reached, and what stands before names in it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    kind: StoreKind,
    props: Props,
    prefix: String,
}

impl Place {
    /// Where a URL leads from a connector whose own store is of that kind, and is reached with these settings.
    fn of(kind: StoreKind, props: &Props, url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("file", url));
        let (root, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = root.split_once('@').unwrap_or((root, ""));
        let account = host.split('.').next().unwrap_or("");
        let is_own_account = |key: &str| account.is_empty() || props.get(key).is_some_and(|own| own.trim() == account);
        let scheme = scheme.to_ascii_lowercase();
        let path = percent_decode_str(path.trim_matches('/')).decode_utf8_lossy().into_owned();
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let (key, bucket, prefix) = match (kind, scheme.as_str()) {
            (StoreKind::S3, "s3" | "s3a") => ("s3.bucket.name", root, prefix),
            (StoreKind::Gcs, "gs") => ("gcs.bucket.name", root, prefix),
            (StoreKind::AzureBlob, "az" | "abfs" | "abfss") if is_own_account("azblob.account.name") => ("azblob.container.name", user, prefix),
            // The file system is the first level of every name.
            (StoreKind::AzureDataLake, "az" | "abfs" | "abfss") if is_own_account("azure.datalake.gen2.account.name") => ("", user, format!("{user}/{prefix}")),
            _ => return Self::elsewhere(kind, props, url, &scheme),
        };
        let mut props = props.clone();
        if !key.is_empty() {
            props.insert(key.to_owned(), bucket.to_owned());
        }
        // Where the store is tried before the first record.
        props.insert("topics.dir".to_owned(), prefix.trim_end_matches('/').to_owned());
        props.remove("topics");
        Self { kind, props, prefix }
    }

    /// A store of another kind, or one of ours: as `lakehead.store.url` names it. The options of the connector's own URL are those of its scheme.
    fn elsewhere(kind: StoreKind, props: &Props, url: &str, scheme: &str) -> Self {
        let own = props.get("lakehead.store.url").and_then(|own| own.split_once("://")).map_or("file", |(own, _)| own);
        let is_same = kind == StoreKind::Url && own.eq_ignore_ascii_case(scheme);
        let mut there: Props = props.iter().filter(|(key, _)| is_same && key.starts_with(OPTION_PREFIX)).map(|(k, v)| (k.clone(), v.clone())).collect();
        there.insert("lakehead.store.url".to_owned(), url.to_owned());
        there.insert("topics.dir".to_owned(), String::new());
        Self { kind: StoreKind::Url, props: there, prefix: String::new() }
    }
}

/// Whether a URL names a folder for dead letters. Pure: no network. `kind` and `props` say how the connector's own store is reached.
pub(super) fn check(kind: StoreKind, props: &Props, url: &str) -> Result<(), String> {
    let Place { kind, props, .. } = Place::of(kind, props, url);
    // The URL itself first; what is wrong with other keys, those say.
    let as_url = Props::from([("lakehead.store.url".to_owned(), url.to_owned())]);
    let of_url = validate(StoreKind::Url, &as_url).into_iter().next();
    let of_key = || {
        let is_ours = |key: &str| key.ends_with("bucket.name") || key == "azblob.container.name" || key == "topics.dir";
        validate(kind, &props).into_iter().find(|error| is_ours(&error.key))
    };
    let without_key = |message: String| message.split_once("lakehead.store.url: ").map(|(_, why)| why.to_owned()).unwrap_or(message);
    of_url.or_else(of_key).map_or(Ok(()), |error| Err(without_key(error.message)))
}

/// The folder at a URL.
pub(super) fn open(kind: StoreKind, props: &Props, url: &str, cx: &TaskContext) -> Result<Arc<dyn LetterFolder>, TaskError> {
    let Place { kind, props, prefix } = Place::of(kind, props, url);
    // Not the task's: its own store tells there what it waits for, and takes it back.
    let health = Health::default();
    let store = cx.env.stores.open(kind, &props, health.clone()).map_err(|error| of_letters(store_error(error)))?;
    Ok(Arc::new(Folder { store, prefix, health, memory: cx.env.memory.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_store_of_the_connectors_own_kind_is_reached_with_its_keys() {
        use StoreKind::{AzureBlob, AzureDataLake, Gcs, S3, Url};
        let own = [
            ("s3.bucket.name", "lake"),
            ("azblob.account.name", "acct"),
            ("azure.datalake.gen2.account.name", "acct"),
            ("aws.access.key.id", "id"),
            ("topics", "t"),
            ("lakehead.store.url", "s3://lake/raw"),
            ("lakehead.store.option.aws_region", "r"),
        ];
        // kind, URL; the kind there, a key and its value, prefix
        for (kind, url, expected, key, value, prefix) in [
            (S3, "s3://dead/a/b/", S3, "s3.bucket.name", "dead", "a/b/"),
            (S3, "s3a://dead", S3, "s3.bucket.name", "dead", ""),
            (S3, "S3://dead/a%20b", S3, "topics.dir", "a b", "a b/"),
            (S3, "gs://dead/x", Url, "lakehead.store.url", "gs://dead/x", ""),
            (S3, "/var/dead", Url, "lakehead.store.url", "/var/dead", ""),
            (Gcs, "gs://dead/x", Gcs, "gcs.bucket.name", "dead", "x/"),
            (AzureBlob, "az://box/x", AzureBlob, "azblob.container.name", "box", "x/"),
            (AzureBlob, "abfss://box@acct.dfs.core.windows.net/x", AzureBlob, "azblob.container.name", "box", "x/"),
            (AzureBlob, "abfss://box@other.dfs.core.windows.net/x", Url, "lakehead.store.url", "abfss://box@other.dfs.core.windows.net/x", ""),
            (AzureDataLake, "abfss://box@acct.dfs.core.windows.net/x/y", AzureDataLake, "topics.dir", "box/x/y", "box/x/y/"),
            (AzureDataLake, "az://box", AzureDataLake, "topics.dir", "box", "box/"),
            (Url, "s3://dead/x", Url, "lakehead.store.option.aws_region", "r", ""),
        ] {
            let place = Place::of(kind, &props(&own), url);
            assert_eq!((place.kind, place.prefix.as_str(), place.props.get(key).map(String::as_str)), (expected, prefix, Some(value)), "{url}");
            let keeps_credentials = place.props.contains_key("aws.access.key.id");
            assert_eq!(keeps_credentials, kind == expected && kind != Url, "{url}");
        }
        let elsewhere = Place::of(Url, &props(&own), "gs://dead");
        assert!(elsewhere.props.keys().all(|key| !key.starts_with(OPTION_PREFIX)), "the options are those of another store");
    }

    #[tokio::test]
    async fn a_file_is_made_once_and_listed_and_read() {
        use crate::store::objects::{Flavor, Objects, Place as StorePlace, Tuning};
        use crate::store::urls;
        let directory = tempfile::tempdir().unwrap();
        let url = Props::from([("lakehead.store.url".to_owned(), directory.path().display().to_string())]);
        let memory = Arc::new(object_store::memory::InMemory::new());
        let place = StorePlace { flavor: Flavor::Memory, root: String::new(), prefix: "below/".to_owned(), endpoint: None };
        let in_memory = Objects::new(Arc::clone(&memory) as _, memory, place, "probe", Tuning::default(), Health::default());
        for store in [urls::open(StoreKind::Url, &url, Health::default()).unwrap(), Arc::new(in_memory)] {
            let folder = Folder { store, prefix: "dead/".to_owned(), health: Health::default(), memory: Budget::new(1 << 20) };
            let start = "t/partition=0/c+t+0+";
            assert_eq!((folder.names(start).await.unwrap(), folder.read("t/none").await.unwrap()), (vec![], None), "{folder}");
            let name = |rest: &str| format!("{start}{rest}.jsonl");
            for (name, bytes, expected) in [
                (name("1"), "one", Placed::New),
                (name("1"), "another", Placed::Taken),
                (name("1+2"), "two", Placed::New),
                ("t/partition=0/c+t+01.jsonl".to_owned(), "of another", Placed::New),
                ("t/partition=1/c+t+1+1.jsonl".to_owned(), "of another", Placed::New),
            ] {
                assert_eq!(folder.put(&name, Bytes::from(bytes)).await.unwrap(), expected, "{name}");
            }
            assert_eq!(folder.read(&name("1")).await.unwrap().as_deref(), Some(&b"one"[..]));
            let mut names = folder.names(start).await.unwrap();
            names.sort();
            assert_eq!(names, [name("1+2"), name("1")], "{folder}");
        }
    }

    #[test]
    fn what_is_no_folder_says_why() {
        let own = props(&[("s3.bucket.name", "lake"), ("s3.region", "not checked here")]);
        for (url, why) in [
            ("s3://dead/letters", None),
            ("file:///var/dead", None),
            ("/var/dead", None),
            ("https://dead/x", Some("scheme 'https' is not one of s3, gs, az, abfss and file")),
            ("s3://id:secret@dead", Some("it has a password")),
        ] {
            let found = check(StoreKind::S3, &own, url);
            assert_eq!(found.is_ok(), why.is_none(), "{found:?}");
            assert!(why.is_none_or(|why| found.unwrap_err().starts_with(why)), "{url}");
        }
    }
}
