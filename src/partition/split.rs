//! Rows by path: what a writer does with the codes that a partitioner gave.

use std::ops::Range;

use arrow::array::UInt32Array;

use super::Paths;

/// The rows of one path.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Every row of the range.
    All,
    /// These row numbers of the batch, ascending: the indices of a `take` kernel.
    Take(UInt32Array),
}

/// Groups the rows of `range` by their code: (code, rows) in the order of first appearance. Rows that were rejected are in no group. `distinct` is the
/// number of codes that may occur (`Paths::distinct.len()`); `range` is within `codes`.
#[must_use]
pub fn split_rows(codes: &[u32], range: Range<usize>, distinct: usize) -> Vec<(u32, Rows)> {
    let part = codes.get(range.clone()).unwrap_or(&[]);
    let Some((&first, others)) = part.split_first() else { return Vec::new() };
    if others.iter().all(|code| *code == first) {
        return if first == Paths::REJECTED { Vec::new() } else { vec![(first, Rows::All)] };
    }
    let mut counts = vec![0_usize; distinct];
    for code in part {
        if let Some(count) = counts.get_mut(*code as usize) {
            *count += 1;
        }
    }
    let mut group_of = vec![usize::MAX; distinct];
    let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
    for (row, &code) in (range.start..).zip(part) {
        let Some(group) = group_of.get_mut(code as usize) else { continue };
        if *group == usize::MAX {
            *group = groups.len();
            groups.push((code, Vec::with_capacity(counts.get(code as usize).copied().unwrap_or(0))));
        }
        if let (Some((_, rows)), Ok(row)) = (groups.get_mut(*group), u32::try_from(row)) {
            rows.push(row);
        }
    }
    groups.into_iter().map(|(code, rows)| (code, Rows::Take(UInt32Array::from(rows)))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const X: u32 = Paths::REJECTED;

    fn take(rows: &[u32]) -> Rows {
        Rows::Take(UInt32Array::from(rows.to_vec()))
    }

    #[test]
    fn rows_by_code() {
        for (codes, range, wanted) in [
            (vec![], 0..0, vec![]),
            (vec![2, 2, 2], 0..3, vec![(2, Rows::All)]),
            (vec![1, 0, 0], 1..3, vec![(0, Rows::All)]),
            (vec![1, 0, 1, 2], 0..4, vec![(1, take(&[0, 2])), (0, take(&[1])), (2, take(&[3]))]),
            (vec![0, 1, 0, 1], 1..3, vec![(1, take(&[1])), (0, take(&[2]))]),
            (vec![X, 0, 0], 0..3, vec![(0, take(&[1, 2]))]),
            (vec![X, X], 0..2, vec![]),
        ] {
            assert_eq!(split_rows(&codes, range.clone(), 3), wanted, "{codes:?} {range:?}");
        }
    }

    proptest! {
        #[test]
        fn every_row_is_in_the_group_of_its_code_once_and_in_order(codes in prop::collection::vec(prop_oneof![0_u32..4, Just(X)], 0..40), cut in 0_usize..40) {
            let range = cut.min(codes.len())..codes.len();
            let mut found = Vec::new();
            for (code, rows) in split_rows(&codes, range.clone(), 4) {
                let rows = match rows {
                    Rows::All => range.clone().collect(),
                    Rows::Take(rows) => rows.values().iter().map(|row| *row as usize).collect::<Vec<_>>(),
                };
                prop_assert!(rows.is_sorted() && rows.iter().all(|row| codes[*row] == code));
                found.extend(rows);
            }
            found.sort_unstable();
            let wanted: Vec<usize> = range.filter(|row| codes[*row] != X).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
