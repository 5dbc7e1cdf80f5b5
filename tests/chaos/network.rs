//! Bad networks, by toxiproxy: slow, narrow, cut, silent; to the store and to the broker.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rules::Rule;
use crate::scene::{Effort, Report, Scene, Shape};
use crate::servers::{Kafka, S3, Toxiproxy, free_port};

/// How a connection is bad: toxiproxy's kind and attributes, the direction, and the share of the connections.
type Poison = (&'static str, &'static str, f64, Value);

/// Every kind: late by 100 to 500 ms, 50 KB/s, reset after a moment, silent and then closed, split into small pieces, and no answer at all.
fn poisons() -> Vec<Poison> {
    vec![
        ("latency", "downstream", 1.0, json!({ "latency": 300, "jitter": 200 })),
        ("bandwidth", "upstream", 1.0, json!({ "rate": 50 })),
        ("reset_peer", "downstream", 0.5, json!({ "timeout": 20 })),
        ("timeout", "upstream", 0.5, json!({ "timeout": 1500 })),
        ("slicer", "upstream", 1.0, json!({ "average_size": 200, "size_variation": 100, "delay": 1000 })),
        ("limit_data", "upstream", 0.5, json!({ "bytes": 3000 })),
        ("timeout", "downstream", 1.0, json!({ "timeout": 0 })),
    ]
}

/// Between the workers and the store.
pub(crate) fn to_the_store(rule: Rule, effort: &Effort) -> Report {
    let mut scene = Scene::start("network-store", Shape::of(rule), effort);
    let port = free_port();
    let name = scene.topic.name.clone();
    Toxiproxy::shared().forward(&name, port, S3::shared().port());
    scene.sink = scene.sink.clone().with("store.url", &format!("http://127.0.0.1:{port}"));
    poisoned(scene, &name, effort)
}

/// Between the workers and the broker.
pub(crate) fn to_the_broker(rule: Rule, effort: &Effort) -> Report {
    let (behind, advertised) = (free_port(), free_port());
    let kafka = Kafka::start_behind("kafka-network", behind, advertised);
    Toxiproxy::shared().forward("broker", advertised, behind);
    let shape = Shape { session: Duration::from_secs(3), ..Shape::of(rule) };
    let scene = Scene::start_on("network-broker", shape, effort, &kafka, format!("127.0.0.1:{advertised}"), S3::shared());
    let report = poisoned(scene, "broker", effort);
    kafka.stop();
    report
}

fn poisoned(mut scene: Scene, name: &str, effort: &Effort) -> Report {
    let worker = scene.worker();
    scene.await_progress(Duration::from_secs(30));
    let mut kinds = Vec::new();
    for (kind, stream, share, attributes) in poisons() {
        Toxiproxy::shared().poison(name, kind, stream, share, &attributes);
        std::thread::sleep(effort.pick(Duration::from_secs(6), Duration::from_secs(2)));
        Toxiproxy::shared().heal(name);
        scene.fault_ended();
        scene.await_progress(Duration::from_secs(60));
        kinds.push(kind);
    }
    kinds.dedup();
    scene.remark(kinds.join(", "));
    scene.finish(vec![worker])
}
