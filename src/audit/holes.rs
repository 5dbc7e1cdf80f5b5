//! Offsets that no file holds: whether the log has records there.
//!
//! Compaction and the markers of transactions leave gaps in the log itself. Where a group is given, the log is read where files hold nothing, and nowhere else.

use super::AuditError;
use super::coverage;
use super::judge::{Case, MOST_NAMES};
use super::report::{Kind, Problem, grouped};
use crate::batch::OffsetRange;
use crate::offsets::OffsetSet;

/// Records of the log that are read to see what one range without rows is.
const MOST_RECORDS: u64 = 10_000_000;

/// What the log has in a range.
pub(super) enum Log {
    /// There is no group to compare with.
    NotAsked,
    /// The range is not all below the committed offset.
    Beyond,
    /// It begins before the log does, which begins here.
    Gone(i64),
    /// These records.
    Has(OffsetSet),
}

impl Case<'_> {
    /// All that the log has in a range below the committed offset.
    pub(super) async fn log_of(&self, range: OffsetRange) -> Result<Log, AuditError> {
        let (Some(group), Some(log), Some(committed)) = (self.judge.group, self.log, self.committed) else { return Ok(Log::NotAsked) };
        if range.end > committed {
            return Ok(Log::Beyond);
        }
        if range.start < log.start {
            return Ok(Log::Gone(log.start));
        }
        let records = group.records(&self.origin.from, range, u64::MAX).await?;
        Ok(Log::Has(records.offsets))
    }

    /// Tells which offsets that are in no file should be. `beside` are the names of files next to them.
    pub(super) async fn look_for_missing(&mut self, missing: &OffsetSet, beside: Vec<String>) -> Result<(), AuditError> {
        let (Some(first), Some(end)) = (missing.first(), missing.end()) else { return Ok(()) };
        let Some((log, committed)) = self.log.zip(self.committed) else {
            let why = "in no file; --group tells whether the log has records there";
            self.tell_missing(self.missing_kind(), missing, beside, why);
            return Ok(());
        };
        // What is not committed yet is written by whoever consumes next.
        let end = end.min(committed);
        let gone = coverage::within(missing, OffsetRange { start: first, end: log.start.min(end) });
        let why = format!("in no file, and the log begins at {}: whether there were records cannot be told any more", log.start);
        self.tell_missing(Kind::Unclear, &gone, beside.clone(), &why);
        let kept = coverage::within(missing, OffsetRange { start: first.max(log.start), end });
        self.compare_with_log(kept, beside).await
    }

    async fn compare_with_log(&mut self, missing: OffsetSet, beside: Vec<String>) -> Result<(), AuditError> {
        let (Some(group), Some(start), Some(end)) = (self.judge.group, missing.first(), missing.end()) else { return Ok(()) };
        let records = group.records(&self.origin.from, OffsetRange { start, end }, MOST_RECORDS).await?;
        let until = if records.has_more { records.offsets.end().unwrap_or(end) } else { end };
        let looked_at = coverage::within(&missing, OffsetRange { start, end: until });
        let lost = coverage::in_both(&looked_at, &records.offsets);
        self.report.log_gaps += looked_at.count() - lost.count();
        let mut why = "the log has these records, and no file: lost, or left out by a transform, the null policy or errors.tolerance".to_owned();
        if records.tombstones > 0 {
            why = format!("{why} ({} of the log's records from {start} to {until} have no value)", grouped(records.tombstones));
        }
        self.tell_missing(self.missing_kind(), &lost, beside, &why);
        let unread = coverage::within(&missing, OffsetRange { start: until, end });
        let why = format!("in no file; the log was read to {until} only, as far as {} records go", grouped(MOST_RECORDS));
        self.tell_missing(self.missing_kind(), &unread, Vec::new(), &why);
        Ok(())
    }

    /// Adds one problem for all these offsets, if there are any.
    fn tell_missing(&mut self, kind: Kind, offsets: &OffsetSet, beside: Vec<String>, why: &str) {
        if offsets.count() == 0 {
            return;
        }
        let ranges = offsets.runs().map(|run| (run.start, run.end)).take(MOST_NAMES).collect();
        let why = if beside.is_empty() { why.to_owned() } else { format!("{why}; next to them:") };
        self.add(Problem { kind, offsets: Some(offsets.count()), ranges, files: beside, why });
    }
}
