//! Config providers: `${provider:path:key}` in a configuration stands for a value that is kept elsewhere (KIP-297).
//!
//! The three that Apache Kafka ships are built in: `FileConfigProvider`, `DirectoryConfigProvider` and `EnvVarConfigProvider`. References are resolved
//! where a configuration is used and nowhere else, so that the REST API shows the reference and never the secret. As upstream, a reference to a provider
//! or key that does not exist stays as it is.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::connect::Props;
use crate::connect::config::ConfigError;
use crate::settings::properties;

const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

/// The providers of one worker, by alias.
#[derive(Debug, Clone, Default)]
pub struct Providers(BTreeMap<String, Provider>);

#[derive(Debug, Clone)]
enum Provider {
    /// Values of a `.properties` file; below these folders only, when there are any.
    File(Vec<PathBuf>),
    /// One file per key; below these folders only, when there are any.
    Directory(Vec<PathBuf>),
    /// Environment variables whose whole name matches, read when the worker started.
    EnvVar(BTreeMap<String, String>),
}

impl Providers {
    /// The providers that `config.providers` names. `environment` is what `EnvVarConfigProvider` may show.
    ///
    /// # Errors
    /// Every problem: a class that is missing or not built in, a parameter that is wrong.
    pub fn from_props(props: &Props, environment: &BTreeMap<String, String>) -> Result<Self, Vec<ConfigError>> {
        let mut providers = BTreeMap::new();
        let mut errors = Vec::new();
        let list = props.get("config.providers").map_or("", String::as_str);
        for alias in list.split(',').map(str::trim).filter(|alias| !alias.is_empty()) {
            match Provider::from_props(alias, props, environment) {
                Ok(provider) => drop(providers.insert(alias.to_owned(), provider)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self(providers)) } else { Err(errors) }
    }

    /// `props` with every reference replaced by its value.
    ///
    /// # Errors
    /// A [`ConfigError`] for each key whose reference names a file that cannot be read or is not allowed. Messages never contain values.
    pub fn resolve(&self, props: &Props) -> Result<Props, Vec<ConfigError>> {
        let mut resolved = Props::new();
        let mut errors = Vec::new();
        for (key, text) in props {
            match self.resolve_text(text) {
                Ok(text) => drop(resolved.insert(key.clone(), text)),
                Err(message) => errors.push(ConfigError::new(key, format!("{key}: {message}"))),
            }
        }
        if errors.is_empty() { Ok(resolved) } else { Err(errors) }
    }

    fn resolve_text(&self, text: &str) -> Result<String, String> {
        #[expect(clippy::unwrap_used, reason = "a constant pattern, compiled by every test")]
        static REFERENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{([^}]*?):(?:([^}]*?):)?([^}]*?)\}").unwrap());
        let mut out = String::with_capacity(text.len());
        let mut rest = 0;
        for found in REFERENCE.captures_iter(text) {
            let part = |i| found.get(i).map_or("", |m| m.as_str());
            let (start, end) = found.get(0).map_or((0, 0), |m| (m.start(), m.end()));
            let value = self.0.get(part(1).trim()).map(|provider| provider.value(part(2).trim(), part(3).trim())).transpose()?.flatten();
            out.push_str(&text[rest..start]);
            out.push_str(value.as_deref().unwrap_or(&text[start..end]));
            rest = end;
        }
        out.push_str(&text[rest..]);
        Ok(out)
    }
}

impl Provider {
    fn from_props(alias: &str, props: &Props, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let class_key = format!("config.providers.{alias}.class");
        let class = props.get(&class_key).map_or("", |class| class.trim());
        let folders = || allowed_paths(&format!("config.providers.{alias}.param.allowed.paths"), props);
        match class.strip_prefix(PACKAGE).unwrap_or(class) {
            "FileConfigProvider" => Ok(Self::File(folders()?)),
            "DirectoryConfigProvider" => Ok(Self::Directory(folders()?)),
            "EnvVarConfigProvider" => {
                let key = format!("config.providers.{alias}.param.allowlist.pattern");
                let pattern = props.get(&key).map_or(".*", String::as_str);
                let allowed = Regex::new(&format!("^(?:{pattern})$"))
                    .map_err(|error| ConfigError::new(&key, format!("{key}=\"{pattern}\" is not a regular expression: {error}")))?;
                Ok(Self::EnvVar(environment.iter().filter(|(name, _)| allowed.is_match(name)).map(|(k, v)| (k.clone(), v.clone())).collect()))
            }
            "" => Err(ConfigError::new(&class_key, format!("config.providers names \"{alias}\", but {class_key} is missing"))),
            _ => Err(ConfigError::new(
                &class_key,
                format!(
                    "{class_key}=\"{class}\" is not built in; available: {PACKAGE}FileConfigProvider, {PACKAGE}DirectoryConfigProvider, {PACKAGE}EnvVarConfigProvider"
                ),
            )),
        }
    }

    /// The value of `key` below `path`; `None` when there is no such key.
    fn value(&self, path: &str, key: &str) -> Result<Option<String>, String> {
        match self {
            Self::EnvVar(variables) => Ok(variables.get(key).cloned()),
            Self::File(allowed) => {
                if path.is_empty() {
                    return Ok(None);
                }
                check_allowed(path, allowed)?;
                let bytes = std::fs::read(path).map_err(|error| format!("could not read properties from file {path}: {error}"))?;
                let values = properties::parse(&bytes).map_err(|error| format!("{path}: {error}"))?;
                Ok(values.get(key).cloned())
            }
            Self::Directory(allowed) => {
                if path.is_empty() || Path::new(key).components().count() != 1 {
                    return Ok(None);
                }
                check_allowed(path, allowed)?;
                let file = Path::new(path).join(key);
                if !file.is_file() {
                    return Ok(None);
                }
                std::fs::read_to_string(&file).map(Some).map_err(|error| format!("could not read file {}: {error}", file.display()))
            }
        }
    }
}

fn allowed_paths(key: &str, props: &Props) -> Result<Vec<PathBuf>, ConfigError> {
    let list = props.get(key).map_or("", String::as_str);
    let folder = |text: &str| {
        let path = PathBuf::from(text);
        if path.is_absolute() && path.is_dir() {
            Ok(path)
        } else {
            Err(ConfigError::new(key, format!("{key}: \"{text}\" is not the absolute path of a folder")))
        }
    };
    list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(folder).collect()
}

/// A path with `..` is resolved as text first, so that it cannot lead out of an allowed folder.
fn check_allowed(path: &str, allowed: &[PathBuf]) -> Result<(), String> {
    let mut normal = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    if allowed.is_empty() || allowed.iter().any(|folder| normal.starts_with(folder)) {
        return Ok(());
    }
    Err(format!("the path {path} is not below the provider's allowed.paths"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn providers(folder: &Path, allowed: &str) -> Providers {
        std::fs::write(folder.join("s.properties"), "password=p=1\nuser=u\n").unwrap();
        std::fs::write(folder.join("token"), "t0").unwrap();
        let worker = props(&[
            ("config.providers", "file, dir,env"),
            ("config.providers.file.class", "org.apache.kafka.common.config.provider.FileConfigProvider"),
            ("config.providers.file.param.allowed.paths", allowed),
            ("config.providers.dir.class", "org.apache.kafka.common.config.provider.DirectoryConfigProvider"),
            ("config.providers.env.class", "EnvVarConfigProvider"),
            ("config.providers.env.param.allowlist.pattern", "APP_.*"),
        ]);
        Providers::from_props(&worker, &props(&[("APP_KEY", "k"), ("HOME", "/root")])).unwrap()
    }

    #[test]
    fn references_become_values_and_unknown_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let providers = providers(folder.path(), "");
        let file = folder.path().join("s.properties").display().to_string();
        let dir = folder.path().display().to_string();
        for (text, expected) in [
            ("plain", "plain".to_owned()),
            (&format!("${{file:{file}:password}}"), "p=1".to_owned()),
            (&format!("a-${{file:{file}:user}}-b-${{file:{file}:password}}"), "a-u-b-p=1".to_owned()),
            (&format!("${{file:{file}:absent}}"), format!("${{file:{file}:absent}}")),
            (&format!("${{dir:{dir}:token}}"), "t0".to_owned()),
            (&format!("${{dir:{dir}:../token}}"), format!("${{dir:{dir}:../token}}")),
            ("${env:APP_KEY}", "k".to_owned()),
            ("${env:HOME}", "${env:HOME}".to_owned()),
            ("${vault:x:y}", "${vault:x:y}".to_owned()),
            ("${topic}", "${topic}".to_owned()),
        ] {
            assert_eq!(providers.resolve(&props(&[("k", text)])).unwrap(), props(&[("k", &expected)]), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_absent_or_not_allowed_is_an_error_that_names_key_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let allowed = folder.path().join("allowed");
        std::fs::create_dir(&allowed).unwrap();
        let free = providers(folder.path(), "").resolve(&props(&[("aws.secret.access.key", "${file:/no/such:k}")])).unwrap_err();
        assert!(free[0].message.starts_with("aws.secret.access.key: could not read properties from file /no/such:"), "{}", free[0].message);
        let path = format!("{}/../s.properties", allowed.display());
        let bound = providers(folder.path(), &allowed.display().to_string()).resolve(&props(&[("k", &format!("${{file:{path}:user}}"))])).unwrap_err();
        assert_eq!(bound[0].message, format!("k: the path {path} is not below the provider's allowed.paths"));
    }

    #[test]
    fn a_provider_that_is_not_built_in_is_refused_by_name() {
        let worker = props(&[("config.providers", "vault,x"), ("config.providers.vault.class", "com.example.Vault")]);
        let errors = Providers::from_props(&worker, &Props::new()).unwrap_err();
        assert_eq!(errors.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["config.providers.vault.class", "config.providers.x.class"]);
        assert!(errors[0].message.contains("\"com.example.Vault\" is not built in"), "{}", errors[0].message);
    }
}
