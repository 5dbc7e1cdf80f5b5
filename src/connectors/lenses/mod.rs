//! Lenses' S3, GCS and Data Lake sinks.
//!
//! Statements in KCQL say which topic goes where, in which format and under which names. Parts: `kcql` reads statements, `paths` says which directory a record
//! goes to, `names` what a file is called (by its last offset: a name is known when the file ends), `format` what is in it, `keys`, `store` and `config` hold the
//! keys, `task` divides records between the statements. The stages are those of the cloud storage sinks.
//!
//! Guarantee: at least once. Upstream keeps its place in lock objects in the bucket; here Kafka's own offsets do, committed when files are visible.

use std::sync::Arc;

use lakehead_formats::wire::Want;

use crate::connect::config::{ConfigKey, Report};
use crate::connect::letters::LetterFolder;
use crate::connect::{Connector, Kind, Props, SinkTask, TaskContext, TaskError};
use crate::connectors::cloud_storage::config::PLAN_KEYS;
use crate::connectors::letters;
use crate::store::urls::StoreKind;

mod config;
mod format;
mod kcql;
mod keys;
mod names;
mod paths;
mod shares;
mod store;
mod task;

/// Whose store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    S3,
    Gcs,
    DataLake,
}

impl Cloud {
    /// What every key begins with.
    fn prefix(self) -> &'static str {
        match self {
            Self::S3 => "connect.s3",
            Self::Gcs => "connect.gcpstorage",
            Self::DataLake => "connect.datalake",
        }
    }

    fn keys(self) -> &'static [ConfigKey] {
        match self {
            Self::S3 => keys::S3,
            Self::Gcs => keys::GCS,
            Self::DataLake => keys::DATA_LAKE,
        }
    }
}

/// One of the three connectors.
#[derive(Debug)]
pub struct Lenses {
    class: &'static str,
    cloud: Cloud,
}

/// `io.lenses.streamreactor.connect.aws.s3.sink.S3SinkConnector`; its short name is that of Confluent's.
pub static S3: Lenses = Lenses { class: "io.lenses.streamreactor.connect.aws.s3.sink.S3SinkConnector", cloud: Cloud::S3 };

/// `io.lenses.streamreactor.connect.gcp.storage.sink.GCPStorageSinkConnector`.
pub static GCS: Lenses = Lenses { class: "io.lenses.streamreactor.connect.gcp.storage.sink.GCPStorageSinkConnector", cloud: Cloud::Gcs };

/// `io.lenses.streamreactor.connect.datalake.sink.DatalakeSinkConnector`.
pub static DATA_LAKE: Lenses = Lenses { class: "io.lenses.streamreactor.connect.datalake.sink.DatalakeSinkConnector", cloud: Cloud::DataLake };

impl Lenses {
    /// How the store is reached, whatever the bucket.
    fn own_store(&self, props: &Props) -> (StoreKind, Props) {
        store::translated(self.cloud, &config::lower_cased(self.cloud, props), "", "")
    }
}

impl Connector for Lenses {
    fn class(&self) -> &'static str {
        self.class
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn keys(&self) -> Vec<&'static [ConfigKey]> {
        vec![self.cloud.keys(), PLAN_KEYS]
    }

    fn validate(&self, props: &Props) -> Report {
        config::validate(self.cloud, props)
    }

    fn want(&self, props: &Props) -> Want {
        // Schemaless JSON becomes columns when no statement would rather have it as it is; otherwise AVRO and PARQUET refuse it, as upstream.
        let targets = config::targets(self.cloud, &config::lower_cased(self.cloud, props)).unwrap_or_default();
        let has_columns = |target: &config::Target| target.stored.has_columns();
        if !targets.is_empty() && targets.iter().all(has_columns) { Want::Columns } else { Want::Any }
    }

    fn check_letter_folder(&self, props: &Props, url: &str) -> Result<(), String> {
        let (kind, translated) = self.own_store(props);
        letters::check(kind, &translated, url)
    }

    fn letter_folder(&self, props: &Props, url: &str, cx: &TaskContext) -> Result<Arc<dyn LetterFolder>, TaskError> {
        let (kind, translated) = self.own_store(props);
        letters::open(kind, &translated, url, cx)
    }

    fn sink_task(&self, props: &Props, cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        let props = config::lower_cased(self.cloud, props);
        let targets = config::targets(self.cloud, &props).map_err(|errors| TaskError::bad_config(&errors).with("connector", &cx.connector))?;
        let route = |target: config::Target| {
            let (kind, translated) = store::translated(self.cloud, &props, &target.bucket, &target.prefix);
            let store = cx.env.stores.open(kind, &translated, cx.health.clone()).map_err(crate::connectors::cloud_storage::store_error)?;
            Ok(task::Route { topic: target.topic.clone(), task: target.into_files().into_task(store, &props, cx.clone()) })
        };
        Ok(Box::new(task::LensesTask::new(targets.into_iter().map(route).collect::<Result<_, TaskError>>()?)))
    }
}
