//! A dead letter as a line of JSON, in files of the [folder](super::folder): the record's bytes in base64, and why it failed.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::TaskName;
use super::letter::Letter;

/// One line. Members that a later version adds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Where the record was.
    pub topic: Cow<'a, str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in ms; null when it has none.
    pub timestamp: Option<i64>,
    /// Its key's bytes in base64; null when it has none.
    pub key: Option<String>,
    /// Its value's bytes in base64; null is a tombstone.
    pub value: Option<String>,
    /// Its headers, in order.
    pub headers: Vec<LineHeader<'a>>,
    /// The connector that it failed in.
    pub connector: Cow<'a, str>,
    /// The task's number.
    pub task: u32,
    /// Where it failed: upstream's name of the stage.
    pub stage: Cow<'a, str>,
    /// The class that was at work.
    pub class: Cow<'a, str>,
    /// What is wrong with it.
    pub reason: Cow<'a, str>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LineHeader<'a> {
    /// Its name.
    pub key: Cow<'a, str>,
    /// Its bytes in base64, or null.
    pub value: Option<String>,
}

impl<'a> Line<'a> {
    /// A letter as a line.
    #[must_use]
    pub fn of(letter: &Letter<'a>, from: &'a crate::batch::TopicPartition, task: &'a TaskName) -> Self {
        let encoded = |bytes: Option<&[u8]>| bytes.map(|bytes| STANDARD.encode(bytes));
        let header = |(key, value): (&'a str, Option<&[u8]>)| LineHeader { key: key.into(), value: encoded(value) };
        Self {
            topic: (&*from.topic).into(),
            partition: from.partition,
            offset: letter.offset(),
            timestamp: letter.timestamp(),
            key: encoded(letter.key()),
            value: encoded(letter.value()),
            headers: letter.headers().into_iter().map(header).collect(),
            connector: (&*task.connector).into(),
            task: task.task,
            stage: letter.failure.stage.as_str().into(),
            class: (&*letter.failure.class).into(),
            reason: (&*letter.failure.reason).into(),
        }
    }

    /// The same for letters of the same record of the same connector, whichever task read it, and whatever was found wrong with it. Of this process alone.
    #[must_use]
    pub fn identity(&self) -> u64 {
        let Self { topic, partition, offset, timestamp, key, value, headers, connector, task: _, stage: _, class: _, reason: _ } = self;
        let mut hasher = DefaultHasher::new();
        (topic, partition, offset, timestamp, key, value, headers, connector).hash(&mut hasher);
        hasher.finish()
    }
}

/// The bytes that a text stands for.
///
/// # Errors
/// Where it is no base64.
pub fn decoded(text: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    text.map(|text| STANDARD.decode(text).map_err(|error| format!("its bytes are not base64: {error}"))).transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::letter::tests::letters;
    use super::*;

    #[test]
    fn a_line_is_the_record_and_why_it_failed() {
        let letters = letters(&[(15, "say \"why\"")]);
        let task = TaskName { connector: "c".into(), task: 1 };
        let letter = letters.get(0).unwrap();
        let line = Line::of(&letter, letters.from(), &task);
        let text = serde_json::to_string(&line).unwrap();
        let expected = concat!(
            r#"{"topic":"orders","partition":3,"offset":15,"timestamp":9,"key":"","value":"ew==","#,
            r#""headers":[{"key":"a","value":"/wA="},{"key":"__connect.errors.stage","value":null}],"connector":"c","task":1,"#,
            r#""stage":"VALUE_CONVERTER","class":"org.apache.kafka.connect.json.JsonConverter","reason":"say \"why\""}"#
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Line<'_>>(&text).unwrap(), line);
    }

    #[test]
    fn a_letter_is_the_same_when_its_record_is() {
        let text = r#"{"topic":"t","partition":0,"offset":1,"timestamp":2,"key":null,"value":"aGk=","headers":[{"key":"h","value":null}],"connector":"c","task":0,"stage":"s","class":"k","reason":"r"}"#;
        let of = |text: &str| serde_json::from_str::<Line<'_>>(text).unwrap().identity();
        for (from, to, is_same) in [
            (r#""task":0"#, r#""task":7"#, true),
            (r#""reason":"r""#, r#""reason":"another""#, true),
            (r#""stage":"s""#, r#""stage":"z""#, true),
            (r#""offset":1"#, r#""offset":2"#, false),
            (r#""partition":0"#, r#""partition":1"#, false),
            (r#""timestamp":2"#, r#""timestamp":null"#, false),
            (r#""key":null"#, r#""key":"""#, false),
            (r#""value":"aGk=""#, r#""value":"aGo=""#, false),
            (r#""value":null"#, r#""value":"""#, false),
            (r#""connector":"c""#, r#""connector":"d""#, false),
            (r#""topic":"t""#, r#""topic":"u""#, false),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(of(text) == of(&text.replace(from, to)), is_same, "{to}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::option::of(prop::collection::vec(any::<u8>(), 0..40))) {
            let text = bytes.as_deref().map(|bytes| STANDARD.encode(bytes));
            prop_assert_eq!(decoded(text.as_deref()), Ok(bytes));
        }

        /// Whatever is read, there is an answer.
        #[test]
        fn no_line_is_too_odd(text in "[\\[\\]{}\":,a-z0-9=]{0,40}") {
            drop(serde_json::from_str::<Line<'_>>(&text));
            drop(decoded(Some(&text)));
        }
    }
}
