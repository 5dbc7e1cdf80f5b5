//! Three ways to keep the rows of many open Parquet files, side by side: open writers, open writers whose finished pages go to disk (`parquet`'s page store), and
//! rows on disk as Arrow until their file ends.
//!
//! Each runs in a process of its own, without Kafka, decoding or a store: arrays in, the bytes of files out (and dropped).

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{Field, FieldRef, Fields};
use bytes::Bytes;
use lakehead::spill::rows::{RowsWriter, read};
use lakehead::spill::{Place, Spill};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::column::page_store::{PageKey, PageStore, PageStoreArgs, PageStoreFactory};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// The variable that tells a child what it is to do.
const WAY: &str = "LAKEHEAD_MEMORY_WAY";
/// Rows that arrive together.
const BATCH: u64 = 8192;
/// Bytes of rows that are held before they go where they wait.
const HELD: usize = 64 << 20;

/// The ways, by name.
pub(crate) const WAYS: [&str; 3] = ["open writers", "open writers, pages on disk", "rows on disk, encoded at the end"];

/// Peak resident bytes, CPU seconds, wall seconds, bytes of the files.
pub(crate) fn run(way: &str, files: u64, rows: u64) -> [f64; 4] {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).env(WAY, format!("{way};{files};{rows}")).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("figures:")).filter(|_| output.status.success());
    let Some(line) = line else { panic!("{way}: {}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr)) };
    let numbers: Vec<f64> = line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().expect("four figures")
}

/// Does what [`WAY`] says, if it says anything, and prints the figures.
pub(crate) fn child() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how a parent tells its child")]
    let Ok(text) = std::env::var(WAY) else { return false };
    let parts: Vec<&str> = text.split(';').collect();
    let (files, rows) = (parts[1].parse().expect("a number"), parts[2].parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let (begun, spill) = (Instant::now(), Spill::below(folder.path()));
    let bytes = match WAYS.iter().position(|way| *way == parts[0]) {
        Some(0) => writers(files, rows, None),
        Some(1) => writers(files, rows, Some(&spill)),
        _ => staged(files, rows, &spill),
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    #[expect(clippy::print_stdout, reason = "how a child tells its parent")]
    {
        println!("figures: {} {} {} {bytes}", peak.unwrap_or_default() << 10, ticks as f64 / 100.0, begun.elapsed().as_secs_f64());
    }
    true
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// Rows `start..` of forty columns, grouped by their file, and for each file its number and its rows.
fn batch(start: u64, end: u64, files: u64) -> (StructArray, Vec<(u64, usize, usize)>) {
    let column = |n: u64| -> ArrayRef {
        let seeds = (start..end).map(|id| mix(id * 64 + n));
        match n % 5 {
            0 => Arc::new(Int64Array::from_iter_values(seeds.map(|s| (s >> 20) as i64))),
            1 => Arc::new(Float64Array::from_iter_values(seeds.map(|s| (s % 100_000) as f64))),
            2 => Arc::new(StringArray::from_iter_values(seeds.map(|s| format!("{:x}", s % 5000)))),
            3 => Arc::new(seeds.map(|s| Some(s % 3 == 0)).collect::<BooleanArray>()),
            _ => Arc::new(Int32Array::from_iter_values(seeds.map(|s| (s % 1000) as i32))),
        }
    };
    let arrays: Vec<ArrayRef> = (0..40).map(column).collect();
    let fields: Fields = arrays.iter().enumerate().map(|(n, array)| Field::new(format!("c{n:02}"), array.data_type().clone(), true)).collect();
    let mut by_file: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for id in start..end {
        by_file.entry(mix(id) % files).or_default().push((id - start) as u32);
    }
    let indices: UInt32Array = by_file.values().flatten().copied().collect::<Vec<u32>>().into();
    let mut at = 0;
    let groups = by_file.iter().map(|(file, rows)| {
        at += rows.len();
        (*file, at - rows.len(), rows.len())
    });
    let groups = groups.collect();
    let rows: Vec<ArrayRef> = arrays.iter().map(|array| take(array, &indices, None).expect("rows")).collect();
    (StructArray::new(fields, rows, None), groups)
}

fn writer(schema: &StructArray, pages: Option<&Spill>) -> ArrowWriter<Vec<u8>> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let options = ArrowWriterOptions::new().with_properties(properties);
    let options = match pages {
        Some(spill) => options.with_page_store_factory(Arc::new(Pages(spill.clone()))),
        None => options,
    };
    ArrowWriter::try_new_with_options(Vec::new(), RecordBatch::from(schema).schema(), options).expect("a writer")
}

/// A batch, and which rows of it each file has.
type Held = (StructArray, Vec<(u64, usize, usize)>);

/// Gives all rows, file after file, as often as [`HELD`] bytes of them are there. All ways get them like this.
fn feed(files: u64, rows: u64, mut each: impl FnMut(u64, &StructArray)) {
    let (mut held, mut bytes): (Vec<Held>, usize) = (Vec::new(), 0);
    for start in (0..rows).step_by(BATCH as usize) {
        let (rows, groups) = batch(start, (start + BATCH).min(rows), files);
        bytes += rows.get_array_memory_size();
        held.push((rows, groups));
        if bytes >= HELD {
            bytes = 0;
            by_file(&std::mem::take(&mut held), &mut each);
        }
    }
    by_file(&held, &mut each);
}

fn by_file(held: &[Held], each: &mut impl FnMut(u64, &StructArray)) {
    let mut of_file: BTreeMap<u64, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, (_, groups)) in held.iter().enumerate() {
        for (file, from, length) in groups {
            of_file.entry(*file).or_default().extend((*from..from + length).map(|row| (number, row)));
        }
    }
    let arrays: Vec<&dyn Array> = held.iter().map(|(rows, _)| rows as &dyn Array).collect();
    for (file, rows) in of_file {
        each(file, interleave(&arrays, &rows).expect("rows").as_struct());
    }
}

/// A writer for each file, open until the end.
fn writers(files: u64, rows: u64, pages: Option<&Spill>) -> u64 {
    let mut open: BTreeMap<u64, ArrowWriter<Vec<u8>>> = BTreeMap::new();
    feed(files, rows, |file, rows| {
        open.entry(file).or_insert_with(|| writer(rows, pages)).write(&RecordBatch::from(rows)).expect("rows");
    });
    open.into_values().map(|writer| writer.into_inner().expect("a file").len() as u64).sum()
}

/// Rows on disk; each file encoded at the end.
fn staged(files: u64, rows: u64, spill: &Spill) -> u64 {
    let mut places: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
    let mut to_disk: Option<(FieldRef, StructArray, RowsWriter)> = None;
    feed(files, rows, |file, rows| {
        let (_, _, encoder) = to_disk.get_or_insert_with(|| {
            let field: FieldRef = Arc::new(Field::new("value", rows.data_type().clone(), true));
            let encoder = RowsWriter::new(&field).expect("a writer");
            (field, rows.slice(0, 0), encoder)
        });
        let (mut out, rows): (Vec<u8>, ArrayRef) = (Vec::new(), Arc::new(rows.clone()));
        encoder.write(&rows, &mut out).expect("rows");
        places.entry(file).or_default().push(spill.append(&out).expect("a disk"));
    });
    let (field, model, _) = to_disk.expect("rows");
    let encoded = places.into_values().map(|places| {
        let mut writer = writer(&model, None);
        for place in places {
            let rows = read(&field, place.read().expect("bytes")).expect("rows");
            writer.write(&RecordBatch::from(rows.as_struct())).expect("rows");
        }
        writer.into_inner().expect("a file").len() as u64
    });
    encoded.sum()
}

/// Pages in the same log as the rows of the third way.
#[derive(Debug)]
struct Pages(Spill);

impl PageStoreFactory for Pages {
    fn create(&self, _: &PageStoreArgs<'_>) -> parquet::errors::Result<Box<dyn PageStore>> {
        Ok(Box::new(Column { spill: self.0.clone(), places: Vec::new() }))
    }
}

struct Column {
    spill: Spill,
    places: Vec<Option<Place>>,
}

impl PageStore for Column {
    fn put(&mut self, value: Bytes) -> parquet::errors::Result<PageKey> {
        self.places.push(Some(self.spill.append(&value).ok_or_else(|| ParquetError::General("no disk".to_owned()))?));
        Ok(PageKey::new(self.places.len() as u64 - 1))
    }

    fn take(&mut self, key: PageKey) -> parquet::errors::Result<Bytes> {
        let place = self.places[key.get() as usize].take().ok_or_else(|| ParquetError::General("taken".to_owned()))?;
        Ok(place.read().map_err(|error| ParquetError::External(Box::new(error)))?.into())
    }
}
