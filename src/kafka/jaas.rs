//! A line of `sasl.jaas.config`: `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`, and files of such lines:
//! `Entry { line… };`.

use std::collections::BTreeMap;

/// A login module and its options.
#[derive(Clone, PartialEq, Eq)]
pub struct Jaas {
    /// Its class name without the package.
    pub module: String,
    /// Options; they hold secrets.
    pub options: BTreeMap<String, String>,
}

impl Jaas {
    /// Reads the line. Values stand in quotes, single or double, in which `\` takes the next character as it is; or they end at a blank or `;`.
    ///
    /// # Errors
    /// What is wrong with it, without its values.
    pub fn parse(line: &str) -> Result<Self, &'static str> {
        let line = line.trim();
        let (class, rest) = line.split_once(char::is_whitespace).ok_or("a login module, a word like required, and options are needed")?;
        let (flag, mut rest) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        if !["required", "requisite", "sufficient", "optional"].contains(&flag.trim_end_matches(';').to_ascii_lowercase().as_str()) {
            return Err("the word after the login module must be required");
        }
        let mut options = BTreeMap::new();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with(';') {
                break;
            }
            let (name, after) = rest.split_once('=').ok_or("an option has no value")?;
            let (value, after) = value(after.trim_start())?;
            options.insert(name.trim().to_owned(), value);
            rest = after;
        }
        Ok(Self { module: class.rsplit('.').next().unwrap_or(class).to_owned(), options })
    }

    /// The login modules of a file's entry, if there is such an entry. Comments are C's.
    ///
    /// # Errors
    /// What is wrong with the file, without its values.
    pub fn entry(file: &str, name: &str) -> Result<Option<Vec<Self>>, &'static str> {
        let file = uncommented(file);
        let mut rest = file.trim();
        let mut found = None;
        while !rest.is_empty() {
            let (entry, after) = split(rest, '{').ok_or("an entry has no {")?;
            let (mut lines, after) = split(after, '}').ok_or("an entry has no }")?;
            rest = after.trim_start().strip_prefix(';').ok_or("there is no ; behind an entry's }")?.trim_start();
            let mut modules = Vec::new();
            while let Some((line, more)) = split(lines, ';') {
                modules.push(Self::parse(line)?);
                lines = more;
            }
            if !lines.trim().is_empty() {
                return Err("there is no ; behind a login module's options");
            }
            if entry.trim().trim_matches('"') == name && found.is_none() {
                found = Some(modules);
            }
        }
        Ok(found)
    }

    /// User name and password.
    ///
    /// # Errors
    /// That they are needed.
    pub fn credentials(&self) -> Result<(&str, &str), &'static str> {
        match (self.options.get("username"), self.options.get("password")) {
            (Some(user), Some(password)) => Ok((user, password)),
            _ => Err("username and password are needed"),
        }
    }
}

impl std::fmt::Debug for Jaas {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jaas").field("module", &self.module).field("options", &self.options.keys()).finish()
    }
}

/// Where the quoted text that begins here ends, behind its quotation mark.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// What stands before and behind the first such character that is in no quotes.
fn split(text: &str, at: char) -> Option<(&str, &str)> {
    let mut from = 0;
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        if let Some(after) = rest.strip_prefix(at) {
            return Some((text.get(..from)?, after));
        }
        from += quoted(rest).or_else(|| rest.chars().next().map(char::len_utf8))?;
    }
    None
}

/// The text with a blank for each comment.
fn uncommented(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (length, what) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), " ")
        } else if rest.starts_with("/*") {
            (rest.get(2..).and_then(|body| body.find("*/")).map_or(rest.len(), |end| end + 4), " ")
        } else {
            let length = quoted(rest).unwrap_or(c.len_utf8());
            (length, rest.get(..length).unwrap_or_default())
        };
        kept.push_str(what);
        rest = rest.get(length..).unwrap_or_default();
    }
    kept
}

/// A value, and what follows it.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quote) = text.chars().next().filter(|c| *c == '"' || *c == '\'') else {
        let end = text.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c if c == quote => return Ok((value, text.get(at + c.len_utf8()..).unwrap_or_default())),
            c => value.push(c),
        }
    }
    Err("a value's quotation mark is not closed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn modules_and_their_options() {
        for (line, expected) in [
            (r#"a.b.PlainLoginModule required username="u" password="p=; q";"#, Ok(("PlainLoginModule", vec![("password", "p=; q"), ("username", "u")]))),
            ("ScramLoginModule REQUIRED username=u\n  password='a\"b' ;", Ok(("ScramLoginModule", vec![("password", "a\"b"), ("username", "u")]))),
            (r#"M required a="x\"\\y" b=;"#, Ok(("M", vec![("a", "x\"\\y"), ("b", "")]))),
            ("M required;", Ok(("M", vec![]))),
            ("M", Err("a login module, a word like required, and options are needed")),
            ("M username=u", Err("the word after the login module must be required")),
            ("M required username", Err("an option has no value")),
            ("M required a=\"x", Err("a value's quotation mark is not closed")),
        ] {
            let jaas = Jaas::parse(line);
            let seen = jaas.as_ref().map(|jaas| (jaas.module.as_str(), jaas.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>()));
            assert_eq!(seen.map_err(|why| *why), expected, "{line}");
        }
    }

    #[test]
    fn files_have_entries_of_modules() {
        let file = "/* for {all} */ A { a.M required x=\"}; // {\" y='*/'; // ; }\n b.N optional; };\n\"B\" {};";
        for (name, expected) in [("A", Some(vec![("M", Some("}; // {")), ("N", None)])), ("B", Some(vec![])), ("C", None)] {
            let modules = Jaas::entry(file, name).expect("a file");
            let seen = modules.as_ref().map(|all| all.iter().map(|m| (m.module.as_str(), m.options.get("x").map(String::as_str))).collect::<Vec<_>>());
            assert_eq!(seen, expected, "{name}");
        }
        for (file, error) in [
            ("A", "an entry has no {"),
            ("A { M required;", "an entry has no }"),
            ("A { M required; }", "there is no ; behind an entry's }"),
            ("A { M required };", "there is no ; behind a login module's options"),
            ("A { M required x; };", "an option has no value"),
        ] {
            assert_eq!(Jaas::entry(file, "A"), Err(error), "{file}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let jaas = Jaas::parse("M required password=hunter2;").expect("a line");
        assert_eq!(format!("{jaas:?}"), r#"Jaas { module: "M", options: ["password"] }"#);
    }

    proptest! {
        #[test]
        fn any_quoted_value_is_read_and_no_line_stops_the_reader(value in ".*", line in ".*") {
            let quoted = format!("M required password=\"{}\";", value.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(Jaas::parse(&quoted).map(|jaas| jaas.options["password"].clone()), Ok(value));
            drop(Jaas::parse(&line));
            drop(Jaas::entry(&line, "M"));
            let file = format!("A {{ {quoted} }};");
            prop_assert_eq!(Jaas::entry(&file, "A").map(|modules| modules.map(|all| all.len())), Ok(Some(1)));
        }
    }
}
