//! Where a connector keeps files of records that failed (`errors.deadletterqueue.url`): a folder in a store of the connector's own kind.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::TaskError;

/// A folder for files of dead letters.
#[async_trait]
pub trait LetterFolder: fmt::Debug + fmt::Display + Send + Sync {
    /// Asks the store once whether it can be written to.
    ///
    /// # Errors
    /// [`TaskError`] that says what to do.
    async fn check(&self) -> Result<(), TaskError>;

    /// Makes a file of these bytes visible under a name below the folder, in place of one that has it. What heals is waited for, and told by
    /// [`trouble`](Self::trouble).
    ///
    /// # Errors
    /// [`TaskError`] for what does not.
    async fn put(&self, name: String, bytes: Bytes) -> Result<(), TaskError>;

    /// What is being waited for.
    fn trouble(&self) -> Option<String>;
}
