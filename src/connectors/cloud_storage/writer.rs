//! The writer of one topic partition: rows → paths → open files, and the moments when files end.
//!
//! Stands for Confluent's `TopicPartitionWriter`, over batches. Synchronous and without I/O: it takes batches and returns the groups of files that
//! ended. As upstream, every rotation ends all open files of the topic partition together, so that a file's boundaries and its object's name are a
//! function of the records and the configuration (unless the rotation asks for a clock).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::take;
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use lakehead_formats::column::{Column, Reject};

use super::file::{OpenFile, Ratio};
use crate::batch::{Batch, TopicPartition};
use crate::memory::Budget;
use crate::partition::{Partitioner, Paths, Rows, split_rows};
use crate::roll::{Group, Policy, Reason};
use crate::store::names::Layout;

/// How a connector's records become files; shared by all its writers.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) partitioner: Box<dyn Partitioner>,
    pub(super) policy: Policy,
    pub(super) layout: Layout,
    pub(super) extension: String,
    pub(super) memory: Budget,
    pub(super) ratio: Arc<Ratio>,
}

/// Files that ended together.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) files: Vec<OpenFile>,
    /// Everything below this offset is in these files or in earlier ones.
    pub(super) end: i64,
    pub(super) reason: Reason,
}

/// The writer of one topic partition.
#[derive(Debug)]
pub(super) struct Writer {
    from: TopicPartition,
    group: Group,
    /// By topic (after transforms) and encoded partition.
    files: BTreeMap<(Arc<str>, Arc<str>), OpenFile>,
    /// End of the last span taken.
    position: Option<i64>,
}

impl Writer {
    /// A writer without files.
    pub(super) fn new(from: TopicPartition) -> Self {
        Self { from, group: Group::default(), files: BTreeMap::new(), position: None }
    }

    /// Takes the rows of a batch that have a path. Groups of files that ended come back in order.
    pub(super) fn write(&mut self, batch: &Batch, paths: &Paths, plan: &Plan, now: DateTime<Utc>) -> Result<Vec<Ended>, ArrowError> {
        let now_ms = now.timestamp_millis();
        let mut ended = Vec::new();
        let mut at = 0;
        self.position = Some(batch.span.end);
        while at < batch.len() {
            let limit = self.schema_change(batch, paths, at..batch.len());
            if limit == at {
                ended.extend(self.end(Reason::SchemaChange));
                continue;
            }
            let fit = self.group.fit(&plan.policy, paths, at..limit, now_ms);
            let range = at..at + fit.rows;
            if !range.is_empty() {
                self.group.record(&plan.policy, paths, range.clone(), now_ms);
                self.append(batch, paths, range, plan)?;
            }
            at += fit.rows;
            if let Some(reason) = fit.then.or_else(|| self.full(plan)) {
                ended.extend(self.end(reason));
            }
        }
        Ok(ended)
    }

    fn full(&self, plan: &Plan) -> Option<Reason> {
        plan.policy.max_file_bytes?;
        plan.policy.full(self.files.values().map(|f| f.estimated_bytes(&plan.ratio)).max().unwrap_or(0))
    }

    /// The first row of the range whose open file has another schema; the range's end when there is none.
    fn schema_change(&self, batch: &Batch, paths: &Paths, range: Range<usize>) -> usize {
        let mut conflicts = BTreeSet::new();
        for (code, path) in (0_u32..).zip(&paths.distinct) {
            let file = self.files.get(&(Arc::clone(&batch.topic), Arc::clone(path)));
            if file.is_some_and(|f| !f.accepts(&batch.value.field)) {
                conflicts.insert(code);
            }
        }
        if conflicts.is_empty() {
            return range.end;
        }
        let codes = paths.codes.get(range.clone()).unwrap_or_default();
        codes.iter().position(|code| conflicts.contains(code)).map_or(range.end, |i| range.start + i)
    }

    fn append(&mut self, batch: &Batch, paths: &Paths, range: Range<usize>, plan: &Plan) -> Result<(), ArrowError> {
        let total_bytes = batch.value.array.get_array_memory_size();
        for (code, rows) in split_rows(&paths.codes, range.clone(), paths.distinct.len()) {
            let Some(path) = usize::try_from(code).ok().and_then(|c| paths.distinct.get(c)) else { continue };
            let (array, first, last) = pick(&batch.value.array, &rows, &range)?;
            let (start, end) = (batch.offsets.value(first), batch.offsets.value(last) + 1);
            let bytes = match &rows {
                Rows::All => total_bytes.saturating_mul(array.len()) / batch.len().max(1),
                Rows::Take(_) => array.get_array_memory_size(),
            };
            let file = self.files.entry((Arc::clone(&batch.topic), Arc::clone(path))).or_insert_with(|| {
                let key = plan.layout.key_of_renamed(&batch.topic, &self.from.topic, path, self.from.partition, start, &plan.extension);
                OpenFile::new(key, start, Arc::clone(&batch.value.field), &plan.memory)
            });
            let column = Column::new(Arc::clone(&batch.value.field), array);
            file.append(column, u64::try_from(bytes).unwrap_or(u64::MAX), end);
        }
        Ok(())
    }

    /// Ends the open files when they are due, whether or not records come.
    pub(super) fn tick(&mut self, plan: &Plan, now: DateTime<Utc>) -> Option<Ended> {
        self.group.due(&plan.policy, now.timestamp_millis()).and_then(|reason| self.end(reason))
    }

    /// Ends all open files; `None` when there is none.
    pub(super) fn end(&mut self, reason: Reason) -> Option<Ended> {
        self.group = Group::default();
        let files: Vec<OpenFile> = std::mem::take(&mut self.files).into_values().collect();
        let end = files.iter().map(|f| f.end).max()?;
        Some(Ended { files, end, reason })
    }

    /// Where the next file would start if nothing is open: everything below is in files that ended, or was left out on purpose.
    pub(super) fn idle_position(&self) -> Option<i64> {
        self.position.filter(|_| self.files.is_empty())
    }

    /// The open files.
    pub(super) fn open_files(&mut self) -> impl Iterator<Item = &mut OpenFile> {
        self.files.values_mut()
    }

    /// Number of open files, rows in them.
    pub(super) fn open(&self) -> (u64, u64) {
        (self.files.len() as u64, self.files.values().map(|f| f.rows).sum())
    }

    /// Drops everything that is open.
    pub(super) fn discard(self) {
        self.files.into_values().for_each(OpenFile::discard);
    }
}

/// The rows as an array of their own, and the first and last of them in the batch.
fn pick(values: &ArrayRef, rows: &Rows, range: &Range<usize>) -> Result<(ArrayRef, usize, usize), ArrowError> {
    match rows {
        Rows::All => Ok((values.slice(range.start, range.len()), range.start, range.end.saturating_sub(1))),
        Rows::Take(indices) => {
            let index = |i: usize| usize::try_from(indices.value(i)).unwrap_or(usize::MAX);
            let (first, last) = (index(0), index(indices.len().saturating_sub(1)));
            take(values, indices, None).map(|array| (array, first, last))
        }
    }
}

/// Leaves out the rows that are rejected; the span stays.
pub(super) fn without(batch: &Batch, rejects: &[Reject]) -> Result<Batch, ArrowError> {
    let mut keep = vec![true; batch.len()];
    for reject in rejects {
        if let Some(flag) = keep.get_mut(reject.row) {
            *flag = false;
        }
    }
    batch.filter(&keep.into())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, NullArray, StringArray, StructArray, TimestampMillisecondArray};
    use arrow::datatypes::{DataType, Field, Fields};

    use super::*;
    use crate::batch::OffsetRange;
    use crate::connect::Props;
    use crate::partition;

    fn plan(pairs: &[(&str, &str)]) -> Plan {
        let props: Props = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let partitioner = partition::from_props(&props).unwrap();
        let policy = Policy::from_props(&props, partitioner.is_time_based()).unwrap();
        let ratio = Arc::new(Ratio::new(1, 1));
        Plan { partitioner, policy, layout: Layout::from_props(&props), extension: ".parquet".to_owned(), memory: Budget::new(u64::MAX), ratio }
    }

    fn batch(start: i64, field: &str, values: &[&str]) -> Batch {
        let n = values.len();
        let fields = Fields::from(vec![Field::new(field, DataType::Utf8, true)]);
        let array: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![Arc::new(StringArray::from(values.to_vec()))], None));
        let key = Column::new(Arc::new(Field::new("key", DataType::Null, true)), Arc::new(NullArray::new(n)));
        Batch {
            from: TopicPartition::new("t", 3),
            span: OffsetRange { start, end: start + n as i64 },
            topic: "t".into(),
            offsets: Int64Array::from_iter_values(start..start + n as i64),
            timestamps: TimestampMillisecondArray::from_iter_values((start..start + n as i64).map(|o| o * 1000)),
            key,
            value: Column::new(Arc::new(Field::new("value", DataType::Struct(fields), true)), array),
            headers: None,
        }
    }

    /// Key, first offset, end, rows of each file, group by group.
    fn written(plan: &Plan, batches: &[Batch]) -> (Vec<Vec<String>>, Writer) {
        let mut writer = Writer::new(TopicPartition::new("t", 3));
        let mut groups = Vec::new();
        for batch in batches {
            let paths = plan.partitioner.paths(batch, DateTime::UNIX_EPOCH);
            for ended in writer.write(batch, &paths, plan, DateTime::UNIX_EPOCH).unwrap() {
                let show = |f: &OpenFile| format!("{} {}..{} {}", f.key, f.start, f.end, f.rows);
                groups.push(ended.files.iter().map(show).chain([format!("-> {} {}", ended.end, ended.reason.as_str())]).collect());
            }
        }
        (groups, writer)
    }

    #[test]
    fn flush_size_cuts_inside_a_batch_and_the_rest_stays_open() {
        let plan = plan(&[("flush.size", "3")]);
        let (groups, writer) = written(&plan, &[batch(0, "f", &["a"; 7])]);
        assert_eq!(
            groups,
            [
                ["topics/t/partition=3/t+3+0000000000.parquet 0..3 3", "-> 3 flush-size"],
                ["topics/t/partition=3/t+3+0000000003.parquet 3..6 3", "-> 6 flush-size"]
            ]
        );
        assert_eq!((writer.open(), writer.idle_position()), ((1, 1), None));
    }

    #[test]
    fn every_file_of_the_partition_ends_with_the_group_and_is_named_by_its_first_offset() {
        let plan =
            plan(&[("flush.size", "5"), ("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"), ("partition.field.name", "f")]);
        let (groups, writer) = written(&plan, &[batch(0, "f", &["a", "b"]), batch(2, "f", &["a", "b", "a"])]);
        assert_eq!(groups, [["topics/t/f=a/t+3+0000000000.parquet 0..5 3", "topics/t/f=b/t+3+0000000001.parquet 1..4 2", "-> 5 flush-size"]]);
        assert_eq!(writer.idle_position(), Some(5));
    }

    #[test]
    fn topics_that_become_one_never_write_the_same_object() {
        let plan = plan(&[("flush.size", "1")]);
        let renamed = |source: &str| Batch { from: TopicPartition::new(source, 3), topic: "all".into(), ..batch(0, "f", &["a"]) };
        let key = |batch: &Batch| {
            let paths = plan.partitioner.paths(batch, DateTime::UNIX_EPOCH);
            Writer::new(batch.from.clone()).write(batch, &paths, &plan, DateTime::UNIX_EPOCH).unwrap()[0].files[0].key.clone()
        };
        assert_eq!(key(&renamed("t-v1")), "topics/all/partition=3/t-v1+3+0000000000.parquet");
        assert_eq!(key(&renamed("t-v2")), "topics/all/partition=3/t-v2+3+0000000000.parquet");
    }

    #[test]
    fn another_schema_ends_the_group_before_its_first_row() {
        let plan = plan(&[("flush.size", "100")]);
        let (groups, writer) = written(&plan, &[batch(0, "f", &["a", "a"]), batch(2, "g", &["b"])]);
        assert_eq!(groups, [["topics/t/partition=3/t+3+0000000000.parquet 0..2 2", "-> 2 schema-change"]]);
        assert_eq!(writer.open(), (1, 1));
    }

    #[test]
    fn an_inferred_schema_widens_without_ending_the_file() {
        let plan = plan(&[("flush.size", "3")]);
        let inferred = |mut batch: Batch| {
            let metadata = std::collections::HashMap::from([(lakehead_formats::schema::INFERRED.to_owned(), "true".to_owned())]);
            batch.value.field = Arc::new(batch.value.field.as_ref().clone().with_metadata(metadata));
            batch
        };
        let (groups, _) = written(&plan, &[inferred(batch(0, "f", &["a", "a"])), inferred(batch(2, "g", &["b"]))]);
        assert_eq!(groups, [["topics/t/partition=3/t+3+0000000000.parquet 0..3 3", "-> 3 flush-size"]]);
    }

    #[test]
    fn boundaries_do_not_depend_on_how_records_were_batched() {
        let plan = plan(&[("flush.size", "7")]);
        let all = ["a"; 40];
        let (whole, _) = written(&plan, &[batch(0, "f", &all)]);
        for size in [1, 2, 5, 7, 11] {
            let batches: Vec<Batch> = (0..40).step_by(size).map(|i| batch(i as i64, "f", &all[i..(i + size).min(40)])).collect();
            assert_eq!(written(&plan, &batches).0, whole, "batches of {size}");
        }
    }
}
