//! The stores that the suite runs on: real servers, started by the scripts of `tests/servers` and ended with the test.

use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::sync::Arc;

use futures::StreamExt as _;
use lakehead::connect::{Health, Props};
use lakehead::memory::Budget;
use lakehead::store::ObjectSink;
use lakehead::store::urls::{self, StoreKind};
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzureBuilder};
use object_store::client::{HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _};

use crate::proxy::Proxy;

/// The bucket, or container, of every server.
pub(crate) const BUCKET: &str = "sink";

/// The emulator's account and key, published by Microsoft.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const GCS_KEY: &str = r#"{"private_key":"private_key","private_key_id":"private_key_id","client_email":"client_email","disable_oauth":true}"#;

/// A server process, ended when dropped.
struct Server {
    script: &'static str,
    port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(script: &'static str) -> Self {
        let server = Self { script, port: free_port(), directory: tempfile::tempdir().unwrap() };
        server.run("start");
        server
    }

    fn run(&self, command: &str) {
        let script = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(self.script);
        let output = Command::new("bash").arg(script).args([command, &self.port.to_string()]).arg(self.directory.path()).output().unwrap();
        assert!(output.status.success(), "{} {command}: {}", self.script, String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run("stop");
        } else {
            let script = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(self.script);
            drop(Command::new("bash").arg(script).args(["stop", &self.port.to_string()]).arg(self.directory.path()).output());
        }
    }
}

/// A port of 127.0.0.1 that is free now, and the one after it as well.
fn free_port() -> u16 {
    for _ in 0..100 {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
    panic!("no two free ports in a row");
}

/// How unfinished uploads are found.
enum Leftovers {
    /// Staged files below a folder.
    Staged(PathBuf),
    /// `GET ?uploads`, signed.
    S3,
    /// `GET ?uploads`.
    Gcs,
    /// Azure lists no uncommitted blocks.
    Unlisted,
}

/// One store under test, with a way to look at it that is not ours.
pub(crate) struct World {
    pub(crate) kind: StoreKind,
    pub(crate) props: Props,
    /// Straight to the store, not through the proxy.
    pub(crate) reader: Arc<dyn ObjectStore>,
    /// The same, for removing uploads behind the sink's back; none where uploads have no number.
    pub(crate) uploads: Option<Arc<dyn MultipartStore>>,
    /// Before a server; a folder has none.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) budget: Budget,
    server: Option<Server>,
    leftovers: Leftovers,
    _temporary: Option<tempfile::TempDir>,
}

impl World {
    pub(crate) fn folder() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut world = Self::folder_at(temporary.path());
        world._temporary = Some(temporary);
        world
    }

    /// A folder that the caller owns.
    pub(crate) fn folder_at(root: &FilePath) -> Self {
        let props = props(&[("lakehead.store.url", &root.display().to_string()), ("lakehead.store.part.size", "5242880")]);
        let reader = Arc::new(LocalFileSystem::new_with_prefix(root).unwrap());
        let (kind, budget, leftovers) = (StoreKind::Url, Budget::new(1 << 30), Leftovers::Staged(root.to_owned()));
        Self { kind, props, reader, uploads: None, proxy: None, budget, server: None, leftovers, _temporary: None }
    }

    pub(crate) async fn s3() -> Self {
        let server = Server::start("s3.sh");
        sign_and_send(server.port, "PUT", &format!("/{BUCKET}")).await;
        Self::s3_on(server).await
    }

    async fn s3_on(server: Server) -> Self {
        let proxy = Proxy::start(server.port).await;
        let props = props(&[
            ("s3.bucket.name", BUCKET),
            ("s3.region", "us-east-1"),
            ("s3.part.size", "5242880"),
            ("s3.retry.backoff.ms", "50"),
            ("aws.access.key.id", "test"),
            ("aws.secret.access.key", "testtest"),
            ("store.url", &format!("http://127.0.0.1:{}", proxy.port())),
        ]);
        let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_region("us-east-1").with_allow_http(true);
        let builder = builder.with_endpoint(format!("http://127.0.0.1:{}", server.port)).with_access_key_id("test").with_secret_access_key("testtest");
        let reader = Arc::new(builder.build().unwrap());
        let uploads: Option<Arc<dyn MultipartStore>> = Some(Arc::clone(&reader) as _);
        Self::remote(StoreKind::S3, props, reader, uploads, server, proxy, Leftovers::S3)
    }

    /// Another S3 of other make, which has STS too.
    pub(crate) async fn moto() -> Self {
        let server = Server::start("moto.sh");
        sign_and_send(server.port, "PUT", &format!("/{BUCKET}")).await;
        // To complete an upload that is gone is a 500 there, which says nothing: no upload is removed behind the sink's back.
        Self { uploads: None, ..Self::s3_on(server).await }
    }

    /// The S3 server as `s3://bucket/prefix`, with requests made as for Amazon over TLS: the payload unsigned, and a CRC-64 of it.
    pub(crate) async fn s3_url() -> Self {
        let s3 = Self::s3().await;
        let props = props(&[
            ("lakehead.store.url", &format!("s3://{BUCKET}/raw/in")),
            ("lakehead.store.part.size", "5242880"),
            ("lakehead.store.option.aws_region", "us-east-1"),
            ("lakehead.store.option.aws_endpoint", &s3.props["store.url"]),
            ("lakehead.store.option.aws_access_key_id", "test"),
            ("lakehead.store.option.aws_secret_access_key", "testtest"),
            ("lakehead.store.option.aws_unsigned_payload", "true"),
            ("lakehead.store.option.aws_checksum_algorithm", "CRC64NVME"),
        ]);
        let reader = Arc::new(PrefixStore::new(Arc::clone(&s3.reader), "raw/in"));
        Self { kind: StoreKind::Url, props, reader, ..s3 }
    }

    pub(crate) async fn azure() -> Self {
        let server = Server::start("azurite.sh");
        let url = |port| format!("http://127.0.0.1:{port}/{AZURE_ACCOUNT}");
        let mut request = request("PUT", &format!("{}/{BUCKET}?restype=container", url(server.port)));
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(AZURE_KEY).unwrap());
        AzureAuthorizer::new(&credential, AZURE_ACCOUNT).try_authorize(&mut request).unwrap();
        send(request).await;
        let proxy = Proxy::start(server.port).await;
        let props = props(&[
            ("azblob.account.name", AZURE_ACCOUNT),
            ("azblob.container.name", BUCKET),
            ("azblob.account.key", AZURE_KEY),
            ("azblob.block.size", "5242880"),
            ("azblob.retry.backoff.ms", "50"),
            ("store.url", &url(proxy.port())),
        ]);
        let builder = MicrosoftAzureBuilder::new().with_account(AZURE_ACCOUNT).with_access_key(AZURE_KEY).with_container_name(BUCKET);
        let reader = Arc::new(builder.with_endpoint(url(server.port)).with_allow_http(true).build().unwrap());
        Self::remote(StoreKind::AzureBlob, props, reader, None, server, proxy, Leftovers::Unlisted)
    }

    pub(crate) async fn gcs() -> Self {
        let server = Server::start("gcs.sh");
        let mut create = request("POST", &format!("http://127.0.0.1:{}/storage/v1/b", server.port + 1));
        *create.body_mut() = format!(r#"{{"name":"{BUCKET}"}}"#).into();
        send(create).await;
        let proxy = Proxy::start(server.port).await;
        let props = props(&[
            ("gcs.bucket.name", BUCKET),
            ("gcs.credentials.json", GCS_KEY),
            ("gcs.part.size", "5242880"),
            ("gcs.retry.backoff.ms", "50"),
            ("store.url", &format!("http://127.0.0.1:{}", proxy.port())),
        ]);
        let builder = GoogleCloudStorageBuilder::new().with_bucket_name(BUCKET).with_service_account_key(GCS_KEY);
        let client = ClientOptions::new().with_allow_http(true);
        let builder = builder.with_base_url(&format!("http://127.0.0.1:{}", server.port)).with_client_options(client);
        let reader = Arc::new(builder.build().unwrap());
        let uploads: Option<Arc<dyn MultipartStore>> = Some(Arc::clone(&reader) as _);
        Self::remote(StoreKind::Gcs, props, reader, uploads, server, proxy, Leftovers::Gcs)
    }

    fn remote(
        kind: StoreKind,
        props: Props,
        reader: Arc<dyn ObjectStore>,
        uploads: Option<Arc<dyn MultipartStore>>,
        server: Server,
        proxy: Proxy,
        leftovers: Leftovers,
    ) -> Self {
        let (proxy, server) = (Some(proxy), Some(server));
        Self { kind, props, reader, uploads, proxy, budget: Budget::new(1 << 30), server, leftovers, _temporary: None }
    }

    /// True where objects have a content type and metadata.
    pub(crate) fn keeps_attributes(&self) -> bool {
        !matches!(self.leftovers, Leftovers::Staged(_))
    }

    /// True where objects have tags.
    pub(crate) fn has_tags(&self) -> bool {
        matches!(self.leftovers, Leftovers::S3)
    }

    /// A sink as a connector's task opens it.
    pub(crate) fn sink(&self) -> (Arc<dyn ObjectSink>, Health) {
        self.sink_with(&[])
    }

    /// The same with some settings changed.
    pub(crate) fn sink_with(&self, changed: &[(&str, &str)]) -> (Arc<dyn ObjectSink>, Health) {
        let mut settings = self.props.clone();
        settings.extend(props(changed));
        let health = Health::default();
        (urls::open(self.kind, &settings, health.clone()).unwrap(), health)
    }

    /// The bytes of a visible object.
    pub(crate) async fn read(&self, key: &str) -> Option<Vec<u8>> {
        match self.reader.get(&Path::parse(key).unwrap()).await {
            Ok(found) => Some(found.bytes().await.unwrap().to_vec()),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    /// Names of visible objects below a prefix.
    pub(crate) async fn list(&self, prefix: &str) -> Vec<String> {
        let found: Vec<_> = self.reader.list(Some(&Path::parse(prefix).unwrap())).map(|object| object.unwrap().location.to_string()).collect().await;
        found
    }

    /// Uploads that are neither completed nor aborted: key and number (S3, GCS), or staged files (folder). Azure does not list them.
    pub(crate) async fn unfinished(&self) -> Vec<(String, String)> {
        match &self.leftovers {
            Leftovers::Staged(folder) => staged(folder).into_iter().map(|path| (path.display().to_string(), String::new())).collect(),
            Leftovers::S3 => parse_uploads(&sign_and_send(self.port(), "GET", &format!("/{BUCKET}?uploads=")).await),
            Leftovers::Gcs => parse_uploads(&send(request("GET", &format!("http://127.0.0.1:{}/{BUCKET}?uploads=", self.port()))).await),
            Leftovers::Unlisted => Vec::new(),
        }
    }

    /// The tags of an object of an S3 server, as XML.
    pub(crate) async fn tags(&self, key: &str) -> String {
        let prefix = if self.kind == StoreKind::Url { "raw/in/" } else { "" };
        sign_and_send(self.port(), "GET", &format!("/{BUCKET}/{prefix}{key}?tagging=")).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.as_ref().unwrap().port
    }
}

fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Files that are not whole: their names end in `#` and digits.
fn staged(directory: &FilePath) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(staged(&path));
        } else if path.to_string_lossy().rsplit_once('#').is_some_and(|(_, tail)| tail.bytes().all(|byte| byte.is_ascii_digit())) {
            found.push(path);
        }
    }
    found
}

fn parse_uploads(xml: &str) -> Vec<(String, String)> {
    let texts = |name: &str| -> Vec<String> {
        let tag = format!("<{name}>");
        let rest = xml.split(tag.as_str()).skip(1);
        rest.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    };
    texts("Key").into_iter().zip(texts("UploadId")).collect()
}

fn request(method: &str, url: &str) -> HttpRequest {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = url.parse().unwrap();
    request.headers_mut().insert("content-length", "0".parse().unwrap());
    request
}

async fn sign_and_send(port: u16, method: &str, path: &str) -> String {
    let mut request = request(method, &format!("http://127.0.0.1:{port}{path}"));
    let credential = AwsCredential { key_id: "test".to_owned(), secret_key: "testtest".to_owned(), token: None };
    AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None).unwrap();
    send(request).await
}

async fn send(mut request: HttpRequest) -> String {
    let length = request.body().content_length().to_string();
    request.headers_mut().insert("content-length", length.parse().unwrap());
    let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
    let (head, body) = client.execute(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.bytes().await.unwrap().to_vec()).unwrap();
    assert!(head.status.is_success(), "{} {text}", head.status);
    text
}
