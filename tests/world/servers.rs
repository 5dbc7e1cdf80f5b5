//! The servers: started when a test first needs them, shared by all tests, ended with the test run.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Access key of the S3 server.
pub(crate) const S3_KEY: &str = "test";

/// Its secret.
pub(crate) const S3_SECRET: &str = "testtest";

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for everything that this run writes. It goes away with the run, and with it the processes whose pid files are in it.
pub(crate) fn run_folder() -> &'static Path {
    struct Run {
        folder: PathBuf,
        _guard: Child, // holds the pipe whose end is the guard's signal
    }
    static RUN: OnceLock<Run> = OnceLock::new();
    &RUN.get_or_init(|| {
        let base = std::env::var_os("LAKEHEAD_RUN").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = base.join(format!("live-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the run");
        let guard = script("guard.sh").arg(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the guard starts");
        Run { folder, _guard: guard }
    })
    .folder
}

/// A script of `tests/servers`.
fn script(name: &str) -> Command {
    Command::new(repository().join("tests/servers").join(name))
}

/// Runs a server's script; its messages are the failure's.
fn control(name: &str, command: &str, port: u16, folder: &Path) {
    control_with(name, command, port, folder, &[]);
}

/// The same with these environment variables.
fn control_with(name: &str, command: &str, port: u16, folder: &Path, variables: &[(&str, &str)]) {
    let mut script = script(name);
    script.envs(variables.iter().copied());
    script.args([command, &port.to_string()]).arg(folder).stdin(Stdio::null());
    // A file and not a pipe: the server inherits it, and a pipe would stay open for as long as the server runs.
    fs::create_dir_all(folder.parent().expect("below the run's folder")).expect("a folder");
    let messages = folder.with_extension(format!("{command}.log"));
    let out = File::create(&messages).expect("a file for messages");
    script.stdout(out.try_clone().expect("the same file twice")).stderr(out);
    let status = script.status().unwrap_or_else(|error| panic!("{name} cannot be run: {error}"));
    let said = fs::read_to_string(&messages).unwrap_or_default();
    assert!(status.success(), "{name} {command} failed; `make test` sets the servers up first\n{said}");
}

/// A port of 127.0.0.1 that nobody listens on, nor on the one after it. It lies below the ports that systems give to clients, so that none of
/// the many connections takes it before its server does.
pub(crate) fn free_port() -> u16 {
    static NEXT: Mutex<u16> = Mutex::new(0);
    let mut next = NEXT.lock().expect("no test panics in here");
    if *next == 0 {
        *next = 15_000 + u16::try_from(std::process::id() % 1_000).expect("a small number") * 10;
    }
    loop {
        let port = *next;
        *next = if port < 30_000 { port + 2 } else { 15_000 };
        if [port, port + 1].into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
}

/// A Kafka broker.
#[derive(Debug)]
pub(crate) struct Kafka {
    port: u16,
    folder: PathBuf,
    /// Lines of its configuration beside the usual ones.
    settings: String,
}

impl Kafka {
    /// The one that tests share; they keep apart by the names of their topics and connectors.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("kafka"))
    }

    /// One of one's own, to stop and start.
    pub(crate) fn start(name: &str) -> Self {
        let kafka = Self { port: free_port(), folder: run_folder().join(name), settings: String::new() };
        kafka.resume();
        kafka
    }

    /// The same with more lines of configuration, which know its port and the controller's.
    pub(crate) fn start_with(name: &str, settings: impl FnOnce(u16, u16) -> String) -> Self {
        let port = free_port();
        let kafka = Self { port, folder: run_folder().join(name), settings: settings(port, port + 1) };
        kafka.resume();
        kafka
    }

    /// The same with a second way in: a listener on `port`, as whose address clients are told `advertised`, which passes on to it.
    pub(crate) fn start_behind(name: &str, port: u16, advertised: u16) -> Self {
        let own = free_port();
        let controller = own + 1;
        let settings = format!(
            "listeners=PLAINTEXT://127.0.0.1:{own},CONTROLLER://127.0.0.1:{controller},BEHIND://127.0.0.1:{port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{own},BEHIND://127.0.0.1:{advertised}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT\n"
        );
        let kafka = Self { port: own, folder: run_folder().join(name), settings };
        kafka.resume();
        kafka
    }

    /// `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the broker, in order; its topics stay.
    pub(crate) fn stop(&self) {
        control("kafka.sh", "stop", self.port, &self.folder);
    }

    /// Starts it again.
    pub(crate) fn resume(&self) {
        control_with("kafka.sh", "start", self.port, &self.folder, &[("KAFKA_SETTINGS", &self.settings)]);
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        let pid = fs::read_to_string(self.folder.join("kafka.pid")).expect("the broker's pid file");
        super::worker::signal(pid.trim(), "KILL");
        super::worker::await_some(
            super::worker::SOON,
            || (TcpListener::bind(("127.0.0.1", self.port)).is_ok()).then_some(()),
            || "its port is taken".to_owned(),
        );
        fs::remove_file(self.folder.join("kafka.pid")).expect("the pid file"); // its number is nobody's now
    }
}

/// The S3 server (versitygw): a bucket is a folder.
#[derive(Debug)]
pub(crate) struct S3 {
    port: u16,
    folder: PathBuf,
}

impl S3 {
    /// The one that tests share; each has its own bucket.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("s3"))
    }

    /// One of one's own, to stop and start.
    pub(crate) fn start(name: &str) -> Self {
        let s3 = Self { port: free_port(), folder: run_folder().join(name) };
        s3.resume();
        s3
    }

    /// `store.url`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server; its objects stay.
    pub(crate) fn stop(&self) {
        control("s3.sh", "stop", self.port, &self.folder);
    }

    /// Starts it again.
    pub(crate) fn resume(&self) {
        control("s3.sh", "start", self.port, &self.folder);
    }

    /// Where the buckets are.
    pub(crate) fn buckets(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// A TCP proxy whose connections can be made bad (toxiproxy), steered over HTTP.
#[derive(Debug)]
pub(crate) struct Toxiproxy {
    port: u16,
}

impl Toxiproxy {
    /// The one that tests share; they keep apart by the names of their proxies.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Toxiproxy> = OnceLock::new();
        SHARED.get_or_init(|| {
            let toxiproxy = Self { port: free_port() };
            control("toxiproxy.sh", "start", toxiproxy.port, &run_folder().join("toxiproxy"));
            toxiproxy
        })
    }

    /// Passes connections to `port` on to `upstream`.
    pub(crate) fn forward(&self, name: &str, port: u16, upstream: u16) {
        let body = serde_json::json!({
            "name": name, "enabled": true, "listen": format!("127.0.0.1:{port}"), "upstream": format!("127.0.0.1:{upstream}")
        });
        let (status, answer) = super::worker::request("POST", &format!("http://127.0.0.1:{}/proxies", self.port), Some(&body));
        assert_eq!(status, 201, "{answer}");
    }

    /// Makes that share of the connections bad, in the direction `upstream` or `downstream`.
    pub(crate) fn poison(&self, name: &str, kind: &str, stream: &str, share: f64, attributes: &serde_json::Value) {
        let body = serde_json::json!({ "name": "poison", "type": kind, "stream": stream, "toxicity": share, "attributes": attributes });
        let (status, answer) = super::worker::request("POST", &format!("http://127.0.0.1:{}/proxies/{name}/toxics", self.port), Some(&body));
        assert_eq!(status, 200, "{answer}");
    }

    /// Makes them good again.
    pub(crate) fn heal(&self, name: &str) {
        let (status, answer) = super::worker::request("DELETE", &format!("http://127.0.0.1:{}/proxies/{name}/toxics/poison", self.port), None);
        assert_eq!(status, 204, "{answer}");
    }
}

/// The schema registry (Apicurio).
#[derive(Debug)]
pub(crate) struct Registry {
    port: u16,
}

impl Registry {
    /// The one that tests share; they keep apart by subject.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(|| {
            let registry = Self { port: free_port() };
            control("registry.sh", "start", registry.port, &run_folder().join("registry"));
            registry
        })
    }

    /// `schema.registry.url`.
    pub(crate) fn url(&self) -> String {
        Self::url_at(self.port)
    }

    /// The same behind another port.
    pub(crate) fn url_at(port: u16) -> String {
        format!("http://127.0.0.1:{port}/apis/ccompat/v7")
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Registers an Avro schema for values of `topic` and returns its id.
    pub(crate) fn register(&self, topic: &str, schema: &str) -> u32 {
        let body = serde_json::json!({ "schema": schema });
        let url = format!("{}/subjects/{topic}-value/versions", self.url());
        let (status, answer) = super::worker::request("POST", &url, Some(&body));
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id")
    }
}

/// A door in front of a server: connections pass while it is open, and are refused or cut while it is shut.
#[derive(Debug)]
pub(crate) struct Door {
    /// Where it is.
    pub(crate) port: u16,
    open: Arc<AtomicBool>,
}

impl Door {
    /// A door to `server`, shut.
    #[expect(clippy::disallowed_methods, reason = "the harness has no runtime to spawn on, and its threads end with the test run")]
    pub(crate) fn shut(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !is_open.load(Ordering::SeqCst) {
                    continue; // dropping it cuts the connection
                }
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let is_open = Arc::clone(&is_open);
                    std::thread::spawn(move || pass(from, to, &is_open));
                }
            }
        });
        Self { port, open }
    }

    /// Lets connections pass.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_open: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if !is_open.load(Ordering::SeqCst) || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    // Either side may be gone already, and then there is nothing to shut.
    drop(to.shutdown(std::net::Shutdown::Both));
    drop(from.shutdown(std::net::Shutdown::Both));
}
