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
    Registry::open(&options).unwrap()
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
    let (first, second) = tokio::join!(one.schema(7, &health), two.schema(7, &health));
    assert_eq!((first.unwrap().as_deref(), second.unwrap().as_deref()), (Ok("\"long\""), Ok("\"long\"")));
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
                _ => (StatusCode::NOT_FOUND, "no such page").into_response(),
            }
        }),
    );
    let address = serve(router).await;
    let url = format!("http://me:secret@{address}");
    let registry = open(&url, &[]);
    let health = Health::default();
    let shown = |answer: Result<Result<Arc<str>, String>, TaskError>| match answer {
        Ok(text) => format!("{text:?}"),
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
        (5, "Err(\"it is a schema of type \\\"JSON\\\", not AVRO: use the converter for that type\")".to_owned()),
        (6, format!("BadConfig http://{address} answered 404 Not Found, not like a schema registry; check schema.registry.url (schema id=6)")),
    ];
    for (id, want) in table {
        assert_eq!(shown(registry.schema(id, &health).await), want);
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
    let table: [(&str, &[(&str, &str)], &str); 3] = [
        ("me:se%20cret@", &[], "Basic bWU6c2UgY3JldA=="),
        ("", &[("basic.auth.credentials.source", "USER_INFO"), ("basic.auth.user.info", "me:se cret")], "Basic bWU6c2UgY3JldA=="),
        ("", &[("bearer.auth.credentials.source", "STATIC_TOKEN"), ("bearer.auth.token", "t0k")], "Bearer t0k"),
    ];
    for (user, more, want) in table {
        let text = open(&format!("http://{user}{address}"), more).schema(1, &Health::default()).await.unwrap();
        assert_eq!(text.as_deref(), Ok(want));
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
        async move { registry.schema(1, &health).await }
    });
    let trouble = loop {
        if let Some(trouble) = health.trouble() {
            break trouble;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(trouble.starts_with("waiting for the schema registry: http://127.0.0.1:1: "), "{trouble}");
    assert!(trouble.ends_with(&format!("; http://{address} answered 503 Service Unavailable")), "{trouble}");
    assert_eq!(waiting.await.unwrap().unwrap().as_deref(), Ok("\"int\""));
    assert_eq!((health.trouble(), asked.load(Ordering::Relaxed)), (None, 3));
}

#[tokio::test]
async fn references_are_written_into_the_schema() {
    let router = Router::new()
        .route(
            "/schemas/ids/1",
            get(|| async {
                let order = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"net","type":"money.Amount"}]}"#;
                Json(json!({"schema": order, "references": [{"name": "money.Amount", "subject": "money/amount", "version": 2}]}))
            }),
        )
        .route(
            "/subjects/{subject}/versions/{version}",
            get(|Path((subject, version)): Path<(String, i64)>| async move {
                assert_eq!((subject.as_str(), version), ("money/amount", 2));
                Json(
                    json!({"subject": subject, "schema": r#"{"type":"record","name":"Amount","namespace":"money","fields":[{"name":"cents","type":"long"}]}"#}),
                )
            }),
        );
    let address = serve(router).await;
    let text = open(&format!("http://{address}"), &[]).schema(1, &Health::default()).await.unwrap().unwrap();
    assert!(text.contains("cents"), "{text}");
}
