//! The connectors, each composed of the stages before it.

pub mod aiven;
pub mod cloud_storage;
pub mod lenses;
