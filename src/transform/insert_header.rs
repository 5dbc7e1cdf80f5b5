//! `InsertHeader`: adds one header to every record.
//!
//! Upstream: `org.apache.kafka.connect.transforms.InsertHeader`. What the literal is, is told by how it looks ([`lakehead_formats::headers::literal`]).

use lakehead_formats::column::{Column, Reject};
use lakehead_formats::headers::{self, Added};

use super::drop_headers::refused;
use super::{Built, Transform};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

const fn key(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind: Type::String, default: None, required: true, importance: Importance::High, group: "Transforms", doc, check: Check::Any }
}

/// The settings.
pub(super) static KEYS: &[ConfigKey] =
    &[key("header", "The name of the header."), key("value.literal", "Its value: a number, a boolean, a date, an array, a map, or any other text.")];

#[derive(Debug)]
struct InsertHeader {
    name: String,
    value: Column,
}

/// Builds it.
pub(super) fn build(props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let text = |key: &str| values.text(key);
    Ok(Box::new(InsertHeader { name: text("header").to_owned(), value: headers::literal_column(text("value.literal")) }))
}

impl Transform for InsertHeader {
    fn apply(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        match headers::with(batch.headers.as_ref(), batch.len(), &self.name, Added::Same(&self.value)) {
            Ok(list) => {
                batch.headers = Some(list);
                out.push(batch);
                Vec::new()
            }
            Err(error) => refused(&batch, &format!("header \"{}\" cannot be added: {error}", self.name), out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::AsArray;
    use lakehead_formats::headers::{Own, written};
    use lakehead_formats::payload;

    use super::super::configure;
    use super::super::rows::tests::batch;
    use super::*;

    fn apply(class: &str, settings: &[(&str, &str)], given: Batch) -> Batch {
        let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut out = Vec::new();
        assert!(configure(class, &props).unwrap().apply(given, &mut out).is_empty() && out.len() == 1);
        out.remove(0)
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
    fn headers_are_added_and_dropped_in_order() {
        let mut given = batch(&[(11, None), (12, None)]);
        for (name, literal) in [("a", "1.0"), ("b", " text "), ("a", "[1, 2.5]"), ("c", "null")] {
            given = apply("org.apache.kafka.connect.transforms.InsertHeader", &[("header", name), ("value.literal", literal)], given);
        }
        assert_eq!(shown(&given), ["a=1 b=text a=[1.0,2.5] c=null"; 2]);
        let left = apply("org.apache.kafka.connect.transforms.DropHeaders", &[("headers", "a, x")], given);
        assert_eq!(shown(&left), ["b=text c=null"; 2]);
        assert!(apply("DropHeaders", &[("headers", "a")], batch(&[(11, None)])).headers.is_none());
    }

    #[test]
    fn required_settings_are_required() {
        for (class, message) in [
            ("InsertHeader", "Missing required configuration \"header\" which has no default value."),
            ("DropHeaders", "Missing required configuration \"headers\" which has no default value."),
        ] {
            assert_eq!(configure(class, &Props::new()).unwrap_err()[0].message, message);
        }
        let empty = configure("DropHeaders", &[("headers".to_owned(), String::new())].into_iter().collect()).unwrap_err();
        assert_eq!(empty[0].message, "Invalid value [] for configuration headers: Empty list");
    }
}
