//! What a record becomes: an object with its value, and, where they are asked for, one with its key and one with its headers.
//!
//! A [`Shape`] is one of these kinds of objects. Upstream: `KeyValueHeaderRecordWriterProvider` and `RecordViews`.

use std::sync::Arc;

use arrow::array::ListArray;
use arrow::datatypes::{DataType, Field};
use lakehead_formats::column::Column;
use lakehead_formats::file::{self, FileFormat};

use crate::batch::Batch;

/// Which part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// Its value.
    Value,
    /// Its key: `store.kafka.keys`.
    Keys,
    /// Its headers: `store.kafka.headers`.
    Headers,
}

/// One kind of objects.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) view: View,
    pub(super) format: Arc<dyn FileFormat>,
    /// End of the objects' names: `.snappy.parquet`, `.keys.avro`, `.headers.json`.
    pub(super) extension: String,
}

impl Shape {
    /// Objects of that view in that format.
    pub(super) fn new(view: View, format: Arc<dyn FileFormat>) -> Self {
        let extension = match view {
            View::Value => format.extension().to_owned(),
            View::Keys => format!(".keys{}", format.extension()),
            View::Headers => format!(".headers{}", format.extension()),
        };
        Self { view, format, extension }
    }

    /// The rows of a batch as they stand in these objects.
    pub(super) fn column(&self, batch: &Batch) -> Column {
        match self.view {
            View::Value => batch.value.clone(),
            View::Keys => file::keys_view(self.format.as_ref(), &batch.key),
            View::Headers => match &batch.headers {
                Some(headers) => file::headers_view(self.format.as_ref(), headers),
                None => file::headers_view(self.format.as_ref(), &no_headers(batch.len())),
            },
        }
    }
}

/// True for formats that can hold headers: texts with names.
pub(super) fn can_hold_headers(format: &dyn FileFormat) -> bool {
    format.encoder(&file::headers_view(format, &no_headers(0)).field).is_ok()
}

/// The headers of records that have none: so many empty lists, as in [`Batch::headers`].
fn no_headers(rows: usize) -> ListArray {
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
    let item = Field::new("item", DataType::Struct(fields.into()), false);
    ListArray::new_null(item.into(), rows)
}
