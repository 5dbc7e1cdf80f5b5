//! Values to look for paths in: those of one side of a batch, read once, whatever they are.

use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schemaless::{Dynamic, Wanted, map_cells};

use super::super::side::{Refusal, Rewrite, Rewritten, Side, Sided, class_of, is_struct, map_required, not_maps, null_rows, struct_required};
use super::super::{Transform, rows};
use crate::batch::Batch;

/// What values have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Objects {
    /// Maps, for this purpose, or structs, for that one; or null.
    Only(&'static str, &'static str),
    /// Maps, for this purpose.
    Maps(&'static str),
    /// Anything.
    OrAnything,
}

/// Leaves out records that are not what they have to be, and changes none.
#[derive(Debug)]
struct Unchanged(Objects);

impl Rewrite for Unchanged {
    const PASSES_NULLS: bool = false;

    fn schemaless(&mut self, _: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let rejects = match self.0 {
            Objects::Only(purpose, _) => not_maps(values, purpose, false),
            Objects::Maps(purpose) => not_maps(values, purpose, true),
            Objects::OrAnything => Vec::new(),
        };
        Ok(Rewritten { values: values.clone(), rejects })
    }

    fn with_schema(&mut self, _: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        match self.0 {
            Objects::Only(_, purpose) if !is_struct(column) => {
                // Nulls are none of those that have to be structs.
                let nulls = null_rows(column);
                let reason = struct_required(purpose, column).0;
                let wrong = (0..column.len()).filter(|row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row)));
                let rejects = wrong.map(|row| Reject { row, reason: reason.clone() }).collect();
                Ok(Rewritten { values: column.clone(), rejects })
            }
            Objects::Maps(purpose) => Err(Refusal(map_required(purpose, class_of(&column.field)))),
            _ => Ok(column.clone().into()),
        }
    }
}

/// What becomes of a part of a batch: batches that cover its span, and rows that are left out, numbered as in it.
pub(in super::super) type Done = Result<(Vec<Batch>, Vec<Reject>), Refusal>;

/// Cells of maps that are read at once; a cell takes some 20 bytes.
const CELLS: usize = 1 << 20;

/// The pieces, halved until what their maps become is bounded.
fn bounded(pieces: Vec<Batch>, side: Side) -> Vec<Batch> {
    let (mut left, mut done) = (pieces, Vec::new());
    left.reverse();
    while let Some(piece) = left.pop() {
        let rows = piece.len();
        if rows < 2 || map_cells(&side.of(&piece).array) <= CELLS {
            done.push(piece);
        } else {
            left.extend([rows::between(&piece, rows / 2, rows), rows::between(&piece, 0, rows / 2)]);
        }
    }
    done
}

/// Reads one side, of which only `wanted` is looked at, and does something with it: `then` is given parts of the batch, without the records that are not what
/// they have to be, and their values as schemaless ones. What was read stays read for what comes next.
pub(in super::super) fn with_values(
    side: Side,
    objects: Objects,
    wanted: &Wanted,
    batch: Batch,
    out: &mut Vec<Batch>,
    then: &mut dyn FnMut(&Batch, &Dynamic) -> Done,
) -> Vec<Reject> {
    if batch.is_empty() {
        out.push(batch);
        return Vec::new();
    }
    let offsets = batch.offsets.clone();
    let mut pieces = Vec::new();
    let mut rejects = Sided { reads: side, writes: side, rewrite: Unchanged(objects) }.apply(batch, &mut pieces);
    for piece in bounded(pieces, side) {
        if piece.is_empty() {
            out.push(piece);
            continue;
        }
        let column = side.of(&piece);
        let values = match Dynamic::of_column(column) {
            Some(values) => Ok(values),
            None => Dynamic::of_schema(column, wanted).map_err(Refusal::from),
        };
        let found = match values.and_then(|values| then(&piece, &values)) {
            Ok((batches, found)) => {
                out.extend(batches);
                found
            }
            Err(Refusal(reason)) => {
                out.push(rows::without_rows(&piece));
                (0..piece.len()).map(|row| Reject { row, reason: reason.clone() }).collect()
            }
        };
        let own = piece.offsets.values();
        let row_of = |row: usize| offsets.values().partition_point(|offset| own.get(row).is_some_and(|own| offset < own));
        rejects.extend(found.into_iter().map(|reject| Reject { row: row_of(reject.row), ..reject }));
    }
    rejects.sort_by_key(|reject| reject.row);
    rejects
}
