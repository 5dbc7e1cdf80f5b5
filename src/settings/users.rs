//! Who may use the REST API: upstream's `BasicAuthSecurityRestExtension` with its `PropertyFileLoginModule`.
//!
//! `rest.extension.classes` asks for it. The login modules are in a JAAS file, which Java is told with `-Djava.security.auth.login.config=`; the same variable
//! `KAFKA_OPTS` that has this for a Java worker has it for ours, or `lakehead.jaas.config.file` names the file. Files are read once, when the worker starts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::connect::Props;
use crate::connect::config::Values;
use crate::kafka::jaas::Jaas;
use crate::settings::properties;

/// Our key for the JAAS file.
const FILE: &str = "lakehead.jaas.config.file";
const EXTENSIONS: &str = "rest.extension.classes";
/// How Java is told the JAAS file.
const OPTION: &str = "-Djava.security.auth.login.config=";

/// User names and passwords, from one file a login module.
#[derive(Clone, PartialEq, Eq)]
pub struct Users(Vec<Props>);

impl fmt::Debug for Users {
    /// How many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Users").field(&self.0.iter().map(Props::len).sum::<usize>()).finish()
    }
}

impl Users {
    /// The users, where the extension is asked for.
    pub(super) fn read(values: &Values<'_>, environment: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        if values.list(EXTENSIONS).iter().all(|class| class.is_empty()) {
            return Ok(None);
        }
        let option = environment.get("KAFKA_OPTS").and_then(|options| options.split_whitespace().rev().find_map(|option| option.strip_prefix(OPTION)));
        let (from, path) = match (values.non_blank(FILE), option) {
            (Some(path), _) => (FILE, path.trim()),
            (None, Some(path)) => ("KAFKA_OPTS", file(path)),
            (None, None) => return Err(format!("{EXTENSIONS}: there is no JAAS file: set KAFKA_OPTS to {OPTION}/path/to/jaas.conf, or {FILE} to its path")),
        };
        let wrong = |why: &dyn fmt::Display| format!("{EXTENSIONS}: the JAAS file \"{path}\" ({from}) {why}");
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let entry = |name| Jaas::entry(&text, name).map_err(|why| wrong(&format!("is not understood: {why}")));
        let modules = match entry("KafkaConnect")? {
            Some(modules) => Some(modules),
            None => entry("other")?,
        };
        let modules = modules.filter(|modules| !modules.is_empty()).ok_or_else(|| wrong(&"has no entry KafkaConnect with a login module"))?;
        modules.iter().map(|module| passwords(module).map_err(|why| wrong(&why))).collect::<Result<_, _>>().map(Self).map(Some)
    }

    /// True when one of the files has that password for the user, or has nobody in it. How long it takes says nothing about passwords.
    #[must_use]
    pub fn accept(&self, credentials: Option<(&str, &str)>) -> bool {
        let (user, given) = credentials.unwrap_or_default();
        self.0.iter().any(|passwords| {
            let password = passwords.get(user);
            let same: bool = Sha256::digest(password.map_or("", String::as_str)).ct_eq(&Sha256::digest(given)).into();
            passwords.is_empty() || (same && password.is_some() && credentials.is_some())
        })
    }

    /// True when everybody is let in.
    #[must_use]
    pub fn are_everybody(&self) -> bool {
        self.0.iter().any(Props::is_empty)
    }
}

/// Refuses extensions other than that for passwords.
pub(super) fn extensions(classes: &str) -> Result<(), String> {
    match classes.split(',').map(str::trim).find(|class| !class.is_empty() && class.rsplit('.').next() != Some("BasicAuthSecurityRestExtension")) {
        None => Ok(()),
        Some(_) => Err("REST extensions are Java classes and cannot be loaded, but for \
             org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension, which is built in; \
             for others put a proxy that authenticates in front of the REST API"
            .to_owned()),
    }
}

/// Java takes a path or a `file:` URL, and a second `=` that makes the file the only one.
fn file(option: &str) -> &str {
    let option = option.strip_prefix('=').unwrap_or(option);
    match option.strip_prefix("file:") {
        Some(url) => url.strip_prefix("//").unwrap_or(url),
        None => option,
    }
}

/// The users of a login module.
fn passwords(module: &Jaas) -> Result<Props, String> {
    if module.module != "PropertyFileLoginModule" {
        return Err(format!("names the login module {}, which is a Java class and cannot be loaded; PropertyFileLoginModule is built in", module.module));
    }
    let file = module.options.get("file").filter(|file| !file.trim().is_empty()).ok_or("has no option file for its PropertyFileLoginModule")?;
    let bytes = std::fs::read(Path::new(file)).map_err(|error| format!("names the file \"{file}\", which cannot be read: {error}"))?;
    properties::parse(&bytes).map_err(|error| format!("names the file \"{file}\", in which {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::keys::WORKER_KEYS;

    const CLASS: &str = "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension";

    /// The users by that JAAS file (`DIR` stands for the folder of both files) and that file of passwords, and the folder.
    fn read(jaas: &str, passwords: &str, key: bool, options: &str) -> (Result<Option<Users>, String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().display().to_string();
        std::fs::write(folder.path().join("users"), passwords).unwrap();
        std::fs::write(folder.path().join("jaas"), jaas.replace("DIR", &dir)).unwrap();
        let mut props = Props::from([(EXTENSIONS.to_owned(), CLASS.to_owned())]);
        if key {
            props.insert(FILE.to_owned(), format!("{dir}/jaas"));
        }
        let environment = BTreeMap::from([("KAFKA_OPTS".to_owned(), options.replace("DIR", &dir))]);
        (Users::read(&Values { tables: &[WORKER_KEYS], props: &props }, &environment), dir)
    }

    const JAAS: &str =
        "// who may\nKafkaConnect {\n  org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required file=\"DIR/users\";\n};\n";

    #[test]
    fn the_jaas_file_is_where_java_has_it() {
        for (key, options) in [
            (true, ""),
            (true, "-Djava.security.auth.login.config=/nowhere"),
            (false, "-Xmx1g -Djava.security.auth.login.config=DIR/jaas -Dx=y"),
            (false, "-Djava.security.auth.login.config=/nowhere -Djava.security.auth.login.config==DIR/jaas"),
            (false, "-Djava.security.auth.login.config=file:DIR/jaas"),
            (false, "-Djava.security.auth.login.config=file://DIR/jaas"),
        ] {
            let (users, _) = read(JAAS, "alice=wonder\\=land\n", key, options);
            assert!(users.clone().unwrap().unwrap().accept(Some(("alice", "wonder=land"))), "{options}: {users:?}");
        }
        assert_eq!(Users::read(&Values { tables: &[WORKER_KEYS], props: &Props::new() }, &BTreeMap::new()), Ok(None));
    }

    #[test]
    fn a_user_needs_the_password_of_one_file() {
        let two = "other { X.PropertyFileLoginModule sufficient file='DIR/users'; PropertyFileLoginModule optional file='DIR/users' debug=true; };";
        for jaas in [JAAS, two] {
            let users = read(jaas, "alice=wonderland\nbob=\n", true, "").0.unwrap().unwrap();
            for (credentials, is_accepted) in [
                (Some(("alice", "wonderland")), true),
                (Some(("alice", "wonderlan")), false),
                (Some(("alice", "")), false),
                (Some(("Alice", "wonderland")), false),
                (Some(("bob", "")), true),
                (Some(("carol", "")), false),
                (None, false),
            ] {
                assert_eq!(users.accept(credentials), is_accepted, "{credentials:?}");
            }
            assert!(!users.are_everybody() && !format!("{users:?}").contains("wonderland"));
        }
        let everybody = read(JAAS, "# nobody\n", true, "").0.unwrap().unwrap();
        assert!(everybody.are_everybody() && everybody.accept(None), "as upstream, an empty file lets everybody in");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name_and_without_passwords() {
        for (jaas, passwords, key, options, says) in [
            (JAAS, "a=hunter2", false, "", "there is no JAAS file: set KAFKA_OPTS to -Djava.security.auth.login.config="),
            (JAAS, "a=hunter2", false, "-Djava.security.auth.login.config=/nowhere", "the JAAS file \"/nowhere\" (KAFKA_OPTS) cannot be read"),
            ("KafkaServer { M required; };", "a=hunter2", true, "", "has no entry KafkaConnect with a login module"),
            ("KafkaConnect { };", "a=hunter2", true, "", "has no entry KafkaConnect with a login module"),
            ("KafkaConnect { M required", "a=hunter2", true, "", "is not understood: an entry has no }"),
            ("KafkaConnect { org.eclipse.jetty.Ldap required x=hunter2; };", "", true, "", "names the login module Ldap, which is a Java class"),
            ("KafkaConnect { PropertyFileLoginModule required x=hunter2; };", "", true, "", "has no option file"),
            ("KafkaConnect { PropertyFileLoginModule required file='/nowhere'; };", "", true, "", "names the file \"/nowhere\", which cannot be read"),
            (JAAS, "a=hunter2\\u00", true, "", "in which line 1: malformed \\uXXXX"),
        ] {
            let error = read(jaas, passwords, key, options).0.unwrap_err();
            assert!(error.starts_with("rest.extension.classes: ") && error.contains(says) && !error.contains("hunter2"), "{jaas}: {error}");
        }
    }

    #[test]
    fn extensions_but_that_for_passwords_are_refused() {
        for (classes, is_taken) in [
            ("", true),
            (CLASS, true),
            ("BasicAuthSecurityRestExtension,", true),
            ("com.example.Auth", false),
            ("BasicAuthSecurityRestExtension, com.Audit", false),
        ] {
            assert_eq!(extensions(classes).is_ok(), is_taken, "{classes}");
        }
    }
}
