//! `kafka-connect-healthcheck`, which runs beside a worker and tells a load balancer whether that is well: calls are its paths.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Client, LONG, Member, driver};
use crate::world::servers::free_port;
use crate::world::worker::{await_some, request};

/// Its server.
struct Health {
    process: Child,
    url: String,
}

pub(super) fn start(member: &Member) -> Box<dyn Client> {
    let port = free_port();
    let log = File::create(member.folder.join("health.log")).expect("a log");
    let mut command = Command::new(driver::tools().join("connect-clients/healthcheck/bin/kafka-connect-healthcheck"));
    command.args(["--port", &port.to_string(), "--connect-url", &member.url, "--connect-worker-id", &member.id]);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("the same file twice")).stderr(log);
    let process = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}; `make test` sets the clients up first"));
    fs::write(member.folder.join("health.pid"), process.id().to_string()).expect("a pid file");
    let health = Health { process, url: format!("http://127.0.0.1:{port}") };
    let is_up = || (request("GET", &format!("{}/ping", health.url), None).0 == 200).then_some(());
    await_some(LONG, is_up, || fs::read_to_string(member.folder.join("health.log")).unwrap_or_default());
    Box::new(health)
}

impl Client for Health {
    fn call(&mut self, call: &str, _arguments: &[Value]) -> Value {
        let (status, body) = request("GET", &format!("{}{call}", self.url), None);
        json!({"status": status, "body": body})
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
