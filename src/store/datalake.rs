//! The names of the Data Lake Storage Gen2 sink: the first level of `topics.dir` is the file system, the rest the path in it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::keys::azure::check_container;
use super::{Conditions, ObjectSink, Origin, StoreError, Swept, Upload};
use crate::connect::Props;
use crate::connect::config::ConfigError;

/// The file system of a configuration.
///
/// # Errors
/// `topics.dir` has no first level that could be one.
pub(super) fn file_system(props: &Props) -> Result<String, ConfigError> {
    let directory = props.get("topics.dir").map_or("topics", |text| text.trim());
    let name = directory.trim_start_matches('/').split('/').next().unwrap_or_default();
    let refused = |why: &str| {
        let text = format!("Invalid value {directory} for configuration topics.dir: its first level is the file system of the data lake, and {why}");
        ConfigError::new("topics.dir", text)
    };
    if name.is_empty() {
        return Err(refused("must not be blank"));
    }
    check_container(name).map_err(|why| refused(&why))?;
    Ok(name.to_owned())
}

/// A sink whose keys begin with the level that the store below already stands in.
#[derive(Debug)]
pub(super) struct BelowFileSystem {
    pub(super) sink: Arc<dyn ObjectSink>,
    pub(super) file_system: String,
    /// Between the levels of a key.
    pub(super) delimiter: String,
}

impl BelowFileSystem {
    fn path<'a>(&self, key: &'a str) -> &'a str {
        let below = key.trim_start_matches('/').strip_prefix(&self.file_system);
        below.and_then(|rest| rest.strip_prefix('/').or_else(|| rest.strip_prefix(&self.delimiter))).unwrap_or(key)
    }
}

impl fmt::Display for BelowFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.sink, f)
    }
}

#[async_trait]
impl ObjectSink for BelowFileSystem {
    async fn check(&self) -> Result<(), StoreError> {
        self.sink.check().await
    }

    fn open(&self, key: String, content_type: &'static str, attributes: Vec<(&'static str, String)>) -> Box<dyn Upload> {
        self.sink.open(self.path(&key).to_owned(), content_type, attributes)
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.sink.exists(self.path(key)).await
    }

    async fn between(&self, first: &str, last: &str) -> Result<Vec<(String, Origin)>, StoreError> {
        let found = self.sink.between(self.path(first), self.path(last)).await?;
        let level = first.strip_suffix(self.path(first)).unwrap_or_default();
        Ok(found.into_iter().map(|(path, origin)| (format!("{level}{path}"), origin)).collect())
    }

    async fn names(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        let level = beginning.strip_suffix(self.path(beginning)).unwrap_or_default();
        Ok(self.sink.names(self.path(beginning)).await?.into_iter().map(|path| format!("{level}{path}")).collect())
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.sink.read(self.path(key)).await
    }

    async fn honours_conditions(&self) -> Result<Conditions, StoreError> {
        self.sink.honours_conditions().await
    }

    async fn sweep(&self, below: &str, is_ours: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync), begun_ago: Duration) -> Swept {
        let is_ours = |path: &str| is_ours(&format!("{}{}{path}", self.file_system, self.delimiter));
        self.sink.sweep(self.path(below), &is_ours, begun_ago).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(directory: Option<&str>) -> Props {
        directory.map(|text| ("topics.dir".to_owned(), text.to_owned())).into_iter().collect()
    }

    #[test]
    fn file_systems() {
        for (directory, name) in [(None, "topics"), (Some("lake"), "lake"), (Some("lake/raw/in"), "lake"), (Some("/lake/raw"), "lake")] {
            assert_eq!(file_system(&props(directory)).unwrap(), name);
        }
        for (directory, why) in [(" ", "must not be blank"), ("My_Lake/x", "3 to 63 lower-case letters")] {
            let error = file_system(&props(Some(directory))).unwrap_err();
            assert!(error.key == "topics.dir" && error.message.contains(why), "{error}");
        }
    }

    #[derive(Debug)]
    struct Nothing;

    impl fmt::Display for Nothing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("az://lake/")
        }
    }

    #[async_trait]
    impl ObjectSink for Nothing {
        async fn check(&self) -> Result<(), StoreError> {
            Ok(())
        }
        fn open(&self, _: String, _: &'static str, _: Vec<(&'static str, String)>) -> Box<dyn Upload> {
            unreachable!("not opened here")
        }
        async fn exists(&self, key: &str) -> Result<bool, StoreError> {
            Ok(key == "raw/t/partition=0/t+0+0000000000.avro")
        }
        async fn between(&self, first: &str, last: &str) -> Result<Vec<(String, Origin)>, StoreError> {
            Ok([first, last].map(|key| (key.to_owned(), Origin::default())).into())
        }
        async fn names(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
            Ok(vec![format!("{beginning}.jsonl")])
        }
        async fn read(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
            Ok(Some(Bytes::copy_from_slice(key.as_bytes())))
        }
    }

    #[tokio::test]
    async fn keys_lose_the_level_that_is_the_file_system() {
        let sink = BelowFileSystem { sink: Arc::new(Nothing), file_system: "lake".to_owned(), delimiter: "/".to_owned() };
        assert!(sink.exists("lake/raw/t/partition=0/t+0+0000000000.avro").await.unwrap());
        let found: Vec<String> = sink.between("lake/raw/a", "lake/raw/b").await.unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, ["lake/raw/a", "lake/raw/b"]);
        assert_eq!(sink.names("lake/raw/t+0").await.unwrap(), ["lake/raw/t+0.jsonl"]);
        assert_eq!(sink.read("lake/raw/a").await.unwrap().as_deref(), Some(&b"raw/a"[..]));
        assert_eq!(sink.path("lakeside/t"), "lakeside/t");
        let other = BelowFileSystem { delimiter: "_".to_owned(), ..sink };
        assert_eq!(other.path("lake_t_partition=0_t.avro"), "t_partition=0_t.avro");
    }
}
