//! Keys that decide what a store is asked for, and how: the requests of the real clients, at a server that writes them down.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use lakehead::connect::{Health, Props};
use lakehead::memory::Budget;
use lakehead::store::urls::{StoreKind, open};
use lakehead::store::{Chunk, Condition, Published};
use tokio::io::AsyncReadExt as _;

/// What an upload needs of a bucket or a container, written down.
#[derive(Debug, Default)]
struct Log {
    /// Method, URL and credentials of each request, those for a proxy too, and its body where that is short.
    seen: Vec<String>,
    /// So many requests are answered with 503.
    refuses: usize,
}

type Shared = Arc<Mutex<Log>>;

async fn answer(State(log): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let said = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let is_refused = {
        let mut log = log.lock().expect("nothing panics in here");
        let text = if body.len() < 2_000 { String::from_utf8_lossy(&body).into_owned() } else { format!("{} bytes", body.len()) };
        log.seen.push(format!("{method} {uri} {}{} {text}", said(header::AUTHORIZATION), said(header::PROXY_AUTHORIZATION)));
        let is_refused = log.refuses > 0;
        log.refuses = log.refuses.saturating_sub(1);
        is_refused
    };
    if is_refused {
        return (StatusCode::SERVICE_UNAVAILABLE, "<Error><Code>SlowDown</Code></Error>").into_response();
    }
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let tag = [(header::ETAG, "\"tag\"")];
    if path.ends_with("/token") {
        return ([(header::CONTENT_TYPE, "application/json")], r#"{"access_token":"given","expires_in":3600,"token_type":"Bearer"}"#).into_response();
    }
    if method == Method::POST && query.contains("uploads") {
        let begun = "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>1</UploadId></InitiateMultipartUploadResult>";
        return begun.into_response();
    }
    match method {
        Method::POST => "<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>".into_response(),
        Method::PUT if query.contains("comp=") => (StatusCode::CREATED, tag).into_response(),
        Method::PUT => (StatusCode::OK, tag).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The requests of one object of that many bytes, and how long it took.
async fn requests(kind: StoreKind, settings: &[(&str, &str)], bytes: usize, refuses: usize) -> (Vec<String>, Duration) {
    let log = Shared::new(Mutex::new(Log { refuses, ..Log::default() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = Router::new().fallback(answer).layer(axum::extract::DefaultBodyLimit::disable()).with_state(Arc::clone(&log));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut props: Props = settings.iter().map(|(key, value)| ((*key).to_owned(), value.replace("{server}", &format!("http://{address}")))).collect();
    props.entry("store.url".to_owned()).or_insert(format!("http://{address}"));
    let began = Instant::now();
    let written = async {
        let sink = open(kind, &props, Health::default()).expect("a valid configuration");
        let mut upload = sink.open("topics/t/o".to_owned(), "text/plain", Vec::new());
        let budget = Budget::new(1 << 30);
        upload.write(Chunk { bytes: vec![7_u8; bytes].into(), permit: budget.take(bytes as u64) }).await.expect("room");
        upload.seal(Vec::new()).await.expect("the store takes it");
        assert_eq!(upload.publish(Condition::Overwrite).await.expect("the store shows it"), Published::Visible);
    };
    tokio::time::timeout(Duration::from_secs(60), written).await.unwrap_or_else(|_| panic!("{settings:?}: not within a minute: {log:?}"));
    let took = began.elapsed();
    server.abort();
    let seen = std::mem::take(&mut log.lock().expect("nothing panics in here").seen);
    (seen, took)
}

/// Settings of the store without the key in question, by the key's beginning.
fn base(kind: StoreKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        StoreKind::S3 => &[("s3.bucket.name", "lake"), ("aws.access.key.id", "ID1"), ("aws.secret.access.key", "secret")],
        StoreKind::Gcs => &[("gcs.bucket.name", "lake"), ("gcs.credentials.json", GOOGLE)],
        StoreKind::AzureBlob => &[("azblob.account.name", "account"), ("azblob.account.key", "c2VjcmV0")],
        StoreKind::AzureDataLake => &[("azure.datalake.gen2.account.name", "account"), ("azure.datalake.gen2.access.key", "c2VjcmV0")],
        StoreKind::Url => &[],
    }
}

const GOOGLE: &str = r#"{"private_key":"k","private_key_id":"i","client_email":"e","disable_oauth":true}"#;

/// What stands in the first requests with the key set, and does not without.
#[tokio::test]
async fn where_objects_go_and_who_asks() {
    let cases: &[(StoreKind, &[(&str, &str)], &str)] = &[
        (StoreKind::S3, &[("s3.bucket.name", "other")], "PUT /other/topics/t/o"),
        (StoreKind::S3, &[("s3.region", "eu-north-1")], "/eu-north-1/s3/aws4_request"),
        (StoreKind::S3, &[("aws.access.key.id", "ID2")], "Credential=ID2/"),
        (StoreKind::Gcs, &[("gcs.bucket.name", "other")], "PUT /other/topics%2Ft%2Fo"),
        (StoreKind::AzureBlob, &[("azblob.container.name", "other")], "PUT /other/topics/t/o"),
        (StoreKind::AzureBlob, &[("azblob.account.name", "account2")], "SharedKey account2:"),
        (StoreKind::AzureBlob, &[("azblob.account.key", ""), ("azblob.sas.token", "sv=1&sig=c2ln")], "sig=c2ln"),
        (StoreKind::AzureDataLake, &[("topics.dir", "files/raw")], "PUT /files/topics/t/o"),
        (StoreKind::AzureDataLake, &[("azure.datalake.gen2.account.name", "account2")], "SharedKey account2:"),
        (StoreKind::AzureDataLake, &[("azure.datalake.gen2.access.key", ""), ("azure.datalake.gen2.sas.key", "sv=1&sig=c2ln")], "sig=c2ln"),
        (
            StoreKind::AzureDataLake,
            &[
                ("azure.datalake.gen2.client.id", "app"),
                ("azure.datalake.gen2.client.key", "word"),
                ("azure.datalake.gen2.token.endpoint", "{server}/tenant-1/oauth2/token"),
            ],
            "POST /tenant-1/oauth2/v2.0/token  client_id=app&",
        ),
    ];
    for (kind, settings, text) in cases {
        let set: Vec<_> = base(*kind).iter().chain(*settings).copied().collect();
        let (before, _) = requests(*kind, base(*kind), 10, 0).await;
        let (after, _) = requests(*kind, &set, 10, 0).await;
        let says = |requests: &[String]| requests.iter().any(|request| request.contains(text));
        assert!(!says(&before) && says(&after), "{settings:?}: {text}\n{before:#?}\n{after:#?}");
    }
}

/// `s3.part.size`, `gcs.part.size`, `azblob.block.size` and `lakehead.store.part.size`: 12 MiB are two parts of 8 MiB, or three of 5 MiB.
#[tokio::test]
async fn sizes_of_parts() {
    for (kind, key) in [
        (StoreKind::S3, "s3.part.size"),
        (StoreKind::Gcs, "gcs.part.size"),
        (StoreKind::AzureBlob, "azblob.block.size"),
        (StoreKind::AzureDataLake, "lakehead.store.part.size"),
    ] {
        for (more, expected) in [(None, 2), (Some((key, "5242880")), 3)] {
            let settings: Vec<_> = base(kind).iter().copied().chain(more).collect();
            let (seen, _) = requests(kind, &settings, 12 << 20, 0).await;
            let parts = seen.iter().filter(|request| request.contains("partNumber=") || request.contains("comp=block&"));
            assert_eq!(parts.count(), expected, "{settings:?}: {seen:#?}");
        }
    }
}

/// `s3.retry.backoff.ms`, `gcs.retry.backoff.ms` and the `azblob.retry.*`: the least that lies between a request that failed and the next.
///
/// A client tries three times by itself, in well under a second; each wait is between half and all of what is set.
#[tokio::test]
async fn waits_between_attempts() {
    let cases: &[(StoreKind, &[(&str, &str)], u64, u64)] = &[
        (StoreKind::S3, &[], 0, 4_000),
        (StoreKind::S3, &[("s3.retry.backoff.ms", "8000")], 4_000, 20_000),
        (StoreKind::Gcs, &[("gcs.retry.backoff.ms", "8000")], 4_000, 20_000),
        (StoreKind::AzureBlob, &[("azblob.retry.backoff.ms", "8000")], 4_000, 20_000),
        (StoreKind::AzureBlob, &[("azblob.retry.type", "fixed")], 2_000, 20_000),
        (StoreKind::AzureBlob, &[("azblob.retry.backoff.ms", "60000"), ("azblob.retry.max.backoff.ms", "200")], 0, 20_000),
    ];
    let all = cases.iter().map(|(kind, settings, least, most)| async move {
        let settings: Vec<_> = base(*kind).iter().chain(*settings).copied().collect();
        let (seen, took) = requests(*kind, &settings, 10, 3).await;
        assert_eq!(seen.len(), 4, "{settings:?}: {seen:#?}");
        let limits = Duration::from_millis(*least)..Duration::from_millis(*most);
        assert!(limits.contains(&took), "{settings:?} took {took:?}");
    });
    futures::future::join_all(all).await;
}

/// `gcs.credentials.path` and `gcs.proxy.*`, `azblob.proxy.*`: what is named is used, as its error or its way tells.
#[tokio::test]
async fn files_of_credentials_and_proxies() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), GOOGLE).expect("room");
    let path = file.path().display().to_string();
    let (seen, _) = requests(StoreKind::Gcs, &[("gcs.bucket.name", "lake"), ("gcs.credentials.path", &path)], 10, 0).await;
    assert!(seen.iter().any(|request| request.starts_with("PUT /lake/topics%2Ft%2Fo")), "{seen:#?}");
    for (kind, prefix) in [(StoreKind::Gcs, "gcs.proxy"), (StoreKind::AzureBlob, "azblob.proxy"), (StoreKind::S3, "s3.proxy")] {
        // A name that only the proxy knows: whatever comes to the server came through it.
        let keys = ["url", "user", "password"].map(|name| format!("{prefix}.{name}"));
        let proxy = [(keys[0].as_str(), "{server}"), (keys[1].as_str(), "me"), (keys[2].as_str(), "word"), ("store.url", "http://store.invalid")];
        let settings: Vec<_> = base(kind).iter().copied().chain(proxy).collect();
        let (seen, _) = requests(kind, &settings, 10, 0).await;
        let basic = "Basic bWU6d29yZA=="; // me:word
        assert!(seen.iter().any(|request| request.starts_with("PUT http://store.invalid/") && request.contains(basic)), "{prefix}: {seen:#?}");
    }
}

/// `azblob.connection.timeout.ms`: a server whose queue of connections is full does not answer, and how soon that is seen is the setting.
#[tokio::test]
async fn time_limits_of_connections() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await {
        waiting.push(connection);
        assert!(waiting.len() < 100, "the queue never fills");
    }
    for (more, is_seen) in [(None, false), (Some(("azblob.connection.timeout.ms", "100")), true)] {
        let url = format!("http://{address}");
        let props = base(StoreKind::AzureBlob).iter().copied().chain([("store.url", url.as_str())]).chain(more);
        let props: Props = props.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let health = Health::default();
        let sink = open(StoreKind::AzureBlob, &props, health.clone()).expect("a valid configuration");
        let look = sink.exists("o");
        tokio::pin!(look);
        assert!(tokio::time::timeout(Duration::from_secs(3), &mut look).await.is_err(), "nobody answers");
        let trouble = health.trouble();
        assert_eq!(trouble.is_some(), is_seen, "{more:?}: {trouble:?}");
    }
}

/// `s3.path.style.access.enabled` and `s3.wan.mode`: the host that a proxy is asked for.
#[tokio::test]
async fn hosts_of_buckets() {
    let in_host = ("s3.path.style.access.enabled", "false");
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("store.url", "http://store.invalid")], "PUT http://store.invalid/lake/o HTTP"),
        (&[("store.url", "http://store.invalid"), in_host], "PUT http://lake.store.invalid/o HTTP"),
        (&[in_host], "CONNECT lake.s3.us-west-2.amazonaws.com:443 HTTP"),
        (&[in_host, ("s3.wan.mode", "true")], "CONNECT lake.s3-accelerate.amazonaws.com:443 HTTP"),
    ];
    for (settings, expected) in cases {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = format!("http://{}", listener.local_addr().expect("an address"));
        let props = base(StoreKind::S3).iter().chain(settings).copied().chain([("s3.proxy.url", proxy.as_str())]);
        let props: Props = props.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let sink = open(StoreKind::S3, &props, Health::default()).expect("a valid configuration");
        let mut upload = sink.open("o".to_owned(), "text/plain", Vec::new());
        let budget = Budget::new(1 << 20);
        upload.write(Chunk { bytes: vec![7_u8; 10].into(), permit: budget.take(10) }).await.expect("room");
        upload.seal(Vec::new()).await.expect("a small object waits for its one request");
        let mut head = [0; 100];
        let asked = async {
            let (mut client, _) = listener.accept().await.expect("a client");
            client.read_exact(&mut head).await.expect("a request")
        };
        // Nothing is answered: the upload is given up once it is known what it asks for.
        tokio::select! {
            asked = tokio::time::timeout(Duration::from_secs(30), asked) => drop(asked.expect("a request within the limit")),
            _ = upload.publish(Condition::Overwrite) => panic!("nobody answered"),
        }
        let line = String::from_utf8_lossy(&head).into_owned();
        assert!(line.starts_with(expected), "{settings:?}: {line}");
    }
}
