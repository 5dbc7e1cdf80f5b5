//! `HeaderFrom`: fields of the key or the value as headers, moved or copied.
//!
//! Upstream: `org.apache.kafka.connect.transforms.HeaderFrom`. A field becomes a header as the column that it is: no value is copied. The header of a schemaless
//! value has no schema: it is JSON text, and where it is a date, an instant, which is written as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, NullArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::headers::{self, Added};
use lakehead_formats::schemaless::{Dynamic, Kind};

use super::drop_headers::refused;
use super::fields::{REPLACE_NULL_WITH_DEFAULT, as_struct, rebuilt, with_default};
use super::mask_field::not_empty;
use super::rows;
use super::schemaless_kinds::get;
use super::side::{Refusal, Rewrite, Rewritten, Sided, not_maps, struct_required};
use super::{Built, Side, Transform};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

const fn key(name: &'static str, kind: Type, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default: None, required: true, importance: Importance::High, group: "Transforms", doc, check }
}

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    key("fields", Type::List, Check::Any, "The fields that become headers."),
    key("headers", Type::List, Check::Any, "The names of the headers, one for each field."),
    key("operation", Type::String, Check::OneOf(&["move", "copy"]), "move takes the fields out of where they were, copy leaves them there."),
    REPLACE_NULL_WITH_DEFAULT,
];

#[derive(Debug)]
struct HeaderFrom {
    side: Side,
    fields: Vec<Arc<str>>,
    headers: Vec<Arc<str>>,
    moves: bool,
    replaces_nulls: bool,
    /// What is asked of the records before anything is done to them.
    rows: Sided<WithFields>,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let (fields, headers) = match (not_empty(&values, "fields"), not_empty(&values, "headers")) {
        (Ok(fields), Ok(headers)) => (fields, headers),
        (fields, headers) => return Err(fields.err().into_iter().chain(headers.err()).collect()),
    };
    if fields.len() != headers.len() {
        return Err(vec![ConfigError::new("fields", "'fields' config must have the same number of elements as 'headers' config.")]);
    }
    let moves = values.text("operation") == "move";
    let purpose = if moves { "header move" } else { "header copy" };
    let rows = Sided { reads: side, writes: side, rewrite: WithFields { fields: fields.clone(), purpose } };
    Ok(Box::new(HeaderFrom { side, fields, headers, moves, replaces_nulls: values.boolean("replace.null.with.default"), rows }))
}

/// Leaves out records that are no struct or map, changes nothing.
#[derive(Debug)]
struct WithFields {
    fields: Vec<Arc<str>>,
    purpose: &'static str,
}

impl Rewrite for WithFields {
    const PASSES_NULLS: bool = false;

    fn schemaless(&mut self, _: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        Ok(Rewritten { values: values.clone(), rejects: not_maps(values, self.purpose, true) })
    }

    fn with_schema(&mut self, _: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let rows = as_struct(column).ok_or_else(|| struct_required(self.purpose, column))?;
        if let Some(missing) = self.fields.iter().find(|name| rows.fields().find(name).is_none()) {
            let there: Vec<&str> = rows.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(Refusal(format!("Unknown field: {missing}; the schema has {}", there.join(", "))));
        }
        let reason = format!("Only Struct objects supported for [{}], found: null", self.purpose);
        let rejects = (0..rows.len()).filter(|row| rows.is_null(*row)).map(|row| Reject { row, reason: reason.clone() }).collect();
        Ok(Rewritten { values: column.clone(), rejects })
    }
}

impl Transform for HeaderFrom {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let offsets = batch.offsets.clone();
        let mut pieces = Vec::new();
        let mut rejects = self.rows.apply(batch, &mut pieces);
        for piece in pieces.iter().flat_map(|piece| rows::cut(piece, &self.turns(piece))) {
            match self.with_headers(&piece) {
                Ok(done) => out.push(done),
                Err(Refusal(reason)) => {
                    let own = piece.offsets.clone();
                    let row_of = |row: usize| offsets.values().partition_point(|offset| *offset < own.value(row));
                    rejects.extend(refused(&piece, &reason, out).into_iter().map(|reject| Reject { row: row_of(reject.row), ..reject }));
                }
            }
        }
        rejects.sort_by_key(|reject| reject.row);
        rejects
    }

    fn reads(&self) -> Option<Side> {
        self.rows.reads()
    }
}

impl HeaderFrom {
    /// The rows before which a header of schemaless values turns from dates into others, or back: the columns of headers have one type.
    fn turns(&self, batch: &Batch) -> Vec<usize> {
        let Some(values) = Dynamic::of_column(self.side.of(batch)) else { return Vec::new() };
        let mut turns = BTreeSet::new();
        for value in self.fields.iter().filter_map(|name| values.member(name)).filter(|value| value.has(Kind::Date)) {
            let mut last = None;
            for (row, kind) in (0..value.len()).map(|row| (row, value.kind(row))).filter(|(_, kind)| *kind > Kind::Null) {
                let is_date = kind == Kind::Date;
                if last.replace(is_date).is_some_and(|last| last != is_date) {
                    turns.insert(row);
                }
            }
        }
        turns.into_iter().collect()
    }

    fn with_headers(&self, batch: &Batch) -> Result<Batch, Refusal> {
        let column = self.side.of(batch);
        if batch.is_empty() {
            return Ok(batch.clone());
        }
        let (values, left) = match Dynamic::of_column(column) {
            Some(values) => self.of_maps(&values, column.field.name())?,
            None => self.of_structs(column)?,
        };
        let mut done = batch.clone();
        for (name, value) in self.headers.iter().zip(&values) {
            done.headers = Some(headers::with(done.headers.as_ref(), done.len(), name, Added::Each(value))?);
        }
        if self.moves {
            self.side.put(&mut done, left);
        }
        Ok(done)
    }

    /// The values of the headers, and what is left of the maps.
    fn of_maps(&self, values: &Dynamic, name: &str) -> Result<(Vec<Column>, Column), Refusal> {
        let header = |field: &Arc<str>| Ok(without_schema(get(values, field))?);
        let found = self.fields.iter().map(header).collect::<Result<Vec<_>, Refusal>>()?;
        let left = values.members().filter(|(name, _)| !self.fields.contains(name)).collect();
        Ok((found, values.with_members(left)?.into_column(name)))
    }

    /// The same of structs.
    fn of_structs(&self, column: &Column) -> Result<(Vec<Column>, Column), Refusal> {
        let rows = as_struct(column).ok_or_else(|| struct_required("header", column))?;
        let (mut fields, mut columns): (Vec<FieldRef>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        let mut found: Vec<Option<Column>> = vec![None; self.fields.len()];
        for (field, values) in rows.fields().iter().zip(rows.columns()) {
            let values = if self.replaces_nulls { with_default(field, values)? } else { Arc::clone(values) };
            let mut is_header = false;
            for (name, header) in self.fields.iter().zip(&mut found).filter(|(name, _)| ***name == **field.name()) {
                *header = Some(Column::new(Arc::new(field.as_ref().clone().with_name(name.as_ref())), Arc::clone(&values)));
                is_header = true;
            }
            if !is_header {
                fields.push(Arc::clone(field));
                columns.push(values);
            }
        }
        let left = rebuilt(&column.field, fields, columns, rows.nulls().filter(|nulls: &&NullBuffer| nulls.null_count() > 0), rows.len())?;
        Ok((found.into_iter().flatten().collect(), left))
    }
}

/// A schemaless value as a header's.
fn without_schema(values: Dynamic) -> Result<Column, arrow::error::ArrowError> {
    let nulls = values.nulls();
    if nulls.null_count() == nulls.len() {
        let rows = values.len();
        return Ok(Column::new(Arc::new(Field::new("header", DataType::Null, true)), Arc::new(NullArray::new(rows))));
    }
    match values.lane(Kind::Date) {
        Some(dates) if dates.null_count() == nulls.null_count() => {
            Ok(Column::new(Arc::new(Field::new("header", dates.data_type().clone(), true)), Arc::clone(dates)))
        }
        _ => values.into_json_column("header"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{AsArray, Int64Array, StringArray, StructArray};
    use lakehead_formats::headers::{Own, written};
    use lakehead_formats::payload;
    use lakehead_formats::schemaless::{Builder, Value};

    use super::super::configure;
    use super::super::rows::tests::batch;
    use super::*;

    fn transform(settings: &[(&str, &str)]) -> Built {
        let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        configure("org.apache.kafka.connect.transforms.HeaderFrom$Value", &props)
    }

    /// `name=text` of each row.
    fn shown(batch: &Batch) -> Vec<String> {
        let mut writer = (payload::find_for_headers("simple").unwrap().build)(&BTreeMap::new()).unwrap();
        let (list, _) = written(batch.headers.as_ref().unwrap(), Own::Bytes, writer.as_mut()).unwrap();
        let text = |row: usize| {
            let entries = list.value(row);
            let (names, values) = (entries.as_struct().column(0).as_string::<i32>().clone(), entries.as_struct().column(1).as_binary::<i32>().clone());
            let texts = names.iter().zip(values.iter()).map(|(name, value)| format!("{}={}", name.unwrap(), value.unwrap_or(b"null").escape_ascii()));
            texts.collect::<Vec<_>>().join(" ")
        };
        (0..batch.len()).map(text).collect()
    }

    #[test]
    fn fields_of_maps_become_headers_without_a_schema() {
        let mut given = batch(&[(11, None), (12, None), (13, None)]);
        let texts = ["{\"a\":\"x\",\"b\":1,\"c\":[1,\"y\"]}", "7", "{\"b\":2.0}"];
        given.value = Column::new(lakehead_formats::schema::json_text("value"), Arc::new(StringArray::from(texts.to_vec())));
        for (operation, left) in [("move", ["{\"b\":1}", "{\"b\":2.0}"]), ("copy", [texts[0], texts[2]])] {
            let mut out = Vec::new();
            let mut transform = transform(&[("fields", "a,c,d"), ("headers", "h,i,j"), ("operation", operation)]).unwrap();
            let rejects = transform.apply(given.clone(), &mut out);
            let reason = format!("Only Map objects supported in absence of schema for [header {operation}], found: java.lang.Long");
            assert_eq!(rejects, [Reject { row: 1, reason }]);
            assert_eq!(shown(&out[0]), ["h=x i=[1,\\\"y\\\"] j=null", "h=null i=null j=null"]);
            let json = Dynamic::of_column(&out[0].value).unwrap().json().unwrap();
            assert_eq!(json.iter().flatten().collect::<Vec<_>>(), left, "{operation}");
        }
    }

    #[test]
    fn a_date_is_written_as_one_whatever_its_neighbours_are() {
        let mut given = batch(&[(11, None), (12, None), (13, None), (14, None), (15, None)]);
        let mut builder = Builder::new();
        for value in [Value::Date(86_400_001), Value::Null, Value::Int64(7), Value::Date(172_800_001), Value::String("x")] {
            builder.open_map();
            builder.key("a");
            builder.value(value);
            builder.close();
        }
        given.value = builder.finish().unwrap().into_column("value");
        let mut out = Vec::new();
        let mut transform = transform(&[("fields", "a"), ("headers", "h"), ("operation", "copy")]).unwrap();
        assert_eq!(transform.apply(given, &mut out), []);
        let texts: Vec<String> = out.iter().flat_map(shown).collect();
        assert_eq!(texts, ["h=1970-01-02T00:00:00.001Z", "h=null", "h=7", "h=1970-01-03T00:00:00.001Z", "h=x"]);
        assert!(out.windows(2).all(|pair| pair[0].span.end == pair[1].span.start) && out[0].span.start == 10 && out[3].span.end == 100);
    }

    #[test]
    fn fields_of_structs_become_headers_with_their_schema() {
        let fields = vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Utf8, true)];
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("x"), None]))];
        let rows = StructArray::new(fields.into(), columns, None);
        let mut given = batch(&[(11, None), (12, None)]);
        given.value = Column::new(Arc::new(Field::new("value", rows.data_type().clone(), true)), Arc::new(rows));
        let mut out = Vec::new();
        let mut moved = transform(&[("fields", "b,a"), ("headers", "h,h"), ("operation", "move")]).unwrap();
        assert!(moved.apply(given.clone(), &mut out).is_empty());
        assert_eq!(shown(&out[0]), ["h=x h=1", "h=null h=2"]);
        assert_eq!(out[0].value.array.as_struct().num_columns(), 0);
        let mut unknown = transform(&[("fields", "z"), ("headers", "h"), ("operation", "copy")]).unwrap();
        let rejects = unknown.apply(given, &mut Vec::new());
        assert!(rejects.len() == 2 && rejects[0].reason == "Unknown field: z; the schema has a, b");
    }

    #[test]
    fn each_field_has_a_header() {
        let errors = transform(&[("fields", "foo,bar"), ("headers", "foo"), ("operation", "copy")]).unwrap_err();
        assert_eq!(errors[0].message, "'fields' config must have the same number of elements as 'headers' config.");
        let errors = transform(&[("fields", "a"), ("headers", "h"), ("operation", "x")]).unwrap_err();
        assert_eq!(errors[0].message, "Invalid value x for configuration operation: String must be one of: move, copy");
    }
}
