//! Lenses' S3, GCS and Data Lake sinks: their configurations are read and checked, and refused.
//!
//! `kcql` reads statements, `names` says what a statement asks for and what its objects would be called. Running them is not there: a name has the last offset of
//! its file, and upstream's guarantee rests on lock objects in the bucket. [`Lenses::validate`] therefore always has a problem with `connector.class`, beside
//! those that the statements have, so that whoever moves such a configuration sees all of them at once.

use lakehead_formats::wire::Want;

use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Report, Type, Values, check};
use crate::connect::{Connector, ErrorKind, Kind, Props, SinkTask, TaskContext, TaskError};

pub mod kcql;
pub mod names;

/// One of the three connectors.
#[derive(Debug)]
pub struct Lenses {
    class: &'static str,
    prefix: &'static str,
    ours: &'static str,
    keys: &'static [ConfigKey],
}

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Medium, group: "Lenses", doc, check: Check::Any }
}

/// The keys that are read, under a connector's prefix.
macro_rules! keys {
    ($prefix:literal) => {
        &[
            ConfigKey {
                required: true,
                importance: Importance::High,
                check: Check::NotBlank,
                ..key(concat!($prefix, ".kcql"), Type::String, None, "What goes where: INSERT INTO bucket:prefix SELECT * FROM topic … .")
            },
            key(concat!($prefix, ".compression.codec"), Type::String, Some("UNCOMPRESSED"), "Codec of files."),
            key(concat!($prefix, ".disable.flush.count"), Type::Boolean, Some("false"), "True: the number of records ends no file."),
            key(concat!($prefix, ".padding.strategy"), Type::String, Some(""), "How offsets are filled up: LeftPad, RightPad or NoOp."),
            key(concat!($prefix, ".padding.length"), Type::Int, Some("-1"), "Least digits of offsets."),
        ]
    };
}

/// `io.lenses.streamreactor.connect.aws.s3.sink.S3SinkConnector`.
pub static S3: Lenses = Lenses {
    class: "io.lenses.streamreactor.connect.aws.s3.sink.S3SinkConnector",
    prefix: "connect.s3",
    ours: "io.confluent.connect.s3.S3SinkConnector",
    keys: keys!("connect.s3"),
};

/// `io.lenses.streamreactor.connect.gcp.storage.sink.GCPStorageSinkConnector`.
pub static GCS: Lenses = Lenses {
    class: "io.lenses.streamreactor.connect.gcp.storage.sink.GCPStorageSinkConnector",
    prefix: "connect.gcpstorage",
    ours: "io.confluent.connect.gcs.GcsSinkConnector",
    keys: keys!("connect.gcpstorage"),
};

/// `io.lenses.streamreactor.connect.datalake.sink.DatalakeSinkConnector`.
pub static DATA_LAKE: Lenses = Lenses {
    class: "io.lenses.streamreactor.connect.datalake.sink.DatalakeSinkConnector",
    prefix: "connect.datalake",
    ours: "io.lakehead.connect.CloudStorageSink",
    keys: keys!("connect.datalake"),
};

impl Lenses {
    /// Why no configuration of this class runs.
    fn refusal(&self) -> String {
        format!(
            "Invalid value {} for configuration connector.class: Lenses' sinks are not supported yet: objects named by their last offset, and lock objects, are \
             not written here; use {} with the TemplatePartitioner",
            self.class, self.ours
        )
    }

    /// Every statement's problems.
    fn statements(&self, props: &Props) -> Vec<String> {
        let tables = [self.keys];
        let values = Values { tables: &tables, props };
        let name = |rest: &str| format!("{}.{rest}", self.prefix);
        let text = values.text(&name("kcql"));
        if text.is_empty() {
            return Vec::new(); // reported as missing
        }
        let padding = values.non_blank(&name("padding.strategy")).map(|kind| (kind, values.long(&name("padding.length")).unwrap_or(-1)));
        let codec = Some("gz").filter(|_| values.text(&name("compression.codec")).eq_ignore_ascii_case("GZIP"));
        let is_count_disabled = values.boolean(&name("disable.flush.count"));
        match kcql::parse(text) {
            Err(message) => vec![message],
            Ok(statements) => {
                let checked = statements.iter().map(|statement| names::Sink::new(statement, padding, codec, is_count_disabled));
                checked.filter_map(Result::err).collect()
            }
        }
    }
}

impl Connector for Lenses {
    fn class(&self) -> &'static str {
        self.class
    }

    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn keys(&self) -> Vec<&'static [ConfigKey]> {
        vec![self.keys]
    }

    fn validate(&self, props: &Props) -> Report {
        let mut report = check(&[self.keys], props, |name| name.starts_with(self.prefix));
        let statements = self.statements(props);
        if let Some(first) = statements.first() {
            report.errors.push(ConfigError::new(format!("{}.kcql", self.prefix), first.clone()));
        }
        report.errors.push(ConfigError::new("connector.class", self.refusal()));
        report
    }

    fn want(&self, _props: &Props) -> Want {
        Want::Any
    }

    fn sink_task(&self, _props: &Props, cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        Err(TaskError::new(ErrorKind::BadConfig, self.refusal()).with("connector", &cx.connector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(connector: &Lenses, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        connector.validate(&props).errors.into_iter().map(|error| (error.key, error.message)).collect()
    }

    #[test]
    fn every_configuration_is_refused_with_the_way_out() {
        for connector in [&S3, &GCS, &DATA_LAKE] {
            let kcql = format!("{}.kcql", connector.prefix);
            let found = errors(connector, &[(&kcql, "INSERT INTO b SELECT * FROM t")]);
            assert!(found.len() == 1 && found[0].0 == "connector.class" && found[0].1.contains("TemplatePartitioner"), "{found:?}");
        }
    }

    #[test]
    fn statements_are_checked_all_the_same() {
        for (settings, key, part) in [
            (&[][..], "connect.s3.kcql", "Missing required configuration"),
            (
                &[("connect.s3.kcql", "INSERT INTO b SELECT * FROM t STOREAS `BYTES` PROPERTIES('flush.count'=2)")],
                "connect.s3.kcql",
                "flush.count > 1 is not allowed for BYTES",
            ),
            (
                &[("connect.s3.kcql", "INSERT INTO b SELECT * FROM t STOREAS `JSON` WITH_FLUSH_COUNT = 1")],
                "connect.s3.kcql",
                "The KCQL keywords WITH_FLUSH_COUNT, WITH_FLUSH_SIZE, and WITH_FLUSH_INTERVAL have been replaced",
            ),
        ] {
            let found = errors(&S3, settings);
            assert!(found.len() == 2 && found[0].0 == key && found[0].1.contains(part) && found[1].0 == "connector.class", "{found:?}");
        }
    }
}
