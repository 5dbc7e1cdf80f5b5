//! Law: whatever happens to rows that wait, each file gets its own, in order, and all memory is given back.

use arrow::array::{Int64Array, ListArray, StringArray, StructArray};
use arrow::datatypes::{Field, Fields, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::partition::split_rows;

/// Rows that say which they are, one fatter than the other.
fn column(numbers: Range<i64>) -> Column {
    let texts = StringArray::from_iter(numbers.clone().map(|n| (n % 3 > 0).then(|| "x".repeat(usize::try_from(n % 7).unwrap() * 10))));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(numbers.clone().map(|n| (n % 5 > 0).then(|| vec![Some(n); usize::try_from(n % 3).unwrap()])));
    let arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(numbers)), Arc::new(texts), Arc::new(lists)];
    let names = ["number", "text", "list"];
    let fields: Fields = names.iter().zip(&arrays).map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    Column::new(Arc::new(Field::new("value", DataType::Struct(fields.clone()), true)), Arc::new(StructArray::new(fields, arrays, None)))
}

fn numbers(rows: &ArrayRef) -> Vec<i64> {
    rows.as_struct().column(0).as_primitive::<Int64Type>().values().to_vec()
}

#[derive(Debug, Clone)]
enum Event {
    /// A batch whose rows go to these files.
    Batch(Vec<u32>),
    /// Memory is short; the disk takes what it is given, or nothing.
    Spill { works: bool },
    /// A run whose rows are read before it is written.
    Begin,
    /// A file ends.
    End(usize),
}

const FILES: u32 = 5;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop::collection::vec(0..FILES, 1..30).prop_map(Event::Batch),
        2 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(|works| Event::Spill { works }),
        1 => Just(Event::Begin),
        2 => (0..FILES as usize).prop_map(Event::End),
    ]
}

/// The rows of a file as they are given to its encoder.
fn taken(pieces: Vec<Piece>, field: &FieldRef) -> Vec<i64> {
    let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
    let (mut waiting, mut found, mut given) = (Waiting::new(pieces, FieldRef::clone(field), false), Vec::new(), 0);
    while let Some(Joined { rows, bytes, .. }) = waiting.next().unwrap() {
        assert_eq!(rows.data_type(), field.data_type());
        found.extend(numbers(&rows));
        given += bytes;
    }
    assert_eq!((given, waiting.bytes(), waiting.is_empty()), (bytes, 0, true));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_file_gets_its_rows_in_order(events in prop::collection::vec(event(), 1..25)) {
        let root = tempfile::tempdir().unwrap();
        let (memory, spill) = (Budget::new(1), Spill::below(root.path()));
        let mut files: Vec<(Vec<Piece>, Vec<i64>)> = (0..FILES).map(|_| Default::default()).collect();
        let (mut next, mut begun) = (0, Vec::new());
        let field = column(0..1).field;
        for event in events {
            match event {
                Event::Batch(codes) => {
                    let start = next;
                    next += codes.len() as i64;
                    let split = split_rows(&codes, 0..codes.len(), FILES as usize);
                    let parts = Parts::of(&[column(start..next)], &split, &(0..codes.len()), &memory).unwrap();
                    for (index, (code, _)) in split.iter().enumerate() {
                        files[*code as usize].0.push(parts.all(0, index).unwrap());
                    }
                    for (code, number) in codes.iter().zip(start..) {
                        files[*code as usize].1.push(number);
                    }
                }
                Event::Spill { works } => {
                    let run = Run::new();
                    for (pieces, _) in &mut files {
                        take_back(pieces);
                        run.gather(pieces);
                    }
                    let nowhere = Spill::off();
                    run.spill(if works { &spill } else { &nowhere });
                    if works && begun.is_empty() {
                        prop_assert_eq!(memory.used(), 0, "a spilled row holds no memory");
                    }
                }
                Event::Begin => {
                    let run = Run::new();
                    files.iter_mut().for_each(|(pieces, _)| assert!(run.gather(pieces) > 0 || !pieces.iter().any(|piece| piece.column().is_some())));
                    begun.push(run);
                }
                Event::End(file) => {
                    let (pieces, expected) = std::mem::take(&mut files[file]);
                    prop_assert_eq!(taken(pieces, &field), expected);
                    begun.drain(..).for_each(|run| run.spill(&spill));
                }
            }
        }
        for (pieces, expected) in files {
            prop_assert_eq!(taken(pieces, &field), expected);
        }
        drop(begun);
        drop(spill);
        prop_assert_eq!((memory.used(), std::fs::read_dir(root.path()).unwrap().count()), (0, 0));
    }
}

#[test]
fn a_schema_that_widens_between_two_runs_widens_the_rows_on_disk() {
    let root = tempfile::tempdir().unwrap();
    let (memory, spill) = (Budget::new(1), Spill::below(root.path()));
    let narrow = column(0..2);
    let fields: Vec<Field> = [Field::new("number", DataType::Int64, true)].to_vec();
    let one = |rows: &Column| {
        let array: ArrayRef = Arc::new(StructArray::new(fields.clone().into(), vec![ArrayRef::clone(rows.array.as_struct().column(0))], None));
        Column::new(Arc::new(Field::new("value", DataType::Struct(fields.clone().into()), true)), array)
    };
    let mut pieces = vec![Piece::of(one(&narrow), &memory), Piece::of(column(2..4), &memory), Piece::of(one(&column(4..6)), &memory)];
    let run = Run::new();
    run.gather(&mut pieces);
    assert_eq!(pieces.len(), 3, "rows of different schemas are no one array");
    run.spill(&spill);
    assert_eq!(taken(pieces, &narrow.field), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn large_pieces_are_cut_so_that_they_are_read_in_parts() {
    let memory = Budget::new(1);
    let rows: ArrayRef = Arc::new(StringArray::from_iter_values((0..90).map(|_| "x".repeat(100_000))));
    let field: FieldRef = Arc::new(Field::new("value", DataType::Utf8, true));
    let mut pieces = vec![Piece::of(Column::new(field, rows), &memory)];
    assert_eq!(Run::new().gather(&mut pieces), 90 * 100_004);
    assert_eq!(pieces.iter().map(|piece| (piece.rows, piece.bytes)).collect::<Vec<_>>(), [(30, 3_000_120); 3]);
}

#[test]
fn the_bytes_of_every_part_are_those_of_its_values() {
    let column = column(0..20);
    let bounds = [0, 3, 3, 11, 20];
    let mut weights = [0; 4];
    weigh(&column.array, &bounds, &mut weights);
    for (bound, weight) in bounds.windows(2).zip(weights) {
        let part = column.array.slice(bound[0], bound[1] - bound[0]);
        assert_eq!(weight, super::weight(&part), "{bound:?}");
    }
    // 9 × (number, offset of the text, offset of the list), 2 bitmaps of 2 bytes, 4 texts past the empty ones, lists' items
    let expected: u64 = (11..20).map(|n| 16 + if n % 3 > 0 { n % 7 * 10 } else { 0 } + if n % 5 > 0 { n % 3 * 8 } else { 0 }).sum();
    assert_eq!(weights[3], expected + 4);
}

#[test]
fn rows_that_are_cut_out_of_a_batch_are_charged_for_themselves() {
    let memory = Budget::new(u64::MAX);
    let of = |rows: usize| {
        let array: ArrayRef = Arc::new(StringArray::from_iter_values(vec!["x".repeat(1000); rows]));
        Column::new(Arc::new(Field::new("value", DataType::Utf8, false)), array)
    };
    let (large, small) = (of(1000), of(50));
    let all = |column: &Column| bytes(column.array.get_array_memory_size()) + ARRAY_BYTES;
    let cases = [
        (&large, 1, 1000, 3000),
        (&large, 100, 100_000, 300_000),
        (&large, 900, 900_000, all(&large)),
        (&large, 1000, all(&large), all(&large)),
        (&small, 1, 1000, 3000),
        (&small, 10, 10_000, 30_000),
        (&small, 50, all(&small), all(&small)),
    ];
    for (whole, rows, least, most) in cases {
        // As what a former owner planned cuts it, batch by batch.
        let part = Column::new(FieldRef::clone(&whole.field), whole.array.slice(0, rows));
        let held = Parts::of(&[part], &[(0, Rows::All)], &(0..rows), &memory).unwrap();
        assert!((least..=most).contains(&memory.used()), "{rows} of {} rows: {} bytes", whole.len(), memory.used());
        drop(held);
    }
}
