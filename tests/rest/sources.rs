//! Source connectors, and the small ones that ship: what their configurations and offsets answer, as Java workers of Apache Kafka 4.3.1 answered for the same.

use serde_json::{Value, json};

use crate::world::World;

const SOURCE: &str = "org.apache.kafka.connect.file.FileStreamSourceConnector";

fn names(keys: &Value) -> Vec<&str> {
    keys.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect()
}

async fn validate(world: &World, config: Value) -> Value {
    let answer = world.json("PUT", "/connector-plugins/FileStreamSource/config/validate", config).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn the_small_connectors_are_listed_by_kind_and_class() {
    let world = World::shipped(&[]).await;
    let plugins = world.call("GET", "/connector-plugins").await.json();
    let of = |kind: &str| {
        let all = plugins.as_array().unwrap().iter().filter(|plugin| plugin["type"] == kind).map(|plugin| plugin["class"].as_str().unwrap());
        all.filter(|class| class.starts_with("org.apache.kafka.") || class.contains("datagen")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        of("sink"),
        [
            "org.apache.kafka.connect.file.FileStreamSinkConnector",
            "org.apache.kafka.connect.tools.MockSinkConnector",
            "org.apache.kafka.connect.tools.VerifiableSinkConnector",
        ]
    );
    assert_eq!(
        of("source"),
        [
            "io.confluent.kafka.connect.datagen.DatagenConnector",
            SOURCE,
            "org.apache.kafka.connect.tools.MockSourceConnector",
            "org.apache.kafka.connect.tools.SchemaSourceConnector",
            "org.apache.kafka.connect.tools.VerifiableSourceConnector",
        ]
    );
    world.stop().await;
}

#[tokio::test]
async fn a_source_lists_its_own_keys_before_the_frameworks() {
    let world = World::shipped(&[]).await;
    let keys = world.call("GET", "/connector-plugins/FileStreamSource/config").await.json();
    assert_eq!(names(&keys)[..4], ["file", "topic", "batch.size", "name"]);
    assert_eq!(names(&keys).len(), 27);
    let mut size = keys[2].clone();
    size["documentation"] = Value::Null;
    assert_eq!(
        size,
        json!({"name": "batch.size", "type": "INT", "required": false, "default_value": "2000", "importance": "LOW", "documentation": null,
            "group": null, "order_in_group": -1, "width": "NONE", "display_name": "batch.size", "dependents": []})
    );
    let mock = world.call("GET", "/connector-plugins/MockSink/config").await.json();
    assert_eq!(names(&mock)[0], "name", "it has no keys of its own");
    world.stop().await;
}

#[tokio::test]
async fn the_configuration_of_a_source_is_shown_with_its_problems() {
    let world = World::shipped(&[]).await;
    const GROUPS: [&str; 7] = ["Common", "Transforms", "Predicates", "Error Handling", "Topic Creation", "Exactly Once Support", "offsets.topic"];
    let good = json!({"connector.class": "FileStreamSource", "tasks.max": "1", "file": "/data/in.txt", "topic": "t1", "name": "x"});
    let shown = validate(&world, good.clone()).await;
    assert_eq!((&shown["error_count"], &shown["groups"]), (&json!(0), &json!(GROUPS)));
    assert_eq!(shown["configs"].as_array().unwrap().len(), 27);

    let bad = validate(&world, json!({"connector.class": "FileStreamSource", "tasks.max": "x"})).await;
    let errors: Vec<&Value> = bad["configs"].as_array().unwrap().iter().flat_map(|key| key["value"]["errors"].as_array().unwrap()).collect();
    assert_eq!(
        (&bad["error_count"], errors),
        (
            &json!(4),
            vec![
                &json!("Missing required configuration \"name\" which has no default value."),
                &json!("Invalid value x for configuration tasks.max: Not a number of type INT"),
                &json!("Invalid value null for configuration tasks.max: Value must be non-null"),
                &json!("Missing required configuration \"topic\" which has no default value."),
            ]
        )
    );

    let mut creating = good;
    creating["topic.creation.groups"] = "a".into();
    creating["topic.creation.default.partitions"] = "3".into();
    let shown = validate(&world, creating).await;
    let groups: Vec<&str> = shown["groups"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(groups[7..], ["default", "Topic Creation: a"]);
    let key = |name: &str| shown["configs"].as_array().unwrap().iter().find(|key| key["value"]["name"] == name).cloned().unwrap();
    assert_eq!(key("topic.creation.a.partitions")["definition"]["default_value"], "3");
    let missing = "Missing required configuration \"topic.creation.default.replication.factor\" which has no default value.";
    assert_eq!(key("topic.creation.default.replication.factor")["value"]["errors"], json!([missing]));
    world.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_source_is_answered_in_upstreams_words() {
    let world = World::shipped(&[("connector.client.config.override.policy", "None")]).await;
    let message = |errors: &str| {
        format!(
            "Connector configuration is invalid and contains the following 1 error(s):\n{errors}\nYou can also find the above list of errors at the endpoint \
             `/connector-plugins/{{connectorType}}/config/validate`"
        )
    };
    for (config, errors) in [
        (json!({"connector.class": "FileStreamSource"}), "Missing required configuration \"topic\" which has no default value."),
        (
            json!({"connector.class": "FileStreamSource", "tasks.max": "1", "file": "/f", "topic": "t1", "producer.override.acks": "all"}),
            "The 'None' policy does not allow 'acks' to be overridden in the connector configuration.",
        ),
    ] {
        let answer = world.json("POST", "/connectors", json!({"name": "bad", "config": config})).await;
        assert_eq!((answer.status, &answer.json()["message"]), (400, &json!(message(errors))));
    }
    world.stop().await;
}

#[tokio::test]
async fn offsets_of_a_stopped_source_are_what_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offsets").display().to_string();
    let world = World::shipped(&[("offset.storage.file.filename", &file)]).await;
    let config = json!({"connector.class": SOURCE, "tasks.max": "2", "file": "/data/in.txt", "topic": "t1"});
    assert_eq!(world.json("POST", "/connectors", json!({"name": "fs", "config": config, "initial_state": "STOPPED"})).await.status, 201);
    let entry = |offset: Value| json!({"offsets": [{"partition": {"filename": "/data/in.txt"}, "offset": offset}]});
    let altered = "The offsets for this connector have been altered successfully";
    for (offset, status, message, then) in [
        (json!({"position": 30}), 200, altered, entry(json!({"position": 30}))),
        (json!({"position": "abc"}), 500, "The value for the 'position' key in the offset is expected to be a Long value", entry(json!({"position": 30}))),
        (
            json!({"position": [1]}),
            500,
            "Offsets may only contain primitive types as values, but field position contains ARRAY",
            entry(json!({"position": 30})),
        ),
        (Value::Null, 200, altered, json!({"offsets": []})),
    ] {
        let answer = world.json("PATCH", "/connectors/fs/offsets", entry(offset)).await;
        assert_eq!((answer.status, &answer.json()["message"]), (status, &json!(message)));
        assert_eq!(world.call("GET", "/connectors/fs/offsets").await.json(), then);
    }
    assert_eq!(world.json("PATCH", "/connectors/fs/offsets", entry(json!({"position": 7}))).await.status, 200);
    let reset = world.call("DELETE", "/connectors/fs/offsets").await;
    assert_eq!((reset.status, reset.json()), (200, json!({"message": "The offsets for this connector have been reset successfully"})));
    assert_eq!(world.call("GET", "/connectors/fs/offsets").await.json(), json!({"offsets": []}));

    // A connector that has nothing to say about offsets leaves that to whoever asks.
    let mock = json!({"connector.class": "MockSource"});
    assert_eq!(world.json("POST", "/connectors", json!({"name": "mock", "config": mock, "initial_state": "STOPPED"})).await.status, 201);
    let answer = world.json("PATCH", "/connectors/mock/offsets", entry(json!({"position": 1}))).await;
    assert!(answer.status == 200 && answer.text.contains("they will need to be manually altered in the system that the connector uses"), "{}", answer.text);
    world.stop().await;
}

#[tokio::test]
async fn a_source_without_a_place_for_its_offsets_says_what_is_missing() {
    let world = World::shipped(&[]).await;
    let config = json!({"connector.class": SOURCE, "file": "/data/in.txt", "topic": "t1"});
    assert_eq!(world.json("POST", "/connectors", json!({"name": "fs", "config": config})).await.status, 201);
    world.settle("fs", "RUNNING", &["FAILED"]).await;
    let tasks = world.call("GET", "/connectors/fs/tasks").await.json();
    assert_eq!(tasks[0]["config"]["task.class"], "org.apache.kafka.connect.file.FileStreamSourceTask");
    world.stop().await;
}
