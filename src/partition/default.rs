//! `DefaultPartitioner`: the Kafka partition, `partition=<n>`.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Partitioner, Paths};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;

/// One directory for each Kafka partition.
#[derive(Debug)]
struct ByPartition;

/// Builds it; it has no settings.
pub(super) fn build(_props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    Ok(Box::new(ByPartition))
}

impl Partitioner for ByPartition {
    fn paths(&self, batch: &Batch, _now: DateTime<Utc>) -> Paths {
        Paths { codes: vec![0; batch.len()], distinct: vec![Arc::from(format!("partition={}", batch.from.partition))], ..Paths::default() }
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn is_time_based(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch_of, json_column};
    use super::*;

    #[test]
    fn the_kafka_partition_names_the_directory_also_of_tombstones() {
        let batch = batch_of(&json_column(&[Some("{}"), None]), &[None, None]);
        let paths = ByPartition.paths(&batch, DateTime::UNIX_EPOCH);
        assert_eq!((paths.codes.as_slice(), paths.distinct.as_slice()), ([0, 0].as_slice(), [Arc::from("partition=3")].as_slice()));
        assert!(paths.rejects.is_empty() && paths.timestamps.is_empty());
    }
}
