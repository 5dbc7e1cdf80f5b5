//! Kafka client properties as Java spells them → librdkafka's.
//!
//! Users' files are written for the Java client. Names that both know pass through; names that differ are translated; Java's own
//! machinery (deserializers, metrics reporters) is left out because it asks for nothing here; what cannot be done is refused by name.

use super::jaas::Jaas;
use super::{KafkaError, KafkaErrorKind, Props};

/// Java client settings that have no meaning for this client and change nothing that a user could observe in the data.
const JAVA_ONLY: &[&str] = &[
    "auto.include.jmx.reporter",
    "client.dns.lookup",
    "config.providers",
    "default.api.timeout.ms",
    "enable.metrics.push",
    "exclude.internal.topics",
    "group.remote.assignor",
    "interceptor.classes",
    "internal.leave.group.on.close",
    "key.deserializer",
    "max.poll.records",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "sasl.client.callback.handler.class",
    "sasl.login.class",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "security.providers",
    "socket.connection.setup.timeout.max.ms",
    "ssl.enabled.protocols",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "value.deserializer",
];

/// Java name → librdkafka name, where only the name differs.
const RENAMED: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("request.timeout.ms", "socket.timeout.ms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
];

/// Translates a sink consumer's properties; the result is complete: defaults that differ between the clients are set as Java has them.
///
/// # Errors
/// [`KafkaErrorKind::Config`] names the property and says what to do.
pub fn consumer(java: &Props) -> Result<Props, KafkaError> {
    let mut out = Props::new();
    // The Java client's defaults where librdkafka's differ, and the bound on what librdkafka fetches ahead.
    for (key, value) in [
        ("isolation.level", "read_uncommitted"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("check.crcs", "true"),
        ("allow.auto.create.topics", "true"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.wait.max.ms", "500"),
        ("enable.partition.eof", "false"),
        ("statistics.interval.ms", "1000"),
    ] {
        out.insert(key.to_owned(), value.to_owned());
    }
    for (key, value) in java {
        translate("consumer", key, value, java, &mut out)?;
    }
    if out.get("group.protocol").is_some_and(|p| p.eq_ignore_ascii_case("consumer")) {
        out.remove("partition.assignment.strategy"); // the broker assigns
    }
    out.insert("enable.auto.commit".to_owned(), "false".to_owned());
    out.insert("enable.auto.offset.store".to_owned(), "false".to_owned());
    Ok(out)
}

/// Settings of the Java producer that have no meaning for this one, or that it always does so.
const JAVA_PRODUCER_ONLY: &[&str] = &[
    "key.serializer",
    "max.block.ms",
    "metadata.max.idle.ms",
    "partitioner.adaptive.partitioning.enable",
    "partitioner.availability.timeout.ms",
    "partitioner.ignore.keys",
    "value.serializer",
];

/// Translates a producer's properties, as [`consumer`] a consumer's.
///
/// # Errors
/// [`KafkaErrorKind::Config`] names the property and says what to do.
pub fn producer(java: &Props) -> Result<Props, KafkaError> {
    let refuse = |key: &str, why: &str| Err(KafkaError::new(KafkaErrorKind::Config, format!("producer property {key}: {why}")));
    let mut out = Props::new();
    // The Java client's defaults where librdkafka's differ.
    for (key, value) in [("partitioner", "murmur2_random"), ("queue.buffering.max.kbytes", "32768"), ("message.max.bytes", "1048576"), ("batch.size", "16384")]
    {
        out.insert(key.to_owned(), value.to_owned());
    }
    for (key, value) in java {
        let value = value.trim();
        match key.as_str() {
            only if JAVA_PRODUCER_ONLY.contains(&only) => {}
            "buffer.memory" => {
                let Ok(bytes) = value.parse::<u64>() else { return refuse(key, &format!("{value:?} is not a number of bytes")) };
                out.insert("queue.buffering.max.kbytes".to_owned(), bytes.div_ceil(1024).clamp(1, 2_147_483_647).to_string());
            }
            "max.request.size" => drop(out.insert("message.max.bytes".to_owned(), value.to_owned())),
            "partitioner.class" => match value.rsplit('.').next().unwrap_or(value) {
                "" | "DefaultPartitioner" => {}
                "RoundRobinPartitioner" | "UniformStickyPartitioner" => drop(out.insert("partitioner".to_owned(), "random".to_owned())),
                _ => return refuse(key, &format!("{value:?} is a Java class and cannot be loaded; leave it out: keys go where Java's default sends them")),
            },
            "transactional.id" => return refuse(key, "transactions are not supported yet; leave it out"),
            _ => translate("producer", key, value, java, &mut out)?,
        }
    }
    Ok(out)
}

/// Translates an admin client's properties, as [`consumer`] a consumer's.
///
/// # Errors
/// [`KafkaErrorKind::Config`] names the property and says what to do.
pub fn admin(java: &Props) -> Result<Props, KafkaError> {
    let mut out = Props::new();
    java.iter().try_for_each(|(key, value)| translate("admin", key, value, java, &mut out))?;
    Ok(out)
}

fn translate(client: &str, key: &str, value: &str, java: &Props, out: &mut Props) -> Result<(), KafkaError> {
    let refuse = |why: &str| Err(KafkaError::new(KafkaErrorKind::Config, format!("{client} property {key}: {why}")));
    let value = value.trim();
    let mut put = |name: &str, value: &str| {
        out.insert(name.to_owned(), value.to_owned());
    };
    let is_system_default = value == "-1" && matches!(key, "send.buffer.bytes" | "receive.buffer.bytes");
    if is_system_default || JAVA_ONLY.contains(&key) {
        return Ok(());
    }
    if let Some((_, name)) = RENAMED.iter().find(|(java_name, _)| *java_name == key) {
        put(name, value);
        return Ok(());
    }
    match key {
        "partition.assignment.strategy" => put(key, &assignment_strategy(value).or_else(|unknown| refuse(&unknown).map(|()| String::new()))?),
        "sasl.jaas.config" => {
            for (name, value) in jaas(value).or_else(|why| refuse(why).map(|()| Vec::new()))? {
                put(name, &value);
            }
        }
        "auto.offset.reset" if value == "none" => put(key, "error"),
        "auto.offset.reset" if !["earliest", "latest"].contains(&value) => return refuse(&format!("{value:?} is not supported; use earliest, latest or none")),
        "ssl.truststore.location" => match java.get("ssl.truststore.type").map(|t| t.trim().to_ascii_uppercase()).as_deref() {
            Some("PEM") => put("ssl.ca.location", value),
            other => {
                let given = other.unwrap_or("JKS, Java's default");
                return refuse(&format!("the store's type is {given}; give the CA certificates as PEM (ssl.truststore.type=PEM)"));
            }
        },
        "ssl.keystore.location" => match java.get("ssl.keystore.type").map(|t| t.trim().to_ascii_uppercase()).as_deref() {
            Some("PKCS12") => put(key, value),
            Some("PEM") => {
                put("ssl.certificate.location", value);
                put("ssl.key.location", value);
            }
            other => {
                let given = other.unwrap_or("JKS, Java's default");
                return refuse(&format!("the store's type is {given}; give the certificate and key as PEM or PKCS12 (ssl.keystore.type)"));
            }
        },
        "ssl.truststore.type" | "ssl.keystore.type" | "ssl.truststore.password" => {}
        "ssl.endpoint.identification.algorithm" => put(key, if value.is_empty() { "none" } else { value }),
        "sasl.login.callback.handler.class" | "sasl.oauthbearer.token.endpoint.url" | "sasl.kerberos.service.name" => {
            return refuse("this login is not supported yet; use PLAIN or SCRAM-SHA-256/512, or certificates");
        }
        _ => put(key, value),
    }
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
            (("ssl.endpoint.identification.algorithm", ""), Some(("ssl.endpoint.identification.algorithm", "none"))),
            (("send.buffer.bytes", "-1"), None),
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
            (("max.request.size", "5"), Some(("message.max.bytes", "5"))),
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
        assert_eq!(admin(&props(&[("request.timeout.ms", "9"), ("metric.reporters", "x")])).unwrap(), props(&[("socket.timeout.ms", "9")]));
    }

    #[test]
    fn java_defaults_hold_where_librdkafkas_differ() {
        let out = consumer(&Props::new()).unwrap();
        assert_eq!(out.get("isolation.level").map(String::as_str), Some("read_uncommitted"));
        assert_eq!(out.get("check.crcs").map(String::as_str), Some("true"));
    }

    #[test]
    fn credentials_come_out_of_the_jaas_line() {
        let line = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p=; q\";";
        let out = consumer(&props(&[("sasl.jaas.config", line), ("sasl.mechanism", "SCRAM-SHA-512")])).unwrap();
        assert_eq!(out.get("sasl.username").map(String::as_str), Some("u"));
        assert_eq!(out.get("sasl.password").map(String::as_str), Some("p=; q"));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name_and_without_secrets() {
        for (java, says) in [
            (vec![("ssl.truststore.location", "/t.jks")], "ssl.truststore.type=PEM"),
            (vec![("ssl.keystore.location", "/k.jks")], "PKCS12"),
            (vec![("partition.assignment.strategy", "my.Assignor")], "my.Assignor"),
            (vec![("auto.offset.reset", "by_duration:PT1H")], "earliest, latest or none"),
            (vec![("sasl.jaas.config", "com.sun.security.auth.module.Krb5LoginModule required password=\"secret\";")], "PlainLoginModule"),
        ] {
            let error = consumer(&props(&java)).unwrap_err();
            assert_eq!(error.kind, KafkaErrorKind::Config);
            assert!(error.message.contains(says) && error.message.contains(java[0].0), "{}", error.message);
            assert!(!error.message.contains("secret"));
        }
    }

    #[test]
    fn pem_stores_become_files() {
        let java = props(&[("ssl.truststore.location", "/ca.pem"), ("ssl.truststore.type", "PEM"), ("ssl.truststore.password", "x")]);
        let out = consumer(&java).unwrap();
        assert_eq!(out.get("ssl.ca.location").map(String::as_str), Some("/ca.pem"));
        assert!(!out.contains_key("ssl.truststore.password"));
    }
}
