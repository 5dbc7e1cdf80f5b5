//! Messages one by one → [`RawBatch`]es per topic partition.
//!
//! The only place where records are visited one at a time: each is copied once, from the client's buffer into Arrow's. A batch is handed out when it is
//! large enough, or when the caller asks for all of them.

use std::collections::BTreeMap;
use std::mem;

use arrow::array::{ArrayBuilder, BinaryBuilder, Int64Array, ListBuilder, StringBuilder, StructBuilder, TimestampMillisecondBuilder};
use arrow::datatypes::{DataType, Field, Fields};
use rdkafka::message::{BorrowedHeaders, Headers};

use super::Jump;
use crate::batch::{OffsetRange, Offsets, RawBatch, TopicPartition};

/// Rows at which a partition's batch is complete: large enough that per-batch costs vanish, small enough to stay in the cache.
const BATCH_ROWS: usize = 8192;
/// Payload bytes at which a partition's batch is complete.
const BATCH_BYTES: usize = 4 << 20;

/// One message, as the client shows it.
pub(super) struct Message<'a> {
    pub(super) offset: i64,
    /// Milliseconds since the epoch.
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Option<&'a BorrowedHeaders>,
}

/// Batches that are being built, by topic partition.
#[derive(Debug, Default)]
pub(super) struct Batches {
    partitions: Vec<(TopicPartition, Builder)>,
    /// Index of the partition that the last message belonged to: messages come in runs.
    last: usize,
    bytes: usize,
    complete: Vec<RawBatch>,
    /// Next offset per partition, so that spans are consecutive across batches.
    positions: BTreeMap<TopicPartition, i64>,
    /// Partitions whose records are left out, because others came than those that were next: it is to be found out why.
    doubts: Vec<Doubt>,
    /// What was found out, to be told behind the records that came before.
    jumps: Vec<Jump>,
}

/// A record came that was not next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) partition: TopicPartition,
    /// The offset that was next.
    pub(super) wanted: i64,
    /// The offset that came.
    pub(super) found: i64,
}

impl Batches {
    /// Adds a message to its partition's batch. `resets` counts how often the client has gone on elsewhere than it was: after that, a gap may be a loss.
    /// Messages that go back, and gaps that may be losses, put the partition in [doubt](Self::doubts), and are left out.
    pub(super) fn push(&mut self, topic: &str, partition: i32, message: &Message<'_>, resets: u64) {
        let is_same = |tp: &TopicPartition| tp.partition == partition && &*tp.topic == topic;
        if !self.partitions.get(self.last).is_some_and(|(tp, _)| is_same(tp)) {
            self.last = self.partitions.iter().position(|(tp, _)| is_same(tp)).unwrap_or_else(|| {
                self.partitions.push((TopicPartition::new(topic, partition), Builder::default()));
                self.partitions.len() - 1
            });
        }
        let Some((tp, builder)) = self.partitions.get_mut(self.last) else { return };
        match builder.next {
            _ if builder.is_held => return,
            Some(wanted) if message.offset < wanted || (message.offset > wanted && builder.resets != resets) => {
                builder.is_held = true;
                self.doubts.push(Doubt { partition: tp.clone(), wanted, found: message.offset });
                return;
            }
            Some(_) => {}
            None => builder.resets = resets,
        }
        builder.next = Some(message.offset.saturating_add(1));
        let before = builder.bytes;
        builder.push(message);
        self.bytes += builder.bytes - before;
        if builder.offsets.len() >= BATCH_ROWS || builder.bytes >= BATCH_BYTES {
            self.bytes -= builder.bytes;
            self.complete.extend(builder.finish(tp, &mut self.positions));
        }
    }

    /// Payload bytes of the batches that are not complete.
    pub(super) fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// True when there is a complete batch.
    pub(super) fn has_complete(&self) -> bool {
        !self.complete.is_empty()
    }

    /// True when there is no message at all.
    pub(super) fn is_empty(&self) -> bool {
        self.complete.is_empty() && self.jumps.is_empty() && self.bytes == 0 && self.partitions.iter().all(|(_, b)| b.offsets.is_empty())
    }

    /// The complete batches.
    pub(super) fn take_complete(&mut self) -> Vec<RawBatch> {
        mem::take(&mut self.complete)
    }

    /// All batches, complete or not.
    pub(super) fn take_all(&mut self) -> Vec<RawBatch> {
        let mut all = mem::take(&mut self.complete);
        for (tp, builder) in &mut self.partitions {
            all.extend(builder.finish(tp, &mut self.positions));
        }
        self.bytes = 0;
        all
    }

    /// What was found out; behind the records that [`take_all`](Self::take_all) hands out.
    pub(super) fn take_jumps(&mut self) -> Vec<Jump> {
        mem::take(&mut self.jumps)
    }

    /// True when something was found out and not taken.
    pub(super) fn has_jumps(&self) -> bool {
        !self.jumps.is_empty()
    }

    /// Partitions of which it is to be found out why others came than those that were next.
    pub(super) fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    /// Where partitions stand that are not in doubt.
    pub(super) fn next_offsets(&self) -> Offsets {
        self.partitions.iter().filter(|(_, builder)| !builder.is_held).filter_map(|(tp, builder)| Some((tp.clone(), builder.next?))).collect()
    }

    /// Nothing is lost: the partition goes on with the offset that came.
    pub(super) fn go_on(&mut self, partition: &TopicPartition, resets: u64) {
        let Some(at) = self.doubts.iter().position(|doubt| doubt.partition == *partition) else { return };
        let found = self.doubts.remove(at).found;
        if let Some((_, builder)) = self.partitions.iter_mut().find(|(tp, _)| tp == partition) {
            (builder.is_held, builder.next, builder.resets) = (false, Some(found), resets);
        }
    }

    /// Records are not in the log: nothing of the partition is taken until it is [forgotten](Self::forget).
    pub(super) fn jump(&mut self, jump: Jump) {
        self.doubts.retain(|doubt| doubt.partition != jump.partition);
        self.partitions.iter_mut().filter(|(tp, _)| *tp == jump.partition).for_each(|(_, builder)| builder.is_held = true);
        self.jumps.push(jump);
    }

    /// The offset that comes next of each of these partitions, which were forgotten.
    pub(super) fn expect(&mut self, next: &Offsets, resets: u64) {
        for (tp, next) in next {
            self.partitions.push((tp.clone(), Builder { next: Some(*next), resets, ..Builder::default() }));
        }
    }

    /// Forgets what was not handed out of these partitions, and where they were.
    pub(super) fn forget(&mut self, gone: &[TopicPartition]) {
        self.doubts.retain(|doubt| !gone.contains(&doubt.partition));
        self.jumps.retain(|jump| !gone.contains(&jump.partition));
        self.partitions.retain(|(tp, _)| !gone.contains(tp));
        self.complete.retain(|batch| !gone.contains(&batch.from));
        self.positions.retain(|tp, _| !gone.contains(tp));
        self.bytes = self.partitions.iter().map(|(_, b)| b.bytes).sum();
        self.last = 0;
    }
}

#[derive(Debug, Default)]
struct Builder {
    offsets: Vec<i64>,
    timestamps: TimestampMillisecondBuilder,
    keys: BinaryBuilder,
    values: BinaryBuilder,
    /// Made when the batch's first header comes.
    headers: Option<ListBuilder<StructBuilder>>,
    bytes: usize,
    /// The offset that comes next, if nothing is left out.
    next: Option<i64>,
    /// How often the client had gone on elsewhere when that was last in order.
    resets: u64,
    /// Messages are left out.
    is_held: bool,
}

impl Builder {
    fn push(&mut self, message: &Message<'_>) {
        if let Some(headers) = message.headers.filter(|h| h.count() > 0) {
            self.push_headers(headers);
        } else if let Some(list) = &mut self.headers {
            list.append(true);
        }
        self.offsets.push(message.offset);
        self.timestamps.append_option(message.timestamp);
        self.keys.append_option(message.key);
        self.values.append_option(message.value);
        self.bytes += message.key.map_or(0, <[u8]>::len) + message.value.map_or(0, <[u8]>::len);
    }

    fn push_headers(&mut self, headers: &BorrowedHeaders) {
        let rows = self.offsets.len();
        let list = self.headers.get_or_insert_with(|| {
            let mut list = empty_headers();
            (0..rows).for_each(|_| list.append(true));
            list
        });
        let pairs = list.values();
        for header in headers.iter() {
            if let Some(keys) = pairs.field_builder::<StringBuilder>(0) {
                keys.append_value(header.key);
            }
            if let Some(values) = pairs.field_builder::<BinaryBuilder>(1) {
                values.append_option(header.value);
            }
            pairs.append(true);
            self.bytes += header.key.len() + header.value.map_or(0, <[u8]>::len);
        }
        list.append(true);
    }

    fn finish(&mut self, tp: &TopicPartition, positions: &mut BTreeMap<TopicPartition, i64>) -> Option<RawBatch> {
        let (first, last) = (*self.offsets.first()?, *self.offsets.last()?);
        let end = last + 1;
        let start = positions.insert(tp.clone(), end).unwrap_or(first);
        let rows = self.offsets.len();
        let value_bytes = self.values.values_slice().len();
        self.bytes = 0;
        let batch = RawBatch {
            from: tp.clone(),
            span: OffsetRange { start, end },
            offsets: Int64Array::from(mem::replace(&mut self.offsets, Vec::with_capacity(rows))),
            timestamps: self.timestamps.finish(),
            keys: self.keys.finish(),
            values: self.values.finish(),
            headers: self.headers.take().map(|mut list| list.finish()),
        };
        // The next batch will look like this one.
        self.values = BinaryBuilder::with_capacity(rows, value_bytes);
        self.timestamps = TimestampMillisecondBuilder::with_capacity(rows);
        Some(batch)
    }
}

fn empty_headers() -> ListBuilder<StructBuilder> {
    let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let builders: Vec<Box<dyn ArrayBuilder>> = vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())];
    ListBuilder::new(StructBuilder::new(fields, builders))
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    fn message(offset: i64, value: Option<&'static [u8]>) -> Message<'static> {
        Message { offset, timestamp: (offset != 1).then_some(offset * 10), key: None, value, headers: None }
    }

    #[test]
    fn messages_become_one_batch_per_partition_and_spans_are_consecutive() {
        let mut batches = Batches::default();
        batches.push("a", 0, &message(5, Some(b"x")), 0);
        batches.push("a", 1, &message(1, None), 0);
        batches.push("a", 0, &message(8, Some(b"yz")), 0);
        let all = batches.take_all();
        assert_eq!(
            all.iter().map(|b| (b.from.to_string(), b.span.start, b.span.end, b.len())).collect::<Vec<_>>(),
            [("a-0".to_owned(), 5, 9, 2), ("a-1".to_owned(), 1, 2, 1)]
        );
        assert!(all[1].values.is_null(0) && all[1].timestamps.is_null(0) && all[1].headers.is_none());
        assert!(batches.is_empty());
        batches.push("a", 0, &message(12, Some(b"later")), 0);
        assert_eq!(batches.take_all()[0].span, OffsetRange { start: 9, end: 13 });
    }

    #[test]
    fn a_full_batch_is_complete_and_the_rest_waits() {
        let mut batches = Batches::default();
        for offset in 0..=BATCH_ROWS as i64 {
            batches.push("a", 0, &message(offset, Some(b"v")), 0);
        }
        assert_eq!(batches.take_complete().iter().map(RawBatch::len).collect::<Vec<_>>(), [BATCH_ROWS]);
        assert_eq!(batches.pending_bytes(), 1);
    }

    #[test]
    fn forgotten_partitions_hand_out_nothing_and_start_anew() {
        let mut batches = Batches::default();
        batches.push("a", 0, &message(1, Some(b"x")), 0);
        batches.push("a", 1, &message(1, Some(b"x")), 0);
        batches.forget(&[TopicPartition::new("a", 0)]);
        assert_eq!(batches.take_all().len(), 1);
        batches.push("a", 0, &message(7, Some(b"x")), 0);
        assert_eq!(batches.take_all()[0].span.start, 7);
    }

    #[test]
    fn what_goes_back_is_left_out_and_gaps_are_suspected_only_after_the_client_went_elsewhere() {
        for (wanted, came, resets, is_doubted) in [(6, 6, 1, false), (6, 9, 0, false), (6, 9, 1, true), (6, 5, 0, true), (6, 0, 1, true)] {
            let mut batches = Batches::default();
            batches.push("a", 0, &message(5, Some(b"x")), 0);
            batches.push("a", 0, &message(came, Some(b"y")), resets);
            let doubts: Vec<_> = batches.doubts().iter().map(|doubt| (doubt.wanted, doubt.found)).collect();
            assert_eq!(doubts, if is_doubted { vec![(wanted, came)] } else { vec![] }, "{came}");
            assert_eq!(batches.take_all()[0].len(), if is_doubted { 1 } else { 2 });
        }
    }

    #[test]
    fn a_partition_in_doubt_takes_nothing_until_it_goes_on_or_is_sought() {
        let a = TopicPartition::new("a", 0);
        let mut batches = Batches::default();
        batches.push("a", 0, &message(5, Some(b"x")), 0);
        batches.push("a", 0, &message(9, Some(b"y")), 1);
        batches.push("a", 0, &message(10, Some(b"z")), 1);
        assert_eq!((batches.take_all()[0].span, batches.next_offsets()), (OffsetRange { start: 5, end: 6 }, Offsets::new()));
        batches.go_on(&a, 1);
        assert_eq!(batches.next_offsets(), Offsets::from([(a.clone(), 9)]));
        batches.push("a", 0, &message(9, Some(b"y")), 1);
        assert_eq!(batches.take_all()[0].span, OffsetRange { start: 6, end: 10 });
        let jump = Jump { partition: a.clone(), wanted: 10, log: OffsetRange { start: 20, end: 30 }, found: None };
        batches.jump(jump.clone());
        batches.push("a", 0, &message(20, Some(b"y")), 2);
        assert_eq!((batches.take_all().len(), batches.take_jumps()), (0, vec![jump]));
        batches.forget(std::slice::from_ref(&a));
        batches.expect(&Offsets::from([(a, 20)]), 2);
        batches.push("a", 0, &message(21, Some(b"y")), 2);
        assert_eq!(batches.take_all()[0].span, OffsetRange { start: 21, end: 22 });
    }
}
