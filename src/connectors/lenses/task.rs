//! The sink task: a task of the cloud storage sinks for each statement, between which records are divided by their topic.
//!
//! Usually all records of a Kafka partition go to one statement. Where transforms spread them over several, what is durable of the partition is what is durable
//! of all: [`Home`] keeps account of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use lakehead_formats::column::Reject;

use super::config::no_statement;
use crate::batch::{Batch, OffsetRange, Offsets, TopicPartition};
use crate::connect::{ErrorKind, SinkTask, TaskError, TaskReport};

/// The records of one statement.
pub(super) struct Route {
    /// `None` = every topic.
    pub(super) topic: Option<String>,
    pub(super) task: Box<dyn SinkTask>,
}

/// What a route has been given of a Kafka partition, and what of that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    /// Below this, everything that was given is durable.
    durable: i64,
    /// End of what was given.
    end: i64,
}

/// A Kafka partition that is ours.
#[derive(Debug, Default)]
struct Home {
    accounts: BTreeMap<usize, Account>,
    /// Where reading began.
    known: Option<i64>,
}

impl Home {
    /// A route is given these records.
    fn give(&mut self, route: usize, span: OffsetRange) {
        self.known.get_or_insert(span.start);
        let account = self.accounts.entry(route).or_insert(Account { durable: span.start, end: span.start });
        if account.durable >= account.end {
            account.durable = span.start; // others may have taken what came between
        }
        account.end = span.end;
    }

    /// A route has made everything below this offset durable.
    fn settle(&mut self, route: usize, durable: i64) {
        if let Some(account) = self.accounts.get_mut(&route) {
            account.durable = account.durable.max(durable);
        }
    }

    /// The offset below which everything is durable, when that is past where reading began.
    fn news(&self) -> Option<i64> {
        let owing = self.accounts.values().filter(|account| account.durable < account.end).map(|account| account.durable).min();
        let offset = owing.or_else(|| self.accounts.values().map(|account| account.durable).max())?;
        self.known.is_none_or(|known| offset > known).then_some(offset)
    }
}

/// The sink task of Lenses' connectors.
pub(super) struct LensesTask {
    routes: Vec<Route>,
    homes: BTreeMap<TopicPartition, Home>,
    /// Partitions that went away, until they have been asked for once more.
    closed: BTreeSet<TopicPartition>,
}

impl LensesTask {
    /// A task of these statements, in their order.
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self { routes, homes: BTreeMap::new(), closed: BTreeSet::new() }
    }
}

#[async_trait]
impl SinkTask for LensesTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        for route in &mut self.routes {
            route.task.start().await?;
        }
        Ok(())
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<(), TaskError> {
        for from in partitions {
            self.closed.remove(from);
            self.homes.insert(from.clone(), Home::default());
        }
        for route in &mut self.routes {
            route.task.open(partitions).await?;
        }
        Ok(())
    }

    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError> {
        let is_for = |route: &Route| route.topic.as_deref().is_none_or(|topic| topic == &*batch.topic);
        // A batch without rows may still have its old topic: its span passes anywhere.
        let Some((number, route)) = self.routes.iter_mut().enumerate().find(|(_, route)| is_for(route) || batch.is_empty()) else {
            let error = TaskError::new(ErrorKind::BadConfig, no_statement(&batch.topic));
            return Err(error.with("partition", &batch.from).with("offset", batch.span.start));
        };
        let Some(home) = self.homes.get_mut(&batch.from) else {
            return Err(TaskError::new(ErrorKind::Bug, "records of a partition that is not assigned").with("partition", &batch.from));
        };
        home.give(number, batch.span);
        route.task.put(batch).await
    }

    fn has_room(&self) -> bool {
        self.routes.iter().all(|route| route.task.has_room())
    }

    fn relieve(&mut self) {
        if let Some(route) = self.routes.iter_mut().max_by_key(|route| route.task.report().open_rows) {
            route.task.relieve();
        }
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        for route in &mut self.routes {
            route.task.tick().await?;
        }
        Ok(())
    }

    async fn durable(&mut self) -> Result<Offsets, TaskError> {
        for (number, route) in self.routes.iter_mut().enumerate() {
            for (from, offset) in route.task.durable().await? {
                if let Some(home) = self.homes.get_mut(&from) {
                    home.settle(number, offset);
                }
            }
        }
        let news = self.homes.iter().filter_map(|(from, home)| Some((from.clone(), home.news()?))).collect();
        for from in std::mem::take(&mut self.closed) {
            self.homes.remove(&from);
        }
        Ok(news)
    }

    async fn close(&mut self, partitions: &[TopicPartition], patience: Duration) -> Result<(), TaskError> {
        let closing = self.routes.iter_mut().map(|route| route.task.close(partitions, patience));
        let outcomes = futures::future::join_all(closing).await;
        self.closed.extend(partitions.iter().filter(|from| self.homes.contains_key(*from)).cloned());
        outcomes.into_iter().collect()
    }

    fn report(&self) -> TaskReport {
        let mut whole = TaskReport::default();
        for part in self.routes.iter().map(|route| route.task.report()) {
            let TaskReport { guarantee, files, rows, bytes, open_rows, open_files, early_closes, ignored_nulls } = part;
            whole = TaskReport {
                guarantee,
                files: whole.files + files,
                rows: whole.rows + rows,
                bytes: whole.bytes + bytes,
                open_rows: whole.open_rows + open_rows,
                open_files: whole.open_files + open_files,
                early_closes: whole.early_closes + early_closes,
                ignored_nulls: whole.ignored_nulls + ignored_nulls,
            };
        }
        whole
    }
}

#[cfg(test)]
mod tests;
