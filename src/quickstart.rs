//! Placeholder.

/// The sample records.
pub mod orders;
