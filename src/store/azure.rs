//! Opening a container of Azure Blob Storage, or a file system of Data Lake Storage Gen2, which is a container too.

use std::str::FromStr as _;
use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use url::Url;

use super::StoreError;
use super::client::{Client, Opened, bad_config, endpoint, invalid, option, options};
use super::headers::{Always, Dress, Signer};
use super::keys::azure::token_endpoint;
use super::objects::{Flavor, Place};
use crate::connect::Props;
use crate::connect::config::{ConfigError, Values};

/// The option of ours beside the client's own, for URLs: the sinks have a key for it.
const CONNECTION_STRING: &str = "azure_storage_connection_string";

/// True for names that may follow the prefix of options beside a URL.
pub(super) fn is_url_option(name: &str) -> bool {
    name == CONNECTION_STRING || AzureConfigKey::from_str(name).is_ok()
}

/// True for names that may follow it beside the keys of a sink, which name account and container.
pub(super) fn is_option(name: &str) -> bool {
    AzureConfigKey::from_str(name).is_ok_and(|key| !matches!(key, AzureConfigKey::AccountName | AzureConfigKey::ContainerName))
}

/// Where requests begin. What is configured as a credential stands alone: beside it the environment gives only the account and its address.
fn start(props: &Props, has_credential: bool) -> MicrosoftAzureBuilder {
    use AzureConfigKey as Key;
    let is_credential = |key: &Key| {
        matches!(key, Key::AccessKey | Key::SasKey | Key::Token | Key::ClientId | Key::ClientSecret | Key::FederatedTokenFile)
            || matches!(key, Key::UseAzureCli | Key::SkipSignature)
    };
    let environment = MicrosoftAzureBuilder::from_env();
    if !has_credential && !options(props).any(|(name, _)| Key::from_str(&name).is_ok_and(|key| is_credential(&key))) {
        return with_options(environment, props);
    }
    let kept = [Key::AccountName, Key::Endpoint].into_iter().filter_map(|key| Some((key, environment.get_config_value(&key)?)));
    let alone = kept.fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| builder.with_config(key, value));
    with_options(alone, props)
}

/// What the keys of either sink say of each other.
pub(super) fn cross_checks(values: Values<'_>, account: &str) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if let Some(text) = values.non_blank("lakehead.azure.connection.string") {
        let key = "lakehead.azure.connection.string";
        match ConnectionString::parse(text) {
            Err(why) => errors.push(ConfigError::new(key, format!("Invalid value [hidden] for configuration {key}: {why}"))),
            Ok(parsed) if parsed.account.as_deref().is_some_and(|name| name != values.text(account)) => {
                errors.push(ConfigError::new(
                    key,
                    format!("it is of account '{}', and {account} is '{}'", parsed.account.unwrap_or_default(), values.text(account)),
                ));
            }
            Ok(_) => {}
        }
    }
    if account.starts_with("azure.datalake") {
        let given = ["client.id", "client.key", "token.endpoint"].map(|name| format!("azure.datalake.gen2.{name}"));
        let missing = given.iter().filter(|key| values.non_blank(key).is_none());
        let missing: Vec<&String> = missing.collect();
        if missing.len() < given.len() {
            errors.extend(missing.into_iter().map(|key| {
                ConfigError::new(key.clone(), format!("{key} is missing: an application needs azure.datalake.gen2.client.id, .client.key and .token.endpoint"))
            }));
        }
    }
    errors
}

/// A container named by the keys of the Azure Blob Storage sink.
pub(super) fn open(values: Values<'_>, client: &Client) -> Result<Opened, StoreError> {
    let credential = match (values.non_blank("azblob.account.key"), values.non_blank("azblob.sas.token")) {
        (Some(key), _) => Some(Credential::Key(key)),
        (None, Some(token)) => Some(Credential::Sas(token)),
        (None, None) => None,
    };
    let target = Target { account: values.text("azblob.account.name"), container: values.text("azblob.container.name") };
    target.open(values, client, credential)
}

/// A file system of Data Lake Storage Gen2. It is written through the account's blob endpoint, which shows the same files.
pub(super) fn open_data_lake(values: Values<'_>, file_system: &str, client: &Client) -> Result<Opened, StoreError> {
    let get = |name: &str| values.non_blank(&format!("azure.datalake.gen2.{name}"));
    let credential = match (get("client.id"), get("client.key"), get("token.endpoint")) {
        (Some(id), Some(secret), Some(endpoint)) => Some(Credential::Application { id, secret, endpoint }),
        _ => get("access.key").map(Credential::Key).or(get("sas.key").map(Credential::Sas)),
    };
    Target { account: values.text("azure.datalake.gen2.account.name"), container: file_system }.open(values, client, credential)
}

/// A container named by `az://` or `abfss://`.
pub(super) fn open_url(props: &Props, url: &Url, place: Place, client: &Client) -> Result<Opened, StoreError> {
    let connection = option(props, &[CONNECTION_STRING]);
    let mut builder = start(props, connection.is_some());
    let mut place = place;
    if let Some(text) = connection {
        let parsed = ConnectionString::parse(text).map_err(|why| bad_config(format!("lakehead.store.option.{CONNECTION_STRING}: {why}")))?;
        place.endpoint = place.endpoint.or_else(|| parsed.endpoint.clone());
        builder = parsed.apply(builder);
    }
    let builder = builder.with_client_options(client_options(client, place.endpoint.as_deref(), props)).with_retry(client.retry.clone());
    build(builder.with_url(url.as_str()), place, "az")
}

enum Credential<'a> {
    Key(&'a str),
    Sas(&'a str),
    Application { id: &'a str, secret: &'a str, endpoint: &'a str },
}

struct Target<'a> {
    account: &'a str,
    container: &'a str,
}

impl Target<'_> {
    fn open(&self, values: Values<'_>, client: &Client, credential: Option<Credential<'_>>) -> Result<Opened, StoreError> {
        let mut endpoint = endpoint(values).map_err(bad_config)?;
        let connection = values.non_blank("lakehead.azure.connection.string").map(ConnectionString::parse).transpose().map_err(bad_config)?;
        let mut builder = start(values.props, credential.is_some() || connection.is_some());
        if let Some(connection) = connection {
            endpoint = endpoint.or_else(|| connection.endpoint.clone());
            builder = connection.apply(builder);
        }
        builder = match credential {
            Some(Credential::Key(key)) => builder.with_access_key(key),
            Some(Credential::Sas(token)) => builder.with_config(AzureConfigKey::SasKey, token),
            Some(Credential::Application { id, secret, endpoint }) => {
                let (authority, tenant) = token_endpoint(endpoint).map_err(bad_config)?;
                builder.with_client_secret_authorization(id, secret, tenant).with_authority_host(authority)
            }
            None => builder,
        };
        let mut builder = builder
            .with_client_options(client_options(client, endpoint.as_deref(), values.props))
            .with_retry(client.retry.clone())
            .with_account(self.account)
            .with_container_name(self.container);
        if let Some(url) = &endpoint {
            builder = builder.with_endpoint(url.clone());
        }
        build(builder, Place { flavor: Flavor::AzureBlob, root: self.container.to_owned(), prefix: String::new(), endpoint }, "azure")
    }
}

fn build(builder: MicrosoftAzureBuilder, place: Place, what: &str) -> Result<Opened, StoreError> {
    let dress = Dress::new(Always::default());
    let store = builder.with_http_connector(dress.clone()).build().map_err(|error| invalid(what, &error))?;
    dress.signed_by(Signer::Azure(Arc::clone(store.credentials())));
    Ok(Opened::one(store, place))
}

fn with_options(start: MicrosoftAzureBuilder, props: &Props) -> MicrosoftAzureBuilder {
    let known = options(props).filter_map(|(name, value)| Some((AzureConfigKey::from_str(&name).ok()?, value)));
    known.fold(start, |builder, (key, value)| builder.with_config(key, value))
}

fn client_options(client: &Client, endpoint: Option<&str>, props: &Props) -> object_store::ClientOptions {
    options(props).fold(client.options_for(endpoint), |start, (name, value)| match AzureConfigKey::from_str(&name) {
        Ok(AzureConfigKey::Client(key)) => start.with_config(key, value),
        _ => start,
    })
}

/// An account's connection string, read.
struct ConnectionString {
    account: Option<String>,
    key: Option<String>,
    sas: Option<String>,
    endpoint: Option<String>,
}

impl ConnectionString {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = std::collections::BTreeMap::new();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("a part of the connection string is not name=value")?;
            pairs.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        if pairs.contains_key("usedevelopmentstorage") {
            return Err("UseDevelopmentStorage is not a whole connection string: give the emulator's AccountName, AccountKey and BlobEndpoint".to_owned());
        }
        let mut take = |name: &str| pairs.remove(name).filter(|value| !value.is_empty());
        let (account, key, sas) = (take("accountname"), take("accountkey"), take("sharedaccesssignature"));
        let protocol = take("defaultendpointsprotocol").unwrap_or_else(|| "https".to_owned());
        let suffix = take("endpointsuffix").unwrap_or_else(|| "core.windows.net".to_owned());
        let by_name = account.as_ref().map(|account| format!("{protocol}://{account}.blob.{suffix}"));
        let endpoint = take("blobendpoint").or(by_name).map(|url| url.trim_end_matches('/').to_owned());
        match (&key, &sas, &endpoint) {
            (None, None, _) => Err("the connection string has neither an AccountKey nor a SharedAccessSignature".to_owned()),
            (Some(_), _, _) if account.is_none() => Err("the connection string has an AccountKey and no AccountName".to_owned()),
            (_, _, None) => Err("the connection string has neither an AccountName nor a BlobEndpoint".to_owned()),
            _ => Ok(Self { account, key, sas, endpoint }),
        }
    }

    fn apply(self, mut builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
        if let Some(account) = self.account {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        match (self.key, self.sas) {
            (Some(key), _) => builder.with_access_key(key),
            (None, Some(sas)) => builder.with_config(AzureConfigKey::SasKey, sas),
            (None, None) => builder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<[Option<String>; 4], String> {
        ConnectionString::parse(text).map(|found| [found.account, found.key, found.sas, found.endpoint])
    }

    #[test]
    fn connection_strings() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parsed("DefaultEndpointsProtocol=https;AccountName=lake;AccountKey=a2V5==;EndpointSuffix=core.chinacloudapi.cn"),
            Ok([some("lake"), some("a2V5=="), None, some("https://lake.blob.core.chinacloudapi.cn")])
        );
        assert_eq!(
            parsed("BlobEndpoint=https://lake.blob.core.windows.net/;SharedAccessSignature=sv=2024&sig=x%3D"),
            Ok([None, None, some("sv=2024&sig=x%3D"), some("https://lake.blob.core.windows.net")])
        );
        for (text, why) in [
            ("AccountName=lake", "neither an AccountKey nor a SharedAccessSignature"),
            ("AccountKey=k", "no AccountName"),
            ("SharedAccessSignature=s", "neither an AccountName nor a BlobEndpoint"),
            ("secret", "not name=value"),
            ("UseDevelopmentStorage=true", "give the emulator's AccountName"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_credential_that_is_given_stands_alone() {
        let props = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (format!("lakehead.store.option.{key}"), (*value).to_owned())).collect::<Props>();
        let sas = start(&props(&[("azure_storage_sas_token", "sv=1&sig=x")]), false);
        assert_eq!(sas.get_config_value(&AzureConfigKey::AccessKey), None, "not even one of the environment");
        assert!(sas.get_config_value(&AzureConfigKey::SasKey).is_some());
        let other = start(&props(&[("azure_storage_account_name", "lake"), ("timeout", "1s")]), true);
        assert_eq!(other.get_config_value(&AzureConfigKey::AccountName).as_deref(), Some("lake"));
    }
}
