//! The settings of Parquet files: the connector's keys, read and checked.
//!
//! `parquet.codec` is upstream's, and so are those that change the Avro schema through which upstream writes Parquet; the rest are ours, with defaults that
//! suit object stores and common readers.
//!
//! Guarantee: a value that is not taken is refused with its key and with what is taken.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, Type as Physical, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};

use super::message::{Form, Lists, Message};
use crate::file::{FormatError, Options, avro};

/// The codec; upstream's key.
const CODEC: &str = "parquet.codec";
/// How hard gzip, zstd and brotli try.
const LEVEL: &str = "lakehead.parquet.compression.level";
/// The form of lists.
const LISTS: &str = "lakehead.parquet.lists";
/// Bytes of a data page, before compression.
const PAGE_BYTES: &str = "lakehead.parquet.page.bytes";
/// Rows of a data page.
const PAGE_ROWS: &str = "lakehead.parquet.page.rows";
/// Which columns get a dictionary.
const DICTIONARY: &str = "lakehead.parquet.dictionary";
/// Bytes after which a column's dictionary is given up.
const DICTIONARY_BYTES: &str = "lakehead.parquet.dictionary.page.bytes";
/// Smallest and largest values: of what.
const STATISTICS: &str = "lakehead.parquet.statistics";
/// The fields that get a bloom filter.
const BLOOM_COLUMNS: &str = "lakehead.parquet.bloom.filter.columns";
/// How often a bloom filter says yes to a value that is not there.
const BLOOM_FPP: &str = "lakehead.parquet.bloom.filter.fpp";
/// Version of data pages and encodings.
const WRITER_VERSION: &str = "lakehead.parquet.writer.version";
/// Rows of a row group.
const GROUP_ROWS: &str = "lakehead.parquet.row.group.rows";

/// The largest number that a size or a count may have.
const MOST: usize = 1 << 30;

/// The codecs that are taken, as upstream calls them: all of its own but lzo.
const CODECS: &str = "none, snappy, gzip, brotli, lz4, zstd, lz4_raw";

/// Which columns get a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dictionary {
    /// Those that it suits.
    Auto,
    /// All, as upstream.
    Always,
    /// None; numbers may still be packed as differences.
    Never,
}

/// The settings of a format's files.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) compression: Compression,
    /// The end of the objects' names.
    pub(super) extension: &'static str,
    pub(super) form: Form,
    pub(super) dictionary: Dictionary,
    /// Bytes after which the writer gives a column's dictionary up.
    pub(super) dictionary_bytes: usize,
    page_bytes: usize,
    page_rows: usize,
    statistics: EnabledStatistics,
    bloom_columns: Vec<String>,
    bloom_fpp: f64,
    version: WriterVersion,
    /// Rows after which a row group ends; none when only the caller says where.
    pub(super) group_rows: Option<usize>,
}

impl Settings {
    /// Reads the connector's keys.
    ///
    /// # Errors
    /// [`FormatError::Config`] with the first key whose value is not taken.
    pub(super) fn from_options(options: &Options) -> Result<Self, FormatError> {
        let (compression, extension) = codec(options)?;
        Ok(Self {
            compression,
            extension,
            form: Form { lists: choice(options, LISTS, &[("upstream", Lists::Upstream), ("three-level", Lists::ThreeLevel)])?, rules: avro::rules(options)? },
            dictionary: choice(options, DICTIONARY, &[("auto", Dictionary::Auto), ("always", Dictionary::Always), ("never", Dictionary::Never)])?,
            page_bytes: number(options, PAGE_BYTES, 1024..=MOST)?.unwrap_or(1 << 20),
            page_rows: number(options, PAGE_ROWS, 1..=MOST)?.unwrap_or(20_000),
            dictionary_bytes: number(options, DICTIONARY_BYTES, 1024..=MOST)?.unwrap_or(1 << 20),
            statistics: choice(
                options,
                STATISTICS,
                &[("page", EnabledStatistics::Page), ("chunk", EnabledStatistics::Chunk), ("none", EnabledStatistics::None)],
            )?,
            bloom_columns: given(options, BLOOM_COLUMNS).into_iter().flat_map(|text| text.split(',')).map(|name| name.trim().to_owned()).collect(),
            bloom_fpp: probability(options)?,
            version: choice(options, WRITER_VERSION, &[("1", WriterVersion::PARQUET_1_0), ("2", WriterVersion::PARQUET_2_0)])?,
            group_rows: number(options, GROUP_ROWS, 1..=MOST)?,
        })
    }

    /// The writer's properties for a file of that schema, encodings aside.
    pub(super) fn properties(&self, message: &Message) -> WriterPropertiesBuilder {
        let mut properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_writer_version(self.version)
            .set_data_page_size_limit(self.page_bytes)
            .set_data_page_row_count_limit(self.page_rows)
            .set_dictionary_page_size_limit(self.dictionary_bytes)
            .set_statistics_enabled(self.statistics)
            .set_max_row_group_row_count(self.group_rows)
            .set_coerce_types(true);
        for (name, column) in message.names.iter().zip(message.schema.columns()) {
            // Pages of version 2 would have decimals as differences of bytes, which not every reader knows.
            if column.physical_type() == Physical::FIXED_LEN_BYTE_ARRAY {
                properties = properties.set_column_encoding(column.path().clone(), Encoding::PLAIN);
            }
            // The format's specification has no filters for booleans.
            if column.physical_type() != Physical::BOOLEAN && self.bloom_columns.contains(name) {
                properties = properties.set_column_bloom_filter_fpp(column.path().clone(), self.bloom_fpp);
                if let Some(rows) = self.group_rows {
                    properties = properties.set_column_bloom_filter_max_ndv(column.path().clone(), u64::try_from(rows).unwrap_or(u64::MAX));
                }
            }
        }
        properties
    }
}

fn refuse(key: &str, message: String) -> FormatError {
    FormatError::Config { key: key.to_owned(), message }
}

/// The value of a key; a blank one counts as none.
fn given<'a>(options: &'a Options, key: &str) -> Option<&'a str> {
    options.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// The codec with its level, and the end of the objects' names.
fn codec(options: &Options) -> Result<(Compression, &'static str), FormatError> {
    let name = options.get(CODEC).map_or("snappy", |text| text.trim());
    let level = |most: u32| number(options, LEVEL, 0..=most);
    let leveled = |error: parquet::errors::ParquetError| refuse(LEVEL, error.to_string());
    let codec = match name {
        "none" => (Compression::UNCOMPRESSED, ".parquet"),
        "snappy" => (Compression::SNAPPY, ".snappy.parquet"),
        "lz4" => (Compression::LZ4, ".lz4hadoop.parquet"),
        "lz4_raw" => (Compression::LZ4_RAW, ".lz4raw.parquet"),
        "gzip" => (Compression::GZIP(level(9)?.map_or_else(|| Ok(GzipLevel::default()), GzipLevel::try_new).map_err(leveled)?), ".gz.parquet"),
        "brotli" => (Compression::BROTLI(level(11)?.map_or_else(|| Ok(BrotliLevel::default()), BrotliLevel::try_new).map_err(leveled)?), ".br.parquet"),
        "zstd" => {
            let level = number(options, LEVEL, 1..=22)?;
            (Compression::ZSTD(level.map_or_else(|| Ok(ZstdLevel::default()), ZstdLevel::try_new).map_err(leveled)?), ".zstd.parquet")
        }
        "lzo" => return Err(refuse(CODEC, format!("lzo has no implementation under a free license. Value must be one of: [{CODECS}]"))),
        _ => return Err(refuse(CODEC, format!("Value must be one of: [{CODECS}]"))),
    };
    if given(options, LEVEL).is_some() && !matches!(name, "gzip" | "brotli" | "zstd") {
        return Err(refuse(LEVEL, format!("{CODEC}={name} has no levels: remove the key, or set {CODEC} to gzip, brotli or zstd")));
    }
    Ok(codec)
}

/// One of several words; the first is the default.
fn choice<T: Copy>(options: &Options, key: &str, words: &[(&str, T)]) -> Result<T, FormatError> {
    let name = given(options, key);
    let found = words.iter().find(|(word, _)| name.is_none_or(|name| name == *word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let taken: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        refuse(key, format!("Value must be one of: [{}]", taken.join(", ")))
    })
}

fn number<T: FromStr + PartialOrd + Display>(options: &Options, key: &str, taken: RangeInclusive<T>) -> Result<Option<T>, FormatError> {
    let Some(text) = given(options, key) else { return Ok(None) };
    match text.parse() {
        Ok(number) if taken.contains(&number) => Ok(Some(number)),
        _ => Err(refuse(key, format!("Value must be a whole number from {} to {}", taken.start(), taken.end()))),
    }
}

fn probability(options: &Options) -> Result<f64, FormatError> {
    let Some(text) = given(options, BLOOM_FPP) else { return Ok(0.01) };
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err(refuse(BLOOM_FPP, "Value must be a number above 0 and below 1".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<Settings, String> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::from_options(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn codecs_have_upstreams_names_and_extensions() {
        for (name, compression, extension) in [
            ("none", Compression::UNCOMPRESSED, ".parquet"),
            ("snappy", Compression::SNAPPY, ".snappy.parquet"),
            (" gzip ", Compression::GZIP(GzipLevel::default()), ".gz.parquet"),
            ("brotli", Compression::BROTLI(BrotliLevel::default()), ".br.parquet"),
            ("lz4", Compression::LZ4, ".lz4hadoop.parquet"),
            ("zstd", Compression::ZSTD(ZstdLevel::default()), ".zstd.parquet"),
            ("lz4_raw", Compression::LZ4_RAW, ".lz4raw.parquet"),
        ] {
            let settings = read(&[(CODEC, name)]).unwrap();
            assert_eq!((settings.compression, settings.extension), (compression, extension), "{name}");
        }
        assert_eq!(read(&[]).unwrap().extension, ".snappy.parquet");
        for name in ["uncompressed", "SNAPPY", "Zstd", "lz4raw", ""] {
            assert_eq!(read(&[(CODEC, name)]).unwrap_err(), format!("parquet.codec: Value must be one of: [{CODECS}]"), "{name}");
        }
        assert_eq!(
            read(&[(CODEC, "lzo")]).unwrap_err(),
            format!("parquet.codec: lzo has no implementation under a free license. Value must be one of: [{CODECS}]")
        );
    }

    #[test]
    fn levels_belong_to_codecs_that_have_them() {
        let with = |codec, level| read(&[(CODEC, codec), (LEVEL, level)]).map(|settings| settings.compression);
        assert_eq!(with("gzip", "9"), Ok(Compression::GZIP(GzipLevel::try_new(9).unwrap())));
        assert_eq!(with("zstd", "22"), Ok(Compression::ZSTD(ZstdLevel::try_new(22).unwrap())));
        assert_eq!(with("brotli", "0"), Ok(Compression::BROTLI(BrotliLevel::try_new(0).unwrap())));
        assert_eq!(with("gzip", " "), Ok(Compression::GZIP(GzipLevel::default())));
        for (codec, level, error) in [
            ("gzip", "10", "Value must be a whole number from 0 to 9"),
            ("zstd", "0", "Value must be a whole number from 1 to 22"),
            ("brotli", "fast", "Value must be a whole number from 0 to 11"),
            ("snappy", "1", "parquet.codec=snappy has no levels: remove the key, or set parquet.codec to gzip, brotli or zstd"),
        ] {
            assert_eq!(with(codec, level), Err(format!("{LEVEL}: {error}")), "{codec} {level}");
        }
    }

    #[test]
    fn values_that_are_not_taken_are_refused_with_what_is() {
        for (key, value, error) in [
            (LISTS, "two-level", "Value must be one of: [upstream, three-level]"),
            (DICTIONARY, "true", "Value must be one of: [auto, always, never]"),
            (STATISTICS, "column", "Value must be one of: [page, chunk, none]"),
            (WRITER_VERSION, "3", "Value must be one of: [1, 2]"),
            (PAGE_BYTES, "1023", "Value must be a whole number from 1024 to 1073741824"),
            (PAGE_ROWS, "0", "Value must be a whole number from 1 to 1073741824"),
            (DICTIONARY_BYTES, "1MiB", "Value must be a whole number from 1024 to 1073741824"),
            (GROUP_ROWS, "-1", "Value must be a whole number from 1 to 1073741824"),
            (BLOOM_FPP, "1", "Value must be a number above 0 and below 1"),
            (BLOOM_FPP, "NaN", "Value must be a number above 0 and below 1"),
        ] {
            assert_eq!(read(&[(key, value)]).unwrap_err(), format!("{key}: {error}"), "{value}");
        }
    }
}
