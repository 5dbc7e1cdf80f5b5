//! A column without what it says, as `MaskField` does it: every value becomes the empty one of its type, or a replacement.
//!
//! | values | mask | replacement |
//! |---|---|---|
//! | numbers, decimals | 0 | the text, as a number of that type |
//! | string | empty | the text |
//! | boolean | false | a reject |
//! | date, time, timestamp | the epoch | a reject |
//! | list, map | without items | a reject |
//! | bytes, struct | a reject | a reject |
//!
//! Differences: a decimal's mask is 0 at the scale of its column, and a replacement with more digits than that scale has is a reject; upstream makes a decimal of
//! another scale, which its converters then refuse.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray, new_empty_array};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMillisecondType, i256,
};

use super::decimal::BigDecimal;
use super::{Made, java_class};

/// The values' mask, or the replacement in their place.
#[must_use]
pub fn mask(array: &ArrayRef, field: &Field, replacement: Option<&str>) -> Made {
    let made = match replacement {
        Some(text) => replaced(array, field, text),
        None => masked(array, field),
    };
    made.unwrap_or_else(|reason| Made::none(array, array.data_type(), &reason))
}

fn masked(array: &ArrayRef, field: &Field) -> Result<Made, String> {
    let nulls = || array.nulls().cloned();
    Ok(Made::all(match array.data_type() {
        DataType::Null => Arc::clone(array),
        DataType::Boolean => Arc::new(BooleanArray::new(BooleanBuffer::new_unset(array.len()), nulls())),
        DataType::Int8 => filled::<Int8Type>(array, 0),
        DataType::Int16 => filled::<Int16Type>(array, 0),
        DataType::Int32 => filled::<Int32Type>(array, 0),
        DataType::Int64 => filled::<Int64Type>(array, 0),
        DataType::Float32 => filled::<Float32Type>(array, 0.0),
        DataType::Float64 => filled::<Float64Type>(array, 0.0),
        DataType::Decimal128(..) => filled::<Decimal128Type>(array, 0),
        DataType::Decimal256(..) => filled::<Decimal256Type>(array, i256::ZERO),
        DataType::Date32 => filled::<Date32Type>(array, 0),
        DataType::Time32(_) => filled::<Time32MillisecondType>(array, 0),
        DataType::Timestamp(..) => filled::<TimestampMillisecondType>(array, 0),
        DataType::Utf8 => text(array, ""),
        DataType::List(item) => {
            let empty = new_empty_array(item.data_type());
            Arc::new(ListArray::try_new(Arc::clone(item), OffsetBuffer::new_zeroed(array.len()), empty, nulls()).map_err(|error| error.to_string())?)
        }
        DataType::Map(entries, ordered) => {
            let empty = StructArray::from(new_empty_array(entries.data_type()).to_data());
            let map = MapArray::try_new(Arc::clone(entries), OffsetBuffer::new_zeroed(array.len()), empty, nulls(), *ordered);
            Arc::new(map.map_err(|error| error.to_string())?)
        }
        _ => return Err(format!("Cannot mask value of type: {}", java_class(field))),
    }))
}

fn replaced(array: &ArrayRef, field: &Field, replacement: &str) -> Result<Made, String> {
    let no_number = |article: &str| format!("Unable to convert {replacement} (class java.lang.String) to {article}number");
    let number = || BigDecimal::parse(replacement).ok_or_else(|| no_number("a "));
    Ok(Made::all(match array.data_type() {
        DataType::Null => Arc::clone(array),
        // As upstream, a number is read as 64 bits, of which the low ones count.
        DataType::Int8 => filled::<Int8Type>(array, number()?.long() as i8),
        DataType::Int16 => filled::<Int16Type>(array, number()?.long() as i16),
        DataType::Int32 => filled::<Int32Type>(array, number()?.long() as i32),
        DataType::Int64 => filled::<Int64Type>(array, number()?.long()),
        DataType::Float32 => filled::<Float32Type>(array, number()?.double() as f32),
        DataType::Float64 => filled::<Float64Type>(array, number()?.double()),
        DataType::Decimal128(digits, scale) | DataType::Decimal256(digits, scale) => {
            let decimal = BigDecimal::parse(replacement).ok_or_else(|| no_number(""))?;
            let too_long = || format!("replacement {replacement} does not fit into {digits} digits with scale {scale}: shorten it");
            let unscaled = decimal.rescaled(*scale).ok_or_else(too_long)?;
            if let DataType::Decimal128(..) = array.data_type() {
                let value = unscaled.parse().ok().filter(|value| Decimal128Type::is_valid_decimal_precision(*value, *digits));
                filled::<Decimal128Type>(array, value.ok_or_else(too_long)?)
            } else {
                let value = i256::from_string(&unscaled).filter(|value| Decimal256Type::is_valid_decimal_precision(*value, *digits));
                filled::<Decimal256Type>(array, value.ok_or_else(too_long)?)
            }
        }
        DataType::Utf8 => text(array, replacement),
        _ => return Err(format!("Cannot mask value of type {} with custom replacement.", java_class(field))),
    }))
}

/// One number in every row, with the nulls and the type of the column.
fn filled<T: ArrowPrimitiveType>(array: &ArrayRef, value: T::Native) -> ArrayRef {
    let values = PrimitiveArray::<T>::new(vec![value; array.len()].into(), array.nulls().cloned());
    Arc::new(values.with_data_type(array.data_type().clone()))
}

/// One text in every row that has one.
fn text(array: &ArrayRef, text: &str) -> ArrayRef {
    let length = i32::try_from(text.len()).unwrap_or(i32::MAX);
    let mut end = 0_i32;
    let ends = (0..array.len()).map(|row| {
        end = if array.is_valid(row) { end.saturating_add(length) } else { end };
        end
    });
    let offsets = OffsetBuffer::new(ScalarBuffer::from(std::iter::once(0).chain(ends).collect::<Vec<_>>()));
    let bytes = text.repeat(array.len() - array.null_count());
    match StringArray::try_new(offsets, Buffer::from_vec(bytes.into_bytes()), array.nulls().cloned()) {
        Ok(texts) => Arc::new(texts),
        Err(_) => arrow::array::new_null_array(&DataType::Utf8, array.len()), // more than 2 GiB of text, which no batch has
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        AsArray, BinaryArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
        MapBuilder, StringBuilder, Time32MillisecondArray, TimestampMillisecondArray,
    };
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn run(array: &ArrayRef, replacement: Option<&str>) -> Made {
        let made = mask(array, &Field::new("v", array.data_type().clone(), true), replacement);
        assert_eq!((made.array.data_type(), made.array.len()), (array.data_type(), array.len()));
        made
    }

    /// What becomes of a value and of the null after it.
    fn first(array: ArrayRef, replacement: Option<&str>) -> String {
        let Made { array, rejects } = run(&array, replacement);
        assert!(array.is_null(1), "a null stays one");
        match &rejects[..] {
            [] => array_value_to_string(&array, 0).expect("a value"),
            [reject] => reject.reason.clone(),
            _ => panic!("a null is no reject: {rejects:?}"),
        }
    }

    fn maps() -> ArrayRef {
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        maps.keys().append_value("k");
        maps.values().append_value("v");
        maps.append(true).expect("one key for one value");
        maps.append(false).expect("one key for one value");
        Arc::new(maps.finish())
    }

    fn columns() -> Vec<ArrayRef> {
        vec![
            Arc::new(Int8Array::from(vec![Some(42), None])),
            Arc::new(Int16Array::from(vec![Some(42), None])),
            Arc::new(Int32Array::from(vec![Some(42), None])),
            Arc::new(Int64Array::from(vec![Some(42), None])),
            Arc::new(Float32Array::from(vec![Some(42.0), None])),
            Arc::new(Float64Array::from(vec![Some(42.0), None])),
            Arc::new(Decimal128Array::from(vec![Some(4200), None]).with_precision_and_scale(38, 2).expect("digits")),
            Arc::new(Decimal256Array::from(vec![Some(i256::from_i128(4200)), None]).with_precision_and_scale(76, 2).expect("digits")),
            Arc::new(StringArray::from(vec![Some("55.121.20.20"), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(Date32Array::from(vec![Some(42), None])),
            Arc::new(Time32MillisecondArray::from(vec![Some(42), None])),
            Arc::new(TimestampMillisecondArray::from(vec![Some(42), None]).with_timezone("UTC")),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(42)]), None])),
            maps(),
            Arc::new(BinaryArray::from(vec![Some(&b"x"[..]), None])),
        ]
    }

    #[test]
    fn every_type_has_its_mask() {
        let expected = [
            "0",
            "0",
            "0",
            "0",
            "0.0",
            "0.0",
            "0.00",
            "0.00",
            "",
            "false",
            "1970-01-01",
            "00:00:00",
            "1970-01-01T00:00:00Z",
            "[]",
            "{}",
            "Cannot mask value of type: class [B",
        ];
        for (array, expected) in columns().into_iter().zip(expected) {
            let kind = array.data_type().clone();
            assert_eq!(first(array, None), expected, "{kind}");
        }
    }

    #[test]
    fn numbers_and_strings_have_replacements_and_nothing_else_has() {
        let refused = |class: &str| format!("Cannot mask value of type class {class} with custom replacement.");
        let [date, list, map] = ["java.util.Date", "java.util.ArrayList", "java.util.HashMap"].map(refused);
        let (boolean, bytes) = (refused("java.lang.Boolean"), refused("[B"));
        let of_300 = ["44", "300", "300", "300", "300.0", "300.0", "300.00", "300.00", "300", &boolean, &date, &date, &date, &list, &map, &bytes];
        for (array, expected) in columns().into_iter().zip(of_300) {
            let kind = array.data_type().clone();
            assert_eq!(first(array, Some("300")), expected, "{kind}");
        }
        for (array, replacement, expected) in [
            (2, "foo", "Unable to convert foo (class java.lang.String) to a number"),
            (5, "foo", "Unable to convert foo (class java.lang.String) to a number"),
            (6, "foo", "Unable to convert foo (class java.lang.String) to number"),
            (2, "1.9", "1"),
            (3, "9223372036854775808", "-9223372036854775808"),
            (4, "1e39", "inf"),
            (6, "1.5", "1.50"),
            (6, "1.555", "replacement 1.555 does not fit into 38 digits with scale 2: shorten it"),
            (6, "1e37", "replacement 1e37 does not fit into 38 digits with scale 2: shorten it"),
            (7, "1e37", "10000000000000000000000000000000000000.00"),
            (8, "é", "é"),
        ] {
            assert_eq!(first(Arc::clone(&columns()[array]), Some(replacement)), expected, "{replacement}");
        }
    }

    #[test]
    fn a_piece_of_a_column_is_masked_like_the_whole() {
        for array in columns() {
            let piece = array.slice(1, 1);
            assert!(run(&piece, None).array.is_null(0) && run(&piece, Some("1")).rejects.is_empty());
        }
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
        assert_eq!(run(&texts, Some("xy")).array.as_string::<i32>(), &StringArray::from(vec![Some("xy"), None, Some("xy")]));
    }
}
