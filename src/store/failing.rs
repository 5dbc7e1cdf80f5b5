//! An S3 in memory that fails as a test says, in virtual time: no socket, so that a paused clock moves only when everybody waits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::client::Opened;
use super::headers::{Always, Dress, Signer};
use super::objects::{Extras, Flavor, Objects, Place, Tuning};
use super::patience::Patience;
use super::sweep::{Bucket, BucketUploads};
use crate::connect::Health;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Put,
    Create,
    Part,
    Complete,
    Head,
    Abort,
    List,
    Delete,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is carried out and answered.
    Done,
    /// The same, after a while.
    Slow(Duration),
    /// Nobody is there.
    Refused,
    /// It is answered with this status and code, and not carried out.
    Answer(u16, &'static str),
    /// It is carried out, and the connection cut.
    Lost,
    /// It is swallowed.
    Hangs,
    /// It is carried out, and its answer swallowed.
    DoneAndHangs,
}

type Script = Box<dyn FnMut(Ask) -> Fate + Send>;

#[derive(Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, (Metadata, Vec<u8>)>,
    /// Key, metadata and parts by number.
    pub(super) uploads: BTreeMap<String, (String, Metadata, BTreeMap<u32, Vec<u8>>)>,
    pub(super) asked: Vec<Ask>,
    script: Option<Script>,
    /// Conditions are not heeded.
    pub(super) ignores_conditions: bool,
    started: u32,
}

type Metadata = Vec<(String, String)>;

/// The store. Clones are one.
#[derive(Clone, Default)]
pub(super) struct Failing(Arc<Mutex<State>>);

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

impl Failing {
    /// A store whose requests meet what `script` says.
    pub(super) fn new(script: impl FnMut(Ask) -> Fate + Send + 'static) -> Self {
        let store = Self::default();
        store.state().script = Some(Box::new(script));
        store
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The bytes of a visible object.
    pub(super) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state().objects.get(key).map(|(_, bytes)| bytes.clone())
    }

    /// A sink on it, with parts of 4 bytes.
    pub(super) fn sink(&self, health: Health) -> Objects {
        let tuning = Tuning { part_size: 4, ..Tuning::default() };
        let dress = Dress::over(Always::default(), Arc::new(self.clone()));
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 };
        let retry = RetryConfig { backoff, max_retries: 2, retry_timeout: Patience::longest(4) };
        let builder = AmazonS3Builder::new().with_bucket_name("b").with_region("r").with_access_key_id("i").with_secret_access_key("s").with_retry(retry);
        let store = builder.with_http_connector(dress.clone()).build().unwrap();
        dress.signed_by(Signer::S3(Arc::clone(store.credentials()), "r".to_owned()));
        let unfinished = BucketUploads { bucket: Bucket::S3(Arc::new(store.clone())), dress };
        let place = Place { flavor: Flavor::S3, root: "b".to_owned(), prefix: String::new(), endpoint: None };
        let Opened { objects, parts, place, .. } = Opened::one(store, place);
        let extras = Extras { unfinished: Some(Arc::new(unfinished)), ..Extras::default() };
        Objects::with_extras(objects, parts, place, "probe", tuning, health, extras)
    }
}

impl HttpConnector for Failing {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Failing {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let cut = |kind| Err(HttpError::new(kind, std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        let (head, body) = request.into_parts();
        let request = Request {
            key: decoded(head.uri.path().trim_start_matches("/b").trim_start_matches('/')),
            query: url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
            is_conditional: head.headers.contains_key("if-none-match"),
            metadata: head.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-")).fold(Vec::new(), |mut all, (name, value)| {
                all.push((name.to_string(), value.to_str().unwrap().to_owned()));
                all
            }),
            body: body.collect().await.unwrap().to_bytes(),
        };
        let ask = request.ask(head.method.as_str());
        let fate = {
            let mut state = self.state();
            state.asked.push(ask);
            state.script.as_mut().map_or(Fate::Done, |script| script(ask))
        };
        match fate {
            Fate::Done => Ok(self.state().answer(ask, request)),
            Fate::Slow(wait) => {
                tokio::time::sleep(wait).await;
                Ok(self.state().answer(ask, request))
            }
            Fate::Refused => cut(HttpErrorKind::Connect),
            Fate::Answer(status, code) => Ok(refusal(status, code)),
            Fate::Lost => {
                self.state().answer(ask, request);
                cut(HttpErrorKind::Interrupted)
            }
            Fate::Hangs => std::future::pending().await,
            Fate::DoneAndHangs => {
                self.state().answer(ask, request);
                std::future::pending().await
            }
        }
    }
}

/// The name in a path.
fn decoded(path: &str) -> String {
    url::form_urlencoded::parse(path.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

struct Request {
    key: String,
    query: BTreeMap<String, String>,
    is_conditional: bool,
    metadata: Metadata,
    body: Bytes,
}

impl Request {
    fn ask(&self, method: &str) -> Ask {
        let has = |name: &str| self.query.contains_key(name);
        match method {
            "PUT" if has("partNumber") => Ask::Part,
            "PUT" => Ask::Put,
            "POST" if has("uploads") => Ask::Create,
            "POST" if has("delete") => Ask::Delete,
            "POST" => Ask::Complete,
            "HEAD" => Ask::Head,
            "DELETE" if has("uploadId") => Ask::Abort,
            "GET" if has("uploads") => Ask::List,
            other => panic!("{other} {}", self.key),
        }
    }
}

impl State {
    fn answer(&mut self, ask: Ask, request: Request) -> HttpResponse {
        let Request { key, query, is_conditional, metadata, body } = request;
        let id = query.get("uploadId").cloned().unwrap_or_default();
        let is_taken = is_conditional && !self.ignores_conditions && self.objects.contains_key(&key);
        match ask {
            Ask::Put | Ask::Complete if is_taken => refusal(412, "PreconditionFailed"),
            Ask::Put => {
                self.objects.insert(key, (metadata, body.to_vec()));
                response(200, String::new())
            }
            Ask::Create => {
                self.started += 1;
                let id = format!("u{}", self.started);
                self.uploads.insert(id.clone(), (key, metadata, BTreeMap::new()));
                response(200, format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
            }
            Ask::Part => match self.uploads.get_mut(&id) {
                Some((_, _, parts)) => {
                    parts.insert(query["partNumber"].parse().unwrap(), body.to_vec());
                    response(200, String::new())
                }
                None => refusal(404, "NoSuchUpload"),
            },
            Ask::Complete => match self.uploads.remove(&id) {
                Some((key, metadata, parts)) => {
                    self.objects.insert(key, (metadata, parts.into_values().flatten().collect()));
                    response(200, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>".to_owned())
                }
                None => refusal(404, "NoSuchUpload"),
            },
            Ask::Abort => match self.uploads.remove(&id) {
                Some(_) => response(204, String::new()),
                None => refusal(404, "NoSuchUpload"),
            },
            Ask::Delete => {
                let text = String::from_utf8_lossy(&body).into_owned();
                let keys: Vec<_> = text.split("<Key>").skip(1).filter_map(|rest| rest.split('<').next()).collect();
                self.objects.retain(|key, _| !keys.contains(&key.as_str()));
                response(200, format!("<DeleteResult><Deleted><Key>{}</Key></Deleted></DeleteResult>", keys.join("</Key><Key>")))
            }
            Ask::Head => match self.objects.get(&key) {
                Some((metadata, bytes)) => {
                    let mut response = response(200, String::new());
                    for (name, value) in metadata.iter().cloned().chain([("content-length".to_owned(), bytes.len().to_string())]) {
                        let name: reqwest::header::HeaderName = name.parse().unwrap();
                        response.headers_mut().insert(name, value.parse().unwrap());
                    }
                    response
                }
                None => response(404, String::new()),
            },
            Ask::List => self.list(&query),
        }
    }

    /// Two uploads a page. All were begun at ten, and now it is twelve.
    fn list(&self, query: &BTreeMap<String, String>) -> HttpResponse {
        let text = |name: &str| query.get(name).cloned().unwrap_or_default();
        let after = (text("key-marker"), text("upload-id-marker"));
        let mut all: Vec<_> = self.uploads.iter().map(|(id, (key, ..))| (key.clone(), id.clone())).collect();
        all.retain(|upload| upload.0.starts_with(&text("prefix")) && *upload > after);
        all.sort();
        let page = &all[..all.len().min(2)];
        let mut xml = format!("<ListMultipartUploadsResult><IsTruncated>{}</IsTruncated>", all.len() > 2);
        if let Some((key, id)) = page.last() {
            xml.push_str(&format!("<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>"));
        }
        for (key, id) in page {
            xml.push_str(&format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2026-11-23T10:00:00.000Z</Initiated></Upload>"));
        }
        let mut response = response(200, format!("{xml}</ListMultipartUploadsResult>"));
        response.headers_mut().insert("date", "Mon, 23 Nov 2026 12:00:00 GMT".parse().unwrap());
        response
    }
}

fn response(status: u16, body: String) -> HttpResponse {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status.try_into().unwrap();
    response.headers_mut().insert("etag", "\"x\"".parse().unwrap());
    response.headers_mut().insert("last-modified", "Mon, 23 Nov 2026 06:22:10 GMT".parse().unwrap());
    response
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    response(status, format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
}
