//! Who may use the API: upstream's `JaasBasicAuthFilter`, to the letter, which has no `WWW-Authenticate` in its answer and lets requests between workers
//! pass, as these are signed. Like there, a path or method that does not exist is answered as such, whoever asks.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::rest::Api;
use crate::rest::error::ApiError;
use crate::settings::users::Users;

/// As Java decodes: the padding may be missing, and bits that are too many do not matter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// Lets a request pass, or answers that its sender may not.
pub(super) async fn checked(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let Some(users) = &api.herder.settings().rest.users else { return next.run(request).await };
    if is_internal(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    let refusal = match access(users, request.headers()) {
        Ok(()) => return next.run(request).await,
        Err(refusal) => refusal,
    };
    // Nothing is done for this sender, so the request goes on as OPTIONS, which only tells whether there is such a path, and with which methods.
    let method = std::mem::replace(request.method_mut(), Method::OPTIONS);
    let probed = next.run(request).await;
    let allowed = probed.headers().get(header::ALLOW).and_then(|allowed| allowed.to_str().ok()).unwrap_or_default();
    let is_there = method == Method::OPTIONS || allowed.split(',').any(|allowed| allowed.trim() == method.as_str());
    match probed.status() {
        StatusCode::NOT_FOUND => probed,
        StatusCode::METHOD_NOT_ALLOWED if !is_there => probed,
        _ => refusal.answer(&method),
    }
}

/// What workers send each other: task configurations, and fencing.
fn is_internal(method: &Method, path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').split('/');
    let last = match (parts.next(), parts.next().filter(|connector| !connector.is_empty())) {
        (Some("connectors"), Some(_)) => parts.next(),
        _ => None,
    };
    let is_last = parts.all(str::is_empty);
    is_last && ((method == Method::POST && last == Some("tasks")) || (method == Method::PUT && last == Some("fence")))
}

/// Why a request does not pass.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Nobody who is known.
    Stranger,
    /// Base64 is expected: 500 with Java's words.
    Unreadable(String),
}

impl Refusal {
    fn answer(self, method: &Method) -> Response {
        match self {
            Self::Stranger => {
                let kind = HeaderValue::from_static(if method == Method::OPTIONS { "text/plain" } else { "application/json" });
                (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, kind)], "User cannot access the resource.").into_response()
            }
            Self::Unreadable(why) => ApiError::internal(why).into_response(),
        }
    }
}

fn access(users: &Users, headers: &HeaderMap) -> Result<(), Refusal> {
    let given: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let credentials = credentials(&given.join(","))?;
    let credentials = credentials.as_deref().and_then(|text| text.split_once(':')).filter(|(user, _)| !user.is_empty());
    if users.accept(credentials) { Ok(()) } else { Err(Refusal::Stranger) }
}

/// User and password as they were before they were encoded, if that is what the header has.
fn credentials(header: &str) -> Result<Option<String>, Refusal> {
    let Some((_, encoded)) = header.split_once(' ').filter(|(method, _)| method.eq_ignore_ascii_case("basic")) else { return Ok(None) };
    let is_of_base64 = |c: &char| c.is_ascii_alphanumeric() || "+/=".contains(*c);
    let why = || match encoded.chars().find(|c| !is_of_base64(c)) {
        Some(c) => format!("Illegal base64 character {:x}", u32::from(c)),
        None => "Input byte array has wrong 4-byte ending unit".to_owned(),
    };
    let bytes = BASE64.decode(encoded).map_err(|_| Refusal::Unreadable(why()))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_between_workers_pass() {
        for (method, path, passes) in [
            (Method::POST, "/connectors/c/tasks", true),
            (Method::POST, "/connectors/a%20b/tasks/", true),
            (Method::PUT, "/connectors/c/fence", true),
            (Method::GET, "/connectors/c/tasks", false),
            (Method::PUT, "/connectors/c/tasks", false),
            (Method::POST, "/connectors/c/fence", false),
            (Method::POST, "/connectors/c/tasks/0/restart", false),
            (Method::POST, "/connectors/tasks", false),
            (Method::POST, "/connectors//tasks", false),
            (Method::POST, "/connectors", false),
            (Method::PUT, "/admin/c/fence", false),
        ] {
            assert_eq!(is_internal(&method, path), passes, "{method} {path}");
        }
    }

    #[test]
    fn credentials_are_read_as_java_reads_them() {
        let unreadable = |why: &str| Err(Refusal::Unreadable(why.to_owned()));
        for (header, expected) in [
            ("Basic YWxpY2U6d29uZGVyPWxhbmQ=", Ok(Some("alice:wonder=land".to_owned()))),
            ("bASIC YWxpY2U6d29uZGVyPWxhbmQ", Ok(Some("alice:wonder=land".to_owned()))),
            ("Basic YTpi,Basic YTpi", unreadable("Illegal base64 character 2c")),
            ("Basic  YTpi", unreadable("Illegal base64 character 20")),
            ("Basic !!!", unreadable("Illegal base64 character 21")),
            ("Basic =", unreadable("Input byte array has wrong 4-byte ending unit")),
            ("Basic", Ok(None)),
            (" YTpi", Ok(None)),
            ("Bearer YTpi", Ok(None)),
            ("", Ok(None)),
        ] {
            assert_eq!(credentials(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn every_pair_is_read_and_no_header_stops_the_reader(user in "[^:]{1,8}", password in ".{0,8}", header in ".{0,20}") {
            let pair = format!("{user}:{password}");
            prop_assert_eq!(credentials(&format!("Basic {}", BASE64.encode(&pair))), Ok(Some(pair)));
            drop(credentials(&format!("Basic {header}")));
        }
    }
}
