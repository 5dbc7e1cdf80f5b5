//! Names that a language of schemas has no form for, made into names that it has: `scrub.invalid.names`.
//!
//! Source: `AvroData#doScrubName` and `ProtobufData#doScrubName`. A name is encoded as in an HTML form, and what is then neither a letter nor a digit is `_`.

use arrow::datatypes::{DataType, Field, FieldRef};

use crate::schema::PARAMETERS;
use crate::schema::avro::FIELD_DOC;

/// A part of a name in Avro.
pub(crate) fn avro(name: &str) -> String {
    scrubbed(name, |first| first.is_ascii_digit())
}

/// A part of a name in Protobuf, which does not begin with `_` either.
pub(crate) fn protobuf(name: &str) -> String {
    scrubbed(name, |first| first.is_ascii_digit() || first == b'_')
}

/// A full name, part for part.
pub(crate) fn full(name: &str, part: fn(&str) -> String) -> String {
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

fn scrubbed(name: &str, is_bad_first: fn(u8) -> bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = name.as_bytes();
    let Some(first) = bytes.first() else { return String::new() };
    if bytes.iter().all(is_fine) && !is_bad_first(*first) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len() + 4);
    for byte in bytes {
        match byte {
            byte if is_fine(byte) => out.push(char::from(*byte)),
            // These stand for themselves in a form, or for a `+`.
            b'.' | b'-' | b'*' | b' ' => out.push('_'),
            byte => {
                out.push('_');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    // The first letter is looked at while a space is still a `+`, and bytes a `%`.
    if is_bad_first(*first) {
        out.insert(0, 'x');
    }
    out
}

/// The field with the names of all fields of structs in it made into names of Avro.
pub(crate) fn in_avro(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|child| in_avro(child).with_name(avro(child.name()))).collect()),
        DataType::List(item) => DataType::List(FieldRef::new(in_avro(item))),
        DataType::Map(entries, sorted) => DataType::Map(FieldRef::new(in_avro(entries)), *sorted),
        other => other.clone(),
    };
    let mut metadata = field.metadata().clone();
    let prefix = format!("{PARAMETERS}{FIELD_DOC}");
    let docs: Vec<(String, String)> = metadata.iter().filter_map(|(key, doc)| Some((key.strip_prefix(&prefix)?.to_owned(), doc.clone()))).collect();
    for (name, doc) in docs {
        metadata.insert(format!("{prefix}{}", avro(&name)), doc);
    }
    field.clone().with_data_type(data_type).with_metadata(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_scrubbed_as_upstream_scrubs_them() {
        let table = [
            ("abc_DEF_123", "abc_DEF_123", "abc_DEF_123"),
            ("abc+-.*_", "abc_2B____", "abc_2B____"),
            ("abc  def", "abc__def", "abc__def"),
            ("0abc.def", "x0abc_def", "x0abc_def"),
            ("_abc.def", "_abc_def", "x_abc_def"),
            ("", "", ""),
            ("abc-2.3", "abc_2_3", "abc_2_3"),
            ("a b+c", "a_b_2Bc", "a_b_2Bc"),
            ("1a", "x1a", "x1a"),
            ("_a", "_a", "x_a"),
            ("été", "_C3_A9t_C3_A9", "_C3_A9t_C3_A9"),
            ("a/b", "a_2Fb", "a_2Fb"),
        ];
        for (name, in_avro, in_protobuf) in table {
            assert_eq!((avro(name).as_str(), protobuf(name).as_str()), (in_avro, in_protobuf), "{name}");
        }
        assert_eq!(full("a-b.c.1d", avro), "a_b.c.x1d");
    }
}
