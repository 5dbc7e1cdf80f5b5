//! Every property of Java's consumer, producer and admin client (Apache Kafka 4.3), and what becomes of it here.
//!
//! [`properties`](super::properties) translates by this table, and the documentation is made from it. A property that is not in it is librdkafka's own (or
//! nobody's, which librdkafka says), and passes as it is.

/// Which clients have a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients(u8);

/// Sinks' consumers.
pub const CONSUMER: Clients = Clients(1);
/// Sources' producers.
pub const PRODUCER: Clients = Clients(2);
/// Who makes topics for sources.
pub const ADMIN: Clients = Clients(4);
const ALL: Clients = Clients(7);

impl Clients {
    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when these are among the others.
    #[must_use]
    pub fn are_in(self, others: Self) -> bool {
        self.0 & others.0 == self.0
    }

    /// Their names.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [(CONSUMER, "consumer"), (PRODUCER, "producer"), (ADMIN, "admin")].into_iter().filter(|(one, _)| one.are_in(self)).map(|(_, name)| name).collect()
    }
}

/// What becomes of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// librdkafka has it under the same name.
    Same,
    /// librdkafka has it under that name.
    As(&'static str),
    /// It is translated; how, for the documentation.
    Translated(&'static str),
    /// It is taken, and nothing follows from it; why nothing is missing.
    Without(&'static str),
    /// These values are taken, since they ask for nothing; others are refused with the reason.
    Refused(&'static [&'static str], &'static str),
}

/// One property.
#[derive(Debug, Clone, Copy)]
pub struct ClientKey {
    /// Java's name.
    pub name: &'static str,
    /// Who has it.
    pub clients: Clients,
    /// What becomes of it.
    pub fate: Fate,
}

const fn key(name: &'static str, clients: Clients, fate: Fate) -> ClientKey {
    ClientKey { name, clients, fate }
}

/// What Java's clients are told to log in with tokens by; nothing for clients that do not.
pub const TOKEN_HANDLERS: &[&str] = &[
    "",
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
];

/// What gets tokens in Java: by the address, by client credentials, from a file.
const RETRIEVERS: &[&str] = &[
    "",
    "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
    "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever",
];

/// What reads them.
const VALIDATORS: &[&str] =
    &["", "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", "org.apache.kafka.common.security.oauthbearer.ClientJwtValidator"];

const NO_JMX: Fate = Without("there is no JMX; figures are in the status of tasks");
const BYTES: Fate = Without("clients carry bytes, as in Connect; the converters make sense of them");
const JAVAS_TLS: Fate = Without("it names a part of Java's TLS, which does the same as the one that is built in");
const IN_TLS: Fate = Translated("as in Java: JKS, PKCS12 or PEM; converted to PEM in memory, where security.protocol is SSL or SASL_SSL");
const NO_LOGIN: Fate = Refused(&[""], "classes of Java cannot be loaded; use PLAIN, SCRAM-SHA-256/512 or OAUTHBEARER, or certificates");
const OF_TICKETS: Fate = Without("it is about logins with Kerberos tickets, which sasl.mechanism refuses");
const OF_TOKENS: Fate = Translated("as in Java, where sasl.mechanism is OAUTHBEARER");
const NO_ASSERTIONS: Fate = Refused(&[""], "assertions are not supported; give sasl.oauthbearer.client.credentials.client.id and .client.secret");

use Fate::{As, Refused, Same, Translated, Without};

/// Every property of Java's clients, by name.
pub static CLIENT_KEYS: &[ClientKey] = &[
    key("acks", PRODUCER, Same),
    key("allow.auto.create.topics", CONSUMER, Same),
    key("auto.commit.interval.ms", CONSUMER, Without("offsets are committed by tasks, never by the client")),
    key("auto.include.jmx.reporter", ALL, NO_JMX),
    key("auto.offset.reset", CONSUMER, Translated("earliest, latest and none; by_duration is refused")),
    key("batch.size", PRODUCER, Same),
    key("bootstrap.controllers", ADMIN, Refused(&[""], "topics are made through brokers; give bootstrap.servers")),
    key("bootstrap.servers", ALL, Same),
    key("buffer.memory", PRODUCER, Translated("in KiB, as queue.buffering.max.kbytes")),
    key("check.crcs", CONSUMER, Same),
    key("client.dns.lookup", ALL, Same),
    key("client.id", ALL, Same),
    key("client.rack", CONSUMER, Same),
    key("compression.gzip.level", PRODUCER, Translated("as compression.level, where compression.type is gzip")),
    key("compression.lz4.level", PRODUCER, Translated("as compression.level, where compression.type is lz4")),
    key("compression.type", PRODUCER, Same),
    key("compression.zstd.level", PRODUCER, Translated("as compression.level, where compression.type is zstd; most is 12")),
    key("config.providers", ALL, Refused(&[""], "references are resolved by the providers of the worker: put config.providers into the worker's file")),
    key("connections.max.idle.ms", ALL, Same),
    key("default.api.timeout.ms", ALL, Without("what a client is asked is waited for as long as the task lives, and shown in its status")),
    key("delivery.timeout.ms", PRODUCER, Same),
    key("enable.auto.commit", CONSUMER, Translated("false whatever is set: offsets are committed only when records are durable")),
    key("enable.idempotence", PRODUCER, Same),
    key("enable.metrics.push", ALL, Same),
    key("exclude.internal.topics", CONSUMER, Translated("true, the default: topics.regex takes none of Kafka's own topics")),
    key("fetch.max.bytes", CONSUMER, Same),
    key("fetch.max.wait.ms", CONSUMER, As("fetch.wait.max.ms")),
    key("fetch.min.bytes", CONSUMER, Same),
    key("group.id", CONSUMER, Same),
    key("group.instance.id", CONSUMER, Same),
    key("group.protocol", CONSUMER, Same),
    key("group.remote.assignor", CONSUMER, Same),
    key("heartbeat.interval.ms", CONSUMER, Same),
    key(
        "interceptor.classes",
        CONSUMER.or(PRODUCER),
        Translated("Confluent's monitoring interceptors, which change no record, are left out; others cannot be loaded and are refused"),
    ),
    key("internal.leave.group.on.close", CONSUMER, Without("a member that ends leaves its group, so that others take over at once")),
    key("internal.throw.on.fetch.stable.offset.unsupported", CONSUMER, Without("it is Kafka Streams' own")),
    key("isolation.level", CONSUMER, Same),
    key("key.deserializer", CONSUMER, BYTES),
    key("key.serializer", PRODUCER, BYTES),
    key("linger.ms", PRODUCER, Same),
    key("max.block.ms", PRODUCER, Without("a full buffer is waited for without end, as upstream's default has it for sources")),
    key("max.in.flight.requests.per.connection", PRODUCER, Same),
    key("max.partition.fetch.bytes", CONSUMER, Same),
    key("max.poll.interval.ms", CONSUMER, Same),
    key("max.poll.records", CONSUMER, Without("batches are bounded by bytes, and sinks take any number of records")),
    key("max.request.size", PRODUCER, As("message.max.bytes")),
    key("metadata.max.age.ms", ALL, Same),
    key("metadata.max.idle.ms", PRODUCER, Without("it is about how long a client remembers topics that it does not use")),
    key("metadata.recovery.rebootstrap.trigger.ms", ALL, Same),
    key("metadata.recovery.strategy", ALL, Same),
    key("metric.reporters", ALL, NO_JMX),
    key("metrics.num.samples", ALL, NO_JMX),
    key("metrics.recording.level", ALL, NO_JMX),
    key("metrics.sample.window.ms", ALL, NO_JMX),
    key(
        "partition.assignment.strategy",
        CONSUMER,
        Translated("RangeAssignor, RoundRobinAssignor and CooperativeStickyAssignor; StickyAssignor becomes the last"),
    ),
    key("partitioner.adaptive.partitioning.enable", PRODUCER, Without("it is about records without a key, which go to any partition")),
    key("partitioner.availability.timeout.ms", PRODUCER, Without("it is about records without a key, which go to any partition")),
    key(
        "partitioner.class",
        PRODUCER,
        Translated("DefaultPartitioner; RoundRobinPartitioner and UniformStickyPartitioner become `random`; others cannot be loaded and are refused"),
    ),
    key("partitioner.ignore.keys", PRODUCER, Translated("true: `random`")),
    key("receive.buffer.bytes", ALL, As("socket.receive.buffer.bytes")),
    key("reconnect.backoff.max.ms", ALL, Same),
    key("reconnect.backoff.ms", ALL, Same),
    key("request.timeout.ms", ALL, As("socket.timeout.ms")),
    key("retries", PRODUCER.or(ADMIN), Same),
    key("retry.backoff.max.ms", ALL, Same),
    key("retry.backoff.ms", ALL, Same),
    key("sasl.client.callback.handler.class", ALL, NO_LOGIN),
    key(
        "sasl.jaas.config",
        ALL,
        Translated(
            "PlainLoginModule and ScramLoginModule: sasl.username and sasl.password; OAuthBearerLoginModule: where tokens come from, without SASL extensions",
        ),
    ),
    key("sasl.kerberos.kinit.cmd", ALL, OF_TICKETS),
    key("sasl.kerberos.min.time.before.relogin", ALL, OF_TICKETS),
    key("sasl.kerberos.service.name", ALL, OF_TICKETS),
    key("sasl.kerberos.ticket.renew.jitter", ALL, OF_TICKETS),
    key("sasl.kerberos.ticket.renew.window.factor", ALL, OF_TICKETS),
    key(
        "sasl.login.callback.handler.class",
        ALL,
        Refused(
            TOKEN_HANDLERS,
            "classes of Java cannot be loaded, but those for tokens are built in: OAuthBearerLoginCallbackHandler; or use PLAIN, SCRAM or certificates",
        ),
    ),
    key("sasl.login.class", ALL, NO_LOGIN),
    key("sasl.login.connect.timeout.ms", ALL, OF_TOKENS),
    key("sasl.login.read.timeout.ms", ALL, OF_TOKENS),
    key("sasl.login.refresh.buffer.seconds", ALL, OF_TOKENS),
    key("sasl.login.refresh.min.period.seconds", ALL, OF_TOKENS),
    key("sasl.login.refresh.window.factor", ALL, OF_TOKENS),
    key("sasl.login.refresh.window.jitter", ALL, OF_TOKENS),
    key("sasl.login.retry.backoff.max.ms", ALL, OF_TOKENS),
    key("sasl.login.retry.backoff.ms", ALL, OF_TOKENS),
    key(
        "sasl.mechanism",
        ALL,
        Translated("PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER; GSSAPI (Java's default) is refused where security.protocol is SASL_*"),
    ),
    key("sasl.oauthbearer.assertion.claim.iss", ALL, NO_ASSERTIONS),
    key("sasl.oauthbearer.assertion.file", ALL, NO_ASSERTIONS),
    key("sasl.oauthbearer.client.credentials.client.id", ALL, OF_TOKENS),
    key("sasl.oauthbearer.client.credentials.client.secret", ALL, OF_TOKENS),
    key("sasl.oauthbearer.header.urlencode", ALL, OF_TOKENS),
    key("sasl.oauthbearer.jwt.retriever.class", ALL, Refused(RETRIEVERS, "classes of Java cannot be loaded; tokens are got by DefaultJwtRetriever's rules")),
    key("sasl.oauthbearer.jwt.validator.class", ALL, Refused(VALIDATORS, "classes of Java cannot be loaded; tokens are read by ClientJwtValidator's rules")),
    key("sasl.oauthbearer.scope", ALL, OF_TOKENS),
    key("sasl.oauthbearer.scope.claim.name", ALL, Without("a token's scopes are for the broker to read")),
    key("sasl.oauthbearer.sub.claim.name", ALL, OF_TOKENS),
    key("sasl.oauthbearer.token.endpoint.url", ALL, Translated("https, http or file, where sasl.mechanism is OAUTHBEARER")),
    key("security.protocol", ALL, Same),
    key("security.providers", ALL, Refused(&[""], "classes of Java cannot be loaded")),
    key("send.buffer.bytes", ALL, As("socket.send.buffer.bytes")),
    key("session.timeout.ms", CONSUMER, Same),
    key("socket.connection.setup.timeout.max.ms", ALL, Without("each try to connect has socket.connection.setup.timeout.ms")),
    key("socket.connection.setup.timeout.ms", ALL, Same),
    key("ssl.cipher.suites", ALL, Translated("Java's names or OpenSSL's; those of TLS 1.3 are always on")),
    key("ssl.enabled.protocols", ALL, Translated("TLSv1.2 must be among them; TLSv1.3 is on whether it is or not")),
    key("ssl.endpoint.identification.algorithm", ALL, Translated("https; empty: none")),
    key("ssl.engine.factory.class", ALL, Refused(&[""], "classes of Java cannot be loaded")),
    key("ssl.key.password", ALL, IN_TLS),
    key("ssl.keymanager.algorithm", ALL, JAVAS_TLS),
    key("ssl.keystore.certificate.chain", ALL, IN_TLS),
    key("ssl.keystore.key", ALL, IN_TLS),
    key("ssl.keystore.location", ALL, IN_TLS),
    key("ssl.keystore.password", ALL, IN_TLS),
    key("ssl.keystore.type", ALL, IN_TLS),
    key("ssl.protocol", ALL, Translated("as in Java: ssl.enabled.protocols decides")),
    key("ssl.provider", ALL, Refused(&[""], "another implementation of TLS cannot be chosen")),
    key("ssl.secure.random.implementation", ALL, JAVAS_TLS),
    key("ssl.trustmanager.algorithm", ALL, JAVAS_TLS),
    key("ssl.truststore.certificates", ALL, IN_TLS),
    key("ssl.truststore.location", ALL, IN_TLS),
    key("ssl.truststore.password", ALL, IN_TLS),
    key("ssl.truststore.type", ALL, IN_TLS),
    key("transaction.timeout.ms", PRODUCER, Same),
    key("value.deserializer", CONSUMER, BYTES),
    key("value.serializer", PRODUCER, BYTES),
];

/// Starts of the names of further properties.
pub static CLIENT_PREFIXES: &[ClientKey] = &[
    key("confluent.", ALL, Without("it belongs to Confluent's interceptors and reporters")),
    key("metrics.context.", ALL, NO_JMX),
    key("sasl.oauthbearer.", ALL, Without("it is for brokers, which check tokens, or for assertions, which are refused")),
];

/// What becomes of that property; `None`: it is none of Java's.
#[must_use]
pub fn fate(name: &str) -> Option<Fate> {
    let known = CLIENT_KEYS.binary_search_by(|key| key.name.cmp(name)).ok().and_then(|at| CLIENT_KEYS.get(at));
    known.or_else(|| CLIENT_PREFIXES.iter().find(|prefix| name.starts_with(prefix.name))).map(|key| key.fate)
}

/// What librdkafka takes of numbers for which Java's clients take more: name, least, most. The nearest one that it takes is meant no less.
pub(super) static BOUNDS: &[(&str, i64, i64)] = &[
    ("batch.size", 1, 2_147_483_647),
    ("compression.level", -1, 12),
    ("connections.max.idle.ms", 0, 2_147_483_647),
    ("fetch.max.bytes", 0, 2_147_483_135),
    ("fetch.min.bytes", 1, 100_000_000),
    ("fetch.wait.max.ms", 0, 300_000),
    ("linger.ms", 0, 900_000),
    ("max.partition.fetch.bytes", 1, 1_000_000_000),
    ("max.poll.interval.ms", 1, 86_400_000),
    ("message.max.bytes", 1000, 1_000_000_000),
    ("metadata.max.age.ms", 1, 86_400_000),
    ("reconnect.backoff.max.ms", 0, 3_600_000),
    ("reconnect.backoff.ms", 0, 3_600_000),
    ("retry.backoff.max.ms", 1, 300_000),
    ("retry.backoff.ms", 1, 300_000),
    ("socket.connection.setup.timeout.ms", 1000, 2_147_483_647),
    ("socket.receive.buffer.bytes", 0, 100_000_000),
    ("socket.send.buffer.bytes", 0, 100_000_000),
    ("socket.timeout.ms", 10, 300_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_stand_in_the_order_of_their_names() {
        assert!(CLIENT_KEYS.is_sorted_by(|a, b| a.name < b.name), "they are looked up by halves");
        assert_eq!(fate("acks"), Some(Same));
        assert_eq!(fate("fetch.max.wait.ms"), Some(As("fetch.wait.max.ms")));
        assert!(matches!(fate("sasl.oauthbearer.scope"), Some(Translated(_))));
        assert!(matches!(fate("sasl.oauthbearer.jwks.endpoint.url"), Some(Without(_))));
        assert_eq!((fate("queued.max.messages.kbytes"), fate("")), (None, None));
    }
}
