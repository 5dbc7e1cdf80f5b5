//! Every key of the sinks, a value other than its default, and what shows its effect.
//!
//! The S3 sink's keys are those of upstream's definition (`tests/rest/s3_keys.txt`), those of the others what is known of them. A row names a test or a
//! conformance vector, or says that other values are refused, or that the key does nothing, which the documentation must say too. The rows' values together
//! are configurations that are valid; keys that exclude each other are in different ones ([`APART`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lakehead::connect::config::ConfigKey;
use lakehead::connect::{Connector, Props};
use lakehead::plugins::CONNECTORS;
use serde_json::Value;

use crate::played::{JSON, Put, TIME, run};
use crate::store::Recorder;

/// What shows that a key acts.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// A test: file and function. The file names the key.
    By(&'static str, &'static str),
    /// A conformance vector that sets the key.
    Vector(&'static str),
    /// That value is refused, with a reason that contains this text.
    Refused(&'static str, &'static str),
    /// Nothing: the documentation says that it is without effect.
    Nothing,
}

use Shown::{By, Nothing, Refused, Vector};

/// Key, value (empty: none but the default is taken), and what shows its effect.
type Row = (&'static str, &'static str, Shown);

const OBJECTS: &str = "tests/keys/objects.rs";
const CONTENTS: &str = "tests/keys/contents.rs";
const REQUESTS: &str = "tests/keys/requests.rs";
const HEADERS: &str = "tests/store/headers.rs";
const CREDENTIALS: &str = "tests/store/credentials.rs";

/// Keys of every storage sink: Connector, Schema, Storage, Partitioner, Keys and Headers.
const COMMON: &[Row] = &[
    ("format.class", JSON, By(OBJECTS, "names_of_objects")),
    ("flush.size", "500", By(OBJECTS, "ends_of_objects")),
    ("rotate.interval.ms", "3600000", By(OBJECTS, "ends_of_objects")),
    ("rotate.schedule.interval.ms", "600000", By(OBJECTS, "ends_of_objects")),
    ("schemas.cache.config", "10", Nothing),
    ("schema.cache.size", "10", Nothing),
    ("enhanced.avro.schema.support", "false", By(CONTENTS, "what_files_hold")),
    ("connect.meta.data", "false", By(CONTENTS, "what_files_hold")),
    ("retry.backoff.ms", "100", Nothing),
    ("filename.offset.zero.pad.width", "3", By(OBJECTS, "names_of_objects")),
    ("avro.codec", "deflate", By(CONTENTS, "what_files_hold")),
    ("allow.optional.map.keys", "true", By(CONTENTS, "what_files_hold")),
    ("parquet.codec", "zstd", By(CONTENTS, "codecs_of_parquet_files")),
    ("schema.compatibility", "BACKWARD", By(OBJECTS, "ends_of_objects")),
    ("lakehead.schema.merge", "true", By(OBJECTS, "ends_of_objects")),
    ("json.decimal.format", "NUMERIC", By(CONTENTS, "what_files_hold")),
    ("format.bytearray.extension", ".txt", By(OBJECTS, "names_of_objects")),
    ("format.bytearray.separator", "||", By(CONTENTS, "what_files_hold")),
    ("behavior.on.null.values", "write", By(OBJECTS, "null_values")),
    ("report.null.values.to.dlq", "false", By(OBJECTS, "null_values")),
    ("max.write.duration.ms", "1000", Nothing),
    ("rotate.file.on.partition.change", "false", By(OBJECTS, "ends_of_objects")),
    ("tombstone.encoded.partition", "gone", By(OBJECTS, "objects_beside_those_of_values")),
    ("s3.schema.partition.affix.type", "SUFFIX", By(OBJECTS, "names_of_objects")),
    ("enable.conditional.writes", "false", By(CONTENTS, "names_that_are_taken")),
    ("max.files.scan.limit", "10", By(CONTENTS, "names_that_are_taken")),
    ("partitioner.max.open.files", "20", By(OBJECTS, "ends_of_objects")),
    ("store.kafka.keys", "true", By(OBJECTS, "objects_beside_those_of_values")),
    ("store.kafka.headers", "true", By(OBJECTS, "objects_beside_those_of_values")),
    ("keys.format.class", JSON, By(OBJECTS, "objects_beside_those_of_values")),
    ("headers.format.class", JSON, By(OBJECTS, "objects_beside_those_of_values")),
    ("topics.dir", "lake/raw", By(OBJECTS, "names_of_objects")),
    ("directory.delim", "_", By(OBJECTS, "names_of_objects")),
    ("file.delim", "-", By(OBJECTS, "names_of_objects")),
    ("partitioner.class", TIME, By(OBJECTS, "directories_of_objects")),
    ("partition.field.name", "country,user.city", By(OBJECTS, "directories_of_objects")),
    ("partition.duration.ms", "1800000", By(OBJECTS, "directories_of_objects")),
    ("path.format", "'day'=MM-dd", By(OBJECTS, "directories_of_objects")),
    ("locale", "de", By("src/calendar/pattern.rs", "joda_patterns_that_are_refused")),
    ("timezone", "Asia/Kolkata", By(OBJECTS, "directories_of_objects")),
    ("timestamp.extractor", "RecordField", By(OBJECTS, "directories_of_objects")),
    ("timestamp.field", "paid", By(OBJECTS, "directories_of_objects")),
    ("store.url", "http://localhost:9000", By(HEADERS, "objects_go_through_the_proxy_with_its_password")),
];

const S3: &[Row] = &[
    ("storage.class", "io.confluent.connect.s3.storage.S3Storage", Refused("com.example.Storage", "could not be found")),
    ("s3.bucket.name", "lake", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("s3.object.tagging", "true", By(CONTENTS, "tags_of_objects")),
    ("s3.object.tagging.key.value.pairs", "team:data,env:prod", Vector("X015")),
    ("s3.object.behavior.on.tagging.error", "fail", By(CONTENTS, "tags_of_objects")),
    ("s3.region", "eu-north-1", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("s3.part.size", "5242880", By(REQUESTS, "sizes_of_parts")),
    (
        "s3.credentials.provider.class",
        "software.amazon.awssdk.auth.credentials.ProfileCredentialsProvider",
        By(CREDENTIALS, "keys_of_the_environment_of_profiles_and_of_processes"),
    ),
    ("aws.access.key.id", "ID", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("aws.secret.access.key", "word", By("tests/store/main.rs", "s3_settings_that_are_wrong_are_told_by_name")),
    ("s3.ssea.name", "AES256", By(HEADERS, "encryption_is_asked_for_as_upstream_asks")),
    ("s3.sse.customer.key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", By(HEADERS, "encryption_is_asked_for_as_upstream_asks")),
    ("s3.sse.kms.key.id", "alias/lake", By(HEADERS, "encryption_is_asked_for_as_upstream_asks")),
    ("s3.acl.canned", "bucket-owner-full-control", By(HEADERS, "acls_digests_and_storage_classes_go_with_objects")),
    ("s3.wan.mode", "true", By(REQUESTS, "hosts_of_buckets")),
    ("s3.path.style.access.enabled", "false", By(REQUESTS, "hosts_of_buckets")),
    ("s3.compression.type", "gzip", By(OBJECTS, "names_of_objects")),
    ("s3.compression.level", "9", By(CONTENTS, "what_files_hold")),
    ("s3.part.retries", "5", By(HEADERS, "tagging_gives_up_after_its_attempts_and_says_so")),
    ("s3.retry.backoff.ms", "1000", By(REQUESTS, "waits_between_attempts")),
    ("s3.send.digest", "true", By(HEADERS, "acls_digests_and_storage_classes_go_with_objects")),
    ("s3.http.send.expect.continue", "false", Nothing),
    ("s3.proxy.url", "http://proxy:3128", By(HEADERS, "objects_go_through_the_proxy_with_its_password")),
    ("s3.proxy.user", "me", By(HEADERS, "objects_go_through_the_proxy_with_its_password")),
    ("s3.proxy.password", "word", By(HEADERS, "objects_go_through_the_proxy_with_its_password")),
    ("s3.elastic.buffer.enable", "true", Nothing),
    ("s3.elastic.buffer.init.capacity", "65536", Nothing),
];

/// Settings of upstream's provider that assumes a role.
/// They are in no definition: the provider is asked for them itself.
const ROLE: &[Row] = &[
    ("s3.credentials.provider.sts.role.arn", "arn:aws:iam::123456789012:role/lake", By(CREDENTIALS, "roles_by_web_identity_and_by_assuming_them")),
    ("s3.credentials.provider.sts.role.session.name", "lake", By(CREDENTIALS, "roles_by_web_identity_and_by_assuming_them")),
    ("s3.credentials.provider.sts.role.external.id", "customer-7", By(CREDENTIALS, "roles_by_web_identity_and_by_assuming_them")),
    ("s3.credentials.provider.sts.region", "eu-west-1", By(CREDENTIALS, "roles_by_web_identity_and_by_assuming_them")),
];

const GCS: &[Row] = &[
    ("storage.class", "io.confluent.connect.gcs.storage.GcsStorage", Refused("com.example.Storage", "could not be found")),
    ("gcs.bucket.name", "lake", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("gcs.credentials.path", "/etc/lake/key.json", By(REQUESTS, "files_of_credentials_and_proxies")),
    ("gcs.credentials.json", "{}", By("src/store/urls.rs", "what_cannot_be_opened_says_why_without_secrets")),
    ("gcs.credentials.provider.class", "", Refused("com.example.Provider", "Java credential providers cannot be loaded")),
    ("gcs.part.size", "5242880", By(REQUESTS, "sizes_of_parts")),
    ("gcs.part.retries", "5", Nothing),
    ("gcs.retry.backoff.ms", "1000", By(REQUESTS, "waits_between_attempts")),
    ("gcs.compression.type", "gzip", By(OBJECTS, "compression_of_the_other_stores")),
    ("gcs.compression.level", "9", By(OBJECTS, "compression_of_the_other_stores")),
    ("gcs.proxy.url", "http://proxy:3128", By(REQUESTS, "files_of_credentials_and_proxies")),
    ("gcs.proxy.user", "me", By(REQUESTS, "files_of_credentials_and_proxies")),
    ("gcs.proxy.password", "word", By(REQUESTS, "files_of_credentials_and_proxies")),
];

const AZURE_BLOB: &[Row] = &[
    ("storage.class", "io.confluent.connect.azure.blob.storage.AzureBlobStorage", Refused("com.example.Storage", "could not be found")),
    ("azblob.account.name", "lake", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azblob.container.name", "raw", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azblob.account.key", "c2VjcmV0", By("tests/store/main.rs", "azure_settings_that_are_wrong_are_told_by_name")),
    ("azblob.sas.token", "sv=1&sig=c2ln", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azblob.block.size", "5242880", By(REQUESTS, "sizes_of_parts")),
    ("azblob.retry.type", "FIXED", By(REQUESTS, "waits_between_attempts")),
    ("azblob.retry.retries", "5", Nothing),
    ("azblob.retry.backoff.ms", "1000", By(REQUESTS, "waits_between_attempts")),
    ("azblob.retry.max.backoff.ms", "60000", By(REQUESTS, "waits_between_attempts")),
    ("azblob.retry.secondary.host", "", Refused("other.example", "a sink does not read from a secondary host")),
    ("azblob.connection.timeout.ms", "1000", By(REQUESTS, "time_limits_of_connections")),
    ("az.compression.type", "gzip", By(OBJECTS, "compression_of_the_other_stores")),
    ("az.compression.level", "9", By(OBJECTS, "compression_of_the_other_stores")),
    ("azblob.proxy.url", "http://proxy:3128", By(REQUESTS, "files_of_credentials_and_proxies")),
    ("azblob.proxy.user", "me", By(REQUESTS, "files_of_credentials_and_proxies")),
    ("azblob.proxy.password", "word", By(REQUESTS, "files_of_credentials_and_proxies")),
];

const DATA_LAKE: &[Row] = &[
    ("azure.datalake.gen2.account.name", "lake", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azure.datalake.gen2.client.id", "app", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azure.datalake.gen2.client.key", "word", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azure.datalake.gen2.token.endpoint", "https://login.microsoftonline.com/tenant-1/oauth2/token", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azure.datalake.gen2.sas.key", "sv=1&sig=c2ln", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("azure.datalake.gen2.access.key", "c2VjcmV0", By(REQUESTS, "where_objects_go_and_who_asks")),
    ("az.compression.type", "gzip", By(OBJECTS, "compression_of_the_other_stores")),
    ("az.compression.level", "9", By(OBJECTS, "compression_of_the_other_stores")),
];

/// Each sink: its class, and its own keys beside the common ones.
const SINKS: &[(&str, &[&[Row]])] = &[
    ("io.confluent.connect.s3.S3SinkConnector", &[S3, ROLE]),
    ("io.confluent.connect.gcs.GcsSinkConnector", &[GCS]),
    ("io.confluent.connect.azure.blob.AzureBlobStorageSinkConnector", &[AZURE_BLOB]),
    ("io.confluent.connect.azure.datalake.gen2.AzureDataLakeGen2SinkConnector", &[DATA_LAKE]),
];

/// Keys that exclude others: in configurations of their own they stand with these, and without those.
const APART: &[(&str, &[(&str, &str)], &[&str])] = &[
    ("lakehead.schema.merge", &[], &["schema.compatibility"]),
    ("s3.sse.kms.key.id", &[("s3.ssea.name", "aws:kms")], &["s3.sse.customer.key"]),
    ("s3.wan.mode", &[], &["store.url"]),
    ("s3.credentials.provider.sts.role.arn", &[("s3.credentials.provider.class", "io.confluent.connect.s3.auth.AwsAssumeRoleCredentialsProvider")], &[]),
    ("gcs.credentials.json", &[], &["gcs.credentials.path"]),
];

fn connector(class: &str) -> &'static dyn Connector {
    CONNECTORS.iter().copied().find(|connector| connector.class() == class).expect("a connector of that class")
}

fn rows(own: &'static [&'static [Row]]) -> impl Iterator<Item = &'static Row> {
    COMMON.iter().chain(own.iter().copied().flatten())
}

/// All values of a sink's rows but those of keys that stand apart.
fn everything(class: &str, own: &'static [&'static [Row]]) -> Props {
    let is_apart = |key: &str| APART.iter().any(|(apart, ..)| *apart == key);
    let set = rows(own).filter(|(key, value, _)| !value.is_empty() && !is_apart(key)).map(|(key, value, _)| ((*key).to_owned(), (*value).to_owned()));
    set.chain([("connector.class".to_owned(), class.to_owned()), ("topics".to_owned(), "t".to_owned())]).collect()
}

/// The configurations in which every key of a sink is set to its row's value.
fn configurations(class: &str, own: &'static [&'static [Row]]) -> Vec<Props> {
    let all = everything(class, own);
    let apart = APART.iter().filter(|(key, ..)| rows(own).any(|(known, ..)| known == key));
    let changed = apart.map(|(key, with, without)| {
        let mut props = all.clone();
        props.retain(|name, _| !without.contains(&name.as_str()));
        let value = rows(own).find(|(known, ..)| known == key).map(|(_, value, _)| *value);
        let set = with.iter().copied().chain(value.map(|value| (*key, value)));
        props.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
        props
    });
    std::iter::once(all.clone()).chain(changed).collect()
}

#[test]
fn every_key_has_a_row_and_only_known_keys_have() {
    let upstream = include_str!("../rest/s3_keys.txt").lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split('\t').next());
    let named: BTreeSet<&str> = rows(&[S3]).map(|(key, ..)| *key).collect();
    let missing: Vec<&str> = upstream.filter(|key| !named.contains(key)).collect();
    assert!(missing.is_empty(), "the S3 sink's keys without a row: {missing:?}");
    for (class, own) in SINKS {
        let tables = connector(class).keys();
        let last = tables.last().copied().unwrap_or_default();
        let known: BTreeSet<&str> = tables.iter().copied().flatten().map(|key| key.name).collect();
        let named: BTreeSet<&str> = rows(&own[..1]).map(|(key, ..)| *key).collect();
        assert!(named.is_subset(&known), "{class} does not know {:?}", named.difference(&known));
        let without: Vec<&str> = last.iter().map(|key| key.name).filter(|key| !key.starts_with("lakehead.") && !named.contains(key)).collect();
        assert!(without.is_empty(), "keys of {class} without a row: {without:?}");
    }
}

#[test]
fn values_differ_from_the_defaults() {
    for (class, own) in SINKS {
        let tables = connector(class).keys();
        let defaults: BTreeMap<&str, &ConfigKey> = tables.iter().copied().flatten().map(|key| (key.name, key)).collect();
        for (key, value, _) in rows(&own[..1]) {
            assert_ne!(defaults[key].default, Some(*value), "{class}: {key}");
        }
    }
}

#[test]
fn every_key_can_be_set_to_such_a_value() {
    for (class, own) in SINKS {
        let all = configurations(class, own);
        for props in &all {
            let report = connector(class).validate(props);
            let unknown: Vec<&String> = report.unknown.iter().filter(|key| !["connector.class", "topics"].contains(&key.as_str())).collect();
            assert!(report.errors.is_empty() && unknown.is_empty(), "{class}: {:#?}, unknown {unknown:?}", report.errors);
        }
        let set: BTreeSet<&str> = all.iter().flat_map(|props| props.keys().map(String::as_str)).collect();
        let left_out: Vec<&str> = rows(own).filter(|(key, value, _)| !value.is_empty() && !set.contains(key)).map(|(key, ..)| *key).collect();
        assert!(left_out.is_empty(), "{class}: {left_out:?}");
    }
}

/// With every key set at once, records get through, and each file tells by its name of many of them.
#[test]
fn a_sink_with_every_key_set_writes_its_files() {
    for (class, own) in SINKS {
        for props in configurations(class, own) {
            let store = Recorder::default();
            let (played, objects) = run(Put::OrdersAndAnHour, props, false, &store);
            assert!(played.error.is_none(), "{class}: {:?}", played.error);
            // 30 May, noon, is half past five in Kolkata; the schedule ends the files.
            let stem = "lake/raw_t_day=05-30_schema_name=shop.Order_t-0-000";
            let expected = ["headers.json.gz", "json.gz", "keys.json.gz"].map(|end| format!("{stem}.{end}"));
            assert_eq!(objects.keys().cloned().collect::<Vec<_>>(), expected, "{class}");
        }
    }
}

/// The keys of a licence are nobody's here, and in nobody's way.
#[test]
fn keys_of_a_licence_are_taken() {
    for (class, own) in SINKS {
        let mut props = everything(class, own);
        let licence = ["confluent.license", "confluent.topic.bootstrap.servers", "confluent.topic.replication.factor"];
        props.extend(licence.map(|key| (key.to_owned(), "1".to_owned())));
        let report = connector(class).validate(&props);
        assert!(report.errors.is_empty() && report.unknown.iter().all(|key| !key.starts_with("confluent.")), "{class}: {report:?}");
    }
}

#[test]
fn what_shows_an_effect_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (class, own) in SINKS {
        let vectors = vectors(&root.join("tests/conformance"));
        for (key, _, shown) in rows(own) {
            let problem = match shown {
                By(file, test) => is_test(&root.join(file), test, key).err(),
                Vector(id) => vectors.get(*id).map_or(Some(format!("no vector {id}")), |vector| sets(vector, key).err()),
                Refused(value, reason) => is_refused(class, own, key, value, reason).err(),
                Nothing => is_said_to_do_nothing(root, key).err(),
            };
            wrong.extend(problem.map(|problem| format!("{class}: {key}: {problem}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The file has a test of that name, and names the key.
pub(crate) fn is_test(file: &Path, test: &str, key: &str) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_here = |line: &&str| line.starts_with(&format!("fn {test}(")) || line.starts_with(&format!("async fn {test}("));
    let at = lines.iter().position(is_here).ok_or_else(|| format!("{} has no function {test}", file.display()))?;
    let is_test = lines[at.saturating_sub(4)..at].iter().any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"));
    let last = key.rsplit('.').next().unwrap_or(key);
    match (is_test, text.contains(key) || (text.contains("{prefix}.{name}") && text.contains(&format!("\"{last}\"")))) {
        (false, _) => Err(format!("{test} in {} is no test", file.display())),
        (_, false) => Err(format!("{} does not name it", file.display())),
        _ => Ok(()),
    }
}

/// The conformance vectors by id.
fn vectors(folder: &Path) -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder).expect("the vectors' folder").flatten().map(|entry| entry.path());
    let texts = files.filter(|path| path.extension().is_some_and(|end| end == "json")).map(|path| fs::read_to_string(path).expect("a file of vectors"));
    let all = texts.flat_map(|text| serde_json::from_str::<Value>(&text).expect("JSON")["vectors"].as_array().cloned().unwrap_or_default());
    all.map(|vector| (vector["id"].as_str().unwrap_or_default().to_owned(), vector)).collect()
}

/// The vector looks at files, and sets the key.
fn sets(vector: &Value, key: &str) -> Result<(), String> {
    let looks = ["writer", "fault", "row_format"].contains(&vector["kind"].as_str().unwrap_or_default());
    if looks && vector["config"].get(key).is_some() { Ok(()) } else { Err(format!("{} does not show it", vector["id"])) }
}

fn is_refused(class: &str, own: &'static [&'static [Row]], key: &str, value: &str, reason: &str) -> Result<(), String> {
    let mut props = everything(class, own);
    props.insert(key.to_owned(), value.to_owned());
    let report = connector(class).validate(&props);
    let is_told = report.errors.iter().any(|error| error.key == key && error.message.contains(reason) && error.message.contains(value));
    if is_told { Ok(()) } else { Err(format!("{value} is not refused with {reason:?}: {report:?}")) }
}

/// `docs/compatibility.md` has it in a row of what is without effect; or `docs/settings.md` says that it is taken for upstream's sake.
fn is_said_to_do_nothing(root: &Path, key: &str) -> Result<(), String> {
    let read = |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"));
    let (compatibility, settings) = (read("docs/compatibility.md")?, read("docs/settings.md")?);
    let names = |line: &&str| line.split('`').skip(1).step_by(2).any(|name| name == key || name.strip_suffix('*').is_some_and(|start| key.starts_with(start)));
    let is_said = compatibility.lines().filter(names).any(|line| line.contains("without effect"))
        || settings.lines().filter(names).any(|line| line.contains("Taken for upstream's sake"));
    if is_said { Ok(()) } else { Err("no document says that it is without effect".to_owned()) }
}

#[test]
fn the_evidence_is_checked_itself() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(is_test(&root.join(OBJECTS), "names_of_objects", "topics.dir").is_ok());
    assert!(is_test(&root.join(OBJECTS), "assert_cases", "topics.dir").is_err(), "no test");
    assert!(is_test(&root.join(OBJECTS), "names_of_objects", "s3.proxy.url").is_err(), "another key");
    assert!(is_said_to_do_nothing(root, "flush.size").is_err());
    assert!(sets(&serde_json::json!({"id": "C1", "kind": "config", "config": {"flush.size": "1"}}), "flush.size").is_err());
}
