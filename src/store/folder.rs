//! Uploads to a folder: a staged file beside the object, renamed over it when it is whole.
//!
//! `object_store`'s `LocalFileSystem` gives up at the first full disk, so parts are written here, where each can be tried again. They are staged in
//! `<object>#<number>`: such names end in digits, so a pattern like `**/*.parquet` never matches one, and `LocalFileSystem` leaves them out of its
//! listings. The number is random: a process that was stopped for long and wakes up never meets the staged file of another one that has gone on with its
//! work. A process that is killed leaves staged files behind, which a sweep finds.
//! Where the name must not be taken, the staged file is linked to it instead of renamed: `link(2)` fails when the name is there. File systems without
//! links are looked at first. The staged file's inode is kept from its start, so that an attempt after one that was cut off knows its own work.
//! Guarantee: when `complete_multipart` returns, the object's bytes and the directory entries that lead to it are on disk (`fsync`).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, SeekFrom};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::local::LocalFileSystem;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, PutMultipartOptions, PutPayload, PutResult, Result};
use tokio::fs;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::headers::is_if_absent;
use super::sweep::{ListUnfinished, Marker, Page, Unfinished};

/// Multipart uploads below a folder. Every part but an object's last must have exactly `part_size` bytes: a part's place in the file follows from its number.
#[derive(Debug)]
pub struct FolderParts {
    root: LocalFileSystem,
    part_size: u64,
    /// The files that are staged.
    inodes: Mutex<HashMap<PathBuf, Inode>>,
}

/// A number that nobody else comes up with.
fn random_number() -> String {
    RandomState::new().build_hasher().finish().to_string() // the state of a new hasher is random
}

/// Device and number of a file.
type Inode = (u64, u64);

impl FolderParts {
    /// Uploads below the folder of `root`, in parts of `part_size` bytes.
    #[must_use]
    pub fn new(root: LocalFileSystem, part_size: u64) -> Self {
        Self { root, part_size, inodes: Mutex::default() }
    }

    fn inodes(&self) -> MutexGuard<'_, HashMap<PathBuf, Inode>> {
        self.inodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn staged(&self, path: &Path, id: &str) -> Result<(PathBuf, PathBuf)> {
        let object = self.root.path_to_filesystem(path)?;
        let mut staged = object.clone().into_os_string();
        staged.push("#");
        staged.push(id);
        Ok((object, staged.into()))
    }
}

#[async_trait]
impl MultipartStore for FolderParts {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let id = random_number();
        let (_, staged) = self.staged(path, &id)?;
        let mut created = create_new(&staged).await;
        if created.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            create_parents(&staged).await.map_err(|e| generic(&staged, e))?;
            created = create_new(&staged).await;
        }
        let inode = created.map_err(|e| generic(&staged, e))?;
        self.inodes().insert(staged, inode);
        Ok(id)
    }

    async fn create_multipart_opts(&self, path: &Path, _opts: PutMultipartOptions) -> Result<MultipartId> {
        self.create_multipart(path).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        let (_, staged) = self.staged(path, id)?;
        let start = self.part_size * part_idx as u64;
        write_at(&staged, start, &data).await.map_err(|e| told(&staged, e))?;
        Ok(PartId { content_id: data.content_length().to_string() })
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let (object, staged) = self.staged(path, id)?;
        let expected = parts.iter().map(|part| part.content_id.parse::<u64>().unwrap_or_default()).sum();
        let inode = self.inodes().get(&staged).copied();
        publish(&staged, &object, inode, expected, is_if_absent()).await.map_err(|e| told(&staged, e))?;
        self.inodes().remove(&staged);
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let (_, staged) = self.staged(path, id)?;
        self.inodes().remove(&staged);
        fs::remove_file(&staged).await.map_err(|e| told(&staged, e))
    }
}

#[async_trait]
impl ListUnfinished for FolderParts {
    async fn page(&self, below: &str, _after: Option<&Marker>) -> Result<Page> {
        let (in_root, clock) = self.staged(&Path::from(".lakehead-clock"), &random_number())?;
        let root = in_root.parent().unwrap_or(&in_root);
        let now = now_at(&clock).await.map_err(|e| generic(&clock, e))?;
        let uploads = staged_below(root, below).await.map_err(|e| generic(root, e))?;
        Ok(Page { uploads, now: Some(now), next: None })
    }
}

/// The file system's clock, which need not be ours: the time of a new file.
async fn now_at(clock: &FilePath) -> io::Result<DateTime<Utc>> {
    let made = fs::OpenOptions::new().write(true).create_new(true).open(clock).await?.metadata().await?.modified();
    fs::remove_file(clock).await?;
    Ok(made?.into())
}

/// The staged files of keys that begin with `below`.
async fn staged_below(root: &FilePath, below: &str) -> io::Result<Vec<Unfinished>> {
    let mut found = Vec::new();
    // The directory that every such key is in.
    let mut directories = vec![below.rsplit_once('/').map_or_else(|| root.to_owned(), |(directory, _)| root.join(directory))];
    while let Some(directory) = directories.pop() {
        let mut entries = match fs::read_dir(&directory).await {
            Err(e) if e.kind() == ErrorKind::NotFound => continue, // nothing was written there yet, or it was removed meanwhile
            entries => entries?,
        };
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            let Some(name) = path.strip_prefix(root).ok().and_then(FilePath::to_str) else { continue };
            if !name.starts_with(below) {
                continue;
            }
            if let Some((key, id)) = name.rsplit_once('#')
                && key.starts_with(below)
                && !id.is_empty()
                && id.bytes().all(|byte| byte.is_ascii_digit())
                && let Ok(about) = entry.metadata().await
                && about.is_file()
            {
                let begun = about.modified().ok().map(Into::into);
                found.push(Unfinished { key: key.to_owned(), id: id.to_owned(), begun, bytes: Some(about.len()) });
            } else if entry.file_type().await.is_ok_and(|kind| kind.is_dir()) {
                directories.push(path);
            }
        }
    }
    Ok(found)
}

async fn create_new(staged: &FilePath) -> io::Result<Inode> {
    let file = fs::OpenOptions::new().write(true).create_new(true).open(staged).await?;
    Ok(inode_of(&file.metadata().await?))
}

/// Makes the directories that lead to `file`, and has them on disk.
async fn create_parents(file: &FilePath) -> io::Result<()> {
    let Some(parent) = file.parent() else { return Ok(()) };
    let mut known = parent;
    while !fs::try_exists(known).await? {
        match known.parent() {
            Some(next) => known = next,
            None => break,
        }
    }
    fs::create_dir_all(parent).await?;
    for directory in parent.ancestors() {
        sync_directory(directory).await?;
        if directory == known {
            break;
        }
    }
    Ok(())
}

async fn write_at(staged: &FilePath, start: u64, data: &PutPayload) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(staged).await?;
    file.seek(SeekFrom::Start(start)).await?;
    for bytes in data {
        file.write_all(bytes).await?;
    }
    file.flush().await // an error of the last write is told here
}

/// Gives the staged file its name; with `is_if_absent` only when nobody has it. A second link is atomic and never replaces, unlike a rename.
async fn publish(staged: &FilePath, object: &FilePath, inode: Option<Inode>, expected: u64, is_if_absent: bool) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).open(staged).await {
        Ok(file) => {
            let length = file.metadata().await?.len();
            if length != expected {
                return Err(io::Error::other(format!("the staged file has {length} bytes instead of {expected}")));
            }
            file.sync_all().await?;
            if is_if_absent { link(staged, object).await? } else { fs::rename(staged, object).await? }
        }
        // An earlier attempt gave the name, and failed at the directory.
        Err(e) if e.kind() == ErrorKind::NotFound && inode.is_some() && inode_at(object).await == inode => {}
        Err(e) => return Err(e),
    }
    match object.parent() {
        Some(parent) => sync_directory(parent).await,
        None => Ok(()),
    }
}

async fn link(staged: &FilePath, object: &FilePath) -> io::Result<()> {
    match fs::hard_link(staged, object).await {
        Ok(()) => {}
        // An earlier attempt got this far.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && inode_at(staged).await == inode_at(object).await => {}
        Err(e) if has_no_links(&e) && !fs::try_exists(object).await? => return fs::rename(staged, object).await,
        Err(e) if has_no_links(&e) => return Err(ErrorKind::AlreadyExists.into()),
        Err(e) => return Err(e),
    }
    fs::remove_file(staged).await
}

/// True when it is the file system that knows no links: `ENOSYS`, `EOPNOTSUPP`, and `EPERM` as link(2) has it (a missing permission is `EACCES`).
fn has_no_links(error: &io::Error) -> bool {
    const EPERM: i32 = 1;
    error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(EPERM)
}

fn inode_of(found: &std::fs::Metadata) -> Inode {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}

async fn inode_at(path: &FilePath) -> Option<Inode> {
    fs::metadata(path).await.ok().map(|found| inode_of(&found))
}

async fn sync_directory(directory: &FilePath) -> io::Result<()> {
    fs::File::open(directory).await?.sync_all().await
}

fn generic(path: &FilePath, source: io::Error) -> Error {
    let source = io::Error::new(source.kind(), format!("{}: {source}", path.display()));
    Error::Generic { store: "folder", source: Box::new(source) }
}

fn told(path: &FilePath, source: io::Error) -> Error {
    match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path: path.display().to_string(), source: Box::new(source) },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.display().to_string(), source: Box::new(source) },
        _ => generic(path, source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::headers::{Intent, sent_with};

    fn parts(bytes: &[&'static [u8]]) -> Vec<PutPayload> {
        bytes.iter().map(|b| PutPayload::from_static(b)).collect()
    }

    fn names(directory: &FilePath) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn parts_may_come_in_any_order_and_twice_and_show_only_when_complete() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderParts::new(LocalFileSystem::new_with_prefix(root.path()).unwrap(), 4);
        let path = Path::from("a/b/o.parquet");
        let id = store.create_multipart(&path).await.unwrap();
        let [first, second]: [PutPayload; 2] = parts(&[b"0123", b"45"]).try_into().unwrap();
        let two = store.put_part(&path, &id, 1, second.clone()).await.unwrap();
        store.put_part(&path, &id, 1, second).await.unwrap();
        let one = store.put_part(&path, &id, 0, first).await.unwrap();
        assert_eq!(names(&root.path().join("a/b")), [format!("o.parquet#{id}")]);
        store.complete_multipart(&path, &id, vec![one, two]).await.unwrap();
        assert_eq!(names(&root.path().join("a/b")), ["o.parquet"]);
        assert_eq!(std::fs::read(root.path().join("a/b/o.parquet")).unwrap(), b"012345");
    }

    #[tokio::test]
    async fn staged_files_of_two_processes_never_meet_and_are_listed_by_their_keys() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderParts::new(LocalFileSystem::new_with_prefix(root.path()).unwrap(), 4);
        let other = FolderParts::new(LocalFileSystem::new_with_prefix(root.path()).unwrap(), 4);
        let path = Path::from("t/p=0/o");
        let (id, theirs) = (store.create_multipart(&path).await.unwrap(), other.create_multipart(&path).await.unwrap());
        other.put_part(&path, &theirs, 0, PutPayload::from_static(b"012")).await.unwrap();
        store.complete_multipart(&path, &id, vec![]).await.unwrap();
        for unlike in ["t/p=0/x#", "t/p=0/x#1a", "t/p=01"] {
            std::fs::write(root.path().join(unlike), b"").unwrap();
        }
        for (below, expected) in [("", 1), ("t", 1), ("t/p=0/", 1), ("t/p=0/o", 1), ("t/p=0/o#", 0), ("t/p=1/", 0), ("u/", 0)] {
            let page = store.page(below, None).await.unwrap();
            assert_eq!(page.uploads.len(), expected, "{below}");
            for found in page.uploads {
                assert_eq!((found.key.as_str(), &found.id, found.bytes), ("t/p=0/o", &theirs, Some(3)));
                assert!(found.begun <= page.now);
            }
        }
        assert_eq!(names(root.path()), ["t"], "what told the time is gone");
    }

    #[tokio::test]
    async fn a_name_that_is_taken_stays_with_whoever_has_it() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderParts::new(LocalFileSystem::new_with_prefix(root.path()).unwrap(), 4);
        let path = Path::from("o");
        let if_absent = || Intent { if_absent: true, ..Intent::default() };
        for (content, expected) in [(b"0123", true), (b"4567", false)] {
            let id = store.create_multipart(&path).await.unwrap();
            let part = store.put_part(&path, &id, 0, PutPayload::from_static(content)).await.unwrap();
            let done = sent_with(if_absent(), store.complete_multipart(&path, &id, vec![part])).await;
            assert_eq!(done.is_ok(), expected);
            assert!(done.is_ok() || matches!(done, Err(Error::AlreadyExists { .. })));
            assert_eq!(std::fs::read(root.path().join("o")).unwrap(), b"0123");
        }
        // Its own link, made by an attempt that was cut off, is not somebody else's.
        let id = store.create_multipart(&Path::from("p")).await.unwrap();
        std::fs::hard_link(root.path().join(format!("p#{id}")), root.path().join("p")).unwrap();
        sent_with(if_absent(), store.complete_multipart(&Path::from("p"), &id, vec![])).await.unwrap();
        let names = names(root.path());
        assert!(names.len() == 3 && names[0] == "o" && names[1].starts_with("o#") && names[2] == "p", "{names:?}");
    }

    #[tokio::test]
    async fn an_attempt_that_failed_after_it_gave_the_name_is_known_again() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderParts::new(LocalFileSystem::new_with_prefix(root.path()).unwrap(), 4);
        for (name, if_absent) in [("linked", true), ("renamed", false)] {
            let path = Path::from(name);
            let id = store.create_multipart(&path).await.unwrap();
            std::fs::rename(root.path().join(format!("{name}#{id}")), root.path().join(name)).unwrap();
            let intent = Intent { if_absent, ..Intent::default() };
            sent_with(intent.clone(), store.complete_multipart(&path, &id, vec![])).await.unwrap();
            // Of an upload that is gone, whoever has the name is not known.
            let id = store.create_multipart(&path).await.unwrap();
            std::fs::remove_file(root.path().join(format!("{name}#{id}"))).unwrap();
            let gone = sent_with(intent, store.complete_multipart(&path, &id, vec![])).await;
            assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        }
    }

    #[test]
    fn file_systems_without_links() {
        for (number, expected) in [(38, true), (95, true), (1, true), (13, false), (17, false), (28, false)] {
            assert_eq!(has_no_links(&io::Error::from_raw_os_error(number)), expected, "{number}");
        }
    }

    #[tokio::test]
    async fn a_staged_file_that_lost_bytes_is_not_published() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderParts::new(LocalFileSystem::new_with_prefix(root.path()).unwrap(), 4);
        let path = Path::from("o");
        let id = store.create_multipart(&path).await.unwrap();
        let error = store.complete_multipart(&path, &id, vec![PartId { content_id: "4".to_owned() }]).await.unwrap_err();
        assert!(error.to_string().contains("the staged file has 0 bytes instead of 4"), "{error}");
    }
}
