//! Placeholder.

use super::Wire;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "string",
    aliases: &[],
    doc: "",
    registry: false,
    build: |_, _, _| Err(super::ConvertError::Config { key: String::new(), message: String::new() }),
};
