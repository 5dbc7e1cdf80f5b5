//! What happened in a run, in order: the world's events and the product's own log lines, the last of them kept.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that are kept, unless `SIM_LINES` says otherwise.
const LINES: usize = 400;
/// Longest line.
const LINE_CHARS: usize = 1200;

/// Something that has to happen in some run, or the runs show nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rarity {
    /// A commit of a generation that is over is refused.
    Fenced,
    /// A commit arrives that its sender had given up.
    Stray,
    /// A text is longer than the broker takes.
    TooLong,
    /// Partitions are lost without having been given up.
    Lost,
    /// A new owner is given a plan.
    Inherited,
    /// An object is published under a name where the same object of a former owner was.
    Again,
    /// A name is taken, and the object is not to be replaced.
    Taken,
    /// An upload has expired.
    Vanished,
    /// An object becomes visible when its process is dead.
    Posthumous,
    /// All memory is used up.
    Short,
    /// Rows were put on disk.
    Spilled,
    /// What was planted has struck.
    Planted,
}

impl Rarity {
    /// All of them that come by themselves.
    pub(crate) const ALL: [Self; 11] = [
        Self::Fenced,
        Self::Stray,
        Self::TooLong,
        Self::Lost,
        Self::Inherited,
        Self::Again,
        Self::Taken,
        Self::Vanished,
        Self::Posthumous,
        Self::Short,
        Self::Spilled,
    ];
}

/// The record of a run; clones share it.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    began: Instant,
    /// How many are kept.
    most: usize,
    last: VecDeque<String>,
    count: u64,
    reached: BTreeSet<Rarity>,
    /// Of every line, so that two runs can be compared.
    hasher: DefaultHasher,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} lines)", self.lines().count)
    }
}

impl Trace {
    /// An empty one that counts time from now on.
    pub(crate) fn start() -> Self {
        let most = super::told("SIM_LINES").and_then(|most| usize::try_from(most).ok()).unwrap_or(LINES);
        let (began, last, reached) = (Instant::now(), VecDeque::new(), BTreeSet::new());
        Self(Arc::new(Mutex::new(Lines { began, most, last, count: 0, reached, hasher: DefaultHasher::new() })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened to `who`.
    pub(crate) fn note(&self, who: impl fmt::Display, what: impl fmt::Display) {
        let mut lines = self.lines();
        let mut line = format!("{:>11.3}s  {who}: {what}", lines.began.elapsed().as_secs_f64());
        if let Some((cut, _)) = line.char_indices().nth(LINE_CHARS) {
            line.truncate(cut);
            line.push('…');
        }
        line.hash(&mut lines.hasher);
        lines.count += 1;
        if lines.last.len() == lines.most {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
    }

    /// Something rare happened.
    pub(crate) fn reached(&self, what: Rarity) {
        self.lines().reached.insert(what);
    }

    /// What of the rare happened.
    pub(crate) fn rarities(&self) -> BTreeSet<Rarity> {
        self.lines().reached.clone()
    }

    /// A number that stands for everything that happened.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.lines().hasher.finish()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        let lines = self.lines();
        let mut text = format!("({} events, the last {})\n", lines.count, lines.last.len());
        for line in &lines.last {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// A subscriber that adds the product's log lines.
    pub(crate) fn subscriber(&self) -> impl tracing::Subscriber + use<> {
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).with_target(false).without_time().with_writer(self.clone()).finish()
    }
}

impl<'a> MakeWriter<'a> for Trace {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.clone())
    }
}

/// Takes one formatted log line at a time.
pub(crate) struct LogLine(Trace);

impl io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.note("log", text.trim());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
