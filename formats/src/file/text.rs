//! A file that is rows of bytes one after the other, plain or gzipped: what JSON lines and raw bytes have in common.
//!
//! Parts: [`compression`], the settings `<store>.compression.type` and `.level`; [`TextFile`], which takes rows in and hands finished bytes out.
//!
//! Guarantee: every byte comes out once, in order; a gzip stream is one member, whatever the rows were handed in as.

use std::fmt;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{FileStats, FormatError, Options};

/// Prefixes of the compression settings, by store.
const STORES: [&str; 3] = ["s3", "gcs", "az"];

/// Text that is collected before it is compressed; also about what a deflate stream holds.
const CHUNK_BYTES: usize = 256 * 1024;

/// The level of gzip that the settings ask for; none for plain files.
pub(super) fn compression(options: &Options) -> Result<Option<Compression>, FormatError> {
    let config = |key: &str, message: &str| Err(FormatError::Config { key: key.to_owned(), message: message.to_owned() });
    let mut gzip = None;
    for store in STORES {
        let key = format!("{store}.compression.level");
        let level = match options.get(&key).map(|level| level.trim().parse::<i32>()) {
            None | Some(Ok(-1)) => Compression::default(),
            Some(Ok(level @ 0..=9)) => Compression::new(level.unsigned_abs()),
            Some(Ok(i32::MIN..0)) => return config(&key, "Value must be at least -1"),
            Some(Ok(_)) => return config(&key, "Value must be no more than 9"),
            Some(Err(_)) => return config(&key, "Not a number of type INT"),
        };
        let key = format!("{store}.compression.type");
        match options.get(&key).map(|kind| kind.trim()) {
            None | Some("none") => {}
            Some("gzip") => gzip = Some(level),
            Some(_) => return config(&key, "Value must be one of: [none, gzip]"),
        }
    }
    Ok(gzip)
}

/// MIME type of a file of rows that is not compressed, or of gzip.
pub(super) fn content_type(gzip: Option<Compression>, plain: &'static str) -> &'static str {
    if gzip.is_some() { "application/gzip" } else { plain }
}

/// The rows of one file.
pub(super) struct TextFile {
    format: &'static str,
    output: Output,
    /// Rows that are not compressed yet.
    text: Vec<u8>,
    taken_bytes: u64,
    rows: u64,
}

/// The file's bytes, those that were taken left out.
enum Output {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl fmt::Debug for TextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextFile").field("format", &self.format).field("rows", &self.rows).field("taken_bytes", &self.taken_bytes).finish_non_exhaustive()
    }
}

impl TextFile {
    /// An empty file of that format.
    pub(super) fn new(format: &'static str, gzip: Option<Compression>) -> Self {
        let output = match gzip {
            None => Output::Plain(Vec::new()),
            Some(level) => Output::Gzip(Box::new(GzEncoder::new(Vec::new(), level))),
        };
        Self { format, output, text: Vec::new(), taken_bytes: 0, rows: 0 }
    }

    /// Adds `rows` rows, each appended by `put` with whatever ends it.
    pub(super) fn write(&mut self, rows: usize, mut put: impl FnMut(usize, &mut Vec<u8>)) -> Result<(), FormatError> {
        for row in 0..rows {
            match &mut self.output {
                Output::Plain(bytes) => put(row, bytes),
                Output::Gzip(_) => put(row, &mut self.text),
            }
            if self.text.len() >= CHUNK_BYTES {
                self.compress()?;
            }
        }
        self.rows += rows as u64;
        self.compress()
    }

    /// Compresses what is left of the text.
    fn compress(&mut self) -> Result<(), FormatError> {
        if let Output::Gzip(gzip) = &mut self.output {
            gzip.write_all(&self.text).map_err(|error| failed(self.format, &error))?;
            self.text.clear();
        }
        Ok(())
    }

    /// Finished bytes that were not taken.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        let bytes = std::mem::take(match &mut self.output {
            Output::Plain(bytes) => bytes,
            Output::Gzip(gzip) => gzip.get_mut(),
        });
        self.taken_bytes += bytes.len() as u64;
        whole(bytes)
    }

    /// Finished bytes so far, taken ones included.
    pub(super) fn encoded_bytes(&self) -> u64 {
        let waiting = match &self.output {
            Output::Plain(bytes) => bytes.len(),
            Output::Gzip(gzip) => gzip.get_ref().len(),
        };
        self.taken_bytes + waiting as u64
    }

    /// Heap that is held now.
    pub(super) fn memory_bytes(&self) -> u64 {
        let output = match &self.output {
            Output::Plain(bytes) => bytes.capacity(),
            Output::Gzip(gzip) => gzip.get_ref().capacity() + CHUNK_BYTES,
        };
        (output + self.text.capacity()) as u64
    }

    /// Ends the file: the bytes that were not taken, and what it holds.
    pub(super) fn finish(mut self) -> Result<(Vec<Bytes>, FileStats), FormatError> {
        self.compress()?;
        let bytes = match self.output {
            Output::Plain(bytes) => bytes,
            Output::Gzip(gzip) => gzip.finish().map_err(|error| failed(self.format, &error))?,
        };
        let stats = FileStats { rows: self.rows, bytes: self.taken_bytes + bytes.len() as u64, row_groups: 1 };
        Ok((whole(bytes), stats))
    }
}

fn whole(bytes: Vec<u8>) -> Vec<Bytes> {
    if bytes.is_empty() { Vec::new() } else { vec![bytes.into()] }
}

fn failed(format: &'static str, error: &impl fmt::Display) -> FormatError {
    FormatError::Encode { format, message: error.to_string() }
}
