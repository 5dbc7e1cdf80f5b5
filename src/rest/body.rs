//! What requests bring: JSON bodies as upstream's Jackson reads them.
//!
//! Values of a configuration may be texts, numbers, booleans or null. A body that cannot be read is answered with 500, as upstream; only the wrong content
//! type is 415.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde_json::error::Category;
use serde_json::value::RawValue;

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

/// The body's bytes. That its content type is JSON was seen to before; a body without one is none that can be read.
async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let is_typed = request.headers().contains_key(header::CONTENT_TYPE);
    let bytes = Bytes::from_request(request, state).await.map_err(|error| ApiError::new(error.status(), error.body_text()))?;
    if is_typed || bytes.is_empty() { Ok(bytes) } else { Err(ApiError::UNSUPPORTED_MEDIA_TYPE) }
}

/// The members of a JSON object as they are written; of two with the same name, the last.
type Members = BTreeMap<String, Box<RawValue>>;

/// A JSON object, or `None` for an empty body and for `null`.
fn object(bytes: &[u8], class: &str) -> Result<Option<Members>, ApiError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => ApiError::internal(format!("Cannot deserialize value of type `{class}`: the body is no JSON object")),
        _ => unreadable(&error),
    })
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    ApiError::internal(format!("the request's body is not valid JSON: {error}"))
}

/// A value as a text: numbers and booleans as they are written (`1.50` stays that), null is none.
fn text(key: &str, value: &RawValue) -> Result<Option<String>, ApiError> {
    let token = match value.get().as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b'"') => return serde_json::from_str(value.get()).map(Some).map_err(|error| unreadable(&error)),
        Some(b'[') => "Array value (token `JsonToken.START_ARRAY`)",
        Some(b'{') => "Object value (token `JsonToken.START_OBJECT`)",
        _ => return Ok(Some(value.get().to_owned())),
    };
    Err(ApiError::internal(format!("Cannot deserialize value of type `java.lang.String` from {token}: the value of \"{key}\" must be a text")))
}

fn config(object: &Members) -> Result<RawConfig, ApiError> {
    object.iter().map(|(key, value)| Ok((key.clone(), text(key, value)?))).collect()
}

fn offsets(mut object: Members, class: &str) -> Result<OffsetsBody, ApiError> {
    let offsets = object.remove("offsets");
    if let Some(unknown) = object.keys().next() {
        let message = format!("Unrecognized field \"{unknown}\" (class {class}), not marked as ignorable (one known property: \"offsets\")");
        return Err(ApiError::internal(message));
    }
    let offsets = offsets.map_or(Ok(None), |offsets| serde_json::from_str(offsets.get()));
    offsets.map(OffsetsBody).map_err(|error| ApiError::internal(format!("Cannot deserialize value of type `{class}`: {error}")))
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
    let mut member = |key: &str| object.remove(key).filter(|value| value.get() != "null");
    let name = member("name").map_or(Ok(None), |name| text("name", &name))?.map_or(String::new(), |name| name.trim().to_owned());
    let initial_state = member("initial_state").map(|state| target(&text("initial_state", &state)?.unwrap_or_default())).transpose()?;
    let Some(given) = member("config") else { return Err(ApiError::internal(NO_CONFIG)) };
    let members: Members = serde_json::from_str(given.get()).map_err(|error| match error.classify() {
        Category::Data => {
            ApiError::internal("Cannot deserialize value of type `java.util.LinkedHashMap<java.lang.String,java.lang.String>`: \"config\" must be an object")
        }
        _ => unreadable(&error),
    })?;
    let config = config(&members)?;
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
            Some(object) => Ok(Self(config(&object)?)),
            None => Err(ApiError::internal(NO_CONFIG)),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for LevelBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match object(&json_bytes(request, state).await?, "java.util.LinkedHashMap<java.lang.String,java.lang.String>")? {
            Some(object) => Ok(Self(config(&object)?.remove("level").flatten())),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn created(config: &str) -> Result<RawConfig, String> {
        create_connector(format!(r#"{{"name": " c ", "config": {config}}}"#).as_bytes()).map(|created| created.config).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn values_are_the_texts_that_were_written() {
        for (given, expected) in [
            (r#""a""#, Some("a")),
            (r#""\u00e9\ud83e\udd80\n\"""#, Some("\u{e9}\u{1f980}\n\"")),
            ("\"\"", Some("")),
            ("1", Some("1")),
            ("1.50", Some("1.50")),
            ("1e3", Some("1e3")),
            ("1E+2", Some("1E+2")),
            ("-0.0", Some("-0.0")),
            ("12345678901234567890123", Some("12345678901234567890123")),
            ("true", Some("true")),
            ("null", None),
        ] {
            let config = created(&format!(r#"{{"k": "before", "k":  {given} }}"#));
            assert_eq!(config, Ok(RawConfig::from([("k".to_owned(), expected.map(str::to_owned))])), "{given}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (config, says) in [
            (r#"{"k": ["a"]}"#, "START_ARRAY"),
            (r#"{"k": {"a": "b"}}"#, "START_OBJECT"),
            (r#""k""#, "must be an object"),
            ("null", "connectorConfig"),
            (r#"{"k": "\ud83e"}"#, "not valid JSON"),
            (r#"{"k": 01}"#, "not valid JSON"),
        ] {
            let refused = created(config).unwrap_err();
            assert!(refused.contains(says) && refused.contains("500"), "{config}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_through(texts in prop::collection::btree_map(".*", prop::option::of(".*"), 0..5)) {
            let body = serde_json::json!({"name": "c", "config": texts}).to_string();
            prop_assert_eq!(create_connector(body.as_bytes()).unwrap().config, texts);
        }

        #[test]
        fn no_body_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(create_connector(&bytes));
        }
    }
}
