//! KCQL, as far as cloud sinks use it.
//!
//! ```text
//! INSERT INTO bucket[:prefix] SELECT * FROM topic | * [NOPARTITION | PARTITIONBY field, …] [STOREAS `FORMAT`] [PROPERTIES('name'=value, …)]
//! ```
//!
//! Statements are separated by `;`. Keywords are taken in any case. What the grammar of other connectors adds is refused by name.

use std::collections::BTreeMap;

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Target, before the colon.
    pub(super) bucket: String,
    /// What every object's name begins with.
    pub(super) prefix: Option<String>,
    /// `None` = every topic.
    pub(super) topic: Option<String>,
    /// How rows are partitioned.
    pub(super) partition_by: PartitionBy,
    /// As written, without backticks; `JSON` where nothing is.
    pub(super) format: String,
    /// `PROPERTIES`.
    pub(super) properties: BTreeMap<String, String>,
}

/// How rows are partitioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartitionBy {
    /// Nothing was said: by topic and partition.
    Default,
    /// `NOPARTITION`.
    Nothing,
    /// `PARTITIONBY`: each field split at its dots.
    Fields(Vec<Vec<String>>),
}

const WITH_FLUSH: &str = "The KCQL keywords WITH_FLUSH_COUNT, WITH_FLUSH_SIZE, and WITH_FLUSH_INTERVAL have been replaced by entries in the PROPERTIES section: \
                          'flush.count', 'flush.size' and 'flush.interval'";
const WITH_PARTITIONER: &str =
    "Invalid KCQL setting. WITHPARTITIONER feature has been replaced. Adapt the KCQL to use PROPERTIES: 'partition.include.keys'=true";

/// A token: a word as it is written, backticks included; a text in quotes; or one of `( ) , =`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Reads every statement.
///
/// # Errors
/// What is wrong with the first statement that cannot be read, in it or with what upstream has replaced.
pub(super) fn parse(text: &str) -> Result<Vec<Statement>, String> {
    let statements: Vec<&str> = split_statements(text).into_iter().map(str::trim).filter(|statement| !statement.is_empty()).collect();
    if statements.is_empty() {
        return Err("there is no statement; write INSERT INTO bucket:prefix SELECT * FROM topic".to_owned());
    }
    statements.into_iter().map(statement).collect()
}

/// The statements between semicolons outside of quotes.
fn split_statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '`') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ';') => {
                found.push(text.get(start..at).unwrap_or(""));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(text.get(start..).unwrap_or(""));
    found
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
        } else if "(),=".contains(c) {
            chars.next();
            found.push(Token::Sign(c));
        } else if c == '\'' {
            chars.next();
            let inside: String = chars.by_ref().take_while(|c| *c != '\'').collect();
            if !text.contains(&format!("'{inside}'")) {
                return Err(format!("the quote in '{inside} is never closed"));
            }
            found.push(Token::Text(inside));
        } else {
            let mut word = String::new();
            let mut is_quoted = false;
            while let Some(&c) = chars.peek().filter(|c| is_quoted || !(c.is_whitespace() || "(),='".contains(**c))) {
                is_quoted ^= c == '`';
                word.push(c);
                chars.next();
            }
            if is_quoted {
                return Err(format!("the backtick in {word} is never closed"));
            }
            found.push(Token::Word(word));
        }
    }
    Ok(found)
}

fn statement(text: &str) -> Result<Statement, String> {
    let upper = text.to_ascii_uppercase();
    if ["WITH_FLUSH_COUNT", "WITH_FLUSH_SIZE", "WITH_FLUSH_INTERVAL"].iter().any(|word| upper.contains(word)) {
        return Err(WITH_FLUSH.to_owned());
    }
    if upper.contains("WITHPARTITIONER") {
        return Err(WITH_PARTITIONER.to_owned());
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let found = parser.statement().map_err(|message| format!("{message} in '{text}'"))?;
    match parser.next() {
        None => Ok(found),
        Some(token) => {
            Err(format!("{} is not supported here in '{text}'; a statement has PARTITIONBY, STOREAS and PROPERTIES, in this order", show(Some(&token))))
        }
    }
}

fn show(token: Option<&Token>) -> String {
    match token {
        None => "the end".to_owned(),
        Some(Token::Word(word)) => word.clone(),
        Some(Token::Text(text)) => format!("'{text}'"),
        Some(Token::Sign(sign)) => sign.to_string(),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let is_there = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(is_there);
        is_there
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let is_there = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(is_there);
        is_there
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), String> {
        if self.take_keyword(keyword) { Ok(()) } else { Err(format!("{keyword} is expected, not {},", show(self.peek()))) }
    }

    fn sign(&mut self, sign: char) -> Result<(), String> {
        if self.take_sign(sign) { Ok(()) } else { Err(format!("'{sign}' is expected, not {},", show(self.peek()))) }
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(name) | Token::Text(name)) if !name.is_empty() => Ok(name),
            other => Err(format!("{what} is expected, not {},", show(other.as_ref()))),
        }
    }

    fn statement(&mut self) -> Result<Statement, String> {
        self.keyword("INSERT")?;
        self.keyword("INTO")?;
        let target = self.name("a bucket")?.replace('`', "");
        let (bucket, prefix) = target.split_once(':').map_or((target.as_str(), None), |(bucket, prefix)| (bucket, Some(prefix)));
        let prefix = prefix.map(str::to_owned).filter(|prefix| !prefix.is_empty());
        if bucket.is_empty() {
            return Err("a bucket is expected before ':'".to_owned());
        }
        if prefix.as_ref().is_some_and(|prefix| prefix.contains(':')) {
            return Err(format!("a target is bucket:prefix, not {target},"));
        }
        let bucket = bucket.to_owned();
        self.keyword("SELECT")?;
        if self.name("*")? != "*" {
            return Err("only SELECT * is supported: cut fields with a transform;".to_owned());
        }
        self.keyword("FROM")?;
        let topic = self.name("a topic")?.replace('`', "");
        let topic = Some(topic).filter(|topic| topic != "*");
        let partition_by = self.partition_by()?;
        let format = if self.take_keyword("STOREAS") { self.name("a format")?.replace('`', "") } else { "JSON".to_owned() };
        let properties = if self.take_keyword("PROPERTIES") { self.properties()? } else { BTreeMap::new() };
        Ok(Statement { bucket, prefix, topic, partition_by, format, properties })
    }

    fn partition_by(&mut self) -> Result<PartitionBy, String> {
        if self.take_keyword("NOPARTITION") {
            return Ok(PartitionBy::Nothing);
        }
        if !self.take_keyword("PARTITIONBY") {
            return Ok(PartitionBy::Default);
        }
        let mut fields = Vec::new();
        loop {
            let name = self.name("a field")?;
            let path = split_field(&name);
            if path.is_empty() {
                return Err(format!("'{name}' names no field"));
            }
            fields.push(path);
            if !self.take_sign(',') {
                return Ok(PartitionBy::Fields(fields));
            }
        }
    }

    fn properties(&mut self) -> Result<BTreeMap<String, String>, String> {
        let mut found = BTreeMap::new();
        self.sign('(')?;
        if self.take_sign(')') {
            return Ok(found);
        }
        loop {
            let name = self.name("a property")?;
            self.sign('=')?;
            let value = match self.next() {
                Some(Token::Word(value) | Token::Text(value)) => value,
                other => return Err(format!("a value of '{name}' is expected, not {},", show(other.as_ref()))),
            };
            found.insert(name.to_ascii_lowercase(), value); // upstream's names are of any case
            if !self.take_sign(',') {
                self.sign(')')?;
                return Ok(found);
            }
        }
    }
}

/// A field at its dots; what is in backticks stays whole.
fn split_field(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut part = String::new();
    let mut is_quoted = false;
    for c in text.chars() {
        match c {
            '`' if part.is_empty() || is_quoted => {
                is_quoted = !is_quoted;
                if !is_quoted {
                    found.push(std::mem::take(&mut part));
                }
            }
            '.' if !is_quoted => {
                if !part.is_empty() {
                    found.push(std::mem::take(&mut part));
                }
            }
            c => part.push(c),
        }
    }
    if !part.is_empty() {
        found.push(part);
    }
    found.retain(|part| !part.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Statement {
        let mut found = parse(text).unwrap();
        assert_eq!(found.len(), 1, "{text}");
        found.remove(0)
    }

    #[test]
    fn whole_statements() {
        let found = one(
            "INSERT INTO `my-bucket:some/prefix` SELECT * FROM `my.topic` PARTITIONBY country, _header.`a.b`,_date.`yyyy-MM` STOREAS `PARQUET` PROPERTIES('flush.count'=2, 'key.suffix'='-x', flush.size=10)",
        );
        let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!((found.bucket.as_str(), found.prefix.as_deref(), found.topic.as_deref()), ("my-bucket", Some("some/prefix"), Some("my.topic")));
        assert_eq!(found.partition_by, PartitionBy::Fields(vec![path(&["country"]), path(&["_header", "a.b"]), path(&["_date", "yyyy-MM"])]));
        assert_eq!(found.format, "PARQUET");
        assert_eq!(
            found.properties.into_iter().collect::<Vec<_>>(),
            [("flush.count", "2"), ("flush.size", "10"), ("key.suffix", "-x")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn what_may_be_left_out() {
        for (text, topic, by) in [
            ("insert into b select * from t", Some("t"), PartitionBy::Default),
            ("INSERT INTO b SELECT * FROM *", None, PartitionBy::Default),
            ("INSERT INTO b SELECT * FROM `*` NOPARTITION", None, PartitionBy::Nothing),
            ("INSERT INTO b SELECT * FROM t PROPERTIES()", Some("t"), PartitionBy::Default),
        ] {
            let found = one(text);
            assert_eq!((found.topic.as_deref(), found.partition_by, found.format.as_str(), found.prefix), (topic, by, "JSON", None), "{text}");
        }
        assert_eq!(parse("INSERT INTO a SELECT * FROM t; INSERT INTO b SELECT * FROM u PROPERTIES('padding.char'=';');").unwrap().len(), 2);
    }

    #[test]
    fn statements_that_are_refused() {
        for (text, part) in [
            ("", "there is no statement"),
            (" ; ", "there is no statement"),
            ("SELECT * FROM t", "INSERT is expected, not SELECT"),
            ("INSERT INTO b SELECT a FROM t", "only SELECT * is supported"),
            ("INSERT INTO :p SELECT * FROM t", "a bucket is expected"),
            ("INSERT INTO b:p:q SELECT * FROM t", "a target is bucket:prefix, not b:p:q"),
            ("INSERT INTO b SELECT * FROM t STOREAS", "a format is expected, not the end"),
            ("INSERT INTO b SELECT * FROM t PARTITIONBY", "a field is expected"),
            ("INSERT INTO b SELECT * FROM t LIMIT 5", "LIMIT is not supported here"),
            ("INSERT INTO b SELECT * FROM t PROPERTIES('a'=1", "')' is expected, not the end"),
            ("INSERT INTO b SELECT * FROM t PROPERTIES('a' 1)", "'=' is expected, not 1"),
            ("INSERT INTO b SELECT * FROM `t", "the backtick in `t is never closed"),
            (
                "INSERT INTO b SELECT * FROM t STOREAS `JSON` WITH_FLUSH_COUNT = 1",
                "The KCQL keywords WITH_FLUSH_COUNT, WITH_FLUSH_SIZE, and WITH_FLUSH_INTERVAL have been replaced",
            ),
            ("INSERT INTO b SELECT * FROM t withpartitioner=Values", "WITHPARTITIONER feature has been replaced"),
        ] {
            let found = parse(text);
            assert!(found.as_ref().is_err_and(|error| error.contains(part)), "{text}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(INSERT|INTO|SELECT|FROM|b|\\*|PARTITIONBY|STOREAS|PROPERTIES|[`'().,=;: é]){0,16}|\\PC{0,20}", spaced in any::<bool>()) {
            let text = if spaced { text.chars().flat_map(|c| [c, ' ']).collect() } else { text };
            prop_assert!(parse(&text).map_or(1, |found| found.len()) >= 1);
        }
    }
}
