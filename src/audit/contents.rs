//! What is inside an object: the footer of a Parquet file, and the rows of files that say nothing about themselves.

use std::io::Write;
use std::ops::Range;

use flate2::write::MultiGzDecoder;
use futures::StreamExt as _;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::AuditError;
use crate::store::read::ObjectReader;

/// Bytes from the end of a Parquet file that are read at first: more than most footers have.
const TAIL_BYTES: u64 = 32 << 10;

/// Longest header of an Avro file: a schema is in it.
const MOST_HEADER_BYTES: usize = 16 << 20;

/// How the rows of an object are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Rows are counted in the footer.
    Parquet,
    /// Rows are counted in front of each block.
    Avro,
    /// A row is a line.
    Lines,
    /// The same, compressed.
    GzipLines,
    /// Rows cannot be told apart from outside.
    Other,
}

impl Format {
    /// The format that the end of a name says.
    pub(super) fn of(key: &str) -> Self {
        let ends = |end| key.ends_with(end);
        match () {
            () if ends(".parquet") => Self::Parquet,
            () if ends(".avro") => Self::Avro,
            () if ends(".json") || ends(".jsonl") => Self::Lines,
            () if ends(".json.gz") || ends(".jsonl.gz") => Self::GzipLines,
            () => Self::Other,
        }
    }
}

/// What the footer of a Parquet file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Footer {
    /// Its key-value metadata.
    pub(super) labels: Vec<(String, String)>,
    /// Rows of each row group.
    pub(super) row_groups: Vec<u64>,
}

impl Footer {
    /// Rows of the file.
    pub(super) fn rows(&self) -> u64 {
        self.row_groups.iter().sum()
    }

    fn of(parsed: &ParquetMetaData) -> Self {
        let labels = parsed.file_metadata().key_value_metadata().into_iter().flatten();
        let labels = labels.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect();
        let row_groups = parsed.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).collect();
        Self { labels, row_groups }
    }
}

/// Reads the footer of a Parquet file of that size; `None` when the object is gone.
pub(super) async fn footer(reader: &dyn ObjectReader, key: &str, size: u64) -> Result<Option<Footer>, AuditError> {
    let unreadable = |why: &dyn std::fmt::Display| AuditError::Object { key: reader.name(key), why: format!("its Parquet footer cannot be read: {why}") };
    let (mut size, mut wanted) = (size, TAIL_BYTES);
    loop {
        let range: Range<u64> = size.saturating_sub(wanted)..size;
        if range.is_empty() {
            return Err(unreadable(&"it is empty"));
        }
        let Some(seen) = reader.read(key, range).await? else { return Ok(None) };
        if seen.size != size {
            size = seen.size; // it was replaced since it was listed
            continue;
        }
        let mut parser = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
        match parser.try_parse_sized(&seen.bytes, size) {
            Ok(()) => return parser.finish().map(|parsed| Some(Footer::of(&parsed))).map_err(|error| unreadable(&error)),
            Err(ParquetError::NeedMoreData(more)) if wanted < size => wanted = u64::try_from(more).unwrap_or(size).max(wanted.saturating_mul(2)).min(size),
            Err(error) => return Err(unreadable(&error)),
        }
    }
}

/// Counts the rows of an object by reading it; `None` when it is gone, or its rows cannot be told apart.
pub(super) async fn count(reader: &dyn ObjectReader, key: &str, size: u64) -> Result<Option<u64>, AuditError> {
    let mut counter: Box<dyn Counter> = match Format::of(key) {
        Format::Parquet => return Ok(footer(reader, key, size).await?.map(|footer| footer.rows())),
        Format::Avro => Box::new(AvroRows::default()),
        Format::Lines => Box::new(Lines::default()),
        Format::GzipLines => Box::new(MultiGzDecoder::new(Lines::default())),
        Format::Other => return Ok(None),
    };
    let uncountable = |error: std::io::Error| AuditError::Object { key: reader.name(key), why: format!("its rows cannot be counted: {error}") };
    let Some(mut bytes) = reader.stream(key).await? else { return Ok(None) };
    while let Some(piece) = bytes.next().await {
        counter.write_all(&piece?).map_err(uncountable)?;
    }
    counter.rows().map(Some).map_err(uncountable)
}

/// Counts rows in the bytes that are written to it.
trait Counter: Write + Send {
    /// The rows, when all bytes were written.
    fn rows(&mut self) -> std::io::Result<u64>;
}

/// Lines; the last one may lack its end.
#[derive(Debug, Default)]
struct Lines {
    ended: u64,
    is_in_line: bool,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.ended += bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.is_in_line = bytes.last().map_or(self.is_in_line, |last| *last != b'\n');
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Counter for Lines {
    fn rows(&mut self) -> std::io::Result<u64> {
        Ok(self.ended + u64::from(self.is_in_line))
    }
}

impl Counter for MultiGzDecoder<Lines> {
    fn rows(&mut self) -> std::io::Result<u64> {
        self.try_finish()?;
        self.get_mut().rows()
    }
}

/// Blocks of an Avro object container file: a count, a length, bytes, and the file's mark.
#[derive(Debug, Default)]
struct AvroRows {
    rows: u64,
    /// Known once the header was read.
    mark: Option<[u8; 16]>,
    next: Next,
    /// Bytes that begin something whose end has not come.
    waiting: Vec<u8>,
}

/// What comes next in an Avro file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    #[default]
    Header,
    Block,
    /// That many bytes of the block.
    Body(u64),
    Mark,
}

impl AvroRows {
    /// Takes the next thing; `None` when its end has not come.
    fn step(&mut self, rest: &mut &[u8]) -> std::io::Result<Option<()>> {
        match self.next {
            Next::Header => {
                let Some(mark) = header(rest)? else { return Ok(None) };
                (self.mark, self.next) = (Some(mark), Next::Block);
            }
            Next::Block => {
                let (Some(rows), Some(length)) = (number(rest)?, number(rest)?) else { return Ok(None) };
                let (Ok(rows), Ok(length)) = (u64::try_from(rows), u64::try_from(length)) else { return Err(invalid("a block has a negative length")) };
                self.rows = self.rows.checked_add(rows).ok_or_else(|| invalid("it has more rows than can be counted"))?;
                self.next = Next::Body(length);
            }
            Next::Body(0) => self.next = Next::Mark,
            Next::Body(length) => {
                let taken = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                *rest = rest.get(taken..).unwrap_or_default();
                self.next = Next::Body(length - taken as u64);
                return Ok((taken > 0).then_some(()));
            }
            Next::Mark => {
                let Some((mark, after)) = rest.split_first_chunk::<16>() else { return Ok(None) };
                if self.mark != Some(*mark) {
                    return Err(invalid("a block does not end in the file's mark"));
                }
                (*rest, self.next) = (after, Next::Block);
            }
        }
        Ok(Some(()))
    }
}

impl Write for AvroRows {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let joined;
        let mut rest = bytes;
        if !self.waiting.is_empty() {
            self.waiting.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.waiting);
            rest = &joined;
        }
        while !rest.is_empty() {
            let before = rest;
            if self.step(&mut rest)?.is_none() {
                rest = before;
                break;
            }
        }
        if rest.len() > MOST_HEADER_BYTES {
            return Err(invalid("its header does not end"));
        }
        self.waiting = rest.to_vec();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Counter for AvroRows {
    fn rows(&mut self) -> std::io::Result<u64> {
        if self.next != Next::Block || !self.waiting.is_empty() {
            return Err(invalid("it ends in the middle of a block"));
        }
        Ok(self.rows)
    }
}

fn invalid(why: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why)
}

/// Reads an Avro file's header: four bytes, a map of texts to bytes, and the mark. `None` when more bytes are needed.
fn header(rest: &mut &[u8]) -> std::io::Result<Option<[u8; 16]>> {
    let Some((magic, after)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    if magic != b"Obj\x01" {
        return Err(invalid("it is no Avro file"));
    }
    *rest = after;
    loop {
        let Some(mut pairs) = number(rest)? else { return Ok(None) };
        if pairs == 0 {
            break;
        }
        if pairs < 0 {
            // A negative count is followed by the length of the pairs in bytes.
            let (Some(_), Some(positive)) = (number(rest)?, pairs.checked_neg()) else { return Ok(None) };
            pairs = positive;
        }
        for _ in 0..pairs.saturating_mul(2) {
            let Some(length) = number(rest)? else { return Ok(None) };
            let length = usize::try_from(length).map_err(|_| invalid("its header has a negative length"))?;
            let Some(after) = rest.get(length..) else { return Ok(None) };
            *rest = after;
        }
    }
    let Some((mark, after)) = rest.split_first_chunk::<16>() else { return Ok(None) };
    *rest = after;
    Ok(Some(*mark))
}

/// Reads a zigzag number; `None` when more bytes are needed.
fn number(rest: &mut &[u8]) -> std::io::Result<Option<i64>> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let Some((byte, after)) = rest.split_first() else { return Ok(None) };
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed())));
        }
    }
    Err(invalid("it has a number of more than 64 bits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds bytes in pieces of these lengths.
    fn fed(mut counter: impl Counter, bytes: &[u8], piece: usize) -> std::io::Result<u64> {
        bytes.chunks(piece.max(1)).try_for_each(|piece| counter.write_all(piece))?;
        counter.rows()
    }

    fn long(number: i64) -> Vec<u8> {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        let mut out = Vec::new();
        while rest > 0x7f {
            out.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        out.push(rest.to_le_bytes()[0]);
        out
    }

    /// A file whose blocks have so many rows, of so many bytes.
    fn avro(blocks: &[(i64, usize)], has_sized_map: bool) -> Vec<u8> {
        let pair = [long(11), b"avro.schema".to_vec(), long(6), b"\"long\"".to_vec()].concat();
        let map = if has_sized_map { [long(-1), long(pair.len() as i64), pair].concat() } else { [long(1), pair].concat() };
        let mut file = [b"Obj\x01".to_vec(), map, long(0), vec![7; 16]].concat();
        for (rows, bytes) in blocks {
            file.extend([long(*rows), long(*bytes as i64), vec![9; *bytes], vec![7; 16]].concat());
        }
        file
    }

    proptest! {
        #[test]
        fn rows_are_counted_however_the_bytes_come(
            blocks in prop::collection::vec((0_i64..1 << 40, 0_usize..300), 0..8),
            has_sized_map in any::<bool>(),
            piece in 1_usize..400,
            lines in prop::collection::vec("[a-z]{0,5}", 0..20),
        ) {
            let rows: i64 = blocks.iter().map(|(rows, _)| rows).sum();
            prop_assert_eq!(fed(AvroRows::default(), &avro(&blocks, has_sized_map), piece).unwrap(), rows.cast_unsigned());
            let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            prop_assert_eq!(fed(Lines::default(), text.as_bytes(), piece).unwrap(), lines.len() as u64);
        }

        #[test]
        fn a_file_that_was_cut_is_refused(cut in 1_usize..170, piece in 1_usize..64) {
            let file = avro(&[(3, 40), (4, 40)], false);
            prop_assume!(cut < file.len());
            let block = long(3).len() + long(40).len() + 40 + 16;
            prop_assert_eq!(fed(AvroRows::default(), &file[..file.len() - cut], piece).is_ok(), cut % block == 0 && cut <= 2 * block);
        }

        #[test]
        fn any_bytes_are_counted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..64) {
            let with_magic = [b"Obj\x01", bytes.as_slice()].concat();
            for bytes in [bytes, with_magic] {
                drop(fed(AvroRows::default(), &bytes, piece));
                drop(fed(MultiGzDecoder::new(Lines::default()), &bytes, piece));
            }
        }
    }

    #[test]
    fn what_avro_files_must_not_have_is_told() {
        let mut marked = avro(&[(3, 4)], false);
        *marked.last_mut().unwrap() = 8;
        for (bytes, why) in [
            (marked, "a block does not end in the file's mark"),
            (avro(&[(-3, 4)], false), "a block has a negative length"),
            (b"PAR1".to_vec(), "it is no Avro file"),
            ([b"Obj\x01".to_vec(), vec![0xff; 11]].concat(), "it has a number of more than 64 bits"),
            (b"Obj".to_vec(), "it ends in the middle of a block"),
        ] {
            assert_eq!(fed(AvroRows::default(), &bytes, 5).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn formats_are_told_by_the_end_of_names() {
        for (key, format) in [
            ("a/t+0+0.snappy.parquet", Format::Parquet),
            ("t+0+0.keys.avro", Format::Avro),
            ("t+0+0.json", Format::Lines),
            ("t-0-0.jsonl.gz", Format::GzipLines),
            ("t+0+0.json.zst", Format::Other),
            ("t+0+0.bin", Format::Other),
            ("parquet", Format::Other),
        ] {
            assert_eq!(Format::of(key), format, "{key}");
        }
    }
}
