//! A server that answers requests as a test says, and keeps what it was asked: for what real stores do only when they fail.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A server on this machine.
pub(super) struct Server {
    /// Where it listens.
    pub(super) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts one whose answer to each request is that of its head.
    pub(super) async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heads, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    let end = loop {
                        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                            break end;
                        }
                        if connection.read_buf(&mut read).await.unwrap_or(0) == 0 {
                            return;
                        }
                    };
                    let head = String::from_utf8_lossy(&read[..end]).into_owned();
                    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
                    while read.len() < end + 4 + length.unwrap_or(0) && connection.read_buf(&mut read).await.unwrap_or(0) > 0 {}
                    let text = answer(&head);
                    kept.lock().unwrap().push(head);
                    drop(connection.write_all(text.as_bytes()).await);
                });
            }
        });
        Self { url, heads }
    }

    /// The heads of the requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// An answer with a body, after which the connection ends.
pub(super) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// An error of S3, GCS or Azure.
pub(super) fn refusal(status: &str, code: &str) -> String {
    answer(status, &format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
}
