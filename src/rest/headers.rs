//! Headers of answers that settings ask for: requests from other origins (as Jetty's `CrossOriginHandler`), and `response.http.headers.config`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};

use crate::rest::Api;
use crate::settings::rest::{Cors, HeaderRule, HeaderText};

/// Seconds for which browsers may remember what they may ask: Jetty's.
const MAX_AGE: HeaderValue = HeaderValue::from_static("60");

/// Adds the headers to whatever is answered.
pub(super) async fn added(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let settings = &api.herder.settings().rest;
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_preflight = request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.run(request).await;
    if let Some(cors) = &settings.cors {
        cross_origin(cors, origin, is_preflight, response.headers_mut());
    }
    configured(&settings.headers, api.herder.clock().now(), response.headers_mut());
    response
}

/// The answer to an origin that is not allowed is the same but for the headers that would allow the browser to show it.
fn cross_origin(cors: &Cors, origin: Option<HeaderValue>, is_preflight: bool, headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| origin.to_str().is_ok_and(|origin| cors.allows(origin))) else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if is_preflight {
        if let Ok(methods) = HeaderValue::try_from(&cors.methods) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
}

/// As upstream, what an answer says by itself is not replaced by a `set`.
fn configured(rules: &[HeaderRule], now: DateTime<Utc>, headers: &mut HeaderMap) {
    let mut wanted = HeaderMap::new();
    for HeaderRule { adds, name, value } in rules {
        let value = match value {
            HeaderText::Text(text) => HeaderValue::try_from(text),
            HeaderText::DateIn(millis) => {
                let at = TimeDelta::try_milliseconds(*millis).and_then(|ahead| now.checked_add_signed(ahead)).unwrap_or(now);
                HeaderValue::try_from(at.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
            }
        };
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value) else { continue };
        match (headers.contains_key(&name), adds) {
            (true, false) => {}
            (false, false) => drop(wanted.insert(name, value)),
            (_, true) => drop(wanted.append(name, value)),
        }
    }
    for (name, value) in wanted.iter() {
        headers.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_set_and_add() {
        let rule = |adds, name: &str, value: &str| HeaderRule { adds, name: name.to_owned(), value: HeaderText::Text(value.to_owned()) };
        let date = HeaderRule { adds: false, name: "Expires".to_owned(), value: HeaderText::DateIn(61_000) };
        let rules =
            [rule(false, "X-A", "1"), rule(false, "x-a", "2"), rule(true, "X-B", "1"), rule(true, "X-B", "2"), rule(false, "Content-Type", "text/html"), date];
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        configured(&rules, DateTime::UNIX_EPOCH, &mut headers);
        let got = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((got("X-A"), got("X-B"), got("Content-Type")), (vec!["2"], vec!["1", "2"], vec!["application/json"]));
        assert_eq!(got("Expires"), ["Thu, 01 Jan 1970 00:01:01 GMT"]);
    }
}
