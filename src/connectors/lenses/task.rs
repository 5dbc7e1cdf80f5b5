//! The sink task: a task of the cloud storage sinks for each statement, between which records are divided by their topic.
//!
//! Usually all records of a Kafka partition go to one statement. Where transforms spread them over several, what is durable of the partition is what is durable
//! of all: [`Home`] keeps account of that, and [`super::shares`] of what each has to say about its own.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lakehead_formats::column::Reject;

use super::config::no_statement;
use super::shares::{self, Shares};
use crate::batch::{Batch, Commits, Committed, OffsetRange, TopicPartition};
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
    /// What each route wants to have committed.
    shares: Shares,
    /// What was asked for last, and the shares in it.
    asked: Option<(Committed, Shares)>,
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

    /// What is to be committed for all routes together.
    fn commit(&mut self, routes: usize) -> Option<Committed> {
        let offset = self.news().or_else(|| self.shares.values().map(|share| share.offset).min())?;
        let commit = Committed { offset, metadata: shares::text(&self.shares, offset, routes) };
        self.asked = Some((commit.clone(), self.shares.clone()));
        Some(commit)
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
}

impl LensesTask {
    /// A task of these statements, in their order.
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self { routes, homes: BTreeMap::new() }
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

    async fn open(&mut self, partitions: &[TopicPartition], committed: &Commits) -> Result<(), TaskError> {
        let mut of_routes = vec![Commits::new(); self.routes.len()];
        for from in partitions {
            self.homes.insert(from.clone(), Home::default());
            let Some(held) = committed.get(from) else { continue };
            let read = shares::read(held, self.routes.len()).map_err(|why| TaskError::new(ErrorKind::BadConfig, why).with("partition", from))?;
            for (commits, share) in of_routes.iter_mut().zip(read) {
                commits.insert(from.clone(), share);
            }
        }
        for (route, commits) in self.routes.iter_mut().zip(&of_routes) {
            route.task.open(partitions, commits).await?;
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

    fn relieve(&mut self) -> bool {
        self.routes.iter_mut().max_by_key(|route| route.task.report().open_rows).is_some_and(|route| route.task.relieve())
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        for route in &mut self.routes {
            route.task.tick().await?;
        }
        Ok(())
    }

    async fn pre_commit(&mut self) -> Result<Commits, TaskError> {
        for (number, route) in self.routes.iter_mut().enumerate() {
            for (from, commit) in route.task.pre_commit().await? {
                if let Some(home) = self.homes.get_mut(&from) {
                    home.settle(number, commit.offset);
                    home.shares.insert(number, commit);
                }
            }
        }
        let routes = self.routes.len();
        Ok(self.homes.iter_mut().filter_map(|(from, home)| Some((from.clone(), home.commit(routes)?))).collect())
    }

    fn reach(&self, commit: &Committed) -> i64 {
        let asked = self.homes.values().filter_map(|home| home.asked.as_ref()).filter(|(asked, _)| asked == commit);
        let parts = asked.flat_map(|(_, shares)| shares).filter_map(|(number, share)| Some(self.routes.get(*number)?.task.reach(share)));
        parts.max().unwrap_or(commit.offset).max(commit.offset)
    }

    fn committed(&mut self, accepted: &Commits) {
        for (from, commit) in accepted {
            let Some((_, shares)) = self.homes.get_mut(from).and_then(|home| home.asked.take_if(|(asked, _)| asked == commit)) else { continue };
            for (number, share) in shares {
                if let Some(route) = self.routes.get_mut(number) {
                    route.task.committed(&Commits::from([(from.clone(), share)]));
                }
            }
        }
    }

    fn refused(&mut self, too_large: &Commits) -> Result<(), TaskError> {
        self.routes.iter_mut().try_for_each(|route| route.task.refused(too_large))
    }

    fn lost(&mut self, from: &TopicPartition, gone: OffsetRange) {
        self.routes.iter_mut().for_each(|route| route.task.lost(from, gone));
    }

    fn passed(&mut self, from: &TopicPartition, position: i64) {
        self.routes.iter_mut().for_each(|route| route.task.passed(from, position));
    }

    fn finish(&mut self, partitions: &[TopicPartition]) -> bool {
        // Each is asked: it may have something to begin.
        let busy: Vec<bool> = self.routes.iter_mut().map(|route| route.task.finish(partitions)).collect();
        busy.contains(&true)
    }

    fn is_at_rest(&self) -> bool {
        self.routes.iter().all(|route| route.task.is_at_rest())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        for route in &mut self.routes {
            route.task.close(partitions).await;
        }
        self.homes.retain(|from, _| !partitions.contains(from));
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
