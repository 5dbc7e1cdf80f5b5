//! The judgement of one topic partition: what its files say, then their offsets, then the log's.

use futures::stream::{self, StreamExt as _};

use super::contents::{self, Format};
use super::coverage::{self, Cluster, Doubled, Faults, Sum, Sweep};
use super::holes::Log;
use super::inventory::{File, Files, Labels, Origin, Source, width};
use super::kafka::Group;
use super::report::{Kind, PartitionReport, Problem, Verdict};
use super::{AuditError, Scope};
use crate::batch::OffsetRange;
use crate::offsets::OffsetSet;
use crate::store::read::ObjectReader;

/// Memory for the offsets of one cluster's files.
const MOST_SET_BYTES: usize = 256 << 20;

/// Names of objects kept in one problem.
pub(super) const MOST_NAMES: usize = 100;

/// What the judgement may ask.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) reader: &'a dyn ObjectReader,
    pub(super) scope: &'a Scope,
    /// The group that consumes for the files' connector.
    pub(super) group: Option<&'a Group>,
    /// Offsets may be missing.
    pub(super) allows_left_out: bool,
    /// What the log has before the first file does not matter.
    pub(super) since_first_file: bool,
}

/// One topic partition, while it is judged.
pub(super) struct Case<'a> {
    pub(super) judge: Judge<'a>,
    pub(super) origin: &'a Origin,
    files: &'a Files,
    /// Where files begin that say nothing else, ascending.
    unread: Vec<i64>,
    pub(super) report: PartitionReport,
    /// Everything below must be there, as the group says.
    pub(super) committed: Option<i64>,
    /// What the log spans.
    pub(super) log: Option<OffsetRange>,
}

impl<'a> Judge<'a> {
    pub(super) async fn judge(self, origin: &'a Origin, files: &'a Files) -> Result<PartitionReport, AuditError> {
        let values = &files.values;
        let report = PartitionReport {
            connector: origin.connector.to_string(),
            topic: origin.from.topic.to_string(),
            partition: origin.from.partition,
            verdict: Verdict::Proven,
            files: (values.len() + files.unread.len()) as u64,
            companions: files.companions.len() as u64 + files.mute_companions,
            rows: values.iter().map(|file| file.rows).sum(),
            start: values.iter().map(|file| file.span.start).min(),
            end: values.iter().map(|file| file.span.end).max(),
            assumed_files: values.iter().filter(|file| file.source == Source::Count).count() as u64,
            log_gaps: 0,
            committed: None,
            files_beyond: 0,
            problems: Vec::new(),
            more_problems: 0,
        };
        let mut unread: Vec<i64> = files.unread.iter().map(|unread| unread.start).collect();
        unread.sort_unstable();
        let mut case = Case { judge: self, origin, files, unread, report, committed: None, log: None };
        case.ask_kafka().await?;
        case.look_at_single_files();
        let clusters = coverage::clusters(values);
        case.look_between(&clusters).await?;
        for cluster in &clusters {
            case.look_into(cluster).await?;
        }
        case.report.problems.sort_by(|a, b| (a.kind, &a.ranges).cmp(&(b.kind, &b.ranges)));
        Ok(case.report)
    }
}

impl Case<'_> {
    fn name(&self, index: usize) -> Option<String> {
        self.files.values.get(index).map(|file| self.judge.reader.name(&file.key))
    }

    fn names(&self, indexes: impl IntoIterator<Item = usize>) -> Vec<String> {
        indexes.into_iter().filter_map(|index| self.name(index)).take(MOST_NAMES).collect()
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.report.add(problem);
    }

    /// What the group has committed, what the log spans, and which files reach past the one without being planned.
    async fn ask_kafka(&mut self) -> Result<(), AuditError> {
        let Some(group) = self.judge.group else { return Ok(()) };
        let from = &self.origin.from;
        self.committed = group.committed(from);
        self.report.committed = self.committed;
        if self.committed.is_none() {
            let why = format!("group '{}' has committed nothing for it: what of its files is final cannot be told", group.name);
            self.add(Problem::of_files(Kind::Unclear, Vec::new(), why));
            return Ok(());
        }
        self.log = Some(group.bounds(from).await?);
        match group.beyond(from, &self.files.values) {
            Ok((beyond, unplanned)) => {
                self.report.files_beyond = beyond;
                if !unplanned.is_empty() {
                    let names = unplanned.iter().take(MOST_NAMES).map(|file| self.judge.reader.name(&file.key)).collect();
                    let why = "reaches past the committed offset, and the metadata of the commit does not name it";
                    self.add(Problem::of_files(Kind::Unplanned, names, why));
                }
            }
            Err(why) => self.add(Problem::of_files(Kind::Unclear, Vec::new(), why)),
        }
        Ok(())
    }

    /// What needs no other file: contradictions, files that say nothing, keys without their values.
    fn look_at_single_files(&mut self) {
        for (key, why) in &self.files.contradictions {
            let name = self.judge.reader.name(key);
            self.add(Problem::of_files(Kind::Broken, vec![name], why));
        }
        if !self.files.unread.is_empty() {
            let names = self.files.unread.iter().take(MOST_NAMES).map(|unread| self.judge.reader.name(&unread.key)).collect();
            let why = if self.judge.scope.deep {
                "files whose rows cannot be told apart from outside, and that say nothing of their offsets"
            } else {
                "files that say nothing of their offsets, as those that are uploaded in parts or in a folder, or were written by something else; --deep counts \
                 their rows"
            };
            self.add(Problem::of_files(Kind::Unclear, names, format!("{} {why}", self.files.unread.len())));
        }
        let values = &self.files.values;
        let has_values = |file: &File| {
            let first = values.partition_point(|value| value.span.start < file.span.start);
            let beside = values.iter().skip(first).take_while(|value| value.span.start == file.span.start);
            beside.into_iter().any(|value| value.span == file.span && value.rows == file.rows)
        };
        let is_unread = |file: &File| self.unread.binary_search(&file.span.start).is_ok();
        let alone: Vec<&File> = self.files.companions.iter().filter(|file| !has_values(file) && !is_unread(file)).collect();
        if !alone.is_empty() {
            let names = alone.iter().take(MOST_NAMES).map(|file| self.judge.reader.name(&file.key)).collect();
            self.add(Problem::of_files(Kind::Alone, names, "keys or headers without the file with the values of the same records"));
        }
    }

    /// The ranges that no file spans.
    async fn look_between(&mut self, clusters: &[Cluster]) -> Result<(), AuditError> {
        let (mut at, mut before): (Option<i64>, Option<&Cluster>) = (None, None);
        if let (Some(log), false) = (self.log, self.judge.since_first_file) {
            at = Some(log.start);
        }
        for cluster in clusters {
            if let Some(at) = at.filter(|at| *at < cluster.span.start) {
                self.look_at_gap(OffsetRange { start: at, end: cluster.span.start }, before, Some(cluster)).await?;
            }
            (at, before) = (Some(cluster.span.end), Some(cluster));
        }
        if let (Some(at), Some(committed)) = (at, self.committed)
            && at < committed
        {
            self.look_at_gap(OffsetRange { start: at, end: committed }, before, None).await?;
        }
        Ok(())
    }

    async fn look_at_gap(&mut self, gap: OffsetRange, before: Option<&Cluster>, after: Option<&Cluster>) -> Result<(), AuditError> {
        let next_unread = self.unread.partition_point(|start| *start < gap.start);
        if self.unread.get(next_unread).is_some_and(|start| *start < gap.end) {
            return Ok(()); // it may hold them; that it says nothing was told already
        }
        if let Some(before) = before.filter(|before| before.is_assumed) {
            return self.look_behind_assumed(before, gap).await;
        }
        let beside = before.and_then(|cluster| cluster.files.clone().max_by_key(|index| self.files.values.get(*index).map(|file| file.span.end)));
        let files = self.names(beside.into_iter().chain(after.map(|cluster| cluster.files.start)));
        let mut missing = OffsetSet::new();
        missing.extend_range(gap.start, gap.end);
        self.look_for_missing(&missing, files).await
    }

    /// The rows of such a file may have had gaps, so that they end later than their count says.
    async fn look_behind_assumed(&mut self, before: &Cluster, gap: OffsetRange) -> Result<(), AuditError> {
        let whole = OffsetRange { start: before.span.start, end: gap.end };
        let names = self.names(before.files.clone());
        match self.log_of(whole).await? {
            Log::Has(records) if records.count() == before.rows => {
                self.report.log_gaps += width(whole).saturating_sub(before.rows);
            }
            Log::Has(records) if records.count() > before.rows => {
                let why = "the log has more records there than the files have rows; which of them is not known";
                self.add(Problem::of_range(self.missing_kind(), records.count() - before.rows, (whole.start, whole.end), names, why));
            }
            Log::Has(_) => {
                self.add(Problem::of_range(Kind::Unclear, width(gap), (gap.start, gap.end), names, "the files have more rows than the log has records"))
            }
            Log::NotAsked | Log::Gone(_) | Log::Beyond => {
                let why = "no file holds them, unless the rows of those before have gaps: they say nothing of their offsets";
                self.add(Problem::of_range(Kind::Unclear, width(gap), (gap.start, gap.end), names, why));
            }
        }
        Ok(())
    }

    /// Files that overlap, or whose rows do not fill their span.
    async fn look_into(&mut self, cluster: &Cluster) -> Result<(), AuditError> {
        let sum = cluster.sum();
        // A file that says what cannot be was told already, and nothing follows from what it says.
        if sum == Sum::Whole || cluster.is_broken {
            return Ok(());
        }
        let range = (cluster.span.start, cluster.span.end);
        if cluster.is_assumed {
            let why = "files overlap whose offsets are only assumed from their names and the counts of their rows";
            let problem = Problem::of_range(Kind::Unclear, width(cluster.span), range, self.names(cluster.files.clone()), why);
            self.add(problem);
            return Ok(());
        }
        match self.sweep(cluster).await? {
            Ok(faults) => self.tell(cluster, faults).await,
            Err(why) => self.look_at_sums(cluster, sum, why).await,
        }
    }

    /// Lays the offsets of a cluster's files side by side; or says why they are not known.
    async fn sweep(&mut self, cluster: &Cluster) -> Result<Result<Faults, &'static str>, AuditError> {
        let judge = self.judge;
        let files = cluster.files.clone().filter_map(|index| Some((index, self.files.values.get(index)?)));
        let sets = stream::iter(files).map(|(index, file)| async move { judge.set_of(file).await.map(|set| (index, file, set)) });
        let mut sets = sets.buffered(judge.scope.requests);
        let mut sweep = Sweep::over(cluster.span);
        while let Some(set) = sets.next().await {
            let (index, file, set) = set?;
            let set = match set {
                Ok(set) => set,
                Err(why) => return Ok(Err(why)),
            };
            if !file.is_of(&set) || !set.runs().map(|run| run.start).is_sorted() {
                let why = "the offsets in its footer are not those that its span, count and digest are of";
                let problem = Problem::of_files(Kind::Broken, vec![judge.reader.name(&file.key)], why);
                drop(sets);
                self.add(problem);
                return Ok(Err("a file contradicts itself"));
            }
            if sweep.add(index, set) > MOST_SET_BYTES {
                return Ok(Err("too many files overlap for their offsets to be held in memory"));
            }
        }
        Ok(Ok(sweep.end()))
    }

    async fn tell(&mut self, cluster: &Cluster, faults: Faults) -> Result<(), AuditError> {
        let mut problems: Vec<Problem> = Vec::new();
        let mut rest = faults.doubled;
        for Doubled { range, files } in faults.named {
            let count = width(range);
            rest = rest.saturating_sub(count);
            let (files, range) = (self.names(files), (range.start, range.end));
            match problems.iter_mut().find(|problem| problem.files == files) {
                Some(problem) => {
                    problem.ranges.push(range);
                    problem.offsets = problem.offsets.map(|offsets| offsets + count);
                }
                None => problems.push(Problem::of_range(Kind::Doubled, count, range, files, "in each of these")),
            }
        }
        problems.into_iter().for_each(|problem| self.add(problem));
        if rest > 0 {
            self.add(Problem::of_range(Kind::Doubled, rest, (cluster.span.start, cluster.span.end), Vec::new(), "more of them than are named here"));
        }
        self.look_for_missing(&faults.missing, Vec::new()).await
    }

    /// What counts and digests tell where the offsets are not known.
    async fn look_at_sums(&mut self, cluster: &Cluster, sum: Sum, why: &str) -> Result<(), AuditError> {
        let range = (cluster.span.start, cluster.span.end);
        let names = self.names(cluster.files.clone());
        let unclear = |count: u64, what: &str| Problem::of_range(Kind::Unclear, count, range, names.clone(), format!("{what} ({why})"));
        let problem = match sum {
            Sum::Whole => return Ok(()),
            Sum::Unproven => unclear(width(cluster.span), "the files have as many rows, and nothing that tells whether each offset is there once"),
            Sum::Mixed => {
                let text = format!("some are there twice in place of others: the digests of the files do not add up; which ones is not known ({why})");
                Problem { offsets: None, ..Problem::of_range(Kind::Doubled, 0, range, names, text) }
            }
            Sum::Excess(count) => {
                let text = format!("at least so many rows too many; which ones is not known ({why})");
                Problem::of_range(Kind::Doubled, count, range, names, text)
            }
            Sum::Short(count) => match self.log_of(cluster.span).await? {
                Log::Has(records) if records.count() == cluster.rows && Some(records.digest()) == cluster.digest => {
                    self.report.log_gaps += count;
                    return Ok(());
                }
                Log::Has(records) if records.count() == cluster.rows && cluster.digest.is_none() => {
                    unclear(records.count(), "the files have as many rows as the log has records, and nothing that tells whether they are the same")
                }
                Log::Has(records) if records.count() > cluster.rows => {
                    let text = format!("the log has records that no row is of; which ones is not known ({why})");
                    Problem::of_range(self.missing_kind(), records.count() - cluster.rows, range, names, text)
                }
                Log::Has(records) => {
                    let text = format!("the rows are not those of the log's {} records; which ones is not known ({why})", records.count());
                    Problem { offsets: None, ..Problem::of_range(Kind::Doubled, 0, range, names, text) }
                }
                Log::Beyond => unclear(count, "files past the committed offset interleave with those below it: verify again when the connector has gone on"),
                Log::Gone(start) => unclear(count, &format!("no file holds them, and the log begins at {start} only")),
                Log::NotAsked => {
                    let text = format!("in no file; which ones is not known ({why}); --group tells whether the log has them");
                    Problem::of_range(self.missing_kind(), count, range, names, text)
                }
            },
        };
        self.add(problem);
        Ok(())
    }

    pub(super) fn missing_kind(&self) -> Kind {
        if self.judge.allows_left_out { Kind::Allowed } else { Kind::Missing }
    }
}

impl Judge<'_> {
    /// The offsets of a file, as its span or its footer says, or why they are not known.
    async fn set_of(&self, file: &File) -> Result<Result<OffsetSet, &'static str>, AuditError> {
        if file.is_dense() {
            let mut set = OffsetSet::new();
            set.extend_range(file.span.start, file.span.end);
            return Ok(Ok(set));
        }
        if Format::of(&file.key) != Format::Parquet {
            return Ok(Err("only Parquet files name their offsets one by one"));
        }
        let footer = match contents::footer(self.reader, &file.key, file.size).await {
            Ok(Some(footer)) => footer,
            Ok(None) => return Ok(Err("a file is gone since it was listed")),
            Err(AuditError::Object { .. }) => return Ok(Err("a footer cannot be read")),
            Err(error) => return Err(error),
        };
        let text = Labels::of(&footer.labels).offset_set;
        Ok(text.and_then(|text| OffsetSet::decode(text).ok()).ok_or("a footer does not name its file's offsets"))
    }
}
