//! Every answer that is an error: `{"error_code", "message"}`, upstream's `ErrorMessage` and `ConnectExceptionMapper`.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::runtime::HerderError;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: Cow<'static, str>,
    /// The worker that can answer the request.
    elsewhere: Option<String>,
    /// Answered without a `Content-Type`, as upstream where no resource of its own makes the answer; the body is the same JSON.
    is_untyped: bool,
}

/// Where a request is to be sent on to, beside an answer that says that it was not done here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere(
    /// The base URL of that worker's REST API.
    pub String,
);

const CONFLICTING: &str = "Cannot complete request because of a conflicting operation (e.g. worker rebalance)";

#[derive(Serialize)]
struct Body<'a> {
    error_code: u16,
    message: &'a str,
}

impl ApiError {
    /// There is no such path.
    pub const NOT_FOUND: Self = Self::untyped(StatusCode::NOT_FOUND, "HTTP 404 Not Found");
    /// The path does not take this method.
    pub const METHOD_NOT_ALLOWED: Self = Self::untyped(StatusCode::METHOD_NOT_ALLOWED, "HTTP 405 Method Not Allowed");
    /// The client takes no JSON.
    pub const NOT_ACCEPTABLE: Self = Self::untyped(StatusCode::NOT_ACCEPTABLE, "HTTP 406 Not Acceptable");
    /// What the request brings is no JSON.
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self::untyped(StatusCode::UNSUPPORTED_MEDIA_TYPE, "HTTP 415 Unsupported Media Type");

    const fn untyped(status: StatusCode, message: &'static str) -> Self {
        Self { status, message: Cow::Borrowed(message), elsewhere: None, is_untyped: true }
    }

    /// An error with that status and message.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), elsewhere: None, is_untyped: false }
    }

    /// 500 with that message: what upstream answers to everything that it did not foresee, unreadable bodies included.
    #[must_use]
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// 400 with that message.
    #[must_use]
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl From<HerderError> for ApiError {
    fn from(error: HerderError) -> Self {
        match error {
            HerderError::NotFound(message) => Self::new(StatusCode::NOT_FOUND, message),
            HerderError::Conflict(message) => Self::new(StatusCode::CONFLICT, message),
            HerderError::BadRequest(message) => Self::bad_request(message),
            HerderError::Internal(message) => Self::internal(message),
            // Whoever sent the request on already has sent it to the wrong place: the group is about to agree anew.
            HerderError::Elsewhere(url) => Self { elsewhere: Some(url), ..Self::new(StatusCode::CONFLICT, CONFLICTING) },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body { error_code: self.status.as_u16(), message: &self.message };
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.is_untyped {
            let _: Option<HeaderValue> = response.headers_mut().remove(header::CONTENT_TYPE);
        }
        if let Some(url) = self.elsewhere {
            response.extensions_mut().insert(Elsewhere(url));
        }
        response
    }
}
