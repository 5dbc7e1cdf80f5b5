//! `ExtractNewRecordState`: of a change as Debezium tells it, in an envelope with the row before and after, the row.
//!
//! Upstream: `io.debezium.transforms.ExtractNewRecordState`, as in 3.3, with the settings for deletes that were there before 3.2. What is no envelope (a struct
//! whose schema's name ends in `.Envelope`) goes on as it is: heartbeats, schema changes, and values without a schema.
//!
//! | record | drop | tombstone | delete-to-tombstone | rewrite | rewrite-with-tombstone |
//! |---|---|---|---|---|---|
//! | create, read, update | the row | the row | the row | the row, `__deleted` "false" | as rewrite |
//! | delete | dropped | null | null | the row before, `__deleted` "true" | as rewrite |
//! | tombstone | dropped | dropped | dropped | dropped | null |
//!
//! A truncate, which has no row, is dropped. The records of a batch that have one fate go one way together, as columns, and meet again in order; a null that is
//! left of a delete stands in the column of its neighbours. Parts: this file; [`references`], what is added of the envelope.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, StructArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::headers::{self, Added};
use lakehead_formats::schema::NAME;

use super::extract_topic::{Which, texts_of};
use super::fields::{REPLACE_NULL_WITH_DEFAULT, as_struct, named, rebuilt, with_default};
use super::side::{Refusal, excerpt, null_rows, struct_required};
use super::weave::weave;
use super::{Built, Side, Transform, insert_field, replace_field, rows};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

mod references;

use references::Reference;

const MODES: [&str; 5] = ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"];

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Low, group: "", doc, check }
}

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    ConfigKey {
        importance: Importance::Medium,
        ..key(
            "delete.tombstone.handling.mode",
            Type::String,
            Some("tombstone"),
            Check::OneOfIgnoreCase(&MODES),
            "What becomes of deletes and tombstones. drop: nothing of both. tombstone, delete-to-tombstone: a delete is a null, tombstones are dropped. rewrite: a delete \
             is the row before with __deleted true, tombstones are dropped. rewrite-with-tombstone: so, and tombstones stay.",
        )
    },
    key("route.by.field", Type::String, Some(""), Check::Any, "The field of the row that names the topic."),
    key("add.fields.prefix", Type::String, Some("__"), Check::Any, "What stands before the names of added fields."),
    key(
        "add.fields",
        Type::List,
        Some(""),
        Check::Any,
        "Fields of the envelope that are added to the row: op, table, source.ts_ms, transaction.id; with a colon and another name behind to rename one.",
    ),
    key("add.headers.prefix", Type::String, Some("__"), Check::Any, "What stands before the names of added headers."),
    key("add.headers", Type::List, Some(""), Check::Any, "Fields of the envelope that become headers, as in add.fields."),
    key("drop.fields.header.name", Type::String, None, Check::Any, "The header with the list of the fields that are left out of the row."),
    key("drop.fields.from.key", Type::Boolean, Some("false"), Check::Any, "Whether these are left out of the key as well."),
    key("drop.fields.keep.schema.compatible", Type::Boolean, Some("true"), Check::Any, "Whether only fields that are optional are left out."),
    REPLACE_NULL_WITH_DEFAULT,
    key(
        "drop.tombstones",
        Type::Boolean,
        Some("true"),
        Check::Any,
        "Until Debezium 3.1, where delete.tombstone.handling.mode is not set: whether tombstones are dropped.",
    ),
    key(
        "delete.handling.mode",
        Type::String,
        Some("drop"),
        Check::OneOfIgnoreCase(&["drop", "rewrite", "none"]),
        "Until Debezium 3.1, where delete.tombstone.handling.mode is not set: a delete is dropped, the row before with __deleted true, or (none) a null.",
    ),
];

const PURPOSE: &str = "source field insertion";
const DELETED: &str = "__deleted";

/// What becomes of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletes {
    Dropped,
    Null,
    NullWithoutSchema,
    Rewritten,
}

#[derive(Debug)]
struct ExtractNewRecordState {
    deletes: Deletes,
    keeps_tombstones: bool,
    route_by: Option<String>,
    fields: Vec<Reference>,
    headers: Vec<Reference>,
    drop_fields: Option<DropFields>,
    /// `InsertField` of `__deleted`: "true", "false".
    mark: [Box<dyn Transform>; 2],
}

#[derive(Debug)]
struct DropFields {
    header: String,
    from_key: bool,
    only_optional: bool,
}

/// Builds it.
pub(super) fn build(props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let references = |prefix: &str, key: &str| {
        let all = Reference::list(values.text(prefix), values.text(key));
        all.map_err(|message| vec![ConfigError::new(key, message)])
    };
    let (deletes, keeps_tombstones) = fates(&values, props);
    let text = |key: &str| Some(values.text(key).to_owned()).filter(|text| !text.trim().is_empty());
    let drop_fields = text("drop.fields.header.name").map(|header| DropFields {
        header,
        from_key: values.boolean("drop.fields.from.key"),
        only_optional: values.boolean("drop.fields.keep.schema.compatible"),
    });
    let defaults = values.boolean("replace.null.with.default").to_string();
    let mark = |value: &str| {
        let settings = [("static.field", DELETED), ("static.value", value), ("replace.null.with.default", &defaults)];
        insert_field::build(Side::Value, &settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    };
    Ok(Box::new(ExtractNewRecordState {
        deletes,
        keeps_tombstones,
        route_by: text("route.by.field"),
        fields: references("add.fields.prefix", "add.fields")?,
        headers: references("add.headers.prefix", "add.headers")?,
        drop_fields,
        mark: [mark("true")?, mark("false")?],
    }))
}

/// What becomes of deletes, and whether tombstones stay: by the new key, or where only the old ones are given, by them.
fn fates(values: &Values<'_>, props: &Props) -> (Deletes, bool) {
    let is_set = |key: &str| props.get(key).is_some_and(|value| !value.trim().is_empty());
    let old = ["drop.tombstones", "delete.handling.mode"].into_iter().find(|key| is_set(key));
    if let Some(key) = old.filter(|_| !is_set("delete.tombstone.handling.mode")) {
        tracing::warn!("ExtractNewRecordState: {key} is deprecated, write delete.tombstone.handling.mode instead");
        let deletes = match values.text("delete.handling.mode").to_ascii_lowercase().as_str() {
            "rewrite" => Deletes::Rewritten,
            "none" => Deletes::Null,
            _ => Deletes::Dropped,
        };
        return (deletes, !values.boolean("drop.tombstones"));
    }
    match values.text("delete.tombstone.handling.mode").to_ascii_lowercase().as_str() {
        "drop" => (Deletes::Dropped, false),
        "rewrite" => (Deletes::Rewritten, false),
        "rewrite-with-tombstone" => (Deletes::Rewritten, true),
        "delete-to-tombstone" => (Deletes::NullWithoutSchema, false),
        _ => (Deletes::Null, false),
    }
}

/// Batches of records that have one fate, and by their offsets the records that are left out.
#[derive(Default)]
struct Parts {
    batches: Vec<Batch>,
    rejects: Vec<(i64, String)>,
}

impl Parts {
    /// Every record of a batch is left out.
    fn refuse(&mut self, batch: &Batch, Refusal(reason): Refusal) {
        self.rejects.extend(batch.offsets.values().iter().map(|offset| (*offset, reason.clone())));
    }

    /// What another transform leaves of a batch.
    fn through(&mut self, transform: &mut dyn Transform, batch: Batch) -> Vec<Batch> {
        let offsets = batch.offsets.clone();
        let mut out = Vec::new();
        let rejects = transform.apply(batch, &mut out);
        self.rejects.extend(rejects.into_iter().filter_map(|reject| Some((*offsets.values().get(reject.row)?, reject.reason))));
        out.retain(|batch| !batch.is_empty());
        out
    }
}

impl Transform for ExtractNewRecordState {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let nulls = null_rows(&batch.value);
        if batch.is_empty() || (nulls.is_none() && !is_envelope(&batch.value)) {
            out.push(batch);
            return Vec::new();
        }
        let mut parts = Parts::default();
        let done = self.apply_to(&batch, nulls.map(|nulls| nulls.inner().clone()), &mut parts);
        match done.and_then(|()| Ok(weave(batch.span, with_something(parts.batches, &batch))?)) {
            Ok(woven) => out.extend(woven),
            Err(Refusal(reason)) => {
                out.push(rows::without_rows(&batch));
                return (0..batch.len()).map(|row| Reject { row, reason: reason.clone() }).collect();
            }
        }
        parts.rejects.sort_by_key(|(offset, _)| *offset);
        let row_of = |offset: i64| batch.offsets.values().partition_point(|known| *known < offset);
        parts.rejects.into_iter().map(|(offset, reason)| Reject { row: row_of(offset), reason }).collect()
    }
}

fn with_something(batches: Vec<Batch>, whole: &Batch) -> Vec<Batch> {
    if batches.is_empty() { vec![rows::without_rows(whole)] } else { batches }
}

/// The rows for which a mask is true; all of them without a copy.
fn some(batch: &Batch, rows: &BooleanBuffer) -> Result<Option<Batch>, Refusal> {
    Ok(match rows.count_set_bits() {
        0 => None,
        all if all == batch.len() => Some(batch.clone()),
        _ => Some(rows::keep(batch, &BooleanArray::new(rows.clone(), None))?),
    })
}

fn is_envelope(column: &Column) -> bool {
    column.field.metadata().get(NAME).is_some_and(|name| name.ends_with(".Envelope"))
}

impl ExtractNewRecordState {
    /// `there` is true where a record has a value.
    fn apply_to(&mut self, batch: &Batch, there: Option<BooleanBuffer>, parts: &mut Parts) -> Result<(), Refusal> {
        let there = there.unwrap_or_else(|| BooleanBuffer::new_set(batch.len()));
        if let Some(changes) = some(batch, &there)? {
            if is_envelope(&batch.value) { self.changes(changes, parts)? } else { parts.batches.push(changes) }
        }
        if let Some(mut tombstones) = some(batch, &!&there)?.filter(|_| self.keeps_tombstones) {
            let op = self.headers.iter().filter(|reference| reference.field == "op");
            for reference in op {
                let value = Column::new(Arc::new(Field::new(&reference.name, DataType::Utf8, false)), Arc::new(StringArray::from(vec!["d"])));
                tombstones.headers = Some(headers::with(tombstones.headers.as_ref(), tombstones.len(), &reference.name, Added::Same(&value))?);
            }
            parts.batches.push(tombstones);
        }
        stand_together(&mut parts.batches);
        Ok(())
    }

    /// The records of which everything can be added that is asked for.
    fn addable(&self, references: &[Reference], batch: &Batch, parts: &mut Parts) -> Result<Option<Batch>, Refusal> {
        let Some(envelope) = as_struct(&batch.value) else {
            parts.refuse(batch, struct_required("field extraction", &batch.value));
            return Ok(None);
        };
        let mut fits = BooleanBuffer::new_set(batch.len());
        for reference in references {
            let Some(rows) = reference.lost(envelope) else { continue };
            if let Some(lost) = some(batch, &(&rows & &fits))? {
                parts.refuse(&lost, reference.is_whole());
            }
            fits = &fits & &!&rows;
        }
        some(batch, &fits)
    }

    /// Records that are envelopes.
    fn changes(&mut self, mut batch: Batch, parts: &mut Parts) -> Result<(), Refusal> {
        let Some(kept) = self.addable(&self.headers, &batch, parts)? else { return Ok(()) };
        batch = kept;
        let column = batch.value.clone();
        let Some(envelope) = as_struct(&column) else { return Ok(()) };
        for reference in &self.headers {
            match reference.of(envelope) {
                Ok(Some(value)) => {
                    batch.headers = Some(headers::with(batch.headers.as_ref(), batch.len(), &reference.name, Added::Each(&value))?);
                }
                Ok(None) => {}
                Err(refusal) => {
                    parts.refuse(&batch, refusal);
                    return Ok(());
                }
            }
        }
        let Some(after) = side_of(envelope, "after")? else {
            parts.refuse(&batch, Refusal("Unknown field: after".to_owned()));
            return Ok(());
        };
        let has_row = there(&after.array);
        if let Some(rows) = some(&batch, &has_row)? {
            self.rows(rows, "after", parts)?;
        }
        let Some(gone) = some(&batch, &!&has_row)? else { return Ok(()) };
        let before = as_struct(&gone.value).map(|envelope| side_of(envelope, "before")).transpose()?.flatten();
        let Some(before) = before else {
            parts.refuse(&gone, Refusal("Unknown field: before".to_owned()));
            return Ok(());
        };
        // Without a row before and after it is a truncate.
        let Some(deletes) = some(&gone, &there(&before.array))? else { return Ok(()) };
        match self.deletes {
            Deletes::Dropped => Ok(()),
            Deletes::Rewritten => self.rows(deletes, "before", parts),
            Deletes::Null | Deletes::NullWithoutSchema => self.nulls(deletes, &after.field, parts),
        }
    }

    /// Deletes that become null.
    fn nulls(&mut self, mut batch: Batch, after: &FieldRef, parts: &mut Parts) -> Result<(), Refusal> {
        let topics = match self.topics(&batch, "before") {
            Ok(topics) => topics,
            Err(refusal) => {
                parts.refuse(&batch, refusal);
                return Ok(());
            }
        };
        let field = if self.deletes == Deletes::Null { named(after, batch.value.field.name()) } else { Arc::new(Field::new("value", DataType::Null, true)) };
        batch.value = Column::new(Arc::clone(&field), new_null_array(field.data_type(), batch.len()));
        self.finish(routed(batch, topics), &[], parts)
    }

    /// Changes of which a row is left, which stands in that field.
    fn rows(&mut self, batch: Batch, name: &str, parts: &mut Parts) -> Result<(), Refusal> {
        let is_delete = name == "before";
        let Some(mut batch) = self.addable(&self.fields, &batch, parts)? else { return Ok(()) };
        let column = batch.value.clone();
        let Some(envelope) = as_struct(&column) else { return Err(struct_required(PURPOSE, &column)) };
        let prepared = self.topics(&batch, name).and_then(|topics| {
            let row = side_of(envelope, name)?.ok_or_else(|| Refusal(format!("Unknown field: {name}")))?;
            let added = self.fields.iter().filter_map(|reference| reference.of(envelope).transpose()).collect::<Result<Vec<_>, _>>()?;
            if as_struct(&row).is_none() { Err(struct_required(PURPOSE, &row)) } else { Ok((topics, row, added)) }
        });
        let (topics, row, added) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => {
                parts.refuse(&batch, refusal);
                return Ok(());
            }
        };
        batch.value = Column::new(named(&row.field, column.field.name()), row.array);
        let mut pieces = vec![batch];
        if self.deletes == Deletes::Rewritten {
            let [removed, there] = &mut self.mark;
            let mark = if is_delete { removed } else { there };
            pieces = pieces.into_iter().flat_map(|piece| parts.through(mark.as_mut(), piece)).collect();
        }
        for piece in pieces {
            // Marking takes all rows or none, so what is added is as long as the piece.
            match with_fields(&piece, &added) {
                // Of a delete, fields are left out before others are added.
                Ok(value) => self.finish(routed(Batch { value, ..piece }, topics.clone()), if is_delete { &added } else { &[] }, parts)?,
                Err(refusal) => parts.refuse(&piece, refusal),
            }
        }
        Ok(())
    }

    /// The topics that rows in a field of the envelope name; null where they name none. None when none is asked for.
    fn topics(&self, batch: &Batch, name: &str) -> Result<Option<StringArray>, Refusal> {
        let Some(field) = &self.route_by else { return Ok(None) };
        if name == "after" && self.deletes == Deletes::Rewritten && field == DELETED {
            return Ok(Some(StringArray::from(vec!["false"; batch.len()])));
        }
        let row = as_struct(&batch.value).map(|envelope| side_of(envelope, name)).transpose()?.flatten();
        let Some(array) = row.as_ref().and_then(as_struct) else { return Ok(None) };
        let Some((at, known)) = array.fields().find(field) else { return Err(Refusal(format!("{field} is not a valid field name"))) };
        let values = with_default(known, array.column(at))?;
        match values.as_string_opt::<i32>() {
            Some(topics) => Ok(Some(topics.clone())),
            None => Err(Refusal(format!("Field '{field}' is not of type STRING"))),
        }
    }

    /// Leaves out the fields that a header names, but none of these.
    fn finish(&mut self, batches: Vec<Batch>, but: &[Column], parts: &mut Parts) -> Result<(), Refusal> {
        let Some(drop) = &self.drop_fields else {
            parts.batches.extend(batches);
            return Ok(());
        };
        for batch in batches {
            let lists = texts_of(&batch, &drop.header, Which::First)?;
            let text = |row: usize| lists.is_valid(row).then(|| lists.value(row));
            // Records with other fields have another schema: they are cut apart.
            let before: Vec<usize> = (1..batch.len()).filter(|row| text(*row) != text(*row - 1)).collect();
            let first_rows = std::iter::once(0).chain(before.iter().copied());
            for (piece, row) in rows::cut(&batch, &before).into_iter().zip(first_rows) {
                match text(row).map(serde_json::from_str::<Option<Vec<String>>>) {
                    None | Some(Ok(None)) => parts.batches.push(piece),
                    Some(Ok(Some(names))) => drop.from(piece, &names, but, parts),
                    Some(Err(_)) => {
                        let reason =
                            format!("header \"{}\" (drop.fields.header.name) is no list of names but {}", drop.header, excerpt(text(row).unwrap_or("null")));
                        parts.refuse(&piece, Refusal(reason));
                    }
                }
            }
        }
        Ok(())
    }
}

impl DropFields {
    fn from(&self, batch: Batch, names: &[String], but: &[Column], parts: &mut Parts) {
        let mut batches = vec![batch];
        let sides = if self.from_key { &[Side::Key, Side::Value][..] } else { &[Side::Value] };
        for side in sides {
            let all: Vec<Batch> = std::mem::take(&mut batches);
            for batch in all {
                let stays = |name: &str| *side == Side::Value && but.iter().any(|column| column.field.name() == name);
                let dropped: Vec<&str> = names.iter().map(String::as_str).filter(|name| self.is_dropped(side.of(&batch), name) && !stays(name)).collect();
                let Ok(mut replace) = replace_field::build(*side, &[("exclude".to_owned(), dropped.join(","))].into()) else { continue };
                if dropped.is_empty() { batches.push(batch) } else { batches.extend(parts.through(replace.as_mut(), batch)) }
            }
        }
        parts.batches.extend(batches);
    }

    /// Only fields of a schema can be told to be optional.
    fn is_dropped(&self, column: &Column, name: &str) -> bool {
        !self.only_optional || as_struct(column).is_some_and(|rows| rows.fields().find(name).is_some_and(|(_, field)| field.is_nullable()))
    }
}

/// A field of the envelope as `ExtractField` gives it.
fn side_of(envelope: &StructArray, name: &str) -> Result<Option<Column>, Refusal> {
    let Some((at, field)) = envelope.fields().find(name) else { return Ok(None) };
    Ok(Some(Column::new(Arc::clone(field), with_default(field, envelope.column(at))?)))
}

/// Where values are.
fn there(array: &ArrayRef) -> BooleanBuffer {
    array.logical_nulls().map_or_else(|| BooleanBuffer::new_set(array.len()), |nulls| nulls.into_inner())
}

/// The rows with what is added to them: a struct that is required, as upstream's.
fn with_fields(batch: &Batch, added: &[Column]) -> Result<Column, Refusal> {
    let Some(rows) = as_struct(&batch.value) else { return Err(struct_required(PURPOSE, &batch.value)) };
    let fields = rows.fields().iter().chain(added.iter().map(|column| &column.field)).map(Arc::clone).collect();
    let columns = rows.columns().iter().chain(added.iter().map(|column| &column.array)).map(Arc::clone).collect();
    rebuilt(&batch.value.field, fields, columns, None, rows.len())
}

/// Rows by their topics; a row that names none, or a blank, keeps its own.
fn routed(batch: Batch, topics: Option<StringArray>) -> Vec<Batch> {
    let Some(topics) = topics else { return vec![batch] };
    let own = &*batch.topic;
    let named: StringArray = topics.iter().map(|topic| Some(topic.filter(|topic| !topic.trim().is_empty()).unwrap_or(own))).collect();
    rows::routed(&batch, &named)
}

/// Nulls among rows stand in the rows' column, where there is one of them.
fn stand_together(batches: &mut [Batch]) {
    let is_null = |batch: &Batch| null_rows(&batch.value).is_some_and(|nulls| nulls.null_count() == nulls.len());
    let mut fields = batches.iter().filter(|batch| !batch.is_empty() && !is_null(batch)).map(|batch| Arc::clone(&batch.value.field));
    let Some(field) = fields.next() else { return };
    if fields.any(|other| other != field) {
        return;
    }
    for batch in batches.iter_mut().filter(|batch| batch.value.field != field && is_null(batch)) {
        batch.value = Column::new(Arc::clone(&field), new_null_array(field.data_type(), batch.len()));
    }
}

#[cfg(test)]
mod tests;
