//! Files of dead letters in a store: JSON [lines](super::line), those of a topic partition together.
//!
//! A file's name is a function of the connector, the topic partition, and the first and last offset in it, so that the same letters once more make the same file. Letters
//! wait for others of their partition, as long as [`LINGER`] and as many as [`FILE_BYTES`], unless the partition is about to go away.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::TaskName;
use super::letter::Letters;
use super::line::Line;
use crate::batch::TopicPartition;
use crate::connect::letters::LetterFolder;
use crate::connect::{ErrorKind, TaskError};
use crate::memory::{Budget, Permit};

/// How long a letter waits for others.
pub const LINGER: Duration = Duration::from_secs(3);
/// Bytes at which a file is written.
const FILE_BYTES: usize = 4 << 20;

/// Letters on their way to files.
pub struct Files {
    folder: Arc<dyn LetterFolder>,
    task: TaskName,
    memory: Budget,
    open: BTreeMap<TopicPartition, Open>,
    /// The numbers of the letters in each file that is being written.
    written: JoinSet<(Vec<usize>, Result<(), TaskError>)>,
}

/// A file that is not complete.
struct Open {
    lines: Vec<u8>,
    permit: Permit,
    tokens: Vec<usize>,
    first: i64,
    last: i64,
    since: Instant,
    /// It is to be written at once.
    is_due: bool,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("folder", &self.folder).field("open", &self.open.len()).finish_non_exhaustive()
    }
}

impl Files {
    /// Files in that folder.
    #[must_use]
    pub fn new(folder: Arc<dyn LetterFolder>, task: TaskName, memory: Budget) -> Self {
        Self { folder, task, memory, open: BTreeMap::new(), written: JoinSet::new() }
    }

    /// Takes letters, which are confirmed under the numbers from `first_token` on.
    ///
    /// # Errors
    /// [`TaskError`] that cannot be: a line is always JSON.
    pub fn post(&mut self, letters: &Letters, first_token: usize) -> Result<(), TaskError> {
        for (token, letter) in (first_token..).zip(letters.iter()) {
            let offset = letter.offset();
            // A name says first and last: what is read again from an earlier offset is another file.
            if self.open.get(letters.from()).is_some_and(|open| offset <= open.last) {
                self.write(letters.from());
            }
            let open = self.open.entry(letters.from().clone()).or_insert_with(|| Open {
                lines: Vec::new(),
                permit: self.memory.take(0),
                tokens: Vec::new(),
                first: offset,
                last: offset,
                since: Instant::now(),
                is_due: false,
            });
            let line = Line::of(&letter, letters.from(), &self.task);
            serde_json::to_writer(&mut open.lines, &line).map_err(|error| TaskError::new(ErrorKind::Bug, format!("a dead letter is no JSON: {error}")))?;
            open.lines.push(b'\n');
            open.tokens.push(token);
            open.last = offset;
            open.permit.resize(open.lines.capacity() as u64);
            if open.lines.len() >= FILE_BYTES {
                self.write(letters.from());
            }
        }
        Ok(())
    }

    /// What there is of these partitions is not to wait for more.
    pub fn hurry(&mut self, is_meant: impl Fn(&TopicPartition) -> bool) {
        self.open.iter_mut().filter(|(tp, _)| is_meant(tp)).for_each(|(_, open)| open.is_due = true);
    }

    /// Begins to write the files that are due.
    pub fn send(&mut self) {
        let due: Vec<TopicPartition> = self.open.iter().filter(|(_, open)| open.is_due || open.since.elapsed() >= LINGER).map(|(tp, _)| tp.clone()).collect();
        due.iter().for_each(|tp| self.write(tp));
    }

    fn write(&mut self, from: &TopicPartition) {
        let Some(Open { lines, permit, tokens, first, last, .. }) = self.open.remove(from) else { return };
        let (folder, name) = (Arc::clone(&self.folder), name(&self.task.connector, from, first, last));
        self.written.spawn(async move {
            let written = folder.put(name, Bytes::from(lines)).await;
            drop(permit);
            (tokens, written)
        });
    }

    /// What became of letters, by their numbers; waits until there are some. Cancel-safe. When a file was not written, the first of its letters has the error: the partition
    /// is read again, with the others.
    pub async fn settled(&mut self) -> Vec<(usize, Result<(), TaskError>)> {
        let (tokens, mut written) = match self.written.join_next().await {
            Some(Ok(written)) => written,
            // Nobody aborts them: the job has panicked, and its letters are never confirmed.
            Some(Err(error)) => {
                tracing::error!(%error, "a file of dead letters was not written");
                return Vec::new();
            }
            None => std::future::pending().await,
        };
        tokens.into_iter().map(|token| (token, std::mem::replace(&mut written, Ok(())))).collect()
    }

    /// What is being waited for.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.folder.trouble()
    }
}

/// The name of a file, below the folder: a directory for each topic and partition, as the sinks have them.
fn name(connector: &str, from: &TopicPartition, first: i64, last: i64) -> String {
    // A connector's name may have anything in it.
    let connector: String = connector.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let TopicPartition { topic, partition } = from;
    format!("{topic}/partition={partition}/{connector}+{topic}+{partition}+{first:010}+{last:010}.jsonl")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::super::letter::tests::letters;
    use super::*;

    /// Files in memory.
    #[derive(Debug, Default)]
    struct Folder(Mutex<Vec<(String, usize)>>);

    impl fmt::Display for Folder {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("memory")
        }
    }

    #[async_trait]
    impl LetterFolder for Folder {
        async fn check(&self) -> Result<(), TaskError> {
            Ok(())
        }

        async fn put(&self, name: String, bytes: Bytes) -> Result<(), TaskError> {
            self.0.lock().unwrap().push((name, bytes.iter().filter(|byte| **byte == b'\n').count()));
            Ok(())
        }

        fn trouble(&self) -> Option<String> {
            None
        }
    }

    async fn settled(files: &mut Files) -> Vec<usize> {
        files.settled().await.into_iter().map(|(token, outcome)| outcome.map(|()| token).unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn letters_wait_for_others_of_their_partition_unless_there_is_a_hurry() {
        let folder = Arc::new(Folder::default());
        let memory = Budget::new(1 << 20);
        let task = TaskName { connector: "my sink".into(), task: 0 };
        let mut files = Files::new(Arc::clone(&folder) as _, task, memory.clone());
        files.post(&letters(&[(10, "x")]), 0).unwrap();
        files.post(&letters(&[(12, "y"), (15, "z")]), 1).unwrap();
        files.send();
        assert!(files.written.is_empty() && memory.used() > 0);
        tokio::time::advance(LINGER).await;
        files.send();
        assert_eq!(settled(&mut files).await, [0, 1, 2]);
        // Read again from an earlier offset: the same letters make the same file.
        for token in [3, 4] {
            files.post(&letters(&[(12, "y")]), token).unwrap();
        }
        files.hurry(|tp| tp.partition == 7);
        files.send();
        assert_eq!(settled(&mut files).await, [3]);
        files.hurry(|tp| tp.partition == 3);
        files.send();
        assert_eq!(settled(&mut files).await, [4]);
        let again = "orders/partition=3/my_sink+orders+3+0000000012+0000000012.jsonl";
        let seen = folder.0.lock().unwrap().clone();
        let expected = [("orders/partition=3/my_sink+orders+3+0000000010+0000000015.jsonl", 3), (again, 1), (again, 1)];
        assert_eq!(seen, expected.map(|(name, lines)| (name.to_owned(), lines)));
        assert_eq!(memory.used(), 0);
    }
}
