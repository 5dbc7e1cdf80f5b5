//! The Kafka clients' configuration, from the worker's and the connector's: upstream's `Worker.baseConsumerConfigs`.

use crate::connect::Props;
use crate::kafka::client_keys::{ADMIN, CLIENT_KEYS};

/// Start of a connector's settings for its own consumer (KIP-458).
pub const CONSUMER_OVERRIDE: &str = "consumer.override.";

/// Start of a connector's settings for its own producer.
pub const PRODUCER_OVERRIDE: &str = "producer.override.";

/// Start of a connector's settings for its own admin client.
pub const ADMIN_OVERRIDE: &str = "admin.override.";

/// The configuration of the consumer of one sink task, in Kafka's Java spelling. Later wins: the defaults for sinks, the worker's security settings
/// (`security.*`, `ssl.*`, `sasl.*`, `client.dns.lookup`) where the client has no brokers of its own, the worker's `consumer.*`, the connector's
/// `consumer.override.*`. Offsets are committed by the task alone, so `enable.auto.commit` is false whatever is set. `worker` and `connector` are resolved: no
/// references to config providers.
#[must_use]
pub fn consumer_props(worker: &Props, connector_name: &str, connector: &Props, task: u32) -> crate::kafka::Props {
    let mut consumer = Props::from([
        ("auto.offset.reset".to_owned(), "earliest".to_owned()),
        ("client.id".to_owned(), format!("connector-consumer-{connector_name}-{task}")),
        ("group.id".to_owned(), format!("connect-{connector_name}")),
        // Java's default; librdkafka's own is read_committed.
        ("isolation.level".to_owned(), "read_uncommitted".to_owned()),
    ]);
    layer(&mut consumer, worker, "consumer.", connector, CONSUMER_OVERRIDE);
    consumer.insert("enable.auto.commit".to_owned(), "false".to_owned());
    consumer
}

/// The configuration of the producer of one source task: upstream's `Worker.baseProducerConfigs`. Later wins, as in [`consumer_props`].
#[must_use]
pub fn producer_props(worker: &Props, connector_name: &str, connector: &Props, task: u32) -> crate::kafka::Props {
    let defaults = [
        ("acks", "all"),
        ("client.id", &format!("connector-producer-{connector_name}-{task}")),
        // Nothing is given up: what is wrong is waited for, and shown.
        ("delivery.timeout.ms", "2147483647"),
        ("enable.idempotence", "false"),
        ("max.in.flight.requests.per.connection", "1"),
    ];
    let mut producer: Props = defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    layer(&mut producer, worker, "producer.", connector, PRODUCER_OVERRIDE);
    producer
}

/// The configuration of the producer of one sink task's dead letters: that of a source task's, under another name.
#[must_use]
pub fn dlq_producer_props(worker: &Props, connector_name: &str, connector: &Props, task: u32) -> crate::kafka::Props {
    renamed(producer_props(worker, connector_name, connector, task), "connector-producer-", &format!("connector-dlq-producer-{connector_name}-{task}"))
}

/// The configuration of the client that makes the topic for one sink task's dead letters.
#[must_use]
pub fn dlq_admin_props(worker: &Props, connector_name: &str, connector: &Props, task: u32) -> crate::kafka::Props {
    renamed(admin_props(worker, connector_name, connector, task), "connector-adminclient-", &format!("connector-dlq-adminclient-{connector_name}-{task}"))
}

/// The same for a client of another name, unless somebody has named it.
fn renamed(mut props: crate::kafka::Props, default: &str, name: &str) -> crate::kafka::Props {
    if props.get("client.id").is_some_and(|id| id.starts_with(default)) {
        props.insert("client.id".to_owned(), name.to_owned());
    }
    props
}

/// The configuration of the client that makes topics for one source task. Later wins, as in [`consumer_props`]; as upstream, it has the worker's properties of
/// connections without a prefix, too.
#[must_use]
pub fn admin_props(worker: &Props, connector_name: &str, connector: &Props, task: u32) -> crate::kafka::Props {
    let mut admin = Props::from([("client.id".to_owned(), format!("connector-adminclient-{connector_name}-{task}"))]);
    let of_worker = CLIENT_KEYS.iter().filter(|key| ADMIN.are_in(key.clients) && !is_shared(key.name) && key.name != "config.providers");
    admin.extend(of_worker.filter_map(|key| Some((key.name.to_owned(), worker.get(key.name)?.clone()))));
    layer(&mut admin, worker, "admin.", connector, ADMIN_OVERRIDE);
    // The worker's listeners for administrators are no client's.
    admin.retain(|key, _| key != "listeners" && !key.starts_with("listeners."));
    admin
}

/// The configuration of a client of the worker itself: none of `producer.*` and the like.
#[must_use]
pub fn internal_props(worker: &Props) -> crate::kafka::Props {
    worker.iter().filter(|(key, _)| is_shared(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The configuration of the client by which the leader fences a source connector's tasks: upstream's `Worker.fenceZombies`.
#[must_use]
pub fn fencing_props(worker: &Props, connector_name: &str, connector: &Props) -> crate::kafka::Props {
    let mut props = admin_props(worker, connector_name, connector, 0);
    if props.get("client.id").is_some_and(|id| *id == format!("connector-adminclient-{connector_name}-0")) {
        props.insert("client.id".to_owned(), format!("connector-worker-adminclient-{connector_name}"));
    }
    props
}

/// The `transactional.id` of a source task.
#[must_use]
pub fn transactional_id(worker: &Props, connector_name: &str, task: u32) -> String {
    format!("{}-{connector_name}-{task}", worker.get("group.id").map_or("", |group| group.trim()))
}

/// The configuration of what reads and writes a source connector's own offsets topic. Later wins, as in [`consumer_props`]. It has no part in a group.
#[must_use]
pub fn offsets_props(worker: &Props, connector_name: &str, connector: &Props) -> crate::kafka::Props {
    let mut props = Props::from([("client.id".to_owned(), format!("connector-consumer-{connector_name}"))]);
    layer(&mut props, worker, "consumer.", connector, CONSUMER_OVERRIDE);
    props
}

/// Adds the worker's settings for every client, those for its clients of a kind, and the connector's own. Who has brokers of its own is not given how the
/// worker's are protected: as upstream, that is then said beside them.
fn layer(client: &mut Props, worker: &Props, prefix: &str, connector: &Props, overrides: &str) {
    const BROKERS: &str = "bootstrap.servers";
    let is_elsewhere = worker.contains_key(&format!("{prefix}{BROKERS}")) || connector.contains_key(&format!("{overrides}{BROKERS}"));
    if !is_elsewhere {
        client.extend(worker.iter().filter(|(key, _)| is_shared(key)).map(|(key, value)| (key.clone(), value.clone())));
    }
    client.extend(below(worker, prefix));
    client.extend(below(connector, overrides));
}

/// True for the worker's settings that every client takes.
fn is_shared(key: &str) -> bool {
    matches!(key, "bootstrap.servers" | "client.dns.lookup")
        || (key != "ssl.client.auth" && ["security.", "ssl.", "sasl."].iter().any(|prefix| key.starts_with(prefix)))
}

/// The settings that start with `prefix`, the prefix cut off.
pub fn below<'a>(props: &'a Props, prefix: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
    props.iter().filter_map(move |(key, value)| key.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(|rest| (rest.to_owned(), value.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_sink_consumer_is_configured_as_upstream() {
        let worker = props(&[
            ("bootstrap.servers", "b:9092"),
            ("key.converter", "x"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("ssl.client.auth", "required"),
            ("consumer.fetch.min.bytes", "10"),
            ("consumer.sasl.mechanism", "SCRAM-SHA-256"),
            ("consumer.", "nothing"),
            ("producer.acks", "all"),
        ]);
        let connector = props(&[("consumer.override.fetch.min.bytes", "20"), ("consumer.override.enable.auto.commit", "true"), ("topics", "t")]);
        let expected = props(&[
            ("auto.offset.reset", "earliest"),
            ("bootstrap.servers", "b:9092"),
            ("client.id", "connector-consumer-c-2"),
            ("enable.auto.commit", "false"),
            ("fetch.min.bytes", "20"),
            ("group.id", "connect-c"),
            ("isolation.level", "read_uncommitted"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("security.protocol", "SASL_SSL"),
        ]);
        assert_eq!(consumer_props(&worker, "c", &connector, 2), expected);
    }

    #[test]
    fn a_source_producer_is_configured_as_upstream() {
        let worker = props(&[
            ("bootstrap.servers", "b:9092"),
            ("producer.linger.ms", "1"),
            ("producer.acks", "1"),
            ("admin.listeners", "x"),
            ("admin.retries", "2"),
            ("request.timeout.ms", "7"),
            ("session.timeout.ms", "8"),
        ]);
        let connector = props(&[("producer.override.acks", "all"), ("admin.override.retries", "3"), ("topic", "t")]);
        let expected = props(&[
            ("acks", "all"),
            ("bootstrap.servers", "b:9092"),
            ("client.id", "connector-producer-c-1"),
            ("delivery.timeout.ms", "2147483647"),
            ("enable.idempotence", "false"),
            ("linger.ms", "1"),
            ("max.in.flight.requests.per.connection", "1"),
        ]);
        assert_eq!(producer_props(&worker, "c", &connector, 1), expected);
        let expected = props(&[("bootstrap.servers", "b:9092"), ("client.id", "connector-adminclient-c-1"), ("request.timeout.ms", "7"), ("retries", "3")]);
        assert_eq!(admin_props(&worker, "c", &connector, 1), expected);
    }

    #[test]
    fn clients_with_brokers_of_their_own_are_not_given_how_the_workers_are_protected() {
        let worker = [("bootstrap.servers", "b:9093"), ("security.protocol", "SSL"), ("consumer.fetch.min.bytes", "1")];
        for (more, connector, expected) in [
            (None, None, ("b:9093", Some("SSL"))),
            (Some(("consumer.bootstrap.servers", "x:1")), None, ("x:1", None)),
            (None, Some(("consumer.override.bootstrap.servers", "y:1")), ("y:1", None)),
            (Some(("producer.bootstrap.servers", "z:1")), None, ("b:9093", Some("SSL"))),
        ] {
            let worker = props(&worker.into_iter().chain(more).collect::<Vec<_>>());
            let consumer = consumer_props(&worker, "c", &props(connector.as_slice()), 0);
            assert_eq!((consumer["bootstrap.servers"].as_str(), consumer.get("security.protocol").map(String::as_str)), expected);
        }
    }

    #[test]
    fn what_fences_and_reads_offsets_is_configured_as_upstream() {
        let worker = props(&[("bootstrap.servers", "b:9092"), ("group.id", "g"), ("admin.retries", "2"), ("consumer.x", "1"), ("producer.linger.ms", "1")]);
        let connector = props(&[("admin.override.retries", "3"), ("consumer.override.y", "2")]);
        let expected = props(&[("bootstrap.servers", "b:9092"), ("client.id", "connector-worker-adminclient-c"), ("retries", "3")]);
        assert_eq!(fencing_props(&worker, "c", &connector), expected);
        let expected = props(&[("bootstrap.servers", "b:9092"), ("client.id", "connector-consumer-c"), ("x", "1"), ("y", "2")]);
        assert_eq!(offsets_props(&worker, "c", &connector), expected);
        assert_eq!(internal_props(&worker), props(&[("bootstrap.servers", "b:9092")]));
        assert_eq!(transactional_id(&worker, "c", 7), "g-c-7");
    }

    #[test]
    fn a_connector_may_choose_its_group() {
        let connector = props(&[("consumer.override.group.id", "mine"), ("consumer.override.auto.offset.reset", "latest")]);
        let consumer = consumer_props(&Props::new(), "c", &connector, 0);
        assert_eq!((consumer["group.id"].as_str(), consumer["auto.offset.reset"].as_str()), ("mine", "latest"));
    }
}
