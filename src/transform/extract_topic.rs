//! `ExtractTopic`: the topic is what the key, the value, one of their fields or a header says.
//!
//! Upstream: Confluent's `connect-transforms`, `io.confluent.connect.transforms.ExtractTopic$Key`, `$Value` and `$Header`. Only texts are names of topics; where
//! there is none, `skip.missing.or.null` says whether the record goes on to the topic that it has. Of headers of one name the last counts, as its text.

use arrow::array::{Array, AsArray, BooleanArray, StringArray};
use arrow::compute::kernels::zip::zip;
use arrow::error::ArrowError;
use lakehead_formats::column::Reject;
use lakehead_formats::headers::{Own, written};
use lakehead_formats::payload;
use lakehead_formats::schemaless::{Dynamic, Kind, Wanted};

use super::drop_headers::refused;
use super::json_path::{self, JsonPath, Objects, with_values};
use super::side::Refusal;
use super::{Built, Side, Transform, rows};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

const SKIP: ConfigKey = ConfigKey {
    name: "skip.missing.or.null",
    kind: Type::Boolean,
    default: Some("false"),
    required: false,
    importance: Importance::Low,
    group: "",
    doc: "Whether a record that has no such field or header, or a null there, keeps its topic; else it fails.",
    check: Check::Any,
};

const fn field(default: Option<&'static str>, doc: &'static str) -> ConfigKey {
    ConfigKey { name: "field", kind: Type::String, default, required: default.is_none(), importance: Importance::Medium, group: "", doc, check: Check::Any }
}

/// The settings of keys and values.
pub(super) static KEYS: &[ConfigKey] = &[
    field(Some(""), "The field with the topic's name; empty when the whole key or value is the name."),
    ConfigKey {
        name: "field.format",
        kind: Type::String,
        default: Some("PLAIN"),
        required: false,
        importance: Importance::Medium,
        group: "",
        doc: "PLAIN: field is the name of a field. JSON_PATH: it is a path, as $.order.country or $['order']['country'].",
        check: Check::OneOfIgnoreCase(&["JSON_PATH", "PLAIN"]),
    },
    SKIP,
];

/// The settings of headers.
pub(super) static HEADER_KEYS: &[ConfigKey] = &[field(None, "The header with the topic's name."), SKIP];

const OBJECTS: Objects = Objects::Only("extracting a topic without schema", "extracting a topic with schema");

#[derive(Debug)]
struct ExtractTopic {
    side: Side,
    /// As it is configured; empty for the whole.
    field: String,
    path: Option<JsonPath>,
    wanted: Wanted,
    skips: bool,
}

/// Builds it for keys or values.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let field = values.text("field").to_owned();
    let skips = values.boolean("skip.missing.or.null");
    let mut wanted = Wanted::default();
    let path = if values.text("field.format").eq_ignore_ascii_case("JSON_PATH") {
        let invalid = |why: &str| vec![ConfigError::new("field", format!("Invalid value {field} for configuration field: {why}"))];
        let path = json_path::parse(&field).map_err(|why| invalid(&format!("it is no JSON path: {why}")))?;
        if !path.is_definite() {
            return Err(invalid("the path leads to many values, and a record has one topic: take one field"));
        }
        wanted = path.wanted();
        Some(path)
    } else {
        if !field.is_empty() {
            wanted.add(&[&field]);
        }
        None
    };
    Ok(Box::new(ExtractTopic { side, field, path, wanted, skips }))
}

impl ExtractTopic {
    fn names(&self, values: &Dynamic) -> Result<Dynamic, ArrowError> {
        match &self.path {
            Some(path) => json_path::definite(path, values),
            None if self.field.is_empty() => Ok(values.clone()),
            None => Ok(values.member(&self.field).unwrap_or_else(|| Dynamic::none(Kind::Absent, values.len()))),
        }
    }

    /// Where the name should be, for messages.
    fn place(&self) -> String {
        let side = self.side.name();
        if self.field.is_empty() { side.to_owned() } else { format!("field \"{}\" of the {side}", self.field) }
    }
}

impl Transform for ExtractTopic {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let objects = if self.field.is_empty() && self.path.is_none() { Objects::OrAnything } else { OBJECTS };
        with_values(self.side, objects, &self.wanted, batch, out, &mut |piece, values| {
            let names = self.names(values)?;
            let wrong = |kind: Kind| {
                (kind > Kind::Null && kind != Kind::String).then(|| format!("the topic is a text, but the {} is a {}", self.place(), kind.class_name()))
            };
            let rejects = (0..names.len()).filter_map(|row| Some(Reject { row, reason: wrong(names.kind(row))? })).collect();
            route(piece, &names.texts()?, rejects, self.skips, &self.place())
        })
    }

    fn reads(&self) -> Option<Side> {
        Some(self.side)
    }
}

/// Sends rows to the topics that they name, and leaves out those that name none, unless they keep theirs.
fn route(batch: &Batch, names: &StringArray, mut rejects: Vec<Reject>, skips: bool, place: &str) -> json_path::Done {
    // An empty name is none.
    let missing: Vec<bool> = names.iter().map(|name| name.is_none_or(str::is_empty)).collect();
    if !skips {
        let reason =
            format!("the {place} is missing, null or empty, so the record has no topic: set skip.missing.or.null=true to leave such records where they are");
        let known: Vec<usize> = rejects.iter().map(|reject| reject.row).collect();
        let rows = (0..missing.len()).filter(|row| missing[*row] && known.binary_search(row).is_err());
        rejects.extend(rows.map(|row| Reject { row, reason: reason.clone() }));
        rejects.sort_by_key(|reject| reject.row);
    }
    let own = StringArray::new_scalar(batch.topic.as_ref());
    let mut topics = zip(&BooleanArray::from(missing), &own, names)?;
    let kept = rows::without(batch, &rejects)?;
    if !rejects.is_empty() {
        let mut keep = vec![true; batch.len()];
        rejects.iter().for_each(|reject| keep[reject.row] = false);
        topics = arrow::compute::filter(&topics, &BooleanArray::from(keep))?;
    }
    Ok((rows::routed(&kept, topics.as_string::<i32>()), rejects))
}

#[derive(Debug)]
struct OfHeader {
    name: String,
    skips: bool,
}

/// Builds it for headers.
pub(super) fn build_of_header(props: &Props) -> Built {
    let values = Values { tables: &[HEADER_KEYS], props };
    let name = values.raw("field").unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(vec![ConfigError::new("field", "Invalid value  for configuration field: the header's name is missing")]);
    }
    Ok(Box::new(OfHeader { name, skips: values.boolean("skip.missing.or.null") }))
}

impl Transform for OfHeader {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let routed = texts_of(&batch, &self.name, Which::Last).map_err(Refusal::from);
        match routed.and_then(|names| route(&batch, &names, Vec::new(), self.skips, &format!("header \"{}\"", self.name))) {
            Ok((batches, rejects)) => {
                out.extend(batches);
                rejects
            }
            Err(Refusal(reason)) => refused(&batch, &reason, out),
        }
    }
}

/// Of headers that have one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Last,
}

/// The text of the first or the last header of a name in each row. Which of a row's headers that is, is in no column: a loop over the lists tells.
pub(super) fn texts_of(batch: &Batch, name: &str, which: Which) -> Result<StringArray, ArrowError> {
    let nothing = || StringArray::new_null(batch.len());
    let Some(list) = &batch.headers else { return Ok(nothing()) };
    let Some(simple) = payload::find_for_headers("simple") else { return Ok(nothing()) };
    let mut writer = (simple.build)(&payload::Options::new()).map_err(|error| ArrowError::ExternalError(error.to_string().into()))?;
    let (list, _) = written(list, Own::Bytes, writer.as_mut())?;
    let entries = list.values().as_struct();
    let (names, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_binary::<i32>());
    let at = |row: usize| list.value_offsets().get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    let text = |row: usize| {
        let mut entries = (at(row)..at(row + 1)).filter(|entry| names.value(*entry) == name);
        let entry = if which == Which::First { entries.next() } else { entries.next_back() }?;
        std::str::from_utf8(values.is_valid(entry).then(|| values.value(entry))?).ok()
    };
    Ok((0..list.len()).map(text).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, ListArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, Fields};
    use lakehead_formats::column::Column;
    use lakehead_formats::headers::{self, Added};

    use super::super::configure;
    use super::super::side::tests::{apply_all, apply_schema, json_batch, schema_batch};
    use super::*;

    /// Topics of the rows that went on, and the rows that were left out with what is said of the first.
    fn route(class: &str, settings: &[(&str, &str)], batch: Batch) -> (Vec<String>, Vec<usize>, String) {
        let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (mut out, mut next, end) = (Vec::new(), batch.span.start, batch.span.end);
        let rejects = configure(class, &props).unwrap().apply(batch, &mut out);
        for batch in &out {
            assert_eq!(batch.span.start, next);
            next = batch.span.end;
        }
        assert_eq!(next, end);
        let topics = out.iter().flat_map(|batch| std::iter::repeat_n(batch.topic.to_string(), batch.len())).collect();
        (topics, rejects.iter().map(|reject| reject.row).collect(), rejects.first().map(|reject| reject.reason.clone()).unwrap_or_default())
    }

    const ROWS: [&str; 7] = [r#"{"f":"a","g":{"h":"x"}}"#, r#"{"f":"a"}"#, r#"{"f":null}"#, r#"{"f":""}"#, r#"{"f":7}"#, "null", r#"{"f":"b","g":{"h":"x"}}"#];

    #[test]
    fn topics_of_fields() {
        let class = "io.confluent.connect.transforms.ExtractTopic$Value";
        let (topics, rejected, why) = route(class, &[("field", "f")], json_batch(&ROWS));
        assert_eq!((topics, rejected), (["a", "a", "b"].map(str::to_owned).to_vec(), vec![2, 3, 4, 5]));
        assert!(why.starts_with("the field \"f\" of the value is missing, null or empty"), "{why}");
        let (topics, rejected, why) = route(class, &[("field", "f"), ("skip.missing.or.null", "true")], json_batch(&ROWS));
        assert_eq!((topics, rejected), (["a", "a", "orders", "orders", "orders", "b"].map(str::to_owned).to_vec(), vec![4]));
        assert_eq!(why, "the topic is a text, but the field \"f\" of the value is a java.lang.Long");
        for path in ["$.g.h", "$['g'].h", "g.h"] {
            let settings = [("field", path), ("field.format", "JSON_PATH"), ("skip.missing.or.null", "true")];
            let (topics, rejected, _) = route("ExtractTopic$Key", &settings, json_batch(&ROWS));
            assert_eq!((topics, rejected), (["x", "orders", "orders", "orders", "orders", "orders", "x"].map(str::to_owned).to_vec(), vec![]), "{path}");
        }
    }

    #[test]
    fn the_whole_may_be_the_topic() {
        let (topics, rejected, why) = route("ExtractTopic$Key", &[], json_batch(&["\"a\"", "1", "\"b\"", "null"]));
        assert_eq!(
            (topics, rejected, why.as_str()),
            (vec!["a".to_owned(), "b".to_owned()], vec![1, 3], "the topic is a text, but the key is a java.lang.Long")
        );
        let (_, rejected, why) = route("ExtractTopic$Key", &[("field", "f")], json_batch(&["\"a\""]));
        assert_eq!(
            (rejected.len(), why.as_str()),
            (1, "Only Map objects supported in absence of schema for [extracting a topic without schema], found: java.lang.String")
        );
    }

    #[test]
    fn topics_of_structs() {
        let schema = r#"{"type":"struct","fields":[{"field":"f","type":"string","optional":true,"default":"usual"},{"field":"n","type":"int32"},
            {"field":"s","type":"struct","optional":true,"fields":[{"field":"t","type":"string","optional":true}]}]}"#;
        let rows = [r#"{"f":"a","n":1,"s":{"t":"x"}}"#, r#"{"f":null,"n":1,"s":null}"#];
        for (settings, left, part) in [
            (vec![("field", "f")], 2, ""),
            (vec![("field", "n")], 0, "is a java.lang.Integer"),
            (vec![("field", "zz")], 0, "is missing, null or empty"),
            (vec![("field", "s.t"), ("field.format", "json_path")], 1, "\"s.t\" of the value is missing"),
            (vec![], 0, "the topic is a text, but the value is a java.util.HashMap"),
        ] {
            let (_, shown) = apply_all("ExtractTopic$Value", &settings, schema_batch(schema, &rows));
            assert_eq!(2 - shown.len(), left, "{settings:?}: {shown:?}");
            assert!(shown.first().is_none_or(|reject| reject.reason.contains(part)), "{settings:?}: {shown:?}");
        }
        assert_eq!(apply_schema("ExtractTopic$Value", &[], r#"{"type":"string"}"#, &["\"a\"", "\"a\""]).rows.len(), 2);
    }

    fn with_headers(rows: &[&[(&str, &str)]]) -> Batch {
        let mut batch = json_batch(&vec!["1"; rows.len()]);
        let all: Vec<_> = rows.iter().flat_map(|row| row.iter()).collect();
        let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
        let names: StringArray = all.iter().map(|header| Some(header.0)).collect();
        let values: BinaryArray = all.iter().map(|header| Some(header.1.as_bytes()).filter(|value| *value != b"null")).collect();
        let entries = StructArray::new(fields.clone(), vec![Arc::new(names) as ArrayRef, Arc::new(values)], None);
        let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
        batch.headers = Some(ListArray::new(item, OffsetBuffer::from_lengths(rows.iter().map(|row| row.len())), Arc::new(entries), None));
        batch
    }

    #[test]
    fn topics_of_headers() {
        let class = "io.confluent.connect.transforms.ExtractTopic$Header";
        let batch = with_headers(&[&[("t", "a"), ("x", "b"), ("t", "c")], &[], &[("t", "null")], &[("t", "c")]]);
        let (topics, rejected, why) = route(class, &[("field", "t")], batch.clone());
        assert_eq!((topics, rejected), (vec!["c".to_owned(); 2], vec![1, 2]));
        assert!(why.starts_with("the header \"t\" is missing, null or empty"), "{why}");
        let (topics, rejected, _) = route(class, &[("field", "t"), ("skip.missing.or.null", "true")], batch.clone());
        assert_eq!((topics, rejected), (["c", "orders", "orders", "c"].map(str::to_owned).to_vec(), vec![]));
        // One that a transform has added counts as any other.
        let mut added = batch;
        let value = Column::new(Arc::new(Field::new("h", DataType::Utf8, false)), Arc::new(StringArray::from(vec!["new"])));
        added.headers = Some(headers::with(added.headers.as_ref(), added.len(), "t", Added::Same(&value)).unwrap());
        assert_eq!(route(class, &[("field", "t")], added).0, vec!["new".to_owned(); 4]);
        assert_eq!(route(class, &[("field", "t"), ("skip.missing.or.null", "true")], json_batch(&["1"])).0, ["orders"]);
    }

    #[test]
    fn what_is_refused() {
        for (class, settings, key, part) in [
            ("ExtractTopic$Header", vec![], "field", "Missing required configuration"),
            ("ExtractTopic$Header", vec![("field", "")], "field", "the header's name is missing"),
            ("ExtractTopic$Value", vec![("field", "$.a[*]"), ("field.format", "JSON_PATH")], "field", "the path leads to many values"),
            ("ExtractTopic$Value", vec![("field", "$..a"), ("field.format", "JSON_PATH")], "field", "it is no JSON path: '..'"),
            ("ExtractTopic$Value", vec![("field.format", "XPATH")], "field.format", "must be one of"),
        ] {
            let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let errors = configure(class, &props).unwrap_err();
            assert!(errors[0].key == key && errors[0].message.contains(part), "{class}: {errors:?}");
        }
    }
}
