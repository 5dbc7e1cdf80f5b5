//! Logs: lines for people or JSON objects, on standard error. [`loggers`] changes what is logged while the process runs.

use std::io::IsTerminal;

use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::settings::LogFormat;

pub mod loggers;

pub use loggers::Loggers;

/// Starts logging for the whole process; later calls start nothing. `filter` says what is logged: a level, and levels of targets, such as `info` or
/// `lakehead::store=debug,info`; when it is none, `info` holds, and a line says so. The result changes the levels.
pub fn init(format: LogFormat, filter: &str) -> Loggers {
    let (parsed, problem) = match filter.parse() {
        Ok(parsed) => (parsed, None),
        Err(error) => (loggers::INFO, Some(error)),
    };
    let (loggers, levels) = Loggers::new(parsed);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(levels);
    let installed = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(registry.with(lines)),
        LogFormat::Json => tracing::subscriber::set_global_default(registry.with(lines.json().flatten_event(true).with_current_span(false))),
    };
    if let (Ok(()), Some(problem)) = (installed, problem) {
        tracing::warn!("the log filter \"{filter}\" is not one, info is used: {problem}");
    }
    loggers
}
