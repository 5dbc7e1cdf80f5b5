//! `/connectors`: upstream's `ConnectorsResource`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::cluster::session::{ALGORITHM_HEADER, Refusal, SIGNATURE_HEADER, Signature};
use crate::connect::Props;
use crate::rest::Api;
use crate::rest::body::{ConfigBody, CreateConnector, OffsetsBody};
use crate::rest::error::ApiError;
use crate::rest::model::{ConnectorInfo, ConnectorStatus, ConnectorTopics, Message, TaskInfo, TaskStatus};
use crate::runtime::HerderError;
use crate::runtime::herder::{Put, Target};
use crate::runtime::offsets::Change;
use crate::runtime::validate::RawConfig;

type Answer<T> = Result<T, ApiError>;
type Params = Query<Vec<(String, String)>>;

/// `GET /connectors`: names, or with `expand=status` and `expand=info` (KIP-465) an object of them. Other expansions add nothing.
pub async fn list(State(api): State<Arc<Api>>, Query(params): Params) -> Answer<Response> {
    let names = api.herder.names().await?;
    let expansions: Vec<&str> = params.iter().filter(|(key, _)| key == "expand").map(|(_, value)| value.as_str()).collect();
    if expansions.is_empty() {
        return Ok(Json(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).into_response());
    }
    let mut out = BTreeMap::new();
    for name in names {
        match expand(&api, &name, &expansions).await {
            Ok(expanded) => drop(out.insert(name.to_string(), expanded)),
            // Removed while the list was being made.
            Err(HerderError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(out).into_response())
}

async fn expand(api: &Api, name: &str, expansions: &[&str]) -> Result<BTreeMap<&'static str, Value>, HerderError> {
    let as_value = |value: serde_json::Result<Value>| value.map_err(|error| HerderError::Internal(error.to_string()));
    let mut expanded = BTreeMap::new();
    for expansion in expansions {
        match *expansion {
            "status" => drop(expanded.insert("status", as_value(serde_json::to_value(ConnectorStatus::from(api.herder.status(name).await?)))?)),
            "info" => drop(expanded.insert("info", as_value(serde_json::to_value(ConnectorInfo::from(api.herder.info(name).await?)))?)),
            _ => {}
        }
    }
    Ok(expanded)
}

/// `POST /connectors`.
pub async fn create(State(api): State<Arc<Api>>, headers: HeaderMap, request: CreateConnector) -> Answer<Response> {
    let CreateConnector { name, config, initial_state } = request;
    let config = named(&name, config)?;
    let put = api.herder.create(&name, config, initial_state).await?;
    Ok(created(&api, &headers, put))
}

/// `GET /connectors/{name}`.
pub async fn info(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<Json<ConnectorInfo>> {
    Ok(Json(api.herder.info(&name).await?.into()))
}

/// `DELETE /connectors/{name}`.
pub async fn delete(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<StatusCode> {
    api.herder.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /connectors/{name}/config`: as it was given, references to config providers unresolved.
pub async fn config(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<Json<Props>> {
    Ok(Json(api.herder.info(&name).await?.config))
}

/// `PUT /connectors/{name}/config`.
pub async fn put_config(State(api): State<Arc<Api>>, Path(name): Path<String>, headers: HeaderMap, ConfigBody(config): ConfigBody) -> Answer<Response> {
    let put = api.herder.put(&name, named(&name, config)?).await?;
    if put.created { Ok(created(&api, &headers, put)) } else { Ok(Json(ConnectorInfo::from(put.info)).into_response()) }
}

/// `PATCH /connectors/{name}/config` (KIP-477). As upstream, the name in it is not looked at.
pub async fn patch_config(State(api): State<Arc<Api>>, Path(name): Path<String>, ConfigBody(patch): ConfigBody) -> Answer<Json<ConnectorInfo>> {
    Ok(Json(api.herder.patch(&name, patch).await?.info.into()))
}

/// `GET /connectors/{name}/status`.
pub async fn status(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<Json<ConnectorStatus>> {
    Ok(Json(api.herder.status(&name).await?.into()))
}

/// `GET /connectors/{name}/tasks`.
pub async fn tasks(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<Json<Vec<TaskInfo>>> {
    let tasks = api.herder.tasks(&name).await?;
    Ok(Json(tasks.into_iter().map(|task| TaskInfo::new(&name, task)).collect()))
}

/// `GET /connectors/{name}/tasks/{task}/status`.
pub async fn task_status(State(api): State<Arc<Api>>, Path((name, task)): Path<(String, String)>) -> Answer<Json<TaskStatus>> {
    Ok(Json(api.herder.task_status(&name, task_number(&task)?).await?.into()))
}

/// `POST /connectors/{name}/tasks/{task}/restart`.
pub async fn restart_task(State(api): State<Arc<Api>>, Path((name, task)): Path<(String, String)>) -> Answer<StatusCode> {
    api.herder.restart_task(&name, task_number(&task)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /connectors/{name}/restart` (KIP-745).
pub async fn restart(State(api): State<Arc<Api>>, Path(name): Path<String>, Query(params): Params) -> Answer<Response> {
    let flag = |key: &str| params.iter().any(|(k, value)| k == key && value.eq_ignore_ascii_case("true"));
    let (include_tasks, only_failed) = (flag("includeTasks"), flag("onlyFailed"));
    if !include_tasks && !only_failed {
        api.herder.restart_connector(&name).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let status = api.herder.restart(&name, include_tasks, only_failed).await?;
    Ok((StatusCode::ACCEPTED, Json(ConnectorStatus::from(status))).into_response())
}

/// `PUT /connectors/{name}/pause`.
pub async fn pause(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<StatusCode> {
    api.herder.set_target(&name, Target::Paused).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `PUT /connectors/{name}/resume`.
pub async fn resume(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<StatusCode> {
    api.herder.set_target(&name, Target::Started).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `PUT /connectors/{name}/stop` (KIP-875).
pub async fn stop(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<StatusCode> {
    api.herder.set_target(&name, Target::Stopped).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /connectors/{name}/topics` (KIP-558).
pub async fn topics(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<Json<BTreeMap<String, ConnectorTopics>>> {
    tracks_topics(&api)?;
    let topics = api.herder.topics(&name).await?.iter().map(ToString::to_string).collect();
    Ok(Json(BTreeMap::from([(name, ConnectorTopics { topics })])))
}

/// `PUT /connectors/{name}/topics/reset` (KIP-558).
pub async fn reset_topics(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<StatusCode> {
    tracks_topics(&api)?;
    if !api.herder.settings().allows_topic_reset {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "Topic tracking reset is disabled."));
    }
    api.herder.reset_topics(&name).await?;
    Ok(StatusCode::ACCEPTED)
}

fn tracks_topics(api: &Api) -> Answer<()> {
    let is_on = api.herder.settings().tracks_topics;
    if is_on { Ok(()) } else { Err(ApiError::new(StatusCode::FORBIDDEN, "Topic tracking is disabled.")) }
}

/// `GET /connectors/{name}/offsets` (KIP-875).
pub async fn offsets(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(serde_json::json!({ "offsets": api.herder.offsets(&name).await? })))
}

/// `PATCH /connectors/{name}/offsets` (KIP-875).
pub async fn alter_offsets(State(api): State<Arc<Api>>, Path(name): Path<String>, OffsetsBody(offsets): OffsetsBody) -> Answer<Json<Message>> {
    let offsets = offsets.filter(|offsets| !offsets.is_empty());
    let offsets = offsets.ok_or_else(|| ApiError::bad_request("Partitions / offsets need to be provided for an alter offsets request"))?;
    Ok(Json(Message { message: api.herder.change_offsets(&name, Change::Alter(offsets)).await? }))
}

/// `DELETE /connectors/{name}/offsets` (KIP-875).
pub async fn reset_offsets(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<Json<Message>> {
    Ok(Json(Message { message: api.herder.change_offsets(&name, Change::Reset).await? }))
}

/// `POST /connectors/{name}/tasks`: between workers only, of which standalone mode has one.
pub async fn internal_tasks(State(api): State<Arc<Api>>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> Answer<StatusCode> {
    if api.herder.is_alone() {
        return Err(ApiError::internal("Kafka Connect in standalone mode does not support externally setting task configurations."));
    }
    verify(&api, &headers, &body)?;
    let configs = serde_json::from_slice(&body).map_err(|error| ApiError::internal(error.to_string()))?;
    api.herder.set_tasks(&name, configs).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses what no worker of the group has signed.
fn verify(api: &Api, headers: &HeaderMap, body: &[u8]) -> Answer<()> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = Signature::from_headers(header(SIGNATURE_HEADER), header(ALGORITHM_HEADER));
    let refused = |Refusal { status, message }: Refusal| ApiError::new(StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN), message);
    api.herder.verify(signature, body).map_err(refused)
}

/// `PUT /connectors/{name}/fence`: between workers only.
pub async fn internal_fence(State(api): State<Arc<Api>>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> Answer<StatusCode> {
    if api.herder.is_alone() {
        return Err(ApiError::internal("Kafka Connect in standalone mode does not support exactly-once source connectors."));
    }
    verify(&api, &headers, &body)?;
    api.herder.fence(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// As upstream, a task's number that is no integer makes the path an unknown one.
fn task_number(text: &str) -> Answer<u32> {
    let number: i32 = text.parse().map_err(|_| ApiError::new(StatusCode::NOT_FOUND, "HTTP 404 Not Found"))?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The configuration with its `name`, which must be the one in the request or in the path.
fn named(name: &str, mut config: RawConfig) -> Answer<RawConfig> {
    match config.get("name").cloned().flatten() {
        Some(inner) if inner != name => {
            Err(ApiError::bad_request(format!("Connector name configuration ({inner}) doesn't match connector name in the URL ({name})")))
        }
        _ => {
            config.insert("name".to_owned(), Some(name.to_owned()));
            Ok(config)
        }
    }
}

/// The absolute address of a connector, as the client reaches this worker.
pub(super) fn address(api: &Api, headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let mut url = url::Url::parse(&format!("{}://{host}/", api.scheme)).ok()?;
    url.set_path(&format!("/connectors/{name}"));
    HeaderValue::try_from(url.to_string()).ok()
}

/// 201 with the address of the new connector.
fn created(api: &Api, headers: &HeaderMap, put: Put) -> Response {
    let location = address(api, headers, &put.info.name);
    let mut response = (StatusCode::CREATED, Json(ConnectorInfo::from(put.info))).into_response();
    if let Some(location) = location {
        drop(response.headers_mut().insert(header::LOCATION, location));
    }
    response
}
