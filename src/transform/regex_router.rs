//! `RegexRouter`: topics that match an expression as a whole are renamed.
//!
//! Upstream: `org.apache.kafka.connect.transforms.RegexRouter`: `Matcher.matches()`, then `replaceFirst`, which looks for the first match again, this time
//! anywhere. Expressions are those of the `fancy-regex` crate (look-around, back-references, possessive and atomic groups included); Java's own additions
//! to that are refused when the configuration is checked, never read otherwise.

use std::fmt::Write;
use std::sync::Arc;

use fancy_regex::{Captures, Regex};
use lakehead_formats::column::Reject;

use super::Transform;
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    key("regex", "Regular expression that the whole topic must match."),
    key("replacement", "The new topic: $1 or ${name} stand for groups of the expression."),
];

const fn key(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind: Type::String, default: None, required: true, importance: Importance::High, group: "Transforms", doc, check: Check::Any }
}

#[derive(Debug)]
struct RegexRouter {
    whole: Regex,
    anywhere: Regex,
    replacement: Vec<Part>,
    /// The last topic and its new name.
    last: Option<(Arc<str>, Renamed)>,
}

/// What becomes of a topic, or why that cannot be told.
type Renamed = Result<Arc<str>, String>;

/// A piece of a replacement.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(char),
    /// A group by number.
    Group(usize),
}

/// Builds it.
pub(super) fn build(props: &Props) -> Result<Box<dyn Transform>, Vec<ConfigError>> {
    let values = Values { tables: &[KEYS], props };
    let (regex, replacement) = (values.text("regex"), values.text("replacement"));
    let invalid = |key: &str, value: &str, message: &str| vec![ConfigError::new(key, format!("Invalid value {value} for configuration {key}: {message}"))];
    let (whole, anywhere) = compile(regex).map_err(|error| invalid("regex", regex, &format!("Invalid regex: {error}")))?;
    let replacement = parse_replacement(replacement, &anywhere).map_err(|message| invalid("replacement", replacement, &message))?;
    Ok(Box::new(RegexRouter { whole, anywhere, replacement, last: None }))
}

/// An expression for a text as a whole, and anywhere in it.
pub(super) fn compile(regex: &str) -> Result<(Regex, Regex), Box<fancy_regex::Error>> {
    // on its own first: inside the group, a broken expression could become a whole one; a comment of `(?x)` at its end needs a line feed
    let regex = &of_java(regex);
    let anywhere = Regex::new(regex)?;
    let whole = Regex::new(&format!("\\A(?:{regex})\\z")).or_else(|_| Regex::new(&format!("\\A(?:{regex}\n)\\z")))?;
    Ok((whole, anywhere))
}

/// What only Java has, in the engine's syntax: `\\Q…\\E` is a text as it stands, `\\h` a horizontal blank (and a hexadecimal digit in other engines).
fn of_java(regex: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(regex.len()), regex);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        // A backslash and what it escapes.
        let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
        let (escape, after) = escape.split_at(end);
        rest = after;
        match escape {
            "\\Q" => {
                let (quoted, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                text.push_str(&regex::escape(quoted));
                rest = after;
            }
            "\\h" => text.push_str(r"[ \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]"),
            _ => text.push_str(escape),
        }
    }
    text + rest
}

impl Transform for RegexRouter {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let renamed = match &self.last {
            Some((topic, renamed)) if *topic == batch.topic => renamed.clone(),
            _ => {
                let renamed = self.rename(&batch.topic);
                self.last = Some((Arc::clone(&batch.topic), renamed.clone()));
                renamed
            }
        };
        match renamed {
            Ok(topic) => {
                out.push(Batch { topic, ..batch });
                Vec::new()
            }
            Err(reason) => {
                let rows = batch.len();
                out.push(super::rows::without_rows(&batch));
                (0..rows).map(|row| Reject { row, reason: reason.clone() }).collect()
            }
        }
    }
}

impl RegexRouter {
    fn rename(&self, topic: &Arc<str>) -> Renamed {
        let gave_up = |error| format!("regex cannot be matched with topic \"{topic}\": {error}");
        if !self.whole.is_match(&**topic).map_err(gave_up)? {
            return Ok(Arc::clone(topic));
        }
        let Some(found) = self.anywhere.captures(&**topic).map_err(gave_up)? else { return Ok(Arc::clone(topic)) };
        let Some(all) = found.get(0) else { return Ok(Arc::clone(topic)) };
        let (head, tail) = (topic.get(..all.start()).unwrap_or(""), topic.get(all.end()..).unwrap_or(""));
        Ok(Arc::from(format!("{head}{}{tail}", Expanded(&self.replacement, &found))))
    }
}

/// A replacement with its groups filled in; a group that took no part is empty.
struct Expanded<'a>(&'a [Part], &'a Captures<'a, str>);

impl std::fmt::Display for Expanded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in self.0 {
            match part {
                Part::Literal(c) => f.write_char(*c)?,
                Part::Group(number) => f.write_str(self.1.get(*number).map_or("", |group| group.as_str()))?,
            }
        }
        Ok(())
    }
}

/// Reads a replacement as Java's `Matcher.appendReplacement`: `\x` is x, `$12` is the longest number that is a group, `${name}` a named group.
fn parse_replacement(text: &str, regex: &Regex) -> Result<Vec<Part>, String> {
    let groups = regex.captures_len();
    let mut parts = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => parts.push(Part::Literal(chars.next().ok_or("character to be escaped is missing")?)),
            '$' if chars.next_if_eq(&'{').is_some() => {
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let number = regex.capture_names().position(|known| known == Some(name.as_str()));
                parts.push(Part::Group(number.ok_or_else(|| format!("No group with name {{{name}}}"))?));
            }
            '$' => {
                let digit = |c: &char| c.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                let mut number = chars.next().as_ref().and_then(digit).ok_or("Illegal group reference")?;
                if number >= groups {
                    return Err(format!("No group {number}"));
                }
                while let Some(longer) = chars.peek().and_then(digit).map(|digit| number * 10 + digit).filter(|longer| *longer < groups) {
                    number = longer;
                    chars.next();
                }
                parts.push(Part::Group(number));
            }
            c => parts.push(Part::Literal(c)),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{batch, pieces};
    use super::*;

    fn router(regex: &str, replacement: &str) -> Result<Box<dyn Transform>, Vec<ConfigError>> {
        build(&[("regex", regex), ("replacement", replacement)].map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    }

    fn rename(regex: &str, replacement: &str, topic: &str) -> String {
        let mut out = Vec::new();
        let whole = Batch { topic: Arc::from(topic), ..batch(&[(12, None)]) };
        let rejects = router(regex, replacement).unwrap().apply(whole, &mut out);
        assert!(rejects.is_empty());
        pieces(&out).swap_remove(0).0
    }

    #[test]
    fn topics_are_renamed_as_by_java() {
        for (regex, replacement, topic, renamed) in [
            ("(.*)", "$1", "orig", "orig"),
            ("(.*)", "prefix-$1", "orig", "prefix-orig"),
            ("(.*)-(\\d\\d\\d\\d\\d\\d\\d\\d)", "$1", "index-20160117", "index"),
            ("(?<env>[a-z]+)-(.*)", "${env}_$2", "prod-a-b", "prod_a-b"),
            ("orders", "x", "orders-eu", "orders-eu"), // not the whole topic
            ("a|ab", "x", "ab", "xb"),                 // the whole matches, then the first match is `a`
            (".*", "x", "", "x"),
            ("(a)(b)?(.*)", "$3$2$1", "ac", "ca"),
            ("(.)(.*)", "$12", "ab", "a2"),
            ("(.*)", "\\$1\\\\$1", "a", "$1\\a"),
            ("(.*)", "$0$0", "a", "aa"),
            ("(?i)ORDERS\\.(.*)", "$1", "orders.eu", "eu"),
            ("(?!internal)(.+)", "x-$1", "orders", "x-orders"),
            ("(?!internal)(.+)", "x-$1", "internal-orders", "internal-orders"),
            ("(\\w+)-\\1", "$1", "eu-eu", "eu"),
            ("a++b", "x", "aab", "x"),
            ("\\Qa.b\\E-(.*)", "$1", "a.b-c", "c"),
            ("\\Qa.b\\E-(.*)", "$1", "axb-c", "axb-c"),
            ("a\\hb", "x", "afb", "afb"), // no digit
            ("\\\\h|a\\.b", "x", "a.b", "x"),
            ("x\\Q+", "y", "x+", "y"), // a quote that stays open
            ("(?x) a b # both", "x", "ab", "x"),
        ] {
            assert_eq!(rename(regex, replacement, topic), renamed, "{regex} {replacement} {topic}");
        }
    }

    #[test]
    fn the_same_router_takes_other_topics() {
        let mut router = router("(.*)-v\\d", "$1").unwrap();
        let mut out = Vec::new();
        for topic in ["a-v1", "a-v1", "b-v2", "c"] {
            router.apply(Batch { topic: Arc::from(topic), ..batch(&[]) }, &mut out);
        }
        assert_eq!(out.iter().map(|batch| &*batch.topic).collect::<Vec<_>>(), ["a", "a", "b", "c"]);
    }

    #[test]
    fn what_is_refused() {
        for (regex, replacement, key, part) in [
            ("(", "x", "regex", "Invalid value ( for configuration regex: Invalid regex: "),
            ("a)(?:b", "x", "regex", "Invalid regex: "),
            ("(a)", "$2", "replacement", "No group 2"),
            ("(a)", "${env}", "replacement", "No group with name {env}"),
            ("(a)", "$x", "replacement", "Illegal group reference"),
            ("(a)", "x\\", "replacement", "character to be escaped is missing"),
        ] {
            let errors = router(regex, replacement).unwrap_err();
            assert!(errors[0].key == key && errors[0].message.contains(part), "{regex}: {errors:?}");
        }
    }
}
