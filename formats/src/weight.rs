//! Bytes of values: of a slice those that lie in it, also within lists and maps, whose items a slice has all of.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;

/// Bytes of an array's values.
#[must_use]
pub fn weight(rows: &dyn Array) -> u64 {
    let mut weight = [0];
    weigh(rows, &[0, rows.len()], &mut weight);
    weight.into_iter().sum()
}

/// Adds the bytes of the values between neighbouring `bounds` to `weights`.
pub fn weigh(array: &dyn Array, bounds: &[usize], weights: &mut [u64]) {
    let mut add = |of: &dyn Fn(usize, usize) -> usize| {
        for (bound, weight) in bounds.windows(2).zip(weights.iter_mut()) {
            if let [start, end] = bound {
                *weight += of(*start, *end) as u64;
            }
        }
    };
    if array.nulls().is_some() {
        add(&|start, end| (end - start).div_ceil(8));
    }
    match array.data_type() {
        DataType::Null => {}
        DataType::Boolean => add(&|start, end| (end - start).div_ceil(8)),
        DataType::Utf8 => text(array.as_string::<i32>().value_offsets(), &mut add),
        DataType::Binary => text(array.as_binary::<i32>().value_offsets(), &mut add),
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|column| weigh(column, bounds, weights)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            add(&|start, end| 4 * (end - start));
            weigh(list.values(), &inner(list.value_offsets(), bounds), weights);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            add(&|start, end| 4 * (end - start));
            weigh(map.entries(), &inner(map.value_offsets(), bounds), weights);
        }
        other => match other.primitive_width() {
            Some(width) => add(&|start, end| width * (end - start)),
            None => add(&|start, end| array.slice(start, end - start).to_data().get_slice_memory_size().unwrap_or(0)),
        },
    }
}

fn text(offsets: &[i32], add: &mut dyn FnMut(&dyn Fn(usize, usize) -> usize)) {
    let at = |row: usize| offsets.get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    add(&|start, end| at(end).saturating_sub(at(start)) + 4 * (end - start));
}

/// Where the items of lists lie.
fn inner(offsets: &[i32], bounds: &[usize]) -> Vec<usize> {
    bounds.iter().map(|bound| offsets.get(*bound).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::ListArray;
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn slices_weigh_as_much_as_the_whole() {
        let rows = ListArray::from_iter_primitive::<Int64Type, _, _>((0..100).map(|row| Some(vec![Some(row); 10])));
        let whole = weight(&rows);
        assert_eq!(whole, 100 * (10 * 8 + 4));
        assert_eq!((0..100).map(|row| weight(&rows.slice(row, 1))).sum::<u64>(), whole);
    }
}
