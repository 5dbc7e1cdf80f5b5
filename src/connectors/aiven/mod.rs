//! Aiven's S3, GCS and Azure Blob sinks.
//!
//! Records are collected and, every `offset.flush.interval.ms`, written as objects whose names come from a template. Parts: `template` reads templates,
//! `groups` says which object a record goes to, `rows` takes the requested parts of records, `config` and `store` hold the keys, `task` composes them.

use std::sync::Arc;

use crate::connect::config::{ConfigError, ConfigKey, Report};
use crate::connect::letters::LetterFolder;
use crate::connect::{Connector, Kind, Props, SinkTask, TaskContext, TaskError};
use crate::connectors::letters;
use lakehead_formats::wire::Want;

mod config;
mod groups;
mod rows;
mod store;
mod task;
mod template;

/// Whose sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    S3,
    Gcs,
    Azure,
}

/// One of the three connectors.
#[derive(Debug)]
pub struct Aiven {
    class: &'static str,
    aliases: &'static [&'static str],
    cloud: Cloud,
}

/// `io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector`.
pub static S3: Aiven =
    Aiven { class: "io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector", aliases: &["AivenKafkaConnectS3SinkConnector"], cloud: Cloud::S3 };

/// `io.aiven.kafka.connect.gcs.GcsSinkConnector`; its short name is that of Confluent's.
pub static GCS: Aiven = Aiven { class: "io.aiven.kafka.connect.gcs.GcsSinkConnector", aliases: &[], cloud: Cloud::Gcs };

/// `io.aiven.kafka.connect.azure.sink.AzureBlobSinkConnector`.
pub static AZURE_BLOB: Aiven =
    Aiven { class: "io.aiven.kafka.connect.azure.sink.AzureBlobSinkConnector", aliases: &["AzureBlobSinkConnector", "AzureBlobSink"], cloud: Cloud::Azure };

impl Connector for Aiven {
    fn class(&self) -> &'static str {
        self.class
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn keys(&self) -> Vec<&'static [ConfigKey]> {
        config::tables(self.cloud).to_vec()
    }

    fn validate(&self, props: &Props) -> Report {
        config::validate(self.cloud, props)
    }

    fn want(&self, _props: &Props) -> Want {
        Want::Any
    }

    fn check_letter_folder(&self, props: &Props, url: &str) -> Result<(), String> {
        let (kind, translated) = store::translated(self.cloud, props);
        letters::check(kind, &translated, url)
    }

    fn letter_folder(&self, props: &Props, url: &str, cx: &TaskContext) -> Result<Arc<dyn LetterFolder>, TaskError> {
        let (kind, translated) = store::translated(self.cloud, props);
        letters::open(kind, &translated, url, cx)
    }

    fn sink_task(&self, props: &Props, cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        let refused = |errors: Vec<ConfigError>| TaskError::bad_config(&errors).with("connector", &cx.connector);
        // in the words of these keys: those of the store would quote what a connection string holds
        let report = config::validate(self.cloud, props);
        if !report.errors.is_empty() {
            return Err(refused(report.errors));
        }
        let settings = config::Settings::from_props(self.cloud, props).map_err(refused)?;
        let (kind, translated) = store::translated(self.cloud, props);
        let store = cx.env.stores.open(kind, &translated, cx.health.clone()).map_err(super::cloud_storage::store_error)?;
        Ok(Box::new(task::AivenTask::new(cx, settings, store)))
    }
}
