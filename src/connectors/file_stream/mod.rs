//! Apache Kafka's file connectors: lines of a file become records, and values of records become lines of a file.
//!
//! `org.apache.kafka.connect.file.FileStreamSourceConnector` and `FileStreamSinkConnector`. Parts: [`source`], [`sink`].

mod sink;
mod source;

pub use sink::FileStreamSink;
pub use source::FileStreamSource;

/// Key: the file's path.
const FILE: &str = "file";
