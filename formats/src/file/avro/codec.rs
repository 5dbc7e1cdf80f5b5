//! The codecs of Avro's blocks that `avro.codec` takes (Avro 1.12 specification, "Required Codecs" and "Optional Codecs").

use std::io::{self, Read};

use flate2::Compression;

use super::rows::{put_bytes, put_long};

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Not at all.
    Null,
    /// RFC 1951, without zlib's frame.
    Deflate,
    /// Snappy's raw form, then the CRC-32 of the rows, big endian.
    Snappy,
    /// bzip2.
    Bzip2,
}

impl Codec {
    const ALL: [Self; 4] = [Self::Null, Self::Deflate, Self::Snappy, Self::Bzip2];

    /// The codec of that name, in lower case.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The name in a file's header.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Bzip2 => "bzip2",
        }
    }

    /// Writes the rows of a block: their length as they are stored, then the bytes.
    pub(super) fn put(self, rows: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let mut packed = Vec::new();
        match self {
            Self::Null => {
                put_bytes(rows, out);
                return Ok(());
            }
            Self::Deflate => {
                flate2::read::DeflateEncoder::new(rows, Compression::default()).read_to_end(&mut packed)?;
            }
            Self::Snappy => {
                packed = snap::raw::Encoder::new().compress_vec(rows).map_err(io::Error::other)?;
                let mut crc = flate2::Crc::new();
                crc.update(rows);
                put_long(i64::try_from(packed.len() + 4).map_err(io::Error::other)?, out);
                out.extend_from_slice(&packed);
                out.extend_from_slice(&crc.sum().to_be_bytes());
                return Ok(());
            }
            Self::Bzip2 => {
                bzip2::read::BzEncoder::new(rows, bzip2::Compression::best()).read_to_end(&mut packed)?;
            }
        }
        put_bytes(&packed, out);
        Ok(())
    }
}
