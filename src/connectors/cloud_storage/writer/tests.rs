//! Groups of files as tables: rows in, names and offsets out; and the laws that hold for any records.

use std::collections::HashMap;

use arrow::array::{
    AsArray, BinaryArray, Int32Array, Int64Array, ListArray, NullArray, NullBufferBuilder, StringArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use lakehead_formats::schema;
use proptest::prelude::*;

use super::super::config::Settings;
use super::super::intake::take;
use super::*;
use crate::batch::OffsetRange;
use crate::connect::Props;

fn plan(pairs: &[(&str, &str)]) -> Plan {
    let given: Props = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut props: Props = [("format.class", "parquet"), ("parquet.codec", "none")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    props.extend(given);
    Settings::from_props(&props).unwrap().into_plan(Budget::new(u64::MAX), Arc::new(Ratio::new(1, 1)))
}

fn batch(start: i64, field: &str, values: &[&str]) -> Batch {
    let n = values.len();
    let fields = Fields::from(vec![Field::new(field, DataType::Utf8, true)]);
    let array: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![Arc::new(StringArray::from(values.to_vec()))], None));
    let key = Column::new(Arc::new(Field::new("key", DataType::Null, true)), Arc::new(NullArray::new(n)));
    Batch {
        from: TopicPartition::new("t", 3),
        span: OffsetRange { start, end: start + n as i64 },
        topic: "t".into(),
        offsets: Int64Array::from_iter_values(start..start + n as i64),
        timestamps: TimestampMillisecondArray::from_iter_values((start..start + n as i64).map(|o| o * 1000)),
        key,
        value: Column::new(Arc::new(Field::new("value", DataType::Struct(fields), true)), array),
        headers: None,
    }
}

/// Writes batches; what ended, the rejected offsets, and the writer.
fn write(plan: &Plan, batches: &[Batch]) -> (Vec<Ended>, Vec<i64>, Writer) {
    let mut writer = Writer::new(TopicPartition::new("t", 3), plan.scope, Replay::default());
    let (mut ended, mut rejected) = (Vec::new(), Vec::new());
    for batch in batches {
        let taken = take(&mut writer, batch.clone(), plan, DateTime::UNIX_EPOCH, true).unwrap();
        rejected.extend(taken.rejects.iter().map(|reject| batch.offsets.value(reject.row)));
        ended.extend(taken.ended);
    }
    (ended, rejected, writer)
}

/// Key, first offset, end, rows of each file, group by group.
fn written(plan: &Plan, batches: &[Batch]) -> (Vec<Vec<String>>, Writer) {
    let (ended, _, writer) = write(plan, batches);
    let show = |f: &OpenFile| format!("{} {}..{} {}", f.key(), f.start, f.end, f.rows);
    let group = |ended: &Ended| ended.files.iter().map(show).chain([format!("-> {} {}", ended.end, ended.reason.as_str())]).collect();
    (ended.iter().map(group).collect(), writer)
}

#[test]
fn flush_size_cuts_inside_a_batch_and_the_rest_stays_open() {
    let plan = plan(&[("flush.size", "3")]);
    let (groups, writer) = written(&plan, &[batch(0, "f", &["a"; 7])]);
    assert_eq!(
        groups,
        [["topics/t/partition=3/t+3+0000000000.parquet 0..3 3", "-> 3 flush-size"], ["topics/t/partition=3/t+3+0000000003.parquet 3..6 3", "-> 6 flush-size"]]
    );
    assert_eq!((writer.open(), writer.position()), ((1, 1), Some(7)));
}

#[test]
fn every_file_of_the_partition_ends_with_the_group_and_is_named_by_its_first_offset() {
    let plan = plan(&[("flush.size", "5"), ("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"), ("partition.field.name", "f")]);
    let (groups, writer) = written(&plan, &[batch(0, "f", &["a", "b"]), batch(2, "f", &["a", "b", "a"])]);
    assert_eq!(groups, [["topics/t/f=a/t+3+0000000000.parquet 0..5 3", "topics/t/f=b/t+3+0000000001.parquet 1..4 2", "-> 5 flush-size"]]);
    assert_eq!((writer.is_idle(), writer.position()), (true, Some(5)));
}

#[test]
fn topics_that_become_one_never_write_the_same_object() {
    let plan = plan(&[("flush.size", "1")]);
    let renamed = |source: &str| Batch { from: TopicPartition::new(source, 3), topic: "all".into(), ..batch(0, "f", &["a"]) };
    let key = |batch: &Batch| {
        let mut writer = Writer::new(batch.from.clone(), plan.scope, Replay::default());
        take(&mut writer, batch.clone(), &plan, DateTime::UNIX_EPOCH, true).unwrap().ended[0].files[0].key()
    };
    assert_eq!(key(&renamed("t-v1")), "topics/all/partition=3/t-v1+3+0000000000.parquet");
    assert_eq!(key(&renamed("t-v2")), "topics/all/partition=3/t-v2+3+0000000000.parquet");
}

#[test]
fn another_schema_ends_the_group_before_its_first_row() {
    let plan = plan(&[("flush.size", "100")]);
    let (groups, writer) = written(&plan, &[batch(0, "f", &["a", "a"]), batch(2, "g", &["b"])]);
    assert_eq!(groups, [["topics/t/partition=3/t+3+0000000000.parquet 0..2 2", "-> 2 schema-change"]]);
    assert_eq!(writer.open(), (1, 1));
}

#[test]
fn an_inferred_schema_widens_without_ending_the_file() {
    let plan = plan(&[("flush.size", "3")]);
    let inferred = |mut batch: Batch| {
        let metadata = HashMap::from([(schema::INFERRED.to_owned(), "true".to_owned())]);
        batch.value.field = Arc::new(batch.value.field.as_ref().clone().with_metadata(metadata));
        batch
    };
    let (groups, _) = written(&plan, &[inferred(batch(0, "f", &["a", "a"])), inferred(batch(2, "g", &["b"]))]);
    assert_eq!(groups, [["topics/t/partition=3/t+3+0000000000.parquet 0..3 3", "-> 3 flush-size"]]);
}

#[test]
fn boundaries_do_not_depend_on_how_records_were_batched() {
    let plan = plan(&[("flush.size", "7")]);
    let all = ["a"; 40];
    let (whole, _) = written(&plan, &[batch(0, "f", &all)]);
    for size in [1, 2, 5, 7, 11] {
        let batches: Vec<Batch> = (0..40).step_by(size).map(|i| batch(i as i64, "f", &all[i..(i + size).min(40)])).collect();
        assert_eq!(written(&plan, &batches).0, whole, "batches of {size}");
    }
}

/// A record of the tests: each of its parts says which offset it is of.
#[derive(Debug, Clone, Copy)]
struct Record {
    /// Field `f`: `a`, `b` or `c`.
    path: u8,
    /// Version of the schema, 1 or 2; 0 = a tombstone.
    version: u8,
    has_key: bool,
    has_headers: bool,
}

const GOOD: Record = Record { path: 0, version: 1, has_key: true, has_headers: true };
const TOMBSTONE: Record = Record { version: 0, ..GOOD };

/// Records at the offsets from `start` on, under the schema of the first that is no tombstone.
fn batch_of(start: i64, records: &[Record]) -> Batch {
    let offsets: Vec<i64> = (start..).take(records.len()).collect();
    let version = records.iter().map(|r| r.version).find(|version| *version > 0).unwrap_or(0);
    let metadata = |version: u8| HashMap::from([(schema::VERSION.to_owned(), version.to_string()), (schema::NAME.to_owned(), "record".to_owned())]);
    let mut fields = vec![Field::new("f", DataType::Utf8, false), Field::new("n", DataType::Int64, false)];
    let texts: StringArray = records.iter().map(|r| Some(["a", "b", "c"][usize::from(r.path)])).collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(texts), Arc::new(Int64Array::from(offsets.clone()))];
    if version == 2 {
        fields.push(Field::new("x", DataType::Int32, false).with_metadata(HashMap::from([(schema::DEFAULT.to_owned(), "7".to_owned())])));
        columns.push(Arc::new(Int32Array::from(vec![1; records.len()])));
    }
    let mut nulls = NullBufferBuilder::new(records.len());
    records.iter().for_each(|r| nulls.append(r.version > 0));
    let fields = Fields::from(fields);
    let value = match version {
        0 => Column::new(Arc::new(Field::new("value", DataType::Null, true)), new_null_array(&DataType::Null, records.len())),
        _ => Column::new(
            Arc::new(Field::new("value", DataType::Struct(fields.clone()), false).with_metadata(metadata(version))),
            Arc::new(StructArray::new(fields, columns, nulls.finish())),
        ),
    };
    let keys: StringArray = records.iter().zip(&offsets).map(|(r, offset)| r.has_key.then(|| offset.to_string())).collect();
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let with_headers: Vec<String> = records.iter().zip(&offsets).filter(|(r, _)| r.has_headers).map(|(_, offset)| offset.to_string()).collect();
    let names: ArrayRef = Arc::new(StringArray::from(vec!["h"; with_headers.len()]));
    let values: ArrayRef = Arc::new(with_headers.iter().map(|text| Some(text.as_bytes())).collect::<BinaryArray>());
    let items = StructArray::new(entries.clone(), vec![names, values], None);
    let lengths = OffsetBuffer::from_lengths(records.iter().map(|r| usize::from(r.has_headers)));
    Batch {
        from: TopicPartition::new("t", 3),
        span: OffsetRange { start, end: start + records.len() as i64 },
        topic: "t".into(),
        offsets: offsets.clone().into(),
        timestamps: offsets.iter().map(|offset| Some(offset * 1000)).collect(),
        key: Column::new(Arc::new(Field::new("key", DataType::Utf8, true)), Arc::new(keys)),
        value,
        headers: Some(ListArray::new(Arc::new(Field::new("item", DataType::Struct(entries), false)), lengths, Arc::new(items), None)),
    }
}

/// Consecutive records as batches of at most these lengths, each under one schema.
fn batches_of(records: &[Record], lengths: impl Iterator<Item = usize>) -> Vec<Batch> {
    let (mut batches, mut at) = (Vec::new(), 0);
    for length in lengths {
        let rest = &records[at..records.len().min(at + length)];
        let version = rest.iter().map(|r| r.version).find(|version| *version > 0);
        let same = rest.iter().take_while(|r| r.version == 0 || Some(r.version) == version).count();
        if same > 0 {
            batches.push(batch_of(i64::try_from(at).unwrap(), &rest[..same]));
            at += same;
        }
    }
    assert_eq!(at, records.len());
    batches
}

/// The offsets that a file's rows say they are of.
fn offsets_in(file: &OpenFile) -> Vec<i64> {
    let texts = |array: &ArrayRef| array.as_string::<i32>().iter().map(|text| text.unwrap().parse().unwrap()).collect::<Vec<i64>>();
    let of = |rows: ArrayRef| match (file.shape, rows.as_struct_opt()) {
        (0, Some(rows)) => rows.column(1).as_primitive::<Int64Type>().values().to_vec(),
        (_, Some(rows)) if rows.column(0).data_type() == &DataType::Utf8 => texts(rows.column(0)),
        (_, Some(rows)) => rows.column(0).as_list::<i32>().iter().flat_map(|list| texts(list.unwrap().as_struct().column(1))).collect(),
        (_, None) => texts(&rows),
    };
    file.staged().into_iter().flat_map(of).collect()
}

/// Key and offsets of each file that ended.
fn contents(ended: &[Ended]) -> Vec<(String, Vec<i64>)> {
    ended.iter().flat_map(|group| &group.files).map(|file| (file.key(), offsets_in(file))).collect()
}

const BY_FIELD: [(&str, &str); 2] = [("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"), ("partition.field.name", "f")];
const ALL_PARTS: [(&str, &str); 4] =
    [("store.kafka.keys", "true"), ("store.kafka.headers", "true"), ("keys.format.class", "parquet"), ("headers.format.class", "parquet")];

fn with(settings: &[&[(&'static str, &'static str)]]) -> Plan {
    plan(&settings.concat())
}

#[test]
fn keys_and_headers_stand_beside_their_values() {
    let plan = with(&[&ALL_PARTS, &[("flush.size", "2")]]);
    let records = [GOOD, Record { has_key: false, ..GOOD }, Record { has_headers: false, ..GOOD }, GOOD];
    let (ended, rejected, _) = write(&plan, &[batch_of(0, &records)]);
    let stem = "topics/t/partition=3/t+3+0000000000";
    assert_eq!(rejected, [1, 2]);
    assert_eq!(contents(&ended), [".parquet", ".keys.parquet", ".headers.parquet"].map(|end| (format!("{stem}{end}"), vec![0, 3])));
}

#[test]
fn tombstones_leave_their_keys_in_a_directory_of_their_own() {
    let write_nulls: &[(&str, &str)] =
        &[("behavior.on.null.values", "write"), ("store.kafka.keys", "true"), ("keys.format.class", "json"), ("flush.size", "3")];
    let (ended, rejected, _) = write(&with(&[write_nulls]), &[batch_of(0, &[GOOD, TOMBSTONE, GOOD])]);
    let file = |name: &str, offsets: &[i64]| (format!("topics/t/{name}"), offsets.to_vec());
    assert_eq!(rejected, [0_i64; 0]);
    let wanted = [
        file("partition=3/t+3+0000000000.parquet", &[0, 2]),
        file("partition=3/t+3+0000000000.keys.json", &[0, 2]),
        file("tombstone/t+3+0000000001.keys.json", &[1]),
    ];
    assert_eq!(contents(&ended), wanted);
    // A directory of values may have the same name: the two never share a file.
    let same = with(&[write_nulls, &[("tombstone.encoded.partition", "partition=3")]]);
    let (ended, _, _) = write(&same, &[batch_of(0, &[GOOD, TOMBSTONE, GOOD])]);
    let wanted = [
        file("partition=3/t+3+0000000000.parquet", &[0, 2]),
        file("partition=3/t+3+0000000000.keys.json", &[0, 2]),
        file("partition=3/t+3+0000000001.keys.json", &[1]),
    ];
    assert_eq!(contents(&ended), wanted);
}

#[test]
fn one_path_more_than_are_allowed_ends_the_group() {
    let plan = with(&[&BY_FIELD, &[("flush.size", "100"), ("partitioner.max.open.files", "2")]]);
    let records = [0, 1, 0, 2, 1].map(|path| Record { path, ..GOOD });
    let (groups, writer) = written(&plan, &[batch_of(0, &records)]);
    assert_eq!(groups, [["topics/t/f=a/t+3+0000000000.parquet 0..3 2", "topics/t/f=b/t+3+0000000001.parquet 1..2 1", "-> 3 open-files"]]);
    assert_eq!(writer.open(), (2, 2));
}

#[test]
fn schemas_in_each_mode_of_compatibility() {
    let versions = |versions: &[u8]| versions.iter().map(|version| Record { version: *version, ..GOOD }).collect::<Vec<_>>();
    let cases: [(&str, &[u8], &[&[i64]]); 5] = [
        ("NONE", &[1, 2, 1, 1], &[&[0], &[1]]),
        ("backward", &[1, 2, 1, 1], &[&[0], &[1]]),
        ("BACKWARD", &[1, 2, 1, 1], &[&[0], &[1, 2, 3]]),
        ("FULL", &[1, 2, 1, 1], &[&[0], &[1, 2, 3]]),
        ("FORWARD", &[2, 1, 2, 2], &[&[0], &[1, 2, 3]]),
    ];
    for (mode, records, wanted) in cases {
        let plan = plan(&[("flush.size", "3"), ("schema.compatibility", mode)]);
        let (ended, _, _) = write(&plan, &batches_of(&versions(records), std::iter::repeat_n(1, records.len())));
        assert_eq!(contents(&ended).into_iter().map(|(_, offsets)| offsets).collect::<Vec<_>>(), wanted, "{mode}");
    }
}

#[test]
fn versions_share_files_where_they_are_merged_also_when_a_former_owner_has_planned_them() {
    let plan = plan(&[("flush.size", "3"), ("lakehead.schema.merge", "true")]);
    let records = [1, 2, 1, 2, 1].map(|version| Record { version, ..GOOD });
    let batches = batches_of(&records, std::iter::repeat_n(1, records.len()));
    let (ended, _, mut writer) = write(&plan, &batches);
    assert_eq!(groups(&ended), [(String::new(), 3, vec![("partition=3/t+3+0000000000.parquet".to_owned(), vec![0, 1, 2])])]);
    assert!(writer.open_files().all(|file| file.encodable_bytes() > 0), "a row group may be encoded before the file ends");
    // Planned as one file, it is one again: nothing is encoded before all of its versions are there.
    let (ended, mut writer) = go_on(&plan, &committed(0, &[("", None, &[(0, 5)])], &[]), &batches[..4], DateTime::UNIX_EPOCH);
    assert!(ended.is_empty() && writer.open_files().all(|file| file.encodable_bytes() == 0));
    let (ended, _) = go_on(&plan, &committed(0, &[("", None, &[(0, 5)])], &[]), &batches, DateTime::UNIX_EPOCH);
    assert_eq!(groups(&ended), [(String::new(), 5, vec![("partition=3/t+3+0000000000.parquet".to_owned(), vec![0, 1, 2, 3, 4])])]);
}

proptest! {
    /// However records are cut into batches: the same files with the same rows; every record is in one file, or open, or rejected; no name comes twice; the
    /// rows of a file are in the topic's order; keys and headers have the rows of their values.
    #[test]
    fn files_are_a_function_of_the_records(
        records in prop::collection::vec((0_u8..3, prop_oneof![3 => Just(1_u8), 2 => Just(2), 1 => Just(0)], prop::bool::weighted(0.9), prop::bool::weighted(0.9)), 0..50),
        cuts in prop::collection::vec(1_usize..9, 120),
        flush_size in 1_u8..9,
        max_open in prop_oneof![Just("-1"), Just("1"), Just("2")],
        mode in prop_oneof![Just("NONE"), Just("BACKWARD"), Just("FORWARD"), Just("FULL")],
        on_null in prop_oneof![Just("ignore"), Just("write")],
        affix in prop_oneof![Just("NONE"), Just("SUFFIX")],
        tombstones in prop_oneof![Just("tombstone"), Just("f=a")],
    ) {
        let records: Vec<Record> =
            records.into_iter().map(|(path, version, has_key, has_headers)| Record { path, version, has_key, has_headers }).collect();
        let size = flush_size.to_string();
        let given = [
            ("flush.size", size.as_str()),
            ("partitioner.max.open.files", max_open),
            ("schema.compatibility", mode),
            ("behavior.on.null.values", on_null),
            ("s3.schema.partition.affix.type", affix),
            ("tombstone.encoded.partition", tombstones),
        ];
        let plan = plan(&[&BY_FIELD[..], &ALL_PARTS[..], &given[..]].concat());
        let (ended, rejected, mut writer) = write(&plan, &batches_of(&records, std::iter::repeat_n(1, records.len())));
        let files = contents(&ended);

        let (again, again_rejected, mut again_writer) = write(&plan, &batches_of(&records, cuts.into_iter().chain(std::iter::repeat(1)).take(200)));
        prop_assert_eq!(&contents(&again), &files);
        prop_assert_eq!(&again_rejected, &rejected);
        let open = |writer: &mut Writer| writer.open_files().map(|file| (file.key(), offsets_in(file))).collect::<Vec<_>>();
        let (open, open_again) = (open(&mut writer), open(&mut again_writer));
        prop_assert_eq!(&open_again, &open);

        let mut names: Vec<&String> = files.iter().map(|(key, _)| key).collect();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), files.len());
        prop_assert!(files.iter().chain(&open).all(|(_, offsets)| !offsets.is_empty() && offsets.is_sorted()));
        for part in [".keys.", ".headers."] {
            let mut all: Vec<i64> = files.iter().chain(&open).filter(|(key, _)| key.contains(part)).flat_map(|(_, offsets)| offsets.clone()).collect();
            all.extend(&rejected);
            if on_null == "ignore" {
                all.extend((0..).zip(&records).filter(|(offset, r)| r.version == 0 && !rejected.contains(offset)).map(|(offset, _)| offset));
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..i64::try_from(records.len()).unwrap()).collect::<Vec<_>>(), "{}", part);
        }
        let values = |key: &String| !key.contains(".keys.") && !key.contains(".headers.");
        for (key, offsets) in files.iter().chain(&open).filter(|(key, _)| values(key)) {
            for part in [".keys.parquet", ".headers.parquet"] {
                let beside = key.replace(".parquet", part);
                prop_assert_eq!(files.iter().chain(&open).find(|(other, _)| *other == beside).map(|(_, rows)| rows), Some(offsets));
            }
        }
    }
}

const BY_HOUR: [(&str, &str); 4] = [
    ("partitioner.class", "io.confluent.connect.storage.partitioner.HourlyPartitioner"),
    ("locale", "en"),
    ("timezone", "UTC"),
    ("timestamp.extractor", "Wallclock"),
];
const APART: [(&str, &str); 1] = [("lakehead.rotation.scope", "path")];

/// Lane, end and files (name, offsets) of each group.
fn groups(ended: &[Ended]) -> Vec<(String, i64, Vec<(String, Vec<i64>)>)> {
    let name = |key: String| key.rsplit_once("/t/").map_or(key.clone(), |(_, name)| name.to_owned());
    ended.iter().map(|group| (group.lane.to_string(), group.end, group.files.iter().map(|file| (name(file.key()), offsets_in(file))).collect())).collect()
}

#[test]
fn files_of_paths_are_independent_where_that_is_asked_for() {
    let plan = with(&[&BY_FIELD, &APART, &[("flush.size", "3")]]);
    let records = [0, 1, 0, 1, 0, 2, 1].map(|path| Record { path, ..GOOD });
    let (ended, _, writer) = write(&plan, &[batch_of(0, &records[..4]), batch_of(4, &records[4..])]);
    let file = |name: &str, offsets: &[i64]| vec![(name.to_owned(), offsets.to_vec())];
    assert_eq!(
        groups(&ended),
        [("/f=a".to_owned(), 5, file("f=a/t+3+0000000000.parquet", &[0, 2, 4])), ("/f=b".to_owned(), 7, file("f=b/t+3+0000000001.parquet", &[1, 3, 6])),]
    );
    assert_eq!((writer.open(), writer.position()), ((1, 1), Some(7)));
    // One path more than are allowed ends the oldest alone; another schema ends only the file that it would have gone to.
    let few = with(&[&BY_FIELD, &APART, &[("flush.size", "9"), ("partitioner.max.open.files", "2")]]);
    let (ended, _, _) = write(&few, &[batch_of(0, &records[..6])]);
    assert_eq!(groups(&ended), [("/f=a".to_owned(), 5, file("f=a/t+3+0000000000.parquet", &[0, 2, 4]))]);
    let plan = with(&[&BY_FIELD, &APART, &[("flush.size", "9")]]);
    let (ended, _, writer) = write(&plan, &[batch_of(0, &records[..2]), batch_of(2, &[Record { version: 2, ..GOOD }])]);
    assert_eq!(groups(&ended), [("/f=a".to_owned(), 1, file("f=a/t+3+0000000000.parquet", &[0]))]);
    assert_eq!(writer.open(), (2, 2));
}

/// What a writer does that goes on from such a commit.
fn go_on(plan: &Plan, committed: &crate::batch::Committed, batches: &[Batch], now: DateTime<Utc>) -> (Vec<Ended>, Writer) {
    let (_, replay) = crate::commit::Protocol::recover(Some(committed.clone()), 7, 4096).unwrap();
    let mut writer = Writer::new(TopicPartition::new("t", 3), plan.scope, replay);
    let ended = batches.iter().flat_map(|batch| take(&mut writer, batch.clone(), plan, now, true).unwrap().ended).collect();
    (ended, writer)
}

fn committed(offset: i64, lanes: &[(&str, Option<i64>, &[(i64, i64)])], clock: &[(i64, i64)]) -> crate::batch::Committed {
    let of = |ahead, files: &[(i64, i64)]| crate::commit::LaneIntent {
        ahead,
        files: files.iter().map(|(start, end)| OffsetRange { start: *start, end: *end }).collect(),
    };
    let lanes = lanes.iter().map(|(lane, ahead, files)| ((*lane).into(), of(*ahead, files))).collect();
    let intent = crate::commit::Intent { configuration: 7, lanes, clock: clock.to_vec() };
    crate::batch::Committed { offset, metadata: intent.text(offset) }
}

#[test]
fn what_a_former_owner_planned_ends_where_it_said_and_what_it_published_is_left_out() {
    let plan = with(&[&BY_FIELD, &APART, &[("flush.size", "2")]]);
    let records = [0, 1, 0, 1, 0, 1, 0, 0].map(|path| Record { path, ..GOOD });
    let file = |name: &str, offsets: &[i64]| vec![(name.to_owned(), offsets.to_vec())];
    // b is visible up to 4; a was planned as one file of three rows, although two would fill it by now.
    let held = committed(0, &[("/f=a", None, &[(0, 5)]), ("/f=b", Some(4), &[])], &[]);
    for size in [1, 3, 8] {
        let (ended, writer) = go_on(&plan, &held, &batches_of(&records, std::iter::repeat_n(size, 8)), DateTime::UNIX_EPOCH);
        assert_eq!(
            groups(&ended),
            [("/f=a".to_owned(), 5, file("f=a/t+3+0000000000.parquet", &[0, 2, 4])), ("/f=a".to_owned(), 8, file("f=a/t+3+0000000006.parquet", &[6, 7])),],
            "batches of {size}"
        );
        assert_eq!(writer.open(), (1, 1), "offset 5 goes on as it would have");
    }
    // Everything below 6 was planned to end together, but for what was visible already; then paths go their own ways.
    let held = committed(0, &[("", None, &[(0, 6)]), ("/f=b", Some(2), &[])], &[]);
    let (ended, _) = go_on(&plan, &held, &[batch_of(0, &records)], DateTime::UNIX_EPOCH);
    let both = vec![("f=a/t+3+0000000000.parquet".to_owned(), vec![0, 2, 4]), ("f=b/t+3+0000000003.parquet".to_owned(), vec![3, 5])];
    assert_eq!(groups(&ended), [(String::new(), 6, both), ("/f=a".to_owned(), 8, file("f=a/t+3+0000000006.parquet", &[6, 7]))]);
    // A planned file whose records are gone from the log ends without rows.
    let held = committed(0, &[("/f=a", None, &[(0, 5)])], &[]);
    let (ended, _) = go_on(&plan, &held, &[batch_of(5, &records[5..])], DateTime::UNIX_EPOCH);
    assert_eq!(groups(&ended)[0], ("/f=a".to_owned(), 5, vec![]));
}

#[test]
fn paths_by_the_clock_are_made_with_the_clock_that_was() {
    let plan = with(&[&BY_HOUR, &[("flush.size", "100")]]);
    let at = |hour: i64| DateTime::from_timestamp_millis(hour * 3_600_000 + 5).unwrap();
    let mut writer = Writer::new(TopicPartition::new("t", 3), plan.scope, Replay::default());
    let mut readings = Vec::new();
    for (offset, hour) in [(0, 1), (2, 1), (4, 2)] {
        readings.extend(take(&mut writer, batch_of(offset, &[GOOD, GOOD]), &plan, at(hour), true).unwrap().clock);
    }
    assert_eq!(readings, [(0, 3_600_005), (4, 7_200_005)], "only a change of the path is told");
    let was = groups(&writer.end_all(Reason::Schedule));
    // Read again a day later.
    let (ended, writer) = go_on(&plan, &committed(0, &[("", None, &[(0, 6)])], &readings), &[batch_of(0, &[GOOD; 7])], at(26));
    assert_eq!(groups(&ended), was);
    assert!(
        was[0]
            .2
            .iter()
            .map(|(name, _)| name.as_str())
            .eq(["year=1970/month=01/day=01/hour=01/t+3+0000000000.parquet", "year=1970/month=01/day=01/hour=02/t+3+0000000004.parquet"])
    );
    assert_eq!(writer.open(), (1, 1));
}
