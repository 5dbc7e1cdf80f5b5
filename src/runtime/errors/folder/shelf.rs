//! The files of one topic partition's letters: what lies there already is not written a second time, and no file is replaced.
//!
//! A task that ends between a file and the commit behind it leaves letters whose records are read again, with other neighbours: another file would double them. So the first
//! write after a partition was assigned, or went back, lists the partition's files, and every write reads those that may have letters of its offsets. Letters are the same when
//! connector, partition, offset, timestamp, key, value and headers are. A name that is taken by other letters, of a topic that was deleted and made again, or of somebody who
//! still writes although the partition is not his any more, is left to them: the next number is taken.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::super::line::Line;
use super::names::FileName;
use crate::connect::letters::{LetterFolder, Placed};
use crate::connect::{ErrorKind, TaskError};

/// Lines of letters that are to be a file, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    lines: Vec<u8>,
    letters: Vec<Entry>,
}

/// A line.
#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    identity: u64,
    /// Where it ends.
    end: usize,
}

impl Sheet {
    /// Adds a letter.
    ///
    /// # Errors
    /// [`TaskError`] that cannot be: a line is always JSON.
    pub(super) fn push(&mut self, line: &Line<'_>) -> Result<(), TaskError> {
        serde_json::to_writer(&mut self.lines, line).map_err(|error| TaskError::new(ErrorKind::Bug, format!("a dead letter is no JSON: {error}")))?;
        self.lines.push(b'\n');
        self.letters.push(Entry { offset: line.offset, identity: line.identity(), end: self.lines.len() });
        Ok(())
    }

    /// Bytes of its lines.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Memory that it holds.
    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.capacity() + self.letters.capacity() * size_of::<Entry>()
    }

    /// The least and the greatest offset of its letters.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        let offsets = || self.letters.iter().map(|letter| letter.offset);
        offsets().min().zip(offsets().max())
    }

    /// Leaves out the letters that are there already.
    fn without(self, there: &BTreeSet<u64>) -> Self {
        if self.letters.iter().all(|letter| !there.contains(&letter.identity)) {
            return self;
        }
        let (mut left, mut start) = (Self::default(), 0);
        for letter in &self.letters {
            if !there.contains(&letter.identity) {
                left.lines.extend_from_slice(self.lines.get(start..letter.end).unwrap_or_default());
                left.letters.push(Entry { end: left.lines.len(), ..*letter });
            }
            start = letter.end;
        }
        left
    }

    fn is_among(&self, there: &BTreeSet<u64>) -> bool {
        self.letters.iter().all(|letter| there.contains(&letter.identity))
    }
}

/// What is known of the files that were there before the first write.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// In the order of their first offsets.
    files: Vec<FileName>,
}

impl Shelf {
    /// Writes letters that are nowhere yet. `name` is the connector's and the partition's, its offsets do not count; with
    /// `looks` the files are listed first, and no letter from below `floor` is to come before they are listed again.
    ///
    /// # Errors
    /// [`TaskError`] of the folder.
    pub(super) async fn write(&mut self, folder: &dyn LetterFolder, name: FileName, (looks, floor): (bool, i64), sheet: Sheet) -> Result<(), TaskError> {
        let Some((first, last)) = sheet.span() else { return Ok(()) };
        let name = FileName { first, last, ..name };
        if looks {
            self.look(folder, &name, floor.min(first)).await?;
        }
        self.files.retain(|file| file.last >= floor.min(first));
        let mut there = BTreeSet::new();
        for file in self.files.iter().filter(|file| file.may_overlap(&name)) {
            there.extend(identities(folder, file).await?.unwrap_or_default());
        }
        let sheet = sheet.without(&there);
        let Some((first, last)) = sheet.span() else {
            tracing::debug!(file = %name, "every letter was there already");
            return Ok(());
        };
        place(folder, FileName { first, last, ..name }, &sheet).await
    }

    async fn look(&mut self, folder: &dyn LetterFolder, name: &FileName, floor: i64) -> Result<(), TaskError> {
        let listed = match folder.names(&name.beginning()).await {
            // Whoever may only write doubles a letter rather than lose one.
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::warn!(%folder, %error, "dead letters that were written before the task was started may be written again: listing is denied");
                Vec::new()
            }
            listed => listed?,
        };
        self.files = listed.iter().filter_map(|name| FileName::parse(name)).filter(|file| file.last >= floor).collect();
        self.files.sort_by_key(|file| file.first);
        Ok(())
    }
}

/// Makes a file under the first free name.
async fn place(folder: &dyn LetterFolder, mut name: FileName, sheet: &Sheet) -> Result<(), TaskError> {
    let bytes = Bytes::copy_from_slice(&sheet.lines);
    loop {
        match folder.put(&name.to_string(), bytes.clone()).await? {
            Placed::New => return Ok(()),
            // An answer was lost, or another owner of the partition was faster.
            Placed::Taken if identities(folder, &name).await?.is_some_and(|there| sheet.is_among(&there)) => return Ok(()),
            Placed::Taken => {
                tracing::warn!(%folder, file = %name, "other letters are there: they stay, and these get the next number");
                name.number += 1;
            }
        }
    }
}

/// The letters of a file; `None` when it is not there, or nobody may look.
async fn identities(folder: &dyn LetterFolder, name: &FileName) -> Result<Option<BTreeSet<u64>>, TaskError> {
    let bytes = match folder.read(&name.to_string()).await {
        Err(error) if error.kind == ErrorKind::Denied => {
            tracing::warn!(%folder, file = %name, %error, "its dead letters may be written again: reading is denied");
            None
        }
        read => read?,
    };
    let lines = |bytes: &Bytes| bytes.split(|byte| *byte == b'\n').filter_map(|line| Some(serde_json::from_slice::<Line<'_>>(line).ok()?.identity())).collect();
    Ok(bytes.as_ref().map(lines))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;
    use crate::batch::TopicPartition;

    fn sheet(letters: &[(i64, &str)]) -> Sheet {
        let mut sheet = Sheet::default();
        for (offset, value) in letters {
            let text = format!(
                r#"{{"topic":"t","partition":0,"offset":{offset},"timestamp":1,"key":null,"value":"{value}","headers":[],"connector":"c","task":0,"stage":"s","class":"k","reason":"r"}}"#
            );
            sheet.push(&serde_json::from_str(&text).unwrap()).unwrap();
        }
        sheet
    }

    fn name(id: Option<u8>) -> FileName {
        FileName::new("c", TopicPartition::new("t", 0), (0, 0), id.map(|id| [id; 16]))
    }

    /// What is there, then what is written; the files that there are then, and the offsets of their letters.
    #[tokio::test]
    async fn no_letter_is_there_twice_and_none_is_replaced() {
        type Letters = &'static [(i64, &'static str)];
        let (one, two) = (Some(1), Some(2));
        let cases: [(&str, Option<u8>, Letters, Option<u8>, Letters, &[&[i64]]); 9] = [
            ("nothing", one, &[], one, &[(10, "a"), (15, "b")], &[&[10, 15]]),
            ("the same once more", one, &[(10, "a"), (15, "b")], one, &[(10, "a"), (15, "b")], &[&[10, 15]]),
            ("the same, one by one", one, &[(10, "a"), (15, "b")], one, &[(15, "b")], &[&[10, 15]]),
            ("the same, and more", one, &[(10, "a"), (15, "b")], one, &[(12, "x"), (15, "b"), (17, "c")], &[&[10, 15], &[12, 17]]),
            ("a topic that was made again", one, &[(10, "a")], two, &[(10, "a")], &[&[10], &[10]]),
            ("the same, nobody tells of which topic", None, &[(10, "a")], None, &[(10, "b")], &[&[10], &[10]]),
            ("the same record, nobody tells of which topic", None, &[(10, "a")], None, &[(10, "a")], &[&[10]]),
            ("an older version's file", None, &[(10, "a"), (15, "b")], one, &[(10, "a"), (16, "b")], &[&[10, 15], &[16]]),
            ("another record under a known id", one, &[(10, "a"), (15, "b")], one, &[(10, "z"), (15, "b")], &[&[10, 15], &[10]]),
        ];
        for (what, before, there, id, written, expected) in cases {
            let folder = Folder::default();
            Shelf::default().write(&folder, name(before), (true, 0), sheet(there)).await.unwrap();
            let mut shelf = Shelf::default();
            shelf.write(&folder, name(id), (true, 0), sheet(written)).await.unwrap();
            assert_eq!(folder.offsets(), expected, "{what}");
            // Whoever writes without a look finds the name taken.
            Shelf::default().write(&folder, name(id), (false, 0), sheet(written)).await.unwrap();
            let doubles =
                if what.contains("one by one") || what.contains("and more") || what.contains("older") || what.contains("another record") { 1 } else { 0 };
            assert_eq!(folder.offsets().len(), expected.len() + doubles, "{what}: {:?}", folder.offsets());
        }
    }

    #[tokio::test]
    async fn whoever_may_not_look_writes_all_the_same() {
        let folder = Folder { is_hidden: true, ..Folder::default() };
        for (value, expected) in [("a", 1), ("b", 2), ("a", 3)] {
            Shelf::default().write(&folder, name(None), (true, 0), sheet(&[(10, value)])).await.unwrap();
            assert_eq!(folder.offsets().len(), expected);
        }
        assert_eq!(folder.names_seen(), ["", "+2", "+3"].map(|number| format!("t/partition=0/c+t+0+0000000010+0000000010{number}.jsonl")));
    }
}
