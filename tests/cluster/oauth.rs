//! Logins with tokens, for the clients of connectors: tokens that nobody signs, of a file, and of an endpoint that gives out tokens for a few seconds.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lakehead::batch::TopicPartition;
use lakehead::clock::Clock;
use lakehead::kafka::librdkafka::Librdkafka;
use lakehead::kafka::{Kafka as _, OffsetChanges, OutgoingRecord};
use lakehead::standalone;
use serde_json::json;
use tokio::net::TcpListener;

use super::security::{MODULES, PATIENCE, carry, props};

/// A token for alice, as the broker takes it.
fn token(lifetime_s: i64) -> String {
    let now = Clock::system().now().timestamp();
    let claims = json!({"sub": "alice", "iat": now, "exp": now + lifetime_s}).to_string();
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims))
}

/// An endpoint whose tokens live for four seconds: its address, and how often it was asked.
async fn endpoint() -> (String, Arc<AtomicI64>) {
    let asked = Arc::new(AtomicI64::new(0));
    let issue = |State(asked): State<Arc<AtomicI64>>| async move {
        asked.fetch_add(1, Ordering::AcqRel);
        json!({"access_token": token(4)}).to_string()
    };
    let router = Router::new().route("/token", post(issue)).with_state(Arc::clone(&asked));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/token", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

/// Sends records until the endpoint was asked that often; all of them arrive.
async fn outlive_tokens(topic: &str, given: &[(&str, &str)], asked: &AtomicI64, until: i64) {
    let mut producer = Librdkafka::default().producer(&props(given)).expect("a producer");
    let sending = async {
        while asked.load(Ordering::Acquire) < until {
            let record = OutgoingRecord { topic, partition: None, timestamp: None, key: None, value: Some(b"more"), headers: &[] };
            producer.send(0, record).expect("room");
            assert!(producer.settled().await.iter().all(|settled| settled.outcome.is_ok()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sending).await.expect("tokens are renewed");
    producer.close().await;
}

/// Changes what a group has committed, as the REST API does.
async fn change_offsets(topic: &str, given: &[(&str, &str)]) {
    let group = standalone::kafka().group(&props(&[given, &[("group.id", topic)]].concat())).expect("a group");
    let partition = TopicPartition::new(topic, 0);
    for offset in [Some(1), None, Some(0)] {
        group.alter(&OffsetChanges::from([(partition.clone(), offset)])).await.expect("altered");
        let held = group.committed().await.expect("offsets");
        assert_eq!(held.get(&partition).map(|committed| committed.offset), offset);
    }
    let elsewhere = OffsetChanges::from([(TopicPartition::new(topic, 7), Some(1))]);
    let error = group.alter(&elsewhere).await.expect_err("there is no such partition");
    assert!(error.message.contains(&format!("there is no partition {topic}-7")), "{error}");
    for _ in 0..2 {
        group.delete().await.expect("deleted, and what is gone can be deleted again");
        assert!(group.committed().await.expect("offsets").is_empty());
    }
}

/// Every client of connectors at a broker that wants tokens; `trust` is whom they trust.
pub(super) async fn log_in_with_tokens(broker: &str, trust: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    fs::write(&path, token(3600)).expect("a file");
    let (file, (url, asked)) = (format!("file:{}", path.display()), endpoint().await);
    let module = format!("{MODULES}.oauthbearer.OAuthBearerLoginModule required");
    let [unsecured, bare, client] =
        ["unsecuredLoginStringClaim_sub=alice", "", "clientId=alice clientSecret=wonder"].map(|options| format!("{module} {options};"));
    let handler = ("sasl.login.callback.handler.class", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler");
    let from = |url| ("sasl.oauthbearer.token.endpoint.url", url);
    let renewed = [("sasl.login.refresh.window.factor", "0.5"), ("sasl.login.refresh.window.jitter", "0")];
    let base = [("bootstrap.servers", broker), ("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")];
    let with = |jaas, more: &[(&'static str, _)]| [&base[..], trust, &[("sasl.jaas.config", jaas)], more].concat();
    carry("carried-unsecured", &with(unsecured.as_str(), &[])).await;
    carry("carried-file", &with(bare.as_str(), &[handler, from(file.as_str())])).await;
    let of_endpoint = [&with(client.as_str(), &[handler, from(url.as_str())])[..], &renewed].concat();
    carry("carried-endpoint", &of_endpoint).await;
    outlive_tokens("carried-endpoint", &of_endpoint, &asked, asked.load(Ordering::Acquire) + 3).await;
    change_offsets("carried-endpoint", &of_endpoint).await;
}
