//! A class that only the Java worker has, in a group with ours: what we cannot run is FAILED and says so; it is never taken silently.

use serde_json::json;

use super::{Group, Kind, LONG, mock_sink};
use crate::broker::Topic;
use crate::servers::Kafka;
use crate::world::worker::await_some;

const CLASS: &str = "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector";

#[test]
fn what_only_java_can_run_fails_with_its_class_in_the_trace() {
    let (group, topic, bootstrap) = (Group::new("foreign"), Topic::create("foreign", 1), Kafka::shared().bootstrap());
    let mirror = [
        ("connector.class", CLASS),
        ("source.cluster.alias", "a"),
        ("target.cluster.alias", "b"),
        ("source.cluster.bootstrap.servers", &bootstrap),
        ("target.cluster.bootstrap.servers", &bootstrap),
        ("heartbeats.topic.replication.factor", "1"),
    ];
    let java = group.start(Kind::Java);
    java.create("mirror", &mirror, None);
    java.create("mock", &mock_sink(&topic.name), None);
    java.await_states("mirror", "RUNNING", &["RUNNING"]);
    java.await_states("mock", "RUNNING", &["RUNNING"]);
    let ours = group.start(Kind::Lakehead);
    java.kill();

    ours.await_states("mock", "RUNNING", &["RUNNING"]);
    ours.await_states("mirror", "FAILED", &["FAILED"]);
    let status = ours.get("/connectors/mirror/status");
    assert_eq!(status["type"], "unknown", "{status}");
    for part in [&status["connector"], &status["tasks"][0]] {
        let trace = part["trace"].as_str().unwrap_or_default();
        assert!(trace.contains(CLASS) && part["worker_id"] == ours.id.as_str(), "{status}");
    }
    // What is written down stays as it was, and a new one of that class is refused.
    assert_eq!(ours.get("/connectors/mirror/config")["source.cluster.alias"], "a");
    let another = json!({"name": "another", "config": {"connector.class": CLASS, "source.cluster.alias": "a"}});
    let (code, refused) = ours.rest("POST", "/connectors", Some(&another));
    assert!(code >= 400 && refused["message"].as_str().is_some_and(|text| text.contains(CLASS)), "{code} {refused}");
    ours.ask("POST", "/connectors/mirror/restart?includeTasks=true", None, 202);
    ours.await_states("mirror", "FAILED", &["FAILED"]);

    // Java comes back beside it, and goes on when ours is gone.
    let java = group.start(Kind::Java);
    ours.stop();
    let owners = || java.owners().filter(|owners| owners.len() == 4 && owners.values().all(|owner| *owner == java.id));
    await_some(LONG, owners, || format!("{}", java.get("/connectors?expand=status")));
    java.ask("DELETE", "/connectors/mirror", None, 204);
    java.stop();
}
