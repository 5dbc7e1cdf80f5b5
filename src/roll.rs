//! 5 roll: when open files end, and why.
//!
//! The rules are those of Confluent's `TopicPartitionWriter`: per topic partition there is one [`Group`] of open files (one file for each path), and
//! whatever ends one of them ends all of them. Before a row is written, the time rules are asked; after it, the row count.
//!
//! | rule | setting | ends the group |
//! |---|---|---|
//! | [`Reason::PathChange`] | `rotate.file.on.partition.change` | before a row whose path is not the last row's |
//! | [`Reason::RotateInterval`] | `rotate.interval.ms` | before a row whose time is that far past the first row's |
//! | [`Reason::Schedule`] | `rotate.schedule.interval.ms` | when the clock passes an instant aligned to local midnight; also when no rows come |
//! | [`Reason::FlushSize`] | `flush.size` | after that many rows |
//! | [`Reason::FileSize`] | `rotate.file.size.bytes` | when a file has that size (the caller asks [`Policy::full`]) |
//! | [`Reason::FileRows`], [`Reason::Age`] | of other sinks | after so many rows of one file; after so much time, also when no rows come |
//!
//! The first two act with time partitioners only, and only when `rotate.interval.ms` is set. Time is a value that is passed in; nothing here does I/O.
//!
//! Guarantee: for one `now`, boundaries do not depend on how rows are cut into batches.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use crate::calendar::Zone;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};
use crate::partition::Paths;

/// When groups end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Rows of a group; upstream's zero and negative sizes act as 1.
    pub flush_size: NonZeroU64,
    /// Span of record time of a group in ms; `None` without a time partitioner.
    pub rotate_interval_ms: Option<i64>,
    /// Whether a change of path ends the group; acts only when `rotate_interval_ms` does.
    pub on_path_change: bool,
    /// Rotation by the clock.
    pub schedule: Option<Schedule>,
    /// Size of a file in bytes.
    pub max_file_bytes: Option<NonZeroU64>,
    /// Rows of the longest file.
    pub max_file_rows: Option<NonZeroU64>,
    /// Time in ms that a group may be open, by the clock.
    pub max_age_ms: Option<i64>,
}

/// Instants at which groups end: every `period_ms` from local midnight on, and midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// At least 1.
    pub period_ms: i64,
    /// Whose midnight.
    pub zone: Zone,
}

impl Schedule {
    /// The first instant after `now`. Days of 23 and 25 hours are taken as they are; upstream's `DateTimeUtils.getNextTimeAdjustedByDay`.
    #[must_use]
    pub fn next_after(&self, now_ms: i64) -> i64 {
        let midnight = self.zone.start_of_day(now_ms);
        let day_ms = self.zone.next_day(midnight).saturating_sub(midnight);
        let periods = now_ms.saturating_sub(midnight) / self.period_ms.max(1) + 1;
        midnight.saturating_add(periods.saturating_mul(self.period_ms).min(day_ms))
    }
}

/// Why a group ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// `flush.size` rows.
    FlushSize,
    /// `rotate.interval.ms` of record time.
    RotateInterval,
    /// The next row goes to another path.
    PathChange,
    /// `rotate.schedule.interval.ms`.
    Schedule,
    /// `rotate.file.size.bytes`.
    FileSize,
    /// One of its files has as many rows as a file may have.
    FileRows,
    /// It has been open for as long as it may be.
    Age,
    /// The next rows have a schema that does not go into the file.
    SchemaChange,
    /// The next row goes to a path that has no file, and there are as many open ones as are allowed.
    OpenFiles,
    /// Memory ran out.
    Memory,
    /// A former owner of the topic partition has planned that it ends here.
    Planned,
    /// Records behind its last are not in the log any more, and its own may go next.
    Lost,
    /// What has to be committed with the offset would grow too long while it is open.
    Crowded,
}

impl Reason {
    /// The word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FlushSize => "flush-size",
            Self::RotateInterval => "rotate-interval",
            Self::PathChange => "path-change",
            Self::Schedule => "schedule",
            Self::FileSize => "file-size",
            Self::FileRows => "file-rows",
            Self::Age => "age",
            Self::SchemaChange => "schema-change",
            Self::OpenFiles => "open-files",
            Self::Memory => "memory",
            Self::Planned => "planned",
            Self::Lost => "lost",
            Self::Crowded => "crowded",
        }
    }
}

/// The open files of one topic partition, as far as rolling is concerned. A new group is `Group::default()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    rows: u64,
    base_ms: Option<i64>,
    last_path: Option<Arc<str>>,
    /// Whether the last row was a tombstone with a directory of its own.
    last_is_tombstone: bool,
    next_schedule_ms: Option<i64>,
    opened_ms: Option<i64>,
    /// Rows of each file, where they are limited.
    file_rows: BTreeMap<Arc<str>, u64>,
}

/// How far a group may take rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// This many leading rows of the range belong to the group; rejected rows among them are counted, but do not count.
    pub rows: usize,
    /// Why the group ends after them; `None` = it stays open, and `rows` is the whole range. With 0 rows the group ends first, and the range is tried again
    /// with a new one.
    pub then: Option<Reason>,
}

impl Group {
    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many leading rows of `range` may be written before the group must end, and why. `paths` covers the batch that `range` is in.
    #[must_use]
    pub fn fit(&self, policy: &Policy, paths: &Paths, range: Range<usize>, now_ms: i64) -> Fit {
        if let Some(reason) = self.due(policy, now_ms) {
            return Fit { rows: 0, then: Some(reason) };
        }
        let mut by_count = self.fit_count(policy, paths, range.clone());
        if let Some(most) = policy.max_file_rows {
            by_count = self.fit_file_rows(most, paths, range.start..range.start + by_count.rows).unwrap_or(by_count);
        }
        match policy.rotate_interval_ms {
            Some(interval_ms) => self.fit_time(policy, interval_ms, paths, range.start..range.start + by_count.rows).unwrap_or(by_count),
            None => by_count,
        }
    }

    /// `flush.size` alone.
    fn fit_count(&self, policy: &Policy, paths: &Paths, range: Range<usize>) -> Fit {
        let room = usize::try_from(policy.flush_size.get().saturating_sub(self.rows)).unwrap_or(usize::MAX);
        let all = Fit { rows: range.len(), then: None };
        if room > range.len() {
            return all;
        }
        if room == 0 || !paths.codes.get(range.clone()).unwrap_or(&[]).contains(&Paths::REJECTED) {
            return Fit { rows: room, then: Some(Reason::FlushSize) };
        }
        let codes = paths.codes.get(range).unwrap_or(&[]);
        let taken = codes.iter().enumerate().filter(|(_, code)| **code != Paths::REJECTED).map(|(row, _)| row + 1);
        taken.take(room).nth(room.saturating_sub(1)).map_or(all, |rows| Fit { rows, then: Some(Reason::FlushSize) })
    }

    /// The row with which a file has `most` rows.
    fn fit_file_rows(&self, most: NonZeroU64, paths: &Paths, range: Range<usize>) -> Option<Fit> {
        let mut counts: Vec<u64> = paths.distinct.iter().map(|path| self.file_rows.get(path).copied().unwrap_or(0)).collect();
        let is_full = |code: &u32| {
            let Some(count) = counts.get_mut(*code as usize) else { return false };
            *count += 1;
            *count >= most.get()
        };
        let row = paths.codes.get(range)?.iter().position(is_full)?;
        Some(Fit { rows: row + 1, then: Some(Reason::FileRows) })
    }

    /// `rotate.interval.ms` and the change of paths: the first row before which the group ends.
    fn fit_time(&self, policy: &Policy, interval_ms: i64, paths: &Paths, range: Range<usize>) -> Option<Fit> {
        let mut base = self.base_ms;
        let mut last = self.last_path.as_ref().map(|path| code_of(path, paths));
        let mut last_is_tombstone = self.last_is_tombstone;
        for row in range.clone() {
            let (Some(&code), Some(&time)) = (paths.codes.get(row), paths.timestamps.get(row)) else { break };
            let time = (time != Paths::NO_TIME).then_some(time);
            base = base.or(time);
            if code == Paths::REJECTED {
                continue;
            }
            let is_tombstone = paths.tombstones == Some(code);
            let ended = |reason| Some(Fit { rows: row - range.start, then: Some(reason) });
            if let Some(last) = last {
                // Tombstones come and go between the rows of any directory: that is no change of paths, on either side of them.
                if policy.on_path_change && last != code && !is_tombstone && !last_is_tombstone {
                    return ended(Reason::PathChange);
                }
                if base.zip(time).is_some_and(|(base, time)| time.saturating_sub(base) >= interval_ms) {
                    return ended(Reason::RotateInterval);
                }
            }
            last = Some(code);
            last_is_tombstone = is_tombstone;
        }
        None
    }

    /// These rows (a range that [`fit`](Self::fit) allowed) have been written.
    pub fn record(&mut self, policy: &Policy, paths: &Paths, range: Range<usize>, now_ms: i64) {
        let codes = paths.codes.get(range.clone()).unwrap_or(&[]);
        let is_taken = |code: &u32| *code != Paths::REJECTED;
        let taken = codes.iter().filter(|code| is_taken(code)).count();
        if self.base_ms.is_none() {
            // As upstream: the first time that was read is the base, be its row taken or not.
            let times = paths.timestamps.get(range).unwrap_or(&[]);
            self.base_ms = times.iter().find(|time| **time != Paths::NO_TIME).copied();
        }
        let Some(last) = codes.iter().rfind(|code| is_taken(code)) else { return };
        if self.rows == 0 {
            self.next_schedule_ms = policy.schedule.map(|schedule| schedule.next_after(now_ms));
            self.opened_ms = Some(now_ms);
        }
        self.rows += u64::try_from(taken).unwrap_or(u64::MAX);
        if policy.max_file_rows.is_some() {
            for path in codes.iter().filter_map(|code| paths.distinct.get(*code as usize)) {
                *self.file_rows.entry(Arc::clone(path)).or_default() += 1;
            }
        }
        if policy.rotate_interval_ms.is_some() {
            let path = paths.distinct.get(*last as usize);
            if self.last_path.as_ref() != path {
                self.last_path = path.cloned();
            }
            self.last_is_tombstone = paths.tombstones == Some(*last);
        }
    }

    /// Why the group ends although no rows came: asked when time passes. As upstream, only the schedule ends an idle group; an interval of record time
    /// does not pass while there are no records.
    #[must_use]
    pub fn due(&self, policy: &Policy, now_ms: i64) -> Option<Reason> {
        let has_passed = policy.schedule.is_some() && self.rows > 0 && self.next_schedule_ms.is_some_and(|next| now_ms >= next);
        let is_old = self.rows > 0 && policy.max_age_ms.zip(self.opened_ms).is_some_and(|(most, opened)| now_ms.saturating_sub(opened) >= most);
        has_passed.then_some(Reason::Schedule).or(is_old.then_some(Reason::Age))
    }
}

/// The code of a path in another batch; [`Paths::REJECTED`] when it is none of that batch's.
fn code_of(path: &Arc<str>, paths: &Paths) -> u32 {
    paths.distinct.iter().position(|known| known == path).and_then(|code| u32::try_from(code).ok()).unwrap_or(Paths::REJECTED)
}

impl Policy {
    /// Why a group ends whose largest file has this size: `rotate.file.size.bytes`.
    #[must_use]
    pub fn full(&self, largest_file_bytes: u64) -> Option<Reason> {
        self.max_file_bytes.is_some_and(|most| largest_file_bytes >= most.get()).then_some(Reason::FileSize)
    }

    /// The policy that a configuration asks for. `time_based` is the partitioner's.
    ///
    /// # Errors
    /// Every problem with the keys in [`KEYS`], and a schedule without `timezone`.
    pub fn from_props(props: &Props, time_based: bool) -> Result<Self, Vec<ConfigError>> {
        let mut errors = crate::connect::config::check(&[KEYS], props, |_| true).errors;
        let values = Values { tables: &[KEYS], props };
        let positive = |key| values.long(key).filter(|value| *value > 0);
        let schedule = positive("rotate.schedule.interval.ms").and_then(|period_ms| {
            let timezone = props.get("timezone").map_or("", |timezone| timezone.trim());
            if timezone.is_empty() {
                let message = "timezone configuration must be set when using rotate.schedule.interval.ms";
                errors.push(ConfigError::new("timezone", message));
                return None;
            }
            let zone = Zone::parse(timezone).map_err(|message| {
                let message = format!("Invalid value {timezone} for configuration timezone: {message}");
                errors.push(ConfigError::new("timezone", message));
            });
            zone.ok().map(|zone| Schedule { period_ms, zone })
        });
        let natural = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).and_then(NonZeroU64::new);
        let policy = Self {
            flush_size: natural(values.long("flush.size")).unwrap_or(NonZeroU64::MIN),
            rotate_interval_ms: positive("rotate.interval.ms").filter(|_| time_based),
            on_path_change: values.boolean("rotate.file.on.partition.change"),
            schedule,
            max_file_bytes: natural(values.long("rotate.file.size.bytes")),
            max_file_rows: None,
            max_age_ms: None,
        };
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }
}

/// The setting of `rotate.interval.ms` that does nothing, in words for a log; `None` when there is none.
#[must_use]
pub fn ignored_setting(props: &Props, time_based: bool) -> Option<String> {
    let interval = props.get("rotate.interval.ms").filter(|text| !time_based && text.trim().parse::<i64>().is_ok_and(|ms| ms > 0))?;
    Some(format!(
        "rotate.interval.ms={interval} is ignored: it acts with the time partitioners only (TimeBasedPartitioner, HourlyPartitioner, DailyPartitioner)"
    ))
}

/// The keys that say when files end.
pub static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "flush.size",
        kind: Type::Int,
        default: None,
        required: true,
        importance: Importance::High,
        group: "Connector",
        doc: "Records of one topic partition after which its open files end and become visible. Zero and less act as 1.",
        check: Check::Any,
    },
    optional(
        "rotate.interval.ms",
        Type::Long,
        "-1",
        Importance::High,
        "Span of record time in ms after which the open files of a topic partition end: before the first record that is this far past the files' first \
         one, by the timestamp extractor's time. Acts with time partitioners only. Off when it is not positive.",
    ),
    optional(
        "rotate.schedule.interval.ms",
        Type::Long,
        "-1",
        Importance::Medium,
        "Period of the clock in ms, counted from midnight in timezone, at whose ends open files end, also when no records come. Files then depend on when \
         records are read. Off when it is not positive.",
    ),
    optional(
        "rotate.file.on.partition.change",
        Type::Boolean,
        "true",
        Importance::Low,
        "Whether the open files end when a record goes to another directory than the one before it. Acts only when rotate.interval.ms does. false keeps a \
         file open for each directory, so that late records do not make small files.",
    ),
    optional(
        "rotate.file.size.bytes",
        Type::Long,
        "-1",
        Importance::Medium,
        "Size in bytes of the largest open file of a topic partition at which its files end; a file may pass it by a row group. Files then depend on when \
         row groups are written. Off when it is not positive. (Not a key of Confluent's sinks.)",
    ),
];

const fn optional(name: &'static str, kind: Type, default: &'static str, importance: Importance, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default: Some(default), required: false, importance, group: "Connector", doc, check: Check::Any }
}

#[cfg(test)]
mod tests;
