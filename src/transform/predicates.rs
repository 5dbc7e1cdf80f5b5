//! Predicates: which records a transform is for. `predicates=a,b`, `predicates.a.type=…`; `transforms.x.predicate=a`, `transforms.x.negate=true`.
//!
//! Upstream: `org.apache.kafka.connect.transforms.predicates`. A [`Predicate`] looks at a batch and answers with a mask. A new one is a line in [`PREDICATES`].

use std::fmt;

use arrow::array::{Array, AsArray, StringArray};
use arrow::buffer::BooleanBuffer;
use fancy_regex::Regex;

use super::regex_router;
use super::side::null_rows;
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values, check};

/// Tells which records of a batch it holds for.
pub trait Predicate: fmt::Debug + Send {
    /// One bit for each row.
    fn test(&mut self, batch: &Batch) -> BooleanBuffer;
}

/// A predicate, or every problem of its settings.
pub type BuiltPredicate = Result<Box<dyn Predicate>, Vec<ConfigError>>;

/// One line of the predicates' table.
#[derive(Debug)]
pub struct PredicatePlugin {
    /// The short name.
    pub name: &'static str,
    /// Its class.
    pub class: &'static str,
    /// One sentence for the reference docs.
    pub doc: &'static str,
    /// Settings, without `predicates.<alias>.` in front.
    pub keys: &'static [ConfigKey],
    /// Builds it from settings that have been checked against `keys`.
    pub build: fn(&Props) -> BuiltPredicate,
}

const fn key(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind: Type::String, default: None, required: true, importance: Importance::Medium, group: "", doc, check: Check::NotBlank }
}

static HAS_HEADER_KEY: &[ConfigKey] = &[key("name", "Name of the header.")];
static TOPIC_NAME_MATCHES: &[ConfigKey] = &[key("pattern", "Regular expression that the whole topic must match.")];

/// Every predicate.
pub static PREDICATES: &[PredicatePlugin] = &[
    PredicatePlugin {
        name: "HasHeaderKey",
        class: "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
        doc: "Holds for records that have a header of that name.",
        keys: HAS_HEADER_KEY,
        build: |props| Ok(Box::new(HasHeaderKey { name: Values { tables: &[HAS_HEADER_KEY], props }.text("name").to_owned() })),
    },
    PredicatePlugin {
        name: "RecordIsTombstone",
        class: "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
        doc: "Holds for records without a value.",
        keys: &[],
        build: |_| Ok(Box::new(RecordIsTombstone)),
    },
    PredicatePlugin {
        name: "TopicNameMatches",
        class: "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        doc: "Holds for records of topics that match a regular expression.",
        keys: TOPIC_NAME_MATCHES,
        build: topic_name_matches,
    },
];

/// The predicate of that name, short or its class; `None` when there is none.
#[must_use]
pub fn find(class: &str) -> Option<&'static PredicatePlugin> {
    PREDICATES.iter().find(|plugin| plugin.name == class || plugin.class == class)
}

/// Builds the predicate of that class from its own settings, checked against its keys.
///
/// # Errors
/// Every problem, by the predicate's own keys; of a class that there is none, one without a key.
pub fn configure(class: &str, props: &Props) -> BuiltPredicate {
    let Some(plugin) = find(class) else {
        return Err(vec![ConfigError::new("", format!("Class {class} could not be found"))]);
    };
    let problems = check(&[plugin.keys], props, |_| true).errors;
    if problems.is_empty() { (plugin.build)(props) } else { Err(problems) }
}

#[derive(Debug)]
struct HasHeaderKey {
    name: String,
}

impl Predicate for HasHeaderKey {
    fn test(&mut self, batch: &Batch) -> BooleanBuffer {
        let none = || BooleanBuffer::new_unset(batch.len());
        let Some(headers) = &batch.headers else { return none() };
        let entries = headers.values().as_struct_opt().and_then(|entries| entries.columns().first());
        let Some(names) = entries.and_then(|names| names.as_string_opt::<i32>()) else { return none() };
        let Ok(hits) = arrow::compute::kernels::cmp::eq(names, &StringArray::new_scalar(self.name.as_str())) else { return none() };
        // The ends of the rows' lists, and whether one of the entries between them is a hit: there is no kernel for that.
        let (offsets, hits) = (headers.value_offsets(), hits.values().clone());
        let bound = |row: usize| offsets.get(row).and_then(|bound| usize::try_from(*bound).ok()).unwrap_or(0);
        BooleanBuffer::collect_bool(batch.len(), |row| headers.is_valid(row) && (bound(row)..bound(row + 1)).any(|entry| hits.value(entry)))
    }
}

#[derive(Debug)]
struct RecordIsTombstone;

impl Predicate for RecordIsTombstone {
    fn test(&mut self, batch: &Batch) -> BooleanBuffer {
        match null_rows(&batch.value) {
            Some(nulls) => !nulls.inner(),
            None => BooleanBuffer::new_unset(batch.len()),
        }
    }
}

#[derive(Debug)]
struct TopicNameMatches {
    whole: Regex,
}

fn topic_name_matches(props: &Props) -> BuiltPredicate {
    let values = Values { tables: &[TOPIC_NAME_MATCHES], props };
    let pattern = values.text("pattern");
    let (whole, _) = regex_router::compile(pattern)
        .map_err(|error| vec![ConfigError::new("pattern", format!("Invalid value {pattern} for configuration pattern: Invalid regex: {error}"))])?;
    Ok(Box::new(TopicNameMatches { whole }))
}

impl Predicate for TopicNameMatches {
    fn test(&mut self, batch: &Batch) -> BooleanBuffer {
        // A pattern that runs away on a topic does not match it.
        let matches = self.whole.is_match(&*batch.topic).unwrap_or_else(|error| {
            tracing::warn!(topic = &*batch.topic, %error, "the pattern of a predicate cannot be matched");
            false
        });
        if matches { BooleanBuffer::new_set(batch.len()) } else { BooleanBuffer::new_unset(batch.len()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, ListArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, Fields};

    use super::super::side::tests::json_batch;
    use super::*;

    fn test(class: &str, settings: &[(&str, &str)], batch: &Batch) -> Vec<bool> {
        let props: Props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        configure(class, &props).unwrap().test(batch).iter().collect()
    }

    #[test]
    fn headers_are_looked_for_in_each_record() {
        let mut batch = json_batch(&["1", "2", "3"]);
        assert_eq!(test("HasHeaderKey", &[("name", "foo")], &batch), [false; 3]);
        let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec!["bar", "foo", "foobar"])), Arc::new(BinaryArray::from(vec![Some(&b"x"[..]), None, None]))];
        let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
        batch.headers = Some(ListArray::new(item, OffsetBuffer::from_lengths([2, 0, 1]), Arc::new(StructArray::new(fields, columns, None)), None));
        for (name, expected) in [("foo", [true, false, false]), ("foobar", [false, false, true]), ("zz", [false; 3])] {
            assert_eq!(test("HasHeaderKey", &[("name", name)], &batch), expected);
        }
        let rest = Batch { headers: batch.headers.as_ref().map(|headers| headers.slice(1, 2)), ..json_batch(&["2", "3"]) };
        assert_eq!(test("HasHeaderKey", &[("name", "foobar")], &rest), [false, true]);
    }

    #[test]
    fn tombstones_are_records_without_a_value() {
        assert_eq!(test("org.apache.kafka.connect.transforms.predicates.RecordIsTombstone", &[], &json_batch(&["1", "null", "{}"])), [false, true, false]);
        assert_eq!(test("RecordIsTombstone", &[], &json_batch(&["1"])), [false]);
    }

    #[test]
    fn a_pattern_is_of_the_whole_topic() {
        for (pattern, expected) in [("ord.*", true), ("ord", false), ("rders", false), ("a|orders", true), ("(?i)ORDERS", true)] {
            assert_eq!(test("TopicNameMatches", &[("pattern", pattern)], &json_batch(&["1"])), [expected], "{pattern}");
        }
    }

    #[test]
    fn settings_are_checked_in_upstreams_words() {
        for (class, settings, message) in [
            ("HasHeaderKey", vec![], "Missing required configuration \"name\" which has no default value."),
            ("HasHeaderKey", vec![("name", "")], "Invalid value  for configuration name: String must be non-empty"),
            ("TopicNameMatches", vec![("pattern", "")], "Invalid value  for configuration pattern: String must be non-empty"),
            ("TopicNameMatches", vec![("pattern", "[")], "Invalid value [ for configuration pattern: Invalid regex: "),
            ("Nothing", vec![], "Class Nothing could not be found"),
        ] {
            let props: Props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let errors = configure(class, &props).unwrap_err();
            assert!(errors.len() == 1 && errors[0].message.starts_with(message), "{errors:?}");
        }
    }
}
