//! The offsets of a source connector, seen and changed in the worker's store: `Worker.modifySourceConnectorOffsets`.

use std::sync::Arc;

use super::{Change, ConnectorOffset};
use crate::connect::source::{Fields, OffsetChange, OffsetError, OffsetStore};
use crate::connect::{Connector, Props};
use crate::runtime::HerderError;

/// What a connector has in the store.
#[derive(Debug)]
pub(in crate::runtime) struct SourceOffsets {
    store: Arc<dyn OffsetStore>,
    connector: Arc<str>,
    class: &'static dyn Connector,
    config: Props,
}

impl SourceOffsets {
    /// `config` has its references resolved.
    pub(super) fn new(store: &Arc<dyn OffsetStore>, connector: &Arc<str>, class: &'static dyn Connector, config: Props) -> Self {
        Self { store: Arc::clone(store), connector: Arc::clone(connector), class, config }
    }

    pub(super) async fn read(&self) -> Result<Vec<ConnectorOffset>, HerderError> {
        let failed = |error: OffsetError| {
            tracing::error!(connector = %self.connector, %error, "offsets not read");
            HerderError::Internal(format!("Failed to retrieve offsets for source connector {}", self.connector))
        };
        let found = self.store.list(&self.connector).await.map_err(failed)?;
        Ok(found.into_iter().map(|(partition, offset)| ConnectorOffset { partition: Some(partition), offset: Some(offset) }).collect())
    }

    pub(super) async fn change(&self, change: &Change) -> Result<String, HerderError> {
        let connector = &self.connector;
        let failed = |error: OffsetError| {
            tracing::error!(%connector, %error, "offsets not {}", change.done());
            HerderError::Internal(format!("Failed to modify offsets for source connector {connector}"))
        };
        let wanted: Vec<OffsetChange> = match change {
            Change::Alter(offsets) => offsets.iter().map(|ConnectorOffset { partition, offset }| (partition.clone(), offset.clone())).collect(),
            Change::Reset => self.store.list(connector).await.map_err(failed)?.into_iter().map(|(partition, _)| (Some(partition), None)).collect(),
        };
        for (partition, offset) in &wanted {
            for fields in [partition, offset].into_iter().flatten() {
                check_format(fields)?;
            }
        }
        let is_complete = self.class.alter_offsets(&self.config, &wanted).map_err(HerderError::Internal)?;
        let mut changes: Vec<(Fields, Option<Fields>)> = Vec::with_capacity(wanted.len());
        for (partition, offset) in wanted {
            let missing = || HerderError::Internal(format!("Failed to modify offsets for source connector {connector}"));
            changes.push((partition.ok_or_else(missing)?, offset));
        }
        if !changes.is_empty() {
            self.store.set(connector, &changes).await.map_err(failed)?;
        }
        for (partition, offset) in &changes {
            let shown = |fields: &Fields| serde_json::Value::Object(fields.clone()).to_string();
            tracing::info!(%connector, partition = shown(partition), to = offset.as_ref().map_or_else(|| "none".to_owned(), shown), "offset changed on request");
        }
        let done = change.done();
        Ok(if is_complete {
            format!("The offsets for this connector have been {done} successfully")
        } else {
            format!(
                "The Connect framework-managed offsets for this connector have been {done} successfully. However, if this connector manages offsets externally, \
                 they will need to be manually {done} in the system that the connector uses."
            )
        })
    }
}

/// `OffsetUtils.validateFormat`.
fn check_format(fields: &Fields) -> Result<(), HerderError> {
    match fields.iter().find(|(_, value)| value.is_object() || value.is_array()) {
        None => Ok(()),
        Some((name, value)) => {
            let kind = if value.is_array() { "ARRAY" } else { "MAP" };
            Err(HerderError::Internal(format!("Offsets may only contain primitive types as values, but field {name} contains {kind}")))
        }
    }
}
