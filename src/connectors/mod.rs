//! The connectors, each composed of the stages before it.

pub mod aiven;
pub mod cloud_storage;
mod consumed;
pub mod datagen;
pub mod file_stream;
pub mod lenses;
mod letters;
pub mod tools;
#[cfg(test)]
mod worlds;
