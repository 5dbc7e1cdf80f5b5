//! Which object each record goes to: the record groupers of `io.aiven.kafka.connect.common.grouper`.
//!
//! A template is a list of parts, and a name is their texts one after the other; keys and times of records are coded by partitioners, a column at a time. What
//! is left is to find the first record of each file. As upstream, `start_offset` is the offset of the first record since the last flush (or since a file was
//! full), also in the names of other hours' files.
//!
//! Guarantee: no two records get the same name unless they belong in one file; names depend on the records since [`Groups::clear`] and, with a wall-clock
//! timestamp or a date, on the clock. A name that no object can have makes the record a bad one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakehead_formats::column::Reject;

use super::template::{Grouper, Piece};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;
use crate::partition::{self, Partitioner, Paths};
use crate::store::objects::key_problem;

/// A part of a name.
#[derive(Debug)]
enum Part {
    Literal(String),
    Topic,
    Partition,
    PaddedPartition,
    Offset,
    PaddedOffset,
    Key,
    /// The next unit of the record's time.
    Time,
    /// The day on which the file begins.
    Date,
}

/// What parts are filled with. `time` has the units that the template asks for, in its order, with slashes between them.
struct Values<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    key: &'a str,
    time: &'a str,
    now: DateTime<Utc>,
}

/// How names are made; shared by all topic partitions of a task.
#[derive(Debug)]
pub(super) struct Names {
    grouper: Grouper,
    parts: Vec<Part>,
    keys: Option<Box<dyn Partitioner>>,
    times: Option<Box<dyn Partitioner>>,
    /// Records of a file; `None` = no limit.
    max_records: Option<u64>,
    /// The name is that of the first record, whatever the time of the others (`aws.s3.prefix`).
    is_fixed_by_first: bool,
}

fn part(piece: &Piece) -> Part {
    match piece {
        Piece::Text(text) => Part::Literal(text.clone()),
        Piece::Variable(name, _) => match (name.as_str(), piece.is_padded()) {
            ("topic", _) => Part::Topic,
            ("partition", false) => Part::Partition,
            ("partition", true) => Part::PaddedPartition,
            ("start_offset", false) => Part::Offset,
            ("start_offset", true) => Part::PaddedOffset,
            ("key", _) => Part::Key,
            ("timestamp", _) => Part::Time,
            ("utc_date" | "local_date", _) => Part::Date,
            (name, _) => Part::Literal(format!("{{{{{name}}}}}")), // validation has refused it
        },
    }
}

impl Names {
    /// Builds them. `source` is WALLCLOCK or EVENT.
    pub(super) fn new(pieces: &[Piece], grouper: Grouper, timezone: &str, source: &str, max_records: u64) -> Result<Self, Vec<ConfigError>> {
        let extractor = if source.eq_ignore_ascii_case("EVENT") { "Record" } else { "Wallclock" };
        let build = |template: &str| {
            let settings = [
                ("partitioner.class", "TemplatePartitioner"),
                ("lakehead.path.template", template),
                ("timezone", timezone),
                ("timestamp.extractor", extractor),
                ("lakehead.partition.field.null", "null"),
            ];
            partition::from_props(&settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Props>())
        };
        let parts: Vec<Part> = pieces.iter().map(part).collect();
        let keys = if parts.iter().any(|part| matches!(part, Part::Key)) { Some(build("{key}")?) } else { None };
        let timed = pieces.iter().zip(&parts).filter(|(_, part)| matches!(part, Part::Time));
        let units: Vec<&str> = timed.map(|(piece, _)| piece.unit().unwrap_or("yyyy")).collect();
        let times = if units.is_empty() { None } else { Some(build(&format!("{{time:{}}}", units.join("/")))?) };
        let max_records = Some(max_records).filter(|most| *most > 0 && !grouper.keeps_last());
        Ok(Self { grouper, parts, keys, times, max_records, is_fixed_by_first: false })
    }

    /// The same, with names that the first record of a file decides.
    pub(super) fn fixed_by_first(self) -> Self {
        Self { is_fixed_by_first: true, ..self }
    }

    /// True when a file holds the last record of its key, and nothing else.
    pub(super) fn keeps_last(&self) -> bool {
        self.grouper.keeps_last()
    }

    /// True when names depend on the clock.
    pub(super) fn is_wallclock(&self) -> bool {
        self.times.as_ref().is_some_and(|times| !times.is_deterministic()) || self.parts.iter().any(|part| matches!(part, Part::Date))
    }

    /// Why no object can have such names, whatever the records.
    pub(super) fn problem(&self) -> Option<String> {
        let values = Values { topic: "topic", partition: 0, offset: 0, key: "key", time: "2025/06/01/12", now: DateTime::UNIX_EPOCH };
        let name = self.name(values);
        key_problem(&name).map(|why| format!("an object cannot have such a name as '{}': {why}", name.escape_debug()))
    }

    fn name(&self, values: Values<'_>) -> String {
        Name { parts: &self.parts, values }.to_string()
    }
}

/// Parts, filled in.
struct Name<'a> {
    parts: &'a [Part],
    values: Values<'a>,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Values { topic, partition, offset, key, time, now } = &self.values;
        let mut units = time.split('/');
        for part in self.parts {
            match part {
                Part::Literal(text) => f.write_str(text),
                Part::Topic => f.write_str(topic),
                Part::Partition => write!(f, "{partition}"),
                Part::PaddedPartition => write!(f, "{partition:010}"),
                Part::Offset => write!(f, "{offset}"),
                Part::PaddedOffset => write!(f, "{offset:020}"),
                Part::Key => f.write_str(key),
                Part::Time => f.write_str(units.next().unwrap_or("")),
                Part::Date => write!(f, "{}", now.format("%Y-%m-%d")),
            }?;
        }
        Ok(())
    }
}

/// What a file begins with.
#[derive(Debug, Clone)]
struct Head {
    offset: i64,
    name: Arc<str>,
}

/// The files of one topic partition since the last flush.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By key; one without a key when keys do not matter.
    heads: HashMap<Option<Arc<str>>, Head>,
    /// Records by name, where their number is limited.
    rows: HashMap<Arc<str>, u64>,
}

/// The texts of a batch's rows: codes, and what they stand for.
struct Texts {
    keys: Option<Paths>,
    times: Option<Paths>,
}

impl Texts {
    fn of(names: &Names, batch: &Batch, now: DateTime<Utc>) -> Self {
        let paths = |partitioner: &Option<Box<dyn Partitioner>>| partitioner.as_ref().map(|partitioner| partitioner.paths(batch, now));
        Self { keys: paths(&names.keys), times: paths(&names.times) }
    }

    /// Codes of a row's key and time; `None` when it has none although it should.
    fn codes(&self, row: usize) -> Option<(u32, u32)> {
        let code = |paths: &Option<Paths>| paths.as_ref().map_or(Some(0), |paths| paths.codes.get(row).copied().filter(|code| *code != Paths::REJECTED));
        Some((code(&self.keys)?, code(&self.times)?))
    }

    fn text(paths: Option<&Paths>, code: u32) -> Option<&Arc<str>> {
        paths.and_then(|paths| paths.distinct.get(code as usize))
    }
}

/// The files that the rows of a batch go to.
#[derive(Default)]
struct Files {
    names: Vec<Arc<str>>,
    /// Records by file, with those of earlier batches.
    rows: Vec<u64>,
    by_name: HashMap<Arc<str>, u32>,
    /// By codes of key and time, and the first offset.
    by_head: HashMap<(u32, u32, i64), u32>,
}

impl Files {
    fn has_room(&self, code: u32, most: Option<u64>) -> bool {
        most.is_none_or(|most| self.rows.get(code as usize).is_some_and(|rows| *rows < most))
    }
}

impl Groups {
    /// Everything was written: the next records begin new files.
    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.rows.clear();
    }

    /// The object of each row, by its name. Rows that have none are rejects.
    pub(super) fn assign(&mut self, names: &Names, batch: &Batch, now: DateTime<Utc>) -> Paths {
        let texts = Texts::of(names, batch, now);
        let mut files = Files::default();
        let mut codes = vec![Paths::REJECTED; batch.len()];
        let mut last: Option<((u32, u32), u32)> = None;
        for (row, code_of_row) in codes.iter_mut().enumerate() {
            let Some(key_and_time) = texts.codes(row) else { continue };
            // a run of rows that go where the last one went
            let code = match last {
                Some((same, code)) if same == key_and_time && files.has_room(code, names.max_records) => code,
                _ => self.file(names, &mut files, &texts, key_and_time, (batch, batch.offsets.value(row), now)),
            };
            last = Some((key_and_time, code));
            if let Some(rows) = files.rows.get_mut(code as usize) {
                *rows += 1;
            }
            *code_of_row = code;
        }
        if names.max_records.is_some() {
            self.rows.extend(files.names.iter().cloned().zip(files.rows));
        }
        let Texts { keys, times } = texts;
        let mut rejects: Vec<Reject> = [keys, times].into_iter().flatten().flat_map(|paths| paths.rejects).collect();
        reject_bad_names(names, &files.names, &mut codes, &mut rejects);
        rejects.sort_by_key(|reject| reject.row);
        rejects.dedup_by_key(|reject| reject.row);
        Paths { codes, distinct: files.names, rejects, ..Paths::default() }
    }

    /// The file that a row goes to; a new one when the one there is full.
    fn file(&mut self, names: &Names, files: &mut Files, texts: &Texts, codes: (u32, u32), (batch, offset, now): (&Batch, i64, DateTime<Utc>)) -> u32 {
        let key = Texts::text(texts.keys.as_ref(), codes.0);
        let time = Texts::text(texts.times.as_ref(), codes.1).map_or("", |time| time);
        let name = |offset| -> Arc<str> {
            let key = key.map_or("", |key| key);
            Arc::from(names.name(Values { topic: &batch.topic, partition: batch.from.partition, offset, key, time, now }))
        };
        let most = names.max_records;
        if let Some(head) = self.heads.get(&key.cloned()) {
            let by_head = (codes.0, codes.1, head.offset);
            match files.by_head.get(&by_head) {
                Some(code) if files.has_room(*code, most) => return *code,
                Some(_) => {}
                None => {
                    let name = if names.is_fixed_by_first { Arc::clone(&head.name) } else { name(head.offset) };
                    let rows = files.by_name.get(&name).and_then(|code| files.rows.get(*code as usize)).or_else(|| self.rows.get(&name));
                    if most.is_none_or(|most| rows.is_some_and(|rows| *rows < most)) {
                        return self.code(files, by_head, name);
                    }
                }
            }
        }
        let name = name(offset);
        self.heads.insert(key.cloned(), Head { offset, name: Arc::clone(&name) });
        self.code(files, (codes.0, codes.1, offset), name)
    }

    fn code(&self, files: &mut Files, by_head: (u32, u32, i64), name: Arc<str>) -> u32 {
        let code = *files.by_name.entry(name).or_insert_with_key(|name| {
            files.names.push(Arc::clone(name));
            files.rows.push(self.rows.get(name).copied().unwrap_or(0));
            u32::try_from(files.names.len() - 1).unwrap_or(Paths::REJECTED)
        });
        files.by_head.insert(by_head, code);
        code
    }
}

/// Characters of a bad name that a message shows.
const SHOWN: usize = 200;

/// Takes the rows out whose names no object can have.
fn reject_bad_names(names: &Names, distinct: &[Arc<str>], codes: &mut [u32], rejects: &mut Vec<Reject>) {
    let reason = |name: &Arc<str>| {
        let why = key_problem(name)?;
        let mut shown: String = name.escape_debug().take(SHOWN).collect();
        if name.escape_debug().nth(SHOWN).is_some() {
            shown.push('…');
        }
        let what_to_do = match &names.keys {
            Some(_) => "change the record's key, leave {{key}} out of file.name.template, or let errors.tolerance=all leave such records out",
            None => "shorten file.name.template or its prefix",
        };
        Some(format!("object name '{shown}' cannot be written: {why}; {what_to_do}"))
    };
    let reasons: HashMap<u32, String> = (0_u32..).zip(distinct).filter_map(|(code, name)| Some((code, reason(name)?))).collect();
    if reasons.is_empty() {
        return;
    }
    for (row, code) in codes.iter_mut().enumerate() {
        if let Some(reason) = reasons.get(code) {
            rejects.push(Reject { row, reason: reason.clone() });
            *code = Paths::REJECTED;
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::{DataType, Field};
    use lakehead_formats::column::Column;
    use lakehead_formats::schema::json_text;
    use proptest::prelude::*;

    use super::super::template::{grouper, parse};
    use super::*;
    use crate::batch::{OffsetRange, TopicPartition};

    const HOUR: i64 = 3_600_000;

    fn names(template: &str, source: &str, max_records: u64) -> Names {
        let pieces = parse(template).unwrap();
        Names::new(&pieces, grouper(template, &pieces).unwrap(), "UTC", source, max_records).unwrap()
    }

    /// (offset, ms, key)
    fn batch(rows: &[(i64, i64, Option<&str>)]) -> Batch {
        let keys: Vec<Option<String>> = rows.iter().map(|row| row.2.map(|key| format!("\"{key}\""))).collect();
        let column = |name, texts: StringArray| Column::new(json_text(name), Arc::new(texts));
        Batch {
            from: TopicPartition::new("t", 0),
            span: OffsetRange { start: rows[0].0, end: rows[rows.len() - 1].0 + 1 },
            topic: "t".into(),
            offsets: Int64Array::from_iter_values(rows.iter().map(|row| row.0)),
            timestamps: TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1)),
            key: column("key", keys.into()),
            value: column("value", vec![Some("{}"); rows.len()].into()),
            headers: None,
        }
    }

    fn assigned(groups: &mut Groups, names: &Names, batch: &Batch) -> Vec<String> {
        let paths = groups.assign(names, batch, DateTime::from_timestamp_millis(5 * HOUR).unwrap());
        paths.codes.iter().map(|code| paths.distinct[*code as usize].to_string()).collect()
    }

    #[test]
    fn names_as_upstream() {
        let plain = "{{topic}}-{{partition}}-{{start_offset}}";
        let hourly = "{{timestamp:unit=yyyy}}/{{timestamp:unit=HH}}/{{topic}}-{{partition}}-{{start_offset}}";
        for (template, source, max, rows, wanted) in [
            (plain, "WALLCLOCK", 0, vec![(10, 0, None), (11, 0, None)], vec!["t-0-10", "t-0-10"]),
            (plain, "WALLCLOCK", 1, vec![(10, 0, None), (11, 0, None)], vec!["t-0-10", "t-0-11"]),
            (plain, "WALLCLOCK", 2, vec![(10, 0, None), (11, 0, None), (15, 0, None)], vec!["t-0-10", "t-0-10", "t-0-15"]),
            (
                "{{topic}}-{{partition:padding=true}}-{{start_offset:padding=true}}.gz",
                "WALLCLOCK",
                0,
                vec![(10, 0, None)],
                vec!["t-0000000000-00000000000000000010.gz"],
            ),
            (
                hourly,
                "EVENT",
                0,
                vec![(5, 12 * HOUR, None), (6, 13 * HOUR, None), (7, 12 * HOUR, None)],
                vec!["1970/12/t-0-5", "1970/13/t-0-5", "1970/12/t-0-5"],
            ),
            (hourly, "EVENT", 2, vec![(5, 12 * HOUR, None), (6, 13 * HOUR, None)], vec!["1970/12/t-0-5", "1970/13/t-0-6"]),
            (hourly, "WALLCLOCK", 0, vec![(5, 12 * HOUR, None)], vec!["1970/05/t-0-5"]),
            (
                "{{topic}}-{{partition}}-{{key}}-{{start_offset}}",
                "WALLCLOCK",
                0,
                vec![(1, 0, Some("a")), (2, 0, None), (3, 0, Some("a"))],
                vec!["t-0-a-1", "t-0-null-2", "t-0-a-1"],
            ),
            ("{{key}}", "WALLCLOCK", 0, vec![(1, 0, Some("a")), (2, 0, None), (3, 0, Some("a"))], vec!["a", "null", "a"]),
            ("x{y}/{{topic}}/{{key}}", "WALLCLOCK", 0, vec![(1, 0, Some("a/b"))], vec!["x{y}/t/a/b"]),
        ] {
            assert_eq!(assigned(&mut Groups::default(), &names(template, source, max), &batch(&rows)), wanted, "{template} {max}");
        }
    }

    #[test]
    fn files_go_on_until_they_are_flushed() {
        let names = names("{{topic}}-{{partition}}-{{start_offset}}", "WALLCLOCK", 0);
        let mut groups = Groups::default();
        assert_eq!(assigned(&mut groups, &names, &batch(&[(10, 0, None)])), ["t-0-10"]);
        assert_eq!(assigned(&mut groups, &names, &batch(&[(11, 0, None)])), ["t-0-10"]);
        groups.clear();
        assert_eq!(assigned(&mut groups, &names, &batch(&[(12, 0, None)])), ["t-0-12"]);
    }

    #[test]
    fn the_first_record_decides_where_a_prefix_is_set() {
        let text = "{{utc_date}}/{{timestamp:unit=HH}}/{{topic}}-{{partition}}-{{start_offset:padding=true}}";
        let names = Names::new(&parse(text).unwrap(), Grouper::TopicPartition, "UTC", "EVENT", 0).unwrap().fixed_by_first();
        let found = assigned(&mut Groups::default(), &names, &batch(&[(5, 12 * HOUR, None), (6, 13 * HOUR, None)]));
        assert_eq!(found, ["1970-01-01/12/t-0-00000000000000000005"; 2]);
    }

    #[test]
    fn a_file_that_is_open_at_midnight_keeps_its_name() {
        let text = "{{utc_date}}/{{timestamp:unit=HH}}/{{topic}}-{{partition}}-{{start_offset}}";
        let pieces = parse(text).unwrap();
        for (max, wanted) in [
            (0, ["1970-01-01/23/t-0-5", "1970-01-01/23/t-0-5", "1970-01-01/23/t-0-5"]),
            (2, ["1970-01-01/23/t-0-5", "1970-01-01/23/t-0-5", "1970-01-02/01/t-0-7"]),
        ] {
            let names = Names::new(&pieces, Grouper::TopicPartition, "UTC", "WALLCLOCK", max).unwrap().fixed_by_first();
            let mut groups = Groups::default();
            let found = [(5, 23), (6, 24), (7, 25)].map(|(offset, hour)| {
                let paths = groups.assign(&names, &batch(&[(offset, 0, None)]), DateTime::from_timestamp_millis(hour * HOUR).unwrap());
                paths.distinct[0].to_string()
            });
            assert_eq!(found, wanted, "file.max.records={max}");
        }
    }

    #[test]
    fn characters_of_keys_stand_for_themselves() {
        for (template, key, wanted) in [
            ("{{key}}", "{{topic}}", "{{topic}}"),
            ("{{key}}", "{partition}", "{partition}"),
            ("{{topic}}-{{partition}}-{{key}}-{{start_offset}}", "%s$1", "t-0-%s$1-7"),
            ("{{key}}/{{topic}}", "a/b", "a/b/t"),
        ] {
            assert_eq!(assigned(&mut Groups::default(), &names(template, "WALLCLOCK", 0), &batch(&[(7, 0, Some(key))])), [wanted], "{template}");
        }
    }

    /// Each record looks its file up: a search among all of the batch's files would take minutes here.
    #[test]
    fn as_many_files_as_records() {
        let rows: Vec<_> = (0..100_000).map(|offset| (offset, 0, None)).collect();
        let names = names("topics/some/long/prefix/{{topic}}-{{partition}}-{{start_offset:padding=true}}", "WALLCLOCK", 1);
        let paths = Groups::default().assign(&names, &batch(&rows), DateTime::UNIX_EPOCH);
        assert_eq!((paths.distinct.len(), paths.codes.last()), (100_000, Some(&99_999)));
    }

    #[test]
    fn keys_that_no_object_can_be_named_by_are_bad_records() {
        let long = "x".repeat(1025);
        for (key, why) in [
            ("a//b", "object name 'a//b' cannot be written: it has an empty segment between slashes; change the record's key"),
            ("a/", "it has an empty segment"),
            ("", "object name '' cannot be written: it is empty"),
            ("a/../b", "it has a segment '.' or '..'"),
            ("a\u{1}", "object name 'a\\u{1}' cannot be written: it has a control character"),
            ("a\u{4}b", "it has a control character"),
            (&long, "…' cannot be written: it is longer than 1024 bytes"),
        ] {
            let mut batch = batch(&[(1, 0, None), (2, 0, None), (3, 0, None)]);
            batch.key = Column::new(Arc::new(Field::new("key", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["a0", key, "a0"])));
            let paths = Groups::default().assign(&names("{{key}}", "WALLCLOCK", 0), &batch, DateTime::UNIX_EPOCH);
            assert_eq!(paths.codes, [0, Paths::REJECTED, 0], "{key:?}");
            assert_eq!(&*paths.distinct[0], "a0");
            assert!(paths.rejects.len() == 1 && paths.rejects[0].row == 1 && paths.rejects[0].reason.contains(why), "{:?}", paths.rejects);
        }
    }

    #[test]
    fn templates_that_name_no_object() {
        for (template, problem) in [
            ("/x/{{topic}}/{{key}}", Some("such a name as '/x/topic/key': it has an empty segment")),
            ("{{key}}/", Some("empty segment")),
            ("a//{{key}}", Some("empty segment")),
            ("../{{key}}", Some("segment '.' or '..'")),
            ("a\n{{key}}", Some("such a name as 'a\\nkey': it has a control character")),
            (".{{key}}./{{timestamp:unit=HH}}/{{topic}}-{{partition}}-{{start_offset}}", None),
        ] {
            let found = names(template, "WALLCLOCK", 0).problem();
            assert!(found.as_deref().is_some_and(|found| problem.is_some_and(|part| found.contains(part))) || (found, problem) == (None, None), "{template}");
        }
    }

    proptest! {
        #[test]
        fn names_do_not_depend_on_batches(
            rows in prop::collection::vec((1_i64..3, 0_i64..3, prop::option::of("[ab]")), 1..24),
            cut in 1_usize..8,
            max in 0_u64..4,
            template in prop::sample::select(vec![
                "{{timestamp:unit=HH}}/{{topic}}-{{partition}}-{{start_offset}}",
                "{{timestamp:unit=HH}}/{{topic}}-{{partition}}-{{key}}-{{start_offset}}",
            ]),
        ) {
            let mut offset = 0;
            let rows: Vec<_> = rows.iter().map(|(step, hour, key)| { offset += step; (offset, hour * HOUR, key.as_deref()) }).collect();
            let names = names(template, "EVENT", max);
            let whole = assigned(&mut Groups::default(), &names, &batch(&rows));
            let mut groups = Groups::default();
            let pieces: Vec<_> = rows.chunks(cut).flat_map(|rows| assigned(&mut groups, &names, &batch(rows))).collect();
            prop_assert_eq!(&pieces, &whole);
            for name in &whole {
                prop_assert!(max == 0 || whole.iter().filter(|other| *other == name).count() as u64 <= max);
            }
        }
    }
}
