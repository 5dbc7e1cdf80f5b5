//! What `validate` and the plugins' keys show: the framework's part as Apache Kafka 4.3.1 showed it, and the S3 sink's as its sources define it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::World;

const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";
const S3: &str = "io.confluent.connect.s3.S3SinkConnector";

/// A configuration of the S3 sink without a fault.
fn s3(more: &[(&str, &str)]) -> Value {
    let mut config = json!({
        "name": "x", "connector.class": S3, "topics": "t", "storage.class": "io.confluent.connect.s3.storage.S3Storage",
        "format.class": "io.confluent.connect.s3.format.avro.AvroFormat", "flush.size": "1000", "s3.bucket.name": "bkt"
    });
    for (key, value) in more {
        config[*key] = (*value).into();
    }
    config
}

async fn validate(world: &World, plugin: &str, config: Value) -> Value {
    let answer = world.json("PUT", &format!("/connector-plugins/{plugin}/config/validate"), config).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// The entries of an answer, by key.
fn by_key(answer: &Value) -> BTreeMap<String, Value> {
    let name = |info: &Value| info["value"]["name"].as_str().unwrap_or_default().to_owned();
    answer["configs"].as_array().unwrap().iter().map(|info| (name(info), info.clone())).collect()
}

#[tokio::test]
async fn a_configuration_is_shown_key_by_key_with_its_problems() {
    let world = World::start(&[]).await;
    let good = validate(&world, "BlackholeSink", json!({"connector.class": "BlackholeSink", "name": "x", "topics": " a , b ", "depth": "007"})).await;
    assert_eq!((&good["name"], &good["error_count"]), (&json!("BlackholeSink"), &json!(0)));
    assert_eq!(good["groups"], json!(["Common", "Transforms", "Predicates", "Error Handling", "Blackhole"]));
    let keys = by_key(&good);
    let mut tasks = keys["tasks.max"].clone();
    tasks["definition"]["documentation"] = Value::Null;
    assert_eq!(
        tasks,
        json!({
            "definition": {"name": "tasks.max", "type": "INT", "required": false, "default_value": "1", "importance": "HIGH", "documentation": null,
                "group": "Common", "order_in_group": 4, "width": "SHORT", "display_name": "Tasks max", "dependents": []},
            "value": {"name": "tasks.max", "value": "1", "recommended_values": [], "errors": [], "visible": true}
        })
    );
    assert_eq!((&keys["topics"]["value"]["value"], &keys["depth"]["value"]["value"]), (&json!("a,b"), &json!("7")));
    // What the worker gives where a connector says nothing.
    for (key, given) in [("value.converter", STRING), ("header.converter", "org.apache.kafka.connect.storage.SimpleHeaderConverter")] {
        assert_eq!((&keys[key]["definition"]["default_value"], &keys[key]["value"]["value"]), (&json!(given), &json!(given)), "{key}");
    }
    assert!(keys["value.converter"]["value"]["recommended_values"].as_array().unwrap().contains(&json!(STRING)));
    for key in ["connector.plugin.version", "key.converter.plugin.version"] {
        let version = json!(env!("CARGO_PKG_VERSION"));
        assert_eq!((&keys[key]["value"]["value"], &keys[key]["value"]["recommended_values"]), (&version, &json!([version])), "{key}");
    }

    let bad = json!({"connector.class": "BlackholeSink", "tasks.max": "x", "topics": "t", "mode": "idle", "foo": null});
    let bad = validate(&world, "BlackholeSink", bad).await;
    assert_eq!(bad["error_count"], 6);
    assert_eq!(
        bad["configs"][0],
        json!({"definition": null, "value": {"name": "foo", "value": null, "recommended_values": [], "visible": true,
            "errors": ["Null value can not be supplied as the configuration value."]}})
    );
    let keys = by_key(&bad);
    for (key, value, errors) in [
        ("name", Value::Null, vec!["Missing required configuration \"name\" which has no default value."]),
        (
            "tasks.max",
            Value::Null,
            vec![
                "Invalid value x for configuration tasks.max: Not a number of type INT",
                "Invalid value null for configuration tasks.max: Value must be non-null",
            ],
        ),
        ("mode", json!("idle"), vec!["Invalid value idle for configuration mode: String must be one of: work, fail, panic, stuck"]),
        ("depth", Value::Null, vec!["Missing required configuration \"depth\" which has no default value."]),
    ] {
        assert_eq!((&keys[key]["value"]["value"], &keys[key]["value"]["errors"]), (&value, &json!(errors)), "{key}");
    }
    world.stop().await;
}

#[tokio::test]
async fn transforms_and_converters_bring_their_keys() {
    let world = World::start(&[]).await;
    let config = json!({"connector.class": "BlackholeSink", "name": "x", "topics": "t", "depth": "1", "transforms": "r", "transforms.r.type": "RegexRouter",
        "transforms.r.regex": "(", "transforms.r.replacement": "b", "transforms.r.predicate": "p",
        "predicates": "p", "predicates.p.type": "HasHeaderKey", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false"});
    let answer = validate(&world, "BlackholeSink", config).await;
    let keys = by_key(&answer);
    assert_eq!(answer["groups"][4], "Transforms: r");
    assert_eq!(keys["transforms.r.type"]["definition"]["display_name"], "Transformation type for r");
    assert_eq!(keys["transforms.r.negate"]["definition"]["default_value"], "false");
    assert_eq!(keys["transforms.r.type"]["definition"]["documentation"], "Class for the 'r' transformation.");
    let offered = keys["transforms.r.type"]["value"]["recommended_values"].as_array().unwrap();
    assert!(offered.contains(&json!("org.apache.kafka.connect.transforms.Flatten$Key")), "{offered:?}");
    let broken = &keys["transforms.r.regex"];
    assert_eq!((&broken["definition"]["group"], broken["value"]["errors"].as_array().map(Vec::len)), (&json!("Transforms: r"), Some(1)));
    assert_eq!(answer["groups"][5], "Predicates: p");
    assert_eq!(keys["predicates.p.type"]["definition"]["display_name"], "Predicate type for p");
    assert_eq!(keys["predicates.p.type"]["value"]["recommended_values"].as_array().map(Vec::len), Some(3));
    let missing = "Missing required configuration \"predicates.p.name\" which has no default value.";
    assert_eq!(keys["predicates.p.name"]["value"]["errors"], json!([missing]));
    assert_eq!(keys["value.converter.schemas.enable"]["value"]["value"], "false");
    assert_eq!(keys["value.converter.converter.type"]["value"]["value"], "value");
    assert!(!keys.contains_key("key.converter.schemas.enable"), "the worker's converter is not the connector's");
    world.stop().await;
}

#[tokio::test]
async fn transforms_of_others_are_validated_as_apaches() {
    let world = World::start(&[]).await;
    let config = json!({"connector.class": "BlackholeSink", "name": "x", "topics": "t", "depth": "1", "transforms": "f,t,u,m",
        "transforms.f.type": "io.confluent.connect.transforms.Filter$Value", "transforms.f.filter.condition": "$[?(@.a like 'x')]",
        "transforms.f.filter.type": "Include", "transforms.t.type": "io.confluent.connect.transforms.ExtractTopic$Header",
        "transforms.u.type": "io.debezium.transforms.ExtractNewRecordState", "transforms.u.delete.tombstone.handling.mode": "keep",
        "transforms.m.type": "io.debezium.transforms.Filter"});
    let answer = validate(&world, "BlackholeSink", config).await;
    let keys = by_key(&answer);
    let errors = |key: &str| keys[key]["value"]["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let condition = "Invalid value $[?(@.a like 'x')] for configuration transforms.f.filter.condition: Invalid json path defined. Please refer to \
        https://github.com/json-path/JsonPath README for correct use of json path.";
    assert!(errors("transforms.f.filter.condition")[0].starts_with(condition), "{:?}", errors("transforms.f.filter.condition"));
    assert_eq!(errors("transforms.f.filter.type"), [""; 0]);
    assert_eq!(errors("transforms.t.field"), ["Missing required configuration \"transforms.t.field\" which has no default value."]);
    assert!(errors("transforms.u.delete.tombstone.handling.mode")[0].contains("rewrite-with-tombstone"), "{answer}");
    assert!(errors("transforms.m.type")[0].contains("io.debezium.transforms.Filter could not be found"), "{answer}");
    assert_eq!(keys["transforms.f.missing.or.null.behavior"]["definition"]["default_value"], "fail");
    let offered = keys["transforms.f.type"]["value"]["recommended_values"].as_array().unwrap();
    let listed = world.call("GET", "/connector-plugins?connectorsOnly=false").await.json();
    for class in ["confluent.connect.transforms.Drop$Key", "confluent.connect.transforms.ExtractTopic$Header", "debezium.transforms.ExtractNewRecordState"] {
        let class = json!(format!("io.{class}"));
        assert!(offered.contains(&class) && listed.as_array().unwrap().iter().any(|plugin| plugin["class"] == class), "{class}");
    }
    let own = world.call("GET", "/connector-plugins/io.confluent.connect.transforms.Filter$Value/config").await.json();
    let names: Vec<&str> = own.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["filter.condition", "filter.type", "missing.or.null.behavior"]);
    world.stop().await;
}

#[tokio::test]
async fn a_plugin_lists_its_own_keys_before_the_frameworks() {
    let world = World::start(&[]).await;
    let keys = world.call("GET", "/connector-plugins/BlackholeSink/config?version=latest").await.json();
    let names: Vec<&str> = keys.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["mode", "depth", "name", "connector.class"]);
    assert_eq!(names[names.len() - 2..], ["errors.deadletterqueue.context.headers.enable", "errors.deadletterqueue.url"], "ours behind upstream's");
    assert_eq!(world.call("GET", "/connector-plugins/BlackholeSink/config?version=9.9").await.status, 400);
    let all = world.call("GET", "/connector-plugins?connectorsOnly=false").await.json();
    let kinds: Vec<&str> = all.as_array().unwrap().iter().map(|plugin| plugin["type"].as_str().unwrap()).collect();
    assert!(kinds.starts_with(&["sink", "transformation"]) && kinds.ends_with(&["header_converter"]) && kinds.contains(&"predicate"), "{kinds:?}");
    let of_headers = all.as_array().unwrap().iter().filter(|plugin| plugin["type"] == "header_converter");
    let classes: Vec<&str> = of_headers.filter_map(|plugin| plugin["class"].as_str()?.strip_prefix("org.apache.kafka.connect.")).collect();
    let numbers = ["Boolean", "ByteArray", "Double", "Float", "Integer", "Long", "Short"].map(|kind| format!("converters.{kind}Converter"));
    assert_eq!(classes[..7], numbers);
    assert_eq!(classes[7..], ["json.JsonConverter", "storage.SimpleHeaderConverter", "storage.StringConverter"]);
    assert_eq!(world.call("GET", "/connector-plugins/SimpleHeaderConverter/config").await.text, "[]");
    world.stop().await;
}

#[tokio::test]
async fn secrets_are_never_shown() {
    let provider = [("config.providers", "file"), ("config.providers.file.class", "org.apache.kafka.common.config.provider.FileConfigProvider")];
    let world = World::shipped(&provider).await;
    let file = std::env::temp_dir().join(format!("lakehead-definitions-{}.properties", std::process::id()));
    std::fs::write(&file, "secret=hunter2\n").unwrap();
    let reference = format!("${{file:{}:secret}}", file.display());
    let secrets = [
        ("aws.access.key.id", reference.as_str()),
        ("aws.secret.access.key", "hunter2"),
        ("s3.proxy.url", "http://me:hunter2@proxy:3128"),
        ("s3.region", &reference),
        ("s3.part.retries", &reference),
        ("rotate.interval.ms", &reference),
    ];
    let answer = validate(&world, "S3SinkConnector", s3(&secrets)).await;
    std::fs::remove_file(&file).unwrap();
    let (text, keys) = (answer.to_string(), by_key(&answer));
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(keys["aws.secret.access.key"]["value"]["value"], "[hidden]");
    assert_eq!(keys["aws.access.key.id"]["value"]["value"], reference, "a reference is shown as it was given");
    let message = format!("Invalid value {reference} for configuration s3.part.retries: Not a number of type INT");
    assert_eq!(keys["s3.part.retries"]["value"]["errors"][0], message);
    world.stop().await;
}

#[tokio::test]
async fn checks_across_keys_are_shown_on_their_keys() {
    let world = World::shipped(&[]).await;
    let config = s3(&[("rotate.schedule.interval.ms", "1000"), ("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner")]);
    let keys = by_key(&validate(&world, "S3SinkConnector", config).await);
    for key in ["timezone", "partition.field.name"] {
        assert_ne!(keys[key]["value"]["errors"], json!([]), "{key}");
    }
    assert_eq!((&keys["partition.field.name"]["value"]["visible"], &keys["path.format"]["value"]["visible"]), (&json!(true), &json!(false)));
    let gcs = world.call("GET", "/connector-plugins/GcsSink/config").await.json();
    let groups: Vec<&str> = gcs.as_array().unwrap().iter().filter_map(|key| key["group"].as_str()).collect();
    assert!(groups.contains(&"GCS") && !groups.contains(&"S3"), "{groups:?}");
    world.stop().await;
}

/// The S3 sink's keys in upstream's order: name, type, default, importance, group, place in the group, width. `-` stands for no default, `!` for required.
const S3_KEYS: &str = include_str!("s3_keys.txt");

#[tokio::test]
async fn the_s3_sink_shows_upstreams_keys() {
    let world = World::shipped(&[]).await;
    let answer = validate(&world, S3, s3(&[])).await;
    let keys = by_key(&answer);
    let mut wrong = Vec::new();
    let mut order = Vec::new();
    for line in S3_KEYS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, kind, default, importance, group, place, width] = columns[..] else { panic!("{line:?} has not seven columns") };
        order.push(name);
        let Some(shown) = keys.get(name).map(|info| &info["definition"]) else {
            wrong.push(format!("{name}: not shown"));
            continue;
        };
        let text = |member: &str| shown[member].as_str().unwrap_or("-").to_owned();
        let default_shown = if shown["required"] == true { "!".to_owned() } else { text("default_value") };
        let got = [text("type"), default_shown, text("importance"), text("group"), shown["order_in_group"].to_string(), text("width")];
        if got != [kind, default, importance, group, place, width] {
            wrong.push(format!("{name}: {got:?}, upstream {:?}", &columns[1..]));
        }
        if text("documentation").len() < 10 {
            wrong.push(format!("{name}: says nothing of itself"));
        }
    }
    let shown: Vec<&str> = answer["configs"].as_array().unwrap().iter().filter_map(|info| info["value"]["name"].as_str()).collect();
    let shown: Vec<&str> = shown.into_iter().filter(|name| order.contains(name)).collect();
    order.retain(|name| shown.contains(name));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(shown, order);
    world.stop().await;
}
