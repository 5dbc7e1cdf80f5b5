//! Files of dead letters in a store: JSON [lines](super::line), those of a topic partition together.
//!
//! Letters wait for others of their partition, as long as [`LINGER`] and as many as [`FILE_BYTES`], unless the partition is about to go away. Parts: [`Files`] (what waits, and
//! what is being written), [`names`] (what files are called), `shelf` (what is there already).
//!
//! Guarantee: a file is never replaced, and a letter is confirmed when it is in a file. A letter that is sent again, because its record is read again, is not there twice: unless two
//! owners of a partition write at once, or the store does not let us look.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Mutex;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use self::names::FileName;
use self::shelf::{Sheet, Shelf};
use super::TaskName;
use super::letter::{Kept, Letters};
use super::line::Line;
use crate::batch::TopicPartition;
use crate::connect::letters::LetterFolder;
use crate::connect::{ErrorKind, TaskError};
use crate::kafka::TopicId;
use crate::memory::{Budget, Permit};

pub mod names;
mod shelf;

/// How long a letter waits for others.
pub const LINGER: Duration = Duration::from_secs(3);
/// Bytes at which a file is written.
const FILE_BYTES: usize = 4 << 20;

/// Letters on their way to files.
pub struct Files {
    folder: Arc<dyn LetterFolder>,
    task: TaskName,
    memory: Budget,
    partitions: BTreeMap<TopicPartition, Partition>,
    written: JoinSet<Result<(), TaskError>>,
    /// The numbers of the letters in each file that is being written.
    tokens: HashMap<Id, Vec<usize>>,
}

/// The letters of one topic partition.
struct Partition {
    /// What waits for more.
    open: Option<Open>,
    /// The greatest offset of a letter that came.
    last: i64,
    /// The batch that the last letters were of: those of one batch come in the order of the stages that they failed at.
    batch: Weak<Kept>,
    /// Which of the topics of that name it is of; `None` until that is told.
    topic_id: Option<TopicId>,
    /// Written to by one at a time, in the order in which they came.
    shelf: Arc<Mutex<Shelf>>,
    /// What comes next may be there already.
    looks: bool,
}

impl Default for Partition {
    fn default() -> Self {
        Self { open: None, last: i64::MIN, batch: Weak::new(), topic_id: None, shelf: Arc::default(), looks: true }
    }
}

/// A file that is not complete.
struct Open {
    sheet: Sheet,
    /// No letter from below is to come any more.
    floor: i64,
    permit: Permit,
    tokens: Vec<usize>,
    since: Instant,
    /// It is to be written at once.
    is_due: bool,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("folder", &self.folder).field("partitions", &self.partitions.len()).finish_non_exhaustive()
    }
}

impl Files {
    /// Files in that folder.
    #[must_use]
    pub fn new(folder: Arc<dyn LetterFolder>, task: TaskName, memory: Budget) -> Self {
        Self { folder, task, memory, partitions: BTreeMap::new(), written: JoinSet::new(), tokens: HashMap::new() }
    }

    /// Which of the topics of its name a partition is of.
    pub fn identify(&mut self, from: &TopicPartition, topic_id: TopicId) {
        let partition = self.partitions.entry(from.clone()).or_default();
        if partition.topic_id == Some(topic_id) {
            return;
        }
        // What waits is of the former one, if it was told.
        if partition.topic_id.is_some() {
            self.write(from);
        }
        if let Some(partition) = self.partitions.get_mut(from) {
            (partition.topic_id, partition.looks) = (Some(topic_id), true);
        }
    }

    /// Takes letters, which are confirmed under the numbers from `first_token` on.
    ///
    /// # Errors
    /// [`TaskError`] that cannot be: a line is always JSON.
    pub fn post(&mut self, letters: &Letters, first_token: usize) -> Result<(), TaskError> {
        let is_behind = |partition: &Partition| !letters.are_of(&partition.batch) && letters.iter().any(|letter| letter.offset() <= partition.last);
        // Read again from an earlier offset: perhaps with other neighbours.
        if self.partitions.get(letters.from()).is_some_and(is_behind) {
            self.write(letters.from());
            if let Some(partition) = self.partitions.get_mut(letters.from()) {
                (partition.looks, partition.last) = (true, i64::MIN);
            }
        }
        self.partitions.entry(letters.from().clone()).or_default().batch = letters.batch();
        for (token, letter) in (first_token..).zip(letters.iter()) {
            let partition = self.partitions.entry(letters.from().clone()).or_default();
            partition.last = partition.last.max(letter.offset());
            let open = partition.open.get_or_insert_with(|| Open {
                sheet: Sheet::default(),
                floor: letters.start(),
                permit: self.memory.take(0),
                tokens: Vec::new(),
                since: Instant::now(),
                is_due: false,
            });
            open.sheet.push(&Line::of(&letter, letters.from(), &self.task))?;
            open.tokens.push(token);
            open.permit.resize(open.sheet.memory_bytes() as u64);
            if open.sheet.len() >= FILE_BYTES {
                self.write(letters.from());
            }
        }
        Ok(())
    }

    fn open_mut(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut Open)> {
        self.partitions.iter_mut().filter_map(|(from, partition)| Some((from, partition.open.as_mut()?)))
    }

    /// What there is of these partitions is not to wait for more.
    pub fn hurry(&mut self, is_meant: impl Fn(&TopicPartition) -> bool) {
        self.open_mut().filter(|(from, _)| is_meant(from)).for_each(|(_, open)| open.is_due = true);
    }

    /// These partitions go away. When they come back, somebody else may have written.
    pub fn forget(&mut self, partitions: &[TopicPartition]) {
        self.hurry(|from| partitions.contains(from));
        self.send();
        self.partitions.retain(|from, partition| !partitions.contains(from) || Arc::strong_count(&partition.shelf) > 1);
        // Behind what is being written: that is looked at then.
        for from in partitions {
            if let Some(partition) = self.partitions.get_mut(from) {
                *partition = Partition { shelf: Arc::clone(&partition.shelf), ..Partition::default() };
            }
        }
    }

    /// Begins to write the files that are due.
    pub fn send(&mut self) {
        let due: Vec<TopicPartition> =
            self.open_mut().filter(|(_, open)| open.is_due || open.since.elapsed() >= LINGER).map(|(from, _)| from.clone()).collect();
        due.iter().for_each(|from| self.write(from));
    }

    fn write(&mut self, from: &TopicPartition) {
        let Some(partition) = self.partitions.get_mut(from) else { return };
        let Some(Open { sheet, floor, permit, tokens, .. }) = partition.open.take() else { return };
        let looks = std::mem::take(&mut partition.looks);
        let name = FileName::new(&self.task.connector, from.clone(), (0, 0), partition.topic_id);
        let (folder, shelf) = (Arc::clone(&self.folder), Arc::clone(&partition.shelf));
        // It stands in line from now on: the runtime may begin jobs in another order.
        let mut turn = Box::pin(tokio::task::unconstrained(shelf.lock_owned()));
        let taken = (&mut turn).now_or_never();
        let job = async move {
            let mut shelf = match taken {
                Some(shelf) => shelf,
                None => turn.await,
            };
            let written = shelf.write(folder.as_ref(), name, (looks, floor), sheet).await;
            drop(shelf);
            drop(permit);
            written
        };
        self.tokens.insert(self.written.spawn(job).id(), tokens);
    }

    /// What became of letters, by their numbers; waits until there are some. Cancel-safe. When a file was not written, the first of its letters has the error: the partition
    /// is read again, with the others.
    pub async fn settled(&mut self) -> Vec<(usize, Result<(), TaskError>)> {
        let (id, mut written) = match self.written.join_next_with_id().await {
            Some(Ok(written)) => written,
            // Nobody aborts them: the job has panicked.
            Some(Err(error)) => {
                let hint = "this is a defect; restart the task, which reads their records again";
                (error.id(), Err(TaskError::new(ErrorKind::Bug, format!("dead letters were not written to {}: {error}; {hint}", self.folder))))
            }
            None => std::future::pending().await,
        };
        let tokens = self.tokens.remove(&id).unwrap_or_default();
        tokens.into_iter().map(|token| (token, std::mem::replace(&mut written, Ok(())))).collect()
    }

    /// What is being waited for.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.folder.trouble()
    }
}

#[cfg(test)]
mod tests {
    use std::sync;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::super::letter::tests::{failure, letters, raw};
    use super::*;
    use crate::connect::letters::Placed;

    /// Files in memory.
    #[derive(Debug, Default)]
    pub(super) struct Folder {
        pub(super) files: sync::Mutex<Vec<(String, Bytes)>>,
        /// Nobody may list or read them.
        pub(super) is_hidden: bool,
        /// Putting one is a defect.
        pub(super) panics: bool,
    }

    impl Folder {
        pub(super) fn names_seen(&self) -> Vec<String> {
            self.files.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
        }

        /// Of the letters in each file.
        pub(super) fn offsets(&self) -> Vec<Vec<i64>> {
            let of = |bytes: &Bytes| serde_json::Deserializer::from_slice(bytes).into_iter().map(|line| Line::offset(&line.unwrap())).collect();
            self.files.lock().unwrap().iter().map(|(_, bytes)| of(bytes)).collect()
        }
    }

    impl Line<'_> {
        fn offset(line: &Self) -> i64 {
            line.offset
        }
    }

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

        async fn put(&self, name: &str, bytes: Bytes) -> Result<Placed, TaskError> {
            assert!(!self.panics, "no more room in this test");
            let mut files = self.files.lock().unwrap();
            if files.iter().any(|(known, _)| known == name) {
                return Ok(Placed::Taken);
            }
            files.push((name.to_owned(), bytes));
            Ok(Placed::New)
        }

        async fn names(&self, beginning: &str) -> Result<Vec<String>, TaskError> {
            let hidden = TaskError::new(ErrorKind::Denied, "403");
            if self.is_hidden { Err(hidden) } else { Ok(self.names_seen().into_iter().filter(|name| name.starts_with(beginning)).collect()) }
        }

        async fn read(&self, name: &str) -> Result<Option<Bytes>, TaskError> {
            let found = self.files.lock().unwrap().iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone());
            if self.is_hidden { Err(TaskError::new(ErrorKind::Denied, "403")) } else { Ok(found) }
        }

        fn trouble(&self) -> Option<String> {
            None
        }
    }

    fn files(folder: &Arc<Folder>, memory: &Budget) -> Files {
        Files::new(Arc::clone(folder) as _, TaskName { connector: "my sink".into(), task: 0 }, memory.clone())
    }

    async fn settled(files: &mut Files) -> Vec<usize> {
        files.settled().await.into_iter().map(|(token, outcome)| outcome.map(|()| token).unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn letters_wait_for_others_of_their_partition_unless_there_is_a_hurry() {
        let (folder, memory) = (Arc::new(Folder::default()), Budget::new(1 << 20));
        let mut files = files(&folder, &memory);
        files.post(&letters(&[(10, "x")]), 0).unwrap();
        files.post(&letters(&[(12, "y"), (15, "z")]), 1).unwrap();
        files.send();
        assert!(files.written.is_empty() && memory.used() > 0);
        tokio::time::advance(LINGER).await;
        files.send();
        assert_eq!(settled(&mut files).await, [0, 1, 2]);
        // Read again from an earlier offset: the same letters are confirmed, and are there already.
        for token in [3, 4] {
            files.post(&letters(&[(12, "y")]), token).unwrap();
        }
        files.hurry(|tp| tp.partition == 7);
        files.send();
        assert_eq!(settled(&mut files).await, [3]);
        files.hurry(|tp| tp.partition == 3);
        files.send();
        assert_eq!(settled(&mut files).await, [4]);
        assert_eq!(folder.names_seen(), ["orders/partition=3/my_sink+orders+3+0000000010+0000000015.jsonl"]);
        assert_eq!((folder.offsets(), memory.used()), (vec![vec![10, 12, 15]], 0));
    }

    #[tokio::test]
    async fn letters_of_one_batch_come_by_stages_and_are_no_rewind() {
        let (folder, memory) = (Arc::new(Folder::default()), Budget::new(1 << 20));
        let from = TopicPartition::new("orders", 3);
        // Killed before their offsets were committed, and read again.
        for _ in 0..2 {
            let mut files = files(&folder, &memory);
            files.identify(&from, [1; 16]);
            let kept = Arc::new(Kept { raw: raw(), permit: memory.take(0) });
            for (token, (offset, reason)) in [(15, "no JSON"), (10, "no path"), (12, "no path")].into_iter().enumerate() {
                files.post(&Letters::of(&kept, vec![(offset, failure(reason))]), token).unwrap();
            }
            assert!(files.written.is_empty(), "they wait for each other");
            files.hurry(|_| true);
            files.send();
            assert_eq!(settled(&mut files).await, [0, 1, 2]);
        }
        assert_eq!(folder.offsets(), [vec![15, 10, 12]]);
        assert!(folder.names_seen()[0].contains("+0000000010+0000000015+"), "{:?}", folder.names_seen());
    }

    /// The runtime may begin the last of several jobs first.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn files_of_a_partition_are_written_in_order() {
        let (folder, memory) = (Arc::new(Folder::default()), Budget::new(1 << 20));
        let own = Arc::clone(&folder);
        tokio::spawn(async move {
            let mut files = files(&own, &memory);
            for (token, offset) in [10, 12, 15].into_iter().enumerate() {
                files.post(&letters(&[(offset, "x")]), token).unwrap();
                files.hurry(|_| true);
                files.send();
            }
            for _ in 0..3 {
                settled(&mut files).await;
            }
        })
        .await
        .unwrap();
        assert_eq!(folder.offsets(), [vec![10], vec![12], vec![15]]);
    }

    #[tokio::test]
    async fn who_goes_on_writes_only_what_is_nowhere_yet() {
        let (folder, memory) = (Arc::new(Folder::default()), Budget::new(1 << 20));
        let (from, all) = (TopicPartition::new("orders", 3), [(10, "x"), (12, "y"), (15, "z")]);
        // The same records three times over: killed each time before their offsets were committed, and read in other parts.
        for parts in [vec![&all[..2]], vec![&all[..1], &all[1..]], vec![&all[..]]] {
            let mut files = files(&folder, &memory);
            files.identify(&from, [1; 16]);
            for part in parts {
                files.post(&letters(part), 0).unwrap();
                files.hurry(|_| true);
                files.send();
                assert_eq!(settled(&mut files).await.len(), part.len());
            }
        }
        assert_eq!(folder.offsets(), [vec![10, 12], vec![15]]);
        // The topic is made again while letters of it wait; and goes away, and comes back.
        let mut files = files(&folder, &memory);
        files.identify(&from, [1; 16]);
        files.post(&letters(&all[..1]), 0).unwrap();
        files.identify(&from, [2; 16]);
        files.post(&letters(&all[..1]), 1).unwrap();
        files.forget(std::slice::from_ref(&from));
        files.identify(&from, [2; 16]);
        files.post(&letters(&all), 2).unwrap();
        files.hurry(|_| true);
        files.send();
        let mut tokens = Vec::new();
        while tokens.len() < 5 {
            tokens.extend(settled(&mut files).await);
        }
        assert_eq!(tokens, [0, 1, 2, 3, 4]);
        assert_eq!(folder.offsets(), [vec![10, 12], vec![15], vec![10], vec![12, 15]]);
        let ids: Vec<Option<TopicId>> = folder.names_seen().iter().map(|name| FileName::parse(name).unwrap().topic_id).collect();
        assert_eq!(ids, [Some([1; 16]), Some([1; 16]), Some([2; 16]), Some([2; 16])]);
    }

    #[tokio::test]
    async fn a_defect_is_an_error_of_the_letters_that_it_keeps_back() {
        let folder = Arc::new(Folder { panics: true, ..Folder::default() });
        let mut files = files(&folder, &Budget::new(1 << 20));
        files.post(&letters(&[(10, "x"), (12, "y")]), 7).unwrap();
        files.hurry(|_| true);
        files.send();
        let mut settled = files.settled().await;
        assert_eq!(settled.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [7, 8]);
        let error = settled.remove(0).1.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Bug);
        let text = error.to_string();
        assert!(text.starts_with("dead letters were not written to memory: ") && text.contains("no more room in this test"), "{text}");
    }
}
