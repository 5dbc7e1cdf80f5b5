//! Converters in the writing direction: columns → the payload bytes of Kafka records.
//!
//! A [`PayloadWriter`] stands for `Converter#fromConnectData`, over a column. What source connectors produce goes through one for its keys and one for its
//! values. A value that has no such payload is a [`Reject`], never an error.
//!
//! | a null | payload |
//! |---|---|
//! | in a column of type Null, or of JSON text: no schema | none: a tombstone |
//! | under a schema | what the converter writes for it |
//!
//! Parts: one file for each converter (the number ones share one), `simple` for headers, [`mod@text`] for values as Java prints them. A new converter is one
//! file here and one line in [`WRITERS`].

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::BinaryArray;

use crate::column::{Column, Reject};
use crate::wire::ConvertError;

mod bytes;
mod json;
mod numbers;
mod simple;
mod string;
pub mod text;

/// The converter's own settings: the connector's `value.converter.*` (or `key.converter.*`) with that prefix cut off, on top of the worker's.
pub type Options = BTreeMap<String, String>;

/// Columns → payloads.
pub trait PayloadWriter: fmt::Debug + Send {
    /// A payload for each row; none where the row was rejected, too.
    fn write(&mut self, column: &Column) -> Payloads;
}

/// What [`PayloadWriter::write`] returns.
#[derive(Debug)]
pub struct Payloads {
    /// A payload for each row; null: none.
    pub payloads: BinaryArray,
    /// Rows that have none because they could not be written, ascending.
    pub rejects: Vec<Reject>,
}

impl Payloads {
    /// No row can be written, for the same reason.
    fn none(rows: usize, reason: &str) -> Self {
        let rejects = (0..rows).map(|row| Reject { row, reason: reason.to_owned() }).collect();
        Self { payloads: BinaryArray::new_null(rows), rejects }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Writer {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations.
    pub aliases: &'static [&'static str],
    /// Checks the settings and builds the converter.
    pub build: fn(&Options) -> Result<Box<dyn PayloadWriter>, ConvertError>,
}

/// Every converter that writes: the registration lines.
pub static WRITERS: &[Writer] =
    &[bytes::WRITER, json::WRITER, string::WRITER, numbers::BOOLEAN, numbers::SHORT, numbers::INTEGER, numbers::LONG, numbers::FLOAT, numbers::DOUBLE];

/// The converter of that short name or class name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Writer> {
    WRITERS.iter().find(|writer| writer.name == name || writer.aliases.contains(&name))
}

/// Every converter of headers: all others, and `SimpleHeaderConverter`, which is nothing else.
pub fn for_headers() -> impl Iterator<Item = &'static Writer> {
    static SIMPLE: Writer = simple::WRITER;
    std::iter::once(&SIMPLE).chain(WRITERS)
}

/// The converter of headers of that short name or class name.
#[must_use]
pub fn find_for_headers(name: &str) -> Option<&'static Writer> {
    for_headers().find(|writer| writer.name == name || writer.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn whoever_writes_reads_too_under_the_same_names() {
        for writer in WRITERS {
            let reader = wire::find(writer.name).expect(writer.name);
            assert_eq!(reader.aliases, writer.aliases);
            assert_eq!(find_for_headers(writer.name).map(|found| found.name), Some(writer.name));
        }
        assert!(find("SimpleHeaderConverter").is_none() && find_for_headers("SimpleHeaderConverter").is_some());
    }
}
