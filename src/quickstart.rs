//! `lakehead quickstart`: the main job with nothing installed.

use std::path::PathBuf;

use crate::standalone::StartError;

/// The sample records.
pub mod orders;

/// Arguments of `lakehead quickstart`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Records to generate.
    #[arg(long, default_value_t = 1_000_000)]
    pub records: u64,
    /// Folder for the files.
    #[arg(long, default_value = "lake")]
    pub path: PathBuf,
    /// Brokers to use instead of the one inside the process.
    #[arg(long, value_name = "HOST:PORT,…")]
    pub bootstrap_servers: Option<String>,
    /// Store to write to instead of the folder, for example s3://bucket/prefix.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Goes on after the last record, and serves REST, until it is told to end.
    #[arg(long)]
    pub keep: bool,
}

/// Runs the quickstart.
///
/// # Errors
/// [`StartError`].
pub fn run(_arguments: Arguments) -> Result<(), StartError> {
    Err(StartError { code: 1, message: "not yet".to_owned() })
}
