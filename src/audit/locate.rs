//! `lakehead locate`: which file, row group and row hold a record.

use std::io::Write;

use futures::stream::{self, StreamExt as _};
use serde::Serialize;

use super::contents::{self, Footer, Format};
use super::inventory::{self, File, Found, Kind, Labels};
use super::report::grouped;
use super::{AuditError, NO_ANSWER, Place, Scope};
use crate::batch::TopicPartition;
use crate::offsets::OffsetSet;
use crate::standalone::ExitError;
use crate::store::names;
use crate::store::read::{Listed, ObjectReader};

/// What the command takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// The record: orders/3@12345.
    #[arg(value_name = "TOPIC/PARTITION@OFFSET", value_parser = parse)]
    record: (TopicPartition, i64),
    #[command(flatten)]
    place: Place,
    /// Looks at every file that may hold it, also when it was found.
    #[arg(long)]
    all: bool,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// `orders/3@12345`; `orders-3@12345` as well, as Kafka prints topic partitions.
fn parse(text: &str) -> Result<(TopicPartition, i64), String> {
    let (partition, offset) = text.rsplit_once('@').ok_or("write TOPIC/PARTITION@OFFSET")?;
    // A topic may have a '-' in its name, and no '/'.
    let (topic, partition) = partition.split_once('/').or_else(|| partition.rsplit_once('-')).ok_or("write TOPIC/PARTITION@OFFSET")?;
    let partition = partition.parse().ok().filter(|partition| *partition >= 0).ok_or_else(|| format!("'{partition}' is no partition"))?;
    let offset = offset.parse().ok().filter(|offset| *offset >= 0).ok_or_else(|| format!("'{offset}' is no offset"))?;
    if topic.is_empty() { Err("the topic is missing".to_owned()) } else { Ok((TopicPartition::new(topic, partition), offset)) }
}

/// Exit code when a file may hold the record.
const PERHAPS: u8 = 2;

/// A file that holds the record, or may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Holder {
    file: String,
    /// The record's row, counted from 0; unknown where the file does not tell which offsets it leaves out.
    row: Option<u64>,
    /// The row group of a Parquet file, and the row in it, both counted from 0.
    row_group: Option<(usize, u64)>,
    /// Rows of the file; unknown where it says nothing.
    rows: Option<u64>,
    /// Its first offset, as far as its name or itself tells.
    start: i64,
    /// Its last offset, plus one.
    end: Option<i64>,
}

impl Holder {
    fn text(&self) -> String {
        let row = match (self.row, self.row_group) {
            (None, _) => "may hold it; the row is not known, because the file does not name its offsets one by one".to_owned(),
            (Some(row), None) => format!("row {row}"),
            (Some(row), Some((group, in_group))) => format!("row {row}: row {in_group} of row group {group}"),
        };
        let rows = self.rows.map(|rows| format!("; it has {} rows", grouped(rows))).unwrap_or_default();
        let end = self.end.map(|end| format!(" with the offsets {}..{end}", self.start)).unwrap_or_default();
        format!("  {}\n    {row}{rows}{end}\n", self.file)
    }
}

/// Finds the record, and prints where it is. Rows and row groups are counted from 0.
///
/// # Errors
/// [`ExitError`] with code 1 when no file holds it, 2 when one may, 3 when there is no answer.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), ExitError> {
    let Arguments { record: (from, offset), place, all, json } = arguments;
    let scope = Scope { topics: [from.topic.to_string()].into(), ..Scope::of(place) };
    let reader = place.open()?;
    let holders = Search { reader: &*reader, scope: &scope, from, offset: *offset, all: *all }.run().await?;
    let failed = |error: &dyn std::fmt::Display| ExitError { code: NO_ANSWER, message: error.to_string() };
    let text = if *json {
        serde_json::to_string_pretty(&holders).map_err(|error| failed(&error))? + "\n"
    } else {
        format!("{from}@{offset}\n{}", holders.iter().map(Holder::text).collect::<String>())
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| failed(&error))?;
    match holders.iter().any(|holder| holder.row.is_some()) {
        true => Ok(()),
        false if holders.is_empty() => Err(ExitError { code: 1, message: format!("no file below {reader} holds offset {offset} of {from}") }),
        false => Err(ExitError { code: PERHAPS, message: format!("no file below {reader} says for sure that it holds offset {offset} of {from}") }),
    }
}

/// One record that is looked for.
struct Search<'a> {
    reader: &'a dyn ObjectReader,
    scope: &'a Scope,
    from: &'a TopicPartition,
    offset: i64,
    all: bool,
}

impl Search<'_> {
    /// Files are looked at by their names, those that begin nearest below the offset first; then those whose names do not tell.
    async fn run(&self) -> Result<Vec<Holder>, AuditError> {
        let (mut told, mut others): (Vec<(i64, Listed)>, Vec<Listed>) = (Vec::new(), Vec::new());
        let mut listed = self.reader.list();
        while let Some(listed) = listed.next().await {
            let listed = listed?;
            match names::parse(&listed.key, &self.scope.file_delim) {
                Some(named) if named.source != &*self.from.topic || named.partition != self.from.partition || named.start > self.offset => {}
                _ if self.scope.is_companion(&listed.key) => {}
                Some(named) => told.push((named.start, listed)),
                None => others.push(listed),
            }
        }
        told.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let mut holders = self.look(told.into_iter().map(|(_, listed)| listed).collect()).await?;
        if self.all || !holders.iter().any(|holder| holder.row.is_some()) {
            holders.extend(self.look(others).await?);
        }
        if holders.iter().any(|holder| holder.row.is_some()) {
            holders.retain(|holder| holder.row.is_some());
        }
        Ok(holders)
    }

    /// Looks at files in this order, side by side, until the record is found.
    async fn look(&self, files: Vec<Listed>) -> Result<Vec<Holder>, AuditError> {
        let looks = stream::iter(files).map(|listed| async move {
            let size = listed.size;
            Ok::<_, AuditError>((inventory::look(self.reader, listed, self.scope).await?, size))
        });
        let mut looks = looks.buffered(self.scope.requests);
        let mut holders: Vec<Holder> = Vec::new();
        while let Some(look) = looks.next().await {
            let (found, _) = look?;
            match found {
                Found::File(origin, Kind::Values, file, _) if origin.from == *self.from && (file.span.start..file.span.end).contains(&self.offset) => {
                    holders.extend(self.holder(&file).await?);
                }
                // Of those that say nothing, the one that begins nearest below may hold it.
                Found::Unread(origin, unread) if origin.from == *self.from && unread.start <= self.offset && holders.is_empty() => {
                    let file = self.reader.name(&unread.key);
                    holders.push(Holder { file, row: None, row_group: None, rows: None, start: unread.start, end: None });
                }
                _ => {}
            }
            if !self.all && holders.iter().any(|holder| holder.row.is_some()) {
                break;
            }
        }
        Ok(holders)
    }

    /// Where in a file that spans the offset its row is; `None` when the file leaves it out.
    async fn holder(&self, file: &File) -> Result<Option<Holder>, AuditError> {
        let name = self.reader.name(&file.key);
        let is_parquet = Format::of(&file.key) == Format::Parquet;
        let footer = if is_parquet { contents::footer(self.reader, &file.key, file.size).await? } else { None };
        let row = if file.is_dense() {
            Some(self.offset.abs_diff(file.span.start))
        } else {
            let set = footer.as_ref().and_then(|footer| OffsetSet::decode(Labels::of(&footer.labels).offset_set?).ok());
            match set.map(|set| set.row_of(self.offset)) {
                Some(None) => return Ok(None),
                Some(Some(row)) => Some(row),
                None => None,
            }
        };
        let row_group = row.zip(footer.as_ref()).and_then(|(row, footer)| row_group(footer, row));
        let (start, end) = (file.span.start, Some(file.span.end));
        Ok(Some(Holder { file: name, row, row_group, rows: Some(file.rows), start, end }))
    }
}

/// The row group that a row is in, and its place there.
fn row_group(footer: &Footer, row: u64) -> Option<(usize, u64)> {
    let mut before = 0;
    for (group, rows) in footer.row_groups.iter().enumerate() {
        if row - before < *rows {
            return Some((group, row - before));
        }
        before += rows;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_named_by_topic_partition_and_offset() {
        for (text, topic, partition, offset) in [("orders/3@12345", "orders", 3, 12_345), ("a.b-c/0@0", "a.b-c", 0, 0), ("a-b-7@1", "a-b", 7, 1)] {
            assert_eq!(parse(text), Ok((TopicPartition::new(topic, partition), offset)));
        }
        for text in ["", "orders", "orders@1", "orders/x@1", "orders/1@x", "/1@1", "orders/-1@1", "orders/1@-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rows_are_found_in_row_groups() {
        let footer = Footer { labels: vec![], row_groups: vec![3, 0, 2] };
        for (row, expected) in [(0, Some((0, 0))), (2, Some((0, 2))), (3, Some((2, 0))), (4, Some((2, 1))), (5, None)] {
            assert_eq!(row_group(&footer, row), expected, "{row}");
        }
    }
}
