//! `/admin/loggers`: upstream's `LoggingResource` (KIP-495, KIP-976).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::rest::Api;
use crate::rest::body::LevelBody;
use crate::rest::error::ApiError;
use crate::telemetry::loggers;

/// `LoggerLevel`.
#[derive(Debug, Serialize)]
pub struct LoggerLevel {
    level: &'static str,
    last_modified: Option<i64>,
}

impl From<loggers::LoggerLevel> for LoggerLevel {
    fn from(of: loggers::LoggerLevel) -> Self {
        Self { level: of.level.as_str(), last_modified: of.last_modified }
    }
}

/// `GET /admin/loggers`.
pub async fn list(State(api): State<Arc<Api>>) -> Json<BTreeMap<String, LoggerLevel>> {
    Json(api.loggers.levels().into_iter().map(|(name, level)| (name, level.into())).collect())
}

/// `GET /admin/loggers/{logger}`.
pub async fn get(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<LoggerLevel>, ApiError> {
    let level = api.loggers.level(&name).ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, format!("Logger {name} not found.")))?;
    Ok(Json(level.into()))
}

/// `PUT /admin/loggers/{logger}`. With `scope=cluster` it is written down for all workers; one on its own is the whole cluster. As upstream, an unknown scope is
/// `worker`.
pub async fn set(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Query(params): Query<Vec<(String, String)>>,
    LevelBody(level): LevelBody,
) -> Result<Response, ApiError> {
    let Some(text) = level else { return Err(ApiError::bad_request("Desired 'level' parameter was not specified in request.")) };
    let level: loggers::Level = text.parse().map_err(|()| ApiError::new(StatusCode::NOT_FOUND, format!("invalid log level '{text}'.")))?;
    let scope = params.iter().find(|(key, _)| key == "scope").map_or("worker", |(_, scope)| scope.as_str());
    let is_for_all = scope.eq_ignore_ascii_case("cluster");
    if !is_for_all && !scope.eq_ignore_ascii_case("worker") {
        tracing::warn!("scope {scope:?} of a logger's level is neither worker nor cluster; worker is used");
    }
    if is_for_all && !api.herder.is_alone() {
        api.herder.set_level(&name, level.as_str()).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let changed = api.loggers.set(&name, level, api.herder.clock().now().timestamp_millis());
    Ok(if is_for_all { StatusCode::NO_CONTENT.into_response() } else { Json(changed).into_response() })
}
