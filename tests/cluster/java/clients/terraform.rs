//! What Terraform's provider for Kafka Connect asks of a worker, played: `apply`, `plan`, `destroy` of one connector, with the state that Terraform keeps.
//!
//! The provider creates by `POST /connectors`, changes by `PUT …/config`, and after each waits until what it reads is what it wrote; it plans by what
//! `GET /connectors/{name}` answers, whose configuration must be, key for key and as texts, the one that was given: every other key would be a change, for ever.
//! After 409 it tries again.
//!
//! Calls: `apply` and `plan` (a connector as `POST /connectors` takes it, or its text; what Terraform would change), `destroy` (a name).

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Client, Member};
use crate::world::worker::block_on;

/// Tries after 409, and readings until what is read is what was written.
const TRIES: usize = 200;

/// Between them.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(25);

/// The provider, and what Terraform has in its state.
struct Terraform {
    url: String,
    http: reqwest::Client,
    state: Option<Map<String, Value>>,
}

/// A connector as it is wanted.
struct Wanted {
    name: String,
    /// The body of `POST`.
    text: String,
    /// The body of `PUT`.
    config: String,
    /// Its values as texts, as Terraform has them.
    values: BTreeMap<String, String>,
}

pub(super) fn start(member: &Member) -> Box<dyn Client> {
    Box::new(Terraform { url: member.url.clone(), http: reqwest::Client::new(), state: None })
}

impl Terraform {
    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut request = self.http.request(method.parse().expect("a method"), format!("{}{path}", self.url)).header("Accept", "application/json");
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_owned());
        }
        block_on(async {
            let answer = request.send().await.expect("an answer");
            let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
            (status, serde_json::from_str(&text).unwrap_or(Value::Null))
        })
    }

    /// Asks again until `is_over`, and while the group is being shared out; what was answered last.
    fn until(&self, method: &str, path: &str, body: Option<&str>, is_over: impl Fn(u16, &Value) -> bool) -> (u16, Value) {
        let mut answer = self.ask(method, path, body);
        for _ in 1..TRIES {
            if !is_rebalance(answer.0, &answer.1) && is_over(answer.0, &answer.1) {
                break;
            }
            std::thread::sleep(PAUSE);
            answer = self.ask(method, path, body);
        }
        answer
    }

    fn write(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut answer = self.until(method, path, body, |_, _| true);
        if let Some(members) = answer.1.as_object_mut() {
            members.remove("tasks"); // these are made later, or not
        }
        answer
    }

    /// The configuration is read into the state.
    fn read(&mut self, name: &str) -> u16 {
        let (status, mut answer) = self.until("GET", &address(name), None, |_, _| true);
        self.state = answer.get_mut("config").and_then(Value::as_object_mut).map(std::mem::take);
        status
    }

    fn apply(&mut self, wanted: &Wanted) -> Value {
        let path = address(&wanted.name);
        let is_new = self.state.is_none();
        let (written, path) = if is_new {
            (self.write("POST", "/connectors", Some(&wanted.text)), path)
        } else {
            let path = format!("{path}/config");
            (self.write("PUT", &path, Some(&wanted.config)), path)
        };
        let is_there = |status, read: &Value| status == 200 && (is_new || wanted.changes(read.as_object()).is_empty());
        let waited = self.until("GET", &path, None, |status, read| is_there(status, read) || status == 400 || written.0 >= 400);
        let read = self.read(&wanted.name);
        json!({"written": written.0, "said": written.1, "waited for": [waited.0, waited.1.get("message")], "read": read, "state": self.state})
    }

    fn destroy(&mut self, name: &str) -> Value {
        let path = address(name);
        let (status, said) = self.write("DELETE", &path, None);
        let gone = self.until("GET", &path, None, |read, _| read == 404 || status >= 400);
        self.state = None;
        json!({"deleted": status, "said": said, "read": gone.0})
    }
}

impl Client for Terraform {
    fn call(&mut self, call: &str, arguments: &[Value]) -> Value {
        let argument = &arguments[0];
        let text = argument.as_str().map_or_else(|| argument.to_string(), str::to_owned);
        match call {
            "apply" => self.apply(&Wanted::new(text)),
            "plan" => {
                let wanted = Wanted::new(text);
                let read = self.read(&wanted.name);
                json!({"read": read, "changes": wanted.changes(self.state.as_ref())})
            }
            "destroy" => self.destroy(&text),
            _ => panic!("Terraform has no {call}"),
        }
    }
}

impl Wanted {
    fn new(text: String) -> Self {
        let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).expect("an object");
        let given = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
        let config = members.get("config").map_or("{}", |config| config.get());
        let values: BTreeMap<String, Box<RawValue>> = serde_json::from_str(config).unwrap_or_default();
        Self {
            name: members.get("name").map(|name| given(name)).unwrap_or_default(),
            config: config.to_owned(),
            values: values.into_iter().map(|(key, value)| (key, given(&value))).collect(),
            text,
        }
    }

    /// What has to be done to a configuration for it to be the one that is wanted: what it lacks, what differs, what it has beside it.
    fn changes(&self, read: Option<&Map<String, Value>>) -> Vec<String> {
        let none = Map::new();
        let read = read.unwrap_or(&none);
        let change = |(key, value): (&String, &String)| match read.get(key) {
            None => Some(format!("+ {key} = {value}")),
            Some(Value::String(is)) if is == value => None,
            Some(is) => Some(format!("~ {key} = {is} -> {value}")),
        };
        let beside = read.keys().filter(|key| !self.values.contains_key(*key)).map(|key| format!("- {key}"));
        let mut changes: Vec<String> = self.values.iter().filter_map(change).chain(beside).collect();
        changes.sort();
        changes
    }
}

/// How the provider sees that a group is being shared out; but a name that is taken is not that.
fn is_rebalance(status: u16, answer: &Value) -> bool {
    let says = |part| answer["message"].as_str().is_some_and(|message| message.contains(part));
    (status == 409 && !says("already exists")) || says("rebalance")
}

/// Where a connector is: its name escaped as the provider does.
fn address(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+=:@".contains(&byte);
    let escaped = name.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    format!("/connectors/{}", escaped.collect::<String>())
}
