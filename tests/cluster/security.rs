//! TLS and every SASL mechanism, against a broker that asks for them, with certificates made for the test: the group's own client, and connectors' ones.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lakehead::clock::Clock;
use lakehead::cluster::Record;
use lakehead::cluster::broker::Network;
use lakehead::cluster::log::{Isolation, Log, Purpose, Topic};
use lakehead::kafka::librdkafka::Librdkafka;
use lakehead::kafka::{Kafka as _, KafkaError, KafkaErrorKind, NewTopic, OutgoingRecord, Polled, Props, Subscription, Wanted};

use super::servers::{Kafka, free_port, repository};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const MODULES: &str = "org.apache.kafka.common.security";

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// `ca.pem`, and a key with its certificate for a broker and a client: `broker.pem`, `client.pem`. The client's in Java's own stores too, of which the one has
/// another password for its key: `client.p12`, `client.jks`, `trust.jks`.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| run(Command::new("openssl").current_dir(folder).args(arguments.split(' ')));
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2");
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("a file");
    for who in ["broker", "client"] {
        openssl(&format!("req -newkey rsa:2048 -nodes -keyout {who}.key -out {who}.csr -subj /CN={who}"));
        openssl(&format!("x509 -req -in {who}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {who}.crt -days 2 -extfile names"));
        let read = |ending: &str| fs::read_to_string(folder.join(format!("{who}.{ending}"))).expect("a file");
        fs::write(folder.join(format!("{who}.pem")), read("key") + &read("crt")).expect("a file");
    }
    let keytool = |arguments: &str| run(Command::new("keytool").current_dir(folder).args(arguments.split(' ')));
    openssl("pkcs12 -export -in client.pem -name client -passout pass:store-pass-1 -out made.p12");
    let import = "-importkeystore -srckeystore made.p12 -srcstorepass store-pass-1 -srcalias client -deststorepass store-pass-1";
    keytool(&format!("{import} -deststoretype PKCS12 -destkeystore client.p12"));
    keytool(&format!("{import} -deststoretype JKS -destkeystore client.jks -destkeypass key-pass-2"));
    keytool("-importcert -noprompt -alias ca -file ca.pem -storetype JKS -keystore trust.jks -storepass store-pass-1");
}

/// A broker that also listens for TLS with certificates, and for SASL over TLS.
fn start(folder: &Path, tls: u16, sasl: u16) -> Kafka {
    let folder = folder.display();
    Kafka::start_with("kafka-secured", |port, controller| {
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},SSL://127.0.0.1:{tls},SASL_SSL://127.0.0.1:{sasl}");
        format!(
            "listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={listeners}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL\n\
             ssl.keystore.type=PEM\nssl.keystore.location={folder}/broker.pem\n\
             ssl.truststore.type=PEM\nssl.truststore.location={folder}/ca.pem\n\
             listener.name.ssl.ssl.client.auth=required\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={MODULES}.plain.PlainLoginModule required user_alice=\"wonder; land\";\n\
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={MODULES}.scram.ScramLoginModule required;\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={MODULES}.scram.ScramLoginModule required;\n\
             listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";\n"
        )
    })
}

/// Gives alice a SCRAM password.
fn add_user(kafka: &Kafka) {
    let classes = format!("{}/.tools/kafka/*", repository().display());
    for credentials in ["SCRAM-SHA-256=[iterations=4096,password=wonder-land]", "SCRAM-SHA-512=[iterations=8192,password=wonder-land]"] {
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-cp", &classes, "kafka.admin.ConfigCommand", "--bootstrap-server", &kafka.bootstrap()]);
        run(command.args(["--alter", "--add-config", credentials, "--entity-type", "users", "--entity-name", "alice"]));
    }
}

/// A client's properties.
pub(super) fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Opens a log with these properties, writes to it, and reads it to its end.
async fn use_it(props: &[(&str, &str)]) -> Result<(), KafkaError> {
    let props = self::props(props);
    let network = Arc::new(Network::new(&props, "secured", Clock::system())?);
    let topic = [("status.storage.topic", "secured"), ("status.storage.replication.factor", "1")];
    let topic = Topic::from_props(&topic.map(|(key, value)| (key.to_owned(), value.to_owned())).into(), Purpose::Statuses)?;
    let log = Log::open(&network, topic, Isolation::Uncommitted, drop).await?;
    log.write(&[Record { key: b"k".to_vec(), value: None }]).await?;
    log.read_to_end(PATIENCE).await
}

/// Makes a topic with connectors' clients that have these properties, sends a record to it, and reads that as a sink does that takes whatever there is.
pub(super) async fn carry(name: &str, props: &[(&str, &str)]) {
    let with = |more: &[(&str, &str)]| self::props(&[props, more].concat());
    let topics = lakehead::standalone::kafka().topics(&with(&[])).expect("an admin client");
    let topic = NewTopic { name: name.into(), partitions: 1, replicas: 1, config: Props::new() };
    assert!(topics.make(&topic).await.expect("a topic"));
    let mut producer = Librdkafka::default().producer(&with(&[("acks", "all")])).expect("a producer");
    let record = OutgoingRecord { topic: name, partition: None, timestamp: None, key: None, value: Some(b"carried"), headers: &[] };
    producer.send(0, record).expect("room");
    let settled = tokio::time::timeout(PATIENCE, producer.settled()).await.unwrap_or_else(|_| panic!("{name}: {:?}", producer.trouble()));
    assert!(matches!(settled.as_slice(), [settled] if settled.outcome.is_ok()), "{settled:?}");
    producer.close().await;
    let group = [("group.id", name), ("auto.offset.reset", "earliest")];
    let anything = Subscription::Pattern(format!("{name}|__.*"));
    let mut consumer = Librdkafka::default().consumer(&with(&group), &anything).expect("a consumer");
    let read = async {
        loop {
            match consumer.next(Wanted::Everything).await {
                Polled::Records(batches) => return batches,
                Polled::Assigned(partitions) => assert!(partitions.iter().all(|partition| &*partition.topic == name), "Kafka's own topics: {partitions:?}"),
                Polled::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
    };
    let batches = tokio::time::timeout(PATIENCE, read).await.expect("the record");
    assert_eq!(batches.iter().flat_map(|batch| batch.values.iter()).collect::<Vec<_>>(), [Some(&b"carried"[..])], "{name}");
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_ask_for_certificates_and_passwords_are_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let (tls, sasl) = (free_port(), free_port());
    let kafka = start(folder.path(), tls, sasl);
    add_user(&kafka);
    let (tls, sasl) = (format!("127.0.0.1:{tls}"), format!("127.0.0.1:{sasl}"));
    let (ca, client) = (folder.path().join("ca.pem").display().to_string(), folder.path().join("client.pem").display().to_string());
    let inline = fs::read_to_string(folder.path().join("ca.pem")).expect("a file").replace('\n', " ");
    let trust = [("ssl.truststore.type", "PEM"), ("ssl.truststore.location", ca.as_str())];
    let mutual = [("bootstrap.servers", tls.as_str()), ("security.protocol", "SSL"), ("ssl.keystore.type", "PEM"), ("ssl.keystore.location", client.as_str())];
    use_it(&[&mutual[..], &trust].concat()).await.expect("TLS with a certificate");
    use_it(&[&mutual[..], &[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", &inline), ("ssl.endpoint.identification.algorithm", "")]].concat())
        .await
        .expect("an authority in the properties themselves, and any name");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (jks, pkcs12, trusted) = (file("client.jks"), file("client.p12"), file("trust.jks"));
    for (name, store) in [
        ("carried-jks", vec![("ssl.keystore.location", jks.as_str()), ("ssl.key.password", "key-pass-2")]),
        ("carried-pkcs12", vec![("ssl.keystore.location", &pkcs12), ("ssl.keystore.type", "PKCS12")]),
    ] {
        let stores = [("ssl.keystore.password", "store-pass-1"), ("ssl.truststore.location", &trusted), ("ssl.truststore.password", "store-pass-1")];
        let stores = [&mutual[..2], &stores, &store].concat();
        use_it(&stores).await.expect("Java's own stores");
        carry(name, &stores).await;
    }
    carry("carried-pem", &[&mutual[..], &[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", &inline)]].concat()).await;

    let login = |mechanism: &'static str, options: &str| {
        let module = match mechanism {
            "PLAIN" => "plain.PlainLoginModule",
            "OAUTHBEARER" => "oauthbearer.OAuthBearerLoginModule",
            _ => "scram.ScramLoginModule",
        };
        (mechanism, format!("{MODULES}.{module} required {options};"))
    };
    for (login, expected) in [
        (login("PLAIN", r#"username="alice" password="wonder; land""#), None),
        (login("SCRAM-SHA-256", "username=alice password=wonder-land"), None),
        (login("SCRAM-SHA-512", "username=alice password=wonder-land"), None),
        (login("OAUTHBEARER", "unsecuredLoginStringClaim_sub=alice"), None),
        (login("PLAIN", "username=alice password=hunter2"), Some("PLAIN")),
        (login("SCRAM-SHA-512", "username=alice password=hunter2"), Some("SCRAM-SHA-512")),
    ] {
        let given = [("bootstrap.servers", sasl.as_str()), ("security.protocol", "SASL_SSL"), ("sasl.mechanism", login.0), ("sasl.jaas.config", &login.1)];
        match (use_it(&[&given[..], &trust].concat()).await, expected) {
            (Ok(()), None) if login.0 == "SCRAM-SHA-512" => carry("carried-scram", &[&given[..], &trust].concat()).await,
            (Ok(()), None) => {}
            (Err(error), Some(says)) => {
                assert!(error.kind == KafkaErrorKind::Denied && error.message.contains(says) && error.message.contains("sasl.jaas.config"), "{error}");
                assert!(!error.message.contains("hunter2"), "{error}");
            }
            (outcome, expected) => panic!("{}: {outcome:?}, not {expected:?}", login.0),
        }
    }
    super::oauth::log_in_with_tokens(&sasl, &trust).await;
    kafka.stop();
}
