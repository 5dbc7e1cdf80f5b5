//! 3 transform: batch → batches.
//!
//! A [`Transform`] stands for Kafka Connect's `org.apache.kafka.connect.transforms.Transformation`, over a batch: it rewrites columns
//! with kernels, it does not visit rows. A transform that sends rows to different topics splits the batch into consecutive runs.
//!
//! Parts: the trait, the table [`TRANSFORMS`], and the [`Chain`] that a connector's `transforms=a,b` stands for. A new transform is one file here and one
//! line in the table.

use std::fmt;

use lakehead_formats::column::Reject;

use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{ConfigError, ConfigKey};

mod chain;
mod regex_router;
mod rows;
mod timestamp_router;

pub use chain::{Chain, Untransformed};

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
    /// Settings, without `transforms.<alias>.` in front.
    pub keys: &'static [ConfigKey],
    /// Builds the transform from settings (`transforms.<alias>.` cut off) that have been checked against `keys`; reports every other problem.
    pub build: fn(&Props) -> Result<Box<dyn Transform>, Vec<ConfigError>>,
}

/// Every transform.
pub static TRANSFORMS: &[Plugin] = &[
    Plugin {
        name: "RegexRouter",
        aliases: &["org.apache.kafka.connect.transforms.RegexRouter"],
        doc: "Renames topics that match a regular expression.",
        keys: regex_router::KEYS,
        build: regex_router::build,
    },
    Plugin {
        name: "TimestampRouter",
        aliases: &["org.apache.kafka.connect.transforms.TimestampRouter"],
        doc: "Names topics by the record's timestamp.",
        keys: timestamp_router::KEYS,
        build: timestamp_router::build,
    },
];

/// The transform of that name, short or a class name; `None` when there is none.
#[must_use]
pub fn find(class: &str) -> Option<&'static Plugin> {
    TRANSFORMS.iter().find(|plugin| plugin.name == class || plugin.aliases.contains(&class))
}
