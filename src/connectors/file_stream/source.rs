//! `FileStreamSourceConnector`: each line of a file, as it is appended, becomes a record with a string for a value.
//!
//! A line ends with a line feed, a carriage return, or both; what follows the last end is no line yet. A file that is not there yet is waited for. The offset
//! `{"position": n}` of the partition `{"filename": f}` counts the file's bytes. (Upstream counts characters and skips bytes, which is the same while the file
//! is ASCII.)

use std::io::SeekFrom;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, NullArray, StringBuilder, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use async_trait::async_trait;
use lakehead_formats::column::Column;
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::FILE;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};
use crate::connect::source::{Fields, OffsetChange, Positions, SourceBatch};
use crate::connect::{Connector, ErrorKind, Kind, Props, SourceContext, SourceTask, TaskError};

const TOPIC: &str = "topic";
const BATCH_SIZE: &str = "batch.size";
const FILENAME: &str = "filename";
const POSITION: &str = "position";

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: FILE,
        kind: Type::String,
        default: None,
        required: false,
        importance: Importance::High,
        group: "",
        doc: "The file to read. Needed here: standard input is not read.",
        check: Check::Any,
    },
    ConfigKey {
        name: TOPIC,
        kind: Type::String,
        default: None,
        required: true,
        importance: Importance::High,
        group: "",
        doc: "The topic that the lines go to.",
        check: Check::NotBlank,
    },
    ConfigKey {
        name: BATCH_SIZE,
        kind: Type::Int,
        default: Some("2000"),
        required: false,
        importance: Importance::Low,
        group: "",
        doc: "Most lines that are read at once.",
        check: Check::Any,
    },
];

/// `org.apache.kafka.connect.file.FileStreamSourceConnector`.
#[derive(Debug)]
pub struct FileStreamSource;

impl Connector for FileStreamSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSourceConnector"
    }

    fn kind(&self) -> Kind {
        Kind::Source
    }

    fn keys(&self) -> Vec<&'static [ConfigKey]> {
        vec![KEYS]
    }

    /// As long as the file is only appended to. Standard input has no offsets.
    fn delivers_exactly_once(&self, props: &Props) -> Option<bool> {
        Some(props.get(FILE).is_some_and(|file| !file.is_empty()))
    }

    /// There is one file.
    fn task_configs(&self, props: &Props, _tasks_max: u32) -> Vec<Props> {
        vec![props.clone()]
    }

    fn alter_offsets(&self, _props: &Props, changes: &[OffsetChange]) -> Result<bool, String> {
        for (partition, offset) in changes {
            let Some(offset) = offset else { continue };
            match offset.get(POSITION) {
                None => return Err(format!("Offset objects should either be null or contain the key '{POSITION}'")),
                Some(position) => match position.as_i64() {
                    None => return Err(format!("The value for the '{POSITION}' key in the offset is expected to be a Long value")),
                    Some(i64::MIN..0) => return Err(format!("The value for the '{POSITION}' key in the offset should be a non-negative value")),
                    Some(_) => {}
                },
            }
            let Some(partition) = partition else { return Err("Partition objects cannot be null".to_owned()) };
            if !partition.contains_key(FILENAME) {
                return Err(format!("Partition objects should contain the key '{FILENAME}'"));
            }
        }
        Ok(true)
    }

    fn source_task(&self, props: &Props, cx: SourceContext) -> Result<Box<dyn SourceTask>, TaskError> {
        let values = Values { tables: &[KEYS], props };
        let file = values.raw(FILE).unwrap_or_default().to_owned();
        if file.is_empty() {
            let message = "file is missing: standard input is not read here; give the path of a file";
            return Err(TaskError::new(ErrorKind::BadConfig, message).with("connector", &cx.task.connector));
        }
        let most = values.long(BATCH_SIZE).and_then(|most| usize::try_from(most).ok()).unwrap_or(1).max(1);
        let partition = Fields::from_iter([(FILENAME.to_owned(), Value::from(file.clone()))]);
        Ok(Box::new(Lines { cx, file, topic: values.text(TOPIC).into(), most, partition: Arc::new(partition), position: 0, open: None, buffer: Vec::new() }))
    }
}

struct Lines {
    cx: SourceContext,
    file: String,
    topic: Arc<str>,
    /// Lines in a batch.
    most: usize,
    partition: Arc<Fields>,
    /// Bytes of the file before `buffer`.
    position: i64,
    open: Option<File>,
    /// What was read and is in no record.
    buffer: Vec<u8>,
}

#[async_trait]
impl SourceTask for Lines {
    async fn start(&mut self) -> Result<(), TaskError> {
        let wrong = |value: &Value| {
            TaskError::new(ErrorKind::BadConfig, "the source offset has a position that is no whole number; alter the connector's offsets")
                .with("position", value)
        };
        let offset = self.cx.offset(&self.partition).await?;
        self.position = match offset.as_ref().and_then(|offset| offset.get(POSITION)) {
            None | Some(Value::Null) => 0,
            Some(value) => value.as_i64().filter(|position| *position >= 0).ok_or_else(|| wrong(value))?,
        };
        Ok(())
    }

    async fn poll(&mut self) -> Result<Vec<SourceBatch>, TaskError> {
        loop {
            if let Some(batch) = self.take_lines() {
                return Ok(vec![batch]);
            }
            let read = self.read().await;
            let trouble = match &read {
                Ok(_) => None,
                Err(error) => Some(format!("file {} cannot be read: {error}", self.file)),
            };
            if let Some(trouble) = &trouble
                && self.cx.task.health.trouble().as_ref() != Some(trouble)
            {
                tracing::warn!(connector = %self.cx.task.connector, "{trouble}; it is waited for");
            }
            self.cx.task.health.set("file", trouble);
            match read {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(Vec::new()),
            }
        }
    }
}

impl Lines {
    /// Reads on. Cancel-safe: what was read is in the buffer.
    async fn read(&mut self) -> std::io::Result<usize> {
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let mut file = File::open(&self.file).await?;
                let read = self.position + i64::try_from(self.buffer.len()).unwrap_or(0);
                file.seek(SeekFrom::Start(u64::try_from(read).unwrap_or(0))).await?;
                self.open.insert(file)
            }
        };
        self.buffer.reserve(CHUNK_BYTES);
        file.read_buf(&mut self.buffer).await
    }

    /// The lines that are in the buffer, as many as a batch may have.
    fn take_lines(&mut self) -> Option<SourceBatch> {
        let (mut values, mut positions) = (StringBuilder::new(), Int64Builder::new());
        let mut taken = 0;
        let mut rows = 0;
        while rows < self.most
            && let Some((line, length)) = self.buffer.get(taken..).and_then(first_line)
        {
            values.append_value(String::from_utf8_lossy(line));
            taken += length;
            rows += 1;
            positions.append_value(self.position + i64::try_from(taken).unwrap_or(i64::MAX));
        }
        if rows == 0 {
            return None;
        }
        self.buffer.drain(..taken);
        self.position += i64::try_from(taken).unwrap_or(i64::MAX);
        let now = self.cx.task.env.clock.now().timestamp_millis();
        let field = |name: &str, kind, optional| FieldRef::new(Field::new(name, kind, optional));
        let offsets: ArrayRef = Arc::new(positions.finish());
        Some(SourceBatch {
            topic: Arc::clone(&self.topic),
            partition: None,
            timestamps: TimestampMillisecondArray::from_value(now, rows),
            key: Column::new(field("key", DataType::Null, true), Arc::new(NullArray::new(rows))),
            value: Column::new(field("value", DataType::Utf8, false), Arc::new(values.finish())),
            headers: None,
            positions: Some(Positions {
                partition: Arc::clone(&self.partition),
                offsets: StructArray::new(vec![field(POSITION, DataType::Int64, false)].into(), vec![offsets], None),
            }),
        })
    }
}

/// The first line, and its length with what ends it. A carriage return at the end of what was read may be half of an end.
fn first_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let length = match bytes.get(end..)? {
        [b'\n', ..] => end + 1,
        [b'\r', b'\n', ..] => end + 2,
        [b'\r', _, ..] => end + 1,
        _ => return None,
    };
    Some((bytes.get(..end)?, length))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::connectors::worlds;

    fn fields(value: Value) -> Fields {
        value.as_object().expect("an object").clone()
    }

    async fn task(file: &std::path::Path, batch_size: &str, kept: Option<Value>) -> Box<dyn SourceTask> {
        let name = file.display().to_string();
        let props = Props::from([("file".into(), name.clone()), ("topic".into(), "t".into()), ("batch.size".into(), batch_size.into())]);
        let cx = worlds::source(kept.map(|offset| (fields(json!({ "filename": name })), fields(offset))));
        let mut task = FileStreamSource.source_task(&props, cx).unwrap();
        task.start().await.unwrap();
        task
    }

    /// Lines, each with the position after it.
    async fn polled(task: &mut Box<dyn SourceTask>) -> Vec<(String, i64)> {
        let batches = task.poll().await.unwrap();
        let of = |batch: &SourceBatch| {
            let position = |row| batch.positions.as_ref().unwrap().offset(row)["position"].as_i64().unwrap();
            let lines = batch.value.array.as_string::<i32>().iter().enumerate();
            lines.map(|(row, line)| (line.unwrap().to_owned(), position(row))).collect::<Vec<_>>()
        };
        batches.iter().flat_map(of).collect()
    }

    #[tokio::test]
    async fn lines_are_read_as_they_are_appended() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.txt");
        let mut task = task(&path, "2", None).await;
        assert!(polled(&mut task).await.is_empty(), "the file is not there yet");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut append = |text: &str| file.write_all(text.as_bytes()).unwrap();
        append("one\ntwo\r\n\nünf");
        assert_eq!(polled(&mut task).await, [("one".to_owned(), 4), ("two".to_owned(), 9)]);
        assert_eq!(polled(&mut task).await, [(String::new(), 10)]);
        assert!(polled(&mut task).await.is_empty(), "the last line has no end yet");
        append("\r");
        assert!(polled(&mut task).await.is_empty(), "a line feed may follow");
        append("x\n");
        assert_eq!(polled(&mut task).await, [("ünf".to_owned(), 15), ("x".to_owned(), 17)]);
    }

    #[tokio::test]
    async fn it_goes_on_where_the_offset_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.txt");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let mut task = task(&path, "10", Some(json!({"position": 4}))).await;
        assert_eq!(polled(&mut task).await, [("two".to_owned(), 8)]);
    }

    #[test]
    fn offsets_that_it_cannot_go_on_from_are_refused_as_upstream() {
        let alter =
            |partition: Value, offset: Value| FileStreamSource.alter_offsets(&Props::new(), &[(partition.as_object().cloned(), offset.as_object().cloned())]);
        let file = json!({"filename": "/f"});
        for (partition, offset, expected) in [
            (file.clone(), json!({"position": 1}), Ok(true)),
            (json!({"anything": 1}), Value::Null, Ok(true)),
            (file.clone(), json!({"pos": 1}), Err("Offset objects should either be null or contain the key 'position'")),
            (file.clone(), json!({"position": "1"}), Err("The value for the 'position' key in the offset is expected to be a Long value")),
            (file.clone(), json!({"position": 1.0}), Err("The value for the 'position' key in the offset is expected to be a Long value")),
            (file, json!({"position": -1}), Err("The value for the 'position' key in the offset should be a non-negative value")),
            (Value::Null, json!({"position": 1}), Err("Partition objects cannot be null")),
            (json!({}), json!({"position": 1}), Err("Partition objects should contain the key 'filename'")),
        ] {
            assert_eq!(alter(partition, offset), expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn a_file_is_read_exactly_once_and_standard_input_is_not() {
        for (pairs, expected) in [(&[("file", "/f")][..], true), (&[("file", "")], false), (&[], false)] {
            let props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(FileStreamSource.delivers_exactly_once(&props), Some(expected), "{pairs:?}");
        }
    }

    #[test]
    fn a_file_and_a_topic_are_needed() {
        let errors = |pairs: &[(&str, &str)]| {
            let props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            FileStreamSource.validate(&props).errors.into_iter().map(|error| error.message).collect::<Vec<_>>()
        };
        assert!(errors(&[("file", "/f"), ("topic", "t")]).is_empty());
        assert_eq!(errors(&[("file", "/f")]), ["Missing required configuration \"topic\" which has no default value."]);
        assert_eq!(errors(&[("file", "/f"), ("topic", "")]), ["Invalid value  for configuration topic: String must be non-empty"]);
        assert!(errors(&[("topic", "t")]).is_empty(), "as upstream, which reads standard input then");
        let task = FileStreamSource.source_task(&Props::from([("topic".to_owned(), "t".to_owned())]), worlds::source(None));
        assert!(task.err().unwrap().to_string().starts_with("file is missing: standard input is not read here"));
    }

    proptest! {
        /// In whatever pieces the bytes come.
        #[test]
        fn lines_are_those_of_the_whole_text(text in "[ab\r\n]{0,40}") {
            let bytes = text.as_bytes();
            let mut lines = Vec::new();
            let (mut start, mut end) = (0, 0);
            while end <= bytes.len() {
                while let Some((line, length)) = first_line(&bytes[start..end]) {
                    lines.push(String::from_utf8(line.to_vec()).unwrap());
                    start += length;
                }
                end += 1;
            }
            let unified = text.replace("\r\n", "\n").replace('\r', "\n");
            let mut expected: Vec<&str> = unified.split('\n').collect();
            expected.pop();
            if text.ends_with('\r') {
                expected.pop(); // not known to be an end yet
            }
            prop_assert_eq!(lines, expected);
        }
    }
}
