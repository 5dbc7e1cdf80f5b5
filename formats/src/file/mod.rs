//! File formats: columns → the bytes of one file.
//!
//! A [`FileFormat`] makes an [`Encoder`] for one file under one schema. Rows reach an encoder a row group at a time (the caller holds them as
//! Arrow until then, which costs a third of the memory of an open Parquet writer), and finished bytes are taken out as they come, so that they
//! can be uploaded before the file ends. An encoder never touches a store.
//!
//! Beside the values, keys and headers can have files of their own: [`keys_view`] and [`headers_view`] are their columns.
//!
//! A new format is one file here and one line in [`FILES`].

use std::collections::BTreeMap;
use std::fmt;

use ::bytes::Bytes;
use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

mod aiven;
pub mod avro;
pub mod bytes;
pub mod json;
pub mod parquet;
mod text;
mod views;

pub use aiven::{RecordCompression, RecordFile, RecordLayout};
pub use views::{View, headers_view, keys_view, unusable_headers};

/// A format's own settings: connector keys with their upstream spelling (`parquet.codec`, `avro.codec`, `s3.compression.type`, …).
pub type Options = BTreeMap<String, String>;

/// One file format with its settings.
pub trait FileFormat: fmt::Debug + Send + Sync {
    /// End of the object's name, with the leading dot, as upstream: `.snappy.parquet`, `.json.gz`, `.avro`.
    fn extension(&self) -> &str;

    /// MIME type of the object.
    fn content_type(&self) -> &'static str;

    /// True when a file needs one typed struct for its rows (Parquet); false when any column can be written (JSON, Avro).
    fn needs_columns(&self) -> bool;

    /// True when `s3.compression.type` and its siblings act on the files (JSON, bytes); the other formats have codecs of their own.
    fn gzips(&self) -> bool {
        false
    }

    /// True when a file of that view holds a record around each key or list of headers: see [`keys_view`] and [`headers_view`].
    fn envelops(&self, _view: View) -> bool {
        false
    }

    /// True when an encoder of this format takes rows of a wider schema in the middle of a file ([`Encoder::widen`]): nothing at the file's start says what its rows are.
    fn widens(&self) -> bool {
        false
    }

    /// Starts a file whose rows all have this field's type. Nothing of the field is repeated in later calls.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] when the format cannot hold the type.
    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError>;
}

/// The writer of one file.
pub trait Encoder: Send {
    /// Adds rows to the current row group. The array has the type of the field that the encoder was made for.
    ///
    /// # Errors
    /// [`FormatError`]; the encoder must not be used after it.
    fn write(&mut self, rows: &ArrayRef) -> Result<(), FormatError>;

    /// Rows have this type from now on; only of formats that [widen](FileFormat::widens).
    ///
    /// # Errors
    /// [`FormatError`] when the schema of a file stands once it was begun.
    fn widen(&mut self, _field: &FieldRef) -> Result<(), FormatError> {
        Err(FormatError::Encode { format: "file", message: "rows of a wider schema came to a file whose schema stands".to_owned() })
    }

    /// Ends the current row group (Parquet row group, Avro block, gzip sync-free for JSON); a no-op when it is empty.
    ///
    /// # Errors
    /// [`FormatError`]; the encoder must not be used after it.
    fn flush(&mut self) -> Result<(), FormatError>;

    /// Bytes of the file that will not change any more, in order, each byte once: ready to upload.
    fn take(&mut self) -> Vec<Bytes>;

    /// Bytes of the file so far, taken ones included, the current row group left out.
    fn encoded_bytes(&self) -> u64;

    /// Heap that the encoder holds now.
    fn memory_bytes(&self) -> u64;

    /// Ends the file: the rest of its bytes, and what it holds. `footer` goes where the format has a place for it after the rows (Parquet's key-value
    /// metadata) and is left out otherwise.
    ///
    /// # Errors
    /// [`FormatError`].
    fn finish(self: Box<Self>, footer: &[(String, String)]) -> Result<(Vec<Bytes>, FileStats), FormatError>;
}

/// What a finished file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStats {
    /// Rows.
    pub rows: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Row groups (Parquet), blocks (Avro), 1 for formats without such a thing.
    pub row_groups: u64,
}

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A setting has a value that the format does not take.
    #[error("{key}: {message}")]
    Config {
        /// The connector's key.
        key: String,
        /// What is wrong, and which values are taken.
        message: String,
    },
    /// The format has no form for this type.
    #[error("{format} cannot hold {what}: {hint}")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// The type, with the field's path.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The format's library refused the rows.
    #[error("{format}: {message}")]
    Encode {
        /// The format's name.
        format: &'static str,
        /// The library's words.
        message: String,
    },
}

/// One line of the formats' table.
#[derive(Debug)]
pub struct File {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations.
    pub aliases: &'static [&'static str],
    /// One sentence for the reference docs.
    pub doc: &'static str,
    /// Checks the settings and builds the format.
    pub build: fn(&Options) -> Result<Box<dyn FileFormat>, FormatError>,
}

/// Every file format: the registration lines.
pub static FILES: &[File] = &[avro::FILE, bytes::FILE, json::FILE, parquet::FILE];

/// The format of that short name or class name.
#[must_use]
pub fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|f| f.name == name || f.aliases.contains(&name))
}
