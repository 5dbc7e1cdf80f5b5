//! The real S3 client against a bucket that answers with a status: what a task's start makes of it.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse as _;
use lakehead::connect::{Props, TaskError};
use lakehead::store::urls::Urls;

use super::play::{Seen, task, world};
use super::writer::NOON;

/// Starts a task whose bucket answers `HEAD` with that status; a bucket that is not there answers everything so.
pub(crate) fn start(props: &Props, status: u16) -> Result<Option<Seen>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let started = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
        let app = Router::new().fallback(move |method: Method| async move { answer(&method, status) });
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let mut props = props.clone();
        for (key, value) in [("store.url", format!("http://{address}")), ("aws.access.key.id", "id".into()), ("aws.secret.access.key", "secret".into())] {
            props.insert(key.to_owned(), value);
        }
        let started = tokio::time::timeout(std::time::Duration::from_secs(20), begin(&props)).await;
        server.abort();
        started.map_err(|_| "the start waits for the bucket".to_owned())
    })?;
    Ok(started.err().map(|error| Seen { step: 0, kind: error.kind, message: error.to_string(), rewind: std::collections::BTreeMap::new(), place: None }))
}

async fn begin(props: &Props) -> Result<(), TaskError> {
    task(props, world(NOON, Arc::new(Urls)), false)?.start().await
}

/// What S3 answers: the status to `HEAD`, and to everything when there is no bucket; else an upload can be begun and taken back.
fn answer(method: &Method, status: StatusCode) -> axum::response::Response {
    let xml = |text: String| ([(header::CONTENT_TYPE, "application/xml")], text);
    let begun = "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>1</UploadId></InitiateMultipartUploadResult>";
    if method == Method::HEAD {
        return status.into_response();
    }
    if status == StatusCode::NOT_FOUND {
        return (status, xml("<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>".to_owned())).into_response();
    }
    match *method {
        Method::POST => xml(begun.to_owned()).into_response(),
        Method::DELETE => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::OK.into_response(),
    }
}
