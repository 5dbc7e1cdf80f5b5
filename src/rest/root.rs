//! `/` and `/health`: upstream's `RootResource`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::rest::Api;
use crate::rest::model::{ServerInfo, WorkerStatus};

/// Version of Apache Kafka Connect whose REST API this is.
pub const CONNECT_VERSION: &str = "4.3.1";

/// How long `/health` waits for a worker that does not answer: upstream's `rest.health.check.timeout.ms` default.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);

/// `GET /`.
pub async fn server_info(State(api): State<Arc<Api>>) -> Response {
    let info = ServerInfo { version: CONNECT_VERSION, commit: concat!("lakehead-", env!("CARGO_PKG_VERSION")), kafka_cluster_id: api.herder.cluster_id() };
    Json(info).into_response()
}

/// `GET /health` (KIP-1017): 200 when the worker answers, 503 when it is not ready in time, 500 when it was ready and does not answer any more.
pub async fn health(State(api): State<Arc<Api>>) -> Response {
    let (code, status, message) = match tokio::time::timeout(HEALTH_TIMEOUT.min(api.timeout), api.herder.healthy()).await {
        Ok(()) => (StatusCode::OK, "healthy", "Worker has completed startup and is ready to handle requests."),
        Err(_) if !api.herder.is_ready() => (StatusCode::SERVICE_UNAVAILABLE, "starting", "Worker is still starting up."),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "unhealthy", "Worker was unable to handle this request and may be unable to handle other requests."),
    };
    (code, Json(WorkerStatus { status, message })).into_response()
}
