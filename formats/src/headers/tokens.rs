//! The tokens of a literal: delimiters are tokens of their own, everything between two of them is one.

/// Where upstream's `Values.Parser` is in a text.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// What was read, the token that is held back included.
    at: usize,
    held: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, held: None }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Where the next token begins.
    pub(super) fn mark(&self) -> usize {
        self.at - self.held.map_or(0, str::len)
    }

    pub(super) fn rewind(&mut self, to: usize) {
        self.at = to;
        self.held = None;
    }

    fn has_more(&self) -> bool {
        self.at < self.text.len()
    }

    pub(super) fn has_next(&self) -> bool {
        self.held.is_some() || self.has_more()
    }

    pub(super) fn next(&mut self) -> &'a str {
        self.held.take().unwrap_or_else(|| self.read())
    }

    /// The text of so many tokens; none, and where it was, when there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a str> {
        let start = self.mark();
        for _ in 0..count {
            if !self.has_next() {
                self.rewind(start);
                return None;
            }
            self.next();
        }
        self.text.get(start..self.at)
    }

    /// Takes the next token if it is that one; blanks before it, and around it, do not count.
    pub(super) fn consume(&mut self, token: &str) -> bool {
        if !self.has_next() {
            return false;
        }
        let mut next = self.next();
        while super::literal::is_blank(next) && self.has_more() {
            next = self.read();
        }
        let is_it = super::literal::trimmed(next) == token;
        self.held = (!is_it).then_some(next);
        is_it
    }

    fn read(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or("");
        let mut escaped = false;
        for (at, c) in rest.bytes().enumerate() {
            match c {
                b'\\' => escaped = !escaped,
                b':' | b',' | b'{' | b'}' | b'[' | b']' | b'"' if !escaped => return self.advance(at.max(1)),
                _ => escaped = false,
            }
        }
        self.advance(rest.len())
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let start = self.at;
        self.at += bytes;
        self.text.get(start..self.at).unwrap_or("")
    }
}
