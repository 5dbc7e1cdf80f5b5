//! `DropHeaders`: leaves out the headers of some names.
//!
//! Upstream: `org.apache.kafka.connect.transforms.DropHeaders`. Names are compared; what the headers say is not read.

use lakehead_formats::column::Reject;
use lakehead_formats::headers;

use super::mask_field::not_empty;
use super::{Built, Transform, rows};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[ConfigKey {
    name: "headers",
    kind: Type::List,
    default: None,
    required: true,
    importance: Importance::High,
    group: "Transforms",
    doc: "The names of the headers that are left out.",
    check: Check::Any,
}];

#[derive(Debug)]
struct DropHeaders(Vec<String>);

/// Builds it.
pub(super) fn build(props: &Props) -> Built {
    let names = not_empty(&Values { tables: &[KEYS], props }, "headers").map_err(|error| vec![error])?;
    Ok(Box::new(DropHeaders(names.iter().map(ToString::to_string).collect())))
}

impl Transform for DropHeaders {
    fn apply(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let dropped = batch.headers.as_ref().map(|list| headers::without(list, &self.0)).transpose();
        match dropped {
            Ok(left) => {
                batch.headers = left;
                out.push(batch);
                Vec::new()
            }
            Err(error) => refused(&batch, &format!("headers cannot be left out: {error}"), out),
        }
    }
}

/// No row goes on, for one reason.
pub(super) fn refused(batch: &Batch, reason: &str, out: &mut Vec<Batch>) -> Vec<Reject> {
    out.push(rows::without_rows(batch));
    (0..batch.len()).map(|row| Reject { row, reason: reason.to_owned() }).collect()
}
