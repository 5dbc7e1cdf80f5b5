//! Apache Kafka's connectors for tests of workers: `org.apache.kafka.connect.tools`.
//!
//! Parts: [`mock`] fails when it is told to, [`verifiable`] says on standard output what it sends and receives, [`schema_source`] sends structs; [`pace`] is how
//! fast they do.

use std::io::Write;

pub mod mock;
mod pace;
pub mod schema_source;
pub mod verifiable;

pub use mock::{MOCK_SINK, MOCK_SOURCE};
pub use schema_source::SchemaSource;
pub use verifiable::{VerifiableSink, VerifiableSource};

/// Prints lines on standard output, where those who test read them.
fn print(lines: &[u8]) {
    // Nobody may be reading any more; then there is nobody to tell.
    std::io::stdout().lock().write_all(lines).ok();
}

/// A setting that has to be a number.
fn number<T: std::str::FromStr>(props: &crate::connect::Props, task: &str, key: &str, default: Option<&str>) -> Result<T, crate::connect::TaskError> {
    let text = props.get(key).map(|text| text.trim()).or(default);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let message = format!("Invalid {task} configuration: {key}={} is not a number", text.unwrap_or("(missing)"));
        crate::connect::TaskError::new(crate::connect::ErrorKind::BadConfig, message)
    })
}

/// The text of a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
