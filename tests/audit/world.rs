//! Buckets with files as the sink leaves them, and the commands on them.

use std::path::Path as FilePath;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use clap::Parser;
use lakehead::audit::{locate, verify};
use lakehead::offsets::OffsetSet;
use lakehead::standalone::ExitError;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt as _, PutOptions};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

const BUCKET: &str = "lake";

/// A folder, or a bucket of an S3 server that ends with it.
pub(crate) struct World {
    store: Arc<dyn ObjectStore>,
    /// What comes after the name of a command: URL and options.
    arguments: Vec<String>,
    /// Before an object's name, in messages.
    pub(crate) root: String,
    keeps_metadata: bool,
    _server: Option<Server>,
    _directory: Option<tempfile::TempDir>,
}

#[derive(Parser)]
struct Verify {
    #[command(flatten)]
    arguments: verify::Arguments,
}

#[derive(Parser)]
struct Locate {
    #[command(flatten)]
    arguments: locate::Arguments,
}

/// What a command said, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: u8,
    pub(crate) text: String,
}

impl Said {
    fn new(done: Result<(), ExitError>, out: Vec<u8>) -> Self {
        let (code, message) = done.err().map_or((0, String::new()), |error| (error.code, error.message));
        Self { code, text: format!("{}{message}", String::from_utf8(out).unwrap()) }
    }

    /// The code, and these texts in this order.
    #[track_caller]
    pub(crate) fn assert(&self, code: u8, texts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.text);
        let mut rest = self.text.as_str();
        for text in texts {
            let Some((_, after)) = rest.split_once(text) else { panic!("'{text}' is not in, or not behind the texts before it:\n{}", self.text) };
            rest = after;
        }
    }
}

/// One file to be written.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) key: String,
    pub(crate) partition: i32,
    pub(crate) offsets: Vec<i64>,
    /// Labels that say something else, or (empty) nothing.
    pub(crate) changed: Vec<(&'static str, String)>,
    /// As after an upload in parts: the object has no metadata.
    pub(crate) in_parts: bool,
}

/// A file of topic `t` with these offsets, under the name that the sink gives it.
pub(crate) fn file(path: &str, partition: i32, offsets: impl IntoIterator<Item = i64>, extension: &str) -> Spec {
    let offsets: Vec<i64> = offsets.into_iter().collect();
    let key = format!("topics/t/{path}/t+{partition}+{:010}{extension}", offsets[0]);
    Spec { key, partition, offsets, changed: Vec::new(), in_parts: false }
}

impl Spec {
    pub(crate) fn with(mut self, label: &'static str, value: &str) -> Self {
        self.changed.push((label, value.to_owned()));
        self
    }

    pub(crate) fn named(mut self, key: &str) -> Self {
        self.key = key.to_owned();
        self
    }

    pub(crate) fn in_parts(mut self) -> Self {
        self.in_parts = true;
        self
    }

    fn set(&self) -> OffsetSet {
        let mut set = OffsetSet::new();
        set.extend(&self.offsets);
        set
    }

    /// What metadata and footer say.
    fn labels(&self) -> Vec<(&'static str, String)> {
        let set = self.set();
        let mut labels = vec![
            ("lakehead-connector", "sink".to_owned()),
            ("lakehead-topic", "t".to_owned()),
            ("lakehead-partition", self.partition.to_string()),
            ("lakehead-offsets", format!("{}..{}", set.first().unwrap(), set.end().unwrap())),
            ("lakehead-rows", set.count().to_string()),
            ("lakehead-digest", set.digest().to_string()),
        ];
        for (name, value) in &self.changed {
            labels.retain(|(label, _)| label != name);
            if !value.is_empty() {
                labels.push((name, value.clone()));
            }
        }
        labels
    }

    fn bytes(&self) -> Vec<u8> {
        if self.key.ends_with(".parquet") {
            return self.parquet();
        }
        let lines: String = self.offsets.iter().map(|offset| format!("{{\"offset\":{offset}}}\n")).collect();
        lines.into_bytes()
    }

    /// Row groups of a hundred rows.
    fn parquet(&self) -> Vec<u8> {
        let set = self.set();
        let mut footer = self.labels();
        if !set.is_consecutive() && !self.changed.iter().any(|(label, _)| *label == "lakehead-offset-set") {
            footer.push(("lakehead-offset-set", set.encode().unwrap()));
        }
        let column: ArrayRef = Arc::new(Int64Array::from(self.offsets.clone()));
        let rows = RecordBatch::try_from_iter([("offset", column)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        for (name, value) in footer {
            writer.append_key_value_metadata(KeyValue::new(name.to_owned(), value));
        }
        writer.into_inner().unwrap()
    }
}

/// The command with these arguments.
pub(crate) async fn verify(arguments: impl Iterator<Item = &str>) -> Said {
    let parsed = Verify::try_parse_from(["verify"].into_iter().chain(arguments)).unwrap();
    let mut out = Vec::new();
    let done = verify::run(&parsed.arguments, &mut out).await;
    Said::new(done, out)
}

/// A server process, ended when dropped.
pub(crate) struct Server {
    script: &'static str,
    port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(script: &'static str) -> Self {
        let server = Self { script, port: free_port(), directory: tempfile::tempdir().unwrap() };
        server.run("start");
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn run(&self, command: &str) {
        let script = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(self.script);
        let mut script = Command::new(script);
        let output = script.env("KAFKA_HEAP", "256m").args([command, &self.port.to_string()]).arg(self.directory.path()).output().unwrap();
        assert!(output.status.success(), "{} {command}: {}", self.script, String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// A port of 127.0.0.1 that is free now, and the one after it as well.
fn free_port() -> u16 {
    let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()).map(|address| address.port());
    std::iter::repeat_with(|| free(0).unwrap()).find(|port| port.checked_add(1).is_some_and(|next| free(next).is_ok())).unwrap()
}

impl World {
    pub(crate) fn folder() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display().to_string();
        let store = Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap());
        Self { store, arguments: vec![root.clone()], root, keeps_metadata: false, _server: None, _directory: Some(directory) }
    }

    pub(crate) fn s3() -> Self {
        let server = Server::start("s3.sh");
        std::fs::create_dir(server.directory.path().join("data").join(BUCKET)).unwrap(); // the server's buckets are folders
        let endpoint = format!("http://{}", server.address());
        let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_region("us-east-1").with_allow_http(true);
        let builder = builder.with_endpoint(&endpoint).with_access_key_id("test").with_secret_access_key("testtest");
        let mut arguments = vec![format!("s3://{BUCKET}")];
        for option in [&format!("aws_endpoint={endpoint}"), "aws_region=us-east-1", "aws_access_key_id=test", "aws_secret_access_key=testtest"] {
            arguments.extend(["--store-option".to_owned(), option.to_owned()]);
        }
        let (store, root) = (Arc::new(builder.build().unwrap()), format!("s3://{BUCKET}"));
        Self { store, arguments, root, keeps_metadata: true, _server: Some(server), _directory: None }
    }

    /// Both.
    pub(crate) fn all() -> [Self; 2] {
        [Self::folder(), Self::s3()]
    }

    pub(crate) fn keeps_metadata(&self) -> bool {
        self.keeps_metadata
    }

    /// Writes files.
    pub(crate) async fn put(&self, specs: &[Spec]) {
        for spec in specs {
            let labels = if self.keeps_metadata && !spec.in_parts { spec.labels() } else { Vec::new() };
            self.put_bytes(&spec.key, spec.bytes(), &labels).await;
        }
    }

    pub(crate) async fn put_bytes(&self, key: &str, bytes: Vec<u8>, labels: &[(&'static str, String)]) {
        let attributes: Attributes = labels.iter().map(|(name, value)| (Attribute::Metadata((*name).into()), value.clone())).collect();
        let options = PutOptions { attributes, ..PutOptions::default() };
        self.store.put_opts(&Path::parse(key).unwrap(), bytes.into(), options).await.unwrap();
    }

    pub(crate) async fn remove(&self, spec: &Spec) {
        self.store.delete(&Path::parse(&spec.key).unwrap()).await.unwrap();
    }

    /// An object's name in messages.
    pub(crate) fn name(&self, spec: &Spec) -> String {
        format!("{}/{}", self.root, spec.key)
    }

    pub(crate) async fn verify(&self, options: &[&str]) -> Said {
        verify(self.arguments.iter().map(String::as_str).chain(options.iter().copied())).await
    }

    pub(crate) async fn locate(&self, record: &str, options: &[&str]) -> Said {
        let arguments = ["locate", record].into_iter().chain(self.arguments.iter().map(String::as_str)).chain(options.iter().copied());
        let mut out = Vec::new();
        let done = locate::run(&Locate::try_parse_from(arguments).unwrap().arguments, &mut out).await;
        Said::new(done, out)
    }
}
