//! An HTTP proxy before a store that fails on demand: refuses connections, answers with an error, or loses the answer to a request that was carried out.
//!
//! Answers under a status of 200 can be errors too, as those of S3. What was asked is kept for tests to look at.
//! Requests are passed on byte for byte (the `Host` header too, so signatures stay valid), one upstream connection each.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Not passed on; answered with this status and error code.
    Answer(u16, &'static str),
    /// Carried out, and the connection cut instead of an answer.
    LoseAnswer,
}

type Rule = (fn(&str) -> bool, Fault, u32);

#[derive(Default)]
struct State {
    rule: Option<Rule>,
    struck: u32,
    heads: Vec<String>,
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    port: u16,
    upstream: u16,
    state: Arc<Mutex<State>>,
    task: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Passes everything on to `upstream` of 127.0.0.1.
    pub(crate) async fn start(upstream: u16) -> Self {
        let mut proxy = Self { port: 0, upstream, state: Arc::default(), task: None };
        proxy.accept().await;
        proxy
    }

    /// Where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connections are refused from now on, and open ones cut.
    pub(crate) async fn refuse(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            drop(task.await);
        }
    }

    /// Connections are accepted again, on the same port.
    pub(crate) async fn accept(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let (upstream, state) = (self.upstream, Arc::clone(&self.state));
        self.task = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new(); // dropped, and so cut, with this task
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                connections.spawn(async move { drop(serve(client, upstream, &state).await) });
            }
        }));
    }

    /// The next `times` requests whose first line (`PUT /bucket/key?query HTTP/1.1`) `is_hit` meet `fault`.
    pub(crate) fn fail(&self, is_hit: fn(&str) -> bool, fault: Fault, times: u32) {
        let mut state = self.state.lock().unwrap();
        (state.rule, state.struck) = (Some((is_hit, fault, times)), 0);
    }

    /// Ends the fault; how often it has struck.
    pub(crate) fn heal(&self) -> u32 {
        let mut state = self.state.lock().unwrap();
        state.rule = None;
        std::mem::take(&mut state.struck)
    }

    /// The requests since the last call: first line and headers of each, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().heads)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl State {
    fn fault(&mut self, line: &str) -> Option<Fault> {
        let (is_hit, fault, left) = self.rule.as_mut()?;
        if *left == 0 || !is_hit(line) {
            return None;
        }
        *left -= 1;
        self.struck += 1;
        Some(*fault)
    }
}

async fn serve(mut client: TcpStream, upstream: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let fault = {
        let mut state = state.lock().unwrap();
        state.heads.push(text.to_ascii_lowercase());
        state.fault(line)
    };
    if let Some(Fault::Answer(status, code)) = fault {
        let error = format!("<Error><Code>{code}</Code><Message>a fault on demand</Message></Error>");
        let is_sts = text.contains("application/x-www-form-urlencoded"); // whose errors come wrapped
        let body = if is_sts { format!("<ErrorResponse>{error}</ErrorResponse>") } else { format!("<?xml version=\"1.0\"?>{error}") };
        let head = format!("HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).await?;
        client.write_all(body.as_bytes()).await?;
        return client.shutdown().await;
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    server.write_all(&head[..head.len() - 2]).await?;
    server.write_all(b"Connection: close\r\n\r\n").await?;
    server.write_all(&body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if fault.is_none() {
        client.write_all(&answer).await?;
    }
    client.shutdown().await
}

/// One request: its head with the empty line, and its body.
pub(crate) async fn read_request(client: &mut TcpStream) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((bytes, body))
}
