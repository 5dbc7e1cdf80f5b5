//! Levels of loggers while the process runs: upstream's `Loggers`, over the targets of `tracing`.
//!
//! A logger is a target, written with `::` or with dots; `root` is what holds for all others. As upstream, a change holds for every logger whose name begins
//! with the given one, and makes that logger when there was none. Some names of Java's loggers mean the parts that do the same work here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::reload;

/// The name of the root logger.
pub const ROOT: &str = "root";

/// What holds when nothing was asked for.
pub(super) const INFO: Filter = Filter(None);

/// Loggers that are shown although nobody has named them.
const LISTED: &[&str] = &[
    "lakehead",
    "lakehead::commit",
    "lakehead::connectors",
    "lakehead::convert",
    "lakehead::kafka",
    "lakehead::rest",
    "lakehead::runtime",
    "lakehead::standalone",
    "lakehead::store",
    "librdkafka",
];

/// Names of Java's loggers, and whose work they tell of here.
const JAVA: &[(&str, &[&str])] = &[
    ("org::apache::kafka", &["lakehead", "librdkafka"]),
    ("org::apache::kafka::clients", &["lakehead::kafka", "librdkafka"]),
    ("org::apache::kafka::connect", &["lakehead"]),
    ("org::apache::kafka::connect::runtime", &["lakehead::runtime"]),
    ("org::apache::kafka::connect::runtime::WorkerSinkTask", &["lakehead::runtime::sink_task"]),
    ("org::apache::kafka::connect::runtime::rest", &["lakehead::rest"]),
    ("io::confluent::connect", &["lakehead::commit", "lakehead::connectors", "lakehead::store"]),
];

/// A level, as log4j names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// As `Error`: nothing is worse here.
    Fatal,
    /// What needs somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What happens now and then.
    Info,
    /// What happens often.
    Debug,
    /// What happens all the time.
    Trace,
    /// Everything.
    All,
}

impl Level {
    const EVERY: [Self; 8] = [Self::Off, Self::Fatal, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace, Self::All];

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
            Self::All => "ALL",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::OFF,
            Self::Fatal | Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace | Self::All => LevelFilter::TRACE,
        }
    }

    /// What a filter lets pass of a target.
    fn of(targets: &Targets, target: &str) -> Self {
        let passes = |level: &Self| level.filter().into_level().is_some_and(|level| targets.would_enable(target, &level));
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error].into_iter().find(passes).unwrap_or(Self::Off)
    }
}

impl FromStr for Level {
    type Err = ();

    /// A level's name, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::EVERY.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text)).ok_or(())
    }
}

/// What is logged at first.
#[derive(Debug, Clone, Default)]
pub struct Filter(
    /// `None`: from `info` on.
    Option<Targets>,
);

impl FromStr for Filter {
    type Err = ParseError;

    /// Levels, and targets with levels, separated by commas; nothing at all means `info`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { Ok(Self(None)) } else { parts.join(",").parse().map(|targets| Self(Some(targets))) }
    }
}

impl Filter {
    fn targets(self) -> Targets {
        self.0.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
    }
}

/// A logger's level, and when it was changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggerLevel {
    /// The level.
    pub level: Level,
    /// Milliseconds since 1970; `None` when it was not changed since the start.
    pub last_modified: Option<i64>,
}

/// A logger, under the name that it was given first.
#[derive(Debug)]
struct Logger {
    name: String,
    is: LoggerLevel,
}

/// The loggers by target; the root's target is empty, and so begins every other.
#[derive(Debug)]
struct Levels(BTreeMap<String, Logger>);

impl Levels {
    fn new(targets: &Targets) -> Self {
        let named = LISTED.iter().map(|target| (*target).to_owned()).chain(targets.iter().map(|(target, _)| target.to_owned()));
        let root = targets.default_level().and_then(LevelFilter::into_level).map_or(Level::Off, |level| level.as_str().parse().unwrap_or(Level::Info));
        let logger = |name: String, level| Logger { name, is: LoggerLevel { level, last_modified: None } };
        let mut levels: BTreeMap<_, _> = named.map(|target| (target.clone(), logger(target.clone(), Level::of(targets, &target)))).collect();
        levels.insert(String::new(), logger(ROOT.to_owned(), root));
        Self(levels)
    }

    fn targets(&self) -> Targets {
        let of_root = self.0.get("").map_or(LevelFilter::INFO, |root| root.is.level.filter());
        let others = self.0.iter().filter(|(target, _)| !target.is_empty());
        Targets::new().with_default(of_root).with_targets(others.map(|(target, logger)| (target.clone(), logger.is.level.filter())))
    }

    /// Sets a logger and all whose names begin with its name; the names of those that are different or new now, sorted.
    fn set(&mut self, name: &str, level: Level, now: i64) -> Vec<String> {
        let target = target(name);
        let java = JAVA.iter().find(|(java, _)| *java == target).map_or(&[][..], |(_, targets)| targets);
        let is = LoggerLevel { level, last_modified: Some(now) };
        let mut changed = Vec::new();
        for target in std::iter::once(target.as_str()).chain(java.iter().copied()) {
            if !self.0.contains_key(target) {
                let name = if java.contains(&target) { target } else { name };
                self.0.insert(target.to_owned(), Logger { name: name.to_owned(), is });
                changed.push(name.to_owned());
            }
            for (_, logger) in self.0.iter_mut().filter(|(other, logger)| other.starts_with(target) && logger.is.level != level) {
                logger.is = is;
                changed.push(logger.name.clone());
            }
        }
        changed.sort();
        changed
    }
}

/// The target that a logger's name means.
fn target(name: &str) -> String {
    if name.eq_ignore_ascii_case(ROOT) { String::new() } else { name.replace('.', "::") }
}

/// The process's loggers; cheap to clone.
#[derive(Clone)]
pub struct Loggers {
    levels: Arc<Mutex<Levels>>,
    acting: reload::Handle<Targets, Registry>,
}

impl fmt::Debug for Loggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loggers").field("levels", &self.levels).finish_non_exhaustive()
    }
}

impl Loggers {
    /// Loggers, and the layer of a subscriber that acts by them.
    #[must_use]
    pub fn new(filter: Filter) -> (Self, reload::Layer<Targets, Registry>) {
        let levels = Levels::new(&filter.targets());
        let (layer, acting) = reload::Layer::new(levels.targets());
        (Self { levels: Arc::new(Mutex::new(levels)), acting }, layer)
    }

    fn locked(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A logger's level; `None` when there is no such logger.
    #[must_use]
    pub fn level(&self, name: &str) -> Option<LoggerLevel> {
        self.locked().0.get(&target(name)).map(|logger| logger.is)
    }

    /// Every logger that is not off, by name.
    #[must_use]
    pub fn levels(&self) -> BTreeMap<String, LoggerLevel> {
        let levels = self.locked();
        levels.0.values().filter(|logger| logger.is.level != Level::Off).map(|logger| (logger.name.clone(), logger.is)).collect()
    }

    /// Sets the level of a logger and of all whose names begin with its name, at the time `now` in milliseconds since 1970. The names of those that have
    /// another level than before, or are new, sorted.
    pub fn set(&self, name: &str, level: Level, now: i64) -> Vec<String> {
        let mut levels = self.locked();
        let changed = levels.set(name, level, now);
        // An error means that the subscriber is gone, or never was: then there is nothing to log to.
        self.acting.reload(levels.targets()).ok();
        drop(levels);
        tracing::info!("the level of logger {} is {} now", name.escape_debug(), level.as_str());
        changed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn levels(filter: &str) -> Levels {
        Levels::new(&filter.parse::<Filter>().unwrap().targets())
    }

    fn shown(levels: &Levels, name: &str) -> Option<Level> {
        levels.0.get(&target(name)).map(|logger| logger.is.level)
    }

    #[test]
    fn levels_have_log4js_names() {
        for (text, level) in [("debug", Ok(Level::Debug)), ("WARN", Ok(Level::Warn)), ("Fatal", Ok(Level::Fatal)), ("LOUD", Err(())), ("", Err(()))] {
            assert_eq!(text.parse(), level, "{text:?}");
        }
        for level in Level::EVERY {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
    }

    #[test]
    fn the_first_levels_are_those_of_the_filter() {
        let levels = levels("lakehead::store=debug,hyper=error,warn");
        for (name, level) in [
            ("root", Some(Level::Warn)),
            ("ROOT", Some(Level::Warn)),
            ("lakehead", Some(Level::Warn)),
            ("lakehead::store", Some(Level::Debug)),
            ("lakehead.store", Some(Level::Debug)),
            ("hyper", Some(Level::Error)),
            ("com.nope.Zip", None),
        ] {
            assert_eq!(shown(&levels, name), level, "{name}");
        }
        for (filter, root) in [("lakehead=info", Level::Off), ("", Level::Info), (" warn , ", Level::Warn), ("lakehead=debug, error", Level::Error)] {
            assert_eq!(shown(&self::levels(filter), "root"), Some(root), "{filter:?}");
        }
        assert!("lakehead=loud".parse::<Filter>().is_err());
    }

    #[test]
    fn a_change_holds_for_all_whose_names_begin_with_the_given_one() {
        let mut levels = levels("info");
        assert_eq!(levels.set("com.nope.New", Level::Info, 1), ["com.nope.New"], "a new one is named even when its level is the root's");
        assert_eq!(levels.set("com.nope", Level::Warn, 2), ["com.nope", "com.nope.New"]);
        assert_eq!(levels.set("com.nope", Level::Warn, 3), Vec::<String>::new());
        assert_eq!(levels.set("lakehead.store", Level::Debug, 4), ["lakehead::store"]);
        assert_eq!(levels.0["com::nope"].is, LoggerLevel { level: Level::Warn, last_modified: Some(2) });
        let all = levels.set("root", Level::Error, 5);
        assert!(all.len() == levels.0.len() && all.contains(&"root".to_owned()), "{all:?}");
    }

    #[test]
    fn names_of_javas_loggers_mean_the_parts_that_do_their_work() {
        for (java, here) in JAVA {
            let mut levels = levels("info");
            let changed = levels.set(&java.replace("::", "."), Level::Trace, 1);
            assert!(changed.contains(&java.replace("::", ".")), "{changed:?}");
            for target in *here {
                assert_eq!(shown(&levels, target), Some(Level::Trace), "{java} {target}");
            }
        }
    }

    #[test]
    fn what_is_logged_changes_at_once() {
        let (loggers, layer) = Loggers::new("info".parse().unwrap());
        let seen = tempfile::NamedTempFile::new().unwrap();
        let file = Arc::new(seen.reopen().unwrap());
        let subscriber = tracing_subscriber::registry().with(layer).with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(file));
        tracing::subscriber::with_default(subscriber, || {
            for (name, level) in [("root", Level::Warn), ("lakehead.store", Level::Debug), ("lakehead.store", Level::Off)] {
                loggers.set(name, level, 1);
                tracing::debug!(target: "lakehead::store::s3", "store at {}", level.as_str());
                tracing::info!(target: "lakehead::rest", "rest at {}", level.as_str());
                tracing::warn!(target: "hyper", "hyper at {}", level.as_str());
            }
        });
        let text = std::fs::read_to_string(seen.path()).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.rsplit(": ").next().unwrap_or_default()).collect();
        assert_eq!(lines, ["hyper at WARN", "store at DEBUG", "hyper at DEBUG", "hyper at OFF"]);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_passes(changes in proptest::collection::vec(("(root|[ab]{1,3}(\\.[ab]{1,2}){0,2}|lakehead)", 0..8_usize), 0..8)) {
            let mut levels = levels("info");
            for (name, level) in changes {
                let level = Level::EVERY[level];
                levels.set(&name, level, 1);
                prop_assert_eq!(shown(&levels, &name), Some(level));
            }
            let targets = levels.targets();
            for (target, logger) in levels.0.iter().filter(|(target, _)| !target.is_empty()) {
                prop_assert_eq!(Level::of(&targets, target).filter(), logger.is.level.filter(), "{}", target);
            }
            prop_assert_eq!(Level::of(&targets, "com::nope").filter(), levels.0[""].is.level.filter());
        }
    }
}
