//! `TimestampRouter`: a topic's name made of the topic and the record's timestamp, `${topic}-${timestamp}`.
//!
//! Upstream: `org.apache.kafka.connect.transforms.TimestampRouter`; the timestamp is printed by a `SimpleDateFormat` in UTC. The name is computed once for
//! a stretch of time in which the pattern prints the same, and the batch is cut where the name changes.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, TimestampMillisecondArray};
use lakehead_formats::column::Reject;

use super::{Transform, rows};
use crate::batch::Batch;
use crate::calendar::Zone;
use crate::calendar::pattern::Pattern;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "topic.format",
        kind: Type::String,
        default: Some("${topic}-${timestamp}"),
        required: false,
        importance: Importance::High,
        group: "Transforms",
        doc: "The new topic, with ${topic} for the old one and ${timestamp} for the record's timestamp.",
        check: Check::Any,
    },
    ConfigKey {
        name: "timestamp.format",
        kind: Type::String,
        default: Some("yyyyMMdd"),
        required: false,
        importance: Importance::High,
        group: "Transforms",
        doc: "How the timestamp is printed: a pattern of java.text.SimpleDateFormat, in UTC, with English names.",
        check: Check::Any,
    },
];

#[derive(Debug)]
struct TimestampRouter {
    topic_format: String,
    pattern: Pattern,
    granularity_ms: i64,
}

/// Builds it.
pub(super) fn build(props: &Props) -> Result<Box<dyn Transform>, Vec<ConfigError>> {
    let values = Values { tables: &[KEYS], props };
    let format = values.text("timestamp.format");
    let pattern = Pattern::java(format)
        .map_err(|message| vec![ConfigError::new("timestamp.format", format!("Invalid value {format} for configuration timestamp.format: {message}"))])?;
    let granularity_ms = pattern.granularity_ms();
    Ok(Box::new(TimestampRouter { topic_format: values.text("topic.format").to_owned(), pattern, granularity_ms }))
}

impl Transform for TimestampRouter {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let (batch, rejects) = self.without_unprintable(batch);
        let (before, topics) = self.runs(&batch.topic, &batch.timestamps);
        if topics.is_empty() {
            out.push(batch); // no row is left, but its offsets went by
            return rejects;
        }
        out.extend(rows::cut(&batch, &before).into_iter().zip(topics).map(|(piece, topic)| Batch { topic, ..piece }));
        rejects
    }
}

impl TimestampRouter {
    /// Leaves out rows whose timestamp is missing or no date.
    fn without_unprintable(&self, batch: Batch) -> (Batch, Vec<Reject>) {
        /// The years that a name can tell, with room for every zone: ±262,000.
        const MOST_MS: i64 = 262_000 * 365 * 86_400_000;
        let is_printable = |time: i64| (-MOST_MS..=MOST_MS).contains(&time);
        let values = batch.timestamps.values();
        if batch.timestamps.null_count() == 0 && values.iter().copied().all(is_printable) {
            return (batch, Vec::new());
        }
        let keep: BooleanArray = batch.timestamps.iter().map(|time| Some(time.is_some_and(is_printable))).collect();
        let reject = |row| {
            let at = format!("topic {}, partition {}, offset {}", batch.from.topic, batch.from.partition, batch.offsets.value(row));
            let reason = match batch.timestamps.is_valid(row) {
                true => format!("timestamp {} ms is out of range ({at})", values.get(row).copied().unwrap_or_default()),
                false => format!("Timestamp missing on record: {at}"),
            };
            Reject { row, reason }
        };
        let rejects = (0..batch.len()).filter(|row| !keep.value(*row)).map(reject).collect();
        match rows::keep(&batch, &keep) {
            Ok(kept) => (kept, rejects),
            Err(error) => {
                let reason = format!("records without a timestamp cannot be told apart from the others in this batch: {error}");
                let rejects = (0..batch.len()).map(|row| Reject { row, reason: reason.clone() }).collect();
                (rows::without_rows(&batch), rejects)
            }
        }
    }

    /// Where the new topic changes, and the topics: one more than changes, or none when there is no row.
    fn runs(&self, topic: &str, timestamps: &TimestampMillisecondArray) -> (Vec<usize>, Vec<Arc<str>>) {
        let (mut before, mut topics): (Vec<usize>, Vec<Arc<str>>) = (Vec::new(), Vec::new());
        let mut stretch = 0..0;
        for (row, &time) in timestamps.values().iter().enumerate() {
            if stretch.contains(&time) {
                continue;
            }
            let start = time.div_euclid(self.granularity_ms) * self.granularity_ms;
            stretch = start..start + self.granularity_ms;
            let name = self.name(topic, time);
            if topics.last().is_some_and(|last| **last == *name) {
                continue;
            }
            if !topics.is_empty() {
                before.push(row);
            }
            topics.push(Arc::from(name));
        }
        (before, topics)
    }

    /// The new topic: first `${topic}` is replaced, then `${timestamp}` in what came of it, as upstream.
    fn name(&self, topic: &str, time: i64) -> String {
        let mut text = String::new();
        self.pattern.push(time, Zone::UTC, &mut text).unwrap_or_default();
        self.topic_format.replace("${topic}", topic).replace("${timestamp}", &text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{batch, pieces};
    use super::*;

    fn router(settings: &[(&str, &str)]) -> Result<Box<dyn Transform>, Vec<ConfigError>> {
        build(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn apply(settings: &[(&str, &str)], rows: &[(i64, Option<i64>)]) -> (Vec<(String, Vec<i64>, (i64, i64))>, Vec<Reject>) {
        let mut out = Vec::new();
        let rejects = router(settings).unwrap().apply(batch(rows), &mut out);
        (pieces(&out), rejects)
    }

    const DAY: i64 = 86_400_000;

    #[test]
    fn topics_by_day() {
        let (found, rejects) = apply(&[], &[(12, Some(1_483_425_001_864))]);
        assert_eq!((found, rejects), (vec![("orders-20170103".to_owned(), vec![12], (10, 100))], vec![]));
        for (format, pattern, name) in [
            ("${topic}_${timestamp}", "yyyy.MM", "orders_1970.01"),
            ("all", "yyyy", "all"),
            ("${timestamp}${topic}${topic}", "'${topic}'", "${topic}ordersorders"),
        ] {
            assert_eq!(apply(&[("topic.format", format), ("timestamp.format", pattern)], &[(12, Some(0))]).0[0].0, name);
        }
    }

    #[test]
    fn a_batch_is_cut_where_the_topic_changes() {
        let (found, rejects) = apply(&[], &[(11, Some(0)), (12, Some(DAY - 1)), (13, Some(DAY)), (20, Some(1)), (21, Some(2))]);
        let name = |day: &str| format!("orders-197001{day}");
        assert_eq!(found, [(name("01"), vec![11, 12], (10, 13)), (name("02"), vec![13], (13, 20)), (name("01"), vec![20, 21], (20, 100))]);
        assert!(rejects.is_empty());
    }

    #[test]
    fn a_coarse_name_does_not_cut_at_fine_bounds() {
        let rows: Vec<_> = (11..60).map(|offset| (offset, Some(offset * 1000))).collect();
        assert_eq!(apply(&[("timestamp.format", "yyyy"), ("topic.format", "${timestamp}")], &rows).0.len(), 1);
        assert_eq!(apply(&[("timestamp.format", "s")], &rows).0.len(), 49);
    }

    #[test]
    fn records_without_a_timestamp_are_left_out() {
        let (found, rejects) = apply(&[], &[(11, None), (12, Some(0)), (13, None), (14, Some(DAY)), (15, Some(i64::MAX)), (16, None)]);
        assert_eq!(found, [("orders-19700101".to_owned(), vec![12], (10, 14)), ("orders-19700102".to_owned(), vec![14], (14, 100))]);
        assert_eq!(rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), [0, 2, 4, 5]);
        assert_eq!(rejects[1].reason, "Timestamp missing on record: topic orders, partition 0, offset 13");
        assert!(rejects[2].reason.contains(&i64::MAX.to_string()));
    }

    #[test]
    fn offsets_go_by_when_no_row_is_left() {
        let (found, rejects) = apply(&[], &[(11, None)]);
        assert_eq!((found, rejects.len()), (vec![("orders".to_owned(), vec![], (10, 100))], 1));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let errors = router(&[("timestamp.format", "yyyy-bb")]).unwrap_err();
        assert_eq!(errors[0].message, "Invalid value yyyy-bb for configuration timestamp.format: Illegal pattern character 'b'");
    }
}
