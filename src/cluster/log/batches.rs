//! What a fetch brings, as records: batches are unpacked, and what transactions left behind is sorted out.
//!
//! The position after a batch is the end of the batch and not of its last record: control records and records that compaction removed are passed over.

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::fetch_response::AbortedTransaction;
use kafka_protocol::records::{Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, RecordBatchDecoder, RecordBatchEncoder};
use kafka_protocol::records::{Record as Raw, RecordEncodeOptions, TimestampType};

use super::Entry;
use crate::cluster::Record;

/// Bytes before a batch's own length counts: its first offset and the length.
const PREFIX: usize = 12;
/// Where a batch says how far its last offset is from its first.
const LAST_OFFSET_DELTA: usize = 23;

/// Records of a partition, from an offset on.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// In order.
    pub entries: Vec<Entry>,
    /// What to fetch next.
    pub next: i64,
}

/// Reads what a broker sent for `partition`; the last batch may be cut off. `aborted` are the transactions that were, in the order of their first offsets;
/// `None` = whatever is in the log counts.
///
/// # Errors
/// Which batch cannot be read, and why.
pub fn read(mut bytes: Bytes, partition: u32, from: i64, aborted: Option<&[AbortedTransaction]>) -> Result<Read, String> {
    let mut read = Read { entries: Vec::new(), next: from };
    let mut open = aborted.unwrap_or_default().iter().map(|transaction| (transaction.producer_id.0, transaction.first_offset)).collect::<Vec<_>>();
    let mut aborting: BTreeSet<i64> = BTreeSet::new();
    while let Some((first, len, delta)) = header(&bytes) {
        if bytes.len() < len {
            break;
        }
        let after = first + i64::from(delta) + 1;
        let batch = bytes.split_to(len);
        if after <= read.next {
            continue; // a broker sends whole batches, from the one that has the offset on
        }
        let records = RecordBatchDecoder::decode(&mut batch.clone()).map_err(|why| format!("the batch at offset {first} cannot be read: {why:#}"))?.records;
        open.retain(|(producer, begins)| {
            let begun = *begins <= first;
            if begun {
                aborting.insert(*producer);
            }
            !begun
        });
        for record in records.into_iter().filter(|record| record.offset >= from) {
            if record.control {
                if is_abort(record.key.as_ref()) {
                    aborting.remove(&record.producer_id);
                }
            } else if aborted.is_none() || !record.transactional || !aborting.contains(&record.producer_id) {
                read.entries.push(Entry { partition, offset: record.offset, key: record.key, value: record.value });
            }
        }
        read.next = after;
    }
    Ok(read)
}

/// First offset, whole length and offset delta of the batch that these bytes begin with.
fn header(bytes: &Bytes) -> Option<(i64, usize, i32)> {
    let mut from = bytes.get(..PREFIX)?;
    let (first, len) = (from.get_i64(), from.get_i32());
    let mut delta = bytes.get(LAST_OFFSET_DELTA..LAST_OFFSET_DELTA + 4)?;
    Some((first, PREFIX + usize::try_from(len).ok()?, delta.get_i32().max(0)))
}

/// A control record's key is a version and a type; type 0 is an abort.
fn is_abort(key: Option<&Bytes>) -> bool {
    key.and_then(|key| key.get(2..4)).is_some_and(|kind| kind == [0, 0])
}

/// One batch of these records, as a producer without idempotence sends it.
///
/// # Errors
/// Why they are no batch: there are none, for example.
pub fn write<'a>(records: impl IntoIterator<Item = &'a Record>, now_ms: i64) -> Result<Bytes, String> {
    let raw = |(at, record): (i32, &Record)| Raw {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(at),
        sequence: at - 1, // the batch's is -1: none
        timestamp: now_ms,
        key: Some(Bytes::copy_from_slice(&record.key)),
        value: record.value.as_deref().map(Bytes::copy_from_slice),
        headers: kafka_protocol::indexmap::IndexMap::default(),
    };
    let raw: Vec<Raw> = (0..).zip(records).map(raw).collect();
    let mut out = bytes::BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &raw, &options).map_err(|why| format!("{why:#}"))?;
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    /// What a batch is.
    #[derive(Clone, Copy)]
    enum Kind {
        Plain,
        Transactional(i64),
        Commit(i64),
        Abort(i64),
    }

    /// One batch with a record for each of these offsets.
    fn batch(offsets: &[i64], kind: Kind) -> Vec<u8> {
        let (producer, control) = match kind {
            Kind::Plain => (NO_PRODUCER_ID, None),
            Kind::Transactional(producer) => (producer, None),
            Kind::Commit(producer) => (producer, Some([0, 0, 0, 1])),
            Kind::Abort(producer) => (producer, Some([0, 0, 0, 0])),
        };
        let raw = |offset: &i64| Raw {
            transactional: producer != NO_PRODUCER_ID,
            control: control.is_some(),
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: producer,
            producer_epoch: 0,
            timestamp_type: TimestampType::Creation,
            offset: *offset,
            sequence: i32::try_from(*offset).expect("small"),
            timestamp: 0,
            key: Some(control.map_or_else(|| Bytes::from(format!("k{offset}")), |key| Bytes::copy_from_slice(&key))),
            value: None,
            headers: kafka_protocol::indexmap::IndexMap::default(),
        };
        let raw: Vec<Raw> = offsets.iter().map(raw).collect();
        let mut out = BytesMut::new();
        RecordBatchEncoder::encode(&mut out, &raw, &RecordEncodeOptions { version: 2, compression: Compression::None }).expect("a batch");
        out.to_vec()
    }

    fn offsets(read: &Read) -> (Vec<i64>, i64) {
        (read.entries.iter().map(|entry| entry.offset).collect(), read.next)
    }

    #[test]
    fn transactions_count_as_the_isolation_level_says() {
        let log = [
            batch(&[0, 1], Kind::Plain),
            batch(&[2], Kind::Transactional(7)),
            batch(&[3], Kind::Transactional(8)),
            batch(&[4], Kind::Abort(7)),
            batch(&[5], Kind::Commit(8)),
            batch(&[6], Kind::Transactional(7)),
            batch(&[7], Kind::Commit(7)),
        ]
        .concat();
        let aborted = [AbortedTransaction::default().with_producer_id(7.into()).with_first_offset(2)];
        for (from, aborted, expected) in [
            (0, Some(&aborted[..]), (vec![0, 1, 3, 6], 8)),
            (0, None, (vec![0, 1, 2, 3, 6], 8)),
            (1, Some(&aborted[..]), (vec![1, 3, 6], 8)),
            (5, Some(&[][..]), (vec![6], 8)),
            (8, Some(&[][..]), (vec![], 8)),
        ] {
            assert_eq!(offsets(&read(log.clone().into(), 0, from, aborted).expect("records")), expected, "from {from}");
        }
    }

    #[test]
    fn gaps_of_compaction_are_passed_over() {
        let log = [batch(&[0, 4], Kind::Plain), batch(&[9], Kind::Plain)].concat();
        assert_eq!(offsets(&read(log.into(), 3, 2, None).expect("records")), (vec![4, 9], 10));
    }

    #[test]
    fn a_batch_that_does_not_add_up_is_refused_with_its_offset() {
        let mut log = batch(&[5], Kind::Plain);
        *log.last_mut().expect("bytes") ^= 1;
        let why = read(log.into(), 0, 5, None).expect_err("refused");
        assert!(why.starts_with("the batch at offset 5 cannot be read: "), "{why}");
    }

    #[test]
    fn no_batch_means_nothing_new() {
        assert_eq!(read(Bytes::new(), 0, 4, None), Ok(Read { entries: Vec::new(), next: 4 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in prop::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 1..20)) {
            let records: Vec<_> = records.into_iter().map(|(key, value)| Record { key, value }).collect();
            let read = read(write(&records, 5).expect("a batch"), 2, 0, None).expect("records");
            prop_assert_eq!(read.next, i64::try_from(records.len()).expect("few"));
            let back: Vec<_> = read.entries.into_iter().map(|entry| Record { key: entry.key.unwrap_or_default().to_vec(), value: entry.value.map(|v| v.to_vec()) }).collect();
            prop_assert_eq!(back, records);
        }

        #[test]
        fn wherever_it_is_cut_off_whole_batches_are_read(cut in 0_usize..400) {
            let log = [batch(&[0, 1], Kind::Plain), batch(&[2], Kind::Plain), batch(&[3, 4, 5], Kind::Plain)].concat();
            let cut = cut.min(log.len());
            let read = read(log[..cut].to_vec().into(), 0, 0, None).expect("records");
            prop_assert_eq!(i64::try_from(read.entries.len()), Ok(read.next));
            prop_assert!([0, 2, 3, 6].contains(&read.next));
        }
    }
}
