//! What `lakehead verify` says: a line for each topic partition, its problems below it; or the same as JSON.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// Ranges of one problem that are shown.
const MOST_RANGES: usize = 8;

/// Problems of one topic partition that are kept.
const MOST_PROBLEMS: usize = 1000;

/// Problems of one topic partition that are shown.
const MOST_SHOWN: usize = 50;

/// Names of objects that are shown where there are many.
const MOST_NAMES: usize = 20;

/// What is known in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every offset is there exactly once.
    Proven,
    /// Nothing is known to be wrong, and something is not known.
    Unprovable,
    /// Some offset is missing, or there more than once, or a file contradicts itself.
    Violated,
}

impl Verdict {
    /// Exit code of the process.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Proven => 0,
            Self::Violated => 1,
            Self::Unprovable => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Proven => "proven",
            Self::Unprovable => "NOT PROVABLE",
            Self::Violated => "VIOLATED",
        })
    }
}

/// What is wrong, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Offsets that no file holds.
    Missing,
    /// Offsets that are in more than one row.
    Doubled,
    /// A file that contradicts itself, or cannot be read.
    Broken,
    /// Keys or headers without the file that they belong to.
    Alone,
    /// Files past the committed offset that no plan of the group names.
    Unplanned,
    /// What cannot be told, and why.
    Unclear,
    /// Offsets that are left out, which was allowed.
    Allowed,
}

impl Kind {
    fn verdict(self) -> Verdict {
        match self {
            Self::Missing | Self::Doubled | Self::Broken | Self::Alone | Self::Unplanned => Verdict::Violated,
            Self::Unclear => Verdict::Unprovable,
            Self::Allowed => Verdict::Proven,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Broken => "broken",
            Self::Alone => "alone",
            Self::Unplanned => "unplanned",
            Self::Unclear => "unclear",
            Self::Allowed => "left out",
        }
    }
}

/// One problem of a topic partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// How many offsets, where that is known.
    pub offsets: Option<u64>,
    /// Where: ranges of offsets, the end exclusive; the first of them if there are many.
    pub ranges: Vec<(i64, i64)>,
    /// The objects that it is about; the first of them if there are many.
    pub files: Vec<String>,
    /// What else there is to say.
    pub why: String,
}

impl Problem {
    pub(super) fn of_files(kind: Kind, files: Vec<String>, why: impl Into<String>) -> Self {
        Self { kind, offsets: None, ranges: Vec::new(), files, why: why.into() }
    }

    pub(super) fn of_range(kind: Kind, offsets: u64, range: (i64, i64), files: Vec<String>, why: impl Into<String>) -> Self {
        Self { kind, offsets: Some(offsets), ranges: vec![range], files, why: why.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, offsets, ranges, files, why } = self;
        write!(f, "    {:<9}", kind.word())?;
        if let Some(offsets) = offsets {
            write!(f, " {} {}", grouped(*offsets), if *offsets == 1 { "offset" } else { "offsets" })?;
        }
        if !ranges.is_empty() {
            let shown: Vec<_> = ranges.iter().take(MOST_RANGES).map(|(start, end)| format!("{start}..{end}")).collect();
            let more = if ranges.len() > MOST_RANGES { ", ..." } else { "" };
            write!(f, " ({}{more})", shown.join(", "))?;
        }
        if !why.is_empty() {
            write!(f, "{}{why}", if offsets.is_some() { ": " } else { " " })?;
        }
        let more = files.len().saturating_sub(MOST_NAMES);
        files.iter().take(MOST_NAMES).try_for_each(|file| write!(f, "\n              {file}"))?;
        if more > 0 { write!(f, "\n              and {} more", grouped(more as u64)) } else { Ok(()) }
    }
}

/// One topic partition, of one connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// The connector that wrote the files; empty where they do not say.
    pub connector: String,
    /// The topic that the records come from.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// What is known in the end.
    pub verdict: Verdict,
    /// Files with rows.
    pub files: u64,
    /// Files with keys or headers beside them.
    pub companions: u64,
    /// Rows of the files.
    pub rows: u64,
    /// Smallest offset of the files.
    pub start: Option<i64>,
    /// Greatest offset of the files, plus one.
    pub end: Option<i64>,
    /// Files whose offsets are taken from their name and the count of their rows.
    pub assumed_files: u64,
    /// Offsets that the log itself does not have.
    pub log_gaps: u64,
    /// The offset that the group has committed, if it was asked for.
    pub committed: Option<i64>,
    /// Files with rows at or past the committed offset.
    pub files_beyond: u64,
    /// What is wrong, or not known; a thousand of them at most.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more_problems: u64,
}

impl PartitionReport {
    pub(super) fn add(&mut self, problem: Problem) {
        self.verdict = self.verdict.max(problem.kind.verdict());
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more_problems += 1;
        }
    }

    fn line(&self, width: usize) -> String {
        let span = self.start.zip(self.end).map_or_else(|| "-".to_owned(), |(start, end)| format!("{start}..{end}"));
        let name = format!("{}-{}", self.topic, self.partition);
        let mut line = format!("  {name:<width$}  {:<12}  {:>9} files  {:>15} rows  {span}", self.verdict, grouped(self.files), grouped(self.rows));
        // Writing to a text cannot fail.
        if let Some(committed) = self.committed {
            write!(line, ", committed {committed}").ok();
        }
        if self.files_beyond > 0 {
            write!(line, ", {} files past it", grouped(self.files_beyond)).ok();
        }
        if self.log_gaps > 0 {
            write!(line, ", {} offsets that the log does not have", grouped(self.log_gaps)).ok();
        }
        if self.assumed_files > 0 {
            write!(line, ", {} files by name and count of rows", grouped(self.assumed_files)).ok();
        }
        line
    }
}

/// Everything below a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where.
    pub place: String,
    /// The worst of the topic partitions.
    pub verdict: Verdict,
    /// Topic partitions, in order.
    pub partitions: Vec<PartitionReport>,
    /// Objects that are of no topic partition.
    pub foreign_objects: u64,
    /// Their names; the first thousand.
    pub foreign: Vec<String>,
    /// Objects of topics or connectors that were not asked for.
    pub out_of_scope: u64,
    /// Objects in all.
    pub objects: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Report {
    fn count(&self, verdict: Verdict) -> usize {
        self.partitions.iter().filter(|partition| partition.verdict == verdict).count()
    }

    /// One sentence.
    #[must_use]
    pub fn conclusion(&self) -> String {
        if self.partitions.is_empty() {
            return format!("{}: there is no file of a topic partition", self.place);
        }
        let (all, proven) = (self.partitions.len(), self.count(Verdict::Proven));
        match (self.count(Verdict::Violated), self.count(Verdict::Unprovable)) {
            (0, 0) => format!("{all} of {all} topic partitions hold each offset exactly once"),
            (violated, unclear) => format!("topic partitions: {all}, proven {proven}, violated {violated}, not provable {unclear}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.partitions.iter().map(|partition| partition.topic.len() + 4).max().unwrap_or(0);
        let mut connector = None;
        writeln!(f, "{}", self.place)?;
        for partition in &self.partitions {
            if connector != Some(&partition.connector) {
                connector = Some(&partition.connector);
                let name = if partition.connector.is_empty() { "of an unknown connector" } else { &partition.connector };
                writeln!(f, "\n{name}")?;
            }
            writeln!(f, "{}", partition.line(width))?;
            partition.problems.iter().take(MOST_SHOWN).try_for_each(|problem| writeln!(f, "{problem}"))?;
            let more = partition.problems.len().saturating_sub(MOST_SHOWN) as u64 + partition.more_problems;
            if more > 0 {
                writeln!(f, "    and {} more problems (--json names a thousand)", grouped(more))?;
            }
        }
        if self.foreign_objects > 0 {
            writeln!(f, "\n{} objects are of no topic partition:", grouped(self.foreign_objects))?;
            self.foreign.iter().take(MOST_NAMES).try_for_each(|key| writeln!(f, "  {key}"))?;
            if self.foreign_objects > MOST_NAMES as u64 {
                writeln!(f, "  and {} more (--json names a thousand)", grouped(self.foreign_objects - MOST_NAMES as u64))?;
            }
        }
        if self.out_of_scope > 0 {
            writeln!(f, "\n{} objects of other topics or connectors were left out, as asked", grouped(self.out_of_scope))?;
        }
        writeln!(f, "\n{} objects, {} bytes: {}", grouped(self.objects), grouped(self.bytes), self.conclusion())
    }
}

/// `1234567` → `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_line_by_line() {
        let partition = |partition, problems: Vec<Problem>| {
            let mut report = PartitionReport {
                connector: "sink".to_owned(),
                topic: "orders".to_owned(),
                partition,
                verdict: Verdict::Proven,
                files: 1200,
                companions: 0,
                rows: 1_234_567,
                start: Some(0),
                end: Some(1_234_569),
                assumed_files: 0,
                log_gaps: 2,
                committed: Some(1_234_569),
                files_beyond: 0,
                problems: Vec::new(),
                more_problems: 0,
            };
            problems.into_iter().for_each(|problem| report.add(problem));
            report
        };
        let doubled = Problem::of_range(Kind::Doubled, 100, (100, 200), vec!["s3://lake/a".to_owned(), "s3://lake/b".to_owned()], "in each of these");
        let many = (0..60).map(|at| Problem::of_range(Kind::Missing, 1, (at, at + 1), Vec::new(), "in no file")).collect();
        let report = Report {
            place: "s3://lake/".to_owned(),
            verdict: Verdict::Violated,
            partitions: vec![partition(0, vec![]), partition(11, vec![doubled]), partition(12, many)],
            foreign_objects: 1,
            foreign: vec!["s3://lake/readme.txt".to_owned()],
            out_of_scope: 0,
            objects: 1201,
            bytes: 5_000_000,
        };
        let text = report.to_string();
        let expected = "s3://lake/\n\
            \nsink\
            \n  orders-0    proven            1,200 files        1,234,567 rows  0..1234569, committed 1234569, 2 offsets that the log does not have\
            \n  orders-11   VIOLATED          1,200 files        1,234,567 rows  0..1234569, committed 1234569, 2 offsets that the log does not have\
            \n    doubled   100 offsets (100..200): in each of these\
            \n              s3://lake/a\
            \n              s3://lake/b\
            \n  orders-12   VIOLATED ";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\n    missing   1 offset (0..1): in no file\n"), "{text}");
        assert!(text.contains("(49..50): in no file\n    and 10 more problems (--json names a thousand)\n"), "{text}");
        let end = "\n1 objects are of no topic partition:\n  s3://lake/readme.txt\n\
            \n1,201 objects, 5,000,000 bytes: topic partitions: 3, proven 1, violated 2, not provable 0\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn the_worst_problem_decides() {
        let cases = [(vec![], 0), (vec![Kind::Allowed], 0), (vec![Kind::Unclear, Kind::Allowed], 2), (vec![Kind::Unclear, Kind::Missing], 1)];
        for (kinds, code) in cases {
            let verdict = kinds.iter().map(|kind: &Kind| kind.verdict()).max().unwrap_or(Verdict::Proven);
            assert_eq!(verdict.code(), code, "{kinds:?}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (u64::MAX, "18,446,744,073,709,551,615")] {
            assert_eq!(grouped(number), text);
        }
    }
}
