//! `docs/settings.md` is what the keys' own tables say: name, type, default and what each does.
//!
//! `LAKEHEAD_REWRITE_DOCS=1 cargo test --test keys reference` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lakehead::connect::Connector;
use lakehead::connect::config::{Check, ConfigKey};
use lakehead::kafka::client_keys::{CLIENT_KEYS, CLIENT_PREFIXES, ClientKey, Fate};
use lakehead::plugins::CONNECTORS;
use lakehead::runtime::sink_keys::{CONNECTOR_KEYS, SINK_KEYS};
use lakehead::runtime::source_keys::SOURCE_KEYS;
use lakehead::runtime::topic_creation::GROUP_KEYS;
use lakehead::settings::distributed_keys::DISTRIBUTED_KEYS;
use lakehead::settings::keys::WORKER_KEYS;
use lakehead::settings::security_keys::SECURITY_KEYS;
use lakehead::transform::TRANSFORMS;
use lakehead::transform::predicates::PREDICATES;

const INTRODUCTION: &str = "# Settings

Every key of the worker and of its connectors, from the tables that the program itself reads, validates by and shows in its REST API: a key that is not here is
unknown. Names, types and defaults are Kafka Connect's, Confluent's, Aiven's and Lenses' own; keys that begin with `lakehead.`, and those whose text begins
with \"Ours\", are ours. Secrets may stand behind config providers. What differs from upstream is in [compatibility.md](compatibility.md).

Beside these, `key.converter.*`, `value.converter.*` and `header.converter.*` belong to whom they name; `lakehead.store.option.<name>` goes to
the store's client as it is (`object_store`'s configuration keys); and `s3.credentials.provider.sts.role.arn`, `.sts.role.session.name`,
`.sts.role.external.id` and `.sts.region` belong to upstream's `AwsAssumeRoleCredentialsProvider`, and `.sts.role.session.duration` (seconds; ours) beside them.

This file is written by `LAKEHEAD_REWRITE_DOCS=1 cargo test --test keys reference`.
";

/// The storage sink's dressings: title and class. Tables that all of them have stand in a section of their own.
const SECTIONS: &[(&str, &str)] = &[
    ("S3 sink", "io.confluent.connect.s3.S3SinkConnector"),
    ("GCS sink", "io.confluent.connect.gcs.GcsSinkConnector"),
    ("Azure Blob Storage sink", "io.confluent.connect.azure.blob.AzureBlobStorageSinkConnector"),
    ("Azure Data Lake Storage Gen2 sink", "io.confluent.connect.azure.datalake.gen2.AzureDataLakeGen2SinkConnector"),
    ("Sink to any store", "io.lakehead.connect.CloudStorageSink"),
];

fn connector(class: &str) -> &'static dyn Connector {
    CONNECTORS.iter().copied().find(|connector| connector.class() == class).expect("a connector of that class")
}

/// One key's row.
fn row(text: &mut String, key: &ConfigKey) {
    let default = match key.default {
        _ if key.required => "required".to_owned(),
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let taken = match key.check {
        Check::Only(_, why) => format!(" Another value than the default is refused: {why}."),
        Check::OneOf(values) | Check::OneOfIgnoreCase(values) => format!(" One of: {}.", values.join(", ")),
        _ => String::new(),
    };
    let doc = format!("{}{taken}", key.doc).replace('|', "\\|").replace('<', "\\<");
    writeln!(text, "| `{}` | {} | {default} | {doc} |", key.name, key.kind.as_str().to_lowercase()).expect("room");
}

fn section<'a>(text: &mut String, title: &str, class: Option<&str>, keys: impl IntoIterator<Item = &'a ConfigKey>) {
    write!(text, "\n## {title}\n\n").expect("room");
    if let Some(class) = class {
        write!(text, "`{class}`\n\n").expect("room");
    }
    text.push_str("| key | type | default | |\n|---|---|---|---|\n");
    keys.into_iter().for_each(|key| row(text, key));
}

/// The properties of Java's clients, and what becomes of them.
fn clients(text: &mut String) {
    text.push_str(
        "\n## Kafka's clients: `consumer.*`, `producer.*`, `admin.*`, and `consumer.override.*` and the like\n\n\
         The worker's `consumer.*` are for the consumers of its sinks, `producer.*` and `admin.*` for its sources; a connector's `consumer.override.*`,\n\
         `producer.override.*` and `admin.override.*` go before them. The worker's security settings hold for clients that have no `bootstrap.servers` of their\n\
         own; the admin client has the worker's other properties of connections too. Consumers and producers are librdkafka's: its own properties (`queued.max.messages.kbytes`)\n\
         pass as they are, and what it does not know is refused by name. Numbers beyond its bounds become the nearest within. The admin client is our own: of what\n\
         acts, `bootstrap.servers`, `client.id`, `connections.max.idle.ms`, `request.timeout.ms`, `retry.backoff.*`, `socket.connection.setup.timeout.ms`,\n\
         `security.protocol`, `sasl.*` and `ssl.*` do so there; the others are checked only.\n\n\
         | property | clients | |\n|---|---|---|\n",
    );
    let row = |name: String, key: &ClientKey| {
        let fate = match key.fate {
            Fate::Same => "acts".to_owned(),
            Fate::As(name) => format!("acts, as `{name}`"),
            Fate::Translated(how) => format!("acts: {how}"),
            Fate::Without(why) => format!("taken, without effect: {why}"),
            Fate::Refused(_, why) => format!("refused: {why}"),
        };
        format!("| `{name}` | {} | {fate} |\n", key.clients.names().join(", "))
    };
    CLIENT_KEYS.iter().for_each(|key| text.push_str(&row(key.name.to_owned(), key)));
    CLIENT_PREFIXES.iter().for_each(|key| text.push_str(&row(format!("{}*", key.name), key)));
}

/// Transforms and predicates: what each does, and its settings.
fn transforms(text: &mut String) {
    text.push_str("\n## Transforms: `transforms.<alias>.*`, and predicates: `predicates.<alias>.*`\n");
    let mut part = |name: String, doc: &str, keys: &'static [ConfigKey]| {
        write!(text, "\n### {name}\n\n{doc}\n").expect("room");
        if !keys.is_empty() {
            text.push_str("\n| key | type | default | |\n|---|---|---|---|\n");
            keys.iter().for_each(|key| row(text, key));
        }
    };
    let name = |classes: Vec<String>| classes.iter().map(|class| format!("`{class}`")).collect::<Vec<_>>().join(", ");
    for plugin in TRANSFORMS {
        part(name(plugin.classes().collect()), plugin.doc, plugin.keys);
    }
    for plugin in PREDICATES {
        part(name(vec![plugin.class.to_owned()]), plugin.doc, plugin.keys);
    }
}

/// The whole file.
fn settings() -> String {
    let mut text = INTRODUCTION.to_owned();
    section(&mut text, "Worker", None, WORKER_KEYS);
    section(&mut text, "Distributed worker", None, DISTRIBUTED_KEYS);
    text.push_str(
        "\nFurther `config.storage.<setting>`, `offset.storage.<setting>` and `status.storage.<setting>` are settings of the topics when they are created, but for\n\
         `cleanup.policy` and `config.storage.partitions`, which are what they must be. Standalone workers pass over all of these keys.\n",
    );
    section(&mut text, "Security of connections to brokers, and of listeners", None, SECURITY_KEYS);
    clients(&mut text);
    section(&mut text, "Every connector", None, CONNECTOR_KEYS);
    section(&mut text, "Every sink connector", None, SINK_KEYS);
    section(&mut text, "Every source connector", None, SOURCE_KEYS);
    section(&mut text, "Groups of topics that a source connector makes: `topic.creation.<group>.*`", None, GROUP_KEYS);
    // What all dressings of the storage sink have in common stands first.
    let all: Vec<Vec<&'static [ConfigKey]>> = SECTIONS.iter().map(|(_, class)| connector(class).keys()).collect();
    let (first, others) = all.split_first().expect("sections");
    let is_common = |table: &&&[ConfigKey]| others.iter().all(|tables| tables.iter().any(|other| std::ptr::eq(*other, **table)));
    let common: Vec<&[ConfigKey]> = first.iter().filter(is_common).copied().collect();
    section(&mut text, "Every storage sink", None, common.iter().copied().flatten());
    for ((title, class), tables) in SECTIONS.iter().zip(&all) {
        let own = tables.iter().filter(|table| !common.iter().any(|other| std::ptr::eq(*other, **table)));
        section(&mut text, title, Some(class), own.copied().flatten());
    }
    let others = CONNECTORS.iter().filter(|connector| SECTIONS.iter().all(|(_, class)| *class != connector.class()) && !connector.keys().is_empty());
    for connector in others {
        let class = connector.class();
        let whose = match class.split('.').nth(1) {
            Some("aiven") => "Aiven",
            Some("apache") => "Apache Kafka",
            Some("confluent") => "Confluent",
            _ => "Lenses",
        };
        let name = class.rsplit('.').next().unwrap_or_default();
        section(&mut text, &format!("{whose}: {name}"), Some(class), connector.keys().into_iter().flatten());
    }
    transforms(&mut text);
    text
}

#[test]
fn the_settings_in_the_docs_are_those_of_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let expected = settings();
    if std::env::var_os("LAKEHEAD_REWRITE_DOCS").is_some() {
        fs::write(&path, &expected).expect("docs/settings.md can be written");
    }
    let found = fs::read_to_string(&path).expect("docs/settings.md");
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "docs/settings.md is not what the tables say; LAKEHEAD_REWRITE_DOCS=1 writes it anew; first: {differs:?}");
}

#[test]
fn every_key_says_what_it_does() {
    let keys = CONNECTORS
        .iter()
        .flat_map(|connector| connector.keys())
        .flatten()
        .chain(CONNECTOR_KEYS)
        .chain(SINK_KEYS)
        .chain(SOURCE_KEYS)
        .chain(GROUP_KEYS)
        .chain(WORKER_KEYS)
        .chain(DISTRIBUTED_KEYS)
        .chain(SECURITY_KEYS)
        .chain(TRANSFORMS.iter().flat_map(|plugin| plugin.keys))
        .chain(PREDICATES.iter().flat_map(|plugin| plugin.keys));
    let silent: Vec<&str> = keys.filter(|key| key.doc.len() < 10).map(|key| key.name).collect();
    assert!(silent.is_empty(), "{silent:?}");
}
