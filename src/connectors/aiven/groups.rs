//! Which object each record goes to: the record groupers of `io.aiven.kafka.connect.common.grouper`.
//!
//! A template is translated for the `TemplatePartitioner`, with marks where the start offset and the padded partition go; what is left is to find the
//! first record of each file. As upstream, `start_offset` is the offset of the first record since the last flush (or since a file was full), also in the
//! names of other hours' files.
//!
//! Guarantee: no two records get the same name unless they belong in one file; names depend on the records since [`Groups::clear`] and, with a wall-clock
//! timestamp, on the clock.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::template::{Grouper, Piece};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;
use crate::partition::{self, Partitioner, Paths};

/// Where a file's first offset goes: characters that no template and no topic has.
const OFFSET: char = '\u{1}';
const PADDED_OFFSET: char = '\u{2}';
const PADDED_PARTITION: char = '\u{3}';
const DATE: char = '\u{4}';

/// How names are made; shared by all topic partitions of a task.
#[derive(Debug)]
pub(super) struct Names {
    grouper: Grouper,
    variants: Box<dyn Partitioner>,
    keys: Option<Box<dyn Partitioner>>,
    /// Records of a file; `None` = no limit.
    max_records: Option<u64>,
    /// The name is that of the first record, whatever the time of the others (`aws.s3.prefix`).
    is_fixed_by_first: bool,
}

/// The template as one of `TemplatePartitioner`.
fn translated(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.replace('{', "{{").replace('}', "}}"),
        Piece::Variable(name, _) => match (name.as_str(), piece.is_padded()) {
            ("start_offset", false) => OFFSET.to_string(),
            ("start_offset", true) => PADDED_OFFSET.to_string(),
            ("partition", true) => PADDED_PARTITION.to_string(),
            ("utc_date" | "local_date", _) => DATE.to_string(),
            ("timestamp", _) => format!("{{time:{}}}", piece.unit().unwrap_or("yyyy")),
            (name, _) => format!("{{{name}}}"),
        },
    };
    pieces.iter().map(text).collect()
}

impl Names {
    /// Builds them. `source` is WALLCLOCK or EVENT.
    pub(super) fn new(pieces: &[Piece], grouper: Grouper, timezone: &str, source: &str, max_records: u64) -> Result<Self, Vec<ConfigError>> {
        let extractor = if source.eq_ignore_ascii_case("EVENT") { "Record" } else { "Wallclock" };
        let build = |template: &str| {
            // a delimiter that no name has: nothing is cut off a name's ends
            let settings = [
                ("partitioner.class", "TemplatePartitioner"),
                ("lakehead.path.template", template),
                ("directory.delim", "\u{5}"),
                ("timezone", timezone),
                ("timestamp.extractor", extractor),
                ("lakehead.partition.field.null", "null"),
            ];
            partition::from_props(&settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Props>())
        };
        let keys = if grouper == Grouper::TopicPartitionKey { Some(build("{key}")?) } else { None };
        Ok(Self { grouper, variants: build(&translated(pieces))?, keys, max_records: Some(max_records).filter(|most| *most > 0), is_fixed_by_first: false })
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
        self.variants.is_time_based() && !self.variants.is_deterministic()
    }
}

/// What a file begins with.
#[derive(Debug, Clone)]
struct Head {
    offset: i64,
    variant: Arc<str>,
}

/// The files of one topic partition since the last flush.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By key; one without a key when keys do not matter.
    heads: HashMap<Option<Arc<str>>, Head>,
    /// Records by name.
    rows: HashMap<Arc<str>, u64>,
}

impl Groups {
    /// Everything was written: the next records begin new files.
    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.rows.clear();
    }

    /// The object of each row, by its name.
    pub(super) fn assign(&mut self, names: &Names, batch: &Batch, now: DateTime<Utc>) -> Paths {
        let mut paths = names.variants.paths(batch, now);
        let keys = names.keys.as_ref().map(|keys| keys.paths(batch, now));
        if names.keeps_last() {
            paths.distinct.iter_mut().for_each(|variant| *variant = Arc::from(fill(variant, 0, batch, now)));
            return paths;
        }
        let mut distinct: Vec<Arc<str>> = Vec::new();
        let mut known: HashMap<(u32, i64), u32> = HashMap::new();
        let mut last: Option<((u32, u32), u32)> = None;
        for row in 0..paths.codes.len() {
            let Some(&variant_code) = paths.codes.get(row).filter(|code| **code != Paths::REJECTED) else { continue };
            let key_code = keys.as_ref().and_then(|keys| keys.codes.get(row).copied()).unwrap_or(0);
            // a run of rows that go where the last one went, and nothing limits it
            let code = match last {
                Some((same, code)) if names.max_records.is_none() && same == (variant_code, key_code) => code,
                _ => {
                    let key = keys.as_ref().and_then(|keys| keys.distinct.get(key_code as usize).cloned());
                    let head = self.head(names, key, (batch.offsets.value(row), paths.distinct.get(variant_code as usize)), batch, now);
                    let code_of_variant = if names.is_fixed_by_first { 0 } else { variant_code };
                    *known.entry((code_of_variant, head.0)).or_insert_with(|| {
                        let at = distinct.iter().position(|name| *name == head.1).unwrap_or(distinct.len());
                        if at == distinct.len() {
                            distinct.push(Arc::clone(&head.1));
                        }
                        u32::try_from(at).unwrap_or(Paths::REJECTED)
                    })
                }
            };
            last = Some(((variant_code, key_code), code));
            if let Some(rows) = distinct.get(code as usize).and_then(|name| self.rows.get_mut(name)) {
                *rows += 1;
            }
            if let Some(of_row) = paths.codes.get_mut(row) {
                *of_row = code;
            }
        }
        paths.distinct = distinct;
        paths
    }

    /// First offset and name of the file that a row goes to; a new file when the one there is full.
    fn head(&mut self, names: &Names, key: Option<Arc<str>>, row: (i64, Option<&Arc<str>>), batch: &Batch, now: DateTime<Utc>) -> (i64, Arc<str>) {
        let (offset, variant) = (row.0, row.1.cloned().unwrap_or_default());
        let begin = || Head { offset, variant: Arc::clone(&variant) };
        let name_of = |head: &Head| -> Arc<str> {
            let variant = if names.is_fixed_by_first { &head.variant } else { &variant };
            Arc::from(fill(variant, head.offset, batch, now))
        };
        let head = self.heads.entry(key).or_insert_with(begin);
        let mut name = name_of(head);
        let is_full = |most| self.rows.get(&name).is_none_or(|rows| *rows >= most);
        if names.max_records.is_some_and(is_full) {
            *head = begin();
            name = name_of(head);
        }
        self.rows.entry(Arc::clone(&name)).or_insert(0);
        (head.offset, name)
    }
}

/// A name, from a variant with marks.
fn fill(variant: &str, offset: i64, batch: &Batch, now: DateTime<Utc>) -> String {
    let mut name = String::with_capacity(variant.len() + 20);
    for c in variant.chars() {
        match c {
            OFFSET => name.push_str(&offset.to_string()),
            PADDED_OFFSET => name.push_str(&format!("{offset:020}")),
            PADDED_PARTITION => name.push_str(&format!("{:010}", batch.from.partition)),
            DATE => name.push_str(&now.format("%Y-%m-%d").to_string()),
            c => name.push(c),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMillisecondArray};
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
            ("/x{y}/{{topic}}/{{key}}/", "WALLCLOCK", 0, vec![(1, 0, Some("a/b"))], vec!["/x{y}/t/a/b/"]),
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
