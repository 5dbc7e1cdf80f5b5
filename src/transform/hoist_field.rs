//! `HoistField`: the whole as the one field of a struct or map.
//!
//! Upstream: `org.apache.kafka.connect.transforms.HoistField$Key` and `$Value`. A null is wrapped, too. Where it stands among values of a required schema, which
//! has no nulls, it has no schema: as upstream it becomes a map, and the batch is cut around it. So the schema of a record never depends on its neighbours.

use std::sync::Arc;

use arrow::array::{StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schemaless::Dynamic;

use super::fields::named;
use super::rows;
use super::side::{Refusal, Rewrite, Rewritten, Sided, null_rows};
use super::{Built, Side, Transform};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[ConfigKey {
    name: "field",
    kind: Type::String,
    default: None,
    required: true,
    importance: Importance::Medium,
    group: "",
    doc: "The name of the field that the whole becomes.",
    check: Check::Any,
}];

#[derive(Debug)]
struct HoistField {
    name: Arc<str>,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let name = Arc::from(Values { tables: &[KEYS], props }.text("field"));
    Ok(Box::new(WithNulls { side, rows: Sided { reads: side, writes: side, rewrite: HoistField { name } } }))
}

/// Takes nulls that have no schema apart from the values that have one.
#[derive(Debug)]
struct WithNulls {
    side: Side,
    rows: Sided<HoistField>,
}

impl Transform for WithNulls {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let column = self.side.of(&batch);
        let Some(nulls) = null_rows(column).filter(|_| !column.field.is_nullable()) else { return self.rows.apply(batch, out) };
        let turns: Vec<usize> = (1..batch.len()).filter(|row| nulls.is_null(*row) != nulls.is_null(row - 1)).collect();
        let (mut rejects, mut first) = (Vec::new(), 0);
        for mut piece in rows::cut(&batch, &turns) {
            let length = piece.len();
            if nulls.is_null(first) {
                let none = Field::new(self.side.name(), DataType::Null, true);
                self.side.put(&mut piece, Column::new(Arc::new(none), new_null_array(&DataType::Null, length)));
            }
            let found = self.rows.apply(piece, out);
            rejects.extend(found.into_iter().map(|reject| Reject { row: reject.row + first, ..reject }));
            first += length;
        }
        rejects
    }

    fn reads(&self) -> Option<Side> {
        self.rows.reads()
    }
}

impl Rewrite for HoistField {
    const PASSES_NULLS: bool = false;

    fn schemaless(&mut self, _batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        Ok(Dynamic::map(vec![(Arc::clone(&self.name), values.clone())], values.len())?.into())
    }

    fn with_schema(&mut self, _batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let fields = Fields::from(vec![named(&column.field, &self.name)]);
        let array = StructArray::try_new(fields.clone(), vec![Arc::clone(&column.array)], None)?;
        Ok(Column::new(Arc::new(Field::new(column.field.name(), DataType::Struct(fields), false)), Arc::new(array)).into())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::super::configure;
    use super::super::rows::tests::batch;
    use super::super::side::tests::{apply_json, apply_schema, schema};
    use super::*;

    #[test]
    fn every_value_becomes_a_field() {
        let rows = apply_json("HoistField$Value", &[("field", "v")], &["7", "null", r#"{"v":[1]}"#, "\"x\""]);
        let expected = [r#"{"v":7}"#, r#"{"v":null}"#, r#"{"v":{"v":[1]}}"#, r#"{"v":"x"}"#];
        assert_eq!(rows.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_schema_is_that_of_the_field() {
        let hoisted = |optional: bool| format!(r#"{{"type":"struct","fields":[{{"field":"v","type":"int32","optional":{optional}}}]}}"#);
        let shown = apply_schema("HoistField$Key", &[("field", "v")], r#"{"type":"int32"}"#, &["7", "8"]);
        assert_eq!((shown.schema, shown.rows), (schema(&hoisted(false)), vec![r#"{"v":7}"#.to_owned(), r#"{"v":8}"#.to_owned()]));
        let optional = apply_schema("HoistField$Key", &[("field", "v")], r#"{"type":"int32","optional":true}"#, &["7", "null"]);
        assert_eq!((optional.schema, optional.rows), (schema(&hoisted(true)), vec![r#"{"v":7}"#.to_owned(), r#"{"v":null}"#.to_owned()]));
    }

    #[test]
    fn a_null_that_has_no_schema_becomes_a_map_and_stands_alone() {
        let required = Arc::new(Field::new("value", DataType::Int32, false));
        for rows in [vec![Some(7), None, None, Some(8)], vec![None, Some(7)], vec![None, None], vec![Some(7)]] {
            let offsets: Vec<(i64, Option<i64>)> = (0..rows.len()).map(|row| (11 + row as i64, None)).collect();
            let mut given = batch(&offsets);
            // A required column with tombstones in it.
            given.value = Column { field: Arc::clone(&required), array: Arc::new(Int32Array::from(rows.clone())) };
            let mut out = Vec::new();
            let rejects = configure("HoistField$Value", &[("field".to_owned(), "v".to_owned())].into()).unwrap().apply(given, &mut out);
            let shown = out.iter().flat_map(|batch| match Dynamic::of_column(&batch.value) {
                Some(maps) => maps.json().unwrap().iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>(),
                None => {
                    assert!(!batch.value.array.as_struct().fields()[0].is_nullable());
                    batch.value.array.as_struct().column(0).as_primitive::<Int32Type>().iter().map(|value| format!("struct of {value:?}")).collect()
                }
            });
            let expected: Vec<String> = rows.iter().map(|row| row.map_or(r#"{"v":null}"#.to_owned(), |value| format!("struct of Some({value})"))).collect();
            assert_eq!((shown.collect::<Vec<_>>(), rejects), (expected, vec![]));
            assert_eq!((out.first().unwrap().span.start, out.last().unwrap().span.end), (10, 100));
            assert!(out.windows(2).all(|pair| pair[0].span.end == pair[1].span.start));
        }
    }
}
