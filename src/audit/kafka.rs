//! Kafka's side of the proof: what a group has committed before and after the bucket was looked at, and what the log holds where files hold nothing.
//!
//! Everything below the offset that was committed *before* must be in the listing that came after. Whatever file of the listing reaches past the offset that was
//! committed *afterwards* must be named by the metadata of that commit: files are planned before they become visible.

use std::sync::Arc;

use super::inventory::File;
use super::plan::Plan;
use super::{AuditError, Scope};
use crate::batch::{Commits, Committed, OffsetRange, TopicPartition};
use crate::compute::Compute;
use crate::kafka::log::{LogReader, Records};
use crate::kafka::{KafkaError, Props};

/// A group, and the log that it reads.
#[derive(Debug)]
pub(super) struct Group {
    log: Arc<LogReader>,
    compute: Compute,
    pub(super) name: String,
    before: Commits,
    after: Commits,
}

impl Group {
    /// Connects with a consumer's properties.
    pub(super) fn new(name: &str, props: &Props) -> Result<Self, AuditError> {
        let log = Arc::new(LogReader::new(props, name)?);
        Ok(Self { log, compute: Compute::pool(1), name: name.to_owned(), before: Commits::new(), after: Commits::new() })
    }

    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&LogReader) -> Result<T, KafkaError> + Send + 'static) -> Result<T, AuditError> {
        let log = Arc::clone(&self.log);
        Ok(self.compute.run(move || question(&log)).await?)
    }

    async fn commits(&self, scope: &Scope) -> Result<Commits, AuditError> {
        let scope = scope.clone();
        let commits = move |log: &LogReader| {
            let partitions: Vec<_> = log.partitions()?.into_iter().filter(|tp| scope.has_topic(&tp.topic)).collect();
            if partitions.is_empty() { Ok(Commits::new()) } else { log.committed(&partitions) }
        };
        self.ask(commits).await
    }

    /// Remembers what is committed before anything is listed.
    pub(super) async fn note_before(&mut self, scope: &Scope) -> Result<(), AuditError> {
        self.before = self.commits(scope).await?;
        Ok(())
    }

    /// Remembers what is committed after everything was listed.
    pub(super) async fn note_after(&mut self, scope: &Scope) -> Result<(), AuditError> {
        self.after = self.commits(scope).await?;
        Ok(())
    }

    /// The partitions for which the group has committed.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.before.keys()
    }

    /// Everything below must be in files.
    pub(super) fn committed(&self, tp: &TopicPartition) -> Option<i64> {
        self.before.get(tp).map(|committed| committed.offset)
    }

    /// Files that reach past the committed offset, and of those the ones that its metadata does not name.
    pub(super) fn beyond<'a>(&self, tp: &TopicPartition, files: &'a [File]) -> Result<(u64, Vec<&'a File>), String> {
        let Some(Committed { offset, metadata }) = self.after.get(tp) else { return Ok((0, Vec::new())) };
        let plan = Plan::read(metadata, *offset)?;
        let beyond: Vec<&File> = files.iter().filter(|file| file.span.end > *offset).collect();
        let count = beyond.len() as u64;
        // A file without a digest was written by a program that plans nothing.
        Ok((count, beyond.into_iter().filter(|file| file.digest.is_some() && !plan.names(&file.key, file.span)).collect()))
    }

    /// The offsets that the log spans now.
    pub(super) async fn bounds(&self, tp: &TopicPartition) -> Result<OffsetRange, AuditError> {
        let tp = tp.clone();
        self.ask(move |log| log.bounds(&tp)).await
    }

    /// The records of a range within these bounds: all, or about `most`.
    pub(super) async fn records(&self, tp: &TopicPartition, range: OffsetRange, most: u64) -> Result<Records, AuditError> {
        let tp = tp.clone();
        self.ask(move |log| log.records(&tp, range, most)).await
    }
}
