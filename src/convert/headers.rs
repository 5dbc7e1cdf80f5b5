//! The headers of a sink's records: bytes that a converter reads, and values that transforms added, as the texts that connectors are given.
//!
//! With `SimpleHeaderConverter`, the default, and `StringConverter` the bytes are the text, and stay where they are. Any other converter reads them into values,
//! which are written again as upstream's connectors write headers: as `SimpleHeaderConverter` does. So are the values that transforms added.

use arrow::array::{Array, BinaryArray};
use arrow::compute::concat;
use lakehead_formats::column::Reject;
use lakehead_formats::headers::{self, Own};
use lakehead_formats::payload::{self, PayloadWriter, Payloads};
use lakehead_formats::wire::{self, Converter, Want};

use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;

const CLASS: &str = "header.converter";

/// What reads and writes the headers of one task.
#[derive(Debug)]
pub(super) struct Headers {
    /// None where the bytes are the text.
    reader: Option<Box<dyn Converter>>,
    /// None in a program without `SimpleHeaderConverter`, which this is not.
    writer: Option<Box<dyn PayloadWriter>>,
}

impl Headers {
    /// The header converter of a connector: its own where it names one, else the worker's.
    pub(super) fn build(props: &Props, worker: &Props) -> Result<Self, Vec<ConfigError>> {
        let place = if props.contains_key(CLASS) { props } else { worker };
        let name = place.get(CLASS).map_or("", |name| name.trim());
        let prefix = format!("{CLASS}.");
        let options = place.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone()))).collect();
        // What has no reader is `SimpleHeaderConverter`, or was refused when the connector was checked.
        let wire = wire::find(name).filter(|wire| wire.name != "string" && !wire.registry);
        let reader = wire.map(|wire| (wire.build)(&options, false, Want::Any)).transpose();
        let reader = reader.map_err(|error| vec![ConfigError::new(CLASS, error.to_string())])?;
        Ok(Self { reader, writer: simple() })
    }

    /// Headers that are read as texts.
    pub(super) fn texts() -> Self {
        Self { reader: None, writer: simple() }
    }

    /// Gives the batch's headers as texts; the rows with one that cannot be read are returned, and still there.
    pub(super) fn settle(&mut self, batch: &mut Batch) -> Vec<Reject> {
        let (Some(list), Some(writer)) = (&batch.headers, &mut self.writer) else { return Vec::new() };
        let written = match &mut self.reader {
            None => headers::written(list, Own::Bytes, writer.as_mut()),
            Some(reader) => headers::written(list, Own::Read(&mut |bytes| read(reader.as_mut(), bytes)), writer.as_mut()),
        };
        match written {
            Ok((list, rejects)) => {
                batch.headers = Some(list);
                rejects.into_iter().map(|reject| Reject { row: reject.row, reason: format!("header: {}", reject.reason) }).collect()
            }
            Err(error) => (0..batch.len()).map(|row| Reject { row, reason: format!("header: {error}") }).collect(),
        }
    }
}

fn simple() -> Option<Box<dyn PayloadWriter>> {
    payload::find_for_headers("simple").and_then(|writer| (writer.build)(&Props::new()).ok())
}

/// Bytes as the texts of what they are.
fn read(reader: &mut dyn Converter, bytes: &BinaryArray) -> Payloads {
    let none = |reason: String| Payloads {
        payloads: BinaryArray::new_null(bytes.len()),
        rejects: (0..bytes.len()).map(|row| Reject { row, reason: reason.clone() }).collect(),
    };
    let (decoded, Some(mut writer)) = (reader.decode("", bytes), simple()) else { return none("no writer".to_owned()) };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(error) => return none(error.to_string()),
    };
    let (mut texts, mut rejects) = (Vec::new(), decoded.rejects);
    for (rows, column) in &decoded.spans {
        let written = writer.write(column);
        rejects.extend(written.rejects.into_iter().map(|reject| Reject { row: reject.row + rows.start, ..reject }));
        texts.push(written.payloads);
    }
    let arrays: Vec<&dyn Array> = texts.iter().map(|texts| texts as &dyn Array).collect();
    let whole = if arrays.is_empty() { Ok(arrow::array::new_empty_array(bytes.data_type())) } else { concat(&arrays) };
    match whole.map(|whole| BinaryArray::from(whole.to_data())) {
        Ok(payloads) if payloads.len() == bytes.len() => Payloads { payloads, rejects },
        Ok(_) => none("not every header was read".to_owned()),
        Err(error) => none(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, BinaryBuilder, ListBuilder, NullArray, StringBuilder, StructBuilder};
    use arrow::datatypes::{DataType, Field};
    use lakehead_formats::column::Column;
    use lakehead_formats::headers::{Added, literal_column, with};

    use super::*;
    use crate::batch::{OffsetRange, TopicPartition};

    /// Two records, each with a header of these bytes, and with one that a transform added.
    fn batch(values: [&[u8]; 2]) -> Batch {
        let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
        let mut list = ListBuilder::new(StructBuilder::new(fields, vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]));
        for value in values {
            list.values().field_builder::<StringBuilder>(0).unwrap().append_value("h");
            list.values().field_builder::<BinaryBuilder>(1).unwrap().append_value(value);
            list.values().append(true);
            list.append(true);
        }
        let none = || Column::new(Arc::new(Field::new("value", DataType::Null, true)), Arc::new(NullArray::new(2)));
        Batch {
            from: TopicPartition::new("t", 0),
            span: OffsetRange { start: 0, end: 2 },
            topic: "t".into(),
            offsets: vec![0, 1].into(),
            timestamps: vec![None; 2].into(),
            key: none(),
            value: none(),
            headers: Some(with(Some(&list.finish()), 2, "added", Added::Same(&literal_column("[1]"))).unwrap()),
        }
    }

    #[test]
    fn bytes_are_read_by_their_converter_and_written_as_texts() {
        let props = |class: &str| Props::from([(CLASS.to_owned(), class.to_owned())]);
        for (class, values, texts, bad) in [
            ("", [&b"1.0"[..], b"\xff"], ["1.0", "\\xff"], 0),
            ("org.apache.kafka.connect.storage.SimpleHeaderConverter", [b"007", b"x"], ["007", "x"], 0),
            ("org.apache.kafka.connect.converters.LongConverter", [&[0, 0, 0, 0, 0, 0, 1, 2], &[1]], ["258", ""], 1),
            ("org.apache.kafka.connect.converters.ByteArrayConverter", [b"\x01", b"x"], ["AQ==", "eA=="], 0),
            (
                "org.apache.kafka.connect.json.JsonConverter",
                [b"{\"schema\":{\"type\":\"int32\"},\"payload\":5}", b"{\"schema\":{\"type\":\"string\"},\"payload\":\"x\"}"],
                ["5", "x"],
                0,
            ),
        ] {
            let mut batch = batch(values);
            let rejects = Headers::build(&props(class), &Props::new()).unwrap().settle(&mut batch);
            let entries = batch.headers.unwrap();
            let entries = entries.values().as_struct();
            let found: Vec<String> = entries.column(1).as_binary::<i32>().iter().map(|value| value.unwrap_or_default().escape_ascii().to_string()).collect();
            assert_eq!((found, rejects.len()), ([texts[0], "[1]", texts[1], "[1]"].map(str::to_owned).to_vec(), bad), "{class}");
            assert!(rejects.iter().all(|reject| reject.row == 1 && reject.reason.starts_with("header: Failed to deserialize long")));
        }
    }
}
