//! Paths and conditions of texts, by Jayway's grammar.
//!
//! ```text
//! path       = ["$" | "@"] step*            without either, "$." is understood
//! step       = "." name | [ "." ] "[" ( quoted | index | "*" | "?" "(" or ")" ) "]" | ".*"
//! or         = and { "||" and }
//! and        = operand { "&&" operand }
//! operand    = "!" operand | "(" or ")" | value [ operator value ]
//! ```
//!
//! As there, `!@.a` says that nothing is at `@.a`, and in front of a comparison, `!@.a == 1`, it says nothing.

use lakehead_formats::value::decimal::BigDecimal;

use super::super::regex_router;
use super::{Condition, JsonPath, Literal, Operand, Operator, Place, Step, ValuePath};

/// Conditions in conditions: more are nobody's.
const MAX_DEPTH: usize = 64;

/// Reads a path.
///
/// # Errors
/// What is wrong with it, or what of it there is not here, and where.
pub(in super::super) fn parse(text: &str) -> Result<JsonPath, String> {
    let text = text.trim();
    let mut parser = Parser { text, at: 0, depth: 0 };
    if !parser.take('$') && !parser.take('@') {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        return Ok(JsonPath { steps: Parser { text: &format!(".{text}"), at: 0, depth: 0 }.steps()? });
    }
    Ok(JsonPath { steps: parser.steps()? })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// What stands between square brackets.
enum Bracket {
    Name(String),
    Index(i64),
    Every,
    Filter(Box<Condition>),
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += if is_there { wanted.len_utf8() } else { 0 };
        is_there
    }

    fn take_text(&mut self, wanted: &str) -> bool {
        let is_there = self.rest().starts_with(wanted);
        self.at += if is_there { wanted.len() } else { 0 };
        is_there
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn error<T>(&self, what: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("{what} at position {}", self.text.get(..self.at).map_or(0, |before| before.chars().count())))
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        self.blanks();
        if self.take(wanted) { Ok(()) } else { self.error(format!("'{wanted}' is missing")) }
    }

    /// The characters for which that is so, and after them.
    fn while_is(&mut self, is_in: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let length = rest.find(|c| !is_in(c)).unwrap_or(rest.len());
        let found = rest.get(..length).unwrap_or("").to_owned();
        self.at += length;
        found
    }

    /// Steps to the end of the text.
    fn steps(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        while let Some(c) = self.peek() {
            steps.push(match (c, self.take('.')) {
                ('[', _) => self.step_in_brackets()?,
                (_, true) if self.peek() == Some('[') => self.step_in_brackets()?,
                (_, true) if self.take('*') => Step::Every,
                (_, true) => Step::Member(self.name(&['.', '[', '(', ' '])?),
                _ => return self.error("'.' or '[' is missing"),
            });
        }
        Ok(steps)
    }

    fn step_in_brackets(&mut self) -> Result<Step, String> {
        Ok(match self.bracket()? {
            Bracket::Name(name) => Step::Member(name),
            Bracket::Index(index) => Step::Index(index),
            Bracket::Every => Step::Every,
            Bracket::Filter(condition) => Step::Filter(condition),
        })
    }

    /// A name after a dot, up to one of these characters.
    fn name(&mut self, ends: &[char]) -> Result<String, String> {
        if self.peek() == Some('.') {
            return self.error("'..' (every descendant) is not supported: name the fields");
        }
        let start = self.at;
        let name = self.while_is(|c| !ends.contains(&c));
        if self.peek() == Some('(') {
            self.at = start;
            return self.error(format!("functions, as '{name}()', are not supported"));
        }
        if self.peek() == Some(' ') && ends.len() == 4 {
            return self.error(format!("a name with blanks stands in brackets, as ['{name} …'], and nothing else follows a blank"));
        }
        if name.is_empty() {
            return self.error("a name is missing");
        }
        Ok(name)
    }

    fn bracket(&mut self) -> Result<Bracket, String> {
        self.expect('[')?;
        self.blanks();
        let found = match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                let name = self.quoted(quote)?;
                self.blanks();
                if self.peek() == Some(',') {
                    return self.error("several names at once are not supported: take one");
                }
                Bracket::Name(name)
            }
            Some('*') => {
                self.take('*');
                Bracket::Every
            }
            Some('?') => {
                self.take('?');
                self.expect('(')?;
                let condition = self.any()?;
                self.expect(')')?;
                Bracket::Filter(Box::new(condition))
            }
            Some(c) if c.is_ascii_digit() || c == '-' || c == ':' => {
                let index = self.while_is(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | ',' | ' '));
                if index.contains([':', ',']) {
                    return self.error(format!("several items at once, as [{}], are not supported: take one, or [*]", index.trim()));
                }
                match index.trim().parse() {
                    Ok(index) => Bracket::Index(index),
                    Err(_) => return self.error(format!("'{index}' is no index")),
                }
            }
            _ => return self.error("a name in quotes, an index, '*' or '?(' is missing"),
        };
        self.expect(']')?;
        Ok(found)
    }

    /// A text in quotes, with its escapes resolved.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let start = self.at;
        self.take(quote);
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let Some((_, escaped)) = chars.next() else { break };
                    match escaped {
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        'r' => text.push('\r'),
                        'b' => text.push('\u{8}'),
                        'f' => text.push('\u{c}'),
                        'u' => {
                            let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                            match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                                Some(c) => text.push(c),
                                None => return self.error(format!("'\\u{digits}' is no character")),
                            }
                        }
                        other => text.push(other),
                    }
                }
                c if c == quote => {
                    self.at += at + c.len_utf8();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        self.at = start;
        self.error(format!("the {quote} that ends a text is missing: it begins"))
    }

    fn any(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error(format!("conditions stand in more than {MAX_DEPTH} others"));
        }
        let mut all = vec![self.all()?];
        while {
            self.blanks();
            self.take_text("||")
        } {
            all.push(self.all()?);
        }
        self.depth -= 1;
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Condition::Or(all) })
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut all = vec![self.operand_of_and()?];
        while {
            self.blanks();
            self.take_text("&&")
        } {
            all.push(self.operand_of_and()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Condition::And(all) })
    }

    fn operand_of_and(&mut self) -> Result<Condition, String> {
        self.blanks();
        let start = self.at;
        if self.take('!') {
            self.blanks();
            if !matches!(self.peek(), Some('@' | '$')) {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return self.error(format!("conditions stand in more than {MAX_DEPTH} others"));
                }
                let inner = self.operand_of_and()?;
                self.depth -= 1;
                return Ok(Condition::Not(Box::new(inner)));
            }
            self.at = start;
        }
        if self.take('(') {
            let inner = self.any()?;
            self.expect(')')?;
            return Ok(inner);
        }
        self.expression()
    }

    fn expression(&mut self) -> Result<Condition, String> {
        let should_exist = !self.take('!');
        let left = self.value()?;
        self.blanks();
        let rest = self.rest();
        if rest.is_empty() || rest.starts_with([')', ']']) || rest.starts_with("&&") || rest.starts_with("||") {
            return match left {
                Operand::Path(path) => Ok(Condition::Exists(path, should_exist)),
                Operand::Literal(_) => self.error("an operator is missing"),
            };
        }
        let operator = self.operator()?;
        let right = self.value()?;
        self.is_possible(&left, operator, &right)?;
        Ok(Condition::Is(left, operator, right))
    }

    /// What would never hold, or what nothing is known of, is refused.
    fn is_possible(&self, left: &Operand, operator: Operator, right: &Operand) -> Result<(), String> {
        let is_list = |operand: &Operand| matches!(operand, Operand::Literal(Literal::List(_)));
        let is_regex = |operand: &Operand| matches!(operand, Operand::Literal(Literal::Regex(_)));
        let of_lists = matches!(operator, Operator::In | Operator::NotIn | Operator::AnyOf | Operator::NoneOf | Operator::SubsetOf);
        if (is_list(right) && !of_lists) || (is_list(left) && !of_lists && operator != Operator::Contains) {
            return self.error("a list is compared by in, nin, contains, anyof, noneof or subsetof: an operator for something else stands before");
        }
        if matches!(right, Operand::Literal(literal) if of_lists && !matches!(literal, Literal::List(_))) {
            return self.error("a list is missing: its operator ends");
        }
        if (operator == Operator::Matches) != (is_regex(left) || is_regex(right)) || (is_regex(left) && is_regex(right)) {
            return self.error("=~ takes a regular expression between slashes on one side, and no other operator does: a comparison ends");
        }
        if operator == Operator::Empty && !matches!(right, Operand::Literal(Literal::Boolean(_))) {
            return self.error("empty is compared with true or false: it ends");
        }
        Ok(())
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let start = self.at;
        let mut found = self.while_is(|c| matches!(c, '<' | '>' | '=' | '~' | '!'));
        if found.is_empty() {
            found = self.while_is(|c| c != ' ');
        }
        let operator = match found.to_ascii_uppercase().as_str() {
            "==" => Operator::Equal,
            "===" => Operator::Same,
            "!=" => Operator::NotEqual,
            "!==" => Operator::NotSame,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "=~" => Operator::Matches,
            "IN" => Operator::In,
            "NIN" => Operator::NotIn,
            "CONTAINS" => Operator::Contains,
            "SIZE" => Operator::Size,
            "EMPTY" => Operator::Empty,
            "ANYOF" => Operator::AnyOf,
            "NONEOF" => Operator::NoneOf,
            "SUBSETOF" => Operator::SubsetOf,
            _ => {
                self.at = start;
                let known = "==, ===, !=, !==, <, <=, >, >=, =~, in, nin, contains, size, empty, anyof, noneof, subsetof, &&, ||";
                return self.error(format!("'{found}' is no operator that is supported ({known}); blanks stand around those that are words: it begins"));
            }
        };
        Ok(operator)
    }

    fn value(&mut self) -> Result<Operand, String> {
        self.blanks();
        Ok(match self.peek() {
            Some('@' | '$') => Operand::Path(self.value_path()?),
            _ => Operand::Literal(self.literal()?),
        })
    }

    fn value_path(&mut self) -> Result<ValuePath, String> {
        let from_root = self.take('$');
        if !from_root {
            self.take('@');
        }
        let mut steps = Vec::new();
        loop {
            let dot = self.take('.');
            if self.peek() == Some('[') {
                steps.push(match self.bracket()? {
                    Bracket::Name(name) => Place::Member(name),
                    Bracket::Index(index) => Place::Index(index),
                    Bracket::Every | Bracket::Filter(_) => return self.error("paths of many values are not supported in a condition: one ends"),
                });
            } else if dot {
                let name = self.name(&['.', '[', '(', ' ', ')', '<', '>', '=', '~', '!', '&', '|', ',', ']'])?;
                if name == "*" {
                    return self.error("paths of many values are not supported in a condition: one ends");
                }
                steps.push(Place::Member(name));
            } else {
                return Ok(ValuePath { from_root, steps });
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, String> {
        for (word, literal) in [("true", Literal::Boolean(true)), ("false", Literal::Boolean(false)), ("null", Literal::Null)] {
            if self.take_text(word) {
                return Ok(literal);
            }
        }
        match self.peek() {
            Some(quote @ ('\'' | '"')) => Ok(Literal::String(self.quoted(quote)?)),
            Some('/') => self.regex(),
            Some('[') => self.list(),
            Some('{') => self.error("objects are not supported as values of a condition: one begins"),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Result<Literal, String> {
        let start = self.at;
        let text = self.while_is(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | 'e' | 'E'));
        match BigDecimal::parse(&text) {
            Some(number) => Ok(Literal::Number(number)),
            None => {
                self.at = start;
                self.error("a value is missing (a text in quotes, a number, true, false, null, a list or a path)")
            }
        }
    }

    /// A list of texts, numbers, booleans and nulls.
    fn list(&mut self) -> Result<Literal, String> {
        self.expect('[')?;
        let mut items = Vec::new();
        loop {
            self.blanks();
            if self.take(']') {
                return Ok(Literal::List(items));
            }
            if !items.is_empty() {
                self.expect(',')?;
                self.blanks();
            }
            // Not by way of the item: lists in lists could be as deep as a text is long.
            if self.peek() == Some('[') {
                return self.error("an item of a list is no list: one begins");
            }
            let item = self.literal()?;
            let is_plain = match &item {
                Literal::List(_) | Literal::Regex(_) => false,
                // Upstream reads such texts once more, as paths, as JSON, or without the quotes that are in them.
                Literal::String(text) => !text.trim_start().starts_with(['@', '$', '[', '{', '\'', '"']) && !text.contains('\\'),
                _ => true,
            };
            if !is_plain {
                return self
                    .error("an item of a list is a plain text, a number, true, false or null, and a text in it begins with none of @ $ [ { ' \": one ends");
            }
            items.push(item);
        }
    }

    /// `/…/flags`, for a text as a whole.
    fn regex(&mut self) -> Result<Literal, String> {
        let start = self.at;
        self.take('/');
        let mut escaped = false;
        let end = self.rest().find(|c| {
            let ends = c == '/' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(pattern) = end.and_then(|end| self.rest().get(..end)).map(str::to_owned) else {
            self.at = start;
            return self.error("the / that ends a regular expression is missing: it begins");
        };
        self.at += pattern.len() + 1;
        let flags = self.while_is(|c| c.is_ascii_alphabetic());
        if let Some(flag) = flags.chars().find(|flag| !"ismxuU".contains(*flag)) {
            return self.error(format!("the flag '{flag}' of a regular expression is not supported (i, s, m, x, u and U are)"));
        }
        let flags: String = flags.chars().filter(|flag| "ismx".contains(*flag)).collect();
        let pattern = pattern.replace("\\/", "/");
        let pattern = if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") };
        match regex_router::compile(&pattern) {
            Ok((whole, _)) => Ok(Literal::Regex(whole)),
            Err(error) => self.error(format!("invalid regular expression ({error}): it ends")),
        }
    }
}
