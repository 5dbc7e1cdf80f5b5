//! Placeholder.

use super::File;

/// Registration.
pub(super) const FILE: File =
    File { name: "json", aliases: &[], doc: "", build: |_| Err(super::FormatError::Config { key: String::new(), message: String::new() }) };
