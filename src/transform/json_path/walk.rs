//! A path over a column of values: each step is a step of all rows, and below lists of all their items.
//!
//! What becomes of a row is Jayway's: as far as a path is definite (before its first `[*]` or condition), a step that leads nowhere means that the path is not
//! in the record at all; behind that, it only is no hit.

use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use lakehead_formats::schemaless::{Dynamic, Kind};

use super::{JsonPath, Place, Step, ValuePath, condition};

/// What a path finds in the rows of a column.
#[derive(Debug)]
pub(in super::super) struct Found {
    /// Where there is something.
    pub(in super::super) hits: BooleanBuffer,
    /// Where the path is not in the record.
    pub(in super::super) missing: BooleanBuffer,
    /// Rows of which that cannot be told, and why; ascending, each once.
    pub(in super::super) failed: Vec<(usize, String)>,
}

/// Where a path leads to something.
///
/// # Errors
/// When a column cannot be put together.
pub(in super::super) fn find(path: &JsonPath, values: &Dynamic) -> Result<Found, ArrowError> {
    let rows = values.len();
    let mut walk = Walk { root: values, is_definite: path.is_definite(), hits: vec![false; rows], missing: vec![false; rows], failed: Vec::new() };
    walk.step(&path.steps, values, None, true)?;
    let Walk { hits, missing, mut failed, .. } = walk;
    failed.sort_by_key(|(row, _)| *row);
    failed.dedup_by_key(|(row, _)| *row);
    Ok(Found { hits: hits.into(), missing: missing.into(), failed })
}

/// What a path of one value leads to; absent where it leads nowhere.
///
/// # Errors
/// When a column cannot be put together.
pub(in super::super) fn definite(path: &JsonPath, values: &Dynamic) -> Result<Dynamic, ArrowError> {
    let mut found = values.clone();
    for step in &path.steps {
        found = match step {
            Step::Member(name) => member(&found, name),
            Step::Index(index) => item(&found, *index)?,
            Step::Every | Step::Filter(_) => return Err(ArrowError::InvalidArgumentError("the path leads to many values".to_owned())),
        };
    }
    Ok(found)
}

/// The same within a condition.
pub(super) fn at(path: &ValuePath, item_values: &Dynamic, root: &Dynamic) -> Result<Dynamic, ArrowError> {
    let start = if path.from_root { root } else { item_values };
    path.steps.iter().try_fold(start.clone(), |found, step| match step {
        Place::Member(name) => Ok(member(&found, name)),
        Place::Index(index) => item(&found, *index),
    })
}

fn member(values: &Dynamic, name: &str) -> Dynamic {
    values.member(name).unwrap_or_else(|| Dynamic::none(Kind::Absent, values.len()))
}

/// Offsets of the items of the row's list.
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| offsets.get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

/// One item of the rows' lists, from the end where the index is negative.
fn item(values: &Dynamic, index: i64) -> Result<Dynamic, ArrowError> {
    let Some((offsets, items)) = values.list() else { return Ok(Dynamic::none(Kind::Absent, values.len())) };
    let nothing = Dynamic::none(Kind::Absent, 1);
    let lists = values.are(Kind::List);
    let place = |row: usize| {
        let range = range(offsets, row);
        let start = i64::try_from(if index < 0 { range.end } else { range.start }).unwrap_or(i64::MAX);
        let place = usize::try_from(start.checked_add(index)?).ok()?;
        (lists.value(row) && range.contains(&place)).then_some(place)
    };
    let places: Vec<(usize, usize)> = (0..values.len()).map(|row| place(row).map_or((1, 0), |place| (0, place))).collect();
    Dynamic::interleave(&[items, nothing], &places)
}

/// All items of the rows' lists, and the row of each.
fn items(values: &Dynamic) -> Result<Option<(Dynamic, Vec<usize>)>, ArrowError> {
    let Some((offsets, items)) = values.list() else { return Ok(None) };
    let lists = values.are(Kind::List);
    let (mut places, mut owners) = (Vec::new(), Vec::new());
    for row in lists.set_indices() {
        let range = range(offsets, row);
        owners.extend(std::iter::repeat_n(row, range.len()));
        places.extend(range.map(|place| (0, place)));
    }
    if places.is_empty() {
        return Ok(None);
    }
    Ok(Some((Dynamic::interleave(&[items], &places)?, owners)))
}

struct Walk<'a> {
    root: &'a Dynamic,
    is_definite: bool,
    hits: Vec<bool>,
    missing: Vec<bool>,
    failed: Vec<(usize, String)>,
}

fn owner(owners: Option<&[usize]>, row: usize) -> usize {
    owners.map_or(row, |owners| owners.get(row).copied().unwrap_or(row))
}

fn mark(flags: &mut [bool], rows: &BooleanBuffer, owners: Option<&[usize]>) {
    for row in rows.set_indices() {
        flags.get_mut(owner(owners, row)).into_iter().for_each(|flag| *flag = true);
    }
}

impl Walk<'_> {
    /// The rest of the path in these values, each of which is in the row that `owners` says; absent ones are nowhere.
    fn step(&mut self, steps: &[Step], values: &Dynamic, owners: Option<&[usize]>, definite: bool) -> Result<(), ArrowError> {
        let there = !&values.are(Kind::Absent);
        let Some((step, rest)) = steps.split_first() else {
            mark(&mut self.hits, &there, owners);
            return Ok(());
        };
        match step {
            Step::Member(name) => {
                let found = member(values, name);
                if definite {
                    mark(&mut self.missing, &(&there & &found.are(Kind::Absent)), owners);
                }
                self.step(rest, &found, owners, definite)
            }
            Step::Index(index) => {
                let found = item(values, *index)?;
                if definite {
                    let nowhere = if self.is_definite { found.are(Kind::Absent) } else { !&values.are(Kind::List) };
                    mark(&mut self.missing, &(&there & &nowhere), owners);
                }
                self.step(rest, &found, owners, definite)
            }
            Step::Every => {
                for (_, found) in values.members() {
                    self.step(rest, &found, owners, false)?;
                }
                self.each_item(values, owners, |walk, items, owners| walk.step(rest, items, Some(owners), false))
            }
            Step::Filter(condition) => {
                self.filter(condition, rest, values, owners, &values.are(Kind::Map))?;
                self.each_item(values, owners, |walk, items, owners| {
                    let all = !&items.are(Kind::Absent);
                    walk.filter(condition, rest, items, Some(owners), &all)
                })?;
                if definite {
                    let others = &(&there & &!&values.are(Kind::Map)) & &!&values.are(Kind::List);
                    self.failed.extend(others.set_indices().map(|row| (owner(owners, row), not_a_container(values.kind(row)))));
                }
                Ok(())
            }
        }
    }

    fn each_item(
        &mut self,
        values: &Dynamic,
        owners: Option<&[usize]>,
        then: impl FnOnce(&mut Self, &Dynamic, &[usize]) -> Result<(), ArrowError>,
    ) -> Result<(), ArrowError> {
        let Some((items, rows)) = items(values)? else { return Ok(()) };
        let owners: Vec<usize> = rows.into_iter().map(|row| owner(owners, row)).collect();
        then(self, &items, &owners)
    }

    /// The rest of the path in those of `among` that the condition holds for.
    fn filter(&mut self, of: &super::Condition, rest: &[Step], values: &Dynamic, owners: Option<&[usize]>, among: &BooleanBuffer) -> Result<(), ArrowError> {
        if among.count_set_bits() == 0 {
            return Ok(());
        }
        let root = match owners {
            Some(owners) if of.has_root() => {
                Some(Dynamic::interleave(std::slice::from_ref(self.root), &owners.iter().map(|row| (0, *row)).collect::<Vec<_>>())?)
            }
            _ => None,
        };
        let truth = condition::test(of, values, root.as_ref().unwrap_or(self.root))?;
        for row in (&truth.fatal & among).set_indices() {
            self.failed.push((owner(owners, row), condition::INCOMPARABLE.to_owned()));
        }
        let accepted = &truth.yes & among;
        if accepted.count_set_bits() == 0 {
            return Ok(());
        }
        self.step(rest, &values.only(&accepted)?, owners, false)
    }
}

fn not_a_container(kind: Kind) -> String {
    format!("Filter: [?] can not be applied to primitives: the condition stands behind what is no object and no array but {}", kind.class_name())
}
