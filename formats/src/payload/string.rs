//! `StringConverter`: values as Java's `toString` prints them, in UTF-8 or another charset.

use arrow::array::{Array, BinaryBuilder};
use arrow::datatypes::DataType;

use super::text::JavaText;
use super::{Options, PayloadWriter, Payloads, Writer};
use crate::column::Column;
use crate::wire::ConvertError;
use crate::wire::charset::Charset;

/// Registration.
pub(super) const WRITER: Writer =
    Writer { name: "string", aliases: &["org.apache.kafka.connect.storage.StringConverter", "StringConverter", "String"], registry: false, build };

fn build(options: &Options) -> Result<Box<dyn PayloadWriter>, ConvertError> {
    const KEY: &str = "converter.encoding";
    let charset = Charset::of(options.get(KEY).map_or("UTF-8", |charset| charset.trim()));
    let charset = charset.map_err(|message| ConvertError::Config { key: KEY.to_owned(), message })?;
    Ok(Box::new(Strings(charset)))
}

#[derive(Debug)]
struct Strings(Charset);

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
            match self.0 {
                Charset::Utf8 => payloads.append_value(&line),
                charset => payloads.append_value(charset.encode(&String::from_utf8_lossy(&line))),
            }
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
        let Payloads { payloads, rejects } = Strings(Charset::Utf8).write(&column);
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
    fn a_charset_that_is_not_known_is_refused() {
        let options = |charset: &str| Options::from([("converter.encoding".to_owned(), charset.to_owned())]);
        let column = Column::new(Arc::new(Field::new("value", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["a"])));
        assert_eq!(build(&options("UTF-16")).expect("a charset").write(&column).payloads.value(0), b"\xfe\xff\0a");
        let error = build(&options("EBCDIC")).expect_err("another charset");
        assert!(error.to_string().starts_with("converter.encoding: charset \"EBCDIC\" is not supported"), "{error}");
    }
}
