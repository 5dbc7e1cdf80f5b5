//! Connector files on the command line: `.properties`, a flat JSON map, or the body of `POST /connectors` (KIP-1050).
//!
//! The forms are told apart by trying them in upstream's order (`ConnectStandalone.parseConnectorConfigurationFile`): the file's name says nothing.

use std::path::Path;

use serde_json::{Map, Value};

use crate::connect::Props;
use crate::settings::properties;

/// One connector to create when the worker starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorFile {
    /// Its name.
    pub name: String,
    /// Its configuration, `name` included.
    pub config: Props,
    /// `RUNNING`, `PAUSED` or `STOPPED`, when the file says so.
    pub initial_state: Option<String>,
}

/// Reads a connector file.
///
/// # Errors
/// One line that names the file and what is wrong with it.
pub fn read(path: &Path) -> Result<ConnectorFile, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("could not read connector file {}: {error}", path.display()))?;
    parse(&bytes).map_err(|message| format!("connector file {}: {message}", path.display()))
}

fn parse(bytes: &[u8]) -> Result<ConnectorFile, String> {
    match serde_json::from_slice::<Map<String, Value>>(bytes) {
        Ok(object) if matches!(object.get("config"), Some(Value::Object(_))) => from_request(&object),
        Ok(object) => named(texts(&object)?, None),
        Err(error) if bytes.trim_ascii_start().starts_with(b"{") => Err(format!("this is not valid JSON: {error}")),
        Err(_) => named(properties::parse(bytes).map_err(|error| error.to_string())?, None),
    }
}

fn from_request(request: &Map<String, Value>) -> Result<ConnectorFile, String> {
    let text = |key: &str| request.get(key).and_then(Value::as_str).map(str::to_owned);
    let Some(Value::Object(config)) = request.get("config") else { return Err("\"config\" is missing".to_owned()) };
    let mut config = texts(config)?;
    match (text("name"), config.get("name")) {
        (Some(name), Some(inner)) if name != *inner => {
            return Err(format!("the name \"{inner}\" in \"config\" is not the name \"{name}\" beside it"));
        }
        (Some(name), None) => drop(config.insert("name".to_owned(), name)),
        _ => {}
    }
    named(config, text("initial_state"))
}

fn named(config: Props, initial_state: Option<String>) -> Result<ConnectorFile, String> {
    let Some(name) = config.get("name").cloned() else {
        return Err("the mandatory configuration \"name\" is missing".to_owned());
    };
    Ok(ConnectorFile { name, config, initial_state })
}

/// A JSON object's members as texts: numbers and booleans as they are written.
fn texts(object: &Map<String, Value>) -> Result<Props, String> {
    let text = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((key.clone(), value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!("the value of \"{key}\" is not a text, number or boolean")),
    };
    object.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_mean_the_same() {
        for text in [
            "name=c\ntopics=a\\\n  ,b\ntasks.max: 2\n",
            r#"{"name": "c", "topics": "a,b", "tasks.max": 2}"#,
            r#"{"name": "c", "config": {"topics": "a,b", "tasks.max": "2"}}"#,
            r#"  {"name": "c", "config": {"name": "c", "topics": "a,b", "tasks.max": 2}, "more": 1}"#,
        ] {
            let file = parse(text.as_bytes()).unwrap();
            let expected = [("name", "c"), ("topics", "a,b"), ("tasks.max", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
            assert_eq!(file, ConnectorFile { name: "c".to_owned(), config: Props::from(expected), initial_state: None }, "{text}");
        }
        let paused = parse(br#"{"name": "c", "config": {}, "initial_state": "PAUSED"}"#).unwrap();
        assert_eq!(paused.initial_state.as_deref(), Some("PAUSED"));
    }

    #[test]
    fn a_file_without_a_usable_form_says_why() {
        for (text, expected) in [
            ("topics=a", "the mandatory configuration \"name\" is missing"),
            (r#"{"topics": "a"}"#, "the mandatory configuration \"name\" is missing"),
            (r#"{"name": "a", "config": {"name": "b"}}"#, "the name \"b\" in \"config\" is not the name \"a\" beside it"),
            (r#"{"name": "a", "x": [1]}"#, "the value of \"x\" is not a text, number or boolean"),
            (r#"{"name": "a",}"#, "this is not valid JSON: trailing comma at line 1 column 14"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), expected, "{text}");
        }
    }
}
