//! Lakehead: Kafka topics become files on object stores, in columns all the way.
//!
//! The modules, in the order in which a record meets them. `ARCHITECTURE.md` draws the same flow with every queue's bound, and
//! `tests/tidy.rs` holds the table of which module may use which.

// What flows: raw and decoded batches of one topic partition, and offsets.
pub mod batch;

// The offsets of a file's rows, as runs, text and digest.
pub mod offsets;

// Time zones and date patterns, as upstream's date libraries read them.
pub mod calendar;

// 1 consume: Kafka → raw batches; rebalances arrive as events in the same stream.
pub mod kafka;

// 2 convert: raw payloads → columns, with the schemas that a registry holds.
pub mod convert;

// 3 transform: batch → batches.
pub mod transform;

// 4 partition: one path per row.
pub mod partition;

// 5 roll: when open files end, and why.
pub mod roll;

// The commit protocol: what is planned, published and committed, in which order; and what a next owner makes of it.
pub mod commit;

// 7 store: objects that nobody sees until they are whole (6, encode, is `lakehead_formats::file`).
pub mod store;

// The contract that connectors are written against: `Connector`, `SinkTask`, configuration, errors.
pub mod connect;

// The connectors, each composed of the stages above.
pub mod connectors;

// Every registration line of this crate.
pub mod plugins;

// What the members of a Connect group share, and what they say to each other.
pub mod cluster;

// TLS from properties as Java's clients and servers have them.
pub mod tls;

// Workers, tasks, the herder: who runs what, and what state it is in.
pub mod runtime;

// The Connect REST API over the herder's handle.
pub mod rest;

// The worker's settings file.
pub mod settings;

// The world as values: clock, Kafka, stores, compute pool, memory budget.
pub mod env;

// Where CPU work runs.
pub mod compute;

// One budget of bytes for the process.
pub mod memory;

// What waits on disk when the budget is used up.
pub mod spill;

// Time as a value.
pub mod clock;

// Logs.
pub mod telemetry;

// `lakehead verify` and `lakehead locate`: what is in a bucket.
pub mod audit;

// `lakehead dlq`: records that failed, counted and sent again.
pub mod dlq;

// `lakehead standalone`: one worker, until it is told to end.
pub mod standalone;
// `lakehead distributed`: one of a group.
pub mod distributed;

// `lakehead quickstart`: the main job with nothing installed.
pub mod quickstart;
