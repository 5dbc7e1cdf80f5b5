//! An HTTP proxy before a store that fails on demand: refuses connections, answers with an error, loses the answer to a request that was carried out, or
//! keeps a request for as long as it is told to.
//!
//! Answers under a status of 200 can be errors too, as those of S3. What was asked is kept for tests to look at.
//! Requests are passed on byte for byte (the `Host` header too, so signatures stay valid), one upstream connection each.
#![expect(clippy::expect_used, reason = "whatever goes wrong in a harness fails the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Not passed on; answered with this status and error code. Of a request that was carried out already: this answer instead of its own.
    Answer(u16, &'static str),
    /// Carried out, and the connection cut instead of an answer.
    LoseAnswer,
    /// Not passed on, and the connection cut.
    Cut,
    /// Passed on after this time.
    Late(Duration),
    /// Passed on when the gate opens.
    Hold(Gate),
}

/// Holds what waits before it until it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate that is shut.
    pub(crate) fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.0.close();
    }

    /// Returns when it is open.
    pub(crate) async fn pass(&self) {
        drop(self.0.acquire().await); // an error when it is closed, which is what opening is
    }
}

/// Where a request is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It has come; the store knows nothing of it.
    Asked,
    /// The store has carried it out and answered; the client knows nothing of it.
    Done,
    /// The client has the answer.
    Answered,
}

/// Says what happens to a request (its first line: `PUT /bucket/key?query HTTP/1.1`) at each moment.
type Judge = Box<dyn FnMut(Moment, &str) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    judge: Option<Judge>,
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
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port");
        self.port = listener.local_addr().expect("an address").port();
        let (upstream, state) = (self.upstream, Arc::clone(&self.state));
        self.task = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new(); // dropped, and so cut, with this task
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                connections.spawn(async move { drop(serve(client, upstream, &state).await) });
                while connections.try_join_next().is_some() {}
            }
        }));
    }

    /// The next `times` requests whose first line `is_hit` meet `fault`.
    pub(crate) fn fail(&self, is_hit: impl Fn(&str) -> bool + Send + 'static, fault: Fault, times: u32) {
        let mut left = times;
        self.judge(move |moment, line| {
            let strikes = moment == Moment::Asked && left > 0 && is_hit(line);
            left -= u32::from(strikes);
            strikes.then(|| fault.clone())
        });
    }

    /// Asks `judge` what happens to each request from now on, at each moment of it.
    pub(crate) fn judge(&self, judge: impl FnMut(Moment, &str) -> Option<Fault> + Send + 'static) {
        let mut state = self.state.lock().expect("no judge panics");
        state.judge = Some(Box::new(judge));
        state.struck = 0;
    }

    /// Ends the fault; how often it has struck.
    pub(crate) fn heal(&self) -> u32 {
        let mut state = self.state.lock().expect("no judge panics");
        state.judge = None;
        std::mem::take(&mut state.struck)
    }

    /// The requests since the last call: first line and headers of each, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().expect("no judge panics").heads)
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
    fn fault(&mut self, moment: Moment, line: &str) -> Option<Fault> {
        let fault = self.judge.as_mut()?(moment, line);
        self.struck += u32::from(fault.is_some());
        fault
    }
}

async fn serve(mut client: TcpStream, upstream: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let at = |moment| state.lock().expect("no judge panics").fault(moment, line);
    state.lock().expect("no judge panics").heads.push(text.to_ascii_lowercase());
    let is_lost = match at(Moment::Asked) {
        Some(Fault::Answer(status, code)) => return answer(&mut client, &text, status, code).await,
        Some(Fault::Cut) => return Ok(()),
        Some(Fault::LoseAnswer) => true,
        Some(Fault::Late(wait)) => {
            tokio::time::sleep(wait).await;
            false
        }
        Some(Fault::Hold(gate)) => {
            gate.pass().await;
            false
        }
        None => false,
    };
    let answered = carried_out(upstream, &head, &body).await?;
    match at(Moment::Done) {
        _ if is_lost => return client.shutdown().await,
        Some(Fault::Answer(status, code)) => return answer(&mut client, &text, status, code).await,
        Some(Fault::Cut | Fault::LoseAnswer) => return Ok(()),
        Some(Fault::Late(wait)) => tokio::time::sleep(wait).await,
        Some(Fault::Hold(gate)) => gate.pass().await,
        None => {}
    }
    client.write_all(&answered).await?;
    client.shutdown().await?;
    at(Moment::Answered);
    Ok(())
}

/// Passes a request on and returns the answer. A server may answer and close before it has read everything: the answer counts, and not that writing failed.
async fn carried_out(upstream: u16, head: &[u8], body: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut from_server, mut to_server) = TcpStream::connect(("127.0.0.1", upstream)).await?.into_split();
    let send = async {
        to_server.write_all(&head[..head.len() - 2]).await?;
        to_server.write_all(b"Connection: close\r\n\r\n").await?;
        to_server.write_all(body).await
    };
    let mut answered = Vec::new();
    let (sent, received) = tokio::join!(send, from_server.read_to_end(&mut answered));
    if answered.is_empty() {
        received.and(sent.map(|()| 0))?;
    }
    Ok(answered)
}

/// Answers a request with an error, in the form in which its service has errors.
async fn answer(client: &mut TcpStream, request: &str, status: u16, code: &str) -> std::io::Result<()> {
    let error = format!("<Error><Code>{code}</Code><Message>a fault on demand</Message></Error>");
    let is_sts = request.contains("application/x-www-form-urlencoded"); // whose errors come wrapped
    let body = if is_sts { format!("<ErrorResponse>{error}</ErrorResponse>") } else { format!("<?xml version=\"1.0\"?>{error}") };
    let head = format!("HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
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
