//! 4 partition: one path per row.
//!
//! A [`Partitioner`] stands for Confluent's `io.confluent.connect.storage.partitioner.Partitioner`, over a batch: it says which directory
//! each row belongs to, dictionary-coded. Splitting the batch is shared code, not the partitioner's. Time is a value that is passed in.
//!
//! A new partitioner is one file here and one line in [`PARTITIONERS`].

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakehead_formats::column::Reject;

use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{ConfigError, ConfigKey};

/// Row → directory.
pub trait Partitioner: fmt::Debug + Send + Sync {
    /// The directory of each row. `now` is the wall clock, read once per batch.
    fn paths(&self, batch: &Batch, now: DateTime<Utc>) -> Paths;

    /// True when the same records always get the same paths, whenever they are read (false for wall-clock time).
    fn is_deterministic(&self) -> bool;

    /// True for the time-based partitioners: `rotate.interval.ms` is active only with them.
    fn is_time_based(&self) -> bool;
}

/// One directory per row, dictionary-coded.
#[derive(Debug, Default)]
pub struct Paths {
    /// n codes, each an index into `distinct`; the code of a rejected row means nothing.
    pub codes: Vec<u32>,
    /// The k distinct encoded partitions (`year=2025/month=06/…`, `country=DE`, `partition=0`), without leading or trailing delimiter.
    pub distinct: Vec<Arc<str>>,
    /// n timestamps in ms since the epoch, as the timestamp extractor saw them; empty when the partitioner has no notion of time.
    pub timestamps: Vec<i64>,
    /// Rows that have no path, ascending.
    pub rejects: Vec<Reject>,
}

/// One line of the partitioners' table.
#[derive(Debug)]
pub struct Plugin {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations.
    pub aliases: &'static [&'static str],
    /// One sentence for the reference docs.
    pub doc: &'static str,
    /// Checks the settings and builds the partitioner; reports every problem.
    pub build: fn(&Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>>,
}

/// The keys that partitioners understand, for every connector that has partitioners.
pub static KEYS: &[ConfigKey] = &[];
