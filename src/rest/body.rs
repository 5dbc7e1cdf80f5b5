//! What requests bring: JSON bodies as upstream's Jackson reads them.
//!
//! Values of a configuration may be texts, numbers, booleans or null. A body that cannot be read is answered with 500, as upstream; only the wrong content
//! type is 415.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde_json::{Map, Value};

use crate::rest::error::ApiError;
use crate::runtime::herder::Target;
use crate::runtime::offsets::ConnectorOffset;
use crate::runtime::validate::RawConfig;

/// The body of `POST /connectors`: upstream's `CreateConnectorRequest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateConnector {
    /// The connector's name, trimmed; empty when absent.
    pub name: String,
    /// Its configuration.
    pub config: RawConfig,
    /// State to begin in.
    pub initial_state: Option<Target>,
}

/// A configuration: the body of `PUT` and `PATCH /connectors/{name}/config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigBody(
    /// Keys and values.
    pub RawConfig,
);

/// The body of `PUT /admin/loggers/{logger}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelBody(
    /// The level's name; `None` when it says none.
    pub Option<String>,
);

/// The body of `PATCH /connectors/{name}/offsets`: upstream's `ConnectorOffsets`.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetsBody(
    /// Partitions and offsets; `None` when it says none.
    pub Option<Vec<ConnectorOffset>>,
);

/// The body's bytes, when its content type is JSON (or when there is neither).
async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_owned());
    let is_json = kind.as_deref().map(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"));
    if is_json == Some(false) {
        return Err(ApiError::UNSUPPORTED_MEDIA_TYPE);
    }
    let bytes = Bytes::from_request(request, state).await.map_err(|error| ApiError::new(error.status(), error.body_text()))?;
    if is_json.is_none() && !bytes.is_empty() {
        return Err(ApiError::UNSUPPORTED_MEDIA_TYPE);
    }
    Ok(bytes)
}

/// A JSON object, or `None` for an empty body and for `null`.
fn object(bytes: &[u8], class: &str) -> Result<Option<Map<String, Value>>, ApiError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(Value::Null) => Ok(None),
        Ok(_) => Err(ApiError::internal(format!("Cannot deserialize value of type `{class}`: the body is no JSON object"))),
        Err(error) => Err(ApiError::internal(format!("the request's body is not valid JSON: {error}"))),
    }
}

/// Values as texts: numbers and booleans as they are written, null stays null.
fn config(object: Map<String, Value>) -> Result<RawConfig, ApiError> {
    let text = |(key, value): (String, Value)| match value {
        Value::Null => Ok((key, None)),
        Value::String(text) => Ok((key, Some(text))),
        Value::Bool(_) | Value::Number(_) => Ok((key, Some(value.to_string()))),
        Value::Array(_) | Value::Object(_) => {
            let token = if value.is_array() { "Array value (token `JsonToken.START_ARRAY`)" } else { "Object value (token `JsonToken.START_OBJECT`)" };
            Err(ApiError::internal(format!("Cannot deserialize value of type `java.lang.String` from {token}: the value of \"{key}\" must be a text")))
        }
    };
    object.into_iter().map(text).collect::<Result<BTreeMap<_, _>, _>>()
}

fn offsets(mut object: Map<String, Value>, class: &str) -> Result<OffsetsBody, ApiError> {
    let offsets = object.remove("offsets").unwrap_or(Value::Null);
    if let Some(unknown) = object.keys().next() {
        let message = format!("Unrecognized field \"{unknown}\" (class {class}), not marked as ignorable (one known property: \"offsets\")");
        return Err(ApiError::internal(message));
    }
    serde_json::from_value(offsets).map(OffsetsBody).map_err(|error| ApiError::internal(format!("Cannot deserialize value of type `{class}`: {error}")))
}

const NO_CONFIG: &str = "Cannot invoke \"java.util.Map.get(Object)\" because \"connectorConfig\" is null";

fn create_connector(bytes: &[u8]) -> Result<CreateConnector, ApiError> {
    const CLASS: &str = "org.apache.kafka.connect.runtime.rest.entities.CreateConnectorRequest";
    let Some(mut object) = object(bytes, CLASS)? else {
        return Err(ApiError::internal(
            "Cannot invoke \"org.apache.kafka.connect.runtime.rest.entities.CreateConnectorRequest.name()\" because \"createRequest\" is null",
        ));
    };
    if let Some(unknown) = object.keys().find(|key| !matches!(key.as_str(), "name" | "config" | "initial_state")) {
        return Err(ApiError::internal(format!(
            "Unrecognized field \"{unknown}\" (class {CLASS}), not marked as ignorable (3 known properties: \"config\", \"name\", \"initial_state\")"
        )));
    }
    let name = match object.remove("name") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(name)) => name.trim().to_owned(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        Some(_) => return Err(ApiError::internal("Cannot deserialize value of type `java.lang.String`: \"name\" must be a text")),
    };
    let initial_state = match object.remove("initial_state") {
        None | Some(Value::Null) => None,
        Some(value) => Some(target(value.as_str().unwrap_or_default())?),
    };
    let config = match object.remove("config") {
        Some(Value::Object(object)) => config(object)?,
        None | Some(Value::Null) => return Err(ApiError::internal(NO_CONFIG)),
        Some(_) => {
            return Err(ApiError::internal(
                "Cannot deserialize value of type `java.util.LinkedHashMap<java.lang.String,java.lang.String>`: \"config\" must be an object",
            ));
        }
    };
    Ok(CreateConnector { name, config, initial_state })
}

/// As upstream, a state that is none is a body that cannot be read: 500.
fn target(text: &str) -> Result<Target, ApiError> {
    const CLASS: &str = "org.apache.kafka.connect.runtime.rest.entities.CreateConnectorRequest$InitialState";
    text.parse().map_err(|error| ApiError::internal(format!("Cannot construct instance of `{CLASS}`: {error}")))
}

impl<S: Send + Sync> FromRequest<S> for CreateConnector {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        create_connector(&json_bytes(request, state).await?)
    }
}

impl<S: Send + Sync> FromRequest<S> for ConfigBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match object(&json_bytes(request, state).await?, "java.util.LinkedHashMap<java.lang.String,java.lang.String>")? {
            Some(object) => Ok(Self(config(object)?)),
            None => Err(ApiError::internal(NO_CONFIG)),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for LevelBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match object(&json_bytes(request, state).await?, "java.util.LinkedHashMap<java.lang.String,java.lang.String>")? {
            Some(object) => Ok(Self(config(object)?.remove("level").flatten())),
            None => Err(ApiError::internal("Cannot invoke \"java.util.Map.get(Object)\" because \"levelMap\" is null")),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for OffsetsBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        const CLASS: &str = "org.apache.kafka.connect.runtime.rest.entities.ConnectorOffsets";
        match object(&json_bytes(request, state).await?, CLASS)? {
            Some(object) => offsets(object, CLASS),
            None => Err(ApiError::internal(format!("Cannot invoke \"{CLASS}.offsets()\" because \"offsets\" is null"))),
        }
    }
}
