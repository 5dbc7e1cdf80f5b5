//! `StringConverter`: values as Java's `toString` prints them, in UTF-8.

use arrow::array::{Array, BinaryBuilder};
use arrow::datatypes::DataType;

use super::text::JavaText;
use super::{Options, PayloadWriter, Payloads, Writer};
use crate::column::Column;
use crate::wire::ConvertError;

/// Registration.
pub(super) const WRITER: Writer =
    Writer { name: "string", aliases: &["org.apache.kafka.connect.storage.StringConverter", "StringConverter", "String"], registry: false, build };

fn build(options: &Options) -> Result<Box<dyn PayloadWriter>, ConvertError> {
    const KEY: &str = "converter.encoding";
    let charset = options.get(KEY).map_or("UTF-8", |charset| charset.trim());
    if !["utf-8", "utf8"].contains(&charset.to_ascii_lowercase().as_str()) {
        let message = format!("charset {charset:?} is not supported; strings are written as \"UTF-8\"");
        return Err(ConvertError::Config { key: KEY.to_owned(), message });
    }
    Ok(Box::new(Strings))
}

#[derive(Debug)]
struct Strings;

impl PayloadWriter for Strings {
    fn write(&mut self, column: &Column) -> Payloads {
        let text = match JavaText::new(&column.array, &column.field) {
            Ok(text) if column.field.data_type() != &DataType::Binary => text,
            Ok(_) => return Payloads::none(column.len(), "bytes have no text: choose org.apache.kafka.connect.converters.ByteArrayConverter"),
            Err(reason) => return Payloads::none(column.len(), &reason),
        };
        let mut payloads = BinaryBuilder::new();
        let mut line = Vec::new();
        for row in 0..column.len() {
            // The rows are texts of different lengths: there is no kernel for them.
            if column.array.is_null(row) || column.field.data_type() == &DataType::Null {
                payloads.append_null();
                continue;
            }
            line.clear();
            text.print(row, &mut line);
            payloads.append_value(&line);
        }
        Payloads { payloads: payloads.finish(), rejects: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, NullArray, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn written(array: ArrayRef) -> (Vec<Option<String>>, usize) {
        let column = Column::new(Arc::new(Field::new("value", array.data_type().clone(), true)), array);
        let Payloads { payloads, rejects } = Strings.write(&column);
        (payloads.iter().map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect(), rejects.len())
    }

    #[test]
    fn values_are_written_as_java_prints_them() {
        let some = |texts: &[Option<&str>]| texts.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(written(Arc::new(StringArray::from(vec![Some("é \""), None, Some("")]))), (some(&[Some("é \""), None, Some("")]), 0));
        assert_eq!(written(Arc::new(Int64Array::from(vec![-7]))), (some(&[Some("-7")]), 0));
        assert_eq!(written(Arc::new(NullArray::new(1))), (some(&[None]), 0));
        assert_eq!(written(Arc::new(BinaryArray::from(vec![&b"x"[..]]))), (some(&[None]), 1));
    }

    #[test]
    fn a_charset_other_than_utf_8_is_refused() {
        let options = |charset: &str| Options::from([("converter.encoding".to_owned(), charset.to_owned())]);
        assert!(build(&options("UTF8")).is_ok());
        let error = build(&options("UTF-16")).expect_err("another charset");
        assert_eq!(error.to_string(), "converter.encoding: charset \"UTF-16\" is not supported; strings are written as \"UTF-8\"");
    }
}
