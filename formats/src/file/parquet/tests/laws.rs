//! Laws over schemas of any shape: what is written is read, in both forms of lists, however the rows are cut.

use super::*;

/// Numbers that look random and repeat from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn nulls(&mut self, nullable: bool, rows: usize) -> Option<NullBuffer> {
        nullable.then(|| (0..rows).map(|_| self.below(4) > 0).collect())
    }

    fn offsets(&mut self, rows: usize) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths((0..rows).map(|_| usize::try_from(self.below(4)).unwrap()))
    }

    /// A column of that field.
    fn column(&mut self, field: &Field, rows: usize) -> ArrayRef {
        let nulls = self.nulls(field.is_nullable(), rows);
        match field.data_type() {
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| self.column(field, rows)).collect();
                Arc::new(StructArray::new(fields.clone(), columns, nulls))
            }
            DataType::List(item) => {
                let offsets = self.offsets(rows);
                let items = self.column(item, usize::try_from(offsets.last()).unwrap());
                Arc::new(ListArray::new(Arc::clone(item), offsets, items, nulls))
            }
            DataType::Map(entries, sorted) => {
                let offsets = self.offsets(rows);
                let values = self.column(entries, usize::try_from(offsets.last()).unwrap());
                Arc::new(MapArray::new(Arc::clone(entries), offsets, values.as_struct().clone(), nulls, *sorted))
            }
            leaf => {
                let numbers: Vec<i64> = (0..rows).map(|_| i64::try_from(self.below(200)).unwrap() - 100).collect();
                let numbers: ArrayRef = Arc::new(Int64Array::new(numbers.into(), nulls));
                match leaf {
                    DataType::Binary => arrow::compute::cast(&arrow::compute::cast(&numbers, &DataType::Utf8).unwrap(), leaf).unwrap(),
                    DataType::Date32 | DataType::Time32(_) => arrow::compute::cast(&arrow::compute::cast(&numbers, &DataType::Int32).unwrap(), leaf).unwrap(),
                    _ => arrow::compute::cast(&numbers, leaf).unwrap(),
                }
            }
        }
    }
}

fn leaf() -> impl Strategy<Value = DataType> {
    prop::sample::select(vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        DataType::Decimal128(9, 2),
        DataType::Decimal128(38, 0),
        DataType::Decimal256(50, 4),
    ])
}

fn fields(of: impl Strategy<Value = DataType>) -> impl Strategy<Value = Fields> {
    prop::collection::vec((of, any::<bool>()), 1..4)
        .prop_map(|types| types.into_iter().enumerate().map(|(n, (data_type, nullable))| Field::new(format!("f{n}"), data_type, nullable)).collect())
}

/// Leaves, lists, maps with keys of two kinds, structs; nested.
fn data_type() -> impl Strategy<Value = DataType> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), any::<bool>()).prop_map(|(item, nullable)| DataType::List(Field::new("item", item, nullable).into())),
            (prop::sample::select(vec![DataType::Utf8, DataType::Int32]), inner.clone(), any::<bool>()).prop_map(|(key, value, nullable)| {
                let entries = DataType::Struct(vec![Field::new("key", key, false), Field::new("value", value, nullable)].into());
                DataType::Map(Field::new("entries", entries, false).into(), false)
            }),
            fields(inner).prop_map(DataType::Struct),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rows_survive_in_both_forms_of_lists_however_they_are_cut(
        fields in fields(data_type()),
        rows in 1..80_usize,
        cuts in prop::collection::vec((0..80_usize, any::<bool>()), 0..4),
        seed in any::<u64>(),
    ) {
        let rows = Numbers(seed).column(&Field::new("value", DataType::Struct(fields), false), rows).as_struct().clone();
        let mut cuts: Vec<(usize, bool)> = cuts.into_iter().map(|(at, ends_group)| (at.min(rows.len()), ends_group)).collect();
        cuts.sort_unstable();
        cuts.push((rows.len(), false));
        for lists in ["upstream", "three-level"] {
            let mut encoder = format_of(&[("lakehead.parquet.lists", lists)]).unwrap().encoder(&field(&rows)).unwrap();
            let mut start = 0;
            for (end, ends_group) in &cuts {
                encoder.write(&(Arc::new(rows.slice(start, end - start)) as ArrayRef)).unwrap();
                if *ends_group {
                    encoder.flush().unwrap();
                }
                start = *end;
            }
            let (bytes, stats) = encoder.finish(&[]).unwrap();
            prop_assert_eq!(usize::try_from(stats.rows).unwrap(), rows.len());
            prop_assert_eq!(&read(&bytes.concat().into(), &rows), &rows, "{}", lists);
        }
    }

    #[test]
    fn values_survive_whatever_encodings_they_lead_to(
        numbers in prop::collection::vec((any::<i64>(), prop::option::of(any::<i32>()), prop::option::of(".{0,12}"), any::<f64>()), 1..60),
        repeat in 1..20_usize,
        dictionary in prop::sample::select(vec!["auto", "always", "never"]),
    ) {
        let all = || numbers.iter().cycle().take(numbers.len() * repeat);
        let rows = records(vec![
            ("a", Arc::new(all().map(|row| Some(row.0)).collect::<Int64Array>()), false),
            ("b", Arc::new(all().map(|row| row.1).collect::<Int32Array>()), true),
            ("c", Arc::new(all().map(|row| row.2.as_deref()).collect::<StringArray>()), true),
            ("d", Arc::new(all().map(|row| Some(row.3)).collect::<Float64Array>()), false),
        ]);
        prop_assert_eq!(read(&file_of(&[("lakehead.parquet.dictionary", dictionary)], std::slice::from_ref(&rows)).0, &rows), rows);
    }
}
