//! Names of fields, and of fields within fields: upstream's `SingleFieldPath` and `FieldSyntaxVersion`.
//!
//! With `field.syntax.version=V1` a name is a name. With `V2` it is a path of names with dots between; a name that has dots itself stands between backticks,
//! and a backtick before a dot within those is written after a backslash.

use crate::connect::config::{Check, ConfigKey, Importance, Type};

/// The setting of the transforms that take paths.
pub(super) const VERSION: ConfigKey = ConfigKey {
    name: "field.syntax.version",
    kind: Type::String,
    default: Some("V1"),
    required: false,
    importance: Importance::High,
    group: "",
    doc: "V1: fields are those at the root of the struct or map. V2: dots lead to fields within fields; names with dots stand between backticks.",
    check: Check::OneOfIgnoreCase(&["V1", "V2"]),
};

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// As they are.
    V1,
    /// With dots between.
    V2,
}

impl Syntax {
    /// The version that a setting names, in any case; `V1` where it names none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.trim().eq_ignore_ascii_case("V2") { Self::V2 } else { Self::V1 }
    }
}

/// The names on the way to a field, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    steps: Vec<String>,
}

impl FieldPath {
    /// Reads a path.
    ///
    /// # Errors
    /// Upstream's message when a backtick lacks its other half.
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, String> {
        Ok(Self {
            steps: match syntax {
                Syntax::V1 => vec![text.to_owned()],
                Syntax::V2 => steps(text)?,
            },
        })
    }

    /// The names.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

fn steps(path: &str) -> Result<Vec<String>, String> {
    let mut steps = Vec::new();
    let mut at = 0;
    while let Some(rest) = path.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(quoted) = rest.strip_prefix('`') {
            let Some((step, length)) = between_backticks(quoted) else {
                return Err(format!(
                    "Incomplete backtick pair in path: [{path}], consider adding a backslash before backtick at position {} to escape it",
                    path.get(..at).map_or(0, |before| before.encode_utf16().count())
                ));
            };
            steps.push(step);
            at += 1 + length;
        } else {
            let step = rest.split('.').next().unwrap_or_default();
            steps.push(step.to_owned());
            at += step.len();
        }
        at += usize::from(at < path.len()); // the dot
    }
    if path.ends_with('.') {
        steps.push(String::new());
    }
    Ok(steps)
}

/// The name before the backtick that closes it, and how many bytes that is with the backtick. A backtick that neither a dot nor the end follows belongs to
/// the name, and so does one before a dot with a backslash before it, which goes.
fn between_backticks(text: &str) -> Option<(String, usize)> {
    let mut step = String::new();
    let mut start = 0;
    for (at, _) in text.match_indices('`') {
        let (before, after) = (text.get(start..at)?, text.get(at + 1..)?);
        // At the very beginning, the character before is the opening backtick.
        let escaped = text.get(..at)?.ends_with('\\');
        match (after.chars().next(), escaped) {
            (None, true) => return None,
            (None | Some('.'), false) => return Some((step + before, at + 1)),
            (Some('.'), true) => {
                step.push_str(before.strip_suffix('\\').unwrap_or(before));
                step.push('`');
                start = at + 1;
            }
            (Some(_), _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_as_they_are_in_the_first_version() {
        for text in ["", "foo.bar.baz", "foo`bar`", "foo.`bar.baz`"] {
            assert_eq!(FieldPath::parse(text, Syntax::of("v1")).unwrap().steps(), [text]);
        }
    }

    #[test]
    fn dots_lead_on_in_the_second() {
        for (text, steps) in [
            ("", vec![]),
            ("..", vec!["", "", ""]),
            ("foo..", vec!["foo", "", ""]),
            (".bar.", vec!["", "bar", ""]),
            ("..baz", vec!["", "", "baz"]),
            ("foo.bar.baz", vec!["foo", "bar", "baz"]),
            ("foo`bar`baz", vec!["foo`bar`baz"]),
            ("`foo.bar.baz`", vec!["foo.bar.baz"]),
            ("foo.`bar.baz`", vec!["foo", "bar.baz"]),
            ("`foo.bar`.baz", vec!["foo.bar", "baz"]),
            ("foo.``bar.baz`", vec!["foo", "`bar.baz"]),
            ("foo.`ba`r.baz`", vec!["foo", "ba`r.baz"]),
            ("``foo.bar.baz``", vec!["`foo.bar.baz`"]),
            ("foo.`bar.`baz`", vec!["foo", "bar.`baz"]),
            ("foo.`bar\\`.`baz`", vec!["foo", "bar`.`baz"]),
            ("foo.`bar\\\\`.\\`baz`", vec!["foo", "bar\\`.\\`baz"]),
            ("``", vec![""]),
            ("`é`.x", vec!["é", "x"]),
            ("`a`.", vec!["a", ""]),
        ] {
            assert_eq!(FieldPath::parse(text, Syntax::V2).unwrap().steps(), steps, "{text}");
        }
        for (text, at) in [("`foo.bar.baz", 0), ("`foo.bar.baz\\`", 0), ("é.`b", 2), ("`", 0)] {
            let message = FieldPath::parse(text, Syntax::V2).unwrap_err();
            assert!(message.starts_with(&format!("Incomplete backtick pair in path: [{text}], ")) && message.contains(&format!("position {at} ")), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_is_refused(text in "[a.`\\\\é]{0,12}") {
            if let Ok(path) = FieldPath::parse(&text, Syntax::V2) {
                prop_assert_eq!(path.steps().is_empty(), text.is_empty());
            }
        }

        #[test]
        fn names_between_backticks_come_back(names in prop::collection::vec("[a.é]{0,4}", 1..4)) {
            let text = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(".");
            let path = FieldPath::parse(&text, Syntax::V2).unwrap();
            prop_assert_eq!(path.steps(), &names[..]);
        }
    }
}
