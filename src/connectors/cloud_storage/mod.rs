//! The cloud storage sinks: Confluent's S3, GCS, Azure Blob and ADLS Gen2 connectors, and our own for any URL.
//!
//! One connector in five dressings: the dressings differ in the keys that name the store. `config` holds the keys and their cross-checks; `task`
//! composes stages 4 to 7 (partition, roll, encode, store): `intake` decides on each row of a batch, `writer` is one topic partition, `lane` files that end together, `shape` what a record becomes,
//! `naming` what it is called, `file` one open file, `publish` the moment when objects appear, `ledger` what is on its way, and steers it by the commit protocol,
//! `sweeping` what dead owners left.

use std::sync::Arc;

use lakehead_formats::file::FileFormat;
use lakehead_formats::schema::compatibility::Compatibility;
use lakehead_formats::wire::Want;

use crate::connect::config::{ConfigKey, Report};
use crate::connect::letters::LetterFolder;
use crate::connect::{Connector, Kind, Props, SinkTask, TaskContext, TaskError};
use crate::connectors::letters;
use crate::partition::{Affix, Partitioner};
use crate::roll::Policy;
use crate::store::ObjectSink;
use crate::store::urls::StoreKind;

pub mod config;
mod delivery;
mod file;
mod format_keys;
pub(in crate::connectors) mod intake;
mod lane;
mod ledger;
pub(in crate::connectors) mod naming;
mod publish;
mod relief;
mod shape;
mod staging;
mod sweeping;
mod task;
mod writer;

pub(in crate::connectors) use delivery::store_error;
use writer::Scope;

/// One dressing of the connector.
#[derive(Debug)]
pub struct CloudStorage {
    class: &'static str,
    aliases: &'static [&'static str],
    store: StoreKind,
}

/// `io.confluent.connect.s3.S3SinkConnector`.
pub static S3: CloudStorage = CloudStorage { class: "io.confluent.connect.s3.S3SinkConnector", aliases: &["S3SinkConnector", "S3Sink"], store: StoreKind::S3 };

/// `io.confluent.connect.gcs.GcsSinkConnector`.
pub static GCS: CloudStorage =
    CloudStorage { class: "io.confluent.connect.gcs.GcsSinkConnector", aliases: &["GcsSinkConnector", "GcsSink"], store: StoreKind::Gcs };

/// `io.confluent.connect.azure.blob.AzureBlobStorageSinkConnector`.
pub static AZURE_BLOB: CloudStorage = CloudStorage {
    class: "io.confluent.connect.azure.blob.AzureBlobStorageSinkConnector",
    aliases: &["AzureBlobStorageSinkConnector", "AzureBlobStorageSink"],
    store: StoreKind::AzureBlob,
};

/// `io.confluent.connect.azure.datalake.gen2.AzureDataLakeGen2SinkConnector`.
pub static AZURE_DATA_LAKE: CloudStorage = CloudStorage {
    class: "io.confluent.connect.azure.datalake.gen2.AzureDataLakeGen2SinkConnector",
    aliases: &["AzureDataLakeGen2SinkConnector", "AzureDataLakeGen2Sink"],
    store: StoreKind::AzureDataLake,
};

/// Our own: any store, by `lakehead.store.url`.
pub static ANY_URL: CloudStorage = CloudStorage { class: "io.lakehead.connect.CloudStorageSink", aliases: &["CloudStorageSink"], store: StoreKind::Url };

/// Bytes of waiting rows at which a file's row group is encoded, where no key says it.
const ROW_GROUP_BYTES: u64 = 64 << 20;

/// The files of another connector that is made of the same stages: one object for each file, of the records' values.
#[derive(Debug)]
pub(in crate::connectors) struct Files {
    pub(in crate::connectors) partitioner: Box<dyn Partitioner>,
    pub(in crate::connectors) policy: Policy,
    pub(in crate::connectors) naming: Arc<dyn naming::Naming>,
    pub(in crate::connectors) format: Arc<dyn FileFormat>,
    pub(in crate::connectors) on_null: intake::OnNull,
}

impl Files {
    /// The task that writes them; `props` is the connector's configuration.
    pub(in crate::connectors) fn into_task(self, store: Arc<dyn ObjectSink>, props: &Props, cx: TaskContext) -> Box<dyn SinkTask> {
        let Self { partitioner, policy, naming, format, on_null } = self;
        // the first guess; what files become corrects it
        let ratio = Arc::new(if format.needs_columns() { file::Ratio::new(4 << 20, 1 << 20) } else { file::Ratio::new(1 << 20, 1 << 20) });
        let plan = writer::Plan {
            partitioner,
            policy,
            scope: Scope::TopicPartition,
            naming,
            shapes: vec![shape::Shape::new(shape::View::Value, format)],
            on_null,
            affix: Affix::default(),
            delim: "/".to_owned(),
            tombstones: String::new(),
            evolution: file::Evolution::Modes(Compatibility::None),
            max_open: None,
            scan_limit: 0,
            memory: cx.env.memory.clone(),
            ratio: Arc::clone(&ratio),
        };
        let workshop = delivery::Workshop::new(Arc::clone(&cx.connector), store, cx.env.compute.clone(), cx.env.memory.clone(), ratio, ROW_GROUP_BYTES);
        Box::new(task::CloudStorageTask {
            cx,
            plan: Arc::new(plan),
            workshop,
            rules: publish::Rules::default(),
            configuration: config::fingerprint(props),
            on_former: config::on_former(props),
            partitions: std::collections::BTreeMap::new(),
            behind: crate::batch::Offsets::new(),
            together: std::collections::BTreeSet::new(),
            text_limit: crate::commit::TEXT_LIMIT,
            sweeping: sweeping::Sweeping::default(),
            counts: Arc::default(),
        })
    }
}

impl Connector for CloudStorage {
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
        config::tables(self.store).to_vec()
    }

    fn validate(&self, props: &Props) -> Report {
        config::validate(self.store, props)
    }

    fn want(&self, props: &Props) -> Want {
        match config::format(props, "format.class") {
            Ok(format) if format.needs_columns() => Want::Columns,
            _ => Want::Any,
        }
    }

    fn check_letter_folder(&self, props: &Props, url: &str) -> Result<(), String> {
        letters::check(self.store, props, url)
    }

    fn letter_folder(&self, props: &Props, url: &str, cx: &TaskContext) -> Result<Arc<dyn LetterFolder>, TaskError> {
        letters::open(self.store, props, url, cx)
    }

    fn sink_task(&self, props: &Props, cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        let settings = config::Settings::from_props(props).map_err(|errors| TaskError::bad_config(&errors).with("connector", &cx.connector))?;
        for warning in settings.warnings(props) {
            tracing::warn!(connector = %cx.connector, "{warning}");
        }
        let store = cx.env.stores.open(self.store, props, cx.health.clone()).map_err(store_error)?;
        let ratio = Arc::new(settings.expected_ratio());
        let (configuration, on_former) = (config::fingerprint(props), settings.on_former);
        let (rules, row_group_bytes) = (settings.rules.clone(), settings.row_group_bytes);
        let plan = settings.into_plan(cx.env.memory.clone(), Arc::clone(&ratio));
        let workshop = delivery::Workshop::new(Arc::clone(&cx.connector), store, cx.env.compute.clone(), cx.env.memory.clone(), ratio, row_group_bytes);
        Ok(Box::new(task::CloudStorageTask {
            cx,
            plan: Arc::new(plan),
            workshop,
            rules,
            configuration,
            on_former,
            partitions: std::collections::BTreeMap::new(),
            behind: crate::batch::Offsets::new(),
            together: std::collections::BTreeSet::new(),
            text_limit: crate::commit::TEXT_LIMIT,
            sweeping: sweeping::Sweeping::default(),
            counts: Arc::default(),
        }))
    }
}
