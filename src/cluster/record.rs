//! A record of an internal topic, as it is written.

use serde::Serialize;

use super::json;

/// A record of an internal topic, without headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` deletes the key.
    pub value: Option<Vec<u8>>,
}

impl Record {
    pub(super) fn new(key: String, value: &impl Serialize) -> Self {
        Self { key: key.into_bytes(), value: Some(json::to_bytes(value)) }
    }

    pub(super) fn tombstone(key: String) -> Self {
        Self { key: key.into_bytes(), value: None }
    }
}
