//! A vector, what it expects, and what it found instead.

use lakehead::connect::Props;
use serde_json::Value;

/// One vector of a file.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) form: Value,
    /// The file's named schemas.
    pub(crate) schemas: Value,
}

impl Vector {
    /// Every vector of a file.
    pub(crate) fn all(file: &Value) -> Result<Vec<Self>, String> {
        let forms = file.get("vectors").and_then(Value::as_array).or_else(|| file.as_array()).ok_or("the file has no list named vectors")?;
        let text = |form: &Value, key: &str| form[key].as_str().unwrap_or("?").to_owned();
        let schemas = file.get("schemas").cloned().unwrap_or_default();
        Ok(forms.iter().map(|form| Self { id: text(form, "id"), kind: text(form, "kind"), form: form.clone(), schemas: schemas.clone() }).collect())
    }

    pub(crate) fn expected(&self) -> &Value {
        &self.form["expected"]
    }

    /// The configuration as texts.
    pub(crate) fn props(&self) -> Result<Props, String> {
        let Some(config) = self.form.get("config").or_else(|| self.form.get("input").filter(|input| input.is_object())) else { return Ok(Props::new()) };
        let config = config.as_object().ok_or("config is no object")?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(config.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), text(value))).collect())
    }

    /// A value of the configuration.
    pub(crate) fn config(&self, key: &str) -> &str {
        self.form["config"][key].as_str().unwrap_or("")
    }

    /// The members of `expected` that the caller does not know; a vector with one of them was not understood.
    pub(crate) fn understood(&self, known: &[&str]) -> Result<(), String> {
        let members = self.expected().as_object().ok_or("expected is no object")?;
        let also = ["note", "comment"];
        match members.keys().find(|key| !known.contains(&key.as_str()) && !also.contains(&key.as_str())) {
            Some(key) => Err(format!("expected.{key} is not understood")),
            None => Ok(()),
        }
    }
}

/// What a vector looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The connector refused the configuration, or could not be made.
    Config,
    /// Keys of objects and the offsets in them.
    Files,
    /// Offsets that may be committed after a step.
    Commits,
    /// How it ended.
    Error,
    /// Records that were given back.
    Rejected,
    /// What is in a file, or what is said of it.
    Contents,
    /// An instant.
    Instant,
}

/// Something that is not as expected.
#[derive(Debug, Clone)]
pub(crate) struct Mismatch {
    pub(crate) part: Part,
    pub(crate) what: String,
    pub(crate) expected: Value,
    pub(crate) found: Value,
}

impl Mismatch {
    pub(crate) fn new(part: Part, what: impl Into<String>, expected: impl Into<Value>, found: impl Into<Value>) -> Self {
        Self { part, what: what.into(), expected: expected.into(), found: found.into() }
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// What a vector found: nothing when it passed; an error when it was not understood.
pub(crate) type Outcome = Result<Vec<Mismatch>, String>;
