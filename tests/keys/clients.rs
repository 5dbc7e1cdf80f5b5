//! Every property of Java's clients (`consumer.*`, `producer.*`, `admin.*` and the connectors' overrides) fares as the table says of it, and librdkafka takes what
//! it is given.

use std::collections::BTreeSet;

use lakehead::kafka::client_keys::{ADMIN, CLIENT_KEYS, CONSUMER, Clients, Fate, PRODUCER};
use lakehead::kafka::properties::{admin, consumer, producer, refusal};
use lakehead::kafka::{KafkaError, Props};

/// Values other than the defaults, for properties that are passed on or translated, and what librdkafka is given for those of the second kind.
const VALUES: &[(&str, &str, &str)] = &[
    ("acks", "1", ""),
    ("allow.auto.create.topics", "false", ""),
    ("auto.offset.reset", "none", "auto.offset.reset=error"),
    ("batch.size", "1000", ""),
    ("bootstrap.servers", "b:1", ""),
    ("buffer.memory", "2048", "queue.buffering.max.kbytes=2"),
    ("check.crcs", "false", ""),
    ("client.dns.lookup", "resolve_canonical_bootstrap_servers_only", ""),
    ("client.id", "me", ""),
    ("client.rack", "a", ""),
    ("compression.gzip.level", "9", ""),
    ("compression.lz4.level", "9", ""),
    ("compression.type", "zstd", ""),
    ("compression.zstd.level", "22", ""),
    ("connections.max.idle.ms", "1000", ""),
    ("delivery.timeout.ms", "1000", ""),
    ("enable.auto.commit", "true", "enable.auto.commit=false"),
    ("enable.idempotence", "true", ""),
    ("enable.metrics.push", "false", ""),
    ("exclude.internal.topics", "false", ""),
    ("fetch.max.bytes", "1000", ""),
    ("fetch.max.wait.ms", "1", ""),
    ("fetch.min.bytes", "10", ""),
    ("group.id", "g", ""),
    ("group.instance.id", "i", ""),
    ("group.protocol", "consumer", ""),
    ("group.remote.assignor", "range", ""),
    ("heartbeat.interval.ms", "1", ""),
    ("interceptor.classes", "io.confluent.monitoring.clients.interceptor.MonitoringConsumerInterceptor", ""),
    ("isolation.level", "read_committed", ""),
    ("linger.ms", "1", ""),
    ("max.in.flight.requests.per.connection", "5", ""),
    ("max.partition.fetch.bytes", "1000", ""),
    ("max.poll.interval.ms", "1000", ""),
    ("max.request.size", "2000", ""),
    ("metadata.max.age.ms", "1000", ""),
    ("metadata.recovery.rebootstrap.trigger.ms", "1000", ""),
    ("metadata.recovery.strategy", "none", ""),
    ("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor", "partition.assignment.strategy=range"),
    ("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner", "partitioner=random"),
    ("partitioner.ignore.keys", "true", "partitioner=random"),
    ("receive.buffer.bytes", "1000", ""),
    ("reconnect.backoff.max.ms", "1000", ""),
    ("reconnect.backoff.ms", "10", ""),
    ("request.timeout.ms", "1000", ""),
    ("retries", "5", ""),
    ("retry.backoff.max.ms", "500", ""),
    ("retry.backoff.ms", "10", ""),
    ("security.protocol", "ssl", ""),
    ("send.buffer.bytes", "1000", ""),
    ("session.timeout.ms", "1000", ""),
    ("socket.connection.setup.timeout.ms", "2000", ""),
    ("transaction.timeout.ms", "1000", ""),
];

type Translate = fn(&Props) -> Result<Props, KafkaError>;

const CLIENTS: [(Clients, Translate); 3] = [(CONSUMER, consumer), (PRODUCER, producer), (ADMIN, admin)];

fn props(key: &str, value: &str) -> Props {
    Props::from([(key.to_owned(), value.to_owned())])
}

#[test]
fn every_property_of_javas_clients_fares_as_its_row_says() {
    for key in CLIENT_KEYS {
        let value = VALUES.iter().find(|(name, ..)| *name == key.name).map(|(_, value, _)| *value);
        for (client, translate) in CLIENTS.into_iter().filter(|(client, _)| client.are_in(key.clients)) {
            let name = format!("{:?} {}", client.names(), key.name);
            let given = props(key.name, value.unwrap_or("x"));
            match key.fate {
                Fate::Same | Fate::As(_) => {
                    let of_librdkafka = if let Fate::As(renamed) = key.fate { renamed } else { key.name };
                    let value = value.unwrap_or_else(|| panic!("{name} has no value"));
                    assert_eq!(translate(&given).expect(&name).get(of_librdkafka).map(String::as_str), Some(value), "{name}");
                    assert_eq!(refusal(client, &given), None, "{name}");
                }
                Fate::Without(_) => assert_eq!(translate(&given).expect(&name), translate(&Props::new()).expect("nothing"), "{name}"),
                Fate::Refused(taken, why) => {
                    let error = translate(&given).expect_err(&name).message;
                    assert!(error.contains(key.name) && error.contains(why), "{error}");
                    assert_eq!(refusal(client, &given).map(|refusal| refusal.key).as_deref(), Some(key.name));
                    taken.iter().for_each(|value| drop(translate(&props(key.name, value)).expect(&name)));
                }
                Fate::Translated(_) => {
                    // Those of TLS and SASL are shown where connections are made.
                    let is_protection = key.name.starts_with("ssl.") || key.name.starts_with("sasl.");
                    assert!(is_protection || value.is_some(), "{name} has no value");
                    assert_eq!(refusal(client, &given), None, "{name}");
                }
            }
        }
    }
}

#[test]
fn properties_that_are_translated_become_librdkafkas() {
    for (key, value, expected) in VALUES.iter().filter(|(.., expected)| !expected.is_empty()) {
        let row = CLIENT_KEYS.iter().find(|row| row.name == *key).expect("a row");
        let (_, translate) = CLIENTS.into_iter().find(|(client, _)| client.are_in(row.clients)).expect("a client");
        let (name, of_librdkafka) = expected.split_once('=').expect("a pair");
        let out = translate(&props(key, value)).expect(key);
        assert_eq!(out.get(name).map(String::as_str), Some(of_librdkafka), "{key}");
        assert!(name == *key || !out.contains_key(*key), "{key}");
    }
    for (codec, level, expected) in
        [("gzip", "compression.gzip.level", Some("9")), ("zstd", "compression.gzip.level", None), ("zstd", "compression.zstd.level", Some("9"))]
    {
        let given = Props::from([("compression.type".to_owned(), codec.to_owned()), (level.to_owned(), "9".to_owned())]);
        assert_eq!(producer(&given).expect("levels").get("compression.level").map(String::as_str), expected, "{codec} {level}");
    }
    let rows: BTreeSet<&str> = CLIENT_KEYS.iter().map(|key| key.name).collect();
    assert!(VALUES.iter().all(|(key, ..)| rows.contains(key)), "values of properties that are no more");
}
