//! Every registration line of this crate, and nothing else.

use crate::connect::Connector;
use crate::connectors::{aiven, cloud_storage, datagen, file_stream, lenses, tools};

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
    &file_stream::FileStreamSource,
    &file_stream::FileStreamSink,
    &tools::MOCK_SOURCE,
    &tools::MOCK_SINK,
    &tools::VerifiableSource,
    &tools::VerifiableSink,
    &tools::SchemaSource,
    &datagen::Datagen,
];
