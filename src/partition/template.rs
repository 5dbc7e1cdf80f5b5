//! `TemplatePartitioner`: a path of one's own, `country={value.country}/day={time:yyyy-MM-dd}/{topic}-{partition}`.
//!
//! | placeholder | text |
//! |---|---|
//! | `{value.a.b}`, `{value}` | a field of the value, or the whole of it |
//! | `{key.a.b}`, `{key}` | the same of the key |
//! | `{header.name}` | the last header of that name |
//! | `{topic}`, `{partition}` | topic (after transforms) and Kafka partition |
//! | `{time:PATTERN}` | the record's time by a Joda pattern, under `timestamp.extractor`, `timezone` and `locale` |
//!
//! Everything else stands for itself; `{{` and `}}` are braces. Nothing is escaped in what is filled in, as with `FieldPartitioner`. The time is printed as it
//! is; `partition.duration.ms` cuts it down first, as in `TimeBasedPartitioner`.

use chrono::{DateTime, Utc};

use super::coded::Coded;
use super::extractor::Extractor;
use super::field::{NullPolicy, reject_tombstones};
use super::source::Source;
use super::time::{Clock, pattern_of};
use super::value::reject_all;
use super::{Partitioner, Paths, directory_delim, invalid, values};
use crate::batch::Batch;
use crate::calendar::Zone;
use crate::connect::Props;
use crate::connect::config::ConfigError;

const KEY: &str = "lakehead.path.template";

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(String),
    /// What to fill in, and its name for messages.
    Source(Source, String),
    /// A Joda pattern.
    Time(String),
}

/// Reads a template.
fn parse(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        let doubled = rest.strip_prefix("{{").map(|after| ('{', after)).or_else(|| rest.strip_prefix("}}").map(|after| ('}', after)));
        if let Some((brace, after)) = doubled {
            literal.push(brace);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inside, after) = after.split_once('}').ok_or_else(|| format!("'{rest}' has no closing brace"))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(placeholder(inside)?);
            rest = after;
        } else if c == '}' {
            return Err(format!("'{rest}' begins with a closing brace that nothing opened; write }}}} for a brace"));
        } else {
            literal.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or("");
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn placeholder(inside: &str) -> Result<Piece, String> {
    let unknown = || format!("{{{inside}}} is unknown; placeholders: value.<field>, key, key.<field>, header.<name>, topic, partition, time:<Joda pattern>");
    let dotted = |side: fn(&str) -> Source, field: &str| {
        if field.trim_end_matches('.').split('.').any(|segment| segment.trim().is_empty()) {
            return Err(format!("{{{inside}}} has an empty path segment"));
        }
        Ok(Piece::Source(side(field), inside.to_owned()))
    };
    let source = match inside.split_once(['.', ':']) {
        None => match inside {
            "value" => Source::value(""),
            "key" => Source::key(""),
            "topic" => Source::Topic,
            "partition" => Source::Partition,
            _ => return Err(unknown()),
        },
        Some(("value", field)) if inside.starts_with("value.") => return dotted(Source::value, field),
        Some(("key", field)) if inside.starts_with("key.") => return dotted(Source::key, field),
        Some(("header", name)) if inside.starts_with("header.") && !name.is_empty() => Source::Header(name.to_owned()),
        Some(("time", pattern)) if inside.starts_with("time:") && !pattern.is_empty() => return Ok(Piece::Time(pattern.to_owned())),
        Some(_) => return Err(unknown()),
    };
    Ok(Piece::Source(source, inside.to_owned()))
}

/// A piece that is ready to be filled in.
#[derive(Debug)]
enum Part {
    Literal(String),
    Source(Source, String),
    Time(Clock),
}

/// Paths by a template.
#[derive(Debug)]
struct ByTemplate {
    parts: Vec<Part>,
    null: NullPolicy,
    /// `Some` when there is a time in the template.
    extractor: Option<Extractor>,
    needs_value: bool,
}

/// Builds it from `lakehead.path.template` and the keys of the time partitioners.
pub(super) fn build(props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let values = values(props);
    let mut errors = Vec::new();
    let text = values.text(KEY);
    let delim = directory_delim(props);
    let inner = if delim.is_empty() { text } else { text.strip_suffix(delim).unwrap_or(text) };
    let is_empty = inner.is_empty() || (!delim.is_empty() && inner.starts_with(delim));
    let parsed = if is_empty { Err(format!("a path must be there, and it must not begin with '{delim}'")) } else { parse(inner) };
    let pieces = parsed.unwrap_or_else(|message| {
        errors.push(invalid(KEY, text, &message));
        Vec::new()
    });
    let null = NullPolicy::from_props(props).map_err(|error| errors.push(error)).ok();
    let needs_value = pieces.iter().any(|piece| matches!(piece, Piece::Source(Source::Value(..), _)));
    let has_time = pieces.iter().any(|piece| matches!(piece, Piece::Time(_)));
    let (zone, duration_ms, extractor) = if has_time { time_settings(props, &mut errors) } else { (Zone::UTC, None, None) };
    let part = |piece| match piece {
        Piece::Literal(text) => Some(Part::Literal(text)),
        Piece::Source(source, name) => Some(Part::Source(source, name)),
        Piece::Time(pattern) => match pattern_of(&pattern, values.text("locale")) {
            Ok(pattern) => Some(Part::Time(Clock { duration_ms, pattern, zone })),
            Err(error) => {
                let message = error.message.rsplit("path.format: ").next().unwrap_or_default().to_owned();
                errors.push(invalid(KEY, text, &format!("{{time:{pattern}}}: {message}")));
                None
            }
        },
    };
    let parts = pieces.into_iter().filter_map(part).collect();
    match null {
        Some(null) if errors.is_empty() => Ok(Box::new(ByTemplate { parts, null, extractor, needs_value })),
        _ => Err(errors),
    }
}

/// Zone, length of buckets and extractor; what is wrong with them goes to `errors`.
fn time_settings(props: &Props, errors: &mut Vec<ConfigError>) -> (Zone, Option<i64>, Option<Extractor>) {
    let values = values(props);
    let timezone = values.text("timezone");
    let zone = if timezone.is_empty() { Err("Timezone cannot be empty.".to_owned()) } else { Zone::parse(timezone) };
    let zone = zone.unwrap_or_else(|message| {
        errors.push(invalid("timezone", timezone, &message));
        Zone::UTC
    });
    let duration_ms = values.long("partition.duration.ms").unwrap_or(-1);
    if duration_ms == 0 || duration_ms < -1 {
        errors.push(invalid("partition.duration.ms", duration_ms, "Partition duration needs to be a positive."));
    }
    let extractor = Extractor::new(values.text("timestamp.extractor"), values.text("timestamp.field")).map_err(|error| errors.push(error)).ok();
    (zone, Some(duration_ms).filter(|ms| *ms > 0), extractor)
}

impl Partitioner for ByTemplate {
    fn paths(&self, batch: &Batch, now: DateTime<Utc>) -> Paths {
        let rows = batch.len();
        let mut rejects = Vec::new();
        let mut timestamps = Vec::new();
        let mut path = Coded::constant(rows, String::new());
        if self.needs_value {
            reject_tombstones(batch, &mut rejects);
        }
        for part in &self.parts {
            let texts = match part {
                Part::Literal(text) => Coded::constant(rows, text.clone()),
                Part::Source(source, name) => match self.null.texts(source, name, batch, &mut rejects) {
                    Ok(texts) => texts,
                    Err(reason) => return Paths { codes: vec![Paths::REJECTED; rows], rejects: reject_all(rows, &reason), ..Paths::default() },
                },
                Part::Time(clock) => {
                    let Some(extractor) = &self.extractor else { continue };
                    let times = clock.print(extractor.extract(batch, now.timestamp_millis()));
                    rejects.extend(times.rejects);
                    timestamps = times.timestamps;
                    Coded { codes: times.codes, texts: times.distinct.iter().map(ToString::to_string).collect() }
                }
            };
            path = path.join(&texts, "");
        }
        Paths { timestamps, ..path.into_paths(rejects) }
    }

    fn is_deterministic(&self) -> bool {
        self.extractor.as_ref().is_none_or(|extractor| !extractor.is_wallclock())
    }

    fn is_time_based(&self) -> bool {
        self.extractor.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, ListBuilder, StringArray, StringBuilder, StructBuilder};
    use arrow::array::{BinaryBuilder, ListArray};
    use arrow::datatypes::{DataType, Field};
    use lakehead_formats::column::Column;
    use proptest::prelude::*;

    use super::super::from_props;
    use super::super::tests::{batch_of, json_column, path_of_rows, struct_column};
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn build_with(template: &str, settings: &[(&str, &str)]) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
        let base = [("partitioner.class", "TemplatePartitioner"), (KEY, template), ("timezone", "UTC"), ("timestamp.extractor", "Record")];
        from_props(&base.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn headers(rows: &[&[(&str, &[u8])]]) -> ListArray {
        let fields = [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
        let entries: Vec<Box<dyn arrow::array::ArrayBuilder>> = vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())];
        let mut list = ListBuilder::new(StructBuilder::new(fields.to_vec(), entries));
        for row in rows {
            for (name, value) in *row {
                let entry = list.values();
                entry.field_builder::<StringBuilder>(0).unwrap().append_value(name);
                entry.field_builder::<BinaryBuilder>(1).unwrap().append_value(value);
                entry.append(true);
            }
            list.append(true);
        }
        list.finish()
    }

    fn batch() -> Batch {
        let value =
            struct_column(&[("country", Arc::new(StringArray::from(vec![Some("es"), None])) as ArrayRef), ("n", Arc::new(Int64Array::from(vec![7, 8])))]);
        let mut batch = batch_of(&value, &[Some(1_748_779_200_000), Some(-1)]);
        batch.key = json_column(&[Some(r#"{"id":42,"tag":"a/b"}"#), Some("{}")]);
        batch.headers = Some(headers(&[&[("h", b"old"), ("h", b"new")], &[("other", b"x")]]));
        batch
    }

    #[test]
    fn what_is_filled_in() {
        for (template, first, second) in [
            ("{topic}/{partition}", "t/3", "t/3"),
            ("c={value.country}/n={value.n}/", "c=es/n=7", "c=null/n=8"),
            ("{key.id}-{key.tag}", "42-a/b", "null-null"),
            ("h={header.h}", "h=new", "h=null"),
            ("{{literal}} {value.n}", "{literal} 7", "{literal} 8"),
            ("y={time:yyyy}/h={time:HH}", "y=2025/h=12", "y=1969/h=23"),
            ("country={value.country}/y={time:yyyy}/{topic}/{partition}", "country=es/y=2025/t/3", "country=null/y=1969/t/3"),
            ("plain", "plain", "plain"),
        ] {
            let found = path_of_rows(&build_with(template, &[]).unwrap().paths(&batch(), DateTime::UNIX_EPOCH));
            assert_eq!(found, [Ok(first.to_owned()), Ok(second.to_owned())], "{template}");
        }
    }

    #[test]
    fn whole_keys_and_values() {
        let mut batch = batch_of(&json_column(&[Some("\"v\""), Some("[1]"), Some("3")]), &[None; 3]);
        batch.key =
            Column::new(Arc::new(Field::new("key", DataType::Binary, true)), Arc::new(BinaryArray::from_opt_vec(vec![Some(b"k"), None, Some(b"\xff")])));
        let found = path_of_rows(&build_with("{key}/{value}", &[]).unwrap().paths(&batch, DateTime::UNIX_EPOCH));
        assert_eq!(found[0], Ok("k/v".to_owned()));
        assert!(found[1].as_ref().is_err_and(|reason| reason.contains("the value is an object or an array")), "{found:?}");
        assert!(found[2].as_ref().is_err_and(|reason| reason.contains("the key's bytes are no UTF-8 text")), "{found:?}");
    }

    #[test]
    fn times_are_printed_as_they_are_or_cut_down() {
        let times = [Some(-1), Some(-HOUR - 1), Some(1_446_366_600_000), Some(1_446_370_200_000)];
        let batch = batch_of(&json_column(&[None; 4]), &times);
        let print = |template, settings: &[(&str, &str)]| {
            path_of_rows(&build_with(template, settings).unwrap().paths(&batch, DateTime::UNIX_EPOCH)).into_iter().map(Result::unwrap).collect::<Vec<_>>()
        };
        let zone = ("timezone", "America/Los_Angeles");
        assert_eq!(print("{time:yyyy-MM-dd HHmm}", &[])[..2], ["1969-12-31 2359", "1969-12-31 2259"]);
        assert_eq!(print("{time:dd HHmm}", &[("partition.duration.ms", "3600000")])[..2], ["01 0000", "31 2300"], "toward zero, as TimeBasedPartitioner");
        assert_eq!(print("{time:HHmmZ}", &[zone])[2..], ["0130-0700", "0130-0800"], "an hour that the clock shows twice");
    }

    #[test]
    fn nulls_by_policy() {
        for (policy, wanted) in [("default", Ok("null")), ("null", Ok("null")), ("text:__NONE__", Ok("__NONE__")), ("reject", Err("'value.country' is null"))] {
            let partitioner = build_with("{value.country}", &[("lakehead.partition.field.null", policy)]).unwrap();
            let found = path_of_rows(&partitioner.paths(&batch(), DateTime::UNIX_EPOCH));
            match (&found[1], wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
                (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
                (found, wanted) => panic!("{policy}: {found:?}, wanted {wanted:?}"),
            }
        }
    }

    #[test]
    fn only_templates_with_a_time_depend_on_time() {
        let timed = build_with("{time:yyyy}", &[]).unwrap();
        let wallclock = build_with("{time:yyyy}", &[("timestamp.extractor", "Wallclock")]).unwrap();
        let plain = build_with("{topic}", &[("timestamp.extractor", "Wallclock")]).unwrap();
        assert_eq!([&timed, &wallclock, &plain].map(|p| (p.is_time_based(), p.is_deterministic())), [(true, true), (true, false), (false, true)]);
        assert_eq!(timed.paths(&batch(), DateTime::UNIX_EPOCH).timestamps, [1_748_779_200_000, -1]);
    }

    #[test]
    fn templates_that_are_refused() {
        for (template, settings, key, part) in [
            ("", &[][..], KEY, "a path must be there"),
            ("/a", &[], KEY, "must not begin with '/'"),
            ("{value.a", &[], KEY, "has no closing brace"),
            ("a}b", &[], KEY, "nothing opened"),
            ("{offset}", &[], KEY, "{offset} is unknown"),
            ("{value..a}", &[], KEY, "empty path segment"),
            ("{header.}", &[], KEY, "{header.} is unknown"),
            ("{time:foo}", &[], KEY, "{time:foo}: Illegal pattern component: f"),
            ("{time:MMM}", &[("locale", "fr")], KEY, "\"fr\""),
            ("{time:yyyy}", &[("timezone", "")], "timezone", "Timezone cannot be empty."),
            ("{time:yyyy}", &[("timestamp.extractor", "Mine")], "timestamp.extractor", "Mine"),
            ("{time:yyyy}", &[("partition.duration.ms", "0")], "partition.duration.ms", "positive"),
            ("{topic}", &[("lakehead.partition.field.null", "drop")], "lakehead.partition.field.null", "Invalid value drop"),
        ] {
            let errors = build_with(template, settings).unwrap_err();
            assert!(errors.len() == 1 && errors[0].key == key && errors[0].message.contains(part), "{template}: {errors:?}");
        }
    }

    proptest! {
        #[test]
        fn no_template_panics(template in "[{}a.:/tkvime]{0,16}|\\PC{0,12}") {
            prop_assert!(parse(&template).map_or(1, |pieces| pieces.len()) <= template.len().max(1));
        }

        #[test]
        fn a_time_is_printed_the_same_among_others(times in prop::collection::vec(-20 * HOUR..20 * HOUR, 1..12), zone in prop::sample::select(vec!["UTC", "+05:30", "Europe/Berlin", "Africa/Monrovia"])) {
            let partitioner = build_with("{time:yyyy-MM-dd'T'HH:mmZ}", &[("timezone", zone)]).unwrap();
            let print = |times: &[i64]| {
                let batch = batch_of(&json_column(&vec![None; times.len()]), &times.iter().copied().map(Some).collect::<Vec<_>>());
                path_of_rows(&partitioner.paths(&batch, DateTime::UNIX_EPOCH))
            };
            let alone: Vec<_> = times.iter().flat_map(|time| print(&[*time])).collect();
            prop_assert_eq!(print(&times), alone);
        }
    }
}
