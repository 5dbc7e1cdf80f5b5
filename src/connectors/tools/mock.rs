//! `MockSourceConnector` and `MockSinkConnector`: they move no records, and fail when they are told to.
//!
//! `mock_mode=connector-failure` fails the connector, `mock_mode=task-failure` its one task, `delay_ms` (15000) after the start; any other mode never.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lakehead_formats::column::Reject;
use tokio::time::Instant;

use crate::batch::{Batch, Commits, TopicPartition};
use crate::connect::config::{Report, check};
use crate::connect::source::SourceBatch;
use crate::connect::{Connector, ErrorKind, Kind, Props, SinkTask, SourceContext, SourceTask, TaskContext, TaskError, TaskReport};
use crate::connectors::consumed::Consumed;

const MODE: &str = "mock_mode";
const DELAY: &str = "delay_ms";
const DEFAULT_DELAY: u64 = 15_000;

/// One of the two connectors.
#[derive(Debug)]
pub struct Mock(Kind);

/// `org.apache.kafka.connect.tools.MockSourceConnector`.
pub static MOCK_SOURCE: Mock = Mock(Kind::Source);

/// `org.apache.kafka.connect.tools.MockSinkConnector`.
pub static MOCK_SINK: Mock = Mock(Kind::Sink);

/// When `mode` fails; `None`: it does not.
fn delay(props: &Props, mode: &str) -> Result<Option<Duration>, String> {
    if props.get(MODE).is_none_or(|given| given != mode) {
        return Ok(None);
    }
    let millis = match props.get(DELAY) {
        None => DEFAULT_DELAY,
        Some(text) => text.trim().parse().map_err(|_| format!("{DELAY}={text} is not a number of milliseconds"))?,
    };
    Ok(Some(Duration::from_millis(millis)))
}

impl Connector for Mock {
    fn class(&self) -> &'static str {
        match self.0 {
            Kind::Source => "org.apache.kafka.connect.tools.MockSourceConnector",
            Kind::Sink => "org.apache.kafka.connect.tools.MockSinkConnector",
        }
    }

    fn kind(&self) -> Kind {
        self.0
    }

    fn validate(&self, props: &Props) -> Report {
        check(&[], props, |key| [MODE, DELAY].contains(&key))
    }

    /// There is one task.
    fn task_configs(&self, props: &Props, _tasks_max: u32) -> Vec<Props> {
        vec![props.clone()]
    }

    fn run(&self, props: &Props) -> Option<BoxFuture<'static, String>> {
        let delay = delay(props, "connector-failure").transpose()?;
        Some(Box::pin(async move {
            match delay {
                Ok(delay) => {
                    tokio::time::sleep(delay).await;
                    format!("the mock connector failed after {} ms, as {MODE}=connector-failure asks", delay.as_millis())
                }
                Err(why) => why,
            }
        }))
    }

    fn sink_task(&self, props: &Props, _cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        Ok(Box::new(MockSinkTask { fuse: Fuse::new(props)?, consumed: Consumed::default() }))
    }

    fn source_task(&self, props: &Props, _cx: SourceContext) -> Result<Box<dyn SourceTask>, TaskError> {
        Ok(Box::new(MockSourceTask(Fuse::new(props)?)))
    }
}

/// When the task fails.
struct Fuse {
    delay: Option<Duration>,
    started: Instant,
}

impl Fuse {
    fn new(props: &Props) -> Result<Self, TaskError> {
        let delay = delay(props, "task-failure").map_err(|why| TaskError::new(ErrorKind::BadConfig, why))?;
        Ok(Self { delay, started: Instant::now() })
    }

    fn burn(&self) -> Result<(), TaskError> {
        match self.delay {
            Some(delay) if self.started.elapsed() > delay => {
                Err(TaskError::new(ErrorKind::Bug, format!("the mock task failed after {} ms, as {MODE}=task-failure asks", delay.as_millis())))
            }
            _ => Ok(()),
        }
    }
}

struct MockSourceTask(Fuse);

#[async_trait]
impl SourceTask for MockSourceTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    async fn poll(&mut self) -> Result<Vec<SourceBatch>, TaskError> {
        self.0.burn().map(|()| Vec::new())
    }
}

struct MockSinkTask {
    fuse: Fuse,
    consumed: Consumed,
}

#[async_trait]
impl SinkTask for MockSinkTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    async fn open(&mut self, _partitions: &[TopicPartition], _committed: &Commits) -> Result<(), TaskError> {
        Ok(())
    }

    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError> {
        self.consumed.take(&batch);
        self.fuse.burn().map(|()| Vec::new())
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        self.fuse.burn()
    }

    async fn pre_commit(&mut self) -> Result<Commits, TaskError> {
        Ok(self.consumed.commits())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        self.consumed.forget(partitions);
    }

    fn report(&self) -> TaskReport {
        TaskReport { guarantee: "at-least-once".to_owned(), ..TaskReport::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::worlds;

    fn props(mode: &str, delay: &str) -> Props {
        Props::from([(MODE.to_owned(), mode.to_owned()), (DELAY.to_owned(), delay.to_owned())])
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_fail_when_they_are_told_to() {
        let mut source = MOCK_SOURCE.source_task(&props("task-failure", "100"), worlds::source(None)).unwrap();
        let mut sink = MOCK_SINK.sink_task(&props("task-failure", "100"), worlds::task()).unwrap();
        let mut never = MOCK_SOURCE.source_task(&props("connector-failure", "100"), worlds::source(None)).unwrap();
        assert!(source.poll().await.is_ok_and(|batches| batches.is_empty()) && sink.tick().await.is_ok());
        tokio::time::advance(Duration::from_millis(101)).await;
        let error = source.poll().await.unwrap_err().to_string();
        assert_eq!(error, "the mock task failed after 100 ms, as mock_mode=task-failure asks");
        assert!(sink.tick().await.is_err() && never.poll().await.is_ok());
        assert!(MOCK_SINK.sink_task(&props("task-failure", "soon"), worlds::task()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn connectors_fail_when_they_are_told_to() {
        assert!(MOCK_SOURCE.run(&props("task-failure", "5")).is_none() && MOCK_SINK.run(&Props::new()).is_none());
        let trace = MOCK_SINK.run(&props("connector-failure", "5")).unwrap().await;
        assert_eq!(trace, "the mock connector failed after 5 ms, as mock_mode=connector-failure asks");
    }
}
