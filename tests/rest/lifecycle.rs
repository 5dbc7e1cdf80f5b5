//! What happens to tasks, seen through the REST API.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_connector_has_tasks_max_tasks() {
    let world = World::start(&[]).await;
    world.create("c", &[("tasks.max", "3")]).await;
    world.settle("c", "RUNNING", &["RUNNING", "RUNNING", "RUNNING"]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_failed_task_stays_failed_with_its_trace_and_nobody_else_stops() {
    let world = World::start(&[]).await;
    world.create("good", &[]).await;
    world.create("bad", &[("mode", "fail"), ("tasks.max", "2")]).await;
    world.create("worse", &[("mode", "panic")]).await;
    world.settle("bad", "RUNNING", &["FAILED", "FAILED"]).await;
    world.settle("worse", "RUNNING", &["FAILED"]).await;
    let trace = |answer: crate::world::Answer| answer.json()["trace"].as_str().unwrap_or_default().to_owned();
    assert_eq!(trace(world.call("GET", "/connectors/bad/tasks/1/status").await), "the hole is full (hole=h1)");
    assert_eq!(trace(world.call("GET", "/connectors/worse/tasks/0/status").await), "the task panicked: the hole has no bottom");
    // Pausing and resuming does not heal.
    assert_eq!(world.call("PUT", "/connectors/bad/pause").await.status, 202);
    world.settle("bad", "PAUSED", &["FAILED", "FAILED"]).await;
    assert_eq!(world.call("PUT", "/connectors/bad/resume").await.status, 202);
    world.settle("bad", "RUNNING", &["FAILED", "FAILED"]).await;
    world.settle("good", "RUNNING", &["RUNNING"]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_restart_picks_what_failed() {
    let world = World::start(&[]).await;
    world.create("bad", &[("mode", "fail"), ("tasks.max", "2")]).await;
    world.settle("bad", "RUNNING", &["FAILED", "FAILED"]).await;
    let plan = world.call("POST", "/connectors/bad/restart?includeTasks=true&onlyFailed=true").await;
    assert_eq!(plan.status, 202);
    let states: Vec<_> = plan.json()["tasks"].as_array().unwrap().iter().map(|task| task["state"].clone()).collect();
    assert_eq!((plan.json()["connector"]["state"].clone(), states), (json!("RUNNING"), vec![json!("RESTARTING"), json!("RESTARTING")]));
    world.settle("bad", "RUNNING", &["FAILED", "FAILED"]).await;
    assert_eq!(world.call("POST", "/connectors/bad/tasks/1/restart").await.status, 204);
    let repaired = world.json("PATCH", "/connectors/bad/config", json!({"mode": null})).await;
    assert_eq!(repaired.status, 200, "{}", repaired.text);
    world.settle("bad", "RUNNING", &["RUNNING", "RUNNING"]).await;
    world.stop().await;
}

#[tokio::test]
async fn tasks_are_made_when_a_paused_or_stopped_connector_is_resumed() {
    let world = World::start(&[]).await;
    let config = json!({"connector.class": "BlackholeSink", "topics": "t", "depth": "1"});
    for (name, initial_state) in [("p", "PAUSED"), ("s", "stopped")] {
        let created = world.json("POST", "/connectors", json!({"name": name, "config": config, "initial_state": initial_state})).await;
        assert_eq!((created.status, created.json()["tasks"].clone()), (201, json!([])), "{}", created.text);
        world.settle(name, &initial_state.to_uppercase(), &[]).await;
        assert_eq!(world.call("PUT", &format!("/connectors/{name}/resume")).await.status, 202);
        world.settle(name, "RUNNING", &["RUNNING"]).await;
    }
    let wrong = world.json("POST", "/connectors", json!({"name": "w", "config": config, "initial_state": "asleep"})).await;
    assert_eq!(wrong.status, 500);
    world.stop().await;
}

#[tokio::test]
async fn a_new_configuration_replaces_the_tasks() {
    let world = World::start(&[]).await;
    world.create("c", &[]).await;
    let put = world.json("PUT", "/connectors/c/config", json!({"connector.class": "BlackholeSink", "topics": "t", "depth": 2, "tasks.max": 2})).await;
    assert_eq!((put.status, put.json()["tasks"].as_array().unwrap().len()), (200, 2));
    world.settle("c", "RUNNING", &["RUNNING", "RUNNING"]).await;
    let tasks = world.call("GET", "/connectors/c/tasks").await.json();
    assert_eq!(tasks[1]["config"]["depth"], "2");
    assert_eq!(tasks[1]["config"]["task.class"], "io.lakehead.test.BlackholeSinkTask");
    world.stop().await;
}

#[tokio::test]
async fn a_slow_stop_holds_up_its_own_connector_only() {
    let world = World::start(&[("task.shutdown.graceful.timeout.ms", "700")]).await;
    world.create("stuck", &[("mode", "stuck")]).await;
    world.create("quick", &[]).await;
    world.settle("stuck", "RUNNING", &["RUNNING"]).await;
    let begun = Instant::now();
    let (deleted, created_again, ()) = tokio::join!(
        world.call("DELETE", "/connectors/stuck"),
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let config = json!({"connector.class": "BlackholeSink", "topics": "t", "depth": "1"});
            world.json("POST", "/connectors", json!({"name": "stuck", "config": config})).await.status
        },
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(world.call("PUT", "/connectors/quick/pause").await.status, 202);
            world.settle("quick", "PAUSED", &["PAUSED"]).await;
            assert!(begun.elapsed() < Duration::from_millis(600), "the other connector waited");
        }
    );
    assert_eq!((deleted.status, created_again), (204, 201), "changes of one connector happen in their order");
    world.stop().await;
}

#[tokio::test]
async fn the_end_of_the_worker_is_bounded() {
    let world = World::start(&[]).await;
    for i in 0..5 {
        world.create(&format!("stuck{i}"), &[("mode", "stuck")]).await;
    }
    let begun = Instant::now();
    let herder = world.herder.clone();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "took {:?}", begun.elapsed());
    assert!(herder.names().await.is_err());
}

#[tokio::test]
async fn secrets_are_resolved_for_tasks_and_shown_as_references() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.properties");
    std::fs::write(&file, "mode=fail\n").unwrap();
    let provider = [("config.providers", "file"), ("config.providers.file.class", "org.apache.kafka.common.config.provider.FileConfigProvider")];
    let world = World::start(&provider).await;
    let reference = format!("${{file:{}:mode}}", file.display());
    world.create("c", &[("mode", &reference)]).await;
    world.settle("c", "RUNNING", &["FAILED"]).await;
    assert_eq!(world.call("GET", "/connectors/c/config").await.json()["mode"], reference);
    assert_eq!(world.call("GET", "/connectors/c/tasks").await.json()[0]["config"]["mode"], reference);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(world.call("POST", "/connectors/c/restart?includeTasks=true").await.status, 202);
    world.settle("c", "FAILED", &["FAILED"]).await;
    let trace = world.call("GET", "/connectors/c/status").await.json()["connector"]["trace"].clone();
    assert!(trace.as_str().unwrap().starts_with("mode: could not read properties from file"), "{trace}");
    world.stop().await;
}

#[tokio::test]
async fn the_worker_is_unhealthy_until_it_is_ready() {
    let world = World::start(&[]).await;
    let health = world.call("GET", "/health").await;
    assert_eq!((health.status, health.json()["status"].clone()), (200, json!("healthy")));
    world.stop().await;
}

#[tokio::test]
async fn a_class_that_is_unknown_is_answered_with_those_that_are_known() {
    let world = World::start(&[]).await;
    let create = |class: &'static str| world.json("POST", "/connectors", json!({"name": "c", "config": {"connector.class": class, "topics": "t"}}));
    let answer = create("io.lakehead.test.BlackHolesinkConnector").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["message"],
        "Failed to find any class that implements Connector and which name matches io.lakehead.test.BlackHolesinkConnector, \
         available connectors are: io.lakehead.test.BlackholeSinkConnector; did you mean io.lakehead.test.BlackholeSinkConnector?"
    );
    let far = create("com.example.Elsewhere").await.json()["message"].as_str().unwrap().to_owned();
    assert!(!far.contains("did you mean"), "{far}");
    world.stop().await;
}
