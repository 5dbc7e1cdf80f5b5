//! Bytes ⇄ Arrow, in both directions; pure and synchronous.
//!
//! Parts, in the order in which data meets them:
//! - [`mod@column`]: what every stage hands on, an Arrow array with the field that describes it;
//! - [`mod@weight`]: bytes of values, also of slices;
//! - [`schema`]: Connect's schemas as Arrow fields, and how two of them become one;
//! - [`mod@instant`] and [`mod@dates`]: instants → texts as upstream prints them, and texts → instants by a pattern;
//! - [`wire`]: the payloads of Kafka records → columns (one file per converter);
//! - [`mod@file`]: columns → the bytes of one file (one file per format);
//! - [`schemaless`]: values without a schema as columns, for transforms;
//! - [`payload`]: columns → the payloads of records (one file per converter);
//! - [`mod@value`]: kernels on values, which transforms use;
//! - [`mod@headers`]: the lists of headers of records, and what their values say.
//!
//! Guarantee: nothing here performs I/O, reads a clock, spawns, or knows a topic's cluster, a store or a path. The crate has no
//! dependency that could, so an encoder cannot block.

pub mod column;

pub mod weight;

pub mod schema;

pub mod instant;

pub mod dates;

pub mod wire;

pub mod file;

pub mod schemaless;

pub mod payload;

pub mod value;

pub mod headers;
