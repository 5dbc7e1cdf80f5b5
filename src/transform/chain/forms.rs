//! In which form schemaless values come into a chain, and in which they leave it.
//!
//! They come as JSON text. What a transform takes apart is read before the first one, a part of the batch at a time where keys are many: a part goes through the
//! whole chain before the next one is read, so that what is held at once is bounded ([`Parts`]). They leave as JSON text, or as columns under a schema that is
//! inferred from what they became ([`Columns`]): what transforms see never depends on other records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use lakehead_formats::column::Reject;
use lakehead_formats::schema::is_json_text;
use lakehead_formats::schemaless::{Dynamic, Inference, Kind, read_json, read_json_within};

use super::super::weave::as_json;
use super::super::{Side, rows};
use crate::batch::Batch;

/// Topics whose inferred schemas are remembered; a router can make any number of them.
const REMEMBERED_TOPICS: usize = 1_000;

/// A batch in parts of which one side has been read. A row that cannot be read is a part of its own, and stays text: the transform that reads it says why.
pub(super) struct Parts {
    batch: Batch,
    side: Side,
    /// What is read; none where that is no text.
    texts: Option<StringArray>,
    /// Bytes that a part may take.
    room: usize,
    from: usize,
    ready: VecDeque<Batch>,
}

impl Parts {
    /// The parts of a batch; one where the side is not to be read, or is no text.
    pub(super) fn of(batch: Batch, side: Side, is_read: bool, room: usize) -> Self {
        let column = side.of(&batch);
        let texts = (is_read && !batch.is_empty() && is_json_text(&column.field)).then(|| column.array.as_string::<i32>().clone());
        let mut ready = VecDeque::new();
        if texts.is_none() {
            ready.push_back(batch.clone());
        }
        Self { batch, side, texts, room, from: 0, ready }
    }

    fn read(&mut self, texts: &StringArray) {
        let (from, rows) = (self.from, texts.len());
        let Some(read) = read_json_within(&texts.slice(from, rows - from), self.room).ok().filter(|read| !read.values.is_empty()) else {
            self.ready.push_back(rows::between(&self.batch, from, rows));
            self.from = rows;
            return;
        };
        let end = from + read.values.len();
        let mut start = from;
        for unread in read.rejects.iter().map(|reject| reject.row + from).chain([end]) {
            if unread > start {
                let mut part = rows::between(&self.batch, start, unread);
                self.side.put(&mut part, read.values.slice(start - from, unread - start).into_column(self.side.name()));
                self.ready.push_back(part);
            }
            if unread < end {
                self.ready.push_back(rows::between(&self.batch, unread, unread + 1));
            }
            start = unread + 1;
        }
        self.from = end;
    }
}

impl Iterator for Parts {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if let Some(texts) = self.texts.take_if(|texts| self.ready.is_empty() && self.from < texts.len()) {
            self.read(&texts);
            self.texts = Some(texts);
        }
        self.ready.pop_front()
    }
}

/// The schemas that the values of each topic have shown so far, the topic being the one that the records go to.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// With the number of the batch that was the last to ask.
    topics: BTreeMap<Arc<str>, (u64, Inference)>,
    batches: u64,
}

impl Columns {
    /// The batch with its schemaless values as columns, without those that have no type in common with the ones before them.
    pub(super) fn settle(&mut self, mut batch: Batch) -> (Batch, Vec<Reject>) {
        let side = Side::Value;
        if batch.value.field.data_type() == &DataType::Null && batch.is_empty() {
            return (batch, Vec::new());
        }
        let Some((values, mut rejects)) = schemaless(&batch) else { return (batch, Vec::new()) };
        let outcome = self.topic(&batch.topic).columns(&values).and_then(|(column, misfits)| {
            rejects.extend(misfits);
            rejects.sort_by_key(|reject| reject.row);
            side.put(&mut batch, column);
            rows::without(&batch, &rejects)
        });
        match outcome {
            Ok(kept) => (kept, rejects),
            Err(error) => refused(&batch, &format!("the values cannot become columns: {error}")),
        }
    }

    fn topic(&mut self, topic: &Arc<str>) -> &mut Inference {
        self.batches += 1;
        if !self.topics.contains_key(topic) && self.topics.len() >= REMEMBERED_TOPICS {
            let oldest = self.topics.iter().min_by_key(|(_, (batch, _))| *batch).map(|(topic, _)| Arc::clone(topic));
            oldest.and_then(|topic| self.topics.remove(&topic));
        }
        let (batch, inference) = self.topics.entry(Arc::clone(topic)).or_insert_with(|| (0, Inference::new(Side::Value.name())));
        *batch = self.batches;
        inference
    }
}

/// The values without a schema, and the rows that cannot be read, which are null among them; nothing where there is a schema.
fn schemaless(batch: &Batch) -> Option<(Dynamic, Vec<Reject>)> {
    let column = &batch.value;
    if column.field.data_type() == &DataType::Null {
        return Some((Dynamic::none(Kind::Null, batch.len()), Vec::new()));
    }
    if !is_json_text(&column.field) {
        return Some((Dynamic::of_column(column)?, Vec::new()));
    }
    // What was to be read has been: this is a row that cannot be.
    let failed = |reason: String| (0..batch.len()).map(|row| Reject { row, reason: reason.clone() }).collect();
    Some(match read_json(column.array.as_string::<i32>()) {
        Ok(read) if read.values.len() == batch.len() => (read.values, read.rejects),
        Ok(_) => (Dynamic::none(Kind::Null, batch.len()), failed("the value has more keys than a batch can have columns".to_owned())),
        Err(error) => (Dynamic::none(Kind::Null, batch.len()), failed(format!("the value cannot be read: {error}"))),
    })
}

/// Writes schemaless values as JSON. What cannot be written is rejected, row numbers as in the batch.
pub(super) fn written(mut batch: Batch) -> (Batch, Vec<Reject>) {
    let columns = as_json(&batch.key, Side::Key).and_then(|key| Ok::<_, ArrowError>((key, as_json(&batch.value, Side::Value)?)));
    match columns {
        Ok((key, value)) => {
            (batch.key, batch.value) = (key, value);
            (batch, Vec::new())
        }
        Err(error) => refused(&batch, &format!("the record cannot be written as JSON: {error}")),
    }
}

fn refused(batch: &Batch, reason: &str) -> (Batch, Vec<Reject>) {
    let rejects = (0..batch.len()).map(|row| Reject { row, reason: reason.to_owned() }).collect();
    (rows::without_rows(batch), rejects)
}
