//! `FileStreamSinkConnector`: the value of each record becomes a line at the end of a file, as Java prints it; without a file, on standard output.
//!
//! Lines are written before their offsets are committed, so a record is in the file at least once.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use lakehead_formats::column::Reject;
use lakehead_formats::payload::text::JavaText;

use super::FILE;
use crate::batch::{Batch, Commits, TopicPartition};
use crate::connect::config::{Check, ConfigKey, Importance, Type};
use crate::connect::{Connector, ErrorKind, Kind, Props, SinkTask, TaskContext, TaskError, TaskReport};
use crate::connectors::consumed::Consumed;

/// Bytes of lines that wait before they are written.
const CHUNK_BYTES: usize = 1 << 20;

static KEYS: &[ConfigKey] = &[ConfigKey {
    name: FILE,
    kind: Type::String,
    default: None,
    required: false,
    importance: Importance::High,
    group: "",
    doc: "The file that lines are appended to; it is made when it is not there. Without one, lines go to standard output.",
    check: Check::Any,
}];

/// `org.apache.kafka.connect.file.FileStreamSinkConnector`.
#[derive(Debug)]
pub struct FileStreamSink;

impl Connector for FileStreamSink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSinkConnector"
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn keys(&self) -> Vec<&'static [ConfigKey]> {
        vec![KEYS]
    }

    fn sink_task(&self, props: &Props, cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        let path = props.get(FILE).filter(|path| !path.is_empty()).cloned();
        Ok(Box::new(Lines { cx, path, file: None, lines: Vec::new(), consumed: Consumed::default(), rows: 0, bytes: 0 }))
    }
}

struct Lines {
    cx: TaskContext,
    path: Option<String>,
    file: Option<Arc<File>>,
    /// What is not written yet.
    lines: Vec<u8>,
    consumed: Consumed,
    rows: u64,
    bytes: u64,
}

impl Lines {
    fn failed(&self, what: &str, error: &std::io::Error) -> TaskError {
        let shown = self.path.as_deref().unwrap_or("(standard output)");
        TaskError::new(ErrorKind::BadConfig, format!("{what}: {error}")).with("file", shown).with("connector", &self.cx.connector)
    }

    async fn write(&mut self) -> Result<(), TaskError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let (lines, file) = (std::mem::take(&mut self.lines), self.file.clone());
        self.bytes += lines.len() as u64;
        let written = self.cx.env.compute.run(move || match file {
            Some(file) => (&*file).write_all(&lines),
            None => std::io::stdout().lock().write_all(&lines),
        });
        written.await.map_err(|error| self.failed("lines cannot be written", &error))
    }
}

#[async_trait]
impl SinkTask for Lines {
    async fn start(&mut self) -> Result<(), TaskError> {
        if let Some(path) = self.path.clone() {
            let open = move || File::options().create(true).append(true).open(path);
            let file = self.cx.env.compute.run(open).await.map_err(|error| self.failed("the file can neither be found nor made", &error))?;
            self.file = Some(Arc::new(file));
        }
        Ok(())
    }

    async fn open(&mut self, _partitions: &[TopicPartition], _committed: &Commits) -> Result<(), TaskError> {
        Ok(())
    }

    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError> {
        let text = match JavaText::new(&batch.value.array, &batch.value.field) {
            Ok(text) => text,
            Err(reason) if self.cx.tolerates => return Ok((0..batch.len()).map(|row| Reject { row, reason: reason.clone() }).collect()),
            Err(reason) => return Err(TaskError::new(ErrorKind::BadRecord, reason).with("partition", &batch.from)),
        };
        // Lines of different lengths: there is no kernel for them.
        for row in 0..batch.len() {
            text.print(row, &mut self.lines);
            self.lines.push(b'\n');
        }
        self.rows += batch.len() as u64;
        self.consumed.take(&batch);
        if self.lines.len() >= CHUNK_BYTES { self.write().await.map(|()| Vec::new()) } else { Ok(Vec::new()) }
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        self.write().await
    }

    async fn pre_commit(&mut self) -> Result<Commits, TaskError> {
        self.write().await?;
        Ok(self.consumed.commits())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        self.consumed.forget(partitions);
    }

    fn report(&self) -> TaskReport {
        TaskReport { guarantee: "at-least-once".to_owned(), rows: self.rows, bytes: self.bytes, ..TaskReport::default() }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;
    use crate::connectors::worlds;

    #[tokio::test]
    async fn lines_are_appended_and_then_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.txt");
        std::fs::write(&path, "before\n").unwrap();
        let props = Props::from([("file".to_owned(), path.display().to_string())]);
        let mut task = FileStreamSink.sink_task(&props, worlds::task()).unwrap();
        task.start().await.unwrap();
        let tp = TopicPartition::new("t", 0);
        task.open(std::slice::from_ref(&tp), &Commits::new()).await.unwrap();
        task.put(worlds::batch(&tp, 5, Arc::new(StringArray::from(vec![Some("one"), None, Some("")])))).await.unwrap();
        let committed = task.pre_commit().await.unwrap();
        assert_eq!(committed[&tp].offset, 8);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\none\nnull\n\n");
        task.close(&[tp]).await;
        assert!(task.pre_commit().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_made_fails_the_task() {
        let props = Props::from([("file".to_owned(), "/nonexistent/out.txt".to_owned())]);
        let error = FileStreamSink.sink_task(&props, worlds::task()).unwrap().start().await.unwrap_err();
        assert!(error.to_string().contains("file=/nonexistent/out.txt"), "{error}");
    }
}
