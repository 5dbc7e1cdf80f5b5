//! What is written is read again: random schemas and values through each converter that writes with a registry, and back through the one that reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    ListArray, MapArray, StringArray, StructArray, Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use crate::column::Column;
use crate::payload::{self, Options, Payloads, Registration};
use crate::wire::{self, RegisteredSchema, Want};

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Short numbers as often as long ones.
    fn number(&mut self) -> i64 {
        let bits = self.below(64);
        self.next().cast_signed() >> bits
    }

    fn text(&mut self) -> String {
        const LETTERS: [&str; 8] = ["a", "Z", "0", "\"", "\\", "\n", "é", "\u{1f600}"];
        (0..self.below(6)).map(|_| LETTERS[usize::try_from(self.below(8)).unwrap()]).collect()
    }
}

/// What a language has no form for.
#[derive(Clone, Copy)]
struct Limits {
    /// Lists and maps are never null, nothing in them is, and lists hold neither.
    repeated: bool,
}

fn data_type(dice: &mut Dice, depth: u64, limits: Limits, in_list: bool) -> DataType {
    let kinds = if depth == 0 { 13 } else { 16 };
    match dice.below(kinds) {
        0 => DataType::Boolean,
        1 => DataType::Int8,
        2 => DataType::Int16,
        3 => DataType::Int32,
        4 => DataType::Int64,
        5 => DataType::Float32,
        6 => DataType::Float64,
        7 => DataType::Utf8,
        8 => DataType::Binary,
        9 => DataType::Decimal128(38, i8::try_from(dice.below(9)).unwrap()),
        10 => DataType::Date32,
        11 => DataType::Time32(TimeUnit::Millisecond),
        12 => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        13 if !(limits.repeated && in_list) => DataType::List(field("item", dice, depth - 1, limits, true).into()),
        14 if !(limits.repeated && in_list) => {
            let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), field("value", dice, depth - 1, limits, true)]);
            DataType::Map(Field::new("entries", DataType::Struct(entry), false).into(), false)
        }
        _ => structure(dice, depth.max(1) - 1, limits),
    }
}

fn structure(dice: &mut Dice, depth: u64, limits: Limits) -> DataType {
    let fields: Vec<Field> = (0..1 + dice.below(5)).map(|at| field(&format!("f{at}"), dice, depth, limits, false)).collect();
    DataType::Struct(fields.into())
}

fn field(name: &str, dice: &mut Dice, depth: u64, limits: Limits, in_list: bool) -> Field {
    let data_type = data_type(dice, depth, limits, in_list);
    let never_null = limits.repeated && (in_list || matches!(data_type, DataType::List(_) | DataType::Map(..)));
    Field::new(name, data_type, !never_null && dice.one_in(2))
}

fn values<T>(rows: usize, nullable: bool, dice: &mut Dice, make: impl Fn(&mut Dice) -> T) -> Vec<Option<T>> {
    (0..rows).map(|_| (!nullable || !dice.one_in(3)).then(|| make(dice))).collect()
}

fn nulls(rows: usize, nullable: bool, dice: &mut Dice) -> Option<NullBuffer> {
    nullable.then(|| NullBuffer::from((0..rows).map(|_| !dice.one_in(3)).collect::<Vec<bool>>()))
}

fn array(field: &Field, rows: usize, dice: &mut Dice) -> ArrayRef {
    let nullable = field.is_nullable();
    macro_rules! of {
        ($array:ty, $make:expr) => {
            Arc::new(<$array>::from(values(rows, nullable, dice, $make)))
        };
    }
    let low = |dice: &mut Dice| dice.number().to_le_bytes();
    match field.data_type() {
        DataType::Boolean => of!(BooleanArray, |dice| dice.one_in(2)),
        DataType::Int8 => of!(Int8Array, |dice| i8::from_le_bytes([low(dice)[0]])),
        DataType::Int16 => of!(Int16Array, |dice| i16::from_le_bytes([low(dice)[0], low(dice)[1]])),
        DataType::Int32 => of!(Int32Array, |dice| i32::try_from(dice.number() >> 32).unwrap()),
        DataType::Int64 => of!(Int64Array, Dice::number),
        DataType::Float32 => of!(Float32Array, |dice| f32::from_bits(u32::try_from(dice.below(1 << 32)).unwrap()).clamp(-1e30, 1e30)),
        DataType::Float64 => of!(Float64Array, |dice| f64::from_bits(dice.next()).clamp(-1e300, 1e300)),
        DataType::Utf8 => of!(StringArray, Dice::text),
        DataType::Binary => {
            let bytes = values(rows, nullable, dice, |dice| (0..dice.below(5)).map(|_| low(dice)[0]).collect::<Vec<u8>>());
            Arc::new(BinaryArray::from(bytes.iter().map(Option::as_deref).collect::<Vec<_>>()))
        }
        DataType::Decimal128(digits, scale) => {
            let numbers = Decimal128Array::from(values(rows, nullable, dice, |dice| i128::from(dice.number()) * i128::from(dice.number())));
            Arc::new(numbers.with_precision_and_scale(*digits, *scale).unwrap())
        }
        DataType::Date32 => of!(Date32Array, |dice| i32::try_from(dice.below(3_000_000)).unwrap() - 700_000),
        DataType::Time32(_) => of!(Time32MillisecondArray, |dice| i32::try_from(dice.below(86_400_000)).unwrap()),
        DataType::Timestamp(..) => {
            let instants = TimestampMillisecondArray::from(values(rows, nullable, dice, |dice| dice.number() % 60_000_000_000_000));
            Arc::new(instants.with_timezone("UTC"))
        }
        DataType::List(item) => {
            let lengths: Vec<usize> = (0..rows).map(|_| usize::try_from(dice.below(4)).unwrap()).collect();
            let items = array(item, lengths.iter().sum(), dice);
            Arc::new(ListArray::new(FieldRef::clone(item), OffsetBuffer::from_lengths(lengths), items, nulls(rows, nullable, dice)))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { panic!("a map") };
            let lengths: Vec<usize> = (0..rows).map(|_| usize::try_from(dice.below(4)).unwrap()).collect();
            let keys = lengths.iter().flat_map(|length| (0..*length).map(|at| format!("k{at}")));
            let keys: ArrayRef = Arc::new(StringArray::from_iter_values(keys));
            let entries_array = StructArray::new(fields.clone(), vec![Arc::clone(&keys), array(&fields[1], keys.len(), dice)], None);
            Arc::new(MapArray::new(FieldRef::clone(entries), OffsetBuffer::from_lengths(lengths), entries_array, nulls(rows, nullable, dice), false))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| array(field, rows, dice)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls(rows, nullable, dice)))
        }
        other => panic!("{other}"),
    }
}

/// Each value as text, with names and types of everything in it.
fn shown(array: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let text = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
    (0..array.len()).map(|row| if array.is_null(row) { "null".to_owned() } else { text.value(row).to_string() }).collect()
}

/// What of a type comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Types {
    /// All of it.
    Exact,
    /// All but which fields may be null.
    Kinds,
    /// The values' texts.
    Texts,
}

/// A type without what its fields say beside their types; `exact` keeps which of them may be null.
fn bare(data_type: &DataType, exact: bool) -> DataType {
    let field = |field: &FieldRef, nullable: bool| {
        let name = if matches!(field.name().as_str(), "item" | "element") { "item" } else { field.name() };
        FieldRef::new(Field::new(name, bare(field.data_type(), exact), if exact { field.is_nullable() } else { nullable }))
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|child| field(child, true)).collect()),
        DataType::List(item) => DataType::List(field(item, true)),
        DataType::Map(entries, sorted) => DataType::Map(field(entries, false), *sorted),
        other => other.clone(),
    }
}

/// Writes a column and reads it again.
fn round(converter: &str, settings: &[(&str, &str)], column: &Column) -> (Column, String) {
    let options: Options = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut writer = (payload::find(converter).expect("a writer").build)(&options).expect("settings");
    let mut text = String::new();
    if let Some(wanted) = writer.missing("t", column) {
        assert_eq!(wanted.subject, "t-value");
        text.clone_from(&wanted.text);
        writer.learn(&wanted, Ok(&Registration { id: 7, schema: None }));
        assert_eq!(writer.missing("t", column), None);
    }
    let Payloads { payloads, rejects } = writer.write_to("t", column);
    assert_eq!(rejects, [], "{text}");
    let mut reader = (wire::find(converter).expect("a reader").build)(&options, false, Want::Any).expect("settings");
    let kind = wire::SchemaKind::ALL.into_iter().find(|kind| converter.eq_ignore_ascii_case(&format!("{kind:?}"))).expect("a kind");
    reader.learn(7, Ok(&RegisteredSchema::new(kind, text.as_str()))).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut decoded = reader.decode("t", &payloads).expect("rows");
    assert_eq!(decoded.rejects, [], "{text}");
    assert_eq!(decoded.spans.len(), 1, "{text}");
    (decoded.spans.remove(0).1, text)
}

fn check(converter: &str, settings: &[(&str, &str)], seed: u64, limits: Limits, types: Types) {
    let mut dice = Dice(seed | 1);
    let nullable = !dice.one_in(2);
    let field = FieldRef::new(Field::new("value", structure(&mut dice, 2, limits), nullable));
    let column = Column::new(FieldRef::clone(&field), array(&field, 12, &mut dice));
    let (read, text) = round(converter, settings, &column);
    if types != Types::Texts {
        let exact = types == Types::Exact;
        assert_eq!(bare(read.field.data_type(), exact), bare(field.data_type(), exact), "{text}");
    }
    assert_eq!(shown(&read.array), shown(&column.array), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn avro_reads_what_it_wrote(seed in any::<u64>()) {
        check("avro", &[], seed, Limits { repeated: false }, Types::Exact);
    }

    #[test]
    fn json_schema_reads_what_it_wrote(seed in any::<u64>()) {
        check("jsonschema", &[], seed, Limits { repeated: false }, Types::Exact);
        check("jsonschema", &[("object.additional.properties", "false")], seed, Limits { repeated: false }, Types::Exact);
    }

}

proptest! {
    // Each case compiles a schema twice.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// A wrapper of an int8 is one of an int32, as upstream.
    #[test]
    fn protobuf_reads_what_it_wrote(seed in any::<u64>()) {
        check("protobuf", &[("optional.for.nullables", "true")], seed, Limits { repeated: true }, Types::Kinds);
        check("protobuf", &[("wrapper.for.nullables", "true")], seed, Limits { repeated: true }, Types::Texts);
    }
}

#[test]
fn values_that_are_no_structs_are_read_again() {
    let kinds = [
        DataType::Boolean,
        DataType::Int8,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Binary,
        DataType::Decimal128(38, 2),
        DataType::Date32,
        DataType::List(Field::new("item", DataType::Int32, true).into()),
    ];
    let mut refused = BTreeSet::new();
    for (at, kind) in kinds.into_iter().enumerate() {
        for nullable in [false, true] {
            let field = FieldRef::new(Field::new("value", kind.clone(), nullable));
            let column = Column::new(FieldRef::clone(&field), array(&field, 12, &mut Dice(at as u64 + 1)));
            for converter in ["avro", "jsonschema", "protobuf"] {
                let options = Options::new();
                let mut writer = (payload::find(converter).expect("a writer").build)(&options).expect("settings");
                if writer.missing("t", &column).is_none() {
                    assert_eq!(writer.write_to("t", &column).rejects.len(), 12);
                    refused.insert(format!("{converter} {kind}"));
                    continue;
                }
                let (read, text) = round(converter, &[], &column);
                assert_eq!(shown(&read.array), shown(&column.array), "{text}");
            }
        }
    }
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), ["protobuf Date32", "protobuf Decimal128(38, 2)", "protobuf List(Int32)"]);
}

/// Each line: a converter with settings, a record as `JsonConverter` has it, and the schema and the body that Confluent's classes make of it (`AvroData`,
/// `JsonSchemaData` and `ProtobufData` of version 8.4, in a JVM); neither where they fail.
#[test]
fn records_are_written_as_upstream_writes_them() {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for line in include_str!("vectors.jsonl").lines() {
        let vector: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let settings = vector["settings"].as_object().expect("settings").iter();
        let options: Options = settings.map(|(key, value)| (key.clone(), value.as_str().expect("a text").to_owned())).collect();
        let envelope = vector["record"].to_string();
        let keeps_nulls = Options::from([("replace.null.with.default".to_owned(), "false".to_owned())]);
        let mut reader = (wire::find("json").expect("a reader").build)(&keeps_nulls, false, Want::Any).expect("settings");
        let column = reader.decode("t", &BinaryArray::from(vec![envelope.as_bytes()])).expect("a record").spans.remove(0).1;
        let converter = vector["converter"].as_str().expect("a name");
        let mut writer = (payload::find(converter).expect("a writer").build)(&options).expect("settings");
        let wanted = writer.missing("t", &column);
        assert_eq!(wanted.as_ref().map(|wanted| wanted.text.as_str()), vector["schema"].as_str(), "{line}");
        if let Some(wanted) = wanted {
            writer.learn(&wanted, Ok(&Registration { id: 7, schema: None }));
        }
        let Payloads { payloads, rejects } = writer.write_to("t", &column);
        let body = |payload: &[u8]| payload[5..].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(payloads.is_valid(0).then(|| body(payloads.value(0))).as_deref(), vector["body"].as_str(), "{line}");
        assert_eq!(rejects.len(), usize::from(vector["body"].is_null()), "{line}");
        *counts.entry(converter.to_owned()).or_default() += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| *count > 30), "{counts:?}");
}
