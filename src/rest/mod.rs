//! The Connect REST API over the herder's handle: paths, status codes, bodies and messages of Apache Kafka 4.3.
//!
//! Parts: [`root`] (`/`, `/health`), [`connectors`], [`plugins`] (`/connector-plugins`), [`model`] (the bodies), [`error`] (every answer that is an error),
//! [`body`] (what requests bring), [`forward`] (requests that another worker answers), [`loggers`] (`/admin/loggers`), [`access`] (who may use it), [`headers`]
//! (what settings add to answers), [`server`] (listening and ending), [`https`].
//!
//! Nothing here knows of workers, Kafka or stores.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use hyper::ext::ReasonPhrase;

use crate::runtime::HerderHandle;
use crate::settings::Scheme;
use crate::telemetry::Loggers;

mod access;
pub mod body;
pub mod connectors;
pub mod error;
pub mod forward;
pub mod headers;
mod https;
pub mod loggers;
pub mod model;
pub mod plugins;
pub mod root;
pub mod server;

use error::ApiError;
pub use server::{Bound, Server};

/// Upstream's `rest.api.timeout.ms` default: how long a request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    /// The herder.
    pub herder: HerderHandle,
    /// How long a request may take.
    pub timeout: Duration,
    /// The process's loggers.
    pub loggers: Loggers,
    /// How clients speak to the listener that serves it.
    pub scheme: Scheme,
}

/// The API as a service, with the admin endpoints where these have no listeners of their own.
pub fn router(api: Arc<Api>) -> Router {
    let mut routes = Router::new()
        .route("/", get(root::server_info))
        .route("/health", get(root::health))
        .route("/connectors", get(connectors::list).post(connectors::create))
        .route("/connectors/{connector}", get(connectors::info).delete(connectors::delete))
        .route("/connectors/{connector}/config", get(connectors::config).put(connectors::put_config).patch(connectors::patch_config))
        .route("/connectors/{connector}/status", get(connectors::status))
        .route("/connectors/{connector}/restart", post(connectors::restart))
        .route("/connectors/{connector}/pause", put(connectors::pause))
        .route("/connectors/{connector}/resume", put(connectors::resume))
        .route("/connectors/{connector}/stop", put(connectors::stop))
        .route("/connectors/{connector}/topics", get(connectors::topics))
        .route("/connectors/{connector}/topics/reset", put(connectors::reset_topics))
        .route("/connectors/{connector}/offsets", get(connectors::offsets).patch(connectors::alter_offsets).delete(connectors::reset_offsets))
        .route("/connectors/{connector}/tasks", get(connectors::tasks).post(connectors::internal_tasks))
        .route("/connectors/{connector}/fence", put(connectors::internal_fence))
        .route("/connectors/{connector}/tasks/{task}/status", get(connectors::task_status))
        .route("/connectors/{connector}/tasks/{task}/restart", post(connectors::restart_task))
        .route("/connector-plugins", get(plugins::list))
        .route("/connector-plugins/{plugin}/config", get(plugins::config))
        .route("/connector-plugins/{plugin}/config/validate", put(plugins::validate));
    if api.herder.settings().rest.admin_listeners.is_none() {
        routes = routes.merge(admin_routes());
    }
    // A layer of a router sees a request after it was matched. This one changes the method, as those of `regular` do, so it is around a router of its own.
    let routes = Router::new()
        .fallback_service(answering(routes.layer(from_fn_with_state(Arc::clone(&api), forward::sent_on)), &api))
        .layer(from_fn_with_state(Arc::clone(&api), access::checked));
    regular(routes, &api).layer(from_fn_with_state(api, headers::added))
}

/// The admin endpoints alone, for listeners of their own. As upstream, settings that are about users, browsers and headers are not about them.
pub fn admin_router(api: &Arc<Api>) -> Router {
    regular(answering(admin_routes(), api), api)
}

fn admin_routes() -> Router<Arc<Api>> {
    Router::new().route("/admin/loggers", get(loggers::list)).route("/admin/loggers/{logger}", get(loggers::get).put(loggers::set))
}

/// The routes, with an answer for whatever is not among them.
fn answering(routes: Router<Arc<Api>>, api: &Arc<Api>) -> Router {
    routes.method_not_allowed_fallback(method_not_allowed).fallback(|| async { ApiError::NOT_FOUND }).with_state(Arc::clone(api))
}

/// What holds for every path.
fn regular(routes: Router, api: &Arc<Api>) -> Router {
    Router::new()
        .fallback_service(routes)
        .layer(from_fn(options))
        .layer(from_fn(acceptable))
        .layer(from_fn(consumable))
        .layer(from_fn(regular_path))
        .layer(from_fn_with_state(Arc::clone(api), in_time))
        .layer(map_response(phrased))
}

async fn method_not_allowed() -> ApiError {
    ApiError::METHOD_NOT_ALLOWED
}

/// Trailing slashes are taken as upstream does; so is its refusal of empty segments, encoded slashes and what is no UTF-8, which come as an HTML page from its
/// HTTP server.
async fn regular_path(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.contains("//") || path.to_ascii_lowercase().contains("%2f") || percent_encoding::percent_decode_str(path).decode_utf8().is_err() {
        let page = format!("<html><head><title>Error 400</title></head><body><h2>HTTP ERROR 400 Ambiguous URI path</h2><p>{}</p></body></html>", escape(path));
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/html;charset=iso-8859-1")], page).into_response();
    }
    if path.len() > 1 && path.ends_with('/') {
        let trimmed = path.trim_end_matches('/');
        let uri = match request.uri().query() {
            Some(query) => format!("{trimmed}?{query}").parse(),
            None => trimmed.parse(),
        };
        if let Ok(uri) = uri {
            *request.uri_mut() = uri;
        }
    }
    next.run(request).await
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `OPTIONS` answers with the methods of the path.
async fn options(request: Request, next: Next) -> Response {
    let wanted = request.method() == Method::OPTIONS;
    let response = next.run(request).await;
    match response.headers().get(header::ALLOW) {
        Some(allow) if wanted && response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            let methods = format!("{},OPTIONS", allow.to_str().unwrap_or_default());
            let allow = HeaderValue::try_from(&methods).unwrap_or(HeaderValue::from_static("OPTIONS"));
            (StatusCode::OK, [(header::ALLOW, allow), (header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))], methods.replace(',', ", "))
                .into_response()
        }
        _ => response,
    }
}

/// Every answer is JSON: a client that takes no JSON gets 406, where the path exists.
async fn acceptable(request: Request, next: Next) -> Response {
    let takes_json = takes_json(request.headers()) || request.method() == Method::OPTIONS;
    if takes_json {
        return next.run(request).await;
    }
    refused(request, next, ApiError::NOT_ACCEPTABLE).await
}

/// Whatever a request says that it brings is JSON, a body or none, where upstream's resources say so: those that workers use between them and the root do not.
async fn consumable(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_free = matches!(path, "/" | "/health")
        || path.ends_with("/fence")
        || (path.ends_with("/tasks") && request.method() == Method::POST)
        || request.method() == Method::OPTIONS;
    let kind = request.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match kind {
        Some(kind) if !is_free && !JSON_RANGES.iter().any(|taken| kind.eq_ignore_ascii_case(taken)) => {
            refused(request, next, ApiError::UNSUPPORTED_MEDIA_TYPE).await
        }
        _ => next.run(request).await,
    }
}

/// Media types that mean JSON.
const JSON_RANGES: [&str; 3] = ["application/json", "application/*", "*/*"];

/// The error, where there is such a path and it takes this method. Nothing may be changed for a client that gets one, so the request goes on as OPTIONS, which
/// only tells what there is.
async fn refused(request: Request, next: Next, error: ApiError) -> Response {
    let method = request.method().clone();
    let mut probe = request;
    *probe.method_mut() = Method::OPTIONS;
    let found = next.run(probe).await;
    let allowed = found.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok()).unwrap_or_default();
    let is_allowed = allowed.split(',').any(|allowed| allowed.trim() == method.as_str());
    match found.status() {
        StatusCode::NOT_FOUND => found,
        StatusCode::OK if !is_allowed => ApiError::METHOD_NOT_ALLOWED.into_response(),
        _ => error.into_response(),
    }
}

/// A reason that Jetty gives in other words than the standard: clients print it.
async fn phrased(mut response: Response) -> Response {
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        response.extensions_mut().insert(ReasonPhrase::from_static(b"Server Error"));
    }
    response
}

fn takes_json(headers: &HeaderMap) -> bool {
    let mut accept = headers.get_all(header::ACCEPT).iter().peekable();
    accept.peek().is_none()
        || accept.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|range| {
            let kind = range.split(';').next().unwrap_or_default().trim();
            JSON_RANGES.iter().chain(&["*", ""]).any(|taken| kind.eq_ignore_ascii_case(taken))
        })
}

/// A request that takes too long is answered with an error; what it asked for goes on.
async fn in_time(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Request timed out. The worker is still at it; ask for the status to see how it goes.")
            .into_response(),
    }
}
