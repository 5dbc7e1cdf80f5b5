//! What is on its way to Kafka, and which source offsets may be kept: upstream's `SubmittedRecords`. Pure.
//!
//! Records are acknowledged in any order. Of each source partition, the offset that may be kept is that of the last record before which all of that partition
//! are acknowledged. Records that were never sent (left out by a transform or a converter) move no offset.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::connect::source::{Fields, SourceBatch};
use crate::memory::Permit;

/// A batch with what it takes of the memory budget.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) batch: SourceBatch,
    /// A name for its source partition.
    partition: Option<Arc<str>>,
    _permit: Option<Permit>,
}

impl Held {
    pub(super) fn new(batch: SourceBatch, permit: Option<Permit>) -> Arc<Self> {
        let partition = batch.positions.as_ref().map(|positions| Value::Object(Fields::clone(&positions.partition)).to_string().into());
        Arc::new(Self { batch, partition, _permit: permit })
    }

    /// A name for its source partition.
    pub(super) fn partition(&self) -> Option<&Arc<str>> {
        self.partition.as_ref()
    }
}

/// A record by its batch and row.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) held: Arc<Held>,
    pub(super) row: usize,
    /// The topic that it was sent to.
    pub(super) topic: Arc<str>,
}

/// The last record of each source partition before which Kafka has all.
pub(super) type Ready = BTreeMap<Arc<str>, Origin>;

/// A record that was sent.
#[derive(Debug)]
struct Sent {
    origin: Origin,
    is_settled: bool,
}

/// Records that were sent, by a number that counts them, and offsets that may be kept.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Number of the first record in `sent`.
    first: usize,
    sent: VecDeque<Sent>,
    /// Records of `sent` that have not settled.
    unsettled: usize,
    /// Numbers of the records of each source partition that are not below its offset yet.
    partitions: BTreeMap<Arc<str>, VecDeque<usize>>,
    /// Source partition and the record after which to go on.
    ready: Ready,
}

impl Outbox {
    /// The number of the next record.
    pub(super) fn next(&self) -> usize {
        self.first.wrapping_add(self.sent.len())
    }

    /// A record was sent under the number [`next`](Self::next).
    pub(super) fn sent(&mut self, origin: Origin) {
        let number = self.next();
        if let Some(partition) = &origin.held.partition {
            self.partitions.entry(Arc::clone(partition)).or_default().push_back(number);
        }
        self.sent.push_back(Sent { origin, is_settled: false });
        self.unsettled += 1;
    }

    /// A record has settled: Kafka has it, or it was given up. Returns which it was.
    pub(super) fn settle(&mut self, number: usize) -> Option<Origin> {
        let sent = self.sent.get_mut(number.wrapping_sub(self.first)).filter(|sent| !sent.is_settled)?;
        sent.is_settled = true;
        let origin = sent.origin.clone();
        self.unsettled -= 1;
        if let Some(partition) = &origin.held.partition {
            self.advance(partition);
        }
        while self.sent.front().is_some_and(|sent| sent.is_settled) {
            self.sent.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        Some(origin)
    }

    fn advance(&mut self, partition: &Arc<str>) {
        let Some(numbers) = self.partitions.get_mut(partition) else { return };
        let mut last = None;
        // What is not in `sent` any more has settled, but that is only so for those that were passed here.
        while let Some(sent) = numbers.front().and_then(|number| self.sent.get(number.wrapping_sub(self.first))).filter(|sent| sent.is_settled) {
            last = Some(sent.origin.clone());
            numbers.pop_front();
        }
        if numbers.is_empty() {
            self.partitions.remove(partition);
        }
        if let Some(last) = last {
            self.ready.insert(Arc::clone(partition), last);
        }
    }

    /// Records that have not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// True when every record has settled, and every offset is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.unsettled == 0 && self.ready.is_empty()
    }

    /// The offsets that may be kept and were not taken before.
    pub(super) fn take_ready(&mut self) -> Ready {
        std::mem::take(&mut self.ready)
    }

    /// Offsets were not kept: they may be later, unless there are newer ones.
    pub(super) fn put_back(&mut self, taken: Ready) {
        for (partition, origin) in taken {
            self.ready.entry(partition).or_insert(origin);
        }
    }
}

/// The changes that a store is to be asked for.
pub(super) fn changes(ready: &Ready) -> Vec<(Fields, Option<Fields>)> {
    let of = |origin: &Origin| {
        let positions = origin.held.batch.positions.as_ref()?;
        Some((Fields::clone(&positions.partition), Some(positions.offset(origin.row))))
    };
    ready.values().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, NullArray, StructArray, TimestampMillisecondArray};
    use arrow::datatypes::{DataType, Field};
    use lakehead_formats::column::Column;
    use proptest::prelude::*;

    use super::*;
    use crate::connect::source::Positions;

    /// Records at positions 1, 2, … of a source partition; without one, they have no positions.
    fn batch(partition: Option<&str>, rows: usize) -> Arc<Held> {
        let column = || Column::new(Arc::new(Field::new("value", DataType::Null, true)), Arc::new(NullArray::new(rows)));
        let positions = partition.map(|partition| {
            let offsets: ArrayRef = Arc::new((1..).take(rows).collect::<Int64Array>());
            let fields = vec![Field::new("position", DataType::Int64, false)];
            let partition = Fields::from_iter([("p".to_owned(), partition.into())]);
            Positions { partition: Arc::new(partition), offsets: StructArray::new(fields.into(), vec![offsets], None) }
        });
        let timestamps = TimestampMillisecondArray::new_null(rows);
        Held::new(SourceBatch { topic: "t".into(), partition: None, timestamps, key: column(), value: column(), headers: None, positions }, None)
    }

    fn send(outbox: &mut Outbox, held: &Arc<Held>, rows: std::ops::Range<usize>) {
        rows.for_each(|row| outbox.sent(Origin { held: Arc::clone(held), row, topic: "t".into() }));
    }

    fn positions(ready: &Ready) -> Vec<(String, i64)> {
        changes(ready)
            .iter()
            .map(|(partition, offset)| (partition["p"].as_str().unwrap().to_owned(), offset.as_ref().unwrap()["position"].as_i64().unwrap()))
            .collect()
    }

    #[test]
    fn an_offset_may_be_kept_when_all_before_it_are_acknowledged() {
        let (mut outbox, a, b) = (Outbox::default(), batch(Some("a"), 3), batch(Some("b"), 1));
        send(&mut outbox, &a, 0..2);
        send(&mut outbox, &b, 0..1);
        send(&mut outbox, &a, 2..3);
        let settle = |outbox: &mut Outbox, number| outbox.settle(number).is_some();
        assert!(settle(&mut outbox, 3) && settle(&mut outbox, 1));
        assert!(outbox.take_ready().is_empty(), "the first of a is missing");
        assert!(settle(&mut outbox, 2));
        assert_eq!(positions(&outbox.take_ready()), [("b".to_owned(), 1)], "another partition does not wait for it");
        assert!(settle(&mut outbox, 0) && !settle(&mut outbox, 0) && !settle(&mut outbox, 9));
        let ready = outbox.take_ready();
        assert_eq!(positions(&ready), [("a".to_owned(), 3)]);
        assert_eq!(outbox.unsettled(), 0);

        // What was not kept comes again, unless there is something newer.
        outbox.put_back(ready);
        assert_eq!(positions(&outbox.take_ready()), [("a".to_owned(), 3)]);
        send(&mut outbox, &a, 0..1);
        assert!(settle(&mut outbox, 4));
        let newer = outbox.take_ready();
        outbox.put_back(newer);
        outbox.put_back(Ready::from([(a.partition.clone().unwrap(), Origin { held: Arc::clone(&a), row: 2, topic: "t".into() })]));
        assert_eq!(positions(&outbox.take_ready()), [("a".to_owned(), 1)]);
    }

    #[test]
    fn records_without_a_position_are_only_counted() {
        let (mut outbox, held) = (Outbox::default(), batch(None, 1));
        send(&mut outbox, &held, 0..1);
        assert_eq!(outbox.unsettled(), 1);
        assert!(outbox.settle(0).is_some() && outbox.take_ready().is_empty() && outbox.unsettled() == 0);
    }

    proptest! {
        #[test]
        fn in_whatever_order_records_settle_no_offset_passes_one_that_has_not(order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle(), until in 0..20_usize) {
            let (mut outbox, held) = (Outbox::default(), batch(Some("a"), 20));
            send(&mut outbox, &held, 0..20);
            let mut kept = 0;
            for number in order.iter().take(until) {
                outbox.settle(*number);
                if let Some((_, position)) = positions(&outbox.take_ready()).pop() {
                    prop_assert!(position > kept);
                    kept = position;
                }
            }
            let settled = &order[..until];
            let prefix = (0..20).take_while(|number| settled.contains(number)).count();
            prop_assert_eq!(usize::try_from(kept).unwrap(), prefix);
            prop_assert_eq!(outbox.unsettled(), 20 - until);
        }
    }
}
