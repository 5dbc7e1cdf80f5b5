//! Kafka client properties as Java spells them → librdkafka's.
//!
//! Users' files are written for the Java client. [`client_keys`](super::client_keys) says of each property what becomes of it; here that is done. TLS is as
//! `crate::tls` reads it: stores become PEM texts, which are kept in memory only.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError as RdError;

use super::client_keys::{ADMIN, BOUNDS, CONSUMER, Clients, Fate, PRODUCER, fate};
use super::jaas::Jaas;
use super::tokens::{self, OAUTHBEARER};
use super::{KafkaError, KafkaErrorKind, Props};
use crate::tls::{self, Ssl};

/// Kafka's own topics, as librdkafka's `topic.blacklist` takes them.
const INTERNAL_TOPICS: &str = "^__consumer_offsets$,^__transaction_state$,^__share_group_state$";
/// Interceptors that change no record.
const MONITORING: &str = "io.confluent.monitoring.clients.interceptor.";

/// A property that cannot be used, by Java's name, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub key: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

impl Refusal {
    fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }
}

/// What the client keeps to push to brokers that ask for it (KIP-714) is some 400 KB for each client, whether or not one asks: only where it is wanted.
const METRICS_PUSH: (&str, &str) = ("enable.metrics.push", "false");

/// Translates a sink consumer's properties; the result is complete: defaults that differ between the clients are set as Java has them.
///
/// # Errors
/// [`KafkaErrorKind::Config`] names the property and says what to do.
pub fn consumer(java: &Props) -> Result<Props, KafkaError> {
    of(CONSUMER, java)
}

/// Translates a producer's properties, as [`consumer`] a consumer's.
///
/// # Errors
/// [`KafkaErrorKind::Config`] names the property and says what to do.
pub fn producer(java: &Props) -> Result<Props, KafkaError> {
    of(PRODUCER, java)
}

/// `transaction.timeout.ms`, unless it is set.
const TRANSACTION_TIMEOUT_MS: u64 = 60_000;

/// Translates the properties of a producer with transactions, as [`producer`] those of one without. What they say of transactions and idempotence does not count;
/// a record is given up with its transaction.
///
/// # Errors
/// [`KafkaErrorKind::Config`] names the property and says what to do.
pub fn transactional_producer(java: &Props, transactional_id: &str) -> Result<Props, KafkaError> {
    let mut plain = java.clone();
    for key in ["transactional.id", "enable.idempotence", "delivery.timeout.ms", "retries"] {
        if plain.remove(key).is_some() {
            tracing::warn!(key, transactional_id, "without effect on a producer with transactions");
        }
    }
    let mut out = producer(&plain)?;
    // librdkafka takes no request that may last longer than its transaction.
    let number = |key: &str| out.get(key).and_then(|value| value.parse::<u64>().ok());
    let longest = number("transaction.timeout.ms").unwrap_or(TRANSACTION_TIMEOUT_MS);
    if number("socket.timeout.ms").is_some_and(|timeout| timeout > longest) {
        out.insert("socket.timeout.ms".to_owned(), longest.to_string());
    }
    out.insert("transactional.id".to_owned(), transactional_id.to_owned());
    Ok(out)
}

/// Translates an admin client's properties, as [`consumer`] a consumer's.
///
/// # Errors
/// [`KafkaErrorKind::Config`] names the property and says what to do.
pub fn admin(java: &Props) -> Result<Props, KafkaError> {
    of(ADMIN, java)
}

/// What a consumer of topics that match a pattern leaves out, unless it is told otherwise: Java's clients do not take Kafka's own topics then.
#[must_use]
pub fn left_out_of_patterns(java: &Props) -> Option<&'static str> {
    let is_told = java.contains_key("topic.blacklist") || java.get("exclude.internal.topics").is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
    (!is_told).then_some(INTERNAL_TOPICS)
}

/// The first property of a client that cannot be used, as far as that can be told without reading files.
#[must_use]
pub fn refusal(client: Clients, java: &Props) -> Option<Refusal> {
    let out = match plain(client, java).and_then(|mut out| log_in(java, &mut out).map(|()| out)) {
        Ok(out) => out,
        Err(refusal) => return Some(refusal),
    };
    let mut config = ClientConfig::new();
    for (key, value) in out {
        config.set(key, value);
    }
    match config.create_native_config() {
        Ok(_) => None,
        Err(RdError::ClientConfig(_, why, name, _)) => {
            let is_it = |key: &&String| matches!(fate(key), Some(Fate::As(renamed)) if renamed == name);
            let key = java.keys().find(is_it).unwrap_or(&name).clone();
            Some(Refusal::new(key, why))
        }
        Err(other) => Some(Refusal::new("bootstrap.servers", other.to_string())),
    }
}

fn of(client: Clients, java: &Props) -> Result<Props, KafkaError> {
    let name = client.names().join(" or ");
    let refused = |refusal: Refusal| KafkaError::new(KafkaErrorKind::Config, format!("{name} property {}: {}", refusal.key, refusal.why));
    let mut out = plain(client, java).map_err(refused)?;
    log_in(java, &mut out).map_err(refused)?;
    let unusable = |error: tls::TlsError| KafkaError::new(KafkaErrorKind::Config, format!("{name} {error}"));
    encrypt(java, &mut out).map_err(unusable)?;
    Ok(out)
}

/// The properties without those of TLS and SASL, on top of the Java client's defaults where librdkafka's differ.
fn plain(client: Clients, java: &Props) -> Result<Props, Refusal> {
    let defaults: &[(&str, &str)] = match client {
        CONSUMER => &[
            ("isolation.level", "read_uncommitted"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("check.crcs", "true"),
            ("allow.auto.create.topics", "true"),
            // The bound on what librdkafka fetches ahead.
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.wait.max.ms", "500"),
            ("enable.partition.eof", "false"),
            ("statistics.interval.ms", "1000"),
            METRICS_PUSH,
        ],
        PRODUCER => &[
            ("partitioner", "murmur2_random"),
            ("queue.buffering.max.kbytes", "32768"),
            ("message.max.bytes", "1048576"),
            ("batch.size", "16384"),
            METRICS_PUSH,
        ],
        _ => &[METRICS_PUSH],
    };
    if client == PRODUCER && java.contains_key("transactional.id") {
        return Err(Refusal::new("transactional.id", "tasks have one of their own where the workers have exactly.once.source.support=enabled; leave it out"));
    }
    let mut out = translated(java, defaults)?;
    if client == PRODUCER && java.get("partitioner.ignore.keys").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
        out.insert("partitioner".to_owned(), "random".to_owned());
    }
    if client == CONSUMER {
        if out.get("group.protocol").is_some_and(|p| p.eq_ignore_ascii_case("consumer")) {
            out.remove("partition.assignment.strategy"); // the broker assigns
        }
        out.insert("enable.auto.commit".to_owned(), "false".to_owned());
        out.insert("enable.auto.offset.store".to_owned(), "false".to_owned());
    }
    Ok(out)
}

fn translated(java: &Props, defaults: &[(&str, &str)]) -> Result<Props, Refusal> {
    let mut out: Props = defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    for (key, value) in java {
        let value = value.trim();
        let name = match fate(key) {
            None | Some(Fate::Same) => key.as_str(),
            Some(Fate::As(name)) => name,
            Some(Fate::Without(_)) => continue,
            Some(Fate::Refused(taken, _)) if taken.iter().any(|taken| taken.eq_ignore_ascii_case(value)) => continue,
            Some(Fate::Refused(_, why)) => return Err(Refusal::new(key, why)),
            Some(Fate::Translated(_)) => {
                special(key, value, java, &mut out).map_err(|why| Refusal::new(key, why))?;
                continue;
            }
        };
        out.insert(name.to_owned(), within_bounds(name, value));
    }
    Ok(out)
}

/// A number that librdkafka takes, the nearest; other texts as they are.
fn within_bounds(name: &str, value: &str) -> String {
    match (BOUNDS.iter().find(|(bounded, ..)| *bounded == name), value.parse::<i64>()) {
        // -1 is the system's size.
        (Some((_, least, _)), Ok(-1)) if name.ends_with("buffer.bytes") => least.to_string(),
        (Some((_, least, most)), Ok(number)) => number.clamp(*least, *most).to_string(),
        _ => value.to_owned(),
    }
}

/// The properties that are translated each in a way of its own; those of TLS and SASL are not among them.
fn special(key: &str, value: &str, java: &Props, out: &mut Props) -> Result<(), String> {
    let mut put = |name: &str, value: &str| drop(out.insert(name.to_owned(), value.to_owned()));
    match key {
        "auto.offset.reset" => match value {
            "earliest" | "latest" => put(key, value),
            "none" => put(key, "error"),
            _ => return Err(format!("{value:?} is not supported; use earliest, latest or none")),
        },
        "buffer.memory" => {
            let bytes = value.parse::<u64>().map_err(|_| format!("{value:?} is not a number of bytes"))?;
            put("queue.buffering.max.kbytes", &bytes.div_ceil(1024).clamp(1, 2_147_483_647).to_string());
        }
        "compression.gzip.level" | "compression.lz4.level" | "compression.zstd.level" => {
            let codec = java.get("compression.type").map(|codec| format!("compression.{}.level", codec.trim().to_ascii_lowercase()));
            if codec.as_deref() == Some(key) {
                put("compression.level", &within_bounds("compression.level", value));
            }
        }
        "interceptor.classes" => {
            if let Some(class) = value.split(',').map(str::trim).find(|class| !class.is_empty() && !class.starts_with(MONITORING)) {
                return Err(format!("{class:?} is a Java class and cannot be loaded; leave it out, or change records by transforms"));
            }
        }
        "partition.assignment.strategy" => put(key, &assignment_strategy(value)?),
        "partitioner.class" => match value.rsplit('.').next().unwrap_or(value) {
            "" | "DefaultPartitioner" => {}
            "RoundRobinPartitioner" | "UniformStickyPartitioner" => put("partitioner", "random"),
            _ => return Err(format!("{value:?} is a Java class and cannot be loaded; leave it out: keys go where Java's default sends them")),
        },
        _ => {}
    }
    Ok(())
}

/// Whether `security.protocol` asks for TLS, and for SASL.
fn protection(java: &Props) -> Result<(bool, bool), Refusal> {
    let given = java.get("security.protocol").map_or("", |protocol| protocol.trim());
    match given.to_ascii_uppercase().as_str() {
        "" | "PLAINTEXT" => Ok((false, false)),
        "SSL" => Ok((true, false)),
        "SASL_PLAINTEXT" => Ok((false, true)),
        "SASL_SSL" => Ok((true, true)),
        _ => Err(Refusal::new("security.protocol", format!("{given:?} is unknown; give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"))),
    }
}

/// TLS, where it is asked for.
fn encrypt(java: &Props, out: &mut Props) -> Result<(), tls::TlsError> {
    if !protection(java).is_ok_and(|(tls, _)| tls) {
        return Ok(());
    }
    let tls = tls::openssl(Ssl::new(java))?;
    let texts = [("ssl.certificate.pem", tls.certificates), ("ssl.key.pem", tls.key), ("ssl.ca.pem", tls.trusted), ("ssl.cipher.suites", tls.ciphers)];
    out.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))));
    if let Some(algorithm) = java.get("ssl.endpoint.identification.algorithm").map(|algorithm| algorithm.trim()) {
        out.insert("ssl.endpoint.identification.algorithm".to_owned(), if algorithm.is_empty() { "none" } else { algorithm }.to_owned());
    }
    // The password of a key that librdkafka itself is to read.
    if let Some(password) = java.get("ssl.key.password").filter(|_| java.contains_key("ssl.key.location")) {
        out.insert("ssl.key.password".to_owned(), password.clone());
    }
    Ok(())
}

/// SASL, where it is asked for: the mechanism, and the user name and password of the JAAS line, unless it is one of tokens.
fn log_in(java: &Props, out: &mut Props) -> Result<(), Refusal> {
    const MECHANISM: &str = "sasl.mechanism";
    if !protection(java)?.1 {
        return Ok(());
    }
    let of_librdkafka = java.get("sasl.mechanisms").map(String::as_str);
    let given = java.get(MECHANISM).map(String::as_str).or(of_librdkafka).unwrap_or("GSSAPI").trim();
    let mechanism = given.to_ascii_uppercase();
    if ![OAUTHBEARER, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&mechanism.as_str()) {
        let advice = "is not supported; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (GSSAPI is Java's default), or certificates";
        return Err(Refusal::new(MECHANISM, format!("{given:?} {advice}")));
    }
    if mechanism == OAUTHBEARER {
        // Tokens are given to the client when it asks for them.
        if let Some(extension) = tokens::check(java)?.first() {
            let why = format!("SASL extensions ({extension}) cannot be sent by clients of connectors; leave them out");
            return Err(Refusal::new("sasl.jaas.config", why));
        }
        out.insert(MECHANISM.to_owned(), mechanism);
        return Ok(());
    }
    out.insert(MECHANISM.to_owned(), mechanism);
    let Some(line) = java.get("sasl.jaas.config") else { return Ok(()) };
    let credentials = jaas(line).map_err(|why| Refusal::new("sasl.jaas.config", why))?;
    out.extend(credentials.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(())
}

/// Java's assignor classes → librdkafka's names. A list that mixes eager and cooperative assignors, as Java's default does, means the cooperative one.
fn assignment_strategy(value: &str) -> Result<String, String> {
    let mut names = Vec::new();
    for class in value.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        names.push(match class.rsplit('.').next().unwrap_or(class) {
            "RangeAssignor" | "range" => "range",
            "RoundRobinAssignor" | "roundrobin" => "roundrobin",
            "CooperativeStickyAssignor" | "StickyAssignor" | "cooperative-sticky" => "cooperative-sticky",
            _ => return Err(format!("{class:?} is unknown; use RangeAssignor, RoundRobinAssignor or CooperativeStickyAssignor")),
        });
    }
    if names.contains(&"cooperative-sticky") {
        names = vec!["cooperative-sticky"];
    }
    Ok(names.join(","))
}

/// User name and password out of a JAAS line.
fn jaas(line: &str) -> Result<Vec<(&'static str, String)>, &'static str> {
    let jaas = Jaas::parse(line)?;
    if !["PlainLoginModule", "ScramLoginModule"].contains(&jaas.module.as_str()) {
        return Err("only PlainLoginModule and ScramLoginModule are supported");
    }
    let (user, password) = jaas.credentials()?;
    Ok(vec![("sasl.username", user.to_owned()), ("sasl.password", password.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn java_spelling_becomes_librdkafkas() {
        for (java, expected) in [
            (("bootstrap.servers", "b:9092"), Some(("bootstrap.servers", "b:9092"))),
            (("fetch.max.wait.ms", "100"), Some(("fetch.wait.max.ms", "100"))),
            (("max.partition.fetch.bytes", "1048576"), Some(("max.partition.fetch.bytes", "1048576"))),
            (("max.poll.records", "500"), None),
            (("value.deserializer", "x.Y"), None),
            (("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor"), Some(("partition.assignment.strategy", "range"))),
            (("partition.assignment.strategy", "a.RangeAssignor, a.CooperativeStickyAssignor"), Some(("partition.assignment.strategy", "cooperative-sticky"))),
            (
                ("partition.assignment.strategy", "org.apache.kafka.clients.consumer.StickyAssignor"),
                Some(("partition.assignment.strategy", "cooperative-sticky")),
            ),
            (("enable.auto.commit", "true"), Some(("enable.auto.commit", "false"))),
            (("auto.offset.reset", "none"), Some(("auto.offset.reset", "error"))),
            (("isolation.level", "read_committed"), Some(("isolation.level", "read_committed"))),
        ] {
            let out = consumer(&props(&[java])).unwrap();
            match expected {
                Some((key, value)) => assert_eq!(out.get(key).map(String::as_str), Some(value), "{java:?}"),
                None => assert!(!out.contains_key(java.0), "{java:?}"),
            }
        }
    }

    #[test]
    fn producers_are_configured_as_in_java() {
        for (java, expected) in [
            (("buffer.memory", "33554433"), Some(("queue.buffering.max.kbytes", "32769"))),
            (("max.request.size", "2000"), Some(("message.max.bytes", "2000"))),
            (("partitioner.ignore.keys", "true"), Some(("partitioner", "random"))),
            (("retries", "2147483647"), Some(("retries", "2147483647"))),
            (("acks", "all"), Some(("acks", "all"))),
            (("linger.ms", "7"), Some(("linger.ms", "7"))),
            (("delivery.timeout.ms", "2147483647"), Some(("delivery.timeout.ms", "2147483647"))),
            (("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner"), Some(("partitioner", "random"))),
            (("client.id", "x"), Some(("partitioner", "murmur2_random"))),
            (("max.block.ms", "9223372036854775807"), None),
            (("value.serializer", "x.Y"), None),
        ] {
            let out = producer(&props(&[java])).unwrap();
            match expected {
                Some((key, value)) => assert_eq!(out.get(key).map(String::as_str), Some(value), "{java:?}"),
                None => assert!(!out.contains_key(java.0), "{java:?}"),
            }
        }
        for (key, value) in [("partitioner.class", "my.Partitioner"), ("transactional.id", "t"), ("buffer.memory", "lots")] {
            let error = producer(&props(&[(key, value)])).unwrap_err();
            assert!(error.message.starts_with(&format!("producer property {key}: ")), "{error}");
        }
        let base = [("acks", "all"), ("enable.idempotence", "false"), ("delivery.timeout.ms", "2147483647"), ("transactional.id", "mine"), ("linger.ms", "3")];
        let out = transactional_producer(&props(&base), "g-c-0").unwrap();
        assert_eq!((out["transactional.id"].as_str(), out["linger.ms"].as_str(), out["acks"].as_str()), ("g-c-0", "3", "all"));
        let slow = transactional_producer(&props(&[("request.timeout.ms", "120000")]), "g-c-0").unwrap();
        assert_eq!(slow["socket.timeout.ms"], "60000");
        assert!(!out.contains_key("enable.idempotence") && !out.contains_key("delivery.timeout.ms"), "librdkafka's own for transactions");
        let out = admin(&props(&[("request.timeout.ms", "90"), ("metric.reporters", "x")])).unwrap();
        assert_eq!(out, props(&[METRICS_PUSH, ("socket.timeout.ms", "90")]));
    }

    #[test]
    fn metrics_are_pushed_where_that_is_asked_for() {
        for translate in [consumer, producer, admin] {
            for (java, expected) in [(vec![], "false"), (vec![("enable.metrics.push", "true")], "true")] {
                assert_eq!(translate(&props(&java)).unwrap()["enable.metrics.push"], expected, "{java:?}");
            }
        }
    }

    #[test]
    fn java_defaults_hold_where_librdkafkas_differ() {
        let out = consumer(&Props::new()).unwrap();
        assert_eq!(out.get("isolation.level").map(String::as_str), Some("read_uncommitted"));
        assert_eq!(out.get("check.crcs").map(String::as_str), Some("true"));
    }

    #[test]
    fn credentials_come_out_of_the_jaas_line_where_brokers_ask_for_them() {
        let line = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p=; q\";";
        let given = [("sasl.jaas.config", line), ("sasl.mechanism", "scram-sha-512"), ("sasl.oauthbearer.scope", "s")];
        for (protocol, expected) in [("SASL_PLAINTEXT", [Some("SCRAM-SHA-512"), Some("u"), Some("p=; q")]), ("PLAINTEXT", [None, None, None])] {
            let out = consumer(&props(&[&given[..], &[("security.protocol", protocol)]].concat())).unwrap();
            assert_eq!(["sasl.mechanism", "sasl.username", "sasl.password"].map(|key| out.get(key).map(String::as_str)), expected, "{protocol}");
            assert!(!out.contains_key("sasl.jaas.config") && !out.contains_key("sasl.oauthbearer.scope"));
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name_and_without_secrets() {
        let (tls, sasl, oauth) = (("security.protocol", "SSL"), ("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "OAUTHBEARER"));
        for (java, says) in [
            (vec![("ssl.truststore.location", "/t.jks"), tls], "ssl.truststore.location=\"/t.jks\": the file cannot be read"),
            (vec![("ssl.keystore.type", "BCFKS"), tls], "give JKS, PKCS12 or PEM"),
            (vec![("ssl.enabled.protocols", "TLSv1.3"), tls], "cannot be kept from TLS 1.2"),
            (vec![("partition.assignment.strategy", "my.Assignor")], "my.Assignor"),
            (vec![("auto.offset.reset", "by_duration:PT1H")], "earliest, latest or none"),
            (vec![("interceptor.classes", "io.confluent.monitoring.clients.interceptor.MonitoringConsumerInterceptor,my.Interceptor")], "my.Interceptor"),
            (vec![("sasl.login.class", "my.Login")], "classes of Java cannot be loaded"),
            (vec![("security.providers", "my.Provider")], "classes of Java cannot be loaded"),
            (vec![("security.protocol", "TLS")], "give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
            (vec![("sasl.mechanism", "GSSAPI"), sasl], "use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"),
            (vec![("sasl.jaas.config", "OAuthBearerLoginModule required clientSecret=secret;"), oauth, sasl], "sasl.oauthbearer.token.endpoint.url"),
            (
                vec![("sasl.jaas.config", "OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=u unsecuredLoginExtension_pool=secret;"), oauth, sasl],
                "SASL extensions (pool)",
            ),
            (
                vec![("sasl.jaas.config", "com.sun.security.auth.module.Krb5LoginModule required password=\"secret\";"), ("sasl.mechanism", "PLAIN"), sasl],
                "PlainLoginModule",
            ),
        ] {
            let error = consumer(&props(&java)).unwrap_err();
            assert_eq!(error.kind, KafkaErrorKind::Config);
            assert!(error.message.contains(says) && error.message.starts_with("consumer property "), "{}", error.message);
            assert!(error.message.contains(java[0].0) || says.starts_with("sasl."), "{}", error.message);
            assert!(!error.message.contains("secret"));
        }
    }

    #[test]
    fn stores_become_pem_texts_where_brokers_ask_for_tls() {
        let file = |name: &str| format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"));
        let (keystore, truststore) = (file("server.jks"), file("trust.p12"));
        let stores = [
            ("ssl.keystore.location", keystore.as_str()),
            ("ssl.keystore.password", "store-pass-1"),
            ("ssl.key.password", "key-pass-2"),
            ("ssl.truststore.location", &truststore),
            ("ssl.truststore.type", "PKCS12"),
            ("ssl.truststore.password", "store-pass-1"),
            ("ssl.endpoint.identification.algorithm", ""),
        ];
        let out = consumer(&props(&[&stores[..], &[("security.protocol", "SSL")]].concat())).unwrap();
        for (key, label) in [("ssl.certificate.pem", "CERTIFICATE"), ("ssl.key.pem", "PRIVATE KEY"), ("ssl.ca.pem", "CERTIFICATE")] {
            assert!(out[key].starts_with(&format!("-----BEGIN {label}-----\n")), "{key}");
        }
        assert_eq!(out["ssl.endpoint.identification.algorithm"], "none");
        assert!(
            out.iter().all(|(key, value)| !key.contains("keystore") && !key.contains("truststore") && !key.contains("password") && !value.contains("pass-")),
            "{:?}",
            out.keys()
        );
        let plain = consumer(&props(&stores)).unwrap();
        assert!(plain.keys().all(|key| !key.starts_with("ssl.")), "a keystore of the REST API is no business of clients without TLS: {:?}", plain.keys());
        let own = [("security.protocol", "SSL"), ("ssl.ca.location", "/ca.pem"), ("ssl.key.location", "/key.pem"), ("ssl.key.password", "x")];
        let out = consumer(&props(&own)).unwrap();
        assert_eq!((out["ssl.ca.location"].as_str(), out["ssl.key.password"].as_str()), ("/ca.pem", "x"), "librdkafka's own properties pass");
    }

    #[test]
    fn what_librdkafka_itself_refuses_is_told_by_javas_name() {
        let cases: [(Clients, (&str, &str), Option<&str>); 5] = [
            (CONSUMER, ("fetch.min.bytes", "10"), None),
            (CONSUMER, ("fetch.max.wait.ms", "soon"), Some("fetch.max.wait.ms")),
            (CONSUMER, ("fetch.min.byte", "10"), Some("fetch.min.byte")),
            (PRODUCER, ("compression.type", "rar"), Some("compression.type")),
            (ADMIN, ("sasl.login.class", "my.Login"), Some("sasl.login.class")),
        ];
        for (client, given, expected) in cases {
            assert_eq!(refusal(client, &props(&[given])).map(|refusal| refusal.key).as_deref(), expected, "{given:?}");
        }
        let stores = [("security.protocol", "SSL"), ("ssl.keystore.location", "/nowhere.jks")];
        assert_eq!(refusal(CONSUMER, &props(&stores)), None, "files are for those who connect");
    }

    #[test]
    fn numbers_beyond_librdkafkas_bounds_become_the_nearest_within() {
        for ((key, value), (name, bounded)) in [
            (("max.poll.interval.ms", "2147483647"), ("max.poll.interval.ms", "86400000")),
            (("request.timeout.ms", "600000"), ("socket.timeout.ms", "300000")),
            (("retry.backoff.ms", "0"), ("retry.backoff.ms", "1")),
            (("connections.max.idle.ms", "-1"), ("connections.max.idle.ms", "0")),
            (("send.buffer.bytes", "-1"), ("socket.send.buffer.bytes", "0")),
            (("fetch.max.bytes", "2147483647"), ("fetch.max.bytes", "2147483135")),
            (("session.timeout.ms", "soon"), ("session.timeout.ms", "soon")),
        ] {
            assert_eq!(consumer(&props(&[(key, value)])).unwrap()[name], bounded, "{key}");
        }
    }

    #[test]
    fn patterns_leave_kafkas_own_topics_out_unless_told_otherwise() {
        assert!(left_out_of_patterns(&Props::new()).is_some_and(|topics| topics.contains("^__consumer_offsets$")));
        for told in [("exclude.internal.topics", "false"), ("topic.blacklist", "^x")] {
            assert_eq!(left_out_of_patterns(&props(&[told])), None);
        }
    }
}
