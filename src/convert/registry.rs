//! Confluent's Schema Registry over HTTP: schemas by their ids, with what they refer to, and ids for schemas that are written.
//!
//! Parts: [`Registry`], the client; [`registration`], what it asks for writers; `settings`, its keys. Every task of the process that names the same registry with the same settings
//! shares one client, which remembers each schema (a registry never changes the text of an id) and asks once for it, however many tasks wait.
//!
//! Guarantee: a registry that is down costs time, never records: it is asked again for ever, with the trouble in the task's health, unless the connector says how long
//! ([`Patience`]). A credential is never part of an error or a log line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lakehead_formats::payload::{Registration, Wanted};
use lakehead_formats::wire::{self, RegisteredSchema, SchemaId, SchemaKind};
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use super::patience::Patience;
use crate::connect::{ErrorKind, Health, Props, TaskError};

pub mod registration;
mod settings;

use registration::How;
use settings::Settings;
pub use settings::{Direction, Problem};

/// References that one schema may have, theirs included.
const MOST_REFERENCES: usize = 1000;

/// A client of one registry; cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Client>);

struct Client {
    http: reqwest::Client,
    settings: Settings,
    known: Mutex<BTreeMap<SchemaId, Arc<OnceCell<Arc<RegisteredSchema>>>>>,
    /// Schemas that others refer to, by subject and version.
    referred: Mutex<BTreeMap<(String, i64), Arc<Answer>>>,
    registrations: Mutex<BTreeMap<(How, Wanted), Arc<OnceCell<Arc<Registration>>>>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("urls", &self.0.settings.names()).finish_non_exhaustive()
    }
}

impl fmt::Display for Registry {
    /// The addresses, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.settings.names().join(","))
    }
}

/// Clients that are in use, by their settings.
static CLIENTS: LazyLock<Mutex<BTreeMap<Settings, Weak<Client>>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A map of finished values is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why there is no schema, and records that need it are bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Without {
    /// The registry does not have it, or what it has cannot be used.
    Refused(String),
    /// It did not answer for as long as there was patience: whoever needs it next asks again.
    Unanswered(String),
}

impl Without {
    /// For a person.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(reason) | Self::Unanswered(reason) => reason,
        }
    }
}

/// Why a round of asking brought no schema.
enum Miss {
    /// The registry has no such schema, or one that cannot be used: the records are bad.
    Unusable(String),
    /// Asking again may help.
    Transient(String),
    /// A person must act.
    Fatal(ErrorKind, String),
}

/// A schema, as `GET /schemas/ids/{id}` and `GET /subjects/{subject}/versions/{version}` answer.
#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Clone, Deserialize)]
struct Reference {
    /// What the schema that refers calls it.
    name: String,
    subject: String,
    version: i64,
}

/// Where a schema is registered, as `GET /schemas/ids/{id}/versions` answers.
#[derive(Deserialize)]
struct Place {
    subject: String,
    version: i32,
}

/// An error, as the registry answers.
#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
}

impl Registry {
    /// The client for a converter's own settings (`key.converter.*` or `value.converter.*` with that prefix cut off). Reads files that the
    /// settings name, asks nothing.
    ///
    /// # Errors
    /// Every setting that is wrong or not supported: its key without the prefix, and what is wrong.
    pub fn open(options: &Props, direction: Direction) -> Result<Self, Vec<Problem>> {
        let settings = Settings::parse(options, direction)?;
        let mut clients = lock(&CLIENTS);
        if let Some(client) = clients.get(&settings).and_then(Weak::upgrade) {
            return Ok(Self(client));
        }
        let http = settings.http()?;
        let client =
            Arc::new(Client { http, settings: settings.clone(), known: Mutex::default(), referred: Mutex::default(), registrations: Mutex::default() });
        clients.retain(|_, client| client.strong_count() > 0);
        clients.insert(settings, Arc::downgrade(&client));
        Ok(Self(client))
    }

    /// That schema, with the schemas that it refers to. Waits while the registry does not answer, as long as there is patience, and says so in `health`. Cancel-safe.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the registry refuses the credentials, [`ErrorKind::BadConfig`] when what answers is not a registry.
    pub async fn schema(&self, id: SchemaId, health: &Health, patience: Patience) -> Result<Result<Arc<RegisteredSchema>, Without>, TaskError> {
        let cell = Arc::clone(lock(&self.0.known).entry(id).or_default());
        let found = self.persist(health, patience, || cell.get_or_try_init(|| self.0.whole_of_any(id))).await;
        match found {
            Ok(schema) => Ok(schema.cloned()),
            Err((kind, message)) => Err(TaskError::new(kind, message).with("schema id", id)),
        }
    }

    /// Asks until there is an answer, or what a person must act on, or no patience is left. Says in `health` that it waits.
    async fn persist<T, F: Future<Output = Result<T, Miss>>>(
        &self,
        health: &Health,
        patience: Patience,
        ask: impl Fn() -> F,
    ) -> Result<Result<T, Without>, (ErrorKind, String)> {
        let (began, mut waits) = (Instant::now(), patience.waits());
        loop {
            let answer = match ask().await {
                Ok(found) => Ok(Ok(found)),
                Err(Miss::Unusable(reason)) => Ok(Err(Without::Refused(reason))),
                Err(Miss::Fatal(kind, message)) => Err((kind, message)),
                Err(Miss::Transient(trouble)) => match patience.gives_up_after {
                    Some(after) if began.elapsed() >= after => {
                        let why = format!("the schema registry did not answer for {} ms (errors.retry.timeout): {trouble}", after.as_millis());
                        Ok(Err(Without::Unanswered(why)))
                    }
                    limit => {
                        health.set("registry", Some(format!("waiting for the schema registry: {trouble}")));
                        let left = limit.map_or(Duration::MAX, |after| after.saturating_sub(began.elapsed()));
                        tokio::time::sleep(waits.next().unwrap_or_default().min(left)).await;
                        continue;
                    }
                },
            };
            health.set("registry", None);
            return answer;
        }
    }
}

impl Client {
    /// Asks each address in turn until one answers.
    async fn whole_of_any(&self, id: SchemaId) -> Result<Arc<RegisteredSchema>, Miss> {
        let mut troubles = Vec::new();
        for base in &self.settings.urls {
            match self.whole(base, id).await {
                Err(Miss::Transient(trouble)) => troubles.push(trouble),
                answer => return answer,
            }
        }
        Err(Miss::Transient(troubles.join("; ")))
    }

    /// The schema of an address, with what it refers to and where it is registered.
    async fn whole(&self, base: &Url, id: SchemaId) -> Result<Arc<RegisteredSchema>, Miss> {
        let id = id.to_string();
        let answer: Answer = self.get(base, &["schemas", "ids", &id]).await?;
        let schema = self.resolved(base, answer).await?;
        // Versions are for comparing schemas; a registry that does not list them has none to compare.
        let versions = match self.get::<Vec<Place>>(base, &["schemas", "ids", &id, "versions"]).await {
            Ok(places) => places.into_iter().map(|place| (place.subject, place.version)).collect(),
            Err(Miss::Transient(trouble)) => return Err(Miss::Transient(trouble)),
            Err(_) => BTreeMap::new(),
        };
        Ok(Arc::new(RegisteredSchema { versions, ..schema }))
    }

    /// A schema as the registry answered it, with what it refers to.
    async fn resolved(&self, base: &Url, answer: Answer) -> Result<RegisteredSchema, Miss> {
        let kind = answer.kind.as_deref().unwrap_or(SchemaKind::Avro.name());
        let Some(kind) = SchemaKind::of(kind) else {
            return Err(Miss::Unusable(format!("it is a schema of type \"{kind}\", which no converter here reads")));
        };
        let references = self.references(base, answer.references).await?;
        Ok(RegisteredSchema { references, ..RegisteredSchema::new(kind, answer.schema) })
    }

    /// The schemas that these refer to, all the way down; each after those that it refers to itself. Of several with one name the one that is met
    /// first counts, as upstream.
    async fn references(&self, base: &Url, first: Vec<Reference>) -> Result<Vec<wire::Reference>, Miss> {
        /// A reference that waits for the ones before it, or whose own are all there.
        enum Step {
            Ask(Reference),
            Add(wire::Reference),
        }
        let mut steps: Vec<Step> = first.into_iter().rev().map(Step::Ask).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut found = Vec::new();
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Add(reference) => {
                    found.push(reference);
                    continue;
                }
                Step::Ask(reference) => reference,
            };
            if !seen.insert(reference.name.clone()) {
                continue;
            }
            if seen.len() > MOST_REFERENCES {
                return Err(Miss::Unusable(format!("it refers to more than {MOST_REFERENCES} schemas")));
            }
            let answer = self.referred(base, &reference).await?;
            steps.push(Step::Add(wire::Reference { name: reference.name, text: answer.schema.clone() }));
            steps.extend(answer.references.iter().rev().cloned().map(Step::Ask));
        }
        Ok(found)
    }

    /// A schema by subject and version, which a registry never changes.
    async fn referred(&self, base: &Url, reference: &Reference) -> Result<Arc<Answer>, Miss> {
        let key = (reference.subject.clone(), reference.version);
        if let Some(known) = lock(&self.referred).get(&key) {
            return Ok(Arc::clone(known));
        }
        let version = if reference.version < 0 { "latest".to_owned() } else { reference.version.to_string() };
        let answer = self.get(base, &["subjects", &reference.subject, "versions", &version]).await.map_err(|miss| match miss {
            Miss::Unusable(reason) => Miss::Unusable(format!("its reference \"{}\" version {version}: {reason}", reference.subject)),
            other => other,
        })?;
        let answer: Arc<Answer> = Arc::new(answer);
        lock(&self.referred).insert(key, Arc::clone(&answer));
        Ok(answer)
    }

    /// One request.
    async fn get<T: serde::de::DeserializeOwned>(&self, base: &Url, path: &[&str]) -> Result<T, Miss> {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let name = settings::name(base);
        let request = self.settings.authorize(self.http.get(url)).header("Accept", "application/vnd.schemaregistry.v1+json, application/json; q=0.9");
        let transient = |error: reqwest::Error| Miss::Transient(format!("{name}: {}", causes(&error.without_url())));
        let response = request.send().await.map_err(transient)?;
        let status = response.status();
        let body = response.bytes().await.map_err(transient)?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| {
                Miss::Fatal(ErrorKind::BadConfig, format!("{name} does not answer like a schema registry ({error}); check schema.registry.url"))
            }),
            status => Err(missed(&name, status, serde_json::from_slice::<Refusal>(&body).ok().map(|refusal| refusal.error_code), "read")),
        }
    }
}

/// What an answer without a schema means.
fn missed(name: &str, status: StatusCode, code: Option<i64>, act: &str) -> Miss {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let hint = format!("check basic.auth.credentials.source and basic.auth.user.info, and what that user may {act}");
            Miss::Fatal(ErrorKind::Denied, format!("schema registry {name} answered {status}; {hint}"))
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Miss::Transient(format!("{name} answered {status}")),
        _ if status.is_server_error() => Miss::Transient(format!("{name} answered {status}")),
        // 40401 subject, 40402 version, 40403 schema not found.
        StatusCode::NOT_FOUND if code.is_some_and(|code| (40_401..=40_403).contains(&code)) => {
            Miss::Unusable(format!("the schema registry {name} does not know it"))
        }
        _ => Miss::Fatal(ErrorKind::BadConfig, format!("{name} answered {status}, not like a schema registry; check schema.registry.url")),
    }
}

/// An error and what it was caused by, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
