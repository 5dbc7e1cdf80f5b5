//! A configuration: the statements and everything around them, checked.

use std::num::NonZeroU64;
use std::sync::Arc;

use lakehead_formats::file::FileFormat;

use super::format::Format;
use super::kcql::{self, Statement};
use super::names::{Common, Flush, Names, Sink};
use super::paths::Rows;
use super::{Cloud, keys, store};
use crate::connect::Props;
use crate::connect::config::{ConfigError, Report, Values, check};
use crate::connectors::cloud_storage::Files;
use crate::connectors::cloud_storage::config::PLAN_KEYS;
use crate::connectors::cloud_storage::intake::OnNull;
use crate::roll::Policy;
use crate::store::urls;

/// A statement, checked and built.
#[derive(Debug)]
pub(super) struct Target {
    /// `None` = every topic.
    pub(super) topic: Option<String>,
    pub(super) bucket: String,
    pub(super) prefix: String,
    /// What stands behind `STOREAS`.
    pub(super) stored: Format,
    format: Arc<dyn FileFormat>,
    flush: Flush,
    paths: Rows,
    names: Names,
    on_null: OnNull,
}

impl Target {
    /// Its files.
    pub(super) fn into_files(self) -> Files {
        let Self { format, flush, paths, names, on_null, .. } = self;
        Files { partitioner: Box::new(paths), policy: policy(flush), naming: Arc::new(names), format, on_null }
    }
}

fn policy(flush: Flush) -> Policy {
    Policy {
        flush_size: NonZeroU64::MAX,
        rotate_interval_ms: None,
        on_path_change: false,
        schedule: None,
        max_file_bytes: NonZeroU64::new(flush.bytes),
        max_file_rows: flush.records.and_then(NonZeroU64::new),
        max_age_ms: Some(i64::try_from(flush.seconds).unwrap_or(i64::MAX).saturating_mul(1000)),
    }
}

/// The configuration with the connector's own keys in lower case: upstream takes them in any.
pub(super) fn lower_cased(cloud: Cloud, props: &Props) -> Props {
    let lower = |name: &String| Some(name.to_ascii_lowercase()).filter(|lower| lower.starts_with(cloud.prefix())).unwrap_or_else(|| name.clone());
    props.iter().map(|(name, value)| (lower(name), value.clone())).collect()
}

/// Every statement, or every problem with them.
pub(super) fn targets(cloud: Cloud, props: &Props) -> Result<Vec<Target>, Vec<ConfigError>> {
    let tables = [cloud.keys()];
    let values = Values { tables: &tables, props };
    let key = |rest: &str| format!("{}.{rest}", cloud.prefix());
    let error = |message| ConfigError::new(key("kcql"), message);
    let codec = key("compression.codec");
    let padding = key("padding.strategy");
    if let Err(why) = keys::padding(values.text(&padding)) {
        let message = format!("Invalid value {} for configuration {padding}: {why}", values.text(&padding));
        return Err(vec![ConfigError::new(padding, message)]);
    }
    let common = Common {
        prefix: cloud.prefix(),
        padding: values.non_blank(&padding).map(|kind| (kind, values.long(&key("padding.length")).unwrap_or(-1))),
        codec: Some("gz").filter(|_| values.text(&codec).eq_ignore_ascii_case("GZIP")),
        is_count_disabled: values.boolean(&key("disable.flush.count")),
    };
    let on_null = if values.boolean(&key("skip.null.values")) { OnNull::Ignore { report: false } } else { OnNull::Keep };
    let level = values.long(&key("compression.level")).unwrap_or(-1);
    let target = |statement: Statement| {
        let Sink { flush, paths, format, names } = Sink::new(&statement, common).map_err(error)?;
        let built = format.build(values.text(&codec), level).map_err(|message| ConfigError::new(codec.clone(), message))?;
        let Statement { bucket, prefix, topic, .. } = statement;
        Ok(Target { topic, bucket, prefix: prefix.unwrap_or_default(), stored: format, format: built, flush, paths, names, on_null })
    };
    let statements = kcql::parse(values.text(&key("kcql"))).map_err(|message| vec![error(message)])?;
    if let Err(message) = one_for_each_topic(&statements, props) {
        return Err(vec![error(message)]);
    }
    let (built, failed): (Vec<_>, Vec<_>) = statements.into_iter().map(target).partition(Result::is_ok);
    let errors: Vec<ConfigError> = failed.into_iter().filter_map(Result::err).collect();
    if errors.is_empty() { Ok(built.into_iter().filter_map(Result::ok).collect()) } else { Err(errors) }
}

/// A topic's records go to the first statement that names it: one behind it would never get any.
fn one_for_each_topic(statements: &[Statement], props: &Props) -> Result<(), String> {
    for (at, statement) in statements.iter().enumerate() {
        let earlier = statements.iter().take(at).find(|earlier| earlier.topic.is_none() || earlier.topic == statement.topic);
        if let Some(earlier) = earlier {
            let of = |statement: &Statement| statement.topic.clone().unwrap_or_else(|| "*".to_owned());
            return Err(format!(
                "the statement FROM {} never gets a record: the one FROM {} before it takes them; have another connector write a topic to a second place",
                of(statement),
                of(earlier)
            ));
        }
    }
    // a transform may send records to other topics
    let topics = props.get("topics").filter(|_| !props.contains_key("transforms")).map_or("", String::as_str);
    let has_statement = |topic: &&str| statements.iter().any(|statement| statement.topic.as_deref().is_none_or(|named| named == *topic));
    match topics.split(',').map(str::trim).filter(|topic| !topic.is_empty()).find(|topic| !has_statement(topic)) {
        Some(topic) => Err(no_statement(topic)),
        None => Ok(()),
    }
}

/// What is said of a topic that no statement names, in upstream's words.
pub(super) fn no_statement(topic: &str) -> String {
    format!(
        "Can't find the KCQL for source topic [{topic}]. The topics defined via [topics] or [topics.regex] need to have an equivalent KCQL statement: INSERT INTO \
         {{DESTINATION}} SELECT * FROM {{TOPIC}}."
    )
}

/// Every problem of a configuration.
pub(super) fn validate(cloud: Cloud, props: &Props) -> Report {
    let tables = [cloud.keys()];
    let props = &lower_cased(cloud, props);
    let mut report = check(&[cloud.keys(), PLAN_KEYS], props, |_| false);
    let mut across = store::problems(cloud, Values { tables: &tables, props });
    match targets(cloud, props) {
        Err(errors) => across.extend(errors),
        Ok(targets) => across.extend(targets.iter().flat_map(|target| {
            let (kind, translated) = store::translated(cloud, props, &target.bucket, &target.prefix);
            urls::validate(kind, &translated).into_iter().map(|error| store::untranslated(cloud, error))
        })),
    }
    report.add(across);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(cloud: Cloud, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        validate(cloud, &props).errors.into_iter().map(|error| (error.key, error.message)).collect()
    }

    const ANY: (&str, &str) = ("connect.s3.kcql", "INSERT INTO box:p SELECT * FROM *");

    #[test]
    fn configurations_that_are_taken() {
        for (cloud, settings) in [
            (Cloud::S3, &[ANY][..]),
            (Cloud::S3, &[("CONNECT.S3.KCQL", ANY.1), ("topics", "a,b")]),
            (Cloud::S3, &[("connect.s3.kcql", "INSERT INTO b SELECT * FROM t; INSERT INTO c:p SELECT * FROM u STOREAS `PARQUET`"), ("topics", "t, u")]),
            (Cloud::S3, &[ANY, ("connect.s3.aws.auth.mode", "Credentials"), ("connect.s3.aws.access.key", "a"), ("connect.s3.aws.secret.key", "s")]),
            (Cloud::S3, &[ANY, ("connect.s3.compression.codec", "GZIP"), ("connect.s3.compression.level", "9"), ("connect.s3.error.policy", "RETRY")]),
            (Cloud::S3, &[ANY, ("connect.s3.padding.strategy", "noop"), ("connect.s3.exactly.once.enable", "false"), ("connect.s3.vhost.bucket", "true")]),
            (Cloud::Gcs, &[("connect.gcpstorage.kcql", ANY.1), ("connect.gcpstorage.gcp.auth.mode", "none")]),
            (Cloud::DataLake, &[("connect.datalake.kcql", ANY.1), ("connect.datalake.endpoint", "https://acme.dfs.core.windows.net")]),
        ] {
            assert_eq!(errors(cloud, settings), [], "{settings:?}");
        }
    }

    #[test]
    fn configurations_that_are_refused_by_name() {
        let with = |kcql: &'static str| ("connect.s3.kcql", kcql);
        for (cloud, settings, key, part) in [
            (Cloud::S3, &[][..], "connect.s3.kcql", "Missing required configuration"),
            (Cloud::S3, &[with("INSERT INTO b SELECT * FROM *; INSERT INTO c SELECT * FROM t")], "connect.s3.kcql", "FROM t never gets a record"),
            (Cloud::S3, &[with("INSERT INTO b SELECT * FROM t"), ("topics", "t,u")], "connect.s3.kcql", "Can't find the KCQL for source topic [u]"),
            (Cloud::S3, &[with("INSERT INTO b SELECT * FROM t STOREAS `CSV`")], "connect.s3.kcql", "STOREAS `CSV` is not supported yet"),
            (Cloud::S3, &[with("INSERT INTO b SELECT * FROM t STOREAS `BYTES` PROPERTIES('flush.count'=2)")], "connect.s3.kcql", "not allowed for BYTES"),
            (Cloud::S3, &[with("INSERT INTO b SELECT * FROM t WITH_FLUSH_COUNT = 1")], "connect.s3.kcql", "have been replaced"),
            (Cloud::S3, &[ANY, ("connect.s3.compression.codec", "ZSTD")], "connect.s3.compression.codec", "JSON files are not compressed with ZSTD"),
            (Cloud::S3, &[ANY, ("connect.s3.compression.codec", "zip")], "connect.s3.compression.codec", "String must be one of"),
            (Cloud::S3, &[ANY, ("connect.s3.padding.strategy", "RightPad")], "connect.s3.padding.strategy", "zeros on the right give several offsets one name"),
            (Cloud::S3, &[ANY, ("connect.s3.padding.strategy", "Both")], "connect.s3.padding.strategy", "String must be one of"),
            (Cloud::S3, &[ANY, ("connect.s3.error.policy", "NOOP")], "connect.s3.error.policy", "records are never swallowed"),
            (Cloud::S3, &[ANY, ("connect.s3.schema.change.detector", "version")], "connect.s3.schema.change.detector", "any change of the schema"),
            (Cloud::S3, &[ANY, ("connect.s3.aws.auth.mode", "role")], "connect.s3.aws.auth.mode", "String must be one of"),
            (Cloud::S3, &[ANY, ("aws.vhost.bucket", "true")], "aws.vhost.bucket", "Change `aws.vhost.bucket` to `connect.s3.vhost.bucket`."),
            (Cloud::S3, &[ANY, ("connect.s3.custom.endpoint", "ftp://x")], "connect.s3.custom.endpoint", "is not http or https"),
            (
                Cloud::Gcs,
                &[("connect.gcpstorage.kcql", ANY.1), ("connect.gcpstorage.gcp.auth.mode", "FILE")],
                "connect.gcpstorage.gcp.file",
                "No `connect.gcpstorage.gcp.file` specified",
            ),
            (Cloud::DataLake, &[("connect.datalake.kcql", ANY.1)], "connect.datalake.azure.account.name", "asks for it"),
        ] {
            let found = errors(cloud, settings);
            assert!(found.len() == 1 && found[0].0 == key && found[0].1.contains(part), "{settings:?}: {found:?}");
        }
    }
}
