//! `io.confluent.connect.transforms.Filter`: keeps the records that a JSON path finds something in, or those that it finds nothing in.
//!
//! Upstream: Confluent's `connect-transforms`, `Filter$Key` and `Filter$Value`, with Jayway's JsonPath ([`json_path`](super::json_path)). A record whose key or
//! value is null goes on. Under a schema a field that has no value is there, and null.

use arrow::array::BooleanArray;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use lakehead_formats::column::Reject;
use lakehead_formats::schemaless::Wanted;

use super::json_path::{self, JsonPath, Objects, with_values};
use super::side::null_rows;
use super::{Built, Side, Transform, rows};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// What upstream says of every path that it cannot read.
const INVALID: &str = "Invalid json path defined. Please refer to https://github.com/json-path/JsonPath README for correct use of json path.";

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "filter.condition",
        kind: Type::String,
        default: None,
        required: true,
        importance: Importance::High,
        group: "",
        doc: "A JSON path with a condition, as $[?(@.status == 'paid')], or only a path, as $.user.name: it takes the records that it leads to something in.",
        check: Check::Custom(is_path),
    },
    ConfigKey {
        name: "filter.type",
        kind: Type::String,
        default: None,
        required: true,
        importance: Importance::High,
        group: "",
        doc: "include: only the records that the condition takes go on. exclude: only the others.",
        check: Check::OneOfIgnoreCase(&["include", "exclude"]),
    },
    ConfigKey {
        name: "missing.or.null.behavior",
        kind: Type::String,
        default: Some("fail"),
        required: false,
        importance: Importance::Medium,
        group: "",
        doc: "What becomes of a record that the path before its condition is not in: fail, include (it goes on) or exclude (it is dropped).",
        check: Check::OneOfIgnoreCase(&["fail", "include", "exclude"]),
    },
];

/// Reads a path as upstream's validator does.
pub(super) fn is_path(text: &str) -> Result<(), String> {
    json_path::parse(text).map(drop).map_err(|why| format!("{INVALID} Here: {why}"))
}

const OBJECTS: Objects = Objects::Only("filtering record without schema", "filtering record with schema");

#[derive(Debug)]
struct JsonPathFilter {
    side: Side,
    path: JsonPath,
    text: String,
    wanted: Wanted,
    includes: bool,
    missing: Missing,
}

/// What becomes of a record that the path is not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fails,
    GoesOn,
    IsDropped,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let text = values.text("filter.condition");
    let path = json_path::parse(text).map_err(|why| vec![ConfigError::new("filter.condition", format!("{INVALID} Here: {why}"))])?;
    let missing = match values.text("missing.or.null.behavior").to_ascii_lowercase().as_str() {
        "include" => Missing::GoesOn,
        "exclude" => Missing::IsDropped,
        _ => Missing::Fails,
    };
    let includes = values.text("filter.type").eq_ignore_ascii_case("include");
    Ok(Box::new(JsonPathFilter { side, wanted: path.wanted(), path, text: text.to_owned(), includes, missing }))
}

impl Transform for JsonPathFilter {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let (side, wanted) = (self.side, &self.wanted);
        with_values(side, OBJECTS, wanted, batch, out, &mut |piece, values| {
            let found = json_path::find(&self.path, values)?;
            let nulls = null_rows(side.of(piece));
            let there = nulls.map_or_else(|| BooleanBuffer::new_set(piece.len()), NullBuffer::into_inner);
            let mut rejects: Vec<Reject> = found.failed.into_iter().map(|(row, reason)| Reject { row, reason }).collect();
            if self.missing == Missing::Fails {
                let reason = self.not_found();
                rejects.extend(found.missing.set_indices().map(|row| Reject { row, reason: reason.clone() }));
            }
            rejects.retain(|reject| there.value(reject.row));
            rejects.sort_by_key(|reject| reject.row);
            rejects.dedup_by_key(|reject| reject.row);
            let hits = if self.includes { found.hits } else { !&found.hits };
            let hits = if self.missing == Missing::GoesOn { &hits | &found.missing } else { &hits & &!&found.missing };
            let mut keep: Vec<bool> = (&hits | &!&there).iter().collect();
            for reject in &rejects {
                keep.get_mut(reject.row).into_iter().for_each(|keep| *keep = false);
            }
            Ok((vec![rows::keep(piece, &BooleanArray::from(keep))?], rejects))
        })
    }

    fn reads(&self) -> Option<Side> {
        Some(self.side)
    }
}

impl JsonPathFilter {
    fn not_found(&self) -> String {
        let choices = "Set ``missing.or.null.behavior`` to ``include`` or ``exclude`` to change how the transform handles this condition.";
        format!("Unable to apply the JSON Path filter condition `{}` because the path could not be found in the record. {choices}", self.text)
    }
}
