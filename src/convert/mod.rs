//! 2 convert: raw payloads → columns under one schema.
//!
//! Parts: [`Stage`], the key and the value converter of one task with the registries that they ask; [`build`], which picks them from the
//! configuration as Connect's worker does; [`registry`], the HTTP client, and [`patience`], how long it asks; `headers`, what a sink's headers say; [`writing`], the converters of
//! sources, which go the other way.
//!
//! Guarantee: every record of a raw batch is in one of the batches made from it or among the rejects, and the batches' spans together are the
//! raw batch's span.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, NullArray};
use arrow::compute::{FilterBuilder, FilterPredicate};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimestampMillisecondType};
use arrow::error::ArrowError;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::wire::{self, ConvertError, Converter, Decoded, SchemaId, Want, Wire};

use crate::batch::{Batch, OffsetRange, RawBatch};
use crate::connect::config::ConfigError;
use crate::connect::{ErrorKind, Health, Props, TaskError};

mod headers;
pub mod patience;
pub mod registry;
pub mod writing;

use headers::Headers;
use patience::Patience;
use registry::{Direction, Registry, Without};

/// The converters of one task. [`prepare`](Self::prepare) waits for schemas, [`decode`](Self::decode) computes: the first belongs to the
/// async edge, the second on the CPU pool.
#[derive(Debug)]
pub struct Stage {
    key: Side,
    value: Side,
    headers: Headers,
    /// With registries that do not answer.
    patience: Patience,
}

/// Which of a record's two payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// A record that could not be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconverted {
    /// Its row in the raw batch.
    pub row: usize,
    /// What of it.
    pub half: Half,
    /// What is wrong with that.
    pub reason: String,
}

/// One converter, and the registry that holds its schemas.
#[derive(Debug)]
struct Side {
    converter: Box<dyn Converter>,
    registry: Option<Registry>,
    /// Ids that nobody answered for when they were needed: they are asked for again.
    unanswered: Vec<SchemaId>,
}

impl Stage {
    /// A stage of these converters, with registries for the ones that ask for schemas.
    #[must_use]
    pub fn new(key: Box<dyn Converter>, value: Box<dyn Converter>, key_registry: Option<Registry>, value_registry: Option<Registry>) -> Self {
        let side = |converter, registry| Side { converter, registry, unanswered: Vec::new() };
        Self { key: side(key, key_registry), value: side(value, value_registry), headers: Headers::texts(), patience: Patience::default() }
    }

    /// Fetches the schemas that these records need and the converters do not know. Waits while a registry does not answer, as long as there is patience, and says so
    /// in `health`. Cancel-safe: what was learned stays.
    ///
    /// # Errors
    /// [`TaskError`] when a registry refuses the credentials or is none.
    pub async fn prepare(&mut self, raw: &RawBatch, health: &Health) -> Result<(), TaskError> {
        for (side, payloads) in [(&mut self.key, &raw.keys), (&mut self.value, &raw.values)] {
            side.prepare(payloads, health, self.patience).await.map_err(|error| error.with("topic", &raw.from.topic))?;
        }
        Ok(())
    }

    /// Records → batches under one key schema and one value schema each, and the rows that failed, numbered as in `raw`, ascending. There is at least
    /// one batch, be it without rows, so that the span goes on. Call [`prepare`](Self::prepare) with the same records before.
    ///
    /// # Errors
    /// [`TaskError`] for what is not a single record's fault.
    pub fn decode(&mut self, raw: &RawBatch) -> Result<(Vec<Batch>, Vec<Unconverted>), TaskError> {
        self.batches(raw).map_err(|error| task_error(&error).with("partition", &raw.from).with("offset", raw.span.start))
    }

    /// The headers of a batch that transforms are done with, as the texts that connectors are given, and the rows that failed, numbered as in `batch`.
    ///
    /// # Errors
    /// [`TaskError`] for what is not a single record's fault.
    pub fn with_headers(&mut self, mut batch: Batch) -> Result<(Batch, Vec<Reject>), TaskError> {
        let rejects = self.headers.settle(&mut batch);
        if rejects.is_empty() {
            return Ok((batch, rejects));
        }
        let left = without(&batch, 0, rejects.iter().map(|reject| reject.row)).map_err(|error| task_error(&error.into()).with("partition", &batch.from))?;
        Ok((left, rejects))
    }

    fn batches(&mut self, raw: &RawBatch) -> Result<(Vec<Batch>, Vec<Unconverted>), ConvertError> {
        let topic = &raw.from.topic;
        let mut keys = self.key.converter.decode(topic, &raw.keys)?;
        let mut values = self.value.converter.decode(topic, &raw.values)?;
        if raw.is_empty() {
            return Ok((vec![without_rows(raw)], Vec::new()));
        }
        let rejects = merge(std::mem::take(&mut keys.rejects), std::mem::take(&mut values.rejects));
        let pieces = intersect(&keys, &values);
        let mut batches = Vec::with_capacity(pieces.len());
        let mut bad = rejects.as_slice();
        for (i, piece) in pieces.iter().enumerate() {
            let start = if i == 0 { raw.span.start } else { raw.offsets.value(piece.start) };
            let end = pieces.get(i + 1).map_or(raw.span.end, |next| raw.offsets.value(next.start));
            let mine = bad.partition_point(|reject| reject.row < piece.start + piece.len);
            let (here, rest) = bad.split_at(mine);
            bad = rest;
            let batch = piece.batch(raw, OffsetRange { start, end });
            batches.push(if here.is_empty() { batch } else { without(&batch, piece.start, here.iter().map(|failed| failed.row))? });
        }
        Ok((batches, rejects))
    }
}

impl Side {
    async fn prepare(&mut self, payloads: &arrow::array::BinaryArray, health: &Health, patience: Patience) -> Result<(), TaskError> {
        self.unanswered.drain(..).for_each(|id| self.converter.forget(id));
        for id in self.converter.missing(payloads) {
            let schema = match &self.registry {
                Some(registry) => registry.schema(id, health, patience).await?,
                None => Err(Without::Refused("no schema registry is configured".to_owned())),
            };
            if let Err(Without::Unanswered(_)) = &schema {
                self.unanswered.push(id);
            }
            if let Err(error) = self.converter.learn(id, schema.as_deref().map_err(Without::reason)) {
                tracing::warn!(schema_id = id, error = %error, "records with this schema are rejected");
            }
        }
        Ok(())
    }
}

/// Rows `start .. start + len` under one key and one value schema, each with the column that holds them and where they begin in it.
struct Piece<'a> {
    start: usize,
    len: usize,
    key: (&'a Column, usize),
    value: (&'a Column, usize),
}

/// The pieces in which neither schema changes, in order.
fn intersect<'a>(keys: &'a Decoded, values: &'a Decoded) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let (mut keys, mut values) = (keys.spans.iter(), values.spans.iter());
    let (mut key, mut value) = (keys.next(), values.next());
    while let (Some((key_rows, key_column)), Some((value_rows, value_column))) = (key, value) {
        let (start, end) = (key_rows.start.max(value_rows.start), key_rows.end.min(value_rows.end));
        if end > start {
            pieces.push(Piece { start, len: end - start, key: (key_column, start - key_rows.start), value: (value_column, start - value_rows.start) });
        }
        if key_rows.end == end {
            key = keys.next();
        }
        if value_rows.end == end {
            value = values.next();
        }
    }
    pieces
}

impl Piece<'_> {
    fn batch(&self, raw: &RawBatch, span: OffsetRange) -> Batch {
        let column = |(column, at): (&Column, usize)| if column.len() == self.len { column.clone() } else { column.slice(at, self.len) };
        Batch {
            from: raw.from.clone(),
            span,
            topic: Arc::clone(&raw.from.topic),
            offsets: raw.offsets.slice(self.start, self.len),
            timestamps: raw.timestamps.slice(self.start, self.len),
            key: column(self.key),
            value: column(self.value),
            headers: raw.headers.as_ref().map(|headers| headers.slice(self.start, self.len)),
        }
    }
}

/// A batch for offsets that went by without a record.
fn without_rows(raw: &RawBatch) -> Batch {
    let null = |name: &str| Column::new(FieldRef::new(Field::new(name, DataType::Null, true)), Arc::new(NullArray::new(0)));
    Batch {
        from: raw.from.clone(),
        span: raw.span,
        topic: Arc::clone(&raw.from.topic),
        offsets: raw.offsets.clone(),
        timestamps: raw.timestamps.clone(),
        key: null("key"),
        value: null("value"),
        headers: raw.headers.clone(),
    }
}

/// The rejects of both sides in the order of rows; the key's reason counts where both failed, as upstream converts the key first.
fn merge(keys: Vec<Reject>, values: Vec<Reject>) -> Vec<Unconverted> {
    let of = |rejects: Vec<Reject>, half: Half| rejects.into_iter().map(move |Reject { row, reason }| Unconverted { row, half, reason });
    let mut all: Vec<Unconverted> = of(keys, Half::Key).chain(of(values, Half::Value)).collect();
    all.sort_by_key(|failed| failed.row);
    all.dedup_by_key(|failed| failed.row);
    all
}

/// The batch without the rejected rows; `start` is the raw number of its first row.
fn without(batch: &Batch, start: usize, rows: impl Iterator<Item = usize>) -> Result<Batch, ArrowError> {
    let mut keep = vec![true; batch.len()];
    for row in rows {
        if let Some(keep) = keep.get_mut(row - start) {
            *keep = false;
        }
    }
    let filter = FilterBuilder::new(&BooleanArray::from(keep)).optimize().build();
    let column = |column: &Column| Ok::<_, ArrowError>(Column::new(FieldRef::clone(&column.field), filtered(&filter, &column.array)?));
    Ok(Batch {
        from: batch.from.clone(),
        span: batch.span,
        topic: Arc::clone(&batch.topic),
        offsets: filter.filter(&batch.offsets)?.as_primitive::<Int64Type>().clone(),
        timestamps: filter.filter(&batch.timestamps)?.as_primitive::<TimestampMillisecondType>().clone(),
        key: column(&batch.key)?,
        value: column(&batch.value)?,
        headers: batch.headers.as_ref().map(|headers| filter.filter(headers).map(|headers| headers.as_list::<i32>().clone())).transpose()?,
    })
}

fn filtered(filter: &FilterPredicate, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    filter.filter(array)
}

fn task_error(error: &ConvertError) -> TaskError {
    let kind = match error {
        ConvertError::Config { .. } => ErrorKind::BadConfig,
        ConvertError::Schema { .. } | ConvertError::Arrow(_) => ErrorKind::Bug,
    };
    TaskError::new(kind, error.to_string())
}

/// The converters of a connector: its own where it names one, with the settings beside that name, else the worker's with the worker's
/// (`Plugins.newConverter`). `want` is what the connector asks of its values.
///
/// # Errors
/// Every problem of both converters, by the key in the place where it was written.
pub fn build(props: &Props, worker: &Props, want: Want) -> Result<Stage, Vec<ConfigError>> {
    let key = side(props, worker, "key.converter", Want::Any);
    let value = side(props, worker, "value.converter", want);
    let headers = Headers::build(props, worker);
    match (key, value, headers) {
        (Ok(key), Ok(value), Ok(headers)) => Ok(Stage { key, value, headers, patience: Patience::of(props) }),
        (key, value, headers) => Err([key.err(), value.err(), headers.err()].into_iter().flatten().flatten().collect()),
    }
}

fn side(props: &Props, worker: &Props, class: &str, want: Want) -> Result<Side, Vec<ConfigError>> {
    let (place, name) = match (props.get(class), worker.get(class)) {
        (Some(name), _) => (props, name.trim()),
        (None, Some(name)) => (worker, name.trim()),
        (None, None) => return Err(vec![ConfigError::new(class, format!("Missing required configuration \"{class}\" which has no default value."))]),
    };
    let Some(wire) = wire::find(name) else {
        let known: Vec<&str> = wire::WIRE.iter().map(class_of).collect();
        let message = format!("Invalid value {name} for configuration {class}: Class {name} could not be found; available: {}", known.join(", "));
        return Err(vec![ConfigError::new(class, message)]);
    };
    let prefix = format!("{class}.");
    let mut options: Props = place.iter().filter_map(|(key, value)| key.strip_prefix(&prefix).map(|key| (key.to_owned(), value.clone()))).collect();
    let is_key = class == "key.converter";
    if let Some(schema) = props.get("value.schema").filter(|_| !is_key) {
        options.insert("value.schema".to_owned(), schema.clone());
    }
    let named = |key: &str, message: &str| ConfigError::new(if key == "value.schema" { key.to_owned() } else { format!("{prefix}{key}") }, message);
    let mut errors = Vec::new();
    let converter = (wire.build)(&options, is_key, want).map_err(|error| match error {
        ConvertError::Config { key, message } => errors.push(named(&key, &message)),
        other => errors.push(ConfigError::new(class, other.to_string())),
    });
    let registry = wire.registry.then(|| Registry::open(&options, Direction::Reading)).transpose();
    let registry = registry.map_err(|problems| errors.extend(problems.iter().map(|(key, message)| named(key, message))));
    match (converter, registry) {
        (Ok(converter), Ok(registry)) => Ok(Side { converter, registry, unanswered: Vec::new() }),
        _ => Err(errors),
    }
}

/// The name under which users know a converter.
fn class_of(wire: &Wire) -> &'static str {
    wire.aliases.first().copied().unwrap_or(wire.name)
}

#[cfg(test)]
mod tests;
