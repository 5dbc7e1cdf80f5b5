//! What brokers and other workers send.

use bytes::Bytes;
use lakehead::cluster::Record;
use lakehead::cluster::broker::Address;
use lakehead::cluster::log::batches;
use lakehead::cluster::protocol::{Assignment, Metadata, Protocol};
use lakehead::cluster::session::Signature;

use super::{pieces, split};

/// The bytes that members of a Connect group exchange.
pub(crate) fn group_protocol(data: &[u8]) {
    if let Ok(metadata) = Metadata::parse(data) {
        let bytes = metadata.to_bytes(Protocol::Sessioned);
        assert_eq!(Metadata::parse(&bytes), Ok(metadata));
    }
    if let Ok(assignment) = Assignment::parse(data) {
        let bytes = assignment.to_bytes(Protocol::Sessioned);
        assert_eq!(Assignment::parse(&bytes), Ok(assignment));
    }
}

/// Batches of records, as fetches bring them; and as they are written.
pub(crate) fn record_batches(data: &[u8]) {
    let from = i64::from(data.first().copied().unwrap_or(0));
    if let Ok(read) = batches::read(Bytes::copy_from_slice(data), 0, from, None) {
        assert!(read.next >= from && read.entries.iter().all(|entry| entry.offset >= from));
    }
    let records: Vec<Record> =
        pieces(data).chunks(2).filter_map(|pair| Some(Record { key: pair.first()?.to_vec(), value: pair.get(1).map(|value| value.to_vec()) })).collect();
    let Ok(batch) = batches::write(&records, 1_700_000_000_000) else { return };
    let read = batches::read(batch, 0, 0, None).expect("its own batch");
    assert_eq!(read.entries.len(), records.len());
    for (entry, record) in read.entries.iter().zip(&records) {
        assert_eq!((entry.key.as_deref(), entry.value.as_deref()), (Some(&record.key[..]), record.value.as_deref()));
    }
}

/// Headers of requests between workers, and addresses of brokers.
pub(crate) fn rest_signature(data: &[u8]) {
    let (signature, algorithm) = split(data);
    let (Ok(signature), Ok(algorithm)) = (std::str::from_utf8(signature), std::str::from_utf8(algorithm)) else { return };
    if let Err(refused) = Signature::from_headers(Some(signature), Some(algorithm)) {
        assert_eq!(refused.status, 400);
    }
    if let Some(address) = Address::parse(signature) {
        assert_eq!(Address::parse(&address.to_string()), Some(address));
    }
}
