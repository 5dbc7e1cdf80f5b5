//! 3 transform: batch → batches.
//!
//! A [`Transform`] stands for Kafka Connect's `org.apache.kafka.connect.transforms.Transformation`, over a batch: it rewrites columns
//! with kernels, it does not visit rows. A transform that sends rows to different topics splits the batch.
//!
//! A new transform is one file here and one line in [`TRANSFORMS`].

use std::fmt;

use lakehead_formats::column::Reject;

use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;

/// Rewrites batches. One value per task.
pub trait Transform: fmt::Debug + Send {
    /// Rewrites one batch into zero or more; their spans are consecutive and cover the batch's span. Rows that could not be
    /// transformed are left out and returned, numbered as in `batch`.
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject>;
}

/// One line of the transforms' table.
#[derive(Debug)]
pub struct Plugin {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations.
    pub aliases: &'static [&'static str],
    /// One sentence for the reference docs.
    pub doc: &'static str,
    /// Checks the settings (`transforms.<alias>.` cut off) and builds the transform.
    pub build: fn(&Props) -> Result<Box<dyn Transform>, Vec<ConfigError>>,
}
