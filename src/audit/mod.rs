//! `lakehead verify` and `lakehead locate`: what is in a bucket, proven from the bucket alone.
//!
//! Every file says in its metadata or footer which offsets its rows have: a span, a count, and a digest that adds up over files ([`crate::offsets`]). [`verify`]
//! adds them up for each topic partition and, with a consumer group, holds the result against what Kafka has; [`locate`] finds the row of one record. Nothing is
//! written anywhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::connect::Props;
use crate::kafka::KafkaError;
use crate::settings::properties;
use crate::standalone::ExitError;
use crate::store::read::ObjectReader;
use crate::store::{StoreError, urls};

mod contents;
mod coverage;
mod holes;
mod inventory;
mod judge;
mod kafka;
pub mod locate;
mod plan;
pub mod report;
pub mod verify;

/// Exit code when there is no answer: wrong arguments, or a store or broker that does not answer.
pub const NO_ANSWER: u8 = 3;

/// Which bucket, and how to reach it.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Where the files are: s3://bucket/prefix, gs://, az://, abfss:// or a folder. Credentials come from the environment, as for a connector with this
    /// lakehead.store.url.
    #[arg(value_name = "URL")]
    pub url: String,
    /// Reads the lakehead.store.option.* of this connector file.
    #[arg(long, value_name = "FILE")]
    pub store_config: Option<PathBuf>,
    /// An option of the store's client, as lakehead.store.option.NAME; may be repeated.
    #[arg(long = "store-option", value_name = "NAME=VALUE")]
    pub store_options: Vec<String>,
    /// The connector's file.delim.
    #[arg(long, value_name = "TEXT", default_value = "+")]
    pub file_delim: String,
    /// The connector's tombstone.encoded.partition: keys below it stand for their records.
    #[arg(long, value_name = "PATH", default_value = "tombstone")]
    pub tombstones: String,
    /// Requests to the store at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub requests: u16,
}

/// Which files are looked at, and how closely.
#[derive(Debug, Clone, Default)]
struct Scope {
    /// Topics; none = all.
    topics: BTreeSet<String>,
    /// The connector; none = all.
    connector: Option<String>,
    file_delim: String,
    tombstones: String,
    /// Rows are counted, whatever the files say.
    deep: bool,
    requests: usize,
}

impl Scope {
    fn of(place: &Place) -> Self {
        let Place { file_delim, tombstones, requests, .. } = place;
        Self { file_delim: file_delim.clone(), tombstones: tombstones.clone(), requests: usize::from(*requests), ..Self::default() }
    }

    fn has_topic(&self, topic: &str) -> bool {
        self.topics.is_empty() || self.topics.contains(topic)
    }

    fn has(&self, origin: &inventory::Origin) -> bool {
        let of_connector = self.connector.as_deref().is_none_or(|wanted| origin.connector.is_empty() || &*origin.connector == wanted);
        of_connector && self.has_topic(&origin.from.topic)
    }

    /// True for keys and headers beside a file; a tombstone's key stands for its record.
    fn is_companion(&self, key: &str) -> bool {
        let (directory, name) = key.rsplit_once('/').unwrap_or(("", key));
        let end = name.rsplit_once(self.file_delim.as_str()).map_or(name, |(_, end)| end);
        let is_tombstone = !self.tombstones.is_empty() && format!("/{directory}/").contains(&format!("/{}/", self.tombstones));
        end.contains(".headers.") || (end.contains(".keys.") && !is_tombstone)
    }
}

/// Why there is no answer, or none about one object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Kafka.
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    /// One object is not what its name says.
    #[error("{key}: {why}")]
    Object { key: String, why: String },
    /// The arguments.
    #[error("{0}")]
    Usage(String),
}

impl From<AuditError> for ExitError {
    fn from(error: AuditError) -> Self {
        Self { code: NO_ANSWER, message: error.to_string() }
    }
}

impl Place {
    /// The store at the URL. Call from within a tokio runtime.
    fn open(&self) -> Result<Arc<dyn ObjectReader>, AuditError> {
        open_store(&self.url, self.store_config.as_deref(), &self.store_options)
    }
}

/// The store at a URL, with the options of a connector file and further ones, `NAME=VALUE`. Call from within a tokio runtime.
pub(crate) fn open_store(url: &str, config: Option<&Path>, options: &[String]) -> Result<Arc<dyn ObjectReader>, AuditError> {
    let mut props = Props::new();
    if let Some(path) = config {
        let unreadable = |why: &dyn std::fmt::Display| AuditError::Usage(format!("--store-config {}: {why}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
        let given = properties::parse(&bytes).map_err(|error| unreadable(&error))?;
        props.extend(given.into_iter().filter(|(name, _)| name.starts_with(urls::OPTION_PREFIX)));
    }
    for option in options {
        let (name, value) = option.split_once('=').ok_or_else(|| AuditError::Usage("--store-option is not NAME=VALUE".to_owned()))?;
        props.insert(format!("{}{name}", urls::OPTION_PREFIX), value.to_owned());
    }
    props.insert("lakehead.store.url".to_owned(), url.to_owned());
    Ok(urls::reader(&props)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_headers_stand_beside_their_files_but_those_of_tombstones_stand_for_them() {
        let scope = |tombstones: &str| Scope { file_delim: "+".to_owned(), tombstones: tombstones.to_owned(), ..Scope::default() };
        for (key, tombstones, is_companion) in [
            ("topics/t/p/t+0+0.parquet", "tombstone", false),
            ("topics/t/p/t+0+0.keys.parquet", "tombstone", true),
            ("topics/t/p/t+0+0.headers.json", "tombstone", true),
            ("topics/t/tombstone/t+0+0.keys.avro", "tombstone", false),
            ("topics/t/tombstone/t+0+0.headers.avro", "tombstone", true),
            ("topics/t/tombstone/t+0+0.keys.avro", "", true),
            ("topics/t/gone/of/t+0+0.keys.avro", "gone/of", false),
            ("topics/t/tombstones/t+0+0.keys.avro", "tombstone", true),
            // A topic's name may have such words in it.
            ("topics/a.keys.b/p/a.keys.b+0+0.avro", "tombstone", false),
            ("t.keys.avro", "tombstone", true),
        ] {
            assert_eq!(scope(tombstones).is_companion(key), is_companion, "{key} {tombstones}");
        }
    }
}
