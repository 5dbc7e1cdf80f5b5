//! Ids for schemas that are written: registered, looked up, or those of other schemas that are to be written under.
//!
//! | settings, the first that holds | asked |
//! |---|---|
//! | `auto.register.schemas=true` (the default) | `POST /subjects/{subject}/versions` |
//! | `use.schema.id` | `GET /schemas/ids/{id}` |
//! | `use.latest.version=true` | `GET /subjects/{subject}/versions/latest` |
//! | none | `POST /subjects/{subject}` |
//!
//! As for schemas that are read, each is asked for once, and a registry that is down is waited for. What it refuses, or does not answer, is not remembered.

use std::sync::Arc;

use lakehead_formats::payload::{Registration, Wanted};
use lakehead_formats::wire::{SchemaId, SchemaKind};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::patience::Patience;
use super::settings::{self, Problem};
use super::{Answer, Client, Miss, Registry, causes, lock};
use crate::connect::{ErrorKind, Health, Props, TaskError};

/// How ids are come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// `auto.register.schemas`: a schema that the subject does not have is added to it.
    Register {
        /// `normalize.schemas`.
        normalize: bool,
    },
    /// `use.schema.id`.
    Id(SchemaId),
    /// `use.latest.version`.
    Latest,
    /// The subject has to have the schema.
    Find {
        /// `normalize.schemas`.
        normalize: bool,
    },
}

/// What is sent.
#[derive(Serialize)]
struct Request<'a> {
    schema: &'a str,
    /// Left out for Avro: old registries know nothing else, and not this member.
    #[serde(rename = "schemaType", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

/// What is answered to it.
#[derive(Deserialize)]
struct Given {
    id: SchemaId,
}

/// The newest schema of a subject.
#[derive(Deserialize)]
struct Latest {
    id: SchemaId,
    #[serde(flatten)]
    answer: Answer,
}

/// An error, as the registry answers.
#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
    #[serde(default)]
    message: String,
}

impl How {
    /// Reads a converter's settings.
    ///
    /// # Errors
    /// Every problem: key and message.
    pub fn parse(options: &Props) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut boolean = |key: &str, default: bool| match options.get(key).map(|text| text.trim()) {
            None => default,
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(text) => {
                problems.push((key.to_owned(), format!("\"{text}\" is not a boolean; values taken: true, false")));
                default
            }
        };
        let normalize = boolean("normalize.schemas", false);
        let (registers, latest) = (boolean("auto.register.schemas", true), boolean("use.latest.version", false));
        let id = match options.get("use.schema.id").map(|text| text.trim()).filter(|text| !text.is_empty()) {
            None | Some("-1") => None,
            Some(text) => text.parse::<SchemaId>().map(Some).unwrap_or_else(|_| {
                problems.push(("use.schema.id".to_owned(), format!("\"{text}\" is not the number of a schema")));
                None
            }),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(match id {
            _ if registers => Self::Register { normalize },
            Some(id) => Self::Id(id),
            None if latest => Self::Latest,
            None => Self::Find { normalize },
        })
    }

    /// What was tried, in upstream's words.
    fn act(self, wanted: &Wanted) -> String {
        let (kind, subject) = (wanted.kind.name(), &wanted.subject);
        match self {
            Self::Register { .. } => format!("Error registering {kind} schema in subject \"{subject}\""),
            Self::Id(id) => format!("Error retrieving schema ID \"{id}\" for subject \"{subject}\""),
            Self::Latest => format!("Error retrieving latest version of {kind} schema of subject \"{subject}\""),
            Self::Find { .. } => {
                format!("Error retrieving {kind} schema in subject \"{subject}\" (auto.register.schemas=false: somebody else has to register it)")
            }
        }
    }
}

impl Registry {
    /// The id for that schema. Waits while the registry does not answer, as long as there is patience, and says so in `health`. Cancel-safe.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the registry refuses the credentials, [`ErrorKind::BadConfig`] when what answers is not a registry.
    pub async fn registration(&self, wanted: &Wanted, how: How, health: &Health, patience: Patience) -> Result<Result<Arc<Registration>, String>, TaskError> {
        let cell = Arc::clone(lock(&self.0.registrations).entry((how, wanted.clone())).or_default());
        let found = self.persist(health, patience, || cell.get_or_try_init(|| self.0.register_at_any(wanted, how))).await;
        match found {
            Ok(registration) => Ok(registration.cloned().map_err(|without| format!("{}: {}", how.act(wanted), without.reason()))),
            Err((kind, message)) => Err(TaskError::new(kind, message).with("subject", &wanted.subject)),
        }
    }
}

impl Client {
    /// Asks each address in turn until one answers.
    async fn register_at_any(&self, wanted: &Wanted, how: How) -> Result<Arc<Registration>, Miss> {
        let mut troubles = Vec::new();
        for base in &self.settings.urls {
            match self.register(base, wanted, how).await {
                Err(Miss::Transient(trouble)) => troubles.push(trouble),
                answer => return answer,
            }
        }
        Err(Miss::Transient(troubles.join("; ")))
    }

    async fn register(&self, base: &Url, wanted: &Wanted, how: How) -> Result<Arc<Registration>, Miss> {
        let subject = wanted.subject.as_str();
        let plain = |given: Given| Registration { id: given.id, schema: None };
        Ok(Arc::new(match how {
            How::Register { normalize } => plain(self.post(base, &["subjects", subject, "versions"], normalize, wanted).await?),
            How::Find { normalize } => plain(self.post(base, &["subjects", subject], normalize, wanted).await?),
            How::Latest => {
                let latest: Latest = self.get(base, &["subjects", subject, "versions", "latest"]).await?;
                Registration { id: latest.id, schema: Some(self.resolved(base, latest.answer).await?) }
            }
            How::Id(id) => {
                let answer: Answer = self.get(base, &["schemas", "ids", &id.to_string()]).await?;
                Registration { id, schema: Some(self.resolved(base, answer).await?) }
            }
        }))
    }

    /// One request with a schema.
    async fn post(&self, base: &Url, path: &[&str], normalize: bool, wanted: &Wanted) -> Result<Given, Miss> {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if normalize {
            url.query_pairs_mut().append_pair("normalize", "true");
        }
        let name = settings::name(base);
        let kind = Some(wanted.kind.name()).filter(|_| wanted.kind != SchemaKind::Avro);
        let body = serde_json::to_vec(&Request { schema: &wanted.text, kind }).unwrap_or_default();
        let request = self.settings.authorize(self.http.post(url)).header("Content-Type", "application/vnd.schemaregistry.v1+json").body(body);
        let transient = |error: reqwest::Error| Miss::Transient(format!("{name}: {}", causes(&error.without_url())));
        let response = request.send().await.map_err(transient)?;
        let status = response.status();
        let body = response.bytes().await.map_err(transient)?;
        let said = serde_json::from_slice::<Refusal>(&body).ok();
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| {
                Miss::Fatal(ErrorKind::BadConfig, format!("{name} does not answer like a schema registry ({error}); check schema.registry.url"))
            }),
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                let message = said.map_or_else(String::new, |said| format!(": {}", said.message.trim()));
                Err(Miss::Unusable(format!("the schema registry {name} refuses it ({status}){message}")))
            }
            status => Err(super::missed(&name, status, said.map(|said| said.error_code), "write")),
        }
    }
}
