//! `/connector-plugins`: upstream's `ConnectorPluginsResource`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};

use crate::rest::Api;
use crate::rest::body::ConfigBody;
use crate::rest::error::ApiError;
use crate::rest::model::{PluginInfo, VERSION};
use crate::runtime::HerderError;
use crate::runtime::definitions::{ConfigInfos, Definition};

type Params = Query<Vec<(String, String)>>;

fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// `GET /connector-plugins`: sinks, then sources, and with `connectorsOnly=false` the other plugins; each kind sorted by class name.
pub async fn list(State(api): State<Arc<Api>>, params: Params) -> Json<Vec<PluginInfo>> {
    let everything = param(&params, "connectorsOnly").is_some_and(|only| !only.eq_ignore_ascii_case("true"));
    let wanted = api.herder.all_plugins().into_iter().filter(|(_, kind)| everything || ["sink", "source"].contains(kind));
    Json(wanted.map(|(class, kind)| PluginInfo { class, kind, version: VERSION }).collect())
}

/// `GET /connector-plugins/{plugin}/config`: the keys of a plugin of any kind. There is one version of each.
pub async fn config(State(api): State<Arc<Api>>, Path(plugin): Path<String>, params: Params) -> Result<Json<Vec<Definition>>, ApiError> {
    if let Some(version) = param(&params, "version").map(str::trim).filter(|version| !["", "latest", VERSION].contains(version)) {
        return Err(ApiError::bad_request(format!("there is no version \"{version}\" of plugin {plugin}; the one that is built in is {VERSION}")));
    }
    Ok(Json(api.herder.definitions(&plugin)?))
}

/// `PUT /connector-plugins/{plugin}/config/validate`: every key with its value and its problems; 200 also for a configuration that is wrong.
pub async fn validate(State(api): State<Arc<Api>>, Path(plugin): Path<String>, ConfigBody(config): ConfigBody) -> Result<Json<ConfigInfos>, ApiError> {
    let class = config.get("connector.class").and_then(Option::as_deref);
    if let Some(class) = class.filter(|class| !without_suffix(class).ends_with(without_suffix(&plugin))) {
        return Err(ApiError::bad_request(format!("Included connector type {class} does not match request type {plugin}")));
    }
    api.herder.describe(config).map(Json).map_err(|error| match error {
        // Upstream validates on another thread, and what that throws arrives wrapped.
        HerderError::BadRequest(message) => ApiError::internal(format!("org.apache.kafka.connect.runtime.rest.errors.BadRequestException: {message}")),
        other => other.into(),
    })
}

/// The name without `Connector` at its end: an alias of a class, or what the class would have as one.
fn without_suffix(class: &str) -> &str {
    class.strip_suffix("Connector").filter(|rest| !rest.is_empty()).unwrap_or(class)
}
