//! The registry client against an HTTP server.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;

use super::*;

/// Serves a router on a free port.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("127.0.0.1:{}", address.port())
}

fn open(url: &str, more: &[(&str, &str)]) -> Registry {
    let mut options = Props::from([("schema.registry.url".to_owned(), url.to_owned())]);
    options.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Registry::open(&options, Direction::Reading).unwrap()
}

type Asked = Result<Result<Arc<RegisteredSchema>, Without>, TaskError>;

fn text(answer: Asked) -> Result<String, String> {
    answer.unwrap().map(|schema| schema.text.clone()).map_err(|without| without.reason().to_owned())
}

fn refusal(status: StatusCode, code: i64) -> Response {
    (status, Json(json!({"error_code": code, "message": "no"}))).into_response()
}

#[tokio::test]
async fn a_schema_is_asked_for_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let router = Router::new().route(
        "/prefix/schemas/ids/7",
        get(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Json(json!({"schema": "\"long\""})) }
        }),
    );
    let address = serve(router).await;
    let url = format!("http://{address}/prefix/");
    let health = Health::default();
    let (one, two) = (open(&url, &[]), open(&url, &[]));
    let (first, second) = tokio::join!(one.schema(7, &health, Patience::default()), two.schema(7, &health, Patience::default()));
    assert_eq!((text(first), text(second)), (Ok("\"long\"".to_owned()), Ok("\"long\"".to_owned())));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn answers_and_what_they_mean() {
    let router = Router::new().route(
        "/schemas/ids/{id}",
        get(|Path(id): Path<u32>| async move {
            match id {
                1 => refusal(StatusCode::NOT_FOUND, 40_403),
                2 => refusal(StatusCode::UNAUTHORIZED, 401),
                3 => refusal(StatusCode::FORBIDDEN, 403),
                4 => (StatusCode::OK, "<html>").into_response(),
                5 => Json(json!({"schema": "{}", "schemaType": "JSON"})).into_response(),
                7 => Json(json!({"schema": "{}", "schemaType": "XSD"})).into_response(),
                _ => (StatusCode::NOT_FOUND, "no such page").into_response(),
            }
        }),
    );
    let address = serve(router).await;
    let url = format!("http://me:secret@{address}");
    let registry = open(&url, &[]);
    let health = Health::default();
    let shown = |answer: Asked| match answer {
        Ok(schema) => format!("{:?}", schema.map(|schema| (schema.kind, schema.text.clone())).map_err(|without| without.reason().to_owned())),
        Err(error) => format!("{:?} {error}", error.kind),
    };
    let table = [
        (1, format!("Err(\"the schema registry http://{address} does not know it\")")),
        (
            2,
            format!(
                "Denied schema registry http://{address} answered 401 Unauthorized; check basic.auth.credentials.source and basic.auth.user.info, and what that user may read (schema id=2)"
            ),
        ),
        (
            3,
            format!(
                "Denied schema registry http://{address} answered 403 Forbidden; check basic.auth.credentials.source and basic.auth.user.info, and what that user may read (schema id=3)"
            ),
        ),
        (
            4,
            format!(
                "BadConfig http://{address} does not answer like a schema registry (expected value at line 1 column 1); check schema.registry.url (schema id=4)"
            ),
        ),
        (5, "Ok((JsonSchema, \"{}\"))".to_owned()),
        (7, "Err(\"it is a schema of type \\\"XSD\\\", which no converter here reads\")".to_owned()),
        (6, format!("BadConfig http://{address} answered 404 Not Found, not like a schema registry; check schema.registry.url (schema id=6)")),
    ];
    for (id, want) in table {
        assert_eq!(shown(registry.schema(id, &health, Patience::default()).await), want);
    }
    assert_eq!(format!("{registry} {registry:?}").matches("secret").count(), 0);
}

#[tokio::test]
async fn credentials_are_sent() {
    let router = Router::new().fallback(|request: Request| async move {
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned();
        Json(json!({"schema": given}))
    });
    let address = serve(router).await;
    let table: [(&str, &[(&str, &str)], &str); 4] = [
        ("", &[("request.header.Authorization", "Custom me")], "Custom me"),
        ("me:se%20cret@", &[], "Basic bWU6c2UgY3JldA=="),
        ("", &[("basic.auth.credentials.source", "USER_INFO"), ("basic.auth.user.info", "me:se cret")], "Basic bWU6c2UgY3JldA=="),
        ("", &[("bearer.auth.credentials.source", "STATIC_TOKEN"), ("bearer.auth.token", "t0k")], "Bearer t0k"),
    ];
    for (user, more, want) in table {
        let answer = open(&format!("http://{user}{address}"), more).schema(1, &Health::default(), Patience::default()).await;
        assert_eq!(text(answer).as_deref(), Ok(want));
    }
}

#[tokio::test]
async fn a_registry_that_is_down_is_waited_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let router = Router::new().route(
        "/schemas/ids/1",
        get(move || {
            let asked = counter.fetch_add(1, Ordering::Relaxed);
            async move { if asked < 2 { refusal(StatusCode::SERVICE_UNAVAILABLE, 50_001) } else { Json(json!({"schema": "\"int\""})).into_response() } }
        }),
    );
    let address = serve(router).await;
    // The first address refuses connections.
    let url = format!("http://127.0.0.1:1,http://{address}");
    let health = Health::default();
    let waiting = tokio::spawn({
        let (registry, health) = (open(&url, &[]), health.clone());
        async move { registry.schema(1, &health, Patience::default()).await }
    });
    let trouble = loop {
        if let Some(trouble) = health.trouble() {
            break trouble;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(trouble.starts_with("waiting for the schema registry: http://127.0.0.1:1: "), "{trouble}");
    assert!(trouble.ends_with(&format!("; http://{address} answered 503 Service Unavailable")), "{trouble}");
    assert_eq!(text(waiting.await.unwrap()).as_deref(), Ok("\"int\""));
    assert_eq!((health.trouble(), asked.load(Ordering::Relaxed)), (None, 3));
}

#[tokio::test]
async fn a_registry_that_is_down_is_waited_for_no_longer_than_a_connector_says_and_asked_again_by_the_next() {
    let is_up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let router = Router::new().fallback(move || {
        let is_up = up.load(Ordering::Relaxed);
        async move { if is_up { Json(json!({"schema": "\"int\"", "id": 1})).into_response() } else { refusal(StatusCode::SERVICE_UNAVAILABLE, 50_001) } }
    });
    let address = serve(router).await;
    let registry = open(&format!("http://{address}"), &[]);
    let health = Health::default();
    let of = |timeout: &str| Patience::of(&Props::from([("errors.retry.timeout".to_owned(), timeout.to_owned())]));
    let began = Instant::now();
    let (read, written) = (registry.schema(1, &health, of("150")).await.unwrap(), wanted(SchemaKind::Avro, "\"int\""));
    let said = format!("the schema registry did not answer for 150 ms (errors.retry.timeout): http://{address} answered 503 Service Unavailable");
    assert_eq!(read, Err(Without::Unanswered(said.clone())));
    assert!(began.elapsed() >= Duration::from_millis(150) && health.trouble().is_none());
    let written = registry.registration(&written, how(&[]), &health, of("1")).await.unwrap().unwrap_err();
    assert_eq!(written, format!("Error registering AVRO schema in subject \"t/x-value\": {}", said.replace("150", "1")));
    // The default is no time that anybody asked for.
    assert!(tokio::time::timeout(Duration::from_millis(400), registry.schema(1, &health, of("0"))).await.is_err());
    assert!(health.trouble().is_some());
    is_up.store(true, Ordering::Relaxed);
    assert_eq!(text(registry.schema(1, &health, of("1")).await).as_deref(), Ok("\"int\""));
    assert_eq!(health.trouble(), None);
}

#[tokio::test]
async fn references_come_before_what_refers_to_them_and_are_asked_for_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let reference = |name: &str| json!({"name": format!("{name}.proto"), "subject": format!("shop/{name}"), "version": 2});
    let router = Router::new()
        .route(
            "/schemas/ids/{id}",
            get(move |Path(id): Path<u32>| async move {
                Json(json!({"schema": format!("order {id}"), "schemaType": "PROTOBUF", "references": [reference("money"), reference("unit")]}))
            }),
        )
        .route("/schemas/ids/{id}/versions", get(|| async { Json(json!([{"subject": "orders-value", "version": 4}])) }))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(move |Path((subject, version)): Path<(String, i64)>| {
                counter.fetch_add(1, Ordering::Relaxed);
                async move {
                    assert_eq!(version, 2);
                    let references = if subject == "shop/money" { json!([reference("unit")]) } else { json!([]) };
                    Json(json!({"subject": subject, "schema": format!("text of {subject}"), "references": references}))
                }
            }),
        );
    let registry = open(&format!("http://{}", serve(router).await), &[]);
    for id in [1, 2] {
        let schema = registry.schema(id, &Health::default(), Patience::default()).await.unwrap().unwrap();
        let references: Vec<_> = schema.references.iter().map(|reference| (reference.name.as_str(), reference.text.as_str())).collect();
        assert_eq!(references, [("unit.proto", "text of shop/unit"), ("money.proto", "text of shop/money")]);
        assert_eq!(
            (schema.kind, schema.text.as_str(), &schema.versions),
            (SchemaKind::Protobuf, &*format!("order {id}"), &BTreeMap::from([("orders-value".to_owned(), 4)]))
        );
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn of_references_with_one_name_the_first_counts() {
    let reference = |name: &str, version: i64| json!({"name": name, "subject": name, "version": version});
    let router = Router::new()
        .route(
            "/schemas/ids/{id}",
            get(move |Path(id): Path<u32>| async move {
                let references = if id == 1 { [reference("a", 1), reference("c", 2)] } else { [reference("c", 2), reference("a", 1)] };
                Json(json!({"schema": "\"int\"", "references": references}))
            }),
        )
        .route("/schemas/ids/{id}/versions", get(|| async { Json(json!([])) }))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(move |Path((subject, version)): Path<(String, i64)>| async move {
                let references = if subject == "a" { json!([reference("c", 1)]) } else { json!([]) };
                Json(json!({"schema": format!("{subject} {version}"), "references": references}))
            }),
        );
    let registry = open(&format!("http://{}", serve(router).await), &[]);
    for (id, want) in [(1, ["c 1", "a 1"]), (2, ["c 2", "a 1"])] {
        let schema = registry.schema(id, &Health::default(), Patience::default()).await.unwrap().unwrap();
        assert_eq!(schema.references.iter().map(|reference| reference.text.as_str()).collect::<Vec<_>>(), want);
    }
}

fn wanted(kind: SchemaKind, text: &str) -> Wanted {
    Wanted { subject: "t/x-value".to_owned(), kind, text: text.to_owned() }
}

fn how(pairs: &[(&str, &str)]) -> How {
    How::parse(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).unwrap()
}

#[tokio::test]
async fn ids_are_come_by_as_the_settings_say_and_asked_for_once() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let router = Router::new().fallback(move |request: Request| {
        let log = Arc::clone(&log);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let body = axum::body::to_bytes(request.into_body(), 1000).await.unwrap();
            let line = format!("{line} {}", String::from_utf8_lossy(&body)).trim().to_owned();
            lock(&log).push(line.clone());
            if line.contains("latest") || line.contains("ids") {
                Json(json!({"id": 9, "schema": "\"int\"", "version": 3})).into_response()
            } else {
                Json(json!({"id": 7, "version": 1})).into_response()
            }
        }
    });
    let registry = open(&format!("http://{}", serve(router).await), &[]);
    let health = Health::default();
    let given = Some(RegisteredSchema::new(SchemaKind::Avro, "\"int\""));
    let (avro, json) = (wanted(SchemaKind::Avro, "\"int\""), wanted(SchemaKind::JsonSchema, "{}"));
    let not = ("auto.register.schemas", "false");
    let table: [(&[(&str, &str)], &Wanted, u32, Option<RegisteredSchema>, &str); 6] = [
        (&[("use.latest.version", "true")], &avro, 7, None, r#"POST /subjects/t%2Fx-value/versions {"schema":"\"int\""}"#),
        (&[("normalize.schemas", "true")], &json, 7, None, r#"POST /subjects/t%2Fx-value/versions?normalize=true {"schema":"{}","schemaType":"JSON"}"#),
        (&[not], &avro, 7, None, r#"POST /subjects/t%2Fx-value {"schema":"\"int\""}"#),
        (&[not, ("use.latest.version", "true")], &avro, 9, given.clone(), "GET /subjects/t%2Fx-value/versions/latest"),
        (&[not, ("use.schema.id", "9"), ("use.latest.version", "true")], &avro, 9, given, "GET /schemas/ids/9"),
        (&[not, ("use.schema.id", "-1")], &json, 7, None, r#"POST /subjects/t%2Fx-value {"schema":"{}","schemaType":"JSON"}"#),
    ];
    for (settings, wanted, id, schema, request) in table {
        for _ in 0..2 {
            let found = registry.registration(wanted, how(settings), &health, Patience::default()).await.unwrap().unwrap();
            assert_eq!(*found, Registration { id, schema: schema.clone() }, "{settings:?}");
        }
        assert_eq!(std::mem::take(&mut *lock(&asked)), [request], "{settings:?}");
    }
    let refused = How::parse(&Props::from([("use.schema.id".to_owned(), "nine".to_owned())])).unwrap_err();
    assert_eq!(refused, [("use.schema.id".to_owned(), "\"nine\" is not the number of a schema".to_owned())]);
}

#[tokio::test]
async fn schemas_that_a_registry_refuses_and_what_that_means() {
    let answers = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&answers);
    let router = Router::new().fallback(move || {
        let answer = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            match answer {
                0 => (StatusCode::CONFLICT, Json(json!({"error_code": 409, "message": "incompatible with an earlier schema"}))).into_response(),
                1 => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"error_code": 42_201, "message": "not a schema"}))).into_response(),
                2 => refusal(StatusCode::NOT_FOUND, 40_403),
                3 => refusal(StatusCode::FORBIDDEN, 403),
                4 => refusal(StatusCode::SERVICE_UNAVAILABLE, 50_003),
                _ => Json(json!({"id": 5})).into_response(),
            }
        }
    });
    let address = serve(router).await;
    let registry = open(&format!("http://{address}"), &[]);
    let health = Health::default();
    let wanted = wanted(SchemaKind::Avro, "\"int\"");
    let mut shown = Vec::new();
    for _ in 0..5 {
        shown.push(match registry.registration(&wanted, how(&[]), &health, Patience::default()).await {
            Ok(found) => format!("{:?}", found.map(|found| found.id)),
            Err(error) => format!("{:?} {error}", error.kind),
        });
    }
    let act = "Error registering AVRO schema in subject \\\"t/x-value\\\": the schema registry";
    let name = format!("http://{address}");
    let want = [
        format!("Err(\"{act} {name} refuses it (409 Conflict): incompatible with an earlier schema\")"),
        format!("Err(\"{act} {name} refuses it (422 Unprocessable Entity): not a schema\")"),
        format!("Err(\"{act} {name} does not know it\")"),
        format!(
            "Denied schema registry {name} answered 403 Forbidden; check basic.auth.credentials.source and basic.auth.user.info, and what that user may write (subject=t/x-value)"
        ),
        "Ok(5)".to_owned(),
    ];
    assert_eq!(shown, want);
    assert_eq!(health.trouble(), None);
}

/// A certificate by an authority that only Java's truststore names, and one of ours that the registry asks for.
#[tokio::test]
async fn keystores_and_truststores_of_java_are_used() {
    use crate::tls::Ssl;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let file = |name: &str| format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let own = |pairs: &[(&str, String)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Props>();
    let server = own(&[
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", file("server.pem")),
        ("ssl.truststore.location", file("trust.jks")),
        ("ssl.client.auth", "required".to_owned()),
    ]);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(crate::tls::server(Ssl::new(&server)).unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = vec![0; 4096];
            if !stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                continue;
            }
            let body = r#"{"schema":"\"int\""}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    });
    let (trust, identity) = (file("trust.jks"), file("client.pem"));
    let ssl = [
        ("schema.registry.ssl.truststore.location", trust.as_str()),
        ("schema.registry.ssl.truststore.password", "store-pass-1"),
        ("schema.registry.ssl.keystore.type", "PEM"),
        ("schema.registry.ssl.keystore.location", identity.as_str()),
    ];
    let answer = open(&url, &ssl).schema(1, &Health::default(), Patience::default()).await;
    assert_eq!(text(answer).as_deref(), Ok("\"int\""));
    let health = Health::default();
    let untrusted = tokio::time::timeout(Duration::from_millis(400), open(&url, &[]).schema(1, &health, Patience::default())).await;
    assert!(untrusted.is_err() && health.trouble().is_some_and(|trouble| trouble.contains("certificate")), "{:?}", health.trouble());
}
