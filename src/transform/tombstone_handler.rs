//! `TombstoneHandler`: what becomes of records without a value.
//!
//! Upstream: Confluent's `connect-transforms`, `io.confluent.connect.transforms.TombstoneHandler`. `ignore` and `warn` drop them, `fail` fails; upstream logs each,
//! here a line says how many of a batch.

use arrow::array::BooleanArray;
use lakehead_formats::column::Reject;

use super::drop_headers::refused;
use super::side::null_rows;
use super::{Built, Transform, rows};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[ConfigKey {
    name: "behavior",
    kind: Type::String,
    default: Some("warn"),
    required: false,
    importance: Importance::Medium,
    group: "",
    doc: "ignore and warn drop records without a value, warn says so in the log; fail fails them.",
    check: Check::OneOfIgnoreCase(&["ignore", "warn", "fail"]),
}];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TombstoneHandler {
    Ignore,
    Warn,
    Fail,
}

/// Builds it.
pub(super) fn build(props: &Props) -> Built {
    Ok(Box::new(match (Values { tables: &[KEYS], props }).text("behavior").to_ascii_lowercase().as_str() {
        "ignore" => TombstoneHandler::Ignore,
        "fail" => TombstoneHandler::Fail,
        _ => TombstoneHandler::Warn,
    }))
}

impl Transform for TombstoneHandler {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let Some(nulls) = null_rows(&batch.value) else {
            out.push(batch);
            return Vec::new();
        };
        let kept = match rows::keep(&batch, &BooleanArray::new(nulls.inner().clone(), None)) {
            Ok(kept) => kept,
            Err(error) => return refused(&batch, &format!("records without a value cannot be told apart from the others in this batch: {error}"), out),
        };
        out.push(kept);
        let (count, topic) = (nulls.null_count(), &*batch.topic);
        match self {
            Self::Ignore => {
                tracing::debug!(topic, partition = batch.from.partition, offsets = %batch.span, count, "records without a value are dropped (TombstoneHandler)")
            }
            Self::Warn => {
                tracing::warn!(topic, partition = batch.from.partition, offsets = %batch.span, count, "records without a value are dropped (TombstoneHandler)")
            }
            Self::Fail => {
                let reason = "the record has no value, and TombstoneHandler is configured with behavior=fail: ignore or warn drop such records";
                return (!nulls.inner()).set_indices().map(|row| Reject { row, reason: reason.to_owned() }).collect();
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::json_batch;
    use super::*;

    #[test]
    fn records_without_a_value_are_dropped_or_fail() {
        for (behavior, rejected) in [(None, vec![]), (Some("ignore"), vec![]), (Some("WARN"), vec![]), (Some("fail"), vec![1, 3])] {
            let props = behavior.map(|behavior| ("behavior".to_owned(), behavior.to_owned())).into_iter().collect();
            let mut out = Vec::new();
            let rejects = build(&props).unwrap().apply(json_batch(&["1", "null", "{}", "null"]), &mut out);
            assert_eq!(rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), rejected, "{behavior:?}");
            assert_eq!((out.len(), out[0].offsets.values().to_vec(), out[0].span.end), (1, vec![100, 102], 104));
        }
    }

    #[test]
    fn a_batch_without_tombstones_goes_through() {
        let mut out = Vec::new();
        assert!(build(&Props::new()).unwrap().apply(json_batch(&["1", "2"]), &mut out).is_empty());
        assert_eq!(out[0].len(), 2);
    }
}
