//! Files that take every version (`lakehead.schema.merge`): what they hold does not depend on when their encoding began.

use std::collections::HashMap;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchReader as _, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields};
use lakehead_formats::file;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::super::shape::View;
use super::*;
use crate::batch::TopicPartition;
use crate::compute::Compute;
use crate::connect::Health;
use crate::store::Condition;
use crate::store::objects::{Flavor, Objects, Place, Tuning};

#[derive(Debug)]
struct One;

impl Naming for One {
    fn at_start(&self, _: &FileName, _: i64, _: &str) -> String {
        "file".to_owned()
    }
}

/// A version of a record: `n` always, and others with their defaults.
fn version(number: i64, more: &[(&str, bool, Option<i64>)]) -> FieldRef {
    let member = |(name, is_nullable, default): &(&str, bool, Option<i64>)| {
        let metadata: HashMap<String, String> = default.iter().map(|default| (schema::DEFAULT.to_owned(), default.to_string())).collect();
        Field::new(*name, DataType::Int64, *is_nullable).with_metadata(metadata)
    };
    let members: Vec<Field> = [("n", false, None)].iter().chain(more).map(member).collect();
    let metadata = HashMap::from([(schema::VERSION.to_owned(), number.to_string())]);
    Arc::new(Field::new("value", DataType::Struct(members.into()), false).with_metadata(metadata))
}

fn versions() -> [FieldRef; 5] {
    [
        version(1, &[]),
        version(2, &[("x", false, Some(7))]),
        version(3, &[("x", false, Some(9)), ("y", true, None)]),
        version(4, &[("x", false, None)]),
        version(5, &[("y", true, Some(3))]),
    ]
}

/// A row of a version, with that number in every field.
fn row(field: &FieldRef, number: i64, memory: &Budget) -> Piece {
    let DataType::Struct(fields) = field.data_type() else { panic!("a record") };
    let fields: &Fields = fields;
    let columns = fields.iter().map(|_| Arc::new(Int64Array::from(vec![number])) as ArrayRef).collect();
    Piece::of(Column::new(FieldRef::clone(field), Arc::new(StructArray::new(fields.clone(), columns, None))), memory)
}

/// The bytes of the files of these records, which are numbered from `first` on, where rows that wait are encoded after the records at these places; how many records each has.
async fn written(format: &str, first: usize, records: &[usize], encoded_after: &[usize]) -> (Vec<Vec<u8>>, Vec<u64>) {
    let (store, memory) = (Arc::new(InMemory::new()), Budget::new(1 << 30));
    let place = Place { flavor: Flavor::Memory, root: String::new(), prefix: String::new(), endpoint: None };
    let sink = Objects::new(Arc::clone(&store) as _, Arc::clone(&store) as _, place, "probe", Tuning::default(), Health::default());
    let workshop = Workshop::new("c".into(), Arc::new(sink), Compute::pool(1), memory.clone(), Arc::new(Ratio::new(1, 1)), 1 << 20);
    let shape = Shape::new(View::Value, Arc::from((file::find(format).unwrap().build)(&file::Options::new()).unwrap()));
    let name = FileName { topic: "t".into(), from: TopicPartition::new("t", 0), path: "".into() };
    let open = |field: &FieldRef| {
        let mut file = OpenFile::new(name.clone(), Arc::new(One), (0, &shape), 0, FieldRef::clone(field), &memory);
        file.evolution = Evolution::Merge;
        file
    };
    let (mut files, mut counts) = (Vec::new(), Vec::new());
    let end = async |file: OpenFile, files: &mut Vec<Vec<u8>>, counts: &mut Vec<u64>| {
        counts.push(file.rows);
        let mut ready = file.end(&workshop, Labels::default()).await.unwrap().unwrap();
        ready.upload.publish(Condition::Overwrite).await.unwrap();
        files.push(store.get(&Path::from("file")).await.unwrap().bytes().await.unwrap().to_vec());
    };
    let versions = versions();
    let mut now: Option<OpenFile> = None;
    for (at, record) in records.iter().enumerate() {
        let field = &versions[*record];
        if let Some(full) = now.take_if(|file| file.fits(field) != Fits::Yes) {
            end(full, &mut files, &mut counts).await;
        }
        let file = now.get_or_insert_with(|| open(field));
        file.append(row(field, i64::try_from(first + at).unwrap(), &memory), 0, (None, None), &memory).unwrap();
        assert!(file.taken.len() <= TAKEN);
        if encoded_after.contains(&at) {
            file.encode_staged(&workshop);
        }
    }
    if let Some(last) = now {
        end(last, &mut files, &mut counts).await;
    }
    (files, counts)
}

/// The rows of a Parquet file, and the names and types of their columns.
fn rows(file: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().cloned();
    let reader = reader.build().unwrap();
    let schema = Arc::new(arrow::datatypes::Schema::clone(&reader.schema()).with_metadata(HashMap::from([("footer".to_owned(), format!("{metadata:?}"))])));
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap().with_schema(Arc::clone(&schema)).unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A line is its record, whatever came before or after it, and whatever was encoded by then.
    #[test]
    fn lines_of_json_are_those_of_each_record_alone(records in prop::collection::vec(0..5_usize, 1..12), encoded_after in prop::collection::vec(0..12_usize, 0..4)) {
        let (files, counts) = run(written("json", 0, &records, &encoded_after));
        prop_assert_eq!(counts, [u64::try_from(records.len()).unwrap()], "no version splits a file");
        let alone = |(at, record): (usize, &usize)| match record {
            0 => format!("{{\"n\":{at}}}\n"),
            2 => format!("{{\"n\":{at},\"x\":{at},\"y\":{at}}}\n"),
            4 => format!("{{\"n\":{at},\"y\":{at}}}\n"),
            _ => format!("{{\"n\":{at},\"x\":{at}}}\n"),
        };
        prop_assert_eq!(String::from_utf8_lossy(&files[0]), records.iter().enumerate().map(alone).collect::<String>());
    }

    /// Where the same records are in a file, it has the same columns, rows and footer.
    #[test]
    fn rows_of_parquet_follow_from_the_records_of_their_file(records in prop::collection::vec(0..5_usize, 1..12), encoded_after in prop::collection::vec(0..12_usize, 0..4)) {
        let (files, counts) = run(written("parquet", 100, &records, &encoded_after));
        let mut left = records.as_slice();
        for (file, count) in files.into_iter().zip(counts) {
            let (own, rest) = left.split_at(usize::try_from(count).unwrap());
            let (at_once, counts) = run(written("parquet", 100 + records.len() - left.len(), own, &[]));
            prop_assert_eq!(counts, [count]);
            prop_assert_eq!(rows(file), rows(at_once.into_iter().next().unwrap()));
            left = rest;
        }
        prop_assert!(left.is_empty());
    }
}
