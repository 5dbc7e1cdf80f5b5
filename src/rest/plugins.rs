//! `/connector-plugins`: upstream's `ConnectorPluginsResource`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::connect::Kind;
use crate::rest::Api;
use crate::rest::model::{PluginInfo, VERSION};

/// `GET /connector-plugins`: sinks, then sources, each sorted by class name.
pub async fn list(State(api): State<Arc<Api>>) -> Json<Vec<PluginInfo>> {
    let mut plugins: Vec<_> = api.herder.plugins().iter().map(|c| (c.kind() == Kind::Source, c.class(), c.kind())).collect();
    plugins.sort_unstable_by_key(|(source, class, _)| (*source, *class));
    Json(plugins.into_iter().map(|(_, class, kind)| PluginInfo { class, kind: kind.as_str(), version: VERSION }).collect())
}
