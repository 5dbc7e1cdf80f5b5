//! What waits on disk because memory is short: an append-only log in segments, for the whole process.
//!
//! Whoever spills gets a [`Place`] for each run of bytes, and reads it back from there. A segment is a file of some 64 MiB; it is deleted when no place in it
//! is left, and no descriptor of it stays open but the last one's, so that neither files nor places cost much, however many files they stand for.
//! [`rows`] turns arrays into such bytes and back.
//!
//! The folder that is given may be shared: each process makes one of its own in it and locks it. What it finds unlocked there was left by a process
//! that died, and is removed; everything in it is read again from Kafka.
//!
//! Spilling may fail at any time (disk full, folder gone), and that is nobody's error: [`Spill::is_on`] says no for a while, the log says it once, and
//! whoever wanted to spill does without.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub mod rows;

/// Length at which a segment is full.
const SEGMENT_BYTES: u64 = 64 << 20;
/// How long nothing is spilled after it failed.
const REST: Duration = Duration::from_secs(30);
/// Start of the names of processes' folders.
const FOLDER: &str = "lakehead-spill-";
/// The locked file in a process's folder.
const LOCK: &str = "lock";

/// The process's place for what memory does not hold; cheap to clone. Its files go away with the last clone and the last [`Place`].
#[derive(Debug, Clone)]
pub struct Spill(Option<Arc<Log>>);

#[derive(Debug)]
struct Log {
    below: PathBuf,
    state: Mutex<State>,
    written: AtomicU64,
    segment_bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Made when something is spilled for the first time.
    folder: Option<Arc<Folder>>,
    open: Option<Open>,
    /// Number of the next segment.
    next: u64,
    /// Nothing is spilled before then.
    rests_until: Option<Instant>,
}

/// The segment that is being written.
#[derive(Debug)]
struct Open {
    segment: Arc<Segment>,
    file: File,
    length: u64,
}

/// A process's own folder, removed with the last thing in it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Bytes of all segments.
    held: AtomicU64,
    /// Locked for as long as the process lives.
    _lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now, the next start removes.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// A file of the log.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    length: AtomicU64,
    folder: Arc<Folder>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path)); // as above
        self.folder.held.fetch_sub(self.length.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Where bytes lie. They stay for as long as it does.
#[derive(Debug, Clone)]
pub struct Place {
    segment: Arc<Segment>,
    offset: u32,
    length: u32,
}

impl Place {
    /// Number of bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.length)
    }

    /// A part of it; shorter where it would end behind it.
    #[must_use]
    pub fn part(&self, start: u32, length: u32) -> Self {
        let start = start.min(self.length);
        Self { segment: Arc::clone(&self.segment), offset: self.offset + start, length: length.min(self.length - start) }
    }

    /// The bytes.
    ///
    /// # Errors
    /// That of the file system, with the file's name.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        let read = File::open(&self.segment.path).and_then(|file| file.read_exact_at(&mut bytes, u64::from(self.offset)));
        read.map_err(|error| io::Error::new(error.kind(), format!("spilled rows cannot be read from {}: {error}", self.segment.path.display())))?;
        Ok(bytes)
    }
}

impl Spill {
    /// Nothing is ever spilled.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Spills to a folder of its own below this one, which is made when it is needed. What dead processes left there is removed now.
    #[must_use]
    pub fn below(folder: impl Into<PathBuf>) -> Self {
        Self::with_segments_of(folder, SEGMENT_BYTES)
    }

    fn with_segments_of(folder: impl Into<PathBuf>, segment_bytes: u64) -> Self {
        let below = folder.into();
        remove_leftovers(&below);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if let Some(system) = std::path::absolute(&below).ok().and_then(|path| system_of(&mounts, &path)).filter(|system| ["tmpfs", "ramfs"].contains(system)) {
            tracing::warn!(folder = %below.display(), "lakehead.spill.dir is in memory ({system}): what is spilled there still takes the machine's memory; name a folder on a disk");
        }
        Self(Some(Arc::new(Log { below, state: Mutex::default(), written: AtomicU64::new(0), segment_bytes })))
    }

    /// True when it is worth trying to spill: there is a folder, and it has not failed lately.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.as_ref().is_some_and(|log| log.lock().rests_until.is_none_or(|until| Instant::now() >= until))
    }

    /// Bytes that were spilled since the process started.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |log| log.written.load(Ordering::Relaxed))
    }

    /// Bytes that lie on disk now.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let folder = self.0.as_ref().and_then(|log| log.lock().folder.clone());
        folder.map_or(0, |folder| folder.held.load(Ordering::Relaxed))
    }

    /// Puts the bytes into the log. `None` when they cannot be put there; the log has said why.
    #[must_use]
    pub fn append(&self, bytes: &[u8]) -> Option<Place> {
        let log = self.0.as_ref()?;
        let mut state = log.lock();
        match log.append(&mut state, bytes) {
            Ok(place) => {
                if state.rests_until.take().is_some() {
                    tracing::info!(folder = %log.below.display(), "rows are spilled again (lakehead.spill.dir)");
                }
                log.written.fetch_add(place.bytes(), Ordering::Relaxed);
                Some(place)
            }
            Err(error) => {
                state.open = None; // it may end in a part of these bytes: the next go elsewhere
                drop(state);
                self.refuse(&error);
                None
            }
        }
    }

    /// Notes that something could not be spilled: nothing is for a while.
    pub fn refuse(&self, error: &dyn fmt::Display) {
        let Some(log) = &self.0 else { return };
        if log.lock().rests_until.replace(Instant::now() + REST).is_none() {
            tracing::warn!(folder = %log.below.display(), %error, "rows cannot be spilled (lakehead.spill.dir): they stay in memory, and files may end early");
        }
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, state: &mut State, bytes: &[u8]) -> io::Result<Place> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut open = match state.open.take() {
            Some(open) if open.length < self.segment_bytes && u32::try_from(open.length + u64::from(length)).is_ok() => open,
            _ => self.next_segment(state)?,
        };
        open.file.write_all(bytes)?;
        let offset = u32::try_from(open.length).unwrap_or(u32::MAX); // checked above
        open.length += u64::from(length);
        open.segment.length.store(open.length, Ordering::Relaxed);
        open.segment.folder.held.fetch_add(u64::from(length), Ordering::Relaxed);
        let place = Place { segment: Arc::clone(&open.segment), offset, length };
        // A full segment is no longer held by the log, only by its places.
        state.open = Some(open).filter(|open| open.length < self.segment_bytes);
        Ok(place)
    }

    fn next_segment(&self, state: &mut State) -> io::Result<Open> {
        let folder = match &state.folder {
            Some(folder) => Arc::clone(folder),
            None => Arc::clone(state.folder.insert(Arc::new(claim(&self.below)?))),
        };
        let path = folder.path.join(state.next.to_string());
        state.next += 1;
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Open { segment: Arc::new(Segment { path, length: AtomicU64::new(0), folder }), file, length: 0 })
    }
}

/// The kind of file system that the path is on, by the lines of `/proc/self/mounts`.
fn system_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((Path::new(words.next()?), words.next()?))
    });
    // Of several at one place the last is seen.
    mounted.filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.components().count()).map(|(_, system)| system)
}

/// A folder that no other process has.
fn claim(below: &Path) -> io::Result<Folder> {
    fs::create_dir_all(below)?;
    for number in 0_u32.. {
        let path = below.join(format!("{FOLDER}{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let lock = File::create(path.join(LOCK))?;
                lock.lock()?;
                return Ok(Folder { path, held: AtomicU64::new(0), _lock: lock });
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes the folders of processes that are gone: their locks are free.
fn remove_leftovers(below: &Path) {
    let Ok(entries) = fs::read_dir(below) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(FOLDER));
        if !is_ours || is_locked(&path) {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(folder = %path.display(), "removed what a process that ended had spilled"),
            Err(error) => tracing::warn!(folder = %path.display(), %error, "what a process that ended had spilled cannot be removed; remove it by hand"),
        }
    }
}

/// Whether a process holds the folder. One without a lock is being made, unless it is old.
fn is_locked(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => fs::metadata(folder).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok()).is_none_or(|age| age < Duration::from_secs(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn bytes_come_back_from_where_they_were_put_and_a_segment_goes_with_its_last_place() {
        let root = tempfile::tempdir().unwrap();
        let spill = Spill::with_segments_of(root.path(), 8);
        assert!(spill.is_on() && names(root.path()).is_empty(), "nothing is made before it is needed");
        let [a, b, c] = [b"01234".as_slice(), b"56789", b"abc"].map(|bytes| spill.append(bytes).unwrap());
        let own = root.path().join(&names(root.path())[0]);
        assert_eq!(names(&own), ["0", "1", LOCK], "ten bytes fill the first segment of eight");
        assert_eq!([&a, &b, &c].map(|place| place.read().unwrap()), [b"01234".to_vec(), b"56789".to_vec(), b"abc".to_vec()]);
        assert_eq!((spill.written_bytes(), spill.held_bytes()), (13, 13));
        for (start, length, expected) in [(0, 2, "56"), (3, 2, "89"), (4, 9, "9"), (9, 9, "")] {
            assert_eq!(b.part(start, length).read().unwrap(), expected.as_bytes());
        }
        let part = b.part(1, 1);
        drop((a, b));
        assert_eq!(names(&own), ["0", "1", LOCK]);
        drop(part);
        assert_eq!((names(&own), spill.held_bytes()), (vec!["1".to_owned(), LOCK.to_owned()], 3));
        drop(spill);
        assert_eq!(c.read().unwrap(), b"abc", "a place outlives the log");
        drop(c);
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn what_dead_processes_left_is_removed_and_what_living_ones_have_stays() {
        let root = tempfile::tempdir().unwrap();
        for (folder, file) in [("lakehead-spill-1-0", LOCK), ("lakehead-spill-2-0", "no-lock-yet"), ("of-others", "x")] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join(file), "x").unwrap();
        }
        let alive = Spill::below(root.path());
        let place = alive.append(b"x").unwrap();
        let own = format!("{FOLDER}{}-0", std::process::id());
        drop(Spill::below(root.path()));
        let mut expected = vec![own, "lakehead-spill-2-0".to_owned(), "of-others".to_owned()];
        expected.sort();
        assert_eq!(names(root.path()), expected);
        assert_eq!(place.read().unwrap(), b"x");
    }

    #[test]
    fn the_nearest_mount_says_what_a_folder_is_on() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk xfs rw 0 0\ntmpfs /run tmpfs rw 0 0\noverlay /run overlay rw 0 0";
        for (path, expected) in [("/var/x", "ext4"), ("/tmp/lakehead", "tmpfs"), ("/tmp/disk/a", "xfs"), ("/tmpfile", "ext4"), ("/run/a", "overlay")] {
            assert_eq!(system_of(mounts, Path::new(path)), Some(expected), "{path}");
        }
        assert_eq!(system_of("", Path::new("/a")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_refuses_is_left_alone_for_a_while_and_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("spill");
        fs::write(&folder, "a file is in the way").unwrap();
        let spill = Spill::below(&folder);
        assert!(spill.is_on() && spill.append(b"x").is_none() && !spill.is_on());
        fs::remove_file(&folder).unwrap();
        tokio::time::advance(REST).await;
        assert!(spill.is_on());
        assert_eq!(spill.append(b"y").unwrap().read().unwrap(), b"y");
    }
}
