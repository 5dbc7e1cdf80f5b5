//! Configuration keys as data: one table per plugin gives parsing, validation, REST definitions and reference docs.
//!
//! Stands for Kafka's `ConfigDef`: the same types, importances and words in error messages where clients read them.

use std::borrow::Cow;

use crate::connect::Props;

pub mod display;

/// Type of a key, as `ConfigDef.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`, any case.
    Boolean,
    /// Text.
    String,
    /// 16-bit integer.
    Short,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Long,
    /// Comma separated texts.
    List,
    /// A plugin's name.
    Class,
    /// Text that is never printed.
    Password,
}

impl Type {
    /// As the REST API prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Short => "SHORT",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// Importance of a key, as `ConfigDef.Importance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// HIGH.
    High,
    /// MEDIUM.
    Medium,
    /// LOW.
    Low,
}

impl Importance {
    /// As the REST API prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// What values a key takes, beyond its type.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// Anything of the type.
    Any,
    /// Integer in this range, both ends included.
    Range(i64, i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in any case.
    OneOfIgnoreCase(&'static [&'static str]),
    /// A non-blank text.
    NotBlank,
    /// Upstream's key that does not act here yet: only these values are taken (they ask for nothing), every other is refused with the reason.
    Only(&'static [&'static str], &'static str),
    /// What a function has nothing against; it is given the trimmed text, and its error is what the user reads after the value and the key.
    Custom(fn(&str) -> Result<(), String>),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    /// Upstream's spelling.
    pub name: &'static str,
    /// Type.
    pub kind: Type,
    /// Text of the default value; `None` = no default.
    pub default: Option<&'static str>,
    /// True when a configuration without it is invalid.
    pub required: bool,
    /// Importance.
    pub importance: Importance,
    /// Group in the REST API.
    pub group: &'static str,
    /// What it does, default, unit, consequence.
    pub doc: &'static str,
    /// Values that it takes.
    pub check: Check,
}

/// A problem with one key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// The key.
    pub key: String,
    /// What is wrong with it, and what it takes.
    pub message: String,
}

impl ConfigError {
    /// A problem with that key.
    #[must_use]
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// What validation found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Every problem; empty = valid.
    pub errors: Vec<ConfigError>,
    /// Keys that no part of the connector knows, for a warning.
    pub unknown: Vec<String>,
}

impl Report {
    /// Adds problems that show across keys: one for each key that has none yet.
    pub fn add(&mut self, across: impl IntoIterator<Item = ConfigError>) {
        for error in across {
            if !self.errors.iter().any(|known| known.key == error.key) {
                self.errors.push(error);
            }
        }
    }
}

/// Checks a configuration against tables of keys, every key for itself; `is_known` tells which other keys are somebody's (transforms, converters, consumer overrides).
#[must_use]
pub fn check(tables: &[&[ConfigKey]], props: &Props, is_known: impl Fn(&str) -> bool) -> Report {
    let mut report = Report::default();
    for key in tables.iter().copied().flatten() {
        match props.get(key.name) {
            Some(text) => {
                if let Err(message) = check_value(key, text) {
                    report.errors.push(ConfigError::new(key.name, message));
                }
            }
            None if key.required => {
                report.errors.push(ConfigError::new(key.name, format!("Missing required configuration \"{}\" which has no default value.", key.name)))
            }
            None => {}
        }
    }
    let is_in_tables = |name: &str| tables.iter().copied().flatten().any(|key| key.name == name);
    report.unknown = props.keys().filter(|name| !is_in_tables(name) && !is_known(name)).cloned().collect();
    report
}

/// The value that a text stands for, written as `ConfigDef.convertToString` writes it; `None` when it is not of the key's type. A password is hidden, and
/// so is one inside a URL.
#[must_use]
pub fn shown(key: &ConfigKey, text: &str) -> Option<String> {
    let trimmed = text.trim();
    match key.kind {
        Type::Boolean => Some(trimmed.to_ascii_lowercase()).filter(|text| text == "true" || text == "false"),
        Type::Short => trimmed.parse::<i16>().ok().map(|n| n.to_string()),
        Type::Int => trimmed.parse::<i32>().ok().map(|n| n.to_string()),
        Type::Long => trimmed.parse::<i64>().ok().map(|n| n.to_string()),
        Type::List => Some(trimmed.split(',').map(str::trim).collect::<Vec<_>>().join(",")),
        Type::String | Type::Class => Some(without_user_info(trimmed).into_owned()),
        Type::Password => Some("[hidden]".to_owned()),
    }
}

/// Checks one value in the words of Kafka's `ConfigException`.
fn check_value(key: &ConfigKey, text: &str) -> Result<(), String> {
    let invalid = |shown: &str, why: String| Err(format!("Invalid value {shown} for configuration {}: {why}", key.name));
    let masked = without_user_info(text);
    let shown = if key.kind == Type::Password { "[hidden]" } else { masked.as_ref() };
    let trimmed = text.trim();
    let number = match key.kind {
        Type::Boolean if !trimmed.eq_ignore_ascii_case("true") && !trimmed.eq_ignore_ascii_case("false") => {
            return invalid(shown, "Expected value to be either true or false".to_owned());
        }
        Type::Short => match trimmed.parse::<i16>() {
            Ok(n) => Some(i64::from(n)),
            Err(_) => return invalid(shown, "Not a number of type SHORT".to_owned()),
        },
        Type::Int => match trimmed.parse::<i32>() {
            Ok(n) => Some(i64::from(n)),
            Err(_) => return invalid(shown, "Not a number of type INT".to_owned()),
        },
        Type::Long => match trimmed.parse::<i64>() {
            Ok(n) => Some(n),
            Err(_) => return invalid(shown, "Not a number of type LONG".to_owned()),
        },
        Type::Boolean | Type::String | Type::List | Type::Class | Type::Password => None,
    };
    match key.check {
        Check::Any => Ok(()),
        Check::Range(least, most) => match number {
            Some(n) if n < least => invalid(shown, format!("Value must be at least {least}")),
            Some(n) if n > most => invalid(shown, format!("Value must be no more than {most}")),
            _ => Ok(()),
        },
        Check::OneOf(taken) if taken.contains(&trimmed) => Ok(()),
        Check::OneOf(taken) => invalid(shown, format!("String must be one of: {}", taken.join(", "))),
        Check::OneOfIgnoreCase(taken) if taken.iter().any(|t| t.eq_ignore_ascii_case(trimmed)) => Ok(()),
        Check::OneOfIgnoreCase(taken) => invalid(shown, format!("String must be one of (case insensitive): {}", taken.join(", "))),
        Check::NotBlank if trimmed.is_empty() => invalid(shown, "String must be non-empty".to_owned()),
        Check::NotBlank => Ok(()),
        Check::Only(taken, _) if taken.iter().any(|t| t.eq_ignore_ascii_case(trimmed)) => Ok(()),
        Check::Custom(allows) => allows(trimmed).or_else(|why| invalid(shown, why)),
        Check::Only(taken, why) => invalid(shown, format!("{why}; values taken: {}", taken.join(", "))),
    }
}

/// A text for messages, without the user and the password that may stand in it before its last `@`: in a URL, in a URL whose scheme was forgotten or
/// mistyped (`me:secret@proxy:3128`), and rather once too often than once too seldom.
#[must_use]
pub fn without_user_info(text: &str) -> Cow<'_, str> {
    let Some((before, host)) = text.rsplit_once('@') else { return Cow::Borrowed(text) };
    let is_scheme = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    // what begins a template, a pattern or a list of settings is no user
    let is_user = |text: &str| !text.chars().any(|c| c.is_whitespace() || "{}'\"=".contains(c));
    match (before.split_once("://"), before.split_once(':')) {
        (Some((scheme, _)), _) if is_scheme(scheme) => Cow::Owned(format!("{scheme}://[hidden]@{host}")),
        (Some(_), _) => Cow::Owned(format!("[hidden]@{host}")),
        (None, Some((user, _))) if is_user(user) => Cow::Owned(format!("[hidden]@{host}")),
        (None, _) => Cow::Borrowed(text),
    }
}

/// Typed access to a configuration under tables of keys. A getter returns the key's default where the key is absent, and the default again where the
/// text is not of the type (which [`check`] has reported by then).
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The tables.
    pub tables: &'a [&'a [ConfigKey]],
    /// The texts.
    pub props: &'a Props,
}

impl<'a> Values<'a> {
    fn default_of(&self, name: &str) -> Option<&'a str> {
        let key = self.tables.iter().copied().flatten().find(|key| key.name == name);
        debug_assert!(key.is_some(), "{name} is in no table");
        key.and_then(|key| key.default)
    }

    /// The text as it was given (not trimmed), or the default; `None` when neither is there.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.props.get(name).map(String::as_str).or_else(|| self.default_of(name))
    }

    /// The trimmed text; empty when there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &'a str {
        self.raw(name).unwrap_or("").trim()
    }

    /// The trimmed text, `None` when it is blank.
    #[must_use]
    pub fn non_blank(&self, name: &str) -> Option<&'a str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// An integer; `None` when neither the text nor the default is one.
    #[must_use]
    pub fn long(&self, name: &str) -> Option<i64> {
        let given = self.props.get(name).and_then(|text| text.trim().parse().ok());
        given.or_else(|| self.default_of(name).and_then(|text| text.parse().ok()))
    }

    /// A boolean.
    #[must_use]
    pub fn boolean(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("true")
    }

    /// A comma separated list, each element trimmed; empty when the text is blank.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&'a str> {
        match self.text(name) {
            "" => Vec::new(),
            text => text.split(',').map(str::trim).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_hidden() {
        for (text, shown) in [
            ("http://me:hunter2@proxy:3128", "http://[hidden]@proxy:3128"),
            ("http://hunter2@proxy", "http://[hidden]@proxy"),
            ("http://me:hun@t/er2@proxy/x", "http://[hidden]@proxy/x"),
            ("http://a:hunter2@x,http://b:hunter2@y", "http://[hidden]@y"),
            ("me:hunter2@proxy:3128", "[hidden]@proxy:3128"),
            ("me:hunter 2@proxy", "[hidden]@proxy"),
            (":hunter2@proxy", "[hidden]@proxy"),
            ("http:/me:hunter2@proxy", "[hidden]@proxy"),
            ("http:/me:hunter2@", "[hidden]@"),
            ("https//me:hunter2@proxy", "[hidden]@proxy"),
            ("me:hunter2@http://proxy", "[hidden]@http://proxy"),
            (" http://me:hunter2@proxy", "[hidden]@proxy"),
            ("http://proxy:3128", "http://proxy:3128"),
            ("someone@example.com", "someone@example.com"),
            ("{time:HH}@{topic}", "{time:HH}@{topic}"),
            ("'year'=YYYY/'at'=HH:mm@z", "'year'=YYYY/'at'=HH:mm@z"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(without_user_info(text), shown, "{text}");
        }
    }
}
