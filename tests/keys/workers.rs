//! Every key of the worker, of a group's workers, of the security of connections, and the framework's of connectors: a value other than the default, and what
//! shows that it acts, or that it is refused, or where it says that it does nothing.
//!
//! The values together are a worker file that both kinds of workers take. What only settles in the settings is shown here; what acts elsewhere, by the test
//! that a row names. Keys of exactly-once sources ([`EXACTLY_ONCE`]) have their rows beside what they do.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lakehead::clock::Clock;
use lakehead::cluster::broker::Network;
use lakehead::cluster::group;
use lakehead::cluster::log::{Purpose, Topic};
use lakehead::connect::Props;
use lakehead::connect::config::ConfigKey;
use lakehead::runtime::sink_keys::{CONNECTOR_KEYS, SINK_KEYS};
use lakehead::runtime::source_keys::SOURCE_KEYS;
use lakehead::runtime::topic_creation::GROUP_KEYS;
use lakehead::settings::distributed_keys::DISTRIBUTED_KEYS;
use lakehead::settings::keys::WORKER_KEYS;
use lakehead::settings::security_keys::SECURITY_KEYS;
use lakehead::settings::{Host, Mode, OverridePolicy, Settings};

use crate::table::is_test;

/// What shows what becomes of a key.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// A test: file and function. The file names the key.
    By(&'static str, &'static str),
    /// The worker refuses that value, with a reason that contains this text.
    Refused(&'static str, &'static str),
    /// Nothing: its own text says that it is taken and does nothing, and why.
    Nothing,
}

use Shown::{By, Nothing, Refused};

/// Key, value (empty: none but the default is taken), and what shows its effect.
type Row = (&'static str, &'static str, Shown);

const HERE: &str = "tests/keys/workers.rs";
const SETTINGS: &str = "the_settings_of_a_worker";
const OF_GROUP: &str = "the_settings_of_a_group";
const DEAD_LETTERS: &str = "tests/live/dead_letters.rs";
const BREAKER: &str = "src/runtime/errors/breaker.rs";
const SOURCES: &str = "src/runtime/source_task/tests.rs";
const REST: &str = "tests/rest/security.rs";
const RECORDED: &str = "tests/rest/recorded.rs";
const BROWSERS: &str = "browsers_and_headers_are_as_the_settings_ask_for";
const PEERS: (&str, &str) = ("src/runtime/peers.rs", "settings_act_or_are_refused_by_name");
const LIFE: &str = "tests/rest/lifecycle.rs";
const PATIENCE: (&str, &str) =
    ("src/runtime/sink_task/tests/patience.rs", "who_gives_a_time_and_tolerates_errors_has_bad_records_after_it_and_good_ones_once_it_answers");
const VALIDATE: &str = "src/runtime/validate.rs";
const WORDS: &str = "framework_keys_are_checked_in_upstreams_words";
const CONVERTERS: (&str, &str) = ("src/convert/tests.rs", "converters_come_from_the_connector_or_the_worker_with_the_settings_beside_them");
const NO_VERSION: Shown = Refused("1.2", "there is one version of every converter");
const TLS: &str = "src/tls/tests.rs";
const SECURED: (&str, &str) = ("tests/cluster/security.rs", "brokers_that_ask_for_certificates_and_passwords_are_reached");
const TOKENS: &str = "src/kafka/tokens/tests.rs";
const REFRESH: &str = "src/kafka/tokens/refresh.rs";
const FAILS: &str = "an_endpoint_that_fails_is_asked_again_unless_the_answer_stays_the_same";
const NO_CLASS: Shown = Refused("my.Class", "classes of Java cannot be loaded");
const GROUPS: &str = "a_topic_is_made_as_its_first_group_says";

/// Keys of both kinds of workers.
const WORKER: &[Row] = &[
    ("bootstrap.servers", "x:1,y:2", By("src/settings/clients.rs", "a_sink_consumer_is_configured_as_upstream")),
    ("key.converter", "StringConverter", By(CONVERTERS.0, CONVERTERS.1)),
    ("value.converter", "JsonConverter", By(CONVERTERS.0, CONVERTERS.1)),
    ("header.converter", "LongConverter", By("src/convert/writing.rs", "headers_have_a_converter_of_their_own")),
    ("key.converter.plugin.version", "latest", NO_VERSION),
    ("value.converter.plugin.version", "latest", NO_VERSION),
    ("header.converter.plugin.version", "latest", NO_VERSION),
    ("client.dns.lookup", "", By(HERE, "both_kinds_of_workers_take_a_file_with_every_key")),
    ("task.shutdown.graceful.timeout.ms", "1234", By(LIFE, "the_end_of_the_worker_is_bounded")),
    ("offset.flush.interval.ms", "1000", By(SOURCES, "lines_are_sent_in_order_and_their_offsets_kept_while_it_runs_and_at_the_end")),
    ("offset.flush.timeout.ms", "2000", By(SOURCES, "no_offset_passes_a_record_that_kafka_does_not_have")),
    ("offset.storage.file.filename", "/o", By("tests/rest/sources.rs", "a_source_without_a_place_for_its_offsets_says_what_is_missing")),
    ("plugin.path", "/plugins", Nothing),
    ("plugin.discovery", "only_scan", Nothing),
    ("config.providers", "", By(LIFE, "secrets_are_resolved_for_tasks_and_shown_as_references")),
    ("connector.client.config.override.policy", "Allowlist", By(VALIDATE, "the_override_policy_holds")),
    ("connector.client.config.override.allowlist", "acks", By(VALIDATE, "the_override_policy_holds")),
    ("topic.creation.enable", "false", By(VALIDATE, "sources_have_keys_of_their_own")),
    ("topic.tracking.enable", "false", By("tests/rest/management.rs", "topics_can_be_kept_secret")),
    ("topic.tracking.allow.reset", "false", By("tests/rest/management.rs", "topics_can_be_kept_secret")),
    ("metrics.sample.window.ms", "1", Nothing),
    ("metrics.num.samples", "9", Nothing),
    ("metrics.recording.level", "DEBUG", Nothing),
    ("metric.reporters", "my.Reporter", Nothing),
    ("auto.include.jmx.reporter", "false", Nothing),
    ("listeners", "http://h:1,https://h:2", By(REST, "https_and_http_serve_the_same_side_by_side")),
    ("rest.host.name", "h", By("src/settings/rest.rs", "listeners_are_addresses")),
    ("rest.port", "1", By("src/settings/rest.rs", "listeners_are_addresses")),
    ("rest.advertised.host.name", "w", By(REST, "workers_are_known_by_the_advertised_listener")),
    ("rest.advertised.port", "443", By(REST, "workers_are_known_by_the_advertised_listener")),
    ("rest.advertised.listener", "https", By(REST, "workers_are_known_by_the_advertised_listener")),
    ("rest.extension.classes", "", By(REST, "whoever_has_no_password_gets_upstreams_answers")),
    ("access.control.allow.origin", "*", By(RECORDED, BROWSERS)),
    ("access.control.allow.methods", "GET", By(RECORDED, BROWSERS)),
    ("response.http.headers.config", "set a: b", By(RECORDED, BROWSERS)),
    ("admin.listeners", "http://h:3", By("tests/rest/management.rs", "the_admin_endpoints_have_listeners_of_their_own")),
    ("ssl.client.auth", "required", By(REST, "workers_reach_each_other_with_the_listeners_stores")),
    ("lakehead.memory.limit", "100MiB", By(HERE, SETTINGS)),
    ("lakehead.spill.dir", "none", By(HERE, SETTINGS)),
    ("lakehead.cpu.threads", "7", By(HERE, SETTINGS)),
    ("lakehead.jaas.config.file", "/jaas", By("src/settings/users.rs", "the_jaas_file_is_where_java_has_it")),
    ("lakehead.log.format", "json", By(HERE, SETTINGS)),
];

const DISTRIBUTED: &[Row] = &[
    ("group.id", "g", By(SECURED.0, SECURED.1)),
    ("config.storage.topic", "c", By(HERE, OF_GROUP)),
    ("config.storage.replication.factor", "1", By(HERE, OF_GROUP)),
    ("offset.storage.topic", "o", By(HERE, OF_GROUP)),
    ("offset.storage.partitions", "2", By(HERE, OF_GROUP)),
    ("offset.storage.replication.factor", "1", By(HERE, OF_GROUP)),
    ("status.storage.topic", "s", By(HERE, OF_GROUP)),
    ("status.storage.partitions", "3", By(HERE, OF_GROUP)),
    ("status.storage.replication.factor", "-1", By(HERE, OF_GROUP)),
    ("connect.protocol", "compatible", By("tests/cluster/membership.rs", "eager_and_cooperative_members_agree_on_what_both_speak")),
    ("session.timeout.ms", "11", By(HERE, OF_GROUP)),
    ("heartbeat.interval.ms", "10", By(HERE, OF_GROUP)),
    ("rebalance.timeout.ms", "12", By(HERE, OF_GROUP)),
    ("scheduled.rebalance.max.delay.ms", "13", By(HERE, OF_GROUP)),
    ("worker.sync.timeout.ms", "14", By(HERE, OF_GROUP)),
    ("worker.unsync.backoff.ms", "15", By(HERE, OF_GROUP)),
    ("client.id", "me", By("src/settings/clients.rs", "a_sink_consumer_is_configured_as_upstream")),
    ("request.timeout.ms", "16", By(HERE, OF_GROUP)),
    ("retry.backoff.ms", "17", By(HERE, OF_GROUP)),
    ("retry.backoff.max.ms", "18", By(HERE, OF_GROUP)),
    ("socket.connection.setup.timeout.ms", "19", By("src/cluster/broker/mod.rs", "properties_are_refused_by_name")),
    ("socket.connection.setup.timeout.max.ms", "20", Nothing),
    ("connections.max.idle.ms", "21", By("src/cluster/broker/mod.rs", "properties_are_refused_by_name")),
    ("reconnect.backoff.ms", "22", Nothing),
    ("reconnect.backoff.max.ms", "23", Nothing),
    ("metadata.max.age.ms", "24", Nothing),
    ("metadata.recovery.strategy", "none", Nothing),
    ("metadata.recovery.rebootstrap.trigger.ms", "25", Nothing),
    ("send.buffer.bytes", "26", Nothing),
    ("receive.buffer.bytes", "27", Nothing),
    ("inter.worker.key.generation.algorithm", "HmacSHA512", By(PEERS.0, PEERS.1)),
    ("inter.worker.key.size", "512", By(PEERS.0, PEERS.1)),
    ("inter.worker.key.ttl.ms", "28", By(PEERS.0, PEERS.1)),
    ("inter.worker.signature.algorithm", "HmacSHA512", By(PEERS.0, PEERS.1)),
    ("inter.worker.verification.algorithms", "HmacSHA512", By(PEERS.0, PEERS.1)),
];

const SECURITY: &[Row] = &[
    ("security.protocol", "SASL_SSL", By("src/cluster/broker/security.rs", "protocols_say_what_a_connection_has")),
    ("security.providers", "", NO_CLASS),
    ("sasl.mechanism", "PLAIN", By(SECURED.0, SECURED.1)),
    ("sasl.jaas.config", "PlainLoginModule required username=u password=p;", By(SECURED.0, SECURED.1)),
    ("sasl.oauthbearer.token.endpoint.url", "file:/token", By(TOKENS, "logins_are_refused_by_the_propertys_name_and_without_secrets")),
    ("sasl.oauthbearer.client.credentials.client.id", "x", By(TOKENS, FAILS)),
    ("sasl.oauthbearer.client.credentials.client.secret", "x", By(TOKENS, FAILS)),
    ("sasl.oauthbearer.scope", "x", By(TOKENS, FAILS)),
    ("sasl.oauthbearer.header.urlencode", "true", By(TOKENS, FAILS)),
    ("sasl.oauthbearer.sub.claim.name", "x", By(TOKENS, "a_file_is_read_whenever_a_token_is_wanted")),
    ("sasl.client.callback.handler.class", "", NO_CLASS),
    ("sasl.login.callback.handler.class", "", NO_CLASS),
    ("sasl.login.class", "", NO_CLASS),
    ("sasl.kerberos.service.name", "x", Nothing),
    ("sasl.kerberos.kinit.cmd", "x", Nothing),
    ("sasl.kerberos.ticket.renew.window.factor", "0.1", Nothing),
    ("sasl.kerberos.ticket.renew.jitter", "0.1", Nothing),
    ("sasl.kerberos.min.time.before.relogin", "1", Nothing),
    ("sasl.login.refresh.window.factor", "0.6", By(REFRESH, "tokens_are_renewed_when_javas_clients_would")),
    ("sasl.login.refresh.window.jitter", "0.1", By(REFRESH, "tokens_are_renewed_when_javas_clients_would")),
    ("sasl.login.refresh.min.period.seconds", "1", By(REFRESH, "tokens_are_renewed_when_javas_clients_would")),
    ("sasl.login.refresh.buffer.seconds", "1", By(REFRESH, "tokens_are_renewed_when_javas_clients_would")),
    ("sasl.login.connect.timeout.ms", "1", By(TOKENS, "an_endpoint_that_does_not_answer_is_not_waited_for_without_end")),
    ("sasl.login.read.timeout.ms", "1", By(TOKENS, "an_endpoint_that_does_not_answer_is_not_waited_for_without_end")),
    ("sasl.login.retry.backoff.ms", "1", By(TOKENS, FAILS)),
    ("sasl.login.retry.backoff.max.ms", "1", By(TOKENS, FAILS)),
    ("ssl.keystore.type", "PEM", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.keystore.location", "/k", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.keystore.password", "x", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.keystore.certificate.chain", "x", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.keystore.key", "x", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.key.password", "x", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.truststore.type", "PEM", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.truststore.location", "/t", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.truststore.password", "x", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.truststore.certificates", "x", By(TLS, "every_kind_of_keystore_serves")),
    ("ssl.enabled.protocols", "TLSv1.3", By(TLS, "protocols_and_suites_are_those_that_are_enabled")),
    ("ssl.protocol", "TLSv1.2", Nothing),
    ("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256", By(TLS, "protocols_and_suites_are_those_that_are_enabled")),
    ("ssl.endpoint.identification.algorithm", " ", By(TLS, "servers_are_trusted_by_their_authority_and_name_or_as_they_are")),
    ("ssl.provider", "", Refused("BCFIPS", "another implementation of TLS cannot be chosen")),
    ("ssl.engine.factory.class", "", NO_CLASS),
    ("ssl.keymanager.algorithm", "PKIX", Nothing),
    ("ssl.trustmanager.algorithm", "PKIX", Nothing),
    ("ssl.secure.random.implementation", "SHA1PRNG", Nothing),
];

/// The framework's keys of connectors. A value that is refused is refused when a connector is made.
const CONNECTORS: &[Row] = &[
    ("name", "c", By(VALIDATE, WORDS)),
    ("connector.class", "X", By(LIFE, "a_class_that_is_unknown_is_answered_with_those_that_are_known")),
    ("connector.plugin.version", "", By(VALIDATE, "what_is_not_supported_is_refused_with_the_reason")),
    ("tasks.max", "3", By(LIFE, "a_connector_has_tasks_max_tasks")),
    ("tasks.max.enforce", "false", Nothing),
    ("key.converter", "X", By(CONVERTERS.0, CONVERTERS.1)),
    ("value.converter", "X", By(CONVERTERS.0, CONVERTERS.1)),
    ("header.converter", "X", By("src/convert/writing.rs", "headers_have_a_converter_of_their_own")),
    ("key.converter.plugin.version", "", By(VALIDATE, "what_is_not_supported_is_refused_with_the_reason")),
    ("value.converter.plugin.version", "", By(VALIDATE, "what_is_not_supported_is_refused_with_the_reason")),
    ("header.converter.plugin.version", "", By(VALIDATE, "what_is_not_supported_is_refused_with_the_reason")),
    ("config.action.reload", "none", Nothing),
    ("transforms", "a", By("src/transform/chain.rs", "transforms_act_in_order_and_rejects_keep_their_numbers")),
    ("predicates", "p", By("src/transform/chain.rs", "problems_are_named_by_the_users_keys")),
    ("errors.retry.timeout", "60000", By(PATIENCE.0, PATIENCE.1)),
    ("errors.retry.delay.max.ms", "1", By(PATIENCE.0, PATIENCE.1)),
    ("errors.tolerance", "all", By(SOURCES, "a_record_that_cannot_be_converted_fails_the_task_or_is_left_out")),
    ("errors.log.enable", "true", By(SOURCES, "records_that_are_left_out_are_logged_where_that_is_asked_for")),
    ("errors.log.include.messages", "true", By(DEAD_LETTERS, "a_bad_record_that_is_not_tolerated_is_told_before_the_task_fails")),
    ("topics", "t", By(VALIDATE, WORDS)),
    ("topics.regex", "t.*", By("src/kafka/librdkafka.rs", "java_patterns_match_whole_names")),
    ("lakehead.lost.records", "halt", By("tests/live/lost_records.rs", "records_that_are_deleted_unread_are_named_and_halt_the_task_where_that_is_asked_for")),
    ("lakehead.errors.breaker.share", "0.5", By(DEAD_LETTERS, "a_partition_with_too_many_bad_records_waits_for_somebody_and_no_other_does")),
    ("lakehead.errors.breaker.records", "10", By(BREAKER, "a_partition_is_held_when_its_share_is_too_large_and_no_other_is")),
    ("lakehead.errors.breaker.window.ms", "10", By(BREAKER, "a_partition_is_held_when_its_share_is_too_large_and_no_other_is")),
    ("lakehead.errors.breaker.resume.ms", "10", By(BREAKER, "what_is_held_goes_on_where_it_stood")),
    ("errors.deadletterqueue.url", "s3://b/x", By(DEAD_LETTERS, "dead_letters_in_files_and_in_a_topic_are_counted_and_sent_again")),
    ("errors.deadletterqueue.topic.name", "d", By(DEAD_LETTERS, "whatever_fails_at_any_stage_is_a_dead_letter_and_the_rest_is_in_files_once")),
    ("errors.deadletterqueue.topic.replication.factor", "1", By(DEAD_LETTERS, "whatever_fails_at_any_stage_is_a_dead_letter_and_the_rest_is_in_files_once")),
    ("errors.deadletterqueue.context.headers.enable", "true", By(DEAD_LETTERS, "whatever_fails_at_any_stage_is_a_dead_letter_and_the_rest_is_in_files_once")),
    ("topic.creation.groups", "a", By("src/runtime/topic_creation.rs", GROUPS)),
    ("include", "a", By("src/runtime/topic_creation.rs", GROUPS)),
    ("exclude", "a", By("src/runtime/topic_creation.rs", GROUPS)),
    ("replication.factor", "1", By("src/runtime/topic_creation.rs", GROUPS)),
    ("partitions", "1", By("src/runtime/topic_creation.rs", GROUPS)),
];

/// Keys that have to do with sources that write exactly once.
const EXACTLY_ONCE: &[&str] =
    &["exactly.once.source.support", "exactly.once.support", "offsets.storage.topic", "transaction.boundary", "transaction.boundary.interval.ms"];

/// Rows and the tables that they are about.
fn tables() -> [(&'static [Row], Vec<&'static ConfigKey>); 4] {
    [
        (WORKER, WORKER_KEYS.iter().collect()),
        (DISTRIBUTED, DISTRIBUTED_KEYS.iter().collect()),
        (SECURITY, SECURITY_KEYS.iter().collect()),
        (CONNECTORS, [CONNECTOR_KEYS, SINK_KEYS, SOURCE_KEYS, GROUP_KEYS].into_iter().flatten().collect()),
    ]
}

#[test]
fn every_key_has_a_row_and_a_value_that_is_not_its_default() {
    for (rows, keys) in tables() {
        let has: BTreeSet<&str> = rows.iter().map(|(key, ..)| *key).collect();
        let named: BTreeSet<&str> = keys.iter().map(|key| key.name).filter(|key| !EXACTLY_ONCE.contains(key)).collect();
        assert_eq!(has.symmetric_difference(&named).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert_eq!(has.len(), rows.len(), "a key twice");
        let same: Vec<_> =
            rows.iter().filter(|(name, value, _)| !value.is_empty() && keys.iter().any(|key| key.name == *name && key.default == Some(value))).collect();
        assert!(same.is_empty(), "their defaults: {same:?}");
    }
}

#[test]
fn what_shows_the_fate_of_a_workers_key_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (rows, keys) in tables() {
        for (name, _, shown) in rows {
            let problem = match shown {
                By(file, test) => is_test(&root.join(file), test, name).err(),
                Refused(value, reason) => is_refused(name, value, reason).err(),
                Nothing => {
                    let said = [
                        "Taken, and not",
                        "taken, and",
                        "taken, the",
                        "without effect",
                        "there never are more",
                        "never say so",
                        "never logged",
                        "is retried for ever",
                    ];
                    let doc = keys.iter().find(|key| key.name == *name).map_or("", |key| key.doc);
                    (!said.iter().any(|said| doc.contains(said))).then(|| format!("its text does not say that it does nothing: {doc}"))
                }
            };
            wrong.extend(problem.map(|problem| format!("{name}: {problem}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_refused(name: &str, value: &str, reason: &str) -> Result<(), String> {
    let mut props = worker();
    props.insert(name.to_owned(), value.to_owned());
    for mode in [Mode::Standalone, Mode::Distributed] {
        match Settings::read(&props, mode, &Host::default()) {
            Err(error) if error.to_string().contains(reason) && error.to_string().contains(name) => {}
            other => return Err(format!("{value} is not refused with {reason:?}: {other:?}")),
        }
    }
    Ok(())
}

/// A worker file with every key that has a value.
fn worker() -> Props {
    let rows = [WORKER, DISTRIBUTED, SECURITY].into_iter().flatten();
    rows.filter(|(_, value, _)| !value.is_empty()).map(|(key, value, _)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn both_kinds_of_workers_take_a_file_with_every_key() {
    let distributed = Settings::read(&worker(), Mode::Distributed, &Host::default()).expect("a file");
    assert!(distributed.warnings.is_empty(), "{:?}", distributed.warnings);
    let standalone = Settings::read(&worker(), Mode::Standalone, &Host::default()).expect("a file");
    assert!(standalone.warnings.is_empty(), "as upstream's, it passes over keys of groups: {:?}", standalone.warnings);
    // A group's worker needs its keys, and checks them; a standalone one does neither.
    for (key, value) in [
        ("group.id", None),
        ("config.storage.topic", None),
        ("offset.storage.partitions", Some("0")),
        ("connect.protocol", Some("v2")),
        ("client.dns.lookup", Some("resolve_canonical_bootstrap_servers_only")),
    ] {
        let mut props = worker();
        match value {
            None => drop(props.remove(key)),
            Some(value) => drop(props.insert(key.to_owned(), value.to_owned())),
        }
        let error = Settings::read(&props, Mode::Distributed, &Host::default()).expect_err(key).to_string();
        assert!(error.contains(key), "{error}");
        assert!(Settings::read(&props, Mode::Standalone, &Host::default()).is_ok(), "{key}");
    }
}

#[test]
fn the_settings_of_a_worker() {
    let settings = Settings::from_props(&worker(), &Host::default()).expect("a file");
    assert_eq!((settings.offset_flush_interval, settings.offset_flush_timeout), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((settings.memory_limit_bytes, settings.cpu_threads, settings.spill_dir.as_ref()), (100 << 20, 7, None));
    assert_eq!(settings.override_policy, OverridePolicy::Allowlist(vec!["acks".to_owned()]));
    assert_eq!(format!("{:?}", settings.log_format), "Json");
    assert_eq!((settings.creates_topics, settings.tracks_topics, settings.allows_topic_reset), (false, false, false));
    let defaults = ["bootstrap.servers", "key.converter", "value.converter"].map(|key| (key.to_owned(), "x".to_owned()));
    let settings = Settings::from_props(&defaults.into(), &Host::default()).expect("a file");
    assert_eq!((settings.offset_flush_interval, settings.offset_flush_timeout), (Duration::from_secs(60), Duration::from_secs(5)));
    assert_eq!((format!("{:?}", settings.log_format).as_str(), settings.spill_dir.is_some()), ("Text", true));
}

#[test]
fn the_settings_of_a_group() {
    let props = worker();
    let member = group::Settings::from_props(&props, "http://me/").expect("settings");
    let found = [member.heartbeat_interval, member.session_timeout, member.rebalance_timeout, member.max_delay, member.sync_timeout, member.unsync_backoff];
    assert_eq!(found, [10, 11, 12, 13, 14, 15].map(Duration::from_millis));
    assert_eq!((member.backoff.first, member.backoff.most), (Duration::from_millis(17), Duration::from_millis(18)));
    let mut plain = props.clone();
    plain.retain(|key, _| !key.starts_with("ssl."));
    plain.insert("security.protocol".to_owned(), "PLAINTEXT".to_owned());
    let network = Network::new(&plain, "me", Clock::system()).expect("a network");
    assert_eq!((network.request_timeout, network.backoff.first), (Duration::from_millis(16), Duration::from_millis(17)));
    for (purpose, name, partitions, replicas) in [(Purpose::Configs, "c", 1, 1), (Purpose::Offsets, "o", 2, 1), (Purpose::Statuses, "s", 3, -1)] {
        let topic = Topic::from_props(&props, purpose).expect("a topic");
        assert_eq!((topic.name.as_str(), topic.partitions, topic.replication_factor), (name, partitions, replicas));
    }
}
