//! Logs: lines for people or JSON objects, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

use crate::settings::LogFormat;

/// Starts logging for the whole process; later calls do nothing. `filter` is a `tracing` filter such as `info` or `lakehead::store=debug,info`; when it
/// is none, `info` holds, and a line says so.
pub fn init(format: LogFormat, filter: &str) {
    let (parsed, problem) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = Subscriber::builder().with_env_filter(parsed).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let installed = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(builder.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().flatten_event(true).with_current_span(false).finish()),
    };
    if let (Ok(()), Some(problem)) = (installed, problem) {
        tracing::warn!("the log filter \"{filter}\" is not one, info is used: {problem}");
    }
}
