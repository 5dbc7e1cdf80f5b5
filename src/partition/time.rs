//! `TimeBasedPartitioner`, `HourlyPartitioner`, `DailyPartitioner`: the time of a row, cut down to a duration and printed by a pattern.
//!
//! A bucket is cut in local time and toward zero, so that buckets before 1970 round up, and printed in the same zone; duration and pattern are
//! independent, all as upstream's `TimeBasedPartitioner.getPartition`. A path is computed once for a range of time in which it cannot change
//! ([`Span`]); rows in a range that was seen a moment ago cost two comparisons.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use chrono::{DateTime, Utc};
use lakehead_formats::column::Reject;

use super::extractor::{Extractor, Times};
use super::{Partitioner, Paths, directory_delim, invalid, values};
use crate::batch::Batch;
use crate::calendar::pattern::Pattern;
use crate::calendar::{DAY_MS, Zone};
use crate::connect::Props;
use crate::connect::config::ConfigError;

/// Paths by time.
#[derive(Debug)]
struct ByTime {
    extractor: Extractor,
    clock: Clock,
}

/// How an instant becomes text.
#[derive(Debug)]
pub(super) struct Clock {
    /// Length of the buckets that times are cut down to, in ms; `None` prints the times themselves.
    pub(super) duration_ms: Option<i64>,
    pub(super) pattern: Pattern,
    pub(super) zone: Zone,
}

/// Builds `TimeBasedPartitioner`.
pub(super) fn build_time_based(props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let values = values(props);
    let mut errors = Vec::new();
    let duration_ms = values.long("partition.duration.ms").unwrap_or(-1);
    if duration_ms <= 0 {
        errors.push(invalid("partition.duration.ms", values.text("partition.duration.ms"), "Partition duration needs to be a positive."));
    }
    let delim = directory_delim(props);
    let text = values.text("path.format");
    if text.is_empty() || text == delim {
        errors.push(invalid("path.format", text, "Path format cannot be empty."));
    }
    let text = if delim.is_empty() { text } else { text.strip_suffix(delim).unwrap_or(text) };
    build(props, duration_ms, text, errors)
}

/// Builds `HourlyPartitioner`.
pub(super) fn build_hourly(props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let delim = directory_delim(props);
    build(props, 3_600_000, &format!("'year'=YYYY{delim}'month'=MM{delim}'day'=dd{delim}'hour'=HH"), Vec::new())
}

/// Builds `DailyPartitioner`.
pub(super) fn build_daily(props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let delim = directory_delim(props);
    build(props, DAY_MS, &format!("'year'=YYYY{delim}'month'=MM{delim}'day'=dd"), Vec::new())
}

/// What the three have in common.
fn build(props: &Props, duration_ms: i64, path_format: &str, mut errors: Vec<ConfigError>) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let values = values(props);
    let locale = values.text("locale");
    if locale.is_empty() {
        errors.push(invalid("locale", locale, "Locale cannot be empty."));
    }
    let timezone = values.text("timezone");
    let zone = if timezone.is_empty() { Err("Timezone cannot be empty.".to_owned()) } else { Zone::parse(timezone) };
    let zone = zone.map_err(|message| errors.push(invalid("timezone", timezone, &message)));
    let extractor = Extractor::new(values.text("timestamp.extractor"), values.text("timestamp.field")).map_err(|error| errors.push(error));
    let pattern = if path_format.is_empty() { Err(()) } else { pattern_of(path_format, locale).map_err(|error| errors.push(error)) };
    match (extractor, pattern, zone) {
        (Ok(extractor), Ok(pattern), Ok(zone)) if errors.is_empty() => {
            let clock = Clock { duration_ms: Some(duration_ms), pattern, zone };
            Ok(Box::new(ByTime { extractor, clock }))
        }
        _ => Err(errors),
    }
}

pub(super) fn pattern_of(path_format: &str, locale: &str) -> Result<Pattern, ConfigError> {
    let locale = if locale.is_empty() { "en" } else { locale };
    Pattern::joda(path_format, locale).map_err(|message| invalid("path.format", path_format, &message))
}

impl Partitioner for ByTime {
    fn paths(&self, batch: &Batch, now: DateTime<Utc>) -> Paths {
        self.clock.print(self.extractor.extract(batch, now.timestamp_millis()))
    }

    fn is_deterministic(&self) -> bool {
        !self.extractor.is_wallclock()
    }

    fn is_time_based(&self) -> bool {
        true
    }
}

impl Clock {
    /// The text of each row's time, as paths.
    pub(super) fn print(&self, times: Times) -> Paths {
        let Times { values, rejects } = times;
        let mut printer = Printer::new(self, values.len());
        let mut next = 0;
        for reject in rejects {
            printer.rows(&values, next..reject.row);
            next = reject.row + 1;
            printer.reject(reject);
        }
        printer.rows(&values, next..values.len());
        printer.paths.timestamps = values;
        printer.paths
    }
}

/// Times `[from, to)` that share a path.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
    code: u32,
}

impl Span {
    fn has(&self, time: i64) -> bool {
        self.from <= time && time < self.to
    }
}

/// How many spans are remembered: late and early rows that take turns stay cheap.
const RECENT: usize = 4;

/// Prints the paths of one batch.
struct Printer<'a> {
    by: &'a Clock,
    paths: Paths,
    recent: [Span; RECENT],
    oldest: usize,
    /// Bucket → code.
    buckets: HashMap<i64, u32, RandomState>,
    /// Path → code: several buckets may print the same.
    known: HashMap<Arc<str>, u32, RandomState>,
    text: String,
}

impl<'a> Printer<'a> {
    fn new(by: &'a Clock, rows: usize) -> Self {
        Self {
            by,
            paths: Paths { codes: Vec::with_capacity(rows), ..Paths::default() },
            recent: [Span { from: 0, to: 0, code: 0 }; RECENT],
            oldest: 0,
            buckets: HashMap::default(),
            known: HashMap::default(),
            text: String::new(),
        }
    }

    fn reject(&mut self, reject: Reject) {
        self.paths.codes.push(Paths::REJECTED);
        self.paths.rejects.push(reject);
    }

    /// Codes rows whose times are known to be there.
    fn rows(&mut self, times: &[i64], range: std::ops::Range<usize>) {
        let mut span = self.recent[0];
        for (row, &time) in range.clone().zip(times.get(range).unwrap_or(&[])) {
            if !span.has(time) {
                match self.span_of(time) {
                    Some(found) => span = found,
                    None => {
                        self.reject(Reject { row, reason: format!("Error encoding partition: timestamp {time} ms is out of range") });
                        continue;
                    }
                }
            }
            self.paths.codes.push(span.code);
        }
    }

    /// The span of a time; `None` when its local time is beyond 64 bits.
    fn span_of(&mut self, time: i64) -> Option<Span> {
        if let Some(span) = self.recent.iter().find(|span| span.has(time)) {
            return Some(*span);
        }
        time.checked_add(self.by.zone.offset_ms(time))?;
        let (bucket, from, to) = self.by.bucket(time);
        let code = match self.buckets.get(&bucket) {
            Some(code) => *code,
            None => {
                let code = self.print(bucket)?;
                self.buckets.insert(bucket, code);
                code
            }
        };
        let span = Span { from, to, code };
        self.recent[self.oldest] = span;
        self.oldest = (self.oldest + 1) % RECENT;
        Some(span)
    }

    /// The code of a bucket's path.
    fn print(&mut self, bucket: i64) -> Option<u32> {
        self.text.clear();
        self.by.pattern.push(bucket, self.by.zone, &mut self.text)?;
        if let Some(code) = self.known.get(self.text.as_str()) {
            return Some(*code);
        }
        let path: Arc<str> = Arc::from(self.text.as_str());
        let code = u32::try_from(self.paths.distinct.len()).ok()?;
        self.paths.distinct.push(Arc::clone(&path));
        self.known.insert(path, code);
        Some(code)
    }
}

impl Clock {
    /// The instant that is printed for a time, and times around it for which the same is printed.
    fn bucket(&self, time: i64) -> (i64, i64, i64) {
        const WINDOW_MS: i64 = 6 * 3_600_000;
        let offset = self.zone.offset_ms(time);
        let local = time.saturating_add(offset);
        let (first, last) = match self.duration_ms {
            Some(duration) => cut_toward_zero(local, duration),
            None => {
                let length = self.pattern.granularity_ms();
                let first = local.div_euclid(length).saturating_mul(length);
                (first, first.saturating_add(length - 1))
            }
        };
        let (mut from, mut to) = (first.saturating_sub(offset), last.saturating_sub(offset).saturating_add(1));
        if let Zone::Named(_) = self.zone {
            // no zone changes its clock twice in six hours: equal offsets at both ends are the offset in between
            let window = time.div_euclid(WINDOW_MS).saturating_mul(WINDOW_MS);
            (from, to) = (from.max(window), to.min(window.saturating_add(WINDOW_MS)));
            if self.zone.offset_ms(from) != offset || self.zone.offset_ms(to.saturating_sub(1)) != offset {
                (from, to) = (time, time.saturating_add(1));
            }
        }
        let printed = self.duration_ms.map_or(from, |duration| self.zone.to_utc(local / duration * duration));
        (printed, from, to)
    }
}

/// The first and the last time that are cut down to the same multiple of a duration as `local`; bucket 0 reaches to both sides.
fn cut_toward_zero(local: i64, duration: i64) -> (i64, i64) {
    let number = local / duration;
    let bucket = number * duration;
    let first = if number > 0 { bucket } else { bucket.saturating_sub(duration - 1) };
    let last = if number < 0 { bucket } else { bucket.saturating_add(duration - 1) };
    (first, last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{batch_of, json_column, path_of_rows};
    use super::super::{find, from_props};
    use super::*;
    use crate::calendar::iso::parse_date_time;

    fn props(settings: &[(&str, &str)]) -> Props {
        [("locale", "en"), ("timezone", "UTC"), ("timestamp.extractor", "Record")]
            .iter()
            .chain(settings)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn paths(class: &str, settings: &[(&str, &str)], times: &[i64]) -> Vec<String> {
        let partitioner = (find(class).unwrap().build)(&props(settings)).unwrap();
        let times: Vec<_> = times.iter().copied().map(Some).collect();
        let batch = batch_of(&json_column(&vec![None; times.len()]), &times);
        path_of_rows(&partitioner.paths(&batch, DateTime::UNIX_EPOCH)).into_iter().map(Result::unwrap).collect()
    }

    fn at(text: &str) -> i64 {
        parse_date_time(text).unwrap()
    }

    #[test]
    fn paths_as_upstream() {
        let slashes = "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH";
        let time_based = |zone, duration, format| [("timezone", zone), ("partition.duration.ms", duration), ("path.format", format)];
        for (class, settings, time, path) in [
            ("HourlyPartitioner", vec![("timezone", "America/Los_Angeles")], 1_488_477_600_000, "year=2017/month=03/day=02/hour=10"),
            ("DailyPartitioner", vec![("timezone", "America/Los_Angeles")], 1_488_477_600_000, "year=2017/month=03/day=02"),
            ("HourlyPartitioner", vec![("directory.delim", "_")], 0, "year=1970_month=01_day=01_hour=00"),
            ("HourlyPartitioner", vec![("timezone", "America/Santiago")], 1_715_224_653_000, "year=2024/month=05/day=08/hour=23"),
            ("HourlyPartitioner", vec![("timezone", "America/Santiago")], 1_706_411_853_000, "year=2024/month=01/day=28/hour=00"),
            ("HourlyPartitioner", vec![], -1, "year=1970/month=01/day=01/hour=00"),
            ("HourlyPartitioner", vec![], -3_600_001, "year=1969/month=12/day=31/hour=23"),
            ("TimeBasedPartitioner", time_based("UTC", "86400000", slashes).to_vec(), 1_748_779_200_000, "year=2025/month=06/day=01/hour=00"),
            ("TimeBasedPartitioner", time_based("UTC", "900000", "'d'=YYYY-MM-dd/'t'=HHmm").to_vec(), 1_748_780_999_999, "d=2025-06-01/t=1215"),
            ("TimeBasedPartitioner", time_based("Asia/Kolkata", "3600000", "YYYY-MM-dd-HH-mm").to_vec(), 1_748_781_900_000, "2025-06-01-18-00"),
            (
                "TimeBasedPartitioner",
                time_based("America/Los_Angeles", "7200000", "'year'=YYYY/'month'=M/'day'=d/'hour'=H/").to_vec(),
                1_427_961_600_000,
                "year=2015/month=4/day=2/hour=0",
            ),
        ] {
            assert_eq!(paths(class, &settings, &[time]), [path], "{class} {settings:?} {time}");
        }
    }

    #[test]
    fn an_hour_that_the_clock_shows_twice_is_one_directory() {
        let found = paths("HourlyPartitioner", &[("timezone", "America/Los_Angeles")], &[1_446_366_600_000, 1_446_370_200_000]);
        assert_eq!(found, ["year=2015/month=11/day=01/hour=01"; 2]);
    }

    #[test]
    fn wallclock_is_the_time_of_the_batch() {
        let partitioner = (find("HourlyPartitioner").unwrap().build)(&props(&[("timestamp.extractor", "Wallclock")])).unwrap();
        assert!(!partitioner.is_deterministic() && partitioner.is_time_based());
        let now = DateTime::from_timestamp_millis(1_748_782_799_000).unwrap();
        let found = partitioner.paths(&batch_of(&json_column(&[None, None]), &[None, Some(1)]), now);
        assert_eq!((found.codes.as_slice(), &*found.distinct[0]), ([0, 0].as_slice(), "year=2025/month=06/day=01/hour=12"));
        assert_eq!(found.timestamps, [1_748_782_799_000; 2]);
    }

    #[test]
    fn rows_without_a_path_leave_their_neighbours_alone() {
        let partitioner = (find("DailyPartitioner").unwrap().build)(&props(&[("timezone", "+01:00")])).unwrap();
        let batch = batch_of(&json_column(&[None; 4]), &[None, Some(0), Some(i64::MAX), Some(86_400_000)]);
        let found = partitioner.paths(&batch, DateTime::UNIX_EPOCH);
        assert_eq!(found.codes, [Paths::REJECTED, 0, Paths::REJECTED, 1]);
        assert_eq!(found.rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(found.distinct.len(), 2);
        assert!(found.rejects[1].reason.contains(&i64::MAX.to_string()));
    }

    #[test]
    fn what_is_missing_is_reported_together() {
        let class = ("partitioner.class", "TimeBasedPartitioner");
        let keys = |settings: &[(&str, &str)]| {
            let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let mut errors = from_props(&props).unwrap_err();
            errors.sort_by(|a, b| a.key.cmp(&b.key));
            errors.into_iter().map(|error| (error.key, error.message)).collect::<Vec<_>>()
        };
        let found = keys(&[class]);
        let wanted = [
            ("locale", "Locale cannot be empty."),
            ("partition.duration.ms", "Partition duration needs to be a positive."),
            ("path.format", "Path format cannot be empty."),
            ("timezone", "Timezone cannot be empty."),
        ];
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for ((key, message), (wanted_key, part)) in found.iter().zip(wanted) {
            assert!(key == wanted_key && message.ends_with(part), "{key}: {message}");
        }
        for (key, value, part) in [
            ("timezone", "Mars/Base", "'Mars/Base' is not recognised"),
            ("path.format", "YYYY/foo", "Illegal pattern component: f"),
            ("path.format", "/", "Path format cannot be empty."),
            ("partition.duration.ms", "0", "Invalid value 0 for configuration partition.duration.ms"),
            ("timestamp.extractor", "Future", "Invalid timestamp extractor: Future"),
        ] {
            let good = [class, ("locale", "en"), ("timezone", "UTC"), ("path.format", "YYYY"), ("partition.duration.ms", "3600000")];
            let found = keys(&good.into_iter().filter(|(name, _)| *name != key).chain([(key, value)]).collect::<Vec<_>>());
            assert!(found.len() == 1 && found[0].0 == key && found[0].1.contains(part), "{key}={value}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_does_not_depend_on_the_rows_around_it(
            zone in prop::sample::select(vec!["UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "+05:45"]),
            duration in prop::sample::select(vec![900_000_i64, 3_600_000, 7_200_000, DAY_MS, 7 * DAY_MS]),
            times in prop::collection::vec(
                (prop::sample::select(vec!["1970-01-01T00:00Z", "2025-03-09T10:00Z", "2025-03-30T01:00Z", "2025-04-05T15:00Z", "2025-11-02T09:00Z"]),
                 -100_000_000_i64..100_000_000).prop_map(|(near, ms)| at(near) + ms), 1..40),
        ) {
            let by = ByTime {
                extractor: Extractor::Record,
                clock: Clock { duration_ms: Some(duration), pattern: Pattern::joda("YYYY-MM-dd'T'HH:mm", "en").unwrap(), zone: Zone::parse(zone).unwrap() },
            };
            let clock = &by.clock;
            let found = path_of_rows(&by.paths(&batch_of(&json_column(&vec![None; times.len()]), &times.iter().copied().map(Some).collect::<Vec<_>>()), DateTime::UNIX_EPOCH));
            for (time, path) in times.iter().zip(found) {
                let local = time + clock.zone.offset_ms(*time);
                let mut wanted = String::new();
                clock.pattern.push(clock.zone.to_utc(local / duration * duration), clock.zone, &mut wanted).unwrap();
                prop_assert_eq!(path, Ok(wanted), "{} in {}", time, zone);
            }
        }
    }
}
