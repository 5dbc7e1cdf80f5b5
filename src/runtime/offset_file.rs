//! The source offsets of a standalone worker: `offset.storage.file.filename`, in the bytes of Java's worker (upstream's `FileOffsetBackingStore`).
//!
//! The file is read when somebody first needs it, and written whole at each change: beside itself first, then in its place, so that whoever is killed leaves
//! the old one or the new one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::cluster::Record;
use crate::cluster::offset_file;
use crate::cluster::source_offsets::SourceOffsets;
use crate::compute::Compute;
use crate::connect::source::{Fields, OffsetError, OffsetStore};

/// The file, and what is in it.
#[derive(Debug)]
pub struct OffsetFile {
    path: Option<PathBuf>,
    compute: Compute,
    state: Mutex<Option<State>>,
    /// One write at a time, also when the one before is not waited for any more.
    writing: Arc<std::sync::Mutex<()>>,
}

/// The file's entries in their order, and what they say.
#[derive(Debug, Clone, Default)]
struct State {
    entries: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>,
    offsets: SourceOffsets,
}

impl State {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut state = Self::default();
        for (key, value) in offset_file::read(bytes).map_err(|error| error.to_string())? {
            if let Err(ignored) = state.offsets.apply(key, value) {
                tracing::warn!("offset file: {ignored}");
            }
            state.entries.push((key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
        }
        Ok(state)
    }

    fn put(&mut self, record: Record) -> Result<(), String> {
        self.offsets.apply(Some(&record.key), record.value.as_deref())?;
        match self.entries.iter_mut().find(|(key, _)| key.as_ref() == Some(&record.key)) {
            Some((_, value)) => *value = record.value,
            None => self.entries.push((Some(record.key), record.value)),
        }
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        let entries: Vec<_> = self.entries.iter().map(|(key, value)| (key.as_deref(), value.as_deref())).collect();
        offset_file::write(&entries)
    }
}

impl OffsetFile {
    /// The file at that path; without one, whoever asks is told that it is missing.
    #[must_use]
    pub fn new(path: Option<PathBuf>, compute: Compute) -> Self {
        Self { path, compute, state: Mutex::new(None), writing: Arc::default() }
    }

    fn path(&self) -> Result<PathBuf, OffsetError> {
        let missing = || {
            OffsetError("offset.storage.file.filename is missing in the worker's configuration: source connectors keep their offsets in that file".to_owned())
        };
        self.path.clone().ok_or_else(missing)
    }

    /// What is in the file; read now when it was not read before.
    async fn loaded<'a>(&self, state: &'a mut Option<State>) -> Result<&'a mut State, OffsetError> {
        if state.is_none() {
            let path = self.path()?;
            let shown = path.display().to_string();
            let read = self.compute.run(move || match std::fs::read(&path) {
                Ok(bytes) => State::read(&bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
                Err(error) => Err(error.to_string()),
            });
            *state = Some(read.await.map_err(|why| OffsetError(format!("offset.storage.file.filename={shown}: {why}")))?);
        }
        state.as_mut().ok_or_else(|| OffsetError("the offset file was not read".to_owned()))
    }
}

#[async_trait]
impl OffsetStore for OffsetFile {
    async fn list(&self, connector: &str) -> Result<Vec<(Fields, Fields)>, OffsetError> {
        let mut state = self.state.lock().await;
        let state = self.loaded(&mut state).await?;
        Ok(state.offsets.partitions(connector).map(|(partition, offset)| (partition.clone(), offset.clone())).collect())
    }

    async fn get(&self, connector: &str, partition: &Fields) -> Result<Option<Fields>, OffsetError> {
        let mut state = self.state.lock().await;
        Ok(self.loaded(&mut state).await?.offsets.get(connector, partition).cloned())
    }

    async fn set(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<(), OffsetError> {
        let mut guard = self.state.lock().await;
        let mut next = self.loaded(&mut guard).await?.clone();
        for (partition, offset) in changes {
            for record in next.offsets.records(connector, partition, offset.as_ref()).map_err(OffsetError)? {
                next.put(record).map_err(OffsetError)?;
            }
        }
        let (path, bytes) = (self.path()?, next.bytes());
        let shown = path.display().to_string();
        let writing = Arc::clone(&self.writing);
        let job = move || {
            let _one = writing.lock().unwrap_or_else(PoisonError::into_inner);
            write(&path, &bytes)
        };
        let written = self.compute.run(job).await;
        written.map_err(|error| OffsetError(format!("offset.storage.file.filename={shown} cannot be written: {error}")))?;
        *guard = Some(next);
        Ok(())
    }
}

/// Puts bytes in a file's place. Where no file can be made beside it, it is written where it is, as Java does.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let put = |to: &Path| {
        let mut file = std::fs::File::create(to)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    match put(&beside) {
        Ok(()) => std::fs::rename(&beside, &path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => put(&path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        serde_json::from_str(text).unwrap()
    }

    fn store(path: &Path) -> OffsetFile {
        OffsetFile::new(Some(path.to_owned()), Compute::Inline)
    }

    #[tokio::test]
    async fn what_was_set_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connect.offsets");
        let (a, b) = (fields(r#"{"filename":"/a"}"#), fields(r#"{"filename":"/b"}"#));
        let at = |position: i64| Some(fields(&format!(r#"{{"position":{position}}}"#)));
        let first = store(&path);
        assert_eq!(first.list("c").await, Ok(vec![]));
        assert!(!path.try_exists().unwrap(), "nothing is written before something is set");
        first.set("c", &[(a.clone(), at(7)), (b.clone(), at(1))]).await.unwrap();
        first.set("c", &[(b.clone(), None)]).await.unwrap();
        first.set("other", &[(b.clone(), at(2))]).await.unwrap();
        let again = store(&path);
        assert_eq!(again.list("c").await, Ok(vec![(a.clone(), at(7).unwrap())]));
        assert_eq!((again.get("c", &b).await, again.get("other", &b).await), (Ok(None), Ok(at(2))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no file is left beside it");
    }

    /// The bytes that Java's worker has written, an offset that was deleted included.
    #[tokio::test]
    async fn a_file_of_java_is_gone_on_with_in_its_own_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connect.offsets");
        let gone = br#"["fs",{"filename":"/gone"}]"#;
        let here = br#"["fs",{"z":1,"filename":"/in"}]"#;
        let java = offset_file::write(&[(Some(gone), None), (Some(here), Some(br#"{"position":30}"#))]);
        std::fs::write(&path, java).unwrap();
        let file = store(&path);
        let partition = fields(r#"{"filename":"/in","z":1}"#);
        assert_eq!(file.get("fs", &partition).await, Ok(Some(fields(r#"{"position":30}"#))));
        file.set("fs", &[(partition, Some(fields(r#"{"position":31}"#)))]).await.unwrap();
        let expected = offset_file::write(&[(Some(gone), None), (Some(here), Some(br#"{"position":31}"#))]);
        assert_eq!(std::fs::read(&path).unwrap(), expected, "the key keeps Java's bytes, and the deleted one its place");
    }

    #[tokio::test]
    async fn a_file_that_is_missing_or_no_offset_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "{}").unwrap();
        let error = store(&path).list("c").await.unwrap_err().to_string();
        assert!(error.starts_with("offset.storage.file.filename=") && error.contains("there is no java.util.HashMap"), "{error}");
        let error = OffsetFile::new(None, Compute::Inline).list("c").await.unwrap_err().to_string();
        assert!(error.starts_with("offset.storage.file.filename is missing"), "{error}");
        let error = store(Path::new("/nonexistent/x")).set("c", &[(Fields::new(), None)]).await.unwrap_err().to_string();
        assert!(error.contains("cannot be written: "), "{error}");
    }
}
