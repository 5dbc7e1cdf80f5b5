//! What operators see and set beside connectors' lives: topics in use, committed offsets, listeners of the admin endpoints.

use std::net::SocketAddr;

use lakehead::kafka::KafkaErrorKind;
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn topics_in_use_are_kept_over_restarts_and_forgotten_on_request() {
    let world = World::start(&[]).await;
    world.create("fs", &[("tasks.max", "2")]).await;
    let topics = async || world.call("GET", "/connectors/fs/topics").await.json();
    assert_eq!(topics().await, json!({"fs": {"topics": []}}));
    for (task, topic) in world.herder.live("fs").await.unwrap().iter().zip(["t2", "t1"]) {
        task.topics.note(&topic.into());
    }
    assert_eq!(world.call("POST", "/connectors/fs/restart?includeTasks=true").await.status, 202);
    assert_eq!(topics().await, json!({"fs": {"topics": ["t1", "t2"]}}));
    let reset = world.call("PUT", "/connectors/fs/topics/reset").await;
    assert_eq!((reset.status, reset.text.as_str()), (202, ""));
    assert_eq!(topics().await, json!({"fs": {"topics": []}}));
    // A connector that there is not is no error.
    assert_eq!(world.call("PUT", "/connectors/nope/topics/reset").await.status, 202);
    assert_eq!(world.call("GET", "/connectors/nope/topics").await.json(), json!({"nope": {"topics": []}}));
    world.stop().await;
}

#[tokio::test]
async fn topics_can_be_kept_secret() {
    let (no_tracking, no_reset) = ("Topic tracking is disabled.", "Topic tracking reset is disabled.");
    for (key, of_topics, of_reset) in [("topic.tracking.enable", Some(no_tracking), no_tracking), ("topic.tracking.allow.reset", None, no_reset)] {
        let world = World::start(&[(key, "false")]).await;
        let forbidden = |message: &str| json!({"error_code": 403, "message": message});
        let topics = world.call("GET", "/connectors/x/topics").await.json();
        assert_eq!(topics, of_topics.map_or(json!({"x": {"topics": []}}), forbidden), "{key}");
        assert_eq!(world.call("PUT", "/connectors/x/topics/reset").await.json(), forbidden(of_reset), "{key}");
        world.stop().await;
    }
}

#[tokio::test]
async fn offsets_are_those_of_the_group_that_the_connector_names() {
    let world = World::start(&[]).await;
    world.create("c", &[("consumer.override.group.id", "mine")]).await;
    world.kafka.commit("mine", &[("t", 1, 7, "")]);
    world.kafka.commit("connect-c", &[("t", 1, 1, "")]);
    let offsets = world.call("GET", "/connectors/c/offsets").await.json();
    assert_eq!(offsets["offsets"][0]["offset"], json!({"kafka_offset": 7}));
    world.stop().await;
}

#[tokio::test]
async fn offsets_of_a_group_with_members_stay() {
    let world = World::start(&[]).await;
    world.create("c", &[]).await;
    world.kafka.commit("connect-c", &[("t", 0, 7, "")]);
    assert_eq!(world.call("PUT", "/connectors/c/stop").await.status, 204);
    let body = json!({"offsets": [{"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": {"kafka_offset": 1}}]});
    for (kind, alter, reset) in [
        (
            KafkaErrorKind::Active,
            "Failed to alter consumer group offsets for connector c either because its tasks haven't stopped completely yet or the connector was \
          resumed before the request to alter its offsets",
            "Failed to reset consumer group offsets for connector c either because its tasks haven't stopped",
        ),
        (KafkaErrorKind::Transient, "Failed to alter consumer group offsets for connector c", "Failed to reset consumer group offsets for sink connector c"),
    ] {
        world.kafka.refuse(Some(kind));
        for (answer, message) in
            [(world.json("PATCH", "/connectors/c/offsets", body.clone()).await, alter), (world.call("DELETE", "/connectors/c/offsets").await, reset)]
        {
            let told = answer.json()["message"].as_str().unwrap_or_default().to_owned();
            assert!(answer.status == 500 && told.starts_with(message), "{}: {told}", answer.status);
        }
    }
    assert_eq!(world.call("GET", "/connectors/c/offsets").await.json()["offsets"][0]["offset"], json!({"kafka_offset": 7}));
    world.kafka.refuse(None);
    assert_eq!(world.json("PATCH", "/connectors/c/offsets", body).await.status, 200);
    assert_eq!(world.call("PUT", "/connectors/c/resume").await.status, 202);
    world.settle("c", "RUNNING", &["RUNNING"]).await;
    world.stop().await;
}

#[tokio::test]
async fn the_admin_endpoints_have_listeners_of_their_own() {
    let settings = [("admin.listeners", "http://127.0.0.1:0"), ("response.http.headers.config", "set X-Test: abc")];
    let world = World::start(&settings).await;
    let admin = world.admin_address.unwrap();
    let get = async |address: SocketAddr, path: &str| world.send_to(address, "GET", path, &[], None).await;
    for (address, path, status) in
        [(world.address, "/connectors", 200), (world.address, "/admin/loggers", 404), (admin, "/admin/loggers/root/", 200), (admin, "/connectors", 404)]
    {
        let answer = get(address, path).await;
        assert_eq!((answer.status, answer.headers.contains_key("x-test")), (status, address == world.address), "{path}");
    }
    assert_ne!(get(admin, "/admin/loggers").await.json()["root"], Value::Null);
    world.stop().await;
}
