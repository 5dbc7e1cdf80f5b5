//! File name templates: text with `{{ variable }}` and `{{ variable:parameter=value }}`.
//!
//! Source: `io.aiven.kafka.connect.common.templating` and its validators. What does not have the form of a variable is text.

/// A variable's parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    name: String,
    value: String,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text.
    Text(String),
    /// A variable.
    Variable(String, Option<Parameter>),
}

impl Piece {
    /// True for a variable with `padding=true`.
    pub(super) fn is_padded(&self) -> bool {
        matches!(self, Self::Variable(_, Some(parameter)) if parameter.value.eq_ignore_ascii_case("true"))
    }

    /// The unit of a timestamp.
    pub(super) fn unit(&self) -> Option<&str> {
        match self {
            Self::Variable(_, Some(parameter)) if parameter.name == "unit" => Some(&parameter.value),
            _ => None,
        }
    }
}

/// What a template's variables group records by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouper {
    /// Topic and partition.
    TopicPartition,
    /// Topic, partition and key.
    TopicPartitionKey,
    /// Key: the last record of each key wins.
    Key,
    /// Key, and topic or partition: the last record of each wins.
    KeyTopicPartition,
}

impl Grouper {
    /// True when a file holds the last record of its key, and nothing else.
    pub(super) fn keeps_last(self) -> bool {
        matches!(self, Self::Key | Self::KeyTopicPartition)
    }
}

const SETS: &str = "topic,partition,start_offset,timestamp; topic,partition,key,start_offset,timestamp; key; key,topic,partition";
const PADDING: &[&str] = &["true", "false"];
const UNITS: &[&str] = &["yyyy", "MM", "dd", "HH"];

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match variable(rest) {
            Some((name, colon, parameter, after)) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                if name.is_empty() {
                    return Err(format!("Variable name hasn't been set for template: {text}"));
                }
                if colon && parameter.is_empty() {
                    return Err("Wrong variable with parameter definition".to_owned());
                }
                let parameter = if parameter.is_empty() { None } else { Some(parameter_of(name, parameter)?) };
                pieces.push(Piece::Variable(name.to_owned(), parameter));
                rest = after;
            }
            None => {
                literal.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or("");
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// `{{ name:parameter }}` at the front: name, whether there is a colon, parameter, and what follows.
fn variable(text: &str) -> Option<(&str, bool, &str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let split = |text: &'_ str, is_in: &dyn Fn(char) -> bool| text.find(|c: char| !is_in(c)).unwrap_or(text.len());
    let inside = text.strip_prefix("{{")?.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let (name, rest) = inside.split_at(split(inside, &is_word));
    let (colon, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
    let (parameter, rest) = rest.split_at(split(rest, &|c| is_word(c) || c == '='));
    let after = rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).strip_prefix("}}")?;
    Some((name, colon, parameter, after))
}

fn parameter_of(variable: &str, text: &str) -> Result<Parameter, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err(format!("Parameter name for variable `{variable}` has not been set"));
    }
    if value.is_empty() {
        return Err(format!("Parameter value for variable `{variable}` and parameter `{name}` has not been set"));
    }
    Ok(Parameter { name: name.to_owned(), value: value.to_owned() })
}

/// Checks a file name's variables, and says what they group by.
pub(super) fn grouper(text: &str, pieces: &[Piece]) -> Result<Grouper, String> {
    let variables: Vec<&str> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Variable(name, _) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
        .collect();
    let has = |name: &str| variables.contains(&name);
    let unsupported = || Err(format!("unsupported set of template variables, supported sets are: {SETS}"));
    if variables.is_empty() {
        return Err(format!("RecordGrouper requires that the template [{text}] has variables defined. Supported variables are: {SETS}"));
    }
    if !variables.iter().all(|name| ["topic", "partition", "start_offset", "timestamp", "key"].contains(name)) {
        return unsupported();
    }
    parameters(pieces)?;
    match (has("topic") && has("partition") && has("start_offset"), has("key")) {
        (true, true) => Ok(Grouper::TopicPartitionKey),
        (true, false) => Ok(Grouper::TopicPartition),
        // a time or an offset without the rest would not tell files apart
        (false, true) if !has("timestamp") && !has("start_offset") => {
            Ok(if has("topic") || has("partition") { Grouper::KeyTopicPartition } else { Grouper::Key })
        }
        (false, _) => unsupported(),
    }
}

/// Checks the parameters of the variables that take some.
pub(super) fn parameters(pieces: &[Piece]) -> Result<(), String> {
    for piece in pieces {
        let Piece::Variable(name, parameter) = piece else { continue };
        let (wanted, values, is_required) = match name.as_str() {
            "partition" | "start_offset" => ("padding", PADDING, false),
            "timestamp" => ("unit", UNITS, true),
            _ => continue,
        };
        match parameter {
            None if is_required => {
                return Err(format!("parameter {wanted} is required for the the variable {name}, supported values are: {}", values.join("|")));
            }
            Some(Parameter { name, value }) if name != wanted || !values.contains(&value.as_str()) => {
                return Err("unsupported set of template variables parameters, supported sets are: \
                            partition:padding=true|false,start_offset:padding=true|false,timestamp:unit=yyyy|MM|dd|HH"
                    .to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<Grouper, String> {
        parse(text).and_then(|pieces| grouper(text, &pieces))
    }

    #[test]
    fn templates_and_what_they_group_by() {
        for (text, wanted) in [
            ("{{topic}}-{{partition}}-{{start_offset}}", Grouper::TopicPartition),
            ("{{ topic }}/{{ partition:padding=true }}/{{start_offset:padding=false}}", Grouper::TopicPartition),
            ("{{timestamp:unit=yyyy}}/{{topic}}-{{partition}}-{{start_offset}}.gz", Grouper::TopicPartition),
            ("{{topic}}-{{partition}}-{{key}}-{{start_offset}}", Grouper::TopicPartitionKey),
            ("{{key}}", Grouper::Key),
            ("a/{{key}}.json", Grouper::Key),
            ("{{key}}/{{topic}}/{{partition}}", Grouper::KeyTopicPartition),
            ("{{topic}}/{{key}}", Grouper::KeyTopicPartition),
        ] {
            assert_eq!(check(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn templates_that_are_refused() {
        for (text, part) in [
            ("plain", "has variables defined"),
            ("", "has variables defined"),
            ("{{topic}}-{{partition}}", "unsupported set of template variables, supported sets are: topic,partition,start_offset,timestamp;"),
            ("{{topic}}-{{partition}}-{{start_offset}}-{{what}}", "unsupported set of template variables, supported"),
            ("{{key}}-{{timestamp:unit=yyyy}}", "unsupported set of template variables, supported"),
            ("{{topic}}-{{partition}}-{{start_offset}}-{{timestamp}}", "parameter unit is required for the the variable timestamp"),
            ("{{topic}}-{{partition}}-{{start_offset}}-{{timestamp:unit=YYYY}}", "unsupported set of template variables parameters"),
            ("{{topic}}-{{partition:padding=yes}}-{{start_offset}}", "unsupported set of template variables parameters"),
            ("{{topic:}}", "Wrong variable with parameter definition"),
            ("{{ }}", "Variable name hasn't been set"),
            ("{{topic:=x}}", "Parameter name for variable `topic`"),
            ("{{topic:padding=}}", "Parameter value for variable `topic`"),
        ] {
            assert!(check(text).as_ref().is_err_and(|error| error.contains(part)), "{text}: {:?}", check(text));
        }
    }

    #[test]
    fn what_is_no_variable_is_text() {
        for text in ["{{topic.x}}", "{{topic", "{topic}", "{{to pic}}", "}}"] {
            assert_eq!(parse(text), Ok(vec![Piece::Text(text.to_owned())]), "{text}");
        }
        assert_eq!(parse("{{{topic}}}").unwrap(), [Piece::Text("{".to_owned()), Piece::Variable("topic".to_owned(), None), Piece::Text("}".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_template_panics(text in "[{}: =topic_é]{0,20}|\\PC{0,12}") {
            prop_assert!(parse(&text).map_or(0, |pieces| pieces.len()) <= text.len());
        }
    }
}
