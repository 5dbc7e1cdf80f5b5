//! `MessageTimestampRouter`: a topic's name made of the topic and a timestamp that is in the value.
//!
//! Upstream: Confluent's `connect-transforms`, `io.confluent.connect.transforms.MessageTimestampRouter`. As there, values are maps without a schema; the first
//! of `message.timestamp.keys` that is in the record and not null has the timestamp, a text. Without `message.timestamp.format` it is read as ISO 8601. Patterns
//! are `SimpleDateFormat`'s, in UTC. Texts are read row by row; topics are named once for a stretch of time in which the pattern prints the same.

use arrow::array::{AsArray, StringBuilder};
use lakehead_formats::column::Reject;
use lakehead_formats::dates::DateFormat;
use lakehead_formats::schemaless::{Dynamic, Kind, Wanted};

use super::json_path::{Done, Objects, with_values};
use super::mask_field::not_empty;
use super::side::excerpt;
use super::{Built, Side, Transform, rows};
use crate::batch::Batch;
use crate::calendar::Zone;
use crate::calendar::iso::parse_date_time;
use crate::calendar::pattern::Pattern;
use crate::clock::Clock;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: default.is_none(), importance: Importance::High, group: "", doc, check: Check::Any }
}

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    key("topic.format", Type::String, Some("${topic}-${timestamp}"), "The new topic, with ${topic} for the old one and ${timestamp} for the timestamp."),
    key(
        "message.timestamp.format",
        Type::String,
        Some(""),
        "How the timestamp is written in the value: a pattern of java.text.SimpleDateFormat, in UTC; empty for ISO 8601.",
    ),
    key("topic.timestamp.format", Type::String, Some("yyyyMMdd"), "How it is printed in the topic's name: a pattern of java.text.SimpleDateFormat, in UTC."),
    key("message.timestamp.keys", Type::List, None, "Fields that may have the timestamp: the first that a record has counts."),
];

const PURPOSE: &str = "routing by a timestamp in the message";

/// The years that a name can tell, with room for every zone: ±262,000.
const MOST_MS: i64 = 262_000 * 365 * 86_400_000;

#[derive(Debug)]
struct MessageTimestampRouter {
    topic_format: String,
    reads: Option<DateFormat>,
    reads_text: String,
    prints: Pattern,
    keys: Vec<String>,
}

/// Builds it.
pub(super) fn build(props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let invalid = |key: &str, message: String| vec![ConfigError::new(key, format!("Invalid value {} for configuration {key}: {message}", values.text(key)))];
    let prints = Pattern::java(values.text("topic.timestamp.format")).map_err(|message| invalid("topic.timestamp.format", message))?;
    let (key, reads_text) = ("message.timestamp.format", values.text("message.timestamp.format"));
    let reads = match reads_text {
        "" => None,
        pattern => match DateFormat::compile(pattern, Clock::system().now().timestamp_millis()).map_err(|message| invalid(key, message))? {
            Some(format) => Some(format),
            None => return Err(invalid(key, "it has weeks, which are printed only; write it with months".to_owned())),
        },
    };
    let keys = not_empty(&values, "message.timestamp.keys").map_err(|error| vec![error])?.iter().map(ToString::to_string).collect();
    Ok(Box::new(MessageTimestampRouter { topic_format: values.text("topic.format").to_owned(), reads, reads_text: reads_text.to_owned(), prints, keys }))
}

impl Transform for MessageTimestampRouter {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        with_values(Side::Value, Objects::Maps(PURPOSE), &Wanted::All, batch, out, &mut |piece, values| self.route(piece, values))
    }

    fn reads(&self) -> Option<Side> {
        Some(Side::Value)
    }
}

impl MessageTimestampRouter {
    fn route(&self, piece: &Batch, values: &Dynamic) -> Done {
        let members: Vec<(&str, Dynamic)> = self.keys.iter().filter_map(|key| Some((key.as_str(), values.member(key)?))).collect();
        let (mut topics, mut rejects) = (StringBuilder::new(), Vec::new());
        let mut names = Names { router: self, topic: &piece.topic, stretch: 0..0, last: String::new() };
        for row in 0..piece.len() {
            match self.instant(&members, row) {
                Ok(ms) => topics.append_value(names.of(ms)),
                Err(reason) => rejects.push(Reject { row, reason }),
            }
        }
        Ok((rows::routed(&rows::without(piece, &rejects)?, &topics.finish()), rejects))
    }

    /// The timestamp of a row.
    fn instant(&self, members: &[(&str, Dynamic)], row: usize) -> Result<i64, String> {
        let Some((key, found)) = members.iter().find(|(_, member)| member.kind(row) > Kind::Null) else {
            return Err(format!("the value has no timestamp: none of the fields in message.timestamp.keys ({}) is there and not null", self.keys.join(", ")));
        };
        let text = match (found.kind(row), found.lane(Kind::String)) {
            (Kind::String, Some(lane)) => lane.as_string::<i32>().value(row),
            (kind, _) => return Err(format!("the timestamp in field \"{key}\" is a text, but it is a {}", kind.class_name())),
        };
        let shown = excerpt(text);
        let ms = match &self.reads {
            Some(format) => format
                .parse(text)
                .ok_or_else(|| format!("the timestamp \"{shown}\" in field \"{key}\" does not match message.timestamp.format ({})", self.reads_text))?,
            None => parse_date_time(text)
                .ok_or_else(|| format!("the timestamp \"{shown}\" in field \"{key}\" is not ISO 8601: set message.timestamp.format to its pattern"))?,
        };
        if (-MOST_MS..=MOST_MS).contains(&ms) { Ok(ms) } else { Err(format!("the timestamp \"{shown}\" in field \"{key}\" is out of range")) }
    }
}

/// The last name, and the stretch of time that it is for.
struct Names<'a> {
    router: &'a MessageTimestampRouter,
    topic: &'a str,
    stretch: std::ops::Range<i64>,
    last: String,
}

impl Names<'_> {
    fn of(&mut self, ms: i64) -> &str {
        if !self.stretch.contains(&ms) {
            let granularity = self.router.prints.granularity_ms();
            let start = ms.div_euclid(granularity) * granularity;
            self.stretch = start..start + granularity;
            let mut text = String::new();
            self.router.prints.push(ms, Zone::UTC, &mut text).unwrap_or_default();
            self.last = self.router.topic_format.replace("${topic}", self.topic).replace("${timestamp}", &text);
        }
        &self.last
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{apply_schema, json_batch};
    use super::*;

    /// The topic of each row that went on, and why the others did not.
    fn route(settings: &[(&str, &str)], rows: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut out = Vec::new();
        let rejects = build(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).unwrap().apply(json_batch(rows), &mut out);
        let topics = out.iter().flat_map(|batch| std::iter::repeat_n(batch.topic.to_string(), batch.len())).collect();
        (topics, rejects.into_iter().map(|reject| format!("{}: {}", reject.row, reject.reason)).collect())
    }

    #[test]
    fn topics_by_a_field() {
        let settings = [
            ("topic.format", "foo-${topic}-${timestamp}"),
            ("message.timestamp.format", "yyyy-MM-dd"),
            ("topic.timestamp.format", "yyyy.MM.dd"),
            ("message.timestamp.keys", "timestamp,time,ts"),
        ];
        let rows = [r#"{"time":"2019-08-06"}"#, r#"{"ts":"2019-08-06","timestamp":null}"#, r#"{"ts":"2019-08-06","timestamp":"2020-01-01"}"#];
        let (topics, rejects) = route(&settings, &rows);
        assert_eq!(
            (topics, rejects),
            (vec!["foo-orders-2019.08.06".to_owned(), "foo-orders-2019.08.06".to_owned(), "foo-orders-2020.01.01".to_owned()], vec![])
        );
    }

    #[test]
    fn without_a_format_texts_are_iso() {
        let rows = [r#"{"ts":"2023-11-14"}"#, r#"{"ts":"2023-11-14T23:30:00-02:00"}"#];
        assert_eq!(route(&[("message.timestamp.keys", "ts")], &rows).0, ["orders-20231114", "orders-20231115"]);
    }

    #[test]
    fn records_without_a_timestamp_are_left_out() {
        let rows = ["null", r#"{"ts":"2023-11-14"}"#, r#"{"ts":null}"#, r#"{"ts":7}"#, r#"{"ts":"soon"}"#, "[]"];
        let (topics, rejects) = route(&[("message.timestamp.keys", "ts")], &rows);
        assert_eq!(topics, ["orders-20231114"]);
        for (found, expected) in rejects.iter().zip([
            "0: Only Map objects supported in absence of schema for [routing by a timestamp in the message], found: null",
            "2: the value has no timestamp",
            "3: the timestamp in field \"ts\" is a text, but it is a java.lang.Long",
            "4: the timestamp \"soon\" in field \"ts\" is not ISO 8601",
            "5: Only Map objects",
        ]) {
            assert!(found.starts_with(expected), "{found}");
        }
        assert_eq!(rejects.len(), 5);
    }

    #[test]
    fn structs_are_not_supported_as_by_upstream() {
        let schema = r#"{"type":"struct","fields":[{"field":"ts","type":"string"}]}"#;
        let shown = apply_schema("MessageTimestampRouter", &[("message.timestamp.keys", "ts")], schema, &[r#"{"ts":"2023-11-14"}"#]);
        assert!(shown.rejects[0].reason.ends_with("found: org.apache.kafka.connect.data.Struct"), "{:?}", shown.rejects);
    }

    #[test]
    fn bad_settings_are_named() {
        for (settings, key) in [
            (vec![("message.timestamp.keys", "")], "message.timestamp.keys"),
            (vec![("message.timestamp.keys", "a"), ("topic.timestamp.format", "bb")], "topic.timestamp.format"),
            (vec![("message.timestamp.keys", "a"), ("message.timestamp.format", "bb")], "message.timestamp.format"),
            (vec![("message.timestamp.keys", "a"), ("message.timestamp.format", "YYYY-ww")], "message.timestamp.format"),
        ] {
            let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(build(&props).unwrap_err()[0].key, key);
        }
    }
}
