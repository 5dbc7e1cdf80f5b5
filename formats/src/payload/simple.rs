//! `SimpleHeaderConverter`, which is for headers alone: texts as they are, other values as `Values.convertToString` writes them.
//!
//! | value | text |
//! |---|---|
//! | string | itself |
//! | boolean, number | as Java prints it |
//! | bytes | base64 |
//! | null | none: a header without a value |
//!
//! Source: `org.apache.kafka.connect.storage.SimpleHeaderConverter`. No connector here has headers of other types, and they are refused.

use arrow::array::{Array, BinaryBuilder};
use arrow::datatypes::DataType;

use super::text::JavaText;
use super::{PayloadWriter, Payloads, Writer};
use crate::column::Column;
use crate::schema::is_json_text;

/// Registration.
pub(super) const WRITER: Writer = Writer {
    name: "simple",
    aliases: &["org.apache.kafka.connect.storage.SimpleHeaderConverter", "SimpleHeaderConverter", "Simple"],
    registry: false,
    build: |_| Ok(Box::new(Simple)),
};

#[derive(Debug)]
struct Simple;

impl PayloadWriter for Simple {
    fn write(&mut self, column: &Column) -> Payloads {
        let kind = column.field.data_type();
        let is_simple = kind.is_integer() || matches!(kind, DataType::Null | DataType::Boolean | DataType::Float32 | DataType::Float64 | DataType::Utf8);
        if kind == &DataType::Binary {
            return base64(column);
        }
        let text = match JavaText::new(&column.array, &column.field) {
            Ok(text) if is_simple && !is_json_text(&column.field) => text,
            _ => return Payloads::none(column.len(), &format!("SimpleHeaderConverter has no text here for a header of type {kind}")),
        };
        let (mut payloads, mut line) = (BinaryBuilder::new(), Vec::new());
        for row in 0..column.len() {
            line.clear();
            let is_null = column.array.is_null(row) || kind == &DataType::Null;
            payloads.append_option((!is_null).then(|| {
                text.print(row, &mut line);
                line.as_slice()
            }));
        }
        Payloads { payloads: payloads.finish(), rejects: Vec::new() }
    }
}

fn base64(column: &Column) -> Payloads {
    use arrow::array::AsArray;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let payloads = column.array.as_binary::<i32>().iter().map(|bytes| bytes.map(|bytes| STANDARD.encode(bytes))).collect();
    Payloads { payloads, rejects: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, NullArray, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn written(array: ArrayRef) -> (Vec<Option<String>>, usize) {
        let column = Column::new(Arc::new(Field::new("header", array.data_type().clone(), true)), array);
        let Payloads { payloads, rejects } = Simple.write(&column);
        (payloads.iter().map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect(), rejects.len())
    }

    #[test]
    fn headers_are_texts_as_upstream_writes_them() {
        let cases: [(ArrayRef, Option<&str>); 7] = [
            (Arc::new(StringArray::from(vec!["007 \"x\""])), Some("007 \"x\"")),
            (Arc::new(Int64Array::from(vec![-7])), Some("-7")),
            (Arc::new(BooleanArray::from(vec![true])), Some("true")),
            (Arc::new(Float64Array::from(vec![1e10])), Some("1.0E10")),
            (Arc::new(BinaryArray::from(vec![&b"\xff"[..]])), Some("/w==")),
            (Arc::new(Int64Array::new_null(1)), None),
            (Arc::new(NullArray::new(1)), None),
        ];
        for (array, expected) in cases {
            let kind = array.data_type().clone();
            assert_eq!(written(array), (vec![expected.map(str::to_owned)], 0), "{kind}");
        }
        assert_eq!(written(Arc::new(Date32Array::from(vec![1]))), (vec![None], 1));
    }
}
