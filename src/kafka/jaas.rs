//! A line of `sasl.jaas.config`: `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`.

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
        }
    }
}
