//! What a request of a store carries beside what its client puts there.
//!
//! `object_store` has no place for a canned ACL, for `Content-MD5`, for SSE-C headers on the completion of an upload, nor for a condition or metadata on
//! what makes parts an object. [`Dress`] is the HTTP client that adds them, and signs again what it has changed. What depends on the one request comes as
//! an [`Intent`] beside the call: a store sends its request in the task that asks for it, so a task-local carries it ([`sent_with`]).
//! It is also where every exchange ends: with an answer, or with the store's patience; and with the status that an answer means, which S3 may tell in the
//! body of a 200.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::azure::{AzureAuthorizer, AzureCredential, AzureCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector};
use object_store::gcp::GcpCredentialProvider;

use super::errors::element;
use super::patience::Patience;

tokio::task_local! {
    static INTENT: Intent;
}

/// What one call asks for beyond what the store's client has words for.
#[derive(Debug, Clone, Default)]
pub(super) struct Intent {
    /// The object must not be there yet.
    pub(super) if_absent: bool,
    /// MD5 of the body, in base64.
    pub(super) md5: Option<String>,
    /// Content type and metadata of an object that is completed, where they cannot be told at its start: names as in a header, without the store's prefix.
    pub(super) completed_as: Option<CompletedAs>,
}

/// What is told of an object only when its parts become one (Azure).
#[derive(Debug, Clone)]
pub(super) struct CompletedAs {
    pub(super) content_type: &'static str,
    pub(super) metadata: Vec<(String, String)>,
}

/// Makes the requests of `call` with `intent`.
pub(super) async fn sent_with<F: Future>(intent: Intent, call: F) -> F::Output {
    INTENT.scope(intent, call).await
}

/// True inside a call that asks for an object that is not there yet.
pub(super) fn is_if_absent() -> bool {
    INTENT.try_with(|intent| intent.if_absent).unwrap_or(false)
}

/// Who signs a request again after it was changed.
#[derive(Debug, Clone)]
pub(super) enum Signer {
    /// AWS Signature 4 for a region.
    S3(AwsCredentialProvider, String),
    /// Azure's shared key signs every `x-ms-` header; tokens and SAS sign none.
    Azure(AzureCredentialProvider),
    /// Google's bearer token, which signs nothing.
    Bearer(GcpCredentialProvider),
    /// Requests are not signed.
    Nobody,
}

/// Headers that do not change from object to object.
#[derive(Clone, Default)]
pub(super) struct Always {
    /// On what names an object first: its PUT, or the start of its upload.
    pub(super) on_create: Vec<(&'static str, String)>,
    /// On what makes parts an object.
    pub(super) on_complete: Vec<(&'static str, String)>,
}

impl fmt::Debug for Always {
    /// Names only: a value may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |headers: &[(&'static str, String)]| headers.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        f.debug_struct("Always").field("on_create", &names(&self.on_create)).field("on_complete", &names(&self.on_complete)).finish()
    }
}

/// A connector whose clients add headers. Clones share what they hold.
#[derive(Debug, Clone)]
pub(super) struct Dress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    always: Always,
    signer: OnceLock<Signer>,
    client: OnceLock<HttpClient>,
    connector: Arc<dyn HttpConnector>,
    patience: Patience,
}

impl Dress {
    pub(super) fn new(always: Always) -> Self {
        Self::over(always, Arc::new(ReqwestConnector::default()))
    }

    /// The same over connections of another make.
    pub(super) fn over(always: Always, connector: Arc<dyn HttpConnector>) -> Self {
        Self(Arc::new(Inner { always, signer: OnceLock::new(), client: OnceLock::new(), connector, patience: Patience::default() }))
    }

    /// Says who signs, once the store is built that knows it.
    pub(super) fn signed_by(&self, signer: Signer) {
        drop(self.0.signer.set(signer)); // a store is built once
    }

    /// Signs a request of ours and sends it on the store's connections.
    pub(super) async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Some(client) = self.0.client.get() else { return Err(unsendable("the store has no HTTP client yet")) };
        self.0.sign(&mut request, Payload::Hash).await?;
        self.0.exchange(client, request).await
    }
}

impl HttpConnector for Dress {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.0.connector.connect(options)?;
        drop(self.0.client.set(client.clone())); // those of token endpoints come later and are not kept
        Ok(HttpClient::new(Dressed { client, inner: Arc::clone(&self.0) }))
    }
}

/// A client that adds headers.
#[derive(Debug)]
struct Dressed {
    client: HttpClient,
    inner: Arc<Inner>,
}

#[async_trait]
impl HttpService for Dressed {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let intent = INTENT.try_with(Clone::clone).unwrap_or_default();
        if self.inner.dress(&mut request, &intent)? {
            self.inner.sign(&mut request, Payload::Keep).await?;
        }
        self.inner.exchange(&self.client, request).await
    }
}

/// What a signature says of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    /// What the request's first signature says of it.
    Keep,
    /// Its SHA-256.
    Hash,
}

/// The requests that are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// PUT of a whole object, or of a part.
    Put { is_part: bool },
    /// POST `?uploads`.
    Start,
    /// POST `?uploadId=`.
    Complete,
    /// PUT `?comp=blocklist`.
    BlockList,
}

impl Step {
    fn of(request: &HttpRequest) -> Option<Self> {
        let query = request.uri().query().unwrap_or_default();
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        match request.method().as_str() {
            "PUT" if query.split('&').any(|pair| pair == "comp=blocklist") => Some(Self::BlockList),
            "PUT" if has("partNumber") => Some(Self::Put { is_part: true }),
            "PUT" if !has("comp") && !has("tagging") => Some(Self::Put { is_part: false }),
            "POST" if has("uploads") => Some(Self::Start),
            "POST" if has("uploadId") => Some(Self::Complete),
            _ => None,
        }
    }
}

impl Inner {
    /// Adds what belongs on the request; true when it has to be signed again.
    fn dress(&self, request: &mut HttpRequest, intent: &Intent) -> Result<bool, HttpError> {
        // A request for a token on the way to the store is none of the store's.
        let is_ours = request.headers().contains_key("authorization") || !matches!(self.signer.get(), Some(Signer::S3(..)));
        let Some(step) = Step::of(request).filter(|_| is_ours) else { return Ok(false) };
        let mut added: Vec<(String, String)> = Vec::new();
        let always = match step {
            Step::Put { is_part: false } | Step::Start => self.always.on_create.as_slice(),
            Step::Complete => self.always.on_complete.as_slice(),
            Step::Put { is_part: true } | Step::BlockList => &[],
        };
        added.extend(always.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        if let (Step::Put { .. }, Some(md5)) = (step, &intent.md5) {
            added.push(("content-md5".to_owned(), md5.clone()));
        }
        if matches!(step, Step::Complete | Step::BlockList) && intent.if_absent {
            added.push(("if-none-match".to_owned(), "*".to_owned()));
        }
        if let (Step::BlockList, Some(object)) = (step, &intent.completed_as) {
            added.push(("x-ms-blob-content-type".to_owned(), object.content_type.to_owned()));
            added.extend(object.metadata.iter().map(|(name, value)| (format!("x-ms-meta-{}", name.replace('-', "_")), value.clone())));
        }
        for (name, value) in &added {
            let name: &[u8] = name.as_bytes();
            insert(request, name, value)?;
        }
        Ok(!added.is_empty())
    }

    /// Sends a request and waits for its whole answer; for the first of it where it is an object.
    async fn exchange(&self, client: &HttpClient, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (step, bytes) = (Step::of(&request), request.body().content_length() as u64);
        // A SAS is a query too.
        let query = request.uri().query().unwrap_or_default();
        let is_list = query.split('&').any(|pair| ["list-type", "prefix", "uploads", "comp"].contains(&pair.split('=').next().unwrap_or_default()));
        let is_object = request.method() == reqwest::Method::GET && !is_list;
        let exchange = async {
            let answer = client.execute(request).await?;
            if is_object {
                return Ok(answer);
            }
            let (mut head, body) = answer.into_parts();
            let body = body.bytes().await?;
            if step == Some(Step::Complete)
                && head.status.is_success()
                && let Some(status) = error_under_success(&body).and_then(|status| status.try_into().ok())
            {
                head.status = status;
            }
            Ok(HttpResponse::from_parts(head, body.into()))
        };
        // Not a timeout to the client, which would try again before anybody hears of it.
        self.patience.wait(bytes, exchange).await.unwrap_or_else(|hung| Err(HttpError::new(HttpErrorKind::Unknown, hung)))
    }

    /// Signs the request as it is now.
    async fn sign(&self, request: &mut HttpRequest, payload: Payload) -> Result<(), HttpError> {
        match self.signer.get() {
            Some(Signer::S3(credentials, region)) => {
                // Directory buckets have sessions of their own, which sign nothing that is added here.
                if request.headers().contains_key("x-amz-s3session-token") {
                    return Ok(());
                }
                let credential = credentials.get_credential().await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
                let header = request.headers().get("x-amz-content-sha256").and_then(|value| value.to_str().ok()).and_then(from_hex);
                let digest = header.filter(|_| payload == Payload::Keep);
                let authorizer = AwsAuthorizer::new(&credential, "s3", region).with_sign_payload(payload == Payload::Hash || digest.is_some());
                authorizer.try_authorize(request, digest.as_deref()).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))
            }
            Some(Signer::Azure(credentials)) => {
                let credential = credentials.get_credential().await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
                let account = request.headers().get("authorization").and_then(|value| value.to_str().ok()).and_then(account_in).map(str::to_owned);
                if let (AzureCredential::AccessKey(_), Some(account)) = (&*credential, account) {
                    request.headers_mut().remove("authorization");
                    AzureAuthorizer::new(&credential, &account).try_authorize(request).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
                }
                Ok(())
            }
            Some(Signer::Bearer(credentials)) => {
                let credential = credentials.get_credential().await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
                if credential.bearer.is_empty() { Ok(()) } else { insert(request, b"authorization", &format!("Bearer {}", credential.bearer)) }
            }
            Some(Signer::Nobody) | None => Ok(()),
        }
    }
}

/// The status that the answer to a completion means when its body is an error: S3 begins to answer before it knows how the completion ends.
fn error_under_success(body: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(body).ok()?;
    let is_error = text.split('<').find(|tag| tag.starts_with(char::is_alphabetic)).is_some_and(|root| root.starts_with("Error"));
    is_error.then(|| match element(text, "Code").unwrap_or_default() {
        "NoSuchUpload" | "NoSuchBucket" | "NoSuchKey" => 404,
        "PreconditionFailed" => 412,
        "ConditionalRequestConflict" | "OperationAborted" => 409,
        "AccessDenied" => 403,
        "NotImplemented" => 501,
        "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall" | "EntityTooLarge" | "InvalidRequest" | "MalformedXML" => 400,
        "SlowDown" | "ServiceUnavailable" => 503,
        _ => 500,
    })
}

/// Sets a header.
fn insert(request: &mut HttpRequest, name: &[u8], value: &str) -> Result<(), HttpError> {
    let text = String::from_utf8_lossy(name).into_owned();
    let value = value.parse().map_err(|_| unsendable(&format!("the value of header {text} has characters that a header cannot have")))?;
    match name.try_into() {
        Ok::<reqwest::header::HeaderName, _>(name) => {
            request.headers_mut().insert(name, value);
            Ok(())
        }
        Err(_) => Err(unsendable(&format!("'{text}' cannot be a header's name"))),
    }
}

fn unsendable(why: &str) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(why.to_owned()))
}

/// The account in `SharedKey account:signature`.
fn account_in(authorization: &str) -> Option<&str> {
    authorization.strip_prefix("SharedKey ")?.split_once(':').map(|(account, _)| account)
}

/// The bytes of a SHA-256 in hexadecimal; `None` for other texts (`UNSIGNED-PAYLOAD`).
fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..64).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use object_store::StaticCredentialProvider;
    use object_store::aws::AwsCredential;
    use object_store::client::HttpRequestBody;

    use super::*;

    fn request(method: &str, url: &str) -> HttpRequest {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = url.parse().unwrap();
        request.headers_mut().insert("authorization", "AWS4-HMAC-SHA256 Credential=old".parse().unwrap());
        request
    }

    fn inner() -> Inner {
        let credential = AwsCredential { key_id: "id".to_owned(), secret_key: "secret".to_owned(), token: None };
        let signer = OnceLock::new();
        signer.set(Signer::S3(Arc::new(StaticCredentialProvider::new(credential)), "us-east-1".to_owned())).unwrap();
        let always =
            Always { on_create: vec![("x-amz-acl", "private".to_owned())], on_complete: vec![("x-amz-server-side-encryption-customer-key", "k".to_owned())] };
        Inner { always, signer, client: OnceLock::new(), connector: Arc::new(ReqwestConnector::default()), patience: Patience::default() }
    }

    #[test]
    fn an_error_under_200_has_a_status() {
        let error = |code: &str| format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n   <Error><Code>{code}</Code><Message>m</Message></Error>");
        for (body, expected) in [
            (error("InternalError"), Some(500)),
            (error("SlowDown"), Some(503)),
            (error("NoSuchUpload"), Some(404)),
            (error("PreconditionFailed"), Some(412)),
            (error("ConditionalRequestConflict"), Some(409)),
            (error("AccessDenied"), Some(403)),
            (error("SomethingNew"), Some(500)),
            ("<Error/>".to_owned(), Some(500)),
            ("<?xml version=\"1.0\"?><CompleteMultipartUploadResult><Key>Error</Key><ETag>x</ETag></CompleteMultipartUploadResult>".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(error_under_success(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn each_request_gets_what_belongs_on_it() {
        let completed_as = CompletedAs { content_type: "application/json", metadata: vec![("lakehead-upload".to_owned(), "1".to_owned())] };
        let intent = Intent { if_absent: true, md5: Some("bWQ1".to_owned()), completed_as: Some(completed_as) };
        let cases: [(&str, &str, &[&str]); 8] = [
            ("PUT", "http://h/b/k", &["content-md5", "x-amz-acl"]), // its condition is the client's own
            ("POST", "http://h/b/k?uploads=", &["x-amz-acl"]),
            ("PUT", "http://h/b/k?partNumber=1&uploadId=u", &["content-md5"]),
            ("POST", "http://h/b/k?uploadId=u", &["if-none-match", "x-amz-server-side-encryption-customer-key"]),
            ("PUT", "http://h/c/k?comp=blocklist", &["if-none-match", "x-ms-blob-content-type", "x-ms-meta-lakehead_upload"]),
            ("PUT", "http://h/c/k?comp=block&blockid=x", &[]),
            ("PUT", "http://h/b/k?tagging=", &[]),
            ("HEAD", "http://h/b/k", &[]),
        ];
        for (method, url, expected) in cases {
            let mut request = request(method, url);
            assert_eq!(inner().dress(&mut request, &intent).unwrap(), !expected.is_empty(), "{method} {url}");
            let mut found: Vec<_> = request.headers().keys().map(|name| name.as_str()).filter(|name| *name != "authorization").collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{method} {url}");
        }
    }

    #[test]
    fn a_customer_key_is_not_shown() {
        let always = Always { on_create: vec![], on_complete: vec![("x-amz-server-side-encryption-customer-key", "hunter2".to_owned())] };
        let text = format!("{:?}", Dress::new(always));
        assert!(text.contains("customer-key") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn requests_for_tokens_stay_as_they_are() {
        let mut token = request("PUT", "http://169.254.169.254/latest/api/token");
        token.headers_mut().remove("authorization");
        assert!(!inner().dress(&mut token, &Intent::default()).unwrap());
    }

    #[tokio::test]
    async fn what_was_added_is_signed_and_the_bodys_digest_stays() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for kept in [digest, "UNSIGNED-PAYLOAD"] {
            let mut request = request("PUT", "http://h/b/k");
            request.headers_mut().insert("x-amz-content-sha256", kept.parse().unwrap());
            let inner = inner();
            assert!(inner.dress(&mut request, &Intent::default()).unwrap());
            inner.sign(&mut request, Payload::Keep).await.unwrap();
            assert_eq!(request.headers()["x-amz-content-sha256"], kept);
            let authorization = request.headers()["authorization"].to_str().unwrap();
            assert!(authorization.contains("Credential=id/") && authorization.contains(";x-amz-acl;"), "{authorization}");
        }
    }
}
