//! Law: what is read is what was written, for arrays of every type that converters make and some that they do not, and for any part of them.

use std::collections::HashMap;

use arrow::array::{Array, ArrayData, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Fields, TimeUnit};
use proptest::prelude::*;

use super::*;

fn leaf() -> impl Strategy<Value = DataType> {
    let dictionary = |values: DataType| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    prop_oneof![
        Just(DataType::Null),
        Just(DataType::Boolean),
        Just(DataType::Int8),
        Just(DataType::Int64),
        Just(DataType::Float64),
        Just(DataType::Utf8),
        Just(DataType::Binary),
        Just(DataType::LargeUtf8),
        Just(DataType::Decimal128(38, 4)),
        Just(DataType::Decimal256(60, 9)),
        Just(DataType::Date32),
        Just(DataType::Time32(TimeUnit::Millisecond)),
        Just(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        Just(DataType::FixedSizeBinary(3)),
        Just(dictionary(DataType::Utf8)),
        Just(dictionary(DataType::Int64)),
    ]
}

/// Metadata that says what Arrow cannot: names, versions, extensions.
fn named(name: &str, data_type: DataType, is_nullable: bool) -> FieldRef {
    let metadata = HashMap::from([("connect.name".to_owned(), format!("com.example.{name}")), ("ARROW:extension:name".to_owned(), "arrow.json".to_owned())]);
    Arc::new(Field::new(name, data_type, is_nullable).with_metadata(metadata))
}

fn data_type() -> impl Strategy<Value = DataType> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|types| { DataType::Struct(types.into_iter().enumerate().map(|(index, of)| named(&format!("f{index}"), of, true)).collect()) }),
            inner.clone().prop_map(|of| DataType::List(named("item", of, true))),
            inner.prop_map(|of| {
                let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", of, true)]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
            }),
        ]
    })
}

/// Numbers that look random and are the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| b'a' + u8::try_from(self.next(26)).unwrap()).collect()
    }

    /// Ascending, from 0.
    fn offsets(&mut self, rows: usize) -> Vec<usize> {
        let mut at = 0;
        let ends = (0..rows).map(|_| {
            at += self.next(4);
            at
        });
        [0].into_iter().chain(ends.collect::<Vec<_>>()).collect()
    }
}

fn array(of: &DataType, rows: usize, has_nulls: bool, numbers: &mut Numbers) -> ArrayRef {
    let nulls = (has_nulls && *of != DataType::Null).then(|| (0..rows).map(|_| numbers.next(4) > 0).collect::<NullBuffer>());
    let data = ArrayData::builder(of.clone()).len(rows).nulls(nulls);
    let offsets32 = |offsets: &[usize]| Buffer::from_vec(offsets.iter().map(|o| i32::try_from(*o).unwrap()).collect::<Vec<_>>());
    let data = match of {
        DataType::Null => data,
        DataType::Boolean => data.add_buffer(numbers.bytes(rows.div_ceil(8)).into()),
        DataType::Utf8 | DataType::Binary => {
            let offsets = numbers.offsets(rows);
            data.add_buffer(offsets32(&offsets)).add_buffer(numbers.bytes(*offsets.last().unwrap()).into())
        }
        DataType::LargeUtf8 => {
            let offsets = numbers.offsets(rows);
            data.add_buffer(Buffer::from_vec(offsets.iter().map(|o| *o as i64).collect())).add_buffer(numbers.bytes(*offsets.last().unwrap()).into())
        }
        DataType::FixedSizeBinary(width) => data.add_buffer(numbers.bytes(rows * *width as usize).into()),
        DataType::Decimal256(..) => data.add_buffer(Buffer::from_vec((0..rows * 4).map(|_| numbers.next(1000) as u64).collect())),
        DataType::Decimal128(..) => data.add_buffer(Buffer::from_vec((0..rows).map(|_| numbers.next(1000) as i128).collect())),
        DataType::Dictionary(_, values) => {
            let keys = (0..rows).map(|_| i32::try_from(numbers.next(3)).unwrap()).collect();
            data.add_buffer(Buffer::from_vec(keys)).add_child_data(array(values, 3, false, numbers).to_data())
        }
        DataType::Struct(fields) => fields.iter().fold(data, |data, field| data.add_child_data(array(field.data_type(), rows, has_nulls, numbers).to_data())),
        DataType::List(item) | DataType::Map(item, _) => {
            let offsets = numbers.offsets(rows);
            // Keys and entries of maps are never null.
            let inner_nulls = has_nulls && !matches!(of, DataType::Map(..));
            data.add_buffer(offsets32(&offsets)).add_child_data(array(item.data_type(), *offsets.last().unwrap(), inner_nulls, numbers).to_data())
        }
        primitive => data.add_buffer(Buffer::from_vec((0..rows * primitive.primitive_width().unwrap().div_ceil(8)).map(|_| numbers.next(9) as u64).collect())),
    };
    make_array(data.build().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_is_read_is_what_was_written(of in data_type(), seed: u64, cuts in prop::collection::vec(0_usize..40, 1..5), has_nulls: bool, is_nullable: bool) {
        let rows = array(&of, 40, has_nulls, &mut Numbers(seed));
        let field = named("value", of, is_nullable);
        let mut writer = RowsWriter::new(&field).unwrap();
        // Several one after the other, each from its own place, as runs have them.
        let (mut out, mut written) = (Vec::new(), Vec::new());
        for start in cuts {
            let part = rows.slice(start, (40 - start).min(11));
            let before = out.len();
            writer.write(&part, &mut out).unwrap();
            written.push((part, out[before..].to_vec()));
        }
        for (part, bytes) in written {
            let found = read(&field, bytes).unwrap();
            prop_assert_eq!(found.data_type(), part.data_type());
            prop_assert_eq!(&found, &part);
        }
    }
}

#[test]
fn other_bytes_are_refused() {
    let field = named("value", DataType::Int64, false);
    let rows = array(&DataType::Int64, 4, false, &mut Numbers(1));
    let mut bytes = Vec::new();
    RowsWriter::new(&field).unwrap().write(&rows, &mut bytes).unwrap();
    for damaged in [vec![], vec![0; 7], bytes[..20].to_vec(), bytes[..bytes.len() - 8].to_vec(), vec![255; 64]] {
        let error = read(&field, damaged).unwrap_err().to_string();
        assert!(error.contains("what was spilled cannot be read: it is"), "{error}");
    }
    bytes[30] ^= 1;
    assert!(read(&field, bytes).unwrap_err().to_string().ends_with("it is not what was written"));
}
