//! Workers, tasks, the herder: who runs what, and what state it is in.
//!
//! Parts: [`herder`] (an actor that owns every connector's configuration and decides what runs), [`worker`] (starts, watches and stops tasks),
//! [`sink_task`] and [`source_task`] (one task of a connector), [`status`] (what others may read while a task runs), [`mod@validate`] (what a connector's
//! configuration must be, with the keys in [`sink_keys`] and [`source_keys`] and the names in [`classes`]), [`definitions`] (how forms show it), [`offsets`] (how
//! offsets are seen and changed), [`offset_file`] (where a standalone worker keeps those of sources), [`connector_offsets`] (where a group does), [`topic_creation`] (which topics sources make), [`errors`] (what becomes of records that fail).
//!
//! Guarantee: a request about one connector never waits for another connector, and no task stops because another one failed. Nothing here knows that object
//! storage exists.

pub mod classes;
pub mod connector_offsets;
mod converter_keys;
pub mod definitions;
pub mod errors;
pub mod herder;
mod instance;
pub mod offset_file;
pub mod offset_topic;
pub mod offsets;
pub mod peers;
pub mod sink_keys;
pub mod sink_task;
pub mod source_keys;
pub mod source_task;
pub mod status;
pub mod topic_creation;
pub mod validate;
pub mod worker;

pub use herder::{Cluster, Herder, HerderError, HerderHandle};
pub use validate::validate;
