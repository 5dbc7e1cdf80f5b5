//! Requests that another worker has to answer are sent on to it: the leader, or the owner of a connector or task. Upstream's `HerderRequestHandler`.
//!
//! A request comes with `forward=true` when it was sent on once, and with `forward=false` when that was the last time: the leader may send it on to an owner, and
//! nobody further, so that workers who disagree on who leads do not pass it round.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::rest::Api;
use crate::rest::connectors::address;
use crate::rest::error::{ApiError, Elsewhere};

/// Bytes of a request's body that are kept to be sent on.
const BODY_BYTES: usize = 16 << 20;

/// How often a request may still be sent on.
fn left(query: &str) -> u8 {
    match url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "forward").map(|(_, value)| value.eq_ignore_ascii_case("true")) {
        None => 2,
        Some(true) => 1,
        Some(false) => 0,
    }
}

/// Answers with the answer of the worker that can give one.
pub async fn sent_on(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if api.herder.is_alone() || request.method().is_safe() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES).await else {
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "HTTP 413 Request Entity Too Large").into_response();
    };
    let response = next.run(Request::from_parts(head.clone(), Body::from(body.clone()))).await;
    let query = head.uri.query().unwrap_or_default();
    let (Some(Elsewhere(url)), left @ 1..) = (response.extensions().get().cloned(), left(query)) else { return response };
    let target = target(head.uri.path(), query, left);
    tracing::debug!(url, target, "a request is sent on");
    match api.herder.peers().forward(&url, head.method, &target, &head.headers, body.to_vec()).await {
        Ok(answered) => {
            let location = location(&api, answered.status, &head.headers, &answered.body);
            let mut response = as_answered(answered.status, answered.content_type, answered.body);
            if let Some(location) = location {
                drop(response.headers_mut().insert(header::LOCATION, location));
            }
            response
        }
        Err(why) => ApiError::internal(format!("IO Error trying to forward REST request: {why}")).into_response(),
    }
}

/// The same path and query for a worker that may send it on once less.
fn target(path: &str, query: &str, left: u8) -> String {
    let mut more = url::form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    more.append_pair("forward", if left == 2 { "true" } else { "false" });
    more.extend_pairs(url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != "forward"));
    more.finish()
}

/// Where a connector that was made elsewhere is found: here, as upstream.
fn location(api: &Api, status: u16, headers: &HeaderMap, body: &[u8]) -> Option<HeaderValue> {
    if status != StatusCode::CREATED {
        return None;
    }
    let made: serde_json::Value = serde_json::from_slice(body).ok()?;
    address(api, headers, made["name"].as_str()?)
}

fn as_answered(status: u16, content_type: Option<HeaderValue>, body: Vec<u8>) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response();
    match content_type {
        Some(content_type) => drop(response.headers_mut().insert(header::CONTENT_TYPE, content_type)),
        None => drop(response.headers_mut().remove(header::CONTENT_TYPE)),
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{left, target};

    #[test]
    fn a_request_is_sent_on_twice_at_most() {
        for (query, expected) in [("", 2), ("includeTasks=true", 2), ("forward=true", 1), ("a=b&forward=true", 1), ("forward=false", 0), ("forward=", 0)] {
            assert_eq!(left(query), expected, "{query}");
        }
        assert_eq!(target("/connectors/a%20b/restart", "includeTasks=true", 2), "/connectors/a%20b/restart?forward=true&includeTasks=true");
        assert_eq!(target("/connectors/a", "forward=true", 1), "/connectors/a?forward=false");
    }
}
