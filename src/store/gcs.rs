//! Opening a bucket of Google Cloud Storage.

use std::str::FromStr as _;
use std::sync::Arc;

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use serde_json::Value;
use url::Url;

use super::StoreError;
use super::client::{Client, Opened, bad_config, endpoint, invalid, options};
use super::headers::{Always, Dress, Signer};
use super::objects::{Flavor, Place};
use super::sweep::{Bucket, BucketUploads};
use crate::connect::Props;
use crate::connect::config::Values;

/// Google's own endpoint.
const GOOGLE: &str = "https://storage.googleapis.com";

/// True for names that may follow the prefix of options.
pub(super) fn is_option(name: &str) -> bool {
    GoogleConfigKey::from_str(name).is_ok()
}

/// A bucket named by the keys of the GCS sink.
pub(super) fn open(values: Values<'_>, client: &Client) -> Result<Opened, StoreError> {
    let bucket = values.text("gcs.bucket.name");
    let endpoint = endpoint(values).map_err(bad_config)?;
    // What is configured stands alone: the environment is read only where nothing is.
    let (path, json) = (values.non_blank("gcs.credentials.path"), values.non_blank("gcs.credentials.json"));
    let start = if path.is_some() || json.is_some() { GoogleCloudStorageBuilder::new() } else { GoogleCloudStorageBuilder::from_env() };
    let builder = with_options(start, values.props).with_retry(client.retry.clone()).with_bucket_name(bucket);
    let mut builder = builder.with_client_options(client_options(client, endpoint.as_deref(), values.props));
    if let Some(url) = &endpoint {
        builder = builder.with_base_url(url);
    }
    let base = base_of(&builder, json);
    let builder = with_credentials(builder, path, json)?;
    build(builder, Place { flavor: Flavor::Gcs, root: bucket.to_owned(), prefix: String::new(), endpoint }, base, "gcs")
}

/// A bucket named by `gs://`.
pub(super) fn open_url(props: &Props, url: &Url, place: Place, client: &Client) -> Result<Opened, StoreError> {
    let builder = with_options(GoogleCloudStorageBuilder::from_env(), props).with_retry(client.retry.clone()).with_url(url.as_str());
    let builder = builder.with_client_options(client_options(client, place.endpoint.as_deref(), props));
    let base = base_of(&builder, None);
    build(with_credentials(builder, None, None)?, place, base, "gs")
}

fn build(builder: GoogleCloudStorageBuilder, place: Place, base: Option<String>, what: &str) -> Result<Opened, StoreError> {
    let is_signed = builder.get_config_value(&GoogleConfigKey::SkipSignature).is_none_or(|text| text != "true");
    let dress = Dress::new(Always::default());
    let store = builder.with_http_connector(dress.clone()).build().map_err(|error| invalid(what, &error))?;
    dress.signed_by(if is_signed { Signer::Bearer(Arc::clone(store.credentials())) } else { Signer::Nobody });
    let bucket = Bucket::At(format!("{}/{}", base.as_deref().unwrap_or(GOOGLE).trim_end_matches('/'), place.root));
    let mut opened = Opened::one(store, place);
    opened.extras.unfinished = Some(Arc::new(BucketUploads { bucket, dress }));
    Ok(opened)
}

/// The endpoint that the client will have, where it is not Google's: an option's, or that of a key made for an emulator.
fn base_of(builder: &GoogleCloudStorageBuilder, json: Option<&str>) -> Option<String> {
    builder.get_config_value(&GoogleConfigKey::BaseUrl).or_else(|| {
        let key: Value = serde_json::from_str(json?).ok()?;
        key.get("gcs_base_url").and_then(Value::as_str).map(str::to_owned)
    })
}

fn with_options(start: GoogleCloudStorageBuilder, props: &Props) -> GoogleCloudStorageBuilder {
    let known = options(props).filter_map(|(name, value)| Some((GoogleConfigKey::from_str(&name).ok()?, value)));
    known.fold(start, |builder, (key, value)| builder.with_config(key, value))
}

fn client_options(client: &Client, endpoint: Option<&str>, props: &Props) -> object_store::ClientOptions {
    options(props).fold(client.options_for(endpoint), |start, (name, value)| match GoogleConfigKey::from_str(&name) {
        Ok(GoogleConfigKey::Client(key)) => start.with_config(key, value),
        _ => start,
    })
}

/// Gives the builder a file of credentials or their text, by what they are: a service account's key, or what `gcloud` keeps for a user.
fn with_credentials(builder: GoogleCloudStorageBuilder, path: Option<&str>, json: Option<&str>) -> Result<GoogleCloudStorageBuilder, StoreError> {
    if let Some(json) = json {
        return match kind_of("gcs.credentials.json", json)? {
            Kind::ServiceAccount => Ok(builder.with_service_account_key(json)),
            Kind::User => Err(bad_config("gcs.credentials.json holds a user's credentials: give them as a file, in gcs.credentials.path".to_owned())),
        };
    }
    let from_environment = builder
        .get_config_value(&GoogleConfigKey::ApplicationCredentials)
        .filter(|_| [GoogleConfigKey::ServiceAccount, GoogleConfigKey::ServiceAccountKey].iter().all(|key| builder.get_config_value(key).is_none()));
    let Some(file) = path.map(str::to_owned).or(from_environment) else { return Ok(builder) };
    let text = std::fs::read_to_string(&file).map_err(|error| bad_config(format!("the gcs store's credentials cannot be read: {file}: {error}")))?;
    match kind_of(&file, &text)? {
        Kind::ServiceAccount if path.is_some() => Ok(builder.with_service_account_path(file)),
        Kind::ServiceAccount | Kind::User => Ok(builder.with_application_credentials(file)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    ServiceAccount,
    User,
}

/// What the credentials at `place` are for. What is wrong with them is told without their text, which is a secret wherever it stands.
fn kind_of(place: &str, text: &str) -> Result<Kind, StoreError> {
    let refused = |why: &str| bad_config(format!("{place} {why}: give the JSON of a service account's key as it was downloaded"));
    let json: Value = serde_json::from_str(text).map_err(|_| refused("is not JSON"))?;
    let Value::Object(fields) = json else { return Err(refused("is JSON and not an object, as when it was quoted or encoded twice")) };
    let (kind, needed) = match fields.get("type").map(Value::as_str) {
        None | Some(Some("service_account")) => (Kind::ServiceAccount, ["private_key", "private_key_id", "client_email"]),
        Some(Some("authorized_user")) => (Kind::User, ["client_id", "client_secret", "refresh_token"]),
        Some(_) => {
            return Err(bad_config(format!(
                "{place} holds credentials of a type that cannot be used yet: give a service account's key, or let the machine's account (workload \
                 identity of GKE, the metadata server) give the tokens"
            )));
        }
    };
    match needed.iter().find(|name| !fields.get(**name).is_some_and(Value::is_string)) {
        Some(name) => Err(refused(&format!("has no text in its field '{name}'"))),
        None => Ok(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_refused_without_their_text() {
        let key = r#"{"type":"service_account","private_key":"hunter2","private_key_id":"i","client_email":"e"}"#;
        assert_eq!(kind_of("k", key).unwrap(), Kind::ServiceAccount);
        assert_eq!(kind_of("k", r#"{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"t"}"#).unwrap(), Kind::User);
        let quoted = Value::String(key.to_owned()).to_string();
        for (text, why) in [
            (quoted.as_str(), "k is JSON and not an object"),
            ("hunter2", "k is not JSON"),
            (r#"["hunter2"]"#, "k is JSON and not an object"),
            (r#"{"private_key":{"x":"hunter2"}}"#, "k has no text in its field 'private_key'"),
            (r#"{"private_key":"hunter2","private_key_id":["hunter2"]}"#, "k has no text in its field 'private_key_id'"),
            (r#"{"type":"hunter2"}"#, "k holds credentials of a type that cannot be used yet"),
            (r#"{"type":["hunter2"]}"#, "k holds credentials of a type that cannot be used yet"),
        ] {
            let error = kind_of("k", text).unwrap_err();
            assert!(error.message.starts_with(why) && !error.message.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_the_client_says_of_json_is_not_passed_on() {
        let key = r#"{"private_key":"p","private_key_id":"i","client_email":"e","disable_oauth":"hunter2"}"#;
        let builder = with_credentials(GoogleCloudStorageBuilder::new().with_bucket_name("b"), None, Some(key)).unwrap();
        let error = invalid("gcs", &builder.build().unwrap_err());
        assert!(error.message.contains("JSON credentials") && !error.message.contains("hunter2"), "{error}");
    }
}
