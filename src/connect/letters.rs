//! Where a connector keeps files of records that failed (`errors.deadletterqueue.url`): a folder in a store of the connector's own kind.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::TaskError;

/// What became of a file that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It is there.
    New,
    /// A file had the name, and has it still: another one, or this one after an answer that was lost.
    Taken,
}

/// A folder for files of dead letters.
#[async_trait]
pub trait LetterFolder: fmt::Debug + fmt::Display + Send + Sync {
    /// Asks the store once whether it can be written to.
    ///
    /// # Errors
    /// [`TaskError`] that says what to do.
    async fn check(&self) -> Result<(), TaskError>;

    /// Makes a file of these bytes visible under a name below the folder, unless one has it. What heals is waited for, and told by
    /// [`trouble`](Self::trouble).
    ///
    /// # Errors
    /// [`TaskError`] for what does not.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<Placed, TaskError>;

    /// The names of the files that begin so, in no order. Waits as [`put`](Self::put) does.
    ///
    /// # Errors
    /// [`TaskError`]; [`ErrorKind::Denied`](super::ErrorKind::Denied) where the store does not let us list.
    async fn names(&self, beginning: &str) -> Result<Vec<String>, TaskError>;

    /// A file; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`TaskError`]; [`ErrorKind::Denied`](super::ErrorKind::Denied) where the store does not let us read.
    async fn read(&self, name: &str) -> Result<Option<Bytes>, TaskError>;

    /// What is being waited for.
    fn trouble(&self) -> Option<String>;
}
