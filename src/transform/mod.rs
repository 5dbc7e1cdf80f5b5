//! 3 transform: batch → batches.
//!
//! A [`Transform`] stands for Kafka Connect's `org.apache.kafka.connect.transforms.Transformation`, over a batch: it rewrites columns
//! with kernels, it does not visit rows. A transform that sends rows to different topics splits the batch into consecutive runs.
//!
//! Parts: the trait, the table [`TRANSFORMS`], and the [`Chain`] that a connector's `transforms=a,b` stands for, with its [`predicates`]. What most transforms
//! have in common is in [`side`] (key or value; with a schema, without one, null), [`fields`] (structs under a schema), `schemaless_kinds` (values without one), [`path`] (names of fields within
//! fields) and `json_path` (paths with conditions). A new transform is one file here and one line in the table.

use std::fmt;

use lakehead_formats::column::Reject;

use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{ConfigError, ConfigKey, check};

mod cast;
mod chain;
mod drop;
mod drop_headers;
mod extract_field;
mod extract_new_record_state;
mod extract_topic;
mod fields;
mod filter;
mod flatten;
mod header_from;
mod hoist_field;
mod insert_field;
mod insert_header;
mod json_path;
mod json_path_filter;
mod mask_field;
mod message_timestamp_router;
pub mod path;
pub mod predicates;
mod regex_router;
mod replace_field;
mod rows;
mod schemaless_kinds;
mod set_schema_metadata;
mod side;
mod timestamp_converter;
mod timestamp_router;
mod tombstone_handler;
mod value_to_key;
mod weave;

pub use chain::{Chain, Untransformed};
pub use side::Side;

/// Rewrites batches. One value per task.
pub trait Transform: fmt::Debug + Send {
    /// Rewrites one batch into zero or more; their spans are consecutive and cover the batch's span. Rows that could not be
    /// transformed are left out and returned, numbered as in `batch`.
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject>;

    /// The side that it takes apart, which is read once for all that do.
    fn reads(&self) -> Option<Side> {
        None
    }

    /// The records are a source's: they have no offset in Kafka, and perhaps no partition yet.
    fn of_source(&mut self) {}
}

/// A transform, or every problem of its settings.
pub type Built = Result<Box<dyn Transform>, Vec<ConfigError>>;

/// How a transform is made from settings (`transforms.<alias>.` cut off) that have been checked against its keys.
#[derive(Debug, Clone, Copy)]
pub enum Build {
    /// It is about the record as a whole: one class.
    Record(fn(&Props) -> Built),
    /// It is about keys or values: upstream has a class for each, `X$Key` and `X$Value`.
    Side(fn(Side, &Props) -> Built),
}

/// One line of the transforms' table.
#[derive(Debug)]
pub struct Plugin {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations; without `$Key` and `$Value` where there are both.
    pub aliases: &'static [&'static str],
    /// One sentence for the reference docs.
    pub doc: &'static str,
    /// Settings, without `transforms.<alias>.` in front.
    pub keys: &'static [ConfigKey],
    /// Builds it.
    pub build: Build,
}

/// A transform of Apache Kafka's.
const fn apache(name: &'static str, aliases: &'static [&'static str; 1], doc: &'static str, keys: &'static [ConfigKey], build: Build) -> Plugin {
    Plugin { name, aliases, doc, keys, build }
}

/// A transform of Confluent's plugin `connect-transforms`.
const fn confluent(name: &'static str, aliases: &'static [&'static str; 1], doc: &'static str, keys: &'static [ConfigKey], build: Build) -> Plugin {
    Plugin { name, aliases, doc, keys, build }
}

/// Every transform: Apache Kafka's, then those of others that people add.
pub static TRANSFORMS: &[Plugin] = &[
    apache("Cast", &["org.apache.kafka.connect.transforms.Cast"], "Makes fields, or the whole, values of other types.", cast::KEYS, Build::Side(cast::build)),
    apache(
        "DropHeaders",
        &["org.apache.kafka.connect.transforms.DropHeaders"],
        "Leaves out headers of some names.",
        drop_headers::KEYS,
        Build::Record(drop_headers::build),
    ),
    apache(
        "ExtractField",
        &["org.apache.kafka.connect.transforms.ExtractField"],
        "Puts one field in the place of the whole.",
        extract_field::KEYS,
        Build::Side(extract_field::build),
    ),
    apache(
        "Filter",
        &["org.apache.kafka.connect.transforms.Filter"],
        "Drops records; with a predicate, those that it takes.",
        &[],
        Build::Record(filter::build),
    ),
    apache(
        "Flatten",
        &["org.apache.kafka.connect.transforms.Flatten"],
        "Puts the fields of nested structs side by side.",
        flatten::KEYS,
        Build::Side(flatten::build),
    ),
    apache(
        "HeaderFrom",
        &["org.apache.kafka.connect.transforms.HeaderFrom"],
        "Moves or copies fields to headers.",
        header_from::KEYS,
        Build::Side(header_from::build),
    ),
    apache(
        "HoistField",
        &["org.apache.kafka.connect.transforms.HoistField"],
        "Wraps the whole as the one field of a struct.",
        hoist_field::KEYS,
        Build::Side(hoist_field::build),
    ),
    apache(
        "InsertField",
        &["org.apache.kafka.connect.transforms.InsertField"],
        "Adds topic, partition, offset, timestamp or a fixed text as fields.",
        insert_field::KEYS,
        Build::Side(insert_field::build),
    ),
    apache(
        "InsertHeader",
        &["org.apache.kafka.connect.transforms.InsertHeader"],
        "Adds a header to every record.",
        insert_header::KEYS,
        Build::Record(insert_header::build),
    ),
    apache("MaskField", &["org.apache.kafka.connect.transforms.MaskField"], "Leaves out what fields say.", mask_field::KEYS, Build::Side(mask_field::build)),
    apache(
        "RegexRouter",
        &["org.apache.kafka.connect.transforms.RegexRouter"],
        "Renames topics that match a regular expression.",
        regex_router::KEYS,
        Build::Record(regex_router::build),
    ),
    apache(
        "ReplaceField",
        &["org.apache.kafka.connect.transforms.ReplaceField"],
        "Leaves out fields, or renames them.",
        replace_field::KEYS,
        Build::Side(replace_field::build),
    ),
    apache(
        "SetSchemaMetadata",
        &["org.apache.kafka.connect.transforms.SetSchemaMetadata"],
        "Sets the name or the version of the schema.",
        set_schema_metadata::KEYS,
        Build::Side(set_schema_metadata::build),
    ),
    apache(
        "TimestampConverter",
        &["org.apache.kafka.connect.transforms.TimestampConverter"],
        "Brings timestamps from one form into another.",
        timestamp_converter::KEYS,
        Build::Side(timestamp_converter::build),
    ),
    apache(
        "TimestampRouter",
        &["org.apache.kafka.connect.transforms.TimestampRouter"],
        "Names topics by the record's timestamp.",
        timestamp_router::KEYS,
        Build::Record(timestamp_router::build),
    ),
    apache(
        "ValueToKey",
        &["org.apache.kafka.connect.transforms.ValueToKey"],
        "Makes the key of fields of the value.",
        value_to_key::KEYS,
        Build::Record(value_to_key::build),
    ),
    confluent("Drop", &["io.confluent.connect.transforms.Drop"], "Makes the key or the value null.", drop::KEYS, Build::Side(drop::build)),
    confluent(
        "ExtractTopic",
        &["io.confluent.connect.transforms.ExtractTopic"],
        "Takes the topic from the key or the value, or a field of it.",
        extract_topic::KEYS,
        Build::Side(extract_topic::build),
    ),
    confluent(
        "ExtractTopic$Header",
        &["io.confluent.connect.transforms.ExtractTopic$Header"],
        "Takes the topic from a header.",
        extract_topic::HEADER_KEYS,
        Build::Record(extract_topic::build_of_header),
    ),
    confluent(
        "JsonPathFilter",
        &["io.confluent.connect.transforms.Filter"],
        "Keeps or drops the records that a JSON path with a condition takes.",
        json_path_filter::KEYS,
        Build::Side(json_path_filter::build),
    ),
    confluent(
        "MessageTimestampRouter",
        &["io.confluent.connect.transforms.MessageTimestampRouter"],
        "Names topics by a timestamp in the value.",
        message_timestamp_router::KEYS,
        Build::Record(message_timestamp_router::build),
    ),
    confluent(
        "TombstoneHandler",
        &["io.confluent.connect.transforms.TombstoneHandler"],
        "Drops records without a value, or fails them.",
        tombstone_handler::KEYS,
        Build::Record(tombstone_handler::build),
    ),
    Plugin {
        name: "ExtractNewRecordState",
        aliases: &["io.debezium.transforms.ExtractNewRecordState"],
        doc: "Takes the row out of Debezium's envelope of a change.",
        keys: extract_new_record_state::KEYS,
        build: Build::Record(extract_new_record_state::build),
    },
];

impl Plugin {
    /// Its class of one side.
    fn class(&self, side: Option<Side>) -> String {
        let class = self.aliases.first().copied().unwrap_or(self.name);
        let end = match side {
            None => "",
            Some(Side::Key) => "$Key",
            Some(Side::Value) => "$Value",
        };
        format!("{class}{end}")
    }

    /// Its classes as they are listed.
    pub fn classes(&'static self) -> impl Iterator<Item = String> {
        let sides: &[Option<Side>] = match self.build {
            Build::Record(_) => &[None],
            Build::Side(_) => &[Some(Side::Key), Some(Side::Value)],
        };
        sides.iter().map(|side| self.class(*side))
    }
}

/// The transform of that name, short or a class name, and its side where it has one; `None` when there is none.
#[must_use]
pub fn find(class: &str) -> Option<(&'static Plugin, Option<Side>)> {
    let (base, side) = match (class.strip_suffix("$Key"), class.strip_suffix("$Value")) {
        (Some(base), _) => (base, Some(Side::Key)),
        (_, Some(base)) => (base, Some(Side::Value)),
        _ => (class, None),
    };
    let plugin = TRANSFORMS.iter().find(|plugin| plugin.name == base || plugin.aliases.contains(&base))?;
    (matches!(plugin.build, Build::Side(_)) == side.is_some()).then_some((plugin, side))
}

/// Builds the transform of that class from its own settings, checked against its keys.
///
/// # Errors
/// Every problem, by the transform's own keys; of a class that there is none, one without a key.
pub fn configure(class: &str, props: &Props) -> Built {
    let Some((plugin, side)) = find(class) else {
        return Err(vec![ConfigError::new("", format!("Class {class} could not be found"))]);
    };
    let problems = check(&[plugin.keys], props, |_| true).errors;
    if !problems.is_empty() {
        return Err(problems);
    }
    match plugin.build {
        Build::Record(build) => build(props),
        Build::Side(build) => build(side.unwrap_or(Side::Value), props),
    }
}
