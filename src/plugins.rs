//! Every registration line of this crate, and nothing else.

use crate::connect::Connector;
use crate::connectors::{aiven, cloud_storage, lenses};

/// Every connector: the registration lines.
pub static CONNECTORS: &[&dyn Connector] = &[
    &cloud_storage::S3,
    &cloud_storage::GCS,
    &cloud_storage::AZURE_BLOB,
    &cloud_storage::AZURE_DATA_LAKE,
    &cloud_storage::ANY_URL,
    &aiven::S3,
    &aiven::GCS,
    &aiven::AZURE_BLOB,
    &lenses::S3,
    &lenses::GCS,
    &lenses::DATA_LAKE,
];
